"""The demos' tasks without ROS: the same brain, motor stage, critic and robot, from one file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import Source, load_yaml, node_parameters, overlay, parse, setting
from ab_ros.environments.robots import ROBOTS
from ab_ros.learning.critic import Critic, CriticSettings
from ab_ros.loop import Loop
from ab_ros.motion import MotorSettings, MotorStage, limits_from_urdf, resolve_limits


@dataclass(frozen=True)
class _Robot:
    robot: str = setting("arm", doc="The robot.", one_of=tuple(ROBOTS))


@dataclass(frozen=True)
class Stretch:
    """What a stretch of the task showed.

    ``measures``: {name: float64[cycles]}, what the robot measures of itself after each cycle, as
    :meth:`ArmRobot.measures <ab_ros.environments.arm_robot.ArmRobot.measures>` and
    :meth:`CarRobot.measures <ab_ros.environments.car_robot.CarRobot.measures>` say;
    ``rate``: Hz, mean rate of all neurons; ``refused``: cycles that the motor stage refused.
    """

    measures: Mapping[str, NDArray[np.float64]]
    rate: float
    refused: int

    @property
    def errors(self) -> NDArray[np.float64]:
        """How far off the target was after each cycle: float64[cycles], rad."""
        return self.measures["error"]

    @property
    def rms(self) -> float:
        """RMS error in degrees."""
        return math.degrees(self.rms_of("error"))

    def rms_of(self, measure: str) -> float:
        """Return the RMS of a measure, in its own unit."""
        return math.sqrt(float(np.mean(np.square(self.measures[measure]))))


class TrackingTask:
    """A robot that follows a ball, in lockstep, in this process.

    Parameters
    ----------
    config : a parameter file with the nodes ``sim``, ``brain``, ``critic`` and ``motor``.
    seed : of brain and ball.
    changes : {node: nested settings} that go over the file's.

    Attributes
    ----------
    robot, world : the robot that ``sim`` names, and what it is in.

    Raises
    ------
    ConfigError
        naming file, line and key, for anything in the file that does not fit.
    """

    def __init__(
        self, config: Path, seed: int, changes: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.seed = seed
        data, source = load_yaml(config)

        def part(node: str) -> tuple[dict[str, Any], Source]:
            values, where = node_parameters(data, source, node)
            values = overlay(values, (changes or {}).get(node, {}))
            values.pop("use_sim_time", None)
            return values, where

        values, where = part("sim")
        kind = ROBOTS[parse(_Robot, {"robot": values.get("robot", "arm")}, where).robot]
        world = parse(kind.settings, values.get(kind.key, {}), where.below(kind.key))
        values, where = part("brain")
        architecture = parse(
            ArchitectureSettings, values["architecture"], where.below("architecture")
        )
        dt = float(values.get("dt", 0.001))
        self.brain = EmbeddedBrain(architecture, dt=dt, seed=seed, source=where)
        values, where = part("motor")
        motor = parse(MotorSettings, values, where)
        urdf = limits_from_urdf(kind.description(world))
        stage = MotorStage(motor, resolve_limits(motor.channels, motor.limits, urdf))
        values, where = part("critic")
        critic = parse(CriticSettings, values["critic"], where.below("critic"))
        self.critic = Critic(dataclasses.replace(critic, seed=seed), self.brain.contract)
        kinds = {name: item.kind for name, item in architecture.inputs.items()}
        windows = {
            name: item.sound_window()
            for name, item in architecture.inputs.items()
            if item.kind == "Audio"
        }
        self.robot = kind.make(world, seed, kinds, dt, windows)
        self.world = self.robot.world
        self.loop = Loop(self.brain, stage, self.critic, self.robot)
        self.period = architecture.gamma * dt

    def run(
        self, seconds: float, motion: str, path: int, *, learning: bool = False, still: bool = False
    ) -> Stretch:
        """Run for some robot time.

        Parameters
        ----------
        seconds : robot time.
        motion : how the ball moves: ``jumps`` or ``sines``.
        path : which of the ball's paths; the same one for the same seed.
        learning : whether the brain learns.
        still : whether the robot is held still.
        """
        brain, loop = self.brain, self.loop
        brain.set_learning(learning)
        self.world.set_motion(motion, 1000 * self.seed + path)
        if still:
            loop.motor.halt(self.world.time, self.world.time)
        else:
            loop.motor.resume(self.world.time, self.world.time)
        loop.look()
        cycles = round(seconds / self.period)
        rows = []
        spikes, refused = 0.0, 0
        for _ in range(cycles):
            step = loop.step()
            rows.append(self.robot.measures())
            spikes += step.cycle.telemetry["spikes"]
            refused += not step.answer.executed
        measures = {name: np.array([row[name] for row in rows]) for name in self.robot.measures()}
        return Stretch(measures, spikes / brain.size / (cycles * self.period), refused)

    def home(self) -> None:
        """Put the robot where it starts, at rest; what the brain plays goes on."""
        self.loop.motor.halt(self.world.time, self.world.time)
        self.robot.forget()
        self.world.reset()
        self.loop.look()

    def close(self) -> None:
        """End the run and close the renderer."""
        self.loop.close()
        self.world.close()
