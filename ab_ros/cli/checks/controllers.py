"""Checks of ros2_control's controllers against the motor node's groups.

What a controller does with a motor node that has died is the one danger that no node can prevent:
it is looked for here, in the controllers' own parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ab_ros.cli.checks.config_file import NodeConfig
from ab_ros.cli.checks.motor import dangers
from ab_ros.config import Source, flatten, load_yaml, nest
from ab_ros.errors import ConfigError
from ab_ros.motion.settings import INTERFACES, GroupSettings, MotorSettings
from ab_ros.nodes.parameter_files import at, node_blocks
from ab_ros.nodes.remarks import Remarks

_BLOCK = "ros__parameters"
_MANAGER = "controller_manager"
_LONG_TIMEOUT = 1.0  # s; for which a robot may well drive into something
_TWIST = frozenset({"twist", "twist_stamped"})


@dataclass(frozen=True)
class Kind:
    """What is known of a type of controllers.

    Parameters
    ----------
    takes : interfaces of groups that it listens to; empty: as its ``interface_name`` says.
    timeout : parameter after whose time it stops by itself; empty: it has none.
    default : of that parameter, s; None if versions differ.
    """

    takes: frozenset[str] = frozenset()
    timeout: str = ""
    default: float | None = None


# By the last part of the type; after https://control.ros.org, Jazzy and Kilted.
KINDS: Mapping[str, Kind] = {
    "JointTrajectoryController": Kind(frozenset({"joint_trajectory"})),
    "ForwardCommandController": Kind(),
    "JointGroupPositionController": Kind(frozenset({"position"})),
    "JointGroupVelocityController": Kind(frozenset({"velocity"})),
    "JointGroupEffortController": Kind(frozenset({"effort"})),
    "DiffDriveController": Kind(_TWIST, "cmd_vel_timeout", 0.5),
    "TricycleController": Kind(_TWIST, "cmd_vel_timeout"),
    "MecanumDriveController": Kind(_TWIST, "reference_timeout"),
    "OmniWheelDriveController": Kind(_TWIST, "cmd_vel_timeout"),
    "AckermannSteeringController": Kind(_TWIST, "reference_timeout"),
    "BicycleSteeringController": Kind(_TWIST, "reference_timeout"),
    "TricycleSteeringController": Kind(_TWIST, "reference_timeout"),
    "GripperActionController": Kind(frozenset(n for n in INTERFACES if "gripper_" in n)),
}
"""Types of controllers by the last part of their names."""


@dataclass(frozen=True)
class Controller:
    """One controller of a file."""

    name: str
    type: str
    parameters: Mapping[str, Any]
    source: Source

    @property
    def kind(self) -> Kind | None:
        """What is known of its type."""
        return KINDS.get(self.type.rsplit("/", 1)[-1])

    @property
    def takes(self) -> frozenset[str]:
        """Interfaces of groups that it listens to; empty if that is not known."""
        if self.kind is None:
            return frozenset()
        named = self.parameters.get("interface_name")
        return self.kind.takes or frozenset({str(named)} if named else ())

    def place(self, *path: str) -> tuple[str, str]:
        """Return file and line, and the key, for a remark."""
        found = self.source.at(path)
        return found.removesuffix(".".join(path) or "(top level)").removesuffix(": "), ".".join(
            (self.name, *path)
        )


@dataclass(frozen=True)
class ControllersFile:
    """A file of ros2_control's controllers; ``rate``: of the controller manager, Hz, or 0."""

    file: Path
    controllers: tuple[Controller, ...]
    rate: float


def read_controllers(file: Path) -> ControllersFile:
    """Read the parameter file of a controller manager and its controllers.

    Raises
    ------
    ConfigError
        if it cannot be read, or has no controller manager.
    """
    data, source = load_yaml(file)
    types: dict[str, str] = {}
    rate = 0.0
    found: dict[str, tuple[Mapping[str, Any], Source]] = {}
    for path in node_blocks(data):
        below = at(data, (*path, _BLOCK))
        flat = nest(dict(flatten(below))) if isinstance(below, Mapping) else {}
        name = path[-1].rsplit("/", 1)[-1]
        if name == _MANAGER:
            rate = float(flat.get("update_rate", 0.0))
            for key, value in flat.items():
                if isinstance(value, Mapping) and "type" in value:
                    types[key] = str(value["type"])
        else:
            found[name] = flat, source.below(*path, _BLOCK)
    if not types:
        raise ConfigError(
            f"{file}: has no {_MANAGER} with controllers and their types; give the file that your"
            f" controller manager is started with"
        )
    nothing: tuple[Mapping[str, Any], Source] = ({}, Source(str(file)))
    controllers = (Controller(n, kind, *found.get(n, nothing)) for n, kind in types.items())
    return ControllersFile(file, tuple(controllers), rate)


