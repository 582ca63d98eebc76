"""Gymnasium both ways: its tasks behind channels, and environments as its tasks.

It needs the extra ``gym``: ``pip install 'ab_ros[gym]'``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Feedback, Meta
from ab_ros.environments.signals import between, to_signal
from ab_ros.errors import ChannelError, ConfigError, OrderNotExecutableError, one_of, shown

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ConfigError(f"gymnasium is needed ({error}): pip install 'ab_ros[gym]'") from None

_KINDS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict", "Tuple")
_ENDS = ("terminated", "truncated")


@dataclass(frozen=True)
class GymnasiumSettings:
    """A task of gymnasium's."""

    id: str = setting("", doc="Of a registered task, as Pendulum-v1.")
    arguments: dict[str, Any] = setting(dict, doc="What gymnasium.make gets besides.")
    seed: int = setting(0, doc="Of the first episode.", ge=0)
    restart: bool = setting(
        True, doc="Whether an order after the end of an episode begins a new one, or is refused."
    )


class GymnasiumEnvironment(Environment):
    """A gymnasium task behind channels; an order is one step of it.

    Motor channels are the numbers of an action, ``action`` or ``action.0``, ``action.1``, …;
    sensory channels are those of an observation, ``observation.0``, …, and ``reward``,
    ``terminated`` and ``truncated``.  Parts of a Dict or Tuple are named by their keys, as
    ``observation.hand.0``.  A number that must be whole is rounded, and one out of bounds is
    executed as the bound.

    ``meta`` of an execution gets the step's ``info``, and ``restarted`` where a new episode began
    before it.

    Parameters
    ----------
    cfg : :class:`GymnasiumSettings`, or a mapping of them.
    task : a task that has been made, instead of one that ``cfg`` names; it is closed with this.

    Raises
    ------
    ConfigError
        if there is no such task, or one of its spaces is made of other things than numbers.
    """

    Settings = GymnasiumSettings

    def __init__(self, cfg: Any, task: Any = None) -> None:
        super().__init__(cfg)
        s: GymnasiumSettings = self.cfg
        if (task is None) == (not s.id):
            raise ConfigError("GymnasiumEnvironment: needs either the id of a task, or a task")
        if task is None:
            try:
                task = gymnasium.make(s.id, **s.arguments)
            except (gymnasium.error.Error, TypeError, ImportError) as error:
                raise ConfigError(f"id: {s.id!r} cannot be made: {error}") from None
        self.task = task
        self._action = _Numbers(task.action_space, "action")
        self._observation = _Numbers(task.observation_space, "observation")
        self.m_channels = self._action.channels
        self.s_channels = [
            *self._observation.channels,
            Channel("reward"),
            *(Channel(name, (0.0, 1.0)) for name in _ENDS),
        ]
        self.task.reset(seed=s.seed)
        self._ended = False

    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        if self._ended:
            if not self.cfg.restart:
                raise OrderNotExecutableError("the episode has ended; reset begins a new one")
            self.task.reset()
            self._ended = False
            if meta is not None:
                meta["restarted"] = True
        action = self._action.put_together(list(m_signal.values()))
        m_signal.update(zip(m_signal, self._action.take_apart(action), strict=True))
        observation, reward, *ends, info = self.task.step(action)
        self._ended = any(ends)
        if meta is not None:
            meta["info"] = info
        return self._sensed(observation, float(reward), *(float(end) for end in ends))

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        observation, _ = self.task.reset(seed=seed)
        self._ended = False
        return self._sensed(observation, 0.0, 0.0, 0.0)

    def _sensed(self, observation: Any, *others: float) -> Signal:
        values = (*self._observation.take_apart(observation), *others)
        return {c.name: value for c, value in zip(self.s_channels, values, strict=True)}

    def close(self) -> None:
        """Close the task."""
        super().close()
        self.task.close()


class _Numbers:
    """The numbers that the things of a space are made of."""

    def __init__(self, space: Any, name: str) -> None:
        self._space = space
        self._parts: dict[Any, _Numbers] = {}
        self.channels: list[Channel] = []
        if isinstance(space, (spaces.Dict, spaces.Tuple)):
            members = space.spaces
            keyed = members.items() if isinstance(members, Mapping) else enumerate(members)
            self._parts = {key: _Numbers(part, f"{name}.{key}") for key, part in keyed}
            self.channels = [c for part in self._parts.values() for c in part.channels]
            return
        low, high = self._bounds = _bounds_of(space, name)
        self._whole = not np.issubdtype(low.dtype, np.floating)
        places = [".".join(map(str, (name, *place))) for place in np.ndindex(low.shape)]
        if low.size == 1:
            places = [name]
        ends = zip(low.ravel().tolist(), high.ravel().tolist(), strict=True)
        self.channels = [_channel(n, *pair) for n, pair in zip(places, ends, strict=True)]

    def take_apart(self, thing: Any) -> Iterator[float]:
        """Yield the numbers of a thing of the space."""
        for key, part in self._parts.items():
            yield from part.take_apart(thing[key])
        if not self._parts:
            yield from np.asarray(thing).astype(np.float64).ravel().tolist()

    def put_together(self, numbers: list[float]) -> Any:
        """Return the thing of the space that is nearest to some numbers; they are used up."""
        if self._parts:
            made = {key: part.put_together(numbers) for key, part in self._parts.items()}
            return made if isinstance(self._space, spaces.Dict) else tuple(made.values())
        low, high = self._bounds
        values = np.array(numbers[: low.size], np.float64).reshape(low.shape)
        del numbers[: low.size]
        if self._whole:
            values = np.round(values)
        values = np.clip(values, low, high).astype(self._space.dtype)
        return values[()] if isinstance(self._space, spaces.Discrete) else values


