"""The pursuit of wishes under limits: nothing lost needlessly or overshot, always stoppable."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.motion.integrate import (
    LevelPlan,
    PositionPlan,
    approach_speed,
    braking_distance,
    ramp,
)
from ab_ros.motion.pursuit import Loops

DT = 1e-3
LOOPS = [Loops(False)]
if importlib.util.find_spec("numba"):
    LOOPS.append(Loops(True))


@given(st.floats(0.0, 100.0), st.floats(1e-4, 1.0))
def test_the_approach_speed_stops_exactly_at_the_distance(distance: float, change: float) -> None:
    speed = approach_speed(np.array([distance]), np.array([change]), DT)
    after = float(braking_distance(speed, np.array([change]), DT)[0])
    assert speed[0] * DT + after == pytest.approx(distance, rel=1e-9, abs=1e-12)


@dataclass(frozen=True)
class Track:
    positions: list[float]
    speed: float
    clipped: bool


def pursue(
    start: float, deltas: list[float], bounds: tuple[float, float], velocity: float, change: float
) -> Track:
    """One joint's pursuit, by plain and compiled loops, which must give the same bits."""
    tracks = []
    for loops in LOOPS:
        one = [np.array([x]) for x in (start, 0.0, start)]
        limits = [np.array([x]) for x in (*bounds, velocity, change)]
        points, speed, _, clipped, _ = loops.pursue(*one, np.array(deltas)[:, None], *limits, DT)
        tracks.append(Track(points[1:, 0].tolist(), float(speed[0]), bool(clipped[0])))
    assert all(track == tracks[0] for track in tracks)
    return tracks[0]


def follow(deltas: list[float], velocity: float, acceleration: float) -> tuple[list[float], float]:
    track = pursue(0.0, deltas, (-10.0, 10.0), velocity, acceleration * DT)
    return track.positions, track.speed


def test_without_limits_in_the_way_positions_are_the_running_sum() -> None:
    deltas = [0.001, -0.002, 0.0, 0.003]
    positions, _ = follow(deltas, 1e3, math.inf)
    assert positions == pytest.approx(np.cumsum(deltas).tolist(), abs=1e-15)


def test_a_burst_is_spread_over_the_rest_of_its_cycle() -> None:
    positions, speed = follow([0.02] + [0.0] * 39, 1.0, math.inf)
    assert positions[0] == pytest.approx(0.001)
    assert positions[20:] == pytest.approx([0.02] * 19 + [0.02])
    assert speed == 0.0


def test_a_joint_brakes_in_time_and_comes_to_rest_on_its_wish() -> None:
    positions, speed = follow([0.01] + [0.0] * 99, 5.0, 20.0)
    assert max(positions) <= 0.01
    assert positions[-1] == 0.01
    assert speed == 0.0


def test_a_joint_at_its_limit_leaves_it_at_once() -> None:
    track = pursue(1.0, [0.5, 0.5, -0.001, -0.001], (-1.0, 1.0), 9.0, math.inf)
    assert track.clipped
    assert track.positions == pytest.approx([1.0, 1.0, 0.999, 0.998])


@given(
    st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=60),
    st.floats(0.01, 50.0),
    st.floats(0.1, 1e4) | st.just(math.inf),
    st.floats(-1.0, 1.0),
)
@settings(max_examples=200, deadline=None)
def test_pursuit_and_tail_keep_all_limits(
    deltas: list[float], velocity: float, acceleration: float, start: float
) -> None:
    change = acceleration * DT
    track = pursue(start, deltas, (-1.0, 1.0), velocity, change)
    plan = PositionPlan(
        np.array([start, *track.positions])[:, None],
        np.zeros(1),
        np.array([track.speed]),
        np.array([change]),
        DT,
        0.0,
    )
    _, positions, speeds, inner = plan.sample(1)
    path = np.concatenate(([start, start], positions[:, 0], positions[-1:, 0]))
    assert inner == len(deltas)
    assert np.abs(path).max() <= 1.0 + 1e-12
    assert np.abs(np.diff(path)).max() <= velocity * DT + 1e-12
    if math.isfinite(acceleration):
        assert np.abs(np.diff(path, 2)).max() <= change * DT + 1e-12
    assert speeds[-1] == 0.0
    assert positions[-1, 0] == pytest.approx(plan.rest[0], abs=1e-12)


def test_a_plan_knows_its_state_between_timesteps_and_in_its_tail() -> None:
    track = pursue(0.0, [0.05] * 10, (-9.0, 9.0), 9.0, 0.1)
    points = np.array([0.0, *track.positions])[:, None]
    plan = PositionPlan(points, np.zeros(1), np.array([track.speed]), np.array([0.1]), DT, 5.0)
    assert plan.state_at(4.0)[0] == 0.0
    position, speed = plan.state_at(5.0 + 2.5 * DT)
    assert position[0] == pytest.approx((points[2, 0] + points[3, 0]) / 2)
    assert speed[0] == pytest.approx((points[3, 0] - points[2, 0]) / DT)
    assert plan.state_at(5.0 + 11 * DT)[1][0] == pytest.approx(track.speed - 0.1)
    position, speed = plan.state_at(99.0)
    assert position[0] == pytest.approx(plan.rest[0])
    assert speed[0] == 0.0


def test_a_ramp_changes_by_its_largest_change_only() -> None:
    points = ramp(np.array([1.0, 0.0]), np.array([-1.0, 0.5]), np.array([0.5, np.inf]), 5)
    assert points[:, 0].tolist() == [1.0, 0.5, 0.0, -0.5, -1.0, -1.0]
    assert points[:, 1].tolist() == [0.0] + [0.5] * 5
    times, values, inner = LevelPlan(points, 0.01, 0.0).sample(2)
    assert times.tolist() == pytest.approx([0.02, 0.04, 0.06])
    assert values[:, 0].tolist() == [0.0, -1.0, -1.0]
    assert inner == 2
