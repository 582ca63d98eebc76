"""Reading the fields of a message that came over the network, each checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from ab_ros.errors import ProtocolError, shown

LONGEST_TEXT = 256
LARGEST_INTEGER = 2**53
_MOST_ITEMS = 4096


def read_object(event: str, payload: Any) -> Mapping[str, Any]:
    """Return a payload that is an object."""
    if not isinstance(payload, Mapping):
        raise ProtocolError(f"{event}: must be an object, not {shown(payload)}")
    return payload


def read_text(event: str, data: Mapping[str, Any], key: str) -> str:
    """Return a text of 1 to 256 characters."""
    value = data.get(key)
    if is_text(value):
        return value
    raise ProtocolError(
        f"{event}: {key} must be a text of 1 to {LONGEST_TEXT} characters, not {shown(value)}"
    )


def read_optional_text(event: str, data: Mapping[str, Any], key: str) -> str:
    """Return a text; "" where it is missing or null."""
    return "" if data.get(key) is None else read_text(event, data, key)


def read_integer(event: str, data: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """Return an integer of at least 0, which may be given as a text or a whole number."""
    value = data.get(key)
    if value is None and default is not None:
        return default
    number = -1
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        number = int(value)
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else -1
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if not 0 <= number <= LARGEST_INTEGER:
        raise ProtocolError(f"{event}: {key} must be an integer of at least 0, not {shown(value)}")
    return number


def read_number(
    event: str, data: Mapping[str, Any], key: str, default: float | None = None
) -> float:
    """Return a finite number."""
    value = data.get(key)
    if value is None and default is not None:
        return default
    return finite(event, key, value)


def read_numbers(event: str, data: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """Return a list of finite numbers; an empty one where it is missing or null."""
    items = read_list(event, data, key)
    return tuple(finite(event, f"{key}[{index}]", item) for index, item in enumerate(items))


def read_list(event: str, data: Mapping[str, Any], key: str, most: int = _MOST_ITEMS) -> list[Any]:
    """Return a list of at most ``most`` items; an empty one where it is missing or null."""
    value = data.get(key)
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ProtocolError(f"{event}: {key} must be a list, not {shown(value)}")
    if len(value) > most:
        raise ProtocolError(f"{event}: {key} must have at most {most} items, not {len(value)}")
    return list(value)


def read_mapping(event: str, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object; an empty one where it is missing or null."""
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ProtocolError(f"{event}: {key} must be an object, not {shown(value)}")
    return value


def finite(event: str, key: str, value: Any) -> float:
    """Return a finite number as float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ProtocolError(f"{event}: {key} must be a number, not {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ProtocolError(f"{event}: {key} must be finite, not {number}")
    return number


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a value is a text of 1 to 256 characters that can be written as UTF-8."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        return False
    try:
        # JSON can escape halves of a pair of surrogates, which no file or log can take.
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
