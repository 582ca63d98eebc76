"""The links of the other tests misbehave as they say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from fault_proxy import DOWN, UP, FaultProxy, FrameProxy, Link, Odds


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """Serve connections that give back what they get; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_: list[socket.socket] = []

    def serve(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                one.sendall(data)
        one.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                open_.append(one)
                threading.Thread(target=serve, args=(one,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        for one in open_:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server() -> Iterator[int]:
    with echo() as port:
        yield port


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=20)


def receive(one: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = one.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


def test_a_good_link_forwards_everything_and_its_end(server: int) -> None:
    data = bytes(range(256)) * 4000
    with FaultProxy(server) as proxy, connect(proxy) as one:
        threading.Thread(target=one.sendall, args=(data,)).start()
        assert receive(one, len(data)) == data
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
        assert proxy.counts[UP] == proxy.counts[DOWN] == len(data)


def test_a_thin_link_takes_its_time_keeps_order_and_pushes_back(server: int) -> None:
    data = bytes(range(256)) * 200
    with FaultProxy(server, Link(200_000, 0.05)) as proxy, connect(proxy) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        begin = time.monotonic()
        one.sendall(data)
        sent = time.monotonic() - begin
        assert receive(one, len(data)) == data
        # It cannot be faster; how much slower is the machine's affair.
        assert time.monotonic() - begin >= 0.05 + len(data) / 200_000 - 0.02
        # The sender felt it: what can wait under way is far less than was sent.
        assert sent >= 0.1


@pytest.mark.parametrize("reset", [True, False])
def test_connections_are_cut_and_come_again(server: int, reset: bool) -> None:
    with FaultProxy(server) as proxy:
        with connect(proxy) as one:
            one.sendall(b"a")
            assert receive(one, 1) == b"a"
            proxy.cut(reset=reset)
            if reset:
                with pytest.raises(ConnectionResetError):
                    one.recv(1)
            else:
                assert one.recv(1) == b""
        assert proxy.open_connections == 0
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        proxy.accept()
        with connect(proxy) as one:
            one.sendall(b"b")
            assert receive(one, 1) == b"b"
        assert proxy.counts["cuts"] == 1


def test_a_stalled_link_is_silent_but_open(server: int) -> None:
    with FaultProxy(server) as proxy, connect(proxy) as one:
        proxy.stall()
        one.sendall(b"late")
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.recv(1)
        proxy.resume()
        one.settimeout(20)
        assert receive(one, 4) == b"late"


def test_chance_cuts_as_its_seed_says(server: int) -> None:
    def life(seed: int) -> int:
        with FaultProxy(server, seed=seed) as proxy, connect(proxy) as one:
            proxy.cut_rate = 0.1
            for count in range(1000):
                with contextlib.suppress(OSError):
                    one.sendall(b"x")
                    if receive(one, 1):
                        continue
                return count
        raise AssertionError("was never cut")

    assert life(3) == life(3)
    assert len({life(seed) for seed in range(4)}) > 1


async def frames_of(way: str, odds: Odds, frames: list[str | bytes]) -> tuple[list[Any], Any]:
    """Send frames through a proxy to a server that records them; return those, and counts."""
    got: list[Any] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        one = web.WebSocketResponse()
        await one.prepare(request)
        async for message in one:
            got.append(message.data)
            if message.data == "2end":
                await one.close()
        return one

    async def body(request: web.Request) -> web.Response:
        return web.json_response({"body": (await request.text()), "key": request.headers["K"]})

    application = web.Application()
    application.router.add_get("/socket.io/", handle)
    application.router.add_post("/api/{path:.*}", body)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with FrameProxy(runner.addresses[0][1], seed=1) as proxy:
            proxy.odds[way] = odds
            proxy.patience = 60.0  # on a busy machine, too, the next one comes first
            async with ClientSession() as session:
                url = f"{proxy.url}/api/a%2Fb"
                async with session.post(url, data="text", headers={"K": "1"}) as answer:
                    assert await answer.json() == {"body": "text", "key": "1"}
                async with session.ws_connect(f"{proxy.url}/socket.io/?EIO=4") as one:
                    for frame in frames:
                        await (one.send_str if isinstance(frame, str) else one.send_bytes)(frame)  # type: ignore[arg-type]
                    await one.receive()
            return got, proxy.counts
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("odds", "expected"),
    [
        (Odds(), ["40/ab", "42a", "451-b", b"1", "2x", "2end"]),
        (Odds(drop=1.0), ["40/ab", "2x", "2end"]),
        (Odds(duplicate=1.0), ["40/ab", "42a", "42a", "451-b", b"1", "451-b", b"1", "2x", "2end"]),
        (Odds(reorder=1.0), ["40/ab", "2x", "42a", "451-b", b"1", "2end"]),
    ],
)
def test_events_are_lost_doubled_and_swapped_with_their_attachments(
    odds: Odds, expected: list[Any]
) -> None:
    frames: list[str | bytes] = ["40/ab", "42a", "451-b", b"1", "2x", "2end"]
    got, counts = asyncio.run(frames_of(UP, odds, frames))
    assert got == expected
    assert counts[UP] == 5 and counts["http"] == 1 and counts["connections"] == 1
