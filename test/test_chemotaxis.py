"""Chemotaxis: what the worm senses, what it is rewarded for, and how its way is judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.environments.arena import ArenaSettings, Peak
from ab_ros.environments.chemotaxis import (
    Chemotaxis,
    ChemotaxisSettings,
    Start,
    chemotaxis_index,
    index_bound,
    paired_difference,
    random_starts,
    run_trial,
)
from ab_ros.environments.senses import SENSORS, Sensor
from ab_ros.environments.steering import SteeringController
from ab_ros.environments.worm import SEGMENTS
from ab_ros.errors import ConfigError, WorldError

ZERO = np.zeros(SEGMENTS)
NEAR = ChemotaxisSettings(start_distance=4.0)


class Still:
    """Never moves a muscle, and notes its rewards."""

    def __init__(self, dorsal: float = 0.0) -> None:
        self.rewards: list[float] = []
        self._dorsal = ZERO + dorsal

    def reset(self, seed: int) -> None:
        self.rewards.clear()

    def step(
        self, currents: np.ndarray, proprioception: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        assert currents.shape == (81,)
        assert proprioception.shape == (SEGMENTS,)
        return self._dorsal, ZERO

    def reward(self, modulation: float) -> None:
        self.rewards.append(modulation)


def current(world: Chemotaxis, *name: str) -> float:
    return float(world.currents()[Sensor(*name).index])


def laid(x: float, y: float, heading: float, **options: bool) -> Chemotaxis:
    world = Chemotaxis(**options)
    world.reset(Start(x, y, heading))
    return world


def test_sensors_are_found_by_name() -> None:
    assert len(SENSORS) == 81
    assert all(sensor.index == index for index, sensor in enumerate(SENSORS))
    with pytest.raises(
        WorldError, match=r"Sensor\.place: unknown 'nose'; one of: head, body, tail"
    ):
        Sensor("chemical", "nose")


def test_chemical_current_is_tonic_and_concentration() -> None:
    world = laid(-0.5, 0.0, 0.0)  # its head is at the origin
    assert current(world, "chemical", "head") == pytest.approx(2.5 + 10 * 0.45783336)
    body, tail = (current(world, "chemical", place) for place in ("body", "tail"))
    assert current(world, "chemical", "head") > body > tail > 2.5
    assert current(world, "thermal", "tail", "ON", "left") == 2.5


def test_the_side_of_the_food_is_felt_more() -> None:
    world = laid(0.0, 0.0, -math.pi / 2)  # the food is on its left
    left, right, both = (
        current(world, "chemical", "head", "tonic", side) for side in ("left", "right", "bilateral")
    )
    assert left > both > right
    assert left - both == pytest.approx(both - right)


def test_on_and_off_sensors_feel_change_and_adapt() -> None:
    world = laid(0.0, 0.0, 0.0)
    tonic = current(world, "chemical", "head")
    assert current(world, "chemical", "head", "ON") == pytest.approx(tonic)
    world.worm.place((3.0, 0.0), 0.0)
    tonic = current(world, "chemical", "head")
    risen = current(world, "chemical", "head", "ON") - tonic
    assert risen > 1.0
    assert current(world, "chemical", "head", "OFF") < tonic
    for _ in range(1000):
        world.currents()
    rest = current(world, "chemical", "head", "ON") - tonic
    assert rest == pytest.approx(risen * math.exp(-1), rel=0.01)


def test_the_head_feels_the_wall_on_the_right_side() -> None:
    world = laid(0.0, 0.0, 0.0)
    assert not world.currents()[27:54].any()
    world = laid(0.0, 29.4, math.radians(10))
    left, right, both = (
        current(world, "mechanical", "head", "tonic", side)
        for side in ("left", "right", "bilateral")
    )
    assert both > left > 0.0
    assert right == 0.0


def test_a_blind_worm_feels_nothing_of_the_arena() -> None:
    here = laid(-4.0, 3.0, 1.0, blind=True).currents().copy()
    there = laid(0.0, 29.4, 0.2, blind=True).currents()
    assert np.array_equal(here, there)
    assert set(here) == {0.0, 2.5}


def test_rewards_follow_the_scent_and_the_wall() -> None:
    world = Chemotaxis()
    for where, wanted in (((2.0, 0.0), 1.0), ((-1.0, 0.0), -1.0), ((-1.0, 0.0), 0.0)):
        for tick in range(200):
            if tick == 100:
                world.worm.place(where, 0.0)
            reward = world.step(ZERO, ZERO)
            assert (reward is None) == (tick < 199)
        assert reward == wanted
    world.worm.place((0.0, 29.0), math.pi / 2)
    rewards = [world.step(ZERO, ZERO) for _ in range(200)]
    assert rewards[-1] == -0.5
    assert world.wall_ticks == 200


def test_starts_are_where_they_should_be() -> None:
    starts = random_starts(40, 7)
    assert starts[:5] == random_starts(5, 7)
    assert starts != random_starts(40, 8)
    for start in starts:
        assert math.hypot(start.x - 15.0, start.y) == pytest.approx(20.0)
        assert math.hypot(start.x, start.y) <= 28.5
    bearings = [math.atan2(start.y, start.x - 15.0) for start in starts]
    assert min(bearings) < -1.5 and max(bearings) > 1.5
    with pytest.raises(WorldError, match="no place 80"):
        random_starts(1, 0, ChemotaxisSettings(start_distance=80.0))
    with pytest.raises(WorldError, match="at least 0"):
        random_starts(1, -1)


@given(st.floats(0.0, 60.0), st.floats(0.0, 60.0))
def test_the_index_is_one_on_the_food_and_nought_at_the_start(first: float, last: float) -> None:
    index = chemotaxis_index(first, last)
    assert index <= 1.0
    assert (index > 0) == (last < first)


def test_the_index_has_its_values() -> None:
    assert chemotaxis_index(20.0, 5.0) == 0.75
    assert chemotaxis_index(20.0, 30.0) == -0.5
    assert chemotaxis_index(0.05, 0.0) == 0.5
    assert index_bound(0.2, 30_000, 20.0) == pytest.approx(0.3)
    assert index_bound(1.0, 30_000, 20.0) == 1.0


def test_a_still_worm_gets_nowhere() -> None:
    still = Still()
    done: list[int] = []
    track = run_trial(still, Start(1.0, 2.0, 0.5), 430, progress=done.append)
    assert track.index == 0.0
    assert still.rewards == [0.0, 0.0] == list(track.rewards)
    assert done == [*range(50, 401, 50), 430] == track.ticks[1:].tolist()
    assert track.points.shape == (10, 25, 2)
    assert np.allclose(track.centre, (1.0, 2.0))
    assert track.ticks_per_second > 0


@pytest.mark.parametrize("number", range(3))
def test_the_rule_finds_the_food_with_sensors(number: int) -> None:
    start = random_starts(3, 1, NEAR)[number]
    track = run_trial(SteeringController(), start, 7000, Chemotaxis(NEAR), seed=number)
    assert track.distance.min() < 1.5
    assert track.index > 0.0
    blind = run_trial(SteeringController(), start, 7000, Chemotaxis(NEAR, blind=True), seed=number)
    assert blind.index < track.index


def test_a_trial_repeats_exactly() -> None:
    start = random_starts(1, 3)[0]
    one, two = (
        run_trial(SteeringController(), start, 600, Chemotaxis(backend=backend), seed=5)
        for backend in ("auto", "numpy")
    )
    assert one.points.tobytes() == two.points.tobytes()
    assert one.rewards.tobytes() == two.rewards.tobytes()


def test_senses_go_on_where_they_were_saved() -> None:
    world, other = laid(0.0, 0.0, 0.3), laid(5.0, 0.0, 0.3)
    world.currents()
    world.worm.place((2.0, 1.0), 0.0)
    world.currents()
    other.worm.restore(world.worm.state())
    other.senses.restore(world.senses.state())
    assert np.array_equal(world.currents(), other.currents())


def test_what_a_controller_does_wrong_is_named() -> None:
    with pytest.raises(WorldError, match="dorsal activation of segment 0 must be finite"):
        run_trial(Still(dorsal=math.nan), Start(0.0, 0.0, 0.0), 10)
    with pytest.raises(WorldError, match="ticks must be at least 1"):
        run_trial(Still(), Start(0.0, 0.0, 0.0), 0)


def test_the_task_can_be_configured() -> None:
    settings = parse(ChemotaxisSettings, {"arena": {"radius": 20}, "worm": {"limit": 0.5}})
    assert Chemotaxis(settings).worm.constants.limit == 0.5
    with pytest.raises(ConfigError, match=r"senses\.touch_range"):
        parse(ChemotaxisSettings, {"senses": {"touch_range": 0}})
    two = ChemotaxisSettings(arena=ArenaSettings(peaks=(Peak(), Peak(x=-15.0))))
    track = run_trial(Still(), Start(-14.0, 0.0, 0.0), 1, Chemotaxis(two))
    assert track.distance[0] == pytest.approx(1.0)


def test_paired_differences_have_an_interval() -> None:
    random = np.random.default_rng(0)
    control = random.normal(0.0, 1.0, 30)
    better = control + random.normal(0.5, 0.1, 30)
    found = paired_difference(better, control)
    assert found.mean == pytest.approx(0.5, abs=0.1)
    assert 0.4 < found.low < found.mean < found.high < 0.6
    assert found == paired_difference(better, control)
    same = paired_difference(control, control)
    assert (same.mean, same.low, same.high, same.pairs) == (0.0, 0.0, 0.0, 30)
    with pytest.raises(WorldError, match="one length"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(WorldError, match="at least two"):
        paired_difference([1.0, math.nan], [1.0, 2.0])
