"""The command ``ab_ros brain``, as a user sees it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from recipe_parts import recipe_document, write_parts
from training_parts import made

from ab_ros.cli import main
from ab_ros.cli.progress import ProgressBar
from ab_ros.engine import Brain
from ab_ros.engine.record import read_record
from ab_ros.layered import LayeredBrain, Neurons, Sensor, SimpleEncoder, SparseComputation
from ab_ros.training.mind import make_brain

# The recipe's input is 12 trains wide by its own word; an encoder that makes as many.
EYE = {
    "kind": "Image",
    "encoder": "saliency",
    "options": {"width": 3, "height": 4},
    "to": "left.set_in",
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    document = recipe_document()
    document["io"]["inputs"]["eye"] = EYE
    return write_parts(tmp_path, document)


@pytest.fixture
def brain(recipe: Path) -> Path:
    assert main(["brain", "build", str(recipe), "-o", "b.db"]) == 0
    return recipe.with_name("b.db")


def test_build_writes_a_brain_under_its_name_and_seed(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["brain", "build", "small.json"]) == 0
    assert main(["brain", "build", str(recipe), "--seed", "8"]) == 0
    out = capsys.readouterr().out
    assert "small, seed 5: 72 neurons in 3 components" in out
    assert "brains/small_s8.db" in out
    files = sorted(Path("brains").iterdir())
    assert [file.name for file in files] == ["small_s5.db", "small_s8.db"]
    assert [Brain.load(file).plan.seed for file in files] == [5, 8]
    assert Brain.load(files[0]).plan.sources[0].size == 12


def test_the_same_seed_builds_the_same_bytes(recipe: Path) -> None:
    for name in ("one.db", "two.db"):
        assert main(["brain", "build", str(recipe), "-o", name]) == 0
    assert Path("one.db").read_bytes() == Path("two.db").read_bytes()


def test_info_says_what_a_brain_consists_of(
    brain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["brain", "info", str(brain), "--json", "out/figures.json", "--ticks", "200"]) == 0
    out = capsys.readouterr().out
    for line in (
        r"small, seed 5: 72 neurons, \d+ synapses, \d+\.\d MB",
        r"left +latch +0 +6 +24 +\d+\.\d",
        r"measured over 200 ticks, without input and without learning",
        r"reward_plastic +\d+ +\d+\.\d%",
        r"crosswire +\d+ +\d+\.\d%",
        r"projection : crosswire +\d+\.\d\d",
        r"input eye +12",
        r"output move +8",
        r"feedback error +4",
        r"reward layers +mood",
        r"ticks +0",
    ):
        assert re.search(line, out), line
    figures = json.loads(Path("out/figures.json").read_text())
    plan = Brain.load(brain).plan
    assert figures["neurons_by_type"] == {"RS": 32, "FS": 12, "CH": 12, "LTS": 8, "user": 8}
    assert sum(figures["synapses_by_type"].values()) == plan.synapses
    assert sum(figures["synapses_by_origin"].values()) == plan.synapses
    origin = figures["synapses_by_origin"]
    ratio = origin["projection"] / origin["crosswire"]
    assert figures["projection_to_crosswire"] == ratio
    assert figures["fan_in"]["mean"] == pytest.approx(plan.synapses / 72)
    assert figures["rates"]["ticks"] == 200
    assert figures["rates"]["types"]["LTS"] > 0
    assert figures["learned"] == {"ticks": 0, "moved": {}, "pruned": {}}


def test_info_measures_rates_with_currents(brain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--current", "left.kill=10", "--ticks", "1000", "--json", "f.json"]
    assert main(["brain", "info", str(brain), *arguments]) == 0
    assert "1000 ticks, with left.kill = 10 and without learning" in capsys.readouterr().out
    rates = json.loads(Path("f.json").read_text())["rates"]
    assert rates["currents"] == {"left.kill": 10}
    assert rates["components"]["left"] > rates["components"]["right"] + 10


def test_run_records_learns_and_saves(brain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = brain.read_bytes()
    drive = ["--current", "left.ring_in=9", "relay.in=8", "--ticks", "250"]
    record = ["--record", "r.npz", "--groups", "left.out", "relay.out"]
    more = ["--potentials", "left[0].ring_a", "--every", "10", "--weights", "left:plastic"]
    assert main(["brain", "run", str(brain), *drive, *record, *more, "--save", "later.db"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"small: 250 ticks in .* ticks/s\), learning on, now 250 ticks old", out)
    assert re.search(r"left +\d+\.\d", out)
    assert brain.read_bytes() == before
    later = Brain.load("later.db")
    assert later.ticks == 250
    expected = Brain.load(brain)
    given = {"left.ring_in": 9.0, "relay.in": 8.0}
    fired = expected.run(250, given)
    assert np.array_equal(later.network.state()["neurons/v"], expected.network.state()["neurons/v"])
    recorded = read_record("r.npz")
    chosen = np.union1d(expected.neurons_of("left.out"), expected.neurons_of("relay.out"))
    assert len(recorded.spikes.tick) == fired[:, chosen].sum()


def test_run_without_learning_leaves_the_weights(brain: Path) -> None:
    for word, moved in (("--no-learning", False), ("", True)):
        options = [word] if word else []
        drive = ["--ticks", "200", "--current", "latch.set_in=9", "latch.ring_in=9"]
        assert main(["brain", "run", str(brain), *drive, *options, "--save", "x.db"]) == 0
        later = Brain.load("x.db")
        assert (later.network.edges("left:plastic")[2] != 6.0).any() == moved
        assert later.learning


def test_validate_tells_recipes_from_brains(
    brain: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["brain", "validate", str(recipe)]) == 0
    assert main(["brain", "validate", str(brain)]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"small\.json: a recipe, 72 neurons in 3 components, \d+ synapses: no err", out
    )
    assert re.search(r"b\.db: a brain, 72 neurons .* 0 ticks old: no errors", out)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["validate", "soup"], 2, r"ab_ros: recipe 'soup': unknown; a path"),
        (["validate", "no.json"], 2, r"ab_ros: no\.json: cannot be read"),
        (["validate", "bad.json"], 2, r"bad\.json: projections\[0\]\.delay: must be at least 1"),
        (["build", "bad.json"], 2, r"bad\.json: projections\[0\]\.delay: must be at least 1"),
        (["validate", "eye.json"], 2, r"io\.inputs\.eye\.encoder: unknown encoder 'ear'"),
        (["validate", "size.json"], 2, r"io\.inputs\.eye\.size: its encoder 'saliency' makes"),
        (["validate", "cut.db"], 1, r"ab_ros: cut\.db: is truncated|not a readable brain file"),
        (["info", "no.db"], 1, r"ab_ros: no\.db: there is no such brain file"),
        (["info", "."], 1, r"ab_ros: \.: is a folder"),
        (["info", "/dev/null"], 1, r"ab_ros: /dev/null: there is no such brain file"),
        (["info", "bad.json"], 1, r"ab_ros: bad\.json: is not a readable brain file"),
        (["run", "b.db", "--ticks", "5", "--current", "up.in=1"], 1, r"unknown component 'up'"),
        (["run", "b.db", "--ticks", "5", "--groups", "left"], 2, r"what to --record: give a FILE"),
        (["run", "b.db", "--ticks", "5", "--record", "r.txt"], 1, r"r\.txt"),
        (["run", "b.db", "--ticks", "5", "--save", "/proc/no/b.db"], 1, r"cannot be written"),
        (["build", "small.json", "-o", "/proc/no/b.db"], 1, r"cannot be written"),
        (["info", "b.db", "--json", "/proc/no/f.json"], 1, r"f\.json: cannot be written"),
    ],
)
def test_failures_have_a_message_and_an_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    brain: Path,
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = json.loads(recipe.read_text())
    document["projections"][0]["delay"] = 0
    Path("bad.json").write_text(json.dumps(document))
    for name, change in (("eye", {"encoder": "ear"}), ("size", {"size": 5})):
        document = json.loads(recipe.read_text())
        document["io"]["inputs"]["eye"].update(change)
        Path(f"{name}.json").write_text(json.dumps(document))
    Path("cut.db").write_bytes(brain.read_bytes()[:70_000])
    capsys.readouterr()
    assert main(["brain", *arguments]) == code
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "b.db"], r"required: --ticks"),
        (["run", "b.db", "--ticks", "0"], r"--ticks: must be at least 1 \(got 0\)"),
        (
            ["run", "b.db", "--ticks", "1", "--current", "left"],
            r"must be SELECTOR=VALUE with a fin",
        ),
        (
            ["run", "b.db", "--ticks", "1", "--current", "left=nan"],
            r"such as left\.on_in=8 \(got 'l",
        ),
        (["build", "small.json", "--seed", "-1"], r"--seed: "),
        ([], r"required: ACTION"),
    ],
)
def test_wrong_use_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["brain", *arguments])
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_help_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["brain", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "ab_ros brain build arena_v1" in out
    assert "left[3].on_in is that of instance 3" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_is_for_terminals_only() -> None:
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        with ProgressBar(50, "ticks", stream) as bar:
            for _ in range(5):
                bar.advance(10)
    assert file.getvalue() == ""
    assert "100%  50 / 50 ticks" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")
    bar = ProgressBar(40, "ticks", file)
    bar.advance(10)
    assert bar.line(2.0).endswith("25%  10 / 40 ticks  5 ticks/s  6 s left")


def test_info_and_validate_know_a_brain_that_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, figures_file = tmp_path / "1.brain", tmp_path / "figures.json"
    made_brain = make_brain(made(tmp_path).definition, None, 3)
    made_brain.open()
    made_brain.save(trained)
    assert main(["brain", "info", str(trained), "--json", str(figures_file)]) == 0
    out = capsys.readouterr().out
    for line in (
        r"1\.brain: 8 neurons, 64 synapses, \d+\.\d MB; cycles of 10 timesteps of 1 ms",
        r"state +Vector, population, 8 trains",
        r"delta_1 \* +FS +4",
        r"state +delta_0 +reward_plastic by delta_0 +32 +\d",
        r"reward layers +delta_0, delta_1",
    ):
        assert re.search(line, out), (line, out)
    figures = json.loads(figures_file.read_text())
    weights = made_brain.network.edges(figures["projections"][0]["name"])[2]
    assert figures["projections"][0]["weight"]["most"] == float(weights.max())
    assert main(["brain", "validate", str(trained)]) == 0
    assert "a brain, 8 neurons: no errors" in capsys.readouterr().out
    assert main(["brain", "info", str(trained), "--current", "a=1"]) == 2
    assert "only brains built from a recipe" in capsys.readouterr().err
    trained.write_bytes(trained.read_bytes()[:5000])
    assert main(["brain", "info", str(trained)]) == 1
    assert str(trained) in capsys.readouterr().err


def test_info_knows_a_layered_brain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "layers.db"
    LayeredBrain(
        Neurons(5, "little"), Sensor(SimpleEncoder(0, 1, 10), name="x"), SparseComputation(1)
    ).save(file)
    assert main(["brain", "info", str(file)]) == 0
    assert "5 neurons, 50 weights, 0 ticks old" in capsys.readouterr().out
    assert main(["brain", "validate", str(file)]) == 0
    assert "a brain, 5 neurons" in capsys.readouterr().out
