"""Measure how fast layered brains tick, beside the same arithmetic written plainly in NumPy.

    python bench/layered.py [--neurons N] [--seconds S] [--quick] [--results FILE]

Each row is one group that reads another of the same size, in one process.  The contenders take
turns in blocks of ticks, the first of which is left out: a brain that runs finds its weights where
its last tick has left them.  A tick sums the weights of active inputs, decides which neurons are
active, and changes the weights by the Hebbian rule.  The plain contender does what the published
package protobrain does by whole arrays of float64: a product of inputs and weights, a sort for
sparse computations, and the rule by masks over all weights.  It is our transcription of that
arithmetic, not the package.

``pass`` is the time that one reading and writing of all weights takes at the memory bandwidth of
this machine, measured in the same run: where every row is active, no tick can be faster.  Times are
tenth percentiles of the wall clock: what else the machine does disturbs those least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_page import circumstances, write_section

from ab_ros.layered import (
    Computation,
    HebbianLearning,
    LayeredBrain,
    Neurons,
    Sensor,
    SparseComputation,
    StandardComputation,
)
from ab_ros.layered.numerical import BlockEncoder

INCREASE, DECREASE = 0.05, 0.002
BLOCK = 10  # ticks in a row
Tick = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]


class Given(BlockEncoder):
    """An encoder whose bits are given as they are."""

    def __init__(self, size: int) -> None:
        super().__init__(0, 1, size)

    def bits(self, values: Any) -> NDArray[np.bool_]:
        """Return the values as bits."""
        return np.asarray(values) > 0

    def encode(self, observation: Any, timesteps: int, dt: float) -> NDArray[np.uint8]:
        """Return the bits that were given."""
        return np.asarray(observation.data).view(np.uint8)[None]


def plain(weights: NDArray[np.float64], computation: Computation) -> Tick:
    """Return a tick of dense float64 arithmetic over whole arrays."""

    def tick(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
        x = bits.astype(np.float64)
        drive = x @ weights
        if isinstance(computation, SparseComputation):
            active = np.zeros(drive.size, np.bool_)
            active[np.argsort(drive)[drive.size - computation.winners(drive.size) :]] = True
        else:
            assert isinstance(computation, StandardComputation)
            active = drive > computation.threshold
        both = np.logical_and.outer(bits, active)
        one = np.logical_xor.outer(bits, active)
        np.add(weights, (INCREASE * both - DECREASE * one) * (weights > 0), out=weights)
        np.clip(weights, 0.0, 1.0, out=weights)
        return active

    return tick


def ours(weights: NDArray[np.float64], computation: Computation, backend: str) -> Tick:
    """Return a tick of a layered brain with the same weights."""
    n = weights.shape[0]
    sensor, group = Sensor(Given(n), "bits"), Neurons(n, "group")
    group.set("MAIN", sensor, weights=weights)
    brain = LayeredBrain(
        [group], sensor, computation, HebbianLearning(INCREASE, DECREASE), backend=backend
    )
    return lambda bits: brain.tick(bits)["group"]


def inputs_of(n: int, share: float, count: int, seed: int = 0) -> list[NDArray[np.bool_]]:
    """Return patterns of active bits: a set that comes again and again, as a robot's do."""
    random = np.random.default_rng(seed)
    patterns = []
    for _ in range(count):
        bits = np.zeros(n, np.bool_)
        bits[random.choice(n, max(1, round(share * n)), replace=False)] = True
        patterns.append(bits)
    return patterns


def seconds_per_tick(
    contenders: dict[str, Tick], patterns: list[NDArray[np.bool_]], seconds: float
) -> dict[str, float]:
    """Return the tenth percentile of each one's times; they take turns in blocks of ticks."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    until = time.perf_counter() + seconds
    k = 0
    while time.perf_counter() < until or k < 2:
        answers = []
        for name, tick in contenders.items():
            for i in range(BLOCK):
                bits = patterns[(k * BLOCK + i) % len(patterns)]
                begin = time.perf_counter()
                answer = tick(bits)
                if i:
                    times[name].append(time.perf_counter() - begin)
            answers.append(answer)
        if not np.array_equal(answers[1], answers[2]):
            raise SystemExit("NumPy and Numba do not agree")
        k += 1
    return {name: float(np.percentile(values, 10)) for name, values in times.items()}


def seconds_per_pass(n: int) -> float:
    """Return the time of reading and writing n · n float32 once, as a copy in place does."""
    weights = np.ones((n, n), np.float32)
    one = np.float32(1)
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        np.multiply(weights, one, out=weights)
        times.append(time.perf_counter() - begin)
    return float(np.percentile(times, 10))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--neurons", type=int, default=1000, help="of each group (default 1000)")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row (default 8)")
    parser.add_argument("--quick", action="store_true", help="1 s for each row")
    parser.add_argument("--results", type=Path, help="page to write the table to")
    options = parser.parse_args()
    n, seconds = options.neurons, 1.0 if options.quick else options.seconds
    rows = [
        ("2 % of inputs, sparse 2 %", 0.02, SparseComputation(0.02)),
        ("10 % of inputs, sparse 5 %", 0.10, SparseComputation(0.05)),
        ("50 % of inputs, about half active", 0.50, StandardComputation(n / 4)),
    ]
    one_pass = seconds_per_pass(n)
    gigabytes = 8 * n * n / one_pass / 1e9
    lines = [
        f"One group of {n} neurons reads {n} bits ({n * n} weights), and learns. Time of a tick,"
        f" tenth percentile, ms.",
        "",
        "| active | plain NumPy | ours, NumPy | ours, Numba | faster, NumPy | faster, Numba |"
        " passes |",
        "|---|---|---|---|---|---|---|",
    ]
    for words, share, computation in rows:
        weights = np.random.default_rng(1).random((n, n))
        contenders = {
            "plain": plain(weights.copy(), computation),
            "numpy": ours(weights, computation, "numpy"),
            "numba": ours(weights, computation, "numba"),
        }
        t = seconds_per_tick(contenders, inputs_of(n, share, 50), seconds)
        lines.append(
            f"| {words} | {1e3 * t['plain']:.2f} | {1e3 * t['numpy']:.3f} |"
            f" {1e3 * t['numba']:.3f} | {t['plain'] / t['numpy']:.1f} x |"
            f" {t['plain'] / t['numba']:.1f} x | {t['numba'] / one_pass:.2f} |"
        )
    lines += [
        "",
        f"*passes*: ours with Numba, in times of one reading and writing of all weights"
        f" ({1e3 * one_pass:.2f} ms, {gigabytes:.1f} GB/s here). Where few are active, what is"
        f" left is the overhead of a tick.",
    ]
    print("\n".join(lines))
    if options.results:
        note = circumstances("bench-layered", ["numpy", "numba"])
        text = "## Layered brains\n\n" + "\n".join(lines) + f"\n\n{note}"
        write_section(options.results, "layered", text)


if __name__ == "__main__":
    main()
