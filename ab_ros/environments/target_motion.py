"""How the ball moves: scripted directions as a pure function of time and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.errors import WorldError, one_of

# (Hz, share of the amplitude) per axis.  All are odd multiples of 0.05 Hz, which makes them
# orthogonal over any 10 s: every seed and every such window has exactly the same RMS.
_AZIMUTH_SINES = ((0.15, 14.0), (0.35, 8.0))
_ELEVATION_SINES = ((0.25, 9.0), (0.45, 5.0))
_SINES_RMS = math.sqrt(sum(a * a for _, a in (*_AZIMUTH_SINES, *_ELEVATION_SINES)) / 2)


class MotionMode(Enum):
    """Scripts that the ball can follow."""

    JUMPS = "jumps"
    SINES = "sines"
    STILL = "still"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class MotionSettings:
    """Amplitudes and rates of the ball's scripts."""

    mode: str = setting(
        "jumps", doc="Script of the ball at start.", one_of=tuple(m.value for m in MotionMode)
    )
    jump_period: float = setting(0.8, doc="Time between two jumps.", unit="s", gt=0, le=60)
    jump_azimuth: float = setting(
        25.0, doc="Jumps reach this far to either side.", unit="deg", ge=0, le=45
    )
    jump_elevation: float = setting(
        18.0, doc="Jumps reach this far up and down.", unit="deg", ge=0, le=35
    )
    jump_drift: float = setting(
        6.0, doc="Greatest speed of the drift between jumps, per axis.", unit="deg/s", ge=0, le=60
    )
    sines_rms: float = setting(
        14.0,
        doc="RMS distance from straight ahead of the sum of sines; its peak is at most 1.93 times"
        " this, its greatest speed 2.9 times this per second.",
        unit="deg",
        ge=0,
        le=20,
    )
    still_azimuth: float = setting(
        0.0, doc="Where the ball stands still, to the right.", unit="deg", ge=-45, le=45
    )
    still_elevation: float = setting(
        0.0, doc="Where the ball stands still, up.", unit="deg", ge=-35, le=35
    )


class TargetMotion:
    """The ball's direction over time, seen from the camera at rest.

    Parameters
    ----------
    settings : amplitudes and rates.
    mode : ``jumps`` (for learning: a new uniformly random direction every period, with a slow
        drift between), ``sines`` (for probes: smooth, two sines per axis with random phases),
        ``still`` or ``hidden``.
    seed : >= 0; the same settings, mode and seed give the same path.

    Raises
    ------
    WorldError
        for an unknown mode or a negative seed.
    """

    def __init__(self, settings: MotionSettings, mode: str | MotionMode, seed: int) -> None:
        self.settings = settings
        try:
            self.mode = MotionMode(mode)
        except ValueError:
            raise WorldError(
                f"motion {mode!r} is not known; {one_of(m.value for m in MotionMode)}"
            ) from None
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise WorldError(f"motion seed must be an integer of at least 0, not {seed!r}")
        self.seed = int(seed)
        self._jump = -1
        self._jump_from = np.zeros(2)
        self._drift = np.zeros(2)
        self._sines = self._make_sines()

    @property
    def hidden(self) -> bool:
        """Whether the ball is out of the world."""
        return self.mode is MotionMode.HIDDEN

    def direction(self, time: float) -> tuple[float, float]:
        """Return (azimuth, elevation) in rad at ``time`` s >= 0 since the motion began.

        Azimuth is positive to the right, elevation positive up.
        """
        if self.mode is MotionMode.JUMPS:
            return self._jumping(time)
        if self.mode is MotionMode.SINES:
            frequency, amplitude, phase = self._sines
            waves = (amplitude * np.sin(2 * math.pi * frequency * time + phase)).sum(axis=1)
            return float(waves[0]), float(waves[1])
        still = self.settings
        return math.radians(still.still_azimuth), math.radians(still.still_elevation)

    def _jumping(self, time: float) -> tuple[float, float]:
        period = self.settings.jump_period
        jump = int(time / period + 1e-9)
        if jump != self._jump:
            # One generator per jump keeps the path a pure function of time, whatever the rate at
            # which it is looked at.
            random = np.random.default_rng((self.seed, jump))
            reach = np.radians((self.settings.jump_azimuth, self.settings.jump_elevation))
            self._jump_from = random.uniform(-1.0, 1.0, 2) * reach
            self._drift = random.uniform(-1.0, 1.0, 2) * math.radians(self.settings.jump_drift)
            self._jump = jump
        azimuth, elevation = self._jump_from + self._drift * (time - jump * period)
        return float(azimuth), float(elevation)

    def _make_sines(self) -> tuple[NDArray[np.float64], ...]:
        random = np.random.default_rng((self.seed, 1))
        axes = np.array((_AZIMUTH_SINES, _ELEVATION_SINES))
        amplitude = np.radians(axes[:, :, 1] * (self.settings.sines_rms / _SINES_RMS))
        return axes[:, :, 0], amplitude, random.uniform(0, 2 * math.pi, (2, 2))
