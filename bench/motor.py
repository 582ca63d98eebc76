"""Measure how long the motor stage takes to answer a cycle, plain and compiled by Numba.

    python bench/motor.py [--joints N] [--populations P] [--neurons K] [--cycles C] [--results FILE]

Prints a row for each robot and cycle length: processor time of MotorStage.execute, median and 99th
percentile, all joints moving.  Robots differ in what their joints are commanded by.  Exit code 1 if
a median of the compiled stage is above 2 ms.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from results_page import circumstances, write_section

from ab_ros.config import parse
from ab_ros.contract import Contract
from ab_ros.motion import MotorSettings, MotorStage, resolve_limits
from ab_ros.values import Cycle

DT = 1e-3
MOST = 2.0  # ms
LIMIT = {"lower": -1.0, "upper": 1.0, "velocity": 2.0, "acceleration": 20.0, "effort": 10.0}
ROBOTS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "positions": (("joint_trajectory",) * 4, {}),
    "positions, jerk": (("joint_trajectory",) * 4, {"jerk": 1000.0}),
    "velocities": (("velocity",) * 4, {}),
    "efforts": (("effort",) * 4, {}),
    "one of each": (("joint_trajectory", "position", "velocity", "effort"), {}),
}


def stage_of(
    robot: str, joints: int, populations: int, compiled: bool | None
) -> tuple[MotorStage, tuple[str, ...]]:
    """Return a stage whose joints are moved by two halves of a population each."""
    interfaces, more = ROBOTS[robot]
    names = tuple(f"joint_{index}" for index in range(joints))
    parts = np.array_split(np.array(names), len(interfaces))
    data: dict[str, Any] = {
        "mapping": {
            name: {
                "population": f"p{index % populations}",
                "channel": name,
                "per_step_max": 0.0005 if index % 2 else -0.0005,
            }
            for index, name in enumerate(names)
        },
        "groups": {
            f"g{index}": {
                "channels": part.tolist(),
                "topic": f"t{index}",
                "interface": interface,
                "period": 0.005,
            }
            for index, (interface, part) in enumerate(zip(interfaces, parts, strict=True))
        },
        "limits": {name: {**LIMIT, **more} for name in names},
        "following_error": 0.0,
        "state_jump": 0.0,
        "following_speed": 0.0,
    }
    settings = parse(MotorSettings, data)
    return MotorStage(settings, resolve_limits(names, settings.limits), compiled), names


def cycles(populations: int, neurons: int, gamma: int) -> Iterator[dict[str, Any]]:
    """Yield rasters without end; every population is as lively as a brain's."""
    generator = np.random.default_rng(1)
    prepared = [
        {
            f"p{index}": (generator.random((gamma, neurons)) < 0.2).astype(np.uint8)
            for index in range(populations)
        }
        for _ in range(16)
    ]
    while True:
        yield from prepared


def measure(
    robot: str, compiled: bool | None, gamma: int, options: argparse.Namespace
) -> tuple[float, float]:
    """Return the median and the 99th percentile of a cycle, ms."""
    stage, names = stage_of(robot, options.joints, options.populations, compiled)
    outputs = [{"id": f"p{i}", "n": options.neurons} for i in range(options.populations)]
    contract = Contract.from_dict({"constants": {"gamma": gamma}, "io": {"outputs": outputs}})
    stage.begin_run("bench", contract)
    now = 100.0
    stage.activate(now, now)
    took: list[float] = []
    generator = np.random.default_rng(2)
    for number, rasters in enumerate(cycles(options.populations, options.neurons, gamma)):
        position = generator.uniform(-0.5, 0.5, len(names)).tolist()
        stage.measure(names, position, [0.0] * len(names), now, now, now)
        begin = time.thread_time()
        answer = stage.execute(Cycle("bench", number, rasters, DT, now, now), now, now)
        took.append(time.thread_time() - begin)
        if not answer.executed:
            raise SystemExit(f"cycle {number} was refused: {answer.reason}")
        now += gamma * DT
        if number == options.cycles:
            break
    return float(np.median(took)) * 1e3, float(np.percentile(took, 99)) * 1e3


def main() -> int:
    """Measure and print; 1 if it takes too long."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--joints", type=int, default=48)
    parser.add_argument("--populations", type=int, default=32)
    parser.add_argument("--neurons", type=int, default=32, help="of each population")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--results", type=Path, help="page to write the section into")
    options = parser.parse_args()
    head = f"{options.joints} joints, {options.populations} populations of {options.neurons}; ms"
    lines = [
        "| commanded by | timesteps | plain | p99 | compiled | p99 | plain / compiled |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    print("\n".join([head, *lines]))
    slowest = 0.0
    for robot in ROBOTS:
        for gamma in (40, 64):
            plain, plain_worst = measure(robot, False, gamma, options)
            fast, fast_worst = measure(robot, None, gamma, options)
            lines.append(
                f"| {robot} | {gamma} | {plain:.2f} | {plain_worst:.2f} | {fast:.2f} |"
                f" {fast_worst:.2f} | {plain / fast:.1f} |"
            )
            print(lines[-1], flush=True)
            slowest = max(slowest, fast)
    held = slowest <= MOST
    claim = f"The slowest median, compiled: {slowest:.2f} ms ({MOST:g} ms wanted)."
    print(claim)
    if options.results:
        text = [
            "## The motor stage",
            "",
            circumstances("bench-motor", ("numpy", "numba")),
            "",
            f"From the spikes of a cycle to limited commands, processor time: {head}, all moving.",
            "",
            *lines,
            "",
            claim,
        ]
        write_section(options.results, "motor", "\n".join(text))
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
