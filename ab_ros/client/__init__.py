"""The Python API of the ArtificialBrains document, over our own protocol: a robot without ROS."""

from ab_ros.client.ab_client import ABClient
from ab_ros.client.input_streamer import InputStreamer
from ab_ros.client.plugins.decoder import (
    MappingDecoder,
    MappingEntry,
    decode_stream_rows,
    deltas_to_dq_dg,
)
from ab_ros.client.plugins.deviation import DefaultDeviation, DeviationPlugin
from ab_ros.client.plugins.reward import DefaultReward, RewardPlugin
from ab_ros.client.robot_loop import RobotLoop
from ab_ros.client.run import Run

__all__ = [
    "ABClient",
    "DefaultDeviation",
    "DefaultReward",
    "DeviationPlugin",
    "InputStreamer",
    "MappingDecoder",
    "MappingEntry",
    "RewardPlugin",
    "RobotLoop",
    "Run",
    "decode_stream_rows",
    "deltas_to_dq_dg",
]
