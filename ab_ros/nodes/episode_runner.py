"""The thread of the episodes node: a training's own loop, which pauses while the robot is held.

The loop of episodes is that of ``ab_ros train``.  Here is what a robot adds to it: it is reset
before each episode, and what it cannot do now is tried again.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ab_ros.environments.environment import Environment
from ab_ros.errors import AbRosError, OrderNotExecutableError, WorldError
from ab_ros.msg import EpisodeStatus
from ab_ros.nodes.robot_reset import MotorWatch, RobotReset
from ab_ros.nodes.ros_environment import InterruptedOrderError, NotNowError, RosEnvironment
from ab_ros.training.config import Config
from ab_ros.training.environment_variant import Make
from ab_ros.training.events import EpisodeStartEvent, SimulateEvent
from ab_ros.training.outcome import write_outcome
from ab_ros.training.sessions import Results, TrainingSession
from ab_ros.training.simulator import Simulator
from ab_ros.training.training_file import TrainingFile

_LOOK = 0.05  # s between two looks at a motor node that holds
_RETRY = 0.5  # s until what could not be done is tried again
_RECENT = 20
_SELDOM = 1.0  # s between two episodes that are logged


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes
    ----------
    code, sentence : as in EpisodeStatus.
    episode : counts from 1; 0 before the first.
    episodes : in all; 0 if there is no end.
    step, reward : of the episode.
    success_rate : of the finished episodes; NaN where it is not known.
    """

    code: int
    sentence: str
    episode: int = 0
    episodes: int = 0
    step: int = 0
    reward: float = 0.0
    success_rate: float = math.nan


class Told(Protocol):
    """Who is told what happens, from the runner's thread."""

    def tell(self, progress: Progress) -> None:
        """Publish how far it is; codes and sentences of a pause at once."""

    def count(self, what: str) -> None:
        """Count something for ``/diagnostics``."""

    def log(self, sentence: str, bad: bool = False) -> None:
        """Say something to people."""


