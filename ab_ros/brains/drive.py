"""Drive: keeps output populations in the range of rates in which they can learn."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.architecture import PopulationSettings


class DriveRegulator:
    """Adds a bias current to populations whose mean rate leaves [min_rate, max_rate].

    Motor neurons that are too quiet never learn, too loud ones learn badly.  The mean rate over
    ``window`` s is compared with the population's bounds after each window; outside, the bias
    moves by ``step`` towards them (homeostatic intrinsic plasticity, after Desai, Rutherford &
    Turrigiano, 1999).  Nothing moves while learning is off.

    Attributes
    ----------
    currents : {population: float64[size]} to add in the next cycle.
    rate : {population: Hz} of the last window.
    bias : {population: current}.
    """

    def __init__(
        self,
        populations: Mapping[str, PopulationSettings],
        dt: float,
        window: float = 1.0,
        step: float = 0.2,
    ) -> None:
        self._bounds = {
            name: (p.min_rate, p.max_rate)
            for name, p in populations.items()
            if p.min_rate > 0 or p.max_rate < 1000
        }
        sizes = {name: populations[name].size for name in self._bounds}
        self.currents = {name: np.zeros(size) for name, size in sizes.items()}
        self.rate = dict.fromkeys(self._bounds, math.nan)
        self.bias = dict.fromkeys(self._bounds, 0.0)
        self._spikes = dict.fromkeys(self._bounds, 0.0)
        self._elapsed = 0.0
        self._dt, self._window, self._step = dt, window, step

    def observe(self, fired: Mapping[str, NDArray[np.uint8]], learning: bool) -> None:
        """Count the spikes of a cycle, {population: uint8[T, N]}; move the bias after a window."""
        if not self._bounds:
            return
        for name in self._bounds:
            raster = fired[name]
            self._spikes[name] += float(raster.sum()) / raster.shape[1]
        self._elapsed += self._dt * next(iter(fired.values())).shape[0]
        if self._elapsed < self._window - 1e-9:
            return
        for name, (low, high) in self._bounds.items():
            rate = self._spikes[name] / self._elapsed
            self.rate[name] = rate
            self._spikes[name] = 0.0
            if learning and not low <= rate <= high:
                self.bias[name] += self._step if rate < low else -self._step
                self.currents[name][:] = self.bias[name]
        self._elapsed = 0.0

    def complaints(self) -> list[str]:
        """Return a sentence for each population that is out of range."""
        return [
            f"population {name!r} fires at {self.rate[name]:.1f} Hz, outside {low:g} to {high:g} Hz"
            f" (bias now {self.bias[name]:+.1f})"
            for name, (low, high) in self._bounds.items()
            if not math.isnan(self.rate[name]) and not low <= self.rate[name] <= high
        ]

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what has to be saved."""
        table = [
            [self.bias[name], self.rate[name], self._spikes[name], self._elapsed]
            for name in self._bounds
        ]
        return {"table": np.array(table, np.float64).reshape(-1, 4)}

    def restore(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Take back what :meth:`state` returned."""
        for name, row in zip(self._bounds, state["table"], strict=True):
            self.bias[name], self.rate[name] = float(row[0]), float(row[1])
            self._spikes[name], self._elapsed = float(row[2]), float(row[3])
            self.currents[name][:] = self.bias[name]
