"""The stepper node and a simulator that only knows how to be stepped, as Gazebo over its bridge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import CycleDone
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import NodeProcess, Peer
from rosgraph_msgs.msg import Clock

from ab_ros.errors import ConfigError
from ab_ros.nodes import qos
from ab_ros.nodes.messages import to_time
from ab_ros.nodes.stepper import steps_of

pytestmark = pytest.mark.ros

STEP = 0.002
_spaces = itertools.count()


def test_a_cycle_is_a_whole_number_of_steps() -> None:
    assert steps_of(0.04, 0.001) == 40
    assert steps_of(0.3, 0.1) == 3
    with pytest.raises(ConfigError, match="no whole number of physics steps"):
        steps_of(0.04, 0.003)
    with pytest.raises(ConfigError, match="no whole number"):
        steps_of(0.0004, 0.001)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("stepper_test")
    yield peer
    peer.close()


class World:
    """A paused simulator, and what it was told."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.space = f"/stepped_{next(_spaces)}"
        self.steps = 0
        self.asked: list[tuple[bool, int]] = []
        self.refuses = self.deaf = False
        self.health = (0, "")
        self.counts: dict[str, str] = {}
        node = peer.node
        self._service: Any = None
        self._clock = node.create_publisher(Clock, "/clock", qos.COMMAND)
        self._done = node.create_publisher(CycleDone, f"{self.space}/cycle_done", qos.REWARD)
        self._ears = node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)

    def offer(self) -> None:
        from ros_gz_interfaces.srv import ControlWorld

        self._service = self.peer.node.create_service(
            ControlWorld, f"{self.space}/control", self._control
        )

    def _control(self, request: Any, response: Any) -> Any:
        control = request.world_control
        self.asked.append((control.pause, control.multi_step))
        response.success = not self.refuses
        if not self.refuses:
            self.steps += control.multi_step
            self._clock.publish(Clock(clock=to_time(self.steps * STEP)))
        return response

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == f"{self.space}/stepper":
                self.health = (status.level[0], status.message)
                self.counts = {value.key: value.value for value in status.values}

    def node(self, *assignments: str) -> NodeProcess:
        given = (f"service:={self.space}/control", f"step:={STEP}", *assignments)
        return NodeProcess(
            Path("-m"),
            *("ab_ros.nodes.stepper", "--ros-args", "-r", f"__ns:={self.space}"),
            *(part for text in given for part in ("-p", text)),
        )

    def done(self, cycle: int, duration: float = 0.04) -> None:
        self._done.publish(CycleDone(run="run", cycle=cycle, duration=duration))

    def heard(self) -> None:
        self.peer.until(self._done.get_subscription_count, "the stepper's subscription")

    def stepped(self, steps: int) -> None:
        self.peer.until(lambda: self.steps >= steps, f"{steps} steps; {self.asked}")
        assert self.steps == steps

    def close(self) -> None:
        for publisher in (self._clock, self._done):
            self.peer.node.destroy_publisher(publisher)
        self.peer.node.destroy_subscription(self._ears)
        if self._service is not None:
            self.peer.node.destroy_service(self._service)


@pytest.fixture
def world(peer: Peer) -> Iterator[World]:
    pytest.importorskip("ros_gz_interfaces.srv", reason="needs ros_gz_interfaces")
    world = World(peer)
    yield world
    world.close()


def test_the_simulator_advances_by_exactly_a_cycle_for_each_answer(world: World) -> None:
    with world.node() as process:
        world.heard()
        world.peer.until(lambda: "no simulator offers" in world.health[1], "a complaint")
        world.offer()
        # It is paused before anything else.
        world.peer.until(lambda: world.asked, "the pause")
        assert world.asked[0] == (True, 0)
        world.done(0)
        world.stepped(20)
        world.done(1, duration=0.02)
        world.stepped(30)
        # Said again, of an old cycle, or of no duration: no time passes.
        world.done(1)
        world.done(0)
        world.done(2, duration=0.0)
        world.done(3)
        world.stepped(50)
        assert all(paused for paused, _ in world.asked)
        world.peer.until(lambda: world.health == (0, "has stepped 0.100 s"), "its word")
        assert world.counts["cycle_done repeated"] == "2"
        process.signal(2)
        assert process.end() == 0


def test_a_refused_step_is_made_again_and_none_is_lost(world: World) -> None:
    with world.node():
        world.heard()
        world.offer()
        world.peer.until(lambda: world.asked, "the pause")
        world.refuses = True
        world.done(0)
        world.peer.until(lambda: "refuses to make 20 steps" in world.health[1], "a complaint")
        world.done(1)
        world.refuses = False
        world.stepped(40)
        world.peer.until(lambda: world.health[0] == 0, "the complaint's end")


def test_a_cycle_that_is_no_whole_number_of_steps_is_told(world: World) -> None:
    world.offer()
    with world.node() as process:
        world.heard()
        world.peer.until(lambda: world.asked, "the pause")
        world.done(0, duration=0.0013)
        process.wait_for("no whole number of physics steps")
        world.done(1)
        world.stepped(20)
