"""The stepper node: a paused simulator advances by exactly one cycle for each answer to a cycle.

It makes the brain the master of a simulator that only knows how to be stepped, such as Gazebo: with
``pacing: lockstep`` in brain and motor node, the brain waits for sensors that are newer than those
of the last cycle, the motor node sends the cycle's commands and its ``cycle_done``, and this node
then has the simulator make as many physics steps as the cycle lasts.  The same run so gives the
same numbers as far as the simulator's own are repeatable, whatever the machine's speed.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import Any

from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.msg import CycleDone
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.process import run

_LONGEST = 60.0  # s; a cycle that says it is longer is nonsense
_LOOK = 0.05  # s between two looks at a simulator that does not answer


@dataclass(frozen=True)
class StepperSettings:
    """The stepper node."""

    service: str = setting(
        "/world/default/control",
        doc="Service of Gazebo's world (ros_gz_interfaces/srv/ControlWorld), as bridged to ROS.",
    )
    step: float = setting(
        0.001, doc="Duration of a physics step, as in the world's file.", unit="s", gt=0, le=1
    )
    settle: float = setting(
        0.002,
        doc="Time on the computer's clock that a cycle's commands have to reach the simulator's"
        " controllers before it is stepped.",
        unit="s",
        ge=0,
        le=1,
        live=True,
    )
    timeout: float = setting(
        5.0,
        doc="A simulator that has not answered within this time is asked again.",
        unit="s",
        gt=0,
        le=600,
        live=True,
    )

    def __post_init__(self) -> None:
        if not self.service.strip():
            raise ConfigError(f"service: must be a service's name, not {self.service!r}")


def steps_of(duration: float, step: float) -> int:
    """Return the physics steps of a cycle.

    Parameters
    ----------
    duration, step : s, > 0.

    Raises
    ------
    ConfigError
        if the cycle is not a whole number of steps: brain and world would drift apart.
    """
    steps = round(duration / step)
    if steps < 1 or abs(steps * step - duration) > 1e-3 * step:
        raise ConfigError(
            f"step: a cycle of {duration:g} s is no whole number of physics steps of {step:g} s;"
            f" change the world's step, or the brain's dt or gamma"
        )
    return steps


class StepperNode(AbNode[StepperSettings]):
    """Steps a paused simulator, cycle by cycle."""

    node_name = "stepper"
    settings_class = StepperSettings
    unique = True

    def setup(self) -> None:
        """Make the client of the simulator's service."""
        self._kind = _control_world()
        self._control = self.create_client(self._kind, self.settings.service)
        self._answered = ("", -1)
        self._call: Any = None
        self._wish: tuple[int, float] | None = None  # steps, and when they may be made
        self._asked_at = 0.0
        self._trouble = ""
        self._stepped = 0
        self.subscribe(CycleDone, "cycle_done", self._cycle_done, qos.LOCKSTEP)
        self.every(0.001, self._look, steady=True)

    def start(self) -> None:
        """Pause the simulator."""
        self._answered, self._stepped = ("", -1), 0
        self._wish = (0, 0.0)
        self._call = None

    def stop(self) -> None:
        """Leave the simulator paused: nothing moves without a brain."""
        self._wish = None

    def teardown(self) -> None:
        """Destroy the client."""
        control = getattr(self, "_control", None)
        if control is not None:
            self.destroy_client(control)

    def health(self) -> Health:
        """Tell how far the simulator was stepped, and whether it answers."""
        if self._trouble:
            return Level.WARN, self._trouble
        return Level.OK, f"has stepped {self._stepped * self.settings.step:.3f} s"

    def _cycle_done(self, message: CycleDone) -> None:
        run, cycle = self._answered
        if message.run == run and message.cycle <= cycle:
            self.figures.add("cycle_done repeated")
            return
        if not message.duration:
            return  # of another run, or answered before: no time passes for it
        if not 0.0 < message.duration < _LONGEST:
            raise ConfigError(
                f"cycle_done: duration must be 0 to {_LONGEST:g} s, not {message.duration}"
            )
        self._answered = (message.run, message.cycle)
        steps = steps_of(message.duration, self.settings.step)
        if self._wish is not None:
            # Commands of two cycles would play at once, but no time may be lost.
            self.figures.add("cycles stepped together")
            steps += self._wish[0]
        self._wish = (steps, time.monotonic() + self.settings.settle)

    def _look(self) -> None:
        now = time.monotonic()
        if self._call is not None:
            self._await(now)
        if self._call is None and self._wish is not None and now >= self._wish[1]:
            if self._control.service_is_ready():
                self._ask(self._wish[0], now)
            else:
                self._complain(f"no simulator offers the service {self._control.srv_name}")
                self._wish = (self._wish[0], now + _LOOK)

    def _ask(self, steps: int, now: float) -> None:
        request = self._kind.Request()
        request.world_control.pause = True
        request.world_control.multi_step = steps
        self._call, self._asked_at = self._control.call_async(request), now
        self._asked, self._from, self._wish = steps, self.now(), None

    def _await(self, now: float) -> None:
        if not self._call.done():
            if now - self._asked_at > self.settings.timeout:
                self._control.remove_pending_request(self._call)
                if self.now() > self._from + (self._asked - 0.5) * self.settings.step:
                    self._succeed(now)  # only word of it was lost: once is enough
                    return
                self._complain(f"the simulator has not answered within {self.settings.timeout:g} s")
                self._again(now)
            return
        answer = self._call.result()
        if answer is None or not answer.success:
            self._complain(f"the simulator refuses to make {self._asked} steps")
            self._again(now)
            return
        self._succeed(now)

    def _succeed(self, now: float) -> None:
        self.figures.took("step", now - self._asked_at)
        self._stepped += self._asked
        self._trouble = ""
        self._call = None

    def _again(self, now: float) -> None:
        more = self._wish[0] if self._wish is not None else 0
        self._call, self._wish = None, (self._asked + more, now + _LOOK)

    def _complain(self, sentence: str) -> None:
        if sentence != self._trouble:
            self._trouble = sentence
            self.report("simulator", sentence)


def _control_world() -> type[Any]:
    """Return ``ros_gz_interfaces/srv/ControlWorld``.

    Raises
    ------
    ConfigError
        if its package is not installed.
    """
    try:
        return importlib.import_module("ros_gz_interfaces.srv").ControlWorld  # type: ignore[no-any-return]
    except ImportError:
        raise ConfigError(
            "service: stepping Gazebo needs the package ros_gz_interfaces, which is not installed:"
            " apt install ros-$ROS_DISTRO-ros-gz-interfaces"
        ) from None


def main() -> int:
    """Run the node."""
    return run(StepperNode)


if __name__ == "__main__":
    raise SystemExit(main())
