"""Command groups: each turns wishes or a stop into one safe command for its topic.

Two kinds of controllers must be safe with what they get, whatever follows:

- A *trajectory* controller plays the points at their times, starting from where it is, and stops at
  the last.  Hence the first point lies one period ahead, never at zero; every trajectory ends at
  rest (see :mod:`ab_ros.motion.integrate`); and speeds accompany the positions, so that its splines
  do not jerk.
- A *forward* controller applies each message at once and for ever.  The node plays it the points,
  one at a time, at the times that stand with them, until a newer command of the group replaces
  them: braking tail and ramp included.  It cannot be stopped by a node that has died.
"""

from __future__ import annotations

from collections.abc import Sequence

from ab_ros.motion.commands import Command
from ab_ros.motion.effort_group import EffortGroup
from ab_ros.motion.limits import JointLimits
from ab_ros.motion.position_group import PositionGroup
from ab_ros.motion.pursuit import Loops
from ab_ros.motion.settings import GroupSettings, Quantity
from ab_ros.motion.velocity_group import VelocityGroup

__all__ = ["Command", "EffortGroup", "Group", "PositionGroup", "VelocityGroup", "make_group"]

Group = PositionGroup | VelocityGroup | EffortGroup

_GROUPS: dict[Quantity, type[PositionGroup] | type[VelocityGroup] | type[EffortGroup]] = {
    Quantity.POSITION: PositionGroup,
    Quantity.VELOCITY: VelocityGroup,
    Quantity.EFFORT: EffortGroup,
}


def make_group(
    name: str, settings: GroupSettings, limits: Sequence[JointLimits], loops: Loops
) -> Group:
    """Return the group that commands what the settings' interface carries."""
    return _GROUPS[settings.quantity](name, settings, limits, loops)
