"""Joint states at 500 Hz, VGA images at 30 Hz, sound at 16 kHz: what a robot's sensors send."""

from __future__ import annotations

import array
import contextlib
import sys
import time
from collections import Counter

import numpy as np
import rclpy
from ab_ros.msg import AudioChunk
from sensor_msgs.msg import Image, JointState

from ab_ros.nodes import qos
from ab_ros.nodes.messages import to_time
from ab_ros.nodes.robot_messages import image, joint_state

JOINTS = ("j0", "j1", "j2", "j3", "j4", "j5", "j6")


def main() -> None:
    """Publish in the namespace of the first argument until SIGINT."""
    space = sys.argv[1]
    rclpy.init()
    node = rclpy.create_node("streams", namespace=space)
    joints = node.create_publisher(JointState, "joint_states", qos.SENSOR)
    camera = node.create_publisher(Image, "camera", qos.SENSOR)
    audio = node.create_publisher(AudioChunk, "audio", qos.SENSOR)
    generator = np.random.default_rng(1)
    picture = image(generator.integers(0, 255, (480, 640, 3), dtype=np.uint8), 0.0, "camera")
    sound = AudioChunk(sample_rate=16000, channels=1)
    sound.data = array.array("h", generator.normal(0, 3000, 320).astype(np.int16).tobytes())
    zeros = np.zeros(len(JOINTS))
    begin, counts = time.monotonic(), Counter[str]()
    streams = (("joints", 500.0), ("camera", 30.0), ("audio", 50.0))
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            passed = time.monotonic() - begin
            stamp = time.time()
            for name, rate in streams:
                if passed * rate < counts[name]:
                    continue
                counts[name] += 1
                if name == "joints":
                    joints.publish(joint_state(JOINTS, zeros, stamp, zeros))
                elif name == "camera":
                    picture.header.stamp = to_time(stamp)
                    camera.publish(picture)
                else:
                    sound.header.stamp = to_time(stamp)
                    audio.publish(sound)
            due = min((counts[name] / rate for name, rate in streams), default=0.0)
            time.sleep(max(0.0, begin + due - time.monotonic()))


if __name__ == "__main__":
    main()
