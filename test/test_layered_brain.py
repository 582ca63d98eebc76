"""Layered brains: sensors, definitions, files and rewards; see test_local_brains.py, too."""

from __future__ import annotations

import copy
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_brains import definition
from test_layered_neurons import ANY, bits
from test_layered_rules import Decay, Majority

from ab_ros.brains.files import load_brain
from ab_ros.cli import main
from ab_ros.codec.images import SaliencyEncoder, SaliencySettings
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.errors import BrainFileError, ConfigError, ObservationError, PolicyError
from ab_ros.layered import (
    CyclicEncoder,
    Feedback,
    FeedForward,
    HebbianLearning,
    LayeredBrain,
    Neurons,
    Sensor,
    SimpleEncoder,
    SparseComputation,
    StandardComputation,
    document_of,
    plan_of,
    read_definition,
    write_definition,
)
from ab_ros.layered.records import Experiment
from ab_ros.values import Observation, Reward

# --- Encoders and sensors ----------------------------------------------------------------------


def text(bits: np.ndarray) -> str:
    return "".join(str(int(bit)) for bit in bits)


def test_the_documents_encodings_hold() -> None:
    simple = SimpleEncoder(1, 4, 5, 0.4)
    assert [text(simple.bits(k)) for k in (1, 2, 3, 4)] == ["11000", "01100", "00110", "00011"]
    assert text(CyclicEncoder(1, 5, 5, 0.4).bits(5)) == "10001"
    sensor = Sensor(encoder=simple)
    assert [text(sensor.encode(k)) for k in (1, 4)] == ["11000", "00011"]


@pytest.mark.parametrize("sparsity", [0.02, 0.07, 0.1, 0.29, 0.5, 1.0])
def test_a_block_is_as_wide_as_the_sparsity_says_rounded_up(sparsity: float) -> None:
    width = {0.02: 2, 0.07: 7, 0.1: 10, 0.29: 29, 0.5: 50, 1.0: 100}[sparsity]
    for encoder in (SimpleEncoder(0, 1, 100, sparsity), CyclicEncoder(0, 1, 100, sparsity)):
        assert {int(row.sum()) for row in encoder.bits(np.linspace(0, 1, 57))} == {width}
    assert SimpleEncoder(0, 1, 101).settings.active == 3


