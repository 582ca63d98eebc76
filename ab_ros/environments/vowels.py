"""Vowels: three parameters of a mouth give the formants of what it says, and its sound.

The shape of the vocal tract is after Stevens & House, Development of a quantitative description
of vowel articulation, J. Acoust. Soc. Am. 27, 1955: a constriction of some radius at some distance
from the glottis, from which the tract widens as a parabola, and an opening at the lips.  Its
formants are the poles of its transfer function as a chain of lossless tubes (Fant, Acoustic Theory
of Speech Production, 1960).  It is no Maeda model: there are no tongue, jaw and velum of their own,
no losses, no nose.  Length and greatest width are chosen so that eight English vowels of men
(Peterson & Barney, Control methods used in a study of the vowels, J. Acoust. Soc. Am. 24, 1952) are
met within a tenth in all three formants.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.signals import clipped, to_vector
from ab_ros.errors import ChannelError, ConfigError, shown

SOUND_SPEED = 35_000.0  # cm/s, in moist air of 35 °C
FORMANTS = 3
_STEP = 20.0  # Hz; formants lie farther apart
_HIGHEST = 6000.0  # Hz
_BISECTIONS = 12
_BANDWIDTHS = (60.0, 90.0, 150.0)  # Hz; usual ones of vowels

Floats = NDArray[np.float64]

VOWELS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "i": (8.5, 0.3, 1.2),
        "ɪ": (7.5, 0.4, 0.9),
        "ɛ": (6.5, 0.4, 0.9),
        "æ": (6.0, 0.6, 0.9),
        "ɑ": (3.5, 0.3, 0.3),
        "ɔ": (5.5, 0.4, 0.0),
        "ʊ": (7.0, 0.5, 0.0),
        "u": (5.0, 0.6, -0.7),
    }
)
"""What is said with which ``place``, ``radius`` and ``lips``."""


@dataclass(frozen=True)
class VowelSettings:
    """A vocal tract."""

    length: float = setting(16.0, doc="From glottis to lips.", unit="cm", ge=5, le=30)
    widest: float = setting(2.0, doc="Greatest radius.", unit="cm", gt=1.2, le=5)
    sections: int = setting(24, doc="Tubes that make up the tract.", ge=8, le=1000)


class VowelTract(Environment):
    """A mouth that says vowels.

    Motor channels: ``place`` of the constriction, cm from the glottis; its ``radius``, cm; and
    ``lips``, the decimal logarithm of the area of their opening over its length, cm.  What is
    beyond the bounds is executed as the bound.  Sensory channels: the formants ``F1``, ``F2`` and
    ``F3``.

    Parameters
    ----------
    cfg : :class:`VowelSettings`, or a mapping of them.
    """

    Settings = VowelSettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        long = self.cfg.length / 16.0
        self.m_channels = [
            Channel("place", (3.0 * long, 10.0 * long), unit="cm"),
            Channel("radius", (0.2, 1.1), unit="cm"),
            Channel("lips", (-1.0, 1.3), unit="log10 cm"),
        ]
        # Wider than what the model reaches at its bounds, which a test tries out.
        bounds = ((80.0, 1200.0), (350.0, 2800.0), (1800.0, 3800.0))
        self.s_channels = [
            Channel(f"F{k}", (low / long, high / long), unit="Hz")
            for k, (low, high) in enumerate(bounds, start=1)
        ]

    def areas(self, m_signal: Mapping[str, float]) -> Floats:
        """Return the areas of the tract, float64[sections], cm², from the glottis to the lips."""
        place, radius, _ = to_vector(clipped(m_signal, self.m_channels), self.m_channels)
        s: VowelSettings = self.cfg
        where = (np.arange(s.sections) + 0.5) * s.length / s.sections
        wide = radius + 0.025 * (1.2 - radius) * (where - place) ** 2
        return np.asarray(math.pi * np.minimum(wide, s.widest) ** 2)

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Signal:
        m_signal.update(clipped(m_signal, self.m_channels))
        s: VowelSettings = self.cfg
        areas = self.areas(m_signal)
        if meta is not None:
            meta["areas"] = areas
        found = formants(areas, s.length, 10.0 ** m_signal["lips"])
        return {f"F{k}": value for k, value in enumerate(found.tolist(), start=1)}


def formants(areas: Floats, length: float, opening: float) -> Floats:
    """Return the first three formants of a vocal tract that is closed at the glottis, Hz.

    Parameters
    ----------
    areas : float64[sections], cm², > 0, from the glottis to the lips.
    length : cm, > 0.
    opening : area of the lips' opening over its length, cm, > 0; infinite for none.

    Raises
    ------
    ChannelError
        if the tract has not three formants below 6 kHz.
    """
    f = np.arange(_STEP, _HIGHEST, _STEP)
    flow = _glottal_flow(f, areas, length, opening)
    below = np.flatnonzero(flow[:-1] * flow[1:] <= 0.0)[:FORMANTS]
    if below.size < FORMANTS:
        raise ChannelError(
            f"formants: a tract of {length:g} cm has {below.size} formants below {_HIGHEST:g} Hz;"
            f" needs {FORMANTS}"
        )
    low, high, at_low = f[below], f[below + 1], flow[below]
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        at_middle = _glottal_flow(middle, areas, length, opening)
        left = at_low * at_middle <= 0.0
        high = np.where(left, middle, high)
        low, at_low = np.where(left, low, middle), np.where(left, at_low, at_middle)
    return np.asarray(0.5 * (low + high))


def _glottal_flow(f: Floats, areas: Floats, length: float, opening: float) -> Floats:
    """Return the flow at the glottis for a flow of 1 at the lips, at frequencies f.

    It is 0 at a formant.  In lossless tubes flow is real where pressure is imaginary, in units in
    which the impedance of a tube is 1 over its area.
    """
    k = 2.0 * math.pi * f / SOUND_SPEED
    step = length / len(areas)
    cosine, sine = np.cos(k * step), np.sin(k * step)
    pressure, flow = k / opening, np.ones_like(f)
    for area in areas[::-1].tolist():
        pressure, flow = (
            cosine * pressure + sine / area * flow,
            cosine * flow - sine * area * pressure,
        )
    return np.asarray(flow)


def vowel_sound(
    frequencies: Sequence[float] | Mapping[str, float],
    duration: float = 0.5,
    pitch: float = 120.0,
    rate: int = 16_000,
) -> Floats:
    """Return the sound of formants, float64[duration · rate] in [-1, 1].

    A voice of harmonics that fall by 12 dB an octave passes through resonators in a row, as in
    Klatt, Software for a cascade/parallel formant synthesizer, J. Acoust. Soc. Am. 67, 1980.

    Parameters
    ----------
    frequencies : of the formants, Hz, below half the rate; or a sensory signal of them.
    duration : s, > 0.
    pitch : of the voice, Hz, below half the rate.
    rate : samples per second.

    Raises
    ------
    ConfigError
        if one of them is not allowed.
    """
    if isinstance(frequencies, Mapping):
        frequencies = list(frequencies.values())
    for value in (duration, pitch, rate, *frequencies):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ConfigError(f"vowel_sound: must get numbers, not {shown(value)}")
    for name, value in (("duration", duration), ("pitch", pitch), ("rate", rate)):
        if not (math.isfinite(value) and value > 0.0):
            raise ConfigError(f"vowel_sound.{name}: must be finite and greater than 0, not {value}")
    for value in (pitch, *frequencies):
        if not 0.0 < value < 0.5 * rate:
            raise ConfigError(
                f"vowel_sound: {value:g} Hz must be above 0 and below half of {rate} per second"
            )
    harmonics = pitch * np.arange(1, math.ceil(0.5 * rate / pitch))
    s = 2j * math.pi * harmonics
    gain = (pitch / harmonics) ** 2 + 0j
    for k, frequency in enumerate(frequencies):
        width = math.pi * _BANDWIDTHS[min(k, len(_BANDWIDTHS) - 1)]
        pole = complex(-width, 2.0 * math.pi * frequency)
        gain = gain * abs(pole) ** 2 / ((s - pole) * (s - pole.conjugate()))
    # The lips radiate the change of the flow.
    gain = gain * s / abs(s[0])
    time = np.arange(round(duration * rate)) / rate
    sound = np.zeros_like(time)
    for one, part in zip(harmonics.tolist(), gain.tolist(), strict=True):
        phase = math.atan2(part.imag, part.real)
        sound += abs(part) * np.cos(2.0 * math.pi * one * time + phase)
    return np.asarray(sound / np.abs(sound).max())
