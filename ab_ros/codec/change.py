"""Encoders of change: ON and OFF spikes when numbers, or the parts of an image, rise and fall."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import Encoder
from ab_ros.codec.images import brightness
from ab_ros.codec.readings import NUMBERS, NumberSettings, read_numbers
from ab_ros.config import setting
from ab_ros.values import Observation


@dataclass(frozen=True)
class ChangeSettings(NumberSettings):
    """Spikes of ON and OFF cells when a value has changed enough."""

    threshold: float = setting(
        0.1, doc="Change of a value, in its own unit, that gives one spike.", gt=0
    )


@dataclass(frozen=True)
class ImageChangeSettings:
    """Spikes of ON and OFF cells where an image has become brighter or darker."""

    width: int = setting(16, doc="Columns of the grid of cells.", ge=1, le=512)
    height: int = setting(12, doc="Rows of the grid of cells.", ge=1, le=512)
    threshold: float = setting(
        0.15, doc="Change of the logarithm of the brightness that gives one spike.", gt=0, le=10
    )
    dark: float = setting(
        0.02,
        doc="Brightness (0 to 1) that is added before the logarithm: noise in the dark is no"
        " change.",
        ge=1e-6,
        le=1,
    )


class DeltaEncoder(Encoder):
    """Send-on-delta: a spike whenever a value has moved by a threshold since its last spike.

    Every value remembers the level of its last spike.  A sample that lies n whole thresholds above
    (below) it gives n spikes of the value's ON (OFF) cell, spread evenly over the cycle, and moves
    the level by as much; so ON minus OFF spikes, times the threshold, tell the value to within one
    threshold.  More spikes than a cycle has timesteps wait for the next sample.  The first sample
    sets the levels (M. Miskowicz, "Send-on-delta concept", Sensors 6, 2006; it is how pixels of
    event cameras work: P. Lichtsteiner, C. Posch and T. Delbruck, "A 128 x 128 120 dB 15 us latency
    asynchronous temporal contrast vision sensor", IEEE J. Solid-State Circuits 43, 2008).

    Parameters
    ----------
    values : of a sample; there are twice as many cells.
    threshold : change that gives a spike.
    """

    def __init__(self, values: int, threshold: float) -> None:
        self.size = 2 * values
        self.threshold = threshold
        self._level = np.full(values, np.nan)

    @abstractmethod
    def read(self, observation: Observation) -> NDArray[np.float64]:
        """Return the values of a sample, float64[values].

        Raises
        ------
        ObservationError
            if the sample has the wrong form or is not finite.
        """

    @abstractmethod
    def cells(self, on: NDArray[np.uint8], off: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the raster uint8[T, size] of the ON and OFF cells' rasters, uint8[T, values]."""

    def encode(
        self, observation: Observation | None, timesteps: int, dt: float
    ) -> NDArray[np.uint8]:
        """Return the raster of the next cycle; without a sample all cells are silent."""
        del dt
        if observation is None:
            return np.zeros((timesteps, self.size), np.uint8)
        values = self.read(observation)
        level = np.where(np.isnan(self._level), values, self._level)
        steps = np.clip(np.trunc((values - level) / self.threshold), -timesteps, timesteps)
        self._level = level + steps * self.threshold
        # n spikes in T timesteps: wherever t · n / T + ½ passes a whole number.
        passed = np.floor(np.arange(timesteps + 1)[:, None] * (np.abs(steps) / timesteps) + 0.5)
        spikes = np.diff(passed, axis=0).astype(np.uint8)
        return self.cells(spikes * (steps > 0), spikes * (steps < 0))

    def reset(self, seed: int) -> None:
        """Forget the levels: the next sample sets them."""
        del seed
        self._level = np.full_like(self._level, np.nan)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return the levels, float64[values]; NaN before the first sample."""
        return {"level": self._level}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the levels back."""
        self._level = np.array(state["level"], np.float64)


class ChangeEncoder(DeltaEncoder):
    """Each number's rise and fall as spikes of two cells, ON and OFF, value by value.

    A value spikes whenever it has moved by ``threshold`` since its last spike ("send-on-delta",
    M. Miskowicz, Sensors 6, 2006), see :class:`DeltaEncoder`; the first sample is where it begins.
    The samples are numbers or joint states, see :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = ChangeSettings
    kinds = NUMBERS

    def __init__(self, settings: ChangeSettings | None = None, seed: int = 0) -> None:
        del seed  # Nothing is drawn.
        self.settings = s = settings or ChangeSettings()
        super().__init__(s.count, s.threshold)

    def read(self, observation: Observation) -> NDArray[np.float64]:
        """Return the numbers of a sample, float64[values]."""
        return read_numbers(observation, self.settings)

    def cells(self, on: NDArray[np.uint8], off: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the cells ON and OFF of the first value, ON and OFF of the second …."""
        return np.stack((on, off), axis=2).reshape(len(on), self.size)


class ImageChangeEncoder(DeltaEncoder):
    """Where an image becomes brighter or darker, as an event camera sees it, on a grid of cells.

    The brightness is averaged to ``width`` × ``height`` cells, and a cell spikes whenever the
    natural logarithm of its brightness has moved by ``threshold`` since its last spike: what counts
    is contrast, not light (P. Lichtsteiner, C. Posch and T. Delbruck, IEEE J. Solid-State Circuits
    43, 2008; see :class:`DeltaEncoder`).  The ON cells come first, row by row from the upper left,
    then the OFF cells.
    """

    settings_type = ImageChangeSettings
    kinds = ("Image",)

    def __init__(self, settings: ImageChangeSettings | None = None, seed: int = 0) -> None:
        del seed  # Nothing is drawn.
        self.settings = s = settings or ImageChangeSettings()
        super().__init__(s.width * s.height, s.threshold)

    def read(self, observation: Observation) -> NDArray[np.float64]:
        """Return the logarithm of the cells' brightness, float64[width · height]."""
        s = self.settings
        image = brightness(observation, s.width, s.height)
        return np.log(image.reshape(-1).astype(np.float64) + s.dark)

    def cells(self, on: NDArray[np.uint8], off: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return all ON cells, then all OFF cells."""
        return np.concatenate((on, off), axis=1)
