"""Every environment keeps what environments promise; and each does what it is made for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.environments import Channel, Environment, OrderNotExecutableError
from ab_ros.environments.kinematic_arm import KinematicArm2D, KinematicArmSynergies2D
from ab_ros.environments.primitives import (
    Extent,
    FinalValues,
    MinimumJerk,
    Oscillation,
    WithPrimitives,
)
from ab_ros.environments.pushing import ObjectPushing2D
from ab_ros.environments.signals import in_bounds, random_signal, to_vector
from ab_ros.environments.vowels import VOWELS, VowelTract, formants, vowel_sound
from ab_ros.environments.worm_environment import WormArena
from ab_ros.errors import ChannelError, ConfigError, WorldError

Make = Callable[[], Environment]


def with_primitives() -> Environment:
    arm = KinematicArm2D({"dim": 3})
    return WithPrimitives(arm, MinimumJerk(arm.m_channels, dt=0.1), Extent(arm.s_channels))


def mujoco_arm() -> Environment:
    pytest.importorskip("mujoco")
    from ab_ros.environments.arm_environment import MujocoArm

    return MujocoArm({"duration": 0.1, "settle": 0.0, "seed": 3})


def mujoco_car() -> Environment:
    pytest.importorskip("mujoco")
    from ab_ros.environments.car_environment import MujocoCar

    return MujocoCar({"duration": 0.1, "seed": 3})


def gymnasium_task() -> Environment:
    pytest.importorskip("gymnasium")
    from ab_ros.environments.gymnasium_environment import GymnasiumEnvironment

    return GymnasiumEnvironment({"id": "Pendulum-v1"})


ENVIRONMENTS: dict[str, Make] = {
    "kinematic arm": lambda: KinematicArm2D({}),
    "synergies": lambda: KinematicArmSynergies2D({}),
    "pushing": lambda: ObjectPushing2D({"points": 50}),
    "vowels": lambda: VowelTract({}),
    "worm": lambda: WormArena({"ticks": 20}),
    "mujoco arm": mujoco_arm,
    "mujoco car": mujoco_car,
    "gymnasium": gymnasium_task,
    "with primitives": with_primitives,
}


@pytest.fixture(params=list(ENVIRONMENTS))
def make(request: pytest.FixtureRequest) -> Make:
    return ENVIRONMENTS[request.param]


@pytest.fixture
def environment(make: Make) -> Iterator[Environment]:
    with make() as made:
        yield made


# --- What all promise


def test_channels_are_named_and_motor_channels_bounded(environment: Environment) -> None:
    for channels in (environment.m_channels, environment.s_channels):
        assert channels
        assert len({channel.name for channel in channels}) == len(channels)
    random_signal(environment.m_channels, 0)


def test_answer_has_all_channels_and_keeps_their_bounds(environment: Environment) -> None:
    random = np.random.default_rng(1)
    seen = set()
    for _ in range(10):
        order = random_signal(environment.m_channels, random)
        feedback = environment.execute(order)
        assert in_bounds(feedback["m_signal"], environment.m_channels)
        assert list(feedback["s_signal"]) == [c.name for c in environment.s_channels]
        assert in_bounds(feedback["s_signal"], environment.s_channels), feedback
        seen.add(feedback["uuid"])
    assert len(seen) == 10


def test_what_is_out_of_bounds_is_not_executed(environment: Environment) -> None:
    order = {channel.name: 1e6 for channel in environment.m_channels}
    try:
        feedback = environment.execute(order)
    except OrderNotExecutableError:
        return
    assert in_bounds(feedback["m_signal"], environment.m_channels)
    for channel in environment.s_channels:
        # The stops of a joint give way a little.
        slack = 0.01 * (channel.bounds[1] - channel.bounds[0]) if channel.bounded else 0.0
        sensed = feedback["s_signal"][channel.name]
        assert channel.bounds[0] - slack <= sensed <= channel.bounds[1] + slack, channel


def test_what_does_not_fit_is_refused_and_changes_nothing(make: Make) -> None:
    with make() as environment, make() as untouched:
        order = random_signal(environment.m_channels, 2)
        name = next(c.name for c in environment.m_channels if c.fixed is None)
        for wrong in (
            {**order, name: math.nan},
            {**order, "no_such_channel": 0.0},
            {other: value for other, value in order.items() if other != name},
        ):
            with pytest.raises(ChannelError):
                environment.execute(wrong)
        assert environment.execute(order)["s_signal"] == untouched.execute(order)["s_signal"]


def test_meta_is_written_to_and_given_back(environment: Environment) -> None:
    meta: dict[str, Any] = {"mine": 1}
    environment.execute(random_signal(environment.m_channels, 3), meta)
    assert meta.pop("mine") == 1
    assert meta, "no environment of ours has nothing to say"


def test_same_seed_and_orders_give_the_same(make: Make) -> None:
    with make() as one, make() as other:
        other.execute(random_signal(other.m_channels, 4))
        first = [environment.reset(5) for environment in (one, other)]
        assert first[0] == first[1]
        assert list(first[0]) == [c.name for c in one.s_channels]
        assert in_bounds(first[0], one.s_channels)
        for seed in range(3):
            order = random_signal(one.m_channels, seed)
            assert one.execute(order)["s_signal"] == other.execute(order)["s_signal"]


def test_orders_make_a_difference(environment: Environment) -> None:
    results = []
    for seed in (6, 7):
        environment.reset(8)
        feedback = environment.execute(random_signal(environment.m_channels, seed))
        results.append(to_vector(feedback["s_signal"], environment.s_channels))
    assert not np.allclose(*results)


def test_what_is_closed_does_nothing_more_and_may_be_closed_twice(make: Make) -> None:
    environment = make()
    order = random_signal(environment.m_channels, 0)
    environment.close()
    environment.close()
    for use in (lambda: environment.execute(order), environment.reset):
        with pytest.raises(WorldError, match=f"{type(environment).__name__}: is closed"):
            use()


# --- The arm


def test_arm_executes_what_is_within_its_bounds_as_it_is() -> None:
    arm = KinematicArm2D({})
    order = random_signal(arm.m_channels, 0)
    assert arm.execute(order)["m_signal"] == order


def test_straight_arm_reaches_six_links_far() -> None:
    arm = KinematicArm2D({})
    assert [c.name for c in arm.m_channels] == ["j0", "j1", "j2", "j3", "j4", "j5"]
    assert all(c.bounds == (-150.0, 150.0) for c in arm.m_channels)
    feedback = arm.execute(dict.fromkeys(("j0", "j1", "j2", "j3", "j4", "j5"), 0))
    assert feedback["s_signal"] == {"x": 6.0, "y": 0.0}


def test_arm_bends_at_its_joints() -> None:
    arm = KinematicArm2D({"dim": 3, "lengths": [3, 2, 1]})
    order = {"j0": 90, "j1": -90, "j2": 90}
    assert arm.execute(order)["s_signal"] == pytest.approx({"x": 2, "y": 4})
    np.testing.assert_allclose(arm.posture(order), [(0, 0), (0, 3), (2, 3), (2, 4)], atol=1e-12)
    beyond = arm.execute({"j0": 500, "j1": 0, "j2": 0})
    assert beyond["m_signal"] == {"j0": 150.0, "j1": 0, "j2": 0}


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 12))
def test_arm_never_reaches_beyond_its_length(seed: int, dim: int) -> None:
    arm = KinematicArm2D({"dim": dim})
    posture = arm.posture(random_signal(arm.m_channels, seed))
    links = np.hypot(*np.diff(posture, axis=0).T)
    np.testing.assert_allclose(links, 1.0)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_synergies_keep_every_joint_within_its_limit(seed: int, count: int) -> None:
    arm = KinematicArmSynergies2D({"count": count})
    order = random_signal(arm.m_channels, seed)
    angles = to_vector(order, arm.m_channels) @ arm.synergies
    assert np.abs(np.degrees(angles)).max() <= 150.0 * (1 + 1e-12)
    assert len(arm.m_channels) == count


def test_first_synergy_curls_the_whole_arm() -> None:
    arm = KinematicArmSynergies2D({"count": 1})
    ends = arm.posture({"s0": 0.1})
    turns = np.diff(np.arctan2(*np.diff(ends, axis=0).T[::-1]))
    np.testing.assert_allclose(turns, math.radians(15.0))
    own = KinematicArmSynergies2D({"dim": 2, "weights": [[1, -1]], "limit": 90})
    assert own.execute({"s0": 1})["s_signal"] == pytest.approx({"x": 1.0, "y": 1.0})


@pytest.mark.parametrize(
    ("kind", "cfg", "words"),
    [
        (KinematicArm2D, {"lengths": [1]}, "lengths: must be 6"),
        (KinematicArm2D, {"dims": 3}, "did you mean 'dim'"),
        (KinematicArmSynergies2D, {"count": 7}, "at most the 6 joints"),
        (KinematicArmSynergies2D, {"weights": [[0] * 6]}, "not all 0"),
        (ObjectPushing2D, {"start": [0, 0, 151]}, "within 150"),
        (ObjectPushing2D, {"start": [45, 0, 0], "object_x": 2, "object_y": 2}, "on the object"),
        (ObjectPushing2D, {"object_x": 5}, "must lie on the table"),
    ],
)
def test_settings_that_contradict_each_other(kind: Any, cfg: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind(cfg)


# --- Pushing


def test_object_lies_still_unless_it_is_pushed() -> None:
    world = ObjectPushing2D({"dim": 2, "start": [0, 0], "object_x": 0.0, "object_y": 2.0})
    away = world.execute({"j0": -90, "j1": 0})["s_signal"]
    assert (away["object_x"], away["object_y"], away["moved"]) == (0.0, 2.0, 0.0)
    assert away["tip_y"] == pytest.approx(-2.0)
    # The straight arm sweeps to the left and takes the disc along.
    swept = world.execute({"j0": 120, "j1": 0})["s_signal"]
    assert swept["object_x"] < -0.5
    assert swept["moved"] > 0.5
    # Each execution begins anew.
    assert world.execute({"j0": -90, "j1": 0})["s_signal"]["moved"] == 0.0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), points=st.sampled_from([2, 10, 200]))
def test_tip_never_ends_inside_the_object(seed: int, points: int) -> None:
    world = ObjectPushing2D({"points": points, "table": 10})
    sensed = world.execute(random_signal(world.m_channels, seed))["s_signal"]
    apart = math.hypot(sensed["object_x"] - sensed["tip_x"], sensed["object_y"] - sensed["tip_y"])
    assert apart >= world.cfg.object_radius + world.cfg.tip_radius - 1e-9


# --- Vowels

# Averages of 33 men: Peterson & Barney, Control methods used in a study of the vowels, 1952.
MEN = {
    "i": (270, 2290, 3010),
    "ɪ": (390, 1990, 2550),
    "ɛ": (530, 1840, 2480),
    "æ": (660, 1720, 2410),
    "ɑ": (730, 1090, 2440),
    "ɔ": (570, 840, 2410),
    "ʊ": (440, 1020, 2240),
    "u": (300, 870, 2240),
}


@pytest.mark.parametrize("vowel", MEN)
def test_vowels_sound_as_men_say_them(vowel: str) -> None:
    tract = VowelTract({})
    order = dict(zip(("place", "radius", "lips"), VOWELS[vowel], strict=True))
    sensed = tract.execute(order)["s_signal"]
    assert list(sensed.values()) == pytest.approx(MEN[vowel], rel=0.1)


@pytest.mark.parametrize("length", [12.0, 17.5])
def test_even_tube_has_the_formants_of_a_quarter_wave(length: float) -> None:
    even = formants(np.full(30, 3.0), length, math.inf)
    np.testing.assert_allclose(even, 35_000 / (4 * length) * np.array([1, 3, 5]), rtol=1e-5)


def test_two_tubes_have_the_formants_of_the_text_book() -> None:
    """Fant's condition for two tubes, closed behind and open before: tan·tan = A_front / A_back."""
    areas = np.repeat((1.0, 7.0), (15, 15))
    found = formants(areas, 17.0, math.inf)
    k = 2 * np.pi * found / 35_000
    np.testing.assert_allclose(np.tan(8.5 * k) ** 2, 7.0, rtol=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.sampled_from([10.0, 16.0, 18.0]))
