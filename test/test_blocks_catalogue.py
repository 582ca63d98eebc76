"""The catalogue of blocks: its page, its pictures, and the commands that show them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ab_ros.cli import main
from ab_ros.engine.blocks import (
    Pulse,
    Stimulus,
    component_names,
    load_component,
    probing,
    respond,
)
from ab_ros.engine.blocks.demonstrations import DEMONSTRATIONS
from ab_ros.errors import EngineError

pytest.importorskip("matplotlib")

from PIL import Image

from ab_ros.viz.catalogue import write_catalogue, write_picture

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 30_000


@pytest.fixture
def user_block(tmp_path: Path) -> Path:
    """Return a block of a user's own, with a delayed second path and noise."""
    document = {
        "name": "echo",
        "description": "Repeats its input. Twice.",
        "nodes": [
            {"id": "ear", "type": "RS", "position": [0, 0, 0], "bias": 0.5},
            {"id": "voice", "type": "RS", "position": [9, 0, 0], "noise": 0.1},
        ],
        "paths": [
            {"source": "ear", "target": "voice", "synapse_type": "fixed", "weight": 30},
            {
                "source": "ear",
                "target": "voice",
                "synapse_type": "fixed",
                "weight": 30,
                "delay": 20,
            },
        ],
        "terminals": {
            "ear": {"direction": "input", "nodes": ["ear"]},
            "out": {"direction": "output", "nodes": ["voice"]},
        },
    }
    path = tmp_path / "echo.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_a_demonstration_fits_its_block_and_shows_something(name: str) -> None:
    component = load_component(name)
    response = respond(component, DEMONSTRATIONS[name])
    outputs = [node for terminal in component.outputs for node in terminal.nodes]
    assert any(response.spikes[node].any() for node in outputs)


def test_one_block_makes_a_page_and_a_small_picture(tmp_path: Path) -> None:
    page = write_catalogue(tmp_path, ["cross_inhibition"])
    text = page.read_text(encoding="utf-8")
    assert "[cross_inhibition](#cross_inhibition)" in text
    assert load_component("cross_inhibition").description in text
    assert "(blocks/cross_inhibition.png)" in text
    pictures = list((tmp_path / "blocks").iterdir())
    assert [path.name for path in pictures] == ["cross_inhibition.png"]
    assert pictures[0].stat().st_size <= MOST_BYTES
    with Image.open(pictures[0]) as picture:
        assert picture.width > 600 and picture.height > 150


def test_the_page_in_docs_has_every_block(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "blocks.md").read_text(encoding="utf-8")
    assert main(["blocks", "list"]) == 0
    listed = capsys.readouterr().out
    for name in component_names():
        assert f"### {name}\n" in text
        assert load_component(name).description in text
        picture = ROOT / "docs" / "blocks" / f"{name}.png"
        assert picture.stat().st_size <= MOST_BYTES
        assert f"  {name} " in listed


def test_a_users_block_is_shown_and_drawn(
    user_block: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = user_block.with_name("echo.png")
    assert main(["blocks", "show", str(user_block), "-o", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "Repeats its input. Twice." in text
    assert "input   ear: ear" in text and "output  out: voice" in text
    assert "ear -> voice  fixed  weight 30  delay 1, 20" in text
    assert "bias 0.5" in text and "noise 0.1" in text
    assert str(picture) in text and picture.is_file()


def test_faults_end_with_a_message_and_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["blocks", "show", "nonsense"]) == 2
    assert "component 'nonsense': unknown" in capsys.readouterr().err
    assert main(["blocks", "catalogue", "-o", str(tmp_path), "nonsense"]) == 2
    assert "component 'nonsense': unknown" in capsys.readouterr().err


def test_a_stimulus_gives_currents_to_the_nodes_of_a_terminal() -> None:
    component = load_component("command_decision_v2")
    pulses = (Pulse("stop_in", 5, 2, 4), Pulse("stop_forward", 1, 3, 9, period=3))
    currents = Stimulus(10, pulses, "").currents(component, 2)
    assert set(currents) == {"stop_forward", "stop_backward"}
    expected = np.array([0, 0, 5, 6, 0, 0, 1, 0, 0, 0], dtype=float)
    np.testing.assert_array_equal(currents["stop_forward"], np.stack([expected] * 2, axis=1))


def test_a_stimulus_that_does_not_fit_is_refused() -> None:
    component = load_component("modulatory")
    with pytest.raises(EngineError, match=r"no input 'ear'; one of: in, brake_in, receptor"):
        Stimulus(10, (Pulse("ear", 1, 0, 5),), "").currents(component)
    with pytest.raises(EngineError, match=r"Pulse.stop: must be at least 6 \(got 5\)"):
        Pulse("in", 1, 5, 5)
    with pytest.raises(EngineError, match=r"'in' must end by tick 4"):
        Stimulus(4, (Pulse("in", 1, 0, 5),), "")
    with pytest.raises(EngineError, match=r"Stimulus.potentials: unknown node 'x'"):
        respond(component, Stimulus(4, (), "", potentials=("x",)))


def test_a_block_without_demonstration_is_probed(tmp_path: Path) -> None:
    component = load_component("modulatory")
    stimulus = probing(component)
    assert [pulse.into for pulse in stimulus.pulses] == ["in", "brake_in"]
    assert respond(component, stimulus).spikes["receptor"].any()


def test_pictures_show_potentials_and_trains(user_block: Path, tmp_path: Path) -> None:
    from ab_ros.viz.blocks import component_picture

    component = load_component(user_block)
    stimulus = Stimulus(
        100,
        (Pulse("ear", 30, 10, 90, period=20), Pulse("voice", -2, 50, 80)),
        "an echo",
        potentials=("voice",),
    )
    with_potential = component_picture(component, stimulus, respond(component, stimulus))
    without = component_picture(component, Stimulus(100, (), ""), respond(component, stimulus))
    assert with_potential.height > without.height
    assert write_picture(component, tmp_path / "echo.png").stat().st_size <= MOST_BYTES
