"""Rates, ages, latencies and counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.errors import ConfigError
from ab_ros.figures import Figures, LatencyWindow, RateMeter


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=50), st.integers(1, 20))
def test_percentiles_are_those_of_the_latest_samples(samples: list[float], capacity: int) -> None:
    window = LatencyWindow(capacity)
    for sample in samples:
        window.add(sample)
    latest = samples[-capacity:]
    assert window.p50 == pytest.approx(np.percentile(latest, 50))
    assert window.p99 == pytest.approx(np.percentile(latest, 99))
    assert window.count == len(samples)


def test_an_empty_window_has_no_percentile() -> None:
    window = LatencyWindow(4)
    window.add(math.nan)
    assert math.isnan(window.p50)
    with pytest.raises(ConfigError, match="capacity"):
        LatencyWindow(0)


def test_a_rate_is_measured_and_falls_when_events_stop() -> None:
    now = [0.0]
    meter = RateMeter(horizon=2.0, capacity=64, clock=lambda: now[0])
    assert (meter.rate, meter.age) == (0.0, math.inf)
    for _ in range(500):
        now[0] += 0.05
        meter.mark()
    assert meter.rate == pytest.approx(20.0)
    assert meter.age == 0.0
    now[0] += 1.0
    assert meter.rate < 12.0
    assert meter.age == pytest.approx(1.0)
    now[0] += 2.0
    assert meter.rate == 0.0


def test_figures_are_named_with_their_units() -> None:
    figures = Figures()
    figures.mark("image")
    figures.took("cycle", 0.002)
    figures.add("image refused", 3)
    figures.set("real-time factor", 0.5)
    assert figures.counts() == {"image refused": 3}
    snapshot = figures.snapshot()
    assert snapshot["cycle p50 (ms)"] == pytest.approx(2.0)
    assert snapshot["real-time factor"] == 0.5
    assert snapshot["image refused"] == 3.0
    assert "image rate (Hz)" in snapshot
