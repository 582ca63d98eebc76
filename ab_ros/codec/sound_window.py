"""The newest sound of a stream: a window that rolls on with every chunk."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.audio import waveform
from ab_ros.codec.resampling import StreamResampler
from ab_ros.config import parse, setting
from ab_ros.errors import ObservationError
from ab_ros.values import Observation, read_only

RATE = 16000
"""Samples per second, Hz, where nothing else is said."""
_RATES = (100, 1_000_000)
_NOTHING = (-math.inf, 0)  # stamp and length of the chunk before the first


@dataclass(frozen=True)
class SoundSettings:
    """How a stream of sound reaches a brain."""

    seconds: float = setting(
        0.5, doc="How much of the newest sound the brain gets.", unit="s", ge=0.001, le=60
    )
    rate: int | None = setting(
        None,
        doc="Sample rate that the brain gets, whatever the source's; by default its encoder's.",
        unit="Hz",
        ge=1000,
        le=384_000,
    )
    gap: float = setting(
        0.1,
        doc="The sound begins anew when so much is missing between two chunks.",
        unit="s",
        gt=0,
        le=60,
    )
    info_topic: str = setting(
        "",
        doc="Topic of the AudioInfo that belongs to AudioData; empty: audio_info beside the sound.",
    )

    def window(self, rate: int = RATE) -> SoundWindow:
        """Return a window of the sample rate that is set, or else of ``rate`` Hz."""
        return SoundWindow(self.seconds, self.rate or rate, self.gap)


class SoundWindow:
    """The newest ``seconds`` of a stream of chunks, as one channel at one sample rate.

    Chunks are joined in the order in which they come, whatever their lengths and sample rate; their
    stamps may jitter by less than ``gap``.  Where more is missing, or the stamps go back, the
    window begins anew, as it does at first: with silence.  A chunk that comes again is left out.

    Parameters
    ----------
    seconds : length, 0.001 to 60 s.
    rate : samples per second, 1000 to 384000.
    gap : s, 0 to 60.

    Attributes
    ----------
    rate : Hz.
    size : samples in the window.
    end : s, when its last sample was taken; minus infinity at first.
    heard : samples that came in it since it began, at most ``size``.
    counts : how often the window began anew (``gap``, ``went back``, ``rate changed``), and chunks
        that came again (``repeated``).

    Raises
    ------
    ConfigError
        if one of them is out of its range.
    """

    def __init__(self, seconds: float = 0.5, rate: int = RATE, gap: float = 0.1) -> None:
        checked = parse(SoundSettings, {"seconds": seconds, "rate": rate, "gap": gap})
        self.rate, self._gap = rate, checked.gap
        self.size = max(1, round(checked.seconds * rate))
        self._sound = np.zeros(self.size, np.float32)
        self._resampler: StreamResampler | None = None
        self._given = rate
        self.counts: Counter[str] = Counter()
        self.heard, self.end, self._last = 0, -math.inf, _NOTHING

    def put(self, chunk: Observation) -> None:
        """Add a chunk at the end; its channels are averaged, and clipped to full scale.

        Parameters
        ----------
        chunk : format ``int16``, ``pcm16`` or ``float32`` as :func:`~ab_ros.codec.audio.waveform`
            reads them, ``meta["rate"]`` in Hz, and stamped when its first sample was taken.  One
            without samples tells the time only.

        Raises
        ------
        ObservationError
            if it is no sound, or has no sample rate.  The window stays as it was.
        ConfigError
            if its sample rate is another one, and SciPy is not installed.
        """
        rate = _rate_of(chunk)
        sound = waveform(chunk) if len(chunk.data) else np.zeros(0)
        if rate != self._given:
            resampler = StreamResampler(rate, self.rate) if rate != self.rate else None
            if self.heard:
                self._begin_anew("rate changed")
            self._resampler = resampler
            self._given = rate
        if (chunk.stamp, sound.size) == self._last:
            self.counts["repeated"] += 1
            return
        if chunk.stamp < self._last[0]:
            self._begin_anew("went back")
        elif chunk.stamp - self.end > self._gap and self.heard:
            self._begin_anew("gap")
        self._last = chunk.stamp, sound.size
        self.end = chunk.stamp + sound.size / rate
        if self._resampler is not None:
            sound = self._resampler.process(sound)
        self._append(np.clip(sound, -1.0, 1.0))

    def _append(self, sound: NDArray[np.float64]) -> None:
        sound = sound[-self.size :]
        kept = self.size - sound.size
        self._sound[:kept] = self._sound[self.size - kept :]
        self._sound[kept:] = sound
        self.heard = min(self.size, self.heard + sound.size)

    def newest(self) -> NDArray[np.float32]:
        """Return the newest sound, float32[size] in [-1, 1], the latest sample last."""
        return read_only(self._sound.copy())

    def take(self, chunk: Observation) -> Observation:
        """Add a chunk, and return the newest sound in its place.

        It is ``float32``, and stamped when its last sample was taken.

        Raises
        ------
        ObservationError, ConfigError
            as of :meth:`put`.
        """
        self.put(chunk)
        meta = {"rate": self.rate}
        stamp = round(self.end, 9)
        return Observation(chunk.id, chunk.kind, stamp, "float32", self.newest(), meta)

    def clear(self) -> None:
        """Forget all sound, as after a jump of the clock."""
        self._sound[:] = 0.0
        self.heard, self.end, self._last = 0, -math.inf, _NOTHING
        if self._resampler is not None:
            self._resampler.reset()

    def _begin_anew(self, why: str) -> None:
        self.counts[why] += 1
        self.clear()


def _rate_of(chunk: Observation) -> int:
    rate = chunk.meta.get("rate")
    low, high = _RATES
    if isinstance(rate, bool) or not isinstance(rate, int) or not low <= rate <= high:
        has = "no sample rate" if rate is None else f"a sample rate of {rate} Hz"
        raise ObservationError(
            f"input {chunk.id!r}: sound has {has}; it must have one of {low} to {high} Hz"
        )
    return rate
