"""Spike trains: regular or random ones of the same rates, reproducible bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.brains.anatomy import ArchitectureAnatomy
from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.codec.registry import make_encoder
from ab_ros.codec.trains import CODES, PoissonRate, RegularRate
from ab_ros.config import parse
from ab_ros.errors import ConfigError
from ab_ros.values import Observation

JOINTS = ["pan", "tilt"]
STATES = Observation(
    "in",
    "Proprioception",
    0.0,
    "joint_state",
    np.array([[0.4, -0.2], [1.0, 2.0], [0.0, 0.0]]),
    {"names": JOINTS},
)
NOISE = np.random.default_rng(3)
SAMPLES: dict[str, tuple[dict[str, Any], Observation]] = {
    "saliency": (
        {},
        Observation("in", "Image", 0.0, "rgb8", NOISE.integers(0, 255, (48, 64, 3), np.uint8)),
    ),
    "joint_population": ({"joints": JOINTS}, STATES),
    "spectrum": ({}, Observation("in", "Audio", 0.0, "float32", NOISE.uniform(-1, 1, 800))),
    "rate": ({"joints": JOINTS}, STATES),
    "population": ({"joints": JOINTS}, STATES),
    "scalar": ({"joints": JOINTS, "cells": 20}, STATES),
    "cyclic": ({"joints": JOINTS, "cells": 20}, STATES),
    "nef": ({"joints": JOINTS}, STATES),
}


def test_poisson_counts_have_the_mean_and_variance_of_their_rates() -> None:
    rate = np.array([0.0, 20.0, 100.0, 300.0])
    counts = np.array(
        [
            PoissonRate(4, seed).raster(rate, 1000, 0.001).sum(axis=0, dtype=int)
            for seed in range(400)
        ]
    )
    variance = rate * (1.0 - rate * 0.001)
    # Five standard errors, of the mean and (roughly, as of a normal distribution) the variance.
    assert np.all(np.abs(counts.mean(axis=0) - rate) <= 5 * np.sqrt(variance / 400))
    assert np.all(np.abs(counts.var(axis=0) - variance) <= 5 * variance * np.sqrt(2 / 400) + 1e-9)


def test_poisson_trains_are_independent_in_time_and_between_neurons() -> None:
    raster = PoissonRate(2, 1).raster(np.array([200.0, 200.0]), 40_000, 0.001).astype(float)
    left, right = raster.T - raster.mean(axis=0)[:, None]
    for one, other in ((left, right), (left[1:], left[:-1]), (right[7:], right[:-7])):
        assert abs(np.mean(one * other)) / 0.16 < 5 / np.sqrt(40_000)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_poisson_trains_do_not_depend_on_the_length_of_cycles(seed: int, cycles: list[int]) -> None:
    rate = np.array([50.0, 500.0, 2000.0])
    whole = PoissonRate(3, seed).raster(rate, sum(cycles), 0.001)
    code = PoissonRate(3, seed)
    parts = np.concatenate([code.raster(rate, length, 0.001) for length in cycles])
    np.testing.assert_array_equal(whole, parts)
    assert whole[:, 2].all()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_encoder_of_rates_makes_trains_of_its_rates(name: str, code: str) -> None:
    options, sample = SAMPLES[name]
    encoder = make_encoder(name, {**options, "code": code}, seed=5)
    regular = make_encoder(name, options, seed=5)
    counts = encoder.encode(sample, 4000, 0.001).sum(axis=0, dtype=int)
    expected = regular.encode(sample, 4000, 0.001).sum(axis=0, dtype=int)
    assert expected.sum() > 0
    spread = 1.0 if code == "regular" else 6.0 * np.sqrt(expected + 1.0)
    assert np.all(np.abs(counts - expected) <= spread)
    assert (counts.tolist() == expected.tolist()) == (code == "regular")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_seed_and_a_saved_state_give_the_same_spikes_again(
    name: str, code: str, tmp_path: Path
) -> None:
    options, sample = SAMPLES[name]
    options = {**options, "code": code}
    one, two, other = (make_encoder(name, options, seed) for seed in (5, 5, 6))
    first = one.encode(sample, 100, 0.001)
    np.testing.assert_array_equal(first, two.encode(sample, 100, 0.001))
    # Through a file that holds no objects, as a brain's does not.
    np.savez(tmp_path / "state.npz", **one.state())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as saved:
        other.restore(dict(saved))
    later = one.encode(sample, 100, 0.001)
    np.testing.assert_array_equal(later, other.encode(sample, 100, 0.001))
    one.reset(5)
    np.testing.assert_array_equal(first, one.encode(sample, 100, 0.001))


def test_regular_is_what_there_is_without_a_choice() -> None:
    encoder = make_encoder("rate", {"values": 3}, seed=9)
    sample = Observation("in", "Vector", 0.0, "float64", np.array([0.2, 0.5, 0.9]))
    expected = RegularRate(3, 9).raster(np.array([20.0, 50.0, 90.0]), 200, 0.001)
    np.testing.assert_array_equal(encoder.encode(sample, 200, 0.001), expected)
    # As written down when there were no other trains: a brain that has learned knows them.
    pair = make_encoder("rate", {"values": 2}, seed=9)
    known = pair.encode(Observation("in", "Vector", 0.0, "", np.array([0.2, 0.7])), 100, 0.001)
    times = [np.flatnonzero(cell).tolist() for cell in known.T]
    assert times == [[6, 56], [10, 24, 38, 53, 67, 81, 95]]
    with pytest.raises(ConfigError, match="one of: regular, poisson"):
        make_encoder("rate", {"code": "bursts"})


def test_a_brain_with_random_trains_goes_on_from_its_file_as_it_would_have(tmp_path: Path) -> None:
    options = {
        "arm": ("rate", {"lower": -1.0, "max_rate": 500.0, "code": "poisson"}),
        "push": ("change", {"threshold": 0.01}),
    }
    inputs = {
        name: {
            "kind": "Proprioception",
            "topic": "joint_states",
            "encoder": encoder,
            "options": {"joints": JOINTS, **chosen},
        }
        for name, (encoder, chosen) in options.items()
    }
    projections = {name: {"source": name, "target": "out", "weight": 12.0} for name in inputs}
    architecture = {
        "gamma": 20,
        "inputs": inputs,
        "populations": {"out": {"size": 4, "neuron": "FS", "output": True}},
        "projections": projections,
    }
    brain = EmbeddedBrain(ArchitectureAnatomy(parse(ArchitectureSettings, architecture), 7))

    def run(brain: EmbeddedBrain, cycles: range) -> list[Any]:
        brain.open()
        return [
            brain.run_cycle(lambda need, n=n: samples(n)).rasters["out"].tolist() for n in cycles
        ]

    def samples(cycle: int) -> list[Observation]:
        table = np.full((3, 2), 0.03 * cycle)
        return [
            Observation(name, "Proprioception", 0.0, "joint_state", table, {"names": JOINTS})
            for name in inputs
        ]

    run(brain, range(5))
    brain.save(tmp_path / "brain.db")
    again = EmbeddedBrain.load(tmp_path / "brain.db")
    later = run(brain, range(5, 15))
    assert np.any(later)
    assert run(again, range(5, 15)) == later
    assert not brain.counts() and not again.counts()
