"""The MuJoCo model of the arm: the joints of a URDF, with servos, in the common scenery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ab_ros.environments.rendering import mujoco
from ab_ros.environments.scenery import (
    View,
    add_shadow,
    add_surroundings,
    compile_model,
    read_robot,
)
from ab_ros.errors import ConfigError

if TYPE_CHECKING:
    from ab_ros.environments.arm import ArmSettings

_OVERVIEW = View(place=(-1.05, -1.40, 1.50), towards=(0.44, 0.06, 0.665))


def build_arm(urdf: Path, settings: ArmSettings) -> Any:
    """Return the compiled MjModel of the arm in its world.

    Raises
    ------
    ConfigError
        if the URDF is missing, unreadable, or lacks joints or the camera's optical frame.
    """
    spec = read_robot(urdf, settings)
    servos = _add_servos(spec, settings)
    if not servos:
        raise ConfigError(f"urdf: {urdf} has no joint that could be moved")
    add_shadow(spec.worldbody, 0.24, (0.02, 0.03, 0.0))
    add_surroundings(spec, settings, _OVERVIEW)
    model = compile_model(spec, urdf)
    _tune_servos(model, settings.bandwidth)
    return model


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
