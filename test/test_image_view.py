"""A view shows the region, the size and the channel of an image that its settings say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.codec.image_view import ImageView, apply_view
from ab_ros.config import parse
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation

# 3 rows of 4: red is 10 x row + column, green 100 more, blue 200 more.
RED = np.array([[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]], np.uint8)
RGB = np.stack((RED, RED + 100, RED + 200), axis=2)


def seen(data: Any, format: str = "rgb8") -> Observation:
    return Observation("eye", "Image", 2.5, format, data, {"frame_id": "eye_link"})


def view(**given: Any) -> ImageView:
    return parse(ImageView, given)


def test_nothing_set_leaves_the_image_and_what_belongs_to_it() -> None:
    result = apply_view(seen(RGB), ImageView())
    np.testing.assert_array_equal(result.data, RGB)
    assert (result.id, result.stamp, result.format) == ("eye", 2.5, "rgb8")
    assert result.meta == {"frame_id": "eye_link"}
    assert ImageView().whole
    assert not view(y=1).whole and not view(channel="grey").whole


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ({"x": 1, "y": 1}, [[11, 12, 13], [21, 22, 23]]),
        ({"width": 2, "height": 1}, [[0, 1]]),
        ({"x": 2, "y": 0, "width": 2, "height": 3}, [[2, 3], [12, 13], [22, 23]]),
        ({"x": 3, "y": 2, "width": 1}, [[23]]),
    ],
)
def test_a_region_is_cut_out(region: dict[str, int], expected: list[list[int]]) -> None:
    assert apply_view(seen(RGB), view(**region, channel="red")).data.tolist() == expected
    assert apply_view(seen(RED, "mono8"), view(**region)).data.tolist() == expected


@pytest.mark.parametrize(
    "region", [{"x": 4}, {"y": 3}, {"x": 1, "width": 4}, {"height": 4}, {"x": 9, "y": 9}]
)
def test_a_region_over_the_edge_is_refused(region: dict[str, int]) -> None:
    with pytest.raises(ObservationError, match=r"input 'eye': a region of .* an image of 4x3"):
        apply_view(seen(RGB), view(**region))


def test_a_smaller_image_has_the_means() -> None:
    pixels = np.array([[0, 2, 100, 100], [4, 6, 200, 200]], np.uint8)
    small = apply_view(seen(pixels, "mono8"), view(resize_width=2, resize_height=1))
    assert small.data.tolist() == [[3, 150]]


def test_one_side_keeps_the_proportions() -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    assert apply_view(seen(pixels), view(resize_width=20)).data.shape == (15, 20, 3)
    assert apply_view(seen(pixels), view(resize_height=60)).data.shape == (60, 80, 3)
    assert apply_view(seen(pixels), view(width=20, resize_height=15)).data.shape == (15, 10, 3)
    line = seen(np.zeros((1, 40), np.uint8), "mono8")
    assert apply_view(line, view(resize_width=2)).data.shape == (1, 2)
    with pytest.raises(ObservationError, match="40x1 pixels would become 8000x200; at most 4096x"):
        apply_view(line, view(resize_height=200))


def test_channels_of_colour() -> None:
    pixel = np.array([[[10, 20, 30]]], np.uint8)
    bgr = np.ascontiguousarray(pixel[:, :, ::-1])
    for channel, value in (("red", 10), ("green", 20), ("blue", 30)):
        for image in (seen(pixel), seen(bgr, "bgr8")):
            result = apply_view(image, view(channel=channel))
            assert (result.format, result.data.tolist()) == ("mono8", [[value]])
    for image in (seen(pixel), seen(bgr, "bgr8")):
        # 0.299 R + 0.587 G + 0.114 B, ITU-R BT.601
        assert apply_view(image, view(channel="grey")).data.tolist() == [[18]]
        assert apply_view(image, view(channel="rgb")).data.tolist() == pixel.tolist()
    grey = seen(np.array([[7]], np.uint8), "mono8")
    assert apply_view(grey, view(channel="grey")).data.tolist() == [[7]]
    assert apply_view(grey, view(channel="rgb")).data.tolist() == [[[7, 7, 7]]]


def test_depths_become_grey_near_ones_white() -> None:
    depth = np.array([[np.nan, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0]], np.float32)
    result = apply_view(seen(depth, "depth32"), view(channel="depth", near=1.0, far=3.0))
    assert result.format == "mono8" and result.data.dtype == np.uint8
    assert result.data.tolist() == [[0, 255, 255, 191, 128, 64, 0, 0]]


def test_depths_are_not_mixed_when_an_image_shrinks() -> None:
    depth = np.array([[1.0, 1.0, 3.0, np.nan], [1.0, 1.0, np.nan, 3.0]], np.float32)
    small = apply_view(seen(depth, "depth32"), view(resize_width=2, resize_height=1))
    assert small.format == "depth32"
    assert small.data[0, 0] == 1.0
    assert small.data[0, 1] == 3.0 or np.isnan(small.data[0, 1])


@pytest.mark.parametrize(
    ("image", "channel", "words"),
    [
        (seen(RGB), "depth", "a rgb8 image has no channel 'depth' for a view; one of: rgb, grey"),
        (seen(RED, "mono8"), "red", "a mono8 image has no channel 'red'"),
        (seen(np.ones((2, 2), np.float32), "depth32"), "grey", "one of: depth"),
        (seen(b"\xff\xd8", "jpeg"), "grey", "formats rgb8, bgr8, mono8, depth32, not 'jpeg'"),
        (seen(np.ones((2, 2)), "mono8"), "", "needs pixels"),
        (seen(RED), "", r"\[3, 4\] is not the form of a rgb8 image"),
        (seen(RGB, "mono8"), "", r"\[3, 4, 3\] is not the form"),
        (seen(np.zeros((0, 4), np.uint8), "mono8"), "", "is not the form"),
    ],
)
def test_what_has_no_such_view_is_refused(image: Observation, channel: str, words: str) -> None:
    with pytest.raises(ObservationError, match=f"input 'eye': .*{words}"):
        apply_view(image, view(channel=channel))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channel": "infrared"}, "channel: 'infrared' is not allowed; must be one of"),
        ({"x": -1}, "x: -1 is not allowed"),
        ({"near": 3.0, "far": 3.0}, "near: must be below far"),
    ],
)
def test_a_view_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(ImageView, options)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.fixed_dictionaries(
        {name: st.integers(0, 12) for name in ("x", "y", "width", "height")}
        | {name: st.integers(0, 30) for name in ("resize_width", "resize_height")}
        | {"channel": st.sampled_from(["", "rgb", "grey", "red", "depth"])}
    ),
    st.sampled_from(["rgb8", "bgr8", "mono8", "depth32"]),
)
def test_a_view_has_its_size_or_is_refused(
    rows: int, columns: int, options: dict[str, Any], format: str
) -> None:
    form = (rows, columns, 3) if format in ("rgb8", "bgr8") else (rows, columns)
    kind = np.float32 if format == "depth32" else np.uint8
    try:
        result = apply_view(seen(np.ones(form, kind), format), view(**options))
    except ObservationError:
        return
    height, width = result.data.shape[:2]
    assert options["resize_width"] in (0, width)
    assert options["resize_height"] in (0, height)
    if not options["resize_width"] and not options["resize_height"]:
        assert width == (options["width"] or columns - options["x"])
        assert height == (options["height"] or rows - options["y"])
    assert result.data.ndim == (3 if result.format in ("rgb8", "bgr8") else 2)
    assert not result.data.flags.writeable
