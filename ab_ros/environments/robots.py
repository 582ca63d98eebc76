"""The simulated robots, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ab_ros.codec.sound_window import SoundWindow
from ab_ros.environments.arm import ARM_URDF, ArmSettings, ArmWorld
from ab_ros.environments.arm_robot import ArmRobot
from ab_ros.environments.car import CAR_URDF, CarSettings, CarWorld
from ab_ros.environments.car_robot import CarRobot
from ab_ros.environments.robot import SimulatedRobot
from ab_ros.environments.world import WorldSettings


@dataclass(frozen=True)
class RobotKind:
    """A kind of robot: its settings, where in the simulator's they stand, and how to make one."""

    key: str
    settings: type[WorldSettings]
    urdf: Path
    _make: Callable[[Any, int, Mapping[str, str], float, Mapping[str, SoundWindow]], SimulatedRobot]

    def make(
        self,
        settings: WorldSettings,
        seed: int,
        inputs: Mapping[str, str] | None = None,
        period: float = 0.001,
        windows: Mapping[str, SoundWindow] | None = None,
    ) -> SimulatedRobot:
        """Return a robot in its world.

        Parameters
        ----------
        settings : of the class that :attr:`settings` says.
        seed : of the ball's path.
        inputs : {input id: kind} of the brain, if one senses through the robot itself.
        period : s between two set-points, where those are positions.
        windows : {input id: window} of the inputs that hear.
        """
        return self._make(settings, seed, inputs or {}, period, windows or {})

    def description(self, settings: WorldSettings) -> str:
        """Return the URDF, as text."""
        path = Path(settings.urdf) if settings.urdf else self.urdf
        return path.read_text(encoding="utf-8")


ROBOTS: Mapping[str, RobotKind] = {
    "arm": RobotKind(
        "world",
        ArmSettings,
        ARM_URDF,
        lambda world, seed, inputs, period, windows: ArmRobot(
            ArmWorld(world, seed), inputs, period, windows
        ),
    ),
    "car": RobotKind(
        "car",
        CarSettings,
        CAR_URDF,
        lambda world, seed, inputs, _period, windows: CarRobot(
            CarWorld(world, seed), inputs, windows
        ),
    ),
}
