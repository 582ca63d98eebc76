"""Recorded spikes: rasters of one neuron to many thousands, and rates of groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ab_ros.engine.record import Record
from ab_ros.errors import ConfigError
from ab_ros.viz.bands import (
    Band,
    chosen_groups,
    height_for,
    label_of,
    make_bands,
    name_bands,
    prepare,
)
from ab_ros.viz.style import INK, MUTED, horizontal_grid, new_figure, styled

_MAX_MARKS = 30_000
"""More spikes than this are drawn as a density: marks would cover each other."""
_MAX_NEURONS = 400
_COLUMNS, _ROWS = 1200, 700
_RATES = LinearSegmentedColormap.from_list("rates", ("#f7f9fb", "#9fcbe8", "#2f7fb8", "#0b2f55"))


def record_raster(
    record: Record,
    *,
    start: int | None = None,
    stop: int | None = None,
    groups: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw the spikes of a record, group by group, and the mean rate of all below.

    Few spikes are marks; many are a density, each group's darkest where it fires most.

    Parameters
    ----------
    record : with spikes.
    start, stop : ticks; by default the whole record.
    groups : to draw, by default all.

    Raises
    ------
    ConfigError
        if a group is not in the record, no neuron was recorded, or there is no tick to draw.
    """
    start, stop = span_of(record, start, stop)
    bands = make_bands(_recorded(record, groups))
    dt = record.meta.dt
    spikes = record.spikes.between(start, stop)
    neurons = sum(band.neurons.size for band in bands)
    marks = spikes.tick.size <= _MAX_MARKS and neurons <= _MAX_NEURONS
    with styled():
        inches = height_for(bands)
        figure = new_figure(11.0, inches + 2.1)
        grid = figure.add_gridspec(2, 1, height_ratios=(inches, 1.1), hspace=0.04)
        lower = figure.add_subplot(grid[1])
        axes = figure.add_subplot(grid[0], sharex=lower)
        rates = []
        total = np.zeros(stop - start)
        for band in bands:
            row = np.full(record.meta.neurons, -1, np.int32)
            row[band.neurons] = np.arange(band.neurons.size)
            rows = row[spikes.neuron]
            ticks, rows = spikes.tick[rows >= 0] - start, rows[rows >= 0]
            total += np.bincount(ticks, minlength=stop - start)
            rates.append(ticks.size / band.neurons.size / ((stop - start) * dt))
            if marks:
                _draw_marks(axes, band, np.asarray((start + ticks + 0.5) * dt), rows)
            else:
                _draw_density(axes, band, ticks, rows, (start, stop), dt)
        prepare(axes, bands)
        name_bands(axes, bands, inches, [f"{rate:.1f} Hz" for rate in rates])
        axes.set_title(title or title_of(record, "Spikes"))
        _draw_mean_rate(lower, total / neurons / dt, start, dt)
        lower.set_xlim(start * dt, stop * dt)
        if not marks:
            note = "darker: more spikes, on the scale of each group"
            axes.text(
                1.0, 1.02, note, transform=axes.transAxes, ha="right", fontsize=8.5, color=MUTED
            )
    return figure


