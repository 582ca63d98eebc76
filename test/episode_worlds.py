"""A world for trainings of the episodes node, in its own process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from training_parts import DEFINITION

from ab_ros.environments import Channel, Environment
from ab_ros.environments.channels import Signal
from ab_ros.training.schema import Message

FILE: dict[str, Any] = {
    "brain": "walker",
    "environment": {"classname": "episode_worlds.Walk", "cfg": {}, "channels": {"step": "push"}},
    "simulator": {
        "name": "walk",
        "action": {"step": "Int8{-1, 1}"},
        "state": {"place": "Float32{-4:4}"},
    },
    "neurons": DEFINITION["neurons"],
    "reward": DEFINITION["reward"],
    "training": {"episodes": 24, "max_steps": 8, "seed": 5},
    "lessons": [{"objective": "walk", "reward": "episode_worlds:right"}],
}


class Walk(Environment):
    """Goes where it is pushed, and a little by chance; each step takes ``cfg["seconds"]``."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.m_channels = [Channel("push", (-1, 1))]
        self.s_channels = [Channel("place", (-4, 4))]
        self._place, self._random = 0.0, np.random.default_rng(0)

    def _execute(self, m_signal: Signal, meta: Any = None) -> Mapping[str, float]:
        time.sleep(self.cfg.get("seconds", 0.0))
        self._place += float(0.4 * m_signal["push"] + self._random.normal(0.0, 0.1))
        return {"place": self._place}

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        self._random = np.random.default_rng(seed)
        self._place = float(self._random.normal())
        return {"place": self._place}


def right(state: Message, action: Message, after: Message, reward: float, terminal: bool) -> float:
    """How far it went to the right."""
    return float(after.place - state.place)


def probed(state: Message, action: Message, after: Message, reward: float, terminal: bool) -> float:
    """How far a robot's joint went up."""
    return float(after.a - state.a)
