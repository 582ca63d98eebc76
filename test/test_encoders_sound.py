"""Sound as currents: what a brain that is ticked with them hears."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ab_ros.codec.audio import SpectrumEncoder, signal_currents, tone
from ab_ros.codec.registry import make_encoder
from ab_ros.engine import Network
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def test_a_tone_has_its_pitch_and_amplitude() -> None:
    sound = tone(440.0, 0.5, amplitude=0.25)
    assert sound.shape == (8000,)
    assert np.abs(sound).max() == pytest.approx(0.25, rel=1e-3)
    assert np.fft.rfftfreq(8000, 1 / 16000)[np.abs(np.fft.rfft(sound)).argmax()] == 440.0


@pytest.mark.parametrize(
    "given",
    [(0.0, 1.0), (9000.0, 1.0), (440.0, 0.0), (float("nan"), 1.0), (440.0, float("inf"))],
)
def test_a_tone_that_cannot_be_is_refused(given: tuple[float, float]) -> None:
    with pytest.raises(ObservationError, match=r"tone: .* is not allowed"):
        tone(*given)


def test_the_concert_pitch_drives_band_12_counting_from_1() -> None:
    currents = signal_currents(tone(440.0, 0.5))
    assert currents.shape == (48, 32)
    assert set(currents.argmax(axis=1) + 1) == {12}
    assert currents.max() == pytest.approx(10.0)
    assert signal_currents(tone(440.0, 0.5), gain=3.0).max() == pytest.approx(3.0)
    assert signal_currents(tone(440.0, 0.5, rate=48000), rate=48000, bands=20).shape == (48, 20)


def test_currents_follow_the_sound_tick_by_tick() -> None:
    sound = np.concatenate((tone(300.0, 0.3), tone(3000.0, 0.3)))
    currents = signal_currents(sound, tick=0.001)
    assert currents.shape == (600, 32)
    loudest = currents.argmax(axis=1)
    assert set(loudest[:270]) == {loudest[0]}
    assert set(loudest[310:]) == {loudest[-1]}
    assert loudest[-1] > loudest[0]
    # In half a second of 1 ms ticks, each window of 10 ms is heard ten times.
    changes = np.flatnonzero(np.any(np.diff(currents, axis=0) != 0, axis=1))
    assert np.diff(changes).min() >= 10


def test_a_brain_hears_the_tone() -> None:
    brain = Network(backend="numpy")
    brain.add_neurons("ear", 32)
    brain.build()
    currents = signal_currents(tone(440.0, 0.5), tick=0.001)
    heard = brain.run(len(currents), currents={"ear": currents})["ear"].sum(axis=0)
    assert heard.argmax() + 1 == 12
    assert heard[11] >= 5
    assert not heard[20:].any()


@pytest.mark.parametrize(
    "samples", [[], [0.1, float("nan")], [[0.1, 0.2]], ["a"], [0.1, float("inf")]]
)
def test_sound_that_is_no_list_of_numbers_is_refused(samples: Any) -> None:
    with pytest.raises(ObservationError, match="samples must be a list of finite numbers"):
        signal_currents(samples)


def test_unfit_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="bands: 0 is not allowed"):
        signal_currents(tone(440.0, 0.1), bands=0)
    with pytest.raises(ConfigError, match=r"current: -1.0 is not allowed"):
        signal_currents(tone(440.0, 0.1), gain=-1.0)
    with pytest.raises(ObservationError, match="tick must be > 0"):
        signal_currents(tone(440.0, 0.1), tick=0.0)


def test_the_spectrum_encoder_is_chosen_by_name() -> None:
    encoder = make_encoder("spectrum", {"bands": 16, "rate": 8000}, kind="Audio")
    assert isinstance(encoder, SpectrumEncoder)
    assert encoder.size == 16
    heard = Observation("ear", "Audio", 0.0, "float32", tone(440.0, 0.1, 8000), {"rate": 8000})
    raster = encoder.encode(heard, 200, 0.001)
    assert raster.sum(axis=0).argmax() + 1 == encoder.spectrum.band_of(440.0)
    with pytest.raises(ConfigError, match="lowest: must be below"):
        make_encoder("spectrum", {"lowest": 9000.0})
