"""``ab_ros brain``: build brains from recipes, look into them, check and run them."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.anatomy import encoder_sizes
from ab_ros.brains.files import format_of
from ab_ros.cli import wired_brain
from ab_ros.cli.layers import described
from ab_ros.cli.numbers import count, positive
from ab_ros.cli.progress import ProgressBar
from ab_ros.cli.report import columns, grid, write_json
from ab_ros.engine.brain import Brain
from ab_ros.engine.brain_file import FORMAT as RECIPE_FORMAT
from ab_ros.engine.plan import Plan
from ab_ros.engine.recipes import compile_recipe, load_recipe, recipe_names
from ab_ros.engine.recorder import Recorder
from ab_ros.engine.summary import learned, measure_rates, plan_summary, rates_of
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.layered.brain import LayeredBrain

FOLDER = Path("brains")
"""Where brains are written unless the command says otherwise."""
_RATE_TICKS = 1000
_BLOCK = 100
_SQLITE = b"SQLite format 3\0"

_EXAMPLES = """
examples:
  ab_ros brain build arena_v1                         a shipped recipe, to brains/arena_v1_s42.db
  ab_ros brain build mine.json --seed 7 -o mine.db    a recipe of your own
  ab_ros brain info mine.db
  ab_ros brain validate mine.json                     says what is wrong, and where; exit code 2
  ab_ros brain run mine.db --ticks 5000 --current "left.on_in=8" --record run.npz
  ab_ros plot run.npz

A recipe lists components (circuits of a few neurons), where they are, and what joins them; every
key is described in ab_ros/engine/recipes/recipe.schema.json. Neurons are chosen by selectors:
component.terminal or component.node, such as left.on_in; '*' stands for any text, and
left[3].on_in is that of instance 3.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "brain",
        help="build, inspect, check and run brains",
        description="Build brains from recipes, look into them, check and run them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_build(actions)
    _add_info(actions)
    _add_validate(actions)
    _add_run(actions)


def _add_build(actions: Any) -> None:
    parser = actions.add_parser(
        "build",
        help="make a brain from a recipe",
        description="Make a brain from a recipe: the same recipe and seed give the same brain, bit"
        " by bit.",
    )
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help=f"a recipe file, or the name of a shipped one ({', '.join(recipe_names()) or 'none'})",
    )
    parser.add_argument("--seed", type=count, metavar="N", help="seed (default: the recipe's)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where to (default: {FOLDER}/NAME_sSEED.db)",
    )
    parser.set_defaults(run=build)


