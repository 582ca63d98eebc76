"""A brain elsewhere over real sockets: what goes on the wire, and what holds when it breaks."""

from __future__ import annotations

import json
import logging
import math
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_service import CONTRACT, EXTENSIONS, FakeService, closed_port, eventually

from ab_ros.brains.remote import Link, LinkEvent, LinkState, RemoteBrain, RemoteSettings
from ab_ros.errors import AbRosError, BrainError, BrainUnreachable, ConfigError, ProtocolError
from ab_ros.protocol import Chunk, CycleExecuted, Key, RewardGiven, RobotState
from ab_ros.values import Cycle, Deviation, Need, Observation, Reward

KEY = "K-123-secret"
CAPTURE = Path(__file__).parent / "data" / "client_session.json"
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert eventually(lambda: not set(threading.enumerate()) - before), threading.enumerate()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AB_ROS_KEY", raising=False)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as fake:
        yield fake


def remote(fake: FakeService | str, **more: Any) -> RemoteSettings:
    url = fake if isinstance(fake, str) else fake.url
    # Silence breaks no link, however busy the machine is, but where a test is about that.
    quick = {"backoff_first": 0.01, "backoff_most": 0.05, "link_timeout": 10.0, **more}
    return RemoteSettings(url=url, project="p", **quick)


def frame(stamp: float) -> Observation:
    return Observation("camera", "Image", stamp, "rgb8", np.zeros((4, 4, 3), np.uint8))


class Camera:
    """A new frame each time, and what it was asked for."""

    def __init__(self) -> None:
        self.needs: list[Need] = []

    def __call__(self, need: Need) -> list[Observation]:
        self.needs.append(need)
        return [frame(float(len(self.needs)))]


def serve_cycles(fake: FakeService) -> None:
    """Have the service ask for a frame, run when it has one, and wait until that is executed."""
    state = {"cycle": 0, "ran": -1}

    def on_join(sid: str) -> None:
        fake.ask(state["cycle"])

    def on_event(sid: str, event: str, payload: Any) -> None:
        if event == "io:chunk" and payload["inputId"] == "camera":
            if state["ran"] < state["cycle"]:
                state["ran"] = state["cycle"]
                received = {"camera": payload["seq"]}
                fake.update(state["cycle"], [[0, "V1", [1, 0]]], received=received)
        elif event == "robot:cycle_done" and payload["cycle"] == state["cycle"]:
            state["cycle"] += 1
            fake.ask(state["cycle"])

    fake.on_join, fake.on_event = on_join, on_event


def asked(brain: RemoteBrain) -> None:
    """Wait until the brain has heard what the service needs."""
    assert eventually(lambda: brain._session.asked is not None)


def go(brain: RemoteBrain, camera: Camera, cycles: int = 1) -> list[Cycle]:
    ran = []
    for _ in range(cycles):
        cycle = brain.run_cycle(camera, PATIENCE)
        brain.done(cycle.number)
        brain.reward(Reward(0.75), cycle.number)
        ran.append(cycle)
    return ran


# On the wire


def captured(kind: str) -> list[Any]:
    return [item for item in json.loads(CAPTURE.read_text()) if item["kind"] == kind]


def test_calls_and_messages_are_those_of_the_recorded_session(service: FakeService) -> None:
    start, *_, stop = captured("http")
    sent = [(item["event"], item["args"][0]) for item in captured("event")]
    with Link(remote(service), key=Key("K-123")) as link:
        started = link.start(json.loads(start["body"]))
        link.join()
        for event, payload in sent[1:]:
            if event == "io:chunk":
                data = bytes.fromhex(payload["data"]["hex"])
                message: Any = Chunk.from_wire({**payload, "data": data})
                payload["data"] = data
            else:
                kinds: list[Any] = [RobotState, RewardGiven]
                kind = next(k for k in kinds if k.event == event)
                message = kind.from_wire(payload)
            link.send(message)
        assert link.flush(PATIENCE)
        service.wait(lambda: len(service.events) >= len(sent))
        link.stop(started.run)
    assert service.events[: len(sent)] == sent
    ((_, auth),) = service.connects
    assert auth == captured("ns_connect")[0]["auth"]
    for (method, call, headers, body), wanted in zip(service.calls, (start, stop), strict=True):
        assert (method, f"/api/robot/proj1/{call}") == (wanted["method"], wanted["path"])
        assert body == json.loads(wanted["body"])
        for name in ("x-api-key", "Authorization", "Content-Type"):
            assert headers[name] == wanted["headers"][name]
    upgrade, _ = service.connects[0]
    assert upgrade["x_api_key"] == "K-123" and upgrade["authorization"] == "Bearer K-123"


