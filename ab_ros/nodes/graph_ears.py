"""What is heard on a topic of a running graph: how often, how old, and from whom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from ab_ros.nodes.dry_setup import End
from ab_ros.nodes.messages import seconds
from ab_ros.nodes.remarks import Level

ENOUGH = 3
"""Messages from which a rate is told."""
AHEAD = 0.05
"""By which a stamp may lie ahead of this computer's clock, s."""
_SPARE = 2.0  # messages of a deadman switch, at least, within its time-out


@dataclass
class Ear:
    """Listens to one topic: when messages came, how old they were, and the last one."""

    end: End
    names: list[str]
    max_age: float | None
    came: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    zero: int = 0
    last: Any = None
    sources: dict[Any, dict[str, float]] = field(default_factory=dict)
    """Of joint states: position by joint, by the publisher that told it last."""

    def hear(self, raw: bytes, info: Mapping[str, Any], now: float) -> None:
        """Take a message, with what the middleware says of it, at a robot time."""
        self.came.append(time.monotonic())
        self.last = deserialize_message(raw, self.end.message)
        header = getattr(self.last, "header", None)
        if header is not None:
            stamp = seconds(header.stamp)
            # A simulation begins at 0.
            self.zero += not stamp and now > AHEAD
            if stamp and now:
                self.ages.append(now - stamp)
        if isinstance(self.last, JointState):
            self._note_source(self.last, info)

    def _note_source(self, message: JointState, info: Mapping[str, Any]) -> None:
        gid = info.get("publisher_gid")
        # Where rclpy does not tell it, publishers of the same joints are taken for one.
        source = bytes(gid["data"]) if gid else tuple(message.name)
        known = self.sources.setdefault(source, {})
        known.update(zip(message.name, message.position, strict=False))

    @property
    def twice(self) -> dict[str, list[float]]:
        """Joints that more than one publisher tells of, and where they are by each."""
        told: dict[str, list[float]] = {}
        for source in self.sources.values():
            for joint, position in source.items():
                told.setdefault(joint, []).append(position)
        return {joint: positions for joint, positions in told.items() if len(positions) > 1}

    @property
    def rate(self) -> float | None:
        """Messages per s; None if too few came."""
        if len(self.came) < ENOUGH:
            return None
        return (len(self.came) - 1) / max(self.came[-1] - self.came[0], 1e-9)

    @property
    def age(self) -> float | None:
        """How old they were by their stamps, median, s; None if there are none."""
        return sorted(self.ages)[len(self.ages) // 2] if self.ages else None


def judge_deadman(rate: float, timeout: float) -> tuple[Level, str]:
    """Compare how often a deadman switch is heard, Hz, with how long it may be silent, s."""
    heard = f"{rate:.1f} Hz: it is heard every {1.0 / rate:.3g} s"
    advice = f"give {_SPARE / timeout:.0f} Hz or more, or raise deadman_timeout"
    if 1.0 / rate >= timeout:
        means = "the robot would stop between two messages"
        return Level.ERROR, f"{heard}, and deadman_timeout is {timeout:g} s: {means}; {advice}"
    if _SPARE / rate > timeout:
        means = "one message that is late or lost stops the robot"
        return Level.WARNING, f"{heard}, and deadman_timeout is {timeout:g} s: {means}; {advice}"
    return Level.OK, heard
