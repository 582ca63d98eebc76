"""Worlds without ROS: motor and sensory channels, simulated robots, a worm in its arena."""

from ab_ros.environments.channels import Channel, Signal
from ab_ros.environments.environment import Environment, Feedback
from ab_ros.errors import ChannelError, OrderNotExecutableError

__all__ = [
    "Channel",
    "ChannelError",
    "Environment",
    "Feedback",
    "OrderNotExecutableError",
    "Signal",
]
