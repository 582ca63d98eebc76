"""How well the brains that ship find food in the arena, with controls, and how fast they run.

Uses the command ``ab_ros arena`` only, so that every figure can be had by hand.  arena_dev_v1 grows
up first: its life goes on through a number of starts of its own, of another seed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from results_page import circumstances, write_section  # noqa: E402

from ab_ros.cli import main as ab_ros  # noqa: E402

HOME = ROOT / ".bench" / "arena"
PICTURE = ROOT / "docs" / "arena.png"
GROWN = ("arena_dev_v1",)
LEAST_INDEX = {"arena_v1": 0.6, "arena_dev_v1": 0.2}
LEAST_SPEED = 1000.0
OF_BOUND = 0.8
GROWTH_SEED = 1000
COLUMNS = {"run": "learning", "no_learning": "no learning", "no_sensors": "no sensors"}
Figures = dict[str, Any]


class Claim(NamedTuple):
    """What should hold, what was measured, and whether it does."""

    words: str
    target: str
    value: str
    held: bool


def arena(*arguments: object) -> None:
    """Run the command, and stop if it fails."""
    words = ["arena", *(str(argument) for argument in arguments)]
    print(f"\n$ ab_ros {' '.join(words)}", flush=True)
    code = ab_ros(words)
    if code:
        raise SystemExit(code)


def measure(recipe: str, options: argparse.Namespace) -> Figures:
    """Build a brain, let it grow up if it must, and let it look for food."""
    HOME.mkdir(parents=True, exist_ok=True)
    brain, result = HOME / f"{recipe}.db", HOME / f"{recipe}.json"
    arena("prepare", recipe, "-o", brain)
    if recipe in GROWN:
        grown = HOME / f"{recipe}_grown.db"
        life = ("--starts", options.grow_starts, "--ticks", options.grow_ticks)
        childhood = ("--seed", GROWTH_SEED, "--json", HOME / f"{recipe}_growth.json")
        arena("run", brain, *life, *childhood, "--save", grown)
        brain = grown
    # Alone on the machine first: processes side by side slow each other down.
    alone = HOME / f"{recipe}_alone.json"
    arena("run", brain, "--starts", 3, "--ticks", min(options.ticks, 10_000), "--json", alone)
    work = ("--starts", options.starts, "--ticks", options.ticks, "--seed", options.seed)
    into = ("--json", result)
    if recipe == "arena_v1" and not options.quick:
        into = (*into, "--picture", PICTURE)
    arena("run", brain, *work, "--controls", "--jobs", options.jobs, *into)
    figures: Figures = json.loads(result.read_text(encoding="utf-8"))
    figures["alone"] = json.loads(alone.read_text(encoding="utf-8"))["ticks_per_second"]
    return figures


def claims(recipe: str, figures: Figures) -> list[Claim]:
    """Return what should hold of a brain."""
    mean = figures["chemotaxis_index"]["mean"]
    found = []

    def at_least(words: str, target: float, value: float, form: str = "+.2f") -> None:
        found.append(Claim(words, f"≥ {target:{form}}", f"{value:{form}}", value >= target))

    at_least("mean index with learning", LEAST_INDEX[recipe], mean)
    above = {
        name: figures["paired_differences"][f"run_minus_{name}"]
        for name in COLUMNS
        if name != "run"
    }
    if recipe not in GROWN:
        gain = above["no_learning"]["mean"]
        found.append(Claim("mean gain by learning", "> 0", f"{gain:+.3f}", gain > 0))
    low = above["no_sensors"]["low"]
    found.append(Claim("gain by sensors, low end of 95 %", "> 0", f"{low:+.3f}", low > 0))
    bound = figures["index_bound"]
    if recipe not in GROWN and bound < 1.0:
        at_least("mean index, of the bound by top speed", OF_BOUND, mean / bound, ".2f")
    at_least("ticks/s of the whole loop, alone", LEAST_SPEED, figures["alone"], ".0f")
    return found


def markdown(recipe: str, figures: Figures, options: argparse.Namespace) -> str:
    """Return the tables of a brain."""
    indices = {"run": figures["chemotaxis_index"], **figures["controls"]}
    lines = [f"### {recipe}", ""]
    if recipe in GROWN:
        grown = options.grow_starts * options.grow_ticks
        lines += [
            f"After a development of {grown} ticks: one life through {options.grow_starts} starts"
            f" of seed {GROWTH_SEED}.",
            "",
        ]
    lines += [
        f"| start | bearing | heading | {' | '.join(COLUMNS[name] for name in indices)} |"
        " ticks near the wall |",
        "|---" * (len(indices) + 4) + "|",
    ]
    for k, start in enumerate(figures["starts"]):
        values = " | ".join(f"{series['starts'][k]:+.3f}" for series in indices.values())
        lines.append(
            f"| {k + 1} | {start['bearing']:.0f}° | {start['heading']:.0f}° | {values} |"
            f" {start['wall_ticks']} |"
        )
    for word, form in (("mean", "+.3f"), ("sd", ".3f")):
        values = " | ".join(f"{series[word]:{form}}" for series in indices.values())
        lines.append(f"| **{word}** | | | {values} | |")
    lines += ["", "| difference, start by start | mean | 95 % interval |", "|---|---|---|"]
    for key, found in figures["paired_differences"].items():
        words = " − ".join(COLUMNS[name] for name in key.split("_minus_"))
        low, high = found["low"], found["high"]
        lines.append(f"| {words} | {found['mean']:+.3f} | {low:+.3f} to {high:+.3f} |")
    bound = figures["index_bound"]
    lines += [
        "",
        f"Top speed {figures['top_speed']:.2f} body lengths in 1000 ticks, which"
        + (f" bounds the index at {bound:+.2f}." if bound < 1 else " is enough to reach the food."),
        "The whole loop of arena, body, senses, brain and learning runs at"
        f" {figures['alone']:.0f} ticks/s",
        f"alone, and at {figures['ticks_per_second']:.0f} in each of {options.jobs} processes.",
    ]
    if not options.quick:
        lines += ["", "| target | | measured | held |", "|---|---|---|---|"]
        lines += [
            f"| {c.words} | {c.target} | {c.value} | {'yes' if c.held else '**no**'} |"
            for c in claims(recipe, figures)
        ]
    return "\n".join(lines)


def document(results: dict[str, Figures], options: argparse.Namespace) -> str:
    """Return the section of the results page."""
    tables = "\n\n".join(markdown(name, figures, options) for name, figures in results.items())
    return f"""## Looking for food

