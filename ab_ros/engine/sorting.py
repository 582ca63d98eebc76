"""Sorting of indices, faster than by comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGIT = 16


def stable_order(keys: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return what sorts keys, equal ones in the order in which they stand.

    The same as ``np.argsort(keys, kind="stable")``, which sorts numbers of 16 bits digit by digit
    but longer ones by comparison: here these are sorted by their lower and then their upper bits.

    Parameters
    ----------
    keys : at least 0.
    """
    order: NDArray[np.intp] = np.argsort(keys.astype(np.uint16), kind="stable")
    most = int(keys.max()) if keys.size else 0
    shift = _DIGIT
    while most >> shift:
        digit = (keys >> shift).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
        shift += _DIGIT
    return order
