"""What a robot's environment hears and says: cycles to the motor node, its answers, and sensors.

In real time cycles are sent by the robot's clock, each a little before the one before it has been
played.  In lockstep each cycle lets a simulation go on, and the joint states that come then tell
its time.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState

from ab_ros.codec.fields import FieldPath
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ObservationError, OrderNotExecutableError, WorldError
from ab_ros.motion.safety import Code
from ab_ros.msg import BrainContract, CycleDone, MotorStatus, SpikeRaster
from ab_ros.nodes import qos
from ab_ros.nodes.message_types import find_message
from ab_ros.nodes.messages import brain_contract, seconds, spike_raster
from ab_ros.nodes.process import check_domain
from ab_ros.nodes.ros_environment_settings import RosEnvironmentSettings, SensorChannelSettings
from ab_ros.values import ChannelDeltas, Cycle

T = TypeVar("T")
Floats = NDArray[np.float64]

PASSING = frozenset(
    {
        Code.OK,
        Code.NOT_ACTIVE,
        Code.NO_STATE,
        Code.STALE_SPIKES,
        Code.STALE_STATE,
        Code.CLOCK_JUMP,
        Code.WRONG_RUN,
        Code.LATE_CYCLE,
        Code.DRIFT,
    }
)
"""What a motor node that starts, or waits for its robot, says; all else waits for a person."""
_SAME = 1e-6  # rad, m or per s; by less nothing moves on
_APART = 0.05  # s between two looks at what is commanded, to see whether it changes
_SPIN = 0.005  # s
_LEAD = 0.01  # s; so much before the last one has been played the next cycle is sent
_AGAIN = 0.5  # s; a simulation that has not heard of a cycle is sent another one
_MOST_WAITING = 200  # messages that subscriptions may hold from before


class NotNowError(OrderNotExecutableError):
    """The motor node does not move the robot at present; it will again of itself."""


class InterruptedOrderError(OrderNotExecutableError):
    """The execution was interrupted by :meth:`RobotLink.interrupt`."""


class RobotLink:
    """A node that speaks to a motor node as a brain does, and hears a robot's sensors.

    Parameters
    ----------
    settings : of the environment.
    context : of rclpy; None: one of its own.
    """

    def __init__(self, settings: RosEnvironmentSettings, context: Any = None) -> None:
        self._settings = s = settings
        self._names = tuple(s.motors)
        self._sensors = {name: _Sensor(item, name) for name, item in s.sensors.items()}
        self.lockstep = s.pacing == "lockstep"
        self._run, self.number = f"environment {uuid4().hex}", 0
        self._answers: dict[int, CycleDone] = {}
        self._statuses: deque[MotorStatus] = deque(maxlen=100)
        self._commands: deque[Floats] = deque(maxlen=2)  # at the begin of the last cycles
        self._time = -math.inf  # of the newest joint state
        self._shown = 0  # joint states since the last cycle
        self._interrupted = threading.Event()
        self._open = True
        check_domain()
        self._own = context is None
        self._context = rclpy.Context() if context is None else context
        if self._own:
            rclpy.init(
                args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO
            )
        # In a process whose arguments name another node, this one keeps its own name and place.
        space = "/" + s.namespace.strip("/")
        self.node = rclpy.create_node(
            "environment",
            context=self._context,
            namespace=space,
            cli_args=["--ros-args", "-r", "__node:=environment", "-r", f"__ns:={space}"],
            parameter_overrides=[Parameter("use_sim_time", value=s.use_sim_time)],
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._connect()

    def _connect(self) -> None:
        node, s = self.node, self._settings
        self._spikes = node.create_publisher(
            SpikeRaster, "spikes", qos.own(qos.LOCKSTEP if self.lockstep else qos.COMMAND)
        )
        node.create_subscription(CycleDone, "cycle_done", self._done, qos.own(qos.REWARD))
        status = f"{s.motor_node}/status"
        node.create_subscription(MotorStatus, status, self._hear, qos.own(qos.STATUS))
        samples = qos.LOCKSTEP if self.lockstep else qos.SENSOR
        for sensor in self._sensors.values():
            node.create_subscription(
                sensor.message, sensor.settings.topic, sensor.take, qos.own(samples)
            )
        if self.lockstep:
            node.create_subscription(JointState, s.joint_states, self._show, qos.own(qos.LOCKSTEP))
        self._contract = node.create_publisher(BrainContract, "contract", qos.own(qos.LATCHED))
        outputs = [{"id": name, "n": size} for name, size in s.populations.items()]
        contract = Contract.from_dict({"constants": {"gamma": s.gamma}, "io": {"outputs": outputs}})
        self._contract.publish(brain_contract(contract, self._run))

    def interrupt(self) -> None:
        """Make what waits here give up, from any thread; the motor node holds the robot."""
        self._interrupted.set()

    def forget(self) -> None:
        """Take the messages that have waited since the last execution: they are old."""
        for _ in range(_MOST_WAITING):
            self._executor.spin_once(timeout_sec=0.0)

    def close(self) -> None:
        """Leave the ROS graph."""
        if self._open:
            self._open = False
            self._executor.shutdown()
            self.node.destroy_node()
            if self._own:
                rclpy.shutdown(context=self._context, uninstall_handlers=False)

    @property
    def open(self) -> bool:
        """Whether it is in the graph."""
        return self._open

    # The motor node

    def be_ready(self) -> None:
        """Send cycles in which nothing moves until one of them is executed.

        Raises
        ------
        OrderNotExecutableError
            if none is in time; :class:`NotNowError` if no person is needed for that.
        """
        s = self._settings
        self._check_graph()
        answer: CycleDone | None = None
        end = time.monotonic() + s.timeout
        while time.monotonic() < end:
            self._meet_simulation()
            before = self._time
            number = self.send(self.still)
            answer = self.answer(number, max(0.2, s.gamma * s.dt)) or answer
            if answer is None:
                continue
            if answer.executed:
                # In lockstep, the simulation may not have heard of it yet.
                if self._passed(before, answer, _AGAIN):
                    self._take_status(answer)
                    self._check_graph()
                    return
                continue
            self.raise_unless_passing(answer)
        self._check_graph()
        silent = "it does not answer: does it run, and do 'populations' fit its mapping?"
        said = f"it says: {answer.reason}" if answer else silent
        raise NotNowError(f"the motor node is not ready after {s.timeout:g} s; {said}")

    def _meet_simulation(self) -> None:
        """Wait for the time of a simulation in lockstep."""
        if self.lockstep and not self.until(
            lambda: math.isfinite(self._time), self._settings.timeout
        ):
            topic = self.node.resolve_topic_name(self._settings.joint_states)
            raise NotNowError(
                f"{topic}: no joint state has come within {self._settings.timeout:g} s: does the"
                f" simulation run, and in lockstep?"
            )

    def _check_graph(self) -> None:
        """Refuse to speak where another brain speaks."""
        topic = self._spikes.topic_name
        others = self.node.count_publishers(topic) - 1
        if others > 0:
            raise OrderNotExecutableError(
                f"{topic}: {others} other brain{'s send' if others > 1 else ' sends'} cycles to the"
                f" motor node; end it first"
            )

    @staticmethod
    def raise_unless_passing(answer: CycleDone) -> None:
        """Refuse to go on after a refusal that waits for a person."""
        if answer.code not in PASSING:
            hint = ""
            if answer.code == Code.BAD_FRAME and "direct" in answer.reason:
                hint = "; set 'direct: true' among the motor node's parameters"
            raise OrderNotExecutableError(f"the motor node refuses: {answer.reason}{hint}")

    def play(self, deltas: Floats, due: float = -math.inf) -> MotorStatus | None:
        """Send a cycle, and wait until the next one may be sent.

        Parameters
        ----------
        deltas : float64[gamma, channels].
        due : in real time, when the cycle has been played.

        Returns
        -------
        status : of the motor node as the cycle begins, with the limits that it runs into; None for
            a cycle that was refused for a moment.

        Raises
        ------
        OrderNotExecutableError
            if it was refused, or not answered.
        """
        s = self._settings
        before = self._time
        number = self.send(deltas)
        answer = self.answer(number, s.timeout)
        if answer is None:
            raise NotNowError(
                f"the motor node has not answered cycle {number} within {s.timeout:g} s"
            )
        if not answer.executed:
            self.raise_unless_passing(answer)
        if not self._passed(before, answer, s.timeout):
            raise NotNowError(
                f"{self.node.resolve_topic_name(s.joint_states)}: no joint state came after cycle"
                f" {number} within {s.timeout:g} s: has the simulation heard of it?"
            )
        status = self._take_status(answer) if answer.executed else None
        lead = min(_LEAD, 0.25 * s.gamma * s.dt)
        self.until(lambda: self.now() >= due - lead, s.timeout)
        return status

    def _take_status(self, answer: CycleDone) -> MotorStatus:
        """Return what the motor node says of a cycle, which it does after the answer."""
        # Stamps do not tell: the clock stands still meanwhile in lockstep.
        run, cycle = answer.run, answer.cycle

        def told() -> MotorStatus | None:
            return next((m for m in self._statuses if (m.run, m.cycle) == (run, cycle)), None)

        status = self.until(told, self._settings.timeout)
        if status is None:
            raise NotNowError(f"{self._status_topic()}: cannot be heard")
        self._commands.append(self._commanded(status))
        return status

    def _passed(self, before: float, answer: CycleDone, timeout: float) -> bool:
        """Wait until the time of a cycle has passed in a simulation in lockstep."""
        due = before + answer.duration - 1e-6
        if not self.lockstep or not answer.duration:
            return True
        for sensor in self._sensors.values():
            sensor.since = due
        passed = self.until(lambda: self._time >= due, timeout)
        self._shown = 0
        return bool(passed)

    def rest(self) -> Floats:
        """Wait until what is commanded changes no more, and return it, by motor channel.

        Raises
        ------
        NotNowError
            if it changes on.
        """
        s = self._settings
        if self.lockstep:
            end = time.monotonic() + s.timeout
            while len(self._commands) < 2 or np.abs(np.subtract(*self._commands)).max() > _SAME:
                if time.monotonic() > end:
                    raise NotNowError(f"{self._status_topic()}: the motor node moves on")
                self.play(self.still)
            return self._commands[-1]
        since = self.now()

        def rests() -> bool:
            recent = [m for m in self._statuses if seconds(m.header.stamp) >= since]
            if not recent:
                return False
            last = recent[-1]
            apart = seconds(last.header.stamp) - _APART
            earlier = [m for m in recent if seconds(m.header.stamp) <= apart][-1:]
            return bool(earlier) and np.array_equal(
                earlier[0].commanded, last.commanded, equal_nan=True
            )

        self._statuses.clear()
        if not self.until(rests, s.timeout):
            heard = "moves on" if self._statuses else "cannot be heard"
            raise NotNowError(
                f"{self._status_topic()}: the motor node {heard}, for {s.timeout:g} s"
            )
        return self._commanded(self._statuses[-1])

    def speeds(self) -> Floats:
        """Return what was commanded as the last cycle began, by motor channel."""
        return self._commands[-1]

    def put_elsewhere(self) -> None:
        """Take note that the robot may have been put elsewhere, and let the motor node see it."""
        self._commands.clear()
        if self.lockstep:
            self._meet_simulation()
            # It shows the same again where nothing happens.
            self.until(lambda: self._shown, self._settings.timeout)
            self._statuses.clear()
            self.until(lambda: self._statuses, self._settings.timeout)

    def _commanded(self, status: MotorStatus) -> Floats:
        place = {name: index for index, name in enumerate(status.joint)}
        lacking = [name for name in self._names if name not in place]
        if lacking:
            known = f"it has {', '.join(place)}" if place else f"it says: {status.message}"
            raise OrderNotExecutableError(f"the motor node has no channel {lacking[0]!r}; {known}")
        values = np.array([status.commanded[place[name]] for name in self._names])
        if not np.isfinite(values).all():
            raise NotNowError(f"the motor node commands nothing: {status.message}")
        return values

    def _status_topic(self) -> str:
        return str(self.node.resolve_topic_name(f"{self._settings.motor_node}/status"))

    # Sensors

    def sense(self) -> Mapping[str, float]:
        """Return what a fresh message of every sensor says; in lockstep, of after the last cycle.

        Raises
        ------
        WorldError
            if one says nothing in time.
        """
        sensors = self._sensors.values()
        if not self.lockstep:
            for sensor in sensors:
                sensor.latest = None
        timeout = self._settings.timeout
        if not self.until(lambda: all(s.latest is not None for s in sensors), timeout):
            missing = [name for name, sensor in self._sensors.items() if sensor.latest is None]
            sensor = self._sensors[missing[0]]
            raise WorldError(
                f"sensor {missing[0]!r}: nothing usable came on"
                f" {self.node.resolve_topic_name(sensor.settings.topic)} within"
                f" {timeout:g} s{sensor.trouble}"
            )
        return {name: float(s.latest or 0.0) for name, s in self._sensors.items()}

    # ROS

    @property
    def still(self) -> Floats:
        """A cycle in which nothing moves."""
        return np.zeros((self._settings.gamma, len(self._names)))

    def now(self) -> float:
        """Return the robot's time, s."""
        if self.lockstep:
            return self._time
        return float(self.node.get_clock().now().nanoseconds) * 1e-9

    def send(self, deltas: Floats) -> int:
        """Send a cycle, and return its number."""
        number, now = self.number, self.now()
        self.number += 1
        self._answers.clear()
        self._statuses.clear()
        if self.lockstep:
            for sensor in self._sensors.values():
                sensor.latest = None
        table = ChannelDeltas(self._names, np.ascontiguousarray(deltas))
        cycle = Cycle(self._run, number, {}, self._settings.dt, now, now, deltas=table)
        self._spikes.publish(spike_raster(cycle))
        return number

    def _done(self, message: CycleDone) -> None:
        if message.run == self._run:
            self._answers[int(message.cycle)] = message

    def _hear(self, message: MotorStatus) -> None:
        self._statuses.append(message)

    def _show(self, message: JointState) -> None:
        self._time = seconds(message.header.stamp)
        self._shown += 1

    def answer(self, number: int, timeout: float) -> CycleDone | None:
        """Wait for the answer to a cycle."""
        return self.until(lambda: self._answers.get(number), timeout)

    def until(self, condition: Callable[[], T], timeout: float) -> T | None:
        """Spin until a condition holds, and return its value; None if it does not in time.

        Raises
        ------
        InterruptedOrderError
            after :meth:`interrupt`.
        """
        end = time.monotonic() + timeout
        while not (value := condition()):
            if self._interrupted.is_set():
                raise InterruptedOrderError("the execution was interrupted")
            if time.monotonic() >= end or not self._context.ok():
                return None
            self._executor.spin_once(timeout_sec=_SPIN)
        return value


