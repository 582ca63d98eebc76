"""The simulated arm as the loop's world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ab_ros.codec.sound_window import SoundWindow
from ab_ros.environments.arm import ArmWorld
from ab_ros.environments.follower import TrajectoryFollower
from ab_ros.environments.robot import SimulatedRobot, target_direction
from ab_ros.errors import WorldError, one_of
from ab_ros.learning.critic import bearing
from ab_ros.motion.stage import Command

_SLACK = 1e-6  # rad or m beyond a limit that rounding may cost
_ON_TARGET = math.radians(5.0)
_CLOSED = 0.015  # m; the gripper counts as closed below this opening


class ArmRobot(SimulatedRobot):
    """An :class:`~ab_ros.environments.arm.ArmWorld` that a brain senses and moves.

    Parameters
    ----------
    world : the arm.
    inputs, windows : as :class:`~ab_ros.environments.robot.SimulatedRobot` takes them.
    period : s between two set-points of the servos.
    """

    def __init__(
        self,
        world: ArmWorld,
        inputs: Mapping[str, str],
        period: float = 0.001,
        windows: Mapping[str, SoundWindow] | None = None,
    ) -> None:
        super().__init__(world, inputs, windows)
        self.arm = world
        self.follower = TrajectoryFollower()
        self._period = period

    def execute(self, commands: Sequence[Command], duration: float) -> None:
        """Follow the commands for ``duration`` s."""
        for command in commands:
            self.follow(command.topic, command.names, command.times, command.values)
        self.pass_time(duration)

    def follow(
        self, topic: str, names: Sequence[str], times: ArrayLike, positions: ArrayLike
    ) -> None:
        """Take a command from now on, whole or not at all.

        Parameters
        ----------
        topic, names, times, positions : as :meth:`TrajectoryFollower.follow
            <ab_ros.environments.follower.TrajectoryFollower.follow>` takes them.

        Raises
        ------
        WorldError
            if a joint is unknown or named twice, a position is beyond the joint's limits, or as
            :meth:`TrajectoryFollower.follow` does.
        """
        for name in names:
            if name not in self.arm.actuated_names:
                known = one_of(self.arm.actuated_names)
                raise WorldError(f"{topic}: joint {name!r} cannot be commanded; {known}")
        if len(set(names)) != len(names):
            raise WorldError(f"{topic}: a joint is named twice: {', '.join(names)}")
        points = np.asarray(positions, np.float64)
        if points.ndim == 2 and points.shape[1] == len(names):
            for name, column in zip(names, points.T, strict=True):
                low, high = self.arm.limits[name]
                beyond = (column < low - _SLACK) | (column > high + _SLACK)
                if beyond.any():
                    raise WorldError(
                        f"{topic}: {name} is commanded to {column[beyond][0]:g}, beyond its limits"
                        f" {low:g} to {high:g}; the command is refused"
                    )
        self.follower.follow(topic, names, times, points, self.time)

    def pass_time(self, duration: float) -> None:
        """Let time pass; the servos follow what was commanded."""
        steps = int(duration / self._period + 1e-6)
        names = self.follower.names
        if not names or steps < 1:
            self.arm.advance(duration)
            return
        # The set-point of a period is where the command is at its end: the first point of a
        # trajectory lies one period ahead.
        times = np.asarray(self.time + self._period * np.arange(1, steps + 1), np.float64)
        self.arm.play(names, self.follower.sample(times), self._period)
        rest = duration - steps * self._period
        if rest > 1e-9:
            self.arm.advance(rest)

    def forget(self) -> None:
        """Forget all commands; the servos hold."""
        self.follower.clear()

    def measures(self) -> dict[str, float]:
        """Return ``error``, the ball's angle from the optical axis, ``closed`` and ``grasp``.

        ``closed`` is 1 while the gripper is closed, ``grasp`` if it is so just when the ball is
        near; else they are 0.
        """
        angles = bearing(target_direction(*self.arm.bearing()))
        error = angles["error"] if angles else math.nan
        state = self.arm.joint_state()
        closed = state.position[state.names.index("gripper_left")] < _CLOSED
        grasp = closed == (error < _ON_TARGET)
        return {"error": error, "closed": float(closed), "grasp": float(grasp)}
