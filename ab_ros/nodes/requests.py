"""Requests of services to the thread that owns something, granted when it has time for them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from ab_ros.errors import AbRosError, BrainError

Act = Callable[[], None]


class Requests:
    """What a thread is asked to do between two pieces of its own work.

    Parameters
    ----------
    wake : called when something was asked for, to make the thread look.
    patience : s that is waited for it.
    """

    def __init__(self, wake: Callable[[], None], patience: float = 10.0) -> None:
        self._wake, self._patience = wake, patience
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Act, list[AbRosError | None]]] = deque()
        self._open = False

    @property
    def pending(self) -> bool:
        """Whether something was asked for."""
        return bool(self._waiting)

    def open(self) -> None:
        """Take requests from now on, for a thread that is about to run."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Grant what is left, and take no more; in the thread, at its end."""
        with self._changed:
            self._open = False
        self.grant()

    def ask(self, act: Act) -> None:
        """Have something done by the thread and wait for it; without a thread, do it here.

        Raises
        ------
        AbRosError
            if it failed, or the thread was busy for too long.
        """
        outcome: list[AbRosError | None] = []
        with self._changed:
            if self._open:
                request = (act, outcome)
                self._waiting.append(request)
                self._wake()
                if not self._changed.wait_for(lambda: bool(outcome), self._patience):
                    if request in self._waiting:
                        self._waiting.remove(request)
                    raise BrainError(f"busy for more than {self._patience:g} s: try again later")
                if outcome[0] is not None:
                    raise outcome[0]
                return
        act()

    def grant(self) -> None:
        """Do what was asked for; in the thread."""
        while self._waiting:
            act, outcome = self._waiting.popleft()
            error: AbRosError | None = None
            try:
                act()
            except AbRosError as failure:
                error = failure
            with self._changed:
                outcome.append(error)
                self._changed.notify_all()
