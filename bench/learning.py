"""What the demo's brain learns, on several seeds, with its controls.

Runs the demo's task without ROS (the same brain, motor stage, critic, arm and camera, from the same
file) and writes a table.  Every condition starts from a brain of its own seed; probes are frozen.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ab_ros.environments.tracking import TrackingTask  # noqa: E402

PROBE = 10.0
LEARN = 60.0
FORGET = 2.0
Figures = dict[str, float]


def task(seed: int, **critic: Any) -> TrackingTask:
    """Return the task, with changes to the critic's settings."""
    changes = {"critic": {"critic": critic}} if critic else None
    return TrackingTask(CONFIG, seed, changes)


def probe(world: TrackingTask, path: int) -> float:
    """Return the RMS error of a frozen probe, deg."""
    return world.run(PROBE, "sines", path).rms


def main_course(seed: int) -> Figures:
    """Learn, then learn again with the camera mirrored."""
    world = task(seed)
    figures = {"still": world.run(PROBE, "sines", 100, still=True).rms}
    figures["start"] = probe(world, 200)
    world.run(LEARN, "jumps", 1, learning=True)
    learned = world.run(PROBE, "sines", 300)
    figures["learned"] = learned.rms
    figures["grasps right %"] = 100 * float(learned.measures["grasp"].mean())
    figures["rate Hz"] = learned.rate
    world.world.mirror = True
    figures["mirrored"] = probe(world, 400)
    world.run(LEARN, "jumps", 2, learning=True)
    figures["relearned"] = probe(world, 500)
    # The tone's memory fades while there is no ball; then the ball comes without a tone.
    world.world.microphone.muted = True
    world.run(FORGET, "hidden", 0)
    world.home()
    silent = world.run(PROBE, "sines", 500)
    figures["closed in silence %"] = 100 * float(silent.measures["closed"].mean())
    world.close()
    return figures


def controls(seed: int) -> Figures:
    """Live as long without learning, and with rewards at the wrong times."""
    world = task(seed)
    world.run(LEARN, "jumps", 1)
    figures = {"no learning": probe(world, 300)}
    world.close()
    world = task(seed, shuffle=True)
    world.run(LEARN, "jumps", 1, learning=True)
    figures["shuffled"] = probe(world, 300)
    world.close()
    return figures


def variants(seed: int) -> Figures:
    """One reward for all layers; twice as long; lessons by feedback for a third of the time."""
    world = task(seed, one_reward=True)
    world.run(LEARN, "jumps", 1, learning=True)
    figures = {"one reward": probe(world, 300)}
    world.close()
    world = task(seed)
    world.run(2 * LEARN, "jumps", 1, learning=True)
    figures["after 120 s"] = probe(world, 300)
    world.close()
    world = task(seed, deviation_enabled=True)
    world.run(LEARN / 3, "jumps", 1, learning=True)
    world.loop.on = False
    figures["20 s + feedback"] = probe(world, 300)
    world.close()
    return figures


COURSES: tuple[Callable[[int], Figures], ...] = (main_course, controls, variants)


def job(what: tuple[int, int]) -> tuple[int, Figures]:
    """Run one course with one seed; for a worker process."""
    course, seed = what
    return seed, COURSES[course](seed)


def verdicts(table: dict[int, Figures]) -> list[tuple[str, float, float, bool]]:
    """Return (claim, bound, worst value, held) for each claim about all seeds."""
    seeds = list(table)

    def column(name: str) -> np.ndarray:
        return np.array([table[seed][name] for seed in seeds])

    still, learned = column("still"), column("learned")
    claims = []

    def at_most(name: str, values: np.ndarray, bound: float) -> None:
        claims.append(
            (f"{name} at most", bound, float(values.max()), bool((values <= bound).all()))
        )

    def at_least(name: str, values: np.ndarray, bound: float) -> None:
        claims.append(
            (f"{name} at least", bound, float(values.min()), bool((values >= bound).all()))
        )

    at_most("learned", learned, 6.0)
    at_most("learned / still", learned / still, 0.5)
    at_most("learned, mean of the seeds", learned.mean()[None], 4.5)
    for name in ("no learning", "shuffled"):
        at_least(f"{name} / still", column(name) / still, 0.9)
        at_least(f"{name} / learned", column(name) / learned, 2.5)
    at_least("mirrored", column("mirrored"), 20.0)
    at_most("relearned", column("relearned"), 7.0)
    at_most("one reward", column("one reward"), 7.5)
    at_most("after 120 s", column("after 120 s"), 7.0)
    at_most("20 s + feedback", column("20 s + feedback"), 6.0)
    at_least("grasps right %", column("grasps right %"), 70.0)
    at_most("closed in silence %", column("closed in silence %"), 1.0)
    return claims


