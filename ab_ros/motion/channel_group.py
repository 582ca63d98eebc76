"""What the groups of all quantities have in common: their channels, limits and period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats, Loops
from ab_ros.motion.settings import GroupSettings


class ChannelGroup:
    """Channels that are commanded together.

    Parameters
    ----------
    name, settings : as configured.
    limits : of each channel, in the order of the channels.
    loops : the inner loops.
    """

    published = False
    """Whether anything was commanded since the last seed."""

    def __init__(
        self, name: str, settings: GroupSettings, limits: Sequence[JointLimits], loops: Loops
    ) -> None:
        self.name = name
        self.settings = settings
        self._loops = loops
        self.set_limits(limits)
        self.forget()

    def forget(self) -> None:
        """Forget all about the robot."""
        self.published = False

    def set_limits(self, limits: Sequence[JointLimits]) -> None:
        """Take new limits; they hold from the next command on."""
        self.limits = tuple(limits)
        self._lower = self._each("lower")
        self._upper = self._each("upper")
        self._soft_lower = self._each("soft_lower")
        self._soft_upper = self._each("soft_upper")
        self._velocity = self._each("velocity")
        self._acceleration = self._each("acceleration")
        self._jerk = self._each("jerk")
        self._step = self._each("step")

    def _each(self, what: str) -> Floats:
        return np.array([getattr(limit, what) for limit in self.limits], np.float64)

    def _spacing(self, dt: float, chained: bool) -> int:
        """Return how many timesteps lie between two points of a cycle's command.

        What is played needs the whole path, because its beat does not begin anew with each cycle;
        in lockstep (``chained``) nothing is played.
        """
        return 1 if self.settings.played and not chained else self._stride(dt)

    def _stride(self, dt: float) -> int:
        """Return how many timesteps of ``dt`` lie between two points of a command."""
        return max(1, round(self.settings.period / dt))
