"""Sound from topics: our own chunks, and the messages of two packages called audio_common_msgs.

Both packages have the same name and cannot be installed together:

- that of *ros-drivers* has ``AudioData`` and ``AudioDataStamped``, plain bytes, and ``AudioInfo``,
  which says on a topic beside them what the bytes are;
- that of *mgonzs13* has ``AudioStamped``, which says so itself.

They are told apart by their fields, and neither is needed unless a message of it is asked for.
"""

from __future__ import annotations

import array
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.pcm import FORMATS, decode_pcm
from ab_ros.codec.sample_clock import SampleClock
from ab_ros.errors import ConfigError, ObservationError, one_of
from ab_ros.msg import AudioChunk
from ab_ros.nodes.messages import seconds, to_time
from ab_ros.values import Observation, read_only

SOUND_MESSAGES = ("AudioChunk", "AudioDataStamped", "AudioData", "AudioStamped")
"""Messages that carry sound, by the names that a configuration calls them; ours first."""

_PACKAGE = "audio_common_msgs"
_LATE = 0.25  # s by which a message without a stamp may come later than others
_HEAP = 5.0  # s of sound that may come at once after a delay
# By message: whose package has it, and what tells it from the other's: a field, or a part's field.
_FIELDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "AudioDataStamped": ("ros-drivers", ("audio", "data")),
    "AudioData": ("ros-drivers", ("data",)),
    "AudioStamped": ("mgonzs13", ("audio", "audio_data")),
}
# PortAudio's numbers of sample formats: the array that holds them, its type, and our name.
_ARRAYS: Mapping[int, tuple[str, str, str]] = {
    1: ("float32_data", "<f4", "F32LE"),
    2: ("int32_data", "<i4", "S32LE"),
    8: ("int16_data", "<i2", "S16LE"),
    16: ("int8_data", "i1", "S8"),
    32: ("uint8_data", "u1", "U8"),
}


def sound_message(name: str) -> type[Any]:
    """Return the class of a message that carries sound.

    Raises
    ------
    ConfigError
        if the package that has it is not installed, or another one of that name.
    """
    if name == "AudioChunk":
        return AudioChunk
    owner, path = _FIELDS[name]
    try:
        messages = importlib.import_module(f"{_PACKAGE}.msg")
    except ImportError as error:
        raise ConfigError(
            f"{name!r} is of the package {_PACKAGE} of {owner}, which is not installed"
            f" ({error}): install it, or let the source publish ab_ros/AudioChunk"
        ) from None
    kind: Any = getattr(messages, name, None)
    part: Any = kind() if kind is not None else None
    for field in path:
        part = getattr(part, field, None)
    if part is None:
        other = {"ros-drivers": "mgonzs13", "mgonzs13": "ros-drivers"}[owner]
        theirs = [known for known, (whose, _) in _FIELDS.items() if whose == other]
        raise ConfigError(
            f"{name!r} is of the package {_PACKAGE} of {owner}, but the package of that"
            f" name which is installed is that of {other}; {one_of(('AudioChunk', *theirs))}"
        )
    return type(kind())


class SoundReader:
    """Reads the messages of one topic as chunks of sound, dated by their first sample.

    Parameters
    ----------
    name : of the message, one of :data:`SOUND_MESSAGES`.
    now : returns the robot's time, s, for messages without a stamp.

    Attributes
    ----------
    message : class of the messages.
    info : class of the messages that :meth:`inform` needs before :meth:`read` can read; None where
        messages say themselves what they hold.

    Raises
    ------
    ConfigError
        as :func:`sound_message`.
    """

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self.message = sound_message(name)
        self._now, self._dates = now, SampleClock(_LATE, _HEAP)
        self._format: tuple[str, int, int] | None = None
        self._trouble = "no AudioInfo has come yet that says what its bytes are"
        read: Mapping[str, Callable[[Any, str], Observation]] = {
            "AudioChunk": read_audio,
            "AudioDataStamped": lambda m, id: self._bytes(
                m.audio.data, seconds(m.header.stamp), id
            ),
            "AudioData": lambda m, id: self._bytes(m.data, None, id),
            "AudioStamped": read_audio_stamped,
        }
        self.read = read[name]
        plain = name in ("AudioData", "AudioDataStamped")
        self.info: type[Any] | None = None
        if plain:
            self.info = importlib.import_module(f"{_PACKAGE}.msg").AudioInfo

    def reset(self) -> None:
        """Date sound anew, as after a jump of the clock."""
        self._dates.reset()

    def inform(self, info: Any) -> None:
        """Take an ``AudioInfo``: what the bytes that come are.

        Raises
        ------
        ObservationError
            if they cannot be read: they are compressed, or of an unknown format.
        """
        coding = str(info.coding_format).lower()
        rate, channels = int(info.sample_rate), int(info.channels)
        format = str(info.sample_format)
        self._format, self._trouble = None, ""
        if coding not in ("wave", "wav", "raw", "pcm"):
            self._trouble = (
                f"it is coded as {info.coding_format!r}, which is not read: set 'format: wave' in"
                f" audio_capture"
            )
        elif format not in FORMATS:
            self._trouble = (
                f"its sample format {format!r} is not read: set 'sample_format: S16LE' in"
                f" audio_capture"
            )
        elif not rate or not channels:
            self._trouble = f"AudioInfo says {channels} channels at {rate} Hz"
        else:
            self._format = format, channels, rate
        if self._trouble:
            raise ObservationError(f"the sound cannot be used: {self._trouble}")

    def _bytes(self, data: Any, stamp: float | None, id: str) -> Observation:
        if self._format is None:
            raise ObservationError(f"sound for {id!r}: {self._trouble}")
        format, channels, rate = self._format
        try:
            samples = decode_pcm(np.frombuffer(data, np.uint8), format, channels)
        except ObservationError as error:
            raise ObservationError(f"sound for {id!r}: {error}") from None
        length = len(samples) / rate
        began = self._dates.date(self._now() - length, length) if stamp is None else stamp
        return _chunk(samples, rate, began, id)


