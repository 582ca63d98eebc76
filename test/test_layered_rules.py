"""Computations and learning of layered brains: which neurons fire, and how weights change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from test_layered_neurons import bits

from ab_ros.errors import BrainError, ConfigError, EngineError
from ab_ros.layered import (
    MAIN,
    Computation,
    HebbianLearning,
    Input,
    LayeredBrain,
    Learning,
    Neurons,
    SparseComputation,
    StandardComputation,
)
from ab_ros.layered.weights import STEP, Arithmetic, choose_arithmetic, draw_weights

BACKENDS = ("numpy", "numba")


@pytest.fixture(params=BACKENDS)
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    if request.param == "numba":
        pytest.importorskip("numba")
    return choose_arithmetic(request.param)


def fired(computation: Computation, *drives: list[float]) -> list[int]:
    inputs = {
        name: Input(np.zeros(0, bool), np.zeros((0, len(d)), np.float32), np.array(d, float))
        for name, d in zip((MAIN, "feedback", "more"), drives, strict=False)
    }
    return np.flatnonzero(computation.compute(inputs, np.random.default_rng)).tolist()


# --- Computations ------------------------------------------------------------------------------


def test_a_threshold_has_to_be_exceeded() -> None:
    assert fired(StandardComputation(0.5), [0.4, 0.5, 0.6, 0.5 + 2**-24]) == [2, 3]


def test_inputs_add_up_by_their_gains() -> None:
    drives = [0.4, 0.2, 0.9], [0.2, 0.2, 0.8]
    assert fired(StandardComputation(0.5), *drives) == [0, 2]
    assert fired(StandardComputation(0.5, gains={"feedback": -0.6}), *drives) == []
    assert fired(StandardComputation(0.5, gains={"feedback": 2.0}), *drives) == [0, 1, 2]
    assert fired(SparseComputation(1, gains={"feedback": -1.0}), *drives) == [0]


@pytest.mark.parametrize(
    ("n", "size", "count"),
    [
        (0, 10, 0),
        (3, 10, 3),
        (12, 10, 10),
        (0.0, 10, 0),
        (1.0, 10, 10),
        (0.05, 10, 1),
        (0.21, 10, 3),
        # In binary, these products lie a little above a whole number.
        (0.07, 100, 7),
        (0.29, 100, 29),
    ],
)
def test_as_many_win_as_are_said_a_fraction_rounded_up(n: float, size: int, count: int) -> None:
    drive = np.random.default_rng(1).random(size).tolist()
    won = fired(SparseComputation(n), drive)
    assert len(won) == count
    assert won == sorted(np.argsort(drive)[size - count :].tolist())


def test_of_equal_drives_the_lower_number_wins() -> None:
    assert fired(SparseComputation(3), [0.5, 0.9, 0.5, 0.5, 0.1, 0.5]) == [0, 1, 2]
    assert fired(SparseComputation(2), [0.0] * 5) == [0, 1]
    assert fired(SparseComputation(2, threshold=0.0), [0.0, 0.0, 0.3, 0.0]) == [2]


@given(nps.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0, 0.25, 0.5, 1])))
def test_winners_are_never_beaten(drive: np.ndarray) -> None:
    won = fired(SparseComputation(0.3), drive.tolist())
    assert len(won) == -(-3 * drive.size // 10)
    lost = sorted(set(range(drive.size)) - set(won))
    assert all((drive[w], -w) > (drive[k], -k) for w in won for k in lost)


def test_noise_is_drawn_from_seed_and_tick() -> None:
    def run(seed: int, noise: float) -> list[list[int]]:
        group, source = Neurons(50), bits(4)
        made = LayeredBrain(group, source, SparseComputation(5, noise=noise), seed=1)
        made.seed = seed
        return [np.flatnonzero(made.tick(1)["layer0"]).tolist() for _ in range(5)]

    assert run(1, 2.0) == run(1, 2.0) != run(2, 2.0)
    noisy, still = run(1, 2.0), run(1, 0.0)
    assert len(set(map(tuple, noisy))) == 5 and len(set(map(tuple, still))) == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SparseComputation(-1), "n: must be a whole number of at least 0"),
        (lambda: SparseComputation(1.5), r"a float within \[0, 1\]"),
        (lambda: SparseComputation(float("nan")), "n: must be"),
        (lambda: SparseComputation(True), "n: must be"),
        (lambda: SparseComputation(2, noise=-1.0), "noise: must be at least 0"),
        (
            lambda: SparseComputation(2, threshold=float("inf")),
            "threshold: must be a finite number",
        ),
        (lambda: StandardComputation(float("nan")), "threshold: must be a finite number"),
        (
            lambda: StandardComputation(0.5, gains={"x": float("inf")}),
            "gains: x: must be a finite number",
        ),
        (lambda: StandardComputation("a"), "threshold: must be a finite number"),
        (lambda: SparseComputation("a"), "n: must be"),
        (lambda: SparseComputation(2, gains={"x": "a"}), "gains: x: must be a finite number"),
        (lambda: SparseComputation(2, gains=["x"]), "gains: must be a number for each"),
        (lambda: SparseComputation(2, noise="a"), "noise: must be a finite number"),
        (lambda: HebbianLearning("a"), "increase: must be a finite number"),
        (lambda: HebbianLearning(increase=1.5), r"increase: must be within \[0, 1\]"),
        (lambda: HebbianLearning(decrease=-0.1), r"decrease: must be within \[0, 1\]"),
    ],
)
def test_settings_that_are_not_allowed_are_named(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


@dataclass(frozen=True)
class Majority(Computation):
    """Active where more of one input's active bits reach a neuron than a share."""

    share: float = 0.5
    input: str = MAIN

    def compute(self, inputs: Mapping[str, Input], random: Any) -> np.ndarray:
        read = inputs[self.input]
        reached = (read.weights[read.bits] > 0.5).mean(axis=0) if read.bits.any() else 0.0
        return np.broadcast_to(reached > self.share, read.drive.shape)


