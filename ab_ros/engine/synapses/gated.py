"""Gated synapses: a group of modulator neurons opens and closes them.

The learning rule is that of plastic synapses (:mod:`~ab_ros.engine.synapses.plastic`); the gate
follows the idea of gating by neuromodulation and attention in T. P. Vogels, L. F. Abbott, "Gating
multiple signals through detailed balance of excitation and inhibition in spiking networks", Nature
Neuroscience 12 (2009), reduced to a threshold.

The modulator is active in a tick if the spikes of its neurons in the last 50 ticks, this one
included, divided by (neurons · 50), are at least ``threshold``.  While it is not active,
presynaptic spikes are not delivered (gate ``transmission``), weights do not change (``learning``),
or both.
What counts for a spike is the gate when it is fired, not when it arrives.  Traces always go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.synapses.plastic import Plastic, PlasticRule
from ab_ros.engine.synapses.table import SynapseTable
from ab_ros.engine.validation import check_count
from ab_ros.errors import EngineError, one_of

WINDOW = 50
"""Ticks over which the activity of a modulator is measured."""
GATES = ("transmission", "learning", "both")


@dataclass(frozen=True)
class Gated(Plastic):
    """Parameters of gated synapses: those of plastic ones, and of the gate.

    Parameters
    ----------
    lr : learning rate, at least 0.
    w_min, w_max : bounds of the weight, w_min < w_max.
    tau_plus, tau_minus : time constants of the traces, ticks, greater than 0.
    threshold : activity from which the gate is open, spikes per neuron and tick, in [0, 1].
    gate : what the gate stops: transmission, learning or both.
    modulator : name of the group of neurons or spike source that opens the gate.
    modulator_neurons : which of its neurons, indices in the group; None for all.

    Raises
    ------
    EngineError
        naming the parameter, the bound that it breaks, and its value; when the network is built,
        if the modulator is missing from it or has no neurons.
    """

    type_name: ClassVar[str] = "gated"
    may_settle: ClassVar[bool] = False

    threshold: float = 0.3
    gate: Literal["transmission", "learning", "both"] = "transmission"
    modulator: str = ""
    modulator_neurons: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("threshold", ge=0.0, le=1.0)
        if self.gate not in GATES:
            raise EngineError(f"Gated.gate: unknown {self.gate!r}; {one_of(GATES)}")
        if not isinstance(self.modulator, str):
            raise EngineError(f"Gated.modulator: must be a group's name (got {self.modulator!r})")
        if self.modulator_neurons is not None:
            where = "Gated.modulator_neurons"
            if not isinstance(self.modulator_neurons, tuple | list | np.ndarray):
                raise EngineError(f"{where}: must be indices (got {self.modulator_neurons!r})")
            indices = tuple(check_count(where, index, ge=0) for index in self.modulator_neurons)
            if len(set(indices)) < len(indices):
                raise EngineError(f"{where}: an index stands twice (got {list(indices)})")
            object.__setattr__(self, "modulator_neurons", indices)

    @property
    def gates_transmission(self) -> bool:
        """Whether a closed gate stops spikes."""
        return self.gate != "learning"

    @property
    def gates_learning(self) -> bool:
        """Whether a closed gate stops changes of weights."""
        return self.gate != "transmission"

    def rule(self, table: SynapseTable) -> GatedRule:
        """Return the rule of a table of gated synapses."""
        return GatedRule(table, self)


class GatedRule(PlasticRule):
    """The rule of plastic synapses behind a gate.

    Attributes
    ----------
    modulators : int64, the modulator's neurons in the index space of spike sources and neurons.
    modulator_spikes : int64[50], their spikes in each of the last ticks; tick t in entry t mod 50.
    active : whether the modulator is active in the present tick.
    """

    per_table = (*PlasticRule.per_table, "modulator_spikes")
    observes = True
    parameters: Gated

    def __init__(self, table: SynapseTable, parameters: Gated) -> None:
        super().__init__(table, parameters)
        self.modulators = np.empty(0, dtype=np.int64)
        self.modulator_spikes = np.zeros(WINDOW, dtype=np.int64)
        self.active = False

    def bind(self, groups: Mapping[str, tuple[int, int]], where: str) -> None:
        """Find the modulator's neurons; see :meth:`Rule.bind`."""
        name, indices = self.parameters.modulator, self.parameters.modulator_neurons
        if not name:
            raise EngineError(f"{where}: Gated.modulator: names no group; {one_of(groups)}")
        if name not in groups:
            raise EngineError(f"{where}: Gated.modulator: unknown {name!r}; {one_of(groups)}")
        start, size = groups[name]
        chosen = np.arange(size) if indices is None else np.array(indices, dtype=np.int64)
        if not chosen.size:
            raise EngineError(f"{where}: Gated.modulator_neurons: the modulator has no neurons")
        if chosen.max() >= size:
            raise EngineError(
                f"{where}: Gated.modulator_neurons: must be in [0, {size}), the neurons of"
                f" {name!r} (got {chosen.max()})"
            )
        self.modulators = start + np.sort(chosen).astype(np.int64)

    def observe(self, spikes: NDArray[np.uint8], tick: int) -> None:
        """Count the modulator's spikes, and open or close the gate."""
        self.modulator_spikes[tick % WINDOW] = np.count_nonzero(spikes[self.modulators])
        activity = self.modulator_spikes.sum() / (self.modulators.size * WINDOW)
        self.active = bool(activity >= self.parameters.threshold)

    def deliver(self, pre: NDArray[np.intp], into: NDArray[np.float64]) -> None:
        """Send spikes on their way if the gate lets them."""
        if self.active or not self.parameters.gates_transmission:
            super().deliver(pre, into)

    def learn(self, pre: NDArray[np.intp], post: NDArray[np.intp], learning: bool) -> None:
        """Learn if the gate lets it; update the traces."""
        allowed = self.active or not self.parameters.gates_learning
        super().learn(pre, post, learning and allowed)

    def check_values(self, values: Mapping[str, NDArray[Any]], where: str) -> None:
        """Refuse counts of spikes that the modulator cannot have fired."""
        spikes, most = values["modulator_spikes"], self.modulators.size
        if ((spikes < 0) | (spikes > most)).any():
            raise EngineError(f"{where}/modulator_spikes' must be in [0, {most}]")

    def reset(self) -> None:
        """Clear the traces, and forget the modulator's spikes."""
        super().reset()
        self.modulator_spikes.fill(0)
        self.active = False
