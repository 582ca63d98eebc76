"""Networks: the same numbers whatever the backend, the split into runs, or an interruption."""

from importlib.util import find_spec

import numpy as np
import pytest

from ab_ros.engine import Edges, Network, NeuronParameters, Plastic, RewardPlastic
from ab_ros.errors import EngineError

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]
PRECISIONS = ["float32", "float64"]
CYCLE = 20


def mixed(backend="numpy", precision="float32", seed=3):
    """A network of all synapse types, shared tables, irregular wiring, and several delays."""
    rng = np.random.default_rng(0)
    sparse = np.where(rng.random((20, 6)) < 0.5, rng.uniform(1.0, 6.0, (20, 6)), np.nan)
    network = Network(seed, precision, backend)
    network.add_source("eye", 30)
    network.add_source("skin", 5)
    network.add_neurons("motor", 20, "FS", noise=4.0, bias=3.0, common_noise=1.0, common_groups=2)
    network.add_neurons("relay", 6, NeuronParameters(0.02, 0.2, -60.0, 5.0), noise=3.0)
    for joint in range(2):
        network.connect(
            f"eye_{joint}",
            "eye",
            "motor",
            RewardPlastic(lr=0.1, tau_trace=5.0, tau_eligible=40.0, negative_gain=1.4),
            weight=rng.uniform(2.0, 5.0, (30, 10)),
            layer=f"joint_{joint}",
            target_slice=slice(10 * joint, 10 * joint + 10),
            delay=2,
        )
    network.connect("stdp", "motor", "relay", Plastic(lr=0.05, tau_minus=9.0), weight=sparse)
    network.connect(
        "back", "relay", "motor", Plastic(w_min=-8.0, w_max=0.0, lr=0.1), weight=-3.0, delay=4
    )
    network.connect("touch", "skin", "relay", weight=Edges([4, 0, 2], [1, 5, 1], [9.0, 7.0, 8.0]))
    network.connect("rest", "motor", "motor", weight=-0.5, source_slice=(0, 10))
    network.connect("sparse_reward", "skin", "motor", RewardPlastic(), weight=Edges([1], [3], 4.0))
    return network.build()


RNG = np.random.default_rng(1)
EYE = (RNG.random((400, 30)) < 0.05).astype(np.uint8)
SKIN = (RNG.random((400, 5)) < 0.05).astype(np.uint8)


def play(network, first, last, step=CYCLE):
    """Play cycles of 20 ticks, in runs of ``step``; each is rewarded one cycle late."""
    rasters = []
    for start in range(first, last, step):
        part = slice(start, start + step)
        rasters.append(network.run(step, {"eye": EYE[part], "skin": SKIN[part]}))
        if (start + step) % CYCLE == 0:
            cycle = start // CYCLE
            network.mark(cycle)
            if cycle:
                network.reward({"joint_0": np.sin(cycle)}, -0.3, cycle=cycle - 1)
            if cycle % 5 == 0:
                network.reward({"joint_1": 0.7})
    return {name: np.concatenate([r[name] for r in rasters]) for name in rasters[0]}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].dtype == other[key].dtype, key
        assert np.array_equal(one[key], other[key]), key


