"""Channels that are commanded by velocity: Σδ / (T · dt)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ab_ros.motion.channel_group import ChannelGroup
from ab_ros.motion.commands import Command
from ab_ros.motion.integrate import LevelPlan, braking_distance, ramp
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats
from ab_ros.motion.settings import Quantity
from ab_ros.motion.smoothing import SmoothLevels, Steps, fitted, windows_of
from ab_ros.values import read_only

_RAMP_POINTS = 200
_HUGE = 1e290  # deltas near the end of a float's range would overflow in the sum


class VelocityGroup(ChannelGroup):
    """Channels that are commanded by velocity.

    A cycle that comes a little late must not make wheels sag: the last velocity holds until the
    stage sees that spikes have stopped.  Joints with position limits do not drive into them
    meanwhile: their commands go on with a tail that brakes in time.
    """

    plan: LevelPlan | None

    def forget(self) -> None:
        """Forget all about the robot."""
        super().forget()
        self.plan = None

    def set_limits(self, limits: Sequence[JointLimits]) -> None:
        """Take new limits; they hold from the next command on."""
        super().set_limits(limits)
        self._bounded = [i for i, limit in enumerate(limits) if limit.bounded and limit.measured]

    def seed(self, now: float, dt: float, since: float) -> None:
        """Start anew, from standing still, or from a stop's ramp that has not come to its end.

        ``since`` is how long ago the last stop was, s on the steady clock, by which it is played.
        """
        plan = self.plan
        self.plan = LevelPlan(np.zeros((1, len(self.limits))), dt, now)
        if plan is not None and plan.stopping:
            plan = plan.played(since, now)
            if plan.level_at(now).any():
                self.plan = plan
        self.published = False

    def commanded(self, now: float) -> Floats | None:
        """Return the velocities that are commanded at a robot time, or None before a seed."""
        return None if self.plan is None else self.plan.level_at(now)

    def run(
        self,
        deltas: Floats,
        dt: float,
        now: float,
        chained: bool,
        measured: Floats,
        age: Floats,
        patience: float,
    ) -> tuple[Command, list[str]]:
        """Plan a cycle; as :meth:`PositionGroup.run`.

        ``measured`` is float64[C], positions, and ``age``, s, how old they are: needed for channels
        with position limits only, which approach a limit no faster than they can brake before it.
        Since they were measured, they are taken to have moved as they are commanded now.
        ``patience`` is how long the last velocity may hold after the cycle, s.
        """
        plan = self._known_plan()
        windows = windows_of(self.limits, self.settings.smoothing, dt)
        start, history = self._carry(plan, now, chained)
        if history is not None:
            moving = (history != start).any(axis=0)
            known = plan.windows if isinstance(plan, SmoothLevels) else 1
            windows = np.where(moving, known, windows)
        timesteps = max(deltas.shape[0], 1)
        wish = np.clip(deltas, -_HUGE, _HUGE).sum(axis=0) / (timesteps * dt)
        aim = np.clip(wish, -self._velocity, self._velocity)
        change = self._change(dt)
        points = ramp(start, aim, change, timesteps)
        limited = [
            f"{self.limits[index].name}: velocity" for index in np.flatnonzero(aim != wish).tolist()
        ]
        for index in np.flatnonzero(np.abs(points[-1] - aim) > 1e-9).tolist():
            limited.append(f"{self.limits[index].name}: acceleration")
        after = 0
        if self._bounded:
            # What an average still holds back of the past moves the joint, too.
            at = measured + plan.next_start(now, chained) * age
            at += _backlog(start, history, windows, dt)
            for index in self._approach(points, at, change, dt):
                limited.append(f"{self.limits[index].name}: position")
            tail = self._tail(points[-1], at + points[1:].sum(axis=0) * dt, change, dt, patience)
            after = len(tail)
            points = np.concatenate((points, tail))
        self.plan = self._planned(points, dt, now, False, after, history, windows)
        spacing = self._spacing(dt, chained)
        return self._command(spacing), limited + self._jerked()

    def _carry(self, plan: LevelPlan, now: float, chained: bool) -> tuple[Floats, Floats | None]:
        if isinstance(plan, SmoothLevels):
            return plan.carry(now, chained)
        start = plan.next_start(now, chained)
        return start, start[None, :]

    def _planned(
        self, points: Floats, dt: float, now: float, stopping: bool, after: int,
        history: Floats | None, windows: Steps,
    ) -> LevelPlan:  # fmt: skip
        widest = int(windows.max(initial=1))
        if history is None or widest == 1:
            return LevelPlan(points, dt, now, stopping, after)
        return SmoothLevels(
            points, dt, now, stopping, after, history=fitted(history, widest), windows=windows
        )

    def _jerked(self) -> list[str]:
        """Name the channels whose raw velocities had to be smoothed to keep their jerk limits."""
        plan = self.plan
        if not isinstance(plan, SmoothLevels) or np.isinf(self._jerk).all():
            return []
        path = np.concatenate((plan.history[-1:], plan.points))
        jerk = np.abs(np.diff(path, 2, axis=0)).max(axis=0, initial=0.0)
        acted = jerk > self._jerk * plan.dt**2 * (1.0 + 1e-6) + 1e-9
        return [f"{self.limits[index].name}: jerk" for index in np.flatnonzero(acted).tolist()]

    def _approach(self, points: Floats, position: Floats, change: Floats, dt: float) -> list[int]:
        """Slow bounded channels down before their limits, in place; return which had to."""
        some = self._bounded
        own = points[:, some]
        braked = self._loops.approach(
            own, position[some], self._soft_lower[some], self._soft_upper[some], change[some], dt
        )
        points[:, some] = own
        return [some[index] for index in np.flatnonzero(braked).tolist()]

    def _tail(
        self, speed: Floats, position: Floats, change: Floats, dt: float, patience: float
    ) -> Floats:
        """Return the velocities [P, C] by which joints that would reach their limits brake."""
        none = np.empty((0, speed.size))
        room = np.where(speed > 0.0, self._soft_upper - position, position - self._soft_lower)
        way = np.abs(speed) * patience + np.abs(braking_distance(speed, change, dt))
        near = np.zeros(speed.size, bool)
        near[self._bounded] = True
        near &= (speed != 0.0) & (way > room)
        if not near.any():
            return none
        points = np.repeat(speed[None, :], math.ceil(patience / dt) + 1, axis=0)
        self._approach(points, position, change, dt)
        changes = np.flatnonzero((np.diff(points, axis=0) != 0.0).any(axis=1))
        return points[1 : changes[-1] + 2] if changes.size else none

    def refuses(self, dt: float, now: float, chained: bool) -> str:
        """Return why a cycle of this timestep cannot go on from here, or an empty text."""
        plan = self.plan
        if not isinstance(plan, SmoothLevels) or plan.dt == dt:
            return ""
        start, history = plan.carry(now, chained)
        if (history == start).all():
            return ""
        return (
            f"its timestep is {dt:g} s, that of the cycles before it {plan.dt:g} s: group"
            f" {self.name!r}, whose jerk is limited, has to come to rest in between"
        )

    def hold(self, at: float, now: float, dt: float, chained: bool) -> Command | None:
        """Stop: ramp to zero, or zero at once, as the group's settings say; None if unmoved.

        Smoothing is left out, because it would lengthen the way; a jerk limit is kept.

        ``at`` is the present on the clock of the last command, which differs from ``now`` if the
        clock has jumped.
        """
        plan = self.plan
        if plan is None or not self.published:
            return None
        start = plan.next_start(at, chained)
        windows, history = np.ones(start.size, np.int64), None
        stride = self._stride(dt)
        if self.settings.stop_action == "zero":
            points, spacing = np.stack((start, np.zeros(start.size))), stride * dt
            self.plan = LevelPlan(points, spacing, now, stopping=True)
            return self._command(1, stop=True)
        kept = np.isfinite(self._jerk)
        if isinstance(plan, SmoothLevels) and kept.any():
            dt, stride = plan.dt, self._stride(plan.dt)
            raw, history = plan.carry(at, chained)
            start = np.where(kept, raw, start)
            windows = np.where(kept, plan.windows, windows)
        steps = float(np.ceil(np.abs(start) / self._change(dt)).max(initial=1.0))
        wide = max(math.ceil(steps / (stride * _RAMP_POINTS)), 1)
        # An average needs every timestep.
        spacing = stride * dt * wide if history is None else dt
        change = np.minimum(self._change(dt) * round(spacing / dt), self._step)
        count = int(np.ceil(np.abs(start) / change).max(initial=1.0))
        points = ramp(start, np.zeros(start.size), change, count)
        self.plan = self._planned(points, spacing, now, True, 0, history, windows)
        return self._command(1 if history is None else stride * wide, stop=True)

    def _known_plan(self) -> LevelPlan:
        if self.plan is None:
            raise RuntimeError(f"group {self.name!r} was not seeded")
        return self.plan

    def _change(self, dt: float) -> Floats:
        return np.minimum(self._acceleration * dt, self._step / self._stride(dt))

    def _command(self, stride: int, stop: bool = False) -> Command:
        plan = self._known_plan()
        times, values, inner = plan.sample(stride)
        if stop:
            values[-1] = 0.0
        self.published = True
        start = plan.levels_at(np.array([0]))[0]
        return Command(
            self.name, self.settings.topic, self.settings.interface, Quantity.VELOCITY,
            self.settings.channels, read_only(times), read_only(values), None,
            read_only(start), read_only(np.zeros(start.size)), inner, stop,
        )  # fmt: skip


def _backlog(start: Floats, history: Floats | None, windows: Steps, dt: float) -> Floats:
    """Return how far averaged velocities still move if the raw ones are zero from now on; [C]."""
    way = np.zeros(start.size)
    if history is None:
        return way
    for index in np.flatnonzero(windows > 1).tolist():
        m = int(windows[index])
        path = np.append(fitted(history, m)[:, index], start[index])[-(m - 1) :]
        way[index] = path @ np.arange(1, m) * dt / m
    return way
