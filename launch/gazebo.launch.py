"""An arm with a brain in Gazebo: its world, bridge and controllers, then brain, motor and critic.

``ros2 launch ab_ros gazebo.launch.py`` starts the arm that comes with ab_ros; for another robot
give its ``urdf``, ``extension``, ``controllers`` and ``config``.

Each step begins when the one before is done: Gazebo, the robot in it, its joint states, its
controllers, its brain.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

import ab_ros
from ab_ros.config import load_yaml, node_parameters
from ab_ros.environments.gazebo import extended_urdf
from ab_ros.nodes import launching
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (launching.BRAIN,)
BROADCASTER = "joint_state_broadcaster"
# ROS packages, and the Debian packages that bring them.
PACKAGES = {
    "ros_gz_sim": "ros-gz",
    "ros_gz_bridge": "ros-gz",
    "gz_ros2_control": "gz-ros2-control",
    "controller_manager": "ros2-control",
    BROADCASTER: "ros2-controllers",
    "robot_state_publisher": "robot-state-publisher",
}
ARM = Path(ab_ros.__file__).with_name("environments") / "models" / "arm.urdf"
FILES = {
    "urdf": (ARM, "URDF file of the robot."),
    "extension": ("arm.xml", "What Gazebo needs besides: ros2_control, sensors; empty: nothing."),
    "world": ("world.sdf", "World of Gazebo."),
    "bridge": ("bridge.yaml", "What passes between Gazebo and ROS."),
    "controllers": ("controllers.yaml", "The controllers of ros2_control."),
}


def start(context: LaunchContext) -> list[Any]:
    """Return Gazebo and the robot's description, and what follows upon them."""
    launching.need(PACKAGES)
    config = launching.given_file(context, "config")
    controllers = launching.given_file(context, "controllers")
    spawn_robot = _node(
        context, "ros_gz_sim", "create", ["-topic", "robot_description", "-name", "robot"]
    )
    show_joints = _spawner(context, [BROADCASTER])
    start_controllers = _spawner(context, _controllers(controllers))
    brain = launching.nodes(
        context,
        config,
        ARGUMENTS,
        always={"use_sim_time": True},
        names=launching.robot_nodes(config),
    )
    return [
        _gazebo(context),
        launching.robot_state_publisher(
            context, _description(context, controllers), use_sim_time=True
        ),
        _node(
            context,
            "ros_gz_bridge",
            "parameter_bridge",
            parameters={"config_file": str(launching.given_file(context, "bridge"))},
        ),
        spawn_robot,
        launching.then(spawn_robot, "putting the robot into Gazebo", [show_joints]),
        launching.then(show_joints, f"starting {BROADCASTER}", [start_controllers]),
        launching.then(start_controllers, "starting the controllers", brain),
    ]


def _gazebo(context: LaunchContext) -> IncludeLaunchDescription:
    world = launching.given_file(context, "world")
    server = "-s " if launching.given(context, "headless") == "true" else ""
    path = launching.share_of("ros_gz_sim") / "launch" / "gz_sim.launch.py"
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(path)),
        launch_arguments={
            "gz_args": f"-r {server}{shlex.quote(str(world))}",
            "on_exit_shutdown": "true",
        }.items(),
    )


def _description(context: LaunchContext, controllers: Path) -> str:
    urdf = launching.given_file(context, "urdf")
    if not launching.given(context, "extension"):
        return urdf.read_text(encoding="utf-8")
    namespace = "/" + launching.given(context, "namespace").strip("/")
    values = {"controllers": str(controllers), "namespace": namespace}
    return extended_urdf(urdf, launching.given_file(context, "extension"), values)


def _controllers(path: Path) -> list[str]:
    """Return the names of the controllers that a file gives a type, the broadcaster aside."""
    parameters, _ = node_parameters(*load_yaml(path), "controller_manager")
    return [
        name
        for name, own in parameters.items()
        if isinstance(own, Mapping) and "type" in own and name != BROADCASTER
    ]


def _spawner(context: LaunchContext, names: list[str]) -> Node:
    return _node(context, "controller_manager", "spawner", [*names, "-c", "controller_manager"])


def _node(
    context: LaunchContext,
    package: str,
    executable: str,
    arguments: list[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Node:
    return Node(
        package=package,
        executable=executable,
        namespace=launching.given(context, "namespace").strip("/"),
        arguments=arguments,
        parameters=[{"use_sim_time": True, **(parameters or {})}],
        output="screen",
    )


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and what is started."""
    folder = launching.shared("config", "gazebo")
    return launching.description(
        start,
        config=str(launching.shared("config", "arm.yaml")),
        arguments=ARGUMENTS,
        others=[
            *(
                DeclareLaunchArgument(name, default_value=str(folder / file), description=says)
                for name, (file, says) in FILES.items()
            ),
            DeclareLaunchArgument(
                "headless",
                default_value="false",
                choices=["true", "false"],
                description="Whether Gazebo runs without its window.",
            ),
        ],
    )
