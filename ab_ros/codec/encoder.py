"""The encoder port, the regular-rate code that encoders share, and the choice by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.values import Observation


class Encoder(ABC):
    """Turns samples of one input into a raster, cycle by cycle.

    Attributes
    ----------
    size : neurons of the input.
    """

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


class RegularRate:
    """Regular spike trains: a neuron of rate r spikes once every 1/r s.

    Each neuron integrates its rate and spikes when the integral passes a whole number, so the
    count over any time is exact to one spike (the noiseless limit of a rate code; Dayan & Abbott,
    Theoretical Neuroscience, 2001, §1.4).  Phases are drawn from the seed so that equal rates do
    not spike together.

    Parameters
    ----------
    size : neurons.
    seed : of the first phases.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.phase = np.random.default_rng(seed).random(size)

    def raster(self, rate: NDArray[np.float64], timesteps: int, dt: float) -> NDArray[np.uint8]:
        """Return uint8[timesteps, size] for rates float64[size] in Hz, at most one spike per dt."""
        step = np.minimum(rate * dt, 1.0)
        reached = np.floor(self.phase + step * np.arange(1, timesteps + 1)[:, None])
        raster = np.diff(reached, axis=0, prepend=0.0).astype(np.uint8)
        self.phase = (self.phase + step * timesteps) - reached[-1]
        return raster


class RateEncoder(Encoder):
    """An encoder that gives each neuron a rate, as a regular train.

    Parameters
    ----------
    size : neurons.
    seed : of the first phases.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._code = RegularRate(size, seed)

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
        return self._code.raster(self.rates(observation), timesteps, dt)

    def reset(self, seed: int) -> None:
        """Draw the phases anew."""
        self._code = RegularRate(self.size, seed)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the phases."""
        return {"phase": self._code.phase}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the phases back."""
        self._code.phase = np.array(state["phase"], np.float64)
