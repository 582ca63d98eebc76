"""``ab_ros up``: the nodes of a configuration, in one process."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ab_ros.cli.checks.config_file import chosen, named_nodes, read_config
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.nodes.remarks import Remarks

_DESCRIPTION = """\
Run the nodes that a parameter file names (motor, brain, critic, episodes, sim) in one process,
which needs less memory and less time than one for each: for small computers. The topics are the
same.

A line is printed whenever a node changes its state. Ctrl-C, SIGTERM, or a node that fails stops
all, the robot first: motor brakes, then brain saves what it has learned, then the others end."""

_EPILOG = """\
examples:
  ab_ros up robot.yaml                       all that robot.yaml names
  ab_ros up robot.yaml --only brain,motor    two of them; others may run elsewhere
  ab_ros up robot.yaml --no-sim              the real robot, with the file of the simulated one
  ab_ros up robot.yaml --ros-args -r __ns:=/arm -p brain:seed:=2

'ab_ros check robot.yaml' says beforehand what would not work.

exit code: 0 after a signal, 1 a node failed, 2 a node did not start because of its configuration"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "up",
        help="run the nodes of a configuration in one process",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="parameter file of the nodes")
    parser.add_argument(
        "--only", default="", metavar="NODES", help="names of the nodes to run, with commas"
    )
    parser.add_argument(
        "--sim",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="insist on the simulator, or leave it out (default: as CONFIG and --only have it)",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but what the nodes log")
    parser.set_defaults(run=run, takes_ros_arguments=True)


def run(options: argparse.Namespace) -> int:
    """Run the nodes until they are stopped; return the exit code of the process."""
    names = named_nodes(options.config)
    kinds = list(chosen(names, options.only))
    if options.sim and "sim" not in names:
        raise ConfigError(f"--sim: {options.config} has no node 'sim'; config/demo.yaml has one")
    if options.sim and "sim" not in kinds:
        kinds.append("sim")
    if options.sim is False:
        kinds = [kind for kind in kinds if kind != "sim"]
    if not kinds:
        raise ConfigError(f"{options.config}: without 'sim' no node is left to run")
    space = next(iter(names.values())).rpartition("/")[0]
    given = list(options.ros_arguments)
    if space and not any(argument.startswith("__ns:=") for argument in given):
        given += ["-r", f"__ns:={space}"]
    try:
        from ab_ros.nodes.composed import prepare_brain, run_together
    except ImportError as error:
        raise AbRosError(
            f"the nodes need ROS 2 and the built package ({error}); source them, or use 'make"
            f" shell'"
        ) from None
    if "brain" in kinds:
        known = read_config(options.config, Remarks()).node("brain")
        if known is not None:
            # What is wrong with it is told by the node, with what else it was given.
            with contextlib.suppress(AbRosError):
                prepare_brain(known.settings)
    return run_together(options.config, kinds, given, options.quiet)
