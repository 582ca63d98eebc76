"""A simulated world in which a robot's camera sees a red target: what all robots share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.microphone import Microphone, MicrophoneSettings
from ab_ros.environments.rendering import BACKENDS, Renderer, choose_backend, make_renderer, mujoco
from ab_ros.environments.scenery import EYE, OVERVIEW, TARGET, TARGET_SHADOW
from ab_ros.environments.target_motion import MotionMode, ScriptedPath
from ab_ros.errors import WorldError, one_of
from ab_ros.values import Observation

CAMERA_FRAME = "camera_optical_frame"
_NS = 1_000_000_000
_AWAY = (0.0, 0.0, -50.0)  # where a hidden target is

W = TypeVar("W", bound="TargetWorld")


@dataclass(frozen=True)
class WorldSettings:
    """Physics, cameras, microphone and target of a simulated world."""

    urdf: str = setting("", doc="URDF file of the robot; empty for the package's own.")
    timestep: float = setting(0.002, doc="Step of the physics.", unit="s", ge=1e-4, le=0.01)
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
    target_radius: float = setting(0.06, doc="Radius of the ball.", unit="m", ge=0.01, le=0.3)
    mirror: bool = setting(False, doc="Whether the eye's image is mirrored at start.", live=True)
    microphone: MicrophoneSettings = setting(MicrophoneSettings, doc="What the robot hears.")


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


class TargetWorld(ABC):
    """A robot in MuJoCo that sees a red ball; advances only when told to.

    The same settings, seed and calls give the same numbers to the bit.  One thread uses a world
    (the renderer is made in the first thread that calls :meth:`render`).

    Parameters
    ----------
    settings : physics, cameras and microphone.
    model : the compiled MjModel.
    seed : >= 0, of the microphone's noise.

    Attributes
    ----------
    motion : the target's path.
    mirror : whether the eye's image is mirrored left to right; the bearing never is.
    microphone : what hears a tone when the ball appears; :meth:`listen` records it.

    Raises
    ------
    WorldError
        if the renderer that was asked for does not work here.
    """

    settings: WorldSettings
    motion: ScriptedPath

    def __init__(self, settings: WorldSettings, model: Any, seed: int = 0) -> None:
        self.settings = settings
        self.renderer_backend = choose_backend(settings.renderer)
        self.mirror = settings.mirror
        self.microphone = Microphone(settings.microphone, seed)
        self.model = model
        self.data: Any = mujoco.MjData(model)
        self._renderer: Renderer | None = None
        self._closed = False
        self._step_ns = round(settings.timestep * _NS)
        self._now_ns = self._physics_ns = self._motion_ns = 0
        self._index_model()

    def _index_model(self) -> None:
        model = self.model
        kinds = mujoco.mjtObj
        # A robot on wheels also has a joint with the world, which is none of its own.
        free = mujoco.mjtJoint.mjJNT_FREE.value
        joints = [joint for joint in range(model.njnt) if int(model.jnt_type[joint]) != free]
        self.joint_names = tuple(
            mujoco.mj_id2name(model, kinds.mjOBJ_JOINT.value, joint) for joint in joints
        )
        self.actuated_names = tuple(
            mujoco.mj_id2name(model, kinds.mjOBJ_ACTUATOR.value, actuator)
            for actuator in range(model.nu)
        )
        self.limits = {
            name: (float(model.jnt_range[joint, 0]), float(model.jnt_range[joint, 1]))
            for name, joint in zip(self.joint_names, joints, strict=True)
        }
        self._qpos = np.array([model.jnt_qposadr[joint] for joint in joints])
        self._qvel = np.array([model.jnt_dofadr[joint] for joint in joints])
        self._eye = mujoco.mj_name2id(model, kinds.mjOBJ_CAMERA.value, EYE)
        self._overview = mujoco.mj_name2id(model, kinds.mjOBJ_CAMERA.value, OVERVIEW)
        body = mujoco.mj_name2id(model, kinds.mjOBJ_BODY.value, TARGET)
        self._ball = int(model.body_mocapid[body])
        body = mujoco.mj_name2id(model, kinds.mjOBJ_BODY.value, TARGET_SHADOW)
        self._ball_shadow = int(model.body_mocapid[body])

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
            self._run_physics(steps)
        self._refresh()

    def _run_physics(self, steps: int) -> None:
        mujoco.mj_step(self.model, self.data, steps)
        self._physics_ns += steps * self._step_ns

    @abstractmethod
    def reset(self, seed: int | None = None) -> None:
        """Put the robot where it starts and restart the ball's path; the clock goes on.

        ``seed`` is the new seed of the path; None keeps the old one.
        """

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
        self.motion = self._make_motion(mode, seed)
        self._motion_ns = self._now_ns
        self._refresh()

    @abstractmethod
    def _make_motion(self, mode: str | MotionMode, seed: int) -> ScriptedPath:
        """Return a path of the ball."""

    @abstractmethod
    def _ball_position(self, time: float) -> NDArray[np.float64]:
        """Return where the ball is, m, at ``time`` s since its motion began."""

    def _place_ball(self) -> None:
        position, shadow = (self.data.mocap_pos[i] for i in (self._ball, self._ball_shadow))
        if self.motion.hidden:
            position[:] = shadow[:] = _AWAY
            return
        position[:] = self._ball_position((self._now_ns - self._motion_ns) / _NS)
        shadow[:] = (position[0], position[1], 0.0)

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

    def listen(self) -> Observation:
        """Return the sound since the last call, or the same chunk again if no time has passed.

        It is as :meth:`Microphone.record <ab_ros.environments.microphone.Microphone.record>` says.
        """
        return self.microphone.record(self._now_ns, self.motion, self._motion_ns)

    def close(self) -> None:
        """Free the renderer; call it in the thread that rendered."""
        self._closed = True
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self: W) -> W:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
