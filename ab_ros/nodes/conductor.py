"""Conducts an experiment with running nodes: sets parameters, calls services, records topics."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Vector3Stamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import SetBool, Trigger

from ab_ros.learning.critic import bearing
from ab_ros.msg import BrainStatus, MotorStatus, Reward, SpikeRaster
from ab_ros.nodes import qos
from ab_ros.nodes.launcher import NodeError, NodeProcesses
from ab_ros.nodes.messages import read_spike_raster, seconds
from ab_ros.nodes.process import MAX_DOMAIN, check_domain, executor
from ab_ros.nodes.robot_messages import read_image
from ab_ros.values import Cycle

_DISCOVERY = 3.2  # s; a node that was missed at first is announced again every 3 s
_SHY = 20.0  # s for nodes of this computer that are known to be there; a bound
_ANSWER = 60.0  # s; a bound, not a measurement
_MOST_WAITING = 1000  # messages that may wait to be heard
_MOST_HERE = 120  # participants of a domain whose ports do not meet those of the next one
_TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}
_SERVICES: Mapping[str, Any] = {
    "brain/save": Trigger,
    "motor/halt": Trigger,
    "motor/resume": Trigger,
    "sim/mirror": SetBool,
    "sim/reset": Trigger,
}


class StopRequests:
    """Notes SIGINT, SIGTERM and SIGHUP, for :meth:`check` to act on where it is safe to.

    An exception out of a signal handler may be raised in, and lost with, any callback; and after
    SIGTERM's default the nodes would be left to themselves.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._number = 0
        self._before = {number: signal.signal(number, self._note) for number in self._SIGNALS}

    def _note(self, number: int, _frame: object) -> None:
        self._number = self._number or number

    def check(self) -> None:
        """Raise KeyboardInterrupt or SystemExit (128 + signal) if a signal has come."""
        if self._number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._number:
            raise SystemExit(128 + self._number)

    def close(self) -> None:
        """Leave signals as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Conductor:
    """One participant that talks to the nodes ``sim``, ``brain``, ``motor`` and ``critic``.

    All methods run the executor while they wait; use it from one thread.

    Attributes
    ----------
    errors : (robot time s, angle rad) of the target, in order, without repeats.
    cycles : the newest cycles, while ``keep_cycles`` is greater than 0.
    rewarded : (run, cycle) of the newest reward.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = tuple(nodes)
        self._stop = StopRequests()
        self.domain, self._claim = _free_domain(nodes)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("conductor", start_parameter_services=False)
        self._executor = executor()
        self._executor.add_node(self._node)
        self.errors: list[tuple[float, float]] = []
        self.cycles: list[Cycle] = []
        self.keep_cycles = 0
        self.rewarded = ("", -1)
        self.joints: dict[str, float] = {}
        self.brain: BrainStatus = BrainStatus()
        self.motor: MotorStatus = MotorStatus()
        self._frames: dict[str, list[tuple[float, NDArray[np.uint8]]]] = {}
        self._clients: dict[str, Any] = {}
        self.processes: NodeProcesses | None = None
        # A node that has not discovered a client when it answers, answers in vain: it discovers
        # those that are there before it together with all else of the conductor.
        for service, kind in _SERVICES.items():
            self._client(kind, service)
        for node in nodes:
            self._client(ChangeState, f"{node}/change_state")
            self._client(SetParametersAtomically, f"{node}/set_parameters_atomically")
        make = self._node.create_subscription
        make(Vector3Stamped, "target/direction", self._target, qos.LOCKSTEP)
        make(JointState, "joint_states", self._joint_state, qos.EACH_SAMPLE)
        make(SpikeRaster, "spikes", self._spikes, qos.REWARD)
        make(Reward, "reward", self._reward, qos.REWARD)
        make(BrainStatus, "brain/status", self._brain_status, qos.STATUS)
        make(MotorStatus, "motor/status", self._motor_status, qos.STATUS)

    def close(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()
        self._executor.shutdown()
        rclpy.try_shutdown()
        os.close(self._claim)
        self._stop.close()

    # Waiting

    def wait(self, what: str, ready: Callable[[], bool], timeout: float = _ANSWER) -> None:
        """Run until ``ready()``.

        Raises
        ------
        NodeError
            if it is not within ``timeout`` s, or a node has ended; ``what`` says what was awaited.
        """
        begin = looked = time.monotonic()
        while not ready():
            self._stop.check()
            self._executor.spin_once(timeout_sec=0.1)
            now = time.monotonic()
            if now - looked > 0.5:
                looked = now
                if self.processes is not None:
                    self.processes.check()
            if now - begin > timeout:
                raise NodeError(
                    f"waited {timeout:g} s for {what}; the brain says {self.brain.message!r},"
                    f" the motor node {self.motor.message!r}"
                )

    # Asking

    @property
    def motor_ready(self) -> bool:
        """Whether the motor node will execute the next cycle; it may hold for want of one."""
        waits = self.motor.code == MotorStatus.STALE_SPIKES
        return bool(self.motor.state == MotorStatus.ACTIVE or waits)

    def forget_motor(self) -> None:
        """Forget what the motor node said, to wait for what it says from now on."""
        self.motor = MotorStatus()

    def trigger(self, service: str) -> str:
        """Call a ``std_srvs/Trigger`` service; return what it says, or raise a NodeError."""
        answer = self._call(Trigger, service, Trigger.Request())
        if not answer.success:
            raise NodeError(f"{service}: {answer.message}")
        return str(answer.message)

    def switch(self, service: str, on: bool) -> None:
        """Call a ``std_srvs/SetBool`` service."""
        answer = self._call(SetBool, service, SetBool.Request(data=on))
        if not answer.success:
            raise NodeError(f"{service}: {answer.message}")

    def set(self, node: str, values: Mapping[str, Any]) -> None:
        """Set parameters of a node, all or none."""
        request = SetParametersAtomically.Request(
            parameters=[Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        )
        answer = self._call(SetParametersAtomically, f"{node}/set_parameters_atomically", request)
        if not answer.result.successful:
            raise NodeError(f"{node}: {answer.result.reason}")

    def transition(self, node: str, *labels: str) -> None:
        """Drive a lifecycle node through transitions: configure, activate, deactivate, cleanup."""
        for label in labels:
            request = ChangeState.Request(transition=Transition(id=_TRANSITIONS[label]))
            if not self._call(ChangeState, f"{node}/change_state", request).success:
                raise NodeError(f"{node}: could not {label}; see its log")

    def _client(self, kind: Any, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._node.create_client(kind, service)
        return self._clients[service]

    def _call(self, kind: Any, service: str, request: Any) -> Any:
        client = self._client(kind, service)
        self.wait(f"service {service}", client.service_is_ready)
        future = client.call_async(request)
        self.wait(f"an answer of {service}", future.done)
        return future.result()

    # Watching

    def watch_frames(self, *topics: str, lockstep: bool) -> None:
        """Begin to keep the images of these topics: each one in lockstep, else those that come."""
        profile = qos.COMMAND if lockstep else qos.SENSOR
        for topic in topics:
            self._frames[topic] = []

            def keep(message: Image, topic: str = topic) -> None:
                observation = read_image(message, topic)
                self._frames[topic].append((observation.stamp, np.array(observation.data)))

            subscription = self._node.create_subscription(Image, topic, keep, profile)
            self._clients[f"frames {topic}"] = subscription

    def take_frames(self) -> dict[str, list[tuple[float, NDArray[np.uint8]]]]:
        """Stop keeping images; return (robot time, uint8[H, W, 3]) by topic."""
        for topic in self._frames:
            self._node.destroy_subscription(self._clients.pop(f"frames {topic}"))
        frames, self._frames = self._frames, {}
        return frames

    @property
    def time(self) -> float:
        """Robot time of the newest sample, s."""
        return self.errors[-1][0] if self.errors else -math.inf

    def forget_nodes(self) -> None:
        """Wait until all nodes have left; expect others, and another clock.

        Else what the old ones said last would pass for the new ones' word, and a request would go
        to a service that has ended.
        """

        def gone() -> bool:
            return not set(self._nodes) & set(self._node.get_node_names())

        self.wait("the end of the nodes", gone, timeout=2 * _SHY)
        for _ in range(_MOST_WAITING):
            self._executor.spin_once(timeout_sec=0.0)
        self.errors.clear()
        self.brain, self.motor = BrainStatus(), MotorStatus()

    def _target(self, message: Vector3Stamped) -> None:
        stamp = seconds(message.header.stamp)
        if stamp > self.time:
            v = message.vector
            direction = (v.x, v.y, v.z)
            angles = bearing(direction) if any(direction) else None
            self.errors.append((stamp, angles["error"] if angles else math.nan))

    def _joint_state(self, message: JointState) -> None:
        self.joints = dict(zip(message.name, message.position, strict=True))

    def _spikes(self, message: SpikeRaster) -> None:
        if self.keep_cycles:
            self.cycles.append(read_spike_raster(message))
            del self.cycles[: -self.keep_cycles]

    def _reward(self, message: Reward) -> None:
        self.rewarded = (message.run, message.cycle)

    def _brain_status(self, message: BrainStatus) -> None:
        self.brain = message

    def _motor_status(self, message: MotorStatus) -> None:
        self.motor = message


def _free_domain(nodes: Sequence[str]) -> tuple[int, int]:
    """Return a ROS domain without nodes of these names, to be used from now on, and a claim to it.

    The claim is a locked file: of two conductors that start at the same moment one goes elsewhere.
    """
    check_domain()
    first = int(os.environ.get("ROS_DOMAIN_ID", "0").strip() or 0)
    last = min(first + 7, MAX_DOMAIN)
    for domain in range(first, last + 1):
        claim = _claim(domain)
        if claim is None:
            continue
        if not _has_nodes(domain, nodes):
            os.environ["ROS_DOMAIN_ID"] = str(domain)
            return domain, claim
        os.close(claim)
    raise NodeError(
        f"nodes named {', '.join(nodes)} run in each ROS domain from {first} to {last}: stop"
        f" them, or choose another domain by ROS_DOMAIN_ID"
    )


def _claim(domain: int) -> int | None:
    path = os.path.join(tempfile.gettempdir(), f"ab_ros_domain_{domain}.lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None  # another user's
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _has_nodes(domain: int, names: Sequence[str]) -> bool:
    there = participants_here(domain)
    context = rclpy.Context()
    rclpy.init(
        args=[], context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
    )
    node = rclpy.create_node("conductor_scout", context=context, enable_rosout=False)
    begin = time.monotonic()
    found = False
    while not found:
        known = [name for name in node.get_node_names() if name != node.get_name()]
        found = any(name in known for name in names)
        # On a busy computer those that are there may take their time to answer.
        patience = _SHY if len(known) < there else _DISCOVERY
        if time.monotonic() - begin > patience:
            break
        time.sleep(0.05)
    node.destroy_node()
    rclpy.shutdown(context=context)
    return found


def participants_here(domain: int) -> int:
    """Return how many participants of a domain this computer has, by the ports that they hold.

    The n-th one receives at port 7410 + 250 · domain + 2 · n (DDSI-RTPS 2.5, 9.6.2.3).  Some
    middlewares choose other ports, and systems but Linux do not list them: there may be more.
    """
    ports = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(OSError):
            rows = Path(table).read_text().splitlines()[1:]
            ports |= {int(row.split()[1].rpartition(":")[2], 16) for row in rows}
    first = 7410 + 250 * domain
    return sum(port in ports for port in range(first, first + 2 * _MOST_HERE, 2))
