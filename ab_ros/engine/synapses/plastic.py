"""Plastic synapses: spike-timing-dependent plasticity with soft bounds.

After S. Song, K. D. Miller, L. F. Abbott, "Competitive Hebbian learning through
spike-timing-dependent synaptic plasticity", Nature Neuroscience 3 (2000), with the soft bounds of
R. Gütig et al., Journal of Neuroscience 23 (2003).

In each tick, in this order:

1. a presynaptic spike weakens by ``lr * 0.5 * y * (w - w_min) / (w_max - w_min)``, where y is the
   trace of the target, and adds 1 to its own trace x;
2. a postsynaptic spike strengthens by ``lr * x * (w_max - w) / (w_max - w_min)`` and adds 1 to y;
3. x decays by exp(-1 / tau_plus), y by exp(-1 / tau_minus).

An inhibitory synapse (w_min < 0, w_max <= 0) strengthens away from 0.  Learning sees spikes when
they are fired, whatever the delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.decay import DecayFrame
from ab_ros.engine.synapses.rule import BoundedSynapse, Rule
from ab_ros.engine.synapses.table import SynapseTable

DEPRESSION = 0.5
"""Weakening relative to strengthening."""


@dataclass(frozen=True)
class Plastic(BoundedSynapse):
    """Parameters of spike-timing-dependent plasticity.

    Parameters
    ----------
    lr : learning rate, at least 0.
    w_min, w_max : bounds of the weight, w_min < w_max.
    tau_plus : time constant of the presynaptic trace, ticks, greater than 0.
    tau_minus : time constant of the target's trace, ticks, greater than 0.

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value.
    """

    type_name: ClassVar[str] = "plastic"
    may_settle: ClassVar[bool] = True

    tau_plus: float = 20.0
    tau_minus: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("tau_plus", gt=0.0)
        self._check("tau_minus", gt=0.0)

    def rule(self, table: SynapseTable) -> PlasticRule:
        """Return the rule of a table of plastic synapses."""
        return PlasticRule(table, self)


class PlasticRule(Rule):
    """Traces per neuron, float64[pre] and float64[post], in scaled frames."""

    learns = True
    per_table: ClassVar[tuple[str, ...]] = ("pre_trace", "post_trace", "pre_age", "post_age")

    def __init__(self, table: SynapseTable, parameters: Plastic) -> None:
        super().__init__(table)
        self.parameters = parameters
        self.pre_frame = DecayFrame(parameters.tau_plus)
        self.post_frame = DecayFrame(parameters.tau_minus)
        self.pre_age, self.post_age = self.pre_frame.age, self.post_frame.age
        self.pre_trace = np.zeros(table.pre_size)
        self.post_trace = np.zeros(table.post_size)

    def frames(self) -> dict[str, DecayFrame]:
        """Return the frames of both traces."""
        return {"pre_age": self.pre_frame, "post_age": self.post_frame}

    def learn(self, pre: NDArray[np.intp], post: NDArray[np.intp], learning: bool) -> None:
        """Weaken at presynaptic spikes, strengthen at postsynaptic ones; update the traces."""
        table, lr, bounds = self.table, self.parameters.lr, self.parameters.bounds
        if pre.size:
            if learning:
                slots = table.row_slots(pre)
                factor = lr * DEPRESSION * self.post_frame.value_of_stored
                amount = factor * self.post_trace[table.targets[slots]]
                table.weights[slots] = bounds.moved(table.weights[slots], amount, bounds.weak)
            self.pre_trace[pre] += self.pre_frame.stored_of_value
        if post.size:
            if learning:
                slots = table.column_slots(post)
                factor = lr * self.pre_frame.value_of_stored
                amount = factor * self.pre_trace[table.sources[slots]]
                table.weights[slots] = bounds.moved(table.weights[slots], amount, bounds.strong)
            self.post_trace[post] += self.post_frame.stored_of_value

    def end_tick(self) -> None:
        """Decay both traces."""
        self.pre_frame.end_tick(self.pre_trace)
        self.post_frame.end_tick(self.post_trace)

    def reset(self) -> None:
        """Clear both traces."""
        for array in (self.pre_trace, self.post_trace, self.pre_age, self.post_age):
            array.fill(0)
