"""Encoder of sound: short-time spectra in bands that are spaced as the ear spaces them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.trains import code_setting
from ab_ros.config import parse, setting
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


@dataclass(frozen=True)
class SpectrumSettings:
    """Log-spaced bands of a short-time spectrum."""

    rate: int = setting(16000, doc="Sample rate.", unit="Hz", ge=1000, le=384000)
    bands: int = setting(32, doc="Bands, one neuron each.", ge=1, le=1024)
    lowest: float = setting(80.0, doc="Lower edge of the first band.", unit="Hz", gt=0, le=1e5)
    highest: float = setting(
        16000.0,
        doc="Upper edge of the last band; at most half the sample rate is used.",
        unit="Hz",
        gt=0,
        le=1e6,
    )
    window: float = setting(0.025, doc="Length of the Hann window.", unit="s", ge=0.001, le=1)
    hop: float = setting(0.010, doc="Time between windows.", unit="s", ge=0.0005, le=1)
    floor: float = setting(
        1e-3,
        doc="Quieter than this amplitude, the loudest band is not raised to full current.",
        ge=1e-9,
        le=1,
    )
    current: float = setting(10.0, doc="Current of the loudest band.", ge=0, le=1e6)
    max_rate: float = setting(200.0, doc="Rate of the loudest band.", unit="Hz", gt=0, le=1000)
    code: str = code_setting()

    def __post_init__(self) -> None:
        if self.lowest >= self.top:
            raise ConfigError(
                f"lowest: must be below highest and half the sample rate ({self.lowest:g} is not"
                f" below {self.top:g} Hz)"
            )

    @property
    def top(self) -> float:
        """Upper edge of the last band, Hz."""
        return min(self.highest, 0.5 * self.rate)


class Spectrum:
    """Amplitudes of log-spaced bands of sound, window by window.

    Each window of ``window`` s is weighted by a Hann window and Fourier-transformed; a band's
    energy is the power between its edges.  A line of the spectrum that straddles an edge is shared
    between the bands by its parts in them, so that the bands at the bottom, which are narrower than
    a line, miss nothing.

    Parameters
    ----------
    settings : of bands and windows.

    Attributes
    ----------
    edges : float64[bands + 1], Hz, evenly spaced in their logarithm.
    window, hop : samples.
    """

    def __init__(self, settings: SpectrumSettings | None = None) -> None:
        self.settings = s = settings or SpectrumSettings()
        self.edges = np.geomspace(s.lowest, s.top, s.bands + 1)
        self.window = max(round(s.window * s.rate), 2)
        self.hop = max(round(s.hop * s.rate), 1)
        # Periodic, as spectra want it; the weights make a full-scale sine's lines sum to 1.
        phase = np.arange(self.window) * (2.0 * math.pi / self.window)
        self._hann = 0.5 - 0.5 * np.cos(phase)
        self._scale = 4.0 / float(np.sum(self._hann**2) * self.window)
        width = s.rate / self.window
        lines = np.arange(self.window // 2 + 1) * width
        lower, upper = lines - 0.5 * width, lines + 0.5 * width
        inside = np.minimum(upper, self.edges[1:, None]) - np.maximum(lower, self.edges[:-1, None])
        self._shares = np.clip(inside / width, 0.0, 1.0)

    def band_of(self, frequency: float) -> int | None:
        """Return the band, 1 … bands, that a frequency in Hz lies in; None if it lies in none.

        Bands are counted from 1: band b is column b − 1 of the arrays.
        """
        if not self.edges[0] <= frequency <= self.edges[-1]:
            return None
        place = int(np.searchsorted(self.edges, frequency, side="right"))
        return min(place, self.settings.bands)

    def frames(self, samples: ArrayLike) -> NDArray[np.float64]:
        """Return the bands' amplitudes, float64[frames, bands] >= 0.

        A sine of amplitude 1 in the middle of a wide band gives it an amplitude of about 1.

        Parameters
        ----------
        samples : float[n] in [-1, 1]; a sound that is shorter than a window is padded with silence.
        """
        sound = np.asarray(samples, np.float64)
        if sound.size < self.window:
            sound = np.pad(sound, (0, self.window - sound.size))
        windows = np.lib.stride_tricks.sliding_window_view(sound, self.window)[:: self.hop]
        power = np.abs(np.fft.rfft(windows * self._hann, axis=1)) ** 2
        return np.asarray(np.sqrt(self._scale * (power @ self._shares.T)))

    def normalised(self, samples: ArrayLike) -> NDArray[np.float64]:
        """Return the bands in [0, 1], float64[frames, bands]: 1 is the loudest of each window.

        Windows in which no band reaches ``floor`` are scaled by the floor instead, and silence
        stays 0.
        """
        frames = self.frames(samples)
        loudest = np.maximum(frames.max(axis=1, keepdims=True), self.settings.floor)
        return np.asarray(frames / loudest)

    def currents(self, samples: ArrayLike) -> NDArray[np.float64]:
        """Return the bands' currents in [0, ``current``], float64[frames, bands]."""
        return self.settings.current * self.normalised(samples)

    def tone(self, frequency: float, seconds: float) -> NDArray[np.float64]:
        """Return the currents of a pure tone, float64[frames, bands].

        Raises
        ------
        ObservationError
            if the frequency or the duration is not finite, or the frequency is not within 0 Hz and
            half the sample rate.
        """
        return self.currents(tone(frequency, seconds, self.settings.rate))