def test_without_a_key_nothing_like_one_is_sent(service: FakeService) -> None:
    with RemoteBrain(remote(service)):
        pass
    ((headers, auth),) = service.connects
    assert not auth and "x_api_key" not in headers and "authorization" not in headers
    assert all("x-api-key" not in h and "Authorization" not in h for _, _, h, _ in service.calls)


def test_start_says_how_the_brain_shall_run(service: FakeService) -> None:
    settings = remote(service, options={"mode": "live"}, deadline=0.25)
    brain = RemoteBrain(settings, seed=7, fresh=True, learning=False)
    for _ in range(2):
        brain.open()
        brain.close()
    bodies = [body for _, call, _, body in service.calls if call == "start"]
    always = {"mode": "live", "learning": False, "pacing": "gated", "deadlineMs": 250.0}
    # What was learned since shall not be lost because the brain is opened again.
    assert bodies == [{**always, "seed": 7, "fresh": True}, always]


def test_a_cycle_is_answered_in_the_order_that_a_gated_brain_needs(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    service.dt = 0.002
    serve_cycles(service)
    camera = Camera()
    with RemoteBrain(remote(service)) as brain:
        for _ in range(2):
            cycle = brain.run_cycle(camera, PATIENCE)
            brain.done(cycle.number)
            brain.feedback(Deviation("fb", np.array([0, 1, -1, 0.5], np.float32)), cycle.number)
            assert brain.reward(Reward(0.25, {"A": 1.0, "Z": 0.0}), cycle.number)
        assert (cycle.run, cycle.number, cycle.dt) == ("run-1", 1, 0.002)
        assert cycle.rasters["V1"].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]
        assert (cycle.stamp, cycle.observed) == (2.0, 2.0)
    first = [event for event in service.names() if event != "disconnect"]
    one = ["io:need_received", "io:chunk", "robot:cycle_done", "io:chunk", "learn:reward"]
    assert first == ["run:join", *one, *one]
    feedback = service.payloads("io:chunk")[1]
    data = feedback.pop("data")
    assert struct.unpack("<4f", data) == (0.0, 1.0, -1.0, 0.5)
    assert feedback.pop("t") == 1.0
    assert feedback == {
        "runId": "run-1",
        "inputId": "fb",
        "kind": "Feedback",
        "seq": 0,
        "format": "deviation_f32",
        "meta": {"T": 4, "N": 3, "cycle": 0},
    }
    assert service.payloads("learn:reward")[0]["byLayer"] == {"A": 1.0, "B": 0.25}
    assert [need.inputs for need in camera.needs] == [("camera",)] * 2


def test_feedback_goes_as_a_raster_where_the_contract_wants_one(service: FakeService) -> None:
    item = {**CONTRACT["io"]["feedback"][0], "format": "raster_f32"}
    service.contract = {**CONTRACT, "io": {**CONTRACT["io"], "feedback": [item]}}
    with RemoteBrain(remote(service)) as brain:
        brain.feedback(Deviation("fb", np.array([1, 0, 0, 0], np.float32)), 0)
        brain.feedback(Deviation("fb", np.array([0, 1, 0, 0], np.float32)), 1)
        service.wait(lambda: len(service.payloads("io:chunk")) == 2)
    last = service.payloads("io:chunk")[1]
    assert last["format"] == "raster_f32" and last["meta"] == {"T": 4, "N": 3, "cycle": 1}
    # What the first cycle switched on stays on.
    assert struct.unpack("<12f", last["data"]) == (1.0,) * 6 + (0.0,) * 6


def test_a_free_brain_is_told_at_once_that_a_cycle_was_executed(service: FakeService) -> None:
    with RemoteBrain(remote(service, pacing="free")) as brain:
        service.update(3)
        assert brain.run_cycle(Camera(), PATIENCE).number == 3
        service.wait(lambda: "robot:cycle_done" in service.names())
        brain.done(3)
        brain.reward(Reward(0.5), 3)
        service.wait(lambda: "learn:reward" in service.names())
    assert [done["cycle"] for done in service.payloads("robot:cycle_done")] == [3]


