"""Settings of the motor stage: mapping, limits, command groups and time-outs."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ab_ros.codec.decoder import MappingEntry
from ab_ros.config import setting
from ab_ros.errors import ConfigError, one_of
from ab_ros.motion.limits import FARTHEST, JointLimits, LimitSettings, resolve_limits


class Quantity(enum.Enum):
    """What the numbers of a command are."""

    POSITION = "position"
    VELOCITY = "velocity"
    EFFORT = "effort"


INTERFACES: Mapping[str, Quantity] = {
    "joint_trajectory": Quantity.POSITION,
    "position": Quantity.POSITION,
    "joint_state": Quantity.POSITION,
    "gripper": Quantity.POSITION,
    "gripper_action": Quantity.POSITION,
    "gripper_command": Quantity.POSITION,
    "velocity": Quantity.VELOCITY,
    "joint_jog": Quantity.VELOCITY,
    "twist": Quantity.VELOCITY,
    "twist_stamped": Quantity.VELOCITY,
    "effort": Quantity.EFFORT,
}
"""Command interfaces and what they carry."""
TWISTS = ("twist", "twist_stamped")
"""Command interfaces whose channels are parts of a twist, and no joints."""

GRIPPERS = ("gripper", "gripper_action", "gripper_command")
"""Those that carry a goal, to which a controller goes as fast as it likes."""

PLAYED = frozenset(
    ("position", "joint_state", "velocity", "joint_jog", "twist", "twist_stamped", "effort")
)
"""Interfaces whose points are sent one at a time: such a controller applies each at once."""

_LONGEST = 60.0  # s; a time-out that is longer than this is none
_LONGEST_FAULT = 10.0  # s; for what a person waits for beside the robot
_BRAKE = 10.0  # s; a robot that brakes for longer is a slip of the pen in its limits
_SMOOTHING = 1.0  # s; more would brake long after the danger was seen


_STOPS: Mapping[Quantity, tuple[str, ...]] = {
    Quantity.POSITION: ("hold",),
    Quantity.VELOCITY: ("ramp", "zero"),
    # The first is the default: what the level does by itself when no spike comes.  Held, it would
    # go on pushing with nobody in command; it is not what carries an arm, either, but the last
    # whim of a brain: an arm that falls without effort needs values of its own.
    Quantity.EFFORT: ("ramp", "hold", "zero", "value"),
}


@dataclass(frozen=True)
class GroupSettings:
    """Channels that are commanded together, by one message on one topic."""

    channels: tuple[str, ...] = setting(doc="its channels; for joints, the joints' names")
    topic: str = setting(doc="command topic or action, relative to the node's namespace")
    interface: str = setting(
        "joint_trajectory", doc="form of the command", one_of=tuple(INTERFACES)
    )
    stop: str = setting(
        "default",
        doc="how it stops: hold (positions); ramp to zero or zero at once (velocities); ramp to"
        " zero, hold the last level, zero at once or go to stop_value (efforts); default is hold"
        " or ramp",
        one_of=("default", "hold", "ramp", "zero", "value"),
    )
    stop_value: tuple[float, ...] = setting(
        (),
        doc="efforts that carry the robot's weight, one for each channel: with 'stop: value' a stop"
        " goes there, and what spikes ask for leaks away to there instead of to zero",
        unit="Nm or N",
    )
    period: float = setting(
        0.0,
        doc="time between points of a command, rounded to whole timesteps; 0 is every timestep",
        unit="s",
        ge=0.0,
        le=1.0,
    )
    smoothing: float = setting(
        0.0,
        doc="positions and velocities are averaged over this time, which delays them by half of it;"
        " a stop does without",
        unit="s",
        ge=0.0,
        le=_SMOOTHING,
    )
    leak: float = setting(
        0.2, doc="time constant with which an effort decays; a ramp takes as long", unit="s", gt=0.0
    )
    deadband: float = setting(
        0.0,
        doc="an action, or a topic that is sent on change, is sent a new position that differs by"
        " more than this from the last one",
        unit="rad or m",
        ge=0.0,
    )
    max_effort: float = setting(
        0.0,
        doc="effort with which a gripper's action may grip; 0 leaves it to its controller",
        unit="Nm or N",
        ge=0.0,
    )

    def __post_init__(self) -> None:
        if not self.channels or not all(name.strip() for name in self.channels):
            raise ConfigError(f"channels must be a list of names, not {list(self.channels)}")
        if len(set(self.channels)) != len(self.channels):
            raise ConfigError(f"channels must be different, not {list(self.channels)}")
        if not self.topic.strip():
            raise ConfigError(f"topic must be a topic's name, not {self.topic!r}")
        if self.interface not in INTERFACES:
            raise ConfigError(f"unknown interface {self.interface!r}; {one_of(INTERFACES)}")
        allowed = ("default", *_STOPS[self.quantity])
        if self.stop not in allowed:
            raise ConfigError(
                f"interface {self.interface!r} cannot stop by {self.stop!r}; {one_of(allowed)}"
            )
        self._check_stop_value()
        if self.smoothing and self.quantity is Quantity.EFFORT:
            raise ConfigError(
                f"smoothing must be 0 for interface {self.interface!r}, not {self.smoothing}: an"
                " effort is smoothed by its leak and by limits.<channel>.effort_rate"
            )

    def _check_stop_value(self) -> None:
        if self.stop != "value":
            if self.stop_value:
                raise ConfigError(f"stop_value is only for 'stop: value', not {self.stop!r}")
        elif len(self.stop_value) != len(self.channels):
            raise ConfigError(
                f"stop_value must have a value for each of {list(self.channels)}, not"
                f" {list(self.stop_value)}"
            )

    @property
    def quantity(self) -> Quantity:
        """What the numbers of its commands are."""
        return INTERFACES[self.interface]

    @property
    def played(self) -> bool:
        """Whether the points of its commands are sent one at a time, each when it is due."""
        return self.interface in PLAYED

    @property
    def stop_action(self) -> str:
        """``hold``, ``ramp``, ``zero`` or ``value``."""
        return _STOPS[self.quantity][0] if self.stop == "default" else self.stop


@dataclass(frozen=True)
class MotorSettings:
    """Everything that the motor stage is told."""

    mapping: dict[str, MappingEntry] = setting(doc="which population moves which channel")
    groups: dict[str, GroupSettings] = setting(doc="which channels are commanded together")
    limits: dict[str, LimitSettings] = setting(
        dict,
        doc="limits by channel, over the URDF's; every channel has an entry, given or not, so that"
        " all its limits can be set while the node runs",
    )
    pacing: str = setting(
        "realtime",
        doc="lockstep: the robot is a simulation that advances by exactly one cycle per answer",
        one_of=("realtime", "lockstep"),
    )
    spike_timeout: float = setting(
        0.0,
        doc="the robot stops after this time without a fresh cycle; 0 is max(2 cycles, 50 ms), with"
        " a remote brain twice the time in which its cycles come, and at most 1 s. So long it may"
        " go on when its brain has died: a minute is for brains that are debugged, more is no"
        " protection",
        unit="s",
        ge=0.0,
        le=_LONGEST,
        live=True,
    )
    direct: bool = setting(
        False,
        doc="whether changes of channels are executed that a brain sends instead of spikes (within"
        " all limits); else such cycles are refused",
    )
    steady_timeout: float = setting(
        1.0,
        doc="the same on the computer's own clock, for when the robot's clock stands still; at most"
        " a minute for the same reason",
        unit="s",
        gt=0.0,
        le=_LONGEST,
        live=True,
    )
    state_timeout: float = setting(
        0.0,
        doc="the robot stops on joint states older than this; 0 is max(2 cycles, 50 ms), and at"
        " most 1 s. So long it moves without being seen: a minute is for sensors that are debugged",
        unit="s",
        ge=0.0,
        le=_LONGEST,
        live=True,
    )
    max_cycle_age: float = setting(
        0.0,
        doc="cycles that began longer ago are refused; 0 is one cycle and spike_timeout, with a"
        " remote brain one cycle and 1 s. A cycle is an answer to what the robot saw then: after a"
        " minute it is none",
        unit="s",
        ge=0.0,
        le=_LONGEST,
        live=True,
    )
    deadman_timeout: float = setting(
        0.0,
        doc="the robot stops unless a deadman switch is pressed (true on the topic deadman), and"
        " was heard within this time on the computer's own clock; 0: there is no such switch. A"
        " switch that is lost acts as late: nobody waits for more than 10 s",
        unit="s",
        ge=0.0,
        le=_LONGEST_FAULT,
    )
    exclusive: bool = setting(
        True,
        doc="whether the robot holds while another node publishes on one of the command topics, or"
        " is a client of one of the actions",
        live=True,
    )
    command_delay: float = setting(
        0.0,
        doc="deltas are executed this much later, rounded to whole timesteps, to study delays;"
        " stops and limits are not delayed",
        unit="s",
        ge=0.0,
        le=5.0,
    )
    clock_leap: float = setting(
        1.0,
        doc="largest leap of the robot's clock forward; a greater one is no time that has passed,"
        " and the robot stops. Nothing real is a minute late",
        unit="s",
        gt=0.0,
        le=_LONGEST,
        live=True,
    )
    state_jump: float = setting(
        0.1,
        doc="the robot stops on a measured position that is farther from the last one than this and"
        " twice what the joint's velocity limit allows; 0 is off, as it is in lockstep and for"
        " grippers",
        unit="rad or m",
        ge=0.0,
        live=True,
    )
    following_error: float = setting(
        0.5,
        doc="largest distance of command and measurement; 0 is off. Farther than 10 rad or m no"
        " joint is let behind by a controller that works",
        unit="rad or m",
        ge=0.0,
        le=FARTHEST,
        live=True,
    )
    following_speed: float = setting(
        0.5,
        doc="largest difference of the commanded and the measured speed of a joint with position"
        " limits that is commanded by velocity, as a part of its velocity limit; 0 is off, as is a"
        " joint's following_error of 0",
        ge=0.0,
        le=2.0,
        live=True,
    )
    following_time: float = setting(
        0.1,
        doc="how long it may last before it is a fault; as long a blocked joint is pushed, so 10 s"
        " are the most",
        unit="s",
        ge=0.0,
        le=_LONGEST_FAULT,
        live=True,
    )
    drift_tolerance: float = setting(
        0.05,
        doc="after a pause, a command farther than this from the measurement is seeded anew; beyond"
        " 10 rad or m none would be",
        unit="rad or m",
        gt=0.0,
        le=FARTHEST,
        live=True,
    )
    fault_margin: float = setting(
        0.02,
        doc="a joint measured farther than this, or a twentieth of its range, beyond its limits is"
        " a fault; one that is nearer is brought inside at its velocity limit",
        unit="rad or m",
        ge=0.0,
        le=0.1,
        live=True,
    )

    def __post_init__(self) -> None:
        if not self.groups:
            raise ConfigError("groups: at least one is needed")
        owner: dict[str, str] = {}
        topics: dict[str, str] = {}
        for name, group in self.groups.items():
            for channel in group.channels:
                if channel in owner:
                    raise ConfigError(
                        f"groups.{name}.channels: {channel!r} is already in group"
                        f" {owner[channel]!r}; a channel belongs to exactly one group"
                    )
                owner[channel] = name
            if group.topic in topics:
                raise ConfigError(
                    f"groups.{name}.topic: {group.topic!r} is already the topic of group"
                    f" {topics[group.topic]!r}; two groups must not command one topic"
                )
            topics[group.topic] = name
        if not self.mapping:
            raise ConfigError("mapping: has no entries: no spike would move anything")
        for name, entry in self.mapping.items():
            if entry.channel not in owner:
                raise ConfigError(
                    f"mapping.{name}.channel: no group has channel {entry.channel!r};"
                    f" {one_of(owner)}"
                )
        for name in self.limits:
            if name not in owner:
                raise ConfigError(f"limits.{name}: no group has this channel; {one_of(owner)}")
        every = {name: self.limits.get(name, LimitSettings()) for name in owner}
        object.__setattr__(self, "limits", every)

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels, in the order of the groups."""
        return tuple(channel for group in self.groups.values() for channel in group.channels)


