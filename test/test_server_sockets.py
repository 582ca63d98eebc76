"""The server over real sockets, against a bare client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_service import eventually
from server_rig import PATIENCE, BareClient, brain_file, chunk, serving
from socketio.exceptions import ConnectionError

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError
from ab_ros.server import BrainServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BrainServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: BrainServer) -> Iterator[BareClient]:
    with BareClient(server.url) as client:
        yield client


def cycles(client: BareClient, run: str, first: int, count: int, reward: float = 1.0) -> list[Any]:
    """Run cycles of a gated run as a robot does; return the updates."""
    updates = []
    for cycle in range(first, first + count):
        client.expect("io:need", cycle=cycle)
        client.answer(run, cycle)
        updates.append(client.expect("cycle:update", cycle=cycle))
        client.emit("robot:cycle_done", {"runId": run, "cycle": cycle})
        client.emit("io:chunk", chunk(run, cycle, "fb"))
        client.emit("learn:reward", {"runId": run, "cycle": cycle, "globalReward": reward})
    return updates


def weights(server: BrainServer, project: str) -> np.ndarray:
    brain = EmbeddedBrain.load(server.store.path(project))
    return brain.network.weights("see")


def test_start_answers_with_the_contract_and_what_the_server_can(
    server: BrainServer, client: BareClient
) -> None:
    answer = client.http.post("/my%20robot%2F1/start", json={"mode": "live", "seed": 7}).json()
    assert answer["ok"] and answer["runId"] and answer["projectId"] == "my robot/1"
    assert answer["realtime"] == {"namespace": "/ab", "url": None}
    assert answer["extensions"] == ["ack", "hold", "learning", "resend", "save"]
    assert answer["dt"] == 0.001
    contract = Contract.from_dict(answer)
    assert contract.gamma == 10 and contract.stdp3_layers == ("out",)
    given = client.http.get("/my%20robot%2F1/contract").json()
    assert Contract.from_dict(given).sha256 == contract.sha256 and "runId" not in given


def test_a_gated_run_from_start_to_stop(server: BrainServer, client: BareClient) -> None:
    run = client.joined(pacing="gated", seed=3)
    cycles(client, run, 0, 4)
    need = client.expect("io:need", cycle=4)
    assert [item["id"] for item in need["needs"]] == ["cam", "joints", "fb"]
    state = client.http.get("/p/io/state").json()
    assert (state["runId"], state["cycle"], state["counts"]) == (run, 4, {})
    assert [item["id"] for item in state["needs"]] == ["cam", "joints", "fb"]
    stopped = client.http.post("/p/stop", json={"runId": run}).json()
    assert stopped["ok"] and stopped["stopped"]
    fresh = EmbeddedBrain.load(server.settings.brain).network.weights("see")
    assert not np.array_equal(weights(server, "p"), fresh)
    assert client.http.get("/p/io/state").json()["runId"] is None
    # A client that stops twice, or by another way, does no harm.
    assert not client.http.post("/p/stop", json={"runId": run}).json()["stopped"]
    assert not client.http.post("/p/stop").json()["stopped"]
    assert client.call("robot:cycle_done", {"runId": run, "cycle": 3})["ok"] is False


@pytest.mark.parametrize("form", ["tuple", "object"])
def test_rows_come_in_the_form_that_was_chosen(tmp_path: Path, form: str) -> None:
    with serving(tmp_path, rows=form) as server, BareClient(server.url) as client:
        run = client.joined(pacing="gated")
        rows = [row for update in cycles(client, run, 0, 5) for row in update["outputs"]]
        assert rows
        for row in rows:
            t, id, bits = (row["t"], row["id"], row["bits"]) if form == "object" else row
            assert isinstance(row, dict if form == "object" else list)
            assert 0 <= t < 10 and id == "out"
            assert len(bits) == 6 and set(bits) <= {0, 1} and sum(bits)


def test_a_free_run_needs_neither_samples_nor_marks(client: BareClient) -> None:
    client.joined()
    for cycle in range(4):
        client.expect("io:need", cycle=cycle)
        client.expect("cycle:update", cycle=cycle)


def test_the_same_seed_and_samples_give_the_same_spikes(
    server: BrainServer, client: BareClient
) -> None:
    one = cycles(client, client.joined("one", pacing="gated", seed=5), 0, 6)
    with BareClient(server.url) as second:
        other = cycles(second, second.joined("other", pacing="gated", seed=5), 0, 6)
    assert [u["outputs"] for u in one] == [u["outputs"] for u in other]


def test_projects_run_at_once_and_learn_apart(server: BrainServer, client: BareClient) -> None:
    with BareClient(server.url) as second:
        runs = {
            "one": client.joined("one", pacing="gated", seed=5),
            "two": second.joined("two", pacing="gated", seed=5, learning=False),
        }
        threads = [
            threading.Thread(target=cycles, args=(robot, runs[name], 0, 8))
            for name, robot in (("one", client), ("two", second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        # Neither may speak for the other's run.
        answer = client.call("learn:reward", {"runId": runs["two"], "cycle": 0, "globalReward": 1})
        assert answer["ok"] is False and "not the one that was joined" in answer["reason"]
    for name in runs:
        client.http.post(f"/{name}/stop")
    served = EmbeddedBrain.load(server.settings.brain).network.weights("see")
    assert np.array_equal(weights(server, "two"), served)
    assert not np.array_equal(weights(server, "one"), served)


def test_what_was_learned_goes_on_in_the_next_run_unless_it_is_to_begin_afresh(
    server: BrainServer, client: BareClient
) -> None:
    cycles(client, client.joined(pacing="gated"), 0, 6)
    client.http.post("/p/stop")
    learned = weights(server, "p")
    client.start(learning=False)
    client.http.post("/p/stop")
    assert np.array_equal(weights(server, "p"), learned)
    run = client.start(fresh=True, learning=False, pacing="gated")
    client.call("run:join", {"runId": run})
    cycles(client, run, 0, 1)
    client.http.post("/p/stop")
    assert np.array_equal(
        weights(server, "p"), EmbeddedBrain.load(server.settings.brain).network.weights("see")
    )


def test_a_busy_project_is_refused_and_one_without_client_is_taken_over(
    server: BrainServer, client: BareClient
) -> None:
    run = client.joined(pacing="gated")
    with BareClient(server.url) as second:
        answer = second.http.post("/p/start", json={})
        assert answer.status_code == 409 and "whose client is connected" in answer.json()["error"]
        cycles(client, run, 0, 3)
        client.disconnect()
        while second.http.post("/p/start", json={}).status_code == 409:
            pass  # until the server has noticed
        assert server.store.path("p").exists()
        assert second.http.get("/p/io/state").json()["runId"] != run


def test_marks_feedback_and_rewards_are_acknowledged_and_taken_once(
    server: BrainServer, client: BareClient
) -> None:
    run = client.joined(pacing="gated")
    client.expect("io:need", cycle=0)
    client.answer(run, 0)
    client.expect("cycle:update", cycle=0)
    for event, payload in (
        ("robot:cycle_done", {"runId": run, "cycle": 0}),
        ("io:chunk", chunk(run, 0, "fb")),
        ("learn:reward", {"runId": run, "cycle": 0, "globalReward": 0.9, "byLayer": {"out": 1.0}}),
    ):
        assert client.call(event, payload) == {"ok": True}
        assert client.call(event, payload) == {"ok": True}
    counts = client.http.get("/p/io/state").json()["counts"]
    assert counts == {
        "robot:cycle_done repeated": 1,
        "feedback repeated": 1,
        "learn:reward repeated": 1,
    }
    for event, payload, reason in (
        ("learn:reward", {"runId": run, "cycle": 0, "globalReward": float("nan")}, "finite"),
        ("learn:reward", {"runId": run, "cycle": 7, "globalReward": 1.0}, "has not been run"),
        ("io:chunk", chunk(run, 0, "fb", data=b"\0"), "1 bytes"),
        ("robot:cycle_done", {"runId": "another", "cycle": 0}, "not the one that was joined"),
        ("robot:cycle_done", {"cycle": 0}, "runId must be a text"),
    ):
        answer = client.call(event, payload)
        assert answer["ok"] is False and reason in answer["reason"]


def test_a_client_that_comes_back_goes_on_where_it_was(
    server: BrainServer, client: BareClient
) -> None:
    run = client.joined(pacing="gated")
    cycles(client, run, 0, 2)
    client.expect("io:need", cycle=2)
    client.answer(run, 2)
    update = client.expect("cycle:update", cycle=2)
    client.disconnect()
    client.connect()
    assert client.call("run:join", {"runId": run}) == {"ok": True}
    assert client.expect("cycle:update") == update
    assert client.expect("io:need")["cycle"] == 3
    client.emit("robot:cycle_done", {"runId": run, "cycle": 2})
    client.answer(run, 3)
    client.expect("cycle:update", cycle=3)


def test_the_newest_of_two_connections_of_a_run_is_its_client(
    server: BrainServer, client: BareClient
) -> None:
    run = client.joined(pacing="gated")
    with BareClient(server.url) as second:
        second.connect()
        assert second.call("run:join", {"runId": run}) == {"ok": True}
        client.expect("disconnect")
        cycles(second, run, 0, 2)


def test_a_run_that_is_not_there_cannot_be_joined(client: BareClient) -> None:
    client.connect()
    answer = client.call("run:join", {"runId": "run-1"})
    assert answer == {"ok": False, "reason": "run:join: there is no run 'run-1'"}
    assert client.call("io:chunk", chunk("run-1", 0))["reason"] == "io:chunk: join a run first"


def test_a_client_may_have_its_brain_saved_and_switch_learning(
    server: BrainServer, client: BareClient
) -> None:
    run = client.joined(pacing="gated")
    cycles(client, run, 0, 3)
    assert client.call("learn:set", {"runId": run, "learning": False}) == {"ok": True}
    assert client.call("run:save", {"runId": run}) == {"ok": True}
    saved = EmbeddedBrain.load(server.store.path("p"))
    assert saved.network.ticks == 30 and not saved.learning


def test_a_save_that_takes_long_is_not_said_to_be_done_and_goes_on(
    server: BrainServer, client: BareClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, save = threading.Event(), EmbeddedBrain.save

    def slow(brain: EmbeddedBrain, path: Path) -> None:
        assert go_on.wait(PATIENCE)
        save(brain, path)

    run = client.joined(pacing="gated")
    cycles(client, run, 0, 3)
    monkeypatch.setattr("ab_ros.server.realtime._SAVE_TIMEOUT", 0.05)
    monkeypatch.setattr(EmbeddedBrain, "save", slow)
    answer = client.call("run:save", {"runId": run})
    assert answer == {"ok": False, "reason": "run:save: takes longer than 0.05 s, and goes on"}
    go_on.set()
    file = server.store.path("p")
    assert eventually(lambda: EmbeddedBrain.load(file).network.ticks == 30)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("POST", "/p/start", b"{", 400, "not JSON"),
        ("POST", "/p/start", b"[" * 50_000, 400, "not JSON"),
        ("POST", "/p/start", b"[]", 400, "must be an object"),
        ("POST", "/p/start", b'{"seed": "x"}', 400, "seed must be an integer"),
        ("POST", "/p/start", b" " * 70_000, 413, "at most 65536 bytes"),
        ("POST", "/p/stop", b'{"runId": 7}', 400, "runId must be a text"),
        ("POST", "/p/stop", b'{"runId": "run-9"}', 404, "no run 'run-9'"),
        ("GET", "/p/start", b"", 405, "called by POST"),
        ("POST", "/p/contract", b"", 405, "called by GET"),
        ("DELETE", "/p/stop", b"", 405, "called by POST"),
        ("GET", "/p/nothing", b"", 404, "there is no such call"),
        ("GET", "/p", b"", 404, "there is no such call"),
        ("GET", "/%ff/contract", b"", 400, "not UTF-8"),
        ("GET", f"/{'x' * 129}/contract", b"", 400, "1 to 128 characters"),
    ],
)
def test_a_call_that_is_wrong_is_answered_with_a_sentence(
    client: BareClient, method: str, path: str, body: bytes, status: int, sentence: str
) -> None:
    answer = client.http.request(method, path, content=body)
    assert answer.status_code == status
    assert answer.json()["ok"] is False and sentence in answer.json()["error"]
    assert ("allow" in answer.headers) == (status == 405)


def test_only_the_projects_that_were_named_are_served(tmp_path: Path) -> None:
    with serving(tmp_path, projects=("arm",)) as server, BareClient(server.url) as client:
        assert client.http.get("/arm/contract").status_code == 200
        answer = client.http.post("/leg/start", json={})
        assert answer.status_code == 404 and "'leg' is not served" in answer.json()["error"]


def test_there_are_no_more_runs_and_connections_than_allowed(tmp_path: Path) -> None:
    with (
        serving(tmp_path, most_runs=2, most_connections=2) as server,
        BareClient(server.url) as one,
        BareClient(server.url) as two,
        BareClient(server.url) as three,
    ):
        one.joined("one")
        two.joined("two")
        answer = three.http.post("/three/start", json={})
        assert answer.status_code == 503 and "2 runs already" in answer.json()["error"]
        with pytest.raises(ConnectionError):
            three.connect()
        assert server.counts()["connections refused"] == 1
        two.disconnect()
        while True:
            try:
                three.connect()
                break
            except ConnectionError:  # until the server has noticed
                continue
        two.http.post("/two/stop")
        assert three.call("run:join", {"runId": three.start("three")}) == {"ok": True}


def test_a_port_that_is_taken_is_named_and_the_folder_given_free(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"port \d+: cannot be listened on"):
            serving(tmp_path, port=taken.getsockname()[1]).start()
    with serving(tmp_path):
        pass


def test_a_server_that_stops_saves_its_runs_and_disconnects_its_clients(tmp_path: Path) -> None:
    server = serving(tmp_path).start()
    with BareClient(server.url) as client:
        run = client.joined(pacing="gated")
        cycles(client, run, 0, 3)
        server.stop()
        client.expect("disconnect")
    assert EmbeddedBrain.load(server.store.path("p")).network.ticks == 30
    server.stop()
    before = threading.active_count()
    with serving(tmp_path, brain=brain_file(tmp_path)) as again, BareClient(again.url) as client:
        client.joined()
    assert eventually(lambda: threading.active_count() <= before)
