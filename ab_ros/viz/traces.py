"""Recorded state: membrane potentials of neurons, weights of projections over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ab_ros.engine.record import Potentials, Record, Weights
from ab_ros.errors import ConfigError, one_of
from ab_ros.viz.activity import span_of, title_of
from ab_ros.viz.bands import chosen_groups, make_bands, name_bands, prepare
from ab_ros.viz.style import BLUE, CYCLE, MUTED, horizontal_grid, new_figure, styled

_MAX_TRACES = 16
_MAX_PANELS = 10
_FEW_SYNAPSES = 24
_POINTS = 2400
"""More samples than this are drawn as the range of each pixel."""
_PEAK = 30.0
_VOLTAGE = LinearSegmentedColormap.from_list("voltage", ("#0b2f55", "#f3f5f7", "#d55e00"))


def record_potentials(
    record: Record,
    *,
    start: int | None = None,
    stop: int | None = None,
    groups: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw membrane potentials: a trace for each neuron, or a map of more than 16.

    Recorded spikes are drawn as lines up to 30 mV: a sample shows the potential after the reset.

    Parameters
    ----------
    record : with potentials.
    start, stop : ticks; by default the whole record.
    groups : whose neurons to draw, by default all that were sampled.

    Raises
    ------
    ConfigError
        if the record has no potentials (of these groups), or none of these ticks.
    """
    start, stop = span_of(record, start, stop)
    if record.potentials is None:
        raise ConfigError("the record has no potentials; name their neurons when it is made")
    part = slice(*np.searchsorted(record.potentials.tick, (start, stop)))
    if part.start == part.stop:
        raise ConfigError(f"the record has no sample of the potentials from {start} to {stop}")
    sampled = record.potentials
    names = _names_of(record, sampled.neuron, groups)
    places = [k for k, neuron in enumerate(sampled.neuron.tolist()) if neuron in names]
    if not places:
        raise ConfigError("the record has no potentials of these groups")
    shown = Potentials(sampled.neuron[places], sampled.tick[part], sampled.value[part][:, places])
    words = title or title_of(record, "Membrane potentials")
    with styled():
        if len(places) > _MAX_TRACES:
            return _potential_map(record, shown, groups, (start, stop), words)
        return _potential_traces(record, shown, names, (start, stop), words)


