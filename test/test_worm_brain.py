"""A brain in a worm: its map, what it feels, how it moves, and with which brain a trial begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from worm_parts import write_worm

from ab_ros.engine.brain import Brain
from ab_ros.environments.chemotaxis import Chemotaxis, Start, Track, run_trial
from ab_ros.environments.senses import SENSORS, Sensor
from ab_ros.environments.worm import SEGMENTS
from ab_ros.environments.worm_brain import MuscleSettings, WormBrain
from ab_ros.environments.worm_map import (
    STANDARD_MAP,
    BodyRow,
    SensorRow,
    WormMap,
    load_worm_map,
    prepare,
)
from ab_ros.errors import ConfigError, WorldError

STRAIGHT = np.zeros(SEGMENTS)
SILENCE = np.zeros(len(SENSORS))
START = Start(-5.0, 0.0, 0.3)
SMELL = SensorRow("chemo_left.on_in", "chemical", "head", "ON", "left")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_worm(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def spare(recipe: Path) -> Brain:
    """A brain that tests share, and map as they like."""
    return Brain.build(recipe, backend="numpy")


@pytest.fixture
def brain(recipe: Path) -> Brain:
    made = Brain.build(recipe, backend="numpy")
    prepare(made)
    return made


def mapped(brain: Brain, *body: BodyRow, sensors: tuple[SensorRow, ...] = (SMELL,)) -> Brain:
    prepare(brain, WormMap(body, sensors, "map"))
    return brain


class Wire:
    """Stands between a worm and its brain: notes the currents, and fires what a test wants."""

    def __init__(self, brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
        self.currents = np.zeros(brain.size)
        self.fired = np.zeros(brain.size, np.uint8)
        monkeypatch.setattr(brain.network, "step", self._step)

    def _step(self, currents: NDArray[np.float64]) -> NDArray[np.uint8]:
        self.currents = currents.copy()
        return self.fired


def trial(controller: WormBrain, start: Start = START, ticks: int = 400, **world: Any) -> Track:
    return run_trial(controller, start, ticks, Chemotaxis(backend="numpy", **world))


# Maps


def test_the_standard_map_joins_the_components_that_a_brain_has(brain: Brain) -> None:
    body, sensors = brain.body_map, brain.sensor_map
    muscles = [f"forward_motor.{side}_muscle" for side in ("dorsal", "ventral")]
    muscles += [f"head_steering.{side}_muscle" for side in ("left", "right")]
    expected = np.concatenate([brain.neurons_of(ports) for ports in muscles])
    assert sorted(body["neuron"]) == sorted(expected)
    ventral = body["neuron"][body["side"] == "ventral"]
    assert set(brain.neurons_of("head_steering.right_muscle")) <= set(ventral)
    assert set(body["effect"]) == {"excitatory"}
    felt = {(str(row["response"]), str(row["side"])) for row in sensors}
    assert felt == {(r, s) for r in ("ON", "OFF", "tonic") for s in ("left", "right")}
    assert len(load_worm_map().sensors) == 10


def test_instances_are_laid_along_the_segments(brain: Brain) -> None:
    body = brain.body_map
    for ports, each in (("forward_motor.dorsal_muscle", 2), ("head_steering.left_muscle", 1)):
        rows = body[np.isin(body["neuron"], brain.neurons_of(ports))]
        order = rows["segment"][np.argsort(rows["neuron"])]
        assert order.tolist() == [k // each for k in range(order.size)]
    few = mapped(brain, BodyRow("cpg.dorsal", "dorsal"), BodyRow("choice.a_out", "ventral"))
    assert few.body_map["segment"].tolist() == [0, 0, 12]


@given(first=st.integers(0, SEGMENTS - 1), length=st.integers(1, SEGMENTS))
def test_any_stretch_of_segments_is_covered_from_head_to_tail(
    spare: Brain, first: int, length: int
) -> None:
    stop = min(first + length, SEGMENTS)
    row = BodyRow("forward_motor.dorsal_muscle", "dorsal", segments=(first, stop))
    segments = mapped(spare, row).body_map["segment"].astype(int)
    assert sorted(set(segments)) == list(range(first, stop))
    assert (np.diff(segments) >= 0).all()
    counts = np.bincount(segments)[first:]
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bodi: []", r"m\.yaml:1: bodi: unknown key; one of: body, sensors"),
        ("body: []", r"m\.yaml:1: body: must be a list of rows \(got \[\]\)"),
        ("body:\n- {ports: a.b, side: dorsal}", r"m\.yaml: sensors: must be a list"),
        (
            "\nbody:\n- {ports: a.b, side: dorsal}\n- {ports: a.b, side: up}",
            r"m\.yaml:2: body\[1\]: side: 'up' is not allowed; must be one of: dorsal, ventral",
        ),
        ("body:\n- {port: a.b, side: dorsal}", r"body\[0\]: port: unknown key; did you mean 'po"),
        (
            "body:\n- {ports: a.b, side: dorsal, segments: [3, 3]}",
            r"body\[0\].*must be \[first, stop\] with 0 <= first < stop <= 24 \(got \[3, 3\]\)",
        ),
        ("body:\n- {ports: a.b, side: dorsal, segments: [3, 25]}", r"body\[0\]: segments"),
        (
            "body:\n- {ports: a.b, side: dorsal}\n"
            "sensors:\n- {ports: a.b, kind: chemical, place: nose}",
            r"m\.yaml:3: sensors\[0\]: place: 'nose' is not allowed; must be one of: head, body,",
        ),
        ("body: [", r"m\.yaml: is not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_map_is_named_with_its_place(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_worm_map(path)


def test_a_map_of_another_brain_is_refused(brain: Brain) -> None:
    before = brain.body_map
    with pytest.raises(
        ConfigError, match=r"body: brain 'tiny_worm' has none of these ports: leg\.out\. Its comp"
    ):
        mapped(brain, BodyRow("leg.out", "dorsal"))
    nose = SensorRow("nose.in", "chemical", "head")
    with pytest.raises(ConfigError, match=r"map: sensors: .* none of these ports: nose\.in"):
        mapped(brain, BodyRow("cpg.dorsal", "dorsal"), sensors=(nose,))
    assert brain.body_map is before
    assert STANDARD_MAP.is_file()


def test_a_brain_without_maps_cannot_move_a_worm(recipe: Path) -> None:
    with pytest.raises(WorldError, match=r"'tiny_worm' has no body and sensor maps: prepare it"):
        WormBrain(Brain.build(recipe, backend="numpy"))


# Sensing


def test_every_sensor_reaches_its_neurons(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = WormBrain(brain)
    wire = Wire(brain, monkeypatch)
    for side in ("left", "right"):
        for response in ("ON", "OFF", "tonic"):
            currents = SILENCE.copy()
            currents[Sensor("chemical", "head", response, side).index] = 7.0
            controller.step(currents, STRAIGHT)
            expected = np.zeros(brain.size)
            expected[brain.neurons_of(f"chemo_{side}.{response.lower()}_in")] = 7.0
            assert np.array_equal(wire.currents, expected)
    others = np.full(len(SENSORS), 3.0)
    others[: Sensor("chemical", "body", "ON", "left").index] = 0.0
    controller.step(others, STRAIGHT)
    assert not wire.currents.any()


def test_what_is_felt_by_two_sensors_adds_up(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    touch = SensorRow("chemo_left.on_in", "mechanical", "tail")
    mapped(brain, BodyRow("cpg.dorsal", "dorsal"), sensors=(SMELL, touch))
    controller = WormBrain(brain)
    wire = Wire(brain, monkeypatch)
    currents = SILENCE.copy()
    currents[Sensor("chemical", "head", "ON", "left").index] = 2.0
    currents[Sensor("mechanical", "tail").index] = 5.0
    controller.step(currents, STRAIGHT)
    assert set(wire.currents[brain.neurons_of("chemo_left.on_in")]) == {7.0}
    assert np.count_nonzero(wire.currents) == 4


def test_a_bend_is_felt_by_the_motor_neurons_of_its_own_side(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = WormBrain(brain, MuscleSettings(proprioception=4.0))
    wire = Wire(brain, monkeypatch)
    body = brain.body_map
    for bend, side in ((0.5, "dorsal"), (-0.25, "ventral")):
        felt = STRAIGHT.copy()
        felt[9] = bend
        controller.step(SILENCE, felt)
        expected = np.zeros(brain.size)
        own = body["neuron"][(body["segment"] == 9) & (body["side"] == side)]
        expected[own] = 4.0 * abs(bend)
        assert own.size == 2
        assert np.array_equal(wire.currents, expected)


# Moving


def steady(controller: WormBrain, ticks: int = 1500) -> tuple[NDArray[np.float64], ...]:
    for _ in range(ticks):
        dorsal, ventral = controller.step(SILENCE, STRAIGHT)
    return dorsal, ventral


def test_the_full_rate_contracts_a_muscle_fully(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped(brain, BodyRow("forward_motor.dorsal_muscle", "dorsal"))
    controller = WormBrain(brain, MuscleSettings(full_rate=1000.0, smoothing=0.06))
    wire = Wire(brain, monkeypatch)
    body = brain.body_map
    wire.fired[body["neuron"][body["segment"] == 4]] = 1  # both neurons there
    wire.fired[body["neuron"][body["segment"] == 7][0]] = 1  # one of the two
    dorsal, ventral = steady(controller, 60)
    grown = 1.0 - np.exp(-1.0)
    expected = STRAIGHT.copy()
    expected[[4, 7]] = grown, grown / 2
    assert dorsal == pytest.approx(expected)
    assert not ventral.any()
    controller.reset(0)
    wire.fired[:] = 0
    assert not controller.step(SILENCE, STRAIGHT)[0].any()


def test_components_add_up_and_inhibitory_ones_relax(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (5, 6)
    mapped(
        brain,
        BodyRow("cpg.dorsal", "ventral", segments=whole),
        BodyRow("head_steering.left_muscle", "ventral", segments=whole),
        BodyRow("choice.a_out", "ventral", "inhibitory", segments=whole),
    )
    controller = WormBrain(brain, MuscleSettings(full_rate=500.0))
    wire = Wire(brain, monkeypatch)

    def contraction(*ports: str) -> float:
        wire.fired[:] = 0
        for port in ports:
            wire.fired[brain.neurons_of(port)] = 1
        dorsal, ventral = steady(controller)
        assert not dorsal.any()
        assert not np.delete(ventral, 5).any()
        return float(ventral[5])

    # One of its kind or eight of them: what counts is the mean rate of a component's neurons.
    assert contraction("cpg.dorsal") == pytest.approx(2.0)
    assert contraction("head_steering.left_muscle") == pytest.approx(2.0)
    assert contraction("head_steering[2].left_muscle") == pytest.approx(0.25)
    assert contraction("cpg.dorsal", "head_steering.left_muscle") == pytest.approx(4.0)
    both = contraction("cpg.dorsal", "head_steering.left_muscle", "choice.a_out")
    assert both == pytest.approx(2.0)
    assert contraction("choice.a_out") == 0.0


def test_a_brain_moves_its_worm(brain: Brain) -> None:
    track = trial(WormBrain(brain), ticks=800)
    assert np.linalg.norm(track.centre[-1] - track.centre[0]) > 0.05
    assert brain.ticks == 800
    assert track.rewards.size == 4


# Trials


def same(one: Track, two: Track) -> bool:
    return one.points.tobytes() == two.points.tobytes()


def test_every_trial_begins_with_the_same_brain(brain: Brain) -> None:
    brain.run(50)
    controller = WormBrain(brain)
    begin = brain.network.state()
    one, two = trial(controller), trial(controller)
    assert same(one, two)
    assert brain.ticks == 450
    assert not np.array_equal(begin["neurons/v"], brain.network.state()["neurons/v"])
    controller.reset(1)
    after = brain.network.state()
    assert all(np.array_equal(begin[name], after[name]) for name in begin)
    brain.learning = False
    controller.reset(0)
    assert not brain.learning


def test_life_goes_on_from_trial_to_trial_if_it_is_carried(brain: Brain) -> None:
    controller = WormBrain(brain, carry=True)
    one, two = trial(controller), trial(controller)
    assert not same(one, two)
    assert brain.ticks == 800


def learned(brain: Brain) -> dict[str, tuple[NDArray[Any], ...]]:
    names = [p.name for p in brain.plan.projections if p.synapse.type_name != "fixed"]
    return {name: brain.network.edges(name) for name in names}


def test_a_brain_learns_and_is_pruned_only_while_it_learns(brain: Brain) -> None:
    controller = WormBrain(brain)
    birth = learned(brain)
    assert set(birth) == {"trust left", "trust right", "growth"}

    def changed() -> set[str]:
        now = learned(brain)
        return {name for name in birth if not np.array_equal(birth[name], now[name])}

    for learning in (False, True, False):
        brain.learning = learning
        track = trial(controller, ticks=600)
        assert track.rewards.any()
        assert controller.rewards == 3
        assert ("growth" in changed()) == learning
        assert any(name.startswith("trust") for name in changed()) == learning
    assert learned(brain)["growth"][0].size == 16


@pytest.mark.parametrize("blind", [True, False])
def test_a_blind_worm_does_the_same_wherever_it_is(brain: Brain, blind: bool) -> None:
    # Rewards depend on the place, too, and change how it moves while it learns.
    brain.learning = False
    controller = WormBrain(brain)
    counts: list[NDArray[np.int64]] = []
    for start in (START, Start(14.0, 1.0, 2.0)):
        trial(controller, start, ticks=600, blind=blind)
        counts.append(brain.network.state()["neurons/counts"])
    assert np.array_equal(*counts) == blind
