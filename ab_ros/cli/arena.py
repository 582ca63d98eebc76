"""``ab_ros arena``: worms with brains look for food in an arena."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.brains.anatomy import encoder_sizes
from ab_ros.cli.arena_result import figures_of, table, versions
from ab_ros.cli.numbers import count, positive
from ab_ros.cli.progress import ProgressBar
from ab_ros.cli.report import check_picture, grid, write_json
from ab_ros.engine.atomic import replaced
from ab_ros.engine.brain import Brain
from ab_ros.engine.recipes import compile_recipe, load_recipe, recipe_names
from ab_ros.environments.arena import Arena
from ab_ros.environments.chemotaxis import Track, random_starts
from ab_ros.environments.trials import Condition, run_trials
from ab_ros.environments.worm import SEGMENTS
from ab_ros.environments.worm_brain import WormBrain
from ab_ros.environments.worm_map import STANDARD_MAP, load_worm_map, prepare
from ab_ros.errors import AbRosError, ConfigError, EngineError, one_of

FOLDER = Path("brains")
"""Where brains that are built on the way are written."""
PICTURES = Path("out/arena")
"""Where pictures are written, unless they have a place beside a result."""
_STARTS, _TICKS = 5, 30_000

_EXAMPLES = """
examples:
  ab_ros arena run arena_v1                            five worms with a shipped brain look for food
  ab_ros arena run arena_v1 --starts 20 --controls --jobs 2 --json out/v1.json
  ab_ros arena prepare mine.db                         which neurons move the worm, and which sense
  ab_ros arena run mine.db --no-learning

A brain that grows up: its life goes on from start to start, and it is kept.
  ab_ros arena prepare arena_dev_v1 -o dev.db
  ab_ros arena run dev.db --starts 10 --seed 1000 --save grown.db
  ab_ros arena run grown.db --starts 20 --controls
"""

_RUN_NOTES = """
The chemotaxis index is (first - last) / first distance from the food: 1 is on the food, 0 as far
from it as at the start. Starts lie 20 body lengths from the food, at a bearing and with a heading
that the seed draws; start 3 of a seed is the same however many there are. Controls run from the
same starts: no learning (nothing learns, nothing is pruned) and no sensors (neither smell nor
touch; rewards come all the same). Their intervals are bootstrapped over starts.

examples:
  ab_ros arena run arena_v1 --starts 20 --controls --jobs 2 --json out/v1.json
  ab_ros plot out/v1.json                              every start, as a picture
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "arena",
        help="let worms with brains look for food",
        description="Worms of 24 segments crawl in a round arena and look for food by its smell."
        " Spikes of a brain contract their muscles.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_prepare(actions)
    _add_run(actions)


def _add_prepare(actions: Any) -> None:
    parser = actions.add_parser(
        "prepare",
        help="say which neurons of a brain move a worm, and which sense",
        description="Write into a brain file which neurons contract muscles, and which feel the"
        " senses, after a map. A recipe is built first.",
        epilog="example: ab_ros arena prepare mine.db --map mine.yaml\n\nA map is a YAML file; the"
        f" standard one explains itself:\n  {STANDARD_MAP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_brain(parser)
    parser.add_argument(
        "--map", type=Path, default=STANDARD_MAP, metavar="FILE", help="map (default: standard)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where to (default: the same file; of a recipe {FOLDER}/NAME_sSEED.db)",
    )
    parser.set_defaults(run=prepare_brain)


def _add_run(actions: Any) -> None:
    parser = actions.add_parser(
        "run",
        help="let a brain look for food",
        description="Let worms with a brain look for food, from several starts. Each begins with"
        " the brain as it is; the file stays as it is.",
        epilog=_RUN_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_brain(parser)
    parser.add_argument(
        "--ticks",
        type=positive,
        default=_TICKS,
        metavar="N",
        help=f"ticks of 1 ms from each start (default {_TICKS})",
    )
    parser.add_argument(
        "--starts",
        type=positive,
        default=_STARTS,
        metavar="N",
        help=f"how many (default {_STARTS})",
    )
    parser.add_argument("--seed", type=count, default=0, metavar="S", help="of starts (default 0)")
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="processes (default 1); same result"
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "numpy", "numba"),
        default="auto",
        help="of brain and worm; same result (default: the fastest)",
    )
    conditions = parser.add_argument_group("conditions")
    conditions.add_argument("--no-learning", action="store_true", help="keep all synapses as is")
    conditions.add_argument("--no-sensors", action="store_true", help="feel nothing of the arena")
    conditions.add_argument(
        "--controls", action="store_true", help="also run without learning, and without sensors"
    )
    conditions.add_argument(
        "--carry", action="store_true", help="let the brain's life go on from start to start"
    )
    results = parser.add_argument_group("results")
    results.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    results.add_argument(
        "--picture",
        type=Path,
        metavar="FILE.png",
        help=f"ways of the worms (default: beside the JSON file, or {PICTURES}/BRAIN.png)",
    )
    results.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="write the brain as it is after the last start; implies --carry",
    )
    parser.set_defaults(run=run)


