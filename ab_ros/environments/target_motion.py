"""How the ball moves: scripted paths as a pure function of time and seed.

A ball *appears* when a path begins, unless it is hidden, with every jump, and while it follows the
sines every ``appearance_period``; who listens hears a tone then.
"""

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
    appearance_period: float = setting(
        1.0,
        doc="Time between two appearances of a ball that follows the sines.",
        unit="s",
        gt=0,
        le=60,
    )
    still_azimuth: float = setting(
        0.0, doc="Where the ball stands still, to the right.", unit="deg", ge=-45, le=45
    )
    still_elevation: float = setting(
        0.0, doc="Where the ball stands still, up.", unit="deg", ge=-35, le=35
    )

    def script(self) -> Script:
        """Return the script: azimuth to the right and elevation up, rad."""
        axes = np.array((_AZIMUTH_SINES, _ELEVATION_SINES))
        return Script(
            period=self.jump_period,
            centre=np.zeros(2),
            reach=np.radians((self.jump_azimuth, self.jump_elevation)),
            drift=np.full(2, math.radians(self.jump_drift)),
            frequency=axes[:, :, 0],
            amplitude=np.radians(axes[:, :, 1] * (self.sines_rms / _SINES_RMS)),
            still=np.radians((self.still_azimuth, self.still_elevation)),
            appearance_period=self.appearance_period,
        )


@dataclass(frozen=True)
class Script:
    """Numbers of a path of two coordinates; arrays are float64.

    ``period``: s between jumps, each of which leads to ``centre`` ± ``reach`` [2] and goes on with
    up to ``drift`` [2] per s; ``frequency``, ``amplitude``: Hz and height of the sines of each
    coordinate [2, 2]; ``still``: where it stands [2]; ``appearance_period``: s between two
    appearances on a path without jumps.
    """

    period: float
    centre: NDArray[np.float64]
    reach: NDArray[np.float64]
    drift: NDArray[np.float64]
    frequency: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    still: NDArray[np.float64]
    appearance_period: float


class ScriptedPath:
    """Two coordinates over time.

    Parameters
    ----------
    script : its numbers.
    mode : ``jumps`` (for learning: a new uniformly random place every period, with a slow drift
        between), ``sines`` (for probes: smooth, two sines per coordinate with random phases),
        ``still`` or ``hidden``.
    seed : >= 0; the same script, mode and seed give the same path.

    Raises
    ------
    WorldError
        for an unknown mode or a negative seed.
    """

    def __init__(self, script: Script, mode: str | MotionMode, seed: int) -> None:
        self.script = script
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
        self._phase = np.random.default_rng((self.seed, 1)).uniform(0, 2 * math.pi, (2, 2))

    @property
    def hidden(self) -> bool:
        """Whether the ball is out of the world."""
        return self.mode is MotionMode.HIDDEN

    def jump(self, time: float) -> int:
        """Return how many jumps there were by ``time`` s >= 0; 0 for paths that do not jump."""
        return int(time / self.script.period + 1e-9) if self.mode is MotionMode.JUMPS else 0

    def at(self, time: float) -> tuple[float, float]:
        """Return the two coordinates at ``time`` s >= 0 since the motion began."""
        if self.mode is MotionMode.JUMPS:
            first, second = self._jumping(time)
        elif self.mode is MotionMode.SINES:
            angle = 2 * math.pi * self.script.frequency * time + self._phase
            first, second = (self.script.amplitude * np.sin(angle)).sum(axis=1)
        else:
            first, second = self.script.still
        return float(first), float(second)

    def since_appearance(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how long ago the ball appeared, s, at times float64[n] since the motion began.

        It is infinite for a hidden ball, and negative before the motion began.
        """
        periods = {
            MotionMode.JUMPS: self.script.period,
            MotionMode.SINES: self.script.appearance_period,
            MotionMode.STILL: math.inf,
        }
        if self.hidden:
            return np.full(times.shape, math.inf)
        period = periods[self.mode]
        if math.isinf(period):
            return times
        # As a jump does, an appearance begins a rounding early.
        count = np.maximum(np.floor(times / period + 1e-9), 0.0)
        return np.asarray(np.where(times < 0.0, times, np.maximum(times - count * period, 0.0)))

    def _jumping(self, time: float) -> NDArray[np.float64]:
        script, jump = self.script, self.jump(time)
        if jump != self._jump:
            # One generator per jump keeps the path a pure function of time, whatever the rate at
            # which it is looked at.
            random = np.random.default_rng((self.seed, jump))
            self._jump_from = script.centre + random.uniform(-1.0, 1.0, 2) * script.reach
            self._drift = random.uniform(-1.0, 1.0, 2) * script.drift
            self._jump = jump
        return self._jump_from + self._drift * (time - jump * script.period)


class TargetMotion(ScriptedPath):
    """The ball's direction over time, seen from a camera that rests.

    Coordinates are azimuth (positive to the right) and elevation (positive up), rad.

    Parameters
    ----------
    settings : amplitudes and rates.
    mode, seed : as :class:`ScriptedPath` takes them.
    """

    def __init__(self, settings: MotionSettings, mode: str | MotionMode, seed: int) -> None:
        super().__init__(settings.script(), mode, seed)
