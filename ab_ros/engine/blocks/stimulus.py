"""What goes into a component while it is tried: currents into its terminals, over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.blocks.component import Component
from ab_ros.engine.blocks.trial import component_network
from ab_ros.engine.network import Raster
from ab_ros.engine.validation import check_count, check_number
from ab_ros.errors import EngineError, one_of


@dataclass(frozen=True)
class Pulse:
    """A current into one terminal, for a while.

    Parameters
    ----------
    into : an input terminal, all of whose nodes get the current, or the id of a node.
    current : of every tick from ``start`` to before ``stop``; with a ``period``, of one tick in
        ``period``, as a synapse of this weight gives that hears a regular spike train.
    start, stop : ticks, 0 <= start < stop.
    period : ticks between the spikes of a train, at least 1; 0 is a constant current.

    Raises
    ------
    EngineError
        naming the parameter that does not fit.
    """

    into: str
    current: float
    start: int
    stop: int
    period: int = 0

    def __post_init__(self) -> None:
        check_number("Pulse.current", self.current)
        check_count("Pulse.start", self.start, ge=0)
        check_count("Pulse.stop", self.stop, ge=self.start + 1)
        check_count("Pulse.period", self.period, ge=0)


@dataclass(frozen=True)
class Stimulus:
    """What is shown to a component, and what to look at.

    Parameters
    ----------
    ticks : how long, at least 1.
    pulses : currents; those that overlap add up.
    shows : one line that says what the picture shows, without a full stop.
    potentials : ids of nodes whose membrane potential is drawn, too; best at most two.
    noise : standard deviation of a Gaussian current into every neuron.
    """

    ticks: int
    pulses: tuple[Pulse, ...]
    shows: str
    potentials: tuple[str, ...] = ()
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_count("Stimulus.ticks", self.ticks, ge=1)
        check_number("Stimulus.noise", self.noise, ge=0.0)
        for pulse in self.pulses:
            if pulse.stop > self.ticks:
                raise EngineError(
                    f"Stimulus.pulses: {pulse.into!r} must end by tick {self.ticks}"
                    f" (got {pulse.stop})"
                )

    def currents(self, component: Component, count: int = 1) -> dict[str, NDArray[np.float64]]:
        """Return the currents by node, float64[ticks, count], alike for all instances.

        Raises
        ------
        EngineError
            if a pulse goes into what is neither an input terminal nor a node.
        """
        currents: dict[str, NDArray[np.float64]] = {}
        for pulse in self.pulses:
            for node in nodes_into(component, pulse.into):
                current = currents.setdefault(node, np.zeros((self.ticks, count)))
                current[pulse.start : pulse.stop : pulse.period or 1] += pulse.current
        return currents


@dataclass(frozen=True)
class Response:
    """What a component did: by node, spikes uint8[ticks, count], potentials float64 mV alike."""

    spikes: Mapping[str, Raster]
    potentials: Mapping[str, NDArray[np.float64]]


def nodes_into(component: Component, name: str) -> tuple[str, ...]:
    """Return the nodes of an input terminal, or the node of this id.

    Raises
    ------
    EngineError
        if there is neither.
    """
    for terminal in component.inputs:
        if terminal.name == name:
            return terminal.nodes
    if name in component.node_ids:
        return (name,)
    known = [*(terminal.name for terminal in component.inputs), *component.node_ids]
    raise EngineError(f"component {component.name!r}: no input {name!r}; {one_of(known)}")


def respond(
    component: Component,
    stimulus: Stimulus,
    count: int = 1,
    seed: int = 0,
    backend: Literal["auto", "numpy", "numba"] = "auto",
) -> Response:
    """Build a component, give it a stimulus, and return what it does.

    The parameters are those of :func:`~ab_ros.engine.blocks.component_network`.
    """
    network = component_network(component, count, seed, backend, noise=stimulus.noise)
    currents = stimulus.currents(component, count)
    if not stimulus.potentials:
        return Response(network.run(stimulus.ticks, currents=currents), {})
    for node in stimulus.potentials:
        if node not in component.node_ids:
            raise EngineError(
                f"Stimulus.potentials: unknown node {node!r}; {one_of(component.node_ids)}"
            )
    spikes: dict[str, Raster] = {
        node: np.zeros((stimulus.ticks, count), dtype=np.uint8) for node in component.node_ids
    }
    potentials = {node: np.zeros((stimulus.ticks, count)) for node in stimulus.potentials}
    places = {name: group.start for name, group in network.neuron_groups.items()}
    for tick in range(stimulus.ticks):
        fired = network.tick(currents={node: row[tick] for node, row in currents.items()})
        v = network.state()["neurons/v"]
        for node, row in fired.items():
            spikes[node][tick] = row
        for node, trace in potentials.items():
            trace[tick] = v[places[node] : places[node] + count]
    return Response(spikes, potentials)


def probing(component: Component, current: float = 12.0) -> Stimulus:
    """Return a stimulus for a component that has no demonstration: its inputs, one by one."""
    rest, on = 60, 120
    pulses = tuple(
        Pulse(terminal.name, current, rest + i * (rest + on), (i + 1) * (rest + on))
        for i, terminal in enumerate(component.inputs)
    )
    ticks = max(len(pulses), 1) * (rest + on) + 2 * rest
    return Stimulus(ticks, pulses, f"each input in turn gets a current of {current:g}")
