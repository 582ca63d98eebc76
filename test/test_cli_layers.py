"""``ab_ros layers``: what a user sees of layered brains on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ab_ros.cli import main
from ab_ros.layered import LayeredBrain
from ab_ros.layered.records import Experiment, Snapshot

DEFINITION = {
    "name": "little",
    "sensors": {
        "x": {
            "kind": "Scalar",
            "encoder": "simple_bits",
            "options": {"lower": 0, "upper": 10, "length": 20, "sparsity": 0.1},
        },
        "pair": {
            "kind": "Vector",
            "encoder": "cyclic_bits",
            "options": {"values": 2, "lower": 0, "upper": 360, "length": 10},
        },
    },
    "computation": {"type": "sparse", "count": 3},
    "learning": {"type": "hebbian"},
    "layers": [{"name": "a", "shape": [5, 4]}, {"name": "b", "shape": 8, "layer": "reach"}],
    "feed_forward": ["MAIN"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "little.json"
    path.write_text(json.dumps(DEFINITION))
    return path


def out(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_show_says_what_a_brain_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", "show", str(file)]) == 0
    text = "\n".join(out(capsys))
    assert "little, seed 0: 28 neurons, 960 weights, 0 ticks old" in text
    assert "x     Scalar, simple_bits, 20 bits, topic x" in text
    assert "5x4      SparseComputation(n=3)  HebbianLearning()" in text
    assert "b *" in text and "by reach" in text
    assert "a MAIN x, pair 800 0.504 0.000" in " ".join(text.split())


def test_run_shows_activity_and_keeps_what_was_learned(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, snapshot, plot = tmp_path / "l.db", tmp_path / "l.pb", tmp_path / "l.png"
    arguments = ["layers", "run", str(file), "--ticks", "150", "--signal", "noise", "--seed", "3"]
    arguments += ["--save", str(saved), "--snapshot", str(snapshot), "--plot", str(plot)]
    assert main(arguments) == 0
    lines = out(capsys)
    assert lines[0].startswith("little: 150 ticks in ") and "learning on" in lines[0]
    assert lines[2].split() == ["a", "3.00", "0.1500"]
    assert [line.strip() for line in lines[-3:]] == [str(plot), str(snapshot), str(saved)]
    assert plot.stat().st_size > 5000
    brain = LayeredBrain.load(saved)
    assert brain.network.tick_count == Snapshot.load(snapshot).tick == 150
    assert main(["layers", "show", str(saved)]) == 0
    assert "150 ticks old" in out(capsys)[0]
    again = tmp_path / "again.db"
    assert main(["layers", "run", str(saved), "--ticks", "10", "--no-learning"]) == 0
    assert "learning off" in out(capsys)[0]
    assert main(["layers", "run", str(saved), "--seed", "9", "--save", str(again)]) == 0
    assert (brain.seed, LayeredBrain.load(again).seed) == (3, 9)


def test_run_takes_values_of_a_table(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "v.csv"
    table.write_text("x,pair,pair\n1,0,90\n,180,270\n2.5,,\n")
    assert main(["layers", "run", str(file), "--values", str(table)]) == 0
    assert "little: 3 ticks" in out(capsys)[0]
    for text, says in (
        ("y\n1\n", ":1: 'y' is no sensor of the brain; one of: x, pair"),
        ("pair\n1\n", ":1: the sensor 'pair' takes 2 numbers, but has 1 columns"),
        ("x\n1\nfast\n", ":3: 'x': must be finite numbers (got fast)"),
        ("x\nnan\n", ":2: 'x': must be finite numbers (got nan)"),
        ("x\n1,2\n", ":2: has 2 cells, but the head has 1"),
        ("x\n", ": has no rows of values"),
    ):
        table.write_text(text)
        assert main(["layers", "run", str(file), "--values", str(table)]) == 2
        assert f"ab_ros: {table}{says}" in capsys.readouterr().err
    table.write_text("x\n99\n")
    assert main(["layers", "run", str(file), "--values", str(table)]) == 1
    assert "value must be in [0, 10] (got 99)" in capsys.readouterr().err


def test_benchmark_compares_brains(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "dense.json"
    changed = {**DEFINITION, "computation": {"type": "standard", "threshold": 0}}
    other.write_text(json.dumps(changed))
    plot, experiment = tmp_path / "b.png", tmp_path / "b.pb"
    arguments = ["layers", "benchmark", str(file), str(other), "--ticks", "50"]
    assert main([*arguments, "--plot", str(plot), "--experiment", str(experiment)]) == 0
    lines = out(capsys)
    assert "little  6 ± 0" in lines[2] and "dense   28 ± 0" in lines[3]
    read = Experiment.load(experiment)
    assert list(read.subjects) == ["little", "dense"] and read.ticks == 50
    assert plot.stat().st_size > 5000
    changed["sensors"] = {"z": DEFINITION["sensors"]["x"]}
    other.write_text(json.dumps(changed))
    assert main(arguments) == 2
    assert "different sensors (x, pair and z)" in capsys.readouterr().err


def test_what_is_wrong_is_said_with_its_place(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, code, says in (
        (["run", str(tmp_path / "no.db")], 1, "there is no such brain file"),
        (["run", str(file), "--plot", "a.jpg"], 2, "--plot a.jpg: pictures are PNG files"),
        (["benchmark", str(file), "--plot", "a"], 2, "--plot a: pictures are PNG files"),
        (["run", str(file), "--signal", "sine", "--values", "v.csv"], 2, "give one of them"),
        (["show", str(Path(__file__))], 1, "is not a readable brain file"),
    ):
        assert main(["layers", *arguments]) == code
        assert says in capsys.readouterr().err
    file.write_text(json.dumps({**DEFINITION, "layers": [{"shape": 0}]}))
    assert main(["layers", "show", str(file)]) == 2
    assert "layers[0].shape" in capsys.readouterr().err


def test_the_help_has_a_definition_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["layers", "--help"])
    text = capsys.readouterr().out
    example = text[text.index('{"sensors"') : text.index('"loop_back": ["neighbors"]}') + 27]
    file = tmp_path / "example.json"
    file.write_text(example)
    assert main(["layers", "run", str(file), "--ticks", "20"]) == 0
    assert "b" in capsys.readouterr().out
