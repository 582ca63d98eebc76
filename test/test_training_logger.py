"""The logger, and what trainings say by it."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from training_parts import ThreeSteps, by_run, made

from ab_ros.training import Config, Logger


@pytest.fixture(autouse=True)
def _nothing_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Logger, "_enabled", set())
    monkeypatch.setattr(Logger, "_all", [False])


def test_the_logger_writes_enabled_domains_only(capsys: pytest.CaptureFixture[str]) -> None:
    log = Logger()
    log.set_enabled("foobar")
    log.foobar("baz")
    Logger().barfoo("zab")
    said = capsys.readouterr()
    assert said.out == "" and "[foobar] baz" in said.err and "zab" not in said.err
    log.set_enable_all(True)
    Logger().barfoo("zab %d", 3)
    assert "[barfoo] zab 3" in capsys.readouterr().err
    log.set_enable_all(False)
    log.barfoo("zab")
    assert capsys.readouterr().err == ""


class Mute:
    """Has no text."""

    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("values", "named", "says"),
    [
        (("100%", 1), {}, "100% 1"),
        (("%d steps", "many"), {}, "%d steps many"),
        (("%s", 1, 2), {}, "%s 1 2"),
        (("%(a)s", 1), {}, "%(a)s 1"),
        (("%d of %d", 1, 2), {}, "1 of 2"),
        ((), {}, "[foobar] \n"),
        (("arm",), {"angle": 1}, "arm angle=1"),
        ((Mute(),), {}, "<Mute without a text>"),
        (("%s", Mute()), {}, "%s <Mute without a text>"),
    ],
)
def test_whatever_is_logged_nothing_is_raised(
    capsys: pytest.CaptureFixture[str], values: tuple[Any, ...], named: dict[str, Any], says: str
) -> None:
    log: Any = Logger()
    log.foobar(*values, **named)
    assert capsys.readouterr().err == ""
    log.set_enabled("foobar")
    log.foobar(*values, **named)
    assert says in capsys.readouterr().err


def test_nothing_is_raised_where_standard_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    Logger().set_enabled("foobar")
    for stream in (closed, None):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            Logger().foobar("baz")


# What trainings say


def said(capsys: pytest.CaptureFixture[str], domain: str) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    return [line.split(f"[{domain}] ", 1)[1] for line in lines if f"[{domain}] " in line]


def test_episodes_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lessons = [{"objective": "calm", "config": {"start_angle": 4}}]
    brain = made(tmp_path, {"lessons": lessons, "training": {"episodes": 1}})
    Logger().set_enabled("episode")
    with ThreeSteps(brain) as sim:
        by_run(sim)
    begun, starts, ends, there = said(capsys, "episode")
    assert begun.startswith("brain 'cartwheel' in ")
    assert begun.endswith(": trains version 1, 0 of 1 episodes are done")
    assert starts.startswith("1 begins: objective 'calm', {'start_angle': 4}, seed ")
    assert ends == "1 ends: 3 steps, reward 1.5"
    assert there == f"brain 'cartwheel': version 1 is there: {brain.file_of(1)}"
    brain.config.predict, brain.config.episodes = True, 1
    with ThreeSteps(brain) as sim:
        by_run(sim)
    assert said(capsys, "episode")[0] == f"brain 'cartwheel': predicts with {brain.file_of(1)}"


def test_an_answer_that_is_given_up_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong(ThreeSteps):
        def simulate(self, action: Any) -> Any:
            return {"angle": 1.0, "velocity": 1.0}, "x", False

    Logger().set_enabled("episode")
    with Wrong(made(tmp_path)) as sim:
        sim.run()
        sim.run()
    assert said(capsys, "episode")[-1] == (
        "the last answer is not taken: reward: must be a number, not 'x'"
    )


def test_records_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "r.json"
    brain = made(tmp_path, {"training": {"episodes": 1}}, record_file=str(record))
    Logger().set_enabled("record")
    by_run(ThreeSteps(brain))
    size = record.stat().st_size
    by_run(ThreeSteps(brain))
    opened = [f"{record}: is opened at {n} bytes, 15 keys" for n in (0, size)]
    closed = f"{record}: is closed"
    assert said(capsys, "record") == [opened[0], closed, opened[1], closed]


def test_a_config_tells_where_its_values_are_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AB_ROS_URL", "elsewhere")
    monkeypatch.setenv("AB_ROS_EPISODES", "7")
    (tmp_path / ".bonsai").write_text("[DEFAULT]\nepisodes = 8\naccesskey = secret\n")
    (tmp_path / ".brains").write_text('{"brains": [{"name": "arm"}]}')
    config = Config(["program", "--verbose", "--predict", "3"])
    config.predict = False
    told = said(capsys, "config")
    assert told[0] == f"profile DEFAULT, working directory {tmp_path}"
    for line in (
        "url = elsewhere, from environment variable AB_ROS_URL",
        f"episodes = 8, from {tmp_path / '.bonsai'} [DEFAULT] episodes",
        f"accesskey = ***, from {tmp_path / '.bonsai'} [DEFAULT] accesskey",
        "brain = arm, from ./.brains",
        "brain_version = 3, from the command line",
        "predict = True, from the command line",
    ):
        assert line in told
    assert told[-1] == "predict = False, from the program"
