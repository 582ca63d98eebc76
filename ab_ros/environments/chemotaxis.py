"""Chemotaxis: a controller finds food for a worm in an arena, and how well it does is measured."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.config import setting
from ab_ros.environments.arena import Arena, ArenaSettings
from ab_ros.environments.senses import SensoryDrive, SensorySettings
from ab_ros.environments.worm import Worm, WormSettings
from ab_ros.errors import WorldError

_ROOM = 1.5
"""A worm does not start nearer to the wall, body lengths."""


class Controller(Protocol):
    """What moves the worm: a brain, or a rule."""

    def reset(self, seed: int) -> None:
        """Begin a new trial; what was learned may stay."""

    def step(
        self, currents: NDArray[np.float64], proprioception: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the activation of dorsal and ventral muscles for one tick, float64[24] each.

        Parameters
        ----------
        currents : float64[81], of all sensors, in the order of
            :data:`~ab_ros.environments.senses.SENSORS`; only valid during the call.
        proprioception : float64[24] in [-1, 1], bend felt by each segment, dorsal is positive;
            only valid during the call.
        """

    def reward(self, modulation: float) -> None:
        """Take a reward in [-1, 1], after a tick."""


@dataclass(frozen=True)
class ChemotaxisSettings:
    """The task."""

    arena: ArenaSettings = setting(ArenaSettings, doc="The arena and its food.")
    worm: WormSettings = setting(WormSettings, doc="The body.")
    senses: SensorySettings = setting(SensorySettings, doc="The sensors.")
    start_distance: float = setting(
        20.0, doc="Distance of a start from the first food.", unit="body lengths", gt=0, le=1e6
    )
    reward_interval: int = setting(
        200, doc="Ticks between rewards by the sign of the change of concentration.", ge=1, le=10**6
    )
    wall_reward: float = setting(
        -0.5, doc="Reward instead, while the head is near the wall.", ge=-1, le=1
    )
    wall_range: float = setting(
        1.0, doc="Distance that counts as near the wall.", unit="body lengths", ge=0, le=100
    )
    record_every: int = setting(50, doc="Ticks between recorded postures.", ge=1, le=10**6)


@dataclass(frozen=True)
class Start:
    """Where a trial begins: the body's centre, body lengths, and its heading, rad."""

    x: float
    y: float
    heading: float


@dataclass(frozen=True)
class Track:
    """What a trial showed; n postures, the first before the first tick, the last after the last.

    Attributes
    ----------
    start : where it began.
    ticks : int64[n], ticks before each posture.
    points : float64[n, 25, 2], the ends of the segments from head to tail, body lengths.
    centre : float64[n, 2], of the body, body lengths.
    concentration : float64[n], at the body's centre.
    distance : float64[n], of the body's centre to the nearest food, body lengths.
    rewards : float64[r], in order.
    wall_ticks : ticks in which the head was near the wall.
    seconds : how long the trial took on this computer.
    """

    start: Start
    ticks: NDArray[np.int64]
    points: NDArray[np.float64]
    centre: NDArray[np.float64]
    concentration: NDArray[np.float64]
    distance: NDArray[np.float64]
    rewards: NDArray[np.float64]
    wall_ticks: int
    seconds: float

    @property
    def index(self) -> float:
        """The chemotaxis index of the whole trial."""
        return chemotaxis_index(float(self.distance[0]), float(self.distance[-1]))

    @property
    def ticks_per_second(self) -> float:
        """Ticks per second of this computer's time."""
        return float(self.ticks[-1]) / max(self.seconds, 1e-9)


def chemotaxis_index(first: float, last: float) -> float:
    """Return CI = (first − last) / max(first, 0.1) for distances from food in body lengths.

    1 is on the food, 0 as far from it as before, below 0 farther.
    """
    return (first - last) / max(first, 0.1)


def index_bound(speed: float, ticks: int, distance: float) -> float:
    """Return the greatest index at a top speed.

    Parameters
    ----------
    speed : body lengths per 1000 ticks.
    ticks : of the trial.
    distance : from the food at the start, body lengths.
    """
    return chemotaxis_index(distance, max(distance - speed * ticks / 1000.0, 0.0))


def random_starts(
    count: int, seed: int, settings: ChemotaxisSettings | None = None
) -> tuple[Start, ...]:
    """Return places at ``start_distance`` from the first food, of random bearing and heading.

    Bearings are uniform among those that lie inside the arena.  Start k depends on the seed and k
    only: more starts begin with the same ones.

    Raises
    ------
    WorldError
        if the count or the seed is negative, or no place at that distance is inside the arena.
    """
    settings = settings or ChemotaxisSettings()
    if count < 0 or seed < 0:
        raise WorldError(f"starts: count ({count}) and seed ({seed}) must be at least 0")
    food = settings.arena.peaks[0]
    room = settings.arena.radius - _ROOM
    distance = settings.start_distance
    nearest = abs(math.hypot(food.x, food.y) - distance)
    if nearest >= room:
        raise WorldError(
            f"start_distance: no place {distance:g} from the food at ({food.x:g}, {food.y:g}) is at"
            f" least {_ROOM} inside the wall at {settings.arena.radius:g}"
        )
    made = []
    for index in range(count):
        random = np.random.default_rng((seed, index))
        while True:
            bearing, heading = random.uniform(-math.pi, math.pi, 2).tolist()
            x = food.x + distance * math.cos(bearing)
            y = food.y + distance * math.sin(bearing)
            if math.hypot(x, y) <= room:
                break
        made.append(Start(x, y, heading))
    return tuple(made)


