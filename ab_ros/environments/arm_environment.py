"""The MuJoCo arm behind channels: joint targets go in, joints, hand and ball come out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ab_ros.config import setting
from ab_ros.environments.arm import ArmSettings, ArmWorld
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.primitives import minimum_jerk
from ab_ros.environments.rendering import mujoco
from ab_ros.environments.scenery import EYE
from ab_ros.environments.signals import clipped, to_vector
from ab_ros.environments.target_motion import MotionMode, MotionSettings

_PEAK = 1.875  # speed in the middle of a minimum-jerk movement, over the mean speed


def _default_world() -> ArmSettings:
    return ArmSettings(renderer="rays", motion=MotionSettings(mode="still"))


@dataclass(frozen=True)
class ArmEnvironmentSettings:
    """The arm's world, and how fast it moves."""

    world: ArmSettings = setting(_default_world, doc="The world; by default the ball stands still.")
    duration: float = setting(
        0.5, doc="Time in which a target is reached, or longer.", unit="s", ge=0.02, le=60
    )
    speed: float = setting(
        3.0, doc="Greatest speed of a joint; a far target takes longer.", unit="rad/s", gt=0, le=30
    )
    settle: float = setting(
        0.1, doc="Time that the arm then has to come to rest.", unit="s", ge=0, le=60
    )
    seed: int = setting(0, doc="Of the ball's path.", ge=0)


class MujocoArm(Environment):
    """A simulated arm with a camera on its hand.

    Motor channels: the target of every joint with a servo, rad (m for the gripper), which is
    reached along a minimum-jerk way from the last target.  What is beyond a joint's limits is
    executed as the limit.  Sensory channels: what the same joints are measured at afterwards;
    ``hand_x``, ``hand_y`` and ``hand_z``, where the camera is, m; and, unless the ball is hidden,
    its ``azimuth`` and ``elevation`` in the camera's view, rad.

    The arm stays where it has moved to; :meth:`reset` puts it in its home pose.

    Parameters
    ----------
    cfg : :class:`ArmEnvironmentSettings`, or a mapping of them.
    """

    Settings = ArmEnvironmentSettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        s: ArmEnvironmentSettings = self.cfg
        self.world = ArmWorld(s.world, s.seed)
        self._names = self.world.actuated_names
        joints = [
            Channel(name, self.world.limits[name], unit=_unit(self.world, name))
            for name in self._names
        ]
        self.m_channels = joints
        reach = _reach(self.world)
        self.s_channels = [
            *joints,
            *(Channel(f"hand_{axis}", (-reach, reach), unit="m") for axis in "xyz"),
        ]
        self._sees = self.world.motion.mode is not MotionMode.HIDDEN
        if self._sees:
            self.s_channels += [
                Channel("azimuth", (-math.pi, math.pi), unit="rad"),
                Channel("elevation", (-0.5 * math.pi, 0.5 * math.pi), unit="rad"),
            ]
        self._dt = s.world.timestep
        self._targets = np.array(self.world.data.ctrl, np.float64)

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        m_signal.update(clipped(m_signal, self.m_channels))
        targets = to_vector(m_signal, self.m_channels)
        away = targets - self._targets
        duration = max(self.cfg.duration, _PEAK * float(np.abs(away).max()) / self.cfg.speed)
        points = math.ceil(duration / self._dt - 1e-9)
        course = minimum_jerk(np.arange(1, points + 1) / points)
        self.world.play(self._names, self._targets + course[:, None] * away, self._dt)
        self.world.advance(self.cfg.settle)
        self._targets = targets
        if meta is not None:
            meta["time"] = self.world.time
        return self._sense()

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        self.world.reset(seed)
        self._targets = np.array(self.world.data.ctrl, np.float64)
        return self._sense()

    def _sense(self) -> Mapping[str, float]:
        state = self.world.joint_state()
        sensed = dict(zip(state.names, state.position.tolist(), strict=True))
        signal = {name: sensed[name] for name in self._names}
        hand = self.world.data.camera(EYE).xpos.tolist()
        signal.update(zip(("hand_x", "hand_y", "hand_z"), hand, strict=True))
        if self._sees:
            signal["azimuth"], signal["elevation"] = self.world.bearing()
        return signal

    def close(self) -> None:
        """Free the renderer."""
        super().close()
        self.world.close()


def _unit(world: ArmWorld, name: str) -> str:
    slides = world.model.joint(name).type == mujoco.mjtJoint.mjJNT_SLIDE
    return "m" if slides else "rad"


def _reach(world: ArmWorld) -> float:
    """Return how far from the origin the camera can be at most, m."""
    model = world.model
    camera = model.camera(EYE)
    far = float(np.linalg.norm(camera.pos))
    body = int(np.asarray(camera.bodyid).reshape(-1)[0])
    while body:
        far += float(np.linalg.norm(model.body_pos[body]))
        body = int(model.body_parentid[body])
    return far
