"""Checks of what shall protect a robot and those beside it.

Limits that are absent, and time-outs and tolerances that are so wide that they protect nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ab_ros.cli.checks.config_file import NodeConfig
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.settings import MotorSettings, Quantity
from ab_ros.nodes.remarks import Remarks

_FAR = 0.5  # rad or m


@dataclass(frozen=True)
class _Wide:
    """From where on a setting is too wide, in its unit and in cycles, and what would happen."""

    most: float
    cycles: float
    means: str


_TIMES: Mapping[str, _Wide] = {
    "spike_timeout": _Wide(
        1.0, 4.0, "with a brain that died the robot would go on for {value:g} s before it brakes"
    ),
    "state_timeout": _Wide(
        1.0, 4.0, "without joint states the robot would move on unseen for {value:g} s"
    ),
    "steady_timeout": _Wide(
        2.0, 4.0, "with a robot's clock that stands still it would go on for {value:g} s"
    ),
    "max_cycle_age": _Wide(
        2.0, 4.0, "the robot would be moved by what the brain saw {value:g} s ago"
    ),
    "clock_leap": _Wide(
        5.0, 0.0, "a robot's clock that leaps by up to {value:g} s would not stop it"
    ),
}
"""Of a robot in real time; in lockstep it is a simulation, which waits."""

_ALWAYS: Mapping[str, _Wide] = {
    "deadman_timeout": _Wide(
        1.0, 0.0, "a deadman switch that is lost would stop the robot after {value:g} s only"
    ),
    "following_time": _Wide(
        1.0, 0.0, "a joint that is blocked would be pushed for {value:g} s before it is noticed"
    ),
    "drift_tolerance": _Wide(
        0.3,
        0.0,
        "after a pause the robot would go, without a word, to a command {value:g} (rad or m) away",
    ),
}


def check_protection(
    node: NodeConfig,
    settings: MotorSettings,
    limits: Mapping[str, JointLimits],
    cycle_time: float,
    remarks: Remarks,
) -> None:
    """Warn of each time-out and tolerance that is too wide, and of limits that are absent.

    Parameters
    ----------
    limits : of the channels, as far as they are known.
    cycle_time : s; 0 if it is not known.
    """
    wide = _ALWAYS if settings.pacing == "lockstep" else {**_TIMES, **_ALWAYS}
    for name, limit in wide.items():
        value = getattr(settings, name)
        most = max(limit.most, limit.cycles * cycle_time)
        if value > most:
            cycle = f"; a cycle is {cycle_time:g} s" if cycle_time and limit.cycles else ""
            remarks.warn(
                f"{limit.means.format(value=value)}{cycle}; give {most:g} or less",
                *node.place(name),
            )
    far = settings.state_jump
    if settings.pacing != "lockstep" and not 0.0 < far <= _FAR:
        jump = f"that jumps by up to {far:g} (rad or m)" if far else "that jumps, however far,"
        remarks.warn(
            f"a measured position {jump} would be believed at once: a glitch, or a second publisher"
            f" of the joint states; give {_FAR:g} or less, and not 0",
            *node.place("state_jump"),
        )
    for group in settings.groups.values():
        for channel in group.channels:
            if channel in limits:
                _check_jumps(node, group.quantity, limits[channel], remarks)


def _check_jumps(
    node: NodeConfig, quantity: Quantity, limit: JointLimits, remarks: Remarks
) -> None:
    name = limit.name
    if quantity is Quantity.EFFORT:
        if math.isinf(limit.effort_rate) and math.isfinite(limit.effort):
            remarks.warn(
                f"{name!r} has no limit of how fast its effort changes: it goes to {limit.effort:g}"
                f" from one point to the next; give limits.{name}.effort_rate",
                *node.place("limits", name, "effort_rate"),
            )
    elif math.isinf(limit.acceleration) and math.isfinite(limit.velocity):
        remarks.warn(
            f"{name!r} has no acceleration limit, which no URDF has: from standing it goes to its"
            f" full speed, {limit.velocity:g} per s, from one point to the next; give"
            f" limits.{name}.acceleration",
            *node.place("limits", name, "acceleration"),
        )
