"""What explorations have reached, beside each other: the places, and how fast they spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ab_ros.environments.channels import Channel
from ab_ros.environments.exploration import coverage
from ab_ros.environments.exploration_record import Exploration
from ab_ros.environments.signals import select
from ab_ros.errors import ConfigError
from ab_ros.viz.style import CYCLE, MUTED, horizontal_grid, new_figure, styled

_CELLS = 20


def exploration_figure(
    explorations: Mapping[str, Exploration], channels: Sequence[str] = (), title: str = ""
) -> Figure:
    """Draw where explorations have been, in two sensory channels, and how many cells they reached.

    The cells are those of a grid of 20 by 20 over the bounds of the channels; where these are
    infinite, over all that was reached.

    Parameters
    ----------
    explorations : at least one, by its name in the picture.
    channels : two sensory channels; by default the first two.

    Raises
    ------
    ConfigError
        if there is nothing to draw.
    ChannelError
        if an exploration lacks a channel.
    """
    if not explorations or not all(made.count for made in explorations.values()):
        raise ConfigError("exploration: nothing was executed, so there is nothing to draw")
    first = next(iter(explorations.values()))
    names = tuple(channels) or tuple(c.name for c in first.s_channels[:2])
    if len(names) != 2:
        raise ConfigError(f"exploration: needs two sensory channels to draw, not {len(names)}")
    places, goals = {}, {}
    for key, made in explorations.items():
        column = [
            made.s_channels.index(c) for c in select(made.s_channels, names, f"exploration {key}")
        ]
        places[key], goals[key] = made.sensed[:, column], made.goals[:, column]
    chosen = select(first.s_channels, names, "exploration")
    axes_of = [
        _bounded(channel, [points[:, k] for points in places.values()])
        for k, channel in enumerate(chosen)
    ]
    count = len(explorations)
    with styled():
        figure = new_figure(4.2 * count + 4.6, 4.4)
        grid = figure.add_gridspec(1, count + 1)
        curves = figure.add_subplot(grid[count])
        for k, (key, points) in enumerate(places.items()):
            colour = CYCLE[k % len(CYCLE)]
            axes = figure.add_subplot(grid[k])
            aims = goals[key]
            axes.plot(*aims.T, "+", color=MUTED, markersize=4, alpha=0.25, label="goals")
            axes.plot(*points.T, ".", color=colour, markersize=3, alpha=0.6, label="reached")
            axes.set_xlim(axes_of[0].bounds)
            axes.set_ylim(axes_of[1].bounds)
            axes.set_xlabel(_label(chosen[0]))
            axes.set_ylabel(_label(chosen[1]))
            axes.set_title(f"{key}: {len(points)} orders")
            curve = coverage(points, axes_of, _CELLS)
            curves.plot(np.arange(1, len(curve) + 1), curve, color=colour, label=key, linewidth=1.9)
        curves.set_ylim(bottom=0)
        curves.set_xlabel("orders")
        curves.set_ylabel(f"cells reached, of {_CELLS * _CELLS}")
        curves.set_title(title or "How far it got")
        curves.legend(loc="lower right")
        horizontal_grid(curves)
    return figure


def _label(channel: Channel) -> str:
    return f"{channel.name} ({channel.unit})" if channel.unit else channel.name


def _bounded(channel: Channel, reached: Sequence[np.ndarray]) -> Channel:
    if channel.bounded:
        return channel
    low = min(float(values.min()) for values in reached)
    high = max(float(values.max()) for values in reached)
    return Channel(channel.name, (low, high) if low < high else (low - 0.5, low + 0.5))
