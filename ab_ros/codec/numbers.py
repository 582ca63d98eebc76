"""Encoders of numbers: a rate for each value, or a population of cells for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.readings import NUMBERS, OUT_OF_RANGE, RangeSettings, read_in_range, read_numbers
from ab_ros.codec.trains import code_setting
from ab_ros.codec.tuning import GaussianTuning
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.values import Observation


@dataclass(frozen=True)
class RateSettings(RangeSettings):
    """A firing rate for each value, proportional to its place in a range."""

    lower: float = setting(0.0, doc="Value that is encoded by the lowest rate.")
    upper: float = setting(1.0, doc="Value that is encoded by the highest rate.")
    min_rate: float = setting(0.0, doc="Rate at the lower end.", unit="Hz", ge=0, le=1000)
    max_rate: float = setting(100.0, doc="Rate at the upper end.", unit="Hz", gt=0, le=1000)
    opponent: bool = setting(
        False,
        doc="Two cells for each value: one for how far it lies above the middle of the range, one"
        " for how far below.",
    )
    code: str = code_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_rate >= self.max_rate:
            raise ConfigError(
                f"min_rate: must be below max_rate ({self.min_rate:g} is not below"
                f" {self.max_rate:g} Hz)"
            )


@dataclass(frozen=True)
class PopulationSettings(RangeSettings):
    """A population of cells with Gaussian tuning for each value."""

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
    code: str = code_setting()


class ScalarRateEncoder(RateEncoder):
    """Each value as the rate of one cell, or of two opponent ones: a linear rate code.

    A value at ``lower`` has ``min_rate``, one at ``upper`` ``max_rate`` (E. D. Adrian, The Basis of
    Sensation, 1928).  With ``opponent``, a value's first cell has ``min_rate`` at the middle of the
    range and below, ``max_rate`` at the upper end; its second cell mirrors it.  The samples are
    numbers or joint states, see :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = RateSettings
    kinds = NUMBERS

    def __init__(self, settings: RateSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or RateSettings()
        super().__init__(s.count * (2 if s.opponent else 1), seed, s.code)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, value by value."""
        s = self.settings
        share = (read_in_range(observation, s) - s.lower) / (s.upper - s.lower)
        if s.opponent:
            above = 2.0 * share - 1.0
            share = np.maximum(np.stack((above, -above), axis=1), 0.0).reshape(-1)
        return np.asarray(s.min_rate + share * (s.max_rate - s.min_rate))


class PopulationEncoder(RateEncoder):
    """Each value by a population of cells with Gaussian tuning curves.

    A cell's rate falls off as exp(-d² / 2σ²) with the distance d of the value from its preferred
    one (A. Pouget, P. Dayan and R. Zemel, Nature Reviews Neuroscience 1, 2000; see
    :class:`~ab_ros.codec.tuning.GaussianTuning`).  The samples are numbers or joint states, see
    :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = PopulationSettings
    kinds = NUMBERS

    def __init__(self, settings: PopulationSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or PopulationSettings()
        super().__init__(s.count * s.cells, seed, s.code)
        self.tuning = GaussianTuning(s.lower, s.upper, s.cells, s.width, s.circular)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, value by value."""
        s = self.settings
        read = read_numbers if s.circular else read_in_range
        return np.asarray(s.max_rate * self.tuning.response(read(observation, s))).reshape(-1)
