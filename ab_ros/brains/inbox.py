"""What reaches a brain's loop from other threads: newest samples, and events that all count."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ab_ros.brains.mailbox import Alignment, Arrival, Mailbox
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
    """Mailboxes for samples, and a bounded store of events by cycle.

    Samples: of each input, those are shown that its alignment asks for (see
    :mod:`ab_ros.brains.mailbox`), by default the newest one; others are counted as dropped.  Events
    (cycle done, deviation, reward) of cycles that the brain had are never dropped; those of another
    run, of cycles that it has not had yet or that lie further back than ``capacity`` are counted
    and ignored.

    Parameters
    ----------
    capacity : cycles whose events are kept.
    alignments : by input, where they are not the usual one.
    """

    def __init__(
        self, capacity: int = 1024, alignments: Mapping[str, Alignment] | None = None
    ) -> None:
        self._changed = threading.Condition()
        self._alignments = alignments or {}
        self._boxes: dict[str, Mailbox] = {}
        self._events: dict[int, CycleEvents] = {}
        self._seen: dict[str, set[int]] = {"cycle_done": set(), "reward": set()}
        self._capacity = capacity
        self._run = ""
        self._first, self._newest = 0, -1
        self._epoch = 0
        self._reference = -math.inf
        self._looked_at = -math.inf
        self._ignored: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """What was dropped or ignored, by name."""
        with self._changed:
            counts = Counter(self._ignored)
            for name, box in self._boxes.items():
                counts.update({f"{name} {what}": n for what, n in box.counts.items()})
            return counts

    def begin(self, run: str, *, forget: bool = True) -> None:
        """Start a run: events of another one are ignored.

        Samples from before it are forgotten, unless ``forget`` is off: when a brain elsewhere is
        started anew, the robot and its sensors are what they were.
        """
        with self._changed:
            self._run, self._first, self._newest = run, 0, -1
            self._events.clear()
            for seen in self._seen.values():
                seen.clear()
            for box in self._boxes.values():
                box.shown_before()
            if forget:
                self._forget_samples()

    def began(self, cycle: int) -> None:
        """Note that a cycle begins: from now on there can be events of it.

        Events of cycles that lie ``capacity`` back are forgotten, and counted if any were left.
        """
        with self._changed:
            self._newest = max(self._newest, cycle)
            oldest = cycle - self._capacity + 1
            if oldest > self._first:
                self._first = oldest
                for seen in self._seen.values():
                    seen.discard(oldest - 1)
                for old in [c for c in self._events if c < oldest]:
                    del self._events[old]
                    self._ignored["events expired"] += 1

    def put(self, sample: Arrival | Observation, id: str = "") -> None:
        """Take a sample of an input, by default the one that it names.

        As long as none could be read, it is read at once: what cannot be read does not begin a run.
        """
        if isinstance(sample, Observation):
            id, sample = id or sample.id, Arrival(sample.stamp, sample)
        with self._changed:
            epoch, proven = self._epoch, self._box(id).proven
        if not proven and sample.load() is None:
            return
        with self._changed:
            if epoch == self._epoch:  # it may have been read while the clock went back
                self._box(id).put(sample)
                self._changed.notify_all()

    def skip(self, id: str, stamp: float) -> None:
        """Note that a sample of an input came and is not kept, as there are more than wanted."""
        with self._changed:
            self._box(id).skip(stamp)
            self._changed.notify_all()

    def came(self, id: str) -> bool:
        """Whether a sample of an input is here, shown or not."""
        with self._changed:
            return self._box(id).came

    def _box(self, id: str) -> Mailbox:
        if id not in self._boxes:
            self._boxes[id] = Mailbox(self._alignments.get(id))
        return self._boxes[id]

    def clear_samples(self) -> None:
        """Forget all samples: the clock went back."""
        with self._changed:
            self._forget_samples()

    def _forget_samples(self) -> None:
        self._epoch += 1
        self._reference = self._looked_at = -math.inf
        for box in self._boxes.values():
            box.clear()

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
                self._ignored["deviation repeated"] += 1
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
        """Whether each input has a sample stamped later than ``after`` s; for :meth:`wait`.

        It need not be one that is shown: with a delay, that is one from before.
        """
        return all(i in self._boxes and self._boxes[i].fresh(after) for i in inputs)

    def missing(self, inputs: Iterable[str], after: float) -> list[str]:
        """Return the inputs without a sample stamped later than ``after`` s."""
        with self._changed:
            return [i for i in inputs if not self.fresh((i,), after)]

    def events_of(self, cycle: int) -> CycleEvents:
        """Return what is known of a cycle so far; for :meth:`wait`."""
        return self._events.get(cycle, CycleEvents())

    def samples(self, need: Need, now: float, max_age: Callable[[str], float]) -> list[Observation]:
        """Return what the brain sees of each needed input in a cycle; for the thread that owns it.

        Parameters
        ----------
        need : the cycle, and its inputs.
        now : s; -inf in lockstep, where the time is that of the newest sample, and none is too old.
        max_age : by input, s.
        """
        with self._changed:
            boxes = {name: self._box(name) for name in need.inputs}
            heard = max((box.heard for box in boxes.values()), default=-math.inf)
            if math.isinf(heard):
                stamps = [s.stamp for box in boxes.values() if (s := box.newest(math.inf))]
                heard = max(stamps, default=heard)
            until = heard if math.isinf(now) else now
            for box in boxes.values():
                box.date(until)
        shown: dict[str, Arrival] = {}
        reference = math.inf
        for asof in (False, True):
            some = {n: box for n, box in boxes.items() if (box.alignment.align == "asof") is asof}
            if asof and some:
                reference = self._refer(shown, boxes, until, now, max_age)
            for name, box in some.items():
                ages = (until, reference, now, max_age(name))
                if sample := self._shown(box, ages, need.cycle):
                    shown[name] = sample
        self._looked_at = max((s.stamp for s in shown.values()), default=until)
        self._looked_at = max(self._looked_at, until)
        read = [shown[name].observation for name in need.inputs if name in shown]
        return [observation for observation in read if observation is not None]

    @property
    def looked_at(self) -> float:
        """When the brain last looked: in lockstep, the newest stamp that had come; s."""
        return self._looked_at

    def why_silent(self, id: str) -> str:
        """Return why nothing was shown of an input, in a few words; empty if something was."""
        with self._changed:
            return self._box(id).why_silent

    def _refer(
        self,
        shown: Mapping[str, Arrival],
        boxes: Mapping[str, Mailbox],
        until: float,
        now: float,
        max_age: Callable[[str], float],
    ) -> float:
        """Return the reference stamp of a cycle; see :mod:`ab_ros.brains.mailbox`."""
        stamps = []
        with self._changed:
            for name, box in boxes.items():
                delay = box.alignment.delay
                newest = shown.get(name)
                if newest is None and box.alignment.align == "asof":
                    newest = box.newest(until)
                    if newest and now - delay - newest.stamp > max_age(name):
                        newest = None
                if newest is not None:
                    stamps.append(newest.stamp + delay)
            if not stamps:
                return math.inf  # all are too old, and are to be told as such
            self._reference = max(self._reference, min(stamps))
            return self._reference

    def _shown(
        self, box: Mailbox, ages: tuple[float, float, float, float], cycle: int
    ) -> Arrival | None:
        """Return the sample of an input that is shown; those that cannot be read are forgotten.

        ``ages`` are the time up to which it is seen, the reference stamp, now, and the maximum age.
        """
        until, reference, now, max_age = ages
        while True:
            with self._changed:
                sample = box.newest(until, reference)
                if sample is None or not box.usable(sample, now, max_age, cycle):
                    return None
            # Samples may be large, and are read while others come in.
            observation = sample.load()
            with self._changed:
                if observation is not None:
                    box.show(sample, cycle)
                    return sample
                box.remove(sample)

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
            self._ignored[f"{what} of another run"] += 1
            return None
        if cycle < self._first:
            self._ignored[f"{what} of an old cycle"] += 1
            return None
        if cycle > self._newest:
            self._ignored[f"{what} of a cycle to come"] += 1
            return None
        return self._events.setdefault(cycle, CycleEvents())

    def _first_of(self, run: str, cycle: int, what: str) -> CycleEvents | None:
        if run == self._run and cycle in self._seen[what]:
            self._ignored[f"{what} repeated"] += 1
            return None
        events = self._of(run, cycle, what)
        if events is not None:
            self._seen[what].add(cycle)
        return events
