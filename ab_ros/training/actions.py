"""From the output spikes of a step to an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.decoder import MappingEntry, SpikeDecoder
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, one_of
from ab_ros.training.anatomy import halves_of, outputs_of
from ab_ros.training.schema import Field, Message, Schema

Rasters = Mapping[str, NDArray[np.uint8]]


class ActionDecoder:
    """Reads an action from the spikes of a step.

    Of a field with alternatives the one whose neurons have spiked most is chosen; among equal ones,
    one at random.  They are outputs named ``<field>_0``, ``<field>_1`` …, or equal parts of one
    output named as the field.  Another field is the middle of its range, plus the balance of the
    spikes of both halves of the output named as the field, ``full_count`` of which reach its bound.

    Parameters
    ----------
    schema : of the action.
    contract : of the brain.
    full_count : see :class:`~ab_ros.training.definition.NeuronSettings`.
    random : chooses among equals.

    Raises
    ------
    ConfigError
        if the brain lacks an output, or one is too small for its field.
    """

    def __init__(
        self, schema: Schema, contract: Contract, full_count: float, random: np.random.Generator
    ) -> None:
        self.schema = schema
        self.random = random
        sizes = {port.id: port.n for port in contract.outputs}
        self._choices: dict[str, tuple[Field, _Parts]] = {}
        entries = []
        for field in schema:
            if field.alternatives:
                self._choices[field.name] = field, _Parts(field, sizes)
                continue
            if sizes.get(field.name, 0) < 2:
                raise ConfigError(
                    f"action.{field.name}: the brain has no output {field.name!r} of two halves;"
                    f" its outputs are {', '.join(sizes)}"
                )
            low, high = field.span or (0.0, 0.0)
            entries.append(
                MappingEntry(field.name, field.name, per_step_max=0.5 * (high - low) / full_count)
            )
        self._decoder = SpikeDecoder(entries, sizes) if entries else None
        self._chosen: dict[str, int] = {}
        self._layers = {
            field.name: outputs_of(field.name, len(field.alternatives))
            if field.alternatives
            else halves_of(field.name)
            for field in schema
        }
        self.begin()

    def begin(self) -> None:
        """Begin a step: forget the spikes of the last one."""
        self._counts = {name: [0] * parts.count for name, (_, parts) in self._choices.items()}
        if self._decoder is not None:
            self._sums = np.zeros(len(self._decoder.channels))

    def take(self, rasters: Rasters) -> None:
        """Count the spikes of a cycle."""
        for name, (_, parts) in self._choices.items():
            counts = self._counts[name]
            for k, count in enumerate(parts.counts(rasters)):
                counts[k] += count
        if self._decoder is not None:
            self._sums += self._decoder.decode(rasters).values.sum(axis=0)

    def action(self) -> Message:
        """Return the action of the cycles since :meth:`begin`."""
        values: dict[str, Any] = {}
        for name, (_, parts) in self._choices.items():
            counts = self._counts[name]
            most = max(counts)
            best = [k for k, count in enumerate(counts) if count == most]
            chosen = best[0] if len(best) == 1 else best[self.random.integers(len(best))]
            self._chosen[name] = chosen
            values[name] = parts.values[chosen]
        if self._decoder is not None:
            for name, balance in zip(self._decoder.channels, self._sums.tolist(), strict=True):
                field = self.schema.fields[name]
                low, high = field.span or (0.0, 0.0)
                self._chosen[name] = 0 if balance > 0.0 else 1 if balance < 0.0 else -1
                value = min(max(0.5 * (low + high) + balance, low), high)
                whole = not field.type.startswith("Float")
                values[name] = field.read(round(value) if whole else value, True)
        return Message({name: values[name] for name in self.schema.fields})

    def credit(self, modulation: float) -> dict[str, float]:
        """Return m by layer for the last action: of what was done, and the opposite of all else.

        The layers are named as the outputs of alternatives, or as the halves of an output.
        """
        credit = {}
        for name, layers in self._layers.items():
            chosen = self._chosen.get(name, -1)
            others = -modulation / max(len(layers) - 1, 1)
            for k, layer in enumerate(layers):
                credit[layer] = 0.0 if chosen < 0 else modulation if k == chosen else others
        return credit


class _Parts:
    """Where the spikes of a field's alternatives are."""

    def __init__(self, field: Field, sizes: Mapping[str, int]) -> None:
        self.count = len(field.alternatives)
        self.values = tuple(field.read(value, True) for value in field.alternatives)
        names = outputs_of(field.name, self.count)
        self.outputs: tuple[str, ...]
        if all(name in sizes for name in names):
            self.outputs, self.whole = names, ""
        elif sizes.get(field.name, 0) >= self.count:
            self.outputs, self.whole = (), field.name
        else:
            raise ConfigError(
                f"action.{field.name}: the brain has neither outputs {', '.join(names)} nor an"
                f" output {field.name!r} of at least {self.count} neurons; {one_of(sizes)}"
            )
        self.part = sizes.get(self.whole, 0) // self.count

    def counts(self, rasters: Rasters) -> list[int]:
        if not self.whole:
            return [int(np.count_nonzero(rasters[name])) for name in self.outputs]
        used = rasters[self.whole][:, : self.part * self.count]
        counts: list[int] = used.reshape(-1, self.count, self.part).sum((0, 2)).tolist()
        return counts
