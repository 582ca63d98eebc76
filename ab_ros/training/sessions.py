"""A training and a prediction: what plans episodes, and keeps what comes of them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.atomic import replaced
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.training.checkpoint import Checkpoints
from ab_ros.training.curriculum import Curriculum, EpisodePlan, episode_seed
from ab_ros.training.logger import Logger
from ab_ros.training.mind import Mind, make_brain
from ab_ros.training.recording import Recording
from ab_ros.training.schema import Message
from ab_ros.training.versions import VersionedBrain, listed

PREDICTION = 1_000_003
"""Added to a training's seed for the episodes of a prediction, so that they are new ones."""


@dataclasses.dataclass(frozen=True)
class Results:
    """How episodes went; arrays of one length.

    Attributes
    ----------
    reward : float64, of each episode.
    steps : int64.
    success : int8, 1 or 0, or -1 where nothing says what a success is.
    lesson : int64, its place in the curriculum.
    """

    reward: NDArray[np.float64]
    steps: NDArray[np.int64]
    success: NDArray[np.int8]
    lesson: NDArray[np.int64]

    @property
    def success_rate(self) -> float | None:
        """Share of successes among the episodes that are known to be one or none."""
        known = self.success[self.success >= 0]
        return float(known.mean()) if known.size else None

    def lists(self) -> dict[str, list[Any]]:
        """Return the columns as JSON has them; a success that is not known is None."""
        columns = {f.name: getattr(self, f.name).tolist() for f in dataclasses.fields(self)}
        columns["success"] = [None if known < 0 else known for known in columns["success"]]
        return columns

    def last(self, count: int) -> Results:
        """Return the last ``count`` episodes."""
        return Results(*(getattr(self, f.name)[-count:] for f in dataclasses.fields(self)))


