"""Numba kernels for the weights of layered brains: the same bits as NumPy's, faster."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.compilation import compiled
from ab_ros.layered.weights import DENSE, Arithmetic, Bits, Weights


class CompiledArithmetic(Arithmetic):
    """Sums and steps of weights, compiled."""

    name = "numba"

    def __init__(self) -> None:
        # They are compiled, or read from the disk, now, and not while a robot waits.
        weights, bits = np.zeros((1, 1), np.float32), np.zeros(1, np.bool_)
        self.sum_rows(weights, np.flatnonzero(bits), np.zeros(1))
        self.shift(weights, bits, bits, np.float32(0), np.float32(0))

    def sum_rows(self, weights: Weights, rows: NDArray[np.intp], out: NDArray[np.float64]) -> None:
        """Sum the weights of active rows, column by column."""
        _sum_rows(weights, rows, out)

    def shift(
        self, weights: Weights, before: Bits, after: Bits, both: np.float32, one: np.float32
    ) -> None:
        """Change weights in place, within [0, 1]; what is 0 stays 0."""
        _shift(weights, before, after, np.flatnonzero(after), both, one)


@compiled
def _sum_rows(weights: Any, rows: Any, out: Any) -> None:
    out[:] = 0.0
    for r in rows:
        row = weights[r]
        for c in range(row.size):
            out[c] += row[c]


@compiled
def _shift(weights: Any, before: Any, after: Any, columns: Any, both: Any, one: Any) -> None:
    zero, top = np.float32(0), np.float32(1)
    when_active = np.empty(after.size, np.float32)
    when_silent = np.empty(after.size, np.float32)
    for c in range(after.size):
        when_active[c] = both if after[c] else one
        when_silent[c] = one if after[c] else zero
    dense = columns.size * DENSE > after.size
    for r in range(before.size):
        row = weights[r]
        if before[r] or (dense and one != zero):
            change = when_active if before[r] else when_silent
            for c in range(row.size):
                old = row[c]
                new = min(max(old + change[c], zero), top)
                row[c] = new if old > zero else zero
        elif one != zero:
            for c in columns:
                old = row[c]
                new = min(max(old + one, zero), top)
                row[c] = new if old > zero else zero
