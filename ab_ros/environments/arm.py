"""The demo's world: an arm with a camera on its hand, and a red ball that moves in its view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.config import setting
from ab_ros.environments.arm_model import build_arm
from ab_ros.environments.rendering import mujoco
from ab_ros.environments.target_motion import MotionMode, MotionSettings, TargetMotion
from ab_ros.environments.world import TargetWorld, WorldSettings
from ab_ros.errors import ConfigError, WorldError, one_of

ARM_URDF = Path(__file__).with_name("models") / "arm.urdf"
_NS = 1_000_000_000


@dataclass(frozen=True)
class ArmSettings(WorldSettings):
    """The world of :class:`ArmWorld`."""

    bandwidth: float = setting(
        150.0,
        doc="Natural frequency of the critically damped joint servos.",
        unit="rad/s",
        ge=10,
        le=500,
    )
    rotor_inertia: float = setting(
        0.02, doc="Reflected rotor inertia of every revolute joint.", unit="kg m2", ge=0, le=1
    )
    gripper_opening: float = setting(
        0.03, doc="Set-point of the gripper at start; 0 is closed.", unit="m", ge=0, le=0.04
    )
    target_distance: float = setting(
        1.2, doc="Distance of the ball from the camera at rest.", unit="m", ge=0.3, le=2.0
    )
    motion: MotionSettings = setting(MotionSettings, doc="How the ball moves.")

    def __post_init__(self) -> None:
        if self.bandwidth * self.timestep > 0.6:
            raise ConfigError(
                f"bandwidth: {self.bandwidth:g} rad/s is not stable with a timestep of"
                f" {self.timestep:g} s; their product must be at most 0.6"
            )


class ArmWorld(TargetWorld):
    """A MuJoCo arm that sees a red ball; advances only when told to.

    The same settings, seed and calls give the same numbers to the bit.  One thread uses a world
    (the renderer is made in the first thread that calls :meth:`render`).

    Signs follow REP 103: a positive ``base_yaw`` turns left, a positive ``wrist_pitch`` turns
    down.  The camera sits over the axis of ``base_yaw`` and close to that of ``wrist_pitch``, so
    near home +1 rad of ``base_yaw`` adds 1.02 rad to the ball's azimuth (it appears further right)
    and +1 rad of ``wrist_pitch`` adds 1.02 rad to its elevation (further up).  All
    joints are zero in the home pose.

    Parameters
    ----------
    settings : the world.
    seed : >= 0, of the ball's path and the noise that is heard.

    Attributes
    ----------
    mirror : whether the eye's image is mirrored left to right; the bearing never is.
    clipped : set-points so far that lay outside a joint's limits and were brought back to them.

    Raises
    ------
    ConfigError
        if the URDF is missing, unreadable or lacks what the world needs.
    WorldError
        if the renderer that was asked for does not work here.
    """

    settings: ArmSettings

    def __init__(self, settings: ArmSettings | None = None, seed: int = 0) -> None:
        settings = settings or ArmSettings()
        path = Path(settings.urdf) if settings.urdf else ARM_URDF
        super().__init__(settings, build_arm(path, settings), seed)
        self.clipped = 0
        self._rest: NDArray[np.float64] = np.zeros(3)
        self._selections: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self.motion = TargetMotion(settings.motion, settings.motion.mode, seed)
        self.reset(seed)

    def set_targets(self, names: Sequence[str], positions: ArrayLike) -> None:
        """Set where the servos of the named joints go: rad, or m for the gripper.

        Raises
        ------
        WorldError
            for a name that has no servo, a wrong shape, or a value that is not finite.
        """
        points = np.asarray(positions, np.float64)
        select, points = self._accept(names, points.reshape(1, -1) if points.ndim == 1 else points)
        self.data.ctrl[select] = points[-1]

    def play(self, names: Sequence[str], positions: ArrayLike, dt: float) -> None:
        """Follow one set-point per ``dt`` while advancing by exactly P * dt.

        Parameters
        ----------
        names : C joints with a servo; the others keep their set-points.
        positions : float64[P, C], rad or m, absolute; row p holds from p * dt on.
        dt : s, > 0.

        Raises
        ------
        WorldError
            as :meth:`set_targets`.
        """
        if not (math.isfinite(dt) and dt > 0):
            raise WorldError(f"play: dt must be finite and greater than 0 s, not {dt}")
        select, points = self._accept(names, np.asarray(positions, np.float64))
        start, dt_ns = self._now_ns, round(dt * _NS)
        self._now_ns += len(points) * dt_ns
        ctrl, step_ns, model, data = self.data.ctrl, self._step_ns, self.model, self.data
        step, now = mujoco.mj_step, self._physics_ns
        while now + step_ns <= self._now_ns:
            now += step_ns
            # The newest set-point that begins within the step.
            ctrl[select] = points[(now - 1 - start) // dt_ns]
            step(model, data)
        self._physics_ns = now
        ctrl[select] = points[-1]
        self._refresh()

    def reset(self, seed: int | None = None) -> None:
        """Put the arm in its home pose and restart the ball's path; the clock goes on.

        ``seed`` is the new seed of the path; None keeps the old one.
        """
        mujoco.mj_resetData(self.model, self.data)
        opening = self.settings.gripper_opening
        for joint, name in enumerate(self.joint_names):
            if self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
                self.data.qpos[self._qpos[joint]] = opening
                if name in self.actuated_names:
                    self.data.ctrl[self.actuated_names.index(name)] = opening
        # A ball of no path and an arm at rest tell where the camera rests.
        mujoco.mj_forward(self.model, self.data)
        self._rest = np.array(self.data.cam_xpos[self._eye])
        self.set_motion(self.motion.mode, self.motion.seed if seed is None else seed)

    # The ball

    def _make_motion(self, mode: str | MotionMode, seed: int) -> TargetMotion:
        return TargetMotion(self.settings.motion, mode, seed)

    def _ball_position(self, time: float) -> NDArray[np.float64]:
        azimuth, elevation = self.motion.at(time)
        level = math.cos(elevation)
        away = (level * math.cos(azimuth), -level * math.sin(azimuth), math.sin(elevation))
        position: NDArray[np.float64]
        position = self._rest + self.settings.target_distance * np.array(away)
        return position

    # Set-points

    def _accept(
        self, names: Sequence[str], points: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        select = self._selections.get(tuple(names))
        if select is None:
            select = self._selections[tuple(names)] = self._select(tuple(names))
        if points.ndim != 2 or points.shape[1] != len(names) or not len(points):
            raise WorldError(
                f"set-points must have the form [P >= 1, {len(names)}], not {list(points.shape)}"
            )
        if not np.isfinite(points).all():
            bad = names[int(np.argwhere(~np.isfinite(points))[0, 1])]
            raise WorldError(f"set-points of {bad!r} must be finite")
        allowed = self.model.actuator_ctrlrange[select]
        inside = np.clip(points, allowed[:, 0], allowed[:, 1])
        self.clipped += int(np.count_nonzero(inside != points))
        return select, inside

    def _select(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        for name in names:
            if name in self.joint_names and name not in self.actuated_names:
                raise WorldError(f"joint {name!r} mimics another; {one_of(self.actuated_names)}")
            if name not in self.actuated_names:
                raise WorldError(f"joint {name!r} is not known; {one_of(self.actuated_names)}")
        if len(set(names)) != len(names):
            raise WorldError(f"set-points name a joint twice: {', '.join(names)}")
        return np.array([self.actuated_names.index(name) for name in names], np.int64)
