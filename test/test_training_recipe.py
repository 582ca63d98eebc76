"""Brains that were built from a recipe, in training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_training_worlds import LAYERED
from training_parts import VALLEY, MySimulator, by_run, made

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.cli import main
from ab_ros.config import overlay
from ab_ros.engine.database import read_brain_file

CELL: dict[str, Any] = {
    "name": "cell",
    "description": "One cell.",
    "nodes": [{"id": "cell", "type": "FS", "position": [0, 0, 0]}],
    "paths": [],
    "terminals": {
        "in": {"direction": "input", "nodes": ["cell"]},
        "out": {"direction": "output", "nodes": ["cell"]},
    },
}
PAIR: dict[str, Any] = {
    "name": "pair",
    "description": "Two noisy cells, for either direction.",
    "nodes": [
        {"id": "plus", "type": "FS", "position": [0, 1, 0], "noise": 3.0},
        {"id": "minus", "type": "FS", "position": [0, -1, 0], "noise": 3.0},
    ],
    "paths": [],
    "terminals": {
        "plus_in": {"direction": "input", "nodes": ["plus"]},
        "minus_in": {"direction": "input", "nodes": ["minus"]},
        "plus_out": {"direction": "output", "nodes": ["plus"]},
        "minus_out": {"direction": "output", "nodes": ["minus"]},
    },
}
INPUT: dict[str, Any] = {
    "kind": "Vector",
    "encoder": "population",
    "options": {"values": 1, "cells": 10, "lower": -1.0, "upper": 1.0, "max_rate": 400.0},
    "to": "eye.in",
    "pattern": "one_to_one",
    "weight": 60,
    "probability": 1,
}


def projection(end: str, layer: str) -> dict[str, Any]:
    return {
        "name": f"to_{end}",
        "from_type": "eye",
        "from_terminal": "out",
        "to_type": "shove",
        "to_terminal": f"{end}_in",
        "synapse_type": "reward_plastic",
        "layer": layer,
        "weight": 4.0,
        "params": {"lr": 1.0, "w_max": 8.0},
    }


RECIPE: dict[str, Any] = {
    "name": "shover",
    "description": "Feels where it is, and shoves.",
    "seed": 3,
    "components": [
        {"name": "eye", "path": "cell.json", "count": 10},
        {"name": "shove", "path": "pair.json", "count": 6},
    ],
    "projections": [projection("plus", "shove_up"), projection("minus", "shove_down")],
    "io": {
        "gamma": 10,
        "inputs": {"place": INPUT},
        "outputs": {"shove": ["shove.plus_out", "shove.minus_out"]},
    },
}


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over a document; None takes something out."""
    return {
        key: changed(value, {}) if isinstance(value, dict) else value
        for key, value in overlay(document, changes).items()
        if value is not None
    }


