"""Channels: the scalars by which an explorer acts on a world, and hears from it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ab_ros.errors import ChannelError, shown

Signal = dict[str, float]
"""A value for each channel, by its name."""


@dataclass(frozen=True)
class Channel:
    """A scalar of a motor or sensory signal.

    Parameters
    ----------
    name : not empty.
    bounds : (low, high), which the value is expected to keep; low < high, either may be infinite.
        They describe: nothing enforces them.
    fixed : the value of a motor channel that is not explored, within the bounds; a motor signal
        may leave it out.
    unit : as text.

    Raises
    ------
    ChannelError
        if one of them is not allowed.
    """

    name: str
    bounds: tuple[float, float] = (-math.inf, math.inf)
    fixed: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ChannelError(f"Channel.name: must be a text, not {shown(self.name)}")
        where = f"Channel {self.name!r}"
        if not isinstance(self.unit, str):
            raise ChannelError(f"{where}.unit: must be a text, not {shown(self.unit)}")
        try:
            low, high = (_number(bound) for bound in self.bounds)
        except (TypeError, ValueError):
            raise ChannelError(
                f"{where}.bounds: must be two numbers (low, high), not {shown(self.bounds)}"
            ) from None
        if not low < high:
            raise ChannelError(f"{where}.bounds: low must be below high, not {shown(self.bounds)}")
        if low == math.inf or high == -math.inf or (high - low == math.inf and self._finite()):
            raise ChannelError(f"{where}.bounds: leave no number, not {shown(self.bounds)}")
        object.__setattr__(self, "bounds", (float(low), float(high)))
        if self.fixed is None:
            return
        try:
            fixed = float(_number(self.fixed))
        except TypeError:
            raise ChannelError(
                f"{where}.fixed: must be a number, not {shown(self.fixed)}"
            ) from None
        if not (math.isfinite(fixed) and low <= fixed <= high):
            raise ChannelError(
                f"{where}.fixed: must be finite and within {low:g} to {high:g}, not {fixed}"
            )
        object.__setattr__(self, "fixed", fixed)

    def _finite(self) -> bool:
        return all(math.isfinite(bound) for bound in self.bounds)

    @property
    def bounded(self) -> bool:
        """Whether both bounds are finite."""
        return self._finite()

    @property
    def rest(self) -> float:
        """The value where nothing is asked for: the fixed one, else 0 or the bound next to it."""
        if self.fixed is not None:
            return self.fixed
        low, high = self.bounds
        return min(max(0.0, low), high)


def names_of(channels: Sequence[Channel], where: str) -> list[str]:
    """Return the names of channels.

    Raises
    ------
    ChannelError
        if something else is among them, or a name stands twice.
    """
    names: list[str] = []
    for channel in channels:
        if not isinstance(channel, Channel):
            raise ChannelError(f"{where}: must be Channels, not {shown(channel)}")
        if channel.name in names:
            raise ChannelError(f"{where}: {channel.name!r} stands twice")
        names.append(channel.name)
    return names


def checked_signal(signal: Any, channels: Sequence[Channel], where: str) -> Signal:
    """Return a copy of a signal, in the order of its channels, as Python's numbers.

    A fixed channel that is left out has its fixed value.

    Raises
    ------
    ChannelError
        if it is not a mapping, lacks a channel, has one too many, or a value is not finite.
    """
    names = names_of(channels, where)
    if not isinstance(signal, Mapping):
        raise ChannelError(
            f"{where}: must be a mapping of channel names to numbers, not {shown(signal)}"
        )
    unknown = [name for name in signal if name not in names]
    if unknown:
        raise ChannelError(f"{where}: no channel {shown(unknown[0])}; {_listed(names)}")
    checked: Signal = {}
    for channel in channels:
        value = signal.get(channel.name, channel.fixed)
        if value is None:
            what = "is missing" if channel.name not in signal else "must be a number, not None"
            raise ChannelError(f"{where}: channel {channel.name!r} {what}; {_listed(names)}")
        try:
            number = _number(value)
        except TypeError:
            raise ChannelError(
                f"{where}: channel {channel.name!r} must be a number, not {shown(value)}"
            ) from None
        if not math.isfinite(number):
            raise ChannelError(f"{where}: channel {channel.name!r} must be finite, not {number}")
        checked[channel.name] = number
    return checked


def _listed(names: Sequence[str]) -> str:
    return f"the channels are: {', '.join(names)}" if names else "there are no channels"


def _number(value: Any) -> float:
    """Return a scalar as Python's int or float, or raise a TypeError."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError("not a number")
    try:
        float(value)
    except OverflowError:
        raise TypeError("not a number that a float can hold") from None
    return value if isinstance(value, (int, float)) else float(value)
