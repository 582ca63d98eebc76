"""Decoders by the 0.1 document's names: rows of output spikes become deltas of channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ab_ros.codec import decoder
from ab_ros.codec.decoder import entries_of
from ab_ros.codec.rows import decode_stream_rows, deltas_to_dq_dg
from ab_ros.config import Source
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError

__all__ = [
    "Deltas",
    "MappingDecoder",
    "MappingEntry",
    "RowDecoder",
    "decode_stream_rows",
    "decoder_of",
    "deltas_to_dq_dg",
]

Deltas = Mapping[int, Mapping[str, float]]
"""``{timestep: {channel: delta}}``."""

RowDecoder = Callable[[Iterable[Any]], Deltas]
"""From the rows of a ``cycle:update`` to deltas."""


class MappingEntry(decoder.MappingEntry):
    """How the spikes of one population become the deltas of one channel.

    A :class:`ab_ros.codec.decoder.MappingEntry` whose population is called ``node_id``; it means
    the same, and refuses the same.  ``from_dict`` reads the camel-case names.

    Parameters
    ----------
    node_id : output population of the brain's contract.
    channel : what it moves: ``joint:0``, ``gripper``, or any name.
    scheme : ``bipolarSplit``, ``addition``, ``booleanThreshold`` or ``bipolarScalar``.
    per_step_max : delta of one unit of the scheme, in the channel's unit.
    gain : factor on top of it.
    deadzone : deltas smaller than this become 0; at least 0.
    min_step : smallest size of a delta that is not 0; at least 0.
    clamp : lower and upper bound of the delta, which must include 0; or None.
    invert : whether to turn the sign around.
    threshold : spikes that ``booleanThreshold`` needs; None: half of the population.

    Raises
    ------
    ConfigError
        for what would move a robot by accident: a clamp that is inverted or excludes 0, a value
        that is not finite, an unknown scheme, ``invert`` as text, an empty name.
    """

    def __init__(
        self,
        node_id: str = "",
        channel: str = "",
        scheme: str = "bipolarSplit",
        per_step_max: float = 1.0,
        gain: float = 1.0,
        deadzone: float = 0.0,
        min_step: float = 0.0,
        clamp: Sequence[float] | None = None,
        invert: bool = False,
        threshold: int | None = None,
        *,
        population: str = "",
    ) -> None:
        if node_id and population:
            raise ConfigError(
                f"mapping: node_id {node_id!r} and population {population!r} are the same setting:"
                f" give one of them"
            )
        bounds: Any = tuple(clamp) if isinstance(clamp, (list, tuple)) else clamp
        if bounds is not None and not isinstance(bounds, tuple):
            raise ConfigError(f"mapping of {node_id!r}: clamp must be a pair, not {clamp!r}")
        super().__init__(
            population=node_id or population,
            channel=channel,
            scheme=scheme,
            per_step_max=per_step_max,
            gain=gain,
            invert=invert,
            threshold=threshold,
            deadzone=deadzone,
            min_step=min_step,
            clamp=bounds,
        )


class MappingDecoder:
    """Decodes rows by a mapping: ``decoder(rows)`` returns ``{timestep: {channel: delta}}``.

    Parameters
    ----------
    mapping : entries, or dictionaries as the 0.1 protocol writes them.
    source : where they were read, for messages.

    Raises
    ------
    ConfigError
        if there are none, or one is refused.
    """

    def __init__(
        self,
        mapping: Sequence[decoder.MappingEntry | Mapping[str, Any]],
        source: Source | None = None,
    ) -> None:
        self.mapping = entries_of(mapping, source)
        if not self.mapping:
            raise ConfigError("mapping: has no entries: no spike would move anything")

    def __call__(self, rows: Iterable[Any]) -> dict[int, dict[str, float]]:
        """Decode the rows of a cycle; see :func:`~ab_ros.codec.rows.decode_stream_rows`."""
        return decode_stream_rows(rows, self.mapping)

    def check(self, contract: Contract) -> None:
        """Refuse a mapping of populations that the contract lacks.

        Raises
        ------
        ContractError
            that names the population and those that there are.
        """
        if contract.outputs:
            for entry in self.mapping:
                contract.output(entry.population)


def decoder_of(given: object) -> RowDecoder:
    """Return the decoder that was given: a callable, or the list of entries of a mapping.

    Raises
    ------
    ConfigError
        if it is neither.
    """
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return MappingDecoder(given)
    if callable(given):
        return given
    raise ConfigError(
        f"decoder: must be a MappingDecoder, a list of MappingEntry, or a function of the rows, not"
        f" {given!r}"
    )