@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan, np.inf])
def test_values_that_cannot_be_encoded_are_refused_or_brought_into_range(value: float) -> None:
    with pytest.raises(ObservationError):
        Sensor(SimpleEncoder(0, 1, 10)).encode(value)
    clipping = Sensor(SimpleEncoder(0, 1, 10, 0.1, out_of_range="clip"))
    wrapping = Sensor(CyclicEncoder(0, 1, 10, 0.1, out_of_range="wrap"))
    if np.isfinite(value):
        assert text(clipping.encode(value)) == ("1000000000" if value < 0 else "0000000001")
        assert text(wrapping.encode(value)) == ("0000000001" if value < 0 else "1000000000")
    else:
        for sensor in (clipping, wrapping):
            with pytest.raises(ObservationError, match="finite"):
                sensor.encode(value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SimpleEncoder(1, 1, 5), "lower: must be below upper"),
        (lambda: SimpleEncoder(0, 1, 0), "length: 0 is not allowed"),
        (lambda: SimpleEncoder(0, 1, 5, 0.0), "sparsity: 0.0 is not allowed"),
        (lambda: SimpleEncoder(0, 1, 5, out_of_range="wrap"), "one of: refuse, clip"),
        (lambda: Sensor(SimpleEncoder(0, 1, 5), kind="Image"), "the encoder reads no 'Image'"),
        (lambda: Feedback(0, "fb", "pan"), "size"),
    ],
)
def test_an_encoder_that_cannot_be_is_named(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_several_numbers_and_joints_are_encoded_side_by_side() -> None:
    pair = Sensor(SimpleEncoder(0, 3, 4, 0.25, values=2))
    assert pair.kind == "Vector" and text(pair.encode([0, 3])) == "10000001"
    joints = Sensor(SimpleEncoder(0, 3, 4, 0.25, joints=("b", "a"), quantity="velocity"))
    assert joints.kind == "Proprioception" and text(joints.encode([2, 1])) == "00100100"
    table = np.array([[9.0, 9.0, 9.0], [1.0, 2.0, 0.0], [9.0, 9.0, 9.0]])
    state = Observation(
        "s", "Proprioception", 0.0, "joint_state", table, {"names": ("a", "b", "c")}
    )
    assert text(joints.encode(state)) == "00100100"
    with pytest.raises(ObservationError, match="a value for each of the joints b, a"):
        joints.encode([1, 2, 3])


def test_a_camera_is_a_sensor_by_any_encoder_of_the_codec() -> None:
    camera = Sensor(SaliencyEncoder(SaliencySettings(width=4, height=3, total_rate=5000.0)), "eye")
    group = Neurons(12, "g")
    brain = LayeredBrain(group, camera, StandardComputation(0.0), gamma=10, dt=0.001)
    image = np.full((30, 40, 3), 90, np.uint8)
    image[:10, :10] = (220, 20, 20)
    brain.open()
    cycle = brain.run_cycle(lambda need: [Observation("eye", "Image", 0.0, "rgb8", image)], 0.0)
    assert cycle.rasters["g"].shape == (10, 12) and cycle.rasters["g"].any()
    assert not brain.run_cycle(lambda need: [], 0.0).rasters["g"].any()


def test_a_tick_by_hand_is_a_cycle_of_one_timestep() -> None:
    def make() -> LayeredBrain:
        layers = [Neurons(30, "a"), Neurons(10, "b")]
        FeedForward(layers)
        return LayeredBrain(
            layers, bits(8, "x"), SparseComputation(3, noise=0.5), HebbianLearning()
        )

    by_hand, by_cycle = make(), make()
    by_cycle.open()
    for k in range(20):
        value = Observation("x", "Scalar", float(k), "numbers", np.array(k % 8))
        cycle = by_cycle.run_cycle(lambda need, value=value: [value], 0.0)
        assert np.array_equal(by_hand.tick(k % 8)["b"], cycle.rasters["b"][0])


def test_values_of_several_sensors_are_given_by_name() -> None:
    group = Neurons(1, "g")
    group.input = [(left := bits(2, "left")), (right := bits(2, "right"))]
    group.set("MAIN", [left[1], right[1]])
    brain = LayeredBrain(group, [left, right], ANY)
    assert [int(brain.tick(left=a, right=b)["g"][0]) for a in (0, 1) for b in (0, 1)] == [
        0,
        1,
        1,
        1,
    ]
    assert not brain.tick()["g"].any() and brain.tick({"right": 1})["g"].any()
    with pytest.raises(ConfigError, match="2 sensors: give values by name; one of: left, right"):
        brain.tick(1)
    with pytest.raises(ConfigError, match="no sensor 'up'; one of: left, right"):
        brain.tick(up=1)
    with pytest.raises(ConfigError, match="no group 'x'; one of: g"):
        brain.bits("x")
    with pytest.raises(ConfigError, match="no input 'x'; one of: MAIN"):
        brain.weights("g", "x")


# --- Rewards -----------------------------------------------------------------------------------


def choosing(seed: int, **changes: Any) -> LayeredBrain:
    """Return a brain that sees one of four bits, and picks one of four neurons."""
    group = Neurons(4, "choice", layer="choice")
    return LayeredBrain(
        group,
        bits(4),
        SparseComputation(1, noise=0.6),
        HebbianLearning(increase=0.1, decrease=0.0),
        seed=seed,
        baseline_cycles=20.0,
        **changes,
    )


@pytest.mark.parametrize("seed", range(5))
def test_rewards_alone_teach_which_neuron_answers_what_is_seen(seed: int) -> None:
    right = [2, 0, 3, 1]
    random = np.random.default_rng(seed)

    def play(brain: LayeredBrain, rounds: int, shuffled: bool = False) -> float:
        hits = 0
        for _ in range(rounds):
            seen = int(random.integers(4))
            chosen = int(np.flatnonzero(brain.tick(seen)["choice"])[0])
            hit = chosen == right[seen]
            hits += hit
            brain.teach(float(random.integers(4) == 0 if shuffled else hit))
        return hits / rounds

    brain, control = choosing(seed), choosing(seed)
    play(brain, 400)
    play(control, 400, shuffled=True)
    brain.set_learning(False)
    control.set_learning(False)
    assert play(brain, 200) > 0.7
    assert play(control, 200) < 0.5


def test_a_reward_moves_weights_as_the_hebbian_rule_times_what_it_is_worth() -> None:
    def changed(reward: float | Reward) -> np.ndarray:
        group = Neurons(6, "g", layer="pan")
        brain = LayeredBrain(
            group, bits(3), SparseComputation(2), HebbianLearning(0.1, 0.05), seed=2
        )
        before = brain.weights("g").copy()
        brain.tick(1)
        assert np.array_equal(brain.weights("g"), before)  # It waits for the reward.
        assert brain.teach(reward)
        return brain.weights("g").astype(float) - before

    group = Neurons(6, "g")
    alone = LayeredBrain(group, bits(3), SparseComputation(2), HebbianLearning(0.1, 0.05), seed=2)
    first = alone.weights("g").copy()
    alone.tick(1)
    rule = alone.weights("g").astype(float) - first
    assert np.allclose(changed(1.0), rule, atol=1e-7)
    clipped = (first + rule <= 0) | (first + rule >= 1) | (first - rule <= 0) | (first - rule >= 1)
    assert np.allclose(changed(0.0)[~clipped], -rule[~clipped], atol=1e-6)
    assert np.allclose(changed(0.75)[~clipped], rule[~clipped] / 2, atol=1e-6)
    assert not changed(0.5).any()
    assert np.allclose(changed(Reward(0.5, {"pan": 1.0})), rule, atol=1e-7)
    with pytest.raises(PolicyError, match=r"within \[0, 1\]"):
        changed(1.5)


def test_a_reward_credits_the_tick_that_earned_it_as_long_as_it_is_remembered() -> None:
    brain = choosing(1, history=3)
    for value in (0, 1, 2, 3):
        brain.tick(value)
    before = brain.weights("choice").copy()
    assert brain.teach(1.0, ago=2)
    assert np.flatnonzero((brain.weights("choice") != before).any(axis=1)).tolist() == [1]
    assert not brain.teach(1.0, ago=3)


def test_layers_are_taught_by_their_own_rewards_and_the_rest_learns_by_itself() -> None:
    free, left, right = Neurons(20, "free"), Neurons(4, "left", layer="l"), Neurons(4, layer="r")
    FeedForward([free, [left, right]])
    brain = LayeredBrain(
        [free, [left, right]], bits(5), SparseComputation(2), HebbianLearning(), seed=1
    )
    assert brain.contract.stdp3_layers == ("l", "r")
    before = {group: brain.weights(group).copy() for group in (free, left, right)}
    brain.tick(3)
    brain.teach(Reward(0.5, {"l": 1.0}))
    moved = [bool((brain.weights(g) != before[g]).any()) for g in (free, left, right)]
    assert moved == [True, True, False]
    brain.set_learning(False)
    after = brain.weights(free).copy()
    brain.tick(3)
    assert np.array_equal(brain.weights(free), after)


# --- Definitions -------------------------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    "name": "two",
    "description": "Two layers.",
    "seed": 5,
    "dt": 0.05,
    "gamma": 2,
    "sensors": {
        "x": {
            "kind": "Scalar",
            "encoder": "simple_bits",
            "options": {"lower": 0, "upper": 1, "length": 20, "sparsity": 0.1},
        },
        "arm": {
            "kind": "Proprioception",
            "topic": "joint_states",
            "encoder": "cyclic_bits",
            "options": {"joints": ["a", "b"], "lower": -3.2, "upper": 3.2, "length": 8},
        },
    },
    "feedback": {"fb": {"size": 3, "output": "out"}},
    "computation": {"type": "sparse", "fraction": 0.1},
    "learning": {"type": "hebbian", "increase": 0.1},
    "layers": [
        [
            {"name": "a", "shape": [4, 5], "inputs": {"MAIN": ["x", "arm"]}},
            {"shape": 6, "inputs": {"MAIN": ["x[0:5]", "arm"]}},
        ],
        {
            "name": "out",
            "shape": 8,
            "layer": "reach",
            "output": True,
            "computation": {"type": "standard", "threshold": 1, "gains": {"rivals": -0.5}},
            "inputs": {
                "MAIN": {"from": ["a[0, ::2]", "layer0_1"], "seed": 9},
                "lesson": "fb",
                "rivals": {"name": "out", "indices": [7, 0]},
            },
        },
    ],
    "feed_backward": ["down"],
    "loop_back": ["loop"],
}


