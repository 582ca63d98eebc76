"""A physical robot with a brain: the nodes brain, motor and critic with the robot's own file.

``ros2 launch ab_ros robot.launch.py config:=my_robot.yaml``
"""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument
from launch_ros.actions import Node

from ab_ros.nodes import launching
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (launching.USE_SIM_TIME, launching.BRAIN)


def start(context: LaunchContext) -> list[Node]:
    """Return the nodes; that of the robot's description only where a URDF is given."""
    config = launching.given_file(context, "config")
    started = launching.nodes(context, config, ARGUMENTS, names=launching.robot_nodes(config))
    if launching.given(context, "urdf"):
        urdf = launching.given_file(context, "urdf").read_text(encoding="utf-8")
        sim_time = bool(launching.USE_SIM_TIME.value(context))
        publisher = launching.robot_state_publisher(context, urdf, use_sim_time=sim_time)
        started.insert(0, publisher)
    return started


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the nodes."""
    return launching.description(
        start,
        config=str(launching.shared("config", "arm.yaml")),
        arguments=ARGUMENTS,
        others=[
            DeclareLaunchArgument(
                "urdf",
                default_value="",
                description="URDF file for a robot_state_publisher; empty: the robot has its own.",
            )
        ],
    )
