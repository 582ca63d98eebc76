"""Reward and deviation policies: functions of the user's, found, called and checked.

A policy is a module or a Python file of the user's own with one or both of the functions ::

    def compute_reward(summary, *, stdp_layers):
        return global_reward, {layer: reward}        # each in [0, 1], 0.5 is neutral

    def compute_deviation(feedback_id, *, T, ctx=None):
        return [0.0] * T                             # each in [-1, 1]

``summary`` and ``ctx`` are the same dictionary, described at :meth:`Moment.summary
<ab_ros.learning.critic.Moment.summary>`.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ab_ros.errors import PolicyError
from ab_ros.values import Deviation, Reward


@dataclass(frozen=True)
class Policies:
    """The two functions, either of which may be missing, and the files they stand in."""

    reward_function: Callable[..., Any] | None
    deviation_function: Callable[..., Any] | None
    reward_file: str = ""
    deviation_file: str = ""

    def reward(self, summary: Mapping[str, Any], layers: Sequence[str]) -> Reward | None:
        """Call ``compute_reward``; clamp finite values, refuse others.

        Raises
        ------
        PolicyError
            if the function failed or returned something else than (number, {layer: number});
            the message has the file and, where it failed, the line.
        """
        if self.reward_function is None:
            return None
        where = f"{self.reward_file}: compute_reward"
        try:
            answer = self.reward_function(summary, stdp_layers=tuple(layers))
        except Exception as error:  # a user's code may raise anything
            raise PolicyError(_failure(self.reward_file, "compute_reward", error)) from error
        try:
            overall, by_layer = answer
            items = dict(by_layer).items()
        except (TypeError, ValueError):
            raise PolicyError(
                f"{where} must return (global reward, {{layer: reward}}), not {answer!r}"
            ) from None
        wanted = {str(k): _unit(where, f"layer {k!r}", v) for k, v in items if str(k) in layers}
        return Reward(_unit(where, "the global reward", overall), wanted)

    def deviation(
        self, feedback: str, timesteps: int, context: Mapping[str, Any]
    ) -> Deviation | None:
        """Call ``compute_deviation``; clamp finite values, refuse others and wrong lengths."""
        if self.deviation_function is None:
            return None
        where = f"{self.deviation_file}: compute_deviation({feedback!r})"
        try:
            answer = self.deviation_function(feedback, T=timesteps, ctx=context)
        except Exception as error:  # a user's code may raise anything
            raise PolicyError(
                _failure(self.deviation_file, f"compute_deviation({feedback!r})", error)
            ) from error
        try:
            values = np.asarray(answer, np.float32)
        except (TypeError, ValueError):
            raise PolicyError(f"{where} must return a list of {timesteps} numbers") from None
        if values.shape != (timesteps,):
            raise PolicyError(
                f"{where} must return {timesteps} numbers, not an array of form"
                f" {list(values.shape)}"
            )
        if not np.all(np.isfinite(values)):
            raise PolicyError(f"{where} returned values that are not finite")
        return Deviation(feedback, np.clip(values, -1.0, 1.0))


def load_policies(reward: str, deviation: str) -> Policies:
    """Load the two policies, each a module name or the path of a ``.py`` file; "" for none.

    Raises
    ------
    PolicyError
        if a file or module is not found, fails on import, or lacks the function.
    """
    reward_function, reward_file = _function(reward, "compute_reward")
    deviation_function, deviation_file = _function(deviation, "compute_deviation")
    return Policies(reward_function, deviation_function, reward_file, deviation_file)


def _function(where: str, name: str) -> tuple[Callable[..., Any] | None, str]:
    if not where:
        return None, ""
    module = _load_file(Path(where)) if where.endswith(".py") else _import(where)
    function = getattr(module, name, None)
    file = str(getattr(module, "__file__", where))
    if not callable(function):
        raise PolicyError(f"{file}: has no function {name}()")
    return function, file


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PolicyError(f"{path}: there is no such policy file")
    spec = importlib.util.spec_from_file_location(f"ab_ros_policy_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PolicyError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # A policy may import what stands beside it, such as its contract.
    folders = [str(path.resolve().parent), str(path.resolve().parent.parent)]
    sys.path[:0] = folders
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's code may raise anything
        raise PolicyError(_failure(str(path), "import", error)) from error
    finally:
        for folder in folders:
            sys.path.remove(folder)
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # an import may raise anything
        raise PolicyError(f"policy module {name!r}: cannot be imported: {error}") from error


def _failure(file: str, what: str, error: BaseException) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = f":{lines[-1]}" if lines else ""
    return f"{file}{line}: {what} failed: {type(error).__name__}: {error}"


def _unit(where: str, what: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PolicyError(f"{where}: {what} must be a number, not {value!r}") from None
    if not math.isfinite(number):
        raise PolicyError(f"{where}: {what} must be finite, not {number}")
    return min(1.0, max(0.0, number))
