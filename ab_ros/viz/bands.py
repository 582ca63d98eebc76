"""Groups of neurons as bands of one axes: who lies where, and the names at the side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ab_ros.engine.record import Record
from ab_ros.errors import ConfigError, one_of
from ab_ros.viz.style import CYCLE, GRID, INK, MUTED

_OTHERS = "others"
_NAME_POINTS = 9.0
_LINE_SPACING = 1.3


@dataclass(frozen=True)
class Band:
    """Neurons between the heights ``top`` and ``bottom`` (0 above, 1 below), the first on top."""

    name: str
    neurons: NDArray[np.int32]
    top: float
    bottom: float
    colour: str

    @property
    def middle(self) -> float:
        """Height of its middle."""
        return 0.5 * (self.top + self.bottom)


def label_of(band: Band) -> str:
    """Return a band's name and size."""
    return f"{band.name} ({band.neurons.size})"


def chosen_groups(record: Record, groups: Sequence[str] = ()) -> dict[str, NDArray[np.int32]]:
    """Return groups by name, or all groups of a record, and the neurons in none as ``others``.

    Raises
    ------
    ConfigError
        if a name is not a group's.
    """
    known = record.meta.groups
    for name in groups:
        if name not in known:
            raise ConfigError(f"group {name!r}: is not in the record; {one_of(known)}")
    if groups:
        return {name: known[name] for name in dict.fromkeys(groups)}
    named = np.concatenate([*known.values(), np.zeros(0, np.int32)])
    rest = np.setdiff1d(record.meta.recorded, named).astype(np.int32)
    return {**known, **({_OTHERS if known else "neurons": rest} if rest.size else {})}


def make_bands(groups: Mapping[str, NDArray[np.int32]]) -> list[Band]:
    """Lay out groups from top to bottom; a large group does not squeeze the small ones."""
    # Heights grow with the root of the size, and no band is thinner than a line of text needs.
    roots = [math.sqrt(max(neurons.size, 1)) for neurons in groups.values()]
    least = 0.35 * sum(roots) / max(len(roots), 1)
    heights = np.array([max(root, least) for root in roots])
    ends = np.cumsum(heights) / max(heights.sum(), 1e-9)
    starts = np.concatenate(((0.0,), ends[:-1]))
    return [
        Band(name, neurons, float(top), float(end), CYCLE[k % len(CYCLE)])
        for k, ((name, neurons), top, end) in enumerate(
            zip(groups.items(), starts, ends, strict=True)
        )
    ]


def height_for(bands: Sequence[Band]) -> float:
    """Return inches that bands need: room for each name, and for rows while they are few."""
    rows = sum(math.sqrt(band.neurons.size) for band in bands)
    names = len(bands) * _NAME_POINTS * _LINE_SPACING / 72.0
    return min(max(0.9, 0.16 * rows, 1.1 * names), 9.0)


def prepare(axes: Axes, bands: Sequence[Band]) -> None:
    """Give axes the height 0 … 1 from top to bottom, without ticks, and part the bands."""
    axes.set_ylim(1.0, 0.0)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    axes.set_facecolor("#f7f9fb")
    for band in bands[1:]:
        axes.axhline(band.top, color=GRID, linewidth=0.9, zorder=4)


def name_bands(axes: Axes, bands: Sequence[Band], inches: float, notes: Sequence[str] = ()) -> None:
    """Write names (and sizes) to the left of bands, and notes to the right.

    Names that would overlap move apart, and thin lines join them to their bands; what has no room
    at all is left out, the smallest groups first.

    Parameters
    ----------
    inches : height of the axes.
    notes : one for each band, such as its rate.
    """
    gap = _NAME_POINTS * _LINE_SPACING / 72.0 / inches
    room = max(1, int(1.0 / gap))
    by_size = sorted(range(len(bands)), key=lambda k: -bands[k].neurons.size)
    shown = sorted(by_size[:room])
    places = _apart([bands[k].middle for k in shown], gap)
    for k, place in zip(shown, places, strict=True):
        band = bands[k]
        _write(axes, label_of(band), (-0.022, place), (-0.002, band.middle), "right", INK)
        if notes:
            _write(axes, notes[k], (1.022, place), (1.002, band.middle), "left", band.colour)
    if len(shown) < len(bands):
        axes.text(
            -0.022,
            -0.02,
            f"{len(bands) - len(shown)} small groups unnamed",
            transform=axes.transAxes,
            ha="right",
            fontsize=8,
            color=MUTED,
        )


def _write(
    axes: Axes,
    words: str,
    place: tuple[float, float],
    band: tuple[float, float],
    side: str,
    colour: str,
) -> None:
    arrow: dict[str, Any] = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1}
    axes.annotate(
        words,
        xy=(band[0], 1.0 - band[1]),
        xytext=(place[0], 1.0 - place[1]),
        xycoords="axes fraction",
        textcoords="axes fraction",
        ha=side,
        va="center",
        fontsize=_NAME_POINTS,
        color=colour,
        arrowprops={**arrow, "shrinkB": 0, "alpha": 0.5},
        annotation_clip=False,
    )


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places as near to those wanted (rising) as ``gap`` between neighbours allows."""
    # Names that touch form a cluster, which is centred on the mean of what they want.
    clusters: list[list[float]] = []
    for place in wanted:
        clusters.append([place])
        while len(clusters) > 1 and (
            _begin(clusters[-2], gap) + gap * len(clusters[-2]) > _begin(clusters[-1], gap)
        ):
            last = clusters.pop()
            clusters[-1] += last
    return [
        _begin(cluster, gap) + gap * (k + 0.5) for cluster in clusters for k in range(len(cluster))
    ]


def _begin(cluster: Sequence[float], gap: float) -> float:
    length = gap * len(cluster)
    return max(min(sum(cluster) / len(cluster) - 0.5 * length, 1.0 - length), 0.0)
