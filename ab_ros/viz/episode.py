"""An episode's signals as a picture: state, action and reward, and how its outputs spiked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ab_ros.errors import ConfigError, one_of
from ab_ros.viz.style import BLUE, GREEN, ORANGE, horizontal_grid, new_figure, styled

_MOST = 24
_COLOURS = {"state": BLUE, "action": ORANGE, "reward": GREEN}
_SPIKES = "spikes"


def signal_figure(
    signals: Mapping[str, NDArray[Any]],
    *,
    names: Sequence[str] = (),
    start: int | None = None,
    stop: int | None = None,
    title: str = "Signals",
) -> Figure:
    """Draw the signals of an episode, one below the other, over its steps.

    Parameters
    ----------
    signals : as ``ab_ros train --signals`` writes them: ``state.<field>``, ``action.<field>`` and
        ``reward``, float64[steps]; ``terminal``, bool[steps]; ``spikes.<output>``, [steps, N].
    names : of the signals that are drawn; by default all but ``terminal``.
    start, stop : first step, and the one to stop before, from 0.
    title : of the picture.

    Raises
    ------
    ConfigError
        if they are no such signals, or a name or a step is not among them.
    """
    columns = {name: np.asarray(values) for name, values in signals.items() if name != "terminal"}
    steps = len(columns["reward"]) if np.ndim(columns.get("reward", 0)) == 1 else 0
    for name, values in columns.items():
        wanted = 2 if name.startswith(f"{_SPIKES}.") else 1
        if values.ndim != wanted or len(values) != steps or values.dtype.kind not in "biuf":
            raise ConfigError(
                f"signals: {name!r} is {values.dtype}{list(values.shape)}; needs {wanted}"
                f" dimension{'s' * (wanted > 1)}, of {steps} steps"
            )
    if not steps:
        raise ConfigError("signals: no step was recorded, so there is nothing to draw")
    for name in names:
        if name not in columns:
            raise ConfigError(f"{name!r}: is not among the signals; {one_of(columns)}")
    first, last = start or 0, steps if stop is None else stop
    if not 0 <= first < last <= steps:
        raise ConfigError(
            f"steps from {first} to before {last}: the episode has those from 0 to before {steps}"
        )
    chosen = list(names) or list(columns)
    if len(chosen) > _MOST:
        raise ConfigError(
            f"signals: {len(chosen)} are too many for a picture; name {_MOST} of them"
        )
    rows = [(name, columns[name][first:last]) for name in chosen]
    with styled():
        figure = new_figure(9.0, 0.6 + sum(1.1 if v.ndim > 1 else 0.8 for _, v in rows))
        panels = figure.subplots(
            len(rows),
            1,
            sharex=True,
            squeeze=False,
            height_ratios=[1.1 if v.ndim > 1 else 0.8 for _, v in rows],
        )[:, 0]
        for axes, (name, values) in zip(panels, rows, strict=True):
            kind, _, field = name.partition(".")
            if values.ndim > 1:
                # The middle of a cell is its step.
                extent = (first - 0.5, last - 0.5, values.shape[1] - 0.5, -0.5)
                axes.imshow(
                    values.T, aspect="auto", extent=extent, cmap="Greys", interpolation="nearest"
                )
            else:
                axes.step(
                    np.arange(first, last), values, where="mid", color=_COLOURS.get(kind, BLUE)
                )
                horizontal_grid(axes)
            axes.set_ylabel(
                f"{field}\n({kind})" if field else kind,
                rotation=0,
                ha="right",
                va="center",
                fontsize=9,
            )
        panels[0].set_title(title)
        panels[-1].set_xlim(first - 0.5, last - 0.5)
        panels[-1].set_xlabel("step")
        figure.align_ylabels(panels)
    return figure
