"""A robot and a brain around a motor node: what tests of the node publish, and what they hear."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ab_ros.msg import BrainContract, CycleDone, MotorStatus, PopulationSpikes, SpikeRaster
from control_msgs.action import GripperCommand, ParallelGripperCommand
from control_msgs.msg import JointJog
from geometry_msgs.msg import Twist, TwistStamped
from motor_robot import Gripper, Topic, Track, Trajectory, Values
from ros_process import NodeProcess, Peer
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from std_srvs.srv import Trigger

from ab_ros.contract import Contract
from ab_ros.nodes import qos
from ab_ros.nodes.messages import brain_contract, packed, to_time

T, DT = 40, 0.005
CYCLE = T * DT
NEURONS = 4
CONTRACT = Contract.from_dict(
    {"constants": {"gamma": T}, "io": {"outputs": [{"id": "A", "n": NEURONS}]}}
)
MOTOR = Path(__file__).with_name("motor_process.py")
BRAIN = Path(__file__).with_name("spike_process.py")

JITTER = 2.0
"""How late a busy computer may be in publishing, stopping and hearing of it, s."""


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


@contextlib.contextmanager
def rigged(peer: Peer, path: Path, *arguments: str, **options: Any) -> Iterator[Rig]:
    """Run a motor node of a parameter file, with a brain and a robot around it."""
    with motor(path, *arguments) as process:
        rig = Rig(peer, process, **options)
        try:
            rig.subscribed()
            yield rig
        finally:
            rig.close()


class Rig:
    """A brain and a robot that follows its commands, in the test's process.

    ``beating`` and ``feeling`` say whether spikes and joint states are published.
    """

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
        self.arm = Trajectory(peer, within("arm/cmd"))
        self.forward = Values(peer, Float64MultiArray, within("forward/cmd"), lambda m: m.data[0])
        self.hand = Values(peer, Float64, within("hand/cmd"), lambda m: m.data)
        self.state_command = Values(peer, JointState, within("js/cmd"), lambda m: m.position[0])
        self.grip = Gripper(peer, ParallelGripperCommand, within("grip/cmd"))
        self.pinch = Gripper(peer, GripperCommand, within("pinch/cmd"))
        self.wheel = Values(peer, Float64MultiArray, within("wheel/cmd"), lambda m: m.data[0])
        self.jog = Values(peer, JointJog, within("jog/cmd"), lambda m: m.velocities[0])
        self.push = Values(peer, Float64MultiArray, within("push/cmd"), lambda m: m.data[0])
        self.twist = Values(peer, Twist, within("cmd_vel"), lambda m: m.linear.x)
        self.stamped = Values(
            peer, TwistStamped, within("cmd_vel_stamped"), lambda m: m.twist.angular.z
        )
        self._clients = {
            name: peer.node.create_client(Trigger, within(f"motor/{name}"))
            for name in ("halt", "resume")
        }
        # Made last: the motor node discovers all of these in order, so that it knows whom it
        # publishes to and answers once its status is heard.
        self.status = Topic(peer, MotorStatus, within("motor/status"))
        self.positions: dict[str, Track] = {
            "c": self.forward,
            "g": self.hand,
            "j": self.state_command,
            "p": self.grip,
            "q": self.pinch,
        }
        self.velocities: dict[str, Track] = {
            "w": self.wheel,
            "k": self.jog,
            "linear_x": self.twist,
            "angular_z": self.stamped,
        }
        self.drives: dict[str, Track] = {**self.velocities, "e": self.push}
        self.clock = clock or (lambda: peer.node.get_clock().now().nanoseconds * 1e-9)
        self.run, self.number = "", 0
        self.beating = self.feeling = False
        self.apart = False
        """Whether each joint's state is a message of its own."""
        self.neuron = 0
        self.sent: dict[tuple[str, int], float] = {}
        self.last_sent = "", 0
        self.last_state = 0.0
        self.bad: dict[str, float] = {}
        self.speeds: dict[str, float] = {}
        self.missing: set[str] = set()
        self._beat = peer.node.create_timer(CYCLE, self._on_beat)
        self._feel = peer.node.create_timer(0.02, self._on_feel)

    def begin(self, run: str, remote: bool = False) -> None:
        """Begin a run."""
        self.run, self.number = run, 0
        self._contract.publish(brain_contract(CONTRACT, run, remote))

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
        self.last_sent = message.run, message.cycle
        self.sent[self.last_sent] = time.monotonic()
        return self.last_sent

    def _on_beat(self) -> None:
        if self.beating:
            self.send()

    def where(self) -> dict[str, float]:
        """Return where the robot's joints are."""
        a, b = self.arm.at(time.monotonic()).tolist()
        others = {name: track.value or 0.0 for name, track in self.positions.items()}
        return {"a": a, "b": b, "e": 0.0, **others}

    def feel(self, stamp: float | None = None, **changes: float) -> None:
        """Publish a joint state."""
        at = {**self.where(), **self.bad, **changes}
        at = {name: value for name, value in at.items() if name not in self.missing}
        when = to_time(self.clock() if stamp is None else stamp)
        for names in [[name] for name in at] if self.apart else [list(at)]:
            message = JointState(name=names, position=[at[name] for name in names])
            if self.speeds:
                message.velocity = [self.speeds.get(name, 0.0) for name in names]
            message.header.stamp = when
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

    def executed(self, count: int = 1, run: str = "") -> None:
        """Wait until some cycles that are sent from now on, or of another run, are executed."""
        begin, first = len(self.done.heard), 0 if run else self.number
        run = run or self.run
        self.peer.until(
            lambda: (
                sum(
                    m.executed and m.run == run and m.cycle >= first
                    for _, m in self.done.heard[begin:]
                )
                >= count
            ),
            f"{count} executed cycles; {self.status.last}",
        )

    def reaches(
        self, state: int, code: int | None = None, cycle: tuple[str, int] | None = None
    ) -> MotorStatus:
        """Wait for a status that comes from now on, and after the answer to that cycle."""
        begin = len(self.status.heard)

        def found() -> Any:
            for _, message in self.status.heard[begin:]:
                right = message.state == state and code in (None, message.code)
                if right and cycle in (None, (message.run, message.cycle)):
                    return message
            return None

        return self.peer.until(found, f"state {state} and code {code}; {self.status.last}")

    def measures(self, **positions: float) -> None:
        """Wait until the motor node has seen joints somewhere for more than a moment."""
        begin = len(self.status.heard)

        def seen(message: MotorStatus) -> bool:
            measured = dict(zip(message.joint, message.measured, strict=True))
            return all(abs(measured[name] - at) < 1e-6 for name, at in positions.items())

        self.peer.until(
            lambda: sum(seen(m) for _, m in self.status.heard[begin:]) >= 3, f"{positions}"
        )

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

    def picture(self) -> list[Any]:
        """Return what has been commanded, for "nothing moves": positions, speeds, efforts."""
        return [self.where(), *(track.value for track in self.drives.values())]

    def drives_rest(self) -> bool:
        """Return whether speeds and efforts are 0."""
        return all(abs(track.value or 0.0) < 1e-9 for track in self.drives.values())

    def _is_where_told(self) -> bool:
        """Return whether the commands rest, and the robot is where they are."""
        (_, before), (_, last) = self.status.heard[-2:]
        at = self.where()
        off = [
            abs(value - at[name])
            for name, value in zip(last.joint, last.commanded, strict=True)
            if name in at
        ]
        return bool(before.commanded == last.commanded and max(off) < 2e-6 and self.drives_rest())

    def rests(self) -> None:
        """Wait until nothing moves because no spikes come."""
        self.beating = False
        self.reaches(MotorStatus.HOLDING, MotorStatus.STALE_SPIKES, self.last_sent)
        self.peer.until(self._is_where_told, "rest")
        self.listen(CYCLE)

    def stopped(self, since: float, *codes: int) -> MotorStatus:
        """Check that the robot stands within two cycles of a moment, by what it was commanded."""

        def holds() -> bool:
            status = self.status.last
            held = status.state == MotorStatus.HOLDING and status.code in codes
            return self._alive() and held

        self.peer.until(holds, f"a stop of code {codes}; {self.status.last}")
        self.peer.until(self.drives_rest, f"speeds and efforts of 0; {self.picture()}")
        self.listen(CYCLE)
        ends = {"arm": self.arm.moved_until()}
        ends |= {name: track.moved_until() for name, track in self.positions.items()}
        ends |= {name: track.moved_until(0.0) for name, track in self.drives.items()}
        for name, end in ends.items():
            assert end - since < 2 * CYCLE + JITTER, (name, end - since)
        before = self.picture()
        self.listen(CYCLE)
        assert self.picture() == before
        assert holds(), self.status.last
        return self.status.last

    def close(self) -> None:
        self.beating = self.feeling = False
        self.grip.close()
        self.pinch.close()
        self._beat.destroy()
        self._feel.destroy()
        for publisher in (self._contract, self._spikes, self._states):
            self.peer.node.destroy_publisher(publisher)
        for client in self._clients.values():
            self.peer.node.destroy_client(client)
