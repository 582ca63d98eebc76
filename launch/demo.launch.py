"""The nodes of the demo under a sourced ROS 2: a simulated arm, its brain, motor and critic.

``ros2 launch ab_ros demo.launch.py pacing:=realtime seed:=2``
"""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

# The arguments that each node takes as parameters.
NODES = {
    "sim": ("seed", "pacing"),
    "brain": ("seed", "pacing"),
    "motor": ("pacing",),
    "critic": (),
}


def start(context: LaunchContext) -> list[Node]:
    """Make the nodes; an argument that was left empty leaves the parameter file's value."""
    given: dict[str, object] = {
        name: value
        for name in ("seed", "pacing")
        if (value := LaunchConfiguration(name).perform(context))
    }
    if "seed" in given:
        given["seed"] = int(str(given["seed"]))
    return [
        Node(
            package="ab_ros",
            executable=name,
            name=name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                LaunchConfiguration("config"),
                {argument: given[argument] for argument in takes if argument in given},
            ],
            output="screen",
            # Without its simulation the demo is over.  Any other node may end: the motor node then
            # holds the robot, and that is worth seeing.
            on_exit=Shutdown() if name == "sim" else None,
        )
        for name, takes in NODES.items()
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and the nodes."""
    # FastDDS 2, which is Jazzy's, knows the variable by its older name; version 3 warns of that.
    fastdds = "FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS"
    profile = f"{fastdds}_DEFAULT_PROFILES_FILE"
    share = Path(get_package_share_directory("ab_ros"))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "config",
                default_value=str(share / "config" / "demo.yaml"),
                description="Parameter file of all four nodes.",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of all four nodes."
            ),
            DeclareLaunchArgument(
                "seed",
                default_value="",
                description="Seed of the brain and of the ball's path; empty: as in the file.",
            ),
            DeclareLaunchArgument(
                "pacing",
                default_value="",
                choices=["", "realtime", "lockstep"],
                description="realtime, or lockstep (as fast as it goes); empty: as in the file.",
            ),
            # Camera images need more shared memory than FastDDS takes by default.
            SetEnvironmentVariable(
                profile,
                EnvironmentVariable(
                    profile,
                    default_value=str(share / "config" / "fastdds.xml"),
                ),
            ),
            # BLAS threads of several nodes fight for the cores.
            SetEnvironmentVariable(
                "OPENBLAS_NUM_THREADS",
                EnvironmentVariable("OPENBLAS_NUM_THREADS", default_value="1"),
            ),
            OpaqueFunction(function=start),
        ]
    )
