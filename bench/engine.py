"""How fast the engine ticks, and what a synapse costs: the NumPy path against the compiled one.

Random networks of five neuron types, 80 % excitatory, 100 synapses per neuron, driven by constant
currents to 5-6 Hz; synapses are all fixed, or 30 % of them follow a learning rule.  Runs of the
conditions alternate, medians are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ab_ros.engine import Edges, Network, Plastic, RewardPlastic, Synapse  # noqa: E402
from ab_ros.engine.circuit import Circuit  # noqa: E402

K = 100
# Parts of all neurons.
TYPES = {"RS": 0.5, "IB": 0.15, "CH": 0.15, "FS": 0.1, "LTS": 0.1}
INHIBITORY = ("FS", "LTS")
EXCITATION, INHIBITION = 0.5, -2.0
LEARNING_PART = 0.3
WORKLOADS: dict[str, Synapse | None] = {
    "fixed": None,
    "30 % STDP": Plastic(lr=0.001, w_max=2.0),
    "30 % three-factor": RewardPlastic(lr=0.001, w_max=2.0),
}
TARGET_RATE = 5.5
WARM_UP = 300

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Drive = dict[str, NDArray[np.float64]]


def sizes_of(neurons: int) -> dict[str, int]:
    """Return the size of each type's group."""
    sizes = {name: round(part * neurons) for name, part in TYPES.items()}
    sizes["RS"] += neurons - sum(sizes.values())
    return sizes


def wire(neurons: int, workload: str, backend: str) -> Network:
    """Build the network; both backends get the same one."""
    rng = np.random.default_rng(neurons)
    network = Network(seed=1, backend=backend)  # type: ignore[arg-type]
    sizes = sizes_of(neurons)
    for name, size in sizes.items():
        network.add_neurons(name, size, name)
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    learning = WORKLOADS[workload]
    for source, size in sizes.items():
        # Pairs that are drawn twice are one synapse.
        drawn = rng.integers(0, neurons, (size, K)) + neurons * np.arange(size)[:, None]
        pre, post = np.divmod(np.unique(drawn), neurons)
        learns = rng.random(pre.size) < LEARNING_PART / 0.8
        inhibitory = source in INHIBITORY
        for target in sizes:
            into = (post >= starts[target]) & (post < starts[target] + sizes[target])
            for synapse, part in (
                (None, into & ~learns),
                (None if inhibitory else learning, into & learns),
            ):
                weight = INHIBITION if inhibitory else EXCITATION
                edges = Edges(pre[part], post[part] - starts[target], weight)
                name = f"{source} {target} {len(network.projections)}"
                network.connect(name, source, target, synapse or "fixed", weight=edges)
    return network.build()


def drive(neurons: int, level: float) -> Drive:
    """Return constant currents, spread over the neurons of each group."""
    rng = np.random.default_rng(1)
    return {n: level * rng.uniform(0.0, 2.0, size) for n, size in sizes_of(neurons).items()}


def rate_of(network: Network) -> float:
    """Return the mean rate over all neurons, Hz."""
    sizes = sizes_of(sum(network.size(name) for name in TYPES))
    return sum(network.rates[n] * size for n, size in sizes.items()) / sum(sizes.values())


def calibrate() -> float:
    """Find the level of the currents at which a network fires at the target rate."""
    network, low, high = wire(1000, "fixed", "auto"), 0.0, 20.0
    for _ in range(12):
        level = (low + high) / 2
        network.reset()
        network.run(WARM_UP, currents=drive(1000, level))
        network.reset_rates()
        network.run(700, currents=drive(1000, level))
        low, high = (level, high) if rate_of(network) < TARGET_RATE else (low, level)
    return high


def bytes_per_synapse(network: Network) -> dict[str, float]:
    """Return the memory of all arrays that have a value per synapse, by synapse type."""
    built = network._built
    assert isinstance(built, Circuit)
    cost: dict[str, list[int]] = {}
    for placement in built.placements.values():
        rule = placement.rule
        entry = cost.setdefault(placement.projection.synapse.type_name, [0, 0])
        if entry[1]:
            continue  # tables are shared
        for owner in (rule, rule.table):
            for value in vars(owner).values():
                if isinstance(value, np.ndarray) and value.shape == (rule.table.size,):
                    entry[0] += value.nbytes
        entry[1] += rule.table.size
    return {name: total / count for name, (total, count) in cost.items()}


def measure(
    neurons: int, level: float, repeats: int, seconds: float, clock: Callable[[], float]
) -> list[dict[str, Any]]:
    """Time all workloads and backends of one size, interleaved."""
    currents = drive(neurons, level)
    conditions = [(w, b) for w in WORKLOADS for b in ("numpy", "numba")]
    networks, ticks = {}, {}
    for condition in conditions:
        network = networks[condition] = wire(neurons, *condition)
        network.run(WARM_UP, currents=currents)
        network.reset_rates()
        begin = clock()
        network.run(20, currents=currents)
        ticks[condition] = max(20, int(20 * seconds / (clock() - begin)))
    speeds: dict[tuple[str, str], list[float]] = {condition: [] for condition in conditions}
    for _ in range(repeats):
        for condition in conditions:
            begin = clock()
            networks[condition].run(ticks[condition], currents=currents)
            speeds[condition].append(ticks[condition] / (clock() - begin))
    rows = []
    for workload in WORKLOADS:
        numpy, numba = (statistics.median(speeds[workload, b]) for b in ("numpy", "numba"))
        network = networks[workload, "numba"]
        rows.append(
            {
                "neurons": neurons,
                "workload": workload,
                "rate_hz": rate_of(network),
                "numpy_ticks_per_second": numpy,
                "numba_ticks_per_second": numba,
                "numba_best": max(speeds[workload, "numba"]),
                "bytes_per_synapse": bytes_per_synapse(network),
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table."""
    lines = [
        "| neurons | synapses | rate, Hz | NumPy, ticks/s | Numba, ticks/s | ratio | bytes each |",
        "|---:|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        numpy, numba = row["numpy_ticks_per_second"], row["numba_ticks_per_second"]
        cost = ", ".join(f"{name} {value:.0f}" for name, value in row["bytes_per_synapse"].items())
        lines.append(
            f"| {row['neurons']} | {row['workload']} | {row['rate_hz']:.1f} | {numpy:.0f} |"
            f" {numba:.0f} | {numba / numpy:.1f} | {cost} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table; --json writes all figures to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, nargs="+", default=[1000, 8070, 50_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: for a machine that others use, too"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    level = calibrate()
    rows = []
    for neurons in options.neurons:
        rows += measure(neurons, level, options.repeats, options.seconds, CLOCKS[options.clock])
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    load = os.getloadavg()[0]
    print(
        f"{machine}, load {load:.1f}, {options.clock} time, Python {platform.python_version()},"
        f" NumPy {np.__version__}, {time.strftime('%Y-%m-%d')}\n"
    )
    print(markdown(rows))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "load": load, "rows": rows}))


if __name__ == "__main__":
    main()