def _add_brain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "brain",
        metavar="BRAIN",
        help="a brain file, or a recipe: the name of a shipped one"
        f" ({', '.join(recipe_names()) or 'none'}) or a .json file",
    )


def prepare_brain(options: argparse.Namespace) -> int:
    """Map a brain to the worm and write it."""
    worm_map = load_worm_map(options.map)
    brain, built = _open_brain(options.brain)
    prepare(brain, worm_map)
    plan = brain.plan
    path = options.output or (
        FOLDER / f"{plan.name}_s{plan.seed}.db" if built else Path(options.brain)
    )
    brain.save(path)
    if built:
        _say_built(brain)
    print(_mapped(brain))
    ports = [row.ports for row in worm_map.body] + [row.ports for row in worm_map.sensors]
    skipped = [port for port in ports if not _has(brain, port)]
    if skipped:
        print(f"not in this brain: {', '.join(skipped)}")
    print(f"  {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def run(options: argparse.Namespace) -> int:
    """Let a brain look for food."""
    conditions = _conditions(options)
    picture = _picture(options)
    for path in (options.json, options.save, picture):
        if path is not None:
            _check_writable(path)
    starts = random_starts(options.starts, options.seed)
    carry = options.carry or options.save is not None
    with tempfile.TemporaryDirectory(prefix="ab_ros_arena_") as folder:
        brain, file = _brain_file(options.brain, Path(folder), options.backend)
        name = brain.plan.name
        if picture is None and can_draw():
            picture = PICTURES / f"{name}.png"
        kept = Path(folder) / "kept.db" if options.save else None
        with ProgressBar(options.ticks * len(starts) * len(conditions), "ticks") as bar:
            done = run_trials(
                file,
                list(conditions.values()),
                starts,
                options.ticks,
                carry=carry,
                save=kept,
                jobs=options.jobs,
                backend=options.backend,
                progress=lambda ticks: bar.advance(ticks - bar.done),
            )
        tracks = dict(zip(conditions, done, strict=True))
        figures = figures_of(tracks)
        own = conditions["run"]
        print(
            f"{name}, {brain.ticks} ticks old: {options.ticks} ticks from {_starts(len(starts))},"
            f" learning {_on(own.learning)}, sensors {_on(own.sensors)}"
            + (", life goes on from start to start" if carry else "")
        )
        print(table(figures, tracks))
        if options.json:
            described = {
                "brain": name,
                "file": options.brain,
                "age": brain.ticks,
                "ticks": options.ticks,
                "seed": options.seed,
                "learning": own.learning,
                "sensors": own.sensors,
                "carry": carry,
            }
            write_json(options.json, {**described, **figures, "versions": versions()})
            print(f"  {options.json}")
        if picture is not None:
            _draw(picture, tracks, name)
            print(f"  {picture}")
        if kept is not None:
            _keep(kept, options.save)
            print(f"  {options.save}")
    return 0


def _starts(number: int) -> str:
    return "one start" if number == 1 else f"each of {number} starts"


def _on(yes: bool) -> str:
    return "on" if yes else "off"


def _conditions(options: argparse.Namespace) -> dict[str, Condition]:
    """Return the run's condition, and those of its controls, which differ by one thing each."""
    own = Condition(not options.no_learning, not options.no_sensors)
    conditions = {"run": own}
    if options.controls:
        if own.learning:
            conditions["no_learning"] = Condition(False, own.sensors)
        if own.sensors:
            conditions["no_sensors"] = Condition(own.learning, False)
        if len(conditions) == 1:
            raise ConfigError(
                "--controls: with --no-learning and --no-sensors nothing is left to do without"
            )
    return conditions


def _brain_file(what: str, folder: Path, backend: Any) -> tuple[Brain, Path]:
    """Return a brain that is ready for a worm, and a file of it; ``folder`` is for a built one."""
    brain, built = _open_brain(what, backend)
    if not built:
        WormBrain(brain, carry=True)  # refuses a brain without maps, before anything runs
        return brain, Path(what)
    prepare(brain)
    _say_built(brain)
    file = folder / "brain.db"
    brain.save(file)
    return brain, file


def _open_brain(what: str, backend: Any = "auto") -> tuple[Brain, bool]:
    """Return a brain, from a file or built from a recipe, and whether it was built."""
    path = Path(what)
    is_recipe = path.suffix == ".json" or (what in recipe_names() and not path.is_file())
    if not is_recipe:
        if not path.exists():
            raise ConfigError(
                f"{what}: there is no such brain file, and no shipped recipe of that name;"
                f" {one_of(recipe_names())}"
            )
        return Brain.load(path, backend), False
    recipe = load_recipe(what)
    return Brain.build(compile_recipe(recipe, None, encoder_sizes(recipe)), backend=backend), True


def _say_built(brain: Brain) -> None:
    plan = brain.plan
    print(
        f"{plan.name}: built from its recipe with seed {plan.seed}, {plan.size} neurons,"
        f" {plan.synapses} synapses"
    )


def _has(brain: Brain, ports: str) -> bool:
    try:
        return brain.neurons_of(ports).size > 0
    except EngineError:
        return False


def _mapped(brain: Brain) -> str:
    """Return tables of the neurons that are mapped."""
    names = np.array([block.name for block in brain.plan.blocks])
    stops = np.array([block.stop for block in brain.plan.blocks])

    def owners(rows: Any) -> str:
        return ", ".join(names[np.unique(np.searchsorted(stops, rows["neuron"], "right"))])

    body = brain.body_map
    rows = []
    for side, effect in sorted({(str(row["side"]), str(row["effect"])) for row in body}):
        chosen = body[(body["side"] == side) & (body["effect"] == effect)]
        each = np.bincount(chosen["segment"], minlength=SEGMENTS)
        counts = " ".join(f"{number:>2}" for number in each)
        rows.append([side, effect, str(chosen.size), counts, owners(chosen)])
    head = ["muscles", "effect", "neurons", "by segment, head to tail", "of"]
    parts = [f"{brain.plan.name}: {body.size} neurons move", grid(head, rows)]
    sensors = brain.sensor_map
    names_of = [
        tuple(str(row[k]) for k in ("kind", "place", "response", "side")) for row in sensors
    ]
    rows = []
    for sensor in dict.fromkeys(names_of):
        chosen = sensors[[name == sensor for name in names_of]]
        rows.append([*sensor, str(chosen.size), owners(chosen)])
    head = ["sensor", "place", "response", "side", "neurons", "of"]
    parts += [f"{brain.plan.name}: {sensors.size} neurons sense", grid(head, rows)]
    return "\n".join(parts)


def _picture(options: argparse.Namespace) -> Path | None:
    """Return where the picture goes, if that is known before the brain is."""
    given: Path | None = options.picture
    check_picture("--picture", given)
    if given is not None and not can_draw():
        raise AbRosError(
            "--picture: pictures need Matplotlib and Pillow: 'pip install ab_ros[plot]'"
        )
    if given is None and options.json is not None and can_draw():
        return Path(options.json).with_suffix(".png")
    return given


def can_draw() -> bool:
    """Return whether pictures can be drawn here."""
    return all(find_spec(name) is not None for name in ("matplotlib", "PIL"))


def _check_writable(path: Path) -> None:
    """Refuse a file before the run, not after it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, "is a folder")
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(0, "permission denied")
    except OSError as error:
        raise AbRosError(f"{path}: cannot be written: {error.strerror}") from None


def _draw(path: Path, tracks: dict[str, list[Track]], name: str) -> None:
    from ab_ros.viz.arena import arena_tracks
    from ab_ros.viz.saving import save

    control = next((key for key in ("no_sensors", "no_learning") if key in tracks), None)
    words = {"no_sensors": "without sensors", "no_learning": "without learning", None: ""}
    figure = arena_tracks(
        Arena(),
        tracks["run"],
        controls=tracks[control] if control else (),
        name="this run" if control != "no_sensors" else "with sensors",
        control_name=words[control],
        title=f"{name}: ways to the food",
    )
    save(figure, path)


def _keep(kept: Path, path: Path) -> None:
    """Write the brain after everything else has gone well."""
    try:
        with replaced(path) as temporary:
            shutil.copyfile(kept, temporary)
    except OSError as error:
        raise AbRosError(f"{path}: cannot be written: {error.strerror}") from None
