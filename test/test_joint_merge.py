"""Joint states from several publishers: the newest of each joint, and which joints are lacking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.joint_merge import JointMerger
from ab_ros.values import Observation

nan = math.nan


def state(stamp: float, **joints: float | tuple[float, float, float]) -> Observation:
    rows = [value if isinstance(value, tuple) else (value, nan, nan) for value in joints.values()]
    table = np.array(rows, np.float64).T.reshape(3, len(rows))
    meta = {"names": tuple(joints)}
    return Observation("body", "Proprioception", stamp, "joint_state", table, meta)


def told(sample: Observation, row: int = 0) -> dict[str, float]:
    return dict(zip(sample.meta["names"], np.asarray(sample.data)[row].tolist(), strict=True))


def test_the_newest_of_each_joint_is_kept_whatever_the_order() -> None:
    merger = JointMerger(0.5)
    merger.merge(state(1.0, a=0.1, b=0.2))
    merger.merge(state(1.1, grip=0.03))
    whole = merger.merge(state(1.2, b=0.4, a=0.3))
    assert told(whole) == {"a": 0.3, "b": 0.4, "grip": 0.03}
    assert whole.stamp == 1.2 and not np.asarray(whole.data).flags.writeable
    # One that comes late brings an older stamp, and does not make the whole older.
    assert merger.merge(state(1.15, grip=0.04)).stamp == 1.2


def test_joints_that_are_too_old_are_not_known() -> None:
    merger = JointMerger(0.5, ("a", "grip"))
    assert merger.missing() == ["a", "grip"] and merger.complete == -math.inf
    merger.merge(state(1.0, grip=0.03))
    assert merger.missing() == ["a"] and merger.complete == -math.inf
    merger.merge(state(1.4, a=0.1))
    assert merger.missing() == [] and merger.complete == 1.0
    late = merger.merge(state(1.6, a=0.2))
    assert told(late) == {"grip": pytest.approx(nan, nan_ok=True), "a": 0.2}
    assert merger.missing() == ["grip"]
    assert told(merger.merge(state(1.7, grip=0.05))) == {"grip": 0.05, "a": 0.2}
    assert merger.missing() == [] and merger.complete == 1.6


def test_velocity_and_effort_may_be_left_out_or_come_from_elsewhere() -> None:
    merger = JointMerger(0.5, ("a",), "velocity")
    assert merger.merge(state(1.0, a=0.1)).data[1].tolist() == pytest.approx([nan], nan_ok=True)
    assert merger.missing() == ["a"]
    merger.merge(state(1.1, a=(nan, 2.0, 3.0)))
    assert merger.missing() == []
    both = merger.merge(state(1.2, a=0.4))
    assert np.asarray(both.data)[:, 0].tolist() == [0.4, 2.0, 3.0]


def test_a_robot_that_begins_anew_has_no_joints() -> None:
    merger = JointMerger(0.5, ("a",))
    merger.merge(state(9.0, a=0.1, b=0.2))
    merger.reset()
    assert merger.missing() == ["a"]
    assert told(merger.merge(state(1.0, b=0.3))) == {"b": 0.3}


messages = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.floats(-9, 9), min_size=1, max_size=4), max_size=12
)


@given(messages)
def test_each_joint_is_as_it_was_said_last(parts: list[dict[str, float]]) -> None:
    merger, known = JointMerger(60.0), dict[str, float]()
    for k, part in enumerate(parts):
        known.update(part)
        sample = state(1.0 + k, **part)
        assert merger.is_whole(sample) == (len(part) >= len(known)) or len(part) < len(known)
        assert told(merger.merge(sample)) == known
