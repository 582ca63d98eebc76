"""Measure how long a brain takes to be saved, and loaded to a network that is ready to tick.

    python bench/storage.py [--neurons N] [--synapses K] [--repeats R]

Prints one row for each workload: all synapses fixed, 30 % plastic, 30 % reward_plastic.  Times are
medians; files are written to the folder of --out, so choose a disk that is of interest.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ab_ros.engine.brain import Brain
from ab_ros.engine.neurons import PRESETS
from ab_ros.engine.plan import Plan, PlannedProjection
from ab_ros.engine.selection import Block
from ab_ros.engine.synapses import SYNAPSE_TYPES

WORKLOADS = {"fixed": "fixed", "30 % plastic": "plastic", "30 % reward": "reward_plastic"}


def plan_of(neurons: int, synapses: int, learning: str, seed: int = 1) -> Plan:
    """Return a plan of RS and FS neurons (80/20), with ``synapses`` from each to random targets."""
    random = np.random.default_rng(seed)
    kind = (random.random(neurons) < 0.2).astype(np.uint8)
    presets = [PRESETS["RS"], PRESETS["FS"]]
    columns = {name: np.array([getattr(p, name) for p in presets])[kind] for name in "abcd"}
    learned = 0 if learning == "fixed" else round(0.3 * synapses)
    projections = []
    for name, each in ((learning, learned), ("fixed", synapses - learned)):
        if not each:
            continue
        first = np.sort(random.integers(0, neurons - each, (neurons, each), dtype=np.int32), axis=1)
        post = (first + np.arange(each, dtype=np.int32)).ravel()
        pre = np.repeat(np.arange(neurons, dtype=np.int32), each)
        weight = random.uniform(0.5, 1.5, pre.size).astype(np.float32)
        projections.append(
            PlannedProjection.of_pairs(name, "projection", SYNAPSE_TYPES[name](), pre, post, weight)
        )
    return Plan(
        "bench",
        "",
        seed,
        "{}",
        ("RS", "FS"),
        kind,
        **columns,
        bias=np.zeros(neurons),
        noise=np.full(neurons, 5.0),
        position=random.random((neurons, 3), dtype=np.float32),
        instance=np.arange(neurons, dtype=np.int32),
        node=np.zeros(neurons, np.int32),
        nodes=("cell",),
        blocks=(Block("cells", "cells", neurons, 0, 0, ("cell",), {}, {}),),
        sources=(),
        projections=tuple(projections),
        outputs={},
    )


def measure(plan: Plan, folder: Path, repeats: int) -> dict[str, float]:
    """Return medians of save and load in s, and the size of the file in MB."""
    brain = Brain.build(plan)
    brain.run(20)
    path = folder / "brain.db"
    times: dict[str, list[float]] = {"save": [], "load": [], "tick": []}
    for _ in range(repeats):
        start = time.perf_counter()
        brain.save(path)
        saved = time.perf_counter()
        loaded = Brain.load(path)
        ready = time.perf_counter()
        loaded.tick()
        ticked = time.perf_counter()
        times["save"].append(saved - start)
        times["load"].append(ready - saved)
        times["tick"].append(ticked - ready)
    result = {name: statistics.median(values) for name, values in times.items()}
    return {**result, "megabytes": path.stat().st_size / 1e6}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--neurons", type=int, default=50_000)
    parser.add_argument("--synapses", type=int, default=100, help="of each neuron")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder of the files (default: a temporary one)")
    options = parser.parse_args()
    print(f"{options.neurons} neurons x {options.synapses} synapses, medians of {options.repeats}")
    print(f"{'workload':<14}{'save s':>8}{'load s':>8}{'first tick s':>14}{'file MB':>9}")
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        for words, learning in WORKLOADS.items():
            plan = plan_of(options.neurons, options.synapses, learning)
            r = measure(plan, Path(folder), options.repeats)
            print(
                f"{words:<14}{r['save']:>8.2f}{r['load']:>8.2f}{r['tick']:>14.3f}"
                f"{r['megabytes']:>9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