def _bounds_of(space: Any, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        start = np.asarray(space.start)
        count = space.n if isinstance(space, spaces.Discrete) else space.nvec
        return start, np.asarray(start + count - 1)
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape, np.int8), np.ones(space.shape, np.int8)
    raise ConfigError(
        f"{name}: a space {type(space).__name__} is not made of numbers; {one_of(_KINDS)}"
    )


def _channel(name: str, low: float, high: float) -> Channel:
    if low == high:
        return Channel(name, (low - 0.5, high + 0.5), fixed=low)
    return Channel(name, (low, high) if math.isfinite(high - low) else _open(low, high))


def _open(low: float, high: float) -> tuple[float, float]:
    """Return bounds between which there is no finite distance as ones that are infinite."""
    both = math.isfinite(low) and math.isfinite(high)
    return (-math.inf, math.inf) if both else (low, high)


class GymnasiumTask(gymnasium.Env[NDArray[np.float64], NDArray[np.float64]]):
    """An environment as a gymnasium task.

    An action is a vector of the motor channels that are not fixed; an observation is a vector of
    the sensory channels, brought inside their bounds (``info`` has the signals as they are).

    Parameters
    ----------
    environment : it is closed with the task.
    reward : gives the reward of a feedback, a finite number.
    terminated : says of a feedback whether it ends the episode; by default none does.
    steps : after which an episode is cut off, >= 1; by default none is.
    normalised : whether actions and observations go from −1 to 1 between the bounds of a channel,
        as many learners expect it; channels without finite bounds stay as they are.

    Raises
    ------
    ChannelError
        by :meth:`step`, if an action or a reward is not finite, or an action has another form.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as gymnasium declares it

    def __init__(
        self,
        environment: Environment,
        reward: Callable[[Feedback], float],
        terminated: Callable[[Feedback], bool] | None = None,
        steps: int | None = None,
        normalised: bool = False,
    ) -> None:
        if steps is not None and steps < 1:
            raise ConfigError(f"GymnasiumTask.steps: must be at least 1, not {steps}")
        self.environment = environment
        self._moved = [c for c in environment.m_channels if c.fixed is None]
        self._reward, self._terminated, self._most = reward, terminated, steps
        self._action = _Vector(self._moved, normalised)
        self._observation = _Vector(environment.s_channels, normalised)
        self.action_space = self._action.space
        self.observation_space = self._observation.space
        self._done: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Begin an episode; the seed is the environment's too."""
        super().reset(seed=seed, options=options)
        sensed = self.environment.reset(seed)
        self._done = 0
        return self._observation.of_signal(sensed), {"s_signal": sensed}

    def step(
        self, action: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Execute an action."""
        if self._done is None:
            raise gymnasium.error.ResetNeeded("reset begins an episode")
        order = self._action.as_signal(to_signal(action, self._moved))
        feedback = self.environment.execute(order)
        reward = self._reward(feedback)
        try:
            finite = math.isfinite(reward)
        except TypeError:
            finite = False
        if not finite:
            raise ChannelError(f"GymnasiumTask.reward: must be finite, not {shown(reward)}")
        terminated = bool(self._terminated(feedback)) if self._terminated else False
        self._done += 1
        truncated = self._most is not None and self._done >= self._most
        if terminated or truncated:
            self._done = None
        signals = {"m_signal": feedback["m_signal"], "s_signal": feedback["s_signal"]}
        seen = self._observation.of_signal(feedback["s_signal"])
        return seen, float(reward), terminated, truncated, signals

    def close(self) -> None:
        """Close the environment."""
        self.environment.close()


class _Vector:
    """Signals as the vectors of a space, perhaps from −1 to 1."""

    def __init__(self, channels: Sequence[Channel], normalised: bool) -> None:
        self._names = [channel.name for channel in channels]
        bounds = np.array([channel.bounds for channel in channels], np.float64).reshape(-1, 2)
        scaled = [normalised and channel.bounded for channel in channels]
        self._scaled = np.array(scaled, np.bool_)
        bounds[self._scaled] = -1.0, 1.0
        self.space = spaces.Box(bounds[:, 0], bounds[:, 1], dtype=np.float64)
        chosen = [c.bounds for c, is_scaled in zip(channels, scaled, strict=True) if is_scaled]
        self._low, self._high = np.array(chosen, np.float64).reshape(-1, 2).T

    def as_signal(self, given: Signal) -> Signal:
        """Return the signal of a vector's numbers, by name; within the space, it keeps bounds."""
        values = np.array(list(given.values()), np.float64)
        parts = 0.5 + 0.5 * values[self._scaled]
        values[self._scaled] = between(parts, self._low, self._high)
        return dict(zip(self._names, values.tolist(), strict=True))

    def of_signal(self, signal: Signal) -> NDArray[np.float64]:
        """Return the vector of a signal, brought inside the space."""
        values = np.array(list(signal.values()), np.float64)
        parts = (values[self._scaled] - self._low) / (self._high - self._low)
        values[self._scaled] = 2.0 * parts - 1.0
        return np.asarray(np.clip(values, self.space.low, self.space.high))
