"""The files of a record, merged piece by piece from the parts that a run has left.

The formats are ``.npz`` (NumPy's own), ``.csv`` (a line per spike and sample, for small records
and other programs) and ``.h5``/``.hdf5`` (compressed, and read in part by MATLAB, Julia and R).
HDF5 and not Parquet: a record is several arrays of different lengths, some of them
two-dimensional, and not one table.
"""

from __future__ import annotations

import csv
import json
import math
import time
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.atomic import replaced
from ab_ros.engine.record_parts import Column, indices_of, read_parts
from ab_ros.errors import RecordError, one_of

EXTENSIONS = (".npz", ".csv", ".h5", ".hdf5")
_CSV_HEAD = ("kind", "tick", "neuron", "target", "projection", "value")

Columns = dict[str, NDArray[Any]]


def check_extension(path: Path) -> None:
    """Refuse a file that a record cannot be written to, before a run begins.

    Raises
    ------
    RecordError
        for an unknown extension, or if h5py is missing.
    """
    if path.suffix not in EXTENSIONS:
        raise RecordError(
            f"{path}: a record cannot have the extension {path.suffix!r}; {one_of(EXTENSIONS)}"
        )
    if path.suffix in (".h5", ".hdf5"):
        _h5py(path)


def merge_parts(folder: Path, path: Path, complete: bool = True) -> None:
    """Merge parts into one file, which appears as a whole or not at all.

    Raises
    ------
    RecordError
        if they cannot be read, or the file cannot be written; the parts stay in any case.
    """
    check_extension(path)
    meta, columns = read_parts(folder)
    text = json.dumps({**meta, "complete": complete})
    write = {".npz": _write_npz, ".csv": _write_csv}.get(path.suffix, _write_hdf5)
    try:
        with replaced(path) as temporary:
            write(temporary, text, columns)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path}: the record cannot be written: {error}; its parts are in {folder}"
        ) from None


def read_columns(path: Path) -> tuple[str, Columns]:
    """Return the text and the columns of a record's file, or of a folder of parts.

    Raises
    ------
    RecordError
        if it is damaged.
    """
    try:
        if path.is_dir():
            meta, parts = read_parts(path)
            return json.dumps({**meta, "complete": False}), {c.key: c.read() for c in parts}
        read = {".npz": _read_npz, ".csv": _read_csv}.get(path.suffix, _read_hdf5)
        text, columns = read(path)
        for key, rows in json.loads(text)["rows"].items():
            if len(columns[key]) != rows:
                raise RecordError(
                    f"{path}: is not whole: {key} has {len(columns[key])} rows of {rows}"
                )
        return text, columns
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        raise RecordError(f"{path}: cannot be read as a record: {error}") from None


def _packs(column: Column) -> bool:
    """Whether a column is worth compressing: potentials hardly shrink, and take long."""
    return column.key != "potentials/value"


# NPZ


def _write_npz(path: Path, text: str, columns: Sequence[Column]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("meta.npy", "w") as member:
            np.lib.format.write_array(member, np.array(text), allow_pickle=False)
        for column in columns:
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(column.dtype)),
                "fortran_order": False,
                "shape": (column.rows, *column.shape),
            }
            name = f"{column.key}.npy"
            # A bare entry is stored as it is; by its name one is packed as the archive is.
            entry = name if _packs(column) else zipfile.ZipInfo(name, time.localtime()[:6])
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for block in column.blocks():
                    member.write(block.tobytes())


def _read_npz(path: Path) -> tuple[str, Columns]:
    with np.load(path, allow_pickle=False) as archive:
        columns = {name: archive[name] for name in archive.files}
    return str(columns.pop("meta")), columns


# HDF5


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise RecordError(
            f"{path}: HDF5 needs h5py, which is not installed: 'pip install h5py' (or"
            f" ab_ros[record]), or record to .npz or .csv"
        ) from None
    return h5py


def _write_hdf5(path: Path, text: str, columns: Sequence[Column]) -> None:
    with _h5py(path).File(path, "w") as file:
        file.create_dataset("meta", data=text)
        for column in columns:
            shape = (column.rows, *column.shape)
            packs = _packs(column) and math.prod(shape) > 0
            packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
            data = file.create_dataset(column.key, shape, column.dtype, **(packed if packs else {}))
            first = 0
            for block in column.blocks():
                data[first : first + len(block)] = block
                first += len(block)


