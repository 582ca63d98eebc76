"""Every fault, with every command interface: what the robot does, and that it stays safe."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from motion_faults import (
    BEAT,
    CYCLE,
    DT,
    FAULTS,
    LAST,
    LIMIT,
    PAGE,
    RESUME,
    SPEED,
    World,
    kind,
    page,
    play,
    settings_of,
    wheels,
)
from test_motion_properties import Judge

from ab_ros.motion import INTERFACES, Code, State, resolve_limits

SETTLING = 0.02
"""How far a robot at rest may still move, rad: a stop brakes from the speed that was commanded."""


def judge(world: World) -> None:
    """Check every command, and where the robot went."""
    stage = world.stage
    checker = Judge(stage)
    limits = settings_of(world.interface, **world.limits)
    checker.limits = resolve_limits(limits.channels, limits.limits)
    bound = checker.limits[world.channel]
    for _, command in world.commands:
        checker.check(command)
    path = np.array([position for _, position, _ in world.path])
    if kind(world.interface) == "effort":
        return
    # A message to a forward controller is a jump, and a gripper goes to its goal as fast as it can.
    if world.interface == "joint_trajectory" or kind(world.interface) in ("velocity", "wheels"):
        allowed = bound.velocity * DT * (1 + 1e-6) + 1e-9
        assert (np.abs(np.diff(path)) <= allowed).all()
    if not wheels(world.interface):
        assert path.min() >= bound.lower - 1e-9
        assert path.max() <= bound.upper + 1e-9


@pytest.mark.parametrize("interface", list(INTERFACES))
@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_stops_the_robot_as_promised_and_lets_it_go_on(name: str, interface: str) -> None:
    fault, outcome = FAULTS[name], play(name, interface)
    world = outcome.world
    judge(world)
    if kind(interface) in ("velocity", "wheels") and name not in ("frozen", "stage restarted"):
        speeds = [speed for _, _, speed in world.path]
        assert np.abs(np.diff(speeds)).max() <= LIMIT["acceleration"] * DT * (1 + 1e-6) + 1e-9
    assert outcome.codes == fault.says(interface)
    code = outcome.codes[-1] if outcome.codes else Code.OK
    if fault.refused is not None:
        assert fault.refused in outcome.refusals
    assert not math.isnan(outcome.went_on)
    on = fault.until + outcome.went_on
    if code is not Code.OK:
        # Nothing but stops is sent until it goes on, and a robot that rests stays where it is.
        sent = [
            (when, command)
            for when, command in world.commands
            if 0.4 < when < on - DT / 2 or (when == 0.4 and command.stop)
        ]
        first = next((k for k, (_, command) in enumerate(sent) if command.stop), len(sent))
        assert all(command.stop for _, command in sent[first:])
        if fault.until > 0.4 + 0.5:
            assert not math.isnan(outcome.rested)
            rest, end = 0.4 + outcome.rested, on if fault.resumed else fault.until
            resting = [position for when, position, _ in world.path if rest <= when < end]
            assert np.ptp(resting) < SETTLING
    latched = fault.resumed and code is not Code.OK
    if latched:
        assert on >= fault.until + RESUME
    else:
        assert outcome.went_on <= 2 * CYCLE + BEAT + fault.outlasts
    # It works again: it moves as it is asked to, or stands at its limit.
    assert world.stage.state is State.ACTIVE
    speed = np.mean([speed for when, _, speed in world.path if when > LAST - 0.2])
    at_limit = world.robot.position > LIMIT["upper"] - 0.05
    assert at_limit or speed == pytest.approx(SPEED, rel=0.25)


def test_the_page_of_faults_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python test/motion_faults.py"


# --------------------------------------------------------------------------- faults in any order

NAMES = sorted(FAULTS)


@given(
    st.sampled_from(list(INTERFACES)),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(0, 400), st.integers(5, 300)),
        min_size=1,
        max_size=5,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "velocity": st.floats(0.3, 2.0),
            "acceleration": st.floats(2.0, 50.0),
            "jerk": st.floats(200.0, 5000.0),
            "upper": st.floats(0.1, 1.0),
            "margin": st.floats(0.0, 0.05),
            "effort": st.floats(2.0, 9.0),
        },
    ),
    st.booleans(),
)
@example("joint_trajectory", [("limits shrunk", 20, 5)], {}, False)
@settings(max_examples=60, deadline=None)
def test_faults_in_any_order_and_overlap_leave_the_robot_safe_and_able_to_go_on(
    interface: str, faults: list[tuple[str, int, int]], limits: dict[str, Any], deadman: bool
) -> None:
    world = World(interface, 0.1 if deadman else 0.0, **limits)
    begins = {}
    for name, begin, length in faults:
        begins.setdefault(begin, []).append((FAULTS[name], begin + length))
    ends: dict[int, list[Any]] = {}
    running: list[tuple[Any, int]] = []
    last = max(begin + length for _, begin, length in faults)
    for tick in range(last + 1):
        for fault, end in begins.get(tick, ()):
            fault.begin(world)
            ends.setdefault(end, []).append(fault)
            running.append((fault, end))
        for fault in ends.get(tick, ()):
            fault.end(world)
        for fault, end in running:
            if fault.each is not None and tick < end:
                fault.each(world)
        world.step()
    # All is well again, and a person says so.
    world.spikes = world.states = world.clock = world.pressed = world.deadman_heard = True
    world.frozen = world.missing = False
    world.state, world.cycle, world.scale = {}, {}, 1
    world.stage.other_source("")
    world.limit()
    for step in range(2000):  # a stop may have a long way to go
        if step >= 500 and world.stage.state is State.ACTIVE:
            break
        if world.stage.code in (Code.HALTED, Code.LIMIT_FAULT, Code.FOLLOWING_ERROR):
            world.stage.resume(world.now, world.steady)
        world.step()
    judge(world)
    assert world.stage.state is State.ACTIVE, world.stage.message
