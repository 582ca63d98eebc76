"""The built form of a network: neurons, synapse tables and spikes in flight, ready to be ticked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.groups import NeuronGroup, SourceGroup
from ab_ros.engine.neurons import NeuronState
from ab_ros.engine.sorting import stable_order
from ab_ros.engine.synapses.rule import UNENDING, Rule, Selection, Synapse
from ab_ros.engine.synapses.table import SynapseTable
from ab_ros.engine.wiring import Synapses, numbers
from ab_ros.errors import EngineError

# Largest array [pre, post] that is made.
_MAX_MATRIX = 50_000_000


@dataclass(frozen=True)
class Projection:
    """Synapses of one type from one group to another, as they were connected.

    Parameters
    ----------
    name : unique.
    synapse : type and parameters.
    from_neurons : whether the source is a neuron group, else a spike source.
    pre_start, pre_size : the connected part, among all neurons or all spike sources.
    post_start, post_size : the connected part among all neurons.
    delay : ticks, at least 1.
    layer : the reward layer, if any.
    """

    name: str
    synapse: Synapse
    from_neurons: bool
    pre_start: int
    pre_size: int
    post_start: int
    post_size: int
    delay: int
    layer: str | None


@dataclass(frozen=True)
class Placement:
    """Where the synapses of a projection, ordered by (pre, post), lie: slots of a rule's table.

    ``part`` is where they lay when the table was made.
    """

    projection: Projection
    rule: Rule
    part: Selection
    pre_start: int

    @cached_property
    def signature(self) -> NDArray[np.uint64]:
        """A digest of everything but the weights, uint64[1]."""
        digest = hashlib.sha256(repr(self.projection).encode())
        for index in self.edges(self.slots):
            digest.update(np.ascontiguousarray(index, "<i8").data)
        return np.frombuffer(digest.digest()[:8], dtype="<u8").astype(np.uint64)

    @property
    def slots(self) -> Selection:
        """The slots of the synapses that were connected, in the order of (pre, post)."""
        # Only a table that has one projection is ever reordered.
        return self.rule.table.in_order if isinstance(self.part, slice) else self.part

    @property
    def living(self) -> Selection:
        """The slots of the synapses that exist still."""
        alive = self.rule.living()
        if alive is None:
            return self.slots
        slots = np.arange(self.rule.table.size)[self.slots]
        return slots[alive[slots]]

    def edges(self, slots: Selection | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pre and post of the synapses in ``slots``, or of all that exist still.

        They are relative to the connected parts.
        """
        table = self.rule.table
        slots = self.living if slots is None else slots
        rows = np.repeat(np.arange(table.pre_size), np.diff(table.row_start))[slots]
        pre = rows + (table.pre_start - self.pre_start)
        post = table.targets[slots].astype(np.int64)
        return pre, post + (table.post_start - self.projection.post_start)

    def matrix(self, values: NDArray[Any]) -> NDArray[Any]:
        """Arrange values per slot as an array [pre, post], NaN where there is no synapse.

        Raises
        ------
        EngineError
            if that were too large.
        """
        shape = self.projection.pre_size, self.projection.post_size
        if shape[0] * shape[1] > _MAX_MATRIX:
            raise EngineError(
                f"projection {self.projection.name!r}: {shape[0]} x {shape[1]} is too large for"
                f" an array [pre, post]; use edges()"
            )
        matrix = np.full(shape, np.nan, dtype=values.dtype)
        slots = self.living
        matrix[self.edges(slots)] = values[slots]
        return matrix

    def values_of(self, given: ArrayLike) -> NDArray[np.float64]:
        """Turn a number, an array [pre, post] or an array [synapses] into one value per synapse.

        Raises
        ------
        EngineError
            for another shape, or NaN anywhere but exactly where there is no synapse.
        """
        where = f"projection {self.projection.name!r}"
        shape = self.projection.pre_size, self.projection.post_size
        edges = self.edges()
        count = edges[0].size
        values = numbers(given, where)
        if values.ndim == 0:
            return np.full(count, float(values))
        if values.shape == shape:
            given_edges = ~np.isnan(values)
            if int(given_edges.sum()) != count or not given_edges[edges].all():
                raise EngineError(f"{where}: weights must be NaN exactly where no synapse is")
            return values[edges]
        if values.shape != (count,):
            raise EngineError(
                f"{where}: weights must be a number, or have the shape [pre, post] = {shape}"
                f" or [synapses] = ({count},) (got {values.shape})"
            )
        return values