class TrainingSession:
    """A training of a brain: after every episode there is a checkpoint, at the end a new version.

    Parameters
    ----------
    brain : to train; its config says whether to resume.

    Attributes
    ----------
    mind : that learns.
    max_steps : of an episode; 0: no limit.
    curriculum : the lessons, and how the episodes went.
    version : that it makes.
    finished : whether that version is there.

    Raises
    ------
    ConfigError
        if a training was broken off and the config says neither to resume nor to restart it, or
        the brain was defined anew since.
    AbRosError
        if another program trains this brain.
    """

    learning = True

    def __init__(self, brain: VersionedBrain) -> None:
        self.brain = brain
        self._open = ExitStack()
        self._open.enter_context(brain.lock())
        try:
            self._begin(brain)
        except BaseException:
            self._open.close()
            raise

    def _begin(self, brain: VersionedBrain) -> None:
        definition, config = brain.definition, brain.config
        self._definition = definition
        training = definition.training
        self.max_steps = training.max_steps
        self._episodes = config.episodes or training.episodes
        self._steps_left = training.iterations
        self.curriculum = Curriculum(definition)
        self._checkpoints = Checkpoints(brain.training_folder)
        self.version = brain.latest_version + 1
        self.finished = False
        self._seconds = 0.0
        self._record: int | None = None
        self._unchanged: Path | None = None  # the brain of a checkpoint, until an episode begins
        self._text = json.dumps(_comparable(definition), sort_keys=True)
        file: Path | None = None
        arrays: dict[str, NDArray[Any]] = {}
        checkpoint = self._checkpoints.load() if self._checkpoints.exists else None
        if checkpoint is not None and config.resume:
            self._record = int(checkpoint.notes["record"])
        done = int(checkpoint.notes["episodes"]) if checkpoint is not None else 0
        if checkpoint is not None and done and not config.restart:
            if not config.resume:
                raise ConfigError(
                    f"a training of brain {brain.name!r} was broken off after {done} episodes:"
                    f" --resume goes on with it, --restart begins anew"
                )
            if checkpoint.notes["definition"] != self._text:
                raise ConfigError(
                    f"brain {brain.name!r} was defined anew since its training was broken off:"
                    f" --restart begins anew"
                )
            file, arrays = checkpoint.brain, checkpoint.arrays
            self._unchanged = checkpoint.brain
            self.version = int(checkpoint.notes["version"])
            self._seconds = float(checkpoint.notes["seconds"])
            self.curriculum.restore(
                {k.removeprefix("results."): v for k, v in arrays.items() if "results." in k}
            )
        else:
            self._checkpoints.remove()
            if training.start == "latest" and brain.latest_version:
                file = brain.file_of()
        self.mind = self._make_mind(file, arrays)
        brain.keep_definition()
        self._started = time.monotonic()
        self._recording: Recording | None = None
        self._taken = 0
        Logger().episode(
            "brain %r in %s: trains version %d, %d of %d episodes are done",
            brain.name,
            brain.folder,
            self.version,
            self.curriculum.episodes,
            self._episodes,
        )

    def _make_mind(self, file: Path | None, arrays: Mapping[str, NDArray[Any]]) -> Mind:
        definition = self._definition
        runner = make_brain(definition, file, definition.training.seed)
        runner.set_learning(definition.training.learning)
        mind = Mind(runner, definition, definition.training.seed)
        if arrays:
            mind.restore(arrays)
        return mind

    @property
    def episodes(self) -> int:
        """Episodes in all, unless the lessons end before."""
        return self._episodes

    @property
    def results(self) -> Results:
        """How the finished episodes went."""
        return Results(**self.curriculum.results())

    def attach(self, recording: Recording) -> None:
        """Keep a record in step with the checkpoints: what was lost is not told of twice."""
        self._recording = recording
        if self._record is not None:
            recording.cut(self._record)
        if not self.curriculum.episodes:
            self._save(self._record)

    def plan(self) -> EpisodePlan | None:
        """Return what the next episode is to be; None at the end."""
        over = self.curriculum.finished or self.curriculum.episodes >= self._episodes
        self._taken = 0
        if over:
            return None
        self._unchanged = None
        return self.curriculum.plan()

    def may_step(self) -> bool:
        """Whether there may be another step: asked before each, it counts them."""
        if not self._steps_left:
            return True
        if self.curriculum.steps + self._taken >= self._steps_left:
            return False
        self._taken += 1
        return True

    def finish(self, reward: float, steps: int, success: bool | None) -> None:
        """Take note of a finished episode, and save a checkpoint."""
        self.curriculum.finish(reward, steps, success)
        self._taken = 0
        self._save()

    def rewind(self) -> Mind:
        """Go back to the last checkpoint: nothing of the present episode is kept."""
        checkpoint = self._checkpoints.load()
        if self._recording is not None:
            self._recording.close()
            self._recording.cut(int(checkpoint.notes["record"]))
        missed = self.mind.missed
        self.mind.close()
        self.mind = self._make_mind(checkpoint.brain, checkpoint.arrays)
        self.mind.missed = missed
        return self.mind

    def _save(self, record: int | None = None) -> None:
        if record is None:
            record = self._recording.position() if self._recording is not None else 0
        results = {f"results.{name}": column for name, column in self.curriculum.results().items()}
        self._checkpoints.save(
            self.curriculum.episodes,
            self.mind.brain.save,
            {**self.mind.state(), **results},
            {
                "episodes": self.curriculum.episodes,
                "version": self.version,
                "seconds": self._elapsed(),
                "record": record,
                "definition": self._text,
            },
        )

    def close(self, finished: bool) -> None:
        """End the training: at its end it becomes a version, before it can be resumed."""
        try:
            if finished and not self.finished:
                self._publish()
            elif not self.finished and not self.curriculum.episodes:
                self._checkpoints.remove()  # Nothing is lost.
        finally:
            self.mind.close()
            self._open.close()

    def summary(self) -> dict[str, Any]:
        """Return what is written down about the version, with the results of every episode."""
        results = self.results
        last = results.last(max(1, len(results.reward) // 5))
        definition = self._definition
        return {
            "brain": self.brain.name,
            "version": self.version,
            "description": self.brain.description,
            "episodes": len(results.reward),
            "steps": int(results.steps.sum()),
            "seed": definition.training.seed,
            "learning": definition.training.learning,
            "mean_reward": _mean(results.reward),
            "success_rate": results.success_rate,
            "last_fifth": {
                "episodes": len(last.reward),
                "mean_reward": _mean(last.reward),
                "success_rate": last.success_rate,
            },
            "lessons": [
                {
                    "objective": lesson.objective,
                    "episodes": int((results.lesson == k).sum()),
                    "mean_reward": _mean(results.reward[results.lesson == k]),
                }
                for k, lesson in enumerate(definition.curriculum)
            ],
            "rewards_missed": self.mind.missed,
            "samples_refused": self.mind.refused,
            "seconds": round(self._elapsed(), 3),
            "results": results.lists(),
        }

    def _publish(self) -> None:
        folder = self.brain.folder / "versions"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = {**self.summary(), "definition": listed(self._definition)}
            # A definition may have bounds that are not finite, which YAML knows and JSON does not.
            text = json.dumps(whole, indent=2) + "\n"
            with replaced(folder / f"{self.version}.json") as temporary:
                temporary.write_text(text, encoding="utf-8")
            # Last: a version is there when its brain file is.
            path = folder / f"{self.version}.brain"
            if self._unchanged is None:
                self.mind.brain.save(path)
            else:
                # Loading has drawn phases of encoders anew, which only the next episode would set.
                with replaced(path) as temporary:
                    shutil.copyfile(self._unchanged, temporary)
        except OSError as error:
            raise AbRosError(f"{folder}: cannot be written: {error.strerror}") from None
        self.finished = True
        Logger().episode("brain %r: version %d is there: %s", self.brain.name, self.version, path)
        self._checkpoints.remove()
        self.brain.update()

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._started


class PredictionSession:
    """Episodes of a trained version that learns no more.

    Parameters
    ----------
    brain : its config says which version, and how many episodes (0: no end).

    Attributes
    ----------
    mind : that acts.

    Raises
    ------
    BrainFileError
        if there is no such version.
    """

    learning = False
    finished = False

    def __init__(self, brain: VersionedBrain) -> None:
        definition = brain.definition
        file = brain.file_of(brain.config.brain_version)
        runner = make_brain(definition, file, definition.training.seed)
        runner.set_learning(False)
        self.brain = brain
        self.mind = Mind(runner, definition)
        self.max_steps = definition.training.max_steps
        self.episodes = brain.config.episodes
        self._seed = definition.training.seed + PREDICTION
        self._curriculum = Curriculum(definition)
        self._success = definition.curriculum[-1].success_reward
        self._rows: list[tuple[float, int, int, int]] = []
        Logger().episode("brain %r: predicts with %s", brain.name, file)

    @property
    def results(self) -> Results:
        """How the finished episodes went."""
        table = np.array(self._rows, np.float64).reshape(-1, 4).T
        kinds: list[Callable[[Any], Any]] = [np.float64, np.int64, np.int8, np.int64]
        return Results(*(kind(column) for kind, column in zip(kinds, table, strict=True)))

    def attach(self, recording: Recording) -> None:
        """Do nothing: a prediction has no checkpoints."""

    def plan(self) -> EpisodePlan | None:
        """Return what the next episode is to be: of no lesson; None at the end."""
        number = len(self._rows) + 1
        if self.episodes and number > self.episodes:
            return None
        seed = episode_seed(self._seed, number)
        return EpisodePlan(number, 0, "", Message(), seed, self._curriculum.last_reward)

    def may_step(self) -> bool:
        """Return True: predictions have no limit of steps."""
        return True

    def finish(self, reward: float, steps: int, success: bool | None) -> None:
        """Take note of a finished episode."""
        if success is None and self._success is not None:
            success = reward >= self._success
        self._rows.append((reward, steps, -1 if success is None else success, 0))

    def rewind(self) -> Mind:
        """Return the mind: it has learned nothing."""
        return self.mind

    def close(self, finished: bool) -> None:
        """End the prediction."""
        self.mind.close()


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None


def _comparable(definition: Any) -> Any:
    """Return what must stay the same for a training to go on: all but how long it is."""
    whole = dataclasses.asdict(definition)
    for key in ("episodes", "iterations"):
        whole["training"].pop(key)
    whole.pop("description")
    return whole
