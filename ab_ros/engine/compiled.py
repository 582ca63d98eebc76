"""The compiled backend: packs a circuit's arrays for the kernels.  Needs Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.circuit import Circuit
from ab_ros.engine.kernels import advance
from ab_ros.engine.layout import (
    AGE_COLUMNS,
    ALL,
    BY_TARGET,
    COINCIDENCE_WINDOW,
    COINCIDENCES,
    COLUMN,
    CRITICAL_PERIOD,
    DEPRESSING,
    DEVELOPMENTAL,
    DEVIATION,
    ELIGIBILITY,
    FACILITATING,
    FIRES,
    FIRST_FRAME,
    FIRST_FRAME_SIZE,
    FIXED,
    GAP_JUNCTION,
    GATED,
    HISTORIES,
    JOBS,
    KIND,
    LAST_POST,
    LAST_PRE,
    LEARNING,
    MODULATOR_COUNT,
    MODULATOR_SPIKES,
    MODULATORS,
    NOTHING,
    PARAMETER_COLUMNS,
    PLASTIC,
    POST_TRACE,
    PRE_TRACE,
    REWARD_PLASTIC,
    REWARDED,
    ROW,
    SETTLED,
    SOURCE,
    SPIKES,
    STOPS,
    TABLE_COLUMNS,
    TARGET,
    THRESHOLD,
    TRACE,
    TRANSMISSION,
    USE,
    WEAK,
    WEIGHT,
)
from ab_ros.engine.reward_kernels import apply_reward, apply_signal
from ab_ros.engine.synapses.decay import DecayFrame
from ab_ros.engine.synapses.depressing import DepressingRule
from ab_ros.engine.synapses.developmental import DevelopmentalRule
from ab_ros.engine.synapses.facilitating import FacilitatingRule
from ab_ros.engine.synapses.fixed import FixedRule
from ab_ros.engine.synapses.gap_junction import GapJunctionRule
from ab_ros.engine.synapses.gated import GatedRule
from ab_ros.engine.synapses.plastic import PlasticRule
from ab_ros.engine.synapses.reward_plastic import RewardPlasticRule
from ab_ros.engine.synapses.rule import BoundedSynapse, Rule

# Target spikes that the log has room for; the more, the seldomer all synapses must be settled.
_EVENTS_PER_NEURON = 16
# Attributes of rules and tables by where the kernels look for their place.
_INTS = {
    ROW: "rows",
    TARGET: "targets",
    SOURCE: "sources",
    COLUMN: "column_ranges",
    BY_TARGET: "by_target",
    SETTLED: "settled",
    COINCIDENCES: "coincidences",
}
_LONGS = {
    MODULATORS: "modulators",
    MODULATOR_SPIKES: "modulator_spikes",
    FIRES: "fires",
    HISTORIES: "history",
    LAST_PRE: "last_pre",
    LAST_POST: "last_post",
}
_REALS = {WEIGHT: "weights", TRACE: "trace", ELIGIBILITY: "eligibility"}
_DOUBLES = {PRE_TRACE: "pre_trace", POST_TRACE: "post_trace", DEVIATION: "deviation"}


class CompiledAdvance:
    """The compiled form of :func:`~ab_ros.engine.circuit.advance` for one circuit.

    Arrays of all rules that mean the same are laid end to end, and the rules' own attributes
    become views into them: the kernels are compiled once, whatever the network.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._kernel = advance
        self._circuit = circuit
        self._learning = True
        self._settled_tick = -1
        circuit.settle, circuit.forget = self.settle, self.forget
        self._no_raster = np.zeros((0, circuit.source_count + circuit.neurons.size), dtype=np.uint8)
        self._no_drive = np.zeros((0, circuit.neurons.size))
        self._rules = circuit.rules
        tables = [rule.table for rule in circuit.rules]
        real = tables[0].real if tables else np.dtype(np.float32)
        self._tables = np.zeros((len(tables), TABLE_COLUMNS), dtype=np.int64)
        self._parameters = np.zeros((len(tables), PARAMETER_COLUMNS))
        self._ages = np.zeros((len(tables), AGE_COLUMNS), dtype=np.int64)
        self._frames = [list(rule.frames().values()) for rule in circuit.rules]
        for row, parameters, rule in zip(self._tables, self._parameters, self._rules, strict=True):
            _describe(rule, row, parameters)
            if isinstance(rule, RewardPlasticRule):
                rule.apply = apply_reward
                rule.settle = self.settle_rewarded
                rule.apply_signal = apply_signal
        waiting = [rule for rule in self._rules if type(rule) in (PlasticRule, RewardPlasticRule)]
        for rule in waiting:
            rule.settled = np.zeros(rule.table.pre_size, dtype=np.int32)
        self._ints = self._lay(np.int32, _INTS)
        longs = self._lay(np.int64, _LONGS)
        usual = {FIXED, PLASTIC, REWARD_PLASTIC}.issuperset(self._tables[:, KIND].tolist())
        self._longs = None if usual else longs
        self._reals = self._lay(real, _REALS)
        self._doubles = self._lay(np.float64, _DOUBLES)
        self._settled = [rule.settled for rule in waiting]
        n = circuit.neurons
        size = n.size if waiting else 0
        self._log = (
            np.full((size, 4), -1, dtype=np.int32),
            np.zeros((size * _EVENTS_PER_NEURON, 2), dtype=np.int32),
            np.zeros((JOBS, 2), dtype=np.int32),
        )
        self._account = np.zeros(3, dtype=np.int64)
        self._neurons = np.stack([n.a, n.b, n.c, n.d, n.v, n.u])
        n.a, n.b, n.c, n.d, n.v, n.u = self._neurons
        for ages, rule in zip(self._ages, self._rules, strict=True):
            _share_clocks(rule, ages)
        frames: list[DecayFrame] = []
        for row, pair in zip(self._tables, self._frames, strict=True):
            for index, frame in enumerate(pair):
                row[FIRST_FRAME + 2 * index] = sum(f.down.size for f in frames)
                row[FIRST_FRAME_SIZE + 2 * index] = frame.down.size
                frames.append(frame)
        empty = [np.zeros(0)]
        self._down = np.concatenate([f.down for f in frames] or empty)
        self._up = np.concatenate([f.up for f in frames] or empty)
        self._fired = np.empty(2 * (circuit.source_count + n.size), dtype=np.int64)

    def __call__(
        self,
        circuit: Circuit,
        raster: NDArray[np.uint8],
        drive: NDArray[np.float64],
        learning: bool,
    ) -> None:
        """Tick the circuit; see :func:`~ab_ros.engine.circuit.advance`."""
        if learning != self._learning:
            # What has waited is settled under the rule of its time.
            self.settle()
            self._learning = learning
        self._call(raster, drive, raster.shape[0], NOTHING)
        circuit.tick += raster.shape[0]

    def settle(self) -> None:
        """Bring all synapses up to date."""
        if self._account[SPIKES]:
            self._call(self._no_raster, self._no_drive, 0, ALL)

    def settle_rewarded(self) -> None:
        """Bring reward-modulated synapses up to date."""
        if self._account[SPIKES] and self._settled_tick != self._circuit.tick:
            self._call(self._no_raster, self._no_drive, 0, REWARDED)
            self._settled_tick = self._circuit.tick

    def forget(self) -> None:
        """Drop what waits: the state was replaced."""
        self._log[0].fill(-1)
        for settled in self._settled:
            settled.fill(0)
        self._account[:] = 0, self._circuit.tick, 0
        self._settled_tick = -1

    def _call(
        self, raster: NDArray[np.uint8], drive: NDArray[np.float64], ticks: int, settle: int
    ) -> None:
        circuit = self._circuit
        self._kernel(
            circuit.tick,
            circuit.source_count,
            raster,
            drive,
            ticks,
            settle,
            self._learning,
            self._neurons,
            circuit.pending,
            circuit.counts,
            self._tables,
            self._parameters,
            self._ages,
            self._ints,
            self._reals,
            self._doubles,
            self._log,
            self._account,
            self._down,
            self._up,
            self._fired,
            self._longs,
        )

    def _lay(self, dtype: Any, places: dict[int, str]) -> NDArray[Any]:
        """Lay arrays of all rules end to end, and put views of the whole in their place.

        ``places`` names the attributes, of rules or of their tables, by the column that tells the
        kernels where they start.
        """
        found = []
        total = 0
        for row, rule in zip(self._tables, self._rules, strict=True):
            for column, name in places.items():
                owner = rule.table if hasattr(rule.table, name) else rule
                part = getattr(owner, name, None)
                row[column] = total
                if part is not None and part.size:
                    found.append((owner, name, part, total))
                    total += part.size
        whole = np.zeros(total, dtype=dtype)
        for owner, name, part, start in found:
            view = whole[start : start + part.size].view(part.dtype).reshape(part.shape)
            view[...] = part
            setattr(owner, name, view)
        return whole


