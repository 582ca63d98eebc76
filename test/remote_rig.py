"""What the tests of the whole way share: a robot with a remote brain, and a served process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from server_rig import jpeg

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.remote import RemoteBrain, RemoteSettings
from ab_ros.config import parse
from ab_ros.errors import BrainUnreachable
from ab_ros.values import Cycle, Deviation, Need, Observation, Reward

PATIENCE = 30.0
ROOT = Path(__file__).parents[1]


def wait_until(happened: Callable[[], Any], what: str, patience: float = PATIENCE) -> float:
    """Wait until something is so; return how long that took, s."""
    begin = time.monotonic()
    while not happened():
        if time.monotonic() - begin > patience:
            pytest.fail(f"waited {patience:g} s until {what}")
        time.sleep(0.005)
    return time.monotonic() - begin


def remote(url: str, **settings: Any) -> RemoteSettings:
    """Settings of a robot that tries again soon."""
    quick = {"backoff_first": 0.01, "backoff_most": 0.1, "link_timeout": 5.0, "key_variable": ""}
    return parse(RemoteSettings, {"url": url, "project": "p", **quick, **settings})


class Robot:
    """Sees, acts, and tells how it went: the loop around a remote brain, in the test's thread.

    Attributes
    ----------
    cycles : (run, number) of all cycles.
    told : (run, cycle, reward) of all rewards.
    outages : how often no cycle came in time.
    picture : what the camera sees; ``look`` is the camera.
    """

    def __init__(self, settings: RemoteSettings, **arguments: Any) -> None:
        self.brain = RemoteBrain(settings, **arguments)
        self.cycles: list[tuple[str, int]] = []
        self.told: list[tuple[str, int, float]] = []
        self.outages = 0
        self.newest: Cycle | None = None
        self.look = self._stare
        self.picture = jpeg()

    def __enter__(self) -> Robot:
        self.brain.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.brain.close()

    def _stare(self) -> Observation:
        return Observation("cam", "Image", time.time(), "jpeg", self.picture)

    def observe(self, need: Need) -> list[Observation]:
        """Look, and feel the joints."""
        now = time.time()
        return [
            self.look(),
            Observation(
                "joints",
                "Proprioception",
                now,
                "joint_state",
                np.zeros((3, 2)),
                {"names": ("pan", "tilt")},
            ),
        ]

    def step(self, timeout: float = 5.0) -> Cycle:
        """Run a cycle; execute it, and tell feedback and reward."""
        self.newest = cycle = self.brain.run_cycle(self.observe, timeout)
        self.cycles.append((cycle.run, cycle.number))
        self.brain.done(cycle.number)
        values = np.full(self.brain.contract.feedback_timesteps, 0.5, np.float32)
        self.brain.feedback(Deviation("fb", values), cycle.number)
        reward = Reward((cycle.number * 7 % 11) / 10 % 1.0)
        if self.brain.reward(reward, cycle.number) and self.brain.learning:
            self.told.append((cycle.run, cycle.number, reward.overall))
        return cycle

    def go(self, cycles: int, patience: float = PATIENCE) -> None:
        """Run cycles, through outages too."""
        end = time.monotonic() + patience
        while cycles:
            try:
                self.step(1.0)
            except BrainUnreachable as error:
                self.outages += 1
                if time.monotonic() > end:
                    pytest.fail(f"the brain stays away: {error}; {self.brain.counts()}")
            else:
                cycles -= 1

    def go_on(self, timeout: float) -> None:
        """Run cycles until none comes within a time, s, which is raised."""
        while True:
            self.step(timeout)

    def tries(self) -> bool:
        """Whether a cycle comes soon."""
        try:
            self.step(0.2)
        except BrainUnreachable:
            return False
        return True

    def check_numbers(self) -> None:
        """Check that no cycle came twice or went back."""
        for (run, number), (next_run, next_number) in zip(
            self.cycles, self.cycles[1:], strict=False
        ):
            assert next_run != run or next_number > number


class Lessons:
    """Remembers what every embedded brain of this process is given.

    Attributes
    ----------
    rewards : (run, cycle, reward), in order.
    deviations : (run, cycle), in order.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rewards: list[tuple[str, int, float]] = []
        self.deviations: list[tuple[str, int]] = []
        reward, feedback = EmbeddedBrain.reward, EmbeddedBrain.feedback

        def rewarded(brain: EmbeddedBrain, given: Reward, cycle: int) -> bool:
            self.rewards.append((brain.run, cycle, given.overall))
            return reward(brain, given, cycle)

        def deviated(brain: EmbeddedBrain, given: Deviation, cycle: int) -> None:
            self.deviations.append((brain.run, cycle))
            feedback(brain, given, cycle)

        patch.setattr(EmbeddedBrain, "reward", rewarded)
        patch.setattr(EmbeddedBrain, "feedback", deviated)

    def has_all_of(self, robot: Robot) -> bool:
        """Whether the brain was given everything that the robot told."""
        return set(robot.told) <= set(self.rewards) and set(robot.cycles) <= set(self.deviations)

    def check(self, robot: Robot) -> None:
        """Check that the brain was given what the robot told: everything, once, in order."""
        wait_until(lambda: self.has_all_of(robot), "the brain was given everything")
        assert self.rewards == robot.told
        assert self.deviations == robot.cycles


class ServedProcess:
    """``ab_ros serve`` as a process of its own.

    Parameters
    ----------
    brain : file.
    directory : of what projects learn.
    port : 0: any.
    arguments : more of the command's.
    """

    def __init__(
        self, brain: Path, directory: Path, port: int = 0, arguments: tuple[str, ...] = ()
    ) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
        environment.pop("AB_ROS_KEY", None)
        command = [sys.executable, "-m", "ab_ros.cli", "serve", str(brain), "--port", str(port)]
        directory.mkdir(exist_ok=True)
        self._log = directory / f"{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--dir", str(directory), *arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: self.url or self.process.poll() is not None, "the server is up")
            self.port = int(self.url.rsplit(":", 1)[1])
        except BaseException:
            self.kill()
            print(self.said)
            raise

    def __enter__(self) -> ServedProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.process.poll() is None:
            # After a failure the stacks of its threads tell more than its end.
            self.process.send_signal(signal.SIGTERM if kind is None else signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        self.kill()
        if kind is not None:
            print(self.said)

    @property
    def said(self) -> str:
        """What it has printed and logged."""
        return self._log.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Its address, once it has told it."""
        found = re.search(r"https?://\S+:\d+", self.said)
        return found.group() if found else ""

    def kill(self) -> None:
        """End the process at once, as a power cut does."""
        self.process.kill()
        self.process.wait(PATIENCE)
