"""Grippers that are commanded by actions, with real action servers: there, refusing, gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from control_msgs.action import GripperCommand, ParallelGripperCommand
from diagnostic_msgs.msg import DiagnosticArray
from motor_files import PATIENT, parameters
from motor_rig import CYCLE, Rig, rigged
from motor_robot import Gripper
from ros_process import NodeProcess, Peer

from ab_ros.motion import Code, State

pytestmark = pytest.mark.ros

SERVER = Path(__file__).with_name("gripper_process.py")
DEADBAND = 0.1
GROUPS = f"""
      arm: {{channels: [a, b], topic: arm/cmd, period: 0.02}}
      hand: {{channels: [g], topic: hand/cmd, interface: gripper, deadband: {DEADBAND}}}
      grip: {{channels: [p], topic: grip/cmd, interface: gripper_action, deadband: {DEADBAND}}}
      pinch: {{channels: [q], topic: pinch/cmd, interface: gripper_command, deadband: {DEADBAND}}}
"""


NAMES = ("grip", "pinch")


class Bench:
    """A motor node with grippers, whose action servers the tests make and take away."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.peer = rig, rig.peer
        self.figures: dict[str, str] = {}
        self.servers: tuple[Gripper, ...] = (rig.grip, rig.pinch)
        self._subscription = self.peer.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._diagnostics, 10
        )
        self.away()

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == "/motor":
                self.figures = {value.key: value.value for value in status.values}
                self.figures["health"] = status.message

    def counted(self, name: str) -> int:
        return int(self.figures.get(name, "0"))

    def away(self) -> None:
        """Take all action servers away."""
        for server in self.servers:
            server.close()
        self.servers = ()
        self.says(*(f"{name}: there is no action server /{name}/cmd" for name in NAMES))

    def serve(self, **options: Any) -> tuple[Gripper, Gripper]:
        """Make action servers, which the robot's grippers follow from where they are."""
        self.away()
        grip = Gripper(self.peer, ParallelGripperCommand, "grip/cmd", **options)
        pinch = Gripper(self.peer, GripperCommand, "pinch/cmd", **options)
        self.rig.grip, self.rig.pinch = grip, pinch
        self.servers = (grip, pinch)
        for joint, server in zip("pq", self.servers, strict=True):
            server.start = self.rig.where()[joint]
            self.rig.positions[joint] = server
        self.peer.until(lambda: not self.rig.status.last.output, "action servers")
        return self.servers

    def says(self, *sentences: str) -> None:
        """Wait until the status tells of outputs what it shall."""
        self.peer.until(
            lambda: set(sentences) <= set(self.rig.status.last.output), f"{sentences} in the status"
        )