def check_controllers(
    node: NodeConfig, read: ControllersFile | None, state_age: float, remarks: Remarks
) -> None:
    """Check that each group's controller fits it, and that it would stop without it.

    Parameters
    ----------
    node : the motor node.
    read : the controllers; None if no file is given.
    state_age : beyond which the motor node stops on joint states, s.
    """
    settings: MotorSettings = node.settings
    matched: dict[str, Controller] = {}
    if read is not None:
        for name, group in settings.groups.items():
            found = _controller_of(group, read)
            if found is None:
                known = ", ".join(f"{c.name} ({c.type})" for c in read.controllers)
                remarks.warn(
                    f"no controller of {read.file} takes {group.interface} on {group.topic!r}; it"
                    f" has {known}",
                    *node.place("groups", name, "topic"),
                )
                continue
            matched[name] = found
            _check_fit(node, name, group, found, remarks)
        _check_states(read, state_age, remarks)
    for name, group in dangers(node):
        _check_danger(node, name, group, matched.get(name), remarks)


def _controller_of(group: GroupSettings, read: ControllersFile) -> Controller | None:
    parts = group.topic.strip("/").split("/")[:-1]
    for controller in read.controllers:
        if controller.name in parts:
            return controller
    fitting = [c for c in read.controllers if group.interface in c.takes]
    return fitting[0] if len(fitting) == 1 else None


def _check_fit(
    node: NodeConfig, name: str, group: GroupSettings, controller: Controller, remarks: Remarks
) -> None:
    before = len(remarks)
    kind = controller.type.rsplit("/", 1)[-1]
    given = controller.parameters
    if kind == "GripperActionController" and group.interface == "gripper":
        actions = sorted(controller.takes)
        better = f"; take {' or '.join(actions)}" if actions else ""
        remarks.error(
            f"'gripper' is a topic of numbers, but {controller.name} ({controller.type}) is an"
            f" action server{better}",
            *node.place("groups", name, "interface"),
        )
    elif kind == "ForwardCommandController" and not given.get("interface_name"):
        remarks.error(
            f"is missing: the controller does not start; write {group.interface!r}",
            *controller.place("interface_name"),
        )
    elif controller.takes and group.interface not in controller.takes:
        remarks.error(
            f"is {group.interface!r}, but {controller.name} ({controller.type}) takes"
            f" {' or '.join(sorted(controller.takes))}",
            *node.place("groups", name, "interface"),
        )
    fits = not controller.takes or group.interface in controller.takes
    if kind == "JointTrajectoryController":
        _check_trajectory(name, group, controller, remarks)
    elif fits and kind.startswith(("JointGroup", "ForwardCommand")):
        _check_order(name, group, controller, remarks)
    if kind == "DiffDriveController":
        _check_stamped(node, name, group, controller, remarks)
    if len(remarks) == before:
        remarks.ok(f"fits {controller.name} ({controller.type})", *node.place("groups", name))


def _check_trajectory(
    name: str, group: GroupSettings, controller: Controller, remarks: Remarks
) -> None:
    given = controller.parameters
    joints = [str(joint) for joint in given.get("joints") or ()]
    unknown = [channel for channel in group.channels if channel not in joints]
    silent = [joint for joint in joints if joint not in group.channels]
    if unknown:
        remarks.error(
            f"{joints} lack {unknown} of the group {name!r}: its trajectories would be refused",
            *controller.place("joints"),
        )
    if silent and given.get("allow_partial_joints_goal") is not True:
        remarks.error(
            f"{silent} are not in the group {name!r}, whose trajectories would be refused; give"
            f" both the same joints, or 'allow_partial_joints_goal: true'",
            *controller.place("joints"),
        )
    for interfaces in ("command_interfaces", "state_interfaces"):
        if not given.get(interfaces):
            remarks.error(
                "is missing: the controller does not start; write [position] or what the hardware"
                " has",
                *controller.place(interfaces),
            )
    if given.get("allow_nonzero_velocity_at_trajectory_end") is True:
        remarks.warn(
            "true: whatever else sends trajectories may leave the robot moving at their end (those"
            " of the motor node end at rest); write false",
            *controller.place("allow_nonzero_velocity_at_trajectory_end"),
        )


