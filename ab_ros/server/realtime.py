"""The realtime namespace: Socket.IO connections on one side, runs on the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import Counter
from typing import Any

import socketio
from socketio import packet

from ab_ros.errors import AbRosError, BrainError, ProtocolError, one_of, shown
from ab_ros.protocol.endpoint import NAMESPACE
from ab_ros.protocol.messages import (
    Chunk,
    CycleExecuted,
    Join,
    NeedReceived,
    RewardGiven,
    RobotState,
    Save,
    SetLearning,
)
from ab_ros.server.access import Access
from ab_ros.server.calls import Receive, Scope, Send
from ab_ros.server.run import Message, Run
from ab_ros.server.runs import Runs

_log = logging.getLogger(__name__)

_PING_INTERVAL = 1
_PING_TIMEOUT = 2
_TIME_TO_CONNECT = 5.0  # s until a connection must have shown its key
_SEND_TIMEOUT = 10.0  # s that a message may wait for a link that takes nothing
_SAVE_TIMEOUT = 1.5  # s; longer would keep pings from being answered
_MOST_GARBAGE = 100  # messages that cannot be read, until the connection is closed
_OVERHEAD = 1 << 16  # bytes of a message beside its data
_CONNECTION = "ab_ros.connection"
# What Engine.IO takes: messages of Socket.IO, and short control frames.
_FRAME = re.compile(r"4[0-6]|[0-356].{0,15}\Z")
# Messages without attachments, and headers of those with one, as chunks have.
_MESSAGE = re.compile(r"[0-4](?!\d+-)|[56]1-")
_READERS: dict[str, Any] = {
    kind.event: kind.from_wire
    for kind in (RobotState, RewardGiven, NeedReceived, CycleExecuted, SetLearning)
}


class _TextPacket(packet.Packet):  # type: ignore[misc]
    """A packet without attachments, as all are that a server sends."""

    @classmethod
    def data_is_binary(cls, data: Any) -> bool:
        """Skip the search for binary data, which looks at every bit of every row."""
        return False


class Connection:
    """One realtime connection; for a run it is its client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, events_per_second: int) -> None:
        self.run: Run | None = None
        self.socket = ""  # id of the Engine.IO connection
        self.sid = ""  # id in the namespace, once its key was shown
        self.garbage = 0
        self.header = False  # whether the bytes of a header are to come
        self.outbox: asyncio.Queue[str] = asyncio.Queue()
        self.sender: asyncio.Task[None] | None = None
        self.given = self.sent = 0
        self.send_frame: Send | None = None
        self._loop = loop
        self._rate = float(events_per_second)
        self._budget, self._at = self._rate, time.monotonic()

    def send(self, event: str, payload: Any) -> None:
        """Send an event, in the order of the calls; from any thread."""
        self.given += 1
        # Written here, in the run's thread: the loop has pings to answer.
        text = _TextPacket(packet.EVENT, [event, payload], NAMESPACE).encode()
        try:
            self._loop.call_soon_threadsafe(self.outbox.put_nowait, text)
        except RuntimeError:  # the loop has ended, and the connection with it
            self.given -= 1

    def unsent(self) -> int:
        """Return how many events the link has not taken yet."""
        return self.given - self.sent

    async def shut(self) -> None:
        """Close the connection; whoever reads from it finds it closed at once."""
        if self.send_frame is not None:
            # It may be closed already, or be stuck.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await self.send_frame({"type": "websocket.close", "code": 1008})

    def pause(self) -> float:
        """Count an event; return how long (s) the next one has to wait."""
        now = time.monotonic()
        self._budget = min(self._rate, self._budget + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._budget / self._rate)


