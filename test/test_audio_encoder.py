"""The sound encoder: tones land in their bands, loudness does not matter, bad sound is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.audio import Spectrum, SpectrumEncoder, SpectrumSettings, waveform
from ab_ros.config import parse
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def sine(frequency: float, rate: int = 16000, seconds: float = 0.2) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def heard(data: object, form: str = "float32", **meta: object) -> Observation:
    return Observation("ear", "Audio", 0.0, form, data, meta)  # type: ignore[arg-type]


def test_the_concert_pitch_lands_in_band_12() -> None:
    spectrum = Spectrum()
    assert spectrum.band_of(440.0) == 12
    assert set(spectrum.tone(440.0, 0.5).argmax(axis=1) + 1) == {12}


@given(st.floats(300.0, 7500.0), st.floats(0.0, 6.2))
def test_every_tone_is_loudest_in_its_band_or_beside_it(frequency: float, phase: float) -> None:
    spectrum = Spectrum()
    time = np.arange(400) / 16000
    loudest = int(spectrum.frames(np.sin(2 * np.pi * frequency * time + phase))[0].argmax()) + 1
    band = spectrum.band_of(frequency)
    assert band is not None
    assert abs(loudest - band) <= 1


@pytest.mark.parametrize(("rate", "top"), [(8000, 4000.0), (16000, 8000.0), (48000, 16000.0)])
def test_bands_span_what_can_be_heard(rate: int, top: float) -> None:
    spectrum = Spectrum(SpectrumSettings(rate=rate))
    assert spectrum.edges[0] == pytest.approx(80.0)
    assert spectrum.edges[-1] == pytest.approx(top)
    assert np.allclose(np.diff(np.log(spectrum.edges)), np.log(top / 80.0) / 32)
    assert (spectrum.window, spectrum.hop) == (rate // 40, rate // 100)
    assert spectrum.band_of(79.0) is None
    assert spectrum.band_of(top * 1.01) is None
    assert (spectrum.band_of(80.0), spectrum.band_of(top * 0.9999)) == (1, 32)


def test_windows_follow_each_other_by_the_hop() -> None:
    spectrum = Spectrum()
    assert spectrum.frames(np.zeros(16000)).shape == (98, 32)
    assert spectrum.frames(np.zeros(100)).shape == (1, 32)
    late = np.concatenate((np.zeros(8000), sine(1000.0, seconds=0.5)))
    loud = spectrum.frames(late).max(axis=1)
    assert not loud[:47].any()
    assert np.all(loud[50:] > 0.5)


def test_a_full_tone_has_its_amplitude() -> None:
    spectrum = Spectrum()
    assert spectrum.frames(0.25 * sine(6700.0)).max() == pytest.approx(0.25, rel=0.02)


@given(st.floats(0.01, 1.0))
def test_loudness_does_not_matter_but_silence_does(loudness: float) -> None:
    spectrum = Spectrum()
    normal = spectrum.normalised(loudness * sine(1000.0))
    assert normal.max() == pytest.approx(1.0)
    assert np.allclose(normal, spectrum.normalised(sine(1000.0)))
    assert not spectrum.normalised(np.zeros(1000)).any()
    assert spectrum.normalised(1e-6 * sine(1000.0)).max() < 0.01


def test_currents_are_scaled() -> None:
    spectrum = Spectrum(SpectrumSettings(current=25.0))
    assert spectrum.tone(1000.0, 0.1).max() == pytest.approx(25.0)
    for frequency, seconds in ((9000.0, 1.0), (float("nan"), 1.0), (440.0, 0.0)):
        with pytest.raises(ObservationError, match="tone"):
            spectrum.tone(frequency, seconds)


def test_formats_mean_the_same() -> None:
    sound = np.round(sine(440.0) * 32767).astype(np.int16)
    wanted = sound / 32768.0
    stereo = np.stack((sound, sound), axis=1)
    for observation in (
        heard(sound, "int16"),
        heard(sound.tobytes(), "pcm16"),
        heard(stereo, "int16"),
        heard(stereo.reshape(-1), "int16", channels=2),
        heard(wanted.astype(np.float32)),
        heard(wanted.astype("<f4").tobytes()),
    ):
        assert np.allclose(waveform(observation), wanted, atol=1e-6)


def test_the_band_of_a_tone_fires_most() -> None:
    encoder = SpectrumEncoder(seed=3)
    raster = encoder.encode(heard(sine(440.0), rate=16000), 1000, 0.001)
    assert raster.shape == (1000, 32)
    assert raster.sum(axis=0).argmax() == 11
    assert abs(int(raster[:, 11].sum()) - 200) <= 1
    assert not encoder.encode(None, 50, 0.001).any()
    assert encoder.currents(heard(sine(440.0))).shape == (18, 32)


def test_an_encoder_goes_on_where_it_was_saved() -> None:
    encoder, other = SpectrumEncoder(seed=1), SpectrumEncoder(seed=2)
    encoder.encode(heard(sine(500.0)), 33, 0.001)
    other.restore(encoder.state())
    assert np.array_equal(
        encoder.encode(heard(sine(700.0)), 64, 0.001), other.encode(heard(sine(700.0)), 64, 0.001)
    )
    other.reset(1)
    assert np.array_equal(other.state()["phase"], SpectrumEncoder(seed=1).state()["phase"])


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (heard(sine(440.0), "mp3"), "'mp3' is not known; one of: int16"),
        (heard(np.array([0.0, np.nan])), "finite"),
        (heard(np.zeros(0)), "no sound"),
        (heard(b"abc", "pcm16"), "3 bytes"),
        (heard(np.zeros((2, 2, 2))), r"\[n, channels\]"),
        (heard(np.zeros(5), channels=2), "not 2 channels"),
        (heard(np.zeros(5), channels=0), "at least 1"),
        (heard(np.zeros(500), rate=44100), "44100 Hz, but the encoder is set to 16000 Hz"),
    ],
)
def test_bad_sound_is_refused_by_name(observation: Observation, message: str) -> None:
    with pytest.raises(ObservationError, match=message) as caught:
        SpectrumEncoder().encode(observation, 10, 0.001)
    assert "'ear'" in str(caught.value)


def test_bands_without_room_are_refused() -> None:
    with pytest.raises(ConfigError, match="lowest: must be below"):
        parse(SpectrumSettings, {"rate": 2000, "lowest": 1000.0})