{circumstances("bench-arena", ("numpy", "numba"))}

Chemotaxis index, (first − last) / first distance from the food, after {options.ticks} ticks from
each of {options.starts} starts of seed {options.seed}, 20 body lengths from the food, at a random
bearing and with a random heading. Every trial begins with the same brain. *No learning*: no synapse
changes, from the same starts. *No sensors*: neither smell nor touch is felt, while rewards are
given all the same. Intervals are bootstrapped over starts. The same seed gives the same indices on
every run.

{tables}
"""


def main() -> int:
    """Measure, and print the tables; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", choices=LEAST_INDEX, default=list(LEAST_INDEX))
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--ticks", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=0, help="of the starts")
    parser.add_argument("--grow-starts", type=int, default=3)
    parser.add_argument("--grow-ticks", type=int, default=30_000, help="in each of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--quick", action="store_true", help="4 starts, 5000 ticks; prints only")
    parser.add_argument("--results", type=Path, help="page to write the section into")
    options = parser.parse_args()
    if options.quick:
        options.starts, options.ticks = min(options.starts, 4), min(options.ticks, 5000)
        options.grow_starts, options.grow_ticks = 2, options.ticks
    if options.starts < 2 or options.ticks < 1000:
        parser.error("at least 2 starts and 1000 ticks are needed for differences and speeds")
    results = {recipe: measure(recipe, options) for recipe in options.recipes}
    section = document(results, options)
    print("\n" + section)
    if options.quick:
        return 0
    if options.results:
        write_section(options.results, "arena", section)
    return 0 if all(c.held for name, f in results.items() for c in claims(name, f)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