class Realtime:
    """Serves the namespace ``/ab``.

    Parameters
    ----------
    runs : that clients join.
    access : who may connect.
    most_connections : at once.
    largest_payload : bytes of a message's data.
    events_per_second : of a connection; more are slowed down.

    Attributes
    ----------
    counts : what was refused, by name.
    """

    def __init__(
        self,
        runs: Runs,
        access: Access,
        most_connections: int = 32,
        largest_payload: int = 1 << 23,
        events_per_second: int = 10_000,
    ) -> None:
        self._runs, self._access = runs, access
        self._most, self._largest = most_connections, largest_payload
        self._events_per_second = events_per_second
        self._open = 0
        self._connections: dict[str, Connection] = {}  # by sid of the namespace
        self._by_socket: dict[str, Connection] = {}  # by sid of Engine.IO
        self.counts: Counter[str] = Counter()
        self._io = io = socketio.AsyncServer(
            async_mode="asgi",
            async_handlers=False,  # events are taken in the order in which they come
            namespaces=[NAMESPACE],
            serializer=_TextPacket,
            transports=["websocket"],
            ping_interval=_PING_INTERVAL,
            ping_timeout=_PING_TIMEOUT,
            max_http_buffer_size=self.largest_message,
            cors_allowed_origins=[],  # origins are looked at before (access.py)
            logger=_mute(),
            engineio_logger=_mute(),
        )
        io.register_namespace(_Namespace(self))
        # Around Socket.IO's own handlers: what cannot be read shall be counted, not logged with a
        # traceback for each message.
        handlers = io.eio.handlers
        self._inner = dict(handlers)
        handlers["connect"] = self._socket_opened
        handlers["message"] = self._socket_message
        handlers["disconnect"] = self._socket_closed

    @property
    def largest_message(self) -> int:
        """Bytes of the largest message that is read."""
        return self._largest + _OVERHEAD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket, or refuse another kind of request."""
        if scope["type"] != "websocket":
            await self._io.handle_request(scope, receive, send)
            return
        if self._open >= self._most:
            self.counts["connections refused"] += 1
            await receive()
            await send({"type": "websocket.close", "code": 1013, "reason": "too many connections"})
            return
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self._events_per_second)
        scope[_CONNECTION] = connection

        async def send_in_time(message: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            # Much cheaper than wait_for, which makes a task for each message.
            timer = loop.call_later(_SEND_TIMEOUT, task.cancel)
            try:
                await send(message)
            finally:
                timer.cancel()
            if (message.get("text") or "")[:2] == "42":
                connection.sent += 1

        connection.send_frame = send_in_time

        async def receive_frame() -> Any:
            while True:
                message = await receive()
                text, data = message.get("text"), message.get("bytes")
                # Messages are taken here: Engine.IO would make two tasks for each.  It gets the
                # rest, of which its pings' answers tell it that the client is there.
                if data is not None:
                    await self._socket_message(connection.socket, data)
                elif text is None or not _FRAME.match(text):
                    if text is None:
                        return message
                    await self._count_garbage(connection, f"frame {shown(text)}")
                elif text[0] == "4":
                    await self._socket_message(connection.socket, text[1:])
                else:
                    return message

        self._open += 1
        try:
            await self._io.handle_request(scope, receive_frame, send_in_time)
        finally:
            self._open -= 1

    async def close(self) -> None:
        """Disconnect everybody."""
        for sid in list(self._connections):
            await self._io.disconnect(sid, namespace=NAMESPACE)
        await self._io.shutdown()

    # Engine.IO

    async def _socket_opened(self, socket: str, environ: dict[str, Any]) -> Any:
        connection: Connection = environ["asgi.scope"][_CONNECTION]
        connection.socket = socket
        self._by_socket[socket] = connection
        asyncio.get_running_loop().call_later(_TIME_TO_CONNECT, self._close_idle, socket)
        return await self._inner["connect"](socket, environ)

    def _close_idle(self, socket: str) -> None:
        connection = self._by_socket.get(socket)
        if connection is not None and not connection.sid:
            self.counts["connections without key"] += 1
            self._io.start_background_task(connection.shut)

    async def _socket_message(self, socket: str, data: Any) -> None:
        connection = self._by_socket.get(socket)
        if connection is None:
            return
        pause = connection.pause()
        if pause > 0.0:
            self.counts["events slowed down"] += 1
            await asyncio.sleep(min(pause, 0.1))
        attached, connection.header = connection.header, isinstance(data, str) and data[0] in "56"
        if isinstance(data, str) is attached:
            await self._count_garbage(connection, "text or bytes where the other was due")
            if attached:
                # Which bytes belong to which header can no longer be told.
                await connection.shut()
            return
        try:
            if isinstance(data, str) and not _MESSAGE.match(data):
                raise ProtocolError("a message has at most one attachment")
            await self._inner["message"](socket, data)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever garbage does to the parser
            connection.header = False
            await self._count_garbage(connection, shown(str(error)))
            if attached:
                await connection.shut()

    async def _count_garbage(self, connection: Connection, what: str) -> None:
        connection.garbage += 1
        self.counts["garbage"] += 1
        _log.debug("garbage: %s", what)
        if connection.garbage == _MOST_GARBAGE:
            await connection.shut()

    async def _socket_closed(self, socket: str, reason: Any = None) -> None:
        await self._inner["disconnect"](socket, reason)
        connection = self._by_socket.pop(socket, None)
        if connection is not None:
            self._io.start_background_task(connection.shut)

    # The namespace

    async def trigger(self, event: str, sid: str, *payloads: Any) -> Any:
        """Take an event; what is returned is its acknowledgement, if it asked for one."""
        scope = _scope_of(payloads)
        if event == "connect" and scope is not None:
            return await self._connect(sid, scope, *payloads[1:])
        # A client can send an event of this name, too; then its connection is still there.
        if event == "disconnect" and not self._io.manager.is_connected(sid, NAMESPACE):
            await self._disconnect(sid)
            return None
        return await self._event(event, sid, payloads[0] if payloads else None)

    async def _connect(self, sid: str, scope: Scope, auth: Any = None) -> bool:
        if not (self._access.allowed_by(auth) or self._access.allowed(scope["headers"])):
            self.counts["wrong keys"] += 1
            raise socketio.exceptions.ConnectionRefusedError("the key is missing or wrong")
        connection: Connection = scope[_CONNECTION]
        connection.sid = sid
        connection.sender = asyncio.ensure_future(self._deliver(connection))
        self._connections[sid] = connection
        return True

    async def _disconnect(self, sid: str) -> None:
        connection = self._connections.pop(sid, None)
        if connection is None:
            return
        if connection.run is not None:
            connection.run.leave(connection)
            connection.run = None
        if connection.sender is not None:
            connection.sender.cancel()
        # A client that does not know that it has left would speak to nobody.
        self._io.start_background_task(connection.shut)

    async def _deliver(self, connection: Connection) -> None:
        while True:
            text = await connection.outbox.get()
            assert connection.send_frame is not None
            try:
                await connection.send_frame({"type": "websocket.send", "text": f"4{text}"})
            except (OSError, RuntimeError):  # closed; its run hears of it soon
                return

    async def _event(self, event: str, sid: str, payload: Any) -> dict[str, Any]:
        connection = self._connections.get(sid)
        if connection is None:
            return {"ok": False, "reason": "not connected"}
        try:
            await self._take(connection, event, payload)
        except AbRosError as error:
            self.counts["events refused"] += 1
            _log.debug("%s", error)
            return {"ok": False, "reason": str(error)}
        except Exception:  # a defect that an event shows must not be the end of the others
            self.counts["events failed"] += 1
            _log.exception("%s has failed", shown(event))
            return {"ok": False, "reason": "the server failed to take it"}
        return {"ok": True}

    async def _take(self, connection: Connection, event: str, payload: Any) -> None:
        if event == Join.event:
            await self._join(connection, Join.from_wire(payload).run)
            return
        message: Message | Save
        if event == Chunk.event:
            message = Chunk.from_wire(payload, self._largest)
        elif event == Save.event:
            message = Save.from_wire(payload)
        elif event in _READERS:
            message = _READERS[event](payload)
        else:
            known = (Join.event, Chunk.event, Save.event, *_READERS)
            raise ProtocolError(f"unknown event {shown(event)}; {one_of(known)}")
        run = connection.run
        if run is None:
            raise ProtocolError(f"{event}: join a run first")
        if message.run != run.id:
            raise ProtocolError(f"{event}: run {shown(message.run)} is not the one that was joined")
        if isinstance(message, Save):
            await _save(run)
        else:
            run.take(message)

    async def _join(self, connection: Connection, id: str) -> None:
        run = self._runs.find(id)
        if run is None:
            raise ProtocolError(f"{Join.event}: there is no run {shown(id)}")
        if connection.run is not None and connection.run is not run:
            connection.run.leave(connection)
        connection.run = run
        before = run.join(connection)
        if isinstance(before, Connection) and before is not connection:
            # The same client, back before its lost connection was noticed.
            before.run = None
            await self._io.disconnect(before.sid, namespace=NAMESPACE)


class _Namespace(socketio.AsyncNamespace):  # type: ignore[misc]
    """Hands on every event, whatever its name."""

    def __init__(self, realtime: Realtime) -> None:
        super().__init__(NAMESPACE)
        self._realtime = realtime

    async def trigger_event(self, event: Any, *arguments: Any) -> Any:
        """Hand an event on."""
        return await self._realtime.trigger(event, *arguments)


def _mute() -> logging.Logger:
    """Return a logger that says nothing: these libraries log whole messages, keys among them."""
    mute = logging.Logger("ab_ros.server.mute", logging.CRITICAL + 1)
    mute.addHandler(logging.NullHandler())
    return mute


def _scope_of(payloads: tuple[Any, ...]) -> Scope | None:
    """Return the scope of a connection that opens; None for what only has an event's name."""
    environ = payloads[0] if payloads else None
    scope = environ.get("asgi.scope") if isinstance(environ, dict) else None
    is_one = isinstance(scope, dict) and isinstance(scope.get(_CONNECTION), Connection)
    return scope if is_one else None


async def _save(run: Run) -> None:
    saved = asyncio.wrap_future(run.save())
    try:
        # Who asked is answered in time, but what was asked for is done all the same.
        await asyncio.wait_for(asyncio.shield(saved), _SAVE_TIMEOUT)
    except asyncio.TimeoutError:
        _log.warning("project %r: saving takes longer than %g s", run.project, _SAVE_TIMEOUT)
        raise ProtocolError(
            f"{Save.event}: takes longer than {_SAVE_TIMEOUT:g} s, and goes on"
        ) from None
    except BrainError as error:
        raise ProtocolError(f"{Save.event}: {error}") from None