def test_a_computation_of_ones_own_sees_bits_weights_and_drive_of_every_input() -> None:
    source, group = bits(4), Neurons(3)
    group.set("votes", source, weights=np.tile([0.9, 0.1, 0.6], (4, 1)))
    made = LayeredBrain(group, source, Majority(input="votes"))
    assert made.tick(2)["layer0"].tolist() == [True, False, True]
    with pytest.raises(ValueError, match="read-only"):
        made.weights(group, "votes")[0, 0] = 1.0


def test_a_computation_that_returns_something_else_is_named() -> None:
    class Wrong(Computation):
        def compute(self, inputs: Mapping[str, Input], random: Any) -> Any:
            return np.ones(2)

    made = LayeredBrain(Neurons(3, "g"), bits(2), Wrong())
    with pytest.raises(BrainError, match=r"group 'g': Wrong\.compute must return bool\[3\]"):
        made.tick(1)


def test_a_rule_of_ones_own_that_fails_is_named_with_its_group() -> None:
    class Broken(Computation):
        def compute(self, inputs: Mapping[str, Input], random: Any) -> Any:
            return inputs["eyes"].bits

    class Tired(Learning):
        def update(self, *_: Any) -> None:
            raise ValueError("not today")

    with pytest.raises(BrainError, match=r"group 'g': Broken\.compute: KeyError: 'eyes'") as caught:
        LayeredBrain(Neurons(3, "g"), bits(2), Broken()).tick(1)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(BrainError, match=r"group 'g': Tired\.update: ValueError: not today"):
        LayeredBrain(Neurons(3, "g"), bits(2), SparseComputation(1), Tired()).tick(1)


# --- Learning ----------------------------------------------------------------------------------


def test_the_documents_example_of_hebbian_learning(arithmetic: Arithmetic) -> None:
    weights = np.array([[0.8, 0.4], [0.6, 0.8], [0.5, 0.4]], np.float32)
    before, after = np.array([1, 0, 1], bool), np.array([1, 0], bool)
    HebbianLearning(increase=0.1, decrease=0.05).update(weights, before, after, 1.0, arithmetic)
    assert np.allclose(weights, [[0.9, 0.35], [0.55, 0.8], [0.6, 0.35]], atol=1e-6)


def test_the_defaults_are_the_documents() -> None:
    assert HebbianLearning() == HebbianLearning(increase=0.05, decrease=0.002)


PATTERN = st.tuples(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.floats(0, 1),
)


