"""Encoders: spikes say what the sample shows; bad samples are refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.images import SaliencyEncoder, SaliencySettings
from ab_ros.codec.joints import JointPopulationEncoder, JointPopulationSettings
from ab_ros.codec.registry import make_encoder
from ab_ros.codec.trains import RegularRate
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def picture(x: int, y: int, colour: tuple[int, int, int] = (220, 20, 20)) -> Observation:
    image = np.full((240, 320, 3), 90, np.uint8)
    image[y - 8 : y + 8, x - 8 : x + 8] = colour
    return Observation("cam", "Image", 0.0, "rgb8", image)


def joints(**positions: float) -> Observation:
    table = np.full((3, len(positions)), np.nan)
    table[0] = list(positions.values())
    return Observation(
        "joints", "Proprioception", 0.0, "joint_state", table, {"names": [*positions]}
    )


@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=20),
    st.integers(1, 60),
    st.integers(0, 2**31),
)
def test_a_regular_train_counts_its_rate_to_one_spike(
    rates: list[float], timesteps: int, seed: int
) -> None:
    code = RegularRate(len(rates), seed)
    rate = np.array(rates)
    count = sum(code.raster(rate, timesteps, 0.001).sum(axis=0) for _ in range(3))
    assert np.all(np.abs(count - rate * 0.001 * timesteps * 3) <= 1.0 + 1e-6)


def test_the_cell_where_the_ball_is_fires_most() -> None:
    encoder = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=1)
    rates = encoder.rates(picture(x=70, y=210)).reshape(12, 16)
    assert np.unravel_index(rates.argmax(), rates.shape) == (10, 3)
    assert rates.sum() == pytest.approx(1200.0)


def test_a_near_ball_drives_the_brain_as_much_as_a_far_one() -> None:
    encoder = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=1)
    image = np.full((240, 320, 3), 90, np.uint8)
    image[50:190, 90:230] = (220, 20, 20)
    near = Observation("cam", "Image", 0.0, "rgb8", image)
    assert encoder.rates(near).sum() == pytest.approx(encoder.rates(picture(160, 120)).sum())


def test_without_a_red_thing_the_cells_are_silent() -> None:
    encoder = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=1)
    assert not encoder.encode(picture(160, 120, (20, 220, 20)), 40, 0.001).any()
    assert not encoder.encode(None, 40, 0.001).any()


def test_bgr_is_told_from_rgb() -> None:
    rgb = picture(100, 100)
    bgr = Observation("cam", "Image", 0.0, "bgr8", np.ascontiguousarray(rgb.data[:, :, ::-1]))  # type: ignore[index]
    encoder = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=1)
    np.testing.assert_allclose(encoder.rates(rgb), encoder.rates(bgr))


@pytest.mark.parametrize(
    ("form", "shape", "says"),
    [
        ("rgb8", (240, 320), "must have the form [H, W, 3]"),
        ("yuv", (240, 320, 3), "format 'yuv' is not known; one of: rgb8"),
        ("rgb8", (4, 4, 3), "smaller than the encoder's grid of 16x12"),
        ("rgb8", (0, 4, 3), "must have the form"),
    ],
)
def test_an_unfit_image_is_refused(form: str, shape: tuple[int, ...], says: str) -> None:
    encoder = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=1)
    with pytest.raises(ObservationError) as error:
        encoder.encode(Observation("cam", "Image", 0.0, form, np.zeros(shape, np.uint8)), 40, 0.001)
    assert says in str(error.value) and "'cam'" in str(error.value)


def test_a_joint_at_a_cells_centre_drives_it_most() -> None:
    settings = JointPopulationSettings(("pan", "tilt"), lower=-1.0, upper=1.0, cells=5)
    rates = JointPopulationEncoder(settings).rates(joints(tilt=0.5, elbow=9.0, pan=-1.0))
    assert rates.reshape(2, 5).argmax(axis=1).tolist() == [0, 3]
    assert rates.max() == pytest.approx(100.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_joint_that_is_not_finite_is_refused(value: float) -> None:
    encoder = JointPopulationEncoder(JointPopulationSettings(("pan",)))
    with pytest.raises(ObservationError, match="must be finite"):
        encoder.encode(joints(pan=value), 40, 0.001)


def test_a_missing_joint_is_named() -> None:
    encoder = JointPopulationEncoder(JointPopulationSettings(("pan", "tilt")))
    with pytest.raises(ObservationError, match="lack tilt"):
        encoder.encode(joints(pan=0.0), 40, 0.001)


def test_saving_and_restoring_an_encoder_continues_its_train() -> None:
    one = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=1)
    one.encode(picture(100, 100), 40, 0.001)
    two = SaliencyEncoder(SaliencySettings(total_rate=1200.0, max_rate=1000.0), seed=2)
    two.restore(one.state())
    sample = picture(110, 90)
    assert np.array_equal(one.encode(sample, 40, 0.001), two.encode(sample, 40, 0.001))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("salience", {}, "unknown encoder 'salience'; one of: saliency, joint_population"),
        ("saliency", {"widht": 3}, "did you mean 'width'?"),
        ("joint_population", {}, "options.joints: is required"),
        ("joint_population", {"joints": ["a"], "lower": 2.0, "upper": 1.0}, "below upper"),
    ],
)
def test_a_wrong_choice_of_encoder_says_what_is_allowed(
    name: str, options: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        make_encoder(name, options)
    assert says in str(error.value)
