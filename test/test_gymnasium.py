"""Gymnasium's tasks as environments, and environments as its tasks."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import gymnasium
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from ab_ros.environments import Environment, Feedback, OrderNotExecutableError
from ab_ros.environments.gymnasium_environment import GymnasiumEnvironment, GymnasiumTask
from ab_ros.environments.kinematic_arm import KinematicArm2D
from ab_ros.environments.signals import in_bounds, random_signal, uniformise
from ab_ros.environments.vowels import VowelTract
from ab_ros.environments.worm_environment import WormArena
from ab_ros.errors import ChannelError, ConfigError


class Parts(gymnasium.Env[Any, Any]):
    """A task whose spaces have parts of every kind; it remembers its last action."""

    def __init__(self) -> None:
        self.action_space = spaces.Dict(
            {
                "gear": spaces.Discrete(3, start=-1),
                "arm": spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2))),
                "only": spaces.Discrete(1),
                "steps": spaces.MultiDiscrete([4, 5]),
            }
        )
        self.observation_space = spaces.Dict(
            {"table": spaces.Box(-np.inf, np.inf, (2, 2)), "count": spaces.Discrete(5)}
        )
        self.action: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return {"table": np.zeros((2, 2), np.float32), "count": 0}, {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.action = action
        return {"table": np.eye(2, dtype=np.float32), "count": 3}, 1.5, False, False, {"a": 1}


def distance(feedback: Feedback) -> float:
    sensed = feedback["s_signal"]
    return -math.hypot(sensed["x"] - 2.0, sensed["y"] - 3.0)


# --- A task as an environment


def test_task_has_channels_of_its_spaces() -> None:
    with GymnasiumEnvironment({"id": "Pendulum-v1"}) as pendulum:
        (torque,) = pendulum.m_channels
        assert (torque.name, torque.bounds) == ("action", (-2.0, 2.0))
        names = [c.name for c in pendulum.s_channels]
        assert names[:3] == ["observation.0", "observation.1", "observation.2"]
        assert names[3:] == ["reward", "terminated", "truncated"]
        meta: dict[str, Any] = {}
        feedback = pendulum.execute({"action": 5.0}, meta)
        assert feedback["m_signal"] == {"action": 2.0}
        assert feedback["s_signal"]["reward"] < 0.0
        assert meta["info"] == {}


def test_task_does_what_gymnasium_alone_does() -> None:
    plain = gymnasium.make("Pendulum-v1")
    observation, _ = plain.reset(seed=3)
    with GymnasiumEnvironment({"id": "Pendulum-v1"}) as pendulum:
        sensed = pendulum.reset(3)
        assert list(sensed.values())[:3] == observation.tolist()
        for torque in (1.0, -0.5):
            observation, reward, *_ = plain.step(np.array([torque], np.float32))
            sensed = pendulum.execute({"action": torque})["s_signal"]
            assert list(sensed.values())[:4] == [*observation.tolist(), pytest.approx(reward)]


def test_every_kind_of_space() -> None:
    task = Parts()
    environment = GymnasiumEnvironment({}, task)
    assert [c.name for c in environment.m_channels] == [
        "action.arm.0.0",
        "action.arm.0.1",
        "action.arm.1.0",
        "action.arm.1.1",
        "action.gear",
        "action.only",
        "action.steps.0",
        "action.steps.1",
    ]
    order = dict(
        zip(
            (c.name for c in environment.m_channels),
            (0.25, -3.0, 0.2, 0.9, -1.0, 0.0, 2.4, 9.0),
            strict=True,
        )
    )
    feedback = environment.execute(order)
    assert list(feedback["m_signal"].values()) == [0.25, -1.0, 0.0, 1.0, -1.0, 0.0, 2.0, 4.0]
    assert task.action["gear"] == -1
    np.testing.assert_array_equal(task.action["steps"], [2, 4])
    sensed = feedback["s_signal"]
    assert sensed["observation.table.0.0"] == 1.0
    assert sensed["observation.table.0.1"] == 0.0
    assert sensed["observation.count"] == 3.0
    assert sensed["reward"] == 1.5
    for seed in range(20):
        environment.execute(random_signal(environment.m_channels, seed))


def test_episode_that_ends() -> None:
    def ends(restart: bool) -> GymnasiumEnvironment:
        return GymnasiumEnvironment({"id": "CartPole-v1", "restart": restart})

    with ends(restart=True) as pole:
        seen = [pole.execute({"action": 1})["s_signal"]["terminated"] for _ in range(30)]
        assert sum(seen) >= 2
        pole.reset(0)
        while not pole.execute({"action": 1})["s_signal"]["terminated"]:
            pass
        meta: dict[str, Any] = {}
        after = pole.execute({"action": 1}, meta)["s_signal"]
        assert meta["restarted"] and not after["terminated"]
    with ends(restart=False) as pole:
        while not pole.execute({"action": 1})["s_signal"]["terminated"]:
            pass
        with pytest.raises(OrderNotExecutableError, match="reset begins a new one"):
            pole.execute({"action": 1})
        pole.reset()
        pole.execute({"action": 1})


@pytest.mark.parametrize(
    ("cfg", "task", "words"),
    [
        ({}, None, "needs either"),
        ({"id": "Pendulum-v1"}, Parts(), "needs either"),
        ({"id": "NoSuchTask-v0"}, None, "'NoSuchTask-v0' cannot be made"),
        ({"id": "Pendulum-v1", "arguments": {"wind": 1}}, None, "cannot be made"),
    ],
)
def test_task_that_cannot_be_made(cfg: Any, task: Any, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ConfigError, match=words):
            GymnasiumEnvironment(cfg, task)


def test_space_that_is_not_made_of_numbers() -> None:
    task = Parts()
    task.observation_space = spaces.Dict({"word": spaces.Text(5)})  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"observation\.word: a space Text is not made of numb"):
        GymnasiumEnvironment({}, task)


# --- An environment as a task


def tasks() -> dict[str, Any]:
    return {
        "arm": lambda: GymnasiumTask(KinematicArm2D({}), distance, steps=20),
        "vowels": lambda: GymnasiumTask(VowelTract({}), lambda f: -f["s_signal"]["F1"]),
        "worm": lambda: GymnasiumTask(
            WormArena({"ticks": 10}),
            lambda f: f["s_signal"]["change"],
            lambda f: f["s_signal"]["wall"] < 1.0,
        ),
        "pendulum and back": lambda: GymnasiumTask(
            GymnasiumEnvironment({"id": "Pendulum-v1"}), lambda f: f["s_signal"]["reward"]
        ),
    }


@pytest.mark.parametrize("name", list(tasks()))
@pytest.mark.filterwarnings("ignore")
def test_task_passes_the_checks_of_gymnasium(name: str) -> None:
    check_env(tasks()[name](), skip_render_check=True)


@pytest.mark.parametrize("name", ["arm", "vowels", "worm"])
def test_normalised_task_passes_the_checks_without_a_warning(name: str) -> None:
    environment = tasks()[name]().environment
    task = GymnasiumTask(environment, lambda f: 0.0, normalised=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(task, skip_render_check=True)


def test_normalised_task_goes_from_bound_to_bound() -> None:
    task = GymnasiumTask(VowelTract({}), lambda f: 0.0, normalised=True)
    motors, sensors = task.environment.m_channels, task.environment.s_channels
    task.reset(seed=0)
    for end in (0, 1):
        action = np.full(len(motors), 2.0 * end - 1.0)
        seen, *_, info = task.step(action)
        assert info["m_signal"] == {c.name: c.bounds[end] for c in motors}
        again = uniformise(info["s_signal"], sensors)
        np.testing.assert_allclose(seen, [2.0 * part - 1.0 for part in again.values()])
    # What has no bounds has its own unit.
    pendulum = GymnasiumTask(
        GymnasiumEnvironment({"id": "Pendulum-v1"}), lambda f: 0.0, normalised=True
    )
    pendulum.reset(seed=0)
    seen, *_, info = pendulum.step(np.array([0.5]))
    assert info["m_signal"] == {"action": 1.0}
    assert dict(zip(info["s_signal"], seen, strict=True))["reward"] == info["s_signal"]["reward"]


def test_task_gives_reward_and_end() -> None:
    task = GymnasiumTask(
        KinematicArm2D({}), distance, lambda feedback: distance(feedback) > -0.5, steps=3
    )
    with pytest.raises(gymnasium.error.ResetNeeded):
        task.step(np.zeros(6))
    seen, info = task.reset(seed=1)
    np.testing.assert_array_equal(seen, [6.0, 0.0])
    assert info["s_signal"] == {"x": 6.0, "y": 0.0}
    seen, reward, terminated, truncated, info = task.step(np.zeros(6))
    assert (reward, terminated, truncated) == (-5.0, False, False)
    assert list(info["m_signal"]) == ["j0", "j1", "j2", "j3", "j4", "j5"]
    *_, truncated, _ = [task.step(np.zeros(6)) for _ in range(2)][-1]
    assert truncated
    with pytest.raises(gymnasium.error.ResetNeeded):
        task.step(np.zeros(6))
    np.testing.assert_array_equal(task.action_space.low, np.full(6, -150.0))


def test_task_leaves_out_what_is_fixed() -> None:
    task = GymnasiumTask(WormArena({"ticks": 5}), lambda f: 0.0)
    assert task.action_space.shape == (3,)
    task.reset(seed=0)
    *_, info = task.step(np.array([1.0, 0.2, 0.0]))
    assert info["m_signal"]["waves"] == 1.0
    assert in_bounds(info["s_signal"], task.environment.s_channels)


def test_task_refuses_what_is_not_finite() -> None:
    task = GymnasiumTask(KinematicArm2D({}), lambda f: math.nan)
    task.reset()
    for action in (np.full(6, np.nan), np.zeros(5), np.zeros((6, 1))):
        with pytest.raises(ChannelError):
            task.step(action)
    with pytest.raises(ChannelError, match="reward: must be finite, not nan"):
        task.step(np.zeros(6))
    with pytest.raises(ConfigError, match="steps: must be at least 1"):
        GymnasiumTask(KinematicArm2D({}), distance, steps=0)


def test_closing_a_task_closes_its_environment() -> None:
    closed = []

    class Arm(KinematicArm2D):
        def close(self) -> None:
            closed.append(True)

    GymnasiumTask(Arm({}), distance).close()
    assert closed == [True]


def test_task_behind_channels_is_made_by_its_path() -> None:
    path = "ab_ros.environments.gymnasium_environment.GymnasiumEnvironment"
    with Environment.create({"classname": path, "id": "Pendulum-v1"}) as made:
        assert made.execute({"action": 0.0})["m_signal"] == {"action": 0.0}
