"""A server of brains in a thread of its own: sockets, TLS, start and stop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.protocol.endpoint import SOCKET_PATH
from ab_ros.protocol.keys import read_key
from ab_ros.server.access import Access
from ab_ros.server.calls import HttpCalls, Receive, Scope, Send, respond
from ab_ros.server.realtime import Realtime
from ab_ros.server.run import RunSettings
from ab_ros.server.runs import Runs
from ab_ros.server.settings import ServerSettings
from ab_ros.server.store import BrainStore

if TYPE_CHECKING:
    import uvicorn

_log = logging.getLogger(__name__)

_START_TIMEOUT = 30.0
_THREADS = 8


class BrainServer:
    """Serves an embedded brain over the 0.1 protocol.

    It can be used as a context manager, and from any thread::

        with BrainServer(ServerSettings(Path("arm.db"), port=0)) as server:
            print(server.url)

    Parameters
    ----------
    settings : see :class:`ServerSettings`.
    environment : where the token's variable is looked for; None: the process's environment.

    Raises
    ------
    ConfigError
        if others than this computer could reach it without a token, the token, certificate or
        directory cannot be used, or a package is missing.
    BrainError
        if the brain file cannot be read.
    """

    def __init__(
        self, settings: ServerSettings, environment: Mapping[str, str] | None = None
    ) -> None:
        self.settings = s = settings
        key = read_key(s.token_variable, s.token_file, environment)
        if key is None and not s.loopback:
            raise ConfigError(
                f"host {s.host!r}: others could use the brain without a token: set the environment"
                f" variable {s.token_variable or 'of token_variable'}, or give a token_file"
            )
        self._tls = _read_certificate(s)
        self._access = Access(key)
        self._store = BrainStore(s.brain, s.directory, s.dt, s.seed)
        self._runs = Runs(
            self._store,
            RunSettings(s.rows, s.hold, s.linger, s.autosave),
            s.most_runs,
            s.projects,
        )
        self._executor = ThreadPoolExecutor(_THREADS, "calls")
        self._calls = HttpCalls(self._runs, self._access, self._executor)
        self._realtime = Realtime(
            self._runs, self._access, s.most_connections, s.largest_payload, s.most_events
        )
        self._counts: Counter[str] = Counter()
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._port = 0

    def __enter__(self) -> BrainServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Port that the server listens on; 0 before it was started."""
        return self._port

    @property
    def url(self) -> str:
        """Base URL for clients on this computer."""
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "") else self.settings.host
        host = "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    @property
    def store(self) -> BrainStore:
        """Files of the projects' brains."""
        return self._store

    @property
    def runs(self) -> Runs:
        """Runs that go on."""
        return self._runs

    def counts(self) -> dict[str, int]:
        """Return what was refused on connections and requests, by name."""
        return dict(self._counts + self._realtime.counts)

    def start(self) -> BrainServer:
        """Listen; return once requests are answered.

        Raises
        ------
        ConfigError
            if the address cannot be listened on.
        """
        try:
            self._socket = _listen(self.settings.host, self.settings.port)
        except ConfigError:
            self.stop()
            raise
        self._port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT) or self._error is not None:
            self.stop()
            raise AbRosError(f"the server does not start: {self._error or 'it takes too long'}")
        return self

    def stop(self) -> None:
        """Take no more starts, stop and save all runs, disconnect everybody."""
        self._runs.close()
        if self._thread is not None:
            if self._server is not None:
                self._server.should_exit = True
            self._thread.join(_START_TIMEOUT)
            self._thread = None
        self._release()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        objection = self._access.objection("https" if self._tls else "http", scope["headers"])
        if objection:
            self._counts["requests of web pages"] += 1
            if scope["type"] == "http":
                await respond(send, 403, {"ok": False, "error": objection})
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": objection})
        elif scope["path"].startswith(f"/{SOCKET_PATH}/"):
            await self._realtime(scope, receive, send)
        elif scope["type"] == "http":
            await self._calls(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "no such path"})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
                self._ready.set()
            else:
                await self._realtime.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _serve(self) -> None:
        try:
            asyncio.run(self._serve_until_stopped())
        except BaseException as error:  # whoever starts the server gets it
            self._error = error
            _log.debug("the server has ended", exc_info=True)
        finally:
            self._ready.set()

    async def _serve_until_stopped(self) -> None:
        assert self._socket is not None
        self._server = _uvicorn(self, self.settings, self._realtime.largest_message)
        await self._server.serve([self._socket])

    def _release(self) -> None:
        self._executor.shutdown()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _uvicorn(app: Any, settings: ServerSettings, largest: int) -> uvicorn.Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="on",
            log_config=None,
            log_level="warning",  # below that it logs headers and messages, keys among them
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            ws="auto",
            ws_max_size=largest,
            ws_per_message_deflate=False,  # images are compressed already, and bombs are not read
            limit_concurrency=4 * settings.most_connections + 64,
            timeout_graceful_shutdown=2,
            ssl_certfile=settings.certificate or None,
            ssl_keyfile=settings.private_key or None,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"host {host!r}, port {port}: cannot be listened on: {error.strerror or error}"
        ) from None
    return listening


def _read_certificate(settings: ServerSettings) -> bool:
    """Check the certificate before anything else begins; return whether there is one."""
    if not settings.certificate:
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"certificate {settings.certificate}, private_key {settings.private_key}: cannot be"
            f" used: {error}"
        ) from None
    return True
