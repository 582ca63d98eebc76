"""The brain node with a layered brain, in a process of its own."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_process import Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from brain_rig import World

from ab_ros.layered import LayeredBrain
from ab_ros.nodes.messages import read_brain_contract, read_spike_raster
from ab_ros.values import Deviation, Observation, Reward

pytestmark = pytest.mark.ros

DEFINITION: dict[str, Any] = {
    "gamma": 2,
    "feedback_timesteps": 1,
    "sensors": {
        "camera": {"kind": "Image", "encoder": "saliency", "options": {"width": 8, "height": 6}},
        "joints": {
            "kind": "Proprioception",
            "topic": "joint_states",
            "encoder": "simple_bits",
            "options": {"joints": ["yaw"], "lower": -1, "upper": 1, "length": 20, "sparsity": 0.2},
        },
    },
    "feedback": {"fb": {"size": 4, "output": "pan"}},
    "computation": {"type": "sparse", "count": 3, "noise": 1.0},
    "learning": {"type": "hebbian"},
    "layers": [
        {"name": "map", "shape": [5, 5]},
        {"name": "pan", "shape": 8, "layer": "pan", "inputs": {"lesson": "fb"}},
    ],
    "feed_forward": ["MAIN"],
}
YAML = """
/**:
  ros__parameters:
    {{pacing: lockstep, wait_for_reward: true, answer_timeout: 60.0, dt: 0.01, file: {file},
     save_file: {saved}, autosave: 0.0}}
"""


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("layered_test")
    yield peer
    peer.close()


@pytest.fixture
def world(peer: Peer) -> Iterator[World]:
    world = World(peer)
    yield world
    world.close()


def parameters(folder: Path, file: Path, text: str = YAML) -> Path:
    path = folder / "brain.yaml"
    path.write_text(text.format(file=file, saved=folder / "saved.db"))
    return path


def live(world: World, cycles: int) -> list[np.ndarray]:
    """Run cycles of the node, with lessons after all but the last; return the rasters of pan."""
    world.until(lambda: world.contracts, "the contract")
    contract = read_brain_contract(world.contracts[-1])
    world.until_heard()
    for k in range(cycles):
        world.look(1.0 + 0.02 * k, yaw=k / cycles)
        world.until_cycles(k + 1)
        if k == cycles - 1:
            break  # Whether a lesson still comes in before the node ends is not certain.
        world.deviation(k, [1.0 if k % 2 else 0.0])
        world.reward(k, k / cycles, deviations=1)
        world.done(k)
    return [read_spike_raster(m, contract).rasters["pan"] for m in world.spikes]


def here(brain: LayeredBrain, cycles: int) -> list[np.ndarray]:
    """Run the same cycles in this process."""
    pixels = np.full((24, 32, 3), 90, np.uint8)
    pixels[8:16, 4:12] = (220, 20, 20)
    brain.open()
    rasters = []
    for k in range(cycles):
        stamp = 1.0 + 0.02 * k
        state = np.array([[k / cycles], [np.nan], [np.nan]])
        seen = [
            Observation("camera", "Image", stamp, "rgb8", pixels),
            Observation(
                "joints", "Proprioception", stamp, "joint_state", state, {"names": ("yaw",)}
            ),
        ]
        cycle = brain.run_cycle(lambda need, seen=seen: seen, 0.0)
        rasters.append(cycle.rasters["pan"])
        if k == cycles - 1:
            break
        brain.feedback(Deviation("fb", np.full(1, 1.0 if k % 2 else 0.0, np.float32)), k)
        brain.reward(Reward(k / cycles), k)
    return rasters


def test_a_definition_runs_learns_and_is_saved_as_in_any_other_process(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "brain.json"
    file.write_text(json.dumps(DEFINITION))
    same = LayeredBrain.load(file, dt=0.01, seed=1)
    with world.brain(parameters(tmp_path, file)) as node:
        rasters = live(world, 12)
        contract = read_brain_contract(world.contracts[-1])
        assert contract == same.contract and contract.stdp3_layers == ("pan",)
        world.until(lambda: world.status.cycle >= 12, "the status")
        node.signal(signal.SIGTERM)
        assert node.end() == 0
    assert all(
        np.array_equal(there, own) for there, own in zip(rasters, here(same, 12), strict=True)
    )
    saved = LayeredBrain.load(tmp_path / "saved.db")
    born = LayeredBrain.load(file, dt=0.01, seed=1)
    for group in ("map", "pan"):
        assert np.array_equal(saved.weights(group), same.weights(group))
        assert not np.array_equal(saved.weights(group), born.weights(group))

    # A node that is started with the saved brain goes on with it.
    other = World(world.peer)
    with other.brain(parameters(tmp_path, tmp_path / "saved.db")) as node:
        rasters = live(other, 4)
        node.signal(signal.SIGTERM)
        assert node.end() == 0
    other.close()
    assert all(
        np.array_equal(there, own) for there, own in zip(rasters, here(saved, 4), strict=True)
    )


@pytest.mark.parametrize(
    ("change", "text", "says"),
    [
        (
            {"layers": [{"shape": 0}]},
            YAML,
            r"brain\.json: layers\[0\]\.shape: must be at least 1 \(got 0\)",
        ),
        ({"dt": 0.02}, YAML, r"dt: 0\.01 s is not that of the brain in .*, 0\.02 s"),
        (
            {},
            YAML.replace("autosave: 0.0", "autosave: 0.0, inputs: {{eye: {{topic: x}}}}"),
            r"inputs\.eye: the brain in .* has no such input; one of: camera, joints",
        ),
    ],
)
def test_a_definition_that_does_not_fit_is_refused_with_its_place(
    change: dict[str, Any], text: str, says: str, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "brain.json"
    file.write_text(json.dumps({**DEFINITION, **change}))
    with world.brain(parameters(tmp_path, file, text)) as node:
        assert node.end() in (1, 2)
        assert any(re.search(says, line) for line in node.errors + node.lines)
