"""Proximity: synapses between neurons of different instances that stand close together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.recipes.pairing import Indices, pair_order

# Pairs that are looked at at a time.
_BLOCK = 1_000_000


def near_pairs(
    places: NDArray[np.float64],
    instance: NDArray[np.int32],
    receives: NDArray[np.bool_],
    max_distance: float,
    probability: float,
    random: np.random.Generator,
) -> tuple[Indices, Indices]:
    """Draw synapses with a probability that falls linearly with distance, to 0 at the largest.

    Parameters
    ----------
    places : float64[neurons, 3].
    instance : int32[neurons]; neurons of the same one are not joined.
    receives : bool[neurons], whether synapses may go to a neuron.
    max_distance : greater than 0.
    probability : at distance 0.

    Returns
    -------
    tuple
        pre and post, int32[synapses], ordered by (pre, post).
    """
    found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for one, other in _neighbours(places, receives, max_distance):
        pairs = max(1, _BLOCK // other.size)
        for first in range(0, one.size, pairs):
            part = one[first : first + pairs]
            squares = np.zeros((part.size, other.size))
            for axis in range(3):
                along = places[part, axis][:, None] - places[other, axis]
                along *= along
                squares += along
            i, j = np.nonzero(
                (squares < max_distance * max_distance)
                & (instance[part][:, None] != instance[other])
            )
            chance = np.sqrt(squares[i, j])
            chance /= max_distance
            np.subtract(1.0, chance, out=chance)
            chance *= probability
            joined = random.random(i.size) < chance
            found.append((part[i[joined]], other[j[joined]]))
    pre = np.concatenate([i for i, _ in found] or [np.zeros(0, np.intp)]).astype(np.int32)
    post = np.concatenate([j for _, j in found] or [np.zeros(0, np.intp)]).astype(np.int32)
    order = pair_order(pre, post)
    return pre[order], post[order]


def _neighbours(
    places: NDArray[np.float64], receives: NDArray[np.bool_], size: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the neurons of each square cell, and the receiving ones of it and those around it."""
    cells = np.floor(places[:, :2] / size).astype(np.int64)
    cells -= cells.min(axis=0)
    columns = int(cells[:, 0].max()) + 3
    # A free column on either side: the neighbours of the last cell of a row are not in the next.
    number = (cells[:, 1] + 1) * columns + cells[:, 0] + 1
    order = np.argsort(number, kind="stable")
    ordered = number[order]
    receivers = order[receives[order]]
    ordered_receivers = number[receivers]
    for cell in np.unique(ordered).tolist():
        one = order[slice(*np.searchsorted(ordered, [cell, cell + 1]))]
        around = []
        for row in (-columns, 0, columns):
            span = np.searchsorted(ordered_receivers, [cell + row - 1, cell + row + 2])
            around.append(receivers[slice(*span)])
        other = np.concatenate(around)
        if other.size:
            yield one, other
