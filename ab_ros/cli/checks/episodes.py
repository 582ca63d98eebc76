"""Checks of the episodes node: what it trains on, held against the motor node."""

from __future__ import annotations

from typing import Any

from ab_ros.cli.checks.config_file import NodeConfig, RobotConfig
from ab_ros.errors import AbRosError, one_of
from ab_ros.motion.settings import MotorSettings
from ab_ros.nodes.remarks import Remarks


def check_episodes(config: RobotConfig, remarks: Remarks) -> None:
    """Compare the robot of a training with the motor node that shall move it."""
    node, motor = config.node("episodes"), config.node("motor")
    if node is None:
        return
    # Its settings are known, so ROS is there.
    from ab_ros.nodes.episodes import read_training
    from ab_ros.nodes.ros_environment import RosEnvironment
    from ab_ros.training.environment_simulator import world_class

    try:
        file = read_training(node.settings)
        kind = world_class(file.world, file.source)
        robot = kind.settings_of(file.world.cfg) if issubclass(kind, RosEnvironment) else None
    except AbRosError:
        return  # told by the node's own check
    if robot is None:
        return
    if "brain" in config.nodes:
        remarks.error(
            "moves the robot itself, but this file has a brain, too: the motor node obeys one; run"
            " one of the two",
            *node.place(),
        )
    if motor is not None:
        _check_motor(node, robot, motor, remarks)


def _check_motor(node: NodeConfig, robot: Any, motor: NodeConfig, remarks: Remarks) -> None:
    before = len(remarks)
    where = node.place("training")
    settings: MotorSettings = motor.settings
    if not settings.direct:
        remarks.error(
            "is false, but the episodes node commands channels, not by spikes; give true",
            *motor.place("direct"),
        )
    if robot.pacing != settings.pacing:
        remarks.error(
            f"environment.cfg.pacing is {robot.pacing!r} there, but motor has"
            f" {settings.pacing!r}: give both the same",
            *where,
        )
    for name in robot.motors:
        if name not in settings.channels:
            remarks.error(
                f"environment.cfg.motors.{name}: the motor node has no such channel;"
                f" {one_of(settings.channels)}",
                *where,
            )
    for entry in settings.mapping.values():
        if entry.population not in robot.populations:
            remarks.error(
                f"environment.cfg.populations lacks {entry.population!r}, which the motor node's"
                f" mapping names: it would end",
                *where,
            )
    if len(remarks) == before:
        remarks.ok(f"moves {', '.join(robot.motors)} through the motor node", *where)
