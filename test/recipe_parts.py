"""Components and recipes that several tests build brains of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LATCH: dict[str, Any] = {
    "name": "latch",
    "description": "Two neurons that keep each other going, a trigger and a kill.",
    "nodes": [
        {"id": "ring_a", "type": "CH", "position": [0, 0, 0]},
        {"id": "ring_b", "type": "RS", "position": [1, 0, 0], "bias": 2.0},
        {"id": "trigger", "type": "RS", "position": [0, 1, 0]},
        {"id": "kill", "type": "FS", "position": [1, 1, 0], "noise": 4.0},
    ],
    "paths": [
        {"source": "ring_a", "target": "ring_b", "synapse_type": "fixed", "weight": 9.0},
        {"source": "ring_b", "target": "ring_a", "synapse_type": "fixed", "weight": 8.0},
        {"source": "trigger", "target": "ring_a", "synapse_type": "plastic", "weight": 6.0},
        {"source": "kill", "target": "ring_a", "synapse_type": "fixed", "weight": -7.0, "delay": 2},
    ],
    "terminals": {
        "set_in": {"direction": "input", "nodes": ["trigger"]},
        "kill_in": {"direction": "input", "nodes": ["kill"]},
        "ring_in": {"direction": "input", "nodes": ["ring_b", "ring_a"]},
        "out": {"direction": "output", "nodes": ["ring_a", "ring_b"]},
    },
}
RELAY: dict[str, Any] = {
    "name": "relay",
    "description": "One neuron behind a gate that another opens, joined to a third by a gap.",
    "nodes": [
        {"id": "cell", "type": "RS", "position": [0, 0, 0], "noise": 5.0},
        {"id": "gate", "type": "LTS", "position": [1, 0, 0], "bias": 6.0},
        {
            "id": "last",
            "type": "user",
            "position": [2, 0, 1],
            "overrides": {"a": 0.02, "b": 0.2, "c": -60, "d": 6},
            "noise": 3.0,
        },
    ],
    "paths": [
        {
            "source": "cell",
            "target": "last",
            "synapse_type": "gated",
            "weight": 9.0,
            "params": {"modulator": ["gate"], "threshold": 0.01},
        },
        {"source": "cell", "target": "gate", "synapse_type": "facilitating", "weight": 3.0},
        {"source": "last", "target": "gate", "synapse_type": "depressing", "weight": 3.0},
        {"source": "gate", "target": "last", "synapse_type": "gap_junction", "weight": 0.5},
    ],
    "terminals": {
        "in": {"direction": "input", "nodes": ["cell"]},
        "gate_in": {"direction": "input", "nodes": ["gate"]},
        "out": {"direction": "output", "nodes": ["last"]},
    },
}


def recipe_document(**changes: Any) -> dict[str, Any]:
    """Return a recipe with every synapse type, two layers, crosswiring, inputs and outputs."""
    return {
        "name": "small",
        "description": "For tests.",
        "seed": 5,
        "components": [
            {"name": "left", "path": "latch.json", "count": 6},
            {"name": "right", "path": "latch.json", "count": 6},
            {"path": "relay.json", "count": 8, "layer": 1},
        ],
        "projections": [
            {
                "from_type": "latch",
                "from_terminal": "out",
                "to_type": "relay",
                "to_terminal": "in",
                "synapse_type": "reward_plastic",
                "weight": 6,
                "weight_spread": 2,
                "params": {"lr": 0.2},
                "layer": "mood",
            },
            {
                "name": "growth",
                "from_type": "relay",
                "from_terminal": "out",
                "to_type": "left",
                "to_terminal": "ring_in",
                "synapse_type": "developmental",
                "params": {
                    "critical_period": 300,
                    "eval_interval": 50,
                    "pruning_threshold": 1,
                    "min_source_fires": 2,
                },
                "delay": 3,
            },
            {
                "from_type": "relay",
                "from_terminal": "out",
                "to_type": "right",
                "to_terminal": "ring_in",
                "synapse_type": "gated",
                "modulator": {"type": "relay", "terminal": "gate_in"},
                "params": {"gate": "both", "threshold": 0.01},
                "probability": 0.5,
            },
        ],
        "wiring": {"max_distance": 25, "synapse_type": "plastic", "weight_scale": 2},
        "io": {
            "gamma": 20,
            "inputs": {
                "eye": {"kind": "Image", "encoder": "saliency", "size": 12, "to": "left.set_in"}
            },
            "outputs": {"move": "relay.out", "all": ["left.out", "relay.out"]},
            "feedback": {"error": {"size": 4, "output": "move", "to": "right.set_in"}},
        },
        **changes,
    }


def write_parts(folder: Path, document: Any = None, name: str = "small.json") -> Path:
    """Write the components, and a recipe; return the recipe's path."""
    for component in (LATCH, RELAY):
        (folder / f"{component['name']}.json").write_text(json.dumps(component))
    path = folder / name
    path.write_text(json.dumps(recipe_document() if document is None else document))
    return path
