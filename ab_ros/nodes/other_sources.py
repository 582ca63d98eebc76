"""Who else commands the robot, as far as the ROS graph shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rclpy.node import Node

from ab_ros.motion.settings import GroupSettings
from ab_ros.nodes.command_interfaces import ACTIONS

_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # rmw's word for an endpoint whose node has not been discovered


class OtherSources:
    """Finds nodes that publish on a command topic, or use an action, of this node's.

    Whether they send anything cannot be seen: a node that can command the robot counts.  One that
    was killed is still listed for some seconds.

    Parameters
    ----------
    node : the motor node; others of its own name are not told apart from it.
    groups : whose topics and actions are watched.
    """

    def __init__(self, node: Node, groups: Mapping[str, GroupSettings]) -> None:
        self._node = node
        self._own = (node.get_name(), node.get_namespace())
        self._topics = [
            node.resolve_topic_name(group.topic)
            for group in groups.values()
            if group.interface not in ACTIONS
        ]
        self._actions = [
            node.resolve_service_name(group.topic)
            for group in groups.values()
            if group.interface in ACTIONS
        ]
        self._unnamed: set[str] = set()

    def look(self) -> str:
        """Say who else can command the robot; an empty text if nobody can."""
        found = [*self._publishers(), *self._clients()]
        if not found:
            return ""
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0]}{more}: end it, or allow it by 'exclusive: false'"

    def _publishers(self) -> Iterator[str]:
        unnamed = set()
        for topic in self._topics:
            for end in self._node.get_publishers_info_by_topic(topic):
                if (end.node_name, end.node_namespace) == self._own:
                    continue
                if end.node_name == _UNKNOWN:
                    unnamed.add(topic)
                    # Its name may be on its way; what is no ROS node never gets one.
                    if topic not in self._unnamed:
                        continue
                yield f"{_called(end.node_name, end.node_namespace)} publishes on {topic}, too"
        self._unnamed = unnamed

    def _clients(self) -> Iterator[str]:
        if not self._actions:
            return
        for name, namespace in sorted(set(self._node.get_node_names_and_namespaces())):
            if (name, namespace) == self._own:
                continue
            try:
                used = self._node.get_client_names_and_types_by_node(name, namespace)
            except RuntimeError:
                continue  # gone since it was listed
            for service, _ in used:
                action, _, end = service.rpartition("/_action/")
                if end == "send_goal" and action in self._actions:
                    yield f"{_called(name, namespace)} is a client of the action {action}, too"


def _called(name: str, namespace: str) -> str:
    return "an unknown node" if name == _UNKNOWN else f"node {namespace.rstrip('/')}/{name}"
