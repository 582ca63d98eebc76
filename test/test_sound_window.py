"""A window of sound holds the newest of a stream, however it is cut into chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.codec.audio import tone
from ab_ros.codec.registry import make_encoder
from ab_ros.codec.sound_window import SoundWindow
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation


def chunk(data: Any, stamp: float = 0.0, format: str = "int16", **meta: Any) -> Observation:
    return Observation("ear", "Audio", stamp, format, data, {"rate": 1000, **meta})


def test_the_newest_sound_is_last_and_silence_is_before_the_first() -> None:
    window = SoundWindow(0.005, 1000)
    assert window.newest().tolist() == [0, 0, 0, 0, 0]
    window.put(chunk(np.array([16384, -32768], np.int16)))
    assert window.newest().tolist() == [0, 0, 0, 0.5, -1]
    assert (window.size, window.heard) == (5, 2)
    window.put(chunk(np.array([0.25, 0.5, 0.75, 1.0], np.float32), 0.002, "float32"))
    assert window.newest().tolist() == [-1, 0.25, 0.5, 0.75, 1.0]
    assert window.heard == 5


def test_a_chunk_longer_than_the_window_leaves_its_end() -> None:
    window = SoundWindow(0.003, 1000)
    window.put(chunk(np.arange(0, 32768, 4096, dtype=np.int16)))
    assert window.newest().tolist() == [0.625, 0.75, 0.875]


@pytest.mark.parametrize(
    ("data", "format", "meta"),
    [
        (np.array([[16384, 0], [0, -16384]], np.int16), "int16", {}),
        (np.array([16384, 0, 0, -16384], np.int16), "int16", {"channels": 2}),
        (np.array([16384, 0, 0, -16384], "<i2").tobytes(), "pcm16", {"channels": 2}),
        (np.array([[0.5, 0.0], [0.0, -0.5]], np.float32), "float32", {}),
        (np.array([[0.5, 0.25, 0.0], [0.0, -0.25, -0.5]], np.float32), "float32", {}),
    ],
)
def test_channels_are_averaged(data: Any, format: str, meta: dict[str, int]) -> None:
    window = SoundWindow(0.002, 1000)
    window.put(chunk(data, 0.0, format, **meta))
    assert window.newest().tolist() == [0.25, -0.25]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 50))
def test_it_does_not_matter_how_a_stream_is_cut(lengths: list[int], size: int) -> None:
    sound = np.arange(sum(lengths), dtype=np.int16)
    window = SoundWindow(size / 1000, 1000)
    start = 0
    for length in lengths:
        window.put(chunk(sound[start : start + length], start / 1000))
        start += length
    expected = np.concatenate((np.zeros(size), sound / 32768))[-size:]
    np.testing.assert_array_equal(window.newest(), expected.astype(np.float32))
    assert window.heard == min(size, sound.size)


def test_sound_over_full_scale_is_clipped() -> None:
    window = SoundWindow(0.003, 1000)
    window.put(chunk(np.array([1e300, -7.0, 0.5]), 0.0, "float32"))
    assert window.newest().tolist() == [1, -1, 0.5]


def test_what_was_handed_out_does_not_change() -> None:
    window = SoundWindow(0.002, 1000)
    before = window.newest()
    window.put(chunk(np.array([1, 2], np.int16)))
    assert before.tolist() == [0, 0] and not before.flags.writeable


def test_an_encoder_hears_a_tone_that_came_in_pieces() -> None:
    ear = make_encoder("spectrum", {"bands": 8}, 1)
    window = SoundWindow(0.1, 16000)
    sound = (tone(1000.0, 0.1) * 32767).astype(np.int16)
    for start in range(0, sound.size, 160):
        heard = window.take(
            Observation(
                "ear", "Audio", start / 16000, "int16", sound[start : start + 160], {"rate": 16000}
            )
        )
    assert (heard.id, heard.kind, heard.format) == ("ear", "Audio", "float32")
    assert heard.stamp == 0.1  # its newest sample's
    whole = Observation("ear", "Audio", 0.0, "int16", sound, {"rate": 16000})
    np.testing.assert_allclose(ear.rates(heard), ear.rates(whole), rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (chunk(np.ones(4, np.int16), 1.0, rate=0), "a sample rate of 0 Hz; it must have one of"),
        (chunk(np.ones(4, np.int16), 1.0, rate=8000.5), "a sample rate of 8000.5 Hz; it must"),
        (chunk(np.ones(4, np.int16), 1.0, rate=None), "no sample rate; it must have one of 100 to"),
        (chunk(b"ID3", 1.0, "mp3"), "'mp3' is not known"),
        (chunk(np.ones(3, np.int16), 1.0, channels=2), "3 samples are not 2 channels"),
        (chunk(np.array([0.0, np.nan], np.float32), 1.0, "float32"), "must be finite"),
    ],
)
def test_a_bad_chunk_is_refused_and_changes_nothing(bad: Observation, words: str) -> None:
    window = SoundWindow(0.004, 1000)
    window.put(chunk(np.array([8192, 16384], np.int16), 1.0))
    with pytest.raises(ObservationError, match=f"input 'ear': .*{words}"):
        window.put(bad)
    assert window.newest().tolist() == [0, 0, 0.25, 0.5]
    window.put(chunk(np.array([24576], np.int16), 1.0))
    assert window.newest().tolist() == [0, 0.25, 0.5, 0.75]


def test_after_a_jump_of_the_clock_it_begins_anew() -> None:
    window = SoundWindow(0.002, 1000)
    window.put(chunk(np.array([8192, 16384], np.int16), 100.0))
    window.clear()
    window.put(chunk(np.array([8192], np.int16), 0.0))
    assert window.newest().tolist() == [0, 0.25]
    assert window.heard == 1


def test_lost_sound_is_not_joined_over_and_what_went_back_is_forgotten() -> None:
    window = SoundWindow(0.006, 1000, gap=0.05)
    window.put(chunk(np.array([8192, 16384], np.int16), 10.0))
    # Stamps jitter by some ms, and chunks overlap then; nothing is lost.
    window.put(chunk(np.array([8192], np.int16), 10.001))
    window.put(chunk(np.array([16384], np.int16), 10.05))
    assert window.newest().tolist() == [0, 0, 0.25, 0.5, 0.25, 0.5]
    assert not window.counts
    window.put(chunk(np.array([8192], np.int16), 10.2))
    assert window.newest().tolist() == [0, 0, 0, 0, 0, 0.25]
    assert (window.heard, window.counts) == (1, {"gap": 1})
    # A recording that begins again.
    window.put(chunk(np.array([16384], np.int16), 3.0))
    assert window.newest().tolist() == [0, 0, 0, 0, 0, 0.5]
    assert window.counts == {"gap": 1, "went back": 1}
    assert window.end == pytest.approx(3.001)


def test_a_chunk_that_comes_again_is_heard_once_and_an_empty_one_tells_the_time() -> None:
    window = SoundWindow(0.003, 1000)
    start = window.take(chunk(np.zeros(0, np.int16), 5.0))
    assert (start.stamp, window.heard) == (5.0, 0)
    for _ in range(3):
        heard = window.take(chunk(np.array([8192, 16384], np.int16), 5.0))
    assert np.asarray(heard.data).tolist() == [0, 0.25, 0.5]
    assert heard.stamp == 5.002
    assert window.counts == {"repeated": 2}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gap": 0.0}, "gap: 0.0 is not allowed; must be > 0 and <= 60 s"),
        ({"seconds": 0.0}, "seconds: 0.0 is not allowed; must be >= 0.001 and <= 60 s"),
        ({"seconds": float("inf")}, "seconds: inf is not allowed"),
        ({"rate": 10}, "rate: 10 is not allowed"),
        ({"rate": 16000.5}, "rate: must be an integer"),
    ],
)
def test_a_window_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SoundWindow(**options)
