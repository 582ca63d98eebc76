"""Training on environments, by the command, with layered brains, and with signals as arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from training_parts import VALLEY, MySimulator, ThreeSteps, by_run, made

from ab_ros.cli import main
from ab_ros.errors import ConfigError
from ab_ros.layered.brain import LayeredBrain
from ab_ros.training import Predictor, VersionedBrain
from ab_ros.training.rewards import rise

# That of a robot needs one: test_nodes_episodes.py has it.
CONFIGS = [
    path
    for path in sorted((Path(__file__).resolve().parents[1] / "config" / "train").glob("*.yaml"))
    if path.stem != "robot"
]


def written(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    path = folder / "valley.yaml"
    path.write_text(yaml.safe_dump({**VALLEY, **(changes or {})}))
    return path


def trained(folder: Path, *arguments: str) -> int:
    places = ["--brains", str(folder / "brains"), "--out", str(folder / "out")]
    return main(["train", str(folder / "valley.yaml"), *places, *arguments])


def test_the_command_trains_on_an_environment_and_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    record, signals = tmp_path / "steps.csv", tmp_path / "signals"
    assert trained(tmp_path, "--record", str(record), "--signals", str(signals)) == 0
    said = capsys.readouterr().out
    assert "valley, version 1:" in said and "episodes  4, 20 steps" in said
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["episodes"], summary["steps"], summary["version"]) == (4, 20, 1)
    assert summary["success_rate"] is not None
    assert (tmp_path / "out" / "learning_curve.png").stat().st_size > 1000
    assert len(record.read_text().splitlines()) == 21
    with np.load(signals / "episode_000004.npz") as file:
        assert file["state.place"].shape == file["reward"].shape == (5,)
        assert file["spikes.shove"].shape == (5, 8)
    assert trained(tmp_path, "--predict", "--episodes", "3") == 0
    assert "episodes  3, 15 steps" in capsys.readouterr().out
    assert trained(tmp_path, "--predict", "7") == 1
    assert "no version 7" in capsys.readouterr().err


def test_the_command_keeps_a_control_apart(tmp_path: Path) -> None:
    written(tmp_path)
    assert trained(tmp_path, "--no-learning", "--seed", "3") == 0
    assert (tmp_path / "brains" / "valley-control" / "versions" / "1.brain").exists()
    assert not (tmp_path / "brains" / "valley").exists()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["seed"] == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"brain": 3}, "brain: must be a name"),
        ({"environment": {"classname": "nowhere.Valley"}}, "'nowhere.Valley' cannot be found"),
        ({"environment": {"classname": "pathlib.Path"}}, "neither an Environment nor a Simulator"),
        ({"environment": {**VALLEY["environment"], "channels": {}}}, "no channel 'place'"),
        ({"environment": {**VALLEY["environment"], "constant": {}}}, "motor channel 'wind'"),
        ({"simulator": {"action": {"a": "Int8"}, "state": {"b": "Bool"}}}, "Int8 has no bounds"),
        ({"lessons": [{"reward": "nowhere:f"}]}, "reward: 'nowhere:f' cannot be found"),
        ({"reward": {"shaping": {"y": 1.0}}}, "reward.shaping: the state has no field 'y'"),
        ({"neurons": {"options": {"lower": 0.0}}}, "follows from the schema"),
        ({"trainig": {}}, "did you mean 'training'"),
    ],
)
def test_files_that_do_not_fit_say_what_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], says: str
) -> None:
    written(tmp_path, changes)
    assert trained(tmp_path) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_trainings_run(path: Path, tmp_path: Path) -> None:
    needs = {"cartpole": "gymnasium", "cartpole_plain": "gymnasium", "arm": "mujoco"}
    pytest.importorskip(needs.get(path.stem, "numpy"))
    places = ["--brains", str(tmp_path / "brains"), "--out", str(tmp_path / "out")]
    assert main(["train", str(path), *places, "--episodes", "1"]) == 0


def test_the_rise_of_a_concentration() -> None:
    from ab_ros.training import Message

    before, after = Message(concentration=0.25), Message(concentration=0.5)
    assert rise(before, Message(), after, 0.0, False) == 25.0


# Other brains behind the port

LAYERED: dict[str, Any] = {
    "name": "chooser",
    "seed": 1,
    "sensors": {
        name: {
            "kind": "Scalar",
            "encoder": "simple_bits",
            "options": {
                "lower": low,
                "upper": high,
                "length": 20,
                "sparsity": 0.2,
                "out_of_range": "clip",
            },
        }
        for name, low, high in (("angle", 0, 10), ("velocity", -3, 3))
    },
    "learning": {"type": "hebbian", "increase": 0.05, "decrease": 0.01},
    "layers": [
        {
            "name": "delta",
            "shape": 8,
            "layer": "delta",
            "output": True,
            "inputs": {"MAIN": ["angle", "velocity"]},
            "computation": {"type": "sparse", "count": 2, "threshold": 0, "noise": 2.0},
        }
    ],
}


def layered(folder: Path) -> VersionedBrain:
    path = folder / "layered.json"
    path.write_text(json.dumps(LAYERED))
    return made(folder, {"neurons": {"file": str(path)}})


def test_a_layered_brain_trains_and_predicts(tmp_path: Path) -> None:
    brain = layered(tmp_path)
    by_run(MySimulator(brain))
    trained_brain = LayeredBrain.load(brain.file_of())
    new = LayeredBrain.load(tmp_path / "layered.json")
    assert not np.array_equal(trained_brain.weights("delta", "MAIN"), new.weights("delta", "MAIN"))
    with Predictor(brain) as predictor:
        asked = [predictor.get_action({"angle": a, "velocity": 1}).delta for a in (1, 9, 1, 9)]
    assert asked[:2] == asked[2:]


def test_a_brain_whose_ports_do_not_fit_says_so(tmp_path: Path) -> None:
    path = tmp_path / "layered.json"
    changed = json.loads(json.dumps(LAYERED).replace('"delta"', '"turn"'))
    path.write_text(json.dumps(changed))
    with pytest.raises(ConfigError, match="the brain has neither outputs delta_0, delta_1"):
        ThreeSteps(made(tmp_path, {"neurons": {"file": str(path)}})).run()
    path.write_text(json.dumps(LAYERED).replace('"angle"', '"heading"'))
    with pytest.raises(ConfigError, match="input 'heading' is neither 'state'"):
        ThreeSteps(made(tmp_path / "b", {"neurons": {"file": str(path)}})).run()


def test_several_cycles_are_one_step(tmp_path: Path) -> None:
    brain = made(tmp_path, {"neurons": {"cycles": 3}, "training": {"episodes": 1}})
    sim = ThreeSteps(brain)
    cycles = []
    mind = sim.session.mind
    run = mind.brain.run_cycle
    mind.brain.run_cycle = lambda *a: cycles.append(run(*a)) or cycles[-1]  # type: ignore[method-assign,func-returns-value]
    by_run(sim)
    assert [cycle.number for cycle in cycles] == list(range(9))
    assert mind.missed == 0
