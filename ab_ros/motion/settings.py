"""Settings of the motor stage: mapping, limits, command groups and time-outs."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ab_ros.codec.decoder import MappingEntry
from ab_ros.config import setting
from ab_ros.errors import ConfigError, one_of
from ab_ros.motion.limits import JointLimits, LimitSettings


class Quantity(enum.Enum):
    """What the numbers of a command are."""

    POSITION = "position"
    VELOCITY = "velocity"


INTERFACES: Mapping[str, Quantity] = {
    "joint_trajectory": Quantity.POSITION,
    "position": Quantity.POSITION,
    "joint_state": Quantity.POSITION,
    "gripper": Quantity.POSITION,
    "velocity": Quantity.VELOCITY,
    "joint_jog": Quantity.VELOCITY,
    "twist": Quantity.VELOCITY,
    "twist_stamped": Quantity.VELOCITY,
}
"""Command interfaces and what they carry."""

_BRAKE = 10.0  # s; a robot that brakes for longer is a slip of the pen in its limits

_STOPS: Mapping[Quantity, tuple[str, ...]] = {
    Quantity.POSITION: ("hold",),
    Quantity.VELOCITY: ("ramp", "zero"),
}


@dataclass(frozen=True)
class GroupSettings:
    """Channels that are commanded together, by one message on one topic."""

    channels: tuple[str, ...] = setting(doc="its channels; for joints, the joints' names")
    topic: str = setting(doc="command topic, relative to the node's namespace")
    interface: str = setting(
        "joint_trajectory", doc="form of the command", one_of=tuple(INTERFACES)
    )
    stop: str = setting(
        "default",
        doc="how it stops: hold (positions), ramp to zero or zero at once (velocities);"
        " default is hold or ramp",
        one_of=("default", "hold", "ramp", "zero"),
    )
    period: float = setting(
        0.0,
        doc="time between points of a command, rounded to whole timesteps; 0 is every timestep",
        unit="s",
        ge=0.0,
        le=1.0,
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

    @property
    def quantity(self) -> Quantity:
        """What the numbers of its commands are."""
        return INTERFACES[self.interface]

    @property
    def stop_action(self) -> str:
        """``hold``, ``ramp`` or ``zero``."""
        return _STOPS[self.quantity][0] if self.stop == "default" else self.stop


@dataclass(frozen=True)
class MotorSettings:
    """Everything that the motor stage is told."""

    mapping: dict[str, MappingEntry] = setting(doc="which population moves which channel")
    groups: dict[str, GroupSettings] = setting(doc="which channels are commanded together")
    limits: dict[str, LimitSettings] = setting(dict, doc="limits by channel, over the URDF's")
    pacing: str = setting(
        "realtime",
        doc="lockstep: the robot is a simulation that advances by exactly one cycle per answer",
        one_of=("realtime", "lockstep"),
    )
    spike_timeout: float = setting(
        0.0,
        doc="the robot stops after this time without a fresh cycle; 0 is max(2 cycles, 50 ms)",
        unit="s",
        ge=0.0,
        live=True,
    )
    steady_timeout: float = setting(
        1.0,
        doc="the same on the computer's own clock, for when the robot's clock stands still",
        unit="s",
        gt=0.0,
        live=True,
    )
    state_timeout: float = setting(
        0.0,
        doc="the robot stops on joint states older than this; 0 is max(2 cycles, 50 ms)",
        unit="s",
        ge=0.0,
        live=True,
    )
    max_cycle_age: float = setting(
        0.0,
        doc="cycles that began longer ago are refused; 0 is one cycle and spike_timeout",
        unit="s",
        ge=0.0,
        live=True,
    )
    clock_leap: float = setting(
        1.0, doc="largest leap of the robot's clock forward", unit="s", gt=0.0, live=True
    )
    following_error: float = setting(
        0.5,
        doc="largest distance of command and measurement; 0 is off",
        unit="rad or m",
        ge=0.0,
        live=True,
    )
    following_time: float = setting(
        0.1, doc="how long it may last before it is a fault", unit="s", ge=0.0, live=True
    )
    drift_tolerance: float = setting(
        0.05,
        doc="after a pause, a command farther than this from the measurement is seeded anew",
        unit="rad or m",
        gt=0.0,
        live=True,
    )
    fault_margin: float = setting(
        0.02,
        doc="a joint measured farther than this beyond its limits is a fault",
        unit="rad or m",
        ge=0.0,
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

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels, in the order of the groups."""
        return tuple(channel for group in self.groups.values() for channel in group.channels)


def check_limits(settings: MotorSettings, limits: Mapping[str, JointLimits]) -> None:
    """Refuse channels that lack a limit without which they are not safe to move.

    Raises
    ------
    ConfigError
        if a channel has no velocity limit, could not brake within 10 s, or is commanded by
        position and has neither bounds nor is said to be continuous.
    """
    for name, group in settings.groups.items():
        for channel in group.channels:
            limit = limits.get(channel)
            if limit is None or math.isinf(limit.velocity):
                raise ConfigError(
                    f"groups.{name}: channel {channel!r} has no velocity limit; give"
                    f" limits.{channel}.velocity, or a URDF that has it"
                )
            if math.isfinite(limit.acceleration) and limit.velocity > _BRAKE * limit.acceleration:
                raise ConfigError(
                    f"groups.{name}: channel {channel!r} would need"
                    f" {limit.velocity / limit.acceleration:.3g} s to brake from its velocity"
                    f" limit, more than {_BRAKE:g} s: lower limits.{channel}.velocity or raise"
                    f" limits.{channel}.acceleration"
                )
            if group.quantity is Quantity.POSITION and not (limit.bounded or limit.continuous):
                raise ConfigError(
                    f"groups.{name}: channel {channel!r} has no position limits; give"
                    f" limits.{channel}.lower and upper, or 'continuous: true'"
                )
