"""Figures of a brain: how many of what, joined how, firing how fast, and what it has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.brain import Brain
from ab_ros.engine.network import TICKS_PER_SECOND
from ab_ros.engine.plan import ORIGINS, Plan
from ab_ros.engine.synapses import SYNAPSE_TYPES


def plan_summary(plan: Plan) -> dict[str, Any]:
    """Return figures of a plan, as JSON can hold them.

    ``projection_to_crosswire`` is the number of synapses of projections over that of crosswiring;
    None if there is none of the latter.  Fan-in and fan-out count synapses of each neuron.
    """
    by_origin = dict.fromkeys(ORIGINS, 0)
    by_type = dict.fromkeys(SYNAPSE_TYPES, 0)
    fan_in, fan_out = np.zeros(plan.size, np.int64), np.zeros(plan.size, np.int64)
    for p in plan.projections:
        by_origin[p.origin] += p.size
        by_type[p.synapse.type_name] += p.size
        fan_in += np.bincount(p.post, minlength=plan.size)
        if not p.source:
            fan_out += np.bincount(p.pre, minlength=plan.size)
    kinds = np.bincount(plan.kind, minlength=len(plan.kinds)).tolist()
    crosswired = by_origin["crosswire"]
    return {
        "name": plan.name,
        "description": plan.description,
        "seed": plan.seed,
        "neurons": plan.size,
        "synapses": plan.synapses,
        "neurons_by_type": {k: n for k, n in zip(plan.kinds, kinds, strict=True) if n},
        "components": [
            {
                "name": block.name,
                "type": block.type,
                "layer": block.layer,
                "instances": block.count,
                "neurons": block.stop - block.start,
                "inputs": list(block.inputs),
                "outputs": list(block.outputs),
            }
            for block in plan.blocks
        ],
        "synapses_by_type": {name: n for name, n in by_type.items() if n},
        "synapses_by_origin": {name: n for name, n in by_origin.items() if n},
        "projection_to_crosswire": by_origin["projection"] / crosswired if crosswired else None,
        "fan_in": _spread(fan_in),
        "fan_out": _spread(fan_out),
        "layers": list(plan.layers),
        "inputs": [
            {"name": source.name, "size": source.size, "origin": origin}
            for source in plan.sources
            for origin in {p.origin for p in plan.projections if p.source == source.name}
        ],
        "outputs": {name: int(neurons.size) for name, neurons in plan.outputs.items()},
    }


def learned(brain: Brain) -> dict[str, Any]:
    """Return how long a brain has lived, and by how much its weights have moved.

    ``moved`` is, by projection whose weights are not as at birth, the mean distance from there;
    ``pruned`` how many of its synapses are gone.
    """
    moved: dict[str, float] = {}
    pruned: dict[str, int] = {}
    for p in brain.plan.projections:
        if p.synapse.type_name == "fixed":
            continue
        pre, post, weight = brain.network.edges(p.name)
        birth = p.weight
        if weight.size < p.size:
            pruned[p.name] = p.size - int(weight.size)
            left = np.isin(p.pre.astype(np.int64) * brain.size + p.post, pre * brain.size + post)
            birth = birth[left]
        distance = float(np.abs(weight.astype(np.float64) - birth).mean()) if weight.size else 0.0
        if distance:
            moved[p.name] = distance
    return {"ticks": brain.ticks, "moved": moved, "pruned": pruned}


def measure_rates(
    brain: Brain, ticks: int, currents: NDArray[np.float64] | None = None
) -> dict[str, dict[str, float]]:
    """Run a brain without learning; return mean rates in Hz.

    The brain is changed: give one that is not needed any more.

    Parameters
    ----------
    ticks : how long, at least 1.
    currents : float64[N], input in every tick; None gives none.

    Returns
    -------
    dict
        ``types`` by kind of neuron, ``components`` by entry.
    """
    brain.learning = False
    counts = np.zeros(brain.size, np.int64)
    done = 0
    while done < ticks:
        part = min(100, ticks - done)
        counts += brain.run(part, currents).sum(axis=0, dtype=np.int64)
        done += part
    return rates_of(brain.plan, counts, ticks)


def rates_of(plan: Plan, counts: NDArray[np.int64], ticks: int) -> dict[str, dict[str, float]]:
    """Return mean rates in Hz from the spikes of each neuron; see :func:`measure_rates`."""
    rate = counts * (TICKS_PER_SECOND / ticks)
    return {
        "types": {
            kind: float(rate[plan.kind == k].mean())
            for k, kind in enumerate(plan.kinds)
            if (plan.kind == k).any()
        },
        "components": {
            block.name: float(rate[block.start : block.stop].mean()) for block in plan.blocks
        },
    }


def _spread(counts: NDArray[np.int64]) -> dict[str, float]:
    return {
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "min": int(counts.min()),
        "max": int(counts.max()),
    }
