"""The direction of something red: in pictures, and told by the node that looks for it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ab_ros.codec.colour_target import Lens, find_colour
from ab_ros.errors import ConfigError
from ab_ros.values import Observation

HEIGHT, WIDTH = 120, 160
LENS = Lens((150.0, 0.0, 80.0, 0.0, 150.0, 60.0, 0.0, 0.0, 1.0))


def picture(centre: tuple[int, int] | None, radius: int = 6, noise: int = 0) -> NDArray[np.uint8]:
    image = np.full((HEIGHT, WIDTH, 3), (90, 110, 120), np.uint8)
    if centre is not None:
        cv2.circle(image, centre, radius, (200, 30, 20), -1)
    grain = np.random.default_rng(1).integers(-noise, noise + 1, image.shape)
    return np.clip(image.astype(np.int64) + grain, 0, 255).astype(np.uint8)


def sample(image: NDArray[np.uint8], format: str = "rgb8") -> Observation:
    return Observation("target", "Image", 0.0, format, image)


def find(image: NDArray[np.uint8], **changes: Any) -> tuple[float, float] | None:
    settings: dict[str, Any] = {"colour": "red", "threshold": 0.2, "least": 0.0005, **changes}
    return find_colour(sample(image), **settings)


@given(column=st.integers(8, WIDTH - 9), row=st.integers(8, HEIGHT - 9), noise=st.integers(0, 12))
def test_a_red_ball_is_found_where_it_is(column: int, row: int, noise: int) -> None:
    found = find(picture((column, row), noise=noise))
    assert found == pytest.approx((column, row), abs=0.5)


def test_nothing_is_found_where_nothing_has_the_colour() -> None:
    assert find(picture(None, noise=12)) is None
    assert find(picture((80, 60)), colour="green") is None
    assert find(picture((80, 60), radius=1), least=0.001) is None


def test_colours_are_not_confused_by_the_order_of_channels() -> None:
    image = picture((30, 40))
    swapped = np.ascontiguousarray(image[:, :, ::-1])
    seen = find_colour(sample(swapped, "bgr8"), "red", 0.2, 0.0005)
    assert seen == find(image)
    assert find_colour(sample(swapped, "bgr8"), "blue", 0.2, 0.0005) is None


def test_rays_are_those_of_the_optical_frame() -> None:
    assert LENS.ray(80.0, 60.0) == pytest.approx((0.0, 0.0, 1.0))
    x, y, z = LENS.ray(80.0 + 150.0, 60.0)  # 45 degrees to the right
    assert (x, y, z) == pytest.approx((math.sqrt(0.5), 0.0, math.sqrt(0.5)))
    assert LENS.ray(80.0, 90.0)[1] > 0.0  # below the middle: down


@given(x=st.floats(-0.6, 0.6), y=st.floats(-0.5, 0.5))
def test_distortion_is_taken_out(x: float, y: float) -> None:
    bent = Lens(LENS.matrix, (-0.2, 0.03, 0.001, -0.001, 0.0))
    matrix = np.array(LENS.matrix).reshape(3, 3)
    point = np.array([[[x, y, 1.0]]])
    seen, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), matrix, np.array(bent.distortion))
    straight = np.array([x, y, 1.0]) / math.sqrt(x * x + y * y + 1.0)
    assert bent.ray(*seen.reshape(2)) == pytest.approx(straight, abs=2e-3)


def test_a_field_of_view_makes_a_lens() -> None:
    lens = Lens.of_view(WIDTH, HEIGHT, math.radians(90.0))
    x, _, z = lens.ray(WIDTH - 0.5, (HEIGHT - 1) / 2)  # the right edge
    assert math.atan2(x, z) == pytest.approx(math.radians(45.0))


@pytest.mark.parametrize("matrix", [(0.0,) * 9, (math.nan,) * 9, (1.0,) * 4])
def test_a_camera_without_calibration_is_refused(matrix: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="intrinsic matrix"):
        Lens(matrix)
