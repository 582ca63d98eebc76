"""Brains in this process that one suite covers: each has a camera, a population, a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.local import LocalBrain
from ab_ros.config import parse
from ab_ros.layered import LayeredBrain, plan_of
from ab_ros.values import Deviation, Need, Observation, Reward

SALIENCY = {
    "kind": "Image",
    "topic": "camera/image_raw",
    "encoder": "saliency",
    "options": {"width": 8, "height": 6, "total_rate": 2500.0},
}


def architecture(**changes: Any) -> ArchitectureSettings:
    data: dict[str, Any] = {
        "gamma": 20,
        "feedback_timesteps": 20,
        "baseline_cycles": 10.0,
        "inputs": {"camera": SALIENCY},
        "populations": {
            "pan": {"neuron": "FS", "size": 8, "noise": 3.0, "parts": 2, "output": True},
        },
        "projections": {
            "camera_pan": {
                "source": "camera",
                "target": "pan",
                "synapse": "reward_plastic",
                "layer": "pan",
                "weight": 2.0,
                "spread": 0.5,
                "options": {"lr": 0.1, "w_min": 0.0, "w_max": 5.0},
            },
            "rivals": {
                "source": "pan",
                "target": "pan",
                "pattern": "opponent_halves",
                "weight": -3.0,
            },
            "lesson": {
                "source": "fb",
                "target": "pan",
                "target_part": "first_half",
                "weight": 5.0,
            },
        },
        "feedback": {"fb": {"size": 4, "output": "pan"}},
    }
    data.update(changes)
    return parse(ArchitectureSettings, data)


def definition(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "gamma": 20,
        "feedback_timesteps": 20,
        "baseline_cycles": 10.0,
        "sensors": {"camera": SALIENCY},
        "feedback": {"fb": {"size": 4, "output": "pan"}},
        "computation": {"type": "standard", "threshold": 1.5, "noise": 1.0},
        "learning": {"type": "hebbian", "increase": 0.05, "decrease": 0.002},
        "layers": [{"name": "pan", "shape": 8, "layer": "pan", "inputs": {"lesson": "fb"}}],
    }
    return {**data, **changes}


def embedded(seed: int = 1) -> LocalBrain:
    return EmbeddedBrain(architecture(), seed=seed)


def layered(seed: int = 1) -> LocalBrain:
    return LayeredBrain(plan_of(definition(), seed=seed), dt=0.001, seed=seed)


@dataclass(frozen=True)
class Subject:
    """A kind of brain.

    Parameters
    ----------
    make : a brain from a seed; it has the input camera, the output and reward layer pan of 8
        neurons, and the feedback fb of 4, which drives pan.
    load : one from its file.
    weights : that rewards change, as they are now.
    """

    name: str
    make: Callable[..., LocalBrain]
    load: Callable[[Path], LocalBrain]
    weights: Callable[[Any], np.ndarray]

    def opened(self, seed: int = 1) -> LocalBrain:
        brain = self.make(seed)
        brain.open()
        return brain


SUBJECTS = (
    Subject(
        "embedded",
        embedded,
        EmbeddedBrain.load,
        lambda brain: brain.network.weights("camera_pan").copy(),
    ),
    Subject("layered", layered, LayeredBrain.load, lambda brain: brain.weights("pan").copy()),
)


def seeing(x: int = 40) -> Callable[[Need], Iterable[Observation]]:
    """Return an observe function that shows a red square at column x."""
    image = np.full((60, 80, 3), 90, np.uint8)
    image[25:35, x : x + 10] = (220, 20, 20)
    return lambda need: [Observation("camera", "Image", 0.02 * need.cycle, "rgb8", image)]


def run(brain: LocalBrain, cycles: int, reward: bool = True) -> list[np.ndarray]:
    """Run cycles with a reward that follows a fixed script; return the rasters."""
    rasters = []
    for _ in range(cycles):
        cycle = brain.run_cycle(seeing(), 0.0)
        rasters.append(cycle.rasters["pan"])
        brain.done(cycle.number)
        brain.feedback(
            Deviation("fb", np.full(20, (cycle.number % 3 - 1) / 2, np.float32)), cycle.number
        )
        if reward:
            brain.reward(Reward((cycle.number * 7 % 10) / 10), cycle.number)
    return rasters


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