def tone(
    frequency: float, seconds: float, rate: int = 16000, amplitude: float = 1.0
) -> NDArray[np.float64]:
    """Return a pure tone, float64[seconds · rate] within ± ``amplitude``.

    Parameters
    ----------
    frequency : Hz, above 0 and below half the sample rate.
    seconds : above 0, at most 3600.
    rate : samples per second.
    amplitude : in [0, 1].

    Raises
    ------
    ObservationError
        if one of them is out of its range, or not finite.
    """
    if not 0.0 < frequency < 0.5 * rate or not 0.0 < seconds <= 3600.0 or not 0 <= amplitude <= 1:
        raise ObservationError(
            f"tone: {frequency} Hz for {seconds} s with amplitude {amplitude} is not allowed; the"
            f" frequency must be > 0 and < {0.5 * rate:g} Hz, the duration > 0 and <= 3600 s, the"
            f" amplitude in [0, 1]"
        )
    time = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2.0 * math.pi * frequency * time)


def signal_currents(
    samples: ArrayLike,
    rate: int = 16000,
    bands: int = 32,
    gain: float = 10.0,
    tick: float | None = None,
) -> NDArray[np.float64]:
    """Return the currents that a sound gives a neuron for each of its log-spaced bands.

    They can be fed to a brain directly::

        for row in signal_currents(sound, tick=0.001):
            brain.tick({"ear.in": row})

    Parameters
    ----------
    samples : float[n] in [-1, 1].
    rate : samples per second.
    bands : from 80 Hz to half the rate, at most 16 kHz.
    gain : current of the loudest band of each window.
    tick : s; if given, the rows are ticks instead of windows, each with the currents of the last
        window that began before it ended.

    Returns
    -------
    NDArray
        float64[windows, bands], a window every 10 ms; or float64[ticks, bands].

    Raises
    ------
    ConfigError
        for a rate, number of bands or gain that is out of its range.
    ObservationError
        if the samples are not a list of finite numbers.
    """
    options = {"rate": rate, "bands": bands, "current": gain}
    spectrum = Spectrum(parse(SpectrumSettings, options))
    try:
        sound = np.asarray(samples, np.float64)
    except (TypeError, ValueError):
        sound = np.zeros((0, 0))
    if sound.ndim != 1 or not sound.size or not np.isfinite(sound).all():
        raise ObservationError("signal_currents: samples must be a list of finite numbers")
    windows = spectrum.currents(sound)
    if tick is None:
        return windows
    if not 0.0 < tick <= 1.0:
        raise ObservationError(f"signal_currents: tick must be > 0 and <= 1 s (got {tick})")
    ends = np.arange(1, math.ceil(sound.size / rate / tick - 1e-9) + 1) * tick
    latest = ((ends * rate - 0.5) // spectrum.hop).astype(np.int64)
    return np.asarray(windows[np.clip(latest, 0, len(windows) - 1)])


def waveform(observation: Observation) -> NDArray[np.float64]:
    """Return the sound of an observation as float64[n] in [-1, 1], channels averaged.

    The formats are ``int16`` (also ``pcm16``: bytes, little-endian) and ``float32``; an array may
    have the form [n] or [n, channels], and ``meta["channels"]`` tells how many are interleaved.

    Raises
    ------
    ObservationError
        if the format is unknown, the sound is empty, or a sample is not finite.
    """
    where = f"input {observation.id!r}"
    types = {"int16": "<i2", "pcm16": "<i2", "float32": "<f4"}
    if observation.format not in types:
        raise ObservationError(
            f"{where}: sound format {observation.format!r} is not known; one of: {', '.join(types)}"
        )
    kind = np.dtype(types[observation.format])
    channels = observation.meta.get("channels", 1)
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise ObservationError(f"{where}: channels must be an integer of at least 1")
    data = observation.data
    if isinstance(data, np.ndarray):
        sound = data
        if sound.ndim not in (1, 2) or not np.issubdtype(sound.dtype, np.number):
            raise ObservationError(f"{where}: sound must have the form [n] or [n, channels]")
    elif len(data) % kind.itemsize:
        raise ObservationError(
            f"{where}: {len(data)} bytes are no whole number of {observation.format} samples"
        )
    else:
        sound = np.frombuffer(data, kind)
    if sound.ndim == 1 and channels > 1:
        if sound.size % channels:
            raise ObservationError(f"{where}: {sound.size} samples are not {channels} channels")
        sound = sound.reshape(-1, channels)
    if not sound.size:
        raise ObservationError(f"{where}: there is no sound in it")
    wide = sound.astype(np.float64)
    if kind.kind == "i":
        wide /= 32768.0
    if not np.all(np.isfinite(wide)):
        raise ObservationError(f"{where}: samples must be finite")
    return wide if wide.ndim == 1 else np.asarray(wide.mean(axis=1))


class SpectrumEncoder(RateEncoder):
    """Sound as the rates of one neuron per band; the newest window counts.

    The bands are evenly spaced in the logarithm of the frequency, much as places along the cochlea
    are (D. D. Greenwood, "A cochlear frequency-position function for several species", Journal of
    the Acoustical Society of America 87, 1990); a rate is proportional to the band's amplitude.
    :meth:`currents` gives currents instead, for an engine that is driven by them.
    """

    settings_type = SpectrumSettings
    kinds = ("Audio",)

    def __init__(self, settings: SpectrumSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or SpectrumSettings()
        super().__init__(self.settings.bands, seed, self.settings.code)
        self.spectrum = Spectrum(self.settings)

    def currents(self, observation: Observation) -> NDArray[np.float64]:
        """Return the bands' currents, float64[frames, bands], one row for each window.

        Raises
        ------
        ObservationError
            if the sound cannot be read, or its sample rate (``meta["rate"]``) is another one.
        """
        return self.spectrum.currents(self._sound(observation))

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the bands' rates in the newest window, float64[bands] in Hz."""
        newest = self._sound(observation)[-self.spectrum.window :]
        return np.asarray(self.settings.max_rate * self.spectrum.normalised(newest)[-1])

    def _sound(self, observation: Observation) -> NDArray[np.float64]:
        rate = observation.meta.get("rate", self.settings.rate)
        if rate != self.settings.rate:
            raise ObservationError(
                f"input {observation.id!r}: sound has a sample rate of {rate} Hz, but the encoder"
                f" is set to {self.settings.rate} Hz"
            )
        return waveform(observation)
