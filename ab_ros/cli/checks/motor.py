"""Checks of the motor node: its mapping, its limits, its time-outs, and what a dead node leaves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ab_ros.cli.checks.brain import KnownBrain
from ab_ros.cli.checks.config_file import NodeConfig
from ab_ros.cli.checks.protection import check_protection
from ab_ros.cli.checks.robot import Robot
from ab_ros.codec.decoder import SpikeDecoder
from ab_ros.errors import AbRosError, ConfigError, one_of
from ab_ros.motion.cycles import spike_timeout, state_timeout
from ab_ros.motion.limits import JointLimits, LimitSettings, resolve_limits
from ab_ros.motion.settings import (
    TWISTS,
    GroupSettings,
    MotorSettings,
    Quantity,
    check_limits,
)
from ab_ros.nodes.remarks import Remarks

_EASY = JointLimits("easy", velocity=1.0, effort=1e9, continuous=True)
_SLACK = 1e-6


def check_motor(
    node: NodeConfig, brain: KnownBrain, robot: Robot | None, remarks: Remarks
) -> Mapping[str, JointLimits]:
    """Check the motor node's settings; return the limits of its channels, as far as they fit."""
    settings: MotorSettings = node.settings
    if brain.contract is not None:
        _check_mapping(node, settings, brain, remarks)
    limits = dict(_limits(node, settings, robot, remarks))
    _check_joints(node, settings, robot, remarks)
    if robot is not None:
        _compare_limits(node, settings, robot, remarks)
    check_protection(node, settings, limits, brain.cycle_time, remarks)
    if brain.cycle_time:
        _check_times(node, settings, brain, limits, remarks)
    return limits


def joint_channels(settings: MotorSettings) -> Iterator[tuple[str, str]]:
    """Yield group and channel of what must be a joint that ``joint_states`` has.

    As the stage needs it: all but what is commanded by velocity and has no bounds of its own.
    """
    for name, group in settings.groups.items():
        for channel in group.channels:
            own = settings.limits.get(channel, LimitSettings())
            bounded = own.lower is not None or own.upper is not None
            moved = group.quantity is not Quantity.VELOCITY or bounded
            if own.measured and moved and group.interface not in TWISTS:
                yield name, channel


# ------------------------------------------------------------------------------------- mapping


def _check_mapping(
    node: NodeConfig, settings: MotorSettings, brain: KnownBrain, remarks: Remarks
) -> None:
    assert brain.contract is not None
    sizes = {port.id: port.n for port in brain.contract.outputs}
    wrong = 0
    for name, entry in settings.mapping.items():
        if entry.population not in sizes:
            wrong += 1
            remarks.error(
                f"the brain has no output {entry.population!r} ({brain.origin});"
                f" {one_of(sizes) if sizes else 'it has none'}",
                *node.place("mapping", name, "population"),
            )
            continue
        try:
            SpikeDecoder((entry,), sizes)
        except AbRosError as error:
            wrong += 1
            remarks.error(str(error), *node.place("mapping", name))
    used = {entry.population for entry in settings.mapping.values()}
    for population in sizes:
        if population not in used:
            remarks.warn(
                f"no entry has the output {population!r} of the brain, which moves nothing; map it,"
                f" or leave it out of the outputs",
                *node.place("mapping"),
            )
    moved = {entry.channel for entry in settings.mapping.values()}
    held = [channel for channel in settings.channels if channel not in moved]
    if not wrong:
        remarks.ok(
            f"{len(used)} of {len(sizes)} outputs move {len(moved)} channels"
            + (f"; {', '.join(held)} are held where they are" if held else ""),
            *node.place("mapping"),
        )


# -------------------------------------------------------------------------------------- limits


def _limits(
    node: NodeConfig, settings: MotorSettings, robot: Robot | None, remarks: Remarks
) -> Iterator[tuple[str, JointLimits]]:
    """Yield the limits of each channel that are complete; tell of the others."""
    urdf = robot.limits if robot is not None else {}
    complete = 0
    for channel in settings.channels:
        own = {channel: settings.limits[channel]} if channel in settings.limits else {}
        try:
            found = resolve_limits([channel], own, urdf)[channel]
        except ConfigError as error:
            where, key = node.place("limits", channel)
            remarks.error(str(error).removeprefix(f"limits.{channel}: "), where, key)
            continue
        yield channel, found
        # One at a time: the other channels are as if theirs were right.
        others = {name: replace(_EASY, name=name) for name in settings.channels}
        try:
            check_limits(settings, {**others, channel: found})
            complete += 1
        except ConfigError as error:
            where, key, text = node.place_of(str(error))
            if str(error).startswith("limits."):  # whatever the robot has
                remarks.error(text, where, key)
            elif robot is None:
                text = f"{text} (is it in robot_description? then give the URDF by --urdf)"
                remarks.warn(text, where, key)
            else:
                remarks.error(f"{text} ({robot.origin} lacks it)", where, key)
    if complete == len(settings.channels):
        remarks.ok(
            f"{complete} channels have the limits that they must have", *node.place("limits")
        )


