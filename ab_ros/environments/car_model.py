"""The MuJoCo model of the car: the wheels of a URDF, with drives, in the common scenery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ab_ros.environments.rendering import FLOOR, mujoco
from ab_ros.environments.scenery import (
    View,
    add_shadow,
    add_surroundings,
    compile_model,
    read_robot,
)
from ab_ros.errors import ConfigError, one_of

if TYPE_CHECKING:
    from ab_ros.environments.car import CarSettings

_OVERVIEW = View(place=(-2.3, -2.6, 2.7), towards=(0.6, 0.1, 0.1))
_COLLISION_GROUP = 0  # of a URDF's collision geoms
_HIDDEN_GROUP = 3
_ROOM = 2.2  # the car needs more of it than an arm


def build_car(urdf: Path, settings: CarSettings) -> Any:
    """Return the compiled MjModel of the car in its world.

    Raises
    ------
    ConfigError
        if the URDF is missing, unreadable, or lacks a wheel or the camera's optical frame.
    """
    spec = read_robot(urdf, settings)
    root = spec.worldbody.first_body()
    root.add_freejoint()
    wheels = [joint.name for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_HINGE]
    for key in ("left_wheel", "right_wheel"):
        name = getattr(settings, key)
        if name not in wheels:
            raise ConfigError(f"{key}: {urdf} has no joint {name!r} that turns; {one_of(wheels)}")
        _add_drive(spec, name, settings)
    driven = {spec.joint(name).parent.name for name in (settings.left_wheel, settings.right_wheel)}
    for body in spec.bodies[1:]:
        for geom in body.geoms:
            if geom.group == _COLLISION_GROUP:
                # What is not driven slides, as on a caster; with the same priority the floor's
                # friction would count, too.
                geom.priority = 1
                geom.condim = 3 if body.name in driven else 1
    add_shadow(root, 0.2, (-0.05, 0.0, 0.001))
    add_surroundings(spec, settings, _OVERVIEW, room=_ROOM)
    # The floor that is seen has an end, at which nothing shall fall.
    spec.geom(FLOOR).contype = spec.geom(FLOOR).conaffinity = 0
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 1), group=_HIDDEN_GROUP)
    model = compile_model(spec, urdf)
    _tune_drives(model, settings.bandwidth)
    return model


def wheel_radius(model: Any, joint: int) -> float:
    """Return the radius of a wheel, m: that of the round shape with which it touches the floor."""
    body = model.jnt_bodyid[joint]
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] == body and model.geom_group[geom] == _COLLISION_GROUP:
            return float(model.geom_size[geom, 0])
    raise ConfigError(
        f"urdf: the wheel of joint {model.joint(joint).name!r} has no collision shape"
    )


def _add_drive(spec: Any, name: str, settings: CarSettings) -> None:
    """Give a wheel a motor that holds a speed, within the URDF's torque."""
    spec.joint(name).armature = settings.rotor_inertia
    drive = spec.add_actuator(name=name, target=name)
    drive.trntype = mujoco.mjtTrn.mjTRN_JOINT
    drive.set_to_velocity(kv=1.0)


def _tune_drives(model: Any, bandwidth: float) -> None:
    """Give the drives gains with which the car's speed follows within 1 / bandwidth s."""
    mass = float(model.body_mass.sum())
    for actuator in range(model.nu):
        joint = int(model.actuator_trnid[actuator, 0])
        inertia = mass / model.nu * wheel_radius(model, joint) ** 2
        inertia += float(model.dof_armature[model.jnt_dofadr[joint]])
        model.actuator_gainprm[actuator, 0] = bandwidth * inertia
        model.actuator_biasprm[actuator, 2] = -bandwidth * inertia
