"""The embedded brain behind the Brain port: deterministic, saved whole, refusing what is unfit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import parse
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.errors import BrainError, BrainFileError, ConfigError, ContractError
from ab_ros.values import Cycle, Deviation, Need, Observation, Reward


def architecture(**changes: Any) -> ArchitectureSettings:
    data: dict[str, Any] = {
        "gamma": 20,
        "feedback_timesteps": 20,
        "baseline_cycles": 10.0,
        "inputs": {
            "camera": {
                "kind": "Image",
                "topic": "camera/image_raw",
                "encoder": "saliency",
                "options": {"width": 8, "height": 6, "total_rate": 2500.0},
            }
        },
        "populations": {
            "pan": {"neuron": "FS", "size": 8, "noise": 3.0, "parts": 2, "output": True},
        },
        "projections": {
            "camera_pan": {
                "source": "camera",
                "target": "pan",
                "synapse": "reward_plastic",
                "layer": "pan",
                "weight": 2.0,
                "spread": 0.5,
                "options": {"lr": 0.1, "w_min": 0.0, "w_max": 5.0},
            },
            "rivals": {
                "source": "pan",
                "target": "pan",
                "pattern": "opponent_halves",
                "weight": -3.0,
            },
            "lesson": {
                "source": "fb",
                "target": "pan",
                "target_part": "first_half",
                "weight": 5.0,
            },
        },
        "feedback": {"fb": {"size": 4, "output": "pan"}},
    }
    data.update(changes)
    return parse(ArchitectureSettings, data)


def seeing(x: int = 40) -> Callable[[Need], Iterable[Observation]]:
    """Return an observe function that shows a red square at column x."""
    image = np.full((60, 80, 3), 90, np.uint8)
    image[25:35, x : x + 10] = (220, 20, 20)
    return lambda need: [Observation("camera", "Image", 0.02 * need.cycle, "rgb8", image)]


def run(brain: EmbeddedBrain, cycles: int, reward: bool = True) -> list[np.ndarray]:
    """Run cycles with a reward that follows a fixed script; return the rasters."""
    rasters = []
    for _ in range(cycles):
        cycle = brain.run_cycle(seeing(), 0.0)
        rasters.append(cycle.rasters["pan"])
        brain.done(cycle.number)
        brain.feedback(
            Deviation("fb", np.full(20, (cycle.number % 3 - 1) / 2, np.float32)), cycle.number
        )
        if reward:
            brain.reward(Reward((cycle.number * 7 % 10) / 10), cycle.number)
    return rasters


def opened(seed: int = 1, **changes: Any) -> EmbeddedBrain:
    brain = EmbeddedBrain(architecture(**changes), seed=seed)
    brain.open()
    return brain


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_contract_says_what_the_brain_takes_and_gives() -> None:
    contract = opened().contract
    assert contract.gamma == 20 and contract.feedback_timesteps == 20
    assert [port.id for port in contract.inputs] == ["camera"]
    assert contract.output("pan").n == 8
    assert contract.stdp3_layers == ("pan",)
    assert contract.feedback_port("fb").item["fromOutput"] == "pan"


def test_a_seed_repeats_a_learning_run_to_the_bit_and_another_does_not() -> None:
    assert same(run(opened(1), 30), run(opened(1), 30))
    assert not same(run(opened(1), 30), run(opened(2), 30))


def test_a_saved_brain_goes_on_as_if_it_had_not_been_interrupted(tmp_path: Path) -> None:
    brain = opened()
    run(brain, 20)
    brain.save(tmp_path / "brain.db")
    loaded = EmbeddedBrain.load(tmp_path / "brain.db")
    loaded.open()
    # The cycle number belongs to the run, not to the brain: rewards are scripted by it.
    loaded._number = brain._number
    assert same(run(brain, 20), run(loaded, 20))
    assert np.array_equal(brain.network.weights("camera_pan"), loaded.network.weights("camera_pan"))


def test_rewards_change_weights_only_while_learning_is_on() -> None:
    brain = opened()
    brain.set_learning(False)
    before = brain.network.weights("camera_pan").copy()
    run(brain, 10)
    assert np.array_equal(brain.network.weights("camera_pan"), before)
    brain.set_learning(True)
    run(brain, 10)
    assert not np.array_equal(brain.network.weights("camera_pan"), before)


def test_reset_forgets_the_moment_but_not_what_was_learned() -> None:
    brain = opened()
    run(brain, 20)
    learned = brain.network.weights("camera_pan").copy()
    brain.reset(seed=5)
    assert np.array_equal(brain.network.weights("camera_pan"), learned)
    brain.set_learning(False)
    first = run(brain, 6)  # a whole number of turns of the scripted feedback
    brain.reset(seed=5)
    assert same(first, run(brain, 6))


def test_a_late_reward_still_credits_its_cycle_but_not_for_ever() -> None:
    brain = opened()
    cycles = [brain.run_cycle(seeing(), 0.0) for _ in range(4)]
    before = brain.network.weights("camera_pan").copy()
    assert brain.reward(Reward(1.0), cycles[0].number)
    assert not np.array_equal(brain.network.weights("camera_pan"), before)
    for _ in range(50):
        brain.run_cycle(seeing(), 0.0)
    assert not brain.reward(Reward(1.0), cycles[0].number)


def test_feedback_drives_its_neurons_in_the_next_cycle_only() -> None:
    def spikes(deviation: float) -> list[int]:
        brain = opened()
        brain.set_learning(False)
        counts = []
        for _ in range(6):
            brain.feedback(Deviation("fb", np.full(20, deviation, np.float32)), 0)
            counts.append(int(brain.run_cycle(seeing(), 0.0).rasters["pan"][:, :4].sum()))
        silent = brain.run_cycle(seeing(), 0.0)
        assert isinstance(silent, Cycle)
        return counts

    assert sum(spikes(1.0)) > 2 * sum(spikes(0.0))


def test_an_unfit_sample_is_refused_counted_and_the_brain_goes_on() -> None:
    brain = opened()
    bad = Observation("camera", "Image", 0.0, "rgb8", np.zeros((60, 80), np.uint8))
    cycle = brain.run_cycle(lambda need: [bad], 0.0)
    assert cycle.rasters["pan"].shape == (20, 8)
    assert brain.refused == {"camera": 1} and "must have the form" in brain.last_refusal


def test_a_brain_that_is_not_open_says_so() -> None:
    with pytest.raises(BrainError, match=r"call open\(\) first"):
        EmbeddedBrain(architecture()).run_cycle(seeing(), 0.0)


def test_a_deviation_for_an_unknown_feedback_names_the_known_ones() -> None:
    with pytest.raises(ContractError, match="no feedback 'fx'; one of: fb"):
        opened().feedback(Deviation("fx", np.zeros(20, np.float32)), 0)


def test_the_drive_is_raised_when_a_population_is_too_quiet() -> None:
    quiet = {"pan": {"neuron": "FS", "size": 8, "noise": 0.5, "output": True, "min_rate": 2.0}}
    brain = opened(populations=quiet, projections={})
    run(brain, 60)
    assert brain.drive.bias["pan"] > 0
    assert "'pan' fires at" in brain.drive.complaints()[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"populations": {"pan": {"size": 8}}}, "at least one needs output: true"),
        (
            {"projections": {"p": {"source": "cam", "target": "pan", "weight": 1.0}}},
            "projections.p.source: 'cam' is not known; one of: camera, pan, fb",
        ),
        (
            {"projections": {"p": {"source": "pan", "target": "camera", "weight": 1.0}}},
            "'camera' is not a population",
        ),
        ({"feedback": {"fb": {"size": 4, "output": "tilt"}}}, "'tilt' is not an output"),
        ({"feedback": {"pan": {"size": 4, "output": "pan"}}}, "share the name 'pan'"),
        (
            {
                "projections": {
                    "p": {
                        "source": "camera",
                        "target": "pan",
                        "weight": 1.0,
                        "synapse": "reward_plastic",
                    }
                }
            },
            "layer: is required",
        ),
    ],
)
def test_a_wrong_architecture_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        architecture(**changes)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("projection", "says"),
    [
        ({"pattern": "one_to_one"}, "sizes differ (48 and 8)"),
        ({"synapse": "plastic", "options": {"rate": 1.0}}, "options.rate: is not a setting"),
        ({"synapse": "plastic", "weight": 99.0}, "projections.p"),
        ({"synapse": "gap_junction", "weight": 1.0}, "projections.p"),
        ({"synapse": "plastic", "options": {"tau_plus": -1.0}}, "tau_plus"),
    ],
)
def test_a_projection_that_cannot_be_wired_is_named(projection: dict[str, Any], says: str) -> None:
    wiring = {"p": {"source": "camera", "target": "pan", "weight": 1.0, **projection}}
    with pytest.raises(ConfigError) as error:
        EmbeddedBrain(architecture(projections=wiring))
    assert says in str(error.value) and "projections.p" in str(error.value)


@pytest.mark.parametrize(
    ("synapse", "options"),
    [
        ("facilitating", {"increment": 0.1}),
        ("depressing", {}),
        ("gated", {"modulator": "pan", "gate": "both"}),
        ("developmental", {}),
    ],
)
def test_every_synapse_type_can_be_wired_from_settings(
    synapse: str, options: dict[str, Any]
) -> None:
    wiring = {
        "p": {
            "source": "camera",
            "target": "pan",
            "weight": 1.0,
            "synapse": synapse,
            "options": options,
        }
    }
    assert len(run(opened(projections=wiring), 3)) == 3


def test_a_gate_without_its_modulator_is_named() -> None:
    wiring = {"p": {"source": "camera", "target": "pan", "weight": 1.0, "synapse": "gated"}}
    with pytest.raises(ConfigError, match=r"projections.*modulator"):
        EmbeddedBrain(architecture(projections=wiring))


def test_truncated_and_foreign_brain_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    opened().save(file)
    whole = file.read_bytes()
    for size in (0, 10, 100, len(whole) // 2, len(whole) - 4096):
        file.write_bytes(whole[:size])
        with pytest.raises(BrainFileError, match=r"brain\.db"):
            EmbeddedBrain.load(file)
    file.unlink()
    with pytest.raises(BrainFileError, match="no such brain file"):
        EmbeddedBrain.load(file)
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE t (x)")
    with pytest.raises(BrainFileError, match="not a brain file of ab_ros"):
        EmbeddedBrain.load(file)


def test_a_damaged_array_is_found_by_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    write_brain_file(file, {"format": "x"}, {"w": np.arange(1000.0)})
    texts, arrays = read_brain_file(file)
    assert texts == {"format": "x"} and np.array_equal(arrays["w"], np.arange(1000.0))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE chunk SET crc = crc + 1")
    with pytest.raises(BrainFileError, match="which holds 'w', is damaged"):
        read_brain_file(file)


def test_saving_over_a_brain_leaves_no_half_file(tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    brain = opened()
    brain.save(file)
    brain.save(file)
    assert [path.name for path in tmp_path.iterdir()] == ["brain.db"]
    with pytest.raises(BrainFileError, match="cannot be written"):
        brain.save(Path("/proc/nowhere/brain.db"))
