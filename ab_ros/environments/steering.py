"""A rule that crawls up a gradient: what a body can do when the brain is no limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.senses import Sensor
from ab_ros.environments.worm import SEGMENTS


@dataclass(frozen=True)
class SteeringSettings:
    """An undulation that travels down the body, and how it bends to one side."""

    frequency: float = setting(1.5, doc="Undulations per second.", unit="Hz", gt=0, le=20)
    waves: float = setting(1.0, doc="Wavelengths on the body.", gt=0, le=5)
    amplitude: float = setting(0.2, doc="Activation at the crest of the wave.", ge=0, le=1)
    steering: float = setting(
        0.01, doc="Added to the side with more scent, per unit of current.", ge=0, le=100
    )
    turning: float = setting(
        0.03,
        doc="Added to the side it bends to while the scent fades, per unit of current.",
        ge=0,
        le=100,
    )
    most: float = setting(0.1, doc="Most activation that is added to one side.", ge=0, le=1)
    smoothing: float = setting(
        0.3, doc="Time over which the sway of the head is smoothed out.", unit="s", gt=0, le=100
    )
    avoidance: float = setting(
        0.02, doc="Added to the side away from the wall, per unit of current.", ge=0, le=100
    )


class SteeringController:
    """Undulates, bends towards the side on which the head smells more, and turns when scent fades.

    It does not learn, and knows of the world only the currents of six of the head's sensors.

    Parameters
    ----------
    settings : of undulation and steering.
    dt : s, length of a tick.
    """

    def __init__(self, settings: SteeringSettings | None = None, dt: float = 0.001) -> None:
        self.settings = s = settings or SteeringSettings()
        self._smell = (
            Sensor("chemical", "head", "tonic", "left").index,
            Sensor("chemical", "head", "tonic", "right").index,
        )
        self._touch = (
            Sensor("mechanical", "head", "tonic", "left").index,
            Sensor("mechanical", "head", "tonic", "right").index,
        )
        self._fading = (
            Sensor("chemical", "head", "OFF").index,
            Sensor("chemical", "head", "ON").index,
        )
        self._rate = -math.expm1(-dt / s.smoothing)
        self._advance = 2.0 * math.pi * s.frequency * dt
        self._lag = 2.0 * math.pi * s.waves * (np.arange(SEGMENTS) + 0.5) / SEGMENTS
        self._phase = 0.0
        self._side = 0.0
        self._loss = 0.0

    def reset(self, seed: int) -> None:
        """Begin in a random phase of the undulation."""
        self._phase = float(np.random.default_rng(seed).uniform(0.0, 2.0 * math.pi))
        self._side = 0.0
        self._loss = 0.0

    def step(
        self, currents: NDArray[np.float64], proprioception: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the activation of dorsal and ventral muscles, float64[24] each."""
        del proprioception
        s = self.settings
        smell = currents[self._smell[0]] - currents[self._smell[1]]
        touch = currents[self._touch[0]] - currents[self._touch[1]]
        self._side += self._rate * (s.steering * smell - s.avoidance * touch - self._side)
        # Straight down the gradient neither side smells more: the loss alone tells to turn back.
        loss = currents[self._fading[0]] - currents[self._fading[1]]
        self._loss += self._rate * (s.turning * loss - self._loss)
        bend = self._side + math.copysign(max(self._loss, 0.0), self._side)
        self._phase = (self._phase + self._advance) % (2.0 * math.pi)
        wave = s.amplitude * np.sin(self._phase - self._lag)
        wave += min(max(bend, -s.most), s.most)
        return np.maximum(wave, 0.0), np.maximum(-wave, 0.0)

    def reward(self, modulation: float) -> None:
        """Ignore the reward: a rule does not learn."""
