"""A parameter file as a robot's nodes read it: which nodes it names, and what it sets for each."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ab_ros.cli.settings import node_names, settings_class
from ab_ros.config import flatten, load_yaml, nest, overlay, parse
from ab_ros.errors import AbRosError, ConfigError, one_of
from ab_ros.nodes.parameter_files import (
    ParameterSource,
    at,
    check_files,
    matches,
    node_blocks,
    parameter_source,
    standard,
)
from ab_ros.nodes.remarks import Remarks

T = TypeVar("T")

_BLOCK = "ros__parameters"
_KEY = re.compile(r"\w+(\.\w+)*")
_BEGIN = re.compile(r"(\w+(?:\.\w+)*): |(\w+(?:\.\w+)+) ")
# YAML 1.1 takes these for text, ROS for numbers.
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


@dataclass(frozen=True)
class NodeConfig:
    """What a parameter file sets for one node.

    Parameters
    ----------
    kind : which node it is: ``brain``, ``motor`` …
    name : its name in the graph, from the root on.
    given : its settings, nested, as the file has them.
    standard : parameters that every node has, such as ``use_sim_time``, by their dotted names.
    source : where each of them stands.
    settings : the settings, checked; None if they are wrong, or cannot be known here.
    """

    kind: str
    name: str
    given: Mapping[str, Any]
    standard: Mapping[str, Any]
    source: ParameterSource
    settings: Any = None

    def place(self, *path: str) -> tuple[str, str]:
        """Return file and line of a setting, and its key from the node on, for a remark."""
        found = self.source.at(path).removesuffix(".".join(path) or "parameters")
        where = found.removesuffix("parameter ").removesuffix(": ")
        return where, ".".join((self.kind, *path))

    def place_of(self, sentence: str) -> tuple[str, str, str]:
        """Return file and line, key, and the rest of a sentence that begins with a setting."""
        found = _BEGIN.match(sentence)
        known = dataclasses.fields(self.settings) if self.settings is not None else ()
        if found:
            path = (found[1] or found[2]).split(".")
            if path[0] in {item.name for item in known}:
                return (*self.place(*path), sentence[found.end() :])
        return (*self.place(), sentence)

    @property
    def use_sim_time(self) -> bool:
        """Whether the node goes by ``/clock``."""
        return self.standard.get("use_sim_time") is True


@dataclass(frozen=True)
class RobotConfig:
    """A parameter file and its nodes, by kind."""

    file: Path
    nodes: Mapping[str, NodeConfig]

    def node(self, kind: str) -> NodeConfig | None:
        """Return a node; None if the file does not name it, or its settings are not usable."""
        found = self.nodes.get(kind)
        return found if found is not None and found.settings is not None else None


def named_nodes(file: Path) -> dict[str, str]:
    """Return the nodes of ab_ros that a parameter file names: their names in the graph, by kind.

    Raises
    ------
    ConfigError
        if the file cannot be used as a parameter file, names none, or one in several namespaces.
    """
    data, _ = load_yaml(file)
    check_files(["--ros-args", "--params-file", str(file)])
    found: dict[str, set[str]] = {}
    spaces = set()
    for path in node_blocks(data):
        *above, last = [token for key in path for token in key.strip("/").split("/")]
        if last not in node_names():
            continue
        names = found.setdefault(last, set())
        if "*" not in above and "**" not in above:
            spaces.add("/".join(["", *above]))
            names.add("/".join(["", *above, last]))
    if not found:
        named = ["/".join(path) for path in node_blocks(data)]
        raise ConfigError(
            f"{file}: names no node of ab_ros ({', '.join(node_names())}) with"
            f" '{_BLOCK}' below; it names {', '.join(named) or 'none at all'}"
        )
    if len(spaces) > 1:
        raise ConfigError(
            f"{file}: has nodes in several namespaces ({', '.join(sorted(spaces))}); give each"
            f" robot a file of its own"
        )
    space = next(iter(spaces), "")
    return {kind: f"{space}/{kind}" for kind in sorted(found, key=node_names().index)}


def read_config(file: Path, remarks: Remarks) -> RobotConfig:
    """Read a parameter file and check every setting of every node of it.

    Raises
    ------
    ConfigError
        if it cannot be used at all; see :func:`named_nodes`.
    """
    names = named_nodes(file)
    data, _ = load_yaml(file)
    _tell_strangers(file, data, remarks)
    read = {kind: _read_node(kind, name, file, data, remarks) for kind, name in names.items()}
    return RobotConfig(file, read)


def _tell_strangers(file: Path, data: Mapping[str, Any], remarks: Remarks) -> None:
    """Warn of nodes whose names are nearly those of ours."""
    for path in node_blocks(data):
        last = path[-1].rsplit("/", 1)[-1]
        close = difflib.get_close_matches(last, node_names(), n=1)
        if last not in node_names() and close:
            remarks.warn(
                f"is no node of ab_ros, so nothing reads it; did you mean {close[0]!r}?",
                str(file),
                "/".join(path),
            )


def _read_node(
    kind: str, name: str, file: Path, data: Mapping[str, Any], remarks: Remarks
) -> NodeConfig:
    merged: dict[str, Any] = {}
    for path in node_blocks(data):
        if matches(path, name):
            below = at(data, (*path, _BLOCK)) or {}
            merged = overlay(merged, nest(dict(flatten(below))))
    flat = {key: _number(value) for key, value in flatten(merged)}
    source = parameter_source(["--ros-args", "--params-file", str(file)], name)
    node = NodeConfig(
        kind,
        name,
        nest({key: value for key, value in flat.items() if not standard(key)}),
        {key: value for key, value in flat.items() if standard(key)},
        source,
    )
    for key in ("use_sim_time", "autostart"):
        value = node.standard.get(key, False)
        if not isinstance(value, bool):
            remarks.error(f"must be true or false, not {value!r}", *node.place(key))
    try:
        cls = settings_class(kind)
    except AbRosError as error:
        remarks.warn(f"its settings are not checked: {error}", *node.place())
        return node
    try:
        return dataclasses.replace(node, settings=parse(cls, node.given, source))
    except ConfigError as error:
        return _mended(node, cls, error, remarks)


def _mended(node: NodeConfig, cls: type[Any], error: ConfigError, remarks: Remarks) -> NodeConfig:
    """Tell all errors; return the node without them, if it can be told what it would do then."""
    _tell(node, error, remarks)
    flat = dict(flatten(node.given))
    for fault in (error, *error.also):
        dotted = ".".join(fault.path)
        if dotted in flat:
            del flat[dotted]
        elif ": unknown key" in str(fault):
            flat = {key: value for key, value in flat.items() if not key.startswith(f"{dotted}.")}
    # What is missing, or wrong as a whole, is so still.
    with contextlib.suppress(ConfigError):
        return dataclasses.replace(node, settings=parse(cls, nest(flat), node.source))
    remarks.warn("the rest is not checked until these errors are mended", *node.place())
    return node


def _tell(node: NodeConfig, error: ConfigError, remarks: Remarks) -> None:
    for fault in (error, *error.also):
        text = str(fault).removeprefix(f"{node.source.at(fault.path)}: ")
        where, key = node.place(*fault.path)
        first, colon, rest = text.partition(": ")
        if colon and _KEY.fullmatch(first):  # a rule about several settings names one of them
            where, key = node.place(*fault.path, *first.split("."))
            text = rest
        remarks.error(text, where, key)


def read_part(node: NodeConfig, key: str, cls: type[T], remarks: Remarks) -> T | None:
    """Read a part of a node's settings, where the whole cannot be known without ROS."""
    if key not in node.given:
        return None
    try:
        return parse(cls, node.given[key], node.source, (key,))
    except ConfigError as error:
        _tell(node, error, remarks)
        return None


def _number(value: Any) -> Any:
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return [_number(item) for item in value] if isinstance(value, list) else value


def chosen(names: Mapping[str, str], only: str) -> tuple[str, ...]:
    """Return the kinds of a comma-separated choice.

    Raises
    ------
    ConfigError
        for one that the file does not name.
    """
    wanted = [kind.strip() for kind in only.split(",") if kind.strip()]
    for kind in wanted:
        if kind not in names:
            raise ConfigError(f"--only: {kind!r} is not in the file; {one_of(names)}")
    return tuple(kind for kind in names if not wanted or kind in wanted)