def _read_hdf5(path: Path) -> tuple[str, Columns]:
    columns: Columns = {}
    h5py = _h5py(path)
    with h5py.File(path, "r") as file:

        def collect(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and name != "meta":
                columns[name] = item[()]

        file.visititems(collect)
        return str(file["meta"].asstr()[()]), columns


# CSV


def _write_csv(path: Path, text: str, columns: Sequence[Column]) -> None:
    by_key = {column.key: column for column in columns}
    meta = json.loads(text)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"# {text}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CSV_HEAD)
        spikes = by_key["spikes/tick"].blocks(65536), by_key["spikes/neuron"].blocks(65536)
        for ticks, neurons in zip(*spikes, strict=True):
            pairs = zip(ticks.tolist(), neurons.tolist(), strict=True)
            writer.writerows(("spike", tick, neuron, "", "", "") for tick, neuron in pairs)
        if "potentials/value" in by_key:
            neurons = by_key["potentials/neuron"].read().tolist()
            for tick, values in _samples(by_key, "potentials"):
                writer.writerows(
                    ("potential", tick, neuron, "", "", value)
                    for neuron, value in zip(neurons, values, strict=True)
                )
        for k, projection in enumerate(meta["projections"]):
            pre = by_key[f"weights/{k}/pre"].read().tolist()
            post = by_key[f"weights/{k}/post"].read().tolist()
            for tick, values in _samples(by_key, f"weights/{k}"):
                writer.writerows(
                    ("weight", tick, source, target, projection, value)
                    for source, target, value in zip(pre, post, values, strict=True)
                )


def _samples(columns: Mapping[str, Column], table: str) -> Iterator[tuple[int, list[str]]]:
    """Yield tick and values of each sample; nine digits tell any two float32 apart."""
    ticks = columns[f"{table}/tick"].blocks(1)
    for tick, row in zip(ticks, columns[f"{table}/value"].blocks(1), strict=True):
        yield int(tick[0]), [f"{value:.9g}" for value in row[0].tolist()]


def _read_csv(path: Path) -> tuple[str, Columns]:
    tables: dict[str, tuple[array[int], array[int], array[int], array[float]]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        first = file.readline()
        if not first.startswith("# {"):
            raise RecordError(
                f"{path}: is a CSV file, but not a record: its first line is no '# {{'"
            )
        meta = json.loads(first[2:])
        names = {projection: f"weights/{k}" for k, projection in enumerate(meta["projections"])}
        reader = csv.reader(file)
        if tuple(next(reader, ())) != _CSV_HEAD:
            raise RecordError(f"{path}: its second line must be {','.join(_CSV_HEAD)}")
        for kind, tick, neuron, target, projection, value in reader:
            name = {"spike": "spikes", "potential": "potentials"}.get(kind) or names[projection]
            table = tables.setdefault(name, _empty())
            table[0].append(int(tick))
            table[1].append(int(neuron))
            if target:
                table[2].append(int(target))
            if value:
                table[3].append(float(value))
    columns: Columns = {}
    for name in ("spikes", "potentials", *names.values()):
        ticks, pre, post, values = (np.array(part) for part in tables.get(name, _empty()))
        found: Columns = {"tick": ticks, "neuron": pre, "pre": pre, "post": post, "value": values}
        items = {i["key"].rpartition("/")[2]: i for i in meta["columns"] if _table(i) == name}
        if "value" in items:
            # Every sample repeats whom it is of.
            width = items["value"]["shape"][0]
            found["value"] = values.reshape(-1, width)
            found["tick"] = ticks[::width]
            found.update({key: found[key][:width] for key in ("pre", "post")})
            found["neuron"] = indices_of(meta["potentials"])
        for key, item in items.items():
            columns[item["key"]] = found[key].astype(item["dtype"])
    return json.dumps(meta), columns


def _empty() -> tuple[array[int], array[int], array[int], array[float]]:
    return array("q"), array("i"), array("i"), array("f")


def _table(item: Mapping[str, Any]) -> str:
    return str(item["key"]).rpartition("/")[0]
