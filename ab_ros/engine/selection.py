"""Selectors: names of neurons by component, instance, and terminal or node."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import EngineError, one_of

_FORM = re.compile(
    r"(?P<component>[\w*]+)"
    r"(?:\[(?:(?P<one>\d+)|(?P<first>\d*):(?P<stop>\d*))\])?"
    r"(?:\.(?P<port>[\w*]+))?"
)


@dataclass(frozen=True)
class Block:
    """The neurons of one component entry: instance by instance, node by node.

    Parameters
    ----------
    name : of the entry.
    type : of the component.
    count : instances.
    layer : of all instances.
    start : first neuron.
    nodes : node ids, in order.
    inputs, outputs : nodes of each terminal, as indices into ``nodes``.
    """

    name: str
    type: str
    count: int
    layer: int
    start: int
    nodes: tuple[str, ...]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]

    @property
    def stop(self) -> int:
        """One past the last neuron."""
        return self.start + self.count * len(self.nodes)

    @property
    def ports(self) -> dict[str, tuple[int, ...]]:
        """Nodes of all terminals, and of the nodes themselves, by name."""
        own = {node: (index,) for index, node in enumerate(self.nodes)}
        return {**own, **self.inputs, **self.outputs}

    def neurons(self, nodes: Sequence[int]) -> NDArray[np.int64]:
        """Return the neurons of some nodes, int64[count, nodes], each row ascending."""
        instances = np.arange(self.count, dtype=np.int64)[:, None] * len(self.nodes)
        return instances + (self.start + np.array(sorted(nodes), dtype=np.int64))

    def label(self, neuron: int) -> str:
        """Return the name of one of the neurons, such as ``chemo_left[3].on``."""
        instance, node = divmod(neuron - self.start, len(self.nodes))
        return f"{self.name}[{instance}].{self.nodes[node]}"


def select(blocks: Sequence[Block], selector: str) -> NDArray[np.int64]:
    """Return the neurons that a selector names; see :meth:`~ab_ros.engine.plan.Plan.neurons_of`."""
    where = f"selector {selector!r}"
    match = _FORM.fullmatch(selector) if isinstance(selector, str) else None
    if match is None:
        raise EngineError(
            f"{where}: must be 'component', 'component.port' or 'component[3].port', where '*'"
            " stands for any text"
        )
    component, port = match["component"], match["port"]
    chosen = [block for block in blocks if fnmatchcase(block.name, component)]
    if "*" in component or not chosen:
        chosen = [b for b in blocks if b in chosen or fnmatchcase(b.type, component)]
    if not chosen:
        names = dict.fromkeys(name for block in blocks for name in (block.name, block.type))
        raise EngineError(f"{where}: unknown component {component!r}; {one_of(names)}")
    found = []
    for block in chosen:
        nodes: set[int] = set()
        for name, members in block.ports.items():
            if port is None or fnmatchcase(name, port):
                nodes.update(members)
        if nodes:
            rows = block.neurons(sorted(nodes))
            found.append(rows[_instances(match, block, where)].ravel())
    if not found:
        ports = dict.fromkeys(name for block in chosen for name in block.ports)
        raise EngineError(f"{where}: {component} has no terminal or node {port!r}; {one_of(ports)}")
    neurons = np.concatenate(found)
    neurons.sort()
    neurons.setflags(write=False)
    return neurons


def _instances(match: re.Match[str], block: Block, where: str) -> slice:
    if match["one"] is not None:
        first, stop = int(match["one"]), int(match["one"]) + 1
    else:
        first, stop = int(match["first"] or 0), int(match["stop"] or block.count)
    if not 0 <= first < stop <= block.count:
        raise EngineError(
            f"{where}: {block.name} has the instances 0 to {block.count - 1} (asked for"
            f" {first} to {stop - 1})"
        )
    return slice(first, stop)
