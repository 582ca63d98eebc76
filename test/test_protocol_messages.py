"""Messages of the 0.1 protocol: what the published client sends, round trips, and garbage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ab_ros.contract import Contract
from ab_ros.errors import ProtocolError
from ab_ros.protocol import (
    EXTENSIONS,
    Chunk,
    CycleExecuted,
    CycleUpdate,
    Join,
    NeedAsked,
    NeedItem,
    NeedReceived,
    RewardGiven,
    RobotState,
    RunState,
    Save,
    SetLearning,
    Started,
    contract_to_wire,
)
from ab_ros.values import Reward

SESSION = Path(__file__).parent / "data" / "client_session.json"
READERS: dict[str, Callable[[Any], Any]] = {
    "run:join": Join.from_wire,
    "io:chunk": Chunk.from_wire,
    "robot:state": RobotState.from_wire,
    "learn:reward": RewardGiven.from_wire,
    "io:need_received": NeedReceived.from_wire,
    "robot:cycle_done": CycleExecuted.from_wire,
    "learn:set": SetLearning.from_wire,
    "run:save": Save.from_wire,
    "io:need": NeedAsked.from_wire,
    "cycle:update": CycleUpdate.from_wire,
    "start": Started.from_wire,
    "io/state": RunState.from_wire,
}


def session() -> list[dict[str, Any]]:
    """Return the recorded session, with its bytes as bytes."""

    def revive(item: dict[str, Any]) -> Any:
        return bytes.fromhex(item["hex"]) if "__bytes__" in item else item

    return json.loads(SESSION.read_text(encoding="utf-8"), object_hook=revive)  # type: ignore[no-any-return]


def events_of_frames() -> Iterator[tuple[str, Any]]:
    """Read event and payload from the recorded frames themselves."""
    frames = [entry["data"] for entry in session() if entry["kind"] == "raw_frame"]
    waiting: tuple[str, Any] | None = None
    for frame in frames:
        if isinstance(frame, bytes):
            assert waiting is not None
            event, payload = waiting
            assert payload["data"] == {"_placeholder": True, "num": 0}
            yield event, {**payload, "data": frame}
            waiting = None
        elif frame.startswith("2/ab,"):
            event, payload = json.loads(frame.removeprefix("2/ab,"))
            yield event, payload
        elif frame.startswith("51-/ab,"):
            waiting = tuple(json.loads(frame.removeprefix("51-/ab,")))  # type: ignore[assignment]
    assert waiting is None


def test_every_recorded_payload_is_read_and_made_again() -> None:
    recorded = [(e["event"], *e["args"]) for e in session() if e["kind"] == "event"]
    assert {event for event, _ in recorded} == {
        "run:join",
        "io:chunk",
        "learn:reward",
        "robot:state",
    }
    for event, payload in recorded:
        message = READERS[event](payload)
        assert message.event == event
        assert message.to_wire() == payload
    assert list(events_of_frames()) == recorded


def test_the_document_s_frames_are_read_and_made_again() -> None:
    payloads = {
        "run:join": {"runId": "run-1"},
        "io:chunk": {
            "runId": "run-1",
            "inputId": "cam_rgb",
            "kind": "Image",
            "seq": 1,
            "t": 1795188769.39,
            "format": "jpeg",
            "meta": {"width": 2, "height": 1, "cycle": 1},
            "data": b"\xff\xd8\xff\xe0",
        },
        "learn:reward": {
            "runId": "run-1",
            "cycle": 1,
            "globalReward": 1.0,
            "byLayer": {"W_STDP3_OutV1_to_V1": 0.0},
        },
        "robot:state": {
            "runId": "run-1",
            "state": {"q": [0.1], "dq": [0.0], "grip": {"pos": 0.5}, "dt": 0.02},
        },
        "io:need_received": {
            "runId": "run-1",
            "cycle": 3,
            "id": "cam_rgb",
            "kind": "Image",
            "ts": 1795188769.4,
        },
        "robot:cycle_done": {"runId": "run-1", "cycle": 3},
        "io:need": {
            "runId": "run-1",
            "cycle": 3,
            "needs": [
                {"id": "cam_rgb", "kind": "Image"},
                {"id": "fbV1", "kind": "Feedback", "fromOutput": "V1"},
            ],
            "deadlineMs": 50.0,
        },
    }
    for event, payload in payloads.items():
        assert READERS[event](payload).to_wire() == payload


def test_what_real_services_leave_out_or_add_is_understood() -> None:
    update = CycleUpdate.from_wire({"runId": "r", "cycle": "7", "outputs": None, "extra": {"a": 1}})
    assert (update.cycle, list(update.rows), update.telemetry) == (7, [], {})
    telemetry = {"rate": 2, "note": "text", "on": True, "nan": math.nan, "huge": 10**400}
    update = CycleUpdate.from_wire({"runId": "r", "cycle": 7.0, "telemetry": telemetry})
    assert update.telemetry == {"rate": 2.0}
    need = NeedAsked.from_wire(
        {"runId": "r", "cycle": 0, "needs": [{"id": "cam"}], "deadlineMs": 0}
    )
    assert need.needs == (NeedItem("cam"),) and math.isinf(need.deadline)
    state = RobotState.from_wire({"runId": "r", "state": None, "cycle": 4})
    assert (state.q, state.grip, state.cycle) == ((), None, 4)
    assert RunState.from_wire({"ok": True, "runId": None}) == RunState("")
    asked = RunState.from_wire({"runId": "r", "cycle": None, "needs": [{"id": "cam"}]})
    assert asked.need is not None and asked.need.cycle == 0
    started = Started.from_wire({"runId": "r", "extensions": ["ack", "later", 3, []]})
    assert started.extensions == {"ack"} and started.dt is None
    assert started.contract == Contract.from_dict({})


@pytest.mark.parametrize(
    ("event", "payload", "says"),
    [
        ("run:join", None, "run:join: must be an object, not None"),
        ("run:join", {"runId": ""}, "runId must be a text of 1 to 256"),
        ("run:join", {"runId": "x" * 257}, "runId must be a text of 1 to 256"),
        ("run:join", {"runId": "\ud800"}, "runId"),
        ("robot:cycle_done", {"runId": "r", "cycle": -1}, "cycle must be an integer of at least 0"),
        ("robot:cycle_done", {"runId": "r", "cycle": True}, "not True"),
        ("robot:cycle_done", {"runId": "r", "cycle": 1.5}, "not 1.5"),
        ("robot:cycle_done", {"runId": "r", "cycle": 2**53 + 1}, "cycle must be an integer"),
        ("robot:cycle_done", {"runId": "r", "cycle": 10**5000}, "cycle must be an integer"),
        ("learn:reward", {"runId": "r", "cycle": 1}, "globalReward must be a number, not None"),
        ("learn:reward", {"runId": "r", "cycle": 1, "globalReward": math.nan}, "finite, not nan"),
        (
            "learn:reward",
            {"runId": "r", "cycle": 1, "globalReward": 1, "byLayer": {"W": math.inf}},
            "byLayer.W must be finite",
        ),
        ("io:chunk", {"runId": "r", "data": "text"}, "data must be binary, not str"),
        ("io:chunk", {"runId": "r", "data": b"12345"}, "at most 4 bytes, not 5"),
        (
            "robot:state",
            {"runId": "r", "state": {"q": [1.0], "names": ["a", "b"]}},
            "names must be a text for each of 1",
        ),
        ("robot:state", {"runId": "r", "state": {"q": [1, math.nan]}}, r"q\[1\] must be finite"),
        ("robot:state", {"runId": "r", "state": {"q": [0.0] * 5000}}, "at most 4096 items"),
        ("io:need", {"runId": "r", "cycle": 0, "needs": [{}] * 5000}, "at most 4096 items"),
        ("io:need", {"runId": "r", "cycle": 0, "needs": [7]}, "io:need: needs: must be an object"),
        (
            "io:need_received",
            {"runId": "r", "cycle": 0, "id": "c", "sample": "old"},
            "unknown sample 'old'; one of: new, same, none",
        ),
        ("cycle:update", {"runId": "r", "cycle": 0, "outputs": "rows"}, "outputs must be a list"),
        ("learn:set", {"runId": "r", "learning": 1}, "true or false, not 1"),
        ("start", {"ok": True}, "runId must be a text"),
        ("start", {"runId": "r", "io": [1]}, "io must be"),
        ("start", {"runId": "r", "io": {"stdp3": {"layers": 5}}}, "layers must be a list"),
        ("start", {"runId": "r", "constants": {"gamma": math.inf}}, "gamma must be an integer"),
        ("start", {"runId": "r", "constants": {"gamma": 10**9}}, "start: contract"),
        ("start", {"runId": "r", "io": {"outputs": [{"id": "V", "n": 10**9}]}}, "start: contract"),
        ("start", {"runId": "r", "io": {"outputs": [{"id": "\ud800"}]}}, "start: contract"),
        ("start", {"runId": "r", "dt": 2.0}, "dt must be above 0 and at most 1 s"),
        (
            "start",
            {
                "runId": "r",
                "constants": {"gamma": 65536},
                "io": {"outputs": [{"id": "V", "n": 2000}]},
            },
            "rasters of its outputs, 65536 timesteps and 131072000 cells, are larger",
        ),
        ("start", {"runId": "r", "constants": {"gamma": 65537}}, "65537 timesteps"),
        ("io/state", {"runId": 5}, "runId must be a text"),
    ],
)
def test_what_cannot_be_understood_is_named(event: str, payload: Any, says: str) -> None:
    read = READERS[event]
    with pytest.raises(ProtocolError, match=says) as refused:
        Chunk.from_wire(payload, largest=4) if event == "io:chunk" else read(payload)
    assert len(str(refused.value)) < 300


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
cycles = st.integers(0, 2**53)
unit = st.floats(0.0, 1.0)
needs = st.builds(NeedItem, names, names | st.just(""), names | st.just(""))


@st.composite
def states(draw: st.DrawFn) -> RobotState:
    q = draw(st.lists(finite, max_size=4))
    joints = draw(st.sampled_from([0, len(q)]))
    return RobotState(
        draw(names),
        tuple(q),
        tuple(draw(st.lists(finite, max_size=4))),
        draw(st.none() | finite),
        draw(finite),
        tuple(draw(st.lists(names, min_size=joints, max_size=joints))),
        draw(st.none() | finite),
        draw(st.none() | cycles),
    )


messages = st.one_of(
    st.builds(Join, names),
    st.builds(Save, names),
    st.builds(SetLearning, names, st.booleans()),
    st.builds(CycleExecuted, names, cycles),
    st.builds(
        Chunk,
        names,
        names,
        names | st.just(""),
        cycles,
        finite,
        names,
        st.dictionaries(names, finite, max_size=3),
        st.binary(max_size=32),
    ),
    states(),
    st.builds(
        RewardGiven,
        names,
        cycles,
        st.builds(Reward, unit, st.dictionaries(names, unit, max_size=3)),
    ),
    st.builds(
        NeedReceived,
        names,
        cycles,
        names,
        names | st.just(""),
        finite,
        st.sampled_from(["", "new", "same", "none"]),
    ),
    st.builds(
        CycleUpdate,
        names,
        cycles,
        st.lists(st.just([0, "V1", [1, 0]]), max_size=2),
        st.dictionaries(names, st.floats(-1e300, 1e300), max_size=3),
        st.dictionaries(names, st.integers(0, 2**53), max_size=3),
        st.none() | st.floats(-1e300, 1e300),
    ),
    st.builds(NeedAsked, names, cycles, st.lists(needs, max_size=3).map(tuple)),
)


@given(messages)
def test_every_message_comes_back_the_same_through_json(message: Any) -> None:
    payload = message.to_wire()
    binary = payload.pop("data", None)
    # No NaN or infinity goes on the wire: other languages' JSON has none.
    payload = json.loads(json.dumps(payload, allow_nan=False))
    if binary is not None:
        payload["data"] = binary
    assert READERS[message.event](payload) == message


@given(st.floats(1e-3, 1e6))
def test_a_deadline_survives_the_wire(deadline: float) -> None:
    need = NeedAsked("r", 1, (), deadline)
    assert NeedAsked.from_wire(need.to_wire()).deadline == pytest.approx(deadline, rel=1e-12)
    assert NeedAsked("r", 1, ()).to_wire()["deadlineMs"] is None


def test_a_reward_is_completed_to_the_contract_s_layers_and_clamped() -> None:
    given_ = RewardGiven.complete("r", 2, Reward(0.25, {"W1": 1.0, "other": 0.0}), ["W0", "W1"])
    assert given_.to_wire()["byLayer"] == {"W0": 0.25, "W1": 1.0}
    wire = {"runId": "r", "cycle": 1, "globalReward": 7, "byLayer": {"a": -1, "b": None}}
    read = RewardGiven.from_wire(wire)
    assert read.reward == Reward(1.0, {"a": 0.0})


def test_a_start_s_answer_and_a_run_s_state_come_back_the_same() -> None:
    wire = {
        "constants": {"gamma": "16", "outputWindowN": 4, "feedbackN": 6, "feedbackT": 8},
        "io": {
            "inputs": [{"id": "cam", "kind": "Image", "own": {"deep": [1, None]}}],
            "outputs": [{"id": "V1", "n": 3}, {"id": "L1"}],
            "feedback": [{"id": "fb", "n": "50", "fromOutput": "V1"}],
            "stdp3": {"layers": ["W1"]},
        },
    }
    contract = Contract.from_dict(wire)
    started = Started("run", contract, {"namespace": "/ab"}, frozenset(EXTENSIONS), 0.001)
    back = Started.from_wire(json.loads(json.dumps(started.to_wire("project"))))
    assert back == started
    assert back.contract.sha256 == contract.sha256
    assert Contract.from_dict(contract_to_wire(contract)) == contract
    for need in (None, NeedAsked("run", 3, (NeedItem("cam", "Image"),), 0.5)):
        state = RunState("run", 3, need)
        assert RunState.from_wire(json.loads(json.dumps(state.to_wire()))) == state


KEYS = [
    *("runId", "inputId", "kind", "seq", "t", "format", "meta", "data", "cycle", "state", "q"),
    *("dq", "grip", "pos", "dt", "names", "globalReward", "byLayer", "id", "ts", "sample"),
    *("learning", "needs", "deadlineMs", "fromOutput", "outputs", "telemetry", "received"),
    *("observed", "constants", "io", "gamma", "inputs", "feedback", "stdp3", "layers", "n"),
    *("realtime", "extensions", "feedbackT", "FEEDBACK_WINDOW_T"),
]
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 10**4000, 2**53, 1e308, "7", "-1", "\ud800", "²", ""]),
    st.text(max_size=4),
    st.binary(max_size=4),
)
garbage = st.recursive(
    leaves,
    lambda deeper: (
        st.lists(deeper, max_size=3) | st.dictionaries(st.sampled_from(KEYS), deeper, max_size=4)
    ),
    max_leaves=12,
)
# Payloads that are right but for a few of their fields get further than pure garbage.
RIGHT: dict[str, Any] = {
    "runId": "r",
    "inputId": "cam",
    "cycle": 1,
    "t": 0.5,
    "format": "jpeg",
    "data": b"12",
    "id": "cam",
    "learning": True,
    "globalReward": 0.5,
}
nearly_right = st.builds(
    lambda wrong, nested: {**RIGHT, **wrong, **nested},
    st.dictionaries(st.sampled_from(KEYS), garbage, max_size=2),
    st.dictionaries(
        st.sampled_from(["state", "io", "constants", "needs", "meta", "byLayer", "realtime"]),
        st.dictionaries(st.sampled_from(KEYS), garbage, max_size=3),
        max_size=2,
    ),
)


@pytest.mark.parametrize("event", READERS)
def test_garbage_gives_a_message_or_a_protocol_error(event: str) -> None:
    @given(garbage | nearly_right)
    @example([[[[[[[[]]]]]]]])
    def read(payload: Any) -> None:
        refused = ""
        try:
            message = READERS[event](payload)
        except ProtocolError as error:
            refused = str(error)
        else:
            if event == "start":
                assert len(message.contract.sha256) == 64
                message.to_wire("project")
            else:
                message.to_wire()
        assert len(refused.encode()) < 500

    read()


def test_an_error_about_a_payload_does_not_repeat_megabytes_of_it() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    for value in (deep, ["x" * 100] * 100_000, {"k": "v" * (1 << 22)}, "x" * (1 << 22), 10**4400):
        for event in ("run:join", "robot:cycle_done", "learn:set", "io:need"):
            with pytest.raises(ProtocolError) as refused:
                READERS[event]({"runId": value, "cycle": value, "learning": value, "needs": value})
            assert len(str(refused.value)) < 300
        with pytest.raises(ProtocolError) as refused:
            Started.from_wire({"runId": "r", "io": {"inputs": value, "outputs": [{"id": value}]}})
        assert len(str(refused.value)) < 300


def test_a_chunk_s_repr_does_not_show_its_bytes() -> None:
    chunk = Chunk("r", "cam", "Image", 1, 0.0, "jpeg", {}, b"secret picture")
    assert "secret" not in repr(chunk)
