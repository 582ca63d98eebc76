"""Records of episodes: a line for each step, as JSON or CSV, of one set of keys per file.

A line is written at once, so that a program that is killed loses at most the one in hand.  JSON
files have an object per line and ``null`` where a value is missing or not finite; CSV files have a
head, and empty cells there.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ab_ros.errors import RecordError, one_of, shown

FORMATS = ("json", "csv")


def record_format(path: str | Path) -> str:
    """Return ``json`` or ``csv``, as the extension says.

    Raises
    ------
    RecordError
        for any other.
    """
    suffix = Path(path).suffix
    if suffix[1:] not in FORMATS:
        what = f"the extension {suffix!r}" if suffix else "no extension"
        raise RecordError(
            f"record file {str(path)!r}: has {what}; {one_of('.' + f for f in FORMATS)}"
        )
    return suffix[1:]


class RecordWriter:
    """Writes lines of one set of keys to one file.

    A file that exists already is gone on with if it has the same keys; half a line at its end, from
    a program that was killed, is removed first.

    Parameters
    ----------
    path : of the file, .json or .csv.
    keys : of all lines, in their order.
    position : bytes of an existing file after which lines are removed: what they tell of will
        happen again.

    Raises
    ------
    RecordError
        for another extension, or a file that has other keys or cannot be written.
    """

    def __init__(self, path: str | Path, keys: Sequence[str], position: int | None = None) -> None:
        self.path = Path(path)
        self.format = record_format(path)
        self.keys = tuple(dict.fromkeys(keys))
        self._known = frozenset(self.keys)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = self._agreed_size()
            size = size if position is None else min(size, position)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.ftruncate(self._file, size)
            if self.format == "csv" and not size:
                self._put(_csv_row(self.keys))
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be written: {error.strerror}") from None

    def write(self, values: Mapping[str, Any]) -> None:
        """Write a line; keys that the file does not have are left out.

        Raises
        ------
        RecordError
            if a value is nothing that JSON knows, or the file cannot be written.
        """
        try:
            row = [_plain(values.get(key)) for key in self.keys]
        except TypeError as error:
            bad = next(k for k in self.keys if not _is_plain(values.get(k)))
            raise RecordError(
                f"{self.path}: value of {bad!r} cannot be recorded: {error}"
            ) from None
        if self.format == "json":
            text = json.dumps(dict(zip(self.keys, row, strict=True)), allow_nan=False) + "\n"
        else:
            text = _csv_row([_cell(value) for value in row])
        try:
            self._put(text)
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be written: {error.strerror}") from None

    def position(self) -> int:
        """Bring all lines to the disk, and return how many bytes there are."""
        os.fsync(self._file)
        return os.fstat(self._file).st_size

    def close(self) -> None:
        """Close the file; it may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        written = os.write(self._file, data)
        while written < len(data):  # A disk that is almost full takes a part.
            written += os.write(self._file, data[written:])

    def _agreed_size(self) -> int:
        """Return the size of what is there already, without half a line; 0 of a new file."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        size, rows, keys = _whole(data, self.format)
        if rows and tuple(keys) != self.keys:
            raise RecordError(
                f"{self.path}: has other keys ({', '.join(keys)}) than this record"
                f" ({', '.join(self.keys)}); choose another file, or remove this one"
            )
        return size


def read_record(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a record; half a line at the end is left out.

    CSV tells no types: all its values are text.

    Raises
    ------
    RecordError
        if the file cannot be read, or a line in it is damaged.
    """
    path = Path(path)
    kind = record_format(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    size, _, keys = _whole(data, kind)
    text = data[:size].decode("utf-8")
    if kind == "csv":
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]
        for number, row in enumerate(rows, 2):
            if len(row) != len(keys):
                raise RecordError(f"{path}: row {number} has {len(row)} cells, not {len(keys)}")
        return [dict(zip(keys, row, strict=True)) for row in rows]
    try:
        return [json.loads(line) for line in text.split("\n")[:-1]]
    except ValueError as error:
        raise RecordError(f"{path}: is damaged: {error}") from None


def whole_size(path: str | Path) -> int:
    """Return how many bytes the whole lines of a record are; 0 of a file that is not there.

    Raises
    ------
    RecordError
        if the file cannot be read.
    """
    try:
        return _whole(Path(path).read_bytes(), record_format(path))[0]
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None


def _whole(data: bytes, kind: str) -> tuple[int, int, list[str]]:
    """Return the size of the whole lines of a record, how many there are, and their keys."""
    size = data.rfind(b"\n") + 1
    if kind == "json":
        first = data[: data.find(b"\n") + 1]
        try:
            keys = list(json.loads(first)) if first else []
        except ValueError:
            keys = ["(no JSON)"]
        return size, data.count(b"\n", 0, size), keys
    # A quoted cell may hold line breaks: then the last one does not end a row.
    while size:
        try:
            rows = list(
                csv.reader(io.StringIO(data[:size].decode("utf-8"), newline=""), strict=True)
            )
        except (csv.Error, UnicodeDecodeError):
            size = data.rfind(b"\n", 0, size - 1) + 1
            continue
        return size, len(rows), rows[0] if rows else []
    return 0, 0, []


def _csv_row(cells: Sequence[str]) -> str:
    # The csv module would leave a carriage return unquoted, at which readers end a row.
    quoted = [
        '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell
        for cell in cells
    ]
    return (",".join(quoted) if len(cells) > 1 or quoted[0] else '""') + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # CSV has no escape of its own for characters that end a line in some readers.
        return value.replace("\x00", "")
    return json.dumps(value, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, without what is not finite."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"{shown(value)} is no number, text, list or dictionary")


def _is_plain(value: Any) -> bool:
    try:
        _plain(value)
    except TypeError:
        return False
    return True
