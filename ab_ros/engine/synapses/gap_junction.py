"""Gap junctions: electrical synapses, continuous and in both directions.

After W. Gerstner, W. M. Kistler, R. Naud, L. Paninski, "Neuronal Dynamics" (2014), section 3.1.

In every tick, before the neurons move, g · (v_source − v_target) flows into the target and out of
the source, with g = conductance × weight.  There is neither delay nor learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.rule import Reals, Rule, Synapse
from ab_ros.engine.synapses.table import SynapseTable
from ab_ros.errors import EngineError


@dataclass(frozen=True)
class GapJunction(Synapse):
    """Parameters of gap junctions.

    They join neurons only, and have no delay.  The weight of a synapse, at least 0, scales its
    conductance; a pair that is connected both ways has two junctions.

    Parameters
    ----------
    conductance : current per mV of difference, at least 0.

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value.
    """

    type_name: ClassVar[str] = "gap_junction"
    has_sources: ClassVar[bool] = True

    conductance: float = 0.1

    def __post_init__(self) -> None:
        self._check("conductance", ge=0.0)

    def rule(self, table: SynapseTable) -> GapJunctionRule:
        """Return the rule of a table of gap junctions."""
        return GapJunctionRule(table, self)

    def check_weights(self, weights: Reals, where: str) -> None:
        """Refuse weights that are not finite, or negative."""
        super().check_weights(weights, where)
        bad = np.flatnonzero(weights < 0)
        if bad.size:
            raise EngineError(
                f"{where}: weights of gap junctions must be at least 0"
                f" (got {weights[bad[0]]:g} at synapse {bad[0]})"
            )

    def check_connection(self, from_neurons: bool, delay: int, where: str) -> None:
        """Refuse spike sources, and delays."""
        if not from_neurons:
            raise EngineError(
                f"{where}: a gap junction joins neurons; a spike source has no membrane potential"
            )
        if delay != 1:
            raise EngineError(
                f"{where}: a gap junction has no delay; leave delay at 1 (got {delay})"
            )


class GapJunctionRule(Rule):
    """No state but the weights."""

    couples = True

    def __init__(self, table: SynapseTable, parameters: GapJunction) -> None:
        super().__init__(table)
        self.parameters = parameters

    def couple(
        self, potential: NDArray[np.float64], current: NDArray[np.float64], source_count: int
    ) -> None:
        """Add the currents of this tick: junction by junction, into the target first."""
        table = self.table
        target = table.post_start + table.targets
        source = table.pre_start - source_count + table.sources
        conductance = self.parameters.conductance * table.weights.astype(np.float64)
        flow = conductance * (potential[source] - potential[target])
        both = np.stack([flow, -flow], axis=1)
        np.add.at(current, np.stack([target, source], axis=1).ravel(), both.ravel())

    def deliver(self, pre: NDArray[np.intp], into: NDArray[np.float64]) -> None:
        """Do nothing: spikes cross a gap junction as potential only."""
