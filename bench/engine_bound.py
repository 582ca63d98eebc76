"""The speed that memory alone would allow, from rates measured on this machine."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import engine_network as shared
import numpy as np
from numba import njit

from ab_ros.engine.prefetch import LINE, prefetch

# Read a b c d v u and two currents, write v, u and a current, 8 bytes each; write the spike.
NEURON_BYTES = 89


@njit
def _stream(arrays: Any, last: Any) -> None:
    for i in range(arrays.shape[1]):
        total = arrays[0, i] + arrays[1, i] + arrays[2, i] + arrays[3, i] + arrays[6, i]
        arrays[4, i] = arrays[4, i] + total
        arrays[5, i] = arrays[5, i] - total
        arrays[7, i] = arrays[7, i] * 0.0
        last[i] = total > 0.0


@njit
def _rows(targets: Any, weights: Any, rows: Any, length: int) -> float:
    total, whole = np.float32(0.0), 0
    for k in range(rows.size):
        row = rows[k]
        if k + 2 < rows.size:
            for s in range(rows[k + 2] * length, (rows[k + 2] + 1) * length, LINE // 4):
                prefetch(targets, s)
                prefetch(weights, s)
        for s in range(row * length, (row + 1) * length):
            whole += targets[s]
        for s in range(row * length, (row + 1) * length):
            total += weights[s]
    return total + whole


@njit
def _scatter(into: Any, where: Any) -> None:
    for i in where:
        into[i] += 1.0


@cache
def rates(neurons: int) -> tuple[float, float, float]:
    """Return seconds per byte of streams, of random rows, and of random values read and written."""
    rng = np.random.default_rng(0)
    arrays, spikes = np.zeros((8, neurons)), np.zeros(neurons, dtype=np.uint8)
    stream = _fastest(lambda: _stream(arrays, spikes)) / (neurons * NEURON_BYTES)
    size = neurons * shared.K
    targets, weights = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.float32)
    order = rng.permutation(neurons)[: min(neurons, 20_000)]
    row = _fastest(lambda: _rows(targets, weights, order, shared.K)) / (order.size * shared.K * 8)
    where = rng.integers(0, neurons, 1_000_000)
    scatter = _fastest(lambda: _scatter(arrays[0], where)) / (where.size * 8)
    return stream, row, scatter


def bound(neurons: int, fan_out: float, rate: float, learning: float, workload: str) -> float:
    """Return ticks per second.

    Parameters
    ----------
    neurons, fan_out : size of the network, synapses per neuron.
    rate : Hz.
    learning : part of the synapses that learns.
    workload : fixed, stdp or three.
    """
    stream, row, scatter = rates(neurons)
    events = neurons * fan_out * rate / 1000.0
    learned = events * learning
    seconds = neurons * NEURON_BYTES * stream + events * (8 * row + 8 * scatter)
    if workload == "stdp":
        seconds += learned * (4 * row + 24 * scatter)
    elif workload == "three":
        # Trace and eligibility, read and written.
        seconds += learned * (16 * row + 16 * scatter)
    return 1.0 / seconds


def _fastest(run: Any) -> float:
    run()
    spent = []
    for _ in range(7):
        begin = time.process_time()
        run()
        spent.append(time.process_time() - begin)
    return min(spent)
