"""Scalar and cyclic encoders: near values share bits, far ones do not, and a ring has no ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ab_ros.codec.bits import CyclicEncoder, ScalarEncoder, cyclic_bits, scalar_bits
from ab_ros.codec.registry import make_encoder
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def written(bits: np.ndarray) -> str:
    return "".join(map(str, bits.astype(int)))


@pytest.mark.parametrize(
    ("value", "bits"), [(1, "11000"), (2, "01100"), (3, "00110"), (4, "00011"), (1.5, "11000")]
)
def test_a_scalar_is_a_block_at_its_place(value: float, bits: str) -> None:
    assert written(scalar_bits(value, 1, 4, 5, 2)) == bits


@pytest.mark.parametrize(
    ("value", "bits"), [(1, "11000"), (3, "00110"), (4, "00011"), (5, "10001")]
)
def test_a_cyclic_value_goes_on_at_the_first_bit(value: float, bits: str) -> None:
    assert written(cyclic_bits(value, 1, 5, 5, 2)) == bits


def test_many_values_are_encoded_at_once() -> None:
    values = np.linspace(0.0, 1.0, 12).reshape(3, 4)
    for encode in (scalar_bits, cyclic_bits):
        bits = encode(values, 0.0, 1.0, 9, 3)
        assert bits.shape == (3, 4, 9)
        for index in np.ndindex(3, 4):
            np.testing.assert_array_equal(bits[index], encode(values[index], 0.0, 1.0, 9, 3))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_the_nearer_two_values_the_more_bits_they_share(
    one: float, other: float, length: int, active: int, ring: bool
) -> None:
    assume(active <= length)
    encode, places = (cyclic_bits, length) if ring else (scalar_bits, length - active + 1)
    a, b = (encode(value, 0.0, 1.0, length, active) for value in (one, other))
    assert a.sum() == b.sum() == active
    # How many places apart two values are is told by their distance, to one place.
    apart = abs(one - other) * places
    if ring:
        apart = min(apart, places - apart)
    shared = int((a & b).sum())
    if not ring or 2 * active <= length:
        assert active - apart - 1 - 1e-9 <= shared <= max(0.0, active - apart + 1 + 1e-9)


@pytest.mark.parametrize("encode", [scalar_bits, cyclic_bits])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_value_that_is_not_in_the_range_is_refused(encode: Any, value: float) -> None:
    with pytest.raises(ObservationError, match=r"value must be in \[0, 1\]"):
        encode(value, 0.0, 1.0, 8, 2)


@pytest.mark.parametrize(
    ("lower", "upper", "active", "says"),
    [
        (1.0, 1.0, 2, "must be below upper"),
        (0.0, float("inf"), 2, "must be below upper"),
        (0.0, 1.0, 9, "at most 8 bits"),
        (0.0, 1.0, 0, "at least 1"),
    ],
)
def test_a_code_that_cannot_be_is_refused(
    lower: float, upper: float, active: int, says: str
) -> None:
    for encode in (scalar_bits, cyclic_bits):
        with pytest.raises(ConfigError, match=says):
            encode(0.5, lower, upper, 8, active)


def sample(*values: float) -> Observation:
    return Observation("dial", "Vector", 0.0, "float64", np.array(values))


def test_active_cells_spike_at_their_rate_and_others_are_silent() -> None:
    encoder = make_encoder("scalar", {"values": 2, "cells": 5, "active": 2, "max_rate": 200.0})
    assert isinstance(encoder, ScalarEncoder)
    rates = encoder.rates(sample(0.0, 1.0))
    assert rates.tolist() == [200, 200, 0, 0, 0, 0, 0, 0, 200, 200]
    counts = encoder.encode(sample(0.0, 1.0), 500, 0.001).sum(axis=0, dtype=int)
    assert np.all(np.abs(counts - rates / 2) <= 1)
    assert encoder.rates(sample(-3.0, 7.0)).tolist() == rates.tolist()


@given(st.floats(-1000.0, 1000.0))
def test_an_angle_outside_goes_round(angle: float) -> None:
    encoder = make_encoder("cyclic", {"cells": 36, "active": 5})
    assert isinstance(encoder, CyclicEncoder)
    inside = np.arctan2(np.sin(angle), np.cos(angle))
    one, other = (encoder.rates(sample(value)) > 0 for value in (angle, inside))
    # Rounding may move a value at the edge of a place to the next one.
    assert one.sum() == 5 and (one & other).sum() >= 4


def test_a_cyclic_encoder_can_refuse_what_is_outside() -> None:
    encoder = make_encoder("cyclic", {"upper": 7.0, "lower": 0.0, "out_of_range": "refuse"})
    with pytest.raises(ObservationError, match=r"'dial': value 0 must be in \[0, 7\] \(got 7.5\)"):
        encoder.encode(sample(7.5), 10, 0.001)
    assert encoder.encode(sample(7.0), 100, 0.001).any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cells": 4, "active": 5}, "active: must be at most the number of cells (5 is more than"),
        ({"cells": 0}, "must be >= 1"),
        ({"lower": -1e308, "upper": 1e308}, "upper: too far from lower"),
    ],
)
def test_unfit_settings_are_refused(options: dict[str, Any], says: str) -> None:
    for name in ("scalar", "cyclic"):
        with pytest.raises(ConfigError) as error:
            make_encoder(name, options)
        assert says in str(error.value)
