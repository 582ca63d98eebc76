"""The MuJoCo arm as a simulator: its camera shall follow a ball."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ab_ros.config import parse
from ab_ros.environments.arm import ArmSettings, ArmWorld
from ab_ros.training.schema import Message
from ab_ros.training.simulator import Simulator, Step
from ab_ros.training.versions import VersionedBrain

JOINTS = ("base_yaw", "wrist_pitch")
FAR = 0.35
"""Distance of the ball from the middle of the view, rad, that costs 1 in a step."""


class ArmFollowing(Simulator):
    """An arm with a camera on its hand, and a ball that jumps about.

    The state has the ball's ``azimuth`` and ``elevation`` in the view, rad, and the joints ``yaw``
    and ``pitch``, rad; the action changes the set-points of both joints, rad, within their limits.
    The reward of a step is minus the ball's distance from the middle of the view, in parts of
    :data:`FAR`.  Episodes have no terminal state.

    Parameters
    ----------
    brain, name : see :class:`~ab_ros.training.simulator.Simulator`.
    world : settings of the arm's world (:class:`~ab_ros.environments.arm.ArmSettings`).
    motion : how the ball moves: ``jumps`` or ``sines``.
    step : s, duration of a step.
    """

    def __init__(
        self,
        brain: VersionedBrain,
        name: str = "",
        *,
        world: dict[str, Any] | None = None,
        motion: str = "jumps",
        step: float = 0.04,
    ) -> None:
        super().__init__(brain, name)
        self.arm = ArmWorld(parse(ArmSettings, {"renderer": "rays", **(world or {})}), seed=0)
        self._motion, self._step = motion, step
        self._limits = np.array([self.arm.limits[name] for name in JOINTS])
        self._targets = np.zeros(len(JOINTS))

    def episode_start(self, parameters: Message) -> dict[str, float]:
        """Put the arm in its home pose, and let the ball begin a path of the episode's seed."""
        self.arm.reset()
        self.arm.set_motion(self._motion, self.episode_seed)
        state = self._state()
        self._targets = np.array([state["yaw"], state["pitch"]])
        return state

    def simulate(self, action: Message) -> Step:
        """Move both set-points, and let the time of a step pass."""
        moved = self._targets + np.array([action.yaw, action.pitch])
        self._targets = np.clip(moved, self._limits[:, 0], self._limits[:, 1])
        self.arm.set_targets(JOINTS, self._targets)
        self.arm.advance(self._step)
        state = self._state()
        return state, -math.hypot(state["azimuth"], state["elevation"]) / FAR, False

    def close(self) -> None:
        """End training or prediction, and free the world."""
        super().close()
        self.arm.close()

    def _state(self) -> dict[str, float]:
        azimuth, elevation = self.arm.bearing()
        joints = self.arm.joint_state()
        known = dict(zip(joints.names, joints.position.tolist(), strict=True))
        return {
            "azimuth": azimuth,
            "elevation": elevation,
            "yaw": known[JOINTS[0]],
            "pitch": known[JOINTS[1]],
        }
