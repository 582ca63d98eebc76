"""The brain in Python: build, tick, reward, save and go on."""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from recipe_parts import write_parts

from ab_ros.engine import SYNAPSE_TYPES, Brain
from ab_ros.engine.brain import BODY_MAP, SENSOR_MAP
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.engine.recipes import load_recipe
from ab_ros.engine.summary import learned, plan_summary
from ab_ros.errors import BrainFileError, EngineError

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]
RANDOM = np.random.default_rng(2)
EYE = (RANDOM.random((600, 12)) < 0.1).astype(np.uint8)
ERROR = (RANDOM.random((600, 4)) < 0.1).astype(np.uint8)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_parts(tmp_path)


def built(recipe: Path, backend: str = "numpy", **options: object) -> Brain:
    return Brain.build(recipe, backend=backend, **options)


def live(brain: Brain, first: int, last: int) -> np.ndarray:
    """Run through a life of input, feedback and rewards; return all spikes."""
    rasters = []
    for start in range(first, last, 50):
        part = slice(start, start + 50)
        currents = {"left.ring_in": 6.0 + np.sin(start), "relay.in": 7.0}
        rasters.append(brain.run(50, currents, {"eye": EYE[part], "error": ERROR[part]}))
        brain.deliver_reward(0.8 * np.cos(start), "mood")
        brain.deliver_reward(0.1)
    return np.concatenate(rasters)


def assert_same_state(one: Brain, other: Brain) -> None:
    states = one.network.state(), other.network.state()
    assert states[0].keys() == states[1].keys()
    for key in states[0]:
        assert np.array_equal(states[0][key], states[1][key]), key


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_saved_brain_goes_on_bit_by_bit(
    backend: str, precision: str, recipe: Path, tmp_path: Path
) -> None:
    straight = built(recipe, backend, precision=precision)
    assert {p.synapse.type_name for p in straight.plan.projections} == set(SYNAPSE_TYPES)
    whole = live(straight, 0, 600)
    interrupted = built(recipe, backend, precision=precision)
    live(interrupted, 0, 250)
    interrupted.save(tmp_path / "brain.db")
    resumed = Brain.load(tmp_path / "brain.db", backend)
    assert resumed.ticks == 250
    assert np.array_equal(live(resumed, 250, 600), whole[250:])
    assert_same_state(straight, resumed)
    assert whole[250:].any(axis=0).sum() > 20
    moved = learned(resumed)["moved"]
    assert {"left:plastic", "latch.out->relay.in", "growth"} <= set(moved)
    assert learned(resumed)["pruned"]["growth"] > 0


@needs_numba
def test_a_brain_may_change_its_backend_on_the_way(recipe: Path, tmp_path: Path) -> None:
    whole = live(built(recipe, "numpy"), 0, 300)
    brain = built(recipe, "numba")
    live(brain, 0, 150)
    brain.save(tmp_path / "brain.db")
    assert np.array_equal(live(Brain.load(tmp_path / "brain.db", "numpy"), 150, 300), whole[150:])


def test_a_loaded_brain_has_the_same_plan_and_can_be_saved_again(
    recipe: Path, tmp_path: Path
) -> None:
    brain = built(recipe)
    live(brain, 0, 300)
    brain.save(tmp_path / "one.db")
    again = Brain.load(tmp_path / "one.db")
    again.save(tmp_path / "two.db")
    one, two = (read_brain_file(tmp_path / f"{name}.db") for name in ("one", "two"))
    assert one[0] == two[0]
    assert all(np.array_equal(two[1][name], values) for name, values in one[1].items())
    assert plan_summary(again.plan) == plan_summary(brain.plan)
    for mine, theirs in zip(brain.plan.projections, again.plan.projections, strict=True):
        assert mine.synapse == theirs.synapse
        assert np.array_equal(mine.weight, theirs.weight)  # at birth, whatever was learned
        assert np.array_equal(mine.pre, theirs.pre) and np.array_equal(mine.post, theirs.post)
    assert again.plan.neurons_of("*.out").tolist() == brain.plan.neurons_of("*.out").tolist()
    assert load_recipe(recipe).text == again.plan.recipe


def test_fixed_weights_that_were_set_by_hand_are_kept(recipe: Path, tmp_path: Path) -> None:
    brain = built(recipe)
    brain.network.set_weights("left:fixed", 3.5)
    brain.save(tmp_path / "b.db")
    loaded = Brain.load(tmp_path / "b.db")
    assert (loaded.network.edges("left:fixed")[2] == 3.5).all()
    assert (loaded.plan.projection("left:fixed").weight != 3.5).any()