def test_a_free_brains_cycle_is_as_old_as_what_it_has_seen(service: FakeService) -> None:
    with RemoteBrain(remote(service, pacing="free"), clock=lambda: 5.0) as brain:
        service.ask(1)
        service.update(1, observed=1.0)  # it has run before it could hear an answer
        assert brain.run_cycle(Camera(), PATIENCE).stamp == 1.0


def test_a_cycle_whose_need_was_not_answered_is_as_old_as_the_last_answer(
    service: FakeService,
) -> None:
    now = [5.0]
    with RemoteBrain(remote(service), clock=lambda: now[0]) as brain:
        service.ask(1)
        asked(brain)
        with pytest.raises(BrainUnreachable):
            brain.run_cycle(Camera(), 0.2)
        now[0] = 9.0
        service.update(1)
        assert brain.run_cycle(Camera(), PATIENCE).stamp == 5.0
        now[0] = 12.0
        service.update(2)
        assert brain.run_cycle(Camera(), PATIENCE).stamp == 5.0


def test_the_robots_state_is_sent_at_its_own_rate(service: FakeService) -> None:
    names = ("a", "b")
    with RemoteBrain(remote(service, state_rate=5.0, gripper="b")) as brain:
        for k in range(50):
            table = np.array([[0.01 * k, 0.5], [0.0, 0.0]])
            meta = {"names": names}
            brain.state(Observation("x", "Proprioception", 0.1 * k, "joint_state", table, meta))
            if k == 0:
                service.wait(lambda: "robot:state" in service.names())
        service.wait(lambda: service.payloads("robot:state")[-1]["state"]["q"] == [0.49])
        sent = len(service.payloads("robot:state"))
        assert sent < 10 and brain.counts()["robot:state replaced"] == 50 - sent
        brain.state(frame(0.0))
        assert brain.counts()["robot:state refused"] == 1 and "names" in brain.last_refusal
    newest = service.payloads("robot:state")[-1]["state"]
    assert newest == {"q": [0.49], "dq": [0.0], "grip": {"pos": 0.5}, "dt": 0.2}


def test_direct_commands_become_deltas_over_a_whole_cycle(service: FakeService) -> None:
    channels = {"direct_channels": ("pan", "tilt"), "direct_gripper": "grip"}
    with RemoteBrain(remote(service, robot_cmd="deltas", **channels)) as brain:
        service.emit("robot:cmd", {"dq": [0.4, -0.8], "dg": 0.1})
        cycle = brain.run_cycle(Camera(), PATIENCE)
        assert cycle.deltas is not None and cycle.rasters == {}
        assert cycle.deltas.names == ("pan", "tilt", "grip")
        assert cycle.deltas.values.shape == (4, 3)
        assert cycle.deltas.values.sum(0) == pytest.approx([0.4, -0.8, 0.1])


def test_a_direct_command_that_has_waited_is_as_old_as_that(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = remote(service, robot_cmd="deltas", direct_channels=("pan",))
    with RemoteBrain(settings, clock=lambda: 50.0) as brain:
        service.emit("robot:cmd", {"dq": [0.4]})
        assert eventually(lambda: brain._session.has_output)
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 10.0)
        monkeypatch.setattr("ab_ros.brains.remote.brain.time", later)
        assert 30.0 < brain.run_cycle(Camera(), PATIENCE).stamp <= 40.0
        monkeypatch.undo()


def test_learning_is_switched_at_the_service_or_else_rewards_stay_here(
    service: FakeService,
) -> None:
    with RemoteBrain(remote(service)) as brain:
        brain.set_learning(False)
        assert brain.reward(Reward(1.0), 0)
        brain.set_learning(True)
        brain.reward(Reward(1.0), 1)
        service.wait(lambda: "learn:reward" in service.names())
    assert [p["cycle"] for p in service.payloads("learn:reward")] == [1]
    assert "learn:set" not in service.names()
    service.extensions = EXTENSIONS
    with RemoteBrain(remote(service)) as brain:
        brain.set_learning(False)
        assert not brain.learning
        service.wait(lambda: "learn:set" in service.names())
    assert service.payloads("learn:set") == [{"runId": "run-2", "learning": False}]


def test_a_brain_is_saved_by_its_service_if_at_all(service: FakeService, tmp_path: Path) -> None:
    with RemoteBrain(remote(service)) as brain, pytest.raises(BrainError, match="kept by its serv"):
        brain.save(tmp_path / "brain.db")
    service.extensions = EXTENSIONS
    with RemoteBrain(remote(service)) as brain:
        brain.save(tmp_path / "brain.db")
        service.on_event = lambda *_: {"ok": False, "reason": "disk full"}
        with pytest.raises(BrainError, match="disk full"):
            brain.save(tmp_path / "brain.db")
    assert service.payloads("run:save") == [{"runId": "run-2"}] * 2


