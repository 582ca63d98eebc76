"""Rewards: what a cycle's commands were worth, as a whole and by learning layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ab_ros.client.plugins.calls import function_of
from ab_ros.errors import ConfigError

if TYPE_CHECKING:
    from ab_ros.client.run import Run


class RewardPlugin(ABC):
    """Base of a robot's own rewards; also a module or function of the same form will do.

    Parameters
    ----------
    run : that it belongs to.
    """

    def __init__(self, run: Run | None = None) -> None:
        self.run = run

    @abstractmethod
    def compute_reward(
        self, summary: Mapping[str, Any], *, stdp_layers: Sequence[str] = ()
    ) -> tuple[float, Mapping[str, float]]:
        """Return the global reward and ``{layer: reward}``; called once per cycle.

        Each is in [0, 1], where 0.5 is neutral; a layer that is missing gets the global one.

        Parameters
        ----------
        summary : the cycle; see :meth:`ab_ros.client.RobotLoop.summary`.
        stdp_layers : the contract's learning layers.
        """


class DefaultReward(RewardPlugin):
    """A constant reward, the same for all layers.

    Parameters
    ----------
    run : that it belongs to.
    value : in [0, 1]; 0.5 is neutral, so that nothing is learned from it.
    """

    def __init__(self, run: Run | None = None, value: float = 0.5) -> None:
        super().__init__(run)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ConfigError(f"DefaultReward.value: must be within [0, 1], not {value!r}")
        self.value = float(value)

    def compute_reward(
        self, summary: Mapping[str, Any], *, stdp_layers: Sequence[str] = ()
    ) -> tuple[float, dict[str, float]]:
        """Return the constant."""
        return self.value, dict.fromkeys(stdp_layers, self.value)


def reward_of(plugin: object) -> Callable[..., Any]:
    """Return the function ``f(summary, stdp_layers=)`` of a plug-in, module or function.

    Raises
    ------
    ConfigError
        if there is none, or it cannot be called so.
    """
    return function_of(plugin, "compute_reward", ({},), {"stdp_layers": ()})
