"""Encoders of plain numbers: a rate for each value, or a population of cells for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.tuning import GaussianTuning
from ab_ros.config import setting
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation

OUT_OF_RANGE = ("clip", "refuse")


@dataclass(frozen=True)
class RateSettings:
    """A firing rate for each value, proportional to its place in a range."""

    values: int = setting(1, doc="Values of a sample.", ge=1, le=100_000)
    lower: float = setting(0.0, doc="Value that is encoded by the lowest rate.")
    upper: float = setting(1.0, doc="Value that is encoded by the highest rate.")
    min_rate: float = setting(0.0, doc="Rate at the lower end.", unit="Hz", ge=0, le=1000)
    max_rate: float = setting(100.0, doc="Rate at the upper end.", unit="Hz", gt=0, le=1000)
    opponent: bool = setting(
        False,
        doc="Two cells for each value: one for how far it lies above the middle of the range, one"
        " for how far below.",
    )
    out_of_range: str = setting(
        "clip",
        doc="What becomes of values outside: the nearest end, or the sample is refused.",
        one_of=OUT_OF_RANGE,
    )

    def __post_init__(self) -> None:
        _check_range(self.lower, self.upper)
        if self.min_rate >= self.max_rate:
            raise ConfigError(
                f"min_rate: must be below max_rate ({self.min_rate:g} is not below"
                f" {self.max_rate:g} Hz)"
            )


@dataclass(frozen=True)
class PopulationSettings:
    """A population of cells with Gaussian tuning for each value."""

    values: int = setting(1, doc="Values of a sample.", ge=1, le=100_000)
    lower: float = setting(0.0, doc="Preferred value of the first cell.")
    upper: float = setting(1.0, doc="Preferred value of the last cell.")
    cells: int = setting(8, doc="Cells for each value.", ge=2, le=4096)
    width: float = setting(
        1.0, doc="Sigma of a cell's tuning, in distances between cells.", gt=0, le=100
    )
    max_rate: float = setting(
        100.0, doc="Rate at a cell's preferred value.", unit="Hz", gt=0, le=1000
    )
    circular: bool = setting(
        False, doc="Whether lower and upper are the same value, as -pi and pi of an angle are."
    )
    out_of_range: str = setting(
        "clip",
        doc="What becomes of values outside: the nearest end, or the sample is refused; a circular"
        " range has no outside.",
        one_of=OUT_OF_RANGE,
    )

    def __post_init__(self) -> None:
        _check_range(self.lower, self.upper)


def read_values(observation: Observation, count: int) -> NDArray[np.float64]:
    """Return the numbers of a sample, float64[count].

    ``data`` is an array of numbers of any shape, read row by row; a number alone is one, too.

    Raises
    ------
    ObservationError
        if it is no such array, has another number of values, or one that is not finite.
    """
    where = f"input {observation.id!r}"
    data = observation.data
    if isinstance(data, bytes) or np.asarray(data).dtype.kind not in "iuf":
        raise ObservationError(f"{where}: the sample must be an array of numbers")
    values = np.asarray(data, np.float64).reshape(-1)
    if values.size != count:
        raise ObservationError(
            f"{where}: the sample must have {count} value{'s' * (count > 1)}, as the encoder's"
            f" setting 'values' says (got {values.size})"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ObservationError(
            f"{where}: values must be finite (value {bad[0]} is {values[bad[0]]})"
        )
    return values


class ScalarRateEncoder(RateEncoder):
    """Each value as the rate of one cell, or of two opponent ones: a linear rate code.

    A value at ``lower`` has ``min_rate``, one at ``upper`` ``max_rate`` (E. D. Adrian, The Basis of
    Sensation, 1928).  With ``opponent``, a value's first cell has ``min_rate`` at the middle of the
    range and below, ``max_rate`` at the upper end; its second cell mirrors it.  The samples are
    those of the kinds Scalar and Vector, see :func:`read_values`.
    """

    def __init__(self, settings: RateSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or RateSettings()
        super().__init__(s.values * (2 if s.opponent else 1), seed)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, value by value."""
        s = self.settings
        values = _within(observation, read_values(observation, s.values), s)
        share = (values - s.lower) / (s.upper - s.lower)
        if s.opponent:
            above = 2.0 * share - 1.0
            share = np.maximum(np.stack((above, -above), axis=1), 0.0).reshape(-1)
        return np.asarray(s.min_rate + share * (s.max_rate - s.min_rate))


class PopulationEncoder(RateEncoder):
    """Each value by a population of cells with Gaussian tuning curves, as regular-rate trains.

    See :class:`~ab_ros.codec.tuning.GaussianTuning`.  The samples are those of the kinds Scalar and
    Vector, see :func:`read_values`.
    """

    def __init__(self, settings: PopulationSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or PopulationSettings()
        super().__init__(s.values * s.cells, seed)
        self.tuning = GaussianTuning(s.lower, s.upper, s.cells, s.width, s.circular)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, value by value."""
        s = self.settings
        values = read_values(observation, s.values)
        if not s.circular:
            values = _within(observation, values, s)
        return np.asarray(s.max_rate * self.tuning.response(values)).reshape(-1)


def _check_range(lower: float, upper: float) -> None:
    if lower >= upper:
        raise ConfigError(f"lower: must be below upper ({lower:g} is not below {upper:g})")


def _within(
    observation: Observation,
    values: NDArray[np.float64],
    settings: RateSettings | PopulationSettings,
) -> NDArray[np.float64]:
    lower, upper = settings.lower, settings.upper
    outside = np.flatnonzero((values < lower) | (values > upper))
    if outside.size and settings.out_of_range == "refuse":
        raise ObservationError(
            f"input {observation.id!r}: value {outside[0]} must be in [{lower:g}, {upper:g}]"
            f" (got {values[outside[0]]:g})"
        )
    return np.clip(values, lower, upper)
