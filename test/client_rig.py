"""A served brain with the inputs and outputs of the document's quick start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server_rig import jpeg, serving

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import parse
from ab_ros.server import BrainServer

FRAME = jpeg()
SOUND = bytes(2 * 160)


def architecture() -> ArchitectureSettings:
    output = {"neuron": "FS", "noise": 6.0, "bias": 8.0, "output": True}
    return parse(
        ArchitectureSettings,
        {
            "gamma": 8,
            "feedback_timesteps": 4,
            "inputs": {
                "cam_rgb": {
                    "kind": "Image",
                    "topic": "cam",
                    "encoder": "saliency",
                    "options": {"width": 4, "height": 3, "total_rate": 2500.0},
                },
                "mic": {
                    "kind": "Audio",
                    "topic": "mic",
                    "encoder": "spectrum",
                    "options": {"bands": 4},
                },
            },
            "populations": {
                "V1": {"size": 4, **output},
                "L1": {"size": 4, **output},
                "P1": {"size": 2, **output},
            },
            "projections": {
                "see": {
                    "source": "cam_rgb",
                    "target": "V1",
                    "synapse": "reward_plastic",
                    "layer": "W_V1",
                    "weight": 2.0,
                    "options": {"lr": 0.1, "w_min": 0.0, "w_max": 5.0},
                },
                "hear": {"source": "mic", "target": "L1", "weight": 2.0},
                "lesson": {"source": "fbV1", "target": "V1", "weight": 5.0},
            },
            "feedback": {"fbV1": {"size": 2, "output": "V1"}},
        },
    )


def served(folder: Path, **settings: Any) -> BrainServer:
    """A server of that brain, which is not started yet."""
    path = folder / "brain.db"
    EmbeddedBrain(architecture(), seed=3).save(path)
    return serving(folder, brain=path, **settings)
