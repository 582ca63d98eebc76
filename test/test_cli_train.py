"""``ab_ros train``: where its settings come from, what it looks up, refuses and says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_parts import VALLEY

from ab_ros.cli import main
from ab_ros.cli.progress import ProgressBar
from ab_ros.config import overlay
from ab_ros.environments import Channel, Environment
from ab_ros.training import Config, VersionedBrain
from ab_ros.training.logger import Logger

OWN = """
from ab_ros.training import Simulator

class Own(Simulator):
    def episode_start(self, parameters):
        import beside_{name}  # as late as it likes
        self.steps = 0
        return {{"place": 0.5}}

    def simulate(self, action):
        self.steps += 1
        return {{"place": 0.5}}, 1.0, self.steps == 3

def double(state, action, after, reward, terminal):
    return 2.0 * reward

def level(state):
    return 0.0

def over(state):
    return True
"""
SCHEMAS = {"action": {"shove": "Float32{-1:1}"}, "state": {"place": "Float32{-1:1}"}}


class Endless(Environment):
    """Nothing says when an episode is over."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.m_channels = [Channel("shove", (-1.0, 1.0))]
        self.s_channels = [Channel("place", (-1.0, 1.0)), Channel("reward")]

    def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
        return {"place": 0.0, "reward": 1.0}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the settings of whoever runs the tests out of them."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def logger() -> Any:
    yield Logger()
    Logger().set_enable_all(False)
    Logger._enabled.clear()


def written(folder: Path, changes: Mapping[str, Any] | None = None, **keys: Any) -> Path:
    path = folder / "file.yaml"
    document = {**overlay(VALLEY, changes or {}), **keys}
    text = yaml.safe_dump({k: v for k, v in document.items() if v is not None}, sort_keys=False)
    path.write_text(text)
    return path


def train(path: Path, *arguments: str) -> int:
    folder = path.parent
    places = ["--brains", str(folder / "brains"), "--out", str(folder / "out")]
    return main(["train", str(path), *places, *arguments])


def brain(folder: Path, name: str = "valley") -> VersionedBrain:
    config = Config()
    config.url = str(folder / "brains")
    return VersionedBrain(config, name)


# Looking up


def test_a_simulator_and_functions_may_stand_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "own_simulator_1.py").write_text(OWN.format(name=1))
    (tmp_path / "beside_1.py").write_text("")
    changes = {
        "environment": {"classname": "own_simulator_1.Own"},
        "simulator": SCHEMAS,
        "reward": {"potential": "own_simulator_1:level"},
        "lessons": [{"reward": "own_simulator_1:double"}],
    }
    path = written(tmp_path, **changes)
    assert train(path) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["steps"], summary["mean_reward"]) == (12, 6.0)
    assert train(path, "--predict") == 0


def test_the_end_of_an_environment_may_stand_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "own_simulator_2.py").write_text(OWN.format(name=2))
    path = written(tmp_path, {"environment": {"terminal": "own_simulator_2:over"}})
    assert train(path) == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["steps"] == 4


def test_a_brains_file_is_taken_from_the_folder_of_the_training(tmp_path: Path) -> None:
    # The folder that the command runs in is another one.
    assert train(written(tmp_path)) == 0
    (tmp_path / "brains" / "valley" / "versions" / "1.brain").rename(tmp_path / "mine.brain")
    path = written(tmp_path, neurons={"file": "mine.brain", "full_count": 4.0})
    assert train(path, "--brain", "other") == 0
    assert brain(tmp_path, "other").latest_version == 1


# Settings


def test_settings_of_other_places_count_where_the_command_line_says_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    (home / ".bonsai").write_text("[DEFAULT]\nepisodes = 2\n")
    assert train(path) == 0
    assert "episodes  2," in capsys.readouterr().out
    assert train(path, "--episodes", "3") == 0
    assert "episodes  3," in capsys.readouterr().out
    monkeypatch.setenv("AB_ROS_PREDICT", "true")
    monkeypatch.setenv("AB_ROS_BRAIN_VERSION", "1")
    assert train(path) == 0
    assert "valley, version 1:" in capsys.readouterr().out
    assert train(path, "--predict", "2") == 0
    assert "valley, version 2:" in capsys.readouterr().out
    assert train(path, "--restart") == 0
    assert "valley, version 3:" in capsys.readouterr().out


