"""Learning curves: error over time, phase by phase, and what the probes and controls say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from ab_ros.errors import ConfigError
from ab_ros.viz.style import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    VERMILION,
    horizontal_grid,
    new_figure,
    styled,
)

_WASH = {True: "#eaf4fb", False: "#f5f6f8"}


_HALO = [withStroke(linewidth=3.5, foreground="white", alpha=0.85)]
"""Keeps words readable across a curve."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a run, from ``start`` to ``end`` s; ``learning`` ones are tinted."""

    name: str
    start: float
    end: float
    learning: bool = False


@dataclass(frozen=True)
class Probe:
    """A frozen test: its name, when it ended (s), its RMS error (deg)."""

    name: str
    time: float
    error: float


def learning_curve(
    time: ArrayLike,
    error: ArrayLike,
    *,
    still: float,
    phases: Sequence[Phase] = (),
    probes: Sequence[Probe] = (),
    controls: Mapping[str, float] | None = None,
    control_curves: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    window: float = 4.0,
    title: str = "Keeping the ball in the centre of view",
) -> Figure:
    """Draw the error over time with its phases and probes, and all probes and controls as bars.

    Parameters
    ----------
    time : float[n], s, rising.
    error : float[n], deg >= 0, the distance of the target from the centre; NaN leaves a gap.
    still : deg, RMS error of a robot that does not move.
    phases : named stretches of the run.
    probes : frozen tests; marked on the curve and repeated as bars.
    controls : {name: RMS error in deg} of runs beside this one.
    control_curves : {name: (time, error)} of the same, drawn thin.
    window : s of the running RMS.

    Raises
    ------
    ConfigError
        if ``time`` and ``error`` differ in length or are empty.
    """
    when, raw = np.asarray(time, np.float64), np.asarray(error, np.float64)
    if when.ndim != 1 or when.shape != raw.shape or not when.size:
        raise ConfigError(
            f"learning_curve: time and error must be lists of one length, not {when.shape}"
            f" and {raw.shape}"
        )
    bars = _bars(still, probes, controls or {})
    with styled():
        figure = new_figure(10.0, 4.4)
        grid = figure.add_gridspec(1, 2, width_ratios=(2.4, 1.0), wspace=0.06)
        axes = figure.add_subplot(grid[0])
        curve = _running_rms(when, raw, phases, window)
        highest = max(
            still,
            float(np.nanmax(curve)),
            *(value for _, value, _ in bars),
        )
        top = 1.3 * highest
        _draw_phases(axes, phases, top)
        axes.axhline(still, color=MUTED, linewidth=1.3, linestyle=(0, (4, 3)))
        axes.text(
            when[-1],
            still + 0.012 * top,
            f"held still {still:.1f}° ",
            ha="right",
            va="bottom",
            fontsize=9.5,
            color=MUTED,
            zorder=6,
            path_effects=_HALO,
        )
        for name, (other_time, other_error) in (control_curves or {}).items():
            other_when = np.asarray(other_time, np.float64)
            other = _running_rms(other_when, np.asarray(other_error, np.float64), phases, window)
            axes.plot(other_when, other, color=ORANGE, linewidth=1.2, alpha=0.75)
            last = np.flatnonzero(np.isfinite(other))
            if last.size:
                axes.annotate(
                    name,
                    (other_when[last[-1]], other[last[-1]]),
                    xytext=(4, 0),
                    textcoords="offset points",
                    fontsize=9,
                    color=ORANGE,
                    va="center",
                )
        axes.plot(when, curve, color=BLUE, linewidth=2.2)
        for probe in probes:
            _draw_probe(axes, probe, still, phases, (when, curve))
        axes.set_xlim(when[0], max(when[-1], when[0] + window / 4))
        axes.set_ylim(0, top)
        axes.set_xlabel("simulated time (s)")
        axes.set_ylabel("error (°), running RMS")
        axes.set_title(title)
        horizontal_grid(axes)
        _draw_bars(figure.add_subplot(grid[1]), bars)
    return figure


def _bars(
    still: float, probes: Sequence[Probe], controls: Mapping[str, float]
) -> list[tuple[str, float, str]]:
    """(name, deg, colour) from top to bottom."""
    rows = [("held still", still, MUTED)]
    rows += [(probe.name, probe.error, _colour(probe.error, still)) for probe in probes]
    rows += [(name, value, ORANGE) for name, value in controls.items()]
    return rows


