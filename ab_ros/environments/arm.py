"""The demo's world: an arm with a camera on its hand, and a red ball that moves in its view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.config import setting
from ab_ros.environments.rendering import BACKENDS, Renderer, choose_backend, make_renderer, mujoco
from ab_ros.environments.scenery import EYE, OVERVIEW, TARGET, TARGET_SHADOW, build_model
from ab_ros.environments.target_motion import MotionMode, MotionSettings, TargetMotion
from ab_ros.errors import ConfigError, WorldError, one_of

ARM_URDF = Path(__file__).with_name("models") / "arm.urdf"
CAMERA_FRAME = "camera_optical_frame"
_NS = 1_000_000_000


@dataclass(frozen=True)
class ArmSettings:
    """The world of :class:`ArmWorld`."""

    urdf: str = setting("", doc="URDF file of the arm; empty for the package's own.")
    timestep: float = setting(0.002, doc="Step of the physics.", unit="s", ge=1e-4, le=0.01)
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
    renderer: str = setting(
        "auto",
        doc="How cameras are drawn; auto takes MUJOCO_GL, else the first that works.",
        one_of=("auto", *BACKENDS),
    )
    ray_step: int = setting(2, doc="Pixels between two rays of the ray renderer.", ge=1, le=8)
    image_width: int = setting(
        320,
        doc="Width of the eye's image; at half size OpenGL draws twice as fast.",
        unit="px",
        ge=16,
        le=1920,
    )
    image_height: int = setting(240, doc="Height of the eye's image.", unit="px", ge=16, le=1920)
    horizontal_fov: float = setting(
        95.0, doc="Horizontal field of view of the eye.", unit="deg", ge=20, le=150
    )
    overview_width: int = setting(
        320, doc="Width of the overview image.", unit="px", ge=16, le=1920
    )
    overview_height: int = setting(
        240, doc="Height of the overview image.", unit="px", ge=16, le=1920
    )
    overview_smoothing: int = setting(
        2, doc="The overview is drawn this many times as large and averaged.", ge=1, le=4
    )
    target_distance: float = setting(
        1.2, doc="Distance of the ball from the camera at rest.", unit="m", ge=0.3, le=2.0
    )
    target_radius: float = setting(0.06, doc="Radius of the ball.", unit="m", ge=0.01, le=0.3)
    mirror: bool = setting(False, doc="Whether the eye's image is mirrored at start.", live=True)
    motion: MotionSettings = setting(MotionSettings, doc="How the ball moves.")

    def __post_init__(self) -> None:
        if self.bandwidth * self.timestep > 0.6:
            raise ConfigError(
                f"bandwidth: {self.bandwidth:g} rad/s is not stable with a timestep of"
                f" {self.timestep:g} s; their product must be at most 0.6"
            )


@dataclass(frozen=True)
class JointState:
    """Measured joints: position rad or m, velocity per s, effort Nm or N; float64[J] each."""

    names: tuple[str, ...]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    effort: NDArray[np.float64]


@dataclass(frozen=True)
class CameraInfo:
    """A pinhole camera without distortion; focal lengths and centre in px."""

    frame: str
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def k(self) -> tuple[float, ...]:
        """The 3x3 intrinsic matrix, row by row, as in sensor_msgs/CameraInfo."""
        return (self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0)

    @property
    def p(self) -> tuple[float, ...]:
        """The 3x4 projection matrix, row by row."""
        return (self.fx, 0.0, self.cx, 0.0, 0.0, self.fy, self.cy, 0.0, 0.0, 0.0, 1.0, 0.0)


class ArmWorld:
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
    seed : >= 0, of the ball's path.

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

    def __init__(self, settings: ArmSettings | None = None, seed: int = 0) -> None:
        self.settings = settings = settings or ArmSettings()
        self.renderer_backend = choose_backend(settings.renderer)
        self.mirror = settings.mirror
        self.clipped = 0
        path = Path(settings.urdf) if settings.urdf else ARM_URDF
        self.model: Any = build_model(path, settings)
        self.data: Any = mujoco.MjData(self.model)
        self._renderer: Renderer | None = None
        self._closed = False
        self._step_ns = round(settings.timestep * _NS)
        self._now_ns = self._physics_ns = self._motion_ns = 0
        self._index_model()
        self.motion = TargetMotion(settings.motion, settings.motion.mode, seed)
        self.reset(seed)

    def _index_model(self) -> None:
        model = self.model
        kinds = mujoco.mjtObj
        joints = range(model.njnt)
        self.joint_names = tuple(
            mujoco.mj_id2name(model, kinds.mjOBJ_JOINT.value, joint) for joint in joints
        )
        self.actuated_names = tuple(
            mujoco.mj_id2name(model, kinds.mjOBJ_ACTUATOR.value, actuator)
            for actuator in range(model.nu)
        )
        self.limits = {
            name: (float(model.jnt_range[joint, 0]), float(model.jnt_range[joint, 1]))
            for joint, name in enumerate(self.joint_names)
        }
        self._qpos = np.array([model.jnt_qposadr[joint] for joint in joints])
        self._qvel = np.array([model.jnt_dofadr[joint] for joint in joints])
        self._eye = mujoco.mj_name2id(model, kinds.mjOBJ_CAMERA.value, EYE)
        self._overview = mujoco.mj_name2id(model, kinds.mjOBJ_CAMERA.value, OVERVIEW)
        body = mujoco.mj_name2id(model, kinds.mjOBJ_BODY.value, TARGET)
        self._ball = int(model.body_mocapid[body])
        body = mujoco.mj_name2id(model, kinds.mjOBJ_BODY.value, TARGET_SHADOW)
        self._ball_shadow = int(model.body_mocapid[body])
        self._rest: NDArray[np.float64] = np.zeros(3)
        self._selections: dict[tuple[str, ...], NDArray[np.int64]] = {}

    # Time

    @property
    def time(self) -> float:
        """Simulated time in s: the sum of all advances; it never goes back."""
        return self._now_ns / _NS

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` >= 0 pass.

        Physics runs in whole timesteps; what is left over is carried to the next call, so that the
        clock shows exactly what was asked for.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise WorldError(f"advance: seconds must be finite and at least 0, not {seconds}")
        self._now_ns += round(seconds * _NS)
        steps = (self._now_ns - self._physics_ns) // self._step_ns
        if steps:
            mujoco.mj_step(self.model, self.data, steps)
            self._physics_ns += steps * self._step_ns
        self._refresh()

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

    def _refresh(self) -> None:
        """Bring the ball and the cameras up to date with the clock and the joints."""
        warnings = self.data.warning
        for kind in ("BADQPOS", "BADQVEL", "BADQACC"):
            if warnings[getattr(mujoco.mjtWarning, f"mjWARN_{kind}")].number:
                raise WorldError(
                    f"physics became unstable ({kind}) at {self.time:.3f} s; reset the world, and"
                    f" use a timestep below {self.settings.timestep:g} s or a lower bandwidth"
                )
        self._place_ball()
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    # The ball

    def set_motion(self, mode: str | MotionMode, seed: int) -> None:
        """Start a path of the ball (``jumps``, ``sines``, ``still`` or ``hidden``) from now on."""
        self.motion = TargetMotion(self.settings.motion, mode, seed)
        self._motion_ns = self._now_ns
        self._refresh()

    def _place_ball(self) -> None:
        position = self.data.mocap_pos[self._ball]
        if self.motion.hidden:
            position[:] = self.data.mocap_pos[self._ball_shadow] = (0.0, 0.0, -50.0)
            return
        azimuth, elevation = self.motion.direction((self._now_ns - self._motion_ns) / _NS)
        level = math.cos(elevation)
        away = (level * math.cos(azimuth), -level * math.sin(azimuth), math.sin(elevation))
        position[:] = self._rest + self.settings.target_distance * np.array(away)
        self.data.mocap_pos[self._ball_shadow] = (position[0], position[1], 0.0)

    def bearing(self) -> tuple[float, float]:
        """Return (azimuth, elevation) in rad of the ball, seen along the camera's optical axis.

        Azimuth is positive to the right of the (unmirrored) image, elevation positive up.  Both are
        NaN while the ball is hidden.
        """
        if self.motion.hidden:
            return math.nan, math.nan
        away = self.data.mocap_pos[self._ball] - self.data.cam_xpos[self._eye]
        right, up, back = away @ self.data.cam_xmat[self._eye].reshape(3, 3)
        return math.atan2(right, -back), math.atan2(up, math.hypot(right, back))

    @property
    def visible(self) -> bool:
        """Whether the ball's centre is in the eye's image (something may still stand before it)."""
        azimuth, elevation = self.bearing()
        if not abs(azimuth) < math.pi / 2:
            return False
        info = self.camera_info()
        return (
            abs(math.tan(azimuth)) * info.fx < info.cx
            and abs(math.tan(elevation)) / math.cos(azimuth) * info.fy < info.cy
        )

    # Sensors

    def joint_state(self) -> JointState:
        """Return the measured state of all joints, the mimic finger included."""
        data = self.data
        return JointState(
            self.joint_names,
            data.qpos[self._qpos],
            data.qvel[self._qvel],
            data.qfrc_actuator[self._qvel],
        )

    def camera_info(self) -> CameraInfo:
        """Return the eye's intrinsics; square pixels, the centre in the middle."""
        width, height = self.settings.image_width, self.settings.image_height
        focal = width / 2 / math.tan(math.radians(self.settings.horizontal_fov) / 2)
        return CameraInfo(CAMERA_FRAME, width, height, focal, focal, width / 2, height / 2)

    def render(self, camera: str = EYE) -> NDArray[np.uint8]:
        """Return what a camera sees now: uint8[H, W, 3] RGB.

        Parameters
        ----------
        camera : ``eye`` (on the hand; mirrored while :attr:`mirror` is set) or ``overview``.

        Raises
        ------
        WorldError
            for another camera, after :meth:`close`, or in a thread other than the first.
        """
        if camera not in (EYE, OVERVIEW):
            raise WorldError(f"camera {camera!r} is not known; {one_of((EYE, OVERVIEW))}")
        if self._closed:
            raise WorldError("render: the world is closed")
        if self._renderer is None:
            self._renderer = make_renderer(
                self.model, self.renderer_backend, ray_step=self.settings.ray_step
            )
        settings = self.settings
        if camera == EYE:
            image = self._renderer.render(
                self.data, self._eye, settings.image_width, settings.image_height
            )
            return np.ascontiguousarray(image[:, ::-1]) if self.mirror else image
        width, height, by = (
            settings.overview_width,
            settings.overview_height,
            settings.overview_smoothing,
        )
        large = self._renderer.render(self.data, self._overview, width * by, height * by)
        if by == 1:
            return large
        smooth = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(smooth, np.uint8)

    def close(self) -> None:
        """Free the renderer; call it in the thread that rendered."""
        self._closed = True
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self) -> ArmWorld:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
