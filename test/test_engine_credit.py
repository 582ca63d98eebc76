"""Rewards reach the eligibility of the cycle that they name."""

from importlib.util import find_spec

import numpy as np
import pytest

from ab_ros.engine import Network, RewardPlastic
from ab_ros.errors import EngineError

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]
pytestmark = pytest.mark.parametrize("backend", BACKENDS)

RNG = np.random.default_rng(2)
SPIKES = (RNG.random((400, 12)) < 0.1).astype(np.uint8)
CYCLE = 25


def network_of(backend, precision="float64", history=16, **parameters):
    network = Network(4, precision, backend, history)
    network.add_source("eye", 12)
    network.add_neurons("motor", 6, "FS", noise=5.0, bias=4.0)
    for index, layer in enumerate(("left", "right")):
        network.connect(
            layer,
            "eye",
            "motor",
            RewardPlastic(lr=0.2, tau_trace=8.0, **{"tau_eligible": 60.0, **parameters}),
            weight=2.0,
            layer=layer,
            target_slice=slice(3 * index, 3 * index + 3),
        )
    return network.build()


def cycle(network, number):
    network.run(CYCLE, {"eye": SPIKES[CYCLE * number : CYCLE * (number + 1)]})
    network.mark(number)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_reward_at_once_is_the_plain_reward_exactly(backend, precision):
    marked, plain = network_of(backend, precision), network_of(backend, precision)
    for number in range(12):
        cycle(marked, number)
        cycle(plain, number)
        assert marked.reward({"left": 0.8}, -0.4, cycle=number)
        assert plain.reward({"left": 0.8}, -0.4)
    for name in ("left", "right"):
        assert np.array_equal(marked.weights(name), plain.weights(name))
        assert np.array_equal(marked.eligibility(name), plain.eligibility(name))


def test_a_late_reward_credits_the_eligibility_of_its_cycle(backend):
    network = network_of(backend)
    network.learning = False
    cycle(network, 0)
    then = network.eligibility("left")
    for number in (1, 2, 3):
        cycle(network, number)
    now = network.eligibility("left")
    network.learning = True
    before = network.weights("left")
    assert network.reward({"left": 0.5}, cycle=0)
    expected = before + 0.2 * then * 0.5 * (10.0 - before) / 10.0
    np.testing.assert_allclose(network.weights("left"), expected, rtol=0, atol=1e-12)
    # What is left of the rewarded half has gone from the present eligibility.
    left = now - 0.5 * then * np.exp(-3 * CYCLE / 60.0)
    np.testing.assert_allclose(network.eligibility("left"), left, rtol=0, atol=1e-12)


def test_later_marks_lose_what_an_earlier_reward_has_spent(backend):
    network = network_of(backend, tau_eligible=3.0)
    network.learning = False
    cycle(network, 0)
    first = network.eligibility("left")
    cycle(network, 1)
    second = network.eligibility("left")
    for number in range(2, 6):  # long enough for the frame to be set up anew
        cycle(network, number)
    network.learning = True
    network.reward({"left": 0.0}, cycle=0)
    before = network.weights("left")
    network.reward({"left": 1.0}, cycle=1)
    remaining = second - 0.5 * first * np.exp(-CYCLE / 3.0)
    expected = before + 0.2 * remaining * (10.0 - before) / 10.0
    np.testing.assert_allclose(network.weights("left"), expected, rtol=0, atol=1e-12)


def test_layers_are_independent_and_everywhere_means_the_others(backend):
    network = network_of(backend)
    cycle(network, 0)
    before = {name: network.weights(name) for name in ("left", "right")}
    eligible = {name: network.eligibility(name) for name in ("left", "right")}
    network.reward({"left": 1.0})
    assert (network.weights("left") >= before["left"]).all()
    assert (network.weights("left") > before["left"]).any()
    assert np.array_equal(network.weights("right"), before["right"])
    assert np.array_equal(network.eligibility("right"), eligible["right"])
    left = network.weights("left")
    network.reward({"left": 0.0}, -1.0)
    assert np.array_equal(network.weights("left"), left)
    assert (network.weights("right") < before["right"]).any()
    assert np.array_equal(network.eligibility("right"), eligible["right"] / 2)


def test_a_cycle_that_is_forgotten_teaches_nothing_and_is_counted(backend):
    network = network_of(backend, history=3)
    for number in range(5):
        cycle(network, number)
    before = network.state()
    assert not network.reward(everywhere=1.0, cycle=1)
    assert not network.reward(everywhere=1.0, cycle=77)
    assert network.rewards_missed == 2
    after = network.state()
    after["credit/missed"][0] = 0
    assert all(np.array_equal(after[key], before[key]) for key in before)
    assert network.reward(everywhere=1.0, cycle=2)
    network.reset()
    assert network.rewards_missed == 0
    assert not network.reward(everywhere=1.0, cycle=4)