class _Sensor:
    """The latest number of a topic."""

    def __init__(self, settings: SensorChannelSettings, name: str) -> None:
        self.settings = settings
        try:
            self.message = JointState if settings.joint else find_message(settings.type)
        except ConfigError as error:
            raise ConfigError(f"sensors.{name}.type: {error}") from None
        self._path = FieldPath.parse(settings.field) if settings.field else None
        self.latest: float | None = None
        self.since = -math.inf  # stamps before do not count
        self.trouble = ""

    def take(self, message: Any) -> None:
        """Take a message; one that lacks the number, or has one that is not finite, is left out."""
        header = getattr(message, "header", None)
        if header is not None and seconds(header.stamp) < self.since:
            return
        try:
            value = self._read(message)
        except ObservationError as error:
            self.trouble = f"; {error}"
            return
        if value is not None:
            self.latest = value

    def _read(self, message: Any) -> float | None:
        if self._path is None:
            names: Sequence[str] = list(message.name)
            values = getattr(message, self.settings.of)
            if self.settings.joint not in names:  # states may come in parts
                self.trouble = f"; the last message has no joint {self.settings.joint!r}"
                return None
            place = names.index(self.settings.joint)
            found = np.array(values[place : place + 1], np.float64)
        else:
            found = self._path.read(message, self.settings.topic)
        if found.size != 1 or not np.isfinite(found).all():
            raise ObservationError(
                f"must be one finite number, not {found[:3].tolist()} ({found.size} numbers)"
            )
        return float(found[0])
