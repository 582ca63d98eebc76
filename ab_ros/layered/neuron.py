"""Groups of neurons, and the connections that make layers of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.errors import ConfigError, shown
from ab_ros.layered.computation import Computation
from ab_ros.layered.learning import Learning
from ab_ros.layered.source import Emitter, Output, merge, shape_of
from ab_ros.layered.weights import draw_weights, snapped

MAIN = "MAIN"
"""Name of the input that is meant where none is named."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
Layer = Any
"""A group of neurons, or a list of groups and lists."""


@dataclass(frozen=True)
class Connection:
    """An input of a group: what it reads, and with which weights it begins.

    Parameters
    ----------
    source : what it reads.
    seed : that its weights are drawn from; None: each brain draws them from its own seed.
    weights : with which it begins, float32[source, group]; None: those that a brain will draw.
    """

    source: Output
    seed: int | None = None
    weights: NDArray[np.float32] | None = None


class Neurons(Emitter):
    """A group of binary neurons of any shape, with named inputs.

    A group is a description: brains that are made of it share nothing with each other.

    Parameters
    ----------
    shape : of the group, such as ``5`` or ``(3, 4)``.
    name : unique in a brain; empty: the brain finds one from the group's place.
    computation, learning : of this group; None: those of the brain.
    layer : reward layer (STDP3) that teaches it; empty: it learns by itself, in every tick.
    output : whether its bits leave the brain; where no group says so, those of the last layer do.

    Examples
    --------
    >>> n1, n2 = Neurons(5), Neurons((3, 4))
    >>> n2.input = n1
    >>> n1.set("feedback", n2[0], seed=7)
    >>> n1.connections["feedback"].weights.shape
    (4, 5)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        name: str = "",
        *,
        computation: Computation | None = None,
        learning: Learning | None = None,
        layer: str = "",
        output: bool = False,
    ) -> None:
        super().__init__(shape_of(shape, "Neurons.shape"), name and check_name("name", name))
        self.computation, self.learning = computation, learning
        self.layer = layer and check_name("layer", layer)
        self.output = output
        self.connections: dict[str, Connection] = {}

    @property
    def input(self) -> Output | None:
        """What the input ``MAIN`` reads; None if nothing."""
        return self.get(MAIN)

    @input.setter
    def input(self, source: Any) -> None:
        self.set(MAIN, source)

    def get(self, name: str = MAIN) -> Output | None:
        """Return what an input reads; None if there is no such input."""
        connection = self.connections.get(name)
        return None if connection is None else connection.source

    def set(
        self,
        name: str,
        source: Any,
        *,
        seed: int | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        """Connect an input; what it read before is forgotten.

        Parameters
        ----------
        name : of the input, such as ``MAIN``.
        source : a group, a sensor, a part of one (``n1[:3]``), or a list of these.
        seed : draws the weights now, from U(0, 1); None: each brain draws them from its own seed.
        weights : instead of drawn ones, [source, group] in [0, 1]; 0 is no connection, for good.

        Raises
        ------
        ConfigError
            if the name, the source or the weights are none.
        """
        name = check_name("input", name)
        output = merge(source)
        form = (output.size, self.size)
        if weights is not None:
            given = np.array(weights, np.float64)
            if given.shape != form or not ((given >= 0) & (given <= 1)).all():
                raise ConfigError(
                    f"weights of input {name!r}: must have the form {list(form)} and be within"
                    f" [0, 1] (got the form {list(given.shape)})"
                )
            first: NDArray[np.float32] | None = snapped(given.astype(np.float32))
        else:
            first = None if seed is None else draw_weights(form, check_seed(seed))
        self.connections[name] = Connection(output, seed, first)


def FeedForward(layers: Sequence[Layer], name: str = MAIN, *, seed: int | None = None) -> None:  # noqa: N802
    """Let each layer read the one before it.

    Parameters
    ----------
    layers : from first to last; a layer is a group, a sensor (the first only), or a list of groups
        and lists, whose outputs are merged and whose groups are connected alike.
    name : of the inputs.
    seed : draws the weights now; None: each brain draws them from its own seed.
    """
    _connect(list(itertools.pairwise(layers)), name, seed)


def FeedBackward(layers: Sequence[Layer], name: str = MAIN, *, seed: int | None = None) -> None:  # noqa: N802
    """Let each layer read the one after it, as that was in the tick before."""
    _connect([(b, a) for a, b in itertools.pairwise(layers)], name, seed)


def LoopBack(layers: Sequence[Layer], name: str = MAIN, *, seed: int | None = None) -> None:  # noqa: N802
    """Let each layer read itself, as it was in the tick before."""
    _connect([(layer, layer) for layer in layers], name, seed)


def groups_of(layer: Layer) -> list[Neurons]:
    """Return the groups of a layer, in order.

    Raises
    ------
    ConfigError
        if there is none, or something that is no group.
    """
    found = list(_groups(layer))
    if not found:
        raise ConfigError("a layer needs at least one group of neurons (got none)")
    return found


def check_name(what: str, name: Any) -> str:
    """Return a name, or raise a ConfigError if it is none."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what}: must be a letter, then letters, digits and underscores (got {shown(name)})"
        )
    return name


def check_seed(seed: Any) -> int:
    """Return a seed, or raise a ConfigError if it is none."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"seed: must be a whole number of at least 0 (got {shown(seed)})")
    return int(seed)


def _connect(pairs: list[tuple[Layer, Layer]], name: str, seed: int | None) -> None:
    targets = [(source, group) for source, layer in pairs for group in groups_of(layer)]
    seeds = [None] * len(targets) if seed is None else _children(seed, len(targets))
    for (source, group), each in zip(targets, seeds, strict=True):
        group.set(name, source, seed=each)


def _children(seed: int, count: int) -> list[int]:
    return [int(n) for n in np.random.SeedSequence(check_seed(seed)).generate_state(count)]


def _groups(layer: Layer) -> Iterator[Neurons]:
    if isinstance(layer, Neurons):
        yield layer
    elif isinstance(layer, (list, tuple)):
        for part in layer:
            yield from _groups(part)
    else:
        raise ConfigError(f"a layer is a group of neurons, or a list of these (got {layer!r})")
