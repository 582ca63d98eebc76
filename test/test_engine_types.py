"""Every synapse type: reference values, the same bits on both backends, resumed and replayed."""

from importlib.util import find_spec

import numpy as np
import pytest

from ab_ros.engine import (
    SYNAPSE_TYPES,
    Depressing,
    Developmental,
    Edges,
    Facilitating,
    GapJunction,
    Gated,
    Network,
    Plastic,
    RewardPlastic,
)
from ab_ros.errors import EngineError

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]
# float64 to all printed digits, float32 to 1e-6.
PRECISIONS = [("float64", 6e-10), ("float32", 1e-6)]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_precision = pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)

RNG = np.random.default_rng(7)
EYE = (RNG.random((1200, 20)) < 0.08).astype(np.uint8)
MOOD = (RNG.random((1200, 4)) < 0.3).astype(np.uint8)
MOOD[100:160] = MOOD[300:420] = 0


def wired(synapse, backend, precision, seed=3, weight=(1.0, 6.0), recurrent=(0.5, 3.0), **options):
    """Two projections of one type that share a table where they may, beside fixed ones."""
    rng = np.random.default_rng(0)
    network = Network(seed, precision, backend)
    network.add_source("eye", 20)
    network.add_source("mood", 4)
    network.add_neurons("cells", 12, "RS", noise=4.0, bias=4.0)
    network.add_neurons("more", 6, "FS", noise=3.0, bias=3.0)
    sparse = np.where(rng.random((12, 6)) < 0.6, rng.uniform(*recurrent, (12, 6)), np.nan)
    network.connect("fixed", "eye", "more", weight=rng.uniform(-1.0, 2.0, (20, 6)))
    if options.pop("from_source", True):
        network.connect("in", "eye", "cells", synapse, weight=rng.uniform(*weight, (20, 12)))
    network.connect("on", "cells", "more", synapse, weight=sparse)
    network.connect(
        "back", "more", "cells", synapse, weight=rng.uniform(*recurrent, (6, 12)), **options
    )
    return network.build()


def play(network, first, last, step=25):
    rasters = []
    for start in range(first, last, step):
        part = slice(start, start + step)
        rasters.append(network.run(step, {"eye": EYE[part], "mood": MOOD[part]}))
    return {name: np.concatenate([r[name] for r in rasters]) for name in rasters[0]}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].dtype == other[key].dtype, key
        assert np.array_equal(one[key], other[key], equal_nan=True), key


TYPES = {
    "facilitating": (Facilitating(tau_recovery=60.0), {"delay": 3}),
    "depressing": (Depressing(tau_recovery=9.0), {"delay": 2}),
    "gap_junction": (GapJunction(), {"from_source": False, "recurrent": (0.02, 0.2)}),
    **{
        f"gated {gate}": (
            Gated(gate=gate, modulator="mood", modulator_neurons=(2, 0, 3), lr=0.05),
            {"delay": 3},
        )
        for gate in ("transmission", "learning", "both")
    },
    "developmental": (
        Developmental(
            lr=0.05,
            critical_period=700,
            eval_interval=150,
            pruning_threshold=0.35,
            min_source_fires=5,
        ),
        {"delay": 2},
    ),
}
every_type = pytest.mark.parametrize("kind", TYPES)


def network_of(kind, backend, precision="float32", **options):
    synapse, own = TYPES[kind]
    return wired(synapse, backend, precision, **{**own, **options})


@needs_numba
@every_type
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_backends_are_bit_identical(kind, precision):
    reference = network_of(kind, "numpy", precision)
    compiled = network_of(kind, "numba", precision)
    assert_same(play(reference, 0, 1200), play(compiled, 0, 1200))
    assert_same(reference.state(), compiled.state())
    assert all(rate > 3.0 for rate in reference.rates.values())


