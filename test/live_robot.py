"""A robot for a motor node with ``direct: true``: it follows its commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ab_ros.msg import MotorStatus
from motor_rig import Topic, Trajectory, Values, motor
from ros_process import PATIENCE, NodeProcess, Peer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from std_srvs.srv import Trigger

from ab_ros.nodes import qos
from ab_ros.nodes.messages import to_time

LIMIT = 0.5  # rad, of both joints
PARAMETERS = """
/**:
  ros__parameters:
    direct: {direct}
    mapping: {{m: {{population: A, channel: a, per_step_max: 0.002}}}}
    groups:
      arm: {{channels: [a, b], topic: arm/cmd, period: 0.02}}
      wheel: {{channels: [w], topic: wheel/cmd, interface: velocity, period: 0.02}}
    limits:
      a: {{lower: -0.5, upper: 0.5, velocity: 2.0, acceleration: 20.0}}
      b: {{lower: -0.5, upper: 0.5, velocity: 2.0, acceleration: 20.0}}
      w: {{velocity: 1.0, acceleration: 10.0}}
"""


class Robot:
    """Follows its commands and tells where it is, in a thread of its own.

    With a ``rate`` it makes the time on /clock, so many times as fast as the computer's; while not
    ``feeling`` it tells nothing of its joints.
    """

    def __init__(self, peer: Peer, namespace: str, rate: float = 0.0) -> None:
        self.peer = peer
        self.rate, self.feeling = rate, True
        self._simulated, self._ticked = 100.0, time.monotonic()
        create = peer.node.create_publisher
        self.arm = Trajectory(peer, f"{namespace}/arm/cmd", rate or 1.0)
        self.wheel = Values(
            peer, Float64MultiArray, f"{namespace}/wheel/cmd", lambda message: message.data[0]
        )
        self._states = create(JointState, f"{namespace}/joint_states", qos.own(qos.LOCKSTEP))
        self._probe = create(Float64, f"{namespace}/probe", 10)
        self.clients = {
            name: peer.node.create_client(Trigger, f"{namespace}/motor/{name}")
            for name in ("halt", "resume")
        }
        # Made last: a motor node that is heard on it knows the clients, and can answer them.
        self.status = Topic(peer, MotorStatus, f"{namespace}/motor/status")
        self._timers = [peer.node.create_timer(0.02, self._tell)]
        if rate:
            self._clock = create(Clock, "/clock", 10)
            self._timers.append(peer.node.create_timer(0.004, self._tick))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def now(self) -> float:
        """Return the robot's time, s."""
        if self.rate:
            return self._simulated
        return self.peer.node.get_clock().now().nanoseconds * 1e-9

    def set_rate(self, rate: float) -> None:
        """Let simulated time pass so many times as fast from now on."""
        self.rate = self.arm.rate = rate

    def _tick(self) -> None:
        before, self._ticked = self._ticked, time.monotonic()
        self._simulated += self.rate * (self._ticked - before)
        self._clock.publish(Clock(clock=to_time(self._simulated)))

    def _tell(self) -> None:
        a, b = self.arm.at(time.monotonic()).tolist()
        message = JointState(name=["a", "b"], position=[a, b])
        message.header.stamp = to_time(self.now())
        if self.feeling:
            self._states.publish(message)
        self._probe.publish(Float64(data=10.0 * a))

    def _spin(self) -> None:
        while not self._end.is_set():
            self.peer.executor.spin_once(timeout_sec=0.02)

    def until(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """Wait until a condition holds, and return its value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self._end.wait(0.01)
        return value

    def call(self, name: str) -> None:
        client = self.clients[name]
        self.until(client.service_is_ready, name)
        self.until(lambda: self.status.heard, "the motor node's status")
        future = client.call_async(Trigger.Request())
        self.until(future.done, name)
        assert future.result().success

    @property
    def commanded(self) -> np.ndarray:
        """All positions that the arm was ever sent."""
        return np.array([list(p.positions) for _, m in self.arm.heard for p in m.points])

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        for timer in self._timers:
            timer.destroy()
        if self.rate:
            self.peer.node.destroy_publisher(self._clock)


def start(folder: Path, namespace: str, direct: bool = True, *arguments: str) -> NodeProcess:
    path = folder / "motor.yaml"
    path.write_text(PARAMETERS.format(direct=str(direct).lower()))
    return motor(path, "-r", f"__ns:={namespace}", *arguments)
