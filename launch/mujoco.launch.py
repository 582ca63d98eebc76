"""A robot that MuJoCo simulates, with a brain: the nodes sim, brain, motor and critic.

``ros2 launch ab_ros mujoco.launch.py robot:=arm`` starts a whole demo, and
``ros2 launch ab_ros mujoco.launch.py config:=my_robot.yaml`` tries a robot's own file: where that
says nothing about a simulation, the simulated robot listens where a real one would.
"""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument
from launch_ros.actions import Node

from ab_ros.nodes import launching
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (launching.SEED, launching.PACING, launching.BRAIN)
NODES = ("sim", *launching.NODES)
# By robot: the file of its demo, and that of a simulation which stands in for a real one.
ROBOTS = {"arm": ("demo.yaml", "mujoco.yaml"), "car": ("diff_drive.yaml", "diff_drive.yaml")}


def start(context: LaunchContext) -> list[Node]:
    """Return the nodes."""
    demo, stand_in = ROBOTS[launching.given(context, "robot")]
    config = launching.shared("config", demo)
    if launching.given(context, "config"):
        config = launching.given_file(context, "config")
    files = {}
    if not launching.says_of(config, "sim"):
        files["sim"] = launching.shared("config", stand_in)
    return launching.nodes(context, config, ARGUMENTS, names=NODES, files=files)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the nodes."""
    return launching.description(
        start,
        config="",
        says="Parameter file of the nodes; empty: that of the robot's demo.",
        arguments=ARGUMENTS,
        others=[
            DeclareLaunchArgument(
                "robot",
                default_value="arm",
                choices=list(ROBOTS),
                description="Which robot is simulated.",
            )
        ],
    )
