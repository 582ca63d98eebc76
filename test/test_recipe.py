"""Recipes: what is refused, in which words; what the wiring rules make."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipe_parts import recipe_document, write_parts

from ab_ros.engine.plan import Plan
from ab_ros.engine.recipes import compile_recipe, load_recipe, recipe_names
from ab_ros.engine.recipes.crosswiring import is_trigger
from ab_ros.engine.recipes.pairing import partner_pairs
from ab_ros.engine.recipes.proximity import near_pairs
from ab_ros.engine.recipes.streams import stream
from ab_ros.engine.sorting import stable_order
from ab_ros.errors import ConfigError

JOIN = {"from_type": "left", "from_terminal": "out", "to_type": "right", "to_terminal": "ring_in"}
TWO = [
    {"name": "left", "path": "latch.json", "count": 6},
    {"name": "right", "path": "latch.json", "count": 4},
]


def plan_of(folder: Path, seed: int | None = None, **document: Any) -> Plan:
    """Compile a recipe of two components, with what is given."""
    whole = {"name": "r", "components": TWO, **document}
    return compile_recipe(load_recipe(write_parts(folder, whole)), seed)


def content(plan: Plan) -> list[bytes]:
    """All that a plan holds, as bytes."""
    arrays = [plan.kind, plan.a, plan.bias, plan.noise, plan.position, plan.instance, plan.node]
    for p in plan.projections:
        arrays += [p.pre, p.post, p.weight]
    return [array.tobytes() for array in arrays] + [repr(p.name).encode() for p in plan.projections]


# --- Refusals ----------------------------------------------------------------------------------


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the small recipe with one value changed: ``projections.0.weight``."""
    document: Any = recipe_document()
    *steps, last = path.split(".")
    place = document
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    if value is KeyError:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", 3, r"name: must be string \(got 3\)"),
        ("colour", "red", r"colour: unknown key \(got \"red\"\); one of: components, description"),
        ("components", [], r"components: must have at least 1 item"),
        ("components.0.count", 0, r"components\[0\]\.count: must be at least 1 \(got 0\)"),
        ("components.0", {"type": "nose", "count": 1}, r"components\[0\]\.type: .*'nose': unknown"),
        ("components.0.path", KeyError, r"components\[0\]: needs either a type, .* or a path"),
        ("components.0.type", "cpg", r"components\[0\]: needs either a type, .* or a path"),
        ("components.0.path", "no.json", r"components\[0\]\.path: .*no\.json: cannot be read"),
        ("components.1.name", "left", r"components\[1\]\.name: 'left' stands twice"),
        ("components.0.extent", [1], r"components\[0\]\.extent: must have at least 2 items"),
        ("layer_spacing", 0, r"layer_spacing: must be greater than 0 \(got 0\)"),
        ("seed", -1, r"seed: must be at least 0 \(got -1\)"),
        ("seed", 1.5, r"seed: must be integer \(got 1\.5\)"),
        (
            "projections.0.from_type",
            "nose",
            r"projections\[0\]\.from_type: unknown component 'nose'; one of: left, latch, ri",
        ),
        (
            "projections.0.from_terminal",
            "set_in",
            r"from_terminal: latch has no output terminal 'set_in'; one of: out",
        ),
        (
            "projections.0.to_terminal",
            "out",
            r"to_terminal: relay has no input terminal 'out'; one of: in, gate_in",
        ),
        ("projections.0.to_type", KeyError, r"projections\[0\]: the key 'to_type' is missing"),
        ("projections.0.delay", 0, r"projections\[0\]\.delay: must be at least 1 \(got 0\)"),
        ("projections.0.delay", -2, r"projections\[0\]\.delay: must be at least 1 \(got -2\)"),
        ("projections.0.probability", 1.5, r"\.probability: must be at most 1 \(got 1\.5\)"),
        ("projections.0.weight", 9, r"projections\[0\]\.weight: weights must be in \[0, 10\].* 11"),
        ("projections.0.weight", -1, r"projections\[0\]\.weight: weights must be in \[0, 10\]"),
        ("projections.0.weight", float("nan"), r"projections\[0\]\.weight: must be finite"),
        ("projections.0.weight", float("-inf"), r"projections\[0\]\.weight: must be finite"),
        ("projections.0.synapse_type", "magic", r"synapse_type: one of: fixed, plastic, reward_pl"),
        ("projections.0.params.lr", -1, r"projections\[0\]\.params\.lr: must be at least 0 \(got"),
        (
            "projections.0.params",
            {"rate": 1},
            r"params\.rate: unknown parameter of reward_plastic synapses \(got 1\); one of: lr, w_",
        ),
        (
            "projections.1.layer",
            "mood",
            r"projections\[1\]\.layer: is for reward_plastic synapses, not for developmental",
        ),
        ("projections.2.modulator", KeyError, r"\.modulator: gated synapses need one"),
        (
            "projections.2.modulator.terminal",
            "door",
            r"projections\[2\]\.modulator\.terminal: relay has no terminal 'door'; one of: in, ga",
        ),
        ("projections.2.modulator.type", "door", r"modulator\.type: unknown component 'door'"),
        (
            "projections.2.params.gate",
            "wide",
            r"params\.gate: unknown 'wide'; one of: transmission",
        ),
        ("projections.0.pattern", "ring", r"pattern: one of: random, one_to_one, shift \(got \"ri"),
        ("projections.1.name", "left:fixed", r"projections\[1\]\.name: must match"),
        ("projections.0.name", "growth", r"projections\[1\]\.name: 'growth' stands twice"),
        ("projections.0.offset", 2, r"\.offset: the pattern shift needs one"),
        ("projections.1.pattern", "shift", r"\.offset: the pattern shift needs one"),
        ("wiring.max_distance", 0, r"wiring\.max_distance: must be greater than 0"),
        ("wiring.excluded_inputs", ["nose"], r"excluded_inputs\[0\]: no component has the input"),
        ("wiring.excluded_inputs", ["left.out"], r"latch has no input terminal 'out'; one of: set"),
        ("wiring.synapse_type", "gated", r"wiring\.synapse_type: crosswiring has no gated"),
        ("wiring.weight_scale", 9, r"wiring\.weight_scale: weights must be in \[0, 10\]"),
        ("io.inputs.eye.to", "left", r"io\.inputs\.eye\.to: must match"),
        ("io.inputs.eye.to", "left.x", r"io\.inputs\.eye\.to: latch has no input terminal 'x'"),
        (
            "io.outputs.all",
            ["left.out", "up.out"],
            r"io\.outputs\.all\[1\]: unknown component 'up'",
        ),
        ("io.feedback.error.output", "arm", r"io\.feedback\.error\.output: unknown output 'arm'"),
        ("io.feedback.eye", {"size": 1, "output": "move", "to": "left.set_in"}, r"'eye' names two"),
        (
            "io.layers",
            ["fear"],
            r"io\.layers\[0\]: no synapse is taught by .* 'fear'; one of: mood",
        ),
        ("io.layers", [], r"io\.layers: the reward layer 'mood' is missing"),
    ],
)
def test_what_does_not_fit_names_file_place_value_and_what_is_allowed(
    path: str, value: Any, message: str, tmp_path: Path
) -> None:
    file = write_parts(tmp_path, changed(path, value))
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(file)
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"projections": [{**JOIN, "probability": 1e-9}]},
            r"projections\[0\]: projection 'left\.out->right\.ring_in' makes no synapse: pattern"
            r" random with probability 1e-09 joins none of 12 neurons to 8",
        ),
        (
            {"wiring": {"max_distance": 1e-6}},
            r"wiring: makes no synapse: no two neurons .* closer than max_distance = 1e-06",
        ),
        (
            {"projections": [{**JOIN, "pattern": "shift", "offset": 1}]},
            r"projections\[0\]\.pattern: shift needs as many instances .* \(got 6 and 4\)",
        ),
        (
            {"io": {"inputs": {"eye": {"kind": "k", "encoder": "e", "to": "left.set_in"}}}},
            r"io\.inputs\.eye\.size: is not known: give it, or the number of spike trains",
        ),
        (
            {
                "components": [{"path": "relay.json", "count": 2}],
                "wiring": {"auto_timers": True},
            },
            r"wiring\.auto_timers: no component has input terminals both of triggers",
        ),
    ],
)
def test_what_makes_nothing_is_an_error(
    document: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(tmp_path, **document)


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"recipe 'soup': unknown; a path that ends in \.json"):
        load_recipe("soup")
    with pytest.raises(ConfigError, match=r"no/soup\.json: cannot be read"):
        load_recipe("no/soup.json")


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).name == name


