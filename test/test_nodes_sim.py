"""The simulator node in a process of its own; the test plays motor node and camera user."""

from __future__ import annotations

import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import AudioChunk, CycleDone
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3, Vector3Stamped
from lifecycle_msgs.srv import GetState
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from ab_ros.brains.mailbox import CLOCK_GRAIN
from ab_ros.nodes import qos
from ab_ros.nodes.messages import packed, seconds
from ab_ros.nodes.robot_messages import joint_trajectory, read_image
from ab_ros.nodes.sound_messages import read_audio

pytestmark = pytest.mark.ros

YAML = """
/**:
  ros__parameters:
    motion: still
    world: {image_width: 80, image_height: 60}
    commands:
      arm: {topic: arm, interface: joint_trajectory}
      gripper: {topic: gripper, interface: gripper, joints: [gripper_left]}
"""
_names = itertools.count()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("sim_test")
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sim") / "sim.yaml"
    path.write_text(YAML)
    return path


class Robot:
    """Who moves one simulated arm and looks through its camera, in a namespace of its own."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.space = f"/sim_{next(_names)}"
        self.name = f"{self.space}/sim"
        make, topic = peer.node.create_publisher, self.space + "/{}"
        self.arm = make(JointTrajectory, topic.format("arm"), qos.COMMAND)
        self.gripper = make(Float64, topic.format("gripper"), qos.COMMAND)
        self.cycle_done = make(CycleDone, topic.format("cycle_done"), qos.REWARD)
        self.publishers = [self.arm, self.gripper, self.cycle_done]
        # Made before the subscriptions: who is heard on those has discovered it.
        self.asks = peer.node.create_client(GetState, f"{self.name}/get_state")
        self.joints: list[JointState] = []
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.targets: list[Vector3Stamped] = []
        self.clocks: list[float] = []
        self.urdf: list[String] = []
        self.sounds: list[AudioChunk] = []
        self.figures: dict[str, str] = {}
        listen = peer.node.create_subscription
        self.subscriptions = [
            listen(JointState, topic.format("joint_states"), self.joints.append, qos.COMMAND),
            listen(Image, topic.format("camera/image_raw"), self.images.append, qos.SENSOR),
            listen(CameraInfo, topic.format("camera/camera_info"), self.infos.append, qos.SENSOR),
            listen(
                Vector3Stamped, topic.format("target/direction"), self.targets.append, qos.COMMAND
            ),
            listen(String, topic.format("robot_description"), self.urdf.append, qos.LATCHED),
            listen(Clock, "/clock", lambda m: self.clocks.append(seconds(m.clock)), qos.COMMAND),
            listen(AudioChunk, topic.format("audio"), self.sounds.append, qos.REWARD),
            listen(DiagnosticArray, "/diagnostics", self._diagnose, 10),
        ]

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == self.name:
                self.figures = {value.key: value.value for value in status.values}

    def sim(self, yaml: Path, *assignments: str) -> NodeProcess:
        parameters = [part for text in assignments for part in ("-p", text)]
        arguments = ["--ros-args", "-r", f"__ns:={self.space}", "--params-file", str(yaml)]
        return NodeProcess(Path("-m"), "ab_ros.nodes.sim", *arguments, *parameters)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        self.peer.until(condition, what)

    @property
    def time(self) -> float:
        return seconds(self.joints[-1].header.stamp)

    @property
    def pose(self) -> dict[str, float]:
        return dict(zip(self.joints[-1].name, self.joints[-1].position, strict=True))

    def until_time(self, time: float) -> None:
        """Wait until all sensors show exactly this time."""
        self.until(lambda: self.joints and self.time >= time - 1e-6, f"time {time}")
        assert self.time == pytest.approx(time, abs=1e-9)
        for seen in (self.images, self.infos, self.targets):
            self.until(
                lambda seen=seen: seen and seconds(seen[-1].header.stamp) >= time - 1e-6, "a sensor"
            )
            assert seconds(seen[-1].header.stamp) == pytest.approx(time, abs=1e-9)

    def begin(self, lockstep: bool = True) -> None:
        seen = (self.joints, self.images, self.infos, self.targets, self.urdf)
        self.until(lambda: all(seen), "sensors and description")
        wanted = [p for p in self.publishers if lockstep or p is not self.cycle_done]
        self.until(lambda: all(p.get_subscription_count() for p in wanted), "subscriptions")

    def move(self, yaw: float, pitch: float = 0.0, after: float = 0.02) -> None:
        points = np.array([[yaw, pitch]])
        self.arm.publish(joint_trajectory(["base_yaw", "wrist_pitch"], points, after, 0.0))

    def done(self, cycle: int, commands: int = 0, duration: float = 0.04) -> None:
        self.cycle_done.publish(
            CycleDone(run="run", cycle=cycle, commands=commands, duration=duration)
        )

    def until_count(self, name: str, count: int) -> None:
        self.until(lambda: self.figures.get(name) == str(count), f"{count} x {name!r}")

    def answers(self) -> None:
        """Wait until the simulator, which has been told something, answers a call."""
        self.until(self.asks.service_is_ready, "a service")
        self.until(self.asks.call_async(GetState.Request()).done, "an answer")

    def call(self, service: str, request: Any = None) -> Any:
        kind = Trigger if request is None else SetBool
        return self.peer.call(kind, f"{self.name}/{service}", request or Trigger.Request())

    def close(self) -> None:
        for publisher in self.publishers:
            self.peer.node.destroy_publisher(publisher)
        for subscription in self.subscriptions:
            self.peer.node.destroy_subscription(subscription)
        self.peer.node.destroy_client(self.asks)


@pytest.fixture
def robot(peer: Peer) -> Iterator[Robot]:
    robot = Robot(peer)
    yield robot
    robot.close()


def redness(message: Image) -> np.ndarray:
    """Return where the ball is seen: the share of red by column."""
    pixels = np.asarray(read_image(message, "camera").data).astype(int)
    red = np.clip(pixels[:, :, 0] - pixels[:, :, 1:].max(axis=2), 0, None)
    return np.asarray(red.sum(axis=0))


def test_in_lockstep_time_passes_by_cycles_only(robot: Robot, yaml: Path) -> None:
    with robot.sim(yaml, "pacing:=lockstep") as node:
        robot.begin()
        assert robot.time == 0.0
        assert "<robot" in robot.urdf[0].data

        # Commands first, or the word of them first: it goes on when all are there.
        robot.move(0.1)
        robot.done(0, commands=1)
        robot.until_time(0.04)
        robot.done(1, commands=2)
        robot.move(0.2)
        robot.done(1, commands=2)
        robot.answers()
        assert robot.time == pytest.approx(0.04)
        robot.gripper.publish(Float64(data=0.01))
        robot.until_time(0.08)
        robot.done(0)
        robot.until_count("cycle_done repeated", 2)
        for cycle in range(2, 12):
            robot.done(cycle, duration=0.0375)
            robot.until_time(0.08 + 0.0375 * (cycle - 1))
        assert robot.pose["base_yaw"] == pytest.approx(0.2, abs=0.01)
        assert robot.pose["gripper_left"] == pytest.approx(0.01, abs=0.002)
        robot.until(lambda: robot.clocks[-1] >= robot.time - 1e-6, "the clock")
        assert robot.clocks[-1] == pytest.approx(robot.time)
        time, pose = robot.time, robot.pose

        # No simulated robot moves on these, and none holds up the loop.
        robot.move(math.pi * 5)
        robot.done(12, commands=1)
        robot.until_time(time + 0.04)
        robot.gripper.publish(Float64(data=math.nan))
        robot.done(13, commands=1)
        robot.until_time(time + 0.08)
        bad = joint_trajectory(["base_yaw", "elbowx"], np.zeros((1, 2)), 0.02, 0.0)
        robot.arm.publish(bad)
        robot.done(14, commands=1)
        robot.until_time(time + 0.12)
        bad = joint_trajectory(["base_yaw"], np.zeros((1, 1)), 0.02, 0.0)
        bad.points[0].positions = packed([math.inf], "d")
        robot.arm.publish(bad)
        robot.done(15, commands=1)
        robot.until_time(time + 0.16)
        robot.until_count("arm refused", 3)
        robot.until_count("gripper refused", 1)
        node.wait_for("beyond its limits")
        robot.done(16, duration=math.nan)
        robot.done(17, duration=-1.0)
        robot.until_count("cycle_done refused", 2)
        assert robot.time == pytest.approx(time + 0.16)
        for joint, angle in robot.pose.items():
            assert angle == pytest.approx(pose[joint], abs=0.01), joint

        # An answer that gives a cycle no time is none: the cycle may still be answered.
        robot.done(18, duration=0.0)
        # Commands that were announced and never come.
        robot.done(18, commands=2)
        robot.until_time(time + 0.20)
        node.wait_for("2 were announced for cycle 18, 0 arrived within 1 s; going on without")

        # What was commanded apart from any cycle is not taken for a later cycle's command.
        robot.move(0.0)
        time = robot.time
        assert robot.call("reset").success
        robot.until(lambda: robot.time > time + CLOCK_GRAIN, "the home pose")
        robot.done(19, commands=1)
        robot.answers()
        assert robot.time == pytest.approx(time, abs=1e-5)
        assert robot.pose["base_yaw"] == pytest.approx(0.0, abs=1e-3)
        time = robot.time
        robot.move(0.1)
        robot.until_time(time + 0.04)


def ended(message: AudioChunk) -> float:
    return seconds(message.header.stamp) + len(message.data) / message.sample_rate


def test_in_lockstep_a_changed_scene_is_told_from_the_one_before_by_all_stamps(
    robot: Robot, yaml: Path
) -> None:
    with robot.sim(yaml, "pacing:=lockstep"):
        robot.begin()
        robot.done(0)
        robot.until_time(0.04)
        for service, request in (
            ("reset", None),
            ("mirror", SetBool.Request(data=True)),
            ("mirror", SetBool.Request(data=False)),
        ):
            before = robot.time
            assert robot.call(service, request).success
            robot.until(lambda t=before: robot.time > t + CLOCK_GRAIN, "later joint states")
            after = robot.time
            assert after == pytest.approx(before, abs=1e-5)
            robot.until_time(after)
            robot.until(lambda t=after: ended(robot.sounds[-1]) >= t - 1e-9, "the sound until then")
            assert not robot.sounds[-1].data, "no time has passed that could be heard"
        robot.done(1)
        robot.until_time(after + 0.04)
        robot.until(lambda: ended(robot.sounds[-1]) >= after + 0.04 - 1e-9, "the next sound")
        assert len(robot.sounds[-1].data) == 640
        assert seconds(robot.sounds[-1].header.stamp) == pytest.approx(after, abs=1e-9)


def loudest(message: AudioChunk) -> int:
    return max((abs(sample) for sample in message.data), default=0)


def test_in_lockstep_each_cycle_is_heard_whole(robot: Robot, yaml: Path) -> None:
    with robot.sim(yaml, "pacing:=lockstep", "motion:=jumps") as node:
        robot.begin()
        robot.until(lambda: robot.sounds, "sound")
        assert not robot.sounds[0].data and seconds(robot.sounds[0].header.stamp) == 0.0
        heard: dict[float, AudioChunk] = {}
        for cycle in range(21):
            if cycle == 20:
                assert robot.peer.set_parameters(robot.name, tone=False).successful
            robot.done(cycle)
            robot.until_time(0.04 * (cycle + 1))
            robot.until(
                lambda cycle=cycle: any(
                    seconds(m.header.stamp) == pytest.approx(0.04 * cycle) and m.data
                    for m in robot.sounds
                ),
                "its sound",
            )
        for message in robot.sounds:
            if message.data:
                # What is shown again is the same.
                again = heard.setdefault(round(seconds(message.header.stamp), 6), message)
                assert again == message
        assert list(heard) == pytest.approx([0.04 * cycle for cycle in range(21)])
        for cycle, message in enumerate(heard.values()):
            sound = read_audio(message, "ear")
            assert (sound.meta, len(sound.data)) == ({"rate": 16000}, 640)
            assert message.header.frame_id == "microphone"
            # The ball jumps every 0.8 s; at 0.8 s the tone was switched off.
            assert (loudest(message) > 8000) == (cycle < 5), cycle
            assert loudest(message) > 20
        assert node.process.poll() is None


def test_in_real_time_sound_has_no_gap(robot: Robot, yaml: Path) -> None:
    with robot.sim(yaml, "clock:=system", "motion:=jumps") as node:
        robot.begin(lockstep=False)
        for count in range(10, 60, 10):
            robot.until(lambda count=count: len(robot.sounds) > count, "sound")
            # A process that is held up for less than it takes to fall behind makes up for it.
            node.signal(signal.SIGSTOP)
            time.sleep(0.15)
            node.signal(signal.SIGCONT)
        robot.until(lambda: len(robot.sounds) > 60, "sound")
        heard = robot.peer.node.get_clock().now().nanoseconds * 1e-9
        sounds = robot.sounds[:60]
        ends = [seconds(m.header.stamp) + len(m.data) / m.sample_rate for m in sounds]
        begins = [seconds(m.header.stamp) for m in sounds]
        lost = np.array(begins[1:]) - np.array(ends[:-1])
        # A machine that is too busy for real time says so.
        breaks = int((np.abs(lost) > 1e-3).sum())
        robot.until(
            lambda: breaks <= int(robot.figures.get("fell behind real time", "0")) + 1,
            f"word of {breaks} breaks in the sound",
        )
        assert any(loudest(message) > 8000 for message in robot.sounds)
        assert abs(heard - ends[-1]) < 20.0


def test_in_real_time_sensors_come_at_their_rates_and_services_act(
    robot: Robot, yaml: Path
) -> None:
    with robot.sim(yaml, "clock:=system"):
        robot.begin(lockstep=False)
        robot.until(lambda: len(robot.images) >= 10 and len(robot.joints) >= 20, "sensors")
        stamps = np.array([seconds(message.header.stamp) for message in robot.joints])
        now = robot.peer.node.get_clock().now().nanoseconds * 1e-9
        assert (np.diff(stamps) > 0).all() and abs(now - stamps[-1]) < 20.0
        assert not robot.clocks
        assert set(robot.pose) >= {"base_yaw", "wrist_pitch", "gripper_left"}
        for message in robot.joints:
            assert len(message.name) == len(message.position) == len(message.velocity)

        info, picture = robot.infos[-1], robot.images[-1]
        assert (info.width, info.height) == (picture.width, picture.height) == (80, 60)
        assert picture.encoding == "rgb8"
        assert info.header.frame_id == picture.header.frame_id == "camera_optical_frame"
        focal = 40 / math.tan(math.radians(95.0) / 2)
        k = [focal, 0, 40, 0, focal, 30, 0, 0, 1]
        assert list(info.k) == pytest.approx(k)
        assert list(info.p) == pytest.approx([*k[:3], 0, *k[3:6], 0, *k[6:], 0])
        assert list(info.d) == [0.0] * 5 and list(info.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]

        # It follows commands: the arm turns left, so the ball appears further right.
        def shows(mirrored: bool = False) -> bool:
            """Whether the ball is seen where it is told to be; both change while the arm moves."""
            direction, red = robot.targets[-1].vector, redness(robot.images[-1])
            column = 40 + focal * direction.x / direction.z
            wanted = 79 - column if mirrored else column
            return bool(red.any()) and abs((red @ np.arange(80)) / red.sum() - wanted) < 3

        robot.move(0.4, after=0.1)
        robot.until(lambda: abs(robot.pose["base_yaw"] - 0.4) < 0.01, "the pose")
        robot.until(lambda: robot.targets[-1].vector.x > 0.2, "its direction")
        robot.until(shows, "the ball where its direction says")
        assert robot.call("mirror", SetBool.Request(data=True)).success
        robot.until(lambda: shows(mirrored=True), "the ball in the mirror")
        assert robot.targets[-1].vector.x > 0.2
        assert robot.call("mirror", SetBool.Request(data=False)).success
        assert robot.call("reset").success
        robot.until(lambda: abs(robot.pose["base_yaw"]) < 0.01, "the home pose")
        robot.until(lambda: abs(robot.targets[-1].vector.x) < 0.05, "its direction")
        robot.until(shows, "the ball in the middle")

        # The ball moves as it is told to, live; hidden, it has no direction.
        assert robot.peer.set_parameters(robot.name, motion="hidden").successful
        robot.until(lambda: not redness(robot.images[-1]).any(), "no ball")
        robot.until(lambda: robot.targets[-1].vector == Vector3(), "zeros for its direction")
        assert robot.peer.set_parameters(robot.name, motion="sines", seed=5).successful
        robot.until(lambda: abs(robot.targets[-1].vector.x) > 0.05, "a ball that moves")
        refused = robot.peer.set_parameters(robot.name, motion="circles")
        assert not refused.successful and "circles" in refused.reason

        # Inactive, it is silent.
        from lifecycle_msgs.msg import Transition

        assert robot.peer.transition(robot.name, Transition.TRANSITION_DEACTIVATE)
        inactive = robot.peer.node.get_clock().now().nanoseconds * 1e-9
        assert robot.call("reset").success
        assert robot.peer.state(robot.name) == "inactive"
        # What was sent before may still be heard.
        assert all(seconds(message.header.stamp) <= inactive for message in robot.joints)
        for steps in (
            [Transition.TRANSITION_ACTIVATE],
            [
                Transition.TRANSITION_DEACTIVATE,
                Transition.TRANSITION_CLEANUP,
                Transition.TRANSITION_CONFIGURE,
                Transition.TRANSITION_ACTIVATE,
            ],
        ):
            for step in steps:
                assert robot.peer.transition(robot.name, step)
            count = len(robot.images)
            robot.until(lambda count=count: len(robot.images) > count + 2, "images again")


def test_settings_that_do_not_go_together_are_refused(robot: Robot, yaml: Path) -> None:
    with robot.sim(yaml, "pacing:=lockstep", "clock:=system") as node:
        node.wait_for("must be 'sim' when pacing is 'lockstep'")
        assert node.end() == 2
