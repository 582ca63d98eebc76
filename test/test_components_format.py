"""Component files: what is read, and how faults are told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.engine import Gated, Plastic
from ab_ros.engine.blocks import component_names, component_network, load_component
from ab_ros.errors import ConfigError, EngineError

PAIR: dict[str, Any] = {
    "name": "pair",
    "description": "A drives B.",
    "nodes": [
        {"id": "a", "type": "RS", "position": [0, 0, 0], "bias": 1.5, "noise": 0.5},
        {"id": "b", "type": "CH", "position": [10, 0, 0], "overrides": {"a": 0, "d": 0}},
        {
            "id": "c",
            "type": "user",
            "position": [0, 5, 0],
            "overrides": {"a": 0.1, "b": 0.2, "c": -60, "d": 3},
        },
    ],
    "paths": [
        {"source": "a", "target": "b", "synapse_type": "fixed", "weight": 25},
        {
            "source": "b",
            "target": "c",
            "synapse_type": "plastic",
            "weight": 4,
            "delay": 3,
            "params": {"lr": 0.1},
        },
        {
            "source": "a",
            "target": "c",
            "synapse_type": "gated",
            "weight": 2,
            "params": {"modulator": ["b"], "threshold": 0.2, "gate": "both"},
        },
        {
            "source": "c",
            "target": "b",
            "synapse_type": "reward_plastic",
            "weight": 2,
            "layer": "mood",
        },
    ],
    "terminals": {
        "go_in": {"direction": "input", "nodes": ["a"]},
        "out": {"direction": "output", "nodes": ["b", "c"]},
    },
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(change: Callable[[dict[str, Any]], Any] = lambda document: None) -> Path:
        document = copy.deepcopy(PAIR)
        change(document)
        path = tmp_path / "pair.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


def test_a_file_is_read_in_full(write: Callable[..., Path]) -> None:
    component = load_component(write())
    assert component.node_ids == ("a", "b", "c")
    a, b, c = component.nodes
    assert (a.bias, a.noise, a.parameters.d) == (1.5, 0.5, 8.0)
    assert (b.parameters.a, b.parameters.c, b.parameters.d) == (0.0, -50.0, 0.0)
    assert c.parameters.c == -60.0 and c.position == (0.0, 5.0, 0.0)
    fixed, plastic, gated, reward = component.paths
    assert (fixed.delay, plastic.delay) == (1, 3)
    assert plastic.synapse == Plastic(lr=0.1)
    assert gated.modulator == ("b",) and isinstance(gated.synapse, Gated)
    assert (gated.synapse.threshold, gated.synapse.gate) == (0.2, "both")
    assert reward.layer == "mood"
    assert [t.name for t in component.inputs] == ["go_in"]
    assert component.terminal("out").nodes == ("b", "c")
    with pytest.raises(EngineError, match=r"unknown terminal 'x'; one of: go_in, out"):
        component.terminal("x")


def set_in(*place: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for step in place[:-1]:
            document = document[step]
        document[place[-1]] = value

    return change


def remove(*place: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for step in place[:-1]:
            document = document[step]
        del document[place[-1]]

    return change


FAULTS = {
    "unknown neuron type": (
        set_in("nodes", 1, "type", value="XX"),
        r'nodes\[1\]\.type: one of: RS, FS, IB, CH, LTS, user \(got "XX"\)',
    ),
    "unknown synapse type": (
        set_in("paths", 0, "synapse_type", value="fast"),
        r'paths\[0\]\.synapse_type: one of: fixed, plastic, .* \(got "fast"\)',
    ),
    "dangling target": (
        set_in("paths", 0, "target", value="z"),
        r"paths\[0\]\.target: unknown node 'z'; one of: a, b, c",
    ),
    "dangling source": (
        set_in("paths", 1, "source", value="z"),
        r"paths\[1\]\.source: unknown node 'z'",
    ),
    "terminal of an unknown node": (
        set_in("terminals", "out", "nodes", value=["b", "z"]),
        r"terminals\.out\.nodes\[1\]: unknown node 'z'",
    ),
    "duplicated id": (
        set_in("nodes", 2, "id", value="a"),
        r"nodes\[2\]\.id: 'a' stands twice; it is nodes\[0\]",
    ),
    "zero delay": (
        set_in("paths", 1, "delay", value=0),
        r"paths\[1\]\.delay: must be at least 1 \(got 0\)",
    ),
    "negative delay": (set_in("paths", 1, "delay", value=-2), r"paths\[1\]\.delay: .*got -2"),
    "delay of a second and more": (
        set_in("paths", 1, "delay", value=2000),
        r"paths\[1\]\.delay: must be at most 1000 \(got 2000\)",
    ),
    "weight that no float32 holds": (
        set_in("paths", 0, "weight", value=1e300),
        r"paths\[0\]\.weight: must be at most 1000000\.0 \(got 1e\+300\)",
    ),
    "broken delay": (set_in("paths", 1, "delay", value=1.5), r"paths\[1\]\.delay: .*integer"),
    "delay of a gap junction": (
        set_in(
            "paths",
            0,
            value={
                "source": "a",
                "target": "b",
                "synapse_type": "gap_junction",
                "weight": 1,
                "delay": 2,
            },
        ),
        r"paths\[0\]\.delay: a gap junction has no delay",
    ),
    "NaN": (
        set_in("paths", 0, "weight", value=float("nan")),
        r"paths\[0\]\.weight: must be finite \(got nan\)",
    ),
    "infinity": (
        set_in("nodes", 0, "bias", value=float("inf")),
        r"nodes\[0\]\.bias: must be finite \(got inf\)",
    ),
    "weight outside bounds": (
        set_in("paths", 1, "weight", value=12),
        r"paths\[1\]\.weight: weights must be in \[0, 10\].*\(got 12\)",
    ),
    "weight outside bounds of its own": (
        set_in("paths", 1, "params", value={"w_min": 5}),
        r"paths\[1\]\.weight: weights must be in \[5, 10\].*\(got 4\)",
    ),
    "text for a weight": (
        set_in("paths", 1, "weight", value="strong"),
        r'paths\[1\]\.weight: must be number \(got "strong"\)',
    ),
    "unknown parameter": (
        set_in("paths", 1, "params", value={"rate": 1}),
        r"paths\[1\]\.params\.rate: unknown parameter of plastic synapses \(got 1\); one of: lr",
    ),
    "parameter of a type without any": (
        set_in("paths", 0, "params", value={"lr": 1}),
        r"paths\[0\]\.params\.lr: unknown parameter of fixed synapses",
    ),
    "parameter outside bounds": (
        set_in("paths", 1, "params", "lr", value=-1),
        r"paths\[1\]\.params\.lr: must be at least 0 \(got -1\.0\)",
    ),
    "unknown gate": (
        set_in("paths", 2, "params", "gate", value="ajar"),
        r"paths\[2\]\.params\.gate: unknown 'ajar'; one of: transmission, learning, both",
    ),
    "terminal without nodes": (
        set_in("terminals", "out", "nodes", value=[]),
        r"terminals\.out\.nodes: must have at least 1 items \(got \[\]\)",
    ),
    "no terminals": (set_in("terminals", value={}), r"terminals: must have at least 1 entries"),
    "terminal with a node's name": (
        set_in("terminals", "c", value={"direction": "output", "nodes": ["b"]}),
        r"terminals\.c: is the name of a node, too",
    ),
    "direction": (
        set_in("terminals", "out", "direction", value="up"),
        r'terminals\.out\.direction: one of: input, output \(got "up"\)',
    ),
    "modulator missing": (
        remove("paths", 2, "params", "modulator"),
        r"paths\[2\]\.params\.modulator: .*needs a list of ids",
    ),
    "modulator empty": (
        set_in("paths", 2, "params", "modulator", value=[]),
        r"paths\[2\]\.params\.modulator: .*needs a list of ids .*\(got \[\]\)",
    ),
    "modulator unknown": (
        set_in("paths", 2, "params", "modulator", value=["b", "z"]),
        r"paths\[2\]\.params\.modulator\[1\]: unknown node 'z'",
    ),
    "modulator of another type": (
        set_in("paths", 1, "params", "modulator", value=["a"]),
        r"paths\[1\]\.params\.modulator: is for gated synapses, not for plastic",
    ),
    "layer of another type": (
        set_in("paths", 1, "layer", value="mood"),
        r"paths\[1\]\.layer: is for reward_plastic synapses, not for plastic",
    ),
    "unknown key": (
        set_in("nodes", 0, "colour", value="red"),
        r'nodes\[0\]\.colour: unknown key \(got "red"\); one of: bias, id, noise, overrides',
    ),
    "unknown key at the top": (set_in("author", value="me"), r"author: unknown key"),
    "missing key": (remove("paths", 0, "weight"), r"paths\[0\]: the key 'weight' is missing"),
    "missing override of a user's type": (
        remove("nodes", 2, "overrides", "b"),
        r"nodes\[2\]\.overrides: a node of type user needs a, b, c and d; 'b' is missing",
    ),
    "override outside bounds": (
        set_in("nodes", 1, "overrides", value={"a": 2}),
        r"nodes\[1\]\.overrides\.a: must be at most 1 \(got 2\)",
    ),
    "negative noise": (
        set_in("nodes", 0, "noise", value=-1),
        r"nodes\[0\]\.noise: must be at least 0 \(got -1\)",
    ),
    "position in two dimensions": (
        set_in("nodes", 0, "position", value=[0, 1]),
        r"nodes\[0\]\.position: must have at least 3 items",
    ),
    "bad name of a terminal": (
        set_in("terminals", "go in", value={"direction": "input", "nodes": ["a"]}),
        r'terminals: the name "go in" must match',
    ),
    "the same path twice": (
        lambda d: d["paths"].append(d["paths"][0]),
        r"paths\[4\]: a -> b stands twice",
    ),
    "no object": (lambda d: d.update(nodes=3), r"nodes: must be array \(got 3\)"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_told_with_file_place_and_value(
    write: Callable[..., Path], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = write(change)
    with pytest.raises(ConfigError, match=message) as caught:
        load_component(path)
    assert str(caught.value).startswith(str(path))


def test_broken_json_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"name": "x",\n "nodes": [,]}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.json, line 2, column 12: invalid JSON"):
        load_component(path)
    path.write_text('{"name": "x",\n "name": "y"}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the key 'name' stands twice"):
        load_component(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text"):
        load_component(path)


def test_a_missing_file_and_an_unknown_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read: No such file"):
        load_component(str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match=r"component 'nonsense': unknown; a path .* or one of: "):
        load_component("nonsense")


@pytest.mark.parametrize("name", component_names())
def test_a_shipped_component_is_small_and_named_as_its_file(name: str) -> None:
    component = load_component(name)
    assert component.name == name
    assert 3 <= len(component.nodes) <= 15
    assert component.inputs and component.outputs
    joined = {node for path in component.paths for node in (path.source, path.target)}
    joined |= {node for terminal in component.terminals for node in terminal.nodes}
    assert set(component.node_ids) <= joined


def test_instances_are_joined_one_to_one_and_independent(write: Callable[..., Path]) -> None:
    def without_noise(document: dict[str, Any]) -> None:
        document["nodes"][0].update(bias=0, noise=0)

    component = load_component(write(without_noise))
    network = component_network(component, 3)
    assert {name: group.size for name, group in network.neuron_groups.items()} == dict.fromkeys(
        "abc", 3
    )
    assert np.isnan(network.weights("a->b")).sum() == 6
    spikes = network.run(300, currents={"a": np.array([0.0, 10.0, 0.0])})
    assert spikes["a"][:, 1].sum() > 5
    assert not spikes["a"][:, [0, 2]].any() and not spikes["b"][:, [0, 2]].any()


def test_every_instance_has_a_gate_of_its_own(write: Callable[..., Path]) -> None:
    def gate(document: dict[str, Any]) -> None:
        document["nodes"] = [
            {"id": node, "type": "RS", "position": [0, 0, 0]} for node in ("a", "b", "c")
        ]
        document["paths"] = [
            {
                "source": "a",
                "target": "c",
                "synapse_type": "gated",
                "weight": 40,
                "params": {"modulator": ["b"], "threshold": 0.02, "w_max": 40},
            }
        ]

    network = component_network(load_component(write(gate)), 2)
    on = np.full(2, 10.0)
    spikes = network.run(300, currents={"a": on, "b": np.array([0.0, 20.0])})
    assert spikes["c"].sum(axis=0)[0] == 0 and spikes["c"].sum(axis=0)[1] > 5
