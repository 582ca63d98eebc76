"""Experiments and snapshots as files of protocol buffers; ``records.proto`` describes them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.atomic import replaced
from ab_ros.errors import RecordError, shown
from ab_ros.layered.messages import message_class
from ab_ros.layered.source import LARGEST

VERSION = 1
LARGEST_FILE = 2**30
"""Bytes of a file that is read or written; protocol buffers themselves end at 2 GiB."""


@dataclass(frozen=True)
class Subject:
    """A brain of an experiment.

    Parameters
    ----------
    definition : JSON text; empty if it has none.
    seed : of its noise.
    seconds : wall-clock time that its ticks took.
    series : values of each metric, float64[ticks], by name.
    """

    definition: str = ""
    seed: int = 0
    seconds: float = 0.0
    series: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """What metrics have measured of several brains that were shown the same values.

    Parameters
    ----------
    name : of the experiment.
    ticks : that every brain has run.
    subjects : by name.
    time : when it ended, s since 1970; 0 if nobody said.
    """

    name: str
    ticks: int
    subjects: Mapping[str, Subject]
    time: float = 0.0

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in order."""
        return tuple(dict.fromkeys(m for s in self.subjects.values() for m in s.series))

    def save(self, path: Path) -> None:
        """Write the experiment to a file, atomically.

        Raises
        ------
        RecordError
            if it cannot be written, or is larger than :data:`LARGEST_FILE`.
        """
        message = message_class("Experiment")(name=self.name, time=self.time, ticks=self.ticks)
        for name, subject in self.subjects.items():
            entry = message.subjects.add(
                name=name,
                definition=subject.definition,
                seed=subject.seed,
                seconds=subject.seconds,
            )
            for metric, values in subject.series.items():
                entry.series.add(metric=metric).values.extend(values.tolist())
        _write(Path(path), "experiment", message)

    @classmethod
    def load(cls, path: Path) -> Experiment:
        """Read an experiment.

        Raises
        ------
        RecordError
            if the file is missing, damaged, too large, or holds something else.
        """
        path = Path(path)
        message = _read(path, "experiment", "Experiment")
        subjects: dict[str, Subject] = {}
        for entry in message.subjects:
            series = {each.metric: np.array(each.values, np.float64) for each in entry.series}
            wrong = [name for name, values in series.items() if values.size != message.ticks]
            if entry.name in subjects or wrong or len(series) < len(entry.series):
                what = f"{wrong[0]!r} has not {message.ticks} values" if wrong else "a name twice"
                raise RecordError(f"{path}: does not fit together: {entry.name!r}: {what}")
            subjects[entry.name] = Subject(entry.definition, entry.seed, entry.seconds, series)
        return cls(message.name, message.ticks, subjects, message.time)


@dataclass(frozen=True)
class GroupState:
    """A group in a snapshot.

    Parameters
    ----------
    active : which neurons are, bool in the group's shape.
    weights : of the inputs by name, float32[source, neurons].
    """

    active: NDArray[np.bool_]
    weights: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Snapshot:
    """A layered brain between two ticks.

    Parameters
    ----------
    definition : JSON text.
    seed : of its noise.
    tick : ticks since the last reset.
    dt : s, duration of a tick.
    groups : by name.
    """

    definition: str
    seed: int
    tick: int
    dt: float
    groups: Mapping[str, GroupState]

    def save(self, path: Path) -> None:
        """Write the snapshot to a file, atomically.

        Raises
        ------
        RecordError
            if it cannot be written, or is larger than :data:`LARGEST_FILE`.
        """
        message = message_class("Snapshot")(
            definition=self.definition, seed=self.seed, tick=self.tick, dt=self.dt
        )
        for name, group in self.groups.items():
            entry = message.groups.add(name=name, shape=group.active.shape)
            entry.active = np.packbits(group.active.reshape(-1), bitorder="little").tobytes()
            for each, weights in group.weights.items():
                rows, columns = weights.shape
                data = weights.astype("<f4", copy=False).tobytes()
                entry.connections.add(input=each, rows=rows, columns=columns, weights=data)
        _write(Path(path), "snapshot", message)

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read a snapshot.

        Raises
        ------
        RecordError
            if the file is missing, damaged, too large, or holds something else.
        """
        path = Path(path)
        message = _read(path, "snapshot", "Snapshot")
        groups: dict[str, GroupState] = {}
        for entry in message.groups:
            where = f"{path}: group {entry.name!r}"
            # As Python's numbers, whose product does not run over.
            size = int(np.prod([1, *map(int, entry.shape)], dtype=object))
            if entry.name in groups or not 0 < size <= LARGEST:
                raise RecordError(f"{where}: does not fit together (shape {list(entry.shape)})")
            if len(entry.active) != -(-size // 8):
                raise RecordError(
                    f"{where}: {size} neurons need {-(-size // 8)} bytes, not {len(entry.active)}"
                )
            packed = np.frombuffer(entry.active, np.uint8)
            active = np.unpackbits(packed, count=size, bitorder="little").astype(np.bool_)
            weights = {}
            for each in entry.connections:
                if each.columns != size or len(each.weights) != 4 * each.rows * each.columns:
                    raise RecordError(
                        f"{where}: input {each.input!r}: {each.rows} x {each.columns} weights do"
                        f" not fit {size} neurons and {len(each.weights)} bytes"
                    )
                values = np.frombuffer(each.weights, "<f4").astype(np.float32)
                if not ((values >= 0) & (values <= 1)).all():
                    raise RecordError(f"{where}: input {each.input!r}: must be within [0, 1]")
                weights[each.input] = values.reshape(each.rows, each.columns)
            groups[entry.name] = GroupState(active.reshape(tuple(entry.shape)), weights)
        return cls(message.definition, message.seed, message.tick, message.dt, groups)


def _write(path: Path, kind: str, message: Any) -> None:
    content = message.SerializeToString(deterministic=True)
    if len(content) > LARGEST_FILE:
        raise RecordError(
            f"{path}: the {kind} has {len(content)} bytes; at most {LARGEST_FILE} can be written"
        )
    file = message_class("File")(
        kind=kind, version=VERSION, checksum=zlib.crc32(content), content=content
    )
    try:
        with replaced(path) as temporary:
            temporary.write_bytes(file.SerializeToString(deterministic=True))
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror}") from None


def _read(path: Path, kind: str, name: str) -> Any:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE + 2**10:
            raise RecordError(f"{path}: has {size} bytes; at most {LARGEST_FILE} are read")
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    file = _parsed(message_class("File"), data, f"{path}: is no file of layered brains, or damaged")
    if file.kind not in ("experiment", "snapshot"):
        raise RecordError(f"{path}: is no file of layered brains (kind {shown(file.kind)})")
    if file.version > VERSION:
        raise RecordError(
            f"{path}: has version {file.version}, this ab_ros reads {VERSION}; a newer one wrote it"
        )
    if file.kind != kind:
        raise RecordError(f"{path}: holds the {file.kind} of a layered brain, not the {kind}")
    if zlib.crc32(file.content) != file.checksum:
        raise RecordError(f"{path}: is damaged (checksum differs)")
    return _parsed(message_class(name), file.content, f"{path}: is damaged")


def _parsed(message_type: Any, data: bytes, trouble: str) -> Any:
    from google.protobuf.message import DecodeError

    message = message_type()
    try:
        message.ParseFromString(data)
    # Which of them it is depends on the library's version and implementation.
    except (DecodeError, UnicodeDecodeError, RuntimeWarning, ValueError) as error:
        raise RecordError(f"{trouble}: {error}") from None
    return message
