"""The README's code runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ab_ros.learning.policies import load_policies


def blocks(root: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)


def test_the_example_without_ros_learns_and_saves(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = (block for block in blocks(root) if "TrackingTask" in block)
    # Shorter than in the README: that it learns in 60 s is what bench/learning.py shows.
    example = example.replace("run(60,", "run(1,").replace("run(10,", "run(1,")
    (tmp_path / "config").symlink_to(root / "config")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"untrained [\d.]+ degrees\nlearned +[\d.]+ degrees", capsys.readouterr().out)
    assert (tmp_path / "brain.db").stat().st_size > 0


def test_the_example_of_a_policy_is_one(root: Path, tmp_path: Path) -> None:
    (example,) = (block for block in blocks(root) if "def compute_reward" in block)
    file = tmp_path / "my_reward.py"
    file.write_text(example)
    summary = {"joints": {"base_yaw": {"before": 0.3, "after": 0.25}}}
    reward = load_policies(str(file), "").reward(summary, ["pan"])
    assert reward is not None
    assert reward.by_layer["pan"] == pytest.approx(0.75)


@pytest.mark.parametrize("picture", ["demo.gif", "learning_curve.png"])
def test_the_pictures_are_there_and_of_a_size_to_load(root: Path, picture: str) -> None:
    text = (root / "README.md").read_text()
    assert f"(docs/{picture})" in text
    assert 10_000 < (root / "docs" / picture).stat().st_size < 3_000_000
