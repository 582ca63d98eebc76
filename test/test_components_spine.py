"""What the components of a worm's spine and senses promise, over many noisy instances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ab_ros.engine.blocks import Pulse, Stimulus, component_names, component_network, load_component
from ab_ros.engine.brain import Brain

INSTANCES = 20
MOST = 17

COMPONENTS = [
    "backward_motor",
    "binary_decision",
    "chemosensory",
    "command_decision",
    "command_decision_v2",
    "cpg",
    "cross_inhibition",
    "forward_motor",
    "head_steering",
    "mechanosensory",
    "modulatory",
]
MOTORS = ["forward_motor", "backward_motor"]
SCALES = np.linspace(0.8, 1.2, INSTANCES)

Raster = NDArray[np.uint8]


def run(
    name: str,
    ticks: int,
    *pulses: Pulse,
    extra: dict[str, NDArray[np.float64]] | None = None,
    even: bool = False,
    noise: float = 1.0,
) -> dict[str, Raster]:
    """Return the spikes of the output terminals, uint8[ticks, instances].

    Instances get 80 to 120 % of the currents of the pulses, or all the same if ``even``; ``extra``
    are currents into nodes, float64[ticks, instances], as they are.
    """
    component = load_component(name)
    currents = Stimulus(ticks, pulses, "").currents(component, INSTANCES)
    if not even:
        currents = {node: current * SCALES for node, current in currents.items()}
    for node, current in (extra or {}).items():
        currents[node] = currents.get(node, 0.0) + current
    network = component_network(component, INSTANCES, 3, "numpy", noise=noise)
    spikes = network.run(ticks, currents=currents)
    return {terminal.name: spikes[terminal.nodes[0]] for terminal in component.outputs}


def random_spikes(ticks: int, rate: float, weight: float, seed: int = 0) -> NDArray[np.float64]:
    """Return the currents of spikes that come at random, ``rate`` per tick."""
    random = np.random.default_rng(seed)
    return weight * random.poisson(rate, (ticks, INSTANCES)).astype(np.float64)


def trains(ticks: int, weight: float, start: int, stop: int, period: int) -> NDArray[np.float64]:
    """Return the currents of a regular spike train into all instances."""
    currents = np.zeros((ticks, INSTANCES))
    currents[start:stop:period] = weight
    return currents


def counts(raster: Raster, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
    total: NDArray[np.int64] = raster[start:stop].sum(axis=0, dtype=np.int64)
    return total


def bursts(raster: Raster, gap: int = 60) -> list[NDArray[np.int64]]:
    """Return the first ticks of the bursts of each instance: spikes after a pause."""
    starts = []
    for train in raster.T:
        ticks = np.flatnonzero(train)
        starts.append(ticks[np.diff(ticks, prepend=-gap - 1) > gap])
    return starts


def test_eleven_components_and_a_choice_are_shipped_and_twenty_two_sub_components() -> None:
    shipped = component_names()
    folders = {
        folder: sorted(name for name, path in shipped.items() if path.parent.name == folder)
        for folder in ("components", "sub_components")
    }
    assert len(COMPONENTS) == 11
    assert folders["components"] == sorted([*COMPONENTS, "noisy_choice"])
    assert len(folders["sub_components"]) == 22
    assert len(shipped) == 11 + 1 + 22


class TestCpg:
    NAME = "cpg"

    @pytest.mark.parametrize("drive", [-1, 0, 2])
    def test_the_sides_burst_in_turn_by_themselves(self, drive: float) -> None:
        outputs = run(self.NAME, 4000, Pulse("drive_in", drive, 0, 4000))
        # The start is irregular: both sides come up from rest at once.
        dorsal, ventral = (bursts(outputs[f"{side}_out"][1000:]) for side in ("dorsal", "ventral"))
        half_periods: list[int] = []
        alternating = 0
        for one, other in zip(dorsal, ventral, strict=True):
            starts = np.concatenate([one, other])
            order = np.argsort(starts)
            half_periods.extend(np.diff(starts[order]).tolist())
            sides = (np.arange(starts.size) >= one.size)[order]
            alternating += bool((np.diff(sides.astype(int)) != 0).all())
        assert alternating >= MOST
        assert len(half_periods) >= 10 * INSTANCES
        low, median, high = np.percentile(half_periods, [10, 50, 90])
        assert low >= 140 and high <= 290
        assert 180 <= median <= 240

    def test_drive_makes_the_bursts_denser(self) -> None:
        rates = [
            counts(run(self.NAME, 3000, Pulse("drive_in", drive, 0, 3000))["dorsal_out"]).sum()
            for drive in (-1, 1, 3)
        ]
        assert rates[0] * 1.05 < rates[1] < rates[2] / 1.05

    def test_it_stops_while_there_is_a_current_into_stop_in_and_goes_on(self) -> None:
        outputs = run(self.NAME, 4000, Pulse("stop_in", 30, 1000, 2000))
        both = outputs["dorsal_out"] + outputs["ventral_out"]
        assert both[700:1000].any(axis=0).all()
        assert not both[1030:2000].any()
        assert both[2000:2300].any(axis=0).sum() >= MOST
        ratio = counts(both, 3000).sum() / counts(both, 0, 1000).sum()
        assert ratio == pytest.approx(1.0, abs=0.25)

    def test_scattered_spikes_thin_the_bursts_out(self) -> None:
        stop = random_spikes(3000, 0.3, 30.0)
        stop[:1000] = 0
        outputs = run(self.NAME, 3000, extra={"stopper": stop})
        both = outputs["dorsal_out"] + outputs["ventral_out"]
        assert 0 < counts(both, 1000, 2000).sum() < 0.5 * counts(both, 0, 1000).sum()


@pytest.mark.parametrize("name", MOTORS)
class TestMotors:
    @pytest.mark.parametrize("side", ["dorsal", "ventral"])
    @pytest.mark.parametrize(("weight", "period"), [(30, 20), (30, 16), (36, 15)])
    def test_a_wave_passes_spike_by_spike_on_its_side(
        self, name: str, side: str, weight: float, period: int
    ) -> None:
        outputs = run(name, 600, Pulse(f"{side}_in", weight, 100, 500, period), even=True)
        other = "ventral" if side == "dorsal" else "dorsal"
        given = len(range(100, 500, period))
        assert (np.abs(counts(outputs[f"{side}_out"]) - given) <= 1).sum() >= MOST
        assert not outputs[f"{other}_out"].any()
        assert (counts(outputs[f"{side}_muscle"]) >= 8).all()
        assert not outputs[f"{other}_muscle"].any()
        assert not outputs[f"{side}_muscle"][:100].any()
        assert not outputs[f"{side}_muscle"][520:].any()

    def test_weaker_or_denser_spikes_are_thinned_out_but_not_lost(self, name: str) -> None:
        outputs = run(name, 600, Pulse("dorsal_in", 30, 100, 500, 10))
        passed = counts(outputs["dorsal_out"])
        assert (passed >= 14).all() and (passed <= 40).all()

    def test_waves_on_both_sides_hardly_disturb_each_other(self, name: str) -> None:
        dorsal = Pulse("dorsal_in", 30, 100, 500, 20)
        ventral = Pulse("ventral_in", 30, 107, 507, 20)
        together, alone = run(name, 600, dorsal, ventral), run(name, 600, dorsal)
        assert counts(together["ventral_muscle"]).mean() >= 8
        for output in ("dorsal_out", "dorsal_muscle"):
            expected = counts(alone[output]).mean()
            assert counts(together[output]).mean() == pytest.approx(expected, rel=0.15)

    @pytest.mark.parametrize("drive", ["every 20 ms", "every 15 ms", "irregular", "steady"])
    def test_irregular_spikes_into_stop_in_stop_the_wave(self, name: str, drive: str) -> None:
        waves = {
            "every 20 ms": trains(1400, 30.0, 100, 1400, 20),
            "every 15 ms": trains(1400, 30.0, 100, 1400, 15),
            "irregular": random_spikes(1400, 0.05, 30.0, seed=1),
            "steady": np.full((1400, INSTANCES), 10.0),
        }
        stop = random_spikes(1400, 0.35, 30.0)
        stop[:500] = stop[1000:] = 0
        outputs = run(name, 1400, extra={"brake": stop, "dorsal_relay": waves[drive]})
        out = outputs["dorsal_out"]
        before, during, after = counts(out, 100, 500), counts(out, 520, 1000), counts(out, 1020)
        assert during.mean() <= 0.12 * before.mean()
        assert during.max() <= 0.4 * before.mean()
        assert after.mean() >= 0.75 * before.mean()
        assert counts(outputs["dorsal_muscle"], 520, 1000).mean() <= 3


@pytest.mark.parametrize(("name", "offset"), [("forward_motor", 1), ("backward_motor", -1)])
def test_a_wave_travels_along_a_chain_of_motors(name: str, offset: int, tmp_path: Path) -> None:
    segments, delay = 12, 16
    link = {
        "from_type": name,
        "to_type": name,
        "weight": 30,
        "probability": 1,
        "pattern": "shift",
        "offset": offset,
        "delay": delay,
    }
    recipe = {
        "name": "chain",
        "description": "Segments in a row.",
        "components": [{"type": name, "count": segments}],
        "projections": [
            {**link, "from_terminal": f"{side}_out", "to_terminal": f"{side}_in"}
            for side in ("dorsal", "ventral")
        ],
        "wiring": {"enabled": False},
    }
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    brain = Brain.build(path, backend="numpy")
    first = 0 if offset > 0 else segments - 1
    currents = np.zeros((700, brain.size))
    currents[50:250:20, brain.neurons_of(f"{name}[{first}].dorsal_in")] = 30.0
    spikes = brain.run(700, currents)
    order = range(segments) if offset > 0 else reversed(range(segments))
    waves = [spikes[:, brain.neurons_of(f"{name}[{i}].dorsal_out")[0]] for i in order]
    arrivals = np.array([wave.argmax() for wave in waves])
    assert all(9 <= wave.sum() <= 10 for wave in waves)
    assert (np.diff(arrivals) >= delay).all() and (np.diff(arrivals) <= delay + 8).all()
    muscles = [brain.neurons_of(f"{name}[{i}].dorsal_muscle")[0] for i in range(segments)]
    assert (spikes[:, muscles].sum(axis=0) >= 5).all()
    assert not spikes[:, brain.neurons_of(f"{name}.ventral_muscle")].any()


class TestHeadSteering:
    NAME = "head_steering"

    @pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
    def test_one_side_alone_bends_the_head_to_it(self, side: str, other: str) -> None:
        outputs = run(self.NAME, 700, Pulse(f"{side}_in", 10, 100, 600))
        assert not outputs[f"{other}_muscle"].any()
        assert (counts(outputs[f"{side}_muscle"], 100, 600) >= 8).all()
        assert not outputs[f"{side}_muscle"][:100].any()
        assert not outputs[f"{side}_muscle"][620:].any()

    @pytest.mark.parametrize(("busy", "idle"), [("left", "right"), ("right", "left")])
    @pytest.mark.parametrize("rate", [0.06, 0.04])
    def test_the_side_with_twice_the_spikes_prevails(
        self, busy: str, idle: str, rate: float
    ) -> None:
        outputs = run(
            self.NAME,
            2000,
            extra={
                f"{busy}_relay": random_spikes(2000, rate, 30.0, seed=1),
                f"{idle}_relay": random_spikes(2000, rate / 2, 30.0, seed=2),
            },
        )
        more, less = (counts(outputs[f"{side}_muscle"]) for side in (busy, idle))
        assert (more > less).sum() >= MOST
        assert more.sum() > 1.2 * less.sum()

    @pytest.mark.parametrize(("busy", "idle"), [("left", "right"), ("right", "left")])
    def test_the_side_with_twice_the_current_prevails(self, busy: str, idle: str) -> None:
        outputs = run(
            self.NAME, 2000, Pulse(f"{busy}_in", 12, 0, 2000), Pulse(f"{idle}_in", 6, 0, 2000)
        )
        more, less = (counts(outputs[f"{side}_muscle"]) for side in (busy, idle))
        assert (more > less).sum() >= MOST

    @pytest.mark.parametrize(("gap", "held"), [(3, True), (9, True), (15, True), (30, False)])
    def test_a_spike_holds_the_other_side_down_for_almost_20_ms(self, gap: int, held: bool) -> None:
        outputs = run(
            self.NAME,
            200,
            Pulse("left_in", 30, 50, 51),
            Pulse("right_in", 30, 50 + gap, 51 + gap),
            even=True,
        )
        assert outputs["left_muscle"].any(axis=0).all()
        fired = outputs["right_muscle"].any(axis=0).sum()
        assert fired <= INSTANCES - MOST if held else fired >= MOST


class TestChemosensory:
    NAME = "chemosensory"

    def test_the_tonic_receptor_follows_the_strength(self) -> None:
        rates = [
            counts(run(self.NAME, 2000, Pulse("tonic_in", current, 0, 2000))["tonic_out"]).mean()
            for current in (0, 2, 4, 6, 8, 12, 16)
        ]
        assert rates[0] <= 0.5
        assert (np.diff(rates) > 2).all()

    @pytest.mark.parametrize("change", ["on", "off"])
    def test_each_receptor_reports_its_own_input_only(self, change: str) -> None:
        outputs = run(self.NAME, 1000, Pulse(f"{change}_in", 10, 100, 900))
        other = "off" if change == "on" else "on"
        assert (counts(outputs[f"{change}_out"], 100, 900) >= 8).all()
        for silent in (f"{other}_out", "tonic_out"):
            assert counts(outputs[silent]).sum() <= 2

    @pytest.mark.parametrize(("more", "less"), [("on", "off"), ("off", "on")])
    def test_the_stronger_change_is_heard_almost_alone(self, more: str, less: str) -> None:
        outputs = run(
            self.NAME, 1000, Pulse(f"{more}_in", 10, 100, 900), Pulse(f"{less}_in", 3.3, 100, 900)
        )
        loud, quiet = counts(outputs[f"{more}_out"]), counts(outputs[f"{less}_out"])
        alone = run(self.NAME, 1000, Pulse(f"{less}_in", 3.3, 100, 900))
        assert (loud >= 10).all()
        assert quiet.mean() <= 2
        assert counts(alone[f"{less}_out"]).mean() >= 4

    def test_equal_changes_are_both_heard(self) -> None:
        outputs = run(self.NAME, 1000, Pulse("on_in", 10, 100, 900), Pulse("off_in", 10, 100, 900))
        on, off = counts(outputs["on_out"]).mean(), counts(outputs["off_out"]).mean()
        assert on == pytest.approx(off, rel=0.15)


class TestMechanosensory:
    NAME = "mechanosensory"

    def test_touch_is_graded_and_lasts_as_long_as_it_is_pressed(self) -> None:
        rates = []
        for current in (0, 4, 6, 8, 12, 15):
            out = run(self.NAME, 1500, Pulse("touch_in", current, 100, 1100))["touch_out"]
            assert not out[:100].any() and not out[1120:].any()
            rates.append(counts(out).mean())
        assert rates[0] == 0
        assert (np.diff(rates) > 4).all()
        assert rates[2] > 20

    @pytest.mark.parametrize("touch", [5, 10, 16])
    def test_onset_marks_the_beginning_with_one_spike(self, touch: float) -> None:
        out = run(self.NAME, 1400, Pulse("touch_in", touch, 100, 1200))["onset_out"]
        assert (counts(out) == 1).sum() >= MOST
        assert not out[160:].any()

    @pytest.mark.parametrize(("pause", "again"), [(200, False), (400, False), (1200, True)])
    def test_onset_needs_a_pause(self, pause: int, again: bool) -> None:
        out = run(
            self.NAME,
            900 + pause + 500,
            Pulse("touch_in", 10, 100, 900),
            Pulse("touch_in", 10, 900 + pause, 1400 + pause),
        )["onset_out"]
        marked = (counts(out, 900 + pause) >= 1).sum()
        assert marked >= MOST if again else marked <= INSTANCES - MOST


class TestNoisyChoice:
    """Noise is its own: none is added."""

    NAME = "noisy_choice"
    TICKS = 4000
    WINDOW = 20

    def on(self, outputs: dict[str, Raster]) -> dict[str, NDArray[np.bool_]]:
        """Return in which windows of time each side fires, bool[windows, instances]."""
        shape = (self.TICKS // self.WINDOW, self.WINDOW, INSTANCES)
        return {side: outputs[f"{side}_out"].reshape(shape).max(axis=1) > 0 for side in "ab"}

    def steady(self, a: float, b: float) -> dict[str, NDArray[np.bool_]]:
        pulses = (Pulse("a_in", a, 0, self.TICKS), Pulse("b_in", b, 0, self.TICKS))
        return self.on(run(self.NAME, self.TICKS, *pulses, noise=0))

    def test_it_is_mostly_idle_without_input(self) -> None:
        on = self.steady(0, 0)
        assert (~on["a"] & ~on["b"]).mean() > 0.9

    def test_time_on_a_side_grows_with_its_input_and_shrinks_with_the_other(self) -> None:
        shares = [self.steady(a, b) for a, b in ((0.8, 1.6), (1.2, 1.6), (1.6, 1.6), (1.6, 0.8))]
        a, b = ([float(on[side].mean()) for on in shares] for side in "ab")
        assert a[0] < a[1] < a[2] < a[3]
        assert b[0] > b[1] > b[3]
        assert a[2] == pytest.approx(b[2], abs=0.12)
        assert a[3] > 4 * b[3] and b[0] > 4 * a[0]

    @pytest.mark.parametrize(("more", "less"), [("a", "b"), ("b", "a")])
    def test_the_balance_of_irregular_spikes_decides(self, more: str, less: str) -> None:
        on = self.on(
            run(
                self.NAME,
                self.TICKS,
                extra={
                    more: random_spikes(self.TICKS, 0.6, 2.5, seed=1),
                    less: random_spikes(self.TICKS, 0.3, 2.5, seed=2),
                },
                noise=0,
            )
        )
        assert (on[more].sum(axis=0) > on[less].sum(axis=0)).sum() >= MOST
        assert on[more].mean() > 3 * on[less].mean()

    @pytest.mark.parametrize(("a", "b"), [(1, 1), (1.6, 1.6), (1.6, 0.8), (0.8, 1.6)])
    def test_the_sides_exclude_each_other(self, a: float, b: float) -> None:
        on = self.steady(a, b)
        both, either = (on["a"] & on["b"]).mean(), (on["a"] | on["b"]).mean()
        assert both < 0.12 * either

    def test_a_side_goes_on_by_itself_until_it_is_ended(self) -> None:
        def a_after(*pulses: Pulse) -> NDArray[np.bool_]:
            outputs = run(self.NAME, 300, Pulse("a_in", 20, 50, 60), *pulses, noise=0)
            return counts(outputs["a_out"], 100, 160) > 0

        assert a_after().sum() >= 0.5 * INSTANCES
        assert a_after(Pulse("end_a_in", 30, 75, 95)).sum() <= INSTANCES - MOST
        assert a_after(Pulse("b_in", 20, 75, 95)).sum() <= INSTANCES - MOST
