"""Brain files: what comes back, what is refused, and what older versions wrote."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.engine import database
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.errors import BrainFileError

OLD = Path(__file__).parent / "data" / "embedded_brain_v1.db"
SECOND = Path(__file__).parent / "data" / "brain_file_v2.db"
ROW = np.dtype([("neuron", "<i4"), ("side", "<U7"), ("place", "<f4", (2,))])


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype
        and one[k].shape == other[k].shape
        and one[k].tobytes() == other[k].tobytes()
        for k in one
    )


ARRAYS = arrays_of.arrays(
    st.one_of(
        arrays_of.integer_dtypes(endianness="<"),
        arrays_of.unsigned_integer_dtypes(endianness="<"),
        arrays_of.floating_dtypes(endianness="<"),
        arrays_of.boolean_dtypes(),
    ),
    arrays_of.array_shapes(min_dims=0, min_side=0, max_side=9),
)


@given(st.dictionaries(st.text(min_size=1), ARRAYS, max_size=6), st.sampled_from([64, 128, 512]))
def test_arrays_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, given_: dict[str, np.ndarray], chunk: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "round_trip.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_CHUNK", chunk)
        write_brain_file(file, {"a": "ä", "b": ""}, given_)
    texts, arrays = read_brain_file(file)
    assert texts == {"a": "ä", "b": ""}
    assert same(arrays, given_)


def test_structures_strided_and_big_endian_arrays_come_back(tmp_path: Path) -> None:
    rows = np.zeros(3, ROW)
    rows["side"], rows["neuron"] = "ventral", [1, 2, 3]
    rows["place"][2] = 0.5, 1.5
    given_ = {
        "rows": rows,
        "strided": np.arange(20).reshape(4, 5)[::2, ::-1],
        "big": np.arange(4, dtype=">f8"),
        "none": np.empty((0, 3)),
    }
    write_brain_file(tmp_path / "b.db", {}, given_)
    arrays = read_brain_file(tmp_path / "b.db")[1]
    for name, values in given_.items():
        assert np.array_equal(arrays[name], values), name
        assert arrays[name].flags.writeable
    assert arrays["rows"].dtype == ROW


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainFileError, match=r"no object arrays"):
        write_brain_file(tmp_path / "b.db", {}, {"x": np.array([None])})
    assert not list(tmp_path.iterdir())


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "b.db"
    write_brain_file(file, {"format": "x"}, {"v": np.arange(9.0), "w": np.arange(50_000.0)})
    return file


def test_a_flipped_bit_anywhere_in_arrays_or_texts_is_found(written: Path) -> None:
    whole = bytearray(written.read_bytes())
    at = whole.index(np.arange(30_000.0, 30_004.0).tobytes())
    whole[at] ^= 1
    written.write_bytes(whole)
    with pytest.raises(BrainFileError, match=r"chunk 0, which holds 'v', 'w', is damaged"):
        read_brain_file(written)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("small") / "b.db"
    write_brain_file(file, {"format": "x", "plan": "é" * 50}, {"v": np.arange(900.0)})
    return file


@given(st.data())
def test_no_flipped_bit_goes_unnoticed(small: Path, data: st.DataObject) -> None:
    whole = bytearray(small.read_bytes())
    expected = read_brain_file(small)
    used = [k for k, byte in enumerate(whole) if byte]
    at = data.draw(st.one_of(st.sampled_from(used), st.integers(0, len(whole) - 1)))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    flipped = small.with_name("flipped.db")
    flipped.write_bytes(whole)
    try:
        texts, arrays = read_brain_file(flipped)
    except BrainFileError:
        return
    assert texts == expected[0] and same(arrays, expected[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DELETE FROM chunk", r"is truncated: has 0 of the \d+ bytes"),
        ("UPDATE text SET value = 'y'", r"text 'format' is damaged"),
        ("UPDATE text SET name = 'form'", r"text 'form' is damaged"),
        ("UPDATE directory SET content = replace(content, 'v', 'u')", r"list of arrays is damaged"),
        ("DELETE FROM text", r"the texts are damaged \(of those listed, it lacks 'format'\)"),
        ("PRAGMA user_version=2", r"not a readable brain file: no such column: arrays"),
        ("DELETE FROM directory", r"list of arrays is damaged"),
        ("DROP TABLE chunk", r"not a readable brain file: no such table: chunk"),
        ("PRAGMA user_version=9", r"schema version 9, .* one of: 1, 2, 3; a newer ab_ros wrote it"),
        ("PRAGMA application_id=5", r"is a database, but not a brain file of ab_ros"),
    ],
)
def test_what_does_not_belong_is_named(written: Path, change: str, message: str) -> None:
    with sqlite3.connect(written) as connection:
        connection.execute(change)
    with pytest.raises(BrainFileError, match=message):
        read_brain_file(written)


def test_truncated_and_foreign_files_are_refused(written: Path) -> None:
    whole = written.read_bytes()
    for size in (0, 1, 100, 4096, len(whole) // 2, len(whole) - 1):
        written.write_bytes(whole[:size])
        with pytest.raises(BrainFileError, match=r"b\.db: "):
            read_brain_file(written)
    written.write_text("neurons, synapses\n" * 1000)
    with pytest.raises(BrainFileError, match=r"b\.db: is not a readable brain file"):
        read_brain_file(written)


def test_a_failed_save_leaves_the_old_file(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(database.os, "fsync", fail)
    with pytest.raises(BrainFileError, match=r"cannot be written: .*No space left"):
        write_brain_file(written, {}, {})
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["b.db"]


def test_files_of_version_1_are_read_and_saved_anew(tmp_path: Path) -> None:
    texts, arrays = read_brain_file(OLD)
    with sqlite3.connect(OLD) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        for name, crc, data in connection.execute("SELECT name, crc, data FROM array"):
            assert zlib.crc32(data) == crc
            assert arrays[name].tobytes() in data
    write_brain_file(tmp_path / "new.db", texts, arrays)
    again = read_brain_file(tmp_path / "new.db")
    assert again[0] == texts
    assert same(again[1], arrays)


def test_files_of_version_2_are_read(tmp_path: Path) -> None:
    texts, arrays = read_brain_file(SECOND)
    assert texts == {"format": "x", "plan": "é" * 5}
    assert same(arrays, {"v": np.arange(9.0), "kinds": np.array(["RS", "FS"])})


def test_an_embedded_brain_of_version_1_lives_on() -> None:
    arrays = read_brain_file(OLD)[1]
    brain = EmbeddedBrain.load(OLD)
    assert brain.network.ticks == 600
    for name in brain.network.projections:
        if name != "young":
            saved = arrays[f"network.projection/{name}/weights"]
            assert np.array_equal(brain.network.edges(name)[2], saved), name
    development = brain.network.development("young")
    assert development.age == 600
    assert 0 < np.count_nonzero(development.pruned_at) < development.pre.size
    brain.open()
    raster = np.concatenate([brain.run_cycle(lambda need: []).rasters["pan"] for _ in range(20)])
    # What the code that wrote the file went on with.
    spikes = [(2, 0), (5, 1), (7, 2), (8, 3), (17, 0), (19, 1), (20, 2), (270, 2), (271, 6)]
    assert [tuple(spike) for spike in np.argwhere(raster).tolist()] == spikes
