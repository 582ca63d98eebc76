"""The error hierarchy: every message says what was wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable


class AbRosError(Exception):
    """Base of all errors that ab_ros raises on purpose."""


class ConfigError(AbRosError):
    """A configuration key, type or value that is not allowed."""


class ContractError(AbRosError):
    """A brain's IO contract that is inconsistent, or data that does not fit it."""


class ObservationError(AbRosError):
    """A sensor sample that cannot be used; the sample is refused, the loop goes on."""


class EngineError(AbRosError):
    """A network that cannot be built, or a value that would corrupt its state."""


class BrainError(AbRosError):
    """A brain that failed; it can be opened again."""


class BrainFileError(BrainError):
    """A brain file that is missing, truncated, foreign or of an unknown version."""


class RecordError(AbRosError):
    """A record that cannot be written or read."""


class PolicyError(AbRosError):
    """A reward or deviation policy that is missing, failed, or returned an unusable value."""


class WorldError(AbRosError):
    """A simulated world that cannot be built or stepped."""


def one_of(allowed: Iterable[object]) -> str:
    """Return ``"one of: a, b, c"`` for the end of an error message."""
    return "one of: " + ", ".join(str(item) for item in allowed)
