"""Encoder of numbers by the tuning curves of the Neural Engineering Framework."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.readings import NUMBERS, RangeSettings, read_in_range
from ab_ros.codec.trains import code_setting
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.values import Observation

RESPONSES = ("lif", "rectified")


@dataclass(frozen=True)
class NefSettings(RangeSettings):
    """A population that represents all values of a sample together, as one vector."""

    lower: float = setting(-1.0, doc="Lower end of the range of values.")
    upper: float = setting(1.0, doc="Upper end of the range of values.")
    cells: int = setting(64, doc="Cells of the whole population.", ge=1, le=100_000)
    response: str = setting(
        "lif",
        doc="Rate over current: of a leaky integrate-and-fire cell, or a straight line above 0.",
        one_of=RESPONSES,
    )
    max_rate: tuple[float, float] = setting(
        (100.0, 200.0),
        doc="Lowest and highest of the cells' rates at the end of their directions.",
        unit="Hz",
        gt=0,
        le=1000,
    )
    intercept: tuple[float, float] = setting(
        (-1.0, 0.9),
        doc="Lowest and highest of the places along their directions where cells begin to fire"
        " (-1 to 1, of the end).",
        ge=-1,
        lt=1,
    )
    tau_rc: float = setting(
        0.02, doc="Membrane time constant of LIF cells.", unit="s", ge=1e-4, le=1
    )
    tau_ref: float = setting(0.002, doc="Refractory period of LIF cells.", unit="s", ge=0, le=0.1)
    tuning_seed: int = setting(
        0, doc="Of the cells' directions, rates and intercepts: they belong to the brain.", ge=0
    )
    code: str = code_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (low, high) in (("max_rate", self.max_rate), ("intercept", self.intercept)):
            if low > high:
                raise ConfigError(
                    f"{name}: the first must be at most the second ({low:g} is more than {high:g})"
                )
        if self.response == "lif" and self.tau_ref * self.max_rate[1] >= 0.99:
            raise ConfigError(
                f"max_rate: must be below 0.99 / tau_ref, {0.99 / self.tau_ref:g} Hz, of LIF cells"
                f" (got {self.max_rate[1]:g})"
            )


class NefTuning:
    """Tuning curves of cells that prefer random directions of a vector, see :class:`NefEncoder`.

    Parameters
    ----------
    settings : of the curves.

    Attributes
    ----------
    directions : float64[cells, count], of length 1.
    max_rates : float64[cells], Hz.
    intercepts : float64[cells] in [−1, 1).
    """

    def __init__(self, settings: NefSettings) -> None:
        self.settings = s = settings
        random = np.random.default_rng(s.tuning_seed)
        drawn = random.standard_normal((s.cells, s.count))
        self.directions = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        self.max_rates = random.uniform(*s.max_rate, s.cells)
        self.intercepts = random.uniform(*s.intercept, s.cells)
        if s.response == "lif":
            first = 1.0
            last = 1.0 / -np.expm1((s.tau_ref - 1.0 / self.max_rates) / s.tau_rc)
        else:
            first = 0.0
            last = self.max_rates
        self._gain = (last - first) / (1.0 - self.intercepts)
        self._bias = first - self._gain * self.intercepts

    def rates(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cells' rates, float64[cells] in Hz, for float64[count] of length at most 1."""
        s = self.settings
        current = self._gain * (self.directions @ vector) + self._bias
        if s.response == "rectified":
            return np.asarray(np.maximum(current, 0.0))
        rates = np.zeros(s.cells)
        fires = current > 1.0
        interval = s.tau_ref + s.tau_rc * -np.log1p(-1.0 / current[fires])
        rates[fires] = 1.0 / interval
        return rates


class NefEncoder(RateEncoder):
    """All values of a sample together, by cells with random preferred directions.

    Each value's range is mapped to [−1, 1], and the vector of d values is divided by √d, so that
    the sample x is nowhere longer than 1.

    Cell i has a direction e_i (a unit vector, uniform on the sphere), a highest rate r_i and an
    intercept c_i (uniform in their ranges), and fires at G(α_i · ⟨e_i, x⟩ + β_i): α_i and β_i are
    such that the rate begins to rise from 0 where ⟨e_i, x⟩ = c_i, and is r_i where it is 1.  Of LIF
    cells G(J) = 1 / (τ_ref + τ_rc · ln(J / (J − 1))) above J = 1, else 0; of rectified ones G(J) is
    J above 0, else 0 (C. Eliasmith and C. H. Anderson, Neural Engineering, 2003, chapters 2 and 4).

    The samples are numbers or joint states, see :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = NefSettings
    kinds = NUMBERS

    def __init__(self, settings: NefSettings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or NefSettings()
        super().__init__(s.cells, seed, s.code)
        self.tuning = NefTuning(s)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[cells] in Hz."""
        s = self.settings
        share = (read_in_range(observation, s) - s.lower) / (s.upper - s.lower)
        return self.tuning.rates((2.0 * share - 1.0) / math.sqrt(s.count))
