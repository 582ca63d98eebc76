"""``ab_ros plot``: pictures of what was recorded, and of results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ab_ros.cli.drawable import Kind, kind_of, read_json, read_signals
from ab_ros.cli.report import check_picture
from ab_ros.errors import AbRosError, ChannelError, ConfigError, one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = tuple(dict.fromkeys(what for kind in Kind for what in kind.pictures))


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "plot",
        help="draw a record or a result",
        description="Draw what was recorded, or a result. RECORD is a file that ab_ros brain run"
        " --record has written (.npz, .csv, .h5, .hdf5), or the folder RECORD.part that a run which"
        " was cut short has left; a record (.csv, .json), an episode's signals (.npz) or the"
        " summary.json of ab_ros train; a record of ab_ros explore (.npz, .csv); or the JSON of"
        " ab_ros arena run --json or ab_ros demo. Writes a PNG picture.",
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="record, or result in JSON")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.png",
        help="the picture (default: RECORD_WHAT.png beside the record)",
    )
    parser.add_argument(
        "--what",
        choices=WHAT,
        help="of a run: raster (spikes; the default), rate (of groups), potential (of membranes),"
        " weights (of projections), learning-curve (how far weights moved); of all else there is"
        " one picture: the learning-curve of episodes and results, what an exploration reached, an"
        " episode's signals",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=int,
        metavar="TICK",
        help="first tick, or step of an episode (default: the first)",
    )
    parser.add_argument(
        "--to",
        dest="stop",
        type=int,
        metavar="TICK",
        help="tick or step to stop before (default: the end)",
    )
    parser.add_argument(
        "--groups",
        nargs="+",
        default=(),
        metavar="NAME",
        help="what to draw: groups of neurons; with --what weights, projections; of an exploration,"
        " two sensory channels; of an episode, signals (default: all)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw and save the picture; print its path."""
    path: Path = options.record
    kind = kind_of(path)
    what = options.what or kind.pictures[0]
    _check(kind, what, options)
    output = options.output or _beside(path, what)
    check_picture("--output", output)
    try:
        from ab_ros.viz.saving import save
    except ImportError as error:
        raise AbRosError(
            f"pictures need Matplotlib and Pillow ({error}): 'pip install ab_ros[plot]'"
        ) from None
    print(save(_drawn(kind, what, path, options), output))
    return 0


def _check(kind: Kind, what: str, options: argparse.Namespace) -> None:
    """Refuse what there is not of a kind of file."""
    where = f"{options.record} is {kind.title}"
    if what not in kind.pictures:
        raise ConfigError(f"--what {what}: {where}; {one_of(kind.pictures)}")
    cut = options.start is not None or options.stop is not None
    if cut and kind not in (Kind.RUN, Kind.SIGNALS):
        raise ConfigError(f"--from and --to: {where}, which is drawn whole")
    if options.groups and kind not in (Kind.RUN, Kind.SIGNALS, Kind.EXPLORATION):
        raise ConfigError(f"--groups: {where}, which has none")


def _drawn(kind: Kind, what: str, path: Path, options: argparse.Namespace) -> Figure:
    try:
        if kind is Kind.RUN:
            return _of_run(path, what, options)
        if kind is Kind.EXPLORATION:
            from ab_ros.environments.exploration_record import read_exploration
            from ab_ros.viz.exploration import exploration_figure

            return exploration_figure({path.stem: read_exploration(path)}, options.groups)
        if kind is Kind.SIGNALS:
            from ab_ros.viz.episode import signal_figure

            span = {"start": options.start, "stop": options.stop}
            signals = read_signals(path)
            return signal_figure(signals, names=options.groups, title=path.stem, **span)
        from ab_ros.viz.training import record_training, summary_training

        if kind is Kind.EPISODES:
            from ab_ros.training.records import read_record

            return record_training(read_record(path), title=path.stem)
        if kind is Kind.SUMMARY:
            return summary_training(read_json(path))
        from ab_ros.viz.results import result_figure

        return result_figure(read_json(path))
    except (ChannelError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _of_run(path: Path, what: str, options: argparse.Namespace) -> Figure:
    from ab_ros.engine.record import read_record
    from ab_ros.viz.activity import record_raster, record_rates
    from ab_ros.viz.results import record_learning
    from ab_ros.viz.traces import record_potentials, record_weights

    record = read_record(path)
    span = {"start": options.start, "stop": options.stop}
    if what == "weights":
        return record_weights(record, **span, projections=options.groups)
    if what == "learning-curve":
        return record_learning(record)
    draw = {"raster": record_raster, "rate": record_rates, "potential": record_potentials}
    return draw[what](record, **span, groups=options.groups)


def _beside(path: Path, what: str) -> Path:
    name = path.name.removesuffix(".part")
    return path.with_name(f"{Path(name).stem}_{what}.png")
