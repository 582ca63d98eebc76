"""Efforts: a level that leaks, and that never pushes a joint on where it must not go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_motion_stage import ARM, CYCLE, DT, Rig, T, build

from ab_ros.errors import ConfigError
from ab_ros.motion import Code, Command, State, limits_from_urdf
from ab_ros.motion.integrate import Floats
from ab_ros.motion.pursuit import Loops

LIMIT = {"lower": -1.0, "upper": 1.0, "velocity": 2.0, "effort": 5.0}
GROUP = {"channels": ["a"], "topic": "effort", "interface": "effort", "leak": 0.1}
EFFORT: dict[str, Any] = {
    "mapping": {"a": {"population": "A", "channel": "a", "gain": 0.1}},
    "groups": {"arm": GROUP},
    "limits": {"a": LIMIT},
    "state_jump": 0.0,
}


def rig(start: float = 0.0, group: dict[str, Any] | None = None, **limit: Any) -> Rig:
    made = Rig(EFFORT, groups={"arm": {**GROUP, **(group or {})}}, limits={"a": {**LIMIT, **limit}})
    made.at = {"a": start}
    made.measure(velocity=0.0)
    assert made.where == (State.ACTIVE, Code.OK)
    return made


def efforts(command: Command) -> Floats:
    return command.values[:, 0]


def test_deltas_add_up_and_leak_away() -> None:
    arm = rig()
    (command,) = arm.execute(up=1).commands
    level, expected = 0.0, []
    for _ in range(T):
        level = level * math.exp(-DT / 0.1) + 0.1
        expected.append(level)
    assert efforts(command) == pytest.approx(expected)
    assert command.speeds is None
    for _ in range(10):
        arm.wait(CYCLE)
        (command,) = arm.execute().commands
    assert efforts(command)[-1] == pytest.approx(level * math.exp(-2.0))


def test_a_late_cycle_finds_the_level_leaked_meanwhile() -> None:
    arm = rig()
    (command,) = arm.execute(up=1).commands
    arm.wait(CYCLE + 0.02)
    (late,) = arm.execute().commands
    assert late.start[0] == efforts(command)[-1]
    assert efforts(late)[0] == pytest.approx(efforts(command)[-1] * math.exp(-0.021 / 0.1))


def test_efforts_keep_their_bound_and_their_rate() -> None:
    arm = rig(effort=1.0, effort_rate=20.0)
    answer = arm.execute(up=2)
    (command,) = answer.commands
    assert efforts(command) == pytest.approx(np.minimum(0.02 * np.arange(1, T + 1), 1.0))
    assert answer.limited == ("a: effort", "a: effort_rate")
    arm.wait(CYCLE)
    answer = arm.execute(up=2)
    assert efforts(answer.commands[0]).max() <= 1.0
    answer = rig(step=0.001, effort=9.0).execute(up=1)
    assert np.diff(efforts(answer.commands[0])).max() <= 0.001 + 1e-12
    assert answer.limited == ("a: step",)


def test_the_urdfs_effort_counts_unless_the_yaml_says_otherwise() -> None:
    text = '<robot><joint name="j" type="revolute"><limit lower="-1" upper="1" velocity="1" {}/>'
    text += "</joint></robot>"
    assert limits_from_urdf(text.format('effort="7.5"'))["j"].effort == 7.5
    # Exporters write 0 where they know nothing.
    assert limits_from_urdf(text.format('effort="0"'))["j"].effort == math.inf
    assert limits_from_urdf(text.format(""))["j"].effort == math.inf


def test_a_joint_at_its_limit_is_not_pushed_outward_and_leaves_it_at_once() -> None:
    arm = rig(start=0.96, margin=0.05)
    answer = arm.execute(up=2)
    assert efforts(answer.commands[0]).max() == 0.0
    assert answer.limited == ("a: position",)
    arm.wait(CYCLE)
    answer = arm.execute(down=1)
    assert efforts(answer.commands[0])[0] == pytest.approx(-0.1)
    assert answer.limited == ()
    # The other way round.
    arm = rig(start=-1.0)
    assert efforts(arm.execute(down=1).commands[0]).min() == 0.0
    arm.wait(CYCLE)
    assert efforts(arm.execute(up=1).commands[0])[0] == pytest.approx(0.1)


def test_a_joint_that_will_be_at_its_limit_is_not_pushed_on() -> None:
    arm = rig(start=0.9)
    arm.measure(velocity=1.0)
    assert efforts(arm.execute(up=1).commands[0]).max() > 0.0
    # With an acceleration of 4 it needs 0.125 to brake from 1.0.
    arm = rig(start=0.9, acceleration=4.0)
    arm.measure(velocity=1.0)
    assert efforts(arm.execute(up=1).commands[0]).max() == 0.0
    arm.measure(velocity=-1.0)
    arm.wait(CYCLE)


def test_a_joint_faster_than_its_velocity_is_only_slowed_down() -> None:
    arm = rig()
    arm.measure(velocity=2.1)
    answer = arm.execute(up=1)
    assert efforts(answer.commands[0]).max() == 0.0
    assert answer.limited == ("a: velocity",)
    arm.now += CYCLE
    arm.steady += CYCLE
    arm.measure(velocity=2.1)
    assert efforts(arm.execute(down=1).commands[0]).min() < 0.0


def test_without_measured_velocities_the_positions_tell_them() -> None:
    arm = rig()
    arm.execute(up=1)
    for _ in range(2):
        arm.now += 0.01
        arm.steady += 0.01
        arm.measure(a=arm.at["a"] + 0.025)  # 2.5 a second
    answer = arm.execute(up=1)
    assert efforts(answer.commands[0]).max() == 0.0


def test_what_the_measured_state_forbids_is_taken_away_between_cycles() -> None:
    arm = rig(effort_rate=20.0)
    arm.execute(up=1)
    arm.wait(CYCLE)
    arm.measure(velocity=0.0, a=1.005)
    (command,) = arm.stage.watch(arm.now, arm.steady)
    assert not command.stop
    assert efforts(command).max() == 0.0  # at once, whatever effort_rate says
    assert arm.stage.watch(arm.now, arm.steady) == ()
    assert arm.where == (State.ACTIVE, Code.OK)


@pytest.mark.parametrize(
    ("action", "value", "end"),
    [("default", (), 0.0), ("ramp", (), 0.0), ("zero", (), 0.0), ("value", (1.5,), 1.5)],
)
def test_stops_end_as_they_are_told_to(action: str, value: tuple[float, ...], end: float) -> None:
    arm = rig(group={"stop": action, "stop_value": list(value)})
    arm.execute(up=1)
    (stop,) = arm.wait(0.1)
    assert arm.where == (State.HOLDING, Code.STALE_SPIKES)
    assert stop.stop
    assert efforts(stop)[-1] == pytest.approx(end, abs=1e-12)
    if action == "zero":
        assert len(stop.times) == 1
    else:  # as long as the level would take to leak away
        assert stop.times[-1] == pytest.approx(0.1, abs=0.002)
        assert np.abs(np.diff(efforts(stop), prepend=stop.start[0])).max() <= (
            abs(end - stop.start[0]) * DT / 0.1 * 1.01
        )
    assert arm.wait(1.0) == []


def test_a_held_effort_is_let_go_at_a_limit_and_when_nothing_is_measured_any_more() -> None:
    arm = rig(group={"stop": "hold"})
    (command,) = arm.execute(up=1).commands
    last = efforts(command)[-1]
    (stop,) = arm.wait(0.1)
    assert efforts(stop).tolist() == [last]
    arm.measure(velocity=0.0, a=1.001)
    (taken,) = arm.stage.watch(arm.now, arm.steady)
    assert taken.stop and efforts(taken).max() == 0.0

    arm = rig(group={"stop": "hold"})
    arm.execute(up=1)
    arm.wait(0.1)
    (blind,) = [c for c in arm.wait(1.0, measure=False) if c.values[-1, 0] == 0.0]
    assert efforts(blind)[-1] == 0.0

    arm = rig(group={"stop": "hold"})
    arm.execute(up=1)
    (end,) = arm.stage.deactivate(arm.now, arm.steady)  # nobody watches any more
    assert efforts(end)[-1] == 0.0


def test_what_carries_the_weight_stays_where_effort_is_forbidden() -> None:
    carrying = {"stop": "value", "stop_value": [1.5]}
    arm = rig(start=1.0, group=carrying)
    (command,) = arm.execute(up=2).commands
    assert efforts(command) == pytest.approx(1.5)
    for _ in range(20):
        arm.wait(CYCLE)
        (command,) = arm.execute(down=1).commands
    assert efforts(command)[-1] < 0.0
    for _ in range(60):
        arm.wait(CYCLE)
        (command,) = arm.execute().commands
    assert efforts(command)[-1] == pytest.approx(1.5, abs=1e-4)


def test_after_a_halt_the_effort_goes_on_from_what_the_robot_feels() -> None:
    arm = rig(group={"stop": "value", "stop_value": [1.5]}, effort_rate=100.0)
    arm.execute(up=1)
    arm.stage.halt(arm.now, arm.steady)
    arm.wait(1.0)
    arm.stage.resume(arm.now, arm.steady)
    arm.measure(velocity=0.0)
    (command,) = arm.execute(down=2).commands
    assert command.start[0] == pytest.approx(1.5)
    assert np.abs(np.diff(efforts(command), prepend=1.5)).max() <= 0.1 + 1e-9


@pytest.mark.parametrize(
    ("limit", "group", "says"),
    [
        ({"effort": None}, {}, "'a' has no effort limit; give limits.a.effort"),
        ({"lower": None, "upper": None}, {}, "'a' has no position limits"),
        ({"measured": False, "initial": 0.0}, {}, "'measured' must be true"),
        ({}, {"stop": "value", "stop_value": [6.0]}, "an effort of 6, beyond its limit of 5"),
        ({}, {"stop": "value"}, "stop_value must have a value for each of"),
        ({}, {"stop_value": [1.0]}, "only for 'stop: value'"),
        ({}, {"smoothing": 0.1}, "smoothing must be 0 for interface 'effort'"),
    ],
)
def test_efforts_need_what_makes_them_safe(
    limit: dict[str, Any], group: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        build(EFFORT, groups={"arm": {**GROUP, **group}}, limits={"a": {**LIMIT, **limit}})


def test_positions_cannot_stop_by_a_value() -> None:
    group = {**ARM["groups"]["arm"], "stop": "value", "stop_value": [0.0, 0.0]}
    with pytest.raises(ConfigError, match="cannot stop by 'value'; one of: default, hold"):
        build(ARM, groups={"arm": group})


# -------------------------------------------------------------------------- whatever brains ask for


class Mass:
    """A joint with inertia and friction that feels what it is commanded."""

    def __init__(self, friction: float) -> None:
        self.position = self.speed = 0.0
        self.friction = friction
        self.left: list[float] = []
        self.effort = 0.0

    def step(self) -> None:
        if self.left:
            self.effort = self.left.pop(0)
        self.speed += (self.effort - self.friction * self.speed) / 1.0 * DT
        self.position += self.speed * DT


@given(
    st.lists(
        st.tuples(st.sampled_from([(2, 0), (1, 0), (0, 0), (0, 2)]), st.integers(1, 60)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(["ramp", "hold", "zero", "value"]),
    st.sampled_from([math.inf, 100.0]),
    st.sampled_from([0.0, 0.2]),
)
@settings(max_examples=60, deadline=None)
def test_no_stream_of_cycles_pushes_a_joint_on_where_it_must_not_go(
    cycles: list[tuple[tuple[int, int], int]], action: str, rate: float, margin: float
) -> None:
    value = [0.5] if action == "value" else []
    more = {} if math.isinf(rate) else {"effort_rate": rate}
    arm = Rig(
        EFFORT,
        fault_margin=0.1,
        groups={"arm": {**GROUP, "stop": action, "stop_value": value}},
        limits={"a": {**LIMIT, "margin": margin, **more}},
    )
    arm.at = {"a": 0.0}
    arm.measure(velocity=0.0)
    mass = Mass(friction=1.0)
    rest = mass.effort = value[0] if value else 0.0

    def take(commands: Any) -> None:
        for command in commands:
            assert np.isfinite(command.values).all() and np.abs(command.values).max() <= 5.0
            if not (command.stop and action == "zero"):
                growth = np.diff(np.abs(efforts(command)), prepend=abs(command.start[0]))
                spans = np.diff(command.times, prepend=0.0)
                assert (growth <= rate * spans * (1 + 1e-9) + 1e-9).all()
            assert command.start[0] == pytest.approx(mass.effort)
            steps = np.round(command.times / DT).astype(int)
            played = np.full(steps[-1], np.nan)
            played[steps - 1] = efforts(command)
            # A forward controller keeps what it got last.
            for index in np.flatnonzero(np.isnan(played)):
                played[index] = played[index - 1] if index else command.start[0]
            mass.left = played.tolist()

    for (up, down), steps in cycles:
        take(arm.execute(up=up, down=down).commands)
        for _ in range(steps):
            mass.step()
            arm.now += DT
            arm.steady += DT
            arm.at["a"] = mass.position
            arm.measure(velocity=mass.speed)
            take(arm.stage.watch(arm.now, arm.steady))
            future = mass.left or [mass.effort]
            if mass.position >= 1.0 - margin or mass.speed >= 2.0:
                assert max(future) <= max(rest, 0.0) + 1e-12
            if mass.position <= -1.0 + margin or mass.speed <= -2.0:
                assert min(future) >= min(rest, 0.0) - 1e-12


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40),
    st.floats(-5.0, 5.0),
    st.floats(-9.0, 9.0),
    st.floats(0.0, 1.0),
    st.floats(1e-3, 10.0) | st.just(math.inf),
)
@settings(max_examples=100, deadline=None)
def test_compiled_efforts_have_the_same_bits(
    deltas: list[float], effort: float, level: float, decay: float, change: float
) -> None:
    pytest.importorskip("numba")
    one = [np.array([x]) for x in (effort, level, 0.3)]
    limits = [np.array([x]) for x in (-4.0, 5.0, change)]
    plain, compiled = (
        Loops(choice).leak(*one, np.array(deltas)[:, None], decay, *limits)
        for choice in (False, True)
    )
    assert plain[0].tolist() == compiled[0].tolist()
    assert plain[1].tolist() == compiled[1].tolist()
    assert plain[2] == compiled[2]