@every_type
@every_backend
def test_a_resumed_run_goes_on_bit_by_bit(kind, backend):
    straight = network_of(kind, backend)
    rasters = play(straight, 0, 1200)
    interrupted = network_of(kind, backend)
    play(interrupted, 0, 600, step=40)
    saved = interrupted.state()
    play(interrupted, 600, 700)
    resumed = network_of(kind, backend, seed=99)
    play(resumed, 0, 75)
    resumed.restore(saved)
    later = play(resumed, 600, 1200, step=60)
    assert np.array_equal(later["cells"], rasters["cells"][600:])
    assert_same(straight.state(), resumed.state())


@every_type
@every_backend
def test_without_learning_no_weight_changes(kind, backend):
    network = network_of(kind, backend)
    network.learning = False
    before = {name: network.weights(name) for name in network.projections}
    play(network, 0, 600)
    for name, weights in before.items():
        assert np.array_equal(network.weights(name), weights, equal_nan=True)


@every_type
@every_backend
def test_a_reset_network_replays(kind, backend):
    network = network_of(kind, backend)
    network.learning = False
    first = play(network, 0, 300)
    network.reset()
    assert_same(play(network, 0, 300), first)


def all_types(backend, precision="float32"):
    """All eight types at once, with a reward signal; the gate's modulator is a neuron group."""
    rng = np.random.default_rng(5)
    network = Network(11, precision, backend)
    network.add_source("eye", 20)
    network.add_neurons("cells", 12, "RS", noise=4.0, bias=3.0)
    network.add_neurons("mood", 4, "CH", noise=3.0, bias=4.0)
    network.add_neurons("more", 6, "FS", noise=3.0, bias=3.0)
    young_synapse = Developmental(
        critical_period=600,
        eval_interval=200,
        pruning_threshold=0.4,
        min_source_fires=3,
        coincidence_window=5,
    )
    kinds = [
        ("eye", "cells", "fixed"),
        ("cells", "cells", Plastic(lr=0.05)),
        ("eye", "more", Facilitating(tau_recovery=60.0)),
        ("cells", "mood", Depressing()),
        ("eye", "cells", Gated(gate="both", threshold=0.04, modulator="mood", lr=0.05)),
        ("cells", "cells", GapJunction()),
        ("eye", "more", RewardPlastic(lr=0.1)),
        ("cells", "more", young_synapse),
        ("more", "cells", Plastic(w_min=-5.0, w_max=0.0)),
    ]
    for index, (source, target, synapse) in enumerate(kinds):
        sizes = network.size(source), network.size(target)
        weight = rng.uniform(0.1, 1.5, sizes) * (-1.0 if source == "more" else 1.0)
        weight[rng.random(sizes) < 0.3] = np.nan
        delay = 1 if isinstance(synapse, GapJunction) else 1 + index % 4
        network.connect(f"p{index}", source, target, synapse, weight=weight, delay=delay)
    network.build().set_reward_signal(everywhere=0.01)
    return network


