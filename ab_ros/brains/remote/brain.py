"""The brain port over a link: a brain elsewhere, run cycle by cycle."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ab_ros.brains.port import Brain, Observe
from ab_ros.brains.remote.cycles import cycle_of_command, cycle_of_update
from ab_ros.brains.remote.link import Link
from ab_ros.brains.remote.membership import LinkEvent, LinkState
from ab_ros.brains.remote.samples import SampleEncoder, robot_state
from ab_ros.brains.remote.session import Answer, Answered, Asked, DirectCommand, Session
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.brains.remote.tally import Tally
from ab_ros.contract import Contract
from ab_ros.errors import (
    AbRosError,
    BrainError,
    BrainUnreachable,
    ObservationError,
    ProtocolError,
)
from ab_ros.learning.feedback import FeedbackRaster
from ab_ros.protocol import (
    Chunk,
    CycleExecuted,
    CycleUpdate,
    NeedReceived,
    RewardGiven,
    Save,
    SetLearning,
    Started,
    read_key,
)
from ab_ros.protocol.formats import Payload, encode_deviation, encode_raster
from ab_ros.values import Cycle, Deviation, Observation, Reward

_log = logging.getLogger(__name__)
_STATE = "robot:state"


class RemoteBrain(Brain):
    """A brain behind a service of the 0.1 protocol.

    A link that is lost is found again by itself; meanwhile :meth:`run_cycle` raises
    :class:`~ab_ros.errors.BrainUnreachable` when its time is up, and goes on when it is called
    again.  A service that has forgotten the run starts a new one, within :meth:`run_cycle`.

    Parameters
    ----------
    settings : where the service is, and how to speak with it.
    dt : s, duration of a timestep, where the service does not say it.
    seed : of the first run.
    learning : whether rewards change synapses.
    fresh : begin the first run with the brain as it was at first, not as the project knows it.
    clock : returns robot time in s; None: that of the newest observation.
    patience : s in which :meth:`open` asks a service again that is not there, or busy; None: the
        settings' ``connect_timeout``; 0: it asks once.

    Raises
    ------
    ConfigError
        if the key cannot be read.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        *,
        dt: float = 0.001,
        seed: int | None = None,
        learning: bool = True,
        fresh: bool = False,
        clock: Callable[[], float] | None = None,
        patience: float | None = None,
    ) -> None:
        self.settings = settings
        self.dt = dt
        self._key = read_key(settings.key_variable, settings.key_file)
        self._learning = learning
        self._first: dict[str, Any] = {} if seed is None else {"seed": seed}
        if fresh:
            self._first["fresh"] = True
        self._clock = clock
        self._patience = patience
        self._tally = Tally()
        self._session = Session(
            self._tally,
            gated=settings.gated,
            repeat=settings.repeat,
            patience=max(1.0, settings.link_timeout),
            direct=len(settings.direct_channels) if settings.robot_cmd == "deltas" else None,
            direct_gripper=bool(settings.direct_gripper),
        )
        self._encoder = SampleEncoder(settings)
        self._changed = threading.Condition()  # guards session and link
        self._link: Link | None = None
        self._run = ""
        self._last = -1
        self._observed = 0.0
        self._rasters: dict[str, FeedbackRaster] = {}
        self.contract = Contract({"gamma": 1, "outputWindowN": 1, "feedbackN": 1, "feedbackT": 1})

    def __repr__(self) -> str:
        """Show where the brain is."""
        return f"RemoteBrain({self.settings.url!r}, {self.settings.project!r})"

    def __enter__(self) -> RemoteBrain:
        """Open the brain."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the brain."""
        self.close()

    # What it is

    @property
    def run(self) -> str:
        """Id of the run; empty while it is not open."""
        return self._run

    @property
    def size(self) -> int:
        """0: the service does not say how many neurons it has."""
        return 0

    @property
    def learning(self) -> bool:
        """Whether rewards change synapses."""
        return self._learning

    def counts(self) -> Mapping[str, int]:
        """Return what was refused, dropped, late or lost, by name."""
        return self._tally.counts()

    @property
    def last_refusal(self) -> str:  # type: ignore[override]
        """Why something was refused the last time, in a sentence."""
        return self._tally.last

    def complaints(self) -> list[str]:
        """Say what is wrong now."""
        link = self._link
        complaint = link.complaint() if link is not None else ""
        return [complaint] if complaint else []

    # Start and end

    def open(self) -> Contract:
        """Start a run and join it.

        Raises
        ------
        BrainUnreachable
            if the service does not answer within ``connect_timeout``; it may be called again.
        BrainError
            if it refuses, or answers what cannot be used.
        """
        self.close()
        return self._open({})

    def _open(self, extra: Mapping[str, Any]) -> Contract:
        link = Link(self.settings, key=self._key, tally=self._tally)
        try:
            options = {**self._options(), **self._first, **extra}
            started = link.start(options, within=self._patience)
            with self._changed:
                self._link = link
                self._session.begin(started)
                link.subscribe("*", self._on_event)
                link.subscribe(LinkEvent.STARTED, self._on_started)
                link.subscribe(LinkEvent.JOINED, self._on_joined)
                link.subscribe(LinkEvent.LOST, self._on_lost)
                link.subscribe(LinkEvent.FAILED, self._on_failed)
            try:
                self._adopt(started)
                link.join(restart=self._options())
            except BaseException:
                self._stop(link)
                raise
        except BaseException as error:
            with self._changed:
                self._link, self._run = None, ""
            link.close()
            if isinstance(error, ProtocolError):
                raise BrainError(str(error)) from None
            raise
        self._first = {}
        return self.contract

    def close(self) -> None:
        """Send what still waits, stop the run, close the link.  Idempotent, of bounded time."""
        with self._changed:
            link, self._link = self._link, None
            self._run = ""
            self._changed.notify_all()
        if link is None:
            return
        try:
            if link.status is LinkState.JOINED and not link.flush(self.settings.link_timeout):
                self._tally.add("events not sent at the end", count=len(link.outbox))
            self._stop(link)
        finally:
            link.close()

    def reset(self, seed: int | None = None) -> None:
        """End the run and start one without the dynamic state; what was learned stays.

        Raises
        ------
        BrainError
            as :meth:`open`.
        """
        if self._link is None:
            raise BrainError("the brain is not open: call open() first")
        self.close()
        self._open({"reset": True} if seed is None else {"reset": True, "seed": seed})

    def _stop(self, link: Link) -> None:
        try:
            link.stop()
        except AbRosError as error:
            self._tally.add("runs not stopped")
            _log.warning("the run could not be stopped: %s", error)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            **self.settings.options,
            "learning": self._learning,
            "pacing": self.settings.pacing,
        }
        if self.settings.deadline is not None and self.settings.gated:
            options["deadlineMs"] = 1e3 * self.settings.deadline
        return options

    def _adopt(self, started: Started) -> None:
        """Make a run the brain's own."""
        self._run, self.contract = started.run, started.contract
        self.dt = self.dt if started.dt is None else started.dt
        self._last = -1
        self._encoder.reset()
        digest = started.contract.sha256
        self._rasters = {
            port.id: FeedbackRaster(port.id, port.n, started.contract.feedback_timesteps, digest)
            for port in started.contract.feedback
            if self._feedback_format(port.item) == "raster_f32"
        }

    # What the link tells, in its thread

    def _on_event(self, event: str, payload: Any) -> None:
        with self._changed:
            self._session.receive(event, payload, time.monotonic())
            self._changed.notify_all()

    def _on_started(self, _: LinkEvent, started: Started) -> None:
        with self._changed:
            self._session.begin(started)

    def _on_joined(self, _: LinkEvent, state: Any) -> None:
        with self._changed:
            again = self._session.connection > 0
            messages = self._session.rejoined(state, time.monotonic()) if again else []
            for message in messages:
                if self._link is not None:
                    self._link.send(message)
            self._changed.notify_all()

    def _on_lost(self, _: LinkEvent, reason: str) -> None:
        with self._changed:
            self._session.disconnected()

    def _on_failed(self, _: LinkEvent, error: BrainError) -> None:
        with self._changed:
            self._changed.notify_all()

    # A cycle

    def run_cycle(self, observe: Observe, timeout: float) -> Cycle:
        """Answer what the brain asks for and wait for its next cycle.

        Raises
        ------
        BrainUnreachable
            if no cycle came within ``timeout`` s; calling it again goes on where it was.
        BrainError
            if the brain is not open, or has failed until it is opened again.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                self._wait(deadline)
                output = self._session.take_output()
                asked, connection = self._session.asked, self._session.connection
            if output is not None:
                return self._cycle(output)
            assert asked is not None
            self._answer(asked, connection, observe)

    def _wait(self, deadline: float) -> None:
        """Wait for an output, or for a need that can be answered."""
        while True:
            link, session = self._link, self._session
            if link is None:
                raise BrainError("the brain is not open: call open() first")
            if link.error is not None:
                raise BrainError(str(link.error))
            if self._run != session.run and link.started is not None:
                self._adopt(link.started)
            if session.has_output or session.asked is not None:
                return
            left = deadline - time.monotonic()
            if left <= 0.0:
                where = self.settings.endpoint.origin
                raise BrainUnreachable(
                    link.complaint() or f"the service at {where} gave no cycle within the time"
                )
            self._changed.wait(left)

    def _answer(self, asked: Asked, connection: int, observe: Observe) -> None:
        session = self._session
        observations = list(observe(session.need(asked)))
        with self._changed:
            link = self._link
            if link is None or not session.is_current(asked, connection):
                return
            outbox = link.outbox
            answers = session.choose(
                asked, observations, time.monotonic(), outbox.is_waiting, outbox.has_left
            )
        encoded = [(answer, self._encode(answer)) for answer in answers]
        newest = max((o.stamp for o in observations), default=self._observed)
        self._observed = newest
        stamp = self._clock() if self._clock else newest
        with self._changed:
            if self._link is not link or not session.is_current(asked, connection):
                return
            for message in session.commit(asked, encoded, time.monotonic(), stamp, time.time()):
                link.send(message, mailbox=_mailbox(message))

    def _encode(self, answer: Answer) -> Payload | None:
        if answer.observation is None:
            return None
        name = answer.item.id
        try:
            return self._encoder.encode(name, answer.observation)
        except (ObservationError, ProtocolError) as error:
            self._tally.add(f"{name} refused", str(error))
            return None

    def _cycle(self, output: CycleUpdate | DirectCommand) -> Cycle:
        if isinstance(output, DirectCommand):
            # One that has waited, because the robot was paused, is as old as that.
            waited = time.monotonic() - output.came
            times = Answered(self._now() - waited, self._observed)
            cycle = cycle_of_command(
                output, self.settings, self._run, self._last + 1, self.contract, self.dt, times
            )
        else:
            times = self._session.answered(output.cycle) or Answered(self._now(), self._observed)
            free = not self.settings.gated
            cycle, dropped = cycle_of_update(output, self.contract, self.dt, times, free)
            if dropped:
                self._tally.add("rows dropped", count=dropped)
        self._last = max(self._last, cycle.number)
        if not self.settings.gated:
            # Also a service that always waits for it shall then run freely.
            self._mark_executed(cycle.number)
        return cycle

    # After a cycle

    def done(self, cycle: int) -> None:
        """Tell that a cycle's commands were executed, or refused; the gated brain waits for it.

        A brain that runs freely has been told so when its cycle came.
        """
        if self.settings.gated:
            self._mark_executed(cycle)

    def _mark_executed(self, cycle: int) -> None:
        with self._changed:
            link = self._ours("cycle done")
            if link is not None and self._session.executed(cycle, time.monotonic()):
                link.send(CycleExecuted(self._run, cycle), acknowledged=True)

    def feedback(self, deviation: Deviation, cycle: int) -> None:
        """Send a deviation, or the raster that it makes where the contract wants that.

        Raises
        ------
        ContractError
            for a feedback that the contract lacks.
        PolicyError
            if it does not have feedbackT values.
        BrainError
            if too much waits to be sent.
        """
        port = self.contract.feedback_port(deviation.feedback)
        with self._changed:
            link = self._ours("feedback")
            if link is None:
                return
            raster = self._rasters.get(port.id)
            if raster is not None:
                payload = encode_raster(raster.apply(deviation))
            else:
                payload = encode_deviation(deviation, port.n)
            meta = {**payload.meta, "cycle": cycle}
            chunk = Chunk(
                self._run,
                port.id,
                "Feedback",
                cycle,
                self._now(),
                payload.format,
                meta,
                payload.data,
            )
            link.send(chunk, acknowledged=True)

    def reward(self, reward: Reward, cycle: int) -> bool:
        """Send the reward of a cycle; return False if its run has ended."""
        with self._changed:
            link = self._ours("reward")
            if link is None:
                return False
            if self._learning:
                layers = self.contract.stdp3_layers
                given = RewardGiven.complete(self._run, cycle, reward, layers)
                link.send(given, acknowledged=True)
            return True

    def state(self, joints: Observation) -> None:
        """Send the robot's state at ``state_rate`` at most; the newest one wins."""
        with self._changed:
            link, run = self._link, self._session.run
            extended = bool(self._session.extensions)
        if link is None or link.status is not LinkState.JOINED:
            self._tally.add(f"{_STATE} dropped")
            return
        try:
            message = robot_state(run, joints, self.settings, extended)
        except ObservationError as error:
            self._tally.add(f"{_STATE} refused", str(error))
            return
        link.send(message, mailbox=_STATE, rate=self.settings.state_rate)

    def set_learning(self, on: bool) -> None:
        """Switch learning on or off: at the service if it can, else by sending no rewards."""
        with self._changed:
            self._learning = on
            link = self._link
            if link is None:
                return
            link.set_restart(self._options())
            if "learning" in self._session.extensions:
                link.send(SetLearning(self._session.run, on), acknowledged=True)

    def save(self, path: Path) -> None:
        """Have the service save the brain, where it keeps it; ``path`` is not used.

        Raises
        ------
        BrainError
            if the service cannot, or does not answer.
        """
        with self._changed:
            link, run = self._link, self._session.run
            able = "save" in self._session.extensions
        if link is None:
            raise BrainError("the brain is not open: call open() first")
        if not able:
            raise BrainError(
                f"a remote brain is kept by its service, and the one at"
                f" {self.settings.endpoint.origin} does not save when it is asked to"
            )
        answer = link.request(Save(run), self.settings.connect_timeout)
        if not isinstance(answer, Mapping) or answer.get("ok") is not True:
            reason = answer.get("reason") if isinstance(answer, Mapping) else answer
            raise BrainError(f"the service did not save the brain: {str(reason)[:200]}")

    def _ours(self, what: str) -> Link | None:
        """Return the link, if the run that the owner knows is still the service's."""
        if self._link is not None and self._run == self._session.run:
            return self._link
        self._tally.add(f"{what} of another run")
        return None

    def _now(self) -> float:
        return self._clock() if self._clock else self._observed

    def _feedback_format(self, item: Mapping[str, Any]) -> str:
        return self.settings.feedback_format or str(item.get("format") or "deviation_f32")


def _mailbox(message: Any) -> str:
    return f"{message.event} {message.id}" if isinstance(message, NeedReceived) else message.input
