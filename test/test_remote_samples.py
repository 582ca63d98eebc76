"""Settings of a remote brain, and how samples become what is sent to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ab_ros.brains.remote.samples import SampleEncoder, robot_state
from ab_ros.brains.remote.settings import JointInputSettings, RemoteSettings
from ab_ros.config import parse
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation

# Encoding


def joints(position: list[float], velocity: list[float], names: tuple[str, ...]) -> Observation:
    table = np.array([position, velocity, [math.nan] * len(names)])
    return Observation("left", "Proprioception", 2.5, "joint_state", table, {"names": names})


def remote(**more: Any) -> RemoteSettings:
    return RemoteSettings(url="http://127.0.0.1:1", project="p", **more)


def test_joints_go_with_the_position_before() -> None:
    encoder = SampleEncoder(remote(inputs={"left": JointInputSettings(("a",), -1.0, 1.0)}))
    first = encoder.encode("left", joints([0.5, 9.0], [0.25, 0.0], ("a", "b")))
    second = encoder.encode("left", joints([0.75, 9.0], [0.25, 0.0], ("a", "b")))
    assert np.frombuffer(first.data, "<f4").tolist() == [0.5, 0.5, 0.25]
    assert np.frombuffer(second.data, "<f4").tolist() == [0.75, 0.5, 0.25]
    assert second.meta == {
        "rawTick": 0.75,
        "prevRawTick": 0.5,
        "velTickPerS": 0.25,
        "lo": -1.0,
        "hi": 1.0,
        "names": ["a"],
    }


def test_samples_are_encoded_by_their_format() -> None:
    encoder = SampleEncoder(remote())
    image = Observation("c", "Image", 0.0, "rgb8", np.zeros((2, 3, 3), np.uint8))
    assert encoder.encode("c", image).format == "jpeg"
    sound = Observation("m", "Audio", 0.0, "int16", np.zeros(4, np.int16), {"rate": 16000})
    assert encoder.encode("m", sound).format == "pcm16"
    number = Observation("n", "Scalar", 0.0, "numbers", np.array([1.5]))
    assert encoder.encode("n", number).format == "values_f32"


def test_a_sample_that_is_too_large_is_refused() -> None:
    encoder = SampleEncoder(remote(largest_payload=1024))
    sound = Observation("m", "Audio", 0.0, "int16", np.zeros(4096, np.int16), {"rate": 16000})
    with pytest.raises(ObservationError, match=r"8192 bytes is larger .* 1024"):
        encoder.encode("m", sound)


def test_the_robots_state_has_joints_and_gripper_apart() -> None:
    sample = joints([0.1, 0.2, 0.5], [1.0, math.nan, 0.0], ("a", "b", "grip"))
    state = robot_state("r", sample, remote(gripper="grip", state_rate=50.0), extended=False)
    assert state.to_wire() == {
        "runId": "r",
        "state": {"q": [0.1, 0.2], "dq": [1.0, 0.0], "grip": {"pos": 0.5}, "dt": 0.02},
    }
    chosen = robot_state("r", sample, remote(state_joints=("b", "a")), extended=True)
    assert (chosen.q, chosen.names, chosen.t) == ((0.2, 0.1), ("b", "a"), 2.5)


def test_a_state_that_lacks_a_joint_or_is_not_finite_is_refused() -> None:
    sample = joints([0.1, math.nan], [0.0, 0.0], ("a", "b"))
    with pytest.raises(ObservationError, match=r"lack c; they have one of: a, b"):
        robot_state("r", sample, remote(state_joints=("a", "c")), extended=False)
    with pytest.raises(ObservationError, match="finite"):
        robot_state("r", sample, remote(), extended=False)
    with pytest.raises(ObservationError, match="names"):
        robot_state("r", Observation("c", "Image", 0.0, "rgb8", b""), remote(), extended=False)


# Settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://robot.example"}, "in the clear"),
        ({"url": "https://user:pw@host"}, "must not hold a user"),
        ({"url": "ftp://host"}, "must be like"),
        ({"project": ""}, "project"),
        ({"proxy": "socks5://host:1"}, "proxy"),
        ({"proxy": "http://me:secret@host:1"}, "must not hold a user or password"),
        ({"pacing": "fast"}, "gated, free"),
        ({"robot_cmd": "deltas"}, "direct_channels"),
        ({"backoff_first": 3.0}, "backoff_most"),
        ({"jpeg_quality": 0}, "jpeg_quality"),
        ({"link_timeout": 0.0}, "link_timeout"),
        ({"inputs": {"a": {"lower": 1.0}}}, "upper"),
        ({"inputs": {"a": {"lower": 1.0, "upper": 0.0}}}, "below"),
        ({"allowed_origins": ["nonsense"]}, "nonsense"),
        ({"key": "K-123"}, "unknown key"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], said: str) -> None:
    data = {"url": "http://127.0.0.1:1", "project": "p", **change}
    with pytest.raises(ConfigError, match=said) as error:
        parse(RemoteSettings, data)
    assert "secret" not in str(error.value)
