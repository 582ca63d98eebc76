"""A made-up cycle, to try policies without a robot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ab_ros.contract import Contract
from ab_ros.errors import PolicyError
from ab_ros.learning.critic import Moment, Snapshot
from ab_ros.learning.policies import Policies
from ab_ros.values import Cycle

_DT = 0.001
_MOVED = 0.01
_RATE = 0.02


def example_moment(contract: Contract, options: Mapping[str, Any] | None = None) -> Moment:
    """Return a cycle of a brain in which a target came a little closer to the middle of the view.

    Its spikes are random, but always the same, at 20 Hz with timesteps of 1 ms.
    """
    rng = np.random.default_rng(0)
    gamma = contract.gamma
    rasters = {
        port.id: (rng.random((gamma, port.n)) < _RATE).astype(np.uint8) for port in contract.outputs
    }
    shots = [
        Snapshot(stamp, {}, (float(np.sin(angle)), -0.05, float(np.cos(angle))))
        for stamp, angle in ((0.0, 0.12), (gamma * _DT, 0.10))
    ]
    cycle = Cycle("trial", 0, rasters, _DT, 0.0, 0.0)
    return Moment(cycle, True, shots[0], shots[1], {} if options is None else options)


def example_summary(contract: Contract, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the summary of :func:`example_moment`, with every joint that a policy asks for."""
    return {**example_moment(contract, options).summary(), "joints": _AnyJoints()}


class _AnyJoints(dict[str, dict[str, float]]):
    """Has a joint of any name: which ones the robot has is not known here."""

    def __missing__(self, name: str) -> dict[str, float]:
        self[name] = {
            "before": 0.0,
            "after": _MOVED,
            "velocity_before": 0.0,
            "velocity_after": _MOVED,
        }
        return self[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


@dataclass(frozen=True)
class Finding:
    """What a trial found, in a sentence; ``bad`` if something is wrong."""

    text: str
    bad: bool = False


def try_policies(
    policies: Policies, contract: Contract, options: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Call the policies once, with a made-up cycle, and say what they return."""
    summary = example_summary(contract, options)
    findings = []
    if policies.reward_function is not None:
        findings += _try(policies.reward_place, lambda: _rewarded(policies, contract, summary))
        for layer in policies.unknown_layers:
            text = (
                f"{policies.reward_place}: rewards layer {layer!r}, which the brain does not have"
            )
            findings.append(Finding(text, bad=True))
    for port in contract.feedback if policies.deviation_function is not None else ():
        findings += _try(
            policies.deviation_place, partial(_deviated, policies, contract, port.id, summary)
        )
    return findings


def _try(place: str, call: Callable[[], str]) -> list[Finding]:
    try:
        return [Finding(f"{place}: {call()}")]
    except PolicyError as error:
        return [Finding(str(error), bad=True)]


def _rewarded(policies: Policies, contract: Contract, summary: Mapping[str, Any]) -> str:
    reward = policies.reward(summary, contract.stdp3_layers)
    assert reward is not None
    layers = ", ".join(
        f"{name} {reward.by_layer.get(name, reward.overall):g}" for name in contract.stdp3_layers
    )
    return f"compute_reward: {reward.overall:g}{layers and f'; {layers}'}"


def _deviated(
    policies: Policies, contract: Contract, feedback: str, summary: Mapping[str, Any]
) -> str:
    deviation = policies.deviation(feedback, contract.feedback_timesteps, summary)
    assert deviation is not None
    low, high = float(deviation.values.min()), float(deviation.values.max())
    size = deviation.values.size
    return f"compute_deviation({feedback!r}): {size} values from {low:g} to {high:g}"
