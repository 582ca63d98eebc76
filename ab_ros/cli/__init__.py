"""The ``ab_ros`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import ab_ros
from ab_ros.cli import (
    arena,
    blocks,
    brain,
    check,
    demo,
    encoders,
    explore,
    layers,
    plot,
    policies,
    serve,
    settings,
    train,
    up,
)
from ab_ros.errors import AbRosError

_COMMANDS = (
    arena,
    blocks,
    brain,
    check,
    demo,
    encoders,
    explore,
    layers,
    plot,
    policies,
    serve,
    settings,
    train,
    up,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 failed, 2 wrong use or configuration."""
    parser = argparse.ArgumentParser(
        prog="ab_ros", description="A spiking brain for a robot: observe, run a cycle, act, learn."
    )
    parser.add_argument("--version", action="version", version=f"ab_ros {ab_ros.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_parser(commands)
    given, ros = _split(list(sys.argv[1:] if arguments is None else arguments))
    options = parser.parse_args(given)
    if getattr(options, "takes_ros_arguments", False):
        options.ros_arguments = ros
    elif ros:
        parser.error("--ros-args: this command takes none")
    try:
        return int(options.run(options))
    except AbRosError as error:
        print(f"ab_ros: {error}", file=sys.stderr)
        return 2 if type(error).__name__ in ("ConfigError", "ContractError") else 1
    except KeyboardInterrupt:
        print("ab_ros: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before ``--ros-args``, and from there on."""
    at = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    return arguments[:at], arguments[at:]
