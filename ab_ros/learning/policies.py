"""Reward and deviation policies: functions of the user's, found, called and checked.

A policy is a module or a Python file of the user's own with one or both of the functions ::

    def compute_reward(summary, *, stdp_layers):
        return global_reward, {layer: reward}        # each in [0, 1], 0.5 is neutral

    def compute_deviation(feedback_id, *, T, ctx=None):
        return [0.0] * T                             # each in [-1, 1]

``summary`` and ``ctx`` are the same dictionary, described at :meth:`Moment.summary
<ab_ros.learning.critic.Moment.summary>`.

A module may instead have ``for_options(options)``, which is called once when it is loaded and
returns an object with one or both of the functions: there options are checked before a robot moves.
"""

from __future__ import annotations

import importlib
import inspect
import math
import reprlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ab_ros.errors import ConfigError, PolicyError
from ab_ros.learning.policy_modules import PolicyModules, import_again
from ab_ros.values import Deviation, Reward

REWARD_FILE = "reward_policy.py"
DEVIATION_FILE = "error_deviation_policy.py"
_REWARD = "compute_reward"
_DEVIATION = "compute_deviation"
_MOST_UNKNOWN = 16


@dataclass(frozen=True)
class Policies:
    """The two functions, either of which may be missing, and the files they stand in.

    ``unknown_layers`` counts the rewards for layers that the brain does not have, by layer.
    ``modules`` are kept for as long as the functions may be called.
    """

    reward_function: Callable[..., Any] | None
    deviation_function: Callable[..., Any] | None
    reward_file: str = ""
    deviation_file: str = ""
    unknown_layers: dict[str, int] = field(default_factory=dict)
    modules: tuple[PolicyModules, ...] = ()

    @property
    def reward_place(self) -> str:
        """File and line of ``compute_reward``; empty if there is none."""
        return str(_place(self.reward_function, self.reward_file))

    @property
    def deviation_place(self) -> str:
        """File and line of ``compute_deviation``; empty if there is none."""
        return str(_place(self.deviation_function, self.deviation_file))

    def reward(self, summary: Mapping[str, Any], layers: Sequence[str]) -> Reward | None:
        """Call ``compute_reward``; clamp finite values, refuse others.

        Raises
        ------
        PolicyError
            if the function failed or returned something else than (number, {layer: number});
            the message has the file and the line: where it failed, else where it begins.
        """
        if self.reward_function is None:
            return None
        try:
            answer = self.reward_function(summary, stdp_layers=tuple(layers))
        except PolicyError:
            raise  # a policy that says itself what is wrong, such as a ready-made one
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            raise PolicyError(
                _failure(_place(self.reward_function, self.reward_file), _REWARD, error)
            ) from error
        where = f"{self.reward_place}: {_REWARD}"
        try:
            overall, by_layer = answer
            items = dict(by_layer).items()
        except Exception:  # what a user's code returns may do anything when it is looked at
            raise PolicyError(
                f"{where} must return (global reward, {{layer: reward}}), not {_shown(answer)}"
            ) from None
        wanted = {}
        for key, value in items:
            layer = str(key)
            if layer in layers:
                wanted[layer] = _unit(where, f"layer {layer!r}", value)
            elif layer in self.unknown_layers or len(self.unknown_layers) < _MOST_UNKNOWN:
                self.unknown_layers[layer] = self.unknown_layers.get(layer, 0) + 1
        return Reward(_unit(where, "the global reward", overall), wanted)

    def deviation(
        self, feedback: str, timesteps: int, context: Mapping[str, Any]
    ) -> Deviation | None:
        """Call ``compute_deviation``; clamp finite values, refuse others and wrong lengths.

        Raises
        ------
        PolicyError
            as :meth:`reward`, unless the function returned ``timesteps`` finite numbers.
        """
        if self.deviation_function is None:
            return None
        what = f"{_DEVIATION}({feedback!r})"
        try:
            answer = self.deviation_function(feedback, T=timesteps, ctx=context)
        except PolicyError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            raise PolicyError(
                _failure(_place(self.deviation_function, self.deviation_file), what, error)
            ) from error
        where = f"{self.deviation_place}: {what}"
        try:
            given = np.asarray(answer)
            if given.ndim == 0 or given.dtype.kind not in "biufO":
                raise TypeError
            values = given.astype(np.float64)
        except Exception:  # as above
            raise PolicyError(
                f"{where} must return a list of {timesteps} numbers, not {_shown(answer)}"
            ) from None
        if values.shape != (timesteps,):
            form = f"{values.size}" if values.ndim == 1 else f"an array of form {[*values.shape]}"
            raise PolicyError(f"{where} must return {timesteps} numbers, not {form}")
        if not np.all(np.isfinite(values)):
            first = int(np.flatnonzero(~np.isfinite(values))[0])
            raise PolicyError(
                f"{where} returned values that are not finite: {values[first]} at timestep {first}"
            )
        return Deviation(feedback, np.clip(values, -1.0, 1.0).astype(np.float32))


