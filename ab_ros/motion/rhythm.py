"""How often a brain's cycles come, as the robot sees it: the measure of when they are late."""

from __future__ import annotations

import math
import statistics
from collections import deque

LONGEST_INTERVAL = 1.0
"""A longer time between two cycles is a pause and no part of the rhythm, s."""
_KEPT = 15


class CycleRhythm:
    """The period of fresh cycles: the median of the last intervals, pauses left out."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_KEPT)
        self._last = math.nan

    @property
    def period(self) -> float:
        """Return the period, s; 0 as long as nothing was measured."""
        return statistics.median(self._intervals) if self._intervals else 0.0

    def beat(self, now: float) -> None:
        """Note a fresh cycle at a robot time, s."""
        interval = now - self._last
        self._last = now
        # The clock may stand still, or have gone back; of the first cycle it is not a number.
        if 0.0 < interval <= LONGEST_INTERVAL:
            self._intervals.append(interval)
