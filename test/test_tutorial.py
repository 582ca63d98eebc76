"""docs/your_robot.md: its commands are ones, and what they print is what it shows."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ab_ros.cli import main
from ab_ros.cli import settings as settings_command
from ab_ros.learning.policies import load_policies

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "your_robot.md").read_text(encoding="utf-8")


def blocks(language: str = "") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def shown(*levels: str) -> set[str]:
    """Return the lines that ``ab_ros check`` prints, by the tutorial."""
    lines = {line for block in blocks() for line in block.splitlines()}
    # What is about a topic is said of a graph.
    return {line for line in lines if line.split(" ")[0] in levels and " /" not in line[:12]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the reader works in."""
    shutil.copy(ROOT / "config" / "template.yaml", tmp_path / "my_robot.yaml")
    shutil.copy(ROOT / "config" / "gazebo" / "controllers.yaml", tmp_path)
    shutil.copy(ROOT / "ab_ros" / "environments" / "models" / "arm.urdf", tmp_path)
    (policy,) = (block for block in blocks("python") if "compute_reward" in block)
    (tmp_path / "my_reward.py").write_text(policy)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def said(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    main(["check", "my_robot.yaml", *options])
    return capsys.readouterr().out.splitlines()


FITS = ["--urdf", "arm.urdf", "--controllers", "controllers.yaml"]
SLIP = ("nod, channel: wrist_pitch", "nod, chanel: wrist_pitch")
WIDE = (
    "base_yaw: {lower: -0.5, upper: 0.5, velocity: 1.0",
    "base_yaw: {lower: -0.5, upper: 3.5, velocity: 10",
)
WHOLE = (
    "channels: [base_yaw, wrist_pitch]",
    "channels: [base_yaw, shoulder_pitch, elbow_pitch, wrist_pitch]",
)


def test_what_it_shows_of_the_check_is_what_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="the settings of some nodes need ROS 2")
    file = folder / "my_robot.yaml"
    printed = said(capsys)
    edit(file, SLIP)
    printed += said(capsys)
    edit(file, SLIP[::-1], WIDE)
    printed += said(capsys, *FITS)
    edit(file, WIDE[::-1], WHOLE)
    printed += said(capsys, *FITS)
    text = file.read_text()
    begin, end = text.index("      reward_policy"), text.index("/**/motor")
    file.write_text(f"{text[:begin]}      reward_policy: my_reward.py\n\n{text[end:]}")
    printed += said(capsys)
    wanted = shown("error", "warning", "ok")
    assert len(wanted) > 10
    assert wanted <= set(printed)


def test_its_policy_rewards_what_comes_nearer(folder: Path) -> None:
    policies = load_policies(str(folder / "my_reward.py"), "")
    joints = {
        "base_yaw": {"before": 0.0, "after": 0.01},
        "wrist_pitch": {"before": 0.0, "after": 0.01},
    }
    reward = policies.reward({"joints": joints}, ["turn", "nod"])
    assert reward is not None
    assert reward.by_layer == pytest.approx({"turn": 0.75, "nod": 0.25})


def test_the_files_that_it_names_are_there() -> None:
    for link in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link


def commands(program: str) -> Iterator[list[str]]:
    for line in "".join(blocks("sh")).splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == program:
            yield words[1:]


def test_its_launch_files_take_what_it_gives_them() -> None:
    launched = [words for words in commands("ros2") if words[0] == "launch"]
    assert launched
    for _, package, file, *given in launched:
        assert package == "ab_ros"
        assert (ROOT / "launch" / file).is_file()
        for argument in given:
            assert argument.partition(":=")[0] == "config"


def test_its_own_commands_are_ones() -> None:
    from ab_ros.cli import check

    parser = argparse.ArgumentParser()
    below = parser.add_subparsers(required=True)
    for module in (check, settings_command):
        module.add_parser(below)
    found = list(commands("ab_ros"))
    assert found
    for words in found:
        parser.parse_args(words)
