"""The loop of the brain node: whose turn it is, and what the brain is told before its next cycle.

One thread owns the brain.  In real time it starts a cycle every T·dt, unless a remote brain that
runs freely sets the pace.  In lockstep it waits, for each cycle, for sensors newer than the last,
for the motor node's ``cycle_done`` and, while it learns and ``wait_for_reward`` is set, for the
critic's reward: the same run gives the same numbers whatever the machine's speed.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ab_ros.brains.inbox import CycleEvents, Inbox
from ab_ros.brains.mailbox import CLOCK_GRAIN, SHOWN
from ab_ros.brains.port import Brain
from ab_ros.contract import Contract
from ab_ros.errors import BrainError, BrainUnreachable
from ab_ros.figures import Figures, LatencyWindow
from ab_ros.msg import BrainStatus
from ab_ros.nodes.brain_inputs import Feed, Joining, join
from ab_ros.nodes.brain_settings import BrainSettings
from ab_ros.nodes.requests import Requests
from ab_ros.values import Cycle, Need, Observation

_POLL = 0.25  # s between two looks at whether the node stops, or what is missing
_GRAPH_POLL = 0.01  # s between two looks at who else is in the graph
_SLICE = 0.25  # s that a brain elsewhere is waited for at a time
_PATIENCE = 0.5  # s after which people are told that it is waited for
_RETRY = 0.5  # s between two attempts to reach it


class Surroundings(Protocol):
    """What the loop needs of its node."""

    figures: Figures

    @property
    def settings(self) -> BrainSettings:
        """The current settings."""

    def now(self) -> float:
        """Return the robot's time, s."""

    def report(self, what: str, error: Exception | str) -> None:
        """Count what was refused and say why."""

    def tell(self, code: int, sentence: str, last: bool = False) -> None:
        """Set the status; while the node stops only as a ``last`` word."""

    def begun(self, contract: Contract, run: str) -> None:
        """Publish the contract of a run that begins."""

    def spoke(self, cycle: Cycle) -> None:
        """Publish a cycle's spikes."""

    def answer_for_motor(self, cycle: int, reason: str) -> None:
        """Answer a cycle in place of a motor node that is gone."""

    def deaf(self) -> list[str]:
        """Return which ends of the loop are not connected yet."""


