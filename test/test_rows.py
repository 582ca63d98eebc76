"""Rows of output spikes: the fast path beside the careful one, and there and back again."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.codec.rows import add_rows, rasters_from_rows, rows_from_rasters
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError

SIZES = {"V1": 3, "W": 2, "none": 0}
CONTRACT = Contract(
    {"gamma": 5, "outputWindowN": 2, "feedbackN": 1, "feedbackT": 1},
    outputs=Contract.from_dict(
        {"io": {"outputs": [{"id": name, "n": max(n, 1)} for name, n in SIZES.items()]}}
    ).outputs,
)
N = {port.id: port.n for port in CONTRACT.outputs}

BITS = st.one_of(
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from([1.0, 0.0, -1, 256, 1 << 70, 10**400, "1", "x", None, math.nan, math.inf, []]),
    st.sampled_from([np.uint8(1), np.int64(300), np.float32(0.5), np.bool_(True)]),
)
TIMES = st.one_of(
    st.integers(-1, 5),
    st.sampled_from(["3", "x", 2.9, -0.5, True, None, math.nan, math.inf, 10**400, np.int64(2)]),
)


@st.composite
def rows(draw: st.DrawFn, wrong: bool) -> Any:
    """Draw a row as it may come over the network; ``wrong``: with wrong names and lengths too."""
    if wrong and draw(st.integers(0, 9)) == 0:
        return draw(
            st.sampled_from([None, 7, "row", [], [1, 2], {}, [0, "V1", "101"], [0, [], []]])
        )
    population = draw(st.sampled_from([*N, "X"] if wrong else [*N]))
    length = N.get(population, 2) + (draw(st.sampled_from([0, 0, 0, 1])) if wrong else 0)
    kind = draw(st.sampled_from([st.integers(0, 1), BITS]))
    bits: Any = draw(st.lists(kind, min_size=length, max_size=length))
    bits = draw(st.sampled_from([list, list, tuple]))(bits)
    t = draw(TIMES)
    return draw(
        st.sampled_from([[t, population, bits], (t, population, bits)])
        | st.just({"t": t, "id": population, "bits": bits})
    )


def carefully(items: list[Any]) -> tuple[dict[str, list[list[int]]], int] | str:
    rasters = {name: np.zeros((CONTRACT.gamma, n), dtype=np.uint8) for name, n in N.items()}
    try:
        dropped = add_rows(rasters, items, CONTRACT)
    except ContractError as error:
        return str(error)
    return {name: raster.tolist() for name, raster in rasters.items()}, dropped


def fast(items: list[Any]) -> tuple[dict[str, list[list[int]]], int] | str:
    try:
        rasters, dropped = rasters_from_rows(iter(items), CONTRACT)
    except ContractError as error:
        return str(error)
    return {name: raster.tolist() for name, raster in rasters.items()}, dropped


@given(st.lists(rows(wrong=False), max_size=12))
def test_reads_the_same_as_row_by_row(items: list[Any]) -> None:
    assert fast(items) == carefully(items)


@given(st.lists(rows(wrong=True), max_size=8))
def test_drops_and_refuses_the_same_as_row_by_row(items: list[Any]) -> None:
    assert fast(items) == carefully(items)


@given(st.data(), st.sampled_from(["tuple", "object"]))
def test_rasters_make_rows_and_rows_the_same_rasters(data: st.DataObject, form: str) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    rate = data.draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    generator = np.random.default_rng(seed)
    rasters = {
        name: (generator.random((CONTRACT.gamma, n)) < rate).astype(np.uint8)
        for name, n in N.items()
    }
    made = rows_from_rasters(rasters, form)
    back, dropped = rasters_from_rows(json.loads(json.dumps(made)), CONTRACT)
    assert dropped == 0
    for name, raster in rasters.items():
        np.testing.assert_array_equal(back[name], raster)
        assert back[name].dtype == np.uint8
    times = [row[0] if form == "tuple" else row["t"] for row in made]
    assert times == sorted(times)
    assert len(made) == sum(int(raster.any(axis=1).sum()) for raster in rasters.values())


def test_rows_have_the_form_that_was_asked_for() -> None:
    rasters = {"W": np.array([[0, 0], [1, 0]], np.uint8), "V1": np.array([[0, 1], [0, 1]], bool)}
    assert rows_from_rasters(rasters) == [[0, "V1", [0, 1]], [1, "W", [1, 0]], [1, "V1", [0, 1]]]
    assert rows_from_rasters(rasters, "object")[0] == {"t": 0, "id": "V1", "bits": [0, 1]}
    with pytest.raises(ConfigError, match=r"'array'; one of: tuple, object"):
        rows_from_rasters(rasters, "array")


def test_rows_of_one_timestep_are_or_ed() -> None:
    items = [
        [1, "W", [1, 0]],
        [1, "W", [0, 1]],
        [1, "W", [0, 0]],
        {"t": 2, "id": "W", "bits": (2, 0)},
    ]
    rasters, dropped = rasters_from_rows(items, CONTRACT)
    assert rasters["W"].tolist() == [[0, 0], [1, 1], [1, 0], [0, 0], [0, 0]]
    assert dropped == 0
