"""Gaussian tuning curves: how a population of cells shares the range of a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class GaussianTuning:
    """Cells with preferred values that are evenly spaced over a range.

    A cell's response falls off as exp(-d² / 2σ²) with the distance d from its preferred value, and
    neighbouring cells overlap, so that any value is told by which cells respond (A. Pouget,
    P. Dayan and R. Zemel, "Information processing with population codes", Nature Reviews
    Neuroscience 1, 2000).

    Parameters
    ----------
    lower, upper : preferred values of the first and last cell; of a circular range, whose ends are
        the same value, ``upper`` is the first cell's again.
    cells : at least 2.
    width : σ in distances between cells.
    circular : whether the range closes on itself, as angles do.
    """

    def __init__(
        self, lower: float, upper: float, cells: int, width: float, circular: bool = False
    ) -> None:
        self.period = upper - lower if circular else None
        self.centres = np.linspace(lower, upper, cells, endpoint=not circular)
        self._sigma = width * (upper - lower) / (cells if circular else cells - 1)

    def response(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cells' responses to values, float64[values, cells] in [0, 1]."""
        distance = values[:, None] - self.centres
        if self.period is not None:
            distance -= self.period * np.round(distance / self.period)
        return np.asarray(np.exp(-0.5 * (distance / self._sigma) ** 2))