# --- The same content --------------------------------------------------------------------------


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))}
    return [reversed_keys(each) for each in value] if isinstance(value, list) else value


def test_the_order_of_keys_does_not_matter_but_the_seed_does(tmp_path: Path) -> None:
    document = recipe_document()
    one = compile_recipe(load_recipe(write_parts(tmp_path, document)))
    other = compile_recipe(load_recipe(write_parts(tmp_path, reversed_keys(document))))
    assert content(one) == content(other)
    assert one.recipe == other.recipe
    assert json.loads(one.recipe) == document
    third = compile_recipe(load_recipe(write_parts(tmp_path, document)), seed=6)
    assert content(one) != content(third)


def test_content_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """A digest of the content of one seed, written down once."""
    plan = plan_of(tmp_path, projections=[{**JOIN, "weight_spread": 1}], wiring={}, seed=1)
    digest = hashlib.sha256(b"".join(content(plan))).hexdigest()
    assert digest[:16] == "3f863e4dce80bf48"


def test_a_projection_is_drawn_the_same_whatever_stands_beside_it(tmp_path: Path) -> None:
    other = {**JOIN, "from_type": "right", "to_type": "left", "probability": 0.3}
    join = {**JOIN, "probability": 0.3, "weight_spread": 1}
    alone = plan_of(tmp_path, projections=[join]).projections[-1]
    beside = plan_of(tmp_path, projections=[other, join]).projections[-1]
    assert alone.name == beside.name
    for field in ("pre", "post", "weight"):
        assert np.array_equal(getattr(alone, field), getattr(beside, field))


