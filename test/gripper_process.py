"""An action server of a gripper for tests to kill: it prints the goals that it takes."""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from control_msgs.action import ParallelGripperCommand
from rclpy.action import ActionServer


def execute(goal: Any) -> Any:
    print("goal", goal.request.command.position[0], flush=True)
    goal.succeed()
    return ParallelGripperCommand.Result(reached_goal=True)


def main(action: str) -> None:
    """Serve until killed."""
    rclpy.init(args=[])
    node = rclpy.create_node("gripper_driver")
    _server = ActionServer(node, ParallelGripperCommand, action, execute)
    rclpy.spin(node)


if __name__ == "__main__":
    main(sys.argv[1])