def test_the_brain_is_named_by_the_command_line_the_file_or_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nameless = written(tmp_path, brain=None)
    assert train(nameless) == 2
    assert "file.yaml: brain: is required but missing" in capsys.readouterr().err
    monkeypatch.setenv("AB_ROS_BRAIN", "of_the_settings")
    assert train(nameless) == 0
    named = written(tmp_path)
    assert train(named) == 0
    assert train(named, "--brain", "of_the_line") == 0
    found = {folder.name for folder in (tmp_path / "brains").iterdir()}
    assert found == {"of_the_settings", "valley", "of_the_line"}


def test_domains_of_the_log_are_switched_on(tmp_path: Path, logger: Logger) -> None:
    path = written(tmp_path)
    assert train(path, "--log", "arm", "--log", "leg") == 0
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", said)
        logger.arm("one")
        logger.head("two")
        assert train(path, "--verbose") == 0
        logger.head("three")
    assert "[arm] one" in said.getvalue() and "two" not in said.getvalue()
    assert "[head] three" in said.getvalue()


def test_a_config_after_predict_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--predict", "cartpole.yaml"])
    said = capsys.readouterr().err
    assert "'cartpole.yaml'" in said and "--predict=NUMBER" in said


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("train", ("| `environment.classname` |", "| `training.max_steps` | integer | 0 |")),
        ("train", ("| `lessons[].until_success` | number | 0.0 |", "| `brain` |")),
        ("explore", ("| `goals.channels` |", "| `steps` | integer | 1000 |")),
    ],
)
def test_settings_of_files_are_listed(
    capsys: pytest.CaptureFixture[str], name: str, rows: tuple[str, ...]
) -> None:
    assert main(["settings", name]) == 0
    said = capsys.readouterr().out
    assert all(row in said for row in rows)


# What is refused, and where it stands


@pytest.mark.parametrize(
    ("changes", "line", "says"),
    [
        ({"neurons": {"options": {"cels": 3}}}, "cels", "neurons.options.cels: unknown key"),
        ({"neurons": {"synapse": {"lrr": 3}}}, "lrr", "neurons.synapse.lrr: is not a setting"),
        ({"neurons": {"file": "x.brain"}}, "gamma", "neurons.gamma: has no effect beside"),
        ({"reward": {"potential": "no:f"}}, "potential", "reward.potential: 'no:f' cannot be"),
        ({"environment": {"terminal": "no:f"}}, "terminal", "environment.terminal: 'no:f' cannot"),
        ({"environment": {"classname": "no.F"}}, "classname", "environment.classname: 'no.F' can"),
        ({"environment": {"constnt": {}}}, "constnt", "environment.constnt: unknown key"),
        ({"environment": {"constant": {"wind": 9}}}, "wind", "constant.wind: must be within -1"),
        ({"environment": {"constant": {"rain": 9}}}, "constant", "constant: no motor channel 'r"),
        (
            {"environment": {"channels": {"place": "z"}}},
            "place",
            "environment.channels.place: there is no channel 'z'",
        ),
        (
            {"simulator": {"state": {"speed": "Bool"}}},
            "speed",
            "simulator.state.speed: there is no channel 'speed'",
        ),
        (
            {"simulator": {"action": {"shove": "Float32{-1:2}"}}},
            "shove: Float32",
            "simulator.action.shove: Float32{-1.0:2.0} goes beyond the motor channel 'push', which"
            " must be within -1 to 1",
        ),
        ({"simulator": {"state": {"place": "Float32{1}"}}}, "state", "at least two values"),
        ({"simulator": {"action": {"shove": "Int8{1}"}}}, "action", "at least two values"),
        ({"lessons": [{}, {"reward": "no:f"}]}, "- reward", "lessons[1].reward: 'no:f' cannot be"),
        ({"lessons": [{"over": 0}]}, "over", "lessons[0].over: 0 is not allowed"),
        ({"lessons": [{"until_success": 1}]}, "until_success", "lessons[0].until_success: needs"),
    ],
)
def test_what_does_not_fit_is_told_where_it_stands(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    line: str,
    says: str,
) -> None:
    changes.setdefault("lessons", [{}])
    if len(changes["lessons"]) == 2:
        changes["lessons"][0]["episodes"] = 1
    path = written(tmp_path, changes)
    assert train(path) == 2
    said = capsys.readouterr().err
    number = next(k for k, text in enumerate(path.read_text().splitlines(), 1) if line in text)
    assert f"{path}:{number}: " in said and says in said


