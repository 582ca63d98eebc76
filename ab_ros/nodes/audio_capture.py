"""A node that publishes what a microphone of this computer hears: ``audio``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.sample_clock import SampleClock
from ab_ros.config import setting
from ab_ros.errors import ConfigError
from ab_ros.msg import AudioChunk
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.process import run
from ab_ros.nodes.sound_devices import device_table, find_microphone, sounddevice
from ab_ros.nodes.sound_messages import audio_chunk
from ab_ros.values import Observation

_OFF = 0.05  # s between the count of samples and the clock at which the count begins anew
_SILENT = 1.0  # s without sound after which the device is opened anew


@dataclass(frozen=True)
class AudioCaptureSettings:
    """A microphone of this computer."""

    # The command line takes 2 for a number.
    device: Any = setting(
        "", doc="Number or name of the device, or a part of the name; empty: the usual one."
    )
    rate: int = setting(16000, doc="Sample rate.", unit="Hz", ge=1000, le=384_000)
    channels: int = setting(1, doc="Channels.", ge=1, le=255)
    chunk: float = setting(0.02, doc="Length of a chunk.", unit="s", ge=0.005, le=1)
    frame_id: str = setting("microphone", doc="Frame of the microphone.")

    def __post_init__(self) -> None:
        if isinstance(self.device, bool) or not isinstance(self.device, (str, int)):
            raise ConfigError(f"device: must be a number or a name, not {self.device!r}")


class AudioCaptureNode(AbNode[AudioCaptureSettings]):
    """Publishes a microphone's sound.

    PortAudio calls back in a thread of its own; chunks are published in the executor's.
    """

    node_name = "audio_capture"
    settings_class = AudioCaptureSettings

    def setup(self) -> None:
        """Find the device."""
        self._stream: Any = None
        self._module = sounddevice()
        self._device = find_microphone(str(self.settings.device))
        self._audio = self.advertise(AudioChunk, "audio", qos.REWARD)
        self.every(_SILENT, self._watch, steady=True)

    def start(self) -> None:
        """Begin to record."""
        self._open()

    def stop(self) -> None:
        """Cease to record."""
        self._close()

    def health(self) -> Health:
        """Tell whether sound comes."""
        if not self.active:
            return Level.OK, "not active"
        silent = time.monotonic() - self._heard_at
        if silent > _SILENT:
            return Level.WARN, f"the microphone has given no sound for {silent:.0f} s"
        return Level.OK, "records"

    @classmethod
    def help_more(cls) -> str:
        """List the microphones."""
        return f"Microphones of this computer:\n{device_table()}"

    def _open(self) -> None:
        s, module = self.settings, self._module
        self._dates = SampleClock(_OFF, _OFF)
        self._heard_at = time.monotonic()
        try:
            self._stream = module.InputStream(
                device=self._device,
                samplerate=s.rate,
                channels=s.channels,
                dtype="int16",
                blocksize=round(s.chunk * s.rate),
                callback=self._heard,
            )
            self._stream.start()
        except (module.PortAudioError, ValueError) as error:
            self._close()
            name = s.device or "the usual device"
            raise ConfigError(
                f"device: {name} cannot record {s.channels} channels at {s.rate} Hz: {error}"
            ) from None

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except self._module.PortAudioError as error:
                self.report("closing", str(error))

    def _watch(self) -> None:
        """Open a device anew that has fallen silent, as one that was unplugged does."""
        if time.monotonic() - self._heard_at > _SILENT:
            self.report("device", "no sound has come; it is opened anew")
            self._close()
            heard_at = self._heard_at
            try:
                self._open()
            finally:
                self._heard_at = heard_at

    # In PortAudio's thread

    def _heard(self, data: NDArray[np.int16], frames: int, times: Any, status: Any) -> None:
        if getattr(status, "input_overflow", False):
            self.figures.add("sound lost in the device")
            self._dates.reset()
        delay = times.currentTime - times.inputBufferAdcTime
        length = frames / self.settings.rate
        # Some drivers do not say when the first sample was taken.
        taken = self.now() - (delay if 0.0 < delay < 10.0 else length)
        stamp = self._dates.date(taken, length)
        self.figures.set("stamps begun anew", self._dates.begun_anew)
        self._heard_at = time.monotonic()
        # The array is PortAudio's, and only for now.
        self.call_soon(self._publish, np.array(data, np.int16), stamp)

    # In the executor's

    def _publish(self, samples: NDArray[np.int16], stamp: float) -> None:
        if self.active:
            meta = {"rate": self.settings.rate}
            sound = Observation("audio", "Audio", stamp, "int16", samples, meta)
            self._audio.publish(audio_chunk(sound, stamp, self.settings.frame_id))
            self.figures.mark("audio")


def main() -> int:
    """Run the node."""
    return run(AudioCaptureNode)


if __name__ == "__main__":
    raise SystemExit(main())
