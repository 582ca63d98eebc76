"""Checks of the critic node: its policies are loaded and tried, and held against the contract."""

from __future__ import annotations

import math

from ab_ros.cli.checks.brain import KnownBrain
from ab_ros.cli.checks.config_file import NodeConfig, read_part
from ab_ros.errors import AbRosError, ConfigError
from ab_ros.learning.critic import CriticSettings, policies_of
from ab_ros.learning.policies import Policies
from ab_ros.learning.scaffold import contract_complaints
from ab_ros.learning.trial import try_policies
from ab_ros.nodes.remarks import Remarks


def check_critic(node: NodeConfig, brain: KnownBrain, remarks: Remarks) -> None:
    """Load the policies, call them once, and compare them with the brain's contract."""
    critic: CriticSettings | None = getattr(node.settings, "critic", None)
    if critic is None:
        critic = read_part(node, "critic", CriticSettings, remarks)
    if critic is None:
        return
    policies = _load(node, critic, remarks)
    if critic.policies and brain.contract is not None:
        for difference in contract_complaints(critic.policies, brain.contract):
            remarks.error(
                f"not of the brain's contract ({brain.origin}): {difference}; run 'ab_ros policies"
                f" sync'",
                *node.place("critic", "policies"),
            )
    if policies is None or brain.contract is None:
        return
    where = node.place("critic", _name(critic))
    fine = []
    for finding in try_policies(policies, brain.contract, critic.options):
        if finding.bad:
            remarks.error(finding.text, *where)
        else:
            fine.append(finding.text)
    if fine:
        more = f"; {len(fine) - 1} more calls returned what they must" if len(fine) > 1 else ""
        remarks.ok(f"{fine[0]}{more}", *where)
    _check_use(node, critic, policies, brain, remarks)
    timeout = getattr(node.settings, "judge_timeout", math.inf)
    if timeout <= brain.cycle_time:
        remarks.error(
            f"{timeout:g} s is not longer than a cycle,"
            f" {brain.cycle_time:g} s: no cycle would be judged; give more",
            *node.place("judge_timeout"),
        )


def _load(node: NodeConfig, critic: CriticSettings, remarks: Remarks) -> Policies | None:
    try:
        return policies_of(critic)
    except ConfigError as error:
        where, key, text = node.place_of(f"critic.{error}")
        remarks.error(text.removeprefix("critic."), where, key)
    except AbRosError as error:
        remarks.error(str(error), *node.place("critic", _name(critic)))
    return None


def _name(critic: CriticSettings) -> str:
    if critic.policies:
        return "policies"
    return "reward_policy" if critic.reward_policy else "deviation_policy"


def _check_use(
    node: NodeConfig,
    critic: CriticSettings,
    policies: Policies,
    brain: KnownBrain,
    remarks: Remarks,
) -> None:
    assert brain.contract is not None
    if policies.reward_function is not None and not brain.contract.stdp3_layers:
        remarks.warn(
            f"the brain has no learning layer ({brain.origin}), so rewards teach it nothing",
            *node.place("critic", _name(critic)),
        )
    if policies.deviation_function is not None and critic.deviation_enabled:
        if not brain.contract.feedback:
            remarks.warn(
                f"the brain has no feedback ({brain.origin}), so deviations reach nobody",
                *node.place("critic", "deviation_enabled"),
            )
    elif critic.deviation_enabled and brain.contract.feedback:
        names = ", ".join(port.id for port in brain.contract.feedback)
        remarks.warn(
            f"there is no deviation policy for the brain's feedback ({names}); give one, or"
            f" 'deviation_enabled: false'",
            *node.place("critic", "deviation_policy"),
        )
