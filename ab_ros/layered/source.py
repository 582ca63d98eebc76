"""What neurons can read: the outputs of groups and sensors, whole, sliced or merged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ConfigError, shown

Shape = tuple[int, ...]
LARGEST = 2**24
"""Neurons that a group, or bits that an output, may have."""


@dataclass(frozen=True)
class Piece:
    """A part of what an emitter puts out: the bits at ``indices`` of its flat output, or all."""

    emitter: Emitter
    indices: NDArray[np.intp] | None = None

    @property
    def size(self) -> int:
        """Number of bits."""
        return self.emitter.size if self.indices is None else int(self.indices.size)


class Output:
    """Bits that neurons can read: pieces of emitters, one after the other.

    Indexing selects a part, as it does with NumPy: ``n[:3]``, ``n[0, ::2]``, ``n[[1, 5]]``.

    Attributes
    ----------
    shape : of the bits.
    pieces : where they come from.
    """

    def __init__(self, pieces: Iterable[Piece], shape: Shape) -> None:
        self.pieces = tuple(pieces)
        self.shape = shape

    @property
    def size(self) -> int:
        """Number of bits."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Output]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Output:
        try:
            chosen = np.arange(self.size).reshape(self.shape)[index]
        except (IndexError, ValueError, TypeError) as error:
            raise IndexError(f"an output of the form {list(self.shape)}: {error}") from None
        flat = np.atleast_1d(chosen).reshape(-1)
        if not flat.size:
            raise IndexError(f"an output of the form {list(self.shape)}: {index!r} selects nothing")
        pieces = []
        start = 0
        # Bits of one emitter that follow each other are one piece.
        owners = np.repeat(np.arange(len(self.pieces)), [piece.size for piece in self.pieces])
        starts = np.concatenate(([0], np.cumsum([piece.size for piece in self.pieces])))
        bounds = np.flatnonzero(np.diff(owners[flat])) + 1
        for stop in (*bounds.tolist(), flat.size):
            piece = self.pieces[owners[flat[start]]]
            places = flat[start:stop] - starts[owners[flat[start]]]
            pieces.append(
                Piece(piece.emitter, places if piece.indices is None else piece.indices[places])
            )
            start = stop
        return Output(pieces, np.atleast_1d(chosen).shape)


class Emitter(Output):
    """What puts out bits of its own: neurons, a sensor, a feedback.

    Parameters
    ----------
    shape : of its bits.
    name : unique in a brain; empty: the brain finds one.
    """

    def __init__(self, shape: Shape, name: str = "") -> None:
        super().__init__((Piece(self),), shape)
        self.name = name

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        return f"<{type(self).__name__}{named} {list(self.shape)}>"


def shape_of(given: Any, what: str) -> Shape:
    """Return a shape: of a number, or of several.

    Raises
    ------
    ConfigError
        if it is none, or has more than :data:`LARGEST` elements.
    """
    numbers = given if isinstance(given, (tuple, list)) else (given,)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers)
    if not numbers or not whole or min(numbers) < 1 or math.prod(map(int, numbers)) > LARGEST:
        raise ConfigError(
            f"{what}: must be whole numbers of at least 1, with a product of at most {LARGEST}"
            f" (got {shown(given)})"
        )
    return tuple(map(int, numbers))


def merge(*outputs: Any) -> Output:
    """Return one output that has all bits of several: groups, sensors, parts of them, or lists.

    Raises
    ------
    ConfigError
        if there is none, or one is something else.
    """
    found = list(_flat(outputs))
    if not found:
        raise ConfigError("an input needs at least one output to read (got none)")
    if len(found) == 1:
        return found[0]
    pieces = [piece for output in found for piece in output.pieces]
    return Output(pieces, shape_of(sum(output.size for output in found), "merged outputs"))


def _flat(outputs: Iterable[Any]) -> Iterator[Output]:
    for output in outputs:
        if isinstance(output, Output):
            yield output
        elif isinstance(output, (list, tuple)):
            yield from _flat(output)
        else:
            raise ConfigError(
                f"an input reads groups of neurons, sensors, parts of them, or lists of these"
                f" (got {shown(output)})"
            )
