"""``ab_ros explore``: find out what an environment can do."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ab_ros.cli.numbers import count, positive
from ab_ros.cli.progress import ProgressBar
from ab_ros.cli.report import check_folder, check_picture
from ab_ros.config import Source, load_yaml, parse, setting
from ab_ros.environments import Environment
from ab_ros.environments.exploration import (
    Explorer,
    GoalBabbling,
    GoalSettings,
    RandomExplorer,
    coverage,
    explore,
)
from ab_ros.environments.exploration_record import SUFFIXES, Exploration, read_exploration
from ab_ros.environments.signals import select
from ab_ros.errors import AbRosError, ChannelError, ConfigError
from ab_ros.training.lookup import beside

EXPLORERS = ("goals", "random")

_EXAMPLE = """\
CONFIG, in YAML:
  environment: {classname: ab_ros.environments.kinematic_arm.KinematicArm2D, dim: 15}
  explorer: goals                # or random
  goals: {channels: [x, y], noise: 0.05}
  steps: 1000
  seed: 0

Classes in files beside CONFIG can be named, too.
"""


@dataclass(frozen=True)
class ExploreSettings:
    """An exploration."""

    environment: dict[str, Any] = setting(doc="Its class, as classname, and its settings.")
    explorer: str = setting("goals", doc="How motor signals are chosen.", one_of=EXPLORERS)
    goals: GoalSettings = setting(GoalSettings, doc="Goals, where the explorer sets some.")
    steps: int = setting(1000, doc="Motor signals.", ge=1, le=100_000_000)
    seed: int = setting(0, doc="Of explorer and environment.", ge=0)


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "explore",
        help="find out what an environment can do, by chance or by goals",
        description="Explore an environment behind motor and sensory channels: try motor signals,"
        " by chance or by goals, and record what comes of them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="an exploration's YAML file")
    parser.add_argument("--explorer", choices=EXPLORERS, help="instead of the file's")
    parser.add_argument("--steps", type=positive, metavar="N", help="instead of the file's")
    parser.add_argument("--seed", type=count, metavar="N", help="instead of the file's")
    parser.add_argument(
        "--from",
        dest="known",
        type=Path,
        metavar="RECORD",
        help="begin with what an exploration before has recorded, as .npz or .csv",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="record everything, as .npz or .csv"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw what was reached")
    parser.add_argument(
        "--channels",
        nargs=2,
        metavar="NAME",
        help="two sensory channels that are drawn and counted (default: those of goals, or the"
        " first two)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explore; print how far it got."""
    data, source = load_yaml(options.config)
    for name in ("explorer", "steps", "seed"):
        if getattr(options, name) is not None:
            data[name] = getattr(options, name)
    s = parse(ExploreSettings, data, source)
    _check_outputs(options)
    known = _known(options.known, s.explorer, options.record)
    with beside(options.config.parent), _create(s.environment, source) as environment:
        try:
            explorer = _explorer(environment, s, known)
            names = options.channels or s.goals.channels[:2]
            shown = select(environment.s_channels, tuple(names), "channels")[:2]
        except ChannelError as error:
            raise ConfigError(f"{options.config}: {error}") from None
        environment.reset(s.seed)
        with ProgressBar(s.steps, "orders") as progress:
            done = 0

            def advance(step: int) -> None:
                nonlocal done
                progress.advance(step - done)
                done = step

            every = max(1, min(1000, s.steps // 20))
            made = explore(
                environment, explorer, s.steps, record=options.record, every=every, progress=advance
            )
    result: dict[str, Any] = {
        "environment": s.environment["classname"],
        "explorer": s.explorer,
        "seed": s.seed,
        "executed": made.count,
        "refused": made.refused,
    }
    if known is not None:
        result["known"] = known.count
    channels = [channel.name for channel in shown]
    if all(channel.bounded for channel in shown) and made.count:
        column = [made.s_channels.index(channel) for channel in shown]
        result["channels"] = channels
        result["cells"] = 20 ** len(shown)
        result["reached"] = int(coverage(made.sensed[:, column], shown)[-1])
    if options.plot is not None:
        _draw(made, s.explorer, channels, options.plot)
    print(json.dumps(result) if options.json else _sentence(result))
    return 0


def _create(cfg: dict[str, Any], source: Source) -> Environment:
    try:
        return Environment.create(cfg)
    except ConfigError as error:
        raise source.placed(error, "environment") from None


def _known(path: Path | None, explorer: str, record: Path | None) -> Exploration | None:
    """Read what was explored before."""
    if path is None:
        return None
    if explorer == "random":
        raise ConfigError("--from: a random explorer learns nothing of it; needs --explorer goals")
    if record is not None and record.resolve() == path.resolve():
        raise ConfigError(f"--record {record}: would replace the record of --from; name another")
    return read_exploration(path)


def _explorer(environment: Environment, s: ExploreSettings, known: Exploration | None) -> Explorer:
    if s.explorer == "random":
        return RandomExplorer(environment.m_channels, s.seed)
    babbling = GoalBabbling(environment.m_channels, environment.s_channels, s.goals, s.seed)
    if known is not None:
        babbling.recall(known)
    return babbling


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse, before anything is explored, what could not be written afterwards."""
    if options.record is not None and options.record.suffix not in SUFFIXES:
        raise ConfigError(f"--record {options.record}: must end in {' or '.join(SUFFIXES)}")
    check_picture("--plot", options.plot)
    for path, option in ((options.record, "--record"), (options.plot, "--plot")):
        if path is not None:
            check_folder(path.parent, option)


def _sentence(result: dict[str, Any]) -> str:
    words = f"{result['executed']} orders executed, {result['refused']} refused"
    if "known" in result:
        words += f", after {result['known']} that were known"
    if "reached" in result:
        of = " and ".join(result["channels"])
        words += f"; {result['reached']} of {result['cells']} cells of {of} reached"
    return words


def _draw(made: Exploration, name: str, channels: list[str], path: Path) -> None:
    try:
        from ab_ros.viz.exploration import exploration_figure
        from ab_ros.viz.saving import save
    except ImportError as error:
        raise AbRosError(
            f"pictures need Matplotlib and Pillow ({error}): 'pip install ab_ros[plot]'"
        ) from None
    save(exploration_figure({name: made}, channels), path)
