"""Which numbers a path of fields leads to, by the declared types of a message: before one comes.

Types are declared as ROS 2 does it: a class of messages has a method
``get_fields_and_field_types()`` that returns ``{"ranges": "sequence<float>", "header":
"std_msgs/Header", "covariance": "double[36]", …}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.codec.fields import FieldPath
from ab_ros.errors import ConfigError, one_of

_NUMBERS = re.compile(r"boolean|float|double|char|u?int(8|16|32|64)")
_ARRAY = re.compile(r"(?P<item>.+)\[(?P<size>\d+)\]")
_SEQUENCE = re.compile(r"sequence<(?P<item>[^,]+)(, *\d+)?>")


@dataclass(frozen=True)
class _Listed:
    """A list: the declared type of its items, and how many there are; None if that varies."""

    item: str
    size: int | None


def fields_of(message: Any) -> Mapping[str, str]:
    """Return the declared types of the fields of a class of messages, by name."""
    declared: Mapping[str, str] = message.get_fields_and_field_types()
    return declared


def declared_size(path: FieldPath, message: Any, find: Callable[[str], Any]) -> int | None:
    """Return how many numbers a path leads to in every message of a class; None if that varies.

    Parameters
    ----------
    path : of fields.
    message : the class.
    find : returns the class of messages that is declared as, say, ``geometry_msgs/Twist``.

    Raises
    ------
    ConfigError
        if a field is not declared, a list has fewer items, or what is there are no numbers; the
        message says what there is.
    """
    kind, count, above = "", 1, "the message"
    fields = fields_of(message)
    name = message.__name__
    for step in path.steps:
        listed = _list_of(kind)
        if isinstance(step.key, str):
            if listed is not None or not fields or step.key not in fields:
                raise ConfigError(
                    f"field {path.text!r}: {above} ({name}) has no {step.key!r};"
                    f" {_what_there_is(above, listed, fields)}"
                )
            kind = fields[step.key]
        else:
            if listed is None:
                raise ConfigError(f"field {path.text!r}: {above} ({name}) is no list")
            kind = listed.item
            size = _items(path, step.key, above, listed.size)
            count = -1 if size is None or count < 0 else count * size
        fields = _declared(kind, find)
        name, above = kind, step.text
    listed = _list_of(kind)
    item = kind if listed is None else listed.item
    if not _NUMBERS.fullmatch(item):
        below = _declared(item, find)
        hint = f"; name one of its fields: {', '.join(below)}" if below else ""
        raise ConfigError(f"field {path.text!r}: is no number, but {kind}{hint}")
    if listed is not None:
        count = -1 if listed.size is None or count < 0 else count * listed.size
    return None if count < 0 else count


def _what_there_is(above: str, listed: _Listed | None, fields: Mapping[str, str]) -> str:
    if listed is not None:
        return f"it is a list: {above}[*] or {above}[0] names items of it"
    return one_of(fields) if fields else "it has no fields"


def _list_of(kind: str) -> _Listed | None:
    if match := _ARRAY.fullmatch(kind):
        return _Listed(match["item"], int(match["size"]))
    if match := _SEQUENCE.fullmatch(kind):
        return _Listed(match["item"], None)
    return None


def _declared(kind: str, find: Callable[[str], Any]) -> Mapping[str, str]:
    return fields_of(find(kind)) if "/" in kind and _list_of(kind) is None else {}


def _items(path: FieldPath, key: int | slice, above: str, size: int | None) -> int | None:
    """Return how many items of a list are meant."""
    ends = [key] if isinstance(key, int) else [key.start or 0, key.stop or 0]
    if size is not None:
        last = size - 1 if isinstance(key, int) else size
        if any(not -size <= end <= last for end in ends):
            raise ConfigError(f"field {path.text!r}: {above} has {size} items")
    if isinstance(key, int):
        return 1
    if size is not None:
        return len(range(*key.indices(size)))
    # Both ends count from the same end of the list, and the list must have them.
    start, stop = key.start or 0, key.stop
    if stop is None:
        return -start if start < 0 else None
    same = (start < 0) == (stop < 0)
    return max(0, stop - start) if same else None
