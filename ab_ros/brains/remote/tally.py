"""What was refused, dropped or ignored: counted by name, with the last reason in words."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Counters that several threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last = ""

    def add(self, name: str, sentence: str = "", count: int = 1) -> None:
        """Count something; ``sentence`` says why."""
        with self._lock:
            self._counts[name] += count
            self._last = sentence or self._last

    @property
    def last(self) -> str:
        """The last sentence."""
        return self._last

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        with self._lock:
            return dict(self._counts)
