"""Command groups: each turns wishes or a stop into one safe command for its topic.

Two kinds of controllers must be safe with what they get, whatever follows:

- A *trajectory* controller plays the points at their times, starting from where it is, and stops at
  the last.  Hence the first point lies one period ahead, never at zero; every trajectory ends at
  rest (see :mod:`ab_ros.motion.integrate`); and speeds accompany the positions, so that its splines
  do not jerk.
- A *forward* controller applies each message at once and for ever.  The node plays it the points,
  one at a time, at the times that stand with them, until a newer command of the group replaces
  them: braking tail and ramp included.  It cannot be stopped by a node that has died.

Velocity commands have no tail.  A cycle that comes a little late must not make the wheels sag, so
that the last velocity holds until the stage sees that spikes have stopped, and then ramps down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ab_ros.motion.integrate import (
    Floats,
    PositionPlan,
    VelocityPlan,
    approach_speed,
    pursue,
    ramp,
)
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.settings import GroupSettings, Quantity
from ab_ros.values import read_only

_TAIL_POINTS = 16
_RAMP_POINTS = 200
_HUGE = 1e290


@dataclass(frozen=True)
class Command:
    """What one group's topic is to be sent: replaces all that was sent there before.

    Parameters
    ----------
    group, topic, interface, quantity : as in the settings.
    names : the channels, C; for joints, the joints' names.
    times : float64[P], s from now on: > 0, ascending, the first one period ahead.
    values : float64[P, C], positions or velocities by point.
    speeds : float64[P, C], speeds at the points of a position command; the last are 0.  None for
        velocities.
    start : float64[C], positions or velocities that it departs from.
    start_speed : float64[C], speeds of ``start`` for positions; zeros for velocities.
    cycle_points : how many of the points play within the cycle; the others are the braking tail,
        which a later command replaces if it comes in time.
    stop : whether it stops the robot.
    """

    group: str
    topic: str
    interface: str
    quantity: Quantity
    names: tuple[str, ...]
    times: Floats
    values: Floats
    speeds: Floats | None
    start: Floats
    start_speed: Floats
    cycle_points: int
    stop: bool = False


class PositionGroup:
    """Channels that are commanded by position."""

    def __init__(self, name: str, settings: GroupSettings, limits: Sequence[JointLimits]) -> None:
        self.name = name
        self.settings = settings
        self.set_limits(limits)
        self.plan: PositionPlan | None = None
        self.published = False

    def set_limits(self, limits: Sequence[JointLimits]) -> None:
        """Take new limits; they hold from the next command on."""
        self.limits = tuple(limits)
        self._lower = np.array([limit.lower for limit in limits])
        self._upper = np.array([limit.upper for limit in limits])
        self._soft_lower = np.array([limit.soft_lower for limit in limits])
        self._soft_upper = np.array([limit.soft_upper for limit in limits])
        self._acceleration = np.array([limit.acceleration for limit in limits])
        self._velocity = np.array([limit.velocity for limit in limits])
        self._step = np.array([limit.step for limit in limits])

    def beyond(self) -> list[str]:
        """Name the joints whose published command leads beyond the limits, as narrowed since."""
        if self.plan is None or not self.published:
            return []
        path = np.concatenate((self.plan.points, self.plan.rest[None, :]))
        # A last bit may be rounding.
        outside = (path < self._lower - 1e-9) | (path > self._upper + 1e-9)
        return [self.limits[index].name for index in np.flatnonzero(outside.any(axis=0)).tolist()]

    def seed(self, position: Floats, now: float, dt: float) -> None:
        """Start anew, at rest, from a measured position (brought inside the limits)."""
        self.plan = PositionPlan.at_rest(np.clip(position, self._lower, self._upper), dt, now)
        self.published = False

    def forget(self) -> None:
        """Forget all about the robot."""
        self.plan = None
        self.published = False

    def commanded(self, now: float) -> Floats | None:
        """Return the positions that are commanded at a robot time, or None before a seed."""
        return None if self.plan is None else self.plan.state_at(now)[0]

    def run(
        self, deltas: Floats, dt: float, now: float, chained: bool
    ) -> tuple[Command, list[str]]:
        """Plan a cycle.

        Parameters
        ----------
        deltas : float64[T, C], finite.
        dt : timestep, s.
        now : s, robot time at which it starts.
        chained : whether it starts where the cycle before it ended, whatever the clock says.

        Returns
        -------
        command : the cycle's points and the braking tail.
        limited : ``"joint: rule"`` of what took motion away.
        """
        plan = self._known_plan()
        position, speed = plan.next_start(now, chained)
        stride = self._stride(dt)
        top = np.minimum(self._velocity, self._step / (stride * dt))
        change = self._acceleration * dt
        speed = self._stoppable(position, speed, change, dt, top)
        # The wish starts where the last command ends.  Outside the soft limits it may only move
        # inside; nothing pulls it there unasked.
        wish = plan.rest
        stop = position + self._braking(speed, change, dt)
        low = np.minimum(self._soft_lower, np.minimum(wish, np.minimum(position, stop)))
        high = np.maximum(self._soft_upper, np.maximum(wish, np.maximum(position, stop)))
        timesteps = deltas.shape[0]
        points = np.empty((timesteps + 1, position.size))
        points[0] = position
        end = np.zeros(position.size)
        wishes = np.empty(position.size)
        rules: list[tuple[int, str]] = []
        idle = (~deltas.any(axis=0)) & (position == wish) & (speed == 0.0)
        wished = deltas.T.tolist()
        for index in range(position.size):
            if idle[index]:
                points[1:, index] = position[index]
                wishes[index] = wish[index]
                continue
            track = pursue(
                float(position[index]),
                float(speed[index]),
                float(wish[index]),
                wished[index],
                float(low[index]),
                float(high[index]),
                float(top[index]),
                float(change[index]),
                dt,
            )
            points[1:, index] = track.positions
            end[index] = track.speed
            wishes[index] = track.wish
            if track.clipped:
                rules.append((index, "position"))
            if track.capped:
                rules.append((index, self._cap_rule(index, stride * dt)))
        if timesteps == 0:
            end = speed
        self.plan = PositionPlan(points, speed, end, change, dt, now)
        lost = np.abs(wishes - self.plan.rest) > 1e-9
        limited = [
            f"{self.limits[index].name}: {rule}"
            for index, rule in rules
            if rule == "position" or lost[index]
        ]
        capped = {index for index, rule in rules if rule != "position"}
        limited += [
            f"{self.limits[index].name}: acceleration"
            for index in np.flatnonzero(lost).tolist()
            if index not in capped
        ]
        return self._command(stride), limited

    def hold(
        self, now: float, dt: float, chained: bool, measured: Floats, measured_speed: Floats
    ) -> Command | None:
        """Stop: brake to rest from where the joints are.

        Parameters
        ----------
        now, dt, chained : as for :meth:`run`.
        measured, measured_speed : float64[C], where to brake from (brought inside the limits); NaN
            where the commanded state is to be taken.

        Returns
        -------
        Command or None
            None if nothing was ever commanded: a robot that was not moved need not be stopped.
        """
        if self.plan is None or not self.published:
            return None
        position, speed = self.plan.next_start(now, chained)
        use = np.isfinite(measured)
        position = np.where(use, np.clip(measured, self._lower, self._upper), position)
        speed = np.where(use & np.isfinite(measured_speed), measured_speed, speed)
        stride = self._stride(dt)
        top = np.minimum(self._velocity, self._step / (stride * dt))
        change = self._acceleration * dt
        speed = self._stoppable(position, speed, change, dt, top)
        self.plan = PositionPlan(position[None, :], speed, speed, change, dt, now)
        return self._command(stride, stop=True)

    def _known_plan(self) -> PositionPlan:
        if self.plan is None:
            raise RuntimeError(f"group {self.name!r} was not seeded")
        return self.plan

    def _stride(self, dt: float) -> int:
        return max(1, round(self.settings.period / dt))

    def _cap_rule(self, index: int, period: float) -> str:
        limit = self.limits[index]
        return "step" if limit.step / period < limit.velocity else "velocity"

    @staticmethod
    def _braking(speed: Floats, change: Floats, dt: float) -> Floats:
        return PositionPlan(np.zeros((1, speed.size)), speed, speed, change, dt, 0.0).rest

    def _stoppable(
        self, position: Floats, speed: Floats, change: Floats, dt: float, top: Floats
    ) -> Floats:
        """Bring the speed to where it can be braked without leaving the limits.

        A plan's own state is not changed by this, except where limits have been narrowed since.
        """
        speed = np.clip(speed, -top, top)
        for index in np.flatnonzero(speed).tolist():
            upward = speed[index] > 0.0
            room = (
                self._upper[index] - position[index]
                if upward
                else position[index] - self._lower[index]
            )
            if np.isinf(room):
                continue
            fastest = approach_speed(max(room, 0.0), change[index], dt)
            # The next timestep is already one of braking.
            fastest += change[index]
            speed[index] = np.clip(speed[index], -fastest, fastest)
        return speed

    def _command(self, stride: int, stop: bool = False) -> Command:
        plan = self._known_plan()
        # A wider stride in the tail would break a limit on the step between points.
        most = _TAIL_POINTS if np.isinf(self._step).all() else 0
        times, positions, speeds, inner = plan.sample(stride, most)
        # Rounding in the tail's closed form may carry it a last bit across a bound.
        low = np.minimum(self._lower, plan.points.min(axis=0))
        np.clip(positions, low, np.maximum(self._upper, plan.points.max(axis=0)), out=positions)
        self.published = True
        return Command(
            self.name, self.settings.topic, self.settings.interface, Quantity.POSITION,
            self.settings.channels, read_only(times), read_only(positions), read_only(speeds),
            read_only(plan.points[0]), read_only(plan.start_speed), inner, stop,
        )  # fmt: skip


class VelocityGroup:
    """Channels that are commanded by velocity: Σδ / (T · dt)."""

    def __init__(self, name: str, settings: GroupSettings, limits: Sequence[JointLimits]) -> None:
        self.name = name
        self.settings = settings
        self.set_limits(limits)
        self.plan: VelocityPlan | None = None
        self.published = False

    def set_limits(self, limits: Sequence[JointLimits]) -> None:
        """Take new limits; they hold from the next command on."""
        self.limits = tuple(limits)
        self._velocity = np.array([limit.velocity for limit in limits])
        self._acceleration = np.array([limit.acceleration for limit in limits])
        self._step = np.array([limit.step for limit in limits])
        self._bounded = [i for i, limit in enumerate(limits) if limit.bounded and limit.measured]

    def seed(self, now: float, dt: float) -> None:
        """Start anew, from standing still."""
        self.plan = VelocityPlan(np.zeros((1, len(self.limits))), dt, now)
        self.published = False

    def forget(self) -> None:
        """Forget all about the robot."""
        self.plan = None
        self.published = False

    def commanded(self, now: float) -> Floats | None:
        """Return the velocities that are commanded at a robot time, or None before a seed."""
        return None if self.plan is None else self.plan.velocity_at(now)

    def run(
        self, deltas: Floats, dt: float, now: float, chained: bool, measured: Floats
    ) -> tuple[Command, list[str]]:
        """Plan a cycle; as :meth:`PositionGroup.run`.

        ``measured`` is float64[C], positions, needed for channels with position limits only: they
        approach a limit no faster than they can brake before it, as far as the measurement knows.
        """
        plan = self._known_plan()
        start = plan.next_start(now, chained)
        timesteps = max(deltas.shape[0], 1)
        # Deltas near the end of a float's range would overflow in the sum, and inf - inf is NaN.
        wish = np.clip(deltas, -_HUGE, _HUGE).sum(axis=0) / (timesteps * dt)
        aim = np.clip(wish, -self._velocity, self._velocity)
        change = self._change(dt)
        points = ramp(start, aim, change, timesteps)
        limited = [
            f"{self.limits[index].name}: velocity" for index in np.flatnonzero(aim != wish).tolist()
        ]
        for index in np.flatnonzero(np.abs(points[-1] - aim) > 1e-9).tolist():
            limited.append(f"{self.limits[index].name}: acceleration")
        for index in self._bounded:
            if self._approach(
                points[:, index], index, float(measured[index]), float(change[index]), dt
            ):
                limited.append(f"{self.limits[index].name}: position")
        self.plan = VelocityPlan(points, dt, now)
        return self._command(self._stride(dt)), limited

    def _approach(
        self, points: Floats, index: int, position: float, change: float, dt: float
    ) -> bool:
        """Slow one channel down before its limits, in place; return whether that was needed."""
        limit = self.limits[index]
        braked = False
        for k in range(1, points.size):
            fastest = approach_speed(max(limit.soft_upper - position, 0.0), change, dt)
            slowest = -approach_speed(max(position - limit.soft_lower, 0.0), change, dt)
            value = float(np.clip(points[k], slowest, fastest))
            before = float(points[k - 1])
            value = min(max(value, before - change), before + change)
            if value != points[k]:
                braked = True
                points[k] = value
            position += value * dt
        return braked

    def hold(self, at: float, now: float, dt: float, chained: bool) -> Command | None:
        """Stop: ramp to zero, or zero at once, as the group's settings say; None if unmoved.

        ``at`` is the present on the clock of the last command, which differs from ``now`` if the
        clock has jumped.
        """
        if self.plan is None or not self.published:
            return None
        start = self.plan.next_start(at, chained)
        stride = self._stride(dt)
        if self.settings.stop_action == "zero":
            points = np.stack((start, np.zeros(start.size)))
            spacing = stride * dt
        else:
            steps = float(np.ceil(np.abs(start) / self._change(dt)).max(initial=1.0))
            spacing = stride * dt * max(np.ceil(steps / (stride * _RAMP_POINTS)), 1.0)
            change = self._change(dt) * round(spacing / dt)
            count = int(np.ceil(np.abs(start) / change).max(initial=1.0))
            points = ramp(start, np.zeros(start.size), change, count)
        self.plan = VelocityPlan(points, spacing, now, stopping=True)
        return self._command(1, stop=True)

    def _known_plan(self) -> VelocityPlan:
        if self.plan is None:
            raise RuntimeError(f"group {self.name!r} was not seeded")
        return self.plan

    def _stride(self, dt: float) -> int:
        return max(1, round(self.settings.period / dt))

    def _change(self, dt: float) -> Floats:
        return np.minimum(self._acceleration * dt, self._step / self._stride(dt))

    def _command(self, stride: int, stop: bool = False) -> Command:
        plan = self._known_plan()
        times, values, inner = plan.sample(stride)
        self.published = True
        start = plan.points[0]
        return Command(
            self.name, self.settings.topic, self.settings.interface, Quantity.VELOCITY,
            self.settings.channels, read_only(times), read_only(values), None,
            read_only(start), read_only(np.zeros(start.size)), inner, stop,
        )  # fmt: skip
