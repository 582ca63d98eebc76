"""What waits to be sent: events that all count, and mailboxes in which only the newest stays.

One queue keeps the order of both.  Nothing here knows sockets, threads but for a lock, or clocks.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.brains.remote.tally import Tally
from ab_ros.errors import BrainError
from ab_ros.protocol import Message


@dataclass(frozen=True)
class Outgoing:
    """A message in the outbox.

    ``mailbox`` is empty for an event that counts; ``acknowledged`` says that it is kept until the
    other end has answered for it; ``interval`` in s is the least time between two of a mailbox.
    """

    serial: int
    message: Message
    mailbox: str = ""
    acknowledged: bool = False
    interval: float = 0.0


class Outbox:
    """Messages on their way to the service.

    Events that count are kept until they were sent, with ``acknowledged`` until the service has
    answered for them: when the link is lost those go out again, before all others.  A message in
    a mailbox replaces one that still waits there, and takes the place at the end.

    Parameters
    ----------
    tally : counts what is dropped.
    capacity : of events that count; one more is an error.
    """

    def __init__(self, tally: Tally, capacity: int = 4096) -> None:
        self._tally = tally
        self._capacity = capacity
        self._lock = threading.Lock()
        self._serial = 0
        self._waiting: OrderedDict[int, Outgoing] = OrderedDict()
        self._boxes: dict[str, int] = {}
        self._sent_at: dict[str, float] = {}
        self._kept: OrderedDict[int, Outgoing] = OrderedDict()
        self._under_way: dict[int, Outgoing] = {}

    def __len__(self) -> int:
        """Events that count and were not sent, or not yet answered for."""
        with self._lock:
            return self._events()

    def post(
        self,
        message: Message,
        *,
        mailbox: str = "",
        acknowledged: bool = False,
        interval: float = 0.0,
    ) -> int:
        """Add a message; return its serial number.

        Raises
        ------
        BrainError
            if ``capacity`` events wait already.
        """
        with self._lock:
            if mailbox:
                old = self._boxes.pop(mailbox, None)
                if old is not None:
                    del self._waiting[old]
                    # Replaced is what came faster than it may be sent.
                    self._tally.add(f"{mailbox} {'replaced' if interval else 'dropped'}")
            elif self._events() >= self._capacity:
                self._tally.add(f"{message.event} not taken")
                raise BrainError(
                    f"{message.event}: {self._capacity} messages wait for a link that is down or"
                    f" too slow; this one was not taken"
                )
            self._serial += 1
            item = Outgoing(self._serial, message, mailbox, acknowledged, interval)
            self._waiting[item.serial] = item
            if mailbox:
                self._boxes[mailbox] = item.serial
            return item.serial

    def withdraw(self, serial: int) -> None:
        """Forget an event, wherever it is."""
        with self._lock:
            for store in (self._waiting, self._kept):
                store.pop(serial, None)

    def take(self, now: float) -> Outgoing | None:
        """Remove and return what is to be sent next; None if nothing is due."""
        with self._lock:
            for item in self._waiting.values():
                if self._due(item) > now:
                    continue
                del self._waiting[item.serial]
                if item.mailbox:
                    del self._boxes[item.mailbox]
                    self._sent_at[item.mailbox] = now
                if item.acknowledged:
                    self._kept[item.serial] = item
                else:
                    self._under_way[item.serial] = item
                return item
            return None

    def due(self) -> float:
        """Return when something is to be sent: a time, in the past for at once, or infinite."""
        with self._lock:
            return min(map(self._due, self._waiting.values()), default=math.inf)

    def acknowledge(self, serial: int, answer: Any) -> None:
        """Take the service's answer for a message.

        One that says neither yes nor no does not count: the message goes out again when the link
        was lost.
        """
        understood = isinstance(answer, Mapping) and isinstance(answer.get("ok"), bool)
        with self._lock:
            item = self._kept.pop(serial, None) if understood else None
        if not understood:
            self._tally.add("answers not understood")
        elif item is None:
            self._tally.add("answers for nothing")
        elif not answer["ok"]:
            reason = str(answer.get("reason"))[:200]
            self._tally.add(
                f"{item.message.event} refused",
                f"{item.message.event}: the service refused it: {reason}",
            )

    def drained(self) -> None:
        """Note that everything taken so far has reached the other end."""
        with self._lock:
            self._under_way.clear()

    @property
    def draining(self) -> bool:
        """Whether something that was taken may not have reached the other end."""
        return bool(self._under_way)

    def is_waiting(self, mailbox: str) -> bool:
        """Whether a mailbox holds a message that was not taken yet."""
        with self._lock:
            return mailbox in self._boxes

    def has_left(self, mailbox: str) -> bool:
        """Whether nothing of a mailbox waits or is under way."""
        with self._lock:
            return mailbox not in self._boxes and all(
                item.mailbox != mailbox for item in self._under_way.values()
            )

    def lost(self) -> None:
        """Note that the link is lost: samples are dropped, unanswered events go out again."""
        with self._lock:
            for name, serial in self._boxes.items():
                del self._waiting[serial]
                self._tally.add(f"{name} dropped")
            self._boxes.clear()
            for item in self._under_way.values():
                if not item.mailbox:
                    self._tally.add(f"{item.message.event} unconfirmed")
            self._under_way.clear()
            # Sent first, so before everything that was never sent.
            self._kept.update(self._waiting)
            self._waiting, self._kept = self._kept, OrderedDict()

    def begin(self, run: str) -> None:
        """Begin a run: forget what belongs to another one."""
        with self._lock:
            for store in (self._waiting, self._kept):
                for item in [i for i in store.values() if i.message.run != run]:
                    del store[item.serial]
                    self._boxes.pop(item.mailbox, None)
                    self._tally.add(f"{item.message.event} of an ended run")
            self._under_way.clear()

    def _due(self, item: Outgoing) -> float:
        before = self._sent_at.get(item.mailbox)
        return -math.inf if before is None else before + item.interval

    def _events(self) -> int:
        boxed = len(self._boxes)
        return len(self._waiting) - boxed + len(self._kept)
