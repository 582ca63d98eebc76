"""The simulated car over ROS: alone, and with the brain that learns to drive it."""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import CycleDone, MotorStatus
from geometry_msgs.msg import Twist, TwistStamped, Vector3Stamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from ab_ros.nodes import qos
from ab_ros.nodes.messages import seconds

pytestmark = pytest.mark.ros

ALONE = """
/**:
  ros__parameters:
    robot: car
    motion: still
    car: {image_width: 80, image_height: 60}
    commands:
      wheels: {topic: cmd_vel, interface: twist}
      stamped: {topic: cmd_vel_stamped, interface: twist_stamped}
"""
_names = itertools.count()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("car_test")
    yield peer
    peer.close()


class Car:
    """A simulated car in a namespace of its own, and what is heard of it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.space = f"/car_{next(_names)}"
        make, topic = peer.node.create_publisher, self.space + "/{}"
        self.twist = make(Twist, topic.format("cmd_vel"), qos.COMMAND)
        self.stamped = make(TwistStamped, topic.format("cmd_vel_stamped"), qos.COMMAND)
        self.cycle_done = make(CycleDone, topic.format("cycle_done"), qos.REWARD)
        self.publishers = [self.twist, self.stamped, self.cycle_done]
        self.odometry: list[Odometry] = []
        self.joints: list[JointState] = []
        self.targets: list[tuple[float, float]] = []
        self.commands: list[Twist] = []
        self.urdf: list[String] = []
        self.motor = MotorStatus()
        listen = peer.node.create_subscription
        self.subscriptions = [
            listen(Odometry, topic.format("odom"), self.odometry.append, qos.COMMAND),
            listen(JointState, topic.format("joint_states"), self.joints.append, qos.COMMAND),
            listen(Vector3Stamped, topic.format("target/direction"), self._target, qos.COMMAND),
            listen(Twist, topic.format("cmd_vel"), self.commands.append, qos.COMMAND),
            listen(String, topic.format("robot_description"), self.urdf.append, qos.LATCHED),
            listen(MotorStatus, topic.format("motor/status"), self._motor, 10),
        ]

    def _target(self, message: Vector3Stamped) -> None:
        angle = math.atan2(message.vector.x, message.vector.z)
        stamp = seconds(message.header.stamp)
        if not self.targets or stamp > self.targets[-1][0]:
            self.targets.append((stamp, angle))

    def _motor(self, message: MotorStatus) -> None:
        self.motor = message

    def node(self, name: str, yaml: Path, *assignments: str) -> NodeProcess:
        parameters = [part for text in assignments for part in ("-p", text)]
        arguments = ["--ros-args", "-r", f"__ns:={self.space}", "--params-file", str(yaml)]
        return NodeProcess(Path("-m"), f"ab_ros.nodes.{name}", *arguments, *parameters)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return self.peer.until(condition, what)

    @property
    def time(self) -> float:
        return seconds(self.odometry[-1].header.stamp)

    @property
    def speed(self) -> tuple[float, float]:
        twist = self.odometry[-1].twist.twist
        return twist.linear.x, twist.angular.z

    def begin(self, lockstep: bool = True) -> None:
        heard = self.odometry, self.joints, self.targets, self.urdf
        self.until(lambda: all(heard), "sensors and a description")
        wanted = [p for p in self.publishers if lockstep or p is not self.cycle_done]
        self.until(lambda: all(p.get_subscription_count() for p in wanted), "subscriptions")

    def hands_off(self) -> None:
        """Give up commanding it: a motor node holds while anybody else might."""
        for publisher in (self.twist, self.stamped):
            self.publishers.remove(publisher)
            self.peer.node.destroy_publisher(publisher)

    def cycle(self, number: int, commands: int, duration: float = 0.1) -> None:
        """Let a cycle pass in lockstep."""
        end = self.time + duration
        done = CycleDone(run="run", cycle=number, commands=commands, duration=duration)
        self.cycle_done.publish(done)
        self.until(lambda: self.time > end - 1e-6, f"time {end}")
        assert self.time == pytest.approx(end, abs=1e-9)
        self.until(lambda: seconds(self.joints[-1].header.stamp) > end - 1e-6, "joint states")

    def close(self) -> None:
        for publisher in self.publishers:
            self.peer.node.destroy_publisher(publisher)
        for subscription in self.subscriptions:
            self.peer.node.destroy_subscription(subscription)


@pytest.fixture
def car(peer: Peer) -> Iterator[Car]:
    car = Car(peer)
    yield car
    car.close()


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "car.yaml"
    path.write_text(ALONE)
    return path


def twist(linear: float, angular: float = 0.0, left: float = 0.0) -> Twist:
    message = Twist()
    message.linear.x, message.linear.y, message.angular.z = linear, left, angular
    return message


def test_it_follows_twists_and_stops_where_they_fail_to_come(car: Car, yaml: Path) -> None:
    with car.node("sim", yaml, "pacing:=lockstep") as node:
        car.begin()
        assert "left_wheel_joint" in car.urdf[0].data
        for number in range(10):
            car.twist.publish(twist(0.5))
            car.cycle(number, commands=1)
        odometry = car.odometry[-1]
        assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_footprint")
        assert odometry.pose.pose.position.x == pytest.approx(0.5, abs=0.05)
        assert car.speed == pytest.approx((0.5, 0.0), abs=0.03)
        assert list(car.joints[-1].name) == ["left_wheel_joint", "right_wheel_joint"]
        assert list(car.joints[-1].velocity) == pytest.approx([0.5 / 0.07] * 2, rel=0.05)

        for number in range(10, 15):
            car.stamped.publish(TwistStamped(twist=twist(0.0, 1.0)))
            car.cycle(number, commands=1)
        assert car.speed == pytest.approx((0.0, 1.0), abs=0.05)
        turned = 2 * math.asin(car.odometry[-1].pose.pose.orientation.z)
        assert turned == pytest.approx(0.5, abs=0.12)  # it had to brake first

        # A car cannot go sideways: it goes on as it was told before, and so does the loop.
        car.twist.publish(twist(0.3, 0.0, left=0.3))
        car.cycle(15, commands=1)
        node.wait_for("linear_y is 0.3, but a car on two wheels cannot go that way")
        assert car.speed == pytest.approx((0.0, 1.0), abs=0.05)

        # Cycles that are refused bring no commands.
        for number in range(16, 24):
            car.cycle(number, commands=0)
        assert car.speed == pytest.approx((0.0, 0.0), abs=0.01)


def test_in_real_time_it_stops_when_nobody_commands_it_any_more(car: Car, yaml: Path) -> None:
    with car.node("sim", yaml):
        car.begin(lockstep=False)

        def driving() -> bool:
            car.twist.publish(twist(0.3, 0.5))
            return car.speed[0] > 0.25

        car.until(driving, "a car that drives")
        car.until(lambda: max(map(abs, car.speed)) < 0.01, "a car that stands")


def test_a_command_of_another_robot_is_refused(car: Car, tmp_path: Path) -> None:
    yaml = tmp_path / "wrong.yaml"
    yaml.write_text(ALONE.replace("interface: twist}", "interface: joint_trajectory}"))
    with car.node("sim", yaml) as node:
        node.wait_for("commands.wheels.interface: 'joint_trajectory' moves no car")
        assert node.end() == 2


def test_its_brain_learns_to_turn_to_the_target(car: Car, root: Path) -> None:
    """In lockstep, with the nodes and the file that users start."""
    car.hands_off()
    yaml = root / "config" / "diff_drive.yaml"
    size = ("car.image_width:=80", "car.image_height:=60")
    with ExitStack() as nodes:
        nodes.enter_context(car.node("sim", yaml, *size))
        nodes.enter_context(car.node("motor", yaml))
        nodes.enter_context(car.node("critic", yaml))
        waiting = (MotorStatus.ACTIVE, MotorStatus.HOLDING)
        car.until(
            lambda: car.odometry and car.targets and car.motor.state in waiting,
            "sim and motor node",
        )
        # Who learns in lockstep waits for rewards, and time for who learns.
        nodes.enter_context(car.node("brain", yaml, "learning:=true"))
        for end in range(1, 31):
            car.until(lambda end=end: car.targets[-1][0] >= end, f"{end} s of learning")
        times, angles = np.array(car.targets).T
        settled = np.mod(times, 1.4) > 1.0  # the ball jumps every 1.4 s

        def error(begin: float, end: float) -> float:
            chosen = angles[(times > begin) & (times <= end) & settled]
            return math.degrees(float(np.median(np.abs(chosen))))

        assert error(20, 30) < 0.5 * error(0, 6)
        moved = car.odometry[-1].pose.pose.position
        assert math.hypot(moved.x, moved.y) > 0.1


def test_it_stops_when_its_brain_is_killed(car: Car, root: Path) -> None:
    """In real time: the motor node ramps to zero, and then is quiet."""
    car.hands_off()
    yaml = root / "config" / "diff_drive.yaml"
    size = ("car.image_width:=80", "car.image_height:=60")
    with ExitStack() as nodes:
        nodes.enter_context(car.node("sim", yaml, "pacing:=realtime", *size))
        nodes.enter_context(car.node("motor", yaml, "pacing:=realtime"))
        brain = nodes.enter_context(
            car.node("brain", yaml, "pacing:=realtime", "wait_for_reward:=false")
        )
        car.until(lambda: len(car.commands) > 20, "commands")
        car.until(lambda: car.odometry and max(map(abs, car.speed)) > 0.02, "a car that moves")
        brain.signal(signal.SIGKILL)
        brain.end()
        car.until(lambda: car.motor.code == MotorStatus.STALE_SPIKES, "word of stale spikes")
        car.until(lambda: max(map(abs, car.speed)) < 0.005, "a car that stands")
        last = twist(0.0)
        car.until(lambda: car.commands[-1] == last, "the end of the ramp")
        count, now = len(car.commands), car.time
        car.until(lambda: car.time > now + 1.0, "time to pass")
        assert len(car.commands) == count
        assert max(map(abs, car.speed)) < 0.005
