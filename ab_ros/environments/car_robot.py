"""The simulated car as the loop's world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ab_ros.codec.sound_window import SoundWindow
from ab_ros.environments.car import CarWorld
from ab_ros.environments.robot import SimulatedRobot
from ab_ros.errors import WorldError, one_of
from ab_ros.motion.stage import Command

CHANNELS = ("linear_x", "angular_z")
"""Parts of a twist that a car can follow."""


class CarRobot(SimulatedRobot):
    """A :class:`~ab_ros.environments.car.CarWorld` that a brain senses and moves.

    Parameters
    ----------
    world : the car.
    inputs, windows : as :class:`~ab_ros.environments.robot.SimulatedRobot` takes them.
    """

    def __init__(
        self,
        world: CarWorld,
        inputs: Mapping[str, str],
        windows: Mapping[str, SoundWindow] | None = None,
    ) -> None:
        super().__init__(world, inputs, windows)
        self.car = world

    def execute(self, commands: Sequence[Command], duration: float) -> None:
        """Follow the commands for ``duration`` s.

        As in lockstep over ROS, the last point of the cycle holds for all of it.
        """
        for command in commands:
            last = len(command.times) if command.stop else command.cycle_points
            point = command.values[max(0, last - 1)].tolist()
            self.follow(command.topic, dict(zip(command.names, point, strict=True)))
        self.pass_time(duration)

    def follow(self, topic: str, twist: Mapping[str, float]) -> None:
        """Drive at a speed from now on.

        Parameters
        ----------
        topic : where the command came from.
        twist : {``linear_x`` … ``angular_z``: m/s or rad/s}; what is left out is 0.

        Raises
        ------
        WorldError
            if a speed is not finite, or a car cannot go that way.
        """
        for channel, speed in twist.items():
            if channel not in CHANNELS and speed != 0.0:
                raise WorldError(
                    f"{topic}: {channel} is {speed:g}, but a car on two wheels cannot go that way;"
                    f" {one_of(CHANNELS)}"
                )
            if not math.isfinite(speed):
                raise WorldError(f"{topic}: {channel} must be finite, not {speed}")
        self.car.drive(twist.get("linear_x", 0.0), twist.get("angular_z", 0.0))

    def pass_time(self, duration: float) -> None:
        """Let time pass; the car drives on, but stops where commands fail to come."""
        self.car.advance(duration)

    def forget(self) -> None:
        """Forget all commands: stop."""
        self.car.drive(0.0, 0.0)

    def measures(self) -> dict[str, float]:
        """Return ``error``, rad, and ``distance``, m: how far the ball is from where it shall be.

        ``error`` is how far it is to the right of straight ahead, ``distance`` how much farther it
        is than the distance to keep; ``seen`` is 1 while it is in the image, else 0; ``x``, ``y``,
        ``ball_x`` and ``ball_y`` are the places of the two, m.
        """
        (azimuth, distance), pose = self.car.target(), self.car.pose()
        ball_x, ball_y = self.car.ball()
        return {
            "error": azimuth,
            "distance": distance - self.car.distance_to_keep,
            "seen": float(self.car.visible),
            "x": pose.x,
            "y": pose.y,
            "ball_x": ball_x,
            "ball_y": ball_y,
        }
