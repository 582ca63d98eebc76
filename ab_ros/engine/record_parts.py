"""The parts of a record while its run goes on: files that are only appended to.

A record is a text (JSON, what is in it) and columns by name, such as ``spikes/tick``; columns of
one table, ``spikes``, have as many rows.  Each column is a file of little-endian numbers, and
``marks`` lists how far all of them have come: what a kill leaves behind the last mark is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import RecordError

PART = ".part"
_META, _MARKS = "meta.json", "marks"
_BLOCK_BYTES = 1 << 20

Runs = list[list[int]]
Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""{column: its type, as NumPy writes it, and the form of a row}."""


@dataclass(frozen=True)
class Column:
    """One column: ``rows`` rows of ``shape``, as a file of little-endian numbers."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    rows: int
    file: Path

    @property
    def values_per_row(self) -> int:
        """How many numbers a row has."""
        return math.prod(self.shape)

    def read(self) -> NDArray[Any]:
        """Return the whole column, [rows, *shape]."""
        values = np.fromfile(self.file, self.dtype, self.rows * self.values_per_row)
        return values.reshape(self.rows, *self.shape)

    def blocks(self, rows: int | None = None) -> Iterator[NDArray[Any]]:
        """Yield the column in pieces, of so many rows or of about a megabyte."""
        size = max(self.values_per_row * np.dtype(self.dtype).itemsize, 1)
        rows = rows or max(1, _BLOCK_BYTES // size)
        with open(self.file, "rb") as file:
            for first in range(0, self.rows, rows):
                count = min(rows, self.rows - first)
                values = np.fromfile(file, self.dtype, count * self.values_per_row)
                yield values.reshape(count, *self.shape)


class PartsWriter:
    """Writes the parts of a record.

    Parameters
    ----------
    folder : must not exist yet.
    meta : what is in the record; can be written as JSON.
    fixed : columns that are known at the start, of integers.
    growing : the layout of those that grow; columns of one table follow each other.

    Raises
    ------
    RecordError
        if the folder exists, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        meta: Mapping[str, Any],
        fixed: Mapping[str, NDArray[np.integer[Any]]],
        growing: Layout,
    ) -> None:
        self.folder = folder
        tables = list(dict.fromkeys(_table(key) for key in growing))
        columns: list[dict[str, Any]] = [
            {"key": key, "dtype": "<i4", "shape": [], "table": None, "rows": values.size}
            for key, values in fixed.items()
        ] + [
            {"key": key, "dtype": dtype, "shape": list(shape), "table": _table(key)}
            for key, (dtype, shape) in growing.items()
        ]
        self._types = {key: dtype for key, (dtype, _) in growing.items()}
        self._rows = dict.fromkeys(tables, 0)
        self._files: dict[str, BinaryIO] = {}
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                raise RecordError(
                    f"{folder}: another run writes here, or was cut short here: 'ab_ros plot' draws"
                    f" what it left; remove it to record anew"
                )
            folder.mkdir()
            for key, values in fixed.items():
                values.astype("<i4").tofile(_file(folder, key))
            for key in growing:
                self._files[key] = open(_file(folder, key), "wb")  # noqa: SIM115
            self._marks = open(folder / _MARKS, "wb")  # noqa: SIM115
            text = json.dumps({**meta, "tables": tables, "columns": columns})
            (folder / _META).write_text(text, encoding="utf-8")
        except OSError as error:
            for file in self._files.values():
                file.close()
            raise RecordError(f"{folder}: cannot be written: {error}") from None

    def append(self, table: str, rows: int, **columns: NDArray[Any]) -> None:
        """Append rows to all columns of a table."""
        for name, values in columns.items():
            key = f"{table}/{name}"
            self._files[key].write(np.ascontiguousarray(values, self._types[key]).data)
        self._rows[table] += rows

    def mark(self, ticks: int) -> None:
        """Let all parts reach the system, then say how far they have come."""
        for file in self._files.values():
            file.flush()
        self._marks.write(np.array([ticks, *self._rows.values()], "<i8").data)
        self._marks.flush()

    def close(self) -> None:
        """Close the files."""
        for file in (*self._files.values(), self._marks):
            file.close()


def read_parts(folder: Path) -> tuple[dict[str, Any], list[Column]]:
    """Read what the parts in ``folder`` hold, as far as the last mark.

    Raises
    ------
    RecordError
        if these are no parts of a record.
    """
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        tables = meta["tables"]
        marks = np.fromfile(folder / _MARKS, "<i8")
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(f"{folder}: does not hold the parts of a record: {error}") from None
    width = 1 + len(tables)
    last = marks[: marks.size // width * width].reshape(-1, width)[-1:].ravel().tolist()
    ticks, *lengths = last or [0] * width
    rows = dict(zip(tables, lengths, strict=True))
    columns = [
        Column(
            item["key"],
            item["dtype"],
            tuple(item["shape"]),
            rows[item["table"]] if item["table"] else item["rows"],
            _file(folder, item["key"]),
        )
        for item in meta["columns"]
    ]
    return {**meta, "ticks": ticks, "rows": {c.key: c.rows for c in columns}}, columns


def runs_of(indices: NDArray[np.integer[Any]]) -> Runs:
    """Return indices as runs [start, stop), in their order."""
    if not indices.size:
        return []
    cuts = np.flatnonzero(np.diff(indices) != 1) + 1
    starts = np.concatenate(((0,), cuts))
    stops = np.concatenate((cuts, (indices.size,))) - 1
    pairs = zip(indices[starts].tolist(), (indices[stops] + 1).tolist(), strict=True)
    return [list(pair) for pair in pairs]


def indices_of(runs: Runs) -> NDArray[np.int32]:
    """Return the indices of runs, int32."""
    parts = [np.arange(start, stop, dtype=np.int32) for start, stop in runs]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _table(key: str) -> str:
    return key.rpartition("/")[0]


def _file(folder: Path, key: str) -> Path:
    return folder / (key.replace("/", ".") + ".bin")
