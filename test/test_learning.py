"""Rewards, feedback and policies: what they mean, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_ros.contract import Contract
from ab_ros.errors import PolicyError
from ab_ros.learning.critic import Critic, CriticSettings, Moment, Snapshot
from ab_ros.learning.feedback import FeedbackRaster
from ab_ros.learning.modulation import RewardModulation
from ab_ros.learning.policies import load_policies
from ab_ros.values import Cycle, Deviation, Reward

CONTRACT = Contract.from_dict(
    {
        "constants": {"gamma": 4, "feedbackT": 8},
        "io": {
            "outputs": [{"id": "pan", "n": 4}],
            "feedback": [{"id": "fb", "n": 10, "fromOutput": "pan"}],
            "stdp3": {"layers": ["pan", "tilt"]},
        },
    }
)


def feedback() -> FeedbackRaster:
    return FeedbackRaster("fb", 10, 8, CONTRACT.sha256)


def deviation(*values: float) -> Deviation:
    return Deviation("fb", np.array(values, np.float32))


def moment(before: float, after: float, spikes: int = 0, executed: bool = True) -> Moment:
    """Return a moment in which the target moves from ``before`` to ``after`` rad in azimuth."""
    raster = np.zeros((4, 4), np.uint8)
    raster[:spikes, 0] = 1
    cycle = Cycle("run", 3, {"pan": raster}, 0.001, 0.0, 0.0)
    shots = [
        Snapshot(t, {"base": t}, (float(np.sin(a)), 0.0, float(np.cos(a))))
        for t, a in ((0.0, before), (0.1, after))
    ]
    options = {"axes": {"pan": "azimuth", "tilt": "elevation"}, "scale": 0.1}
    return Moment(cycle, executed, shots[0], shots[1], options)


def test_a_deviation_recruits_neurons_in_a_fixed_order() -> None:
    raster = feedback()
    first = raster.apply(deviation(0.3, 0.5, 1.0, 0, 0, 0, 0, 0)).copy()
    assert first.sum(axis=1).tolist() == [3, 5, 10, 0, 0, 0, 0, 0]
    assert np.all(first[0] <= first[1])
    assert np.array_equal(feedback().apply(deviation(0.3, 0.5, 1.0, 0, 0, 0, 0, 0)), first)


def test_feedback_is_stateful_and_negative_deviations_clear() -> None:
    raster = feedback()
    raster.apply(deviation(*[1.0] * 8))
    after = raster.apply(deviation(-0.4, -1.0, 0, 0, 0, 0, 0, 0))
    assert after.sum(axis=1).tolist() == [6, 0, 10, 10, 10, 10, 10, 10]
    raster.reset()
    assert not raster.baseline.any()


def test_a_cycle_plays_the_row_of_its_timestep() -> None:
    raster = feedback()
    raster.apply(deviation(1, 0, 0, 0, 0, 0, 1, 0))
    assert raster.played(4).sum(axis=1).tolist() == [10, 0, 0, 10]
    assert raster.played(16).sum(axis=1).tolist() == [10, 10, *[0] * 10, 10, 10, 0, 0]


def test_a_deviation_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(PolicyError, match="must have 8 values, not 3"):
        feedback().apply(deviation(0, 0, 0))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 100))
def test_modulation_stays_in_bounds(rewards: list[float], cycles: float) -> None:
    modulation = RewardModulation(("a",), cycles)
    for value in rewards:
        assert -1.0 <= modulation.modulate(Reward(value))["a"] <= 1.0


def test_neutral_teaches_nothing_and_a_constant_reward_stops_teaching() -> None:
    assert RewardModulation(("a",)).modulate(Reward(0.5)) == {"a": 0.0}
    modulation = RewardModulation(("a",), 20)
    values = [modulation.modulate(Reward(1.0))["a"] for _ in range(200)]
    assert values[0] == 1.0 and values[-1] < 0.01


def test_a_layer_without_a_reward_gets_the_global_one() -> None:
    modulation = RewardModulation(("a", "b"))
    assert modulation.modulate(Reward(0.75, {"b": 0.0})) == {"a": 0.5, "b": -1.0}


def test_taking_error_away_is_rewarded_and_adding_it_punished() -> None:
    critic = Critic(CriticSettings(), CONTRACT)
    better, _ = critic.judge(moment(0.3, 0.25))
    worse, _ = critic.judge(moment(0.3, 0.35))
    refused, _ = critic.judge(moment(0.3, 0.25, executed=False))
    assert better is not None and better.by_layer["pan"] == pytest.approx(0.75)
    assert worse is not None and worse.by_layer["pan"] == pytest.approx(0.25)
    assert refused is not None and refused.by_layer["pan"] == 0.5


def test_shuffled_rewards_keep_their_values_but_not_their_times() -> None:
    plain = Critic(CriticSettings(), CONTRACT)
    shuffled = Critic(CriticSettings(shuffle=True), CONTRACT)
    errors = np.random.default_rng(0).uniform(0.2, 0.4, (1000, 2))
    pairs = []
    for before, after in errors:
        true, _ = plain.judge(moment(before, after))
        false, _ = shuffled.judge(moment(before, after))
        assert true is not None and false is not None
        pairs.append((true.by_layer["pan"], false.by_layer["pan"]))
    true_values, false_values = np.array(pairs).T
    assert abs(np.corrcoef(true_values, false_values)[0, 1]) < 0.1
    assert false_values.std() == pytest.approx(true_values.std(), rel=0.1)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_users_policy_file_is_used(tmp_path: Path) -> None:
    file = write(
        tmp_path / "reward_policy.py",
        "def compute_reward(summary, *, stdp_layers):\n"
        "    return 2.0, {layer: summary['spikes']['pan']['count'] / 4 for layer in stdp_layers}\n",
    )
    critic = Critic(CriticSettings(reward_policy=file), CONTRACT)
    reward, _ = critic.judge(moment(0.1, 0.1, spikes=3))
    assert reward == Reward(1.0, {"pan": 0.75, "tilt": 0.75})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return float('nan'), {}", "the global reward must be finite"),
        ("return 0.5, {'pan': 'high'}", "layer 'pan' must be a number, not 'high'"),
        ("return 0.5", "must return (global reward, {layer: reward}), not 0.5"),
        ("return 1 / 0", "reward_policy.py:2: compute_reward failed: ZeroDivisionError"),
    ],
)
def test_a_bad_reward_is_refused_and_the_loop_goes_on(tmp_path: Path, body: str, says: str) -> None:
    file = write(
        tmp_path / "reward_policy.py",
        f"def compute_reward(summary, *, stdp_layers):\n    {body}\n",
    )
    critic = Critic(CriticSettings(reward_policy=file), CONTRACT)
    reward, _ = critic.judge(moment(0.1, 0.1))
    assert reward is None and critic.failures == 1 and says in critic.last_failure


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return [0.0]", "must return 8 numbers"),
        ("return [float('inf')] * T", "not finite"),
        ("return None", "must return 8 numbers"),
    ],
)
def test_a_bad_deviation_is_refused(tmp_path: Path, body: str, says: str) -> None:
    file = write(
        tmp_path / "error_deviation_policy.py",
        f"def compute_deviation(feedback_id, *, T, ctx=None):\n    {body}\n",
    )
    critic = Critic(CriticSettings(reward_policy="", deviation_policy=file), CONTRACT)
    reward, deviations = critic.judge(moment(0.1, 0.1))
    assert reward is None and deviations == () and says in critic.last_failure


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("/nowhere/policy.py", "there is no such policy file"),
        ("no_such_module_of_policies", "cannot be imported"),
        ("math", "has no function compute_reward()"),
    ],
)
def test_a_policy_that_cannot_be_loaded_is_named(where: str, says: str) -> None:
    with pytest.raises(PolicyError) as error:
        load_policies(where, "")
    assert says in str(error.value)


def test_the_tracking_deviation_has_a_duty_cycle_of_the_error() -> None:
    policies = load_policies("", "ab_ros.learning.tracking")
    options = {"feedback": {"fb": {"axis": "azimuth", "sign": 1.0}}, "full": 0.4}
    for error, expected in ((0.0, 0), (0.1, 10), (0.2, 20), (0.8, 40), (-0.3, 0)):
        context = {"target": {"after": {"azimuth": error}}, "options": options}
        answer = policies.deviation("fb", 40, context)
        assert answer is not None and int((answer.values > 0).sum()) == expected
