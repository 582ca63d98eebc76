"""Links that misbehave, for tests and benchmarks: proxies on 127.0.0.1, each in its own thread.

:class:`FaultProxy` treats bytes: it throttles, delays, stalls, cuts and refuses TCP connections.
:class:`FrameProxy` treats messages of Socket.IO, which TCP itself would never lose, double or
swap: it terminates the WebSocket on both sides, and forwards HTTP calls untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import re
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

T = TypeVar("T")
UP, DOWN = "up", "down"  # towards the server, towards the client
_PIECE = 1460  # bytes of an Ethernet segment, which a thin link hands on as a whole
_IDLE, _LATE = 0.001, 0.05  # s


@dataclass(frozen=True)
class Link:
    """One direction of a link: ``bandwidth`` in bytes/s, ``delay`` in s."""

    bandwidth: float = math.inf
    delay: float = 0.0

    @property
    def thin(self) -> bool:
        """Whether bytes wait anywhere on it."""
        return self.delay > 0 or math.isfinite(self.bandwidth)


class _LoopThread:
    """An asyncio loop in a thread of its own, for as long as the context lasts."""

    port: int

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.counts: Counter[str] = Counter()
        self._thread = threading.Thread(target=self.loop.run_forever, name=type(self).__name__)

    @property
    def url(self) -> str:
        """Address of the proxy as a client sees it."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _begin(self) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self._thread.start()
        try:
            self.call(self._begin())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.call(self._end())
        finally:
            self._stop()

    def _stop(self) -> None:
        with contextlib.suppress(Exception):
            self.call(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FaultProxy(_LoopThread):
    """Forwards TCP connections to a port of this computer, over a link that may be bad.

    Parameters
    ----------
    upstream : the server's port.
    up, down : the two directions; all connections of a direction share its bandwidth.
    seed : of the random cuts.

    Attributes
    ----------
    port : where it listens; stays the same while it refuses.
    cut_rate : probability that a connection is cut when a piece is forwarded; may be changed.
    counts : ``connections``, ``cuts``, ``up`` and ``down`` (bytes).
    """

    def __init__(
        self, upstream: int, up: Link | None = None, down: Link | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.upstream = upstream
        self.links = {UP: up or Link(), DOWN: down or Link()}
        self.cut_rate = 0.0
        self._random = random.Random(seed)
        self._free = {UP: 0.0, DOWN: 0.0}
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.port = 0

    def cut(self, *, reset: bool = True) -> None:
        """Cut all connections, by RST or by FIN; new ones are accepted."""

        async def work() -> None:
            await asyncio.gather(*(self._cut(each, reset) for each in tuple(self._connections)))

        self.call(work())

    def stall(self) -> None:
        """Forward nothing any more, but leave all connections open: a half-open link."""

        async def work() -> None:
            self._flowing.clear()

        self.call(work())

    def resume(self) -> None:
        """Go on forwarding, with what was held back first."""

        async def work() -> None:
            self._flowing.set()

        self.call(work())

    def refuse(self) -> None:
        """Refuse new connections; those that there are stay."""

        async def work() -> None:
            await self._close_listener()

        self.call(work())

    def accept(self) -> None:
        """Accept new connections again."""

        async def work() -> None:
            if self._listener is None:
                self._listen()

        self.call(work())

    @property
    def open_connections(self) -> int:
        """Number of connections that are open now."""
        return len(self._connections)

    async def _begin(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listen()

    async def _end(self) -> None:
        await self._close_listener()
        await asyncio.gather(*(each.close(reset=True) for each in tuple(self._connections)))

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit these: a sender soon feels that the link is full.
        _small_buffers(listener, self.links[UP], self.links[DOWN])
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._accepting = self.loop.create_task(self._accept(listener))

    async def _close_listener(self) -> None:
        if self._listener is not None and self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._listener.close()
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self.loop.sock_accept(listener)
            client.setblocking(False)
            connection = _Connection(client)
            self._connections.add(connection)
            self.counts["connections"] += 1
            connection.run(self._serve(connection))

    async def _serve(self, connection: _Connection) -> None:
        _small_buffers(connection.server, self.links[DOWN], self.links[UP])
        try:
            await self.loop.sock_connect(connection.server, ("127.0.0.1", self.upstream))
            for one in (connection.client, connection.server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.gather(
                connection.run(self._pump(UP, connection.client, connection.server)),
                connection.run(self._pump(DOWN, connection.server, connection.client)),
            )
        except _CutError:
            self._end_of(connection, reset=self._random.random() < 0.5, cut=True)
        except OSError:
            self._end_of(connection, reset=True, cut=False)
        else:
            self._end_of(connection, reset=False, cut=False)

    def _end_of(self, connection: _Connection, reset: bool, cut: bool) -> None:
        self.counts["cuts"] += cut
        closing = self.loop.create_task(connection.close(reset))
        closing.add_done_callback(lambda _: self._connections.discard(connection))
        connection.closing = closing

    async def _cut(self, connection: _Connection, reset: bool) -> None:
        self.counts["cuts"] += 1
        await connection.close(reset)
        self._connections.discard(connection)

    async def _pump(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        link = self.links[way]
        if link.thin:
            await self._pump_slowly(way, source, sink, link)
            return
        while piece := await self._read(way, source, 1 << 16):
            await self.loop.sock_sendall(sink, piece)
        sink.shutdown(socket.SHUT_WR)

    async def _pump_slowly(
        self, way: str, source: socket.socket, sink: socket.socket, link: Link
    ) -> None:
        line: deque[tuple[float, bytes]] = deque()
        changed = asyncio.Condition()
        # Reading is paced, and the line holds no more than is under way.
        most = math.ceil(min(link.bandwidth, 1e8) * link.delay / _PIECE) + 4

        async def fill() -> None:
            piece = b"?"
            while piece:
                asked = self.loop.time()
                piece = await self._read(way, source, _PIECE)
                now = self.loop.time()
                # Where bytes waited, a busy machine that wakes us late does not slow the link down.
                free = self._free[way]
                if now - asked > _IDLE or now - free > _LATE:
                    free = max(now, free)
                free += len(piece) / link.bandwidth
                self._free[way] = free
                await asyncio.sleep(max(0.0, free - now))
                async with changed:
                    await changed.wait_for(lambda: len(line) < most)
                    line.append((free + link.delay, piece))
                    changed.notify_all()

        async def drain() -> None:
            piece = b"?"
            while piece:
                async with changed:
                    await changed.wait_for(lambda: line)
                due, piece = line[0]
                await asyncio.sleep(max(0.0, due - self.loop.time()))
                await self._flowing.wait()
                if piece:
                    await self.loop.sock_sendall(sink, piece)
                else:
                    sink.shutdown(socket.SHUT_WR)
                async with changed:
                    line.popleft()
                    changed.notify_all()

        filling = asyncio.ensure_future(fill())
        try:
            await asyncio.gather(filling, drain())
        finally:
            filling.cancel()

    async def _read(self, way: str, source: socket.socket, most: int) -> bytes:
        piece = await self.loop.sock_recv(source, most)
        await self._flowing.wait()
        self.counts[way] += len(piece)
        if piece and self.cut_rate and self._random.random() < self.cut_rate:
            raise _CutError
        return piece


class _CutError(Exception):
    """Chance has cut the connection."""


class _Connection:
    """The two sockets of a forwarded connection, and the tasks that serve them."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.server = socket.socket()
        self.server.setblocking(False)
        self.closing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Future[None]] = []

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task

    async def close(self, reset: bool) -> None:
        # Tasks first: a number of a closed socket may be another's at once.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in (self.client, self.server):
            if reset and one.fileno() >= 0:
                linger = struct.pack("ii", 1, 0)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            one.close()


def _small_buffers(one: socket.socket, receiving: Link, sending: Link) -> None:
    if receiving.thin or sending.thin:
        # Loopback's segments of 64 KiB would not fit into small buffers.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _PIECE)
    for link, option in ((receiving, socket.SO_RCVBUF), (sending, socket.SO_SNDBUF)):
        if math.isfinite(link.bandwidth):
            one.setsockopt(socket.SOL_SOCKET, option, 4096)


Unit = list["str | bytes"]
"""An Engine.IO message: one WebSocket frame, and its binary attachments after it."""


@dataclass(frozen=True)
class Odds:
    """Probabilities of what happens to an event of Socket.IO, or to an acknowledgement."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


class FrameProxy(_LoopThread):
    """Loses, doubles and swaps the messages of Socket.IO connections.

    Connecting, disconnecting and Engine.IO's own packets are left alone; an event's binary
    attachments stay with it.

    Parameters
    ----------
    upstream : the server's port.
    seed : of the random faults.

    Attributes
    ----------
    odds : by direction; may be changed.
    patience : s that a message which is to be swapped waits for the next one.
    watch : called with direction and unit of all that comes in, in the proxy's thread; may return
        False to drop it.
    counts : ``connections``, ``http``; units by direction, and by fault or ``untouched``.
    """

    def __init__(self, upstream: int, *, seed: int = 0) -> None:
        super().__init__()
        self.upstream = upstream
        self.odds = {UP: Odds(), DOWN: Odds()}
        self.patience = 0.05
        self.watch: Callable[[str, Unit], bool | None] | None = None
        self._random = random.Random(seed)
        self._open: set[tuple[_Sink, _Sink]] = set()

    def inject(self, way: str, *frames: str | bytes) -> None:
        """Send frames of one's own into every connection."""

        async def work() -> None:
            for client, server in tuple(self._open):
                await (server if way == UP else client).send(list(frames))

        self.call(work())

    def drop_connections(self) -> None:
        """Close all WebSockets, on both sides."""

        async def work() -> None:
            for client, server in tuple(self._open):
                await server.socket.close()
                await client.socket.close()

        self.call(work())

    async def _begin(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        for one in itertools.chain.from_iterable(tuple(self._open)):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(one.socket.close(), 1.0)
        await self._session.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        passed = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "connection", "upgrade", "content-length")
            and not name.lower().startswith("sec-websocket")
        }
        where = f"http://127.0.0.1:{self.upstream}{request.raw_path}"
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._bridge(request, where, passed)
        self.counts["http"] += 1
        body = await request.read()
        try:
            async with self._session.request(
                request.method, where, headers=passed, data=body or None
            ) as answer:
                kept = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except aiohttp.ClientError:
            return web.Response(status=502)

    async def _bridge(
        self, request: web.Request, where: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        try:
            server = await self._session.ws_connect(where, headers=headers, max_msg_size=0)
        except aiohttp.ClientError:
            return web.Response(status=502)
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        self.counts["connections"] += 1
        both = _Sink(client), _Sink(server)
        self._open.add(both)
        pumps = [
            asyncio.ensure_future(self._forward(UP, client, both[1])),
            asyncio.ensure_future(self._forward(DOWN, server, both[0])),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(both)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await server.close()
            await client.close()
        return client

    async def _forward(self, way: str, source: Any, sink: _Sink) -> None:
        unit: Unit = []
        missing = 0
        async for message in source:
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return
            unit.append(message.data)
            if isinstance(message.data, str):
                attachments = re.match(r"4[56](\d+)-", message.data)
                missing = int(attachments.group(1)) if attachments else 0
            else:
                missing -= 1
            if missing > 0:
                continue
            whole, unit = unit, []
            self.counts[way] += 1
            if self.watch is not None and self.watch(way, whole) is False:
                continue
            fault = self._fault(way, whole[0])
            self.counts[fault] += 1
            if fault == "reorder":
                sink.send_after_next(whole, self.patience)
            elif fault != "drop":
                await sink.send(whole, times=2 if fault == "duplicate" else 1)

    def _fault(self, way: str, first: str | bytes) -> str:
        # Events and acknowledgements, with and without attachments.
        if isinstance(first, str) and first[:2] in ("42", "43", "45", "46"):
            roll = self._random.random()
            for fault in ("drop", "duplicate", "reorder"):
                chance: float = getattr(self.odds[way], fault)
                if roll < chance:
                    return fault
                roll -= chance
        return "untouched"


class _Sink:
    """One side of a bridged connection: keeps the frames of a unit together."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self._lock = asyncio.Lock()
        self._late: list[Unit] = []

    async def send(self, unit: Unit, times: int = 1) -> None:
        """Send a unit, then those that were to come after it."""
        async with self._lock:
            late, self._late = self._late, []
            with contextlib.suppress(ConnectionError, RuntimeError):
                for frame in itertools.chain(unit * times, *late):
                    if isinstance(frame, str):
                        await self.socket.send_str(frame)
                    else:
                        await self.socket.send_bytes(frame)

    def send_after_next(self, unit: Unit, patience: float) -> None:
        """Send a unit after the next one, or after ``patience`` s if there is none."""
        self._late.append(unit)
        loop = asyncio.get_running_loop()
        loop.call_later(patience, lambda: loop.create_task(self.send([])))
