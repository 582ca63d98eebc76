"""What the user's code gives, checked where it enters: samples, states, rewards, feedback."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ObservationError, PolicyError
from ab_ros.protocol.formats import Payload
from ab_ros.protocol.messages import RobotState

LARGEST_SAMPLE = 1 << 23
"""Bytes of the largest sample that is sent, as the protocol's own limit."""


def read_sample(result: Any) -> Payload:
    """Read what a provider of samples returned.

    Parameters
    ----------
    result : ``{"format": text, "meta": {}, "data": bytes}``; ``meta`` may be missing or None, and
        ``data`` may be an array, whose bytes are taken as they are.

    Raises
    ------
    ObservationError
        that says what is wrong with it.
    """
    if not isinstance(result, Mapping):
        raise ObservationError(
            f"must be a dictionary with format, meta and data, not {_shown(result)}"
        )
    format, meta, data = result.get("format"), result.get("meta"), result.get("data")
    if not isinstance(format, str) or not 0 < len(format) <= 64:
        raise ObservationError(f"format must be a name such as 'jpeg', not {_shown(format)}")
    if meta is None:
        meta = {}
    if not isinstance(meta, Mapping):
        raise ObservationError(f"meta must be a dictionary, not {_shown(meta)}")
    try:
        json.dumps(dict(meta), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ObservationError(f"meta must be of plain finite numbers and texts: {error}") from None
    if isinstance(data, np.ndarray) and data.dtype != object:
        data = np.ascontiguousarray(data).tobytes()
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ObservationError(f"data must be bytes, not {_shown(data)}")
    content = bytes(data)
    if not 0 < len(content) <= LARGEST_SAMPLE:
        raise ObservationError(f"data must have 1 to {LARGEST_SAMPLE} bytes, not {len(content)}")
    return Payload(format, dict(meta), content)


def read_state(run: str, state: Any, cycle: int | None = None) -> RobotState:
    """Read what a provider of the robot's state returned.

    Parameters
    ----------
    run : id of the run.
    state : ``{"q": [...], "dq": [...], "grip": {"pos": float}, "dt": s}``; only ``q`` must be
        there, and ``names`` (of the joints) may be.
    cycle : that it belongs to, if any.

    Raises
    ------
    ObservationError
        if it has another form, or a number in it is not finite.
    """
    if not isinstance(state, Mapping) or "q" not in state:
        raise ObservationError(f"must be a dictionary with q, not {_shown(state)}")
    q = _numbers("q", state["q"])
    dq = _numbers("dq", state.get("dq"))
    if dq and len(dq) != len(q):
        raise ObservationError(f"dq must have {len(q)} numbers as q has, not {len(dq)}")
    grip = state.get("grip")
    position = grip.get("pos") if isinstance(grip, Mapping) else grip
    names = tuple(state.get("names") or ())
    if names and (len(names) != len(q) or not all(isinstance(name, str) for name in names)):
        raise ObservationError(f"names must be a text for each of {len(q)} joints")
    return RobotState(
        run,
        q,
        dq,
        None if position is None else _number("grip.pos", position),
        _number("dt", state.get("dt", 0.0)),
        names,
        cycle=cycle,
    )


def unit_value(name: str, value: Any) -> float:
    """Return a reward, clamped to [0, 1].

    Raises
    ------
    PolicyError
        if it is not a finite number.
    """
    try:
        return min(1.0, max(0.0, _number(name, value)))
    except ObservationError as error:
        raise PolicyError(str(error)) from None


def finite_array(name: str, values: Any, form: tuple[int, ...]) -> NDArray[np.float32]:
    """Return numbers of a form as float32.

    Raises
    ------
    PolicyError
        if they have another form, or are not finite.
    """
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise PolicyError(f"{name}: must be numbers of the form {list(form)}") from None
    if array.shape != form:
        raise PolicyError(f"{name}: must have the form {list(form)}, not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise PolicyError(f"{name}: must be finite")
    return array


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    if values is None:
        return ()
    if isinstance(values, (str, bytes, Mapping)):
        raise ObservationError(f"{name} must be a list of numbers, not {_shown(values)}")
    try:
        items = list(values)
    except TypeError:
        raise ObservationError(f"{name} must be a list of numbers, not {_shown(values)}") from None
    return tuple(_number(f"{name}[{index}]", value) for index, value in enumerate(items))


def _number(name: str, value: Any) -> float:
    try:
        number = float(value) if not isinstance(value, (str, bytes, bool)) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ObservationError(f"{name} must be a finite number, not {_shown(value)}")
    return number


def _shown(value: Any) -> str:
    text = f"{len(value)} bytes" if isinstance(value, (bytes, bytearray)) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
