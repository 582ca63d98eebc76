"""The demo's task without ROS: the same brain, motor stage, critic and arm, from the same file."""

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
from ab_ros.config import Source, load_yaml, node_parameters, overlay, parse
from ab_ros.environments.arm import ARM_URDF, ArmSettings, ArmWorld
from ab_ros.environments.arm_robot import ArmRobot
from ab_ros.learning.critic import Critic, CriticSettings, bearing
from ab_ros.loop import Loop
from ab_ros.motion import MotorSettings, MotorStage, limits_from_urdf, resolve_limits

ON_TARGET = math.radians(5.0)
CLOSED = 0.015
"""The gripper counts as closed below this opening, m."""


@dataclass(frozen=True)
class Stretch:
    """What a stretch of the task showed.

    ``errors``: float64[cycles], rad, the target's distance from the optical axis after each cycle;
    ``grasps``: bool[cycles], whether the gripper was closed just when the target was near;
    ``rate``: Hz, mean rate of all neurons; ``refused``: cycles that the motor stage refused.
    """

    errors: NDArray[np.float64]
    grasps: NDArray[np.bool_]
    rate: float
    refused: int

    @property
    def rms(self) -> float:
        """RMS error in degrees."""
        return math.degrees(math.sqrt(float(np.mean(np.square(self.errors)))))


class TrackingTask:
    """An arm that follows a ball, in lockstep, in this process.

    Parameters
    ----------
    config : a parameter file with the nodes ``sim``, ``brain``, ``critic`` and ``motor``.
    seed : of brain and ball.
    changes : {node: nested settings} that go over the file's.

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
        self.arm = ArmWorld(parse(ArmSettings, values["world"], where.below("world")), seed=seed)
        values, where = part("brain")
        architecture = parse(
            ArchitectureSettings, values["architecture"], where.below("architecture")
        )
        dt = float(values.get("dt", 0.001))
        self.brain = EmbeddedBrain(architecture, dt=dt, seed=seed, source=where)
        values, where = part("motor")
        motor = parse(MotorSettings, values, where)
        urdf = limits_from_urdf(ARM_URDF.read_text(encoding="utf-8"))
        stage = MotorStage(motor, resolve_limits(motor.channels, motor.limits, urdf))
        values, where = part("critic")
        critic = parse(CriticSettings, values["critic"], where.below("critic"))
        self.critic = Critic(dataclasses.replace(critic, seed=seed), self.brain.contract)
        kinds = {name: item.kind for name, item in architecture.inputs.items()}
        self.loop = Loop(self.brain, stage, self.critic, ArmRobot(self.arm, kinds, dt))
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
        still : whether the arm is held still.
        """
        brain, loop = self.brain, self.loop
        brain.set_learning(learning)
        self.arm.set_motion(motion, 1000 * self.seed + path)
        if still:
            loop.motor.halt(self.arm.time, self.arm.time)
        else:
            loop.motor.resume(self.arm.time, self.arm.time)
        loop.look()
        cycles = round(seconds / self.period)
        errors, grasps = np.empty(cycles), np.empty(cycles, bool)
        spikes, refused = 0.0, 0
        for index in range(cycles):
            step = loop.step()
            angles = bearing(step.after.target)
            errors[index] = angles["error"] if angles else math.nan
            closed = step.after.joints["gripper_left"] < CLOSED
            grasps[index] = closed == (errors[index] < ON_TARGET)
            spikes += step.cycle.telemetry["spikes"]
            refused += not step.answer.executed
        return Stretch(errors, grasps, spikes / brain.size / (cycles * self.period), refused)

    def close(self) -> None:
        """End the run and close the renderer."""
        self.loop.close()
        self.arm.close()
