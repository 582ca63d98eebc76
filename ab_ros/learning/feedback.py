"""The feedback rule: from deviations to rasters, deterministic and stateful across cycles."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import PolicyError
from ab_ros.values import Deviation


def recruitment_rank(digest: str, feedback: str, size: int) -> NDArray[np.intp]:
    """Return the place of each neuron in the fixed order of recruitment, intp[size].

    The order sorts the neurons by SHA-256 over contract digest, feedback id and index, so it
    follows from the contract alone.
    """
    keys = [
        hashlib.sha256(f"{digest}\n{feedback}\n{index}".encode()).digest() for index in range(size)
    ]
    order = sorted(range(size), key=keys.__getitem__)
    rank = np.empty(size, np.intp)
    rank[order] = np.arange(size)
    return rank


class FeedbackRaster:
    """The raster of one feedback: the previous one, changed by a deviation.

    At timestep t, k = floor(|d(t)|·N + ½): d > 0 sets the first k neurons of the order, d < 0
    clears them, d = 0 changes nothing.  Entries are 1 for a spike and 0 for none; those of a raster
    that was sent may be -1, which inhibits.

    Parameters
    ----------
    feedback : id in the contract.
    size : N, neurons.
    timesteps : rows, the contract's feedbackT.
    digest : of the contract.
    """

    def __init__(self, feedback: str, size: int, timesteps: int, digest: str) -> None:
        self.feedback = feedback
        self.baseline = np.zeros((timesteps, size), np.int8)
        self._rank = recruitment_rank(digest, feedback, size)

    def apply(self, deviation: Deviation) -> NDArray[np.int8]:
        """Apply a deviation; return the new baseline, int8[feedbackT, N].

        Raises
        ------
        PolicyError
            if the deviation does not have feedbackT values.
        """
        timesteps, size = self.baseline.shape
        if deviation.values.shape != (timesteps,):
            raise PolicyError(
                f"deviation {self.feedback!r}: must have {timesteps} values,"
                f" not {deviation.values.size}"
            )
        d = deviation.values.astype(np.float64)
        recruited = self._rank < np.floor(np.abs(d) * size + 0.5)[:, None]
        self.baseline[recruited & (d > 0)[:, None]] = 1
        self.baseline[recruited & (d < 0)[:, None]] = 0
        return self.baseline

    def replace(self, raster: NDArray[Any]) -> NDArray[np.int8]:
        """Take a raster of -1, 0 and 1 that was sent instead of a deviation, as the baseline."""
        if raster.shape != self.baseline.shape:
            raise PolicyError(
                f"feedback raster {self.feedback!r}: must have the form"
                f" {list(self.baseline.shape)}, not {list(raster.shape)}"
            )
        self.baseline[:] = raster
        return self.baseline

    def played(self, gamma: int) -> NDArray[np.int8]:
        """Return what a cycle of ``gamma`` timesteps plays: row floor(t·feedbackT/gamma) at t."""
        rows = np.arange(gamma) * self.baseline.shape[0] // gamma
        return self.baseline[rows]

    def reset(self) -> None:
        """Back to an empty baseline."""
        self.baseline[:] = 0
