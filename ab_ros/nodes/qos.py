"""Quality of service profiles by purpose, and what to say when two ends do not match."""

from __future__ import annotations

import copy
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""Newest sample counts: matches any publisher, never blocks it, keeps no old image."""

HISTORY = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""Samples of any publisher that all count: they are looked up later, by their stamps, or are parts
of a whole, as chunks of sound are."""

EACH_SAMPLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""Of a sensor's samples some count besides the newest: they are taken as fast as they come."""

COMMAND = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)
"""Commands to a robot."""

REWARD = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE
)
"""Spikes, cycle_done, rewards, deviations: each one counts, also for who was busy for a while."""

STATUS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)
"""Status for people and monitors."""

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""What a late subscriber must still get, such as a contract or a robot description."""

LOCKSTEP = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
"""Every message of a loop that waits for each one."""


_OVERRIDABLE = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)


def own(profile: QoSProfile) -> QoSProfile:
    """Return a copy: rclpy writes a user's overrides into the profile that it is given."""
    return copy.copy(profile)


def overridable() -> QoSOverridingOptions:
    """Let users override a topic's policies by ``qos_overrides.<topic>.<end>.<policy>`` parameters.

    These are history, depth, reliability and durability; the end is publisher or subscription.
    """
    return QoSOverridingOptions(_OVERRIDABLE)


def subscription_events(node: Any, topic: str) -> SubscriptionEventCallbacks:
    """Report publishers that this subscription cannot hear."""
    return SubscriptionEventCallbacks(incompatible_qos=_reporter(node, topic, "subscription"))


def publisher_events(node: Any, topic: str) -> PublisherEventCallbacks:
    """Report subscriptions that cannot hear this publisher."""
    return PublisherEventCallbacks(incompatible_qos=_reporter(node, topic, "publisher"))


def _reporter(node: Any, topic: str, end: str) -> Any:
    other = "publisher" if end == "subscription" else "subscription"

    def report(event: Any) -> None:
        name = node.resolve_topic_name(topic)
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        node.figures.add(f"{topic} incompatible QoS")
        remedy = f"change that of the {other}"
        if any(policy == kind.name.lower() for kind in _OVERRIDABLE):
            remedy = f"set this node's parameter qos_overrides.{name}.{end}.{policy}, or {remedy}"
        node.get_logger().warning(
            f"{name}: a {other} has an incompatible {policy}, so no message passes between it and"
            f" this node; {remedy}"
        )

    return report