def read_audio(message: AudioChunk, id: str) -> Observation:
    """Return a chunk of sound as the sample of input ``id``: int16[n] or int16[n, channels].

    Raises
    ------
    ObservationError
        for a chunk without a sample rate or channels, or with a part of a sample of all channels.
    """
    channels = int(message.channels)
    data = np.array(message.data, np.int16)
    if not message.sample_rate or not channels or data.size % channels:
        raise ObservationError(
            f"sound for {id!r}: {data.size} samples of {channels} channels at"
            f" {message.sample_rate} Hz; there must be a rate, and whole samples of at least one"
            f" channel"
        )
    samples = data.reshape(-1, channels)
    return _chunk(samples, int(message.sample_rate), seconds(message.header.stamp), id)


def read_audio_stamped(message: Any, id: str) -> Observation:
    """Return an ``AudioStamped`` as the sample of input ``id``.

    Raises
    ------
    ObservationError
        for a sample format that is not known, as for a chunk without a sample rate or channels, or
        with a part of a sample of all channels.
    """
    info = message.audio.info
    if info.format not in _ARRAYS:
        raise ObservationError(
            f"sound for {id!r}: sample format {info.format} is not read: set 'format' of"
            f" audio_capturer_node to one of {', '.join(map(str, _ARRAYS))} (8 is int16)"
        )
    field, kind, format = _ARRAYS[info.format]
    data = np.asarray(getattr(message.audio.audio_data, field), kind)
    if info.rate <= 0 or info.channels <= 0 or data.size % info.channels:
        raise ObservationError(
            f"sound for {id!r}: {data.size} samples in {field} of {info.channels} channels at"
            f" {info.rate} Hz; there must be a rate, and whole samples of at least one channel"
        )
    samples = decode_pcm(data.tobytes(), format, int(info.channels))
    return _chunk(samples, int(info.rate), seconds(message.header.stamp), id)


def audio_chunk(sound: Observation, stamp: float, frame_id: str = "") -> AudioChunk:
    """Return the message of a sound.

    Parameters
    ----------
    sound : int16[n] or int16[n, channels], with its sample rate in ``meta["rate"]``.
    stamp : s, when its first sample was taken.
    frame_id : of the microphone.
    """
    samples = np.ascontiguousarray(sound.data, np.int16)
    data = array.array("h")
    data.frombytes(samples.tobytes())
    channels = samples.shape[1] if samples.ndim == 2 else 1
    result = AudioChunk(sample_rate=sound.meta["rate"], channels=channels, data=data)
    result.header.stamp = to_time(stamp)
    result.header.frame_id = frame_id
    return result


def sixteen_bits(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Return samples in [-1, 1], or of 16 bits, as int16; what is over full scale is clipped."""
    if samples.dtype == np.int16:
        return samples
    finite = np.clip(np.nan_to_num(samples, nan=0.0), -1.0, 1.0)
    return np.asarray(np.rint(finite * 32767.0), np.int16)


def _chunk(samples: NDArray[Any], rate: int, stamp: float, id: str) -> Observation:
    """Return float32 or int16[n, channels] as a sample of an input."""
    return Observation(
        id=id,
        kind="Audio",
        stamp=stamp,
        format="int16" if samples.dtype == np.int16 else "float32",
        data=read_only(samples[:, 0] if samples.shape[1] == 1 else samples),
        meta={"rate": rate},
    )
