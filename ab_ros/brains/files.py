"""Files of brains in this process, of whatever kind: what is in one decides which brain it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.local import LocalBrain
from ab_ros.errors import BrainFileError
from ab_ros.layered.brain import FORMAT, LayeredBrain, is_definition


def load_brain(
    path: Path,
    *,
    dt: float | None = None,
    seed: int | None = None,
    clock: Callable[[], float] | None = None,
) -> LocalBrain:
    """Load a brain from its file: a spiking or a layered one, or the definition of a layered one.

    Parameters
    ----------
    path : of a brain file, or of a JSON file that defines a layered brain.
    dt, seed : for a brain that was never run, where its file says none.
    clock : see :class:`~ab_ros.brains.local.LocalBrain`.

    Raises
    ------
    BrainFileError
        if the file cannot be read, or does not hold a brain.
    ConfigError
        if a definition does not fit, or the brain's recipe does not say what joins it to a robot.
    """
    path = Path(path)
    if _is_recipe(path):
        raise BrainFileError(
            f"{path}: is a recipe, and no brain yet: `ab_ros brain build {path}` makes a brain file"
            f" of it"
        )
    if is_definition(path) or format_of(path) == FORMAT:
        return LayeredBrain.load(path, dt=dt, seed=seed, clock=clock)
    timestep = {} if dt is None else {"dt": dt}
    return EmbeddedBrain.load(path, **timestep, seed=seed, clock=clock)


def format_of(path: Path) -> str:
    """Return what a brain file says it holds; empty if it cannot be read, which its loader says."""
    try:
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            row = database.execute("SELECT value FROM text WHERE name = 'format'").fetchone()
    except (sqlite3.Error, OSError, ValueError):
        return ""
    return str(row[0]) if row else ""


def _is_recipe(path: Path) -> bool:
    """Whether a file is JSON as recipes are; what else is wrong with it, its loader says."""
    if not is_definition(path):
        return False
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "components" in document
