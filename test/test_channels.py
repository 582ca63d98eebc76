"""Channels, signals and environments: what is taken, what is refused, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest

from ab_ros.config import setting
from ab_ros.environments import Channel, Environment, OrderNotExecutableError
from ab_ros.errors import AbRosError, ChannelError, ConfigError

ch_x = Channel("x", bounds=(0, 10))
ch_y = Channel("y", bounds=(5, 15))
ch_a = Channel("a", bounds=(5, 25))


class Sum(Environment):
    """Compute the sum of its motor signal."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.m_channels = [ch_x, ch_y]
        self.s_channels = [ch_a]

    def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
        return {"a": m_signal["x"] + m_signal["y"]}


# --- Channels


def test_channel_is_a_value() -> None:
    channel = Channel("x", (0, 10), unit="rad")
    assert channel == Channel("x", bounds=(0.0, 10.0), fixed=None, unit="rad")
    assert {channel: 1}[Channel("x", [0, 10], unit="rad")] == 1  # type: ignore[arg-type]
    assert Channel("free").bounds == (-math.inf, math.inf)
    with pytest.raises(FrozenInstanceError):
        channel.name = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "name: must be a text"),
        ({"name": 3}, "name: must be a text, not 3"),
        ({"bounds": (1, 1)}, "low must be below high"),
        ({"bounds": (2, 1)}, "low must be below high"),
        ({"bounds": (0, math.nan)}, "low must be below high"),
        ({"bounds": (math.inf, math.inf)}, "low must be below high"),
        ({"bounds": (-1.7e308, 1.7e308)}, "leave no number"),
        ({"bounds": (0, 1, 2)}, "two numbers"),
        ({"bounds": ("0", 1)}, "two numbers"),
        ({"bounds": 5}, "two numbers"),
        ({"bounds": (0, True)}, "two numbers"),
        ({"fixed": "no"}, "fixed: must be a number"),
        ({"fixed": math.nan}, "fixed: must be finite"),
        ({"bounds": (0, 1), "fixed": 2}, "within 0 to 1"),
        ({"unit": 1}, "unit: must be a text"),
    ],
)
def test_channel_says_what_is_wrong_with_it(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ChannelError, match=words):
        Channel(**{"name": "x", **arguments})


# --- Environments


def test_sum_of_the_document() -> None:
    sum_env = Sum({})
    feedback = sum_env.execute({"x": 2, "y": 11})
    assert feedback["m_signal"] == {"x": 2, "y": 11}
    assert feedback["s_signal"] == {"a": 13}
    assert str(feedback["s_signal"]) == "{'a': 13}"
    other = sum_env.execute({"y": 11, "x": 2})
    assert other["uuid"] != feedback["uuid"]
    assert list(other["m_signal"]) == ["x", "y"]


def test_bounds_describe_but_do_not_enforce() -> None:
    assert Sum({}).execute({"x": 1000, "y": -3})["s_signal"] == {"a": 997}


def test_signal_may_hold_numpy_numbers() -> None:
    x, y = np.array([2.5, 11.0], np.float32)
    feedback = Sum({}).execute({"x": x, "y": y})
    assert feedback["s_signal"] == {"a": 13.5}
    assert type(feedback["m_signal"]["x"]) is float


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ({"x": 1}, "Sum: motor signal: channel 'y' is missing; the channels are: x, y"),
        ({"x": 1, "y": 2, "z": 3}, "no channel 'z'; the channels are: x, y"),
        ({"x": math.nan, "y": 2}, "channel 'x' must be finite, not nan"),
        ({"x": 1, "y": -math.inf}, "channel 'y' must be finite, not -inf"),
        ({"x": 1, "y": "2"}, "channel 'y' must be a number, not '2'"),
        ({"x": None, "y": 2}, "channel 'x' must be a number, not None"),
        ({"x": True, "y": 2}, "channel 'x' must be a number, not True"),
        ({"x": 10**400, "y": 2}, "channel 'x' must be a number"),
        ([1, 2], "must be a mapping"),
    ],
)
def test_motor_signal_that_does_not_fit(signal: Any, words: str) -> None:
    with pytest.raises(ChannelError, match=words):
        Sum({}).execute(signal)


@pytest.mark.parametrize("answer", [{}, {"a": math.nan}, {"a": 1, "b": 2}, None])
def test_sensory_signal_that_does_not_fit(answer: Any) -> None:
    class Faulty(Sum):
        def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Any:
            return answer

    with pytest.raises(ChannelError, match="Faulty: sensory signal"):
        Faulty({}).execute({"x": 1, "y": 2})


