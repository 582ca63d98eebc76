"""A component as a network of its own, to be tried, tested and drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np

from ab_ros.engine.blocks.component import Component, Path
from ab_ros.engine.network import Network
from ab_ros.engine.synapses import Gated
from ab_ros.engine.validation import check_count
from ab_ros.engine.wiring import Edges
from ab_ros.errors import EngineError


def component_network(
    component: Component,
    count: int = 1,
    seed: int = 0,
    backend: Literal["auto", "numpy", "numba"] = "auto",
    *,
    noise: float = 0.0,
) -> Network:
    """Build a network of independent instances of a component.

    There is one neuron group per node, named by its id, with one neuron per instance; neuron i of
    every group belongs to instance i.  Projections are named ``source->target``, a second one
    between the same nodes ``source->target#2`` and so on; of gated ones each instance i has its
    own, ``source->target[i]``, if there are several instances.  Input is given by currents.

    Parameters
    ----------
    component : what to build.
    count : instances, at least 1.
    seed : of the noise.
    backend : see :class:`~ab_ros.engine.network.Network`.
    noise : standard deviation of a Gaussian current into every neuron, added to the noise of its
        node (the variances add up).

    Raises
    ------
    EngineError
        for a count below 1, or a gate with several modulator nodes, which only a compiled brain
        can have.
    """
    count = check_count("component_network: count", count, ge=1)
    network = Network(seed=seed, backend=backend)
    for node in component.nodes:
        both = float(np.hypot(node.noise, noise))
        network.add_neurons(node.id, count, node.parameters, noise=both, bias=node.bias)
    seen: Counter[str] = Counter()
    for path in component.paths:
        name = f"{path.source}->{path.target}"
        seen[name] += 1
        if seen[name] > 1:
            name += f"#{seen[name]}"
        if isinstance(path.synapse, Gated):
            _connect_gated(network, name, path, path.synapse, count)
        else:
            instances = np.arange(count)
            network.connect(
                name,
                path.source,
                path.target,
                path.synapse,
                weight=Edges(instances, instances, path.weight),
                delay=path.delay,
                layer=path.layer,
            )
    return network.build()


def _connect_gated(network: Network, name: str, path: Path, synapse: Gated, count: int) -> None:
    if len(path.modulator) > 1:
        raise EngineError(
            f"component_network: {name}: the gate has {len(path.modulator)} modulator nodes"
            f" ({', '.join(path.modulator)}); here it can have 1"
        )
    for i in range(count):
        network.connect(
            name if count == 1 else f"{name}[{i}]",
            path.source,
            path.target,
            replace(synapse, modulator=path.modulator[0], modulator_neurons=(i,)),
            weight=path.weight,
            delay=path.delay,
            source_slice=(i, i + 1),
            target_slice=(i, i + 1),
        )
