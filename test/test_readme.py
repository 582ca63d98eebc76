"""The README's code runs as it stands there."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from ab_ros.brains.anatomy import build_from_recipe
from ab_ros.brains.architecture import InputSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.cli import arena, brain, check, layers, plot, policies, serve, train
from ab_ros.cli import blocks as blocks_command
from ab_ros.codec.registry import ENCODERS, make_encoder
from ab_ros.config import parse
from ab_ros.engine import PRESETS, SYNAPSE_TYPES, Brain, read_record
from ab_ros.engine.blocks import component_names
from ab_ros.learning.policies import load_policies


def blocks(root: Path, language: str = "python") -> list[str]:
    text = (root / "README.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(root: Path, *names: str) -> dict[str, list[str]]:
    """Return the cells of the tables' rows that begin with these names."""
    lines = [line for line in (root / "README.md").read_text().splitlines() if line[:2] == "| "]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells if row[0].strip("`") in names}


def test_the_example_without_ros_learns_and_saves(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = (block for block in blocks(root) if "TrackingTask" in block)
    # Shorter than in the README: that it learns in 60 s is what bench/learning.py shows.
    example = example.replace("run(60,", "run(1,").replace("run(10,", "run(1,")
    (tmp_path / "config").symlink_to(root / "config")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"untrained [\d.]+ degrees\nlearned +[\d.]+ degrees", capsys.readouterr().out)
    assert (tmp_path / "brain.db").stat().st_size > 0


def test_the_example_of_a_policy_is_one(root: Path, tmp_path: Path) -> None:
    (example,) = (block for block in blocks(root) if "def compute_reward" in block)
    file = tmp_path / "my_reward.py"
    file.write_text(example)
    summary = {"joints": {"base_yaw": {"before": 0.3, "after": 0.25}}}
    reward = load_policies(str(file), "").reward(summary, ["pan"])
    assert reward is not None
    assert reward.by_layer["pan"] == pytest.approx(0.75)


def test_the_ten_lines_run_record_teach_and_save(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (example,) = (block for block in blocks(root) if "deliver_reward" in block)
    assert len([line for line in example.splitlines() if line]) == 10
    monkeypatch.chdir(tmp_path)
    exec(compile(example.replace("range(2000)", "range(300)"), "README.md", "exec"), {})
    record = read_record(tmp_path / "run.npz")
    assert record.spikes.tick.size > 0
    born, taught = Brain.build("arena_v1"), Brain.load(tmp_path / "taught.db")
    assert taught.ticks == 300
    learned = [name for name in born.network.projections if name.startswith("emotion.good_out->")]
    before, after = (
        [made.network.edges(name)[2].tolist() for name in learned] for made in (born, taught)
    )
    assert before != after


def test_the_environment_adds(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (block for block in blocks(root) if "class Sum" in block)
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == "{'a': 13}\n"


def test_the_trained_brain_rolls_to_the_bottom(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = (block for block in blocks(root) if "class Valley" in block)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == "[1, 1, -1, -1]\n"


def test_the_recipe_and_its_component_make_a_brain_for_a_robot(root: Path, tmp_path: Path) -> None:
    for block in blocks(root, "json"):
        (tmp_path / f"{json.loads(block)['name']}.json").write_text(block)
    robots = EmbeddedBrain(build_from_recipe(tmp_path / "mine.json"))
    contract = robots.open()
    assert [port.id for port in contract.inputs] == ["camera"]
    assert [(port.id, port.n) for port in contract.outputs] == [("turn", 24)]
    assert contract.stdp3_layers == ("turn",)


def test_its_commands_are_ones(root: Path) -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for module in (arena, blocks_command, brain, check, layers, plot, policies, serve, train):
        module.add_parser(commands)
    lines = "".join(blocks(root, "sh")).splitlines()
    found = [line for line in lines if line.startswith("ab_ros ")]
    assert len(found) > 10
    for line in found:
        parser.parse_args(shlex.split(line, comments=True)[1:])


def test_its_tables_say_what_the_engine_does(root: Path) -> None:
    neurons = rows(root, *PRESETS)
    assert neurons.keys() == PRESETS.keys()
    for name, preset in PRESETS.items():
        said = [float(cell.replace("−", "-")) for cell in neurons[name][:4]]
        assert said == [preset.a, preset.b, preset.c, preset.d], name
    synapses = rows(root, *SYNAPSE_TYPES)
    assert synapses.keys() == SYNAPSE_TYPES.keys()
    for name, synapse in SYNAPSE_TYPES.items():
        said = dict(re.findall(r"`(\w+)` ([\w.]+)", synapses[name][1]))
        if "those of `plastic`" in synapses[name][1]:
            said.update(re.findall(r"`(\w+)` ([\w.]+)", synapses["plastic"][1]))
        # Who opens a gate is not a setting that has a default.
        fields = [f for f in dataclasses.fields(synapse) if not f.name.startswith("modulator")]
        assert said.keys() == {field.name for field in fields}, name
        for field in fields:
            assert type(field.default)(said[field.name]) == field.default, f"{name}.{field.name}"


def test_it_counts_building_blocks_and_names_encoders(root: Path) -> None:
    text = (root / "README.md").read_text()
    folders = [path.parent.name for path in component_names().values()]
    counts = folders.count("components"), folders.count("sub_components")
    assert "{} components and {} sub-components".format(*counts) in text
    named = text[text.index("Encoders, by name") :].split("\n\n")[0]
    assert set(ENCODERS) <= set(re.findall(r"`(\w+)`", named))


def test_its_example_of_inputs_is_one(root: Path) -> None:
    (example,) = (block for block in blocks(root, "yaml") if "ranges[0:360]" in block)
    inputs = yaml.safe_load(example)["inputs"]
    assert inputs.keys() == {"camera", "joints", "scan"}
    for name, item in inputs.items():
        settings = parse(InputSettings, item, path=(name,))
        make_encoder(settings.encoder, settings.options, 0, kind=settings.kind)


@pytest.mark.parametrize("picture", ["arena.png", "car.png", "demo.gif", "learning_curve.png"])
def test_the_pictures_are_there_and_of_a_size_to_load(root: Path, picture: str) -> None:
    text = (root / "README.md").read_text()
    assert f"(docs/{picture})" in text
    assert 10_000 < (root / "docs" / picture).stat().st_size < 3_000_000
