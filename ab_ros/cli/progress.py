"""A progress bar on the terminal; nothing at all where it is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

_WIDTH = 30
_PERIOD = 0.1


class ProgressBar:
    """One line that says how far a run is, how fast it goes, and how long it will take.

    Parameters
    ----------
    total : steps in all, at least 1.
    unit : what a step is called.
    stream : where the line goes; standard error by default.

    Examples
    --------
    ::

        with ProgressBar(30_000, "ticks") as progress:
            ...
            progress.advance(100)
    """

    def __init__(self, total: int, unit: str, stream: TextIO | None = None) -> None:
        self.total = total
        self.unit = unit
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream.isatty()
        self._begin = self._shown = time.monotonic()

    def advance(self, steps: int) -> None:
        """Take note of steps that were done; show it, at most ten times a second."""
        self.done += steps
        now = time.monotonic()
        if self._visible and (now - self._shown >= _PERIOD or self.done >= self.total):
            self._shown = now
            self._stream.write(f"\r{self.line(now - self._begin)}\033[K")
            self._stream.flush()

    def line(self, seconds: float) -> str:
        """Return the line as it is after ``seconds``."""
        share = min(1.0, self.done / self.total)
        filled = round(_WIDTH * share)
        bar = "━" * filled + "─" * (_WIDTH - filled)
        rate = self.done / seconds if seconds > 0.0 else 0.0
        left = (self.total - self.done) / rate if rate else 0.0
        return (
            f"  {bar} {share:4.0%}  {self.done} / {self.total} {self.unit}"
            f"  {rate:.0f} {self.unit}/s  {left:.0f} s left"
        )

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._visible and self.done:
            self._stream.write("\n")
            self._stream.flush()