def live(network, first, last):
    for start in range(first, last, 50):
        network.run(50, {"eye": EYE[start : start + 50]})
        network.mark(start // 50)
        network.reward(everywhere=float(np.sin(start)), cycle=max(start // 50 - 1, 0))
    return network


@needs_numba
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_all_types_together_are_bit_identical_and_resumed(precision):
    straight = live(all_types("numpy", precision), 0, 1000).state()
    half = live(all_types("numba", precision), 0, 450).state()
    resumed = all_types("numba", precision)
    resumed.restore(half)
    assert_same(straight, live(resumed, 450, 1000).state())
    assert (straight["projection/p7/pruned_at"] > 0).any()
    assert {kind.type_name for kind in SYNAPSE_TYPES.values()} == {
        projection.synapse.type_name for projection in resumed.projections.values()
    }


@needs_numba
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_backends_agree_whenever_weights_are_read_set_or_frozen(precision):
    """Compiled, learning waits for the next presynaptic spike; nobody must notice."""
    seen = []
    for backend in ("numpy", "numba"):
        rng = np.random.default_rng(8)
        network = Network(2, precision, backend)
        network.add_source("seldom", 6)
        # Many target spikes between two presynaptic ones, and some silent rows.
        network.add_neurons("busy", 9, "CH", noise=6.0, bias=12.0)
        network.add_neurons("calm", 5, "RS", noise=2.0, bias=-2.0)
        busy = {"weight": rng.uniform(0.5, 2.0, (6, 9))}
        network.connect("a", "seldom", "busy", Plastic(lr=0.2, tau_plus=70.0), **busy)
        network.connect("b", "seldom", "busy", RewardPlastic(lr=0.3, tau_trace=3.0), **busy)
        network.connect("c", "busy", "calm", Plastic(lr=0.1, tau_plus=2.0), weight=1.5, delay=3)
        network.connect("d", "calm", "busy", RewardPlastic(), weight=0.5, layer="one")
        network.build()
        for part in range(40):
            network.learning = part % 7 != 3
            spikes = (rng.random((37, 6)) < 0.01).astype(np.uint8)
            seen.append(network.run(37, {"seldom": spikes})["busy"])
            if part % 3 == 0:
                seen.append(network.weights("a"))
            if part % 5 == 0:
                network.set_weights("c", rng.uniform(0.0, 3.0, 45))
                seen.append(network.eligibility("b"))
            if part % 4 == 1:
                network.mark(part)
                network.reward({"one": 0.5}, -0.3, cycle=part)
            if part == 20:
                saved = network.state()
            if part == 30:
                network.restore(saved)
            if part == 35:
                network.reset()
        seen.append(network.state())
    half = len(seen) // 2
    for numpy, numba in zip(seen[: half - 1], seen[half:-1], strict=True):
        assert np.array_equal(numpy, numba)
    assert_same(seen[half - 1], seen[-1])


@every_backend
def test_steps_do_what_runs_do(backend):
    run, stepped = all_types(backend), all_types(backend)
    currents = np.random.default_rng(2).normal(0.0, 2.0, (250, 22))
    parts = {"cells": slice(0, 12), "mood": slice(12, 16), "more": slice(16, 22)}
    fired = run.run(250, {"eye": EYE[:250]}, {n: currents[:, part] for n, part in parts.items()})
    rows = np.array([stepped.step(currents[t], EYE[t]) for t in range(250)])
    for name, part in parts.items():
        assert np.array_equal(rows[:, part], fired[name])
    assert_same(run.state(), stepped.state())
    run.tick()
    stepped.step()
    assert_same(run.state(), stepped.state())
    assert run.rates == stepped.rates


@pytest.mark.parametrize(
    ("current", "spikes", "message"),
    [
        (np.zeros(21), None, r"\[all neurons\] = \(22,\) \(got \(21,\)\)"),
        (np.zeros(22, dtype=np.float32), None, "float64 .*float32"),
        ([0.0] * 22, None, "float64 .*list"),
        (np.r_[np.zeros(17), np.nan, np.zeros(4)], None, r"'more': must be finite .*nan at \[1\]"),
        (None, np.zeros(3, dtype=np.uint8), r"\[all sources\] = \(20,\)"),
        (None, np.zeros(20), "uint8 or bool .*float64"),
        (None, np.full(20, 2, dtype=np.uint8), r"0 or 1 \(got 2\)"),
    ],
)
def test_a_step_refuses_bad_input(current, spikes, message):
    network = all_types("numpy")
    with pytest.raises(EngineError, match=message):
        network.step(current, spikes)
    assert network.ticks == 0


def arrivals(synapse, backend, precision, ticks, weight=10.0, delay=1):
    """What arrives at a neuron, by tick of the source's spike."""
    network = Network(backend=backend, precision=precision)
    network.add_source("pre", 2)
    network.add_neurons("post", 1, "RS", bias=-30.0)
    network.connect("synapse", "pre", "post", synapse, weight=Edges([0], [0], weight), delay=delay)
    network.build()
    arrived = []
    for tick in range(max(ticks) + 1):
        network.tick({"pre": np.array([tick in ticks, 1], dtype=np.uint8)})
        row = network.state()["neurons/pending"][(tick + delay) % (delay + 1)]
        if tick in ticks:
            arrived.append(float(row[0]))
    return arrived


@every_backend
@every_precision
@pytest.mark.parametrize("delay", [1, 4])
@pytest.mark.parametrize(
    ("synapse", "expected"),
    [
        (Facilitating(), [12.0, 13.902458849, 15.712133685, 17.433549638]),
        (Depressing(), [5.0, 2.549503317, 1.348516518, 0.759913684]),
    ],
)
def test_short_term_references(backend, precision, tolerance, synapse, expected, delay):
    arrived = arrivals(synapse, backend, precision, [0, 10, 20, 30], delay=delay)
    assert arrived == pytest.approx(expected, abs=tolerance)


@every_backend
def test_gains_recover_at_rest(backend):
    for synapse, rested in [(Facilitating(tau_recovery=20.0), 12.0), (Depressing(0.5, 20.0), 5.0)]:
        first, *_, last = arrivals(synapse, backend, "float64", [0, 2, 4, 2000])
        assert first == rested
        assert last == pytest.approx(rested, abs=1e-12)


def coupled(backend, precision, **edges):
    network = Network(backend=backend, precision=precision)
    network.add_source("unused", 3)
    network.add_neurons("cells", 2, "RS")
    network.connect("gap", "cells", "cells", "gap_junction", **edges)
    return network.build()


@every_backend
@every_precision
def test_gap_junction_reference(backend, precision, tolerance):
    network = coupled(backend, precision, weight=Edges([0], [1], 1.0))
    state = network.state()
    state["neurons/v"][:] = -55.0, -65.0
    state["neurons/u"][:] = -13.0
    network.restore(state)
    network.tick()
    assert network.state()["neurons/v"] == pytest.approx([-57.28, -66.88], abs=10 * tolerance)


@every_backend
def test_two_junctions_are_one_of_twice_the_weight(backend):
    both = coupled(backend, "float64", weight=Edges([0, 1], [1, 0], 0.5))
    one = coupled(backend, "float64", weight=Edges([0], [1], 1.0))
    for network in (both, one):
        network.run(300, currents={"cells": [12.0, 0.0]})
    assert np.allclose(both.state()["neurons/v"], one.state()["neurons/v"], atol=1e-6)
    assert one.rates["cells"] > 0


def test_a_gap_junction_joins_neurons_at_once():
    network = Network(backend="numpy")
    network.add_source("eye", 2)
    network.add_neurons("cells", 2)
    with pytest.raises(EngineError, match=r"'p': a gap junction joins neurons; a spike source"):
        network.connect("p", "eye", "cells", GapJunction(), weight=1.0)
    with pytest.raises(EngineError, match=r"'p': a gap junction has no delay.* \(got 2\)"):
        network.connect("p", "cells", "cells", GapJunction(), weight=1.0, delay=2)
    with pytest.raises(EngineError, match=r"'p': weights of gap junctions must be at least 0"):
        network.connect("p", "cells", "cells", GapJunction(), weight=-1.0)


def gated(backend, gate, threshold=0.3, size=2, precision="float64"):
    network = Network(backend=backend, precision=precision)
    network.add_source("pre", 1)
    network.add_source("modulator", size)
    network.add_neurons("post", 1, "RS", bias=-30.0)
    synapse = Gated(gate=gate, threshold=threshold, modulator="modulator")
    network.connect("synapse", "pre", "post", synapse, weight=5.0)
    return network.build()


def arriving(network, spikes, modulators=0):
    """Tick once with so many modulators firing; return what will arrive in the next tick."""
    size = network.size("modulator")
    given = {"pre": np.array([spikes], np.uint8), "modulator": np.arange(size) < modulators}
    network.tick(given)
    return float(network.state()["neurons/pending"][network.ticks % 2][0])


@every_backend
@pytest.mark.parametrize("gate", ["transmission", "learning", "both"])
def test_the_gate_opens_at_its_threshold_and_closes_50_ticks_later(backend, gate):
    network = gated(backend, gate)
    closed = 5.0 if gate == "learning" else 0.0
    for tick in range(14):  # 28 spikes of 100: below the threshold
        assert arriving(network, 1, 2) == closed, tick
    assert arriving(network, 0, 1) == 0.0
    assert arriving(network, 1, 0) == closed  # 29 of 100
    assert arriving(network, 1, 1) == 5.0  # 30 of 100, this tick included
    for tick in range(33):
        assert arriving(network, 1, 0) == 5.0, tick
    assert arriving(network, 1, 0) == closed  # the first two have left the window


@every_backend
@every_precision
@pytest.mark.parametrize("gate", ["transmission", "learning", "both"])
@pytest.mark.parametrize("opened", [False, True])
def test_a_gate_for_learning_stops_it(backend, precision, tolerance, gate, opened):
    network = gated(backend, gate, precision=precision)
    for _ in range(50):
        arriving(network, 0, 2 * opened)
    arriving(network, 1, 0)
    network.run(1, currents={"post": [2000.0]})
    learned = 5.004756147123 if opened or gate == "transmission" else 5.0
    assert network.weights("synapse")[0, 0] == pytest.approx(learned, abs=tolerance)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, r"projection 'p': Gated\.modulator: names no group; one of: eye, cells"),
        ({"modulator": "vta"}, r"projection 'p': Gated\.modulator: unknown 'vta'; one of: eye"),
        ({"modulator": "eye", "modulator_neurons": ()}, r"'p': .*: the modulator has no neurons"),
        ({"modulator": "eye", "modulator_neurons": [0, 2]}, r"'p': .*in \[0, 2\), .* \(got 2\)"),
    ],
)
def test_a_modulator_must_have_neurons(parameters, message):
    network = Network(backend="numpy")
    network.add_source("eye", 2)
    network.add_neurons("cells", 2)
    network.connect("p", "eye", "cells", Gated(**parameters), weight=1.0)
    with pytest.raises(EngineError, match=message):
        network.build()