def record_weights(
    record: Record,
    *,
    start: int | None = None,
    stop: int | None = None,
    projections: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw how the weights of projections move, and how they are spread first and last.

    Up to 24 synapses are drawn one by one; of more, the median, the middle half and nine tenths.

    Parameters
    ----------
    record : with weights.
    start, stop : ticks; by default the whole record.
    projections : to draw, by default all, at most the first ten.

    Raises
    ------
    ConfigError
        if the record has no weights (of these projections).
    """
    if not record.weights:
        raise ConfigError("the record has no weights; name their projections when it is made")
    for name in projections:
        if name not in record.weights:
            raise ConfigError(
                f"projection {name!r}: has no weights in the record; {one_of(record.weights)}"
            )
    chosen = {name: record.weights[name] for name in projections or record.weights}
    left_out = len(chosen) - _MAX_PANELS
    chosen = dict(list(chosen.items())[:_MAX_PANELS])
    dt = record.meta.dt
    with styled():
        figure = new_figure(11.0, 0.9 + 1.9 * len(chosen))
        grid = figure.add_gridspec(len(chosen), 2, width_ratios=(3.2, 1.0), wspace=0.06)
        axes: Axes | None = None
        for row, (name, weights) in enumerate(chosen.items()):
            axes = figure.add_subplot(grid[row, 0], sharex=axes)
            _draw_weights(axes, name, weights, dt, CYCLE[row % len(CYCLE)])
            _draw_spread(figure.add_subplot(grid[row, 1], sharey=axes), weights, row == 0)
            if row == 0:
                axes.set_title(title or title_of(record, "Weights"))
            axes.tick_params(labelbottom=row == len(chosen) - 1)
        assert axes is not None
        axes.set_xlabel("time (s)")
        first = record.meta.first_tick if start is None else start
        last = record.meta.first_tick + record.meta.ticks if stop is None else stop
        axes.set_xlim(first * dt, max(last, first + 1) * dt)
        if left_out > 0:
            figure.supxlabel(f"{left_out} more projections are not drawn", fontsize=9, color=MUTED)
    return figure


def _names_of(
    record: Record, neurons: NDArray[np.int32], groups: Sequence[str]
) -> Mapping[int, str]:
    """Return what neurons are called: the first group that each is in, and its place there."""
    names: dict[int, str] = {}
    asked = {name: record.neurons_of(name) for name in groups if name in record.meta.groups}
    if len(asked) < len(groups):
        chosen_groups(record, groups)  # says which group there is not
    for name, members in (asked or record.meta.groups).items():
        for place, neuron in enumerate(members.tolist()):
            names.setdefault(neuron, f"{name} [{place}]")
    if not asked:
        for neuron in neurons.tolist():
            names.setdefault(neuron, f"neuron {neuron}")
    return names


def _potential_traces(
    record: Record,
    shown: Potentials,
    names: Mapping[int, str],
    span: tuple[int, int],
    title: str,
) -> Figure:
    dt = record.meta.dt
    count = len(shown.neuron)
    each = 2.2 if count == 1 else max(0.62, min(1.5, 6.5 / count))
    figure = new_figure(11.0, each * count + 1.0)
    grid = figure.add_gridspec(count, 1, hspace=0.02)
    spikes = record.spikes.between(*span)
    axes: Axes | None = None
    lowest = min(float(shown.value.min()), -80.0) - 4.0
    for row, neuron in enumerate(shown.neuron.tolist()):
        axes = figure.add_subplot(grid[row], sharex=axes)
        colour = CYCLE[row % len(CYCLE)]
        # A tick's sample is taken at its end.
        when = np.asarray((shown.tick + 1) * dt)
        values = shown.value[:, row]
        _draw_trace(axes, when, values, colour)
        fired = (spikes.tick[spikes.neuron == neuron] + 1) * dt
        foot = np.interp(fired, when, values)
        axes.vlines(fired, foot, _PEAK, color=colour, linewidth=0.9)
        axes.set_ylim(lowest, _PEAK + 6.0)
        axes.set_yticks([-65, 0] if each < 1.0 else [-80, -65, 0, 30])
        axes.set_ylabel(
            names[neuron], rotation=0, ha="right", va="center", fontsize=9, color=colour
        )
        axes.tick_params(axis="y", labelsize=8)
        axes.grid(visible=True, axis="y")
        axes.tick_params(length=0, labelbottom=row == count - 1)
        axes.spines["bottom"].set_visible(row == count - 1)
        if row == 0:
            axes.set_title(f"{title} (mV)")
    assert axes is not None
    axes.set_xlim(span[0] * dt, span[1] * dt)
    axes.set_xlabel("time (s)")
    return figure


def _draw_trace(
    axes: Axes, when: NDArray[np.float64], values: NDArray[np.float32], colour: str
) -> None:
    if when.size <= _POINTS:
        marker = "o" if when.size == 1 else None
        axes.plot(when, values, color=colour, linewidth=1.0, marker=marker)
        return
    cuts = np.linspace(0, when.size, _POINTS // 2 + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(values, cuts), np.maximum.reduceat(values, cuts)
    axes.fill_between(when[cuts], low, high, color=colour, linewidth=0.6)


def _potential_map(
    record: Record,
    shown: Potentials,
    groups: Sequence[str],
    span: tuple[int, int],
    title: str,
) -> Figure:
    dt = record.meta.dt
    members = {
        name: neurons[np.isin(neurons, shown.neuron)]
        for name, neurons in chosen_groups(record, groups).items()
    }
    named = np.concatenate([*members.values(), np.zeros(0, np.int32)])
    rest = np.setdiff1d(shown.neuron, named)
    if rest.size and not groups:
        members["others"] = rest
    bands = make_bands({name: neurons for name, neurons in members.items() if neurons.size})
    column = np.full(record.meta.neurons, -1, np.int64)
    column[shown.neuron] = np.arange(shown.neuron.size)
    inches = float(np.clip(0.05 * shown.neuron.size, 2.2, 8.0))
    figure = new_figure(11.0, inches + 1.0)
    axes = figure.add_subplot()
    # Samples and neurons beyond what a picture can show are thinned out.
    every = slice(None, None, max(1, shown.tick.size // _POINTS))
    for band in bands:
        rows = slice(None, None, max(1, band.neurons.size // 800))
        image = axes.imshow(
            shown.value[every][:, column[band.neurons][rows]].T,
            extent=(
                float(shown.tick[0]) * dt,
                float(shown.tick[-1] + 1) * dt,
                band.bottom,
                band.top,
            ),
            aspect="auto",
            interpolation="nearest",
            cmap=_VOLTAGE,
            vmin=-85.0,
            vmax=-35.0,
        )
    prepare(axes, bands)
    name_bands(axes, bands, inches)
    axes.tick_params(labelbottom=True)
    axes.set_xlim(span[0] * dt, span[1] * dt)
    axes.set_xlabel("time (s)")
    axes.set_title(title)
    bar = figure.colorbar(image, ax=axes, pad=0.015, extend="both")
    bar.set_label("membrane potential (mV)")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _draw_weights(axes: Axes, name: str, weights: Weights, dt: float, colour: str) -> None:
    when, values = weights.tick * dt, weights.value
    alone = when.size == 1
    left = np.isfinite(values[-1]).sum()
    if values.shape[1] <= _FEW_SYNAPSES:
        axes.plot(when, values, color=colour, linewidth=1.1, alpha=0.8, marker="o" * alone)
    elif np.isfinite(values).any(axis=1).all():
        low, quarter, middle, three, high = np.nanpercentile(values, (5, 25, 50, 75, 95), axis=1)
        axes.fill_between(when, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.fill_between(when, quarter, three, color=colour, alpha=0.3, linewidth=0)
        axes.plot(when, middle, color=colour, linewidth=1.8, marker="o" * alone)
    pruned = values.shape[1] - int(left)
    words = f"{values.shape[1]} synapses" + f", {pruned} pruned" * (pruned > 0)
    axes.set_ylabel("weight", fontsize=9.5)
    axes.text(
        0.008,
        0.96,
        f"{name}   ({words})",
        transform=axes.transAxes,
        va="top",
        fontsize=9.5,
        fontweight="bold",
        color=colour,
    )
    # The name stands above what is drawn.
    low_end, high_end = axes.get_ylim()
    axes.set_ylim(low_end, high_end + 0.2 * (high_end - low_end))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    horizontal_grid(axes)


def _draw_spread(axes: Axes, weights: Weights, first_row: bool) -> None:
    known = weights.value[np.isfinite(weights.value)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    margin = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, 31)
    for row, colour, words in ((0, MUTED, "first"), (-1, BLUE, "last")):
        values = weights.value[row]
        counts, _ = np.histogram(values[np.isfinite(values)], edges)
        # Each on its own scale: all synapses often begin with one weight.
        axes.stairs(
            counts / max(int(counts.max()), 1),
            edges,
            orientation="horizontal",
            fill=row != 0,
            alpha=1.0 if row == 0 else 0.55,
            linewidth=1.2,
            color=colour,
            label=words,
        )
    axes.tick_params(length=0, labelleft=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    if first_row:
        axes.set_title("spread", fontsize=10, fontweight="normal", color=MUTED)
        axes.legend(loc="upper right", fontsize=8.5, handlelength=1.0)