def _share_clocks(rule: Rule, ages: NDArray[np.int64]) -> None:
    """Put views of the kernels' ages in the place of a rule's own."""
    for index, (name, frame) in enumerate(rule.frames().items()):
        clock = ages[index : index + 1]
        clock[:] = frame.age
        frame.age = clock
        setattr(rule, name, clock)
    if isinstance(rule, DevelopmentalRule):
        ages[2] = rule.age[0]
        rule.age = ages[2:3]


def _describe(rule: Rule, row: NDArray[np.int64], parameters: NDArray[np.float64]) -> None:
    kinds: dict[type[Rule], int] = {
        FixedRule: FIXED,
        PlasticRule: PLASTIC,
        RewardPlasticRule: REWARD_PLASTIC,
        FacilitatingRule: FACILITATING,
        DepressingRule: DEPRESSING,
        GapJunctionRule: GAP_JUNCTION,
        GatedRule: GATED,
        DevelopmentalRule: DEVELOPMENTAL,
    }
    table = rule.table
    row[:FIRST_FRAME] = (
        kinds[type(rule)],
        table.delay,
        table.size,
        table.pre_start,
        table.pre_stop,
        table.post_start,
        table.post_stop,
    )
    synapse = getattr(rule, "parameters", None)
    if isinstance(synapse, BoundedSynapse):
        bounds = synapse.bounds
        parameters[: WEAK + 1] = (
            synapse.lr,
            bounds.w_min,
            bounds.w_max,
            bounds.strong,
            bounds.weak,
        )
    if isinstance(rule, FacilitatingRule):
        parameters[USE] = rule.parameters.increment
    elif isinstance(rule, DepressingRule):
        parameters[USE] = rule.parameters.factor
    elif isinstance(rule, GapJunctionRule):
        parameters[USE] = rule.parameters.conductance
    elif isinstance(rule, GatedRule):
        gated = rule.parameters
        parameters[THRESHOLD] = gated.threshold
        row[MODULATOR_COUNT] = rule.modulators.size
        row[STOPS] = TRANSMISSION * gated.gates_transmission + LEARNING * gated.gates_learning
    elif isinstance(rule, DevelopmentalRule):
        row[COINCIDENCE_WINDOW] = rule.parameters.coincidence_window
        row[CRITICAL_PERIOD] = rule.parameters.critical_period
