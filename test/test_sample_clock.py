"""Chunks of a stream are dated without jitter, and do not drift away from the clock."""

from __future__ import annotations

import numpy as np

from ab_ros.codec.sample_clock import SampleClock

LENGTH = 0.02


def test_jitter_is_smoothed_and_drift_is_followed() -> None:
    jitter = np.random.default_rng(1).uniform(0.0, 0.008, 3000)
    true = 1000.0 + np.arange(3000) * LENGTH * (1.0 + 50e-6)  # a device that is 50 ppm slow
    clock = SampleClock(0.05, 0.05)
    stamps = np.array([clock.date(float(at), LENGTH) for at in true + jitter])
    assert (np.abs(np.diff(stamps) - LENGTH) < 2e-4).all()
    assert (np.abs(stamps - true) < 0.0085).all()
    assert not clock.begun_anew


def test_lost_sound_and_a_clock_that_was_set_are_taken_over() -> None:
    clock = SampleClock(0.05, 0.05)
    assert clock.date(10.0, LENGTH) == 10.0
    assert clock.date(10.02 + 0.3, LENGTH) == 10.32
    assert clock.date(3.0, LENGTH) == 3.0
    assert clock.begun_anew == 2
    clock.reset()
    assert clock.date(50.0, LENGTH) == 50.0
    assert clock.begun_anew == 2


def test_chunks_of_any_length_that_come_in_a_heap_follow_each_other() -> None:
    clock = SampleClock(0.25, 5.0)
    # What came late comes at once: without the count, a long chunk would begin before a short one.
    begins: list[float] = []
    ends: list[float] = []
    heap = [(6.0, 0.02)] * 40
    for now, length in ((5.0, 0.02), (5.1, 0.01), (5.1, 0.06), (5.1, 0.02), *heap, (6.02, 0.02)):
        begins.append(clock.date(now - length, length))
        ends.append(begins[-1] + length)
    steps = np.array(begins[1:]) - ends[:-1]
    assert clock.begun_anew == 1 and steps.argmax() == 3  # when the heap began to come
    assert np.abs(np.delete(steps, 3)).max() <= 0.0101
    assert (np.diff(begins) > 0).all()