class Chemotaxis:
    """The world of the task, tick by tick: arena, worm, senses and reward.

    Parameters
    ----------
    settings : of the task.
    blind : the control without sensors: no sensor feels the arena.  Rewards are given all the same.
    backend : of the worm.

    Attributes
    ----------
    tick : ticks since the start.
    wall_ticks : ticks since the start in which the head was near the wall.
    """

    def __init__(
        self,
        settings: ChemotaxisSettings | None = None,
        *,
        blind: bool = False,
        backend: Literal["auto", "numpy", "numba"] = "auto",
    ) -> None:
        self.settings = s = settings or ChemotaxisSettings()
        self.arena = Arena(s.arena)
        self.worm = Worm(s.worm, radius=s.arena.radius, backend=backend)
        self.senses = SensoryDrive(self.arena, s.senses, dt=s.worm.dt, blind=blind)
        self._near = max(s.arena.radius - s.wall_range, 0.0)
        self.tick = 0
        self.wall_ticks = 0
        self._before = 0.0

    def reset(self, start: Start) -> None:
        """Lay the worm down straight at a start."""
        self.worm.place((start.x, start.y), start.heading)
        self.senses.reset()
        self.tick = self.wall_ticks = 0
        self._before = self.concentration

    @property
    def concentration(self) -> float:
        """Concentration at the body's centre, which does not sway as the head does."""
        return float(self.arena.concentration(self.worm.centre))

    def currents(self) -> NDArray[np.float64]:
        """Return the currents of all sensors, float64[81]: call it once before each step."""
        return self.senses.currents(self.worm)

    def step(self, dorsal: ArrayLike, ventral: ArrayLike) -> float | None:
        """Advance the worm one tick, and return the reward if one is due.

        Every ``reward_interval`` ticks: +1 if the concentration at the body's centre has risen
        since the last time, −1 if it has fallen, but ``wall_reward`` while the head is near the
        wall.
        """
        self.worm.step(dorsal, ventral)
        self.tick += 1
        x, y = self.worm.pose[:2].tolist()
        near = math.hypot(x, y) > self._near
        self.wall_ticks += near
        if self.tick % self.settings.reward_interval:
            return None
        before, self._before = self._before, self.concentration
        if near:
            return self.settings.wall_reward
        return float(np.sign(self._before - before))


def run_trial(
    controller: Controller,
    start: Start,
    ticks: int,
    world: Chemotaxis | None = None,
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Track:
    """Let a controller move the worm from a start, and record where it goes.

    Parameters
    ----------
    controller : is reset first.
    start : where the worm is laid down.
    ticks : >= 1.
    world : the task; by default one of the default settings.
    seed : that the controller is reset with.
    progress : is called with the number of ticks done, whenever a posture is recorded.

    Raises
    ------
    WorldError
        if ``ticks`` is below 1, the start lies in the wall, or the controller's answer is not
        finite or has the wrong form.
    """
    if ticks < 1:
        raise WorldError(f"trial: ticks must be at least 1, not {ticks}")
    world = world or Chemotaxis()
    controller.reset(seed)
    world.reset(start)
    every = world.settings.record_every
    when = np.array([*range(0, ticks, every), ticks])
    points = np.empty((when.size, *world.worm.points.shape))
    centre = np.empty((when.size, 2))
    rewards = []
    began = time.perf_counter()
    points[0], centre[0] = world.worm.points, world.worm.centre
    for row, (first, last) in enumerate(itertools.pairwise(when.tolist()), start=1):
        for _ in range(last - first):
            dorsal, ventral = controller.step(world.currents(), world.worm.proprioception)
            reward = world.step(dorsal, ventral)
            if reward is not None:
                rewards.append(reward)
                controller.reward(reward)
        points[row], centre[row] = world.worm.points, world.worm.centre
        if progress is not None:
            progress(last)
    return Track(
        start=start,
        ticks=when,
        points=points,
        centre=centre,
        concentration=world.arena.concentration(centre),
        distance=world.arena.food_distance(centre),
        rewards=np.array(rewards),
        wall_ticks=world.wall_ticks,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class PairedDifference:
    """Mean of paired differences and its bootstrap interval from ``low`` to ``high``."""

    mean: float
    low: float
    high: float
    pairs: int


def paired_difference(
    values: Sequence[float],
    controls: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference:
    """Return by how much ``values`` exceed ``controls``, start by start.

    The interval is the percentile bootstrap over pairs (Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, ch. 13).

    Raises
    ------
    WorldError
        if the lists differ in length, have fewer than two values, or hold one that is not finite.
    """
    difference = np.asarray(values, np.float64), np.asarray(controls, np.float64)
    if difference[0].shape != difference[1].shape or difference[0].ndim != 1:
        raise WorldError(
            f"paired difference: needs two lists of one length, not {difference[0].shape} and"
            f" {difference[1].shape}"
        )
    paired = difference[0] - difference[1]
    if paired.size < 2 or not np.all(np.isfinite(paired)):
        raise WorldError("paired difference: needs at least two pairs of finite values")
    if not 0.0 < confidence < 1.0 or resamples < 1:
        raise WorldError(
            f"paired difference: confidence ({confidence}) must be within (0, 1) and resamples"
            f" ({resamples}) at least 1"
        )
    random = np.random.default_rng(seed)
    means = paired[random.integers(0, paired.size, (resamples, paired.size))].mean(axis=1)
    low, high = np.quantile(means, (0.5 * (1 - confidence), 0.5 * (1 + confidence))).tolist()
    return PairedDifference(float(paired.mean()), low, high, paired.size)
