"""Signals as vectors, at random, and in units that are the same for every channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.environments.channels import Channel, Signal, checked_signal, names_of
from ab_ros.errors import ChannelError, shown

RandomSource = np.random.Generator | int | None
"""A generator, which is used up, or the seed of one; None is different every time."""


def to_vector(signal: Mapping[str, float], channels: Sequence[Channel]) -> NDArray[np.float64]:
    """Return the values of a signal, float64[C], in the order of its channels.

    Raises
    ------
    ChannelError
        if the signal does not fit the channels.
    """
    return np.array(list(checked_signal(signal, channels, "signal").values()), np.float64)


def to_signal(vector: ArrayLike, channels: Sequence[Channel]) -> Signal:
    """Return the signal of a vector float[C].

    Raises
    ------
    ChannelError
        if it has another form, or a value is not finite.
    """
    try:
        values = np.asarray(vector, np.float64)
    except (TypeError, ValueError):
        raise ChannelError(f"vector: must be of numbers, not {shown(vector)}") from None
    if values.shape != (len(channels),):
        raise ChannelError(f"vector: must have the form [{len(channels)}], not {[*values.shape]}")
    named = zip(names_of(channels, "vector"), values.tolist(), strict=True)
    return checked_signal(dict(named), channels, "vector")


def bounds_of(
    channels: Sequence[Channel], where: str = "channels"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper bounds, float64[C] each.

    Raises
    ------
    ChannelError
        if one is infinite.
    """
    names_of(channels, where)
    for channel in channels:
        if not channel.bounded:
            raise ChannelError(
                f"{where}: channel {channel.name!r} must have finite bounds, not"
                f" {channel.bounds[0]:g} to {channel.bounds[1]:g}"
            )
    table = np.array([channel.bounds for channel in channels], np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def generator(random: RandomSource) -> np.random.Generator:
    """Return a generator of random numbers.

    Raises
    ------
    ChannelError
        if it is neither one nor a seed >= 0.
    """
    try:
        return np.random.default_rng(random)
    except (TypeError, ValueError):
        raise ChannelError(f"seed: must be an integer >= 0, not {shown(random)}") from None


def random_signal(channels: Sequence[Channel], random: RandomSource = None) -> Signal:
    """Return a signal that is uniform within the bounds; fixed channels have their fixed value.

    Raises
    ------
    ChannelError
        if a channel is neither fixed nor bounded, or the seed is not allowed.
    """
    free = [channel for channel in channels if channel.fixed is None]
    low, high = bounds_of(free, "random signal")
    drawn = generator(random).uniform(size=len(free))
    values = between(drawn, low, high).tolist()
    named = dict(zip((channel.name for channel in free), values, strict=True))
    return checked_signal(named, channels, "random signal")


def in_bounds(signal: Mapping[str, float], channels: Sequence[Channel]) -> bool:
    """Whether every value of a signal keeps the bounds of its channel."""
    checked = checked_signal(signal, channels, "signal")
    return all(c.bounds[0] <= checked[c.name] <= c.bounds[1] for c in channels)


def clipped(signal: Mapping[str, float], channels: Sequence[Channel]) -> Signal:
    """Return a signal whose values are brought inside the bounds."""
    checked = checked_signal(signal, channels, "signal")
    return {c.name: min(max(checked[c.name], c.bounds[0]), c.bounds[1]) for c in channels}


def uniformise(signal: Mapping[str, float], channels: Sequence[Channel]) -> Signal:
    """Return a signal in which 0 is the lower and 1 the upper bound of every channel.

    >>> uniformise({"x": 4, "y": 11}, [Channel("x", (0, 10)), Channel("y", (5, 15))])
    {'x': 0.4, 'y': 0.6}

    Raises
    ------
    ChannelError
        if the signal does not fit the channels, or a bound is infinite.
    """
    low, high = bounds_of(channels, "uniformise")
    return to_signal((to_vector(signal, channels) - low) / (high - low), channels)


def restore(signal: Mapping[str, float], channels: Sequence[Channel]) -> Signal:
    """Return what :func:`uniformise` was given; from 0 to 1, the result keeps the bounds.

    >>> restore({"x": 0.4, "y": 0.6}, [Channel("x", (0, 10)), Channel("y", (5, 15))])
    {'x': 4.0, 'y': 11.0}

    Raises
    ------
    ChannelError
        as :func:`uniformise`.
    """
    low, high = bounds_of(channels, "restore")
    # A uniformised signal has no fixed channels: what is left out is missing.
    free = [Channel(channel.name) for channel in channels]
    return to_signal(between(to_vector(signal, free), low, high), channels)


def select(channels: Iterable[Channel], names: Sequence[str], where: str) -> list[Channel]:
    """Return the channels of some names, in the order of the names; of none, all of them.

    Raises
    ------
    ChannelError
        if a name is not among them, or stands twice.
    """
    known = {channel.name: channel for channel in channels}
    for name in names:
        if name not in known:
            raise ChannelError(f"{where}: no channel {name!r}; one of: {', '.join(known)}")
    chosen = [known[name] for name in names] if names else list(known.values())
    names_of(chosen, where)
    return chosen


def between(
    part: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return low + part · (high − low): exact at both ends, and for parts in 0 .. 1 within them."""
    values = (1.0 - part) * low + part * high
    inside = (part >= 0.0) & (part <= 1.0)
    return np.where(inside, np.clip(values, low, high), values)
