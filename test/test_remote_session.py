"""A run with a brain elsewhere, without a network: needs, samples, cycles, waiting messages."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.brains.remote.session import Asked, DirectCommand, Session
from ab_ros.brains.remote.tally import Tally
from ab_ros.protocol import Chunk, CycleExecuted, CycleUpdate, NeedReceived, RunState, Started
from ab_ros.protocol.formats import Payload
from ab_ros.values import Observation

OURS = ("ack", "hold", "resend", "learning", "save")
ANSWER: dict[str, Any] = {
    "runId": "run-1",
    "constants": {"gamma": 4, "feedbackT": 4},
    "io": {
        "inputs": [
            {"id": "camera", "kind": "Image"},
            {"id": "mic", "kind": "Audio"},
            {"id": "left", "kind": "Proprioception"},
        ],
        "outputs": [{"id": "V1", "n": 2}],
        "feedback": [{"id": "fb", "n": 3, "fromOutput": "V1"}],
    },
}


class Bench:
    """A session at work: answers needs and notes what would be sent."""

    def __init__(self, *extensions: str, **settings: Any) -> None:
        self.tally = Tally()
        self.session = Session(self.tally, **settings)
        self.now = 100.0
        self.waiting: set[str] = set()
        self.left = True
        self.sent: list[Any] = []
        self.begin("run-1", *extensions)

    def begin(self, run: str, *extensions: str) -> None:
        answer = {**ANSWER, "runId": run, "extensions": list(extensions)}
        self.session.begin(Started.from_wire(answer))

    @property
    def counts(self) -> dict[str, int]:
        return self.tally.counts()

    def ask(
        self, cycle: int, *ids: str, run: str = "run-1", kind: str | None = None, **more: Any
    ) -> None:
        needs = [{"id": name, "kind": kind} for name in ids or ("camera",)]
        self.hear("io:need", {"runId": run, "cycle": cycle, "needs": needs, **more})

    def update(self, cycle: int, run: str = "run-1", **more: Any) -> None:
        self.hear("cycle:update", {"runId": run, "cycle": cycle, "outputs": [], **more})

    def hear(self, event: str, payload: Any) -> None:
        self.session.receive(event, payload, self.now)

    def answer(self, *samples: Observation, encoding: float = 0.0) -> list[Any]:
        asked = self.session.asked
        assert asked is not None
        answers = self.session.choose(
            asked, samples, self.now, self.waiting.__contains__, lambda name: self.left
        )
        self.now += encoding
        encoded = [(a, Payload("jpeg", {}, b"x") if a.observation else None) for a in answers]
        messages = self.session.commit(asked, encoded, self.now, 7.0, 1.5e9)
        self.sent += messages
        return messages

    def outputs(self) -> list[int | None]:
        found: list[int | None] = []
        while (output := self.session.take_output()) is not None:
            found.append(output.cycle)
        return found


def frame(stamp: float, name: str = "camera", kind: str = "Image") -> Observation:
    return Observation(name, kind, stamp, "rgb8", b"")


def chunks(messages: list[Any]) -> list[tuple[str, int, float, Any]]:
    return [(m.input, m.seq, m.t, m.meta["cycle"]) for m in messages if isinstance(m, Chunk)]


def words(messages: list[Any]) -> dict[str, str]:
    return {m.id: m.sample for m in messages if isinstance(m, NeedReceived)}


# Needs and samples


def test_a_need_is_answered_by_a_mark_and_a_chunk_that_counts_from_1() -> None:
    bench = Bench()
    bench.ask(0, kind="Image")
    messages = bench.answer(frame(5.0))
    assert [m.event for m in messages] == ["io:need_received", "io:chunk"]
    assert messages[0].to_wire() == {
        "runId": "run-1",
        "cycle": 0,
        "id": "camera",
        "kind": "Image",
        "ts": 1.5e9,
    }
    assert messages[1].to_wire() == {
        "runId": "run-1",
        "inputId": "camera",
        "kind": "Image",
        "seq": 1,
        "t": 5.0,
        "format": "jpeg",
        "meta": {"cycle": 0},
        "data": b"x",
    }
    assert bench.session.asked is None
    bench.update(0)
    bench.ask(1)
    assert chunks(bench.answer(frame(6.0))) == [("camera", 2, 6.0, 1)]


def test_an_item_is_answered_by_its_id_before_its_kind() -> None:
    bench = Bench(*OURS)
    bench.ask(0, "camera", "eye", kind="Image")
    messages = bench.answer(frame(1.0), frame(2.0, "other"))
    assert chunks(messages) == [("camera", 1, 1.0, 0), ("eye", 1, 2.0, 0)]


def test_an_item_without_a_kind_has_that_of_the_contract() -> None:
    bench = Bench()
    bench.ask(0, "mic")
    assert chunks(bench.answer(frame(1.0, "ear", "Audio"))) == [("mic", 1, 1.0, 0)]


def test_two_samples_of_a_kind_answer_nothing() -> None:
    bench = Bench(*OURS)
    bench.ask(0, "eye", kind="Image")
    messages = bench.answer(frame(1.0, "a"), frame(1.0, "b"))
    assert chunks(messages) == []
    assert words(messages) == {"eye": "none"}
    assert bench.counts["eye without a sample"] == 1


def test_feedback_that_is_asked_for_is_no_input() -> None:
    bench = Bench(*OURS)
    needs = [{"id": "camera"}, {"id": "fb"}, {"id": "x", "kind": "Feedback"}, {"id": "y"}]
    needs[3]["fromOutput"] = "V1"
    bench.hear("io:need", {"runId": "run-1", "cycle": 3, "needs": needs})
    assert bench.session.asked is not None
    need = bench.session.need(bench.session.asked)
    assert (need.cycle, need.inputs, need.feedback) == (3, ("camera",), ("fb", "x", "y"))
    assert need.deadline == math.inf
    assert words(bench.answer()) == {"camera": "none", "fb": "", "x": "", "y": ""}


def test_a_sample_that_was_sent_is_not_sent_as_new() -> None:
    bench = Bench(*OURS)
    bench.ask(0)
    bench.answer(frame(5.0))
    bench.update(0, received={"camera": 1})
    bench.ask(1)
    messages = bench.answer(frame(5.0))
    assert (chunks(messages), words(messages)) == ([], {"camera": "same"})


def test_a_service_that_knows_no_hold_gets_the_sample_again_as_old_as_it_is() -> None:
    bench = Bench()
    for cycle in (0, 1):
        bench.ask(cycle)
        assert chunks(bench.answer(frame(5.0))) == [("camera", 1, 5.0, cycle)]
        bench.update(cycle)
    quiet = Bench(repeat=False)
    for cycle in (0, 1):
        quiet.ask(cycle)
        assert len(chunks(quiet.answer(frame(5.0)))) == 1 - cycle
        quiet.update(cycle)


def test_one_chunk_of_an_input_is_under_way_at_a_time() -> None:
    bench = Bench(*OURS)
    bench.ask(0, "camera", "mic")
    bench.answer(frame(1.0), frame(1.0, "mic", "Audio"))
    bench.update(0, received={"mic": 1})
    bench.ask(1, "camera", "mic")
    messages = bench.answer(frame(2.0), frame(2.0, "mic", "Audio"))
    assert chunks(messages) == [("mic", 2, 2.0, 1)]
    assert words(messages) == {"camera": "same", "mic": "new"}
    assert bench.counts["camera held back"] == 1
    bench.update(1, received={"camera": 1})
    bench.ask(2)
    assert chunks(bench.answer(frame(3.0))) == [("camera", 2, 3.0, 2)]


def test_a_chunk_that_was_not_even_sent_gives_way_to_a_newer_one() -> None:
    bench = Bench(*OURS)
    bench.ask(0)
    bench.answer(frame(1.0))
    bench.waiting.add("camera")
    bench.update(0, received={"mic": 4})
    bench.ask(1)
    assert chunks(bench.answer(frame(2.0))) == [("camera", 2, 2.0, 1)]


def test_without_confirmations_the_socket_tells_what_has_left() -> None:
    bench = Bench()
    bench.ask(0)
    bench.answer(frame(1.0))
    bench.update(0)
    bench.ask(1)
    bench.left = False
    assert chunks(bench.answer(frame(2.0))) == []
    bench.update(1)
    bench.ask(2)
    bench.left = True
    assert chunks(bench.answer(frame(3.0))) == [("camera", 2, 3.0, 2)]


def test_a_chunk_that_is_never_confirmed_does_not_silence_its_input() -> None:
    bench = Bench(*OURS, patience=2.0)
    bench.ask(0)
    bench.answer(frame(1.0))
    bench.update(0, received={"mic": 1})
    bench.now += 2.5
    bench.ask(1)
    assert chunks(bench.answer(frame(2.0))) == [("camera", 2, 2.0, 1)]
    assert bench.counts["camera unconfirmed"] == 1


def test_a_late_need_gets_no_sample_that_looks_new() -> None:
    bench = Bench(*OURS)
    bench.ask(0, deadlineMs=50)
    assert bench.session.asked is not None
    assert bench.session.need(bench.session.asked).deadline == pytest.approx(100.05)
    bench.now += 0.06
    messages = bench.answer(frame(1.0))
    assert (chunks(messages), words(messages)) == ([], {"camera": "same"})
    assert bench.counts["camera late"] == 1


def test_a_sample_that_takes_too_long_to_encode_is_not_sent() -> None:
    bench = Bench(*OURS)
    bench.ask(0, deadlineMs=50)
    messages = bench.answer(frame(1.0), encoding=0.06)
    assert (chunks(messages), words(messages)) == ([], {"camera": "same"})
    bench.update(0)
    bench.ask(1)
    assert chunks(bench.answer(frame(1.0))) == [("camera", 1, 1.0, 1)]


def test_the_deadline_counts_from_when_the_robot_opened_the_gate() -> None:
    bench = Bench(*OURS)
    bench.update(0)
    bench.ask(1, deadlineMs=50)
    bench.now += 5.0
    bench.session.executed(0, bench.now)
    assert chunks(bench.answer(frame(1.0))) == [("camera", 1, 1.0, 1)]
    free = Bench(*OURS, gated=False)
    free.ask(1, deadlineMs=50)
    free.now += 5.0
    assert chunks(free.answer(frame(1.0))) == []


def test_a_newer_need_of_the_same_cycle_replaces_the_older_one() -> None:
    bench = Bench(*OURS)
    bench.ask(0, deadlineMs=50)
    bench.now += 1.0
    bench.ask(0, deadlineMs=50)
    assert chunks(bench.answer(frame(1.0))) == [("camera", 1, 1.0, 0)]
    assert bench.counts["io:need replaced"] == 1


def test_needs_of_old_cycles_and_other_runs_are_ignored() -> None:
    bench = Bench(*OURS)
    bench.ask(4)
    bench.ask(3)
    assert bench.session.asked is not None and bench.session.asked.message.cycle == 4
    bench.update(4)
    bench.ask(4)
    bench.ask(5, run="run-0")
    assert bench.session.asked is None
    assert bench.counts == {
        "io:need of an old cycle": 2,
        "needs not waited for": 1,
        "io:need of another run": 1,
    }


# Cycles


def test_cycles_come_once_and_in_order() -> None:
    bench = Bench()
    for cycle, run in ((0, "run-1"), (0, "run-1"), (5, "run-9"), (2, "run-1"), (1, "run-1")):
        bench.update(cycle, run)
    assert bench.outputs() == [0, 2]
    assert bench.counts == {"cycle:update of an old cycle": 2, "cycle:update of another run": 1}


def test_a_slow_robot_skips_cycles_rather_than_acting_late() -> None:
    bench = Bench()
    for cycle in range(6):
        bench.update(cycle)
    assert bench.outputs() == [4, 5]
    assert bench.counts["cycles skipped"] == 4


def test_the_time_of_an_answer_goes_with_its_cycle() -> None:
    bench = Bench()
    bench.ask(1)
    bench.answer(frame(5.0))
    answered = bench.session.answered(1)
    assert answered is not None and (answered.stamp, answered.observed) == (7.0, 5.0)
    # One that was not answered is as old as the last one that was.
    assert bench.session.answered(2) == answered
    assert bench.session.answered(0) is None


def test_direct_commands_are_refused_unless_they_are_wanted() -> None:
    bench = Bench()
    bench.hear("robot:cmd", {"dq": [0.1], "dg": 0.0})
    assert bench.outputs() == []
    assert bench.counts == {"robot:cmd refused": 1}
    assert "robot_cmd" in bench.tally.last


def test_direct_commands_can_be_taken() -> None:
    bench = Bench(direct=2, direct_gripper=True)
    bench.hear("robot:cmd", {"runId": "run-1", "dq": [0.1, -0.2], "dg": 0.5, "cycle": 3})
    assert bench.session.take_output() == DirectCommand((0.1, -0.2), 0.5, 3, bench.now)
    for wrong in (
        {"dq": [0.1]},
        {"dq": [0.1, math.nan]},
        {"dq": "ab"},
        {"dq": [0.1, 0.2], "dg": math.inf},
        {"dq": [0.1, 0.2], "cycle": -1},
        None,
    ):
        bench.hear("robot:cmd", wrong)
    bench.hear("robot:cmd", {"dq": [0.1, 0.2], "cycle": 3})
    bench.hear("robot:cmd", {"dq": [0.1, 0.2], "runId": "run-7"})
    assert bench.outputs() == []
    assert bench.counts == {
        "robot:cmd refused": 6,
        "robot:cmd of an old cycle": 1,
        "robot:cmd of another run": 1,
    }


def test_a_gripper_without_a_channel_is_not_moved() -> None:
    bench = Bench(direct=0)
    bench.hear("robot:cmd", {"dq": [], "dg": 0.5})
    assert bench.outputs() == []
    assert "direct_gripper" in bench.tally.last


# A link that is lost


def test_after_a_lost_link_an_unconfirmed_sample_is_sent_again() -> None:
    bench = Bench(*OURS)
    bench.ask(0)
    bench.answer(frame(5.0))
    bench.session.disconnected()
    assert bench.session.asked is None
    assert bench.session.rejoined(RunState("run-1"), bench.now) == []
    bench.ask(0)
    messages = bench.answer(frame(5.0))
    assert (chunks(messages), words(messages)) == ([("camera", 2, 5.0, 0)], {"camera": "new"})


def test_an_answer_to_a_need_of_a_lost_link_does_not_count() -> None:
    bench = Bench(*OURS)
    bench.ask(0)
    asked, connection = bench.session.asked, bench.session.connection
    assert isinstance(asked, Asked) and bench.session.is_current(asked, connection)
    bench.session.disconnected()
    bench.ask(0)
    assert not bench.session.is_current(asked, connection)


def test_what_was_asked_meanwhile_is_read_from_the_state() -> None:
    bench = Bench()
    state = {"runId": "run-1", "cycle": 3, "needs": [{"id": "camera"}], "deadlineMs": None}
    bench.session.disconnected()
    bench.session.rejoined(RunState.from_wire(state), bench.now)
    assert bench.session.asked is not None and bench.session.asked.message.cycle == 3
    ours = Bench(*OURS)  # asks again by itself
    ours.session.disconnected()
    ours.session.rejoined(RunState.from_wire(state), ours.now)
    assert ours.session.asked is None


def test_the_last_mark_is_sent_again_where_nothing_is_acknowledged() -> None:
    bench = Bench()
    bench.update(0)
    bench.session.executed(0, bench.now)
    bench.session.disconnected()
    again = bench.session.rejoined(RunState("run-1"), bench.now)
    assert again == [CycleExecuted("run-1", 0)]
    bench.update(1)
    bench.session.disconnected()
    assert bench.session.rejoined(RunState("run-1"), bench.now) == []


def test_a_new_run_begins_with_nothing() -> None:
    bench = Bench(*OURS)
    bench.ask(3)
    bench.answer(frame(5.0))
    bench.update(3)
    assert bench.session.executed(3, 1.0)
    assert not bench.session.executed(3, 2.0)
    bench.begin("run-2", *OURS)
    assert bench.outputs() == [] and bench.session.asked is None
    bench.ask(0, run="run-2")
    assert chunks(bench.answer(frame(5.0))) == [("camera", 1, 5.0, 0)]
    assert bench.session.executed(0, 3.0)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["runId", "cycle", "needs", "outputs", "id", "received", "dq", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["io:need", "cycle:update", "robot:cmd", "else"]),
            json_like | st.dictionaries(st.just("runId"), st.just("run-1")),
        ),
        max_size=8,
    )
)
def test_no_garbage_breaks_a_session(events: list[tuple[str, Any]]) -> None:
    bench = Bench(*OURS, direct=1)
    for event, payload in events:
        bench.hear(event, payload)
        if bench.session.asked is not None:
            bench.answer(frame(1.0))
    bench.begin("run-2", *OURS)
    bench.update(0, "run-2")
    assert bench.outputs() == [0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("nucd"), st.integers(0, 12), st.sampled_from(["run-1", "run-0"])),
        max_size=60,
    )
)
def test_whatever_is_repeated_or_reordered_cycles_ascend_and_chunks_count_up(
    events: list[tuple[str, int, str]],
) -> None:
    bench = Bench(*OURS)
    cycles: list[Any] = []
    for stamp, (what, number, run) in enumerate(events):
        if what == "n":
            bench.ask(number, run=run)
        elif what == "u":
            seqs = [m.seq for m in bench.sent if isinstance(m, Chunk)]
            bench.update(number, run, received={"camera": max(seqs, default=0)})
        elif what == "c":
            bench.session.disconnected()
        elif bench.session.asked is not None:
            answered = bench.session.asked.message.cycle
            assert answered > max(cycles, default=-1) or bench.session.newest < answered
            bench.answer(frame(float(stamp)))
        cycles += bench.outputs()
    assert cycles == sorted(set(cycles))
    seqs = [seq for _, seq, _, _ in chunks(bench.sent)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_updates_are_read_as_the_service_sends_them() -> None:
    bench = Bench()
    bench.hear("cycle:update", {"runId": "run-1", "cycle": "3", "outputs": [[0, "V1", [1, 0]]]})
    output = bench.session.take_output()
    assert isinstance(output, CycleUpdate) and output.rows == [[0, "V1", [1, 0]]]
