"""What kind of file ``ab_ros plot`` has been given: told by what is in it, not by its name."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ConfigError, RecordError


class Kind(Enum):
    """A kind of file: what it is called, and the pictures that there are of it, first the usual."""

    RUN = ("a record of a run", ("raster", "rate", "potential", "weights", "learning-curve"))
    RESULT = ("a result", ("learning-curve",))
    EPISODES = ("a record of episodes", ("learning-curve",))
    SUMMARY = ("the summary of a training", ("learning-curve",))
    EXPLORATION = ("a record of an exploration", ("reached",))
    SIGNALS = ("an episode's signals", ("signals",))

    def __init__(self, title: str, pictures: tuple[str, ...]) -> None:
        self.title = title
        self.pictures = pictures


def kind_of(path: Path) -> Kind:
    """Return the kind of a file; of what cannot be told, that whose reader says what is wrong.

    Raises
    ------
    ConfigError
        if it ends in .json and is no JSON.
    """
    if path.suffix == ".npz":
        names = _members(path)
        if {"about", "motor", "sensed"} <= names:
            return Kind.EXPLORATION
        return Kind.SIGNALS if {"reward", "terminal"} <= names and "meta" not in names else Kind.RUN
    if path.suffix == ".csv":
        head = _head(path)
        if head[:1] == ["uuid"]:
            return Kind.EXPLORATION
        return Kind.EPISODES if "statistics.episode" in head else Kind.RUN
    if path.suffix == ".json":
        result = _first_object(path)
        if "statistics.episode" in result:
            return Kind.EPISODES
        return Kind.SUMMARY if {"brain", "version", "mean_reward"} <= set(result) else Kind.RESULT
    return Kind.RUN


def read_signals(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an episode's .npz.

    Raises
    ------
    RecordError
        if it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from None


def read_json(path: Path) -> Any:
    """Return what is in a JSON file.

    Raises
    ------
    ConfigError
        if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from None


def _members(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as file:
            return {name.removesuffix(".npy") for name in file.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def _head(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _first_object(path: Path) -> Mapping[str, Any]:
    """Return the object on the first line, as of a record of episodes, or else the file's."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.readline())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, Mapping):
        found = read_json(path)
    return found if isinstance(found, Mapping) else {}
