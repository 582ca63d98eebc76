"""The picture of a worm's ways: it is drawn for few and many, for still worms, and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ab_ros.environments.arena import Arena, ArenaSettings, Peak
from ab_ros.environments.chemotaxis import Start, Track
from ab_ros.errors import ConfigError
from ab_ros.viz import save
from ab_ros.viz.arena import arena_tracks

ARENA = Arena(ArenaSettings(peaks=(Peak(), Peak(x=-10.0, height=0.4, sigma=5.0))))


def track(number: int, *, moves: bool = True, postures: int = 40) -> Track:
    """A straight way from somewhere towards the food."""
    begin = 20.0 * np.array((np.cos(number + 2.0), np.sin(number + 2.0)))
    part = np.linspace(0.0, 0.9 if moves else 0.0, postures)[:, None]
    centre = begin + part * (ARENA.food[0] - begin)
    body = np.stack((np.linspace(0.5, -0.5, 25), 0.1 * np.sin(np.arange(25.0))), axis=1)
    return Track(
        start=Start(*begin, 0.0),
        ticks=np.arange(postures) * 50,
        points=centre[:, None] + body,
        centre=centre,
        concentration=ARENA.concentration(centre),
        distance=ARENA.food_distance(centre),
        rewards=np.zeros(3),
        wall_ticks=0,
        seconds=1.0,
    )


@pytest.mark.parametrize("count", [1, 3, 8])
def test_ways_are_drawn(count: int, tmp_path: Path) -> None:
    figure = arena_tracks(
        ARENA,
        [track(number) for number in range(count)],
        controls=[track(number, moves=False) for number in range(count)],
        control_name="no learning",
        title="Eight worms",
    )
    path = save(figure, tmp_path / "ways.png")
    image = Image.open(path)
    assert image.format == "PNG"
    assert image.size == (1760, 992)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"food", "5 body lengths"} <= texts
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert "Eight worms" in titles


def test_a_worm_that_stays_is_drawn_and_a_trial_may_end_early() -> None:
    figure = arena_tracks(ARENA, [track(0, moves=False), track(1, postures=2)])
    assert len(figure.axes) == 4


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one track"):
        arena_tracks(ARENA, [])
    with pytest.raises(ConfigError, match="tick must be greater than 0"):
        arena_tracks(ARENA, [track(0)], tick=0.0)
