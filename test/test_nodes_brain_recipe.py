"""The brain node with a brain file that was built from a recipe, in a process of its own."""

from __future__ import annotations

import array
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import BrainContract, BrainStatus, CycleDone, Reward, SpikeRaster
from sensor_msgs.msg import CompressedImage, Image, JointState

from ab_ros.brains.anatomy import build_from_recipe
from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import parse
from ab_ros.engine.brain import Brain
from ab_ros.nodes import qos
from ab_ros.nodes.messages import read_brain_contract, read_spike_raster
from ab_ros.nodes.robot_messages import image, joint_state

pytestmark = pytest.mark.ros

YAML = """
/**:
  ros__parameters:
    pacing: lockstep
    file: {file}
    save_file: {saved}
    autosave: 0.0
    inputs:
      camera: {{topic: camera/image_raw}}
      joints: {{topic: joint_states, max_age: 1.0}}
"""
_names = itertools.count()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("recipe_test")
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "track.db"
    build_from_recipe("track_v1").save(path)
    return path


def parameters(folder: Path, file: Path, text: str = YAML) -> Path:
    path = folder / "brain.yaml"
    path.write_text(text.format(file=file, saved=folder / "saved.db"))
    return path


def started(yaml: Path, space: str) -> NodeProcess:
    arguments = ["--ros-args", "-r", f"__ns:={space}", "--params-file", str(yaml)]
    return NodeProcess(Path("-m"), "ab_ros.nodes.brain", *arguments)


@pytest.mark.parametrize("message", [Image, CompressedImage])
def test_it_runs_learns_and_saves_a_brain_file_without_an_architecture(
    message: Any, peer: Peer, file: Path, tmp_path: Path
) -> None:
    space = f"/recipe_{next(_names)}"
    make = peer.node.create_publisher
    camera = make(message, f"{space}/camera/image_raw", qos.COMMAND)
    joints = make(JointState, f"{space}/joint_states", qos.COMMAND)
    done = make(CycleDone, f"{space}/cycle_done", qos.REWARD)
    reward = make(Reward, f"{space}/reward", qos.REWARD)
    publishers = [camera, joints, done, reward]
    spikes: list[SpikeRaster] = []
    contracts: list[BrainContract] = []
    statuses: list[BrainStatus] = []
    listen = peer.node.create_subscription
    subscriptions = [
        listen(SpikeRaster, f"{space}/spikes", spikes.append, qos.LOCKSTEP),
        listen(BrainContract, f"{space}/contract", contracts.append, qos.LATCHED),
        listen(BrainStatus, f"{space}/brain/status", statuses.append, qos.STATUS),
    ]
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[20:28, 8:16] = (220, 20, 20)
    png = cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()
    text = YAML.replace("image_raw}}", f"image_raw, message: {message.__name__}}}}}")
    with started(parameters(tmp_path, file, text), space) as node:
        peer.until(lambda: contracts, "the contract")
        contract = read_brain_contract(contracts[0])
        assert [port.id for port in contract.inputs] == ["camera", "joints"]
        assert [(port.id, port.n) for port in contract.outputs] == [
            ("grip", 48),
            ("pan", 48),
            ("tilt", 48),
        ]
        assert contract.stdp3_layers == ("pan", "tilt", "grip")
        peer.until(lambda: all(p.get_subscription_count() for p in publishers), "subscriptions")
        # Whom it tells its status, it knows to listen to its spikes as well.
        peer.until(lambda: statuses, "the status")
        for cycle in range(6):
            stamp = 1.0 + 0.04 * cycle
            raw = image(pixels, stamp)
            packed = CompressedImage(header=raw.header, format="png", data=array.array("B", png))
            camera.publish(raw if message is Image else packed)
            joints.publish(joint_state(["base_yaw", "wrist_pitch"], [0.1, 0.0], stamp))
            peer.until(lambda n=cycle: len(spikes) > n, f"cycle {cycle}")
            run = contracts[0].run
            reward.publish(Reward(run=run, cycle=cycle, global_reward=1.0))
            done.publish(CycleDone(run=run, cycle=cycle, executed=True, duration=0.04))
        rasters = [read_spike_raster(message, contract).rasters["pan"] for message in spikes]
        assert {raster.shape for raster in rasters} == {(40, 48)}
        assert sum(int(raster.sum()) for raster in rasters) > 0
        peer.until(lambda: any(status.mean_rate > 0 for status in statuses), "a rate")
        node.signal(signal.SIGTERM)
        assert node.end() == 0
    for publisher in publishers:
        peer.node.destroy_publisher(publisher)
    for subscription in subscriptions:
        peer.node.destroy_subscription(subscription)
    before, after = Brain.load(file), Brain.load(tmp_path / "saved.db")
    assert after.ticks == 240
    changed = before.network.weights("retina_pan") != after.network.weights("retina_pan")
    assert changed.any()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (YAML.replace("camera:", "eye:"), "the brain in .* has no such input; one of: camera"),
        (YAML.replace("    file: {file}\n", ""), "architecture: is missing: give it, or in 'file'"),
        (YAML.replace("{file}", "{file}.none"), "there is no such brain file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    text: str, says: str, file: Path, tmp_path: Path
) -> None:
    import re

    with started(parameters(tmp_path, file, text), f"/recipe_{next(_names)}") as node:
        assert node.end() in (1, 2)
        assert any(re.search(says, line) for line in node.errors + node.lines)


