"""What the engine refuses, and in which words."""

import sys

import numpy as np
import pytest

from ab_ros.engine import Edges, Network, Plastic, RewardPlastic
from ab_ros.errors import EngineError


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            RewardPlastic,
            {"tau_trace": -1.0},
            r"RewardPlastic\.tau_trace: must be greater than 0 \(got -1\.0\)",
        ),
        (RewardPlastic, {"negative_gain": -0.5}, r"RewardPlastic\.negative_gain: must be at least"),
        (RewardPlastic, {"lr": float("inf")}, r"RewardPlastic\.lr: must be finite \(got inf\)"),
        (Plastic, {"tau_minus": 0}, r"Plastic\.tau_minus: must be greater than 0"),
        (Plastic, {"w_min": 3.0, "w_max": 3.0}, r"Plastic\.w_max: must be greater than w_min = 3"),
        (Plastic, {"lr": "fast"}, r"Plastic\.lr: must be a number \(got 'fast'\)"),
    ],
)
def test_synapse_parameters(kind, values, message):
    with pytest.raises(EngineError, match=message):
        kind(**values)


def described():
    network = Network(backend="numpy")
    network.add_source("eye", 3)
    network.add_neurons("motor", 4, "FS")
    return network


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": 0}, r"projection 'p': delay: must be at least 1 \(got 0\)"),
        ({"delay": 1.5}, r"projection 'p': delay: must be a whole number"),
        ({"synapse": "magic"}, r"unknown synapse type 'magic'; one of: fixed, plastic, reward_"),
        ({"layer": "arm"}, r"layer 'arm' is for reward_plastic synapses, not for fixed"),
        ({"synapse": Plastic(), "weight": 11.0}, r"in \[0, 10\], the bounds of its Plastic"),
        ({"weight": np.inf}, r"weights must be finite \(got inf"),
        ({"weight": np.zeros((4, 3))}, r"\[pre, post\] = \(3, 4\) \(got \(4, 3\)\)"),
        ({"weight": np.full((3, 4), np.nan)}, r"there is no synapse in it"),
        ({"weight": "heavy"}, r"weights must be numbers"),
        ({"weight": Edges([0, 3], [0, 0], 1.0)}, r"pre: must be in \[0, 3\) \(got 3 at 1\)"),
        ({"weight": Edges([0, 0], [1, 1], 1.0)}, r"synapse 0 -> 1 stands twice"),
        ({"weight": Edges([0, 0], [1], 1.0)}, r"must have the same length"),
        ({"source_slice": slice(2, 5)}, r"source: must be start:stop .* <= 3"),
        ({"target_slice": slice(0, 4, 2)}, r"target: must be start:stop"),
    ],
)
def test_connections(options, message):
    with pytest.raises(EngineError, match=message):
        described().connect("p", "eye", "motor", **{"weight": 1.0, **options})


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("ear", "motor", r"unknown source 'ear'; one of: eye, motor"),
        ("motor", "eye", r"unknown target 'eye'; one of: motor"),
    ],
)
def test_ends_of_connections(source, target, message):
    with pytest.raises(EngineError, match=message):
        described().connect("p", source, target, weight=1.0)


@pytest.mark.parametrize(
    ("spikes", "currents", "message"),
    [
        ({"eye": np.zeros((5, 3))}, None, r"spikes of 'eye': must be uint8 or bool \(got float64"),
        ({"eye": np.zeros((5, 4), np.uint8)}, None, r"'eye': .*\(5, 3\) \(got \(5, 4\)\)"),
        ({"eye": np.full((5, 3), 2, np.uint8)}, None, r"'eye': must be 0 or 1 \(got 2\)"),
        ({"ear": np.zeros((5, 3), np.uint8)}, None, r"'ear': there is no such group; one of: eye"),
        (None, {"motor": [0, 1, np.nan, 0]}, r"'motor': must be finite \(got nan at \[2\]\)"),
        (None, {"motor": np.full((5, 4), -np.inf)}, r"'motor': must be finite \(got -inf at"),
        (None, {"motor": np.zeros(3)}, r"current of 'motor': must have the shape"),
        (None, {"motor": "much"}, r"current of 'motor': must be numbers"),
        (None, {"eye": np.zeros(3)}, r"currents of 'eye': there is no such group; one of: motor"),
    ],
)
def test_inputs_of_a_run(spikes, currents, message):
    network = described().build()
    with pytest.raises(EngineError, match=message):
        network.run(5, spikes, currents)
    assert network.ticks == 0


def test_order_of_calls():
    network = described()
    with pytest.raises(EngineError, match=r"run: the network is not built; call build\(\) first"):
        network.run(1)
    network.build()
    with pytest.raises(EngineError, match=r"add_source: the network is built already"):
        network.add_source("more", 1)
    with pytest.raises(EngineError, match=r"ticks: must be at least 1 \(got 0\)"):
        network.run(0)
    with pytest.raises(EngineError, match=r"no neuron group"):
        Network().build()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"Network\.seed: must be at least 0"),
        ({"precision": "float16"}, r"unknown 'float16'; one of: float32, float64"),
        ({"backend": "cuda"}, r"unknown 'cuda'; one of: auto, numpy, numba"),
        ({"history": 0}, r"Network\.history: must be at least 1"),
    ],
)
def test_networks(options, message):
    with pytest.raises(EngineError, match=message):
        Network(**options)


def test_groups():
    network = described()
    with pytest.raises(EngineError, match=r"group 'eye': a group of this name exists already"):
        network.add_neurons("eye", 1)
    with pytest.raises(EngineError, match=r"group 'a': common_groups must divide its size 5"):
        network.add_neurons("a", 5, common_groups=2)
    with pytest.raises(EngineError, match=r"group 'a': noise: must be at least 0"):
        network.add_neurons("a", 5, noise=-1.0)
    with pytest.raises(EngineError, match=r"group 'a': size: must be at least 1"):
        network.add_source("a", 0)


def test_rewards():
    network = described()
    network.connect("p", "eye", "motor", RewardPlastic(), weight=1.0, layer="arm")
    network.build()
    with pytest.raises(EngineError, match=r"unknown layer 'leg'; one of: arm"):
        network.reward({"leg": 1.0})
    with pytest.raises(EngineError, match=r"layer 'arm': must be at most 1 \(got 1\.5\)"):
        network.reward({"arm": 1.5})
    with pytest.raises(EngineError, match=r"everywhere: must be finite \(got nan\)"):
        network.reward(everywhere=float("nan"))


def test_numba_that_is_missing_is_an_error_only_when_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("compiled", "kernels", "synapse_kernels", "compilation", "prefetch"):
        monkeypatch.delitem(sys.modules, f"ab_ros.engine.{module}", raising=False)
    assert Network().backend == "numpy"
    with pytest.raises(EngineError, match=r"numba cannot be used .*pip install 'ab_ros\[fast\]'"):
        Network(backend="numba")
    # Installed, but its import fails, as with a NumPy that it does not know.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.warns(RuntimeWarning, match="numba is passed over"):
        assert Network().backend == "numpy"
