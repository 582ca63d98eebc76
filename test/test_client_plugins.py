"""The document's decoders and plug-ins: its names work, and what is unsafe is refused."""

from __future__ import annotations

import dataclasses
import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ab_ros.client.plugins.decoder import (
    MappingDecoder,
    MappingEntry,
    decode_stream_rows,
    decoder_of,
    deltas_to_dq_dg,
)
from ab_ros.client.plugins.deviation import DefaultDeviation, DeviationPlugin, deviation_of
from ab_ros.client.plugins.reward import DefaultReward, reward_of
from ab_ros.client.samples import read_sample, read_state
from ab_ros.codec.decoder import MappingEntry as OwnEntry
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError, ObservationError

# --- Mapping -----------------------------------------------------------------------------------


def test_the_documents_keywords_make_the_entry_that_our_own_names_make() -> None:
    entry = MappingEntry(
        node_id="V1",
        channel="joint:0",
        scheme="booleanThreshold",
        per_step_max=0.004,
        gain=0.5,
        deadzone=0.001,
        min_step=0.002,
        clamp=[-0.1, 0.2],
        invert=True,
        threshold=3,
    )
    own = OwnEntry(
        population="V1",
        channel="joint:0",
        scheme="booleanThreshold",
        per_step_max=0.004,
        gain=0.5,
        deadzone=0.001,
        min_step=0.002,
        clamp=(-0.1, 0.2),
        invert=True,
        threshold=3,
    )
    assert dataclasses.asdict(entry) == dataclasses.asdict(own)
    assert entry.node_id == "V1" and isinstance(entry, OwnEntry)
    assert dataclasses.replace(entry, gain=2.0).gain == 2.0


def test_the_protocols_aliases_are_read() -> None:
    entry = MappingEntry.from_dict(
        {
            "nodeId": "V1",
            "controllerChannel": "c",
            "perStepMaxRad": 0.5,
            "minStepRad": 0.1,
            "limits": {"min": -1, "max": 1},
        }
    )
    assert isinstance(entry, MappingEntry)
    assert (entry.node_id, entry.channel, entry.per_step_max) == ("V1", "c", 0.5)
    assert (entry.min_step, entry.clamp) == (0.1, (-1.0, 1.0))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"clamp": (0.1, 0.2)}, "excludes 0"),
        ({"clamp": (1, -1)}, "inverted"),
        ({"clamp": 0.5}, "clamp must be a pair"),
        ({"gain": math.nan}, "gain"),
        ({"per_step_max": math.inf}, "per_step_max"),
        ({"scheme": "bipolar"}, "unknown scheme 'bipolar'; one of: bipolarSplit"),
        ({"invert": "false"}, "true or false"),
        ({"node_id": ""}, "must be a name"),
        ({"channel": " "}, "channel must be a name"),
        ({"population": "V2"}, "give one of them"),
    ],
)
def test_an_unsafe_entry_is_refused_when_it_is_made(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        MappingEntry(**{"node_id": "V1", "channel": "c", **values})


def test_the_empty_entry_of_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="population: is required"):
        MappingEntry.from_dict({"channel": "c"})


MAPPING = [
    MappingEntry(node_id="V1", channel="joint:0", per_step_max=0.004, gain=0.5),
    MappingEntry(node_id="L1", channel="joint:1", per_step_max=0.004, gain=0.5),
    MappingEntry(node_id="P1", channel="gripper", scheme="addition", per_step_max=0.001),
]
ROWS: list[Any] = [[1, "V1", [1, 1, 0, 0]], {"t": 0, "id": "L1", "bits": [0, 1]}, [0, "P1", [1, 1]]]


def test_a_mapping_a_list_and_a_function_decode_alike() -> None:
    expected = {0: {"joint:1": -0.002, "gripper": 0.002}, 1: {"joint:0": 0.004}}
    for given in (MappingDecoder(MAPPING), MAPPING, lambda rows: decode_stream_rows(rows, MAPPING)):
        decoded = decoder_of(given)(ROWS)
        assert decoded == expected and list(decoded) == [0, 1]
    assert deltas_to_dq_dg(expected[0], 2) == ([0.0, -0.002], 0.002)


def test_a_decoder_may_be_a_list_of_the_protocols_dictionaries() -> None:
    decoder = decoder_of([{"nodeId": "V1", "controllerChannel": "c", "scheme": "addition"}])
    assert decoder([[0, "V1", [1, 1]]]) == {0: {"c": 2.0}}


@pytest.mark.parametrize("given", [[], None, 3, "V1"])
def test_what_is_no_decoder_is_refused(given: object) -> None:
    with pytest.raises(ConfigError):
        decoder_of(given)


