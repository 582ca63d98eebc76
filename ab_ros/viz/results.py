"""Results of runs as pictures: how well trials, phases and controls did, and what was learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ab_ros.engine.record import Record
from ab_ros.errors import ConfigError
from ab_ros.viz.activity import title_of
from ab_ros.viz.style import (
    BLUE,
    CYCLE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    horizontal_grid,
    new_figure,
    styled,
)

_INDEX = "chemotaxis_index"
_WORDS = {
    "no_learning": "no learning",
    "no_sensors": "no sensors",
    "shuffled": "shuffled reward",
    "start": "untrained",
    "still": "held still",
}
_ORDER = ("still", "start", "learned", "mirrored", "relearned", "no_learning", "shuffled")


def result_figure(result: Any, title: str = "") -> Figure:
    """Draw a result of ``ab_ros arena run --json`` or ``ab_ros demo``, as read from its JSON.

    Of the arena, the chemotaxis index of every start and of the controls; of the demo, the error
    of every phase and control.

    Raises
    ------
    ConfigError
        if it is neither.
    """
    if isinstance(result, Mapping) and isinstance(result.get(_INDEX), Mapping):
        return _chemotaxis(result, title)
    if isinstance(result, Mapping) and isinstance(result.get("rms_error"), Mapping):
        return _phases(result, title)
    raise ConfigError(
        "is no result that can be drawn: it must be an object with 'chemotaxis_index', of ab_ros"
        " arena run --json, or with 'rms_error', of ab_ros demo"
    )


def record_learning(record: Record, *, title: str = "") -> Figure:
    """Draw how far the weights of each projection have moved since the recording began.

    The distance is the root of the mean square change of those synapses that have not been pruned.

    Raises
    ------
    ConfigError
        if the record has no weights.
    """
    if not record.weights:
        raise ConfigError("the record has no weights; name their projections when it is made")
    dt = record.meta.dt
    with styled():
        figure = new_figure(11.0, 4.2)
        axes = figure.add_subplot()
        for k, (name, weights) in enumerate(record.weights.items()):
            change = np.square(weights.value.astype(np.float64) - weights.value[0])
            known = np.isfinite(change)
            mean = np.where(known, change, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
            axes.plot(
                weights.tick * dt,
                np.sqrt(mean),
                color=CYCLE[k % len(CYCLE)],
                linewidth=1.9,
                label=name,
                marker="o" if len(weights.tick) < 3 else "",
            )
        axes.set_ylim(bottom=0)
        first = record.meta.first_tick
        axes.set_xlim(first * dt, (first + max(record.meta.ticks, 1)) * dt)
        axes.set_xlabel("time (s)")
        axes.set_ylabel("change of weights, RMS")
        axes.set_title(title or title_of(record, "What was learned"))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)
        horizontal_grid(axes)
    return figure


def _chemotaxis(result: Mapping[str, Any], title: str) -> Figure:
    series = {"": _starts(result[_INDEX], _INDEX)}
    for name, part in _controls(result):
        series[name] = _starts(part, f"controls.{name}")
    count = max(len(values) for values in series.values())
    with styled():
        figure = new_figure(11.0, 4.4)
        grid = figure.add_gridspec(1, 2, width_ratios=(2.4, 1.0), wspace=0.06)
        axes = figure.add_subplot(grid[0])
        axes.axhline(0.0, color=MUTED, linewidth=1.0)
        for k, (name, values) in enumerate(series.items()):
            _draw_starts(axes, name, values, _series_colour(k), k / max(len(series), 2))
        low = min(min(values) for values in series.values())
        axes.set_ylim(min(low * 1.1, -0.1), 1.05)
        axes.set_xlim(0.4, count + 0.9)
        axes.set_xlabel("start")
        axes.set_ylabel("chemotaxis index")
        axes.set_xticks(range(1, count + 1, max(1, count // 10)))
        name = str(result.get("brain") or "")
        axes.set_title(title or (f"{name}: every start" if name else "Every start"))
        horizontal_grid(axes)
        means = [(name or "this run", float(np.mean(values))) for name, values in series.items()]
        colours = [_series_colour(k) for k in range(len(means))]
        _draw_bars(figure.add_subplot(grid[1]), means, colours, "{:+.2f}", "Mean")
    return figure


def _series_colour(index: int) -> str:
    return BLUE if index == 0 else (ORANGE, MUTED, *CYCLE[2:])[(index - 1) % (len(CYCLE))]


def _controls(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what has starts of its own: in ``controls``, or beside the run's own index."""
    found = []
    given = result.get("controls")
    for key, part in {**result, **(given if isinstance(given, Mapping) else {})}.items():
        if key == _INDEX or not isinstance(part, Mapping):
            continue
        part = part.get(_INDEX, part)
        if isinstance(part, Mapping) and "starts" in part:
            found.append((_WORDS.get(key, key.replace("_", " ")), part))
    return found


def _starts(part: Any, where: str) -> list[float]:
    given = part.get("starts") if isinstance(part, Mapping) else None
    values = [item.get("index") if isinstance(item, Mapping) else item for item in given or ()]
    good = [
        float(value)
        for value in values
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ]
    if not good or len(good) < len(values):
        raise ConfigError(f"{where}.starts: must be a list of finite numbers (got {given!r})")
    return good


def _draw_starts(axes: Axes, name: str, values: Sequence[float], colour: str, shift: float) -> None:
    when = np.arange(1, len(values) + 1) + 0.5 * shift
    main = not name
    axes.vlines(when, 0.0, values, color=colour, linewidth=1.4 if main else 0.8, alpha=0.6)
    axes.plot(when, values, "o", color=colour, markersize=7 if main else 4.5, zorder=3)
    mean = float(np.mean(values))
    axes.axhline(mean, color=colour, linewidth=1.4, linestyle=(0, (5, 3)), alpha=0.8)


def _phases(result: Mapping[str, Any], title: str) -> Figure:
    errors = result["rms_error"]
    for name, value in errors.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"rms_error.{name}: must be a finite number (got {value!r})")
    order = sorted(errors, key=lambda name: _ORDER.index(name) if name in _ORDER else 99)
    rows = [(_WORDS.get(name, name.replace("_", " ")), float(errors[name])) for name in order]
    colours = [
        MUTED if name == "still" else ORANGE if name in ("no_learning", "shuffled") else BLUE
        for name in order
    ]
    still = float(errors.get("still", max(errors.values())))
    for k, (_, value) in enumerate(rows):
        if colours[k] == BLUE:
            colours[k] = GREEN if value <= 0.5 * still else VERMILION if value > still else BLUE
    with styled():
        figure = new_figure(8.0, 0.45 * len(rows) + 1.0)
        axes = figure.add_subplot()
        words = title or "Distance of the ball from the middle of the view, RMS"
        _draw_bars(axes, rows, colours, "{:.1f}°", words)
        if "still" in errors:
            axes.axvline(still, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=3)
    return figure


def _draw_bars(
    axes: Axes, rows: Sequence[tuple[str, float]], colours: Sequence[str], form: str, title: str
) -> None:
    values = [value for _, value in rows]
    reach = max(*(abs(value) for value in values), 1e-9)
    places = range(len(rows))
    axes.barh(places, values, color=colours, height=0.64)
    for place, value, colour in zip(places, values, colours, strict=True):
        axes.text(
            max(value, 0.0) + 0.03 * reach,
            place,
            form.format(value),
            va="center",
            fontsize=10,
            fontweight="bold",
            color=colour,
        )
    axes.set_yticks(places, [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(min(0.0, 1.1 * min(values)), 1.32 * reach)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.set_title(title)
