"""The command ``ab_ros arena``, as a user sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from worm_parts import write_worm

from ab_ros.cli import arena, main
from ab_ros.cli.arena_result import figures_of, table, top_speed
from ab_ros.engine import Brain
from ab_ros.environments.chemotaxis import Start, Track, random_starts
from ab_ros.environments.trials import Condition, run_trials
from ab_ros.errors import WorldError

RUN = ["arena", "run", "worm.db", "--ticks", "250", "--backend", "numpy"]
INDICES = ("run_minus_no_learning", "run_minus_no_sensors", "no_learning_minus_no_sensors")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("prepared")
    assert main(["arena", "prepare", str(write_worm(folder)), "-o", str(folder / "w.db")]) == 0
    return (folder / "w.db").read_bytes()


@pytest.fixture
def worm(prepared: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared brain, ``worm.db`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_worm(tmp_path)
    Path("worm.db").write_bytes(prepared)
    return tmp_path / "worm.db"


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the time, where the picture is not what is tested."""
    monkeypatch.setattr(arena, "can_draw", lambda: False)


def read(path: str) -> Any:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(Path(path).read_text(), parse_constant=refuse)


def without_time(result: Any) -> Any:
    if isinstance(result, dict):
        return {k: without_time(v) for k, v in result.items() if k != "ticks_per_second"}
    return [without_time(v) for v in result] if isinstance(result, list) else result


# Preparing


