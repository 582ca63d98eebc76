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

    Attributes
    ----------
    note : what else the line says, at its end.

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
        self._skipped = 0
        self.note = ""
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream.isatty()
        self._seen = False
        self._begin = self._shown = time.monotonic()

    def skip(self, steps: int) -> None:
        """Take note of steps that were done before: they say nothing of how fast it goes."""
        self.done += steps
        self._skipped += steps

    def advance(self, steps: int) -> None:
        """Take note of steps that were done; show it, at most ten times a second."""
        self.done += steps
        if self.due or self.done >= self.total:
            self.show()

    @property
    def due(self) -> bool:
        """Whether there is a terminal, on which the line is a tenth of a second old."""
        return self._visible and time.monotonic() - self._shown >= _PERIOD

    def show(self) -> None:
        """Show the line as it is now."""
        if self._visible:
            self._shown = time.monotonic()
            self._seen = True
            self._stream.write(f"\r{self.line(self._shown - self._begin)}\033[K")
            self._stream.flush()

    def line(self, seconds: float) -> str:
        """Return the line as it is after ``seconds``."""
        share = min(1.0, self.done / self.total)
        filled = round(_WIDTH * share)
        bar = "━" * filled + "─" * (_WIDTH - filled)
        rate = (self.done - self._skipped) / seconds if seconds > 0.0 else 0.0
        parts = [f"{bar} {share:4.0%}", f"{self.done} / {self.total} {self.unit}"]
        if rate:
            left = (self.total - self.done) / rate
            speed = f"{rate:{'.0f' if rate >= 10 else '.2g'}}"
            parts += [f"{speed} {self.unit}/s", f"{left:.0f} s left"]
        return "".join(f"  {part}" for part in (*parts, self.note) if part)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._seen:
            self._stream.write("\n")
            self._stream.flush()
