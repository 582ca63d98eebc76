"""The supervisor: what stops the robot, what starts it again, and from where.

It owns the state machine, the clocks, the measured states and the command groups; the stage hands
it every event and asks it for what must be sent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.cycles import spike_timeout, state_timeout
from ab_ros.motion.groups import Command, PositionGroup, VelocityGroup
from ab_ros.motion.integrate import Floats
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.measured import MeasuredStates
from ab_ros.motion.safety import LATCHED, Clocks, Code, Machine, State
from ab_ros.motion.settings import MotorSettings, Quantity

Group = PositionGroup | VelocityGroup


class Supervisor:
    """Watches ages, clocks, limits and following; stops and seeds the groups."""

    def __init__(self, settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
        self.machine = Machine()
        self.counters: Counter[str] = Counter()
        self.groups: list[Group] = [
            (PositionGroup if group.quantity is Quantity.POSITION else VelocityGroup)(
                name, group, [limits[channel] for channel in group.channels]
            )
            for name, group in settings.groups.items()
        ]
        needed = [
            limit.name
            for group in self.groups
            for limit in group.limits
            if limit.measured and (isinstance(group, PositionGroup) or limit.bounded)
        ]
        self.measured = MeasuredStates(
            needed, state_timeout(settings, 0.0), settings.steady_timeout
        )
        self.place = {name: index for index, name in enumerate(needed)}
        self._clocks = Clocks(settings.clock_leap)
        self._cycle_time = 0.0
        self.configure(settings, limits)
        self._pending: tuple[Code, str] | None = None
        self._error_since: dict[int, float] = {}
        self._before_jump = 0.0
        self._dt = 1e-3
        self._cycle_now = self._cycle_steady = -math.inf

    def configure(self, settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
        """Take settings and limits; limits narrowed past a command become a limit fault."""
        self.settings = settings
        self.lockstep = settings.pacing == "lockstep"
        # In lockstep the robot's clock runs as fast as it can, and the robot stands when it stands.
        self._clocks.leap = math.inf if self.lockstep else settings.clock_leap
        self._set_timeouts()
        joints = [limits[name] for name in self.measured.names]
        self._lower = np.array([joint.lower for joint in joints])
        self._upper = np.array([joint.upper for joint in joints])
        self._following = np.array(
            [
                settings.following_error if joint.following_error is None else joint.following_error
                for joint in joints
            ]
        )
        for group in self.groups:
            group.set_limits([limits[channel] for channel in group.settings.channels])
            if isinstance(group, PositionGroup):
                for name in group.beyond():
                    self.fault(
                        Code.LIMIT_FAULT, f"limits of {name!r} were narrowed past its command"
                    )

    def _set_timeouts(self) -> None:
        oldest = state_timeout(self.settings, self._cycle_time)
        self.measured.timeout = oldest
        self.measured.steady_timeout = (
            math.inf if self.lockstep else max(self.settings.steady_timeout, oldest)
        )

    # ------------------------------------------------------------------------------- events

    @property
    def now(self) -> float:
        """The last robot time that was a number, s."""
        return 0.0 if math.isnan(self._clocks.now) else self._clocks.now

    @property
    def engaged(self) -> bool:
        """Whether the robot executes cycles, or would execute the next one."""
        return self.machine.state is State.ACTIVE or self.machine.code is Code.STALE_SPIKES

    def tick(self, now: float, steady: float) -> None:
        """Take the present times."""
        before = self.now
        problem = self._clocks.step(now, steady)
        if not problem:
            return
        self.counters["clock_jumps"] += 1
        # What was measured belongs to the old time.
        self.measured.clear()
        self._error_since.clear()
        self._before_jump = before
        if self.machine.state is not State.INACTIVE:
            self.fault(Code.CLOCK_JUMP, problem)

    def fault(self, code: Code, message: str) -> None:
        """Note a reason to stop, for the next :meth:`step`; the gravest one wins."""
        if self._pending is not None:
            standing = self._pending[0]
            if standing in LATCHED or (code not in LATCHED and code is not Code.CLOCK_JUMP):
                return
        self._pending = (code, message)

    def wait(self) -> None:
        """Forget faults and wait for a fresh measured state."""
        self._pending = None
        self._error_since.clear()
        self.machine.enter(State.SEEDING, Code.NO_STATE, "waits for a fresh measured state")

    def take(self, taken: tuple[int, ...], steady: float) -> None:
        """Judge joint states that have just been merged."""
        if self._pending is None and self.machine.waits_for_state:
            self.try_seed(steady)
        if self.engaged and not self._limit_fault():
            self._check_following(taken)

    def step(self, now: float, steady: float) -> tuple[Command, ...]:
        """Go through all reasons to stop, then to start again; return what must be sent."""
        self.tick(now, steady)
        if self.machine.state is State.INACTIVE:
            return ()
        commands: list[Command] = []
        if self._pending is not None:
            code, message = self._pending
            self._pending = None
            commands += self.stop(code, message, steady)
        if self.engaged:
            missing = self.measured.missing(self.now, steady)
            if missing:
                message = f"no fresh joint state of {missing} for {self.measured.timeout:g} s"
                commands += self.stop(Code.STALE_STATE, message + self._why_refused(), steady)
        if self.machine.state is State.ACTIVE:
            commands += self._check_spikes(steady)
        if self.machine.waits_for_state:
            self.try_seed(steady)
        return newest(commands)

    def _check_spikes(self, steady: float) -> tuple[Command, ...]:
        timeout = spike_timeout(self.settings, self._cycle_time)
        if self.now - self._cycle_now > timeout:
            return self.stop(Code.STALE_SPIKES, f"no fresh cycle for {timeout:g} s", steady)
        timeout = max(self.settings.steady_timeout, timeout)
        if steady - self._cycle_steady > timeout:
            message = f"no fresh cycle for {timeout:g} s on the computer's clock"
            if not self.lockstep:
                return self.stop(Code.STALE_SPIKES, message, steady)
            # A simulation that waits for its brain stands still: it is told nothing, so that its
            # run does not depend on how long the brain thinks.
            self.machine.enter(State.HOLDING, Code.STALE_SPIKES, message)
        return ()

    # -------------------------------------------------------------------------------- stops

    def stop(self, code: Code, message: str, steady: float) -> tuple[Command, ...]:
        """Hold for a reason; return the commands for it, if the robot moves or must be let go."""
        if self.machine.latched:
            return ()
        was_active = self.machine.state is State.ACTIVE
        was_starved = self.machine.code is Code.STALE_SPIKES
        self.machine.enter(State.HOLDING, code, message)
        self.counters[f"stopped_{code.name.lower()}"] += 1
        if code in (Code.NON_FINITE, Code.CLOCK_JUMP):
            self.measured.demand_fresh()
        if was_active or (was_starved and code in LATCHED):
            return self.stop_commands(code, steady)
        return ()

    def stop_commands(self, code: Code, steady: float) -> tuple[Command, ...]:
        """Return the commands that stop every group that was moved.

        Halts, faults and the end brake from where the robot is measured, so that it lets go of what
        it pushes against; pauses brake along the command, so that they do not ratchet the pose.
        """
        now = self.now
        jumped = code is Code.CLOCK_JUMP
        from_measured = code in LATCHED or code is Code.NOT_ACTIVE
        commands: list[Command | None] = []
        for group in self.groups:
            if isinstance(group, VelocityGroup):
                at = self._before_jump if jumped else now
                commands.append(group.hold(at, now, self._dt, self.lockstep))
            elif jumped:
                # What was published ends at rest by itself.  A hold now would drive a robot that
                # was reset together with its clock back to where it was before.
                group.published = False
            else:
                position, speed = self._measured_of(group, steady, from_measured)
                commands.append(group.hold(now, self._dt, self.lockstep, position, speed))
        return tuple(command for command in commands if command is not None)

    def _measured_of(
        self, group: Group, steady: float, wanted: bool = True
    ) -> tuple[Floats, Floats]:
        """Return measured positions and speeds of a group; NaN where not fresh, or far off."""
        size = len(group.limits)
        position, speed = np.full(size, math.nan), np.full(size, math.nan)
        if wanted:
            usable = ~self.measured.stale(self.now, steady) & ~self._beyond()
            for index, limit in enumerate(group.limits):
                place = self.place.get(limit.name)
                if place is not None and usable[place]:
                    position[index] = self.measured.position[place]
                    speed[index] = self.measured.velocity[place]
        return position, speed

    # --------------------------------------------------------------------------------- seeds

    def try_seed(self, steady: float) -> None:
        """Become active if every joint has a fresh state within its limits."""
        missing = self.measured.missing(self.now, steady)
        if missing:
            if self.machine.state is State.SEEDING:
                self.machine.message = (
                    f"waits for a fresh joint state of {missing}{self._why_refused()}"
                )
            return
        if self._limit_fault():
            return
        self._seed(steady)
        self.measured.refused = ""
        self._cycle_now, self._cycle_steady = self.now, steady
        self.machine.enter(State.ACTIVE, Code.OK, "executes cycles")

    def _why_refused(self) -> str:
        return f" (refused: {self.measured.refused})" if self.measured.refused else ""

    def _seed(self, steady: float) -> None:
        self.counters["seeds"] += 1
        self._error_since.clear()
        for group in self.groups:
            if isinstance(group, VelocityGroup):
                group.seed(self.now, self._dt)
                continue
            position, _ = self._measured_of(group, steady)
            commanded = group.commanded(self.now)
            for index, limit in enumerate(group.limits):
                if not limit.measured:
                    position[index] = limit.initial if commanded is None else commanded[index]
            group.seed(position, self.now, self._dt)

    def adopt(self, dt: float, duration: float, steady: float) -> tuple[Command, ...]:
        """Take the timing of a cycle; return what must be sent.

        The time-outs follow from it: joint states that were fresh enough for no cycle yet, or for
        longer ones, may be too old for this one.
        """
        if (dt, duration) == (self._dt, self._cycle_time):
            return ()
        self._dt, self._cycle_time = dt, duration
        self._set_timeouts()
        return self.step(self.now, steady)

    def begin_cycle(self, steady: float) -> tuple[Code, str]:
        """Become active for an accepted cycle, seeding anew where that is due."""
        starved = self.now - self._cycle_now > spike_timeout(self.settings, self._cycle_time)
        self._cycle_now, self._cycle_steady = self.now, steady
        if not any(group.published for group in self.groups):
            # Nothing was commanded since the seed: the robot may have been moved by hand.
            self._seed(steady)
        elif self.machine.code is Code.STALE_SPIKES and (starved or not self.lockstep):
            drifted = self._drift()
            if drifted:
                self._seed(steady)
                self.counters["drifts"] += 1
                self.machine.enter(State.ACTIVE, Code.DRIFT, drifted)
                return Code.DRIFT, drifted
        self.machine.enter(State.ACTIVE, Code.OK, "executes cycles")
        return Code.OK, "executed"

    def _drift(self) -> str:
        for group in self.groups:
            commanded = group.commanded(self.now)
            if not isinstance(group, PositionGroup) or commanded is None:
                continue
            for index, limit in enumerate(group.limits):
                place = self.place.get(limit.name)
                if place is None:
                    continue
                drift = abs(float(commanded[index]) - float(self.measured.position[place]))
                if drift > self.settings.drift_tolerance:
                    return f"{limit.name!r} had drifted {drift:.4g} from its command: seeded anew"
        return ""

    # -------------------------------------------------------------------------------- faults

    def _beyond(self) -> NDArray[np.bool_]:
        """Return which joints are measured beyond their limits by more than the fault margin."""
        margin = self.settings.fault_margin
        position = self.measured.position
        return np.asarray((position < self._lower - margin) | (position > self._upper + margin))

    def _limit_fault(self) -> bool:
        beyond = np.flatnonzero(self._beyond())
        if not beyond.size:
            return False
        index = int(beyond[0])
        message = (
            f"{self.measured.names[index]!r} is measured at {self.measured.position[index]:.4g},"
            f" beyond its limits [{self._lower[index]:.4g}, {self._upper[index]:.4g}]"
        )
        if self.engaged:
            self.fault(Code.LIMIT_FAULT, message)
        elif not self.machine.latched:
            self.machine.enter(State.HOLDING, Code.LIMIT_FAULT, message)
        return True

    def _check_following(self, taken: tuple[int, ...]) -> None:
        """Compare measurements with what was commanded at their stamps."""
        for group in self.groups:
            if not isinstance(group, PositionGroup) or group.plan is None or not group.published:
                continue
            at: float | None = None
            for index, limit in enumerate(group.limits):
                place = self.place.get(limit.name)
                if place is None or place not in taken or not self._following[place]:
                    continue
                stamp = float(self.measured.stamp[place])
                if at != stamp:
                    at, commanded = stamp, group.plan.state_at(stamp)[0]
                error = abs(float(commanded[index]) - float(self.measured.position[place]))
                if error <= self._following[place]:
                    self._error_since.pop(place, None)
                    continue
                since = self._error_since.setdefault(place, stamp)
                if stamp - since >= self.settings.following_time:
                    self.fault(
                        Code.FOLLOWING_ERROR,
                        f"{limit.name!r} is measured {error:.4g} from its command for"
                        f" {stamp - since:.3f} s; {self._following[place]:g} is allowed",
                    )


def newest(commands: list[Command]) -> tuple[Command, ...]:
    """Keep the last command of each group: it replaces those before it."""
    return tuple({command.group: command for command in commands}.values())
