"""Numbers are read from any message by the paths of its fields, or it is said where a path ends."""

from __future__ import annotations

import array
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.codec.fields import FieldPath, FieldReader, FieldSettings
from ab_ros.config import parse
from ab_ros.errors import ConfigError, ObservationError


@dataclass
class Point:
    x: float = 0.0
    y: float = 0.0


class Slotted(SimpleNamespace):
    """As generated messages are: private slots, and a list of fields."""

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        return {"linear": "Vector3", "angular": "Vector3"}


@dataclass
class Cloud:
    points: list[Point] = field(default_factory=lambda: [Point(i, -i) for i in range(6)])
    ranges: Any = field(default_factory=lambda: array.array("f", [0.5, 1.5, 2.5, 3.5]))
    name: list[str] = field(default_factory=lambda: ["pan", "tilt"])
    frame: str = "laser"
    on: bool = True
    count: int = 7
    table: Any = field(default_factory=lambda: np.arange(6).reshape(2, 3))
    cells: Any = field(
        default_factory=lambda: np.array([(1, 2.5), (3, 4.5)], [("id", "i4"), ("volt", "f4")])
    )
    twist: Any = field(
        default_factory=lambda: Slotted(
            linear={"x": 1.25, "y": np.float32(0.5)}, angular=SimpleNamespace(z=np.int16(-3))
        )
    )
    empty: list[Point] = field(default_factory=list)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("count", [7]),
        ("on", [1]),
        ("twist.linear.x", [1.25]),
        ("twist.linear.y", [0.5]),
        ("twist.angular.z", [-3]),
        ("ranges", [0.5, 1.5, 2.5, 3.5]),
        ("ranges[*]", [0.5, 1.5, 2.5, 3.5]),
        ("ranges[2]", [2.5]),
        ("ranges[-1]", [3.5]),
        ("ranges[1:3]", [1.5, 2.5]),
        ("ranges[:2]", [0.5, 1.5]),
        ("ranges[-2:]", [2.5, 3.5]),
        ("ranges[:]", [0.5, 1.5, 2.5, 3.5]),
        ("points[2:5].x", [2, 3, 4]),
        ("points[*].y", [0, -1, -2, -3, -4, -5]),
        ("points[0].x", [0]),
        ("table", [0, 1, 2, 3, 4, 5]),
        ("table[1]", [3, 4, 5]),
        ("table[1][0]", [3]),
        ("table[*][2]", [2, 5]),
        ("table[*][0:2]", [0, 1, 3, 4]),
        ("cells.volt", [2.5, 4.5]),
        ("cells[*].id", [1, 3]),
        ("cells[1].volt", [4.5]),
        ("empty[*].x", []),
        ("empty", []),
    ],
)
def test_a_path_leads_to_its_numbers(path: str, expected: list[float]) -> None:
    values = FieldPath.parse(path).read(Cloud())
    assert values.dtype == np.float64
    assert values.tolist() == expected


