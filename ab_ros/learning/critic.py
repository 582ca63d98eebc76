"""The critic: what a cycle's commands were worth, by the user's policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ab_ros.config import setting
from ab_ros.contract import Contract
from ab_ros.errors import PolicyError
from ab_ros.learning.policies import Policies, load_policies
from ab_ros.values import Cycle, Deviation, Reward


@dataclass(frozen=True)
class CriticSettings:
    """What the critic computes, and how."""

    reward_policy: str = setting(
        "ab_ros.learning.tracking",
        doc="Module or .py file with compute_reward(summary, *, stdp_layers); empty for none.",
    )
    deviation_policy: str = setting(
        "", doc="Module or .py file with compute_deviation(feedback_id, *, T, ctx); empty for none."
    )
    options: dict[str, Any] = setting(dict, doc="Handed to the policies as summary['options'].")
    shuffle: bool = setting(
        False,
        doc="Control: send each reward at a random other time, so that it says nothing.",
        live=True,
    )
    reward_enabled: bool = setting(True, doc="Whether rewards are sent.", live=True)
    deviation_enabled: bool = setting(True, doc="Whether deviations are sent.", live=True)
    one_reward: bool = setting(
        False, doc="Send the global reward to all layers instead of one per layer.", live=True
    )
    seed: int = setting(0, doc="Seed of the shuffling.", ge=0)


@dataclass(frozen=True)
class Snapshot:
    """The task at one moment.

    ``joints``: {joint: rad or m}; ``target``: unit vector from the camera to the target in its
    optical frame (x right, y down, z forward), or None if unknown; ``stamp``: s.
    """

    stamp: float
    joints: Mapping[str, float] = field(default_factory=dict)
    target: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Moment:
    """One executed, or refused, cycle between two snapshots."""

    cycle: Cycle
    executed: bool
    before: Snapshot
    after: Snapshot
    options: Mapping[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return the dictionary that policies get.

        ``run``, ``cycle``, ``dt`` (s), ``timesteps``, ``executed`` (bool), ``stamp`` (s);
        ``joints``: {joint: {"before", "after"}} in rad or m;
        ``target``: {"before", "after"}, each {"azimuth", "elevation", "error"} in rad, to the
        right, up, and from the optical axis, or None if the target is unknown;
        ``spikes``: {population: {"count", "first_half", "second_half", "neurons"}};
        ``options``: the critic's ``options`` from YAML.
        """
        spikes = {}
        for name, raster in self.cycle.rasters.items():
            half = raster.shape[1] // 2
            spikes[name] = {
                "count": int(raster.sum()),
                "first_half": int(raster[:, :half].sum()),
                "second_half": int(raster[:, half : 2 * half].sum()),
                "neurons": raster.shape[1],
            }
        return {
            "run": self.cycle.run,
            "cycle": self.cycle.number,
            "dt": self.cycle.dt,
            "timesteps": self.cycle.timesteps,
            "executed": self.executed,
            "stamp": self.after.stamp,
            "joints": {
                name: {"before": self.before.joints[name], "after": self.after.joints[name]}
                for name in self.after.joints
                if name in self.before.joints
            },
            "target": {"before": bearing(self.before.target), "after": bearing(self.after.target)},
            "spikes": spikes,
            "options": self.options,
        }


def bearing(direction: tuple[float, float, float] | None) -> dict[str, float] | None:
    """Return azimuth (right), elevation (up) and angle from the optical axis, in rad."""
    if direction is None:
        return None
    x, y, z = direction
    across = float(np.hypot(x, y))
    return {
        "azimuth": float(np.arctan2(x, z)),
        "elevation": float(np.arctan2(-y, np.hypot(x, z))),
        "error": float(np.arctan2(across, z)),
    }


class Critic:
    """Computes reward and deviations of each cycle.

    Raises
    ------
    PolicyError
        when a policy cannot be loaded.
    """

    def __init__(
        self, settings: CriticSettings, contract: Contract, policies: Policies | None = None
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.policies = policies or load_policies(settings.reward_policy, settings.deviation_policy)
        self.failures = 0
        self.last_failure = ""
        self._rng = np.random.default_rng(settings.seed)
        self._past: list[Reward] = []

    def judge(self, moment: Moment) -> tuple[Reward | None, tuple[Deviation, ...]]:
        """Return the reward and the deviations of a cycle.

        A policy that fails gives no reward or deviation, is counted in ``failures`` and told in
        ``last_failure``; the robot goes on.
        """
        summary = moment.summary()
        reward = None
        deviations = []
        try:
            if self.settings.reward_enabled:
                reward = self.policies.reward(summary, self.contract.stdp3_layers)
        except PolicyError as error:
            self._failed(error)
        if self.settings.deviation_enabled:
            for port in self.contract.feedback:
                try:
                    deviation = self.policies.deviation(
                        port.id, self.contract.feedback_timesteps, summary
                    )
                except PolicyError as error:
                    self._failed(error)
                    continue
                if deviation is not None:
                    deviations.append(deviation)
        if reward is not None and self.settings.one_reward:
            reward = Reward(reward.overall)
        if reward is not None and self.settings.shuffle:
            reward = self._shuffled(reward)
        return reward, tuple(deviations)

    def _shuffled(self, reward: Reward, memory: int = 64) -> Reward:
        """Swap a reward for one of the last ``memory``: the same values at the wrong times."""
        if len(self._past) < memory:
            self._past.append(reward)
            return self._past[int(self._rng.integers(len(self._past)))]
        index = int(self._rng.integers(memory))
        other, self._past[index] = self._past[index], reward
        return other

    def _failed(self, error: PolicyError) -> None:
        self.failures += 1
        self.last_failure = str(error)
