"""``ab_ros layers``: show, run and compare layered brains."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.cli.numbers import count, positive
from ab_ros.cli.progress import ProgressBar
from ab_ros.cli.report import check_picture, columns, grid
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.layered import LayeredBrain
from ab_ros.layered.benchmark import Benchmark, rows_of
from ab_ros.layered.plan import GroupPlan
from ab_ros.layered.signals import SIGNALS, Values, read_values, signal

_TICKS = 1000
_DRAWN = 500  # ticks of a raster
_EXAMPLES = """
examples:
  ab_ros layers show config/layered.json
  ab_ros layers run config/layered.json --ticks 2000 --signal sine --save reacher.db --plot run.png
  ab_ros layers run reacher.db --values yaw.csv --no-learning
  ab_ros layers benchmark sparse.json dense.json --plot both.png --experiment both.pb

A layered brain has groups of binary neurons in layers. Its definition is a JSON file:

  {"sensors": {"x": {"kind": "Scalar", "encoder": "simple_bits",
                     "options": {"lower": 0, "upper": 1, "length": 40, "sparsity": 0.1}}},
   "computation": {"type": "sparse", "fraction": 0.05},
   "learning": {"type": "hebbian", "increase": 0.05, "decrease": 0.002},
   "layers": [{"name": "a", "shape": 100}, {"name": "b", "shape": [4, 5]}],
   "feed_forward": ["MAIN"], "loop_back": ["neighbors"]}

ab_ros/layered/layered.schema.json describes every key. In each tick the layers compute one after
the other: a group reads the layers before its own as they are, its own and later ones as they were
in the tick before. The brain node runs a definition or a saved brain: brain: {file: reacher.db,
dt: 0.02}, and so does `ab_ros serve`.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "layers",
        help="show, run and compare brains of layers of binary neurons",
        description="Show, run and compare layered brains: binary neurons, sparse codes, Hebbian"
        " learning.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="what a brain consists of",
        description="Check a definition or a saved brain, and show sensors, groups and weights.",
    )
    _add_brain(show)
    show.set_defaults(run=run_show)
    run = actions.add_parser(
        "run",
        help="let a brain run on a signal or on values of a CSV file",
        description="Let a brain run, a value for each tick, and say how active its groups were."
        " The file stays as it is; use --save to keep what became of it.",
    )
    _add_brain(run)
    _add_values(run)
    run.add_argument("--no-learning", action="store_true", help="keep all weights as they are")
    run.add_argument("--save", type=Path, metavar="FILE", help="write the brain afterwards")
    run.add_argument(
        "--snapshot",
        type=Path,
        metavar="FILE.pb",
        help="write bits and weights as a protocol buffer (ab_ros/layered/records.proto)",
    )
    run.add_argument(
        "--plot", type=Path, metavar="FILE.png", help=f"draw the last {_DRAWN} ticks of all groups"
    )
    run.set_defaults(run=run_run)
    benchmark = actions.add_parser(
        "benchmark",
        help="compare brains on the same values",
        description="Show the same values to several brains and measure how many of their neurons"
        " are active. Sensors of the same name get the same values.",
    )
    benchmark.add_argument(
        "brains", nargs="+", type=Path, metavar="BRAIN", help="definitions or saved brains"
    )
    _add_values(benchmark)
    benchmark.add_argument("--no-learning", action="store_true", help="keep all weights")
    benchmark.add_argument("--plot", type=Path, metavar="FILE.png", help="draw all metrics")
    benchmark.add_argument(
        "--experiment",
        type=Path,
        metavar="FILE.pb",
        help="write all values as a protocol buffer (ab_ros/layered/records.proto)",
    )
    benchmark.set_defaults(run=run_benchmark)


def _add_brain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("brain", type=Path, metavar="BRAIN", help="a definition, or a saved brain")


def _add_values(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--values",
        type=Path,
        metavar="FILE.csv",
        help="values of the sensors: a head with their names, then a row for each tick",
    )
    parser.add_argument(
        "--signal",
        choices=tuple(SIGNALS),
        help="without --values: what is shown, over the range of each encoder (default sine)",
    )
    parser.add_argument(
        "--ticks",
        type=positive,
        metavar="N",
        help=f"how long (default: all values, or {_TICKS})",
    )
    parser.add_argument(
        "--seed",
        type=count,
        metavar="N",
        help="of noise, and of weights where a definition has no seed (default: the brain's)",
    )


def run_show(options: argparse.Namespace) -> int:
    """Print what a brain consists of."""
    brain = LayeredBrain.load(options.brain)
    print(described(brain, str(options.brain)))
    return 0


def run_run(options: argparse.Namespace) -> int:
    """Let a brain run."""
    check_picture("--plot", options.plot)
    brain = _loaded(options.brain, options.seed)
    values = _values(options, brain)
    learning = brain.learning and not options.no_learning
    brain.set_learning(learning)
    groups = [group.name for group in brain.plan.groups]
    counts = dict.fromkeys(groups, 0)
    drawn = {n: np.zeros((min(_DRAWN, len(values)), brain.bits(n).size), np.uint8) for n in groups}
    first = len(values) - min(_DRAWN, len(values))
    seconds = 0.0
    with ProgressBar(len(values), "ticks") as progress:
        for t, value in enumerate(values):
            begin = time.perf_counter()
            brain.tick(value)
            seconds += time.perf_counter() - begin
            for name in groups:
                bits = brain.bits(name).reshape(-1)
                counts[name] += int(np.count_nonzero(bits))
                if t >= first:
                    drawn[name][t - first] = bits
            progress.advance(1)
    print(
        f"{brain.plan.name}: {len(values)} ticks in {seconds:.2f} s"
        f" ({len(values) / max(seconds, 1e-9):.0f} ticks/s), learning"
        f" {'on' if learning else 'off'}"
    )
    rows = [
        [n, f"{counts[n] / len(values):.2f}", f"{counts[n] / len(values) / brain.bits(n).size:.4f}"]
        for n in groups
    ]
    print(grid(["group", "active neurons", "density"], rows))
    if options.plot:
        _draw_raster(options.plot, brain, drawn, first)
    if options.snapshot:
        brain.snapshot().save(options.snapshot)
        print(f"  {options.snapshot}")
    if options.save:
        brain.save(options.save)
        print(f"  {options.save}")
    return 0