def markdown(table: dict[int, Figures]) -> str:
    """Return the table and the verdicts as Markdown."""
    names = list(next(iter(table.values())))
    lines = ["| seed | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for seed, figures in sorted(table.items()):
        lines.append(f"| {seed} | " + " | ".join(f"{figures[n]:.1f}" for n in names) + " |")
    mean = [np.mean([figures[n] for figures in table.values()]) for n in names]
    lines.append("| mean | " + " | ".join(f"{value:.1f}" for value in mean) + " |")
    lines += ["", "| claim | bound | worst | held |", "|---|---|---|---|"]
    for claim, bound, worst, held in verdicts(table):
        lines.append(f"| {claim} | {bound:g} | {worst:.2f} | {'yes' if held else '**no**'} |")
    return "\n".join(lines)


def document(table: dict[int, Figures]) -> str:
    """Return the results as a document, with what they were measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "mujoco"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return (
        "# What is measured\n\n"
        "## Learning to follow a ball\n\n"
        f"`make bench` on {time.strftime('%Y-%m-%d')}; {machine}, {packages}.\n\n"
        "RMS distance of the ball from the middle of the view, in degrees, of frozen 10 s\n"
        "probes: an arm held still; the untrained brain; after 60 s of learning from rewards;\n"
        "just after the camera was mirrored; after 60 s of relearning. Controls live as long,\n"
        "without learning or with rewards at the wrong times. Variants: one global reward\n"
        "instead of one per layer; 120 s of learning; 20 s of learning with feedback, too.\n"
        "*Grasps right*: the share of the time in which the gripper is closed just when the\n"
        "ball is within 5°. *Closed in silence*: the share of the time in which the gripper is\n"
        "closed in a probe of the relearned brain without the tones that say that the ball is\n"
        "there. *Rate*: spikes per second and neuron of the learned brain. A seed gives the same\n"
        "numbers on every run.\n"
        "\n" + markdown(table) + "\n"
    )


def sections_after(page: Path) -> str:
    """Return what other benchmarks have written below this one's part, between marks."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    start = text.find("\n<!-- ")
    return "" if start < 0 else text[start:]


def main() -> int:
    """Run all courses on all seeds; exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "demo.yaml")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--results", type=Path, help="write the tables as Markdown here, too")
    options = parser.parse_args()
    global CONFIG
    CONFIG = options.config
    jobs = [(course, seed) for seed in options.seeds for course in range(len(COURSES))]
    table: dict[int, Figures] = {seed: {} for seed in options.seeds}
    begin = time.monotonic()
    # Forked processes: the configuration is theirs, too; no renderer exists yet.
    with multiprocessing.get_context("fork").Pool(options.processes, maxtasksperchild=1) as pool:
        for number, (seed, figures) in enumerate(pool.imap_unordered(job, jobs), 1):
            table[seed].update(figures)
            said = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
            spent = time.monotonic() - begin
            print(f"[{number}/{len(jobs)}, {spent:.0f} s] seed {seed}: {said}", flush=True)
    order = [*table[options.seeds[0]]]
    order.sort(key=_place)
    table = {seed: {name: table[seed][name] for name in order} for seed in table}
    print("\nRMS error in degrees.\n\n" + markdown(table))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    if options.results:
        page = document(table) + sections_after(options.results)
        options.results.write_text(page, encoding="utf-8")
    return 0 if all(held for *_, held in verdicts(table)) else 1


CONFIG = ROOT / "config" / "demo.yaml"
_ORDER = (
    "still",
    "start",
    "learned",
    "mirrored",
    "relearned",
    "no learning",
    "shuffled",
    "one reward",
    "after 120 s",
    "20 s + feedback",
)


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


if __name__ == "__main__":
    raise SystemExit(main())
