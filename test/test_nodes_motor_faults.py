"""Each fault once, on a motor node with a group of every interface: what the robot gets."""

from __future__ import annotations

import math
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from motor_files import MOVED
from motor_rig import BRAIN, CYCLE, Rig
from ros_process import NodeProcess

from ab_ros.motion import Code, State
from ab_ros.nodes.messages import seconds

pytestmark = pytest.mark.ros


def test_the_robot_stops_when_spikes_stop_and_goes_on_with_the_next(rig: Rig) -> None:
    rig.beating = False
    status = rig.stopped(max(rig.sent.values()), Code.STALE_SPIKES)
    assert "no fresh cycle" in status.message
    rig.beating = True
    rig.executed(2)
    assert rig.reaches(State.ACTIVE).code in (Code.OK, Code.DRIFT)


def test_the_robot_stops_when_joint_states_stop_and_goes_on_with_the_next(rig: Rig) -> None:
    rig.feeling = False
    status = rig.stopped(rig.last_state, Code.STALE_STATE)
    assert "joint state of a, b" in status.message
    refused = rig.answer(*rig.send())
    assert not refused.executed
    assert refused.code == Code.STALE_STATE
    rig.feeling = True
    rig.executed(2)


def test_the_robot_stops_when_one_joint_is_missing(rig: Rig) -> None:
    rig.missing.add("p")
    status = rig.stopped(time.monotonic(), Code.STALE_STATE)
    assert "no fresh joint state of p for" in status.message
    rig.missing.clear()
    rig.executed(2)


def test_the_robot_stops_when_the_brain_is_frozen_or_killed(rig: Rig) -> None:
    rig.beating = False
    with NodeProcess(BRAIN, "frozen") as brain:

        def goes_on() -> None:
            rig.executed(2, run="frozen")

        goes_on()
        brain.signal(signal.SIGSTOP)
        # A cycle that it sent last may still be on its way.
        rig.stopped(time.monotonic(), Code.STALE_SPIKES)
        brain.signal(signal.SIGCONT)
        goes_on()
        brain.process.kill()
        brain.process.wait(10.0)
        rig.stopped(time.monotonic(), Code.STALE_SPIKES)
    rig.begin("next brain")
    rig.beating = True
    rig.executed(1)


def test_a_second_source_of_joint_states_holds_the_robot_and_is_named(rig: Rig) -> None:
    def pretend() -> bool:
        rig.feel(a=rig.where()["a"] - 0.9)
        return bool(rig.status.last.code == Code.STATE_JUMP)

    rig.peer.until(pretend, "the hold")
    assert "position of 'a' jumps from" in rig.status.last.message
    assert "a second publisher of its joint states" in rig.status.last.message
    rig.executed(2)
    rig.reaches(State.ACTIVE, Code.OK)


def test_a_joint_state_that_is_not_finite_holds_the_robot_until_the_next(rig: Rig) -> None:
    cases = [
        (rig.bad, "b", math.nan, "position of 'b' is nan"),
        (rig.bad, "j", -math.inf, "position of 'j' is -inf"),
        (rig.speeds, "p", math.inf, "velocity of 'p' is inf"),
    ]
    for field, joint, value, says in cases:
        field[joint] = value
        since = time.monotonic()
        status = rig.stopped(since, Code.NON_FINITE)
        assert says in status.message
        assert all(math.isfinite(value) for value in status.commanded)
        rig.process.wait_for(f"joint_states: {says}")
        field.clear()
        rig.executed(2)
        rig.reaches(State.ACTIVE)
    # Many drivers give no speeds, or NaN for them.
    rig.speeds["a"] = math.nan
    rig.executed(2)
    rig.reaches(State.ACTIVE)
    rig.speeds.clear()


def test_a_halt_stays_until_resume(rig: Rig) -> None:
    halted = rig.trigger("halt")
    since = time.monotonic()
    assert halted.success
    rig.stopped(since, Code.HALTED)
    refused = rig.answer(*rig.send())
    assert (refused.executed, refused.code) == (False, Code.HALTED)
    # Neither a new run nor a gap in the joint states lets go of it.
    rig.feeling = False
    rig.listen(1.5)
    rig.feeling = True
    rig.begin("after the halt")
    rig.known()
    assert rig.answer(*rig.send()).code == Code.HALTED
    assert rig.trigger("resume").success
    rig.executed(2)
    again = rig.trigger("resume")
    assert not again.success
    assert "nothing to resume from" in again.message


@pytest.mark.parametrize("joint", ["a", "c", "p"])
def test_limits_that_are_shrunk_below_a_moving_joint_stop_it(rig: Rig, joint: str) -> None:
    rig.peer.until(lambda: rig.where()[joint] > 0.01, "a joint that has moved")
    upper = rig.where()[joint] - 0.001
    assert rig.peer.set_parameters("motor", **{f"limits__{joint}__upper": upper}).successful
    status = rig.stopped(time.monotonic(), Code.LIMIT_FAULT)
    assert repr(joint) in status.message
    assert rig.peer.set_parameters("motor", **{f"limits__{joint}__upper": 90.0}).successful
    refused = rig.answer(*rig.send())
    assert (refused.executed, refused.code) == (False, Code.LIMIT_FAULT)
    assert rig.trigger("resume").success
    rig.executed(1)


def test_deltas_that_are_ten_times_too_large_move_it_no_faster_than_it_may(rig: Rig) -> None:
    gains = {f"mapping__m{index}__gain": 10.0 for index in range(len(MOVED))}
    # At such a speed a robot that is held up for a moment is far from its command.
    assert rig.peer.set_parameters("motor", **gains, following_error=0.0).successful
    rig.executed(1)
    begin, before = time.monotonic(), rig.where()
    marks = {name: len(track.heard) for name, track in rig.velocities.items()}
    arm = len(rig.arm.heard)
    rig.executed(5)
    after, duration = rig.where(), time.monotonic() - begin
    # Every joint that was held back is named with the rule that did so; one that was let behind, as
    # by a computer that is busy for a moment, is brought near first.
    held_back = {"velocity", "acceleration", "effort"}

    def are_named() -> bool:
        limited = [text.split(": ") for text in rig.status.last.limited]
        names, rules = {name for name, _ in limited}, {rule for _, rule in limited}
        return names == set(MOVED) and rules <= held_back

    rig.peer.until(are_named, "their names and rules")
    for name, track in rig.velocities.items():
        rig.peer.until(
            lambda t=track, n=marks[name]: max(t.values[n:], default=0.0) > 2.0 - 1e-6, name
        )
        assert max(track.values[marks[name] :]) == pytest.approx(2.0)
    for _, message in rig.arm.heard[arm:]:
        times = np.array([seconds(point.time_from_start) for point in message.points])
        path = np.array([list(point.positions) for point in message.points])
        assert np.all(np.abs(np.diff(path, axis=0)) <= 2.0 * np.diff(times)[:, None] + 1e-9)
        speeds = np.array([list(point.velocities) for point in message.points])
        assert np.abs(speeds).max() <= 2.0 + 1e-9
    for name in rig.positions:
        # Ahead of time by a cycle and its braking tail at most.
        assert after[name] - before[name] <= 2.0 * (duration + 2.0 * CYCLE), name
    assert rig.peer.set_parameters("motor", **dict.fromkeys(gains, 1.0)).successful
    rig.rests()
    assert rig.peer.set_parameters("motor", following_error=0.5).successful
