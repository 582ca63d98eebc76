"""The motor stage as a robot and its operator see it: what moves, what stops, and why."""

from __future__ import annotations

import math
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
from ab_ros.values import Cycle

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
        for value in answer.commands[0].values[:, 0]:
            position += value * DT
        assert position <= 0.05 + 1e-9
        rig.at["a"] = position
        rig.wait(CYCLE)
        answer = rig.execute(up=1)
    assert position == pytest.approx(0.05, abs=2e-3)
    assert "a: position" in answer.limited


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


def test_after_a_pause_a_joint_that_drifted_away_is_seeded_anew() -> None:
    rig = ready()
    rig.execute(up=1)
    rig.wait(0.1)
    rig.measure(a=-0.2)
    answer = rig.execute(up=1)
    assert (answer.executed, answer.code) == (True, Code.DRIFT)
    assert answer.commands[0].start[0] == pytest.approx(-0.2)


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
    rig.measure(a=0.4)
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
    rig.measure(a=0.3)
    assert rig.execute().commands[0].start[0] == pytest.approx(0.3)
    assert not rig.stage.resume(rig.now, rig.steady)


def test_a_halt_brakes_within_the_acceleration_limit() -> None:
    limits = {**ARM["limits"], "a": {**ARM["limits"]["a"], "acceleration": 10.0}}
    rig = ready(limits=limits)
    rig.execute(up=2)
    rig.wait(CYCLE)
    rig.measure(a=0.003, velocity=0.2)
    (command,) = rig.stage.halt(rig.now, rig.steady)
    assert command.start_speed[0] == pytest.approx(0.2)
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


def test_a_joint_measured_beyond_its_limits_is_a_fault_before_and_after_seeding() -> None:
    rig = Rig(start=1.5)
    rig.measure()
    assert rig.where == (State.HOLDING, Code.LIMIT_FAULT)
    assert "'a' is measured at 1.5, beyond its limits [-1, 1]" in rig.stage.message
    assert rig.wait(0.1) == []

    rig = ready()
    rig.execute(up=1)
    rig.measure(a=-1.2)
    (hold,) = rig.stage.watch(rig.now, rig.steady)
    assert rig.where == (State.HOLDING, Code.LIMIT_FAULT)
    assert np.abs(hold.values).max() <= 1.0
    rig.stage.resume(rig.now, rig.steady)
    rig.measure(a=-0.9)
    assert rig.where == (State.ACTIVE, Code.OK)


def test_a_little_beyond_the_limits_is_brought_inside() -> None:
    rig = ready(start=1.01)
    assert rig.execute(up=1).commands[0].values.max() <= 1.0


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
