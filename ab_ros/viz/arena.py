"""Ways of a worm through its arena: the scent, the paths, and the body along them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ab_ros.environments.arena import Arena
from ab_ros.environments.chemotaxis import Track
from ab_ros.errors import ConfigError
from ab_ros.viz.style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    horizontal_grid,
    new_figure,
    styled,
)

# From nothing to the food: pale enough that paths of every colour stand out on it.
_SCENT = LinearSegmentedColormap.from_list("scent", ("#fbfcfd", "#e3f1e6", "#a9d8b8", "#5bb38a"))
_TIME = LinearSegmentedColormap.from_list("time", (BLUE, "#7a5195", VERMILION))
_HALO = [withStroke(linewidth=3.0, foreground="white", alpha=0.85)]
_POSTURES = 9
"""Bodies that are drawn along a path."""


def arena_tracks(
    arena: Arena,
    tracks: Sequence[Track],
    *,
    controls: Sequence[Track] = (),
    name: str = "with sensors",
    control_name: str = "without sensors",
    tick: float = 0.001,
    title: str = "Ways to the food",
) -> Figure:
    """Draw the paths of worms over the scent of the food, and their distance from it over time.

    Parameters
    ----------
    arena : where the worms were.
    tracks : trials, one per start; their paths run from blue to red with time.
    controls : trials of a control; drawn as distances only.
    name, control_name : what the two are called.
    tick : s.

    Raises
    ------
    ConfigError
        if there is no track, or ``tick`` is not greater than 0.
    """
    if not tracks:
        raise ConfigError("arena_tracks: needs at least one track")
    if not tick > 0:
        raise ConfigError(f"arena_tracks: tick must be greater than 0 s, not {tick}")
    with styled():
        figure = new_figure(11.0, 6.2)
        grid = figure.add_gridspec(2, 2, width_ratios=(1.45, 1.0), height_ratios=(1.6, 1.0))
        field = figure.add_subplot(grid[:, 0])
        _draw_scent(field, arena)
        longest = max(int(track.ticks[-1]) for track in tracks)
        for track in tracks:
            _draw_path(field, track, longest, crowded=len(tracks) > 6)
        field.set_title(title)
        bar = figure.colorbar(
            _mappable(longest * tick),
            ax=field,
            location="bottom",
            shrink=0.42,
            pad=0.015,
            aspect=32,
        )
        bar.set_label("time (s)", fontsize=9.5)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=9)
        _draw_distances(
            figure.add_subplot(grid[0, 1]), tracks, controls, (name, control_name), tick
        )
        _draw_indices(figure.add_subplot(grid[1, 1]), tracks, controls, (name, control_name))
    return figure


def _mappable(end: float) -> ScalarMappable:
    return ScalarMappable(Normalize(0.0, end), _TIME)


def _draw_scent(axes: Axes, arena: Arena) -> None:
    radius = arena.radius
    across = np.linspace(-radius, radius, 401)
    x, y = np.meshgrid(across, across)
    scent = arena.concentration(np.stack((x, y), axis=-1))
    wall = Circle((0.0, 0.0), radius, facecolor="none", edgecolor=MUTED, linewidth=2.2, zorder=6)
    axes.add_patch(wall)
    image = axes.imshow(
        scent,
        extent=(-radius, radius, -radius, radius),
        origin="lower",
        cmap=_SCENT,
        vmin=0.0,
        vmax=float(scent.max()),
        interpolation="bilinear",
    )
    image.set_clip_path(wall)
    lines = axes.contour(
        x,
        y,
        scent,
        levels=float(scent.max()) * np.arange(0.1, 1.0, 0.2),
        colors="white",
        linewidths=1.0,
        alpha=0.9,
    )
    lines.set_clip_path(wall)
    axes.scatter(
        arena.food[:, 0],
        arena.food[:, 1],
        s=95,
        marker="o",
        color=ORANGE,
        edgecolor="white",
        lw=1.6,
        zorder=9,
    )
    for x0, y0 in arena.food:
        axes.annotate(
            "food",
            (x0, y0),
            xytext=(0, 20),
            textcoords="offset points",
            ha="center",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            zorder=10,
            path_effects=_HALO,
        )
    length = 5.0 if radius >= 15.0 else 1.0
    left, low = -0.98 * radius, -0.97 * radius
    axes.plot((left, left + length), (low, low), color=INK, linewidth=2.0, solid_capstyle="butt")
    axes.text(
        left,
        low + 0.02 * radius,
        f"{length:g} body length{'s' if length > 1 else ''}",
        fontsize=9,
        color=INK,
        va="bottom",
    )
    margin = 1.02 * radius
    axes.set_xlim(-margin, margin)
    axes.set_ylim(-margin, margin)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _draw_path(axes: Axes, track: Track, longest: int, *, crowded: bool) -> None:
    pieces = np.stack((track.centre[:-1], track.centre[1:]), axis=1)
    path = LineCollection(
        list(pieces), cmap=_TIME, linewidths=1.1 if crowded else 1.5, zorder=4, capstyle="round"
    )
    path.set_array(track.ticks[1:].astype(np.float64))
    path.set_clim(0.0, float(longest))
    axes.add_collection(path)
    axes.scatter(
        track.centre[0, 0],
        track.centre[0, 1],
        s=26,
        color="white",
        edgecolor=BLUE,
        linewidth=1.5,
        zorder=7,
    )
    bodies = _spread(track, 4 if crowded else _POSTURES)
    for row in bodies:
        colour = _TIME(float(track.ticks[row]) / longest)
        axes.plot(*track.points[row].T, color="white", linewidth=4.6, zorder=7)
        axes.plot(*track.points[row].T, color=colour, linewidth=2.8, zorder=8)
        axes.scatter(track.points[row, 0, 0], track.points[row, 0, 1], s=2.5, color=INK, zorder=8.5)


def _spread(track: Track, count: int) -> NDArray[np.intp]:
    """Return rows of postures, evenly spaced along the way, the last one among them."""
    # At the food bodies would cover it: only the last one is drawn there.
    arrived = np.flatnonzero(track.distance < 2.5)
    end = int(arrived[0]) if arrived.size else len(track.ticks) - 1
    way = np.concatenate(
        ([0.0], np.cumsum(np.linalg.norm(np.diff(track.centre[: end + 1], axis=0), axis=1)))
    )
    last = len(track.ticks) - 1
    if way[-1] < 1.0:
        return np.array([last])
    # Nearer than two body lengths they would hide the path and each other.
    count = int(np.clip(way[-1] / 2.0, 1, count))
    rows = np.searchsorted(way, np.linspace(0.0, way[-1], count + 1)[1:])
    return np.unique(np.append(np.minimum(rows, end), last))


def _draw_distances(
    axes: Axes,
    tracks: Sequence[Track],
    controls: Sequence[Track],
    names: tuple[str, str],
    tick: float,
) -> None:
    for group, colour in ((controls, ORANGE), (tracks, BLUE)):
        for track in group:
            axes.plot(track.ticks * tick, track.distance, color=colour, linewidth=0.9, alpha=0.35)
        lengths = {track.ticks.size for track in group}
        if len(group) > 1 and len(lengths) == 1:
            mean = np.mean([track.distance for track in group], axis=0)
            axes.plot(group[0].ticks * tick, mean, color=colour, linewidth=2.4)
    axes.set_xlim(0.0, max(float(track.ticks[-1]) for track in tracks) * tick)
    highest = max(float(track.distance.max()) for track in (*tracks, *controls))
    axes.set_ylim(0.0, (1.45 if controls else 1.1) * highest)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("body lengths")
    axes.set_title("Distance from the food")
    horizontal_grid(axes)
    if controls:
        axes.plot([], [], color=BLUE, linewidth=2.4, label=names[0])
        axes.plot([], [], color=ORANGE, linewidth=2.4, label=names[1])
        axes.legend(loc="upper left", fontsize=9, handlelength=1.4)


def _draw_indices(
    axes: Axes, tracks: Sequence[Track], controls: Sequence[Track], names: tuple[str, str]
) -> None:
    """Every start as a dot, never the mean alone."""
    rows = [(names[0], tracks, BLUE)] + ([(names[1], controls, ORANGE)] if controls else [])
    random = np.random.default_rng(0)
    for place, (_, group, colour) in enumerate(rows):
        index = np.array([track.index for track in group])
        height = place + random.uniform(-0.16, 0.16, index.size)
        axes.scatter(index, height, s=22, color=colour, alpha=0.55, linewidths=0)
        axes.plot((index.mean(),) * 2, (place - 0.3, place + 0.3), color=INK, linewidth=2.2)
        axes.annotate(
            f"{index.mean():+.2f}",
            (float(index.mean()), place - 0.33),
            fontsize=9.5,
            fontweight="bold",
            ha="center",
            va="bottom",
            color=INK,
        )
    axes.axvline(0.0, color=GRID, linewidth=1.2, zorder=0)
    low = min(track.index for track in (*tracks, *controls))
    axes.set_xlim(min(-0.1, low - 0.08), 1.05)
    axes.set_ylim(len(rows) - 0.45, -0.75)
    axes.set_yticks(range(len(rows)), [row[0].replace(" ", "\n", 1) for row in rows])
    axes.set_title("Chemotaxis index of every start")
    axes.tick_params(length=0, labelsize=9.5)
    axes.spines["left"].set_visible(False)
