"""With Numba a robot moves by the same bits as without, and nothing is compiled while it moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.motion import INTERFACES, MotorSettings, MotorStage, State, resolve_limits
from ab_ros.motion.pursuit import Loops
from ab_ros.values import ChannelDeltas, Cycle

pytest.importorskip("numba")

T, DT = 16, 0.002
CONTRACT = Contract.from_dict({"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": 2}]}})
KINDS = ("joint_trajectory", "velocity", "twist", "effort")


def stages(limit: dict[str, float]) -> tuple[MotorStage, MotorStage]:
    """A robot with every kind of interface, twice: without Numba and with it."""
    channels = [f"{name}{index}" for name in KINDS for index in range(2)]
    bound = {"lower": -1.0, "upper": 1.0, "velocity": 2.0, "effort": 4.0, **limit}
    parsed = parse(
        MotorSettings,
        {
            "mapping": {"m": {"population": "A", "channel": channels[0]}},
            "groups": {
                name: {"channels": [f"{name}0", f"{name}1"], "topic": name, "interface": name}
                for name in KINDS
            },
            "limits": {
                name: bound if "twist" not in name else {"velocity": 2.0} for name in channels
            },
            "direct": True,
            "following_error": 0.0,
            "state_jump": 0.0,
            "following_speed": 0.0,
        },
    )
    limits = resolve_limits(parsed.channels, parsed.limits)
    return MotorStage(parsed, limits, compiled=False), MotorStage(parsed, limits, compiled=True)


@given(
    st.lists(st.tuples(st.integers(0, 2**16), st.floats(-4.0, 2.0)), min_size=1, max_size=8),
    st.fixed_dictionaries(
        {},
        optional={
            "acceleration": st.floats(0.5, 1e3),
            "step": st.floats(1e-3, 0.1),
            "effort_rate": st.floats(1.0, 1e3),
        },
    ),
)
@settings(max_examples=60, deadline=None)
def test_with_numba_a_robot_moves_by_the_same_bits(
    cycles: list[tuple[int, float]], limit: dict[str, float]
) -> None:
    sent: list[Any] = []
    for stage in stages(limit):
        now = 10.0
        stage.begin_run("run", CONTRACT)
        stage.activate(now, now)
        heard = []
        for number, (seed, size) in enumerate(cycles):
            generator = np.random.default_rng(seed)
            names = stage.channels
            stage.measure(names, generator.uniform(-1.0, 1.0, len(names)), None, now, now, now)
            assert stage.state is State.ACTIVE
            values = generator.normal(0.0, 10.0**size, (T, len(names)))
            deltas = ChannelDeltas(names, values)
            answer = stage.execute(Cycle("run", number, {}, DT, now, now, deltas=deltas), now, now)
            assert answer.executed
            heard += [(answer.limited, [command.values.tolist() for command in answer.commands])]
            now += T * DT + generator.uniform(-0.01, 0.01)
        sent.append(heard)
    assert sent[0] == sent[1]


def test_numba_compiles_when_the_stage_is_made_and_not_in_the_first_cycle() -> None:
    from ab_ros.motion import kernels

    Loops(compiled=True)
    for kernel in (kernels.pursue_rows, kernels.approach_rows, kernels.leak_rows):
        assert len(kernel.signatures) == 1  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            kernel("anything else")  # is not compiled, but refused


def test_a_wish_beyond_all_numbers_moves_a_continuous_joint_no_faster_than_it_may() -> None:
    for loops in (Loops(False), Loops(True)):
        one = [np.zeros(1) for _ in range(3)]
        bounds = [np.array([-math.inf]), np.array([math.inf])]
        deltas = np.full((T, 1), 1e290)
        points, *_ = loops.pursue(*one, deltas, *bounds, np.array([2.0]), np.array([1e-3]), DT)
        assert np.isfinite(points).all()
        assert np.diff(points[:, 0]).max() <= 2.0 * DT


def test_all_interfaces_have_a_kind() -> None:
    kinds = {INTERFACES[name] for name in KINDS}
    assert kinds == set(INTERFACES.values())
