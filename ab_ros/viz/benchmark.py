"""Benchmarks of layered brains as pictures: each metric over the ticks, and its mean."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ab_ros.errors import ConfigError
from ab_ros.layered.records import Experiment
from ab_ros.viz.style import CYCLE, horizontal_grid, new_figure, styled

_POINTS = 400


def benchmark_figure(experiment: Experiment, title: str = "") -> Figure:
    """Draw every metric over the ticks, brain by brain.

    Where there are more than 400 ticks, lines are means of as many parts of the run.

    Raises
    ------
    ConfigError
        if nothing was measured.
    """
    metrics = experiment.metrics
    if not metrics or not experiment.ticks:
        raise ConfigError("the experiment has no measurements that could be drawn")
    with styled():
        figure = new_figure(10.0, 1.1 + 2.1 * len(metrics))
        grid = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)
        for row, metric in enumerate(metrics):
            axes = grid[row, 0]
            for k, (name, subject) in enumerate(experiment.subjects.items()):
                if metric not in subject.series:
                    continue
                colour = CYCLE[k % len(CYCLE)]
                ticks, values = _thinned(subject.series[metric])
                mean = float(subject.series[metric].mean())
                marker = "o" if len(ticks) == 1 else ""
                axes.plot(
                    ticks,
                    values,
                    color=colour,
                    linewidth=1.7,
                    marker=marker,
                    label=f"{name}: {mean:.3g}",
                )
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            axes.set_ylabel(metric)
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="mean")
            horizontal_grid(axes)
        grid[0, 0].set_title(title or experiment.name)
        grid[-1, 0].set_xlabel("tick")
        grid[-1, 0].set_xlim(0, max(experiment.ticks - 1, 1))
    return figure


def _thinned(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if values.size <= _POINTS:
        return np.arange(values.size, dtype=np.float64), values
    edges = np.linspace(0, values.size, _POINTS + 1).astype(np.intp)
    sums = np.add.reduceat(values, edges[:-1])
    return (edges[:-1] + edges[1:] - 1) / 2.0, sums / np.diff(edges)
