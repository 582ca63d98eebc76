"""Keys: where they come from, and where they never show."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.errors import ConfigError
from ab_ros.protocol import Key, read_key
from ab_ros.protocol.keys import auth, headers

SECRET = "K-123-secret"


def private(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_key_is_in_headers_and_auth_and_without_one_neither_is_sent() -> None:
    key = Key(SECRET)
    assert headers(key) == {"x-api-key": SECRET, "Authorization": f"Bearer {SECRET}"}
    assert auth(key) == {"token": SECRET, "apiKey": SECRET}
    assert headers(None) == {} and auth(None) == {}


def test_a_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    @dataclasses.dataclass(frozen=True)
    class Settings:
        key: Key

    key = Key(SECRET)
    settings = Settings(key)
    shown = [repr(key), str(key), f"{key}", f"{key!r}", repr(settings), repr([key])]
    logging.getLogger("test").warning("connecting with %s", settings)
    shown.append(caplog.text)
    assert not [text for text in shown if SECRET in text]
    assert not hasattr(key, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, dataclasses.asdict):
        with pytest.raises(TypeError) as refused:
            leak(settings if leak is dataclasses.asdict else key)  # type: ignore[operator]
        assert SECRET not in str(refused.value)
    assert key.removed_from(f"401 for {SECRET}!") == "401 for …!"


def test_only_the_key_itself_matches() -> None:
    key = Key(SECRET)
    assert key.matches(SECRET)
    for given_ in ("", SECRET[:-1], SECRET + "x", SECRET.upper(), "\ud800", "é", None, 5, b"K", {}):
        assert not key.matches(given_)
    assert not Key("?").matches("\ud800")


@pytest.mark.parametrize(
    "text", ["", " ", " a", "a ", "a\nb", "a\r\nX-Evil: 1", "a\0b", "é", "\x7f", "x" * 4097, "a\tb"]
)
def test_what_could_not_be_sent_in_a_header_is_no_key(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Key(text, "environment variable X")
    assert str(refused.value).startswith("environment variable X: a key must be")
    assert len(text) < 3 or text not in str(refused.value)


@given(st.text(max_size=20))
def test_every_key_makes_a_request_with_its_own_headers_only(text: str) -> None:
    try:
        key = Key(text)
    except ConfigError:
        return
    request = httpx.Request("POST", "http://127.0.0.1/", headers=key.headers())
    added = {name for name, _ in request.headers.raw} - {b"Host", b"Content-Length"}
    assert added == {b"x-api-key", b"Authorization"}
    assert request.headers["x-api-key"] == text


def test_a_key_comes_from_the_environment_first_then_from_a_private_file(tmp_path: Path) -> None:
    path = private(tmp_path, b"from-file\n")
    environment = {"AB_ROS_KEY": f" {SECRET}\n", "EMPTY": "  "}

    def read(variable: str = "", file: str | Path = "") -> str:
        key = read_key(variable, file, environment)
        return key.headers()["x-api-key"] if key else ""

    assert read("AB_ROS_KEY", path) == SECRET
    assert read("", path) == read("EMPTY", path) == read("MISSING", str(path)) == "from-file"
    assert read() == read("MISSING") == read("EMPTY", Path()) == ""


def test_the_process_s_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AB_ROS_KEY", SECRET)
    key = read_key("AB_ROS_KEY")
    assert key is not None and key.matches(SECRET)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_file_that_others_can_use_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path, SECRET.encode(), mode)
    with pytest.raises(ConfigError, match=f"mode {mode:o}.*chmod 600") as refused:
        read_key(file=path)
    assert SECRET not in str(refused.value)


def test_a_file_without_a_usable_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    contents = (b"", b"\n", b"one\ntwo", b"\xff\xfe", "schlüssel".encode(), b"x" * 5000)
    for content in contents:
        path = private(tmp_path, content)
        with pytest.raises(ConfigError, match=r"key file .*: a key must be") as refused:
            read_key(file=path)
        assert "two" not in str(refused.value) and "xxx" not in str(refused.value)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_key(file=path)
    with pytest.raises(ConfigError, match="environment variable BAD"):
        read_key("BAD", environment={"BAD": "a\nb"})
