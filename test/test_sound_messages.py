"""Sound of other packages: what it is, whose it is, and what to configure where it cannot be read.

Two packages are called audio_common_msgs and cannot be installed together; here both are made of
plain classes with the fields that their messages have.
"""

from __future__ import annotations

import array
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import AudioChunk

from ab_ros.codec.audio import waveform
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.nodes.messages import to_time
from ab_ros.nodes.sound_input import beside
from ab_ros.nodes.sound_messages import (
    SOUND_MESSAGES,
    SoundReader,
    audio_chunk,
    read_audio,
    read_audio_stamped,
    sixteen_bits,
    sound_message,
)
from ab_ros.values import Observation

pytestmark = pytest.mark.ros

NOW = 500.0


def header(stamp: float) -> Any:
    return SimpleNamespace(stamp=to_time(stamp), frame_id="")


class AudioData:
    """Of ros-drivers."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = array.array("B", data)


class AudioDataStamped:
    """Of ros-drivers."""

    def __init__(self, data: bytes = b"", stamp: float = 0.0) -> None:
        self.header, self.audio = header(stamp), AudioData(data)


class AudioInfo:
    """Of ros-drivers."""

    def __init__(
        self,
        coding_format: str = "wave",
        sample_format: str = "S16LE",
        sample_rate: int = 16000,
        channels: int = 1,
    ) -> None:
        self.coding_format, self.sample_format = coding_format, sample_format
        self.sample_rate, self.channels, self.bitrate = sample_rate, channels, 128


class Samples:
    """AudioData of mgonzs13."""

    def __init__(self, **data: Any) -> None:
        self.float32_data = array.array("f")
        self.int32_data = array.array("i")
        self.int16_data = array.array("h")
        self.int8_data = array.array("b")
        self.uint8_data = array.array("B")
        for name, values in data.items():
            getattr(self, name).extend(values)


class AudioStamped:
    """Of mgonzs13."""

    def __init__(
        self, format: int = 8, channels: int = 1, rate: int = 16000, stamp: float = 7.5, **data: Any
    ) -> None:
        info = SimpleNamespace(format=format, channels=channels, rate=rate, chunk=512)
        self.header = header(stamp)
        self.audio = SimpleNamespace(audio_data=Samples(**data), info=info)


def install(patch: pytest.MonkeyPatch, **messages: Any) -> None:
    package, module = ModuleType("audio_common_msgs"), ModuleType("audio_common_msgs.msg")
    vars(module).update(messages)
    patch.setitem(sys.modules, "audio_common_msgs", package)
    patch.setitem(sys.modules, "audio_common_msgs.msg", module)


@pytest.fixture
def ros_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch, AudioData=AudioData, AudioDataStamped=AudioDataStamped, AudioInfo=AudioInfo
    )


@pytest.fixture
def mgonzs13(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        AudioData=Samples,
        AudioStamped=AudioStamped,
        AudioInfo=lambda: SimpleNamespace(format=0, channels=0, rate=0, chunk=0),
    )


def reader(name: str) -> SoundReader:
    return SoundReader(name, lambda: NOW)


def heard(observation: Observation) -> list[float]:
    assert observation.kind == "Audio" and observation.id == "ear"
    return [round(float(value), 4) for value in waveform(observation)]


def test_bytes_are_what_the_info_beside_them_says(ros_drivers: None) -> None:
    ear = reader("AudioDataStamped")
    assert (ear.message, ear.info) == (AudioDataStamped, AudioInfo)
    pcm = np.array([16384, 0, -16384, -32768], "<i2").tobytes()
    with pytest.raises(ObservationError, match="'ear': no AudioInfo has come yet"):
        ear.read(AudioDataStamped(pcm, 3.0), "ear")
    ear.inform(AudioInfo(channels=2, sample_rate=44100))
    sound = ear.read(AudioDataStamped(pcm, 3.0), "ear")
    assert (sound.stamp, sound.meta, sound.format) == (3.0, {"rate": 44100}, "int16")
    assert heard(sound) == [0.25, -0.75]
    # It is said again and again, and may change.
    ear.inform(AudioInfo(sample_format="F32LE", coding_format="WAVE"))
    data = np.array([0.5, -0.25], "<f4").tobytes()
    assert heard(ear.read(AudioDataStamped(data, 3.0), "ear")) == [0.5, -0.25]
    with pytest.raises(ObservationError, match="'ear': 3 bytes are no whole number of F32LE"):
        ear.read(AudioDataStamped(data[:3], 3.0), "ear")


def test_bytes_without_a_stamp_are_dated_when_they_come(ros_drivers: None) -> None:
    ear = reader("AudioData")
    ear.inform(AudioInfo(sample_rate=8000))
    sound = ear.read(AudioData(b"\0\x40" * 80), "ear")
    assert sound.stamp == pytest.approx(NOW - 0.01)
    assert heard(sound) == [0.5] * 80


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (
            AudioInfo("mp3"),
            "coded as 'mp3', which is not read: set 'format: wave' in audio_capture",
        ),
        (AudioInfo("flac"), "coded as 'flac', which is not read: set 'format: wave'"),
        (AudioInfo(""), "coded as '', which is not read: set 'format: wave'"),
        (
            AudioInfo(sample_format="S20LE"),
            "format 'S20LE' is not read: set 'sample_format: S16LE'",
        ),
        (AudioInfo(sample_rate=0), "1 channels at 0 Hz"),
        (AudioInfo(channels=0), "0 channels at 16000 Hz"),
    ],
)
def test_sound_that_is_not_read_is_refused_with_what_to_configure(
    info: AudioInfo, words: str, ros_drivers: None
) -> None:
    ear = reader("AudioDataStamped")
    ear.inform(AudioInfo())
    with pytest.raises(ObservationError, match=words):
        ear.inform(info)
    with pytest.raises(ObservationError, match=f"'ear': .*{words}"):
        ear.read(AudioDataStamped(b"ID3\4"), "ear")


@pytest.mark.parametrize(
    ("format", "field", "values", "wanted"),
    [
        (1, "float32_data", [0.5, -1.0], [0.5, -1.0]),
        (2, "int32_data", [2**30, -(2**31)], [0.5, -1.0]),
        (8, "int16_data", [16384, -32768], [0.5, -1.0]),
        (16, "int8_data", [64, -128], [0.5, -1.0]),
        (32, "uint8_data", [192, 0], [0.5, -1.0]),
    ],
)
def test_typed_samples_are_read(
    format: int, field: str, values: list[float], wanted: list[float], mgonzs13: None
) -> None:
    ear = reader("AudioStamped")
    assert (ear.message, ear.info) == (AudioStamped, None)
    sound = ear.read(AudioStamped(format, rate=48000, **{field: values}), "ear")
    assert (sound.stamp, sound.meta) == (7.5, {"rate": 48000})
    assert heard(sound) == wanted
    stereo = ear.read(AudioStamped(format, channels=2, **{field: values}), "ear")
    assert heard(stereo) == [-0.25]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (AudioStamped(4), "sample format 4 is not read: set 'format' of audio_capturer_node to"),
        (AudioStamped(rate=0, int16_data=[1]), "1 samples in int16_data of 1 channels at 0 Hz"),
        (AudioStamped(channels=2, int16_data=[1]), "1 samples in int16_data of 2 channels"),
        (AudioStamped(channels=-1, int16_data=[1]), "of -1 channels"),
    ],
)
def test_typed_samples_that_do_not_fit_are_refused(message: Any, words: str) -> None:
    with pytest.raises(ObservationError, match=f"'ear': .*{words}"):
        read_audio_stamped(message, "ear")


def test_the_package_is_missed_only_by_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("audio_common_msgs", "audio_common_msgs.msg"):
        monkeypatch.setitem(sys.modules, module, None)
    assert sound_message("AudioChunk") is AudioChunk
    for name in SOUND_MESSAGES[1:]:
        owner = "mgonzs13" if name == "AudioStamped" else "ros-drivers"
        with pytest.raises(ConfigError, match=f"{name!r} is of .* {owner}, which is not installed"):
            reader(name)


def test_packages_of_one_name_are_told_apart_by_their_fields(
    monkeypatch: pytest.MonkeyPatch, ros_drivers: None
) -> None:
    words = "of mgonzs13, but the package of that name which is installed is that of ros-drivers"
    with pytest.raises(ConfigError, match=f"'AudioStamped' .* {words}; one of: AudioChunk, AudioD"):
        reader("AudioStamped")
    install(monkeypatch, AudioData=Samples, AudioStamped=AudioStamped)
    words = "of ros-drivers, but the package of that name which is installed is that of mgonzs13"
    for name in ("AudioData", "AudioDataStamped"):
        with pytest.raises(ConfigError, match=f"{name!r} .* {words}; one of: AudioChunk, AudioS"):
            reader(name)


@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_a_chunk_goes_through_a_message_unchanged(shape: tuple[int, ...]) -> None:
    data = np.arange(-3, 3, dtype=np.int16).reshape(shape)
    message = audio_chunk(
        Observation("a", "Audio", 0.0, "int16", data, {"rate": 22050}), 12.25, "microphone"
    )
    assert message.header.frame_id == "microphone"
    sound = read_audio(message, "ear")
    assert (sound.stamp, sound.meta, sound.format) == (12.25, {"rate": 22050}, "int16")
    np.testing.assert_array_equal(np.asarray(sound.data), data)


def test_sixteen_bits_clip_and_survive_what_is_no_number() -> None:
    loud = np.array([0.5, 7.0, -np.inf, np.nan, -1.0], np.float32)
    assert sixteen_bits(loud).tolist() == [16384, 32767, -32767, 0, -32767]
    whole = np.array([5, -5], np.int16)
    assert sixteen_bits(whole) is whole


def test_the_info_is_beside_the_sound() -> None:
    assert beside("audio", "audio_info") == "audio_info"
    assert beside("ears/left", "audio_info") == "ears/audio_info"
    assert beside("/robot/audio/audio_stamped", "audio_info") == "/robot/audio/audio_info"
