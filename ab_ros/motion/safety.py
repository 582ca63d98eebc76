"""The safety state machine: states, codes, their sentences, and the watch over two clocks.

::

    INACTIVE ──activate──▶ SEEDING ──fresh measured state──▶ ACTIVE ◀──fresh cycle──┐
        ▲                     ▲                                │                    │
        │                     ├── STALE_STATE, CLOCK_JUMP, ◀───┤                    │
    deactivate                │   NON_FINITE, STATE_JUMP,      │                    │
        │                     │   DEADMAN, OTHER_SOURCE        │                    │
        │                     │   clear themselves             ▼                    │
    (any state)               │                             HOLDING ──STALE_SPIKES──┘
                              └───────── ~/resume ◀── HALTED, FOLLOWING_ERROR, LIMIT_FAULT
"""

from __future__ import annotations

import enum
import math


class State(enum.IntEnum):
    """What the motor stage does; the numbers of MotorStatus.state."""

    INACTIVE = 0
    SEEDING = 1
    ACTIVE = 2
    HOLDING = 3


class Code(enum.IntEnum):
    """Why; the numbers of MotorStatus.code."""

    OK = 0
    NOT_ACTIVE = 1
    NO_STATE = 2
    STALE_SPIKES = 3
    STALE_STATE = 4
    CLOCK_JUMP = 5
    NON_FINITE = 6
    HALTED = 7
    FOLLOWING_ERROR = 8
    LIMIT_FAULT = 9
    WRONG_RUN = 10
    BAD_FRAME = 11
    LATE_CYCLE = 12
    DRIFT = 13
    DEADMAN = 14
    OTHER_SOURCE = 15
    STATE_JUMP = 16


LATCHED = frozenset({Code.HALTED, Code.FOLLOWING_ERROR, Code.LIMIT_FAULT})
"""Reasons to hold that wait for ``~/resume``."""

RESEEDING = frozenset(
    {
        Code.STALE_STATE,
        Code.CLOCK_JUMP,
        Code.NON_FINITE,
        Code.STATE_JUMP,
        Code.DEADMAN,
        Code.OTHER_SOURCE,
    }
)
"""Reasons to hold that clear themselves with a fresh measured state."""


BARRED_BY = {Code.DEADMAN: "deadman", Code.OTHER_SOURCE: "other source"}
"""Reasons to hold that last as long as somebody or something stands in the way; and their rules."""

RELEASING = LATCHED | BARRED_BY.keys() | {Code.NOT_ACTIVE}
"""Reasons to stop where the robot is measured, so that it lets go of what it pushes against."""


class Machine:
    """The state, its code and its sentence.

    Faults that wait for ``~/resume`` stay until :meth:`release`, whatever else happens: nothing
    that clears itself may take their place.
    """

    def __init__(self) -> None:
        self.state = State.INACTIVE
        self.code = Code.NOT_ACTIVE
        self.message = "not active"
        self.transitions = 0

    @property
    def latched(self) -> bool:
        """Whether it holds until ``~/resume``."""
        return self.code in LATCHED

    @property
    def waits_for_state(self) -> bool:
        """Whether a fresh measured state makes it active."""
        return self.state is State.SEEDING or (
            self.state is State.HOLDING and self.code in RESEEDING
        )

    def enter(self, state: State, code: Code, message: str) -> None:
        """Go to a state, or to another code of the same one."""
        if (state, code) != (self.state, self.code):
            self.transitions += 1
        self.state, self.code, self.message = state, code, message


class Clocks:
    """Watches the robot's clock against the computer's steady one.

    Parameters
    ----------
    leap : s, largest leap forward beyond what the steady clock shows; infinite where the robot's
        clock may run as fast as it can (lockstep).
    """

    BACKWARD = 1e-3  # s; less is rounding

    def __init__(self, leap: float) -> None:
        self.leap = leap
        self.now = math.nan
        self.steady = math.nan
        self._moved = -math.inf

    def stands(self, steady: float) -> float:
        """Return for how long the robot's clock has stood still by the steady one, s."""
        return max(steady - self._moved, 0.0)

    def step(self, now: float, steady: float) -> str:
        """Take the present times; return what is wrong with them, or an empty text."""
        before, steady_before = self.now, self.steady
        if not math.isfinite(now):
            return f"the robot's clock shows {now}"
        self.now, self.steady = now, steady
        if now != before:
            self._moved = steady
        if math.isnan(before):
            return ""
        change = now - before
        if change < -self.BACKWARD:
            return f"the robot's clock went back by {-change:.3f} s"
        if change - max(steady - steady_before, 0.0) > self.leap:
            return f"the robot's clock leapt forward by {change:.3f} s"
        return ""
