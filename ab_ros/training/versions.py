"""Brains in a folder, by name: their definition, their versions, and a training that is under way.

``<url>/<name>/`` holds ``definition.yaml``; ``versions/1.brain`` and ``versions/1.json`` and so on,
of which none is ever overwritten; and ``training/``, while a training goes on or was broken off.
A version's JSON has the definition that it was trained by: it predicts with that, however the
brain is defined since.
"""

from __future__ import annotations

import copy
import dataclasses
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from ab_ros.config import parse
from ab_ros.engine.atomic import replaced
from ab_ros.errors import AbRosError, BrainFileError, ConfigError, one_of
from ab_ros.training.config import Config
from ab_ros.training.definition import BrainDefinition, load_definition

DEFINITION = "definition.yaml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")


class VersionedBrain:
    """A brain by its name: what the bonsai document calls ``Brain``.

    It is not a :class:`~ab_ros.brains.port.Brain`, which runs; it is where trained ones lie.

    Parameters
    ----------
    config : says in which folder, and which version to predict with.
    name : of the brain; by default the config's.

    Attributes
    ----------
    config : as given.

    Raises
    ------
    ConfigError
        if no brain is named, or there is none of that name.

    Examples
    --------
    ::

        config = Config(sys.argv)
        brain = VersionedBrain(config)
        print(brain.name, brain.latest_version)
    """

    def __init__(self, config: Config, name: str = "") -> None:
        chosen = name or config.brain
        if not chosen:
            raise ConfigError(
                "no brain is named: pass --brain NAME, or set 'brain' in ./.bonsai or ~/.bonsai,"
                " name it in ./.brains, or set AB_ROS_BRAIN"
            )
        if not _NAME.fullmatch(chosen):
            raise ConfigError(
                f"brain {chosen!r}: a name has letters, digits, '.', '_', '-' and spaces, and"
                f" begins with a letter or digit"
            )
        self.config = config
        self.name = chosen
        self._versions: tuple[int, ...] = ()
        self._pinned = 0
        self._pending: BrainDefinition | None = None
        self._defined: BrainDefinition
        self._trained: dict[int, BrainDefinition | None]
        self.update()

    @classmethod
    def create(
        cls, config: Config, definition: BrainDefinition | Mapping[str, Any], name: str = ""
    ) -> VersionedBrain:
        """Define a brain, or define it anew; versions that there are stay.

        What is there already is not written over where nothing new is made: by a prediction, and
        while a training goes on or was broken off (without ``restart``).  A training that is
        resumed writes it once it is found to be the same brain.

        Parameters
        ----------
        config, name : see the class.
        definition : what it is made of.

        Raises
        ------
        ConfigError
            if the definition or the name does not fit, or the folder cannot be written.
        """
        if not isinstance(definition, BrainDefinition):
            definition = parse(BrainDefinition, definition)
        chosen = name or config.brain or ""
        folder = config.folder / chosen
        begun = (folder / "training" / "checkpoint.json").exists() and not config.restart
        if config.predict or begun or _is_locked(folder):
            brain = cls(config, chosen)
            brain._pending = definition
            return brain
        if _NAME.fullmatch(chosen):  # What is wrong with other names, the constructor says.
            _write(folder, definition)
        return cls(config, chosen)

    def keep_definition(self) -> None:
        """Write down the definition that a training goes on with."""
        if self._pending is not None:
            if self._pending != self._defined:
                _write(self.folder, self._pending)
            self._defined, self._pending = self._pending, None

    def pinned(self) -> VersionedBrain:
        """Return this brain with the version to predict with, which stays in use.

        Raises
        ------
        BrainFileError
            if there is none.
        """
        pinned = copy.copy(self)
        pinned._pinned = self.config.brain_version or self.latest_version
        pinned.file_of(pinned._pinned)
        return pinned

    def update(self) -> None:
        """Look at the folder again: definition, versions and status."""
        path = self.folder / DEFINITION
        if not path.is_file():
            brains = sorted(p.parent.name for p in self.config.folder.glob(f"*/{DEFINITION}"))
            known = one_of(brains) if brains else "there are none yet"
            raise ConfigError(
                f"brain {self.name!r} is not in the folder {self.config.folder} ({known}); `ab_ros"
                f" train CONFIG` makes one, and so does VersionedBrain.create"
            )
        self._defined, _, _ = load_definition(path)
        self._trained = {}
        found = (p.stem for p in (self.folder / "versions").glob("*.brain"))
        self._versions = tuple(sorted(int(stem) for stem in found if stem.isdigit()))

    @property
    def definition(self) -> BrainDefinition:
        """What it is made of.

        A version that is predicted with has the action, the state, the neurons and the reward that
        it was trained by; how long its episodes are, and what lessons say of them, is as defined
        now.
        """
        now = self._pending or self._defined
        if not (self.config.predict or self._pinned):
            return now
        then = self.definition_of(self.version)
        if then is None:
            return now
        simulator = dataclasses.replace(
            now.simulator, action=then.simulator.action, state=then.simulator.state
        )
        return dataclasses.replace(
            now, simulator=simulator, neurons=then.neurons, reward=then.reward
        )

    @property
    def folder(self) -> Path:
        """Where everything of this brain lies."""
        return self.config.folder / self.name

    @property
    def description(self) -> str:
        """What its definition says for people."""
        return (self._pending or self._defined).description

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions that were trained, in ascending order."""
        return self._versions

    @property
    def latest_version(self) -> int:
        """The newest version that was trained; 0 before the first."""
        return self._versions[-1] if self._versions else 0

    @property
    def version(self) -> int:
        """The version in use: that to predict with, or that which a training makes."""
        if self._pinned:
            return self._pinned
        if not self.config.predict:
            return self.latest_version + 1
        return self.config.brain_version or self.latest_version

    @property
    def status(self) -> str:
        """``new``, ``training``, ``broken off`` (``--resume`` goes on) or ``trained``."""
        if _is_locked(self.folder):
            return "training"
        if (self.training_folder / "checkpoint.json").exists():
            return "broken off"
        return "trained" if self._versions else "new"

    @property
    def training_folder(self) -> Path:
        """Where a training keeps its checkpoints."""
        return self.folder / "training"

    def file_of(self, version: int = 0) -> Path:
        """Return the brain file of a version; 0 is the latest.

        Raises
        ------
        BrainFileError
            if there is none.
        """
        chosen = version or self.latest_version
        path = self.folder / "versions" / f"{chosen}.brain"
        if not path.exists():
            known = f"; {one_of(self._versions)}" if self._versions else ": train it first"
            raise BrainFileError(f"brain {self.name!r} has no version {chosen or 'yet'}{known}")
        return path

    def summary_of(self, version: int = 0) -> dict[str, Any]:
        """Return what a training wrote down about a version; 0 is the latest."""
        path = self.file_of(version).with_suffix(".json")
        try:
            summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BrainFileError(f"{path}: cannot be read: {error}") from None
        return summary

    def definition_of(self, version: int = 0) -> BrainDefinition | None:
        """Return what a version was trained by; 0 is the latest.

        None if that was not written down, as by ab_ros before it was.

        Raises
        ------
        BrainFileError
            if there is no such version, or what was written down cannot be read.
        """
        path = self.file_of(version).with_suffix(".json")
        chosen = int(path.stem)
        if chosen not in self._trained:
            written = self.summary_of(chosen).get("definition") if path.exists() else None
            try:
                self._trained[chosen] = None if written is None else parse(BrainDefinition, written)
            except ConfigError as error:
                raise BrainFileError(f"{path}: definition: {error}") from None
        return self._trained[chosen]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others from training this brain at the same time, in this process and elsewhere.

        Raises
        ------
        AbRosError
            if it is being trained already, naming the process.
        """
        try:
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise AbRosError(f"{self.folder}: cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AbRosError(
                    f"brain {self.name!r} is being trained by {_trainer(handle)}"
                ) from None
            _sign(handle, f"{os.getpid()}\n")
            try:
                yield
            finally:
                _sign(handle, "")
        finally:
            os.close(handle)

    def __repr__(self) -> str:
        return (
            f"brain {self.name!r}: {self.status}, version {self.version},"
            f" latest {self.latest_version} ({self.folder})"
        )


def listed(definition: BrainDefinition) -> dict[str, Any]:
    """Return a definition as YAML and JSON have it, with lists for tuples."""
    whole: dict[str, Any] = _listed(dataclasses.asdict(definition))
    return whole


def _write(folder: Path, definition: BrainDefinition) -> None:
    text = yaml.safe_dump(listed(definition), sort_keys=False)
    try:
        with replaced(folder / DEFINITION) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None


def _is_locked(folder: Path) -> bool:
    try:
        handle = os.open(folder / ".lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _sign(handle: int, text: str) -> None:
    """Write into a lock who holds it; it is held as well where the disk is full."""
    with suppress(OSError):
        os.truncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)


def _trainer(handle: int) -> str:
    """Return who holds a lock, as its file says."""
    written = os.pread(handle, 20, 0).decode(errors="replace").strip()
    if written == str(os.getpid()):
        return "another simulator of this process: close() that, or use it in a `with` statement"
    return f"another program (process {written})" if written else "another program"


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value
