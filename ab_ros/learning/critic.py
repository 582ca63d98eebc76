"""The critic: what a cycle's commands were worth, by the user's policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ab_ros.config import setting
from ab_ros.contract import Contract
from ab_ros.errors import PolicyError
from ab_ros.learning.policies import Policies, load_folder, load_policies
from ab_ros.values import Cycle, Deviation, Reward

_SLOW_SHARE = 0.01


@dataclass(frozen=True)
class CriticSettings:
    """What the critic computes, and how."""

    policies: str = setting(
        "",
        doc="Policy folder, as 'ab_ros policies sync' makes it; given, it stands for the next two.",
    )
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
    optical frame (x right, y down, z forward), or None if unknown; ``stamp``: s; ``velocities``:
    {joint: rad/s or m/s} of the joints whose velocity is measured.
    """

    stamp: float
    joints: Mapping[str, float] = field(default_factory=dict)
    target: tuple[float, float, float] | None = None
    velocities: Mapping[str, float] = field(default_factory=dict)


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

        ``run``, ``cycle``, ``dt`` (s), ``timesteps``, ``duration`` (s), ``executed`` (bool),
        ``stamp`` (s);
        ``joints``: {joint: {"before", "after", "velocity_before", "velocity_after"}} in rad or m,
        and per second; a velocity that is not measured is None;
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
            "duration": self.cycle.timesteps * self.cycle.dt,
            "executed": self.executed,
            "stamp": self.after.stamp,
            "joints": {
                name: {
                    "before": self.before.joints[name],
                    "after": self.after.joints[name],
                    "velocity_before": self.before.velocities.get(name),
                    "velocity_after": self.after.velocities.get(name),
                }
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


def policies_of(settings: CriticSettings, *, again: bool = False) -> Policies:
    """Load the policies that the settings name; modules once more if ``again``.

    Raises
    ------
    PolicyError
        when a policy cannot be loaded.
    ConfigError
        when a policy refuses the options.
    """
    if settings.policies:
        return load_folder(settings.policies, settings.options)
    return load_policies(
        settings.reward_policy, settings.deviation_policy, settings.options, again=again
    )


class Critic:
    """Computes reward and deviations of each cycle.

    Parameters
    ----------
    settings : what to compute.
    contract : of the running brain.
    policies : instead of those that the settings name.
    clock : counts s; tells how long the policies take.

    Attributes
    ----------
    failures, last_failure : how often a policy failed, and a sentence about the last time.
    judged : cycles.
    slow, last_slow : how often the policies took longer than the cycle that they judged, so that
        they cannot keep up with a robot in real time, and a sentence about the last time.
    took : s, what the policies took for the last cycle.

    Raises
    ------
    PolicyError, ConfigError
        as :func:`policies_of`.
    """

    def __init__(
        self,
        settings: CriticSettings,
        contract: Contract,
        policies: Policies | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.policies = policies or policies_of(settings)
        self.failures = 0
        self.last_failure = ""
        self.judged = 0
        self.slow = 0
        self.last_slow = ""
        self.took = 0.0
        self._clock = clock
        self._rng = np.random.default_rng(settings.seed)
        self._past: list[Reward] = []

    def judge(self, moment: Moment) -> tuple[Reward | None, tuple[Deviation, ...]]:
        """Return the reward and the deviations of a cycle.

        A policy that fails gives no reward or deviation, is counted in ``failures`` and told in
        ``last_failure``; the robot goes on.
        """
        summary = moment.summary()
        begin = self._clock()
        reward = self._reward(summary)
        rewarded = self._clock()
        deviations = self._deviations(summary)
        self._watch(moment, rewarded - begin, self._clock() - rewarded)
        if reward is not None and self.settings.one_reward:
            reward = Reward(reward.overall)
        if reward is not None and self.settings.shuffle:
            reward = self._shuffled(reward)
        return reward, deviations

    def complaints(self) -> tuple[str, ...]:
        """Return what is wrong with the policies, in sentences, the worst first.

        That a call is slow now and then is a matter of the computer: more than one in a hundred
        is one of the policies.
        """
        found = []
        if self.failures:
            found.append(f"{self.failures} failures: {self.last_failure}")
        if self.slow > self.judged * _SLOW_SHARE:
            found.append(f"{self.slow} cycles took too long: {self.last_slow}")
        known = ", ".join(self.contract.stdp3_layers) or "none"
        for layer, count in self.policies.unknown_layers.items():
            found.append(f"{count} rewards for layer {layer!r}; the brain has {known}")
        return tuple(found)

    def _reward(self, summary: Mapping[str, Any]) -> Reward | None:
        if not self.settings.reward_enabled:
            return None
        try:
            return self.policies.reward(summary, self.contract.stdp3_layers)
        except PolicyError as error:
            self._failed(error)
            return None

    def _deviations(self, summary: Mapping[str, Any]) -> tuple[Deviation, ...]:
        deviations = []
        ports = self.contract.feedback if self.settings.deviation_enabled else ()
        for port in ports:
            try:
                deviation = self.policies.deviation(
                    port.id, self.contract.feedback_timesteps, summary
                )
            except PolicyError as error:
                self._failed(error)
                continue
            if deviation is not None:
                deviations.append(deviation)
        return tuple(deviations)

    def _watch(self, moment: Moment, reward: float, deviations: float) -> None:
        self.judged += 1
        self.took = reward + deviations
        cycle = moment.cycle.timesteps * moment.cycle.dt
        if self.took <= cycle:
            return
        self.slow += 1
        policies = self.policies
        place = policies.reward_place if reward >= deviations else policies.deviation_place
        self.last_slow = (
            f"{place}: the policies took {1e3 * self.took:.1f} ms (reward {1e3 * reward:.1f} ms,"
            f" deviations {1e3 * deviations:.1f} ms) for a cycle of {1e3 * cycle:g} ms"
        )

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
