"""Signals of episodes: states, actions, rewards and output spikes, a file per episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.atomic import replaced
from ab_ros.errors import RecordError, one_of, shown
from ab_ros.training.mcap_file import require_mcap, write_mcap
from ab_ros.training.schema import Message

SIGNAL_FORMATS = ("npz", "mcap")


class SignalRecorder:
    """Collects the signals of an episode, and writes them to ``episode_<number>`` at its end.

    An ``.npz`` has ``state.<field>``, ``action.<field>`` and ``reward``, float64[steps], the state
    being that after a step; ``terminal``, bool; and ``spikes.<output>``, uint8[steps, N]: how often
    each neuron of an output spiked in the last cycle of the step.  An ``.mcap`` has the same in
    topics; see :func:`~ab_ros.training.mcap_file.write_mcap`.  A file is whole, or not there.

    Parameters
    ----------
    folder : for the files; it is made if need be.
    kind : of the files, one of :data:`SIGNAL_FORMATS`.
    step_time : s, what a step takes: files with times begin at 0.

    Raises
    ------
    RecordError
        if there is no such kind, or its library is not installed; by :meth:`finish`, if a file
        cannot be written.
    """

    def __init__(self, folder: Path, kind: str = "npz", step_time: float = 1.0) -> None:
        check_format(kind)
        self.folder = Path(folder)
        self.kind = kind
        self._step_time = step_time
        self._columns: dict[str, list[Any]] = {}

    def step(
        self,
        action: Message,
        state: Message,
        reward: float,
        terminal: bool,
        rasters: Mapping[str, NDArray[np.uint8]],
    ) -> None:
        """Take note of a step."""
        values: dict[str, Any] = {f"state.{name}": value for name, value in state.items()}
        values.update({f"action.{name}": value for name, value in action.items()})
        for name, raster in rasters.items():
            values[f"spikes.{name}"] = raster.sum(axis=0).clip(max=255).astype(np.uint8)
        for name, value in (*values.items(), ("reward", reward), ("terminal", terminal)):
            self._columns.setdefault(name, []).append(value)

    def finish(self, episode: int) -> None:
        """Write the file of an episode; one of the same number is replaced."""
        columns, self._columns = self._columns, {}
        path = self.folder / f"episode_{episode:06d}.{self.kind}"
        try:
            for half in self.folder.glob(f".{path.name}.*"):  # What a kill has left.
                half.unlink(missing_ok=True)
            with replaced(path) as temporary, open(temporary, "wb") as file:
                if self.kind == "mcap":
                    write_mcap(file, columns, episode, self._step_time)
                else:
                    np.savez_compressed(file, **_arrays(columns))  # type: ignore[arg-type]
        except OSError as error:
            raise RecordError(f"{path}: cannot be written: {error.strerror}") from None

    def drop(self) -> None:
        """Forget the steps of an episode that was not finished."""
        self._columns = {}


def check_format(kind: str) -> None:
    """Refuse files that cannot be written.

    Raises
    ------
    RecordError
        if there is no such kind, or its library is not installed.
    """
    if kind not in SIGNAL_FORMATS:
        raise RecordError(f"signals: no format {shown(kind)}; {one_of(SIGNAL_FORMATS)}")
    if kind == "mcap":
        require_mcap()


def _arrays(columns: Mapping[str, list[Any]]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        kind = bool if name == "terminal" else np.float64
        arrays[name] = np.array(column, np.uint8 if name.startswith("spikes.") else kind)
    return arrays
