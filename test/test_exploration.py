"""Exploration: what explorers try, what they reach, and what is on disk afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.environments import Channel, Environment, OrderNotExecutableError
from ab_ros.environments.exploration import (
    Exploration,
    GoalBabbling,
    GoalSettings,
    RandomExplorer,
    coverage,
    explore,
)
from ab_ros.environments.exploration_record import read_exploration, write_exploration
from ab_ros.environments.kinematic_arm import KinematicArm2D
from ab_ros.environments.signals import in_bounds
from ab_ros.environments.vowels import VowelTract
from ab_ros.errors import ChannelError, ConfigError, RecordError


def babble(arm: Environment, steps: int, seed: int = 0, **options: Any) -> Exploration:
    explorer = GoalBabbling(arm.m_channels, arm.s_channels, GoalSettings(**options), seed)
    return explore(arm, explorer, steps)


class Moody(KinematicArm2D):
    """An arm that refuses every third order, and breaks in the end."""

    asked = 0

    def _execute(self, m_signal: dict[str, float], meta: Any = None) -> dict[str, float]:
        self.asked += 1
        if self.asked == 100:
            raise KeyboardInterrupt
        if self.asked % 3 == 0:
            raise OrderNotExecutableError("not now")
        return super()._execute(m_signal, meta)


# --- Explorers


@pytest.mark.parametrize("seed", [0, 1])
def test_goals_lead_farther_than_chance(seed: int) -> None:
    arm = KinematicArm2D({"dim": 15})
    by_chance = explore(arm, RandomExplorer(arm.m_channels, seed), 600)
    by_goals = babble(arm, 600, seed)
    reached = [coverage(made.sensed, arm.s_channels)[-1] for made in (by_chance, by_goals)]
    assert reached[1] > 1.3 * reached[0]


def test_what_was_explored_can_be_used() -> None:
    arm = KinematicArm2D({})
    explorer = GoalBabbling(arm.m_channels, arm.s_channels, seed=3)
    with pytest.raises(ChannelError, match="nothing was tried"):
        explorer.infer({"x": 1, "y": 1})
    explore(arm, explorer, 1000)
    errors = []
    for goal in ({"x": 2.0, "y": 3.0}, {"x": -3.0, "y": 1.0}, {"x": 1.0, "y": -4.0}):
        sensed = arm.execute(explorer.infer(goal))["s_signal"]
        errors.append(math.hypot(sensed["x"] - goal["x"], sensed["y"] - goal["y"]))
    assert max(errors) < 0.5


def test_what_another_exploration_has_shown_is_known(tmp_path: Path) -> None:
    arm = KinematicArm2D({})
    made = babble(arm, 400)
    write_exploration(made, tmp_path / "made.npz")
    explorer = GoalBabbling(arm.m_channels, arm.s_channels, seed=1)
    explorer.recall(read_exploration(tmp_path / "made.npz"))
    assert explorer.count == 400
    # Each place that was reached then is reached again.
    for k in (0, 123, 399):
        place = dict(zip(("x", "y"), made.sensed[k].tolist(), strict=True))
        assert arm.execute(explorer.infer(place))["s_signal"] == pytest.approx(place)
    # It sets goals at once, but for what stays random.
    assert any(explorer.choose()[1] is not None for _ in range(5))


def test_what_was_explored_with_other_channels_is_refused() -> None:
    arm = KinematicArm2D({})
    made = babble(arm, 20)
    less = GoalBabbling(arm.m_channels[:5], arm.s_channels)
    with pytest.raises(ChannelError, match="moved j0, j1, j2, j3, j4, j5, not j0, j1, j2, j3, j4"):
        less.recall(made)
    held = [Channel("j0", (-150, 150), fixed=10), *arm.m_channels[1:]]
    with pytest.raises(ChannelError, match="'j0' is fixed at 10 here"):
        GoalBabbling(held, arm.s_channels).recall(made)
    with pytest.raises(ChannelError, match="recall: no channel 'z'"):
        GoalBabbling(arm.m_channels, [Channel("z", (0, 1))]).recall(made)
    assert less.count == 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.floats(0, 1))
def test_orders_keep_the_bounds_whatever_the_noise(seed: int, noise: float) -> None:
    arm = KinematicArm2D({"dim": 3})
    explorer = GoalBabbling(
        arm.m_channels, arm.s_channels, GoalSettings(noise=noise, first=1, random=0.0), seed
    )
    for _ in range(20):
        order, goal = explorer.choose()
        assert in_bounds(order, arm.m_channels)
        assert goal is None or in_bounds(goal, arm.s_channels)
        explorer.hear(arm.execute(order))


def test_same_seed_explores_the_same() -> None:
    arm = KinematicArm2D({})
    one, again, other = (babble(arm, 60, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.motor, again.motor)
    np.testing.assert_array_equal(one.goals, again.goals)
    assert not np.array_equal(one.motor, other.motor)
    assert one.uuids != again.uuids


def test_fixed_channels_stay_as_they_are() -> None:
    arm = KinematicArm2D({"dim": 2})
    arm.m_channels = [arm.m_channels[0], Channel("j1", (-150, 150), fixed=90)]
    made = babble(arm, 40)
    assert (made.motor[:, 1] == 90).all()
    np.testing.assert_allclose(np.hypot(*made.sensed.T), 2**0.5)


def test_goals_of_chosen_channels_and_bounds() -> None:
    arm = KinematicArm2D({})
    made = babble(arm, 100, channels=("y",), bounds={"y": (2.0, 3.0)}, random=0.0, first=5)
    assert np.isnan(made.goals[:, 0]).all()
    assert np.isnan(made.goals[:5, 1]).all()
    aims = made.goals[5:, 1]
    assert ((aims >= 2.0) & (aims <= 3.0)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": ("z",)}, "goals.channels: no channel 'z'"),
        ({"bounds": {"z": (0, 1)}}, "goals.bounds: no channel 'z'"),
        ({"bounds": {"x": (1, 0)}}, "low must be below high"),
    ],
)
def test_goals_that_cannot_be_set(options: dict[str, Any], words: str) -> None:
    arm = KinematicArm2D({})
    with pytest.raises(ChannelError, match=words):
        GoalBabbling(arm.m_channels, arm.s_channels, GoalSettings(**options))


def test_channels_without_bounds_cannot_be_explored() -> None:
    free, bounded = [Channel("a")], [Channel("b", (0, 1))]
    with pytest.raises(ChannelError, match="'a' must have finite bounds"):
        RandomExplorer(free)
    with pytest.raises(ChannelError, match="'a' must have finite bounds"):
        GoalBabbling(free, bounded)
    with pytest.raises(ConfigError, match="no sensory channel has finite bounds"):
        GoalBabbling(bounded, free)


# --- Coverage


def test_coverage_counts_cells_once() -> None:
    channels = [Channel("x", (0, 2)), Channel("y", (0, 2))]
    places = np.array([(0.1, 0.1), (0.9, 0.9), (1.5, 0.5), (2.0, 2.0), (2.1, 0.0), (0.2, 0.3)])
    np.testing.assert_array_equal(coverage(places, channels, cells=2), [1, 1, 2, 3, 3, 3])
    assert coverage(np.zeros((0, 2)), channels).shape == (0,)


# --- Records


@pytest.mark.parametrize("name", ["made.npz", "made.csv"])
def test_record_has_everything(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    tract = VowelTract({})
    explorer = GoalBabbling(tract.m_channels, tract.s_channels, GoalSettings(first=2))
    made = explore(tract, explorer, 20, record=path)
    read = read_exploration(str(path))
    np.testing.assert_array_equal(read.motor, made.motor)
    np.testing.assert_array_equal(read.sensed, made.sensed)
    np.testing.assert_array_equal(read.goals, made.goals)
    assert read.uuids == made.uuids
    assert read.count == 20
    if path.suffix == ".npz":
        assert list(read.s_channels) == tract.s_channels
        assert list(read.m_channels) == tract.m_channels
    else:
        assert [c.name for c in read.m_channels] == ["place", "radius", "lips"]
        assert path.read_text().startswith("uuid,motor.place,motor.radius,motor.lips,sensed.F1,")
        assert "nan" not in path.read_text()


@pytest.mark.parametrize("name", ["made.npz", "made.csv"])
def test_record_survives_what_breaks_the_exploration(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    arm = Moody({})
    with pytest.raises(KeyboardInterrupt):
        explore(arm, RandomExplorer(arm.m_channels), 1000, record=path, every=30)
    assert read_exploration(path).count == 66
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_record_is_there_on_the_way_and_refusals_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "made.npz"
    seen = []
    arm = Moody({})
    made = explore(
        arm,
        RandomExplorer(arm.m_channels),
        70,
        record=path,
        every=30,
        progress=lambda step: seen.append((step, path.exists())),
    )
    assert seen[:2] == [(30, True), (60, True)]
    assert (made.count, made.refused) == (47, 23)
    assert read_exploration(path).refused == 23


@pytest.mark.parametrize(
    "content",
    [b"", b"uuid\nx", b"a,b\n1,2\n", b"uuid,motor.a,sensed.b\n1,2,3\n", b"PK\x03\x04half"],
)
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_file_that_is_no_record(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="is no exploration"):
        read_exploration(path)


def test_record_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    arm = KinematicArm2D({})
    explorer = RandomExplorer(arm.m_channels)
    with pytest.raises(ConfigError, match=r"must end in \.npz or \.csv"):
        explore(arm, explorer, 1, record=tmp_path / "made.txt")
    with pytest.raises(ConfigError, match="steps: must be at least 1"):
        explore(arm, explorer, 0)
    (tmp_path / "file").write_text("")
    made = explore(arm, explorer, 1)
    with pytest.raises(RecordError, match="cannot be written"):
        write_exploration(made, tmp_path / "file" / "made.npz")
    with pytest.raises(RecordError, match="cannot be read"):
        read_exploration(tmp_path / "none.csv")
    other = tmp_path / "other.npz"
    np.savez(other, a=np.zeros(3))
    with pytest.raises(RecordError, match="is no exploration"):
        read_exploration(other)


def test_unbounded_channels_survive_the_record(tmp_path: Path) -> None:
    class Half(Environment):
        m_channels = (Channel("a", (0, 1)), Channel("b", (0, math.inf), fixed=2, unit="m"))
        s_channels = (Channel("c"),)

        def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
            return {"c": m_signal["a"]}

    path = tmp_path / "half.npz"
    half = Half({})
    explore(half, RandomExplorer(half.m_channels), 3, record=path)
    read = read_exploration(path)
    assert (read.m_channels, read.s_channels) == (Half.m_channels, Half.s_channels)


# --- Pictures


def test_picture_shows_what_was_reached() -> None:
    pytest.importorskip("matplotlib")
    from ab_ros.viz.exploration import exploration_figure

    arm = KinematicArm2D({})
    explorations = {
        "by chance": explore(arm, RandomExplorer(arm.m_channels), 50),
        "by goals": babble(arm, 50),
    }
    figure = exploration_figure(explorations)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["How far it got", "by chance: 50 orders", "by goals: 50 orders"]
    drawn = figure.axes[2].lines[1].get_xydata()
    np.testing.assert_array_equal(drawn, explorations["by goals"].sensed)
    assert figure.axes[1].get_xlim() == (-6.0, 6.0)
    with pytest.raises(ChannelError, match="no channel 'z'"):
        exploration_figure(explorations, ("x", "z"))
    with pytest.raises(ConfigError, match="two sensory channels"):
        exploration_figure(explorations, ("x",))
    with pytest.raises(ConfigError, match="nothing was executed"):
        exploration_figure({})