def test_formants_ascend_and_keep_their_bounds(seed: int, length: float) -> None:
    tract = VowelTract({"length": length})
    sensed = tract.execute(random_signal(tract.m_channels, seed))["s_signal"]
    assert sensed["F1"] < sensed["F2"] < sensed["F3"]
    assert in_bounds(sensed, tract.s_channels), sensed


def test_tract_that_has_too_few_formants() -> None:
    with pytest.raises(ChannelError, match="2 formants below 6000 Hz"):
        formants(np.full(8, 3.0), 5.0, math.inf)


def test_sound_has_its_peaks_at_the_formants() -> None:
    sound = vowel_sound((700.0, 1100.0, 2500.0), duration=0.5, pitch=100.0)
    assert sound.shape == (8000,)
    assert np.abs(sound).max() == 1.0
    spectrum = np.abs(np.fft.rfft(sound))
    harmonics = spectrum[50::50]  # of 100 Hz, 2 Hz a bin
    peaks = [
        100 * (k + 1) for k in range(1, 40) if harmonics[k - 1] < harmonics[k] > harmonics[k + 1]
    ]
    assert peaks == [700, 1100, 2500]
    np.testing.assert_array_equal(
        vowel_sound({"F1": 700.0, "F2": 1100.0, "F3": 2500.0}, duration=0.5, pitch=100.0), sound
    )
    with pytest.raises(ConfigError, match="below half"):
        vowel_sound((700.0, 9000.0))
    with pytest.raises(ConfigError, match="must get numbers, not 'a'"):
        vowel_sound(("a",))  # type: ignore[arg-type]


