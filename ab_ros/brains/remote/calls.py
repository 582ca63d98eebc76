"""The four HTTP calls of a service: start, stop, state and contract."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from ab_ros.brains.remote.causes import cause
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.brains.remote.tally import Tally
from ab_ros.contract import Contract
from ab_ros.errors import BrainError, BrainUnreachable, ContractError, ProtocolError
from ab_ros.protocol import Key, Realtime, RunState, Started
from ab_ros.protocol.fields import read_object
from ab_ros.protocol.keys import headers

_log = logging.getLogger(__name__)
_AGAIN = (409, 429, 502, 503, 504)  # busy, or not there yet: worth another attempt


class RefusalError(BrainError):
    """The service answered with an error; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.status in _AGAIN


def certificates(settings: RemoteSettings) -> ssl.SSLContext:
    """Return what verifies the service's certificate."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise BrainError(
            f"ca_file {settings.ca_file!r}: is no file of PEM certificates: {error}"
        ) from None


class Calls:
    """The calls of one project.

    They raise a :class:`BrainUnreachable` if there is no answer in time, a
    :class:`RefusalError` for an answer that says no, and a :class:`ProtocolError` for one that
    cannot be understood or is larger than allowed.  No message holds the key.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        key: Key | None,
        context: ssl.SSLContext,
        tally: Tally,
    ) -> None:
        self._settings = settings
        self._endpoint = settings.endpoint
        self._key = key
        self._tally = tally
        # A connection that is kept could be one to a server that is gone by now.  Redirects would
        # carry the key elsewhere, proxies of the environment would see it unasked.
        self._client = httpx.AsyncClient(
            verify=context,
            proxy=settings.proxy or None,
            headers=headers(key),
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def start(self, options: Mapping[str, Any]) -> tuple[Started, Realtime]:
        """Start a run; return it, and where its realtime connection is.

        A run whose answer cannot be used is stopped again.
        """
        answer = await self._call("POST", "start", dict(options))
        try:
            started = Started.from_wire(answer)
            where = self._endpoint.realtime(started.realtime, self._settings.allowed_origins)
        except ProtocolError:
            run = answer.get("runId") if isinstance(answer, Mapping) else None
            if isinstance(run, str) and run:
                await self.end(run)
            raise
        return started, where

    async def end(self, run: str) -> bool:
        """Stop a run as well as that can be done; return whether it was."""
        try:
            await self.stop(run)
        except (BrainError, ProtocolError) as error:
            self._tally.add("runs not stopped")
            _log.warning("run %s could not be stopped: %s", run, error)
            return False
        return True

    async def stop(self, run: str) -> Mapping[str, Any]:
        """Stop a run; return the answer."""
        return read_object("stop", await self._call("POST", "stop", {"runId": run} if run else {}))

    async def state(self) -> RunState:
        """Return the state of the project's run."""
        answer = await self._call("GET", "io/state", timeout=self._settings.link_timeout)
        return RunState.from_wire(answer)

    async def contract(self) -> Contract:
        """Return the project's contract, without a run."""
        answer = await self._call("GET", "contract")
        try:
            return Contract.from_dict(answer)
        except ContractError as error:
            raise ProtocolError(f"contract: {error}") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _call(
        self, method: str, name: str, body: Any = None, timeout: float | None = None
    ) -> Any:
        timeout = self._settings.connect_timeout if timeout is None else timeout
        url = self._endpoint.call(self._settings.project, name)
        where = f"{name} at {self._endpoint.origin}"
        try:
            status, content = await asyncio.wait_for(
                self._exchange(method, url, body, timeout, where), timeout
            )
        except (asyncio.TimeoutError, httpx.TimeoutException):
            raise BrainUnreachable(f"{where}: no answer within {timeout:g} s") from None
        except httpx.HTTPError as error:
            raise BrainUnreachable(f"{where}: {self._without_key(cause(error))}") from None
        if not 200 <= status < 300:
            raise RefusalError(self._refusal(name, where, status, content), status)
        try:
            return json.loads(content or b"{}")
        except (ValueError, RecursionError) as error:
            raise ProtocolError(
                f"{where}: the answer is not JSON: {self._without_key(str(error))}"
            ) from None

    async def _exchange(
        self, method: str, url: str, body: Any, timeout: float, where: str
    ) -> tuple[int, bytes]:
        largest = self._settings.largest_payload
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        async with self._client.stream(method, url, timeout=timeout, **arguments) as response:
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > largest:
                    raise ProtocolError(
                        f"{where}: the answer is larger than largest_payload, {largest} bytes"
                    )
            return response.status_code, bytes(content)

    def _refusal(self, name: str, where: str, status: int, content: bytes) -> str:
        said = self._without_key(_sentence(content))
        if status in (401, 403):
            source = f"variable {self._settings.key_variable} or key_file"
            what = "the key is refused" if self._key else f"a key is required: {source}"
            return f"{where}: {what}{said and f' ({said})'}"
        if 300 <= status < 400:
            return f"{where}: answers with a redirect ({status}); give the address it leads to"
        if status == 404 and name in ("start", "contract"):
            missing = f"there is no project {self._settings.project!r}"
            return f"{where}: {missing}{said and f' ({said})'}"
        return f"{where}: refused with {status}{said and f': {said}'}"

    def _without_key(self, text: str) -> str:
        return self._key.removed_from(text) if self._key else text


def _sentence(content: bytes) -> str:
    """Return the sentence of an error's answer, if there is one that people can read."""
    try:
        answer = json.loads(content)
        text = answer.get("error") or answer.get("message") or ""
    except (ValueError, AttributeError, RecursionError):
        return ""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return shown if len(shown) <= 200 else f"{shown[:199]}…"
