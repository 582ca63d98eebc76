"""Answering needs: who is asked, what is sent, and that one bad provider stops nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from client_parts import PATIENCE, ScriptedConnection, need, scripted, update

from ab_ros.client.input_streamer import InputStreamer
from ab_ros.client.run import Run
from ab_ros.errors import ConfigError

CAMERA, MICROPHONE = ("cam_rgb", "Image"), ("mic", "Audio")
FRAME = {"format": "jpeg", "meta": {"width": 640, "height": 480}, "data": b"\xff\xd8"}
SOUND = {"format": "pcm16", "meta": {"sampleRate": 16000, "channels": 1}, "data": b"\0\0"}


@pytest.fixture
def parts() -> Iterator[tuple[ScriptedConnection, Run, InputStreamer]]:
    connection, run = scripted()
    streamer = InputStreamer(run)
    yield connection, run, streamer
    run.close()
    assert "ab_ros inputs" not in [thread.name for thread in threading.enumerate()]


Parts = tuple[ScriptedConnection, Run, InputStreamer]


def answer(connection: ScriptedConnection, run: Run, message: dict[str, Any]) -> None:
    """Ask for samples, and wait until each item was answered."""
    before = len(connection.sent("io:need_received"))
    run.heard("io:need", message)
    wanted = before + len(message["needs"])
    connection.wait(lambda: len(connection.sent("io:need_received")) >= wanted)
    connection.wait(lambda: answered(connection))


def answered(connection: ScriptedConnection) -> bool:
    new = [mark for mark in connection.sent("io:need_received") if mark.get("sample") == "new"]
    return len(connection.sent("io:chunk")) >= len(new)


def test_a_need_is_answered_by_id_before_kind(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: {**FRAME, "data": b"kind"})
    streamer.register_input("cam_rgb", "Image", lambda: FRAME)
    streamer.register_kind("Audio", lambda: SOUND)
    streamer.start()
    answer(connection, run, need(3, CAMERA, MICROPHONE, ("cam_back", "Image")))
    camera, microphone, back = connection.sent("io:chunk")
    assert camera == {
        "runId": "run-1",
        "inputId": "cam_rgb",
        "kind": "Image",
        "seq": 1,
        "t": camera["t"],
        "format": "jpeg",
        "meta": {"width": 640, "height": 480, "cycle": 3},
        "data": b"\xff\xd8",
    }
    assert (microphone["inputId"], microphone["format"]) == ("mic", "pcm16")
    assert (back["inputId"], back["data"]) == ("cam_back", b"kind")
    mark = connection.sent("io:need_received")[0]
    assert (mark["runId"], mark["cycle"], mark["id"], mark["kind"]) == (
        "run-1",
        3,
        "cam_rgb",
        "Image",
    )
    assert connection.order()[:2] == ["io:need_received", "io:chunk"]


def test_sequence_numbers_count_from_1_for_each_input(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: FRAME)
    streamer.register_kind("Audio", lambda: SOUND)
    streamer.start()
    answer(connection, run, need(0, CAMERA))
    for cycle in (1, 2):
        run.heard("cycle:update", update(cycle - 1, received={"cam_rgb": cycle, "mic": cycle}))
        answer(connection, run, need(cycle, CAMERA, MICROPHONE))
    numbers = [(chunk["inputId"], chunk["seq"]) for chunk in connection.sent("io:chunk")]
    assert numbers == [("cam_rgb", 1), ("cam_rgb", 2), ("mic", 1), ("cam_rgb", 3), ("mic", 2)]


def test_a_cycle_that_the_provider_gave_is_kept_and_the_kind_is_the_needs(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_input("cam_rgb", "Image", lambda: {**FRAME, "meta": {"cycle": 77}})
    streamer.start()
    answer(connection, run, need(3, ("cam_rgb", "Depth")))
    chunk = connection.sent("io:chunk")[0]
    assert chunk["meta"] == {"cycle": 77} and chunk["kind"] == "Depth"


def test_an_input_without_a_provider_is_told_once_and_the_others_go_on(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Audio", lambda: SOUND)
    streamer.start()
    for cycle in range(3):
        answer(connection, run, need(cycle, CAMERA, MICROPHONE, ("fbV1", "Feedback")))
    assert [chunk["inputId"] for chunk in connection.sent("io:chunk")] == ["mic"] * 3
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "input 'cam_rgb' of kind 'Image'" in warnings[0].getMessage()
    assert streamer.counts()["cam_rgb without a provider"] == 3


@pytest.mark.parametrize(
    ("bad", "says", "counted"),
    [
        ("raises", "its provider failed", "cam_rgb failed"),
        (b"bytes only", "must be a dictionary", "cam_rgb refused"),
        ({"format": "jpeg", "data": "text"}, "data must be bytes", "cam_rgb refused"),
    ],
)
def test_a_bad_provider_is_logged_with_its_stack_and_the_others_go_on(
    parts: Parts, caplog: pytest.LogCaptureFixture, bad: Any, says: str, counted: str
) -> None:
    connection, run, streamer = parts

    def provide() -> Any:
        if bad == "raises":
            raise ValueError("no camera")
        return bad

    streamer.register_input("cam_rgb", "Image", provide)
    streamer.register_kind("Audio", lambda: SOUND)
    streamer.start()
    for cycle in range(2):
        answer(connection, run, need(cycle, CAMERA, MICROPHONE))
    assert [chunk["inputId"] for chunk in connection.sent("io:chunk")] == ["mic", "mic"]
    assert says in caplog.text and "Traceback" in caplog.text
    assert caplog.records[0].name.startswith("ab_ros.client")
    assert streamer.counts()[counted] == 2


def test_a_need_that_came_before_the_start_is_answered(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: FRAME)
    run.heard("io:need", need(0, CAMERA))
    streamer.start()
    connection.wait(lambda: bool(connection.sent("io:chunk")))


def test_a_need_whose_deadline_has_passed_gets_no_sample(parts: Parts) -> None:
    connection, run, streamer = parts
    asked: list[int] = []
    streamer.register_kind("Image", lambda: asked.append(1) or FRAME)
    run.heard("io:need", need(0, CAMERA, deadline_ms=1e-6))
    streamer.start()
    connection.wait(lambda: bool(connection.sent("io:need_received")))
    assert connection.sent("io:need_received")[0]["sample"] == "same"
    assert not asked and not connection.sent("io:chunk")
    assert streamer.counts() == {"cam_rgb late": 1}


def test_a_provider_that_outlasts_its_need_sends_nothing_old(parts: Parts) -> None:
    connection, run, streamer = parts
    entered, leave = threading.Event(), threading.Event()

    def slow() -> dict[str, Any]:
        entered.set()
        assert leave.wait(PATIENCE)
        return FRAME

    streamer.register_kind("Image", slow)
    streamer.start()
    run.heard("io:need", need(0, CAMERA))
    assert entered.wait(PATIENCE)
    run.heard("io:need", need(1, CAMERA))
    leave.set()
    connection.wait(lambda: bool(connection.sent("io:chunk")))
    assert [chunk["meta"]["cycle"] for chunk in connection.sent("io:chunk")] == [1]
    assert streamer.counts()["cam_rgb late"] == 1


def test_one_sample_of_an_input_is_under_way_at_a_time(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: FRAME)
    streamer.start()
    connection.stuck.add("io:chunk cam_rgb")
    for cycle in range(3):
        answer(connection, run, need(cycle, CAMERA))
    assert [chunk["seq"] for chunk in connection.sent("io:chunk")] == [1]
    assert streamer.counts()["cam_rgb held back"] == 2
    connection.stuck.clear()
    answer(connection, run, need(3, CAMERA))
    # A server that says what it received is believed.
    run.heard("cycle:update", update(3, received={"cam_rgb": 1}))
    answer(connection, run, need(4, CAMERA))
    run.heard("cycle:update", update(4, received={"cam_rgb": 2}))
    answer(connection, run, need(5, CAMERA))
    assert [chunk["seq"] for chunk in connection.sent("io:chunk")] == [1, 2, 3]


def test_providers_are_called_one_after_the_other_in_one_thread(parts: Parts) -> None:
    connection, run, streamer = parts
    threads: set[int] = set()
    calls: list[str] = []
    alone = threading.Lock()

    def provide(name: str, sample: dict[str, Any]) -> dict[str, Any]:
        assert alone.acquire(blocking=False)
        threads.add(threading.get_ident())
        calls.append(name)
        alone.release()
        return sample

    streamer.register_kind("Image", lambda: provide("Image", FRAME))
    streamer.register_kind("Audio", lambda: provide("Audio", SOUND))
    streamer.start()
    for cycle in range(5):
        answer(connection, run, need(cycle, CAMERA, MICROPHONE))
    assert calls == ["Image", "Audio"] * 5
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_nothing_new_says_that_the_last_sample_holds(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: None)
    streamer.start()
    answer(connection, run, need(0, CAMERA))
    assert connection.sent("io:need_received")[0]["sample"] == "same"
    assert not connection.sent("io:chunk")


def test_a_server_without_hold_is_told_nothing_that_it_does_not_know() -> None:
    connection, run = scripted("learning")
    streamer = InputStreamer(run)
    streamer.register_kind("Image", lambda: FRAME)
    streamer.start()
    answer(connection, run, need(0, CAMERA))
    assert set(connection.sent("io:need_received")[0]) == {"runId", "cycle", "id", "kind", "ts"}
    run.close()


def test_needs_of_another_run_and_unreadable_ones_are_counted(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: FRAME)
    streamer.start()
    run.heard("io:need", {**need(0, CAMERA), "runId": "run-0"})
    run.heard("io:need", {"runId": "run-1", "cycle": -1, "needs": []})
    answer(connection, run, need(1, CAMERA))
    assert [chunk["meta"]["cycle"] for chunk in connection.sent("io:chunk")] == [1]
    assert run.counts()["need of another run"] == 1 and run.counts()["io:need unreadable"] == 1


def test_a_streamer_that_was_stopped_asks_no_provider_and_can_start_again(parts: Parts) -> None:
    connection, run, streamer = parts
    streamer.register_kind("Image", lambda: FRAME)
    streamer.start()
    with pytest.raises(ConfigError, match="started already"):
        streamer.start()
    streamer.stop()
    run.heard("io:need", need(0, CAMERA))
    assert not connection.sent("io:chunk")
    streamer.start()
    connection.wait(lambda: bool(connection.sent("io:chunk")))


def test_what_cannot_provide_is_refused_when_it_is_registered(parts: Parts) -> None:
    _, _, streamer = parts
    with pytest.raises(ConfigError, match="provider of 'cam_rgb': must be a function"):
        streamer.register_input("cam_rgb", "Image", FRAME)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="kind: must be a name"):
        streamer.register_kind("", lambda: FRAME)
