"""The recorder: what ran is in the file, whatever its format, and survives a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.engine import Developmental, Network
from ab_ros.engine.brain import Brain
from ab_ros.engine.record import Record, read_record
from ab_ros.engine.record_files import merge_parts
from ab_ros.engine.recorder import Recorder
from ab_ros.errors import EngineError, RecordError

FORMATS = (".npz", ".csv", ".h5", ".hdf5")


def network(backend: Any = "numpy") -> Network:
    made = Network(seed=3, backend=backend)
    made.add_neurons("cells", 20, "RS", noise=6.0)
    made.add_neurons("brakes", 5, "FS", noise=3.0)
    made.connect("cells to brakes", "cells", "brakes", "plastic", weight=4.0)
    made.connect("brakes/cells", "brakes", "cells", weight=-2.0)
    return made.build()


def skip_without_h5py(suffix: str) -> None:
    if suffix.startswith(".h"):
        pytest.importorskip("h5py")


def recorded(path: Path, ticks: int = 400, **choice: Any) -> tuple[Record, np.ndarray, np.ndarray]:
    """A record, and what really happened: uint8[T, 25] and float64[T, 25]."""
    brain = network()
    spikes, potentials = [], []
    with Recorder(brain, path, **choice) as recorder:
        for _ in range(ticks):
            fired = brain.tick()
            recorder.record(fired)
            spikes.append(np.concatenate(list(fired.values())))
            potentials.append(brain.potentials())
    return read_record(path), np.array(spikes), np.array(potentials)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_record_holds_what_happened(suffix: str, tmp_path: Path) -> None:
    skip_without_h5py(suffix)
    path = tmp_path / f"run{suffix}"
    record, spikes, potentials = recorded(
        path,
        potentials=[3, 21, 0],
        every=7,
        weights=["cells to brakes", "brakes/cells"],
        weights_every=100,
    )
    when, which = np.nonzero(spikes)
    assert when.size > 50
    np.testing.assert_array_equal(record.spikes.tick, when)
    np.testing.assert_array_equal(record.spikes.neuron, which)
    assert (record.spikes.tick.dtype, record.spikes.neuron.dtype) == (np.int64, np.int32)
    np.testing.assert_array_equal(record.raster(), spikes)
    assert record.potentials is not None
    np.testing.assert_array_equal(record.potentials.tick, np.arange(0, 400, 7))
    wanted = potentials[::7][:, [3, 21, 0]].astype(np.float32)
    np.testing.assert_array_equal(record.potentials.value, wanted)
    assert record.potentials.neuron.tolist() == [3, 21, 0]
    weights = record.weights["cells to brakes"]
    assert weights.tick.tolist() == [0, 100, 200, 300, 400]
    assert weights.value.shape == (5, 100)
    assert (weights.value[0] == 4.0).all()
    assert (weights.value[-1] != 4.0).any()
    assert weights.pre.tolist() == np.repeat(np.arange(20), 5).tolist()
    assert weights.post.tolist() == np.tile(np.arange(20, 25), 20).tolist()
    assert (record.weights["brakes/cells"].value == -2.0).all()
    meta = record.meta
    assert (meta.first_tick, meta.ticks, meta.neurons, meta.seed) == (0, 400, 25, 3)
    assert (meta.dt, meta.complete) == (0.001, True)
    assert {k: v.tolist() for k, v in meta.groups.items()} == {
        "cells": list(range(20)),
        "brakes": list(range(20, 25)),
    }
    assert set(meta.versions) == {"ab_ros", "numpy", "python"}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_record_of_nothing_can_be_read(suffix: str, tmp_path: Path) -> None:
    skip_without_h5py(suffix)
    record, _, _ = recorded(
        tmp_path / f"run{suffix}", 0, potentials=[1, 2], weights="cells to brakes"
    )
    assert record.spikes.tick.size == 0
    assert record.meta.ticks == 0
    assert record.potentials is not None
    assert record.potentials.value.shape == (0, 2)
    assert record.weights["cells to brakes"].value.shape == (1, 100)
    assert record.raster().shape == (0, 25)


def test_files_are_what_other_programs_read(tmp_path: Path) -> None:
    record, _, _ = recorded(tmp_path / "run.npz", 100, potentials="brakes")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["spikes/tick"], record.spikes.tick)
        assert archive["potentials/value"].shape == (100, 5)
        assert json.loads(str(archive["meta"]))["seed"] == 3
    recorded(tmp_path / "run.csv", 100)
    lines = (tmp_path / "run.csv").read_text().splitlines()
    assert lines[1] == "kind,tick,neuron,target,projection,value"
    first = record.spikes.tick[0], record.spikes.neuron[0]
    assert lines[2] == f"spike,{first[0]},{first[1]},,,"


def test_neurons_are_chosen_by_name_or_index(tmp_path: Path) -> None:
    record, spikes, _ = recorded(tmp_path / "a.npz", spikes=["brakes"], labels={"few": [24, 3, 22]})
    np.testing.assert_array_equal(record.raster(), spikes[:, 20:])
    assert record.meta.recorded.tolist() == [20, 21, 22, 23, 24]
    # Of a label's neurons, those that were recorded.
    assert {k: v.tolist() for k, v in record.meta.groups.items()} == {"few": [24, 22]}
    record, spikes, _ = recorded(tmp_path / "b.npz", spikes=[7, 2], potentials="brakes")
    np.testing.assert_array_equal(record.raster(), spikes[:, [2, 7]])
    np.testing.assert_array_equal(record.raster([7], 100, 200), spikes[100:200, [7]])
    record, _, _ = recorded(tmp_path / "c.npz", spikes=[])
    assert not record.spikes.tick.size
    with pytest.raises(RecordError, match=r"group 'x': is not in the record; one of: "):
        record.neurons_of("x")


class Selecting:
    """A brain whose neurons have names of its own."""

    def __init__(self) -> None:
        self.network = network()

    def neurons_of(self, selector: str) -> np.ndarray:
        return np.array({"eye.out": [4, 5, 9], "*.in": [5, 6]}[selector])


def test_selectors_of_a_brain_become_groups(tmp_path: Path) -> None:
    brain = Selecting()
    with Recorder(brain, tmp_path / "run.npz", spikes=["eye.out", "*.in"]) as recorder:
        brain.network.run(50)
        with pytest.raises(RecordError, match="is at tick 50, but the 10 given end at tick 10"):
            recorder.record(np.zeros((10, 25), np.uint8))
        recorder.record(np.ones((50, 25), np.uint8))
    record = read_record(tmp_path / "run.npz")
    assert np.unique(record.spikes.neuron).tolist() == [4, 5, 6, 9]
    assert {k: v.tolist() for k, v in record.meta.groups.items()} == {
        "eye.out": [4, 5, 9],
        "*.in": [5, 6],
    }


def test_a_brain_is_recorded_by_its_components(tmp_path: Path) -> None:
    brain = Brain.build("track_v1", backend="numpy", input_sizes={"camera": 192, "joints": 12})
    with Recorder(
        brain, tmp_path / "run.npz", potentials=["pan[2:4].plus"], weights="retina_pan"
    ) as recorder:
        for _ in range(30):
            recorder.record(brain.tick({"pan.both_in": 8.0}))
    record = read_record(tmp_path / "run.npz")
    assert record.meta.brain == "track_v1"
    assert list(record.meta.groups) == ["retina", "posture", "pan", "tilt", "grip"]
    np.testing.assert_array_equal(record.neurons_of("pan"), brain.neurons_of("pan"))
    assert np.isin(record.spikes.neuron, record.neurons_of("pan")).all()
    assert record.spikes.tick.size > 48
    assert record.potentials is not None
    assert record.potentials.neuron.tolist() == brain.neurons_of("pan[2:4].plus").tolist()
    assert record.weights["retina_pan"].value.shape == (1, 192 * 48)
    with Recorder(brain, tmp_path / "few.npz", spikes=["retina", "*.minus_out"]) as recorder:
        recorder.record(brain.run(20, {"pan": 8.0}))
    few = read_record(tmp_path / "few.npz")
    assert few.meta.recorded.size == 192 + 72
    assert list(few.meta.groups) == ["retina", "*.minus_out"]
    with pytest.raises(EngineError, match="nobody"):
        Recorder(brain, tmp_path / "none.npz", spikes="nobody.out")


def test_blocks_give_the_same_record_as_ticks(tmp_path: Path) -> None:
    choice: dict[str, Any] = {"potentials": [1], "every": 30, "weights": "cells to brakes"}
    one, _, _ = recorded(tmp_path / "one.npz", 500, **choice, weights_every=200)
    brain = network()
    with Recorder(brain, tmp_path / "two.npz", **choice, weights_every=200) as recorder:
        while brain.ticks < 500:
            recorder.record(brain.run(recorder.largest_block(min(64, 500 - brain.ticks))))
    two = read_record(tmp_path / "two.npz")
    np.testing.assert_array_equal(one.spikes.tick, two.spikes.tick)
    np.testing.assert_array_equal(one.spikes.neuron, two.spikes.neuron)
    assert one.potentials is not None and two.potentials is not None
    np.testing.assert_array_equal(one.potentials.value, two.potentials.value)
    np.testing.assert_array_equal(one.potentials.tick, two.potentials.tick)
    for part in ("tick", "value"):
        mine, its = (getattr(r.weights["cells to brakes"], part) for r in (one, two))
        np.testing.assert_array_equal(mine, its)


def test_a_block_that_steps_over_a_sample_is_refused(tmp_path: Path) -> None:
    brain = network()
    recorder = Recorder(brain, tmp_path / "run.npz", potentials=[1], every=10)
    assert recorder.largest_block(100) == 1
    fired = brain.run(5)
    with pytest.raises(RecordError, match="steps over the sample that is due after 1;"):
        recorder.record(fired)
    recorder.abort()


def test_a_recording_may_begin_later(tmp_path: Path) -> None:
    brain = network()
    brain.run(123)
    with Recorder(brain, tmp_path / "run.npz", potentials=[0], every=50) as recorder:
        while brain.ticks < 323:
            recorder.record(brain.run(recorder.largest_block(323 - brain.ticks)))
    record = read_record(tmp_path / "run.npz")
    assert (record.meta.first_tick, record.meta.ticks) == (123, 200)
    assert record.spikes.tick.min() >= 123
    assert record.potentials is not None
    assert record.potentials.tick.tolist() == [123, 173, 223, 273]
    assert record.raster().shape == (200, 25)


def test_pruned_synapses_are_nan_from_then_on(tmp_path: Path) -> None:
    brain = Network(seed=1, backend="numpy")
    brain.add_neurons("a", 4, noise=8.0)
    brain.add_neurons("b", 4)
    growing = Developmental(
        critical_period=2000, eval_interval=500, pruning_threshold=0.9, min_source_fires=1
    )
    brain.connect("growing", "a", "b", growing, weight=1.0)
    brain.build()
    with Recorder(brain, tmp_path / "run.npz", weights="growing", weights_every=500) as recorder:
        for _ in range(4):
            recorder.record(brain.run(500))
    weights = read_record(tmp_path / "run.npz").weights["growing"]
    assert not np.isnan(weights.value[0]).any()
    assert np.isnan(weights.value[-1]).any()
    left = brain.edges("growing")
    alive = ~np.isnan(weights.value[-1])
    np.testing.assert_array_equal(weights.pre[alive], left[0])
    np.testing.assert_array_equal(weights.post[alive] - 4, left[1])
    np.testing.assert_array_equal(weights.value[-1][alive], left[2])


LONG_RUN = """
import sys
import numpy as np
from ab_ros.engine import Network
from ab_ros.engine.recorder import Recorder

