"""Sound at another sample rate: the same sound, whatever its chunks, and no click."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="the extra 'audio' has SciPy")

from ab_ros.codec.audio import tone
from ab_ros.codec.resampling import StreamResampler
from ab_ros.codec.sound_window import SoundWindow
from ab_ros.errors import ConfigError
from ab_ros.values import Observation

RATES = (8000, 11025, 22050, 44100, 48000, 12345)


def ragged(sound: np.ndarray, seed: int) -> list[np.ndarray]:
    """Cut a sound at random places, some of them the same."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, sound.size + 1, 23))
    return np.split(sound, cuts)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_in_ragged_chunks_is_the_same_tone(rate: int) -> None:
    resampler = StreamResampler(rate, 16000)
    given = tone(700.0, 0.5, rate)
    made = np.concatenate([resampler.process(part) for part in ragged(given, rate)])
    ideal = tone(700.0, 0.5, 16000)
    # All but the filter's delay has come out: 16 samples of the lower rate.
    late = 16 * 16000 / min(rate, 16000)
    assert ideal.size - late - 2 <= made.size <= ideal.size
    # Where the tone sets in, the filter rings; after that no border between chunks can be found.
    settled = slice(round(2 * late), None)
    difference = made[settled] - ideal[: made.size][settled]
    assert np.abs(difference).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RATES),
    st.sampled_from((16000, 96000)),
    st.lists(st.integers(0, 900), min_size=1, max_size=12),
)
def test_it_does_not_matter_how_a_stream_is_cut(rate: int, to: int, lengths: list[int]) -> None:
    sound = np.random.default_rng(sum(lengths)).uniform(-1.0, 1.0, sum(lengths))
    whole = StreamResampler(rate, to).process(sound)
    resampler = StreamResampler(rate, to)
    parts = np.split(sound, np.cumsum(lengths)[:-1])
    made = np.concatenate([resampler.process(part) for part in parts])
    np.testing.assert_allclose(made, whole, atol=1e-12)


def test_what_is_above_half_the_lower_rate_is_not_folded_down() -> None:
    made = StreamResampler(44100, 16000).process(tone(11000.0, 0.5, 44100))
    assert np.abs(made[100:-100]).max() < 1e-3


def test_after_a_reset_it_is_as_new() -> None:
    resampler = StreamResampler(44100, 16000)
    sound = tone(440.0, 0.1, 44100)
    first = resampler.process(sound)
    resampler.process(sound[:1234])
    resampler.reset()
    np.testing.assert_array_equal(resampler.process(sound), first)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (8000, 3)])
def test_a_window_hears_any_rate_and_number_of_channels(rate: int, channels: int) -> None:
    window = SoundWindow(0.2, 16000)
    sound = np.rint(16384 * tone(440.0, 0.5, rate)).astype(np.int16)
    start = 0
    for part in ragged(sound, channels):
        data = np.repeat(part[:, None], channels, axis=1)
        stamp = 100.0 + start / rate
        start += part.size
        heard = window.take(Observation("ear", "Audio", stamp, "int16", data, {"rate": rate}))
    assert heard.meta == {"rate": 16000}
    assert heard.stamp == pytest.approx(100.5)
    assert not {"gap", "went back"} & set(window.counts)
    samples = np.asarray(heard.data, np.float64)
    time = np.arange(samples.size) / 16000
    waves = np.stack([np.sin(2 * np.pi * 440 * time), np.cos(2 * np.pi * 440 * time)], axis=1)
    fit = waves @ np.linalg.lstsq(waves, samples, rcond=None)[0]
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(samples - fit).max() < 2e-3


def test_a_source_that_changes_its_rate_begins_anew() -> None:
    window = SoundWindow(0.1, 16000)
    for stamp, rate in ((0.0, 16000), (0.1, 8000), (0.2, 16000)):
        sound = np.full(rate // 10, 8192, np.int16)
        window.put(Observation("ear", "Audio", stamp, "int16", sound, {"rate": rate}))
    assert window.counts == {"rate changed": 2}
    np.testing.assert_array_equal(window.newest(), np.full(1600, 0.25, np.float32))


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ConfigError, match=r"44100 Hz cannot be brought to 16000 Hz.*pip: scipy"):
        StreamResampler(44100, 16000)
