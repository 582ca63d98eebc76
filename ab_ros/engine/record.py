"""What was recorded of a running network: spikes, membrane potentials, weights, and of whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.engine.record_files import check_extension, read_columns
from ab_ros.engine.record_parts import PART, indices_of
from ab_ros.errors import RecordError, one_of


@dataclass(frozen=True)
class Spikes:
    """Spikes in address-event form, ordered by (tick, neuron).

    Parameters
    ----------
    tick : int64[events], the tick in which each was fired.
    neuron : int32[events], index among all neurons of the network.
    """

    tick: NDArray[np.int64]
    neuron: NDArray[np.int32]

    def between(self, start: int, stop: int) -> Spikes:
        """Return those of the ticks from ``start`` to before ``stop``."""
        part = slice(*np.searchsorted(self.tick, (start, stop)))
        return Spikes(self.tick[part], self.neuron[part])


@dataclass(frozen=True)
class Potentials:
    """Membrane potentials.

    Parameters
    ----------
    neuron : int32[neurons], index among all neurons of the network.
    tick : int64[samples], the tick at whose end each sample was taken.
    value : float32[samples, neurons], mV.
    """

    neuron: NDArray[np.int32]
    tick: NDArray[np.int64]
    value: NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """The weights of a projection.

    Parameters
    ----------
    pre, post : int32[synapses], index among all neurons; where a projection comes from a spike
        source, ``pre`` is one among all spike sources.
    tick : int64[samples], how many ticks had passed; that of the first sample is where the
        recording began.
    value : float32[samples, synapses]; NaN once a synapse has been pruned.
    """

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    tick: NDArray[np.int64]
    value: NDArray[np.float32]


@dataclass(frozen=True)
class RecordMeta:
    """What a record is of.

    Parameters
    ----------
    brain : the brain's name, empty for a network without one.
    seed : of the network.
    dt : s per tick.
    neurons : of the whole network.
    first_tick, ticks : the recording began at the one and lasted the other.
    recorded : int32[k], the neurons whose spikes were recorded, rising.
    groups : {name: int32[size]}, groups of neurons whose spikes or potentials were recorded.
    versions : of the programs that wrote it.
    complete : whether it was closed; else the run was cut short.
    """

    brain: str
    seed: int
    dt: float
    neurons: int
    first_tick: int
    ticks: int
    recorded: NDArray[np.int32]
    groups: Mapping[str, NDArray[np.int32]]
    versions: Mapping[str, str]
    complete: bool


@dataclass(frozen=True)
class Record:
    """A record as :func:`read_record` returns it; ``potentials`` is None if there are none."""

    spikes: Spikes
    potentials: Potentials | None
    weights: Mapping[str, Weights]
    meta: RecordMeta

    def neurons_of(self, group: str) -> NDArray[np.int32]:
        """Return a group's neurons, or raise a RecordError that names the groups there are."""
        if group not in self.meta.groups:
            raise RecordError(f"group {group!r}: is not in the record; {one_of(self.meta.groups)}")
        return self.meta.groups[group]

    def raster(
        self, neurons: ArrayLike | None = None, start: int | None = None, stop: int | None = None
    ) -> NDArray[np.uint8]:
        """Return spikes as a dense raster, uint8[stop - start, neurons].

        Parameters
        ----------
        neurons : indices, each at most once; by default all whose spikes were recorded.
        start, stop : ticks, by default those of the whole record.
        """
        first, last = self.meta.first_tick, self.meta.first_tick + self.meta.ticks
        start = first if start is None else max(first, start)
        stop = last if stop is None else min(last, stop)
        chosen = self.meta.recorded if neurons is None else np.asarray(neurons, np.int64)
        column = np.full(self.meta.neurons, -1, np.int64)
        column[chosen] = np.arange(chosen.size)
        spikes = self.spikes.between(start, stop)
        place = column[spikes.neuron]
        raster = np.zeros((max(stop - start, 0), chosen.size), np.uint8)
        raster[spikes.tick[place >= 0] - start, place[place >= 0]] = 1
        return raster


def read_record(path: str | Path) -> Record:
    """Read a record: a file of any format that can be written, or the parts of one cut short.

    Parameters
    ----------
    path : .npz, .csv, .h5 or .hdf5, or the folder ``….part`` that a killed run has left.

    Raises
    ------
    RecordError
        if there is no such record, or it is damaged, foreign or of an unknown version.
    """
    path = Path(path)
    if not path.is_dir():
        check_extension(path)
        if not path.is_file():
            part = path.with_name(path.name + PART)
            hint = f"; a run that was cut short has left {part}: give that" * part.is_dir()
            raise RecordError(f"{path}: there is no such record{hint}")
    try:
        text, columns = read_columns(path)
        meta = json.loads(text)
        if meta.get("format") != FORMAT:
            raise RecordError(
                f"{path}: is a record of format {meta.get('format')!r}; this ab_ros reads {FORMAT}"
            )
        return _record(meta, columns)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RecordError(f"{path}: is not a record, or it is damaged: {error!r}") from None


FORMAT = 1
"""Version of what a record holds, whatever the file's format."""


def weight_key(index: int) -> str:
    """Return what the columns of a record's index-th projection begin with."""
    return f"weights/{index}"


def _record(meta: dict[str, Any], columns: Mapping[str, NDArray[Any]]) -> Record:
    spikes = Spikes(columns["spikes/tick"], columns["spikes/neuron"])
    potentials = None
    if "potentials/value" in columns:
        names = ("neuron", "tick", "value")
        potentials = Potentials(*(columns[f"potentials/{name}"] for name in names))
    weights = {
        projection: Weights(
            *(columns[f"{weight_key(k)}/{name}"] for name in ("pre", "post", "tick", "value"))
        )
        for k, projection in enumerate(meta["projections"])
    }
    for array in columns.values():
        array.flags.writeable = False
    return Record(
        spikes,
        potentials,
        weights,
        RecordMeta(
            brain=str(meta["brain"]),
            seed=int(meta["seed"]),
            dt=float(meta["dt"]),
            neurons=int(meta["neurons"]),
            first_tick=int(meta["first_tick"]),
            ticks=int(meta["ticks"]),
            recorded=indices_of(meta["recorded"]),
            groups={name: indices_of(runs) for name, runs in meta["groups"].items()},
            versions=meta["versions"],
            complete=bool(meta["complete"]),
        ),
    )
