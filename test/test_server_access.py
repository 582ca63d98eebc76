"""Who gets in: keys, hosts, web pages, TLS; and what becomes of garbage and floods."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_rig import PATIENCE, BareClient, brain_file, chunk, serving
from socketio.exceptions import ConnectionError

from ab_ros.errors import ConfigError
from ab_ros.protocol.keys import Key
from ab_ros.server.access import Access

KEY = "K-123-secret"
ENVIRONMENT = {"AB_ROS_KEY": KEY}


def test_a_call_needs_the_key_in_either_header(tmp_path: Path) -> None:
    with serving(tmp_path, ENVIRONMENT) as server:
        url = f"{server.url}/api/robot/p/contract"
        for headers in (
            {},
            {"x-api-key": "K-124"},
            {"x-api-key": ""},
            {"Authorization": f"Basic {KEY}"},
            {"Authorization": "Bearer"},
            {"x-api-key": "\xe9"},
        ):
            encoded = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = httpx.get(url, headers=encoded)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert answer.json() == {"ok": False, "error": "the key is missing or wrong"}
        # What is behind the door is not told to who stands before it.
        assert httpx.get(f"{server.url}/api/nothing").status_code == 401
        for headers in (
            {"x-api-key": KEY},
            {"Authorization": f"Bearer {KEY}"},
            {"x-api-key": "old", "authorization": f"bearer {KEY}"},
        ):
            assert httpx.get(url, headers=headers).status_code == 200


def test_the_namespace_needs_the_key_in_the_upgrade_or_in_connect(tmp_path: Path) -> None:
    with serving(tmp_path, ENVIRONMENT) as server:
        for options in (
            {"auth": {"token": KEY}},
            {"auth": {"apiKey": KEY}},
            {"headers": {"x-api-key": KEY}, "auth": {}},
            {"headers": {"x-api-key": "old"}, "auth": {"token": KEY, "apiKey": KEY}},
        ):
            with BareClient(server.url) as client:
                client.connect(**options)
        for options in (
            {},
            {"auth": {"token": "K-124", "apiKey": None}},
            {"auth": ["K-123-secret"]},
            {"headers": {"x-api-key": "wrong"}},
        ):
            with BareClient(server.url) as client, pytest.raises(ConnectionError):
                client.connect(**options)
        assert server.counts()["wrong keys"] == 4


def test_others_than_this_computer_are_only_served_with_a_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'0\.0\.0\.0'.*AB_ROS_KEY"):
        serving(tmp_path, host="0.0.0.0")
    with (
        serving(tmp_path, ENVIRONMENT, host="0.0.0.0") as server,
        BareClient(server.url, KEY) as client,
    ):
        client.joined()


def test_a_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        serving(tmp_path, token_file=str(file))
    assert KEY not in str(caught.value)
    file.chmod(0o600)
    with serving(tmp_path, token_file=str(file)) as server, BareClient(server.url, KEY) as client:
        client.joined()


def test_the_key_is_in_no_log_and_no_repr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, ENVIRONMENT) as server:
        with BareClient(server.url, KEY) as client:
            client.joined()
            client.call("nonsense", {"runId": KEY[:4]})
        with BareClient(server.url) as client, pytest.raises(ConnectionError):
            client.connect(auth={"token": KEY + "x"})
        shown = repr(vars(server)) + repr(server.settings) + repr(server.counts())
    # The client is none of ours, and logs what it likes.
    logs = [r.getMessage() for r in caplog.records if r.name.startswith(("ab_ros", "uvicorn"))]
    assert logs and not any(KEY in text for text in logs)
    assert KEY not in shown


@pytest.mark.parametrize(
    ("host", "origin", "key", "allowed"),
    [
        ("127.0.0.1:8642", "", None, True),
        ("localhost:8642", "http://localhost:8642", None, True),
        ("[::1]:8642", "http://[::1]:8642", None, True),
        ("127.0.0.1:8642", "http://127.0.0.1:8642", None, True),
        ("127.0.0.1:8642", "http://evil.example", None, False),
        ("127.0.0.1:8642", "http://127.0.0.1:80", None, False),
        ("127.0.0.1:8642", "null", None, False),
        ("127.0.0.1:8642", "http://[", None, False),
        ("evil.example:8642", "http://evil.example:8642", None, False),
        ("", "", None, False),
        ("robot.example", "https://robot.example", KEY, True),
        ("robot.example:443", "https://robot.example", KEY, True),
        ("robot.example", "https://evil.example", KEY, False),
    ],
)
def test_web_pages_of_elsewhere_cannot_use_the_server(
    host: str, origin: str, key: str | None, allowed: bool
) -> None:
    access = Access(Key(key) if key else None)
    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin else [])]
    scheme = "https" if key else "http"
    assert (access.objection(scheme, headers) == "") is allowed


def test_a_web_page_gets_neither_calls_nor_the_namespace(tmp_path: Path) -> None:
    headers = {"Origin": "http://evil.example"}
    with serving(tmp_path) as server, BareClient(server.url) as client:
        answer = client.http.post("/p/start", json={}, headers=headers)
        assert answer.status_code == 403 and "another origin" in answer.json()["error"]
        assert not any(name.startswith("access-control") for name in answer.headers)
        with pytest.raises(ConnectionError):
            client.connect(headers=headers)
        client.connect(headers={"Origin": server.url})
        assert server.counts() == {"requests of web pages": 2}


def certificate(folder: Path) -> tuple[str, str]:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    paths = str(folder / "host.pem"), str(folder / "host.key")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), *names.split(), "-out", paths[0], "-keyout", paths[1]],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    return paths


def test_it_is_served_over_tls(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    with serving(tmp_path, ENVIRONMENT, certificate=pem, private_key=key) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=pem)
        headers = {"x-api-key": KEY}
        url = f"{server.url}/api/robot/p/contract"
        assert httpx.get(url, headers=headers, verify=trusted).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(url, headers=headers)
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http"), headers=headers)
        assert asyncio.run(opening(server.url, headers, trusted)) == "0{"
    Path(key).write_text("none")
    with pytest.raises(ConfigError, match=r"host\.key.*cannot be used"):
        serving(tmp_path, ENVIRONMENT, certificate=pem, private_key=key)


async def opening(url: str, headers: dict[str, str], context: ssl.SSLContext) -> str:
    """Return how the first frame of a websocket begins."""
    place = f"{url}/socket.io/?transport=websocket&EIO=4"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(place, headers={**headers, "Origin": url}, ssl=context) as ws,
    ):
        return str(await ws.receive_str(timeout=PATIENCE))[:2]


class Raw:
    """A websocket whose frames are written by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.loop = asyncio.new_event_loop()

    def __enter__(self) -> Raw:
        self.session = self.loop.run_until_complete(self._session())
        self.open()
        return self

    async def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    def open(self) -> None:
        place = f"{self.url}/socket.io/?transport=websocket&EIO=4"
        self.ws = self.loop.run_until_complete(self.session.ws_connect(place))

    def send(self, *frames: str | bytes) -> None:
        async def write() -> None:
            for frame in frames:
                if isinstance(frame, str):
                    await self.ws.send_str(frame)
                else:
                    await self.ws.send_bytes(frame)

        self.loop.run_until_complete(asyncio.wait_for(write(), PATIENCE))

    def read_until(self, beginning: str) -> str:
        async def read() -> str:
            while True:
                message = await self.ws.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    if message.data == "2":
                        await self.ws.send_str("3")
                    elif message.data.startswith(beginning):
                        return str(message.data)
                elif message.type is not aiohttp.WSMsgType.BINARY:
                    return "closed"

        return self.loop.run_until_complete(asyncio.wait_for(read(), PATIENCE))

    def __exit__(self, *_: object) -> None:
        self.loop.run_until_complete(self.ws.close())
        self.loop.run_until_complete(self.session.close())
        self.loop.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["runId", "cycle", "inputId", "seq", "t", "meta", "data", "state", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
EVENTS = ["run:join", "io:chunk", "robot:state", "learn:reward", "io:need_received"]
EVENTS += ["robot:cycle_done", "learn:set", "run:save", "connect", "disconnect", "*", "", "x"]


FRAMES = """
4 40 40/ab, 41/ab, 42/ab,[ 42/ab,7[] 42/other,[] 40/other,{} 42/ab,["run:join"] 43/ab,1[] 44/ab,{}
42/ab,["disconnect"] 42/ab,["connect",{"asgi.scope":{"ab_ros.connection":1}}] 451-/ab,[]
459999999-/ab,[] 451-/ab,["io:chunk",{"data":{"_placeholder":true,"num":"x"}}] 45 4x 0 1 2 3 5 6
"""
FRAMES += "42/ab," + "[" * 20_000


def test_garbage_is_answered_or_ignored_and_harms_no_run(tmp_path: Path) -> None:
    with serving(tmp_path) as server, BareClient(server.url) as client:
        run = client.joined(pacing="gated")

        @settings(max_examples=60)
        @given(event=st.sampled_from(EVENTS), payload=JSON)
        def any_payload(event: str, payload: Any) -> None:
            if isinstance(payload, dict) and "runId" in payload:
                payload["runId"] = run
            answer = client.call(event, payload)
            assert set(answer) <= {"ok", "reason"} and isinstance(answer["ok"], bool)

        any_payload()
        assert client.call("run:join", {"runId": run}) == {"ok": True}
        client.expect("io:need", cycle=0)
        client.answer(run, 0)
        client.expect("cycle:update", cycle=0)


def test_frames_that_are_no_messages_are_counted_and_end_only_their_connection(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server, BareClient(server.url) as client:
        run = client.joined(pacing="gated")

        @settings(max_examples=30)
        @given(
            st.lists(
                st.text(max_size=30) | st.binary(max_size=30) | st.sampled_from(FRAMES.split()),
                max_size=8,
            )
        )
        def any_frames(frames: list[str | bytes]) -> None:
            gone = contextlib.suppress(ConnectionResetError, aiohttp.ClientError)
            with Raw(server.url) as raw, gone:
                raw.send(*frames)

        any_frames()
        with Raw(server.url) as raw:
            raw.send("40/ab,")
            raw.read_until("40/ab,")
            raw.send("459999999-/ab,[]", *["42/ab,["] * 120)
            assert raw.read_until("never") == "closed"
        assert server.counts()["garbage"] >= 100
        client.answer(run, 0)
        client.expect("cycle:update", cycle=0)


@pytest.mark.parametrize(
    "frames",
    [
        ['451-/ab,["io:chunk",{"data":{"_placeholder":true,"num":9}}]', b"x"],
        ['451-/ab,["io:chunk",{"_placeholder":true,"num":0}]', '42/ab,["x"]'],
        ['450-/ab,["io:chunk",{}]', "45/ab,[]", b"x", b"y"],
        ["x", "1"],
        ["x", "41/ab,"],
        ["x", "", "4", "4x", "4[", "b64", "2" * 100, "\U00031544"],
    ],
)
def test_garbage_between_messages_does_not_make_a_connection_deaf(
    tmp_path: Path, frames: list[str | bytes]
) -> None:
    with serving(tmp_path) as server, Raw(server.url) as raw:
        raw.send("40/ab,")
        assert raw.read_until("40/ab,")
        raw.send(*frames)
        # Either it goes on, or it is closed at once, so that the client can come back.
        with contextlib.suppress(ConnectionResetError, aiohttp.ClientError):
            raw.send('42/ab,7["x",{}]')
        answer = raw.read_until("43/ab,7")
        assert answer == "closed" or '"ok":false' in answer
        assert server.counts()["garbage"] >= 1


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with serving(tmp_path, largest_payload=1 << 12) as server, BareClient(server.url) as client:
        run = client.joined(pacing="gated")
        answer = client.call("io:chunk", chunk(run, 0, data=b"\0" * 5000))
        assert answer == {
            "ok": False,
            "reason": "io:chunk: data must have at most 4096 bytes, not 5000",
        }
        client.emit("io:chunk", chunk(run, 0, data=b"\0" * 200_000))
        client.expect("disconnect")
        client.connect()
        assert client.call("run:join", {"runId": run}) == {"ok": True}


def test_a_connection_that_shows_no_key_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ab_ros.server.realtime._TIME_TO_CONNECT", 0.05)
    with serving(tmp_path, ENVIRONMENT) as server, Raw(server.url) as raw:
        assert raw.read_until("never") == "closed"
        assert server.counts() == {"connections without key": 1}


def test_a_flood_is_slowed_down_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    with serving(tmp_path, most_events=100) as server, BareClient(server.url) as client:
        run = client.joined(pacing="gated")
        client.answer(run, 0)
        client.expect("cycle:update", cycle=0)
        # Too many even for a server that stands still in between, and may catch up.
        client.emit("robot:cycle_done", {"runId": run, "cycle": 0}, times=250)
        assert client.call("robot:cycle_done", {"runId": run, "cycle": 0}) == {"ok": True}
        counts = client.http.get("/p/io/state").json()["counts"]
        assert counts["robot:cycle_done repeated"] == 250
        assert server.counts()["events slowed down"] > 0


def test_polling_is_refused_and_other_websockets_too(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        answer = httpx.get(f"{server.url}/socket.io/?EIO=4&transport=polling")
        assert answer.status_code == 400

        async def elsewhere() -> None:
            async with aiohttp.ClientSession() as session:
                await session.ws_connect(f"{server.url}/api/robot/p/start")

        with pytest.raises(aiohttp.WSServerHandshakeError):
            asyncio.run(elsewhere())


def test_a_file_of_others_is_no_brain(tmp_path: Path) -> None:
    brain = brain_file(tmp_path)
    os.truncate(brain, 100)
    with pytest.raises(Exception, match=r"brain\.db"):
        serving(tmp_path, brain=brain)