def test_a_saved_brain_of_settings_brings_its_architecture_along(
    peer: Peer, tmp_path: Path
) -> None:
    architecture = {
        "gamma": 20,
        "inputs": {
            "ear": {
                "kind": "Audio",
                "topic": "microphone",
                "encoder": "spectrum",
                "options": {"bands": 8},
            }
        },
        "populations": {"voice": {"size": 4, "output": True}},
        "projections": {"hear": {"source": "ear", "target": "voice", "weight": 5.0}},
    }
    saved = tmp_path / "voice.db"
    EmbeddedBrain(parse(ArchitectureSettings, architecture)).save(saved)
    text = "/**:\n  ros__parameters: {{pacing: lockstep, file: {file}, save_file: ''}}\n"
    space = f"/recipe_{next(_names)}"
    contracts: list[BrainContract] = []
    listen = peer.node.create_subscription(
        BrainContract, f"{space}/contract", contracts.append, qos.LATCHED
    )
    with started(parameters(tmp_path, saved, text), space) as node:
        peer.until(lambda: contracts, "the contract")
        assert [port.id for port in read_brain_contract(contracts[0]).outputs] == ["voice"]
        topic = f"{space}/microphone"
        peer.until(lambda: peer.node.count_subscribers(topic), "a subscription of its topic")
        node.signal(signal.SIGTERM)
        assert node.end() == 0
    peer.node.destroy_subscription(listen)


def test_a_chunk_of_sound_becomes_a_sample() -> None:
    from ab_ros.msg import AudioChunk

    from ab_ros.codec.audio import waveform
    from ab_ros.errors import ObservationError
    from ab_ros.nodes.sound_messages import read_audio

    stereo = AudioChunk(sample_rate=8000, channels=2, data=[100, 300, -100, -300])
    stereo.header.stamp.sec = 3
    sample = read_audio(stereo, "ear")
    assert (sample.kind, sample.stamp, sample.meta["rate"]) == ("Audio", 3.0, 8000)
    np.testing.assert_allclose(waveform(sample) * 32768, [200, -200])
    for bad in (
        AudioChunk(sample_rate=8000, channels=2, data=[1, 2, 3]),
        AudioChunk(sample_rate=0, channels=1, data=[1]),
        AudioChunk(sample_rate=8000, channels=0, data=[]),
    ):
        with pytest.raises(ObservationError, match="sound for 'ear'"):
            read_audio(bad, "ear")
