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
    that the slots of one neuron are neighbours (its row).  Tables of learning synapses also know
    the slots of each target (its column).

    Parameters
    ----------
    pre : presynaptic index of each synapse, in the index space that spike sources and neurons
        share; ascending.
    post : target neuron of each synapse.
    weight : weight of each synapse.
    delay : ticks from a spike to its arrival, at least 1.
    real : numpy dtype of the stored weights, float32 or float64.
    columns : whether to index the synapses by target, too.

    Attributes
    ----------
    pre_start, pre_stop, post_start, post_stop : the ranges that the synapses touch.
    row_start : int64[pre_stop - pre_start + 1], slots of row i are row_start[i]:row_start[i + 1].
    targets, sources : int32[synapses], relative to ``post_start`` and ``pre_start``; ``sources``
        is empty without columns.
    weights : real[synapses].
    column_start : int64[post_stop - post_start + 1] into ``by_target``.
    by_target : int32[synapses], slots sorted by target, then by slot.
    """

    def __init__(
        self,
        pre: NDArray[np.integer[Any]],
        post: NDArray[np.integer[Any]],
        weight: NDArray[np.floating[Any]],
        delay: int,
        real: type[np.floating[Any]],
        columns: bool,
    ) -> None:
        self.size = int(pre.size)
        if self.size > _MAX_SYNAPSES:
            raise EngineError(f"a table holds at most {_MAX_SYNAPSES} synapses (got {self.size})")
        self.delay = delay
        self.real = np.dtype(real)
        self.columns = columns
        self.pre_start, self.pre_stop = int(pre.min()), int(pre.max()) + 1
        self.post_start, self.post_stop = int(post.min()), int(post.max()) + 1
        self.row_start = _starts(pre - self.pre_start, self.pre_stop - self.pre_start)
        self.targets = (post - self.post_start).astype(np.int32)
        self.weights = weight.astype(real)
        posts = self.post_stop - self.post_start if columns else 0
        self.sources = (pre - self.pre_start if columns else pre[:0]).astype(np.int32)
        self.column_start = _starts(self.targets[: self.size if columns else 0], posts)
        order = stable_order(self.targets) if columns else np.empty(0, np.intp)
        self.by_target = order.astype(np.int32)
        self._row_length = _uniform(self.row_start)
        self._column_length = _uniform(self.column_start)

    @property
    def pre_size(self) -> int:
        """How many presynaptic neurons the rows cover."""
        return self.pre_stop - self.pre_start

    @property
    def post_size(self) -> int:
        """How many target neurons the columns cover."""
        return self.post_stop - self.post_start

    def row_slots(self, active: NDArray[np.intp]) -> Slots:
        """Return the slots of the rows ``active`` (relative to ``pre_start``), in order."""
        return _ranges(self.row_start, active, self._row_length)

    def column_slots(self, active: NDArray[np.intp]) -> Slots:
        """Return the slots of the targets ``active`` (relative to ``post_start``), in order."""
        slots: Slots = self.by_target[_ranges(self.column_start, active, self._column_length)]
        return slots


def _starts(index: NDArray[np.integer[Any]], rows: int) -> NDArray[np.int64]:
    starts = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(index, minlength=rows), out=starts[1:])
    return starts


def _uniform(starts: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return ``arange(length)`` if all ranges have the same length."""
    lengths = np.diff(starts)
    if lengths.size and (lengths == lengths[0]).all():
        return np.arange(lengths[0], dtype=np.int64)
    return None


def _ranges(
    starts: NDArray[np.int64], active: NDArray[np.intp], steps: NDArray[np.int64] | None
) -> Slots:
    first = starts[active]
    if steps is not None:
        return (first[:, None] + steps).ravel()
    counts = starts[active + 1] - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    slots: Slots = np.arange(total, dtype=np.int64) + np.repeat(first - (ends - counts), counts)
    return slots
