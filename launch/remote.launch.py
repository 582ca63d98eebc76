"""A robot whose brain is elsewhere: the nodes brain, motor and critic.

``ros2 launch ab_ros remote.launch.py url:=http://127.0.0.1:8642 project:=arm``
"""

from __future__ import annotations

from launch_ros.actions import Node

from ab_ros.nodes import launching
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (launching.URL, launching.PROJECT, launching.USE_SIM_TIME)


def start(context: LaunchContext) -> list[Node]:
    """Return the nodes."""
    config = launching.given_file(context, "config")
    return launching.nodes(context, config, ARGUMENTS, names=launching.robot_nodes(config))


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the nodes."""
    return launching.description(
        start, config=str(launching.shared("config", "remote.yaml")), arguments=ARGUMENTS
    )
