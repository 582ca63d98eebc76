"""``ab_ros plot``: pictures of what was recorded, and of results."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ab_ros.errors import AbRosError, ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = ("raster", "rate", "potential", "weights", "learning-curve")


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "plot",
        help="draw a record or a result",
        description="Draw what a run recorded, or a result in JSON. A record is a file that ab_ros"
        " brain run --record has written (.npz, .csv, .h5, .hdf5), or the folder RECORD.part that a"
        " run which was cut short has left; a result is a JSON file of ab_ros arena run --json or"
        " ab_ros demo. Writes a PNG picture.",
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
        help="raster: spikes; rate: of groups; potential: of membranes; weights: of projections;"
        " learning-curve: of a result, or how far a record's weights moved (default: raster, of a"
        " result learning-curve)",
    )
    parser.add_argument(
        "--from", dest="start", type=int, metavar="TICK", help="first tick (default: the first)"
    )
    parser.add_argument(
        "--to", dest="stop", type=int, metavar="TICK", help="tick to stop before (default: the end)"
    )
    parser.add_argument(
        "--groups",
        nargs="+",
        default=(),
        metavar="NAME",
        help="groups of neurons to draw; with --what weights, projections (default: all)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw and save the picture; print its path."""
    path: Path = options.record
    result = path.suffix == ".json"
    what = options.what or ("learning-curve" if result else "raster")
    if result and what != "learning-curve":
        raise ConfigError(f"--what {what}: {path} is a result; it has a learning-curve only")
    output = options.output or _beside(path, what)
    if output.suffix != ".png":
        raise ConfigError(f"--output {output}: pictures are PNG files; name one that ends in .png")
    try:
        from ab_ros.viz.saving import save
    except ImportError as error:
        raise AbRosError(
            f"pictures need Matplotlib and Pillow ({error}): 'pip install ab_ros[plot]'"
        ) from None
    figure = _of_result(path) if result else _of_record(path, what, options)
    print(save(figure, output))
    return 0


def _of_result(path: Path) -> Figure:
    from ab_ros.viz.results import result_figure

    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from None
    try:
        return result_figure(result)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _of_record(path: Path, what: str, options: argparse.Namespace) -> Figure:
    from ab_ros.engine.record import read_record
    from ab_ros.viz.activity import record_raster, record_rates
    from ab_ros.viz.results import record_learning
    from ab_ros.viz.traces import record_potentials, record_weights

    record = read_record(path)
    span = {"start": options.start, "stop": options.stop}
    try:
        if what == "weights":
            return record_weights(record, **span, projections=options.groups)
        if what == "learning-curve":
            return record_learning(record)
        draw = {"raster": record_raster, "rate": record_rates, "potential": record_potentials}
        return draw[what](record, **span, groups=options.groups)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _beside(path: Path, what: str) -> Path:
    name = path.name.removesuffix(".part")
    return path.with_name(f"{Path(name).stem}_{what}.png")
