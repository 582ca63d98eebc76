"""``ab_ros serve`` as a process: what it says, how it ends, and what a kill leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from server_rig import PATIENCE, BareClient, brain_file, chunk

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.cli import main


def command(folder: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "ab_ros.cli", "serve", str(folder / "brain.db")),
        *("--dir", str(folder / "served"), "--port", "0", *options),
    ]


@contextmanager
def process(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; give process and URL."""
    environment = {k: v for k, v in os.environ.items() if k != "AB_ROS_KEY"}
    running = subprocess.Popen(
        command(folder, *options), stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield running, found[0]
    finally:
        running.kill()
        running.wait(PATIENCE)
        assert running.stdout is not None
        running.stdout.close()


def learn(url: str, cycles: int, **options: object) -> None:
    """Let a project's brain learn for some cycles, and leave without stopping it."""
    with BareClient(url) as client:
        run = client.joined(pacing="gated", **options)
        for cycle in range(cycles):
            client.expect("io:need", cycle=cycle)
            client.answer(run, cycle)
            client.expect("cycle:update", cycle=cycle)
            client.call("robot:cycle_done", {"runId": run, "cycle": cycle})
            client.call("io:chunk", chunk(run, cycle, "fb"))
            client.call("learn:reward", {"runId": run, "cycle": cycle, "globalReward": 1.0})


def weights(path: Path) -> np.ndarray:
    return EmbeddedBrain.load(path).network.weights("see")


def test_a_kill_loses_no_more_than_an_interval_and_the_next_server_goes_on(tmp_path: Path) -> None:
    served = weights(brain_file(tmp_path))
    file = tmp_path / "served" / "p.db"
    with process(tmp_path, "--autosave", "0.05") as (server, url):
        learn(url, 10)
        deadline = time.monotonic() + PATIENCE
        while EmbeddedBrain.load(file).network.ticks < 100 and time.monotonic() < deadline:
            time.sleep(0.02)
        server.send_signal(signal.SIGKILL)
        server.wait(PATIENCE)
    learned = weights(file)
    assert not np.array_equal(learned, served)
    with process(tmp_path) as (_, url), BareClient(url) as client:
        run = client.joined(learning=False)
        client.expect("cycle:update")
        assert client.call("run:save", {"runId": run}) == {"ok": True}
        assert np.array_equal(weights(file), learned)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_what_was_learned_and_ends_well(
    tmp_path: Path, number: signal.Signals
) -> None:
    brain_file(tmp_path)
    with process(tmp_path) as (server, url), BareClient(url) as client:
        run = client.joined(pacing="gated")
        client.answer(run, 0)
        client.expect("cycle:update", cycle=0)
        server.send_signal(number)
        assert server.wait(PATIENCE) == 0
        client.expect("disconnect")
    assert EmbeddedBrain.load(tmp_path / "served" / "p.db").network.ticks == 10


def test_it_says_what_it_serves_and_where(tmp_path: Path) -> None:
    brain_file(tmp_path)
    done = subprocess.Popen(
        command(tmp_path, "--project", "arm", "--project", "leg"), stdout=subprocess.PIPE, text=True
    )
    assert done.stdout is not None
    line = done.stdout.readline()
    done.send_signal(signal.SIGTERM)
    rest = done.communicate(timeout=PATIENCE)[0]
    assert re.fullmatch(
        r"serves \S+brain\.db on http://127\.0\.0\.1:\d+ \(project ids: arm, leg\);"
        r" Ctrl-C saves and ends\n",
        line,
    )
    assert rest == "saves and ends\n" and done.returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "others could use the brain without a token"),
        (["--port", "70000"], "port: 70000 is not allowed; must be >= 0 and <= 65535"),
        (["--hold", "-1"], "hold: -1.0 is not allowed"),
        (["--certificate", "none.pem"], "TLS needs both"),
        (["--certificate", "none.pem", "--private-key", "none.key"], "cannot be used"),
        (["--token-file", "none"], "key file none: cannot be read"),
        (["--host", "192.0.2.1", "--token-variable", "A_KEY"], "cannot be listened on"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_before_anything_is_served(
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brain_file(tmp_path)
    monkeypatch.delenv("AB_ROS_KEY", raising=False)
    monkeypatch.setenv("A_KEY", "K-123")
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main([*command(tmp_path, *options)[3:]]) == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named_with_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main([*command(tmp_path)[3:]]) == 2
    error = capsys.readouterr().err
    assert "needs uvicorn" in error and "pip install 'ab_ros[server]'" in error