class EpisodeRunner:
    """Trains, or predicts, when it is asked to.

    Parameters
    ----------
    file : the training.
    configure : returns its config, given whether it goes on with what it has begun itself.
    make : makes its environment.
    motor : what is heard of the motor node; None where there is no robot.
    reset : puts the robot where an episode begins, or None.
    out : folder for summary and picture.
    signals : folder for the signals of each episode, or None.
    node : is told.
    """

    def __init__(
        self,
        file: TrainingFile,
        configure: Callable[[bool], Config],
        make: Make,
        motor: MotorWatch | None,
        reset: RobotReset | None,
        out: Path,
        signals: Path | None,
        node: Told,
    ) -> None:
        self._file, self._configure, self._make = file, configure, make
        self._motor, self._reset = motor, reset
        self._out, self._signals = out, signals
        self._node = node
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._wanted = False
        self._ending = False  # what was begun, whatever is wanted then
        self._begun = False  # since the node was configured: what was begun is gone on with
        self._said = -math.inf  # when an episode was last logged
        self._stopping = threading.Event()
        self._environment: Environment | None = None
        self._progress = Progress(EpisodeStatus.IDLE, "not active")

    # From any thread

    @property
    def busy(self) -> bool:
        """Whether it trains, or is about to."""
        return self._wanted

    def start(self) -> None:
        """Let it train, or go on with it."""
        with self._lock:
            self._wanted = True
        self._wake.set()

    def stop(self) -> None:
        """End the training at once; the robot is held by the motor node."""
        with self._lock:
            self._wanted, self._ending = False, True
            if isinstance(self._environment, RosEnvironment):
                self._environment.interrupt()
        self._wake.set()

    # In a thread of its own

    def run(self, stopping: threading.Event) -> None:
        """Train whenever it is wanted, until ``stopping`` is set (and :meth:`stop` called)."""
        self._stopping = stopping
        while not stopping.is_set():
            if self._wanted:
                self._train()
            elif not self._wake.wait(_RETRY):
                continue
            self._wake.clear()

    def _ended(self) -> bool:
        return self._stopping.is_set() or self._ending

    def _train(self) -> None:
        with self._lock:
            if not self._wanted:
                return
            self._ending = False
        simulator: Simulator | None = None
        try:
            self._tell(EpisodeStatus.RUNNING, "makes ready")
            config = self._configure(self._begun)
            simulator = self._file.simulator(config, self._make_environment)
            simulator.signal_folder = self._signals
            finished = self._loop(simulator)
            simulator.close()
            if finished:
                self._finish(simulator)
            else:
                self._tell(EpisodeStatus.IDLE, f"stopped; {self._left(simulator)}")
        except AbRosError as error:
            self._wanted = False
            here = "; here that is 'unfinished: restart'" if "--restart" in str(error) else ""
            self._node.log(f"{self._file.brain}: {error}{here}", bad=True)
            self._tell(EpisodeStatus.FAILED, f"{error}{here}")
        except Exception as error:
            self._tell(EpisodeStatus.FAILED, f"{type(error).__name__}: {error}")
            raise
        finally:
            with self._lock:
                self._environment = None
            if simulator is not None:
                simulator.close()

    def _make_environment(self, kind: type[Environment], cfg: dict[str, Any]) -> Environment:
        environment = self._make(kind, cfg)
        with self._lock:
            self._environment = environment
            if self._ended() and isinstance(environment, RosEnvironment):
                environment.interrupt()
        return environment

    def _loop(self, simulator: Simulator) -> bool:
        """Run episodes; return whether they came to their end."""
        session = simulator.session
        self._begun = True
        self._note(simulator, session.results)
        done = simulator.episode_count
        while not self._ended():
            if not self._turn(simulator):
                return True
            if simulator.episode_count > done:
                done = simulator.episode_count
                self._note(simulator, session.results)
                self._log_episode(session.results)
        return False

    def _log_episode(self, results: Results) -> None:
        now = time.monotonic()
        if now - self._said < _SELDOM:
            return
        self._said = now
        last = f"reward {results.reward[-1]:.2f} in {results.steps[-1]} steps"
        recent = results.last(_RECENT).reward
        self._node.log(
            f"episode {len(results.reward)}: {last}; {recent.mean():.2f} on average of the last"
            f" {len(recent)}"
        )

    def _turn(self, simulator: Simulator) -> bool:
        """Have an event answered, when the robot can; False at the end."""
        event = simulator.get_next_event()
        if self._progress.code != EpisodeStatus.PAUSED:
            self._note(simulator)
        begins = isinstance(event, EpisodeStartEvent)
        moves = begins or isinstance(event, SimulateEvent)
        while not self._ended():
            try:
                if moves:
                    self._wait_for_motor(begins)
                if begins and self._reset is not None:
                    self._reset.run(self._wait)
                if self._ended():
                    break
                going = simulator.handle(event)
                if self._progress.code == EpisodeStatus.PAUSED:
                    self._note(simulator)
                return going
            except InterruptedOrderError:
                break
            except NotNowError as error:  # the same again, once it can be done
                self._hold(error)
            except (OrderNotExecutableError, WorldError) as error:
                if self._motor is None:
                    raise
                self._hold(error)
                if not begins:
                    # Somebody has to see to the robot, and may move it.
                    self._node.count("episodes begun anew")
                    simulator.begin_again()
                    break
        return True

    def _wait_for_motor(self, begins: bool) -> None:
        """Wait until the motor node would move the robot.

        Raises
        ------
        OrderNotExecutableError
            if the robot was left to a person meanwhile, in the middle of an episode.
        """
        seen, paused = "", False
        while self._motor is not None and (trouble := self._motor.trouble()) is not None:
            if not trouble.passing:
                seen = trouble.sentence
            paused = True
            if not self._wait(trouble.sentence, _LOOK):
                return
        if paused:
            self._tell(EpisodeStatus.RUNNING, "goes on")
        if seen and not begins:
            raise OrderNotExecutableError(f"the episode is begun anew: {seen}")

    def _hold(self, error: AbRosError) -> None:
        self._node.count("pauses")
        self._wait(str(error), _RETRY)

    def _wait(self, why: str, duration: float) -> bool:
        """Tell why an episode is paused, if it is, and wait; False if it shall end."""
        if why:
            self._tell(EpisodeStatus.PAUSED, f"paused: {why}")
        if not self._ended() and self._wake.wait(duration):
            self._wake.clear()
        return not self._ended()

    def _finish(self, simulator: Simulator) -> None:
        session = simulator.session
        self._wanted = self._begun = False
        self._note(simulator, session.results)
        said = f"{len(session.results.reward)} episodes, reward {session.results.reward.mean():.2f}"
        if not isinstance(session, TrainingSession):
            self._tell(EpisodeStatus.FINISHED, f"predicted {said} on average")
            return
        files, lacking = write_outcome(session, self._out)
        version = simulator.brain.file_of(session.version)
        for sentence in (f"wrote {', '.join(map(str, [version, *files]))}", lacking):
            if sentence:
                self._node.log(sentence)
        self._tell(EpisodeStatus.FINISHED, f"version {session.version} is there: {said} on average")

    def _left(self, simulator: Simulator) -> str:
        """Say what ~/start does after a stop."""
        session = simulator.session
        if not isinstance(session, TrainingSession):
            return "~/start predicts anew"
        done = len(session.results.reward)
        return f"~/start goes on after {done} of {session.episodes} episodes"

    def _note(self, simulator: Simulator, results: Results | None = None) -> None:
        """Take note of how far it is."""
        session, number = simulator.session, simulator.episode_number
        rate = self._progress.success_rate
        if results is not None:
            known = results.success_rate
            rate = math.nan if known is None else known
        of = f" of {session.episodes}" if session.episodes else ""
        step, reward = simulator.iteration_count, simulator.episode_reward
        sentence = f"episode {number}{of}, step {step}: reward {reward:.4g}" if number else "begins"
        running = EpisodeStatus.RUNNING
        self._progress = Progress(running, sentence, number, session.episodes, step, reward, rate)
        self._node.tell(self._progress)

    def _tell(self, code: int, sentence: str) -> None:
        self._progress = dataclasses.replace(self._progress, code=code, sentence=sentence)
        self._node.tell(self._progress)
