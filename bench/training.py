"""Measure whether brains learn their tasks in episodes, and what the episodes' machinery costs.

``make bench-training`` trains each of config/train/*.yaml on several seeds, lets the brains act
without learning, and does the same with brains that were never taught; random actions and a rule
written by hand are the ends of the scale.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from results_page import circumstances, write_section

from ab_ros.training.config import Config
from ab_ros.training.mind import make_brain
from ab_ros.training.schema import Message
from ab_ros.training.simulator import Simulator
from ab_ros.training.training_file import TrainingFile
from ab_ros.training.versions import VersionedBrain
from ab_ros.values import Observation, Reward
from ab_ros.viz import TaskCurves, learning_tasks, save

ROOT = Path(__file__).resolve().parents[1]
EPISODES = 20
"""Episodes in which a score is taken."""

Policy = Callable[[Message, np.random.Generator], Mapping[str, Any]]


def push(state: Message, random: np.random.Generator) -> dict[str, Any]:
    """Balance the pole by a line through its state."""
    falls = state.angle + 0.25 * state.turn + 0.02 * state.position + 0.05 * state.speed
    return {"push": int(falls > 0)}


def look(state: Message, random: np.random.Generator) -> dict[str, Any]:
    """Turn straight to the ball."""
    return {"yaw": -state.azimuth, "pitch": -state.elevation}


def bend(state: Message, random: np.random.Generator) -> dict[str, Any]:
    """Bend to the side with more scent, and turn back while it fades."""
    away = -10.0 * min(state.change, 0.0)
    return {"bend": state.across + (away if state.across >= 0 else -away)}


RULES: Mapping[str, Policy] = {
    "cartpole": push,
    "cartpole_plain": push,
    "arm": look,
    "worm": bend,
}


def by_chance(simulator: Simulator) -> Policy:
    """Return a policy of random actions."""
    fields = list(simulator.brain.definition.simulator.action_schema)

    def policy(state: Message, random: np.random.Generator) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        for field in fields:
            if field.alternatives:
                chosen[field.name] = random.choice(field.alternatives)
            else:
                chosen[field.name] = random.uniform(*(field.span or (0.0, 1.0)))
        return chosen

    return policy


def score_of_policy(simulator: Simulator, policy: Policy, seed: int) -> float:
    """Return the mean reward of episodes in which a policy acts, those that brains are tried in."""
    definition = simulator.brain.definition
    action, state = definition.simulator.action_schema, definition.simulator.state_schema
    limit = definition.training.max_steps
    session = simulator.session
    rewards = []
    random = np.random.default_rng(seed)
    for _ in range(EPISODES):
        plan = session.plan()
        assert plan is not None
        simulator._loop.plan = plan  # type: ignore[union-attr]
        simulator.truncated = False
        now = state.read(simulator.episode_start(plan.properties))
        total, steps, over = 0.0, 0, False
        while not over:
            values = policy(now, random)
            for field in action:
                if not field.alternatives and field.span:
                    values[field.name] = min(max(values[field.name], field.span[0]), field.span[1])
            done = action.read(values)
            sensed, reward, terminal = simulator.simulate(done)
            after = state.read(sensed)
            if plan.reward is not None:
                reward = plan.reward(now, done, after, reward, terminal)
            total, steps, now = total + reward, steps + 1, after
            over = terminal or simulator.truncated or bool(limit and steps >= limit)
        rewards.append(total)
        session.finish(total, steps, None)
    return float(np.mean(rewards))


def simulator_of(
    path: Path, brains: Path, seed: int, learning: bool, predict: bool, episodes: int
) -> Simulator:
    """Return the simulator of a training's file."""
    changes = {"training": {"seed": seed, "learning": learning}}
    config = Config()
    config.url, config.predict, config.episodes = str(brains), predict, episodes
    return TrainingFile.read(path, changes).simulator(config)


