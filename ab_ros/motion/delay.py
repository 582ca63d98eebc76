"""A delay line of deltas, to study what a late command does to a sensorimotor loop."""

from __future__ import annotations

import numpy as np

from ab_ros.motion.pursuit import Floats


class DelayLine:
    """Gives deltas back some timesteps later; before them, silence.

    It counts timesteps of executed cycles, not time: the same cycles come out the same.

    Parameters
    ----------
    delay : s, rounded to whole timesteps.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self._waiting: Floats | None = None

    def clear(self) -> None:
        """Forget what waits: after a stop nothing of what was asked before it may be executed."""
        self._waiting = None

    def push(self, deltas: Floats, dt: float) -> Floats:
        """Take the deltas [T, C] of a cycle of this timestep, s; return those that are due."""
        steps = round(self.delay / dt)
        if not steps:
            return deltas
        waiting = self._waiting
        if waiting is None or waiting.shape != (steps, deltas.shape[1]):
            waiting = np.zeros((steps, deltas.shape[1]))
        line = np.concatenate((waiting, deltas))
        self._waiting = line[len(deltas) :]
        return line[: len(deltas)]
