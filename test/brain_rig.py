"""Sensors, motor node and critic around a brain node: what tests publish, and what they hear."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ab_ros.msg import BrainContract, BrainStatus, CycleDone, Deviation, Reward, SpikeRaster
from ros_process import NodeProcess, Peer
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from ab_ros.nodes import qos
from ab_ros.nodes.robot_messages import image, joint_state

YAML = """
/**:
  ros__parameters:
    pacing: lockstep
    save_file: ""
    architecture:
      gamma: 20
      feedback_timesteps: 20
      inputs:
        camera: {kind: Image, topic: camera, encoder: saliency, options: {width: 8, height: 6}}
        joints:
          kind: Proprioception
          topic: joint_states
          encoder: joint_population
          options: {joints: [yaw], lower: -1.0, upper: 1.0, cells: 4}
      populations:
        pan: {neuron: FS, size: 8, noise: 6.0, parts: 2, output: true}
      projections:
        camera_pan:
          {source: camera, target: pan, synapse: reward_plastic, layer: pan, weight: 2.0,
           options: {lr: 0.1, w_min: 0.0, w_max: 5.0}}
        lesson: {source: fb, target: pan, weight: 5.0}
      feedback:
        fb: {size: 4, output: pan}
"""
PERIOD = 0.02
_names = itertools.count()


class World:
    """Sensors, motor node and critic of one brain, in a namespace of its own."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.space = f"/brain_{next(_names)}"
        self.name = f"{self.space}/brain"
        make, topic = peer.node.create_publisher, self.space + "/{}"
        self._camera = make(Image, topic.format("camera"), qos.COMMAND)
        self._joints = make(JointState, topic.format("joint_states"), qos.COMMAND)
        self._done = make(CycleDone, topic.format("cycle_done"), qos.REWARD)
        self._reward = make(Reward, topic.format("reward"), qos.REWARD)
        self._deviation = make(Deviation, topic.format("deviation"), qos.REWARD)
        self._publishers = [
            self._camera,
            self._joints,
            self._done,
            self._reward,
            self._deviation,
        ]
        self.spikes: list[SpikeRaster] = []
        self.answers: list[CycleDone] = []
        self.contracts: list[BrainContract] = []
        self.status = BrainStatus()
        self.said: list[tuple[int, str]] = []
        listen = peer.node.create_subscription
        # The status comes last: who is heard on it has discovered the others, which came before.
        self._subscriptions = [
            listen(SpikeRaster, topic.format("spikes"), self.spikes.append, qos.LOCKSTEP),
            # A brain that waits for rewards waits for a motor node and a critic to listen.
            listen(SpikeRaster, topic.format("spikes"), lambda _: None, qos.LOCKSTEP),
            listen(CycleDone, topic.format("cycle_done"), self.answers.append, qos.LOCKSTEP),
            listen(BrainContract, topic.format("contract"), self.contracts.append, qos.LATCHED),
            listen(BrainStatus, topic.format("brain/status"), self._status, qos.STATUS),
        ]

    def _status(self, message: BrainStatus) -> None:
        self.status = message
        self.said.append((message.code, message.message))

    def brain(
        self, yaml: Path, *assignments: str, env: dict[str, str] | None = None
    ) -> NodeProcess:
        parameters = [part for text in assignments for part in ("-p", text)]
        arguments = ["--ros-args", "-r", f"__ns:={self.space}", "--params-file", str(yaml)]
        return NodeProcess(Path("-m"), "ab_ros.nodes.brain", *arguments, *parameters, env=env)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            self.peer.until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the brain says {self.said[-3:]}") from None

    def until_heard(self) -> None:
        """Wait until the brain is known here, and whoever listens here is known to the brain."""
        self.until(
            lambda: all(publisher.get_subscription_count() for publisher in self._publishers),
            "the brain's subscriptions",
        )
        self.until(lambda: self.said, "the brain's status")

    def until_unheard(self) -> None:
        """Wait until the sensors' last listener is gone, not to take it for the next one."""
        sensors = (self._camera, self._joints)
        self.until(
            lambda: not any(publisher.get_subscription_count() for publisher in sensors),
            "the end of the brain's subscriptions",
        )

    def look(self, stamp: float, *, camera: Any = None, yaw: float = 0.1) -> None:
        if camera is None:
            pixels = np.full((24, 32, 3), 90, np.uint8)
            pixels[8:16, 4:12] = (220, 20, 20)
            camera = image(pixels, stamp)
        self._camera.publish(camera)
        self._joints.publish(joint_state(["yaw"], [yaw], stamp))

    def done(self, cycle: int, run: str | None = None, executed: bool = True) -> None:
        run = self.contracts[-1].run if run is None else run
        self._done.publish(CycleDone(run=run, cycle=cycle, executed=executed, duration=PERIOD))

    def reward(self, cycle: int, value: float, run: str | None = None, deviations: int = 0) -> None:
        run = self.contracts[-1].run if run is None else run
        message = Reward(run=run, cycle=cycle, global_reward=value, deviations=deviations)
        self._reward.publish(message)

    def deviation(self, cycle: int, values: list[float], feedback: str = "fb") -> None:
        run = self.contracts[-1].run
        self._deviation.publish(
            Deviation(run=run, cycle=cycle, feedback=feedback, deviation=values)
        )

    def until_cycles(self, count: int) -> None:
        self.until(lambda: len(self.spikes) >= count, f"{count} cycles")
        assert len(self.spikes) == count

    def until_count(self, **counts: int) -> None:
        wanted = {name.replace("_", " "): count for name, count in counts.items()}

        def told() -> bool:
            counters = dict(zip(self.status.counter, self.status.count, strict=True))
            counters = {name.replace("_", " "): count for name, count in counters.items()}
            return all(counters.get(name, 0) == count for name, count in wanted.items())

        self.until(told, f"counters {wanted}")

    def until_state(self, code: int, says: str = "") -> None:
        def told() -> bool:
            return self.status.code == code and says in self.status.message

        self.until(told, f"status {code} {says!r}")

    def call(self, service: str) -> Any:
        return self.peer.call(Trigger, f"{self.name}/{service}", Trigger.Request())

    def set(self, **values: Any) -> None:
        result = self.peer.set_parameters(self.name, **values)
        assert result.successful, result.reason

    def close(self) -> None:
        for publisher in self._publishers:
            self.peer.node.destroy_publisher(publisher)
        for subscription in self._subscriptions:
            self.peer.node.destroy_subscription(subscription)
