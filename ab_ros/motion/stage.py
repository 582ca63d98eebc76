"""The motor stage: the one safety stage before every command topic.

It assumes that everything upstream may fail.  Times are passed in: ``now`` is the robot's clock
(ROS time, s), which may jump or stand still, ``steady`` the computer's monotonic one (s).  Nothing
here waits, publishes or reads a clock; one thread owns a stage.

What it guarantees of every :class:`~ab_ros.motion.groups.Command`, whatever comes in:

- values, speeds and times are finite; times are ascending and start one period ahead;
- positions lie within the hard limits, and within the soft ones (less the margin) unless the joint
  was measured outside of them, from where it may only move inside; a joint measured beyond a hard
  limit by no more than ``fault_margin`` is brought inside, like any other motion;
- from ``start`` on, through all points: successive positions differ by at most velocity · time and
  by at most ``step``, successive velocities by at most acceleration · time, and successive
  accelerations by at most jerk · time (for velocity commands: the values are within velocity, and
  change by at most acceleration · time and ``step``, accelerations by at most jerk · time);
- a position command ends at rest, within these limits, if nothing follows it; a velocity command
  stops a joint before its soft limits, as far as it was measured, if nothing follows it;
- efforts are within ``effort`` and grow by at most ``effort_rate`` · time and ``step``; none points
  outward for a joint that is at its soft limit, or on its way to it, or faster than its velocity,
  as far as it was measured (see :mod:`ab_ros.motion.effort_group`);
- ``start`` is the commanded state at the time of the command: what is published keeps these limits
  from one command to the next, too, through cycles, pauses, stops, faults and seeds.  A seed finds
  positions near the command (``drift_tolerance``), which then goes on, or leads the command to
  where the robot is measured, within all limits;
- excepted are position commands after something else may have moved the robot, which start *anew*
  at rest where it is measured, once all that was published has come to rest (in lockstep at once:
  the simulation may stand still): after an activation, a ``resume``, a jump of the clock, a deadman
  switch, another source, and a second or more without joint states;
- no measured position steers the robot that is farther from the last one than the joint can have
  moved (``state_jump``; not in lockstep): the robot stops along its command as long as positions
  contradict each other, and 0.2 s longer.  A joint that stays where it is said to be for 0.2 s is
  taken to be there, and so is one of which nothing was known before;
- halts, faults, a deadman switch, another source and the end lead the command to where each joint
  comes to rest from where and how fast it is measured: a joint that pushes against something lets
  go of it, however far it is from its command, and as fast as its limits allow.  All other stops
  brake along the command, and so do these where nothing fresh and undisputed is measured;
- positions of ``continuous`` joints are taken on the turn nearest to the last one, unless the
  driver counts turns itself; the command goes on from turn to turn;
- what ``command_delay`` holds back is forgotten at every stop, seed and new run.

Smoothing (``smoothing``) is no limit, and a stop does without it.  A jerk limit is one that stops
keep, too: it lengthens braking by 2 · acceleration / jerk seconds, of which a joint moves on for
half, as long as its position limits leave room; where they do not, it brakes from a lower speed.

Not guaranteed: limits that are narrowed under a moving joint hold from its next seed on; until then
it brakes to rest where it is.  Jerk limits and smoothing that are changed hold from when the joint
next rests.  ``stop: zero`` changes a velocity or an effort at once, as it says; an effort that must
not be is taken away at once.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import numpy as np

from ab_ros.contract import Contract
from ab_ros.errors import ConfigError
from ab_ros.motion.answers import Answer, StageStatus
from ab_ros.motion.cycles import CycleGate, Refusal
from ab_ros.motion.delay import DelayLine
from ab_ros.motion.groups import Command, EffortGroup, PositionGroup
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats, Loops
from ab_ros.motion.safety import BARRED_BY, Code, State
from ab_ros.motion.settings import MotorSettings, check_limits
from ab_ros.motion.supervisor import Supervisor, newest
from ab_ros.values import ChannelDeltas, Cycle

__all__ = ["Answer", "Command", "MotorStage", "StageStatus"]


class MotorStage:
    """Decodes, integrates, limits and supervises.

    Parameters
    ----------
    settings : groups, mapping, time-outs.
    limits : {channel: limits} of all channels, from :func:`~ab_ros.motion.limits.resolve_limits`.
    compiled : whether Numba compiles the inner loops, here and now; None takes it where it is
        installed.  The robot moves by the same bits.

    Raises
    ------
    ConfigError
        if a channel lacks a limit without which it is not safe to move.
    """

    def __init__(
        self,
        settings: MotorSettings,
        limits: Mapping[str, JointLimits],
        compiled: bool | None = None,
    ) -> None:
        check_limits(settings, limits)
        self.settings = settings
        self.channels = settings.channels
        self._columns = {name: index for index, name in enumerate(self.channels)}
        self._supervisor = Supervisor(settings, limits, Loops(compiled))
        self._delay, self._epoch = DelayLine(settings.command_delay), 0
        self._machine = self._supervisor.machine
        self._measured = self._supervisor.measured
        self._gate = CycleGate()
        self._counters: Counter[str] = Counter()
        self._limited: tuple[str, ...] = ()
        self._latencies: deque[float] = deque(maxlen=512)
        self._executed = self._refused = 0

    # --------------------------------------------------------------------------- life cycle

    def activate(self, now: float, steady: float) -> None:
        """Begin: seed from the measured state as soon as there is a fresh one."""
        self._supervisor.tick(now, steady)
        if self._machine.state is not State.INACTIVE:
            return
        for group in self._supervisor.groups:
            group.forget()
        if self._machine.code is Code.HALTED:
            self._machine.enter(State.HOLDING, Code.HALTED, "halted before it was activated")
            return
        self._supervisor.wait()
        self._supervisor.try_seed(steady)

    def deactivate(self, now: float, steady: float) -> tuple[Command, ...]:
        """End; return the commands that stop the robot.  A halt outlasts it."""
        commands = list(self._supervisor.step(now, steady))
        if self._supervisor.engaged:
            commands += self._supervisor.stop_commands(Code.NOT_ACTIVE, steady)
        if self._machine.code is Code.HALTED:
            self._machine.enter(State.INACTIVE, Code.HALTED, "not active, and halted")
        else:
            self._machine.enter(State.INACTIVE, Code.NOT_ACTIVE, "not active")
        return newest(commands)

    def begin_run(self, run: str, contract: Contract, remote: bool = False) -> None:
        """Take the contract of a run that begins; cycles of other runs are refused from now on.

        Parameters
        ----------
        remote : whether the brain is elsewhere: its cycles come when they come, so that automatic
            time-outs follow the rhythm in which they do.

        Raises
        ------
        ContractError
            if the mapping names a population that the contract lacks; all cycles of the run are
            then refused with that reason.
        """
        self._supervisor.begin_run(remote)
        self._gate.begin_run(run, contract, tuple(self.settings.mapping.values()), remote)

    def reconfigure(self, settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
        """Take live-tuned settings; they hold from the next cycle on.

        Groups and pacing must stay as they are.  Limits that are narrowed past what is commanded
        stop the robot with a limit fault.

        Raises
        ------
        ConfigError, ContractError
            if the settings contradict each other or the contract; nothing is changed then.
        """
        check_limits(settings, limits)
        for name in ("groups", "pacing"):
            if getattr(settings, name) != getattr(self.settings, name):
                raise ConfigError(f"{name}: cannot be changed while the motor stage exists")
        for name in self._measured.names:
            if not limits[name].measured:
                raise ConfigError(f"limits.{name}.measured: cannot be changed live")
        for name in sorted(self._supervisor.unwatched(limits)):
            raise ConfigError(
                f"limits.{name}: lower and upper of what is commanded by velocity cannot be given"
                " live where there were none: they need the stage to be made anew"
            )
        self._gate.map_with(tuple(settings.mapping.values()))
        self.settings = settings
        self._supervisor.configure(settings, limits)

    def halt(self, now: float, steady: float, reason: str = "halted") -> tuple[Command, ...]:
        """Stop the robot where it is measured, until :meth:`resume`; return the commands."""
        commands = list(self._supervisor.step(now, steady))
        if self._machine.state is State.INACTIVE:
            self._machine.enter(State.INACTIVE, Code.HALTED, "not active, and halted")
        else:
            commands += self._supervisor.stop(Code.HALTED, reason, steady)
        return newest(commands)

    def resume(self, now: float, steady: float) -> bool:
        """Clear a halt or fault and wait for a measured state; return whether there was one."""
        self._supervisor.tick(now, steady)
        if not self._machine.latched:
            return False
        if self._machine.state is State.INACTIVE:
            self._machine.enter(State.INACTIVE, Code.NOT_ACTIVE, "not active")
            return True
        self._measured.demand_fresh()
        self._supervisor.wait()
        self._supervisor.try_seed(steady)
        return True

    # ------------------------------------------------------------------------------- inputs

    def measure(
        self,
        names: Sequence[str],
        position: Sequence[float] | Floats,
        velocity: Sequence[float] | Floats | None,
        stamp: float,
        now: float,
        steady: float,
    ) -> str:
        """Take a joint state, partial or whole, in any order; return why not, or an empty text.

        See :meth:`~ab_ros.motion.measured.MeasuredStates.take` for what is refused.  What follows
        from it for the robot is decided by the next :meth:`watch` or :meth:`execute`.
        """
        self._supervisor.tick(now, steady)
        taken = self._measured.take(names, position, velocity, stamp, self._supervisor.now, steady)
        if self._machine.state is State.INACTIVE:
            return self._measured.problem
        if self._measured.counter == "states_non_finite":
            self._supervisor.fault(Code.NON_FINITE, self._measured.refused)
        elif self._measured.counter == "states_jumped":
            self._supervisor.fault(Code.STATE_JUMP, self._measured.refused)
        elif taken:
            self._supervisor.take(taken, steady)
        return self._measured.problem

    def deadman(self, pressed: bool, steady: float) -> None:
        """Take word from the deadman switch, each time that it comes.

        With ``deadman_timeout`` set, the robot moves only while the switch is pressed and was heard
        within that time.  What follows is decided by the next :meth:`watch` or :meth:`execute`.
        """
        self._supervisor.deadman(pressed, steady)

    def other_source(self, text: str) -> None:
        """Take word of another publisher on one of the command topics.

        Parameters
        ----------
        text : who it is, as a sentence for people; empty once it is gone.  The robot holds until
            then, because two sources must never command one robot.
        """
        self._supervisor.other_source(text)

    def execute(self, cycle: Cycle, now: float, steady: float) -> Answer:
        """Answer a cycle: commands if all is well, else a refusal with its reason."""
        stops = self._supervisor.step(now, steady)
        now = self._supervisor.now
        deltas: ChannelDeltas | None = None
        refusal = self._gate.identify(cycle.run, cycle.number) or self._not_ready()
        refusal = refusal or self._gate.date(cycle, now, self.settings)
        if refusal is None:
            deltas, refusal = self._gate.decode(cycle, self.settings)
        if refusal is None:
            reason = self._supervisor.refuses(cycle.dt)
            refusal = (Code.BAD_FRAME, reason) if reason else None
        if refusal is None:
            duration = cycle.timesteps * cycle.dt
            stops = newest([*stops, *self._supervisor.adopt(cycle.dt, duration, steady)])
            refusal = self._not_ready()
        if refusal is not None or deltas is None:
            code, reason = refusal or (Code.BAD_FRAME, "the spikes could not be decoded")
            self._count(code)
            return Answer(
                cycle.run, cycle.number, False, code, reason, stops, deltas, self._barred(code)
            )
        code, reason = self._supervisor.begin_cycle(steady)
        commands, self._limited = self._move(deltas, cycle, now, steady)
        self._executed += 1
        latency = now - cycle.observed
        if math.isfinite(latency) and latency >= 0.0:
            self._latencies.append(latency)
        return Answer(
            cycle.run, cycle.number, True, code, reason, commands, deltas, self._limited, latency
        )

    def refuse(self, run: str, cycle: int, code: Code, reason: str) -> Answer:
        """Answer a cycle that cannot be read or executed; it then counts as handled."""
        other = self._gate.identify(run, cycle)
        code, reason = other or (code, reason)
        self._count(code)
        return Answer(run, cycle, False, code, reason)

    def _count(self, code: Code) -> None:
        self._refused += 1
        self._counters[f"refused_{code.name.lower()}"] += 1

    def watch(self, now: float, steady: float) -> tuple[Command, ...]:
        """Supervise: call this at least every 20 ms; return what must be sent, mostly nothing."""
        return self._supervisor.step(now, steady)

    def _barred(self, code: Code) -> tuple[str, ...]:
        rule = BARRED_BY.get(code)
        return tuple(f"{name}: {rule}" for name in self.channels) if rule else ()

    def _not_ready(self) -> Refusal | None:
        if self._machine.state is State.INACTIVE:
            return Code.NOT_ACTIVE, self._machine.message
        return None if self._supervisor.engaged else (self._machine.code, self._machine.message)

    def _move(
        self, deltas: ChannelDeltas, cycle: Cycle, now: float, steady: float
    ) -> tuple[tuple[Command, ...], tuple[str, ...]]:
        supervisor = self._supervisor
        lockstep = supervisor.lockstep
        # In lockstep the cycle's stamp is when it starts, even if word of the clock is late.
        start = max(now, cycle.stamp) if lockstep else now
        wished = np.zeros((deltas.values.shape[0], len(self.channels)))
        wished[:, [self._columns[name] for name in deltas.names]] = deltas.values
        if self._epoch != supervisor.epoch:
            self._epoch = supervisor.epoch
            self._delay.clear()
        wished = self._delay.push(wished, cycle.dt)
        commands: list[Command] = []
        limited: list[str] = []
        first = 0
        for group in supervisor.groups:
            own = wished[:, first : first + len(group.limits)]
            first += len(group.limits)
            if isinstance(group, PositionGroup):
                command, rules = group.run(own, cycle.dt, start, lockstep)
            elif isinstance(group, EffortGroup):
                sensed = supervisor.sensed_of(group, steady)
                command, rules = group.run(own, cycle.dt, start, lockstep, sensed)
            else:
                at, age = supervisor.position_of(group, start)
                patience = supervisor.patience
                command, rules = group.run(own, cycle.dt, start, lockstep, at, age, patience)
            commands.append(command)
            limited += rules
        return tuple(commands), tuple(limited)

    # ------------------------------------------------------------------------------- status

    @property
    def state(self) -> State:
        """What the stage does."""
        return self._machine.state

    @property
    def code(self) -> Code:
        """Why."""
        return self._machine.code

    @property
    def message(self) -> str:
        """Why, as a sentence."""
        return self._machine.message

    @property
    def transitions(self) -> int:
        """How often state or code have changed: publish the status when it has risen."""
        return self._machine.transitions

    @property
    def clock_jumps(self) -> int:
        """How often the robot's clock has jumped: what still plays then belongs to the old time."""
        return self._supervisor.counters["clock_jumps"]

    def status(self) -> StageStatus:
        """Return a picture of the stage."""
        supervisor = self._supervisor
        commanded: list[Floats] = []
        for group in supervisor.groups:
            values = group.commanded(supervisor.now)
            if values is None or self._machine.state is State.INACTIVE:
                values = np.full(len(group.limits), math.nan)
            commanded.append(values)
        measured = [
            float(self._measured.position[supervisor.place[name]])
            if name in supervisor.place
            else math.nan
            for name in self.channels
        ]
        latencies = np.array(self._latencies if self._latencies else [math.nan])
        counters = self._counters + supervisor.counters + self._measured.counters
        if self._gate.missed:
            counters["cycles_missed"] = self._gate.missed
        return StageStatus(
            state=self._machine.state,
            code=self._machine.code,
            message=self._machine.message,
            joints=self.channels,
            commanded=np.concatenate(commanded),
            measured=np.array(measured),
            limited=self._barred(self._machine.code) or self._limited,
            cycles_executed=self._executed,
            cycles_refused=self._refused,
            sensor_to_command_p50=float(np.percentile(latencies, 50)),
            sensor_to_command_p99=float(np.percentile(latencies, 99)),
            counters=dict(counters),
        )
