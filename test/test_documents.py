"""The code of the documents runs as it stands there; layered.md is in test_layered_brain.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from training_parts import made

from ab_ros.cli import main
from ab_ros.environments.exploration_record import read_exploration
from ab_ros.training import Config, VersionedBrain
from ab_ros.training.mind import make_brain

# An expression at the beginning of a line, and what its comment says that it gives.
_SAID = re.compile(r"^(\w.*?)  # (\{.*\})$", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_document_on_training_trains_predicts_and_pumps_events(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (root / "docs" / "training.md").read_text()
    made(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["my_simulator.py", "--brain", "cartwheel"])
    # What its "..." leave to the reader.
    names: dict[str, Any] = {"__name__": "document", "terminal": True, "reward": 1.0}
    names["state"] = {"angle": 1.0, "velocity": 0.5}
    found = blocks(text, "python")
    assert any("get_action" in block for block in found)
    assert any("get_next_event" in block for block in found)
    for block in found:
        exec(compile(block, "training.md", "exec"), names)
    assert names["action"].delta in (0, 1)
    config = Config()
    config.brain = "cartwheel"
    brain = VersionedBrain(config)
    # One training by run, and one by events.
    assert brain.versions == (1, 2)
    assert [brain.summary_of(version)["episodes"] for version in (1, 2)] == [3, 3]


@pytest.mark.ros
def test_the_document_on_training_lets_the_brain_node_take_a_version(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    brain = make_brain(made(tmp_path).definition, None, 0)
    brain.open()
    brain.save(tmp_path / "brains" / "cartpole" / "versions" / "1.brain")
    text = (root / "docs" / "training.md").read_text()
    (example,) = (block for block in blocks(text, "yaml") if "versions/1.brain" in block)
    # The brain here has a state of two fields.
    (tmp_path / "robot.yaml").write_text(example.replace("[0:4]", "[0:2]"))
    assert main(["check", "robot.yaml"]) == 0
    assert "brain: 8 neurons; 1 inputs, 2 outputs" in capsys.readouterr().out


def test_the_document_on_environments_says_what_comes_of_its_code(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gymnasium")
    text = (root / "docs" / "environments.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "document"}
    said = 0
    for block in blocks(text, "python"):
        exec(compile(block, "environments.md", "exec"), names)
        for expression, result in _SAID.findall(block):
            assert eval(expression, names) == eval(result), expression
            said += 1
    assert said >= 2


def test_the_exploration_of_the_document_explores(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    text = (root / "docs" / "environments.md").read_text()
    (config,) = (block for block in blocks(text, "yaml") if "explorer: goals" in block)
    (primitives,) = (block for block in blocks(text, "yaml") if "WithPrimitives" in block)
    commands = re.findall(r"^ +ab_ros (explore .*)$", text, re.MULTILINE)
    assert commands
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arm.yaml").write_text(config.replace("steps: 1000", "steps: 50"))
    for command in commands:
        assert main(command.split()) == 0
    assert read_exploration(tmp_path / "arm.npz").count == 50
    (tmp_path / "reach.yaml").write_text(primitives)
    assert main(["explore", "reach.yaml", "--steps", "20"]) == 0


def test_the_pictures_of_the_documents_are_there_and_of_a_size_to_load(root: Path) -> None:
    named = {
        (page.parent / link).resolve()
        for page in sorted((root / "docs").glob("*.md"))
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    }
    assert root / "docs" / "training.png" in named
    for picture in named:
        assert picture.is_file() and picture.stat().st_size < 3_000_000, picture
