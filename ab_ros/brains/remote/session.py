"""The logic of a run with a brain elsewhere: needs, samples, cycles.  No sockets, threads, clocks.

A session is fed with what came (:meth:`Session.receive`), with times in s of one steady clock, and
says what is to be sent.  Nothing that comes from the service makes it raise: what cannot be
understood, or belongs to another run or an older cycle, is counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ab_ros.brains.remote.tally import Tally
from ab_ros.contract import Contract
from ab_ros.errors import ProtocolError
from ab_ros.protocol import (
    Chunk,
    CycleExecuted,
    CycleUpdate,
    Message,
    NeedAsked,
    NeedItem,
    NeedReceived,
    RunState,
    Started,
)
from ab_ros.protocol.fields import (
    finite,
    read_integer,
    read_numbers,
    read_object,
    read_optional_text,
)
from ab_ros.protocol.formats import Payload
from ab_ros.values import Need, Observation

_KEPT_OUTPUTS = 2  # more would let a slow robot act on ever older cycles
_KEPT_ANSWERS = 64


@dataclass(frozen=True)
class DirectCommand:
    """A legacy ``robot:cmd``: changes of joints and gripper; ``cycle`` if it names one.

    ``came`` is when it came, s.
    """

    dq: tuple[float, ...]
    dg: float | None
    cycle: int | None
    came: float


@dataclass(frozen=True)
class Asked:
    """A need that is not answered yet, and when it came."""

    message: NeedAsked
    came: float


@dataclass(frozen=True)
class Answer:
    """What is to be done for one item of a need.

    ``sample`` is ``new`` (send ``observation``), ``same`` (the last chunk holds) or ``none``;
    ``again`` is a chunk that goes out a second time.
    """

    item: NeedItem
    sample: str
    observation: Observation | None = None
    again: Chunk | None = None


@dataclass(frozen=True)
class Answered:
    """Robot times of the answer to a cycle's need: of the answer, and of its newest sample."""

    stamp: float
    observed: float


@dataclass
class _Stream:
    """Chunks of one input: the last one that was sent, and whether it has arrived."""

    seq: int = 0
    arrived: int = 0
    stamp: float | None = None
    sent_at: float = -math.inf
    last: Chunk | None = None


