"""A run of a brain: a thread that owns it, and what its client has sent."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ab_ros.brains.local import LocalBrain
from ab_ros.codec.rows import rows_from_rasters
from ab_ros.errors import AbRosError, ProtocolError, one_of
from ab_ros.protocol.messages import (
    Chunk,
    CycleExecuted,
    CycleUpdate,
    NeedAsked,
    NeedItem,
    NeedReceived,
    RewardGiven,
    RobotState,
    RunState,
    SetLearning,
)
from ab_ros.server.lessons import Lessons
from ab_ros.server.options import StartOptions
from ab_ros.server.pacing import FreePacing, GatedPacing, Pacing, Verdict
from ab_ros.server.samples import Samples
from ab_ros.values import Cycle

_log = logging.getLogger(__name__)

_FIRST_JOIN = 10.0  # s that a client has at least to join its run
_MOST_UNSENT = 8  # messages that may wait for a slow link in a free run

Message = Chunk | RobotState | RewardGiven | NeedReceived | CycleExecuted | SetLearning
"""What a client tells a run."""


class Peer(Protocol):
    """A client, as a run sees it; both may be used from any thread."""

    def send(self, event: str, payload: Any) -> None:
        """Send an event, in the order of the calls."""

    def unsent(self) -> int:
        """Return how many events wait to be sent."""


@dataclass(frozen=True)
class RunSettings:
    """How a run is served.

    Parameters
    ----------
    rows : form of the rows of output spikes.
    hold : s that a sample is used of which the client says no more.
    linger : s that the run waits for its client to come back.
    autosave : s between two times that the brain is saved.
    """

    rows: str = "tuple"
    hold: float = 0.5
    linger: float = 300.0
    autosave: float = 30.0


class Run:
    """One run: cycles while its client is there, saved from time to time and at its end.

    Parameters
    ----------
    project : id of the project.
    brain : of the project; the run owns it.
    path : where it is saved.
    options : what the client asked for.
    settings : how it is served.
    ended : called by the run's thread at the end, once all is saved.

    Attributes
    ----------
    id : of the run.
    """

    def __init__(
        self,
        project: str,
        brain: LocalBrain,
        path: Path,
        options: StartOptions,
        settings: RunSettings,
        ended: Callable[[Run], None] = lambda run: None,
    ) -> None:
        self.project, self.path = project, path
        self._brain, self._settings, self._ended = brain, settings, ended
        if options.seed is not None or options.reset:
            brain.reset(options.seed)
        if options.learning is not None:
            brain.set_learning(options.learning)
        self.contract = brain.open()
        self.dt = brain.dt
        self.id = brain.run
        period = self.contract.gamma * brain.dt
        self._pacing: Pacing = (
            GatedPacing(options.deadline) if options.gated else FreePacing(period)
        )
        self._period = period
        self._needs = (
            *(NeedItem(port.id, port.kind) for port in self.contract.inputs),
            *(
                NeedItem(port.id, "Feedback", str(port.item.get("fromOutput") or ""))
                for port in self.contract.feedback
            ),
        )
        self._changed = threading.Condition()
        self._samples = Samples(brain, settings.hold)
        self._lessons = Lessons(brain)
        self._counts: Counter[str] = Counter()
        self._peer: Peer | None = None
        self._left_at = time.monotonic()
        self._linger = max(settings.linger, _FIRST_JOIN)
        self._announce = False
        self._update: dict[str, Any] | None = None
        self._told: Peer | None = None  # who got the newest update
        self._saves: list[Future[None]] = []
        self._unsaved = False
        self._save_soon = False
        self._saved_at = time.monotonic()
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name=f"run {self.id[:8]}", daemon=True)

    # From any thread

    def begin(self) -> None:
        """Start the run's thread."""
        self._thread.start()

    def join(self, peer: Peer) -> Peer | None:
        """Let a client take part; return the one whose place it takes."""
        with self._changed:
            before, self._peer = self._peer, peer
            self._announce, self._told, self._save_soon = True, None, False
            self._linger = self._settings.linger
            self._samples.joined()
            self._pacing.joined(time.monotonic())
            self._changed.notify_all()
            return before

    def leave(self, peer: Peer) -> None:
        """Note that a client is gone; the run stands still until one joins."""
        with self._changed:
            if self._peer is peer:
                self._peer, self._left_at = None, time.monotonic()
                self._save_soon = True
                self._changed.notify_all()

    @property
    def joined(self) -> bool:
        """Whether a client takes part."""
        return self._peer is not None

    def take(self, message: Message) -> None:
        """Take what the client says.

        Raises
        ------
        ProtocolError
            if it does not fit the run.
        """
        now = time.monotonic()
        with self._changed:
            if self._stopping:
                raise ProtocolError(f"run {self.id} has ended")
            try:
                self._sort(message, now)
            except AbRosError as error:
                self._samples.refuse(f"{message.event} refused", error)
                raise
            self._changed.notify_all()

    def save(self) -> Future[None]:
        """Save the brain between two cycles; the future tells when, or why not."""
        future: Future[None] = Future()
        with self._changed:
            if self._stopping:
                future.set_exception(ProtocolError(f"run {self.id} has ended"))
            else:
                self._saves.append(future)
                self._changed.notify_all()
        return future

    def state(self) -> RunState:
        """Return the cycle to come and what it needs."""
        with self._changed:
            return RunState(self.id, self._lessons.newest + 1, self._need(time.monotonic()))

    def counts(self) -> dict[str, int]:
        """Return how often what was refused, dropped or ignored, by name."""
        with self._changed:
            total = self._counts + self._samples.counts + self._lessons.counts
        total.update(self._brain.counts())
        return {name: count for name, count in total.items() if count}

    @property
    def last_refusal(self) -> str:
        """Why the newest sample or message that was refused was refused; empty if none was."""
        return self._samples.last_refusal or self._brain.last_refusal

    def stop(self) -> None:
        """Ask the run to end; see :meth:`wait`."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended and all is saved; return whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _sort(self, message: Message, now: float) -> None:
        if isinstance(message, Chunk):
            if message.input in self._samples:
                self._samples.put(message, now)
            elif any(port.id == message.input for port in self.contract.feedback):
                self._lessons.feedback(message)
            else:
                names = [item.id for item in self._needs]
                raise ProtocolError(f"io:chunk: unknown input {message.input!r}; {one_of(names)}")
        elif isinstance(message, RobotState):
            self._samples.put_state(message, time.time(), now)
        elif isinstance(message, NeedReceived):
            self._samples.word(message, now)
        elif isinstance(message, CycleExecuted):
            self._lessons.executed(message)
        elif isinstance(message, RewardGiven):
            self._lessons.reward(message)
        else:
            self._lessons.learning(message)

    # The run's thread

    def _live(self) -> None:
        try:
            while self._turn():
                pass
            self._save_if_needed()
        except AbRosError as error:
            _log.error("project %r: the run has failed: %s", self.project, error)
        except Exception:  # a defect of one run must not be the end of the others
            _log.exception("project %r: the run has failed", self.project)
        finally:
            with self._changed:
                self._stopping = True
                saves, self._saves = self._saves, []
            for future in saves:
                if future.set_running_or_notify_cancel():
                    future.set_exception(ProtocolError(f"run {self.id} has ended"))
            self._brain.close()
            self._ended(self)

    def _turn(self) -> bool:
        """Wait for something to do, and do it; return False when the run is to end."""
        with self._changed:
            action = self._next()
            while action is None:
                self._changed.wait(self._patience())
                action = self._next()
        return action()

    def _next(self) -> Callable[[], bool] | None:
        now = time.monotonic()
        # What was taken is learned in any case: its client may have been told so.
        if len(self._lessons):
            return self._learn
        if self._stopping:
            return lambda: False
        if self._saves:
            return self._save_as_asked
        if self._announce:
            return self._tell
        if self._unsaved and (self._save_soon or now >= self._saved_at + self._settings.autosave):
            return self._save_if_needed
        if self._peer is not None:
            verdict = self._pacing.verdict(now, self._samples.answered())
            if verdict is Verdict.ASK_AGAIN:
                return self._ask
            if verdict is Verdict.RUN:
                return self._cycle
        elif now >= self._left_at + self._linger:
            _log.info("project %r: its client did not come back", self.project)
            return lambda: False
        return None

    def _patience(self) -> float | None:
        times = [math.inf]
        if self._peer is not None:
            times.append(self._pacing.wake_at())
        else:
            times.append(self._left_at + self._linger)
        if self._unsaved:
            times.append(self._saved_at + self._settings.autosave)
        left = min(times) - time.monotonic()
        return None if math.isinf(left) else min(max(0.0, left), threading.TIMEOUT_MAX)

    def _learn(self) -> bool:
        with self._changed:
            lesson = self._lessons.pop()
            if lesson.executed and lesson.cycle == self._lessons.newest:
                self._update = None
                self._pacing.executed(time.monotonic())
        lesson.apply(self._brain)
        self._unsaved = True
        return True

    def _cycle(self) -> bool:
        now = time.monotonic()
        with self._changed:
            peer = self._peer
            if isinstance(self._pacing, FreePacing) and peer and peer.unsent() > _MOST_UNSENT:
                # A link that is too slow for the outputs gets fewer of them, not later ones.
                self._counts["cycles held back"] += 1
                self._pacing.ran(now)
                return True
            if isinstance(self._pacing, GatedPacing) and not self._samples.answered():
                self._counts["deadlines missed"] += 1
            taken = self._samples.take(now)
            received = dict(self._samples.received)
        seen = self._samples.observations(taken)
        cycle = self._brain.run_cycle(lambda need: seen)
        self._unsaved = True
        stamps = [observation.stamp for observation in seen]
        update = CycleUpdate(
            self.id,
            cycle.number,
            rows_from_rasters(cycle.rasters, self._settings.rows),
            self._telemetry(cycle),
            received,
            max(stamps, default=None),
        ).to_wire()
        with self._changed:
            self._lessons.newest = cycle.number
            self._update, self._told = update, None
            self._pacing.ran(time.monotonic())
            self._announce = True
        return True

    def _telemetry(self, cycle: Cycle) -> dict[str, float]:
        refused = {f"refused.{name}": float(count) for name, count in self.counts().items()}
        return {**cycle.telemetry, **refused}

    def _tell(self) -> bool:
        """Send the newest update to who does not have it yet, and the need of the next cycle."""
        with self._changed:
            self._announce = False
            peer = self._peer
            if peer is not None and self._update is not None and self._told is not peer:
                self._told = peer
                peer.send(CycleUpdate.event, self._update)
        return self._ask()

    def _ask(self) -> bool:
        now = time.monotonic()
        with self._changed:
            if self._peer is not None:
                self._peer.send(NeedAsked.event, self._need(now).to_wire())
                self._pacing.asked(now)
        return True

    def _need(self, now: float) -> NeedAsked:
        left = self._pacing.left(now)
        return NeedAsked(self.id, self._lessons.newest + 1, self._needs, left)

    def _save_as_asked(self) -> bool:
        with self._changed:
            saves, self._saves = self._saves, []
        # From here on, who asked may stop waiting, but can no longer cancel.
        saves = [future for future in saves if future.set_running_or_notify_cancel()]
        error = self._write()
        for future in saves:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        return True

    def _save_if_needed(self) -> bool:
        if self._unsaved:
            self._write()
        return True

    def _write(self) -> AbRosError | None:
        # Whether it worked or not, the next try is one period from now.
        self._saved_at, self._save_soon = time.monotonic(), False
        try:
            self._brain.save(self.path)
        except AbRosError as error:
            self._counts["saves failed"] += 1
            _log.error("project %r: cannot be saved: %s", self.project, error)
            return error
        self._unsaved = False
        return None
