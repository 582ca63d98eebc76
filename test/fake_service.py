"""A small scripted service of the 0.1 protocol, in a thread, for tests of the client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import socketio
from aiohttp import web

CONTRACT: dict[str, Any] = {
    "constants": {"gamma": 4, "outputWindowN": 2, "feedbackN": 3, "feedbackT": 4},
    "io": {
        "inputs": [
            {"id": "camera", "kind": "Image"},
            {"id": "mic", "kind": "Audio"},
            {"id": "joint", "kind": "Proprioception"},
        ],
        "outputs": [{"id": "V1", "n": 2}],
        "feedback": [{"id": "fb", "n": 3, "kind": "Feedback", "fromOutput": "V1"}],
        "stdp3": {"layers": ["A", "B"]},
    },
}
EVENTS = (
    "run:join",
    "io:chunk",
    "io:need_received",
    "robot:state",
    "robot:cycle_done",
    "learn:reward",
    "learn:set",
    "run:save",
)
EXTENSIONS = ["ack", "hold", "resend", "learning", "save"]


class FakeService:
    """Serves one project; what came is in ``calls`` and ``events``.

    Attributes
    ----------
    contract, extensions, realtime, dt : of the answer to start.
    key : that is required, if any.
    refuse_start : statuses that the next starts are answered with.
    refuse_realtime : whether the namespace's CONNECT is refused.
    on_join, on_event : called in the loop's thread, to script what is sent.
    """

    def __init__(self, port: int = 0, certificate: ssl.SSLContext | None = None) -> None:
        self.contract = CONTRACT
        self.extensions: list[str] = []
        self.realtime: Any = {"namespace": "/ab", "url": None}
        self.dt: float | None = None
        self.key = ""
        self.refuse_start: list[int] = []
        self.refuse_realtime = False
        self.start_answer: Any = None
        self.redirect = ""
        self.state: Any = None  # of io/state; None: that of the run
        self.knows_state = True
        self.on_join: Callable[[str], None] = lambda sid: None
        self.on_event: Callable[[str, str, Any], Any] = lambda sid, event, payload: None
        self.run = ""
        self.runs = 0
        self.calls: list[tuple[str, str, dict[str, str], Any]] = []
        self.events: list[tuple[str, Any]] = []
        self.connects: list[tuple[dict[str, str], Any]] = []
        self.sids: list[str] = []
        self._changed = threading.Condition()
        self._port = port
        self._thawed = threading.Event()
        self._certificate = certificate
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._live, name="fake service", daemon=True)

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self._port}"

    def __enter__(self) -> FakeService:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.thaw()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(20)
            assert not self._thread.is_alive()

    def wait(self, ready: Callable[[], bool], timeout: float = 20.0) -> None:
        """Wait until something has come."""
        with self._changed:
            assert self._changed.wait_for(ready, timeout), (self.calls, self.names())

    def names(self) -> list[str]:
        return [event for event, _ in list(self.events)]

    def payloads(self, event: str) -> list[Any]:
        return [payload for name, payload in list(self.events) if name == event]

    def count(self, call: str) -> int:
        return sum(name == call for _, name, _, _ in list(self.calls))

    def emit(self, event: str, payload: Any) -> None:
        """Send an event to all, from any thread."""
        self._do(self._sio.emit(event, payload, namespace="/ab"))

    def ask(self, cycle: int, needs: list[Any] | None = None, deadline: Any = None) -> None:
        items = [{"id": "camera", "kind": "Image"}] if needs is None else needs
        payload = {"runId": self.run, "cycle": cycle, "needs": items, "deadlineMs": deadline}
        self.emit("io:need", payload)

    def update(self, cycle: int, rows: Any = (), **more: Any) -> None:
        payload = {"runId": self.run, "cycle": cycle, "outputs": list(rows), **more}
        self.emit("cycle:update", payload)

    def kick(self) -> None:
        """Close the namespace of all clients, and leave the connection open."""
        for sid in list(self.sids):
            eio = self._sio.manager.eio_sid_from_sid(sid, "/ab")
            self._do(self._sio.eio.send(eio, "1/ab,"))

    def cut(self) -> None:
        """Break all connections without a word."""
        for sid in list(self.sids):
            self._do(self._cut(sid))

    def send_raw(self, text: str | bytes) -> None:
        """Send something to all that need not be a packet."""
        for sid in list(self.sids):
            eio = self._sio.manager.eio_sid_from_sid(sid, "/ab")
            self._do(self._sio.eio.send(eio, text))

    def freeze(self) -> None:
        """Say nothing any more and read nothing, with all connections open, until thawed."""
        self._loop.call_soon_threadsafe(self._thawed.wait, 60)

    def thaw(self) -> None:
        self._thawed.set()

    def abort(self, sid: str) -> None:
        """Break a connection at once: nothing that waits is sent; in the loop's thread."""
        request = self._sio.get_environ(sid, "/ab")["aiohttp.request"]
        if request.transport is not None:
            request.transport.abort()

    async def _cut(self, sid: str) -> None:
        self.abort(sid)

    def _do(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    # The server's own thread

    def _live(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._sio = sio = socketio.AsyncServer(
            async_mode="aiohttp",
            namespaces=["/ab"],
            ping_interval=1,
            ping_timeout=20,
            async_handlers=False,
            cors_allowed_origins=[],
        )
        app = web.Application(client_max_size=1 << 24)
        sio.attach(app)
        app.router.add_route("*", "/api/robot/{project}/{call:.*}", self._answer)
        sio.on("connect", self._connect, namespace="/ab")
        sio.on("disconnect", self._disconnect, namespace="/ab")
        for event in EVENTS:
            sio.on(event, self._handler(event), namespace="/ab")
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self._port))
        self._port = sock.getsockname()[1]
        await web.SockSite(runner, sock, ssl_context=self._certificate).start()
        self._ready.set()
        await self._stopping.wait()
        for sid in list(self.sids):
            with contextlib.suppress(Exception):
                await self._cut(sid)
        await runner.cleanup()
        await sio.shutdown()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _note(self, kind: list[Any], item: Any) -> None:
        with self._changed:
            kind.append(item)
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        call = request.match_info["call"]
        body = json.loads(text) if text else None
        reply = self._reply(request, call)
        self._note(self.calls, (request.method, call, dict(request.headers), body))
        return reply

    def _reply(self, request: web.Request, call: str) -> web.Response:
        if self.redirect:
            raise web.HTTPTemporaryRedirect(self.redirect)
        if self.key and request.headers.get("x-api-key") != self.key:
            given = request.headers.get("x-api-key", "")
            return web.json_response({"ok": False, "error": f"wrong key {given}"}, status=401)
        if call == "start":
            if self.refuse_start:
                status = self.refuse_start.pop(0)
                return web.json_response({"ok": False, "error": "not now"}, status=status)
            self.runs += 1
            self.run = f"run-{self.runs}"
            answer = {"ok": True, "runId": self.run, "realtime": self.realtime, **self.contract}
            answer.update(extensions=self.extensions)
            if self.dt is not None:
                answer["dt"] = self.dt
            return web.json_response(answer if self.start_answer is None else self.start_answer)
        if call == "stop":
            self.run = ""
            return web.json_response({"ok": True})
        if call == "io/state" and self.knows_state:
            state = {"ok": True, "runId": self.run or None, "cycle": 0, "needs": []}
            return web.json_response(state if self.state is None else self.state)
        if call == "contract":
            return web.json_response({"ok": True, "projectId": "p", **self.contract})
        return web.json_response({"ok": False, "error": "no such call"}, status=405)

    async def _connect(self, sid: str, environ: Any, auth: Any) -> None:
        headers = {k[5:].lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        self._note(self.connects, (headers, auth))
        if self.refuse_realtime:
            raise socketio.exceptions.ConnectionRefusedError("not with this key")
        self.sids.append(sid)

    async def _disconnect(self, sid: str, *_: Any) -> None:
        if sid in self.sids:
            self.sids.remove(sid)
        self._note(self.events, ("disconnect", None))

    def _handler(self, event: str) -> Callable[[str, Any], Any]:
        async def handle(sid: str, payload: Any = None) -> Any:
            self._note(self.events, (event, payload))
            if event == "run:join":
                self.on_join(sid)
            answer = self.on_event(sid, event, payload)
            return {"ok": True} if answer is None else answer

        return handle


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port on which nothing listens, and that nobody else is given."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


def eventually(ready: Callable[[], bool], timeout: float = 20.0) -> bool:
    """Wait for something that no one tells about."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