@pytest.fixture(scope="module")
def bench(motor_peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = parameters(
        tmp_path_factory.mktemp("grippers"),
        groups=GROUPS,
        moved=("a", "g", "p", "q"),
        limited=("a", "b", "g", "p", "q"),
        # A gripper that does not get its goals does not follow.
        more="    following_error: 0.0\n    drift_tolerance: 10.0\n" + PATIENT,
    )
    with rigged(motor_peer, path) as rig:
        yield Bench(rig)


@pytest.fixture
def moving(bench: Bench) -> Rig:
    return bench.rig


def test_goals_come_on_change_and_replace_those_before(bench: Bench, rig: Rig) -> None:
    # A stop in between would be told, too, however near it is.
    assert rig.peer.set_parameters("motor", spike_timeout=2.0).successful
    rig.executed(1)
    servers, told = bench.serve(lasting=True), len(rig.hand.heard)
    rig.peer.until(lambda: all(len(server.heard) > 4 for server in servers), "goals")
    rig.rests()
    assert rig.peer.set_parameters("motor", spike_timeout=0.0).successful
    for name, server in zip(NAMES, servers, strict=True):
        steps = np.diff(server.values)
        # A stop is told even if it is near.
        assert np.all(steps[:-1] > DEADBAND), name
        joint = rig.status.last.joint.index("p" if name == "grip" else "q")
        assert server.value == pytest.approx(rig.status.last.commanded[joint], abs=1e-6)
        assert len(server.asked) == len(server.heard)
        rig.peer.until(
            lambda n=name, s=server: bench.counted(f"{n} goals aborted") >= len(s.heard) - 1,
            "the ends of goals",
        )
    assert np.all(np.diff(rig.hand.values[told:])[:-1] > DEADBAND)


def test_a_halt_holds_a_gripper_where_it_is_measured(bench: Bench, rig: Rig) -> None:
    servers = bench.serve(lasting=True)
    rig.peer.until(lambda: all(server.heard for server in servers), "goals")
    at = {joint: rig.where()[joint] - 0.2 for joint in "pq"}
    rig.bad.update(at)
    rig.measures(**at)
    assert rig.trigger("halt").success
    for joint, server in zip("pq", servers, strict=True):
        rig.peer.until(lambda at=at[joint], s=server: s.value == pytest.approx(at, abs=0.01), joint)
    rig.stopped(time.monotonic(), Code.HALTED)
    for joint, server in zip("pq", servers, strict=True):
        assert server.value == pytest.approx(at[joint], abs=0.01)
    rig.bad.clear()
    assert rig.trigger("resume").success


def test_a_stop_that_the_server_rejects_cancels_what_runs(bench: Bench, rig: Rig) -> None:
    servers = bench.serve(lasting=True)
    rig.peer.until(lambda: all(server.heard for server in servers), "goals")
    at = {joint: rig.where()[joint] - 0.2 for joint in "pq"}
    rig.bad.update(at)
    rig.measures(**at)
    for server in servers:
        server.accepting = False
    assert rig.trigger("halt").success
    rig.peer.until(lambda: all(server.cancelled for server in servers), "the cancellation")
    rig.bad.clear()
    assert rig.trigger("resume").success


def test_a_server_that_rejects_goals_is_asked_again_but_not_all_the_time(
    bench: Bench, rig: Rig
) -> None:
    servers = bench.serve()
    rig.peer.until(lambda: all(server.heard for server in servers), "goals")
    rejected = [bench.counted(f"{name} goals rejected") for name in NAMES]
    for server in servers:
        server.accepting = False
    bench.says(*(f"{n}: the action server /{n}/cmd has rejected the last goal" for n in NAMES))
    begin, asked = time.monotonic(), [len(server.asked) for server in servers]
    # The others go on, and the robot with them.
    rig.executed(8)
    passed = time.monotonic() - begin
    for before, server in zip(asked, servers, strict=True):
        # Requests of before may still have been under way.
        assert len(server.asked) - before <= passed + 2.0
    rig.process.wait_for("grip: the action server /grip/cmd has rejected the last goal")
    bench.peer.until(
        lambda: all(
            bench.counted(f"{name} goals rejected") > before
            for name, before in zip(NAMES, rejected, strict=True)
        ),
        "the count",
    )
    for server in servers:
        server.accepting = True
    rig.peer.until(lambda: not rig.status.last.output, "goals that are accepted")


def test_a_server_that_is_not_there_is_told_of_and_found_when_it_comes(
    bench: Bench, rig: Rig
) -> None:
    bench.away()
    rig.executed(3)
    rig.reaches(State.ACTIVE)
    bench.peer.until(lambda: "no action server" in bench.figures.get("health", ""), "its health")
    servers = bench.serve()
    rig.peer.until(lambda: all(server.heard for server in servers), "goals")


def test_a_server_that_dies_does_not_keep_the_others_from_moving(bench: Bench, rig: Rig) -> None:
    bench.away()

    def served(server: NodeProcess) -> None:
        rig.peer.until(lambda: any("goal" in line for line in server.lines), "a goal")

    with NodeProcess(SERVER, "grip/cmd") as server:
        served(server)
        server.process.kill()
        server.process.wait(10.0)
        bench.says("grip: the action server /grip/cmd does not answer")
        rig.executed(3)
    with NodeProcess(SERVER, "grip/cmd") as server:
        served(server)
        rig.peer.until(
            lambda: not any(text.startswith("grip") for text in rig.status.last.output),
            "goals that get through",
        )


def test_a_node_that_ends_leaves_its_grippers_where_they_are_measured(
    motor_peer: Peer, tmp_path: Path
) -> None:
    path = parameters(tmp_path, groups=GROUPS, moved=("p", "q"), limited=("a", "b", "g", "p", "q"))
    with rigged(motor_peer, path, "-r", "__ns:=/ends", namespace="/ends") as rig:
        rig.begin("ends")
        rig.feeling = True
        rig.ready()
        rig.beating = True
        rig.peer.until(lambda: rig.grip.heard and rig.pinch.heard, "goals")
        at = {joint: rig.where()[joint] - 0.2 for joint in "pq"}
        rig.bad.update(at)
        rig.measures(**at)
        rig.process.signal(signal.SIGINT)
        rig.peer.until(lambda: rig.process.process.poll() is not None, "the end")
        for joint, server in zip("pq", (rig.grip, rig.pinch), strict=True):
            rig.peer.until(
                lambda at=at[joint], s=server: s.value == pytest.approx(at, abs=0.1), joint
            )
        rig.listen(CYCLE)
        for joint, server in zip("pq", (rig.grip, rig.pinch), strict=True):
            assert server.value == pytest.approx(at[joint], abs=0.1)
