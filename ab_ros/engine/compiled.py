"""The compiled backend: packs a circuit's arrays for the kernels.  Needs Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine import kernels, reward_kernels
from ab_ros.engine.circuit import Circuit
from ab_ros.engine.kernels import (
    AGE_COLUMNS,
    ALL,
    COINCIDENCE_WINDOW,
    COLUMN,
    COLUMN_SLOT,
    CRITICAL_PERIOD,
    DEPRESSING,
    DEVELOPMENTAL,
    DEVIATION,
    FACILITATING,
    FIRES,
    FIRST_FRAME,
    FIRST_FRAME_SIZE,
    FIXED,
    GAP_JUNCTION,
    GATED,
    JOBS,
    KIND,
    LAST_POST,
    LEARNING,
    LIFE,
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
    SLOT,
    SOURCE,
    SPIKES,
    STOPS,
    SYNAPSE_TRACE,
    TABLE_COLUMNS,
    THRESHOLD,
    TRANSMISSION,
    USE,
    WEAK,
)
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
_ACCOUNT = 4


class CompiledAdvance:
    """The compiled form of :func:`~ab_ros.engine.circuit.advance` for one circuit.

    Arrays of all rules that mean the same are laid end to end, and the rules' own attributes
    become views into them: the kernels are compiled once, whatever the network.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._kernel = kernels.advance
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
                rule.apply = reward_kernels.apply_reward
                rule.settle = self.settle_rewarded
                rule.apply_signal = reward_kernels.apply_signal
        self._arrays = (
            self._lay(tables, "rows", ROW, np.int32, 2),
            self._lay(tables, "targets", SLOT, np.int32),
            self._lay(tables, "weights", SLOT, real),
            self._lay(tables, "sources", SOURCE, np.int32),
            self._lay(tables, "column_ranges", COLUMN, np.int32, 2),
            self._lay(tables, "by_target", COLUMN_SLOT, np.int32),
            self._lay(self._rules, "pre_trace", PRE_TRACE, np.float64),
            self._lay(self._rules, "post_trace", POST_TRACE, np.float64),
            self._lay(self._rules, "trace", SYNAPSE_TRACE, real),
            self._lay(self._rules, "deviation", DEVIATION, np.float64),
            self._lay(self._rules, "modulators", MODULATORS, np.int64),
            self._lay(self._rules, "modulator_spikes", MODULATOR_SPIKES, np.int64),
            self._lay(self._rules, "eligibility", SYNAPSE_TRACE, real),
        )
        self._lives = (
            self._lay(self._rules, "coincidences", LIFE, np.int32),
            self._lay(self._rules, "fires", FIRES, np.int64),
            self._lay(self._rules, "history", FIRES, np.uint64),
            self._lay(self._rules, "last_pre", FIRES, np.int64),
            self._lay(self._rules, "last_post", LAST_POST, np.int64),
        )
        self._log = self._make_log(circuit)
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
        self._fired = np.empty(circuit.source_count + circuit.neurons.size, dtype=np.int64)

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
        if self._log[_ACCOUNT][SPIKES]:
            self._call(self._no_raster, self._no_drive, 0, ALL)

    def settle_rewarded(self) -> None:
        """Bring reward-modulated synapses up to date."""
        if self._log[_ACCOUNT][SPIKES] and self._settled_tick != self._circuit.tick:
            self._call(self._no_raster, self._no_drive, 0, REWARDED)
            self._settled_tick = self._circuit.tick

    def forget(self) -> None:
        """Drop what waits: the state was replaced."""
        latest, _, settled, _, account = self._log
        latest.fill(-1)
        settled.fill(0)
        account[:] = 0, self._circuit.tick, 0
        self._settled_tick = -1

    def _call(
        self, raster: NDArray[np.uint8], drive: NDArray[np.float64], ticks: int, settle: int
    ) -> None:
        circuit = self._circuit
        n = circuit.neurons
        self._kernel(
            circuit.tick,
            circuit.source_count,
            raster,
            drive,
            ticks,
            settle,
            self._learning,
            (n.a, n.b, n.c, n.d, n.v, n.u),
            circuit.pending,
            circuit.counts,
            self._tables,
            self._parameters,
            self._ages,
            self._arrays,
            self._lives,
            self._log,
            self._down,
            self._up,
            self._fired,
        )

    def _make_log(self, circuit: Circuit) -> tuple[NDArray[Any], ...]:
        start = 0
        for row, rule in zip(self._tables, self._rules, strict=True):
            if row[KIND] in (PLASTIC, REWARD_PLASTIC):
                row[SETTLED] = start
                start += rule.table.pre_size
        size = circuit.neurons.size if start else 0
        return (
            np.full((size, 4), -1, dtype=np.int32),
            np.zeros((size * _EVENTS_PER_NEURON, 2), dtype=np.int32),
            np.zeros(start, dtype=np.int32),
            np.zeros((JOBS, 2), dtype=np.int32),
            np.array([0, circuit.tick, 0], dtype=np.int64),
        )

    def _lay(
        self, owners: list[Any], name: str, column: int, dtype: Any, *width: int
    ) -> NDArray[Any]:
        """Lay the owners' arrays end to end, and put views of the whole in their place."""
        none = np.zeros((0, *width), dtype=dtype)
        parts = [getattr(owner, name, none) for owner in owners]
        whole = np.concatenate([none, *parts])
        start = 0
        for row, owner, part in zip(self._tables, owners, parts, strict=True):
            row[column] = start
            if part.size:
                setattr(owner, name, whole[start : start + len(part)])
            start += len(part)
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
    row[:ROW] = (
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
