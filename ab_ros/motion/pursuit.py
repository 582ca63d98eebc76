"""The inner loops of motion, one channel at a time, in the form that Numba can compile.

Each takes and fills sequences: lists in plain Python, columns of arrays when compiled.  Both do the
same operations in the same order, so that a robot moves by the same bits with and without Numba.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MANY = 1e18  # timesteps of braking; no speed limit allows as many


class Column(Protocol):
    """What a loop fills."""

    def __setitem__(self, index: int, value: float, /) -> None: ...


def pursue(
    position: float,
    speed: float,
    wish: float,
    deltas: Sequence[float],
    lower: float,
    upper: float,
    top_speed: float,
    change: float,
    dt: float,
    positions: Column,
) -> tuple[float, float, bool, bool]:
    """Follow the wished path of one joint through a cycle.

    Parameters
    ----------
    position, speed : where the joint starts; it must be able to brake within [lower, upper].
    wish : where its wished path starts, within [lower, upper].
    deltas : changes of the wish, one per timestep.
    lower, upper : bounds of the path; the wish is held inside at every timestep, so that a joint
        at its limit leaves it with the first delta that points inside.
    top_speed : > 0, finite.
    change : largest change of speed per timestep, > 0; may be infinite.
    dt : timestep, s.
    positions : filled with the positions at the end of each timestep.

    Returns
    -------
    speed, wish, clipped, capped
        the last speed, the wish at the end, whether bounds clipped the wish, and whether
        ``top_speed`` held the joint back.
    """
    clipped = False
    capped = False
    unit = change * dt
    for k in range(len(deltas)):
        delta = deltas[k]
        if delta != 0.0:
            wish += delta
            if wish > upper:
                wish = upper
                clipped = True
            elif wish < lower:
                wish = lower
                clipped = True
        if wish == position and speed == 0.0:
            positions[k] = position
            continue
        way = wish - position
        x = (way if way >= 0.0 else -way) / unit
        if x <= 1.0:
            aim = way / dt
        elif x < _MANY:  # approach_speed, written out: this loop is the motor node's hot path
            whole = int((math.sqrt(1.0 + 8.0 * x) - 1.0) * 0.5)
            aim = (x / (whole + 1.0) + whole * 0.5) * change
            if way < 0.0:
                aim = -aim
        else:
            aim = way
            capped = True
        if aim > top_speed:
            aim = top_speed
            capped = True
        elif aim < -top_speed:
            aim = -top_speed
            capped = True
        if aim > speed + change:
            aim = speed + change
        elif aim < speed - change:
            aim = speed - change
        elif x <= 1.0 and aim * dt == way:
            speed = aim
            position = wish
            positions[k] = position
            continue
        speed = aim
        position += speed * dt
        # Rounding may carry it a last bit across a bound.
        if position > upper:
            position = upper
        elif position < lower:
            position = lower
        positions[k] = position
    return speed, wish, clipped, capped


def approach(
    aims: Sequence[float],
    before: float,
    position: float,
    lower: float,
    upper: float,
    change: float,
    dt: float,
    velocities: Column,
) -> bool:
    """Slow one channel of velocities down before its position limits.

    Parameters
    ----------
    aims : wanted velocities, one per timestep.
    before : velocity before the first one.
    position : from which it starts.
    lower, upper : position limits; finite.
    change : largest change of velocity per timestep, > 0; may be infinite.
    dt : timestep, s.
    velocities : filled with the velocities of each timestep.

    Returns
    -------
    bool
        whether limits held it back.
    """
    braked = False
    unit = change * dt
    for k in range(len(aims)):
        value = aims[k]
        room = upper - position if value > 0.0 else position - lower
        room = room if room > 0.0 else 0.0
        x = room / unit
        if x <= 1.0:
            fastest = room / dt
        else:
            whole = int((math.sqrt(1.0 + 8.0 * x) - 1.0) * 0.5)
            fastest = (x / (whole + 1.0) + whole * 0.5) * change
        if value > fastest:
            value = fastest
        elif value < -fastest:
            value = -fastest
        if value > before + change:
            value = before + change
        elif value < before - change:
            value = before - change
        if value != aims[k]:
            braked = True
        velocities[k] = value
        position += value * dt
        before = value
    return braked


def leak(
    effort: float,
    level: float,
    rest: float,
    deltas: Sequence[float],
    decay: float,
    lower: float,
    upper: float,
    change: float,
    efforts: Column,
) -> tuple[float, float, bool]:
    """Lead one channel's effort after its leaky level.

    Parameters
    ----------
    effort : what is commanded before the first timestep.
    level : sum of what was asked for, as far as it has not leaked away.
    rest : to where it leaks.
    deltas : what is added to the level, one per timestep.
    decay : what is left of a level after a timestep, in (0, 1).
    lower, upper : bounds of level and effort; an effort beyond them is brought back at once.
    change : largest change of the effort per timestep otherwise, > 0; may be infinite.
    efforts : filled with the efforts of each timestep.

    Returns
    -------
    effort, level, clipped
        the last ones, and whether bounds clipped the level.
    """
    clipped = False
    for k in range(len(deltas)):
        level = rest + (level - rest) * decay + deltas[k]
        if level > upper:
            level = upper
            clipped = True
        elif level < lower:
            level = lower
            clipped = True
        value = level
        if value > effort + change:
            value = effort + change
        elif value < effort - change:
            value = effort - change
        if value > upper:
            value = upper
        elif value < lower:
            value = lower
        effort = value
        efforts[k] = effort
    return effort, level, clipped


# Rows: all channels of a group.  Each argument has an entry, or a row of T, for every channel.


def pursue_rows(
    position: Any, speed: Any, wish: Any, deltas: Any, lower: Any, upper: Any, top_speed: Any,
    change: Any, dt: float, positions: Any, clipped: Any, capped: Any,
) -> None:  # fmt: skip
    """:func:`pursue` joint by joint; ``speed`` and ``wish`` become those at the end."""
    for c in range(len(position)):
        speed[c], wish[c], clipped[c], capped[c] = pursue(
            position[c], speed[c], wish[c], deltas[c], lower[c], upper[c], top_speed[c], change[c],
            dt, positions[c],
        )  # fmt: skip


def approach_rows(
    aims: Any, before: Any, position: Any, lower: Any, upper: Any, change: Any, dt: float,
    velocities: Any, braked: Any,
) -> None:  # fmt: skip
    """:func:`approach` channel by channel."""
    for c in range(len(before)):
        braked[c] = approach(
            aims[c], before[c], position[c], lower[c], upper[c], change[c], dt, velocities[c]
        )


def leak_rows(
    effort: Any, level: Any, rest: Any, deltas: Any, decay: float, lower: Any, upper: Any,
    change: Any, efforts: Any, clipped: Any,
) -> None:  # fmt: skip
    """:func:`leak` channel by channel; ``effort`` and ``level`` become those at the end."""
    for c in range(len(effort)):
        effort[c], level[c], clipped[c] = leak(
            effort[c], level[c], rest[c], deltas[c], decay, lower[c], upper[c], change[c],
            efforts[c],
        )  # fmt: skip


class Loops:
    """The loops over a group's channels: plain, or compiled by Numba.

    Parameters
    ----------
    compiled : whether Numba compiles them, at once; None takes it where it is installed and works.

    Raises
    ------
    ImportError
        if Numba is asked for and cannot be used.
    """

    def __init__(self, compiled: bool | None = None) -> None:
        self._pursue: Callable[..., None] = pursue_rows
        self._approach: Callable[..., None] = approach_rows
        self._leak: Callable[..., None] = leak_rows
        self.compiled = False
        if compiled is False:
            return
        try:
            from ab_ros.motion import kernels
        except ImportError as error:
            if compiled:
                raise
            if find_spec("numba") is not None:
                warnings.warn(f"numba is passed over: {error}", RuntimeWarning, stacklevel=2)
            return
        self._pursue, self._approach = kernels.pursue_rows, kernels.approach_rows
        self._leak = kernels.leak_rows
        self.compiled = True

    def _given(self, array: NDArray[Any]) -> Any:
        """Return what a loop takes, a copy that it may change."""
        return np.array(array, order="C") if self.compiled else array.tolist()

    def pursue(
        self,
        position: Floats,
        speed: Floats,
        wish: Floats,
        deltas: Floats,
        lower: Floats,
        upper: Floats,
        top_speed: Floats,
        change: Floats,
        dt: float,
    ) -> tuple[Floats, Floats, Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        """:func:`pursue` of C joints, ``deltas`` being [T, C].

        Returns
        -------
        points, speeds, wishes, clipped, capped
            the start and the positions [T + 1, C]; the others by joint.
        """
        given = [self._given(a) for a in (position, speed, wish, deltas.T)]
        limits = [self._given(a) for a in (lower, upper, top_speed, change)]
        rows = self._given(deltas.T)
        clipped, capped = (self._given(np.zeros(position.size, np.bool_)) for _ in range(2))
        self._pursue(*given, *limits, dt, rows, clipped, capped)
        points = np.empty((len(deltas) + 1, position.size))
        points[0], points[1:] = position, np.asarray(rows).T
        speeds, wishes = np.asarray(given[1]), np.asarray(given[2])
        return points, speeds, wishes, np.asarray(clipped), np.asarray(capped)

    def approach(
        self,
        points: Floats,
        position: Floats,
        lower: Floats,
        upper: Floats,
        change: Floats,
        dt: float,
    ) -> NDArray[np.bool_]:
        """:func:`approach` of velocities [T + 1, C], in place; return which were held back."""
        aims = points[1:].T
        given = [self._given(a) for a in (aims, points[0], position, lower, upper, change)]
        rows, braked = self._given(aims), self._given(np.zeros(position.size, np.bool_))
        self._approach(*given, dt, rows, braked)
        points[1:] = np.asarray(rows).T
        return np.asarray(braked)

    def leak(
        self,
        effort: Floats,
        level: Floats,
        rest: Floats,
        deltas: Floats,
        decay: float,
        lower: Floats,
        upper: Floats,
        change: Floats,
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """:func:`leak` of C channels, as :meth:`pursue`; return efforts, levels and clipped."""
        given = [self._given(a) for a in (effort, level, rest, deltas.T)]
        limits = [self._given(a) for a in (lower, upper, change)]
        rows, clipped = self._given(deltas.T), self._given(np.zeros(effort.size, np.bool_))
        self._leak(*given, decay, *limits, rows, clipped)
        points = np.empty((len(deltas) + 1, effort.size))
        points[0], points[1:] = effort, np.asarray(rows).T
        return points, np.asarray(given[1]), np.asarray(clipped)