def test_a_definition_makes_the_brain_that_it_describes() -> None:
    plan = plan_of(DOCUMENT)
    assert [[g.name for g in layer] for layer in plan.layers] == [["a", "layer0_1"], ["out"]]
    a, second, out = plan.groups
    assert {i.name: i.size for i in a.inputs} == {"MAIN": 36, "down": 8, "loop": 26}
    assert {i.name: i.size for i in second.inputs} == {"MAIN": 21, "down": 8, "loop": 26}
    assert {i.name: i.size for i in out.inputs} == {"MAIN": 9, "lesson": 3, "rivals": 2, "loop": 8}
    assert a.computation == SparseComputation(0.1)
    assert out.computation == StandardComputation(1, gains={"rivals": -0.5})
    assert out.learning == HebbianLearning(0.1) and out.layer == "reach"
    contract = LayeredBrain(plan).contract
    assert [(p.id, p.kind) for p in contract.inputs] == [("x", "Scalar"), ("arm", "Proprioception")]
    assert contract.gamma == 2 and [p.id for p in contract.outputs] == ["out"]


def test_a_definition_that_is_written_is_read_as_the_same_brain(tmp_path: Path) -> None:
    plan = plan_of(DOCUMENT)
    write_definition(tmp_path / "two.json", plan, dt=0.05)
    again = read_definition(tmp_path / "two.json")
    assert document_of(again) == document_of(plan)
    one, two = LayeredBrain(plan), LayeredBrain.load(tmp_path / "two.json")
    assert two.dt == 0.05 and two.wiring == one.wiring
    for k in range(30):
        seen = {"x": k / 30, "arm": [k / 10, -k / 10]}
        fired, other = one.tick(seen), two.tick(seen)
        assert all(np.array_equal(fired[name], other[name]) for name in ("a", "layer0_1", "out"))


