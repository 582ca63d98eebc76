"""The brain file: an SQLite database of named arrays and texts, written atomically."""

from __future__ import annotations

import io
import os
import sqlite3
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import BrainFileError

APPLICATION_ID = 0x61625253  # "abRS"
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE text (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE array (name TEXT PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL);
"""


def write_brain_file(
    path: Path, texts: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a brain file: to a temporary file, fsync, rename; a kill leaves the old or the new one.

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
        with closing(sqlite3.connect(temporary)) as database:
            database.executescript(
                f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"
                + _SCHEMA
            )
            database.executemany("INSERT INTO text VALUES (?, ?)", texts.items())
            for name, array in arrays.items():
                data = _pack(array)
                database.execute(
                    "INSERT INTO array VALUES (?, ?, ?)", (name, zlib.crc32(data), data)
                )
            database.commit()
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


def read_brain_file(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Read a brain file; return its texts and arrays.

    Raises
    ------
    BrainFileError
        if the file is missing, truncated, damaged, of another program or of an unknown version.
    """
    path = Path(path)
    if not path.is_file():
        raise BrainFileError(f"{path}: there is no such brain file")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            application = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if application != APPLICATION_ID:
                raise BrainFileError(f"{path}: is a database, but not a brain file of ab_ros")
            if version != SCHEMA_VERSION:
                raise BrainFileError(
                    f"{path}: has schema version {version}; this ab_ros reads {SCHEMA_VERSION}"
                )
            texts = dict(database.execute("SELECT name, value FROM text"))
            arrays = {}
            for name, crc, data in database.execute("SELECT name, crc, data FROM array"):
                if zlib.crc32(data) != crc:
                    raise BrainFileError(f"{path}: array {name!r} is damaged (checksum differs)")
                arrays[name] = np.load(io.BytesIO(data), allow_pickle=False)
    except (sqlite3.Error, ValueError, OSError, EOFError) as error:
        raise BrainFileError(f"{path}: is not a readable brain file: {error}") from error
    return texts, arrays


def _pack(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


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
