"""Measure how long a brain takes to be saved, and loaded to a network that is ready to tick.

    python bench/storage.py [--neurons N] [--synapses K] [--repeats R]

Prints one row for each workload: all synapses fixed, 30 % plastic, 30 % reward_plastic.  Times are
medians, by the wall clock and of the processor.  Files are written to the folder of --out: choose
one on the disk that is of interest.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
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
    """Return medians of save, load and first tick in s, and the size of the file in MB."""
    brain = Brain.build(plan)
    brain.run(20)
    path = folder / "brain.db"
    times: dict[str, list[float]] = {}

    def timed(name: str, action: Callable[[], object]) -> object:
        wall, cpu = time.perf_counter(), time.process_time()
        answer = action()
        times.setdefault(name, []).append(time.perf_counter() - wall)
        times.setdefault(f"{name} cpu", []).append(time.process_time() - cpu)
        return answer

    for _ in range(repeats):
        timed("save", lambda: brain.save(path))
        loaded = timed("load", lambda: Brain.load(path))
        assert isinstance(loaded, Brain)
        timed("tick", loaded.tick)
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
    print(f"{'':<14}{'save, s':>16}{'load, s':>16}{'first tick':>13}{'file':>8}")
    print(f"{'workload':<14}{'wall':>8}{'cpu':>8}{'wall':>8}{'cpu':>8}{'wall, s':>13}{'MB':>8}")
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        for words, learning in WORKLOADS.items():
            plan = plan_of(options.neurons, options.synapses, learning)
            r = measure(plan, Path(folder), options.repeats)
            print(
                f"{words:<14}{r['save']:>8.2f}{r['save cpu']:>8.2f}{r['load']:>8.2f}"
                f"{r['load cpu']:>8.2f}{r['tick']:>13.3f}{r['megabytes']:>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
