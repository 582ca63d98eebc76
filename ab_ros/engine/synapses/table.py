"""Where synapses lie in memory: compressed rows by presynaptic neuron, columns by target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.sorting import stable_order
from ab_ros.errors import EngineError

Slots = NDArray[np.integer[Any]]
# Slots are indexed by int32.
_MAX_SYNAPSES = 2**31 - 1


class SynapseTable:
    """Synapses of one type, one set of parameters and one delay.

    A *slot* is the place of a synapse in the table.  Slots are ordered by presynaptic neuron, so
    that the slots of one neuron are neighbours (its row).  Tables of learning synapses may also
    know the slots of each target (its column).  Synapses that are pruned move to the ends of their
    rows, and drop out of their columns.

    Parameters
    ----------
    pre : presynaptic index of each synapse, in the index space that spike sources and neurons
        share; ascending.
    post : target neuron of each synapse.
    weight : weight of each synapse.
    delay : ticks from a spike to its arrival, at least 1.
    real : numpy dtype of the stored weights, float32 or float64.
    columns : whether to index the synapses by target, too.
    sources : whether to know the presynaptic neuron of each slot.

    Attributes
    ----------
    pre_start, pre_stop, post_start, post_stop : the ranges that the synapses touch.
    row_start : int64[pre_size + 1], slots of row i are row_start[i]:row_start[i + 1].
    rows : int32[pre_size, 2], first and last slot plus 1 of those in each row that are not pruned.
    targets, sources : int32[synapses], relative to ``post_start`` and ``pre_start``; ``sources``
        may be empty.
    weights : real[synapses].
    column_ranges : int32[post_size, 2], first and last index plus 1 into ``by_target``.
    by_target : int32[synapses], slots that are not pruned sorted by target, then by slot.
    slot_of : int32[synapses], the slots in the order of (pre, post); None if that is the order
        in which they lie.
    """

    def __init__(
        self,
        pre: NDArray[np.integer[Any]],
        post: NDArray[np.integer[Any]],
        weight: NDArray[np.floating[Any]],
        delay: int,
        real: type[np.floating[Any]],
        columns: bool,
        sources: bool,
    ) -> None:
        self.size = int(pre.size)
        if self.size > _MAX_SYNAPSES:
            raise EngineError(f"a table holds at most {_MAX_SYNAPSES} synapses (got {self.size})")
        self.delay = delay
        self.real = np.dtype(real)
        self.columns = columns
        self.pre_start, self.pre_stop = int(pre[0]), int(pre[-1]) + 1
        self.post_start, self.post_stop = int(post.min()), int(post.max()) + 1
        # Rows lie one after the other: to find where each begins is faster than to count.
        rows = np.arange(self.pre_start, self.pre_stop + 1, dtype=pre.dtype)
        self.row_start = np.searchsorted(pre, rows).astype(np.int64)
        self.targets = (post - self.post_start).astype(np.int32)
        self.weights = weight.astype(real)
        self.sources = (pre - self.pre_start if sources else pre[:0]).astype(np.int32)
        self.rows = _pairs(self.row_start)
        self.column_ranges = np.zeros((0, 2), dtype=np.int32)
        self.by_target = np.empty(0, dtype=np.int32)
        if columns:
            order = stable_order(self.targets)
            self.by_target = order.astype(np.int32)
            self.column_ranges = _pairs(_starts(self.targets, self.post_size))
        self.slot_of: NDArray[np.int32] | None = None
        self._row_length = _uniform(self.rows)
        self._column_length = _uniform(self.column_ranges)

    @property
    def pre_size(self) -> int:
        """How many presynaptic neurons the rows cover."""
        return self.pre_stop - self.pre_start

    @property
    def post_size(self) -> int:
        """How many target neurons the columns cover."""
        return self.post_stop - self.post_start

    @property
    def in_order(self) -> slice | NDArray[np.intp]:
        """The slots in the order of (pre, post)."""
        return slice(None) if self.slot_of is None else self.slot_of.astype(np.intp)

    def row_slots(self, active: NDArray[np.intp]) -> Slots:
        """Return the slots of the rows ``active`` (relative to ``pre_start``), in order."""
        return _ranges(self.rows, active, self._row_length)

    def column_slots(self, active: NDArray[np.intp]) -> Slots:
        """Return the slots of the targets ``active`` (relative to ``post_start``), in order."""
        slots: Slots = self.by_target[_ranges(self.column_ranges, active, self._column_length)]
        return slots

    def compact(self, alive: NDArray[np.bool_], moving: list[NDArray[Any]]) -> None:
        """Put the slots of living synapses first in their rows, in the order of their targets.

        Parameters
        ----------
        alive : bool[synapses], by slot.
        moving : further arrays with a value per slot, reordered in place as the table's are.
        """
        order = np.lexsort((self.targets, ~alive, self.sources)).astype(np.int32)
        for values in (self.targets, self.weights, *moving):
            values[:] = values[order]
        alive = alive[order]
        # Slots of a row stay in that row, so that the sources stand.
        self.slot_of = np.lexsort((self.targets, self.sources)).astype(np.int32)
        self.rows[:, 1] = self.rows[:, 0] + np.bincount(
            self.sources[alive], minlength=self.pre_size
        )
        slots = np.flatnonzero(alive)
        targets = self.targets[slots]
        self.by_target[: slots.size] = slots[stable_order(targets)]
        self.column_ranges[:] = _pairs(_starts(targets, self.post_size))
        self._row_length = self._column_length = None


def _starts(index: NDArray[np.integer[Any]], rows: int) -> NDArray[np.int64]:
    starts = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(index, minlength=rows), out=starts[1:])
    return starts


def _pairs(starts: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.stack([starts[:-1], starts[1:]], axis=1).astype(np.int32)


def _uniform(ranges: NDArray[np.int32]) -> NDArray[np.int64] | None:
    """Return ``arange(length)`` if all ranges have the same length."""
    lengths = ranges[:, 1] - ranges[:, 0]
    if lengths.size and (lengths == lengths[0]).all():
        return np.arange(lengths[0], dtype=np.int64)
    return None


def _ranges(
    ranges: NDArray[np.int32], active: NDArray[np.intp], steps: NDArray[np.int64] | None
) -> Slots:
    first = ranges[active, 0].astype(np.int64)
    if steps is not None:
        return (first[:, None] + steps).ravel()
    counts = ranges[active, 1] - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    slots: Slots = np.arange(total, dtype=np.int64) + np.repeat(first - (ends - counts), counts)
    return slots
