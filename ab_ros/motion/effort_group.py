"""Channels that are commanded by effort: a leaky level.

Deltas add up to a level that decays by itself, with the group's time constant ``leak``: spikes
push, and silence lets go.  It decays to zero, or to ``stop_value``, the efforts that carry the
robot's weight.  What is commanded follows the level as fast as ``effort_rate`` allows.

The stage does not know a robot's inertia, so that it cannot promise where a pushed joint stops.  It
promises that it does not push on: there is no effort outward for a joint measured at or beyond a
soft limit, or that would come there before the next measurement and while it brakes by its
``acceleration``; and none that accelerates a joint beyond its ``velocity``.  Such an effort is
taken away at once, whatever ``effort_rate`` says, and the level with it: it does not pile up at a
limit.  What carries the weight is never taken away.

Nor does it know what an effort should move: a joint that stands still under it may grip, carry or
lean, as it was asked to.  So there is no following error for efforts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.channel_group import ChannelGroup
from ab_ros.motion.commands import Command
from ab_ros.motion.integrate import LevelPlan, ramp
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats
from ab_ros.motion.settings import Quantity
from ab_ros.values import read_only

_RAMP_POINTS = 200
_HUGE = 1e290  # deltas near the end of a float's range would overflow in the sum


@dataclass(frozen=True)
class Sensed:
    """What is measured of a group's joints.

    Parameters
    ----------
    position, speed : float64[C].
    ahead : float64[C], s, how old the measurement will be when the next one comes.
    fresh : bool[C], whether it is to be trusted.
    """

    position: Floats
    speed: Floats
    ahead: Floats
    fresh: NDArray[np.bool_]


class EffortGroup(ChannelGroup):
    """Channels that are commanded by effort."""

    plan: LevelPlan | None

    def forget(self) -> None:
        """Forget all about the robot."""
        super().forget()
        self.plan = None
        self._level = self._rest.copy()
        self._pushing = False
        """Whether the robot feels an effort of this group, though nothing came since a seed."""

    def set_limits(self, limits: Sequence[JointLimits]) -> None:
        """Take new limits; they hold from the next command on."""
        super().set_limits(limits)
        self._effort = self._each("effort")
        self._rate = self._each("effort_rate")
        rest = np.array(self.settings.stop_value or [0.0] * len(limits))
        self._rest = np.clip(rest, -self._effort, self._effort)

    def seed(self, now: float, dt: float, since: float) -> None:
        """Start anew, from the effort that was commanded last: the robot still feels it.

        ``since`` is how long ago the last stop was, s on the steady clock, by which it is played.
        """
        plan = self.plan
        if plan is not None and plan.stopping:
            self.plan = plan.played(since, now)
        else:
            last = self._rest if plan is None else plan.level_at(now)
            self._level = np.clip(last, -self._effort, self._effort)
            self.plan = LevelPlan(last[None, :].copy(), dt, now)
        self.published = False

    def commanded(self, now: float) -> Floats | None:
        """Return the efforts that are commanded at a robot time, or None before a seed."""
        return None if self.plan is None else self.plan.level_at(now)

    def bounds(self, sensed: Sensed) -> tuple[Floats, Floats]:
        """Return the lowest and highest efforts that the limits allow as the joints move; [C].

        A joint that is not freshly measured is pushed nowhere.
        """
        speed = np.where(np.isnan(sensed.speed), 0.0, sensed.speed)
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number is not allowed
            coast = speed * sensed.ahead + speed * np.abs(speed) / (2.0 * self._acceleration)
        highest = np.maximum(sensed.position, sensed.position + coast)
        lowest = np.minimum(sensed.position, sensed.position + coast)
        up = sensed.fresh & (highest < self._soft_upper) & (speed < self._velocity)
        down = sensed.fresh & (lowest > self._soft_lower) & (speed > -self._velocity)
        return (
            np.where(down, -self._effort, np.minimum(self._rest, 0.0)),
            np.where(up, self._effort, np.maximum(self._rest, 0.0)),
        )

    def run(
        self, deltas: Floats, dt: float, now: float, chained: bool, sensed: Sensed
    ) -> tuple[Command, list[str]]:
        """Plan a cycle; as :meth:`PositionGroup.run`."""
        plan = self._known_plan()
        start = plan.next_start(now, chained)
        decay = math.exp(-dt / self.settings.leak)
        if plan.stopping:
            self._level = start.copy()
        elif not chained:
            # Between the end of the last cycle and now the level has leaked on.
            pause = max(now - plan.started - plan.timesteps * plan.dt, 0.0)
            left = math.exp(-pause / self.settings.leak)
            self._level = self._rest + (self._level - self._rest) * left
        lower, upper = self.bounds(sensed)
        change = self._change(dt)
        points, self._level, clipped = self._loops.leak(
            start, self._level, self._rest, np.clip(deltas, -_HUGE, _HUGE), decay, lower, upper,
            change,
        )  # fmt: skip
        taken = (start > upper) | (start < lower)
        late = np.abs(points[-1] - self._level) > 1e-9
        limited = []
        for index, limit in enumerate(self.limits):
            if clipped[index] or taken[index]:
                limited.append(f"{limit.name}: {self._rule(index, sensed)}")
            if late[index]:
                slow = self._step[index] / self._stride(dt) < self._rate[index] * dt
                limited.append(f"{limit.name}: {'step' if slow else 'effort_rate'}")
        self.plan = LevelPlan(points, dt, now)
        return self._command(self._spacing(dt, chained)), limited

    def _rule(self, index: int, sensed: Sensed) -> str:
        lower, upper = (bound[index] for bound in self.bounds(sensed))
        if (lower, upper) == (-self._effort[index], self._effort[index]):
            return "effort"
        return "velocity" if abs(sensed.speed[index]) >= self._velocity[index] else "position"

    def guard(self, now: float, dt: float, sensed: Sensed) -> Command | None:
        """Take away what the measured state has come to forbid; None if nothing is to be sent."""
        plan = self.plan
        if plan is None or not self._pushing:
            return None
        lower, upper = self.bounds(sensed)
        if plan.stopping:
            blind = ~sensed.fresh & (plan.points[-1] != self._rest)
            if self.settings.stop_action == "hold" and blind.any():
                return self.hold(now, now, dt, False, sensed, watched=True)
            # What is not measured is being let go already.
            lower = np.where(sensed.fresh, lower, -np.inf)
            upper = np.where(sensed.fresh, upper, np.inf)
        points = plan.points[plan.step_at(now) :]
        if len(points) == 1:  # the last one, which holds
            points = np.concatenate((points, points))
        allowed = np.clip(points, lower, upper)
        if (allowed[1:] == points[1:]).all():
            return None
        self._level = np.clip(self._level, lower, upper)
        # What holds now is in force until something else comes.
        allowed[0] = points[0]
        self.plan = LevelPlan(allowed, plan.dt, now, plan.stopping)
        stride = 1 if plan.stopping else self._stride(plan.dt)
        return self._command(stride, stop=plan.stopping, at_once=True)

    def hold(
        self, at: float, now: float, dt: float, chained: bool, sensed: Sensed, watched: bool
    ) -> Command | None:
        """Stop as the group's settings say; None if unmoved.

        Parameters
        ----------
        at : the present on the clock of the last command (see :meth:`VelocityGroup.hold`).
        sensed : what is measured.
        watched : whether :meth:`guard` goes on watching; else nothing is held.
        """
        plan = self.plan
        if plan is None or not self._pushing:
            return None
        start = plan.next_start(at, chained)
        stride, action = self._stride(dt), self.settings.stop_action
        bounded = np.where(sensed.fresh, np.clip(start, *self.bounds(sensed)), start)
        aim = self._rest
        if action == "hold" and watched:
            aim = np.where(sensed.fresh, bounded, aim)
        spacing = stride * dt
        if action == "zero":
            points = np.stack((start, aim))
        else:
            # As long as the level would take to leak away, or longer if the rate wants it.
            way = np.abs(aim - bounded)
            change = np.minimum(self._change(dt), way * (dt / self.settings.leak))
            change = np.where(way > 0.0, change, np.inf)
            steps = float((way / change).max(initial=1.0))
            spacing *= max(math.ceil(steps / (stride * _RAMP_POINTS)), 1)
            change = np.minimum(change * round(spacing / dt), self._step)
            count = max(math.ceil(float((way / change).max(initial=1.0)) - 1e-9), 1)
            points = ramp(bounded, aim, change, count)
            points[0] = start
        self._level = points[-1].copy()
        self.plan = LevelPlan(points, spacing, now, stopping=True)
        return self._command(1, stop=True)

    def _known_plan(self) -> LevelPlan:
        if self.plan is None:
            raise RuntimeError(f"group {self.name!r} was not seeded")
        return self.plan

    def _change(self, dt: float) -> Floats:
        return np.minimum(self._rate * dt, self._step / self._stride(dt))

    def _command(self, stride: int, stop: bool = False, at_once: bool = False) -> Command:
        plan = self._known_plan()
        times, values, inner = plan.sample(stride)
        if at_once and stride > 1:
            times = np.append(plan.dt, times)
            values = np.concatenate((plan.points[1:2], values))
        self.published = self._pushing = True
        start = plan.points[0]
        return Command(
            self.name, self.settings.topic, self.settings.interface, Quantity.EFFORT,
            self.settings.channels, read_only(times), read_only(values), None,
            read_only(start), read_only(np.zeros(start.size)), inner, stop, at_once,
        )  # fmt: skip
