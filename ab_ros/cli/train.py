"""``ab_ros train``: train a brain in episodes, or predict with it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ab_ros.cli.numbers import count, positive
from ab_ros.cli.progress import ProgressBar
from ab_ros.cli.report import check_folder, columns
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.training.config import Config
from ab_ros.training.definition import BrainDefinition
from ab_ros.training.logger import Logger
from ab_ros.training.lookup import beside
from ab_ros.training.outcome import write_outcome
from ab_ros.training.sessions import PredictionSession, Results, TrainingSession
from ab_ros.training.signals import SIGNAL_FORMATS, check_format
from ab_ros.training.simulator import Simulator
from ab_ros.training.training_file import TrainingFile
from ab_ros.training.versions import DEFINITION, VersionedBrain

_RECENT = 20
_LATEST = -1
_EXAMPLES = """
examples:
  ab_ros train config/train/cartpole.yaml
  ab_ros train config/train/cartpole.yaml --resume            # after a kill: goes on to the bit
  ab_ros train config/train/cartpole.yaml --no-learning       # the control, a brain of its own
  ab_ros train config/train/cartpole.yaml --predict --episodes 20 --record steps.csv

A file says which brain is trained on what: its name, the environment by its class, the types of
action and state, what the brain is made of, how rewards teach it, and how long. Every training
makes a new version, in brains/NAME/versions; after every episode there is a checkpoint, so that a
kill loses one episode at most. The same file and seed give the same brain, to the bit. Classes and
functions may be in Python files beside CONFIG. `ab_ros settings train` lists all that it may say.

