"""The motor node as a robot, a brain and an operator see it, over DDS.

Cycles last 0.2 s here, so that being busy for a moment does not look like a node that is late.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.msg import MotorStatus, PopulationSpikes
from diagnostic_msgs.msg import DiagnosticArray
from motor_files import ARM_ONLY, MOVED, PATIENT, STEP, parameters
from motor_rig import CONTRACT, CYCLE, DT, NEURONS, Rig, T, rigged
from ros_process import Peer

from ab_ros.contract import Contract
from ab_ros.motion import Code, State
from ab_ros.nodes.messages import packed, seconds

pytestmark = pytest.mark.ros


def test_every_cycle_has_one_answer_and_every_interface_its_commands(rig: Rig) -> None:
    # A brain that is late for a moment stops the robot, which may then seed elsewhere.
    assert rig.peer.set_parameters("motor", spike_timeout=2.0).successful
    rig.rests()
    before = rig.where()
    begin = {values: len(values.heard) for values in (rig.forward, rig.state_command)}
    rig.beating = True
    rig.executed(4)
    rig.rests()
    assert rig.peer.set_parameters("motor", spike_timeout=0.0).successful
    for run, number in rig.sent:
        assert len(rig.answers(run, number)) == 1, (run, number)
    done = next(message for _, message in reversed(rig.done.heard) if message.executed)
    assert done.commands == 11
    assert done.duration == pytest.approx(CYCLE)
    assert 0.0 <= done.latency < 10.0
    for _, message in rig.arm.heard:
        assert message.joint_names == ["a", "b"]
        times = [seconds(point.time_from_start) for point in message.points]
        assert times[0] == pytest.approx(0.02)
        assert np.all(np.diff(times) > 0.0)
        assert list(message.points[-1].velocities) == [0.0, 0.0]
        assert all(len(point.positions) == 2 for point in message.points)
    at = rig.where()
    assert at["b"] == 0.0
    moved = {name: at[name] - before[name] for name in at}
    assert moved["a"] > 3 * STEP * T
    # Played point by point, they end where the trajectory does.
    for name in ("c", "g", "j", "p", "q"):
        assert moved[name] == pytest.approx(moved["a"], abs=2 * STEP * T)
    for values, first in begin.items():
        steps = np.diff(values.values[first:])
        assert np.all(steps >= -1e-12)
        assert len(values.heard) > len(rig.done.heard)
    assert list(rig.state_command.last.name) == ["j"]
    for values in rig.velocities.values():
        assert max(values.values) == pytest.approx(STEP / DT)
        assert values.value == 0.0
        # It speeds up and ramps down rather than jumping.
        assert any(0.0 < value < STEP / DT * 0.99 for value in values.values)
    # A level that leaks away: pushed by 0.4 a second, it settles where a fifth of that leaks.
    assert 0.05 < max(rig.push.values) < STEP / DT * 0.2 * 1.02
    assert rig.push.value == pytest.approx(0.0, abs=1e-9)
    assert rig.stamped.last.header.stamp.sec > 0
    assert list(rig.jog.last.joint_names) == ["k"]
    assert rig.jog.last.duration == pytest.approx(0.02)
    assert rig.jog.last.header.stamp.sec > 0
    _, goal = rig.grip.heard[-1]
    assert (list(goal.name), list(goal.effort)) == (["p"], [5.0])
    _, goal = rig.pinch.heard[-1]
    assert goal.max_effort == 0.0


def test_spikes_of_the_other_half_move_back(rig: Rig) -> None:
    before = rig.where()["a"]
    rig.neuron = 2
    rig.peer.until(lambda: rig.where()["a"] < before - STEP * T, "moving back")


def test_joint_states_may_come_in_parts_one_right_after_the_other(rig: Rig) -> None:
    def pause() -> tuple[float, set[int]]:
        """Tell for how long at most this process itself sent none, and what codes came."""
        rig.reaches(State.ACTIVE)
        begin, sent = len(rig.status.heard), {rig.last_state}
        cycles = sum(message.executed for _, message in rig.done.heard) + 15

        def over() -> bool:
            sent.add(rig.last_state)
            return sum(message.executed for _, message in rig.done.heard) >= cycles

        rig.peer.until(over, "cycles for longer than joint states may be missing")
        rig.reaches(State.ACTIVE)
        sent.add(rig.last_state)
        codes = {message.code for _, message in rig.status.heard[begin:]}
        return float(np.diff(sorted(sent)).max()), codes

    rig.apart = True
    try:
        pauses = []
        while not pauses or pauses[-1][0] > 0.5:  # held up itself
            pauses.append(pause())
            assert len(pauses) < 20, pauses
    finally:
        rig.apart = False
    assert MotorStatus.STALE_STATE not in pauses[-1][1]


def test_every_state_and_code_of_the_stage_has_its_name_in_the_message() -> None:
    for member in (*State, *Code):
        assert getattr(MotorStatus, member.name) == int(member), member


def test_diagnostics_have_rates_ages_drops_and_latencies_of_every_stage(rig: Rig) -> None:
    figures: dict[str, str] = {}

    def hear(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == "/motor":
                figures.update({value.key: value.value for value in status.values})

    subscription = rig.peer.node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
    rig.executed(1)
    rig.number += 3  # cycles that were lost on the way
    rig.peer.until(lambda: int(figures.get("cycles_missed", "0")) >= 3, "the lost cycles")
    for stream in ("spikes", "joint_states", "arm/cmd", "forward/cmd", "grip/cmd"):
        assert float(figures[f"{stream} rate (Hz)"]) > 0.0
        assert 0.0 <= float(figures[f"{stream} age (s)"]) < 10.0
    for stage in ("cycle start to spikes", "spikes to plan", "plan to command"):
        assert 0.0 < float(figures[f"{stage} p50 (ms)"]) <= float(figures[f"{stage} p99 (ms)"])
    rig.peer.node.destroy_subscription(subscription)


# ------------------------------------------------------------------------------------ refusing


def population(name: str = "A", size: int = NEURONS, t: Any = (), neuron: Any = ()) -> Any:
    return [PopulationSpikes(id=name, size=size, t=packed(t, "H"), neuron=packed(neuron, "I"))]


def table(values: Sequence[float], *channels: str) -> dict[str, Any]:
    """What a brain sends that commands channels itself."""
    return {"populations": [], "channel": channels or ["a"], "delta": packed(values, "d")}


REFUSED: dict[str, tuple[dict[str, Any], Code, str]] = {
    "another run": ({"run": "another"}, Code.WRONG_RUN, "the run is"),
    "a repeated cycle": ({"number": 0}, Code.WRONG_RUN, "comes after cycle"),
    "a late timestep": ({"populations": population(t=[T], neuron=[0])}, Code.BAD_FRAME, "below 40"),
    "no such neuron": (
        {"populations": population(t=[0], neuron=[NEURONS])}, Code.BAD_FRAME, "below 4",
    ),
    "uneven lists": (
        {"populations": population(t=[0, 1], neuron=[0])}, Code.BAD_FRAME, "but 1 neurons",
    ),
    "no such population": (
        {"populations": [*population(), *population("Z")]}, Code.BAD_FRAME, "'Z'; one of: A",
    ),
    "twice": ({"populations": [*population(), *population()]}, Code.BAD_FRAME, "comes twice"),
    "none at all": ({"populations": []}, Code.BAD_FRAME, "timesteps"),
    "another size": ({"populations": population(size=5)}, Code.BAD_FRAME, "[T, 4]"),
    "an absurd size": ({"populations": population(size=2**32 - 1)}, Code.BAD_FRAME, "at most"),
    "another length": ({"timesteps": T + 1}, Code.BAD_FRAME, "the contract says 40"),
    "commands of its own": (table([STEP] * T), Code.BAD_FRAME, "only where 'direct' is true"),
    "a torn table": (table([STEP]), Code.BAD_FRAME, "1 values for 40 timesteps and 1 channels"),
    "both": ({**table([STEP] * T), "populations": population()}, Code.BAD_FRAME, "not both"),
    "dt of NaN": ({"dt": math.nan}, Code.BAD_FRAME, "dt must be greater than 0"),
    "dt of 0": ({"dt": 0.0}, Code.BAD_FRAME, "dt must be greater than 0"),
    "dt of infinity": ({"dt": math.inf}, Code.BAD_FRAME, "dt must be"),
    "dt too long": ({"dt": 1e300}, Code.BAD_FRAME, "dt within"),
    "long ago": ({"stamp": 5.0}, Code.LATE_CYCLE, "s ago"),
    "ahead": ({"stamp": 2e9}, Code.LATE_CYCLE, "ahead of the clock"),
}  # fmt: skip


def test_wrong_spikes_are_refused_with_a_reason_and_move_nothing(rig: Rig) -> None:
    rig.rests()
    before = rig.picture()
    refused = rig.status.last.cycles_refused
    for what, (changes, code, says) in REFUSED.items():
        run, number = rig.send(**changes)
        heard = 2 if what == "a repeated cycle" else 1
        rig.peer.until(lambda n=heard, c=(run, number): len(rig.answers(*c)) >= n, what)
        answer = rig.answers(run, number)[-1]
        assert (answer.executed, answer.code, answer.commands) == (False, code, 0), what
        assert says in answer.reason, (what, answer.reason)
        assert math.isfinite(answer.duration), what
    # What was refused is answered for: a corrected cycle of its number comes too late.
    rig.send(number=rig.number - 1)
    rig.peer.until(lambda: rig.done.last.code == Code.WRONG_RUN, "the refusal")
    rig.peer.until(
        lambda: rig.status.last.cycles_refused == refused + len(REFUSED) + 1, "the count"
    )
    rig.listen(CYCLE)
    assert rig.picture() == before


def test_a_run_that_is_announced_again_does_not_let_its_cycles_through_twice(rig: Rig) -> None:
    rig.rests()
    before = rig.picture()
    rig.publish_contract(CONTRACT, rig.run)
    rig.listen(0.3)
    number = rig.number - 1
    rig.send(number=number)
    rig.peer.until(lambda: len(rig.answers(rig.run, number)) == 2, "the refusal")
    assert rig.answers(rig.run, number)[1].code == Code.WRONG_RUN
    assert rig.picture() == before


def test_a_later_run_that_the_mapping_does_not_fit_is_refused(rig: Rig) -> None:
    rig.rests()
    other = Contract.from_dict(
        {"constants": {"gamma": T}, "io": {"outputs": [{"id": "B", "n": 4}]}}
    )
    rig.publish_contract(other, "other brain")
    rig.process.wait_for("no output population 'A'; one of: B")
    # A computer that is busy for a moment may refuse a cycle for old joint states instead.
    numbers = itertools.count()
    answers = []

    def told() -> bool:
        answers.append(rig.answer(*rig.send(run="other brain", number=next(numbers))))
        return "no output population 'A'" in answers[-1].reason

    rig.peer.until(told, "the reason")
    assert not any(answer.executed for answer in answers)


def test_commands_of_a_brain_are_executed_where_that_is_allowed(
    motor_peer: Peer, tmp_path: Path
) -> None:
    path = parameters(tmp_path, **ARM_ONLY, more="    direct: true\n" + PATIENT)
    with rigged(motor_peer, path, "-r", "__ns:=/direct", namespace="/direct") as rig:
        rig.feeling = True
        rig.begin("direct", remote=True)
        rig.ready()
        rig.known()
        before = rig.where()
        answer = rig.answer(*rig.send(**table([STEP, -STEP] * T, "b", "a")))
        assert answer.executed, answer.reason
        goal = {"b": before["b"] + T * STEP, "a": before["a"] - T * STEP}
        rig.peer.until(
            lambda: all(abs(rig.where()[name] - goal[name]) < 1e-6 for name in goal), "the motion"
        )
        for values, channel, code, says in (
            ([math.nan] * T, "a", Code.NON_FINITE, "channel 'a' is not finite"),
            ([STEP] * T, "nose", Code.BAD_FRAME, "channel 'nose'; one of: a, b"),
        ):
            rig.ready()
            answer = rig.answer(*rig.send(**table(values, channel)))
            assert (answer.executed, answer.code) == (False, code)
            assert says in answer.reason
        rig.listen(CYCLE)
        assert all(abs(rig.where()[name] - goal[name]) < 1e-6 for name in goal)


def test_a_remote_brain_is_waited_for_by_its_own_rhythm(rig: Rig) -> None:
    def said_when_it_stopped() -> float:
        message = rig.reaches(State.HOLDING, Code.STALE_SPIKES, rig.last_sent).message
        return float(re.fullmatch(r"no fresh cycle for ([0-9.]+) s", message).group(1))

    rig.rests()
    rig.begin("slow", remote=True)
    rig.known()
    for _ in range(4):
        assert rig.answer(*rig.send()).executed
        rig.listen(1.5 * CYCLE)
    assert 2.0 * CYCLE < said_when_it_stopped() <= 1.0
    rig.begin("here")
    rig.known()
    assert rig.answer(*rig.send()).executed
    assert said_when_it_stopped() == pytest.approx(2.0 * CYCLE)


# -------------------------------------------------------------------------------------- tuning


def test_a_gain_and_a_limit_hold_from_the_next_cycle_on(rig: Rig) -> None:
    gain = f"mapping__m{MOVED.index('w')}__gain"
    assert rig.peer.set_parameters("motor", **{gain: 0.5}).successful
    rig.executed(2)
    rig.peer.until(lambda: rig.wheel.value == pytest.approx(0.5 * STEP / DT), "half the speed")
    assert rig.peer.set_parameters("motor", limits__w__velocity=0.125).successful
    rig.executed(2)
    rig.peer.until(lambda: rig.wheel.value == pytest.approx(0.125), "the limit")
    rig.peer.until(lambda: "w: velocity" in rig.status.last.limited, "its report")
    assert rig.peer.set_parameters("motor", **{gain: 1.0}, limits__w__velocity=2.0).successful
    rig.peer.until(lambda: rig.wheel.value == pytest.approx(STEP / DT), "the old speed")


def test_timeouts_and_limits_of_effort_can_be_tuned_while_it_runs(rig: Rig) -> None:
    assert rig.peer.set_parameters("motor", spike_timeout=1.25, limits__e__effort=0.02).successful
    rig.executed(2)
    rig.peer.until(lambda: 0.0 < rig.push.value <= 0.02, "the limit")
    heard = len(rig.push.heard)
    rig.executed(2)
    rig.peer.until(lambda: len(rig.push.heard) > heard, "efforts")
    assert max(rig.push.values[heard:]) <= 0.02
    rig.peer.until(lambda: "e: effort" in rig.status.last.limited, "its report")
    rig.beating = False
    stopped = rig.reaches(State.HOLDING, Code.STALE_SPIKES, rig.last_sent)
    assert stopped.message == "no fresh cycle for 1.25 s"
    assert rig.peer.set_parameters("motor", spike_timeout=0.0, limits__e__effort=0.5).successful


def test_contradictory_changes_are_rejected_with_a_reason(rig: Rig) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"limits__a__lower": 91.0}, "lower must be less than upper"),
        ({"limits__a__velocity": -1.0}, "limits.a.velocity"),
        ({"limits__a__velocity": math.nan}, "limits.a.velocity"),
        ({"limits__a__acceleration": 1e-3}, "to brake from its velocity"),
        ({"limits__a__margin": 100.0}, "leaves nothing"),
        ({"mapping__m0__clamp": [0.1, 0.2]}, "excludes 0"),
        ({"mapping__m0__scheme": "bipolar"}, "one of: bipolarSplit"),
        ({"pacing": "lockstep"}, "read-only"),
    ]
    for changes, says in cases:
        result = rig.peer.set_parameters("motor", **changes)
        assert not result.successful, changes
        assert says in result.reason, result.reason
    rig.executed(1)
