"""How brains learn several tasks: rewards by episode and seed, beside what does not learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ab_ros.errors import ConfigError
from ab_ros.viz.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    SKY,
    horizontal_grid,
    new_figure,
    styled,
)
from ab_ros.viz.training import running_mean

_LEVELS = (("no learning", ORANGE), ("random", MUTED), ("rule", GREEN))


@dataclass(frozen=True)
class TaskCurves:
    """What is drawn of a task.

    Parameters
    ----------
    rewards : of the episodes of a training, for each seed.
    levels : scores to compare with, by seed, of ``no learning`` (the same brain untaught),
        ``random`` actions and a ``rule``; those that are left out are not drawn.
    """

    rewards: Sequence[Sequence[float]]
    levels: Mapping[str, Sequence[float]]


def learning_tasks(tasks: Mapping[str, TaskCurves], *, window: int = 10) -> Figure:
    """Return a picture with a panel for each task.

    A thin line is the running mean of a seed's training, the thick one the mean over seeds; a
    level is a dashed line at the mean over seeds, and a band from the least to the greatest.

    Parameters
    ----------
    tasks : at least one, by name.
    window : episodes of the running means, >= 1.

    Raises
    ------
    ConfigError
        if there is no task, or one without an episode.
    """
    if not tasks or not all(t.rewards and all(map(len, t.rewards)) for t in tasks.values()):
        raise ConfigError("learning tasks: needs tasks, with an episode of each seed at least")
    columns = min(2, len(tasks))
    rows = -(-len(tasks) // columns)
    with styled():
        figure = new_figure(5.2 * columns, 3.1 * rows + 0.4)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, task) in zip(panels, tasks.items(), strict=False):
            _draw(axes, task, window)
            axes.set_title(f"{name}: {len(task.rewards)} seed{'s' * (len(task.rewards) > 1)}")
            axes.set_xlabel("episode")
            axes.set_ylabel("reward")
        for axes in panels[len(tasks) :]:
            axes.set_axis_off()
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=5 if columns > 1 else 3,
            fontsize=10,
        )
    return figure


def _draw(axes: Axes, task: TaskCurves, window: int) -> None:
    for name, colour in _LEVELS:
        values = task.levels.get(name)
        if values:
            axes.axhspan(min(values), max(values), color=colour, alpha=0.15, linewidth=0)
            level = float(np.mean(values))
            axes.axhline(level, color=colour, linewidth=1.6, linestyle=(0, (5, 3)), label=name)
    means = [running_mean(np.asarray(r, np.float64), window) for r in task.rewards]
    for k, mean in enumerate(means):
        label = "one seed, learning" if k == 0 else None
        axes.plot(np.arange(1, mean.size + 1), mean, color=SKY, linewidth=1.0, label=label)
    # Trainings that end at different episodes have a common mean as long as all go on.
    length = min(mean.size for mean in means)
    common = np.mean([mean[:length] for mean in means], axis=0)
    axes.plot(np.arange(1, length + 1), common, color=BLUE, linewidth=2.4, label="mean, learning")
    axes.set_xlim(1, max(2, *(mean.size for mean in means)))
    axes.tick_params(colors=INK)
    horizontal_grid(axes)
