"""Brains in files: a plan, the state of its network, and its maps, as texts and arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.engine.network import Network
from ab_ros.engine.plan import PER_NEURON, Plan, PlannedProjection, PlannedSource
from ab_ros.engine.selection import Block
from ab_ros.engine.synapses import SYNAPSE_TYPES
from ab_ros.errors import BrainFileError, EngineError

FORMAT = "brain-1"
BODY_MAP = np.dtype([("neuron", "<i4"), ("segment", "<i2"), ("side", "<U7"), ("effect", "<U10")])
"""Rows of a body map: neuron, segment 0 to 23, side (dorsal, ventral), effect (excitatory, ...)."""
SENSOR_MAP = np.dtype(
    [
        ("neuron", "<i4"),
        ("kind", "<U10"),
        ("place", "<U4"),
        ("response", "<U5"),
        ("side", "<U9"),
    ]
)
"""Rows of a sensor map: neuron, and the kind, place, response and side of what it senses."""
_MAPS = ("body_map", "sensor_map")
_ATTACHED = "attached."

Attached = str | NDArray[Any]
Content = tuple[dict[str, str], dict[str, NDArray[Any]]]


def save_parts(
    path: Path,
    plan: Plan,
    network: Network,
    maps: Mapping[str, NDArray[np.void]],
    attached: Mapping[str, Attached],
) -> None:
    """Write a brain; see :meth:`~ab_ros.engine.brain.Brain.save`."""
    arrays: dict[str, NDArray[Any]] = {f"plan.{name}": getattr(plan, name) for name in PER_NEURON}
    arrays |= {f"output.{name}": neurons for name, neurons in plan.outputs.items()}
    arrays |= maps
    arrays |= _wiring(plan)
    for name, values in network.state(signatures=False).items():
        if not _as_at_birth(plan, name, values):
            arrays[f"state.{name}"] = values
    texts = {
        "format": FORMAT,
        "plan": json.dumps(_described(plan), ensure_ascii=False),
        "network": json.dumps(
            {"seed": network.seed, "precision": network.precision, "history": network.history}
        ),
        "recipe": plan.recipe,
    }
    for name, value in attached.items():
        into: dict[str, Any] = texts if isinstance(value, str) else arrays
        into[f"{_ATTACHED}{name}"] = value
    write_brain_file(path, texts, arrays)


def load_parts(
    path: Path, backend: Literal["auto", "numpy", "numba"], content: Content | None = None
) -> tuple[Plan, Network, dict[str, NDArray[np.void]], dict[str, Attached]]:
    """Read a brain: its plan, its network in the state of then, its maps, and what is attached.

    ``content`` is what :func:`~ab_ros.engine.database.read_brain_file` has returned for this path,
    if the file was read already.

    Raises
    ------
    BrainFileError
        if the file cannot be read, or does not hold a brain that was built from a recipe.
    """
    texts, arrays = content or read_brain_file(path)
    if texts.get("format") != FORMAT:
        raise BrainFileError(
            f"{path}: holds {texts.get('format')!r}, not a brain built from a recipe ({FORMAT!r})"
        )
    try:
        plan = _plan(json.loads(texts["plan"]), texts["recipe"], arrays)
        settings = json.loads(texts["network"])
        network = plan.network(
            settings["seed"], backend, settings["precision"], settings["history"]
        )
        network.restore(_state(plan, network, arrays), signatures=False)
        maps = {name: arrays[name] for name in _MAPS}
        held: dict[str, Attached] = {**texts, **arrays}
        attached = {
            name.removeprefix(_ATTACHED): value
            for name, value in held.items()
            if name.startswith(_ATTACHED)
        }
    except KeyError as error:
        raise BrainFileError(f"{path}: lacks {error}") from None
    except (EngineError, TypeError, ValueError) as error:
        raise BrainFileError(f"{path}: does not fit together: {error}") from None
    return plan, network, maps, attached


def _described(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "description": plan.description,
        "seed": plan.seed,
        "kinds": plan.kinds,
        "nodes": plan.nodes,
        "blocks": [dataclasses.asdict(block) for block in plan.blocks],
        "sources": [dataclasses.asdict(source) for source in plan.sources],
        "projections": [
            {
                "name": p.name,
                "origin": p.origin,
                "synapse_type": p.synapse.type_name,
                "params": dataclasses.asdict(p.synapse),  # type: ignore[call-overload]
                "delay": p.delay,
                "layer": p.layer,
                "source": p.source,
                "synapses": p.size,
                "first": p.first,
                "rows": int(p.rows.size),
            }
            for p in plan.projections
        ],
        "outputs": list(plan.outputs),
        "io": plan.io,
        "layers": plan.layers,
    }


def _wiring(plan: Plan) -> dict[str, NDArray[Any]]:
    """Return the synapses of all projections, end to end: lengths of rows, targets, weights."""
    empty = [np.empty(0, np.int32)]
    return {
        "synapses.rows": np.concatenate(empty + [p.rows for p in plan.projections]),
        "synapses.targets": np.concatenate(empty + [p.post for p in plan.projections]),
        "synapses.weights": np.concatenate(
            [np.empty(0, np.float32), *(p.weight for p in plan.projections)]
        ),
    }


def _plan(described: dict[str, Any], recipe: str, arrays: Mapping[str, NDArray[Any]]) -> Plan:
    projections = []
    rows, targets, weights = (arrays[f"synapses.{name}"] for name in ("rows", "targets", "weights"))
    row = slot = 0
    for p in described["projections"]:
        counts = rows[row : row + p["rows"]]
        part = slice(slot, slot + p["synapses"])
        row, slot = row + p["rows"], part.stop
        if int(counts.sum()) != p["synapses"]:
            raise ValueError(f"projection {p['name']!r}: its rows have other lengths")
        params = p["params"]
        if params.get("modulator_neurons") is not None:
            params["modulator_neurons"] = tuple(params["modulator_neurons"])
        projections.append(
            PlannedProjection(
                p["name"],
                p["origin"],
                SYNAPSE_TYPES[p["synapse_type"]](**params),
                p["delay"],
                p["layer"],
                p["source"],
                p["first"],
                counts,
                targets[part],
                weights[part],
            )
        )
    if row != rows.size or not slot == targets.size == weights.size:
        raise ValueError(f"{targets.size} targets for {slot} synapses")
    return Plan(
        described["name"],
        described["description"],
        described["seed"],
        recipe,
        tuple(described["kinds"]),
        **{name: arrays[f"plan.{name}"] for name in PER_NEURON},
        nodes=tuple(described["nodes"]),
        blocks=tuple(_block(block) for block in described["blocks"]),
        sources=tuple(PlannedSource(**source) for source in described["sources"]),
        projections=tuple(projections),
        outputs={name: arrays[f"output.{name}"] for name in described["outputs"]},
        io=described["io"],
        layers=tuple(described["layers"]),
    )


def _block(described: dict[str, Any]) -> Block:
    for side in ("inputs", "outputs"):
        described[side] = {name: tuple(nodes) for name, nodes in described[side].items()}
    described["nodes"] = tuple(described["nodes"])
    return Block(**described)


def _state(
    plan: Plan, network: Network, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the network's state as it was saved; what was as at birth is so now."""
    state = {
        name.removeprefix("state."): values
        for name, values in arrays.items()
        if name.startswith("state.")
    }
    for p in plan.projections:
        weights = f"projection/{p.name}/weights"
        if weights not in state:
            state[weights] = p.weight.astype(network.precision)
    return state


def _as_at_birth(plan: Plan, name: str, values: NDArray[Any]) -> bool:
    if not name.startswith("projection/") or not name.endswith("/weights"):
        return False
    birth = plan.projection(name.removeprefix("projection/").removesuffix("/weights")).weight
    return bool(np.array_equal(birth, values))
