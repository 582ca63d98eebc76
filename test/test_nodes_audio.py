"""Nodes that publish sound, and a brain node that hears it, in processes of their own."""

from __future__ import annotations

import itertools
import os
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_process import PATIENCE, NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import AudioChunk, BrainStatus, SpikeRaster
from diagnostic_msgs.msg import DiagnosticArray

from ab_ros.codec.audio import Spectrum, SpectrumSettings, tone
from ab_ros.nodes import qos
from ab_ros.nodes.messages import read_spike_raster, seconds
from ab_ros.nodes.sound_messages import audio_chunk, read_audio
from ab_ros.values import Observation

pytestmark = pytest.mark.ros

_names = itertools.count()

# Stands for the package and the library: a microphone that hears a ramp, and can be pulled out.
SOUNDDEVICE = """
import os, threading, types
import numpy as np

class PortAudioError(Exception):
    pass

DEVICES = [
    {"name": "Loudspeaker", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"name": "USB Microphone: Left", "max_input_channels": 2, "default_samplerate": 44100.0},
    {"name": "USB Microphone: Right", "max_input_channels": 2, "default_samplerate": 44100.0},
    {"name": "Array", "max_input_channels": 4, "default_samplerate": 16000.0},
]

def query_devices():
    return DEVICES if os.environ.get("MICROPHONES", "1") == "1" else DEVICES[:1]

class InputStream:
    def __init__(self, device, samplerate, channels, dtype, blocksize, callback):
        assert dtype == "int16"
        if samplerate == 12345:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        print("opened", device, samplerate, channels, blocksize, flush=True)
        self.form, self.rate, self.callback = (blocksize, channels), samplerate, callback
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def close(self):
        self.end.set()
        print("closed", flush=True)

    def run(self):
        shared = np.zeros(self.form, np.int16)
        begun = 100.0
        for block in range(10**9):
            if self.end.wait(self.form[0] / self.rate) or os.path.exists(os.environ["UNPLUGGED"]):
                return
            shared[:] = np.arange(self.form[0])[:, None] + 1000 * np.arange(self.form[1])
            times = types.SimpleNamespace(
                inputBufferAdcTime=begun + block * self.form[0] / self.rate,
                currentTime=begun + (block + 1) * self.form[0] / self.rate,
            )
            status = types.SimpleNamespace(input_overflow=block == 3)
            self.callback(shared, self.form[0], times, status)
"""


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("audio_test")
    yield peer
    peer.close()