def _add_info(actions: Any) -> None:
    parser = actions.add_parser(
        "info",
        help="what a brain consists of, and how fast it fires",
        description="Show what a brain consists of, also one that ab_ros train, a node or ab_ros"
        " layers has written. The rates of one that was built from a recipe are measured: by a"
        " short run of a copy, without input and without learning.",
    )
    parser.add_argument("brain", type=Path, metavar="BRAIN", help="a brain file")
    parser.add_argument(
        "--ticks",
        type=count,
        default=_RATE_TICKS,
        metavar="N",
        help=f"ticks over which rates are measured; 0: not at all (default {_RATE_TICKS})",
    )
    _add_current(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON, too")
    parser.set_defaults(run=info)


def _add_validate(actions: Any) -> None:
    parser = actions.add_parser(
        "validate",
        help="check a recipe or a brain",
        description="Check a recipe, by compiling it, or a brain file, by loading it. On an error"
        " the exit code is not 0, and the message says where it is and what is allowed.",
    )
    parser.add_argument(
        "what", metavar="RECIPE_OR_BRAIN", help="a recipe's name or file, or a brain file"
    )
    parser.set_defaults(run=validate)


def _add_run(actions: Any) -> None:
    parser = actions.add_parser(
        "run",
        help="let a brain run",
        description="Let a brain run for a number of ticks of 1 ms. The brain file stays as it is;"
        " use --save to keep what became of it.",
        epilog="example: ab_ros brain run mine.db --ticks 5000 --current 'left.on_in=8'"
        " 'right.on_in=2' --record run.npz --groups 'left.on_out' 'right.on_out'",
    )
    parser.add_argument("brain", type=Path, metavar="BRAIN", help="a brain file")
    parser.add_argument("--ticks", type=positive, required=True, metavar="N", help="how long")
    _add_current(parser)
    parser.add_argument("--no-learning", action="store_true", help="keep all weights as they are")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the brain afterwards")
    recording = parser.add_argument_group("recording")
    recording.add_argument(
        "--record", type=Path, metavar="FILE", help="write spikes to a .npz, .csv or .h5 file"
    )
    recording.add_argument(
        "--groups", nargs="+", metavar="SEL", help="whose spikes (default: all neurons)"
    )
    recording.add_argument(
        "--potentials", nargs="+", default=[], metavar="SEL", help="whose membrane potentials, too"
    )
    recording.add_argument(
        "--weights", nargs="+", default=[], metavar="PROJECTION", help="whose weights, too"
    )
    recording.add_argument(
        "--every",
        type=positive,
        default=1,
        metavar="N",
        help="ticks between samples of potentials (default 1)",
    )
    parser.set_defaults(run=run)


def _add_current(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--current",
        nargs="+",
        type=_current,
        default=[],
        action="extend",
        metavar="SEL=VALUE",
        help="constant current into the neurons of a selector",
    )


def build(options: argparse.Namespace) -> int:
    """Make a brain and write it."""
    recipe = load_recipe(options.recipe)
    began = time.perf_counter()
    plan = compile_recipe(recipe, options.seed, encoder_sizes(recipe))
    brain = Brain.build(plan)
    seconds = time.perf_counter() - began
    path = options.output or FOLDER / f"{plan.name}_s{plan.seed}.db"
    brain.save(path)
    print(f"{plan.name}, seed {plan.seed}: {_sizes(plan)}, built in {seconds:.1f} s")
    print(f"  {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def info(options: argparse.Namespace) -> int:
    """Print what a brain consists of."""
    if not _is_built(options.brain):
        return _info_of_wired(options)
    brain = Brain.load(options.brain)
    figures = plan_summary(brain.plan)
    figures["file"] = str(options.brain)
    figures["megabytes"] = options.brain.stat().st_size / 1e6
    figures["learned"] = learned(brain)
    figures["body_map"], figures["sensor_map"] = brain.body_map.size, brain.sensor_map.size
    if options.ticks:
        drive = _drive(brain, options.current)
        rates: dict[str, Any] = dict(measure_rates(brain, options.ticks, drive))
        given = dict(options.current)
        figures["rates"] = {**rates, "ticks": options.ticks, "learning": False, "currents": given}
    print(_table(figures))
    if options.json:
        write_json(options.json, figures)
    return 0


def _is_built(path: Path) -> bool:
    """Whether a file is that of a brain built from a recipe; of what cannot be told, it is."""
    return format_of(path) in ("", RECIPE_FORMAT)


def _info_of_wired(options: argparse.Namespace) -> int:
    """Print what a brain consists of that no recipe was compiled for: it has no components."""
    if options.current:
        raise ConfigError("--current: only brains built from a recipe have selectors")
    brain, figures = wired_brain.read(options.brain)
    if isinstance(brain, LayeredBrain):
        print(described(brain, str(options.brain)))
    else:
        print(wired_brain.table(figures))
    if options.json:
        write_json(options.json, figures)
    return 0


def validate(options: argparse.Namespace) -> int:
    """Check a recipe or a brain."""
    path = Path(options.what)
    if path.is_file() and path.suffix != ".json" and _begins_as_database(path):
        if not _is_built(path):
            size = wired_brain.read(path)[1]["neurons"]
            print(f"{path}: a brain, {size} neurons: no errors")
            return 0
        brain = Brain.load(path)
        print(f"{path}: a brain, {_sizes(brain.plan)}, {brain.ticks} ticks old: no errors")
        return 0
    recipe = load_recipe(path if path.is_file() else options.what)
    plan = compile_recipe(recipe, None, encoder_sizes(recipe))
    plan.network()
    print(f"{recipe.file}: a recipe, {_sizes(plan)}: no errors")
    return 0


def run(options: argparse.Namespace) -> int:
    """Let a brain run."""
    if not options.record and (options.groups or options.potentials or options.weights):
        raise ConfigError("--groups, --potentials and --weights say what to --record: give a FILE")
    brain = Brain.load(options.brain)
    learning, brain.learning = brain.learning, not options.no_learning
    drive = _drive(brain, options.current)
    recorder = None
    if options.record:
        recorder = Recorder(
            brain,
            options.record,
            spikes=options.groups,
            potentials=options.potentials,
            weights=options.weights,
            every=options.every,
        )
    counts = np.zeros(brain.size, np.int64)
    began = time.perf_counter()
    try:
        with ProgressBar(options.ticks, "ticks") as progress:
            while progress.done < options.ticks:
                block = min(_BLOCK, options.ticks - progress.done)
                if recorder is not None:
                    block = recorder.largest_block(block)
                fired = brain.run(block, drive)
                counts += fired.sum(axis=0, dtype=np.int64)
                if recorder is not None:
                    recorder.record(fired)
                progress.advance(block)
    finally:
        if recorder is not None:
            recorder.close()
    seconds = time.perf_counter() - began
    print(
        f"{brain.plan.name}: {options.ticks} ticks in {seconds:.2f} s"
        f" ({options.ticks / seconds:.0f} ticks/s), learning {'on' if brain.learning else 'off'},"
        f" now {brain.ticks} ticks old"
    )
    rates = rates_of(brain.plan, counts, options.ticks)
    print(columns("rates, Hz", [(k, f"{v:.1f}") for k, v in rates["components"].items()]))
    if options.record:
        print(f"  {options.record}")
    if options.save:
        brain.learning = learning
        brain.save(options.save)
        print(f"  {options.save}")
    return 0


def _drive(brain: Brain, currents: list[tuple[str, float]]) -> NDArray[np.float64]:
    drive = np.zeros(brain.size)
    for selector, value in currents:
        drive[brain.neurons_of(selector)] += value
    return drive


def _sizes(plan: Plan) -> str:
    count = len(plan.blocks)
    return f"{plan.size} neurons in {count} components, {plan.synapses} synapses"


def _table(figures: dict[str, Any]) -> str:
    f = figures
    rates = f.get("rates", {"types": {}, "components": {}})
    parts = [
        f"{f['name']}, seed {f['seed']}: {f['neurons']} neurons, {f['synapses']} synapses,"
        f" {f['megabytes']:.1f} MB",
    ]
    if f["description"]:
        parts.append(f"  {f['description']}")
    head = ["component", "type", "layer", "instances", "neurons", *(["Hz"] if "rates" in f else [])]
    rows = [
        [
            c["name"],
            c["type"],
            str(c["layer"]),
            str(c["instances"]),
            str(c["neurons"]),
            *([f"{rates['components'][c['name']]:.1f}"] if "rates" in f else []),
        ]
        for c in f["components"]
    ]
    parts.append(grid(head, rows))
    head = ["neurons", "count", *(["Hz"] if "rates" in f else [])]
    rows = [
        [kind, str(n), *([f"{rates['types'][kind]:.1f}"] if "rates" in f else [])]
        for kind, n in f["neurons_by_type"].items()
    ]
    parts.append(grid(head, rows))
    if "rates" in f:
        given = ", ".join(
            f"{selector} = {value:g}" for selector, value in rates["currents"].items()
        )
        given = f"with {given}" if given else "without input"
        parts.append(f"  Hz: measured over {rates['ticks']} ticks, {given} and without learning")
    parts.append(columns("synapses by type", _counted(f["synapses_by_type"])))
    parts.append(columns("synapses by origin", _counted(f["synapses_by_origin"])))
    ratio = f["projection_to_crosswire"]
    spread = "mean {mean:.1f}, median {median:.0f}, {min} to {max}"
    parts.append(
        columns(
            "joints",
            [
                ("projection : crosswire", "-" if ratio is None else f"{ratio:.2f}"),
                ("synapses into a neuron", spread.format(**f["fan_in"])),
                ("synapses out of one", spread.format(**f["fan_out"])),
                ("reward layers", ", ".join(f["layers"]) or "-"),
            ],
        )
    )
    ports = [(f"{line['origin']} {line['name']}", str(line["size"])) for line in f["inputs"]]
    ports += [(f"output {name}", str(size)) for name, size in f["outputs"].items()]
    ports += [(key.replace("_", " "), str(f[key])) for key in ("body_map", "sensor_map") if f[key]]
    if ports:
        parts.append(columns("inputs and outputs", ports))
    past = f["learned"]
    rows_of_past = [("ticks", str(past["ticks"]))]
    rows_of_past += [(f"moved: {name}", f"{d:.4g} on average") for name, d in past["moved"].items()]
    rows_of_past += [(f"pruned: {name}", str(n)) for name, n in past["pruned"].items()]
    parts.append(columns("life", rows_of_past))
    return "\n".join(parts)


def _counted(counts: dict[str, int]) -> list[tuple[str, str]]:
    total = sum(counts.values()) or 1
    return [(name, f"{n:>9}  {n / total:6.1%}") for name, n in counts.items()]


def _begins_as_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise AbRosError(f"{path}: cannot be read: {error.strerror}") from None


def _current(text: str) -> tuple[str, float]:
    selector, equals, value = text.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not selector or not math.isfinite(number):
        raise argparse.ArgumentTypeError(
            f"must be SELECTOR=VALUE with a finite number, such as left.on_in=8 (got {text!r})"
        )
    return selector, number