Where the command line says nothing, AB_ROS_EPISODES and its like, ~/.bonsai and ./.bonsai do.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "train",
        help="train a brain in episodes, by rewards",
        description="Train a brain in episodes on an environment, or let a trained one act.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a training's YAML file")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--resume", action="store_true", help="go on with a training that was broken off"
    )
    how.add_argument(
        "--restart", action="store_true", help="begin anew where a training was broken off"
    )
    how.add_argument(
        "--predict",
        nargs="?",
        type=_version,
        const=_LATEST,
        metavar="VERSION",
        help="let a version act, and learn nothing (default: the latest)",
    )
    parser.add_argument("--brain", metavar="NAME", help="instead of the file's")
    parser.add_argument("--episodes", type=positive, metavar="N", help="instead of the file's")
    parser.add_argument("--seed", type=count, metavar="N", help="instead of the file's")
    parser.add_argument(
        "--no-learning", action="store_true", help="the control: all else is as in a training"
    )
    parser.add_argument(
        "--brains", type=Path, metavar="FOLDER", help="where brains are (default: brains)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="record every step, as .json or .csv"
    )
    parser.add_argument(
        "--signals", type=Path, metavar="FOLDER", help="write a file of signals per episode"
    )
    parser.add_argument(
        "--signals-format",
        choices=SIGNAL_FORMATS,
        default="npz",
        help="of the signals' files: arrays for NumPy (the default), or topics for Foxglove and"
        " PlotJuggler",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="for summary.json and learning_curve.png, or prediction.json and prediction.png"
        " (default: out/train/BRAIN)",
    )
    parser.add_argument("--verbose", action="store_true", help="log all domains to standard error")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="DOMAIN",
        help="log a domain to standard error; it may be given several times",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, or predict."""
    changes: dict[str, Any] = {}
    if options.seed is not None:
        changes["seed"] = options.seed
    if options.no_learning:
        changes["learning"] = False
    config = _config(options)
    whole = {"training": changes} if changes else None
    file = TrainingFile.read(options.config, whole, options.brain, config.brain)
    out = options.out or Path("out") / "train" / file.brain
    if config.resume and not config.predict:
        _check_resume(file, config, options.resume)
    _check_outputs(options, config, out)
    with beside(file.folder):
        return _run(file, config, options, out)


def _config(options: argparse.Namespace) -> Config:
    """Return the settings of other places, with those of the command line over them."""
    config = Config()
    if options.brains is not None:
        config.url = str(options.brains)
    if options.resume or options.restart:
        config.resume, config.restart, config.predict = options.resume, options.restart, False
    if options.predict is not None:
        config.predict = True
        if options.predict != _LATEST:
            config.brain_version = options.predict
    if options.episodes is not None:
        config.episodes = options.episodes
    if config.predict and not config.episodes:
        config.episodes = _RECENT
    if options.record is not None:
        config.record_file, config.record_enabled = str(options.record), True
    if options.verbose:
        config.verbose = True
        Logger().set_enable_all(True)
    for domain in options.log:
        Logger().set_enabled(domain)
    return config


def _check_resume(file: TrainingFile, config: Config, asked: bool) -> None:
    """Say that there is nothing to go on with; refuse to train what is trained already."""
    if (config.folder / file.brain / DEFINITION).is_file():
        brain = VersionedBrain(config, file.brain)
        if brain.status in ("training", "broken off"):
            return
        if asked and brain.latest_version and _alike(brain.definition, file.definition):
            raise ConfigError(
                f"--resume: no training of brain {file.brain!r} was broken off, and its version"
                f" {brain.latest_version} is finished; without --resume another version is trained"
            )
    print(f"{file.brain}: no training was broken off; this one begins anew")


def _alike(one: BrainDefinition, other: BrainDefinition) -> bool:
    """Whether a training of one can be that of the other, however long it is."""
    plain = [
        dataclasses.replace(
            definition,
            description="",
            training=dataclasses.replace(definition.training, episodes=1, iterations=0),
        )
        for definition in (one, other)
    ]
    return plain[0] == plain[1]


def _check_outputs(options: argparse.Namespace, config: Config, out: Path) -> None:
    """Refuse, before anything is trained, what could not be written afterwards."""
    check_folder(out, "--out")
    if config.record_file is not None and config.record_enabled:
        check_folder(Path(config.record_file).parent, "--record")
    if options.signals is not None:
        check_format(options.signals_format)
        check_folder(options.signals, "--signals")


def _run(file: TrainingFile, config: Config, options: argparse.Namespace, out: Path) -> int:
    simulator = file.simulator(config)
    session: TrainingSession | PredictionSession | None = None
    try:
        with file.placing():
            session = simulator.session
        if options.signals is not None:
            simulator.signal_format = options.signals_format
            simulator.signal_folder = options.signals
        results = _drive(simulator)
    except KeyboardInterrupt:
        if isinstance(session, TrainingSession) and session.curriculum.episodes:
            print(f"\n{file.brain}: broken off; --resume goes on with the training")
        raise
    finally:
        simulator.close()
    version = session.version if isinstance(session, TrainingSession) else simulator.brain.version
    print(columns(f"{file.brain}, version {version}:", _figures(results)))
    files, lacking = write_outcome(session, out)
    if isinstance(session, TrainingSession):
        files.insert(0, simulator.brain.file_of(version))
    for line in (*files, *filter(None, [lacking])):
        print(f"  {line}")
    return 0


def _drive(simulator: Simulator) -> Results:
    session = simulator.session
    shown, recent = 0, ""
    with ProgressBar(session.episodes, "episodes") as progress:
        progress.skip(len(session.results.reward))
        progress.show()
        going = True
        while going:
            going = simulator.run()
            if simulator.episode_count > shown:
                progress.note = recent = _note(session.results.last(_RECENT))
                progress.advance(simulator.episode_count - shown)
                shown = simulator.episode_count
            elif progress.due:
                step = f"step {simulator.iteration_count}"
                progress.note = f"{recent}, {step}" if recent else step
                progress.show()
    return session.results


def _note(results: Results) -> str:
    note = f"reward {results.reward.mean():.2f}"
    if results.success_rate is not None:
        note += f", success {results.success_rate:.0%}"
    return f"{note} (last {len(results.reward)})"


def _figures(results: Results) -> list[tuple[str, str]]:
    if not len(results.reward):
        raise AbRosError("no episode was finished")
    rows = [
        ("episodes", f"{len(results.reward)}, {int(results.steps.sum())} steps"),
        ("reward", f"{results.reward.mean():.2f} on average"),
    ]
    if len(results.reward) > _RECENT:
        rows.append((f"last {_RECENT}", _note(results.last(_RECENT)).rsplit(" (", 1)[0]))
    if results.success_rate is not None:
        rows.append(("success", f"{results.success_rate:.0%}"))
    return rows


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(
            f"must be the number of a version, not {text!r}: write CONFIG first, and --predict"
            f" after it, or give --predict=NUMBER"
        )
    return count(text)
