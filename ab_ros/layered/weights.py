"""Weights of layered brains: how they are drawn, summed and changed.

A weight is a whole multiple of 2⁻²⁴ in [0, 1], kept as float32.  Sums of such numbers in float64,
and steps from one to another, are exact; so they are the same bits whatever computes them, in
whatever order, on whatever machine, and equal sums are known to be equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.backend import choose_backend
from ab_ros.errors import ConfigError

Weights = NDArray[np.float32]
Bits = NDArray[np.bool_]

STEP = 2.0**-24
"""What weights are multiples of."""

_BLOCK = 2**16  # weights that are changed at once, so that they stay in the cache
DENSE = 16
"""One active neuron in so many, and whole rows are changed faster than single columns."""


def draw_weights(form: tuple[int, int], *seeds: int) -> Weights:
    """Return weights from U(0, 1), float32[form]; neither 0 nor 1 is drawn."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seeds)))
    return random.integers(1, 2**24, form, np.int32).astype(np.float32) * np.float32(STEP)


def snapped(weights: Weights) -> Weights:
    """Bring weights to the nearest allowed ones, in place, and return them.

    Raises
    ------
    ConfigError
        if one is not a number.
    """
    if np.isnan(weights).any():
        raise ConfigError("weights must be numbers (got nan)")
    np.clip(weights, 0.0, 1.0, out=weights)
    weights *= np.float32(2.0**24)
    np.rint(weights, out=weights)
    weights *= np.float32(STEP)
    return weights


def step(change: float) -> np.float32:
    """Return the multiple of :data:`STEP` that is nearest to a change of weights."""
    return np.float32(round(change / STEP) * STEP)


class Arithmetic:
    """Sums and steps of weights, by NumPy.

    :class:`~ab_ros.layered.kernels.CompiledArithmetic` gives the same bits, faster.
    """

    name = "numpy"

    def sum_rows(self, weights: Weights, rows: NDArray[np.intp], out: NDArray[np.float64]) -> None:
        """Sum the weights of active rows, column by column.

        Parameters
        ----------
        weights : [n, m].
        rows : numbers of the active ones, of n.
        out : float64[m], is overwritten.
        """
        if not rows.size:
            out[:] = 0.0
            return
        np.add.reduce(weights[rows], axis=0, dtype=np.float64, out=out)

    def shift(
        self, weights: Weights, before: Bits, after: Bits, both: np.float32, one: np.float32
    ) -> None:
        """Change weights in place, within [0, 1]; what is 0 stays 0.

        Parameters
        ----------
        weights : [n, m].
        before, after : which rows (n) and columns (m) are active.
        both : is added where row and column are active; a multiple of :data:`STEP`.
        one : is added where one of them is.
        """
        columns = np.flatnonzero(after)
        self._shift_rows(weights, np.flatnonzero(before), np.where(after, both, one))
        if not (one and columns.size):
            return
        silent = np.flatnonzero(~before)
        if columns.size * DENSE > after.size:
            self._shift_rows(weights, silent, np.where(after, one, np.float32(0)))
            return
        place = np.ix_(silent, columns)
        part = weights[place]
        _move(part, np.full(columns.size, one), np.empty(part.shape, np.bool_))
        weights[place] = part

    @staticmethod
    def _shift_rows(weights: Weights, rows: NDArray[np.intp], change: Weights) -> None:
        many = min(rows.size, max(1, _BLOCK // change.size))
        buffer = np.empty((many, change.size), np.float32)
        live = np.empty(buffer.shape, np.bool_)
        for start in range(0, rows.size, max(many, 1)):
            some = rows[start : start + many]
            part = buffer[: some.size]
            np.take(weights, some, axis=0, out=part, mode="clip")
            _move(part, change, live[: some.size])
            weights[some] = part


def choose_arithmetic(backend: str = "auto") -> Arithmetic:
    """Return what computes: ``numpy``, ``numba``, or ``auto`` for Numba where it works.

    Raises
    ------
    EngineError
        for an unknown name, or if Numba is asked for and missing.
    """
    if choose_backend(backend) == "numpy":
        return Arithmetic()
    from ab_ros.layered.kernels import CompiledArithmetic

    return CompiledArithmetic()


def _move(weights: Weights, change: Weights, live: Bits) -> None:
    if not (change > 0).any():
        # What only shrinks can pass neither 1 nor, from 0, anything.
        weights += change
        np.maximum(weights, 0, out=weights)
        return
    np.greater(weights, 0, out=live)
    weights += change
    np.clip(weights, 0, 1, out=weights)
    weights *= live
