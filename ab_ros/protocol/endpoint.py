"""Where a brain's service is: its address, its calls, and what may be sent there in the clear."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from ab_ros.errors import ConfigError, ProtocolError, one_of, shown

CALLS = ("start", "stop", "io/state", "contract")
NAMESPACE = "/ab"
SOCKET_PATH = "socket.io"
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_NAME = re.compile(r"[\w.-]+")
_NAMESPACE = re.compile(r"/[\w./~-]{0,127}", re.ASCII)
_TO_HTTP = {"ws": "http", "wss": "https"}


@dataclass(frozen=True)
class Realtime:
    """Where the realtime connection of a run goes: origin (``https://host:port``), namespace."""

    origin: str
    namespace: str = NAMESPACE


@dataclass(frozen=True)
class Endpoint:
    """The base address of a service, normalised: no trailing slash, ends in ``/api``.

    Make it by :meth:`parse`.
    """

    base: str
    plain_http: tuple[str, ...] = ()

    @classmethod
    def parse(cls, url: str, plain_http: Collection[str] = ()) -> Endpoint:
        """Read a base URL.

        Parameters
        ----------
        url : ``https://host[:port][/path]``; http only to this computer.
        plain_http : hosts, by name, to which http is allowed all the same.

        Raises
        ------
        ConfigError
            for an address that is not one, has a user, query or fragment in it, or would send
            everything in the clear.
        """
        text = url.strip()
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"url {_bare(text)}: is not an address: {error}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(
                f"url {_bare(text)}: must be like https://host or http://127.0.0.1:8642"
            )
        if parts.username is not None or parts.password is not None:
            raise ConfigError(
                f"url of {host}: must not hold a user or password; keys come from a file or an"
                f" environment variable"
            )
        if parts.query or parts.fragment:
            raise ConfigError(f"url of {host}: must not have a query or fragment")
        path = parts.path.rstrip("/")
        dots = {".", ".."} & set(path.split("/"))
        if not _is_host(host) or dots or not path.isprintable() or set(path) & set(" \\"):
            raise ConfigError(f"url {_bare(text)}: has characters that no address has")
        _refuse_clear_text(parts.scheme, host, plain_http)
        if not path.endswith("/api"):
            path += "/api"
        return cls(f"{_origin(parts.scheme, host, port)}{path}", tuple(plain_http))

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as ``https://host:8443``; the port is left out if usual."""
        parts = urlsplit(self.base)
        return _origin(parts.scheme, _ascii(parts.hostname or ""), parts.port)

    def call(self, project: str, name: str) -> str:
        """Return the URL of a call (one of :data:`CALLS`) of a project, whose id is escaped."""
        if name not in CALLS:
            raise ConfigError(f"unknown call {name!r}; {one_of(CALLS)}")
        if project in ("", ".", ".."):
            raise ConfigError(f"project: must be the id of a project, not {project!r}")
        try:
            return f"{self.base}/robot/{quote(project, safe='')}/{name}"
        except UnicodeEncodeError:
            raise ConfigError(f"project: {shown(project)} is no text") from None

    def realtime(self, given: Any, allowed_origins: Collection[str] = ()) -> Realtime:
        """Return where the realtime connection goes.

        Parameters
        ----------
        given : ``realtime`` of the answer to start; may be None or lack anything.
        allowed_origins : origins besides the configured one that it may name.

        Raises
        ------
        ProtocolError
            if it names another origin, which would get the key.
        """
        if given is None:
            return Realtime(self.origin)
        if not isinstance(given, Mapping):
            raise ProtocolError(f"start: realtime must be an object, not {shown(given)}")
        namespace, url = given.get("namespace"), given.get("url")
        if namespace is not None and not (
            isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace)
        ):
            raise ProtocolError(
                f"start: realtime.namespace must be like {NAMESPACE}, not {shown(namespace)}"
            )
        origin = self.origin
        if url is not None:
            if not isinstance(url, str):
                raise ProtocolError(f"start: realtime.url must be a text, not {shown(url)}")
            origin = origin_of(url)
            allowed = {self.origin, *map(origin_of, allowed_origins)}
            if origin not in allowed:
                raise ProtocolError(
                    f"start: realtime.url names {origin}, but the service is {self.origin}: allow"
                    f" that origin by name if you trust it with your key"
                )
            try:
                parts = urlsplit(origin)
                _refuse_clear_text(parts.scheme, parts.hostname or "", self.plain_http)
            except ConfigError as error:
                raise ProtocolError(f"start: realtime.{error}") from None
        return Realtime(origin, namespace or NAMESPACE)


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address; ``ws`` counts as ``http``.

    Raises
    ------
    ProtocolError
        if it is no address.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not _is_host(host) or parts.scheme not in _PORTS or parts.username is not None:
        raise ProtocolError(f"{_bare(url)} is not the address of a service")
    return _origin(_TO_HTTP.get(parts.scheme, parts.scheme), _ascii(host), port)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this computer."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    try:
        return bool((_NAME.fullmatch(host) and _ascii(host)) or ipaddress.ip_address(host))
    except (ValueError, httpx.InvalidURL):
        return False


def _ascii(host: str) -> str:
    """Return a host's name as it is looked up: beyond ASCII as ``xn--``."""
    return host if host.isascii() else httpx.URL(f"https://{host}").raw_host.decode("ascii")


def _bare(url: str) -> str:
    """Return an address for a message, without what may be secret in it."""
    return shown(re.sub(r"(//|^)[^/]*@", r"\1", re.split("[?#]", url, maxsplit=1)[0]))


def _origin(scheme: str, host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    usual = port is None or port == _PORTS[scheme]
    return f"{scheme}://{name}" if usual else f"{scheme}://{name}:{port}"


def _refuse_clear_text(scheme: str, host: str, plain_http: Collection[str]) -> None:
    if scheme == "http" and not is_loopback(host) and host not in map(str.lower, plain_http):
        raise ConfigError(
            f"url of {host}: http would send key and camera images in the clear: use https, or"
            f" allow it for this host by name (plain_http)"
        )