def _check_order(name: str, group: GroupSettings, controller: Controller, remarks: Remarks) -> None:
    joints = [str(joint) for joint in controller.parameters.get("joints") or ()]
    if not joints:
        remarks.error(
            f"is missing: the controller does not start; write {list(group.channels)}",
            *controller.place("joints"),
        )
    elif joints != list(group.channels):
        same = sorted(joints) == sorted(group.channels)
        what = "another order" if same else "other joints"
        remarks.error(
            f"{joints} are {what} than the channels of group {name!r}, {list(group.channels)}:"
            f" numbers would move the wrong joints; give both the same, in the same order",
            *controller.place("joints"),
        )


def _check_stamped(
    node: NodeConfig, name: str, group: GroupSettings, controller: Controller, remarks: Remarks
) -> None:
    stamped = controller.parameters.get("use_stamped_vel", True)
    wanted = "twist_stamped" if stamped else "twist"
    if group.interface in _TWIST and group.interface != wanted:
        why = "" if stamped else " with 'use_stamped_vel: false'"
        remarks.error(
            f"is {group.interface!r}, but {controller.name} ({controller.type}){why} takes"
            f" {wanted!r}",
            *node.place("groups", name, "interface"),
        )


def _check_states(read: ControllersFile, state_age: float, remarks: Remarks) -> None:
    if not any("JointStateBroadcaster" in controller.type for controller in read.controllers):
        remarks.warn(
            "has no joint_state_broadcaster/JointStateBroadcaster: the motor node moves nothing"
            " without joint_states; add one, or let the driver publish them",
            str(read.file),
            _MANAGER,
        )
    elif read.rate and state_age and 1.0 / read.rate >= state_age:
        remarks.error(
            f"update_rate {read.rate:g} Hz: joint states are {1.0 / read.rate:g} s apart, and the"
            f" motor node stops on those older than {state_age:g} s; give more than"
            f" {1.0 / state_age:g} Hz",
            str(read.file),
            _MANAGER,
        )


def _check_danger(
    node: NodeConfig,
    name: str,
    group: GroupSettings,
    controller: Controller | None,
    remarks: Remarks,
) -> None:
    where = node.place("groups", name, "interface")
    kind = controller.kind if controller is not None else None
    if controller is not None and kind is not None and kind.timeout:
        _check_timeout(controller, kind, remarks)
        return
    start = f"if the motor node is killed, the last {group.interface} on {group.topic!r} goes on:"
    if controller is not None:
        remarks.warn(
            f"{start} {controller.name} ({controller.type}) has no timeout; take a controller that"
            f" has one, 'joint_trajectory', or hardware that stops by itself",
            *where,
        )
    elif group.interface in _TWIST:
        remarks.warn(
            f"{start} its controller must stop by itself (diff_drive_controller: cmd_vel_timeout,"
            f" steering and mecanum controllers: reference_timeout); --controllers FILE looks",
            *where,
        )
    else:
        remarks.warn(
            f"{start} forward and group controllers have no timeout; take 'joint_trajectory', or"
            f" hardware that stops by itself",
            *where,
        )


def _check_timeout(controller: Controller, kind: Kind, remarks: Remarks) -> None:
    value = controller.parameters.get(kind.timeout, kind.default)
    where = controller.place(kind.timeout)
    if value is None:
        remarks.warn(
            "is not set: whether the robot stops when the motor node is killed depends on the"
            " controller's version; write 0.5",
            *where,
        )
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        remarks.error(
            f"{value!r}: the robot may drive on when the motor node is killed, or not at all; write"
            f" a time in s, such as 0.5",
            *where,
        )
    elif value > _LONG_TIMEOUT:
        remarks.warn(
            f"when the motor node is killed the robot drives on for {value:g} s; write 0.5", *where
        )
    else:
        remarks.ok(f"stops by itself {value:g} s after the motor node was killed", *where)
