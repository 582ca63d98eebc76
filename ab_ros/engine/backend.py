"""The choice of what ticks a network: NumPy, or kernels compiled by Numba."""

from __future__ import annotations

import importlib
import importlib.util
import warnings

from ab_ros.engine import circuit
from ab_ros.engine.circuit import Advance, Circuit
from ab_ros.errors import EngineError, one_of

BACKENDS = ("auto", "numpy", "numba")


def choose_backend(backend: str) -> str:
    """Return ``numpy`` or ``numba``.

    Numba that is installed but does not work (often because of NumPy's version) is passed over
    with a RuntimeWarning by ``auto``.

    Raises
    ------
    EngineError
        for an unknown name, or if numba is asked for and missing or broken.
    """
    if backend not in BACKENDS:
        raise EngineError(f"Network.backend: unknown {backend!r}; {one_of(BACKENDS)}")
    if backend == "numpy" or (backend == "auto" and importlib.util.find_spec("numba") is None):
        return "numpy"
    try:
        importlib.import_module("ab_ros.engine.compiled")
    except ImportError as error:
        if backend == "numba":
            raise EngineError(
                f"Network.backend: numba cannot be used ({error}); pip install 'ab_ros[fast]',"
                f" or take 'numpy' or 'auto'"
            ) from None
        warnings.warn(f"numba is passed over: {error}", RuntimeWarning, stacklevel=3)
        return "numpy"
    return "numba"


def advance_of(built: Circuit, backend: str) -> Advance:
    """Return what ticks a circuit on a backend that :func:`choose_backend` has returned."""
    if backend == "numpy":
        return circuit.advance
    from ab_ros.engine.compiled import CompiledAdvance

    return CompiledAdvance(built)
