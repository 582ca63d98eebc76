"""Groups of neurons, what they read, and the order in which layers compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.errors import ConfigError
from ab_ros.layered import (
    MAIN,
    FeedBackward,
    FeedForward,
    LayeredBrain,
    LoopBack,
    Neurons,
    Sensor,
    SimpleEncoder,
    StandardComputation,
    brain,
    computation,
    learning,
    merge,
    neuron,
    numerical,
    sensor,
)

ANY = StandardComputation(threshold=0.0)
"""Active is what reads anything that is."""


def bits(size: int, name: str = "") -> Sensor:
    """Return a sensor of which one bit of ``size`` is active: value k is bit k."""
    return Sensor(SimpleEncoder(0, size - 1, size, 1 / size), name)


def indices(output: Any) -> list[tuple[str, list[int]]]:
    return [
        (p.emitter.name, list(range(p.emitter.size)) if p.indices is None else p.indices.tolist())
        for p in output.pieces
    ]


def test_the_documents_models_are_built_and_run_as_it_writes_them() -> None:
    n1 = neuron.Neurons(5)
    n2 = neuron.Neurons(3)
    n2.input = n1
    n1.set("feedback", n2)
    assert n2.input is n1 and n2.get(MAIN) is n1 and n1.get("feedback") is n2
    assert n1.input is None and n1.get("neighbors") is None

    layers = [neuron.Neurons(i) for i in [10, 10, 10]]
    neuron.FeedForward(layers)
    neuron.FeedBackward(layers, "feedback")
    neuron.LoopBack(layers, "neighbors")
    assert [layer.input for layer in layers] == [None, layers[0], layers[1]]
    assert [layer.get("feedback") for layer in layers] == [layers[1], layers[2], None]
    assert [layer.get("neighbors") for layer in layers] == layers

    std = computation.StandardComputation(threshold=0.5)
    sparse = computation.SparseComputation(n=0.05)
    learn = learning.HebbianLearning(increase=0.005, decrease=0.001)
    encoder = numerical.CyclicEncoder(0, 24, 50)
    sensor_ = sensor.Sensor(encoder=encoder)
    for chosen in (std, sparse):
        brain_ = brain.LayeredBrain(layers, sensor_, computation=chosen, learning=learn)
        fired = [brain_.tick(hour) for hour in range(24)]
        assert all(each.keys() == {"layer0", "layer1", "layer2"} for each in fired)
        # A first layer whose MAIN input reads nothing reads the sensor.
        assert brain_.weights(layers[0]).shape == (50, 10)
    assert all(each["layer2"].sum() == 1 for each in fired)


def test_brains_of_the_same_groups_share_nothing() -> None:
    layers = [Neurons(20), Neurons(10)]
    FeedForward(layers)
    make = lambda: LayeredBrain(  # noqa: E731
        layers, bits(30), computation.SparseComputation(n=3), learning.HebbianLearning(), seed=4
    )
    one, other = make(), make()
    for value in range(10):
        one.tick(value)
    assert other.bits("layer0").sum() == 0
    assert not np.array_equal(one.weights(layers[1]), other.weights(layers[1]))
    for value in range(10):
        other.tick(value)
    assert np.array_equal(one.weights(layers[1]), other.weights(layers[1]))


def test_outputs_are_sliced_as_numpy_slices_and_merged_in_order() -> None:
    a, b = Neurons((3, 4), "a"), Neurons(5, "b")
    assert indices(a[1]) == [("a", [4, 5, 6, 7])] and a[1].shape == (4,)
    assert indices(a[:, ::2]) == [("a", [0, 2, 4, 6, 8, 10])] and a[:, ::2].shape == (3, 2)
    assert indices(a[2, 3]) == [("a", [11])]
    assert indices(b[[4, 0]]) == [("b", [4, 0])]
    assert indices(a[1][1:3]) == [("a", [5, 6])]
    both = merge(a[0], [b, a[2]])
    assert indices(both) == [
        ("a", [0, 1, 2, 3]),
        ("b", [0, 1, 2, 3, 4]),
        ("a", [8, 9, 10, 11]),
    ]
    assert both.shape == (13,)
    assert indices(both[2:6]) == [("a", [2, 3]), ("b", [0, 1])]
    assert len(a) == 3 and [indices(row) for row in a] == [indices(a[k]) for k in range(3)]


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.data(),
)
def test_a_slice_of_merged_outputs_has_the_bits_that_numpy_would_take(
    sizes: list[int], data: st.DataObject
) -> None:
    groups = [Neurons(size, f"g{k}") for k, size in enumerate(sizes)]
    whole = [(f"g{k}", i) for k, size in enumerate(sizes) for i in range(size)]
    chosen = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=12))
    taken = merge(groups)[chosen]
    flat = [(name, i) for name, places in indices(taken) for i in places]
    assert flat == [whole[i] for i in chosen]


def test_what_a_group_reads_is_what_was_sliced() -> None:
    source = bits(6)
    part, rest, both = Neurons(1), Neurons(1), Neurons(2)
    part.input, rest.input = source[:2], source[[3, 5]]
    both.input = [source[0], source[4]]
    made = LayeredBrain([[part, rest, both]], source, ANY)
    seen = [[int(b.any()) for b in made.tick(value).values()] for value in range(6)]
    assert seen == [[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_layers_compute_in_order_and_hear_later_ones_one_tick_late() -> None:
    # A bit that is shown once runs up through all layers in one tick, and down a layer in each.
    source = bits(2)
    layers = [Neurons(1, name) for name in "abc"]
    first = [Neurons(1, "zero")]
    first[0].input = source[1]
    FeedForward([*first, *layers], "up")
    FeedBackward(layers, "down")
    made = LayeredBrain([*first, *layers], source, ANY)
    assert [int(b[0]) for b in made.tick(1).values()] == [1, 1, 1, 1]
    # What came down keeps a and b alive, and they c.
    assert [int(b[0]) for b in made.tick(0).values()] == [0, 1, 1, 1]


def test_groups_of_a_layer_hear_each_other_one_tick_late_whatever_their_order() -> None:
    def run(order: list[int]) -> list[tuple[int, int]]:
        source, groups = bits(3), [Neurons(1, "a"), Neurons(1, "b")]
        for k, group in enumerate(groups):
            group.input = source[k]
            group.set("other", groups[1 - k])
        made = LayeredBrain([[groups[k] for k in order]], source, ANY)
        return [
            (int(made.bits("a")[0]), int(made.bits("b")[0]))
            for value in (0, 2, 2, 2)
            for _ in [made.tick(value)]
        ]

    assert run([0, 1]) == run([1, 0]) == [(1, 0), (0, 1), (1, 0), (0, 1)]


def test_a_nested_layer_is_merged_for_those_who_read_it_and_connected_alike() -> None:
    a, b, c, d = Neurons(2, "a"), Neurons(3, "b"), Neurons((2, 2), "c"), Neurons(1, "d")
    FeedForward([[a, [b]], [c, d]])
    LoopBack([[a, b]], "loop")
    assert [c.input.size, d.input.size] == [5, 5]
    assert a.get("loop").size == b.get("loop").size == 5
    made = LayeredBrain([[a, [b]], [c, d]], bits(4), ANY)
    assert [len(layer) for layer in made.plan.layers] == [2, 2]
    assert made.tick(1)["c"].shape == (2, 2)


def test_a_seed_draws_weights_when_connecting_and_the_brains_seed_draws_the_rest() -> None:
    def weights(connect: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
        layers = [Neurons(20), Neurons(10), Neurons(10)]
        FeedForward(layers, seed=connect)
        if connect is not None:
            drawn = [layers[k].connections[MAIN].weights for k in (1, 2)]
            assert all(each is not None for each in drawn)
            assert not np.array_equal(drawn[0][:10], drawn[1])
        made = LayeredBrain(layers, bits(8), ANY, seed=seed)
        return made.weights(layers[0]).copy(), made.weights(layers[1]).copy()

    explicit, same, other = weights(5, 1), weights(5, 2), weights(6, 1)
    assert np.array_equal(explicit[1], same[1]) and not np.array_equal(explicit[1], other[1])
    assert np.array_equal(explicit[0], other[0]) and not np.array_equal(explicit[0], same[0])
    free, again = weights(None, 1), weights(None, 1)
    assert all(np.array_equal(a, b) for a, b in zip(free, again, strict=True))
    assert not np.array_equal(free[1], weights(None, 2)[1])


def test_a_group_more_does_not_change_the_weights_of_the_others() -> None:
    a, b = Neurons(10, "a"), Neurons(10, "b")
    FeedForward([a, b])
    alone = LayeredBrain([a, b], bits(5), ANY).weights("b").copy()
    extra = Neurons(7, "extra")
    extra.input = a
    joined = LayeredBrain([a, [extra, b]], bits(5), ANY)
    assert np.array_equal(joined.weights("b"), alone)


def test_drawn_weights_are_uniform_between_0_and_1() -> None:
    group = Neurons(300)
    group.set(MAIN, Neurons(1000), seed=9)
    weights = group.connections[MAIN].weights
    assert weights is not None and weights.dtype == np.float32
    assert weights.min() > 0 and weights.max() < 1
    counts = np.histogram(weights, 20, (0, 1))[0]
    # 15 000 in each are expected; a deviation of six standard deviations does not happen.
    assert np.abs(counts - 15_000).max() < 6 * np.sqrt(15_000)


def test_weights_of_ones_own_are_taken() -> None:
    group = Neurons(2)
    source = bits(3)
    group.set(MAIN, source, weights=[[1, 0], [0.25, 0.5], [0, 1]])
    made = LayeredBrain(group, source, StandardComputation(0.3))
    assert [made.tick(k)["layer0"].tolist() for k in range(3)] == [
        [True, False],
        [False, True],
        [False, True],
    ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Neurons(0), r"Neurons\.shape: must be whole numbers of at least 1.*got 0"),
        (lambda: Neurons((2, -1)), "at least 1"),
        (lambda: Neurons((2**13, 2**13)), "product of at most"),
        (lambda: Neurons(True), "whole numbers"),
        (lambda: Neurons(2, "two words"), "name: must be a letter"),
        (lambda: Neurons(2).set("in put", Neurons(1)), "input: must be a letter"),
        (lambda: Neurons(2).set(MAIN, 7), "an input reads groups of neurons"),
        (lambda: Neurons(2).set(MAIN, []), "at least one output"),
        (lambda: Neurons(2).set(MAIN, Neurons(1), seed=-1), "seed: must be a whole number"),
        (lambda: Neurons(2).set(MAIN, Neurons(1), weights=[[0, 2]]), r"within \[0, 1\]"),
        (lambda: Neurons(2).set(MAIN, Neurons(1), weights=[[0]]), r"the form \[1, 2\]"),
        (lambda: FeedForward([Neurons(2), "n"]), "a layer is a group of neurons"),
        (lambda: LoopBack([[]]), "at least one group"),
        (lambda: LayeredBrain([], bits(2), ANY).size, "at least one layer"),
        (lambda: LayeredBrain([Neurons(2)], None, ANY), "group 'layer0': reads nothing"),
        (lambda: LayeredBrain([Neurons(2)], bits(2)), "has no computation"),
        (
            lambda: LayeredBrain([Neurons(2, "x"), Neurons(2, "x")], bits(2), ANY),
            "are named 'x'",
        ),
        (lambda: LayeredBrain([Neurons(2, "x")], bits(2, "x"), ANY), "are named 'x'"),
        (
            lambda: LayeredBrain([Neurons(2, layer="pan")], bits(2), ANY),
            "has a reward layer, but no learning",
        ),
    ],
)
def test_what_does_not_fit_is_named(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_reading_a_group_that_the_brain_does_not_have_is_an_error() -> None:
    stranger, group = Neurons(3, "stranger"), Neurons(2, "mine")
    group.input = stranger
    with pytest.raises(ConfigError, match=r"'mine'.*'MAIN' reads <Neurons 'stranger' \[3\]>"):
        LayeredBrain([group], bits(2), ANY)
    same = Neurons(2, "same")
    same.input = same
    with pytest.raises(ConfigError, match="'same' stands in two places"):
        LayeredBrain([same, same], bits(2), ANY)


def test_an_index_that_is_none_is_an_error() -> None:
    for index in (9, slice(4, 4), "x", (0, 0)):
        with pytest.raises(IndexError, match=r"an output of the form \[3\]"):
            Neurons(3)[index]
