"""Command outputs without a process: points are played at their times, stops to their ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.figures import Figures
from ab_ros.motion import (
    Command,
    GroupSettings,
    MotorSettings,
    MotorStage,
    Quantity,
    resolve_limits,
)
from ab_ros.nodes.command_interfaces import make_output, playable
from ab_ros.nodes.group_outputs import finish_playing
from ab_ros.values import Cycle

pytestmark = pytest.mark.ros


class Stage:
    """Stands for the node: two clocks that the test moves, and what is published."""

    def __init__(self) -> None:
        self.steady, self.robot = 50.0, 1000.0
        self.published: list[float] = []
        self.figures = Figures()
        self.broken = False

    def advertise(self, *_: object) -> Any:
        return self

    def every(self, *_: object, **__: object) -> None:
        pass

    def publish(self, message: Any) -> None:
        if self.broken:
            raise RuntimeError("the network is gone")
        self.published.append(float(message.data[0]))

    def steady_now(self) -> float:
        return self.steady

    def now(self) -> float:
        return self.robot

    def wait(self, steady: float, robot: float | None = None) -> None:
        self.steady += steady
        self.robot += steady if robot is None else robot


def command(values: Sequence[float], interface: str, stop: bool = False) -> Command:
    points = np.array(values)[:, None]
    return Command(
        "x", "x/cmd", interface, Quantity(interface), ("x",), 0.01 * np.arange(1, len(values) + 1),
        points, None, points[0], points[0], len(values), stop,
    )  # fmt: skip


def output(node: Stage, interface: str = "position", period: float = 0.01) -> Any:
    settings = GroupSettings(channels=("x",), topic="x/cmd", interface=interface, period=period)
    return make_output(node, "x", settings, lockstep=False)


def test_points_are_played_in_their_time() -> None:
    node = Stage()
    out = output(node)
    out.send(command([1.0, 2.0, 3.0], "position"))
    out.play()
    assert node.published == []
    for _ in range(5):
        node.wait(0.0101)
        out.play()
    assert node.published == [1.0, 2.0, 3.0]
    assert not out.playing


def test_a_robot_whose_clock_is_slow_is_not_driven_faster() -> None:
    node = Stage()
    out = output(node)
    out.send(command([1.0, 2.0, 3.0], "position"))
    for k in range(1, 5):
        node.wait(0.0101, robot=0.0051)
        out.play()
        assert node.published[-1] <= max(1.0, 0.51 * k) + 1e-9
    assert 1.9 < node.published[-1] < 2.1
    node.wait(1.0, robot=-5.0)
    before = list(node.published)
    out.play()
    assert node.published == before


@pytest.mark.parametrize("interface", ["position", "velocity", "effort"])
@pytest.mark.parametrize("period", [0.005, 0.02, 0.05, 0.1, 0.13])
def test_the_beat_goes_on_whatever_the_cycles_do(interface: str, period: float) -> None:
    node = Stage()
    out = output(node, interface, period)
    told = 0.0
    sent: list[tuple[float, float]] = []
    for _ in range(400):
        if told <= node.robot - 1000.0 + 1e-9:
            # A cycle of 40 ms begins, and goes on from where the one before is: one unit a second.
            now = node.robot - 1000.0
            path = now + 0.001 * np.arange(1, 61)
            out.send(
                Command(
                    "x", "x/cmd", interface, Quantity(interface), ("x",), path - now,
                    path[:, None], None, np.array([now]), np.zeros(1), 40,
                )
            )  # fmt: skip
            told += 0.04
        node.wait(min(out.tick, 0.005))
        out.play()
        if len(node.published) > len(sent):
            sent.append((node.robot - 1000.0, node.published[-1]))
    times, values = np.array(sent).T
    assert values.size >= 2.0 / max(period, 0.005) * 0.9, "a message each period"
    lag = times - values
    assert lag.min() > -0.0011, "nothing is ahead of the clock"
    assert lag.max() < 0.0101, "and little behind it"
    assert np.diff(values).max() <= period + 0.0011, "no two messages are further apart"


def test_a_stop_does_not_wait_for_the_beat() -> None:
    node = Stage()
    out = output(node, "velocity", 0.05)
    out.send(command([1.0] * 20, "velocity"))
    node.wait(0.051)
    out.play()
    node.wait(0.01)
    out.send(command([0.5, 0.0], "velocity", stop=True))
    node.wait(0.0101)
    out.play()
    node.wait(0.0101)
    out.play()
    assert node.published == [1.0, 0.5, 0.0]


def test_a_stop_is_played_even_if_the_robots_clock_stands_still() -> None:
    node = Stage()
    out = output(node, "velocity")
    out.send(command([0.5, 0.0], "velocity", stop=True))
    for _ in range(3):
        node.wait(0.0101, robot=0.0)
        out.play()
    assert node.published == [0.5, 0.0]


def test_what_was_discarded_never_plays() -> None:
    node = Stage()
    out = output(node)
    out.send(command([1.0, 2.0], "position"))
    out.discard()
    node.wait(1.0)
    out.play()
    assert node.published == []
    assert not out.playing


def test_stops_are_finished_together_and_a_long_one_is_cut_short() -> None:
    short, long, still = Stage(), Stage(), Stage()
    outs = [output(short, "velocity"), output(long, "velocity"), output(still)]
    outs[0].send(command([0.5, 0.0], "velocity", stop=True))
    outs[1].send(command(np.linspace(1.0, 0.0, 1000).tolist(), "velocity", stop=True))
    outs[2].send(command(np.linspace(1.0, 0.0, 1000).tolist(), "position", stop=True))
    nodes = (short, long, still)

    def steady() -> float:
        for node in nodes:
            node.wait(0.005)
        return short.steady

    finish_playing(outs, steady, lambda *_: pytest.fail("all can publish"))
    assert short.published[-1] == long.published[-1] == 0.0
    # A position stays where it is rather than jumping to its end.
    assert still.published[-1] > 0.3
    assert not any(out.playing for out in outs)


def test_an_output_that_cannot_publish_does_not_keep_others_from_stopping() -> None:
    broken, good = Stage(), Stage()
    outs = [output(broken, "velocity"), output(good, "velocity")]
    for out in outs:
        out.send(command([0.5, 0.0], "velocity", stop=True))
    broken.broken = True
    failed = []

    def steady() -> float:
        broken.wait(0.005)
        good.wait(0.005)
        return good.steady

    finish_playing(outs, steady, lambda out, error: failed.append((out, str(error))))
    assert good.published == [0.5, 0.0]
    assert failed == [(outs[0], "the network is gone")]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("period", [0.0, 0.02, 0.05, 0.1])
def test_no_message_is_farther_from_the_last_than_the_velocity_limit_allows(
    period: float, seed: int
) -> None:
    """Stage and output together, with cycles that come early or late, gaps, halts and resumes."""
    random = np.random.default_rng(seed)
    settings = playable(
        parse(
            MotorSettings,
            {
                "mapping": {"m": {"population": "A", "channel": "x", "per_step_max": 0.002}},
                "groups": {
                    "g": {
                        "channels": ["x"], "topic": "t", "interface": "position", "period": period,
                    }
                },
                "limits": {"x": {"lower": -1.0, "upper": 1.0, "velocity": 0.8,
                                 "acceleration": 6.0}},
                "following_error": 0.0,
            },
        ),
        lockstep=False,
    )  # fmt: skip
    stage = MotorStage(settings, resolve_limits(settings.channels, settings.limits))
    outputs = [{"id": "A", "n": 4}]
    contract = {"constants": {"gamma": 40}, "io": {"outputs": outputs}}
    stage.begin_run("run", Contract.from_dict(contract))
    node = Stage()
    out = make_output(node, "g", settings.groups["g"], lockstep=False)
    stage.activate(node.robot, node.steady)
    due, number, sent, at = 0.0, 0, 0.0, 0.0
    apart: list[float] = []
    for k in range(3000):
        node.wait(0.002)
        now = node.robot
        # The robot is where it was told to be, a little behind.
        at += 0.3 * ((node.published[-1] if node.published else 0.0) - at)
        stage.measure(["x"], [at], None, now, now, node.steady)
        commands = list(stage.watch(now, node.steady))
        if k % 700 == 650:
            commands += stage.halt(now, node.steady)
        if k % 700 == 690:
            stage.resume(now, node.steady)
        if now >= due:
            late = float(random.choice([0.0, 0.002, 0.004, 0.15], p=[0.6, 0.2, 0.15, 0.05]))
            due = now + 0.04 + late
            raster = np.zeros((40, 4), np.uint8)
            half = 2 * int(random.integers(2))
            raster[:, half : half + 2] = random.random((40, 2)) < 0.8
            cycle = Cycle("run", number, {"A": raster}, 0.001, now, now)
            commands += stage.execute(cycle, now, node.steady).commands
            number += 1
        for command in commands:
            out.send(command)
        count = len(node.published)
        out.play()
        if len(node.published) > count:
            if count:
                allowed = 0.8 * (now - sent + 0.5 * out.tick + 0.002)
                apart.append(abs(node.published[-1] - node.published[-2]) / allowed)
            sent = now
    assert len(apart) > 0.5 * 6.0 / max(period, 0.005) * 0.5
    assert max(apart) <= 1.0
    assert np.abs(node.published).max() <= 1.0
    assert np.ptp(node.published) > 0.1
