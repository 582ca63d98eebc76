"""NEF tuning curves: as the equations of the framework say, and telling the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.nef import NefEncoder, NefSettings, NefTuning
from ab_ros.codec.registry import make_encoder
from ab_ros.errors import ConfigError
from ab_ros.values import Observation


def sample(*values: float) -> Observation:
    return Observation("in", "Vector", 0.0, "float64", np.array(values))


@pytest.mark.parametrize("response", ["lif", "rectified"])
@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=2))
def test_a_cell_fires_the_more_the_more_a_value_points_its_way(
    response: str, values: list[float]
) -> None:
    tuning = NefTuning(NefSettings(values=3, cells=40, response=response))
    low, high = sorted(values)
    along = tuning.directions[7]
    slow, fast = (tuning.rates(length * along)[7] for length in (low, high))
    assert 0.0 <= slow <= fast + 1e-9 <= 200.0 + 1e-6
    assert (fast > 0) == (high > tuning.intercepts[7]) or abs(high - tuning.intercepts[7]) < 1e-9


@pytest.mark.parametrize("response", ["lif", "rectified"])
@pytest.mark.parametrize("values", [1, 2, 5])
def test_curves_begin_at_the_intercept_and_reach_the_highest_rate(
    response: str, values: int
) -> None:
    tuning = NefTuning(NefSettings(values=values, cells=50, response=response))
    np.testing.assert_allclose(np.linalg.norm(tuning.directions, axis=1), 1.0)
    for cell in range(50):
        along = tuning.directions[cell]
        assert tuning.rates(along)[cell] == pytest.approx(tuning.max_rates[cell])
        assert tuning.rates((tuning.intercepts[cell] - 1e-6) * along)[cell] == 0.0
        assert tuning.rates((tuning.intercepts[cell] + 0.02) * along)[cell] > 0.0
    assert tuning.max_rates.min() >= 100.0 and tuning.max_rates.max() <= 200.0
    assert tuning.intercepts.min() >= -1.0 and tuning.intercepts.max() <= 0.9


def test_the_rate_of_a_lif_cell_is_that_of_its_equation_integrated() -> None:
    settings = NefSettings(
        cells=1, max_rate=(150.0, 150.0), intercept=(-0.5, -0.5), tau_rc=0.03, tau_ref=0.003
    )
    tuning = NefTuning(settings)
    rate = tuning.rates(0.3 * tuning.directions[0])[0]
    # tau_rc dv/dt = J - v, a spike at 1, rest for tau_ref: J from the two points of the curve.
    last = 1.0 / (1.0 - np.exp((0.003 - 1 / 150.0) / 0.03))
    current = 1.0 + (last - 1.0) * (0.3 + 0.5) / 1.5
    step, voltage, rest, spikes = 1e-5, 0.0, 0.0, 0
    for _ in range(200_000):
        rest -= step
        if rest > 0:
            continue
        voltage += step / 0.03 * (current - voltage)
        if voltage >= 1.0:
            voltage, rest, spikes = 0.0, 0.003, spikes + 1
    assert rate == pytest.approx(spikes / 2.0, rel=0.02)


def test_the_values_can_be_read_out_of_the_rates() -> None:
    encoder = make_encoder("nef", {"values": 2, "cells": 200, "lower": 10.0, "upper": 30.0})
    assert isinstance(encoder, NefEncoder) and encoder.size == 200
    points = np.random.default_rng(1).uniform(10.0, 30.0, (400, 2))
    rates = np.array([encoder.rates(sample(*point)) for point in points])
    bias = np.ones((400, 1))
    weights = np.linalg.lstsq(np.hstack((rates, bias))[:300], points[:300], rcond=1e-6)[0]
    error = np.hstack((rates, bias))[300:] @ weights - points[300:]
    assert np.sqrt(np.mean(error**2)) < 0.5


def test_the_tuning_belongs_to_the_settings_and_the_trains_to_the_seed() -> None:
    one, two = (make_encoder("nef", {"cells": 30}, seed) for seed in (1, 2))
    other = make_encoder("nef", {"cells": 30, "tuning_seed": 1}, 1)
    assert isinstance(one, NefEncoder) and isinstance(two, NefEncoder)
    assert isinstance(other, NefEncoder)
    here = one.rates(sample(0.2))
    np.testing.assert_array_equal(here, two.rates(sample(0.2)))
    assert not np.array_equal(here, other.rates(sample(0.2)))
    one.reset(9)
    np.testing.assert_array_equal(here, one.rates(sample(0.2)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_rate": [200.0, 100.0]}, "max_rate: the first must be at most the second"),
        ({"max_rate": [100.0]}, "must have 2 items"),
        ({"max_rate": [100.0, 600.0]}, "must be below 0.99 / tau_ref, 495 Hz"),
        ({"intercept": [0.0, 1.0]}, "must be >= -1 and < 1"),
        ({"response": "sigmoid"}, "one of: lif, rectified"),
        ({"cells": 0}, "must be >= 1"),
    ],
)
def test_unfit_settings_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_encoder("nef", options)
    assert says in str(error.value)