@needs_numba
@pytest.mark.parametrize("precision", PRECISIONS)
def test_backends_are_bit_identical(precision):
    reference, compiled = mixed("numpy", precision), mixed("numba", precision)
    assert_same(play(reference, 0, 400), play(compiled, 0, 400))
    assert_same(reference.state(), compiled.state())
    assert all(rate > 5.0 for rate in reference.rates.values())
    for name in ("eye_0", "eye_1", "stdp", "back"):
        assert not np.allclose(reference.weights(name), mixed().weights(name), equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_split_into_runs_does_not_matter(backend):
    whole, parts = mixed(backend), mixed(backend)
    assert_same(play(whole, 0, 200, step=20), play(parts, 0, 200, step=5))
    assert_same(whole.state(), parts.state())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_restored_network_goes_on_bit_by_bit(backend, precision):
    straight = mixed(backend, precision)
    play(straight, 0, 400)
    interrupted = mixed(backend, precision)
    play(interrupted, 0, 200)
    saved = interrupted.state()
    play(interrupted, 200, 240)
    resumed = mixed(backend, precision, seed=99)
    play(resumed, 0, 60)
    resumed.restore(saved)
    play(resumed, 200, 400)
    assert_same(straight.state(), resumed.state())


@pytest.mark.parametrize("backend", BACKENDS)
def test_reset_starts_over_but_keeps_the_weights(backend):
    network = mixed(backend)
    play(network, 0, 100)
    learned = network.edges("eye_0")[2]
    network.reset()
    assert network.ticks == 0
    assert network.rates == {"motor": 0.0, "relay": 0.0}
    assert np.array_equal(network.edges("eye_0")[2], learned)
    fresh = mixed(backend)
    for name in fresh.projections:
        network.set_weights(name, fresh.edges(name)[2])
    assert_same(play(network, 0, 200), play(fresh, 0, 200))
    assert_same(network.state(), fresh.state())


def test_another_seed_gives_another_run_and_the_same_seed_the_same():
    def fired(seed):
        return play(mixed(seed=seed), 0, 100)["motor"]

    assert np.array_equal(fired(5), fired(5))
    assert not np.array_equal(fired(5), fired(6))


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_learning_only_the_weights_stand_still(backend):
    network = mixed(backend)
    network.learning = False
    before = {name: network.edges(name)[2] for name in network.projections}
    play(network, 0, 200)
    for name, weights in before.items():
        assert np.array_equal(network.edges(name)[2], weights)
    assert (network.edges("eye_0")[2] > 0).all()
    assert np.nansum(network.eligibility("eye_0")) > 0.0


def test_common_noise_is_shared_within_a_slice_and_only_there():
    network = Network(seed=1)
    network.add_neurons("group", 6, "RS", common_noise=8.0, common_groups=2)
    fired = network.build().run(500)["group"]
    assert fired.any()
    assert (fired[:, :3] == fired[:, :1]).all()
    assert (fired[:, 3:] == fired[:, 3:4]).all()
    assert (fired[:, 0] != fired[:, 3]).any()


def test_rates_count_since_their_reset():
    network = Network()
    network.add_neurons("cell", 2, "RS", bias=10.0)
    network.build()
    network.run(1000)
    assert network.rates == {"cell": 21.0}
    network.reset_rates()
    assert network.rates == {"cell": 0.0}


def test_weights_read_and_written_in_every_form():
    network = mixed()
    matrix = network.weights("stdp")
    assert matrix.shape == (20, 6)
    pre, post, weight = network.edges("stdp")
    assert np.array_equal(matrix[pre, post], weight)
    assert np.isnan(matrix).sum() == 120 - weight.size
    network.set_weights("stdp", matrix * 0.5)
    assert np.array_equal(network.edges("stdp")[2], weight * np.float32(0.5))
    network.set_weights("eye_1", 3.0)
    assert (network.weights("eye_1") == 3.0).all()
    assert not (network.weights("eye_0") == 3.0).any()
    pre, post, weight = network.edges("touch")
    assert (pre.tolist(), post.tolist(), weight.tolist()) == ([0, 2, 4], [5, 1, 1], [7, 8, 9])
    with pytest.raises(EngineError, match=r"'stdp': weights must be NaN exactly where"):
        network.set_weights("stdp", np.zeros((20, 6)))
    with pytest.raises(EngineError, match=r"'stdp': weights must be a number, or have the shape"):
        network.set_weights("stdp", np.zeros(7))
    with pytest.raises(EngineError, match=r"'eye_0': weights must be in \[0, 10\]"):
        network.set_weights("eye_0", -1.0)
    with pytest.raises(EngineError, match=r"projection 'nose': unknown; one of: eye_0, eye_1"):
        network.weights("nose")


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    network = mixed()
    play(network, 0, 100)
    before = network.state()
    missing = {k: v for k, v in before.items() if k != "neurons/v"}
    broken = {**before, "neurons/v": before["neurons/v"] * np.nan}
    short = {**before, "neurons/u": before["neurons/u"][:-1]}
    early = {**before, "network/clock": before["network/clock"] - 1000}
    heavy = {**before, "projection/eye_0/weights": before["projection/eye_0/weights"] + 9}
    old = {**before, "projection/stdp/pre_age": np.array([10**9])}
    stranger = {**before, "projection/nose/weights": before["neurons/v"]}
    for state, message in [
        (missing, r"entry 'neurons/v' is missing"),
        (broken, r"entry 'neurons/v' must be finite"),
        (short, r"entry 'neurons/u' must be float64\[26\] \(got float64\[25\]\)"),
        (early, r"entry 'network/clock' must be at least 0"),
        (heavy, r"'projection/eye_0/weights': weights must be in \[0, 10\]"),
        (old, r"entry 'projection/stdp/pre_age' must be in \[0, "),
        (stranger, r"entry 'projection/nose/weights' does not belong to this network"),
        (mixed(precision="float64").state(), r"must be float32\[300\] \(got float64\[300\]\)"),
    ]:
        with pytest.raises(EngineError, match=message):
            network.restore(state)
        assert_same(network.state(), before)


def test_a_state_of_other_wiring_or_parameters_is_refused():
    def built(pre, lr):
        network = Network()
        network.add_source("s", 3)
        network.add_neurons("n", 2)
        network.connect("p", "s", "n", Plastic(lr=lr), weight=Edges([0, pre], [0, 1], 1.0))
        return network.build()

    for other in (built(1, 0.01), built(2, 0.02)):
        with pytest.raises(EngineError, match=r"'projection/p/signature' is from a network that"):
            built(2, 0.01).restore(other.state())


@needs_numba
def test_a_network_without_synapses_runs_compiled():
    network = Network(backend="numba")
    network.add_neurons("cell", 1, "RS", bias=10.0)
    assert network.build().run(1000)["cell"].sum() == 21


def test_no_kernel_keeps_other_threads_waiting() -> None:
    pytest.importorskip("numba")
    from ab_ros.engine import kernels, reward_kernels

    for kernel in (kernels.advance, reward_kernels.apply_reward, reward_kernels.apply_signal):
        assert kernel.targetoptions["nogil"]
