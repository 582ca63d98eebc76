"""The demo under ``ros2 launch``: a simulated arm, its brain, motor and critic.

``ros2 launch ab_ros demo.launch.py pacing:=realtime seed:=2``
"""

from __future__ import annotations

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from ab_ros.nodes import launching
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Take the simulated arm, with all that can be given there."""
    source = PythonLaunchDescriptionSource(str(launching.shared("launch", "mujoco.launch.py")))
    return LaunchDescription(
        [IncludeLaunchDescription(source, launch_arguments={"robot": "arm"}.items())]
    )
