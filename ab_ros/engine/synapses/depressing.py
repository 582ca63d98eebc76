"""Depressing synapses: they get weaker with use, and recover at rest.

After L. F. Abbott, J. A. Varela, K. Sen, S. B. Nelson, "Synaptic depression and cortical gain
control", Science 275 (1997).

A presynaptic spike multiplies the gain by ``factor`` and then delivers weight × gain; in every tick
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
class Depressing(Synapse):
    """Parameters of short-term depression; weights may have any sign.

    Parameters
    ----------
    factor : what a presynaptic spike multiplies the gain by, in [0, 1].
    tau_recovery : time constant of the return to 1, ticks, greater than 0.

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value.
    """

    type_name: ClassVar[str] = "depressing"

    factor: float = 0.5
    tau_recovery: float = 500.0

    def __post_init__(self) -> None:
        self._check("factor", ge=0.0, le=1.0)
        self._check("tau_recovery", gt=0.0)

    def rule(self, table: SynapseTable) -> DepressingRule:
        """Return the rule of a table of depressing synapses."""
        return DepressingRule(table, self)


class DepressingRule(GainRule):
    """The deviation is what is missing from 1."""

    def __init__(self, table: SynapseTable, parameters: Depressing) -> None:
        super().__init__(table, parameters.tau_recovery)
        self.parameters = parameters

    def use(self, pre: NDArray[np.intp]) -> NDArray[np.float64]:
        """Multiply by the factor."""
        missing = self.deviation[pre] * self.frame.value_of_stored
        gains = (1.0 - missing) * self.parameters.factor
        self.deviation[pre] = (1.0 - gains) * self.frame.stored_of_value
        return gains