def check_own_limits(settings: MotorSettings) -> None:
    """Refuse limits in the YAML that no description of a robot could make right.

    Raises
    ------
    ConfigError
        if a channel that is commanded by velocity has position limits, and is a part of a twist or
        not measured; the sentence begins with the setting.
    """
    limits = resolve_limits(settings.channels, settings.limits)
    for group in settings.groups.values():
        if group.quantity is Quantity.VELOCITY:
            for channel in group.channels:
                _check_positions(group, limits[channel])


def check_limits(settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
    """Refuse channels that lack a limit without which they are not safe to move.

    Raises
    ------
    ConfigError
        if a channel has no velocity limit, could not brake within 10 s, has a jerk limit that
        nothing can keep, is commanded by position or effort and has neither bounds nor is said to
        be continuous, is commanded by velocity and has bounds that cannot be kept, or is commanded
        by effort and has no effort limit or is not measured.
    """
    for name, group in settings.groups.items():
        for index, channel in enumerate(group.channels):
            limit = limits.get(channel)
            where = f"groups.{name}: channel {channel!r}"
            if limit is None or math.isinf(limit.velocity):
                raise ConfigError(
                    f"{where} has no velocity limit; give limits.{channel}.velocity, or a URDF that"
                    " has it"
                )
            if math.isfinite(limit.acceleration) and limit.velocity > _BRAKE * limit.acceleration:
                raise ConfigError(
                    f"{where} would need {limit.velocity / limit.acceleration:.3g} s to brake from"
                    f" its velocity limit, more than {_BRAKE:g} s: lower limits.{channel}.velocity"
                    f" or raise limits.{channel}.acceleration"
                )
            if group.quantity is not Quantity.VELOCITY and not (limit.bounded or limit.continuous):
                raise ConfigError(
                    f"{where} has no position limits; give limits.{channel}.lower and upper, or"
                    " 'continuous: true'"
                )
            if group.quantity is Quantity.VELOCITY:
                _check_positions(group, limit)
                _check_both_sides(where, limit)
            if group.quantity is Quantity.EFFORT:
                _check_effort(where, group, index, limit)
            else:
                _check_jerk(where, limit)


def _check_positions(group: GroupSettings, limit: JointLimits) -> None:
    """Refuse position limits of what has no position, or none that is known."""
    name, sides = limit.name, _sides(limit)
    if sides and group.interface in TWISTS:
        raise ConfigError(
            f"limits.{name}.{sides[0]}: is a position, which a channel of a {group.interface} does"
            f" not have; its speed is limited by limits.{name}.velocity"
        )
    if sides and not limit.measured:
        raise ConfigError(
            f"limits.{name}.{sides[0]}: where it is not measured, a velocity cannot keep limits of"
            f" the position; let joint_states have it, or leave lower and upper out (with"
            f" 'continuous: true' where the URDF has them)"
        )


def _check_both_sides(where: str, limit: JointLimits) -> None:
    name, sides = limit.name, _sides(limit)
    if len(sides) == 1:
        other = "upper" if sides == ["lower"] else "lower"
        raise ConfigError(
            f"{where} has a position limit on one side only, and one alone is not kept: give"
            f" limits.{name}.{other} with it, or leave limits.{name}.{sides[0]} out"
        )


def _sides(limit: JointLimits) -> list[str]:
    return [side for side in ("lower", "upper") if math.isfinite(getattr(limit, side))]


def _check_jerk(where: str, limit: JointLimits) -> None:
    if math.isinf(limit.jerk):
        return
    if math.isinf(limit.acceleration):
        raise ConfigError(
            f"{where} has a jerk limit but no acceleration limit; give"
            f" limits.{limit.name}.acceleration"
        )
    if limit.jerk_time > _SMOOTHING:
        raise ConfigError(
            f"{where} would need {limit.jerk_time:.3g} s to turn its acceleration around, more than"
            f" {_SMOOTHING:g} s: raise limits.{limit.name}.jerk or lower"
            f" limits.{limit.name}.acceleration"
        )


def _check_effort(where: str, group: GroupSettings, index: int, limit: JointLimits) -> None:
    if math.isinf(limit.effort):
        raise ConfigError(
            f"{where} has no effort limit; give limits.{limit.name}.effort, or a URDF that has it"
        )
    if not limit.measured:
        raise ConfigError(
            f"{where} is commanded by effort, which is not safe for what is not measured: its"
            " 'measured' must be true"
        )
    if group.stop_value and abs(group.stop_value[index]) > limit.effort:
        raise ConfigError(
            f"{where} would stop with an effort of {group.stop_value[index]:g}, beyond its limit of"
            f" {limit.effort:g}"
        )
