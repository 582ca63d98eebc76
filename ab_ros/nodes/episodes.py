"""The episodes node: a training as ``ab_ros train`` does it, with a live robot or a simulator.

A worker thread runs the training (:mod:`ab_ros.nodes.episode_runner`); topics, services and the
status are here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import Trigger

from ab_ros.config import setting
from ab_ros.environments.environment import Environment
from ab_ros.errors import ConfigError
from ab_ros.msg import EpisodeStatus, MotorStatus
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.episode_runner import EpisodeRunner, Progress
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import to_time
from ab_ros.nodes.process import run
from ab_ros.nodes.robot_reset import RESETS, MotorWatch, ResetSettings, RobotReset
from ab_ros.nodes.ros_environment import RosEnvironment
from ab_ros.training.config import Config
from ab_ros.training.environment_simulator import world_class
from ab_ros.training.training_file import TrainingFile

_STATUS_PERIOD = 0.5


@dataclass(frozen=True)
class EpisodesSettings:
    """The episodes node."""

    training: str = setting(doc="Path of the training's YAML file, as `ab_ros train` takes it.")
    brains: str = setting("", doc="Folder of the brains; empty: as for `ab_ros train`, brains.")
    start: bool = setting(False, doc="Whether it trains at once; else it waits for ~/start.")
    unfinished: str = setting(
        "resume",
        doc="What is done with a training that was broken off before the node was started.",
        one_of=("resume", "restart"),
    )
    episodes: int = setting(0, doc="Episodes in all; 0: as the file says.", ge=0)
    seed: int | None = setting(None, doc="Instead of the file's.", ge=0)
    learning: bool = setting(
        True, doc="Whether it learns; else it trains the control, a brain of its own."
    )
    predict: int = setting(
        -1,
        doc="Version that acts and learns nothing, for as many episodes (0: without an end); 0: the"
        " latest; -1: none, it trains.",
        ge=-1,
    )
    out: str = setting(
        "", doc="Folder for summary.json and learning_curve.png; empty: out/train/BRAIN."
    )
    record: str = setting("", doc="Record of every step, .json or .csv; empty: none.")
    signals: str = setting("", doc="Folder for an .npz of signals per episode; empty: none.")
    reset: ResetSettings = setting(ResetSettings, doc="What puts the robot where it begins.")
    motor_node: str = setting("motor", doc="The motor node, where the file does not say.")
    motor_timeout: float = setting(
        1.0, doc="For so long the motor node may be silent before episodes pause.", unit="s", gt=0
    )


class EpisodesNode(AbNode[EpisodesSettings]):
    """Trains a brain on a robot, or on a simulator in this process."""

    node_name = "episodes"
    settings_class = EpisodesSettings
    unique = True
    _set_up = False

    def check(self, settings: EpisodesSettings) -> None:
        """Read the training's file, and look for what it trains on."""
        file = read_training(settings)
        kind = world_class(file.world, file.source)
        if issubclass(kind, RosEnvironment):
            kind.settings_of(file.world.cfg)
        if settings.reset.service and not settings.reset.service.strip("/~"):
            raise ConfigError(f"reset.service: {settings.reset.service!r} is no name of a service")

    def setup(self) -> None:
        """Read the training; make topics, services and clients."""
        s = self.settings
        file = read_training(s)
        kind = world_class(file.world, file.source)
        self._telling = Lock()
        self._progress = Progress(EpisodeStatus.IDLE, "configured")
        self._status = self.advertise(EpisodeStatus, "~/status", qos.STATUS, always=True)
        motor: MotorWatch | None = None
        transitions = None
        self._cfg: dict[str, Any] = {}
        if issubclass(kind, RosEnvironment):
            self._cfg = {
                "namespace": self.get_namespace(),
                "motor_node": s.motor_node,
                "use_sim_time": bool(self.get_parameter("use_sim_time").value),
                **file.world.cfg,
            }
            name = str(self._cfg["motor_node"])
            if not name.startswith("/"):
                name = f"{self._cfg['namespace'].rstrip('/')}/{name}"
                name = f"/{name.lstrip('/')}"
            motor = MotorWatch(f"{name}/status", s.motor_timeout)
            self.subscribe(MotorStatus, f"{name}/status", motor.hear, qos.STATUS, always=True)
            if s.reset.service and s.reset.reseed:
                transitions = self.use(ChangeState, f"{name}/change_state")
        reset = None
        if s.reset.service:
            client = self.use(RESETS[s.reset.type], s.reset.service)
            name = self.resolve_service_name(s.reset.service)
            reset = RobotReset(s.reset, name, client, motor, transitions)
        self._motor = motor
        self._runner = EpisodeRunner(
            file,
            self._configure,
            self._make,
            motor,
            reset,
            Path(s.out) if s.out else Path("out") / "train" / file.brain,
            Path(s.signals) if s.signals else None,
            self,
        )
        self.serve(Trigger, "~/start", self._start)
        self.serve(Trigger, "~/stop", self._stop)
        self.every(_STATUS_PERIOD, self._publish_status, steady=True, always=True)
        self._set_up = True

    def start(self) -> None:
        """Let the worker run."""
        self._progress = Progress(EpisodeStatus.IDLE, "waits for ~/start")
        if self.settings.start:
            self._runner.start()
        self.work(self._runner.run, "episodes")
        self._publish_status()

    def stop(self) -> None:
        """End the training; it can be resumed."""
        self._runner.stop()

    def teardown(self) -> None:
        """Say that nothing happens any more."""
        if self._set_up:
            self._progress = Progress(EpisodeStatus.IDLE, "not configured")
            self._publish_status()
            self._set_up = False  # what the worker said last comes too late

    def health(self) -> Health:
        """Tell what it does, and why it does not."""
        progress = self._seen()
        level = {EpisodeStatus.FAILED: Level.ERROR, EpisodeStatus.PAUSED: Level.WARN}
        return level.get(progress.code, Level.OK), progress.sentence

    def _configure(self, begun: bool) -> Config:
        """Return a training's config; what was begun by this node is gone on with."""
        s, config = self.settings, Config()
        if s.brains:
            config.url = s.brains
        config.predict = s.predict >= 0
        config.brain_version = max(0, s.predict)
        config.restart = s.unfinished == "restart" and not begun
        config.resume = not config.restart
        config.episodes = s.episodes
        if s.record:
            config.record_file = s.record
        return config

    def _make(self, kind: type[Environment], cfg: dict[str, Any]) -> Environment:
        if issubclass(kind, RosEnvironment):
            return kind({**cfg, **self._cfg}, self.context)
        return kind(cfg)

    # Services

    def _start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self.active:
            response.message = "the node is not active"
        elif self._runner.busy:
            response.success, response.message = True, "goes on already"
        else:
            self._runner.start()
            response.success, response.message = True, "begins, or goes on"
        return response

    def _stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        busy = self._runner.busy
        self._runner.stop()
        response.success = True
        response.message = (
            "ends; the present episode is done again after ~/start" if busy else "stands already"
        )
        return response

    # What the runner says, in its thread

    def tell(self, progress: Progress) -> None:
        """Take how far it is; what changes besides steps is published at once."""
        with self._telling:
            before, self._progress = self._progress, progress
        paused = EpisodeStatus.PAUSED
        if (before.code, before.episode) != (progress.code, progress.episode) or (
            progress.code == paused and before.sentence != progress.sentence
        ):
            if progress.code == paused:
                self.get_logger().warning(progress.sentence)
            self.call_soon(self._publish, progress)

    def count(self, what: str) -> None:
        """Count something for ``/diagnostics``."""
        self.figures.add(what)

    def log(self, sentence: str, bad: bool = False) -> None:
        """Say something to people."""
        if bad:
            self.get_logger().error(sentence)
        else:
            self.get_logger().info(sentence)

    # Status

    def _seen(self) -> Progress:
        """Return how far it is, as it is seen from here: a robot may be held in mid-step."""
        progress = self._progress
        trouble = self._motor.trouble() if self._motor is not None else None
        if progress.code != EpisodeStatus.RUNNING or trouble is None:
            return progress
        sentence = f"paused: {trouble.sentence}"
        return replace(progress, code=EpisodeStatus.PAUSED, sentence=sentence)

    def _publish_status(self) -> None:
        self._publish(self._seen())

    def _publish(self, progress: Progress) -> None:
        if not self._set_up:
            return
        message = EpisodeStatus(
            code=progress.code,
            message=progress.sentence if self.active else f"not active; {progress.sentence}",
            episode=progress.episode,
            episodes=progress.episodes,
            step=progress.step,
            episode_reward=progress.reward,
            success_rate=progress.success_rate,
        )
        message.header.stamp = to_time(self.now())
        self._status.publish(message)


def read_training(settings: EpisodesSettings) -> TrainingFile:
    """Read the training that settings name; one that ships with ab_ros from any folder.

    Raises
    ------
    ConfigError
        naming file, line and key, for what does not fit.
    """
    changes: dict[str, Any] = {} if settings.learning else {"learning": False}
    if settings.seed is not None:
        changes["seed"] = settings.seed
    path = Path(settings.training)
    try:
        shared = Path(get_package_share_directory("ab_ros")) / path
        if not path.exists() and shared.exists():
            path = shared  # as config/train/robot.yaml, from any folder
    except PackageNotFoundError:
        pass  # run from a checkout that is not installed
    try:
        return TrainingFile.read(path, {"training": changes} if changes else None)
    except ConfigError as error:
        raise ConfigError(f"training: {error}") from None


def main() -> int:
    """Run the node."""
    return run(EpisodesNode)


if __name__ == "__main__":
    raise SystemExit(main())
