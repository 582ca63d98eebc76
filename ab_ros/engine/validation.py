"""Checks of single numbers, with one wording for all errors of the engine."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from ab_ros.errors import EngineError


def check_number(
    where: str,
    value: Any,
    *,
    gt: float | None = None,
    ge: float | None = None,
    le: float | None = None,
) -> float:
    """Return ``value`` as a float.

    Parameters
    ----------
    where : what the value is, such as ``RewardPlastic.tau_trace``; the message starts with it.
    value : a finite real number.
    gt, ge, le : bounds, where given.

    Raises
    ------
    EngineError
        if the value is not a finite number or breaks a bound.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise EngineError(f"{where}: must be a number (got {value!r})")
    number = float(value)
    if not math.isfinite(number):
        raise EngineError(f"{where}: must be finite (got {number})")
    if gt is not None and not number > gt:
        raise EngineError(f"{where}: must be greater than {gt:g} (got {number})")
    if ge is not None and not number >= ge:
        raise EngineError(f"{where}: must be at least {ge:g} (got {number})")
    if le is not None and not number <= le:
        raise EngineError(f"{where}: must be at most {le:g} (got {number})")
    return number


def check_count(where: str, value: Any, *, ge: int) -> int:
    """Return ``value`` as an int of at least ``ge``.

    Raises
    ------
    EngineError
        if it is not a whole number, or is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise EngineError(f"{where}: must be a whole number (got {value!r})")
    if value < ge:
        raise EngineError(f"{where}: must be at least {ge} (got {value})")
    return int(value)
