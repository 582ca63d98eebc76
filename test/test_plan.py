"""Plans: what they say about a brain, and how neurons are chosen in them."""

from __future__ import annotations

import numpy as np
import pytest
from recipe_parts import LATCH, RELAY, write_parts

from ab_ros.engine import Plan
from ab_ros.engine.recipes import compile_recipe, load_recipe
from ab_ros.engine.summary import plan_summary
from ab_ros.errors import EngineError


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compile_recipe(load_recipe(write_parts(tmp_path_factory.mktemp("plan"))))


def test_neurons_stand_instance_by_instance_and_node_by_node(plan: Plan) -> None:
    assert plan.size == 6 * 4 + 6 * 4 + 8 * 3
    assert [plan.kinds[k] for k in plan.kind[:4]] == ["CH", "RS", "RS", "FS"]
    assert [plan.nodes[k] for k in plan.node[48:51]] == ["cell", "gate", "last"]
    assert plan.instance[[0, 3, 4, 47, 48, 71]].tolist() == [0, 0, 1, 11, 12, 19]
    assert [plan.label(i) for i in (0, 5, 24, 71)] == [
        "left[0].ring_a",
        "left[1].ring_b",
        "right[0].ring_a",
        "relay[7].last",
    ]
    with pytest.raises(EngineError, match=r"neuron 72: must be in \[0, 72\)"):
        plan.label(72)


def test_each_neuron_is_as_its_node_says(plan: Plan) -> None:
    for component, name in ((LATCH, "latch"), (RELAY, "relay")):
        for node in component["nodes"]:
            chosen = plan.neurons_of(f"{name}.{node['id']}")
            assert (plan.bias[chosen] == node.get("bias", 0)).all()
            assert (plan.noise[chosen] == node.get("noise", 0)).all()
            for parameter, value in node.get("overrides", {}).items():
                assert (getattr(plan, parameter)[chosen] == value).all()
    assert (plan.c[plan.neurons_of("*.ring_a")] == -50).all()


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("left.ring_a", [0, 4, 8, 12, 16, 20]),
        ("left.set_in", [2, 6, 10, 14, 18, 22]),
        ("left[2].ring_in", [8, 9]),
        ("left[4:].kill", [19, 23]),
        ("left[1:3].kill_in", [7, 11]),
        ("right[:1]", [24, 25, 26, 27]),
        ("latch[0].trigger", [2, 26]),
        ("*[0].out", [0, 1, 24, 25, 50]),
        ("r*[0].*_in", [24, 25, 26, 27, 49]),
    ],
)
def test_selectors(selector: str, chosen: list[int], plan: Plan) -> None:
    assert plan.neurons_of(selector).tolist() == chosen


def test_stars_take_everything_that_has_such_a_port(plan: Plan) -> None:
    assert plan.neurons_of("*").tolist() == list(range(72))
    assert plan.neurons_of("*.gate").tolist() == plan.neurons_of("relay.gate").tolist()
    assert plan.neurons_of("*.out").size == 6 * 2 + 6 * 2 + 8


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("up.out", r"unknown component 'up'; one of: left, latch, right, relay"),
        ("u*.out", r"unknown component 'u\*'"),
        ("left.up", r"left has no terminal or node 'up'; one of: ring_a, ring_b, trigger, kill, s"),
        ("left[6].out", r"left has the instances 0 to 5 \(asked for 6 to 6\)"),
        ("left[3:3].out", r"left has the instances 0 to 5"),
        ("left..out", r"selector 'left\.\.out': must be 'component', 'component\.port'"),
        ("", r"selector '': must be"),
    ],
)
def test_selectors_that_choose_nothing_say_what_there_is(
    selector: str, message: str, plan: Plan
) -> None:
    with pytest.raises(EngineError, match=message):
        plan.neurons_of(selector)


def test_a_plan_cannot_be_changed_by_accident(plan: Plan) -> None:
    for array in (plan.bias, plan.projections[0].weight, plan.neurons_of("left"), plan.position):
        with pytest.raises(ValueError, match=r"read-only"):
            array[0] = 1


def test_components_keep_their_paths_inside_each_instance(plan: Plan) -> None:
    fixed = plan.projection("left:fixed")
    assert fixed.origin == "internal"
    assert (plan.instance[fixed.pre] == plan.instance[fixed.post]).all()
    assert fixed.size == 6 * 2
    slow = plan.projection("left:fixed#2")
    assert slow.delay == 2 and (slow.weight == -7).all()
    gates = [p for p in plan.projections if p.name.startswith("relay:gated")]
    assert [g.name for g in gates] == [f"relay:gated[{i}]" for i in range(8)]
    for i, gate in enumerate(gates):
        assert gate.synapse.modulator_neurons == tuple(plan.neurons_of(f"relay[{i}].gate").tolist())


def test_a_gate_between_components_is_opened_by_all_its_modulators(plan: Plan) -> None:
    gated = plan.projection("relay.out->right.ring_in").synapse
    assert gated.modulator_neurons == tuple(plan.neurons_of("relay.gate").tolist())
    assert gated.gate == "both"


def test_inputs_outputs_and_layers_are_planned(plan: Plan) -> None:
    assert [(s.name, s.size) for s in plan.sources] == [("eye", 12), ("error", 4)]
    eye = plan.projection("input:eye")
    assert eye.source == "eye" and eye.pre.max() < 12
    assert np.isin(eye.post, plan.neurons_of("left.set_in")).all()
    assert plan.outputs["move"].tolist() == plan.neurons_of("relay.out").tolist()
    assert plan.outputs["all"].size == 12 + 8
    assert plan.layers == ("mood",)
    with pytest.raises(EngineError, match=r"projection 'x': unknown; one of: left:fixed"):
        plan.projection("x")


def test_the_summary_counts_every_synapse_once(plan: Plan) -> None:
    summary = plan_summary(plan)
    origins = summary["synapses_by_origin"]
    assert sum(origins.values()) == sum(p.size for p in plan.projections) == plan.synapses
    assert set(origins) == {"internal", "projection", "crosswire", "input", "feedback"}
    inside = plan.synapses - origins["input"] - origins["feedback"]
    assert summary["fan_out"]["mean"] == pytest.approx(inside / plan.size)
    assert summary["inputs"] == [
        {"name": "eye", "size": 12, "origin": "input"},
        {"name": "error", "size": 4, "origin": "feedback"},
    ]


def test_a_plans_network_has_the_planned_synapses(plan: Plan) -> None:
    network = plan.network(backend="numpy")
    assert list(network.projections) == [p.name for p in plan.projections]
    for p in plan.projections:
        pre, post, weight = network.edges(p.name)
        assert np.array_equal(pre, p.pre) and np.array_equal(post, p.post), p.name
        assert np.array_equal(weight, p.weight)
    assert network.layers == plan.layers
