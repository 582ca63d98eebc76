"""Paths of fields are looked up in a message's declared types, before one has come."""

from __future__ import annotations

from typing import Any

import pytest

from ab_ros.codec.field_types import declared_size
from ab_ros.codec.fields import FieldPath
from ab_ros.errors import ConfigError


def message(name: str, **fields: str) -> Any:
    return type(name, (), {"get_fields_and_field_types": classmethod(lambda _: dict(fields))})


Point = message("Point", x="double", y="double")
KNOWN = {"geometry/Point": Point, "std/Header": message("Header", frame_id="string", seq="uint32")}
Cloud = message(
    "Cloud",
    header="std/Header",
    count="int32",
    ok="boolean",
    raw="octet",
    names="sequence<string>",
    ranges="sequence<float>",
    few="sequence<float, 8>",
    covariance="double[36]",
    centre="geometry/Point",
    corners="geometry/Point[4]",
    points="sequence<geometry/Point>",
)


def size(path: str) -> int | None:
    return declared_size(FieldPath.parse(path), Cloud, KNOWN.__getitem__)


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("count", 1),
        ("ok", 1),
        ("header.seq", 1),
        ("centre.x", 1),
        ("ranges", None),
        ("ranges[*]", None),
        ("few[*]", None),
        ("ranges[3]", 1),
        ("ranges[-1]", 1),
        ("ranges[2:5]", 3),
        ("ranges[-4:]", 4),
        ("ranges[2:]", None),
        ("ranges[:-2]", None),
        ("ranges[-4:-1]", 3),
        ("covariance", 36),
        ("covariance[*]", 36),
        ("covariance[-2:]", 2),
        ("covariance[7]", 1),
        ("corners[*].x", 4),
        ("corners[1:3].y", 2),
        ("points[*].x", None),
        ("points[2].x", 1),
        ("points[2:5].x", 3),
    ],
)
def test_how_many_numbers_a_path_leads_to(path: str, numbers: int | None) -> None:
    assert size(path) == numbers


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("speed", r"'speed': the message \(Cloud\) has no 'speed'; one of: header, count, ok"),
        ("centre.z", r"centre \(geometry/Point\) has no 'z'; one of: x, y"),
        ("count.x", "has no 'x'; it has no fields"),
        ("points.x", r"it is a list: points\[\*\] or points\[0\] names items of it"),
        ("count[0]", "count .* is no list"),
        ("centre[0].x", "centre .* is no list"),
        ("covariance[36]", "covariance has 36 items"),
        ("covariance[30:40]", "covariance has 36 items"),
        ("corners[-5].x", "corners has 4 items"),
        ("centre", "is no number, but geometry/Point; name one of its fields: x, y"),
        ("corners[*]", "is no number, but geometry/Point; name one"),
        ("points", "is no number, but sequence<geometry/Point>; name one of its fields: x, y"),
        ("header.frame_id", "is no number, but string"),
        ("names[*]", "is no number, but string"),
        ("raw", "is no number, but octet"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        size(path)
