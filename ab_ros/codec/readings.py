"""Numbers out of samples: plain ones, and those of joints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.errors import ConfigError, ObservationError, one_of
from ab_ros.values import Observation

NUMBERS = ("Scalar", "Vector", "Proprioception")
"""Kinds of samples that encoders of numbers read: numbers, and joint states by joints' names."""

QUANTITIES = ("position", "velocity", "effort")
OUT_OF_RANGE = ("clip", "refuse")


@dataclass(frozen=True)
class NumberSettings:
    """Which numbers of a sample are encoded."""

    values: int = setting(
        1, doc="Values of a sample; of joint states, there is one for each joint.", ge=1, le=100_000
    )
    joints: tuple[str, ...] = setting(
        (), doc="Joints whose states are encoded, by name; none for samples that are numbers."
    )
    quantity: str = setting(
        "position", doc="What of the joints' states is encoded.", one_of=QUANTITIES
    )

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise ConfigError(f"joints: must name each joint once, not {list(self.joints)}")
        if self.joints and self.values not in (1, len(self.joints)):
            raise ConfigError(
                f"values: must be left out where 'joints' are given, or be their number"
                f" ({self.values} is not {len(self.joints)})"
            )

    @property
    def count(self) -> int:
        """Numbers that are encoded."""
        return len(self.joints) or self.values


@dataclass(frozen=True)
class RangeSettings(NumberSettings):
    """Which numbers of a sample are encoded, and their range, in their own unit."""

    lower: float = setting(0.0, doc="Lower end of the range of values.")
    upper: float = setting(1.0, doc="Upper end of the range of values.")
    out_of_range: str = setting(
        "clip",
        doc="What becomes of values outside: the nearest end, or the sample is refused.",
        one_of=OUT_OF_RANGE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lower >= self.upper:
            raise ConfigError(
                f"lower: must be below upper ({self.lower:g} is not below {self.upper:g})"
            )
        if not math.isfinite(self.upper - self.lower):
            raise ConfigError(f"upper: too far from lower ({self.lower:g} to {self.upper:g})")


def read_numbers(observation: Observation, settings: NumberSettings) -> NDArray[np.float64]:
    """Return the numbers of a sample that settings ask for, float64[count].

    Of a joint state they are those of the joints, in the settings' order; see also
    :func:`read_values`.

    Raises
    ------
    ObservationError
        if the sample has another form, lacks a joint, or has a number that is not finite.
    """
    if settings.joints:
        return read_joints(observation, settings.joints, settings.quantity)
    return read_values(observation, settings.values)


def read_in_range(observation: Observation, settings: RangeSettings) -> NDArray[np.float64]:
    """Return the numbers of a sample, float64[count] in [``lower``, ``upper``].

    Raises
    ------
    ObservationError
        as :func:`read_numbers`, and for a value outside if the settings say so.
    """
    values = read_numbers(observation, settings)
    lower, upper = settings.lower, settings.upper
    outside = np.flatnonzero((values < lower) | (values > upper))
    if outside.size and settings.out_of_range == "refuse":
        raise ObservationError(
            f"input {observation.id!r}: value {outside[0]} must be in [{lower:g}, {upper:g}]"
            f" (got {values[outside[0]]:g})"
        )
    return np.clip(values, lower, upper)


def read_values(observation: Observation, count: int) -> NDArray[np.float64]:
    """Return the numbers of a sample, float64[count].

    ``data`` is an array of numbers of any shape, read row by row; a number alone is one, too.

    Raises
    ------
    ObservationError
        if it is no such array, has another number of values, or one that is not finite.
    """
    where = f"input {observation.id!r}"
    data = observation.data
    if isinstance(data, bytes) or np.asarray(data).dtype.kind not in "iuf":
        raise ObservationError(f"{where}: the sample must be an array of numbers")
    values = np.asarray(data, np.float64).reshape(-1)
    if values.size != count:
        raise ObservationError(
            f"{where}: the sample must have {count} value{'s' * (count > 1)}, as the encoder's"
            f" setting 'values' says (got {values.size})"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ObservationError(
            f"{where}: values must be finite (value {bad[0]} is {values[bad[0]]})"
        )
    return values


def read_joints(
    observation: Observation, joints: tuple[str, ...], quantity: str = "position"
) -> NDArray[np.float64]:
    """Return the positions, velocities or efforts of joints, float64[joints].

    The sample is a joint state: float64[3, J], with the names of its joints in ``meta["names"]``.

    Raises
    ------
    ObservationError
        if it is none, lacks a joint, or has a number for one that is not finite.
    """
    where = f"input {observation.id!r}"
    names = list(observation.meta.get("names", ()))
    missing = [joint for joint in joints if joint not in names]
    if missing:
        raise ObservationError(
            f"{where}: joint states lack {', '.join(missing)}; they have {one_of(names)}"
        )
    data = observation.data
    if isinstance(data, bytes) or data.shape != (3, len(names)) or data.dtype.kind not in "iuf":
        raise ObservationError(f"{where}: joint states must be numbers of the form [3, joints]")
    row = data[QUANTITIES.index(quantity)]
    values = np.asarray(row[[names.index(joint) for joint in joints]], np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        plural = {"position": "positions", "velocity": "velocities", "effort": "efforts"}[quantity]
        raise ObservationError(
            f"{where}: joint {plural} must be finite ({joints[bad[0]]} is {values[bad[0]]};"
            f" nan is one that is not known)"
        )
    return values
