"""Command topics: each group's commands as messages; grippers are in :mod:`gripper_outputs`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ab_ros.motion.commands import Command
from ab_ros.motion.settings import GroupSettings, Quantity
from ab_ros.nodes import qos
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import packed, to_duration, to_time
from ab_ros.nodes.optional_messages import optional
from ab_ros.nodes.robot_messages import joint_state

SHORTEST_PERIOD = 0.005
"""Time between two points that are played, s: a Python timer is not good for less."""

_LONGEST_TICK = 0.01  # s; so late at most is a message
_ROUNDING = 1e-9  # s


class CommandOutput(ABC):
    """Sends the commands of one group.

    Parameters
    ----------
    node : the motor node.
    name : of the group.
    settings : of the group.
    """

    def __init__(self, node: AbNode[Any], name: str, settings: GroupSettings) -> None:
        self.node, self.name, self.settings = node, name, settings

    @abstractmethod
    def send(self, command: Command) -> int:
        """Send a command, which replaces the one before; return how many messages that takes."""

    @property
    def problem(self) -> str:
        """Why commands do not get through, as a sentence; empty if they do."""
        return ""

    @property
    def tick(self) -> float:
        """How often :meth:`play` shall be called, s; infinite if never."""
        return math.inf

    @property
    def playing(self) -> bool:
        """Whether something of the last command is still to be sent."""
        return False

    def play(self) -> None:
        """Publish what has become due."""

    def discard(self) -> None:
        """Drop what is still to be published."""

    def outdate(self) -> None:
        """Drop what belongs to a time that is over: the robot's clock has jumped."""
        self.discard()

    def cut_short(self) -> None:
        """Drop what is still to be published; what drives the robot goes to where it stops."""


class TopicOutput(CommandOutput):
    """Publishes the commands of one group on its topic."""

    message: type[Any]

    def __init__(self, node: AbNode[Any], name: str, settings: GroupSettings) -> None:
        super().__init__(node, name, settings)
        self.publisher = node.advertise(self.message, settings.topic, qos.COMMAND)

    @property
    def problem(self) -> str:
        """Why commands do not get through: nobody listens."""
        if self.publisher.get_subscription_count():
            return ""
        return f"nobody subscribes to {self.publisher.topic_name}"

    def publish(self, message: Any) -> None:
        """Publish a message, and take note of it."""
        self.publisher.publish(message)
        self.node.figures.mark(self.settings.topic)


class TrajectoryOutput(TopicOutput):
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
        self.publish(message)
        return 1


