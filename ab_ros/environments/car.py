"""A car with a camera on a mast, and a red ball on the floor before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.car_model import build_car, wheel_radius
from ab_ros.environments.floor_motion import FloorMotion, FloorMotionSettings, Pose
from ab_ros.environments.rendering import mujoco
from ab_ros.environments.scenery import OPTICAL_FRAME
from ab_ros.environments.target_motion import MotionMode
from ab_ros.environments.world import TargetWorld, WorldSettings
from ab_ros.errors import ConfigError, WorldError
from ab_ros.motion import limits_from_urdf

CAR_URDF = Path(__file__).with_name("models") / "car.urdf"
_NS = 1_000_000_000
_SETTLED = 0.3  # s, for the wheels to come to rest on the floor


@dataclass(frozen=True)
class CarSettings(WorldSettings):
    """The world of :class:`CarWorld`."""

    left_wheel: str = setting("left_wheel_joint", doc="Joint of the left wheel.")
    right_wheel: str = setting("right_wheel_joint", doc="Joint of the right wheel.")
    wheel_separation: float = setting(
        0.0,
        doc="Distance of the wheels, as the drive assumes it; 0: the URDF's.",
        unit="m",
        ge=0,
        le=5,
    )
    wheel_radius: float = setting(
        0.0,
        doc="Radius of the wheels, as the drive assumes it; 0: the URDF's.",
        unit="m",
        ge=0,
        le=1,
    )
    bandwidth: float = setting(
        150.0, doc="How fast the wheels' drives come to a speed.", unit="rad/s", ge=5, le=300
    )
    rotor_inertia: float = setting(
        0.002, doc="Reflected rotor inertia of either wheel.", unit="kg m2", ge=0, le=1
    )
    cmd_timeout: float = setting(
        0.5, doc="The car stops when no command has come for so long.", unit="s", gt=0, le=60
    )
    target_radius: float = setting(0.12, doc="Radius of the ball.", unit="m", ge=0.01, le=0.3)
    motion: FloorMotionSettings = setting(FloorMotionSettings, doc="How the ball moves.")


@dataclass(frozen=True)
class Odometry:
    """What the wheels tell of the way: pose, speed ahead (m/s) and turning to the left (rad/s)."""

    pose: Pose
    linear: float
    angular: float


class CarWorld(TargetWorld):
    """A MuJoCo car that sees a red ball; advances only when told to.

    Its wheels hold the speeds of the newest command, by their drives and the friction of the
    floor; the ball stands in nobody's way.  Odometry is what the wheels' angles say: it drifts
    where they slip.

    Parameters
    ----------
    settings : the world.
    seed : >= 0, of the ball's path and the noise that is heard.

    Attributes
    ----------
    separation, radius : m, of the wheels, as the drive assumes them.
    distance_to_keep : m, where the camera's optical axis meets the height of the ball: there the
        ball is in the middle of the image.
    limited : commands so far that the wheels are too slow for.

    Raises
    ------
    ConfigError
        if the URDF is missing, unreadable or lacks what the world needs.
    WorldError
        if the renderer that was asked for does not work here.
    """

    settings: CarSettings
    motion: FloorMotion

    def __init__(self, settings: CarSettings | None = None, seed: int = 0) -> None:
        settings = settings or CarSettings()
        path = Path(settings.urdf) if settings.urdf else CAR_URDF
        super().__init__(settings, build_car(path, settings), seed)
        self.limited = 0
        kinds = mujoco.mjtObj
        self._camera = mujoco.mj_name2id(self.model, kinds.mjOBJ_BODY.value, OPTICAL_FRAME)
        names = (settings.left_wheel, settings.right_wheel)
        wheels = [mujoco.mj_name2id(self.model, kinds.mjOBJ_JOINT.value, name) for name in names]
        self._wheel_angle = np.array([self.model.jnt_qposadr[joint] for joint in wheels])
        self._wheel_speed = np.array([self.model.jnt_dofadr[joint] for joint in wheels])
        self.separation = settings.wheel_separation or self._measured_separation(wheels)
        self.radius = settings.wheel_radius or wheel_radius(self.model, wheels[0])
        limits = limits_from_urdf(path.read_text(encoding="utf-8"))
        self._fastest = min(limits[name].velocity for name in names)
        self._deadline_ns = 0
        self._counted: NDArray[np.float64] = np.zeros(2)
        self._odometry = Pose(0.0, 0.0, 0.0)
        self.distance_to_keep = math.nan
        self.motion = FloorMotion(settings.motion, settings.motion.mode, seed, 1.0)
        self.reset(seed)

    def _measured_separation(self, wheels: list[int]) -> float:
        mujoco.mj_kinematics(self.model, self.data)
        left, right = (self.data.xanchor[joint] for joint in wheels)
        return float(np.linalg.norm(left - right))

    # Driving

    @property
    def top_speeds(self) -> tuple[float, float]:
        """How fast the wheels allow it to go straight ahead, m/s, and to turn in place, rad/s."""
        ahead = self._fastest * self.radius
        return ahead, 2.0 * ahead / self.separation

    @property
    def commanded(self) -> tuple[float, float]:
        """The speeds that the wheels are driven with: m/s ahead and rad/s to the left."""
        left, right = (float(speed) * self.radius for speed in self.data.ctrl)
        return (left + right) / 2, (right - left) / self.separation

    def drive(self, linear: float, angular: float) -> None:
        """Set the car's speed: m/s ahead and rad/s to the left, until ``cmd_timeout`` is over.

        What is too fast for a wheel is slowed down along the same arc.

        Raises
        ------
        WorldError
            for a speed that is not finite.
        """
        if not (math.isfinite(linear) and math.isfinite(angular)):
            raise WorldError(f"drive: speeds must be finite, not {linear} m/s and {angular} rad/s")
        turn = angular * self.separation / 2
        wheels = np.array((linear - turn, linear + turn)) / self.radius
        fastest = float(np.abs(wheels).max())
        if fastest > self._fastest:
            self.limited += 1
            wheels *= self._fastest / fastest
        self.data.ctrl[:] = wheels
        self._deadline_ns = self._now_ns + round(self.settings.cmd_timeout * _NS)

    def _run_physics(self, steps: int) -> None:
        model, data = self.model, self.data
        for _ in range(steps):
            if self._physics_ns >= self._deadline_ns:
                data.ctrl[:] = 0.0
            mujoco.mj_step(model, data)
            self._physics_ns += self._step_ns
            self._count_wheels()

    def _count_wheels(self) -> None:
        """Move the odometry by how far the wheels have turned, along an arc."""
        angles = self.data.qpos[self._wheel_angle]
        left, right = (angles - self._counted) * self.radius
        self._counted = angles
        way, turn = (left + right) / 2, (right - left) / self.separation
        pose = self._odometry
        middle = replace(pose, heading=pose.heading + turn / 2)
        x, y = middle.ahead(way, 0.0)
        self._odometry = Pose(float(x), float(y), _wrapped(float(pose.heading + turn)))

    def reset(self, seed: int | None = None) -> None:
        """Put the car where it starts, at rest, and restart the ball's path; the clock goes on.

        ``seed`` is the new seed of the path; None keeps the old one.
        """
        mujoco.mj_resetData(self.model, self.data)
        self._deadline_ns = 0
        mujoco.mj_step(self.model, self.data, round(_SETTLED / self.settings.timestep))
        self.data.time = 0.0
        mujoco.mj_forward(self.model, self.data)
        self._counted = self.data.qpos[self._wheel_angle].copy()
        self._odometry = Pose(0.0, 0.0, 0.0)
        self.distance_to_keep = self._axis_meets_ball()
        self.set_motion(self.motion.mode, self.motion.seed if seed is None else seed)

    def _axis_meets_ball(self) -> float:
        axis = self.data.xmat[self._camera].reshape(3, 3)[:, 2]
        drop = float(self.data.xpos[self._camera][2]) - self.settings.target_radius
        if drop <= 0.0 or axis[2] > -0.02:
            raise ConfigError(
                "urdf: the camera must stand higher than the middle of the ball and look down: the"
                " distance to keep is where the ball is in the middle of its image"
            )
        return drop * math.hypot(axis[0], axis[1]) / -float(axis[2])

    # Where everything is

    def odometry(self) -> Odometry:
        """Return what the wheels tell, since the last reset."""
        left, right = (float(speed) * self.radius for speed in self.data.qvel[self._wheel_speed])
        return Odometry(self._odometry, (left + right) / 2, (right - left) / self.separation)

    def pose(self) -> Pose:
        """Return where the middle between the wheels truly is."""
        x, y = self.data.qpos[:2]
        forward = self.data.xmat[self._camera].reshape(3, 3)[:, 2]
        return Pose(float(x), float(y), math.atan2(forward[1], forward[0]))

    def target(self) -> tuple[float, float]:
        """Return (azimuth, distance) of the ball over the floor, from the camera.

        Azimuth is in rad to the right of straight ahead, distance in m; NaN while it is hidden.
        """
        if self.motion.hidden:
            return math.nan, math.nan
        ball, eye = self.data.mocap_pos[self._ball], self.data.xpos[self._camera]
        x, y = float(ball[0] - eye[0]), float(ball[1] - eye[1])
        return _wrapped(self.pose().heading - math.atan2(y, x)), math.hypot(x, y)

    def ball(self) -> tuple[float, float]:
        """Return (x, y) of the ball, m; far off while it is hidden."""
        x, y = self.data.mocap_pos[self._ball][:2]
        return float(x), float(y)

    def _make_motion(self, mode: str | MotionMode, seed: int) -> FloorMotion:
        return FloorMotion(self.settings.motion, mode, seed, self.distance_to_keep)

    def _ball_position(self, time: float) -> NDArray[np.float64]:
        if self.motion.needs_pose(time):
            mujoco.mj_kinematics(self.model, self.data)
            eye = self.data.xpos[self._camera]
            self.motion.stand(Pose(float(eye[0]), float(eye[1]), self.pose().heading), time)
        return np.array((*self.motion.place(time), self.settings.target_radius))


def _wrapped(angle: float) -> float:
    """Return an angle within [-pi, pi]."""
    return math.remainder(angle, 2 * math.pi)
