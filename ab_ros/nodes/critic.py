"""The critic node: what each cycle was worth, by the user's policies.

A cycle is judged between two moments: when the motor node answered it, and its duration later,
when its commands have been executed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from geometry_msgs.msg import Vector3Stamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from ab_ros.config import setting
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, ContractError, ObservationError
from ab_ros.learning import tasks
from ab_ros.learning.critic import Critic, CriticSettings, Moment, Snapshot, policies_of
from ab_ros.learning.scaffold import contract_complaints
from ab_ros.msg import BrainContract, CycleDone, Deviation, Reward, SpikeRaster
from ab_ros.nodes import qos
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import (
    deviation_message,
    read_brain_contract,
    read_spike_raster,
    reward_message,
    seconds,
)
from ab_ros.nodes.process import run
from ab_ros.values import Cycle
from ab_ros.values import Reward as RewardValue

_TOLERANCE = 5e-4  # s; half a timestep of 1 ms
_DISORDER = 0.5  # s; a stamp that is further back is of a clock that went back
_MEMORY = 256
_EARLY = 16  # messages of runs without a contract that are kept for it
_NEUTRAL = 0.5
_MOST = 8  # differences of contracts that are told
V = TypeVar("V")


@dataclass(frozen=True)
class _Joints:
    """Measured positions, rad or m, and velocities, per second, by joint."""

    positions: dict[str, float]
    velocities: dict[str, float]


@dataclass(frozen=True)
class CriticNodeSettings:
    """The critic node."""

    critic: CriticSettings = setting(CriticSettings, doc="Policies and controls.")
    target: str = setting(
        "target/direction",
        doc="Topic of the direction to the target; empty: there is none. Zeros: it is unknown.",
    )
    pacing: str = setting(
        "realtime",
        doc="lockstep: the robot is a simulation that waits for each cycle; nothing may be lost.",
        one_of=("realtime", "lockstep"),
    )
    judge_timeout: float = setting(
        2.0, doc="A cycle whose outcome is not seen within this time is dropped.", unit="s", gt=0
    )


class CriticNode(AbNode[CriticNodeSettings]):
    """Publishes rewards and deviations."""

    node_name = "critic"
    settings_class = CriticNodeSettings
    unique = True

    def check(self, settings: CriticNodeSettings) -> None:
        """Refuse options that the ready-made policies do not know."""
        critic = settings.critic
        if not critic.policies and tasks.__name__ in (
            critic.reward_policy,
            critic.deviation_policy,
        ):
            try:
                tasks.for_options(critic.options)
            except ConfigError as error:
                raise ConfigError(f"critic.{error}") from None

    def setup(self) -> None:
        """Load the policies; make topics."""
        s = self.settings
        self._policies = policies_of(s.critic)
        self._critic: Critic | None = None
        self._run = ""
        self._judged = -1  # the last cycle that was judged
        self._failures = self._slow = 0
        self._mismatch = ""
        self._early: deque[tuple[Callable[[Any], None], Any]] = deque(maxlen=_EARLY)
        self._rasters: dict[int, Cycle] = {}
        self._open: deque[tuple[CycleDone, float]] = deque()
        self._states: deque[tuple[float, _Joints]] = deque(maxlen=_MEMORY)
        self._directions: deque[tuple[float, tuple[float, float, float]]] = deque(maxlen=_MEMORY)
        self._rewards = self.advertise(Reward, "reward", qos.REWARD)
        self._deviations = self.advertise(Deviation, "deviation", qos.REWARD)
        self.subscribe(BrainContract, "contract", self._contract, qos.LATCHED, always=True)
        self.subscribe(SpikeRaster, "spikes", self._spikes, qos.REWARD)
        self.subscribe(CycleDone, "cycle_done", self._cycle_done, qos.REWARD)
        samples = qos.LOCKSTEP if s.pacing == "lockstep" else qos.HISTORY
        self.subscribe(JointState, "joint_states", self._joint_state, samples)
        if s.target:
            self.subscribe(Vector3Stamped, s.target, self._target, samples)
        self.serve(Trigger, "~/reload", self._reload)
        self.watch_clock(self._clock_jumped)

    def start(self) -> None:
        """Forget what was open."""
        self._forget_cycles()

    def reconfigure(self, new: CriticNodeSettings, old: CriticNodeSettings) -> None:
        """Take live settings; they hold from the next cycle on."""
        if self._critic is not None:
            self._critic.settings = new.critic

    def health(self) -> Health:
        """Tell of policies that fail."""
        complaints = [] if self._critic is None else [*self._critic.complaints()]
        if self._mismatch:
            complaints.append(self._mismatch)
        return (Level.WARN, "; ".join(complaints)) if complaints else (Level.OK, "judges cycles")

    # What comes in

    def _contract(self, message: BrainContract) -> None:
        self._use(read_brain_contract(message))
        self._run = message.run
        self._forget_cycles()
        # On topics of their own, the first cycle may have come before the contract of its run.
        early, self._early = list(self._early), deque(maxlen=_EARLY)
        for take, first in early:
            if first.run == message.run:
                take(first)
            else:  # of a run whose contract comes next
                self._early.append((take, first))

    def _forget_cycles(self) -> None:
        self._open.clear()
        self._rasters.clear()
        self._judged = -1

    def _use(self, contract: Contract) -> None:
        self._critic = Critic(self.settings.critic, contract, self._policies)
        self._failures = self._slow = 0
        self._compare(contract)

    def _compare(self, contract: Contract) -> None:
        """Say how the contract that the policies were made for differs from the brain's."""
        folder = self.settings.critic.policies
        differences = contract_complaints(folder, contract) if folder else ()
        self._mismatch = ""
        if differences:
            more = f"; {len(differences) - _MOST} more" if len(differences) > _MOST else ""
            said = "; ".join(differences[:_MOST]) + more
            self._mismatch = f"policies {folder}: not of the running brain's contract: {said}"
            self.get_logger().warning(self._mismatch)
        self.figures.set("contract differences", len(differences))

    def _spikes(self, message: SpikeRaster) -> None:
        if self._critic is None or message.run != self._run:
            self.figures.add("spikes of another run")
            self._early.append((self._spikes, message))
            return
        self._rasters[message.cycle] = read_spike_raster(message, self._critic.contract)
        while len(self._rasters) > _MEMORY:
            del self._rasters[next(iter(self._rasters))]
        self._judge_what_is_over()

    def _cycle_done(self, message: CycleDone) -> None:
        if message.run != self._run:
            self.figures.add("cycle_done of another run")
            self._early.append((self._cycle_done, message))
            return
        if message.cycle <= self._judged or any(
            done.cycle == message.cycle for done, _ in self._open
        ):
            # One reward per cycle: the first answer counts.
            self.figures.add("cycle_done repeated")
            return
        if not 0.0 <= message.duration < 60.0:
            raise ContractError(f"cycle_done: duration must be 0 to 60 s, not {message.duration}")
        self._open.append((message, self.steady_now()))
        self._judge_what_is_over()

    def _joint_state(self, message: JointState) -> None:
        if len(message.name) != len(message.position):
            raise ObservationError(
                f"joint_states: {len(message.name)} names and {len(message.position)} positions"
            )
        joints = dict(zip(message.name, map(float, message.position), strict=True))
        if not all(map(math.isfinite, joints.values())):
            raise ObservationError("joint_states: positions must be finite")
        # Velocities may be left out, for some joints by giving no number.
        measured = zip(message.name, map(float, message.velocity), strict=False)
        velocities = {name: value for name, value in measured if math.isfinite(value)}
        self._note(self._states, seconds(message.header.stamp), _Joints(joints, velocities))

    def _target(self, message: Vector3Stamped) -> None:
        direction = (message.vector.x, message.vector.y, message.vector.z)
        if not all(map(math.isfinite, direction)):
            raise ObservationError("target direction: must be finite")
        self._note(self._directions, seconds(message.header.stamp), direction)

    def _note(self, memory: deque[tuple[float, V]], stamp: float, value: V) -> None:
        if memory and stamp < memory[-1][0]:
            if memory[-1][0] - stamp < _DISORDER:
                self.figures.add("samples out of order")
                return
            self._clock_jumped(stamp - memory[-1][0])
        if memory and stamp == memory[-1][0]:
            memory.pop()
        memory.append((stamp, value))
        self._judge_what_is_over()

    def _clock_jumped(self, jump: float) -> None:
        self.figures.add("clock went back" if jump < 0 else "clock was changed")
        for memory in (self._states, self._directions, self._open):
            memory.clear()

    # Judging

    def _judge_what_is_over(self) -> None:
        while self._open and self._critic is not None:
            done, since = self._open[0]
            cycle = self._rasters.get(done.cycle)
            begin = seconds(done.header.stamp)
            end = begin + done.duration
            after = self._first_from(end - _TOLERANCE)
            lost = cycle is None and any(number > done.cycle for number in self._rasters)
            if cycle is None or after is None:
                if not lost and self.steady_now() - since < self.settings.judge_timeout:
                    return
                self.report("judging", f"cycle {done.cycle} is not judged: {self._why(cycle)}")
                self._open.popleft()
                continue
            self._open.popleft()
            self._judged = max(self._judged, done.cycle)
            for number in [n for n in self._rasters if n <= done.cycle]:
                del self._rasters[number]
            before = self._last_until(begin + _TOLERANCE)
            if before is None:
                self.figures.add("cycles not judged")
                before = after
            options = self.settings.critic.options
            self._publish(Moment(cycle, done.executed, before, after, options))

    def _first_from(self, begin: float) -> Snapshot | None:
        return self._snapshot(lambda stamp: stamp >= begin, first=True)

    def _last_until(self, end: float) -> Snapshot | None:
        return self._snapshot(lambda stamp: stamp <= end, first=False)

    def _why(self, cycle: Cycle | None) -> str:
        if cycle is None:
            return "its spikes did not arrive"
        if self.settings.target and not self._directions:
            return f"nothing arrives on {self.settings.target}"
        return f"no state after it arrived within {self.settings.judge_timeout:g} s"

    def _snapshot(self, wanted: Callable[[float], bool], first: bool) -> Snapshot | None:
        """Return the first, or last, moment whose stamp is wanted; None while it is incomplete."""
        state = _pick(self._states, wanted, first)
        if state is None:
            return None
        stamp, joints = state
        target = None
        if self.settings.target:
            direction = _pick(self._directions, wanted, first)
            if direction is None:
                return None
            target = direction[1] if any(direction[1]) else None
        return Snapshot(stamp, joints.positions, target, joints.velocities)

    def _publish(self, moment: Moment) -> None:
        assert self._critic is not None
        reward, deviations = self._critic.judge(moment)
        if self._critic.failures > self._failures:
            self._failures = self._critic.failures
            self.report("policy", self._critic.last_failure)
        if self._critic.slow > self._slow:
            self._slow = self._critic.slow
            self.figures.add("cycles judged too slowly")
            self.get_logger().warning(self._critic.last_slow, throttle_duration_sec=1.0)
        self.figures.took("policies", self._critic.took)
        stamp, number = moment.after.stamp, moment.cycle.number
        for deviation in deviations:
            self._deviations.publish(deviation_message(deviation, self._run, number, stamp))
        # A brain in lockstep waits for its reward: without one to tell, it is a neutral one.
        message = reward_message(reward or RewardValue(_NEUTRAL), self._run, number, stamp)
        message.deviations = len(deviations)
        self._rewards.publish(message)
        self.figures.mark("judged")

    def _reload(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        # If this fails, the old policies go on; their modules are not touched.
        self._policies = policies_of(self.settings.critic, again=True)
        if self._critic is not None:
            self._use(self._critic.contract)
        response.success = True
        response.message = "; ".join(filter(None, ("policies loaded anew", self._mismatch)))
        return response


def _pick(
    memory: deque[tuple[float, V]], wanted: Callable[[float], bool], first: bool
) -> tuple[float, V] | None:
    items = memory if first else reversed(memory)
    return next((item for item in items if wanted(item[0])), None)


def main() -> int:
    """Run the node."""
    return run(CriticNode)


if __name__ == "__main__":
    raise SystemExit(main())