def test_a_state_with_impossible_modulator_spikes_is_refused():
    network = network_of("gated both", "numpy")
    state = network.state()
    state["projection/in/modulator_spikes"][3] = 4
    with pytest.raises(EngineError, match=r"'projection/in/modulator_spikes' must be in \[0, 3\]"):
        network.restore(state)


def young(backend, pre=1, precision="float64", **parameters):
    """Sources, and one neuron that fires only when the test makes it."""
    network = Network(backend=backend, precision=precision)
    network.add_source("pre", pre)
    network.add_neurons("post", 2, "RS", bias=-30.0)
    network.connect("synapse", "pre", "post", Developmental(**parameters), weight=5.0)
    return network.build()


def grow(network, ticks, pre, post):
    """Tick with the spikes of the first source and the first neuron at the given ticks."""
    spikes = np.zeros((ticks, network.size("pre")), dtype=np.uint8)
    current = np.zeros((ticks, 2))
    spikes[list(pre), 0] = 1
    current[list(post), 0] = 2000.0
    fired = network.run(ticks, {"pre": spikes}, {"post": current})["post"]
    assert np.flatnonzero(fired[:, 0]).tolist() == list(post)


@every_backend
@every_precision
@pytest.mark.parametrize(
    ("post", "expected"), [(1, 5.004756147123), (5, 5.003894003915), (0, 5.005)]
)
def test_developmental_learns_as_plastic(backend, precision, tolerance, post, expected):
    network = young(backend, precision=precision)
    grow(network, 10, [0], [post])
    assert network.weights("synapse")[0, 0] == pytest.approx(expected, abs=min(tolerance, 1e-6))


