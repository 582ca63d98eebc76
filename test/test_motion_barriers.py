"""What bars a robot from moving as long as it lasts: a deadman switch, and another source."""

from __future__ import annotations

from typing import Any

import pytest
from test_motion_stage import ARM, CYCLE, WHEELS, Rig, ready

from ab_ros.motion import Code, State

TIMEOUT = 0.1


def guarded(data: dict[str, Any] = ARM, **changes: Any) -> Rig:
    """A robot whose deadman switch is pressed."""
    rig = Rig(data, deadman_timeout=TIMEOUT, **changes)
    rig.stage.deadman(True, rig.steady)
    rig.measure()
    rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.ACTIVE, Code.OK)
    return rig


def test_a_robot_with_a_deadman_switch_waits_for_it() -> None:
    rig = Rig(deadman_timeout=TIMEOUT)
    rig.measure()
    assert rig.where == (State.HOLDING, Code.DEADMAN)
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code, answer.commands) == (False, Code.DEADMAN, ())
    assert answer.reason == "the deadman switch is not pressed"
    assert answer.limited == ("a: deadman", "b: deadman")
    rig.stage.deadman(True, rig.steady)
    rig.measure()
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute(up=1).executed


def test_letting_the_switch_go_stops_the_robot_where_it_is_and_pressing_it_starts_anew() -> None:
    rig = guarded()
    rig.execute(up=1)
    rig.wait(CYCLE / 2)
    rig.measure(a=0.007)
    rig.stage.deadman(False, rig.steady)
    (stop,) = rig.stage.watch(rig.now, rig.steady)
    assert stop.stop
    assert stop.values[-1, 0] == pytest.approx(0.007)
    assert rig.where == (State.HOLDING, Code.DEADMAN)
    assert rig.stage.status().limited == ("a: deadman", "b: deadman")
    assert rig.wait(1.0) == []
    assert not rig.execute(up=1).executed
    rig.carry(a=0.3)
    rig.stage.deadman(True, rig.steady)
    rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute(up=1).commands[0].start[0] == pytest.approx(0.3)
    assert rig.stage.status().counters["stopped_deadman"] == 1


def test_a_switch_that_falls_silent_stops_wheels() -> None:
    rig = guarded(WHEELS, spike_timeout=10.0)
    rig.execute(up=1)
    assert rig.wait(TIMEOUT - 0.01) == []
    (stop,) = rig.wait(0.03)
    assert stop.values[-1, 0] == 0.0
    assert rig.stage.message == "the deadman switch was not heard for 0.1 s"
    rig.stage.deadman(True, rig.steady)
    rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.ACTIVE, Code.OK)


def test_the_switch_counts_although_the_robots_clock_stands_still() -> None:
    rig = guarded(spike_timeout=10.0)
    rig.execute(up=1)
    rig.steady += TIMEOUT + 0.01
    rig.measure()
    assert rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.HOLDING, Code.DEADMAN)


def test_the_switch_lets_go_of_what_a_starved_robot_still_pushes_against() -> None:
    rig = guarded()
    rig.execute(up=1)
    for _ in range(10):
        rig.stage.deadman(True, rig.steady)
        rig.wait(0.01)
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    rig.measure(a=0.005)
    rig.stage.deadman(False, rig.steady)
    (stop,) = rig.stage.watch(rig.now, rig.steady)
    assert stop.values[-1, 0] == pytest.approx(0.005)


def test_the_switch_overrides_no_halt() -> None:
    rig = guarded()
    rig.execute(up=1)
    rig.stage.halt(rig.now, rig.steady)
    rig.stage.deadman(False, rig.steady)
    rig.wait(0.1)
    rig.stage.deadman(True, rig.steady)
    rig.wait(0.1)
    assert rig.where == (State.HOLDING, Code.HALTED)
    rig.stage.deadman(False, rig.steady)
    assert rig.stage.resume(rig.now, rig.steady)
    rig.measure()
    assert rig.where == (State.HOLDING, Code.DEADMAN)


def test_without_a_timeout_there_is_no_switch() -> None:
    rig = ready()
    rig.stage.deadman(False, rig.steady)
    assert rig.execute(up=1).executed


def test_another_source_stops_the_robot_until_it_is_gone() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.stage.other_source("/teleop publishes on arm/cmd")
    (stop,) = rig.stage.watch(rig.now, rig.steady)
    assert stop.stop
    assert rig.where == (State.HOLDING, Code.OTHER_SOURCE)
    assert rig.stage.message == "/teleop publishes on arm/cmd"
    assert rig.wait(1.0) == []  # not a second source on one command
    answer = rig.execute(up=1)
    assert (answer.executed, answer.limited) == (False, ("a: other source", "b: other source"))
    rig.carry(a=-0.4)
    rig.stage.other_source("")
    rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute(up=1).commands[0].start[0] == pytest.approx(-0.4)


def test_another_source_is_met_with_silence_before_anything_was_commanded() -> None:
    rig = Rig()
    rig.stage.other_source("/teleop publishes on arm/cmd")
    rig.measure()
    assert rig.wait(0.5) == []
    assert rig.where == (State.HOLDING, Code.OTHER_SOURCE)


def test_after_another_source_only_a_joint_state_measured_since_the_stop_counts() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.stage.other_source("/teleop")
    rig.stage.watch(rig.now, rig.steady)
    rig.stage.other_source("")
    rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.SEEDING, Code.NO_STATE)
    rig.measure(a=0.1)
    assert rig.where == (State.ACTIVE, Code.OK)
