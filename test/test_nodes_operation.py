"""All nodes through their life cycles, and a whole loop whose robot's clock comes, stands, and goes
back: as an operator and a simulation make it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import CycleDone, MotorStatus
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from ros_process import NodeProcess, Peer
from rosgraph_msgs.msg import Clock

from ab_ros.nodes import qos
from ab_ros.nodes.messages import to_time

pytestmark = pytest.mark.ros

_spaces = itertools.count()
_COMPOSED = Path(__file__).with_name("composed_process.py")


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("operation_test")
    yield peer
    peer.close()


def node(name: str, space: str, config: Path, *assignments: str) -> NodeProcess:
    given = [part for text in assignments for part in ("-p", text)]
    return NodeProcess(
        Path("-m"),
        f"ab_ros.nodes.{name}",
        *("--ros-args", "-r", f"__ns:={space}", "--params-file", str(config), *given),
    )


@pytest.mark.parametrize("name", ["brain", "motor", "critic", "sim"])
def test_every_transition_can_be_asked_for_again_and_again(
    peer: Peer, root: Path, name: str
) -> None:
    space = f"/life_{next(_spaces)}"
    full = f"{space}/{name}"
    config = root / "config" / "demo.yaml"
    with node(name, space, config, "autostart:=false", "use_sim_time:=false") as process:
        assert peer.state(full) == "unconfigured"
        for _ in range(2):
            assert peer.transition(full, Transition.TRANSITION_CONFIGURE)
            assert peer.state(full) == "inactive"
            for _ in range(2):
                assert peer.transition(full, Transition.TRANSITION_ACTIVATE)
                assert peer.state(full) == "active"
                assert peer.transition(full, Transition.TRANSITION_DEACTIVATE)
                assert peer.state(full) == "inactive"
            assert peer.transition(full, Transition.TRANSITION_CLEANUP)
            assert peer.state(full) == "unconfigured"
        # What the state does not allow is refused, and changes nothing.
        assert not peer.transition(full, Transition.TRANSITION_ACTIVATE)
        assert peer.state(full) == "unconfigured"
        assert peer.transition(full, Transition.TRANSITION_CONFIGURE)
        assert peer.transition(full, Transition.TRANSITION_ACTIVATE)
        assert peer.transition(full, Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert peer.state(full) == "finalized"
        process.signal(2)
        assert process.end() == 0, process.errors


class Loop:
    """What is heard of a loop of nodes in a namespace, and the clock that they go by."""

    def __init__(self, peer: Peer, space: str) -> None:
        self.peer, self.space = peer, space
        self.done: list[CycleDone] = []
        self.status = MotorStatus()
        self.said: list[str] = []
        self.levels: dict[str, tuple[int, str]] = {}
        self.figures: dict[str, dict[str, str]] = {}
        self.clock = peer.node.create_publisher(Clock, "/clock", 10)
        listen = peer.node.create_subscription
        self._ends = [
            listen(CycleDone, f"{space}/cycle_done", self.done.append, qos.REWARD),
            listen(MotorStatus, f"{space}/motor/status", self._status, qos.STATUS),
            listen(DiagnosticArray, "/diagnostics", self._diagnose, 10),
        ]

    def _status(self, message: MotorStatus) -> None:
        self.status = message
        self.said.append(message.message)

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id.startswith(self.space + "/"):
                name = status.hardware_id.rsplit("/", 1)[-1]
                self.levels[name] = (status.level[0], status.message)
                self.figures[name] = {value.key: value.value for value in status.values}

    def until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            self.peer.until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status}; {self.levels}") from None

    def executes(self, count: int = 5) -> None:
        """Wait until that many cycles have been executed from now on."""
        begin = len(self.done)
        self.until(lambda: sum(m.executed for m in self.done[begin:]) >= count, f"{count} cycles")

    def close(self) -> None:
        for end in self._ends:
            self.peer.node.destroy_subscription(end)
        self.peer.node.destroy_publisher(self.clock)


def test_a_clock_may_come_late_stand_still_and_go_back(
    peer: Peer, root: Path, tmp_path: Path
) -> None:
    pacing = tmp_path / "pacing.yaml"
    text = "/**/{}:\n  ros__parameters: {{pacing: realtime}}\n"
    pacing.write_text(text.format("brain") + text.format("motor"))
    space = f"/time_{next(_spaces)}"
    config = root / "config" / "demo.yaml"
    loop = Loop(peer, space)
    composed = NodeProcess(
        _COMPOSED,
        *("--ros-args", "-r", f"__ns:={space}", "--params-file", str(config)),
        *("--params-file", str(pacing)),
    )
    with composed:
        # It comes late: the nodes wait, and say what for.
        names = ("brain", "motor", "critic")
        for name in names:
            loop.until(
                lambda name=name: (
                    "nobody publishes it" in loop.levels.get(name, (0, ""))[1]
                    or "has sent none" in loop.levels.get(name, (0, ""))[1]
                ),
                f"a word of the {name} node about the clock",
            )
        assert not any(message.executed for message in loop.done)
        world = ("motion:=still", "pacing:=realtime")
        with node("sim", space, config, *world) as simulation:
            loop.executes()
            loop.until(lambda: loop.levels["motor"][1] == "executes cycles", "a sound motor node")
            loop.until(
                lambda: 0.5 < float(loop.figures["brain"].get("real-time factor", 0.0)) < 1.5,
                "the real-time factor",
            )
            # It stands still, and all sensors with it: the robot holds.
            assert peer.transition(f"{space}/sim", Transition.TRANSITION_DEACTIVATE)
            loop.until(lambda: loop.status.state == MotorStatus.HOLDING, "the robot's hold")
            held = sum(message.executed for message in loop.done)
            assert peer.transition(f"{space}/sim", Transition.TRANSITION_ACTIVATE)
            loop.until(lambda: loop.status.state == MotorStatus.ACTIVE, "the robot to go on")
            loop.executes()
            assert sum(message.executed for message in loop.done) > held
            simulation.signal(2)
            assert simulation.end() == 0
        # It goes back to 0: the simulation is started anew.
        with node("sim", space, config, *world):
            loop.until(lambda: any("went back by" in text for text in loop.said), "its hold")
            loop.until(lambda: loop.figures["motor"].get("clock_jumps"), "word of the jump")
            loop.executes()
            loop.until(lambda: loop.levels["brain"][0] == 0, "a sound brain node")
        composed.signal(2)
        assert composed.end() == 0, composed.errors
    loop.close()


def test_a_publisher_of_the_clock_that_says_nothing_is_told_apart(peer: Peer, root: Path) -> None:
    space = f"/mute_{next(_spaces)}"
    loop = Loop(peer, space)
    with node("critic", space, root / "config" / "demo.yaml"):
        loop.until(lambda: "has sent none" in loop.levels.get("critic", (0, ""))[1], "the warning")
        begun = time.monotonic()

        def told() -> bool:
            loop.clock.publish(Clock(clock=to_time(10.0 + time.monotonic() - begun)))
            return loop.levels["critic"][0] == 0

        loop.until(told, "the warning's end")
    loop.close()
