"""A brain made from a recipe behind the Brain port: contract, learning, saving, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.brains.anatomy import build_from_recipe
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.engine.brain import Brain as EngineBrain
from ab_ros.engine.recipes import load_recipe
from ab_ros.errors import BrainFileError, ConfigError, ObservationError
from ab_ros.values import Deviation, Need, Observation, Reward

MOTOR = {
    "name": "motor",
    "description": "Two noisy cells.",
    "nodes": [
        {"id": "plus", "type": "FS", "position": [0, 1, 0], "noise": 3.0},
        {"id": "minus", "type": "FS", "position": [0, -1, 0], "noise": 3.0},
    ],
    "paths": [],
    "terminals": {
        "in": {"direction": "input", "nodes": ["plus", "minus"]},
        "plus_in": {"direction": "input", "nodes": ["plus"]},
        "plus_out": {"direction": "output", "nodes": ["plus"]},
        "minus_out": {"direction": "output", "nodes": ["minus"]},
    },
}
RELAY = {
    "name": "cell",
    "nodes": [{"id": "cell", "type": "FS", "position": [0, 0, 0]}],
    "description": "One cell.",
    "paths": [],
    "terminals": {
        "in": {"direction": "input", "nodes": ["cell"]},
        "out": {"direction": "output", "nodes": ["cell"]},
    },
}
EYE = {
    "kind": "Image",
    "encoder": "saliency",
    "options": {"width": 8, "height": 6, "total_rate": 2500.0},
    "to": "eye.in",
    "pattern": "one_to_one",
    "weight": 60,
    "probability": 1,
}


def projection(target: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"eye_{target}",
        "from_type": "eye",
        "from_terminal": "out",
        "to_type": target,
        "to_terminal": "in",
        "synapse_type": "reward_plastic",
        "layer": target,
        "weight": 2.0,
        "params": {"lr": 0.1, "w_max": 5.0},
        **changes,
    }


def document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "look",
        "description": "An eye and two pairs of muscles.",
        "seed": 3,
        "components": [
            {"name": "eye", "path": "cell.json", "count": 48},
            {"name": "pan", "path": "motor.json", "count": 4},
            {"name": "tilt", "path": "motor.json", "count": 3},
        ],
        "projections": [projection("pan"), projection("tilt")],
        "io": {
            "gamma": 20,
            "feedback_timesteps": 20,
            "inputs": {"camera": EYE},
            "outputs": {
                "pan": ["pan.minus_out", "pan.plus_out"],
                "tilt": ["tilt.plus_out", "tilt.minus_out"],
            },
            "feedback": {"fb": {"size": 4, "output": "pan", "to": "pan.plus_in", "weight": 20}},
        },
        **changes,
    }


def changed_io(**changes: Any) -> dict[str, Any]:
    recipe = document()
    recipe["io"] = {**recipe["io"], **changes}
    return recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    def write(content: dict[str, Any] | None = None) -> Path:
        (tmp_path / "cell.json").write_text(json.dumps(RELAY))
        (tmp_path / "motor.json").write_text(json.dumps(MOTOR))
        path = tmp_path / "look.json"
        path.write_text(json.dumps(content or document()))
        return path

    return write


def seeing(x: int = 40) -> Callable[[Need], Iterable[Observation]]:
    image = np.full((60, 80, 3), 90, np.uint8)
    image[25:35, x : x + 10] = (220, 20, 20)
    return lambda need: [Observation("camera", "Image", 0.02 * need.cycle, "rgb8", image)]


def run(brain: EmbeddedBrain, cycles: int, reward: Callable[[int], Reward]) -> np.ndarray:
    """Run cycles with scripted rewards and deviations; return uint8[cycles · 20, 14]."""
    rasters = []
    for _ in range(cycles):
        cycle = brain.run_cycle(seeing(), 0.0)
        rasters.append(np.hstack([cycle.rasters["pan"], cycle.rasters["tilt"]]))
        brain.done(cycle.number)
        strength = (cycle.number % 3 - 1) / 2
        brain.feedback(Deviation("fb", np.full(20, strength, np.float32)), cycle.number)
        brain.reward(reward(cycle.number), cycle.number)
    return np.concatenate(rasters)


def scripted(number: int) -> Reward:
    return Reward((number * 7 % 10) / 10)


def opened(path: Path, seed: int | None = None) -> EmbeddedBrain:
    brain = EmbeddedBrain(build_from_recipe(path, seed))
    brain.open()
    return brain


def test_the_contract_comes_from_the_recipe(recipe: Callable[..., Path]) -> None:
    contract = opened(recipe()).contract
    assert (contract.gamma, contract.feedback_timesteps) == (20, 20)
    assert [(port.id, port.kind) for port in contract.inputs] == [("camera", "Image")]
    assert [(port.id, port.n) for port in contract.outputs] == [("pan", 8), ("tilt", 6)]
    assert contract.feedback_port("fb").n == 4
    assert contract.stdp3_layers == ("pan", "tilt")


def test_an_output_keeps_the_order_of_its_ports(recipe: Callable[..., Path]) -> None:
    brain = opened(recipe())
    engine = brain.anatomy.brain  # type: ignore[attr-defined]
    for name, ports in (("pan", ("minus", "plus")), ("tilt", ("plus", "minus"))):
        wanted = [engine.neurons_of(f"{name}.{port}") for port in ports]
        np.testing.assert_array_equal(engine.plan.outputs[name], np.concatenate(wanted))


def test_what_the_camera_sees_reaches_the_cells_of_its_map(recipe: Callable[..., Path]) -> None:
    brain = opened(recipe())
    engine = brain.anatomy.brain  # type: ignore[attr-defined]
    brain.network.reset_rates()
    seen = np.zeros(engine.size)
    for _ in range(10):
        # What the outputs give is not all: the eye's own spikes are told by its synapses.
        brain.run_cycle(seeing(x=40), 0.0)
        seen += engine.network.potentials() - (-65.0)
    eye = np.abs(seen[engine.neurons_of("eye.cell")]).reshape(6, 8)
    assert eye[:, 3:6].max() > eye[:, [0, 7]].max()
    assert brain.refused == {"camera": 0}


def test_a_map_is_kept_or_mixed(recipe: Callable[..., Path]) -> None:
    kept = build_from_recipe(recipe())
    wiring = kept.plan.projection("input:camera")
    assert wiring.pre.tolist() == list(range(48))
    np.testing.assert_array_equal(wiring.post, kept.neurons_of("eye.cell"))
    mixed = {**EYE, "pattern": "random", "probability": 0.5}
    wiring = build_from_recipe(recipe(changed_io(inputs={"camera": mixed}))).plan.projection(
        "input:camera"
    )
    assert 0.4 * 48**2 < wiring.size < 0.6 * 48**2


def test_rewards_of_a_layer_teach_its_synapses_only(recipe: Callable[..., Path]) -> None:
    brain = opened(recipe())
    before = {name: brain.network.weights(name).copy() for name in ("eye_pan", "eye_tilt")}
    run(brain, 10, lambda _: Reward(0.5, {"pan": 1.0}))
    assert not np.array_equal(brain.network.weights("eye_pan"), before["eye_pan"], equal_nan=True)
    assert np.array_equal(brain.network.weights("eye_tilt"), before["eye_tilt"], equal_nan=True)
    brain.set_learning(False)
    learned = brain.network.weights("eye_pan").copy()
    run(brain, 5, lambda _: Reward(1.0))
    assert np.array_equal(brain.network.weights("eye_pan"), learned, equal_nan=True)


def test_synapses_without_a_layer_learn_from_the_global_reward(
    recipe: Callable[..., Path],
) -> None:
    content = document()
    del content["projections"][1]["layer"]
    brain = opened(recipe(content))
    assert brain.contract.stdp3_layers == ("pan",)
    before = {name: brain.network.weights(name).copy() for name in ("eye_pan", "eye_tilt")}
    run(brain, 10, lambda _: Reward(1.0, {"pan": 0.5}))
    assert np.array_equal(brain.network.weights("eye_pan"), before["eye_pan"], equal_nan=True)
    assert not np.array_equal(brain.network.weights("eye_tilt"), before["eye_tilt"], equal_nan=True)


def test_feedback_drives_its_half(recipe: Callable[..., Path]) -> None:
    def spikes(strength: float) -> float:
        brain = opened(recipe())
        brain.set_learning(False)
        total = 0.0
        for _ in range(8):
            brain.feedback(Deviation("fb", np.full(20, strength, np.float32)), 0)
            # The plus cells are the second half: the recipe names them second.
            total += float(brain.run_cycle(lambda need: [], 0.0).rasters["pan"][:, 4:].sum())
        return total

    assert spikes(1.0) > 2 * spikes(0.0)


def test_a_seed_repeats_a_run_to_the_bit_and_another_does_not(
    recipe: Callable[..., Path],
) -> None:
    first = run(opened(recipe()), 15, scripted)
    assert np.array_equal(first, run(opened(recipe()), 15, scripted))
    assert not np.array_equal(first, run(opened(recipe(), 4), 15, scripted))


def test_a_saved_brain_goes_on_as_if_it_had_not_been_interrupted(
    recipe: Callable[..., Path], tmp_path: Path
) -> None:
    brain = opened(recipe(changed_io(baseline_cycles=10)))
    run(brain, 11, scripted)
    brain.save(tmp_path / "brain.db")
    loaded = EmbeddedBrain.load(tmp_path / "brain.db")
    assert loaded.contract == brain.contract
    loaded.open()
    # The cycle number belongs to the run, not to the brain: rewards are scripted by it.
    loaded._number = brain._number
    assert np.array_equal(run(brain, 12, scripted), run(loaded, 12, scripted))
    for name in ("eye_pan", "eye_tilt"):
        mine, its = brain.network.weights(name), loaded.network.weights(name)
        assert np.array_equal(mine, its, equal_nan=True)
    assert loaded.modulation.baseline.any()


def test_the_file_is_still_the_brains_own(recipe: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    build_from_recipe(recipe()).save(file)
    brain = EmbeddedBrain.load(file, dt=0.002)
    assert (brain.dt, brain.seed) == (0.002, 3)
    brain.open()
    run(brain, 5, scripted)
    brain.save(file)
    engine = EngineBrain.load(file)
    assert engine.ticks == 100
    # Whoever else runs it and saves it does not lose what the port keeps in it.
    engine.tick()
    engine.save(file)
    again = EmbeddedBrain.load(file, dt=0.001)
    assert again.dt == 0.002
    assert np.array_equal(
        again.encoders["camera"].state()["phase"], brain.encoders["camera"].state()["phase"]
    )


def test_reset_forgets_the_moment_but_not_what_was_learned(recipe: Callable[..., Path]) -> None:
    brain = opened(recipe())
    run(brain, 12, scripted)
    learned = brain.network.weights("eye_pan").copy()
    brain.reset(seed=5)
    assert np.array_equal(brain.network.weights("eye_pan"), learned, equal_nan=True)
    brain.set_learning(False)
    first = run(brain, 6, scripted)
    brain.reset(seed=5)
    assert np.array_equal(first, run(brain, 6, scripted))


def test_an_unfit_sample_is_refused_and_the_brain_goes_on(recipe: Callable[..., Path]) -> None:
    brain = opened(recipe())
    bad = Observation("camera", "Image", 0.0, "rgb8", np.zeros((60, 80), np.uint8))
    assert brain.run_cycle(lambda need: [bad], 0.0).rasters["pan"].shape == (20, 8)
    assert brain.refused == {"camera": 1}
    with pytest.raises(ObservationError):
        brain.encoders["camera"].encode(bad, 20, 0.001)


def test_numbers_and_sound_can_be_inputs(recipe: Callable[..., Path]) -> None:
    ear = {**EYE, "kind": "Audio", "encoder": "spectrum", "options": {"bands": 24}}
    speed = {**EYE, "kind": "Scalar", "encoder": "population", "options": {"cells": 12}}
    brain = opened(recipe(changed_io(inputs={"ear": ear, "speed": speed})))
    sound = np.sin(np.arange(1600) * 0.2).astype(np.float32)
    samples = [
        Observation("ear", "Audio", 0.0, "float32", sound, {"rate": 16000}),
        Observation("speed", "Scalar", 0.0, "float64", np.array(0.3)),
    ]
    assert brain.run_cycle(lambda need: samples, 0.0).telemetry["rate.neurons"] > 0
    assert brain.refused == {"ear": 0, "speed": 0}


@pytest.mark.parametrize(
    ("io", "says"),
    [
        (None, "add a section 'io', such as"),
        ({"inputs": {"camera": EYE}}, "add io.outputs, such as"),
    ],
)
def test_a_recipe_that_joins_nothing_to_a_robot_is_refused(
    io: dict[str, Any] | None, says: str, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    content = document()
    del content["io"]
    path = recipe({**content, **({"io": io} if io else {})})
    brain = build_from_recipe(path)
    with pytest.raises(ConfigError) as error:
        EmbeddedBrain(brain)
    assert says in str(error.value)
    assert "recipe 'look'" in str(error.value)
    brain.save(tmp_path / "brain.db")
    with pytest.raises(ConfigError, match=r"brain\.db: the recipe 'look' does not say"):
        EmbeddedBrain.load(tmp_path / "brain.db")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoder": "salience"}, "io.inputs.camera.encoder: unknown encoder 'salience'"),
        ({"kind": "Audio"}, "io.inputs.camera.encoder: 'saliency' reads Image, not 'Audio'"),
        ({"options": {"widht": 3}}, "did you mean 'width'?"),
        ({"size": 40}, "camera.size: its encoder 'saliency' makes 48 spike trains (got 40)"),
        ({"pattern": "ring"}, "inputs.camera.pattern"),
    ],
)
def test_an_input_that_does_not_fit_is_named(
    change: dict[str, Any], says: str, recipe: Callable[..., Path]
) -> None:
    path = recipe(changed_io(inputs={"camera": {**EYE, **change}}))
    with pytest.raises(ConfigError) as error:
        build_from_recipe(path)
    assert says in str(error.value)


def test_an_encoder_that_no_longer_fits_the_file_is_named(recipe: Callable[..., Path]) -> None:
    content = changed_io(inputs={"camera": {**EYE, "size": 40}})
    brain = EngineBrain.build(load_recipe(recipe(content)))
    with pytest.raises(ConfigError, match=r"the brain has 40 spike trains, but its .* makes 48"):
        EmbeddedBrain(brain)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    from ab_ros.engine.database import write_brain_file

    write_brain_file(tmp_path / "x.db", {"format": "notes"}, {})
    with pytest.raises(BrainFileError, match=r"holds 'notes', not an embedded brain"):
        EmbeddedBrain.load(tmp_path / "x.db")


def test_the_shipped_example_drives_opponent_pools(tmp_path: Path) -> None:
    brain = EmbeddedBrain(build_from_recipe("track_v1"))
    assert [(p.id, p.n) for p in brain.contract.outputs] == [
        ("grip", 48),
        ("pan", 48),
        ("tilt", 48),
    ]
    assert brain.contract.stdp3_layers == ("pan", "tilt", "grip")
    assert [p.id for p in brain.contract.feedback] == ["fb_down", "fb_left", "fb_right", "fb_up"]
    brain.open()
    # Lessons to the left make the first half of pan louder than the second.
    halves = np.zeros(2)
    image = np.full((48, 64, 3), 90, np.uint8)
    for number in range(12):
        brain.feedback(Deviation("fb_left", np.ones(40, np.float32)), number)
        sample = Observation("camera", "Image", 0.04 * number, "rgb8", image)
        pan = brain.run_cycle(lambda need, sample=sample: [sample], 0.0).rasters["pan"]
        halves += pan[:, :24].sum(), pan[:, 24:].sum()
    assert halves[0] > 1.5 * halves[1]
