"""A node's figures on ``/diagnostics`` (REP 107): a report for people, never a safety mechanism."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from ab_ros.figures import Figures


class Level(enum.Enum):
    """How well a node does, with the level of ``diagnostic_msgs``."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR
    STALE = DiagnosticStatus.STALE


Health = tuple[Level, str]


class Diagnostics:
    """Publishes the figures of a node on ``/diagnostics``, whatever its lifecycle state.

    Parameters
    ----------
    node : the node that reports.
    figures : its rates, ages, latencies and counts.
    health : gives the level and a sentence, each time.
    period : s between reports, > 0; on the steady clock, so that it goes on when ``/clock`` stops.
    """

    def __init__(
        self, node: Node, figures: Figures, health: Callable[[], Health], period: float = 1.0
    ) -> None:
        self._node = node
        self._figures = figures
        self._health = health
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(
            period, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def publish(self) -> None:
        """Publish one report now."""
        name = self._node.get_fully_qualified_name()
        level, sentence = self._health()
        status = DiagnosticStatus(
            level=level.value, name=f"{name}: loop", message=sentence, hardware_id=name
        )
        status.values = [
            KeyValue(key=key, value=_text(value)) for key, value in self._figures.snapshot().items()
        ]
        report = DiagnosticArray(status=[status])
        report.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(report)


def _text(value: float) -> str:
    if math.isnan(value):
        return "none yet"
    if math.isinf(value):
        return "never"
    return str(int(value)) if value == int(value) else f"{value:.4g}"
