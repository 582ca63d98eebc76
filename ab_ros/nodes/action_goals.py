"""Goals for an action server, as they are asked for: the newest counts, and nothing is waited for.

``rclpy.action.ActionClient`` has no way to forget a request that a dead server left unanswered, and
keeps something of every goal.  An action is three services and two topics, so this is a client of
these; tools see it as an action client because it listens to the feedback.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from rclpy.task import Future

from ab_ros.nodes import qos
from ab_ros.nodes.gated import GatedNode

_PATIENCE = 1.0  # s; for an answer, and after a refusal
_MOST_RUNNING = 8  # goals whose ends are waited for: a server that ends none must not fill memory
_ENDS = {
    GoalStatus.STATUS_SUCCEEDED: "succeeded",
    GoalStatus.STATUS_ABORTED: "aborted",
    GoalStatus.STATUS_CANCELED: "canceled",
}

Request = tuple[float, "Future[Any]"]
"""When something was asked for (steady, s), and its answer to come."""


class ActionGoals:
    """Sends goals to an action; a newer one takes the place of those before it.

    What became of them is counted in the node's figures, as ``<name> goals sent``, ``accepted``,
    ``rejected``, ``unanswered``, ``succeeded``, ``aborted``, ``canceled`` and ``lost``.

    Parameters
    ----------
    node : the node that sends them.
    kind : the action's type.
    action : its name, relative to the node's namespace.
    name : what the figures call it.
    """

    def __init__(self, node: GatedNode, kind: type[Any], action: str, name: str) -> None:
        self.node, self.name = node, name
        self.action = node.resolve_service_name(action)
        self.failed = False
        """Whether the last goal did not get through: who still wants it sends it again."""
        self._service = kind.Impl.SendGoalService.Request
        self._result = kind.Impl.GetResultService.Request
        self._send = node.use(kind.Impl.SendGoalService, f"{action}/_action/send_goal")
        self._cancel = node.use(CancelGoal, f"{action}/_action/cancel_goal")
        self._get = node.use(kind.Impl.GetResultService, f"{action}/_action/get_result")
        feedback = f"{action}/_action/feedback"
        node.subscribe(kind.Impl.FeedbackMessage, feedback, _ignore, qos.SENSOR, raw=True)
        self._asked: dict[bytes, Request] = {}
        self._running: dict[bytes, Request] = {}
        self._cancelled: deque[Request] = deque()
        self._unwanted: set[bytes] = set()
        self._next: Any = None
        self._refusal, self._refused_at = "", -math.inf

    @property
    def problem(self) -> str:
        """Why goals do not get through, as a sentence; empty if they do."""
        if not self._here():
            self._lose()
            return f"there is no action server {self.action}"
        self._give_up_waiting()
        return self._refusal

    @property
    def unanswered(self) -> bool:
        """Whether a goal was sent less than a second ago and has not been answered yet."""
        self._give_up_waiting()
        return bool(self._asked)

    def send(self, goal: Any, *, urgent: bool = False) -> bool:
        """Send a goal; return whether it was sent, or will be once the one before is answered.

        It is dropped where there is no server, and for a second after one was rejected.

        Parameters
        ----------
        goal : an object of the action's ``Goal``.
        urgent : of a stop: nothing delays it, and whatever comes of it, the goals before it are
            cancelled.
        """
        now = self.node.steady_now()
        if not self._here():
            self._lose()
            self.failed = True
            return False
        if self.unanswered and not urgent:
            self._next, self.failed = goal, False
            return True
        if now - self._refused_at < _PATIENCE and not urgent:
            return False
        self._next, self.failed = None, False
        goal_id = uuid.uuid4().bytes
        message = self._service(goal=goal)
        message.goal_id.uuid = list(goal_id)
        before = (*self._asked, *self._running) if urgent else ()
        future = self.node.ask(
            self._send, message, lambda response: self._answered(goal_id, before, response)
        )
        self._asked[goal_id] = now, future
        self._count("sent")
        return True

    def cancel(self) -> None:
        """Cancel all goals that were sent and have not ended."""
        self._next, self.failed = None, True
        self._cancel_these((*self._asked, *self._running))

    def _here(self) -> bool:
        return bool(self._send.service_is_ready())

    def _answered(self, goal_id: bytes, before: Iterable[bytes], response: Any) -> None:
        if self._asked.pop(goal_id, None) is None:
            return
        if response.accepted:
            self._count("accepted")
            self._refusal, self._refused_at = "", -math.inf
            self._await_end(goal_id)
        else:
            self._count("rejected")
            self._refusal = f"the action server {self.action} has rejected the last goal"
            self._refused_at, self.failed = self.node.steady_now(), True
            self.node.report(self.name, self._refusal)
        self._cancel_these(before)
        if self._next is not None:
            goal, self._next = self._next, None
            if not self.send(goal):
                self.failed = True

    def _await_end(self, goal_id: bytes) -> None:
        message = self._result()
        message.goal_id.uuid = list(goal_id)
        future = self.node.ask(self._get, message, lambda response: self._ended(goal_id, response))
        self._running[goal_id] = self.node.steady_now(), future
        while len(self._running) > _MOST_RUNNING:
            self._forget_running(next(iter(self._running)))
        if goal_id in self._unwanted:
            self._unwanted.discard(goal_id)
            self._cancel_these((goal_id,))

    def _ended(self, goal_id: bytes, response: Any) -> None:
        if self._running.pop(goal_id, None) is not None:
            self._count(_ENDS.get(response.status, "aborted"))

    def _cancel_these(self, goal_ids: Iterable[bytes]) -> None:
        for goal_id in goal_ids:
            if goal_id in self._asked:
                self._unwanted.add(goal_id)
            elif goal_id in self._running:
                message = CancelGoal.Request()
                message.goal_info.goal_id.uuid = list(goal_id)
                # The end of the goal says what became of it.
                future = self.node.ask(self._cancel, message, _ignore)
                self._cancelled.append((self.node.steady_now(), future))

    def _give_up_waiting(self) -> None:
        """Forget requests that have no answer within their time."""
        oldest = self.node.steady_now() - _PATIENCE
        for goal_id, (since, future) in tuple(self._asked.items()):
            if since < oldest:
                self._send.remove_pending_request(future)
                del self._asked[goal_id]
                self._unwanted.discard(goal_id)
                self._count("unanswered")
                self.failed = True
                self._refusal = f"the action server {self.action} does not answer"
        while self._cancelled and self._cancelled[0][0] < oldest:
            self._cancel.remove_pending_request(self._cancelled.popleft()[1])

    def _lose(self) -> None:
        """Forget what a server that has gone will not answer."""
        self.failed = self.failed or bool(self._asked or self._running)
        for _, future in self._asked.values():
            self._send.remove_pending_request(future)
            self._count("unanswered")
        for goal_id in tuple(self._running):
            self._forget_running(goal_id)
        self._asked.clear()
        self._unwanted.clear()
        self._next, self._refusal, self._refused_at = None, "", -math.inf

    def _forget_running(self, goal_id: bytes) -> None:
        self._get.remove_pending_request(self._running.pop(goal_id)[1])
        self._count("lost")

    def _count(self, what: str) -> None:
        self.node.figures.add(f"{self.name} goals {what}")


def _ignore(_: Any) -> None:
    pass
