"""Who may use a server: keys, and requests that web pages make in somebody's browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ab_ros.protocol.endpoint import is_loopback
from ab_ros.protocol.keys import Key

_PORTS = {"http": 80, "https": 443}

Headers = Iterable[tuple[bytes, bytes]]


class Access:
    """Decides on requests by their headers.

    Parameters
    ----------
    key : that clients must have; None lets in whoever reaches the server, which then must only be
        reachable from this computer.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = key

    def allowed(self, headers: Headers) -> bool:
        """Whether the headers have the key, as ``x-api-key`` or as ``Authorization: Bearer``."""
        if self._key is None:
            return True
        found = False
        for name, value in headers:
            text = value.decode("latin-1").strip()
            if name.lower() == b"x-api-key":
                found |= self._key.matches(text)
            elif name.lower() == b"authorization" and text[:7].lower() == "bearer ":
                found |= self._key.matches(text[7:].strip())
        return found

    def allowed_by(self, auth: Any) -> bool:
        """Whether the payload of the namespace's CONNECT has the key."""
        if self._key is None:
            return True
        if not isinstance(auth, Mapping):
            return False
        given = [auth.get(name) for name in ("token", "apiKey")]
        return any(self._key.matches(text) for text in given if isinstance(text, str))

    def objection(self, scheme: str, headers: Headers) -> str:
        """Return why a request must not be answered at all; empty if it may.

        Web pages can send requests to this computer through the browser of whoever looks at them.
        A request that comes from a page of another origin is refused, and without a key also one
        to a host name that is not this computer's: a page's own name may lead here.
        """
        host = origin = ""
        for name, value in headers:
            if name.lower() == b"host":
                host = value.decode("latin-1").strip().lower()
            elif name.lower() == b"origin":
                origin = value.decode("latin-1").strip().lower()
        if self._key is None and not is_loopback(_place(f"http://{host}")[0]):
            return "without a key, only requests to this computer's own name are answered"
        if origin and _place(origin, scheme) != _place(f"{scheme}://{host}", scheme):
            return "requests from web pages of another origin are not answered"
        return ""


def _place(url: str, scheme: str = "") -> tuple[str, int]:
    """Return host and port of an address; a host that nothing else is equal to if it is none."""
    try:
        parts = urlsplit(url)
        usual = _PORTS.get(parts.scheme, _PORTS.get(scheme, 0))
        return parts.hostname or "", parts.port or usual
    except ValueError:
        return "", -1