# --- The worm


def test_worm_crawls_forward_by_its_wave_and_turns_by_its_bend() -> None:
    crawl = {"frequency": 1.5, "amplitude": 0.3, "bend": 0.0}
    with WormArena({"ticks": 2000}) as arena:
        first = arena.reset(1)
        for _ in range(3):
            sensed = arena.execute(crawl)["s_signal"]
        way = (sensed["x"] - first["x"], sensed["y"] - first["y"])
        ahead = way[0] * math.cos(first["heading"]) + way[1] * math.sin(first["heading"])
        assert ahead > 0.2
        turned = []
        for bend in (0.1, -0.1):
            first = arena.reset(1)
            for _ in range(3):
                sensed = arena.execute({**crawl, "bend": bend})["s_signal"]
            turn = sensed["heading"] - first["heading"]
            turned.append(math.remainder(turn, 2 * math.pi))
        assert turned[0] > 0.2 > -0.2 > turned[1]


def test_worm_starts_elsewhere_each_time_and_smells_what_is_there() -> None:
    with WormArena({"ticks": 5}) as arena:
        places = [arena.reset() for _ in range(3)]
        assert len({place["x"] for place in places}) == 3
        still = arena.execute({"frequency": 0, "amplitude": 0, "bend": 0})["s_signal"]
        assert still["change"] == 0.0
        distance = math.hypot(still["x"] - 15.0, still["y"])
        assert still["concentration"] == pytest.approx(math.exp(-(distance**2) / 288.0))


