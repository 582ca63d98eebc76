"""The simulated arm as the loop's world: sensors out, commands in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ab_ros.environments.arm import ArmWorld
from ab_ros.environments.follower import TrajectoryFollower
from ab_ros.errors import WorldError, one_of
from ab_ros.learning.critic import Snapshot
from ab_ros.motion.stage import Command
from ab_ros.values import Need, Observation

_SLACK = 1e-6  # rad or m beyond a limit that rounding may cost


class ArmRobot:
    """An :class:`~ab_ros.environments.arm.ArmWorld` that a brain senses and moves.

    Parameters
    ----------
    world : the arm.
    inputs : {input id: kind}: what the brain's inputs are shown, an image or the joint states.
    period : s between two set-points of the servos.
    """

    def __init__(self, world: ArmWorld, inputs: Mapping[str, str], period: float = 0.001) -> None:
        self.arm = world
        self.follower = TrajectoryFollower()
        self._inputs = dict(inputs)
        self._period = period

    @property
    def time(self) -> float:
        """Simulated time, s."""
        return self.arm.time

    def sense(self, need: Need) -> Iterable[Observation]:
        """Return a fresh sample for each input that the brain needs."""
        for name in need.inputs:
            if self._inputs[name] == "Image":
                yield Observation(name, "Image", self.time, "rgb8", self.arm.render())
            else:
                state = self.arm.joint_state()
                table = np.stack((state.position, state.velocity, state.effort))
                meta = {"names": state.names}
                yield Observation(name, "Proprioception", self.time, "joint_state", table, meta)

    def snapshot(self) -> Snapshot:
        """Return joints and the ball's true direction."""
        state = self.arm.joint_state()
        joints = dict(zip(state.names, state.position.tolist(), strict=True))
        return Snapshot(self.time, joints, target_direction(*self.arm.bearing()))

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


def target_direction(azimuth: float, elevation: float) -> tuple[float, float, float] | None:
    """Return the unit vector of a bearing (rad, to the right and up) in the optical frame.

    The frame has x to the right, y down and z forward (REP 103); None for a bearing of NaN.
    """
    if math.isnan(azimuth) or math.isnan(elevation):
        return None
    level = math.cos(elevation)
    return (level * math.sin(azimuth), -math.sin(elevation), level * math.cos(azimuth))
