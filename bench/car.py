"""What the car's brain learns, on several seeds, with its controls.

Runs the task of config/diff_drive.yaml without ROS (the same brain, motor stage, critic, car and
camera) and writes a table.  Every condition starts from a brain of its own seed and lives as long;
probes are frozen, begin with the target at the distance to keep, and have the same path.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from results_page import circumstances, write_section  # noqa: E402

from ab_ros.environments.tracking import Stretch, TrackingTask  # noqa: E402

PROBE = 20.0
LEARN = 60.0
PATH = 300
CONFIG = ROOT / "config" / "diff_drive.yaml"
Figures = dict[str, float]
CONTROLS = ("still", "start", "no learning", "shuffled")


def task(seed: int, **critic: Any) -> TrackingTask:
    """Return the task, with changes to the critic's settings."""
    return TrackingTask(CONFIG, seed, {"critic": {"critic": critic}} if critic else None)


def probe(world: TrackingTask, *, still: bool = False) -> Stretch:
    """Return a frozen probe from the start."""
    world.home()
    return world.run(PROBE, "sines", PATH, still=still)


def figures(name: str, stretch: Stretch) -> Figures:
    """Return the figures of a condition."""
    return {
        f"{name}: bearing": stretch.rms,
        f"{name}: distance": stretch.rms_of("distance"),
        f"{name}: seen": 100 * float(stretch.measures["seen"].mean()),
    }


def main_course(seed: int) -> Figures:
    """Learn for a minute."""
    world = task(seed)
    found = figures("still", probe(world, still=True)) | figures("start", probe(world))
    world.run(LEARN, "jumps", 1, learning=True)
    learned = probe(world)
    world.close()
    return found | figures("learned", learned) | {"rate Hz": learned.rate}


def without_learning(seed: int) -> Figures:
    """Live as long, and learn nothing."""
    world = task(seed)
    world.run(LEARN, "jumps", 1)
    found = figures("no learning", probe(world))
    world.close()
    return found


def shuffled(seed: int) -> Figures:
    """Learn from rewards at the wrong times."""
    world = task(seed, shuffle=True)
    world.run(LEARN, "jumps", 1, learning=True)
    found = figures("shuffled", probe(world))
    world.close()
    return found


COURSES = (main_course, without_learning, shuffled)


def job(what: tuple[int, int]) -> tuple[int, Figures]:
    """Run one course with one seed; for a worker process."""
    course, seed = what
    return seed, COURSES[course](seed)


def verdicts(table: dict[int, Figures]) -> list[tuple[str, float, float, bool]]:
    """Return (claim, bound, worst value, held) for each claim about all seeds."""

    def column(name: str) -> np.ndarray:
        return np.array([table[seed][name] for seed in table])

    claims = []

    def at_most(name: str, values: np.ndarray, bound: float) -> None:
        worst = float(values.max())
        claims.append((f"{name} at most", bound, worst, worst <= bound))

    at_most("bearing, learned, degrees", column("learned: bearing"), 8.0)
    at_most("distance, learned, m", column("learned: distance"), 0.4)
    for measure in ("bearing", "distance"):
        learned = column(f"learned: {measure}")
        for control in CONTROLS:
            ratio = learned / column(f"{control}: {measure}")
            at_most(f"{measure}, learned / {control}", ratio, 0.5)
    return claims


def markdown(table: dict[int, Figures]) -> str:
    """Return the table and the verdicts as Markdown."""
    conditions = ("still", "start", "learned", "no learning", "shuffled")
    lines = ["| seed | " + " | ".join(conditions) + " | rate Hz |", "|---" * 7 + "|"]

    def row(name: str, chosen: list[Figures]) -> str:
        def mean(key: str) -> float:
            return float(np.mean([figures[key] for figures in chosen]))

        cells = (
            f"{mean(f'{c}: bearing'):.1f}° {mean(f'{c}: distance'):.2f} m"
            f" {mean(f'{c}: seen'):.0f} %"
            for c in conditions
        )
        return f"| {name} | " + " | ".join(cells) + f" | {mean('rate Hz'):.1f} |"

    lines += [row(str(seed), [figures]) for seed, figures in sorted(table.items())]
    lines.append(row("mean", list(table.values())))
    lines += ["", "| claim | bound | worst | held |", "|---|---|---|---|"]
    for claim, bound, worst, held in verdicts(table):
        lines.append(f"| {claim} | {bound:g} | {worst:.2f} | {'yes' if held else '**no**'} |")
    return "\n".join(lines)


def section(table: dict[int, Figures]) -> str:
    """Return the section of the results."""
    return (
        "## Learning to drive after a target\n\n"
        + circumstances("bench-car", ("numpy", "numba", "mujoco"))
        + "\n\n"
        "RMS bearing of the ball, RMS of its distance less the 1 m to keep, and the share of\n"
        f"the time in which it is in view, of frozen {PROBE:g} s probes in which the ball walks\n"
        f"about: a car that stands still; the untrained brain; after {LEARN:g} s of learning from\n"
        "rewards. Controls live as long, without learning or with rewards at the wrong times.\n"
        "*Rate*: spikes per second and neuron of the learned brain. A seed gives the same\n"
        "numbers on every run.\n"
        "\n" + markdown(table)
    )


def picture(seed: int, path: Path) -> None:
    """Draw the ways driven before and after learning."""
    from ab_ros.viz.driving import Drive, driving_tracks
    from ab_ros.viz.saving import save

    def drive(name: str, world: TrackingTask) -> Drive:
        m = probe(world).measures
        car, ball = np.stack((m["x"], m["y"]), 1), np.stack((m["ball_x"], m["ball_y"]), 1)
        return Drive(name, world.period, car, ball, m["error"], m["distance"])

    world = task(seed)
    before = drive("untrained brain", world)
    world.run(LEARN, "jumps", 1, learning=True)
    after = drive(f"after {LEARN:g} s of learning", world)
    world.close()
    save(driving_tracks((before, after)), path)


def main() -> int:
    """Run all courses on all seeds; exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--results", type=Path, help="write the section into this page, too")
    parser.add_argument("--picture", type=Path, help="draw the first seed's ways here, only")
    options = parser.parse_args()
    if options.picture:
        picture(options.seeds[0], options.picture)
        return 0
    jobs = [(course, seed) for seed in options.seeds for course in range(len(COURSES))]
    table: dict[int, Figures] = {seed: {} for seed in options.seeds}
    begin = time.monotonic()
    # Forked processes: no renderer exists yet.
    with multiprocessing.get_context("fork").Pool(options.processes, maxtasksperchild=1) as pool:
        for number, (seed, found) in enumerate(pool.imap_unordered(job, jobs), 1):
            table[seed].update(found)
            said = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            spent = time.monotonic() - begin
            print(f"[{number}/{len(jobs)}, {spent:.0f} s] seed {seed}: {said}", flush=True)
    print("\n" + markdown(table))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    if options.results:
        write_section(options.results, "car", section(table))
    return 0 if all(held for *_, held in verdicts(table)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
