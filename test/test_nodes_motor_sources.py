"""Who may command the robot: a deadman switch, and other nodes on its topics and actions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from control_msgs.action import ParallelGripperCommand
from motor_files import ARM_ONLY, parameters
from motor_rig import JITTER, Rig, rigged
from rclpy.action import ActionClient
from ros_process import Peer
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from ab_ros.motion import Code, GroupSettings, State
from ab_ros.nodes.other_sources import OtherSources

pytestmark = pytest.mark.ros


@contextlib.contextmanager
def other_node(peer: Peer, name: str) -> Iterator[Any]:
    """A node that may do what the motor node does."""
    node = rclpy.create_node(name, context=peer.context)
    try:
        yield node
    finally:
        node.destroy_node()


def test_the_robot_stands_while_another_node_publishes_on_its_topic(rig: Rig) -> None:
    with other_node(rig.peer, "teleop") as teleop:
        teleop.create_publisher(JointTrajectory, "arm/cmd", 1)
        rig.reaches(State.HOLDING, Code.OTHER_SOURCE)
        # Its name may come later than the word that there is one.
        says = "node /teleop publishes on /arm/cmd, too: end it, or allow it by 'exclusive: false'"
        rig.peer.until(lambda: rig.status.last.message == says, says)
        status = rig.stopped(time.monotonic(), Code.OTHER_SOURCE)
        assert status.message == says
        assert set(status.limited) == {f"{joint}: other source" for joint in status.joint}
        refused = rig.answer(*rig.send())
        assert (refused.executed, refused.code) == (False, Code.OTHER_SOURCE)
        assert refused.reason == status.message
        # Whoever knows better may allow it, live.
        assert rig.peer.set_parameters("motor", exclusive=False).successful
        rig.executed(1)
        assert rig.peer.set_parameters("motor", exclusive=True).successful
        rig.reaches(State.HOLDING, Code.OTHER_SOURCE)
    rig.executed(1)


def test_the_robot_stands_while_another_node_uses_its_action(rig: Rig) -> None:
    with other_node(rig.peer, "moveit") as moveit:
        client = ActionClient(moveit, ParallelGripperCommand, "grip/cmd")
        status = rig.reaches(State.HOLDING, Code.OTHER_SOURCE)
        assert "node /moveit is a client of the action /grip/cmd, too" in status.message
        client.destroy()
    rig.executed(1)


class Switch:
    """A deadman switch: what it says is published again and again, unless it is silent."""

    def __init__(self, peer: Peer, topic: str) -> None:
        self.peer = peer
        self.pressed, self.silent = False, False
        self._publisher = peer.node.create_publisher(Bool, topic, 1)
        self._timer = peer.node.create_timer(0.05, self._say)

    def _say(self) -> None:
        if not self.silent:
            self._publisher.publish(Bool(data=self.pressed))

    def close(self) -> None:
        self.peer.node.destroy_timer(self._timer)
        self.peer.node.destroy_publisher(self._publisher)


def test_the_robot_moves_only_while_a_deadman_switch_is_pressed(
    motor_peer: Peer, tmp_path: Path
) -> None:
    path = parameters(tmp_path, **ARM_ONLY, more="    deadman_timeout: 1.0\n")
    switch = Switch(motor_peer, "/held/deadman")

    def stands(says: str) -> None:
        status = rig.reaches(State.HOLDING, Code.DEADMAN)
        assert says in status.message
        assert set(status.limited) == {"a: deadman", "b: deadman"}
        since = time.monotonic()
        rig.listen(0.5)
        assert rig.arm.moved_until() - since < JITTER
        refused = rig.answer(*rig.send())
        assert (refused.executed, refused.code) == (False, Code.DEADMAN)

    with rigged(motor_peer, path, "-r", "__ns:=/held", namespace="/held") as rig:
        rig.begin("held")
        rig.feeling = rig.beating = True
        rig.reaches(State.HOLDING, Code.DEADMAN)
        rig.known()
        refused = rig.ask()
        assert (refused.executed, refused.code) == (False, Code.DEADMAN)
        assert "not pressed" in refused.reason
        switch.pressed = True
        rig.executed(2)
        switch.pressed = False
        stands("the deadman switch is not pressed")
        switch.pressed = True
        rig.executed(2)
        # A switch whose cable is cut says nothing any more.
        switch.silent = True
        stands("the deadman switch was not heard for 1 s")
        switch.silent = False
        rig.executed(2)
    switch.close()


class Graph:
    """Stands for the node: what the ROS graph shows of others."""

    def __init__(self) -> None:
        self.publishers: list[tuple[str, str]] = [("motor", "/")]
        self.clients: dict[tuple[str, str], list[str]] = {("motor", "/"): ["/g/_action/send_goal"]}

    def get_name(self) -> str:
        return "motor"

    def get_namespace(self) -> str:
        return "/"

    def resolve_topic_name(self, topic: str) -> str:
        return f"/{topic}"

    resolve_service_name = resolve_topic_name

    def get_publishers_info_by_topic(self, _: str) -> list[Any]:
        return [SimpleNamespace(node_name=n, node_namespace=s) for n, s in self.publishers]

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        return list(self.clients)

    def get_client_names_and_types_by_node(self, name: str, space: str) -> list[tuple[str, Any]]:
        if name == "gone":
            raise RuntimeError("node not found")
        return [(service, []) for service in self.clients[name, space]]


def test_only_others_that_can_command_the_robot_are_named() -> None:
    graph = Graph()
    groups = {
        "arm": GroupSettings(("a",), "arm"),
        "grip": GroupSettings(("p",), "g", interface="gripper_action"),
    }
    others = OtherSources(graph, groups)  # type: ignore[arg-type]
    graph.clients["gone", "/"] = []
    graph.clients["viewer", "/"] = ["/other/_action/send_goal", "/g/_action/get_result"]
    assert others.look() == ""
    graph.clients["planner", "/desk"] = ["/g/_action/send_goal"]
    assert others.look().startswith("node /desk/planner is a client of the action /g, too: end it")
    # A node whose name has not been discovered yet may be any; one that stays so is a stranger.
    graph.publishers.append(("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_"))
    assert "planner" in others.look()
    assert others.look().startswith("an unknown node publishes on /arm, too (and 1 more)")
    graph.publishers.pop()
    del graph.clients["planner", "/desk"]
    assert others.look() == ""
