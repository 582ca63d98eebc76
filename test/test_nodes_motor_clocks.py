"""The motor node on a robot's clock: it stops, jumps and waits with it."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from motor_files import STEP, parameters
from motor_rig import CYCLE, T, rigged
from ros_process import Peer
from rosgraph_msgs.msg import Clock

from ab_ros.motion import Code, State
from ab_ros.nodes.messages import to_time

pytestmark = pytest.mark.ros


@contextlib.contextmanager
def ticking(motor_peer: Peer, clock: Callable[[], float]) -> Iterator[None]:
    """Publish a robot's clock."""
    publisher = motor_peer.node.create_publisher(Clock, "/clock", 10)
    timer = motor_peer.node.create_timer(
        0.01, lambda: publisher.publish(Clock(clock=to_time(clock())))
    )
    try:
        yield
    finally:
        motor_peer.node.destroy_timer(timer)
        motor_peer.node.destroy_publisher(publisher)


def test_a_clock_that_goes_back_throws_away_what_still_plays(
    motor_peer: Peer, tmp_path: Path
) -> None:
    begun, offset = time.monotonic(), [1000.0]

    def clock() -> float:
        return time.monotonic() - begun + offset[0]

    path = parameters(
        tmp_path,
        # Slow enough to be moving for long after a cycle.
        more="    following_error: 0.0\n    max_cycle_age: 5.0\n    spike_timeout: 30.0\n"
        "    state_timeout: 30.0\n    steady_timeout: 30.0\n    clock_leap: 10.0\n",
    )
    arguments = ("-r", "__ns:=/timed", "-p", "use_sim_time:=true")
    with (
        ticking(motor_peer, clock),
        rigged(motor_peer, path, *arguments, namespace="/timed", clock=clock) as rig,
    ):
        rig.begin("timed")
        rig.feeling = True
        rig.ready()
        rig.known()
        assert rig.forward.value is None
        # A cycle of 4 s.
        assert rig.answer(*rig.send(dt=0.1)).executed
        rig.peer.until(lambda: (rig.forward.value or 0.0) > 0.0, "the first points")
        rig.feeling = False
        offset[0] = 100.0
        status = rig.reaches(State.HOLDING, Code.CLOCK_JUMP)
        assert "went back" in status.message
        wheels = rig.velocities.values()
        rig.peer.until(lambda: all(values.value == 0.0 for values in wheels), "the wheels' stop")
        rig.listen(CYCLE)
        at = rig.picture()[0]
        rig.listen(2 * CYCLE)
        assert rig.picture()[0]["c"] == at["c"] < STEP * T / 2
        assert rig.picture()[0]["j"] == at["j"]
        assert all(values.value == 0.0 for values in rig.velocities.values())
        # The robot was reset together with its clock; it is not driven back.
        rig.feel(c=0.0, j=0.0)
        rig.reaches(State.ACTIVE)
        assert rig.picture()[0]["c"] == at["c"]
        begin = len(rig.forward.heard)
        assert rig.answer(*rig.send()).executed
        rig.peer.until(lambda: len(rig.forward.heard) > begin, "a command")
        rig.listen(CYCLE)
        assert all(0.0 < value <= STEP * T * 1.001 for value in rig.forward.values[begin:])


def test_a_clock_that_stands_still_or_leaps_stops_the_robot(
    motor_peer: Peer, tmp_path: Path
) -> None:
    shown, ticks = [1000.0], [True]
    last = [time.monotonic()]

    def clock() -> float:
        now = time.monotonic()
        shown[0] += now - last[0] if ticks[0] else 0.0
        last[0] = now
        return shown[0]

    path = parameters(tmp_path, more="    clock_leap: 10.0\n")
    arguments = ("-r", "__ns:=/clocked", "-p", "use_sim_time:=true")
    with (
        ticking(motor_peer, clock),
        rigged(motor_peer, path, *arguments, namespace="/clocked", clock=clock) as rig,
    ):
        rig.begin("clocked")
        rig.feeling = True
        rig.ready()
        rig.beating = True
        rig.executed(2)
        # A clock that stands still, and all that is published on it: the computer's own one tells.
        rig.feeling = rig.beating = ticks[0] = False
        rig.stopped(time.monotonic() + 1.0, Code.STALE_SPIKES, Code.STALE_STATE)
        for leap, says in ((60.0, "leapt forward by"), (-120.0, "went back by")):
            rig.feeling = rig.beating = ticks[0] = True
            rig.executed(2)
            shown[0] += leap
            rig.feeling = rig.beating = False
            status = rig.stopped(time.monotonic(), Code.CLOCK_JUMP)
            assert says in status.message
        rig.feeling = rig.beating = True
        rig.executed(2)


def test_in_lockstep_a_cycle_waits_for_its_joint_state_but_not_for_ever(
    motor_peer: Peer, tmp_path: Path
) -> None:
    path = parameters(tmp_path, more="    pacing: lockstep\n    steady_timeout: 3.0\n")
    now = [0.0]
    arguments = ("-r", "__ns:=/steps", "-p", "use_sim_time:=true")
    with rigged(motor_peer, path, *arguments, namespace="/steps", clock=lambda: now[0]) as rig:
        rig.begin("steps")
        now[0] = 1.0
        rig.peer.until(lambda: rig.status.last.state == State.SEEDING, "an active node")
        rig.feel()
        rig.peer.until(lambda: rig.status.last.state != State.SEEDING, "a seed")
        rig.known()
        assert rig.answer(*rig.send()).executed
        rig.peer.until(lambda: rig.hand.heard and rig.wheel.heard, "commands")
        # In lockstep the end of the cycle is commanded at once.
        for values in (rig.forward, rig.state_command):
            rig.peer.until(lambda v=values: (v.value or 0.0) > 0.9 * STEP * T, "the end")
        # The first cycle of a run may overtake its contract, which is on another topic.
        now[0] += CYCLE
        rig.feel()
        rig.number = 0
        early = rig.send(run="next steps", number=0)
        rig.listen(0.1)
        assert not rig.answers(*early)
        rig.begin("next steps")
        rig.number = 1
        assert rig.answer(*early).executed
        now[0] += CYCLE
        waits = rig.send()
        rig.listen(0.1)
        assert not rig.answers(*waits)
        rig.feel()
        assert rig.answer(*waits).executed
        now[0] += CYCLE
        never = rig.answer(*rig.send())
        assert (never.executed, never.code) == (False, Code.STALE_STATE)
        assert "the joint state that the brain saw had not come" in never.reason
        # Two cycles at once: the first one is refused, each has its answer.
        first, second = rig.send(), rig.send()
        assert not rig.answer(*first).executed
        rig.feel()
        assert rig.answer(*second).executed
        # A node that ends answers for what it leaves.
        now[0] += CYCLE
        left = rig.send()
        # What is refused at once has come after it.
        assert rig.answer(*rig.send(run="no such", dt=math.nan)).code == Code.WRONG_RUN
        assert not rig.answers(*left)
        rig.process.signal(signal.SIGINT)
        assert rig.answer(*left).code == Code.NOT_ACTIVE
        assert rig.process.end() == 0
        rig.peer.until(lambda: all(rig.answers(*cycle) for cycle in rig.sent), "all answers")
        rig.listen(0.2)
        assert all(len(rig.answers(*cycle)) == 1 for cycle in rig.sent)
        # Those of executed cycles, and the stop at the end.
        assert len(rig.arm.heard) <= sum(m.executed for _, m in rig.done.heard) + 1
