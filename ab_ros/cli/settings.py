"""``ab_ros settings``: every setting of a node: its type, what is allowed and what it means."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from ab_ros.config import describe
from ab_ros.errors import AbRosError

_NODES = {
    "brain": ("ab_ros.nodes.brain", "BrainSettings"),
    "motor": ("ab_ros.motion", "MotorSettings"),
    "critic": ("ab_ros.nodes.critic", "CriticNodeSettings"),
    "sim": ("ab_ros.nodes.sim", "SimSettings"),
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "settings",
        help="list every setting of a node",
        description="List every setting that a node takes under ros__parameters.",
    )
    parser.add_argument("node", choices=sorted(_NODES))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    module, name = _NODES[options.node]
    try:
        cls = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise AbRosError(
            f"the {options.node} node needs ROS 2 ({error}): source it, or use 'make shell'"
        ) from None
    print(describe(cls))
    return 0