def test_marking_a_cycle_again_replaces_its_mark(backend):
    network = network_of(backend, history=2)
    cycle(network, 0)
    cycle(network, 1)
    network.mark(1)
    assert network.reward(everywhere=0.5, cycle=0)


def test_eligibility_never_becomes_negative_in_any_order_of_rewards(backend):
    network = network_of(backend, precision="float32")
    for number in range(8):
        cycle(network, number)
    for number in (6, 2, 2, 6, 0, 7, 1, 0):
        assert network.reward(everywhere=0.9, cycle=number)
        assert (network.eligibility("left") >= 0.0).all()
        assert np.isfinite(network.weights("left")).all()


def test_without_learning_a_reward_still_spends_eligibility(backend):
    network = network_of(backend)
    cycle(network, 0)
    network.learning = False
    weights, eligibility = network.weights("left"), network.eligibility("left")
    network.reward(everywhere=1.0)
    assert np.array_equal(network.weights("left"), weights)
    assert np.array_equal(network.eligibility("left"), eligibility / 2)


def signalled(backend, precision="float64"):
    """Eligibility, and then silence in which nothing but a signal changes weights."""
    network = network_of(backend, precision)
    cycle(network, 0)
    return network


def test_a_signal_changes_weights_by_the_eligibility_of_every_tick(backend):
    network = signalled(backend)
    weights, eligibility = network.weights("left"), network.eligibility("left")
    network.learning = False
    still = network_of(backend)
    still.restore(network.state())
    network.learning = True
    network.set_reward_signal({"left": 0.02})
    for _ in range(10):
        network.tick()
        still.tick()
        weights += 0.2 * 0.02 * still.eligibility("left") * (10.0 - weights) / 10.0
    np.testing.assert_allclose(network.weights("left"), weights, rtol=0, atol=1e-12)
    assert np.array_equal(network.weights("right"), still.weights("right"))
    # It spends no eligibility.
    assert (eligibility > 0).any()
    assert np.array_equal(network.eligibility("left"), still.eligibility("left"))


def test_a_negative_signal_weakens_by_its_gain(backend):
    network = network_of(backend, negative_gain=1.5)
    cycle(network, 0)
    before = network.weights("right")
    network.set_reward_signal(everywhere=-0.1)
    network.tick()
    change = 1.5 * 0.2 * 0.1 * network.eligibility("right") * before / 10.0
    # The eligibility that counts is that of the end of the tick.
    np.testing.assert_allclose(network.weights("right"), before - change, rtol=0, atol=1e-12)


def test_a_signal_lasts_until_it_is_set_anew(backend):
    network = signalled(backend)
    network.set_reward_signal({"left": 0.5}, -0.25)
    assert network.reward_signal == {"left": 0.5, "right": -0.25}
    network.set_reward_signal({"right": 0.0})
    assert network.reward_signal == {"left": 0.5, "right": 0.0}
    network.set_reward_signal(everywhere=0.0)
    before = network.weights("left")
    network.run(10)
    assert np.array_equal(network.weights("left"), before)
    network.set_reward_signal(everywhere=1.0)
    network.learning = False
    network.run(10)
    assert np.array_equal(network.weights("left"), before)
    network.reset()
    assert network.reward_signal == {"left": 0.0, "right": 0.0}


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_signal_is_bit_identical_however_it_is_run(backend, precision):
    def learned(backend, step, interrupted=False):
        network = signalled(backend, precision)
        network.set_reward_signal({"left": 0.02}, -0.01)
        for start in range(CYCLE, 10 * CYCLE, step):
            network.run(step, {"eye": SPIKES[start : start + step]})
            if interrupted:
                state = network.state()
                network = network_of(backend, precision)
                network.restore(state)
        return network.state()

    whole = learned("numpy", 9 * CYCLE)
    for other in (learned(backend, 9 * CYCLE), learned(backend, CYCLE, True)):
        assert other.keys() == whole.keys()
        assert all(np.array_equal(whole[key], other[key]) for key in whole)


def test_signals_that_are_refused(backend):
    network = signalled(backend)
    for by_layer, everywhere, message in [
        ({"up": 0.1}, None, r"signal: unknown layer 'up'; one of: left, right"),
        ({"left": 1.5}, None, r"signal of layer 'left': must be at most 1 \(got 1\.5\)"),
        ({}, float("inf"), r"signal everywhere: must be finite"),
    ]:
        with pytest.raises(EngineError, match=message):
            network.set_reward_signal(by_layer, everywhere)
    assert network.reward_signal == {"left": 0.0, "right": 0.0}
    state = network.state()
    state["credit/signal"][0] = -2.0
    with pytest.raises(EngineError, match=r"entry 'credit/signal' must be in \[-1, 1\]"):
        network.restore(state)


def test_a_state_from_before_there_was_a_signal_has_none(backend):
    network = signalled(backend)
    state = network.state()
    del state["credit/signal"]
    network.set_reward_signal(everywhere=0.5)
    network.restore(state)
    assert network.reward_signal == {"left": 0.0, "right": 0.0}
