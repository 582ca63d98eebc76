"""Decoding: the output spikes of a cycle become changes of the robot's channels.

A :class:`MappingEntry` says how the spikes of one population become the changes (*deltas*) of one
channel, in this order::

    spikes → value by scheme → invert → × per_step_max × gain → deadzone → min_step → clamp

and the deltas of all entries that name a channel are summed per timestep.  The rules and numbers
are those of the ArtificialBrains 0.1 protocol, so that a mapping means the same on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import Source, parse, rule_of, setting
from ab_ros.errors import ConfigError, ContractError, one_of
from ab_ros.values import ChannelDeltas

SCHEMES = ("bipolarSplit", "addition", "booleanThreshold", "bipolarScalar")
"""How spikes become a number, by name.

With ``half = N // 2``, *a* the spikes of the first half, *b* those of the second (the last neuron
of an odd population belongs to neither) and *s* all spikes of a timestep:

- ``bipolarSplit``: a − b
- ``addition``: s
- ``booleanThreshold``: 1 if s reaches the threshold, else 0
- ``bipolarScalar``: +1 if a > b, −1 if a < b, else 0 (winner takes all)
"""

_UINT8 = np.dtype(np.uint8)
_ALIASES = {
    "node_id": "population",
    "nodeId": "population",
    "controllerChannel": "channel",
    "perStepMax": "per_step_max",
    "perStepMaxRad": "per_step_max",
    "minStep": "min_step",
    "minStepRad": "min_step",
    "limits": "clamp",
}


@dataclass(frozen=True)
class MappingEntry:
    """How the spikes of one population become the deltas of one channel.

    Several entries may name one channel (their deltas add up), or one population.

    Raises
    ------
    ConfigError
        for what would move a robot by accident: a clamp that is inverted or excludes 0 (motion on
        silence), a value that is not finite, an unknown scheme, ``invert`` as text, an empty name.
    """

    population: str = setting(doc="output population of the brain's contract")
    channel: str = setting(doc="channel that it moves; a joint's name, or the group's own word")
    scheme: str = setting(
        "bipolarSplit", doc="how spikes become a number", one_of=SCHEMES, live=True
    )
    per_step_max: float = setting(
        1.0, doc="delta of one unit of the scheme, in the channel's unit", live=True
    )
    gain: float = setting(1.0, doc="factor on top of per_step_max", live=True)
    invert: bool = setting(False, doc="whether to turn the sign around", live=True)
    threshold: int | None = setting(
        None,
        doc="spikes that booleanThreshold needs, brought into 1 .. N; default max(1, N // 2)",
        live=True,
    )
    deadzone: float = setting(0.0, doc="deltas smaller than this become 0", ge=0.0, live=True)
    min_step: float = setting(
        0.0, doc="smallest size of a delta that is not 0; its sign is kept", ge=0.0, live=True
    )
    clamp: tuple[float, float] | None = setting(
        None, doc="lower and upper bound of the delta; must include 0", live=True
    )

    def __post_init__(self) -> None:
        for name in ("population", "channel"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"mapping: {name} must be a name, not {value!r}")
        where = f"mapping of {self.population!r} to {self.channel!r}"
        if self.scheme not in SCHEMES:
            raise ConfigError(f"{where}: unknown scheme {self.scheme!r}; {one_of(SCHEMES)}")
        if not isinstance(self.invert, bool):
            raise ConfigError(f"{where}: invert must be true or false, not {self.invert!r}")
        threshold = self.threshold
        if threshold is not None and (isinstance(threshold, bool) or type(threshold) is not int):
            raise ConfigError(f"{where}: threshold must be an integer, not {threshold!r}")
        for name in ("per_step_max", "gain", "deadzone", "min_step"):
            value = getattr(self, name)
            rule = rule_of(MappingEntry, name)
            if not _is_number(value) or rule.broken_by(value):
                raise ConfigError(f"{where}: {name} must be {rule.allowed()}, not {value!r}")
        if not math.isfinite(self.unit):
            raise ConfigError(
                f"{where}: per_step_max × gain must be finite, not"
                f" {self.per_step_max!r} × {self.gain!r}"
            )
        if self.clamp is not None:
            self._check_clamp(where, self.clamp)

    @staticmethod
    def _check_clamp(where: str, clamp: tuple[float, float]) -> None:
        if len(clamp) != 2 or not all(_is_number(bound) for bound in clamp):
            raise ConfigError(f"{where}: clamp must be a pair of numbers, not {clamp!r}")
        lower, upper = clamp
        if not (math.isfinite(lower) and math.isfinite(upper)):
            raise ConfigError(f"{where}: clamp must be finite, not [{lower}, {upper}]")
        if lower > upper:
            raise ConfigError(
                f"{where}: clamp [{lower}, {upper}] is inverted; write the lower first"
            )
        if not lower <= 0.0 <= upper:
            raise ConfigError(
                f"{where}: clamp [{lower}, {upper}] excludes 0: the robot would move on silence"
            )

    @property
    def node_id(self) -> str:
        """The population, by the 0.1 protocol's name."""
        return self.population

    @property
    def unit(self) -> float:
        """Delta of one unit of the scheme: per_step_max × gain, with the sign of ``invert``."""
        return (-1.0 if self.invert else 1.0) * self.per_step_max * self.gain

    def threshold_for(self, size: int) -> int:
        """Spikes that ``booleanThreshold`` needs in a population of ``size`` neurons."""
        if self.threshold is None:
            return max(1, size // 2)
        return min(max(self.threshold, 1), max(size, 1))

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], source: Source | None = None, path: tuple[str, ...] = ()
    ) -> MappingEntry:
        """Read an entry as the 0.1 protocol writes it.

        Accepted besides our own names: ``node_id`` and ``nodeId``, ``controllerChannel``,
        ``perStepMax`` and ``perStepMaxRad``, ``minStep`` and ``minStepRad``, and ``limits`` for
        ``clamp``, which may be a pair or ``{min, max}``.

        Raises
        ------
        ConfigError
            for an unknown, missing or doubled key, or a value that is not allowed.
        """
        source = source or Source()
        if not isinstance(data, Mapping):
            raise ConfigError(f"{source.at(path)}: must be a mapping, not {data!r}")
        own: dict[str, Any] = {}
        for key, value in data.items():
            name = _ALIASES.get(key, key)
            if name in own:
                raise ConfigError(f"{source.at((*path, str(key)))}: gives {name!r} a second time")
            own[name] = value
        clamp = own.get("clamp")
        if isinstance(clamp, Mapping):
            if set(clamp) != {"min", "max"}:
                raise ConfigError(
                    f"{source.at((*path, 'clamp'))}: must be a pair or have exactly the keys"
                    f" 'min' and 'max', not {dict(clamp)!r}"
                )
            own["clamp"] = (clamp["min"], clamp["max"])
        return parse(cls, own, source, path)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class _Columns:
    """The numbers of all entries, side by side: one column per entry."""

    unit: NDArray[np.float64]
    threshold: NDArray[np.int64]
    deadzone: NDArray[np.float64]
    min_step: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    clamped: bool


