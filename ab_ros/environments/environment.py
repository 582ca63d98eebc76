"""Environments: a motor signal goes in, a sensory signal comes out; what is between is a black box.

>>> from ab_ros.environments import Channel, Environment
>>> class Sum(Environment):
...     def __init__(self, cfg):
...         super().__init__(cfg)
...         self.m_channels = [Channel("x", bounds=(0, 10)), Channel("y", bounds=(5, 15))]
...         self.s_channels = [Channel("a", bounds=(5, 25))]
...
...     def _execute(self, m_signal, meta=None):
...         return {"a": m_signal["x"] + m_signal["y"]}
>>> Sum({}).execute({"x": 2, "y": 11})["s_signal"]
{'a': 13}
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict, TypeVar
from uuid import UUID, uuid4

from ab_ros.config import parse
from ab_ros.environments.channels import Channel, Signal, checked_signal
from ab_ros.errors import ChannelError, ConfigError, WorldError, shown

Meta = dict[str, Any]
Self = TypeVar("Self", bound="Environment")


class Feedback(TypedDict):
    """What comes of a motor signal: what was executed, what was sensed, and a name for it."""

    m_signal: Signal
    s_signal: Signal
    uuid: UUID


class Environment(ABC):
    """A world behind motor and sensory channels.

    A subclass sets ``m_channels`` and ``s_channels`` in its ``__init__``, and overrides
    :meth:`_execute`; where it has a state :meth:`_reset` too, and where it holds something
    :meth:`close`, which then calls this class's.

    Parameters
    ----------
    cfg : its configuration, kept as ``self.cfg``: a dictionary or an object of the user's; where
        the class has ``Settings``, the dictionary is parsed into them.

    Raises
    ------
    ConfigError
        if a setting is not allowed.
    """

    Settings: ClassVar[type[Any] | None] = None
    """A dataclass made of :func:`~ab_ros.config.setting`: what ``cfg`` may hold."""

    m_channels: Sequence[Channel] = ()
    s_channels: Sequence[Channel] = ()
    _closed = False

    def __init__(self, cfg: Any) -> None:
        self.cfg: Any = self.settings_of(cfg)

    @classmethod
    def settings_of(cls, cfg: Any) -> Any:
        """Return a configuration as the class keeps it.

        Raises
        ------
        ConfigError
            if a setting is not allowed.
        """
        if cls.Settings is None or isinstance(cfg, cls.Settings):
            return cfg
        if not isinstance(cfg, Mapping):
            raise ConfigError(
                f"{cls.__name__}.cfg: must be a mapping or {cls.Settings.__name__}, not"
                f" {shown(cfg)}"
            )
        return parse(cls.Settings, {k: v for k, v in cfg.items() if k != "classname"})

    def execute(self, m_signal: Mapping[str, float], meta: Meta | None = None) -> Feedback:
        """Execute a motor signal.

        Parameters
        ----------
        m_signal : a finite number for each motor channel; those that are fixed may be left out.
        meta : how to execute it, where the environment takes such advice; and what the execution
            writes its notes to.

        Returns
        -------
        feedback : ``m_signal``, as it was executed; ``s_signal``; and ``uuid``, unique.

        Raises
        ------
        ChannelError
            if a channel is missing or unknown, or a value is not finite, of either signal.
        OrderNotExecutableError
            if the environment cannot do this.
        WorldError
            if it is closed.
        """
        name = self._named_if_open()
        if meta is not None and not isinstance(meta, dict):
            raise ChannelError(f"{name}.execute: meta must be a dictionary, not {shown(meta)}")
        order = checked_signal(m_signal, self.m_channels, f"{name}: motor signal")
        sensed = self._execute(order, meta)
        return Feedback(
            m_signal=checked_signal(order, self.m_channels, f"{name}: executed motor signal"),
            s_signal=checked_signal(sensed, self.s_channels, f"{name}: sensory signal"),
            uuid=uuid4(),
        )

    @abstractmethod
    def _execute(self, m_signal: Signal, meta: Meta | None = None) -> Mapping[str, float]:
        """Return the sensory signal that comes of a motor signal.

        ``m_signal`` is complete and finite, and the environment's own: where the world does not do
        what is asked, what it does is written there.
        """

    def reset(self, seed: int | None = None) -> Signal:
        """Begin anew, and return what is sensed then.

        Parameters
        ----------
        seed : >= 0, of all that is random in the environment; None goes on with the old one.

        Raises
        ------
        ChannelError
            if the seed is not allowed.
        WorldError
            if the environment is closed.
        """
        name = self._named_if_open()
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise ChannelError(f"{name}.reset: seed must be an integer >= 0, not {shown(seed)}")
        return checked_signal(self._reset(seed), self.s_channels, f"{name}: sensory signal")

    def _reset(self, seed: int | None) -> Mapping[str, float]:
        """Return what is sensed first; without a state, what the motors' rest gives."""
        del seed
        return self.execute({channel.name: channel.rest for channel in self.m_channels})["s_signal"]

    def close(self) -> None:
        """Let go of ports, connections and motors; it may be called twice.

        Afterwards nothing is executed any more.
        """
        self._closed = True

    def _named_if_open(self) -> str:
        name = type(self).__name__
        if self._closed:
            raise WorldError(f"{name}: is closed")
        return name

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def create(cls, cfg: Any) -> Environment:
        """Make the environment that a configuration names.

        Parameters
        ----------
        cfg : a mapping whose ``classname`` is a class by its path, as
            ``ab_ros.environments.kinematic_arm.KinematicArm2D``, or an object with such an
            attribute.  The class gets it whole.

        Raises
        ------
        ConfigError
            if the class is missing, or is no environment (or none of ``cls``).
        """
        path = cfg.get("classname") if isinstance(cfg, Mapping) else getattr(cfg, "classname", None)
        found = class_at(path)
        if not issubclass(found, cls):
            raise ConfigError(f"classname: {path} is no {cls.__name__}")
        return found(cfg)


def class_at(path: Any) -> type[Environment]:
    """Return the environment class at a path, as ``package.module.Class``.

    Raises
    ------
    ConfigError
        if there is none, or it is something else.
    """
    found = object_at(path, "classname")
    if not isinstance(found, type) or not issubclass(found, Environment):
        raise ConfigError(f"classname: {path} is no Environment")
    return found


def object_at(path: Any, where: str) -> Any:
    """Return what is at a path, as ``package.module.Class``.

    Parameters
    ----------
    where : the path was read, for messages.

    Raises
    ------
    ConfigError
        if there is nothing.
    """
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    if not module or not name:
        raise ConfigError(
            f"{where}: must be a class by its path, as package.module.Class, not {shown(path)}"
        )
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {path} cannot be found: {error}") from None
