"""Ways of a car that follows a target, seen from above, and how far off it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ab_ros.errors import ConfigError
from ab_ros.viz.style import BLUE, GRID, INK, MUTED, VERMILION, horizontal_grid, new_figure, styled

_COLOURS = (MUTED, BLUE)
_LINES = 9
"""Lines that join car and target at the same moment."""


@dataclass(frozen=True)
class Drive:
    """One drive.

    ``name``: what it is called; ``period``: s between moments; ``car``, ``target``:
    float64[moments, 2], m; ``error``: float64[moments], rad, how far the target is to the right of
    straight ahead; ``distance``: float64[moments], m, how much farther than it shall be.
    """

    name: str
    period: float
    car: NDArray[np.float64]
    target: NDArray[np.float64]
    error: NDArray[np.float64]
    distance: NDArray[np.float64]

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the moments, s from the start."""
        return np.asarray(self.period * np.arange(1, len(self.car) + 1), np.float64)


def driving_tracks(drives: Sequence[Drive], title: str = "Driving after a target") -> Figure:
    """Draw two drives side by side, such as before and after learning, and their errors below.

    Raises
    ------
    ConfigError
        unless there are two drives, neither of which is empty.
    """
    if len(drives) != 2 or not all(len(drive.car) for drive in drives):
        raise ConfigError("driving_tracks: needs two drives, neither of them empty")
    with styled():
        figure = new_figure(9.0, 7.4)
        grid = figure.add_gridspec(3, 2, height_ratios=(2.6, 1.0, 1.0))
        everything = np.concatenate([part for d in drives for part in (d.car, d.target)])
        low, high = everything.min(axis=0), everything.max(axis=0)
        half = 0.55 * float((high - low).max())
        for column, (drive, colour) in enumerate(zip(drives, _COLOURS, strict=True)):
            axes = figure.add_subplot(grid[0, column])
            _draw_ways(axes, drive, colour, first=not column)
            axes.set_xlim(*((low + high)[0] / 2 + np.array((-half, half))))
            axes.set_ylim(*((low + high)[1] / 2 + np.array((-half, half))))
        bearing, distance = (figure.add_subplot(grid[row, :]) for row in (1, 2))
        for drive, colour in zip(drives, _COLOURS, strict=True):
            # A line across where the angle wraps around would say nothing.
            angle = np.degrees(drive.error)
            angle[1:][np.abs(np.diff(angle)) > 180.0] = np.nan
            bearing.plot(drive.times, angle, color=colour, label=drive.name, linewidth=1.6)
            distance.plot(drive.times, drive.distance, color=colour, linewidth=1.6)
        for axes, label, height in (
            (bearing, "bearing (°)", 180.0),
            (distance, "too far by (m)", 0),
        ):
            horizontal_grid(axes)
            axes.axhline(0.0, color=INK, linewidth=0.8)
            axes.set_ylabel(label)
            axes.set_xlim(0.0, float(drives[0].times[-1]))
            if height:
                axes.set_ylim(-height, height)
                axes.set_yticks((-180, -90, 0, 90, 180))
        bearing.set_title("How far off the target is")
        bearing.tick_params(labelbottom=False)
        bearing.legend(loc="upper right", ncols=2, bbox_to_anchor=(1.0, 1.32))
        distance.set_xlabel("time (s)")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def _draw_ways(axes: Axes, drive: Drive, colour: str, *, first: bool) -> None:
    axes.set_aspect("equal")
    axes.grid(visible=True)
    axes.tick_params(length=0)
    for index in np.linspace(0, len(drive.car) - 1, _LINES).astype(int):
        ends = np.stack((drive.car[index], drive.target[index]))
        axes.plot(*ends.T, color=GRID, linewidth=1.4, zorder=1)
    axes.plot(*drive.target.T, color=VERMILION, linewidth=2.0, zorder=2)
    axes.plot(*drive.car.T, color=colour, linewidth=2.4, zorder=3)
    for way, shade, size in ((drive.target, VERMILION, 8), (drive.car, colour, 7)):
        axes.plot(*way[0], "o", color="white", markeredgecolor=shade, markersize=size, zorder=4)
        axes.plot(*way[-1], "o", color=shade, markersize=size, zorder=4)
    for way, shade, name in ((drive.target, VERMILION, "target"), (drive.car, colour, "car")):
        x, y = way[-1]
        text = axes.annotate(
            name, (x, y), (7, 7), textcoords="offset points", color=shade, fontweight="bold"
        )
        text.set_path_effects([withStroke(linewidth=3.0, foreground="white", alpha=0.85)])
    axes.set_title(drive.name)
    axes.set_xlabel("x (m)")
    if first:
        axes.set_ylabel("y (m)")
