"""The link to a brain's service: four calls, and a realtime connection that comes back by itself.

A :class:`Link` has one thread, in which an asyncio loop does everything that touches the network.
Its methods are called from any other thread::

    with Link(RemoteSettings(url="http://127.0.0.1:8642", project="arm")) as link:
        link.subscribe("cycle:update", lambda event, payload: ...)  # in order, the link's thread
        link.subscribe(LinkEvent.LOST, lambda event, reason: ...)
        started = link.start({"learning": True})  # POST start: the run and its contract
        link.join(restart={})  # connects and joins the run, and stays joined
        link.send(CycleExecuted(started.run, 0))  # counts: kept until it is sent
        link.send(chunk, mailbox="camera")  # a newer one replaces it
        link.stop()  # leaves, POST stop

``start``, ``stop``, ``contract`` and ``state`` are the HTTP calls.  They raise a
:class:`~ab_ros.errors.BrainUnreachable` where there is no answer in time, another
:class:`~ab_ros.errors.BrainError` for a refusal, and a :class:`~ab_ros.errors.ProtocolError` for
an answer that cannot be understood.

``join`` connects and joins the run that was started.  From then on a lost link is found again with
full-jitter back-off: connect, ``io/state``, ``run:join``.  A run that the service does not know any
more is started anew with the options ``restart`` if its contract is still the same; without them,
or if the contract differs, the link fails for good.

``subscribe(event, callback)`` has ``callback(event, payload)`` called for an event of the service
(``"*"``: for all) or for a :class:`LinkEvent`, one after the other, in order, in the link's thread:
a callback must be short, and must not call the link's blocking methods.

``send(message, mailbox=…)`` takes any message of :mod:`ab_ros.protocol` from any thread and does
not wait.  ``request(message, timeout)`` waits for the service's acknowledgement.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar

from ab_ros.brains.remote.membership import LinkEvent, LinkState, Membership
from ab_ros.brains.remote.outbox import Outbox
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.brains.remote.tally import Tally
from ab_ros.contract import Contract
from ab_ros.errors import BrainError, BrainUnreachable
from ab_ros.protocol import Key, Message, RunState, Started

T = TypeVar("T")
_log = logging.getLogger(__name__)
_GRACE = 2.0  # s more than a call's own time-out that its caller waits for it

Callback = Callable[[Any, Any], None]


class Link:
    """A link to one project of a service; see the module.

    Parameters
    ----------
    settings : address, project, time-outs.
    key : of the service, if it needs one.
    seed : of the back-off's jitter; None: another one each time.
    tally : counts what is dropped, refused or lost.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        *,
        key: Key | None = None,
        seed: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._settings = settings
        self.tally = tally or Tally()
        self._member = Membership(settings, key, seed, self.tally, self._dispatch, self._tell)
        self._callbacks: dict[Any, list[Callback]] = {}
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking = False

    # What it is

    @property
    def status(self) -> LinkState:
        """What the link does now."""
        return self._member.state

    @property
    def started(self) -> Started | None:
        """The run, with its contract and extensions; None before :meth:`start`."""
        return self._member.started

    @property
    def error(self) -> BrainError | None:
        """Why the link has failed for good, if it has."""
        return self._member.error

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent."""
        return self._member.outbox

    def complaint(self) -> str:
        """Say what is wrong with the link; empty if nothing is."""
        member, where = self._member, f"link to {self._settings.endpoint.origin}"
        if member.state is LinkState.LOST:
            ago = time.monotonic() - member.lost_at
            return f"{where} lost {ago:.1f} s ago: {member.reason}; trying again"
        if member.state is LinkState.FAILED:
            return f"{where} has failed: {member.error}"
        return ""

    # The calls

    def start(self, options: Mapping[str, Any], within: float | None = None) -> Started:
        """Start a run.

        Parameters
        ----------
        options : body of the call.
        within : s in which a service that is busy, or not there, is asked again; None: the
            settings' ``connect_timeout``.
        """
        within = self._settings.connect_timeout if within is None else within
        patience = within + self._settings.connect_timeout
        return self._run(self._member.start(options, within), patience)

    def stop(self, run: str | None = None) -> Mapping[str, Any]:
        """Leave the run and stop it; return the service's answer.

        ``run`` is the one that was started; "" stops whatever the project runs.
        """
        if run is None:
            run = self.started.run if self.started else ""
        self.leave()
        return self._run(self._member.call(lambda calls: calls.stop(run)))

    def contract(self) -> Contract:
        """Return the project's contract, without starting a run."""
        return self._run(self._member.call(lambda calls: calls.contract()))

    def state(self) -> RunState:
        """Return the state of the project's run."""
        return self._run(self._member.call(lambda calls: calls.state()))

    # The realtime connection

    def subscribe(self, event: str | LinkEvent, callback: Callback) -> None:
        """Have ``callback(event, payload)`` called for an event; see the module."""
        self._callbacks.setdefault(event, []).append(callback)

    def join(self, restart: Mapping[str, Any] | None = None, within: float | None = None) -> None:
        """Join the run that was started, and stay joined.

        Parameters
        ----------
        restart : options with which a run that is gone is started anew; None: the link fails then.
        within : s in which that is tried; None: the settings' ``connect_timeout``.

        Raises
        ------
        BrainUnreachable
            if it did not succeed in time.
        BrainError
            if no run was started, or a run is joined already.
        """
        within = self._settings.connect_timeout if within is None else within
        self._member.restart = restart
        self._run(self._member.join(within), within + self._settings.connect_timeout)

    def set_restart(self, options: Mapping[str, Any] | None) -> None:
        """Change the options with which a run that is gone is started anew."""
        self._member.restart = options

    def send(
        self, message: Message, *, mailbox: str = "", acknowledged: bool = False, rate: float = 0.0
    ) -> None:
        """Have a message sent; do not wait.

        Parameters
        ----------
        message : an event of the run.
        mailbox : empty: every one counts and is sent in order, over a lost link too; else only
            the newest of this name stays.
        acknowledged : keep it until the service has answered for it, and send it again after the
            link was lost.  Ignored for a service that does not acknowledge.
        rate : Hz, of a mailbox at most; 0: no bound.

        Raises
        ------
        BrainError
            if too many messages wait already.
        """
        self.outbox.post(
            message,
            mailbox=mailbox,
            acknowledged=acknowledged and self._member.acknowledges,
            interval=1.0 / rate if rate > 0.0 else 0.0,
        )
        self._wake()

    def request(self, message: Message, timeout: float) -> Any:
        """Send an event and return what the service acknowledges it with.

        Raises
        ------
        BrainUnreachable
            if that does not come within ``timeout`` s.
        """
        return self._run(self._member.request(message, timeout), timeout)

    def flush(self, timeout: float) -> bool:
        """Wait until every event that counts was sent, and answered for; False if not in time."""
        return self._run(self._member.flush(timeout), timeout)

    def leave(self) -> None:
        """Leave the run: close the realtime connection."""
        if self._thread is not None:
            self._run(self._member.leave(), 2.0 * self._settings.link_timeout)

    def close(self) -> None:
        """Leave, close all connections, end the thread; the run is not stopped.  Idempotent."""
        thread, loop = self._thread, self._loop
        self._member.state = LinkState.CLOSED
        if thread is None or loop is None:
            return
        if thread.is_alive():
            try:
                loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._finish()))
            except RuntimeError:
                self.tally.add("links closed twice")
            thread.join(4.0 * self._settings.link_timeout + _GRACE)
            if thread.is_alive():
                self.tally.add("links not closed")
        self._thread = None

    def __enter__(self) -> Link:
        """Return the link."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the link."""
        self.close()

    # The thread

    def _run(self, coroutine: Coroutine[Any, Any, T], patience: float | None = None) -> T:
        """Run a coroutine in the link's thread and return what it returns."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise BrainError("a subscriber must not wait for the link that calls it")
        try:
            loop = self._running_loop()
        except BaseException:
            coroutine.close()
            raise
        patience = self._settings.connect_timeout if patience is None else patience
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result(patience + _GRACE)
        except concurrent.futures.TimeoutError:
            raise BrainUnreachable(
                f"link to {self._settings.endpoint.origin}: not done within {patience:g} s"
            ) from None
        except concurrent.futures.CancelledError:
            raise BrainUnreachable(
                f"link to {self._settings.endpoint.origin}: was closed"
            ) from None
        finally:
            future.cancel()

    def _wake(self) -> None:
        """Have the sender look into the outbox; one look is enough for all that waits."""
        loop = self._loop
        if loop is None or self._waking:
            return
        self._waking = True
        try:
            loop.call_soon_threadsafe(self._woken)
        except RuntimeError:
            return  # closed: nothing is sent any more

    def _woken(self) -> None:
        self._waking = False
        self._member.wake()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self.status is LinkState.CLOSED:
                raise BrainError("the link is closed")
            if self._thread is None:
                ready = threading.Event()
                self._thread = threading.Thread(
                    target=self._live, args=(ready,), name="ab_ros link", daemon=True
                )
                self._thread.start()
                ready.wait()
            assert self._loop is not None
            return self._loop

    def _live(self, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        # Names are looked up in threads of our own, which end with the link.
        lookups = concurrent.futures.ThreadPoolExecutor(2, "ab_ros link lookup")
        loop.set_default_executor(lookups)
        loop.set_exception_handler(self._on_stray_error)
        self._loop = loop
        loop.call_soon(ready.set)
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            lookups.shutdown(wait=False, cancel_futures=True)

    def _on_stray_error(self, loop: Any, context: Mapping[str, Any]) -> None:
        # An error that no one waits for: the library could not read what came.
        error = context.get("exception")
        what = type(error).__name__ if error is not None else context.get("message", "")
        self.tally.add("messages not understood")
        _log.debug("a message of the service was not understood: %s", what)

    def _dispatch(self, event: str, payload: Any) -> None:
        for name in (event, "*"):
            for callback in self._callbacks.get(name, ()):
                try:
                    callback(event, payload)
                except Exception:
                    self.tally.add("subscribers failed")
                    _log.exception("a subscriber of %s failed", event)

    def _tell(self, event: LinkEvent, payload: Any) -> None:
        for callback in self._callbacks.get(event, ()):
            callback(event, payload)

    async def _finish(self) -> None:
        try:
            await self._member.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=1.0)
        finally:
            asyncio.get_running_loop().stop()
