"""A run: what it sends, what it refuses to send, and how it is told what comes."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from client_parts import CONTRACT, scripted, update

from ab_ros.client.exchange import Exchange
from ab_ros.errors import ContractError, ObservationError, PolicyError
from ab_ros.protocol import CycleUpdate


def test_a_run_shows_its_contract() -> None:
    _, run = scripted()
    assert run.run_id == "run-1" and run.contract is CONTRACT
    assert run.constants == {"gamma": 8, "outputWindowN": 32, "feedbackN": 128, "feedbackT": 4}
    assert run.io["feedback"] == [{"id": "fbV1", "n": 2, "fromOutput": "V1"}]


def test_chunks_states_rewards_and_rasters_have_the_protocols_form() -> None:
    connection, run = scripted()
    run.send_chunk("cam_rgb", "Image", "jpeg", b"\xff\xd8", {"width": 2}, cycle=1)
    run.send_state({"q": [0.1], "dq": [0.0], "grip": {"pos": 0.5}, "dt": 0.02})
    run.send_reward(1, 2.0, {"a": 0.25, "unknown": 0.5})
    run.send_feedback_raster("fbV1", [[0, 1], [-1, 0], [0, 0], [1, 1]], cycle=1)
    run.send_deviation("fbV1", [2.0, -2.0, 0.5, 0.0], cycle=1)
    run.cycle_done(1)
    chunk, state, reward, raster, deviation, done = connection.sent()
    assert (chunk["inputId"], chunk["seq"], chunk["data"]) == ("cam_rgb", 1, b"\xff\xd8")
    assert chunk["meta"] == {"width": 2, "cycle": 1}
    assert state["state"] == {"q": [0.1], "dq": [0.0], "grip": {"pos": 0.5}, "dt": 0.02}
    assert reward["globalReward"] == 1.0 and reward["byLayer"] == {"a": 0.25, "b": 1.0}
    assert (raster["kind"], raster["format"], raster["seq"]) == ("Feedback", "raster_f32", 1)
    assert raster["meta"] == {"T": 4, "N": 2, "cycle": 1}
    assert np.frombuffer(raster["data"], "<f4").tolist() == [0, 1, -1, 0, 0, 0, 1, 1]
    assert np.frombuffer(deviation["data"], "<f4").tolist() == [1.0, -1.0, 0.5, 0.0]
    assert done == {"runId": "run-1", "cycle": 1}


@pytest.mark.parametrize(
    ("send", "error", "says"),
    [
        (lambda run: run.send_reward(0, math.nan), PolicyError, "global reward must be a finite"),
        (lambda run: run.send_reward(0, 0.5, {"a": math.inf}), PolicyError, "layer 'a'"),
        (lambda run: run.send_reward(0, "1"), PolicyError, "global reward"),
        (lambda run: run.send_deviation("fbV1", [math.nan] * 4, 0), PolicyError, "finite"),
        (lambda run: run.send_deviation("fbV1", [0.0] * 3, 0), PolicyError, r"\[4\], not \[3\]"),
        (lambda run: run.send_deviation("fx", [0.0] * 4, 0), ContractError, "one of: fbV1"),
        (lambda run: run.send_feedback_raster("fbV1", [[0.0] * 4], 0), PolicyError, r"\[4, 2\]"),
        (lambda run: run.send_feedback_raster("fbV1", "x", 0), PolicyError, "must be numbers"),
        (lambda run: run.send_state({"q": [math.inf]}), ObservationError, "finite"),
        (lambda run: run.send_chunk("cam_rgb", "Image", "jpeg", 3), ObservationError, "bytes"),
    ],
)
def test_what_is_unfit_is_refused_and_nothing_is_sent(send: Any, error: Any, says: str) -> None:
    connection, run = scripted()
    with pytest.raises(error, match=says):
        send(run)
    assert not connection.sent()


def test_nothing_of_an_ended_run_reaches_the_one_that_follows() -> None:
    connection, run = scripted()
    run.set_reward(lambda summary: (1.0, {}))
    run.set_deviation(lambda feedback_id, T, ctx: [0.0] * T)
    connection.run = "run-2"
    run.began()
    run.finish_cycle(7, run="run-1")
    assert not connection.sent()
    assert run.counts()["learn:reward of an ended run"] == 1
    run.finish_cycle(0)
    assert {payload["runId"] for payload in connection.sent()} == {"run-2"}


def test_what_was_asked_over_a_lost_connection_is_not_answered_over_the_next() -> None:
    connection, run = scripted()
    need = {"runId": "run-1", "cycle": 0, "needs": [{"id": "cam_rgb", "kind": "Image"}]}
    run.heard("io:need", need)
    request = run.requests.take(0.0)
    assert request is not None
    run.lost("a cable")
    run.joined()
    assert not run.answer(request, request.need.needs[0], "same")
    assert not connection.sent()
    run.heard("io:need", need)
    again = run.requests.take(0.0)
    assert again is not None and run.answer(again, again.need.needs[0], "same")


def test_handlers_hear_what_comes_and_what_happens_to_the_connection() -> None:
    _, run = scripted()
    heard: list[tuple[str, Any]] = []
    for event in ("cycle:update", "robot:cmd", "connected", "disconnected"):
        run.on(event, lambda payload, event=event: heard.append((event, payload)))
    message = update(0, telemetry={"rate": 1.0})
    run.heard("cycle:update", message)
    run.heard("robot:cmd", {"dq": [1.0]})
    run.lost("a cable")
    run.joined()
    assert heard == [
        ("cycle:update", message),
        ("robot:cmd", {"dq": [1.0]}),
        ("disconnected", "a cable"),
        ("connected", "run-1"),
    ]


def test_a_direct_command_moves_nothing_and_is_counted() -> None:
    _, run = scripted()
    run.heard("robot:cmd", {"dq": [1.0]})
    run.heard("weather", None)
    assert run.updates.take(0.0) is None
    assert run.counts() == {"robot:cmd ignored": 1, "unknown event ignored": 1}


def test_an_unreadable_update_is_counted_and_not_handed_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, run = scripted()
    heard: list[Any] = []
    run.on("cycle:update", heard.append)
    for payload in (None, [], {"runId": "run-1"}, {"runId": "run-1", "cycle": "x"}):
        run.heard("cycle:update", payload)
    assert not heard and run.updates.take(0.0) is None
    assert run.counts()["cycle:update unreadable"] == 4 and "cycle:update" in caplog.text


def test_updates_that_nobody_takes_do_not_pile_up() -> None:
    _, run = scripted()
    for cycle in range(100):
        run.heard("cycle:update", update(cycle))
    oldest = run.updates.take(0.0)
    assert oldest is not None and oldest.message.cycle == 36
    assert run.counts()["update dropped"] == 36


def test_closing_twice_ends_the_connection_once() -> None:
    connection, run = scripted()
    threads = [threading.Thread(target=run.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connection.closed == 1 and run.closed
    with run:
        pass


def test_a_sample_that_is_never_confirmed_is_given_up() -> None:
    exchange = Exchange()
    assert exchange.sent("cam", 1.0, 0.0) == 1
    assert not exchange.may_send("cam", waits=False, has_left=False, now=0.1)
    assert exchange.may_send("cam", waits=True, has_left=False, now=0.1)
    assert exchange.may_send("cam", waits=False, has_left=True, now=0.1)
    exchange.updated(CycleUpdate("r", 0, [], received={"other": 1}), 0.1)
    assert not exchange.may_send("cam", waits=False, has_left=True, now=0.1)
    assert exchange.may_send("cam", waits=False, has_left=True, now=5.0)
    exchange.lost()
    assert exchange.may_send("cam", waits=False, has_left=False, now=0.1)
    exchange.began()
    assert exchange.sent("cam", 2.0, 6.0) == 1
