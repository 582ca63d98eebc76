"""Trainings that are killed at any moment, again and again, end as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_parts import VALLEY

from ab_ros.config import overlay
from ab_ros.engine.database import read_brain_file
from ab_ros.training import Config, VersionedBrain, read_record

EPISODES, STEPS = 16, 5
KILLS = 5
UNLIKE = ("time", "statistics.episode_count", "statistics.episode_rate")
"""What a record tells of the program, and not of the training."""


class Run:
    """A training by the command, in a folder of its own."""

    def __init__(self, folder: Path, record: str, signals: str) -> None:
        folder.mkdir()
        self.folder, self.record = folder, folder / record
        self.log = folder / "log"
        changes = {
            "environment": {"cfg": {"log": str(self.log)}},
            "reward": {"method": "prediction_error", "cells": 20},
            "training": {"episodes": EPISODES},
            "simulator": {"config": {"slope": "Float64"}},
            "lessons": [
                {"objective": "steep", "config": {"slope": 0.3}, "episodes": 6},
                {"config": {"slope": [0.1, 0.2]}, "success_reward": -1.0},
            ],
        }
        self.config = folder / "valley.yaml"
        self.config.write_text(yaml.safe_dump(overlay(VALLEY, changes)))
        self._arguments = [
            *(sys.executable, "-m", "ab_ros.cli", "train", str(self.config), "--resume"),
            *("--brains", str(folder / "brains"), "--out", str(folder / "out")),
            *("--record", str(self.record), "--signals", str(folder / "signals")),
            *("--signals-format", signals),
        ]

    def start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        return subprocess.Popen(
            self._arguments, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}
        )

    def kill(self, lines: int, delay: float) -> None:
        """Begin or go on, and kill: a delay, s, after the record has so many lines."""
        process = self.start()
        try:
            while process.poll() is None and self.lines < lines:
                time.sleep(0.0005)
            time.sleep(delay)
        finally:
            process.kill()
            process.wait()

    def finish(self) -> None:
        assert self.start().wait(300) == 0

    @property
    def lines(self) -> int:
        """Steps in the record; a CSV's head is none."""
        try:
            return self.record.read_bytes().count(b"\n") - (self.record.suffix == ".csv")
        except FileNotFoundError:
            return 0

    @property
    def checkpoint(self) -> int | None:
        """Episodes of the checkpoint, or None where there is none."""
        path = self.folder / "brains" / "valley" / "training" / "checkpoint.json"
        return int(json.loads(path.read_text())["notes"]["episodes"]) if path.exists() else None

    @property
    def begun(self) -> list[str]:
        """Seeds of the episodes that were begun."""
        return self.log.read_text().split() if self.log.exists() else []

    def outcome(self) -> dict[str, Any]:
        """Return all that came of the training, but for what depends on the clock."""
        config = Config()
        config.url = str(self.folder / "brains")
        brain = VersionedBrain(config, "valley")
        assert brain.versions == (1,) and brain.status == "trained"
        texts, arrays = read_brain_file(brain.file_of())
        arrays.pop("network.credit/marks")  # Numbers of cycles, which a new run begins at 0.
        learned = {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in arrays.items()}
        summary = brain.summary_of()
        summary.pop("seconds")
        rows = read_record(self.record)
        for row in rows:
            for key in (*UNLIKE, "statistics.iteration_rate"):
                row.pop(key)
        signals = {path.name: path.read_bytes() for path in (self.folder / "signals").iterdir()}
        return {"texts": texts, **learned, "summary": summary, "record": rows, "signals": signals}


@pytest.mark.parametrize(("record", "signals"), [("steps.csv", "npz"), ("steps.json", "mcap")])
def test_kills_at_random_moments_cost_one_episode_each(
    tmp_path: Path, record: str, signals: str
) -> None:
    if signals == "mcap":
        pytest.importorskip("mcap")
    whole = Run(tmp_path / "whole", record, signals)
    began = time.time()
    whole.finish()
    times = [float(row["time"]) for row in read_record(whole.record)]
    startup, episode = times[0] - began, (times[-1] - times[0]) / EPISODES
    seed = random.randrange(2**32)
    print(f"seed {seed}; {startup:.2f} s until the first step, {episode:.3f} s an episode")
    chance = random.Random(seed)
    killed = Run(tmp_path / "killed", record, signals)
    first = STEPS * EPISODES / KILLS
    for kill in range(KILLS):
        # Spread over the whole training, and within an episode: steps, files and checkpoints.
        lines = int(chance.uniform(kill * first, (kill + 1) * first))
        delay = chance.uniform(0.0, episode if lines else startup)
        before = killed.checkpoint
        killed.kill(lines, delay)
        done = killed.checkpoint
        print(f"killed {delay:.3f} s after line {lines}: {killed.lines} lines, checkpoint {done}")
        if done is None and killed.lines:  # It was quicker than the kill.
            break
        assert (done or 0) >= (before or 0)
        # The record has all steps but the one in hand, of at most one unfinished episode.
        if killed.record.exists():
            assert len(read_record(killed.record)) == killed.lines
        assert STEPS * (done or 0) <= killed.lines <= STEPS * ((done or 0) + 1)
    if killed.checkpoint is not None or not killed.lines:
        killed.finish()
    wanted, found = whole.outcome(), killed.outcome()
    assert found.keys() == wanted.keys()
    for part in wanted:
        assert found[part] == wanted[part], part
    episodes = [row["statistics.episode"] for row in found["record"]]
    steps = [row["statistics.iteration_count"] for row in found["record"]]
    assert [(int(e), int(s)) for e, s in zip(episodes, steps, strict=True)] == [
        (e, s) for e in range(1, EPISODES + 1) for s in range(1, STEPS + 1)
    ]
    assert set(found["signals"]) == {f"episode_{e:06d}.{signals}" for e in range(1, EPISODES + 1)}
    assert list(dict.fromkeys(killed.begun)) == whole.begun
    assert len(killed.begun) <= EPISODES + KILLS
