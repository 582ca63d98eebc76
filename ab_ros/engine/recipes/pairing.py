"""Pairing: which neurons of two terminals are joined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.sorting import stable_order

Indices = NDArray[np.int32]
Pairs = tuple[Indices, Indices]
# Pairs that are drawn at a time.
_BLOCK = 4_000_000


def random_pairs(
    sources: Indices, targets: Indices, probability: float, random: np.random.Generator
) -> Pairs:
    """Join each pair with a probability, and no neuron to itself.

    Parameters
    ----------
    sources, targets : ascending indices.

    Returns
    -------
    Pairs
        pre and post, ordered by (pre, post).
    """
    rows = max(1, _BLOCK // max(1, targets.size))
    pre, post = [], []
    for first in range(0, sources.size, rows):
        part = sources[first : first + rows]
        joined = random.random((part.size, targets.size)) < probability
        joined &= part[:, None] != targets
        i, j = np.nonzero(joined)
        pre.append(part[i])
        post.append(targets[j])
    return np.concatenate(pre), np.concatenate(post)


def partner_pairs(
    sources: Indices,
    targets: Indices,
    offset: int,
    probability: float,
    random: np.random.Generator,
) -> Pairs:
    """Join the neurons of instances that are partners, each pair with a probability.

    Parameters
    ----------
    sources, targets : int32[instances, neurons of the terminal].
    offset : 0 for one_to_one; of shift else.

    Returns
    -------
    Pairs
        pre and post, ordered by (pre, post).
    """
    n, m = sources.shape[0], targets.shape[0]
    most = max(n, m)
    index = np.arange(most, dtype=np.int64)
    if offset:
        index = index[max(0, -offset) : n - max(0, offset)]
        one, other = index, index + offset
    else:
        one, other = index * n // most, index * m // most
    shape = one.size, sources.shape[1], targets.shape[1]
    pre = np.broadcast_to(sources[one][:, :, None], shape).ravel()
    post = np.broadcast_to(targets[other][:, None, :], shape).ravel()
    joined = random.random(pre.size) < probability
    joined &= pre != post
    return ordered(pre[joined], post[joined])


def ordered(pre: Indices, post: Indices) -> Pairs:
    """Return pairs ordered by (pre, post)."""
    order = pair_order(pre, post)
    return pre[order], post[order]


def pair_order(pre: Indices, post: Indices) -> NDArray[np.intp]:
    """Return what orders pairs by (pre, post)."""
    by_post = stable_order(post)
    order: NDArray[np.intp] = by_post[stable_order(pre[by_post])]
    return order
