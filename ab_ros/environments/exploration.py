"""Exploration: find out what an environment can do, by chance or by goals, and write it down.

An explorer chooses motor signals and hears what came of them; :func:`explore` lets it do so and
records it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Feedback
from ab_ros.environments.exploration_record import Exploration, check_path, write_exploration
from ab_ros.environments.signals import (
    bounds_of,
    generator,
    random_signal,
    restore,
    select,
    to_signal,
    to_vector,
)
from ab_ros.errors import ChannelError, ConfigError, OrderNotExecutableError

Floats = NDArray[np.float64]


class Explorer(Protocol):
    """Chooses what is tried."""

    def choose(self) -> tuple[Signal, Signal | None]:
        """Return a motor signal, and the goal that it shall reach, if there is one."""

    def hear(self, feedback: Feedback) -> None:
        """Take what came of a motor signal."""


class RandomExplorer:
    """Motor babbling: every motor signal is drawn anew, uniformly within the bounds.

    Parameters
    ----------
    m_channels : of the environment; those that are not fixed have finite bounds.
    seed : >= 0.
    """

    def __init__(self, m_channels: Sequence[Channel], seed: int = 0) -> None:
        self._channels = list(m_channels)
        self._random = generator(seed)
        random_signal(self._channels, 0)

    def choose(self) -> tuple[Signal, Signal | None]:
        """Return a random motor signal, without a goal."""
        return random_signal(self._channels, self._random), None

    def hear(self, feedback: Feedback) -> None:
        """Learn nothing."""


@dataclass(frozen=True)
class GoalSettings:
    """How goals are set and tried for."""

    channels: tuple[str, ...] = setting(
        (), doc="Sensory channels that goals are of; by default all with finite bounds."
    )
    bounds: dict[str, tuple[float, float]] = setting(
        dict, doc="Between which values goals of a channel lie; by default its own bounds."
    )
    first: int = setting(10, doc="Random motor signals before the first goal.", ge=1)
    noise: float = setting(
        0.05,
        doc="Standard deviation of what is added to the nearest motor signal, in parts of each"
        " channel's range.",
        ge=0,
        le=1,
    )
    random: float = setting(0.1, doc="Part of motor signals that stay random.", ge=0, le=1)


class GoalBabbling:
    """Goal babbling: tries to reach goals by what came nearest to them before, and some noise.

    Rolf, Steil & Gienger, Goal babbling permits direct learning of inverse kinematics, IEEE Trans.
    Autonomous Mental Development 2, 2010; with the nearest neighbour as the inverse model, as in
    Baranes & Oudeyer, Active learning of inverse models with intrinsically motivated goal
    exploration in robots, Robotics and Autonomous Systems 61, 2013.

    Goals are uniform within their bounds, whether they can be reached or not.  Distances are in
    parts of those bounds.

    Parameters
    ----------
    m_channels : of the environment; those that are not fixed have finite bounds.
    s_channels : of the environment.
    settings : of goals and noise.
    seed : >= 0.

    Raises
    ------
    ChannelError, ConfigError
        if a channel is unknown, has no finite bounds, or no channel is left for goals.
    """

    def __init__(
        self,
        m_channels: Sequence[Channel],
        s_channels: Sequence[Channel],
        settings: GoalSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = s = settings or GoalSettings()
        self._motors = list(m_channels)
        self._free = [c for c in m_channels if c.fixed is None]
        self._motor_low, high = bounds_of(self._free, "goal babbling")
        self._motor_range = high - self._motor_low
        select(s_channels, tuple(s.bounds), "goals.bounds")
        bounded = [Channel(c.name, s.bounds.get(c.name, c.bounds), unit=c.unit) for c in s_channels]
        names = s.channels or tuple(c.name for c in bounded if c.bounded)
        if not names:
            raise ConfigError("goals.bounds: no sensory channel has finite bounds; give some")
        self.goals = select(bounded, names, "goals.channels")
        self._low, high = bounds_of(self.goals, "goals.bounds")
        self._range = high - self._low
        self._random = generator(seed)
        self._moved: Floats = np.empty((64, len(self._free)))
        self._reached: Floats = np.empty((64, len(self.goals)))
        self.count = 0
        """How many motor signals it has heard of."""

    def choose(self) -> tuple[Signal, Signal | None]:
        """Return a motor signal and its goal; the first ones, and some others, have none."""
        s = self.settings
        if self.count < s.first or self._random.uniform() < s.random:
            return random_signal(self._motors, self._random), None
        goal = random_signal(self.goals, self._random)
        near = self._nearest(goal) + self._random.normal(scale=s.noise, size=len(self._free))
        # Reflected, not clipped: clipping would pile up motor signals at the bounds.
        near = np.abs(near) % 2.0
        return self._order(np.where(near > 1.0, 2.0 - near, near)), goal

    def hear(self, feedback: Feedback) -> None:
        """Remember what was executed and what came of it."""
        moved = np.array([feedback["m_signal"][c.name] for c in self._free])
        sensed = np.array([feedback["s_signal"][c.name] for c in self.goals])
        self._add(moved, sensed)

    def recall(self, made: Exploration) -> None:
        """Remember what another exploration has shown, as if it had been tried here.

        Parameters
        ----------
        made : of an environment with the same motor channels, and with those that goals are of.

        Raises
        ------
        ChannelError
            if it has other channels, or another value of a fixed one.
        """
        names = [c.name for c in self._motors]
        given = [c.name for c in made.m_channels]
        if sorted(given) != sorted(names):
            raise ChannelError(
                f"recall: the exploration moved {', '.join(given)}, not {', '.join(names)}"
            )
        sensors = [c.name for c in made.s_channels]
        select(made.s_channels, [c.name for c in self.goals], "recall")
        for c in self._motors:
            values = made.motor[:, given.index(c.name)]
            if c.fixed is not None and (values != c.fixed).any():
                raise ChannelError(
                    f"recall: {c.name!r} is fixed at {c.fixed:g} here, but not in the exploration"
                )
        moved = made.motor[:, [given.index(c.name) for c in self._free]]
        sensed = made.sensed[:, [sensors.index(c.name) for c in self.goals]]
        for order, found in zip(moved, sensed, strict=True):
            self._add(order, found)

    def _add(self, moved: Floats, sensed: Floats) -> None:
        if self.count == len(self._moved):
            self._moved = np.concatenate((self._moved, np.empty_like(self._moved)))
            self._reached = np.concatenate((self._reached, np.empty_like(self._reached)))
        self._moved[self.count] = (moved - self._motor_low) / self._motor_range
        self._reached[self.count] = (sensed - self._low) / self._range
        self.count += 1

    def infer(self, goal: Mapping[str, float]) -> Signal:
        """Return the motor signal that came nearest to a goal so far.

        Raises
        ------
        ChannelError
            if the goal does not fit the goals' channels, or nothing was tried yet.
        """
        if not self.count:
            raise ChannelError("infer: nothing was tried yet")
        return self._order(self._nearest(goal))

    def _nearest(self, goal: Mapping[str, float]) -> Floats:
        place = (to_vector(goal, self.goals) - self._low) / self._range
        away = self._reached[: self.count] - place
        return np.array(self._moved[int(np.einsum("ij,ij->i", away, away).argmin())])

    def _order(self, parts: Floats) -> Signal:
        inside = [Channel(c.name) for c in self._free]
        moved = restore(to_signal(np.clip(parts, 0.0, 1.0), inside), self._free)
        return {c.name: moved.get(c.name, c.rest) for c in self._motors}


def explore(
    environment: Environment,
    explorer: Explorer,
    steps: int,
    *,
    record: str | Path | None = None,
    every: int = 1000,
    progress: Callable[[int], None] | None = None,
) -> Exploration:
    """Let an explorer try out an environment.

    Parameters
    ----------
    environment : it is neither reset nor closed.
    explorer : what it chooses and the environment cannot execute is counted as refused.
    steps : motor signals, >= 1.
    record : a file that ends in .npz or .csv.  It is written as a whole after every ``every`` steps
        and at the end, however that comes about, and is never half written.
    every : >= 1.
    progress : is called with the number of steps done, whenever the record could be written.

    Raises
    ------
    ConfigError
        if a parameter is not allowed.
    RecordError
        if the record cannot be written.
    """
    for name, value in (("steps", steps), ("every", every)):
        if value < 1:
            raise ConfigError(f"explore.{name}: must be at least 1, not {value}")
    if record is not None:
        check_path(record)
    made = Exploration.empty(environment.m_channels, environment.s_channels, steps)
    saved = -1
    try:
        for step in range(1, steps + 1):
            order, goal = explorer.choose()
            try:
                feedback = environment.execute(order)
            except OrderNotExecutableError:
                made.refused += 1
            else:
                explorer.hear(feedback)
                made.add(feedback, goal)
            if step % every == 0 or step == steps:
                if record is not None and step < steps:
                    write_exploration(made, record)
                    saved = made.count
                if progress is not None:
                    progress(step)
    finally:
        if record is not None and made.count != saved:
            write_exploration(made, record)
    return made


def coverage(places: Floats, channels: Sequence[Channel], cells: int = 20) -> Floats:
    """Return how many cells of a grid have been reached, float64[N], after each of N steps.

    Parameters
    ----------
    places : float64[N, C], values of the channels.
    channels : with finite bounds, between which each has ``cells`` cells; what lies outside is
        counted to none.
    cells : >= 1.

    Raises
    ------
    ChannelError
        if a bound is infinite.
    """
    low, high = bounds_of(channels, "coverage")
    cell = np.floor((places - low) / (high - low) * cells)
    inside = ((places >= low) & (places <= high)).all(axis=1)
    index = np.ravel_multi_index(
        tuple(np.clip(cell, 0, cells - 1).astype(np.int64).T), (cells,) * len(channels)
    )
    _, first = np.unique(index[inside], return_index=True)
    new = np.zeros(len(places))
    new[np.flatnonzero(inside)[first]] = 1.0
    return np.cumsum(new)