def test_mappings_and_objects_are_read_alike() -> None:
    nested = {"twist": {"linear": {"x": 2}}, "data": (1, 2.5, True)}
    assert FieldPath.parse("twist.linear.x").read(nested).tolist() == [2]
    assert FieldPath.parse("data[1:]").read(nested).tolist() == [2.5, 1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("twist.linier.x", r"twist \(Slotted\) has no 'linier'; one of: linear, angular"),
        ("twist.linear.w", r"twist\.linear \(dict\) has no 'w'; one of: x, y"),
        ("twit", r"the message \(Cloud\) has no 'twit'; one of: points, ranges, name"),
        ("count.x", r"count \(int\) has no 'x'; it has no fields"),
        ("points.x", r"points \(list\) has no 'x'; it is a list: points\[\*\] or points\[0\]"),
        ("points[9].x", "points has 6 items"),
        ("points[4:7].x", "points has 6 items"),
        ("ranges[-5]", "ranges has 4 items"),
        ("count[0]", r"count \(int\) is no list"),
        ("frame[0]", r"frame \(str\) is no list"),
        ("points[1][0]", r"points\[1\] \(Point\) is no list"),
        ("name", "is no number, but list of str$"),
        ("name[0]", "is no number, but str$"),
        ("frame", "is no number, but str"),
        ("twist", "is no number, but Slotted; name one of its fields: linear, angular"),
        ("points", "is no number, but list of Point; name one of its fields: x, y"),
        ("points[2]", "is no number, but Point; name one of its fields: x, y"),
        ("cells", "is no number, but list of void; name one of its fields: id, volt"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path: str, words: str) -> None:
    with pytest.raises(ObservationError, match=f"scan: field '.*': {words}"):
        FieldPath.parse(path).read(Cloud(), "scan")


@pytest.mark.parametrize(
    "value", [None, b"abc", "1", [1, "2"], [[1], [2, 3]], [10**400], 10**400, 1j, {"a": 1}, [None]]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ObservationError, match="field 'data': is no number"):
        FieldPath.parse("data").read({"data": value})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "field '': '' must be a name"),
        ("a..b", "field 'a..b': '' must be a name"),
        ("a.", "must be a name"),
        (".a", "must be a name"),
        ("[0]", r"'\[0\]' must be a name"),
        ("a b", "'a b' must be a name"),
        ("a[0", r"'a\[0' must be a name"),
        ("a[0]b", "must be a name"),
        ("a[]", "'' in brackets must be"),
        ("a[1:2:3]", "'1:2:3' in brackets must be"),
        ("a[x]", "'x' in brackets must be"),
        ("a[1.5]", "must be a name"),
        ("a[--1]", "'--1' in brackets"),
        ("a[99999999999999999999]", "in brackets must be"),
        ("__class__()", "must be a name"),
    ],
)
def test_what_is_no_path_is_refused_when_it_is_set(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FieldPath.parse(path)
    with pytest.raises(ConfigError, match=words):
        parse(FieldSettings, {"fields": [path]})


def test_private_attributes_and_methods_are_no_fields() -> None:
    for path in ("__class__", "_hidden", "conjugate", "get"):
        for value in (SimpleNamespace(_hidden=1), 3, {"a": 1}, [1]):
            with pytest.raises(ObservationError, match="has no"):
                FieldPath.parse(path).read(value)


names = st.text("abcxyz_", min_size=1, max_size=4)
numbers = st.floats(allow_nan=False) | st.integers(-(2**40), 2**40)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(names, st.none() | st.integers(0, 3)), min_size=1, max_size=5), numbers)
def test_every_number_has_a_path(parts: list[tuple[str, int | None]], number: float) -> None:
    value: Any = number
    for name, place in reversed(parts):
        item = value if place is None else [None] * place + [value]
        value = {name: item} if len(name) % 2 else SimpleNamespace(**{f"a{name}": item})
    text = ".".join(
        ("" if len(name) % 2 else "a") + name + ("" if place is None else f"[{place}]")
        for name, place in parts
    )
    assert FieldPath.parse(text).read(value).tolist() == [float(number)]


garbage = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.text("abcxyz_.[]*:-0123", max_size=12) | st.text(max_size=6), st.dictionaries(names, garbage)
)
def test_whatever_comes_is_read_or_refused(path: str, message: Any) -> None:
    try:
        values = FieldPath.parse(path).read(message)
    except (ConfigError, ObservationError):
        return
    assert values.ndim == 1 and values.dtype == np.float64


def reader(*fields: str, **given: Any) -> FieldReader:
    return FieldReader(parse(FieldSettings, {"fields": list(fields), **given}))


def test_a_sample_has_its_paths_one_after_the_other() -> None:
    eye = reader("twist.linear.x", "ranges[1:3]", "count")
    values = eye.read(Cloud())
    assert values.tolist() == [1.25, 1.5, 2.5, 7]
    assert eye.size == 4
    assert not values.flags.writeable


def test_samples_keep_the_size_of_the_first_or_of_the_settings() -> None:
    scan = reader("ranges")
    scan.read({"ranges": [1.0, 2.0]})
    with pytest.raises(ObservationError, match=r"must have 2 numbers, but has 3 \(ranges 3\)"):
        scan.read({"ranges": [1.0, 2.0, 3.0]})
    with pytest.raises(ObservationError, match="scan: a sample must have 3 numbers, but has 2"):
        reader("ranges", size=3).read({"ranges": [1.0, 2.0]}, "scan")
    with pytest.raises(ObservationError, match="must have a number, but has 0"):
        reader("ranges").read({"ranges": []})


