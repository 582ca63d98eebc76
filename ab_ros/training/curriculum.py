"""Curricula: which lesson an episode belongs to, what it sets, and when the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.training.definition import BrainDefinition, LessonSettings, function_at
from ab_ros.training.schema import Message

RewardFunction = Callable[[Message, Message, Message, float, bool], float]
"""Returns the reward of (state, action, after, the simulator's reward, terminal)."""

_COLUMNS = ("reward", "steps", "success", "lesson")


@dataclass(frozen=True)
class EpisodePlan:
    """What an episode is to be.

    Attributes
    ----------
    number : counts from 1.
    lesson : its place in the curriculum.
    objective : the lesson's name.
    properties : what it sets.
    seed : of all that is random in it: the same number and training seed give the same.
    reward : gives the reward instead of the simulator, or None.
    """

    number: int
    lesson: int
    objective: str
    properties: Message
    seed: int
    reward: RewardFunction | None


class Curriculum:
    """The lessons of a training, and how the episodes went.

    Parameters
    ----------
    definition : of the brain.

    Raises
    ------
    ConfigError
        if a lesson's reward function cannot be found.
    """

    def __init__(self, definition: BrainDefinition) -> None:
        self.lessons: Sequence[LessonSettings] = definition.curriculum
        self.seed = definition.training.seed
        self._schema = definition.simulator.config_schema
        self._rewards: list[RewardFunction | None] = [
            function_at(each.reward, "reward") for each in self.lessons
        ]
        self._results: list[tuple[float, int, int, int]] = []
        self.lesson = 0
        self.finished = False

    @property
    def episodes(self) -> int:
        """Episodes that were finished."""
        return len(self._results)

    @property
    def successes(self) -> int:
        """How many of them were successes."""
        return sum(1 for result in self._results if result[2] > 0)

    @property
    def steps(self) -> int:
        """Steps of the episodes that were finished."""
        return sum(result[1] for result in self._results)

    @property
    def last_reward(self) -> RewardFunction | None:
        """The reward function of the last lesson, or None."""
        return self._rewards[-1]

    def plan(self) -> EpisodePlan:
        """Return what the next episode is to be."""
        number = self.episodes + 1
        lesson = self.lessons[self.lesson]
        return EpisodePlan(
            number,
            self.lesson,
            lesson.objective,
            self._schema.read(self._drawn(lesson.config, number)),
            episode_seed(self.seed, number),
            self._rewards[self.lesson],
        )

    def finish(self, reward: float, steps: int, success: bool | None) -> None:
        """Take note of an episode, and go on to the next lesson if this one has ended.

        Parameters
        ----------
        reward : of the whole episode.
        steps : that it took.
        success : whether it was one, if the simulator says so; None: as the lesson says.
        """
        lesson = self.lessons[self.lesson]
        if success is None and lesson.success_reward is not None:
            success = reward >= lesson.success_reward
        self._results.append((reward, steps, -1 if success is None else success, self.lesson))
        if not self._has_ended(lesson):
            return
        if self.lesson + 1 < len(self.lessons):
            self.lesson += 1
        else:
            self.finished = True

    def results(self) -> dict[str, NDArray[Any]]:
        """Return of all finished episodes reward, steps, success (-1: not told) and lesson."""
        table = np.array(self._results, np.float64).reshape(-1, len(_COLUMNS))
        kinds = (np.float64, np.int64, np.int8, np.int64)
        return {
            name: column.astype(kind)
            for name, column, kind in zip(_COLUMNS, table.T, kinds, strict=True)
        }

    def restore(self, results: Mapping[str, NDArray[Any]]) -> None:
        """Go on after the episodes that :meth:`results` has told of."""
        columns = [results[name].tolist() for name in _COLUMNS]
        self.lesson, self.finished, self._results = 0, False, []
        for reward, steps, success, _ in zip(*columns, strict=True):
            self.finish(reward, int(steps), None if success < 0 else bool(success))

    def _has_ended(self, lesson: LessonSettings) -> bool:
        mine = [result for result in self._results if result[3] == self.lesson]
        if lesson.episodes and len(mine) >= lesson.episodes:
            return True
        if len(mine) < lesson.over:
            return False
        last = mine[-lesson.over :]
        share = sum(1 for result in last if result[2] > 0) / lesson.over
        if lesson.until_success and share >= lesson.until_success:
            return True
        mean = sum(result[0] for result in last) / lesson.over
        return lesson.until_reward is not None and mean >= lesson.until_reward

    def _drawn(self, config: Mapping[str, Any], number: int) -> dict[str, Any]:
        random = np.random.default_rng([self.seed, number, 1])
        drawn = {}
        for name, given in config.items():
            field = self._schema.fields[name]
            if not isinstance(given, (list, tuple)):
                drawn[name] = given
            elif field.type.startswith("Float"):
                drawn[name] = random.uniform(*given)
            elif field.values:
                between = [v for v in field.values if given[0] <= v <= given[1]]
                drawn[name] = between[random.integers(len(between))]
            else:
                drawn[name] = int(random.integers(given[0], given[1], endpoint=True))
        return drawn


def episode_seed(seed: int, number: int) -> int:
    """Return the seed of an episode: of a number below 2^31, whatever the training's seed is."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