class Ear:
    """Who hears what one node publishes, in a namespace of its own."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.space = peer, f"/audio_{next(_names)}"
        self.chunks: list[AudioChunk] = []
        self.figures: dict[str, str] = {}
        self.said: list[str] = []
        listen = peer.node.create_subscription
        self._subscriptions = [
            listen(AudioChunk, f"{self.space}/audio", self.chunks.append, qos.REWARD),
            listen(DiagnosticArray, "/diagnostics", self._diagnose, 10),
        ]

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id.startswith(self.space + "/"):
                self.figures = {value.key: value.value for value in status.values}
                self.said.append(status.message)

    def node(self, name: str, *assignments: str, env: dict[str, str] | None = None) -> NodeProcess:
        parameters = [part for text in assignments for part in ("-p", text)]
        arguments = ["--ros-args", "-r", f"__ns:={self.space}", *parameters]
        return NodeProcess(Path("-m"), f"ab_ros.nodes.{name}", *arguments, env=env)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        self.peer.until(condition, what)

    def sound(self) -> np.ndarray:
        """Return all that was heard, int16[n, channels]."""
        parts = [np.asarray(read_audio(chunk, "ear").data) for chunk in self.chunks]
        return np.concatenate([part.reshape(len(part), -1) for part in parts])

    def expect_continuous(self, tolerance: float = 1e-6) -> None:
        """Check that each chunk begins where the one before ended, or that its node fell behind.

        On a machine that is too busy for real time it does, and says so.
        """
        breaks = 0
        for before, after in itertools.pairwise(self.chunks):
            frames = len(before.data) / before.channels / before.sample_rate
            end = seconds(before.header.stamp) + frames
            breaks += abs(seconds(after.header.stamp) - end) > tolerance
        self.until(
            lambda: breaks <= int(self.figures.get("fell behind", "0")),
            f"word of {breaks} breaks in the sound",
        )

    def close(self) -> None:
        for subscription in self._subscriptions:
            self.peer.node.destroy_subscription(subscription)


@pytest.fixture
def ear(peer: Peer) -> Iterator[Ear]:
    ear = Ear(peer)
    yield ear
    ear.close()


def wav(path: Path, sound: np.ndarray, rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return path


# --- A file -----------------------------------------------------------------------------------


def test_a_file_is_played_once_from_where_it_shall_begin(ear: Ear, tmp_path: Path) -> None:
    sound = np.stack([np.arange(8000), -np.arange(8000)], axis=1).astype(np.int16)
    path = wav(tmp_path / "ramp.wav", sound, 8000)
    before = ear.peer.node.get_clock().now().nanoseconds * 1e-9
    with ear.node("audio_file", f"file:={path}", "start:=0.4", "wait:=true") as node:
        node.wait_for("has been played to its end")
        ear.until(lambda: ear.chunks and ear.sound()[-1, 0] == 7999, "the sound")
        # A listener that is found before it has found the player misses what comes between.
        missed = 4800 - len(ear.sound())
        np.testing.assert_array_equal(ear.sound(), sound[3200 + missed :])
        ear.expect_continuous()
        after = ear.peer.node.get_clock().now().nanoseconds * 1e-9
        first, last = (seconds(ear.chunks[k].header.stamp) for k in (0, -1))
        # In real time: not a chunk was published before its sound would have been there.
        assert before < first < last < after
        assert {(c.sample_rate, c.channels, c.header.frame_id) for c in ear.chunks} == {
            (8000, 2, "microphone")
        }
        ear.until(lambda: any("played to its end" in said for said in ear.said), "its health")


def test_a_file_goes_round_at_another_sample_rate(ear: Ear, tmp_path: Path) -> None:
    path = wav(tmp_path / "tone.wav", np.rint(16000 * tone(500.0, 0.1, 44100))[:, None], 44100)
    with ear.node("audio_file", f"file:={path}", "loop:=true", "rate:=16000", "chunk:=0.05"):
        ear.until(lambda: ear.chunks and len(ear.sound()) > 4 * 1600, "more than the file has")
        ear.expect_continuous()
        # 50 whole periods: the tone goes on over the border.
        samples = ear.sound()[400:, 0].astype(float)
        time = np.arange(samples.size) / 16000
        waves = np.stack([np.sin(2 * np.pi * 500 * time), np.cos(2 * np.pi * 500 * time)], axis=1)
        fit = waves @ np.linalg.lstsq(waves, samples, rcond=None)[0]
        assert np.abs(samples - fit).max() < 40
        assert np.abs(samples).max() == pytest.approx(16000, rel=0.01)


def test_a_file_that_cannot_be_played_is_refused_in_a_sentence(ear: Ear, tmp_path: Path) -> None:
    path = wav(tmp_path / "short.wav", np.ones((800, 1)), 8000)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"ID3\4 an MP3")
    for assignments, words in (
        ([f"file:={tmp_path}/none.wav"], "file: .*none.wav: cannot be read: No such file"),
        ([f"file:={broken}"], "broken.wav: is no WAV file"),
        ([f"file:={path}", "start:=0.1"], "start: must be below the file's 0.1 s, not 0.1"),
        (["loop:=true"], "file: is missing"),
    ):
        with ear.node("audio_file", *assignments) as node:
            assert node.end() == 2
            said = " ".join([*node.lines, *node.errors])
            assert all(word in said for word in words.replace(".*", " ").split()), said
            assert "Traceback" not in said


# --- A microphone -----------------------------------------------------------------------------


@pytest.fixture
def computer(tmp_path: Path) -> dict[str, str]:
    """The environment of a computer with microphones; the file UNPLUGGED pulls them out."""
    (tmp_path / "sounddevice.py").write_text(SOUNDDEVICE)
    path = os.pathsep.join([str(tmp_path), *(part for part in sys.path if part)])
    return {"PYTHONPATH": path, "UNPLUGGED": str(tmp_path / "unplugged")}


def test_a_microphone_is_heard_and_found_again_when_it_was_pulled_out(
    ear: Ear, computer: dict[str, str]
) -> None:
    choice = ("device:='usb microphone: r'", "channels:=2", "rate:=8000", "chunk:=0.01")
    with ear.node("audio_capture", *choice, env=computer) as node:
        node.wait_for("opened 2 8000 2 80")
        ear.until(lambda: len(ear.chunks) > 20, "sound")
        sound = ear.sound().reshape(-1, 80, 2)
        assert (sound == np.arange(80)[:, None] + [0, 1000]).all()
        ear.until(lambda: ear.figures.get("sound lost in the device") == "1", "the overflow")
        chunk = ear.chunks[-1]
        assert (chunk.sample_rate, chunk.channels) == (8000, 2)
        now = ear.peer.node.get_clock().now().nanoseconds * 1e-9
        assert abs(now - seconds(chunk.header.stamp)) < 20.0
        Path(computer["UNPLUGGED"]).touch()
        node.wait_for("no sound has come; it is opened anew")
        ear.until(lambda: any("has given no sound for" in said for said in ear.said), "a warning")
        Path(computer["UNPLUGGED"]).unlink()
        count = len(ear.chunks)
        ear.until(lambda: len(ear.chunks) > count + 20, "sound again")
    assert node.lines[-1] == "closed"


@pytest.mark.parametrize(
    ("assignments", "environment", "words"),
    [
        (
            ["device:=usb"],
            {},
            "more than one device has the number or name 'usb'; there are 1: USB",
        ),
        (["device:=nose"], {}, "no device has the number or name 'nose'"),
        (["device:=0"], {}, "no device has the number or name '0'"),
        (["device:=true"], {}, "device: must be a number or a name, not True"),
        (["rate:=12345"], {}, "the usual device cannot record 1 channels at 12345 Hz: Invalid"),
        ([], {"MICROPHONES": "0"}, "this computer has no microphone"),
    ],
)
def test_a_microphone_that_cannot_be_used_is_refused_in_a_sentence(
    assignments: list[str],
    environment: dict[str, str],
    words: str,
    ear: Ear,
    computer: dict[str, str],
) -> None:
    with ear.node("audio_capture", *assignments, env={**computer, **environment}) as node:
        assert node.end() == 2
        said = " ".join([*node.lines, *node.errors])
        assert words in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("raise ImportError('No module named sounddevice')", "pip install sounddevice"),
        ("raise OSError('PortAudio library not found')", "apt install libportaudio2"),
    ],
)
def test_what_is_not_installed_is_said(
    module: str, words: str, ear: Ear, computer: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sounddevice.py").write_text(module)
    with ear.node("audio_capture", env=computer) as node:
        assert node.end() == 2
        said = " ".join([*node.lines, *node.errors])
        assert words in said and "Traceback" not in said
    help_of = NodeProcess(Path("-m"), "ab_ros.nodes.audio_capture", "--help", env=computer)
    with help_of:
        assert help_of.end() == 0
        assert any(words in line for line in help_of.lines)


def test_help_lists_the_microphones(computer: dict[str, str]) -> None:
    with NodeProcess(Path("-m"), "ab_ros.nodes.audio_capture", "--help", env=computer) as node:
        assert node.end() == 0
        text = "\n".join(node.lines)
        assert "1  USB Microphone: Left  (2 channels, 44100 Hz)" in text
        assert "Loudspeaker" not in text and "frame_id" in text


# --- A brain that hears -----------------------------------------------------------------------

BRAIN = """
/**:
  ros__parameters:
    pacing: {pacing}
    save_file: ""
    architecture:
      gamma: 20
      inputs:
        ear:
          kind: Audio
          topic: sounds/heard
          encoder: spectrum
          message: "{message}"
          sound: {{seconds: 0.2}}
          options: {{rate: 16000, bands: 8, floor: 0.01}}
      populations:
        bands: {{neuron: FS, size: 8, output: true}}
      projections:
        ear_bands: {{source: ear, target: bands, pattern: one_to_one, weight: 60.0}}
"""


class Brain:
    """A brain node that hears, and what it says."""

    def __init__(
        self,
        peer: Peer,
        folder: Path,
        pacing: str,
        message: str = "",
        env: dict[str, str] | None = None,
    ) -> None:
        self.peer, self.space = peer, f"/hearing_{next(_names)}"
        self.spikes: list[SpikeRaster] = []
        self.counts: dict[str, int] = {}
        self.mouth = peer.node.create_publisher(
            AudioChunk, f"{self.space}/sounds/heard", qos.LOCKSTEP
        )
        listen = peer.node.create_subscription
        self._subscriptions = [
            listen(SpikeRaster, f"{self.space}/spikes", self.spikes.append, qos.REWARD),
            listen(BrainStatus, f"{self.space}/brain/status", self._status, qos.STATUS),
        ]
        yaml = folder / "brain.yaml"
        yaml.write_text(BRAIN.format(pacing=pacing, message=message))
        arguments = ["--ros-args", "-r", f"__ns:={self.space}", "--params-file", str(yaml)]
        # On a busy machine the brain is late, or chunks are lost on their way.
        ear = f"qos_overrides.{self.space}/sounds/heard.subscription"
        arguments += ["-p", f"{ear}.reliability:=reliable", "-p", f"{ear}.depth:=10000"]
        self.process = NodeProcess(Path("-m"), "ab_ros.nodes.brain", *arguments, env=env)

    def _status(self, message: BrainStatus) -> None:
        self.counts = dict(zip(message.counter, message.count, strict=True))

    def say(self, samples: np.ndarray, rate: int, stamp: float) -> None:
        sound = Observation("a", "Audio", 0.0, "int16", samples, {"rate": rate})
        self.mouth.publish(audio_chunk(sound, stamp))

    def __enter__(self) -> Brain:
        self.process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()
        for subscription in self._subscriptions:
            self.peer.node.destroy_subscription(subscription)
        self.peer.node.destroy_publisher(self.mouth)


def test_a_brain_hears_stereo_of_44_kilohertz_at_its_encoder_s_rate(
    peer: Peer, tmp_path: Path
) -> None:
    rate = 44100
    sound = np.rint(10000 * tone(1000.0, 1.5 * PATIENCE, rate)).astype(np.int16)
    band = Spectrum(SpectrumSettings(bands=8)).band_of(1000.0)
    assert band is not None
    with Brain(peer, tmp_path, "realtime") as brain:
        peer.until(brain.mouth.get_subscription_count, "the brain")
        begun = peer.node.get_clock().now().nanoseconds * 1e-9
        said = 0

        def hears() -> bool:
            nonlocal said
            due = int((peer.node.get_clock().now().nanoseconds * 1e-9 - begun) * rate)
            # However late this is, in chunks that a microphone could give: large ones may be lost.
            while due > said + 441:
                end = min(due, said + 4410)
                stereo = np.repeat(sound[said:end, None], 2, axis=1)
                brain.say(stereo, rate, begun + said / rate)
                said = end
            recent = [read_spike_raster(m).rasters["bands"].sum(axis=0) for m in brain.spikes[-5:]]
            counts = np.sum(recent, axis=0) if recent else np.zeros(8)
            return bool(counts[band - 1] >= 10 and counts.sum() < 2 * counts[band - 1])

        peer.until(hears, "spikes of the tone's band")
        assert not [name for name in brain.counts if name.startswith("ear sound")]
        # The source is started anew by a clock that is behind.
        brain.say(sound[:441], rate, begun - 3600.0)
        peer.until(lambda: brain.counts.get("ear sound went back") == 1, "the counter")
        brain.say(sound[:441], rate, begun)
        peer.until(lambda: brain.counts.get("ear sound gap") == 1, "the counter")


def test_in_lockstep_each_chunk_is_a_cycle_and_silence_one_too(peer: Peer, tmp_path: Path) -> None:
    with Brain(peer, tmp_path, "lockstep") as brain:
        peer.until(brain.mouth.get_subscription_count, "the brain")

        def began() -> bool:
            # What comes before the node is active is not heard; what comes again is not new.
            brain.say(np.zeros(0, np.int16), 16000, 10.0)
            return bool(brain.spikes)

        peer.until(began, "a cycle on an empty chunk")
        assert len(brain.spikes) == 1
        for cycle in range(1, 4):
            brain.say(np.zeros(320, np.int16), 16000, 10.0 + 0.02 * (cycle - 1))
            peer.until(lambda cycle=cycle: len(brain.spikes) == cycle + 1, "a cycle")
            assert seconds(brain.spikes[-1].observed) == pytest.approx(10.0 + 0.02 * cycle)


def test_a_message_of_a_package_that_is_not_installed_is_refused(
    peer: Peer, tmp_path: Path
) -> None:
    (tmp_path / "audio_common_msgs.py").write_text("raise ImportError('there is none')")
    path = os.pathsep.join([str(tmp_path), *(part for part in sys.path if part)])
    for message, owner in (("AudioDataStamped", "ros-drivers"), ("AudioStamped", "mgonzs13")):
        with Brain(peer, tmp_path, "realtime", message, {"PYTHONPATH": path}) as brain:
            assert brain.process.end() == 2
            said = " ".join([*brain.process.lines, *brain.process.errors])
            assert "inputs.ear.message: " in said
            assert f"audio_common_msgs of {owner}, which is not installed" in said
            assert "Traceback" not in said
    with Brain(peer, tmp_path, "realtime", "Image") as brain:
        assert brain.process.end() == 2
        said = " ".join([*brain.process.lines, *brain.process.errors])
        assert "'Image' does not carry samples of the kind 'Audio'; one of: AudioChunk" in said
