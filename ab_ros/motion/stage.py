"""The motor stage: the one safety stage before every command topic.

It assumes that everything upstream may fail.  Times are passed in: ``now`` is the robot's clock
(ROS time, s), which may jump or stand still, ``steady`` the computer's monotonic one (s).  Nothing
here waits, publishes or reads a clock; one thread owns a stage.

What it guarantees of every :class:`~ab_ros.motion.groups.Command`, whatever comes in:

- values, speeds and times are finite; times are ascending and start one period ahead;
- positions lie within the hard limits, and within the soft ones (less the margin) unless the joint
  was measured outside of them, from where it may only move inside;
- from ``start`` on, through all points: successive positions differ by at most velocity · time and
  by at most ``step``, successive velocities by at most acceleration · time (for velocity commands:
  the values are within velocity, and change by at most acceleration · time and ``step``);
- a position command ends at rest, within these limits, if nothing follows it;
- ``start`` is the commanded state at the time of the command, or, after a seed or a stop from the
  measured state, the measured position, brought inside the limits by at most ``fault_margin``.

Not guaranteed: limits that are narrowed under a moving joint hold from its next seed on; until then
it brakes to rest where it is.  ``stop: zero`` changes a velocity at once, as it says.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ab_ros.codec.decoder import SpikeDecoder
from ab_ros.contract import Contract
from ab_ros.errors import ContractError
from ab_ros.motion.groups import Command, PositionGroup, VelocityGroup
from ab_ros.motion.integrate import Floats
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.measured import MeasuredStates
from ab_ros.motion.safety import LATCHED, Clocks, Code, Machine, State
from ab_ros.motion.settings import MotorSettings, Quantity, check_limits
from ab_ros.values import ChannelDeltas, Cycle

_DT_RANGE = (1e-5, 1.0)
_SMALLEST_TIMEOUT = 0.05


@dataclass(frozen=True)
class Answer:
    """The stage's one answer to a cycle.

    Parameters
    ----------
    run, cycle : what is answered.
    executed : whether the cycle's deltas went into ``commands``; else it was refused, and
        ``commands`` are those that stop the robot, if it had to be stopped.
    code, reason : why, as a number and as a sentence.
    deltas : what the spikes asked for, before integration and limits; None if not decoded.
    limited : ``"joint: rule"`` of what took motion away.
    latency : s, from the newest observation in the cycle to this answer; NaN if unknown.
    """

    run: str
    cycle: int
    executed: bool
    code: Code
    reason: str
    commands: tuple[Command, ...] = ()
    deltas: ChannelDeltas | None = None
    limited: tuple[str, ...] = ()
    latency: float = math.nan


@dataclass(frozen=True)
class StageStatus:
    """What MotorStatus reports; arrays by channel, NaN where unknown."""

    state: State
    code: Code
    message: str
    joints: tuple[str, ...]
    commanded: Floats
    measured: Floats
    limited: tuple[str, ...]
    cycles_executed: int
    cycles_refused: int
    sensor_to_command_p50: float
    sensor_to_command_p99: float
    counters: Mapping[str, int]


class MotorStage:
    """Decodes, integrates, limits and supervises.

    Parameters
    ----------
    settings : groups, mapping, time-outs.
    limits : {channel: limits} of all channels, from :func:`~ab_ros.motion.limits.resolve_limits`.

    Raises
    ------
    ConfigError
        if a channel lacks a limit without which it is not safe to move.
    """

    def __init__(self, settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
        check_limits(settings, limits)
        self.channels = settings.channels
        self.machine = Machine()
        self.counters: Counter[str] = Counter()
        self._groups: list[PositionGroup | VelocityGroup] = [
            (PositionGroup if group.quantity is Quantity.POSITION else VelocityGroup)(
                name, group, [limits[channel] for channel in group.channels]
            )
            for name, group in settings.groups.items()
        ]
        needed = [
            channel
            for group in self._groups
            for channel in group.settings.channels
            if limits[channel].measured
            and (isinstance(group, PositionGroup) or limits[channel].bounded)
        ]
        self.measured = MeasuredStates(needed, 1.0, 1.0)
        self._clocks = Clocks(1.0)
        self._apply(settings, limits)
        self._place = {name: index for index, name in enumerate(needed)}
        self._contract: Contract | None = None
        self._decoder: SpikeDecoder | None = None
        self._run: str | None = None
        self._no_decoder = "no contract of a run has been received"
        self._last = -1
        self._pending: tuple[Code, str] | None = None
        self._cycle_now = self._cycle_steady = -math.inf
        self._cycle_time = 0.0
        self._before_jump = 0.0
        self._dt = 1e-3
        self._error_since: dict[int, float] = {}
        self._limited: tuple[str, ...] = ()
        self._latencies: deque[float] = deque(maxlen=512)
        self._executed = self._refused = 0

    # ------------------------------------------------------------------ settings and life cycle

    def _apply(self, settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
        self.settings = settings
        self.limits = dict(limits)
        self._lockstep = settings.pacing == "lockstep"
        self._clocks.leap = math.inf if self._lockstep else settings.clock_leap
        self.measured.timeout = settings.state_timeout
        self.measured.steady_timeout = (
            math.inf if self._lockstep else max(settings.steady_timeout, settings.state_timeout)
        )
        order = self.measured.names
        self._lower = np.array([limits[name].lower for name in order])
        self._upper = np.array([limits[name].upper for name in order])
        self._following = np.array(
            [
                settings.following_error
                if limits[name].following_error is None
                else limits[name].following_error
                for name in order
            ],
            dtype=np.float64,
        )

    def reconfigure(self, settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
        """Take live-tuned settings; they hold from the next cycle on.

        Groups and their channels must stay as they are.  Limits that are narrowed past what is
        commanded stop the robot with a limit fault.

        Raises
        ------
        ConfigError, ContractError
            if the settings contradict each other or the contract; nothing is changed then.
        """
        check_limits(settings, limits)
        if settings.groups != self.settings.groups:
            raise ContractError("groups cannot be changed while the motor stage exists")
        decoder = self._decoder
        if self._contract is not None:
            decoder = self._make_decoder(settings, self._contract)
        self._apply(settings, limits)
        self._decoder = decoder
        for group in self._groups:
            group.set_limits([limits[channel] for channel in group.settings.channels])
            if isinstance(group, PositionGroup) and group.published and group.plan is not None:
                for index, limit in enumerate(group.limits):
                    ends = (*group.plan.points[:, index].tolist(), float(group.plan.rest[index]))
                    if min(ends) < limit.lower or max(ends) > limit.upper:
                        self._pending = (
                            Code.LIMIT_FAULT,
                            f"limits of {limit.name!r} were narrowed past its command",
                        )

    def activate(self, now: float, steady: float) -> None:
        """Begin: seed from the measured state as soon as there is a fresh one."""
        self._tick(now, steady)
        if self.machine.state is not State.INACTIVE:
            return
        for group in self._groups:
            group.forget()
        self._pending = None
        self._error_since.clear()
        if self.machine.latched:
            self.machine.enter(State.HOLDING, self.machine.code, self.machine.message)
            return
        self._wait(Code.NO_STATE)
        self._try_seed(self._now, steady)

    def deactivate(self, now: float, steady: float) -> tuple[Command, ...]:
        """End; return the commands that stop the robot."""
        commands = self._step(now, steady)
        if self.machine.state is State.ACTIVE or self.machine.code is Code.STALE_SPIKES:
            commands += self._stop_commands(Code.NOT_ACTIVE, steady, self._now)
        halted = self.machine.code is Code.HALTED
        self._pending = None
        self.machine.enter(State.INACTIVE, Code.NOT_ACTIVE, "not active")
        if halted:
            self.machine.enter(State.INACTIVE, Code.HALTED, "not active, and halted")
        return _newest(list(commands))

    def begin_run(self, run: str, contract: Contract) -> None:
        """Take the contract of a run that begins; cycles of other runs are refused from now on.

        Raises
        ------
        ContractError
            if the mapping names a population that the contract lacks; all cycles of the run are
            then refused with that reason.
        """
        self._run, self._contract, self._last = run, contract, -1
        self._decoder = None
        try:
            self._decoder = self._make_decoder(self.settings, contract)
        except ContractError as error:
            self._no_decoder = str(error)
            raise

    @staticmethod
    def _make_decoder(settings: MotorSettings, contract: Contract) -> SpikeDecoder:
        sizes = {port.id: port.n for port in contract.outputs}
        return SpikeDecoder(tuple(settings.mapping.values()), sizes)

    def halt(self, now: float, steady: float, reason: str = "halted") -> tuple[Command, ...]:
        """Stop the robot where it is measured, until :meth:`resume`; return the commands."""
        commands = list(self._step(now, steady))
        if self.machine.state is State.INACTIVE:
            self.machine.enter(State.INACTIVE, Code.HALTED, "not active, and halted")
        elif not self.machine.latched:
            commands += self._stop(Code.HALTED, reason, self._now, steady)
        return _newest(commands)

    def resume(self, now: float, steady: float) -> bool:
        """Clear a halt or fault and wait for a measured state; return whether there was one."""
        self._tick(now, steady)
        if not self.machine.latched:
            return False
        if self.machine.state is State.INACTIVE:
            self.machine.enter(State.INACTIVE, Code.NOT_ACTIVE, "not active")
            return True
        self._pending = None
        self._error_since.clear()
        self.measured.demand_fresh()
        self._wait(Code.NO_STATE)
        return True

    # ------------------------------------------------------------------------------- inputs

    def measure(
        self,
        names: tuple[str, ...] | list[str],
        position: list[float] | Floats,
        velocity: list[float] | Floats | None,
        stamp: float,
        now: float,
        steady: float,
    ) -> None:
        """Take a joint state; see :meth:`MeasuredStates.take` for what is refused.

        What follows from it for the robot is decided by the next :meth:`watch` or :meth:`execute`.
        """
        self._tick(now, steady)
        before = self.measured.counters["states_non_finite"]
        taken = self.measured.take(names, position, velocity, stamp, self._now, steady)
        if self.machine.state is State.INACTIVE:
            return
        if self.measured.counters["states_non_finite"] > before:
            self._raise(Code.NON_FINITE, self.measured.refused)
            return
        if not taken:
            return
        if self._pending is None and self.machine.waits_for_state:
            self._try_seed(self._now, steady)
        if self.machine.state is State.ACTIVE or self.machine.code is Code.STALE_SPIKES:
            self._check_measured(taken)

    def execute(self, cycle: Cycle, now: float, steady: float) -> Answer:
        """Answer a cycle: commands if all is well, else a refusal with its reason."""
        commands = self._step(now, steady)
        now = self._now
        refusal = self._refusal(cycle, now)
        deltas: ChannelDeltas | None = None
        if refusal is None:
            deltas, refusal = self._decode(cycle)
        if refusal is not None or deltas is None:
            code, reason = refusal or (Code.BAD_FRAME, "not decoded")
            self._refused += 1
            self.counters[f"refused_{code.name.lower()}"] += 1
            return Answer(cycle.run, cycle.number, False, code, reason, commands, deltas)
        code, reason = self._begin_cycle(now, steady)
        self._dt = cycle.dt
        self._cycle_time = cycle.timesteps * cycle.dt
        self._cycle_now, self._cycle_steady = now, steady
        moves, limited = self._move(deltas, cycle, now)
        self._limited = limited
        self._executed += 1
        latency = now - cycle.observed
        if math.isfinite(latency) and latency >= 0.0:
            self._latencies.append(latency)
        return Answer(
            cycle.run, cycle.number, True, code, reason, moves, deltas, limited, latency
        )  # fmt: skip

    def watch(self, now: float, steady: float) -> tuple[Command, ...]:
        """Supervise: call this at least every 20 ms; return what must be sent, mostly nothing."""
        return self._step(now, steady)

    # ------------------------------------------------------------------------------- output

    @property
    def state(self) -> State:
        """What the stage does."""
        return self.machine.state

    @property
    def code(self) -> Code:
        """Why."""
        return self.machine.code

    @property
    def message(self) -> str:
        """Why, as a sentence."""
        return self.machine.message

    @property
    def spike_timeout(self) -> float:
        """Time without a fresh cycle after which the robot stops, s."""
        return self.settings.spike_timeout or max(2.0 * self._cycle_time, _SMALLEST_TIMEOUT)

    def status(self) -> StageStatus:
        """Return a picture of the stage."""
        commanded = np.full(len(self.channels), math.nan)
        measured = np.full(len(self.channels), math.nan)
        at = 0
        for group in self._groups:
            size = len(group.settings.channels)
            values = group.commanded(self._now)
            if values is not None and self.machine.state is not State.INACTIVE:
                commanded[at : at + size] = values
            at += size
        for index, name in enumerate(self.channels):
            if name in self._place:
                measured[index] = self.measured.position[self._place[name]]
        latencies = np.array(self._latencies) if self._latencies else np.array([math.nan])
        return StageStatus(
            state=self.machine.state,
            code=self.machine.code,
            message=self.machine.message,
            joints=self.channels,
            commanded=commanded,
            measured=measured,
            limited=self._limited,
            cycles_executed=self._executed,
            cycles_refused=self._refused,
            sensor_to_command_p50=float(np.percentile(latencies, 50)),
            sensor_to_command_p99=float(np.percentile(latencies, 99)),
            counters={**self.counters, **self.measured.counters},
        )

    # -------------------------------------------------------------------------- supervision

    @property
    def _now(self) -> float:
        """The last robot time that was a number."""
        return 0.0 if math.isnan(self._clocks.now) else self._clocks.now

    def _tick(self, now: float, steady: float) -> None:
        before = self._now
        problem = self._clocks.step(now, steady)
        if not problem:
            return
        self.counters["clock_jumps"] += 1
        # What was measured belongs to the old time.
        self.measured.clear()
        self._error_since.clear()
        self._before_jump = before
        if self.machine.state is not State.INACTIVE:
            self._raise(Code.CLOCK_JUMP, problem)

    def _raise(self, code: Code, message: str) -> None:
        """Note a reason to stop for the next :meth:`watch` or :meth:`execute`; the worst wins."""
        if self._pending is not None:
            standing = self._pending[0]
            if standing in LATCHED or (code not in LATCHED and code is not Code.CLOCK_JUMP):
                return
        self._pending = (code, message)

    def _step(self, now: float, steady: float) -> tuple[Command, ...]:
        self._tick(now, steady)
        now = self._now
        if self.machine.state is State.INACTIVE:
            return ()
        commands: tuple[Command, ...] = ()
        if self._pending is not None:
            code, message = self._pending
            self._pending = None
            commands = self._stop(code, message, now, steady)
        moving = self.machine.state is State.ACTIVE
        if moving or self.machine.code is Code.STALE_SPIKES:
            missing = self.measured.missing(now, steady)
            if missing:
                message = f"no fresh joint state of {missing} for {self.settings.state_timeout:g} s"
                if self.measured.refused:
                    message += f" (the last one refused: {self.measured.refused})"
                commands += self._stop(Code.STALE_STATE, message, now, steady)
        if self.machine.state is State.ACTIVE:
            timeout = self.spike_timeout
            late = now - self._cycle_now > timeout
            if late or steady - self._cycle_steady > max(self.settings.steady_timeout, timeout):
                waited = timeout if late else max(self.settings.steady_timeout, timeout)
                message = f"no fresh cycle for {waited:.3f} s"
                commands += self._stop(Code.STALE_SPIKES, message, now, steady)
        if self.machine.waits_for_state:
            self._try_seed(now, steady)
        return _newest(list(commands))

    def _wait(self, code: Code) -> None:
        self.machine.enter(State.SEEDING, code, "waits for a fresh measured state")

    def _stop(self, code: Code, message: str, now: float, steady: float) -> tuple[Command, ...]:
        """Hold for a reason; return the commands for it, if the robot moves or must be let go."""
        if self.machine.latched:
            return ()
        was, was_code = self.machine.state, self.machine.code
        self.machine.enter(State.HOLDING, code, message)
        self.counters[f"stopped_{code.name.lower()}"] += 1
        at = now
        if code is Code.CLOCK_JUMP:
            at = self._before_jump
        if code in (Code.NON_FINITE, Code.CLOCK_JUMP):
            self.measured.demand_fresh()
        if was is State.ACTIVE or (was_code is Code.STALE_SPIKES and code in LATCHED):
            return self._stop_commands(code, steady, at)
        return ()

    def _stop_commands(self, code: Code, steady: float, at: float) -> tuple[Command, ...]:
        now = self._now
        from_measured = code in LATCHED or code is Code.NOT_ACTIVE
        commands: list[Command] = []
        for group in self._groups:
            command: Command | None
            if isinstance(group, VelocityGroup):
                command = group.hold(at, now, self._dt, self._lockstep)
            elif code is Code.CLOCK_JUMP:
                # What was published ends at rest by itself.  A hold now would drive a robot that
                # was reset together with its clock back to where it was before.
                group.published = False
                continue
            else:
                position, speed = self._measured_of(group, now, steady, from_measured)
                command = group.hold(now, self._dt, self._lockstep, position, speed)
            if command is not None:
                commands.append(command)
        return tuple(commands)

    def _measured_of(
        self, group: PositionGroup | VelocityGroup, now: float, steady: float, wanted: bool = True
    ) -> tuple[Floats, Floats]:
        """Return measured positions and speeds of a group; NaN where not fresh or far off."""
        size = len(group.settings.channels)
        position, speed = np.full(size, math.nan), np.full(size, math.nan)
        if wanted:
            usable = ~self.measured.stale(now, steady) & ~self._beyond()
            for index, name in enumerate(group.settings.channels):
                place = self._place.get(name)
                if place is not None and usable[place]:
                    position[index] = self.measured.position[place]
                    speed[index] = self.measured.velocity[place]
        return position, speed

    def _beyond(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Return which joints are measured beyond their limits by more than the fault margin."""
        margin = self.settings.fault_margin
        position = self.measured.position
        return np.asarray((position < self._lower - margin) | (position > self._upper + margin))

    def _try_seed(self, now: float, steady: float) -> None:
        missing = self.measured.missing(now, steady)
        if missing:
            if self.machine.state is State.SEEDING:
                self.machine.message = f"waits for a fresh joint state of {missing}"
                if self.measured.refused:
                    self.machine.message += f" (the last one refused: {self.measured.refused})"
            return
        if self._limit_fault():
            return
        self._seed(now, steady)
        self.measured.refused = ""
        self._cycle_now, self._cycle_steady = now, steady
        self.machine.enter(State.ACTIVE, Code.OK, "executes cycles")

    def _limit_fault(self) -> bool:
        beyond = np.flatnonzero(self._beyond()).tolist()
        for index in beyond:
            name = self.measured.names[index]
            position = self.measured.position[index]
            message = (
                f"{name!r} is measured at {position:.4g}, beyond its limits"
                f" [{self._lower[index]:.4g}, {self._upper[index]:.4g}]"
            )
            if self.machine.state is State.ACTIVE or self.machine.code is Code.STALE_SPIKES:
                self._raise(Code.LIMIT_FAULT, message)
            elif not self.machine.latched:
                self.machine.enter(State.HOLDING, Code.LIMIT_FAULT, message)
            return True
        return False

    def _seed(self, now: float, steady: float) -> None:
        self.counters["seeds"] += 1
        self._error_since.clear()
        for group in self._groups:
            if isinstance(group, VelocityGroup):
                group.seed(now, self._dt)
                continue
            position, _ = self._measured_of(group, now, steady)
            commanded = group.commanded(now)
            for index, limit in enumerate(group.limits):
                if not limit.measured:
                    position[index] = limit.initial if commanded is None else commanded[index]
            group.seed(position, now, self._dt)

    def _check_measured(self, taken: tuple[int, ...]) -> None:
        """Look for joints beyond their limits, and for joints that do not follow."""
        if self._limit_fault():
            return
        for group in self._groups:
            if not isinstance(group, PositionGroup) or group.plan is None or not group.published:
                continue
            for index, name in enumerate(group.settings.channels):
                place = self._place.get(name)
                if place is None or place not in taken or not self._following[place]:
                    continue
                stamp = float(self.measured.stamp[place])
                commanded = float(group.plan.state_at(stamp)[0][index])
                error = abs(commanded - float(self.measured.position[place]))
                if error <= self._following[place]:
                    self._error_since.pop(place, None)
                    continue
                since = self._error_since.setdefault(place, stamp)
                if stamp - since >= self.settings.following_time:
                    self._raise(
                        Code.FOLLOWING_ERROR,
                        f"{name!r} is measured {error:.4g} from its command for"
                        f" {stamp - since:.3f} s, more than {self._following[place]:g} allows",
                    )

    # ------------------------------------------------------------------------------- cycles

    def _refusal(self, cycle: Cycle, now: float) -> tuple[Code, str] | None:
        """Return why a cycle cannot be executed, before its spikes are looked at."""
        if cycle.run != self._run:
            known = "no run has begun" if self._run is None else f"the run is {self._run!r}"
            return Code.WRONG_RUN, f"cycle {cycle.number} of run {cycle.run!r}, but {known}"
        if cycle.number <= self._last:
            return Code.WRONG_RUN, f"cycle {cycle.number} comes after cycle {self._last}"
        self.counters["cycles_missed"] += cycle.number - self._last - 1
        self._last = cycle.number
        machine = self.machine
        if machine.state is State.INACTIVE:
            return Code.NOT_ACTIVE, machine.message
        resting = machine.state is State.HOLDING and machine.code is Code.STALE_SPIKES
        if machine.state is not State.ACTIVE and not resting:
            return machine.code, machine.message
        if not (math.isfinite(cycle.stamp) and _DT_RANGE[0] <= cycle.dt <= _DT_RANGE[1]):
            return (
                Code.BAD_FRAME,
                f"stamp {cycle.stamp} and dt {cycle.dt} of a cycle must be finite, dt within"
                f" {_DT_RANGE[0]:g} .. {_DT_RANGE[1]:g} s",
            )
        duration = cycle.timesteps * cycle.dt
        timeout = self.settings.spike_timeout or max(2.0 * duration, _SMALLEST_TIMEOUT)
        oldest = self.settings.max_cycle_age or duration + timeout
        age = now - cycle.stamp
        if age > oldest:
            return Code.LATE_CYCLE, f"the cycle began {age:.3f} s ago, more than {oldest:.3f} s"
        if -age > oldest:
            return Code.LATE_CYCLE, f"the cycle's stamp is {-age:.3f} s ahead of the clock"
        return None

    def _decode(self, cycle: Cycle) -> tuple[ChannelDeltas | None, tuple[Code, str] | None]:
        if self._decoder is None or self._contract is None:
            return None, (Code.BAD_FRAME, self._no_decoder)
        if cycle.timesteps != self._contract.gamma:
            return None, (
                Code.BAD_FRAME,
                f"the cycle has {cycle.timesteps} timesteps, the contract says"
                f" {self._contract.gamma}",
            )
        try:
            deltas = self._decoder.decode(cycle.rasters)
        except ContractError as error:
            return None, (Code.BAD_FRAME, str(error))
        if not np.isfinite(deltas.values).all():
            bad = np.flatnonzero(~np.isfinite(deltas.values).all(axis=0))[0]
            return deltas, (
                Code.NON_FINITE,
                f"a delta of channel {deltas.names[bad]!r} is not finite",
            )
        return deltas, None

    def _begin_cycle(self, now: float, steady: float) -> tuple[Code, str]:
        """Become active for a cycle; seed anew where that is due."""
        drifted = ""
        fresh_seed = not any(group.published for group in self._groups)
        if not fresh_seed and self.machine.code is Code.STALE_SPIKES:
            drifted = self._drift(now)
        if fresh_seed or drifted:
            # Nothing was commanded since the seed: the robot may have been moved by hand.
            self._seed(now, steady)
        if drifted:
            self.counters["drifts"] += 1
            self.machine.enter(State.ACTIVE, Code.DRIFT, drifted)
        else:
            self.machine.enter(State.ACTIVE, Code.OK, "executes cycles")
        return self.machine.code, self.machine.message

    def _drift(self, now: float) -> str:
        for group in self._groups:
            commanded = group.commanded(now)
            if not isinstance(group, PositionGroup) or commanded is None:
                continue
            for index, name in enumerate(group.settings.channels):
                place = self._place.get(name)
                if place is None:
                    continue
                drift = abs(float(commanded[index]) - float(self.measured.position[place]))
                if drift > self.settings.drift_tolerance:
                    return f"{name!r} had drifted {drift:.4g} from its command: seeded anew"
        return ""

    def _move(
        self, deltas: ChannelDeltas, cycle: Cycle, now: float
    ) -> tuple[tuple[Command, ...], tuple[str, ...]]:
        # In lockstep the cycle's stamp is when it starts, even if word of the clock is late.
        start = max(now, cycle.stamp) if self._lockstep else now
        column = {name: index for index, name in enumerate(deltas.names)}
        commands: list[Command] = []
        limited: list[str] = []
        for group in self._groups:
            channels = group.settings.channels
            own = np.zeros((deltas.values.shape[0], len(channels)))
            for index, name in enumerate(channels):
                if name in column:
                    own[:, index] = deltas.values[:, column[name]]
            if isinstance(group, PositionGroup):
                command, rules = group.run(own, cycle.dt, start, self._lockstep)
            else:
                position = np.array(
                    [
                        self.measured.position[self._place[name]] if name in self._place else 0.0
                        for name in channels
                    ]
                )
                command, rules = group.run(own, cycle.dt, start, self._lockstep, position)
            commands.append(command)
            limited += rules
        return tuple(commands), tuple(limited)


def _newest(commands: list[Command]) -> tuple[Command, ...]:
    """Keep the last command of each group: it replaces those before it."""
    return tuple({command.group: command for command in commands}.values())
