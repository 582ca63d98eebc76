"""The contract: the protocol's forms are read, its digest is reproduced."""

from __future__ import annotations

import json

import pytest

from ab_ros.contract import Contract
from ab_ros.errors import ContractError


def test_an_empty_contract_has_the_known_digest() -> None:
    digest = Contract.from_dict({}).sha256
    assert digest == "cde9c8f6f3f6048a065c5639d2efedab55fc45c1957f7888930c796d8be95dfe"


def test_constants_may_be_texts_and_parts_null() -> None:
    contract = Contract.from_dict(
        {
            "constants": {"gamma": "40", "FEEDBACK_WINDOW_T": 100},
            "io": {
                "inputs": None,
                "outputs": [{"id": "V1", "kind": "Motor"}, {"id": "P1", "n": "6"}],
                "feedback": [{"id": "fbV1", "n": 50, "fromOutput": "V1"}],
                "stdp3": {"layers": ["W"]},
            },
        }
    )
    assert contract.gamma == 40 and contract.feedback_timesteps == 100
    assert contract.output("V1").n == 32 and contract.output("P1").n == 6
    assert contract.feedback_port("fbV1").n == 50


def test_the_canonical_form_survives_a_round_trip() -> None:
    io = {"outputs": [{"id": "ü", "n": 4, "x": {"b": 1, "a": 2}}], "inputs": [{"id": "cam"}]}
    contract = Contract.from_dict({"constants": {"gamma": 10}, "io": io})
    again = Contract.from_json(contract.canonical())
    assert again.sha256 == contract.sha256
    assert "ü" in contract.canonical() and json.loads(contract.canonical())


def test_list_order_matters_to_the_digest() -> None:
    one = Contract.from_dict({"io": {"outputs": [{"id": "a"}, {"id": "b"}]}})
    two = Contract.from_dict({"io": {"outputs": [{"id": "b"}, {"id": "a"}]}})
    assert one.sha256 != two.sha256


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "must be a JSON object"),
        ({"constants": {"gamma": 0}}, "constants.gamma must be an integer of at least 1"),
        ({"constants": {"gamma": "x"}}, "constants.gamma must be an integer, not 'x'"),
        ({"io": {"outputs": [{"n": 3}]}}, "outputs[0] must be an object with an id"),
        ({"io": {"outputs": [{"id": "a"}, {"id": "a"}]}}, "names 'a' twice"),
        ({"io": {"outputs": "a"}}, "io.outputs must be a list"),
        ({"io": {"stdp3": {"layers": "W"}}}, "must be a list of texts"),
    ],
)
def test_a_broken_contract_is_refused(data: object, says: str) -> None:
    with pytest.raises(ContractError) as error:
        Contract.from_dict(data)
    assert says in str(error.value)


def test_an_unknown_population_names_the_known_ones() -> None:
    contract = Contract.from_dict({"io": {"outputs": [{"id": "pan"}, {"id": "tilt"}]}})
    with pytest.raises(ContractError, match="no output population 'pam'; one of: pan, tilt"):
        contract.output("pam")