class SpikeDecoder:
    """Decodes whole cycles at once.

    Parameters
    ----------
    entries : the mapping, in the order that makes the channel order (by first appearance).
    sizes : {output population: neurons}, of all outputs of the contract.

    Raises
    ------
    ConfigError
        if there are no entries.
    ContractError
        if an entry names a population that the contract lacks.
    """

    def __init__(self, entries: Sequence[MappingEntry], sizes: Mapping[str, int]) -> None:
        if not entries:
            raise ConfigError("mapping: has no entries: no spike would move anything")
        for entry in entries:
            if entry.population not in sizes:
                raise ContractError(
                    f"mapping of {entry.population!r} to {entry.channel!r}: the contract has no"
                    f" output population {entry.population!r}; {one_of(sizes)}"
                )
        self.entries = tuple(entries)
        self.channels: tuple[str, ...] = tuple(dict.fromkeys(e.channel for e in entries))
        self._sizes = dict(sizes)
        self._mapped = tuple(dict.fromkeys(e.population for e in entries))
        self._widths = [self._sizes[population] for population in self._mapped]
        self._neurons = sum(self._widths)
        self._weights = self._build_weights()
        self._columns = self._build_columns()
        self._to_channel = np.zeros((len(entries), len(self.channels)))
        for index, entry in enumerate(entries):
            self._to_channel[index, self.channels.index(entry.channel)] = 1.0
        schemes = np.array([e.scheme for e in entries])
        self._boolean = np.flatnonzero(schemes == "booleanThreshold")
        self._scalar = np.flatnonzero(schemes == "bipolarScalar")
        self._spikes = np.zeros((0, len(self._weights)), dtype=np.float32)

    def _build_weights(self) -> NDArray[np.float32]:
        """Lay all mapped neurons side by side; weigh each of them for every entry.

        One product of matrices then counts all that entries want counted: exactly, because these
        are small integers.
        """
        ends = dict(zip(self._mapped, np.cumsum(self._widths), strict=True))
        weights = np.zeros((max(self._neurons, 1), len(self.entries)), dtype=np.float32)
        for index, entry in enumerate(self.entries):
            end = ends[entry.population]
            column = weights[end - self._sizes[entry.population] : end, index]
            if entry.scheme in ("addition", "booleanThreshold"):
                column[:] = 1.0
            else:
                half = len(column) // 2
                column[:half], column[half : 2 * half] = 1.0, -1.0
        return weights

    def _build_columns(self) -> _Columns:
        clamps = [e.clamp or (-math.inf, math.inf) for e in self.entries]
        return _Columns(
            unit=np.array([e.unit for e in self.entries]),
            threshold=np.array(
                [e.threshold_for(self._sizes[e.population]) for e in self.entries], dtype=np.int64
            ),
            deadzone=np.array([e.deadzone for e in self.entries]),
            min_step=np.array([e.min_step for e in self.entries]),
            lower=np.array([lower for lower, _ in clamps]),
            upper=np.array([upper for _, upper in clamps]),
            clamped=any(e.clamp is not None for e in self.entries),
        )

    def decode(self, rasters: Mapping[str, NDArray[np.uint8]]) -> ChannelDeltas:
        """Decode the rasters of a cycle.

        Parameters
        ----------
        rasters : {output population: uint8[T, N]} of 0 and 1.  Populations of the contract that
            no entry names are left alone.

        Returns
        -------
        ChannelDeltas
            float64[T, C], channels in order of first appearance in the mapping.

        Raises
        ------
        ContractError
            if a population is unknown or missing, or a raster does not have the form uint8[T, N]
            of 0 and 1.
        """
        value = np.matmul(self._gather(rasters), self._weights).astype(np.float64)
        if self._boolean.size:
            chosen = self._boolean
            value[:, chosen] = value[:, chosen] >= self._columns.threshold[chosen]
        if self._scalar.size:
            value[:, self._scalar] = np.sign(value[:, self._scalar])
        # A delta too large for a float becomes infinite; the safety stage refuses such a frame.
        with np.errstate(over="ignore", invalid="ignore"):
            return ChannelDeltas(self.channels, self._shape(value) @ self._to_channel)

    def _shape(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn values of the schemes into deltas, in place; [T, entries]."""
        columns = self._columns
        value *= columns.unit
        if columns.deadzone.any():
            value[np.abs(value) < columns.deadzone] = 0.0
        if columns.min_step.any():
            small = (value != 0.0) & (np.abs(value) < columns.min_step)
            np.copyto(value, np.copysign(columns.min_step, value), where=small)
        if columns.clamped:
            np.maximum(value, columns.lower, out=value)
            np.minimum(value, columns.upper, out=value)
        return value

    def _gather(self, rasters: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Lay the mapped rasters side by side into the preallocated buffer, checking each."""
        mapped = [rasters[population] for population in self._mapped if population in rasters]
        timesteps = len(mapped[0]) if mapped and mapped[0].ndim else 0
        usual = len(mapped) == len(self._mapped) and rasters.keys() <= self._sizes.keys()
        for raster, size in zip(mapped, self._widths, strict=False):
            if raster.shape != (timesteps, size) or raster.dtype is not _UINT8:
                usual = False
        if not usual:
            self._check(rasters)
        if self._spikes.shape[0] != timesteps:
            self._spikes = np.zeros((timesteps, len(self._weights)), dtype=np.float32)
        spikes = self._spikes
        np.concatenate(mapped, axis=1, out=spikes[:, : self._neurons], casting="unsafe")
        if spikes.size and spikes.max() > 1.0:
            worst = next(p for p in self._mapped if rasters[p].size and rasters[p].max() > 1)
            raise ContractError(f"population {worst!r}: raster must hold 0 and 1 only")
        return spikes

    def _check(self, rasters: Mapping[str, NDArray[np.uint8]]) -> None:
        """Say what is wrong with rasters, if anything is."""
        unknown = rasters.keys() - self._sizes.keys()
        if unknown:
            raise ContractError(
                f"spikes of an unknown population {min(unknown)!r}; {one_of(self._sizes)}"
            )
        timesteps = -1
        for population in self._mapped:
            raster = rasters.get(population)
            if raster is None:
                raise ContractError(
                    f"the cycle has no spikes of population {population!r}, which the mapping"
                    f" names; it has {one_of(rasters) if rasters else 'none'}"
                )
            size = self._sizes[population]
            if raster.ndim != 2 or raster.shape[1] != size:
                raise ContractError(
                    f"population {population!r}: raster must have the form [T, {size}],"
                    f" not {list(raster.shape)}"
                )
            if raster.dtype != np.uint8 and raster.dtype != np.bool_:
                raise ContractError(
                    f"population {population!r}: raster must be uint8, not {raster.dtype}"
                )
            if timesteps not in (-1, raster.shape[0]):
                raise ContractError(
                    f"population {population!r}: raster has {raster.shape[0]} timesteps,"
                    f" others have {timesteps}"
                )
            timesteps = raster.shape[0]


def decode_bits(entry: MappingEntry, bits: Sequence[int]) -> float:
    """Decode the spikes of one population at one timestep: the rule in its plainest form.

    ``bits`` are N numbers; whatever is not 0 counts as a spike.
    """
    size = len(bits)
    half = size // 2
    first = sum(1 for bit in bits[:half] if bit)
    second = sum(1 for bit in bits[half : 2 * half] if bit)
    total = sum(1 for bit in bits if bit)
    value = float(
        {
            "bipolarSplit": first - second,
            "addition": total,
            "booleanThreshold": total >= entry.threshold_for(size),
            "bipolarScalar": (first > second) - (first < second),
        }[entry.scheme]
    )
    value *= entry.unit
    if abs(value) < entry.deadzone:
        value = 0.0
    if value != 0.0 and abs(value) < entry.min_step:
        value = math.copysign(entry.min_step, value)
    if entry.clamp is not None:
        value = min(max(value, entry.clamp[0]), entry.clamp[1])
    return value


def entries_of(
    items: Sequence[Mapping[str, Any] | MappingEntry], source: Source | None = None
) -> tuple[MappingEntry, ...]:
    """Read a list of mapping entries, each a :class:`MappingEntry` or its mapping of values."""
    return tuple(
        item
        if isinstance(item, MappingEntry)
        else MappingEntry.from_dict(item, source, ("mapping", str(index)))
        for index, item in enumerate(items)
    )
