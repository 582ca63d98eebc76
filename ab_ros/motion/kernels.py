"""The inner loops of motion, compiled by Numba when this module is imported: never in a cycle.

No fast-math: the bits are those of plain Python.  Numba keeps what it has compiled on disk, by the
file that the code is in; all of it is in ``pursuit.py``, so that a change there is always noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba import njit

from ab_ros.motion import pursuit

_NUMBER, _ROW, _TABLE, _FLAGS = "float64", "float64[::1]", "float64[:, ::1]", "boolean[::1]"


def _compiled(rows: Any, loop: Any, *arguments: str) -> Callable[..., None]:
    """Compile a function over all channels, and with it the loop over timesteps that it calls."""
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    # The same code, but what it calls is compiled as well.
    names = {**vars(pursuit), loop.__name__: njit(**options)(loop)}
    function = FunctionType(rows.__code__, names, rows.__name__)
    function.__module__ = rows.__module__
    signature = f"void({', '.join(arguments)})"
    try:
        kernel: Callable[..., None] = njit(signature, cache=True, **options)(function)
    except RuntimeError:  # no place to keep it that can be written
        kernel = njit(signature, **options)(function)
    return kernel


pursue_rows = _compiled(
    pursuit.pursue_rows, pursuit.pursue, *[_ROW] * 3, _TABLE, *[_ROW] * 4, _NUMBER, _TABLE,
    *[_FLAGS] * 2,
)  # fmt: skip
approach_rows = _compiled(
    pursuit.approach_rows, pursuit.approach, _TABLE, *[_ROW] * 5, _NUMBER, _TABLE, _FLAGS
)
leak_rows = _compiled(
    pursuit.leak_rows, pursuit.leak, *[_ROW] * 3, _TABLE, _NUMBER, *[_ROW] * 3, _TABLE, _FLAGS
)
