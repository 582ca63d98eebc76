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
from ab_ros.learning.policies import Policies, load_policies
from ab_ros.learning.scaffold import sync_policies
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
        (
            "return float('nan'), {}",
            "reward_policy.py:1: compute_reward: the global reward must be finite, not nan",
        ),
        ("return 0.5, {'pan': 'high'}", "layer 'pan' must be a number, not 'high'"),
        ("return '0.5', {}", "the global reward must be a number, not '0.5'"),
        ("return 10**400, {}", "the global reward must be a number"),
        (
            "return 0.5",
            "reward_policy.py:1: compute_reward must return (global reward, {layer: reward}),"
            " not 0.5",
        ),
        ("yield 1 / 0", "must return (global reward, {layer: reward}), not <generator"),
        ("raise SystemExit(3)", "reward_policy.py:2: compute_reward failed: SystemExit: 3"),
        ("return compute_reward(summary, stdp_layers=())", "failed: RecursionError"),
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
        ("return [0.0]", "policy.py:1: compute_deviation('fb') must return 8 numbers, not 1"),
        ("return [[0.0] * T]", "must return 8 numbers, not an array of form [1, 8]"),
        ("return [0.0, float('inf')] * 4", "that are not finite: inf at timestep 1"),
        ("return None", "must return a list of 8 numbers, not None"),
        ("return ['0.5'] * T", "must return a list of 8 numbers"),
        ("return [[0.0], []]", "must return a list of 8 numbers"),
        ("return {}[feedback_id]", "policy.py:2: compute_deviation('fb') failed: KeyError: 'fb'"),
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


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=8, max_size=8))
def test_finite_values_are_clamped(values: list[float]) -> None:
    policies = Policies(lambda *_, **__: (values[0], {"pan": values[1]}), lambda *_, **__: values)
    reward = policies.reward({}, ("pan",))
    answer = policies.deviation("fb", 8, {})
    assert reward is not None and answer is not None
    assert reward.overall == min(1.0, max(0.0, values[0]))
    assert reward.by_layer == {"pan": min(1.0, max(0.0, values[1]))}
    assert np.array_equal(answer.values, np.clip(values, -1.0, 1.0).astype(np.float32))


def test_the_place_of_a_decorated_policy_is_where_the_user_wrote_it(tmp_path: Path) -> None:
    file = write(
        tmp_path / "reward_policy.py",
        "import functools\n\n\n@functools.lru_cache\ndef inner():\n    return 1\n\n\n"
        "def twice(f):\n    @functools.wraps(f)\n    def g(*a, **k):\n        return f(*a, **k)\n"
        "    return g\n\n\n@twice\ndef compute_reward(summary, *, stdp_layers):\n    return 1\n",
    )
    # Python counts a function's lines from its first decorator.
    assert load_policies(file, "").reward_place == f"{file}:16"


def test_a_policy_may_define_dataclasses_and_be_both_policies_at_once(tmp_path: Path) -> None:
    file = write(
        tmp_path / "both.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "calls = []\n\n@dataclass\nclass Gain:\n    value: float = 0.25\n\n"
        "def compute_reward(summary, *, stdp_layers):\n"
        "    calls.append(1)\n    return Gain().value, {}\n\n"
        "def compute_deviation(feedback_id, *, T, ctx=None):\n    return [len(calls) / 10] * T\n",
    )
    critic = Critic(CriticSettings(reward_policy=file, deviation_policy=file), CONTRACT)
    reward, (answer,) = critic.judge(moment(0.1, 0.1))
    assert reward == Reward(0.25) and answer.values[0] == np.float32(0.1)


def test_a_module_that_takes_options_gets_them_when_it_is_loaded(tmp_path: Path) -> None:
    text = (
        "class Mine:\n"
        "    def __init__(self, options):\n        self.gain = options['gain']\n"
        "    def compute_reward(self, summary, *, stdp_layers):\n        return self.gain, {}\n"
        "for_options = Mine\n"
    )
    file = write(tmp_path / "mine.py", text)
    reward = load_policies(file, "", {"gain": 0.125}).reward({}, ())
    assert reward == Reward(0.125)
    with pytest.raises(PolicyError, match=r"mine\.py:3: for_options failed: KeyError: 'gain'"):
        load_policies(file, "", {})


def test_a_policy_folder_stands_for_both_policies(tmp_path: Path) -> None:
    sync_policies(CONTRACT, tmp_path)
    critic = Critic(CriticSettings(policies=str(tmp_path), deviation_policy="none"), CONTRACT)
    reward, deviations = critic.judge(moment(0.3, 0.3))
    assert reward is not None and reward.by_layer == {"pan": 0.5, "tilt": 0.5}
    assert [answer.feedback for answer in deviations] == ["fb"]


def test_a_reward_for_an_unknown_layer_is_counted_and_told() -> None:
    policies = Policies(lambda *_, **__: (0.5, {"pna": 1.0, "pan": 0.25}), None)
    critic = Critic(CriticSettings(), CONTRACT, policies)
    for _ in range(3):
        assert critic.judge(moment(0.1, 0.1))[0] == Reward(0.5, {"pan": 0.25})
    assert critic.complaints() == ("3 rewards for layer 'pna'; the brain has pan, tilt",)


def test_the_summary_has_velocities_where_they_are_measured() -> None:
    made = moment(0.1, 0.2)
    after = Snapshot(0.1, {"base": 0.1}, None, {"base": 2.0})
    joints = Moment(made.cycle, True, made.before, after, {}).summary()["joints"]
    assert joints["base"]["velocity_before"] is None and joints["base"]["velocity_after"] == 2.0


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
