"""Short-term plasticity: a gain per presynaptic neuron that use changes and rest restores."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.decay import DecayFrame
from ab_ros.engine.synapses.rule import Rule
from ab_ros.engine.synapses.table import SynapseTable


class GainRule(Rule):
    """Deliver weight × gain; the gain's distance from 1 decays exponentially.

    All synapses of a table change alike, so that one gain serves all that a presynaptic neuron has
    in it.

    Attributes
    ----------
    deviation : float64[pre_size], distance of the gain from 1, in the scaled frame.
    """

    per_table = ("deviation", "deviation_age")

    def __init__(self, table: SynapseTable, tau_recovery: float) -> None:
        super().__init__(table)
        self.frame = DecayFrame(tau_recovery)
        self.deviation_age = self.frame.age
        self.deviation = np.zeros(table.pre_size)

    @abstractmethod
    def use(self, pre: NDArray[np.intp]) -> NDArray[np.float64]:
        """Change the gains of presynaptic neurons that fire, and return them, float64[fired]."""

    def frames(self) -> dict[str, DecayFrame]:
        """Return the frame of the gains."""
        return {"deviation_age": self.frame}

    def deliver(self, pre: NDArray[np.intp], into: NDArray[np.float64]) -> None:
        """Change the gains first, then send weight × gain."""
        table = self.table
        slots = table.row_slots(pre)
        gains = np.repeat(self.use(pre), table.row_start[pre + 1] - table.row_start[pre])
        np.add.at(into, table.targets[slots], table.weights[slots].astype(np.float64) * gains)

    def end_tick(self) -> None:
        """Let the gains relax."""
        self.frame.end_tick(self.deviation)

    def reset(self) -> None:
        """Return all gains to 1."""
        self.deviation.fill(0.0)
        self.deviation_age.fill(0)
