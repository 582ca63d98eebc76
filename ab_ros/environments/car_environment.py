"""The MuJoCo car behind channels: speeds go in, its way, its wheels and the ball come out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.config import setting
from ab_ros.environments.car import CarSettings, CarWorld
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.floor_motion import FloorMotionSettings
from ab_ros.environments.signals import clipped
from ab_ros.environments.target_motion import MotionMode


def _default_world() -> CarSettings:
    return CarSettings(renderer="rays", motion=FloorMotionSettings(mode="still"))


@dataclass(frozen=True)
class CarEnvironmentSettings:
    """The car's world, and for how long it drives."""

    world: CarSettings = setting(_default_world, doc="The world; by default the ball stands still.")
    duration: float = setting(
        0.4, doc="Time for which speeds are driven.", unit="s", ge=0.02, le=60
    )
    seed: int = setting(0, doc="Of the ball's path.", ge=0)


class MujocoCar(Environment):
    """A simulated car that drives on a floor.

    Motor channels, which hold for ``duration``: ``linear``, m/s ahead, and ``angular``, rad/s to
    the left.  What is too fast for a wheel is executed more slowly, along the same arc.  Sensory
    channels: where it truly is, ``x``, ``y`` (m) and ``heading`` (rad); what its wheels tell of its
    speed, ``speed`` and ``turn``; and, unless the ball is hidden, its ``azimuth`` (rad, to the
    right) and ``distance`` (m).

    The car stays where it has driven to; :meth:`reset` puts it where it starts.

    Parameters
    ----------
    cfg : :class:`CarEnvironmentSettings`, or a mapping of them.
    """

    Settings = CarEnvironmentSettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        s: CarEnvironmentSettings = self.cfg
        self.world = CarWorld(s.world, s.seed)
        ahead, turn = self.world.top_speeds
        self.m_channels = [
            Channel("linear", (-ahead, ahead), unit="m/s"),
            Channel("angular", (-turn, turn), unit="rad/s"),
        ]
        self.s_channels = [
            Channel("x", unit="m"),
            Channel("y", unit="m"),
            Channel("heading", (-math.pi, math.pi), unit="rad"),
            # The drives of the wheels overshoot a little.
            Channel("speed", (-1.5 * ahead, 1.5 * ahead), unit="m/s"),
            Channel("turn", (-1.5 * turn, 1.5 * turn), unit="rad/s"),
        ]
        self._sees = self.world.motion.mode is not MotionMode.HIDDEN
        if self._sees:
            self.s_channels += [
                Channel("azimuth", (-math.pi, math.pi), unit="rad"),
                Channel("distance", (0.0, math.inf), unit="m"),
            ]

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        m_signal.update(clipped(m_signal, self.m_channels))
        self.world.drive(**m_signal)
        m_signal.update(zip(("linear", "angular"), self.world.commanded, strict=True))
        end = self.world.time + self.cfg.duration
        # Within the time after which the car stops by itself.
        patience = 0.5 * self.world.settings.cmd_timeout
        while (left := end - self.world.time) > 1e-9:
            self.world.drive(**m_signal)
            self.world.advance(min(left, patience))
        if meta is not None:
            meta["time"] = self.world.time
        return self._sense()

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        self.world.reset(seed)
        return self._sense()

    def _sense(self) -> Mapping[str, float]:
        pose, wheels = self.world.pose(), self.world.odometry()
        signal = {
            "x": pose.x,
            "y": pose.y,
            "heading": pose.heading,
            "speed": wheels.linear,
            "turn": wheels.angular,
        }
        if self._sees:
            signal["azimuth"], signal["distance"] = self.world.target()
        return signal

    def close(self) -> None:
        """Free the renderer."""
        super().close()
        self.world.close()
