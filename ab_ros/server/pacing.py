"""When the next cycle of a run may begin: rules without clocks, threads or sockets.

Times are in s on the steady clock.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod


class Verdict(enum.Enum):
    """What a run has to do now."""

    WAIT = "wait"
    RUN = "run"
    ASK_AGAIN = "ask again"


class Pacing(ABC):
    """Decides when a run's next cycle begins; times stand still while its client is gone."""

    @abstractmethod
    def joined(self, now: float) -> None:
        """Note that a client has joined."""

    @abstractmethod
    def asked(self, now: float) -> None:
        """Note that the need of the next cycle was sent."""

    @abstractmethod
    def executed(self, now: float) -> None:
        """Note that the commands of the last cycle were executed, or refused."""

    @abstractmethod
    def ran(self, now: float) -> None:
        """Note that a cycle ran."""

    @abstractmethod
    def left(self, now: float) -> float:
        """Return how long (s) a need that is sent now may be answered; infinite: no hurry."""

    @abstractmethod
    def verdict(self, now: float, answered: bool) -> Verdict:
        """Return what to do; ``answered`` tells whether every input has been answered."""

    @abstractmethod
    def wake_at(self) -> float:
        """Return when the verdict may change although nothing happens."""


class GatedPacing(Pacing):
    """A cycle waits for the commands of the one before and for its samples, up to a deadline.

    The deadline counts from the later of need and gate: a gate that opens when the need's deadline
    has passed has the need sent again, so that no cycle runs on nothing only because the robot
    took its time.

    Parameters
    ----------
    deadline : s; infinite for none.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        self._deadline = deadline
        self._open = False
        self._late = False
        self._due = math.inf

    def joined(self, now: float) -> None:
        """Open the gate: nobody may be there any more who could answer the last cycle."""
        self._open = True

    def asked(self, now: float) -> None:
        """Start the deadline."""
        self._late = False
        self._due = now + self._deadline

    def executed(self, now: float) -> None:
        """Open the gate; the deadline starts anew, or the need is to be sent again."""
        if not self._open:
            self._open = True
            self._late = now > self._due
            self._due = now + self._deadline

    def ran(self, now: float) -> None:
        """Close the gate."""
        self._open = False
        self._due = math.inf

    def left(self, now: float) -> float:
        """Return the deadline."""
        return self._deadline

    def verdict(self, now: float, answered: bool) -> Verdict:
        """Return what to do."""
        if not self._open:
            return Verdict.WAIT
        if answered:
            return Verdict.RUN
        if self._late:
            return Verdict.ASK_AGAIN
        return Verdict.RUN if now >= self._due else Verdict.WAIT

    def wake_at(self) -> float:
        """Return when the deadline passes."""
        return self._due if self._open else math.inf


class FreePacing(Pacing):
    """A cycle every period, with the newest samples that there are.

    Parameters
    ----------
    period : s, duration of a cycle.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._due = math.inf

    def joined(self, now: float) -> None:
        """Leave the first cycle time for its samples."""
        self._due = now + self._period

    def asked(self, now: float) -> None:
        """Do nothing: cycles follow the clock."""

    def executed(self, now: float) -> None:
        """Do nothing: cycles follow the clock."""

    def ran(self, now: float) -> None:
        """Set when the next one is due; what was missed is not made up for."""
        self._due = max(self._due + self._period, now)

    def left(self, now: float) -> float:
        """Return the time until the next cycle is due, at least 1 ms."""
        return max(0.001, self._due - now)

    def verdict(self, now: float, answered: bool) -> Verdict:
        """Return what to do."""
        return Verdict.RUN if now >= self._due else Verdict.WAIT

    def wake_at(self) -> float:
        """Return when the next cycle is due."""
        return self._due
