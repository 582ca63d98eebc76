"""Values that cross module borders: frozen, validated when made, arrays read-only where shared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ContractError, ObservationError, PolicyError


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a C-contiguous, read-only view (or copy) of an array."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class Observation:
    """One sensor sample.

    Parameters
    ----------
    id : the brain's input that it feeds.
    kind : ``Image``, ``Proprioception``, ``Audio`` … as in the contract.
    stamp : s, on the clock of the robot (ROS time), when the sample was taken.
    format : how to read ``data``: ``rgb8`` (uint8[H, W, 3]), ``joint_state`` (float64[3, J]:
        position rad, velocity rad/s, effort Nm; NaN where not given), …
    data : bytes or array.
    meta : what else the format needs, such as ``names`` of joints.
    """

    id: str
    kind: str
    stamp: float
    format: str
    data: bytes | NDArray[Any]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.stamp):
            raise ObservationError(
                f"observation {self.id!r}: stamp must be finite, not {self.stamp}"
            )


@dataclass(frozen=True)
class Need:
    """What a brain asks for before it runs a cycle.

    ``deadline`` is in s on the steady clock (``time.monotonic``); infinite if there is none.
    """

    cycle: int
    inputs: tuple[str, ...]
    feedback: tuple[str, ...] = ()
    deadline: float = math.inf


@dataclass(frozen=True)
class ChannelDeltas:
    """Changes that a brain asks for: ``values`` float64[T, C], by timestep and channel.

    A delta has the channel's unit (rad, m, or a part of the gripper's range).
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise ContractError(
                f"channel deltas must have the form [T, {len(self.names)}],"
                f" not {list(self.values.shape)}"
            )
        if len(set(self.names)) != len(self.names):
            raise ContractError(f"channel deltas must name each channel once, not {self.names}")


@dataclass(frozen=True)
class Cycle:
    """The output spikes of one cycle of a brain.

    Parameters
    ----------
    run : the run's id; a brain start makes a new one.
    number : counts from 0 within a run.
    rasters : {output id: uint8[T, N]} of 0 and 1, T timesteps of ``dt`` s; empty where there are
        ``deltas``.
    dt : s, > 0.
    stamp : s, robot time at the start of the cycle.
    observed : s, robot time of the newest observation in it.
    telemetry : figures for people, such as ``rate_hz`` of a population.
    deltas : changes that the brain itself gave instead of spikes, if it did.
    """

    run: str
    number: int
    rasters: Mapping[str, NDArray[np.uint8]]
    dt: float
    stamp: float
    observed: float
    telemetry: Mapping[str, float] = field(default_factory=dict)
    deltas: ChannelDeltas | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise ContractError(f"cycle {self.number}: dt must be greater than 0 s, not {self.dt}")
        lengths = {raster.shape[0] for raster in self.rasters.values()}
        if any(raster.ndim != 2 for raster in self.rasters.values()) or len(lengths) > 1:
            raise ContractError(f"cycle {self.number}: every raster must have the form [T, N]")
        if self.deltas is not None and self.rasters:
            raise ContractError(f"cycle {self.number}: must have rasters or deltas, not both")

    @property
    def timesteps(self) -> int:
        """Timesteps T of the cycle."""
        if self.deltas is not None:
            return int(self.deltas.values.shape[0])
        return next((raster.shape[0] for raster in self.rasters.values()), 0)


@dataclass(frozen=True)
class Reward:
    """A reward, global and by STDP3 layer: each in [0, 1], 0.5 is neutral."""

    overall: float
    by_layer: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("global", self.overall), *self.by_layer.items()):
            if not math.isfinite(value):
                raise PolicyError(f"reward {name!r}: must be finite, not {value}")
            if not 0.0 <= value <= 1.0:
                raise PolicyError(f"reward {name!r}: must be within [0, 1], not {value}")


@dataclass(frozen=True)
class Deviation:
    """A deviation for one feedback of a brain: ``values`` float32[feedbackT] in [-1, 1]."""

    feedback: str
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not np.all(np.isfinite(self.values)):
            raise PolicyError(f"deviation {self.feedback!r}: must be a list of finite numbers")
        if self.values.size and float(np.abs(self.values).max()) > 1.0:
            raise PolicyError(f"deviation {self.feedback!r}: values must be within [-1, 1]")
