"""``ab_ros check --graph`` beside real publishers and subscriptions, right and wrong ones."""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_process import DOMAIN, PATIENCE, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64, String
from test_check import Robot
from trajectory_msgs.msg import JointTrajectory

from ab_ros.cli import main
from ab_ros.cli.check import listing
from ab_ros.nodes import qos
from ab_ros.nodes.graph_check import Sensor, look_at_graph
from ab_ros.nodes.graph_ears import judge_deadman
from ab_ros.nodes.remarks import Level, Remarks
from ab_ros.nodes.robot_messages import image, joint_state

pytestmark = pytest.mark.ros

_spaces = itertools.count()
PATIENT = 5.0  # s
LONG_ENOUGH = 10.0  # s, to say that something is not there
PIXELS = np.zeros((6, 8, 3), np.uint8)


class Driver:
    """The drivers of a robot, in a namespace of their own, which publish 50 times a second."""

    def __init__(self, peer: Peer, robot: Robot) -> None:
        self.peer, self.robot = peer, robot
        self.space = f"/check_{next(_spaces)}"
        text = robot.config.read_text()
        for kind in ("brain", "motor", "critic"):
            text = text.replace(f"/**/{kind}:", f"{self.space}/{kind}:")
        # A busy machine is no failure.
        text = text.replace("topic: camera/image,", f"topic: camera/image, max_age: {PATIENT},")
        text = text.replace(
            "topic: joint_states", f"topic: joint_states\n          max_age: {PATIENT}"
        )
        text = text.replace("following_error:", f"state_timeout: {PATIENT}\n    following_error:")
        robot.config.write_text(text)
        self._made: list[tuple[Any, Callable[[Any], Any]]] = []
        self._speak: list[Callable[[], None]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def now(self) -> float:
        return float(self.peer.node.get_clock().now().nanoseconds) * 1e-9

    def publish(
        self, kind: type[Any], topic: str, make: Callable[[], Any], profile: QoSProfile = qos.SENSOR
    ) -> None:
        name = topic if topic.startswith("/") else f"{self.space}/{topic}"
        publisher = self.peer.node.create_publisher(kind, name, qos.own(profile))
        self._made.append((publisher, self.peer.node.destroy_publisher))
        self._speak.append(lambda: publisher.publish(make()))

    def listen(self, kind: type[Any], topic: str, profile: QoSProfile = qos.COMMAND) -> None:
        subscription = self.peer.node.create_subscription(
            kind, f"{self.space}/{topic}", lambda _: None, qos.own(profile)
        )
        self._made.append((subscription, self.peer.node.destroy_subscription))

    def camera(self) -> None:
        self.publish(Image, "camera/image", lambda: image(PIXELS, self.now(), "camera"))

    def joints(self, *names: str, age: float = 0.0, position: float = 0.0) -> None:
        names = names or ("yaw", "pitch")
        values = np.full(len(names), position)
        self.publish(
            JointState,
            "joint_states",
            lambda: joint_state(names, values, self.now() - age),
            qos.COMMAND,
        )

    def controller(self) -> None:
        self.listen(JointTrajectory, "arm_controller/joint_trajectory")

    def look(self, timeout: float = PATIENCE) -> tuple[dict[str, Sensor], Remarks]:
        """Check the graph while the drivers publish; return the sensors and all remarks."""
        self._thread.start()
        checked, _ = self.robot.check()
        remarks = Remarks()
        try:
            seen = look_at_graph(checked, timeout, [], remarks)
        finally:
            self._end.set()
            self._thread.join()
        return {sensor.topic.removeprefix(f"{self.space}/"): sensor for sensor in seen.sensors}, (
            remarks
        )

    def _run(self) -> None:
        while not self._end.wait(0.02):
            for speak in self._speak:
                speak()

    def close(self) -> None:
        for made, destroy in self._made:
            destroy(made)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("drivers")
    yield peer
    peer.close()


@pytest.fixture
def driver(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    driver = Driver(peer, Robot(tmp_path))
    yield driver
    driver.close()


def errors(remarks: Remarks, topic: str = "") -> list[str]:
    return [r.text for r in remarks if r.level is Level.ERROR and r.where.endswith(topic)]


def expect(remarks: Remarks, topic: str, pattern: str) -> None:
    """There is exactly one error, about a topic."""
    assert len(errors(remarks)) == 1, listing(remarks, colour=False)
    (text,) = errors(remarks, topic)
    assert re.search(pattern, text), text


def test_a_robot_that_is_ready_has_no_errors(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.controller()
    sensors, remarks = driver.look()
    assert errors(remarks) == []
    assert set(sensors) == {"camera/image", "joint_states"}
    for sensor in sensors.values():
        assert sensor.messages >= 3
        assert sensor.rate is not None
        assert sensor.rate > 0.0
        assert sensor.age is not None
        assert -0.1 < sensor.age < PATIENT
    assert {sensor.max_age for sensor in sensors.values()} == {PATIENT}
    assert sensors["camera/image"].name == "camera"


def test_missing_topics_are_told_with_what_might_have_been_meant(driver: Driver) -> None:
    driver.publish(Image, "camera/picture", lambda: image(PIXELS, driver.now(), "camera"))
    driver.joints()
    driver.controller()
    _, remarks = driver.look(LONG_ENOUGH)
    expect(remarks, "camera/image", rf"nobody publishes it; .*{driver.space}/camera/picture")


def test_another_type_is_told(driver: Driver) -> None:
    driver.publish(CompressedImage, "camera/image", CompressedImage)
    driver.joints()
    driver.controller()
    _, remarks = driver.look(LONG_ENOUGH)
    expect(remarks, "camera/image", "carries sensor_msgs/msg/CompressedImage, not sensor_msgs/msg/")


def test_best_effort_does_not_reach_who_asks_for_every_message(driver: Driver) -> None:
    driver.robot.change(
        driver.robot.config,
        '    save_file: ""\n',
        f'    save_file: ""\n    qos_overrides.{driver.space}/camera/image.subscription.'
        "reliability: reliable\n",
    )
    driver.camera()
    driver.joints()
    driver.controller()
    _, remarks = driver.look()
    expect(
        remarks,
        "camera/image",
        "/drivers publishes best_effort, this node asks for reliable; set qos_overrides.*"
        "subscription.reliability of the brain node to best_effort",
    )


def test_a_description_that_is_not_kept_does_not_reach_the_motor_node(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.controller()
    driver.publish(String, "robot_description", String, qos.COMMAND)
    _, remarks = driver.look()
    expect(remarks, "robot_description", "publishes volatile, this node asks for transient_local")


def test_a_controller_that_asks_for_what_commands_do_not_promise(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    asks = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    driver.listen(JointTrajectory, "arm_controller/joint_trajectory", asks)
    _, remarks = driver.look()
    expect(
        remarks,
        "joint_trajectory",
        "this node publishes volatile, /drivers asks for transient_local; set qos_overrides.*"
        "publisher.durability of the motor node to transient_local",
    )


def test_nobody_listens_to_commands(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.listen(JointTrajectory, "other_controller/joint_trajectory")
    _, remarks = driver.look(LONG_ENOUGH)
    expect(remarks, "joint_trajectory", "nobody listens.*/other_controller/joint_trajectory")


def test_a_controller_that_takes_something_else(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.listen(Float64, "arm_controller/joint_trajectory")
    _, remarks = driver.look()
    expect(remarks, "joint_trajectory", "takes std_msgs/msg/Float64, not trajectory_msgs/msg/Joint")


def test_somebody_else_who_commands_the_robot(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.controller()
    driver.publish(JointTrajectory, "arm_controller/joint_trajectory", JointTrajectory, qos.COMMAND)
    _, remarks = driver.look()
    expect(remarks, "joint_trajectory", "/drivers publishes commands, too")


@pytest.mark.parametrize(
    ("names", "age", "position", "said"),
    [
        (("yaw",), 0.0, 0.0, r"lacks joint 'pitch' \(for group 'arm' .* it has yaw"),
        ((), 0.0, math.nan, "joint 'yaw' is nan"),
        ((), 60.0, 0.0, r"samples are 6\d\.\d+ s old when they come, more than 5 s"),
        ((), -60.0, 0.0, r"stamps lie [56]\d\.\d+ s ahead of this node's clock"),
    ],
)
def test_joint_states_that_cannot_be_used(
    driver: Driver, names: tuple[str, ...], age: float, position: float, said: str
) -> None:
    driver.camera()
    driver.joints(*names, age=age, position=position)
    driver.controller()
    _, remarks = driver.look()
    assert any(re.search(said, text) for text in errors(remarks, "joint_states")), errors(remarks)
    assert errors(remarks, "camera/image") == []


def ready(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.controller()


def test_a_deadman_switch_that_is_heard_too_seldom(driver: Driver) -> None:
    setting = "deadman_timeout: 0.01\n    following_error:"
    driver.robot.change(driver.robot.config, "following_error:", setting)
    ready(driver)
    driver.publish(Bool, "deadman", lambda: Bool(data=True))
    sensors, remarks = driver.look()
    assert sensors["deadman"].max_age == 0.01
    expect(remarks, "/deadman", "Hz: it is heard every .* is 0.01 s: the robot would stop between")


@pytest.mark.parametrize(
    ("rate", "level", "says"),
    [
        (4.0, Level.ERROR, "0.2 s: the robot would stop between two messages; give 10 Hz or more"),
        (5.0, Level.ERROR, "the robot would stop between two messages"),
        (6.0, Level.WARNING, "one message that is late or lost stops the robot; give 10 Hz"),
        (10.0, Level.OK, "10.0 Hz: it is heard every 0.1 s"),
    ],
)
def test_the_rate_of_a_deadman_switch_is_held_against_its_timeout(
    rate: float, level: Level, says: str
) -> None:
    found, said = judge_deadman(rate, 0.2)
    assert found is level and says in said


def test_a_deadman_switch_that_is_heard_often_enough(driver: Driver) -> None:
    setting = "deadman_timeout: 10.0\n    following_error:"
    driver.robot.change(driver.robot.config, "following_error:", setting)
    ready(driver)
    driver.publish(Bool, "deadman", lambda: Bool(data=True))
    _, remarks = driver.look()
    (remark,) = [r for r in remarks if r.where.endswith("/deadman")]
    assert (remark.level, remark.text) == (Level.OK, "std_msgs/msg/Bool comes")


def test_a_joint_that_two_publishers_tell_of(driver: Driver) -> None:
    ready(driver)
    driver.joints("pitch", position=0.25)
    _, remarks = driver.look()
    (remark,) = [r for r in remarks if r.where.endswith("/joint_states")]
    assert remark.level is Level.WARNING
    assert re.match(r"joint 'pitch' is told by 2 publishers, as 0(\.25)? and 0", remark.text)
    assert remark.text.endswith("stop all but its driver") and "yaw" not in remark.text


def test_joints_that_come_in_parts_have_one_source_each(driver: Driver) -> None:
    driver.camera()
    driver.controller()
    driver.joints("pitch")
    driver.joints("yaw")
    _, remarks = driver.look()
    (remark,) = [r for r in remarks if r.where.endswith("/joint_states")]
    assert (remark.level, remark.text) == (Level.OK, "sensor_msgs/msg/JointState comes")


def test_samples_without_a_stamp(driver: Driver) -> None:
    driver.publish(Image, "camera/image", lambda: image(PIXELS, 0.0, "camera"))
    driver.joints()
    driver.controller()
    _, remarks = driver.look()
    expect(remarks, "camera/image", "have the stamp 0")


def test_no_clock_for_nodes_that_go_by_it(driver: Driver) -> None:
    text = driver.robot.config.read_text()
    driver.robot.config.write_text(f"{text}\n/**:\n  ros__parameters: {{use_sim_time: true}}\n")
    driver.camera()
    driver.joints()
    driver.controller()
    _, remarks = driver.look()
    expect(remarks, "/clock", "nobody publishes it, but brain, motor, critic go by it")


def test_a_clock_that_nobody_goes_by(driver: Driver) -> None:
    driver.camera()
    driver.joints()
    driver.controller()
    driver.publish(Clock, "/clock", Clock)
    _, remarks = driver.look()
    assert errors(remarks) == []
    assert any(r.where == "/clock" and r.level is Level.WARNING for r in remarks)


def test_two_nodes_of_one_name(driver: Driver, peer: Peer) -> None:
    import rclpy

    driver.camera()
    driver.joints()
    driver.controller()
    twins = [
        rclpy.create_node("brain", context=peer.context, namespace=driver.space) for _ in range(2)
    ]
    try:
        _, remarks = driver.look()
    finally:
        for twin in twins:
            twin.destroy_node()
    expect(remarks, "/brain", "2 nodes of this name run")


def test_remapping_and_the_table_of_the_command(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.publish(Image, "eye", lambda: image(PIXELS, driver.now(), "camera"))
    driver.joints()
    driver.controller()
    driver._thread.start()
    files = ["check", str(driver.robot.config), "--urdf", str(driver.robot.urdf), "--graph"]
    remap = ["--ros-args", "-r", "camera/image:=eye"]
    try:
        assert main([*files, "--timeout", str(PATIENCE), *remap]) == 0
        said = capsys.readouterr().out
        assert main([*files, "--timeout", "0.1"]) == 1
    finally:
        driver._end.set()
        driver._thread.join()
    assert re.search(rf"camera +{driver.space}/eye +\d+ +[\d.]+ +-?[\d.]+ +5000.0", said), said
    assert "nobody publishes it" in capsys.readouterr().out


def test_ros_arguments_that_ros_refuses(driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", str(driver.robot.config), "--graph", "--ros-args", "--nonsense"]
    assert main(arguments) == 2
    assert "--nonsense" in capsys.readouterr().err
