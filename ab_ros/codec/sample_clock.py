"""When samples were taken, by their count and a clock that is read late and unevenly."""

from __future__ import annotations


class SampleClock:
    """Dates the chunks of a stream of samples.

    A chunk begins where the one before ended, and what the clock says draws that towards itself
    slowly: jitter is smoothed, while the clocks of a device and of the robot may drift apart.  If
    the clock is ahead by more than ``most``, sound was lost, if it is behind by more than
    ``behind``, it was set back: then the clock counts.

    Parameters
    ----------
    most, behind : s, greater than 0; where chunks come in heaps after a delay, the count is ahead
        of the clock.
    pull : share of the difference that each chunk takes away, in [0, 1].

    Attributes
    ----------
    begun_anew : how often the clock counted, the first time aside.
    """

    def __init__(self, most: float, behind: float, pull: float = 0.02) -> None:
        self._most, self._behind, self._pull = most, behind, pull
        self._end: float | None = None
        self.begun_anew = 0

    def reset(self) -> None:
        """Let the clock say when the next chunk began."""
        self._end = None

    def date(self, taken: float, length: float) -> float:
        """Return when a chunk began, s.

        Parameters
        ----------
        taken : s, when its first sample was taken, as the clock has it.
        length : of the chunk, s.
        """
        began = taken
        if self._end is not None:
            off = taken - self._end
            if -self._behind <= off <= self._most:
                most = 0.5 * length  # a chunk never begins before the one before
                began = self._end + min(max(self._pull * off, -most), most)
            else:
                self.begun_anew += 1
        self._end = began + length
        return began
