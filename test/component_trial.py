"""Instances of a component side by side, each driven a little harder than the one before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.blocks.component import Component, load_component
from ab_ros.engine.blocks.stimulus import nodes_into
from ab_ros.engine.blocks.trial import component_network
from ab_ros.engine.network import Raster

Input = float | tuple[float, int, int]
Counts = NDArray[np.int64]

# A promise must hold from 20 % less to 20 % more drive than it names.
WEAKEST, STRONGEST = 0.8, 1.2


def pulse(start: int = 0, ticks: int = 10, current: float = 20.0) -> tuple[float, int, int]:
    """Return a short current, from tick ``start`` of the run."""
    return current, start, start + ticks


class Response:
    """The spikes of one run, uint8[ticks, instances] by node."""

    def __init__(self, component: Component, spikes: dict[str, Raster]) -> None:
        self.component = component
        self.spikes = spikes

    def raster(self, name: str) -> Raster:
        """Return the spikes of a node, or of an output terminal's nodes one above the other."""
        if name in self.component.node_ids:
            return self.spikes[name]
        nodes = self.component.terminal(name).nodes
        return np.sum([self.spikes[node] for node in nodes], axis=0, dtype=np.uint8)

    def count(self, name: str, start: int = 0, stop: int | None = None) -> Counts:
        """Return the number of spikes in ticks [start, stop), int64[instances]."""
        return self.raster(name)[start:stop].sum(axis=0, dtype=np.int64)

    def first(self, name: str) -> Counts:
        """Return the tick of the first spike, int64[instances]; all instances must have one."""
        raster = self.raster(name)
        assert raster.any(axis=0).all(), f"{name} did not fire"
        return raster.argmax(axis=0)


class Trial:
    """Five instances of a component, with noise, at 80 to 120 % of the drive.

    Parameters
    ----------
    component : the name of a shipped one, or any.
    without : nodes whose synapses are taken away, to show what they are there for.
    count : instances.
    noise : standard deviation of the current noise in every neuron.
    even : whether all instances get the same drive.
    """

    def __init__(
        self,
        component: str | Component,
        *,
        without: tuple[str, ...] = (),
        count: int = 5,
        noise: float = 1.0,
        seed: int = 0,
        even: bool = False,
    ) -> None:
        if isinstance(component, str):
            component = load_component(component)
        paths = tuple(path for path in component.paths if path.source not in without)
        self.component = replace(component, paths=paths)
        self.network = component_network(self.component, count, seed, "numpy", noise=noise)
        self.drives = np.ones(count) if even else np.linspace(WEAKEST, STRONGEST, count)

    def run(self, ticks: int, **inputs: Input) -> Response:
        """Go on, with currents into terminals or nodes: a level, or (level, start, stop)."""
        currents: dict[str, NDArray[np.float64]] = {}
        for name, given in inputs.items():
            level, start, stop = given if isinstance(given, tuple) else (given, 0, ticks)
            for node in nodes_into(self.component, name):
                current = currents.setdefault(node, np.zeros((ticks, self.drives.size)))
                current[start:stop] += level * self.drives
        return Response(self.component, self.network.run(ticks, currents=currents))

    def weights(self, source: str, target: str) -> NDArray[np.floating]:
        """Return the weights of a path, real[instances]."""
        return self.network.edges(f"{source}->{target}")[2]
