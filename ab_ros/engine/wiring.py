"""From the forms in which a user gives weights to a list of synapses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.errors import EngineError


@dataclass(frozen=True)
class Edges:
    """Synapses given one by one.

    Parameters
    ----------
    pre : presynaptic neuron of each, relative to the connection's source, integer[synapses].
    post : target neuron of each, relative to the connection's target, integer[synapses].
    weight : weight of each, or one for all.
    """

    pre: ArrayLike
    post: ArrayLike
    weight: ArrayLike


@dataclass(frozen=True)
class Synapses:
    """Checked synapses of one connection, ordered by (pre, post).

    ``pre`` and ``post`` are int32 or int64 [synapses] relative to source and target, ``weight`` is
    float32 or float64 [synapses].
    """

    pre: NDArray[np.signedinteger[Any]]
    post: NDArray[np.signedinteger[Any]]
    weight: NDArray[np.floating[Any]]


Weights = ArrayLike | Edges


def synapses_of(weight: Weights, pre_size: int, post_size: int, where: str) -> Synapses:
    """Turn weights into synapses.

    Parameters
    ----------
    weight : a number (all to all), an array [pre, post] in which NaN means no synapse, or
        :class:`Edges`.
    pre_size, post_size : sizes of source and target.
    where : starts the messages of errors.

    Raises
    ------
    EngineError
        for a wrong shape, an index out of range, a pair that stands twice, or no synapse at all.
    """
    if isinstance(weight, Edges):
        synapses = _from_edges(weight, pre_size, post_size, where)
    else:
        matrix = numbers(weight, where)
        if matrix.ndim == 0:
            matrix = np.full((pre_size, post_size), float(matrix))
        if matrix.shape != (pre_size, post_size):
            raise EngineError(
                f"{where}: weights must be a number or have the shape [pre, post] ="
                f" ({pre_size}, {post_size}) (got {matrix.shape})"
            )
        pre, post = np.nonzero(~np.isnan(matrix))
        synapses = Synapses(pre.astype(np.int64), post.astype(np.int64), matrix[pre, post])
    if not synapses.pre.size:
        raise EngineError(f"{where}: there is no synapse in it")
    return synapses


def _from_edges(edges: Edges, pre_size: int, post_size: int, where: str) -> Synapses:
    pre = _indices(edges.pre, pre_size, f"{where}: pre")
    post = _indices(edges.post, post_size, f"{where}: post")
    weight: NDArray[np.floating[Any]]
    if _kept(edges.weight, np.float32):
        weight = np.asarray(edges.weight)
    else:
        weight = numbers(edges.weight, where)
    if weight.ndim == 0:
        weight = np.full(pre.shape, float(weight))
    if not pre.shape == post.shape == weight.shape:
        raise EngineError(
            f"{where}: pre, post and weight must have the same length"
            f" (got {pre.shape}, {post.shape} and {weight.shape})"
        )
    if not _ascending(pre, post):
        order = np.lexsort((post, pre))
        pre, post, weight = pre[order], post[order], weight[order]
        twice = np.flatnonzero((np.diff(pre) == 0) & (np.diff(post) == 0))
        if not twice.size:
            return Synapses(pre, post, weight)
        raise EngineError(f"{where}: synapse {pre[twice[0]]} -> {post[twice[0]]} stands twice")
    return Synapses(pre, post, weight)


def _ascending(pre: NDArray[Any], post: NDArray[Any]) -> bool:
    """Whether pairs are ordered by (pre, post), and each stands once."""
    later = pre[1:] > pre[:-1]
    later |= (pre[1:] == pre[:-1]) & (post[1:] > post[:-1])
    return bool(later.all())


def _indices(values: ArrayLike, size: int, where: str) -> NDArray[np.signedinteger[Any]]:
    array = np.asarray(values)
    if array.ndim != 1 or not (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
        raise EngineError(f"{where}: must be a list of whole numbers")
    if array.size and not 0 <= array.min() <= array.max() < size:
        bad = np.flatnonzero((array < 0) | (array >= size))
        raise EngineError(f"{where}: must be in [0, {size}) (got {array[bad[0]]} at {bad[0]})")
    return array if _kept(array, np.int32) else array.astype(np.int64)


def _kept(values: ArrayLike, dtype: type[np.generic]) -> bool:
    """Whether an array need not be copied, because it has the right type and cannot change."""
    return isinstance(values, np.ndarray) and values.dtype == dtype and not values.flags.writeable


def numbers(values: ArrayLike, where: str) -> NDArray[np.float64]:
    """Return weights as a new float64 array; an EngineError if they are not numbers."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise EngineError(f"{where}: weights must be numbers (got {values!r})") from None


def index_range(part: slice | tuple[int, int] | None, size: int, where: str) -> tuple[int, int]:
    """Return start and stop of a part of a group.

    Raises
    ------
    EngineError
        for a step, an empty part, or one that leaves the group.
    """
    if part is None:
        return 0, size
    if isinstance(part, tuple):
        part = slice(*part)
    start = 0 if part.start is None else part.start
    stop = size if part.stop is None else part.stop
    if part.step not in (None, 1) or not 0 <= start < stop <= size:
        raise EngineError(
            f"{where}: must be start:stop with 0 <= start < stop <= {size} (got {part})"
        )
    return int(start), int(stop)
