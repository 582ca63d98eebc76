"""Functions of the user's that are called for events, one after the other."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

Handler = Callable[[Any], object]
"""Gets the payload of an event."""


class Handlers:
    """Handlers by event.  What one raises is logged with its stack trace, and counted.

    Attributes
    ----------
    failed : how often a handler failed, by event.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_event: dict[str, list[Handler]] = {}
        self._called_by: set[int] = set()
        self.failed: Counter[str] = Counter()

    def add(self, event: str, handler: Handler) -> None:
        """Let a handler be called for an event, after those that were added before."""
        with self._lock:
            self._by_event.setdefault(event, []).append(handler)

    def call(self, event: str, payload: Any) -> bool:
        """Call the handlers of an event; return whether there are any."""
        with self._lock:
            handlers = tuple(self._by_event.get(event, ()))
        me = threading.get_ident()
        self._called_by.add(me)
        for handler in handlers:
            try:
                handler(payload)
            except Exception:
                self.failed[event] += 1
                _log.exception("a handler of %s failed", event)
        self._called_by.discard(me)
        return bool(handlers)

    def called_here(self) -> bool:
        """Whether a handler is being called in the current thread."""
        return threading.get_ident() in self._called_by
