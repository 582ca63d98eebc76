"""The HTTP calls of the 0.1 protocol, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any
from urllib.parse import unquote_to_bytes

from ab_ros.errors import AbRosError, ProtocolError
from ab_ros.protocol.endpoint import CALLS
from ab_ros.protocol.fields import read_object, read_optional_text
from ab_ros.server.access import Access
from ab_ros.server.options import StartOptions
from ab_ros.server.runs import CallError, Runs
from ab_ros.server.settings import LONGEST_PROJECT

_log = logging.getLogger(__name__)

_LARGEST_BODY = 1 << 16
_BODY_TIMEOUT = 10.0  # s that a client has to send a body
_METHODS = {"start": "POST", "stop": "POST", "io/state": "GET", "contract": "GET"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HttpCalls:
    """Answers ``/api/robot/{project}/start``, ``stop``, ``io/state`` and ``contract``.

    Parameters
    ----------
    runs : that the calls are about.
    access : who may call.
    executor : of threads for what takes its time: loading and saving brains.
    """

    def __init__(self, runs: Runs, access: Access, executor: Executor) -> None:
        self._runs, self._access, self._executor = runs, access, executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, in any case with JSON."""
        headers: list[tuple[bytes, bytes]] = []
        try:
            status, answer = 200, await self._answer(scope, receive)
        except CallError as error:
            status, answer = error.status, _sorry(str(error))
            if status == 405:
                headers = [(b"allow", _METHODS[_route(scope)[1]].encode())]
            elif status == 401:
                headers = [(b"www-authenticate", b"Bearer")]
        except ProtocolError as error:
            status, answer = 400, _sorry(str(error))
        except AbRosError as error:
            _log.error("%s", error)
            status, answer = 500, _sorry(str(error))
        await respond(send, status, answer, headers)

    async def _answer(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        if not self._access.allowed(scope["headers"]):
            raise CallError(401, "the key is missing or wrong")
        project, call = _route(scope)
        if scope["method"] != _METHODS[call]:
            raise CallError(405, f"{call} is called by {_METHODS[call]}, not {scope['method']}")
        runs = self._runs
        if call == "contract":
            # The answer to start, without what only a run has.
            answer = (await self._in_thread(runs.contract, project)).to_wire(project)
            return {k: v for k, v in answer.items() if k not in ("runId", "realtime")}
        if call == "io/state":
            state, counts = await self._in_thread(runs.state, project)
            return {**state.to_wire(), "projectId": project, "counts": counts}
        body = _read_json(await _read_body(scope, receive))
        if call == "start":
            options = StartOptions.from_wire(body)
            return (await self._in_thread(runs.start, project, options)).to_wire(project)
        run = read_optional_text("stop", read_object("stop", body), "runId")
        stopped = await self._in_thread(runs.stop, project, run)
        return {"ok": True, "projectId": project, "runId": run or None, "stopped": stopped}

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, *arguments)


async def respond(
    send: Send, status: int, answer: Any, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Send a JSON answer."""
    body = json.dumps(answer).encode()
    length = str(len(body)).encode()
    usual = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*usual, *(headers or [])]}
    )
    await send({"type": "http.response.body", "body": body})


def _sorry(sentence: str) -> dict[str, Any]:
    return {"ok": False, "error": sentence}


def _route(scope: Scope) -> tuple[str, str]:
    """Return project and call of a request's path."""
    # Of the path as it was sent: an escaped slash belongs to the project's id.
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    parts = raw.split(b"?")[0].split(b"/")
    call = b"/".join(parts[4:]).decode("latin-1")
    if parts[:3] != [b"", b"api", b"robot"] or call not in CALLS:
        raise CallError(
            404,
            "there is no such call; there are /api/robot/PROJECT/start, stop,"
            " io/state and contract",
        )
    try:
        project = unquote_to_bytes(parts[3]).decode()
    except UnicodeDecodeError:
        raise CallError(400, "the project's id is not UTF-8") from None
    if not 0 < len(project) <= LONGEST_PROJECT:
        raise CallError(400, f"a project's id has 1 to {LONGEST_PROJECT} characters")
    return project, call


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    body = b""
    try:
        more = True
        while more:
            message = await asyncio.wait_for(receive(), _BODY_TIMEOUT)
            if message["type"] != "http.request":
                raise ProtocolError("the request broke off")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _LARGEST_BODY:
                raise CallError(413, f"a body has at most {_LARGEST_BODY} bytes")
    except asyncio.TimeoutError:
        raise ProtocolError(f"the body did not come within {_BODY_TIMEOUT:g} s") from None
    return body


def _read_json(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError("the body is not JSON") from None
