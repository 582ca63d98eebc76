"""Spike trains from rates: regular ones, and random ones after Poisson."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting

_WORD = 2**64


class Trains(ABC):
    """Turns the rates of neurons into their spike trains, cycle by cycle.

    Parameters
    ----------
    size : neurons.
    seed : of what is drawn.
    """

    @abstractmethod
    def __init__(self, size: int, seed: int = 0) -> None: ...

    @abstractmethod
    def raster(self, rate: NDArray[np.float64], timesteps: int, dt: float) -> NDArray[np.uint8]:
        """Return uint8[timesteps, size] for rates float64[size] in Hz, at most one spike per dt."""

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return what has to be saved for the next raster to come out the same."""

    @abstractmethod
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""


class RegularRate(Trains):
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

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the phases, float64[size]."""
        return {"phase": self.phase}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the phases back."""
        self.phase = np.array(state["phase"], np.float64)


class PoissonRate(Trains):
    """Random spike trains: a neuron of rate r spikes in each timestep with probability r · dt.

    This is a Poisson process on the grid of timesteps (Dayan & Abbott, Theoretical Neuroscience,
    2001, §1.4): the mean count over a time t is r · t, its variance r · t · (1 − r · dt), and
    timesteps are independent of each other.  The random numbers are drawn timestep by timestep, so
    the trains do not depend on how the timesteps are parted into cycles.

    Parameters
    ----------
    size : neurons.
    seed : of the random numbers.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._random = np.random.Generator(np.random.PCG64(seed))

    def raster(self, rate: NDArray[np.float64], timesteps: int, dt: float) -> NDArray[np.uint8]:
        """Return uint8[timesteps, size] for rates float64[size] in Hz, at most one spike per dt."""
        drawn = self._random.random((timesteps, self._size))
        return (drawn < rate * dt).view(np.uint8)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the random generator's state, uint64[4]."""
        inner: Mapping[str, int] = self._random.bit_generator.state["state"]
        words = [word for key in ("state", "inc") for word in divmod(inner[key], _WORD)]
        return {"generator": np.array(words, np.uint64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the generator's state back."""
        words = [int(word) for word in state["generator"]]
        self._random.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": words[0] * _WORD + words[1], "inc": words[2] * _WORD + words[3]},
            # Only draws of 32 bits leave something here, and there are none.
            "has_uint32": 0,
            "uinteger": 0,
        }


CODES: Mapping[str, type[Trains]] = {"regular": RegularRate, "poisson": PoissonRate}
"""Trains by the name that a configuration calls them."""


def code_setting() -> Any:
    """Return the setting ``code`` of an encoder: how its rates become spikes."""
    return setting(
        "regular",
        doc="How rates become spikes: evenly spaced, or at random as in a Poisson process.",
        one_of=tuple(CODES),
    )
