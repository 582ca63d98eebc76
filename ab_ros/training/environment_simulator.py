"""Environments as simulators: what is behind channels can be trained on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.config import Source, setting
from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment
from ab_ros.errors import ConfigError, one_of, shown
from ab_ros.training.definition import function_at
from ab_ros.training.environment_variant import Make, Variant, plainly
from ab_ros.training.schema import Message, Schema
from ab_ros.training.simulator import Simulator
from ab_ros.training.versions import VersionedBrain

MakeEnvironment = Make

REWARD, TERMINATED, TRUNCATED = "reward", "terminated", "truncated"
"""Sensory channels that are no state, where an environment has them."""


@dataclass(frozen=True)
class WorldSettings:
    """What a brain is trained on."""

    classname: str = setting(
        doc="Class by its path, package.module.Class: an Environment, or a Simulator."
    )
    cfg: dict[str, Any] = setting(
        dict, doc="What an Environment is made of; further arguments of a Simulator."
    )
    channels: dict[str, str] = setting(
        dict,
        doc="Channel of an Environment for each field of state and action that is called else.",
    )
    constant: dict[str, float] = setting(
        dict, doc="Motor channels of an Environment that the brain does not move, and their values."
    )
    settings: dict[str, str] = setting(
        dict,
        doc="Setting of an Environment for each field of the simulator's config that is called"
        " else: a key of cfg, or a path in it, as arena.peaks.0.x.",
    )
    terminal: str = setting(
        "",
        doc="Function module:name of (state) that says whether an Environment's state is terminal.",
    )


class EnvironmentSimulator(Simulator):
    """Trains a brain on an environment; a step is one execution.

    A field of the action is the motor channel of its name, or the one that ``channels`` says; a
    field of the state a sensory channel.  The reward is that of a lesson's function, or the sensory
    channel ``reward`` where there is one; an episode ends where the channel ``terminated`` or
    ``truncated`` is not 0, or the function ``terminal`` says so.

    A field of the config is the setting of its name in ``cfg``, or the one that ``settings`` says:
    an episode whose lesson sets others than the one before is given a new environment.  When
    predicting there is no lesson, and the environment is as ``cfg`` says.

    Parameters
    ----------
    brain, name : see :class:`~ab_ros.training.simulator.Simulator`.
    environment : made of the settings' ``cfg``; it is closed with the simulator.
    settings : names, constants and ends.
    make : makes the environments of lessons, of their class and configuration.

    Attributes
    ----------
    environment : the present one.

    Raises
    ------
    ConfigError
        if the environment lacks a channel, one that is not constant is not moved, or a lesson sets
        what the environment does not have.
    """

    def __init__(
        self,
        brain: VersionedBrain,
        name: str,
        environment: Environment,
        settings: WorldSettings,
        make: Make = plainly,
    ) -> None:
        super().__init__(brain, name)
        self.environment = environment
        schemas = self._schemas
        self._given: Mapping[str, Any] = {}
        fields = list(schemas["config"].fields)
        self._variant = Variant(type(environment), settings.cfg, fields, settings.settings, make)
        for k, lesson in enumerate(brain.definition.curriculum):
            self._variant.check(lesson.config, f"lessons[{k}].config")
        sensed = {channel.name: channel for channel in environment.s_channels}
        moved = {channel.name: channel for channel in environment.m_channels}
        fixed = [c.name for c in environment.m_channels if c.fixed is not None]
        self._sensed = _channels(schemas["state"], settings.channels, sensed)
        self._moved = _channels(schemas["action"], settings.channels, moved)
        _check_spans(schemas["action"], {f: moved[c] for f, c in self._moved.items()})
        self._constant = dict(settings.constant)
        for channel, value in self._constant.items():
            if channel not in moved:
                raise ConfigError(
                    f"environment.constant: no motor channel {channel!r}; {one_of(moved)}"
                )
            if not _within(moved[channel], value, value):
                raise ConfigError(
                    f"environment.constant.{channel}: must be {_bounds(moved[channel])}, not"
                    f" {value:g}"
                )
        given = {*self._moved.values(), *self._constant, *fixed}
        still = [channel for channel in moved if channel not in given]
        if still:
            raise ConfigError(
                f"simulator.action: motor channel {still[0]!r} is neither a field of the action,"
                f" nor constant, nor fixed"
            )
        name = type(environment).__name__
        self._has_reward = REWARD in sensed
        if not self._has_reward:
            for k, lesson in enumerate(brain.definition.curriculum):
                if not lesson.reward:
                    raise ConfigError(
                        f"lessons[{k}].reward: is needed, as {name} has no channel 'reward'"
                    )
        self._ends = [end for end in (TERMINATED, TRUNCATED) if end in sensed]
        found = function_at(settings.terminal, "environment.terminal")
        self._terminal: Callable[[Message], bool] | None = found
        if not (self._ends or found is not None or brain.definition.training.max_steps):
            raise ConfigError(
                f"training.max_steps: is needed, as nothing else ends an episode: {name} has"
                f" neither a channel {TERMINATED!r} nor {TRUNCATED!r}, and environment.terminal"
                f" names no function"
            )

    def episode_start(self, parameters: Message) -> Mapping[str, Any]:
        """Begin anew, with the episode's seed, and in an environment of the lesson's settings."""
        if parameters != self._given:
            self._change(parameters)
        return self._state(self.environment.reset(self.episode_seed))

    def simulate(self, action: Message) -> tuple[Mapping[str, Any], float, bool]:
        """Execute an action."""
        order = {channel: float(action[name]) for name, channel in self._moved.items()}
        sensed = self.environment.execute({**order, **self._constant})["s_signal"]
        state = self._state(sensed)
        terminal = TERMINATED in self._ends and bool(sensed[TERMINATED])
        if self._terminal is not None:
            terminal = terminal or bool(self._terminal(Message(state)))
        self.truncated = not terminal and TRUNCATED in self._ends and bool(sensed[TRUNCATED])
        return state, sensed[REWARD] if self._has_reward else 0.0, terminal

    def close(self) -> None:
        """End training or prediction, and close the environment."""
        try:
            super().close()
        finally:
            self.environment.close()

    def _change(self, parameters: Message) -> None:
        # What an environment holds, the next one may need: the old one goes first.
        old = self.environment
        old.close()
        self.environment = self._variant.make(parameters)
        for kind in ("m_channels", "s_channels"):
            before, after = ([c.name for c in getattr(e, kind)] for e in (old, self.environment))
            if before != after:
                raise ConfigError(
                    f"lesson {self.objective_name!r}: {dict(parameters)} changes the channels of"
                    f" {type(old).__name__} from {', '.join(before)} to {', '.join(after)}; a brain"
                    f" has the same ones in all lessons"
                )
        self._given = parameters

    def _state(self, sensed: Signal) -> dict[str, float]:
        return {name: sensed[channel] for name, channel in self._sensed.items()}


def world_class(settings: WorldSettings, source: Source | None = None) -> type[Any]:
    """Return the class that settings name, an Environment or a Simulator.

    Raises
    ------
    ConfigError
        if it cannot be found, or is of another kind.
    """
    where = (source or Source()).at(("classname",))
    module, _, attribute = settings.classname.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {shown(settings.classname)} cannot be found: {error}"
        ) from None
    if not isinstance(found, type) or not issubclass(found, (Environment, Simulator)):
        raise ConfigError(
            f"{where}: {settings.classname} is neither an Environment nor a Simulator"
        )
    return found


def make_simulator(
    brain: VersionedBrain,
    settings: WorldSettings,
    source: Source | None = None,
    make: Make = plainly,
) -> Simulator:
    """Return a simulator of the class that settings name.

    Parameters
    ----------
    brain : to be trained or predicted with.
    settings : of the class.
    source : where they were read, for messages.
    make : makes an Environment of its class and configuration.

    Raises
    ------
    ConfigError
        if the class cannot be found or is of another kind, or its settings do not fit.
    """
    where = source or Source()
    name = brain.definition.simulator.name
    found = world_class(settings, source)
    if issubclass(found, Environment):
        try:
            environment = make(found, settings.cfg)
        except ConfigError as error:
            raise where.placed(error, "cfg") from None
        try:
            return EnvironmentSimulator(brain, name, environment, settings, make)
        except BaseException:
            environment.close()
            raise
    try:
        simulator: Simulator = found(brain, name, **settings.cfg)
    except TypeError as error:
        raise ConfigError(f"{where.at(('cfg',))}: {settings.classname}: {error}") from None
    return simulator


def _channels(
    schema: Schema, names: Mapping[str, str], known: Mapping[str, Channel]
) -> dict[str, str]:
    found = {name: names.get(name, name) for name in schema.fields}
    for name, channel in found.items():
        if channel not in known:
            given = "environment.channels" if name in names else f"simulator.{schema.name}"
            raise ConfigError(f"{given}.{name}: there is no channel {channel!r}; {one_of(known)}")
    return found


def _check_spans(schema: Schema, channels: Mapping[str, Channel]) -> None:
    """Refuse an action that a channel does not expect: an environment might take it silently."""
    for field in schema:
        channel = channels[field.name]
        if field.span is not None and not _within(channel, *field.span):
            raise ConfigError(
                f"simulator.{schema.name}.{field.name}: {field.text()} goes beyond the motor"
                f" channel {channel.name!r}, which must be {_bounds(channel)}"
            )


def _within(channel: Channel, low: float, high: float) -> bool:
    # Bounds that went through single precision are not quite the decimals that were written.
    lowest, highest = channel.bounds
    return low >= lowest - 1e-6 * abs(lowest) and high <= highest + 1e-6 * abs(highest)


def _bounds(channel: Channel) -> str:
    low, high = channel.bounds
    return f"within {low:g} to {high:g}{channel.unit and f' {channel.unit}'}"
