"""Spike rasters of populations over time, with their rates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ab_ros.errors import ConfigError
from ab_ros.viz.style import CYCLE, GRID, INK, horizontal_grid, new_figure, styled


def spike_raster(
    rasters: Mapping[str, NDArray[np.uint8]],
    dt: float,
    *,
    start: float = 0.0,
    cycle_timesteps: int = 0,
    rate_window: float = 0.1,
    title: str = "Spikes",
) -> Figure:
    """Draw the spikes of populations above each other, and their mean rates below.

    Parameters
    ----------
    rasters : {population: uint8[T, N]}, T alike for all; drawn from top to bottom.
    dt : s per timestep, > 0.
    start : s, time of the first timestep.
    cycle_timesteps : timesteps per cycle; borders between cycles are drawn where there are at most
        80 of them.
    rate_window : s, half the width of the window over which rates are averaged.

    Raises
    ------
    ConfigError
        if there is no raster, the lengths differ, or ``dt`` is not greater than 0.
    """
    lengths = {raster.shape[0] for raster in rasters.values() if raster.ndim == 2}
    if len(lengths) != 1 or any(raster.ndim != 2 for raster in rasters.values()):
        raise ConfigError("spike_raster: needs rasters of the form [T, N] with the same T")
    if not dt > 0:
        raise ConfigError(f"spike_raster: dt must be greater than 0 s, not {dt}")
    timesteps = lengths.pop()
    neurons = [max(raster.shape[1], 1) for raster in rasters.values()]
    # A large population must not squeeze the small ones, which need room for their names.
    heights = [max(math.sqrt(count), 3.4) for count in neurons]
    end = start + timesteps * dt
    with styled():
        height = min(2.4 + 0.13 * sum(heights), 10.0)
        figure = new_figure(10.0, height)
        grid = figure.add_gridspec(len(neurons) + 1, 1, height_ratios=[*heights, 10.0])
        lower = figure.add_subplot(grid[-1])
        for row, (name, raster) in enumerate(rasters.items()):
            axes = figure.add_subplot(grid[row], sharex=lower)
            colour = CYCLE[row % len(CYCLE)]
            when, which = np.nonzero(raster)
            size = float(np.clip(330.0 / neurons[row], 2.0, 16.0))
            axes.scatter(
                start + (when + 0.5) * dt, which, s=size, marker="|", linewidths=0.9, color=colour
            )
            axes.set_ylim(neurons[row] - 0.4, -0.6)
            axes.set_yticks([])
            axes.tick_params(length=0, labelbottom=False)
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.set_facecolor("#f7f9fb")
            _draw_cycles(axes, start, end, cycle_timesteps * dt)
            axes.set_ylabel(
                f"{name}\n{raster.shape[1]} neurons",
                rotation=0,
                ha="right",
                va="center",
                fontsize=9.5,
                color=INK,
            )
            mean = raster.mean() / dt if raster.size else 0.0
            axes.text(
                1.008,
                0.5,
                f"{mean:.1f} Hz",
                transform=axes.transAxes,
                va="center",
                fontsize=10,
                fontweight="bold",
                color=colour,
            )
            centres, rate = _rate(raster, dt, rate_window)
            lower.plot(start + centres, rate, color=colour, linewidth=1.7, label=name)
            if row == 0:
                axes.set_title(title)
        lower.set_xlim(start, end)
        lower.set_ylim(bottom=0)
        lower.set_xlabel("time (s)")
        lower.set_ylabel("rate (Hz)\nper neuron", fontsize=9.5)
        lower.yaxis.set_major_locator(MaxNLocator(4))
        horizontal_grid(lower)
    return figure


def _draw_cycles(axes: Axes, start: float, end: float, period: float) -> None:
    if period > 0 and 1 < (end - start) / period <= 80:
        for border in np.arange(start + period, end - period / 2, period):
            axes.axvline(border, color=GRID, linewidth=0.8, zorder=0)


def _rate(
    raster: NDArray[np.uint8], dt: float, window: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times (s) and mean rates (Hz) under a Hann window, mirrored at the ends."""
    if len(raster) < 3 or not raster.shape[1]:
        return np.zeros(0), np.zeros(0)
    half = int(np.clip(round(window / dt), 1, len(raster) - 1))
    kernel = np.hanning(2 * half + 1)
    counts = np.pad(raster.mean(axis=1, dtype=np.float64), half, mode="reflect")
    rate: NDArray[np.float64] = np.convolve(counts, kernel / kernel.sum(), mode="valid") / dt
    times: NDArray[np.float64] = (np.arange(len(rate), dtype=np.float64) + 0.5) * dt
    return times, rate
