"""The encoder port, and what encoders share that give each neuron a rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.trains import CODES
from ab_ros.values import Observation


class Encoder(ABC):
    """Turns samples of one input into a raster, cycle by cycle.

    A class that a configuration can choose has ``settings_type`` and ``kinds``, and is made as
    ``cls(settings, seed)``.

    Attributes
    ----------
    settings_type : the frozen dataclass of its settings (:func:`ab_ros.config.setting`).
    kinds : of the samples that it reads, such as ``("Scalar", "Vector")``.
    size : neurons of the input.
    """

    settings_type: ClassVar[type[Any]]
    kinds: ClassVar[tuple[str, ...]]
    size: int

    @abstractmethod
    def encode(
        self, observation: Observation | None, timesteps: int, dt: float
    ) -> NDArray[np.uint8]:
        """Return the raster uint8[timesteps, size] of the next cycle.

        Parameters
        ----------
        observation : the newest sample, or None: then the input is silent.
        timesteps : of the cycle, of ``dt`` s each.

        Raises
        ------
        ObservationError
            if the sample has the wrong form or is not finite; the encoder's state is unchanged.
        """

    @abstractmethod
    def reset(self, seed: int) -> None:
        """Forget all samples; phases are drawn anew from ``seed``."""

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return what has to be saved for the next raster to come out the same."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        del state


class RateEncoder(Encoder):
    """An encoder that gives each neuron a rate.

    Parameters
    ----------
    size : neurons.
    seed : of the trains.
    code : how rates become spikes, one of :data:`~ab_ros.codec.trains.CODES`.
    """

    def __init__(self, size: int, seed: int, code: str = "regular") -> None:
        self.size = size
        self.code = code
        self._trains = CODES[code](size, seed)

    @abstractmethod
    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the neurons' rates for a sample, float64[size] in Hz.

        Raises
        ------
        ObservationError
            if the sample has the wrong form or is not finite.
        """

    def encode(
        self, observation: Observation | None, timesteps: int, dt: float
    ) -> NDArray[np.uint8]:
        """Return the raster of the next cycle; without a sample all neurons are silent."""
        if observation is None:
            return np.zeros((timesteps, self.size), np.uint8)
        return self._trains.raster(self.rates(observation), timesteps, dt)

    def reset(self, seed: int) -> None:
        """Begin the trains anew."""
        self._trains = CODES[self.code](self.size, seed)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the state of the trains."""
        return self._trains.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the state of the trains back."""
        self._trains.restore(state)
