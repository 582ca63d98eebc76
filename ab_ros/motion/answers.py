"""What the motor stage tells: its answer to a cycle, and its status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ab_ros.motion.groups import Command
from ab_ros.motion.pursuit import Floats
from ab_ros.motion.safety import Code, State
from ab_ros.values import ChannelDeltas


@dataclass(frozen=True)
class Answer:
    """The stage's one answer to a cycle.

    Parameters
    ----------
    run, cycle : what is answered.
    executed : whether the cycle's deltas went into ``commands``; else it was refused, and
        ``commands`` are those that stop the robot, if it had to be stopped.
    code, reason : why, as a number and as a sentence.
    deltas : what the spikes asked for, before integration and limits; None if not decoded.
    limited : ``"joint: rule"`` of what took motion away.
    latency : s, from the newest observation in the cycle to this answer; NaN if unknown.
    """

    run: str
    cycle: int
    executed: bool
    code: Code
    reason: str
    commands: tuple[Command, ...] = ()
    deltas: ChannelDeltas | None = None
    limited: tuple[str, ...] = ()
    latency: float = math.nan


@dataclass(frozen=True)
class StageStatus:
    """What MotorStatus reports; arrays by channel, NaN where unknown."""

    state: State
    code: Code
    message: str
    joints: tuple[str, ...]
    commanded: Floats
    measured: Floats
    limited: tuple[str, ...]
    cycles_executed: int
    cycles_refused: int
    sensor_to_command_p50: float
    sensor_to_command_p99: float
    counters: Mapping[str, int]
