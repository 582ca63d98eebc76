"""Synapses follow their rules: reference values, soft bounds, parameter checks."""

import math
from importlib.util import find_spec

import numpy as np
import pytest

from ab_ros.engine import Fixed, Network, Plastic, RewardPlastic

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]
# float64 to all printed digits, float32 to 1e-6.
PRECISIONS = [("float64", 1e-12), ("float32", 1e-6)]

pytestmark = [
    pytest.mark.parametrize("backend", BACKENDS),
    pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS),
]


def pair(synapse, backend, precision, weight=5.0, **options):
    """One source and one neuron that fires only when the test makes it."""
    network = Network(backend=backend, precision=precision)
    network.add_source("pre", 1)
    network.add_neurons("post", 1, "RS", bias=-30.0)
    network.connect("synapse", "pre", "post", synapse, weight=weight, **options)
    return network.build()


def play(network, ticks, pre=(), post=()):
    """Tick, with a presynaptic and a forced postsynaptic spike at the given ticks."""
    spikes = np.zeros((ticks, 1), dtype=np.uint8)
    current = np.zeros((ticks, 1))
    spikes[list(pre)] = 1
    current[list(post)] = 2000.0
    fired = network.run(ticks, {"pre": spikes}, {"post": current})["post"][:, 0]
    assert np.flatnonzero(fired).tolist() == list(post)


def weight(network):
    return float(network.weights("synapse")[0, 0])


@pytest.mark.parametrize(
    ("post", "expected"), [(1, 5.004756147123), (5, 5.003894003915), (0, 5.005)]
)
def test_plastic_potentiation_reference(backend, precision, tolerance, post, expected):
    network = pair(Plastic(), backend, precision)
    play(network, 10, pre=[0], post=[post])
    assert weight(network) == pytest.approx(expected, abs=tolerance)


def test_plastic_depression_when_the_target_fired_before(backend, precision, tolerance):
    network = pair(Plastic(), backend, precision)
    play(network, 10, pre=[7], post=[4])
    expected = 5.0 - 0.01 * 0.5 * math.exp(-3 / 20) * 0.5
    assert weight(network) == pytest.approx(expected, abs=tolerance)


def test_inhibitory_plastic_strengthens_away_from_zero(backend, precision, tolerance):
    inhibitory = Plastic(w_min=-10.0, w_max=0.0)
    network = pair(inhibitory, backend, precision, weight=-4.0)
    play(network, 10, pre=[0], post=[1])
    strengthened = -4.0 - 0.01 * math.exp(-1 / 20) * (-4.0 + 10.0) / 10.0
    assert weight(network) == pytest.approx(strengthened, abs=tolerance)
    network = pair(inhibitory, backend, precision, weight=-4.0)
    play(network, 10, pre=[7], post=[4])
    weakened = -4.0 + 0.01 * 0.5 * math.exp(-3 / 20) * (0.0 + 4.0) / 10.0
    assert weight(network) == pytest.approx(weakened, abs=tolerance)


def test_reward_plastic_reference(backend, precision, tolerance):
    network = pair(RewardPlastic(), backend, precision)
    play(network, 6, pre=[0], post=[5])
    assert network.eligibility("synapse")[0, 0] == pytest.approx(
        0.777244738, abs=max(tolerance, 1e-9)
    )
    play(network, 100)
    assert network.reward(everywhere=1.0)
    assert weight(network) == pytest.approx(5.003181770849, abs=tolerance)


def test_trace_and_eligibility_halve(backend, precision, tolerance):
    network = pair(RewardPlastic(tau_trace=1e6, tau_eligible=1e6), backend, precision)
    play(network, 10, pre=[0], post=[2, 6])
    assert network.eligibility("synapse")[0, 0] == pytest.approx(1.5, abs=1e-4)
    before = network.eligibility("synapse")[0, 0]
    network.reward(everywhere=-0.5)
    assert network.eligibility("synapse")[0, 0] == before / 2


def test_negative_rewards_weaken_by_their_gain(backend, precision, tolerance):
    network = pair(RewardPlastic(lr=0.1, negative_gain=1.5), backend, precision, weight=4.0)
    play(network, 6, pre=[0], post=[5])
    eligibility = network.eligibility("synapse")[0, 0]
    network.reward(everywhere=-0.5)
    expected = 4.0 - 1.5 * 0.1 * eligibility * 0.5 * 4.0 / 10.0
    assert weight(network) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("reward", "strong"), [(1.0, True), (-1.0, False)])
def test_inhibitory_reward_plastic(backend, precision, tolerance, reward, strong):
    synapse = RewardPlastic(lr=0.1, w_min=-8.0, w_max=0.0)
    network = pair(synapse, backend, precision, weight=-2.0)
    play(network, 6, pre=[0], post=[5])
    eligibility = network.eligibility("synapse")[0, 0]
    network.reward(everywhere=reward)
    change = -0.1 * eligibility * 6.0 / 8.0 if strong else 0.1 * eligibility * 2.0 / 8.0
    assert weight(network) == pytest.approx(-2.0 + change, abs=tolerance)


def test_long_silence_leaves_no_trace_behind(backend, precision, tolerance):
    """The scaled frames are renewed many times, and still decay as they should."""
    network = pair(RewardPlastic(tau_trace=2.0, tau_eligible=7.0), backend, precision)
    play(network, 700, pre=[0, 650], post=[1, 651])
    expected = math.exp(-1 / 2) * math.exp(-(700 - 651) / 7)
    assert network.eligibility("synapse")[0, 0] == pytest.approx(expected, rel=1e-5)
    play(network, 3000)
    assert network.eligibility("synapse")[0, 0] == 0.0


@pytest.mark.parametrize("delay", [1, 2, 7])
def test_a_spike_arrives_after_its_delay(backend, precision, tolerance, delay):
    network = pair(Fixed(), backend, precision, weight=12.0, delay=delay)
    rest = pair(Fixed(), backend, precision, weight=12.0, delay=delay)
    for tick in range(delay + 1):
        spike = np.array([tick == 0], dtype=np.uint8)
        network.tick({"pre": spike})
        rest.tick()
        same = network.state()["neurons/v"][0] == rest.state()["neurons/v"][0]
        assert same == (tick < delay)


def test_weights_stay_in_bounds(backend, precision, tolerance):
    network = pair(RewardPlastic(lr=50.0, w_max=6.0), backend, precision)
    play(network, 6, pre=[0, 1, 2], post=[5])
    network.reward(everywhere=1.0)
    assert weight(network) == 6.0
    play(network, 6, pre=[0, 1, 2], post=[5])
    network.reward(everywhere=-1.0)
    assert weight(network) == 0.0
