"""A component at work, in one small picture: what goes in, and what each of its neurons does."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from ab_ros.engine.blocks import Component, Node, Pulse, Response, Stimulus, nodes_into
from ab_ros.viz.style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, VERMILION, new_figure, styled

_INHIBITORY = ("FS", "LTS")
_COLOURS = 128
_DPI = 88
_WIDTH = 9.2
_ROW = 0.235
"""Height of one row, inches."""
_POTENTIAL_ROWS = 2.6
_LOWEST, _HIGHEST = -90.0, 35.0
"""Membrane potentials that fill the height of their row, mV."""
_GAP = 0.45


def component_picture(
    component: Component, stimulus: Stimulus, response: Response, instance: int = 0
) -> Image.Image:
    """Draw a component's response: inputs above, then a row per node, then potentials.

    The rows of nodes that get input are shaded meanwhile; spikes of inhibitory types have a colour
    of their own; the names of output terminals stand at the right of their nodes.

    Parameters
    ----------
    component, stimulus : what was tried.
    response : of :func:`~ab_ros.engine.blocks.respond`.
    instance : which of the instances is drawn.

    Returns
    -------
    PIL.Image.Image
        with a palette, so that its file is small.
    """
    driven = _into(stimulus)
    top = len(driven) + _GAP * bool(driven)
    nodes = len(component.nodes)
    rows = top + nodes + _POTENTIAL_ROWS * len(response.potentials)
    with styled():
        figure = new_figure(_WIDTH, 0.95 + _ROW * rows)
        figure.set_dpi(_DPI)
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.set(w_pad=0.08, h_pad=0.08)  # type: ignore[call-arg]
        axes = figure.add_subplot()
        for row, name in enumerate(driven):
            pulses = [pulse for pulse in stimulus.pulses if pulse.into == name]
            _draw_input(axes, row, name, pulses, stimulus)
        for row, node in enumerate(component.nodes):
            y = top + row
            spikes = np.flatnonzero(response.spikes[node.id][:, instance])
            _draw_node(axes, y, component, node, spikes, stimulus)
        for row, (name, trace) in enumerate(response.potentials.items()):
            y = top + nodes + _POTENTIAL_ROWS * row
            _draw_potential(axes, y, name, trace[:, instance])
        axes.set_xlim(0, stimulus.ticks)
        axes.set_ylim(rows - 0.3, -0.7)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="x", labelsize=8.5, length=3)
        axes.annotate(
            "ms",
            (1, 0),
            xycoords="axes fraction",
            xytext=(14, -4),
            textcoords="offset points",
            fontsize=8.5,
            va="top",
        )
        axes.set_title(component.name, fontsize=11.5, pad=19)
        axes.text(
            0, 1, stimulus.shows, transform=axes.transAxes, fontsize=8.8, color=MUTED, va="bottom"
        ).set_y(1 + 0.05 / (_ROW * rows))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI)
    picture = Image.open(buffer).convert("RGB")
    return picture.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def _draw_input(axes: Axes, row: float, name: str, pulses: list[Pulse], stimulus: Stimulus) -> None:
    """Draw what goes into one terminal: trains as lines, the sum of all currents as a profile."""
    base, ticks = row + 0.4, stimulus.ticks
    axes.plot((0, ticks), (base, base), color=GRID, linewidth=0.8, zorder=0)
    strongest = max(np.abs(_steady(stimulus.pulses, ticks, into)).max() for into in _into(stimulus))
    strongest = max(strongest, *(abs(pulse.current) for pulse in stimulus.pulses))
    for pulse in pulses:
        if pulse.period:
            height = _height(pulse.current, strongest)
            times = range(pulse.start, pulse.stop, pulse.period)
            lines = [((t, base), (t, base - height)) for t in times]
            axes.add_collection(LineCollection(lines, colors=ORANGE, linewidths=1.3))
            text = f"{pulse.current:g} every {pulse.period} ms"
            _value(axes, pulse.stop, row, text, inside=False)
    profile = _steady(pulses, ticks, name)
    # A pulse of a few ticks must not vanish between two pixels.
    narrowest = ticks / 250
    edges = [0, *(np.flatnonzero(np.diff(profile)) + 1), ticks]
    for start, stop in itertools.pairwise(edges):
        current = float(profile[start])
        if current:
            width, height = max(stop - start, narrowest), _height(current, strongest)
            colour = ORANGE if current > 0 else VERMILION
            corner = start, base - height
            axes.add_patch(Rectangle(corner, width, height, color=colour, alpha=0.85, linewidth=0))
            inside = stop - start > 0.05 * ticks
            x, middle = start if inside else start + width, base - height / 2
            _value(axes, x, middle, f"{current:g}", inside=inside)
    _name(axes, row, name, "left", colour="#a36a00", bold=True)


def _into(stimulus: Stimulus) -> list[str]:
    return list(dict.fromkeys(pulse.into for pulse in stimulus.pulses))


def _steady(pulses: Sequence[Pulse], ticks: int, into: str) -> NDArray[np.float64]:
    profile = np.zeros(ticks)
    for pulse in pulses:
        if pulse.into == into and not pulse.period:
            profile[pulse.start : pulse.stop] += pulse.current
    return profile


def _height(current: float, strongest: float) -> float:
    return 0.25 + 0.55 * abs(current) / (strongest or 1.0)


def _value(axes: Axes, x: float, row: float, text: str, *, inside: bool) -> None:
    axes.annotate(
        text,
        (x, row + 0.02),
        xytext=(3, 0),
        textcoords="offset points",
        fontsize=7.6,
        color=INK if inside else MUTED,
        va="center",
        annotation_clip=False,
    )


def _draw_node(
    axes: Axes,
    row: float,
    component: Component,
    node: Node,
    spikes: NDArray[np.intp],
    stimulus: Stimulus,
) -> None:
    outputs = [terminal.name for terminal in component.outputs if node.id in terminal.nodes]
    colour = VERMILION if node.type in _INHIBITORY else GREEN if outputs else BLUE
    axes.add_patch(
        Rectangle((0, row - 0.42), stimulus.ticks, 0.84, color="#f4f6f9", linewidth=0, zorder=0)
    )
    for start, stop in _driven(component, node, stimulus):
        axes.add_patch(
            Rectangle(
                (start, row - 0.42),
                max(stop - start, stimulus.ticks / 250),
                0.84,
                color=to_rgba(ORANGE, 0.28),
                linewidth=0,
                zorder=1,
            )
        )
    lines = [((t + 0.5, row - 0.34), (t + 0.5, row + 0.34)) for t in spikes]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9, zorder=2))
    _name(axes, row, f"{node.id}  {node.type}", "left", colour=INK, bold=bool(outputs))
    if outputs:
        _name(axes, row, ", ".join(outputs), "right", colour=colour, bold=True)


def _driven(component: Component, node: Node, stimulus: Stimulus) -> Iterator[tuple[int, int]]:
    for pulse in stimulus.pulses:
        if node.id in nodes_into(component, pulse.into):
            yield pulse.start, pulse.stop


def _draw_potential(axes: Axes, row: float, name: str, trace: NDArray[np.float64]) -> None:
    height = _POTENTIAL_ROWS - 0.5
    bottom = row + height - 0.2
    inside = np.clip(trace, _LOWEST, _HIGHEST)
    y = bottom - height * (inside - _LOWEST) / (_HIGHEST - _LOWEST)
    axes.plot(np.arange(len(trace)) + 0.5, y, color=BLUE, linewidth=0.8)
    middle = bottom - height / 2
    _name(axes, middle, f"v of {name}", "left", colour=INK)
    _name(axes, middle, f"{trace.min():.0f} to {trace.max():.0f} mV", "right", colour=MUTED)


def _name(axes: Axes, row: float, text: str, side: str, *, colour: str, bold: bool = False) -> None:
    left = side == "left"
    axes.annotate(
        text,
        (0 if left else 1, row),
        xycoords=("axes fraction", "data"),
        xytext=(-7 if left else 7, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=8.2,
        color=colour,
        fontweight="bold" if bold else "normal",
    )
