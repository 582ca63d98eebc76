"""What waits to be sent to a brain elsewhere, and how long to wait before the next attempt."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.brains.remote.backoff import Backoff
from ab_ros.brains.remote.outbox import Outbox
from ab_ros.brains.remote.tally import Tally
from ab_ros.errors import BrainError
from ab_ros.protocol import CycleExecuted

# What waits to be sent


def drain(outbox: Outbox, now: float = 0.0) -> list[Any]:
    found = []
    while (item := outbox.take(now)) is not None:
        found.append(item)
    return found


def cycles_of(items: list[Any]) -> list[int]:
    return [item.message.cycle for item in items]


def mark(cycle: int, run: str = "run-1") -> CycleExecuted:
    return CycleExecuted(run, cycle)


def test_events_keep_their_order_and_a_newer_sample_takes_its_place_at_the_end() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    outbox.post(mark(0), mailbox="camera")
    outbox.post(mark(1))
    outbox.post(mark(2), mailbox="camera")
    outbox.post(mark(3))
    assert cycles_of(drain(outbox)) == [1, 2, 3]
    assert tally.counts() == {"camera dropped": 1}


def test_a_mailbox_may_have_a_rate() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    outbox.post(mark(0), mailbox="state", interval=0.05)
    assert cycles_of(drain(outbox, 1.0)) == [0]
    outbox.post(mark(1), mailbox="state", interval=0.05)
    outbox.post(mark(2), mailbox="state", interval=0.05)
    outbox.post(mark(3))
    assert cycles_of(drain(outbox, 1.01)) == [3]
    assert outbox.due() == pytest.approx(1.05)
    assert cycles_of(drain(outbox, 1.06)) == [2]
    assert outbox.due() == math.inf
    assert tally.counts() == {"state replaced": 1}


def test_unanswered_events_go_out_again_before_all_others() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    for cycle in range(4):
        outbox.post(mark(cycle), acknowledged=True)
    first = [outbox.take(0.0) for _ in range(3)]
    assert first[0] is not None
    outbox.acknowledge(first[0].serial, {"ok": True})
    outbox.post(mark(9), mailbox="camera")
    outbox.lost()
    assert len(outbox) == 3
    assert cycles_of(drain(outbox)) == [1, 2, 3]
    assert tally.counts() == {"camera dropped": 1}


def test_a_refusal_of_the_service_is_counted_with_its_reason() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    outbox.post(mark(0), acknowledged=True)
    (item,) = drain(outbox)
    outbox.acknowledge(item.serial, {"ok": False, "reason": "cycle 0 is too old"})
    outbox.acknowledge(item.serial, {"ok": True})
    outbox.lost()
    assert drain(outbox) == []
    assert tally.counts() == {"robot:cycle_done refused": 1, "answers for nothing": 1}
    assert "cycle 0 is too old" in tally.last


def test_what_was_under_way_without_an_answer_is_counted_and_not_sent_again() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    outbox.post(mark(0))
    drain(outbox)
    outbox.drained()
    outbox.post(mark(1))
    outbox.post(mark(2))
    assert cycles_of([outbox.take(0.0)]) == [1]
    outbox.lost()
    assert cycles_of(drain(outbox)) == [2]
    assert tally.counts() == {"robot:cycle_done unconfirmed": 1}


def test_a_mailbox_tells_where_its_last_message_is() -> None:
    outbox = Outbox(Tally())
    outbox.post(mark(0), mailbox="camera")
    assert outbox.is_waiting("camera") and not outbox.has_left("camera")
    drain(outbox)
    assert not outbox.is_waiting("camera") and not outbox.has_left("camera")
    outbox.drained()
    assert outbox.has_left("camera")


def test_a_new_run_forgets_what_waited_for_the_old_one() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    outbox.post(mark(0), acknowledged=True)
    drain(outbox)
    outbox.post(mark(1))
    outbox.post(mark(2), mailbox="camera")
    outbox.post(mark(0, "run-2"))
    outbox.begin("run-2")
    assert [item.message.run for item in drain(outbox)] == ["run-2"]
    assert tally.counts() == {"robot:cycle_done of an ended run": 3}


def test_a_full_outbox_is_an_error_to_the_caller() -> None:
    outbox = Outbox(Tally(), capacity=2)
    outbox.post(mark(0))
    outbox.post(mark(1), acknowledged=True)
    outbox.take(0.0)
    outbox.post(mark(7), mailbox="camera")
    outbox.post(mark(2))
    with pytest.raises(BrainError, match="2 messages wait"):
        outbox.post(mark(3))


# Waits


@given(st.integers(0, 2**32), st.floats(0.001, 1.0), st.floats(1.0, 10.0))
def test_waits_are_drawn_below_a_bound_that_doubles(seed: int, first: float, most: float) -> None:
    backoff, same = Backoff(first, most, seed), Backoff(first, most, seed)
    for attempt in range(40):
        wait = backoff.wait()
        assert 0.0 <= wait <= min(most, first * 2**attempt)
        assert wait == same.wait()
    backoff.reset()
    assert backoff.wait() <= first


def test_waits_are_spread() -> None:
    waits = [Backoff(1.0, 1.0, seed).wait() for seed in range(200)]
    assert min(waits) < 0.1 and max(waits) > 0.9


def test_an_answer_that_says_nothing_does_not_count() -> None:
    tally = Tally()
    outbox = Outbox(tally)
    outbox.post(mark(0), acknowledged=True)
    (item,) = drain(outbox)
    for answer in (None, {}, {"ok": "yes"}, [True]):
        outbox.acknowledge(item.serial, answer)
    outbox.lost()
    assert cycles_of(drain(outbox)) == [0]
    assert tally.counts() == {"answers not understood": 4}
