"""Deviations: how far off a feedback's output was, over the timesteps of a cycle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ab_ros.client.plugins.calls import function_of

if TYPE_CHECKING:
    from ab_ros.client.run import Run


class DeviationPlugin(ABC):
    """Base of a robot's own deviations; also a module or function of the same form will do.

    Parameters
    ----------
    run : that it belongs to.
    """

    def __init__(self, run: Run | None = None) -> None:
        self.run = run

    @abstractmethod
    def compute_deviation(
        self, feedback_id: str, *, T: int, ctx: Mapping[str, Any] | None = None
    ) -> Sequence[float]:
        """Return T values in [-1, 1] for a feedback; called once per cycle for each.

        Parameters
        ----------
        feedback_id : of the contract.
        T : timesteps of a deviation (feedbackT).
        ctx : the cycle; see :meth:`ab_ros.client.RobotLoop.summary`.
        """


class DefaultDeviation(DeviationPlugin):
    """No deviation: zeros."""

    def compute_deviation(
        self, feedback_id: str, *, T: int, ctx: Mapping[str, Any] | None = None
    ) -> list[float]:
        """Return zeros."""
        return [0.0] * T


def deviation_of(plugin: object) -> Callable[..., Any]:
    """Return the function ``f(feedback_id, T=, ctx=)`` of a plug-in, module or function.

    Raises
    ------
    ConfigError
        if there is none, or it cannot be called so.
    """
    return function_of(plugin, "compute_deviation", ("fb",), {"T": 1, "ctx": {}})
