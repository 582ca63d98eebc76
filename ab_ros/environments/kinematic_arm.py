"""An arm in the plane, as geometry alone: joint angles give the place of its tip."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.signals import clipped, to_signal, to_vector
from ab_ros.errors import ConfigError


@dataclass(frozen=True)
class KinematicArmSettings:
    """An arm in the plane."""

    dim: int = setting(6, doc="Joints, and links.", ge=1, le=1000)
    limit: float = setting(
        150.0, doc="Greatest angle of a joint, to either side.", unit="deg", gt=0, le=180
    )
    lengths: tuple[float, ...] = setting((), doc="Of the links; by default all 1.", gt=0, le=1e6)

    def __post_init__(self) -> None:
        if self.lengths and len(self.lengths) != self.dim:
            raise ConfigError(
                f"lengths: must be {self.dim}, one for each joint, not {len(self.lengths)}"
            )


@dataclass(frozen=True)
class SynergySettings(KinematicArmSettings):
    """An arm whose joints move together."""

    count: int = setting(3, doc="Synergies, where weights are not given.", ge=1, le=1000)
    weights: tuple[tuple[float, ...], ...] = setting(
        (),
        doc="Of each joint in each synergy; by default cosines along the arm, from all joints alike"
        " to neighbours opposed.",
        ge=-1e6,
        le=1e6,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weights and self.count > self.dim:
            raise ConfigError(f"count: must be at most the {self.dim} joints, not {self.count}")
        for row in self.weights:
            if len(row) != self.dim or not any(row):
                raise ConfigError(
                    f"weights: each synergy must have {self.dim}, not all 0, not {list(row)}"
                )


class KinematicArm2D(Environment):
    """An arm of rigid links that turn in a plane about the origin.

    Motor channels ``j0``, ``j1``, …: the angle of each joint in degrees, to the link before it, and
    of the first to the x axis.  Angles beyond a joint's limit are executed as the limit.  Sensory
    channels ``x``, ``y``: the tip.

    Parameters
    ----------
    cfg : :class:`KinematicArmSettings`, or a mapping of them.
    """

    Settings = KinematicArmSettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        s: KinematicArmSettings = self.cfg
        self.lengths = np.array(s.lengths or [1.0] * s.dim)
        reach = float(self.lengths.sum())
        limit = (-s.limit, s.limit)
        self.m_channels = [Channel(f"j{k}", limit, unit="deg") for k in range(s.dim)]
        self.s_channels = [Channel(name, (-reach, reach)) for name in ("x", "y")]

    def posture(self, m_signal: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the ends of the links, float64[dim + 1, 2], from the origin to the tip."""
        return link_ends(self._angles(dict(m_signal)), self.lengths)

    def _angles(self, m_signal: Signal) -> NDArray[np.float64]:
        """Return the angles of the joints, rad; what is beyond a limit is changed in the signal."""
        m_signal.update(clipped(m_signal, self.m_channels))
        return np.radians(to_vector(m_signal, self.m_channels))

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Signal:
        ends = link_ends(self._angles(m_signal), self.lengths)
        if meta is not None:
            meta["posture"] = ends
        return to_signal(ends[-1], self.s_channels)


class KinematicArmSynergies2D(KinematicArm2D):
    """An arm whose joints move together, in fewer ways than it has joints.

    Motor channels ``s0``, ``s1``, … in [-1, 1]: how much of each synergy there is.  The angles are
    the weighted sum of the synergies, scaled so that no joint can pass its limit.  The idea is that
    of Santello, Flanders & Soechting, Postural hand synergies for tool use, J. Neurosci. 18, 1998.

    Parameters
    ----------
    cfg : :class:`SynergySettings`, or a mapping of them.
    """

    Settings = SynergySettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        s: SynergySettings = self.cfg
        joint = (np.arange(s.dim) + 0.5) / s.dim
        cosines = np.cos(math.pi * np.arange(s.count)[:, None] * joint)
        weights = np.array(s.weights) if s.weights else cosines
        self.synergies = weights / np.abs(weights).sum(axis=0).max() * math.radians(s.limit)
        """float64[synergies, dim], rad."""
        self.m_channels = [Channel(f"s{k}", (-1.0, 1.0)) for k in range(len(weights))]

    def _angles(self, m_signal: Signal) -> NDArray[np.float64]:
        m_signal.update(clipped(m_signal, self.m_channels))
        return np.asarray(to_vector(m_signal, self.m_channels) @ self.synergies)


def link_ends(angles: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of links, float64[…, dim + 1, 2], of joint angles float64[…, dim] in rad."""
    heading = np.cumsum(angles, axis=-1)
    steps = lengths[:, None] * np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    ends = np.zeros((*angles.shape[:-1], angles.shape[-1] + 1, 2))
    np.cumsum(steps, axis=-2, out=ends[..., 1:, :])
    return ends
