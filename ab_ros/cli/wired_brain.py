"""What brain files hold that were not built from a recipe: such as a training writes, or layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.files import load_brain
from ab_ros.brains.local import LocalBrain
from ab_ros.cli.report import columns, grid

Figures = dict[str, Any]


def read(path: Path) -> tuple[LocalBrain, Figures]:
    """Return a brain and its figures.

    Raises
    ------
    BrainFileError
        if the file cannot be read, or holds no brain.
    """
    brain = load_brain(path)
    contract = brain.contract
    figures: Figures = {
        "file": str(path),
        "megabytes": path.stat().st_size / 1e6,
        "neurons": brain.size,
        "gamma": contract.gamma,
        "dt": brain.dt,
        "inputs": [
            {
                "name": name,
                "kind": settings.kind,
                "encoder": settings.encoder,
                "size": brain.encoders[name].size,
            }
            for name, settings in brain.inputs.items()
        ],
        "outputs": {port.id: port.n for port in contract.outputs},
        "layers": list(contract.stdp3_layers),
    }
    if isinstance(brain, EmbeddedBrain):
        wiring = json.loads(brain.anatomy.wiring)
        figures["populations"] = [
            {"name": name, "neuron": p["neuron"], "size": p["size"], "output": p["output"]}
            for name, p in wiring["populations"].items()
        ]
        figures["projections"] = [
            _projection(brain, name, p) for name, p in wiring["projections"].items()
        ]
        figures["synapses"] = sum(p["synapses"] for p in figures["projections"])
    return brain, figures


def _projection(brain: EmbeddedBrain, name: str, wired: dict[str, Any]) -> Figures:
    weights = np.asarray(brain.network.edges(name)[2], np.float64)
    return {
        "name": name,
        "source": wired["source"],
        "target": wired["target"],
        "type": wired["synapse"],
        "layer": wired["layer"],
        "synapses": int(weights.size),
        "weight": {
            "least": float(weights.min()) if weights.size else None,
            "mean": float(weights.mean()) if weights.size else None,
            "most": float(weights.max()) if weights.size else None,
        },
    }


def table(figures: Figures) -> str:
    """Return the figures of a spiking brain as people read them."""
    f = figures
    parts = [
        f"{f['file']}: {f['neurons']} neurons, {f['synapses']} synapses, {f['megabytes']:.1f} MB;"
        f" cycles of {f['gamma']} timesteps of {1e3 * f['dt']:g} ms"
    ]
    inputs = [(i["name"], f"{i['kind']}, {i['encoder']}, {i['size']} trains") for i in f["inputs"]]
    if inputs:
        parts.append(columns("inputs", inputs))
    rows = [
        [p["name"] + (" *" if p["output"] else ""), p["neuron"], str(p["size"])]
        for p in f["populations"]
    ]
    parts += [grid(["population", "neuron", "size"], rows), "  * its spikes leave the brain"]
    rows = [
        [
            p["source"],
            p["target"],
            p["type"] + (f" by {p['layer']}" if p["layer"] else ""),
            str(p["synapses"]),
            *("-" if value is None else f"{value:.3g}" for value in p["weight"].values()),
        ]
        for p in f["projections"]
    ]
    head = ["from", "to", "synapse", "synapses", "least weight", "mean", "most"]
    if rows:
        parts.append(grid(head, rows))
    parts.append(columns("joints", [("reward layers", ", ".join(f["layers"]) or "-")]))
    return "\n".join(parts)