class Session:
    """One run after the other with a service.

    Parameters
    ----------
    tally : counts what is refused, dropped or ignored.
    gated : whether the brain waits for each cycle's execution.
    repeat : whether a sample is sent again to a service that knows no ``hold``.
    patience : s after which a chunk that was not confirmed counts as lost.
    direct : how many joints a direct command has; None: direct commands are refused.
    direct_gripper : whether a direct command may move a gripper.
    """

    def __init__(
        self,
        tally: Tally,
        *,
        gated: bool = True,
        repeat: bool = True,
        patience: float = 2.0,
        direct: int | None = None,
        direct_gripper: bool = False,
    ) -> None:
        self._tally = tally
        self._gated, self._repeat, self._patience = gated, repeat, patience
        self._direct, self._direct_gripper = direct, direct_gripper
        self.run = ""
        self.contract = Contract({"gamma": 1, "outputWindowN": 1, "feedbackN": 1, "feedbackT": 1})
        self.extensions: frozenset[str] = frozenset()
        self._forget()

    def _forget(self) -> None:
        self.connection = 0
        self.newest = -1
        self._executed = -1
        self._gate_opened = -math.inf
        self._asked: Asked | None = None
        self._outputs: deque[CycleUpdate | DirectCommand] = deque()
        self._streams: dict[str, _Stream] = {}
        self._confirms = False
        self._answered: dict[int, Answered] = {}

    # What happens

    def begin(self, started: Started) -> None:
        """Begin a run; nothing of the one before holds any more."""
        self._forget()
        self.run, self.contract, self.extensions = (
            started.run,
            started.contract,
            started.extensions,
        )
        # A service that holds samples says what it has received, with its first update at the
        # latest: until then nothing has arrived for certain.
        self._confirms = "hold" in self.extensions

    def disconnected(self) -> None:
        """Note that the link is lost.

        What was asked will be asked again; what was sent and not confirmed may be sent again.
        """
        self.connection += 1
        self._asked = None
        for stream in self._streams.values():
            if stream.arrived < stream.seq:
                stream.arrived, stream.stamp, stream.last = stream.seq, None, None

    def rejoined(self, state: RunState, now: float) -> list[Message]:
        """Take the answer of ``io/state``, after the run was joined again.

        A service that sends its need again by itself needs none of it.  To one that does not
        acknowledge the last mark of an executed cycle is sent again: if it was lost with the link,
        the service would wait for it for ever.

        Returns
        -------
        messages to be sent.
        """
        if state.run == self.run and state.need and "resend" not in self.extensions:
            self._take_need(state.need, now)
        unsure = 0 <= self._executed == self.newest and "ack" not in self.extensions
        return [CycleExecuted(self.run, self._executed)] if unsure else []

    def receive(self, event: str, payload: Any, now: float) -> None:
        """Take an event of the service."""
        try:
            if event == NeedAsked.event:
                self._take_need(NeedAsked.from_wire(payload), now)
            elif event == CycleUpdate.event:
                self._take_update(CycleUpdate.from_wire(payload))
            elif event == "robot:cmd":
                self._take_command(payload, now)
            else:
                self._tally.add("unknown events")
        except ProtocolError as error:
            self._tally.add(f"{event} refused", str(error))

    def executed(self, cycle: int, now: float) -> bool:
        """Note that a cycle was executed; False if that is known already."""
        if cycle <= self._executed:
            self._tally.add("cycle done repeated")
            return False
        self._executed, self._gate_opened = cycle, now
        return True

    # What is wanted

    @property
    def asked(self) -> Asked | None:
        """The need that waits for an answer."""
        return self._asked

    def is_current(self, asked: Asked, connection: int) -> bool:
        """Whether a need that was being answered still stands, on the same connection."""
        return self._asked is asked and self.connection == connection

    def take_output(self) -> CycleUpdate | DirectCommand | None:
        """Remove and return the next cycle, or direct command."""
        return self._outputs.popleft() if self._outputs else None

    @property
    def has_output(self) -> bool:
        """Whether a cycle waits."""
        return bool(self._outputs)

    def answered(self, cycle: int) -> Answered | None:
        """Return the times of the answer to a cycle's need, else of the last one before it.

        A cycle whose need was not answered is no younger than what the service has heard before.
        """
        earlier = [number for number in self._answered if number <= cycle]
        return self._answered[max(earlier)] if earlier else None

    def need(self, asked: Asked) -> Need:
        """Return a need as the Brain port has it."""
        items = asked.message.needs
        return Need(
            asked.message.cycle,
            tuple(item.id for item in items if not self._is_feedback(item)),
            tuple(item.id for item in items if self._is_feedback(item)),
            self.deadline(asked),
        )

    def deadline(self, asked: Asked) -> float:
        """Return when a need's deadline ends: counted from when the brain's gate was opened."""
        opened = self._gate_opened if self._executed >= asked.message.cycle - 1 else -math.inf
        return max(asked.came, opened if self._gated else -math.inf) + asked.message.deadline

    # Answering a need

    def choose(
        self,
        asked: Asked,
        observations: Iterable[Observation],
        now: float,
        waits: Callable[[str], bool],
        has_left: Callable[[str], bool],
    ) -> list[Answer]:
        """Choose what answers each item of a need: by its id, else by its kind.

        Parameters
        ----------
        asked : the need.
        observations : samples that there are.
        now : s.
        waits : tells of an input whether its last chunk was not even sent yet.
        has_left : tells of an input whether its last chunk has left this computer.
        """
        by_id = {observation.id: observation for observation in observations}
        items = asked.message.needs
        own = {item.id for item in items}
        spare = [observation for name, observation in by_id.items() if name not in own]
        late = now > self.deadline(asked)
        answers = []
        for item in items:
            if self._is_feedback(item):
                answers.append(Answer(item, "none"))  # it comes with its cycle, or not at all
                continue
            observation = by_id.get(item.id)
            if observation is None:
                kind = item.kind or self._kind_of(item.id)
                of_kind = [o for o in spare if kind and o.kind == kind]
                observation = of_kind[0] if len(of_kind) == 1 else None
            answers.append(self._choose(item, observation, now, late, waits, has_left))
        return answers

    def _choose(
        self,
        item: NeedItem,
        observation: Observation | None,
        now: float,
        late: bool,
        waits: Callable[[str], bool],
        has_left: Callable[[str], bool],
    ) -> Answer:
        stream = self._streams.setdefault(item.id, _Stream())
        if observation is None:
            if not late:
                self._tally.add(f"{item.id} without a sample")
            return Answer(item, "same" if late else "none")
        sent = stream.stamp is not None and observation.stamp == stream.stamp
        if late:
            if not sent:
                self._tally.add(f"{item.id} late")
            return Answer(item, "same")
        under_way = self._is_under_way(item.id, stream, now, waits, has_left)
        if sent:
            repeat = self._repeat and "hold" not in self.extensions and not under_way
            return Answer(item, "same", again=stream.last if repeat else None)
        if under_way:
            self._tally.add(f"{item.id} held back")
            return Answer(item, "same")
        return Answer(item, "new", observation)

    def _is_under_way(
        self,
        name: str,
        stream: _Stream,
        now: float,
        waits: Callable[[str], bool],
        has_left: Callable[[str], bool],
    ) -> bool:
        if stream.arrived >= stream.seq or waits(name):
            return False
        if not self._confirms:
            return not has_left(name)
        if now - stream.sent_at <= self._patience:
            return True
        self._tally.add(f"{name} unconfirmed")
        return False

    def commit(
        self,
        asked: Asked,
        answers: Sequence[tuple[Answer, Payload | None]],
        now: float,
        stamp: float,
        clock: float,
    ) -> list[Message]:
        """Answer a need: return the messages to be sent, in order.

        Parameters
        ----------
        asked : the need; it is answered now.
        answers : what was chosen, with the encoded sample of each new one; None if that failed.
        now : s.
        stamp : s, robot time of the answer.
        clock : s, unix time.
        """
        cycle = asked.message.cycle
        late = now > self.deadline(asked)
        hold = "hold" in self.extensions
        marks: list[Message] = []
        chunks: list[Chunk] = []
        for answer, payload in answers:
            item, sample = answer.item, answer.sample
            if sample == "new" and payload is None:
                sample = "none"
            elif sample == "new" and late:
                self._tally.add(f"{item.id} late")
                sample = "same"
            told = sample if hold and not self._is_feedback(item) else ""
            marks.append(NeedReceived(self.run, cycle, item.id, item.kind, clock, told))
            if sample == "new" and payload is not None and answer.observation is not None:
                chunks.append(self._new_chunk(item, cycle, answer.observation, payload, now))
            elif answer.again is not None and not late:
                again = answer.again
                meta = {**again.meta, "cycle": cycle}
                chunks.append(
                    Chunk(
                        self.run,
                        item.id,
                        item.kind,
                        again.seq,
                        again.t,
                        again.format,
                        meta,
                        again.data,
                    )
                )
        stamps = [stream.stamp for stream in self._streams.values() if stream.stamp is not None]
        self._answered[cycle] = Answered(stamp, max(stamps, default=stamp))
        while len(self._answered) > _KEPT_ANSWERS:
            del self._answered[next(iter(self._answered))]
        self._asked = None
        # What is small need not wait for an image.
        chunks.sort(key=lambda chunk: len(chunk.data))
        return [*marks, *chunks]

    def _new_chunk(
        self, item: NeedItem, cycle: int, observation: Observation, payload: Payload, now: float
    ) -> Chunk:
        stream = self._streams[item.id]
        stream.seq += 1
        stream.stamp, stream.sent_at = observation.stamp, now
        meta = {**payload.meta, "cycle": payload.meta.get("cycle", cycle)}
        stream.last = Chunk(
            self.run,
            item.id,
            item.kind,
            stream.seq,
            observation.stamp,
            payload.format,
            meta,
            payload.data,
        )
        return stream.last

    # What the service sends

    def _take_need(self, need: NeedAsked, now: float) -> None:
        if not self._is_ours(need.event, need.run):
            return
        if need.cycle <= self.newest or (
            self._asked is not None and need.cycle < self._asked.message.cycle
        ):
            self._tally.add(f"{need.event} of an old cycle")
            return
        if self._asked is not None:
            self._tally.add(f"{need.event} replaced")
        self._asked = Asked(need, now)

    def _take_update(self, update: CycleUpdate) -> None:
        if not self._is_ours(update.event, update.run):
            return
        if update.cycle <= self.newest:
            self._tally.add(f"{update.event} of an old cycle")
            return
        self.newest = update.cycle
        if self._asked is not None and self._asked.message.cycle <= update.cycle:
            self._tally.add("needs not waited for")
            self._asked = None
        self._confirms = self._confirms or bool(update.received)
        for name, seq in update.received.items():
            stream = self._streams.get(name)
            if stream is not None:
                stream.arrived = max(stream.arrived, min(seq, stream.seq))
        self._put_out(update)

    def _take_command(self, payload: Any, now: float) -> None:
        event = "robot:cmd"
        data = read_object(event, payload)
        run = read_optional_text(event, data, "runId")
        if run and not self._is_ours(event, run):
            return
        if self._direct is None:
            self._tally.add(
                f"{event} refused",
                f"{event}: direct commands are refused; robot_cmd: deltas lets them pass through"
                f" the motor stage",
            )
            return
        dq = read_numbers(event, data, "dq")
        dg = data.get("dg")
        if dg is not None and not self._direct_gripper:
            raise ProtocolError(f"{event}: has a dg, but direct_gripper names no channel")
        if len(dq) != self._direct:
            raise ProtocolError(
                f"{event}: dq must have {self._direct} values, as direct_channels says, not"
                f" {len(dq)}"
            )
        cycle = None if data.get("cycle") is None else read_integer(event, data, "cycle")
        if cycle is not None:
            if cycle <= self.newest:
                self._tally.add(f"{event} of an old cycle")
                return
            self.newest = cycle
        grip = None if dg is None else finite(event, "dg", dg)
        self._put_out(DirectCommand(dq, grip, cycle, now))

    def _put_out(self, output: CycleUpdate | DirectCommand) -> None:
        if len(self._outputs) == _KEPT_OUTPUTS:
            self._outputs.popleft()
            self._tally.add("cycles skipped")
        self._outputs.append(output)

    def _is_ours(self, event: str, run: str) -> bool:
        if run == self.run:
            return True
        self._tally.add(f"{event} of another run")
        return False

    def _is_feedback(self, item: NeedItem) -> bool:
        return (
            item.kind == "Feedback"
            or bool(item.from_output)
            or any(port.id == item.id for port in self.contract.feedback)
        )

    def _kind_of(self, name: str) -> str:
        return next((port.kind for port in self.contract.inputs if port.id == name), "")