class Circuit:
    """Neurons, rules and delay lines.

    Attributes
    ----------
    source_count : indices below it are spike sources, those from it on are neurons.
    neurons : parameters and state of the neurons.
    rules : one per distinct (synapse parameters, delay), or per projection for the types that keep
        accounts of each.
    placements : by projection name.
    pending : float64[longest delay + 1, neurons], input that arrives at tick t in row t modulo
        the number of rows.
    tick : ticks since the start.
    external : float64[neurons], room for the current of a tick.
    counts : int64[neurons], spikes of each neuron.
    restless : the rules that change more than spikes tell them to.
    settle : brings weights, traces and eligibility up to date where the backend lets them wait;
        to be called before they are read or written from outside.
    forget : tells the backend that what waited is void, because the state was replaced.
    """

    def __init__(
        self,
        sources: list[SourceGroup],
        groups: list[NeuronGroup],
        projections: list[tuple[Projection, Synapses]],
        real: type[np.floating[Any]],
        settling: bool = False,
    ) -> None:
        self.source_count = sum(source.size for source in sources)
        self.neurons = NeuronState([group.parameters for group in groups])
        self.rules: list[Rule] = []
        self.placements: dict[str, Placement] = {}
        self.tick = 0
        self.counts = np.zeros(self.neurons.size, dtype=np.int64)
        self.settle: Callable[[], None] = _nothing
        self.forget: Callable[[], None] = _nothing
        self._settling = settling
        self.external = np.empty(self.neurons.size)
        starts = {source.name: (source.start, source.size) for source in sources}
        for group in groups:
            starts[group.name] = (self.source_count + group.start, group.size)
        longest = max((p.delay for p, _ in projections), default=1)
        self.pending = np.zeros((longest + 1, self.neurons.size))
        alike: dict[tuple[Synapse, int, str], list[tuple[Projection, Synapses]]] = {}
        for projection, synapses in projections:
            own = "" if projection.synapse.shares_table else projection.name
            key = (projection.synapse, projection.delay, own)
            alike.setdefault(key, []).append((projection, synapses))
        for members in alike.values():
            rule = self._place(members, real)
            rule.bind(starts, f"projection {members[0][0].name!r}")
        self.restless = [r for r in self.rules if type(r).intervene is not Rule.intervene]
        self._due = np.zeros(len(self.restless), dtype=np.int64)
        self._due_learning = True
        self.plan_anew()

    def plan_anew(self) -> None:
        """Ask the restless rules anew when they are due; called when that may have changed."""
        self._due.fill(0)
        self._next_due = 0

    def quiet_ticks(self, learning: bool) -> int:
        """Return the number of ticks, at least 1, after which :meth:`intervene` is due."""
        if not self.restless:
            return UNENDING
        if learning != self._due_learning:
            self._due_learning = learning
            self.plan_anew()
        if self._next_due <= self.tick:
            for index in (self._due <= self.tick).nonzero()[0].tolist():
                self._due[index] = self.tick + self.restless[index].quiet_ticks(learning)
            self._next_due = int(self._due.min())
        return self._next_due - self.tick

    def intervene(self, learning: bool) -> None:
        """Let the rules that are due do what is due after the present tick."""
        if self.restless and self._next_due == self.tick:
            for index in (self._due == self.tick).nonzero()[0].tolist():
                self.restless[index].intervene(learning)

    def _place(
        self, members: list[tuple[Projection, Synapses]], real: type[np.floating[Any]]
    ) -> Rule:
        """Make the table of projections that have synapse parameters and delay in common."""
        synapse, delay = members[0][0].synapse, members[0][0].delay
        starts = [p.pre_start + p.from_neurons * self.source_count for p, _ in members]
        pre = _joined([s.pre + start for (_, s), start in zip(members, starts, strict=True)])
        post = _joined([s.post + p.post_start for p, s in members])
        weight = synapse.within_bounds(_joined([s.weight for _, s in members]))
        slots: list[Selection] = [slice(None)]
        if len(members) > 1:
            # Stable: within a row, projections keep the order in which they were connected.
            order = stable_order(pre)
            pre, post, weight = pre[order], post[order], weight[order]
            slot_of = np.empty(order.size, dtype=np.intp)
            slot_of[order] = np.arange(order.size)
            ends = np.cumsum([s.pre.size for _, s in members])
            slots = list(np.split(slot_of, ends[:-1]))
        columns = synapse.has_columns and not (self._settling and synapse.may_settle)
        sources = columns or synapse.has_sources
        rule = synapse.rule(SynapseTable(pre, post, weight, delay, real, columns, sources))
        self.rules.append(rule)
        for (projection, _), start, part in zip(members, starts, slots, strict=True):
            self.placements[projection.name] = Placement(projection, rule, part, start)
        return rule

    def reset(self) -> None:
        """Return all dynamic state to the start; the weights stay."""
        self.settle()
        self.neurons.reset()
        self.pending.fill(0.0)
        self.tick = 0
        for rule in self.rules:
            rule.reset()
        self.plan_anew()
        self.forget()


