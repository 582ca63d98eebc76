"""The client against a served brain, over real sockets: calls, keys, ends, lost links."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_parts import PATIENCE, Robot
from client_rig import FRAME, SOUND, served
from fake_service import eventually
from fault_proxy import FaultProxy

from ab_ros.brains.remote import Link
from ab_ros.client import ABClient, InputStreamer, MappingEntry, Run
from ab_ros.errors import BrainError, BrainUnreachable, ConfigError
from ab_ros.server import BrainServer

KEY = "k-3c0ffee"
QUICK = {"backoff_first": 0.01, "backoff_most": 0.1, "link_timeout": 10.0, "key_variable": ""}
MAPPING = [MappingEntry(node_id="P1", channel="gripper", scheme="addition")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BrainServer]:
    with served(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: BrainServer) -> Iterator[ABClient]:
    with ABClient(server.url, **QUICK) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ab_ros")])


def streaming(run: Run) -> InputStreamer:
    streamer = InputStreamer(run)
    streamer.register_kind("Image", lambda: {"format": "jpeg", "data": FRAME})
    meta = {"sampleRate": 16000, "channels": 1}
    streamer.register_kind("Audio", lambda: {"format": "pcm16", "meta": meta, "data": SOUND})
    streamer.start()
    return streamer


def moving(run: Run, **settings: Any) -> Robot:
    run.set_decoder(MAPPING)
    return Robot(run, **settings).start()


# --- Calls -------------------------------------------------------------------------------------


def test_a_run_says_what_the_brain_takes_and_gives(client: ABClient) -> None:
    run = client.start("p", {"seed": 7}, learning=False)
    assert run.run_id and run.constants["gamma"] == 8 and run.dt == 0.001
    assert [item["id"] for item in run.io["inputs"]] == ["cam_rgb", "mic"]
    assert {port.id for port in run.contract.outputs} == {"V1", "L1", "P1"}
    assert run.io["stdp3"] == {"layers": ["W_V1"]}
    assert client.get_contract("p").sha256 == run.contract.sha256
    assert client.get_state("p").run == run.run_id


def test_a_contract_is_told_without_a_run(client: ABClient) -> None:
    assert [port.id for port in client.get_contract("p").feedback] == ["fbV1"]
    assert client.get_state("p").run == ""


def test_closing_and_stopping_end_the_run_at_the_server(client: ABClient) -> None:
    for end in (
        lambda run: run.close(),
        lambda run: client.stop(run),
        lambda run: client.stop("p"),
        lambda run: client.close(),
    ):
        run = client.start("p")
        assert client.get_state("p").run == run.run_id
        end(run)
        assert client.get_state("p").run == ""
        run.close()
    with pytest.raises(BrainError, match="was closed"):
        run.send_reward(0, 0.5)
    with pytest.raises(BrainError, match="was closed"):
        InputStreamer(run).start()


def test_a_wrong_option_is_refused_in_the_services_words(client: ABClient) -> None:
    with pytest.raises(BrainError, match="learning must be true or false"):
        client.start("p", learning="yes")


def test_a_failure_after_start_leaves_no_run(
    client: ABClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BrainUnreachable("refused")

    monkeypatch.setattr(Link, "join", refuse)
    with pytest.raises(BrainUnreachable, match="refused"):
        client.start("p")
    monkeypatch.undo()
    assert client.get_state("p").run == ""


def test_policies_are_scaffolded_and_can_be_used(
    client: ABClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "policies"
    report = client.sync_policies("p", policies_dir=folder)
    assert {"_contract.json", "_contract.py", "_contract.sha256"} <= set(report.written)
    mine = "def compute_reward(summary, *, stdp_layers):\n    return 0.25, {}\n"
    (folder / "reward_policy.py").write_text(mine)
    client.sync_policies("p", policies_dir=str(folder))
    assert (folder / "reward_policy.py").read_text() == mine
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import policies.error_deviation_policy as deviation  # type: ignore[import-not-found]
    import policies.reward_policy as reward  # type: ignore[import-not-found]

    run = client.start("p", pacing="gated")
    run.set_reward(reward)
    run.set_deviation(deviation)
    streaming(run)
    robot = moving(run)
    robot.wait(lambda: len({command["cycle"] for command in robot.commands}) > 3)
    robot.stop()
    assert not run.counts().keys() & {"reward failed", "deviation failed", "learn:reward refused"}


# --- Keys --------------------------------------------------------------------------------------


def test_the_key_comes_from_code_a_variable_or_a_file_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    monkeypatch.setenv("AB_ROS_KEY", KEY)
    with served(tmp_path, environment={"AB_ROS_KEY": KEY}) as server:
        monkeypatch.setenv("MINE", KEY)
        for given in (
            ABClient(server.url, KEY),
            ABClient(server.url),
            ABClient(server.url, key_variable="MINE"),
            ABClient(server.url, key_variable="", key_file=str(file)),
        ):
            assert given.get_contract("p").outputs and KEY not in repr(given)
        with ABClient(server.url, KEY, link_timeout=10.0) as client:
            robot = moving(client.start("p"))
            robot.wait(lambda: bool(robot.commands))
            robot.stop()
        with pytest.raises(BrainError) as refused:
            ABClient(server.url, "k-wrong").start("p")
        assert "k-wrong" not in str(refused.value)
        with pytest.raises(BrainError, match="key"):
            ABClient(server.url, key_variable="").start("p")
    assert KEY not in caplog.text and "k-wrong" not in caplog.text
    assert any(record.name.startswith("ab_ros.client") for record in caplog.records)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"url": "http://brain.example"}, "in the clear"),
        ({"url": "https://me:secret@brain.example"}, "must not hold a user"),
        ({"url": "https://brain.example", "api_key": ""}, "api_key"),
        ({"url": "https://brain.example", "jpeg_quality": 3}, "unknown setting 'jpeg_quality'"),
        ({"url": "https://brain.example", "link_timeout": 0.0}, "link_timeout"),
    ],
)
def test_what_a_client_cannot_be_made_of_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ABClient(**arguments)


def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        url = server.url
    with pytest.raises(BrainUnreachable, match=r"start at http://127\.0\.0\.1"):
        ABClient(url, connect_timeout=0.2, **{**QUICK}).start("p")


# --- A run -------------------------------------------------------------------------------------


def test_a_gated_brain_waits_for_each_cycles_execution(client: ABClient) -> None:
    run = client.start("p", pacing="gated")
    numbers: list[int] = []
    run.on("cycle:update", lambda payload: numbers.append(payload["cycle"]))
    streaming(run)
    robot = moving(run)
    robot.wait(lambda: len(numbers) > 20)
    robot.stop()
    assert numbers == list(range(len(numbers)))
    assert robot.loop.counts()["cycle executed"] >= 20
    assert not run.counts().get("update dropped")


def test_a_service_that_announces_nothing_is_spoken_to_by_the_bare_protocol(
    client: ABClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ab_ros.server.runs.EXTENSIONS", ())
    run = client.start("p", pacing="gated")
    run.set_reward(lambda summary: (0.5, {}))
    streamer = streaming(run)
    robot = moving(run)
    robot.wait(lambda: len({command["cycle"] for command in robot.commands}) > 5)
    robot.stop()
    assert streamer.counts()["cam_rgb sent"] > 5 and not run.counts().get("link lost")


def test_rewards_reach_the_brain(client: ABClient, tmp_path: Path) -> None:
    run = client.start("p", pacing="gated", learning=True)
    run.set_reward(lambda summary: (1.0, {}))
    run.set_deviation(lambda feedback_id, T, ctx: [1.0] * T)
    streaming(run)
    seen: list[dict[str, float]] = []
    run.on("cycle:update", lambda payload: seen.append(payload["telemetry"]))
    robot = moving(run)
    robot.wait(lambda: len(seen) > 5)
    robot.stop()
    # The service acknowledges what counts, and says what it refused.
    refused = [name for name in run.counts() if "refused" in name or "unconfirmed" in name]
    assert not refused and not [name for name in seen[-1] if name.startswith("refused")]


def test_handlers_are_called_in_order_and_may_raise_or_close(
    client: ABClient, caplog: pytest.LogCaptureFixture
) -> None:
    run = client.start("p")
    closed = threading.Event()
    numbers: list[int] = []

    def bad(payload: Any) -> None:
        raise RuntimeError("a bad handler")

    def close(payload: Any) -> None:
        numbers.append(payload["cycle"])
        if len(numbers) == 5:
            run.close()
            closed.set()

    run.on("cycle:update", bad)
    run.on("cycle:update", close)
    assert closed.wait(PATIENCE)
    assert numbers[:5] == sorted(numbers)[:5]
    assert "a bad handler" in caplog.text
    assert run.counts()["handler of cycle:update failed"] >= 5
    for thread in threading.enumerate():
        if thread.name == "ab_ros closing":
            thread.join(PATIENCE)
    assert client.get_state("p").run == ""


# --- Lost links --------------------------------------------------------------------------------


def test_a_cut_link_is_found_again_and_the_run_goes_on(server: BrainServer) -> None:
    with FaultProxy(server.port) as proxy, ABClient(proxy.url, **QUICK) as client:
        run = client.start("p", pacing="gated")
        run.set_reward(lambda summary: (0.6, {}))
        told: list[str] = []
        for event in ("connected", "disconnected"):
            run.on(event, lambda _, event=event: told.append(event))
        streaming(run)
        robot = moving(run)
        before = run.run_id
        for cut in range(3):
            robot.wait(lambda: len(told) == 2 * cut and moved_on(robot))  # noqa: B023
            proxy.cut()
            robot.wait(lambda: len(told) == 2 * cut + 2)  # noqa: B023
        robot.commands.clear()
        robot.wait(lambda: bool(robot.commands))
        robot.stop()
        assert run.run_id == before and told == ["disconnected", "connected"] * 3
        cycles = [command["cycle"] for command in robot.commands]
        assert cycles == sorted(cycles)
        assert run.counts()["link lost"] == 3 and run.lost_for() == 0.0


def moved_on(robot: Robot) -> bool:
    return len({command["cycle"] for command in robot.commands[-20:]}) > 2


def test_a_server_that_was_started_anew_gets_a_new_run(tmp_path: Path) -> None:
    first = served(tmp_path).start()
    with ABClient(first.url, **QUICK) as client:
        run = client.start("p", pacing="gated", seed=3, fresh=True)
        streaming(run)
        robot = moving(run)
        robot.wait(lambda: moved_on(robot))
        old = run.run_id
        first.stop()
        second = served(tmp_path, port=first.port).start()
        try:
            robot.wait(lambda: run.run_id != old)
            robot.commands.clear()
            robot.wait(lambda: moved_on(robot))
            robot.stop()
            assert run.counts()["runs started anew"] == 1
        finally:
            client.close()
            second.stop()


# --- The end of a program ----------------------------------------------------------------------

PROGRAM = """
import signal
import sys
from ab_ros.client import ABClient, RobotLoop
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
client = ABClient(sys.argv[1], key_variable="")
run = client.start("p")
run.set_decoder(lambda rows: {})

def get_state():
    print(run.run_id, flush=True)
    return {"q": [0.0]}

if sys.argv[2] == "loop":
    RobotLoop(run, get_state, print).run_forever()
else:
    get_state()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("way", ["loop", "exit"])
def test_a_program_that_ends_leaves_no_run(server: BrainServer, way: str, host: str) -> None:
    url = server.url.replace("127.0.0.1", host)
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, way],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().strip()
        if way == "loop":
            program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
    assert program.returncode == 0 and "Traceback" not in errors, errors
    assert ABClient(server.url, **QUICK).get_state("p").run == ""
