"""What one process for all nodes saves: processor time, memory and latency beside one for each.

The demo's motor, brain and critic run in real time, composed (``ab_ros up``) and in processes of
their own, in turns; the simulated robot has a process of its own both times.  It prints a table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import rclpy  # noqa: E402
import yaml  # noqa: E402
from ab_ros.msg import MotorStatus  # noqa: E402

from ab_ros.nodes import qos  # noqa: E402

NODES = ("motor", "brain", "critic")
WARM_UP = 50  # cycles
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a run cost: processor time as a share of one core, MB, ms, and cycles per s."""

    processor: float
    memory: float
    p50: float
    p99: float
    cycles: float


def main() -> int:
    """Measure both in turns; print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run (default 10)")
    parser.add_argument("--turns", type=int, default=2, help="runs of each kind (default 2)")
    options = parser.parse_args()
    rclpy.init()
    costs: dict[str, list[Cost]] = {"one process": [], f"{len(NODES)} processes": []}
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder))
        for _ in range(options.turns):
            for name, found in costs.items():
                found.append(_measure(config, name == "one process", options.seconds))
    print(f"{'':14}  processor  memory  latency p50   p99  cycles")
    for name, found in costs.items():
        c = Cost(*(median(values) for values in zip(*found, strict=True)))
        print(
            f"{name:14}  {c.processor:7.0f} %  {c.memory:3.0f} MB  {c.p50:8.1f} ms"
            f"  {c.p99:5.1f}  {c.cycles:5.1f}/s"
        )
    rclpy.shutdown()
    return 0


def _config(folder: Path) -> Path:
    """Write the demo's configuration for real time."""
    data = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    for node in ("sim", "brain", "motor"):
        data[f"/**/{node}"]["ros__parameters"]["pacing"] = "realtime"
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def _measure(config: Path, together: bool, seconds: float) -> Cost:
    python = [sys.executable, "-m"]
    files = ["--ros-args", "--params-file", str(config)]
    commands = [[*python, f"ab_ros.nodes.{node}", *files] for node in NODES]
    if together:
        up = ["ab_ros.cli", "up", str(config), "--only", ",".join(NODES), "--quiet"]
        commands = [[*python, *up]]
    sim = subprocess.Popen([*python, "ab_ros.nodes.sim", *files], cwd=ROOT)
    processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    node = rclpy.create_node("bench_composed")
    seen: list[MotorStatus] = []
    node.create_subscription(MotorStatus, "motor/status", seen.append, qos.own(qos.STATUS))
    try:
        while not seen or seen[-1].cycles_executed < WARM_UP:
            rclpy.spin_once(node, timeout_sec=0.1)
        before, first, begin = _used(processes), seen[-1].cycles_executed, time.monotonic()
        while time.monotonic() - begin < seconds:
            rclpy.spin_once(node, timeout_sec=0.1)
        passed = time.monotonic() - begin
        used = _used(processes) - before
        last = seen[-1]
        return Cost(
            100.0 * used / passed,
            sum(_memory(process.pid) for process in processes),
            1e3 * last.sensor_to_command_p50,
            1e3 * last.sensor_to_command_p99,
            (last.cycles_executed - first) / passed,
        )
    finally:
        node.destroy_node()
        for process in (*processes, sim):
            process.terminate()
        for process in (*processes, sim):
            process.wait()


def _used(processes: list[subprocess.Popen[bytes]]) -> float:
    """Return the processor time of processes so far, s."""
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def _memory(pid: int) -> float:
    """Return the memory of a process, its share of what others use too, in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1]) / 1024.0
    raise RuntimeError("no Pss")


if __name__ == "__main__":
    raise SystemExit(main())