def test_a_reset_is_a_new_run_of_the_same_brain(service: FakeService) -> None:
    with RemoteBrain(remote(service)) as brain:
        brain.reset(5)
        assert brain.run == "run-2"
        brain.reset()
    calls = [(call, body) for _, call, _, body in service.calls if call in ("start", "stop")]
    options = {"learning": True, "pacing": "gated"}
    assert calls == [
        ("start", options),
        ("stop", {"runId": "run-1"}),
        ("start", {**options, "reset": True, "seed": 5}),
        ("stop", {"runId": "run-2"}),
        ("start", {**options, "reset": True}),
        ("stop", {"runId": "run-3"}),
    ]


def test_messages_arrive_in_order_and_without_a_thread_each(service: FakeService) -> None:
    heard: list[int] = []
    threads = set()

    def listen(event: str, payload: Any) -> None:
        heard.append(payload["k"])
        threads.add(threading.get_ident())

    with Link(remote(service)) as link:
        link.subscribe("tick", listen)
        link.start({})
        link.join()
        for k in range(300):
            service.emit("tick", {"k": k})
        assert eventually(lambda: len(heard) == 300)
    assert heard == list(range(300)) and len(threads) == 1


def test_a_subscriber_that_fails_does_not_end_the_link(service: FakeService) -> None:
    heard: list[Any] = []
    with Link(remote(service)) as link:
        link.subscribe("tick", lambda event, payload: 1 / 0)
        link.subscribe("tick", lambda event, payload: heard.append(payload))
        link.start({})
        link.join()
        service.emit("tick", 1)
        service.emit("tick", 2)
        assert eventually(lambda: heard == [1, 2])
        assert link.tally.counts()["subscribers failed"] == 2


def test_the_contract_can_be_had_without_a_run(service: FakeService) -> None:
    with Link(remote(service)) as link:
        assert [port.id for port in link.contract().outputs] == ["V1"]
        assert link.state().run == ""
    assert [call for _, call, _, _ in service.calls] == ["contract", "io/state"]


# Start-up that fails


def test_a_service_that_is_not_there_can_be_tried_again() -> None:
    with closed_port() as port:
        brain = RemoteBrain(remote(f"http://127.0.0.1:{port}"), patience=0.3)
        for _ in range(2):
            with pytest.raises(BrainUnreachable, match="Connection refused"):
                brain.open()
            assert brain.run == ""
    with pytest.raises(BrainError, match="not open"):
        brain.run_cycle(Camera(), 0.0)


def test_a_busy_service_is_asked_again(service: FakeService) -> None:
    service.refuse_start = [409, 503]
    with RemoteBrain(remote(service)) as brain:
        assert brain.run == "run-1"
    service.refuse_start = [409] * 1000
    with pytest.raises(BrainUnreachable, match="409: not now"):
        RemoteBrain(remote(service), patience=0.2).open()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"runId": "run-9", "io": {"inputs": 3}}, "inputs must be a list"),
        ({"runId": "run-9", "realtime": {"url": "https://evil.example"}}, "evil.example"),
        ({"runId": "run-9", "realtime": {"namespace": "ab"}}, "namespace"),
        ({"runId": "run-9", "dt": 0}, "dt"),
    ],
)
def test_a_run_whose_answer_cannot_be_used_is_stopped(
    service: FakeService, given: dict[str, Any], said: str
) -> None:
    service.start_answer = given
    brain = RemoteBrain(remote(service))
    with pytest.raises(BrainError, match=said):
        brain.open()
    assert [(c, b) for _, c, _, b in service.calls][-1] == ("stop", {"runId": "run-9"})
    assert service.connects == []


def test_a_run_that_cannot_be_joined_is_stopped(service: FakeService) -> None:
    service.refuse_realtime = True
    with pytest.raises(BrainError, match="not with this key"):
        RemoteBrain(remote(service)).open()
    assert service.count("stop") == 1
    with closed_port() as port:
        elsewhere = f"http://127.0.0.1:{port}"
        service.realtime = {"url": elsewhere}
        settings = remote(service, allowed_origins=(elsewhere,), connect_timeout=2.0)
        with pytest.raises(BrainUnreachable, match=elsewhere):
            RemoteBrain(settings).open()
    assert service.count("stop") == 2


