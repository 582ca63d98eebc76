"""Numba kernels for rewards, which come between ticks; see :mod:`~ab_ros.engine.kernels`.

Other threads of Python go on meanwhile, here as there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Compiled code is cached with this function in it, and the cache only notices changes of this file:
# touch it after a change of `moved`.
from ab_ros.engine.compilation import compiled
from ab_ros.engine.synapse_kernels import moved


@compiled
def apply_reward(
    weights: Any,
    eligibility: Any,
    marks: Any,
    slots: Any,
    every: bool,
    place: int,
    factor: float,
    later: Any,
    left: Any,
    left_now: float,
    gain: float,
    bound: float,
    w_min: float,
    w_max: float,
) -> None:
    """Do what :func:`~ab_ros.engine.synapses.reward_plastic.apply_reward` does, compiled."""
    for k in range(weights.size if every else slots.size):
        s = k if every else slots[k]
        if place < 0:
            stored = np.float64(eligibility[s])
            eligibility[s] = stored * 0.5
        else:
            stored = np.float64(marks[place, s])
            spent = stored * 0.5
            marks[place, s] = spent
            for index in range(later.size):
                kept = np.float64(marks[later[index], s]) - spent * left[index]
                marks[later[index], s] = max(kept, 0.0)
            kept = np.float64(eligibility[s]) - spent * left_now
            eligibility[s] = max(kept, 0.0)
        if gain != 0.0:
            weight = np.float64(weights[s])
            weights[s] = moved(weight, gain * (stored * factor), bound, w_min, w_max)


@compiled
def apply_signal(
    weights: Any,
    eligibility: Any,
    slots: Any,
    every: bool,
    gain: float,
    bound: float,
    w_min: float,
    w_max: float,
) -> None:
    """Do what :func:`~ab_ros.engine.synapses.reward_plastic.apply_signal` does, compiled."""
    for k in range(weights.size if every else slots.size):
        s = k if every else slots[k]
        amount = gain * np.float64(eligibility[s])
        weights[s] = moved(np.float64(weights[s]), amount, bound, w_min, w_max)
