"""Facilitating synapses: they get stronger with use, and recover at rest.

After M. V. Tsodyks, K. Pawelzik, H. Markram, "Neural networks with dynamic synapses", Neural
Computation 10 (1998), reduced to a gain that starts at 1.

A presynaptic spike adds ``increment`` to the gain and then delivers weight × gain; in every tick
the gain's distance from 1 shrinks by exp(-1 / tau_recovery).  Learning switched off does not stop
this: it is transmission, not memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.gain import GainRule
from ab_ros.engine.synapses.rule import Synapse
from ab_ros.engine.synapses.table import SynapseTable


@dataclass(frozen=True)
class Facilitating(Synapse):
    """Parameters of short-term facilitation; weights may have any sign.

    Parameters
    ----------
    increment : what a presynaptic spike adds to the gain, at least 0.
    tau_recovery : time constant of the return to 1, ticks, greater than 0.

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value.
    """

    type_name: ClassVar[str] = "facilitating"

    increment: float = 0.2
    tau_recovery: float = 200.0

    def __post_init__(self) -> None:
        self._check("increment", ge=0.0)
        self._check("tau_recovery", gt=0.0)

    def rule(self, table: SynapseTable) -> FacilitatingRule:
        """Return the rule of a table of facilitating synapses."""
        return FacilitatingRule(table, self)


class FacilitatingRule(GainRule):
    """The deviation is what spikes have added."""

    def __init__(self, table: SynapseTable, parameters: Facilitating) -> None:
        super().__init__(table, parameters.tau_recovery)
        self.parameters = parameters

    def use(self, pre: NDArray[np.intp]) -> NDArray[np.float64]:
        """Add the increment."""
        stored = self.deviation[pre] + self.parameters.increment * self.frame.stored_of_value
        self.deviation[pre] = stored
        return 1.0 + stored * self.frame.value_of_stored
