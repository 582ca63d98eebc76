"""A run's connection over the link to a brain's service."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from ab_ros.brains.remote import Link, LinkEvent, LinkState, RemoteSettings
from ab_ros.client.connection import Listener
from ab_ros.contract import Contract
from ab_ros.errors import AbRosError, BrainError
from ab_ros.protocol import Key, Message, RunState, Started

_log = logging.getLogger(__name__)

_ONCE = ("fresh", "reset", "seed")
"""Options of the first run, which one that follows it must not begin with again."""


class LinkConnection:
    """Starts a run, joins it, and stays joined.

    Parameters
    ----------
    settings : where the service is.
    key : of it, if it needs one.
    options : body of start.

    Raises
    ------
    BrainError, ProtocolError
        if no run could be started.
    """

    def __init__(
        self, settings: RemoteSettings, key: Key | None, options: Mapping[str, Any]
    ) -> None:
        self._settings = settings
        self._options = dict(options)
        self._link = Link(settings, key=key)
        self._lost_at: float | None = None
        try:
            self._started = self._link.start(self._options)
        except BaseException:
            self._link.close()
            raise

    def join(self, listener: Listener) -> None:
        """Join the run; from now on ``listener`` gets what comes.

        Raises
        ------
        BrainError
            if that fails; the run is stopped then.
        """
        link = self._link
        link.subscribe("*", listener.heard)

        def started(_: LinkEvent, answer: Started) -> None:
            self._started = answer
            listener.began()

        def joined(_: LinkEvent, state: RunState) -> None:
            self._lost_at = None
            again = "resend" in self.extensions
            listener.joined(None if again else state.need)

        def lost(_: LinkEvent, reason: str) -> None:
            self._lost_at = time.monotonic()
            listener.lost(reason)

        link.subscribe(LinkEvent.STARTED, started)
        link.subscribe(LinkEvent.JOINED, joined)
        link.subscribe(LinkEvent.LOST, lost)
        link.subscribe(LinkEvent.FAILED, lambda *_: listener.failed())
        try:
            link.join(restart={k: v for k, v in self._options.items() if k not in _ONCE})
        except BaseException:
            self.close()
            raise

    @property
    def run(self) -> str:
        """Id of the run."""
        return self._started.run

    @property
    def contract(self) -> Contract:
        """The brain's contract."""
        return self._started.contract

    @property
    def dt(self) -> float | None:
        """Duration of a timestep in s, if the service says."""
        return self._started.dt

    @property
    def extensions(self) -> frozenset[str]:
        """What the service does beyond the protocol."""
        return self._started.extensions

    def post(self, message: Message, *, mailbox: str = "", counts: bool = False) -> None:
        """Send a message, in order; see :class:`~ab_ros.client.connection.Connection`."""
        self._link.send(message, mailbox=mailbox, acknowledged=counts)

    def waits(self, mailbox: str) -> bool:
        """Whether a message of a mailbox was not even begun to be sent."""
        return self._link.outbox.is_waiting(mailbox)

    def has_left(self, mailbox: str) -> bool:
        """Whether nothing of a mailbox is on this computer any more."""
        return self._link.outbox.has_left(mailbox)

    def lost_for(self) -> float:
        """For how long there has been no connection, s."""
        since = self._lost_at
        return 0.0 if since is None else time.monotonic() - since

    def check(self) -> None:
        """Raise the error that has ended the connection for good, if one has."""
        if self._link.error is not None:
            raise BrainError(str(self._link.error)) from self._link.error

    def counts(self) -> Mapping[str, int]:
        """Return how often what was dropped or ignored, by name."""
        return self._link.tally.counts()

    def close(self) -> None:
        """Send what still waits, end the run at the service, and close the link."""
        link, where = self._link, f"run {self.run} at {self._settings.endpoint.origin}"
        try:
            if link.status is LinkState.JOINED and not link.flush(self._settings.link_timeout):
                _log.warning("%s: %d messages were not delivered", where, len(link.outbox))
            link.stop()
        except AbRosError as error:
            link.tally.add("runs not stopped")
            _log.warning("%s: could not be stopped: %s", where, error)
        finally:
            link.close()
