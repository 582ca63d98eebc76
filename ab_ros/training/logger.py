"""Messages to standard error, by domains that are switched on by name."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import ClassVar


class Logger:
    """Writes messages of the domains that are enabled; all loggers share what is enabled.

    ``ab_ros.training`` has the domains ``config``, ``episode`` and ``record``.  A message may be a
    format, ``"%d steps"``, with its values; whatever is passed, a call raises nothing.

    Examples
    --------
    >>> log = Logger()
    >>> log.set_enabled("arm")
    >>> log.arm("at rest")  # to standard error, with time and domain
    >>> log.leg("at rest")  # not enabled: nothing
    """

    _enabled: ClassVar[set[str]] = set()
    _all: ClassVar[list[bool]] = [False]

    def set_enabled(self, key: str) -> None:
        """Enable the domain ``key``, for all loggers of this process."""
        self._enabled.add(key)

    def set_enable_all(self, enable_all: bool) -> None:
        """Enable all domains, or only those that were enabled by name, as ``--verbose`` does."""
        self._all[0] = bool(enable_all)

    def __getattr__(self, domain: str) -> Callable[..., None]:
        if domain.startswith("__"):
            raise AttributeError(domain)
        if not (self._all[0] or domain in self._enabled):
            return _silence

        def write(message: object = "", *values: object, **named: object) -> None:
            now = time.time()
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            text = _text(message, values, named)
            line = f"{stamp}.{int(now % 1 * 1000):03d} [{domain}] {text}\n"
            if sys.stderr is not None:
                with suppress(OSError, ValueError):  # It is closed, or nobody reads any more.
                    sys.stderr.write(line)

        return write


def _silence(*_: object, **__: object) -> None:
    pass


def _text(message: object, values: tuple[object, ...], named: Mapping[str, object]) -> str:
    """Return a message with its values in it, or behind it where they do not fit."""
    text, behind = _shown(message), list(values)
    if values:
        with suppress(Exception):  # A value may raise anything when it is asked for its text.
            text, behind = text % values, []
    return " ".join(
        [text, *map(_shown, behind), *(f"{name}={_shown(value)}" for name, value in named.items())]
    )


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} without a text>"
