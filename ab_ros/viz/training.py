"""How episodes went in a training: reward and success, episode by episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from ab_ros.errors import ConfigError
from ab_ros.viz.style import BLUE, GREEN, MUTED, SKY, horizontal_grid, new_figure, styled


def training_figure(
    reward: ArrayLike,
    steps: ArrayLike,
    success: ArrayLike,
    lesson: ArrayLike,
    *,
    title: str,
    window: int = 20,
) -> Figure:
    """Return a picture of a training.

    Parameters
    ----------
    reward : float[episodes].
    steps : int[episodes], shown in the title.
    success : int[episodes], 1 or 0, or −1 where it is not known.
    lesson : int[episodes]; a line marks where it changes.
    title : what was trained.
    window : episodes of the running means, >= 1.

    Raises
    ------
    ConfigError
        if there is no episode, or the lists differ in length.
    """
    rewards = np.asarray(reward, np.float64)
    successes, lessons = np.asarray(success), np.asarray(lesson)
    count = np.asarray(steps)
    if not rewards.size or not rewards.shape == successes.shape == lessons.shape == count.shape:
        raise ConfigError("training figure: needs lists of one length, with an episode at least")
    known = bool((successes >= 0).any())
    with styled():
        figure = new_figure(8.0, 5.2 if known else 3.6)
        panels = figure.subplots(2 if known else 1, 1, sharex=True, squeeze=False)[:, 0]
        episodes = np.arange(1, rewards.size + 1)
        axes = panels[0]
        axes.plot(episodes, rewards, ".", color=SKY, markersize=4, alpha=0.7, label="episode")
        mean = running_mean(rewards, window)
        axes.plot(episodes, mean, color=BLUE, linewidth=2.2, label=f"mean of the last {window}")
        axes.set_ylabel("reward")
        axes.set_title(f"{title}: {rewards.size} episodes, {int(count.sum())} steps")
        axes.legend(loc="best")
        if known:
            rate = running_mean((successes > 0).astype(np.float64), window)
            panels[1].plot(episodes, rate, color=GREEN, linewidth=2.2)
            panels[1].set_ylim(-0.03, 1.03)
            panels[1].yaxis.set_major_formatter(PercentFormatter(1.0))
            panels[1].set_ylabel("success")
        panels[-1].set_xlabel("episode")
        for panel in panels:
            horizontal_grid(panel)
            for change in np.flatnonzero(np.diff(lessons)):
                panel.axvline(change + 1.5, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
    return figure


def record_training(lines: Iterable[Mapping[str, Any]], *, title: str) -> Figure:
    """Return a picture of the episodes that a record tells of.

    Parameters
    ----------
    lines : of steps, as :func:`ab_ros.training.records.read_record` gives them.
    title : what was recorded.

    Raises
    ------
    ConfigError
        if there is no line, or one lacks a number that every record has.
    """
    totals: list[float] = []
    counts: list[int] = []
    before = (-1, 0)
    for number, line in enumerate(lines, 1):
        try:
            # A file that several trainings wrote to has episodes of one number more than once.
            now = int(line["statistics.episode"]), int(line["statistics.iteration_count"])
            reward = float(line["reward"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"line {number} of the record: needs numbers as reward, statistics.episode and"
                f" statistics.iteration_count"
            ) from None
        if now[0] != before[0] or now[1] <= before[1]:
            totals.append(0.0)
            counts.append(0)
        totals[-1], counts[-1], before = totals[-1] + reward, counts[-1] + 1, now
    unknown = np.full(len(totals), -1)
    return training_figure(totals, counts, unknown, np.zeros_like(unknown), title=title)


def summary_training(summary: Mapping[str, Any]) -> Figure:
    """Return a picture of the episodes that a training's summary has.

    Parameters
    ----------
    summary : as read from JSON; it, or a part of it, has the lists ``reward`` and ``steps``, and
        ``success`` and ``lesson`` where they are known.

    Raises
    ------
    ConfigError
        if it has no such lists.
    """
    parts = [summary, *(part for part in summary.values() if isinstance(part, Mapping))]
    for part in parts:
        reward, steps = part.get("reward"), part.get("steps")
        if isinstance(reward, Sequence) and isinstance(steps, Sequence):
            break
    else:
        raise ConfigError(
            "is the summary of a training, but without 'reward' and 'steps' of every episode; draw"
            " its record"
        )
    success = part.get("success") or [None] * len(reward)
    success = [-1 if value is None else value for value in success]
    lesson = part.get("lesson") or [0] * len(reward)
    title = f"{summary.get('brain', 'training')}, version {summary.get('version', '?')}"
    try:
        return training_figure(reward, steps, success, lesson, title=title)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"its lists are not of numbers: {error}") from None


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of each value and those before it, of a window at most, float64[N]."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    end = np.arange(1, values.size + 1)
    begin = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[begin]) / (end - begin))
