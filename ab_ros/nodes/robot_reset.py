"""Whether the motor node moves the robot, and the service that puts it where an episode begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.client import Client
from rclpy.task import Future
from std_srvs.srv import Empty, Trigger

from ab_ros.config import setting
from ab_ros.errors import AbRosError
from ab_ros.motion.safety import Code, State
from ab_ros.msg import MotorStatus
from ab_ros.nodes.robot_link import PASSING

RESETS: Mapping[str, type[Any]] = MappingProxyType(
    {"std_srvs/srv/Trigger": Trigger, "std_srvs/srv/Empty": Empty}
)
"""Services that a robot is reset by."""
_ASK_AGAIN = 2.0  # s
_LOOK = 0.05  # s


@dataclass(frozen=True)
class ResetSettings:
    """How the robot gets to where an episode begins."""

    service: str = setting(
        "", doc="Service that is called before each episode; empty: none, it begins where it is."
    )
    type: str = setting("std_srvs/srv/Trigger", doc="Its type.", one_of=tuple(RESETS))
    timeout: float = setting(
        30.0, doc="How long it may take until people are told that it does.", unit="s", gt=0
    )
    settle: float = setting(
        0.0, doc="How long the robot is left alone afterwards.", unit="s", ge=0, le=600
    )
    reseed: bool = setting(
        True,
        doc="Whether the motor node is deactivated and activated before. It then begins where the"
        " robot is put; else it may take the robot back, or take it for one that does not follow.",
    )


@dataclass(frozen=True)
class Trouble:
    """Why the robot is not moved.

    Attributes
    ----------
    sentence : for people.
    passing : whether it clears itself, and nobody has to see to the robot.
    """

    sentence: str
    passing: bool


Wait = Callable[[str, float], bool]
"""Tells why an episode is paused, and waits for so many seconds; False if it shall end."""


class MotorWatch:
    """What the motor node says of itself.

    Parameters
    ----------
    topic : of its status, for sentences.
    timeout : s after which it counts as silent.
    """

    def __init__(self, topic: str, timeout: float) -> None:
        self._topic, self._timeout = topic, timeout
        self._heard: tuple[float, MotorStatus] | None = None

    def hear(self, message: MotorStatus) -> None:
        """Take a status; in the executor's thread."""
        self._heard = (time.monotonic(), message)

    def trouble(self) -> Trouble | None:
        """Return why the motor node would execute nothing; None if it would."""
        heard = self._heard  # once: the other thread may change it
        if heard is None or time.monotonic() - heard[0] > self._timeout:
            return Trouble(
                f"nothing is heard on {self._topic} for {self._timeout:g} s: does the motor node"
                f" run?",
                True,
            )
        message = heard[1]
        # It has no cycle while the brain thinks, or nobody has moved it yet.
        if message.state == State.ACTIVE or message.code == Code.STALE_SPIKES:
            return None
        return Trouble(f"the motor node holds: {message.message}", message.code in PASSING)

    def active(self, since: float) -> bool | None:
        """Whether it said since a time (steady) that it is active; None if it said nothing."""
        heard = self._heard
        if heard is None or heard[0] < since:
            return None
        return bool(heard[1].state != State.INACTIVE)


class RobotReset:
    """Puts the robot where an episode begins; in the thread that runs episodes.

    Parameters
    ----------
    settings : of the reset; with a service.
    name : of that service, from the root on.
    client : of it.
    motor : what is heard of the motor node; None where none is in the way.
    transitions : client of the motor node's ``change_state``.
    """

    def __init__(
        self,
        settings: ResetSettings,
        name: str,
        client: Client[Any, Any],
        motor: MotorWatch | None,
        transitions: Client[Any, Any] | None,
    ) -> None:
        self._settings, self._name, self._client = settings, name, client
        self._motor, self._transitions = motor, transitions

    def run(self, wait: Wait) -> None:
        """Reset the robot, however long it takes, or until ``wait`` says that it shall end.

        Raises
        ------
        AbRosError
            if the service refuses.
        """
        name = self._name
        while not self._client.service_is_ready():
            missing = f"the reset service {name} ({self._settings.type}) is not there"
            if not wait(missing, _LOOK):
                return
        if self._settings.reseed and not self._begin_anew(wait):
            return
        answers = self._ask(wait)
        for answer in answers or ():
            if not getattr(answer, "success", True):
                raise AbRosError(
                    f"the reset service {name} refuses: {answer.message or 'it does not say why'}"
                )
        if answers and self._settings.settle:
            wait("", self._settings.settle)

    def _ask(self, wait: Wait) -> list[Any] | None:
        """Call the service, and return its answers; None if it shall end before there is one.

        It is asked again where the answer may have been lost, or its server has died; what was
        asked then must be answered, too, so that no reset comes in the middle of an episode.
        """
        timeout, name = self._settings.timeout, self._name
        futures: list[Future[Any]] = []
        begun = asked = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                done = [future for future in futures if future.done()]
                if done and (len(done) == len(futures) or now - asked > timeout):
                    return [future.result() for future in done]
                if not done and (not futures or now - asked > timeout):
                    futures.append(self._client.call_async(RESETS[self._settings.type].Request()))
                    asked = now
                late = now - begun > timeout
                why = f"the reset service {name} has not answered for {timeout:g} s" if late else ""
                if not wait(why, _LOOK if late else 0.005):
                    return None
        finally:
            for future in futures:
                if not future.done():
                    self._client.remove_pending_request(future)

    def _begin_anew(self, wait: Wait) -> bool:
        """Let the motor node forget where it held the robot; False if it shall end."""
        if self._motor is None or self._transitions is None:
            return True
        going = self._transit(Transition.TRANSITION_DEACTIVATE, False, wait)
        # It is not left inactive, come what may.
        return self._transit(Transition.TRANSITION_ACTIVATE, True, wait) and going

    def _transit(self, transition: int, active: bool, wait: Wait) -> bool:
        assert self._motor is not None and self._transitions is not None
        begin = time.monotonic()
        asked = -math.inf
        while self._motor.active(begin) is not active:
            now = time.monotonic()
            if now - asked > _ASK_AGAIN:
                request = ChangeState.Request()
                request.transition.id = transition
                self._transitions.call_async(request)
                asked = now
            what = "activate" if active else "deactivate"
            late = now - begin > _ASK_AGAIN
            if not wait(f"the motor node does not {what} itself" if late else "", 0.005):
                return False
        return True