@every_backend
@pytest.mark.parametrize(
    ("pre", "post", "window", "rate"),
    [
        ([10], [10], 20, 1.0),
        ([10], [30], 20, 1.0),
        ([10], [31], 20, 0.0),
        ([10], [9], 20, 0.0),
        ([10], [15, 20, 25], 20, 1.0),  # at most one coincidence per presynaptic spike
        ([10, 40], [15, 20, 25], 20, 0.5),
        ([10, 12, 14], [20], 20, 1.0),  # each of them had its target's answer
        ([10, 12, 40], [20, 61], 20, 2 / 3),
        ([10, 80], [72, 79], 63, 0.5),
        ([10, 80], [73, 80], 63, 1.0),
        ([10], [11], 0, 0.0),
        ([10], [10], 0, 1.0),
    ],
)
def test_coincidences(backend, pre, post, window, rate):
    network = young(backend, coincidence_window=window)
    grow(network, 100, pre, post)
    development = network.development("synapse")
    assert development.rate.tolist() == [rate, 0.0]
    assert development.information.tolist() == [rate * (1 - rate), 0.0]
    assert (development.age, development.critical) == (100, True)


@every_backend
@pytest.mark.parametrize("window", [0, 7, 20, 63])
def test_coincidences_of_any_spike_trains(backend, window):
    network = Network(1, "float32", backend)
    network.add_source("pre", 9)
    network.add_neurons("post", 5, "FS", noise=12.0, bias=3.0)
    network.connect("s", "pre", "post", Developmental(coincidence_window=window), weight=0.0)
    network.build()
    spikes = (np.random.default_rng(3).random((500, 9)) < 0.06).astype(np.uint8)
    fired = network.run(500, {"pre": spikes})["post"]
    assert fired.sum() > 50
    rate = network.development("s").rate.reshape(9, 5)
    for i in range(9):
        times = np.flatnonzero(spikes[:, i])
        for j in range(5):
            hits = sum(fired[t : t + window + 1, j].any() for t in times)
            assert rate[i, j] == hits / times.size


