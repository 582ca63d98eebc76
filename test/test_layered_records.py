"""Experiments and snapshots as files, benchmarks, and their pictures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_layered_neurons import bits

from ab_ros.errors import BrainFileError, ConfigError, ObservationError, RecordError
from ab_ros.layered import (
    FeedForward,
    HebbianLearning,
    LayeredBrain,
    Neurons,
    SparseComputation,
    StandardComputation,
    messages,
    records,
)
from ab_ros.layered.benchmark import Benchmark, Metric, SpikeCount, SpikeDensity, rows_of, table
from ab_ros.layered.records import Experiment, GroupState, Snapshot, Subject

pytest.importorskip("google.protobuf")


def brain(computation: Any = None, seed: int = 1, name: str = "two") -> LayeredBrain:
    layers = [Neurons((4, 5), "a"), Neurons(10, "b")]
    FeedForward(layers)
    layers[0].set("down", layers[1])
    rule = computation or SparseComputation(2, noise=0.2)
    return LayeredBrain(layers, bits(7), rule, HebbianLearning(), seed=seed, name=name)


# --- Snapshots ---------------------------------------------------------------------------------


def test_a_brain_goes_on_from_its_snapshot_to_the_bit(tmp_path: Path) -> None:
    one = brain()
    for value in range(20):
        one.tick(value % 7)
    one.snapshot().save(tmp_path / "one.pb")
    other = LayeredBrain.of_snapshot(Snapshot.load(tmp_path / "one.pb"))
    for value in range(20):
        mine, others = one.tick(value % 7), other.tick(value % 7)
        assert all(np.array_equal(mine[name], others[name]) for name in ("a", "b"))
    assert one.weights("a", "down").tobytes() == other.weights("a", "down").tobytes()


def test_a_snapshot_that_does_not_fit_its_definition_is_refused() -> None:
    taken = brain().snapshot()
    wrong = {**taken.groups, "a": GroupState(np.zeros(3, bool), {})}
    with pytest.raises(BrainFileError, match=r"snapshot: array 'bits\.a' must be bool\[20\]"):
        LayeredBrain.of_snapshot(
            Snapshot(taken.definition, taken.seed, taken.tick, taken.dt, wrong)
        )


NAMES = st.text("abcXYZ_ é", min_size=1, max_size=8)


@st.composite
def group_states(draw: Any) -> GroupState:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    rows = draw(st.lists(st.integers(1, 5), max_size=3, unique=True))
    weights = {f"in{n}": random.random((n, int(np.prod(shape))), np.float32) for n in rows}
    return GroupState(random.random(shape) < 0.5, weights)


@settings(deadline=None, max_examples=40)
@given(
    st.text(max_size=20),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**63 - 1),
    st.floats(1e-6, 1),
    st.dictionaries(NAMES, group_states(), max_size=3),
)
def test_snapshots_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    definition: str,
    seed: int,
    tick: int,
    dt: float,
    groups: dict[str, GroupState],
) -> None:
    file = tmp_path_factory.mktemp("s") / "s.pb"
    Snapshot(definition, seed, tick, dt, groups).save(file)
    read = Snapshot.load(file)
    assert (read.definition, read.seed, read.tick, read.dt) == (definition, seed, tick, dt)
    assert list(read.groups) == list(groups)
    for name, group in groups.items():
        assert np.array_equal(read.groups[name].active, group.active)
        assert read.groups[name].active.shape == group.active.shape
        assert list(read.groups[name].weights) == list(group.weights)
        for each, weights in group.weights.items():
            assert read.groups[name].weights[each].tobytes() == weights.tobytes()
    whole = file.read_bytes()
    read.save(file)
    assert file.read_bytes() == whole


# --- Experiments -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(NAMES, st.integers(0, 20), st.lists(NAMES, unique=True, max_size=3), st.data())
def test_experiments_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    ticks: int,
    subjects: list[str],
    data: st.DataObject,
) -> None:
    values = st.lists(st.floats(allow_nan=False), min_size=ticks, max_size=ticks)
    made = {
        each: Subject(
            data.draw(st.text(max_size=9)),
            data.draw(st.integers(0, 2**64 - 1)),
            data.draw(st.floats(0, 9)),
            {m: np.array(data.draw(values)) for m in data.draw(st.sets(NAMES, max_size=2))},
        )
        for each in subjects
    }
    file = tmp_path_factory.mktemp("e") / "e.pb"
    written = Experiment(name, ticks, made, 12.5)
    written.save(file)
    read = Experiment.load(file)
    assert (read.name, read.ticks, read.time) == (name, ticks, 12.5)
    assert list(read.subjects) == subjects and read.metrics == written.metrics
    for each, subject in made.items():
        other = read.subjects[each]
        assert (other.definition, other.seed) == (subject.definition, subject.seed)
        assert other.seconds == subject.seconds and list(other.series) == list(subject.series)
        assert all(np.array_equal(other.series[m], v) for m, v in subject.series.items())


# --- Files that are none -----------------------------------------------------------------------


def test_a_file_that_is_cut_anywhere_or_has_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.pb"
    brain().snapshot().save(file)
    whole = file.read_bytes()
    for size in [0, 1, 5, 30, *range(100, len(whole), 313), len(whole) - 1]:
        file.write_bytes(whole[:size])
        with pytest.raises(RecordError, match=r"s\.pb: "):
            Snapshot.load(file)
    random = np.random.default_rng(0)
    for _ in range(200):
        place, bit = int(random.integers(len(whole))), int(random.integers(8))
        broken = bytearray(whole)
        broken[place] ^= 1 << bit
        file.write_bytes(broken)
        with pytest.raises(RecordError, match=r"s\.pb: "):
            Snapshot.load(file)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_bytes_of_anything_else_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("x") / "x.pb"
    file.write_bytes(content)
    for load in (Snapshot.load, Experiment.load):
        with pytest.raises(RecordError, match=r"x\.pb: "):
            load(file)


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    file, other = tmp_path / "s.pb", tmp_path / "e.pb"
    brain().snapshot().save(file)
    Experiment("x", 0, {}).save(other)
    with pytest.raises(RecordError, match=r"e\.pb: holds the experiment .*, not the snapshot"):
        Snapshot.load(other)
    with pytest.raises(RecordError, match=r"n\.pb: cannot be read: No such file"):
        Snapshot.load(tmp_path / "n.pb")
    with pytest.raises(RecordError, match="cannot be written"):
        Experiment("x", 0, {}).save(Path("/proc/nowhere/e.pb"))
    with monkeypatch.context() as patch:
        patch.setattr(records, "VERSION", 2)
        Experiment("x", 0, {}).save(other)
    with pytest.raises(RecordError, match="has version 2, this ab_ros reads 1; a newer one"):
        Experiment.load(other)
    with monkeypatch.context() as patch:
        patch.setattr(records, "LARGEST_FILE", 100)
        with pytest.raises(RecordError, match=r"has \d+ bytes; at most 100 are read"):
            Snapshot.load(file)
        with pytest.raises(RecordError, match="at most 100 can be written"):
            brain().snapshot().save(tmp_path / "big.pb")
    assert not (tmp_path / "big.pb").exists()


def edited(file: Path, **changes: Any) -> None:
    """Change the first group of a snapshot's file, checksum and all."""
    message = records._read(file, "snapshot", "Snapshot")
    group = message.groups[0]
    for name, value in changes.items():
        if name == "shape":
            del group.shape[:]
            group.shape.extend(value)
        elif hasattr(group, name):
            setattr(group, name, value)
        else:
            setattr(group.connections[0], name, value)
    records._write(file, "snapshot", message)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": [2**31, 2**31]}, "group 'a': does not fit together"),
        ({"shape": [0]}, "group 'a': does not fit together"),
        ({"name": "b"}, "group 'b': does not fit together"),
        ({"active": b"\0"}, "20 neurons need 3 bytes, not 1"),
        ({"columns": 7}, "input 'MAIN': 7 x 7 weights do not fit 20 neurons"),
        ({"rows": 2**32 - 1}, "weights do not fit 20 neurons and 560 bytes"),
        ({"weights": struct.pack("<140f", *[2.0] * 140)}, r"must be within \[0, 1\]"),
        ({"weights": struct.pack("<140f", *[float("nan")] * 140)}, r"must be within \[0, 1\]"),
    ],
)
def test_contents_that_do_not_fit_together_are_refused(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "s.pb"
    brain().snapshot().save(file)
    edited(file, **changes)
    with pytest.raises(RecordError, match=says):
        Snapshot.load(file)


# --- The description of the files --------------------------------------------------------------


def test_the_description_that_ships_is_read_as_protoc_reads_it(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    from google.protobuf import descriptor_pb2

    out = tmp_path / "set.bin"
    root = messages.PROTO.parents[2]
    name = str(messages.PROTO.relative_to(root))
    assert protoc.main(["", f"-I{root}", f"--descriptor_set_out={out}", name]) == 0
    read = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    ours = descriptor_pb2.FileDescriptorProto()
    messages.describe(messages.PROTO.read_text(), ours)
    assert read.file[0] == ours


def test_the_description_says_what_each_field_is() -> None:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto()
    messages.describe(messages.PROTO.read_text(), file)
    found = {m.name: {f.name: f.number for f in m.field} for m in file.message_type}
    # Files that exist depend on these numbers.
    assert found == {
        "File": {"kind": 1, "version": 2, "checksum": 3, "content": 4},
        "Experiment": {"name": 1, "time": 2, "ticks": 3, "subjects": 4},
        "Subject": {"name": 1, "definition": 2, "seed": 3, "seconds": 4, "series": 5},
        "Series": {"metric": 1, "values": 2},
        "Snapshot": {"definition": 1, "seed": 2, "tick": 3, "dt": 4, "groups": 5},
        "Group": {"name": 1, "shape": 2, "active": 3, "connections": 4},
        "Connection": {"input": 1, "rows": 2, "columns": 3, "weights": 4},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("message A {\n  map<string, int32> m = 1; }", "r:2: '<' cannot be read here"),
        ("message A {\n  B b = 1; }", "r:2: 'B' cannot be read here"),
        ("message A {\n  string b 1; }", "r:2: expected '=', not '1'"),
        ("message A {", "r:1: 'the end of the file' cannot be read here"),
        ("service S {}", "r:1: 'service' cannot be read here"),
    ],
)
def test_a_description_that_cannot_be_read_is_refused_with_its_line(text: str, says: str) -> None:
    from google.protobuf import descriptor_pb2

    with pytest.raises(RecordError) as error:
        messages.describe(text, descriptor_pb2.FileDescriptorProto(), "r")
    assert str(error.value) == says


# --- Benchmarks --------------------------------------------------------------------------------


class Changed(Metric):
    """How many neurons of a group are not as they were."""

    def begin(self, brain: LayeredBrain) -> None:
        self._before = brain.bits("b").copy()

    def measure(self, brain: LayeredBrain) -> float:
        changed = int((brain.bits("b") != self._before).sum())
        self._before = brain.bits("b").copy()
        return changed


def test_several_brains_are_measured_on_the_same_values() -> None:
    brains = {"sparse": brain(), "dense": brain(StandardComputation(0.0))}
    result = Benchmark(
        brains, [SpikeCount(), SpikeDensity(), SpikeCount("b"), SpikeDensity("a"), Changed()]
    ).run([0, 1, 2, None, 3])
    assert result.metrics == (
        "spike count",
        "spike density",
        "spike count of b",
        "spike density of a",
        "Changed",
    )
    sparse, dense = (result.subjects[name].series for name in brains)
    assert sparse["spike count"].tolist() == [4.0] * 5
    assert np.allclose(sparse["spike density"], 4 / 30)
    assert sparse["spike count of b"].tolist() == [2.0] * 5
    assert np.allclose(sparse["spike density of a"], 0.1)
    assert dense["spike count"].tolist() == [30.0] * 5
    assert dense["Changed"].tolist() == [10.0, 0.0, 0.0, 0.0, 0.0]
    rows = rows_of(result)
    assert rows[0] == ["brain", *result.metrics, "ticks/s"]
    assert rows[1][:2] == ["sparse", "4 ± 0"] and float(rows[1][-1]) > 0
    lines = table(result).splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == ["brain", "sparse", "dense"]
    cells = ("spike count", "4 ± 0", "30 ± 0")
    assert len({line.index(cell) for line, cell in zip(lines, cells, strict=True)}) == 1


def test_brains_without_names_are_called_as_they_are() -> None:
    result = Benchmark([brain(), brain(), brain(name="third")]).run([1])
    assert list(result.subjects) == ["two", "two 2", "third"]
    assert result.metrics == ("spike count", "spike density")
    assert rows_of(Benchmark([brain()]).run([]))[1] == ["two", "-", "-", "-"]


def test_a_benchmark_that_cannot_be_is_named() -> None:
    class Broken(Metric):
        def measure(self, brain: LayeredBrain) -> Any:
            return "many"

    for make, says in (
        (lambda: Benchmark([]), "at least one brain and one metric"),
        (lambda: Benchmark([brain()], []), "at least one brain and one metric"),
        (lambda: Benchmark([brain()], [SpikeCount(), SpikeCount()]), "have the same name"),
        (lambda: Benchmark([brain()], [Broken()]).run([1]), "'Broken' of brain 'two'.*'many'"),
        (lambda: Benchmark([brain()], [SpikeCount("x")]).run([1]), "no group 'x'; one of: a, b"),
    ):
        with pytest.raises(ConfigError, match=says):
            make()
    with pytest.raises(ObservationError):
        Benchmark([brain()]).run([99])


@pytest.mark.parametrize("ticks", [1, 5, 1000])
def test_an_experiment_is_drawn(ticks: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ab_ros.viz import benchmark_figure, save

    result = Benchmark({"one": brain(), "other": brain(StandardComputation(1.0))}).run(
        [k % 7 for k in range(ticks)]
    )
    figure = benchmark_figure(result)
    assert [axes.get_ylabel() for axes in figure.axes] == ["spike count", "spike density"]
    lines = figure.axes[0].get_lines()
    assert lines[0].get_label() == "one: 4"
    assert all(len(line.get_xdata()) <= 400 for line in lines)
    # The mean over the drawn parts is that over all ticks.
    drawn = np.mean(lines[1].get_ydata())
    assert drawn == pytest.approx(result.subjects["other"].series["spike count"].mean(), rel=0.05)
    assert save(figure, tmp_path / "b.png").stat().st_size > 5000
    with pytest.raises(ConfigError, match="no measurements"):
        benchmark_figure(Experiment("x", 0, {}))
