"""Encoders of numbers as bits that are active in every tick: simple and cyclic blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.codec.bits import cyclic_bits, scalar_bits, wrapped
from ab_ros.codec.encoder import Encoder
from ab_ros.codec.readings import NUMBERS, RangeSettings, read_numbers
from ab_ros.config import parse, setting
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.layered.computation import share_of
from ab_ros.values import Observation


@dataclass(frozen=True)
class BlockSettings(RangeSettings):
    """Each value as a block of active bits among silent ones."""

    length: int = setting(64, doc="Bits for each value.", ge=1, le=65536)
    sparsity: float = setting(
        0.02, doc="Part of the bits that is active at a time, rounded up.", gt=0, le=1
    )
    out_of_range: str = setting(
        "refuse",
        doc="What becomes of values outside: the sample is refused, or the nearest end.",
        one_of=("refuse", "clip"),
    )

    @property
    def active(self) -> int:
        """Bits of a value that are active at a time."""
        return share_of(self.sparsity, self.length)


@dataclass(frozen=True)
class RingSettings(BlockSettings):
    """Each value of a range that closes on itself as a block of active bits on a ring."""

    out_of_range: str = setting(
        "refuse",
        doc="What becomes of values outside: the sample is refused, the nearest end, or they go"
        " round.",
        one_of=("refuse", "clip", "wrap"),
    )


class BlockEncoder(Encoder):
    """Numbers as blocks of bits, alike in every tick of a cycle.

    Parameters
    ----------
    min_value, max_value : of the range.
    length : bits for each value.
    sparsity : part of them that is active, rounded up.
    values, joints, quantity : which numbers of a sample are encoded, see
        :class:`~ab_ros.codec.readings.NumberSettings`.
    out_of_range : ``refuse``, ``clip`` to the nearest end, or for a ring ``wrap`` around.

    Raises
    ------
    ConfigError
        for a range that is empty, or a setting that is not allowed.
    """

    settings_type: ClassVar[type[BlockSettings]] = BlockSettings
    kinds = NUMBERS

    def __init__(
        self,
        min_value: float,
        max_value: float,
        length: int,
        sparsity: float = 0.02,
        *,
        values: int = 1,
        joints: Sequence[str] = (),
        quantity: str = "position",
        out_of_range: str = "refuse",
    ) -> None:
        self.settings = parse(
            self.settings_type,
            {
                "lower": min_value,
                "upper": max_value,
                "length": length,
                "sparsity": sparsity,
                "values": values,
                "joints": tuple(joints),
                "quantity": quantity,
                "out_of_range": out_of_range,
            },
        )
        self.size = self.settings.count * self.settings.length

    @abstractmethod
    def bits(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return the bits of values, bool[…, length] for values of the form […].

        Raises
        ------
        ObservationError
            for a value that is not in the range, or not a number.
        """

    def encode(
        self, observation: Observation | None, timesteps: int, dt: float
    ) -> NDArray[np.uint8]:
        """Return the raster of the next cycle; without a sample all bits are silent."""
        if observation is None:
            return np.zeros((timesteps, self.size), np.uint8)
        values = read_numbers(observation, self.settings)
        try:
            row = self.bits(values).reshape(-1)
        except ObservationError as error:
            raise ObservationError(f"input {observation.id!r}: {error}") from None
        return np.tile(row.view(np.uint8), (timesteps, 1))

    def reset(self, seed: int) -> None:
        """Do nothing: nothing is remembered or drawn."""

    def _within(self, values: ArrayLike) -> NDArray[np.float64]:
        s = self.settings
        numbers = np.asarray(values, np.float64)
        if s.out_of_range == "clip":
            return np.clip(numbers, s.lower, s.upper)
        if s.out_of_range == "wrap":
            return wrapped(numbers, s.lower, s.upper)
        return numbers


class SimpleEncoder(BlockEncoder):
    """A number as a block of active bits whose place says where in its range it lies.

    See :func:`~ab_ros.codec.bits.scalar_bits`, whose code it is.

    Examples
    --------
    >>> SimpleEncoder(1, 4, 5, 0.4).bits(2).astype(int)
    array([0, 1, 1, 0, 0])
    """

    def bits(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return the bits of values, bool[…, length] for values of the form […]."""
        s = self.settings
        return scalar_bits(self._within(values), s.lower, s.upper, s.length, s.active)


class CyclicEncoder(BlockEncoder):
    """A number of a range whose ends are neighbours as a block of active bits on a ring.

    See :func:`~ab_ros.codec.bits.cyclic_bits`, whose code it is.

    Examples
    --------
    >>> CyclicEncoder(1, 5, 5, 0.4).bits(5).astype(int)
    array([1, 0, 0, 0, 1])
    """

    settings_type = RingSettings

    def bits(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return the bits of values, bool[…, length] for values of the form […]."""
        s = self.settings
        return cyclic_bits(self._within(values), s.lower, s.upper, s.length, s.active)


BLOCK_ENCODERS: dict[str, type[BlockEncoder]] = {
    "simple_bits": SimpleEncoder,
    "cyclic_bits": CyclicEncoder,
}
"""Encoders of bits by the name that a definition calls them."""


def block_encoder(name: str, settings: BlockSettings) -> BlockEncoder:
    """Make an encoder of :data:`BLOCK_ENCODERS` from its settings."""
    s = settings
    if name not in BLOCK_ENCODERS:
        raise ConfigError(f"encoder: {name!r} makes no bits")
    return BLOCK_ENCODERS[name](
        s.lower,
        s.upper,
        s.length,
        s.sparsity,
        values=s.values,
        joints=s.joints,
        quantity=s.quantity,
        out_of_range=s.out_of_range,
    )
