"""Versions of a brain: each predicts as it was trained, however the brain is defined since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_parts import VALLEY, MySimulator, by_run, made

from ab_ros.cli import main
from ab_ros.config import overlay
from ab_ros.errors import AbRosError, BrainFileError, ConfigError
from ab_ros.training import Predictor, VersionedBrain
from ab_ros.training.versions import DEFINITION

QUIET = {
    "neurons": {"noise": 0.0, "common_noise": 0.0, "weight": 2.0, "spread": 1.9, "size": 2},
    "training": {"learning": False},
}
STATES = [{"angle": float(a), "velocity": v} for a in range(0, 10, 2) for v in (-2.5, 2.5)]


def defined(brain: VersionedBrain) -> bytes:
    return (brain.folder / DEFINITION).read_bytes()


def actions(brain: VersionedBrain) -> list[int]:
    with Predictor(brain) as predictor:
        return [predictor.get_action(state).delta for state in STATES]


@pytest.mark.parametrize(
    "changes",
    [
        {"simulator": {"action": {"delta": "Int8{0, 1, 2}"}}},
        {"simulator": {"state": {"angle": "Float32{0:1000}"}}},
        {"simulator": {"state": {"speed": "Float32{0:1}"}}},
        {"neurons": {"cycles": 2}},
        {"neurons": {"size": 3}, "simulator": {"name": "renamed"}},
        {"reward": {"shaping": {"angle": 1.0}}},
    ],
)
def test_a_version_predicts_as_it_was_trained(tmp_path: Path, changes: dict[str, Any]) -> None:
    brain = made(tmp_path, QUIET)
    by_run(MySimulator(brain))
    before = actions(brain)
    assert set(before) == {0, 1}
    again = made(tmp_path, overlay(QUIET, changes), brain_version=1)
    assert actions(again) == before
    assert again.definition != brain.definition, "a training is by the new definition"


class Noting(MySimulator):
    """Takes note of what the brain does."""

    def simulate(self, action: Any) -> Any:
        self.deltas = {*getattr(self, "deltas", ()), action.delta}
        return super().simulate(action)


def test_episodes_are_predicted_as_a_version_was_trained(tmp_path: Path) -> None:
    by_run(MySimulator(made(tmp_path)))
    other = {"simulator": {"action": {"delta": "Int8{5, 6}"}}, "training": {"max_steps": 2}}
    by_run(MySimulator(made(tmp_path, other)))
    for version, deltas in ((1, {0, 1}), (2, {5, 6})):
        sim = Noting(made(tmp_path, other, predict=True, brain_version=version, episodes=20))
        by_run(sim)
        assert sim.deltas == deltas
        if version == 1:
            assert set(sim.session.results.steps) == {2}, "episodes are as long as defined now"


@pytest.mark.parametrize("left", ["no definition", "no summary"])
def test_versions_from_before_predict_as_the_brain_is_defined(tmp_path: Path, left: str) -> None:
    brain = made(tmp_path, QUIET)
    by_run(MySimulator(brain))
    before = actions(brain)
    path = brain.file_of(1).with_suffix(".json")
    if left == "no summary":
        path.unlink()
    else:
        summary = json.loads(path.read_text())
        del summary["definition"]
        path.write_text(json.dumps(summary))
    config = brain.config
    assert actions(VersionedBrain(config)) == before
    assert VersionedBrain(config).definition_of(1) is None


def test_a_version_whose_definition_is_damaged_says_where(tmp_path: Path) -> None:
    brain = made(tmp_path)
    by_run(MySimulator(brain))
    path = brain.file_of(1).with_suffix(".json")
    path.write_text(json.dumps({"definition": {"simulator": 3}}))
    with pytest.raises(BrainFileError, match=r"1\.json: definition: simulator: must be"):
        Predictor(VersionedBrain(brain.config))
    path.write_text("{")
    with pytest.raises(BrainFileError, match=r"1\.json: cannot be read"):
        Predictor(VersionedBrain(brain.config))


def test_a_predictors_brain_has_the_version_that_it_uses(tmp_path: Path) -> None:
    brain = made(tmp_path)
    by_run(MySimulator(brain))
    with Predictor(brain) as predictor:
        assert (predictor.brain.version, brain.version) == (1, 2)
        by_run(MySimulator(brain))
        assert (predictor.brain.version, brain.version) == (1, 3)
    brain.config.brain_version = 1
    with Predictor(brain) as predictor:
        assert predictor.brain.version == 1


def test_a_version_keeps_how_every_episode_went(tmp_path: Path) -> None:
    lessons = [
        {"objective": "first", "config": {"start_angle": 1}, "episodes": 1},
        {"objective": "second", "config": {"start_angle": 1}, "success_reward": 2.0},
    ]
    brain = made(tmp_path, {"lessons": lessons})
    with MySimulator(brain) as sim:
        while sim.run() and sim.episode_count < 2:
            continue
    sim = MySimulator(made(tmp_path, {"lessons": lessons}, resume=True))
    by_run(sim)
    brain.update()
    found = brain.summary_of(1)["results"]
    assert found["reward"] == sim.session.results.reward.tolist()
    assert found["steps"] == sim.session.results.steps.tolist()
    assert found["lesson"] == [0, 1, 1]
    assert found["success"] == [None, *(int(reward >= 2.0) for reward in found["reward"][1:])]


# What is written, and what is not


def broken_off(folder: Path) -> VersionedBrain:
    brain = made(folder)
    with MySimulator(brain) as sim:
        while len(sim.session.results.reward) < 1:
            sim.run()
    assert brain.status == "broken off"
    return brain


CHANGED = {"neurons": {"size": 5}}


def test_a_prediction_does_not_define_a_brain(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not in the folder"):
        made(tmp_path, predict=True)
    brain = made(tmp_path)
    by_run(MySimulator(brain))
    before = defined(brain)
    by_run(MySimulator(made(tmp_path, CHANGED, predict=True, episodes=1)))
    assert defined(brain) == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "broken off after 1 episodes: --resume"),
        ({"resume": True}, "defined anew since"),
    ],
)
def test_a_refused_training_does_not_define_a_brain(
    tmp_path: Path, settings: dict[str, bool], says: str
) -> None:
    brain = broken_off(tmp_path)
    before = defined(brain)
    with pytest.raises(ConfigError, match=says):
        MySimulator(made(tmp_path, CHANGED, **settings)).run()
    assert defined(brain) == before
    by_run(MySimulator(made(tmp_path, resume=True)))
    brain.update()
    assert brain.status == "trained"


def test_a_training_elsewhere_keeps_its_definition(tmp_path: Path) -> None:
    brain = made(tmp_path)
    with MySimulator(brain) as sim:
        sim.run()
        before = defined(brain)
        with pytest.raises(AbRosError, match="is being trained"):
            MySimulator(made(tmp_path, CHANGED, restart=True)).run()
        assert defined(brain) == before


def longer(brain: VersionedBrain) -> int:
    return VersionedBrain(brain.config).definition.training.episodes


@pytest.mark.parametrize("how", ["resume", "restart"])
def test_a_training_that_goes_on_is_defined_as_it_goes_on(tmp_path: Path, how: str) -> None:
    brain = broken_off(tmp_path)
    again = made(tmp_path, {"training": {"episodes": 4}}, **{how: True})
    sim = MySimulator(again)
    by_run(sim)
    assert len(sim.session.results.reward) == 4
    assert longer(brain) == 4
    trained = again.definition_of(1)
    assert trained is not None and trained == again.definition


def test_the_command_predicts_with_what_a_version_was_trained_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(action: str, *arguments: str) -> int:
        changes = {"simulator": {"action": {"shove": action}}, "neurons": {"size": 5}}
        (tmp_path / "valley.yaml").write_text(yaml.safe_dump(overlay(VALLEY, changes)))
        places = ["--brains", str(tmp_path / "brains"), "--out", str(tmp_path / "out")]
        return main(["train", str(tmp_path / "valley.yaml"), *places, *arguments])

    assert run("Int8{0, 1}") == 0
    path = tmp_path / "brains" / "valley" / DEFINITION
    before = path.read_bytes()
    record = tmp_path / "steps.json"
    predict = ["--predict", "1", "--episodes", "2", "--record", str(record)]
    assert run("Float32{-1:1}", *predict) == 0, capsys.readouterr().err
    shoves = {json.loads(line)["action.shove"] for line in record.read_text().splitlines()}
    assert shoves <= {0, 1} and len(record.read_text().splitlines()) == 10
    assert path.read_bytes() == before
    assert "valley, version 1:" in capsys.readouterr().out
