"""The ready-made policies: what terms are worth, how they add up, which options are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.config import describe
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, PolicyError
from ab_ros.learning.critic import Critic, CriticSettings
from ab_ros.learning.policies import Policies, load_policies
from ab_ros.learning.tasks import Tasks
from ab_ros.learning.terms import KINDS
from ab_ros.learning.trial import example_moment

CONTRACT = Contract.from_dict(
    {
        "constants": {"gamma": 10, "feedbackT": 8},
        "io": {
            "outputs": [{"id": "pan", "n": 4}],
            "feedback": [{"id": "fb", "n": 10, "fromOutput": "pan"}],
            "stdp3": {"layers": ["pan", "tilt"]},
        },
    }
)


def seen(azimuth: float, elevation: float = 0.0) -> dict[str, float]:
    return {"azimuth": azimuth, "elevation": elevation, "error": math.hypot(azimuth, elevation)}


def moved(before: float, after: float, *velocities: float) -> dict[str, float | None]:
    first, last = velocities or (None, None)
    return {
        "before": before,
        "after": after,
        "velocity_before": first,
        "velocity_after": last,
    }


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "executed": True,
        "duration": 0.02,
        "joints": {"yaw": moved(0.1, 0.2, 1.0, 3.0), "pitch": moved(0.0, 0.0, 0.0, 0.0)},
        "target": {"before": seen(0.3, -0.4), "after": seen(0.2, -0.4)},
        "spikes": {"pan": {"count": 5, "first_half": 4, "second_half": 1, "neurons": 8}},
        **changes,
    }


UNSEEN = {"target": {"before": seen(0.1), "after": None}}


def worth(term: dict[str, Any], **changes: Any) -> float:
    """Return the value of one term, from the reward that it earns alone."""
    reward, _ = Tasks({"terms": {"it": term}}).compute_reward(summary(**changes), stdp_layers=())
    return round(2.0 * reward - 1.0, 9)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        # From 0.5 to 0.4 rad of the goal: 0.1 rad closer.
        ({"kind": "joint_goal", "joints": {"yaw": 0.6}, "scale": 0.2}, 0.5),
        ({"kind": "joint_goal", "joints": {"yaw": 0.6}, "scale": 0.05}, 1.0),
        ({"kind": "joint_goal", "joints": {"yaw": -0.3}, "scale": 0.2}, -0.5),
        ({"kind": "joint_goal", "joints": {"yaw": 0.6}, "scale": 0.2, "impatience": 0.4}, 0.3),
        ({"kind": "joint_goal", "joints": {"yaw": 0.5, "pitch": 0.4}, "measure": "closeness"}, 0.0),
        ({"kind": "target_direction", "axis": "azimuth", "scale": 0.2}, 0.5),
        ({"kind": "target_direction", "axis": "elevation", "scale": 0.2}, 0.0),
        ({"kind": "target_direction", "axis": "azimuth", "scale": 0.2, "jump": 0.05}, 0.0),
        # Turning alone brings nothing nearer: 1.017 m before and after.
        ({"kind": "target_distance", "keep": 0.5, "height": 0.43}, 0.0),
        ({"kind": "target_distance", "keep": 0.5, "height": 0.43, "impatience": 0.4}, -0.4),
        ({"kind": "tracking_error", "axis": "azimuth", "full": 0.4}, 0.0),
        ({"kind": "tracking_error", "axis": "azimuth", "full": 0.4, "tolerance": 0.2}, 1.0),
        ({"kind": "tracking_error", "axis": "elevation", "full": 0.1}, -1.0),
        ({"kind": "success", "joints": {"yaw": 0.21}, "within": 0.02}, 1.0),
        ({"kind": "success", "joints": {"yaw": 0.3}, "within": 0.02}, 0.0),
        ({"kind": "success", "joints": {"yaw": 0.3}, "within": 0.02, "failure": -0.5}, -0.5),
        ({"kind": "success", "target_within": 0.3, "axis": "azimuth"}, 1.0),
        ({"kind": "success", "joints": {"yaw": 0.2}, "target_within": 0.1}, 0.0),
        # 0.1 rad in 20 ms are 5 rad/s; the velocity rose by 2 rad/s.
        ({"kind": "smoothness", "speed": 10.0}, -0.5),
        ({"kind": "smoothness", "speed": 10.0, "joints": ["pitch"]}, 0.0),
        ({"kind": "smoothness", "jump": 8.0}, -0.25),
        ({"kind": "smoothness", "speed": 12.5, "jump": 20 / 3}, -0.5),
        ({"kind": "smoothness", "speed": 1.0}, -1.0),
        ({"kind": "joint_limits", "limits": {"yaw": {"lower": -1.0, "upper": 0.25}}}, -0.5),
        ({"kind": "joint_limits", "limits": {"yaw": {"lower": -1.0, "upper": 0.1}}}, -1.0),
        ({"kind": "joint_limits", "limits": {"yaw": {"lower": -1.0, "upper": 1.0}}}, 0.0),
        ({"kind": "grasp", "output": "pan", "on_target": 0.6, "scale": 6.0}, 0.5),
        ({"kind": "grasp", "output": "pan", "on_target": 0.1, "scale": 6.0}, -0.5),
    ],
)
def test_a_term_is_worth_what_its_formula_says(term: dict[str, Any], expected: float) -> None:
    assert worth(term) == pytest.approx(expected)
    assert worth(term, executed=False) == 0.0


@pytest.mark.parametrize("kind", ["target_direction", "tracking_error"])
def test_a_target_out_of_view_says_nothing(kind: str) -> None:
    assert worth({"kind": kind}, **UNSEEN) == 0.0
    assert worth({"kind": "success", "target_within": 1.0}, **UNSEEN) == 0.0


def seen_from(ahead: float, right: float, height: float, pitch: float) -> dict[str, float]:
    """Return where a camera that looks down by ``pitch`` sees what is so far below it."""
    cos, sin = math.cos(pitch), math.sin(pitch)
    forward, down = cos * ahead + sin * height, cos * height - sin * ahead
    return seen(math.atan2(right, forward), math.atan2(-down, math.hypot(right, forward)))


@given(
    ways=st.lists(st.tuples(st.floats(0.2, 4.0), st.floats(-1.5, 1.5)), min_size=2, max_size=2),
    height=st.floats(0.1, 1.0),
    pitch=st.floats(-0.5, 1.0),
)
def test_a_distance_is_known_from_where_the_camera_sees_the_target(
    ways: list[tuple[float, float]], height: float, pitch: float
) -> None:
    before, after = (math.hypot(*way) for way in ways)
    target = {
        when: seen_from(*way, height, pitch)
        for when, way in zip(("before", "after"), ways, strict=True)
    }
    term = {"kind": "target_distance", "keep": 1.0, "height": height, "pitch": pitch, "scale": 0.5}
    expected = (abs(before - 1.0) - abs(after - 1.0)) / 0.5
    assert worth(term, target=target) == pytest.approx(max(-1.0, min(1.0, expected)), abs=1e-6)
    if abs(expected) > 0.1:
        assert worth({**term, "jump": 0.04}, target=target) == 0.0


def test_a_distance_of_a_target_that_is_not_below_the_camera_says_nothing() -> None:
    term = {"kind": "target_distance", "keep": 1.0, "height": 0.4, "impatience": 0.5}
    assert worth(term, **UNSEEN) == 0.0
    assert worth(term, target={"before": seen(0.0, -0.3), "after": seen(0.0, 0.1)}) == 0.0


TERMS = {
    "reach": {"kind": "joint_goal", "joints": {"yaw": 0.6}, "scale": 0.2},
    "smooth": {"kind": "smoothness", "speed": 10.0, "weight": 0.4},
    "done": {"kind": "success", "joints": {"yaw": 0.2}, "weight": 2.0},
}


def test_terms_add_up_by_weight_for_each_layer() -> None:
    options = {"terms": TERMS, "layers": {"pan": ["reach", "smooth"], "tilt": []}}
    overall, by_layer = Tasks(options).compute_reward(summary(), stdp_layers=("pan", "tilt", "x"))
    assert overall == 1.0  # 0.5 - 0.4 · 0.5 + 2, clipped
    assert by_layer == {"pan": pytest.approx(0.65), "tilt": 0.5, "x": 1.0}
    overall, _ = Tasks({**options, "overall": ["smooth"]}).compute_reward(summary(), stdp_layers=())
    assert overall == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "options.terms: must have at least one term"),
        ({"term": {}}, "options.term: unknown key; did you mean 'terms'?"),
        ({"terms": {"a": 3}}, "options.terms.a: must be a mapping with a kind, not 3"),
        ({"terms": {"a": {}}}, "options.terms.a.kind: is required but missing; one of: joint_goal"),
        ({"terms": {"a": {"kind": ["x"]}}}, "options.terms.a.kind: ['x'] is not allowed; one of:"),
        (
            {"terms": {"a": {"kind": "joint_goal", "joints": {}}}},
            "options.terms.a: joints: must name at least one joint",
        ),
        (
            {"terms": {"a": {"kind": "joint_goal", "joints": {"yaw": "left"}}}},
            "options.terms.a.joints.yaw: must be a number, not 'left'",
        ),
        (
            {"terms": {"a": {"kind": "smoothness", "sped": 1.0}}},
            "options.terms.a.sped: unknown key; did you mean 'speed'?",
        ),
        (
            {"terms": {"a": {"kind": "tracking_error", "full": 0.0}}},
            "options.terms.a.full: 0.0 is not allowed; must be > 0 rad",
        ),
        (
            {"terms": {"a": {"kind": "tracking_error", "weight": math.nan}}},
            "options.terms.a.weight: nan is not allowed",
        ),
        ({"terms": {"a": {"kind": "success"}}}, "options.terms.a: joints or target_within"),
        ({"terms": {"a": {"kind": "smoothness"}}}, "options.terms.a: speed or jump"),
        (
            {"terms": {"a": {"kind": "joint_limits", "limits": {"yaw": {"lower": 1, "upper": 0}}}}},
            "options.terms.a.limits.yaw: lower: must be below upper",
        ),
        (
            {"terms": TERMS, "layers": {"pan": ["raech"]}},
            "options.layers.pan: 'raech' is no term; one of: reach, smooth, done",
        ),
        ({"terms": TERMS, "overall": ["x"]}, "options.overall: 'x' is no term"),
        ({"feedback": {"fb": {}}}, "options.feedback.fb: axis or joint: exactly one of the two"),
        (
            {"feedback": {"fb": {"axis": "azimuth", "sign": 2.0}}},
            "options.feedback.fb.sign: 2.0 is not allowed",
        ),
    ],
)
def test_an_option_that_is_not_allowed_is_named_when_it_is_loaded(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_policies("ab_ros.learning.tasks", "", options)
    assert str(error.value).startswith(says)


@pytest.mark.parametrize(
    ("term", "says"),
    [
        (
            {"kind": "joint_goal", "joints": {"jaw": 0.3}},
            "options.terms.it.joints: joint_states has no 'jaw'; one of: yaw, pitch, still",
        ),
        (
            {"kind": "grasp", "output": "grip"},
            "options.terms.it.output: 'grip' is none of the brain's; one of: pan",
        ),
        (
            {"kind": "smoothness", "jump": 1.0, "joints": ["still"]},
            "options.terms.it.jump: joint_states has no velocity of joint 'still'",
        ),
    ],
)
def test_what_the_robot_does_not_have_is_named(term: dict[str, Any], says: str) -> None:
    policies = load_policies("ab_ros.learning.tasks", "", {"terms": {"it": term}})
    what = summary()
    what["joints"]["still"] = moved(0.0, 0.0)
    with pytest.raises(PolicyError) as error:
        policies.reward(what, ())
    assert str(error.value).startswith(says)


def test_a_feedback_is_on_for_a_share_of_the_error_on_its_side() -> None:
    options = {
        "feedback": {
            "right": {"axis": "azimuth", "full": 0.4},
            "left": {"axis": "azimuth", "sign": -1.0, "full": 0.4},
            "bend": {"joint": "yaw", "goal": 0.45, "full": 0.5},
        }
    }
    policies = load_policies("", "ab_ros.learning.tasks", options)

    def on(feedback: str, **changes: Any) -> int:
        deviation = policies.deviation(feedback, 40, summary(**changes))
        assert deviation is not None
        assert set(deviation.values.tolist()) <= {-1.0, 0.0, 1.0}
        return int((deviation.values > 0).sum())

    assert (on("right"), on("left"), on("bend"), on("another")) == (20, 0, 20, 0)
    silent = policies.deviation("right", 4, summary(**UNSEEN))
    assert silent is not None and silent.values.tolist() == [0.0] * 4


FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False, allow_nan=False)
JOINTS = st.dictionaries(
    st.sampled_from(["yaw", "pitch"]),
    st.builds(moved, FINITE, FINITE, FINITE, FINITE),
    min_size=2,
)
BEARING = st.none() | st.fixed_dictionaries(
    dict.fromkeys(("azimuth", "elevation", "error"), FINITE)
)
SUMMARIES = st.fixed_dictionaries(
    {
        "executed": st.just(True),
        "duration": POSITIVE,
        "joints": JOINTS,
        "target": st.fixed_dictionaries({"before": BEARING, "after": BEARING}),
        "spikes": st.just({"pan": {"first_half": 10**6, "second_half": 0}}),
    }
)
GOALS = st.dictionaries(st.sampled_from(["yaw", "pitch"]), FINITE, min_size=1)
ANY_TERM = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("joint_goal"), "joints": GOALS, "scale": POSITIVE, "full": POSITIVE},
        optional={
            "impatience": st.floats(0, 1),
            "measure": st.sampled_from(["progress", "closeness"]),
        },
    ),
    st.fixed_dictionaries(
        {"kind": st.just("target_direction"), "scale": POSITIVE, "full": POSITIVE},
        optional={"jump": POSITIVE, "impatience": st.floats(0, 1)},
    ),
    st.fixed_dictionaries(
        {"kind": st.just("target_distance"), "keep": POSITIVE, "height": POSITIVE},
        optional={"jump": POSITIVE, "impatience": st.floats(0, 1), "pitch": st.floats(-1, 1)},
    ),
    st.fixed_dictionaries({"kind": st.just("tracking_error"), "full": POSITIVE}),
    st.fixed_dictionaries(
        {"kind": st.just("success"), "joints": GOALS}, optional={"failure": st.floats(-1, 0)}
    ),
    st.fixed_dictionaries({"kind": st.just("smoothness"), "speed": POSITIVE, "jump": POSITIVE}),
    st.fixed_dictionaries(
        {
            "kind": st.just("joint_limits"),
            "limits": st.just({"yaw": {"lower": -1e300, "upper": 1e308}}),
            "margin": POSITIVE,
        }
    ),
    st.fixed_dictionaries({"kind": st.just("grasp"), "output": st.just("pan"), "scale": POSITIVE}),
)


@given(st.dictionaries(st.sampled_from("abcd"), ANY_TERM, min_size=1), SUMMARIES)
def test_a_reward_is_finite_and_within_bounds_whatever_is_measured(
    terms: dict[str, Any], what: dict[str, Any]
) -> None:
    weighted = {
        name: {**term, "weight": 1000.0 if name == "a" else 1.0} for name, term in terms.items()
    }
    options = {"terms": weighted, "layers": {"x": [*terms][:1]}}
    overall, by_layer = Tasks(options).compute_reward(what, stdp_layers=("pan",))
    for value in (overall, *by_layer.values()):
        assert 0.0 <= value <= 1.0


def test_every_kind_is_described_and_tells_its_formula() -> None:
    for kind in KINDS.values():
        assert "v = " in (kind.__doc__ or ""), kind
        assert "| `weight` | number | 1.0 |" in describe(kind)


def test_a_critic_takes_the_ready_made_policies_from_its_options_alone() -> None:
    settings = CriticSettings(
        reward_policy="ab_ros.learning.tasks",
        deviation_policy="ab_ros.learning.tasks",
        options={
            "terms": {"see": {"kind": "tracking_error", "full": 3.2}},
            "layers": {"pan": ["see"], "pna": ["see"]},
            "feedback": {"fb": {"axis": "azimuth"}},
        },
    )
    critic = Critic(settings, CONTRACT)
    reward, deviations = critic.judge(example_moment(CONTRACT))
    assert reward is not None and set(reward.by_layer) == {"pan", "tilt"}
    assert reward.overall > 0.5 and len(deviations) == 1
    (complaint,) = critic.complaints()
    assert complaint == "1 rewards for layer 'pna'; the brain has pan, tilt"


def test_policies_that_cannot_keep_up_are_counted_and_named() -> None:
    ticks = iter([0.0, 0.001, 0.002, 10.0, 10.5, 10.6])
    settings = CriticSettings(reward_policy="ab_ros.learning.tracking")
    critic = Critic(settings, CONTRACT, clock=lambda: next(ticks))
    critic.judge(example_moment(CONTRACT))
    assert critic.slow == 0 and critic.complaints() == ()
    critic.judge(example_moment(CONTRACT))
    assert critic.slow == 1
    (complaint,) = critic.complaints()
    assert "tracking.py:" in complaint
    assert "took 600.0 ms (reward 500.0 ms, deviations 100.0 ms) for a cycle of 10 ms" in complaint


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.integers(0, 9), st.integers(0, 9))
def test_the_tracking_policy_can_be_put_together_from_terms(
    angles: list[float], first: int, second: int
) -> None:
    common = {"scale": 0.07, "impatience": 0.3, "full": 0.1745, "jump": 0.5}
    axes = {"pan": "azimuth", "tilt": "elevation", "grip": "grasp"}
    rules = {"fb": {"axis": "azimuth", "sign": -1.0}}
    tracking = {"axes": axes, "on_target": 0.1, "grasp_scale": 8.0, "feedback": rules, **common}
    options = {
        "terms": {
            **{
                layer: {"kind": "target_direction", "axis": axes[layer], **common}
                for layer in ("pan", "tilt")
            },
            "grip": {"kind": "grasp", "output": "grip", "on_target": 0.1, "scale": 8.0},
        },
        "layers": {layer: [layer] for layer in axes},
        "overall": ["pan", "tilt"],
        "feedback": {"fb": {**rules["fb"], "full": 0.1745}},
    }
    what = summary(
        target={"before": seen(*angles[:2]), "after": seen(*angles[2:])},
        spikes={"grip": {"first_half": first, "second_half": second}},
        options=tracking,
    )
    one, other = (
        load_policies(f"ab_ros.learning.{name}", f"ab_ros.learning.{name}", given)
        for name, given in (("tracking", tracking), ("tasks", options))
    )
    assert one.reward(what, tuple(axes)) == other.reward(what, tuple(axes))
    for feedback in ("fb", "another"):
        deviations = [made.deviation(feedback, 40, what) for made in (one, other)]
        assert deviations[0] is not None and deviations[1] is not None
        assert deviations[0].values.tolist() == deviations[1].values.tolist()


def test_no_policy_at_all_says_nothing() -> None:
    assert Policies(None, None).reward({}, ()) is None
    assert Policies(None, None).deviation("fb", 3, {}) is None
