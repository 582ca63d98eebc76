"""What was asked, sent and answered: sequence numbers, what is under way, and how old things are.

No sockets, threads or clocks: times are s on the steady clock, given by the caller.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ab_ros.protocol import CycleUpdate, NeedAsked

_REMEMBERED = 256
_PATIENCE = 2.0


@dataclass(frozen=True, eq=False)
class Request:
    """A need, when it came, and over which connection (they are counted)."""

    need: NeedAsked
    received: float
    connection: int = 0

    def late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return now >= self.received + self.need.deadline


@dataclass(frozen=True, eq=False)
class Update:
    """The output of a cycle, and since when what it says has been getting older.

    ``fresh_at`` is the earliest of: ``received``, the arrival of its need (or later, when the
    cycle before was marked as done), the sending of the newest sample in it, if the server says.
    """

    message: CycleUpdate
    received: float
    fresh_at: float


@dataclass
class _Stream:
    """Samples of one input: the last ``seq`` sent, the last that has arrived, and when sent."""

    seq: int = 0
    arrived: int = 0
    at: float = -math.inf


class Exchange:
    """What goes to and fro between a robot and its brain.

    Attributes
    ----------
    connection : how often the connection was lost.
    """

    def __init__(self) -> None:
        self.connection = 0
        self._streams: dict[str, _Stream] = {}
        self._sent_at: OrderedDict[float, float] = OrderedDict()
        self._asked_at: OrderedDict[int, float] = OrderedDict()
        self._done_at = -math.inf
        self._confirms = False

    def began(self) -> None:
        """Begin a run: sequence and cycle numbers count anew."""
        self._streams.clear()
        self._asked_at.clear()

    def lost(self) -> None:
        """Note that the connection is lost: what was under way will not arrive."""
        self.connection += 1
        for stream in self._streams.values():
            stream.arrived = stream.seq

    def asked(self, need: NeedAsked, now: float) -> Request:
        """Take a need."""
        _remember(self._asked_at, need.cycle, now)
        return Request(need, now, self.connection)

    def may_send(self, input_id: str, waits: bool, has_left: bool, now: float) -> bool:
        """Whether a new sample of an input would not queue behind its last one.

        Parameters
        ----------
        input_id : of the input.
        waits : whether its last chunk was not begun to be sent, so that a new one replaces it.
        has_left : whether it has left this computer.
        now : s.
        """
        stream = self._streams.get(input_id)
        if stream is None or stream.arrived >= stream.seq or waits:
            return True
        if not has_left:
            return False
        # A server that tells what has arrived has lost a sample of which it never speaks.
        return not self._confirms or now - stream.at > _PATIENCE

    def sent(self, input_id: str, taken: float, now: float) -> int:
        """Note a sample of an input, taken at ``taken`` (unix s); return its sequence number."""
        stream = self._streams.setdefault(input_id, _Stream())
        stream.seq += 1
        stream.at = now
        _remember(self._sent_at, taken, now)
        return stream.seq

    def done(self, now: float) -> None:
        """Note that a cycle was marked as done."""
        self._done_at = now

    def updated(self, message: CycleUpdate, now: float) -> Update:
        """Take the output of a cycle."""
        self._confirms = self._confirms or bool(message.received)
        for input_id, seq in message.received.items():
            stream = self._streams.get(input_id)
            if stream is not None:
                stream.arrived = max(stream.arrived, min(seq, stream.seq))
        fresh_at = now
        if message.cycle in self._asked_at:
            # A gated brain runs the cycle only once the one before was marked as done.
            fresh_at = min(fresh_at, max(self._asked_at[message.cycle], self._done_at))
        if message.observed is not None:
            fresh_at = min(fresh_at, self._sent_at.get(message.observed, fresh_at))
        return Update(message, now, fresh_at)


def _remember(store: OrderedDict[Any, float], key: Any, value: float) -> None:
    store[key] = value
    while len(store) > _REMEMBERED:
        store.popitem(last=False)
