"""The microphone of a simulated world: quiet noise, and a tone whenever the ball appears."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.target_motion import ScriptedPath
from ab_ros.errors import ConfigError
from ab_ros.values import Observation, read_only

_NS = 1_000_000_000
_RAMP = 0.005  # s in which a tone comes and goes, so that it does not click
_FULL_SCALE = 32767.0


@dataclass(frozen=True)
class MicrophoneSettings:
    """What the microphone hears."""

    rate: int = setting(16000, doc="Sample rate.", unit="Hz", ge=4000, le=192_000)
    tone: float = setting(
        0.3, doc="Amplitude of the tone that sounds when the ball appears; 0: none.", ge=0, le=1
    )
    frequency: float = setting(1000.0, doc="Of the tone.", unit="Hz", gt=0, le=96_000)
    seconds: float = setting(0.2, doc="How long a tone lasts.", unit="s", ge=0.02, le=10)
    noise: float = setting(
        0.001, doc="Sigma of the noise that is always there; full scale is 1.", ge=0, le=1
    )

    def __post_init__(self) -> None:
        if self.frequency >= 0.5 * self.rate:
            raise ConfigError(
                f"frequency: must be below half the sample rate ({self.frequency:g} is not below"
                f" {0.5 * self.rate:g} Hz)"
            )


class Microphone:
    """Records the sound of a world without a gap, in chunks as long as the time that has passed.

    Sample k is taken at k / rate s of the world's clock.  The tone is a function of the ball's path
    and the noise of the seed and the number of samples, so that a run sounds the same however it is
    cut into chunks.

    Parameters
    ----------
    settings : what it hears.
    seed : of the noise, at least 0.

    Attributes
    ----------
    muted : whether the tone is left out; the noise stays.
    """

    def __init__(self, settings: MicrophoneSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or MicrophoneSettings()
        self.muted = False
        self._random = np.random.default_rng((seed, 2))
        self._next = 0
        self._chunk = self._observation(np.zeros(0, np.int16), 0)

    def record(self, now_ns: int, motion: ScriptedPath, motion_ns: int) -> Observation:
        """Return the sound since the last call; at the same time the same chunk again.

        Parameters
        ----------
        now_ns : time of the world's clock, ns.
        motion : the ball's path.
        motion_ns : when that began, ns.

        Returns
        -------
        Observation
            int16[n] with ``meta["rate"]``, stamped when its first sample was taken; empty before
            any time has passed.  Of more than a second, the newest is returned.
        """
        end = -(-now_ns * self.settings.rate // _NS)
        if end > self._next:
            self._next = max(self._next, end - self.settings.rate)
            sound = self._sound(self._next, end, motion, motion_ns)
            self._chunk = self._observation(sound, self._next)
            self._next = end
        return self._chunk

    def _sound(
        self, first: int, end: int, motion: ScriptedPath, motion_ns: int
    ) -> NDArray[np.int16]:
        s = self.settings
        sound = s.noise * self._random.standard_normal(end - first)
        if s.tone and not self.muted:
            base = first * _NS // s.rate - motion_ns
            times = (base + np.arange(end - first) * (_NS / s.rate)) / _NS
            since = motion.since_appearance(times)
            heard = (since >= 0.0) & (since < s.seconds)
            at = since[heard]
            ramp = np.clip(np.minimum(at, s.seconds - at) / _RAMP, 0.0, 1.0)
            sound[heard] += s.tone * ramp * np.sin(2.0 * math.pi * s.frequency * at)
        return np.asarray(np.rint(np.clip(sound, -1.0, 1.0) * _FULL_SCALE), np.int16)

    def _observation(self, sound: NDArray[np.int16], first: int) -> Observation:
        rate = self.settings.rate
        return Observation(
            "audio", "Audio", first / rate, "int16", read_only(sound), {"rate": rate}
        )
