"""Pushing: an arm sweeps over a table, and a disc that is in its way goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.channels import Channel
from ab_ros.environments.kinematic_arm import KinematicArmSettings, link_ends
from ab_ros.environments.primitives import (
    FinalValues,
    MinimumJerk,
    PrimitiveEnvironment,
    Raw,
    Trajectory,
)
from ab_ros.errors import ConfigError


@dataclass(frozen=True)
class PushingSettings(KinematicArmSettings):
    """An arm, and a disc on its table."""

    dim: int = setting(3, doc="Joints, and links.", ge=1, le=100)
    start: tuple[float, ...] = setting(
        (),
        doc="Where the joints are at first; by default half their limit, by turns to either side.",
        unit="deg",
        ge=-180,
        le=180,
    )
    object_x: float = setting(1.2, doc="Where the disc lies at first.")
    object_y: float = setting(1.2, doc="Where the disc lies at first.")
    object_radius: float = setting(0.3, doc="Of the disc.", gt=0)
    tip_radius: float = setting(0.1, doc="Of the round tip that pushes.", gt=0)
    table: float = setting(
        4.0, doc="Half the side of the table, from whose edge nothing falls.", gt=0
    )
    points: int = setting(500, doc="Points of a movement.", ge=2, le=100_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start and (len(self.start) != self.dim or max(map(abs, self.start)) > self.limit):
            raise ConfigError(
                f"start: must be {self.dim} angles within {self.limit:g} deg, not {self.start}"
            )
        if max(abs(self.object_x), abs(self.object_y)) + self.object_radius > self.table:
            raise ConfigError(
                f"object_x, object_y: the disc must lie on the table, which reaches to"
                f" {self.table:g}, not at ({self.object_x:g}, {self.object_y:g})"
            )


class ObjectPushing2D(PrimitiveEnvironment):
    """An arm in the plane whose tip pushes a disc.

    Motor channels ``j0``, ``j1``, …: the angles in degrees to which the joints go, smoothly and
    from where they start.  Sensory channels: ``tip_x``, ``tip_y``, ``object_x`` and ``object_y`` at
    the end, and ``moved``, how far the object lies from where it lay.  Each execution begins with
    arm and object where they were at first.

    The object moves only while it is pushed, and not faster (quasi-static: Mason, Mechanics and
    planning of manipulator pushing operations, 1986); the contact has no friction, so that it moves
    straight away from the tip.

    Parameters
    ----------
    cfg : :class:`PushingSettings`, or a mapping of them.

    Raises
    ------
    ConfigError
        if a setting is not allowed, or the tip would start on the object.
    """

    Settings = PushingSettings

    def __init__(self, cfg: Any) -> None:
        s: PushingSettings = self.settings_of(cfg)
        self.lengths = np.array(s.lengths or [1.0] * s.dim)
        reach = float(self.lengths.sum())
        start = s.start or tuple(0.5 * s.limit * (-1.0) ** (k + 1) for k in range(s.dim))
        limit = (-s.limit, s.limit)
        joints = [Channel(f"j{k}", limit, unit="deg") for k in range(s.dim)]
        named = {c.name: value for c, value in zip(joints, start, strict=True)}
        room = (-s.table, s.table)
        sensors = [
            *(Channel(name, (-reach, reach)) for name in ("tip_x", "tip_y")),
            *(Channel(name, room) for name in ("object_x", "object_y")),
            Channel("moved", (0.0, 2.0 * 2.0**0.5 * s.table)),
        ]
        motor = MinimumJerk(joints, named, duration=1.0, dt=1.0 / s.points)
        super().__init__(s, motor, FinalValues(sensors))
        self.object = np.array((s.object_x, s.object_y))
        tip = link_ends(np.radians(np.array(start)), self.lengths)[-1]
        if np.hypot(*(tip - self.object)) < s.object_radius + s.tip_radius:
            raise ConfigError(
                f"start: the tip would be at ({tip[0]:.3g}, {tip[1]:.3g}), on the object"
            )

    def _play(self, trajectory: Trajectory, meta: Any) -> Raw:
        tip = link_ends(np.radians(trajectory.values), self.lengths)[:, -1]
        place = self._push(tip)
        away = np.hypot(*(place - self.object).T)
        return {
            "tip_x": tip[:, 0],
            "tip_y": tip[:, 1],
            "object_x": place[:, 0],
            "object_y": place[:, 1],
            "moved": away,
        }

    def _push(self, tip: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the object is, float64[P, 2], while the tip goes its way, float64[P, 2]."""
        s: PushingSettings = self.cfg
        touch = s.object_radius + s.tip_radius
        edge = s.table - s.object_radius
        # Between points the tip goes straight; it must not pass through the object.
        stride = float(np.hypot(*np.diff(tip, axis=0).T).max(initial=0.0))
        between = max(1, int(np.ceil(stride / (0.25 * touch))))
        fine = np.linspace(0.0, len(tip) - 1.0, (len(tip) - 1) * between + 1)
        whole = np.arange(float(len(tip)))
        way = np.stack([np.interp(fine, whole, column) for column in tip.T], axis=1)
        place = np.empty_like(way)
        where, now = self.object, 0
        while now < len(way):
            near = np.hypot(*(way[now:] - where).T) < touch
            first = now + int(near.argmax()) if near.any() else len(way)
            place[now:first] = where
            now = first
            pushes = now < len(way)
            while pushes:
                away = where - way[now]
                distance = max(float(np.hypot(*away)), 1e-12)
                where = np.clip(way[now] + max(touch / distance, 1.0) * away, -edge, edge)
                place[now] = where
                now += 1
                pushes = now < len(way) and bool(np.hypot(*(way[now] - where)) < touch)
        return place[::between]
