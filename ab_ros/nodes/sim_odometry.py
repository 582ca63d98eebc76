"""What the wheels of a simulated car tell, as nav_msgs/Odometry."""

from __future__ import annotations

import math

from nav_msgs.msg import Odometry as OdometryMessage

from ab_ros.environments.car import Odometry
from ab_ros.nodes.messages import to_time


def odometry(measured: Odometry, stamp: float) -> OdometryMessage:
    """Return the message of an odometry: pose in ``odom``, speeds in ``base_footprint``."""
    message = OdometryMessage(child_frame_id="base_footprint")
    message.header.stamp = to_time(stamp)
    message.header.frame_id = "odom"
    pose = message.pose.pose
    pose.position.x, pose.position.y = measured.pose.x, measured.pose.y
    pose.orientation.z = math.sin(measured.pose.heading / 2)
    pose.orientation.w = math.cos(measured.pose.heading / 2)
    message.twist.twist.linear.x = measured.linear
    message.twist.twist.angular.z = measured.angular
    return message
