"""Compiling functions by Numba, so that they do exactly what NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use; keep the result on disk, if there is a place that can be written.

    Other threads of Python run while a kernel does: a robot's commands do not wait for a brain.
    """
    options: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "nogil": True}
    try:
        kernel: Callable[..., Any] = njit(cache=True, **options)(function)
    except RuntimeError:
        kernel = njit(**options)(function)
    return kernel


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile what only kernels call, and what is kept on disk as part of them."""
    options: dict[str, Any] = {"no_cfunc_wrapper": True, "no_cpython_wrapper": True}
    kernel: Callable[..., Any] = njit(error_model="numpy", **options)(function)
    return kernel
