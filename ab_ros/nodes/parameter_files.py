"""Where a node's parameters were written: the file and line of each, for messages that help."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ab_ros.config import Source, load_yaml
from ab_ros.errors import ConfigError, one_of

_BLOCK = "ros__parameters"
_STANDARD = ("use_sim_time", "start_type_description_service", "autostart")


def standard(name: str) -> bool:
    """Whether a parameter is one that every node has, so that it is no setting of ours."""
    return name in _STANDARD or name.startswith("qos_overrides.")


@dataclass(frozen=True)
class ParameterSource(Source):
    """The origin of a node's parameters, which may come from several files.

    Parameters
    ----------
    origins : ``demo.yaml:12`` by key path.
    unused : sentences about parameter files that say nothing about this node.
    """

    origins: Mapping[tuple[str, ...], str] = dataclasses.field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def at(self, path: tuple[str, ...]) -> str:
        """Describe a key path, as ``demo.yaml:12: brain.dt``."""
        name = ".".join(path) or "parameters"
        known = path
        while known and known not in self.origins:
            known = known[:-1]
        origin = self.origins.get(known, self.file)
        return f"{origin}: {name}" if origin else f"parameter {name}" if path else name


def parameter_source(arguments: Sequence[str], node: str) -> ParameterSource:
    """Find where the parameters of a node (``/name``) stand, from the arguments of its process.

    Raises
    ------
    ConfigError
        if a parameter file cannot be read; see :func:`check_files`.
    """
    origins: dict[tuple[str, ...], str] = {}
    unused = []
    latest = ""
    for file in files(arguments):
        data, source = load_yaml(Path(file))
        blocks = list(node_blocks(data))
        matching = [path for path in blocks if matches(path, node)]
        if not matching:
            named = one_of("/".join(path) for path in blocks) if blocks else "none at all"
            unused.append(f"{file} has no parameters for {node}; it names {named}")
            continue
        latest = str(file)
        for path in matching:
            start = (*path, _BLOCK)
            for line_path, line in source.lines.items():
                if line_path[: len(start)] == start:
                    # A key may be written with dots, too.
                    keys = ".".join(line_path[len(start) :]).split(".")
                    origins[tuple(keys) if keys != [""] else ()] = f"{file}:{line}"
    for name in _assigned(arguments):
        origins[tuple(name.split("."))] = "command line"
    return ParameterSource(file=latest, origins=origins, unused=tuple(unused))


def check_files(arguments: Sequence[str]) -> None:
    """Refuse parameter files that ROS would refuse with less to go by.

    Raises
    ------
    ConfigError
        if a file is missing or not YAML, repeats a key, or has a list that ROS parameters cannot
        hold; with file and line.
    """
    for file in files(arguments):
        data, source = load_yaml(Path(file))
        for path in node_blocks(data):
            _check_lists(at(data, (*path, _BLOCK)), source.below(*path, _BLOCK), ())


def files(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the parameter files named in the arguments of a ROS process."""
    for argument, following in _ros_arguments(arguments):
        if argument == "--params-file":
            yield following


def _assigned(arguments: Sequence[str]) -> Iterator[str]:
    for argument, following in _ros_arguments(arguments):
        if argument in ("-p", "--param") and ":=" in following:
            yield following.split(":=", 1)[0].rsplit(":", 1)[-1]


def _ros_arguments(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    inside = False
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == "--ros-args":
            inside = True
        elif argument == "--":
            inside = False
        elif inside:
            yield argument, following


def node_blocks(data: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys that lead to each node's parameters in a parameter file."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            path = (*above, str(key))
            if _BLOCK in value:
                yield path
            else:
                yield from node_blocks(value, path)


def matches(path: tuple[str, ...], node: str) -> bool:
    """Whether keys, with their wildcards, stand for a node (``/name``)."""
    pattern = ""
    for token in "/".join(path).strip("/").split("/"):
        if token == "**":
            pattern += "(?:/[^/]+)*"
        elif token == "*":
            pattern += "/[^/]+"
        else:
            pattern += "/" + re.escape(token)
    return re.fullmatch(pattern, node) is not None


def at(data: Any, path: tuple[str, ...]) -> Any:
    """Return what stands under keys."""
    for key in path:
        data = data[key]
    return data


def _check_lists(value: Any, source: Source, path: tuple[str, ...]) -> None:
    if isinstance(value, Mapping):
        for key, below in value.items():
            _check_lists(below, source, (*path, str(key)))
    elif isinstance(value, list):
        kinds = {type(item) for item in value}
        if kinds == {int, float}:
            raise ConfigError(
                f"{source.at(path)}: mixes integers and decimals, which ROS refuses:"
                f" write {[float(item) for item in value]}"
            )
        if len(kinds) > 1 or kinds & {dict, list, type(None)}:
            raise ConfigError(
                f"{source.at(path)}: a list of ROS parameters holds values of one plain type,"
                f" not {value!r}"
            )