def score(
    path: Path, brains: Path, seed: int, learning: bool, episodes: int
) -> tuple[float, list[float]]:
    """Train a brain, let it act without learning, and return its mean reward.

    The second value is the reward of each episode of the training.
    """
    simulator = simulator_of(path, brains, seed, learning, False, episodes)
    session = simulator.session
    while simulator.run():
        pass
    curve = session.results.reward.tolist()
    simulator = simulator_of(path, brains, seed, learning, True, EPISODES)
    session = simulator.session
    while simulator.run():
        pass
    return float(session.results.reward.mean()), curve


def measure(path: Path, seeds: list[int], quick: bool) -> tuple[dict[str, Any], list[list[float]]]:
    """Return the scores of brains, of controls, of chance and of a rule; and how brains learned.

    The latter is the reward of each episode of the training, for each seed.
    """
    curves = []
    found: dict[str, Any] = {"learned": {}, "no learning": {}, "random": {}, "rule": {}}
    episodes = 5 if quick else 0
    for seed in seeds:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            brains = Path(folder)
            # A control never changes: one episode makes its version.
            found["no learning"][seed] = score(path, brains, seed, False, 1)[0]
            for name in ("random", "rule"):
                simulator = simulator_of(path, brains, seed, False, True, EPISODES)
                policy = by_chance(simulator) if name == "random" else RULES[path.stem]
                found[name][seed] = score_of_policy(simulator, policy, seed)
                simulator.close()
            found["learned"][seed], curve = score(path, brains, seed, True, episodes)
            curves.append(curve)
        told = ", ".join(f"{name} {values[seed]:.2f}" for name, values in found.items())
        print(f"{path.stem}, seed {seed}: {told} ({time.monotonic() - begin:.0f} s)", flush=True)
    return found, curves


def share(found: Mapping[str, Mapping[int, float]], of: str, start: str) -> float:
    """Return where on the way from a column (0) to the rule (1) another one is, by the means."""
    mean = {name: statistics.fmean(values.values()) for name, values in found.items()}
    return (mean[of] - mean[start]) / (mean["rule"] - mean[start])


def verdict(columns: Mapping[str, Mapping[int, float]]) -> str:
    """Return what learning has brought: chance alone may be far worse than an untaught brain."""
    return (
        f"score {share(columns, 'learned', 'random'):.0%}, an untaught brain"
        f" {share(columns, 'no learning', 'random'):.0%}; from the untaught brain on, learning goes"
        f" {share(columns, 'learned', 'no learning'):.0%} of the way to the rule"
    )


DEFINITION: dict[str, Any] = {
    "simulator": {
        "name": "still",
        "action": {"push": "Int8{0, 1}"},
        "state": dict.fromkeys(("a", "b", "c", "d"), "Float32{-1:1}"),
    },
    "neurons": {"size": 16, "options": {"cells": 16}},
    "training": {"episodes": 1},
}


class Still(Simulator):
    """A world that costs nothing: what is left of a step is the brain and the machinery."""

    def episode_start(self, parameters: Message) -> dict[str, float]:
        """Return a state."""
        return {"a": 0.1, "b": -0.2, "c": 0.3, "d": -0.4}

    def simulate(self, action: Message) -> tuple[dict[str, float], float, bool]:
        """Return the same state."""
        return {"a": 0.1, "b": -0.2, "c": 0.3, "d": -0.4}, 0.1, False


