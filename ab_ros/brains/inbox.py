"""What reaches a brain's loop from other threads: newest samples, and events that all count."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ab_ros.values import Deviation, Need, Observation, Reward


@dataclass
class CycleEvents:
    """What was told about one cycle."""

    done: bool = False
    executed: bool = False
    deviations: list[Deviation] = field(default_factory=list)
    reward: Reward | None = None
    judged: bool = False
    """Whether a reward has come, be it one that had to be refused."""
    announced: int = 0
    """Deviations that the reward says were sent."""
    refused: int = 0
    """Deviations that came and had to be refused."""

    @property
    def rewarded(self) -> bool:
        """Whether the critic has spoken: reward and announced deviations are here, or refused."""
        return self.judged and len(self.deviations) + self.refused >= self.announced


class Inbox:
    """Latest-value mailboxes for samples, and a bounded store of events by cycle.

    Samples: the newest one by input wins, older ones are counted as dropped.  Events (cycle done,
    deviation, reward) of cycles that the brain had are never dropped; those of another run, of
    cycles that it has not had yet or that lie further back than ``capacity`` are counted and
    ignored.

    Attributes
    ----------
    counts : what was dropped or ignored, by name.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._changed = threading.Condition()
        self._samples: dict[str, Observation] = {}
        self._unread: set[str] = set()
        self._events: dict[int, CycleEvents] = {}
        self._seen: dict[str, set[int]] = {"cycle_done": set(), "reward": set()}
        self._capacity = capacity
        self._run = ""
        self._first, self._newest = 0, -1
        self._epoch = 0
        self.counts: Counter[str] = Counter()

    def begin(self, run: str) -> None:
        """Start a run: events of another one are ignored, samples from before it forgotten."""
        with self._changed:
            self._run, self._first, self._newest = run, 0, -1
            self._events.clear()
            for seen in self._seen.values():
                seen.clear()
            self._forget_samples()

    def began(self, cycle: int) -> None:
        """Note that a cycle begins: from now on there can be events of it.

        Events of cycles that lie ``capacity`` back are forgotten, and counted if any were left.
        """
        with self._changed:
            self._newest = cycle
            oldest = cycle - self._capacity + 1
            if oldest > self._first:
                self._first = oldest
                for seen in self._seen.values():
                    seen.discard(oldest - 1)
                for old in [c for c in self._events if c < oldest]:
                    del self._events[old]
                    self.counts["events expired"] += 1

    def put(self, observation: Observation) -> None:
        """Take a sample; it replaces the one before."""
        with self._changed:
            if observation.id in self._unread:
                self.counts[f"{observation.id} dropped"] += 1
            self._samples[observation.id] = observation
            self._unread.add(observation.id)
            self._changed.notify_all()

    def clear_samples(self) -> None:
        """Forget all samples: the clock went back."""
        with self._changed:
            self._forget_samples()

    def _forget_samples(self) -> None:
        self._epoch += 1
        self._samples.clear()
        self._unread.clear()

    @property
    def epoch(self) -> int:
        """How often samples were forgotten; stamps of different epochs cannot be compared."""
        return self._epoch

    def done(self, run: str, cycle: int, executed: bool) -> None:
        """Take the motor stage's answer to a cycle."""
        with self._changed:
            events = self._first_of(run, cycle, "cycle_done")
            if events is not None:
                events.done, events.executed = True, executed
                self._changed.notify_all()

    def deviation(self, run: str, cycle: int, deviation: Deviation | None) -> None:
        """Take a deviation; None if one came that had to be refused."""
        with self._changed:
            events = self._of(run, cycle, "deviation")
            if events is None:
                return
            if deviation is None:
                events.refused += 1
            elif any(known.feedback == deviation.feedback for known in events.deviations):
                self.counts["deviation repeated"] += 1
            else:
                events.deviations.append(deviation)
            self._changed.notify_all()

    def reward(self, run: str, cycle: int, reward: Reward | None, announced: int = 0) -> None:
        """Take a reward, the first one for a cycle; None if one came that had to be refused."""
        with self._changed:
            events = self._first_of(run, cycle, "reward")
            if events is not None:
                events.reward, events.announced, events.judged = reward, announced, True
                self._changed.notify_all()

    def wait(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``ready()`` (called under the lock) or for ``timeout`` s."""
        with self._changed:
            return self._changed.wait_for(ready, timeout)

    def wake(self) -> None:
        """Make :meth:`wait` look again."""
        with self._changed:
            self._changed.notify_all()

    def fresh(self, inputs: Iterable[str], after: float) -> bool:
        """Whether each input has a sample stamped later than ``after`` s; for :meth:`wait`."""
        return all(i in self._samples and self._samples[i].stamp > after for i in inputs)

    def missing(self, inputs: Iterable[str], after: float) -> list[str]:
        """Return the inputs without a sample stamped later than ``after`` s."""
        with self._changed:
            return [i for i in inputs if not self.fresh((i,), after)]

    def events_of(self, cycle: int) -> CycleEvents:
        """Return what is known of a cycle so far; for :meth:`wait`."""
        return self._events.get(cycle, CycleEvents())

    def samples(self, need: Need, now: float, max_age: Callable[[str], float]) -> list[Observation]:
        """Return the newest sample of each needed input that is not older than its ``max_age``."""
        with self._changed:
            taken = []
            for name in need.inputs:
                sample = self._samples.get(name)
                self._unread.discard(name)
                if sample is None:
                    continue
                if now - sample.stamp > max_age(name):
                    self.counts[f"{name} too old"] += 1
                    continue
                taken.append(sample)
            return taken

    def take(self, ready: Callable[[int, CycleEvents], bool]) -> list[tuple[int, CycleEvents]]:
        """Remove and return the events of all cycles that are ``ready``, oldest first."""
        with self._changed:
            cycles = sorted(c for c, events in self._events.items() if ready(c, events))
            return [(cycle, self._events.pop(cycle)) for cycle in cycles]

    def ignore_before(self, cycle: int) -> None:
        """Ignore events of cycles before this one: they belong to what was before."""
        with self._changed:
            self._first = max(self._first, cycle)
            for seen in self._seen.values():
                seen.difference_update([c for c in seen if c < cycle])
            for old in [c for c in self._events if c < cycle]:
                del self._events[old]

    def _of(self, run: str, cycle: int, what: str) -> CycleEvents | None:
        if run != self._run:
            self.counts[f"{what} of another run"] += 1
            return None
        if cycle < self._first:
            self.counts[f"{what} of an old cycle"] += 1
            return None
        if cycle > self._newest:
            self.counts[f"{what} of a cycle to come"] += 1
            return None
        return self._events.setdefault(cycle, CycleEvents())

    def _first_of(self, run: str, cycle: int, what: str) -> CycleEvents | None:
        if run == self._run and cycle in self._seen[what]:
            self.counts[f"{what} repeated"] += 1
            return None
        events = self._of(run, cycle, what)
        if events is not None:
            self._seen[what].add(cycle)
        return events