def run_benchmark(options: argparse.Namespace) -> int:
    """Compare brains."""
    check_picture("--plot", options.plot)
    brains: dict[str, LayeredBrain] = {}
    for path in options.brains:
        name = path.stem if path.stem not in brains else str(path)
        if name in brains:
            raise ConfigError(f"{path} is given twice")
        brains[name] = _loaded(path, options.seed)
        brains[name].set_learning(not options.no_learning)
    first, *others = brains.values()
    for other in others:
        if other.plan.sensors.keys() != first.plan.sensors.keys():
            raise ConfigError(
                f"the brains have different sensors ({', '.join(first.plan.sensors)} and"
                f" {', '.join(other.plan.sensors)}): the same values cannot be shown to them"
            )
    experiment = Benchmark(brains, name="benchmark").run(_values(options, first))
    head, *rows = rows_of(experiment)
    print(f"{experiment.ticks} ticks, mean ± standard deviation")
    print(grid(head, rows))
    if options.plot:
        viz = _viz()
        print(f"  {viz.save(viz.benchmark_figure(experiment), options.plot)}")
    if options.experiment:
        experiment.save(options.experiment)
        print(f"  {options.experiment}")
    return 0


def _loaded(path: Path, seed: int | None) -> LayeredBrain:
    brain = LayeredBrain.load(path, seed=seed)
    if seed is not None:
        brain.seed = seed  # A saved brain has its own.
    return brain


def _values(options: argparse.Namespace, brain: LayeredBrain) -> Values:
    if options.values is None:
        ticks = options.ticks or _TICKS
        return signal(brain.plan.sensors, options.signal or "sine", ticks, brain.seed)
    if options.signal:
        raise ConfigError("--signal and --values: give one of them")
    values = read_values(options.values, brain.plan.sensors)
    if options.ticks is not None and options.ticks > len(values):
        raise ConfigError(f"--ticks {options.ticks}: {options.values} has {len(values)} rows")
    return values[: options.ticks]


def described(brain: LayeredBrain, file: str) -> str:
    """Return what a layered brain consists of, as people read it."""
    plan = brain.plan
    parts = [
        f"{plan.name}, seed {plan.seed}: {plan.size} neurons, {plan.weights} weights,"
        f" {brain.network.tick_count} ticks old ({file})"
    ]
    if plan.description:
        parts.append(f"  {plan.description}")
    sensors = [
        (name, f"{s.kind}, {s.encoder}, {plan.sensors[name].size} bits, topic {s.topic}")
        for name, s in plan.inputs().items()
    ]
    sensors += [(n, f"feedback of {f.output}, {f.size} bits") for n, f in plan.feedback.items()]
    if sensors:
        parts.append(columns("sensors", sensors))
    rows = [
        [
            str(k),
            group.name + (" *" if group.output else ""),
            "x".join(map(str, group.shape)),
            _rule(group.computation),
            (_rule(group.learning) if group.learning else "-")
            + (f" by {group.layer}" if group.layer else ""),
        ]
        for k, layer in enumerate(plan.layers)
        for group in layer
    ]
    parts.append(grid(["layer", "group", "neurons", "computation", "learning"], rows))
    parts.append("  * its bits leave the brain")
    weights = [row for group in plan.groups for row in _weights(brain, group)]
    parts.append(grid(["group", "input", "reads", "weights", "mean", "zero"], weights))
    return "\n".join(parts)


def _weights(brain: LayeredBrain, group: GroupPlan) -> list[list[str]]:
    rows = []
    for each in group.inputs:
        weights = brain.weights(group.name, each.name)
        reads = ", ".join(
            name if indices is None else f"{name} ({indices.size} bits)"
            for name, indices in each.pieces
        )
        mean, zero = float(weights.mean(dtype=np.float64)), float((weights == 0).mean())
        rows.append([group.name, each.name, reads, str(weights.size), f"{mean:.3f}", f"{zero:.3f}"])
    return rows


def _rule(rule: Any) -> str:
    """Write a computation or learning in short, without what is as by default."""
    if not dataclasses.is_dataclass(rule) or isinstance(rule, type):
        return type(rule).__name__
    given = [(f.name, getattr(rule, f.name), f.default) for f in dataclasses.fields(rule)]
    shown = [f"{name}={it}" for name, it, default in given if it != default and it != {}]
    return f"{type(rule).__name__}({', '.join(shown)})"


def _draw_raster(path: Path, brain: LayeredBrain, drawn: dict[str, Any], first: int) -> None:
    viz = _viz()
    start = first * brain.dt
    figure = viz.spike_raster(drawn, brain.dt, start=start, title=f"{brain.plan.name}: all groups")
    print(f"  {viz.save(figure, path)}")


def _viz() -> Any:
    try:
        from ab_ros import viz
    except ImportError as error:
        raise AbRosError(
            f"pictures need Matplotlib and Pillow ({error}): 'pip install ab_ros[plot]'"
        ) from None
    return viz
