"""Computations: which neurons of a group become active, given what its inputs bring.

One's own is a subclass of :class:`Computation`; as a frozen dataclass of numbers, texts and
mappings it can be saved with a brain.
"""

from __future__ import annotations

import functools
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ConfigError

Random = Callable[[], np.random.Generator]
"""Gives the random numbers of a group in a tick: the same ones for the same seed and tick."""


@dataclass(frozen=True)
class Input:
    """What a named input brings to a group in a tick.

    Parameters
    ----------
    bits : what it reads, bool[n].
    weights : float32[n, neurons]; not to be changed.
    drive : sum of the active weights of each neuron, float64[neurons]; inhibition is taken away.
    """

    bits: NDArray[np.bool_]
    weights: NDArray[np.float32]
    drive: NDArray[np.float64]


class Computation(ABC):
    """Decides which neurons of a group are active.

    Attributes
    ----------
    type_name : what a definition calls it; the class's name unless it is given.
    """

    type_name: ClassVar[str] = ""

    @abstractmethod
    def compute(self, inputs: Mapping[str, Input], random: Random) -> NDArray[np.bool_]:
        """Return which neurons are active, bool[neurons].

        Parameters
        ----------
        inputs : of the group, by name, ``MAIN`` among them.
        random : is called for a generator; without noise it need not be.
        """


def total(
    inputs: Mapping[str, Input], gains: Mapping[str, float] | None = None
) -> NDArray[np.float64]:
    """Return the sum of all inputs' drives, each times its gain (1 where none is given)."""
    gains = gains or {}
    parts = [
        each.drive if gains.get(name, 1.0) == 1.0 else each.drive * gains[name]
        for name, each in inputs.items()
    ]
    result = parts[0].copy()
    for part in parts[1:]:
        result += part
    return result


@functools.lru_cache(maxsize=256)
def share_of(fraction: float, count: int) -> int:
    """Return ``fraction`` of ``count``, rounded up: exactly as the decimal number is written."""
    # 0.07 · 100 is 7.000000000000001 in binary, and would be rounded up to 8.
    return math.ceil(Fraction(repr(float(fraction))) * count)


def check_number(name: str, value: Any) -> None:
    """Refuse a setting that is no finite number, by a ConfigError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ConfigError(f"{name}: must be a finite number (got {value!r})")


def _check_gains_and_noise(gains: Mapping[str, float], noise: float) -> None:
    if not isinstance(gains, Mapping):
        raise ConfigError(f"gains: must be a number for each input's name (got {gains!r})")
    for name, gain in gains.items():
        check_number(f"gains: {name}", gain)
    check_number("noise", noise)
    if noise < 0:
        raise ConfigError(f"noise: must be at least 0 (got {noise:g})")


@dataclass(frozen=True)
class StandardComputation(Computation):
    """A neuron is active where its drive is greater than a threshold.

    Parameters
    ----------
    threshold : strictly greater is needed.
    gains : factors of the inputs by name; negative ones inhibit.
    noise : the drive of each neuron moves by U(−noise, noise) in each tick.
    """

    type_name = "standard"
    threshold: float = 0.5
    gains: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold)
        _check_gains_and_noise(self.gains, self.noise)

    def compute(self, inputs: Mapping[str, Input], random: Random) -> NDArray[np.bool_]:
        """Return which neurons' drives are greater than the threshold."""
        drive = total(inputs, self.gains)
        if self.noise:
            drive += random().uniform(-self.noise, self.noise, drive.size)
        return np.asarray(drive > self.threshold)


@dataclass(frozen=True)
class SparseComputation(Computation):
    """The neurons with the largest drives are active: k winners take all.

    Of equal drives the neuron with the lower number wins.

    Parameters
    ----------
    n : how many: a whole number, or as a float a fraction of the group (rounded up).  0: none.
    threshold : a winner's drive must be greater, too; None: that many win in any case, driven or
        not.
    gains : factors of the inputs by name; negative ones inhibit.
    noise : the drive of each neuron moves by U(−noise, noise) in each tick.
    """

    type_name = "sparse"
    n: int | float = 0.02
    threshold: float | None = None
    gains: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0

    def __post_init__(self) -> None:
        whole = isinstance(self.n, (int, np.integer)) and not isinstance(self.n, bool)
        if not (self.n >= 0 if whole else isinstance(self.n, float) and 0.0 <= self.n <= 1.0):
            raise ConfigError(
                f"n: must be a whole number of at least 0, or a float within [0, 1] as a fraction"
                f" of the group (got {self.n!r})"
            )
        if self.threshold is not None:
            check_number("threshold", self.threshold)
        _check_gains_and_noise(self.gains, self.noise)

    def winners(self, size: int) -> int:
        """Return how many of ``size`` neurons win."""
        return min(size, share_of(self.n, size) if isinstance(self.n, float) else int(self.n))

    def compute(self, inputs: Mapping[str, Input], random: Random) -> NDArray[np.bool_]:
        """Return which neurons have the largest drives."""
        drive = total(inputs, self.gains)
        if self.noise:
            drive += random().uniform(-self.noise, self.noise, drive.size)
        count = self.winners(drive.size)
        if not count:
            return np.zeros(drive.size, np.bool_)
        last = np.partition(drive, drive.size - count)[drive.size - count]
        active = np.asarray(drive > last)
        equal = np.flatnonzero(drive == last)
        active[equal[: count - int(np.count_nonzero(active))]] = True
        if self.threshold is not None:
            active &= drive > self.threshold
        return active