def test_the_seed_of_build_is_that_of_content_and_noise(recipe: Path) -> None:
    one, same, other = (built(recipe, seed=seed) for seed in (9, 9, 10))
    assert one.plan.seed == one.network.seed == 9
    assert_same_state(one, same)
    assert np.array_equal(one.run(200), same.run(200))
    assert one.plan.synapses != other.plan.synapses
    plan = one.plan
    noisy = Brain.build(plan, seed=3, backend="numpy")
    assert noisy.plan is plan and noisy.network.seed == 3


def test_ticks_and_runs_and_forms_of_currents_agree(recipe: Path) -> None:
    run, tick, named = (built(recipe) for _ in range(3))
    drive = np.zeros(run.size)
    drive[run.neurons_of("left.ring_in")] = 8.0
    drive[run.neurons_of("left[2].ring_in")] += 1.5
    whole = run.run(80, drive)
    assert whole.shape == (80, run.size) and whole.dtype == np.uint8
    ticked = [tick.tick(drive) for _ in range(80)]
    assert np.array_equal(whole, ticked)
    given = {"left.ring_in": np.full(12, 8.0), "left[2].ring_in": 1.5}
    assert np.array_equal(whole, [named.tick(given) for _ in range(80)])
    assert run.ticks == tick.ticks == named.ticks == 80
    by_tick = built(recipe)
    assert np.array_equal(whole, by_tick.run(80, np.tile(drive, (80, 1))))


def test_spikes_of_inputs_can_be_given_tick_by_tick(recipe: Path) -> None:
    one, other = built(recipe), built(recipe)
    whole = one.run(40, None, {"eye": EYE[:40]})
    assert np.array_equal(whole, [other.tick(spikes={"eye": EYE[t]}) for t in range(40)])
    assert whole[:, one.neurons_of("left.trigger")].any()


@pytest.mark.parametrize(
    ("currents", "message"),
    [
        ({"nose.in": 1.0}, r"selector 'nose\.in': unknown component 'nose'; one of: left, latch"),
        ({"left.nose": 1.0}, r"left has no terminal or node 'nose'; one of: ring_a, ring_b"),
        ({"left[6].out": 1.0}, r"left has the instances 0 to 5 \(asked for 6 to 6\)"),
        ({"left out": 1.0}, r"selector 'left out': must be 'component', 'component\.port'"),
        ({"left.out": np.nan}, r"current of 'left\.out': must be finite \(got nan\)"),
        ({"left.out": [0.0] * 11 + [np.inf]}, r"current of 'left\.out': must be finite \(got inf"),
        ({"left.out": [1.0, 2.0]}, r"one for each of its 12 neurons \(got the shape \[2\]\)"),
        ({"left.out": "much"}, r"current of 'left\.out': must be numbers \(got 'much'\)"),
        (np.zeros(3), r"currents: must have the shape \[72\].* \(got \[3\]\)"),
        ("much", r"currents: must be numbers"),
    ],
)
def test_currents_that_do_not_fit_are_refused(currents: object, message: str, recipe: Path) -> None:
    brain = built(recipe)
    before = brain.network.state()
    for call in (lambda: brain.tick(currents), lambda: brain.run(5, currents)):
        with pytest.raises(EngineError, match=message):
            call()
    assert all(np.array_equal(brain.network.state()[k], v) for k, v in before.items())


def test_a_bad_current_names_the_neuron(recipe: Path) -> None:
    brain = built(recipe)
    drive = np.zeros(brain.size)
    drive[brain.neurons_of("right[2].kill")] = np.inf
    with pytest.raises(EngineError, match=r"must be finite \(got inf at neuron 35, right\[2\]\.ki"):
        brain.tick(drive)


def test_rewards_teach_their_layer_and_only_while_learning(recipe: Path) -> None:
    brain = built(recipe)
    name = "latch.out->relay.in"
    live(brain, 0, 50)
    learned_before = brain.network.edges(name)[2].copy()
    brain.run(50, {"left.ring_in": 9.0, "relay.in": 9.0})
    brain.learning = False
    brain.deliver_reward(1.0)
    assert np.array_equal(brain.network.edges(name)[2], learned_before)
    brain.learning = True
    brain.deliver_reward(1.0, "mood")
    assert (brain.network.edges(name)[2] >= learned_before).all()
    assert (brain.network.edges(name)[2] > learned_before).any()
    with pytest.raises(EngineError, match=r"'fear'.*mood"):
        brain.deliver_reward(1.0, "fear")
    with pytest.raises(EngineError, match=r"must be at most 1 \(got 1\.5\)"):
        brain.deliver_reward(1.5)


