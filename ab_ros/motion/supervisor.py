"""The supervisor: what stops the robot, what starts it again, and from where.

It owns the state machine, the clocks, the measured states and the command groups; the stage hands
it every event and asks it for what must be sent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.cycles import spike_timeout, state_timeout
from ab_ros.motion.effort_group import Sensed
from ab_ros.motion.following import Following
from ab_ros.motion.groups import (
    Command,
    EffortGroup,
    Group,
    PositionGroup,
    make_group,
)
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.measured import MeasuredStates
from ab_ros.motion.pursuit import Floats, Loops
from ab_ros.motion.rhythm import CycleRhythm
from ab_ros.motion.safety import BARRED_BY, LATCHED, RELEASING, Clocks, Code, Machine, State
from ab_ros.motion.settings import GRIPPERS, MotorSettings

_WATCH = 0.02  # s; the longest time between two calls of MotorStage.watch
_ABSENCE = 1.0  # s; in which a driver may have been started anew, and the robot moved by it
_MARGIN_PART = 0.05  # of a joint's range; a larger fault margin would hide that it is elsewhere


class Supervisor:
    """Watches ages, clocks, limits and following; stops and seeds the groups.

    ``epoch`` counts what makes anything asked for before obsolete: stops, seeds and new runs.
    """

    def __init__(
        self, settings: MotorSettings, limits: Mapping[str, JointLimits], loops: Loops
    ) -> None:
        self.machine = Machine()
        self.counters: Counter[str] = Counter()
        self.epoch = 0
        self.groups: list[Group] = [
            make_group(name, group, [limits[channel] for channel in group.channels], loops)
            for name, group in settings.groups.items()
        ]
        needed = [
            limit.name
            for group in self.groups
            for limit in group.limits
            if limit.measured and (isinstance(group, PositionGroup | EffortGroup) or limit.bounded)
        ]
        self.measured = MeasuredStates(
            needed, state_timeout(settings, 0.0), settings.steady_timeout
        )
        self.place = {name: index for index, name in enumerate(needed)}
        self._following = Following(self.measured, self.place)
        self._places = {
            group.name: np.array([self.place.get(name, -1) for name in group.settings.channels])
            for group in self.groups
        }
        self._clocks = Clocks(settings.clock_leap)
        self._cycle_time = 0.0
        self._rhythm: CycleRhythm | None = None
        self.configure(settings, limits)
        self._pending: tuple[Code, str] | None = None
        self._pressed, self._heard = False, -math.inf
        self._other_source = ""
        self._before_jump = 0.0
        self._stopped = -math.inf
        self._anew, self._blind = True, (0.0, 0.0)
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
        # A simulation that was set back has jumped, and is right; and grippers go to their goals
        # as fast as they can.
        grippers = {
            name
            for group in settings.groups.values()
            for name in group.channels
            if group.interface in GRIPPERS
        }
        known = [replace(j, velocity=math.inf) if j.name in grippers else j for j in joints]
        self.measured.judge_by(known, 0.0 if self.lockstep else settings.state_jump)
        self._lower = np.array([joint.lower for joint in joints])
        self._upper = np.array([joint.upper for joint in joints])
        self._margin = np.minimum(settings.fault_margin, _MARGIN_PART * (self._upper - self._lower))
        self._following.configure(settings, joints)
        for group in self.groups:
            group.set_limits([limits[channel] for channel in group.settings.channels])
            if isinstance(group, PositionGroup):
                for name in group.beyond():
                    self.fault(
                        Code.LIMIT_FAULT, f"limits of {name!r} were narrowed past its command"
                    )
        if self.engaged:
            self._limit_fault()

    def unwatched(self, limits: Mapping[str, JointLimits]) -> set[str]:
        """Return the channels that would need to be measured by these limits, and are not."""
        return {
            limit.name
            for group in self.groups
            for limit in (limits[name] for name in group.settings.channels)
            if limit.measured and limit.bounded and limit.name not in self.place
        }

    def _set_timeouts(self) -> None:
        oldest = state_timeout(self.settings, self._cycle_time)
        self.measured.timeout = oldest
        self.measured.steady_timeout = (
            math.inf if self.lockstep else max(self.settings.steady_timeout, oldest)
        )

    # ------------------------------------------------------------------------------- events

    def begin_run(self, remote: bool) -> None:
        """Take note of a run that begins: only a brain elsewhere has a rhythm of its own."""
        self.epoch += 1
        if not remote:
            self._rhythm = None
        elif self._rhythm is None:
            self._rhythm = CycleRhythm()

    def deadman(self, pressed: bool, steady: float) -> None:
        """Take word from the deadman switch."""
        self._pressed, self._heard = pressed, steady

    def other_source(self, text: str) -> None:
        """Take word of who else commands the robot; an empty text if nobody does."""
        self._other_source = text

    def _barrier(self, steady: float) -> tuple[Code, str] | None:
        """Return what stands in the way of moving, as long as it does."""
        if self._other_source:
            return Code.OTHER_SOURCE, self._other_source
        timeout = self.settings.deadman_timeout
        if not timeout:
            return None
        if not self._pressed:
            return Code.DEADMAN, "the deadman switch is not pressed"
        if not steady - self._heard <= timeout:
            return Code.DEADMAN, f"the deadman switch was not heard for {timeout:g} s"
        return None

    def _standing_clock(self, steady: float) -> str:
        """Return that the robot's clock stands still, if it does: then nothing is known of ages."""
        timeout = self.settings.steady_timeout
        if self.lockstep or self._clocks.stands(steady) <= timeout:
            return ""
        return f"the robot's clock stands still, for {timeout:g} s on the computer's clock"

    @property
    def _spike_timeout(self) -> float:
        period = self._rhythm.period if self._rhythm is not None else 0.0
        return spike_timeout(self.settings, self._cycle_time, period)

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
        self._following.clear()
        self._before_jump = before
        for group in self.groups:
            if isinstance(group, PositionGroup):
                # What was published ends at rest by itself.  A hold now would drive a robot that
                # was reset together with its clock back to where it was before.
                group.published = False
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
        self._anew = True
        self._following.clear()
        self.machine.enter(State.SEEDING, Code.NO_STATE, "waits for a fresh measured state")

    def take(self, taken: tuple[int, ...], steady: float) -> None:
        """Judge joint states that have just been merged."""
        if self._pending is None and self.machine.waits_for_state:
            self.try_seed(steady)
        if self.engaged and not self._limit_fault():
            for message in self._following.check(self.groups, taken, self.now):
                self.fault(Code.FOLLOWING_ERROR, message)

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
            barrier = self._barrier(steady)
            if barrier is not None:
                commands += self.stop(*barrier, steady)
        if self.engaged:
            missing = self.measured.missing(self.now, steady)
            if missing:
                message = f"no fresh joint state of {missing} for {self.measured.timeout:g} s"
                commands += self.stop(Code.STALE_STATE, message + self._why_refused(), steady)
        if self.machine.state is State.ACTIVE:
            commands += self._check_spikes(steady)
        if self.machine.state is State.ACTIVE:
            standing = self._standing_clock(steady)
            if standing:
                commands += self.stop(Code.STALE_STATE, standing, steady)
        if self.machine.waits_for_state:
            self.try_seed(steady)
        # A simulation that waits for its brain stands still, and is told nothing.
        if not self.lockstep:
            commands += self._guard(steady)
        return newest(commands)

    def _guard(self, steady: float) -> list[Command]:
        """Take away efforts that joints must not feel as they are measured now."""
        guarded = [
            group.guard(self.now, self._dt, self.sensed_of(group, steady))
            for group in self.groups
            if isinstance(group, EffortGroup)
        ]
        return [command for command in guarded if command is not None]

    def _check_spikes(self, steady: float) -> tuple[Command, ...]:
        timeout = self._spike_timeout
        if self.now - self._cycle_now > timeout:
            return self.stop(Code.STALE_SPIKES, f"no fresh cycle for {timeout:.3g} s", steady)
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
        if was_active or was_starved:
            self._blind = self.now, steady
        self._anew |= self._was_absent(steady)  # as long as the code says why
        self._anew |= code in LATCHED or code in BARRED_BY or code is Code.CLOCK_JUMP
        self.machine.enter(State.HOLDING, code, message)
        self.counters[f"stopped_{code.name.lower()}"] += 1
        self.epoch += 1
        commands: tuple[Command, ...] = ()
        if was_active or (was_starved and (code in LATCHED or code is Code.DEADMAN)):
            commands = self.stop_commands(code, steady)
        if code in (Code.NON_FINITE, Code.CLOCK_JUMP, *BARRED_BY):
            self.measured.demand_fresh()
        return commands

    def stop_commands(self, code: Code, steady: float) -> tuple[Command, ...]:
        """Return the commands that stop every group that was moved.

        Halts, faults, a deadman switch, another source and the end lead the command to where the
        robot is measured, so that it lets go of what it pushes against; pauses brake along the
        command, so that they do not ratchet the pose, and so does everything while joint states
        contradict each other.
        """
        now, self._stopped = self.now, steady
        jumped = code is Code.CLOCK_JUMP
        from_measured = code in RELEASING
        commands: list[Command | None] = []
        for group in self.groups:
            at = self._before_jump if jumped else now
            if isinstance(group, EffortGroup):
                watched = code is not Code.NOT_ACTIVE
                sensed = self.sensed_of(group, steady)
                commands.append(group.hold(at, now, self._dt, self.lockstep, sensed, watched))
            elif not isinstance(group, PositionGroup):
                commands.append(group.hold(at, now, self._dt, self.lockstep))
            else:
                position, speed = self._measured_of(group, steady, from_measured)
                commands.append(group.hold(now, self._dt, self.lockstep, position, speed))
        return tuple(command for command in commands if command is not None)

    def _measured_of(
        self, group: Group, steady: float, wanted: bool = True
    ) -> tuple[Floats, Floats]:
        """Return measured positions and speeds of a group; NaN where not to be trusted."""
        size = len(group.limits)
        position, speed = np.full(size, math.nan), np.full(size, math.nan)
        if wanted and not self.measured.contradicts(self.now):
            usable = ~self.measured.stale(self.now, steady) & ~self._beyond()
            for index, limit in enumerate(group.limits):
                place = self.place.get(limit.name)
                if place is not None and usable[place]:
                    position[index] = self.measured.position[place]
                    speed[index] = self.measured.speed[place]
        return position, speed

    def position_of(self, group: Group, now: float) -> tuple[Floats, Floats]:
        """Return where a group's channels were last measured, and for how long that is ago, s.

        Both are 0 for channels that are not measured.
        """
        places = self._places[group.name]
        if not self.place:
            return np.zeros(places.size), np.zeros(places.size)
        known = places >= 0
        position: Floats = np.where(known, self.measured.position[places], 0.0)
        age: Floats = np.where(known, np.maximum(now - self.measured.stamp[places], 0.0), 0.0)
        return position, age

    def sensed_of(self, group: Group, steady: float) -> Sensed:
        """Return what is measured of a group all of whose joints are."""
        places, measured = self._places[group.name], self.measured
        if self.lockstep:
            ahead = np.full(places.size, self._cycle_time)
        else:
            interval = measured.interval[places]
            interval = np.where(np.isnan(interval), self._cycle_time, interval)
            ahead = np.maximum(self.now - measured.stamp[places], 0.0) + interval
        return Sensed(
            measured.position[places],
            measured.speed[places],
            ahead,
            ~measured.stale(self.now, steady)[places],
        )

    @property
    def patience(self) -> float:
        """How long the last command of a cycle may hold before the robot is stopped, s."""
        return 0.0 if self.lockstep else self._spike_timeout + _WATCH

    # --------------------------------------------------------------------------------- seeds

    def try_seed(self, steady: float) -> None:
        """Become active if nothing bars it and each joint has a fresh state to be believed."""
        barrier = self._barrier(steady)
        if barrier is not None:
            self.machine.enter(State.HOLDING, *barrier)
            return
        if self._standing_clock(steady):
            return
        if self.machine.code in BARRED_BY:
            self.machine.enter(State.SEEDING, Code.NO_STATE, "waits for a fresh measured state")
        missing = self.measured.missing(self.now, steady)
        if missing:
            if self.machine.state is State.SEEDING:
                self.machine.message = (
                    f"waits for a fresh joint state of {missing}{self._why_refused()}"
                )
            return
        if self._limit_fault() or self.measured.contradicts(self.now):
            return
        self._anew |= self._was_absent(steady)
        # In lockstep the stop would be waited for by a simulation that is waited for.
        if (self._anew and not self.lockstep) and any(
            group.moves(self.now) for group in self.groups if isinstance(group, PositionGroup)
        ):
            self.machine.message = "waits until the stop has come to rest"
            return
        self._seed(steady)
        self.measured.refused = ""
        self._cycle_now, self._cycle_steady = self.now, steady
        self.machine.enter(State.ACTIVE, Code.OK, "executes cycles")

    def _why_refused(self) -> str:
        return f" (refused: {self.measured.refused})" if self.measured.refused else ""

    def _was_absent(self, steady: float) -> bool:
        """Return whether joint states were missing for so long that the robot may be elsewhere."""
        if self.machine.code not in (Code.STALE_STATE, Code.NON_FINITE):
            return False
        robot, computer = self._blind
        if self.lockstep:
            return self.now - robot > _ABSENCE
        return max(self.now - robot, steady - computer) > _ABSENCE

    def _seed(self, steady: float) -> None:
        """Take the measured state for the groups to start from, or to go to if they have drifted.

        Positions start anew only if something may have moved the robot.
        """
        self.counters["seeds"] += 1
        self.epoch += 1
        self._following.clear()
        for group in self.groups:
            if not isinstance(group, PositionGroup):
                group.seed(self.now, self._dt, max(steady - self._stopped, 0.0))
                continue
            commanded = group.commanded(self.now)
            if self._anew or commanded is None or not group.published:
                group.seed(self._found(group, commanded), self.now, self._dt)
                continue
            position, speed = self._measured_of(group, steady)
            drifted = np.abs(commanded - position) > self.settings.drift_tolerance
            if drifted.any():
                group.approach(np.where(drifted, position, math.nan), speed, self._dt)
        self.counters["starts_anew"] += self._anew
        self._anew = False

    def _found(self, group: PositionGroup, commanded: Floats | None) -> Floats:
        """Return where a group is measured, or where it was told to be if it is not measured."""
        position = np.empty(len(group.limits))
        for index, limit in enumerate(group.limits):
            place = self.place.get(limit.name)
            if place is not None:
                position[index] = self.measured.position[place]
            elif commanded is not None:
                position[index] = commanded[index]
            elif group.last is not None:
                position[index] = min(max(group.last[index], limit.lower), limit.upper)
            else:
                position[index] = limit.initial
        return position

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

    def refuses(self, dt: float) -> str:
        """Return why a cycle of this timestep cannot go on from here, or an empty text."""
        if dt == self._dt:
            return ""
        for group in self.groups:
            if not isinstance(group, EffortGroup):
                reason = group.refuses(dt, self.now, self.lockstep)
                if reason:
                    return reason
        return ""

    def begin_cycle(self, steady: float) -> tuple[Code, str]:
        """Become active for an accepted cycle, seeding anew where that is due."""
        starved = self.now - self._cycle_now > self._spike_timeout
        self._cycle_now, self._cycle_steady = self.now, steady
        if self._rhythm is not None:
            self._rhythm.beat(self.now)
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
        position, margin = self.measured.position, self._margin
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


def newest(commands: list[Command]) -> tuple[Command, ...]:
    """Keep the last command of each group: it replaces those before it."""
    return tuple({command.group: command for command in commands}.values())
