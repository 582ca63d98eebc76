"""What reaches a brain's loop: the newest sample of each input, and every event of its cycles."""

from __future__ import annotations

import math
import threading

import numpy as np

from ab_ros.brains.inbox import CycleEvents, Inbox
from ab_ros.values import Deviation, Need, Observation, Reward


def sample(stamp: float, id: str = "camera") -> Observation:
    return Observation(id, "Image", stamp, "mono8", np.zeros((1, 1), np.uint8))


def deviation(feedback: str = "fb") -> Deviation:
    return Deviation(feedback, np.zeros(4, np.float32))


def inbox_of(cycles: int, capacity: int = 1024) -> Inbox:
    inbox = Inbox(capacity)
    inbox.begin("run")
    for cycle in range(cycles):
        inbox.began(cycle)
    return inbox


def everything(_cycle: int, _events: CycleEvents) -> bool:
    return True


def forever(_id: str) -> float:
    return math.inf


def test_the_newest_sample_wins_and_dropped_ones_are_counted() -> None:
    inbox = inbox_of(0)
    for stamp in (1.0, 2.0, 3.0):
        inbox.put(sample(stamp))
    need = Need(0, ("camera",))
    assert [s.stamp for s in inbox.samples(need, 3.0, forever)] == [3.0]
    assert inbox.counts == {"camera dropped": 2}
    inbox.put(sample(4.0))
    assert inbox.counts == {"camera dropped": 2}


def test_an_old_sample_is_not_shown() -> None:
    inbox = inbox_of(0)
    inbox.put(sample(1.0))
    need = Need(0, ("camera", "joints"))
    assert inbox.samples(need, 1.6, lambda _: 0.5) == []
    assert inbox.counts["camera too old"] == 1
    assert len(inbox.samples(need, 1.4, lambda _: 0.5)) == 1


def test_fresh_asks_for_a_newer_sample_of_every_input() -> None:
    inbox = inbox_of(0)
    both = ("camera", "joints")
    inbox.put(sample(1.0))
    assert inbox.missing(both, -math.inf) == ["joints"]
    inbox.put(sample(1.0, "joints"))
    assert inbox.fresh(both, -math.inf)
    assert inbox.missing(both, 1.0) == ["camera", "joints"]


def test_a_new_run_and_a_clock_that_went_back_forget_samples() -> None:
    inbox = inbox_of(0)
    inbox.put(sample(5.0))
    before = inbox.epoch
    inbox.clear_samples()
    assert inbox.missing(("camera",), -math.inf) == ["camera"]
    assert inbox.epoch > before
    inbox.put(sample(5.0))
    inbox.begin("next")
    assert inbox.missing(("camera",), -math.inf) == ["camera"]
    # A brain elsewhere that was started anew finds the same robot before it.
    inbox.put(sample(5.0))
    inbox.begin("later", forget=False)
    assert inbox.fresh(("camera",), 4.0)


def test_events_in_any_order_are_kept_by_cycle() -> None:
    inbox = inbox_of(2)
    inbox.reward("run", 1, Reward(0.9), announced=1)
    assert not inbox.events_of(1).rewarded
    inbox.deviation("run", 1, deviation())
    assert inbox.events_of(1).rewarded
    inbox.done("run", 1, executed=True)
    inbox.done("run", 0, executed=False)
    taken = inbox.take(everything)
    assert [cycle for cycle, _ in taken] == [0, 1]
    (_, first), (_, second) = taken
    assert first.done and not first.executed and first.reward is None
    assert second.executed and second.reward == Reward(0.9) and len(second.deviations) == 1
    assert inbox.take(everything) == []


def test_what_names_another_run_an_old_cycle_or_one_to_come_is_counted_and_ignored() -> None:
    inbox = inbox_of(3)
    inbox.ignore_before(1)
    inbox.reward("other", 2, Reward(1.0))
    inbox.reward("run", 0, Reward(1.0))
    inbox.reward("run", 3, Reward(1.0))
    inbox.deviation("run", 10**12, deviation())
    inbox.done("", 2, executed=True)
    assert inbox.take(everything) == []
    assert inbox.counts == {
        "reward of another run": 1,
        "reward of an old cycle": 1,
        "reward of a cycle to come": 1,
        "deviation of a cycle to come": 1,
        "cycle_done of another run": 1,
    }


def test_the_first_reward_and_the_first_answer_count_even_after_they_were_taken() -> None:
    inbox = inbox_of(1)
    for overall in (0.9, 0.1):
        inbox.reward("run", 0, Reward(overall))
        inbox.done("run", 0, executed=overall > 0.5)
    ((_, events),) = inbox.take(everything)
    assert events.reward == Reward(0.9) and events.executed
    inbox.reward("run", 0, Reward(0.2))
    inbox.done("run", 0, executed=True)
    inbox.deviation("run", 0, deviation())
    inbox.deviation("run", 0, deviation())
    ((_, events),) = inbox.take(everything)
    assert events.reward is None and not events.done and len(events.deviations) == 1
    assert inbox.counts == {
        "reward repeated": 2,
        "cycle_done repeated": 2,
        "deviation repeated": 1,
    }


def test_a_refused_reward_or_deviation_counts_as_spoken() -> None:
    inbox = inbox_of(2)
    inbox.reward("run", 0, None, announced=1)
    assert not inbox.events_of(0).rewarded
    inbox.deviation("run", 0, None)
    assert inbox.events_of(0).rewarded
    inbox.reward("run", 1, None)
    assert inbox.events_of(1).rewarded and inbox.events_of(1).reward is None


def test_it_never_grows_beyond_its_capacity_and_the_newest_cycle_is_always_heard() -> None:
    inbox = inbox_of(0, capacity=8)
    for cycle in range(100):
        inbox.began(cycle)
        inbox.reward("run", cycle, Reward(0.5))
        assert inbox.events_of(cycle).rewarded
    kept = inbox.take(everything)
    assert [cycle for cycle, _ in kept] == list(range(92, 100))
    assert inbox.counts["events expired"] == 92
    inbox.reward("run", 91, Reward(0.5))
    assert inbox.counts["reward of an old cycle"] == 1


def test_a_waiting_thread_wakes_for_what_it_waits_for() -> None:
    inbox = inbox_of(1)
    woken = threading.Event()

    def wait() -> None:
        if inbox.wait(lambda: inbox.events_of(0).done, 20.0):
            woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    inbox.put(sample(1.0))
    inbox.done("run", 0, executed=True)
    thread.join(20.0)
    assert woken.is_set()
    assert not inbox.wait(lambda: False, 0.0)
