"""No sequence of inputs makes a command leave its limits, move too fast, or be non-finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.motion import (
    Answer,
    Command,
    JointLimits,
    MotorSettings,
    MotorStage,
    Quantity,
    State,
    resolve_limits,
)
from ab_ros.values import ChannelDeltas, Cycle

T, DT, N = 12, 0.002, 6
CONTRACT = Contract.from_dict(
    {
        "constants": {"gamma": T},
        "io": {"outputs": [{"id": "A", "n": N}, {"id": "B", "n": N}, {"id": "C", "n": N}]},
    }
)
JOINTS = ("a", "b", "g", "q", "e")
CHANNELS = {"a": "A", "b": "B", "w": "C", "q": "A", "e": "B"}
GROUPS = ["arm", "hand", "base", "jog", "push"]


def stage_of(draw: st.DrawFn) -> MotorStage:
    def limits(**more: float) -> dict[str, Any]:
        given: dict[str, Any] = {"velocity": draw(st.floats(0.05, 20.0)), **more}
        if draw(st.booleans()):
            given["acceleration"] = max(draw(st.floats(0.5, 500.0)), given["velocity"] / 9.0)
            if draw(st.booleans()):
                given["jerk"] = given["acceleration"] * draw(st.floats(2.0, 500.0))
        if draw(st.booleans()):
            given["step"] = draw(st.floats(1e-3, 0.1))
        return given

    def position() -> dict[str, Any]:
        lower = draw(st.floats(-2.0, 0.0))
        upper = lower + draw(st.floats(0.1, 3.0))
        return limits(lower=lower, upper=upper, margin=draw(st.floats(0.0, 0.04)))

    def effort() -> dict[str, Any]:
        given = {**position(), "effort": draw(st.floats(0.1, 50.0))}
        if draw(st.booleans()):
            given["effort_rate"] = draw(st.floats(0.1, 500.0))
        return given

    period = draw(st.sampled_from([0.0, 0.004, 0.01, 0.1]))
    smoothing = draw(st.sampled_from([0.0, 0.0, 0.005, 0.05]))
    stop = draw(st.sampled_from(["ramp", "hold", "zero", "value"]))
    gain = draw(st.sampled_from([1e-4, 0.01, 3.0, 1e6, 1e308]))
    data = {
        "pacing": draw(st.sampled_from(["realtime", "realtime", "lockstep"])),
        "direct": draw(st.booleans()),
        "mapping": {
            name: {"population": population, "channel": name, "gain": gain}
            for name, population in CHANNELS.items()
        },
        "groups": {
            "arm": {
                "channels": ["a", "b"],
                "topic": "arm",
                "period": period,
                "smoothing": smoothing,
            },
            "hand": {"channels": ["g"], "topic": "hand", "interface": "position"},
            "base": {"channels": ["w"], "topic": "base", "interface": "twist", "period": period},
            "jog": {
                "channels": ["q"],
                "topic": "jog",
                "interface": "joint_jog",
                "smoothing": smoothing,
            },
            "push": {
                "channels": ["e"],
                "topic": "push",
                "interface": "effort",
                "period": period,
                "stop": stop,
                "stop_value": [0.05] if stop == "value" else [],
            },
        },
        "limits": {
            "a": position(),
            "b": position(),
            "g": position(),
            "w": limits(),
            "q": position(),
            "e": effort(),
        },
        "command_delay": draw(st.sampled_from([0.0, 0.0, 0.01, 0.1])),
        "deadman_timeout": draw(st.sampled_from([0.0, 0.0, 0.5])),
        "state_jump": draw(st.sampled_from([0.0, 0.0, 0.1])),
    }
    parsed = parse(MotorSettings, data)
    stage = MotorStage(parsed, resolve_limits(parsed.channels, parsed.limits))
    stage.begin_run("run", CONTRACT, draw(st.booleans()))
    return stage


class Judge:
    """Checks every command, alone and against the one before it on its topic."""

    def __init__(self, stage: MotorStage) -> None:
        settings = stage.settings
        self.limits = resolve_limits(settings.channels, settings.limits)
        self.fault_margin = settings.fault_margin
        self.zero_stop = {n for n, g in settings.groups.items() if g.stop_action == "zero"}

    def check(self, command: Command) -> None:
        assert np.isfinite(command.times).all()
        assert np.isfinite(command.values).all()
        assert command.times[0] > 0.0
        assert (np.diff(command.times) > 0.0).all()
        for column, name in enumerate(command.names):
            values = command.values[:, column]
            if command.quantity is Quantity.POSITION:
                self.check_positions(command, column, values, self.limits[name])
            elif command.quantity is Quantity.EFFORT:
                self.check_efforts(command, column, values, self.limits[name])
            else:
                self.check_velocities(command, column, values, self.limits[name])

    def check_positions(
        self, command: Command, column: int, values: np.ndarray[Any, Any], limit: JointLimits
    ) -> None:
        start = float(command.start[column])
        low, high = min(limit.soft_lower, start), max(limit.soft_upper, start)
        if command.stop or command.start_speed[column] != 0.0:
            # Braking may end between the soft and the hard limit.
            low, high = limit.lower, limit.upper
        # One that was measured beyond its limits, and not far, moves inside and never back.
        beyond = min(self.fault_margin, 0.05 * (limit.upper - limit.lower)) + 1e-9
        assert limit.lower - beyond <= start <= limit.upper + beyond
        low, high = (
            min(max(low, limit.lower), start),
            max(min(high, limit.upper), start),
        )
        path = np.append(start, values)
        assert (np.diff(np.maximum(path - limit.upper, 0.0)) <= 1e-9).all()
        assert (np.diff(np.minimum(path - limit.lower, 0.0)) >= -1e-9).all()
        assert values.min() >= low - 1e-9
        assert values.max() <= high + 1e-9
        spans = np.diff(command.times, prepend=0.0)
        moves = np.diff(values, prepend=start)
        assert np.abs(moves).max() <= limit.step * (1 + 1e-9) + 1e-9
        slopes = moves / spans
        assert np.abs(slopes).max() <= limit.velocity * (1 + 1e-9) + 1e-9
        if math.isfinite(limit.acceleration):
            assert abs(slopes[0] - command.start_speed[column]) <= (
                limit.acceleration * spans[0] * (1 + 1e-9) + 1e-7
            )
            # After the last point the joint stands.
            after = np.append(slopes, 0.0)
            widths = (np.append(spans, spans[-1])[1:] + spans) / 2.0
            change = np.abs(np.diff(after)) / widths
            assert change.max(initial=0.0) <= limit.acceleration * (1 + 1e-6) + 1e-5
        assert command.speeds is not None
        assert command.speeds[-1, column] == 0.0
        assert np.isfinite(command.speeds).all()
        inner = command.cycle_points
        cycle = np.concatenate(([start], values[:inner]))
        tail = np.concatenate((cycle[-1:], values[inner:], values[-1:], values[-1:]))
        for part, widths in ((cycle, spans[:inner]), (tail, spans[inner:])):
            if widths.size:
                bound = limit.jerk * widths[0] ** 3 * (1 + 1e-6) + 1e-11
                assert np.abs(np.diff(part, 3)).max(initial=0.0) <= bound

    def check_efforts(
        self, command: Command, column: int, values: np.ndarray[Any, Any], limit: JointLimits
    ) -> None:
        assert np.abs(values).max() <= limit.effort
        if command.stop and command.group in self.zero_stop:
            return
        # What is taken away may go at once; what is added keeps its rate and step.
        spans = np.diff(command.times, prepend=0.0)
        growth = np.diff(np.abs(values), prepend=abs(command.start[column]))
        assert (growth <= limit.effort_rate * spans * (1 + 1e-6) + 1e-9).all()
        assert growth.max() <= limit.step * (1 + 1e-6) + 1e-9

    def check_velocities(
        self, command: Command, column: int, values: np.ndarray[Any, Any], limit: JointLimits
    ) -> None:
        assert np.abs(values).max() <= limit.velocity * (1 + 1e-9)
        spans = np.diff(command.times, prepend=0.0)
        changes = np.abs(np.diff(values, prepend=command.start[column]))
        if command.stop:
            assert values[-1] == 0.0
            if command.group in self.zero_stop:
                return
        assert (changes <= limit.acceleration * spans * (1 + 1e-6) + 1e-9).all()
        assert changes.max() <= limit.step * (1 + 1e-6) + 1e-9
        path = np.concatenate(([command.start[column]], values, values[-1:], values[-1:]))
        bound = limit.jerk * spans[0] ** 2 * (1 + 1e-6) + 1e-9
        assert np.abs(np.diff(path, 2)).max() <= bound


positions = st.floats(-3.0, 3.0) | st.sampled_from([math.nan, math.inf, 0.0, 0.0, 0.0])
joint_states = st.tuples(
    st.permutations(JOINTS),
    st.lists(positions, min_size=5, max_size=5),
    st.none() | st.lists(positions, min_size=5, max_size=5),
    st.integers(1, 5),
)
steps = st.one_of(
    st.tuples(st.just("cycle"), st.integers(0, 2**16), st.floats(0.0, 1.0)),
    st.tuples(st.just("cycle"), st.integers(0, 2**16), st.floats(0.0, 1.0)),
    st.tuples(st.just("deltas"), st.integers(0, 2**16), st.floats(0.0, 3.0)),
    st.tuples(st.just("follow"), st.just(0), st.just(0.0)),
    st.tuples(st.just("follow"), st.just(0), st.just(0.0)),
    st.tuples(st.just("measure"), joint_states, st.just(0.0)),
    st.tuples(st.just("near"), st.integers(0, 2**16), st.just(0.0)),
    st.tuples(st.just("wait"), st.integers(1, 40), st.just(0.001)),
    st.tuples(st.just("wait"), st.integers(1, 5), st.just(0.1)),
    st.tuples(st.just("jump"), st.just(0), st.floats(-100.0, 100.0) | st.just(math.nan)),
    st.tuples(st.just("steady"), st.just(0), st.floats(0.0, 3.0)),
    st.tuples(st.sampled_from(["deadman", "other"]), st.integers(0, 3), st.just(0.0)),
    st.tuples(
        st.sampled_from(["halt", "resume", "activate", "activate", "deactivate", "run", "repeat"]),
        st.integers(0, 1),
        st.just(0.0),
    ),
)


@st.composite
def stages(draw: st.DrawFn) -> MotorStage:
    return stage_of(draw)


class Play:
    """Plays a sequence of inputs to a stage and judges all that comes out."""

    def __init__(self, stage: MotorStage) -> None:
        self.stage = stage
        self.judge = Judge(stage)
        self.now, self.steady = 10.0, 3.0
        self.number = 0
        self.answers = 0
        middle = [(self.judge.limits[n].lower + self.judge.limits[n].upper) / 2 for n in JOINTS]
        self.at = dict(zip(JOINTS, middle, strict=True))
        self.perform("deadman", 1, 0.0)
        self.perform("activate", 0, 0.0)
        self.perform("follow", 0, 0.0)

    def take(self, commands: tuple[Command, ...]) -> None:
        assert len({command.topic for command in commands}) == len(commands)
        for command in commands:
            self.judge.check(command)
            if command.quantity is Quantity.POSITION:
                # A robot that is somewhere along its command.
                row = command.values[len(command.values) // 2].tolist()
                self.at.update(zip(command.names, row, strict=True))

    def execute(self, cycle: Cycle) -> None:
        inactive = self.stage.state is State.INACTIVE
        status = self.stage.status()
        answer = self.stage.execute(cycle, self.now, self.steady)
        assert isinstance(answer, Answer)
        assert (answer.run, answer.cycle) == (cycle.run, cycle.number)
        after = self.stage.status()
        assert after.cycles_executed - status.cycles_executed == answer.executed
        assert after.cycles_refused - status.cycles_refused == (not answer.executed)
        if inactive:
            assert not answer.executed
            assert answer.commands == ()
        if answer.executed:
            assert [command.group for command in answer.commands] == GROUPS
        else:
            assert answer.reason
            assert all(command.stop for command in answer.commands)
        self.take(answer.commands)

    def measure_near_limits(self, generator: np.random.Generator) -> None:
        """Joint states around the limits, fast ones too, now and then with a NaN; then a halt."""
        bounds = [self.judge.limits[name] for name in JOINTS]
        position = [
            (one.upper if generator.random() < 0.5 else one.lower) + generator.normal(0.0, 0.015)
            for one in bounds
        ]
        speeds = generator.normal(0.0, 3.0, len(JOINTS))
        if generator.random() < 0.2:
            position[generator.integers(len(JOINTS))] = math.nan
        self.stage.measure(JOINTS, position, speeds, self.now, self.now, self.steady)
        if generator.random() < 0.5:
            inactive = self.stage.state is State.INACTIVE
            commands = self.stage.halt(self.now, self.steady)
            assert not inactive or commands == ()
            self.take(commands)
            self.stage.resume(self.now, self.steady)
            self.stage.measure(JOINTS, position, speeds, self.now, self.now, self.steady)

    def command_directly(self, generator: np.random.Generator, age: float) -> None:
        """A brain that commands channels itself: wildly, late, and now and then what is not."""
        names = tuple(generator.permutation([*JOINTS, "w"])[: generator.integers(0, 7)])
        values = generator.normal(0.0, 10.0 ** generator.integers(-4, 3), (T, len(names)))
        usable = age <= T * DT + 1.0
        if names and generator.random() < 0.4:
            wild = generator.choice([math.nan, math.inf, -math.inf, 1e308, -1e308])
            values[generator.integers(T), generator.integers(len(names))] = wild
            usable = usable and math.isfinite(wild)
        if generator.random() < 0.1:
            names, usable = (*names[1:], "nose") if names else names, usable and not names
        if generator.random() < 0.1:
            values, usable = values[:0] if age < 1.0 else np.tile(values, (2, 1)), False
        executed = self.stage.status().cycles_executed
        deltas = ChannelDeltas(names, values)
        self.execute(
            Cycle("run", self.number, {}, DT, self.now - age, self.now - age, deltas=deltas)
        )
        self.number += 1
        if not (usable and self.stage.settings.direct):
            assert self.stage.status().cycles_executed == executed

    def perform(self, what: str, first: Any, second: float) -> None:
        stage = self.stage
        inactive = stage.state is State.INACTIVE
        if what == "cycle":
            generator = np.random.default_rng(first)
            spikes = (generator.random((3, T, N)) < second).astype(np.uint8)
            if first % 3 == 0:
                spikes[:, 1:] = 0  # a burst in one timestep
            rasters = dict(zip("ABC", spikes, strict=True))
            self.execute(Cycle("run", self.number, rasters, DT, self.now, self.now))
            self.number += 1
            return
        if what == "deltas":
            self.command_directly(np.random.default_rng(first), second)
            return
        if what == "repeat":
            silent = np.zeros((T, N), np.uint8)
            rasters = dict.fromkeys("ABC", silent)
            self.execute(Cycle("run", max(self.number - 1, 0), rasters, DT, self.now, self.now))
            return
        if what == "follow":
            stage.measure(
                list(self.at), list(self.at.values()), None, self.now, self.now, self.steady
            )
        elif what == "measure":
            names, position, velocity, count = first
            speeds = None if velocity is None else velocity[:count]
            stage.measure(names[:count], position[:count], speeds, self.now, self.now, self.steady)
        elif what == "deadman":
            stage.deadman(first > 0, self.steady)
        elif what == "other":
            stage.other_source("/teleop publishes on arm" if first == 0 else "")
        elif what == "near":
            self.measure_near_limits(np.random.default_rng(first))
        elif what in ("wait", "jump", "steady"):
            if what == "wait":
                self.now += first * second
                self.steady += first * second
            elif what == "steady":
                self.steady += second
            else:
                self.now = self.now + second if math.isfinite(second) else self.now
            commands = stage.watch(second if math.isnan(second) else self.now, self.steady)
            assert not inactive or commands == ()
            self.take(commands)
        elif what == "halt":
            commands = stage.halt(self.now, self.steady)
            assert not inactive or commands == ()
            self.take(commands)
        elif what == "resume":
            stage.resume(self.now, self.steady)
        elif what == "activate":
            stage.activate(self.now, self.steady)
        elif what == "deactivate":
            commands = stage.deactivate(self.now, self.steady)
            assert not inactive or commands == ()
            self.take(commands)
        elif what == "run":
            stage.begin_run("run", CONTRACT, first % 2 == 1)
            self.number = 0


@given(stages(), st.lists(steps, min_size=1, max_size=25))
@settings(max_examples=250, deadline=None)
def test_no_sequence_of_inputs_makes_an_unsafe_command(
    stage: MotorStage, sequence: list[tuple[str, Any, float]]
) -> None:
    play = Play(stage)
    for step in sequence:
        play.perform(*step)


@given(stages(), st.lists(st.tuples(st.integers(0, 2**16), st.floats(0.0, 0.06)), max_size=15))
@settings(max_examples=100, deadline=None)
def test_commands_go_on_from_where_the_robot_was_last_told_to_be(
    stage: MotorStage, cycles: list[tuple[int, float]]
) -> None:
    play = Play(stage)
    known: dict[str, tuple[float, Command]] = {}
    for seed, pause in cycles:
        generator = np.random.default_rng(seed)
        rasters = {name: generator.integers(0, 2, (T, N)).astype(np.uint8) for name in "ABC"}
        cycle = Cycle("run", play.number, rasters, DT, play.now, play.now)
        play.number += 1
        answer = stage.execute(cycle, play.now, play.steady)
        play.take(answer.commands)
        for command in answer.commands:
            before = known.get(command.group)
            lockstep = stage.settings.pacing == "lockstep"
            if before is not None and not lockstep and answer.code.name == "OK":
                limit = [play.judge.limits[name] for name in command.names]
                time, last = before
                path = np.vstack((last.start, last.values))
                grid = np.concatenate(([0.0], last.times))
                for column, one in enumerate(limit):
                    expected = np.interp(play.now - time, grid, path[:, column])
                    if command.quantity is not Quantity.POSITION:
                        continue
                    # Between two points of a tail the robot brakes; the points are coarser.
                    spans = np.diff(grid).max()
                    slack = one.acceleration if math.isfinite(one.acceleration) else 0.0
                    slack = slack * spans**2 + (one.velocity * spans if slack == 0.0 else 0.0)
                    assert abs(command.start[column] - expected) <= slack + 1e-6
            known[command.group] = (play.now, command)
        play.now += pause
        play.steady += pause
        play.at = {
            name: float(value)
            for name, value in zip(stage.channels, stage.status().commanded, strict=True)
            if name in JOINTS
        }
        play.perform("follow", 0, 0.0)
        if stage.state is not State.ACTIVE:
            break
