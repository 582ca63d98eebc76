"""The embedded brain: how it is wired, driven and inhibited; see test_local_brains.py, too."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_brains import architecture, run, seeing

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.inhibition import inhibitory_currents
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.errors import BrainFileError, ConfigError
from ab_ros.values import Deviation


def opened(seed: int = 1, **changes: Any) -> EmbeddedBrain:
    brain = EmbeddedBrain(architecture(**changes), seed=seed)
    brain.open()
    return brain


def test_a_feedbacks_raster_is_saved_with_the_brain(tmp_path: Path) -> None:
    def play(brain: EmbeddedBrain, cycle: int) -> np.ndarray:
        # A deviation of 0 plays the raster as the deviations before it have left it.
        brain.feedback(Deviation("fb", np.zeros(20, np.float32)), cycle)
        return brain.run_cycle(seeing(), 0.0).rasters["pan"]

    brain = opened()
    brain.set_learning(False)
    silent = opened()
    silent.set_learning(False)
    for made, deviation in ((brain, 0.75), (silent, 0.0)):
        made.run_cycle(seeing(), 0.0)
        made.feedback(Deviation("fb", np.full(20, deviation, np.float32)), 0)
    brain.save(tmp_path / "brain.db")
    loaded = EmbeddedBrain.load(tmp_path / "brain.db")
    loaded.set_learning(False)
    loaded.open()
    for cycle in range(4):
        went_on, other = play(brain, cycle), play(silent, cycle)
        assert np.array_equal(play(loaded, cycle), went_on)
        assert int(went_on[:, :4].sum()) > int(other[:, :4].sum())


def test_the_drive_is_raised_when_a_population_is_too_quiet() -> None:
    quiet = {"pan": {"neuron": "FS", "size": 8, "noise": 0.5, "output": True, "min_rate": 2.0}}
    brain = opened(populations=quiet, projections={})
    run(brain, 60)
    assert brain.drive.bias["pan"] > 0
    assert "'pan' fires at" in brain.complaints()[0]


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


def test_a_damaged_array_is_found_by_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    write_brain_file(file, {"format": "x"}, {"w": np.arange(1000.0)})
    texts, arrays = read_brain_file(file)
    assert texts == {"format": "x"} and np.array_equal(arrays["w"], np.arange(1000.0))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE chunk SET crc = crc + 1")
    with pytest.raises(BrainFileError, match="which holds 'w', is damaged"):
        read_brain_file(file)


def test_negative_entries_of_a_feedback_raster_take_away_what_spikes_would_give(
    tmp_path: Path,
) -> None:
    wiring = {
        "lesson": {"source": "fb", "target": "pan", "target_part": "first_half", "weight": 8.0},
        "other": {
            "source": "fb",
            "target": "pan",
            "target_part": "second_half",
            "weight": 8.0,
            "delay": 3,
        },
    }
    populations = {"pan": {"neuron": "FS", "size": 8, "bias": 15.0, "output": True}}

    def spikes(value: int) -> np.ndarray:
        brain = opened(projections=wiring, populations=populations)
        brain.run_cycle(seeing(), 0.0)
        brain.feedback_raster("fb", np.full((20, 4), value, np.int8), 0)
        brain.save(tmp_path / "brain.db")
        brain = EmbeddedBrain.load(tmp_path / "brain.db")
        brain.open()
        return brain.run_cycle(seeing(), 0.0).rasters["pan"]

    excited, quiet, inhibited = spikes(1), spikes(0), spikes(-1)
    for half in (slice(0, 4), slice(4, 8)):
        assert excited[:, half].sum() > quiet[:, half].sum() > inhibited[:, half].sum()


def test_inhibition_arrives_after_the_delay_with_the_weights_of_the_synapses() -> None:
    brain = opened()
    raster = np.zeros((20, 4), np.int8)
    raster[2, 1] = raster[2, 3] = -1
    raster[5] = 1
    bias = {"pan": np.full(8, 1.5)}
    total = inhibitory_currents(brain.network, {"fb": raster}, bias)["pan"]
    expected = np.full((20, 8), 1.5)
    expected[3, :4] -= 2 * 5.0
    assert np.array_equal(total, expected)
    unchanged = inhibitory_currents(brain.network, {"fb": np.abs(raster)}, bias)["pan"]
    assert np.array_equal(unchanged, bias["pan"])
