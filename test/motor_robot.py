"""What a robot hears of a motor node: topics, controllers, and the action servers of grippers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future
from ros_process import Peer
from trajectory_msgs.msg import JointTrajectory

from ab_ros.nodes.messages import seconds

Message = tuple[float, Any]


class Topic:
    """What was heard on a topic, each message with its time of receipt (steady, s)."""

    def __init__(self, peer: Peer, kind: type[Any], name: str) -> None:
        self.heard: list[Message] = []
        self._subscription = peer.node.create_subscription(
            kind, name, lambda message: self.heard.append((time.monotonic(), message)), 100
        )

    @property
    def last(self) -> Any:
        return self.heard[-1][1] if self.heard else None


class Trajectory(Topic):
    """A trajectory controller: a new message replaces what is left of the one before.

    It plays so many times as fast as the computer's clock goes.
    """

    def __init__(self, peer: Peer, name: str, rate: float = 1.0) -> None:
        super().__init__(peer, JointTrajectory, name)
        self.rate = rate
        self._paths: list[tuple[float, np.ndarray, np.ndarray]] = []

    def at(self, when: float) -> np.ndarray:
        """Return the positions of both joints at a time."""
        for begin, message in self.heard[len(self._paths) :]:
            start = self._on_path(begin)
            times = [0.0, *(seconds(p.time_from_start) / self.rate for p in message.points)]
            path = np.array([start, *(list(point.positions) for point in message.points)])
            self._paths.append((begin, np.array(times), path))
        return self._on_path(when)

    def _on_path(self, when: float) -> np.ndarray:
        for begin, times, path in reversed(self._paths):
            if begin <= when:
                return np.array([np.interp(when - begin, times, joint) for joint in path.T])
        return np.zeros(2)

    def moved_until(self) -> float:
        """Return when the controller last moved a joint, in what it was commanded so far."""
        self.at(0.0)
        begin, times, _ = self._paths[-1]
        grid = np.arange(begin - 1.0, begin + times[-1] + 0.01, 0.005)
        steps = np.abs(np.diff([self._on_path(when) for when in grid], axis=0)).max(axis=1)
        moving = np.flatnonzero(steps > 1e-6)
        return float(grid[moving[-1] + 1]) if moving.size else -math.inf


class Track:
    """Numbers that the robot was told one after the other; each holds until the next."""

    heard: list[Message]
    read: Callable[[Any], Any]

    start: float | None = None

    @property
    def value(self) -> float | None:
        return float(self.read(self.heard[-1][1])) if self.heard else self.start

    @property
    def values(self) -> list[float]:
        return [float(self.read(message)) for _, message in self.heard]

    def moved_until(self, rest: float | None = None) -> float:
        """Return when it last changed, or, with a value to rest at, when it came there."""
        values = self.values
        if rest is not None:
            moving = [index for index, value in enumerate(values) if abs(value - rest) > 1e-9]
            if not moving:
                return -math.inf
            after = moving[-1] + 1
            return self.heard[after][0] if after < len(values) else math.inf
        changes = [k for k in range(1, len(values)) if values[k] != values[k - 1]]
        return self.heard[changes[-1]][0] if changes else -math.inf


class Values(Topic, Track):
    """A forward controller: each message is applied at once and for ever."""

    def __init__(self, peer: Peer, kind: type[Any], name: str, read: Callable[[Any], Any]) -> None:
        super().__init__(peer, kind, name)
        self.read = read


class Gripper(Track):
    """The action server of a gripper, which is where its last goal says at once.

    Parameters
    ----------
    lasting : whether goals run until the next one takes their place, or they are cancelled.
    """

    def __init__(self, peer: Peer, kind: Any, name: str, *, lasting: bool = False) -> None:
        self.peer, self._kind, self.lasting = peer, kind, lasting
        self.accepting = True
        self.asked: list[Message] = []
        self.heard: list[Message] = []
        self.cancelled = self._accepted = 0
        self._closed = False
        self._end = Future(executor=peer.executor)
        self._server = ActionServer(
            peer.node,
            kind,
            name,
            execute_callback=self._execute,
            goal_callback=self._judge,
            cancel_callback=self._cancel,
        )

    @staticmethod
    def read(command: Any) -> float:
        position = command.position
        return float(position if isinstance(position, float) else position[0])

    def _judge(self, request: Any) -> GoalResponse:
        self.asked.append((time.monotonic(), request.command))
        self._accepted += self.accepting
        return GoalResponse.ACCEPT if self.accepting else GoalResponse.REJECT

    async def _execute(self, goal: Any) -> Any:
        self._end.set_result(None)
        self._end = end = Future(executor=self.peer.executor)
        self.heard.append((time.monotonic(), goal.request.command))
        if not self.lasting:
            goal.succeed()
            return self._kind.Result(reached_goal=True)
        await end
        if goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return self._kind.Result()

    def _cancel(self, _: Any) -> CancelResponse:
        self.cancelled += 1
        self._end.set_result(None)
        return CancelResponse.ACCEPT

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # A goal that was accepted and never begun would be told at the end of the process.
        self.peer.until(lambda: len(self.heard) == self._accepted, "all goals")
        self._end.set_result(None)
        self._server.destroy()
