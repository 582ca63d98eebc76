"""Where a training's settings come from, and which of them wins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from training_parts import made

from ab_ros.errors import ConfigError, RecordError
from ab_ros.training import Config, Logger, Schema, SchemaError, VersionedBrain

Write = Callable[[str, str], None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an empty working directory beside it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    for name in ("BRAIN", "URL", "PREDICT", "EPISODES", "RECORD_FILE"):
        monkeypatch.delenv(f"AB_ROS_{name}", raising=False)
    monkeypatch.delenv("BONSAI_TRAIN_BRAIN", raising=False)
    monkeypatch.setattr(Logger, "_all", [False])  # --verbose enables all, for the whole process
    return tmp_path / "home"


LAYERS = (
    "environment",
    "home default",
    "local default",
    "home profile",
    "local profile",
    "brains file",
    "command line",
    "code",
)


@pytest.mark.parametrize("count", range(1, len(LAYERS) + 1))
def test_the_strongest_place_wins(home: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    used = LAYERS[:count]
    if "environment" in used:
        monkeypatch.setenv("BONSAI_TRAIN_BRAIN", "environment")
    for place, path in (("home", home), ("local", Path())):
        text = ""
        if f"{place} default" in used:
            text += f"[DEFAULT]\nbrain = {place} default\nusername = admin\n"
        if f"{place} profile" in used:
            text += f"[dev]\nbrain = {place} profile\n"
        elif "home profile" in used or place == "home":
            text += "[dev]\n"
        (path / ".bonsai").write_text(text)
    if "brains file" in used:
        Path(".brains").write_text('{"brains": [{"name": "brains file", "default": true}]}')
    arguments = ["program"] + (["--brain", "command line"] if "command line" in used else [])
    config = Config(arguments, "dev")
    if "code" in used:
        config.brain = "code"
    assert config.brain == used[-1]


def test_the_documents_file_with_a_profile(home: Path) -> None:
    (home / ".bonsai").write_text(
        "[DEFAULT]\nusername = admin\naccesskey = None\nprofile = dev\n\n"
        "[dev]\nurl = http://localhost:5000\nusername = alice\n"
        "accesskey = 00000000-1111-2222-3333-000000000001\n"
    )
    config = Config()
    assert config.profile == "dev"
    assert (config.url, config.username) == ("http://localhost:5000", "alice")
    assert config.accesskey == "00000000-1111-2222-3333-000000000001"
    assert config.accesskey not in str(config) and "url = http" in str(config)
    with pytest.raises(ConfigError, match="is a server, but brains are trained in a folder"):
        config.folder  # noqa: B018
    assert Config("DEFAULT").accesskey is None


def test_keys_and_their_kinds(home: Path) -> None:
    config = Config(
        ["program", "--predict=3", "--record", "a.csv", "--url", "b", "--proxy", "myproxy:5000"]
    )
    assert (config.predict, config.brain_version, config.proxy) == (True, 3, "myproxy:5000")
    assert (config.record_file, config.record_format) == ("a.csv", "csv")
    assert config.record_enabled is True
    config.record_file = "foobar.json"
    assert config.record_format == "json"
    config.record_enabled = False
    assert config.record_enabled is False
    with pytest.raises(AttributeError, match="record_format follows from record_file"):
        config.record_format = "csv"  # type: ignore[misc]
    with pytest.raises(ConfigError, match="predict: must be true or false, not 1"):
        config.predict = 1  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="brain_version: must be a whole number"):
        config.brain_version = -1
    with pytest.raises(AttributeError, match="has no key 'predcit'"):
        config.predcit = True
    with pytest.raises(RecordError, match="no extension"):
        config.record_file = "foobar"


def test_unknown_arguments_are_ignored(home: Path) -> None:
    config = Config(["program", "--headless", "--brain", "b", "--pre", "x", "file"])
    assert config.brain == "b" and config.predict is False


def test_help_lists_the_switches(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        Config(["program", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for switch in ("--brain", "--predict", "--url", "--record", "--verbose", "--brain-version"):
        assert switch in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[DEFAULT]\npredict = maybe\n", r"\.bonsai \[DEFAULT\] predict: must be one of: true"),
        ("[DEFAULT]\nbrain_version = -1\n", "brain_version: must be a whole number"),
        ("[DEFAULT]\nprofile = other\n[dev]\n", "profile 'other'.*one of: dev"),
        ("no section\n", "cannot be read"),
    ],
)
def test_files_that_do_not_fit_are_named(home: Path, text: str, says: str) -> None:
    Path(".bonsai").write_text(text)
    with pytest.raises(ConfigError, match=says):
        Config()


def test_without_a_brains_name_there_is_a_friendly_error(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"no brain is named: pass --brain NAME, or set 'brain'"):
        VersionedBrain(Config(["program"]))
    with pytest.raises(ConfigError, match=r"'other' is not in the folder brains.*none yet"):
        VersionedBrain(Config(), "other")
    with pytest.raises(ConfigError, match="a name has letters"):
        VersionedBrain(Config(), "../up")


def test_nothing_is_written_to_the_home_directory(home: Path) -> None:
    Config(["program", "--brain", "b", "--verbose", "--record", "r.csv"])
    made(Path("here"))
    assert list(home.iterdir()) == []


def test_a_brain_tells_about_itself(home: Path) -> None:
    brain = made(Path("here"))
    assert brain.name == "cartwheel" and brain.description == "Slows down, or does not."
    assert (brain.latest_version, brain.status) == (0, "new")
    assert "cartwheel" in str(brain) and brain.config.brain == "cartwheel"
    (brain.folder / "definition.yaml").write_text("simulator: 3\n")
    with pytest.raises(ConfigError, match=r"definition\.yaml:1: simulator: must be a mapping"):
        brain.update()


# Schemas


def test_values_are_coerced_to_their_types() -> None:
    schema = Schema("state", {"a": "Float32", "b": "Int8{0:9}", "c": "Bool", "d": "Int8{-1, 1}"})
    read = schema.read({"a": 0.1, "b": 3.0, "c": 1, "d": -1})
    assert read.a == 0.10000000149011612 and (read.b, read.c, read["d"]) == (3, True, -1)
    assert isinstance(read.b, int) and isinstance(read.c, bool)
    with pytest.raises(AttributeError, match="no field 'e'"):
        read.e  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("Int8", 200, "within -128 to 127"),
        ("Int8", 1.5, "a whole number"),
        ("UInt8{1:3}", 4, "a number within 1 to 3"),
        ("Int8{0, 2}", 1, "one of: 0, 2"),
        ("Bool", 2, "true or false"),
        ("Float32", 1e300, "that a Float32 can hold"),
        ("Float32{-1:1}", 1.5, "within -1 to 1"),
        ("Float64", float("inf"), "finite"),
        ("Float64", "1", "a number"),
        ("Float64", None, "a number"),
    ],
)
def test_values_that_do_not_fit_say_what_would(kind: str, value: object, says: str) -> None:
    with pytest.raises(SchemaError, match=rf"config\.x: must be.*{says}"):
        Schema("config", {"x": kind}).read({"x": value})


@pytest.mark.parametrize(
    "text",
    ["Float", "Int8{2:1}", "Int8{1.5:2}", "Int8{0, 0}", "Bool{0, 1}", "Int8{0:300}", "Int8{"],
)
def test_types_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="config: field 'x'"):
        Schema("config", {"x": text})


def test_what_follows_predict_and_is_no_version_gets_a_hint(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        Config(["program", "--predict", "file.txt"])
    said = capsys.readouterr().err
    assert "not 'file.txt': write --predict last, or --predict=NUMBER" in said
    assert Config(["program", "file.txt", "--predict"]).brain_version == 0
