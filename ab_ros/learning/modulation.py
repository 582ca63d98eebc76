"""The reward rule: from rewards on the wire to the modulation of synapses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ab_ros.values import Reward


class RewardModulation:
    """Maps a reward r in [0, 1] to m = 2r - 1, minus a running baseline, clipped to [-1, 1].

    Parameters
    ----------
    layers : the STDP3 layers; one without a reward of its own gets the global reward.
    baseline_cycles : time constant of the running mean of 2r - 1, in rewards; 0 for none.
        Subtracting it leaves the reward prediction error (Schultz, Dayan & Montague, 1997).
    """

    def __init__(self, layers: Iterable[str], baseline_cycles: float = 0.0) -> None:
        self.layers = tuple(layers)
        self.baseline = np.zeros(len(self.layers))
        self._rate = 1.0 / max(baseline_cycles, 1.0) if baseline_cycles > 0 else 0.0

    def modulate(self, reward: Reward) -> Mapping[str, float]:
        """Return {layer: m} and move the baseline."""
        result = {}
        for index, layer in enumerate(self.layers):
            raw = 2.0 * reward.by_layer.get(layer, reward.overall) - 1.0
            result[layer] = float(np.clip(raw - self.baseline[index], -1.0, 1.0))
            self.baseline[index] += self._rate * (raw - self.baseline[index])
        return result

    def reset(self) -> None:
        """Forget the baseline."""
        self.baseline[:] = 0.0

    def restore(self, baseline: NDArray[np.float64]) -> None:
        """Take back a saved baseline, float64[layers]."""
        self.baseline[:] = baseline
