"""Checks of what a run is given: spike trains of sources, currents of neuron groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.groups import NeuronGroup, SourceGroup
from ab_ros.errors import EngineError


def checked_spikes(source: SourceGroup, given: ArrayLike, ticks: int) -> NDArray[Any]:
    """Return spike trains, uint8 or bool [ticks, size].

    Raises
    ------
    EngineError
        naming the source, for another type or shape, or a value that is neither 0 nor 1.
    """
    where = f"spikes of {source.name!r}"
    values: NDArray[Any] = np.asarray(given)
    if values.dtype not in (np.uint8, np.bool_):
        raise EngineError(f"{where}: must be uint8 or bool (got {values.dtype})")
    if values.shape != (ticks, source.size):
        raise EngineError(
            f"{where}: must have the shape [ticks, size] = ({ticks}, {source.size})"
            f" (got {values.shape})"
        )
    if values.max() > 1:
        raise EngineError(f"{where}: must be 0 or 1 (got {values.max()})")
    return values


def checked_current(group: NeuronGroup, given: ArrayLike, ticks: int) -> NDArray[np.float64]:
    """Return a current, float64 [size] or [ticks, size].

    Raises
    ------
    EngineError
        naming the group, for another shape, or a value that is not a finite number.
    """
    where = f"current of {group.name!r}"
    try:
        current = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise EngineError(f"{where}: must be numbers (got {given!r})") from None
    if current.shape not in ((group.size,), (ticks, group.size)):
        raise EngineError(
            f"{where}: must have the shape [size] = ({group.size},) or [ticks, size] ="
            f" ({ticks}, {group.size}) (got {current.shape})"
        )
    bad = np.argwhere(~np.isfinite(current))
    if bad.size:
        at = tuple(int(index) for index in bad[0])
        raise EngineError(f"{where}: must be finite (got {current[at]} at {list(at)})")
    return current