def test_channels_that_stand_twice() -> None:
    environment = Sum({})
    environment.m_channels = [ch_x, ch_x]
    with pytest.raises(ChannelError, match="'x' stands twice"):
        environment.execute({"x": 1})


def test_fixed_channel_may_be_left_out() -> None:
    environment = Sum({})
    environment.m_channels = [ch_x, Channel("y", (5, 15), fixed=7)]
    assert environment.execute({"x": 1})["m_signal"] == {"x": 1, "y": 7}
    assert environment.execute({"x": 1, "y": 9})["s_signal"] == {"a": 10}


def test_answer_has_what_was_executed() -> None:
    class Clipped(Sum):
        def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
            m_signal["x"] = min(m_signal["x"], 3.0)
            if meta is not None:
                meta["clipped"] = True
            return super()._execute(m_signal)

    given = {"x": 8, "y": 5}
    meta: dict[str, Any] = {"slowly": True}
    feedback = Clipped({}).execute(given, meta)
    assert feedback["m_signal"] == {"x": 3.0, "y": 5}
    assert feedback["s_signal"] == {"a": 8.0}
    assert given == {"x": 8, "y": 5}
    assert meta == {"slowly": True, "clipped": True}
    with pytest.raises(ChannelError, match="meta must be a dictionary"):
        Clipped({}).execute(given, "slowly")  # type: ignore[arg-type]


def test_reset_begins_with_what_rest_gives() -> None:
    assert Sum({}).reset() == {"a": 5.0}
    for seed in (-1, 1.5, True, "1"):
        with pytest.raises(ChannelError, match=r"Sum\.reset: seed must be an integer >= 0"):
            Sum({}).reset(seed)  # type: ignore[arg-type]


def test_order_that_cannot_be_executed_is_an_error_of_ours() -> None:
    class Stuck(Sum):
        def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
            raise OrderNotExecutableError("the motor is stuck")

    with pytest.raises(AbRosError, match="stuck"):
        Stuck({}).execute({"x": 1, "y": 6})


def test_environment_is_closed_also_when_something_fails() -> None:
    closed = []

    class Port(Sum):
        def close(self) -> None:
            closed.append(True)

    with pytest.raises(ChannelError), Port({}) as environment:
        environment.execute({})
    assert closed == [True]


# --- Configuration


@dataclass(frozen=True)
class _Settings:
    gain: float = setting(1.0, doc="Of the sum.", gt=0)


class Amplified(Sum):
    Settings = _Settings

    def _execute(self, m_signal: dict[str, float], meta: Any = None) -> Mapping[str, float]:
        return {"a": self.cfg.gain * (m_signal["x"] + m_signal["y"])}


def test_configuration_is_kept() -> None:
    cfg = {"anything": 1}
    assert Sum(cfg).cfg == {"anything": 1}
    thing = object()
    assert Sum(thing).cfg is thing
    assert Amplified({"gain": 2}).cfg == _Settings(2.0)
    assert Amplified(_Settings(3.0)).execute({"x": 1, "y": 2})["s_signal"] == {"a": 9.0}
    with pytest.raises(ConfigError, match=r"gain: -1.0 is not allowed; must be > 0"):
        Amplified({"gain": -1})
    with pytest.raises(ConfigError, match=r"Amplified\.cfg: must be a mapping or _Settings"):
        Amplified(5)


def test_create_makes_what_the_configuration_names() -> None:
    path = f"{__name__}.Amplified"
    made = Environment.create({"classname": path, "gain": 2})
    assert isinstance(made, Amplified)
    assert made.cfg.gain == 2.0

    class Cfg:
        classname = f"{__name__}.Sum"

    assert isinstance(Environment.create(Cfg()), Sum)


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({}, "must be a class by its path"),
        ({"classname": "Sum"}, "must be a class by its path"),
        ({"classname": 5}, "must be a class by its path"),
        ({"classname": "no_such_module.Sum"}, "no_such_module.Sum cannot be found"),
        ({"classname": "ab_ros.environments.NoSuch"}, "cannot be found"),
        ({"classname": "..Sum"}, "cannot be found"),
        ({"classname": "os.getcwd"}, "os.getcwd is no Environment"),
        ({"classname": "subprocess.Popen"}, "is no Environment"),
    ],
)
def test_create_refuses_what_is_no_environment(cfg: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Environment.create(cfg)


def test_create_of_a_class_makes_only_its_kind() -> None:
    with pytest.raises(ConfigError, match="is no Amplified"):
        Amplified.create({"classname": f"{__name__}.Sum"})
