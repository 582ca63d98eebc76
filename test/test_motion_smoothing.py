"""Smoothed paths keep every limit that the raw ones keep, and bound the jerk, whatever comes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_motion_stage import ARM, CYCLE, DT, WHEELS, Rig, T, ready

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError
from ab_ros.motion import Code, Command, MotorSettings, MotorStage, State, resolve_limits
from ab_ros.values import Cycle

N = 6
CONTRACT = Contract.from_dict(
    {"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": N}, {"id": "W", "n": N}]}}
)


def limited(**more: float) -> dict[str, Any]:
    return {"a": {**ARM["limits"]["a"], **more}, "b": ARM["limits"]["b"]}


def smooth_arm(smoothing: float) -> dict[str, Any]:
    return {"arm": {"channels": ["a", "b"], "topic": "arm/cmd", "smoothing": smoothing}}


# ------------------------------------------------------------------------------------ what it does


def test_a_jerk_limit_bounds_the_change_of_acceleration_and_is_reported() -> None:
    rig = ready(limits=limited(acceleration=10.0, jerk=1000.0))
    answer = rig.execute(up=1)
    (command,) = answer.commands
    assert "a: jerk" in answer.limited
    rest = command.values[-1]
    path = np.concatenate(([0.0, 0.0, 0.0], command.values[:T, 0]))
    assert np.abs(np.diff(path, 3)).max() <= 1000.0 * DT**3 * (1 + 1e-6)
    # Nothing of the motion is lost: it comes to rest where it would without the limit.
    plain = ready(limits=limited(acceleration=10.0)).execute(up=1).commands[0]
    assert rest[0] == pytest.approx(plain.values[-1, 0], abs=1e-12)
    assert command.times[-1] == pytest.approx(plain.times[-1] + 0.02 - DT, abs=2 * DT)
    # A joint that does not move is not touched at all.
    assert command.values[:, 1].tolist() == [0.0] * len(command.times)


def test_smoothing_delays_a_steady_motion_by_half_of_its_time() -> None:
    rig = ready(groups=smooth_arm(0.011))
    for _ in range(3):
        (command,) = rig.execute(up=1).commands
        rig.wait(CYCLE)
    assert command.values[:T, 0] == pytest.approx(0.001 * np.arange(2 * T + 1, 3 * T + 1) - 0.005)
    assert command.values[-1, 0] == pytest.approx(3 * T * 0.001)
    assert command.start_speed[0] == pytest.approx(1.0)


def test_wheels_turn_their_acceleration_around_within_the_jerk_limit() -> None:
    base = {"velocity": 0.5, "acceleration": 10.0, "jerk": 1000.0}
    rig = Rig(WHEELS, limits={"linear_x": base})
    rig.stage.watch(rig.now, rig.steady)
    answer = rig.execute(up=1)
    assert "linear_x: jerk" in answer.limited
    path = np.concatenate(([0.0, 0.0], answer.commands[0].values[:, 0]))
    assert np.abs(np.diff(path, 2)).max() <= 1000.0 * DT**2 * (1 + 1e-6)
    stops = rig.wait(0.1)
    assert stops[0].values[-1, 0] == 0.0
    ramp = np.concatenate((stops[0].start, stops[0].values[:, 0], [0.0, 0.0]))
    assert np.abs(np.diff(ramp, 2)).max() <= 1000.0 * DT**2 * (1 + 1e-6)


def test_a_stop_does_without_smoothing_but_not_without_the_jerk_limit() -> None:
    def halted(**changes: Any) -> Command:
        rig = ready(**changes)
        for _ in range(5):
            rig.execute(up=1)
            rig.wait(CYCLE)
        rig.measure(velocity=0.5, a=0.05)
        (stop,) = rig.stage.halt(rig.now, rig.steady)
        # To where the joint comes to rest from where it is measured, whatever is averaged.
        assert stop.values[-1, 0] == pytest.approx(0.05 + 0.5**2 / 20, abs=3e-4)
        return stop

    plain = halted(limits=limited(acceleration=10.0))
    smooth = halted(limits=limited(acceleration=10.0), groups=smooth_arm(0.011))
    assert smooth.times[-1] <= plain.times[-1] + 0.01
    gentle = halted(limits=limited(acceleration=10.0, jerk=500.0), groups=smooth_arm(0.011))
    path = gentle.values[: gentle.cycle_points, 0]
    assert np.abs(np.diff(path, 3)).max() <= 500.0 * DT**3 * (1 + 1e-6)
    assert gentle.times[-1] > plain.times[-1]


def test_a_halt_near_a_limit_stays_inside_it_although_jerk_is_limited() -> None:
    rig = ready(start=0.9, limits=limited(acceleration=10.0, jerk=100.0))
    rig.execute(up=1)
    rig.wait(CYCLE)
    rig.measure(velocity=1.5, a=0.98)
    (stop,) = rig.stage.halt(rig.now, rig.steady)
    assert stop.values[:, 0].max() <= 1.0


def test_another_timestep_waits_until_a_joint_with_limited_jerk_rests() -> None:
    rig = ready(limits=limited(acceleration=10.0, jerk=1000.0))
    rig.execute(up=1)
    rig.wait(CYCLE)
    answer = rig.execute(up=1, dt=2 * DT)
    assert (answer.executed, answer.code) == (False, Code.BAD_FRAME)
    assert "has to come to rest" in answer.reason
    rig.wait(1.0)
    assert rig.execute(up=1, dt=2 * DT).executed


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"jerk": 10.0}, "jerk limit but no acceleration limit; give limits.a.acceleration"),
        ({"jerk": 10.0, "acceleration": 10.0}, "would need 2 s to turn its acceleration around"),
    ],
)
def test_jerk_limits_that_cannot_be_kept_are_refused(limit: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ready(limits=limited(**limit))


# ---------------------------------------------------------------------------------- what it keeps


def stage_of(draw: st.DrawFn) -> MotorStage:
    acceleration = draw(st.floats(2.0, 200.0))
    velocity = draw(st.floats(0.1, 5.0))
    jerk = draw(st.none() | st.floats(2.0, 300.0).map(lambda k: k * acceleration))
    given = {"velocity": velocity, "acceleration": acceleration}
    given |= {} if jerk is None else {"jerk": jerk}
    smoothing = draw(st.sampled_from([0.0, 0.003, 0.02, 0.1]))
    limits = {
        "a": {**given, "lower": -0.3, "upper": 0.2, "margin": draw(st.sampled_from([0.0, 0.01]))},
        "w": given,
    }
    if draw(st.booleans()):
        limits["a"]["step"] = draw(st.floats(1e-3, 0.01))
    data = {
        "pacing": draw(st.sampled_from(["realtime", "lockstep"])),
        "state_timeout": 60.0,
        "following_error": 0.0,
        "drift_tolerance": 10.0,
        "mapping": {
            "a": {"population": "A", "channel": "a", "gain": draw(st.sampled_from([1e-3, 1.0]))},
            "w": {"population": "W", "channel": "w", "gain": 1e-3},
        },
        "groups": {
            "arm": {"channels": ["a"], "topic": "arm", "smoothing": smoothing},
            "base": {
                "channels": ["w"],
                "topic": "base",
                "interface": "twist",
                "smoothing": smoothing,
            },
        },
        "limits": limits,
    }
    parsed = parse(MotorSettings, data)
    return MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits))


@st.composite
def stages(draw: st.DrawFn) -> MotorStage:
    return stage_of(draw)


class Player:
    """Controllers that play what they are told, timestep by timestep, and keep what they played."""

    def __init__(self, stage: MotorStage) -> None:
        self.stage = stage
        self.now, self.steady, self.number = 50.0, 7.0, 0
        self.lockstep = stage.settings.pacing == "lockstep"
        self.played: dict[str, list[float]] = {"arm": [0.0], "base": [0.0]}
        self.left: dict[str, list[float]] = {"arm": [], "base": []}
        stage.begin_run("run", CONTRACT)
        stage.activate(self.now, self.steady)
        stage.measure(["a"], [0.0], None, self.now, self.now, self.steady)
        assert stage.state is State.ACTIVE

    def take(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            expected = self.played[command.group][-1]
            assert command.start[0] == pytest.approx(expected, abs=1e-9)
            steps = np.round(command.times / DT).astype(int)
            grid = np.arange(1, steps[-1] + 1)
            # A tail may be sampled more widely; the plan itself says what lies between.
            group = next(g for g in self.stage._supervisor.groups if g.name == command.group)
            plan = group.plan
            assert plan is not None
            path = plan.positions_at(grid) if command.group == "arm" else plan.levels_at(grid)  # type: ignore[union-attr]
            assert path[steps - 1, 0] == pytest.approx(command.values[:, 0], abs=1e-12)
            self.left[command.group] = path[:, 0].tolist()

    def cycle(self, seed: int, density: float) -> None:
        generator = np.random.default_rng(seed)
        rasters = {
            name: (generator.random((T, N)) < density).astype(np.uint8) for name in ("A", "W")
        }
        for raster in rasters.values():
            raster[:, : N // 2] *= np.uint8(generator.random() < 0.7)
        answer = self.stage.execute(
            Cycle("run", self.number, rasters, DT, self.now, self.now), self.now, self.steady
        )
        assert answer.executed, answer.reason
        self.number += 1
        self.take(answer.commands)

    def play(self, steps: int) -> None:
        for _ in range(steps):
            for name, left in self.left.items():
                self.played[name].append(left.pop(0) if left else self.played[name][-1])
            self.now += DT
            self.steady += DT
            if not self.lockstep:
                self.take(self.stage.watch(self.now, self.steady))


@given(
    stages(),
    st.lists(
        st.tuples(st.integers(0, 2**16), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(1, 60)),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=150, deadline=None)
def test_what_is_played_keeps_all_limits_over_cycles_jitter_and_holds(
    stage: MotorStage, cycles: list[tuple[int, float, int]]
) -> None:
    player = Player(stage)
    for seed, density, steps in cycles:
        player.cycle(seed, density)
        player.play(T if player.lockstep else steps)
    player.play(20)
    limits = resolve_limits(stage.channels, stage.settings.limits)
    path = np.array([0.0, 0.0, 0.0, *player.played["arm"]])
    a = limits["a"]
    assert path.min() >= a.soft_lower - 1e-9
    assert path.max() <= a.soft_upper + 1e-9
    assert np.abs(np.diff(path)).max() <= min(a.velocity * DT, a.step) + 1e-9
    assert np.abs(np.diff(path, 2)).max() <= a.acceleration * DT**2 * (1 + 1e-6) + 1e-11
    speeds = np.array([0.0, 0.0, *player.played["base"]])
    w = limits["w"]
    assert np.abs(speeds).max() <= w.velocity * (1 + 1e-12)
    assert np.abs(np.diff(speeds)).max() <= w.acceleration * DT * (1 + 1e-6) + 1e-9
    if math.isfinite(a.jerk):
        assert np.abs(np.diff(path, 3)).max() <= a.jerk * DT**3 * (1 + 1e-6) + 1e-11
        assert np.abs(np.diff(speeds, 2)).max() <= w.jerk * DT**2 * (1 + 1e-6) + 1e-10


@given(
    stages(),
    st.lists(
        st.tuples(st.integers(0, 2**16), st.sampled_from([0.1, 1.0]), st.floats(1e-4, 0.05)),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=100, deadline=None)
def test_each_command_is_within_limits_and_goes_on_from_the_last_at_any_time(
    stage: MotorStage, cycles: list[tuple[int, float, float]]
) -> None:
    """Cycles that come between two timesteps: each command alone, and where it begins."""
    player = Player(stage)
    known: dict[str, float] = {"arm": 0.0, "base": 0.0}
    limit = resolve_limits(stage.channels, stage.settings.limits)["a"]
    for seed, density, pause in cycles:
        player.played = {name: [value] for name, value in known.items()}
        player.cycle(seed, density)
        group = stage._supervisor.groups[0]
        plan = group.plan
        assert plan is not None
        path = plan.positions_at(np.arange(plan.timesteps + plan.tail + 4))[:, 0]  # type: ignore[union-attr]
        path = np.concatenate(([path[0] - plan.speed_at_start[0] * DT], path))  # type: ignore[union-attr]
        assert path.min() >= limit.soft_lower - 1e-9 and path.max() <= limit.soft_upper + 1e-9
        assert np.abs(np.diff(path)).max() <= min(limit.velocity * DT, limit.step) + 1e-9
        assert np.abs(np.diff(path, 2)).max() <= limit.acceleration * DT**2 * (1 + 1e-6) + 1e-11
        if math.isfinite(limit.jerk):
            assert np.abs(np.diff(path, 3)).max() <= limit.jerk * DT**3 * (1 + 1e-6) + 1e-11
        pause = CYCLE if player.lockstep else min(pause, 0.049)
        player.now += pause
        player.steady += pause
        assert stage.watch(player.now, player.steady) == ()
        commanded = stage.status().commanded.tolist()
        known = dict(zip(("arm", "base"), commanded, strict=True))
        if player.lockstep:
            ends = (plan.positions_at(np.array([T]))[0, 0], commanded[1])  # type: ignore[union-attr]
            base = stage._supervisor.groups[1].plan
            known = {"arm": ends[0], "base": base.levels_at(np.array([T]))[0, 0]}  # type: ignore[union-attr]