def test_a_recipe_is_built_and_prepared(worm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", "prepare", "tiny_worm.json"]) == 0
    out = capsys.readouterr().out
    for line in (
        r"tiny_worm: built from its recipe with seed 3, \d+ neurons, \d+ synapses",
        r"tiny_worm: 112 neurons move",
        r"dorsal +excitatory +56 +(3 +){8}(2 +){16}head_steering, forward_motor",
        r"tiny_worm: 24 neurons sense",
        r"chemical +head +OFF +right +4 +chemo_right",
        r"not in this brain: backward_motor\.dorsal_muscle, .*warmth\.channel_in",
        r"brains/tiny_worm_s3\.db \(\d+\.\d MB\)",
    ):
        assert re.search(line, out), line
    brain = Brain.load("brains/tiny_worm_s3.db")
    assert (brain.body_map.size, brain.sensor_map.size, brain.ticks) == (112, 24, 0)


def test_a_brain_file_is_prepared_in_place_or_elsewhere(
    worm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["brain", "build", "tiny_worm.json", "-o", "b.db"]) == 0
    raw = Path("b.db").read_bytes()
    assert main(["arena", "prepare", "b.db", "-o", "new/c.db"]) == 0
    assert Path("b.db").read_bytes() == raw
    Path("one.yaml").write_text(
        "body:\n- {ports: cpg.dorsal, side: ventral, effect: inhibitory, segments: [2, 3]}\n"
        "sensors:\n- {ports: choice.a_in, kind: thermal, place: tail}\n"
    )
    capsys.readouterr()
    assert main(["arena", "prepare", "b.db", "--map", "one.yaml"]) == 0
    out = capsys.readouterr().out
    assert "built" not in out
    assert "not in this brain" not in out
    assert re.search(r"ventral +inhibitory +1 +0 +0 +1 +0", out)
    brain = Brain.load("b.db")
    assert [tuple(row)[1:] for row in brain.body_map] == [(2, "ventral", "inhibitory")]
    assert brain.neurons_of("choice.a_in").tolist() == brain.sensor_map["neuron"].tolist()
    assert Brain.load("new/c.db").body_map.size == 112


# Running


def test_a_run_is_told_and_written(worm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = worm.read_bytes()
    capsys.readouterr()
    options = ["--starts", "2", "--seed", "4", "--controls", "--json", "new/r.json"]
    assert main([*RUN, *options]) == 0
    out = capsys.readouterr().out
    for line in (
        r"tiny_worm, 0 ticks old: 250 ticks from each of 2 starts, learning on, sensors on",
        r"start +bearing +heading +this run +no learning +no sensors +wall ticks",
        r"\n  2 +-?\d+° +-?\d+° +[+-]0\.\d{3} +[+-]0\.\d{3} +[+-]0\.\d{3} +0\n",
        r"mean .* [+-]0\.\d{3}",
        r"sd .* 0\.\d{3}",
        r"this run - no sensors +[+-]\d\.\d{3} +\[[+-]\d\.\d{3}, [+-]\d\.\d{3}\]",
        r"\d+ ticks/s",
        r"new/r\.json\n",
        r"new/r\.png\n",
    ):
        assert re.search(line, out), line
    assert worm.read_bytes() == before
    result = read("new/r.json")
    assert (result["brain"], result["file"]) == ("tiny_worm", "worm.db")
    assert (result["ticks"], result["seed"], result["age"]) == (250, 4, 0)
    assert (result["learning"], result["sensors"], result["carry"]) == (True, True, False)
    assert result["ticks_per_second"] > 0
    index = result["chemotaxis_index"]
    assert index["mean"] == pytest.approx(np.mean(index["starts"]))
    assert index["sd"] == pytest.approx(np.std(index["starts"], ddof=1))
    assert {len(part["starts"]) for part in result["controls"].values()} == {2}
    assert set(result["controls"]) == {"no_learning", "no_sensors"}
    assert set(result["paired_differences"]) == set(INDICES)
    difference = result["paired_differences"]["run_minus_no_sensors"]
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert difference["mean"] == pytest.approx(
        index["mean"] - result["controls"]["no_sensors"]["mean"]
    )
    starts = random_starts(2, 4)
    for number, row in enumerate(result["starts"]):
        assert (row["x"], row["y"]) == (starts[number].x, starts[number].y)
        assert row["index"] == index["starts"][number]
        assert (row["wall_ticks"], row["rewards"]) == (0, 1)
    assert result["versions"]["ab_ros"]
    with Image.open("new/r.png") as image:
        assert image.format == "PNG"
    assert main(["plot", "new/r.json"]) == 0
    assert Path("new/r_learning-curve.png").is_file()


@pytest.mark.usefixtures("no_picture")
def test_processes_change_nothing_but_the_time(worm: Path) -> None:
    options = ["--starts", "2", "--controls", "--ticks", "120", "--json"]
    assert main([*RUN, *options, "one.json"]) == 0
    assert main([*RUN, *options, "two.json", "--jobs", "2"]) == 0
    assert without_time(read("one.json")) == without_time(read("two.json"))


def test_backends_and_a_built_brain_change_nothing_either(
    worm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--starts", "1", "--ticks", "300", "--json"]
    assert main([*RUN, *options, "one.json"]) == 0
    recipe = [*RUN[:2], "tiny_worm.json", *options, "two.json", "--picture", "p/ways.png"]
    assert main(recipe) == 0
    assert "built from its recipe with seed 3" in capsys.readouterr().out
    one, two = (without_time(read(name)) for name in ("one.json", "two.json"))
    assert two.pop("file") == "tiny_worm.json"
    assert one.pop("file") == "worm.db"
    assert one == two
    assert one["chemotaxis_index"]["sd"] is None
    assert one["paired_differences"] == {}
    assert Path("p/ways.png").is_file()
    assert not Path("two.png").exists()


def synapses(file: str) -> dict[str, tuple[Any, ...]]:
    brain = Brain.load(file, "numpy")
    names = [p.name for p in brain.plan.projections if p.synapse.type_name != "fixed"]
    return {name: brain.network.edges(name) for name in names}


@pytest.mark.usefixtures("no_picture")
def test_a_brain_grows_up_from_start_to_start(
    worm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--starts", "2", "--ticks", "300", "--json", "r.json"]
    assert main([*RUN, *options, "--save", "grown.db"]) == 0
    assert "life goes on from start to start" in capsys.readouterr().out
    assert read("r.json")["carry"]
    grown = Brain.load("grown.db", "numpy")
    assert (grown.ticks, grown.learning, grown.body_map.size) == (600, True, 112)
    assert synapses("grown.db")["growth"][0].size < 16
    # A life in two parts is the same life.
    starts = random_starts(2, 0)
    for file, start in (("worm.db", starts[0]), ("half.db", starts[1])):
        run_trials(
            Path(file),
            [Condition()],
            [start],
            300,
            carry=True,
            save=Path("half.db"),
            backend="numpy",
        )
    one, two = (Brain.load(name, "numpy").network.state() for name in ("grown.db", "half.db"))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    # The second start is met by an older brain than without --carry.
    assert main([*RUN, *options]) == 0
    assert not read("r.json")["carry"]
    assert main([*RUN[:2], "grown.db", *RUN[3:], "--starts", "1"]) == 0
    assert "tiny_worm, 600 ticks old" in capsys.readouterr().out


@pytest.mark.usefixtures("no_picture")
def test_controls_do_not_disturb_the_life_that_is_kept(worm: Path) -> None:
    options = ["--starts", "2", "--ticks", "100", "--json", "r.json"]
    assert main([*RUN, *options, "--save", "a.db"]) == 0
    assert main([*RUN, *options, "--save", "b.db", "--controls"]) == 0
    one, two = (Brain.load(name, "numpy").network.state() for name in ("a.db", "b.db"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.usefixtures("no_picture")
def test_without_learning_nothing_is_learned_or_pruned(worm: Path) -> None:
    options = ["--starts", "2", "--ticks", "400", "--json", "r.json", "--save", "later.db"]
    assert main([*RUN, *options, "--no-learning"]) == 0
    before, after = synapses("worm.db"), synapses("later.db")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    later = Brain.load("later.db", "numpy")
    assert (later.ticks, later.learning) == (800, True)
    assert read("r.json")["learning"] is False


@pytest.mark.usefixtures("no_picture")
def test_controls_differ_by_what_the_run_has(worm: Path) -> None:
    assert main([*RUN, "--starts", "1", "--no-sensors", "--controls", "--json", "r.json"]) == 0
    result = read("r.json")
    assert result["sensors"] is False
    assert set(result["controls"]) == {"no_learning"}


# Failing


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prepare", "soup"], 2, r"soup: there is no such brain file, and no shipped recipe of"),
        (["run", "soup"], 2, r"shipped recipe of that name; one of: .*track_v1"),
        (["run", "no.json"], 2, r"no\.json: cannot be read"),
        (["run", "track_v1"], 2, r"worm_map\.yaml: body: brain 'track_v1' has none of these port"),
        (["prepare", "worm.db", "--map", "no.yaml"], 2, r"no\.yaml: cannot be read"),
        (["prepare", "worm.db", "--map", "bad.yaml"], 2, r"bad\.yaml:1: body\[0\]: side: 'up'"),
        (["prepare", "cut.db"], 1, r"cut\.db: is truncated|not a readable brain file"),
        (["prepare", "worm.db", "-o", "/proc/no/w.db"], 1, r"/proc/no/w\.db: cannot be written"),
        (["run", "raw.db"], 1, r"'tiny_worm' has no body and sensor maps: prepare it with `ab_ros"),
        (["run", "worm.db", "--json", "/proc/no/r.json"], 1, r"r\.json: cannot be written"),
        (["run", "worm.db", "--save", "/proc/no/w.db"], 1, r"w\.db: cannot be written"),
        (["run", "worm.db", "--json", "folder"], 1, r"folder: cannot be written: is a folder"),
        (["run", "worm.db", "--picture", "a.jpg"], 2, r"pictures are PNG files"),
        (
            ["run", "worm.db", "--controls", "--no-learning", "--no-sensors"],
            2,
            r"--controls: with --no-learning and --no-sensors nothing is left",
        ),
    ],
)
def test_failures_come_before_the_run_and_in_one_line(
    arguments: list[str],
    code: int,
    message: str,
    worm: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["brain", "build", "tiny_worm.json", "-o", "raw.db"]) == 0
    Path("cut.db").write_bytes(worm.read_bytes()[:70_000])
    Path("bad.yaml").write_text("body:\n- {ports: a.b, side: up}\n")
    Path("folder").mkdir()
    monkeypatch.setattr(arena, "run_trials", lambda *_, **__: pytest.fail("ran"))
    capsys.readouterr()
    assert main(["arena", *arguments]) == code
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1


@pytest.mark.usefixtures("no_picture")
def test_without_matplotlib_a_run_has_no_picture(
    worm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--starts", "1"]) == 0
    assert not Path("out").exists()
    capsys.readouterr()
    assert main([*RUN, "--picture", "ways.png"]) == 1
    assert "'pip install ab_ros[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], r"required: BRAIN"),
        (["run", "worm.db", "--ticks", "0"], r"--ticks: must be at least 1 \(got 0\)"),
        (["run", "worm.db", "--starts", "x"], r"--starts: must be a whole number"),
        (["run", "worm.db", "--jobs", "0"], r"--jobs: must be at least 1"),
        (["run", "worm.db", "--seed", "-1"], r"--seed: "),
        (["run", "worm.db", "--backend", "gpu"], r"invalid choice: 'gpu'"),
        ([], r"required: ACTION"),
    ],
)
def test_wrong_use_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["arena", *arguments])
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_life_is_not_kept(jobs: str, worm: Path, root: Path) -> None:
    given = ["--ticks", "100000000", "--starts", "2", "--controls", "--jobs", jobs]
    # It says when it has begun: a bar that advances.
    code = (
        "import sys; from ab_ros.cli import arena, main, progress\n"
        "class Bar(progress.ProgressBar):\n"
        "    def advance(self, steps):\n"
        "        if steps: print('moves', flush=True)\n"
        "arena.ProgressBar = Bar\n"
        "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))\n"
    )
    Path("begin.py").write_text(code)
    files = sorted(path.name for path in worm.parent.iterdir())
    process = subprocess.Popen(
        [sys.executable, "begin.py", *RUN, *given, "--save", "kept.db", "--json", "r.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What runs in the background of a shell without job control is deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "moves\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, error = process.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert error == "ab_ros: stopped\n"
    assert sorted(path.name for path in worm.parent.iterdir()) == files


def test_help_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (([], "A brain that grows up"), (["run"], "chemotaxis index is")):
        with pytest.raises(SystemExit) as stop:
            main(["arena", *arguments, "--help"])
        assert stop.value.code == 0
        out = capsys.readouterr().out
        assert words in out
        assert "ab_ros arena run arena_v1 --starts 20 --controls --jobs 2" in out


# Trials and figures, as a library


def test_trials_that_cannot_be_are_refused(worm: Path) -> None:
    starts = random_starts(1, 0)
    with pytest.raises(WorldError, match="at least one condition, start and job"):
        run_trials(worm, [], starts, 10)
    with pytest.raises(WorldError, match="begins every trial anew is not to be saved"):
        run_trials(worm, [Condition()], starts, 10, save=Path("no.db"))


def test_errors_of_other_processes_arrive(worm: Path) -> None:
    with pytest.raises(WorldError, match="ticks must be at least 1"):
        run_trials(worm, [Condition()], random_starts(2, 0), 0, jobs=2, backend="numpy")


def track(distances: Callable[[int], float], ticks: int) -> Track:
    when = np.arange(0, ticks + 1, 50)
    distance = np.array([distances(tick) for tick in when])
    centre = np.stack((15.0 - distance, 0.0 * distance), axis=1)
    start = Start(*centre[0].tolist(), 0.0)
    bodies = np.repeat(centre[:, None], 25, axis=1)
    return Track(start, when, bodies, centre, 0.0 * distance, distance, np.zeros(0), 7, 0.5)


def test_the_top_speed_bounds_the_index() -> None:
    fast = track(lambda tick: 20.0 - 0.5 * min(tick, 3000) / 1000, 10_000)
    assert top_speed([track(lambda tick: 20.0, 500)]) is None
    assert top_speed([fast, track(lambda tick: 20.0, 10_000)]) == pytest.approx(0.5)
    figures = figures_of({"run": [fast]})
    assert figures["chemotaxis_index"]["mean"] == pytest.approx(0.075)
    assert figures["index_bound"] == pytest.approx(0.25)
    assert figures["starts"][0]["bearing"] == pytest.approx(-180.0)
    assert figures["starts"][0]["mean_reward"] is None
    assert "top speed 0.50 body lengths" in table(figures, {"run": [fast]})
