"""The measured joint states: merged from partial messages, aged on two clocks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.integrate import Floats

_NAMED = 6  # joints by name in a message


class MeasuredStates:
    """The latest position and velocity of each joint that the stage needs.

    Attributes: ``problem``, why the last message was refused, empty if it was not; ``refused``, the
    same of the last one that was refused since the last seed.

    Parameters
    ----------
    names : the joints, J; others in a message are left alone.
    timeout : s, robot time after which a state is stale.
    steady_timeout : s, the same on the steady clock; infinite in lockstep, where the robot stands
        still while its clock does.
    """

    def __init__(self, names: Sequence[str], timeout: float, steady_timeout: float) -> None:
        self.names = tuple(names)
        self.timeout = timeout
        self.steady_timeout = steady_timeout
        self.counters: Counter[str] = Counter()
        self.refused = ""
        self.problem = ""
        self._index = {name: index for index, name in enumerate(self.names)}
        self.clear()

    def clear(self) -> None:
        """Forget all states, as after a backward clock."""
        size = len(self.names)
        self.position = np.full(size, math.nan)
        self.velocity = np.full(size, math.nan)
        self.stamp = np.full(size, -math.inf)
        self._received = np.full(size, -math.inf)
        self._received_steady = np.full(size, -math.inf)

    def demand_fresh(self) -> None:
        """Let only states count that are received from now on."""
        self._received_steady[:] = -math.inf

    def take(
        self,
        names: Sequence[str],
        position: Sequence[float] | Floats,
        velocity: Sequence[float] | Floats | None,
        stamp: float,
        now: float,
        steady: float,
    ) -> tuple[int, ...]:
        """Merge one message; return the indices of the joints that it brought something new for.

        Refused as a whole, with a counter and :attr:`refused` saying why: lists of different
        length, a joint named twice, a position that is not finite or a velocity that is infinite,
        a stamp that is not finite or ahead of the clock by more than the time-out.  A velocity of
        NaN counts as not given.  A stamp of 0 means none: receipt counts.
        """
        problem, counter = self._problem(names, position, velocity, stamp, now)
        self.problem = problem
        if problem:
            self.refused = problem
            self.counters[counter] += 1
            return ()
        when = now if stamp == 0.0 else stamp
        taken: list[int] = []
        for place, name in enumerate(names):
            index = self._index.get(name)
            if index is None:
                continue
            if when < self.stamp[index]:
                self.counters["states_out_of_order"] += 1
                continue
            self.position[index] = position[place]
            self.velocity[index] = (
                velocity[place] if velocity is not None and len(velocity) else math.nan
            )
            self.stamp[index] = when
            self._received[index] = now
            self._received_steady[index] = steady
            taken.append(index)
        return tuple(taken)

    def _problem(
        self,
        names: Sequence[str],
        position: Sequence[float] | Floats,
        velocity: Sequence[float] | Floats | None,
        stamp: float,
        now: float,
    ) -> tuple[str, str]:
        if len(position) != len(names):
            return (
                f"joint state has {len(names)} names but {len(position)} positions",
                "states_malformed",
            )
        if velocity is not None and len(velocity) not in (0, len(names)):
            return (
                f"joint state has {len(names)} names but {len(velocity)} velocities",
                "states_malformed",
            )
        seen: set[str] = set()
        for place, name in enumerate(names):
            if name not in self._index:
                continue
            if name in seen:
                return f"joint state names {name!r} twice", "states_malformed"
            seen.add(name)
            if not math.isfinite(position[place]):
                return f"position of {name!r} is {float(position[place])}", "states_non_finite"
            if velocity is not None and len(velocity) and math.isinf(velocity[place]):
                return f"velocity of {name!r} is {float(velocity[place])}", "states_non_finite"
        if not math.isfinite(stamp):
            return f"the stamp of the joint state is {stamp}", "states_non_finite"
        if stamp > now + self.timeout:
            return (
                f"the stamp of the joint state is {stamp - now:.3f} s ahead of the clock",
                "states_ahead",
            )
        return "", ""

    def stale(self, now: float, steady: float) -> NDArray[np.bool_]:
        """Return which joints have no fresh state; [J]."""
        oldest = now - self.timeout
        fresh = (
            (self.stamp >= oldest)
            & (self._received >= oldest)
            & np.isfinite(self._received_steady)
            & (self._received_steady >= steady - self.steady_timeout)
        )
        return np.asarray(~fresh)

    def missing(self, now: float, steady: float) -> str:
        """Name the joints without a fresh state; an empty text if there are none."""
        names = [self.names[index] for index in np.flatnonzero(self.stale(now, steady)).tolist()]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more
