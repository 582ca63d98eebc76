"""The contract: the protocol's forms are read, its digest is reproduced."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.contract import Contract
from ab_ros.contract_changes import contract_changes
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
        ({"constants": {"gamma": float("inf")}}, "constants.gamma must be an integer, not inf"),
        ({"io": {"outputs": [{"id": "a", "n": 10**9}]}}, "outputs[0].n must be an integer of"),
        ({"io": {"outputs": [{"id": "\ud800"}]}}, "has no digest: 'utf-8' codec can't encode"),
        ({"io": {"outputs": [{"id": "a", "x": float("nan")}]}}, "has no digest: Out of range"),
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


BEFORE = Contract.from_dict(
    {
        "constants": {"gamma": 64},
        "io": {
            "inputs": [{"id": "camera", "kind": "Image"}, {"id": "ears", "kind": "Audio"}],
            "outputs": [{"id": "pan", "n": 32}, {"id": "tilt", "n": 32}],
            "feedback": [{"id": "fb", "n": 10, "fromOutput": "pan"}],
            "stdp3": {"layers": ["pan", "tilt"]},
        },
    }
)


def test_what_changed_in_a_contract_is_said() -> None:
    after = Contract.from_dict(
        {
            "constants": {"gamma": 20},
            "io": {
                "inputs": [{"id": "camera", "kind": "Image"}],
                "outputs": [{"id": "tilt", "n": 64}, {"id": "pan", "n": 32}],
                "feedback": [{"id": "fb", "n": 10, "fromOutput": "tilt"}, {"id": "new", "n": 5}],
                "stdp3": {"layers": ["tilt", "grip"]},
            },
        }
    )
    assert contract_changes(BEFORE, after) == (
        "constant gamma: was 64, is 20",
        "input 'ears' was removed",
        "output 'tilt': n was 32, is 64",
        "the order of the outputs changed",
        "feedback 'fb': fromOutput was 'pan', is 'tilt'",
        "feedback 'new' was added (n 5)",
        "STDP3 layer 'pan' was removed",
        "STDP3 layer 'grip' was added",
    )


PORTS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from("abc")},
        optional={"n": st.sampled_from([1, 2, "2"]), "x": st.sampled_from([0, 0.0, False, None])},
    ),
    max_size=3,
    unique_by=lambda item: item["id"],
)
CONTRACTS = st.builds(
    lambda gamma, outputs, feedback, layers: Contract.from_dict(
        {
            "constants": {"gamma": gamma},
            "io": {"outputs": outputs, "feedback": feedback, "stdp3": {"layers": layers}},
        }
    ),
    st.sampled_from([1, 2]),
    PORTS,
    PORTS,
    st.lists(st.sampled_from("xyz"), unique=True),
)


@given(CONTRACTS, CONTRACTS)
def test_changes_are_named_exactly_if_the_digest_changed(old: Contract, new: Contract) -> None:
    assert bool(contract_changes(old, new)) == (old.sha256 != new.sha256)
