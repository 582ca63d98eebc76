"""The plan of a brain: every neuron and synapse that a recipe asks for, and what they are called.

A plan says how a brain is at birth.  It holds no state, and makes any number of networks, which are
alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.network import Network
from ab_ros.engine.neurons import NeuronArrays
from ab_ros.engine.selection import Block, select
from ab_ros.engine.synapses import Synapse
from ab_ros.engine.wiring import Edges
from ab_ros.errors import EngineError, one_of

NEURONS = "neurons"
"""Name of the one neuron group of a plan's networks."""
ORIGINS = ("internal", "projection", "crosswire", "timer", "input", "feedback")
"""Where synapses come from: a component, a projection, crosswiring, its timers, or outside."""


@dataclass(frozen=True)
class PlannedSource:
    """Spike trains from outside: an input's, or a feedback's."""

    name: str
    size: int


@dataclass(frozen=True, eq=False)
class PlannedProjection:
    """Synapses of one type and delay.

    Parameters
    ----------
    name : unique in the plan.
    origin : one of :data:`ORIGINS`.
    synapse : type and parameters.
    delay : ticks, at least 1.
    layer : reward layer, if any.
    source : name of a spike source, or empty: the neurons.
    first : the first presynaptic neuron, or train of the source.
    rows : int32, how many synapses it and those that follow have, up to the last that has any.
    post : int32[synapses], targets, row by row, ascending in each.
    weight : float32[synapses], at birth.
    """

    name: str
    origin: str
    synapse: Synapse
    delay: int
    layer: str | None
    source: str
    first: int
    rows: NDArray[np.int32]
    post: NDArray[np.int32]
    weight: NDArray[np.float32]

    @classmethod
    def of_pairs(
        cls,
        name: str,
        origin: str,
        synapse: Synapse,
        pre: NDArray[np.int32],
        post: NDArray[np.int32],
        weight: NDArray[np.float32],
        *,
        delay: int = 1,
        layer: str | None = None,
        source: str = "",
    ) -> PlannedProjection:
        """Return a projection of pairs, at least one, ordered by (pre, post), each once."""
        first = int(pre[0])
        rows = np.bincount(pre - first).astype(np.int32)
        return cls(name, origin, synapse, delay, layer, source, first, rows, post, weight)

    @property
    def pre(self) -> NDArray[np.int32]:
        """Presynaptic neurons, or trains of the source, int32[synapses]; made anew every time."""
        numbers = np.arange(self.first, self.first + self.rows.size, dtype=np.int32)
        pre = np.repeat(numbers, self.rows)
        pre.setflags(write=False)
        return pre

    @property
    def size(self) -> int:
        """Number of synapses."""
        return int(self.post.size)


@dataclass(frozen=True, eq=False)
class Plan:
    """A brain at birth; arrays are read-only.

    Parameters
    ----------
    name, description : of the recipe.
    seed : of the compilation, and of the noise.
    recipe : the recipe as canonical JSON.
    kinds : names of the kinds of neurons: RS, FS, IB, CH, LTS, user.
    kind : uint8[N], indices into ``kinds``.
    a, b, c, d, bias, noise : float64[N].
    position : float32[N, 3].
    instance : int32[N], number of the instance, counted through all of ``blocks``.
    node : int32[N], indices into ``nodes``.
    nodes : all node ids.
    blocks : the recipe's component entries, with the neurons, nodes and terminals of each.
    sources : spike trains from outside.
    projections : all synapses.
    outputs : neurons of each output, int32.
    io : the interface as canonical JSON; empty if there is none.
    layers : reward layers.
    """

    name: str
    description: str
    seed: int
    recipe: str
    kinds: tuple[str, ...]
    kind: NDArray[np.uint8]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    d: NDArray[np.float64]
    bias: NDArray[np.float64]
    noise: NDArray[np.float64]
    position: NDArray[np.float32]
    instance: NDArray[np.int32]
    node: NDArray[np.int32]
    nodes: tuple[str, ...]
    blocks: tuple[Block, ...]
    sources: tuple[PlannedSource, ...]
    projections: tuple[PlannedProjection, ...]
    outputs: Mapping[str, NDArray[np.int32]]
    io: str = ""
    layers: tuple[str, ...] = ()
    _by_name: dict[str, PlannedProjection] = field(default_factory=dict, init=False, repr=False)
    _selected: dict[str, NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = [getattr(self, name) for name in PER_NEURON]
        for projection in self.projections:
            arrays += [projection.rows, projection.post, projection.weight]
        for array in (*arrays, *self.outputs.values()):
            array.setflags(write=False)
        self._by_name.update((projection.name, projection) for projection in self.projections)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.kind.size)

    @property
    def synapses(self) -> int:
        """Number of synapses."""
        return sum(projection.size for projection in self.projections)

    def projection(self, name: str) -> PlannedProjection:
        """Return a projection; an EngineError that lists all if there is none of this name."""
        if name not in self._by_name:
            raise EngineError(f"projection {name!r}: unknown; {one_of(self._by_name)}")
        return self._by_name[name]

    def neurons_of(self, selector: str) -> NDArray[np.int64]:
        """Return the neurons that a selector names, int64, ascending.

        Parameters
        ----------
        selector : ``component.port``, where the component is the name of an entry of the recipe, or
            a type, for all entries of it; and the port is a terminal or a node.  ``*`` stands for
            any text in either.  ``component[3].port`` takes instance 3 only,
            ``component[2:5].port`` instances 2, 3 and 4.  Without a port, all neurons.

        Raises
        ------
        EngineError
            for what is not in the brain, with what is.
        """
        if selector not in self._selected:
            self._selected[selector] = select(self.blocks, selector)
        return self._selected[selector]

    def label(self, neuron: int) -> str:
        """Return the name of a neuron, such as ``chemo_left[3].on``."""
        for block in self.blocks:
            if block.start <= neuron < block.stop:
                return block.label(neuron)
        raise EngineError(f"neuron {neuron}: must be in [0, {self.size})")

    def network(
        self,
        seed: int | None = None,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        precision: Literal["float32", "float64"] = "float32",
        history: int = 16,
    ) -> Network:
        """Build a network: one group ``neurons``, a source for each of ``sources``.

        Parameters
        ----------
        seed : of the noise; None takes the plan's.
        backend, precision, history : see :class:`~ab_ros.engine.network.Network`.
        """
        network = Network(self.seed if seed is None else seed, precision, backend, history)
        for source in self.sources:
            network.add_source(source.name, source.size)
        parameters = NeuronArrays(self.a, self.b, self.c, self.d)
        network.add_neurons(NEURONS, self.size, parameters, noise=self.noise, bias=self.bias)
        for p in self.projections:
            network.connect(
                p.name,
                p.source or NEURONS,
                NEURONS,
                p.synapse,
                weight=Edges(p.pre, p.post, p.weight),
                delay=p.delay,
                layer=p.layer,
            )
        return network.build()


PER_NEURON = ("kind", "a", "b", "c", "d", "bias", "noise", "position", "instance", "node")
"""Fields of a plan that are arrays with one row for each neuron."""
