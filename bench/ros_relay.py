"""What a bare rclpy node costs: passes joint states on, and nothing else."""

from __future__ import annotations

import sys

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState


def main() -> None:
    """Relay from the first argument's topic to the second's until SIGINT or SIGTERM."""
    from ab_ros.nodes.process import executor  # the one that the nodes of ab_ros use

    source, target, name = sys.argv[1:4]
    rclpy.init()
    node = rclpy.create_node(name)
    profile = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(JointState, target, profile)
    node.create_subscription(JointState, source, publisher.publish, profile)
    spinning = executor()
    spinning.add_node(node)
    try:
        while rclpy.ok():
            spinning.spin_once(timeout_sec=0.5)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
