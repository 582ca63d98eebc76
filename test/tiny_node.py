"""A small node that says on stdout which of its hooks ran, for the tests of the node foundation."""

from __future__ import annotations

import enum
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from ab_ros.config import setting
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.nodes import qos
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.process import run


class Mode(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


@dataclass(frozen=True)
class Joint:
    gain: float = setting(1.0, ge=0.0, le=5.0, unit="1/s", live=True, doc="How fast it follows.")
    limits: tuple[float, float] = setting((-1.0, 1.0), unit="rad", doc="Lowest and highest angle.")


@dataclass(frozen=True)
class Tiny:
    mode: Mode = setting(Mode.SLOW, doc="How it runs.")
    count: int = setting(3, ge=0, le=10, live=True, doc="How many.")
    low: float = setting(0.0, live=True, doc="Below high.")
    high: float = setting(1.0, live=True, doc="Above low.")
    names: tuple[str, ...] = setting((), doc="Any names.")
    weights: tuple[float, ...] = setting((), live=True, doc="Any weights.")
    file: Path | None = setting(None, doc="A file.")
    ceiling: float | None = setting(None, live=True, doc="A bound, if any.")
    joints: dict[str, Joint] = setting(dict, doc="Joints by name.")
    trouble: str = setting(
        "none",
        one_of=("none", "setup", "contract", "start", "stop", "worker", "slow_stop"),
        doc="What shall go wrong.",
    )


def say(what: str) -> None:
    print(what, flush=True)


class TinyNode(AbNode[Tiny]):
    node_name = "tiny"
    settings_class = Tiny

    def check(self, settings: Tiny) -> None:
        if settings.low >= settings.high:
            raise ConfigError(f"low: must be below high, not {settings.low} and {settings.high}")

    def setup(self) -> None:
        say("setup")
        if self.settings.trouble == "setup":
            raise ConfigError("tiny cannot be set up: wrong brain")
        self.echo = self.advertise(Float64, "echo", qos.COMMAND)
        self.subscribe(Float64, "value", self.hear, qos.COMMAND)
        self.serve(Trigger, "~/ask", self.ask)
        self.watch_clock(lambda delta: say(f"jump {'back' if delta < 0 else 'other'}"))

    def start(self) -> None:
        if self.settings.trouble == "start":
            raise RuntimeError("a defect")
        self.work(self.labour, "labour")
        say("start")

    def stop(self) -> None:
        self.echo.publish(Float64(data=-1.0))
        if self.settings.trouble == "slow_stop":
            say("stopping")
            # Ends when the test has sent its second signal and then closes our stdin.
            sys.stdin.read()
        if self.settings.trouble == "stop":
            raise RuntimeError("cannot stop")
        say("stop")

    def teardown(self) -> None:
        say("teardown")

    def reconfigure(self, new: Tiny, old: Tiny) -> None:
        say(f"reconfigure {old.count} {new.count}")

    def labour(self, stopping: threading.Event) -> None:
        if self.settings.trouble == "worker":
            raise RuntimeError("worker broke")
        self.call_soon(lambda: say(f"called in {threading.current_thread().name}"))
        stopping.wait()

    def hear(self, message: Float64) -> None:
        if message.data > 100.0:
            raise ObservationError(f"value {message.data} is too large")
        self.echo.publish(message)

    def ask(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        raise ConfigError("nothing to answer")


class UniqueNode(TinyNode):
    unique: ClassVar[bool] = True
    discovery_time: ClassVar[float] = 0.0


class PatientNode(UniqueNode):
    discovery_time: ClassVar[float] = 4.0


if __name__ == "__main__":
    classes = {"unique": UniqueNode, "patient": PatientNode}
    sys.exit(run(classes.get(sys.argv[-1], TinyNode)))
