"""The error hierarchy: every message says what was wrong, where, and what would be right."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any


class AbRosError(Exception):
    """Base of all errors that ab_ros raises on purpose."""


class ConfigError(AbRosError):
    """A configuration key, type or value that is not allowed.

    Attributes
    ----------
    path : keys that lead to what is wrong, where known.
    also : more that is wrong in the same configuration, in the order of its keys.
    """

    path: tuple[str, ...] = ()
    also: tuple[ConfigError, ...] = ()


class ContractError(AbRosError):
    """A brain's IO contract that is inconsistent, or data that does not fit it."""


class ObservationError(AbRosError):
    """A sensor sample that cannot be used; the sample is refused, the loop goes on."""


class EngineError(AbRosError):
    """A network that cannot be built, or a value that would corrupt its state."""


class BrainError(AbRosError):
    """A brain that failed; it can be opened again."""


class BrainUnreachable(BrainError):  # noqa: N818
    """A brain elsewhere that does not answer now; it may answer when it is asked again."""


class BrainFileError(BrainError):
    """A brain file that is missing, truncated, foreign or of an unknown version."""


class ProtocolError(AbRosError):
    """A message of the 0.1 protocol that cannot be understood, or is larger than allowed."""


class RecordError(AbRosError):
    """A record that cannot be written or read."""


class PolicyError(AbRosError):
    """A reward or deviation policy that is missing, failed, or returned an unusable value."""


class WorldError(AbRosError):
    """A simulated world that cannot be built or stepped."""


class ChannelError(AbRosError):
    """A channel that cannot be, or a signal that does not fit its channels."""


class OrderNotExecutableError(AbRosError):
    """A motor signal that an environment cannot execute; the world is as it was before."""


def one_of(allowed: Iterable[object]) -> str:
    """Return ``"one of: a, b, c"`` for the end of an error message."""
    return "one of: " + ", ".join(str(item) for item in allowed)


def shown(value: Any) -> str:
    """Return what a value from elsewhere looks like, in at most 60 characters whatever it is."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    text = _brief.repr(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Brief(reprlib.Repr):
    """Looks at no more of a value than is shown: it may be large, or nested deeply."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write integers of thousands of digits.
        return repr(x) if x.bit_length() < 128 else f"an integer of {x.bit_length()} bits"


_brief = _Brief()
