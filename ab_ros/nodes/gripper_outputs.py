"""Grippers: where a command ends is what they are told, by a topic or by an action.

What holds for every gripper: a change smaller than the group's ``deadband`` is not told; a stop
always is.  A stop is where the joint comes to rest, in a halt or fault from where it is measured:
the gripper is told to stay there, and lets go of what it pushes against.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from ab_ros.motion.commands import Command
from ab_ros.motion.settings import GroupSettings
from ab_ros.nodes.action_goals import ActionGoals
from ab_ros.nodes.command_outputs import CommandOutput, TopicOutput
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.optional_messages import optional

_SAME = 1e-6  # m or rad; less is no change
_FAREWELL = 0.2  # s; a request whose client is destroyed at once may not arrive


class GripperOutput(TopicOutput):
    """``std_msgs/Float64``: where the gripper shall go, once per cycle."""

    message = Float64
    _told = math.nan

    def send(self, command: Command) -> int:
        """Publish where the command ends."""
        end, deadband = float(command.values[-1, 0]), self.settings.deadband
        if not command.stop and deadband and abs(end - self._told) <= deadband:
            return 0
        self._told = end
        self.publish(Float64(data=end))
        return 1

    def discard(self) -> None:
        """Forget what was told: the next command is told whatever it is."""
        self._told = math.nan


class ActionOutput(CommandOutput):
    """An action: a goal for each change.

    A goal that runs is replaced by the next one.  A missing server is told as :attr:`problem`, and
    the next cycle tries again.  Where the robot's clock has jumped, goals are cancelled.
    """

    action: str
    """The type, as in ``control_msgs/action/GripperCommand``."""

    def __init__(self, node: AbNode[Any], name: str, settings: GroupSettings) -> None:
        super().__init__(node, name, settings)
        self._kind = optional(self.action)
        self._goals = ActionGoals(node, self._kind, settings.topic, name)
        self._told = math.nan
        self._stopped_at: float | None = None

    @abstractmethod
    def goal(self, position: float) -> Any:
        """Return the goal to go to a position."""

    def send(self, command: Command) -> int:
        """Send where the command ends, if that has changed."""
        end = float(command.values[-1, 0])
        least = _SAME if command.stop else max(self.settings.deadband, _SAME)
        if not self._goals.failed and abs(end - self._told) <= least:
            return 0
        self._told = end
        sent = self._goals.send(self.goal(end), urgent=command.stop)
        if sent:
            self.node.figures.mark(self.settings.topic)
        self._stopped_at = self.node.steady_now() if sent and command.stop else None
        return int(sent)

    @property
    def problem(self) -> str:
        """Why goals do not get through; empty if they do."""
        return self._goals.problem

    @property
    def playing(self) -> bool:
        """Whether a stop is still on its way to the server."""
        since = self._stopped_at
        return since is not None and self.node.steady_now() - since < _FAREWELL

    def discard(self) -> None:
        """Forget what was told: the next command is told whatever it is."""
        self._told, self._stopped_at = math.nan, None

    def outdate(self) -> None:
        """Cancel what the gripper was told before the robot's clock jumped."""
        self._goals.cancel()
        self.discard()


class ParallelGripperOutput(ActionOutput):
    """``control_msgs/ParallelGripperCommand``."""

    action = "control_msgs/action/ParallelGripperCommand"

    def goal(self, position: float) -> Any:
        """Return the goal to go to a position."""
        command = JointState(name=list(self.settings.channels), position=[position])
        if self.settings.max_effort:
            command.effort = [self.settings.max_effort]
        return self._kind.Goal(command=command)


class GripperCommandOutput(ActionOutput):
    """``control_msgs/GripperCommand``."""

    action = "control_msgs/action/GripperCommand"

    def goal(self, position: float) -> Any:
        """Return the goal to go to a position."""
        goal = self._kind.Goal()
        goal.command.position, goal.command.max_effort = position, self.settings.max_effort
        return goal