# --- The arm in MuJoCo


def test_mujoco_arm_goes_where_it_is_told() -> None:
    pytest.importorskip("mujoco")
    from ab_ros.environments.arm_environment import MujocoArm

    with MujocoArm({"settle": 0.3}) as arm:
        first = arm.reset(0)
        assert {"hand_x", "hand_y", "hand_z", "azimuth", "elevation"} <= set(first)
        order = {c.name: c.rest for c in arm.m_channels}
        sensed = arm.execute({**order, "base_yaw": 0.5})["s_signal"]
        assert sensed["base_yaw"] == pytest.approx(0.5, abs=0.02)
        assert sensed["azimuth"] > first["azimuth"] + 0.3
        lowered = arm.execute({**order, "shoulder_pitch": 0.5})["s_signal"]
        assert lowered["hand_z"] < first["hand_z"] - 0.05
        assert arm.reset()["base_yaw"] == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(Exception, match="closed"):
        arm.execute(order)
    with MujocoArm({"world": {"renderer": "rays", "motion": {"mode": "hidden"}}}) as blind:
        assert "azimuth" not in blind.reset()


def test_mujoco_car_drives_ahead_and_turns_left() -> None:
    pytest.importorskip("mujoco")
    from ab_ros.environments.car_environment import MujocoCar

    with MujocoCar({"duration": 1.0}) as car:
        first = car.reset(0)
        meta: dict[str, Any] = {}
        sensed = car.execute({"linear": 0.3, "angular": 0.0}, meta)["s_signal"]
        ahead = (sensed["x"] - first["x"]) * math.cos(first["heading"])
        ahead += (sensed["y"] - first["y"]) * math.sin(first["heading"])
        assert ahead == pytest.approx(0.3, abs=0.05)
        assert sensed["speed"] == pytest.approx(0.3, abs=0.03)
        turned = car.execute({"linear": 0.0, "angular": 0.5})["s_signal"]
        turn = math.remainder(turned["heading"] - sensed["heading"], 2 * math.pi)
        assert turn == pytest.approx(0.5, abs=0.1)
        assert turned["azimuth"] > sensed["azimuth"] + 0.3
        top = {c.name: c.bounds[1] for c in car.m_channels}
        executed = car.execute(top)["m_signal"]
        ratio = top["linear"] / top["angular"]
        assert executed["linear"] < top["linear"]
        assert executed["linear"] / executed["angular"] == pytest.approx(ratio)