def overhead(blocks: int, size: int) -> tuple[float, float]:
    """Return s per step of a bare loop of brain and world, and of the loop of episodes.

    Both take turns, block by block; tenth percentiles over the blocks.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Config()
        config.url, config.brain = folder, "still"
        simulator = Still(VersionedBrain.create(config, DEFINITION))
        simulator.run()
        definition = simulator.brain.definition
        brain = make_brain(definition, None, 0)
        brain.open()
        outputs = [port.id for port in brain.contract.outputs]
        state = simulator.episode_start(Message())
        times: dict[str, list[float]] = {"bare": [], "episodes": []}
        for _ in range(blocks):
            begin = time.perf_counter()
            for k in range(size):
                data = np.array(list(state.values()))
                seen = [Observation("state", "Vector", 0.02 * k, "float64", data)]
                cycle = brain.run_cycle(lambda need, seen=seen: seen, 0.0)  # type: ignore[misc]
                counts = [int(cycle.rasters[name].sum()) for name in outputs]
                state, reward, _ = simulator.simulate(Message(push=int(counts[1] > counts[0])))
                brain.reward(Reward(0.5 + 0.5 * reward), cycle.number)
            between = time.perf_counter()
            for _ in range(size):
                simulator.run()
            times["bare"].append((between - begin) / size)
            times["episodes"].append((time.perf_counter() - between) / size)
        simulator.close()
        brain.close()
    low = {name: float(np.percentile(values, 10)) for name, values in times.items()}
    return low["bare"], low["episodes"]


def picture(scores: Mapping[str, Mapping[str, Any]], curves: Mapping[str, Any]) -> Figure:
    """Return how the brains learned, beside those that did not."""
    levels = {
        task: {name: list(by_seed.values()) for name, by_seed in columns.items()}
        for task, columns in scores.items()
    }
    return learning_tasks({task: TaskCurves(curves[task], levels[task]) for task in scores})


def document(
    found: Mapping[str, Mapping[str, Any]], cost: tuple[float, float], drawn: str = ""
) -> str:
    """Return the section of the results' page; ``drawn`` is its picture, as the page calls it."""
    lines = [
        "## Training in episodes",
        "",
        "Mean reward of an episode, over 20 episodes without learning, by seed of the training. The"
        " score is the way from random actions (0 %) to a rule written by hand (100 %), of the"
        " means over seeds; an untaught brain may be on it already.",
        "",
        *([f"![Rewards by episode, beside controls]({drawn})", ""] if drawn else []),
        "| task | seed | learned | no learning | random | rule |",
        "|---|---|---|---|---|---|",
    ]
    for task, columns in found.items():
        for seed in columns["learned"]:
            row = " | ".join(f"{columns[name][seed]:.1f}" for name in columns)
            lines.append(f"| {task} | {seed} | {row} |")
        means = " | ".join(f"{statistics.fmean(c.values()):.1f}" for c in columns.values())
        lines.append(f"| **{task}** | **mean** | {means} |")
    lines += ["", *(f"- {task}: {verdict(columns)}" for task, columns in found.items()), ""]
    bare, episodes = cost
    lines += [
        f"A step of the loop of episodes takes {1e6 * episodes:.0f} µs, a bare loop of the same"
        f" brain and world {1e6 * bare:.0f} µs: {1e6 * (episodes - bare):.0f} µs more (tenth"
        f" percentiles of blocks that took turns).",
        "",
        circumstances("bench-training", ["numpy", "gymnasium", "mujoco"]),
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, and write what was found; fail if a task is not learned half-way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=sorted(RULES), choices=sorted(RULES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--quick", action="store_true", help="five episodes: does it run at all?")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--results", type=Path, help="page that gets the section")
    parser.add_argument("--picture", type=Path, help="draw how the brains learned, as PNG")
    options = parser.parse_args()
    folder = ROOT / "config" / "train"
    found: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for task in options.tasks:
        file = folder / f"{task}.yaml"
        found[task], curves[task] = measure(file, options.seeds, options.quick)
    drawn = ""
    if options.picture and not options.quick:
        save(picture(found, curves), options.picture)
        page = options.results or options.picture
        drawn = Path(os.path.relpath(options.picture, page.parent)).as_posix()
    text = document(found, overhead(20, 20 if options.quick else 200), drawn)
    print(text)
    if options.json:
        whole = {"scores": found, "curves": curves}
        options.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if options.results and not options.quick:
        write_section(options.results, "training", text)
    halves = (share(columns, "learned", "random") >= 0.5 for columns in found.values())
    return 0 if options.quick or all(halves) else 1


if __name__ == "__main__":
    raise SystemExit(main())