def test_settings_of_an_environment_are_told_where_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = "ab_ros.environments.worm_environment.WormArena"
    path = written(tmp_path, environment={"classname": world, "cfg": {"tiks": 5}})
    assert train(path) == 2
    assert f"{path}:5: environment.cfg.tiks: unknown key" in capsys.readouterr().err


def test_an_episode_without_an_end_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"environment": {"classname": "test_cli_train.Endless"}, "simulator": SCHEMAS}
    path = written(tmp_path, **changes)
    assert train(path) == 2
    assert "training.max_steps: is needed, as nothing else ends an" in capsys.readouterr().err
    assert train(written(tmp_path, {"training": {"max_steps": 5}}, **changes)) == 0


@pytest.mark.parametrize("option", ["--out", "--signals", "--record"])
def test_what_cannot_be_written_is_told_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (tmp_path / "file").write_text("")
    path = written(tmp_path)
    name = tmp_path / "file" / ("steps.csv" if option == "--record" else "folder")
    assert train(path, option, str(name)) == 1
    assert f"{option} {tmp_path / 'file'}" in capsys.readouterr().err
    assert not (tmp_path / "brains").exists()


# Going on, and predicting


def test_resume_says_or_refuses_where_nothing_was_broken_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    assert train(path, "--resume") == 0
    assert "no training was broken off; this one begins anew" in capsys.readouterr().out
    assert train(path, "--resume") == 2
    assert "its version 1 is finished" in capsys.readouterr().err
    assert brain(tmp_path).versions == (1,)
    assert train(path, "--resume", "--seed", "3") == 0  # That is another one.
    assert train(path) == 0
    assert brain(tmp_path).versions == (1, 2, 3)


def test_settings_that_ask_to_resume_do_not_refuse_a_new_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AB_ROS_RESUME", "yes")
    path = written(tmp_path)
    assert train(path) == train(path) == 0
    assert brain(tmp_path).versions == (1, 2)


def test_a_prediction_leaves_a_summary_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    assert train(path) == 0
    learned = (tmp_path / "out" / "summary.json").read_bytes()
    assert train(path, "--predict", "--episodes", "3") == 0
    told = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (told["brain"], told["version"], told["episodes"]) == ("valley", 1, 3)
    assert told["mean_reward"] == pytest.approx(sum(told["results"]["reward"]) / 3)
    assert (tmp_path / "out" / "prediction.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "out" / "prediction.json") in capsys.readouterr().out
    assert (tmp_path / "out" / "summary.json").read_bytes() == learned


# The bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_there_before_the_first_episode_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    made: Callable[..., ProgressBar] = ProgressBar
    monkeypatch.setattr("ab_ros.cli.train.ProgressBar", lambda *a: made(*a, screen))
    monkeypatch.setattr("ab_ros.cli.progress._PERIOD", 0.0)
    assert train(written(tmp_path)) == 0
    lines = [line.removesuffix("\033[K") for line in screen.getvalue().strip().split("\r")]
    lines = [line for line in lines if line.strip()]
    assert lines[0].endswith("  0%  0 / 4 episodes")
    assert any(line.endswith("  0 / 4 episodes  step 4") for line in lines)
    assert any("(last 1), step 2" in line for line in lines)
    assert "100%  4 / 4 episodes" in lines[-1]


# The page


def test_the_page_lists_every_setting_of_the_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (root / "docs" / "training.md").read_text(encoding="utf-8")
    table = page.split("<!-- settings: begin -->\n")[1].split("<!-- settings: end -->")[0]
    assert main(["settings", "train"]) == 0
    assert table == capsys.readouterr().out