def test_a_refused_sample_does_not_set_the_size() -> None:
    scan = reader("ranges")
    with pytest.raises(ObservationError, match="must be finite"):
        scan.read({"ranges": [np.inf]})
    assert scan.read({"ranges": [1.0, 2.0]}).tolist() == [1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_their_place(bad: float) -> None:
    message = {"a": 1.0, "ranges": [1.0, bad]}
    with pytest.raises(ObservationError, match=rf"imu: field 'ranges' \(number 1\) .* not {bad}"):
        reader("a", "ranges").read(message, "imu")


def test_values_that_are_not_finite_are_replaced_where_that_is_asked_for() -> None:
    blind = reader("ranges", non_finite="replace", replacement=-1)
    assert blind.read({"ranges": [np.inf, np.nan, -np.inf, 3.0]}).tolist() == [-1, -1, -1, 3]


SCAN = {"range_min": 0.5, "range_max": 30.0, "intensities": [1.0, 2.0]}


def test_nothing_in_range_is_the_end_of_the_range() -> None:
    for scan in (reader("ranges[*]"), reader("ranges", non_finite="range_max")):
        values = scan.read({**SCAN, "ranges": [np.inf, -np.inf, 50.0, 3.0]})
        assert values.tolist() == [30, 0.5, 50, 3]
        with pytest.raises(ObservationError, match=r"number 1\) must be finite, not nan"):
            scan.read({**SCAN, "ranges": [1.0, np.nan, 1.0, 1.0]})
    assert reader("range").read({**SCAN, "range": np.inf}).tolist() == [30]
    both = reader("ranges", non_finite="range_max", replacement=-2.0)
    assert both.read({**SCAN, "ranges": [np.inf, np.nan]}).tolist() == [30, -2]


def test_infinity_means_nothing_in_range_only_in_ranges_of_messages_that_have_one() -> None:
    for fields, message, rule in (
        (["ranges"], {"ranges": [np.inf]}, {}),
        (["intensities"], {**SCAN, "intensities": [np.inf]}, {}),
        (["ranges"], {**SCAN, "ranges": [np.inf]}, {"non_finite": "refuse"}),
        (["ranges"], {**SCAN, "ranges": [np.inf], "range_max": np.inf}, {}),
        (["ranges"], {"ranges": [np.inf]}, {"non_finite": "range_max"}),
    ):
        with pytest.raises(ObservationError, match="must be finite, not inf"):
            reader(*fields, **rule).read(message)
    wide = reader("intensities", non_finite="range_max")
    assert wide.read({**SCAN, "intensities": [np.inf]}).tolist() == [30]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fields": []}, "fields: must have at least one path"),
        (
            {"fields": ["a"], "non_finite": "drop"},
            "'drop' is not allowed; must be one of: , refuse",
        ),
        ({"fields": ["a"], "non_finite": "replace"}, "replacement: is required"),
        ({"fields": ["a"], "replacement": 0.0}, "replacement: is for non_finite: replace or"),
        ({}, "fields: is required"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(FieldSettings, options)


def test_a_message_of_ros_is_read() -> None:
    messages = pytest.importorskip("sensor_msgs.msg", reason="needs ROS 2's messages")
    imu = messages.Imu()
    imu.angular_velocity.z = 0.5
    imu.orientation_covariance[4] = 2.0
    imu.header.stamp.sec = 3
    turn = reader("angular_velocity.z", "orientation_covariance[3:5]", "header.stamp.sec")
    assert turn.read(imu).tolist() == [0.5, 0, 2, 3]
    scan = messages.LaserScan(ranges=[1.0, float("inf")])
    assert FieldPath.parse("ranges[*]").read(scan).tolist() == [1, np.inf]
    joints = messages.JointState(name=["a"], position=[0.25])
    assert FieldPath.parse("position").read(joints).tolist() == [0.25]
    with pytest.raises(ObservationError, match="'name': is no number, but list of str"):
        FieldPath.parse("name").read(joints)
    with pytest.raises(ObservationError, match=r"\(Imu\) has no 'speed'; one of: header, orient"):
        FieldPath.parse("speed").read(imu)
