"""Components: small circuits in JSON files, read into checked, immutable values.

A file is checked twice: its structure against ``component.schema.json``, then its meaning (ids,
terminals, what the synapse types allow) by the code below.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path as FilePath
from typing import Any, Literal

import numpy as np
from jsonschema import Draft202012Validator

from ab_ros.engine.documents import check_schema, read_json, shown
from ab_ros.engine.neurons import PRESETS, NeuronParameters
from ab_ros.engine.synapses import SYNAPSE_TYPES, Gated, RewardPlastic, Synapse
from ab_ros.engine.validation import check_count, check_number
from ab_ros.errors import ConfigError, EngineError, one_of

_FOLDER = FilePath(__file__).parent
FOLDERS = ("components", "sub_components")
"""Where the shipped component files are, below this package."""
USER_TYPE = "user"
# What a gate's file names by "modulator" is the network's to fill in.
_NOT_IN_FILES = ("modulator", "modulator_neurons")


@dataclass(frozen=True)
class Node:
    """One neuron of a component.

    Parameters
    ----------
    id : unique in the component.
    type : RS, FS, IB, CH, LTS or user.
    position : place relative to the component's, micrometres or any other unit.
    parameters : a, b, c, d, the file's overrides applied.
    bias : constant current.
    noise : standard deviation of a Gaussian current, at least 0.
    """

    id: str
    type: str
    position: tuple[float, float, float]
    parameters: NeuronParameters
    bias: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        allowed = (*PRESETS, USER_TYPE)
        if self.type not in allowed:
            raise EngineError(f"Node.type: unknown {self.type!r}; {one_of(allowed)}")
        for value in self.position:
            check_number("Node.position", value)
        check_number("Node.bias", self.bias)
        check_number("Node.noise", self.noise, ge=0.0)


@dataclass(frozen=True)
class Path:
    """A synapse between two nodes of a component.

    Parameters
    ----------
    source, target : node ids.
    synapse : type and parameters.
    weight : within the bounds of ``synapse``.
    delay : ticks, at least 1.
    modulator : ids of the nodes that open a gated synapse together; empty for all other types.
    layer : reward layer of a reward_plastic synapse, if any.
    """

    source: str
    target: str
    synapse: Synapse
    weight: float
    delay: int = 1
    modulator: tuple[str, ...] = ()
    layer: str | None = None

    def __post_init__(self) -> None:
        check_number("Path.weight", self.weight)
        self.synapse.check_weights(np.array([self.weight]), "Path.weight")
        check_count("Path.delay", self.delay, ge=1)
        self.synapse.check_connection(True, self.delay, "Path.delay")
        if bool(self.modulator) != isinstance(self.synapse, Gated):
            raise EngineError(
                "Path.modulator: gated synapses need at least one node, other types have none"
                f" (got {list(self.modulator)} for {self.synapse.type_name})"
            )
        if self.layer is not None and not isinstance(self.synapse, RewardPlastic):
            raise EngineError(
                f"Path.layer: is for reward_plastic synapses, not for {self.synapse.type_name}"
                f" (got {self.layer!r})"
            )


@dataclass(frozen=True)
class Terminal:
    """A named port of a component: the nodes that input goes to, or that output comes from."""

    name: str
    direction: Literal["input", "output"]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Component:
    """A circuit of a few neurons; what it means comes from what its terminals are joined to.

    Parameters
    ----------
    name : of the type of circuit.
    description : what it promises, and how to use its terminals.
    nodes, paths, terminals : in the order of the file.
    file : where it was read from, for messages.

    Raises
    ------
    EngineError
        if ids, names or paths stand twice, or an id is not a node's.
    """

    name: str
    description: str
    nodes: tuple[Node, ...]
    paths: tuple[Path, ...]
    terminals: tuple[Terminal, ...]
    file: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_ids(self)

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The nodes' ids, in order."""
        return tuple(node.id for node in self.nodes)

    @property
    def inputs(self) -> tuple[Terminal, ...]:
        """The input terminals, in order."""
        return tuple(t for t in self.terminals if t.direction == "input")

    @property
    def outputs(self) -> tuple[Terminal, ...]:
        """The output terminals, in order."""
        return tuple(t for t in self.terminals if t.direction == "output")

    def terminal(self, name: str) -> Terminal:
        """Return a terminal; an EngineError that lists all if there is none of this name."""
        for terminal in self.terminals:
            if terminal.name == name:
                return terminal
        names = [terminal.name for terminal in self.terminals]
        raise EngineError(f"component {self.name!r}: unknown terminal {name!r}; {one_of(names)}")


def component_names() -> dict[str, FilePath]:
    """Return the files of all shipped components and sub-components by name, sorted."""
    found = [path for folder in FOLDERS for path in (_FOLDER / folder).glob("*.json")]
    return {path.stem: path for path in sorted(found, key=lambda path: path.stem)}


def load_component(name_or_path: str | FilePath) -> Component:
    """Read a component.

    Parameters
    ----------
    name_or_path : name of a shipped component, or path of a file (text with a separator or the
        ending .json, or a Path).

    Raises
    ------
    ConfigError
        for an unknown name; and, naming file, JSON path, value and what is allowed, for anything
        in the file that does not fit.
    """
    shipped = component_names()
    text = str(name_or_path)
    is_path = isinstance(name_or_path, FilePath) or "/" in text or text.endswith(".json")
    if not is_path and text not in shipped:
        raise ConfigError(
            f"component {text!r}: unknown; a path that ends in .json, or {one_of(shipped)}"
        )
    path = FilePath(text) if is_path else shipped[text]
    return component_of(read_json(path), str(path))