class BrainLoop:
    """Runs a brain, in a thread of its own: :meth:`prepare`, then :meth:`run`.

    Attributes
    ----------
    paused : whether no cycle shall begin; set it and call ``inbox.wake()``.
    learn : whether the brain shall learn, from its next cycle on.
    stop_at : the cycle before which it pauses, 0: none; set it after ``learn``, as it lets go.
    requests : what services want of the thread that owns the brain.
    cycles : completed in this run.
    latency : of cycles, s.
    joining : which topic feeds which input of the brain.
    silent : inputs without a fresh sample in the last cycle, and why; one whose samples are each
        shown once is silent between them, and is not among these.
    """

    def __init__(
        self, brain: Brain, inbox: Inbox, feeds: dict[str, Feed], node: Surroundings
    ) -> None:
        s = node.settings
        self.brain, self.inbox = brain, inbox
        self._feeds, self._node = feeds, node
        self._lockstep = s.pacing == "lockstep"
        self._remote = s.backend == "remote"
        # Whose cycles wait until it was told that the last one was executed.
        self._gated = self._lockstep or (s.remote is not None and s.remote.pacing == "gated")
        self._keeps_time = not self._lockstep and (not self._remote or self._gated)
        self.paused = False
        self.learn = s.learning
        self.stop_at = s.stop_at_cycle
        self.latency = LatencyWindow(4096)
        self._refusals = 0
        self._unsaved = False
        self.requests = Requests(inbox.wake)
        self._saved_at = self._asked_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self.cycles = 0
        self.joining = Joining({})
        self.silent: Mapping[str, str] = {}
        self.contract: Contract | None = None
        self._run = ""
        self._observed = (-1, -math.inf)
        self._last_handled = -1  # the last cycle whose events need not be awaited any more
        self._under_way = False  # a need was answered, and its cycle has not come
        self._moved_at = 0.0  # when the last cycle ran, on the steady clock
        self.forget_rates()

    def forget_rates(self) -> None:
        """Begin to count spikes and cycles anew."""
        self.counted_from = time.monotonic()
        self.spikes_seen = 0.0
        self.cycles_timed = 0

    # In the executor's thread

    def prepare(self) -> None:
        """Get ready to run: what came in before does not count."""
        self._reset()
        self.learn = self._node.settings.learning
        self.stop_at = self._node.settings.stop_at_cycle
        self.brain.set_learning(self.learn)
        self.inbox.clear_samples()
        self.requests.open()

    def save(self) -> None:
        """Save the brain; in the thread that owns it."""
        begin = time.perf_counter()
        self.brain.save(Path(self._node.settings.save_file))
        self._unsaved = False
        self._saved_at = time.monotonic()
        self._node.figures.took("save", time.perf_counter() - begin)

    def missing(self) -> list[str]:
        """Return the inputs whose next sample is awaited."""
        return self.inbox.missing(self.joining.feeds, self._seen())

    def troubles(self, running: bool) -> list[str]:
        """Return what is wrong with inputs and brain; without samples only while it runs."""
        silent = dict(self.silent) if running else {}
        return [
            *(f"no fresh sample of {name}: it is silent ({why})" for name, why in silent.items()),
            *self.joining.troubles,
            *self.brain.complaints(),
        ]

    @property
    def stopped_by_count(self) -> bool:
        """Whether the setting ``stop_at_cycle`` holds it."""
        return 0 < self.stop_at <= self.cycles

    @property
    def period(self) -> float:
        """Robot time of a cycle, s; 0 as long as the brain is not known."""
        return self.contract.gamma * self.brain.dt if self.contract is not None else 0.0

    # In the thread that owns the brain

    def run(self, stopping: threading.Event) -> None:
        """Open the brain, run its cycles until ``stopping``, and close it."""
        self._saved_at = begin = time.monotonic()
        try:
            self._open(stopping)
            while not stopping.is_set():
                self.requests.grant()
                if not self._wait_for_turn(stopping):
                    begin = time.monotonic()
                    continue
                if self._keeps_time and not self._under_way:
                    begin = self._keep_pace(begin, stopping)
                if not stopping.is_set():
                    self._turn(stopping)
        except Exception as error:
            self._node.tell(BrainStatus.FAILED, str(error) or type(error).__name__, last=True)
            raise
        finally:
            try:
                if self._node.settings.save_file and self._unsaved:
                    self.save()
            finally:
                self.requests.close()
                self.brain.close()

    def _open(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self._begin(self.brain.open())
                return
            except BrainUnreachable as error:
                self._node.tell(BrainStatus.WAITING, f"waits for its brain: {error}")
                self.requests.grant()
                self.inbox.wait(lambda: stopping.is_set() or self.requests.pending, _RETRY)

    def _begin(self, contract: Contract) -> None:
        """Take note of a run that begins: at the start, and when a service was started anew."""
        self._reset()
        self._run, self.contract = self.brain.run, contract
        self.inbox.begin(self._run, forget=False)
        self.joining = join(contract, self._feeds)
        self._node.begun(contract, self._run)

    def _interrupted(self, stopping: threading.Event) -> bool:
        return stopping.is_set() or self.requests.pending

    def _wait_for_turn(self, stopping: threading.Event) -> bool:
        """Wait until the next cycle may run; False to be asked again."""
        inbox = self.inbox
        if self.paused or self.stopped_by_count:
            # In lockstep, a count is reached when the last cycle has been answered.
            if self._lockstep and not self.paused and not self._answered(stopping):
                return False
            why = "by ~/pause" if self.paused else f"before cycle {self.cycles}"
            self._node.tell(BrainStatus.PAUSED, f"paused {why}")
            inbox.wait(
                lambda: self._interrupted(stopping) or not (self.paused or self.stopped_by_count),
                _POLL,
            )
            return False
        if self._under_way:
            return True
        if self._lockstep and not self.cycles:
            if not self._heard_by_all(stopping):
                return False
        elif self._gated and self.cycles and not self._answered(stopping):
            return False
        feeds = self.joining.feeds
        if inbox.wait(
            lambda: self._interrupted(stopping) or inbox.fresh(feeds, self._seen()), _POLL
        ):
            return not (self._interrupted(stopping) or self.paused)
        missing = ", ".join(self.missing())
        if self._lockstep and self.cycles:
            self._free_simulation()
        self._node.tell(BrainStatus.WAITING, f"waits for a new sample of {missing}")
        return False

    def _heard_by_all(self, stopping: threading.Event) -> bool:
        """Wait before the first cycle until those that shall answer it listen, for a while."""
        deadline = time.monotonic() + self._node.settings.answer_timeout
        while lacking := self._node.deaf():
            if self.paused or self._interrupted(stopping):
                return False
            if time.monotonic() > deadline:
                self._node.report("listeners", f"begins without {' and '.join(lacking)}")
                return True
            self._node.tell(BrainStatus.WAITING, f"waits for {' and '.join(lacking)}")
            stopping.wait(_GRAPH_POLL)
        return True

    def _answered(self, stopping: threading.Event) -> bool:
        """Wait for cycle_done and the reward of the last cycle, for a while."""
        last = self.cycles - 1
        if self._last_handled >= last:
            return not self._interrupted(stopping)
        deadline = self._moved_at + self._node.settings.answer_timeout
        while not self._handled(last):
            if self.paused or self._interrupted(stopping):
                return False
            left = deadline - time.monotonic()
            if left <= 0.0:
                break
            self.inbox.wait(
                lambda: self._interrupted(stopping) or self.paused or self._handled(last), left
            )
        else:
            return True
        if not self.inbox.events_of(last).done:
            self._node.report("cycle_done", f"none for cycle {last}: is the motor node running?")
            self._node.tell(BrainStatus.WAITING, f"goes on without an answer to cycle {last}")
            self._node.answer_for_motor(last, "the motor node did not answer")
            # A brain elsewhere that waits for it is told by this, at the latest.
            self.inbox.done(self._run, last, executed=False)
        else:
            self._node.report("reward", f"none for cycle {last}: is the critic running?")
        self._last_handled = last
        return True

    def _handled(self, cycle: int) -> bool:
        events = self.inbox.events_of(cycle)
        return events.done and (events.rewarded or not self._wants_reward())

    def _wants_reward(self) -> bool:
        return self._lockstep and self._node.settings.wait_for_reward and self.brain.learning

    def _free_simulation(self) -> None:
        """Say again that the last cycle is done: word of it may have been lost.

        A simulation that has heard it ignores the repetition.
        """
        if time.monotonic() - self._moved_at > self._node.settings.answer_timeout:
            self._moved_at = time.monotonic()
            last = self.cycles - 1
            self._node.report(
                "sensors", f"no new ones since cycle {last}: cycle_done is sent again"
            )
            self._node.answer_for_motor(last, "said again, as no new sensors have come")

    def _keep_pace(self, begin: float, stopping: threading.Event) -> float:
        """Sleep until the next cycle is due; return when the one after it is counted from."""
        due = begin + self.period
        wait = due - time.monotonic()
        if wait > 0:
            stopping.wait(wait)
            return due
        if wait < -self.period:
            self._node.figures.add("cycles skipped")
            return time.monotonic()
        return due

    def _turn(self, stopping: threading.Event) -> None:
        if not self._under_way:
            self._switch_learning()
            self._asked_at = time.monotonic()
            if not self.cycles and not self._remote:
                # The engine is compiled when it is first used on a machine, which takes its time.
                self._node.tell(BrainStatus.RUNNING, "computes its first cycle")
        self._deliver()
        begin = time.monotonic()
        try:
            cycle = self.brain.run_cycle(self._observe, _SLICE)
        except BrainUnreachable as error:
            self._under_way = True
            if time.monotonic() - self._asked_at > _PATIENCE:
                # What is wrong with the link is told beside the sentence.
                why = "" if self.brain.complaints() else f": {error}"
                self._node.tell(BrainStatus.WAITING, f"waits for its brain{why}")
            if time.monotonic() - begin < _SLICE / 2:
                stopping.wait(_SLICE / 2)  # a link that is down answers at once
            return
        self._under_way = False
        self._take(cycle)

    def _take(self, cycle: Cycle) -> None:
        node, now = self._node, time.monotonic()
        self.inbox.began(cycle.number)
        self._unsaved = self._unsaved or (self.brain.learning and not self._remote)
        node.spoke(self._stamped(cycle))
        self.latency.add(now - self._asked_at)
        node.figures.took("cycle", now - self._asked_at)
        self.cycles = cycle.number + 1
        self._moved_at = now
        spikes = cycle.telemetry.get("spikes")
        if spikes is None:
            spikes = float(sum(int(raster.sum()) for raster in cycle.rasters.values()))
        self.spikes_seen += spikes
        self.cycles_timed += 1
        refusals = sum(n for name, n in self.brain.counts().items() if name.endswith(" refused"))
        if refusals > self._refusals:
            node.report("service" if self._remote else "observation", self.brain.last_refusal)
        self._refusals = refusals
        node.tell(BrainStatus.RUNNING, "runs")
        self._autosave()

    def _stamped(self, cycle: Cycle) -> Cycle:
        """Date a cycle: in lockstep by what it saw, so that a run repeats itself.

        In real time a brain here has just spoken; a brain elsewhere has dated its cycle itself, by
        when its need was answered, so that its age tells how long it was under way.
        """
        if self._lockstep:
            return dataclasses.replace(cycle, stamp=max(cycle.observed, self._observed[1]))
        return cycle if self._remote else dataclasses.replace(cycle, stamp=self._node.now())

    def _deliver(self) -> None:
        """Give the brain what was said of past cycles: done, feedback, reward."""

        def ready(number: int, events: CycleEvents) -> bool:
            # In real time, a reward that overtakes its cycle_done waits for it for a cycle.
            return (
                number <= self._last_handled
                or (events.done and (events.rewarded or not self._wants_reward()))
                or number < self.cycles - 1
            )

        for number, events in self.inbox.take(ready):
            if events.done:
                self.brain.done(number)
            for deviation in events.deviations:
                self.brain.feedback(deviation, number)
            if events.reward is not None and not self.brain.reward(events.reward, number):
                self._node.figures.add("rewards too late")
            self._last_handled = max(self._last_handled, number)

    def _observe(self, need: Need) -> list[Observation]:
        if self.brain.run != self._run:
            self._begin(self.brain.contract)
        inbox, feed_of = self.inbox, self.joining.feed_of
        now = -math.inf if self._lockstep else self._node.now()
        inbox.began(need.cycle)
        epoch = inbox.epoch
        wanted = {name: feed_of[name] for name in need.inputs if name in feed_of}
        feeds = tuple(dict.fromkeys(wanted.values()))
        samples = {
            sample.id: sample
            for sample in inbox.samples(
                Need(need.cycle, feeds), now, lambda name: self._feeds[name].max_age
            )
        }
        silent = {name: inbox.why_silent(wanted[name]) for name in sorted(wanted)}
        self.silent = {name: why for name, why in silent.items() if why not in ("", SHOWN)}
        self._observed = (epoch, inbox.looked_at)
        for name, sample in samples.items():
            self._node.figures.set(f"{name} sample age (s)", self._node.now() - sample.stamp)
        return [
            samples[feed] if feed == name else dataclasses.replace(samples[feed], id=name)
            for name, feed in wanted.items()
            if feed in samples
        ]

    def _seen(self) -> float:
        """Return the stamp that samples must be newer than: any will do in real time."""
        if not self._lockstep:
            return -math.inf
        epoch, newest = self._observed
        wanted = self._node.settings.not_before
        after = wanted - CLOCK_GRAIN if wanted > 0.0 else -math.inf
        return max(newest, after) if epoch == self.inbox.epoch else after

    def _switch_learning(self) -> None:
        if self.learn == self.brain.learning:
            return
        # What was earned before the switch is not learned from after it.
        self._deliver()
        self.inbox.ignore_before(self.cycles)
        try:
            self.brain.set_learning(self.learn)
        except BrainError as error:
            self.learn = self.brain.learning
            self._node.report("learning", error)

    def _autosave(self) -> None:
        s = self._node.settings
        due = s.autosave and time.monotonic() - self._saved_at > s.autosave
        if due and s.save_file and self._unsaved and self.brain.learning:
            try:
                self.save()
            except BrainError as error:
                # What was learned is still in memory, and the robot must not stop for a full disk.
                self._saved_at = time.monotonic()
                self._node.report("autosave", error)