@every_backend
def test_pruning_removes_what_is_of_no_use_for_good(backend):
    network = young(
        backend,
        pre=2,
        critical_period=1000,
        eval_interval=400,
        pruning_threshold=0.1,
        min_source_fires=10,
    )
    pre = list(range(0, 400, 20))
    grow(network, 399, pre, [t + 3 for t in pre[::2]])
    assert not np.isnan(network.weights("synapse")).any()
    grow(network, 1, [], [])
    # The first target answers every other spike, the second none; the second source is silent.
    assert np.isnan(network.weights("synapse")).tolist() == [[False, True], [False, False]]
    assert [len(part) for part in network.edges("synapse")] == [3, 3, 3]
    development = network.development("synapse")
    (evaluation,) = development.evaluations
    assert (evaluation.age, evaluation.judged, evaluation.pruned) == (400, 2, 1)
    assert (evaluation.information, evaluation.information_pruned) == (0.25, 0.0)
    assert development.pruned_at.tolist() == [0, 400, 0, 0]
    # It does not transmit any more, while its neighbour does.
    grow(network, 1, [0], [])
    pending = network.state()["neurons/pending"][network.ticks % 2]
    assert pending[0] > 4.0
    assert pending[1] == 0.0
    # Weights are set and read without it; a reset does not bring it back.
    network.set_weights("synapse", [1.0, 2.0, 3.0])
    network.reset()
    assert network.development("synapse").age == 401
    matrix = network.weights("synapse")
    assert np.array_equal(matrix, [[1.0, np.nan], [2.0, 3.0]], equal_nan=True)
    with pytest.raises(EngineError, match=r"must be NaN exactly where no synapse is"):
        network.set_weights("synapse", np.ones((2, 2)))


