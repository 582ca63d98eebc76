"""What a run needs of its realtime connection, whatever carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ab_ros.contract import Contract
from ab_ros.protocol import Message, NeedAsked


class Connection(Protocol):
    """A realtime connection that restores itself."""

    @property
    def run(self) -> str:
        """Id of the run; another one after the service was started anew."""

    @property
    def contract(self) -> Contract:
        """The brain's contract; it stays the same."""

    @property
    def dt(self) -> float | None:
        """Duration of a timestep in s, if the service says."""

    @property
    def extensions(self) -> frozenset[str]:
        """What the service does beyond the protocol."""

    def post(self, message: Message, *, mailbox: str = "", counts: bool = False) -> None:
        """Send a message, in order.

        Parameters
        ----------
        message : to be sent.
        mailbox : if not empty, only the newest message of this name waits for a slow link.
        counts : whether it must not be lost: it is sent again until the service has it, where
            the service answers for such.
        """

    def waits(self, mailbox: str) -> bool:
        """Whether a message of a mailbox was not even begun to be sent."""

    def has_left(self, mailbox: str) -> bool:
        """Whether nothing of a mailbox is on this computer any more."""

    def lost_for(self) -> float:
        """For how long there has been no connection, s; 0 while there is one."""

    def check(self) -> None:
        """Raise the BrainError that has ended the connection for good, if one has."""

    def counts(self) -> Mapping[str, int]:
        """Return how often what was dropped or ignored, by name."""

    def close(self) -> None:
        """End the run at the service, and the connection."""


class Listener(Protocol):
    """Who gets what comes over a connection, in one thread and in order."""

    def heard(self, event: str, payload: Any) -> None:
        """Take an event of the service."""

    def began(self) -> None:
        """Note that the service has a new run, which follows the one that it has forgotten."""

    def joined(self, need: NeedAsked | None = None) -> None:
        """Note that the connection stands (again), and what was asked meanwhile, if known."""

    def lost(self, reason: str) -> None:
        """Note that the connection is lost; it is being restored."""

    def failed(self) -> None:
        """Note that the connection has ended for good."""
