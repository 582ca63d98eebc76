"""Simulators and definitions that tests train with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.config import overlay
from ab_ros.environments import Channel, Environment
from ab_ros.training import (
    Config,
    EpisodeFinishEvent,
    EpisodeStartEvent,
    FinishedEvent,
    SimulateEvent,
    Simulator,
    UnknownEvent,
    VersionedBrain,
)

DEFINITION: dict[str, Any] = {
    "description": "Slows down, or does not.",
    "simulator": {
        "name": "my_simulator",
        "config": {"start_angle": "UInt8"},
        "action": {"delta": "Int8{0, 1}"},
        "state": {"angle": "Float32{0:10}", "velocity": "Float32{-3:3}"},
    },
    "neurons": {
        "size": 4,
        "gamma": 10,
        "options": {"cells": 4},
        "weight": 2.0,
        "synapse": {"lr": 0.5, "w_max": 4.0},
    },
    "reward": {"method": "prediction_error", "cells": 20},
    "training": {"episodes": 3, "seed": 5},
    "lessons": [{"objective": "be_fast", "config": {"start_angle": [1, 9]}}],
}


class MySimulator(Simulator):
    """The document's example, with as few changes as it needs to run."""

    log: list[str]

    def __init__(self, brain: VersionedBrain, name: str = "my_simulator") -> None:
        super().__init__(brain, name)
        self.angle, self.velocity = 0.0, 0.0
        self.log = []
        self.parameters: list[int] = []
        self.objectives: list[str] = []
        self.finished_rewards: list[float] = []

    def episode_start(self, parameters: Any = None) -> dict[str, float]:
        # training params are only passed in during training
        if self.predict is False:
            self.objectives.append(self.objective_name)
            self.angle = parameters.start_angle
            self.parameters.append(parameters.start_angle)
        self.velocity = 2.0
        self.log.append("start")
        return {"angle": self.angle, "velocity": self.velocity}

    def simulate(self, action: Any) -> tuple[dict[str, float], float, bool]:
        self.log.append("simulate")
        self.velocity = self.velocity - 0.5 - 0.5 * action.delta
        terminal = self.velocity <= 0.0
        reward = 1.0 if action["delta"] == 1 else -0.25
        return {"velocity": self.velocity, "angle": self.angle}, reward, terminal

    def episode_finish(self) -> None:
        self.finished_rewards.append(self.episode_reward)
        self.log.append("finish")


class ThreeSteps(MySimulator):
    """Every episode has three steps."""

    def simulate(self, action: Any) -> tuple[dict[str, float], float, bool]:
        self.log.append("simulate")
        return {"angle": 1.0, "velocity": 0.5}, 0.5, self.iteration_count == 2


class Valley(Environment):
    """A ball that is pushed to either side; the reward is to be near the middle.

    ``slope`` in its configuration says how far a push goes; ``log`` names a file that gets a line
    for each episode that begins.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.m_channels = [Channel("push", (-1.0, 1.0)), Channel("wind", (-1.0, 1.0))]
        self.s_channels = [Channel("x", (-1.0, 1.0)), Channel("reward"), Channel("truncated")]
        self._slope = cfg.get("slope", 0.2)
        self._x, self._steps = 0.0, 0
        self.seeds: list[int | None] = []

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        self.seeds.append(seed)
        if "log" in self.cfg:
            with open(self.cfg["log"], "a") as log:
                log.write(f"{seed}\n")
        self._x, self._steps = float(np.random.default_rng(seed).uniform(-0.5, 0.5)), 0
        return self._sensed()

    def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
        self._x = min(max(self._x + self._slope * m_signal["push"] + m_signal["wind"], -1.0), 1.0)
        self._steps += 1
        return self._sensed()

    def _sensed(self) -> Mapping[str, float]:
        return {"x": self._x, "reward": -abs(self._x), "truncated": float(self._steps >= 5)}


VALLEY: dict[str, Any] = {
    "brain": "valley",
    "environment": {
        "classname": "training_parts.Valley",
        "channels": {"place": "x", "shove": "push"},
        "constant": {"wind": 0.01},
    },
    "simulator": {"action": {"shove": "Float32{-1:1}"}, "state": {"place": "Float32{-1:1}"}},
    "neurons": {"size": 4, "gamma": 10, "full_count": 4.0},
    "training": {"episodes": 4},
    "lessons": [{"success_reward": -1.0}],
}


def made(folder: Path, changes: Mapping[str, Any] | None = None, **settings: Any) -> VersionedBrain:
    """Define a brain in a folder, and return it."""
    config = Config()
    config.url, config.brain = str(folder / "brains"), "cartwheel"
    for key, value in settings.items():
        setattr(config, key, value)
    return VersionedBrain.create(config, overlay(DEFINITION, changes or {}))


def by_run(sim: Simulator) -> None:
    """Drive a simulator as the document's first loop does."""
    while sim.run():
        continue


def by_events(sim: Simulator) -> None:
    """Drive a simulator as the document's event pump does."""
    while True:
        event = sim.get_next_event()
        if isinstance(event, EpisodeStartEvent):
            state = sim.episode_start(event.initial_properties)
            event.initial_state = state
        elif isinstance(event, SimulateEvent):
            state, reward, terminal = sim.simulate(event.action)
            event.state = state
            event.reward = float(reward)
            event.terminal = bool(terminal)
        elif isinstance(event, EpisodeFinishEvent):
            sim.episode_finish()
        elif isinstance(event, FinishedEvent):
            sim.close()
            break
        elif isinstance(event, UnknownEvent):
            pass


def by_plain_events(sim: Simulator) -> None:
    """Drive a simulator by events that get what it returns, without any conversion."""
    while not isinstance(event := sim.get_next_event(), FinishedEvent):
        if isinstance(event, EpisodeStartEvent):
            event.initial_state = sim.episode_start(event.initial_properties)
        elif isinstance(event, SimulateEvent):
            event.state, event.reward, event.terminal = sim.simulate(event.action)
        elif isinstance(event, EpisodeFinishEvent):
            sim.episode_finish()
    sim.close()
