"""Placement: where the instances of a recipe's components stand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.recipes.recipe import Entry, Recipe
from ab_ros.engine.recipes.streams import stream, uniform

# Largest shift from the middle of an instance's cell, as a share of the cell.
_JITTER = 0.25


def layer_side(recipe: Recipe, layer: int) -> float:
    """Return the side of a layer's square: instance_spacing² for each instance in it."""
    count = sum(e.count for e in recipe.entries if e.layer == layer and e.extent is None)
    return recipe.instance_spacing * math.sqrt(count)


def place(recipe: Recipe, entry: Entry, seed: int) -> NDArray[np.float64]:
    """Return the places of an entry's neurons, float64[count, nodes, 3].

    Instances stand in the cells of a grid over the entry's area, row by row along x, each shifted
    from the middle of its cell by at most a quarter of it.
    """
    side = layer_side(recipe, entry.layer)
    width, depth = entry.extent or (side, side)
    n = entry.count
    # As square as the area allows; a line if one side is 0.
    columns = n if depth == 0.0 else 1
    if width > 0.0 and depth > 0.0:
        columns = min(n, max(1, round(math.sqrt(n * width / depth))))
    rows = -(-n // columns)
    cell = np.arange(n, dtype=np.int64)
    random = stream(seed, "place", entry.name)
    places = np.empty((n, 3))
    for axis, (index, cells, length) in enumerate(
        ((cell % columns, columns, width), (cell // columns, rows, depth))
    ):
        where = uniform(random, 0.5 - _JITTER, 0.5 + _JITTER, n)
        where += index
        where *= length / cells
        where += entry.center[axis] - 0.5 * length
        places[:, axis] = where
    places[:, 2] = entry.layer * recipe.layer_spacing
    nodes = np.array([node.position for node in entry.component.nodes], dtype=np.float64)
    return places[:, None, :] + nodes[None, :, :]
