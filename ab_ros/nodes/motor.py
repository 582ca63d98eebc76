"""The motor node: spikes in, safe commands out, one answer to every cycle."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ab_ros.contract import Contract
from ab_ros.errors import AbRosError, ConfigError, ContractError, ObservationError
from ab_ros.motion.groups import Command
from ab_ros.motion.limits import JointLimits, limits_from_urdf, resolve_limits
from ab_ros.motion.safety import Code, State
from ab_ros.motion.settings import MotorSettings, check_limits
from ab_ros.motion.stage import Answer, MotorStage
from ab_ros.msg import ActuatorDeltas, BrainContract, CycleDone, MotorStatus, SpikeRaster
from ab_ros.nodes import qos
from ab_ros.nodes.command_outputs import CommandOutput, make_output
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import EXIT_BAD_CONFIGURATION, AbNode
from ab_ros.nodes.messages import (
    actuator_deltas,
    packed,
    read_brain_contract,
    read_spike_raster,
    seconds,
    to_time,
)
from ab_ros.nodes.process import run
from ab_ros.values import Cycle

_WATCH_PERIOD = 0.01
_STATUS_PERIOD = 0.1


class MotorNode(AbNode[MotorSettings]):
    """Everything that reaches a command topic passes through this node's one safety stage."""

    node_name = "motor"
    settings_class = MotorSettings
    unique = True

    def setup(self) -> None:
        """Make outputs and inputs; the stage as soon as all limits are known."""
        s = self.settings
        self._lockstep = s.pacing == "lockstep"
        self._stage: MotorStage | None = None
        self._urdf: dict[str, JointLimits] = {}
        self._run: tuple[str, Contract] | None = None
        self._begun = False
        self._waiting: Cycle | None = None
        self._measured_stamp = -math.inf
        self._transitions = -1
        self._outputs: dict[str, CommandOutput] = {
            name: make_output(self, name, group, self._lockstep) for name, group in s.groups.items()
        }
        events = qos.LOCKSTEP if self._lockstep else qos.COMMAND
        self._done = self.advertise(CycleDone, "cycle_done", qos.REWARD)
        self._deltas = self.advertise(ActuatorDeltas, "~/deltas", qos.SENSOR)
        self._status = self.advertise(MotorStatus, "~/status", qos.STATUS, always=True)
        self.subscribe(BrainContract, "contract", self._contract, qos.LATCHED, always=True)
        self.subscribe(String, "robot_description", self._description, qos.LATCHED, always=True)
        self.subscribe(SpikeRaster, "spikes", self._spikes, events)
        self.subscribe(
            JointState, "joint_states", self._joint_state, events if self._lockstep else qos.SENSOR
        )
        self.serve(Trigger, "~/halt", self._halt_service)
        self.serve(Trigger, "~/resume", self._resume)
        self.every(_WATCH_PERIOD, self._watch_stage, steady=True)
        self.every(_STATUS_PERIOD, self._publish_status, steady=True, always=True)
        self._make_stage(final=False)

    def start(self) -> None:
        """Wait for a fresh measured state."""
        if self._stage is not None:
            self._stage.activate(self._now(), self.steady_now())
        self._publish_status()

    def stop(self) -> None:
        """Stop the robot."""
        if self._stage is not None:
            self._send(self._stage.deactivate(self._now(), self.steady_now()))
            for output in self._outputs.values():
                self._finish_playing(output)
        self._waiting = None
        self._publish_status()

    def reconfigure(self, new: MotorSettings, old: MotorSettings) -> None:
        """Take live-tuned settings; they hold from the next cycle on."""
        if self._stage is not None:
            self._stage.reconfigure(new, resolve_limits(new.channels, new.limits, self._urdf))

    def check(self, settings: MotorSettings) -> None:
        """Refuse limits that contradict each other."""
        resolve_limits(settings.channels, settings.limits, getattr(self, "_urdf", {}))

    def health(self) -> Health:
        """Tell the stage's state."""
        if self._stage is None:
            return Level.WARN, self._missing()
        if self._stage.state is State.HOLDING:
            return Level.WARN, self._stage.message
        return Level.OK, self._stage.message

    # The stage

    def _make_stage(self, final: bool) -> None:
        """Build the stage, or say what limits are still missing."""
        settings = self.settings
        limits = resolve_limits(settings.channels, settings.limits, self._urdf)
        try:
            check_limits(settings, limits)
        except ConfigError as error:
            if final:
                raise
            self._why_no_stage = str(error)
            self.get_logger().info(f"waiting for robot_description, because {error}")
            return
        if self._stage is not None:
            self._stage.reconfigure(settings, limits)
            return
        self._stage = MotorStage(settings, limits)
        self._begin_run()
        if self.active:
            self._stage.activate(self._now(), self.steady_now())

    def _missing(self) -> str:
        return f"waits for robot_description: {self._why_no_stage}"

    def _description(self, message: String) -> None:
        self._urdf = limits_from_urdf(message.data)
        self._make_stage(final=True)

    def _contract(self, message: BrainContract) -> None:
        self._run = (message.run, read_brain_contract(message))
        self._begin_run()

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
        if self._lockstep:
            self._measured_stamp = stamp
        if self._stage is not None:
            velocity = np.asarray(message.velocity) if len(message.velocity) else None
            position = np.asarray(message.position)
            if position.size != len(message.name) or (
                velocity is not None and velocity.size != position.size
            ):
                raise ObservationError(
                    f"joint_states: {len(message.name)} names, {position.size} positions and"
                    f" {len(message.velocity)} velocities; must be as many of each"
                )
            self._stage.measure(
                message.name, position, velocity, stamp, self._now(), self.steady_now()
            )
        if self._waiting is not None and stamp >= self._waiting.observed - 1e-6:
            cycle, self._waiting = self._waiting, None
            self._answer(cycle)

    def _spikes(self, message: SpikeRaster) -> None:
        try:
            cycle = read_spike_raster(message, None)
        except AbRosError as error:
            self._refuse(message, Code.BAD_FRAME, str(error))
            raise
        if self._stage is None:
            self._refuse(message, Code.NOT_ACTIVE, self._missing())
        elif self._lockstep and self._measured_stamp < cycle.observed - 1e-6:
            # Spikes and joint states come on two topics: the state that the brain saw comes first.
            if self._waiting is not None:
                self._answer(self._waiting)
            self._waiting = cycle
        else:
            self._answer(cycle)

    def _answer(self, cycle: Cycle) -> None:
        begin = time.perf_counter()
        if self._stage is None:
            return
        answer = self._stage.execute(cycle, self._now(), self.steady_now())
        sent = self._send(answer.commands)
        self.figures.took("cycle", time.perf_counter() - begin)
        if answer.executed:
            self.figures.took("sensor to command", answer.latency)
        self._publish_done(answer, cycle, sent)
        if answer.deltas is not None:
            self._deltas.publish(
                actuator_deltas(answer.deltas, cycle.run, cycle.number, cycle.dt, cycle.stamp)
            )

    def _watch_stage(self) -> None:
        if self._stage is not None:
            self._send(self._stage.watch(self._now(), self.steady_now()))
            if self._stage.transitions != self._transitions:
                self._transitions = self._stage.transitions
                self._publish_status()

    # Outputs

    def _send(self, commands: Iterable[Command]) -> int:
        return sum(self._outputs[command.group].send(command) for command in commands)

    def _finish_playing(self, output: CommandOutput) -> None:
        """Let a stop that is played point by point reach its end."""
        deadline = self.steady_now() + 1.0
        while output.playing and self.steady_now() < deadline:
            output.play()
            time.sleep(0.002)

    def _publish_done(self, answer: Answer, cycle: Cycle, sent: int) -> None:
        message = CycleDone(
            run=answer.run,
            cycle=answer.cycle,
            executed=answer.executed,
            code=int(answer.code),
            reason=answer.reason,
            commands=sent,
            duration=cycle.timesteps * cycle.dt,
            latency=answer.latency,
        )
        message.header.stamp = to_time(self._now())
        self._done.publish(message)

    def _refuse(self, message: SpikeRaster, code: Code, reason: str) -> None:
        duration = float(message.timesteps) * float(message.dt)
        done = CycleDone(
            run=message.run,
            cycle=message.cycle,
            executed=False,
            code=int(code),
            reason=reason,
            duration=duration if math.isfinite(duration) else 0.0,
            latency=math.nan,
        )
        done.header.stamp = to_time(self._now())
        self._done.publish(done)

    def _publish_status(self) -> None:
        message = MotorStatus()
        message.header.stamp = to_time(self.now())
        if self._stage is None:
            message.state, message.code = int(State.INACTIVE), int(Code.NOT_ACTIVE)
            message.message = self._missing()
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
        self._status.publish(message)

    # Services

    def _halt_service(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._stage is not None:
            self._send(self._stage.halt(self._now(), self.steady_now(), "halted by ~/halt"))
        response.success, response.message = True, "the robot is halted until ~/resume"
        self._publish_status()
        return response

    def _resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._stage is None:
            response.message = self._missing()
        elif self._stage.resume(self._now(), self.steady_now()):
            response.success, response.message = True, "resumed from a fresh measured state"
        else:
            response.message = f"nothing to resume from: {self._stage.message}"
        self._publish_status()
        return response


def main() -> int:
    """Run the node."""
    return run(MotorNode)


if __name__ == "__main__":
    raise SystemExit(main())
