"""Command topics: each group's commands as the messages of its interface."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ab_ros.errors import ConfigError, one_of
from ab_ros.motion.groups import Command
from ab_ros.motion.settings import GroupSettings, MotorSettings, Quantity
from ab_ros.nodes import qos
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import packed, to_duration, to_time
from ab_ros.nodes.robot_messages import joint_state

_SHORTEST_PERIOD = 0.005  # s; a Python timer is not good for less
_LONGEST_STOP = 5.0  # s; the process has 9 s in all to end
# No dots: in a name of a ROS parameter such as limits.linear_x.velocity they mean a level.
_TWIST_CHANNELS = tuple(f"{part}_{axis}" for part in ("linear", "angular") for axis in "xyz")


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

    def discard(self) -> None:
        """Drop what is still to be published."""

    def cut_short(self) -> None:
        """Drop what is still to be published; velocities become zero, positions stay."""


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

    def send(self, command: Command) -> int:
        """Publish where the command ends."""
        self.publisher.publish(Float64(data=float(command.values[-1, 0])))
        return 1


class ForwardOutput(CommandOutput):
    """Messages that a controller applies at once: the points are played, each at its time.

    A cycle's points are played no faster than either the robot's clock or the steady one passes: a
    simulation slower than real time must not be driven faster than its limits.  A stop goes by the
    steady clock alone, because it must end even where the robot's clock stands still.

    In lockstep the simulation jumps from cycle to cycle: the cycle's last point is sent, at once.
    """

    def __init__(
        self, node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
    ) -> None:
        super().__init__(node, name, settings)
        self._lockstep = lockstep
        self._used = False
        self._times: NDArray[np.float64]
        self._values: NDArray[np.float64]
        self.discard()
        if not lockstep:
            period = max(settings.period, _SHORTEST_PERIOD)
            node.every(period, self.play, steady=True)

    @abstractmethod
    def fill(self, point: NDArray[np.float64]) -> Any:
        """Return the message of one point, float64[C]."""

    def send(self, command: Command) -> int:
        """Begin to play a command."""
        self._used = True
        if self._lockstep:
            last = len(command.times) if command.stop else command.cycle_points
            self.publisher.publish(self.fill(command.values[max(0, last - 1)]))
            return 1
        self._times, self._values, self._next = command.times, command.values, 0
        self._stop = command.stop
        self._begin, self._begin_robot = self.node.steady_now(), self.node.now()
        return 1

    def play(self) -> None:
        """Publish the newest point whose time has come."""
        if not self.playing:
            return
        passed = self.node.steady_now() - self._begin
        if not self._stop:
            passed = min(passed, self.node.now() - self._begin_robot)
        due = int(np.searchsorted(self._times, passed, side="right"))
        if due > self._next:
            self._next = due
            self.publisher.publish(self.fill(self._values[due - 1]))

    @property
    def playing(self) -> bool:
        """Whether points of the last command are still to be published."""
        return self._next < self._times.size

    def discard(self) -> None:
        """Drop the points that are still to be published."""
        self._times, self._values = np.empty(0), np.empty((0, 0))
        self._next = 0
        self._stop = False
        self._begin = self._begin_robot = 0.0

    def cut_short(self) -> None:
        """Drop what is still to be published; velocities become zero, positions stay."""
        self.discard()
        if self._used and self.settings.quantity is Quantity.VELOCITY:
            # A controller without a time-out would drive on for ever with the last one it got.
            self.publisher.publish(self.fill(np.zeros(len(self.settings.channels))))


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
    """``geometry_msgs/Twist``: channels are ``linear_x`` … ``angular_z``, in m/s and rad/s."""

    message = Twist

    def fill(self, point: NDArray[np.float64]) -> Any:
        """Return the message of one point."""
        twist = Twist()
        for channel, value in zip(self.settings.channels, point.tolist(), strict=True):
            part, axis = channel.split("_")
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


def check_output(name: str, settings: GroupSettings) -> None:
    """Refuse a group whose interface is not available, or cannot carry its channels.

    Raises
    ------
    ConfigError
        whose sentence begins with the setting that is wrong.
    """
    where, interface = f"groups.{name}", settings.interface
    if interface not in _WHOLE and interface not in _FORWARD:
        raise ConfigError(
            f"{where}.interface: {interface!r} is not available; {one_of((*_WHOLE, *_FORWARD))}"
        )
    if interface == "gripper" and len(settings.channels) != 1:
        raise ConfigError(f"{where}.channels: a gripper has one, not {list(settings.channels)}")
    if interface in ("twist", "twist_stamped"):
        for channel in settings.channels:
            if channel not in _TWIST_CHANNELS:
                raise ConfigError(
                    f"{where}.channels: {channel!r} is not a part of a twist;"
                    f" {one_of(_TWIST_CHANNELS)}"
                )


def make_output(
    node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
) -> CommandOutput:
    """Return the output of a group that :func:`check_output` accepts."""
    if settings.interface in _WHOLE:
        return _WHOLE[settings.interface](node, name, settings)
    return _FORWARD[settings.interface](node, name, settings, lockstep)


def playable(settings: MotorSettings, lockstep: bool) -> MotorSettings:
    """Return settings whose points are no denser than they can be played.

    Points that are skipped would break the limit on the step from one to the next.
    """
    if lockstep:
        return settings
    groups = {
        name: replace(group, period=max(group.period, _SHORTEST_PERIOD))
        if group.interface in _FORWARD
        else group
        for name, group in settings.groups.items()
    }
    return replace(settings, groups=groups)


def finish_playing(
    outputs: Iterable[CommandOutput],
    steady: Callable[[], float],
    failed: Callable[[CommandOutput, Exception], None],
) -> None:
    """Let stops that are played point by point reach their ends, all at the same time.

    Called where no timer runs any more; returns after 5 s at the latest, with velocities at zero.

    Parameters
    ----------
    steady : tells the time on the steady clock, s.
    failed : called for an output that cannot publish; the others go on.
    """
    left = list(outputs)
    deadline = steady() + _LONGEST_STOP
    while left:
        late = steady() > deadline
        for output in tuple(left):
            try:
                if late:
                    output.cut_short()
                else:
                    output.play()
            except Exception as error:
                output.discard()
                failed(output, error)
            if not output.playing:
                output.discard()
                left.remove(output)
        if left:
            time.sleep(0.002)