def record_rates(
    record: Record,
    *,
    start: int | None = None,
    stop: int | None = None,
    groups: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw the mean rate per neuron of each group over time: as lines, or as a map if many.

    The parameters and errors are those of :func:`record_raster`.
    """
    start, stop = span_of(record, start, stop)
    bands = make_bands(_recorded(record, groups))
    dt = record.meta.dt
    spikes = record.spikes.between(start, stop)
    bins = int(np.clip((stop - start) * dt / 0.05, 1, 240))
    edges = np.linspace(start, stop, bins + 1)
    width = (stop - start) / bins * dt
    table = np.empty((len(bands), bins))
    for k, band in enumerate(bands):
        member = np.zeros(record.meta.neurons, np.bool_)
        member[band.neurons] = True
        counts, _ = np.histogram(spikes.tick[member[spikes.neuron]], edges)
        table[k] = counts / band.neurons.size / width
    with styled():
        if len(bands) <= 6:
            figure = _rate_lines(bands, edges * dt, table)
        else:
            figure = _rate_map(bands, edges * dt, table)
        axes = figure.axes[0]
        axes.set_xlim(start * dt, stop * dt)
        axes.set_xlabel("time (s)")
        words = title_of(record, f"Firing rates, in bins of {1000 * width:.3g} ms")
        axes.set_title(title or words)
    return figure


def span_of(record: Record, start: int | None, stop: int | None) -> tuple[int, int]:
    """Return the ticks to draw.

    Raises
    ------
    ConfigError
        if there are none in the record.
    """
    first, last = record.meta.first_tick, record.meta.first_tick + record.meta.ticks
    begin = first if start is None else max(start, first)
    end = last if stop is None else min(stop, last)
    if begin >= end:
        raise ConfigError(
            f"the record has the ticks from {first} to before {last}: there is nothing between"
            f" {first if start is None else start} and {last if stop is None else stop}"
        )
    return begin, end


def title_of(record: Record, words: str) -> str:
    """Return a title: the brain's name, what is drawn, and whether the run was cut short."""
    name = f"{record.meta.brain}: " if record.meta.brain else ""
    cut = "" if record.meta.complete else " (the run was cut short)"
    return f"{name}{words}{cut}"


def _recorded(record: Record, groups: Sequence[str]) -> dict[str, NDArray[np.int32]]:
    """Return of each group the neurons whose spikes were recorded, if there are any."""
    chosen = {
        name: neurons[np.isin(neurons, record.meta.recorded)]
        for name, neurons in chosen_groups(record, groups).items()
    }
    left = {name: neurons for name, neurons in chosen.items() if neurons.size}
    if not left:
        raise ConfigError("the record has spikes of no neuron; --what potential or weights may do")
    return left


def _draw_marks(
    axes: Axes, band: Band, when: NDArray[np.float64], rows: NDArray[np.integer]
) -> None:
    height = (band.bottom - band.top) / band.neurons.size
    # A lone neuron's marks leave some air above and below; a lone spike's can be seen.
    half = max(0.38 * height, 0.005 if when.size < 1000 else 0.0)
    middle = band.top + height * (rows + 0.5)
    segments = np.empty((when.size, 2, 2))
    segments[:, :, 0] = when[:, None]
    segments[:, 0, 1], segments[:, 1, 1] = middle - half, middle + half
    width = float(np.clip(900.0 / max(when.size, 1), 0.6, 1.4))
    axes.add_collection(LineCollection(list(segments), colors=band.colour, linewidths=width))


def _draw_density(
    axes: Axes,
    band: Band,
    ticks: NDArray[np.integer],
    rows: NDArray[np.integer],
    span: tuple[int, int],
    dt: float,
) -> None:
    start, stop = span
    columns = min(_COLUMNS, stop - start)
    lines = int(min(band.neurons.size, max(_ROWS * (band.bottom - band.top), 1)))
    cell = (rows.astype(np.int64) * lines // band.neurons.size) * columns
    cell += ticks.astype(np.int64) * columns // (stop - start)
    counts = np.bincount(cell, minlength=lines * columns).reshape(lines, columns)
    some = counts[counts > 0]
    full = float(np.percentile(some, 95)) if some.size else 1.0
    image = np.ones((lines, columns, 4))
    image[:, :, :3] = to_rgb(band.colour)
    # A single spike must be seen where a hundred share a cell elsewhere.
    image[:, :, 3] = np.sqrt(np.minimum(counts / full, 1.0))
    axes.imshow(
        image,
        extent=(start * dt, stop * dt, band.bottom, band.top),
        aspect="auto",
        interpolation="antialiased",
        origin="upper",
    )


def _draw_mean_rate(axes: Axes, rate: NDArray[np.float64], start: int, dt: float) -> None:
    bins = int(np.clip(len(rate) * dt / 0.02, 1, 500))
    edges = np.linspace(0, len(rate), bins + 1).astype(int)
    sums = np.concatenate(((0.0,), np.cumsum(rate)))
    means = np.diff(sums[edges]) / np.maximum(np.diff(edges), 1)
    axes.stairs(means, (start + edges) * dt, color=INK, linewidth=1.1, fill=True, alpha=0.25)
    axes.stairs(means, (start + edges) * dt, color=INK, linewidth=1.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("all, Hz\nper neuron", fontsize=9.5)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    horizontal_grid(axes)


def _rate_lines(
    bands: Sequence[Band], edges: NDArray[np.float64], table: NDArray[np.float64]
) -> Figure:
    figure = new_figure(11.0, 4.2)
    axes = figure.add_subplot()
    for band, rates in zip(bands, table, strict=True):
        label = f"{band.name}  {rates.mean():.1f} Hz"
        axes.stairs(rates, edges, color=band.colour, linewidth=1.7, label=label, baseline=None)
    axes.set_ylim(0, max(1.08 * float(table.max()), 1.0))
    axes.set_ylabel("rate (Hz) per neuron")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)
    horizontal_grid(axes)
    return figure


def _rate_map(
    bands: Sequence[Band], edges: NDArray[np.float64], table: NDArray[np.float64]
) -> Figure:
    inches = min(0.21 * len(bands) + 0.4, 10.0)
    figure = new_figure(11.0, inches + 1.2)
    axes = figure.add_subplot()
    top = max(float(np.percentile(table, 99)), 1.0)
    rows = np.arange(len(bands) + 1)
    mesh = axes.pcolormesh(edges, rows, table, cmap=_RATES, vmin=0.0, vmax=top)
    axes.set_ylim(len(bands), 0)
    size = float(np.clip(72 * inches / len(bands) / 1.35, 4.0, 9.0))
    names = [label_of(band) for band in bands]
    axes.set_yticks(rows[:-1] + 0.5, names, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.015, extend="max")
    bar.set_label("rate (Hz) per neuron")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure
