"""Messages by name, those of packages that this one does not know included; and their stamps."""

from __future__ import annotations

import difflib
import importlib
import re
import struct
from typing import Any

from rclpy.serialization import deserialize_message

from ab_ros.codec.field_types import fields_of
from ab_ros.errors import ConfigError, one_of
from ab_ros.nodes.messages import seconds

_NAME = re.compile(r"(?P<package>[a-z][a-z0-9_]*)/(msg/)?(?P<type>[A-Za-z][A-Za-z0-9]*)", re.ASCII)
_HEADER, _STAMP = "std_msgs/Header", "builtin_interfaces/Time"


def find_message(name: str) -> type[Any]:
    """Return the class of a message, as ``sensor_msgs/msg/Imu``.

    Raises
    ------
    ConfigError
        if that is no name of a message, its package is not installed, or has no such message.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigError(
            f"{name!r} is no name of a message; must be <package>/msg/<Type>, as in"
            f" sensor_msgs/msg/Imu"
        )
    package, wanted = match["package"], match["type"]
    try:
        module = importlib.import_module(f"{package}.msg")
    except ModuleNotFoundError as error:
        if error.name not in (package, f"{package}.msg"):
            raise ConfigError(f"the messages of {package!r} cannot be loaded: {error}") from error
        raise ConfigError(
            f"{name!r} needs the ROS package {package!r}, which has no messages here: install it,"
            f" or source the workspace that has it"
        ) from None
    except ImportError as error:
        raise ConfigError(f"the messages of {package!r} cannot be loaded: {error}") from error
    message = getattr(module, wanted, None)
    if not _is_message(message):
        known = sorted(key for key in vars(module) if _is_message(getattr(module, key)))
        close = difflib.get_close_matches(wanted, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{package!r} has no message {wanted!r}{hint} It has {one_of(known)}")
    assert isinstance(message, type)
    return message


def _is_message(value: Any) -> bool:
    return isinstance(value, type) and hasattr(value, "get_fields_and_field_types")


def has_stamp(message: type[Any]) -> bool:
    """Whether messages of a class say when they were made, in ``header.stamp`` or ``stamp``."""
    fields = fields_of(message)
    return fields.get("header") == _HEADER or fields.get("stamp") == _STAMP


def stamp_of(message: Any) -> float:
    """Return the stamp of a message that has one, s."""
    return seconds(message.header.stamp if hasattr(message, "header") else message.stamp)


def stamp_of_raw(raw: bytes, kind: type[Any]) -> float:
    """Return the stamp of a serialized message that has one, s.

    A header or stamp comes first in most messages: then nothing else of it has to be read.
    """
    (_, first), *_ = fields_of(kind).items()
    # The encapsulation of OMG DDS-RTPS: 0 and the kind of CDR, which is odd if little-endian.
    if first in (_HEADER, _STAMP) and len(raw) >= 12 and raw[0] == 0 and raw[1] in (0, 1, 6, 7):
        sec, nanosec = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
        return float(sec) + float(nanosec) * 1e-9
    return stamp_of(deserialize_message(raw, kind))


def type_name(message: type[Any]) -> str:
    """Return the name of a message class as the graph has it."""
    package, kind = message.__module__.split(".")[:2]
    return f"{package}/{kind}/{message.__name__}"
