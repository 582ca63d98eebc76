"""A small brain for worms, of shipped components, that several tests put to work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def worm_recipe(**changes: Any) -> dict[str, Any]:
    """Return a recipe of a worm's brain that crawls, smells, learns, and is pruned."""
    sides = (("left", "dorsal"), ("right", "ventral"))
    crawl = [
        {
            "from_type": "cpg",
            "from_terminal": f"{side}_out",
            "to_type": "forward_motor",
            "to_terminal": f"{side}_in",
            "weight": 30,
            "probability": 1,
            "to_instances": [0, 2],
        }
        for _, side in sides
    ]
    wave = [
        {
            "from_type": "forward_motor",
            "from_terminal": f"{side}_out",
            "to_type": "forward_motor",
            "to_terminal": f"{side}_in",
            "weight": 30,
            "pattern": "shift",
            "offset": 2,
            "delay": 16,
            "probability": 1,
        }
        for _, side in sides
    ]
    steer = [
        {
            "name": f"trust {side}",
            "from_type": f"chemo_{side}",
            "from_terminal": "tonic_out",
            "to_type": "head_steering",
            "to_terminal": f"{side}_in",
            "weight": 8,
            "probability": 1,
            "synapse_type": "reward_plastic",
            "layer": "taste",
            "params": {"lr": 0.5},
        }
        for side, _ in sides
    ]
    grow = {
        "name": "growth",
        "from_type": "chemosensory",
        "from_terminal": "tonic_out",
        "to_type": "choice",
        "to_terminal": "a_in",
        "weight": 4,
        "probability": 1,
        "synapse_type": "developmental",
        "params": {
            "critical_period": 500,
            "eval_interval": 50,
            "pruning_threshold": 1,
            "min_source_fires": 1,
        },
    }
    return {
        "name": "tiny_worm",
        "description": "For tests.",
        "seed": 3,
        "components": [
            {"name": "chemo_left", "type": "chemosensory", "count": 4},
            {"name": "chemo_right", "type": "chemosensory", "count": 4},
            {"name": "choice", "type": "cross_inhibition", "count": 2, "layer": 1},
            {"type": "cpg", "count": 1, "layer": 2},
            {"type": "head_steering", "count": 8, "layer": 2},
            {"type": "forward_motor", "count": 48, "layer": 2},
        ],
        "projections": [*crawl, *wave, *steer, grow],
        "wiring": {"enabled": False},
        **changes,
    }


def write_worm(folder: Path, **changes: Any) -> Path:
    """Write the recipe; return its path."""
    path = folder / "tiny_worm.json"
    path.write_text(json.dumps(worm_recipe(**changes)))
    return path
