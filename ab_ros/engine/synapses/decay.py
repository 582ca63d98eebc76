"""Exponential decay without touching every value every tick: traces in a scaled frame.

A trace x that decays with time constant tau is stored as X = x exp(age / tau), where age counts
the ticks since the frame was set up.  Stored values then stand still; an increment of 1 is stored
as exp(age / tau).  When the factor grows large, the frame is set up anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# exp(60) is 1e26, exp(250) is 1e108: far from overflow even after many increments.
_MAX_EXPONENT = {np.dtype(np.float32): 60.0, np.dtype(np.float64): 250.0}
_MAX_AGE = 4096
_FLOAT64 = np.dtype(np.float64)
FLUSH = 1e-15
"""Traces below this, where a spike adds about 1, become 0 when a frame is renewed."""


class DecayFrame:
    """Decay factors of one time constant, and the age of its frame.

    Parameters
    ----------
    tau : time constant, ticks, greater than 0.
    real : numpy dtype of the stored values, float32 or float64.

    Attributes
    ----------
    down : float64[K + 1], exp(-k / tau).
    up : float64[K + 1], exp(k / tau); entry K is never used and is 0.
    age : int64[1], ticks since the frame was set up, in [0, K).
    """

    def __init__(self, tau: float, real: np.dtype[Any] = _FLOAT64) -> None:
        last = int(min(max(_MAX_EXPONENT[real] * tau, 1.0), float(_MAX_AGE)))
        ages = np.arange(last + 1, dtype=np.float64)
        self.tau = tau
        self.down = np.exp(-ages / tau)
        self.up = np.zeros(last + 1)
        self.up[:last] = np.exp(ages[:last] / tau)
        self.age = np.zeros(1, dtype=np.int64)

    @property
    def value_of_stored(self) -> float:
        """What a stored value is multiplied by to get the trace as it is now."""
        return float(self.down[self.age[0]])

    @property
    def stored_of_value(self) -> float:
        """What an increment is multiplied by before it is stored."""
        return float(self.up[self.age[0]])

    def end_tick(self, stored: NDArray[np.floating[Any]]) -> None:
        """Let one tick pass for the array of stored traces."""
        age = int(self.age[0]) + 1
        if age == self.down.size - 1:
            fresh = stored.astype(np.float64) * self.down[age]
            fresh[np.abs(fresh) < FLUSH] = 0.0
            stored[:] = fresh
            age = 0
        self.age[0] = age

    def decayed(self, ticks: int) -> float:
        """Return exp(-ticks / tau), exactly 1 for 0 ticks."""
        return float(np.exp(-ticks / self.tau))
