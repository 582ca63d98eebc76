"""Waiting between attempts: exponential back-off with full jitter."""

from __future__ import annotations

import random

_MOST_DOUBLINGS = 30


class Backoff:
    """Waits drawn uniformly from 0 to a bound that doubles from attempt to attempt.

    Robots that lost the same server at the same time then do not come back at the same time.

    Parameters
    ----------
    first : s, bound of the first wait.
    most : s, largest bound.
    seed : of the draws; None: another one each time.
    """

    def __init__(self, first: float, most: float, seed: int | None = None) -> None:
        self._first, self._most = first, most
        self._random = random.Random(seed)
        self.attempts = 0

    def wait(self) -> float:
        """Return the next wait in s."""
        bound = min(self._most, self._first * 2 ** min(self.attempts, _MOST_DOUBLINGS))
        self.attempts += 1
        return self._random.uniform(0.0, bound)

    def reset(self) -> None:
        """Begin again with the first bound."""
        self.attempts = 0
