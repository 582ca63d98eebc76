"""Inhibition by feedback: what a negative entry of a feedback raster does to its targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.network import Network


def inhibitory_currents(
    network: Network, rasters: Mapping[str, NDArray[Any]], currents: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float64]]:
    """Return currents of a cycle in which feedback takes away what a spike would give.

    A spike of a feedback's neuron reaches the targets of its synapses with their weights, after
    their delay; a negative entry reaches them with the same weights taken negative.  What would
    arrive after the end of the cycle is left out.

    Parameters
    ----------
    network : that the feedback is a spike source of.
    rasters : {feedback: [T, N]}; only entries below 0 count.
    currents : {population: [size]} that flow all the same.

    Returns
    -------
    dict
        {population: [size] or, where something is taken away, [T, size]}.
    """
    total = {name: np.asarray(current, np.float64) for name, current in currents.items()}
    for feedback, raster in rasters.items():
        negative = (raster < 0).astype(np.float64)
        if not negative.any():
            continue
        source = network.source_groups[feedback]
        for name, projection in network.projections.items():
            start = projection.pre_start - source.start
            inside = 0 <= start < source.size and not projection.from_neurons
            if not inside or projection.delay >= len(negative):
                continue
            group = next(
                g
                for g in network.neuron_groups.values()
                if g.start <= projection.post_start < g.start + g.size
            )
            pre, post, weight = network.edges(name)
            weights = np.zeros((source.size, group.size))
            np.add.at(weights, (pre + start, post + projection.post_start - group.start), weight)
            taken = np.zeros((len(negative), group.size))
            taken[projection.delay :] = (negative @ weights)[: -projection.delay]
            total[group.name] = total.get(group.name, np.zeros(group.size)) - taken
    return total
