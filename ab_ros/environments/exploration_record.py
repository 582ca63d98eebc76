"""What an exploration has shown, and its file: NPZ, which keeps everything, or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.atomic import replaced
from ab_ros.environments.channels import Channel, Signal, names_of
from ab_ros.environments.environment import Feedback
from ab_ros.errors import ChannelError, ConfigError, RecordError

SUFFIXES = (".npz", ".csv")
_FORM = "ab_ros exploration 1"
_GROUPS = ("motor", "sensed", "goal")


class Exploration:
    """Motor signals and what came of them, in order.

    Attributes
    ----------
    m_channels, s_channels : of the environment.
    count : how many motor signals were executed.
    refused : how many were not.
    uuids : of the feedbacks.
    """

    def __init__(
        self, m_channels: Sequence[Channel], s_channels: Sequence[Channel], room: int
    ) -> None:
        self.m_channels, self.s_channels = tuple(m_channels), tuple(s_channels)
        names_of(self.m_channels, "motor channels")
        names_of(self.s_channels, "sensory channels")
        self.count = self.refused = 0
        self.uuids: list[UUID] = []
        self._tables = [
            np.empty((room, len(channels)))
            for channels in (self.m_channels, self.s_channels, self.s_channels)
        ]

    @classmethod
    def empty(
        cls, m_channels: Sequence[Channel], s_channels: Sequence[Channel], room: int
    ) -> Exploration:
        """Return one with room for some motor signals."""
        return cls(m_channels, s_channels, room)

    def add(self, feedback: Feedback, goal: Signal | None = None) -> None:
        """Add what came of a motor signal, and the goal that it was for."""
        motor, sensed, goals = self._tables
        motor[self.count] = [feedback["m_signal"][c.name] for c in self.m_channels]
        sensed[self.count] = [feedback["s_signal"][c.name] for c in self.s_channels]
        goals[self.count] = [(goal or {}).get(c.name, math.nan) for c in self.s_channels]
        self.uuids.append(feedback["uuid"])
        self.count += 1

    @property
    def motor(self) -> NDArray[np.float64]:
        """The motor signals as they were executed, float64[count, M]."""
        return self._tables[0][: self.count]

    @property
    def sensed(self) -> NDArray[np.float64]:
        """The sensory signals, float64[count, S]."""
        return self._tables[1][: self.count]

    @property
    def goals(self) -> NDArray[np.float64]:
        """The goals, float64[count, S]; NaN where there was none."""
        return self._tables[2][: self.count]


def check_path(path: str | Path) -> Path:
    """Return a path; of no form of record, it is refused by a ConfigError."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: must end in {' or '.join(SUFFIXES)}, not {path.suffix!r}")
    return path


def write_exploration(made: Exploration, path: str | Path) -> None:
    """Write an exploration to a file, whole or not at all.

    Raises
    ------
    ConfigError
        if the path ends neither in .npz nor in .csv.
    RecordError
        if it cannot be written.
    """
    path = check_path(path)
    try:
        with replaced(path) as temporary:
            if path.suffix == ".npz":
                _write_npz(made, temporary)
            else:
                temporary.write_text(_csv(made), encoding="utf-8", newline="")
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error}") from None


def _write_npz(made: Exploration, path: Path) -> None:
    channels = {
        kind: [
            {
                "name": c.name,
                # JSON has no infinity: None is none.
                "bounds": [b if math.isfinite(b) else None for b in c.bounds],
                "fixed": c.fixed,
                "unit": c.unit,
            }
            for c in of
        ]
        for kind, of in (("motor", made.m_channels), ("sensed", made.s_channels))
    }
    about = {"form": _FORM, "refused": made.refused, "channels": channels}
    uuids = np.frombuffer(b"".join(u.bytes for u in made.uuids), np.uint8).reshape(-1, 16)
    with open(path, "wb") as file:
        np.savez_compressed(
            file,
            about=np.array(json.dumps(about)),
            motor=made.motor,
            sensed=made.sensed,
            goal=made.goals,
            uuid=uuids,
        )


def _csv(made: Exploration) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    of = (made.m_channels, made.s_channels, made.s_channels)
    names = [f"{g}.{c.name}" for g, channels in zip(_GROUPS, of, strict=True) for c in channels]
    rows.writerow(["uuid", *names])
    table = np.hstack((made.motor, made.sensed, made.goals)).tolist()
    for uuid, values in zip(made.uuids, table, strict=True):
        rows.writerow([uuid, *("" if math.isnan(value) else repr(value) for value in values)])
    return text.getvalue()


def read_exploration(path: str | Path) -> Exploration:
    """Read what :func:`write_exploration` has written.

    Channels that come from CSV have neither bounds nor units.

    Raises
    ------
    ConfigError
        if the path ends neither in .npz nor in .csv.
    RecordError
        if it cannot be read, or is something else.
    """
    path = check_path(path)
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_csv(path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error}") from None
    except (
        ChannelError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise RecordError(f"{path}: is no exploration of ab_ros: {error}") from None


def _read_npz(path: Path) -> Exploration:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        if about["form"] != _FORM:
            raise ValueError(f"its form is {about['form']!r}, not {_FORM!r}")
        channels = [
            [_channel(item) for item in about["channels"][kind]] for kind in ("motor", "sensed")
        ]
        tables = [file[name].astype(np.float64) for name in _GROUPS]
        uuids = [UUID(bytes=row.tobytes()) for row in file["uuid"]]
    return _made(channels[0], channels[1], tables, uuids, int(about["refused"]))


def _channel(item: dict[str, Any]) -> Channel:
    low, high = item["bounds"]
    bounds = (-math.inf if low is None else low, math.inf if high is None else high)
    return Channel(item["name"], bounds, item["fixed"], item["unit"])


def _read_csv(path: Path) -> Exploration:
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        head = next(rows, [])
        if head[:1] != ["uuid"]:
            raise ValueError("its first column is not 'uuid'")
        named = [tuple(name.split(".", 1)) for name in head[1:]]
        found = list(rows)
    table = np.array(
        [[float(cell) if cell else math.nan for cell in row[1:]] for row in found], np.float64
    ).reshape(len(found), len(named))
    by = {kind: [k for k, pair in enumerate(named) if pair[0] == kind] for kind in _GROUPS}
    if sum(map(len, by.values())) != len(named) or len(by["sensed"]) != len(by["goal"]):
        raise ValueError("its columns are not motor.…, sensed.… and goal.…")
    channels = [[Channel(named[k][1]) for k in by[kind]] for kind in _GROUPS]
    uuids = [UUID(row[0]) for row in found]
    return _made(channels[0], channels[1], [table[:, by[kind]] for kind in _GROUPS], uuids, 0)


def _made(
    m_channels: list[Channel],
    s_channels: list[Channel],
    tables: list[NDArray[np.float64]],
    uuids: list[UUID],
    refused: int,
) -> Exploration:
    made = Exploration(m_channels, s_channels, 0)
    for own, table in zip(made._tables, tables, strict=True):
        if table.shape != (len(uuids), own.shape[1]):
            raise ValueError(f"a table of {[*table.shape]} stands for {len(uuids)} motor signals")
    made._tables, made.uuids = tables, uuids
    made.count, made.refused = len(uuids), refused
    return made
