"""The measured joint states: merged from partial messages, aged on two clocks, and doubted.

A position that is farther from the last one than the joint can have moved is a *jump*: a glitch, or
a second publisher of the same joints.  It steers nothing, until the joint is seen to stay there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ab_ros.motion.limits import JointLimits
from ab_ros.motion.pursuit import Floats

_NAMED = 6  # joints by name in a message
_TURN = 2.0 * math.pi
_ABOUT_PI, _ABOUT_TURN = math.pi + 0.1, _TURN + 0.1  # drivers round, and overshoot
_FASTER = 2.0  # times its velocity limit: an arm that overshoots, or is moved by hand
JUMP_TIME = 0.2  # s; a place that lasts so long is believed, and so are states after a jump
_JUMP_SAMPLES = 3  # of which it takes at least so many


class _Place(NamedTuple):
    """Where a joint is said to be that it cannot have moved to, since when and how often."""

    position: float
    stamp: float
    since: float
    samples: int


class MeasuredStates:
    """The latest position and velocity of each joint that the stage needs.

    Attributes: ``problem``, why the last message was refused, empty if it was not, and ``counter``
    of such; ``refused``, the problem of the last one that was refused since the last seed; by
    joint: ``position`` (of continuous joints without leaps from turn to turn), ``velocity`` (NaN
    where not given), ``stamp``, ``speed`` (from the last two positions where no velocity was given,
    NaN before) and ``interval`` between the last two stamps.

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
        self.problem = self.counter = ""
        self._index = {name: index for index, name in enumerate(self.names)}
        size = len(self.names)
        self._continuous = np.zeros(size, bool)
        self._velocity = np.full(size, math.inf)
        self._slack = math.inf
        # Beyond clear(): a clock that jumps turns no joint.
        self._turned_to = np.full(size, math.nan)
        self._lowest, self._highest = np.full(size, math.inf), np.full(size, -math.inf)
        self.clear()

    def judge_by(self, joints: Sequence[JointLimits], slack: float) -> None:
        """Take the joints' limits, and how far beyond twice their velocity one may jump; 0: ever.

        Parameters
        ----------
        joints : limits by joint; of continuous ones, positions count modulo a turn.
        slack : rad or m, noise and late stamps.
        """
        self._continuous = np.array([joint.continuous for joint in joints], bool)
        self._velocity = np.array([joint.velocity for joint in joints], np.float64)
        self._slack = slack or math.inf

    def clear(self) -> None:
        """Forget all states, as after a backward clock."""
        size = len(self.names)
        self.position = np.full(size, math.nan)
        self.velocity = np.full(size, math.nan)
        self.stamp = np.full(size, -math.inf)
        self.speed = np.full(size, math.nan)
        self.interval = np.full(size, math.nan)
        self._received = np.full(size, -math.inf)
        self._received_steady = np.full(size, -math.inf)
        self._elsewhere: dict[int, _Place] = {}
        self._jumped = -math.inf

    def contradicts(self, now: float) -> bool:
        """Return whether the joint states have contradicted each other lately."""
        return now - self._jumped < JUMP_TIME

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
        a stamp that is not finite or ahead of the clock by more than the time-out, a position that
        is a jump.  A velocity of NaN counts as not given.  A stamp of 0 means none: receipt counts.

        A jump is more than the slack beyond twice what the velocity limit allows since the last
        position.  Where a joint stays for :data:`JUMP_TIME` and three samples, none of them near
        where it was before, there it is: it was moved while nobody looked.
        """
        problem, counter = self._problem(names, position, velocity, stamp, now)
        when = now if stamp == 0.0 else stamp
        if not problem:
            position = self._unwrapped(names, position)
            problem, counter = self._jump(names, position, when, now), "states_jumped"
        self.problem, self.counter = problem, counter if problem else ""
        if problem:
            self.refused = problem
            self.counters[counter] += 1
            return ()
        taken: list[int] = []
        for place, name in enumerate(names):
            index = self._index.get(name)
            if index is None:
                continue
            if when < self.stamp[index]:
                self.counters["states_out_of_order"] += 1
                continue
            self._rate(index, float(position[place]), when)
            self.position[index] = position[place]
            self.velocity[index] = (
                velocity[place] if velocity is not None and len(velocity) else math.nan
            )
            if not math.isnan(self.velocity[index]):
                self.speed[index] = self.velocity[index]
            self.stamp[index] = when
            self._turned_to[index] = position[place]
            self._received[index] = now
            self._received_steady[index] = steady
            taken.append(index)
        return tuple(taken)

    def _rate(self, index: int, position: float, when: float) -> None:
        interval = when - float(self.stamp[index])
        if 0.0 < interval < math.inf:
            self.interval[index] = interval
            self.speed[index] = (position - self.position[index]) / interval

    def _unwrapped(self, names: Sequence[str], position: Sequence[float] | Floats) -> list[float]:
        """Return the positions, those of continuous joints on the turn nearest to the last one.

        Drivers that count turns themselves are left alone: they are beyond any range of one turn.
        """
        found = [float(value) for value in position]
        if not self._continuous.any():
            return found
        for place, name in enumerate(names):
            index = self._index.get(name)
            if index is None or not self._continuous[index]:
                continue
            raw = found[place]
            low = self._lowest[index] = min(self._lowest[index], raw)
            high = self._highest[index] = max(self._highest[index], raw)
            one_turn = high <= (_ABOUT_TURN if low >= -0.1 else _ABOUT_PI) and low >= -_ABOUT_PI
            last = self._turned_to[index]
            if one_turn and not math.isnan(last):
                found[place] = raw + _TURN * round((last - raw) / _TURN)
        return found

    def _jump(
        self, names: Sequence[str], position: Sequence[float], when: float, now: float
    ) -> str:
        """Return which joint has jumped, and how; an empty text if none has."""
        if math.isinf(self._slack):
            return ""
        problem, settled = "", []
        for place, name in enumerate(names):
            index = self._index.get(name)
            if index is None or not self.stamp[index] <= when or math.isinf(self.stamp[index]):
                continue
            at, before = position[place], float(self.position[index])
            interval = when - float(self.stamp[index])
            last = self._elsewhere.get(index)
            # With time, every place comes within reach: one that was jumped to does not.
            there = last is not None and abs(at - last.position) < abs(at - before)
            if self._reaches(index, at - before, interval) and not there:
                self._elsewhere.pop(index, None)
                continue
            if last is not None and self._reaches(index, at - last.position, when - last.stamp):
                new = _Place(at, when, last.since, last.samples + 1)
            else:
                new = _Place(at, when, when, 1)
            self._elsewhere[index] = new
            if when - new.since >= JUMP_TIME and new.samples >= _JUMP_SAMPLES:
                settled.append(index)
                continue
            problem = problem or (
                f"position of {name!r} jumps from {before:.4g} to {at:.4g} within {interval:.3g} s,"
                f" farther than its velocity limit allows: a glitch, or a"
                " second publisher of its joint states"
            )
        if problem:
            self._jumped = now
        elif settled:
            self._jumped = -math.inf
            for index in settled:
                del self._elsewhere[index]
                self.stamp[index] = -math.inf  # no speed from there to here
        return problem

    def _reaches(self, index: int, way: float, interval: float) -> bool:
        velocity = float(self._velocity[index])
        if math.isinf(velocity):
            return True
        return abs(way) <= _FASTER * velocity * max(interval, 0.0) + self._slack

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
        if not seen:
            return "", ""  # none of ours: whatever is wrong with it is no concern of this robot
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