class ForwardOutput(TopicOutput):
    """Messages that a controller applies at once: one is sent each period, whatever the cycles do.

    A cycle's command brings the whole path, and replaces the one before in the middle of a period:
    the beat goes on, so that a controller whose period is longer than a cycle gets its messages,
    too.  Positions are those of the path at the time of the beat, between two points by the same
    part of each; velocities and efforts are the next ones.  A stop, and what must not wait, begins
    a beat of its own; that of velocities and efforts is of the stop's points.

    A cycle's path is played no faster than either the robot's clock or the steady one passes: a
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
        self.beat = max(settings.period, SHORTEST_PERIOD)
        self._positions = settings.quantity is Quantity.POSITION
        self._times: NDArray[np.float64]
        self._values: NDArray[np.float64]
        self._due: float | None
        self.discard()

    @abstractmethod
    def fill(self, point: NDArray[np.float64]) -> Any:
        """Return the message of one point, float64[C]."""

    def send(self, command: Command) -> int:
        """Begin to play a command."""
        self._used = True
        if self._lockstep:
            last = len(command.times) if command.stop else command.cycle_points
            self.publish(self.fill(command.values[max(0, last - 1)]))
            return 1
        # When the next message is due, on the time of the new command.
        due = self.beat if self._due is None else self._due - self._passed()
        due = min(max(due, 0.0), self.beat)  # the robot's clock may have gone back
        # A position on its way to rest is asked for in the beat, too, beginning now.
        self._own = command.prompt or (command.stop and not self._positions)
        due = min(due, self.beat, float(command.times[0])) if command.stop else due
        self._stop = command.stop
        self._times = np.concatenate(((0.0,), command.times))
        self._values = np.concatenate((command.start[None, :], command.values))
        self._sent = 0.0
        self._due = float(command.times[0]) if self._own else due
        self._begin, self._begin_robot = self.node.steady_now(), self.node.now()
        return 1

    @property
    def tick(self) -> float:
        """How often :meth:`play` shall be called, s; infinite if never."""
        return math.inf if self._lockstep else min(self.beat, _LONGEST_TICK)

    def play(self) -> None:
        """Publish what is due, if anything is."""
        if not self.playing or self._due is None:
            return
        passed = self._passed()
        if self._own:
            index = int(np.searchsorted(self._times, passed, side="right")) - 1
            skipped = int(np.searchsorted(self._times, self._sent, side="right"))
            if index < skipped:
                return
            self._skip(index - skipped)
            self._play_at(float(self._times[index]), self._values[index])
        elif passed >= self._due - 0.5 * self.tick:
            # A timer that fires a little earlier than the last time moves the beat: what is sent
            # never lies ahead of the clock.
            at = min(passed, self._due)
            late = math.floor((passed - at) / self.beat)
            self._skip(late)
            at = min(at + late * self.beat, float(self._times[-1]))
            self._play_at(at, self._value_at(at))

    def _value_at(self, at: float) -> NDArray[np.float64]:
        # Rounding of times must not lead to the point after.
        index = int(np.searchsorted(self._times, at - _ROUNDING, side="left"))
        index = min(max(index, 1), self._times.size - 1)
        if not self._positions:
            return self._values[index]
        before, after = self._times[index - 1 : index + 1]
        part = min(max((at - before) / (after - before), 0.0), 1.0)
        low, high = self._values[index - 1 : index + 1]
        return np.asarray(high if part == 1.0 else low + part * (high - low))

    def _play_at(self, at: float, value: NDArray[np.float64]) -> None:
        self._sent, self._due = at, at + self.beat
        self.publish(self.fill(value))

    def _skip(self, count: int) -> None:
        if count > 0:
            self.node.figures.add(f"{self.name} points skipped", count)

    def _passed(self) -> float:
        """Return how long the present command has been played, s."""
        passed = self.node.steady_now() - self._begin
        return passed if self._stop else min(passed, self.node.now() - self._begin_robot)

    @property
    def playing(self) -> bool:
        """Whether points of the last command are still to be published."""
        return self._times.size > 0 and self._sent < self._times[-1]

    def discard(self) -> None:
        """Drop the points that are still to be published."""
        self._times, self._values = np.empty(0), np.empty((0, 0))
        self._own = self._stop = False
        self._sent = 0.0
        self._due = None
        self._begin = self._begin_robot = 0.0

    def cut_short(self) -> None:
        """Drop what is still to be published; velocities and efforts go to where they stop."""
        self.discard()
        settings = self.settings
        if self._used and settings.quantity is not Quantity.POSITION:
            # A controller without a time-out would drive on for ever with the last one it got.
            rest = settings.stop_value or [0.0] * len(settings.channels)
            self.publish(self.fill(np.array(rest, np.float64)))


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


class JointJogOutput(ForwardOutput):
    """``control_msgs/JointJog``: speeds, and how long they hold."""

    def __init__(
        self, node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
    ) -> None:
        self.message = optional("control_msgs/msg/JointJog")
        super().__init__(node, name, settings, lockstep)

    def fill(self, point: NDArray[np.float64]) -> Any:
        """Return the message of one point."""
        message = self.message(joint_names=list(self.settings.channels))
        message.header.stamp = to_time(self.node.now())
        message.velocities = packed(point, "d")
        message.duration = self.beat
        return message
