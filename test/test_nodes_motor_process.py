"""The motor node as a process: twins, signals, death and a new life."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.msg import MotorStatus
from motor_files import ARM_ONLY, PATIENT, STEP, parameters
from motor_rig import CYCLE, Rig, T, motor, rigged
from motor_robot import Topic
from rclpy.qos import ReliabilityPolicy
from ros_process import Peer
from trajectory_msgs.msg import JointTrajectory

from ab_ros.nodes import qos

pytestmark = pytest.mark.ros


def test_a_second_motor_node_of_one_name_does_not_become_active(rig: Rig, tmp_path: Path) -> None:
    rig.executed(1)
    rig.peer.until(
        lambda: len(rig.peer.node.get_publishers_info_by_topic("/arm/cmd")) == 1, "one publisher"
    )
    with motor(parameters(tmp_path)) as second:
        second.wait_for("another node named /motor is running, and this one does not")
        # On a busy computer it may learn of the first one late; it then stops, and stays so.
        rig.listen(0.7)
        before = set(rig.sent)
        rig.executed(3)
        cycles = sorted(set(rig.sent) - before)[1:]
        rig.peer.until(lambda: all(rig.answers(*cycle) for cycle in cycles), "answers")
        rig.listen(0.1)
        for run, number in cycles:
            assert len(rig.answers(run, number)) == 1
        second.signal(signal.SIGTERM)
        assert second.end() == 0


def test_on_a_signal_the_robot_is_stopped_first(motor_peer: Peer, tmp_path: Path) -> None:
    # One wheel needs 0.8 s to stop, the others 0.1 s: all of them reach zero.
    text = parameters(tmp_path).read_text()
    slow = "w: {velocity: 2.0, acceleration: 0.5}"
    text = text.replace("w: {velocity: 2.0, acceleration: 4.0}", slow)
    assert slow in text
    (tmp_path / "slow.yaml").write_text(text)
    signals = {"/terminated": signal.SIGTERM, "/interrupted": signal.SIGINT}
    with contextlib.ExitStack() as stack:
        rigs = {}
        for name in signals:
            node = rigged(motor_peer, tmp_path / "slow.yaml", "-r", f"__ns:={name}", namespace=name)
            rigs[name] = stack.enter_context(node)
        for rig in rigs.values():
            rig.begin("signal")
            rig.feeling = True
            rig.ready()
            rig.beating = True
        heard = {}
        for name, rig in rigs.items():
            motor_peer.until(lambda r=rig: (r.wheel.value or 0.0) > 0.3, "moving")
            heard[name] = len(rig.wheel.heard)
            rig.process.signal(signals[name])
        for rig in rigs.values():
            motor_peer.until(lambda r=rig: r.process.process.poll() is not None, "the end")
            assert rig.process.end() == 0
            assert not any("Traceback" in line for line in rig.process.errors)
            rig.beating = False
        for rig in rigs.values():
            motor_peer.until(
                lambda r=rig: r.drives_rest() and r.arm.moved_until() < time.monotonic(), "rest"
            )
        rig.listen(0.3)
        pictures = [rig.picture() for rig in rigs.values()]
        for name, rig in rigs.items():
            assert [values.value for values in rig.velocities.values()] == [0.0] * 4
            # Ramped down, not thrown down.
            assert len(rig.wheel.heard) > heard[name] + 3
        rig.listen(CYCLE)
        assert [rig.picture() for rig in rigs.values()] == pictures


def test_a_node_that_was_killed_leaves_the_robot_at_rest_and_starts_from_where_it_is(
    motor_peer: Peer, tmp_path: Path
) -> None:
    # It is not to stop before it is killed.
    path = parameters(tmp_path, more="    spike_timeout: 5.0\n" + PATIENT)
    arguments = ("-r", "__ns:=/reborn")
    with rigged(motor_peer, path, *arguments, namespace="/reborn") as rig:
        rig.begin("first life")
        rig.feeling = True
        rig.ready()
        rig.beating = True
        rig.executed(3)
        rig.peer.until(lambda: (rig.wheel.value or 0.0) > 0.3, "moving")
        rig.process.process.kill()
        rig.process.end()
        rig.beating = False
        # A trajectory ends at rest by itself; a forward controller gets nothing more.
        rig.listen(4 * CYCLE)
        rig.peer.until(lambda: rig.arm.moved_until() < time.monotonic() - CYCLE, "the arm's rest")
        assert rig.wheel.value > 0.0, "what drives on needs a controller with a time-out"
        # Meanwhile the arm has sunk.
        sunk = rig.where()["a"] - 1.0
        rig.bad["a"] = sunk
        heard = {name: len(track.heard) for name, track in rig.positions.items()}
        trajectories, told = len(rig.arm.heard), len(rig.status.heard)
        with motor(path, *arguments) as again:
            # It knows whom it commands, and who commands.
            rig.peer.until(
                lambda: len(rig.status.heard) > told and not rig.status.last.output, "its outputs"
            )
            rig.beating = True
            rig.peer.until(lambda: len(rig.arm.heard) > trajectories, "commands")
            # While the new node is being discovered, its commands of a few cycles may be lost.
            lost = 6.0 * STEP * T
            first = rig.arm.heard[trajectories][1].points[0]
            assert -0.05 < first.positions[0] - sunk < 0.05 + lost < 0.8
            for name, track in rig.positions.items():
                rig.peer.until(lambda t=track, n=heard[name]: len(t.heard) > n, name)
                before_and_after = track.values[heard[name] - 1 : heard[name] + 1]
                assert -0.05 < before_and_after[1] - before_and_after[0] < 0.1 + lost, name
            rig.bad.clear()
            rig.beating = False
            rig.peer.until(lambda: rig.wheel.value == 0.0, "the wheel's stop")
            again.signal(signal.SIGINT)
            assert again.end() == 0


def test_a_command_topic_has_the_quality_that_it_is_given_and_its_silence_is_told(
    motor_peer: Peer, tmp_path: Path
) -> None:
    override = "qos_overrides./quality/arm/cmd.publisher.reliability:=best_effort"
    path = parameters(tmp_path, **ARM_ONLY)
    status = Topic(motor_peer, MotorStatus, "/quality/motor/status")
    with motor(path, "-p", override, "-r", "__ns:=/quality"):

        def publishers() -> Any:
            return motor_peer.node.get_publishers_info_by_topic("/quality/arm/cmd")

        motor_peer.until(publishers, "the publisher")
        assert [p.qos_profile.reliability for p in publishers()] == [ReliabilityPolicy.BEST_EFFORT]
        says = "arm: nobody subscribes to /quality/arm/cmd"
        motor_peer.until(lambda: status.heard and status.last.output == [says], says)
        controller = motor_peer.node.create_subscription(
            JointTrajectory, "/quality/arm/cmd", lambda _: None, qos.own(qos.SENSOR)
        )
        motor_peer.until(lambda: not status.last.output, "a status without complaints")
        motor_peer.node.destroy_subscription(controller)
