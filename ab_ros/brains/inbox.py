"""What reaches a brain's loop from other threads: newest samples, and events that all count."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ab_ros.errors import BrainError
from ab_ros.values import Deviation, Need, Observation, Reward


@dataclass
class CycleEvents:
    """What was told about one cycle."""

    done: bool = False
    executed: bool = False
    deviations: list[Deviation] = field(default_factory=list)
    reward: Reward | None = None
    announced: int = 0
    """Deviations that the reward says were sent."""

    @property
    def rewarded(self) -> bool:
        """Whether the reward and all deviations that it announces are here."""
        return self.reward is not None and len(self.deviations) >= self.announced


class Inbox:
    """Latest-value mailboxes for samples, and a bounded store of events by cycle.

    Samples: the newest one by input wins, older ones are counted as dropped.  Events (cycle done,
    deviation, reward) are never dropped: a full store is an error of the one who fills it.

    Attributes
    ----------
    counts : what was dropped or ignored, by name.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._changed = threading.Condition()
        self._samples: dict[str, Observation] = {}
        self._unread: set[str] = set()
        self._events: dict[int, CycleEvents] = {}
        self._rewarded: dict[int, None] = {}
        self._capacity = capacity
        self._run = ""
        self._first = 0
        self.counts: Counter[str] = Counter()

    def begin(self, run: str) -> None:
        """Start a run: all events of another one are ignored."""
        with self._changed:
            self._run, self._first = run, 0
            self._events.clear()
            self._rewarded.clear()

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
            self._samples.clear()
            self._unread.clear()

    def done(self, run: str, cycle: int, executed: bool) -> None:
        """Take the motor stage's answer to a cycle."""
        with self._changed:
            events = self._of(run, cycle, "cycle_done")
            if events is not None:
                events.done, events.executed = True, executed
                self._changed.notify_all()

    def deviation(self, run: str, cycle: int, deviation: Deviation) -> None:
        """Take a deviation."""
        with self._changed:
            events = self._of(run, cycle, "deviation")
            if events is not None:
                events.deviations.append(deviation)
                self._changed.notify_all()

    def reward(self, run: str, cycle: int, reward: Reward, announced: int = 0) -> None:
        """Take a reward; the first one for a cycle counts."""
        with self._changed:
            events = self._of(run, cycle, "reward")
            if events is None:
                return
            if cycle in self._rewarded:
                self.counts["reward repeated"] += 1
                return
            self._rewarded[cycle] = None
            if len(self._rewarded) > self._capacity:
                del self._rewarded[next(iter(self._rewarded))]
            events.reward, events.announced = reward, announced
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

    def take(self, ready: Callable[[CycleEvents], bool]) -> list[tuple[int, CycleEvents]]:
        """Remove and return the events of all cycles that are ``ready``, oldest first."""
        with self._changed:
            cycles = sorted(c for c, events in self._events.items() if ready(events))
            return [(cycle, self._events.pop(cycle)) for cycle in cycles]

    def ignore_before(self, cycle: int) -> None:
        """Ignore events of cycles before this one: they belong to what was before."""
        with self._changed:
            self._first = cycle
            for old in [c for c in self._events if c < cycle]:
                del self._events[old]

    def _of(self, run: str, cycle: int, what: str) -> CycleEvents | None:
        if run != self._run:
            self.counts[f"{what} of another run"] += 1
            return None
        if cycle < self._first:
            self.counts[f"{what} of an old cycle"] += 1
            return None
        if cycle not in self._events and len(self._events) >= self._capacity:
            raise BrainError(
                f"more than {self._capacity} cycles wait for the brain: it does not run, or the"
                f" {what} messages name cycles that it never had"
            )
        return self._events.setdefault(cycle, CycleEvents())
