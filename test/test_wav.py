"""WAV files of every width give the sound that was written, and others a sentence."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.pcm import FORMATS, decode_pcm, sample_bytes
from ab_ros.codec.wav import WavFile
from ab_ros.errors import ConfigError, ObservationError


def written(path: Path, samples: np.ndarray, width: int, rate: int = 8000) -> Path:
    """Write samples in [-1, 1], float64[n, channels], as the standard library does."""
    full = 2 ** (8 * width - 1)
    whole = np.clip(np.rint(samples * full), -full, full - 1).astype(np.int64)
    if width == 1:
        data = (whole + 128).astype(np.uint8).tobytes()
    else:
        data = whole.astype("<i8")[..., None].view(np.uint8)[..., :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def form(kind: int, bits: int, channels: int = 1, rate: int = 8000, more: bytes = b"") -> bytes:
    frame = channels * bits // 8
    fields = (kind, channels, rate, rate * frame, frame, bits)
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields) + more)


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_width_of_pcm_is_read(width: int, channels: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(width).uniform(-1.0, 1.0, (500, channels))
    samples[0], samples[1] = -1.0, 1.0
    file = WavFile(written(tmp_path / "a.wav", samples, width))
    assert (file.rate, file.channels, file.frames, file.seconds) == (8000, channels, 500, 0.0625)
    sound = np.concatenate([file.read(0, 123), file.read(123, 1000)])
    assert sound.dtype == (np.int16 if width == 2 else np.float32)
    values = sound / 32768.0 if width == 2 else sound
    np.testing.assert_allclose(values, samples, atol=2.0 ** (1 - 8 * width) + 1e-7)
    assert not len(file.read(500, 10)) and not len(file.read(7, 0))


@pytest.mark.parametrize("bits", [32, 64])
def test_floating_point_files_are_read(bits: int, tmp_path: Path) -> None:
    samples = np.linspace(-1.0, 1.0, 50)
    data = samples.astype(f"<f{bits // 8}").tobytes()
    path = tmp_path / "float.wav"
    path.write_bytes(riff(form(3, bits, more=b"\0\0"), chunk(b"data", data)))
    np.testing.assert_allclose(WavFile(path).read(0, 50)[:, 0], samples, atol=1e-7)


def test_extensible_headers_other_chunks_and_files_cut_short_are_read(tmp_path: Path) -> None:
    samples = np.array([[0.5, -0.5], [0.25, -0.25]], np.float64)
    data = np.rint(samples * 2**23).astype("<i4")[..., None].view(np.uint8)[..., :3].tobytes()
    more = struct.pack("<HHI", 22, 24, 3) + struct.pack("<H", 1) + b"\0" * 14
    path = tmp_path / "long.wav"
    head = (chunk(b"LIST", b"odd"), form(0xFFFE, 24, 2, more=more))
    path.write_bytes(riff(*head, chunk(b"data", data), chunk(b"fact", b"....")))
    np.testing.assert_allclose(WavFile(path).read(0, 9), samples)
    # As a recorder leaves it that was killed: sizes of a stream, half a sample at the end.
    path.write_bytes(
        b"RIFF\xff\xff\xff\xffWAVE" + b"".join(head) + b"data\xff\xff\xff\xff" + data[:-1]
    )
    np.testing.assert_allclose(WavFile(path).read(0, 9), samples[:1])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "does not begin with RIFF and WAVE"),
        (b"OggS" + b"\0" * 40, "does not begin with RIFF and WAVE"),
        (riff(), "no complete 'fmt ' chunk"),
        (riff(chunk(b"fmt ", b"12")), "no complete 'fmt ' chunk"),
        (riff(form(1, 16)), "there is no sound in it"),
        (riff(form(1, 16), chunk(b"data", b"")), "there is no sound in it"),
        (riff(form(0x55, 16), chunk(b"data", b"1234")), "format 85, 16 bits.*ffmpeg -i bad.wav"),
        (riff(form(1, 12), chunk(b"data", b"1234")), "format 1, 12 bits.* are not read"),
        (riff(form(1, 16, channels=0), chunk(b"data", b"1234")), "0 channels at 8000 Hz"),
    ],
)
def test_a_file_that_is_no_sound_is_refused(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{path}: .*{words}"):
        WavFile(path)


@given(st.sampled_from(FORMATS), st.integers(1, 3), st.integers(0, 20), st.integers(0, 2**32))
def test_bytes_of_every_format_are_samples_within_full_scale(
    format: str, channels: int, frames: int, seed: int
) -> None:
    size = sample_bytes(format) * channels * frames
    data = np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
    sound = decode_pcm(data, format, channels)
    assert sound.shape == (frames, channels)
    if format[0] != "F":
        scale = 32768.0 if sound.dtype == np.int16 else 1.0
        assert (np.abs(sound / scale) <= 1.0).all()


def test_the_byte_order_counts() -> None:
    big, little = b"\x40\x00\x00", b"\x00\x00\x40"
    for format in ("S16", "S24"):
        size = int(format[1:]) // 8
        for order, data in (("BE", big[:size]), ("LE", little[-size:])):
            (sample,) = decode_pcm(data, format + order, 1)[:, 0] / (32768 if size == 2 else 1)
            assert sample == 0.5, format + order
    assert decode_pcm(b"\x00\x80\xc0", "U8", 3).tolist() == [[-1.0, 0.0, 0.5]]


def test_what_is_no_sample_is_refused() -> None:
    with pytest.raises(ObservationError, match="'A_LAW' is not read; one of: U8, S8, S16LE"):
        decode_pcm(b"12", "A_LAW", 1)
    with pytest.raises(ObservationError, match="5 bytes are no whole number of S16LE samples of 2"):
        decode_pcm(b"12345", "S16LE", 2)
