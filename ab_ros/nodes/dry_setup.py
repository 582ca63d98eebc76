"""Which topics a node would use: its own set-up, with an ear in place of publishers and the like.

So nothing has to be written down twice, and what a node uses tomorrow is known tomorrow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from ab_ros.errors import AbRosError
from ab_ros.figures import Figures
from ab_ros.nodes import qos
from ab_ros.nodes.composed import node_class
from ab_ros.nodes.message_types import type_name

PUBLISHER, SUBSCRIPTION, CLIENT = "publisher", "subscription", "client"
_POLICIES: Mapping[str, Any] = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
}


@dataclass(frozen=True)
class End:
    """One end of a topic that a node would make.

    Parameters
    ----------
    kind : of the node, such as ``motor``.
    side : ``publisher``, ``subscription``, or ``client`` of a service.
    topic : its name in the graph, after remapping; of a client, the service's.
    name : the topic as the node calls it.
    message : class of its messages.
    profile : its QoS, with the overrides of the node's parameters; None of a client.
    always : whether it works while the node is not active.
    """

    kind: str
    side: str
    topic: str
    name: str
    message: type[Any]
    profile: QoSProfile | None
    always: bool

    @property
    def type_name(self) -> str:
        """Type of its messages as the graph has it: ``sensor_msgs/msg/Image``."""
        return type_name(self.message)

    @property
    def internal(self) -> bool:
        """Whether nodes of ab_ros talk to each other by it."""
        return self.type_name.startswith("ab_ros/") or self.name.startswith("~")

    @property
    def action(self) -> str:
        """The action that it is a part of; empty if there is none."""
        return self.topic.partition("/_action/")[0] if "/_action/" in self.topic else ""


def ends_of(kind: str, settings: Any, standard: Mapping[str, Any], probe: Node) -> list[End]:
    """Return the ends that a node would make with some settings.

    Parameters
    ----------
    kind : of the node.
    settings : the node's.
    standard : parameters that every node has, by their dotted names.
    probe : a node of the same namespace and remappings, which resolves names.

    Raises
    ------
    AbRosError
        if the node would not come up.
    """
    planned = node_class(kind)
    made: list[End] = []

    def note(side: str) -> Callable[..., Any]:
        def make(message: type[Any], name: str, *rest: Any, always: bool = False, **_: Any) -> Any:
            profile = rest[-1]  # of a subscription, after its callback
            topic = probe.resolve_topic_name(name)
            chosen = _overridden(profile, standard, topic, side)
            made.append(End(kind, side, topic, name, message, chosen, always))
            return _Deaf(topic_name=topic)

        return make

    def use(kind_of: type[Any], name: str, *_: Any, **__: Any) -> Any:
        service = probe.resolve_service_name(name)
        made.append(End(kind, CLIENT, service, name, kind_of, None, False))
        return nothing

    nothing = _Deaf()
    # Everything that a node makes goes through these; see ab_ros.nodes.gated.
    replaced = {
        "settings": settings,
        "figures": Figures(),
        "active": False,
        "exit_code": 0,
        "advertise": note(PUBLISHER),
        "subscribe": note(SUBSCRIPTION),
        "use": use,
        "located": lambda error: error,
        "serve": nothing,
        "every": nothing,
        "watch_clock": nothing,
        "work": nothing,
        "drop": nothing,
        "wake": nothing,
        "get_logger": lambda: logging.getLogger("ab_ros.dry_setup"),
        "get_clock": probe.get_clock,
        "get_parameter": nothing,
        "resolve_topic_name": probe.resolve_topic_name,
        "resolve_service_name": probe.resolve_service_name,
        "get_name": lambda: kind,
        "get_namespace": probe.get_namespace,
        "get_fully_qualified_name": lambda: f"{probe.get_namespace().rstrip('/')}/{kind}",
        "create_client": nothing,
        "create_timer": nothing,
    }
    dry = type(f"Dry{planned.__name__}", (planned,), replaced | {"__slots__": ()})
    for name, value in replaced.items():
        if callable(value):
            setattr(dry, name, staticmethod(value))
    node: Any = object.__new__(dry)
    node.setup()
    return made


class _Deaf(SimpleNamespace):
    """Stands for what a node makes: it does nothing, whatever it is asked to."""

    def __call__(self, *_: Any, **__: Any) -> _Deaf:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def _overridden(
    profile: QoSProfile, standard: Mapping[str, Any], topic: str, side: str
) -> QoSProfile:
    """Return a profile with the policies that the parameters ``qos_overrides`` give."""
    chosen = qos.own(profile)
    for policy, kind in _POLICIES.items():
        given = standard.get(f"qos_overrides.{topic}.{side}.{policy}")
        if given is not None:
            try:
                setattr(chosen, policy, kind.get_from_short_key(str(given)))
            except KeyError:
                raise AbRosError(
                    f"qos_overrides.{topic}.{side}.{policy}: {given!r} is not known;"
                    f" one of: {', '.join(kind.short_keys())}"
                ) from None
    depth = standard.get(f"qos_overrides.{topic}.{side}.depth")
    if isinstance(depth, int):
        chosen.depth = depth
    return chosen
