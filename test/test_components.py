"""What each component promises in its description, over many noisy instances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ab_ros.engine.blocks import (
    Pulse,
    Stimulus,
    component_network,
    load_component,
    respond,
)

INSTANCES = 40
MOST = 34
NOISE = 1.0

Raster = NDArray[np.uint8]


def responses(name: str, ticks: int, *pulses: Pulse, noise: float = NOISE) -> dict[str, Raster]:
    """Return the spikes of the output terminals, uint8[ticks, instances]."""
    component = load_component(name)
    response = respond(component, Stimulus(ticks, pulses, "", noise=noise), INSTANCES, seed=7)
    return {
        terminal.name: np.maximum.reduce([response.spikes[node] for node in terminal.nodes])
        for terminal in component.outputs
    }


def on(raster: Raster, start: int, stop: int) -> NDArray[np.bool_]:
    """Return which instances fire between two ticks."""
    return raster[start:stop].any(axis=0)


def only(outputs: dict[str, Raster], name: str, start: int, stop: int) -> int:
    """Count the instances in which one output fires and no other does."""
    alone = on(outputs[name], start, stop)
    for other, raster in outputs.items():
        if other != name:
            alone &= ~on(raster, start, stop)
    return int(alone.sum())


def none(outputs: dict[str, Raster], start: int, stop: int) -> bool:
    return not any(on(raster, start, stop).any() for raster in outputs.values())


@pytest.mark.parametrize(
    "name", ["binary_decision", "command_decision", "cross_inhibition", "modulatory"]
)
def test_without_input_nothing_happens(name: str) -> None:
    assert none(responses(name, 1000), 0, 1000)


@pytest.mark.parametrize(
    "name",
    [
        "binary_decision",
        "command_decision",
        "command_decision_v2",
        "cross_inhibition",
        "modulatory",
    ],
)
def test_both_backends_agree(name: str) -> None:
    pytest.importorskip("numba")
    component = load_component(name)
    pulses = tuple(Pulse(terminal.name, 9.0, 20, 220) for terminal in component.inputs)
    stimulus = Stimulus(300, pulses, "", noise=NOISE)
    plain, compiled = (
        respond(component, stimulus, 4, seed=3, backend=backend).spikes
        for backend in ("numpy", "numba")
    )
    assert any(raster.any() for raster in plain.values())
    for node, raster in plain.items():
        np.testing.assert_array_equal(raster, compiled[node])


class TestBinaryDecision:
    NAME = "binary_decision"

    @pytest.mark.parametrize("scale", [0.8, 1.0, 1.2])
    @pytest.mark.parametrize("more", ["a", "b"])
    def test_more_evidence_wins_and_is_remembered(self, more: str, scale: float) -> None:
        less = "b" if more == "a" else "a"
        outputs = responses(
            self.NAME,
            1200,
            Pulse(f"sensory_{more}_in", 10 * scale, 50, 450),
            Pulse(f"sensory_{less}_in", 7 * scale, 50, 450),
        )
        assert none(outputs, 0, 50)
        # Latched within 400 ms, the other one silent, and so it stays without input.
        assert only(outputs, f"{more}_out", 430, 450) >= MOST
        assert only(outputs, f"{more}_out", 1150, 1200) >= MOST
        assert not (on(outputs["a_out"], 500, 1200) & on(outputs["b_out"], 500, 1200)).any()

    def test_it_counts_irregular_spikes(self) -> None:
        component = load_component(self.NAME)
        random = np.random.default_rng(1)
        # Many synapses of weight 8, whose spikes come at random, 10 against 7 on average.
        currents = {}
        for node, mean in (("integrator_a", 10), ("integrator_b", 7)):
            currents[node] = np.zeros((800, INSTANCES))
            currents[node][50:450] = 8.0 * random.poisson(mean / 8, (400, INSTANCES))
        spikes = component_network(component, INSTANCES, noise=0.5).run(800, currents=currents)
        outputs = {"a": spikes["ring_a2"], "b": spikes["ring_b2"]}
        assert only(outputs, "a", 700, 800) >= MOST

    def test_little_evidence_decides_nothing(self) -> None:
        assert none(responses(self.NAME, 600, Pulse("sensory_a_in", 3, 50, 450)), 0, 600)

    @pytest.mark.parametrize(("evidence", "winner"), [(6, "a_out"), (10, "a_out"), (18, "b_out")])
    def test_only_strong_opposite_evidence_switches(self, evidence: float, winner: str) -> None:
        outputs = responses(
            self.NAME,
            1000,
            Pulse("sensory_a_in", 10, 50, 350),
            Pulse("sensory_b_in", evidence, 500, 800),
        )
        assert only(outputs, "a_out", 450, 500) >= MOST
        assert only(outputs, winner, 950, 1000) >= MOST

    def test_reset_clears_the_choice(self) -> None:
        outputs = responses(
            self.NAME, 800, Pulse("sensory_b_in", 10, 50, 350), Pulse("reset_in", 12, 500, 530)
        )
        assert on(outputs["b_out"], 450, 500).sum() >= MOST
        assert none(outputs, 560, 800)

    @pytest.mark.parametrize("side", ["a", "b"])
    def test_a_modulator_biases_an_even_choice(self, side: str) -> None:
        outputs = responses(
            self.NAME,
            700,
            Pulse("sensory_a_in", 8, 50, 450),
            Pulse("sensory_b_in", 8, 50, 450),
            Pulse(f"modulator_{side}_in", 10, 50, 450),
        )
        assert only(outputs, f"{side}_out", 650, 700) >= 0.75 * INSTANCES

    def test_weights_change_only_where_they_are_used(self) -> None:
        network = component_network(load_component(self.NAME), 1)
        names = "modulator_a->integrator_a", "modulator_b->integrator_b"
        before = [network.weights(name).copy() for name in names]
        ten = np.full(1, 10.0)
        network.run(400, currents={"integrator_b": ten})
        assert [network.weights(name) for name in names] == before
        network.run(400, currents={"integrator_a": ten, "modulator_a": ten})
        assert network.weights(names[0]) != before[0]
        assert network.weights(names[1]) == before[1]
        assert 2 <= network.weights(names[0]) <= 24


class TestCommandDecision:
    NAME = "command_decision"

    @pytest.mark.parametrize("scale", [0.8, 1.0, 1.2])
    @pytest.mark.parametrize(
        ("first", "second"), [("forward", "backward"), ("backward", "forward")]
    )
    def test_a_short_input_starts_a_command_that_persists(
        self, first: str, second: str, scale: float
    ) -> None:
        outputs = responses(
            self.NAME,
            1200,
            Pulse(f"{first}_in", 9 * scale, 50, 100),
            Pulse(f"{second}_in", 9 * scale, 600, 650),
        )
        assert only(outputs, f"{first}_out", 130, 600) >= MOST
        assert only(outputs, f"{second}_out", 700, 1200) >= MOST

    @pytest.mark.parametrize("drive", [8, 10, 12])
    def test_backward_wins_an_even_conflict(self, drive: float) -> None:
        outputs = responses(
            self.NAME,
            600,
            Pulse("forward_in", drive, 50, 400),
            Pulse("backward_in", drive, 50, 400),
        )
        assert only(outputs, "backward_out", 500, 600) >= MOST

    def test_a_weak_input_starts_nothing(self) -> None:
        outputs = responses(self.NAME, 400, Pulse("forward_in", 2, 50, 350))
        assert none(outputs, 0, 400)


class TestCommandDecisionV2:
    NAME = "command_decision_v2"

    def test_it_stands_still_at_rest(self) -> None:
        outputs = responses(self.NAME, 1000)
        assert only(outputs, "stop_out", 0, 1000) == INSTANCES
        assert (outputs["stop_out"].sum(axis=0) > 10).all()

    @pytest.mark.parametrize("drive", [10, 12, 14])
    @pytest.mark.parametrize("command", ["forward", "backward"])
    def test_a_command_outlasts_its_input_and_tires(self, command: str, drive: float) -> None:
        outputs = responses(self.NAME, 2200, Pulse(f"{command}_in", drive, 50, 300))
        assert only(outputs, f"{command}_out", 310, 400) >= MOST
        # Afterwards it stands still again.
        assert only(outputs, "stop_out", 1800, 2200) == INSTANCES

    @pytest.mark.parametrize(("drive", "stop"), [(10, 90), (4, 300)])
    def test_a_short_or_weak_input_starts_nothing(self, drive: float, stop: int) -> None:
        outputs = responses(self.NAME, 600, Pulse("forward_in", drive, 50, stop))
        assert on(outputs["forward_out"], 0, 600).sum() <= INSTANCES - MOST

    @pytest.mark.parametrize(
        ("first", "second"), [("forward", "backward"), ("backward", "forward")]
    )
    def test_the_other_command_takes_over(self, first: str, second: str) -> None:
        outputs = responses(
            self.NAME,
            800,
            Pulse(f"{first}_in", 10, 50, 250),
            Pulse(f"{second}_in", 12, 400, 600),
        )
        assert only(outputs, f"{first}_out", 330, 400) >= 0.75 * INSTANCES
        assert only(outputs, f"{second}_out", 620, 680) >= MOST

    def test_stop_ends_a_command(self) -> None:
        outputs = responses(
            self.NAME, 700, Pulse("forward_in", 12, 50, 300), Pulse("stop_in", 12, 400, 430)
        )
        assert on(outputs["forward_out"], 360, 400).sum() >= MOST
        assert only(outputs, "stop_out", 450, 700) == INSTANCES


class TestCrossInhibition:
    NAME = "cross_inhibition"

    @pytest.mark.parametrize("stronger", ["a", "b"])
    @pytest.mark.parametrize("drive", [8, 10, 12])
    def test_the_stronger_speaks_alone(self, stronger: str, drive: float) -> None:
        weaker = "b" if stronger == "a" else "a"
        outputs = responses(
            self.NAME,
            600,
            Pulse(f"{stronger}_in", drive, 50, 550),
            Pulse(f"{weaker}_in", 0.8 * drive, 50, 550),
        )
        most = outputs[f"{stronger}_out"][150:550].sum(axis=0)
        least = outputs[f"{weaker}_out"][150:550].sum(axis=0)
        assert (most > 10).sum() >= MOST
        assert (most > 10 * least).sum() >= 0.75 * INSTANCES

    def test_one_channel_alone_is_heard(self) -> None:
        outputs = responses(self.NAME, 400, Pulse("b_in", 8, 50, 400))
        assert only(outputs, "b_out", 50, 400) == INSTANCES

    def test_the_stronger_takes_over_and_releases(self) -> None:
        outputs = responses(
            self.NAME, 1100, Pulse("b_in", 8, 50, 1050), Pulse("a_in", 12, 350, 650)
        )
        weak = outputs["b_out"]
        before, during, after = weak[50:350], weak[450:650], weak[850:1050]
        assert (during.sum(axis=0) <= 1).sum() >= MOST
        assert on(weak, 650, 850).sum() >= MOST
        assert after.sum() / 200 == pytest.approx(before.sum() / 300, rel=0.25)

    def test_the_channels_are_alike(self) -> None:
        a = responses(self.NAME, 500, Pulse("a_in", 10, 0, 500), Pulse("b_in", 6, 0, 500), noise=0)
        b = responses(self.NAME, 500, Pulse("b_in", 10, 0, 500), Pulse("a_in", 6, 0, 500), noise=0)
        np.testing.assert_array_equal(a["a_out"], b["b_out"])
        np.testing.assert_array_equal(a["b_out"], b["a_out"])


class TestModulatory:
    NAME = "modulatory"

    @pytest.mark.parametrize("drive", [8, 10, 12])
    def test_the_level_outlasts_its_input_and_fades(self, drive: float) -> None:
        out = responses(self.NAME, 2500, Pulse("in", drive, 100, 500))["out"]
        assert not out[:100].any()
        assert on(out, 850, 1000).sum() >= MOST
        assert out[500:800].sum() > 1.5 * out[1000:1300].sum()
        assert not out[2200:].any()

    def test_the_level_scales_with_its_input(self) -> None:
        levels = [
            responses(self.NAME, 1000, Pulse("in", drive, 100, 500))["out"][500:900].sum()
            for drive in (2, 5, 7, 10)
        ]
        assert levels[0] == 0
        assert levels[1] > 2 * INSTANCES
        assert levels[2] > 1.2 * levels[1]
        assert levels[3] > 1.2 * levels[2]

    def test_the_brake_ends_it(self) -> None:
        out = responses(self.NAME, 1200, Pulse("in", 10, 100, 500), Pulse("brake_in", 15, 600, 640))
        assert on(out["out"], 500, 600).sum() >= MOST
        assert not out["out"][680:].any()
