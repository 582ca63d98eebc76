"""The worm in its arena behind channels: a gait goes in, what it smells and feels comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ab_ros.config import setting
from ab_ros.environments.arena import Arena
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.chemotaxis import ChemotaxisSettings, random_starts
from ab_ros.environments.environment import Environment, Meta
from ab_ros.environments.signals import clipped
from ab_ros.environments.worm import BACKENDS, SEGMENTS, Worm


@dataclass(frozen=True)
class WormEnvironmentSettings(ChemotaxisSettings):
    """The worm, its arena, and for how long a gait is kept."""

    ticks: int = setting(500, doc="Ticks of the worm in an execution.", ge=1, le=1_000_000)
    seed: int = setting(0, doc="Of where the worm lies at first.", ge=0)
    backend: str = setting("auto", doc="Of the worm's mechanics.", one_of=BACKENDS)


class WormArena(Environment):
    """A worm that undulates through an arena with food.

    Motor channels, which hold for ``ticks`` ticks: ``frequency`` of the undulation, Hz;
    ``amplitude``, the activation of a muscle at the crest of the wave; ``bend``, activation that is
    added on the dorsal (left) side and taken from the other; and ``waves`` on the body, fixed at 1.
    What is beyond the bounds is executed as the bound.  The wave goes on where it was.

    Sensory channels, at the head's tip: the ``concentration`` of food and its ``change`` in the
    execution; ``across``, its slope towards the worm's left; the distance to the ``wall``; ``x``,
    ``y`` and ``heading``.

    The worm stays where it has crawled to; :meth:`reset` lays it down at a random place, at
    ``start_distance`` from the first food.

    Parameters
    ----------
    cfg : :class:`WormEnvironmentSettings`, or a mapping of them.
    """

    Settings = WormEnvironmentSettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        s: WormEnvironmentSettings = self.cfg
        self.arena = Arena(s.arena)
        self.worm = Worm(s.worm, radius=s.arena.radius, backend=s.backend)  # type: ignore[arg-type]
        self.m_channels = [
            Channel("frequency", (0.0, 3.0), unit="Hz"),
            Channel("amplitude", (0.0, 1.0)),
            Channel("bend", (-0.5, 0.5)),
            Channel("waves", (0.25, 3.0), fixed=1.0),
        ]
        most = sum(peak.height for peak in s.arena.peaks)
        steepest = sum(peak.height / peak.sigma for peak in s.arena.peaks)
        room = (-s.arena.radius, s.arena.radius)
        self.s_channels = [
            Channel("concentration", (0.0, most)),
            Channel("change", (-most, most)),
            Channel("across", (-steepest, steepest), unit="1/body length"),
            Channel("wall", (0.0, 2.0 * s.arena.radius), unit="body lengths"),
            Channel("x", room, unit="body lengths"),
            Channel("y", room, unit="body lengths"),
            Channel("heading", (-math.pi, math.pi), unit="rad"),
        ]
        self._body = (np.arange(SEGMENTS) + 0.5) / SEGMENTS
        self._seed, self._starts = s.seed, 0
        self._phase = 0.0
        self._place()

    def _place(self) -> None:
        start = random_starts(self._starts + 1, self._seed, self.cfg)[self._starts]
        self._starts += 1
        self._phase = 0.0
        self.worm.place((start.x, start.y), start.heading)

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        if seed is not None:
            self._seed, self._starts = seed, 0
        self._place()
        return self._sense(None)

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        m_signal.update(clipped(m_signal, self.m_channels))
        before = float(self.arena.concentration(self.worm.head))
        ticks = self.cfg.ticks
        turn = 2.0 * math.pi * m_signal["frequency"] * self.cfg.worm.dt
        phases = self._phase + turn * np.arange(1, ticks + 1)
        lag = 2.0 * math.pi * m_signal["waves"] * self._body
        wave = m_signal["amplitude"] * np.sin(phases[:, None] - lag) + m_signal["bend"]
        step = self.worm.step
        for dorsal, ventral in zip(np.maximum(wave, 0.0), np.maximum(-wave, 0.0), strict=True):
            step(dorsal, ventral)
        self._phase = float(phases[-1]) % (2.0 * math.pi)
        if meta is not None:
            meta["points"] = self.worm.points
        return self._sense(before)

    def _sense(self, before: float | None) -> Mapping[str, float]:
        head, heading = self.worm.head, self.worm.heading
        concentration, gradient = self.arena.sample(head)
        left = np.array((-math.sin(heading), math.cos(heading)))
        return {
            "concentration": float(concentration),
            "change": 0.0 if before is None else float(concentration) - before,
            "across": float(gradient @ left),
            "wall": float(self.arena.wall_distance(head)),
            "x": float(head[0]),
            "y": float(head[1]),
            "heading": heading,
        }
