"""Encoders of numbers: values are told by their cells, and unfit samples are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.numbers import (
    PopulationEncoder,
    PopulationSettings,
    RateSettings,
    ScalarRateEncoder,
)
from ab_ros.codec.registry import ENCODERS, KINDS, make_encoder
from ab_ros.codec.tuning import GaussianTuning
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def sample(*values: float, kind: str = "Vector") -> Observation:
    return Observation("range", kind, 0.0, "float64", np.array(values))


def test_a_value_is_encoded_by_a_proportional_rate() -> None:
    encoder = ScalarRateEncoder(RateSettings(values=3, lower=-1.0, upper=1.0, min_rate=10.0))
    np.testing.assert_allclose(encoder.rates(sample(-1.0, 0.0, 1.0)), [10.0, 55.0, 100.0])
    raster = encoder.encode(sample(-1.0, 0.0, 1.0), 1000, 0.001)
    assert np.abs(raster.sum(axis=0, dtype=int) - [10, 55, 100]).max() <= 1
    assert not encoder.encode(None, 100, 0.001).any()


def test_opponent_cells_tell_above_from_below() -> None:
    encoder = ScalarRateEncoder(RateSettings(values=2, lower=0.0, upper=4.0, opponent=True))
    assert encoder.size == 4
    np.testing.assert_allclose(encoder.rates(sample(3.0, 0.0)), [50.0, 0.0, 0.0, 100.0])
    np.testing.assert_allclose(encoder.rates(sample(2.0, 2.0)), 0.0)


@given(st.floats(-2.0, 3.0), st.integers(2, 40))
def test_a_population_tells_the_value(value: float, cells: int) -> None:
    encoder = PopulationEncoder(PopulationSettings(lower=-2.0, upper=3.0, cells=cells))
    rates = encoder.rates(sample(value))
    spacing = 5.0 / (cells - 1)
    assert abs(encoder.tuning.centres[rates.argmax()] - value) <= 0.5 * spacing + 1e-9
    assert rates.min() >= 0.0 and rates.max() <= 100.0


def test_a_cells_tuning_is_gaussian() -> None:
    tuning = GaussianTuning(0.0, 10.0, 11, 2.0)
    response = tuning.response(np.array([3.0]))[0]
    np.testing.assert_allclose(response[[3, 5, 1, 7]], np.exp([0.0, -0.5, -0.5, -2.0]))


@given(st.floats(-20.0, 20.0))
def test_angles_go_round(angle: float) -> None:
    settings = PopulationSettings(lower=-np.pi, upper=np.pi, cells=12, circular=True)
    encoder = PopulationEncoder(settings)
    rates = encoder.rates(sample(angle))
    np.testing.assert_allclose(rates, encoder.rates(sample(angle + 2 * np.pi)), atol=1e-6)
    # All angles are alike to a ring of cells.
    turned = encoder.rates(sample(angle + 2 * np.pi / 12))
    np.testing.assert_allclose(np.roll(rates, 1), turned, atol=1e-6)


def test_values_outside_are_clipped_or_refused() -> None:
    for name in ("rate", "population"):
        clips = make_encoder(name, {"values": 2})
        assert isinstance(clips, (ScalarRateEncoder, PopulationEncoder))
        np.testing.assert_allclose(clips.rates(sample(-3, 7)), clips.rates(sample(0, 1)))
        refuses = make_encoder(name, {"values": 2, "out_of_range": "refuse"})
        with pytest.raises(ObservationError, match=r"value 1 must be in \[0, 1\] \(got 7\)"):
            refuses.encode(sample(0.5, 7), 10, 0.001)


@pytest.mark.parametrize("name", ["rate", "population"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.array([0.1, np.nan]), r"must be finite \(value 1 is nan\)"),
        (np.array([np.inf, 0.1]), r"must be finite \(value 0 is inf\)"),
        (np.zeros(3), r"must have 2 values, .* \(got 3\)"),
        (np.array(0.5), r"\(got 1\)"),
        (b"\x00\x01", "array of numbers"),
        (np.array(["a", "b"]), "array of numbers"),
        (np.array([True, False]), "array of numbers"),
        (np.array([1j, 0]), "array of numbers"),
    ],
)
def test_an_unfit_sample_is_refused_by_name(name: str, data: Any, message: str) -> None:
    encoder = make_encoder(name, {"values": 2}, seed=4)
    before = encoder.state()["phase"].copy()
    with pytest.raises(ObservationError, match=message) as error:
        encoder.encode(Observation("range", "Vector", 0.0, "float64", data), 10, 0.001)
    assert "'range'" in str(error.value)
    np.testing.assert_array_equal(encoder.state()["phase"], before)


def test_integers_and_single_numbers_are_numbers_too() -> None:
    encoder = make_encoder("rate", {"upper": 4.0})
    assert isinstance(encoder, ScalarRateEncoder)
    for data in (np.array(2, np.uint8), np.array([[2]], np.int64), np.float32(2.0)):
        rates = encoder.rates(Observation("n", "Scalar", 0.0, "any", np.asarray(data)))
        assert rates.tolist() == [50.0]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("rate", {"lower": 1.0}, "lower: must be below upper (1 is not below 1)"),
        ("rate", {"min_rate": 200.0}, "min_rate: must be below max_rate"),
        ("population", {"lower": 3.0}, "lower: must be below upper"),
        ("population", {"cells": 1}, "must be >= 2"),
        ("population", {"out_of_range": "wrap"}, "one of: clip, refuse"),
        ("rate", {"values": float("nan")}, "must be an integer"),
        ("rate", {"upper": float("inf")}, "must be any finite value"),
    ],
)
def test_unfit_settings_are_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_encoder(name, options)
    assert says in str(error.value)


def test_every_encoder_names_the_kinds_it_reads() -> None:
    assert set(KINDS) == {"Image", "Proprioception", "Audio", "Scalar", "Vector"}
    for name, encoder in ENCODERS.items():
        options = {"joints": ["pan"]} if name == "joint_population" else {}
        assert make_encoder(name, options, kind=encoder.kinds[0]).size >= 1
    with pytest.raises(ConfigError, match="'saliency' reads Image, not 'Audio'; one of: spectrum"):
        make_encoder("saliency", {}, kind="Audio")
    with pytest.raises(ConfigError, match="no encoder reads samples of the kind 'Smell'; one of"):
        make_encoder("saliency", {}, kind="Smell")
