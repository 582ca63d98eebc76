"""The simulated arm's gripper, told by an action where to go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")
pytest.importorskip("control_msgs.action", reason="needs control_msgs")

from action_msgs.msg import GoalStatus
from control_msgs.action import ParallelGripperCommand
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState

pytestmark = pytest.mark.ros

SIM = """
/**:
  ros__parameters:
    motion: still
    clock: system
    world: {image_width: 80, image_height: 60}
    commands:
      gripper: {topic: gripper_cmd, interface: gripper_action, joints: [gripper_left]}
"""


class Gripper:
    """A client of the action."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.client = ActionClient(peer.node, ParallelGripperCommand, "/simulated/gripper_cmd")
        # Made after the client: who is heard is active, and has discovered the client, too.
        self.states: list[JointState] = []
        peer.node.create_subscription(JointState, "/simulated/joint_states", self.states.append, 10)

    def ask(self, *position: float, name: str = "gripper_left") -> Any:
        """Send a goal; return its handle once it is answered."""
        command = JointState(name=[name], position=list(position))
        self.peer.until(self.client.server_is_ready, "the action")
        answer = self.client.send_goal_async(ParallelGripperCommand.Goal(command=command))
        self.peer.until(answer.done, "an answer")
        return answer.result()

    def ended(self, goal: Any) -> Any:
        """Wait for a goal's end; return status and result."""
        result = goal.get_result_async()
        self.peer.until(result.done, "a result")
        return result.result().status, result.result().result


@pytest.fixture(scope="module")
def gripper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gripper]:
    file = tmp_path_factory.mktemp("gripper") / "sim.yaml"
    file.write_text(SIM)
    peer = Peer("gripper_test")
    arguments = ["--ros-args", "-r", "__ns:=/simulated", "--params-file", str(file)]
    with NodeProcess(Path("-m"), "ab_ros.nodes.sim", *arguments):
        gripper = Gripper(peer)
        peer.until(lambda: gripper.states, "joint states")
        yield gripper
    peer.close()


def test_it_goes_where_it_is_told_and_says_when_it_is_there(gripper: Gripper) -> None:
    for position in (0.005, 0.035):
        goal = gripper.ask(position)
        assert goal.accepted
        status, result = gripper.ended(goal)
        assert status == GoalStatus.STATUS_SUCCEEDED
        assert result.reached_goal
        assert list(result.state.position) == pytest.approx([position], abs=0.003)


def test_a_newer_goal_takes_the_place_of_the_one_before(gripper: Gripper) -> None:
    first = gripper.ask(0.0)
    second = gripper.ask(0.04)
    assert gripper.ended(second)[0] == GoalStatus.STATUS_SUCCEEDED
    # Unless it had arrived already.
    assert gripper.ended(first)[0] in (GoalStatus.STATUS_ABORTED, GoalStatus.STATUS_SUCCEEDED)


def test_goals_that_it_cannot_follow_are_rejected(gripper: Gripper) -> None:
    assert not gripper.ask(0.5).accepted
    assert not gripper.ask(0.01, 0.02).accepted
    assert not gripper.ask(0.01, name="base_yaw").accepted
