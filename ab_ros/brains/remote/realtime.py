"""One realtime connection: Socket.IO over a WebSocket, watched so that it cannot die unnoticed."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import socketio
from socketio import exceptions, packet

from ab_ros.brains.remote.causes import cause
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.errors import BrainError, BrainUnreachable
from ab_ros.protocol import SOCKET_PATH, Key, Realtime
from ab_ros.protocol.keys import auth, headers

_UNSENT = 16384  # bytes that the kernel may hold before it asks us to wait
_TCP_NOTSENT_LOWAT = 25
_SIOCOUTQ = 0x5411

Dispatch = Callable[[str, Any], None]


class JoinRefused(BrainError):  # noqa: N818 - it is an answer
    """The service refused the namespace, as it does for a wrong key."""


class _TextPacket(packet.Packet):  # type: ignore[misc]
    """A packet without attachments, as all are that a service sends.

    One that announces attachments would swallow what comes after it.
    """

    if hasattr(sys, "get_int_max_str_digits"):
        # Python itself refuses integers of thousands of digits; the library's own check is a call
        # for each bit of each row.
        json = json

    def decode(self, encoded_packet: Any) -> int:
        attachments = super().decode(encoded_packet)
        if attachments or self.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK):
            raise ValueError("a service's message must not have attachments")
        return 0


class _WatchedSocket(aiohttp.ClientWebSocketResponse):
    """Knows since when nobody reads from it.

    The library stops reading at a frame that is none of Engine.IO's, and waits for its own writer,
    which does not always hear of it.
    """

    unread_since = math.inf

    async def receive(self, *arguments: Any, **named: Any) -> Any:
        """Wait for a frame."""
        self.unread_since = math.inf
        try:
            return await super().receive(*arguments, **named)
        finally:
            self.unread_since = time.monotonic()


class Connection:
    """One connection to a namespace.  Made for one loop; used once.

    Parameters
    ----------
    realtime : origin and namespace.
    settings : time-outs, sizes, proxy.
    key : sent in the upgrade's headers and the namespace's CONNECT.
    context : verifies certificates.
    dispatch : called with each event and its first argument, in order, in the loop's thread.
    on_lost : called once when the connection is lost.
    """

    def __init__(
        self,
        realtime: Realtime,
        settings: RemoteSettings,
        key: Key | None,
        context: ssl.SSLContext,
        dispatch: Dispatch,
        on_lost: Callable[[], None],
    ) -> None:
        self._realtime, self._settings, self._key = realtime, settings, key
        self._context = context
        self._dispatch, self._on_lost = dispatch, on_lost
        self._namespace = realtime.namespace
        self._socket: socket.socket | None = None
        self._session: aiohttp.ClientSession | None = None
        self._client: Any = None
        self._joined = asyncio.Event()
        self._refused = ""
        self._lost = asyncio.Event()
        self._waits_for_loss: asyncio.Task[bool] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.reason = ""

    async def open(self, timeout: float) -> None:
        """Connect to the namespace.

        Raises
        ------
        BrainUnreachable
            if that fails.
        JoinRefused
            if the service says no.
        """
        where = f"realtime connection to {self._realtime.origin}"
        try:
            await asyncio.wait_for(self._connect(), timeout)
        except asyncio.TimeoutError:
            await self.close()
            raise BrainUnreachable(f"{where}: no answer within {timeout:g} s") from None
        except (BrainError, asyncio.CancelledError):
            await self.close()
            raise
        except Exception as error:
            # Whatever a library makes of what came over the network.
            await self.close()
            reason = self._without_key(cause(error))
            if _is_refusal(error):
                raise JoinRefused(f"{where}: refused: {reason}") from None
            raise BrainUnreachable(f"{where}: {reason}") from None

    async def _connect(self) -> None:
        settings = self._settings
        # The library's messages show what it sends, the key too: only errors are let through.
        log = logging.Logger("ab_ros.remote.socketio", logging.ERROR)
        log.parent = logging.getLogger("ab_ros")
        log.addFilter(self._censor)
        self._session = aiohttp.ClientSession(trust_env=False, ws_response_class=_WatchedSocket)
        options: dict[str, Any] = {
            "ssl": self._context,
            "heartbeat": settings.link_timeout * 2.0 / 3.0,
            "max_msg_size": settings.largest_payload,
        }
        if settings.proxy:
            options["proxy"] = settings.proxy
        self._client = client = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            logger=log,
            engineio_logger=log,
            serializer=_TextPacket,
            http_session=self._session,
            request_timeout=settings.link_timeout,
            websocket_extra_options=options,
        )
        client.on("connect", self._joined.set, namespace=self._namespace)
        client.on("connect_error", self._on_refused, namespace=self._namespace)
        client.on("disconnect", self._on_disconnect, namespace=self._namespace)
        client.on("*", self._on_event, namespace=self._namespace)
        self._waits_for_loss = asyncio.ensure_future(self._lost.wait())
        # Without its own waiting, the library sees a namespace's disconnect at any time.
        await client.connect(
            self._realtime.origin,
            headers=headers(self._key),
            auth=auth(self._key),
            transports=["websocket"],
            namespaces=[self._namespace],
            socketio_path=SOCKET_PATH,
            wait=False,
        )
        self._tune(client.eio.ws.get_extra_info("socket"))
        self._watch = asyncio.ensure_future(self._look_after(client.eio))
        joined = asyncio.ensure_future(self._joined.wait())
        try:
            await asyncio.wait({joined, self._waits_for_loss}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            joined.cancel()
        if self._refused or not self._joined.is_set():
            where = f"realtime connection to {self._realtime.origin}"
            if self._refused:
                raise JoinRefused(f"{where}: refused: {self._refused}")
            raise BrainUnreachable(f"{where}: {self.reason or 'closed'}")

    @property
    def lost(self) -> bool:
        """Whether the connection is lost; ``reason`` says why."""
        return self._lost.is_set()

    async def emit(
        self, event: str, payload: Any, on_answer: Callable[[Any], None] | None = None
    ) -> bool:
        """Hand an event over to be written, in order; return False if the connection is lost.

        There must be one sender only, which waits for :meth:`written` before it hands over more
        than a little.
        """
        if self.lost:
            return False
        callback = None
        if on_answer is not None:
            answer = on_answer

            def callback(*arguments: Any) -> None:
                answer(arguments[0] if arguments else None)

        try:
            await self._client.emit(event, payload, namespace=self._namespace, callback=callback)
        except exceptions.BadNamespaceError:
            self._lose("the service closed the namespace")
        except Exception as error:
            # What came before can have left the library in any state.
            self._lose(self._without_key(f"{type(error).__name__} {error}"))
        return not self.lost

    async def written(self) -> bool:
        """Wait until all events are written, or the connection is lost; return whether they are."""
        if self.lost or self._waits_for_loss is None:
            return False
        written = asyncio.ensure_future(self._client.eio.queue.join())
        try:
            await asyncio.wait({written, self._waits_for_loss}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            written.cancel()
        return not self.lost

    def unsent(self) -> int:
        """Return how many bytes the other end's computer has not confirmed; 0 if unknown."""
        if self._socket is None or self.lost or not sys.platform.startswith("linux"):
            return 0
        import fcntl

        try:
            answer = fcntl.ioctl(self._socket.fileno(), _SIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):
            return 0
        return int(struct.unpack("i", answer)[0])

    async def close(self) -> None:
        """Leave the namespace and close everything, without waiting for a dead peer."""
        client, patience = self._client, min(1.0, self._settings.link_timeout)
        if client is not None and not self.lost:
            try:
                await asyncio.wait_for(client.disconnect(), patience)
            except Exception as error:
                self._lose(f"could not be closed: {type(error).__name__}")
        self._lose("closed")
        if self._socket is not None:
            # Ends what is stuck in a write to a peer that does not read any more.
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._socket = None  # it is closed already
        tasks = [self._watch, self._waits_for_loss]
        if client is not None:
            tasks += [client.eio.read_loop_task, client.eio.write_loop_task]
        running = {task for task in tasks if task is not None and not task.done()}
        if running:
            _, running = await asyncio.wait(running, timeout=0.1)
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=patience)
        if client is not None and client.eio.state == "connected":
            # What the library keeps of its clients, process-wide, would never be let go.
            try:
                await asyncio.wait_for(client.eio.disconnect(abort=True), patience)
            except Exception as error:
                self._lose(f"could not be closed: {type(error).__name__}")
        if self._session is not None:
            await self._session.close()
        self._socket = None

    def _on_refused(self, *arguments: Any) -> None:
        data = arguments[0] if arguments else ""
        said = data.get("message") if isinstance(data, dict) else data
        shown = "".join(c if c.isprintable() else " " for c in str(said or "no reason given"))
        self._refused = self._without_key(shown[:200])
        self._lose(f"refused: {self._refused}")

    def _on_disconnect(self, *arguments: Any) -> None:
        reason = str(arguments[0]) if arguments else ""
        if reason == "server disconnect":
            self._lose("the service closed the namespace")
        else:
            self._lose(self._why_closed() or reason or "closed")

    def _on_event(self, event: str, *arguments: Any) -> Any:
        if not self.lost:
            self._dispatch(str(event), arguments[0] if arguments else None)

    def _lose(self, reason: str) -> None:
        if not self._lost.is_set():
            self.reason = reason
            self._lost.set()
            self._on_lost()

    def _why_closed(self) -> str:
        websocket = self._client.eio.ws if self._client is not None else None
        code = getattr(websocket, "close_code", None)
        error = (
            websocket.exception()
            if isinstance(websocket, aiohttp.ClientWebSocketResponse)
            else None
        )
        if code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            largest = self._settings.largest_payload
            return f"a message was larger than largest_payload, {largest} bytes"
        if isinstance(error, asyncio.TimeoutError):
            return f"silent for {self._settings.link_timeout:g} s"
        return f"closed by the service ({code})" if code else ""

    async def _look_after(self, engine: Any) -> None:
        """Ask for signs of life, and notice when the library stops without a word."""
        websocket = engine.ws
        while not self.lost:
            await asyncio.wait(
                {self._waits_for_loss} if self._waits_for_loss else set(),
                timeout=self._settings.link_timeout / 8.0,
            )
            if websocket.closed or engine.write_loop_task is None or engine.read_loop_task.done():
                self._lose(self._why_closed() or "the connection broke")
                return
            if time.monotonic() - websocket.unread_since > self._settings.link_timeout / 4.0:
                self._lose("a message could not be read")
                return
            ping = asyncio.ensure_future(websocket.ping())
            done, _ = await asyncio.wait({ping}, timeout=self._settings.link_timeout / 8.0)
            if not done:
                ping.cancel()  # the link is full; its silence is what counts
            elif ping.exception() is not None:
                self._lose(self._why_closed() or "the connection broke")

    def _tune(self, sock: Any) -> None:
        if sock is None:
            return
        self._socket = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform.startswith("linux"):
            # Else megabytes can wait in the kernel, where nothing can be replaced by a newer frame.
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT)

    def _censor(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._without_key(record.getMessage()), ()
        record.exc_info, record.exc_text = None, None
        return True

    def _without_key(self, text: str) -> str:
        return self._key.removed_from(text) if self._key else text


def _is_refusal(error: BaseException | None) -> bool:
    """Whether the upgrade itself was refused, as a service may do for a wrong key."""
    while error is not None:
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in (401, 403):
            return True
        error = error.__cause__ or error.__context__
    return False
