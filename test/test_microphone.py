"""The simulated microphone: a tone when the ball appears, quiet noise otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.codec.audio import Spectrum, SpectrumSettings
from ab_ros.config import parse
from ab_ros.environments.microphone import Microphone, MicrophoneSettings
from ab_ros.environments.robots import ROBOTS
from ab_ros.environments.target_motion import MotionSettings, TargetMotion
from ab_ros.environments.tracking import TrackingTask
from ab_ros.errors import ConfigError
from ab_ros.values import Need

NS = 1_000_000_000
SMALL = {"image_width": 32, "image_height": 24, "renderer": "rays", "ray_step": 8}


def recorded(mode: str, ends: list[float], seed: int = 3, **options: float) -> np.ndarray:
    """Return what is heard of a path from its start on, in chunks with these ends, s."""
    microphone = Microphone(MicrophoneSettings(**options), seed)
    motion = TargetMotion(MotionSettings(), mode, seed)
    chunks = [microphone.record(round(end * NS), motion, 0) for end in ends]
    new = {chunk.stamp: chunk for chunk in chunks if len(chunk.data)}
    return np.concatenate([np.asarray(chunk.data) for chunk in new.values()]) / 32767.0


def loud(sound: np.ndarray) -> list[tuple[float, float]]:
    """Return from when to when, s, something is heard above the noise."""
    level = np.sqrt(np.convolve(sound**2, np.ones(160) / 160, "same"))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], level > 0.05, [0]))))
    return [(a / 16000, b / 16000) for a, b in edges.reshape(-1, 2)]


@pytest.mark.parametrize(
    ("mode", "starts"),
    [("jumps", [0.0, 0.8, 1.6]), ("sines", [0.0, 1.0, 2.0]), ("still", [0.0]), ("hidden", [])],
)
def test_a_tone_sounds_when_the_ball_appears(mode: str, starts: list[float]) -> None:
    sound = recorded(mode, list(np.arange(1, 61) * 0.04))
    heard = loud(sound)
    assert [begin for begin, _ in heard] == pytest.approx(starts, abs=0.006)
    assert all(end - begin == pytest.approx(0.2, abs=0.012) for begin, end in heard)
    spectrum = Spectrum(SpectrumSettings())
    for begin in starts:
        tone = sound[round((begin + 0.05) * 16000) : round((begin + 0.15) * 16000)]
        frames = spectrum.frames(tone)
        assert (frames.argmax(axis=1) + 1 == spectrum.band_of(1000.0)).all()
        assert frames.max() == pytest.approx(0.3, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1e-4, 0.3), min_size=1, max_size=20))
def test_it_does_not_matter_how_it_is_cut(lengths: list[float]) -> None:
    ends = np.cumsum(lengths)
    parts = recorded("jumps", [float(end) for end in ends])
    whole = recorded("jumps", [*np.arange(0.5, ends[-1], 0.5).tolist(), float(ends[-1])])
    np.testing.assert_array_equal(parts, whole)


def test_chunks_follow_each_other_without_a_gap_and_come_again_while_no_time_passes() -> None:
    microphone = Microphone()
    motion = TargetMotion(MotionSettings(), "sines", 1)
    before = microphone.record(0, motion, 0)
    assert (before.stamp, len(before.data)) == (0.0, 0)
    end = 0.0
    for cycle in range(1, 30):
        chunk = microphone.record(cycle * 37_000_000, motion, 0)
        assert chunk is microphone.record(cycle * 37_000_000, motion, 0)
        assert (chunk.format, chunk.meta["rate"]) == ("int16", 16000)
        assert chunk.stamp == pytest.approx(end, abs=1e-9)
        assert len(chunk.data) == 592
        end = chunk.stamp + len(chunk.data) / 16000
    # Nobody listened for a minute: only the newest second of it is made.
    late = microphone.record(61 * NS, motion, 0)
    assert (late.stamp, len(late.data)) == (60.0, 16000)


def test_noise_is_quiet_and_seeded_and_the_tone_can_be_left_out() -> None:
    noise = recorded("sines", [1.0], tone=0.0)
    assert np.std(noise) == pytest.approx(0.001, rel=0.05)
    np.testing.assert_array_equal(noise, recorded("sines", [1.0], tone=0.0))
    assert (noise != recorded("sines", [1.0], seed=4, tone=0.0)).any()
    assert not recorded("sines", [1.0], tone=0.0, noise=0.0).any()
    microphone = Microphone(seed=3)
    microphone.muted = True
    motion = TargetMotion(MotionSettings(), "sines", 3)
    np.testing.assert_array_equal(
        np.asarray(microphone.record(NS, motion, 0).data) / 32767.0, noise
    )


def test_a_tone_that_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ConfigError, match="frequency: must be below half the sample rate"):
        MicrophoneSettings(rate=8000, frequency=4000.0)


def test_the_loop_hears_the_arm_s_world_as_it_is_cycle_by_cycle(root: Path) -> None:
    changes = {"sim": {"world": SMALL}}
    task = TrackingTask(root / "config" / "demo.yaml", 1, changes)
    need = Need(0, ("sound",))
    task.world.set_motion("jumps", 1)
    (heard,) = task.robot.sense(need)
    assert (heard.id, heard.kind, heard.stamp) == ("sound", "Audio", task.world.time)
    for cycle in range(1, 30):
        task.world.advance(0.04)
        (heard,) = task.robot.sense(need)
        assert heard.stamp == pytest.approx(0.04 * cycle)
        newest = np.asarray(heard.data)[-640:]
        assert (np.abs(newest).max() > 0.25) == (cycle % 20 in range(1, 6)), cycle
    task.close()


@pytest.mark.parametrize("name", ROBOTS)
def test_every_robot_hears_the_ball_jump(name: str) -> None:
    kind = ROBOTS[name]
    robot = kind.make(parse(kind.settings, SMALL), 1, {"ear": "Audio"})
    with robot.world as world:
        world.set_motion("jumps", 1)
        period = world.motion.script.period
        world.advance(2.5 * period)
        chunk = world.listen()
        sound = np.asarray(chunk.data) / 32767.0
        begin = chunk.stamp - (world.time - 2.5 * period)
        heard = [start + begin for start, _ in loud(sound)]
        jumps = [jump * period for jump in range(3) if jump * period > begin]
        assert heard == pytest.approx(jumps, abs=0.006) and jumps
        (sample,) = robot.sense(Need(0, ("ear",)))
        assert (sample.kind, sample.stamp) == ("Audio", pytest.approx(world.time, abs=1e-4))