# --- Names -------------------------------------------------------------------------------------


def test_a_name_is_an_entry_or_else_all_of_a_type(tmp_path: Path) -> None:
    components = [
        {"path": "latch.json", "count": 2},
        {"path": "latch.json", "count": 3, "layer": 1},
        {"path": "relay.json", "count": 1},
    ]
    join = {**JOIN, "from_type": "relay", "to_type": "latch", "probability": 1}
    plan = plan_of(tmp_path, components=components, projections=[join, {**join, "delay": 2}])
    assert [block.name for block in plan.blocks] == ["latch_1", "latch_2", "relay"]
    assert [p.name for p in plan.projections if p.origin == "projection"] == [
        "relay.out->latch.ring_in",
        "relay.out->latch.ring_in#2",
    ]
    assert plan.projection("relay.out->latch.ring_in").size == 2 * 5


def test_two_files_with_one_component_name_are_refused(tmp_path: Path) -> None:
    write_parts(tmp_path)
    (tmp_path / "again.json").write_text((tmp_path / "latch.json").read_text())
    components = [TWO[0], {"name": "b", "path": "again.json", "count": 1}]
    with pytest.raises(ConfigError, match=r"components\[1\]: two files hold a component named 'la"):
        plan_of(tmp_path, components=components)


# --- Patterns ----------------------------------------------------------------------------------


def joined(plan: Plan, name: str = "left.out->right.ring_in") -> list[tuple[str, str]]:
    p = plan.projection(name)
    return [(plan.label(int(i)), plan.label(int(j))) for i, j in zip(p.pre, p.post, strict=True)]


def test_one_to_one_gives_every_instance_of_the_larger_side_a_partner(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, projections=[{**JOIN, "pattern": "one_to_one", "probability": 1}])
    partners = {(a.split(".")[0], b.split(".")[0]) for a, b in joined(plan)}
    assert partners == {(f"left[{i}]", f"right[{i * 4 // 6}]") for i in range(6)}
    assert len(joined(plan)) == 6 * 2 * 2
    back = {**JOIN, "from_type": "right", "to_type": "left", "pattern": "one_to_one"}
    plan = plan_of(tmp_path, projections=[{**back, "probability": 1}])
    partners = {
        (a.split(".")[0], b.split(".")[0]) for a, b in joined(plan, "right.out->left.ring_in")
    }
    assert partners == {(f"right[{i * 4 // 6}]", f"left[{i}]") for i in range(6)}


@pytest.mark.parametrize("offset", [2, -1])
def test_shift_joins_an_instance_to_one_further_on(offset: int, tmp_path: Path) -> None:
    join = {**JOIN, "to_type": "left", "pattern": "shift", "offset": offset, "probability": 1}
    plan = plan_of(tmp_path, projections=[join])
    partners = {
        (a.split(".")[0], b.split(".")[0]) for a, b in joined(plan, "left.out->left.ring_in")
    }
    assert partners == {
        (f"left[{i}]", f"left[{i + offset}]") for i in range(6) if 0 <= i + offset < 6
    }


