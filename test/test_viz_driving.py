"""The picture of a car's ways: before and after, with its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ab_ros.errors import ConfigError
from ab_ros.viz import save
from ab_ros.viz.driving import Drive, driving_tracks


def drive(name: str, moments: int = 50) -> Drive:
    times = 0.04 * np.arange(1, moments + 1)
    ball = np.stack((np.cos(times), np.sin(times)), axis=1)
    return Drive(name, 0.04, 0.5 * ball, ball, np.linspace(3.0, -3.0, moments), times - 1.0)


def test_ways_and_errors_are_drawn(tmp_path: Path) -> None:
    given = (drive("untrained"), drive("learned", 80))
    before = given[0].error.copy()
    figure = driving_tracks(given, "A car")
    image = Image.open(save(figure, tmp_path / "car.png"))
    assert image.format == "PNG" and image.width > 1000
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert {"untrained", "learned"} <= titles
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert texts == {"car", "target"}
    assert np.array_equal(given[0].error, before)


@pytest.mark.parametrize("drives", [[], [drive("one")], [drive("one"), drive("none", 0)]])
def test_other_than_two_drives_are_refused(drives: list[Drive]) -> None:
    with pytest.raises(ConfigError, match="needs two drives"):
        driving_tracks(drives)
