"""``ab_ros settings``: every setting of a node or a file: type, what is allowed, what it means."""

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
    "episodes": ("ab_ros.nodes.episodes", "EpisodesSettings"),
    "stepper": ("ab_ros.nodes.stepper", "StepperSettings"),
    "target": ("ab_ros.nodes.target", "TargetSettings"),
    "audio_capture": ("ab_ros.nodes.audio_capture", "AudioCaptureSettings"),
    "audio_file": ("ab_ros.nodes.audio_file", "AudioFileSettings"),
}
_FILES = {
    "train": ("ab_ros.training.training_file", "TrainingFileSettings"),
    "explore": ("ab_ros.cli.explore", "ExploreSettings"),
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "settings",
        help="list every setting of a node, or of a command's file",
        description="List every setting that a node takes under ros__parameters, or that the file"
        " of `ab_ros train` or `ab_ros explore` may have.",
    )
    parser.add_argument("node", metavar="NAME", choices=sorted({**_NODES, **_FILES}), help=_names())
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    if options.node in _FILES:
        module, name = _FILES[options.node]
        print(describe(getattr(importlib.import_module(module), name)))
    else:
        print(describe(settings_class(options.node)))
    return 0


def _names() -> str:
    return f"a node ({', '.join(_NODES)}) or a file ({', '.join(_FILES)})"


def node_names() -> list[str]:
    """Return the nodes that have settings."""
    return list(_NODES)


def settings_class(node: str) -> type[Any]:
    """Return the class of a node's settings.

    Raises
    ------
    AbRosError
        if it cannot be known without ROS.
    """
    module, name = _NODES[node]
    try:
        found: type[Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise AbRosError(
            f"the {node} node needs ROS 2 ({error}): source it, or use 'make shell'"
        ) from None
    return found
