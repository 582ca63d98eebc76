"""The simulator node: a MuJoCo arm with a camera, and a red ball that moves in its view.

With ``pacing: realtime`` it runs along with the wall clock.  With ``pacing: lockstep`` the brain is
master: each ``cycle_done`` lets it advance by that cycle's duration, after all commands of the
cycle have arrived; then it publishes its sensors, all with the same stamp.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from geometry_msgs.msg import Vector3Stamped
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from ab_ros.config import setting
from ab_ros.environments.arm import ARM_URDF, ArmSettings, ArmWorld
from ab_ros.environments.arm_robot import ArmRobot, target_direction
from ab_ros.errors import ConfigError, WorldError
from ab_ros.msg import CycleDone
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import packed, seconds, to_time
from ab_ros.nodes.process import run
from ab_ros.nodes.robot_messages import image, joint_state

_MESSAGES = {"joint_trajectory": JointTrajectory, "position": Float64MultiArray, "gripper": Float64}
_REACH = 0.02  # s in which a single set-point is approached


@dataclass(frozen=True)
class CommandTopic:
    """A topic that moves joints of the simulated arm."""

    topic: str = setting(doc="Topic, relative to the namespace.")
    interface: str = setting(
        "joint_trajectory", doc="Form of the command.", one_of=tuple(_MESSAGES)
    )
    joints: tuple[str, ...] = setting(
        (), doc="Joints in the order of the message; a joint_trajectory names its own."
    )

    def __post_init__(self) -> None:
        if self.interface != "joint_trajectory" and not self.joints:
            raise ConfigError(f"joints: are required for interface {self.interface!r}")


@dataclass(frozen=True)
class SimSettings:
    """The simulator node."""

    commands: dict[str, CommandTopic] = setting(doc="Command topics by name.")
    world: ArmSettings = setting(ArmSettings, doc="The arm, its camera and the ball.")
    pacing: str = setting("realtime", doc="Who sets the pace.", one_of=("realtime", "lockstep"))
    clock: str = setting(
        "sim",
        doc="Stamps: sim (simulated time, published on /clock) or system time.",
        one_of=("sim", "system"),
    )
    seed: int = setting(1, doc="Seed of the ball's path.", ge=0, live=True)
    motion: str = setting(
        "jumps", doc="How the ball moves.", one_of=("jumps", "sines", "still", "hidden"), live=True
    )
    joint_rate: float = setting(
        100.0, doc="Joint states, target and clock per second (realtime).", unit="Hz", gt=0, le=500
    )
    camera_rate: float = setting(30.0, doc="Images per second (realtime).", unit="Hz", gt=0, le=200)
    overview_rate: float = setting(
        0.0,
        doc="Images of the whole scene per second of simulated time; 0: none.",
        unit="Hz",
        ge=0,
        le=100,
        live=True,
    )

    def __post_init__(self) -> None:
        if self.pacing == "lockstep" and self.clock != "sim":
            raise ConfigError("clock: must be 'sim' when pacing is 'lockstep'")


class SimNode(AbNode[SimSettings]):
    """Publishes the arm's sensors and follows its command topics."""

    node_name = "sim"
    settings_class = SimSettings

    def setup(self) -> None:
        """Build the world, publishers and subscriptions."""
        s = self.settings
        world = replace(s.world, motion=replace(s.world.motion, mode=s.motion))
        self._world = ArmWorld(world, seed=s.seed)
        self._robot = ArmRobot(self._world, {})
        self.get_logger().info(f"renders with {self._world.renderer_backend}")
        lockstep = s.pacing == "lockstep"
        sensor = qos.LOCKSTEP if lockstep else qos.SENSOR
        self._joints = self.advertise(JointState, "joint_states", qos.COMMAND)
        self._image = self.advertise(Image, "camera/image_raw", sensor)
        self._info = self.advertise(CameraInfo, "camera/camera_info", sensor)
        self._overview = self.advertise(Image, "overview/image_raw", qos.COMMAND)
        self._target = self.advertise(Vector3Stamped, "target/direction", qos.COMMAND)
        self._description = self.advertise(String, "robot_description", qos.LATCHED, always=True)
        self._description.publish(String(data=_urdf(s.world)))
        if s.clock == "sim":
            self._clock_topic = self.advertise(Clock, "/clock", qos.COMMAND)
        for name, command in s.commands.items():
            self.subscribe(
                _MESSAGES[command.interface],
                command.topic,
                self._follower(name, command),
                qos.LOCKSTEP if lockstep else qos.COMMAND,
            )
        self.serve(Trigger, "~/reset", self._reset)
        self.serve(SetBool, "~/mirror", self._mirror)
        if lockstep:
            self.subscribe(CycleDone, "cycle_done", self._cycle_done, qos.LOCKSTEP)
            self.every(0.25, self._wait, steady=True)
        else:
            self.every(1.0 / s.joint_rate, self._keep_pace, steady=True)
            self.every(1.0 / s.camera_rate, self._show, steady=True)

    def start(self) -> None:
        """Publish the first sensors."""
        self._pending: CycleDone | None = None
        self._answered = ("", -1)
        self._arrived = 0
        self._waited = 0
        self._began = time.monotonic() - self._world.time
        self._next_overview = self._world.time
        self._info_message = self._camera_info()
        self._publish_all()

    def teardown(self) -> None:
        """Close the renderer."""
        world = getattr(self, "_world", None)
        if world is not None:
            world.close()

    def reconfigure(self, new: SimSettings, old: SimSettings) -> None:
        """Start another path of the ball."""
        if (new.motion, new.seed) != (old.motion, old.seed):
            self._world.set_motion(new.motion, new.seed)
        if new.overview_rate != old.overview_rate:
            self._next_overview = self._world.time

    def health(self) -> Health:
        """Tell the simulated time and how it is drawn."""
        if not self.active:
            return Level.OK, "not active"
        drawn = self._world.renderer_backend
        return Level.OK, f"simulated {self._world.time:.1f} s, rendering with {drawn}"

    # Commands

    def _follower(self, name: str, command: CommandTopic) -> Callable[[Any], None]:
        def follow(message: Any) -> None:
            self._arrived += 1
            try:
                joints, times, points = _read_command(command, message)
                self._robot.follow(name, joints, times, points)
            finally:
                # A refused command has arrived, too: the arm holds, and the loop goes on.
                self._advance_if_complete()

        return follow

    def _cycle_done(self, message: CycleDone) -> None:
        run, cycle = self._answered
        if message.run == run and message.cycle <= cycle:
            self.figures.add("cycle_done repeated")
            return
        if not 0.0 <= message.duration < 60.0:
            raise WorldError(f"cycle_done: duration must be 0 to 60 s, not {message.duration}")
        self._answered = (message.run, message.cycle)
        self._pending = message
        self._waited = 0
        self._advance_if_complete()

    def _advance_if_complete(self) -> None:
        if self._pending is None or self._arrived < self._pending.commands:
            return
        begin = time.perf_counter()
        self._arrived = 0
        duration, self._pending = self._pending.duration, None
        self._robot.pass_time(duration)
        self.figures.took("physics", time.perf_counter() - begin)
        self._publish_all()

    def _wait(self) -> None:
        """While nothing moves: complain of missing commands, and show the sensors again."""
        self._waited += 1
        if self._pending is not None and self._waited >= 4:
            self.report(
                "commands",
                f"{self._pending.commands} were announced for cycle {self._pending.cycle},"
                f" {self._arrived} arrived within 1 s; going on without",
            )
            self._arrived = self._pending.commands
            self._advance_if_complete()
        elif self._waited > 1:
            if self._pending is None:
                self._arrived = 0  # what came so long before its cycle_done is not of a cycle
            # For nodes that came later, or lost a message.
            self._publish_all()

    # Services

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._world.reset(self.settings.seed)
        self._robot.follower.clear()
        if self._pending is None:
            self._arrived = 0
        self._publish_all()
        response.success, response.message = True, "the arm is in its home pose"
        return response

    def _mirror(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._world.mirror = request.data
        self._publish_all()
        seen = "mirrored left to right" if request.data else "as it is"
        response.success, response.message = True, f"the camera shows the world {seen}"
        return response

    # Sensors

    def _keep_pace(self) -> None:
        behind = time.monotonic() - self._began - self._world.time
        if behind > 0.25:
            self.figures.add("fell behind real time")
            self._began += behind
            return
        self._robot.pass_time(max(0.0, behind))
        self._publish_state(self._stamp())

    def _show(self) -> None:
        self._publish_image(self._stamp())

    def _stamp(self) -> float:
        return self._world.time if self.settings.clock == "sim" else self.now()

    def _publish_all(self) -> None:
        if not self.active:
            return
        stamp = self._stamp()
        self._publish_state(stamp)
        self._publish_image(stamp)

    def _publish_state(self, stamp: float) -> None:
        if self.settings.clock == "sim":
            self._clock_topic.publish(Clock(clock=to_time(stamp)))
        # Zeros: there is no ball to be seen.
        direction = target_direction(*self._world.bearing()) or (0.0, 0.0, 0.0)
        target = Vector3Stamped()
        target.header.stamp = to_time(stamp)
        target.header.frame_id = "camera_optical_frame"
        target.vector.x, target.vector.y, target.vector.z = direction
        self._target.publish(target)
        state = self._world.joint_state()
        self._joints.publish(
            joint_state(state.names, state.position, stamp, state.velocity, state.effort)
        )

    def _publish_image(self, stamp: float) -> None:
        begin = time.perf_counter()
        pixels = self._world.render()
        self.figures.took("rendering", time.perf_counter() - begin)
        self._image.publish(image(pixels, stamp, "camera_optical_frame"))
        self._info_message.header.stamp = to_time(stamp)
        self._info.publish(self._info_message)
        rate = self.settings.overview_rate
        if rate > 0 and self._world.time >= self._next_overview - 1e-6:
            self._next_overview += 1.0 / rate
            self._overview.publish(image(self._world.render("overview"), stamp, "world"))

    def _camera_info(self) -> CameraInfo:
        info = self._world.camera_info()
        message = CameraInfo(width=info.width, height=info.height, distortion_model="plumb_bob")
        message.header.frame_id = "camera_optical_frame"
        message.d = packed(np.zeros(5), "d")
        message.k = np.array(info.k)
        message.r = np.eye(3).reshape(-1)
        message.p = np.array(info.p)
        return message


def _read_command(command: CommandTopic, message: Any) -> tuple[Any, Any, Any]:
    """Return joints, times (s from now) and positions [P, C] of a command message."""
    if command.interface == "joint_trajectory":
        times = [seconds(point.time_from_start) for point in message.points]
        return message.joint_names, times, [list(point.positions) for point in message.points]
    values = [message.data] if command.interface == "gripper" else list(message.data)
    return command.joints, [_REACH], [values]


def _urdf(world: ArmSettings) -> str:
    path = world.urdf or str(ARM_URDF)
    with open(path, encoding="utf-8") as file:
        return file.read()


def main() -> int:
    """Run the node."""
    return run(SimNode)


if __name__ == "__main__":
    raise SystemExit(main())
