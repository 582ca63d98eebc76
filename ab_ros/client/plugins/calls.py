"""Finding the function of a plug-in, and how it wants to be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ab_ros.errors import ConfigError


def function_of(
    plugin: object, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return a plug-in's function, to be called ``f(*arguments, **named)``.

    Parameters
    ----------
    plugin : an object or module with a function ``name``, or a function.
    name : of its function.
    arguments, named : an example of a call.  A function may take the named ones by position
        instead, or have none of them.

    Raises
    ------
    ConfigError
        if there is no such function, or it takes something else.
    """
    function = getattr(plugin, name, plugin)
    if not callable(function):
        raise ConfigError(
            f"plug-in: must be a function or have a function {name}(), not {plugin!r}"
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return function
    if _fits(signature, arguments, named):
        return function
    if _fits(signature, (*arguments, *named.values()), {}):
        order = tuple(named)
        return lambda *given, **by_name: function(*given, *(by_name[key] for key in order))
    if _fits(signature, arguments, {}):
        return lambda *given, **by_name: function(*given)
    wanted = ", ".join(["…"] * len(arguments) + [f"{key}=" for key in named])
    raise ConfigError(f"plug-in {function!r}: must be callable as {name}({wanted})")


def _fits(
    signature: inspect.Signature, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> bool:
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True
