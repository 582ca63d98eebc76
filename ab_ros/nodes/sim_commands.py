"""Commands of the simulated robots: from the messages of a topic to what moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from ab_ros.config import setting
from ab_ros.environments.arm_robot import ArmRobot
from ab_ros.environments.car_robot import CarRobot
from ab_ros.environments.robot import SimulatedRobot
from ab_ros.errors import ConfigError
from ab_ros.nodes.messages import seconds

_ARM = {"joint_trajectory": JointTrajectory, "position": Float64MultiArray, "gripper": Float64}
# One that is no topic: an action, in realtime.
ACTIONS = ("gripper_action",)
_CAR = {"twist": Twist, "twist_stamped": TwistStamped}
INTERFACES: Mapping[str, Sequence[str]] = {"arm": (*_ARM, *ACTIONS), "car": (*_CAR,)}
"""Command interfaces of each robot."""

_REACH = 0.02  # s in which a single set-point is approached


@dataclass(frozen=True)
class CommandTopic:
    """A topic that moves the simulated robot."""

    topic: str = setting(doc="Topic, relative to the namespace.")
    interface: str = setting(
        "joint_trajectory", doc="Form of the command.", one_of=(*_ARM, *ACTIONS, *_CAR)
    )
    joints: tuple[str, ...] = setting(
        (), doc="Joints in the order of the message, for position and grippers."
    )

    def __post_init__(self) -> None:
        if self.interface in ("position", "gripper", *ACTIONS) and not self.joints:
            raise ConfigError(f"joints: are required for interface {self.interface!r}")

    @property
    def message(self) -> Any:
        """The type of its messages."""
        return {**_ARM, **_CAR}[self.interface]


def follower(robot: SimulatedRobot, name: str, command: CommandTopic) -> Callable[[Any], None]:
    """Return what lets the robot follow a message of a topic.

    It raises a WorldError for a command that the robot refuses.
    """
    if isinstance(robot, CarRobot):
        car = robot
        return lambda message: car.follow(name, _twist(getattr(message, "twist", message)))
    assert isinstance(robot, ArmRobot)
    arm = robot
    return lambda message: arm.follow(name, *_set_points(command, message))


def _set_points(command: CommandTopic, message: Any) -> tuple[Any, Any, Any]:
    """Return joints, times (s from now) and positions [P, C] of a command message."""
    if command.interface == "joint_trajectory":
        times = [seconds(point.time_from_start) for point in message.points]
        return message.joint_names, times, [list(point.positions) for point in message.points]
    values = [message.data] if command.interface == "gripper" else list(message.data)
    return command.joints, [_REACH], [values]


def _twist(twist: Twist) -> dict[str, float]:
    return {
        f"{part}_{axis}": getattr(getattr(twist, part), axis)
        for part in ("linear", "angular")
        for axis in "xyz"
    }