def test_a_mapping_of_populations_that_the_contract_lacks_is_refused() -> None:
    contract = Contract.from_dict({"io": {"outputs": [{"id": "V1"}, {"id": "L1"}]}})
    with pytest.raises(ContractError, match="'P1'; one of: V1, L1"):
        MappingDecoder(MAPPING).check(contract)
    MappingDecoder(MAPPING).check(Contract.from_dict({}))


# --- Plug-ins ----------------------------------------------------------------------------------


def test_the_default_plug_ins_are_zero_and_constant() -> None:
    assert deviation_of(DefaultDeviation(None))("fb", T=3, ctx={}) == [0.0, 0.0, 0.0]
    assert reward_of(DefaultReward(None))({}, stdp_layers=("a",)) == (0.5, {"a": 0.5})
    assert reward_of(DefaultReward(value=1.0))({}, stdp_layers=()) == (1.0, {})
    with pytest.raises(ConfigError, match=r"DefaultReward\.value: must be within \[0, 1\]"):
        DefaultReward(value=math.nan)


def test_a_plug_in_may_be_a_class_a_module_or_a_function_of_several_forms() -> None:
    class Mine(DeviationPlugin):
        def compute_deviation(self, feedback_id: str, *, T: int, ctx: Any = None) -> list[float]:
            return [1.0] * T

    module = ModuleType("policy")
    module.compute_deviation = lambda feedback_id, *, T, ctx=None: [1.0] * T  # type: ignore[attr-defined]
    for plugin in (Mine(), module, lambda f, T, ctx: [1.0] * T, lambda f, n, c: [1.0] * n):
        assert deviation_of(plugin)("fb", T=2, ctx={}) == [1.0, 1.0]
    assert reward_of(lambda summary: (summary["cycle"], {}))({"cycle": 1}, stdp_layers=()) == (
        1,
        {},
    )


@pytest.mark.parametrize("plugin", [3, "x", lambda: (0.5, {}), lambda a, b, c, d: None])
def test_what_cannot_be_called_as_a_plug_in_is_refused_when_it_is_set(plugin: object) -> None:
    with pytest.raises(ConfigError, match="plug-in"):
        reward_of(plugin)


# --- What the user's functions return ----------------------------------------------------------


def test_a_sample_is_read_from_the_documents_form() -> None:
    payload = read_sample({"format": "jpeg", "meta": {"width": 2}, "data": b"\xff\xd8"})
    assert (payload.format, payload.meta, payload.data) == ("jpeg", {"width": 2}, b"\xff\xd8")
    array = np.array([1, -2], "<i2")
    assert read_sample({"format": "pcm16", "data": array}).data == array.tobytes()


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (b"x", "must be a dictionary"),
        ({"format": "jpeg", "data": "text"}, "data must be bytes"),
        ({"format": "jpeg", "data": b""}, "data must have 1 to"),
        ({"format": "jpeg", "data": bytes((1 << 23) + 1)}, "data must have 1 to"),
        ({"format": 1, "data": b"x"}, "format must be a name"),
        ({"format": "jpeg", "meta": [1], "data": b"x"}, "meta must be a dictionary"),
        ({"format": "jpeg", "meta": {"a": math.nan}, "data": b"x"}, "finite"),
        ({"format": "jpeg", "meta": {"a": np.int64(1)}, "data": b"x"}, "plain"),
    ],
)
def test_what_is_no_sample_is_refused(result: Any, says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        read_sample(result)


def test_a_state_is_read_from_the_documents_form() -> None:
    state = read_state("r", {"q": [0.1], "dq": [0.0], "grip": {"pos": 0.5}, "dt": 0.02})
    assert state.to_wire() == {
        "runId": "r",
        "state": {"q": [0.1], "dq": [0.0], "grip": {"pos": 0.5}, "dt": 0.02},
    }
    assert read_state("r", {"q": np.zeros(2, np.float32)}).q == (0.0, 0.0)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "must be a dictionary with q"),
        ({"dq": [0.0]}, "must be a dictionary with q"),
        ({"q": [math.nan]}, r"q\[0\] must be a finite number"),
        ({"q": ["1"]}, r"q\[0\] must be a finite number"),
        ({"q": 1.0}, "q must be a list"),
        ({"q": [0.0], "dq": [0.0, 0.0]}, "dq must have 1 numbers"),
        ({"q": [0.0], "grip": {"pos": math.inf}}, "grip.pos"),
        ({"q": [0.0], "names": ["a", "b"]}, "names must be a text for each of 1"),
    ],
)
def test_what_is_no_state_is_refused(state: Any, says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        read_state("r", state)
