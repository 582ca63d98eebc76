"""Encoders of other distributions, found by entry points of the group ``ab_ros.encoders``.

A distribution that brings an encoder says so in its ``pyproject.toml``::

    [project.entry-points."ab_ros.encoders"]
    whisker = "my_robot.whisker:WhiskerEncoder"

and a configuration chooses it as ``encoder: whisker``.  The class is a subclass of
:class:`~ab_ros.codec.encoder.Encoder`, with ``settings_type`` and ``kinds``.  Nothing is imported
before a configuration asks for it by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points

from ab_ros.codec.encoder import Encoder
from ab_ros.errors import AbRosError, ConfigError

GROUP = "ab_ros.encoders"


def plugin_names() -> list[str]:
    """Return the names of the encoders that installed distributions bring."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load_plugin(name: str) -> type[Encoder] | None:
    """Return the encoder class of a name, or None if no distribution brings one.

    Raises
    ------
    ConfigError
        if two distributions bring one of that name, it cannot be imported, or what is imported is
        no encoder class; the message names the distribution.
    """
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        return None
    if len(points) > 1:
        raise ConfigError(
            f"encoder {name!r} is brought by {brought_by(name)}; only one of them can be installed"
        )
    (point,) = points
    try:
        found = point.load()
    except Exception as error:  # Whatever a foreign module raises, and says, is told.
        raise ConfigError(
            f"encoder {name!r} of {_whence(point)} cannot be loaded: {type(error).__name__}:"
            f" {error}"
        ) from error
    trouble = _trouble(found)
    if trouble:
        raise ConfigError(f"encoder {name!r} of {_whence(point)} cannot be used: {trouble}")
    encoder: type[Encoder] = found
    return encoder


@contextmanager
def blaming(name: str, where: str) -> Iterator[None]:
    """Say of which distribution a plug-in is that fails here, whatever it raises.

    Errors of ab_ros, such as those of a setting that is not allowed, pass as they are.

    Raises
    ------
    ConfigError
        for any other exception.
    """
    try:
        yield
    except AbRosError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{where}: encoder {name!r} of {brought_by(name)} cannot be made:"
            f" {type(error).__name__}: {error}"
        ) from error


def brought_by(name: str) -> str:
    """Return which distribution brings the encoder of a name, as ``whiskers 1.2 (a.b:C)``."""
    return " and by ".join(_whence(point) for point in entry_points(group=GROUP, name=name))


def _whence(point: EntryPoint) -> str:
    dist = point.dist
    name = f"{dist.name} {dist.version}" if dist is not None else "an unnamed distribution"
    return f"{name} ({point.value})"


def _trouble(found: object) -> str:
    if not isinstance(found, type) or not issubclass(found, Encoder):
        return "it is no subclass of ab_ros.codec.encoder.Encoder"
    settings = getattr(found, "settings_type", None)
    if not isinstance(settings, type) or not dataclasses.is_dataclass(settings):
        return "its settings_type is no dataclass"
    kinds = getattr(found, "kinds", None)
    if not isinstance(kinds, tuple) or not kinds or not all(isinstance(k, str) for k in kinds):
        return "its kinds are no tuple of names of kinds of samples"
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    return f"it lacks {', '.join(missing)}" if missing else ""