def built(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Build a brain by the command, and return its file."""
    for document in (CELL, PAIR, changed(RECIPE, changes or {})):
        (folder / f"{document['name']}.json").write_text(json.dumps(document))
    path = folder / "shover.db"
    assert main(["brain", "build", str(folder / "shover.json"), "-o", str(path)]) == 0
    return path


def trained(folder: Path, brain: Path, *arguments: str, **changes: Any) -> int:
    """Train a brain by the command."""
    document = changed(
        VALLEY,
        {
            "neurons": {"file": str(brain), "full_count": 6.0, "size": None, "gamma": None},
            # Whether a shove led to the middle, the potential tells at once.
            "reward": {"shaping": {"place": 20.0}, "discount": 0.9, "fading": 5},
            "training": {"episodes": 40},
            **changes,
        },
    )
    path = folder / "valley.yaml"
    path.write_text(yaml.safe_dump(document))
    places = ["--brains", str(folder / "brains"), "--out", str(folder / "out")]
    return main(["train", str(path), *places, *arguments])


def test_a_recipes_brain_learns_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brain = built(tmp_path)
    new = brain.read_bytes()
    means: dict[str, float] = {}
    for name, arguments in (("valley", []), ("valley-control", ["--no-learning"])):
        assert trained(tmp_path, brain, *arguments) == 0
        record = tmp_path / f"{name}.json"
        predict = ["--predict", "--episodes", "20", "--record", str(record), *arguments]
        assert trained(tmp_path, brain, *predict) == 0
        rows = [json.loads(line) for line in record.read_text().splitlines()]
        means[name] = sum(row["reward"] for row in rows) / 20
    assert brain.read_bytes() == new
    # Where it goes by itself costs 1.3; to be in the middle from the first step on, 0.
    assert means["valley-control"] < -1.0 and means["valley"] > 0.7 * means["valley-control"]
    loaded = EmbeddedBrain.load(tmp_path / "brains" / "valley" / "versions" / "1.brain")
    first = EmbeddedBrain.load(brain)
    assert loaded.contract == first.contract and loaded.size == first.size == 22
    for name in ("to_plus", "to_minus"):
        assert not np.array_equal(loaded.network.edges(name)[2], first.network.edges(name)[2])


@pytest.mark.parametrize("kind", ["recipe", "layered"])
def test_a_training_of_a_file_goes_on_to_the_same_bits(tmp_path: Path, kind: str) -> None:
    if kind == "recipe":
        choices = {"outputs": {"delta": ["shove.plus_out", "shove.minus_out"]}}
        inputs = {"state": overlay(INPUT, {"options": {"values": 2, "cells": 5}})}
        path = built(tmp_path, {"io": {**choices, "inputs": {"place": None, **inputs}}})
    else:
        path = tmp_path / "layered.json"
        path.write_text(json.dumps(LAYERED))
    changes = {"neurons": {"file": str(path)}, "training": {"episodes": 6}}
    whole = made(tmp_path / "whole", changes)
    by_run(MySimulator(whole))
    parts = made(tmp_path / "parts", changes)
    sim = MySimulator(parts)
    while sim.episode_count < 2:
        sim.run()
    sim.close()
    assert parts.status == "broken off"
    parts.config.resume = True
    sim = MySimulator(parts)
    by_run(sim)
    assert len(sim.session.results.reward) == 6
    (texts, arrays), (wanted, ends) = (read_brain_file(brain.file_of()) for brain in (parts, whole))
    assert texts == wanted and arrays.keys() == ends.keys()
    for name, array in arrays.items():
        # Marks are numbers of cycles, which a new run begins at 0.
        assert name.endswith("credit/marks") or array.tobytes() == ends[name].tobytes(), name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"io": {"outputs": {"shove": None, "turn": "shove.plus_out"}}}, "no output 'shove' of"),
        (
            {"io": {"inputs": {"place": {"options": {"values": 2, "cells": 5}}}}},
            "the brain's input 'place' refuses the state, 1 values",
        ),
        (
            {
                "io": {
                    "inputs": {
                        "place": {
                            "kind": "Proprioception",
                            "encoder": "joint_population",
                            "options": {
                                "values": None,
                                "joints": ["yaw"],
                                "lower": -1.0,
                                "upper": 1.0,
                            },
                        }
                    }
                }
            },
            "'place' reads samples of the kind 'Proprioception'",
        ),
    ],
)
def test_a_brain_that_would_be_blind_or_still_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], says: str
) -> None:
    assert trained(tmp_path, built(tmp_path, changes)) == 2
    assert says in capsys.readouterr().err


def test_a_recipe_that_was_not_built_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(tmp_path)
    assert trained(tmp_path, tmp_path / "shover.json") == 1
    assert "is a recipe, and no brain yet: `ab_ros brain build" in capsys.readouterr().err


def test_a_brain_with_a_camera_says_that_states_are_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "track.db"
    assert main(["brain", "build", "track_v1", "-o", str(path)]) == 0
    assert trained(tmp_path, path) == 2
    assert "no output 'shove' of two halves; its outputs are grip, pan" in capsys.readouterr().err
    bounded = "Float32{-1:1}"
    fields = {
        "action": {"shove": None, "pan": bounded, "tilt": bounded, "grip": bounded},
        "state": {"camera": bounded, "joints": bounded, "place": None},
    }
    channels = dict.fromkeys(("camera", "joints"), "x")
    channels |= {"pan": "push", "tilt": "wind", "grip": "push"}
    world = {**VALLEY["environment"], "channels": channels}
    assert trained(tmp_path, path, simulator=fields, environment=world, reward={}) == 2
    assert "input 'camera' reads samples of the kind 'Image'" in capsys.readouterr().err
