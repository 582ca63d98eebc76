"""The network that the engine's benchmark gives to all simulators, as arrays; NumPy is enough.

Five neuron types, 80 % of the neurons excitatory, 100 synapses per neuron to targets drawn at
random, a delay of one tick, constant currents that differ from neuron to neuron.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

K = 100
# Part of all neurons, and a, b, c, d.
TYPES = {
    "RS": (0.5, (0.02, 0.2, -65.0, 8.0)),
    "IB": (0.15, (0.02, 0.2, -55.0, 4.0)),
    "CH": (0.15, (0.02, 0.2, -50.0, 2.0)),
    "FS": (0.1, (0.1, 0.2, -65.0, 2.0)),
    "LTS": (0.1, (0.02, 0.25, -65.0, 2.0)),
}
EXCITATORY_PART = 0.8
EXCITATION, INHIBITION = 0.5, -2.0
# Of all synapses; only excitatory ones learn.
LEARNING_PART = 0.3
LEARNING_RATE, W_MAX = 0.001, 2.0
TAU, TAU_ELIGIBLE, DEPRESSION = 20.0, 500.0, 0.5
# A reward comes every so many ticks.
REWARD_INTERVAL, REWARD = 200, 0.5
WARM_UP = 400


def network(neurons: int) -> dict[str, NDArray[Any]]:
    """Return parameters a, b, c, d, currents of level 1, and synapses pre, post, weight, learns."""
    rng = np.random.default_rng(neurons)
    sizes = [round(part * neurons) for part, _ in TYPES.values()]
    sizes[0] += neurons - sum(sizes)
    values = np.repeat([abcd for _, abcd in TYPES.values()], sizes, axis=0)
    pre = np.repeat(np.arange(neurons, dtype=np.int64), K)
    # Pairs that are drawn twice are one synapse.
    pre, post = np.divmod(np.unique(pre * neurons + rng.integers(0, neurons, pre.size)), neurons)
    inhibitory = pre >= round(EXCITATORY_PART * neurons)
    learns = ~inhibitory & (rng.random(pre.size) < LEARNING_PART / EXCITATORY_PART)
    return {
        **{name: np.ascontiguousarray(values[:, index]) for index, name in enumerate("abcd")},
        "current": rng.uniform(0.0, 2.0, neurons),
        "pre": pre.astype(np.int32),
        "post": post.astype(np.int32),
        "weight": np.where(inhibitory, INHIBITION, EXCITATION),
        "learns": learns,
    }


def load(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what np.savez has written."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
