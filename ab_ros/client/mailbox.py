"""A bounded queue between two threads that drops its oldest item, and says so."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest ``capacity`` items.

    Parameters
    ----------
    capacity : 1: only the newest item counts.

    Attributes
    ----------
    dropped : items that had to make room.
    """

    def __init__(self, capacity: int) -> None:
        self._changed = threading.Condition()
        self._items: deque[T] = deque(maxlen=capacity)
        self._newest: T | None = None
        self._woken = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add an item, and drop the oldest one if there is no room."""
        with self._changed:
            self.dropped += len(self._items) == self._items.maxlen
            self._items.append(item)
            self._newest = item
            self._changed.notify_all()

    def take(self, timeout: float) -> T | None:
        """Remove and return the oldest item; None after ``timeout`` s or :meth:`wake`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._woken, timeout)
            self._woken = False
            return self._items.popleft() if self._items else None

    def clear(self) -> None:
        """Forget all items: they belong to what was before."""
        with self._changed:
            self._items.clear()

    def wake(self) -> None:
        """Let :meth:`take` return, now or when it is called next."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def outdated(self, item: T) -> bool:
        """Whether a newer item was put in."""
        return self._newest is not item
