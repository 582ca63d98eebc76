"""Random streams: one for each purpose, from the seed and a name, whatever the order of use."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the generator of a purpose; the same seed and names give the same numbers."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def uniform(random: np.random.Generator, low: float, high: float, size: int) -> NDArray[np.float64]:
    """Draw float64[size] from [low, high).

    In two steps, which no compiler can contract into one with another rounding.
    """
    values = random.random(size)
    values *= high - low
    values += low
    return values
