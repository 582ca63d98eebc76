"""How fast the engine ticks, beside its peers, and what a synapse and a start cost.

Random networks of five neuron types (see engine_network.py), driven to 5-6 Hz, on one thread.
Synapses are all fixed, or 30 % of them follow STDP or a three-factor rule; our engine also ticks a
mix of all eight types.  Runs of the simulators alternate; medians of processor time are reported,
because that is what a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import engine_network as shared  # noqa: E402
import engine_peers as peers  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine_bound import bound  # noqa: E402

from ab_ros.engine import (  # noqa: E402
    Depressing,
    Developmental,
    Edges,
    Facilitating,
    GapJunction,
    Gated,
    Network,
    Plastic,
    RewardPlastic,
    Synapse,
)
from ab_ros.engine.circuit import Circuit  # noqa: E402
from ab_ros.engine.neurons import NeuronArrays  # noqa: E402

Arrays = dict[str, NDArray[Any]]
_LEARNING = {"lr": shared.LEARNING_RATE, "w_max": shared.W_MAX}
WORKLOADS: dict[str, Synapse | None] = {
    "fixed": None,
    "stdp": Plastic(**_LEARNING),
    "three": RewardPlastic(**_LEARNING),
    "mix": None,
}
NAMES = {
    "fixed": "fixed",
    "stdp": "30 % STDP",
    "three": "30 % three-factor",
    "mix": "all eight types",
}
# Part of the synapses of each type; gap junctions cost something in every tick.
MIX: list[tuple[Synapse | str, float]] = [
    ("fixed", 0.5),
    (Plastic(**_LEARNING), 0.12),
    (RewardPlastic(**_LEARNING), 0.12),
    (Facilitating(), 0.08),
    (Depressing(), 0.08),
    (Gated(modulator="cells", modulator_neurons=(0, 1, 2), threshold=0.005, **_LEARNING), 0.045),
    (Developmental(**_LEARNING), 0.05),
    (GapJunction(conductance=0.01), 0.005),
]
SIZES = (1000, 8070, 50_000, 200_000)
TICKS = {1000: 8000, 8070: 3000, 50_000: 600, 200_000: 200}
TARGET_RATE = 5.5
BEGIN, END = "<!-- engine speed: begin -->", "<!-- engine speed: end -->"


def wire(net: Arrays, workload: str, backend: str = "numba") -> Network:
    """Build our network."""
    size = net["a"].size
    network = Network(seed=1, backend=backend)  # type: ignore[arg-type]
    network.add_neurons("cells", size, NeuronArrays(*(net[name] for name in "abcd")))
    part = np.zeros(net["pre"].size, dtype=np.int8)
    synapses: list[Synapse | str] = ["fixed"]
    if workload == "mix":
        # Inhibitory ones are fixed.
        draw = np.random.default_rng(2).random(net["pre"].size)
        limits = np.cumsum([share for _, share in MIX])
        part = np.where(net["weight"] > 0, np.searchsorted(limits[:-1], draw, "right"), 0)
        synapses = [synapse for synapse, _ in MIX]
    elif workload != "fixed":
        part = net["learns"].astype(np.int8)
        learning = WORKLOADS[workload]
        assert learning is not None
        synapses.append(learning)
    for index, synapse in enumerate(synapses):
        chosen = part == index
        edges = Edges(net["pre"][chosen], net["post"][chosen], net["weight"][chosen])
        network.connect(f"{index}", "cells", "cells", synapse, weight=edges)
    return network.build()


class Ours:
    """Our engine, to be measured as a peer is."""

    def __init__(self, net: Arrays, workload: str, ticks: int, backend: str = "numba") -> None:
        self.network = wire(net, workload, backend)
        self._currents = {"cells": net["current"]}
        self._ticks = ticks
        self._run(shared.WARM_UP)

    def measure(self) -> peers.Measured:
        """Run the agreed number of ticks."""
        self.network.reset_rates()
        begin = time.process_time()
        self._run(self._ticks)
        spent = time.process_time() - begin
        size = self.network.size("cells")
        return spent, self.network.rates["cells"] * size * self._ticks / 1000.0

    def close(self) -> None:
        """Do nothing."""

    def _run(self, ticks: int) -> None:
        for done in range(0, ticks, shared.REWARD_INTERVAL):
            part = min(shared.REWARD_INTERVAL, ticks - done)
            self.network.run(part, currents=self._currents)
            self.network.reward(everywhere=shared.REWARD)


def calibrate() -> float:
    """Find the level of the currents at which a network fires at the target rate."""
    low, high = 0.0, 20.0
    net = shared.network(2000)
    for _ in range(10):
        level = (low + high) / 2
        ours = Ours({**net, "current": level * net["current"]}, "fixed", 1000)
        rate = ours.measure()[1] / 2000
        low, high = (level, high) if rate < TARGET_RATE else (low, level)
    return high


def bytes_per_synapse(network: Network) -> dict[str, float]:
    """Return the memory of all arrays that have a value per synapse, by synapse type."""
    built = network._built
    assert isinstance(built, Circuit)
    cost = {}
    for placement in built.placements.values():
        rule = placement.rule
        arrays = [*vars(rule).values(), *vars(rule.table).values()]
        sized = [a for a in arrays if isinstance(a, np.ndarray) and a.shape == (rule.table.size,)]
        name = placement.projection.synapse.type_name
        cost[name] = sum(a.nbytes for a in sized) / rule.table.size
    return cost


def starts() -> dict[str, float]:
    """Return the processor time to the first tick, s: with an empty compile cache, and after."""
    code = (
        "import time; from ab_ros.engine import *; n = Network(1); n.add_source('eye', 20);"
        "n.add_neurons('cells', 100); n.connect('in', 'eye', 'cells', weight=1.0);"
        "n.connect('rec', 'cells', 'cells', RewardPlastic(), weight=1.0); n.build(); n.tick();"
        "print(time.process_time())"
    )
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
        spent = [
            float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True).stdout)
            for _ in range(4)
        ]
    return {"cold": spent[0], "warm": statistics.median(spent[1:])}


def measure(
    neurons: int, level: float, repeats: int, best: dict[str, str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Measure all simulators on all workloads of one size."""
    net = shared.network(neurons)
    net["current"] *= level
    path = peers.HOME / "network.npz"
    peers.HOME.mkdir(exist_ok=True)
    np.savez(path, **net)
    ticks = TICKS.get(neurons, 600) // (1 if not options.quick else 2)
    ticks = max(shared.REWARD_INTERVAL, ticks // 200 * 200)
    rows = []
    for workload in WORKLOADS:
        begin = time.monotonic()
        ours = Ours(net, workload, ticks)
        running: dict[str, Any] = {"ours": ours}
        slow = {} if neurons > 8070 else {"ours, NumPy": Ours(net, workload, 200, "numpy")}
        if workload != "mix" and not options.alone:
            formulations = peers.FORMULATIONS[workload][: 1 if options.quick else None]
            if workload in best:
                formulations = (best[workload],)
            for formulation in formulations:
                running[f"C++ {formulation}"] = peers.Standalone(path, workload, formulation, ticks)
            if neurons <= options.most_cython:
                running["Brian2 Cython"] = peers.cython(path, workload, ticks)
            # The three-factor rule of NEST takes minutes in large networks.
            most = options.most_nest if workload != "three" else options.most_nest // 20
            if options.nest and neurons <= most:
                running["NEST"] = peers.nest(path, workload, ticks)
        speeds: dict[str, list[float]] = {name: [] for name in {**running, **slow}}
        rates: dict[str, float] = {}
        for _ in range(repeats):
            for name, simulator in {**running, **slow}.items():
                spent, spikes = simulator.measure()
                of = 200 if name in slow else ticks
                speeds[name].append(of / spent)
                rates[name] = spikes / neurons / of * 1000.0
        for simulator in running.values():
            simulator.close()
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        standalone = {n: v for n, v in medians.items() if n.startswith("C++ ")}
        row: dict[str, Any] = {
            "neurons": neurons,
            "workload": workload,
            "ticks_per_second": medians,
            "rate_hz": rates,
            "bytes_per_synapse": bytes_per_synapse(ours.network),
        }
        if standalone:
            winner = max(standalone, key=lambda name: standalone[name])
            row["brian2"] = winner
            best.setdefault(workload, winner.removeprefix("C++ "))
        if workload != "mix":
            learning = 0.0 if workload == "fixed" else float(net["learns"].mean())
            row["bound"] = bound(
                neurons, net["pre"].size / neurons, rates["ours"], learning, workload
            )
        rows.append(row)
        said = ", ".join(f"{name} {value:.0f}" for name, value in medians.items())
        print(
            f"{neurons} {NAMES[workload]}: {said} ticks/s ({time.monotonic() - begin:.0f} s)",
            flush=True,
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table."""
    lines = [
        "| neurons | synapses | ours | Brian2 C++ | × | Brian2 Cython | × | NEST | × | NumPy"
        " | bound | reached | rates, Hz | bytes |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        speed, rates = row["ticks_per_second"], row["rate_hz"]
        ours = speed["ours"]
        cells = [f"{row['neurons']}", NAMES[row["workload"]], f"{ours:.0f}"]
        for name in (row.get("brian2", ""), "Brian2 Cython", "NEST"):
            shown = f" ({name.removeprefix('C++ ')})" if name.startswith("C++") else ""
            cells += (
                [f"{speed[name]:.0f}{shown}", f"{ours / speed[name]:.1f}"]
                if name in speed
                else ["", ""]
            )
        cells.append(f"{speed['ours, NumPy']:.0f}" if "ours, NumPy" in speed else "")
        limit = row.get("bound")
        cells += [f"{limit:.0f}", f"{100 * ours / limit:.0f} %"] if limit else ["", ""]
        chosen = ["ours", row.get("brian2", ""), "Brian2 Cython", "NEST"]
        cells.append(" / ".join(f"{rates[name]:.1f}" for name in chosen if name in rates))
        cost = row["bytes_per_synapse"]
        cells.append(", ".join(f"{name} {value:.0f}" for name, value in cost.items()))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def document(rows: list[dict[str, Any]], start: dict[str, float], versions: dict[str, str]) -> str:
    """Return the section of the results page."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line),
        platform.machine(),
    )
    packages = {"numpy": version("numpy"), "numba": version("numba")}
    ours = ", ".join(f"{name} {value}" for name, value in packages.items())
    theirs = ", ".join(f"{name} {value}" for name, value in versions.items())
    nest = "" if "nest-simulator" in versions else "NEST has no wheel for this Python: left out.\n"
    return f"""{BEGIN}
## Speed of the engine

`make bench-engine` on {time.strftime("%Y-%m-%d")}; {model}, {os.cpu_count()} cores, load \
{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {ours}; peers: {theirs or "none"}.
{nest}
Ticks of 1 ms per second of processor time on one thread, medians of runs that alternate.
× says how many times as fast ours is. {shared.K} synapses per neuron, 80 % excitatory, RS IB CH
FS LTS, constant currents; learning workloads get a reward every {shared.REWARD_INTERVAL} ticks.

{markdown(rows)}

*Rates*: of ours / Brian2 C++ / Brian2 Cython / NEST; they show that all simulate the same load.
*Bytes*: per synapse of each type, all arrays that have a value per synapse.
*Brian2*: the same half steps and clipping; delta currents that arrive at the next step; the
fastest of several formulations, in brackets: float64 or float32, traces of STDP per neuron in the
state update or per synapse and event-driven; `-O3 -ffast-math -march=native`. Traces per neuron
grow at the reset, after both pathways, so that spikes of the same tick do not meet. The
three-factor rule has event-driven traces per synapse. *NEST*: `izhikevich` without consistent
integration, jumps of v instead of currents, no upper clip; `static_synapse`, `stdp_synapse_hom`
(multiplicative, its own order of pairs); in place of the three-factor rule
`stdp_dopamine_synapse`, which also learns from pairs post before pre; left blank where it takes
minutes.

*Bound*: the speed if all that a tick must move were moved and nothing else done, at rates that
this machine reaches on one thread in the same sizes: N neurons × 89 bytes one after the other
(a b c d v u, two currents, and writing v, u, current, spike); E synaptic events × 8 bytes (target
and weight) in rows of {shared.K} at random places; E × 8 bytes read and written at random (the
accumulator). A learning event also writes its weight and reads 16 + 8 bytes of its target at random
(its last spikes, its trace), or 16 bytes and 8 more in the row, written, for trace and eligibility.

First tick of a small network, processor time with all imports: {start["cold"]:.1f} s with an empty
compile cache, {start["warm"]:.2f} s after.
{END}
"""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def write(path: Path, section: str) -> None:
    """Put the section into the results page, in the place of the one before."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n") if found else ""
    text = before.rstrip("\n") + "\n\n" + section + ("\n" + after if after else "")
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, and print a table; --results writes it to the page, --json all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, nargs="+", help="sizes instead of all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="1000 and 8070 neurons, 3 short runs, Brian2 in float64",
    )
    parser.add_argument("--alone", action="store_true", help="our engine only, no peers")
    parser.add_argument("--most-cython", type=int, default=50_000, help="neurons")
    parser.add_argument("--most-nest", type=int, default=200_000, help="neurons")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--results", type=Path, help="page to write the section into")
    options = parser.parse_args()
    options.neurons = options.neurons or (SIZES[:2] if options.quick else SIZES)
    if options.quick:
        options.repeats = min(options.repeats, 3)
    versions = {} if options.alone else peers.install()
    options.nest = "nest-simulator" in versions
    level, start = calibrate(), starts()
    rows, best = [], {}
    # The best formulation of Brian2 is found at 8070 neurons.
    for neurons in sorted(options.neurons, key=lambda n: (n != 8070, n)):
        rows += measure(neurons, level, options.repeats, best, options)
    rows.sort(key=lambda row: row["neurons"])
    section = document(rows, start, versions)
    print("\n" + section)
    if options.json:
        options.json.write_text(json.dumps({"start": start, "rows": rows}), encoding="utf-8")
    if options.results:
        write(options.results, section)


if __name__ == "__main__":
    main()
