"""The key of a service: read from where it is private, shown nowhere."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ab_ros.errors import ConfigError

_LONGEST = 4096


class Key:
    """A secret text that no print, log, error or ``repr`` shows.

    Raises
    ------
    ConfigError
        if it is empty or could not be sent in a header.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str, where: str = "key") -> None:
        plain = text.isascii() and text.isprintable() and text == text.strip()
        if not text or len(text) > _LONGEST or not plain:
            raise ConfigError(
                f"{where}: a key must be 1 to {_LONGEST} printable ASCII characters, without"
                f" spaces around them"
            )
        self._text = text

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> str:
        raise TypeError("a key cannot be serialised")

    def headers(self) -> dict[str, str]:
        """Return the headers that every call and the upgrade carry."""
        return {"x-api-key": self._text, "Authorization": f"Bearer {self._text}"}

    def auth(self) -> dict[str, str]:
        """Return the payload of the namespace's CONNECT."""
        return {"token": self._text, "apiKey": self._text}

    def matches(self, given: object) -> bool:
        """Whether what was sent is this key, in a time that does not tell where it fails."""
        text = given if isinstance(given, str) else ""
        return hmac.compare_digest(self._text.encode(), text.encode("utf-8", "surrogatepass"))

    def removed_from(self, text: str) -> str:
        """Return a text without the key in it, for messages of libraries."""
        return text.replace(self._text, "…")


def headers(key: Key | None) -> dict[str, str]:
    """Return the key's headers; none without a key."""
    return key.headers() if key else {}


def auth(key: Key | None) -> dict[str, str]:
    """Return the CONNECT payload; an empty object without a key."""
    return key.auth() if key else {}


def read_key(
    variable: str = "", file: str | Path = "", environment: Mapping[str, str] | None = None
) -> Key | None:
    """Read a key from an environment variable, or from a file that only its owner can read.

    Parameters
    ----------
    variable : name of the variable; empty, or not set: no key from there.
    file : path; empty: no key from there.  A variable that is set goes first.
    environment : instead of the process's.

    Raises
    ------
    ConfigError
        if the file cannot be read, others can read it, or what stands there is no key.
    """
    environment = os.environ if environment is None else environment
    text = environment.get(variable, "").strip() if variable else ""
    if text:
        return Key(text, f"environment variable {variable}")
    return _read_file(Path(file).expanduser()) if str(file) not in ("", ".") else None


def _read_file(path: Path) -> Key:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(_LONGEST + 2)
    except OSError as error:
        raise ConfigError(f"key file {path}: cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"key file {path}: others than its owner may use it (mode"
            f" {stat.S_IMODE(mode):o}): chmod 600 {path}"
        )
    try:
        return Key(data.decode("ascii").strip(), f"key file {path}")
    except UnicodeDecodeError:
        raise ConfigError(f"key file {path}: a key must be ASCII text") from None
