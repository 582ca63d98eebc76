"""Checks of what a run is given: spike trains of sources, currents of neuron groups."""

from __future__ import annotations

from collections.abc import Iterable
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


def checked_step_spikes(given: NDArray[np.uint8], sources: int) -> NDArray[np.uint8]:
    """Return the spikes of all sources in one tick, uint8 or bool [all sources].

    Raises
    ------
    EngineError
        for another type or shape, or a value that is neither 0 nor 1.
    """
    if not isinstance(given, np.ndarray) or given.dtype not in (np.uint8, np.bool_):
        raise EngineError(
            f"spikes of a step: must be an array of uint8 or bool"
            f" (got {getattr(given, 'dtype', type(given).__name__)})"
        )
    if given.shape != (sources,):
        raise EngineError(
            f"spikes of a step: must have the shape [all sources] = ({sources},)"
            f" (got {given.shape})"
        )
    if sources and given.max() > 1:
        raise EngineError(f"spikes of a step: must be 0 or 1 (got {given.max()})")
    return given


def check_step_current(given: NDArray[np.float64], groups: Iterable[NeuronGroup]) -> None:
    """Refuse anything but a float64 [all neurons] of finite numbers.

    Raises
    ------
    EngineError
        for another type or shape, or naming the group and the neuron whose current is not finite.
    """
    dtype = getattr(given, "dtype", None)
    if dtype != np.float64:
        raise EngineError(
            f"current of a step: must be an array of float64 (got {dtype or type(given).__name__})"
        )
    groups = list(groups)
    size = groups[-1].start + groups[-1].size
    if given.shape != (size,):
        raise EngineError(
            f"current of a step: must have the shape [all neurons] = ({size},) (got {given.shape})"
        )
    if np.isfinite(given).all():
        return
    bad = int(np.flatnonzero(~np.isfinite(given))[0])
    group = next(g for g in groups if bad < g.start + g.size)
    raise EngineError(
        f"current of {group.name!r}: must be finite (got {given[bad]} at [{bad - group.start}])"
    )
