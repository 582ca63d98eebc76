"""Crosswiring: what a recipe's ``wiring`` adds to its projections."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.plan import PlannedProjection
from ab_ros.engine.recipes.pairing import pair_order
from ab_ros.engine.recipes.proximity import near_pairs
from ab_ros.engine.recipes.recipe import Wiring
from ab_ros.engine.recipes.streams import stream, uniform
from ab_ros.engine.selection import Block
from ab_ros.engine.synapses import Fixed
from ab_ros.errors import ConfigError

_BEGIN = re.compile(r"(?:^|_)(?:trigger|set)[^_]*")
_END = re.compile(r"(?:^|_)(?:kill|reset)[^_]*")


def is_trigger(terminal: str) -> bool:
    """Whether an input terminal's name says that it switches something on or off."""
    return bool(_BEGIN.search(terminal) or _END.search(terminal))


def crosswire(
    wiring: Wiring,
    blocks: Sequence[Block],
    position: NDArray[np.float64],
    instance: NDArray[np.int32],
    fast: NDArray[np.bool_],
    seed: int,
) -> list[PlannedProjection]:
    """Join neurons of different instances of a layer; see ``wiring`` in the recipe's schema.

    Parameters
    ----------
    position : float64[N, 3].
    instance : int32[N].
    fast : bool[N], whether a neuron is FS or LTS.

    Returns
    -------
    list
        for each layer, the excitatory and the inhibitory synapses, where there are any.

    Raises
    ------
    ConfigError
        if there is not a single synapse, though the probability is not 0.
    """
    if not wiring.enabled or not wiring.probability:
        return []
    receives = _receivers(wiring, blocks, instance.size)
    layer_of = np.concatenate([np.full(b.stop - b.start, b.layer, np.int32) for b in blocks])
    planned = []
    for layer in np.unique(layer_of).tolist():
        members = np.flatnonzero(layer_of == layer)
        random = stream(seed, "crosswire", str(layer))
        i, j = near_pairs(
            position[members],
            instance[members],
            receives[members],
            wiring.max_distance,
            wiring.probability,
            random,
        )
        pre, post = members[i].astype(np.int32), members[j].astype(np.int32)
        inhibitory = _inhibitory(wiring, fast[pre], random)
        strength = uniform(random, 0.5, 1.5, pre.size) * wiring.weight_scale
        for name, synapse, chosen, sign in (
            ("excitatory", wiring.excitatory, ~inhibitory, 1.0),
            ("inhibitory", wiring.inhibitory, inhibitory, -1.0),
        ):
            if chosen.any():
                planned.append(
                    PlannedProjection.of_pairs(
                        f"crosswire:{layer}:{name}",
                        "crosswire",
                        synapse,
                        pre[chosen],
                        post[chosen],
                        (sign * strength[chosen]).astype(np.float32),
                        layer=wiring.layer,
                    )
                )
    if not planned:
        raise ConfigError(
            f"{wiring.where}: makes no synapse: no two neurons of different instances of a layer"
            f" are closer than max_distance = {wiring.max_distance:g} and chosen with probability"
            f" {wiring.probability:g}, or all inputs are protected or excluded"
        )
    return planned


def timers(wiring: Wiring, blocks: Sequence[Block]) -> list[PlannedProjection]:
    """Join what sets a memory to what ends it, with a delay; see ``auto_timers`` in the schema.

    Raises
    ------
    ConfigError
        if no component has terminals of both kinds.
    """
    if not wiring.enabled or not wiring.auto_timers:
        return []
    planned = []
    for block in blocks:
        ends = [name for name in block.inputs if _END.search(name)]
        joined: set[tuple[int, int]] = set()
        for name, nodes in block.inputs.items():
            if _END.search(name) or not _BEGIN.search(name):
                continue
            # What is left of a name without its verb says which memory it is about.
            own = [end for end in ends if _END.sub("", end) == _BEGIN.sub("", name)]
            for end in own or ends:
                joined.update((i, j) for i in nodes for j in block.inputs[end] if i != j)
        if joined:
            pairs = np.array(sorted(joined), dtype=np.int64)
            neurons = block.neurons(range(len(block.nodes)))
            pre, post = neurons[:, pairs[:, 0]].ravel(), neurons[:, pairs[:, 1]].ravel()
            order = pair_order(pre.astype(np.int32), post.astype(np.int32))
            planned.append(
                PlannedProjection.of_pairs(
                    f"timer:{block.name}",
                    "timer",
                    Fixed(),
                    pre[order].astype(np.int32),
                    post[order].astype(np.int32),
                    np.full(pre.size, wiring.timer_weight, np.float32),
                    delay=wiring.timer_ticks,
                )
            )
    if not planned:
        raise ConfigError(
            f"{wiring.where}.auto_timers: no component has input terminals both of triggers"
            " (trigger, set) and of ends (kill, reset)"
        )
    return planned


def _receivers(wiring: Wiring, blocks: Sequence[Block], size: int) -> NDArray[np.bool_]:
    """Return which neurons may receive crosswiring, bool[N]."""
    receives = np.ones(size, dtype=np.bool_)
    for block in blocks:
        for name, nodes in block.inputs.items():
            excluded = wiring.protected_triggers and is_trigger(name)
            for text in wiring.excluded_inputs:
                component, _, terminal = text.rpartition(".")
                excluded |= terminal == name and component in ("", block.name, block.type)
            if excluded:
                receives[block.neurons(nodes)] = False
    return receives


def _inhibitory(
    wiring: Wiring, fast: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which synapses are inhibitory, given which have an FS or LTS source."""
    drawn = random.random(fast.size)
    share = wiring.inhibition_fraction
    if not wiring.type_aware_inhibition:
        chosen: NDArray[np.bool_] = drawn < share
        return chosen
    missing = share * fast.size - np.count_nonzero(fast)
    others = fast.size - np.count_nonzero(fast)
    return fast | (drawn * others < missing)
