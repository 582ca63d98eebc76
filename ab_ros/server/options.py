"""What a client asks for when it starts a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ab_ros.errors import ProtocolError, one_of
from ab_ros.protocol.fields import read_integer, read_number, read_object

PACINGS = ("free", "gated")
_LONGEST_DEADLINE = 3600.0


@dataclass(frozen=True)
class StartOptions:
    """Options of a run; None leaves it as the brain is.

    Parameters
    ----------
    learning : whether rewards change synapses.
    seed : the brain's dynamic state starts anew from it.
    fresh : begin with the served brain file, not with what the project has learned.
    reset : the dynamic state starts anew; what was learned stays.
    gated : a cycle waits for the commands of the one before, and for samples.
    deadline : s that a gated cycle waits for samples at most.
    """

    learning: bool | None = None
    seed: int | None = None
    fresh: bool = False
    reset: bool = False
    gated: bool = False
    deadline: float = math.inf

    @classmethod
    def from_wire(cls, body: Any) -> StartOptions:
        """Read the body of a start; keys that are not known are left alone.

        Raises
        ------
        ProtocolError
            for an option of the wrong type or out of its range.
        """
        data = read_object("start", body)
        for name in ("learning", "fresh", "reset"):
            if not isinstance(data.get(name), (bool, type(None))):
                raise ProtocolError(f"start: {name} must be true or false, not {data[name]!r}")
        pacing = data.get("pacing")
        if pacing is not None and pacing not in PACINGS:
            raise ProtocolError(f"start: unknown pacing {pacing!r}; {one_of(PACINGS)}")
        deadline = math.inf
        if data.get("deadlineMs") is not None:
            deadline = 1e-3 * read_number("start", data, "deadlineMs")
            if not 0.0 < deadline <= _LONGEST_DEADLINE:
                raise ProtocolError(
                    f"start: deadlineMs must be above 0 and at most {1e3 * _LONGEST_DEADLINE:g},"
                    f" not {1e3 * deadline:g}"
                )
        return cls(
            data.get("learning"),
            None if data.get("seed") is None else read_integer("start", data, "seed"),
            bool(data.get("fresh")),
            bool(data.get("reset")),
            pacing == "gated",
            deadline,
        )
