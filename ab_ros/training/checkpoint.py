"""Checkpoints of a training: what a kill at any moment leaves is the last one, whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.atomic import replaced
from ab_ros.errors import AbRosError

_INDEX = "checkpoint.json"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A state of a training.

    Attributes
    ----------
    brain : its brain file.
    arrays : what else it has learned, and how its episodes went.
    notes : what does not change, and numbers.
    """

    brain: Path
    arrays: Arrays
    notes: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of a training, of which only the newest is kept.

    A checkpoint is a brain file and an ``.npz``; ``checkpoint.json`` names both, and takes its
    place at once when they are on the disk.

    Parameters
    ----------
    folder : for them alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether there is a checkpoint."""
        return (self.folder / _INDEX).exists()

    def save(
        self,
        number: int,
        save_brain: Callable[[Path], None],
        arrays: Mapping[str, NDArray[Any]],
        notes: Mapping[str, Any],
    ) -> None:
        """Save a checkpoint, and remove the one before.

        Parameters
        ----------
        number : of finished episodes.
        save_brain : writes the brain's file.
        arrays, notes : see :class:`Checkpoint`.
        """
        names = {"brain": f"{number}.brain", "arrays": f"{number}.npz"}
        try:
            save_brain(self.folder / names["brain"])
            with (
                replaced(self.folder / names["arrays"]) as temporary,
                open(temporary, "wb") as file,
            ):
                np.savez(file, **arrays)  # type: ignore[arg-type]
            with replaced(self.folder / _INDEX) as temporary:
                text = json.dumps({**names, "notes": dict(notes)}, indent=2, allow_nan=False)
                temporary.write_text(text + "\n", encoding="utf-8")
            for path in self.folder.iterdir():
                if path.name not in (_INDEX, *names.values()):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise AbRosError(
                f"{self.folder}: the checkpoint cannot be written: {error.strerror}"
            ) from None

    def load(self) -> Checkpoint:
        """Return the newest checkpoint.

        Raises
        ------
        AbRosError
            if there is none, or it cannot be read.
        """
        path = self.folder / _INDEX
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            with np.load(self.folder / index["arrays"], allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return Checkpoint(self.folder / index["brain"], arrays, index["notes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AbRosError(f"{path}: is no checkpoint that can be read: {error}") from None

    def remove(self) -> None:
        """Remove all there is: the training is over, or begins anew."""
        # Without its index a checkpoint is none; the rest may go in any order.
        (self.folder / _INDEX).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
