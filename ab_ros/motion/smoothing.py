"""Smoothing: a moving average over the limited path, which bounds its jerk.

Let r_k be a path that keeps its limits, and s_k = (r_k + … + r_{k−m+1}) / m the mean of its last m
timesteps, of w = m · dt seconds in all.  Positions, speeds and accelerations of s are means of
those of r, so that every bound that r keeps, s keeps, too; and wherever r can be braked inside its
limits, so can s, because the place where a joint comes to rest is a convex function of position and
speed.  The acceleration of s changes by (a_k − a_{k−m}) / m in a timestep: its jerk is at most
2 · a_max / w, so that w = 2 · a_max / j_max keeps a jerk limit.  The price is that s comes to rest
by w later than r, and is about w / 2 behind it.

A new plan goes on from the raw path of the one before, with its history, brought onto the new grid:
between two timesteps of the old one by the same part of each row.  Such a path is a mean of two
that keep all limits, and therefore keeps them as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.integrate import ON_GRID, LevelPlan, PositionPlan
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats

Steps = NDArray[np.int64]

_AT_START = np.array([-1, 0])


def windows_of(limits: Sequence[JointLimits], smoothing: float, dt: float) -> Steps:
    """Return over how many timesteps each channel is averaged; [C], 1 where it is not."""
    return np.maximum(windows_for_jerk(limits, dt), _timesteps(smoothing, dt))


def windows_for_jerk(limits: Sequence[JointLimits], dt: float) -> Steps:
    """Return the timesteps that jerk limits alone ask for; [C]."""
    return np.array([_timesteps(limit.jerk_time, dt) for limit in limits], np.int64)


def _timesteps(time: float, dt: float) -> int:
    return max(math.ceil(time / dt - ON_GRID), 1)


def along(position: Floats, speed: Floats, depth: int, dt: float) -> Floats:
    """Return the last ``depth`` points of motion at these speeds that is now at ``position``."""
    before = np.arange(-depth, 0)[:, None]
    history: Floats = position + before * (speed * dt)
    return history


def fitted(history: Floats, depth: int) -> Floats:
    """Return a history of ``depth`` points: what is older is left out, or stands still."""
    if depth <= len(history):
        return history[len(history) - depth :]
    return np.concatenate((np.repeat(history[:1], depth - len(history), axis=0), history))


def averages(sums: Callable[[Steps], Floats], steps: Steps, windows: Steps) -> Floats:
    """Return means over the last timesteps of each channel, from sums since the oldest one."""
    different = sorted(set(windows.tolist()))
    if len(different) == 1:
        both = sums(np.concatenate((steps, steps - different[0])))
        mean: Floats = (both[: steps.size] - both[steps.size :]) / different[0]
        return mean
    means = sums(steps)
    for window in different:
        some = windows == window
        means[:, some] = (means[:, some] - sums(steps - window)[:, some]) / window
    return means


@dataclass(frozen=True)
class SmoothPlan(PositionPlan):
    """Planned positions: the fields are those of the raw path, what is commanded is its average.

    Parameters
    ----------
    history : float64[M, C], raw positions before the start, M >= the widest window.
    windows : int64[C], timesteps of the average.
    """

    history: Floats
    windows: Steps

    @property
    def tail(self) -> int:
        """Timesteps of the tail until all joints rest."""
        return self.raw_tail + int(self.windows.max(initial=1)) - 1

    @property
    def raw_tail(self) -> int:
        """Timesteps until the raw path rests."""
        return super().tail

    @property
    def start(self) -> Floats:
        """Positions at the start; [C]."""
        return self._start[1]

    @property
    def speed_at_start(self) -> Floats:
        """Speeds at the start; [C]."""
        speed: Floats = (self._start[1] - self._start[0]) / self.dt
        speed[self._alone] = self.start_speed[self._alone]
        return speed

    @cached_property
    def _alone(self) -> NDArray[np.bool_]:
        """Which joints are not averaged; [C]."""
        return np.asarray(self.windows == 1)

    @cached_property
    def _start(self) -> Floats:
        return self.positions_at(_AT_START)

    @cached_property
    def _prefix(self) -> Floats:
        """Sums of the raw path, less its first point, from the oldest on; a row of 0 before."""
        path = np.concatenate((self.history, self.points)) - self.points[0]
        return np.concatenate((np.zeros((1, path.shape[1])), np.cumsum(path, axis=0)))

    def _sums(self, steps: Steps) -> Floats:
        """Return the sums up to whole timesteps >= -M - 1; [len(steps), C]."""
        sums: Floats = self._prefix[np.minimum(steps, self.timesteps) + len(self.history) + 1]
        tail = steps > self.timesteps
        if not tail.any():
            return sums
        after = (steps[tail] - self.timesteps)[:, None].astype(np.float64)
        size = np.abs(self.end_speed)
        braking = np.floor(size / self.change)
        change = np.where(np.isinf(self.change), 0.0, self.change)
        n = np.minimum(after, braking)
        way = size * n * (n + 1.0) * 0.5 - change * n * (n + 1.0) * (n + 2.0) / 6.0
        whole = braking * size - change * braking * (braking + 1.0) * 0.5
        way = self.dt * (way + (after - n) * whole)
        sums[tail] += after * (self.points[-1] - self.points[0]) + np.copysign(way, self.end_speed)
        return sums

    def positions_at(self, steps: Steps) -> Floats:
        """Return positions at the end of whole timesteps >= -1; [len(steps), C]."""
        positions = self.points[0] + averages(self._sums, steps, self.windows)
        if self._alone.any():
            positions[:, self._alone] = self.raw_at(steps)[:, self._alone]
        return positions

    def around(self, steps: Steps) -> Floats:
        """Return positions before, at and after timesteps; [3, len(steps), C]."""
        found = self.positions_at(np.concatenate((_AT_START, steps - 1, steps, steps + 1)))
        self.__dict__["_start"] = found[:2]  # computed with the others: each call has its price
        return found[2:].reshape(3, steps.size, -1)

    def raw_at(self, steps: Steps) -> Floats:
        """Return raw positions at the end of whole timesteps >= -M; [len(steps), C]."""
        positions = super().positions_at(np.maximum(steps, 0))
        before = steps < 0
        positions[before] = self.history[steps[before] + len(self.history)]
        return positions

    def carry(self, time: float, chained: bool) -> tuple[Floats, Floats, Floats]:
        """Return raw positions and speeds from which the next plan goes on, and the history [M, C].

        See :meth:`PositionPlan.next_start` for when that is.
        """
        depth = np.arange(len(self.history) + 1)
        if self.ends(chained):
            rows = self.raw_at(self.timesteps - depth)
            return self.points[-1].copy(), self.end_speed.copy(), rows[:0:-1].copy()
        steps = (time - self.started) / self.dt
        if not steps > ON_GRID:
            return self.points[0].copy(), self.start_speed.copy(), self.history
        steps = min(steps, float(self.timesteps + self.tail + len(depth)))
        before = math.floor(steps + ON_GRID)
        part = max(steps - before, 0.0)
        rows = self.raw_at(before - depth)
        if part >= ON_GRID:
            rows = rows + part * (self.raw_at(before + 1 - depth) - rows)
        return rows[0].copy(), (rows[0] - rows[1]) / self.dt, rows[:0:-1].copy()

    def commanded_from(self, time: float, chained: bool) -> tuple[Floats, Floats]:
        """Return positions and speeds, as averaged, from which the next plan goes on."""
        if not self.ends(chained):
            return self.state_at(time)
        before, position = self.positions_at(np.array([self.timesteps - 1, self.timesteps]))
        return position, (position - before) / self.dt

    def extremes(self) -> Floats:
        """Return points between which all of its path lies; [P, C]."""
        return np.concatenate((self.history, self.points, self.rest[None, :]))


@dataclass(frozen=True)
class SmoothLevels(LevelPlan):
    """Planned velocities: the fields are the raw ones, what is commanded is their average."""

    history: Floats = field(kw_only=True)
    windows: Steps = field(kw_only=True)

    @cached_property
    def _prefix(self) -> Floats:
        path = np.concatenate((self.history, self.points)) - self.points[-1]
        return np.concatenate((np.zeros((1, path.shape[1])), np.cumsum(path, axis=0)))

    @cached_property
    def _extremes(self) -> tuple[Floats, Floats]:
        path = np.concatenate((self.history, self.points))
        return path.min(axis=0), path.max(axis=0)

    @property
    def _settled(self) -> float:
        return float(self.timesteps + int(self.windows.max(initial=1)) - 1)

    def _sums(self, steps: Steps) -> Floats:
        sums: Floats = self._prefix[np.minimum(steps, self.timesteps) + len(self.history) + 1]
        return sums

    def levels_at(self, steps: Steps) -> Floats:
        """Return what holds in whole timesteps >= 0; [len(steps), C]."""
        levels = self.points[-1] + averages(self._sums, steps, self.windows)
        # Rounding may carry a mean a last bit beyond what it is the mean of.
        np.clip(levels, *self._extremes, out=levels)
        alone = self.windows == 1
        if alone.any():
            levels[:, alone] = super().levels_at(steps)[:, alone]
        return levels

    def carry(self, time: float, chained: bool) -> tuple[Floats, Floats]:
        """Return the raw velocities that hold when the next plan begins, and their history."""
        step = self.next_step(time, chained)
        path = np.concatenate((self.history, self.points))
        rows = np.minimum(
            step - np.arange(len(self.history) + 1) + len(self.history), len(path) - 1
        )
        found = path[rows]
        return found[0].copy(), found[:0:-1].copy()
