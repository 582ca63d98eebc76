"""The arena: scent where the food is, its slope, its wall, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.environments.arena import Arena, ArenaSettings, Peak
from ab_ros.errors import ConfigError, WorldError

TWO = ArenaSettings(peaks=(Peak(), Peak(x=-10.0, y=5.0, height=0.5, sigma=4.0)))
coordinate = st.floats(-30.0, 30.0)


def test_the_scent_has_its_reference_values() -> None:
    arena = Arena()
    assert arena.concentration((0.0, 0.0)) == pytest.approx(0.45783336, abs=1e-8)
    assert arena.concentration((15.0, 0.0)) == 1.0
    assert np.allclose(arena.gradient((15.0, 0.0)), 0.0)


def test_sources_add_up() -> None:
    one, other = (Arena(ArenaSettings(peaks=(peak,))) for peak in TWO.peaks)
    where = np.random.default_rng(0).uniform(-20, 20, (5, 7, 2))
    both = Arena(TWO).concentration(where)
    assert both.shape == (5, 7)
    assert np.allclose(both, one.concentration(where) + other.concentration(where))


@given(coordinate, coordinate)
def test_the_gradient_is_the_slope_of_the_concentration(x: float, y: float) -> None:
    arena, step = Arena(TWO), 1e-5
    slope = [
        (arena.concentration((x + dx, y + dy)) - arena.concentration((x - dx, y - dy))) / (2 * step)
        for dx, dy in ((step, 0.0), (0.0, step))
    ]
    assert np.allclose(arena.gradient((x, y)), slope, atol=1e-8)


def test_distances_to_food_and_wall() -> None:
    arena = Arena(TWO)
    where = np.array([(15.0, 4.0), (-10.0, 5.0), (0.0, -31.0)])
    assert np.allclose(arena.food_distance(where), (4.0, 0.0, np.hypot(15, 31)))
    assert np.allclose(arena.wall_distance(where), (30 - np.hypot(15, 4), 30 - np.sqrt(125), -1.0))


def test_food_can_be_configured() -> None:
    settings = parse(ArenaSettings, {"radius": 10, "peaks": [{"x": 1.0, "sigma": 3}]})
    assert Arena(settings).concentration((4.0, 0.0)) == pytest.approx(np.exp(-0.5))
    with pytest.raises(ConfigError, match="sigma"):
        parse(ArenaSettings, {"peaks": [{"sigma": 0}]})


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(WorldError, match=r"peaks\[0\].*15.*inside the wall at 10"):
        ArenaSettings(radius=10.0)
    with pytest.raises(WorldError, match="at least one food"):
        ArenaSettings(peaks=())
    with pytest.raises(WorldError, match=r"Peak\.sigma"):
        Peak(sigma=float("nan"))
    with pytest.raises(WorldError, match=r"form \[…, 2\], not \[3\]"):
        Arena().concentration((1.0, 2.0, 3.0))
