"""``ab_ros check``: what would not work with a robot's configuration, before it runs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ab_ros.cli.checks.everything import Given, check_config
from ab_ros.cli.numbers import seconds
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.nodes.remarks import Level, Remark, Remarks

_DESCRIPTION = """\
Read the parameter file of a robot, and say what would not work, a line each: how bad it is, where
it stands, what is so, and what would be right. Nothing is started and nothing moves.

Every setting of every node is checked; encoders against the samples that they get; the mapping and
the policies (which are loaded, and called once) against the brain; limits against the robot's URDF;
pace, clocks, rates and time-outs against each other; and what the robot would do if the motor node
were killed."""

_EPILOG = """\
examples:
  ab_ros check robot.yaml --urdf robot.urdf        everything that needs no robot
  ab_ros check robot.yaml --controllers ros2_control.yaml
                                                   do the controllers fit, and do they stop?
  ab_ros check robot.yaml --graph                  with the drivers running: are their topics there,
                                                   of the right type and QoS, how fast, how old
  ab_ros check robot.yaml --graph --ros-args -r __ns:=/arm

exit code: 0 no errors, 1 errors, 2 the file cannot be used at all"""

_COLOURS = {Level.ERROR: "\033[1;31m", Level.WARNING: "\033[33m", Level.OK: "\033[32m"}
_PLAIN = "\033[0m"


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "check",
        help="say what would not work with a robot's configuration, and with its running graph",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="parameter file of the nodes")
    add(
        "--brain",
        type=Path,
        metavar="FILE",
        help="brain file that runs, here or as a service, instead of what CONFIG says",
    )
    add("--urdf", type=Path, metavar="FILE", help="the robot's description (default: the sim's)")
    add(
        "--controllers",
        type=Path,
        metavar="FILE",
        help="parameter file of ros2_control's controller manager",
    )
    add("--graph", action="store_true", help="look at the running ROS graph, too; needs ROS 2")
    add(
        "--timeout",
        type=seconds,
        default=3.0,
        metavar="S",
        help="how long --graph waits for topics and their messages (default 3)",
    )
    add("--json", action="store_true", help="print everything as one JSON object")
    parser.set_defaults(run=run, takes_ros_arguments=True)


def run(options: argparse.Namespace) -> int:
    """Check and print; return 0 without errors, else 1."""
    remarks = Remarks()
    given = Given(options.config, options.brain, options.urdf, options.controllers)
    checked = check_config(given, remarks)
    sensors: Sequence[Any] = ()
    if options.graph:
        try:
            from ab_ros.nodes.graph_check import look_at_graph
        except ImportError as error:
            raise AbRosError(f"--graph needs ROS 2 and the built package ({error})") from None
        seen = look_at_graph(checked, options.timeout, options.ros_arguments, remarks)
        sensors = seen.sensors
    elif options.ros_arguments:
        raise ConfigError("--ros-args: are for --graph; without it no node is made")
    if options.json:
        print(json.dumps(_as_json(options.config, remarks, sensors), indent=2))
    else:
        colour = sys.stdout.isatty()
        print(listing(remarks, colour))
        if sensors:
            print(f"\n{sensor_table(sensors)}")
        print(f"\n{summary(remarks, colour)}")
    return int(remarks.count(Level.ERROR) > 0)


def listing(remarks: Remarks, colour: bool) -> str:
    """Return a line for each remark, the worst first, aligned."""
    order = list(Level)[::-1]
    ranked = sorted(remarks, key=lambda remark: order.index(remark.level))
    width = max((len(remark.where) for remark in ranked), default=0)
    return "\n".join(_line(remark, width, colour) for remark in ranked)


def _line(remark: Remark, width: int, colour: bool) -> str:
    level = f"{remark.level.value:<7}"
    if colour:
        level = f"{_COLOURS[remark.level]}{level}{_PLAIN}"
    key = f"{remark.key}: " if remark.key else ""
    return f"{level}  {remark.where:<{width}}  {key}{remark.text}"


def summary(remarks: Remarks, colour: bool) -> str:
    """Return the counts in one line."""
    parts = []
    for level in (Level.ERROR, Level.WARNING, Level.OK):
        count = remarks.count(level)
        word = level.value if level is Level.OK else f"{level.value}{'' if count == 1 else 's'}"
        text = f"{count} {word}"
        parts.append(f"{_COLOURS[level]}{text}{_PLAIN}" if colour and count else text)
    return ", ".join(parts)


def sensor_table(sensors: Sequence[Any]) -> str:
    """Return what was heard of each sensor: its rate, and how old its samples are."""
    from ab_ros.cli.report import grid

    head = ("sensor", "topic", "messages", "Hz", "age / ms", "needed within / ms")
    rows = [
        (
            sensor.name,
            sensor.topic,
            str(sensor.messages),
            _figure(sensor.rate),
            _figure(None if sensor.age is None else sensor.age * 1e3),
            _figure(None if sensor.max_age is None else sensor.max_age * 1e3),
        )
        for sensor in sensors
    ]
    return grid(head, rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _as_json(config: Path, remarks: Remarks, sensors: Sequence[Any]) -> dict[str, Any]:
    return {
        "config": str(config),
        "errors": remarks.count(Level.ERROR),
        "warnings": remarks.count(Level.WARNING),
        "remarks": [
            {
                "level": remark.level.value,
                "where": remark.where,
                "key": remark.key,
                "text": remark.text,
            }
            for remark in remarks
        ],
        "sensors": [dataclasses.asdict(sensor) for sensor in sensors],
    }
