"""What a group's topic is to be sent."""

from __future__ import annotations

from dataclasses import dataclass

from ab_ros.motion.pursuit import Floats
from ab_ros.motion.settings import Quantity


@dataclass(frozen=True)
class Command:
    """What one group's topic is to be sent: replaces all that was sent there before.

    Parameters
    ----------
    group, topic, interface, quantity : as in the settings.
    names : the channels, C; for joints, the joints' names.
    times : float64[P], s from now on: > 0, ascending.  A trajectory's points are a period apart.
        Where points are played one at a time, a cycle has one for each timestep (but in lockstep),
        and what is between them is sent each period.
    values : float64[P, C], positions, velocities or efforts by point.
    speeds : float64[P, C], speeds at the points of a position command; the last are 0.  None for
        velocities and efforts.
    start : float64[C], positions, velocities or efforts that it departs from.
    start_speed : float64[C], speeds of ``start`` for positions; else zeros.
    cycle_points : how many of the points play within the cycle; the others are the tail, which a
        later command replaces if it comes in time.
    stop : whether it stops the robot.
    prompt : whether it is played from its own first point on at once, whatever the beat in which
        points are sent: it takes away what the robot must not feel.
    """

    group: str
    topic: str
    interface: str
    quantity: Quantity
    names: tuple[str, ...]
    times: Floats
    values: Floats
    speeds: Floats | None
    start: Floats
    start_speed: Floats
    cycle_points: int
    stop: bool = False
    prompt: bool = False
