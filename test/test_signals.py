"""Signals as vectors, at random, and uniformised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.environments.channels import Channel
from ab_ros.environments.signals import (
    clipped,
    in_bounds,
    random_signal,
    restore,
    select,
    to_signal,
    to_vector,
    uniformise,
)
from ab_ros.errors import ChannelError

XY = [Channel("x", bounds=(0, 10)), Channel("y", bounds=(5, 15))]

numbers = st.floats(-1e12, 1e12)


@st.composite
def channel_lists(draw: st.DrawFn, fixed: bool = False) -> list[Channel]:
    channels = []
    for k in range(draw(st.integers(0, 5))):
        low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
        value = draw(st.none() | st.floats(low, high)) if fixed else None
        channels.append(Channel(f"c{k}", (low, high), value))
    return channels


def test_numbers_of_the_document() -> None:
    assert uniformise({"x": 4, "y": 11}, XY) == {"x": 0.4, "y": 0.6}
    assert restore({"x": 0.4, "y": 0.6}, XY) == {"x": 4.0, "y": 11.0}
    np.testing.assert_array_equal(to_vector({"y": 11, "x": 4}, XY), [4.0, 11.0])
    assert to_signal([4, 11], XY) == {"x": 4.0, "y": 11.0}


@given(channels=channel_lists(), data=st.data())
def test_uniformise_and_back_is_the_identity(channels: list[Channel], data: st.DataObject) -> None:
    signal = {c.name: data.draw(st.floats(*c.bounds)) for c in channels}
    uniform = uniformise(signal, channels)
    assert all(0.0 <= value <= 1.0 for value in uniform.values())
    back = restore(uniform, channels)
    for channel in channels:
        size = max(map(abs, channel.bounds))
        assert back[channel.name] == pytest.approx(signal[channel.name], abs=1e-12 * size)
    assert in_bounds(back, channels)


@given(channels=channel_lists())
def test_ends_of_the_bounds_are_exact(channels: list[Channel]) -> None:
    for part, which in ((0.0, 0), (1.0, 1)):
        back = restore({c.name: part for c in channels}, channels)
        assert back == {c.name: c.bounds[which] for c in channels}


@given(channels=channel_lists(fixed=True), seed=st.integers(0, 2**32))
def test_random_signals_keep_bounds_and_what_is_fixed(channels: list[Channel], seed: int) -> None:
    signal = random_signal(channels, seed)
    assert in_bounds(signal, channels)
    assert signal == random_signal(channels, np.random.default_rng(seed))
    for channel in channels:
        if channel.fixed is not None:
            assert signal[channel.name] == channel.fixed


@given(channels=channel_lists(), data=st.data())
def test_vector_and_back_is_the_identity(channels: list[Channel], data: st.DataObject) -> None:
    signal = {c.name: data.draw(numbers) for c in channels}
    assert to_signal(to_vector(signal, channels), channels) == signal
    assert in_bounds(clipped(signal, channels), channels)
    if in_bounds(signal, channels):
        assert clipped(signal, channels) == signal


def test_random_signals_are_spread_over_the_bounds() -> None:
    random = np.random.default_rng(0)
    drawn = np.array([list(random_signal(XY, random).values()) for _ in range(2000)])
    assert drawn.mean(axis=0) == pytest.approx([5.0, 10.0], abs=0.3)
    assert drawn.min(axis=0) == pytest.approx([0.0, 5.0], abs=0.1)
    assert random_signal(XY) != random_signal(XY)


def test_infinite_bounds_are_refused() -> None:
    half = Channel("h", (0, math.inf))
    for call in (
        lambda: random_signal([half], 0),
        lambda: uniformise({"h": 1}, [half]),
        lambda: restore({"h": 1}, [half]),
    ):
        with pytest.raises(ChannelError, match="'h' must have finite bounds, not 0 to inf"):
            call()
    assert random_signal([Channel("h", fixed=3)]) == {"h": 3}
    assert in_bounds({"h": 1e300}, [half])
    assert not in_bounds({"h": -1}, [half])


def test_what_does_not_fit_is_refused() -> None:
    for vector in ([1], [[1, 2]], 1.0):
        with pytest.raises(ChannelError, match=r"vector: must have the form \[2\]"):
            to_signal(vector, XY)
    with pytest.raises(ChannelError, match="'y' must be finite"):
        to_signal([1, math.nan], XY)
    for wrong in (["a", 2], [[1], 2], [None, {}]):
        with pytest.raises(ChannelError, match="vector: must be of numbers"):
            to_signal(wrong, XY)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, "a", 1.5])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(ChannelError, match="seed: must be an integer >= 0, not"):
        random_signal(XY, seed)
    with pytest.raises(ChannelError, match="'y' is missing"):
        to_vector({"x": 1}, XY)
    with pytest.raises(ChannelError, match="no channel 'q'; one of: x, y"):
        select(XY, ["q"], "test")
    with pytest.raises(ChannelError, match="'x' stands twice"):
        select(XY, ["x", "x"], "test")
    assert select(XY, ["y"], "test") == [XY[1]]
