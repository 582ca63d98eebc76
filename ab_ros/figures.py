"""Figures of a running loop: rates, ages, latencies and counts, cheap enough for every cycle."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from ab_ros.errors import ConfigError


class LatencyWindow:
    """The latest latencies of one stage, in a ring buffer that is allocated once.

    One thread may add while another reads; a reader then misses at most the sample being written.

    Parameters
    ----------
    capacity : how many of the latest samples the percentiles are taken over, >= 1.
    """

    def __init__(self, capacity: int = 1024) -> None:
        if capacity < 1:
            raise ConfigError(f"LatencyWindow.capacity: must be at least 1, not {capacity}")
        self._ring = np.zeros(capacity, np.float64)
        self.count = 0

    def add(self, seconds: float) -> None:
        """Add one latency in s; a value that is not finite is left out."""
        if math.isfinite(seconds):
            self._ring[self.count % len(self._ring)] = seconds
            self.count += 1

    def percentile(self, percent: float) -> float:
        """Return a percentile (0 .. 100) of the window in s; NaN while it is empty."""
        filled = min(self.count, len(self._ring))
        return float(np.percentile(self._ring[:filled], percent)) if filled else math.nan

    @property
    def p50(self) -> float:
        """Median in s; NaN while the window is empty."""
        return self.percentile(50.0)

    @property
    def p99(self) -> float:
        """99th percentile in s; NaN while the window is empty."""
        return self.percentile(99.0)

    def clear(self) -> None:
        """Forget all samples."""
        self.count = 0


class RateMeter:
    """Rate and age of a stream of events, over the latest of them and at most ``horizon`` s."""

    def __init__(
        self,
        horizon: float = 2.0,
        capacity: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not horizon > 0.0 or capacity < 2:
            raise ConfigError(
                f"RateMeter: horizon must be greater than 0 s (got {horizon})"
                f" and capacity at least 2 (got {capacity})"
            )
        self._times = np.zeros(capacity, np.float64)
        self._horizon = horizon
        self._clock = clock
        self.count = 0

    def mark(self) -> None:
        """Note that an event happened now."""
        self._times[self.count % len(self._times)] = self._clock()
        self.count += 1

    @property
    def age(self) -> float:
        """Time since the latest event, in s; infinite before the first."""
        if not self.count:
            return math.inf
        return float(self._clock() - self._times[(self.count - 1) % len(self._times)])

    @property
    def rate(self) -> float:
        """Events per second; it falls to 0 when they stop."""
        now = self._clock()
        times = self._times[: min(self.count, len(self._times))]
        recent = times[times > now - self._horizon]
        if recent.size < 2:
            return 0.0
        span = float(recent.max() - recent.min())
        # A stream that has paused for longer than its own period slows down at once.
        span = max(span, now - float(recent.min()) - span / (recent.size - 1))
        return float((recent.size - 1) / span) if span > 0.0 else 0.0


class Figures:
    """All figures of one node or loop, by name, made when first used; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rates: dict[str, RateMeter] = {}
        self._latencies: dict[str, LatencyWindow] = {}
        self._counts: Counter[str] = Counter()
        self._values: dict[str, float] = {}

    def mark(self, name: str) -> None:
        """Note that an event of the stream ``name`` happened: gives its rate and age."""
        self.rate(name).mark()

    def took(self, name: str, seconds: float) -> None:
        """Note a latency of the stage ``name``, in s."""
        self.latency(name).add(seconds)

    def add(self, name: str, n: int = 1) -> None:
        """Count what was refused, dropped or ignored."""
        with self._lock:
            self._counts[name] += n

    def set(self, name: str, value: float) -> None:
        """Set a figure that has a current value, such as a real-time factor."""
        with self._lock:
            self._values[name] = value

    def rate(self, name: str) -> RateMeter:
        """Return the meter of the stream ``name``."""
        with self._lock:
            return self._rates.setdefault(name, RateMeter())

    def latency(self, name: str) -> LatencyWindow:
        """Return the window of the stage ``name``."""
        with self._lock:
            return self._latencies.setdefault(name, LatencyWindow())

    def counts(self) -> dict[str, int]:
        """Return a copy of the counters, ordered by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def snapshot(self) -> dict[str, float]:
        """Return all figures as ``{"joint_states rate (Hz)": 99.8, …}``, ordered by kind and name.

        Latencies are in ms, ages in s.
        """
        with self._lock:
            rates = sorted(self._rates.items())
            latencies = sorted(self._latencies.items())
            counts = sorted(self._counts.items())
            values = sorted(self._values.items())
        figures: dict[str, float] = {}
        for name, meter in rates:
            figures[f"{name} rate (Hz)"] = meter.rate
            figures[f"{name} age (s)"] = meter.age
        for name, window in latencies:
            figures[f"{name} p50 (ms)"] = window.p50 * 1e3
            figures[f"{name} p99 (ms)"] = window.p99 * 1e3
        figures.update(values)
        figures.update({name: float(count) for name, count in counts})
        return figures
