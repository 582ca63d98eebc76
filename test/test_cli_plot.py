"""``ab_ros plot``: a picture of every kind of record and result, and clear refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from training_parts import VALLEY

from ab_ros.cli import main
from ab_ros.engine import Network
from ab_ros.engine.record import Record, RecordMeta, Spikes, read_record
from ab_ros.engine.recorder import Recorder
from ab_ros.environments.exploration import GoalBabbling, explore
from ab_ros.environments.kinematic_arm import KinematicArm2D
from ab_ros.errors import ConfigError
from ab_ros.training import read_record as read_steps
from ab_ros.viz.activity import record_raster, record_rates
from ab_ros.viz.bands import make_bands, name_bands
from ab_ros.viz.episode import signal_figure
from ab_ros.viz.results import record_learning, result_figure
from ab_ros.viz.style import new_figure
from ab_ros.viz.traces import record_potentials, record_weights
from ab_ros.viz.training import record_training, summary_training


def made(path: Path, ticks: int = 300, **choice: Any) -> Path:
    brain = Network(seed=5, backend="numpy")
    brain.add_neurons("eye", 12, noise=8.0)
    brain.add_neurons("hand", 6, "CH", bias=8.0)
    brain.connect("eye to hand", "eye", "hand", "plastic", weight=3.0)
    brain.connect("hand to eye", "hand", "eye", weight=1.0)
    brain.build()
    with Recorder(brain, path, **choice) as recorder:
        while brain.ticks < ticks:
            recorder.record(brain.run(recorder.largest_block(ticks - brain.ticks)))
    return path


@pytest.fixture(scope="module")
def record_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "run.npz"
    weights = ("eye to hand", "hand to eye")
    return made(path, potentials=[0, 13, 17], weights=weights, weights_every=50)


def synthetic(groups: dict[str, int], ticks: int, rate: float, dt: float = 0.001) -> Record:
    rng = np.random.default_rng(1)
    total = sum(groups.values())
    events = int(rate * dt * ticks * total)
    cells = np.sort(rng.choice(total * ticks, events, replace=False))
    ends = np.cumsum(list(groups.values()))
    parts = np.split(np.arange(total, dtype=np.int32), ends[:-1])
    members = dict(zip(groups, parts, strict=True))
    every = np.arange(total, dtype=np.int32)
    meta = RecordMeta("test", 1, dt, total, 0, ticks, every, members, {}, True)
    spikes = Spikes(cells // total, (cells % total).astype(np.int32))
    return Record(spikes, None, {}, meta)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("what", ["raster", "rate", "potential", "weights", "learning-curve"])
def test_every_picture_of_a_record_is_written(
    what: str, record_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "new" / "picture.png"
    assert main(["plot", str(record_file), "--what", what, "-o", str(picture)]) == 0
    assert capsys.readouterr().out == f"{picture}\n"
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert min(image.size) >= 300


def test_the_picture_lies_beside_the_record(tmp_path: Path) -> None:
    path = made(tmp_path / "my.run.csv", 50)
    assert main(["plot", str(path)]) == 0
    assert main(["plot", str(path), "--what", "rate"]) == 0
    assert sorted(file.name for file in tmp_path.glob("*.png")) == [
        "my.run_raster.png",
        "my.run_rate.png",
    ]


def test_a_run_that_was_cut_short_is_drawn_from_its_parts(tmp_path: Path) -> None:
    brain = Network(seed=5, backend="numpy")
    brain.add_neurons("eye", 5, noise=8.0)
    brain.build()
    recorder = Recorder(brain, tmp_path / "run.npz")
    for _ in range(12):
        recorder.record(brain.run(100))
    assert main(["plot", str(tmp_path / "run.npz.part")]) == 0
    assert (tmp_path / "run_raster.png").is_file()
    figure = record_raster(read_record(recorder.part))
    assert "cut short" in figure.axes[1].get_title(loc="left")
    recorder.abort()


def test_a_raster_names_groups_and_their_rates(record_file: Path) -> None:
    record = read_record(record_file)
    figure = record_raster(record)
    rate = np.isin(record.spikes.neuron, record.neurons_of("hand")).sum() / 6 / 0.3
    assert {"eye (12)", "hand (6)", f"{rate:.1f} Hz"} <= set(words(figure))
    only = record_raster(record, groups=["hand"], start=100, stop=200)
    assert "eye (12)" not in words(only)
    assert only.axes[0].get_xlim() == pytest.approx((0.1, 0.2))
    assert only.axes[0].get_xlabel() == "time (s)"


@pytest.mark.parametrize("neurons", [1, 8000])
def test_one_neuron_and_thousands_are_drawn(neurons: int, tmp_path: Path) -> None:
    record = synthetic({"cells": neurons}, 2000, 20.0)
    figure = record_raster(record)
    upper = figure.axes[1]
    # A few spikes are marks, one each; many are a picture that is no larger than it needs to be.
    if neurons == 1:
        assert len(upper.collections[0].get_segments()) == record.spikes.tick.size  # type: ignore[attr-defined]
    else:
        pixels = upper.images[0].get_array()
        assert pixels is not None
        assert pixels.shape[0] <= 700 and pixels.shape[1] <= 1200
        assert any("darker" in word for word in words(figure))
    record_rates(record).savefig(tmp_path / "rate.png")


def test_rates_are_those_of_the_groups() -> None:
    lines = record_rates(synthetic({"a": 30, "b": 10}, 4000, 25.0))
    legend = lines.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().split("  ")[0] for text in legend.get_texts()] == ["a", "b"]
    many = record_rates(synthetic({f"group {k}": 5 for k in range(9)}, 4000, 25.0))
    table = many.axes[0].collections[0].get_array()
    assert table is not None
    assert np.asarray(table).mean() == pytest.approx(25.0, rel=0.01)
    assert many.axes[0].get_yticklabels()[8].get_text() == "group 8 (5)"


def test_names_of_small_groups_do_not_overlap() -> None:
    sizes = {**{f"small {k}": 2 for k in range(12)}, "large": 8000}
    groups = {name: np.zeros(size, np.int32) for name, size in sizes.items()}
    figure = new_figure(8.0, 4.0)
    axes = figure.add_subplot()
    name_bands(axes, make_bands(groups), inches=4.0)
    places = [text.get_position()[1] for text in axes.texts]
    assert len(places) == 13
    assert np.diff(places).max() <= -9.0 * 1.3 / 72 / 4.0 + 1e-9
    assert min(places) >= 0.0
    assert max(places) <= 1.0
    crowded = new_figure(8.0, 1.0).add_subplot()
    name_bands(crowded, make_bands(groups), inches=0.5)
    said = [text.get_text() for text in crowded.texts]
    assert "large (8000)" in said
    assert any("small groups unnamed" in word for word in said)


def test_potentials_are_named_and_many_become_a_map(record_file: Path, tmp_path: Path) -> None:
    figure = record_potentials(read_record(record_file))
    assert [axes.get_ylabel() for axes in figure.axes] == ["eye [0]", "hand [1]", "hand [5]"]
    few = record_potentials(read_record(record_file), groups=["hand"], start=0, stop=100)
    assert [axes.get_ylabel() for axes in few.axes] == ["hand [1]", "hand [5]"]
    path = made(tmp_path / "all.npz", 40, potentials=range(18), spikes=[])
    many = record_potentials(read_record(path))
    assert len(many.axes[0].images) == 2
    assert many.axes[1].get_ylabel() == "membrane potential (mV)"


def test_weights_are_drawn_by_projection(record_file: Path) -> None:
    record = read_record(record_file)
    assert any("eye to hand   (72 synapses)" in word for word in words(record_weights(record)))
    one = record_weights(record, projections=["hand to eye"])
    assert not any("eye to hand" in word for word in words(one))
    learned = record_learning(record).axes[0]
    fixed, moved = sorted(learned.lines, key=lambda line: float(np.max(line.get_ydata())))
    assert (fixed.get_label(), moved.get_label()) == ("hand to eye", "eye to hand")
    assert not np.any(fixed.get_ydata())


def test_the_chemotaxis_index_of_every_start_is_drawn(tmp_path: Path) -> None:
    result = {
        "brain": "arena_v1",
        "chemotaxis_index": {"mean": 0.5, "starts": [0.9, 0.1, 0.5]},
        "controls": {"no_sensors": {"mean": 0.0, "starts": [0.1, -0.3, 0.2]}},
    }
    figure = result_figure(result)
    points = figure.axes[0].lines[1].get_ydata()
    assert np.asarray(points).tolist() == [0.9, 0.1, 0.5]
    bars = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert bars == ["this run", "no sensors"]
    assert words(figure) == ["+0.50", "+0.00"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"chemotaxis_index": {"starts": [0.4]}}))
    assert main(["plot", str(path)]) == 0
    assert (tmp_path / "result_learning-curve.png").is_file()


def test_the_errors_of_a_demo_are_drawn_in_order() -> None:
    errors = {"learned": 2.8, "no_learning": 19.0, "start": 14.3, "still": 13.0}
    figure = result_figure({"rms_error": errors})
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["held still", "untrained", "learned", "no learning"]
    assert "2.8°" in words(figure)


@pytest.mark.parametrize(
    "result",
    [
        [],
        {},
        {"chemotaxis_index": 0.5},
        {"chemotaxis_index": {"starts": []}},
        {"chemotaxis_index": {"starts": [0.1, float("nan")]}},
        {"chemotaxis_index": {"starts": [0.1, "far"]}},
        {"rms_error": {"start": None}},
    ],
)
def test_a_result_of_another_form_is_refused(result: Any) -> None:
    with pytest.raises(ConfigError, match=r"no result that can be drawn|finite number"):
        result_figure(result)


# --- What explorations and trainings write


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that a training and an exploration write."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "valley.yaml"
    config.write_text(json.dumps(VALLEY))
    for suffix in ("json", "csv"):
        files = ["--record", str(folder / f"steps.{suffix}"), "--signals", str(folder / "signals")]
        arguments = ["--brains", str(folder / "brains"), "--out", str(folder / "out")]
        assert main(["train", str(config), *arguments, *files]) == 0
    (folder / "result.json").write_text(json.dumps({"rms_error": {"start": 1.0}}))
    arm = KinematicArm2D({"dim": 3})
    for suffix in ("npz", "csv"):
        made = folder / f"made.{suffix}"
        explore(arm, GoalBabbling(arm.m_channels, arm.s_channels), 40, record=made)
    return folder


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("made.npz", "reached"),
        ("made.csv", "reached"),
        ("steps.json", "learning-curve"),
        ("steps.csv", "learning-curve"),
        ("signals/episode_000001.npz", "signals"),
    ],
)
def test_what_explorations_and_trainings_record_is_drawn(
    name: str, what: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(trained / name)]) == 0
    picture = (trained / name).with_name(f"{Path(name).stem}_{what}.png")
    assert capsys.readouterr().out == f"{picture}\n"
    with Image.open(picture) as image:
        assert min(image.size) >= 300


def test_a_record_of_episodes_is_drawn_episode_by_episode(trained: Path) -> None:
    lines = read_steps(trained / "steps.json")
    figure = record_training(lines, title="valley")
    rewards = np.asarray(figure.axes[0].lines[0].get_ydata())
    ends = [line["statistics.episode_reward"] for line in lines if line["terminal"]]
    last = {line["statistics.episode"]: line["statistics.episode_reward"] for line in lines}
    assert len(ends) in (0, 4)
    np.testing.assert_allclose(rewards, list(last.values()))
    # Two trainings to the same file are more episodes, though their numbers begin anew.
    twice = record_training([*lines, *lines], title="valley")
    assert len(np.asarray(twice.axes[0].lines[0].get_ydata())) == 2 * rewards.size
    with pytest.raises(ConfigError, match="line 1 of the record: needs numbers"):
        record_training([{"reward": None}], title="valley")


def test_the_episodes_of_a_summary_are_drawn() -> None:
    episodes = {"reward": [1.0, 2.5], "steps": [3, 4], "success": [0, None]}
    for summary in ({"brain": "b", **episodes}, {"brain": "b", "results": episodes}):
        figure = summary_training(summary)
        assert np.asarray(figure.axes[0].lines[0].get_ydata()).tolist() == [1.0, 2.5]
        assert "2 episodes, 7 steps" in figure.axes[0].get_title(loc="left")
    with pytest.raises(ConfigError, match="draw its record"):
        summary_training({"brain": "b", "mean_reward": 1.0, "steps": 7})
    with pytest.raises(ConfigError, match="lists of one length"):
        summary_training({"reward": [1.0], "steps": [1, 2]})


def test_signals_are_drawn_one_below_the_other(trained: Path) -> None:
    with np.load(trained / "signals" / "episode_000002.npz") as file:
        signals = {name: file[name] for name in file.files}
    figure = signal_figure(signals)
    drawn = {axes.get_ylabel().split("\n")[0]: axes for axes in figure.axes}
    assert {"place", "shove", "reward"} <= set(drawn)
    values = np.asarray(drawn["place"].lines[0].get_ydata())
    np.testing.assert_array_equal(values, signals["state.place"])
    spikes = next(name for name in signals if name.startswith("spikes."))
    some = signal_figure(signals, names=["reward", spikes], start=1, stop=4)
    assert len(some.axes) == 2
    table = some.axes[1].images[0].get_array()
    np.testing.assert_array_equal(np.asarray(table), signals[spikes][1:4].T)
    for wrong, words in (
        ({"names": ["speed"]}, "'speed': is not among the signals; one of: "),
        ({"start": 99}, "steps from 99 to before"),
        ({"stop": -1}, "steps from 0 to before -1"),
    ):
        with pytest.raises(ConfigError, match=words):
            signal_figure(signals, **wrong)
    with pytest.raises(ConfigError, match=r"'state\.place' is float64"):
        signal_figure({**signals, "state.place": np.zeros(1)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["made.npz", "--what", "raster"], "is a record of an exploration; one of: reached"),
        (["steps.csv", "--what", "signals"], "is a record of episodes; one of: learning-curve"),
        (["made.csv", "--groups", "x", "z"], "no channel 'z'"),
        (["result.json", "--what", "raster"], "is a result; one of: learning-curve"),
        (["steps.json", "--from", "3"], "--from and --to: "),
        (["steps.json", "--groups", "a"], "which has none"),
    ],
)
def test_what_there_is_not_of_a_file_is_refused(
    arguments: list[str], message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(trained / arguments[0]), *arguments[1:]]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{record}", "-o", "picture.jpg"], 2, "name one that ends in .png"),
        (["{record}", "--groups", "foot"], 2, "'foot': is not in the record; one of: eye, hand"),
        (["{record}", "--from", "300"], 2, "has the ticks from 0 to before 300"),
        (["{record}", "--what", "weights", "--groups", "x"], 2, "one of: eye to hand"),
        (["none.npz"], 1, "none.npz: there is no such record"),
        (["none.txt"], 1, "one of: .npz, .csv, .h5, .hdf5"),
        (["none.json"], 2, "none.json: cannot be read as JSON"),
    ],
)
def test_wrong_use_fails_with_a_sentence(
    arguments: list[str],
    code: int,
    message: str,
    record_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(record=record_file) for argument in arguments]
    assert main(["plot", *given]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_what_was_not_recorded_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(made(tmp_path / "run.npz", 20, spikes=[]))
    for what, lacking in (
        ("raster", "spikes of no neuron"),
        ("potential", "no potentials"),
        ("weights", "no weights"),
        ("learning-curve", "no weights"),
    ):
        assert main(["plot", path, "--what", what]) == 2
        assert lacking in capsys.readouterr().err


def test_without_matplotlib_the_error_says_what_to_install(
    record_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("matplotlib", "PIL")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [n for n in sys.modules if n.startswith("ab_ros.viz")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["plot", str(record_file)]) == 1
    assert "'pip install ab_ros[plot]'" in capsys.readouterr().err
