"""From a simulator's rewards to the brain's: directly, or by the error of a learned prediction."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.nef import NefSettings, NefTuning
from ab_ros.errors import AbRosError
from ab_ros.training.definition import RewardSettings

_RMS_STEPS = 200.0
"""Steps over which the usual size of an error is taken."""


class Teacher(ABC):
    """Turns the reward of a step into a modulation m in [-1, 1]; see :class:`RewardSettings`.

    Parameters
    ----------
    settings : how.
    fields : of the state.
    """

    def __init__(self, settings: RewardSettings, fields: Sequence[str]) -> None:
        self.settings = settings
        self._shaping = np.array([settings.shaping.get(name, 0.0) for name in fields])
        self._shaped = bool(self._shaping.any())
        self._potential = 0.0

    def begin(self, state: NDArray[np.float64], potential: float = 0.0) -> None:
        """Begin an episode in a state, float64[fields] in [-1, 1], of some more potential."""
        self._potential = self._potential_of(state) + potential

    @abstractmethod
    def judge(
        self, reward: float, after: NDArray[np.float64], terminal: bool, potential: float = 0.0
    ) -> float:
        """Return m for a step that led to the state ``after``, of some more potential."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        del state

    def _worth(
        self, reward: float, after: NDArray[np.float64], terminal: bool, potential: float
    ) -> float:
        s = self.settings
        worth = (reward + s.offset) / s.scale
        before, self._potential = self._potential, self._potential_of(after) + potential
        if terminal:
            return worth + s.terminal - before
        return worth + s.discount * self._potential - before

    def _potential_of(self, state: NDArray[np.float64]) -> float:
        return -float(self._shaping @ (state * state)) if self._shaped else 0.0


class DirectTeacher(Teacher):
    """The reward itself teaches."""

    def judge(
        self, reward: float, after: NDArray[np.float64], terminal: bool, potential: float = 0.0
    ) -> float:
        """Return the reward of the step, scaled and clipped."""
        return min(max(self._worth(reward, after, terminal, potential), -1.0), 1.0)


class PredictionErrorTeacher(Teacher):
    """The error of a prediction teaches, as dopamine does (Schultz, Dayan & Montague, 1997).

    The critic of an actor-critic with spiking actors (N. Frémaux, H. Sprekeler and W. Gerstner,
    "Reinforcement learning using a continuous time actor-critic framework with spiking neurons",
    PLoS Computational Biology 9, 2013).  Here the critic does not spike: V is linear in the rates
    of cells with random preferred directions (:class:`~ab_ros.codec.nef.NefTuning`), and learns by
    TD(λ) (R. S. Sutton, Machine Learning 3, 1988) with a step that is normalised by the size of the
    features.
    """

    def __init__(self, settings: RewardSettings, fields: Sequence[str]) -> None:
        super().__init__(settings, fields)
        self._tuning = NefTuning(
            NefSettings(
                values=len(fields),
                cells=settings.cells,
                response="rectified",
                max_rate=(1.0, 1.0),
                intercept=(-0.9, 0.9),
                tuning_seed=1,
            )
        )
        self._weights = np.zeros(settings.cells + 1)
        self._trace = np.zeros(settings.cells + 1)
        self._features = np.zeros(settings.cells + 1)
        self._power = 0.01

    def begin(self, state: NDArray[np.float64], potential: float = 0.0) -> None:
        """Begin an episode in a state, of some more potential."""
        super().begin(state, potential)
        self._trace[:] = 0.0
        self._features = self._of(state)

    def judge(
        self, reward: float, after: NDArray[np.float64], terminal: bool, potential: float = 0.0
    ) -> float:
        """Return the error of the prediction, and correct it."""
        s = self.settings
        before, features = self._features, self._of(after)
        coming = 0.0 if terminal else s.discount * float(self._weights @ features)
        error = (
            self._worth(reward, after, terminal, potential) + coming - float(self._weights @ before)
        )
        self._trace *= s.discount * s.trace
        self._trace += before
        self._weights += (s.rate * error / float(before @ before)) * self._trace
        self._power += (error * error - self._power) / _RMS_STEPS
        self._features = features
        usual = s.gain * math.sqrt(self._power) + 1e-3
        return min(max(error / usual, -1.0), 1.0)

    def value(self, state: NDArray[np.float64]) -> float:
        """Return the prediction V of a state, float64[fields] in [-1, 1]."""
        return float(self._weights @ self._of(state))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return weights and the usual size of an error."""
        return {"weights": self._weights.copy(), "power": np.array([self._power])}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take weights and the usual size of an error back."""
        if state["weights"].shape != self._weights.shape:
            raise AbRosError("checkpoint: its prediction has another number of cells")
        self._weights = np.array(state["weights"], np.float64)
        self._power = float(state["power"][0])

    def _of(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        features = np.empty(self.settings.cells + 1)
        # The vectors of the corners of the range are longer than 1; there the curves just go on.
        features[:-1] = self._tuning.rates(state)
        features[-1] = 1.0
        return features


def make_teacher(settings: RewardSettings, fields: Sequence[str]) -> Teacher:
    """Return the teacher that settings name, for states of these fields."""
    kind = DirectTeacher if settings.method == "direct" else PredictionErrorTeacher
    return kind(settings, fields)
