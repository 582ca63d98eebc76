"""A node that plays a WAV file as a microphone would: ``audio`` in real time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.resampling import StreamResampler
from ab_ros.codec.wav import WavFile
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.msg import AudioChunk
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.process import run
from ab_ros.nodes.sound_messages import audio_chunk, sixteen_bits
from ab_ros.values import Observation

_LATE = 0.5  # s by which it may fall behind before it leaves sound out
_MOST_CHANNELS = 255


@dataclass(frozen=True)
class AudioFileSettings:
    """A WAV file that is played."""

    file: str = setting(doc="WAV file of PCM or floating-point samples.")
    loop: bool = setting(False, doc="Whether it begins again at its end.", live=True)
    start: float = setting(
        0.0, doc="Where in the file it begins, the first time.", unit="s", ge=0, le=1e6
    )
    wait: bool = setting(False, doc="Whether it begins only once somebody listens.")
    rate: int | None = setting(
        None,
        doc="Sample rate that is published; by default the file's.",
        unit="Hz",
        ge=1000,
        le=384_000,
    )
    chunk: float = setting(0.02, doc="Length of a chunk.", unit="s", ge=0.005, le=1)
    frame_id: str = setting("microphone", doc="Frame of the microphone that it stands for.")


class AudioFileNode(AbNode[AudioFileSettings]):
    """Plays a WAV file, at the pace of the robot's clock."""

    node_name = "audio_file"
    settings_class = AudioFileSettings

    def setup(self) -> None:
        """Open the file."""
        s = self.settings
        try:
            self._file = file = WavFile(Path(s.file))
        except ConfigError as error:
            raise ConfigError(f"file: {error}") from None
        if s.start >= file.seconds:
            raise ConfigError(
                f"start: must be below the file's {file.seconds:g} s, not {s.start:g}"
            )
        if file.channels > _MOST_CHANNELS:
            raise ConfigError(f"file: {s.file}: has {file.channels} channels, more than fit")
        self._rate = s.rate or file.rate
        self._resamplers: list[StreamResampler] = []
        if self._rate != file.rate:
            self._resamplers = [
                StreamResampler(file.rate, self._rate) for _ in range(file.channels)
            ]
        self._audio = self.advertise(AudioChunk, "audio", qos.REWARD)
        self.every(s.chunk, self._play)
        self.watch_clock(self._clock_jumped)

    def start(self) -> None:
        """Begin where the settings say."""
        self._next = round(self.settings.start * self._file.rate)
        for resampler in self._resamplers:
            resampler.reset()
        self._ended, self._waits = False, self.settings.wait
        self._begin()

    def health(self) -> Health:
        """Tell where it is."""
        if not self.active:
            return Level.OK, "not active"
        if self._ended:
            return Level.OK, f"{self.settings.file} has been played to its end"
        if self._waits:
            return Level.OK, "waits until somebody listens"
        at = self._next / self._file.rate
        return Level.OK, f"plays {self.settings.file}, at {at:.1f} of {self._file.seconds:.1f} s"

    def _begin(self) -> None:
        """Count the samples from now on."""
        self._epoch, self._sent, self._taken = self.now(), 0, 0

    def _clock_jumped(self, _jump: float) -> None:
        if self.active:
            self._begin()

    def _play(self) -> None:
        """Publish what should have been heard by now."""
        if self._waits:
            self._waits = not self._audio.get_subscription_count()
            self._begin()
        file, elapsed = self._file, self.now() - self._epoch
        due = int(elapsed * file.rate) - self._taken
        if self._ended or due <= 0:
            return
        if due > (_LATE + self.settings.chunk) * file.rate:
            self.figures.add("fell behind")
            self._begin()
            return
        self._taken += due
        while due > 0 and not self._ended:
            sound = file.read(self._next, due)
            self._next += len(sound)
            due -= len(sound)
            self._publish(sound)
            if self._next >= file.frames:
                self._next = 0
                self._ended = not self.settings.loop
        if self._ended:
            self.get_logger().info(f"{self.settings.file} has been played to its end")

    def _publish(self, sound: NDArray[Any]) -> None:
        if self._resamplers:
            full = 32768.0 if sound.dtype == np.int16 else 1.0
            columns = [
                resampler.process(column.astype(np.float64) / full)
                for resampler, column in zip(self._resamplers, sound.T, strict=True)
            ]
            sound = np.stack(columns, axis=1)
        if not len(sound):
            return
        data = sixteen_bits(sound)
        stamp = self._epoch + self._sent / self._rate
        self._sent += len(data)
        observation = Observation("audio", "Audio", stamp, "int16", data, {"rate": self._rate})
        self._audio.publish(audio_chunk(observation, stamp, self.settings.frame_id))
        self.figures.mark("audio")


def main() -> int:
    """Run the node."""
    return run(AudioFileNode)


if __name__ == "__main__":
    raise SystemExit(main())
