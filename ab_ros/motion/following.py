"""Whether joints do what they are told: the following error of positions and velocities."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from ab_ros.motion.groups import Group, PositionGroup, VelocityGroup
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.measured import MeasuredStates
from ab_ros.motion.settings import MotorSettings


class Following:
    """Compares what is measured with what was commanded, as long as it takes to be sure.

    Positions are compared with the command at their stamps.  Speeds are compared with all that were
    commanded within the following time: a joint that is late by less than that has any of them; one
    that is blocked, runs away or turns the wrong way has none.

    Parameters
    ----------
    measured : what is measured.
    place : index there by joint.
    """

    def __init__(self, measured: MeasuredStates, place: Mapping[str, int]) -> None:
        self._measured = measured
        self._place = place
        self.clear()

    def configure(self, settings: MotorSettings, joints: Sequence[JointLimits]) -> None:
        """Take how far the joints, in the order of what is measured, may be off; 0 is off."""
        self._patience = settings.following_time
        self._distance = [
            settings.following_error if joint.following_error is None else joint.following_error
            for joint in joints
        ]
        self._speed = [
            0.0 if joint.following_error == 0.0 else settings.following_speed * joint.velocity
            for joint in joints
        ]

    def clear(self) -> None:
        """Forget everything, as when the robot starts anew."""
        self._since: dict[int, float] = {}
        self._asked: dict[int, deque[tuple[float, float]]] = {}

    def check(self, groups: Sequence[Group], taken: tuple[int, ...], now: float) -> Iterator[str]:
        """Yield a sentence for each joint that does not follow, of those just measured."""
        for group in groups:
            if not group.published:
                continue
            if isinstance(group, PositionGroup):
                yield from self._positions(group, taken)
            elif isinstance(group, VelocityGroup):
                yield from self._speeds(group, taken, now)

    def _positions(self, group: PositionGroup, taken: tuple[int, ...]) -> Iterator[str]:
        at: float | None = None
        for index, limit in enumerate(group.limits):
            place = self._place.get(limit.name)
            if group.plan is None or place is None or place not in taken:
                continue
            allowed = self._distance[place]
            if not allowed:
                continue
            stamp = float(self._measured.stamp[place])
            if at != stamp:
                at, commanded = stamp, group.plan.state_at(stamp)[0]
            error = abs(float(commanded[index]) - float(self._measured.position[place]))
            passed = self._passed(place, error > allowed and not group.approaching[index])
            if passed >= self._patience:
                yield (
                    f"{limit.name!r} is measured {error:.4g} from its command for {passed:.3f} s;"
                    f" {allowed:g} is allowed"
                )

    def _speeds(self, group: VelocityGroup, taken: tuple[int, ...], now: float) -> Iterator[str]:
        commanded = group.commanded(now)
        for index, limit in enumerate(group.limits):
            place = self._place.get(limit.name)
            if commanded is None or place is None or place not in taken or not self._speed[place]:
                continue
            asked = self._asked.setdefault(place, deque([(-math.inf, 0.0)]))
            asked.append((now, float(commanded[index])))
            while asked[1][0] <= now - self._patience and len(asked) > 2:
                asked.popleft()  # but for the one that held when the time began
            speeds = [speed for _, speed in asked]
            measured = float(self._measured.speed[place])
            off = max(min(speeds) - measured, measured - max(speeds))
            passed = self._passed(place, off > self._speed[place])
            if passed >= self._patience:
                yield (
                    f"{limit.name!r} is measured to move at {measured:.4g}, commanded"
                    f" {commanded[index]:.4g}, for {passed:.3f} s; a difference of"
                    f" {self._speed[place]:.4g} is allowed"
                )

    def _passed(self, place: int, off: bool) -> float:
        """Return for how long a joint has been off, s; -1 if it is not."""
        if not off:
            self._since.pop(place, None)
            return -1.0
        stamp = float(self._measured.stamp[place])
        return stamp - self._since.setdefault(place, stamp)