@settings(deadline=None)
@given(PATTERN, st.floats(0, 1), st.floats(0, 1), st.floats(-1, 1))
def test_weights_stay_within_0_and_1_and_zeros_stay_on_both_paths_alike(
    pattern: tuple[int, int, int, float, float], increase: float, decrease: float, m: float
) -> None:
    rows, columns, seed, p, q = pattern
    random = np.random.default_rng(seed)
    first = draw_weights((rows, columns), seed)
    first[random.random(first.shape) < 0.3] = 0.0
    first[random.random(first.shape) < 0.1] = 1.0
    rule = HebbianLearning(increase, decrease)
    paths = [choose_arithmetic("numpy"), choose_arithmetic("auto")]
    found = [first.copy() for _ in paths]
    for _ in range(5):
        before, after = random.random(rows) < p, random.random(columns) < q
        old = found[0].copy()
        for weights, path in zip(found, paths, strict=True):
            rule.update(weights, before, after, m, path)
        both, silent = np.outer(before, after), ~np.logical_or.outer(before, after)
        change = found[0] - old
        assert (change[both] * m >= 0).all()
        assert (change[~both & ~silent] * m <= 0).all()
        assert not change[silent].any()
    assert found[0].tobytes() == found[1].tobytes()
    assert (found[0] >= 0).all() and (found[0] <= 1).all()
    assert not found[0][first == 0].any()
    assert not np.mod(found[0].astype(np.float64), STEP).any()


@settings(deadline=None)
@given(PATTERN)
def test_sums_are_exact_whatever_the_path_and_the_order(
    pattern: tuple[int, int, int, float, float],
) -> None:
    rows, columns, seed, p, _ = pattern
    random = np.random.default_rng(seed)
    weights = draw_weights((rows, columns), seed)
    active = np.flatnonzero(random.random(rows) < p)
    exact = [sum(int(w / STEP) for w in weights[active, c]) * STEP for c in range(columns)]
    for backend in ("numpy", "auto"):
        for order in (active, active[::-1].copy()):
            out = np.full(columns, np.nan)
            choose_arithmetic(backend).sum_rows(weights, order, out)
            assert out.tolist() == exact


@pytest.mark.parametrize("computation", [StandardComputation(3.0), SparseComputation(0.1)])
def test_a_run_is_the_same_to_the_bit_on_both_paths(computation: Computation) -> None:
    pytest.importorskip("numba")

    def run(backend: str) -> tuple[list[bytes], bytes]:
        a, b = Neurons(60, "a"), Neurons((5, 8), "b")
        b.input = a
        a.set("feedback", b)
        b.set("neighbors", b)
        made = LayeredBrain(
            [a, b], bits(25), computation, HebbianLearning(), seed=3, backend=backend
        )
        seen = [made.tick(k % 25)["b"].tobytes() for k in range(200)]
        return seen, b"".join(
            made.weights(*w).tobytes() for w in (("a",), ("b",), ("a", "feedback"))
        )

    assert run("numpy") == run("numba")


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match="unknown 'cuda'; one of: auto, numpy, numba"):
        LayeredBrain(Neurons(2), bits(2), StandardComputation(), backend="cuda")


@dataclass(frozen=True)
class Decay(Learning):
    """All weights shrink by a factor."""

    factor: float = 0.9

    def update(self, weights: Any, before: Any, after: Any, modulation: float, _: Any) -> None:
        weights *= self.factor


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_a_learning_of_ones_own_changes_weights_within_their_bounds(factor: float) -> None:
    group = Neurons(4)
    made = LayeredBrain(group, bits(6), StandardComputation(), Decay(factor))
    before = made.weights(group).copy()
    made.tick(1)
    expected = np.clip(before * np.float32(factor), 0, 1)
    assert np.allclose(made.weights(group), expected, atol=STEP)


def test_a_learning_that_breaks_the_weights_is_named() -> None:
    made = LayeredBrain(Neurons(4, "g"), bits(6), StandardComputation(), Decay(float("nan")))
    with pytest.raises(
        BrainError, match=r"group 'g': after Decay\.update, weights must be numbers"
    ):
        made.tick(1)


def test_a_pattern_that_comes_again_is_answered_more_strongly() -> None:
    source, group = bits(10), Neurons(30, "g")
    made = LayeredBrain(group, source, SparseComputation(3), HebbianLearning(0.05, 0.002))
    first = made.tick(4)["g"].copy()
    drive = made.weights("g")[4][first].copy()
    for _ in range(10):
        assert np.array_equal(made.tick(4)["g"], first)
    later = made.weights("g")[4]
    assert np.allclose(later[first], np.minimum(drive + 0.5, 1.0), atol=1e-4)
    assert (later[~first] < 1 - 0.02).all()
