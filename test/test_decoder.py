"""Decoding spikes into deltas: the table of the 0.1 protocol, both paths, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.codec.decoder import SCHEMES, MappingEntry, SpikeDecoder
from ab_ros.codec.rows import (
    decode_stream_rows,
    deltas_to_dq_dg,
    rasters_from_rows,
    read_row,
)
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError


def entry(**values: Any) -> MappingEntry:
    return MappingEntry.from_dict({"nodeId": "V1", "controllerChannel": "c", **values})


TABLE = [
    ({}, [1, 1, 1, 0, 1, 0], 2.0),
    ({}, [0, 0, 0, 0, 1], None),
    ({}, [0, 0, 1, 0, 0], -1.0),
    ({"scheme": "booleanThreshold"}, [1, 1, 0, 0, 0], 1.0),
    ({"scheme": "booleanThreshold"}, [1, 0, 0, 0, 0], None),
    ({"scheme": "booleanThreshold", "threshold": 99}, [1, 1], 1.0),
    ({"scheme": "booleanThreshold", "threshold": 0}, [0, 0], None),
    ({"scheme": "booleanThreshold", "threshold": 0}, [0, 1], 1.0),
    ({"perStepMax": 0.5, "deadzone": 0.5}, [1, 0], 0.5),
    ({"perStepMaxRad": 0.1, "deadzone": 0.2, "minStepRad": 0.3}, [1, 0], None),
    ({"per_step_max": 0.1, "minStep": 0.3, "clamp": [-0.2, 0.2]}, [1, 0], 0.2),
    ({"limits": [-1, 1]}, [1, 1, 1, 0, 0, 0], 1.0),
    ({"limits": {"min": -1, "max": 1}}, [1, 1, 1, 0, 0, 0], 1.0),
    ({"scheme": "addition"}, [1, 1, 1, 0, 1], 4.0),
    ({"scheme": "bipolarScalar"}, [1, 1, 1, 0, 1, 0], 1.0),
    ({"scheme": "bipolarScalar"}, [0, 0, 1, 0], -1.0),
    ({"scheme": "bipolarScalar"}, [1, 0, 1, 0], None),
    ({"invert": True}, [1, 0], -1.0),
    ({"scheme": "addition", "invert": True, "min_step": 3.0}, [1, 0], -3.0),
]


@pytest.mark.parametrize(("values", "bits", "delta"), TABLE)
def test_table_of_the_protocol(
    values: dict[str, Any], bits: list[int], delta: float | None
) -> None:
    mapping = [entry(**values)]
    expected = {} if delta is None else {"c": delta}
    assert decode_stream_rows([[0, "V1", bits]], mapping) == {0: expected}
    assert decode_stream_rows([{"t": 0, "id": "V1", "bits": bits}], mapping) == {0: expected}
    decoder = SpikeDecoder(mapping, {"V1": len(bits)})
    deltas = decoder.decode({"V1": np.array([bits], dtype=np.uint8)})
    assert deltas.names == ("c",)
    assert deltas.values[0, 0] == pytest.approx(delta or 0.0, abs=1e-15)


def test_two_rows_of_one_timestep_and_channel_add_up() -> None:
    rows = [[0, "V1", [1, 0]], {"t": 0, "id": "V1", "bits": [0, 1]}]
    assert decode_stream_rows(rows, [entry()]) == {0: {"c": 0.0}}


def test_every_valid_timestep_has_an_entry_in_ascending_order() -> None:
    rows = [["5", "V1", [1, 0]], [2.9, "V1", [0, 0]], [-1, "V1", [0, 1]], ["x", "V1", [1, 0]]]
    decoded = decode_stream_rows(rows, [entry()])
    assert list(decoded.items()) == [(-1, {"c": -1.0}), (2, {}), (5, {"c": 1.0})]


def test_unreadable_rows_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Any] = [[math.nan, "V1", [1]], [0, 3, [1]], [0, "V1"], 7, [0, "V1", "10"], None]
    assert decode_stream_rows([*rows, [0, "V1", [math.nan]]], [entry()]) == {}
    assert "7 rows" in caplog.text


def test_joint_and_gripper_deltas() -> None:
    deltas = {"joint:0": 0.1, "joint:7": 1.0, "joint:1": 0.2, "gripper": 0.5, "dg": 0.25}
    assert deltas_to_dq_dg(deltas, 2) == ([0.1, 0.2], 0.75)
    assert deltas_to_dq_dg({"joint:x": 1.0, "wheel": 1.0}, 1) == ([0.0], 0.0)


def test_rasters_from_rows_ors_duplicates_and_counts_what_it_drops() -> None:
    contract = Contract.from_dict(
        {"constants": {"gamma": 4}, "io": {"outputs": [{"id": "V1", "n": 2}, {"id": "W", "n": 3}]}}
    )
    rows = [[0, "V1", [1, 0]], [0, "V1", [0, 1]], [4, "V1", [1, 1]], [-1, "V1", [1, 1]], ["?"]]
    rasters, dropped = rasters_from_rows(rows, contract)
    assert dropped == 3
    assert rasters["V1"].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert rasters["W"].shape == (4, 3)
    assert not rasters["W"].any()
    with pytest.raises(ContractError, match="2 bits, not 3"):
        rasters_from_rows([[0, "V1", [1, 0, 0]]], contract)
    with pytest.raises(ContractError, match="'X'; one of: V1, W"):
        rasters_from_rows([[0, "X", [1, 0]]], contract)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"clamp": [0.1, 0.2]}, "excludes 0"),
        ({"clamp": [1, -1]}, "inverted"),
        ({"clamp": {"min": 0}}, "'min' and 'max'"),
        ({"clamp": [-math.inf, 1]}, "finite"),
        ({"gain": math.nan}, "gain"),
        ({"per_step_max": math.inf}, "per_step_max"),
        ({"per_step_max": 1e300, "gain": 1e300}, "per_step_max × gain"),
        ({"scheme": "bipolar"}, "one of: bipolarSplit, addition"),
        ({"invert": "false"}, "true or false"),
        ({"threshold": True}, "integer"),
        ({"deadzone": -1.0}, "deadzone"),
        ({"nodeId": ""}, "population must be a name"),
        ({"controllerChannel": "  "}, "channel must be a name"),
        ({"population": "V1"}, "second time"),
        ({"gian": 2.0}, "did you mean 'gain'"),
    ],
)
def test_unsafe_mappings_are_refused_when_loaded(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        entry(**values)


def test_unsafe_entries_made_in_python_are_refused_too() -> None:
    with pytest.raises(ConfigError, match="excludes 0"):
        MappingEntry("V1", "c", clamp=(0.1, 0.2))
    with pytest.raises(ConfigError, match="true or false"):
        MappingEntry("V1", "c", invert="no")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown scheme 'x'"):
        MappingEntry("V1", "c", scheme="x")


def test_a_population_that_the_contract_lacks_is_refused_with_the_alternatives() -> None:
    with pytest.raises(ContractError, match="'V1'; one of: A, B"):
        SpikeDecoder([entry()], {"A": 4, "B": 4})


@pytest.mark.parametrize(
    ("rasters", "says"),
    [
        ({}, "no spikes of population 'V1'"),
        ({"V1": np.zeros((3, 5), np.uint8)}, r"\[T, 4\], not \[3, 5\]"),
        ({"V1": np.zeros(4, np.uint8)}, "must have the form"),
        ({"V1": np.zeros((3, 4))}, "must be uint8, not float64"),
        ({"V1": np.full((3, 4), 2, np.uint8)}, "0 and 1 only"),
        ({"V1": np.zeros((3, 4), np.uint8), "Z": np.zeros((3, 1), np.uint8)}, "unknown.*'Z'"),
    ],
)
def test_spikes_that_do_not_fit_are_refused(rasters: dict[str, Any], says: str) -> None:
    decoder = SpikeDecoder([entry()], {"V1": 4, "other": 2})
    with pytest.raises(ContractError, match=says):
        decoder.decode(rasters)


def test_channels_keep_the_order_of_first_appearance_and_add_up() -> None:
    mapping = [
        MappingEntry("B", "second"),
        MappingEntry("A", "first", gain=2.0),
        MappingEntry("A", "second", scheme="addition"),
    ]
    decoder = SpikeDecoder(mapping, {"A": 2, "B": 2})
    deltas = decoder.decode(
        {"A": np.array([[1, 0], [0, 1]], np.uint8), "B": np.array([[1, 0], [0, 1]], np.uint8)}
    )
    assert deltas.names == ("second", "first")
    assert deltas.values.tolist() == [[2.0, 2.0], [0.0, -2.0]]


def test_read_row_understands_both_forms() -> None:
    assert read_row(("3", "V", [True, 0.0, 2])) == read_row({"t": 3, "id": "V", "bits": [1, 0, 1]})


numbers = st.floats(-10.0, 10.0, allow_nan=False)
entries = st.builds(
    MappingEntry,
    population=st.sampled_from("PQR"),
    channel=st.sampled_from("abc"),
    scheme=st.sampled_from(SCHEMES),
    per_step_max=numbers,
    gain=numbers,
    invert=st.booleans(),
    threshold=st.none() | st.integers(-3, 20),
    deadzone=st.floats(0.0, 5.0),
    min_step=st.floats(0.0, 5.0),
    clamp=st.none() | st.tuples(st.floats(-9.0, 0.0), st.floats(0.0, 9.0)),
)


@given(st.data(), st.lists(entries, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_whole_cycles_decode_as_rows_do(data: st.DataObject, mapping: list[MappingEntry]) -> None:
    sizes = {name: data.draw(st.integers(1, 7)) for name in "PQR"}
    timesteps = data.draw(st.integers(1, 5))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rasters = {
        name: generator.integers(0, 2, (timesteps, size)).astype(np.uint8)
        for name, size in sizes.items()
    }
    rows: list[Any] = [
        [t, name, raster[t].tolist()] for name, raster in rasters.items() for t in range(timesteps)
    ]
    generator.shuffle(rows)
    by_row = decode_stream_rows(rows, mapping)
    deltas = SpikeDecoder(mapping, sizes).decode(rasters)
    assert set(by_row) == set(range(timesteps))
    for t in range(timesteps):
        for column, channel in enumerate(deltas.names):
            assert deltas.values[t, column] == pytest.approx(
                by_row[t].get(channel, 0.0), rel=1e-12, abs=1e-12
            )
