"""Integration of deltas under limits: from wishes per timestep to motions that can be stopped.

Spikes come in bursts, so that the wished path of a joint, its start plus the running sum of its
deltas, jumps.  A limiter that clips each timestep's delta would lose most of every burst.  Here the
joint *pursues* the wished path: at every timestep it moves towards it as fast as velocity and
acceleration allow while it can still brake before it (time-optimal pursuit).  A burst is thus
spread over the rest of its cycle, and nothing is lost that the limits allow.  The loop that does it
is :func:`ab_ros.motion.pursuit.pursue`.

Time is discrete.  With dt the timestep, s_k the position at its end and v_k = (s_k − s_{k−1}) / dt,

    |v_k| ≤ v_max and |v_k − v_{k−1}| ≤ a_max · dt,

and a joint of speed v that brakes as hard as allowed moves on by
dt · Σ_{j≥1} max(v − j·a_max·dt, 0).
:func:`approach_speed` inverts that sum exactly, so that joints come to rest *on* a target or limit,
without overshoot and without ever braking harder than allowed.

At the end of the cycle a joint may still move.  Its plan therefore goes on with a *braking tail*:
if nothing follows, the published motion ends at rest by itself.  The next cycle replaces the tail
from the present point on, and its wishes start from where the tail would have come to rest.  What a
joint could not reach by then is dropped, and reported: wishes never pile up over cycles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.pursuit import Floats

ON_GRID = 1e-6  # part of a timestep: closer than this to its end counts as its end


def approach_speed(distance: Floats, change: Floats, dt: float) -> Floats:
    """Return the largest speeds of the next timestep from which joints still stop in time; [C].

    Parameters
    ----------
    distance : float64[C], to the point that must not be passed, >= 0, finite.
    change : float64[C], largest change of speed per timestep, a_max · dt, > 0; may be infinite.
    dt : timestep, s, > 0.
    """
    x = distance / (change * dt)
    whole = np.floor((np.sqrt(1.0 + 8.0 * x) - 1.0) * 0.5)
    with np.errstate(invalid="ignore"):  # 0 · inf, where the other branch is taken
        far = (x / (whole + 1.0) + whole * 0.5) * change
    speed: Floats = np.where(x <= 1.0, distance / dt, far)
    return speed


def braking_distance(speed: Floats, change: Floats, dt: float) -> Floats:
    """Return how far joints of these speeds (any sign) still move while braking; [C]."""
    size = np.abs(speed)
    steps = np.floor(size / change)
    # An infinite change stops at once; 0 · inf would be NaN.
    finite = np.where(np.isinf(change), 0.0, change)
    return np.copysign(dt * (steps * size - finite * steps * (steps + 1.0) * 0.5), speed)


@dataclass(frozen=True)
class PositionPlan:
    """Planned positions of a group: a cycle's points, then braking to rest.

    Parameters
    ----------
    points : float64[T + 1, C], the start and the position at the end of each timestep.
    start_speed : float64[C], speeds in which the plan starts.
    end_speed : float64[C], speeds in its last timestep (``start_speed`` if T = 0).
    change : float64[C], largest change of speed per timestep, for the tail.
    dt : timestep, s.
    started : s, robot time of the start.
    stopping : whether it is the way of a stop, not a cycle.
    """

    points: Floats
    start_speed: Floats
    end_speed: Floats
    change: Floats
    dt: float
    started: float
    stopping: bool = field(default=False, kw_only=True)

    @classmethod
    def at_rest(cls, position: Floats, dt: float, started: float) -> PositionPlan:
        """Return the plan of standing still."""
        still = np.zeros(position.size)
        return cls(
            position[None, :].copy(), still, still, np.full(position.size, np.inf), dt, started
        )

    @property
    def timesteps(self) -> int:
        """Timesteps T before the tail."""
        return len(self.points) - 1

    @property
    def start(self) -> Floats:
        """Positions at the start; [C]."""
        return self.points[0]

    @property
    def speed_at_start(self) -> Floats:
        """Speeds at the start; [C]."""
        return self.start_speed

    @cached_property
    def rest(self) -> Floats:
        """Where it comes to rest; [C]."""
        rest: Floats = self.points[-1] + braking_distance(self.end_speed, self.change, self.dt)
        return rest

    @property
    def tail(self) -> int:
        """Timesteps of the tail until all joints rest."""
        return int(np.floor(np.abs(self.end_speed) / self.change).max(initial=0.0))

    def extremes(self) -> Floats:
        """Return points between which all of its path lies; [P, C]."""
        return np.concatenate((self.points, self.rest[None, :]))

    def positions_at(self, steps: NDArray[np.int64]) -> Floats:
        """Return positions at the end of whole timesteps >= 0; [len(steps), C]."""
        positions: Floats = self.points[np.minimum(steps, self.timesteps)]
        tail = steps > self.timesteps
        if tail.any() and self.end_speed.any():
            after = (steps[tail] - self.timesteps)[:, None].astype(np.float64)
            size = np.abs(self.end_speed)
            after = np.minimum(after, np.floor(size / self.change))
            change = np.where(np.isinf(self.change), 0.0, self.change)
            way = self.dt * (after * size - change * after * (after + 1.0) * 0.5)
            positions[tail] += np.copysign(way, self.end_speed)
        return positions

    def around(self, steps: NDArray[np.int64]) -> Floats:
        """Return positions before, at and after timesteps >= 1; [3, len(steps), C]."""
        found = self.positions_at(np.concatenate((steps - 1, steps, steps + 1)))
        return found.reshape(3, steps.size, -1)

    def state_at(self, time: float) -> tuple[Floats, Floats]:
        """Return positions and speeds at a robot time (before the start: at the start)."""
        steps = (time - self.started) / self.dt
        if not steps > ON_GRID:
            return self.start.copy(), self.speed_at_start.copy()
        last = self.timesteps + self.tail + 1
        if steps >= last:
            return self.rest.copy(), np.zeros(self.start_speed.size)
        before = math.floor(steps + ON_GRID)
        part = max(steps - before, 0.0)
        if part < ON_GRID:
            before, part = before - 1, 1.0
        low, high = self.positions_at(np.array([before, before + 1]))
        return low + part * (high - low), (high - low) / self.dt

    def next_start(self, time: float, chained: bool) -> tuple[Floats, Floats]:
        """Return positions and speeds from which the next plan goes on.

        In lockstep (``chained``) that is the end of the cycle, before the tail, because the robot
        has advanced by just that, whether or not word of its clock has arrived.  A stop has no
        cycle, and goes by the clock.
        """
        if self.ends(chained):
            return self.points[-1].copy(), self.end_speed.copy()
        return self.state_at(time)

    def ends(self, chained: bool) -> bool:
        """Return whether the next plan goes on from the end of the cycle, whatever the time."""
        return chained and self.timesteps > 0 and not self.stopping

    def sample(
        self, stride: int, most: int = 0, tail_stride: int = 0
    ) -> tuple[Floats, Floats, Floats, int]:
        """Return times [P] (s from the start), positions [P, C], speeds [P, C], and the cycle's P.

        The first point is one stride (in timesteps) after the start; the last one is at rest.
        ``tail_stride`` is that of the tail, 0 the same; ``most`` bounds the number of the tail's
        points by a wider one, 0 leaves it.
        """
        inner = self.timesteps // stride
        left = self.timesteps + self.tail - inner * stride
        wide = tail_stride or stride
        if most and left > most * wide:
            wide *= math.ceil(left / (most * wide))
        outer = max(math.ceil(left / wide), 0 if inner else 1)
        steps = np.concatenate(
            (
                np.arange(1, inner + 1, dtype=np.int64) * stride,
                inner * stride + np.arange(1, outer + 1, dtype=np.int64) * wide,
            )
        )
        before, positions, after = self.around(steps)
        # The speed at a point is the mean of those before and after it: a controller's cubic
        # spline then keeps the acceleration where it is constant.
        speeds = (after - before) / (2.0 * self.dt)
        speeds[-1] = 0.0
        return steps.astype(np.float64) * self.dt, positions, speeds, inner


@dataclass(frozen=True)
class LevelPlan:
    """Planned velocities or efforts of a group: constant within a timestep, and after the last one.

    Parameters
    ----------
    points : float64[T + 1, C], ``points[0]`` what held before the start.
    dt, started : as in :class:`PositionPlan`.
    stopping : whether it is the ramp of a stop, not a cycle.
    after : how many of the T timesteps lie after the cycle.
    """

    points: Floats
    dt: float
    started: float
    stopping: bool = False
    after: int = 0

    @property
    def timesteps(self) -> int:
        """Timesteps T."""
        return len(self.points) - 1

    def levels_at(self, steps: NDArray[np.int64]) -> Floats:
        """Return what holds in whole timesteps >= 0; [len(steps), C]."""
        return self.points[np.minimum(steps, self.timesteps)]

    def played(self, since: float, now: float) -> LevelPlan:
        """Return the plan as it stands ``since`` s after its start, whatever the clock showed."""
        return replace(self, started=now - since)

    def step_at(self, time: float) -> int:
        """Return the timestep, 0 or more, that is over at a robot time."""
        steps = (time - self.started) / self.dt + ON_GRID
        return math.floor(min(max(steps, 0.0), self._settled))

    @property
    def _settled(self) -> float:
        """A timestep from which on nothing changes."""
        return float(self.timesteps)

    def level_at(self, time: float) -> Floats:
        """Return what holds at a robot time; [C]."""
        level: Floats = self.levels_at(np.array([self.step_at(time)]))[0].copy()
        return level

    def next_step(self, time: float, chained: bool) -> int:
        """Return the timestep after which the next plan goes on (see PositionPlan)."""
        if chained and not self.stopping:
            return self.timesteps - self.after
        return self.step_at(time)

    def next_start(self, time: float, chained: bool) -> Floats:
        """Return what holds when the next plan begins; [C]."""
        start: Floats = self.levels_at(np.array([self.next_step(time, chained)]))[0].copy()
        return start

    def sample(self, stride: int) -> tuple[Floats, Floats, int]:
        """Return times [P] (s from the start) and levels [P, C], from one stride on."""
        count = max(math.ceil(self._settled / stride), 1)
        steps = np.arange(1, count + 1, dtype=np.int64) * stride
        inner = self.timesteps if self.stopping else self.timesteps - self.after
        return steps.astype(np.float64) * self.dt, self.levels_at(steps), inner // stride


def ramp(start: Floats, aim: Floats, change: Floats, timesteps: int) -> Floats:
    """Return velocities [T + 1, C] from ``start`` to ``aim``, at most ``change`` a step."""
    steps = np.arange(timesteps + 1, dtype=np.float64)[:, None]
    with np.errstate(invalid="ignore"):  # 0 · inf at the start, replaced below
        reach = steps * change
    reach[0] = 0.0
    return np.clip(aim, start - reach, start + reach)
