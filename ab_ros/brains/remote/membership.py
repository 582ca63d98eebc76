"""Taking part in a run: joined, lost, joined again, started anew.  All of it in one loop."""

from __future__ import annotations

import asyncio
import enum
import logging
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from ab_ros.brains.remote.backoff import Backoff
from ab_ros.brains.remote.calls import Calls, RefusalError, certificates
from ab_ros.brains.remote.outbox import Outbox
from ab_ros.brains.remote.realtime import Connection, JoinRefused
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.brains.remote.tally import Tally
from ab_ros.contract_changes import contract_changes
from ab_ros.errors import BrainError, BrainUnreachable, ProtocolError
from ab_ros.protocol import Chunk, Join, Key, Message, Realtime, RunState, Started

T = TypeVar("T")
_log = logging.getLogger(__name__)
_DRAIN_POLL = 0.01  # s between two looks at what the kernel still holds
_FLUSH_POLL = 0.002
_GONE = (404, 410)
_TOGETHER = 16384  # bytes, about, that are handed over to be written before that is waited for
_FEW = 512  # bytes, about, of a message beside its data


class LinkState(enum.Enum):
    """What a link does."""

    IDLE = "has not joined a run"
    JOINING = "joins a run"
    JOINED = "is joined"
    LOST = "is lost, tries again"
    FAILED = "has failed"
    CLOSED = "is closed"


class LinkEvent(enum.Enum):
    """What a link tells besides the service's events; with what payload."""

    STARTED = "a new run was started for one that is gone: Started"
    JOINED = "the run was joined, at first or again: RunState"
    LOST = "the connection is lost: the reason, a text"
    FAILED = "the link has failed for good: BrainError"


