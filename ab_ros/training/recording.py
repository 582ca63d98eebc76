"""What a simulator records: automatic keys, those that it enables, and the file they go to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ab_ros.errors import RecordError
from ab_ros.training.curriculum import EpisodePlan
from ab_ros.training.logger import Logger
from ab_ros.training.records import RecordWriter, record_format, whole_size
from ab_ros.training.schema import Message, Schema

_STATISTICS = (
    "episode",
    "episode_count",
    "episode_reward",
    "iteration_count",
    "episode_rate",
    "iteration_rate",
)


class Progress(Protocol):
    """How far a loop of episodes is."""

    steps: int
    all_steps: int
    reward: float

    @property
    def episodes(self) -> int:
        """Episodes that have ended."""

    @property
    def seconds(self) -> float:
        """Time since it began."""


class Recording:
    """A line for every step, with what the program adds to it.

    The line of a step is written when the next event is asked for, so that the program can add to
    it in between; that of an episode's last step when the event after its finish is, so that what
    the whole episode was can be added to it.

    Parameters
    ----------
    schemas : of config, action and state.
    simulator : its name.
    """

    def __init__(self, schemas: Mapping[str, Schema], simulator: str) -> None:
        self._constant: dict[str, Any] = {"simulator": simulator, "predict": False}
        self._automatic = (
            *(f"{part}.{name}" for part, schema in schemas.items() for name in schema.fields),
            "reward",
            "terminal",
            "time",
            "simulator",
            "predict",
            *(f"statistics.{name}" for name in _STATISTICS),
        )
        self._keys: dict[str, None] = {}
        self._file: str | None = None
        self._switched = False
        self._own = False
        self._writer: RecordWriter | None = None
        self._added: dict[str, Any] = {}
        self._last: dict[str, Any] | None = None
        self._cut: int | None = None

    @property
    def enabled(self) -> bool:
        """Whether there is a file to write to, and it is wanted."""
        return self._switched and self._file is not None

    @property
    def file(self) -> str | None:
        """The file, or None; a new one closes the old."""
        return self._file

    @file.setter
    def file(self, name: str | None) -> None:
        if name is not None:
            record_format(name)
        self.close()
        self._file, self._cut = name, None
        self._switched = self._own = True

    def configure(self, file: str | None, enabled: bool, predict: bool) -> None:
        """Take what a config says, before the first step; a file that the program set stays.

        Parameters
        ----------
        file : to write to, .json or .csv, or None.
        enabled : whether to write at all.
        predict : whether the brain predicts.
        """
        self._constant["predict"] = predict
        if not self._own:
            self._file, self._switched = file, enabled

    def enable_keys(self, keys: Iterable[str], prefix: str | None = None) -> None:
        """Add keys to those of the lines; without a record this does nothing.

        Raises
        ------
        RecordError
            if the file has lines already: all lines of a file have the same keys.
        """
        if not self.enabled:
            return
        names = _prefixed(keys, prefix)
        new = [name for name in names if name not in self._keys]
        if new and self._writer is not None:
            raise RecordError(
                f"key {new[0]!r}: must be enabled before the first step is recorded, as all lines"
                f" of {self._file} have the same keys; or set another record_file"
            )
        self._keys.update(dict.fromkeys(new))

    def append(self, values: Mapping[str, Any], prefix: str | None = None) -> None:
        """Add values to the present line; keys that are not enabled are passed over."""
        if not self.enabled:
            return
        for key, value in values.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            if name in self._keys:
                self._added[name] = value

    def step(
        self,
        plan: EpisodePlan,
        action: Message,
        state: Message,
        reward: float,
        terminal: bool,
        progress: Progress,
        last: bool = False,
    ) -> None:
        """Write the line of a step, and what was added to it; :meth:`finish` writes the last."""
        line: dict[str, Any] = {f"config.{k}": v for k, v in plan.properties.items()}
        line.update({f"action.{k}": v for k, v in action.items()})
        line.update({f"state.{k}": v for k, v in state.items()})
        seconds = max(progress.seconds, 1e-9)
        line.update(
            {
                "reward": reward,
                "terminal": terminal,
                "time": time.time(),
                **self._constant,
                "statistics.episode": plan.number,
                "statistics.episode_count": progress.episodes,
                "statistics.episode_reward": progress.reward,
                "statistics.iteration_count": progress.steps,
                "statistics.episode_rate": progress.episodes / seconds,
                "statistics.iteration_rate": progress.all_steps / seconds,
            }
        )
        line.update(self._taken())
        if last:
            self._last = line
        else:
            self._open().write(line)

    def finish(self) -> None:
        """Write the line of an episode's last step, and what was added to it since."""
        line, self._last = self._last, None
        if line is not None:
            self._open().write({**line, **self._taken()})

    def position(self) -> int:
        """Bring all lines to the disk, and return how many bytes of the file there are."""
        if not self.enabled or self._file is None:
            return 0
        return whole_size(self._file) if self._writer is None else self._writer.position()

    def cut(self, position: int) -> None:
        """Remove the lines after a position of a record, once it is gone on with."""
        self._cut = position

    def close(self) -> None:
        """Close the file."""
        try:
            self.finish()
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
                Logger().record("%s: is closed", self._file)
            self._added = {}

    def _taken(self) -> dict[str, Any]:
        added, self._added = self._added, {}
        return added

    def _open(self) -> RecordWriter:
        if self._writer is None:
            assert self._file is not None
            keys = (*self._automatic, *(k for k in self._keys if k not in self._automatic))
            self._writer = RecordWriter(self._file, keys, self._cut)
            self._cut = None
            size = self._writer.position()
            Logger().record("%s: is opened at %d bytes, %d keys", self._file, size, len(keys))
        return self._writer


def _prefixed(keys: Iterable[str], prefix: str | None) -> list[str]:
    if isinstance(keys, str):
        raise RecordError(f"enable_keys: needs a list of keys, not the text {keys!r}")
    return [f"{prefix}.{key}" if prefix else str(key) for key in keys]
