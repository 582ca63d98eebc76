"""The target node beside a simulator that knows where the ball is: both shall say the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import CycleDone
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped
from sensor_msgs.msg import CameraInfo, Image

from ab_ros.nodes import qos
from ab_ros.nodes.messages import seconds
from ab_ros.nodes.robot_messages import image

pytestmark = pytest.mark.ros

SIM = """
/**:
  ros__parameters:
    pacing: lockstep
    motion: sines
    world: {image_width: 160, image_height: 120}
    commands:
      arm: {topic: arm, interface: joint_trajectory}
"""
_names = itertools.count()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("target_test")
    yield peer
    peer.close()


@pytest.fixture
def space() -> str:
    return f"/target_{next(_names)}"


def start(node: str, space: str, *arguments: str) -> NodeProcess:
    return NodeProcess(
        Path("-m"), f"ab_ros.nodes.{node}", "--ros-args", "-r", f"__ns:={space}", *arguments
    )


def direction(message: Vector3Stamped) -> np.ndarray:
    return np.array([message.vector.x, message.vector.y, message.vector.z])


def listen(peer: Peer, kind: Any, topic: str, profile: Any = qos.COMMAND) -> list[Any]:
    heard: list[Any] = []
    peer.node.create_subscription(kind, topic, heard.append, profile)
    return heard


def test_it_sees_the_ball_where_the_simulator_has_it(
    peer: Peer, space: str, tmp_path: Path
) -> None:
    file = tmp_path / "sim.yaml"
    file.write_text(SIM)
    true = listen(peer, Vector3Stamped, f"{space}/target/direction")
    seen = listen(peer, Vector3Stamped, f"{space}/seen")
    done = peer.node.create_publisher(CycleDone, f"{space}/cycle_done", qos.REWARD)
    with (
        start("sim", space, "--params-file", str(file)),
        start("target", space, "-p", "target:=seen"),
    ):
        peer.until(lambda: true and seen and done.get_subscription_count(), "both")
        for cycle in range(10):
            done.publish(CycleDone(run="run", cycle=cycle, duration=0.2))
            # The simulator shows its sensors again while nothing moves.
            peer.until(
                lambda now=0.2 * (cycle + 1): seconds(seen[-1].header.stamp) > now - 1e-6,
                f"a look at cycle {cycle}",
            )
    known = {seconds(message.header.stamp): direction(message) for message in true}
    compared = [
        (known[seconds(message.header.stamp)], direction(message))
        for message in seen
        if seconds(message.header.stamp) in known
    ]
    assert len(compared) >= 10
    for told, found in compared:
        assert found == pytest.approx(told, abs=0.02)  # a degree
    assert np.ptp([told[0] for told, _ in compared]) > 0.1  # it did move


def test_what_is_not_there_has_no_direction_and_a_camera_needs_a_calibration(
    peer: Peer, space: str
) -> None:
    seen = listen(peer, Vector3Stamped, f"{space}/target/direction")
    health = listen(peer, DiagnosticArray, "/diagnostics")
    camera = peer.node.create_publisher(Image, f"{space}/camera/image_raw", qos.COMMAND)
    info = peer.node.create_publisher(CameraInfo, f"{space}/camera/camera_info", qos.LATCHED)
    grey = image(np.full((60, 80, 3), 90, np.uint8), 1.0, "camera_optical_frame")

    def says(text: str) -> bool:
        name = f"{space}/target"
        return any(
            text in status.message
            for message in health
            for status in message.status
            if status.hardware_id == name
        )

    with start("target", space):
        peer.until(lambda: says("no camera_info has come"), "a complaint")
        # Who does not guarantee delivery may not have been discovered yet.
        zeros = CameraInfo(width=80, height=60)
        peer.until(
            lambda: says("calibrate the camera") or info.publish(zeros), "a complaint about zeros"
        )
        matrix = np.array([70.0, 0.0, 40.0, 0.0, 70.0, 30.0, 0.0, 0.0, 1.0])
        calibrated = CameraInfo(width=80, height=60, k=matrix)

        def show() -> None:
            info.publish(calibrated)
            camera.publish(grey)

        peer.until(lambda: says("not seen") or show(), "no more complaint")
        peer.until(lambda: seen or show(), "a direction")
    assert direction(seen[-1]).tolist() == [0.0, 0.0, 0.0]
    assert seen[-1].header.frame_id == "camera_optical_frame"


def test_it_is_refused_without_any_calibration(space: str) -> None:
    with start("target", space, "-p", "camera_info:=''") as node:
        assert node.end() == 2
        assert any("camera_info or horizontal_fov" in line for line in node.errors)
