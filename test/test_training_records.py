"""Records of episodes: one set of keys per file, and what a kill leaves of them."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_parts import ThreeSteps, by_events, by_run, made

from ab_ros.engine.database import read_brain_file
from ab_ros.errors import RecordError
from ab_ros.training import RecordWriter, Simulator, read_record

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(st.floats(allow_nan=True), max_size=3),
)
KEYS = st.lists(
    st.text("abc.\n\",' é", min_size=1, max_size=6), min_size=1, max_size=5, unique=True
)


def finite(value: Any) -> Any:
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_whatever_is_recorded_is_read_back(tmp_path: Path, data: st.DataObject) -> None:
    keys = data.draw(KEYS)
    rows = data.draw(
        st.lists(st.dictionaries(st.sampled_from([*keys, "other"]), VALUES), max_size=4)
    )
    for name in ("r.json", "r.csv"):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        writer = RecordWriter(path, keys)
        for row in rows:
            writer.write(row)
        writer.close()
        read = read_record(path)
        assert len(read) == len(rows)
        for got, row in zip(read, rows, strict=True):
            assert list(got) == keys
            for key in keys:
                wanted = finite(row.get(key))
                if name == "r.json":
                    assert got[key] == wanted
                else:
                    text = wanted if isinstance(wanted, str) else json.dumps(wanted)
                    assert got[key] == ("" if wanted is None else text)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_torn_line_is_left_out_and_the_record_goes_on(
    tmp_path: Path, data: st.DataObject
) -> None:
    keys = ["a", "b"]
    rows = data.draw(
        st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), min_size=1, max_size=4)
    )
    name = data.draw(st.sampled_from(["r.json", "r.csv"]))
    path = tmp_path / name
    path.unlink(missing_ok=True)
    sizes = []
    writer = RecordWriter(path, keys)
    for row in rows:
        sizes.append(path.stat().st_size)
        writer.write(row)
    writer.close()
    whole = read_record(path)
    cut = data.draw(st.integers(sizes[-1], path.stat().st_size - 1))
    os.truncate(path, cut)
    assert read_record(path) == whole[:-1]
    writer = RecordWriter(path, keys)
    writer.write(rows[-1])
    writer.close()
    assert read_record(path) == whole


@pytest.mark.parametrize("name", ["r", "r.txt", "r.mcap", ".json"])
def test_other_extensions_are_refused(tmp_path: Path, name: str) -> None:
    brain = made(tmp_path)
    with pytest.raises(RecordError, match=r"one of: \.json, \.csv"):
        brain.config.record_file = str(tmp_path / name)
    sim = ThreeSteps(brain)
    with pytest.raises(RecordError, match=r"one of: \.json, \.csv"):
        sim.record_file = name


def test_a_file_with_other_keys_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(RecordError, match=r"has other keys \(x, y\)"):
        RecordWriter(path, ["a"])
    assert path.read_text() == "x,y\n1,2\n"


def test_values_that_are_no_data_are_refused_by_name(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "r.json", ["a"])
    with pytest.raises(RecordError, match="value of 'a' cannot be recorded"):
        writer.write({"a": object()})
    writer.write({"a": np.float32(0.5)})
    writer.write({"a": np.arange(2)})
    writer.close()
    assert [row["a"] for row in read_record(tmp_path / "r.json")] == [0.5, [0, 1]]


# Records of a simulator


@pytest.mark.parametrize("name", ["steps.json", "steps.csv"])
def test_the_documents_record_example(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    sim = ThreeSteps(made(tmp_path, {"training": {"episodes": 2}}, record_file=str(path)))
    sim.enable_keys(["foo", "bar"])
    sim.enable_keys(["baz"], "qux")
    while sim.run():
        sim.record_append({"foo": 23, "bar": 5, "unknown": 1})
        sim.record_append({"baz": "zabow"}, "qux")
    rows = read_record(path)
    assert len(rows) == 6
    assert all(str(row["foo"]) == "23" and row["qux.baz"] == "zabow" for row in rows)
    assert set(rows[0]) == {
        "config.start_angle",
        "action.delta",
        "state.angle",
        "state.velocity",
        "reward",
        "terminal",
        "time",
        "simulator",
        "predict",
        "statistics.episode",
        "statistics.episode_count",
        "statistics.episode_reward",
        "statistics.iteration_count",
        "statistics.episode_rate",
        "statistics.iteration_rate",
        "foo",
        "bar",
        "qux.baz",
    }
    assert [str(row["statistics.iteration_count"]) for row in rows] == ["1", "2", "3"] * 2
    assert [str(row["statistics.episode_reward"]) for row in rows] == ["0.5", "1.0", "1.5"] * 2
    assert [str(row["terminal"]).lower() for row in rows] == ["false", "false", "true"] * 2
    if name.endswith("csv"):
        with path.open(newline="") as file:
            assert {len(row) for row in csv.reader(file)} == {18}


class Summing(ThreeSteps):
    """Adds to the record what it counts and what an episode was, as the document's place is for."""

    other: Path | None = None

    def simulate(self, action: Any) -> Any:
        self.record_append({"called": self.log.count("simulate") + 1})
        return super().simulate(action)

    def episode_finish(self) -> None:
        super().episode_finish()
        self.record_append({"total": self.episode_reward, "count": self.episode_count})
        if self.other is not None:
            self.record_file = str(self.other)


