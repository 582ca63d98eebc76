"""Neurons fire as the Izhikevich model says, on every backend."""

from importlib.util import find_spec

import numpy as np
import pytest

from ab_ros.engine import PRESETS, Network, NeuronParameters
from ab_ros.errors import EngineError

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]

# Spikes in 1000 ticks at I = 10, and the first ticks in which they fall.
REFERENCE = {
    "RS": (21, [3, 30, 78, 128]),
    "FS": (69, [3, 10, 21, 33]),
    "IB": (29, [3, 7, 41, 76]),
    "CH": (57, [3, 6, 9, 12, 16, 64]),
    "LTS": (53, [3, 8, 15, 29, 50]),
}


def network_of(kind, backend="numpy", **options):
    network = Network(backend=backend)
    network.add_neurons("cell", 1, kind, **options)
    return network.build()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", REFERENCE)
def test_presets_fire_at_the_reference_ticks(kind, backend):
    fired = network_of(kind, backend).run(1000, currents={"cell": [10.0]})["cell"][:, 0]
    count, first = REFERENCE[kind]
    assert fired.sum() == count
    assert np.flatnonzero(fired)[: len(first)].tolist() == first


@pytest.mark.parametrize("backend", BACKENDS)
def test_regular_spiking_reference_state(backend):
    network = network_of("RS", backend, bias=10.0)
    seen = []
    for _ in range(2):
        network.tick()
        state = network.state()
        seen.append((state["neurons/v"][0], state["neurons/u"][0]))
    assert seen[0] == pytest.approx((-58.105, -12.97242), rel=1e-15)
    assert seen[1] == (-49.67024344113139, -12.911652573764526)


def test_without_input_a_neuron_comes_to_rest():
    network = network_of("RS")
    assert not network.run(2000)["cell"].any()
    state = network.state()
    assert state["neurons/v"][0] == pytest.approx(-70.0, abs=1e-6)
    assert state["neurons/u"][0] == pytest.approx(-14.0, abs=1e-6)


def test_parameters_of_ones_own_are_used():
    preset = network_of("CH", bias=10.0).run(200)["cell"]
    own = network_of(NeuronParameters(0.02, 0.2, -50.0, 2.0), bias=10.0).run(200)["cell"]
    assert np.array_equal(preset, own)
    assert PRESETS["CH"] == NeuronParameters(0.02, 0.2, -50.0, 2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((np.nan, 0.2, -65.0, 8.0), r"NeuronParameters\.a: must be finite \(got nan\)"),
        ((2.0, 0.2, -65.0, 8.0), r"NeuronParameters\.a: must be at most 1 \(got 2\.0\)"),
        ((0.02, 0.2, 30.0, 8.0), r"NeuronParameters\.c: must be less than 30 \(got 30\.0\)"),
        ((0.02, "b", -65.0, 8.0), r"NeuronParameters\.b: must be a number"),
    ],
)
def test_bad_parameters_are_refused(values, message):
    with pytest.raises(EngineError, match=message):
        NeuronParameters(*values)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(EngineError, match=r"group 'cell'.*'XY'.*RS, FS, IB, CH, LTS"):
        network_of("XY")
