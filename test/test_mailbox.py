"""Which samples of an input a brain sees: the newest, those of one moment, each once, or late."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.brains.inbox import Inbox
from ab_ros.brains.mailbox import Alignment, Arrival, Throttle
from ab_ros.values import Need, Observation

LOCKSTEP = -math.inf


def sample(stamp: float, id: str = "eye") -> Observation:
    return Observation(id, "Vector", stamp, "float64", np.array([stamp]))


def seen(inbox: Inbox, cycle: int, now: float, *ids: str, max_age: float = 0.5) -> dict[str, float]:
    shown = inbox.samples(Need(cycle, ids or ("eye",)), now, lambda _: max_age)
    return {s.id: s.stamp for s in shown}


def of(**alignments: Alignment) -> Inbox:
    inbox = Inbox(alignments=alignments)
    inbox.begin("run")
    return inbox


def late(stamp: float, reads: list[float], good: bool = True) -> Arrival:
    def read() -> Observation | None:
        reads.append(stamp)
        return sample(stamp) if good else None

    return Arrival(stamp, read)


def test_a_sample_is_read_when_a_cycle_asks_for_it_and_once() -> None:
    inbox, reads = of(), list[float]()
    for stamp in (1.0, 1.1, 1.2, 1.3):
        inbox.put(late(stamp, reads), "eye")
    assert reads == [1.0], "the first is read at once"
    for cycle in range(3):
        assert seen(inbox, cycle, 1.35) == {"eye": 1.3}
    assert reads == [1.0, 1.3]
    assert inbox.counts == {"eye dropped": 3}


def test_a_damaged_sample_does_not_hide_the_one_before_it() -> None:
    inbox, reads = of(), list[float]()
    inbox.put(late(1.0, reads), "eye")
    assert seen(inbox, 0, 1.0) == {"eye": 1.0}
    inbox.put(late(1.1, reads, good=False), "eye")
    inbox.put(late(1.2, reads, good=False), "eye")
    assert seen(inbox, 1, 1.2) == {"eye": 1.0}
    assert seen(inbox, 2, 1.2) == {"eye": 1.0}
    assert reads == [1.0, 1.2], "what is damaged is not read again"
    assert seen(inbox, 3, 2.0) == {}
    assert inbox.why_silent("eye") == "the newest is 1 s old"


def test_a_run_does_not_begin_with_what_cannot_be_read() -> None:
    inbox, reads = of(), list[float]()
    inbox.put(late(1.0, reads, good=False), "eye")
    assert inbox.missing(("eye",), -math.inf) == ["eye"]
    inbox.put(late(1.1, reads), "eye")
    assert inbox.fresh(("eye",), -math.inf)


def test_drop_shows_each_sample_in_one_cycle_only() -> None:
    inbox = of(eye=Alignment("drop"))
    inbox.put(sample(1.0))
    assert seen(inbox, 0, 1.0) == {"eye": 1.0}
    # A brain elsewhere may have to ask again for the same cycle.
    assert seen(inbox, 0, 1.0) == {"eye": 1.0}
    assert seen(inbox, 1, 1.1) == {}
    assert inbox.why_silent("eye") == "shown already"
    inbox.put(sample(1.2))
    assert seen(inbox, 2, 1.2) == {"eye": 1.2}
    # In another run cycles are counted anew, and it has been shown all the same.
    inbox.begin("next", forget=False)
    assert seen(inbox, 0, 1.3) == {"eye": 1.2}
    assert seen(inbox, 2, 1.3) == {}


def test_a_delay_shows_what_there_was_before() -> None:
    inbox = of(eye=Alignment(delay=0.3))
    for stamp in (1.0, 1.1, 1.2, 1.3):
        inbox.put(sample(stamp))
    assert inbox.fresh(("eye",), -math.inf), "a sample has come, though none is shown yet"
    assert seen(inbox, 0, 1.29) == {}
    assert inbox.why_silent("eye") == "nothing that is old enough yet"
    assert seen(inbox, 1, 1.3) == {"eye": 1.0}
    assert seen(inbox, 2, 1.55) == {"eye": 1.2}
    # It is as old as it was then: what was fresh then is shown.
    assert seen(inbox, 3, 2.1, max_age=0.5) == {"eye": 1.3}
    assert seen(inbox, 4, 2.11, max_age=0.5) == {}
    assert inbox.counts == {"eye dropped": 1, "eye too old": 1}


def test_joints_as_of_the_image_beside_them() -> None:
    inbox = of(joints=Alignment("asof"))
    both = ("eye", "joints")
    for k in range(10):
        inbox.put(sample(1.0 + k / 100, "joints"))
    inbox.put(sample(1.045))
    assert seen(inbox, 0, 1.09, *both) == {"eye": 1.045, "joints": pytest.approx(1.04)}
    inbox.put(sample(1.2, "joints"))
    assert seen(inbox, 1, 1.2, *both)["joints"] == pytest.approx(1.04)
    inbox.put(sample(1.2))
    assert seen(inbox, 2, 1.2, *both) == {"eye": 1.2, "joints": 1.2}
    # A camera that has fallen silent does not hold the joints back.
    inbox.put(sample(1.9, "joints"))
    assert seen(inbox, 3, 1.9, *both) == {"joints": 1.9}
    # The reference does not go back when it speaks again.
    inbox.put(sample(1.85))
    assert seen(inbox, 4, 1.95, *both) == {"eye": 1.85, "joints": 1.9}


def test_the_inputs_that_are_all_asof_show_the_moment_that_all_know() -> None:
    inbox = of(a=Alignment("asof"), b=Alignment("asof"))
    for stamp in (1.0, 1.1, 1.2, 1.3):
        inbox.put(sample(stamp, "a"))
    for stamp in (1.05, 1.15):
        inbox.put(sample(stamp, "b"))
    assert seen(inbox, 0, 1.3, "a", "b") == {"a": 1.1, "b": 1.15}
    assert seen(inbox, 1, 9.0, "a", "b") == {}
    assert inbox.counts["a too old"] == inbox.counts["b too old"] == 1


def test_a_delay_leaves_the_other_inputs_alone() -> None:
    inbox = of(eye=Alignment(delay=0.2), joints=Alignment("asof"), late=Alignment("asof", 0.1))
    for k in range(40):
        for id in ("joints", "late"):
            inbox.put(sample(1.0 + k / 100, id))
        if k % 5 == 0:
            inbox.put(sample(1.0 + k / 100))
    shown = seen(inbox, 0, 1.4, "eye", "joints", "late")
    # Without its delay, the eye would show 1.35 at 1.4; with it, that of 1.2 is the newest.
    assert shown == {
        k: pytest.approx(v) for k, v in (("eye", 1.2), ("joints", 1.39), ("late", 1.29))
    }


def test_the_history_is_bounded_and_what_falls_out_is_counted() -> None:
    inbox = of(eye=Alignment(delay=1.0, history=3))
    for k in range(8):
        inbox.put(sample(1.0 + k / 10))
    assert seen(inbox, 0, 2.65, max_age=9) == {"eye": 1.6}
    assert inbox.counts == {"eye history full": 5, "eye dropped": 1}
    assert seen(inbox, 1, 2.5, max_age=9) == {}
    assert inbox.why_silent("eye") == "nothing that is old enough yet"
    inbox.put(sample(1.8))
    assert seen(inbox, 2, 2.5) == {}
    assert inbox.why_silent("eye") == "its history, 3 samples, goes back less far"
    # What no cycle can ask for any more is not kept, whatever the history may hold.
    inbox = of(eye=Alignment(delay=0.2, horizon=0.5))
    for k in range(30):
        inbox.put(sample(1.0 + k / 10))
    assert inbox.counts == {"eye dropped": 24}


def test_lockstep_waits_for_what_comes_and_shows_what_is_due() -> None:
    inbox = of(eye=Alignment(delay=0.04))
    shown = []
    for cycle in range(5):
        inbox.put(sample(cycle * 0.02))
        inbox.put(sample(cycle * 0.02, "joints"))
        assert inbox.fresh(("eye", "joints"), inbox.looked_at)
        shown.append(seen(inbox, cycle, LOCKSTEP, "eye", "joints", max_age=0.001).get("eye"))
        assert inbox.looked_at == cycle * 0.02
        assert not inbox.fresh(("eye",), inbox.looked_at)
    assert shown == [None, None, 0.0, 0.02, 0.04]


def test_lockstep_goes_on_when_a_sample_is_skipped() -> None:
    inbox = of()
    inbox.put(sample(1.0))
    assert seen(inbox, 0, LOCKSTEP) == {"eye": 1.0}
    inbox.skip("eye", 1.02)
    assert inbox.fresh(("eye",), 1.0)
    assert seen(inbox, 1, LOCKSTEP) == {"eye": 1.0}
    assert inbox.looked_at == 1.02
    assert inbox.counts == {"eye throttled": 1}


def test_in_lockstep_a_sample_without_a_stamp_is_of_the_cycle_that_it_comes_for() -> None:
    inbox = of(late=Alignment(delay=0.02))
    both = ("eye", "late")
    for cycle, received in enumerate((77.7, 5.5, 1234.0)):
        stamp = 1.0 + 0.02 * cycle
        inbox.put(Arrival(received, sample(received, "late"), dated=False), "late")
        inbox.put(sample(stamp))
        assert inbox.fresh(both, inbox.looked_at)
        shown = seen(inbox, cycle, LOCKSTEP, *both)
        assert shown == {"eye": stamp} | ({"late": pytest.approx(stamp - 0.02)} if cycle else {})
        assert not inbox.fresh(("late",), inbox.looked_at)
    alone = of()
    alone.put(Arrival(3.0, sample(3.0), dated=False), "eye")
    assert seen(alone, 0, LOCKSTEP) == {"eye": 3.0}


def test_a_clock_that_went_back_forgets_samples_and_reference() -> None:
    inbox = of(joints=Alignment("asof"))
    both = ("eye", "joints")
    for id in both:
        inbox.put(sample(9.0, id))
    assert len(seen(inbox, 0, 9.0, *both)) == 2
    inbox.clear_samples()
    assert not inbox.came("eye") and seen(inbox, 1, 1.0, *both) == {}
    for id in both:
        inbox.put(sample(1.0, id))
    assert len(seen(inbox, 2, 1.0, *both)) == 2


steps = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.001, 0.3)), max_size=30)


@settings(max_examples=200, deadline=None)
@given(
    steps,
    st.sampled_from(("latest", "asof", "drop")),
    st.sampled_from((0.0, 0.1, 0.25)),
    st.integers(1, 5),
)
def test_no_sample_is_shown_too_old_too_young_or_out_of_turn(
    events: list[tuple[str, float]], align: str, delay: float, history: int
) -> None:
    inbox = of(a=Alignment(align, delay, history), b=Alignment("asof"))
    now, last, beside, times = 1.0, -math.inf, -math.inf, list[float]()
    for cycle, (id, wait) in enumerate(events):
        now += wait
        inbox.put(sample(now, id))
        shown = seen(inbox, cycle, now, "a", "b")
        if "a" in shown:
            assert now - delay - 0.5 - 1e-9 <= shown["a"] <= now - delay + 2e-6
            assert shown["a"] >= last
            last = shown["a"]
            times.append(last)
        assert shown.get("b", beside) >= beside, "what is shown beside it never goes back"
        beside = shown.get("b", beside)
    if align == "drop":
        assert len(set(times)) == len(times)


def kept(rate: float, stamps: list[float]) -> list[float]:
    throttle = Throttle(rate)
    return [stamp for stamp in stamps if throttle.passes(stamp)]


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.5, 1000.0),
    st.lists(st.floats(0.0, 3.0), max_size=60),
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_a_throttle_lets_no_more_through_than_its_rate(
    rate: float, gaps: list[float], window: tuple[int, int]
) -> None:
    stamps = [float(stamp) for stamp in np.cumsum(gaps) / rate + 100.0]
    through = kept(rate, stamps)[min(window) : max(window) + 1]
    if len(through) > 1:
        assert len(through) <= (through[-1] - through[0]) * rate + 2.0 + 1e-3


@pytest.mark.parametrize(("rate", "of_300"), [(0.0, 300), (30.0, 300), (15.0, 150), (10.0, 100)])
def test_a_throttle_thins_a_camera_evenly(rate: float, of_300: int) -> None:
    stamps = [50.0 + k / 30.0 for k in range(300)]
    even = kept(rate, stamps)
    assert len(even) == pytest.approx(of_300, abs=1)
    assert np.diff(even) == pytest.approx(300 / of_300 / 30.0, abs=1e-4)
    uneven = [stamp + (0.004 if k % 2 else -0.004) for k, stamp in enumerate(stamps)]
    assert len(kept(rate, uneven)) == pytest.approx(of_300, abs=2)


def test_a_throttle_begins_anew_when_the_clock_goes_back() -> None:
    throttle = Throttle(1.0)
    assert throttle.passes(100.0) and not throttle.passes(100.5)
    assert throttle.passes(3.0) and not throttle.passes(3.5)
    throttle.reset()
    assert throttle.passes(3.5)
