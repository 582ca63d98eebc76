"""A brain node with many sensors, in a process of its own: what it says of them, and refuses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_process import Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import BrainStatus
from brain_rig import World
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, Imu, JointState, LaserScan

from ab_ros.nodes import qos
from ab_ros.nodes.messages import read_brain_contract, read_spike_raster, to_time
from ab_ros.nodes.robot_messages import image, joint_state

pytestmark = pytest.mark.ros

YAML = """
/**:
  ros__parameters:
    save_file: ""
    learning: false
    architecture:
      gamma: 20
      inputs:
        camera:
          kind: Image
          topic: camera
          view: {x: 8, width: 16, resize_width: 8, channel: rgb}
          max_rate: 5.0
          max_age: 5.0
          encoder: saliency
          options: {width: 8, height: 6}
        joints:
          kind: Proprioception
          topic: joint_states
          max_age: 5.0
          encoder: joint_population
          options: {joints: [yaw, grip], lower: -1.0, upper: 1.0, cells: 4}
        turn:
          kind: Scalar
          topic: imu
          message: sensor_msgs/msg/Imu
          fields: [angular_velocity.z]
          max_age: 5.0
          encoder: rate
          options: {max_rate: 200.0}
        scan:
          kind: Vector
          topic: scan
          message: sensor_msgs/msg/LaserScan
          fields: ["ranges[*]"]
          max_age: 5.0
          encoder: rate
          options: {values: 4, upper: 10.0, max_rate: 200.0}
      populations:
        turning: {size: 1, output: true}
        near: {size: 4, output: true}
      projections:
        turn: {source: turn, target: turning, pattern: one_to_one, weight: 60.0}
        scan: {source: scan, target: near, pattern: one_to_one, weight: 60.0}
"""


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("sensors_test")
    yield peer
    peer.close()


@pytest.fixture
def world(peer: Peer) -> Iterator[World]:
    world = World(peer)
    yield world
    world.close()


def test_a_brain_of_many_sensors(world: World, tmp_path: Path) -> None:
    yaml = tmp_path / "sensors.yaml"
    yaml.write_text(YAML)
    node = world.peer.node
    kinds = {"camera": Image, "joint_states": JointState, "imu": Imu, "scan": LaserScan}
    topics = {
        topic: node.create_publisher(kind, f"{world.space}/{topic}", qos.COMMAND)
        for topic, kind in kinds.items()
    }
    reports: list[dict[str, str]] = []

    def report(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{world.name}:"):
                values = {pair.key: pair.value for pair in status.values}
                reports.append({**values, "says": status.message})

    listening = node.create_subscription(DiagnosticArray, "/diagnostics", report, qos.STATUS)
    stamps = itertools.count()

    def publish(topic: str, message: Any) -> None:
        message.header.stamp = to_time(node.get_clock().now().nanoseconds * 1e-9)
        topics[topic].publish(message)

    def sense(turn: float, ranges: list[float], *names: str) -> None:
        imu = Imu()
        imu.angular_velocity.z = turn
        publish("imu", imu)
        publish("scan", LaserScan(ranges=ranges, range_min=0.1, range_max=10.0))
        publish("joint_states", joint_state(names, [0.1] * len(names), 0.0))
        publish("camera", image(np.full((24, 32, 3), next(stamps) % 9, np.uint8), 0.0))

    def spikes(output: str) -> list[int]:
        contract = read_brain_contract(world.contracts[-1])
        raster = read_spike_raster(world.spikes[-1], contract).rasters[output]
        return [int(n) for n in raster.sum(axis=0)]

    with world.brain(yaml):
        world.until(lambda: world.contracts, "the contract")
        for publisher in topics.values():
            world.until(publisher.get_subscription_count, "a subscription")
        scan = [float("inf"), 0.0, 0.0, 0.0]

        def turns(turn: float, count: range, *names: str) -> bool:
            sense(turn, scan, *names)
            return bool(world.spikes and world.spikes[-1].cycle and spikes("turning")[0] in count)

        world.until(lambda: turns(1.0, range(1, 99), "yaw"), "spikes of a robot that turns")
        # Nothing in range is far, which is a rate; a wall is near, which is none.
        world.until(lambda: spikes("near")[0] > 0 and spikes("near")[1:] == [0, 0, 0], "a wall")
        world.until(lambda: turns(0.0, range(1), "yaw"), "silence")

        def told() -> bool:
            sense(0.0, scan, "yaw")  # or it would become too old, too
            status = world.status
            complains = "joints: no fresh state of grip" in status.message
            return status.code == BrainStatus.RUNNING and complains

        world.until(told, "word of the gripper")
        world.until(
            lambda: told() and reports and "no fresh state of grip" in reports[-1]["says"],
            "diagnostics",
        )

        def whole() -> bool:
            sense(0.0, scan, "yaw", "grip")
            return "no fresh state of" not in world.status.message

        world.until(whole, "all joints")

        def counted() -> bool:
            sense(0.0, scan, "yaw")
            return bool(reports and int(reports[-1].get("camera throttled", 0)) > 10)

        world.until(counted, "images beyond the rate")
        report_ = reports[-1]
        for figure in (
            "camera rate (Hz)",
            "camera age (s)",
            "camera sample age (s)",
            "camera decode p50 (ms)",
            "scan decode p99 (ms)",
            "turn sample age (s)",
            "turn dropped",
            "joints missing joints",
        ):
            assert figure in report_, report_
        world.until(lambda: "camera throttled" in world.status.counter, "the counter")
    node.destroy_subscription(listening)
    for publisher in topics.values():
        node.destroy_publisher(publisher)


def test_a_message_whose_package_is_not_installed_is_told_with_its_line(
    world: World, tmp_path: Path
) -> None:
    yaml = tmp_path / "sensors.yaml"
    yaml.write_text(YAML.replace("sensor_msgs/msg/Imu", "radar_msgs/msg/RadarScan"))
    line = next(
        number for number, text in enumerate(yaml.read_text().splitlines(), 1) if "radar" in text
    )
    with world.brain(yaml) as node:
        assert node.end() == 2
    said = " ".join(node.errors + node.lines)
    assert f"sensors.yaml:{line}: architecture.inputs.turn.message: 'radar_msgs/msg/RadarS" in said
    assert "needs the ROS package 'radar_msgs', which has no messages here: install it" in said
