"""Configuration: one clear error that says where, what, and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ab_ros.config import (
    describe,
    flatten,
    load_yaml,
    nest,
    node_parameters,
    parse,
    rules,
    setting,
)
from ab_ros.errors import ConfigError


@dataclass(frozen=True)
class Limit:
    lower: float = setting(-1.0, doc="Lower end.", unit="rad")
    upper: float = setting(1.0, doc="Upper end.", unit="rad", le=3.0)

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ConfigError("lower: must be below upper")


@dataclass(frozen=True)
class Robot:
    name: str = setting(doc="Name.")
    gain: float = setting(1.0, doc="Gain.", gt=0.0, le=10.0, live=True)
    mode: str = setting("hold", doc="Stop action.", one_of=("hold", "ramp"))
    joints: tuple[str, ...] = setting((), doc="Joints.")
    limits: dict[str, Limit] = setting(dict, doc="Limits by joint.")
    rate: int | None = setting(None, doc="Rate.", ge=1)


def test_nested_settings_are_parsed_and_defaults_filled_in() -> None:
    robot = parse(Robot, {"name": "arm", "gain": 2, "limits": {"pan": {"lower": -2}}})
    assert robot.gain == 2.0 and isinstance(robot.gain, float)
    assert robot.limits["pan"] == Limit(-2.0, 1.0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "a", "gian": 1.0}, "gian: unknown key; did you mean 'gain'?"),
        ({"gain": 1.0}, "name: is required"),
        ({"name": "a", "gain": 0.0}, "0.0 is not allowed; must be > 0 and <= 10"),
        ({"name": "a", "gain": float("nan")}, "nan is not allowed"),
        ({"name": "a", "gain": "1"}, "must be a number, not '1' (str)"),
        ({"name": "a", "gain": True}, "must be a number"),
        ({"name": "a", "mode": "stop"}, "'stop' is not allowed; must be one of: hold, ramp"),
        ({"name": "a", "joints": "pan"}, "must be a list"),
        ({"name": "a", "joints": [1]}, "must be text"),
        ({"name": "a", "limits": {"pan": {"upper": 4.0}}}, "limits.pan.upper: 4.0"),
        ({"name": "a", "limits": {"pan": {"lower": 2.0}}}, "limits.pan: lower: must be below"),
        ({"name": "a", "limits": [1]}, "must be a mapping"),
        ({"name": "a", "rate": 0}, "must be >= 1"),
    ],
)
def test_bad_settings_are_refused_with_what_is_allowed(data: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(Robot, data)
    assert says in str(error.value)


def test_an_error_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**/motor:\n  ros__parameters:\n    name: arm\n    gain: -1.0\n")
    data, source = load_yaml(file)
    parameters, below = node_parameters(data, source, "motor")
    with pytest.raises(ConfigError, match=r"robot\.yaml:4: gain: -1\.0 is not allowed"):
        parse(Robot, parameters, below)


def test_a_later_more_specific_block_wins(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(
        "motor:\n  ros__parameters:\n    gain: 2.0\n/**:\n  ros__parameters:\n    gain: 1.0\n"
        "    name: all\n"
    )
    data, source = load_yaml(file)
    assert node_parameters(data, source, "motor")[0] == {"gain": 2.0, "name": "all"}
    assert node_parameters(data, source, "brain")[0] == {"gain": 1.0, "name": "all"}


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "not valid YAML"), ("- a", "must hold a mapping"), ("a: 1\na: 2\n", ":2: key 'a'")],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_yaml(file)
    assert "bad.yaml" in str(error.value) and says in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_yaml(tmp_path / "nowhere.yaml")


def test_flat_names_and_nested_mappings_are_inverse() -> None:
    robot = parse(Robot, {"name": "arm", "limits": {"pan": {}}})
    flat = dict(flatten(robot))
    assert flat["limits.pan.upper"] == 1.0
    assert parse(Robot, nest(flat)) == robot


def test_every_setting_is_described() -> None:
    names = [name for name, _, _ in rules(Robot)]
    assert "limits.*.lower" in names
    table = describe(Robot)
    assert "| `gain` | number | 1.0 | > 0 and <= 10 | Gain. (live) |" in table
    assert "| `name` | text | required |  | Name. |" in table
    assert "| `limits.*.upper` | number | 1.0 | <= 3 rad | Upper end. |" in table
    assert "| `joints` | list of text | [] |  | Joints. |" in table


@dataclass(frozen=True)
class Part:
    size: int = setting(doc="", ge=1)


@dataclass(frozen=True)
class Whole:
    parts: dict[str, Part] = setting(dict, doc="")
    name: str = setting("", doc="")


def test_an_error_has_all_others_with_it() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Whole, {"nmae": 1, "parts": {"a": {"size": 0}, "b": {}, "c": {"size": 1}}, "name": 2})
    every = [caught.value, *caught.value.also]
    assert [error.path for error in every] == [
        ("nmae",),
        ("parts", "a", "size"),
        ("parts", "b", "size"),
        ("name",),
    ]
    assert str(every[2]) == "parts.b.size: is required but missing"


@dataclass(frozen=True)
class Listed:
    parts: tuple[Part, ...] = setting((), doc="")

    def __post_init__(self) -> None:
        if len(self.parts) > 2:
            raise ConfigError("parts[2]: is one too many")


def test_entries_of_lists_are_told_by_number_and_line(tmp_path: Path) -> None:
    file = tmp_path / "listed.yaml"
    file.write_text("parts:\n- size: 1\n- {size: 0}\n")
    data, source = load_yaml(file)
    with pytest.raises(ConfigError, match=r"listed\.yaml:3: parts\[1\]\.size: 0 is not allowed"):
        parse(Listed, data, source)
    file.write_text("parts:\n- size: 1\n- size: 2\n- size: 3\n")
    data, source = load_yaml(file)
    with pytest.raises(ConfigError, match=r"listed\.yaml:4: parts\[2\]: is one too many"):
        parse(Listed, data, source)
    assert "| `parts[].size` | integer | required | >= 1 |  |" in describe(Listed)


def test_an_error_of_one_who_knew_no_file_is_placed(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("world:\n  cfg:\n    gain: 1\n")
    source = load_yaml(file)[1].within("world")
    known = source.placed(ConfigError("gain: is too small"), "cfg")
    assert str(known) == f"{file}:3: world.cfg.gain: is too small"
    other = source.placed(ConfigError("the gain: is too small"), "cfg")
    assert str(other) == f"{file}:2: world.cfg: the gain: is too small"
    assert source.placed(known, "cfg") is known
