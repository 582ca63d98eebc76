"""The motor stage as a robot and its operator see it: what moves, what stops, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError
from ab_ros.motion import (
    Answer,
    Code,
    Command,
    MotorSettings,
    MotorStage,
    Quantity,
    State,
    resolve_limits,
)
from ab_ros.values import ChannelDeltas, Cycle

T, DT = 20, 1e-3
CYCLE = T * DT

ARM: dict[str, Any] = {
    "mapping": {
        "a": {"population": "A", "channel": "a", "per_step_max": 0.001},
        "b": {"population": "B", "channel": "b", "per_step_max": 0.001},
    },
    "groups": {"arm": {"channels": ["a", "b"], "topic": "arm/cmd"}},
    "limits": {
        "a": {"lower": -1.0, "upper": 1.0, "velocity": 2.0},
        "b": {"lower": -1.0, "upper": 1.0, "velocity": 2.0},
    },
}

WHEELS: dict[str, Any] = {
    "mapping": {"a": {"population": "A", "channel": "linear_x", "per_step_max": 0.001}},
    "groups": {"base": {"channels": ["linear_x"], "topic": "cmd_vel", "interface": "twist"}},
    "limits": {"linear_x": {"velocity": 0.5, "acceleration": 10.0}},
}

CONTRACT = Contract.from_dict(
    {"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": 4}, {"id": "B", "n": 4}]}}
)


def build(data: dict[str, Any], **changes: Any) -> MotorStage:
    settings = parse(MotorSettings, {**data, **changes})
    return MotorStage(settings, resolve_limits(settings.channels, settings.limits))


class Rig:
    """A stage with two clocks and a robot that is where it was commanded to be."""

    def __init__(self, data: dict[str, Any] = ARM, start: float = 0.0, **changes: Any) -> None:
        self.stage = build(data, **changes)
        self.now, self.steady = 100.0, 5.0
        self.number = -1
        self.at = {"a": start, "b": start}
        self.stage.begin_run("run", CONTRACT)
        self.stage.activate(self.now, self.steady)

    def measure(self, velocity: float | None = None, **at: float) -> None:
        self.at.update(at)
        speeds = None if velocity is None else [velocity] * len(self.at)
        self.stage.measure(
            list(self.at), list(self.at.values()), speeds, self.now, self.now, self.steady
        )

    def cycle(self, up: int = 0, down: int = 0, **changes: Any) -> Cycle:
        """A cycle in which A asks for ``up - down`` steps at each timestep."""
        self.number += 1
        raster = np.zeros((T, 4), np.uint8)
        raster[:, :up] = 1
        raster[:, 2 : 2 + down] = 1
        values: dict[str, Any] = {
            "run": "run",
            "number": self.number,
            "rasters": {"A": raster, "B": np.zeros((T, 4), np.uint8)},
            "dt": DT,
            "stamp": self.now - CYCLE,
            "observed": self.now - CYCLE,
        }
        return Cycle(**{**values, **changes})

    def execute(self, up: int = 0, down: int = 0, **changes: Any) -> Answer:
        return self.stage.execute(self.cycle(up, down, **changes), self.now, self.steady)

    def wait(
        self, seconds: float, measure: bool = True, steady: float | None = None
    ) -> list[Command]:
        """Let time pass in small steps, with joint states; return all that is to be sent."""
        sent: list[Command] = []
        steps = max(round(seconds / 0.01), 1)
        for _ in range(steps):
            self.now += seconds / steps
            self.steady += (seconds if steady is None else steady) / steps
            if measure:
                self.measure()
            sent += self.stage.watch(self.now, self.steady)
        return sent

    def carry(self, **at: float) -> None:
        """Let a hand move joints, not too fast to be believed."""
        way = max(abs(value - self.at[name]) for name, value in at.items())
        count = math.ceil(way / 0.02) + 1
        paths = {name: np.linspace(self.at[name], value, count) for name, value in at.items()}
        for step in range(count):
            self.measure(**{name: float(path[step]) for name, path in paths.items()})
            self.now += 0.01
            self.steady += 0.01
            self.stage.watch(self.now, self.steady)
        self.measure()

    def follow(self, command: Command) -> None:
        if command.quantity is Quantity.POSITION:
            self.at.update(zip(command.names, command.values[-1].tolist(), strict=True))

    @property
    def where(self) -> tuple[State, Code]:
        return self.stage.state, self.stage.code


def ready(data: dict[str, Any] = ARM, **changes: Any) -> Rig:
    rig = Rig(data, **changes)
    rig.measure()
    assert rig.where == (State.ACTIVE, Code.OK)
    return rig


# ------------------------------------------------------------------------------------- moving


def test_deltas_add_up_from_the_measured_position() -> None:
    rig = ready(start=0.25)
    answer = rig.execute(up=1)
    (command,) = answer.commands
    assert answer.executed
    assert answer.latency == pytest.approx(CYCLE)
    assert command.names == ("a", "b")
    assert command.values[:, 0] == pytest.approx(0.25 + 0.001 * np.arange(1, T + 1))
    assert command.values[:, 1] == pytest.approx(0.25)
    assert command.times == pytest.approx(DT * np.arange(1, T + 1))
    assert command.cycle_points == T
    assert answer.limited == ()


def test_commands_are_resampled_to_the_period_of_the_controller() -> None:
    rig = ready(groups={"arm": {"channels": ["a", "b"], "topic": "arm/cmd", "period": 0.005}})
    (command,) = rig.execute(up=1).commands
    assert command.times == pytest.approx([0.005, 0.010, 0.015, 0.020])
    assert command.values[:, 0] == pytest.approx([0.005, 0.010, 0.015, 0.020])


def test_the_next_cycle_goes_on_where_the_last_one_stands_early_or_late() -> None:
    for pause in (CYCLE - 0.003, CYCLE, CYCLE + 0.004):
        rig = ready()
        rig.execute(up=1)
        rig.wait(pause)
        (command,) = rig.execute(up=1).commands
        # Nothing of the first cycle's motion is lost, whenever the second one comes.
        assert command.values[-1, 0] == pytest.approx(2 * 0.001 * T)


def test_a_motion_that_limits_do_not_allow_is_reported_and_dropped() -> None:
    rig = ready(limits={**ARM["limits"], "a": {**ARM["limits"]["a"], "velocity": 0.5}})
    answer = rig.execute(up=2)
    assert answer.limited == ("a: velocity",)
    assert answer.commands[0].values[-1, 0] == pytest.approx(0.5 * CYCLE)
    rig.wait(CYCLE)
    answer = rig.execute()
    assert answer.commands[0].values[-1, 0] == pytest.approx(0.5 * CYCLE)
    assert answer.limited == ()


def test_a_step_limit_bounds_successive_points() -> None:
    rig = ready(limits={**ARM["limits"], "a": {**ARM["limits"]["a"], "step": 0.0004}})
    answer = rig.execute(up=1)
    assert np.diff(answer.commands[0].values[:, 0]).max() <= 0.0004 + 1e-12
    assert answer.limited == ("a: step",)


def test_a_joint_stops_at_its_limit_less_the_margin_and_may_leave_it() -> None:
    limits = {**ARM["limits"], "a": {**ARM["limits"]["a"], "margin": 0.01}}
    rig = ready(start=0.985, limits=limits)
    answer = rig.execute(up=1)
    assert answer.commands[0].values[-1, 0] == pytest.approx(0.99)
    assert answer.limited == ("a: position",)
    rig.wait(CYCLE)
    answer = rig.execute(down=1)
    assert answer.commands[0].values[0, 0] == pytest.approx(0.989)
    assert answer.limited == ()


def test_a_joint_outside_its_margin_is_not_pulled_inside_unasked() -> None:
    limits = {**ARM["limits"], "a": {**ARM["limits"]["a"], "margin": 0.1}}
    rig = ready(start=0.95, limits=limits)
    assert rig.execute().commands[0].values[:, 0] == pytest.approx(0.95)
    rig.wait(CYCLE)
    assert rig.execute(up=1).commands[0].values[:, 0] == pytest.approx(0.95)
    rig.wait(CYCLE)
    assert rig.execute(down=1).commands[0].values[-1, 0] == pytest.approx(0.95 - 0.02)


def test_every_trajectory_ends_at_rest_by_itself() -> None:
    limits = {**ARM["limits"], "a": {**ARM["limits"]["a"], "acceleration": 10.0}}
    rig = ready(limits=limits)
    (command,) = rig.execute(up=2).commands
    assert len(command.times) > command.cycle_points
    assert command.speeds is not None
    assert command.speeds[-1].tolist() == [0.0, 0.0]
    # While spikes keep coming, the tail is replaced in time and the joint keeps its speed.
    rig.wait(CYCLE)
    (following,) = rig.execute(up=2).commands
    assert following.start_speed[0] == pytest.approx(10.0 * CYCLE, rel=1e-6)


def test_an_unmeasured_channel_starts_at_its_configured_position() -> None:
    hand = {"channels": ["gripper"], "topic": "hand/cmd", "interface": "gripper"}
    grip = {
        "lower": 0.0,
        "upper": 1.0,
        "velocity": 5.0,
        "measured": False,
        "initial": 0.5,
    }
    rig = ready(
        groups={**ARM["groups"], "hand": hand},
        limits={**ARM["limits"], "gripper": grip},
        mapping={**ARM["mapping"], "g": {"population": "A", "channel": "gripper", "gain": 0.002}},
    )
    arm, gripper = rig.execute(up=1).commands
    assert arm.group == "arm"
    assert gripper.values[-1, 0] == pytest.approx(0.5 + 0.002 * T)
    rig.stage.halt(rig.now, rig.steady)
    rig.wait(0.1)
    rig.stage.resume(rig.now, rig.steady)
    rig.measure()
    # It was not measured, so that it stands where it was last commanded.
    assert rig.stage.status().commanded[2] == pytest.approx(gripper.start[0], abs=1e-3)


# ------------------------------------------------------------------------------------- wheels


def test_wheels_get_the_mean_velocity_of_the_cycle_ramped() -> None:
    rig = Rig(WHEELS)
    rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.ACTIVE, Code.OK)  # needs no joint states
    answer = rig.execute(up=1)
    (command,) = answer.commands
    assert command.quantity is Quantity.VELOCITY
    assert command.values[:, 0] == pytest.approx(0.01 * np.arange(1, T + 1))
    assert answer.limited == ("linear_x: velocity", "linear_x: acceleration")
    for _ in range(3):
        rig.wait(CYCLE)
        answer = rig.execute(up=1)
    assert answer.commands[0].values[-1, 0] == pytest.approx(0.5)


def test_wheels_ramp_to_zero_when_spikes_stop_and_then_are_quiet() -> None:
    rig = Rig(WHEELS)
    rig.stage.watch(rig.now, rig.steady)
    rig.execute(up=1)
    (command,) = rig.wait(0.2)
    assert command.stop
    assert command.values[-1, 0] == 0.0
    assert np.diff(command.values[:, 0]).min() >= -10.0 * DT - 1e-12
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    assert rig.wait(1.0) == []


def test_wheels_may_be_told_to_stop_at_once() -> None:
    base = {**WHEELS["groups"]["base"], "stop": "zero"}
    rig = Rig(WHEELS, groups={"base": base})
    rig.stage.watch(rig.now, rig.steady)
    rig.execute(up=1)
    (command,) = rig.stage.halt(rig.now + 0.01, rig.steady + 0.01)
    assert command.values.tolist() == [[0.0]]


def test_joints_driven_by_velocity_brake_before_their_limits() -> None:
    rig = ready(
        groups={"arm": {"channels": ["a"], "topic": "v", "interface": "velocity"}},
        mapping={"a": ARM["mapping"]["a"]},
        limits={"a": {"lower": -1.0, "upper": 0.05, "velocity": 2.0, "acceleration": 20.0}},
    )
    position = 0.0
    answer = rig.execute()
    for _ in range(20):
        (command,) = answer.commands
        # If nothing follows, the tail stops the joint before its limit.
        ahead = position + command.values[:, 0].sum() * DT
        assert ahead <= 0.05 + 1e-9
        assert command.values[-1, 0] == 0.0 or ahead + command.values[-1, 0] * 0.05 <= 0.05
        for value in command.values[: command.cycle_points, 0]:
            position += value * DT
        assert position <= 0.05 + 1e-9
        rig.at["a"] = position
        rig.wait(CYCLE)
        answer = rig.execute(up=1)
    assert position == pytest.approx(0.05, abs=2e-3)
    assert "a: position" in answer.limited


def test_a_joint_driven_by_velocity_stops_before_its_limit_though_it_was_measured_a_while_ago() -> (
    None
):
    rig = ready(
        groups={"arm": {"channels": ["a"], "topic": "v", "interface": "velocity"}},
        mapping={"a": ARM["mapping"]["a"]},
        limits={"a": {"lower": -1.0, "upper": 0.1, "velocity": 1.0, "acceleration": 50.0}},
    )
    position, velocities = 0.0, [0.0]
    for step in range(300):
        if step % 40 == 0:
            rig.measure(a=position)
        if step % T == 0:
            (command,) = rig.execute(up=1).commands
            velocities = command.values[:, 0].tolist()
        position += velocities.pop(0) * DT if len(velocities) > 1 else velocities[0] * DT
        rig.now += DT
        rig.steady += DT
        assert position <= 0.1 + 1e-9
    assert position == pytest.approx(0.1, abs=1e-3)


# ----------------------------------------------------------------------------------- stopping


def test_starvation_holds_and_goes_on_with_the_next_cycle_without_a_new_seed() -> None:
    rig = ready()
    rig.execute(up=1)
    (hold,) = rig.wait(0.1)
    assert hold.values[:, 0] == pytest.approx(T * 0.001)
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    rig.measure(a=T * 0.001 - 0.03)  # sags, within the tolerance
    answer = rig.execute(up=1)
    assert answer.executed
    assert answer.commands[0].values[-1, 0] == pytest.approx(2 * T * 0.001)


def test_after_a_pause_the_command_goes_to_a_joint_that_drifted_away() -> None:
    rig = ready(following_error=0.1)
    rig.execute(up=1)
    rig.wait(0.1)
    rig.carry(a=-0.2)
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code) == (True, Code.DRIFT)
    assert answer.limited == ("a: approach",)
    # As fast as it may, and no faster; what spikes ask for waits until it is there.
    path = [0.02, *answer.commands[0].values[:, 0]]
    for _ in range(5):
        rig.wait(CYCLE)
        answer = rig.execute(up=1)
        assert (answer.executed, answer.code) == (True, Code.OK)
        path += answer.commands[0].values[:, 0].tolist()
    assert np.abs(np.diff(path)).max() <= 2.0 * DT + 1e-9
    assert path == pytest.approx(np.maximum(0.02 - 0.002 * np.arange(len(path)), -0.2))
    rig.wait(CYCLE)
    answer = rig.execute(up=1)
    assert (answer.commands[0].values[-1, 0], answer.limited) == (pytest.approx(-0.18), ())


def test_a_brain_that_dies_while_the_clock_stands_still_stops_the_robot() -> None:
    rig = ready()
    rig.execute(up=1)
    for _ in range(120):
        rig.steady += 0.01
        rig.measure()
        if rig.stage.watch(rig.now, rig.steady):
            break
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    assert "computer's clock" in rig.stage.message


def test_joint_states_that_stop_stop_the_robot_and_clear_themselves() -> None:
    rig = ready()
    rig.execute(up=1)
    sent: list[Command] = []
    while rig.stage.code is Code.OK:
        sent += rig.wait(CYCLE, measure=False)
        if rig.stage.code is Code.OK:
            sent += rig.execute(up=1).commands
    assert rig.where == (State.HOLDING, Code.STALE_STATE)
    assert "a, b" in rig.stage.message
    assert not rig.execute(up=1).executed
    rig.measure(a=0.03)
    assert rig.where == (State.ACTIVE, Code.OK)
    # It goes on from its command, near which it is.
    at = rig.stage.status().commanded[0]
    assert at == pytest.approx(sent[-1].values[-1, 0])
    assert rig.execute().commands[0].start[0] == at


def test_after_joint_states_were_missing_for_long_the_robot_is_where_it_is_measured() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.wait(1.2, measure=False)
    assert rig.where == (State.HOLDING, Code.STALE_STATE)
    rig.measure(a=0.4)  # its driver was started anew, and holds it there
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute().commands[0].start[0] == pytest.approx(0.4)


def test_a_joint_state_too_old_for_the_first_cycles_timing_starts_nothing() -> None:
    rig = ready()
    # Fresh enough as long as nothing is known of the cycles; they are of 20 ms.
    rig.wait(0.1, measure=False)
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code, answer.commands) == (False, Code.STALE_STATE, ())
    rig.measure(a=0.4)
    assert rig.execute(up=1).commands[0].start[0] == pytest.approx(0.4)


def test_old_stamps_age_even_if_they_keep_coming() -> None:
    rig = ready()
    stamp = rig.now
    rig.execute(up=1)
    for _ in range(30):
        rig.now += 0.01
        rig.steady += 0.01
        rig.stage.measure(["a", "b"], [0.0, 0.0], None, stamp, rig.now, rig.steady)
        rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.HOLDING, Code.STALE_STATE)


def test_partial_joint_states_are_merged_and_missing_ones_named() -> None:
    rig = Rig()
    rig.stage.measure(["x", "b"], [9.9, 0.1], None, rig.now, rig.now, rig.steady)
    assert rig.where == (State.SEEDING, Code.NO_STATE)
    assert "joint state of a" in rig.stage.message
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code, answer.commands) == (False, Code.NO_STATE, ())
    rig.stage.measure(["a"], [0.2], [math.nan], 0.0, rig.now, rig.steady)
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.stage.status().measured.tolist() == [0.2, 0.1]


@pytest.mark.parametrize(
    ("position", "velocity", "counter"),
    [
        ([math.nan, 0.0], None, "states_non_finite"),
        ([0.0, math.inf], None, "states_non_finite"),
        ([0.0, 0.0], [0.0, -math.inf], "states_non_finite"),
        ([0.0], None, "states_malformed"),
        ([0.0, 0.0], [0.0], "states_malformed"),
    ],
)
def test_an_unusable_joint_state_is_refused_as_a_whole_and_counted(
    position: list[float], velocity: list[float] | None, counter: str
) -> None:
    rig = ready(start=0.1)
    rig.stage.measure(["a", "b"], position, velocity, rig.now, rig.now, rig.steady)
    status = rig.stage.status()
    assert status.counters[counter] == 1
    assert status.measured.tolist() == [0.1, 0.1]


def test_nan_in_a_joint_state_holds_the_robot_until_a_good_one_comes() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.now += 0.01
    rig.steady += 0.01
    rig.stage.measure(["a", "b"], [math.nan, 0.0], None, rig.now, rig.now, rig.steady)
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code) == (False, Code.NON_FINITE)
    (hold,) = answer.commands
    assert hold.stop
    assert "position of 'a' is nan" in answer.reason
    rig.measure(a=0.01)
    assert rig.where == (State.ACTIVE, Code.OK)


def test_a_clock_that_goes_backward_stops_and_reseeds_without_driving_back() -> None:
    rig = ready()
    rig.execute(up=2)
    rig.now -= 60.0
    # A robot that was reset with its clock must not be driven to where it was before.
    assert rig.stage.watch(rig.now, rig.steady) == ()
    assert rig.where == (State.HOLDING, Code.CLOCK_JUMP)
    assert not rig.execute(up=1).executed
    rig.measure(a=-0.5)
    assert rig.where == (State.ACTIVE, Code.OK)
    assert rig.execute().commands[0].start[0] == pytest.approx(-0.5)


def test_a_clock_that_leaps_forward_stops_wheels_by_a_ramp() -> None:
    rig = Rig(WHEELS)
    rig.stage.watch(rig.now, rig.steady)
    rig.execute(up=1)
    rig.now += 30.0
    (command,) = rig.stage.watch(rig.now, rig.steady)
    assert command.values[-1, 0] == 0.0


def test_halt_holds_where_the_robot_is_measured_and_resume_seeds_from_there() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.wait(CYCLE)
    rig.measure(a=0.013)
    (command,) = rig.stage.halt(rig.now, rig.steady)
    assert command.values[-1, 0] == pytest.approx(0.013)
    assert rig.wait(0.5) == []
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code) == (False, Code.HALTED)
    assert rig.stage.halt(rig.now, rig.steady) == ()
    assert rig.stage.resume(rig.now, rig.steady)
    # The state measured before the resume does not count.
    assert rig.where == (State.SEEDING, Code.NO_STATE)
    rig.carry(a=0.3)
    assert rig.execute().commands[0].start[0] == pytest.approx(0.3)
    assert not rig.stage.resume(rig.now, rig.steady)


def test_a_halt_brakes_within_the_acceleration_limit() -> None:
    limits = {**ARM["limits"], "a": {**ARM["limits"]["a"], "acceleration": 10.0}}
    rig = ready(limits=limits)
    rig.execute(up=2)
    rig.wait(CYCLE)
    rig.measure(a=0.003, velocity=0.2)
    (command,) = rig.stage.halt(rig.now, rig.steady)
    # From where it was told to be, to where it can come to rest.
    assert command.start_speed[0] == pytest.approx(10.0 * CYCLE)
    assert command.values[-1, 0] == pytest.approx(0.003 + 0.2**2 / 20, rel=0.06)


def test_a_joint_that_does_not_follow_is_let_go_and_waits_for_resume() -> None:
    rig = ready(following_error=0.01, following_time=0.05)
    sent: list[Command] = []
    for _ in range(10):
        sent = rig.wait(CYCLE)
        if rig.stage.code is not Code.OK:
            break
        rig.execute(up=1)
    assert rig.where == (State.HOLDING, Code.FOLLOWING_ERROR)
    assert "'a'" in rig.stage.message
    assert sent[-1].values[-1, 0] == pytest.approx(0.0, abs=0.1)
    assert rig.wait(1.0) == []
    assert rig.where == (State.HOLDING, Code.FOLLOWING_ERROR)


JOG: dict[str, Any] = {
    "mapping": {"a": {"population": "A", "channel": "a", "per_step_max": 0.001}},
    "groups": {"arm": {"channels": ["a"], "topic": "v", "interface": "velocity"}},
    "limits": {"a": {"lower": -9.0, "upper": 9.0, "velocity": 1.0, "acceleration": 10.0}},
}


def driven(behave: Callable[[list[float]], float], cycles: int = 80, **changes: Any) -> Rig:
    """A joint that moves as it makes of the speeds commanded so far, one for each 10 ms."""
    rig = ready(JOG, **changes)
    speeds = [0.0] * 10
    for number in range(cycles):
        up = number // 30 % 2 == 0
        answer = rig.execute(up=up, down=not up)
        if not answer.executed:
            break
        for part in (9, 19):
            speeds.append(float(answer.commands[0].values[part, 0]))
            rig.at["a"] += behave(speeds) * 0.01
            rig.wait(0.01)
    return rig


@pytest.mark.parametrize(
    ("behave", "changes"),
    [
        (lambda speeds: 0.0, {}),
        (lambda speeds: -speeds[-1], {}),
        (lambda speeds: 2.0 * speeds[-1], {}),
    ],
    ids=["blocked", "the wrong way", "too fast"],
)
def test_a_joint_driven_by_velocity_that_moves_otherwise_is_stopped(
    behave: Callable[[list[float]], float], changes: dict[str, Any]
) -> None:
    rig = driven(behave, **changes)
    assert rig.where == (State.HOLDING, Code.FOLLOWING_ERROR)
    assert "'a' is measured to move at" in rig.stage.message
    assert "a difference of 0.5 is allowed" in rig.stage.message


@pytest.mark.parametrize(
    ("behave", "changes"),
    [
        (lambda speeds: speeds[-1], {}),
        (lambda speeds: speeds[-9], {}),
        (lambda speeds: 0.6 * speeds[-1], {}),
        (lambda speeds: 0.0, {"following_speed": 0.0}),
        (lambda speeds: 0.0, {"limits": {"a": {**JOG["limits"]["a"], "following_error": 0.0}}}),
    ],
    ids=["as told", "90 ms late", "a little slow", "off", "off for one"],
)
def test_a_joint_driven_by_velocity_may_be_late_and_not_quite_as_fast(
    behave: Callable[[list[float]], float], changes: dict[str, Any]
) -> None:
    assert driven(behave, **changes).where[1] in (Code.OK, Code.STALE_SPIKES)


def test_a_joint_measured_beyond_its_limits_is_a_fault_before_and_after_seeding() -> None:
    rig = Rig(start=1.5)
    rig.measure()
    assert rig.where == (State.HOLDING, Code.LIMIT_FAULT)
    assert "'a' is measured at 1.5, beyond its limits [-1, 1]" in rig.stage.message
    assert rig.wait(0.1) == []

    rig = ready(start=-0.98)
    rig.execute(up=1)
    rig.measure(a=-1.05)
    (hold,) = rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.HOLDING, Code.LIMIT_FAULT)
    assert np.abs(hold.values).max() <= 1.0
    rig.wait(0.1)
    rig.stage.resume(rig.now, rig.steady)
    rig.measure(a=-0.97)
    assert rig.where == (State.ACTIVE, Code.OK)


def test_a_little_beyond_the_limits_is_brought_inside_no_faster_than_anything() -> None:
    limits = {"a": {**ARM["limits"]["a"], "velocity": 0.5, "acceleration": 20.0}}
    rig = ready(start=1.01, limits={**ARM["limits"], **limits})
    path = [1.01, 1.01]
    for _ in range(5):
        answer = rig.execute(up=1)
        path += answer.commands[0].values[:T, 0].tolist()
        rig.wait(CYCLE)
    assert path[-1] == pytest.approx(1.0)
    assert (np.diff(path) <= 1e-12).all()
    assert np.abs(np.diff(path)).max() <= 0.5 * DT + 1e-9
    assert np.abs(np.diff(path, 2)).max() <= 20.0 * DT**2 + 1e-9
    # A small joint's margin is a part of its range.
    small = {"lower": 0.0, "upper": 0.04, "velocity": 0.1}
    rig = Rig(start=0.043, limits={"a": small, "b": small})
    rig.measure()
    assert rig.where == (State.HOLDING, Code.LIMIT_FAULT)


# ------------------------------------------------------------------------------------- cycles


def test_cycles_of_another_run_or_already_handled_are_refused_and_counted() -> None:
    rig = ready()
    assert rig.execute(up=1).executed
    assert rig.execute(number=0).code is Code.WRONG_RUN
    assert rig.execute(run="other").code is Code.WRONG_RUN
    assert rig.stage.status().cycles_refused == 2
    assert rig.stage.status().counters["refused_wrong_run"] == 2
    assert rig.execute(number=7).executed
    assert rig.stage.status().counters["cycles_missed"] == 6


def test_a_refused_cycle_is_handled_too() -> None:
    rig = Rig()
    assert rig.execute(up=1).code is Code.NO_STATE
    rig.measure()
    assert rig.execute(number=0).code is Code.WRONG_RUN


def test_late_cycles_and_cycles_of_another_clock_are_refused() -> None:
    rig = ready()
    assert rig.execute(stamp=rig.now - 1.0).code is Code.LATE_CYCLE
    answer = rig.execute(stamp=rig.now + 1e6)
    assert answer.code is Code.LATE_CYCLE
    assert "ahead of the clock" in answer.reason


def test_spikes_that_do_not_fit_are_refused_with_the_reason() -> None:
    rig = ready()
    silent = np.zeros((T, 4), np.uint8)
    answer = rig.execute(rasters={"A": silent})
    assert answer.code is Code.BAD_FRAME
    assert "'B'" in answer.reason
    assert rig.execute(rasters={"A": silent[:5], "B": silent[:5]}).code is Code.BAD_FRAME
    assert rig.execute(dt=1e3).code is Code.BAD_FRAME
    assert rig.execute(stamp=math.nan).code is Code.BAD_FRAME
    assert rig.execute(up=1).executed


def test_deltas_that_are_not_finite_are_refused_as_a_whole_frame() -> None:
    rig = ready(mapping={"a": {"population": "A", "channel": "a", "per_step_max": 1e308}})
    answer = rig.execute(up=2)
    assert (answer.executed, answer.code, answer.commands) == (False, Code.NON_FINITE, ())


def test_a_mapping_that_the_contract_lacks_is_refused_and_so_are_its_cycles() -> None:
    rig = ready()
    other = Contract.from_dict({"constants": {"gamma": T}, "io": {"outputs": [{"id": "A"}]}})
    with pytest.raises(ContractError, match="no output population 'B'; one of: A"):
        rig.stage.begin_run("run", other)
    answer = rig.execute(up=1)
    assert answer.code is Code.BAD_FRAME
    assert "no output population 'B'" in answer.reason


def test_nothing_is_executed_before_a_run_has_begun() -> None:
    stage = build(ARM)
    cycle = ready().cycle(up=1)
    assert stage.execute(cycle, 100.0, 5.0).code is Code.WRONG_RUN


# --------------------------------------------------------------------------------- life cycle


def test_an_inactive_stage_is_silent_and_answers() -> None:
    rig = Rig()
    rig.stage.deactivate(rig.now, rig.steady)
    rig.measure()
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code, answer.commands) == (False, Code.NOT_ACTIVE, ())
    assert rig.wait(0.5) == []
    assert rig.stage.halt(rig.now, rig.steady) == ()


def test_deactivation_stops_the_robot_first() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.wait(CYCLE)
    rig.measure(a=0.015)
    (command,) = rig.stage.deactivate(rig.now, rig.steady)
    assert command.values[-1, 0] == pytest.approx(0.015)
    assert rig.stage.state is State.INACTIVE


def test_a_halt_outlasts_deactivation() -> None:
    rig = ready()
    rig.stage.halt(rig.now, rig.steady)
    rig.stage.deactivate(rig.now, rig.steady)
    rig.stage.activate(rig.now, rig.steady)
    rig.measure()
    assert rig.where == (State.HOLDING, Code.HALTED)


def test_limits_narrowed_past_the_command_stop_the_robot() -> None:
    rig = ready(start=0.5)
    rig.execute(up=1)
    narrow = {n: {"lower": -0.2, "upper": 0.2, "velocity": 2.0} for n in "ab"}
    settings = parse(MotorSettings, {**ARM, "limits": narrow})
    rig.stage.reconfigure(settings, resolve_limits(settings.channels, settings.limits))
    commands = rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.HOLDING, Code.LIMIT_FAULT)
    assert np.abs(np.diff(commands[0].values[:, 0])).max(initial=0.0) <= 2.0 * DT + 1e-12


def test_bounds_that_the_stage_does_not_measure_by_are_refused_live() -> None:
    rig = Rig(JOG, limits={"a": {"velocity": 1.0}})
    settings = parse(MotorSettings, JOG)
    with pytest.raises(ConfigError, match=r"limits\.a: lower and upper .* made anew"):
        rig.stage.reconfigure(settings, resolve_limits(settings.channels, settings.limits))


def test_an_unmeasured_channel_goes_on_from_its_last_command_when_activated_again() -> None:
    grip = {"lower": 0.0, "upper": 1.0, "velocity": 5.0, "measured": False, "initial": 0.5}
    rig = Rig(limits={"a": grip, "b": grip})
    rig.stage.watch(rig.now, rig.steady)
    for _ in range(5):
        last = rig.execute(up=1)
        rig.wait(CYCLE)
    rig.stage.deactivate(rig.now, rig.steady)
    rig.wait(0.5)
    rig.stage.activate(rig.now, rig.steady)
    rig.stage.watch(rig.now, rig.steady)
    assert last.commands[0].values[-1, 0] == pytest.approx(0.6)
    assert rig.execute().commands[0].start == pytest.approx([0.6, 0.5])


def test_gains_are_tuned_live_and_groups_are_not() -> None:
    rig = ready()
    mapping = {**ARM["mapping"], "a": {**ARM["mapping"]["a"], "gain": 0.5}}
    settings = parse(MotorSettings, {**ARM, "mapping": mapping})
    limits = resolve_limits(settings.channels, settings.limits)
    rig.stage.reconfigure(settings, limits)
    assert rig.execute(up=1).commands[0].values[-1, 0] == pytest.approx(0.0005 * T)
    other = parse(
        MotorSettings, {**ARM, "groups": {"arm": {**ARM["groups"]["arm"], "topic": "new"}}}
    )
    with pytest.raises(ConfigError, match="groups: cannot be changed"):
        rig.stage.reconfigure(other, limits)


def test_lockstep_does_not_depend_on_when_word_of_the_clock_arrives() -> None:
    limits = {**ARM["limits"], "a": {**ARM["limits"]["a"], "acceleration": 10.0}}
    ends = []
    for lag in (0.0, 0.015, CYCLE):
        rig = ready(pacing="lockstep", limits=limits, state_timeout=0.2)
        first = rig.now
        for k in range(5):
            stamp = first + k * CYCLE
            rig.now = max(stamp - lag, rig.now)
            rig.steady += 3.0  # the brain thinks for long
            if k == 2:
                rig.stage.watch(rig.now, rig.steady)
            answer = rig.execute(up=2, stamp=stamp, observed=stamp)
            assert answer.executed
        ends.append(answer.commands[0].values.tolist())
    assert ends[0] == ends[1] == ends[2]


# ---------------------------------------------------------------------------- brains elsewhere


def paced(rig: Rig, period: float, cycles: int) -> list[Command]:
    """Execute cycles that come every ``period`` s; return what stopped the robot meanwhile."""
    stops: list[Command] = []
    for _ in range(cycles):
        assert rig.execute().executed
        stops += rig.wait(period)
    return stops


def elsewhere(**changes: Any) -> Rig:
    rig = ready(**changes)
    rig.stage.begin_run("run", CONTRACT, remote=True)
    return rig


def test_a_remote_brain_may_be_as_late_as_twice_the_time_its_cycles_take() -> None:
    rig = elsewhere()
    assert paced(rig, 0.2, 3)  # not known yet: an embedded brain's 50 ms hold
    assert paced(rig, 0.2, 3) == []
    rig.wait(0.19)
    assert rig.where == (State.ACTIVE, Code.OK)
    rig.wait(0.03)
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    assert "no fresh cycle for 0.4 s" in rig.stage.message
    # A pause is no rhythm: the brain is as punctual as before when it is back.
    rig.wait(5.0)
    assert rig.execute().executed
    rig.wait(0.39)
    assert rig.where == (State.ACTIVE, Code.OK)
    rig.wait(0.03)
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)


def test_however_slow_a_remote_brain_is_the_robot_stops_after_a_second() -> None:
    rig = elsewhere()
    paced(rig, 0.9, 6)
    assert rig.execute().executed
    rig.wait(0.99)
    assert rig.where == (State.ACTIVE, Code.OK)
    rig.wait(0.03)
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)
    # What is configured holds, and an embedded brain that takes its place keeps time.
    rig = elsewhere(spike_timeout=0.1)
    assert paced(rig, 0.2, 6)
    rig = elsewhere()
    paced(rig, 0.2, 6)
    rig.stage.begin_run("another", CONTRACT)
    rig.number = -1
    assert rig.execute(run="another").executed
    rig.wait(0.07)
    assert rig.where == (State.HOLDING, Code.STALE_SPIKES)


def test_cycles_of_a_remote_brain_may_be_under_way_for_a_second() -> None:
    rig = elsewhere()
    assert rig.execute(stamp=rig.now - CYCLE - 0.99).executed
    late = rig.execute(stamp=rig.now - CYCLE - 1.01)
    assert (late.executed, late.code) == (False, Code.LATE_CYCLE)
    assert "more than 1.020 s" in late.reason
    ahead = rig.execute(stamp=rig.now + CYCLE + 1.01)
    assert (ahead.executed, ahead.code) == (False, Code.LATE_CYCLE)


# ------------------------------------------------------------------- brains that command channels


def commanding(rig: Rig, values: Any, *names: str, **changes: Any) -> Answer:
    deltas = ChannelDeltas(names, np.asarray(values, np.float64))
    return rig.execute(rasters={}, deltas=deltas, **changes)


def test_what_a_brain_commands_itself_is_refused_unless_that_is_allowed() -> None:
    answer = commanding(ready(), np.full((T, 1), 0.001), "b")
    assert (answer.executed, answer.code) == (False, Code.BAD_FRAME)
    assert "only where 'direct' is true" in answer.reason
    rig = ready(direct=True)
    answer = commanding(rig, np.full((T, 1), 0.001), "b")
    assert answer.executed and answer.deltas is not None
    (command,) = answer.commands
    assert command.values[:, 0] == pytest.approx(0.0)
    assert command.values[:, 1] == pytest.approx(0.001 * np.arange(1, T + 1))
    # Spikes are executed as ever, and limits hold for all.
    rig.wait(CYCLE)
    assert rig.execute(up=1).executed
    rig.wait(CYCLE)
    answer = commanding(rig, np.full((T, 1), 1e300), "b")
    assert answer.limited == ("b: position", "b: velocity")
    assert np.diff(answer.commands[0].values[:, 1]).max() <= 2.0 * DT + 1e-12


@pytest.mark.parametrize(
    ("values", "name", "changes", "code", "says"),
    [
        (np.full((T, 1), math.nan), "a", {}, Code.NON_FINITE, "a delta of channel 'a'"),
        (np.full((T, 1), 0.1), "c", {}, Code.BAD_FRAME, "commands channel 'c'; one of: a, b"),
        (np.zeros((0, 1)), "a", {}, Code.BAD_FRAME, "0 timesteps; must be 1 to 20"),
        (np.zeros((T + 1, 1)), "a", {}, Code.BAD_FRAME, "21 timesteps; must be 1 to 20"),
        (np.zeros((T, 1)), "a", {"stamp": 0.0}, Code.LATE_CYCLE, "ago"),
        (np.zeros((T, 1)), "a", {"run": "x"}, Code.WRONG_RUN, "the run is 'run'"),
        (np.zeros((T, 1)), "a", {"number": -1}, Code.WRONG_RUN, "comes after"),
        (np.zeros((T, 1)), "a", {"dt": 2.0}, Code.BAD_FRAME, "dt"),
    ],
)
def test_commands_of_a_brain_pass_the_gate_of_all_cycles(
    values: Any, name: str, changes: dict[str, Any], code: Code, says: str
) -> None:
    answer = commanding(ready(direct=True), values, name, **changes)
    assert (answer.executed, answer.code) == (False, code)
    assert says in answer.reason


def test_one_long_cycle_does_not_stretch_the_time_outs() -> None:
    rig = ready(following_error=0.0)
    assert rig.execute(up=1).executed
    rig.wait(CYCLE)
    assert rig.execute(up=1, dt=0.05, stamp=rig.now).executed  # lasts a second
    rig.wait(0.99)
    rig.measure()
    assert rig.stage.state is State.ACTIVE
    rig.wait(0.02)
    rig.measure()
    rig.stage.watch(rig.now, rig.steady)
    assert (rig.stage.state, rig.stage.code) == (State.HOLDING, Code.STALE_SPIKES)


def test_a_cycle_longer_than_a_second_needs_a_time_out_of_its_own() -> None:
    rig = ready(following_error=0.0)
    answer = rig.execute(up=1, dt=0.06, stamp=rig.now)
    assert (answer.executed, answer.code) == (False, Code.BAD_FRAME)
    assert "its spike_timeout is set" in answer.reason
    rig = ready(following_error=0.0, spike_timeout=3.0)
    assert rig.execute(up=1, dt=0.06, stamp=rig.now).executed
