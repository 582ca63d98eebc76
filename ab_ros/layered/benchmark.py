"""Benchmarks: several brains are shown the same values, and metrics measure what they do.

from ab_ros.layered.benchmark import Benchmark, SpikeCount, SpikeDensity

experiment = Benchmark({"one": brain, "other": another}, [SpikeCount(), SpikeDensity()]).run(
    values
)
print(table(experiment))
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ab_ros.errors import ConfigError, one_of
from ab_ros.layered.brain import LayeredBrain
from ab_ros.layered.records import Experiment, Subject


class Metric(ABC):
    """Measures a brain after each tick; one's own is a subclass.

    Attributes
    ----------
    name : of what is measured; the class's name unless it is given.
    """

    name: str = ""

    def begin(self, brain: LayeredBrain) -> None:
        """Prepare for a brain, before its first tick."""

    @abstractmethod
    def measure(self, brain: LayeredBrain) -> float:
        """Return a finite number for the tick that was just computed."""


class SpikeCount(Metric):
    """How many neurons are active.

    Parameters
    ----------
    group : that is counted, by name; empty: all.
    """

    def __init__(self, group: str = "") -> None:
        self.group = group
        self.name = f"spike count of {group}" if group else "spike count"

    def measure(self, brain: LayeredBrain) -> float:
        """Return the number of active neurons."""
        groups = [self.group] if self.group else [group.name for group in brain.plan.groups]
        return float(sum(int(np.count_nonzero(brain.bits(name))) for name in groups))


class SpikeDensity(Metric):
    """Which part of the neurons is active.

    Parameters
    ----------
    group : that is looked at, by name; empty: all.
    """

    def __init__(self, group: str = "") -> None:
        self._count = SpikeCount(group)
        self.name = f"spike density of {group}" if group else "spike density"

    def measure(self, brain: LayeredBrain) -> float:
        """Return the part of the neurons that is active."""
        group = self._count.group
        size = brain.bits(group).size if group else brain.size
        return self._count.measure(brain) / size


class Benchmark:
    """Several brains, and what is measured of them.

    Parameters
    ----------
    brains : by name, or in a sequence: then they are called as they are, with a number where a
        name stands twice.
    metrics : by default :class:`SpikeCount` and :class:`SpikeDensity`.
    name : of the experiment.

    Raises
    ------
    ConfigError
        if there is no brain or metric, or a metric's name stands twice.
    """

    def __init__(
        self,
        brains: Mapping[str, LayeredBrain] | Sequence[LayeredBrain],
        metrics: Sequence[Metric] | None = None,
        name: str = "benchmark",
    ) -> None:
        self.brains = dict(brains) if isinstance(brains, Mapping) else _named(brains)
        self.metrics = (SpikeCount(), SpikeDensity()) if metrics is None else tuple(metrics)
        self.name = name
        names = [_name(metric) for metric in self.metrics]
        if not self.brains or not self.metrics:
            raise ConfigError("a benchmark needs at least one brain and one metric")
        if len(set(names)) < len(names):
            raise ConfigError(f"two metrics have the same name; {one_of(names)}")

    def run(self, values: Iterable[Any]) -> Experiment:
        """Show values to each brain, tick by tick, and measure.

        Brains go on from where they are; ``brain.reset()`` lets one begin anew.

        Parameters
        ----------
        values : as :meth:`~ab_ros.layered.brain.LayeredBrain.tick` takes them.

        Raises
        ------
        ConfigError
            for a metric that gives no finite number, or a sensor that there is not.
        ObservationError
            for a value that an encoder refuses.
        """
        shown = list(values)
        subjects = {}
        for name, brain in self.brains.items():
            series = {_name(metric): np.zeros(len(shown)) for metric in self.metrics}
            for metric in self.metrics:
                metric.begin(brain)
            seconds = 0.0
            for k, value in enumerate(shown):
                begin = time.perf_counter()
                brain.tick(value)
                seconds += time.perf_counter() - begin
                for metric in self.metrics:
                    series[_name(metric)][k] = _finite(metric.measure(brain), metric, name)
            subjects[name] = Subject(brain.wiring, brain.seed, seconds, series)
        return Experiment(self.name, len(shown), subjects, time.time())


def table(experiment: Experiment) -> str:
    """Return a table to print: a row for each brain, with mean ± standard deviation by metric."""
    rows = rows_of(experiment)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def rows_of(experiment: Experiment) -> list[list[str]]:
    """Return the cells of a table: a head, then mean ± standard deviation of each metric by brain.

    The last column is how many ticks were computed in a second.
    """
    rows = [["brain", *experiment.metrics, "ticks/s"]]
    for name, subject in experiment.subjects.items():
        cells = [name]
        for metric in experiment.metrics:
            values = subject.series.get(metric)
            if values is None or not values.size:
                cells.append("-")
            else:
                cells.append(f"{np.mean(values):.4g} ± {np.std(values):.2g}")
        rate = experiment.ticks / subject.seconds if subject.seconds else 0.0
        rows.append([*cells, f"{rate:.0f}" if rate else "-"])
    return rows


def _named(brains: Sequence[LayeredBrain]) -> dict[str, LayeredBrain]:
    named: dict[str, LayeredBrain] = {}
    for brain in brains:
        name, number = brain.plan.name, 1
        while name in named:
            number += 1
            name = f"{brain.plan.name} {number}"
        named[name] = brain
    return named


def _name(metric: Metric) -> str:
    return metric.name or type(metric).__name__


def _finite(value: Any, metric: Metric, brain: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ConfigError(
            f"metric {_name(metric)!r} of brain {brain!r}: must be a finite number (got {value!r})"
        )
    return number
