"""A robot, simulated or not, on which a brain is trained in episodes.

``ros2 launch ab_ros training.launch.py config:=my_robot.yaml training:=my_training.yaml`` starts
the node episodes, and the nodes sim, motor and target where the parameter file has a part for them.
"""

from __future__ import annotations

from launch_ros.actions import Node

from ab_ros.nodes import launching
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (launching.TRAINING, launching.USE_SIM_TIME)


def start(context: LaunchContext) -> list[Node]:
    """Return the nodes."""
    config = launching.given_file(context, "config")
    return launching.nodes(context, config, ARGUMENTS, names=launching.training_nodes(config))


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the nodes."""
    return launching.description(
        start, config=str(launching.shared("config", "episodes.yaml")), arguments=ARGUMENTS
    )