def _check_joints(
    node: NodeConfig, settings: MotorSettings, robot: Robot | None, remarks: Remarks
) -> None:
    if robot is None:
        return
    for group, channel in joint_channels(settings):
        where = node.place("groups", group, "channels")
        if channel in robot.mimics:
            remarks.error(
                f"{channel!r} follows {robot.mimics[channel]!r} ({robot.origin}: <mimic>) and"
                f" cannot be moved by itself; command that one",
                *where,
            )
        elif channel in robot.limits:
            continue
        elif channel in robot.kinds:
            remarks.error(
                f"joint {channel!r} is {robot.kinds[channel]} ({robot.origin}): it does not move;"
                f" {one_of(robot.limits)}",
                *where,
            )
        else:
            remarks.error(
                f"the robot has no joint {channel!r} ({robot.origin}); {one_of(robot.limits)};"
                f" where a channel is no joint, limits.{channel}.measured is false",
                *where,
            )


def _compare_limits(
    node: NodeConfig, settings: MotorSettings, robot: Robot, remarks: Remarks
) -> None:
    for channel, own in settings.limits.items():
        hard = robot.limits.get(channel)
        if hard is None:
            continue
        for name, value, bound, beyond in (
            ("lower", own.lower, hard.lower, -1.0),
            ("upper", own.upper, hard.upper, 1.0),
            *(
                (name, getattr(own, name, None), getattr(hard, name, math.inf), 1.0)
                for name in ("velocity", "effort")
            ),
        ):
            if value is not None and beyond * (value - bound) > _SLACK:
                remarks.warn(
                    f"{value:g} is wider than the robot's own limit, {bound:g} ({robot.origin})",
                    *node.place("limits", channel, name),
                )
        if own.continuous and hard.bounded:
            remarks.warn(
                f"the robot's joint is bounded, {hard.lower:g} to {hard.upper:g} ({robot.origin}):"
                f" write 'continuous: false'",
                *node.place("limits", channel, "continuous"),
            )


# --------------------------------------------------------------------------------------- times


def _check_times(
    node: NodeConfig,
    settings: MotorSettings,
    brain: KnownBrain,
    limits: Mapping[str, JointLimits],
    remarks: Remarks,
) -> None:
    cycle = brain.cycle_time
    lockstep = settings.pacing == "lockstep"
    times = {
        "spike_timeout": spike_timeout(settings, cycle),
        "state_timeout": state_timeout(settings, cycle),
        "max_cycle_age": settings.max_cycle_age or math.inf,
        "steady_timeout": math.inf if lockstep else settings.steady_timeout,
    }
    for name, value in times.items():
        if value <= cycle:
            remarks.error(
                f"{value:g} s is not longer than a cycle, {cycle:g} s: the robot would stop in"
                f" every cycle; give {2 * cycle:g} or more",
                *node.place(name),
            )
    told: dict[tuple[str, str], list[str]] = {}
    for name, channel in joint_channels(settings):
        limit = limits.get(channel)
        # What a gripper holds keeps it from where it was told to go.
        if limit is not None and "gripper" not in settings.groups[name].interface:
            said = _following(settings, brain, limit)
            if said:
                own = limit.following_error is not None
                place = node.place(*(("limits", channel) if own else ()), "following_error")
                told.setdefault(place, []).append(said)
    for place, sentences in told.items():
        others = len(sentences) - 1
        more = f" (and {others} more channels)" if others and "'" in sentences[0] else ""
        remarks.warn(f"{sentences[0]}{more}", *place)


def _following(settings: MotorSettings, brain: KnownBrain, limit: JointLimits) -> str:
    """Return what is wrong with the following error of a channel; empty if nothing is."""
    own = limit.following_error
    allowed = settings.following_error if own is None else own
    if not allowed:
        return "0: a joint that is blocked, or does not follow, is not noticed; give a distance"
    if limit.bounded and allowed >= limit.upper - limit.lower:
        return (
            f"{allowed:g} is as much as {limit.name!r} can move at all ({limit.lower:g} to"
            f" {limit.upper:g}): nothing is ever noticed; give less"
        )
    way = commanded_per_cycle(settings, limit.name, limit, brain)
    if math.isfinite(way) and allowed < way:
        behind = allowed / way * brain.cycle_time
        return (
            f"{allowed:g} is less than {limit.name!r} may move in a cycle ({way:.3g}): a controller"
            f" {behind:.2g} s behind is taken for a fault; give more, or lower its velocity"
        )
    return ""


def commanded_per_cycle(
    settings: MotorSettings, channel: str, limit: JointLimits, brain: KnownBrain
) -> float:
    """Return how far a channel may be commanded in a cycle at most, in its unit."""
    assert brain.contract is not None
    sizes = {port.id: port.n for port in brain.contract.outputs}
    per_step = 0.0
    for entry in settings.mapping.values():
        if entry.channel != channel:
            continue
        size = sizes.get(entry.population, 0)
        spikes = {"addition": size, "bipolarSplit": size // 2}.get(entry.scheme, 1)
        most = abs(entry.per_step_max * entry.gain) * spikes
        if entry.clamp is not None:
            most = min(most, max(map(abs, entry.clamp)))
        per_step += most
    return min(per_step * brain.contract.gamma, limit.velocity * brain.cycle_time)


def dangers(node: NodeConfig) -> Iterator[tuple[str, GroupSettings]]:
    """Yield the groups whose controller would go on with the last command of a dead node."""
    settings: MotorSettings = node.settings
    for name, group in settings.groups.items():
        if group.quantity is not Quantity.POSITION:
            yield name, group
