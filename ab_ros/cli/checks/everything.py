"""All checks of a configuration that need no running robot, in the order in which they build up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ab_ros.cli.checks.brain import KnownBrain, check_brain, check_feeds
from ab_ros.cli.checks.config_file import NodeConfig, RobotConfig, read_config
from ab_ros.cli.checks.controllers import check_controllers, read_controllers
from ab_ros.cli.checks.critic import check_critic
from ab_ros.cli.checks.episodes import check_episodes
from ab_ros.cli.checks.motor import check_motor, joint_channels
from ab_ros.cli.checks.robot import Robot, load_robot
from ab_ros.cli.checks.together import check_together
from ab_ros.errors import AbRosError, ConfigError, one_of
from ab_ros.motion.cycles import state_timeout
from ab_ros.nodes.remarks import Level, Remarks


@dataclass(frozen=True)
class Given:
    """Files that are checked together; None for those that are not given."""

    config: Path
    brain: Path | None = None
    urdf: Path | None = None
    controllers: Path | None = None


@dataclass(frozen=True)
class Checked:
    """What is known of a robot after its files were checked.

    Parameters
    ----------
    config : its nodes.
    brain : what its brain takes and gives.
    robot : its description; None if it is not known.
    joints : that ``joint_states`` must have, and what for.
    state_age : beyond which the motor node stops on joint states, s; 0 if it is not known.
    """

    config: RobotConfig
    brain: KnownBrain
    robot: Robot | None = None
    joints: Mapping[str, str] = field(default_factory=dict)
    state_age: float = 0.0


def check_config(given: Given, remarks: Remarks) -> Checked:
    """Check a robot's files, and those beside them.

    Raises
    ------
    ConfigError
        if a file cannot be used at all.
    """
    config = read_config(given.config, remarks)
    controllers = read_controllers(given.controllers) if given.controllers is not None else None
    robot = _robot(config, given.urdf, remarks)
    brain = check_brain(config, given.brain, remarks)
    node = config.node("brain")
    if node is not None:
        _check_feeds(node, brain, remarks)
        if brain.contract is None and not brain.remote:
            remarks.warn(
                "mapping, policies and times are not held against the brain until it can be built",
                *node.place(),
            )
    motor = config.node("motor")
    age = 0.0
    if motor is not None:
        check_motor(motor, brain, robot, remarks)
        age = state_timeout(motor.settings, brain.cycle_time)
        check_controllers(motor, controllers, age, remarks)
    critic = config.nodes.get("critic")
    if critic is not None:
        check_critic(critic, brain, remarks)
    check_episodes(config, remarks)
    check_together(config, brain, remarks)
    for kind in config.nodes:
        known = config.node(kind)
        if known is not None:
            _check_by_node(known, remarks)
    joints = _joints(config, brain)
    if robot is not None:
        _check_encoded_joints(config, brain, robot, remarks)
    return Checked(config, brain, robot, joints, age)


def _robot(config: RobotConfig, urdf: Path | None, remarks: Remarks) -> Robot | None:
    """Return the robot of the URDF that is given, else of the one that the simulator shows."""
    sim = config.node("sim")
    if urdf is not None:
        return load_robot(urdf)
    if sim is None:
        return None
    named = getattr(getattr(sim.settings, "world", None), "urdf", None)
    if named is None:
        return None
    if not named:
        from ab_ros.environments.arm import ARM_URDF

        named = ARM_URDF
    try:
        return load_robot(Path(named))
    except ConfigError as error:
        remarks.error(str(error), *sim.place("world", "urdf"))
        return None


def _check_feeds(node: NodeConfig, brain: KnownBrain, remarks: Remarks) -> None:
    # Encoders that do not fit are told already, and would be told again.
    if brain.contract is not None or node.settings.backend == "remote":
        try:
            check_feeds(node, brain, remarks)
        except ImportError as error:
            remarks.warn(f"topics of the inputs are not checked: {error}", *node.place("inputs"))


def _joints(config: RobotConfig, brain: KnownBrain) -> dict[str, str]:
    needed = {}
    motor = config.node("motor")
    if motor is not None:
        for group, channel in joint_channels(motor.settings):
            needed[channel] = f"group {group!r} of the motor node"
    for name, joints in brain.joints.items():
        for joint in joints:
            needed.setdefault(joint, f"input {name!r} of the brain")
    return needed


def _check_encoded_joints(
    config: RobotConfig, brain: KnownBrain, robot: Robot, remarks: Remarks
) -> None:
    node = config.node("brain")
    for name, joints in brain.joints.items():
        for joint in joints:
            if node is not None and joint not in robot.limits:
                remarks.error(
                    f"the robot has no moving joint {joint!r} ({robot.origin});"
                    f" {one_of(robot.limits)}",
                    *node.place("architecture", "inputs", name, "options", "joints"),
                )


def _check_by_node(node: NodeConfig, remarks: Remarks) -> None:
    """Let the node itself refuse settings that do not go together; it needs ROS."""
    told = any(r.level is Level.ERROR and r.key.split(".")[0] == node.kind for r in remarks)
    if not told:
        try:
            from ab_ros.nodes.composed import node_class
        except ImportError:
            return  # without ROS; said when the settings were read, where they needed it
        try:
            # The check looks at nothing but the settings: the node itself is not made.
            _bare(node_class(node.kind)).check(node.settings)
        except AbRosError as error:
            told = True
            where, key, text = node.place_of(str(error))
            remarks.error(text, where, key)
    if not told:
        count = len(list(_leaves(node.given)))
        remarks.ok(f"{count} settings are as they must be", *node.place())


def _bare(node_class: type[Any]) -> Any:
    return object.__new__(node_class)


def _leaves(given: Any) -> Any:
    if isinstance(given, Mapping):
        for value in given.values():
            yield from _leaves(value)
    else:
        yield given
