"""Encoder of numbers by the time to the first spike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import Encoder
from ab_ros.codec.readings import NUMBERS, RangeSettings, read_in_range
from ab_ros.config import setting
from ab_ros.values import Observation


@dataclass(frozen=True)
class LatencySettings(RangeSettings):
    """One spike in a cycle for each value, the earlier the larger it is."""

    lower: float = setting(0.0, doc="Value whose spike comes last.")
    upper: float = setting(1.0, doc="Value whose spike comes first.")
    threshold: float = setting(
        0.0, doc="Values below this part of the range are silent.", ge=0, le=1
    )
    window: float = setting(
        0.0,
        doc="Time from the first to the last spike; 0, or more than the cycle has: all of it.",
        unit="s",
        ge=0,
        le=10,
    )


class LatencyEncoder(Encoder):
    """Each value as the time of one spike of one cell: the larger, the earlier in the cycle.

    The latency falls linearly from ``window`` at the lower end to 0 at the upper end, rounded to
    timesteps (S. Thorpe, A. Delorme and R. Van Rullen, "Spike-based strategies for rapid
    processing", Neural Networks 14, 2001).  A sample is encoded in every cycle in which it is the
    newest; nothing is carried from one cycle to the next.  The samples are numbers or joint states,
    see :func:`~ab_ros.codec.readings.read_numbers`.
    """

    settings_type = LatencySettings
    kinds = NUMBERS

    def __init__(self, settings: LatencySettings | None = None, seed: int = 0) -> None:
        del seed  # Nothing is drawn.
        self.settings = settings or LatencySettings()
        self.size = self.settings.count

    def encode(
        self, observation: Observation | None, timesteps: int, dt: float
    ) -> NDArray[np.uint8]:
        """Return the raster of the next cycle; without a sample all cells are silent."""
        raster = np.zeros((timesteps, self.size), np.uint8)
        if observation is None:
            return raster
        s = self.settings
        share = (read_in_range(observation, s) - s.lower) / (s.upper - s.lower)
        last = timesteps - 1
        if s.window:
            last = min(last, round(s.window / dt))
        late = np.floor((1.0 - share) * last + 0.5).astype(np.int64)
        cells = np.flatnonzero(share >= s.threshold)
        raster[late[cells], cells] = 1
        return raster

    def reset(self, seed: int) -> None:
        """Do nothing: no sample is remembered."""
