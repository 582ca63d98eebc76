"""The choice of the backend that ticks a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.circuit import Circuit
from ab_ros.errors import EngineError, one_of

Advance = Callable[[Circuit, NDArray[np.uint8], NDArray[np.float64], bool], Any]


def choose_backend(backend: str) -> str:
    """Return ``numpy`` or ``numba``."""
    if backend not in ("auto", "numpy", "numba"):
        allowed = one_of(("auto", "numpy", "numba"))
        raise EngineError(f"Network.backend: unknown {backend!r}; {allowed}")
    return "numpy"


def stepper(circuit: Circuit) -> Advance:
    """Return the compiled form of :func:`~ab_ros.engine.circuit.advance` for a circuit."""
    raise NotImplementedError