@every_backend
def test_pruning_ends_with_the_critical_period_and_rests_without_learning(backend):
    def built():
        return young(
            backend,
            critical_period=200,
            eval_interval=50,
            pruning_threshold=1.0,
            min_source_fires=3,
        )

    def pruned(network):
        return np.unique(network.development("synapse").pruned_at).tolist()

    late = built()
    grow(late, 210, [150, 160], [])
    assert pruned(late) == [0]  # too few spikes in the critical period
    grow(late, 300, range(0, 300, 10), [])
    assert pruned(late) == [0]
    assert not late.development("synapse").critical
    assert late.development("synapse").rate.tolist() == [0.0, 0.0]
    frozen = built()
    frozen.learning = False
    grow(frozen, 150, range(0, 150, 10), [])
    assert pruned(frozen) == [0]
    frozen.learning = True
    grow(frozen, 49, [], [])
    assert pruned(frozen) == [0]
    grow(frozen, 1, [], [])
    assert pruned(frozen) == [200]


@every_backend
def test_some_synapses_survive_a_long_development_and_learn(backend):
    network = network_of("developmental", backend)
    play(network, 0, 700)
    development = network.development("in")
    assert [e.age for e in development.evaluations] == [150, 300, 450, 600]
    assert 0 < (development.pruned_at > 0).sum() < development.pruned_at.size
    assert sum(e.pruned for e in development.evaluations) == (development.pruned_at > 0).sum()
    before = network.weights("in")
    play(network, 700, 1200)
    after = network.weights("in")
    assert np.array_equal(np.isnan(before), np.isnan(after))
    assert np.nanmax(np.abs(after - before)) > 0.01


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("age", -1, r"in/age' must be in \[0, "),
        ("pruned_at", 601, r"in/pruned_at' must be in \[0, 600\]"),
        ("last_pre", 601, r"in/last_pre' must be in \[-64, 600\]"),
        ("coincidences", 500, r"in/coincidences' must be in \[0, the spikes of the source\]"),
    ],
)
def test_a_state_of_an_impossible_development_is_refused(entry, value, message):
    network = network_of("developmental", "numpy")
    play(network, 0, 600)
    state = network.state()
    state[f"projection/in/{entry}"][0] = value
    with pytest.raises(EngineError, match=message):
        network.restore(state)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Facilitating, {"increment": -0.1}, r"Facilitating\.increment: must be at least 0"),
        (Facilitating, {"tau_recovery": 0.0}, r"Facilitating\.tau_recovery: must be greater"),
        (Depressing, {"factor": 1.5}, r"Depressing\.factor: must be at most 1 \(got 1\.5\)"),
        (GapJunction, {"conductance": -1.0}, r"GapJunction\.conductance: must be at least 0"),
        (Gated, {"threshold": 1.1}, r"Gated\.threshold: must be at most 1"),
        (Gated, {"gate": "none"}, r"Gated\.gate: unknown 'none'; one of: transmission, learning"),
        (Gated, {"modulator_neurons": (0, -1)}, r"Gated\.modulator_neurons: must be at least 0"),
        (Gated, {"modulator_neurons": (1, 1)}, r"modulator_neurons: an index stands twice"),
        (Gated, {"tau_plus": 0.0}, r"Gated\.tau_plus: must be greater than 0"),
        (
            Developmental,
            {"critical_period": -1},
            r"Developmental\.critical_period: must be at least",
        ),
        (Developmental, {"eval_interval": 0}, r"Developmental\.eval_interval: must be at least 1"),
        (Developmental, {"eval_interval": 2.5}, r"eval_interval: must be a whole number"),
        (Developmental, {"coincidence_window": 64}, r"coincidence_window: must be at most 63"),
        (Developmental, {"pruning_threshold": 1.1}, r"pruning_threshold: must be at most 1"),
        (Developmental, {"critical_period": 10**6, "eval_interval": 1}, r"at most 100000 eval"),
        (Depressing, {"factor": float("nan")}, r"Depressing\.factor: must be finite"),
    ],
)
def test_parameters(kind, values, message):
    with pytest.raises(EngineError, match=message):
        kind(**values)
