"""Channels that are commanded by position.

What is commanded never leaps.  A group starts *anew* where the robot is measured only while it
rests and something may have moved the robot meanwhile.  Else, where measurement and command have
come apart, the command goes *towards* the measurement, at the speeds and accelerations of any other
motion; until a joint is there, what spikes ask of it is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.channel_group import ChannelGroup
from ab_ros.motion.commands import Command
from ab_ros.motion.integrate import PositionPlan, approach_speed
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats
from ab_ros.motion.settings import Quantity
from ab_ros.motion.smoothing import (
    SmoothPlan,
    along,
    fitted,
    windows_of,
)
from ab_ros.values import read_only

_TAIL_POINTS = 16
_STOP_POINTS = 200
_ROUNDING = 1e-9  # s
_HUGE = 1e290  # deltas near the end of a float's range would overflow in a sum


class Pace(NamedTuple):
    """What limits and settings come to with timesteps of one length.

    Attributes
    ----------
    stride : timesteps between two points of a command.
    top : float64[C], highest speeds.
    change : float64[C], largest change of speed per timestep.
    windows : int64[C], over how many timesteps each channel is averaged.
    averaging : whether any is.
    """

    stride: int
    top: Floats
    change: Floats
    windows: NDArray[np.int64]
    averaging: bool


class PositionGroup(ChannelGroup):
    """Channels that are commanded by position."""

    plan: PositionPlan | None
    last: Floats | None = None
    """Where the commands led before everything else about the robot was forgotten; [C]."""

    def set_limits(self, limits: Sequence[JointLimits]) -> None:
        """Take new limits; they hold from the next command on."""
        super().set_limits(limits)
        self._paces: dict[float, Pace] = {}
        self._any_jerk = bool(np.isfinite(self._jerk).any())
        self._any_step = bool(np.isfinite(self._step).any())

    def _pace_at(self, dt: float) -> Pace:
        pace = self._paces.get(dt)
        if pace is None:
            stride = self._stride(dt)
            top = np.minimum(self._velocity, self._step / (stride * dt))
            windows = windows_of(self.limits, self.settings.smoothing, dt)
            averaging = bool((windows > 1).any())
            pace = Pace(stride, top, self._acceleration * dt, windows, averaging)
            self._paces = {dt: pace}  # of the brain that runs
        return pace

    def forget(self) -> None:
        """Forget all about the robot, but for where it was told to be."""
        super().forget()
        plan: PositionPlan | None = getattr(self, "plan", None)
        if plan is not None:
            self.last = plan.rest
        self.plan = None
        self._towards: Floats | None = None

    def beyond(self) -> list[str]:
        """Name the joints whose published command leads beyond the limits, as narrowed since."""
        if self.plan is None or not self.published:
            return []
        path = self.plan.positions_at(np.arange(self.plan.timesteps + self.plan.tail + 1))
        # A last bit may be rounding.
        outside = (path < self._lower - 1e-9) | (path > self._upper + 1e-9)
        outside &= ~self.approaching  # on its way inside
        return [self.limits[index].name for index in np.flatnonzero(outside.any(axis=0)).tolist()]

    def seed(self, position: Floats, now: float, dt: float) -> None:
        """Start anew, at rest, from a measured position; one beyond a limit is brought inside."""
        self.plan = PositionPlan.at_rest(position, dt, now)
        inside = np.clip(position, self._lower, self._upper)
        self._towards = None
        if (inside != position).any():
            self._towards = np.where(inside != position, inside, np.nan)
        self.published = False

    def approach(self, position: Floats, speed: Floats, dt: float) -> None:
        """Lead the command to where joints are measured, in the cycles that follow.

        ``position`` and ``speed`` are float64[C], from where joints are taken to brake; positions
        are NaN for channels that go on as they are.
        """
        self._towards = self._rest_of(position, speed, self._pace_at(dt), dt)

    def _rest_of(self, position: Floats, speed: Floats, pace: Pace, dt: float) -> Floats:
        """Return where joints that are measured come to rest if they brake now; [C]."""
        on = np.clip(np.where(np.isnan(speed), 0.0, speed), -pace.top, pace.top)
        rest: Floats = position + self._braking(on, pace.change, dt)
        return np.clip(rest, self._lower, self._upper)

    @property
    def approaching(self) -> NDArray[np.bool_]:
        """Which channels' commands are on their way to a measured position; [C]."""
        if self._towards is None:
            return np.zeros(len(self.limits), np.bool_)
        return np.asarray(~np.isnan(self._towards))

    def moves(self, now: float) -> bool:
        """Return whether what was published has not come to rest."""
        return self.published and now < self._ends - _ROUNDING

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
        pace = self._pace_at(dt)
        windows = pace.windows
        history: Floats | None = None
        if isinstance(plan, SmoothPlan):
            position, speed, history = plan.carry(now, chained)
            # Another average holds from when the joint rests: a moving one would jump.
            moving = (speed != 0.0) | (history != position).any(axis=0)
            windows = np.where(moving, plan.windows, windows)
        else:
            position, speed = plan.next_start(now, chained)
            if pace.averaging:
                history = along(position, speed, 1, dt)
                windows = np.where(speed != 0.0, 1, windows)
        position = self._rounded(position)
        stride, top, change = pace.stride, pace.top, pace.change
        # A speed beyond a limit that was narrowed is braked, unless a joint could not stop in time.
        fastest = np.where(windows > 1, np.inf, top) if pace.averaging else top
        speed = self._stoppable(position, speed, change, dt, fastest)
        # The wish starts where the last command ends.  Outside the soft limits it may only move
        # inside; nothing pulls it there unasked.
        wish = plan.rest
        approaching = self.approaching
        if self._towards is not None:
            wish = np.where(approaching, self._towards, wish)
            deltas = np.where(approaching, 0.0, deltas)
        stop = position + self._braking(speed, change, dt)
        low = np.minimum(self._soft_lower, np.minimum(wish, np.minimum(position, stop)))
        high = np.maximum(self._soft_upper, np.maximum(wish, np.maximum(position, stop)))
        deltas = np.minimum(np.maximum(deltas, -_HUGE), _HUGE)
        points, end, wishes, clipped, capped = self._loops.pursue(
            position, speed, wish, deltas, low, high, top, change, dt
        )
        self.plan = self._planned(points, speed, end, change, dt, now, history, windows)
        lost = np.abs(wishes - self.plan.rest) > 1e-9
        limited = []
        for index in np.flatnonzero(clipped | lost).tolist():
            name = self.limits[index].name
            if clipped[index]:
                limited.append(f"{name}: position")
            if lost[index]:
                rule = self._cap_rule(index, stride * dt) if capped[index] else "acceleration"
                rule = "approach" if approaching[index] else rule
                limited.append(f"{name}: {rule}")
        if self._towards is not None:
            under_way = np.abs(points[-1] - self._towards) > 1e-9
            self._towards = np.where(under_way, self._towards, np.nan) if under_way.any() else None
        spacing = self._spacing(dt, chained)
        return self._command(spacing, stride), limited + self._jerked()

    def _within(self, positions: Floats) -> bool:
        """Return whether all lie within the hard limits."""
        return bool((positions >= self._lower).all() and (positions <= self._upper).all())

    def _rounded(self, position: Floats) -> Floats:
        """Bring inside the limits what rounding between two points has carried beyond them."""
        inside = np.minimum(np.maximum(position, self._lower), self._upper)
        return np.where(np.abs(inside - position) < 1e-9, inside, position)

    def _planned(
        self, points: Floats, start_speed: Floats, end_speed: Floats, change: Floats, dt: float,
        now: float, history: Floats | None, windows: NDArray[np.int64], stopping: bool = False,
    ) -> PositionPlan:  # fmt: skip
        widest = int(windows.max(initial=1))
        if history is None or widest == 1:
            return PositionPlan(points, start_speed, end_speed, change, dt, now, stopping=stopping)
        return SmoothPlan(
            points, start_speed, end_speed, change, dt, now, fitted(history, widest), windows,
            stopping=stopping,
        )  # fmt: skip

    def _jerked(self) -> list[str]:
        """Name the joints whose raw path had to be smoothed to keep their jerk limits."""
        plan = self.plan
        if not isinstance(plan, SmoothPlan) or not self._any_jerk:
            return []
        path = np.concatenate((plan.history[-2:], plan.points))
        jerk = np.abs(np.diff(path, 3, axis=0)).max(axis=0, initial=0.0)
        acted = jerk > self._jerk * plan.dt**3 * (1.0 + 1e-6) + 1e-12
        return [f"{self.limits[index].name}: jerk" for index in np.flatnonzero(acted).tolist()]

    def refuses(self, dt: float, now: float, chained: bool) -> str:
        """Return why a cycle of this timestep cannot go on from here, or an empty text."""
        plan = self.plan
        if not isinstance(plan, SmoothPlan) or plan.dt == dt:
            return ""
        position, speed, history = plan.carry(now, chained)
        if not speed.any() and (history == position).all():
            return ""
        return (
            f"its timestep is {dt:g} s, that of the cycles before it {plan.dt:g} s: group"
            f" {self.name!r}, whose jerk is limited, has to come to rest in between"
        )

    def hold(
        self, now: float, dt: float, chained: bool, measured: Floats, measured_speed: Floats
    ) -> Command | None:
        """Stop: brake along the command, or lead it to where the joints are measured.

        Smoothing is left out, because it would lengthen the way; a jerk limit is kept.

        Parameters
        ----------
        now, dt, chained : as for :meth:`run`.
        measured, measured_speed : float64[C], where the joints are and how fast: the command goes
            to where they come to rest from there (inside the limits).  NaN where it is to brake to
            rest as soon as it can.

        Returns
        -------
        Command or None
            None if nothing was ever commanded: a robot that was not moved need not be stopped.
        """
        plan = self.plan
        if plan is None or not self.published:
            return None
        history: Floats | None = None
        windows, kept = np.ones(measured.size, np.int64), np.zeros(measured.size, np.bool_)
        if isinstance(plan, SmoothPlan):
            # A jerk limit needs the path as it was, averaged as it was.
            kept = np.isfinite(self._jerk) & (plan.windows > 1)
            position, speed = plan.commanded_from(now, chained)
            raw, raw_speed, history = plan.carry(now, chained)
            dt = plan.dt if kept.any() else dt
        else:
            position, speed = plan.next_start(now, chained)
        position = self._rounded(position)
        target = np.clip(measured, self._lower, self._upper)
        way = np.abs(np.where(np.isnan(target), 0.0, target - position)).max()
        if not kept.any() and not self._any_step:
            # A long way is planned, and sent, in longer timesteps.
            dt *= max(math.ceil(float((way / self._velocity).max()) / (dt * _STOP_POINTS)), 1)
        pace = self._pace_at(dt)
        stride, top, change = pace.stride, pace.top, pace.change
        speed = self._stoppable(position, speed, change, dt, top)
        if isinstance(plan, SmoothPlan) and kept.any():
            # It was planned so that it can stop; limits that were narrowed since cannot change it.
            position, speed = np.where(kept, raw, position), np.where(kept, raw_speed, speed)
            windows = np.where(kept, plan.windows, windows)
            change = np.where(kept, plan.change, change)
        stop = position + self._braking(speed, change, dt)
        target = self._rest_of(measured, measured_speed, pace, dt)
        target = np.where(np.isnan(target), stop, target)
        points, end = position[None, :], speed
        if not np.allclose(target, stop, rtol=0.0, atol=1e-9):
            points, end = self._led(position, speed, target, stop, top, change, dt)
        self.plan = self._planned(points, speed, end, change, dt, now, history, windows, True)
        self._towards = None
        return self._command(stride, stride, stop=True)

    def _led(
        self, position: Floats, speed: Floats, target: Floats, stop: Floats, top: Floats,
        change: Floats, dt: float,
    ) -> tuple[Floats, Floats]:  # fmt: skip
        """Return the way to a target and the speeds at its end, as :meth:`Loops.pursue`."""
        low = np.minimum(self._lower, np.minimum(position, stop))
        high = np.maximum(self._upper, np.maximum(position, stop))
        # Braking, turning around, speeding up and braking again all lie within these timesteps.
        turns = 2.0 * np.maximum(np.abs(speed), top) / change
        ways = (np.abs(target - position) + 2.0 * np.abs(stop - position)) / (top * dt)
        count = math.ceil(float((turns + ways).max())) + 4
        points, end, _, _, _ = self._loops.pursue(
            position, speed, target, np.zeros((count, position.size)), low, high, top, change, dt
        )
        moves = np.flatnonzero((np.diff(points, axis=0) != 0.0).any(axis=1))
        return points[: (int(moves[-1]) if moves.size else 0) + 2], end

    def _known_plan(self) -> PositionPlan:
        if self.plan is None:
            raise RuntimeError(f"group {self.name!r} was not seeded")
        return self.plan

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
        if not speed.any():
            return speed
        speed = np.clip(speed, -top, top)
        room = np.where(speed > 0.0, self._upper - position, position - self._lower)
        bounded = (speed != 0.0) & np.isfinite(room)
        room = np.where(bounded, np.maximum(room, 0.0), 0.0)
        # The next timestep is already one of braking.
        fastest = approach_speed(room, change, dt) + change
        return np.where(bounded, np.clip(speed, -fastest, fastest), speed)

    def _command(self, spacing: int, stride: int, stop: bool = False) -> Command:
        plan = self._known_plan()
        # A wider stride in the tail would break a limit on the step between points, and be a jump
        # for who applies each point at once.
        most = 0 if self._any_step or self.settings.played else _TAIL_POINTS
        times, positions, speeds, inner = plan.sample(spacing, most, stride)
        start = plan.start
        # The points may be wider apart than timesteps, and come to rest later than the plan.
        changes = np.flatnonzero((positions[-1] != positions).any(axis=1))
        moved = bool(changes.size) or bool((positions[-1] != start).any())
        last = int(changes[-1]) + 1 if changes.size else 0
        self._ends = plan.started + (float(times[last]) if moved else 0.0)
        if not (self._within(positions) and self._within(start)):
            # Rounding in the tail's closed form may carry it a last bit across a bound.
            extremes = plan.extremes()
            low = np.minimum(self._lower, self._rounded(extremes.min(axis=0)))
            high = np.maximum(self._upper, self._rounded(extremes.max(axis=0)))
            np.clip(positions, low, high, out=positions)
            start = np.clip(start, low, high)
        self.published = True
        return Command(
            self.name, self.settings.topic, self.settings.interface, Quantity.POSITION,
            self.settings.channels, read_only(times), read_only(positions), read_only(speeds),
            read_only(start), read_only(plan.speed_at_start), inner, stop,
        )  # fmt: skip
