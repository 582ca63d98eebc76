"""A brain for tests to kill: it publishes a contract and then a cycle of spikes every T x dt."""

from __future__ import annotations

import sys
import time

import rclpy
from ab_ros.msg import BrainContract, SpikeRaster
from motor_rig import CONTRACT, CYCLE, latched, spikes

from ab_ros.nodes import qos
from ab_ros.nodes.messages import brain_contract


def main(run: str) -> None:
    """Publish until killed."""
    rclpy.init(args=[])
    node = rclpy.create_node("spike_source")
    contract = node.create_publisher(BrainContract, "contract", latched())
    publisher = node.create_publisher(SpikeRaster, "spikes", qos.COMMAND)
    contract.publish(brain_contract(CONTRACT, run))
    number = 0
    while True:
        stamp = node.get_clock().now().nanoseconds * 1e-9
        publisher.publish(spikes(run, number, stamp))
        print("cycle", number, flush=True)
        number += 1
        time.sleep(CYCLE)


if __name__ == "__main__":
    main(sys.argv[1])
