"""All nodes of a robot in one process and one executor, for computers that are small."""

from __future__ import annotations

import importlib
import math
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.errors import ConfigError
from ab_ros.nodes.brain_settings import BrainSettings
from ab_ros.nodes.diagnostics import Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.process import run
from ab_ros.values import Reward

_FIRST, _LAST = ("motor",), ("sim",)
_OFTEN = 1.0  # s
_NUMBER = re.compile(r"\d+(\.\d+)?")
_COLOURS = {Level.OK: "", Level.WARN: "\033[33m", Level.ERROR: "\033[1;31m"}
_PLAIN = "\033[0m"


def node_class(kind: str) -> type[AbNode[Any]]:
    """Return the class of a node by the name that it has in parameter files."""
    for made in vars(importlib.import_module(f"ab_ros.nodes.{kind}")).values():
        is_node = isinstance(made, type) and issubclass(made, AbNode)
        if is_node and getattr(made, "node_name", "") == kind:
            return made
    raise ConfigError(f"ab_ros.nodes.{kind} has no node of that name")


def stopping_order(kinds: Sequence[str]) -> list[str]:
    """Return nodes in the order in which they are stopped: who moves the robot first.

    A simulated robot is last, so that it still obeys.
    """
    between = [kind for kind in kinds if kind not in (*_FIRST, *_LAST)]
    return [
        *(kind for kind in _FIRST if kind in kinds),
        *between,
        *(kind for kind in _LAST if kind in kinds),
    ]


def prepare_brain(settings: BrainSettings) -> None:
    """Run one cycle of the brain, and forget it: what it needs is loaded and compiled then.

    Compiling may take seconds, once on a computer; in this process the other nodes would stand
    still meanwhile, with the robot in motion.
    """
    if settings.backend != "embedded":
        return
    if settings.file:
        brain = EmbeddedBrain.load(Path(settings.file), dt=settings.dt, seed=settings.seed)
    elif settings.architecture is not None:
        brain = EmbeddedBrain(settings.architecture, dt=settings.dt, seed=settings.seed)
    else:
        return
    brain.open()
    brain.set_learning(True)
    brain.run_cycle(lambda _: ())
    brain.reward(Reward(1.0), 0)


def run_together(
    file: Path, kinds: Sequence[str], ros_arguments: Sequence[str], quiet: bool = False
) -> int:
    """Run the nodes of a parameter file until a signal or a failure; return the exit code.

    Parameters
    ----------
    file : has the parameters of each by its name.
    kinds : which nodes.
    ros_arguments : more ROS arguments, for all of them.
    quiet : whether nothing is printed but what nodes log.

    Returns
    -------
    as :func:`ab_ros.nodes.process.run`.

    Raises
    ------
    ConfigError
        if the arguments would give all nodes one name.
    """
    for argument in ros_arguments:
        if re.match(r"(__node|__name):=", argument):
            raise ConfigError(
                f"{argument}: would give all nodes one name; write {kinds[0]}:{argument}"
            )
    given = [argument for argument in ros_arguments if argument != "--ros-args"]
    classes = [node_class(kind) for kind in stopping_order(kinds)]
    arguments = ["ab_ros", "--ros-args", "--params-file", str(file), *given]
    if quiet:
        return run(*classes, arguments=arguments)
    return run(*classes, arguments=arguments, watch=StatusLines().look)


class StatusLines:
    """Prints a line whenever a node changes its state, or what it says of it.

    What a node says in the same state comes once a second at most, the newest.

    Parameters
    ----------
    stream : where to; stdout by default, where nodes do not log.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._colour = self._stream.isatty()
        self._seen: dict[str, tuple[str, Level, str]] = {}
        self._told: dict[str, float] = {}

    def look(self, node: AbNode[Any]) -> None:
        """Print how a node does, if that has changed; numbers alone are no change."""
        level, sentence = node.condition
        state = node.state
        name = node.get_name()
        now = (state, level, _NUMBER.sub("#", sentence))
        seen = self._seen.get(name)
        soon = time.monotonic() - self._told.get(name, -math.inf) < _OFTEN
        if seen == now or (soon and seen is not None and seen[0] == state):
            return
        self._seen[name], self._told[name] = now, time.monotonic()
        said = "" if sentence in (state, "not active", "not configured") else f"  {sentence}"
        colour, plain = (_COLOURS[level], _PLAIN) if self._colour else ("", "")
        clock = time.strftime("%H:%M:%S")
        self._stream.write(f"{clock}  {name:<7} {colour}{state:<13}{said}".rstrip() + f"{plain}\n")
        self._stream.flush()