SHAPES = st.one_of(st.integers(1, 6), st.lists(st.integers(1, 4), min_size=1, max_size=3))
RULES = st.one_of(
    st.builds(SparseComputation, st.integers(0, 5), st.none() | st.floats(-1, 1)),
    st.builds(SparseComputation, st.floats(0, 1), noise=st.floats(0, 1)),
    st.builds(StandardComputation, st.floats(-5, 5), st.just({"MAIN": 0.5, "loop": -1.0})),
)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.tuples(SHAPES, RULES), min_size=1, max_size=3), min_size=1, max_size=3),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_any_plan_comes_back_from_its_definition(
    layers: list[list[tuple[Any, Any]]], seed: int, seeded: bool
) -> None:
    groups = [[Neurons(shape, computation=rule) for shape, rule in layer] for layer in layers]
    FeedForward(groups, seed=seed if seeded else None)
    for layer in groups:
        layer[0].set("loop", [layer[-1], layer[0][:1]])
    brain = LayeredBrain(groups, bits(7), learning=HebbianLearning(), seed=seed)
    document = document_of(brain.plan)
    again = LayeredBrain(plan_of(json.loads(json.dumps(document))))
    assert document_of(again.plan) == document and again.contract == brain.contract
    for value in (0, 3, 6):
        fired, other = brain.tick(value), again.tick(value)
        assert all(np.array_equal(fired[name], other[name]) for name in fired)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return DOCUMENT with another value at a path such as ``layers.1.shape``; None removes it."""
    document = copy.deepcopy(DOCUMENT)
    *above, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place: Any = document
    for key in above:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("layers", None, r"d\.json: \$: the key 'layers' is missing"),
        ("colour", 1, r"colour: unknown key"),
        ("gamma", 0, r"gamma: must be at least 1 \(got 0\)"),
        ("layers.1.shape", [3, 0], r"layers\[1\]\.shape.*at least 1"),
        ("layers.1.name", "a", r"layers\[1\]: the name 'a' is taken"),
        ("layers.1.name", "no name", r"layers\[1\]\.name: must match"),
        (
            "layers.1.inputs.lesson",
            "fx",
            r"layers\[1\]\.inputs\.lesson: .*'fx'; one of: x, arm, fb",
        ),
        ("layers.1.inputs.lesson", "fb[5]", r"inputs\.lesson: 'fb\[5\]': an output of the form"),
        ("layers.1.inputs.lesson", "fb[2:2]", r"selects nothing"),
        ("layers.1.inputs.lesson", "fb[1:2:0]", r"'fb\[1:2:0\]'"),
        (
            "layers.1.computation.type",
            "dense",
            r"unknown computation 'dense'; one of: standard, sp",
        ),
        ("layers.1.computation.type", "hebbian", r"unknown computation 'hebbian'"),
        ("layers.1.computation.limit", 2, r"computation\.limit: unknown key; one of: threshold"),
        ("layers.1.computation.threshold", "high", r"layers\[1\]\.computation"),
        ("computation.count", 3, r"computation: a sparse computation needs a count or a fraction"),
        ("computation.fraction", 1.5, r"computation: n: must be"),
        ("computation.fraction", "x", r"computation\.fraction: must be a number"),
        ("learning.increase", 7, r"learning: increase: must be within"),
        ("sensors.x.encoder", "sonar", r"sensors\.x\.encoder: unknown encoder 'sonar'"),
        ("sensors.x.kind", "Image", r"sensors\.x\.kind: 'simple_bits' without joints reads Scalar"),
        ("sensors.arm.kind", "Vector", r"'cyclic_bits' with joints reads Proprioception"),
        ("sensors.x.options.lower", 2, r"sensors\.x\.options"),
        ("sensors.x.options.width", 2, r"options\.width: unknown key"),
        ("feedback.fb.output", "a", r"feedback 'fb': output: 'a' is not an output; one of: out"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_place(
    path: str, value: Any, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "d.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(ConfigError, match=says) as error:
        read_definition(file)
    assert str(error.value).startswith(str(file))


def test_the_definition_that_ships_is_a_brain(root: Path) -> None:
    brain = LayeredBrain.load(root / "config" / "layered.json")
    assert brain.tick(0.5)["turn"].sum() == 2
    assert brain.contract.stdp3_layers == ("turn",)


# --- Files -------------------------------------------------------------------------------------


def test_a_definition_is_a_brain_that_never_ran_with_the_seed_and_dt_that_are_given(
    tmp_path: Path,
) -> None:
    file = tmp_path / "brain.json"
    file.write_text(json.dumps(definition()))
    one, same, other = (load_brain(file, dt=0.004, seed=seed) for seed in (3, 3, 4))
    assert all(isinstance(each, LayeredBrain) for each in (one, same, other))
    assert one.dt == 0.004
    weights = [each.weights("pan") for each in (one, same, other)]
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])
    file.write_text(json.dumps(DOCUMENT))
    assert load_brain(file, dt=0.004).dt == 0.05
    file.write_text("{")
    with pytest.raises(ConfigError, match="line 1, column 2: invalid JSON"):
        load_brain(file)


def test_rules_of_ones_own_are_saved_by_name_and_loaded_by_class(tmp_path: Path) -> None:
    brain = LayeredBrain(Neurons(4, "g"), bits(6), Majority(0.4), Decay(0.99), seed=1)
    brain.tick(2)
    brain.save(tmp_path / "own.db")
    again = LayeredBrain.load(tmp_path / "own.db", rules=[Majority, Decay])
    assert np.array_equal(again.tick(3)["g"], brain.tick(3)["g"])
    assert np.array_equal(again.weights("g"), brain.weights("g"))
    with pytest.raises(ConfigError, match=r"unknown computation 'Majority'.*rules=\[MyClass\]"):
        LayeredBrain.load(tmp_path / "own.db")


def test_what_has_no_name_runs_but_cannot_be_saved(tmp_path: Path) -> None:
    class Own(SimpleEncoder):
        pass

    class Plain(Majority):
        pass

    Unnamed = type("Unnamed", (StandardComputation.__mro__[1],), {"compute": ANY.compute})
    for brain, says in (
        (LayeredBrain(Neurons(2), Sensor(Own(0, 1, 5)), ANY), "the encoder Own cannot be saved"),
        (LayeredBrain(Neurons(2), bits(3), Unnamed()), "Unnamed cannot be saved: make it a frozen"),
    ):
        brain.tick(1)
        with pytest.raises(ConfigError, match=says):
            brain.save(tmp_path / "b.db")
    LayeredBrain(Neurons(2), bits(3), Plain()).save(tmp_path / "b.db")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("network.weights.g.MAIN", np.zeros((2, 2), np.float32), r"must be float32\[6, 4\]"),
        ("network.weights.g.MAIN", np.full((6, 4), 2, np.float32), r"must be within \[0, 1\]"),
        ("network.weights.g.MAIN", np.full((6, 4), np.nan, np.float32), r"must be within \[0, 1\]"),
        ("network.weights.g.MAIN", None, "lacks array 'weights.g.MAIN'"),
        ("network.bits.g", np.zeros(4, np.uint8), r"must be bool\[4\], not uint8\[4\]"),
        ("network.tick", np.array(-1), "'tick' must be at least 0"),
        ("definition", None, "does not fit together: 'definition'"),
        ("dt", "soon", "does not fit together"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(
    name: str, value: Any, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "brain.db"
    LayeredBrain(Neurons(4, "g"), bits(6), ANY).save(file)
    texts, arrays = read_brain_file(file)
    for held in (texts, arrays):
        if name in held and value is None:
            del held[name]
        elif name in held:
            held[name] = value
    write_brain_file(file, texts, arrays)
    with pytest.raises(BrainFileError, match=says) as error:
        LayeredBrain.load(file)
    assert str(error.value).startswith(str(file))


@dataclass(frozen=True)
class Scripted:
    """What a robot sees and earns, cycle by cycle."""

    seed: int

    def values(self) -> np.ndarray:
        return np.random.default_rng(self.seed).integers(0, 7, 60)


def test_a_brain_that_is_saved_while_ticked_by_hand_goes_on_to_the_bit(tmp_path: Path) -> None:
    def make() -> LayeredBrain:
        layers = [Neurons(30, "a"), Neurons(8, "b", layer="l")]
        FeedForward(layers)
        layers[0].set("down", layers[1])
        return LayeredBrain(
            layers, bits(7), SparseComputation(3, noise=0.3), HebbianLearning(), seed=6
        )

    values = Scripted(1).values()
    whole, half = make(), make()
    for value in values:
        whole.tick(value)
        whole.teach(value / 7)
    for value in values[:30]:
        half.tick(value)
        half.teach(value / 7)
    half.save(tmp_path / "half.db")
    half = LayeredBrain.load(tmp_path / "half.db")
    for value in values[30:]:
        half.tick(value)
        half.teach(value / 7)
    for group, name in (("a", "MAIN"), ("a", "down"), ("b", "MAIN")):
        assert whole.weights(group, name).tobytes() == half.weights(group, name).tobytes()
    assert np.array_equal(whole.bits("b"), half.bits("b"))


def test_the_document_on_layered_brains_runs_as_it_stands_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("google.protobuf")
    text = (root / "docs" / "layered.md").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").symlink_to(root / "config")
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(example, "layered.md", "exec"), {"__name__": "document"})
    assert Experiment.load(tmp_path / "compass.pb").metrics[-1] == "Learned"
    commands = re.findall(r"^ab_ros (layers .*)$", text, re.MULTILINE)
    assert [main(shlex.split(line)) for line in commands] == [0, 0, 0]


def test_a_definition_keeps_how_its_samples_are_taken(tmp_path: Path) -> None:
    document = {
        "name": "scanning",
        "sensors": {
            "scan": {
                "kind": "Vector",
                "encoder": "simple_bits",
                "options": {"lower": 0, "upper": 4, "length": 12, "values": 3},
                "topic": "scan",
                "message": "sensor_msgs/msg/LaserScan",
                "fields": ["ranges[0:3]"],
                "non_finite": "range_max",
                "delay": 0.1,
            }
        },
        "layers": [
            [{"name": "out", "shape": [4], "inputs": {"MAIN": "scan"}, "output": True,
              "computation": {"type": "sparse", "count": 1}}]
        ],
    }  # fmt: skip
    first, second = tmp_path / "one.json", tmp_path / "two.db"
    first.write_text(json.dumps(document))
    brain = LayeredBrain.load(first, dt=0.02)
    brain.open()
    brain.save(second)
    brain.close()
    for loaded in (brain, LayeredBrain.load(second)):
        taken = loaded.inputs["scan"]
        assert taken.message == "sensor_msgs/msg/LaserScan" and taken.fields == ("ranges[0:3]",)
        assert (taken.non_finite, taken.delay) == ("range_max", 0.1)