# --- Primitives


def test_minimum_jerk_goes_smoothly_from_rest_to_rest() -> None:
    way = MinimumJerk([Channel("a", (-2, 2)), Channel("b", (0, 9))], {"a": 1, "b": 0}, 2.0, 0.01)
    trajectory = way.trajectory({"a": -1, "b": 4})
    assert trajectory.names == ("a", "b")
    assert trajectory.times[[0, -1]] == pytest.approx([0.01, 2.0])
    assert trajectory.values[-1] == pytest.approx([-1, 4], abs=0)
    assert trajectory.values[99] == pytest.approx([0.0, 2.0])
    speed = np.diff(np.vstack(([1, 0], trajectory.values)), axis=0) / 0.01
    assert np.abs(speed[[0, -1]]).max() < 0.01
    # 15/8 of the mean speed, in the middle.
    assert np.abs(speed[:, 1]).max() == pytest.approx(1.875 * 2.0, rel=1e-3)


def test_oscillation_swings_within_the_bounds() -> None:
    swing = Oscillation([Channel("a", (0, 4))], frequency=(0.5, 2), duration=2.0, dt=0.001)
    assert [c.name for c in swing.m_channels] == ["frequency", "a.middle", "a.amplitude", "a.phase"]
    order = {"frequency": 1.0, "a.middle": 2.0, "a.amplitude": 1.0, "a.phase": 0.0}
    values = swing.trajectory(order).values[:, 0]
    assert values.min() == pytest.approx(1.0)
    assert values.max() == pytest.approx(3.0)
    assert values[249] == pytest.approx(3.0)
    cut = swing.trajectory({**order, "a.middle": 4.0}).values
    assert cut.max() == 4.0


def test_environment_with_primitives_plays_every_point() -> None:
    arm = KinematicArm2D({"dim": 1})
    moved = WithPrimitives(arm, MinimumJerk(arm.m_channels, dt=0.01), Extent(arm.s_channels))
    meta: dict[str, Any] = {}
    sensed = moved.execute({"j0": 90}, meta)["s_signal"]
    assert meta["raw"]["y"].shape == (100,)
    assert sensed["y.most"] == pytest.approx(1.0)
    assert sensed["x.least"] == pytest.approx(0.0, abs=1e-12)
    last = WithPrimitives(arm, MinimumJerk(arm.m_channels), FinalValues(arm.s_channels[:1]))
    assert last.execute({"j0": 60})["s_signal"] == pytest.approx({"x": 0.5})


PRIMITIVES = "ab_ros.environments.primitives"
ARM = {"classname": "ab_ros.environments.kinematic_arm.KinematicArm2D", "dim": 2}


