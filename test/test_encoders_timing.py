"""Encoders whose spikes' times tell something: latency, and ON/OFF change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.change import ChangeEncoder, ChangeSettings, ImageChangeEncoder
from ab_ros.codec.latency import LatencyEncoder, LatencySettings
from ab_ros.codec.registry import make_encoder
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def sample(*values: float) -> Observation:
    return Observation("in", "Vector", 0.0, "float64", np.array(values))


@given(
    st.lists(st.floats(-1.0, 2.0), min_size=1, max_size=20),
    st.integers(1, 100),
    st.floats(0.0, 1.0),
)
def test_the_larger_value_never_fires_later(
    values: list[float], timesteps: int, threshold: float
) -> None:
    encoder = LatencyEncoder(
        LatencySettings(values=len(values), lower=-1.0, upper=2.0, threshold=threshold)
    )
    raster = encoder.encode(sample(*values), timesteps, 0.001)
    loud = (np.array(values) + 1.0) / 3.0 >= threshold
    np.testing.assert_array_equal(raster.sum(axis=0), loud)
    late = raster.argmax(axis=0)[loud]
    ascending = np.argsort(np.array(values)[loud], kind="stable")
    assert np.all(np.diff(late[ascending]) <= 0)


def test_latency_is_linear_over_the_cycle_or_a_window() -> None:
    encoder = LatencyEncoder(LatencySettings(values=5))
    values = sample(1.0, 0.75, 0.5, 0.0, -3.0)
    assert encoder.encode(values, 41, 0.001).argmax(axis=0).tolist() == [0, 10, 20, 40, 40]
    short = LatencyEncoder(LatencySettings(values=5, window=0.02))
    assert short.encode(values, 41, 0.001).argmax(axis=0).tolist() == [0, 5, 10, 20, 20]
    # A window longer than the cycle has the cycle's length: no spike is lost.
    assert short.encode(values, 5, 0.001).sum(axis=0).tolist() == [1] * 5
    assert not encoder.encode(None, 41, 0.001).any()


@given(
    st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=30),
    st.floats(0.05, 0.5),
)
def test_on_minus_off_spikes_tell_the_signal_to_within_a_threshold(
    signal: list[float], threshold: float
) -> None:
    encoder = ChangeEncoder(ChangeSettings(threshold=threshold))
    told = signal[0]
    for n, value in enumerate(signal):
        raster = encoder.encode(sample(value), 50, 0.001)
        on, off = raster.sum(axis=0, dtype=int)
        assert not n or not (on and off)
        told += threshold * (on - off)
        assert abs(told - value) < threshold + 1e-9


def test_a_value_that_stays_is_silent_and_small_steps_add_up() -> None:
    encoder = make_encoder("change", {"values": 2, "threshold": 1.0})
    rasters = [
        encoder.encode(sample(value, -2 * value), 10, 0.001)
        for value in (5.0, 5.0, 5.6, 6.1, 6.1, 5.0)
    ]
    counts = [raster.sum(axis=0).tolist() for raster in rasters]
    # ON and OFF of the first value, then of the second, which falls twice as fast.
    assert counts == [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [1, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 1, 2, 0],
    ]


def test_more_change_than_a_cycle_can_tell_waits_for_the_next() -> None:
    encoder = make_encoder("change", {"threshold": 1.0})
    encoder.encode(sample(0.0), 4, 0.001)
    counts = [int(encoder.encode(sample(10.0), 4, 0.001)[:, 0].sum()) for _ in range(4)]
    assert counts == [4, 4, 2, 0]


def test_spikes_of_a_change_are_spread_over_the_cycle() -> None:
    encoder = make_encoder("change", {"threshold": 1.0})
    encoder.encode(sample(0.0), 100, 0.001)
    times = np.flatnonzero(encoder.encode(sample(4.0), 100, 0.001)[:, 0])
    assert np.diff(times).tolist() == [25, 25, 25]


def test_a_refused_or_missing_sample_moves_nothing_and_reset_forgets() -> None:
    encoder = make_encoder("change", {"threshold": 1.0})
    encoder.encode(sample(0.0), 10, 0.001)
    with pytest.raises(ObservationError, match="must be finite"):
        encoder.encode(sample(float("nan")), 10, 0.001)
    assert not encoder.encode(None, 10, 0.001).any()
    assert encoder.encode(sample(2.0), 10, 0.001).sum() == 2
    other = make_encoder("change", {"threshold": 1.0})
    other.restore(encoder.state())
    assert other.encode(sample(3.0), 10, 0.001).sum() == 1
    encoder.reset(0)
    assert not encoder.encode(sample(9.0), 10, 0.001).any()


def picture(level: int, x: int = 0, form: str = "rgb8") -> Observation:
    image = np.full((48, 64, 3) if form != "mono8" else (48, 64), level, np.uint8)
    image[:, x : x + 16] = 200
    return Observation("camera", "Image", 0.0, form, image)


@pytest.mark.parametrize("form", ["rgb8", "bgr8", "mono8"])
def test_a_bar_that_moves_leaves_off_spikes_and_brings_on_spikes(form: str) -> None:
    encoder = make_encoder("image_change", {"width": 4, "height": 3})
    assert isinstance(encoder, ImageChangeEncoder)
    assert not encoder.encode(picture(20, 0, form), 40, 0.001).any()
    on, off = encoder.encode(picture(20, 16, form), 40, 0.001).sum(axis=0).reshape(2, 3, 4)
    assert np.all(on[:, 1] > 5) and not on[:, [0, 2, 3]].any()
    assert np.all(off[:, 0] > 5) and not off[:, 1:].any()


def test_contrast_counts_and_not_light() -> None:
    counts = []
    for light in (1.0, 0.5):
        encoder = make_encoder("image_change", {"width": 4, "height": 3, "dark": 1e-6})
        for level in (40, 80):
            image = np.full((24, 32, 3), level * light, np.uint8)
            raster = encoder.encode(Observation("camera", "Image", 0.0, "rgb8", image), 40, 0.001)
        counts.append(raster.sum(axis=0).tolist())
    # Twice as bright: ln 2 / 0.15 = 4.6.
    assert counts[0] == counts[1] == [4] * 12 + [0] * 12


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("change", {"threshold": 0.0}, "must be > 0"),
        ("image_change", {"threshold": -1.0}, "must be > 0"),
        ("latency", {"threshold": 1.5}, "must be >= 0 and <= 1"),
        ("latency", {"lower": 2.0}, "lower: must be below upper"),
        ("latency", {"windw": 2.0}, "did you mean 'window'?"),
    ],
)
def test_unfit_settings_are_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_encoder(name, options)
    assert says in str(error.value)


def test_an_image_smaller_than_the_grid_is_refused() -> None:
    encoder = make_encoder("image_change", {"width": 65})
    with pytest.raises(ObservationError, match="smaller than the encoder's grid of 65x12"):
        encoder.encode(picture(20), 10, 0.001)