def test_random_joins_with_the_probability_and_no_neuron_to_itself(tmp_path: Path) -> None:
    components = [{"name": "left", "path": "latch.json", "count": 100}]
    join = {**JOIN, "to_type": "left", "probability": 0.25, "weight": 5, "weight_spread": 2}
    p = plan_of(tmp_path, components=components, projections=[join]).projections[-1]
    assert p.size == pytest.approx(0.25 * 200 * 199, rel=0.05)
    assert (p.pre != p.post).all()
    pairs = np.stack((p.pre, p.post), axis=1)
    assert np.array_equal(pairs, np.unique(pairs, axis=0))
    assert p.weight.min() >= 3 and p.weight.max() <= 7
    assert p.weight.mean() == pytest.approx(5, abs=0.05)


@given(st.integers(1, 9), st.integers(1, 9))
def test_partners_are_as_the_schema_says(n: int, m: int) -> None:
    sources = np.arange(n, dtype=np.int32)[:, None]
    targets = np.arange(100, 100 + m, dtype=np.int32)[:, None]
    pre, post = partner_pairs(sources, targets, 0, 1.0, stream(0, "x"))
    if n >= m:
        expected = {(i, 100 + i * m // n) for i in range(n)}
    else:
        expected = {(j * n // m, 100 + j) for j in range(m)}
    assert set(zip(pre.tolist(), post.tolist(), strict=True)) == expected


@given(st.lists(st.integers(0, 2**40), max_size=60))
def test_sorting_by_digits_is_stable(keys: list[int]) -> None:
    array = np.array(keys, dtype=np.int64)
    assert np.array_equal(stable_order(array), np.argsort(array, kind="stable"))


# --- Places and proximity ----------------------------------------------------------------------


def test_instances_spread_over_their_area_in_their_layer(tmp_path: Path) -> None:
    components = [
        {"name": "a", "path": "latch.json", "count": 40, "layer": 2},
        {"name": "b", "path": "latch.json", "count": 10, "extent": [30, 0], "center": [100, -5]},
    ]
    plan = plan_of(tmp_path, components=components, layer_spacing=7)
    a = plan.position[plan.neurons_of("a.ring_a")]
    b = plan.position[plan.neurons_of("b.ring_a")]
    side = 10 * 40**0.5
    assert (a[:, 2] == 14).all()
    assert (np.abs(a[:, :2]) <= side / 2).all()
    assert np.ptp(a[:, 0]) > 0.7 * side and np.ptp(a[:, 1]) > 0.7 * side
    assert (b[:, 1] == -5).all()
    assert (np.diff(b[:, 0]) > 0).all()
    assert b[:, 0].min() >= 85 and b[:, 0].max() <= 115
    other = plan.position[plan.neurons_of("a.ring_b")]
    assert np.allclose(other - a, [1, 0, 0], atol=1e-4)


@given(st.integers(0, 5), st.sampled_from([3.0, 10.0, 50.0]))
def test_close_neurons_of_other_instances_are_found(seed: int, reach: float) -> None:
    random = np.random.default_rng(seed)
    places = random.uniform(-20, 20, (60, 3))
    instance = random.integers(0, 15, 60).astype(np.int32)
    receives = random.random(60) < 0.8
    # With so large a probability everything closer than the reach is joined.
    pre, post = near_pairs(places, instance, receives, reach, 1e12, stream(seed, "x"))
    distance = np.linalg.norm(places[:, None] - places, axis=2)
    wanted = (distance < reach) & (instance[:, None] != instance) & receives
    assert np.array_equal(np.stack((pre, post)), np.stack(np.nonzero(wanted)))


def test_the_probability_falls_linearly_with_distance() -> None:
    places = np.zeros((4000, 3))
    places[2000:, 0] = np.linspace(0, 10, 2000)
    receives = np.arange(4000) >= 2000
    instance = np.arange(4000, dtype=np.int32)
    instance[2000:] = -1
    post = near_pairs(places, instance, receives, 10.0, 0.4, stream(0, "x"))[1]
    near = np.bincount((post - 2000) // 200, minlength=10) / (2000 * 200)
    assert np.allclose(near, 0.4 * (1 - (np.arange(10) + 0.5) / 10), atol=0.01)


def wired(folder: Path, **wiring: Any) -> tuple[Plan, dict[str, Any]]:
    """Return a plan with crosswiring, and its crosswired synapses."""
    components = [
        {"name": "a", "path": "latch.json", "count": 60},
        {"name": "b", "path": "latch.json", "count": 60},
        {"path": "relay.json", "count": 60, "layer": 1},
    ]
    plan = plan_of(folder, components=components, wiring=wiring)
    parts = [p for p in plan.projections if p.origin == "crosswire"]
    return plan, {
        "pre": np.concatenate([p.pre for p in parts]),
        "post": np.concatenate([p.post for p in parts]),
        "weight": np.concatenate([p.weight for p in parts]),
    }


def test_crosswiring_stays_in_a_layer_and_joins_other_instances(tmp_path: Path) -> None:
    plan, wires = wired(tmp_path)
    layer = np.array([int(p) for p in plan.position[:, 2] >= 40])
    assert (layer[wires["pre"]] == layer[wires["post"]]).all()
    assert (plan.instance[wires["pre"]] != plan.instance[wires["post"]]).all()
    strength = np.abs(wires["weight"])
    assert strength.min() >= 0.5 and strength.max() <= 1.5
    a, b = plan.neurons_of("a"), plan.neurons_of("b")
    assert (np.isin(wires["pre"], a) & np.isin(wires["post"], b)).any()


def test_fast_neurons_inhibit_and_the_rest_makes_up_the_share(tmp_path: Path) -> None:
    plan, wires = wired(tmp_path, inhibition_fraction=0.6)
    fast = np.isin(plan.kind[wires["pre"]], [plan.kinds.index("FS"), plan.kinds.index("LTS")])
    negative = wires["weight"] < 0
    assert negative[fast].all()
    assert 0 < negative[~fast].mean() < 1
    assert negative.mean() == pytest.approx(0.6, abs=0.03)
    plan, wires = wired(tmp_path, inhibition_fraction=0)
    fast = np.isin(plan.kind[wires["pre"]], [plan.kinds.index("FS"), plan.kinds.index("LTS")])
    assert np.array_equal(wires["weight"] < 0, fast)
    plan, wires = wired(tmp_path, inhibition_fraction=0.2, type_aware_inhibition=False)
    fast = np.isin(plan.kind[wires["pre"]], [plan.kinds.index("FS"), plan.kinds.index("LTS")])
    assert (wires["weight"] < 0)[fast].mean() == pytest.approx(0.2, abs=0.05)


def test_inhibitory_plastic_wires_have_mirrored_bounds(tmp_path: Path) -> None:
    plan, _ = wired(tmp_path, synapse_type="plastic", params={"w_max": 4})
    excitatory = plan.projection("crosswire:0:excitatory").synapse
    inhibitory = plan.projection("crosswire:0:inhibitory").synapse
    assert (excitatory.w_min, excitatory.w_max) == (0, 4)
    assert (inhibitory.w_min, inhibitory.w_max) == (-4, 0)


def test_triggers_are_protected_and_inputs_excluded(tmp_path: Path) -> None:
    plan, wires = wired(tmp_path)
    protected = np.concatenate([plan.neurons_of("latch.set_in"), plan.neurons_of("latch.kill_in")])
    assert not np.isin(wires["post"], protected).any()
    assert np.isin(wires["pre"], protected).any()
    _, wires = wired(tmp_path, protected_triggers=False)
    assert np.isin(wires["post"], protected).any()
    _, wires = wired(tmp_path, excluded_inputs=["a.ring_in", "gate_in"])
    assert not np.isin(wires["post"], plan.neurons_of("a.ring_in")).any()
    assert np.isin(wires["post"], plan.neurons_of("b.ring_in")).any()
    assert not np.isin(wires["post"], plan.neurons_of("relay.gate_in")).any()


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("trigger_in", True),
        ("set_a_in", True),
        ("a_kill", True),
        ("reset", True),
        ("sets_in", True),
        ("offset_in", False),
        ("asset_in", False),
        ("on_in", False),
    ],
)
def test_a_trigger_is_known_by_its_name(name: str, trigger: bool) -> None:
    assert is_trigger(name) == trigger


def test_timers_join_what_sets_to_what_ends(tmp_path: Path) -> None:
    plan, _ = wired(tmp_path, auto_timers=True, timer_ticks=70)
    timer = plan.projection("timer:a")
    assert (timer.delay, timer.origin) == (70, "timer")
    assert np.array_equal(timer.pre, plan.neurons_of("a.trigger"))
    assert np.array_equal(timer.post, plan.neurons_of("a.kill"))
    assert (timer.weight == 30).all()