brain = Network(seed=3, backend="numpy")
brain.add_neurons("cells", 50, noise=7.0)
brain.connect("loop", "cells", "cells", "plastic", weight=0.5)
brain.build()
with Recorder(brain, sys.argv[1], potentials=[0, 1], every=10, weights="loop") as recorder:
    while True:
        recorder.record(brain.run(recorder.largest_block(100)))
        print(brain.ticks, flush=True)
"""


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_kill_leaves_a_record_that_can_be_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"run{suffix}"
    run = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    ticks = 0
    while ticks < 3500:
        ticks = int(run.stdout.readline())
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    with pytest.raises(RecordError, match=r"has left .*\.part: give that"):
        read_record(path)
    part = tmp_path / f"run{suffix}.part"
    record = read_record(part)
    assert not record.meta.complete
    assert record.meta.ticks >= ticks - 1000
    assert record.meta.ticks % 1000 < 10
    assert record.spikes.tick.max() < record.meta.ticks
    assert record.spikes.tick.max() > record.meta.ticks - 50
    assert record.potentials is not None
    assert len(record.potentials.tick) == -(-record.meta.ticks // 10)
    assert record.weights["loop"].tick.tolist() == list(range(0, record.meta.ticks + 1, 1000))
    with pytest.raises(RecordError, match="was cut short here"):
        Recorder(network(), path)
    merge_parts(part, path, complete=False)
    merged = read_record(path)
    assert not merged.meta.complete
    np.testing.assert_array_equal(merged.spikes.tick, record.spikes.tick)
    np.testing.assert_array_equal(merged.weights["loop"].value, record.weights["loop"].value)


def test_what_a_torn_write_left_behind_the_last_mark_is_left_out(tmp_path: Path) -> None:
    brain = network()
    recorder = Recorder(brain, tmp_path / "run.npz")
    for _ in range(20):
        recorder.record(brain.run(100))
    whole = read_record(recorder.part)
    assert whole.meta.ticks == 2000
    for name in ("spikes.tick.bin", "marks"):
        with open(recorder.part / name, "ab") as file:
            file.write(b"\x01\x02\x03")
    again = read_record(recorder.part)
    assert again.meta.ticks == 2000
    np.testing.assert_array_equal(again.spikes.tick, whole.spikes.tick)
    recorder.abort()


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    brain = Network(backend="numpy")
    brain.add_neurons("cells", 200)
    brain.build()
    raster = np.ones((500, 200), np.uint8)
    recorder = Recorder(brain, tmp_path / "run.npz", potentials=range(200), every=1000)
    tracemalloc.start()
    for _ in range(40):
        for ticks in (1, 499):
            brain.run(ticks)
            recorder.record(raster[:ticks])
    recorder.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    record = read_record(tmp_path / "run.npz")
    assert record.spikes.tick.size == 40 * 500 * 200
    # The spikes alone take 48 MB; a block of 500 ticks and its indices take 3.
    assert peak < 12e6


def test_an_error_in_the_run_keeps_the_record_and_abort_discards_it(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    brain = network()

    def run() -> None:
        with Recorder(brain, path) as recorder:
            recorder.record(brain.run(30))
            brain.run(0)

    with pytest.raises(EngineError, match="at least 1"):
        run()
    assert read_record(path).meta.ticks == 30
    other = network()
    recorder = Recorder(other, path)
    recorder.record(other.run(99))
    recorder.abort()
    recorder.close()
    assert read_record(path).meta.ticks == 30
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]
    with pytest.raises(RecordError, match="is closed"):
        recorder.record(other.run(1))


@pytest.mark.parametrize(
    ("path", "choice", "message"),
    [
        ("run.txt", {}, r"extension '\.txt'; one of: \.npz, \.csv, \.h5, \.hdf5"),
        ("run", {}, r"extension ''; one of"),
        ("run.npz", {"spikes": ["nobody"]}, "no neuron group 'nobody'; one of: cells, brakes"),
        ("run.npz", {"spikes": [3, 25]}, "neuron 25 is not in the network, which has 0 to 24"),
        ("run.npz", {"spikes": [3, 3]}, "names a neuron twice"),
        ("run.npz", {"spikes": [3, "cells"]}, "names or indices, not both"),
        ("run.npz", {"potentials": [0.5]}, "list of neurons' indices or names"),
        ("run.npz", {"weights": "none"}, "no projection 'none'; one of: cells to brakes"),
        ("run.npz", {"every": 0}, r"Recorder\.every: must be at least 1"),
        ("file/run.npz", {}, "cannot be written"),
    ],
)
def test_wrong_use_is_refused_before_the_run(
    path: str, choice: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((RecordError, EngineError), match=message):
        Recorder(network(), tmp_path / path, **choice)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("spikes", [np.zeros(24), np.zeros((1, 2, 25)), {"cells": np.zeros(20)}])
def test_spikes_of_another_form_are_refused(spikes: Any, tmp_path: Path) -> None:
    brain = network()
    recorder = Recorder(brain, tmp_path / "run.npz")
    brain.tick()
    with pytest.raises(RecordError, match=r"must have the form|given for every group"):
        recorder.record(spikes)
    recorder.abort()


def test_without_h5py_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RecordError, match="'pip install h5py'"):
        Recorder(network(), tmp_path / "run.h5")


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_and_foreign_files_are_refused(suffix: str, tmp_path: Path) -> None:
    skip_without_h5py(suffix)
    path = tmp_path / f"run{suffix}"
    recorded(path, 300, potentials=[1], weights="brakes/cells")
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(RecordError, match="run"):
            read_record(path)
    path.write_bytes(b"tick,neuron\n1,2\n" * 100)
    with pytest.raises(RecordError, match="run"):
        read_record(path)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(RecordError, match="not a record"):
        read_record(tmp_path / "other.npz")
    (tmp_path / "folder.part").mkdir()
    with pytest.raises(RecordError, match="does not hold the parts"):
        read_record(tmp_path / "folder.part")
    with pytest.raises(RecordError, match=r"there is no such record$"):
        read_record(tmp_path / f"none{suffix}")
