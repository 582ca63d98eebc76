"""The brain file: an SQLite database of named texts and arrays, written atomically.

All arrays lie end to end, in the order in which they were given, each on a multiple of 64 bytes.
This stream is stored in chunks of 8 MB, and ``directory`` says which texts there are, and where in
the stream each array lies.  Texts, directory and chunks have checksums (CRC-32).

Files of older versions are read still: version 2 did not list its texts, version 1 had every array
in a row of its own, in NumPy's format.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import BrainFileError, one_of

APPLICATION_ID = 0x61625253  # "abRS"
SCHEMA_VERSION = 3
READABLE = (1, 2, 3)
_ALIGNMENT = 64
_CHUNK = 8 * 2**20  # a multiple of the alignment

_SCHEMA = """
CREATE TABLE text (name TEXT PRIMARY KEY, crc INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE directory (bytes INTEGER NOT NULL, crc INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE chunk (number INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL);
"""
# The file is new and nobody else's: what protects against half a write is the rename at the end.
_FAST = (
    "PRAGMA page_size=65536; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
    " PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=64;"
)

Texts = dict[str, str]
Arrays = dict[str, NDArray[Any]]


def write_brain_file(
    path: Path, texts: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a brain file: to a temporary file, fsync, rename; a kill leaves the old or the new one.

    Parameters
    ----------
    arrays : of numbers, truth values, fixed-width text, or structures of these.

    Raises
    ------
    BrainFileError
        if the file cannot be written.
    """
    path = Path(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as database:
            database.executescript(
                f"{_FAST} PRAGMA application_id={APPLICATION_ID};"
                f"PRAGMA user_version={SCHEMA_VERSION}; BEGIN; {_SCHEMA}"
            )
            _write(database, texts, arrays)
            database.execute("COMMIT")
        with open(temporary, "rb+") as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise BrainFileError(f"{path}: cannot be written: {error}") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def read_brain_file(path: Path) -> tuple[Texts, Arrays]:
    """Read a brain file of any version; return its texts and arrays, which can be written to.

    Raises
    ------
    BrainFileError
        if the file is missing, truncated, damaged, of another program or of an unknown version.
    """
    path = Path(path)
    if path.is_dir():
        raise BrainFileError(f"{path}: is a folder; give the path of a brain file in it")
    if not path.is_file():
        raise BrainFileError(f"{path}: there is no such brain file")
    if not path.stat().st_size:
        raise BrainFileError(f"{path}: is empty")
    try:
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            application = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            page_size = database.execute("PRAGMA page_size").fetchone()[0]
            if path.stat().st_size < pages * page_size:
                raise BrainFileError(
                    f"{path}: is truncated: has {path.stat().st_size} of {pages * page_size} bytes"
                )
            if application != APPLICATION_ID:
                raise BrainFileError(f"{path}: is a database, but not a brain file of ab_ros")
            if version not in READABLE:
                newer = "; a newer ab_ros wrote it" if version > SCHEMA_VERSION else ""
                raise BrainFileError(
                    f"{path}: has schema version {version}, this ab_ros reads"
                    f" {one_of(READABLE)}{newer}"
                )
            read = {1: _read_1, 2: _read_2, 3: _read_3}[version]
            return read(database, path)
    except (
        sqlite3.Error,
        AttributeError,
        ValueError,
        TypeError,
        KeyError,
        OSError,
        EOFError,
    ) as error:
        raise BrainFileError(f"{path}: is not a readable brain file: {error}") from error


def _write(
    database: sqlite3.Connection, texts: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]
) -> None:
    database.executemany(
        "INSERT INTO text VALUES (?, ?, ?)",
        ((name, _crc(name, text), text) for name, text in texts.items()),
    )
    directory, start = [], 0
    plain = {name: _plain(array) for name, array in arrays.items()}
    for name, array in plain.items():
        start += -start % _ALIGNMENT
        form = np.lib.format.dtype_to_descr(array.dtype)
        directory.append([name, form, list(array.shape), start])
        start += array.nbytes
    listed = json.dumps({"texts": list(texts), "arrays": directory})
    database.execute(
        "INSERT INTO directory VALUES (?, ?, ?)", (start, zlib.crc32(listed.encode()), listed)
    )
    database.executemany(
        "INSERT INTO chunk VALUES (?, ?, ?)",
        ((number, zlib.crc32(data), data) for number, data in enumerate(_chunks(plain, start))),
    )


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as it lies in the file: contiguous and little-endian."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise BrainFileError(f"a brain file holds no {array.dtype} arrays")
    # Not ascontiguousarray, which makes arrays of no dimension ones of one.
    return np.require(array, array.dtype.newbyteorder("<"), "C")


def _chunks(arrays: Mapping[str, NDArray[Any]], size: int) -> Iterator[memoryview]:
    """Yield the stream in chunks; each is valid until the next is asked for."""
    buffer = bytearray(min(_CHUNK, size))
    view = memoryview(buffer)
    filled = 0
    for array in arrays.values():
        gap = np.zeros(-filled % _ALIGNMENT, np.uint8)
        for part in (gap.data, array.reshape(-1).view(np.uint8).data):
            taken = 0
            while taken < len(part):
                some = min(len(part) - taken, len(buffer) - filled)
                view[filled : filled + some] = part[taken : taken + some]
                taken, filled = taken + some, filled + some
                if filled == len(buffer):
                    yield view
                    filled = 0
    if filled:
        yield view[:filled]


def _read_3(database: sqlite3.Connection, path: Path) -> tuple[Texts, Arrays]:
    texts = _read_texts(database, path)
    size, content = _read_directory(database, path, "content")
    listed, found = content["texts"], list(texts)
    if sorted(listed) != sorted(found):
        lost = ", ".join(map(repr, set(listed) - set(found))) or "none"
        raise BrainFileError(f"{path}: the texts are damaged (of those listed, it lacks {lost})")
    return texts, _read_arrays(database, path, size, content["arrays"])


def _read_2(database: sqlite3.Connection, path: Path) -> tuple[Texts, Arrays]:
    size, directory = _read_directory(database, path, "arrays")
    return _read_texts(database, path), _read_arrays(database, path, size, directory)


def _read_texts(database: sqlite3.Connection, path: Path) -> Texts:
    texts = {}
    for name, crc, text in database.execute("SELECT name, crc, value FROM text"):
        if _crc(name, text) != crc:
            raise BrainFileError(f"{path}: text {name!r} is damaged (checksum differs)")
        texts[name] = text
    return texts


def _read_directory(database: sqlite3.Connection, path: Path, column: str) -> tuple[int, Any]:
    row = database.execute(f"SELECT bytes, crc, {column} FROM directory").fetchone()
    if row is None or zlib.crc32(row[2].encode()) != row[1]:
        raise BrainFileError(f"{path}: the list of arrays is damaged (checksum differs)")
    return row[0], json.loads(row[2])


def _read_arrays(
    database: sqlite3.Connection, path: Path, size: int, directory: list[list[Any]]
) -> Arrays:
    if not 0 <= size <= path.stat().st_size:
        raise BrainFileError(f"{path}: is truncated: its arrays take {size} bytes")
    stream = np.empty(size, np.uint8)
    filled = 0
    for number, crc, data in database.execute(
        "SELECT number, crc, data FROM chunk ORDER BY number"
    ):
        if zlib.crc32(data) != crc:
            held = _held(directory, filled, filled + len(data))
            raise BrainFileError(f"{path}: chunk {number}, {held}, is damaged (checksum differs)")
        if filled + len(data) > size:
            raise BrainFileError(f"{path}: has more than the {size} bytes of its arrays")
        stream[filled : filled + len(data)] = np.frombuffer(data, np.uint8)
        filled += len(data)
    if filled != size:
        raise BrainFileError(
            f"{path}: is truncated: has {filled} of the {size} bytes of its arrays"
        )
    return {
        name: _array(stream, _dtype(form), shape, start) for name, form, shape, start in directory
    }


def _crc(name: str, text: str) -> int:
    return zlib.crc32(text.encode(), zlib.crc32(name.encode()))


def _held(directory: list[list[Any]], first: int, stop: int) -> str:
    """Say in words which arrays lie in a part of the stream."""
    starts = [start for _, _, _, start in directory]
    ends = [*starts[1:], stop]
    names = [
        repr(name)
        for (name, *_), start, end in zip(directory, starts, ends, strict=True)
        if start < stop and end > first
    ]
    if len(names) > 3:
        names = [names[0], f"{len(names) - 2} more", names[-1]]
    return f"which holds {', '.join(names) or 'nothing'}"


def _array(stream: NDArray[np.uint8], dtype: Any, shape: list[int], start: int) -> NDArray[Any]:
    array: NDArray[Any] = np.ndarray(shape, dtype, stream.data, start)
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))


def _dtype(form: Any) -> np.dtype[Any]:
    """Return the dtype of what JSON has made of its description."""
    if isinstance(form, list):
        form = [(name, _dtype(each), *map(tuple, shape)) for name, each, *shape in form]
    return np.dtype(form)


def _read_1(database: sqlite3.Connection, path: Path) -> tuple[Texts, Arrays]:
    texts = dict(database.execute("SELECT name, value FROM text"))
    arrays = {}
    for name, crc, data in database.execute("SELECT name, crc, data FROM array"):
        if zlib.crc32(data) != crc:
            raise BrainFileError(f"{path}: array {name!r} is damaged (checksum differs)")
        arrays[name] = np.load(io.BytesIO(data), allow_pickle=False)
    return texts, arrays


def _umask() -> int:
    # A temporary file is private; the brain file shall be as any other file of the user's.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
