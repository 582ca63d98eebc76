"""Scalar and cyclic encoders: a value as a block of active bits among silent ones.

:func:`scalar_bits` and :func:`cyclic_bits` are the codes themselves, without spikes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.readings import NUMBERS, RangeSettings, read_in_range, read_numbers
from ab_ros.codec.trains import code_setting
from ab_ros.config import setting
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def scalar_bits(
    values: ArrayLike, lower: float, upper: float, length: int, active: int
) -> NDArray[np.bool_]:
    """Return values as blocks of active bits whose place says where in its range a value lies.

    A block has length − active + 1 places, and each stands for an equal part of the range: near
    values share bits, values further apart than the block is long share none (S. Purdy, "Encoding
    data for HTM systems", arXiv:1602.05925, 2016).

    Parameters
    ----------
    values : one, or an array of them, each in [lower, upper].
    lower, upper : of the range, lower < upper.
    length : bits for a value.
    active : of them, 1 … length.

    Returns
    -------
    NDArray
        bool[…, length] for values of the form […].

    Raises
    ------
    ConfigError
        for a range that is empty or not finite, or a number of bits that does not fit.
    ObservationError
        for a value that is not in the range, or not a number.
    """
    places = _places(values, lower, upper, length, active, length - active + 1)
    offset = np.arange(length) - places[..., None]
    return np.asarray((offset >= 0) & (offset < active))


def cyclic_bits(
    values: ArrayLike, lower: float, upper: float, length: int, active: int
) -> NDArray[np.bool_]:
    """Return values as blocks of active bits on a ring, so that the range's ends are neighbours.

    As :func:`scalar_bits`, but a block has ``length`` places: one that runs over the last bit goes
    on at the first.
    """
    places = _places(values, lower, upper, length, active, length)
    return np.asarray((np.arange(length) - places[..., None]) % length < active)


def wrapped(values: NDArray[np.float64], lower: float, upper: float) -> NDArray[np.float64]:
    """Return values of a cyclic range, those outside turned round it into [lower, upper]."""
    outside = (values < lower) | (values > upper)
    turned = lower + np.mod(values - lower, upper - lower)
    # Rounding may bring a value just above the upper end.
    return np.where(outside, np.minimum(turned, upper), values)


def _places(
    values: ArrayLike, lower: float, upper: float, length: int, active: int, places: int
) -> NDArray[np.int64]:
    if not (lower < upper and math.isfinite(upper - lower)):
        raise ConfigError(f"lower: must be below upper ({lower:g} is not below {upper:g})")
    if not 1 <= active <= length:
        raise ConfigError(f"active: must be at least 1 and at most {length} bits (got {active})")
    wide = np.asarray(values, np.float64)
    outside = wide[~((wide >= lower) & (wide <= upper))]
    if outside.size:
        raise ObservationError(f"value must be in [{lower:g}, {upper:g}] (got {outside[0]:g})")
    share = (wide - lower) / (upper - lower)
    return np.minimum(np.floor(share * places), places - 1).astype(np.int64)


@dataclass(frozen=True)
class ScalarSettings(RangeSettings):
    """Each value as a block of active cells among silent ones."""

    cells: int = setting(64, doc="Cells for each value.", ge=1, le=4096)
    active: int = setting(8, doc="Cells of them that are active at a time.", ge=1, le=4096)
    max_rate: float = setting(100.0, doc="Rate of an active cell.", unit="Hz", gt=0, le=1000)
    code: str = code_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.active > self.cells:
            raise ConfigError(
                f"active: must be at most the number of cells ({self.active} is more than"
                f" {self.cells})"
            )


@dataclass(frozen=True)
class CyclicSettings(ScalarSettings):
    """Each value of a range that closes on itself as a block of active cells on a ring."""

    lower: float = setting(
        -3.141592653589793, doc="Lower end of the range of values; the same value as the upper."
    )
    upper: float = setting(3.141592653589793, doc="Upper end of the range of values.")
    out_of_range: str = setting(
        "wrap",
        doc="What becomes of values outside: they go round, or the sample is refused.",
        one_of=("wrap", "refuse"),
    )


class ScalarEncoder(RateEncoder):
    """Each value as a contiguous block of active cells among silent ones.

    Near values share cells (S. Purdy, arXiv:1602.05925, 2016; see :func:`scalar_bits`).  Active
    cells spike at ``max_rate``, the others are silent.  The samples are numbers or joint
    states, see :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = ScalarSettings
    kinds = NUMBERS

    def __init__(self, settings: ScalarSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or ScalarSettings()
        super().__init__(s.count * s.cells, seed, s.code)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, value by value."""
        s = self.settings
        values = read_in_range(observation, s)
        bits = scalar_bits(values, s.lower, s.upper, s.cells, s.active)
        return np.asarray(s.max_rate * bits.reshape(-1))


class CyclicEncoder(RateEncoder):
    """Each value of a cyclic range as a block of active cells on a ring.

    For angles, and times of day: near values share cells (S. Purdy, arXiv:1602.05925, 2016; see
    :func:`cyclic_bits`).  Active cells spike at ``max_rate``, the others are silent.  The
    samples are numbers or joint states, see :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = CyclicSettings
    kinds = NUMBERS

    def __init__(self, settings: CyclicSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or CyclicSettings()
        super().__init__(s.count * s.cells, seed, s.code)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, value by value."""
        s = self.settings
        if s.out_of_range == "wrap":
            values = wrapped(read_numbers(observation, s), s.lower, s.upper)
        else:
            values = read_in_range(observation, s)
        bits = cyclic_bits(values, s.lower, s.upper, s.cells, s.active)
        return np.asarray(s.max_rate * bits.reshape(-1))