def load_policies(
    reward: str,
    deviation: str,
    options: Mapping[str, Any] | None = None,
    *,
    again: bool = False,
) -> Policies:
    """Load the two policies, each a module name or the path of a ``.py`` file; "" for none.

    Parameters
    ----------
    reward, deviation : where the functions stand.
    options : for modules that want them when they are loaded.
    again : whether a module that was imported before is read once more.  Files always are.

    Raises
    ------
    PolicyError
        if a file or module is not found, fails on import, or lacks the function.
    ConfigError
        if a module refuses the options.
    """
    loader = _Loader({} if options is None else options, again)
    reward_function, reward_file = loader.function(reward, _REWARD)
    deviation_function, deviation_file = loader.function(deviation, _DEVIATION)
    return Policies(
        reward_function,
        deviation_function,
        reward_file,
        deviation_file,
        modules=tuple(loader.folders.values()),
    )


def load_folder(folder: str | Path, options: Mapping[str, Any] | None = None) -> Policies:
    """Load ``reward_policy.py`` and ``error_deviation_policy.py`` of a folder; one may be missing.

    Raises
    ------
    PolicyError, ConfigError
        as :func:`load_policies`, and if the folder has neither.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise PolicyError(f"{place}: there is no such policy folder")
    files = [str(place / name) for name in (REWARD_FILE, DEVIATION_FILE)]
    reward, deviation = (file if Path(file).is_file() else "" for file in files)
    if not reward and not deviation:
        raise PolicyError(
            f"{place}: has neither {REWARD_FILE} nor {DEVIATION_FILE}; 'ab_ros policies sync'"
            f" makes both"
        )
    return load_policies(reward, deviation, options)


class _Loader:
    """Loads each folder and each module once, however many functions are taken from it."""

    def __init__(self, options: Mapping[str, Any], again: bool) -> None:
        self.folders: dict[Path, PolicyModules] = {}
        self._options = options
        self._again = again
        self._loaded: dict[str, tuple[Any, str]] = {}

    def function(self, where: str, name: str) -> tuple[Callable[..., Any] | None, str]:
        if not where:
            return None, ""
        if where not in self._loaded:
            self._loaded[where] = self._load(where)
        holder, file = self._loaded[where]
        function = getattr(holder, name, None)
        if not callable(function):
            raise PolicyError(f"{file}: has no function {name}()")
        return function, file

    def _load(self, where: str) -> tuple[Any, str]:
        module = self._file(Path(where)) if where.endswith(".py") else self._module(where)
        file = str(getattr(module, "__file__", where))
        make = getattr(module, "for_options", None)
        if make is None:
            return module, file
        try:
            return make(self._options), file
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            raise PolicyError(_failure(_place(make, file), "for_options", error)) from error

    def _file(self, path: Path) -> ModuleType:
        path = path.expanduser()
        if not path.is_file():
            raise PolicyError(f"{path}: there is no such policy file")
        folder = path.parent.resolve()
        modules = self.folders.setdefault(folder, PolicyModules(folder))
        try:
            return modules.load(path)
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            raise PolicyError(_failure(_Place(str(path)), "import", error)) from error

    def _module(self, name: str) -> ModuleType:
        try:
            return import_again(name) if self._again else importlib.import_module(name)
        except (Exception, SystemExit) as error:  # an import may raise anything
            raise PolicyError(
                f"policy module {name!r}: cannot be imported: {_reason(error)}"
            ) from error


@dataclass(frozen=True)
class _Place:
    """A file and, if known, a line of it."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def _place(function: Callable[..., Any] | None, file: str) -> _Place:
    """Return where a function begins; the file alone for a callable that is none."""
    code = None if function is None else getattr(inspect.unwrap(function), "__code__", None)
    return _Place(file) if code is None else _Place(code.co_filename, code.co_firstlineno)


def _failure(place: _Place, what: str, error: BaseException) -> str:
    """Say what failed, where: the last line of the policy's file that the error went through."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == place.file
    ]
    if isinstance(error, SyntaxError) and error.filename == place.file and error.lineno:
        lines = [error.lineno]
    return f"{_Place(place.file, lines[-1]) if lines else place}: {what} failed: {_reason(error)}"


def _reason(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a user's exception may fail to say what it is
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _unit(where: str, what: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        number = float(value)
    except Exception:  # a user's object may raise anything
        raise PolicyError(f"{where}: {what} must be a number, not {_shown(value)}") from None
    if not math.isfinite(number):
        raise PolicyError(f"{where}: {what} must be finite, not {number}")
    return min(1.0, max(0.0, number))


def _shown(value: Any) -> str:
    """Return a value's ``repr``, shortened; a user's object may be huge, or fail to show itself."""
    return reprlib.repr(value)
