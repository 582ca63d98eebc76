"""A simulated robot as the loop's world: sensors out, commands in."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ab_ros.codec.sound_window import SoundWindow
from ab_ros.environments.world import TargetWorld
from ab_ros.learning.critic import Snapshot
from ab_ros.motion.stage import Command
from ab_ros.values import Need, Observation


class SimulatedRobot(ABC):
    """A robot in a :class:`~ab_ros.environments.world.TargetWorld` that a brain senses and moves.

    Parameters
    ----------
    world : the robot and its surroundings.
    inputs : {input id: kind}: what the brain's inputs are shown: an image, the joint states, or the
        newest sound.
    windows : {input id: window} of the inputs that hear; one of half a second where none is given.
    """

    def __init__(
        self,
        world: TargetWorld,
        inputs: Mapping[str, str],
        windows: Mapping[str, SoundWindow] | None = None,
    ) -> None:
        self.world = world
        self._inputs = dict(inputs)
        hearing = (name for name, kind in inputs.items() if kind == "Audio")
        self._windows = {name: (windows or {}).get(name) or SoundWindow() for name in hearing}

    @property
    def time(self) -> float:
        """Simulated time, s."""
        return self.world.time

    def sense(self, need: Need) -> Iterable[Observation]:
        """Return a fresh sample for each input that the brain needs."""
        for name in need.inputs:
            if name in self._windows:
                yield self._windows[name].take(dataclasses.replace(self.world.listen(), id=name))
            elif self._inputs[name] == "Image":
                yield Observation(name, "Image", self.time, "rgb8", self.world.render())
            else:
                state = self.world.joint_state()
                table = np.stack((state.position, state.velocity, state.effort))
                meta = {"names": state.names}
                yield Observation(name, "Proprioception", self.time, "joint_state", table, meta)

    def snapshot(self) -> Snapshot:
        """Return joints and the ball's true direction."""
        state = self.world.joint_state()
        joints = dict(zip(state.names, state.position.tolist(), strict=True))
        velocities = dict(zip(state.names, state.velocity.tolist(), strict=True))
        return Snapshot(self.time, joints, target_direction(*self.world.bearing()), velocities)

    @abstractmethod
    def execute(self, commands: Sequence[Command], duration: float) -> None:
        """Follow the commands for ``duration`` s."""

    @abstractmethod
    def pass_time(self, duration: float) -> None:
        """Let time pass, in which the robot does what was commanded last."""

    @abstractmethod
    def forget(self) -> None:
        """Forget all commands."""

    @abstractmethod
    def measures(self) -> dict[str, float]:
        """Return how well it does now; ``error`` is how far off the target is, rad."""


def target_direction(azimuth: float, elevation: float) -> tuple[float, float, float] | None:
    """Return the unit vector of a bearing (rad, to the right and up) in the optical frame.

    The frame has x to the right, y down and z forward (REP 103); None for a bearing of NaN.
    """
    if math.isnan(azimuth) or math.isnan(elevation):
        return None
    level = math.cos(elevation)
    return (level * math.sin(azimuth), -math.sin(elevation), level * math.cos(azimuth))
