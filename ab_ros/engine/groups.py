"""Groups of a network: neurons with dynamics, and spike sources without."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.neurons import NeuronArrays

_PRIVATE, _SHARED = 0, 1


@dataclass(frozen=True)
class SourceGroup:
    """Spikes that come from outside; ``start`` is its place in the presynaptic index space."""

    name: str
    size: int
    start: int = 0


@dataclass(frozen=True, eq=False)
class NeuronGroup:
    """Neurons with one name; ``start`` is its place among all neurons.

    ``noise`` and ``bias`` are one number for all, or float64[size].
    """

    name: str
    size: int
    parameters: NeuronArrays
    noise: float | NDArray[np.float64]
    bias: float | NDArray[np.float64]
    common_noise: float
    common_groups: int
    start: int = 0


@dataclass
class NoiseStream:
    """The random currents of one neuron group.

    Private and shared noise have streams of their own, drawn tick by tick, so that the numbers do
    not depend on how ticks are split into runs.  Private noise is drawn for those neurons only that
    have any.
    """

    group: NeuronGroup
    noisy: NDArray[np.intp] | None = field(init=False, default=None)
    """The neurons that have private noise; None means all or none."""
    _deviation: NDArray[np.float64] | float = field(init=False, default=0.0)
    private: np.random.Generator = field(init=False)
    shared: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        noise = self.group.noise
        if isinstance(noise, np.ndarray) and not noise.all():
            self.noisy = np.flatnonzero(noise)
            self._deviation = noise[self.noisy]

    @property
    def silent(self) -> bool:
        """Whether neither bias nor noise is ever added."""
        group = self.group
        return not (np.any(group.bias) or np.any(group.noise) or group.common_noise)

    def seed(self, seed: int, index: int) -> None:
        """Start both streams from the network's seed and the group's index."""
        self.private, self.shared = (
            np.random.Generator(
                np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index, kind)))
            )
            for kind in (_PRIVATE, _SHARED)
        )

    def add_to(self, drive: NDArray[np.float64]) -> None:
        """Add bias and noise to ``drive``, float64[T, size]."""
        group, ticks = self.group, drive.shape[0]
        if isinstance(group.bias, np.ndarray) or group.bias:
            drive += group.bias
        if self.noisy is not None:
            if self.noisy.size:
                drawn = self.private.standard_normal((ticks, self.noisy.size))
                drive[:, self.noisy] += self._deviation * drawn
        elif isinstance(group.noise, np.ndarray) or group.noise:
            drive += group.noise * self.private.standard_normal((ticks, group.size))
        if group.common_noise:
            common = self.shared.standard_normal((ticks, group.common_groups))
            per_slice = group.size // group.common_groups
            drive += group.common_noise * np.repeat(common, per_slice, axis=1)

    def state(self) -> NDArray[np.uint64]:
        """Return both streams' states, uint64[2, 6]."""
        rows = []
        for generator in (self.private, self.shared):
            state = generator.bit_generator.state
            words = [state["state"]["state"], state["state"]["inc"]]
            halves = [half for word in words for half in (word >> 64, word & (2**64 - 1))]
            rows.append([*halves, state["has_uint32"], state["uinteger"]])
        return np.array(rows, dtype=np.uint64)

    def restore(self, state: NDArray[np.uint64]) -> None:
        """Set both streams' states."""
        for generator, row in zip((self.private, self.shared), state.tolist(), strict=True):
            generator.bit_generator.state = {
                "bit_generator": "PCG64",
                "state": {"state": row[0] << 64 | row[1], "inc": row[2] << 64 | row[3]},
                "has_uint32": row[4],
                "uinteger": row[5],
            }