def _nothing() -> None:
    pass


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays end to end; a single one as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


Advance = Callable[[Circuit, NDArray[np.uint8], NDArray[np.float64], bool], None]


def advance_in_spans(
    circuit: Circuit,
    advance: Advance,
    raster: NDArray[np.uint8],
    drive: NDArray[np.float64],
    learning: bool,
) -> None:
    """Tick a circuit, pausing after every tick in which a rule changes more than spikes tell it to.

    What is done then is the same code whatever the backend.  For the parameters see
    :func:`advance`, which is one of those that ``advance`` may be.
    """
    first, ticks = 0, raster.shape[0]
    while first < ticks:
        last = min(first + circuit.quiet_ticks(learning), ticks)
        part = drive if drive.shape[0] == 1 else drive[first:last]
        advance(circuit, raster[first:last], part, learning)
        circuit.intervene(learning)
        first = last


def advance(
    circuit: Circuit,
    raster: NDArray[np.uint8],
    drive: NDArray[np.float64],
    learning: bool,
) -> None:
    """Tick a circuit: the NumPy path, which the compiled one follows operation by operation.

    Parameters
    ----------
    raster : uint8[T, sources + neurons]; the sources' part is read, the neurons' part written.
    drive : float64[T, neurons], external current of each tick, or float64[1, neurons] for all.
    learning : whether weights may change.
    """
    neurons, rows = circuit.neurons, circuit.pending.shape[0]
    first = circuit.source_count
    couplings = [rule for rule in circuit.rules if rule.couples]
    observers = [rule for rule in circuit.rules if rule.observes]
    for spikes, external in zip(
        raster, np.broadcast_to(drive, (len(raster), neurons.size)), strict=True
    ):
        arriving = circuit.pending[circuit.tick % rows]
        for rule in couplings:
            rule.couple(neurons.v, arriving, first)
        np.add(external, arriving, out=circuit.external)
        arriving.fill(0.0)
        neurons.step(circuit.external, spikes[first:])
        circuit.counts += spikes[first:]
        for rule in observers:
            rule.observe(spikes, circuit.tick)
        for rule in circuit.rules:
            table = rule.table
            pre = spikes[table.pre_start : table.pre_stop].nonzero()[0]
            if pre.size:
                later = circuit.pending[(circuit.tick + table.delay) % rows]
                rule.deliver(pre, later[table.post_start : table.post_stop])
            if rule.learns:
                post = spikes[first + table.post_start : first + table.post_stop].nonzero()[0]
                if pre.size or post.size:
                    rule.learn(pre, post, learning)
            rule.end_tick()
        circuit.tick += 1
