"""What holds for every command interface, at limits above all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_motion_stage import CYCLE, DT, Rig, T

from ab_ros.config import parse
from ab_ros.motion import (
    INTERFACES,
    Code,
    Command,
    MotorSettings,
    Quantity,
    State,
    resolve_limits,
)
from ab_ros.values import ChannelDeltas

JOINTS = [name for name in INTERFACES if not name.startswith("twist")]
LIMIT = {"lower": -1.0, "upper": 1.0, "velocity": 2.0, "effort": 5.0}


def data_of(interface: str, **limit: Any) -> dict[str, Any]:
    return {
        "mapping": {"a": {"population": "A", "channel": "a", "per_step_max": 0.001}},
        "groups": {"g": {"channels": ["a"], "topic": "command", "interface": interface}},
        "limits": {"a": {**LIMIT, **limit}},
        "direct": True,
    }


def rig_of(interface: str, start: float = 0.0, **limit: Any) -> Rig:
    rig = Rig(data_of(interface, **limit))
    rig.at = {"a": start}
    rig.measure(velocity=0.0)
    assert rig.where == (State.ACTIVE, Code.OK)
    return rig


def pushes(command: Command, start: float) -> np.ndarray[Any, Any]:
    """Return where a command pushes the joint: up, down or not at all."""
    way = command.values[:, 0] - (start if command.quantity is Quantity.POSITION else 0.0)
    return np.where(np.abs(way) > 1e-12, np.sign(way), 0.0)


@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("interface", JOINTS)
def test_a_joint_at_its_limit_goes_no_further_and_leaves_it_at_once(
    interface: str, side: int, margin: float
) -> None:
    start = side * (1.0 - margin)
    rig = rig_of(interface, start, margin=margin)
    answer = rig.execute(up=side > 0, down=side < 0)
    assert (pushes(answer.commands[0], start) * side <= 0.0).all()
    assert "a: position" in answer.limited
    rig.wait(CYCLE)
    answer = rig.execute(up=side < 0, down=side > 0)
    assert pushes(answer.commands[0], start)[0] == -side
    assert "a: position" not in answer.limited


@pytest.mark.parametrize("interface", JOINTS)
def test_a_joint_beyond_its_margin_is_not_pulled_back_unasked(interface: str) -> None:
    rig = rig_of(interface, 0.95, margin=0.1)
    assert (pushes(rig.execute().commands[0], 0.95) == 0.0).all()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("interface", JOINTS)
def test_one_delta_that_is_no_number_refuses_the_whole_frame(interface: str, wrong: float) -> None:
    rig = rig_of(interface)
    values = np.full((T, 1), 0.001)
    values[T // 2] = wrong
    answer = rig.execute(rasters={}, deltas=ChannelDeltas(("a",), values))
    assert (answer.executed, answer.code, answer.commands) == (False, Code.NON_FINITE, ())


@pytest.mark.parametrize("interface", JOINTS)
def test_a_joint_that_is_stuck_is_noticed_unless_it_is_commanded_by_effort(interface: str) -> None:
    rig = Rig({**data_of(interface), "following_error": 0.01, "following_time": 0.05})
    rig.at = {"a": 0.0}
    rig.measure(velocity=0.0)
    for _ in range(10):
        rig.execute(up=1)
        rig.wait(CYCLE)  # the joint is stuck
    follows = INTERFACES[interface] is not Quantity.EFFORT and not interface.startswith("twist")
    assert rig.stage.code is (Code.FOLLOWING_ERROR if follows else Code.OK)


def test_a_jerk_limit_that_is_set_live_holds_from_when_the_joint_next_rests() -> None:
    rig = rig_of("joint_trajectory", acceleration=10.0)
    rig.execute(up=1)
    rig.wait(CYCLE)
    parsed = parse(MotorSettings, data_of("joint_trajectory", acceleration=10.0, jerk=500.0))
    rig.stage.reconfigure(parsed, resolve_limits(parsed.channels, parsed.limits))
    (moving,) = rig.execute(up=1).commands
    assert moving.start_speed[0] > 0.0
    rig.follow(moving)
    rig.wait(1.0)
    rig.measure(a=float(moving.values[-1, 0]))
    (anew,) = rig.execute(up=1).commands
    path = np.concatenate(([anew.start[0]] * 3, anew.values[:T, 0]))
    assert np.abs(np.diff(path, 3)).max() <= 500.0 * DT**3 * (1 + 1e-6)
