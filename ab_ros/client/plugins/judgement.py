"""What a cycle was worth, by the plug-ins: its deviations and its reward."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ab_ros.client.plugins.deviation import deviation_of
from ab_ros.client.plugins.reward import reward_of
from ab_ros.contract import Contract
from ab_ros.errors import PolicyError
from ab_ros.learning.policies import Policies
from ab_ros.values import Deviation, Reward

_log = logging.getLogger(__name__)


class Judgement:
    """The plug-ins of a run that judge its cycles; there may be none.

    One that fails, or returns what is not finite, is logged with its stack trace and counted in
    ``failed``; its values are clamped if they are finite.
    """

    def __init__(self) -> None:
        self._policies = Policies(None, None)
        self.failed: Counter[str] = Counter()

    def set_deviation(self, plugin: object) -> None:
        """Set what computes deviations; None for nothing."""
        function = None if plugin is None else deviation_of(plugin)
        old = self._policies
        self._policies = Policies(old.reward_function, function, old.reward_file, _file_of(plugin))

    def set_reward(self, plugin: object) -> None:
        """Set what computes rewards; None for nothing."""
        function = None if plugin is None else reward_of(plugin)
        old = self._policies
        self._policies = Policies(
            function, old.deviation_function, _file_of(plugin), old.deviation_file
        )

    def __bool__(self) -> bool:
        """Whether there is a plug-in."""
        return (self._policies.reward_function or self._policies.deviation_function) is not None

    def deviations(
        self, contract: Contract, cycle: int, told: Mapping[str, Any]
    ) -> list[Deviation]:
        """Return the deviation of each feedback of the contract, as far as there is one."""
        found = []
        for port in contract.feedback:
            try:
                deviation = self._policies.deviation(port.id, contract.feedback_timesteps, told)
            except PolicyError as error:
                self._failed("deviation", cycle, error)
                continue
            if deviation is not None:
                found.append(deviation)
        return found

    def reward(self, contract: Contract, cycle: int, told: Mapping[str, Any]) -> Reward | None:
        """Return the reward, if there is one."""
        try:
            return self._policies.reward(told, contract.stdp3_layers)
        except PolicyError as error:
            self._failed("reward", cycle, error)
            return None

    def _failed(self, what: str, cycle: int, error: PolicyError) -> None:
        self.failed[f"{what} failed"] += 1
        _log.error("cycle %d: %s", cycle, error, exc_info=error)


def _file_of(plugin: object) -> str:
    """Say in which file a plug-in stands, or what it is."""
    code = getattr(plugin, "__code__", None)
    if code is not None:
        return str(code.co_filename)
    kind = type(plugin)
    return str(getattr(plugin, "__file__", f"{kind.__module__}.{kind.__name__}"))
