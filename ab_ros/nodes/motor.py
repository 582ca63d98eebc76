"""The motor node: spikes in, safe commands out, one answer to every cycle.

Commands go out on the topic, or the action, of each of the ``groups``, in the form of its
``interface``.  Measured joints come on ``joint_states``, and limits that the parameters leave out
in ``robot_description``.  ``~/halt`` stops the robot until ``~/resume``, but does not outlast this
process: a motor node that is started anew is not halted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from ab_ros.contract import Contract
from ab_ros.errors import AbRosError, ConfigError, ContractError
from ab_ros.motion.commands import Command
from ab_ros.motion.limits import (
    JointLimits,
    limits_from_urdf,
    mimics_from_urdf,
    narrowed,
    resolve_limits,
)
from ab_ros.motion.pursuit import Loops
from ab_ros.motion.safety import Code, State
from ab_ros.motion.settings import MotorSettings, check_limits, check_own_limits
from ab_ros.motion.stage import Answer, MotorStage
from ab_ros.msg import ActuatorDeltas, BrainContract, CycleDone, MotorStatus, SpikeRaster
from ab_ros.nodes import qos
from ab_ros.nodes.command_interfaces import check_output, playable
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.group_outputs import GroupOutputs
from ab_ros.nodes.lifecycle import EXIT_BAD_CONFIGURATION, AbNode
from ab_ros.nodes.messages import (
    actuator_deltas,
    packed,
    read_brain_contract,
    read_spike_raster,
    seconds,
    to_time,
)
from ab_ros.nodes.other_sources import OtherSources
from ab_ros.nodes.process import run
from ab_ros.values import Cycle

_WATCH_PERIOD = 0.01
_STATUS_PERIOD = 0.1
_GRAPH_PERIOD = 0.25
_OWN_TOPICS = (
    "spikes", "contract", "joint_states", "robot_description", "deadman", "cycle_done"
)  # fmt: skip
_MOST_COMMANDS = 255  # that CycleDone can count
_LONGEST_CYCLE = 60.0  # s; a cycle that says it is longer is nonsense


@dataclass(frozen=True)
class _Waiting:
    """In lockstep: a cycle that came before what it needs, and since when it waits (steady)."""

    cycle: Cycle
    since: float


class MotorNode(AbNode[MotorSettings]):
    """Everything that reaches a command topic passes through this node's one safety stage."""

    node_name = "motor"
    settings_class = MotorSettings
    unique = True
    _halted = False
    """By ``~/halt``: kept here because it must outlast a stage, and come before there is one."""
    _stage: MotorStage | None = None
    _urdf: Mapping[str, JointLimits] = MappingProxyType({})
    _set_up = False

    def setup(self) -> None:
        """Make outputs and inputs; the stage as soon as all limits are known."""
        s = self.settings
        self._lockstep = s.pacing == "lockstep"
        self._run: tuple[str, Contract, bool] | None = None
        self._begun = False
        self._received = 0.0
        self._waiting: _Waiting | None = None
        self._measured_stamp = -math.inf
        self._transitions = -1
        self._answered = "", 0
        self._clock_jumps = 0
        self._check_topics(s)
        self._outputs = GroupOutputs(self, s.groups, self._lockstep)
        self._others = OtherSources(self, s.groups)
        events = qos.LOCKSTEP if self._lockstep else qos.REWARD
        self._done = self.advertise(CycleDone, "cycle_done", qos.REWARD)
        self._deltas = self.advertise(ActuatorDeltas, "~/deltas", qos.SENSOR)
        self._status = self.advertise(MotorStatus, "~/status", qos.STATUS, always=True)
        self.subscribe(BrainContract, "contract", self._contract, qos.LATCHED, always=True)
        self.subscribe(String, "robot_description", self._description, qos.LATCHED, always=True)
        self.subscribe(SpikeRaster, "spikes", self._spikes, events)
        # Joints may come in parts, one right after the other.
        states = qos.LOCKSTEP if self._lockstep else qos.EACH_SAMPLE
        self.subscribe(JointState, "joint_states", self._joint_state, states)
        if s.deadman_timeout:
            self.subscribe(Bool, "deadman", self._deadman, qos.SENSOR)
        self.serve(Trigger, "~/halt", self._halt_service)
        self.serve(Trigger, "~/resume", self._resume)
        self.every(_WATCH_PERIOD, self._watch_stage, steady=True)
        self.every(_GRAPH_PERIOD, self._look_around, steady=True)
        self.every(_STATUS_PERIOD, self._publish_status, steady=True, always=True)
        self._set_up = True
        Loops()  # compiled now, and not when a robot description comes and joint states with it
        self._make_stage({})

    def start(self) -> None:
        """Wait for a fresh measured state."""
        self._outputs.discard()
        if self._stage is not None:
            self._look_around()
            self._stage.activate(self._now(), self.steady_now())
        self._publish_status()

    def stop(self) -> None:
        """Stop the robot, and answer a cycle that still waits."""
        if self._stage is not None:
            try:
                self._send(self._stage.deactivate(self._now(), self.steady_now()))
            except Exception:
                self._outputs.cut_short()
                raise
            self._outputs.finish()
            self._refuse_waiting(Code.NOT_ACTIVE, "the motor node was deactivated")
        self._publish_status()

    def teardown(self) -> None:
        """Forget the stage and the robot."""
        self._stage, self._urdf, self._set_up = None, {}, False

    def reconfigure(self, new: MotorSettings, old: MotorSettings) -> None:
        """Take live-tuned settings; they hold from the next cycle on."""
        if self._set_up:
            self._make_stage(self._urdf)

    def check(self, settings: MotorSettings) -> None:
        """Refuse groups that their interface cannot command, and contradictory limits."""
        for name, group in settings.groups.items():
            check_output(name, group)
        check_own_limits(settings)
        limits = resolve_limits(settings.channels, settings.limits, self._urdf)
        if self._stage is not None:
            # All limits were known: a change must not take one away.
            check_limits(settings, limits)

    def health(self) -> Health:
        """Tell the stage's state."""
        if self._stage is None:
            return Level.WARN, self._missing()
        if self._stage.state is State.HOLDING:
            return Level.WARN, self._stage.message
        problems = self._outputs.problems()
        return (Level.WARN, problems[0]) if problems else (Level.OK, self._stage.message)

    # The stage

    def _make_stage(self, urdf: Mapping[str, JointLimits]) -> None:
        """Build the stage or change its limits; without a stage, say what limits are missing.

        Raises
        ------
        ConfigError
            if the stage cannot go on with these limits; it goes on with those that it had.
        """
        settings = playable(self.settings, self._lockstep)
        limits = resolve_limits(settings.channels, settings.limits, urdf)
        if self._stage is not None:
            self._stage.reconfigure(settings, limits)
            self._urdf = urdf
            return
        self._urdf = urdf
        try:
            check_limits(settings, limits)
        except ConfigError as error:
            self._why_no_stage = str(error)
            waits = "the robot_description lacks it, too" if urdf else "waits for robot_description"
            self.get_logger().warning(f"no limits to move within, {waits}: {error}")
            return
        self._stage = MotorStage(settings, limits)
        self._clock_jumps = 0
        if self._halted:
            self._stage.halt(self._now(), self.steady_now())
        self._begin_run()
        if self.active:
            self._look_around()
            self._stage.activate(self._now(), self.steady_now())

    def _missing(self) -> str:
        waits = "robot_description lacks a limit" if self._urdf else "waits for robot_description"
        return f"{waits}: {self._why_no_stage}"

    def _check_topics(self, settings: MotorSettings) -> None:
        """Refuse a command topic that two groups share, or that this node hears itself on."""
        owners = {
            self.resolve_topic_name(topic): f"this node's own topic {topic!r}"
            for topic in _OWN_TOPICS
        }
        for name, group in settings.groups.items():
            topic = self.resolve_topic_name(group.topic)
            if topic in owners:
                raise ConfigError(
                    f"groups.{name}.topic: {group.topic!r} is {topic}, which is {owners[topic]}; a"
                    f" group needs a command topic of its own"
                )
            owners[topic] = f"the topic of group {name!r}"

    def _description(self, message: String) -> None:
        urdf = limits_from_urdf(message.data)
        if self._stage is not None:
            # Under a robot that moves, limits may become narrower, and not wider.
            urdf, wider = narrowed(self._urdf, urdf)
            if wider:
                self.get_logger().warning(
                    f"robot_description widens the limits of {', '.join(wider)}: the narrower ones"
                    " hold until this node is configured anew"
                )
        self._warn_of_mimics(mimics_from_urdf(message.data))
        self._make_stage(urdf)

    def _warn_of_mimics(self, mimics: Mapping[str, str]) -> None:
        """Warn of channels that their robot moves by another joint."""
        for name, group in self.settings.groups.items():
            for channel in group.channels:
                if channel in mimics and self.settings.limits[channel].measured:
                    self.get_logger().warning(
                        f"groups.{name}: {channel!r} follows {mimics[channel]!r}"
                        f" (robot_description: <mimic>) and cannot be moved by itself: command that"
                        f" one"
                    )

    def _contract(self, message: BrainContract) -> None:
        contract = read_brain_contract(message)
        if self._run is not None and self._run[0] == message.run:
            # Beginning the run anew would let its cycles be executed a second time.
            if self._run[1].sha256 != contract.sha256:
                raise ContractError(
                    f"contract of run {message.run!r}: differs from the one that the run began"
                    f" with; a new contract needs a new run"
                )
            return
        self._run = (message.run, contract, bool(message.remote))
        self._begin_run()
        if self._waiting is not None and not self._lacks(self._waiting.cycle):
            self._answer_waiting()

    def _begin_run(self) -> None:
        if self._stage is None or self._run is None:
            return
        try:
            self._stage.begin_run(*self._run)
        except ContractError as error:
            if not self._begun:
                # Nothing was ever moved: this robot's mapping is made for another brain.
                self.get_logger().error(f"the mapping does not fit the brain: {error}")
                self.exit_code = EXIT_BAD_CONFIGURATION
                self.wake()
                return
            raise
        self._begun = True

    def _now(self) -> float:
        """Robot time; in lockstep the measured state may be ahead of word from the clock."""
        now = self.now()
        return max(now, self._measured_stamp) if self._lockstep else now

    # Inputs

    def _joint_state(self, message: JointState) -> None:
        stamp = seconds(message.header.stamp)
        refused = ""
        if self._stage is not None:
            now = max(self.now(), stamp) if self._lockstep else self.now()
            velocity = message.velocity if len(message.velocity) else None
            refused = self._stage.measure(
                message.name, message.position, velocity, stamp, now, self.steady_now()
            )
        if self._lockstep and not refused:
            self._measured_stamp = stamp
        waiting = self._waiting
        if waiting is not None and not self._lacks(waiting.cycle, stamp):
            self._answer_waiting()
        if refused:
            self.report("joint_states", refused)

    def _deadman(self, message: Bool) -> None:
        if self._stage is not None:
            self._stage.deadman(bool(message.data), self.steady_now())

    def _look_around(self) -> None:
        """Look for others that command the robot."""
        if self._stage is not None:
            self._stage.other_source(self._others.look() if self.settings.exclusive else "")

    def _spikes(self, message: SpikeRaster) -> None:
        self._received = time.perf_counter()
        self.figures.took("cycle start to spikes", self.now() - seconds(message.header.stamp))
        try:
            cycle = read_spike_raster(message, None)
        except AbRosError as error:
            self._refuse(message, Code.BAD_FRAME, str(error))
            raise
        if self._stage is None:
            self._refuse(message, Code.NOT_ACTIVE, self._missing())
        elif self._lockstep and self._lacks(cycle):
            self._refuse_waiting(Code.STALE_STATE, f"cycle {cycle.number} came before")
            self._waiting = _Waiting(cycle, self.steady_now())
        else:
            self._answer(cycle)

    def _lacks(self, cycle: Cycle, stamp: float = -math.inf) -> str:
        """Return what comes before a cycle in lockstep, on a topic of its own, and has not come."""
        if self._run is None or self._run[0] != cycle.run:
            return "the contract of its run"
        seen = max(self._measured_stamp, stamp) >= cycle.observed - 1e-6
        return "" if seen else "the joint state that the brain saw"

    def _answer_waiting(self) -> None:
        if self._waiting is not None:
            cycle, self._waiting = self._waiting.cycle, None
            self._answer(cycle)

    def _answer(self, cycle: Cycle) -> None:
        begin = time.perf_counter()
        if self._stage is None:
            return
        answer = self._stage.execute(cycle, self._now(), self.steady_now())
        planned = time.perf_counter()
        sent = self._send(answer.commands)
        published = time.perf_counter()
        self.figures.took("spikes to plan", planned - self._received)
        self.figures.took("plan to command", published - planned)
        self.figures.took("cycle", published - begin)
        if answer.executed:
            self.figures.took("sensor to command", answer.latency)
        self._publish_done(answer, cycle.timesteps * cycle.dt, sent)
        if answer.deltas is not None:
            self._deltas.publish(
                actuator_deltas(answer.deltas, cycle.run, cycle.number, cycle.dt, cycle.stamp)
            )
        if cycle.deltas is not None:
            # Who commands channels itself is told where each of its cycles begins.
            self._publish_status()
        self._tell_transitions()

    def _refuse(self, message: SpikeRaster, code: Code, reason: str) -> None:
        run, number = message.run, int(message.cycle)
        answer = Answer(run, number, False, code, reason)
        if self._stage is not None:
            answer = self._stage.refuse(run, number, code, reason)
        self._publish_done(answer, float(message.timesteps) * float(message.dt), 0)

    def _refuse_waiting(self, code: Code, why: str) -> None:
        if self._waiting is None or self._stage is None:
            return
        cycle, self._waiting = self._waiting.cycle, None
        reason = f"{why}, and {self._lacks(cycle) or 'it'} had not come"
        answer = self._stage.refuse(cycle.run, cycle.number, code, reason)
        self._publish_done(answer, cycle.timesteps * cycle.dt, 0)
        self.report("spikes", f"cycle {cycle.number} refused: {reason}")

    def _watch_stage(self) -> None:
        if self._stage is None:
            return
        steady = self.steady_now()
        self._send(self._stage.watch(self._now(), steady))
        # As long as a simulation may take on a busy machine, but less than a brain waits.
        patience = max(self.settings.state_timeout, self.settings.steady_timeout)
        if self._waiting is not None and steady - self._waiting.since > patience:
            self._refuse_waiting(Code.STALE_STATE, f"{patience:g} s have passed")
        self._tell_transitions()

    def _tell_transitions(self) -> None:
        if self._stage is not None and self._stage.transitions != self._transitions:
            self._transitions = self._stage.transitions
            self._publish_status()

    # Outputs

    def _send(self, commands: Iterable[Command]) -> int:
        """Send commands; return how many messages were published."""
        if self._stage is not None and self._stage.clock_jumps != self._clock_jumps:
            self._clock_jumps = self._stage.clock_jumps
            # Velocities and efforts ramp down by what is sent now.
            self._outputs.outdate_positions()
        return self._outputs.send(commands)

    def _publish_done(self, answer: Answer, duration: float, sent: int) -> None:
        # Of another run, or answered before: no time of this run passes for it.
        counts = answer.code is not Code.WRONG_RUN and 0.0 <= duration <= _LONGEST_CYCLE
        message = CycleDone(
            run=answer.run,
            cycle=answer.cycle,
            executed=answer.executed,
            code=int(answer.code),
            reason=answer.reason,
            commands=min(sent, _MOST_COMMANDS),
            duration=duration if counts else 0.0,
            latency=answer.latency,
        )
        message.header.stamp = to_time(self._now())
        self._answered = answer.run, answer.cycle
        self._done.publish(message)

    def _publish_status(self) -> None:
        message = MotorStatus()
        message.header.stamp = to_time(self._now())
        message.run, message.cycle = self._answered
        if self._stage is None:
            message.state, message.code = int(State.INACTIVE), int(Code.NOT_ACTIVE)
            message.message = self._missing()
            message.sensor_to_command_p50 = message.sensor_to_command_p99 = math.nan
        else:
            status = self._stage.status()
            message.state, message.code = int(status.state), int(status.code)
            message.message = status.message
            message.joint = list(status.joints)
            message.commanded = packed(status.commanded, "d")
            message.measured = packed(status.measured, "d")
            message.limited = list(status.limited)
            message.cycles_executed = status.cycles_executed
            message.cycles_refused = status.cycles_refused
            message.sensor_to_command_p50 = status.sensor_to_command_p50
            message.sensor_to_command_p99 = status.sensor_to_command_p99
            for name, count in status.counters.items():
                self.figures.set(name, count)
        message.output = self._outputs.problems()
        self._status.publish(message)

    # Services

    def _halt_service(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._halted = True
        if self._stage is not None:
            self._send(self._stage.halt(self._now(), self.steady_now(), "halted by ~/halt"))
        response.success, response.message = True, "the robot is halted until ~/resume"
        self._publish_status()
        return response

    def _resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        halted, self._halted = self._halted, False
        if self._stage is None:
            response.success = halted
            response.message = f"no longer halted; {self._missing()}" if halted else self._missing()
        elif self._stage.resume(self._now(), self.steady_now()):
            response.success, response.message = True, f"resumed: {self._stage.message}"
        else:
            response.message = f"nothing to resume from: {self._stage.message}"
        self._publish_status()
        return response


def main() -> int:
    """Run the node."""
    return run(MotorNode)


if __name__ == "__main__":
    raise SystemExit(main())
