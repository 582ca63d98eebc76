"""Build the MuJoCo model: the arm of a URDF, its servos and cameras, and a world around it."""

from __future__ import annotations

import math
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
    from ab_ros.environments.arm import ArmSettings

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


def build_model(urdf: Path, settings: ArmSettings) -> Any:
    """Return the compiled MjModel of the arm in its world.

    Raises
    ------
    ConfigError
        if the URDF is missing, unreadable, or lacks joints or the camera's optical frame.
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
    servos = _add_servos(spec, settings)
    if not servos:
        raise ConfigError(f"urdf: {urdf} has no joint that could be moved")
    _add_world(spec, settings)
    try:
        model = spec.compile()
    except (ValueError, mujoco.FatalError) as error:
        raise ConfigError(f"urdf: {urdf} cannot be compiled: {error}") from None
    _tune_servos(model, settings.bandwidth)
    return model


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


def _add_servos(spec: Any, settings: ArmSettings) -> list[str]:
    equality = mujoco.mjtEq.mjEQ_JOINT
    mimics = set()
    for item in spec.equalities:
        if item.type == equality:
            mimics.add(item.name1)
            item.solref = (2.0 * settings.timestep, 1.0)  # as stiff as the physics allows
    servos = []
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0  # as drives with a dynamic model do
    for joint in spec.joints:
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
            joint.armature = settings.rotor_inertia
        if joint.name in mimics:
            continue
        servo = spec.add_actuator(name=joint.name, target=joint.name)
        servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
        servo.set_to_position(kp=1.0)
        servo.ctrllimited = True
        servo.ctrlrange = joint.range
        servos.append(joint.name)
    return servos


def _tune_servos(model: Any, bandwidth: float) -> None:
    """Give each servo the gains of a critically damped second-order system in the home pose."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    for actuator in range(model.nu):
        joint = int(model.actuator_trnid[actuator, 0])
        mass = float(inertia[model.jnt_dofadr[joint], model.jnt_dofadr[joint]])
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
            mass *= 2.0  # the mimic finger hangs on it
        stiffness = mass * bandwidth**2
        damping = 2.0 * mass * bandwidth - float(model.dof_damping[model.jnt_dofadr[joint]])
        model.actuator_gainprm[actuator, 0] = stiffness
        model.actuator_biasprm[actuator, 1] = -stiffness
        model.actuator_biasprm[actuator, 2] = -max(damping, 0.0)


def _add_world(spec: Any, settings: ArmSettings) -> None:
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
        angle = math.radians(azimuth)
        world.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(half, half, height / 2),
            pos=(distance * math.cos(angle), -distance * math.sin(angle), height / 2),
            quat=(math.cos(angle / 2), 0, 0, -math.sin(angle / 2)),
            rgba=(*colour, 1),
            contype=0,
            conaffinity=0,
            group=VISIBLE_GROUP,
        )
    # Discs on the floor stand in for cast shadows, which cost most of a frame.
    _add_disc(world, 0.24, (0.02, 0.03, 0.0))
    _add_disc(
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
    _add_cameras(spec, settings)


def _add_disc(body: Any, radius: float, position: tuple[float, float, float]) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=(radius, 0.002, 0),
        pos=position,
        rgba=(*SHADOW_COLOUR, 1),
        contype=0,
        conaffinity=0,
        group=VISIBLE_GROUP,
    )


def _set_quality(spec: Any, settings: ArmSettings) -> None:
    quality, size = spec.visual.quality, spec.visual.global_
    quality.offsamples = 0
    quality.shadowsize = 0
    quality.numslices, quality.numstacks = 20, 12
    by = settings.overview_smoothing
    size.offwidth = max(settings.image_width, settings.overview_width * by)
    size.offheight = max(settings.image_height, settings.overview_height * by)
    headlight = spec.visual.headlight
    headlight.ambient = headlight.diffuse = headlight.specular = (0, 0, 0)


def _add_cameras(spec: Any, settings: ArmSettings) -> None:
    aspect = settings.image_height / settings.image_width
    half = math.atan(math.tan(math.radians(settings.horizontal_fov) / 2) * aspect)
    # A ROS optical frame looks along +z with y down, a MuJoCo camera along -z with y up.
    spec.body(OPTICAL_FRAME).add_camera(name=EYE, fovy=math.degrees(2 * half), quat=(0, 1, 0, 0))
    place, towards = np.array((-1.05, -1.40, 1.50)), np.array((0.44, 0.06, 0.665))
    back = (place - towards) / np.linalg.norm(place - towards)
    right = np.cross((0, 0, 1), back)
    right /= np.linalg.norm(right)
    axes = np.stack((right, np.cross(back, right), back), axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, axes.ravel())
    spec.worldbody.add_camera(name=OVERVIEW, pos=place, quat=quat, fovy=45)
