"""An environment with primitives as a configuration says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ab_ros.config import parse, setting
from ab_ros.environments.channels import Channel
from ab_ros.environments.environment import Environment, object_at
from ab_ros.environments.signals import select
from ab_ros.errors import ChannelError, ConfigError, shown

_MODULE = "ab_ros.environments.primitives"


@dataclass(frozen=True)
class PrimitiveSettings:
    """An environment, how it is moved, and what is made of its sensors."""

    environment: dict[str, Any] = setting(doc="Its class, as classname, and its settings.")
    motor: dict[str, Any] = setting(
        lambda: {"classname": f"{_MODULE}.MinimumJerk"},
        doc="Class of the motor primitive, as classname; channels, those that it moves (by default"
        " all that are not fixed); and what else the class takes, as duration.",
    )
    sensory: dict[str, Any] = setting(
        lambda: {"classname": f"{_MODULE}.FinalValues"},
        doc="Class of the sensory primitive, as classname; channels, its sensors (by default all);"
        " and what else the class takes.",
    )


def made_of(cfg: Any) -> tuple[PrimitiveSettings, Environment, Any, Any]:
    """Return settings, environment, motor and sensory primitive of a configuration.

    Parameters
    ----------
    cfg : :class:`PrimitiveSettings`, or a mapping of them.

    Raises
    ------
    ConfigError
        if it is neither, or a setting is not allowed.
    """
    if isinstance(cfg, PrimitiveSettings):
        s = cfg
    elif isinstance(cfg, Mapping):
        s = parse(PrimitiveSettings, {k: v for k, v in cfg.items() if k != "classname"})
    else:
        raise ConfigError(
            f"WithPrimitives.cfg: must be a mapping or PrimitiveSettings, not {shown(cfg)}"
        )
    environment = Environment.create(s.environment)
    try:
        free = [channel for channel in environment.m_channels if channel.fixed is None]
        motor = _primitive(s.motor, free, "motor", ("m_channels", "trajectory"))
        sensory = _primitive(s.sensory, environment.s_channels, "sensory", ("s_channels", "sense"))
    except BaseException:
        environment.close()
        raise
    return s, environment, motor, sensory


def _primitive(
    cfg: Mapping[str, Any], channels: Sequence[Channel], where: str, needs: Sequence[str]
) -> Any:
    rest = dict(cfg)
    found = object_at(rest.pop("classname", None), f"{where}.classname")
    names = rest.pop("channels", ())
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where}.channels: must be a list of names, not {shown(names)}")
    try:
        made = found(select(channels, names, f"{where}.channels"), **rest)
    except (ChannelError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be made: {error}") from None
    lacking = [name for name in needs if not hasattr(made, name)]
    if lacking:
        raise ConfigError(f"{where}.classname: {cfg['classname']} has no {lacking[0]}")
    return made
