"""The simulator node: a MuJoCo robot with a camera, and a red ball that moves in its view.

With ``pacing: realtime`` it runs along with the wall clock.  With ``pacing: lockstep`` the brain is
master: each ``cycle_done`` lets it advance by that cycle's duration, after all commands of the
cycle have arrived; then it publishes its sensors, all with the same stamp.  It obeys what comes
on the topics and actions that ``commands`` names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from geometry_msgs.msg import Vector3Stamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from ab_ros.config import setting
from ab_ros.environments.arm import ArmSettings
from ab_ros.environments.arm_robot import ArmRobot
from ab_ros.environments.car import CarSettings, CarWorld
from ab_ros.environments.robot import target_direction
from ab_ros.environments.robots import ROBOTS
from ab_ros.errors import ConfigError, WorldError, one_of
from ab_ros.msg import AudioChunk, CycleDone
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import packed, to_time
from ab_ros.nodes.process import run
from ab_ros.nodes.robot_messages import image, joint_state
from ab_ros.nodes.sim_commands import ACTIONS, INTERFACES, CommandTopic, follower
from ab_ros.nodes.sim_gripper import SimGripper
from ab_ros.nodes.sim_odometry import odometry
from ab_ros.nodes.sound_messages import audio_chunk
from ab_ros.values import Observation

_MOMENT = 2e-6  # s by which a scene that was changed is dated later; stamps tell 1e-6 s apart
_DRIFT = 0.05  # s by which the stamps of sound may be off the system's clock


@dataclass(frozen=True)
class SimSettings:
    """The simulator node."""

    commands: dict[str, CommandTopic] = setting(doc="Command topics by name.")
    robot: str = setting("arm", doc="What is simulated.", one_of=tuple(ROBOTS))
    world: ArmSettings = setting(ArmSettings, doc="The arm, its senses and the ball.")
    car: CarSettings = setting(CarSettings, doc="The car, its senses and the ball.")
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
    audio_rate: float = setting(
        50.0, doc="Chunks of sound per second (realtime).", unit="Hz", gt=0, le=200
    )
    tone: bool = setting(True, doc="Whether a tone sounds when the ball appears.", live=True)
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
        if self.pacing == "lockstep" and any(
            c.interface in ACTIONS for c in self.commands.values()
        ):
            raise ConfigError("pacing: must be 'realtime' with an action among the commands")
        for name, command in self.commands.items():
            if command.interface not in INTERFACES[self.robot]:
                raise ConfigError(
                    f"commands.{name}.interface: {command.interface!r} moves no {self.robot};"
                    f" {one_of(INTERFACES[self.robot])}"
                )


class SimNode(AbNode[SimSettings]):
    """Publishes the robot's sensors and follows its command topics."""

    node_name = "sim"
    settings_class = SimSettings

    def setup(self) -> None:
        """Build the world, publishers and subscriptions."""
        s = self.settings
        kind = ROBOTS[s.robot]
        world = getattr(s, kind.key)
        self._robot = kind.make(replace(world, motion=replace(world.motion, mode=s.motion)), s.seed)
        self._world = self._robot.world
        self._world.microphone.muted = not s.tone
        self._later = 0.0  # by how much stamps are later than the world's time, s
        self._heard: Observation | None = None
        self._pending: CycleDone | None = None
        self._arrived = 0
        self.get_logger().info(f"renders with {self._world.renderer_backend}")
        lockstep = s.pacing == "lockstep"
        sensor = qos.LOCKSTEP if lockstep else qos.SENSOR
        self._joints = self.advertise(JointState, "joint_states", qos.COMMAND)
        self._image = self.advertise(Image, "camera/image_raw", sensor)
        self._info = self.advertise(CameraInfo, "camera/camera_info", sensor)
        self._overview = self.advertise(Image, "overview/image_raw", qos.COMMAND)
        self._audio = self.advertise(AudioChunk, "audio", qos.REWARD)
        if isinstance(self._world, CarWorld):
            self._odometry = self.advertise(Odometry, "odom", qos.COMMAND)
        self._target = self.advertise(Vector3Stamped, "target/direction", qos.COMMAND)
        self._description = self.advertise(String, "robot_description", qos.LATCHED, always=True)
        self._description.publish(String(data=kind.description(world)))
        if s.clock == "sim":
            self._clock_topic = self.advertise(Clock, "/clock", qos.COMMAND)
        self._grippers: list[SimGripper] = []
        for name, command in s.commands.items():
            if command.interface in ACTIONS:
                self._serve_gripper(name, command)
                continue
            self.subscribe(
                command.message,
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
            self.every(1.0 / s.audio_rate, self._sound, steady=True)

    def _serve_gripper(self, name: str, command: CommandTopic) -> None:
        assert isinstance(self._robot, ArmRobot)
        try:
            gripper = SimGripper(self, self._robot, command.topic, command.joints)
        except ConfigError as error:
            # The rest of a robot that stands in for a real one is worth having without.
            self.get_logger().warning(f"commands.{name}: {error}; the gripper stays where it is")
        else:
            self._grippers.append(gripper)

    def start(self) -> None:
        """Publish the first sensors."""
        self._pending = None
        self._answered = ("", -1)
        self._arrived = 0
        self._waited = 0
        self._began = time.monotonic() - self._world.time
        self._next_overview = self._world.time
        self._epoch = 0.0 if self.settings.clock == "sim" else self._stamp() - self._world.time
        self._hear_all()
        self._info_message = self._camera_info()
        self._publish_all()

    def teardown(self) -> None:
        """Close the renderer."""
        for gripper in getattr(self, "_grippers", ()):
            gripper.close()
        world = getattr(self, "_world", None)
        if world is not None:
            world.close()

    def reconfigure(self, new: SimSettings, old: SimSettings) -> None:
        """Start another path of the ball."""
        if (new.motion, new.seed) != (old.motion, old.seed):
            self._world.set_motion(new.motion, new.seed)
        self._world.microphone.muted = not new.tone
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
        obey = follower(self._robot, name, command)

        def follow(message: Any) -> None:
            self._arrived += 1
            try:
                obey(message)
            finally:
                # A refused command has arrived, too: the robot holds, and the loop goes on.
                self._advance_if_complete()

        return follow

    def _cycle_done(self, message: CycleDone) -> None:
        run, cycle = self._answered
        if message.run == run and message.cycle <= cycle:
            self.figures.add("cycle_done repeated")
            return
        if not 0.0 <= message.duration < 60.0:
            raise WorldError(f"cycle_done: duration must be 0 to 60 s, not {message.duration}")
        if not message.duration:
            return  # of another run, or answered before: no time passes for it
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
        self._robot.forget()
        if self._pending is None:
            self._arrived = 0
        if self.active:
            self._show_changed()
        response.success, response.message = True, f"the {self.settings.robot} is where it starts"
        return response

    def _mirror(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._world.mirror = request.data
        if self.active:
            self._show_changed()
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
        for gripper in self._grippers:
            gripper.watch()
        self._publish_state(self._stamp())

    def _show(self) -> None:
        self._publish_image(self._stamp())

    def _sound(self) -> None:
        """Publish the sound since the last time."""
        if self._hear_all():
            self._audio.publish(self._chunk)

    def _hear_all(self) -> bool:
        """Make a chunk of the sound since the last time; whether there is any."""
        sound = self._world.listen()
        if sound is self._heard:
            return False
        self._heard, self._chunk = sound, self._dated(sound)
        return True

    def _stamp(self) -> float:
        return self._world.time + self._later if self.settings.clock == "sim" else self.now()

    def _show_changed(self) -> None:
        """Publish a scene that was changed while no time passed, to be told from the one before.

        Each topic takes its own way and its own time: who waits for samples as late as one of these
        sees nothing from before.
        """
        if self.settings.pacing == "lockstep":
            self._later += _MOMENT
            heard = self._world.listen()
            # There is no more to be heard, and that is so up to now.
            end = heard.stamp + len(heard.data) / heard.meta["rate"]
            self._chunk = self._dated(replace(heard, data=heard.data[:0], stamp=end))
        self._publish_all()

    def _publish_all(self) -> None:
        stamp = self._stamp()
        self._publish_state(stamp)
        self._publish_image(stamp)
        if self.settings.pacing == "lockstep":
            # Each cycle is heard whole; where no time has passed, the same again.
            self._hear_all()
            self._audio.publish(self._chunk)

    def _dated(self, sound: Observation) -> AudioChunk:
        if self.settings.clock == "system":
            # The samples' own clock, set anew where the simulation has fallen behind the wall's,
            # but not for a timer that is late: the simulation catches up with that.
            epoch = self._stamp() - (time.monotonic() - self._began)
            if abs(epoch - self._epoch) > _DRIFT:
                self._epoch = epoch
        return audio_chunk(sound, self._epoch + self._later + sound.stamp, "microphone")

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
        if isinstance(self._world, CarWorld):
            self._odometry.publish(odometry(self._world.odometry(), stamp))

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


def main() -> int:
    """Run the node."""
    return run(SimNode)


if __name__ == "__main__":
    raise SystemExit(main())
