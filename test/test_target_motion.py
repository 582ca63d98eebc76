"""The ball's scripts: reproducible, within their ranges, and as hard as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.environments.target_motion import MotionSettings, TargetMotion
from ab_ros.errors import ConfigError, WorldError


def path(mode: str, seed: int, seconds: float = 10.0, start: float = 0.0) -> np.ndarray:
    motion = TargetMotion(MotionSettings(), mode, seed)
    times = start + np.arange(0, seconds, 0.01)
    return np.degrees([motion.at(time) for time in times])


@given(seed=st.integers(0, 10_000), start=st.floats(0, 100))
def test_sines_are_equally_hard_for_every_seed_and_window(seed: int, start: float) -> None:
    directions = path("sines", seed, start=start)
    assert math.sqrt((directions**2).sum(axis=1).mean()) == pytest.approx(14.0, abs=0.01)
    assert np.hypot(*directions.T).max() < 28
    speeds = np.hypot(*np.diff(directions, axis=0).T) / 0.01
    assert speeds.max() < 45
    assert np.mean(speeds < 40) > 0.9


@given(seed=st.integers(0, 10_000))
def test_jumps_stay_in_range_and_come_on_time(seed: int) -> None:
    directions = path("jumps", seed, seconds=20)
    drift = 6 * 0.8
    assert np.all(np.abs(directions) <= np.array((25 + drift, 18 + drift)) + 1e-9)
    steps = np.hypot(*np.diff(directions, axis=0).T)
    jumped = np.flatnonzero(steps > 0.2) + 1
    assert len(jumped) > 15
    assert np.all(jumped % 80 == 0)


def test_a_path_depends_on_its_seed_alone() -> None:
    for mode in ("jumps", "sines"):
        assert np.array_equal(path(mode, 3), path(mode, 3))
        assert not np.array_equal(path(mode, 3), path(mode, 4))


def test_looking_at_a_path_in_another_order_gives_the_same_path() -> None:
    motion = TargetMotion(MotionSettings(), "jumps", 5)
    late = motion.at(7.3)
    early = motion.at(0.1)
    again = TargetMotion(MotionSettings(), "jumps", 5)
    assert (again.at(0.1), again.at(7.3)) == (early, late)


def test_jumps_have_no_side_that_they_prefer() -> None:
    assert np.all(np.abs(path("jumps", 0, seconds=600).mean(axis=0)) < 2.5)


def test_still_stands_still() -> None:
    motion = TargetMotion(MotionSettings(still_azimuth=10.0), "still", 0)
    assert motion.at(0.0) == motion.at(9.0) == (math.radians(10), 0.0)


def test_bad_modes_and_seeds_are_refused() -> None:
    with pytest.raises(WorldError, match="one of: jumps, sines, still, hidden"):
        TargetMotion(MotionSettings(), "circles", 0)
    with pytest.raises(WorldError, match="at least 0, not -1"):
        TargetMotion(MotionSettings(), "jumps", -1)
    with pytest.raises(ConfigError, match=r"jump_period.*> 0"):
        parse(MotionSettings, {"jump_period": 0.0})
