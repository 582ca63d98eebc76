"""Groups whose neurons differ: parameters, bias and noise one by one."""

import numpy as np
import pytest

from ab_ros.engine import PRESETS, Network, NeuronParameters
from ab_ros.engine.neurons import NeuronArrays
from ab_ros.errors import EngineError

KINDS = ["RS", "FS", "CH", NeuronParameters(0.03, 0.22, -60.0, 3.0)]


def network(**options):
    built = Network(seed=4, backend="numpy")
    built.add_neurons("cells", 4, **options)
    return built.build()


def test_each_neuron_fires_as_it_would_in_a_group_of_its_kind():
    together = network(kind=KINDS, bias=[10.0, 8.0, 12.0, 9.0]).run(300)["cells"]
    for i, (kind, bias) in enumerate(zip(KINDS, [10.0, 8.0, 12.0, 9.0], strict=True)):
        alone = Network(backend="numpy")
        alone.add_neurons("cell", 1, kind, bias=bias)
        assert np.array_equal(alone.build().run(300)["cell"][:, 0], together[:, i])


def test_arrays_of_one_value_give_the_bits_of_the_number():
    one = network(kind="FS", bias=3.0, noise=4.0)
    many = network(kind=["FS"] * 4, bias=np.full(4, 3.0), noise=np.full(4, 4.0))
    assert np.array_equal(one.run(200)["cells"], many.run(200)["cells"])
    assert all(np.array_equal(many.state()[k], v) for k, v in one.state().items())


def test_noise_is_drawn_for_noisy_neurons_only():
    quiet = network(kind=KINDS, noise=[0.0, 6.0, 0.0, 6.0])
    fired = quiet.run(400)["cells"]
    assert fired[:, [1, 3]].any(axis=0).all()
    assert not fired[:, [0, 2]].any()
    pair = Network(seed=4, backend="numpy")
    pair.add_neurons("cells", 2, [KINDS[1], KINDS[3]], noise=6.0)
    assert np.array_equal(pair.build().run(400)["cells"], fired[:, [1, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": ["RS", "XX", "RS", "RS"]}, r"group 'cells': neuron 1: unknown neuron kind 'XX'"),
        ({"kind": ["RS"]}, r"needs 4 neuron kinds, one for each \(got 1\)"),
        ({"bias": [1.0, 2.0]}, r"group 'cells': bias: must have the shape \[4\] \(got \[2\]\)"),
        ({"bias": [1.0, np.nan, 1.0, 1.0]}, r"bias: must be finite \(got nan at neuron 1\)"),
        ({"noise": [1.0, 1.0, -2.0, 1.0]}, r"noise: must be at least 0 \(got -2\.0 at neuron 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(EngineError, match=message):
        network(**options)


def test_parameters_out_of_range_name_the_neuron():
    rs = PRESETS["RS"]
    columns = [np.full(3, getattr(rs, name)) for name in "abcd"]
    columns[0][2] = 1.5
    with pytest.raises(EngineError, match=r"NeuronArrays\.a: must be in \[0, 1\] .* neuron 2\)"):
        NeuronArrays(*columns)
