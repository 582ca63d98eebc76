"""Integration of deltas under limits: from wishes per timestep to motions that can be stopped.

Spikes come in bursts, so that the wished path of a joint, its start plus the running sum of its
deltas, jumps.  A limiter that clips each timestep's delta would lose most of every burst.  Here the
joint *pursues* the wished path: at every timestep it moves towards it as fast as velocity and
acceleration allow while it can still brake before it (time-optimal pursuit).  A burst is thus
spread over the rest of its cycle, and nothing is lost that the limits allow.

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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ON_GRID = 1e-6  # part of a timestep: closer than this to its end counts as its end


def approach_speed(distance: float, change: float, dt: float) -> float:
    """Return the largest speed of the next timestep from which a joint still stops in time.

    Parameters
    ----------
    distance : to the point that must not be passed, >= 0.
    change : largest change of speed per timestep, a_max · dt, > 0; may be infinite.
    dt : timestep, s, > 0.
    """
    x = distance / (change * dt)
    if x <= 1.0:
        return distance / dt
    whole = math.floor((math.sqrt(1.0 + 8.0 * x) - 1.0) * 0.5)
    return (x / (whole + 1.0) + whole * 0.5) * change


def braking_distance(speed: Floats, change: Floats, dt: float) -> Floats:
    """Return how far joints of these speeds (any sign) still move while braking; [C]."""
    size = np.abs(speed)
    steps = np.floor(size / change)
    # An infinite change stops at once; 0 · inf would be NaN.
    finite = np.where(np.isinf(change), 0.0, change)
    return np.copysign(dt * (steps * size - finite * steps * (steps + 1.0) * 0.5), speed)


class Track(NamedTuple):
    """What :func:`pursue` makes of one joint's wishes."""

    positions: list[float]
    speed: float
    wish: float
    clipped: bool
    capped: bool


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
) -> Track:
    """Follow the wished path of one joint through a cycle.

    Parameters
    ----------
    position, speed : where the joint starts; it must be able to brake within [lower, upper].
    wish : where its wished path starts, within [lower, upper].
    deltas : changes of the wish, one per timestep.
    lower, upper : bounds of the path; the wish is held inside at every timestep, so that a joint
        at its limit leaves it with the first delta that points inside.
    top_speed : > 0.
    change : largest change of speed per timestep, > 0; may be infinite.
    dt : timestep, s.

    Returns
    -------
    Track
        positions at the end of each timestep, the last speed, the wish at the end, and whether
        bounds clipped the wish and whether ``top_speed`` held the joint back.
    """
    positions: list[float] = []
    append = positions.append
    clipped = capped = False
    unit = change * dt
    sqrt = math.sqrt
    for delta in deltas:
        if delta != 0.0:
            wish += delta
            if wish > upper:
                wish, clipped = upper, True
            elif wish < lower:
                wish, clipped = lower, True
        if wish == position and speed == 0.0:
            append(position)
            continue
        way = wish - position
        x = (way if way >= 0.0 else -way) / unit
        if x <= 1.0:
            aim = way / dt
        else:  # approach_speed, written out: this loop is the motor node's hot path
            whole = int((sqrt(1.0 + 8.0 * x) - 1.0) * 0.5)
            aim = (x / (whole + 1.0) + whole * 0.5) * change
            if way < 0.0:
                aim = -aim
        if aim > top_speed:
            aim, capped = top_speed, True
        elif aim < -top_speed:
            aim, capped = -top_speed, True
        if aim > speed + change:
            aim = speed + change
        elif aim < speed - change:
            aim = speed - change
        elif x <= 1.0 and aim * dt == way:
            speed = aim
            position = wish
            append(position)
            continue
        speed = aim
        position += speed * dt
        # Rounding may carry it a last bit across a bound.
        if position > upper:
            position = upper
        elif position < lower:
            position = lower
        append(position)
    return Track(positions, speed, wish, clipped, capped)


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
    """

    points: Floats
    start_speed: Floats
    end_speed: Floats
    change: Floats
    dt: float
    started: float

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
    def rest(self) -> Floats:
        """Where it comes to rest; [C]."""
        rest: Floats = self.points[-1] + braking_distance(self.end_speed, self.change, self.dt)
        return rest

    @property
    def tail(self) -> int:
        """Timesteps of the tail until all joints rest."""
        return int(np.floor(np.abs(self.end_speed) / self.change).max(initial=0.0))

    def positions_at(self, steps: NDArray[np.int64]) -> Floats:
        """Return positions at the end of whole timesteps >= 0; [len(steps), C]."""
        inside = np.minimum(steps, self.timesteps)
        after = (steps - inside)[:, None].astype(np.float64)
        size = np.abs(self.end_speed)
        after = np.minimum(after, np.floor(size / self.change))
        change = np.where(np.isinf(self.change), 0.0, self.change)
        way = self.dt * (after * size - change * after * (after + 1.0) * 0.5)
        positions: Floats = self.points[inside] + np.copysign(way, self.end_speed)
        return positions

    def state_at(self, time: float) -> tuple[Floats, Floats]:
        """Return positions and speeds at a robot time (before the start: at the start)."""
        steps = (time - self.started) / self.dt
        if not steps > _ON_GRID:
            return self.points[0].copy(), self.start_speed.copy()
        last = self.timesteps + self.tail + 1
        if steps >= last:
            return self.rest, np.zeros(self.start_speed.size)
        before = math.floor(steps + _ON_GRID)
        part = max(steps - before, 0.0)
        if part < _ON_GRID:
            before, part = before - 1, 1.0
        low, high = self.positions_at(np.array([before, before + 1]))
        return low + part * (high - low), (high - low) / self.dt

    def next_start(self, time: float, chained: bool) -> tuple[Floats, Floats]:
        """Return positions and speeds from which the next plan goes on.

        In lockstep (``chained``) that is the end of the cycle, before the tail, because the robot
        has advanced by just that, whether or not word of its clock has arrived.  A plan of braking
        alone has no cycle, and goes by the clock.
        """
        if chained and self.timesteps:
            return self.points[-1].copy(), self.end_speed.copy()
        return self.state_at(time)

    def sample(self, stride: int, most: int = 0) -> tuple[Floats, Floats, Floats, int]:
        """Return times [P] (s from the start), positions [P, C], speeds [P, C], and the cycle's P.

        The first point is one stride (in timesteps) after the start; the last one is at rest.
        ``most`` bounds the number of points of the tail by a wider stride; 0 leaves it.
        """
        inner = self.timesteps // stride
        left = self.timesteps + self.tail - inner * stride
        wide = stride
        if most and left > most * stride:
            wide = stride * math.ceil(left / (most * stride))
        outer = max(math.ceil(left / wide), 0 if inner else 1)
        steps = np.concatenate(
            (
                np.arange(1, inner + 1, dtype=np.int64) * stride,
                inner * stride + np.arange(1, outer + 1, dtype=np.int64) * wide,
            )
        )
        positions = self.positions_at(steps)
        # The speed at a point is the mean of those before and after it: a controller's cubic
        # spline then keeps the acceleration where it is constant.
        speeds = (self.positions_at(steps + 1) - self.positions_at(steps - 1)) / (2.0 * self.dt)
        speeds[-1] = 0.0
        return steps.astype(np.float64) * self.dt, positions, speeds, inner


@dataclass(frozen=True)
class VelocityPlan:
    """Planned velocities of a group: constant within a timestep, and after the last one.

    ``points`` is float64[T + 1, C], ``points[0]`` the velocity before the start; ``stopping`` says
    that it is the ramp of a stop, not a cycle.
    """

    points: Floats
    dt: float
    started: float
    stopping: bool = False

    @property
    def timesteps(self) -> int:
        """Timesteps T."""
        return len(self.points) - 1

    def velocity_at(self, time: float) -> Floats:
        """Return the velocities that hold at a robot time; [C]."""
        steps = math.floor((time - self.started) / self.dt + _ON_GRID)
        points: Floats = self.points[min(max(steps, 0), self.timesteps)].copy()
        return points

    def next_start(self, time: float, chained: bool) -> Floats:
        """Return the velocities from which the next plan goes on (see PositionPlan)."""
        return self.points[-1].copy() if chained and not self.stopping else self.velocity_at(time)

    def sample(self, stride: int) -> tuple[Floats, Floats, int]:
        """Return times [P] (s from the start) and velocities [P, C], from one stride on."""
        count = max(math.ceil(self.timesteps / stride), 1)
        steps = np.arange(1, count + 1, dtype=np.int64) * stride
        return (
            steps.astype(np.float64) * self.dt,
            self.points[np.minimum(steps, self.timesteps)],
            self.timesteps // stride,
        )


def ramp(start: Floats, aim: Floats, change: Floats, timesteps: int) -> Floats:
    """Return velocities [T + 1, C] from ``start`` to ``aim``, at most ``change`` a step."""
    steps = np.arange(timesteps + 1, dtype=np.float64)[:, None]
    with np.errstate(invalid="ignore"):  # 0 · inf at the start, replaced below
        reach = steps * change
    reach[0] = 0.0
    return np.clip(aim, start - reach, start + reach)
