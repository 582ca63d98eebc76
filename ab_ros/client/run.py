"""A run of a brain: what it says is handed on in order, what the robot says is sent."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ab_ros.client.connection import Connection
from ab_ros.client.exchange import Exchange, Request, Update
from ab_ros.client.handlers import Handler, Handlers
from ab_ros.client.mailbox import Mailbox
from ab_ros.client.plugins.decoder import Deltas, MappingDecoder, RowDecoder, decoder_of
from ab_ros.client.plugins.judgement import Judgement
from ab_ros.client.samples import finite_array, read_sample, read_state, unit_value
from ab_ros.contract import Contract
from ab_ros.errors import BrainError, ConfigError, ProtocolError
from ab_ros.protocol import Message
from ab_ros.protocol.formats import Payload, encode_deviation, encode_raster
from ab_ros.protocol.messages import (
    Chunk,
    CycleExecuted,
    CycleUpdate,
    NeedAsked,
    NeedItem,
    NeedReceived,
    RewardGiven,
    contract_to_wire,
)
from ab_ros.values import Deviation, Reward

_log = logging.getLogger(__name__)

_USUAL_DT = 0.001


class Part(Protocol):
    """What runs along with a run and ends with it."""

    def stop(self) -> None:
        """End."""


class Run:
    """One run of a project's brain; made by :meth:`ab_ros.client.ABClient.start`.

    The connection is restored by itself when it was lost.  If the service was started anew
    meanwhile, the run goes on as a new one: :attr:`run_id` changes then, and cycles count from 0.

    Attributes
    ----------
    updates : of cycles, for whoever executes them; the oldest is dropped if nobody does.
    requests : of samples; only the newest need counts.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.updates: Mailbox[Update] = Mailbox(64)
        self.requests: Mailbox[Request] = Mailbox(1)
        self._handlers = Handlers()
        self._decoder: RowDecoder | None = None
        self._judgement = Judgement()
        self._counts: Counter[str] = Counter()
        self._parts: list[Part] = []
        self._lock = threading.RLock()
        self._exchange = Exchange()
        self._closed = False

    # What it is

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._connection.run

    @property
    def contract(self) -> Contract:
        """What the brain takes and gives."""
        return self._connection.contract

    @property
    def constants(self) -> Mapping[str, int]:
        """``gamma``, ``outputWindowN``, ``feedbackN``, ``feedbackT``."""
        return dict(self.contract.constants)

    @property
    def io(self) -> dict[str, Any]:
        """``inputs``, ``outputs``, ``feedback`` and ``stdp3`` of the contract, as it came."""
        io: dict[str, Any] = contract_to_wire(self.contract)["io"]
        return io

    @property
    def dt(self) -> float:
        """Duration of a timestep in s; 1 ms if the service does not say."""
        return self._connection.dt or _USUAL_DT

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def lost_for(self) -> float:
        """Return for how long there has been no connection, s; 0 while there is one."""
        return self._connection.lost_for()

    def check(self) -> None:
        """Raise the BrainError that has ended the run for good, if one has."""
        self._connection.check()

    def counts(self) -> Mapping[str, int]:
        """Return how often what was dropped, refused or ignored, by name."""
        dropped = {"update dropped": self.updates.dropped, "need replaced": self.requests.dropped}
        failed = {f"handler of {event} failed": n for event, n in self._handlers.failed.items()}
        counts = {**self._connection.counts(), **self._counts, **self._judgement.failed}
        return {**counts, **failed, **{name: n for name, n in dropped.items() if n}}

    # What the user adds

    def set_decoder(self, decoder: object) -> None:
        """Set what turns the rows of a cycle into deltas.

        Parameters
        ----------
        decoder : a :class:`~ab_ros.client.plugins.decoder.MappingDecoder`, a list of
            ``MappingEntry``, or a function from rows to ``{timestep: {channel: delta}}``.

        Raises
        ------
        ConfigError, ContractError
            if it is none of these, or names a population that the contract lacks.
        """
        chosen = decoder_of(decoder)
        if isinstance(chosen, MappingDecoder):
            chosen.check(self.contract)
        self._decoder = chosen

    def set_deviation(self, plugin: object) -> None:
        """Set what computes deviations, once per cycle for each feedback of the contract.

        Parameters
        ----------
        plugin : has ``compute_deviation(feedback_id, *, T, ctx)``, or is such a function; None
            for none.
        """
        self._judgement.set_deviation(plugin)

    def set_reward(self, plugin: object) -> None:
        """Set what computes the reward, once per cycle.

        Parameters
        ----------
        plugin : has ``compute_reward(summary, *, stdp_layers)``, or is such a function; None for
            none.
        """
        self._judgement.set_reward(plugin)

    @property
    def has_decoder(self) -> bool:
        """Whether a decoder was set."""
        return self._decoder is not None

    @property
    def has_plugins(self) -> bool:
        """Whether a deviation or reward was set."""
        return bool(self._judgement)

    def decode(self, rows: Iterable[Any]) -> Deltas:
        """Decode rows with the run's decoder; a ConfigError if none was set."""
        if self._decoder is None:
            raise ConfigError("the run has no decoder: set one by Run.set_decoder")
        return self._decoder(rows)

    def on(self, event: str, handler: Handler) -> None:
        """Call a handler with the payload of each event of this name, in order.

        Besides the service's own (``cycle:update``, ``io:need``, ``robot:cmd`` …) there are
        ``connected`` (the run's id) and ``disconnected`` (why).  Handlers are called in the one
        thread that hands on events, so a slow one delays all others.  A legacy ``robot:cmd`` moves
        nothing unless a handler does it.
        """
        self._handlers.add(event, handler)

    # What the robot sends

    def send_chunk(
        self,
        input_id: str,
        kind: str,
        format: str,
        data: Any,
        meta: Mapping[str, Any] | None = None,
        *,
        cycle: int | None = None,
    ) -> None:
        """Send a sample of an input.

        Raises
        ------
        ObservationError
            if it is no sample.
        BrainError
            if the run was closed.
        """
        payload = read_sample({"format": format, "meta": meta, "data": data})
        self._send_payload(input_id, kind, payload, time.time(), cycle)

    def send_state(self, state: Mapping[str, Any], *, cycle: int | None = None) -> None:
        """Send the robot's state ``{"q", "dq", "grip": {"pos"}, "dt"}``.

        Raises
        ------
        ObservationError
            if it has another form, or is not finite; nothing is sent.
        """
        self.send_message(read_state(self.run_id, state, cycle))

    def send_reward(
        self, cycle: int, global_reward: float, by_layer: Mapping[str, float] | None = None
    ) -> None:
        """Reward a cycle; values are clamped to [0, 1], missing layers get the global one.

        Raises
        ------
        PolicyError
            for a value that is not finite; nothing is sent.
        """
        layers = {
            layer: unit_value(f"reward of layer {layer!r}", value)
            for layer, value in (by_layer or {}).items()
            if layer in self.contract.stdp3_layers
        }
        reward = Reward(unit_value("global reward", global_reward), layers)
        self._send_reward(self.run_id, cycle, reward)

    def send_deviation(self, feedback_id: str, values: Sequence[float], cycle: int) -> None:
        """Send feedbackT deviations of a feedback; values are clamped to [-1, 1].

        Raises
        ------
        PolicyError
            for another number of values, or one that is not finite; nothing is sent.
        ContractError
            if there is no such feedback.
        """
        port = self.contract.feedback_port(feedback_id)
        form = (self.contract.feedback_timesteps,)
        array = finite_array(f"deviation {feedback_id!r}", values, form)
        deviation = Deviation(port.id, np.clip(array, -1.0, 1.0))
        self._send_deviation(self.run_id, cycle, deviation)

    def send_feedback_raster(self, feedback_id: str, raster: Any, cycle: int) -> None:
        """Send the raster of a feedback [feedbackT, n] instead of a deviation.

        Raises
        ------
        PolicyError
            if it has another form, or values that are not finite; nothing is sent.
        ContractError
            if there is no such feedback.
        """
        port = self.contract.feedback_port(feedback_id)
        form = (self.contract.feedback_timesteps, port.n)
        array = finite_array(f"raster of feedback {feedback_id!r}", raster, form)
        self._send_feedback(self.run_id, cycle, feedback_id, encode_raster(array))

    def cycle_done(self, cycle: int, *, run: str = "") -> None:
        """Tell that a cycle's commands were executed, or refused; see :meth:`finish_cycle`."""
        self._post(CycleExecuted(run or self.run_id, cycle), counts=True)
        with self._lock:
            self._exchange.done(time.monotonic())

    def finish_cycle(
        self, cycle: int, summary: Mapping[str, Any] | None = None, *, run: str = ""
    ) -> None:
        """Send that a cycle is done, then its deviations, then its reward.

        :class:`~ab_ros.client.RobotLoop` does this; a loop of the user's own calls it once for
        each ``cycle:update``.  A plug-in that fails, or returns what is not finite, is logged and
        counted, and nothing is sent of it.

        Parameters
        ----------
        cycle : that was executed, or refused.
        summary : what the plug-ins get.  RobotLoop gives what
            :meth:`ab_ros.learning.critic.Moment.summary` does, and ``deltas``
            ({timestep: {channel: delta}}), ``telemetry`` and ``state`` (as the robot gave it).
        run : the ``runId`` of the cycle's update; empty: the run that goes on now.
        """
        run = run or self.run_id
        self.cycle_done(cycle, run=run)
        told = {"run": run, "cycle": cycle, **(summary or {})}
        for deviation in self._judgement.deviations(self.contract, cycle, told):
            self._send_deviation(run, cycle, deviation)
        reward = self._judgement.reward(self.contract, cycle, told)
        if reward is not None:
            self._send_reward(run, cycle, reward)

    def send_message(self, message: Message) -> None:
        """Send a message of which only the newest counts, such as the robot's state."""
        self._post(message, mailbox=message.event)

    # Samples that were asked for

    def may_send(self, input_id: str) -> bool:
        """Whether the last sample of an input has arrived, so that a new one would not queue."""
        mailbox = _mailbox(Chunk.event, input_id)
        with self._lock:
            return self._exchange.may_send(
                input_id,
                self._connection.waits(mailbox),
                self._connection.has_left(mailbox),
                time.monotonic(),
            )

    def answer(
        self,
        request: Request,
        item: NeedItem,
        sample: str,
        kind: str = "",
        payload: Payload | None = None,
        taken: float = 0.0,
    ) -> bool:
        """Answer an item of a need; return False if the need does not stand any more.

        Parameters
        ----------
        request : the need.
        item : of it.
        sample : tells a server that wants to know what comes: ``new``, ``same``, ``none`` or "".
        kind, payload, taken : of a new sample, the last in unix s.
        """
        need = request.need
        told = sample if "hold" in self._connection.extensions else ""
        mark = NeedReceived(need.run, need.cycle, item.id, item.kind, time.time(), told)
        with self._lock:
            # Else it would wait for the next connection, and arrive late as if it were new.
            if request.connection != self._exchange.connection or self._closed:
                return False
            self._post(mark, mailbox=_mailbox(mark.event, item.id))
            if payload is not None:
                self._send_payload(item.id, kind, payload, taken, need.cycle)
            return True

    # Its end

    def add_part(self, part: Part) -> None:
        """Let something end with the run; a BrainError if the run was closed."""
        with self._lock:
            if self._closed:
                raise BrainError("the run was closed: start a new one")
            self._parts.append(part)

    def remove_part(self, part: Part) -> None:
        """Let something that has ended go."""
        with self._lock:
            if part in self._parts:
                self._parts.remove(part)

    def close(self) -> None:
        """Stop streamer and loop, end the run at the service, and close the connection.

        What was sent before is delivered first, while the service takes it.  May be called twice,
        and from any thread; if from a handler of :meth:`on`, it returns before all is closed.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._handlers.called_here():
            threading.Thread(target=self._end, name="ab_ros closing").start()
        else:
            self._end()

    def _end(self) -> None:
        with self._lock:
            parts = list(self._parts)
        for part in parts:
            part.stop()
        self.updates.wake()
        self.requests.wake()
        self._connection.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # From the connection, in its one thread

    def heard(self, event: str, payload: Any) -> None:
        """Take an event of the service."""
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("received %s of cycle %s", event, _cycle_of(payload))
        known = False
        try:
            if event == NeedAsked.event:
                self._asked_for(NeedAsked.from_wire(payload))
                known = True
            elif event == CycleUpdate.event:
                self._updated(CycleUpdate.from_wire(payload))
                known = True
        except ProtocolError as error:
            self._count(f"{event} unreadable")
            _log.error("%s", error)
            return
        if not self._handlers.call(event, payload) and not known:
            # A direct command moves nothing unless the user takes it.
            self._count("robot:cmd ignored" if event == "robot:cmd" else "unknown event ignored")

    def began(self) -> None:
        """Note that the service has a new run: sequence and cycle numbers count anew."""
        with self._lock:
            self._exchange.began()
        self.updates.clear()
        _log.warning("the service had forgotten the run: it goes on as %s", self.run_id)

    def joined(self, need: NeedAsked | None = None) -> None:
        """Note that the connection stands; ``need`` is what was asked meanwhile."""
        _log.info("run %s: connected", self.run_id)
        if need is not None:
            self._asked_for(need)
        self._handlers.call("connected", self.run_id)

    def lost(self, reason: str) -> None:
        """Note that the connection is lost: what was asked will be asked again."""
        with self._lock:
            self._exchange.lost()
        self.requests.clear()
        _log.warning("run %s: connection lost: %s", self.run_id, reason)
        self._handlers.call("disconnected", reason)

    def failed(self) -> None:
        """Note that the connection has ended for good; :meth:`check` says why."""
        self.updates.wake()

    def _asked_for(self, need: NeedAsked) -> None:
        if need.run != self.run_id:
            self._count("need of another run")
            return
        with self._lock:
            request = self._exchange.asked(need, time.monotonic())
        self.requests.put(request)

    def _updated(self, message: CycleUpdate) -> None:
        if message.run != self.run_id:
            self._count("update of another run")
            return
        with self._lock:
            update = self._exchange.updated(message, time.monotonic())
        self.updates.put(update)

    # Sending

    def _send_payload(
        self, input_id: str, kind: str, payload: Payload, taken: float, cycle: int | None
    ) -> None:
        meta = dict(payload.meta)
        if cycle is not None:
            meta.setdefault("cycle", cycle)
        with self._lock:
            seq = self._exchange.sent(input_id, taken, time.monotonic())
            chunk = Chunk(
                self.run_id, input_id, kind, seq, taken, payload.format, meta, payload.data
            )
            self._post(chunk, mailbox=_mailbox(chunk.event, input_id))

    def _send_deviation(self, run: str, cycle: int, deviation: Deviation) -> None:
        port = self.contract.feedback_port(deviation.feedback)
        self._send_feedback(run, cycle, port.id, encode_deviation(deviation, port.n))

    def _send_feedback(self, run: str, cycle: int, feedback_id: str, payload: Payload) -> None:
        meta = {**payload.meta, "cycle": cycle}
        format, data = payload.format, payload.data
        chunk = Chunk(run, feedback_id, "Feedback", cycle, time.time(), format, meta, data)
        self._post(chunk, counts=True)

    def _send_reward(self, run: str, cycle: int, reward: Reward) -> None:
        given = RewardGiven.complete(run, cycle, reward, self.contract.stdp3_layers)
        self._post(given, counts=True)

    def _post(self, message: Message, *, mailbox: str = "", counts: bool = False) -> None:
        if self._closed:
            raise BrainError(f"{message.event}: the run was closed: start a new one")
        if message.run != self.run_id:
            # The service has a new run since: it must not take this for its own.
            self._count(f"{message.event} of an ended run")
            return
        _log.debug("send %s", message.event)
        self._connection.post(message, mailbox=mailbox, counts=counts)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


def _mailbox(event: str, input_id: str) -> str:
    return f"{event} {input_id}"


def _cycle_of(payload: Any) -> Any:
    return payload.get("cycle") if isinstance(payload, Mapping) else None
