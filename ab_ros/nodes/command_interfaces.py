"""Command interfaces: which output sends the commands of a group, and what it can carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ab_ros.errors import ConfigError, one_of
from ab_ros.motion.settings import GroupSettings, MotorSettings
from ab_ros.nodes.command_outputs import (
    SHORTEST_PERIOD,
    ArrayOutput,
    CommandOutput,
    JointJogOutput,
    JointStateOutput,
    TrajectoryOutput,
    TwistOutput,
    TwistStampedOutput,
)
from ab_ros.nodes.gripper_outputs import GripperCommandOutput, GripperOutput, ParallelGripperOutput
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.optional_messages import optional

# No dots: in a name of a ROS parameter such as limits.linear_x.velocity they mean a level.
_TWIST_CHANNELS = tuple(f"{part}_{axis}" for part in ("linear", "angular") for axis in "xyz")

_FORWARD: Mapping[str, Callable[..., CommandOutput]] = {
    "position": ArrayOutput,
    "velocity": ArrayOutput,
    "effort": ArrayOutput,
    "joint_state": JointStateOutput,
    "joint_jog": JointJogOutput,
    "twist": TwistOutput,
    "twist_stamped": TwistStampedOutput,
}
_WHOLE: Mapping[str, Callable[..., CommandOutput]] = {
    "joint_trajectory": TrajectoryOutput,
    "gripper": GripperOutput,
    "gripper_action": ParallelGripperOutput,
    "gripper_command": GripperCommandOutput,
}
_OPTIONAL: Mapping[str, str] = {
    "joint_jog": "control_msgs/msg/JointJog",
    "gripper_action": ParallelGripperOutput.action,
    "gripper_command": GripperCommandOutput.action,
}
ACTIONS = ("gripper_action", "gripper_command")
"""Interfaces whose ``topic`` is the name of an action."""


def check_output(name: str, settings: GroupSettings) -> None:
    """Refuse a group whose interface is not available, or cannot carry its channels.

    Raises
    ------
    ConfigError
        whose sentence begins with the setting that is wrong.
    """
    where, interface = f"groups.{name}", settings.interface
    if interface not in _WHOLE and interface not in _FORWARD:
        raise ConfigError(
            f"{where}.interface: {interface!r} is not available; {one_of((*_WHOLE, *_FORWARD))}"
        )
    if interface in _OPTIONAL:
        try:
            optional(_OPTIONAL[interface])
        except ConfigError as error:
            raise ConfigError(f"{where}.interface: {interface!r} {error}") from None
    if interface.startswith("gripper") and len(settings.channels) != 1:
        raise ConfigError(f"{where}.channels: a gripper has one, not {list(settings.channels)}")
    if interface in ("twist", "twist_stamped"):
        for channel in settings.channels:
            if channel not in _TWIST_CHANNELS:
                raise ConfigError(
                    f"{where}.channels: {channel!r} is not a part of a twist;"
                    f" {one_of(_TWIST_CHANNELS)}"
                )


def make_output(
    node: AbNode[Any], name: str, settings: GroupSettings, lockstep: bool
) -> CommandOutput:
    """Return the output of a group that :func:`check_output` accepts."""
    if settings.interface in _WHOLE:
        return _WHOLE[settings.interface](node, name, settings)
    return _FORWARD[settings.interface](node, name, settings, lockstep)


def playable(settings: MotorSettings, lockstep: bool) -> MotorSettings:
    """Return settings whose points are no denser than they can be played.

    Points that are skipped would break the limit on the step from one to the next.
    """
    if lockstep:
        return settings
    groups = {
        name: replace(group, period=max(group.period, SHORTEST_PERIOD))
        if group.interface in _FORWARD
        else group
        for name, group in settings.groups.items()
    }
    return replace(settings, groups=groups)
