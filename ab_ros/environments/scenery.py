"""What every simulated robot stands in: floor, sky, posts, a red ball, and cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ab_ros.environments.rendering import (
    FLOOR,
    FLOOR_DARK,
    FLOOR_LIGHT,
    FLOOR_TILE,
    LIGHT_AMBIENT,
    LIGHT_DIFFUSE,
    LIGHT_DIRECTION,
    SKY_BOTTOM,
    SKY_TOP,
    VISIBLE_GROUP,
    mujoco,
)
from ab_ros.errors import ConfigError

if TYPE_CHECKING:
    from ab_ros.environments.world import WorldSettings

EYE = "eye"
OVERVIEW = "overview"
TARGET = "target"
TARGET_SHADOW = "target_shadow"
OPTICAL_FRAME = "camera_optical_frame"
BALL_COLOUR = (0.88, 0.07, 0.06)
SHADOW_COLOUR = (0.50, 0.55, 0.61)
# Nothing but the ball may be redder than it is green and blue: that is what the eye looks for.
_POSTS = (
    # azimuth deg (right +), distance m, half width m, height m, colour
    (-63, 3.0, 0.22, 1.10, (0.36, 0.60, 0.80)),
    (-41, 3.6, 0.20, 1.75, (0.55, 0.76, 0.78)),
    (-21, 4.3, 0.26, 1.25, (0.47, 0.53, 0.76)),
    (4, 4.8, 0.20, 1.60, (0.66, 0.78, 0.80)),
    (24, 3.9, 0.24, 1.05, (0.24, 0.66, 0.62)),
    (43, 3.3, 0.18, 1.50, (0.45, 0.58, 0.80)),
    (64, 3.1, 0.25, 0.90, (0.58, 0.74, 0.66)),
)


@dataclass(frozen=True)
class View:
    """Where the overview camera stands and what it looks at, m."""

    place: tuple[float, float, float]
    towards: tuple[float, float, float]


def read_robot(urdf: Path, settings: WorldSettings) -> Any:
    """Return the MjSpec of a URDF's robot, with the physics that the settings ask for.

    Raises
    ------
    ConfigError
        if the URDF is missing, unreadable, or lacks the camera's optical frame.
    """
    spec = _read_urdf(urdf)
    if spec.body(OPTICAL_FRAME) is None:
        raise ConfigError(f"urdf: {urdf} has no link {OPTICAL_FRAME!r}, where the camera sits")
    spec.option.timestep = settings.timestep
    # Servo damping is treated implicitly, so that stiff joints need no tiny timestep.
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # The near plane is at znear * extent; MuJoCo would take the extent from the wide floor.
    spec.stat.extent = 1.0
    spec.visual.map.znear = 0.01
    return spec


def compile_model(spec: Any, urdf: Path) -> Any:
    """Return the compiled MjModel, or raise a ConfigError that names the URDF."""
    try:
        return spec.compile()
    except (ValueError, mujoco.FatalError) as error:
        raise ConfigError(f"urdf: {urdf} cannot be compiled: {error}") from None


def _read_urdf(urdf: Path) -> Any:
    try:
        robot = ElementTree.fromstring(urdf.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"urdf: {urdf} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise ConfigError(f"urdf: {urdf} is not XML: {error}") from None
    if robot.tag != "robot":
        raise ConfigError(f"urdf: {urdf} must hold a <robot>, not a <{robot.tag}>")
    if robot.find("mujoco") is None:
        # By default MuJoCo drops visual geoms while it reads, and lets static bodies vanish into
        # their parents, the camera's among them.  Other simulators need not see this element.
        element = ElementTree.SubElement(robot, "mujoco")
        choices = {"discardvisual": "false", "fusestatic": "false", "strippath": "false"}
        ElementTree.SubElement(element, "compiler", choices, meshdir=str(urdf.resolve().parent))
    try:
        return mujoco.MjSpec.from_string(ElementTree.tostring(robot, encoding="unicode"))
    except (ValueError, mujoco.FatalError) as error:
        raise ConfigError(f"urdf: {urdf} cannot be used: {error}") from None


def add_surroundings(spec: Any, settings: WorldSettings, overview: View, room: float = 1.0) -> None:
    """Add all that is not the robot, and its eye; posts stand ``room`` times as far."""
    world = spec.worldbody
    _set_quality(spec, settings)
    checker = spec.add_texture(
        name="tiles", type=mujoco.mjtTexture.mjTEXTURE_2D, width=64, height=64
    )
    checker.builtin = mujoco.mjtBuiltin.mjBUILTIN_CHECKER
    checker.rgb1, checker.rgb2 = FLOOR_DARK, FLOOR_LIGHT
    sky = spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=64, height=384
    )
    sky.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    sky.rgb1, sky.rgb2 = SKY_TOP, SKY_BOTTOM
    floor = spec.add_material(name="floor")
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB.value] = "tiles"
    floor.texuniform = True
    floor.texrepeat = (1.0 / FLOOR_TILE, 1.0 / FLOOR_TILE)
    floor.specular = 0.0
    floor.emission = 0.30
    # A box, not a plane: software OpenGL draws it twice as fast.
    world.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(12, 12, 0.1),
        pos=(0, 0, -0.1),
        material="floor",
        group=VISIBLE_GROUP,
    )
    light = world.add_light(name="sun", dir=LIGHT_DIRECTION, pos=(-2, -2, 4))
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.diffuse = (LIGHT_DIFFUSE,) * 3
    light.ambient = (LIGHT_AMBIENT,) * 3
    light.specular = (0.25,) * 3
    light.castshadow = False
    for azimuth, distance, half, height, colour in _POSTS:
        angle, away = math.radians(azimuth), room * distance
        world.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(room * half, room * half, room * height / 2),
            pos=(away * math.cos(angle), -away * math.sin(angle), room * height / 2),
            quat=(math.cos(angle / 2), 0, 0, -math.sin(angle / 2)),
            rgba=(*colour, 1),
            contype=0,
            conaffinity=0,
            group=VISIBLE_GROUP,
        )
    add_shadow(
        world.add_body(name=TARGET_SHADOW, mocap=True), settings.target_radius, (0.0, 0.0, 0.0)
    )
    ball = world.add_body(name=TARGET, mocap=True, pos=(1, 0, 1))
    ball.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(settings.target_radius, 0, 0),
        rgba=(*BALL_COLOUR, 1),
        contype=0,
        conaffinity=0,
        group=VISIBLE_GROUP,
    )
    _add_cameras(spec, settings, overview)


def add_shadow(body: Any, radius: float, position: tuple[float, float, float]) -> None:
    """Add a disc that stands in for a cast shadow, which would cost most of a frame."""
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=(radius, 0.002, 0),
        pos=position,
        mass=0.0,
        rgba=(*SHADOW_COLOUR, 1),
        contype=0,
        conaffinity=0,
        group=VISIBLE_GROUP,
    )


def _set_quality(spec: Any, settings: WorldSettings) -> None:
    quality, size = spec.visual.quality, spec.visual.global_
    quality.offsamples = 0
    quality.shadowsize = 0
    quality.numslices, quality.numstacks = 20, 12
    by = settings.overview_smoothing
    size.offwidth = max(settings.image_width, settings.overview_width * by)
    size.offheight = max(settings.image_height, settings.overview_height * by)
    headlight = spec.visual.headlight
    headlight.ambient = headlight.diffuse = headlight.specular = (0, 0, 0)


def _add_cameras(spec: Any, settings: WorldSettings, overview: View) -> None:
    aspect = settings.image_height / settings.image_width
    half = math.atan(math.tan(math.radians(settings.horizontal_fov) / 2) * aspect)
    # A ROS optical frame looks along +z with y down, a MuJoCo camera along -z with y up.
    spec.body(OPTICAL_FRAME).add_camera(name=EYE, fovy=math.degrees(2 * half), quat=(0, 1, 0, 0))
    place, towards = np.array(overview.place), np.array(overview.towards)
    back = (place - towards) / np.linalg.norm(place - towards)
    right = np.cross((0, 0, 1), back)
    right /= np.linalg.norm(right)
    axes = np.stack((right, np.cross(back, right), back), axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, axes.ravel())
    spec.worldbody.add_camera(name=OVERVIEW, pos=place, quat=quat, fovy=45)
