"""Command topics: each group's commands as the messages of its interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ab_ros.errors import ConfigError, one_of
from ab_ros.motion.groups import Command
from ab_ros.motion.settings import GroupSettings
from ab_ros.nodes import qos
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import packed, to_duration, to_time
from ab_ros.nodes.robot_messages import joint_state

_SHORTEST_PERIOD = 0.005  # s; a Python timer is not good for less
_TWIST_CHANNELS = tuple(f"{part}.{axis}" for part in ("linear", "angular") for axis in "xyz")


class CommandOutput(ABC):
    """Publishes the commands of one group.

    Parameters
    ----------
    node : the motor node.
    name : of the group.
    settings : of the group.
    """

    message: type[Any]

    def __init__(self, node: AbNode[Any], name: str, settings: GroupSettings) -> None:
        self.node, self.name, self.settings = node, name, settings
        self.publisher = node.advertise(self.message, settings.topic, qos.COMMAND)

    @abstractmethod
    def send(self, command: Command) -> int:
        """Publish a command, which replaces the one before; return the messages published now."""

    @property
    def playing(self) -> bool:
        """Whether points of the last command are still to be published."""
        return False

    def play(self) -> None:
        """Publish what has become due."""


class TrajectoryOutput(CommandOutput):
    """``trajectory_msgs/JointTrajectory``: all points at once; a stamp of 0 means now."""

    message = JointTrajectory

    def send(self, command: Command) -> int:
        """Publish the points and the braking tail."""
        message = JointTrajectory(joint_names=list(command.names))
        speeds = command.speeds if command.speeds is not None else np.zeros_like(command.values)
        message.points = [
            JointTrajectoryPoint(
                positions=packed(position, "d"),
                velocities=packed(speed, "d"),
                time_from_start=to_duration(time),
            )
            for time, position, speed in zip(
                command.times.tolist(), command.values, speeds, strict=True
            )
        ]
        self.publisher.publish(message)
        return 1


class GripperOutput(CommandOutput):
    """``std_msgs/Float64``: where the gripper shall go, once per cycle."""

    message = Float64

    def __init__(self, node: AbNode[Any], name: str, settings: GroupSettings) -> None:
        if len(settings.channels) != 1:
            raise ConfigError(
                f"groups.{name}.channels: a gripper has one, not {list(settings.channels)}"
            )
        super().__init__(node, name, settings)

    def send(self, command: Command) -> int:
        """Publish where the command ends."""
        self.publisher.publish(Float64(data=float(command.values[-1, 0])))
        return 1


class ForwardOutput(CommandOutput):
    """Messages that a controller applies at once: the points are played, each at its time.

    In lockstep the simulation jumps from cycle to cycle: the cycle's last point is sent, at once.
    """

    def __init__(
        self, node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
    ) -> None:
        super().__init__(node, name, settings)
        self._lockstep = lockstep
        self._times: NDArray[np.float64] = np.empty(0)
        self._values: NDArray[np.float64] = np.empty((0, 0))
        self._next = 0
        self._begin = 0.0
        if not lockstep:
            period = max(settings.period, _SHORTEST_PERIOD)
            node.every(period, self.play, steady=True)

    @abstractmethod
    def fill(self, point: NDArray[np.float64]) -> Any:
        """Return the message of one point, float64[C]."""

    def send(self, command: Command) -> int:
        """Begin to play a command."""
        if self._lockstep:
            last = len(command.times) if command.stop else command.cycle_points
            self.publisher.publish(self.fill(command.values[max(0, last - 1)]))
            return 1
        self._times, self._values, self._next = command.times, command.values, 0
        self._begin = self.node.steady_now()
        return 1

    def play(self) -> None:
        """Publish the newest point whose time has come."""
        if not self.playing:
            return
        due = int(np.searchsorted(self._times, self.node.steady_now() - self._begin, side="right"))
        if due > self._next:
            self._next = due
            self.publisher.publish(self.fill(self._values[due - 1]))

    @property
    def playing(self) -> bool:
        """Whether points of the last command are still to be published."""
        return self._next < self._times.size


class ArrayOutput(ForwardOutput):
    """``std_msgs/Float64MultiArray`` for forward controllers, in the order of the channels."""

    message = Float64MultiArray

    def fill(self, point: NDArray[np.float64]) -> Float64MultiArray:
        """Return the message of one point."""
        return Float64MultiArray(data=packed(point, "d"))


class JointStateOutput(ForwardOutput):
    """``sensor_msgs/JointState`` as a command."""

    message = JointState

    def fill(self, point: NDArray[np.float64]) -> JointState:
        """Return the message of one point."""
        return joint_state(self.settings.channels, point, self.node.now())


class TwistOutput(ForwardOutput):
    """``geometry_msgs/Twist``: channels are ``linear.x`` … ``angular.z``, in m/s and rad/s."""

    message = Twist

    def __init__(
        self, node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
    ) -> None:
        for channel in settings.channels:
            if channel not in _TWIST_CHANNELS:
                raise ConfigError(
                    f"groups.{name}.channels: {channel!r} is not a part of a twist;"
                    f" {one_of(_TWIST_CHANNELS)}"
                )
        super().__init__(node, name, settings, lockstep)

    def fill(self, point: NDArray[np.float64]) -> Any:
        """Return the message of one point."""
        twist = Twist()
        for channel, value in zip(self.settings.channels, point.tolist(), strict=True):
            part, axis = channel.split(".")
            setattr(getattr(twist, part), axis, value)
        return twist


class TwistStampedOutput(TwistOutput):
    """``geometry_msgs/TwistStamped``."""

    message = TwistStamped

    def fill(self, point: NDArray[np.float64]) -> TwistStamped:
        """Return the message of one point."""
        message = TwistStamped(twist=super().fill(point))
        message.header.stamp = to_time(self.node.now())
        return message


_FORWARD: Mapping[str, Callable[..., CommandOutput]] = {
    "position": ArrayOutput,
    "velocity": ArrayOutput,
    "joint_state": JointStateOutput,
    "twist": TwistOutput,
    "twist_stamped": TwistStampedOutput,
}
_WHOLE: Mapping[str, Callable[..., CommandOutput]] = {
    "joint_trajectory": TrajectoryOutput,
    "gripper": GripperOutput,
}


def make_output(
    node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
) -> CommandOutput:
    """Return the output of a group.

    Raises
    ------
    ConfigError
        if the interface is not available, or its channels do not fit it.
    """
    if settings.interface in _WHOLE:
        return _WHOLE[settings.interface](node, name, settings)
    if settings.interface in _FORWARD:
        return _FORWARD[settings.interface](node, name, settings, lockstep)
    raise ConfigError(
        f"groups.{name}.interface: {settings.interface!r} is not available;"
        f" {one_of((*_WHOLE, *_FORWARD))}"
    )