@pytest.mark.parametrize("drive", [by_run, by_events])
@pytest.mark.parametrize("predict", [False, True])
def test_what_an_episode_was_is_in_its_last_line(
    tmp_path: Path, drive: Callable[[Simulator], None], predict: bool
) -> None:
    path = tmp_path / "r.json"
    if predict:
        by_run(ThreeSteps(made(tmp_path)))
    sim = Summing(made(tmp_path, record_file=str(path), predict=predict, episodes=3))
    sim.enable_keys(["total", "count", "called"])
    drive(sim)
    rows = read_record(path)
    assert [row["total"] for row in rows] == [None, None, 1.5] * 3
    assert [row["count"] for row in rows] == [None, None, 1, None, None, 2, None, None, 3]
    assert [row["called"] for row in rows] == list(range(1, 10))
    assert [row["statistics.episode_count"] for row in rows] == [0] * 3 + [1] * 3 + [2] * 3


def test_a_record_that_ends_with_an_episode_has_its_last_line(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    sim = Summing(made(tmp_path, record_file=str(first)))
    sim.enable_keys(["total"])
    sim.other = second
    by_run(sim)
    assert [row["total"] for row in read_record(first)] == [None, None, 1.5]
    sim = Summing(made(tmp_path, record_file=str(tmp_path / "c.json")))
    sim.enable_keys(["total"])
    for _ in range(4):
        sim.run()
    sim.close()  # The last step was not even told to be finished.
    assert len(read_record(tmp_path / "c.json")) == 3


def test_a_config_may_name_the_record_until_the_training_begins(tmp_path: Path) -> None:
    brain = made(tmp_path)
    sim = ThreeSteps(brain)
    assert sim.record_file is None
    brain.config.record_file = str(tmp_path / "a.json")
    assert sim.record_file == str(tmp_path / "a.json")
    sim.enable_keys(["foo"])
    while sim.run():
        sim.record_append({"foo": 1})
        brain.config.record_file = str(tmp_path / "late.json")
    assert [row["foo"] for row in read_record(tmp_path / "a.json")] == [1] * 9
    assert not (tmp_path / "late.json").exists()
    brain.config.predict, brain.config.episodes = True, 1
    brain.config.record_file = None
    sim = ThreeSteps(brain)
    sim.record_file = str(tmp_path / "own.json")
    brain.config.record_file = str(tmp_path / "b.json")
    by_run(sim)
    assert [row["predict"] for row in read_record(tmp_path / "own.json")] == [True] * 3
    assert not (tmp_path / "b.json").exists()


def test_a_new_record_file_closes_the_old_one(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.csv"
    sim = ThreeSteps(made(tmp_path, record_file=str(first)))
    while sim.episode_count < 1:
        sim.run()
    sim.record_file = str(second)
    by_run(sim)
    assert sim.record_file == str(second)
    assert len(read_record(first)) == 3
    assert len(read_record(second)) == 6


def test_without_a_record_nothing_happens(tmp_path: Path) -> None:
    sim = ThreeSteps(made(tmp_path))
    sim.enable_keys(["foo"])
    while sim.run():
        sim.record_append({"foo": object()})
    switched = made(tmp_path / "b", record_file=str(tmp_path / "r.csv"), record_enabled=False)
    by_run(ThreeSteps(switched))
    assert not (tmp_path / "r.csv").exists()


def test_keys_are_enabled_before_the_first_line(tmp_path: Path) -> None:
    sim = ThreeSteps(made(tmp_path, record_file=str(tmp_path / "r.csv")))
    sim.enable_keys(["foo"])
    for _ in range(3):
        sim.run()
    sim.enable_keys(["foo"])
    with pytest.raises(RecordError, match="'late': must be enabled before the first step"):
        sim.enable_keys(["late"])
    sim.close()


def test_closing_keeps_the_step_in_hand(tmp_path: Path) -> None:
    sim = ThreeSteps(made(tmp_path, record_file=str(tmp_path / "r.csv")))
    sim.run()
    sim.run()
    sim.close()
    assert len(read_record(tmp_path / "r.csv")) == 1


# What a kill leaves

KILLED = """
import sys, os
sys.path.insert(0, {test!r})
from pathlib import Path
from training_parts import ThreeSteps, made
left = int(sys.argv[2])
renames = int(sys.argv[3])
replace = os.replace
def counted(*paths):
    global renames
    renames -= 1
    if not renames:
        os.kill(os.getpid(), 9)
    replace(*paths)
os.replace = counted
class Slow(ThreeSteps):
    def simulate(self, action):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)
        return super().simulate(action)
folder = Path(sys.argv[1])
sim = Slow(made(folder, {changes!r}, record_file=str(folder / "r.csv"), resume=True))
while sim.run():
    pass
"""
CHANGES = {"training": {"episodes": 6}}


def run_killed(folder: Path, steps: int, renames: int = 0) -> int:
    """Train in a process that kills itself in some step, or when a file would take its place."""
    code = KILLED.format(test=str(Path(__file__).parent), changes=CHANGES)
    arguments = [sys.executable, "-c", code, str(folder), str(steps), str(renames)]
    return subprocess.run(arguments, timeout=120).returncode


@pytest.mark.parametrize("steps", [2, 5, 10])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, steps: int) -> None:
    whole = made(tmp_path / "whole", CHANGES, record_file=str(tmp_path / "whole" / "r.csv"))
    by_run(ThreeSteps(whole))
    folder = tmp_path / "killed"
    assert run_killed(folder, steps) == -signal.SIGKILL
    brain = made(folder, CHANGES, resume=True, record_file=str(folder / "r.csv"))
    finished = (steps - 1) // 3
    assert brain.status == "broken off"
    assert len(read_record(folder / "r.csv")) == steps - 1  # all but the step in hand
    sim = ThreeSteps(brain)
    assert len(sim.session.results.reward) == finished  # all but the episode in hand
    by_run(sim)
    told = [read_record(tmp_path / name / "r.csv") for name in ("killed", "whole")]
    unlike = ("time", "statistics.episode_count", *rates())
    for rows in told:
        for row in rows:
            for key in unlike:
                row.pop(key)
    assert told[0] == told[1]
    assert brain.versions == (1,)
    from test_training_episodes import weights

    assert weights(brain) == weights(whole)


@pytest.mark.parametrize("renames", range(5, 12))
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, renames: int
) -> None:
    whole = made(tmp_path / "whole", CHANGES)
    by_run(ThreeSteps(whole))
    assert run_killed(tmp_path / "killed", 0, renames) == -signal.SIGKILL
    brain = made(tmp_path / "killed", CHANGES, resume=True)
    # The first rename is of the definition; then every checkpoint, and the first before the first
    # episode, has three, the third of which counts.
    done = (renames - 2) // 3 - 1
    sim = ThreeSteps(brain)
    assert len(sim.session.results.reward) == done
    by_run(sim)
    from test_training_episodes import weights

    assert weights(brain) == weights(whole)


