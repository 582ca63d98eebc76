"""Samples of one input on their way to a brain: which of them is shown when.

An input is looked at with its ``delay``: at a time t a brain sees of it what there was at
t - delay.  ``latest`` shows the newest sample, again and again until a newer one comes or it is too
old; ``drop`` shows each sample in one cycle only; ``asof`` shows the newest sample that is not
younger than the cycle's *reference stamp*, so that joint states, say, belong to the image beside
them.  The reference stamp is the oldest among the newest samples of the brain's inputs, those left
out that are too old or that are shown no more: the latest moment of which all of them know.  It
never goes back, unless the clock does.  A delay leaves the other inputs alone: an input counts for
the reference as if it had none, and with ``asof`` it is seen as it was ``delay`` before that.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from ab_ros.values import Observation

ALIGNMENTS = ("latest", "asof", "drop")
SHOWN = "shown already"
"""Why an input is silent whose samples are each shown once."""

CLOCK_GRAIN = 1e-6
"""Stamps that differ by less are of one moment, s: they are sums of decimals."""


@dataclass(frozen=True)
class Alignment:
    """Which samples of an input are shown.

    Parameters
    ----------
    align : one of :data:`ALIGNMENTS`.
    delay : s, >= 0, by which the input is seen later.
    history : samples that are kept for a delay, or for ``asof``, >= 1.
    horizon : s; samples that are older than the newest by more are never asked for.
    """

    align: str = "latest"
    delay: float = 0.0
    history: int = 100
    horizon: float = math.inf

    @property
    def looks_back(self) -> bool:
        """Whether samples before the newest one may be shown."""
        return self.align == "asof" or self.delay > 0.0


class Arrival:
    """A sample that has come, and may still have to be read.

    Parameters
    ----------
    stamp : s.
    read : returns the sample, or None if it cannot be used; called once, when a brain is about to
        see it.
    dated : whether the stamp is the sensor's own; if not, it is taken for one of the cycle that it
        comes for.
    heard : s; up to when the input is known once this has come; its stamp, unless it is a part.
    whole : whether it takes the place of what came before, and is not an addition to it.
    """

    __slots__ = ("_read", "dated", "heard", "shown_in", "stamp", "taken", "whole")

    def __init__(
        self,
        stamp: float,
        read: Observation | Callable[[], Observation | None],
        *,
        dated: bool = True,
        heard: float | None = None,
        whole: bool = True,
    ) -> None:
        self.stamp = stamp
        self._read = read
        self.dated = dated
        self.heard = stamp if heard is None else heard
        self.whole = whole
        self.taken = False
        self.shown_in = -1

    @property
    def observation(self) -> Observation | None:
        """The sample, if it has been read."""
        return self._read if isinstance(self._read, Observation) else None

    def load(self) -> Observation | None:
        """Read the sample, the first time; None if it cannot be used."""
        if not isinstance(self._read, Observation):
            read = self._read()
            if read is not None:
                self._read = read
            return read
        return self._read

    def date(self, stamp: float) -> None:
        """Take it for a sample of a moment."""
        self.stamp = self.heard = stamp
        self.dated = True
        if isinstance(self._read, Observation):
            self._read = replace(self._read, stamp=stamp)


class Mailbox:
    """The samples of one input; its owner sees to it that one thread at a time is in here.

    Attributes
    ----------
    counts : what was dropped, by name.
    heard : the newest stamp that came, shown or not; -inf before.
    why_silent : why nothing was shown when it was last asked, in a few words; empty: something was.
    """

    def __init__(self, alignment: Alignment | None = None) -> None:
        self.alignment = alignment or Alignment()
        self.counts: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Forget all samples: the clock went back."""
        self._samples: list[Arrival] = []
        self.heard = -math.inf
        self.why_silent = ""
        self._proven = False
        self._last_shown = -math.inf

    def shown_before(self) -> None:
        """Note that cycles are counted anew: what was shown has been shown in another run."""
        for sample in self._samples:
            sample.shown_in = -1

    @property
    def proven(self) -> bool:
        """Whether a sample has come that can be read."""
        return self._proven

    @property
    def came(self) -> bool:
        """Whether a sample is here."""
        return bool(self._samples)

    @property
    def undated(self) -> bool:
        """Whether a sample has come that has no stamp yet."""
        return any(not sample.dated for sample in self._samples)

    def fresh(self, after: float) -> bool:
        """Whether a sample has come that is stamped later than ``after`` s, shown or not."""
        return self.heard > after or self.undated

    def skip(self, stamp: float) -> None:
        """Note a sample that is not kept, as there are more than wanted."""
        self.counts["throttled"] += 1
        self.heard = max(self.heard, stamp)

    def put(self, sample: Arrival) -> None:
        """Take a sample."""
        self._proven = self._proven or sample.observation is not None
        if sample.dated:
            self.heard = max(self.heard, sample.heard)
        if self.alignment.looks_back:
            bisect.insort(self._samples, sample, key=lambda s: s.stamp)
            oldest = self._samples[-1].stamp - self.alignment.horizon
            while self._samples[0].stamp < oldest:
                self._drop(self._samples.pop(0), "dropped")
            if len(self._samples) > self.alignment.history:
                self._drop(self._samples.pop(0), "history full")
            return
        # One that was read is kept until the newest is read, too: it may turn out to be damaged.
        known = None
        for older in self._samples:
            if older.observation is not None:
                known = older
        if self._samples and sample.whole:
            self._drop(self._samples[-1], "dropped")
        self._samples = [sample] if known is None or sample.observation else [known, sample]

    def _drop(self, sample: Arrival, why: str) -> None:
        if not sample.taken:
            sample.taken = True
            self.counts[why] += 1

    def date(self, stamp: float) -> None:
        """Take the samples without a stamp for ones of that moment."""
        for sample in self._samples:
            if not sample.dated:
                sample.date(stamp)
                self.heard = max(self.heard, stamp)
        self._samples.sort(key=lambda s: s.stamp)

    def newest(self, until: float, reference: float = math.inf) -> Arrival | None:
        """Return the newest sample that can be seen at a time, be it old; None if there is none.

        Parameters
        ----------
        until : s; an input without a delay is seen up to its newest sample, whatever its stamp.
        reference : s; younger samples are left out; a delay counts from there, too.
        """
        delay = self.alignment.delay
        limit = min(until if delay else math.inf, reference) - delay + CLOCK_GRAIN
        for sample in reversed(self._samples):
            if sample.stamp <= limit:
                return sample
        if not self._samples:
            self.why_silent = "nothing yet"
        elif len(self._samples) < self.alignment.history:
            self.why_silent = "nothing that is old enough yet"
        else:
            self.why_silent = f"its history, {len(self._samples)} samples, goes back less far"
        return None

    def usable(self, sample: Arrival, now: float, max_age: float, cycle: int) -> bool:
        """Whether a sample that can be seen is shown in a cycle; if not, note why."""
        sample.taken = True
        age = now - self.alignment.delay - sample.stamp
        if age > max_age:
            self.counts["too old"] += 1
            self.why_silent = f"the newest is {age:.3g} s old"
            return False
        if self.alignment.align == "drop" and sample.shown_in not in (-1, cycle):
            self.why_silent = SHOWN
            return False
        return True

    def show(self, sample: Arrival, cycle: int) -> None:
        """Note that a sample is shown; older ones never will be."""
        self.why_silent = ""
        if sample.shown_in < 0:
            sample.shown_in = cycle
        self._proven = True
        while self._samples and self._samples[0] is not sample:
            if self._samples[0].stamp > sample.stamp:
                break
            self._drop(self._samples.pop(0), "dropped")

    def remove(self, sample: Arrival) -> None:
        """Forget a sample that cannot be read."""
        self._samples = [other for other in self._samples if other is not sample]


class Throttle:
    """Lets samples through at a rate.

    Time is cut into periods of 1 / ``rate``, and the first sample in each passes: a stream of that
    rate passes whole, though its samples come early and late by turns.

    Parameters
    ----------
    rate : Hz; 0: all pass.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate if rate > 0.0 else 0.0
        self.reset()

    def reset(self) -> None:
        """Begin anew: the clock went back."""
        self._due = -math.inf

    def passes(self, stamp: float) -> bool:
        """Whether a sample may pass, by its stamp in s."""
        if not self._period or math.isinf(stamp):
            return True
        due = self._due
        if stamp < due - CLOCK_GRAIN and stamp > due - 2.0 * self._period:
            return False
        if not due - 2.0 * self._period < stamp < due + self._period:
            due = stamp  # the first, after a pause, or after the clock has gone back
        self._due = due + self._period
        return True
