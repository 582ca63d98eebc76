"""What projects have learned: a folder with one brain file each, owned by one server at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from urllib.parse import quote

from ab_ros.brains.files import load_brain
from ab_ros.brains.local import LocalBrain
from ab_ros.engine.atomic import replaced
from ab_ros.errors import BrainFileError, ConfigError

_LOCK = ".lock"
_LONGEST = 160  # characters of an escaped id that go into a file's name


class BrainStore:
    """The brain files of projects.

    Parameters
    ----------
    brain : file that every project begins with; it is only read.
    directory : of the projects' files; it is made if there is none.
    dt, seed : for a brain that was never run, see :func:`~ab_ros.brains.files.load_brain`.

    Attributes
    ----------
    contract : of the served brain.
    timestep : of the served brain, s.

    Raises
    ------
    BrainError
        if there is no such brain.
    ConfigError
        if another server has the directory, or it cannot be written.
    """

    def __init__(
        self, brain: Path, directory: Path, dt: float = 0.001, seed: int | None = None
    ) -> None:
        self._brain, self._directory = brain, directory
        self._dt, self._seed = dt, seed
        served = self._load(brain)
        self.contract, self.timestep = served.contract, served.dt
        self._wiring, self._learning = served.wiring, served.learning
        # Kernels are compiled, or read from the disk, now, and not while a robot waits.
        served.open()
        served.run_cycle(lambda need: ())
        self._lock = _take(directory)

    def path(self, project: str) -> Path:
        """Return the file of a project; no id leads out of the directory."""
        name = quote(project, safe="")
        if name.startswith("."):
            name = f"%2E{name[1:]}"
        if len(name) > _LONGEST:
            # '+' is in no escaped text, so this is no other project's name.
            digest = hashlib.sha256(project.encode()).hexdigest()
            name = f"{name[:80]}+{digest}"
        return self._directory / f"{name}.db"

    def load(self, project: str, fresh: bool = False) -> LocalBrain:
        """Load the brain of a project.

        Parameters
        ----------
        project : any text; at its first start it gets a copy of the served brain.
        fresh : take the served brain although the project has one of its own, which is replaced
            when the brain is saved.

        Raises
        ------
        BrainError
            if a file cannot be read.
        ConfigError
            if the project's brain is wired otherwise than the served one.
        """
        path = self.path(project)
        if fresh:
            return self._load(self._brain)
        if not path.exists():
            try:
                with replaced(path) as temporary:
                    shutil.copyfile(self._brain, temporary)
            except OSError as error:
                raise BrainFileError(f"{path}: cannot be written: {error.strerror}") from None
        brain = self._load(path)
        if brain.wiring != self._wiring:
            raise ConfigError(
                f"project {project!r} was begun with a brain that is wired otherwise than the one"
                f" that is served now: move {path.name} away to keep it, or start with"
                f" fresh: true to replace it"
            )
        # What a client switched off last time is not meant for the next.
        brain.set_learning(self._learning)
        return brain

    def close(self) -> None:
        """Give the directory free."""
        os.close(self._lock)

    def _load(self, path: Path) -> LocalBrain:
        return load_brain(path, dt=self._dt, seed=self._seed)


def _take(directory: Path) -> int:
    """Make and lock a directory; the system gives it free however its owner ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"directory {directory}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise ConfigError(
            f"directory {directory}: another server saves its brains there; give this one another"
            f" directory"
        ) from None
    return handle
