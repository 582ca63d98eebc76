"""A robot and its brain elsewhere, over real sockets that fail in every way there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_proxy import DOWN, UP, FaultProxy, FrameProxy, Odds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from remote_rig import Lessons, Robot, ServedProcess, remote, wait_until
from server_rig import brain_file, serving
from thin_link import look_through

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.remote import RemoteBrain
from ab_ros.errors import BrainError, BrainUnreachable

KEY = "K-123-secret"


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> Lessons:
    return Lessons(monkeypatch)


def weights(file: Path) -> NDArray[np.floating[Any]]:
    return EmbeddedBrain.load(file).network.weights("see")


def test_a_server_that_is_killed_comes_back_with_what_was_learned(tmp_path: Path) -> None:
    brain, served = brain_file(tmp_path), tmp_path / "served"
    learned = served / "p.db"
    server = ServedProcess(brain, served, arguments=("--autosave", "0.1"))
    with server, Robot(remote(server.url)) as robot:
        first = robot.step().run
        # Until something was learned, and saved.
        wait_until(
            lambda: robot.step() and not np.array_equal(weights(learned), weights(brain)),
            "the file has other weights",
        )
        server.kill()
        saved = weights(learned)
        with pytest.raises(BrainUnreachable):
            robot.go_on(0.5)
        wait_until(robot.brain.complaints, "the robot notices")
        assert any("lost" in complaint for complaint in robot.brain.complaints())
        robot.brain.set_learning(False)
        with pytest.raises(BrainUnreachable):
            robot.step(0.5)

        with ServedProcess(brain, served, server.port):
            wait_until(robot.tries, "the robot goes on")
            assert robot.brain.run == robot.cycles[-1][0] != first
            assert robot.cycles[-1][1] == 0
            robot.go(20)
            robot.check_numbers()
            assert robot.brain.complaints() == []
            robot.brain.close()
    np.testing.assert_array_equal(weights(learned), saved)


def test_no_reward_is_lost_or_given_twice_in_a_thousand_cycles_under_random_cuts(
    tmp_path: Path, lessons: Lessons
) -> None:
    with serving(tmp_path) as server, FaultProxy(server.port, seed=5) as proxy:
        with Robot(remote(proxy.url)) as robot:
            robot.go(1)
            proxy.cut_rate = 0.01
            robot.go(999, patience=120.0)
            proxy.cut_rate = 0.0
        assert proxy.counts["cuts"] >= 20
        lessons.check(robot)
        robot.check_numbers()
        # One run all the time, and no cycle was left out.
        assert [number for _, number in robot.cycles] == list(range(1000))
        assert len({run for run, _ in robot.cycles}) == 1


@pytest.mark.parametrize("fault", ["reset", "end", "refused", "namespace closed"])
def test_a_lost_connection_is_found_again(tmp_path: Path, lessons: Lessons, fault: str) -> None:
    with (
        serving(tmp_path) as server,
        FrameProxy(server.port) as frames,
        FaultProxy(frames.port) as proxy,
        Robot(remote(proxy.url)) as robot,
    ):
        robot.go(5)
        for _ in range(3):
            if fault == "namespace closed":
                frames.inject(DOWN, "41/ab,")
            elif fault == "refused":
                proxy.refuse()
                proxy.cut()
                wait_until(robot.brain.complaints, "the robot notices")
                with pytest.raises(BrainUnreachable, match="lost"):
                    robot.go_on(0.3)
                proxy.accept()
            else:
                proxy.cut(reset=fault == "reset")
            robot.go(10)
        robot.brain.close()
        assert robot.brain.counts()["link lost"] >= 3
        lessons.check(robot)
        robot.check_numbers()


def test_a_link_that_is_silent_but_open_is_noticed_and_left(
    tmp_path: Path, lessons: Lessons
) -> None:
    settings = {"link_timeout": 0.5}
    with serving(tmp_path) as server, FaultProxy(server.port) as proxy:
        with Robot(remote(proxy.url, **settings)) as robot:
            robot.go(5)
            proxy.stall()
            wait_until(robot.brain.complaints, "the robot notices")
            with pytest.raises(BrainUnreachable, match="lost"):
                robot.go_on(0.3)
            # The server does as well, and keeps the run.
            run = server.runs.find(robot.cycles[-1][0])
            assert run is not None
            wait_until(lambda: not run.joined, "the server notices")
            # The old connection comes to life again, but is not the robot's any more.
            proxy.resume()
            robot.go(20)
            # Before it is closed, which does not wait for long over such a link.
            wait_until(lambda: lessons.has_all_of(robot), "the brain was given everything")
        lessons.check(robot)
        assert [number for _, number in robot.cycles] == list(range(len(robot.cycles)))


@pytest.mark.parametrize("pacing", ["gated", "free"])
def test_messages_that_come_twice_or_in_another_order_do_no_harm(
    tmp_path: Path, lessons: Lessons, pacing: str
) -> None:
    with serving(tmp_path) as server, FrameProxy(server.port, seed=2) as proxy:
        with Robot(remote(proxy.url, pacing=pacing)) as robot:
            robot.go(2)
            for way in (UP, DOWN):
                proxy.odds[way] = Odds(duplicate=0.1, reorder=0.1)
            robot.go(150)
            for way in (UP, DOWN):
                proxy.odds[way] = Odds()
            robot.go(2)
        assert proxy.counts["duplicate"] > 20 and proxy.counts["reorder"] > 20
        robot.check_numbers()
        # In another order perhaps, but each once.
        assert sorted(lessons.rewards) == sorted(robot.told)
        assert sorted(lessons.deviations) == sorted(robot.cycles)


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["\ud800", "1" * 20, 10**300]),
)
KEYS = ["runId", "cycle", "needs", "outputs", "id", "deadlineMs", "received", "q", "state", "t"]
values = st.recursive(
    leaves,
    lambda deeper: (
        st.lists(deeper, max_size=3) | st.dictionaries(st.sampled_from(KEYS), deeper, max_size=4)
    ),
    max_leaves=8,
)
EVENTS = {
    UP: [
        *("run:join", "io:chunk", "robot:state", "learn:reward", "io:need_received", "learn:set"),
        *("robot:cycle_done", "run:save", "connect", "disconnect", "message", "x"),
    ],
    DOWN: ["io:need", "cycle:update", "robot:cmd", "connect", "disconnect", "connect_error", "x"],
}
PACKETS = [
    *("4", "42", "42/ab", "42/ab,", "42/ab,{}", "42/ab,[]", "42/ab,[1]", "42[]", "451-/ab,[]"),
    *("459/ab,", "45-1-/ab,[]", "7", "9", "3", "2probe", "5", "6", "44/ab,{}", "40/ab,", "40"),
    *("41", "43/ab,[]", "42/xy,[]", "", "42/ab," + "[" * 2000),
    '451-/ab,["io:chunk",{"_placeholder":true,"num":9}]',
]


@st.composite
def frames(draw: st.DrawFn, way: str, run: str) -> list[str | bytes]:
    """Draw WebSocket frames: events with wrong payloads, wrong packets, or anything at all."""
    kind = draw(st.sampled_from(["event", "event", "event", "packet", "text", "bytes", "ack"]))
    if kind == "event":
        payload = draw(values)
        if isinstance(payload, dict) and draw(st.booleans()):
            # Of the run itself, but of no cycle that is still to come.
            cycle = draw(st.sampled_from([0, 1, "1", -1, 1.5, None, "x", []]))
            payload = {**payload, "runId": run, "cycle": cycle}
        event = draw(st.sampled_from(EVENTS[way]))
        return ["42/ab," + json.dumps([event, payload])]
    if kind == "ack":
        return [f"43/ab,{draw(st.integers(0, 99))}" + json.dumps([draw(values)])]
    if kind == "packet":
        return [draw(st.sampled_from(PACKETS))]
    if kind == "text":
        return [draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))]
    return [draw(st.binary(max_size=20))]


@pytest.mark.parametrize("way", [UP, DOWN])
def test_garbage_is_counted_and_the_robot_goes_on(
    tmp_path: Path, lessons: Lessons, way: str
) -> None:
    with serving(tmp_path) as server, FrameProxy(server.port) as proxy:
        robot = Robot(remote(proxy.url, link_timeout=1.0))
        with robot:
            robot.go(2)

            @settings(
                max_examples=60, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
            )
            @given(st.data())
            def throw(data: st.DataObject) -> None:
                drawn = data.draw(st.lists(frames(way, robot.brain.run), min_size=1, max_size=4))
                proxy.inject(way, *(frame for each in drawn for frame in each))
                robot.go(1)

            throw()
            robot.go(5)
            robot.check_numbers()
            # What was thrown in may have rewarded as well, but nothing was lost.
            wait_until(lambda: lessons.has_all_of(robot), "the brain was given everything")
            robot.brain.close()
            assert sum(server.counts().values()) + sum(robot.brain.counts().values()) > 0


def test_messages_that_are_too_large_do_not_get_far(tmp_path: Path, lessons: Lessons) -> None:
    with serving(tmp_path, largest_payload=1 << 16) as server, FrameProxy(server.port) as proxy:
        with Robot(remote(proxy.url, largest_payload=1 << 16)) as robot:
            robot.go(2)
            for count, way in enumerate((UP, DOWN), start=1):
                proxy.inject(way, '42/ab,["x","' + "x" * (1 << 18) + '"]')
                wait_until(robot.tries, "a cycle comes")
                wait_until(lambda n=count: robot.tries() and proxy.counts["connections"] > n, "cut")
                robot.go(5)
            # A sample that is too large is refused before it is sent.
            robot.picture = b"\xff\xd8" + bytes(1 << 17)
            robot.go(3)
            assert robot.brain.counts()["cam refused"] >= 3
        lessons.check(robot)


def test_a_key_is_needed_where_one_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path, {"AB_ROS_KEY": KEY}) as server:
        for given_, says in (("", "key"), ("wrong-key-1", "key is refused")):
            monkeypatch.setenv("ROBOT_KEY", given_)
            brain = RemoteBrain(remote(server.url, key_variable="ROBOT_KEY"))
            with pytest.raises(BrainError, match=says) as refused:
                brain.open()
            assert not isinstance(refused.value, BrainUnreachable)
            assert "wrong-key-1" not in str(refused.value) + repr(brain) + str(brain.counts())
            assert brain.run == ""
        assert len(server.runs) == 0
        monkeypatch.setenv("ROBOT_KEY", KEY)
        with Robot(remote(server.url, key_variable="ROBOT_KEY")) as robot:
            robot.go(3)
        assert KEY not in caplog.text


def test_a_key_that_is_refused_later_is_told_and_the_brain_can_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, {"AB_ROS_KEY": KEY}) as server, FaultProxy(server.port) as proxy:
        monkeypatch.setenv("ROBOT_KEY", KEY)
        robot = Robot(remote(proxy.url, key_variable="ROBOT_KEY"))
        with robot, serving(tmp_path / "b", {"AB_ROS_KEY": "another"}) as other:
            robot.go(2)
            proxy.upstream = other.port
            proxy.cut()
            with pytest.raises(BrainError, match="the key is refused") as refused:
                robot.go(50)
            assert not isinstance(refused.value, BrainUnreachable)
            assert KEY not in str(refused.value) + str(robot.brain.complaints())
            proxy.upstream = server.port
            robot.brain.open()
            robot.go(2)


@pytest.mark.parametrize("pacing", ["gated", "free"])
def test_on_a_thin_link_frames_drop_instead_of_lagging(tmp_path: Path, pacing: str) -> None:
    seen = look_through(tmp_path, pacing, frames=6)
    assert seen.under_way == 1
    assert seen.taken > 2 * seen.sent
    assert pacing == "gated" or seen.counts["cam held back"] > 0
    assert len(seen.ages) >= 5
    # So a frame is as old as the link makes it; bench/remote.py measures that.
    assert seen.waited == 0
