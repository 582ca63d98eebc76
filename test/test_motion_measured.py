"""What is measured may jump, wrap, lag and fail; what is commanded does not leap for it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_motion_properties import Judge
from test_motion_stage import ARM, CYCLE, build, ready

from ab_ros.contract import Contract
from ab_ros.motion import Code, Command, State
from ab_ros.values import Cycle

TURN = 2.0 * math.pi
CONTINUOUS = {"continuous": True, "velocity": 2.0, "acceleration": 50.0}


def limits(**more: float) -> dict[str, Any]:
    return {**ARM["limits"], "a": {**ARM["limits"]["a"], **more}}


# ------------------------------------------------------------------------------------------ jumps


def test_a_position_that_the_joint_cannot_have_moved_to_stops_the_robot_and_steers_nothing() -> (
    None
):
    rig = ready(limits=limits(acceleration=20.0))
    rig.execute(up=1)
    rig.wait(CYCLE)
    before = rig.stage.status().commanded[0]
    real = dict(rig.at)
    rig.measure(a=-0.7)
    (stop,) = rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.HOLDING, Code.STATE_JUMP)
    assert "position of 'a' jumps from 0 to -0.7 within" in rig.stage.message
    assert "second publisher" in rig.stage.message
    assert stop.start[0] == pytest.approx(before)
    assert stop.values[:, 0].min() >= before
    status = rig.stage.status()
    assert (status.counters["states_jumped"], status.measured[0]) == (1, 0.0)
    # The robot waits until the joint states have agreed for a while.
    rig.at = real
    rig.wait(0.18)
    assert rig.where == (State.HOLDING, Code.STATE_JUMP)
    rig.wait(0.04)
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute().commands[0].start[0] == pytest.approx(stop.values[-1, 0])


def test_a_joint_states_publisher_left_running_holds_the_robot_as_long_as_it_does() -> None:
    rig = ready(start=0.5)
    rig.execute(up=1)
    for _ in range(10):
        rig.stage.measure(["a"], [0.0], None, rig.now, rig.now, rig.steady)
        rig.wait(0.1)
        assert not rig.execute(up=1).executed
        assert rig.where == (State.HOLDING, Code.STATE_JUMP)
    # A halt meanwhile does not trust what is measured, either.
    assert rig.stage.status().counters["states_jumped"] == 10
    rig.wait(0.2)
    assert rig.execute(up=1).executed


def test_a_halt_goes_to_where_the_robot_is_measured_no_faster_than_it_may() -> None:
    rig = ready(limits=limits(velocity=0.5, acceleration=5.0), following_error=0.0)
    for _ in range(70):
        rig.execute(up=1)
        rig.wait(CYCLE)  # against an obstacle: it stays at 0
    before = rig.stage.status().commanded[0]
    assert before > 0.5
    (stop,) = rig.stage.halt(rig.now, rig.steady)
    assert stop.start[0] == pytest.approx(before)
    assert stop.values[-1, 0] == pytest.approx(0.0, abs=1e-9)
    Judge(rig.stage).check(stop)
    assert len(stop.times) < 500
    # It goes on when the stop has ended, from where the robot is then.
    rig.wait(0.1)
    assert rig.stage.resume(rig.now, rig.steady)
    rig.wait(0.1)
    assert rig.where == (State.SEEDING, Code.NO_STATE)
    assert rig.stage.message == "waits until the stop has come to rest"
    rig.wait(2.0)
    assert rig.execute().commands[0].start[0] == 0.0


def test_a_simulation_that_waits_for_its_brain_is_not_waited_for() -> None:
    rig = ready(pacing="lockstep", limits=limits(acceleration=5.0))
    rig.execute(up=1)
    rig.stage.halt(rig.now, rig.steady)
    rig.stage.resume(rig.now, rig.steady)
    rig.measure()
    assert rig.where == (State.ACTIVE, Code.OK)


def test_a_halt_while_positions_contradict_each_other_brakes_along_the_command() -> None:
    rig = ready(limits=limits(acceleration=20.0))
    rig.execute(up=1)
    rig.wait(CYCLE)
    rig.stage.measure(["a"], [-0.7], None, rig.now, rig.now, rig.steady)
    stops = rig.stage.halt(rig.now, rig.steady)
    assert stops[-1].values[:, 0].min() >= stops[-1].start[0]
    assert rig.where == (State.HOLDING, Code.HALTED)


def test_a_robot_that_was_moved_while_it_held_goes_on_from_there() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.stage.halt(rig.now, rig.steady)
    rig.wait(0.1)
    rig.at["a"] = 0.6  # carried there while its driver was silent for a moment
    rig.wait(0.3)
    rig.stage.resume(rig.now, rig.steady)
    rig.wait(0.05)
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute().commands[0].start[0] == pytest.approx(0.6)


def test_a_joint_that_is_said_to_be_elsewhere_while_it_moves_is_led_there_and_not_thrown() -> None:
    rig = ready(limits=limits(acceleration=20.0), following_error=0.1)
    rig.execute(up=1)
    rig.wait(CYCLE)
    rig.at["a"] = -0.6
    rig.wait(0.3)
    answer = rig.execute(up=1)
    assert answer.executed
    assert answer.commands[0].start[0] > 0.0
    Judge(rig.stage).check(answer.commands[0])
    for _ in range(30):
        rig.wait(CYCLE)
        answer = rig.execute()
    assert answer.commands[0].values[-1, 0] == pytest.approx(-0.6)


def test_jumps_are_nothing_to_a_robot_that_is_told_so_or_simulated_in_lockstep() -> None:
    for changes in ({"state_jump": 0.0}, {"pacing": "lockstep"}):
        rig = ready(**changes, following_error=0.0)
        rig.measure(a=0.9)
        rig.stage.watch(rig.now, rig.steady)
        assert rig.where == (State.ACTIVE, Code.OK)


# ------------------------------------------------------------------------------------------ turns


@pytest.mark.parametrize("base", [-math.pi, 0.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_continuous_joint_goes_on_from_turn_to_turn_though_its_driver_wraps(
    base: float, sign: int
) -> None:
    rig = ready(limits={**ARM["limits"], "a": CONTINUOUS}, following_error=0.2)
    position = 0.0

    def wrapped() -> float:
        return (position - base) % TURN + base

    for _ in range(400):
        answer = rig.execute(up=1 if sign > 0 else 0, down=0 if sign > 0 else 1)
        assert answer.executed, answer.reason
        position = float(answer.commands[0].values[answer.commands[0].cycle_points - 1, 0])
        rig.at["a"] = wrapped()
        rig.wait(CYCLE)
    assert abs(position) > TURN
    (stop,) = rig.stage.halt(rig.now, rig.steady)
    assert stop.values[-1, 0] == pytest.approx(position, abs=0.1)
    rig.wait(0.1)
    rig.stage.resume(rig.now, rig.steady)
    rig.measure()
    assert rig.execute().commands[0].start[0] == pytest.approx(position, abs=0.1)


def test_a_driver_that_counts_turns_itself_is_left_alone() -> None:
    rig = ready(limits={**ARM["limits"], "a": CONTINUOUS}, start=0.0)
    rig.carry(a=9.0)
    rig.wait(3.0, measure=False)
    rig.measure(a=0.5)
    assert rig.stage.status().measured[0] == 0.5


# ------------------------------------------------------------------------------------ the path

DT, T, BEAT = 0.002, 10, 5  # s; timesteps of a cycle, and between two joint states
CONTRACT = Contract.from_dict({"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": 4}]}})


class Laggard:
    """A robot that is where it was told to be a while ago, and whose joint states have faults."""

    def __init__(self, lag: int, turns: bool, limit: dict[str, float], smoothing: float) -> None:
        bounds: dict[str, Any] = {"continuous": True} if turns else {"lower": -2.0, "upper": 2.0}
        self.stage = build(
            {
                "mapping": {"a": {"population": "A", "channel": "a", "per_step_max": 0.002}},
                "groups": {"g": {"channels": ["a"], "topic": "a", "smoothing": smoothing}},
                "limits": {"a": {**bounds, **limit}},
            }
        )
        self.judge = Judge(self.stage)
        self.turns, self.tick, self.number = turns, 0, 0
        start = 3.0 if turns else 0.0
        self.past = deque([start] * (lag + 1), lag + 1)
        self.last: tuple[float, Command] | None = None
        self.anew = 0
        self.stage.begin_run("run", CONTRACT)
        self.stage.activate(self.now, self.now)

    @property
    def now(self) -> float:
        return 10.0 + self.tick * DT

    @property
    def position(self) -> float:
        return self.past[0]

    def told(self) -> tuple[float, float, float]:
        """Where it is told to be now, how fast, and how far apart the points are around now."""
        if self.last is None:
            return self.past[-1], 0.0, DT
        since, command = self.last
        grid = np.concatenate(([0.0], command.times))
        path = np.concatenate((command.start, command.values[:, 0]))
        place = int(np.searchsorted(grid, self.now - since - 1e-9))
        if self.now - since >= grid[-1] - 1e-9:
            return float(path[-1]), 0.0, float(grid[-1] - grid[-2])
        place = max(place, 1)
        width = float(grid[place] - grid[place - 1])
        slope = float(path[place] - path[place - 1]) / width
        return float(np.interp(self.now - since, grid, path)), slope, width

    def take(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            self.judge.check(command)
            limit = self.judge.limits["a"]
            at, speed, width = self.told()
            begun = self.stage.status().counters.get("starts_anew", 0)
            if begun == self.anew and self.last is not None:
                assert command.start[0] == pytest.approx(at, abs=limit.acceleration * width**2)
                slack = limit.acceleration * (width + DT) + 1e-6
                assert command.start_speed[0] == pytest.approx(speed, abs=slack)
            else:
                # Only a robot at rest starts anew, and then where it is, as far as is measured.
                assert speed == 0.0
                off = command.start[0] - self.position
                off -= TURN * round(off / TURN) if self.turns else 0.0
                assert abs(off) <= 0.15
            self.anew = begun
            self.last = (self.now, command)

    def feel(self, position: float) -> None:
        if self.turns:
            position = (position + math.pi) % TURN - math.pi
        now = self.now
        self.stage.measure(["a"], [position], None, now, now, now)

    def step(self, up: int, doing: set[str], value: float) -> None:
        self.tick += 1
        self.past.append(self.told()[0])
        if self.tick % BEAT == 0:
            if "nan" in doing:
                self.feel(math.nan)
            elif "glitch" in doing:
                self.feel(value)
            elif "gap" not in doing:
                self.feel(self.position)
        if self.tick % 13 == 0 and "second" in doing:
            self.feel(value)
        if self.tick % BEAT == 0:
            self.take(self.stage.watch(self.now, self.now))
        if self.tick % T == 0 and "silence" not in doing:
            raster = np.zeros((T, 4), np.uint8)
            raster[:, 0 if up > 0 else 2] = up != 0
            cycle = Cycle("run", self.number, {"A": raster}, DT, self.now, self.now)
            self.number += 1
            self.take(self.stage.execute(cycle, self.now, self.now).commands)


faults = st.tuples(
    st.sampled_from(["nan", "glitch", "gap", "gap", "second", "silence", "halt"]),
    st.integers(6, 500),  # the first joint state is believed
    st.integers(5, 120),
    st.floats(-2.0, 2.0),
)


@given(
    st.integers(0, 30),
    st.booleans(),
    st.lists(faults, max_size=4),
    st.fixed_dictionaries(
        {"velocity": st.floats(0.3, 3.0), "acceleration": st.floats(2.0, 50.0)},
        optional={"jerk": st.floats(200.0, 5000.0)},
    ),
    st.sampled_from([0.0, 0.0, 0.03]),
    st.lists(st.sampled_from([-1, 0, 1, 1]), min_size=3, max_size=3),
)
@example(25, False, [("nan", 300, 5, 0.0)], {"velocity": 1.0, "acceleration": 5.0}, 0.0, [1, 1, 1])
@example(25, False, [("gap", 200, 90, 0.0)], {"velocity": 1.0, "acceleration": 5.0}, 0.0, [1, 1, 1])
@example(0, False, [("second", 6, 494, 0.0), ("halt", 442, 9, 0.0)],
         {"velocity": 1.0, "acceleration": 5.0}, 0.0, [1, 1, 1])  # fmt: skip
@example(5, True, [("halt", 400, 9, 0.0)], {"velocity": 2.0, "acceleration": 50.0}, 0.0, [1, 1, 1])
@settings(max_examples=80, deadline=None)
def test_whatever_is_measured_the_command_does_not_leap(
    lag: int, turns: bool, plan: list[tuple[str, int, int, float]], limit: dict[str, float],
    smoothing: float, ups: list[int],
) -> None:  # fmt: skip
    robot = Laggard(lag, turns, limit, smoothing)
    for tick in range(620):
        doing = {
            what: value for what, begin, length, value in plan if begin <= tick < begin + length
        }
        for what, begin, _, _ in plan:
            if tick == begin and what == "halt":
                robot.take(robot.stage.halt(robot.now, robot.now))
        value = next(iter(doing.values()), 0.0)
        robot.step(ups[tick // 207], set(doing), value)
    # Once all is well, and a person has looked, it goes on.
    for tick in range(3000):
        if robot.stage.state is State.ACTIVE and tick > 200:
            break
        robot.stage.resume(robot.now, robot.now)
        robot.step(0, set(), 0.0)
    assert robot.stage.state is State.ACTIVE, robot.stage.message