def test_a_namespace_that_does_not_answer_is_not_waited_for_for_ever(service: FakeService) -> None:
    service.realtime = {"namespace": "/other"}
    settings = remote(service, connect_timeout=2.0)
    with pytest.raises(BrainError):
        RemoteBrain(settings).open()
    assert service.count("stop") == 1


def test_a_realtime_address_elsewhere_is_used_if_it_is_allowed(service: FakeService) -> None:
    with FakeService() as realtime:
        service.realtime = {"url": f"ws://127.0.0.1:{realtime.port}"}
        settings = remote(service, allowed_origins=(realtime.url,))
        with RemoteBrain(settings):
            realtime.wait(lambda: realtime.names() == ["run:join"])
    assert service.connects == []


# Keys


def test_a_key_is_shown_nowhere(
    service: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("engineio.client", "socketio.client", "httpx", "httpcore", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    monkeypatch.setenv("AB_ROS_KEY", KEY)
    service.key = KEY
    serve_cycles(service)
    with RemoteBrain(remote(service)) as brain:
        go(brain, Camera(), 2)
        service.cut()
        go(brain, Camera(), 1)
        shown = [repr(brain), repr(brain.settings), repr(brain.__dict__), str(brain.complaints())]
    service.key = "another"
    with pytest.raises(BrainError, match=r"the key is refused \(wrong key …\)") as error:
        RemoteBrain(remote(service)).open()
    out, err = capfd.readouterr()
    for text in (*shown, caplog.text, out, err, str(error.value), repr(error.value)):
        assert KEY not in text


def test_a_key_that_is_missing_is_said_so(service: FakeService) -> None:
    service.key = KEY
    with pytest.raises(BrainError, match=r"a key is required: variable AB_ROS_KEY or key_file"):
        RemoteBrain(remote(service)).open()


def test_a_key_file_must_be_private(service: FakeService, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o644)
    settings = remote(service, key_file=str(file))
    with pytest.raises(ConfigError, match="chmod 600"):
        RemoteBrain(settings)
    file.chmod(0o600)
    service.key = KEY
    with RemoteBrain(settings) as brain:
        assert brain.run


def test_a_redirect_does_not_get_the_key(service: FakeService) -> None:
    with FakeService() as elsewhere:
        service.redirect = f"{elsewhere.url}/api/robot/p/start"
        link = Link(remote(service), key=Key(KEY))
        with link, pytest.raises(BrainError, match="redirect"):
            link.start({})
        assert elsewhere.calls == []


def test_certificates_are_verified(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FakeService(certificate=context) as fake:
        with pytest.raises(BrainUnreachable, match="certificate verify failed"):
            RemoteBrain(remote(fake), patience=0.3).open()
        with RemoteBrain(remote(fake, ca_file=str(certificate))) as brain:
            fake.wait(lambda: fake.names() == ["run:join"])
            assert brain.run == "run-1"
        with pytest.raises(BrainError, match="ca_file"):
            RemoteBrain(remote(fake, ca_file=str(tmp_path / "none.pem"))).open()


def test_everything_goes_through_the_proxy(service: FakeService) -> None:
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = []

    def pipe(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return
        finally:
            for end in (source, sink):
                with_shutdown(end)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            head = client.recv(65536)
            seen.append(head.split(b"\r\n")[0])
            server = socket.create_connection(("127.0.0.1", service.port))
            if head.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                server.sendall(head)
            ends.extend((client, server))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pipe, args=pair, daemon=True).start()

    def with_shutdown(end: socket.socket) -> None:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            end.close()

    threading.Thread(target=accept, daemon=True).start()
    port = listener.getsockname()[1]
    try:
        with RemoteBrain(remote("http://127.0.0.2:9", proxy=f"http://127.0.0.1:{port}")):
            service.wait(lambda: service.names() == ["run:join"])
        assert len(seen) == 3 and all(b"127.0.0.2:9" in line for line in seen)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for end in ends:
            end.close()


# A link that breaks


def breaks_and_goes_on(fake: FakeService, breaking: Callable[[], None]) -> RemoteBrain:
    fake.extensions = EXTENSIONS
    serve_cycles(fake)
    camera = Camera()
    with RemoteBrain(remote(fake)) as brain:
        numbers = [cycle.number for cycle in go(brain, camera, 3)]
        breaking()
        numbers += [cycle.number for cycle in go(brain, camera, 3)]
        assert brain.run == "run-1"
    assert numbers == list(range(6))
    assert fake.payloads("run:join") == [{"runId": "run-1"}] * 2
    rewarded = [payload["cycle"] for payload in fake.payloads("learn:reward")]
    assert sorted(set(rewarded)) == list(range(6))
    assert brain.counts()["link lost"] == 1
    return brain


def test_a_link_that_is_cut_is_joined_again(service: FakeService) -> None:
    def cut() -> None:
        service.cut()
        service.wait(lambda: "disconnect" in service.names())

    breaks_and_goes_on(service, cut)


def test_a_namespace_that_is_closed_is_joined_again(service: FakeService) -> None:
    def kick() -> None:
        service.kick()
        service.wait(lambda: service.names().count("run:join") == 2)

    breaks_and_goes_on(service, kick)


def test_a_half_open_link_is_noticed(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    with Link(remote(service, link_timeout=2.0)) as link:
        reasons: list[str] = []
        joined = threading.Semaphore(0)
        link.subscribe(LinkEvent.LOST, lambda _, reason: reasons.append(reason))
        link.subscribe(LinkEvent.JOINED, lambda *_: joined.release())
        link.start({})
        link.join()
        assert joined.acquire(timeout=PATIENCE)
        service.freeze()
        assert eventually(lambda: bool(reasons))
        assert "silent for 2 s" in reasons[0]
        assert "trying again" in link.complaint() and service.url in link.complaint()
        service.thaw()
        assert joined.acquire(timeout=PATIENCE)
        assert link.status is LinkState.JOINED and link.complaint() == ""


def test_meanwhile_the_brain_says_what_is_wrong_and_then_goes_on(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    serve_cycles(service)
    camera = Camera()
    with RemoteBrain(remote(service)) as brain:
        go(brain, camera)
        assert brain.complaints() == []
        service.refuse_realtime = True
        service.cut()
        assert eventually(lambda: any("refused" in sentence for sentence in brain.complaints()))
        with pytest.raises(BrainUnreachable, match=r"lost \d.* s ago: .*refused.*trying again"):
            brain.run_cycle(camera, 0.1)
        service.refuse_realtime = False
        assert [cycle.number for cycle in go(brain, camera, 2)] == [1, 2]


def test_a_need_that_was_answered_is_not_answered_twice(service: FakeService) -> None:
    camera = Camera()
    with RemoteBrain(remote(service)) as brain:
        service.ask(0)
        with pytest.raises(BrainUnreachable, match="gave no cycle"):
            brain.run_cycle(camera, 0.3)
        with pytest.raises(BrainUnreachable):
            brain.run_cycle(camera, 0.0)
        service.update(0)
        assert brain.run_cycle(camera, PATIENCE).number == 0
    assert len(camera.needs) == 1 and len(service.payloads("io:chunk")) == 1


def test_unanswered_rewards_are_told_again_after_the_link_is_back(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    heard = threading.Event()

    def on_event(sid: str, event: str, payload: Any) -> Any:
        if event == "learn:reward" and not heard.is_set():
            heard.set()
            service.abort(sid)  # before it is answered
        return None

    service.on_event = on_event
    with RemoteBrain(remote(service)) as brain:
        for cycle in range(3):
            brain.reward(Reward(0.1 * cycle), cycle)
        service.wait(lambda: {p["cycle"] for p in service.payloads("learn:reward")} == {0, 1, 2})
        service.wait(lambda: service.names().count("run:join") == 2)
    told = [p["cycle"] for p in service.payloads("learn:reward")]
    again = service.names().index("run:join", 1)
    after = [p["cycle"] for e, p in service.events[again:] if e == "learn:reward"]
    assert after == sorted(after) and after[-1] == 2, told
    assert brain.counts().get("learn:reward unconfirmed", 0) == 0


def test_a_service_that_is_killed_comes_back_with_a_new_run() -> None:
    camera = Camera()
    with FakeService() as first:
        first.extensions = EXTENSIONS
        serve_cycles(first)
        brain = RemoteBrain(remote(first), seed=3, fresh=True)
        brain.open()
        go(brain, camera, 3)
    assert eventually(lambda: bool(brain.complaints()))
    with pytest.raises(BrainUnreachable, match="lost"):
        brain.run_cycle(camera, 0.3)
    brain.done(2)
    assert brain.reward(Reward(1.0), 2)
    with FakeService(first.port) as second:
        second.extensions = EXTENSIONS
        second.runs = 10
        serve_cycles(second)
        runs = []

        def observe(need: Need) -> list[Observation]:
            runs.append(brain.run)
            return camera(need)

        cycle = brain.run_cycle(observe, PATIENCE)
        assert (cycle.run, cycle.number, runs) == ("run-11", 0, ["run-11"])
        brain.done(0)
        assert go(brain, camera)[0].number == 1
        brain.close()
        starts = [body for _, call, _, body in second.calls if call == "start"]
        assert starts == [{"learning": True, "pacing": "gated"}]
        assert {p["runId"] for p in second.payloads("learn:reward")} == {"run-11"}
    assert brain.counts()["learn:reward of an ended run"] >= 1
    assert brain.counts()["runs started anew"] == 1


def test_what_is_told_of_an_ended_run_is_ignored(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    serve_cycles(service)
    with RemoteBrain(remote(service)) as brain:
        go(brain, Camera())
        service.run = ""
        service.on_join = lambda sid: None
        service.cut()
        service.wait(lambda: service.payloads("run:join")[-1]["runId"] == "run-2")
        assert brain.run == "run-1"  # until the owner runs a cycle
        brain.done(0)
        assert not brain.reward(Reward(1.0), 0)
        brain.feedback(Deviation("fb", np.zeros(4, np.float32)), 0)
        counts = brain.counts()
        for what in ("reward", "feedback", "cycle done"):
            assert counts[f"{what} of another run"] == 1


def test_a_service_that_comes_back_with_another_brain_is_refused(service: FakeService) -> None:
    with RemoteBrain(remote(service)) as brain:
        outputs = [{"id": "V1", "n": 2}, {"id": "V2", "n": 2}]
        service.contract = {**CONTRACT, "io": {**CONTRACT["io"], "outputs": outputs}}
        service.run = ""
        service.cut()
        for _ in range(2):
            with pytest.raises(BrainError, match=r"another brain: .*V2") as error:
                brain.run_cycle(Camera(), PATIENCE)
            assert not isinstance(error.value, BrainUnreachable)
        assert "another brain" in brain.complaints()[0]
        assert ("stop", {"runId": "run-2"}) in [(c, b) for _, c, _, b in service.calls]
        brain.open()
        assert [port.id for port in brain.contract.outputs] == ["V1", "V2"]


def test_without_options_to_start_again_a_lost_run_is_the_end(service: FakeService) -> None:
    with Link(remote(service)) as link:
        failed: list[BrainError] = []
        link.subscribe(LinkEvent.FAILED, lambda _, error: failed.append(error))
        link.start({})
        link.join()
        service.run = ""
        service.cut()
        assert eventually(lambda: bool(failed))
        assert "does not know run run-1" in str(failed[0])
        assert link.status is LinkState.FAILED and service.runs == 1


def test_a_service_without_a_state_is_believed_to_know_the_run(service: FakeService) -> None:
    service.knows_state = False
    with RemoteBrain(remote(service)) as brain:
        service.update(0)
        assert brain.run_cycle(Camera(), PATIENCE).number == 0
        brain.done(0)
        service.wait(lambda: "robot:cycle_done" in service.names())
        service.cut()
        # It may wait for the mark, and nothing tells whether it has it.
        service.wait(lambda: service.names().count("robot:cycle_done") == 2)
        assert brain.run == "run-1" and service.runs == 1


# What a service may send


def test_garbage_is_counted_and_survived(service: FakeService) -> None:
    with RemoteBrain(remote(service)) as brain:
        for payload in (None, 3, [], {"runId": "run-1"}, {"runId": "run-1", "cycle": -1}):
            service.emit("io:need", payload)
            service.emit("cycle:update", payload)
        for text in ("2/ab,[", "2/ab,{}", "2/ab,[]", "9", '2/ab,["x"', "299-/ab,[]", "51-/ab,[]"):
            service.send_raw(text)
        service.send_raw(b"4/ab,")
        service.send_raw('2/ab,["io:need",' + "[" * 50_000)
        service.emit("nonsense", {"a": 1})
        service.update(0, [[0, "V1", [1, 1]], "x", [9, "V1", [1, 0]]])
        cycle = brain.run_cycle(Camera(), PATIENCE)
        assert cycle.rasters["V1"].sum() == 2
        counts = brain.counts()
        assert counts["io:need refused"] == counts["cycle:update refused"] == 5
        assert counts["rows dropped"] == 2 and counts["unknown events"] >= 1


def test_a_refusal_out_of_turn_is_followed_by_another_try(service: FakeService) -> None:
    with RemoteBrain(remote(service)):
        service.send_raw('4/ab,{"message": "no"}')
        service.wait(lambda: service.names().count("run:join") == 2)


def test_rows_that_do_not_fit_the_contract_are_an_error(service: FakeService) -> None:
    with RemoteBrain(remote(service)) as brain:
        service.update(0, [[0, "V9", [1, 1]]])
        with pytest.raises(BrainError, match=r"does not fit the contract: .*V9"):
            brain.run_cycle(Camera(), PATIENCE)


def test_oversized_messages_break_the_link_and_say_why(service: FakeService) -> None:
    with Link(remote(service, largest_payload=4096)) as link:
        reasons: list[str] = []
        link.subscribe(LinkEvent.LOST, lambda _, reason: reasons.append(reason))
        link.start({})
        link.join()
        service.emit("cycle:update", {"x": "y" * 5000})
        assert eventually(lambda: bool(reasons))
        assert "larger than largest_payload, 4096 bytes" in reasons[0]
        assert eventually(lambda: link.status is LinkState.JOINED)


def test_oversized_answers_are_refused(service: FakeService) -> None:
    service.start_answer = {"runId": "r", "x": "y" * 5000}
    link = Link(remote(service, largest_payload=4096))
    with link, pytest.raises(ProtocolError, match="larger than largest_payload"):
        link.start({})


def test_a_sample_that_cannot_be_sent_leaves_its_input_silent(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    with RemoteBrain(remote(service)) as brain:
        service.ask(0, [{"id": "joint", "kind": "Proprioception"}])
        table = np.array([[math.nan], [0.0]])
        sample = Observation(
            "joint", "Proprioception", 1.0, "joint_state", table, {"names": ("a",)}
        )
        asked(brain)
        with pytest.raises(BrainUnreachable):
            brain.run_cycle(lambda need: [sample], 0.1)
        assert brain.counts()["joint refused"] == 1 and "finite" in brain.last_refusal
        service.wait(lambda: "io:need_received" in service.names())
    assert [p["sample"] for p in service.payloads("io:need_received")] == ["none"]


# The end


def test_close_stops_the_run_and_sends_what_still_waits(service: FakeService) -> None:
    service.extensions = EXTENSIONS
    brain = RemoteBrain(remote(service))
    brain.open()
    for cycle in range(50):
        brain.reward(Reward(0.5), cycle)
    brain.close()
    brain.close()
    assert len(service.payloads("learn:reward")) == 50
    assert [(c, b) for _, c, _, b in service.calls][-1] == ("stop", {"runId": "run-1"})
    assert brain.run == ""
    with pytest.raises(BrainError, match="not open"):
        brain.run_cycle(Camera(), 1.0)
    brain.done(0)
    assert not brain.reward(Reward(0.5), 0)
    brain.state(frame(0.0))


def test_close_does_not_wait_for_a_service_that_is_gone() -> None:
    with FakeService() as fake:
        brain = RemoteBrain(remote(fake, connect_timeout=2.0, link_timeout=1.0))
        brain.open()
        fake.freeze()
        brain.reward(Reward(0.5), 0)
        brain.close()
        assert brain.counts()["runs not stopped"] == 1


def test_a_brain_that_waits_is_told_when_it_is_closed(service: FakeService) -> None:
    brain = RemoteBrain(remote(service))
    brain.open()
    said: list[str] = []

    def wait() -> None:
        try:
            brain.run_cycle(Camera(), PATIENCE)
        except AbRosError as error:
            said.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    brain.close()
    thread.join(PATIENCE)
    assert said == ["the brain is not open: call open() first"]


def test_a_closed_link_is_not_used_again(service: FakeService) -> None:
    link = Link(remote(service))
    link.close()
    with pytest.raises(BrainError, match="closed"):
        link.start({})
    with Link(remote(service)) as idle, pytest.raises(BrainError, match="no run was started"):
        idle.join()
    with Link(remote(service)) as busy:
        busy.start({})
        busy.join()
        with pytest.raises(BrainError, match="joined already"):
            busy.join()
        answers: list[Any] = []

        def wait_inside(event: str, payload: Any) -> None:
            try:
                busy.state()
            except BrainError as error:
                answers.append(error)

        busy.subscribe("tick", wait_inside)
        service.emit("tick", None)
        assert eventually(lambda: bool(answers))
        busy.send(CycleExecuted("run-1", 0))