def component_of(document: Any, where: str) -> Component:
    """Turn a parsed JSON document into a component; ``where`` starts the messages of errors.

    Raises
    ------
    ConfigError
        see :func:`load_component`.
    """
    check_schema(document, _validator(), where)
    nodes = [_node(entry, f"{where}: nodes[{i}]") for i, entry in enumerate(document["nodes"])]
    paths = [_path(entry, f"{where}: paths[{i}]") for i, entry in enumerate(document["paths"])]
    terminals = [
        Terminal(name, entry["direction"], tuple(entry["nodes"]))
        for name, entry in document["terminals"].items()
    ]
    try:
        return Component(
            document["name"],
            document["description"],
            tuple(nodes),
            tuple(paths),
            tuple(terminals),
            where,
        )
    except EngineError as error:
        raise ConfigError(f"{where}: {error}") from None


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(read_json(_FOLDER / "component.schema.json"))


def _node(entry: Mapping[str, Any], where: str) -> Node:
    overrides = entry.get("overrides", {})
    values = dict(overrides)
    if entry["type"] == USER_TYPE:
        for name in "abcd":
            if name not in overrides:
                raise ConfigError(
                    f"{where}.overrides: a node of type user needs a, b, c and d; {name!r} is"
                    f" missing (got {shown(overrides)})"
                )
    else:
        preset = PRESETS[entry["type"]]
        values = {name: overrides.get(name, getattr(preset, name)) for name in "abcd"}
    x, y, z = (float(value) for value in entry["position"])
    bias, noise = float(entry.get("bias", 0.0)), float(entry.get("noise", 0.0))
    return Node(entry["id"], entry["type"], (x, y, z), NeuronParameters(**values), bias, noise)


def _path(entry: Mapping[str, Any], where: str) -> Path:
    params = dict(entry.get("params", {}))
    cls = SYNAPSE_TYPES[entry["synapse_type"]]
    modulator = _modulator(params.pop("modulator", None), cls, where)
    allowed = [f.name for f in fields(cls) if f.name not in _NOT_IN_FILES]  # type: ignore[arg-type]
    for name in params:
        if name not in allowed:
            known = one_of([*allowed, "modulator"] if cls is Gated else allowed or ["(none)"])
            raise ConfigError(
                f"{where}.params.{name}: unknown parameter of {cls.type_name} synapses"
                f" (got {shown(params[name])}); {known}"
            )
    weight, delay, layer = float(entry["weight"]), int(entry.get("delay", 1)), entry.get("layer")
    place = "params"
    try:
        synapse = cls(**params)
        place = "weight"
        synapse.check_weights(np.array([weight]), "the path")
        place = "delay"
        synapse.check_connection(True, delay, "the path")
        place = "layer"
        return Path(
            entry["source"], entry["target"], synapse, weight, delay, tuple(modulator), layer
        )
    except EngineError as error:
        # One path is one synapse: which of them it was says nothing.
        text = str(error).replace(" at synapse 0)", ")")
        at, _, text = text.partition(": ")
        name = at.partition(".")[2]
        raise ConfigError(
            f"{where}.{place}{'.' + name if name in params else ''}: {text}"
        ) from None


def _modulator(given: Any, cls: type[Synapse], where: str) -> list[str]:
    if cls is not Gated:
        if given is None:
            return []
        raise ConfigError(
            f"{where}.params.modulator: is for gated synapses, not for {cls.type_name}"
            f" (got {shown(given)})"
        )
    if (
        not isinstance(given, list)
        or not given
        or not all(isinstance(node, str) for node in given)
        or len(set(given)) < len(given)
    ):
        raise ConfigError(
            f"{where}.params.modulator: a gated path needs a list of ids of nodes of this"
            f" component, each once (got {shown(given)})"
        )
    return given


def _check_ids(component: Component) -> None:
    ids = component.node_ids

    def known(place: str, node: str) -> None:
        if node not in ids:
            raise EngineError(f"{place}: unknown node {node!r}; {one_of(ids)}")

    for i, node in enumerate(ids):
        if ids.index(node) < i:
            raise EngineError(
                f"nodes[{i}].id: {node!r} stands twice; it is nodes[{ids.index(node)}] already"
            )
    lines: Counter[tuple[Any, ...]] = Counter()
    for i, path in enumerate(component.paths):
        known(f"paths[{i}].source", path.source)
        known(f"paths[{i}].target", path.target)
        for k, node in enumerate(path.modulator):
            known(f"paths[{i}].params.modulator[{k}]", node)
        line = (path.source, path.target, path.synapse, path.delay, path.modulator, path.layer)
        lines[line] += 1
        if lines[line] > 1:
            raise EngineError(
                f"paths[{i}]: {path.source} -> {path.target} stands twice, with the same type,"
                " parameters and delay; add up their weights"
            )
    for terminal in component.terminals:
        if not terminal.nodes:
            raise EngineError(f"terminals.{terminal.name}.nodes: must have at least 1 node")
        for k, node in enumerate(terminal.nodes):
            known(f"terminals.{terminal.name}.nodes[{k}]", node)
        # Nodes and terminals share a name space where neurons are selected.
        if terminal.name in ids and terminal.nodes != (terminal.name,):
            raise EngineError(
                f"terminals.{terminal.name}: is the name of a node, too, but has other nodes"
                f" (got {list(terminal.nodes)}); give it a name of its own"
            )