def _colour(error: float, still: float) -> str:
    if error <= 0.5 * still:
        return GREEN
    return VERMILION if error > 1.2 * still else BLUE


def _draw_phases(axes: Axes, phases: Sequence[Phase], top: float) -> None:
    for phase in phases:
        axes.axvspan(phase.start, phase.end, color=_WASH[phase.learning], linewidth=0, zorder=0)
        if phase.learning:
            axes.text(
                (phase.start + phase.end) / 2,
                0.97 * top,
                phase.name,
                ha="center",
                va="top",
                fontsize=10,
                fontweight="bold",
                color=BLUE,
            )
    for phase in phases[1:]:
        axes.axvline(phase.start, color="white", linewidth=1.5, zorder=0.5)


def _draw_probe(
    axes: Axes,
    probe: Probe,
    still: float,
    phases: Sequence[Phase],
    curve: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Draw a probe's RMS across the phase that it was taken over, its name above."""
    colour = _colour(probe.error, still)
    around = [phase for phase in phases if phase.start < probe.time <= phase.end]
    begin, end = (around[-1].start, around[-1].end) if around else (probe.time, probe.time)
    inside = curve[1][(curve[0] >= begin) & (curve[0] <= end)]
    highest = max([probe.error, *inside[np.isfinite(inside)].tolist()])
    middle = (begin + end) / 2
    if end > begin:
        axes.hlines(probe.error, begin, end, color="white", linewidth=7, zorder=4)
        axes.hlines(probe.error, begin, end, color=colour, linewidth=4, zorder=5)
    else:
        axes.plot([middle], [probe.error], marker="o", markersize=8, color=colour, zorder=5)
    # A name at either end of the run leans inwards.
    first, last = float(curve[0][0]), float(curve[0][-1])
    reach = 0.06 * (last - first)
    place, side, inset = middle, "center", 0
    if middle - reach < first:
        place, side, inset = max(begin, first), "left", 4
    elif middle + reach > last:
        place, side, inset = min(end, last), "right", -4
    axes.annotate(
        f"{probe.name}\n{probe.error:.1f}°",
        (place, highest),
        xytext=(inset, 7),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=9.5,
        fontweight="bold",
        color=colour,
        linespacing=1.15,
        zorder=6,
        path_effects=_HALO,
    )


def _draw_bars(axes: Axes, bars: Sequence[tuple[str, float, str]]) -> None:
    values = [value for _, value, _ in bars]
    places = range(len(bars))
    axes.barh(places, values, color=[colour for _, _, colour in bars], height=0.66)
    for place, (_, value, colour) in enumerate(bars):
        axes.text(
            value + 0.02 * max(values),
            place,
            f"{value:.1f}°",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=colour,
        )
    axes.set_yticks(places, [name for name, _, _ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1.3 * max(values))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.set_title("Frozen probes, RMS")


def _running_rms(
    time: NDArray[np.float64], error: NDArray[np.float64], phases: Sequence[Phase], window: float
) -> NDArray[np.float64]:
    """Return the RMS over the last ``window`` s, never across the borders of phases."""
    borders = np.array([phase.start for phase in phases])
    begin = time - window
    if borders.size:
        inside = np.searchsorted(borders, time, side="right") - 1
        begin = np.maximum(begin, np.where(inside >= 0, borders[np.maximum(inside, 0)], -np.inf))
    known = np.isfinite(error)
    squares = np.concatenate(((0.0,), np.cumsum(np.where(known, error, 0.0) ** 2)))
    counts = np.concatenate(((0,), np.cumsum(known)))
    first, last = np.searchsorted(time, begin, side="left"), np.arange(len(time)) + 1
    count = counts[last] - counts[first]
    mean = np.full(len(time), np.nan)
    np.divide(squares[last] - squares[first], count, out=mean, where=count > 0)
    rms: NDArray[np.float64] = np.sqrt(mean.clip(0))
    # The first second of a phase is too short for an RMS to mean anything; it leaves a gap.
    young = time - np.maximum(begin, time[0]) < min(1.0, window / 4)
    rms[young] = np.nan
    if np.isfinite(rms).any():
        return rms
    return np.where(known, error, np.nan) if known.any() else np.zeros(len(time))