def test_primitives_are_made_of_a_configuration() -> None:
    cfg = {
        "classname": f"{PRIMITIVES}.WithPrimitives",
        "environment": ARM,
        "motor": {"classname": f"{PRIMITIVES}.MinimumJerk", "dt": 0.5},
        "sensory": {"classname": f"{PRIMITIVES}.Extent", "channels": ["y"]},
    }
    meta: dict[str, Any] = {}
    with Environment.create(cfg) as made:
        assert [c.name for c in made.m_channels] == ["j0", "j1"]
        sensed = made.execute({"j0": 90, "j1": 0}, meta)["s_signal"]
    assert list(sensed) == ["y.least", "y.mean", "y.most"]
    assert sensed["y.most"] == pytest.approx(2.0)
    assert meta["raw"]["x"].shape == (2,)
    with Environment.create({"classname": cfg["classname"], "environment": ARM}) as usual:
        assert usual.execute({"j0": 90, "j1": 0})["s_signal"] == pytest.approx({"x": 0, "y": 2})


def test_configuration_moves_what_is_not_fixed() -> None:
    with WithPrimitives(
        {
            "environment": {"classname": f"{WormArena.__module__}.WormArena", "ticks": 5},
            "motor": {"classname": f"{PRIMITIVES}.MinimumJerk", "duration": 0.1, "dt": 0.1},
        }
    ) as worm:
        assert [c.name for c in worm.m_channels] == ["frequency", "amplitude", "bend"]
        worm.execute(random_signal(worm.m_channels, 0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": {"dim": 2}}, "must be a class by its path"),
        ({"motor": {"duration": 1.0}}, "motor.classname: must be a class by its path"),
        ({"motor": {"classname": f"{PRIMITIVES}.Jerk"}}, "motor.classname: .* cannot be found"),
        (
            {"motor": {"classname": f"{PRIMITIVES}.MinimumJerk", "length": 1.0}},
            "motor: cannot be made: .*length",
        ),
        (
            {"motor": {"classname": f"{PRIMITIVES}.MinimumJerk", "duration": -1.0}},
            "motor: cannot be made: MinimumJerk.duration: must be",
        ),
        ({"motor": {"classname": f"{PRIMITIVES}.Extent"}}, "Extent has no m_channels"),
        (
            {"sensory": {"classname": f"{PRIMITIVES}.Extent", "channels": ["z"]}},
            "sensory.channels: no channel 'z'",
        ),
        (
            {"sensory": {"classname": f"{PRIMITIVES}.Extent", "channels": "xy"}},
            "sensory.channels: must be a list",
        ),
        ({"motors": {}}, "did you mean 'motor'"),
    ],
)
def test_configuration_of_primitives_that_is_not_allowed(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        WithPrimitives({"environment": ARM, **changes})


def test_primitives_are_all_needed_or_a_configuration() -> None:
    arm = KinematicArm2D({})
    with pytest.raises(ConfigError, match="needs an environment, a motor and a sensory primitive"):
        WithPrimitives(arm)
    with pytest.raises(ConfigError, match="must be a mapping or PrimitiveSettings, not 3"):
        WithPrimitives(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda arm: MinimumJerk(arm.m_channels, duration=0.0), "duration"),
        (lambda arm: MinimumJerk(arm.m_channels, dt=math.nan), "dt"),
        (lambda arm: MinimumJerk(arm.m_channels, dt=1e-9), "at most 1000000"),
        (lambda arm: MinimumJerk(arm.m_channels, {"j0": 1}), "'j1' is missing"),
        (lambda arm: Oscillation([Channel("a")]), "'a' must have finite bounds"),
        (lambda arm: Oscillation([], frequency=(0, 1)), "greater than 0"),
        (
            lambda arm: WithPrimitives(arm, MinimumJerk([Channel("q")]), FinalValues([])),
            "no channel 'q'",
        ),
        (
            lambda arm: WithPrimitives(arm, MinimumJerk(arm.m_channels[:1]), FinalValues([])),
            "'j1' is missing",
        ),
    ],
)
def test_primitives_that_do_not_fit(make: Callable[[Environment], Any], words: str) -> None:
    with pytest.raises(ChannelError, match=words):
        make(KinematicArm2D({"dim": 2}))


def test_sensor_that_has_shown_nothing() -> None:
    arm = KinematicArm2D({"dim": 1})
    moved = WithPrimitives(arm, MinimumJerk(arm.m_channels), FinalValues([Channel("z")]))
    with pytest.raises(ChannelError, match="'z' has shown nothing; there are: x, y"):
        moved.execute({"j0": 0})
