"""A robot and a brain around a motor node: what tests of the node publish, and what they hear."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ab_ros.msg import BrainContract, CycleDone, MotorStatus, PopulationSpikes, SpikeRaster
from geometry_msgs.msg import Twist, TwistStamped
from ros_process import NodeProcess, Peer
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ab_ros.contract import Contract
from ab_ros.nodes import qos
from ab_ros.nodes.messages import brain_contract, packed, seconds, to_time

T, DT = 40, 0.005
CYCLE = T * DT
NEURONS = 4
CONTRACT = Contract.from_dict(
    {"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": NEURONS}]}}
)
MOTOR = Path(__file__).with_name("motor_process.py")
BRAIN = Path(__file__).with_name("spike_process.py")

Message = tuple[float, Any]


def latched() -> Any:
    return qos.own(qos.LATCHED)


def spikes(run: str, number: int, stamp: float, neuron: int = 0, **changes: Any) -> SpikeRaster:
    """A cycle in which one neuron fires at every timestep: 0 moves up, 2 moves down."""
    message = SpikeRaster(
        run=run, cycle=number, dt=DT, timesteps=T, observed=to_time(max(stamp, 0.0))
    )
    message.header.stamp = to_time(max(stamp, 0.0))
    t = packed(np.arange(T), "H")
    events = packed(np.full(T, neuron), "I")
    message.populations = [PopulationSpikes(id="A", size=NEURONS, t=t, neuron=events)]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def motor(parameters: Path | str, *arguments: str) -> NodeProcess:
    return NodeProcess(MOTOR, "--ros-args", "--params-file", str(parameters), *arguments)


class Topic:
    """What was heard on a topic, each message with its time of receipt (steady, s)."""

    def __init__(self, peer: Peer, kind: type[Any], name: str) -> None:
        self.heard: list[Message] = []
        self._subscription = peer.node.create_subscription(
            kind, name, lambda message: self.heard.append((time.monotonic(), message)), 100
        )

    @property
    def last(self) -> Any:
        return self.heard[-1][1] if self.heard else None


class Trajectory(Topic):
    """A trajectory controller: a new message replaces what is left of the one before."""

    def __init__(self, peer: Peer, name: str) -> None:
        super().__init__(peer, JointTrajectory, name)
        self._paths: list[tuple[float, np.ndarray, np.ndarray]] = []

    def at(self, when: float) -> np.ndarray:
        """Return the positions of both joints at a time."""
        for begin, message in self.heard[len(self._paths) :]:
            start = self._on_path(begin)
            times = [0.0, *(seconds(point.time_from_start) for point in message.points)]
            path = np.array([start, *(list(point.positions) for point in message.points)])
            self._paths.append((begin, np.array(times), path))
        return self._on_path(when)

    def _on_path(self, when: float) -> np.ndarray:
        for begin, times, path in reversed(self._paths):
            if begin <= when:
                return np.array([np.interp(when - begin, times, joint) for joint in path.T])
        return np.zeros(2)

    def moved_until(self) -> float:
        """Return when the controller last moved a joint, in what it was commanded so far."""
        self.at(0.0)
        begin, times, _ = self._paths[-1]
        grid = np.arange(begin - 1.0, begin + times[-1] + 0.01, 0.005)
        steps = np.abs(np.diff([self._on_path(when) for when in grid], axis=0)).max(axis=1)
        moving = np.flatnonzero(steps > 1e-6)
        return float(grid[moving[-1] + 1]) if moving.size else -math.inf


class Values(Topic):
    """A forward controller: each message is applied at once and for ever."""

    def __init__(self, peer: Peer, kind: type[Any], name: str, read: Callable[[Any], Any]) -> None:
        super().__init__(peer, kind, name)
        self.read = read

    @property
    def value(self) -> float | None:
        return float(self.read(self.last)) if self.heard else None

    @property
    def values(self) -> list[float]:
        return [float(self.read(message)) for _, message in self.heard]

    def moved_until(self, velocity: bool = False) -> float:
        """Return when a position last changed, or a velocity became 0 (never: infinity)."""
        values = self.values
        if velocity:
            moving = [index for index, value in enumerate(values) if value != 0.0]
            if not moving:
                return -math.inf
            after = moving[-1] + 1
            return self.heard[after][0] if after < len(values) else math.inf
        changes = [k for k in range(1, len(values)) if values[k] != values[k - 1]]
        return self.heard[changes[-1]][0] if changes else -math.inf


class Rig:
    """A brain and a robot that follows its commands, in the test's process.

    ``beating`` and ``feeling`` say whether spikes and joint states are published.
    """

    JOINTS = ("a", "b", "c", "g", "j")

    def __init__(
        self,
        peer: Peer,
        process: NodeProcess,
        namespace: str = "",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.peer, self.process = peer, process
        create = peer.node.create_publisher

        def within(topic: str) -> str:
            return f"{namespace}/{topic}"

        self._contract = create(BrainContract, within("contract"), latched())
        self._spikes = create(SpikeRaster, within("spikes"), qos.own(qos.LOCKSTEP))
        self._states = create(JointState, within("joint_states"), qos.own(qos.LOCKSTEP))
        self.done = Topic(peer, CycleDone, within("cycle_done"))
        self.status = Topic(peer, MotorStatus, within("motor/status"))
        self.arm = Trajectory(peer, within("arm/cmd"))
        self.forward = Values(peer, Float64MultiArray, within("forward/cmd"), lambda m: m.data[0])
        self.hand = Values(peer, Float64, within("hand/cmd"), lambda m: m.data)
        self.state_command = Values(peer, JointState, within("js/cmd"), lambda m: m.position[0])
        self.wheel = Values(peer, Float64MultiArray, within("wheel/cmd"), lambda m: m.data[0])
        self.twist = Values(peer, Twist, within("cmd_vel"), lambda m: m.linear.x)
        self.stamped = Values(
            peer, TwistStamped, within("cmd_vel_stamped"), lambda m: m.twist.angular.z
        )
        # Made early: a client that has only just been made may miss its answer.
        self._clients = {
            name: peer.node.create_client(Trigger, within(f"motor/{name}"))
            for name in ("halt", "resume")
        }
        self.positions = (self.forward, self.hand, self.state_command)
        self.velocities = (self.wheel, self.twist, self.stamped)
        self.clock = clock or (lambda: peer.node.get_clock().now().nanoseconds * 1e-9)
        self.run, self.number = "", 0
        self.beating = self.feeling = False
        self.neuron = 0
        self.sent: dict[tuple[str, int], float] = {}
        self.last_state = 0.0
        self.bad: dict[str, float] = {}
        self._beat = peer.node.create_timer(CYCLE, self._on_beat)
        self._feel = peer.node.create_timer(0.02, self._on_feel)

    def begin(self, run: str) -> None:
        """Begin a run."""
        self.run, self.number = run, 0
        self._contract.publish(brain_contract(CONTRACT, run))

    def publish_contract(self, contract: Contract, run: str) -> None:
        self._contract.publish(brain_contract(contract, run))

    def send(self, **changes: Any) -> tuple[str, int]:
        """Publish a cycle, the next one unless changed."""
        values = {"run": self.run, "number": self.number, "stamp": self.clock(), **changes}
        message = spikes(neuron=self.neuron, **values)
        self.number = (
            max(self.number, values["number"] + 1) if "run" not in changes else self.number
        )
        self._spikes.publish(message)
        self.sent[message.run, message.cycle] = time.monotonic()
        return message.run, message.cycle

    def _on_beat(self) -> None:
        if self.beating:
            self.send()

    def where(self) -> dict[str, float]:
        """Return where the robot's joints are."""
        a, b = self.arm.at(time.monotonic()).tolist()
        c, g, j = (values.value or 0.0 for values in self.positions)
        return {"a": a, "b": b, "c": c, "g": g, "j": j}

    def feel(self, stamp: float | None = None, **changes: float) -> None:
        """Publish a joint state."""
        at = {**self.where(), **self.bad, **changes}
        message = JointState(name=list(at), position=list(at.values()))
        message.header.stamp = to_time(self.clock() if stamp is None else stamp)
        self._states.publish(message)
        self.last_state = time.monotonic()

    def _on_feel(self) -> None:
        if self.feeling:
            self.feel()

    def answers(self, run: str, number: int) -> list[CycleDone]:
        return [m for _, m in self.done.heard if (m.run, m.cycle) == (run, number)]

    def answer(self, run: str, number: int) -> CycleDone:
        """Wait for the answer to a cycle."""
        return self.peer.until(lambda: self.answers(run, number), f"answer to {number}")[0]

    def ask(self, **changes: Any) -> CycleDone:
        """Send cycles until one has an answer: nodes that discover each other may miss some."""
        sent: list[tuple[str, int]] = []
        due = [0.0]

        def answered() -> list[CycleDone]:
            if time.monotonic() >= due[0]:
                due[0] = time.monotonic() + 0.3
                sent.append(self.send(**changes))
            return [done for cycle in sent for done in self.answers(*cycle)]

        return self.peer.until(answered, "any answer")[0]

    def known(self) -> None:
        """Wait until the motor node knows the run, by cycles that cannot be executed."""
        self.peer.until(
            lambda: self.ask(populations=[]).code != int(MotorStatus.WRONG_RUN), "the run"
        )

    def executed(self, count: int = 1) -> None:
        """Wait until some more cycles have been executed."""
        begin = len(self.done.heard)
        self.peer.until(
            lambda: sum(m.executed for _, m in self.done.heard[begin:]) >= count,
            f"{count} executed cycles; {self.status.last}",
        )

    def reaches(self, state: int, code: int | None = None) -> MotorStatus:
        """Wait for a status that comes from now on."""
        begin = len(self.status.heard)

        def found() -> Any:
            for _, message in self.status.heard[begin:]:
                if message.state == state and code in (None, message.code):
                    return message
            return None

        return self.peer.until(found, f"state {state} and code {code}; {self.status.last}")

    def ready(self) -> None:
        """Wait until the motor node would execute a cycle."""

        def is_ready() -> bool:
            status = self.status.last
            return self._alive() and (status.state, status.code) in (
                (MotorStatus.ACTIVE, MotorStatus.OK),
                (MotorStatus.ACTIVE, MotorStatus.DRIFT),
                (MotorStatus.HOLDING, MotorStatus.STALE_SPIKES),
            )

        self.peer.until(is_ready, f"a motor node that is ready; {self.status.last}")

    def trigger(self, name: str) -> Any:
        """Call ``~/halt`` or ``~/resume`` and return the response."""
        self.peer.until(self._clients[name].service_is_ready, f"service {name}")
        future = self._clients[name].call_async(Trigger.Request())
        self.peer.until(future.done, f"an answer from {name}")
        return future.result()

    def listen(self, duration: float) -> None:
        """Listen for a while: for what must not come."""
        until = time.monotonic() + duration
        self.peer.until(lambda: time.monotonic() >= until)

    def subscribed(self) -> None:
        """Wait until the motor node hears brain and robot, and is heard."""
        for publisher in (self._contract, self._spikes, self._states):
            self.peer.until(
                lambda p=publisher: self._alive() and p.get_subscription_count(), publisher.topic
            )
        self.peer.until(lambda: self.status.heard, "the status")

    def _alive(self) -> bool:
        assert self.process.process.poll() is None, self.process.errors
        return True

    def close(self) -> None:
        self.beating = self.feeling = False
        self._beat.destroy()
        self._feel.destroy()
        for publisher in (self._contract, self._spikes, self._states):
            self.peer.node.destroy_publisher(publisher)
        for client in self._clients.values():
            self.peer.node.destroy_client(client)