@pytest.mark.parametrize("renames", [23, 24])
def test_a_kill_before_the_version_is_there_changes_nothing_of_it(
    tmp_path: Path, renames: int
) -> None:
    whole = made(tmp_path / "whole", CHANGES)
    by_run(ThreeSteps(whole))
    # One rename is of the definition and 21 of checkpoints; then come the version's two files.
    assert run_killed(tmp_path / "killed", 0, renames) == -signal.SIGKILL
    brain = made(tmp_path / "killed", CHANGES, resume=True)
    assert brain.status == "broken off" and not brain.versions
    sim = ThreeSteps(brain)
    assert sim.session.plan() is None
    by_run(sim)
    (texts, arrays), (wanted, ends) = (read_brain_file(b.file_of()) for b in (brain, whole))
    assert texts == wanted and arrays.keys() == ends.keys()
    for name, array in arrays.items():
        assert np.array_equal(array, ends[name]), name


def rates() -> tuple[str, ...]:
    return "statistics.episode_rate", "statistics.iteration_rate"


def test_a_broken_off_training_is_not_lost_by_accident(tmp_path: Path) -> None:
    assert run_killed(tmp_path, 5) == -signal.SIGKILL
    with pytest.raises(Exception, match="broken off after 1 episodes: --resume goes on"):
        ThreeSteps(made(tmp_path, CHANGES)).run()
    changed = {**CHANGES, "neurons": {"size": 5}}
    with pytest.raises(Exception, match="defined anew since its training was broken off"):
        ThreeSteps(made(tmp_path, changed, resume=True)).run()
    sim = ThreeSteps(made(tmp_path, changed, restart=True))
    by_run(sim)
    assert len(sim.session.results.reward) == 6
