"""``ab_ros explore``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ab_ros.cli import main
from ab_ros.environments.exploration_record import read_exploration

CONFIG = """
environment: {classname: ab_ros.environments.kinematic_arm.KinematicArm2D, dim: 3}
explorer: goals
goals: {channels: [x, y]}
steps: 60
seed: 2
"""
OWN = """
from ab_ros.environments import Channel, Environment

class Sum(Environment):
    def __init__(self, cfg):
        super().__init__(cfg)
        self.m_channels = [Channel("x", bounds=(0, 10)), Channel("y", bounds=(5, 15))]
        self.s_channels = [Channel("a", bounds=(5, 25))]

    def _execute(self, m_signal, meta=None):
        return {"a": m_signal["x"] + m_signal["y"]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "arm.yaml"
    path.write_text(CONFIG)
    return path


def test_exploration_prints_draws_and_records(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, picture = tmp_path / "made.npz", tmp_path / "made.png"
    assert main(["explore", str(config), "--record", str(record), "--plot", str(picture)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("60 orders executed, 0 refused; ")
    assert said.endswith(" of 400 cells of x and y reached\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert read_exploration(record).count == 60


def test_options_take_the_place_of_the_file(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = []
    for seed in ("7", "7", "8"):
        arguments = ["--seed", seed, "--steps", "40", "--explorer", "random", "--json"]
        assert main(["explore", str(config), *arguments]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["explorer"] == "random"
    assert results[0]["executed"] == 40
    assert results[0] == results[1]
    assert results[2]["seed"] == 8


def test_environment_may_stand_beside_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_environment.py").write_text(OWN)
    config = tmp_path / "sum.yaml"
    config.write_text("environment: {classname: own_environment.Sum}\nsteps: 30\n")
    assert main(["explore", str(config)]) == 0
    assert " of 20 cells of a reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("steps: 5", (), "environment: is required"),
        ("environment: {dim: 3}", (), "must be a class by its path"),
        ("environment: {classname: os.getcwd}", (), "is no Environment"),
        (CONFIG.replace("dim: 3", "dim: 0"), (), "arm.yaml:2: environment.dim: 0 is not allowed"),
        (CONFIG.replace("dim: 3", "dimm: 3"), (), "environment.dimm: unknown key; did you mean"),
        (CONFIG.replace("[x, y]", "[z]"), (), "no channel 'z'"),
        (CONFIG.replace("explorer: goals", "explorer: luck"), (), "one of: goals, random"),
        (CONFIG, ("--record", "made.txt"), ".npz or .csv"),
        (CONFIG, ("--plot", "made.jpg"), "PNG"),
        (CONFIG, ("--channels", "x", "q"), "no channel 'q'"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    config = tmp_path / "arm.yaml"
    config.write_text(text)
    assert main(["explore", str(config), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_what_cannot_be_written_is_told_before_anything_is_explored(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for option, name in (("--record", "made.csv"), ("--plot", "made.png")):
        assert main(["explore", str(config), option, str(tmp_path / "file" / name)]) == 1
        said = capsys.readouterr()
        assert f"{option} {tmp_path / 'file'}: cannot be written" in said.err and not said.out


def test_exploration_goes_on_from_a_record(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("made.npz", "made.csv"):
        record = tmp_path / name
        assert main(["explore", str(config), "--record", str(record), "--steps", "50"]) == 0
        capsys.readouterr()
        assert main(["explore", str(config), "--from", str(record), "--steps", "20"]) == 0
        said = capsys.readouterr().out
        assert said.startswith("20 orders executed, 0 refused, after 50 that were known; ")


@pytest.mark.parametrize(
    ("dim", "arguments", "words"),
    [
        (3, ("--explorer", "random"), "needs --explorer goals"),
        (3, ("--record", "{record}"), "would replace the record of --from"),
        (4, (), "moved j0, j1, j2, not j0, j1, j2, j3"),
    ],
)
def test_record_that_cannot_be_gone_on_from(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    dim: int,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    record = tmp_path / "made.npz"
    assert main(["explore", str(config), "--record", str(record), "--steps", "5"]) == 0
    before = record.read_bytes()
    config.write_text(CONFIG.replace("dim: 3", f"dim: {dim}"))
    given = [argument.format(record=record) for argument in arguments]
    assert main(["explore", str(config), "--from", str(record), *given]) == 2
    assert words in capsys.readouterr().err
    assert record.read_bytes() == before
