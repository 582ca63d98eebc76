"""Every encoder of numbers reads joint states, too: which joints, and what of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ab_ros.codec.numbers import ScalarRateEncoder
from ab_ros.codec.readings import NUMBERS
from ab_ros.codec.registry import ENCODERS, make_encoder
from ab_ros.errors import ConfigError, ObservationError
from ab_ros.values import Observation

OF_NUMBERS = [name for name, encoder in ENCODERS.items() if encoder.kinds == NUMBERS]


def states(**joints: tuple[float, float, float]) -> Observation:
    table = np.array(list(joints.values())).T
    return Observation("arm", "Proprioception", 0.0, "joint_state", table, {"names": [*joints]})


def numbers(*values: float) -> Observation:
    return Observation("arm", "Vector", 0.0, "float64", np.array(values))


ARM = states(elbow=(0.9, 0.1, 0.5), pan=(0.2, 0.7, 0.1), tilt=(0.6, 0.3, 0.8))


def test_there_are_encoders_of_numbers() -> None:
    wanted = {"rate", "population", "latency", "change", "scalar", "cyclic", "nef"}
    assert set(OF_NUMBERS) == wanted


@pytest.mark.parametrize("name", OF_NUMBERS)
@pytest.mark.parametrize(
    ("quantity", "values"),
    [("position", (0.6, 0.2)), ("velocity", (0.3, 0.7)), ("effort", (0.8, 0.1))],
)
def test_joints_are_encoded_as_the_numbers_that_they_have(
    name: str, quantity: str, values: tuple[float, float]
) -> None:
    options = {"joints": ["tilt", "pan"], "quantity": quantity}
    of_joints = make_encoder(name, options, 3, kind="Proprioception")
    of_numbers = make_encoder(name, {"values": 2}, 3, kind="Vector")
    assert of_joints.size == of_numbers.size
    for sample, same in ((ARM, numbers(*values)), (states(pan=(1, 1, 1), tilt=(0, 0, 0)), None)):
        spikes = of_joints.encode(sample, 60, 0.001)
        if same is None:
            same = numbers(0.0, 1.0)
        np.testing.assert_array_equal(spikes, of_numbers.encode(same, 60, 0.001))


def test_a_quantity_that_is_not_known_is_refused_by_joint() -> None:
    encoder = make_encoder("rate", {"joints": ["pan", "tilt"], "quantity": "velocity"})
    with pytest.raises(ObservationError, match=r"'arm': joint velocities must be finite \(tilt is"):
        encoder.encode(states(pan=(0, 1, 0), tilt=(0, np.nan, 0)), 10, 0.001)
    with pytest.raises(ObservationError, match="lack tilt; they have one of: pan"):
        encoder.encode(states(pan=(0, 1, 0)), 10, 0.001)
    with pytest.raises(ObservationError, match="lack pan, tilt"):
        encoder.encode(numbers(1.0, 2.0), 10, 0.001)


@pytest.mark.parametrize("data", [b"0123", np.zeros((2, 1)), np.zeros(3), np.array([["a"]] * 3)])
def test_what_is_no_table_of_joints_is_refused(data: Any) -> None:
    encoder = make_encoder("rate", {"joints": ["pan"]})
    sample = Observation("arm", "Proprioception", 0.0, "joint_state", data, {"names": ["pan"]})
    with pytest.raises(ObservationError, match=r"must be numbers of the form \[3, joints\]"):
        encoder.encode(sample, 10, 0.001)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({}, "Proprioception", "options.joints: must name the joints"),
        ({"joints": ["pan"]}, "Vector", "options.joints: samples of the kind 'Vector' have no"),
        ({"joints": ["pan", "pan"]}, "Proprioception", "must name each joint once"),
        ({"joints": ["a", "b"], "values": 3}, "Proprioception", "values: must be left out"),
        ({"joints": ["pan"], "quantity": "speed"}, "", "one of: position, velocity, effort"),
    ],
)
def test_joints_that_do_not_fit_are_refused(options: dict[str, Any], kind: str, says: str) -> None:
    for name in OF_NUMBERS:
        with pytest.raises(ConfigError) as error:
            make_encoder(name, options, kind=kind)
        assert says in str(error.value)


def test_a_joint_encoder_says_which_joints_it_reads() -> None:
    encoder = make_encoder("rate", {"joints": ["tilt", "pan"]}, kind="Proprioception")
    assert isinstance(encoder, ScalarRateEncoder)
    assert encoder.settings.joints == ("tilt", "pan")
