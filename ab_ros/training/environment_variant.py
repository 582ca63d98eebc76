"""Environments of lessons: a configuration in which some settings are others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ab_ros.environments.environment import Environment
from ab_ros.errors import ConfigError, one_of

Make = Callable[[type[Environment], dict[str, Any]], Environment]


def plainly(kind: type[Environment], cfg: dict[str, Any]) -> Environment:
    """Return an environment of its class and configuration."""
    return kind(cfg)


class Variant:
    """Makes an environment with other settings.

    Parameters
    ----------
    kind : class of the environment.
    cfg : its configuration.
    fields : of the simulator's config.
    names : of what a field sets, where it is called else: a key of ``cfg``, or a path in it.
    make : makes an environment of its class and configuration.

    Raises
    ------
    ConfigError
        if there is a name for a field that there is not.
    """

    def __init__(
        self,
        kind: type[Environment],
        cfg: Mapping[str, Any],
        fields: Sequence[str],
        names: Mapping[str, str],
        make: Make,
    ) -> None:
        for name in names:
            if name not in fields:
                known = one_of(fields) if fields else "it has none"
                raise ConfigError(
                    f"environment.settings: the simulator's config has no {name!r}; {known}"
                )
        self._kind, self._cfg, self._make = kind, cfg, make
        self._paths = {name: names.get(name, name) for name in fields}

    def make(self, values: Mapping[str, Any]) -> Environment:
        """Return an environment that has these values of fields.

        Raises
        ------
        ConfigError
            if the environment cannot be made with them.
        """
        try:
            return self._make(self._kind, self._with(values))
        except ConfigError as error:
            raise ConfigError(f"lesson with {dict(values)}: {error}") from None

    def check(self, values: Mapping[str, Any], where: str) -> None:
        """Refuse values, or [low, high] of values, that the environment does not have.

        Raises
        ------
        ConfigError
            naming the place.
        """
        for end in (0, -1):
            drawn = {
                name: value[end] if isinstance(value, (list, tuple)) else value
                for name, value in values.items()
            }
            try:
                self._kind.settings_of(self._with(drawn))
            except ConfigError as error:
                raise ConfigError(f"{where}: {self._kind.__name__}: {error}") from None

    def _with(self, values: Mapping[str, Any]) -> dict[str, Any]:
        cfg: dict[str, Any] = dict(self._cfg)
        for name, value in values.items():
            path = self._paths[name]
            cfg = _changed(cfg, path.split("."), value, path)
        return cfg


def _changed(cfg: Any, keys: Sequence[str], value: Any, path: str) -> Any:
    """Return a configuration in which one value is another."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(cfg, Mapping) and (key in cfg or not rest):
        return {**cfg, key: _changed(cfg.get(key), rest, value, path)}
    if isinstance(cfg, (list, tuple)) and key.isdigit() and int(key) < len(cfg):
        return [
            _changed(item, rest, value, path) if k == int(key) else item
            for k, item in enumerate(cfg)
        ]
    raise ConfigError(
        f"environment.settings: {path!r}: cfg has no {key!r} there; write down in cfg what is to be"
        f" changed"
    )