# --- Maps --------------------------------------------------------------------------------------


def body(*rows: tuple[object, ...]) -> np.ndarray:
    return np.array(list(rows), BODY_MAP)


def test_maps_are_kept_in_the_file(recipe: Path, tmp_path: Path) -> None:
    brain = built(recipe)
    assert brain.body_map.size == brain.sensor_map.size == 0
    brain.set_maps(
        body((3, 0, "dorsal", "excitatory"), (4, 23, "ventral", "inhibitory")),
        np.array([(7, "chemical", "head", "ON", "bilateral")], SENSOR_MAP),
    )
    brain.save(tmp_path / "b.db")
    loaded = Brain.load(tmp_path / "b.db")
    assert loaded.body_map.tolist() == brain.body_map.tolist()
    assert loaded.sensor_map.tolist() == [(7, "chemical", "head", "ON", "bilateral")]
    loaded.set_maps(body_map=body())
    assert loaded.body_map.size == 0 and loaded.sensor_map.size == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (body((99, 0, "dorsal", "excitatory")), r"body_map\[0\]\.neuron: must be in \[0, 72\)"),
        (body((1, 24, "dorsal", "excitatory")), r"body_map\[0\]\.segment: unknown '24'; one of: 0"),
        (body((1, 2, "left", "excitatory")), r"body_map\[0\]\.side: unknown 'left'; one of: dors"),
        (np.zeros((2, 3)), r"body_map: must be a structured array \[rows\] with the fields neuron"),
    ],
)
def test_maps_that_do_not_fit_are_refused(given: np.ndarray, message: str, recipe: Path) -> None:
    brain = built(recipe)
    with pytest.raises(EngineError, match=message):
        brain.set_maps(given)
    assert brain.body_map.size == 0


# --- Files that are no brains ------------------------------------------------------------------


def test_a_brain_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_brain_file(tmp_path / "b.db", {"format": "embedded-1"}, {})
    with pytest.raises(BrainFileError, match=r"holds 'embedded-1', not a brain built from a rec"):
        Brain.load(tmp_path / "b.db")
    with pytest.raises(BrainFileError, match=r"there is no such brain file"):
        Brain.load(tmp_path / "c.db")


def rewritten(file: Path, change: str, value: object = None) -> None:
    """Change an array or text of a brain file, checksums and all."""
    texts, arrays = read_brain_file(file)
    if change in texts:
        texts[change] = str(value)
    elif value is None:
        del arrays[change]
    else:
        arrays[change] = np.asarray(value)
    write_brain_file(file, texts, arrays)


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("synapses.targets", np.zeros(3, np.int32), r"does not fit together"),
        ("state.neurons/v", None, r"does not fit together: state: entry 'neurons/v' is missing"),
        ("state.neurons/v", np.full(72, np.nan), r"entry 'neurons/v' must be finite"),
        ("state.network/clock", np.array([-5, 0]), r"'network/clock' must be at least 0"),
        ("plan.kind", None, r"lacks 'plan\.kind'"),
        ("plan.a", np.full(72, 7.0), r"NeuronArrays\.a: must be in \[0, 1\]"),
        ("plan.a", np.full(7, 0.1), r"does not fit together"),
        ("sensor_map", None, r"lacks 'sensor_map'"),
        ("plan", "{}", r"lacks 'projections'"),
        ("plan", "nothing", r"does not fit together"),
        ("network", '{"seed": 1, "precision": "half", "history": 2}', r"unknown 'half'"),
    ],
)
def test_contents_that_do_not_fit_together_are_refused(
    change: str, value: object, message: str, recipe: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.db"
    built(recipe).save(file)
    rewritten(file, change, value)
    with pytest.raises(BrainFileError, match=message) as error:
        Brain.load(file)
    assert str(error.value).startswith(f"{file}: ")


def test_there_is_no_row_per_synapse(recipe: Path, tmp_path: Path) -> None:
    built(recipe).save(tmp_path / "b.db")
    with sqlite3.connect(tmp_path / "b.db") as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        tables = [name for name in names if not name.startswith("sqlite_")]
        rows = sum(
            connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables
        )
    assert rows < 20