class Membership:
    """A client's part in the runs of a project.

    Everything is called in the loop's thread, but for :meth:`wake`, which belongs to it alone.

    Parameters
    ----------
    settings : address, project, time-outs.
    key : of the service, if it needs one.
    seed : of the back-off's jitter.
    tally : counts what is lost.
    dispatch : gets each event of the service.
    tell : gets each event of the link.

    Attributes
    ----------
    state, reason, lost_at : what the link does; why and when (steady clock, s) it was lost.
    error : why it has failed for good.
    started : the run.
    restart : options with which a run that is gone is started anew, if at all.
    outbox : what waits to be sent.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        key: Key | None,
        seed: int | None,
        tally: Tally,
        dispatch: Callable[[str, Any], None],
        tell: Callable[[LinkEvent, Any], None],
    ) -> None:
        self._settings, self._key, self._seed = settings, key, seed
        self._tally, self._dispatch, self._tell = tally, dispatch, tell
        self.outbox = Outbox(tally)
        self.state = LinkState.IDLE
        self.reason = ""
        self.lost_at = 0.0
        self.error: BrainError | None = None
        self.started: Started | None = None
        self.restart: Mapping[str, Any] | None = None
        self._realtime: Realtime | None = None
        self._calls: Calls | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._leaving = asyncio.Event()
        self._requests: dict[int, asyncio.Future[Any]] = {}

    def wake(self) -> None:
        """Have the sender look into the outbox."""
        self._wake.set()

    async def close(self) -> None:
        """Leave, and close all connections."""
        await self.leave()
        if self._calls is not None:
            await self._calls.close()

    async def call(self, work: Callable[[Calls], Coroutine[Any, Any, T]]) -> T:
        """Make an HTTP call."""
        if self._calls is None:
            context = certificates(self._settings)
            self._calls = Calls(self._settings, self._key, context, self._tally)
        return await work(self._calls)

    async def start(self, options: Mapping[str, Any], within: float) -> Started:
        """Start a run; a service that is busy, or not there, is asked for ``within`` s."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        backoff = self._new_backoff()
        while True:
            try:
                started, realtime = await self.call(lambda calls: calls.start(options))
            except BrainError as error:
                if isinstance(error, RefusalError) and not error.passing:
                    raise
                if not isinstance(error, (RefusalError, BrainUnreachable)):
                    raise
                wait = backoff.wait()
                if loop.time() + wait >= deadline:
                    if isinstance(error, RefusalError):
                        raise BrainUnreachable(str(error)) from None
                    raise
                await asyncio.sleep(wait)
                continue
            self._take(started, realtime)
            return started

    def _take(self, started: Started, realtime: Realtime) -> None:
        self.started, self._realtime = started, realtime
        self.outbox.begin(started.run)

    @property
    def acknowledges(self) -> bool:
        """Whether the service answers for events."""
        return self.started is not None and "ack" in self.started.extensions

    def _new_backoff(self) -> Backoff:
        return Backoff(self._settings.backoff_first, self._settings.backoff_most, self._seed)

    async def join(self, within: float) -> None:
        """Join the run, within some s, and stay joined."""
        if self.started is None:
            raise BrainError("no run was started that could be joined")
        if self._supervisor is not None and not self._supervisor.done():
            raise BrainError(f"run {self.started.run} is joined already")
        self._leaving.clear()
        self.error = None
        self.state = LinkState.JOINING
        loop = asyncio.get_running_loop()
        joined: asyncio.Future[None] = loop.create_future()
        self._supervisor = asyncio.ensure_future(self._stay_joined(joined, loop.time() + within))
        try:
            await joined
        except asyncio.CancelledError:
            await self.leave()
            raise

    async def _stay_joined(self, joined: asyncio.Future[None], deadline: float) -> None:
        loop = asyncio.get_running_loop()
        backoff = self._new_backoff()
        context = certificates(self._settings)
        while not self._leaving.is_set():
            begin = loop.time()
            error = await self._hold_on(context, joined)
            if self._leaving.is_set():
                break
            held = error is None and loop.time() - begin > self._settings.backoff_most
            if held:
                backoff.reset()  # after a link that had lasted, the first wait is a short one
            wait = backoff.wait()
            if not joined.done():
                late = loop.time() + wait >= deadline
                if late or isinstance(error, JoinRefused) or not _is_passing(error):
                    self.state = LinkState.IDLE
                    joined.set_exception(error or BrainUnreachable(self.reason))
                    return
            elif error is not None and not _is_passing(error):
                self._fail(error)
                return
            try:
                await asyncio.wait_for(self._leaving.wait(), wait)
            except asyncio.TimeoutError:
                continue
        if not joined.done():
            joined.set_exception(BrainUnreachable("the link was left before it had joined"))

    async def _hold_on(
        self, context: ssl.SSLContext, joined: asyncio.Future[None]
    ) -> BrainError | None:
        """Connect, join, send until the connection is lost; return what kept it from joining."""
        connection: Connection | None = None
        try:
            # Asked first: a service that has lost the run, or takes the key no more, says it here.
            state = await self._found_run() if joined.done() else None
            assert self._realtime is not None
            connection = Connection(
                self._realtime, self._settings, self._key, context, self._dispatch, self._wake.set
            )
            timeout = min(self._settings.connect_timeout, max(self._settings.link_timeout, 1.0))
            await connection.open(timeout)
            await self._join(connection, state)
            if not joined.done():
                joined.set_result(None)
            await self._send_until_lost(connection)
            if not self._leaving.is_set():
                self._lose(connection.reason)
            return None
        except ProtocolError as problem:
            error = BrainError(str(problem))
        except BrainError as problem:
            error = problem
        except Exception as problem:
            # A defect, or what a library makes of what came: not the end of the link.
            _log.exception("the link to %s broke", self._settings.endpoint.origin)
            error = BrainUnreachable(type(problem).__name__)
        finally:
            if connection is not None:
                await connection.close()
        if self.state is LinkState.JOINED:
            self._lose(str(error))
        self.reason = str(error)
        return error

    async def _found_run(self) -> RunState:
        """Return the state of our run, or of the one that was started in its place."""
        found = await self._find_run()
        return await self._start_again() if found is None else found

    async def _join(self, connection: Connection, found: RunState | None) -> None:
        """Join the run, for the first time if it was not ``found`` again."""
        assert self.started is not None
        run = self.started.run
        await connection.emit(Join.event, Join(run).to_wire())
        if found is not None and "resend" not in self.started.extensions:
            # What was asked between the last look and the joining.
            found = await self._find_run() or found
        if connection.lost:
            raise BrainUnreachable(connection.reason)
        self.state = LinkState.JOINED
        if found is not None:
            _log.info("link to %s found again", self._settings.endpoint.origin)
        self._tell(LinkEvent.JOINED, found or RunState(run))

    async def _find_run(self) -> RunState | None:
        """Return the state of our run; None if the service does not know it any more."""
        assert self.started is not None
        ours = self.started.run
        try:
            state = await self.call(lambda calls: calls.state())
        except RefusalError as error:
            if error.status in _GONE:
                return None
            if error.status in (401, 403) or error.passing:
                raise
            # A service without this call: our run is believed to be there.
            self._tally.add("io/state refused")
            return RunState(ours)
        except ProtocolError:
            self._tally.add("io/state not understood")
            return RunState(ours)
        return state if state.run == ours else None

    async def _start_again(self) -> RunState:
        old = self.started
        assert old is not None
        if self.restart is None:
            raise BrainError(
                f"the service at {self._settings.endpoint.origin} does not know run {old.run} any"
                f" more"
            )
        options = self.restart
        started, realtime = await self.call(lambda calls: calls.start(options))
        different = list(contract_changes(old.contract, started.contract))
        if started.dt != old.dt:
            different.append(f"dt: was {old.dt} s, is {started.dt} s")
        if different:
            await self.call(lambda calls: calls.end(started.run))
            raise BrainError(
                f"the service at {self._settings.endpoint.origin} came back with another brain:"
                f" {'; '.join(different)}"
            )
        self._tally.add("runs started anew")
        self._take(started, realtime)
        self._tell(LinkEvent.STARTED, started)
        self.outbox.begin(started.run)  # once more: who posts has heard of it only now
        return RunState(started.run)

    async def _send_until_lost(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        handed_over = 0
        while not connection.lost and not self._leaving.is_set():
            self._wake.clear()
            item = self.outbox.take(loop.time())
            if item is not None:
                answer = partial(self._on_answer, item.serial) if item.acknowledged else None
                await connection.emit(item.message.event, item.message.to_wire(), answer)
                handed_over += _size(item.message)
            if handed_over >= _TOGETHER or (handed_over and item is None):
                await connection.written()
                handed_over = 0
                continue
            if item is not None:
                continue
            if self.outbox.draining and not connection.unsent():
                self.outbox.drained()
            wait = self.outbox.due() - loop.time()
            if self.outbox.draining:
                wait = min(wait, _DRAIN_POLL)
            try:
                await asyncio.wait_for(
                    self._wake.wait(), None if wait == float("inf") else max(0.0, wait)
                )
            except asyncio.TimeoutError:
                continue

    def _on_answer(self, serial: int, answer: Any) -> None:
        request = self._requests.pop(serial, None)
        if request is None:
            self.outbox.acknowledge(serial, answer)
            return
        self.outbox.withdraw(serial)
        if not request.done():
            request.set_result(answer)

    async def request(self, message: Message, timeout: float) -> Any:
        """Send an event; return what the service answers to it."""
        serial = self.outbox.post(message, acknowledged=True)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._requests[serial] = answer
        self._wake.set()
        try:
            return await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise BrainUnreachable(
                f"{message.event}: the service has not answered within {timeout:g} s"
            ) from None
        finally:
            self._requests.pop(serial, None)
            self.outbox.withdraw(serial)

    async def flush(self, timeout: float) -> bool:
        """Wait until every event that counts was sent and answered for; return whether it was."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while len(self.outbox):
            if loop.time() > deadline or self.state is not LinkState.JOINED:
                return False
            await asyncio.sleep(_FLUSH_POLL)
        return True

    def _lose(self, reason: str) -> None:
        self.reason = reason
        self.state = LinkState.LOST
        self.lost_at = time.monotonic()
        self._tally.add("link lost")
        _log.info("link to %s lost: %s", self._settings.endpoint.origin, reason)
        self._tell(LinkEvent.LOST, reason)
        self.outbox.lost()

    def _fail(self, error: BrainError) -> None:
        self.error = error
        self.state = LinkState.FAILED
        self._tell(LinkEvent.FAILED, error)

    async def leave(self) -> None:
        """Leave the run, if one is joined."""
        self._leaving.set()
        self._wake.set()
        supervisor = self._supervisor
        if supervisor is not None and not supervisor.done():
            await asyncio.wait({supervisor}, timeout=2.0 * self._settings.link_timeout)
            supervisor.cancel()
            await asyncio.wait({supervisor})
        if supervisor is not None and not supervisor.cancelled() and supervisor.exception():
            self._tally.add("link failed")
            _log.error("link failed: %s", supervisor.exception())
        self._supervisor = None
        if self.state is not LinkState.CLOSED:
            self.state = LinkState.IDLE


def _size(message: Message) -> int:
    return _FEW + (len(message.data) if isinstance(message, Chunk) else 0)


def _is_passing(error: BrainError | None) -> bool:
    """Whether another attempt may succeed."""
    if isinstance(error, RefusalError):
        return error.passing or error.status >= 500
    return error is None or isinstance(error, (BrainUnreachable, JoinRefused))
