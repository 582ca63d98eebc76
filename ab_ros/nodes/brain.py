"""The brain node: sensors in, cycles of a brain, spikes out; rewards and feedback back in.

A worker thread owns the brain.  In real time it starts a cycle every T·dt.  In lockstep it waits,
for each cycle, for sensors newer than the last, for the motor node's ``cycle_done`` and, while it
learns and ``wait_for_reward`` is set, for the critic's reward: the same run gives the same numbers
whatever the machine's speed.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_srvs.srv import SetBool, Trigger

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.inbox import CycleEvents, Inbox
from ab_ros.errors import AbRosError, BrainError, ConfigError
from ab_ros.figures import LatencyWindow
from ab_ros.msg import (
    BrainContract,
    BrainStatus,
    CycleDone,
    Deviation,
    Reward,
    SpikeRaster,
)
from ab_ros.nodes import qos
from ab_ros.nodes.brain_settings import READERS, BrainSettings, check_wiring, wired_inputs
from ab_ros.nodes.diagnostics import Health, Level
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.messages import (
    brain_contract,
    read_deviation,
    read_reward,
    spike_raster,
    to_time,
)
from ab_ros.nodes.process import run
from ab_ros.values import Cycle, Need, Observation

_POLL = 0.25  # s between two looks at whether the node stops, or what is missing
_GRAPH_POLL = 0.01  # s between two looks at who else is in the graph


class BrainNode(AbNode[BrainSettings]):
    """Hosts one brain."""

    node_name = "brain"
    settings_class = BrainSettings
    unique = True

    def check(self, settings: BrainSettings) -> None:
        """Refuse a brain that cannot be wired, and a place where nothing can be saved."""
        check_wiring(settings)
        folder = Path(settings.save_file).absolute().parent
        if settings.save_file and not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise ConfigError(
                f"save_file: {settings.save_file!r} cannot be written: {folder} is no folder, or"
                f" not writable; give another path, or '' to save nowhere"
            )

    def setup(self) -> None:
        """Build or load the brain; make its topics."""
        s = self.settings
        self._brain = self._make_brain()
        self._inputs = wired_inputs(self._brain.anatomy.inputs, s)
        self._inbox = Inbox()
        self._lockstep = s.pacing == "lockstep"
        self._period = self._brain.contract.gamma * self._brain.dt
        self._spikes = self.advertise(
            SpikeRaster, "spikes", qos.LOCKSTEP if self._lockstep else qos.COMMAND
        )
        self._contract = self.advertise(BrainContract, "contract", qos.LATCHED, always=True)
        self._answers = self.advertise(CycleDone, "cycle_done", qos.REWARD)
        self._status_topic = self.advertise(BrainStatus, "~/status", qos.STATUS, always=True)
        for name, item in self._inputs.items():
            self._subscribe_input(name, item.kind, item.topic)
        events = qos.LOCKSTEP if self._lockstep else qos.REWARD
        self._done_in = self.subscribe(CycleDone, "cycle_done", self._cycle_done, events)
        self._reward_in = self.subscribe(Reward, "reward", self._reward, events)
        self.subscribe(Deviation, "deviation", self._deviation, events)
        self.serve(Trigger, "~/pause", self._pause)
        self.serve(Trigger, "~/resume", self._resume)
        self.serve(Trigger, "~/save", self._save_service)
        self.serve(SetBool, "~/set_learning", self._set_learning)
        self.every(1.0, self._publish_status, steady=True, always=True)
        self.watch_clock(self._clock_jumped)
        self._lock = threading.Lock()  # of the brain, against a service in the executor's thread
        self._telling = threading.Lock()  # of state and sentence, against the worker's thread
        self._latency = LatencyWindow(4096)
        self._state, self._sentence = BrainStatus.INACTIVE, "not active"
        self._paused = False
        self._moved_at = 0.0  # when the last cycle ran, on the steady clock
        self._unsaved = False
        self._refusals = 0
        self._learn = s.learning
        self._cycles = 0
        self._last_handled = -1  # the last cycle whose events need not be awaited any more
        self._reset_rates()

    def start(self) -> None:
        """Open the brain and let it run."""
        self._learn = self.settings.learning
        self._brain.set_learning(self._learn)
        contract = self._brain.open()
        self._inbox.begin(self._brain.run)
        self._contract.publish(brain_contract(contract, self._brain.run))
        self._cycles = 0
        self._saved_at = time.monotonic()
        self._state, self._sentence = BrainStatus.WAITING, "starts"
        self._reset_rates()
        self.work(self._live, "brain")

    def stop(self) -> None:
        """End the run; what was learned is saved by the worker."""
        self._inbox.wake()
        with self._telling:
            if self._state != BrainStatus.FAILED:
                self._state, self._sentence = BrainStatus.INACTIVE, "not active"
        self._publish_status()

    def reconfigure(self, new: BrainSettings, old: BrainSettings) -> None:
        """Take live settings; learning changes at the next cycle boundary."""
        if new.learning != old.learning:
            self._learn = new.learning
        self._inbox.wake()

    def health(self) -> Health:
        """Tell what the brain does, and what is wrong with its drive."""
        if self._state == BrainStatus.FAILED:
            return Level.ERROR, self._sentence
        if self._inputs_missing() and self._state == BrainStatus.WAITING:
            return Level.WARN, self._sentence
        complaints = self._troubles()
        return (Level.WARN, complaints[0]) if complaints else (Level.OK, self._sentence)

    def _make_brain(self) -> EmbeddedBrain:
        s = self.settings
        if s.file:
            brain = EmbeddedBrain.load(Path(s.file), dt=s.dt, seed=s.seed)
            if s.architecture is not None and brain.anatomy.wiring != s.architecture.to_json():
                raise ConfigError(
                    f"file: the brain in {s.file} is wired differently from 'architecture': give"
                    f" its architecture, or no file"
                )
            if brain.dt != s.dt:
                raise ConfigError(
                    f"dt: {s.dt:g} s is not that of the brain in {s.file}, {brain.dt:g} s"
                )
            self.get_logger().info(f"goes on from {s.file}")
            return brain
        assert s.architecture is not None
        return EmbeddedBrain(s.architecture, dt=s.dt, seed=s.seed)

    def _subscribe_input(self, name: str, kind: str, topic: str) -> None:
        profile = qos.LOCKSTEP if self._lockstep else qos.SENSOR
        message, read = READERS[kind]
        self.subscribe(message, topic, lambda m: self._inbox.put(read(m, name)), profile)

    # What comes in, in the executor's thread

    def _cycle_done(self, message: CycleDone) -> None:
        self._inbox.done(message.run, message.cycle, message.executed)

    def _reward(self, message: Reward) -> None:
        try:
            reward = read_reward(message)
        except AbRosError:
            # The critic has spoken, if in vain: a brain in lockstep need not wait any longer.
            self._inbox.reward(message.run, message.cycle, None, message.deviations)
            raise
        self._inbox.reward(message.run, message.cycle, reward, message.deviations)

    def _deviation(self, message: Deviation) -> None:
        try:
            deviation = read_deviation(message, self._brain.contract)
        except AbRosError:
            self._inbox.deviation(message.run, message.cycle, None)
            raise
        self._inbox.deviation(message.run, message.cycle, deviation)

    def _clock_jumped(self, jump: float) -> None:
        self.figures.add("clock went back" if jump < 0 else "clock was changed")
        self._inbox.clear_samples()

    def _pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._paused = True
        self._inbox.wake()
        response.success, response.message = True, "pauses before the next cycle"
        return response

    def _resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._paused = False
        self._inbox.wake()
        response.success, response.message = True, "goes on"
        if self._stopped_by_count():
            response.success = False
            response.message = (
                f"stays paused: stop_at_cycle is {self.settings.stop_at_cycle}, and"
                f" {self._cycles} cycles have run"
            )
        return response

    def _set_learning(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        result = self.set_parameters([Parameter("learning", value=request.data)])[0]
        response.success = result.successful
        said = "learns" if request.data else "does not learn"
        response.message = said if result.successful else result.reason
        return response

    def _save_service(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self.settings.save_file:
            raise BrainError("save_file is empty: set it to the path of a brain file")
        with self._lock:
            self._save()
        response.success, response.message = True, f"saved to {self.settings.save_file}"
        return response

    # The loop, in the worker's thread

    def _live(self, stopping: threading.Event) -> None:
        begin = time.monotonic()
        try:
            while not stopping.is_set():
                if not self._wait_for_turn(stopping):
                    begin = time.monotonic()
                    continue
                if not self._lockstep:
                    begin = self._keep_pace(begin, stopping)
                with self._lock:
                    if not stopping.is_set():
                        self._turn()
        except Exception as error:
            self._tell(BrainStatus.FAILED, str(error) or type(error).__name__, last=True)
            raise
        finally:
            with self._lock:
                try:
                    if self.settings.save_file and self._unsaved:
                        self._save()
                finally:
                    self._brain.close()

    def _wait_for_turn(self, stopping: threading.Event) -> bool:
        """Wait until the next cycle may run; False to be asked again."""
        inbox, inputs = self._inbox, tuple(self._inputs)
        if self._paused or self._stopped_by_count():
            # In lockstep, a count is reached when the last cycle has been answered.
            if self._lockstep and not self._paused and not self._answered(stopping):
                return False
            why = "by ~/pause" if self._paused else f"before cycle {self._cycles}"
            self._tell(BrainStatus.PAUSED, f"paused {why}")
            inbox.wait(
                lambda: stopping.is_set() or not (self._paused or self._stopped_by_count()), _POLL
            )
            return False
        if self._lockstep:
            ready = self._answered if self._cycles else self._heard_by_all
            if not ready(stopping):
                return False
        if inbox.wait(lambda: stopping.is_set() or inbox.fresh(inputs, self._seen()), _POLL):
            return not (stopping.is_set() or self._paused)
        missing = ", ".join(self._inputs_missing())
        if self._lockstep and self._cycles:
            self._free_simulation()
        self._tell(BrainStatus.WAITING, f"waits for a new sample of {missing}")
        return False

    def _heard_by_all(self, stopping: threading.Event) -> bool:
        """Wait before the first cycle until those that shall answer it listen, for a while."""
        deadline = time.monotonic() + self.settings.answer_timeout
        while lacking := self._deaf():
            if self._paused or stopping.is_set():
                return False
            if time.monotonic() > deadline:
                self.report("listeners", f"begins without {' and '.join(lacking)}")
                return True
            self._tell(BrainStatus.WAITING, f"waits for {' and '.join(lacking)}")
            stopping.wait(_GRAPH_POLL)
        return True

    def _deaf(self) -> list[str]:
        """Return which ends of the loop are not connected yet."""

        def nodes(ends: list[TopicEndpointInfo]) -> set[str]:
            return {f"{end.node_namespace}/{end.node_name}" for end in ends}

        missing = []
        listeners = self.get_subscriptions_info_by_topic(self._spikes.topic_name)
        hears = self._spikes.get_subscription_count() >= len(listeners)
        wanted = {"cycle_done": self._done_in}
        if self.settings.wait_for_reward:
            wanted["reward"] = self._reward_in
        me = {f"{self.get_namespace()}/{self.get_name()}"}
        for topic, subscription in wanted.items():
            known = self.get_publishers_info_by_topic(subscription.topic_name)
            speakers = nodes(known) - me
            if not speakers or subscription.get_publisher_count() < len(known):
                missing.append(f"a publisher of {topic}")
            elif not (hears and speakers <= nodes(listeners)):
                missing.append(f"a subscription of spikes by the publisher of {topic}")
        return missing

    def _answered(self, stopping: threading.Event) -> bool:
        """Wait for cycle_done and the reward of the last cycle, for a while."""
        last = self._cycles - 1

        def ready() -> bool:
            events = self._inbox.events_of(last)
            rewarded = not self._wants_reward() or events.rewarded
            return stopping.is_set() or self._paused or (events.done and rewarded)

        if self._last_handled >= last or self._inbox.wait(ready, self.settings.answer_timeout):
            return not (stopping.is_set() or (self._paused and not self._handled(last)))
        events = self._inbox.events_of(last)
        if not events.done:
            self.report("cycle_done", f"none for cycle {last}: is the motor node running?")
            self._tell(BrainStatus.WAITING, f"goes on without an answer to cycle {last}")
            self._answer_for_motor(last, "the motor node did not answer")
        else:
            self.report("reward", f"none for cycle {last}: is the critic running?")
        self._last_handled = last
        return True

    def _handled(self, cycle: int) -> bool:
        events = self._inbox.events_of(cycle)
        return events.done and (not self._wants_reward() or events.rewarded)

    def _wants_reward(self) -> bool:
        return self._lockstep and self.settings.wait_for_reward and self._brain.learning

    def _free_simulation(self) -> None:
        """Say again that the last cycle is done: word of it may have been lost.

        A simulation that has heard it ignores the repetition.
        """
        if time.monotonic() - self._moved_at > self.settings.answer_timeout:
            self._moved_at = time.monotonic()
            last = self._cycles - 1
            self.report("sensors", f"no new ones since cycle {last}: cycle_done is sent again")
            self._answer_for_motor(last, "said again, as no new sensors have come")

    def _answer_for_motor(self, cycle: int, reason: str) -> None:
        """Free a gated brain and a simulation in lockstep from a motor node that is gone."""
        message = CycleDone(
            run=self._brain.run,
            cycle=cycle,
            executed=False,
            code=1,
            reason=reason,
            duration=self._period,
            latency=math.nan,
        )
        message.header.stamp = to_time(self.now())
        self._answers.publish(message)

    def _keep_pace(self, begin: float, stopping: threading.Event) -> float:
        """Sleep until the next cycle is due; return when the one after it is counted from."""
        due = begin + self._period
        wait = due - time.monotonic()
        if wait > 0:
            stopping.wait(wait)
            return due
        if wait < -self._period:
            self.figures.add("cycles skipped")
            return time.monotonic()
        return due

    def _turn(self) -> None:
        self._switch_learning()
        self._deliver()
        if not self._cycles:
            # The engine is compiled when it is first used on a machine, which takes its time.
            self._tell(BrainStatus.RUNNING, "computes its first cycle")
        begin = time.perf_counter()
        cycle = self._brain.run_cycle(self._observe, 0.0)
        taken = time.perf_counter() - begin
        self._unsaved = self._unsaved or self._brain.learning
        self._spikes.publish(spike_raster(self._stamped(cycle)))
        self._latency.add(taken)
        self.figures.took("cycle", taken)
        self._cycles = cycle.number + 1
        self._moved_at = time.monotonic()
        self._spikes_seen += cycle.telemetry["spikes"]
        self._cycles_timed += 1
        if sum(self._brain.refused.values()) > self._refusals:
            self._refusals = sum(self._brain.refused.values())
            self.report("observation", self._brain.last_refusal)
        self._tell(BrainStatus.RUNNING, "runs")
        self._autosave()

    def _stamped(self, cycle: Cycle) -> Cycle:
        if self._lockstep:
            return cycle
        return Cycle(cycle.run, cycle.number, cycle.rasters, cycle.dt, self.now(), cycle.observed)

    def _deliver(self) -> None:
        """Give the brain what was said of past cycles: done, feedback, reward."""

        def ready(number: int, events: CycleEvents) -> bool:
            # In real time, a reward that overtakes its cycle_done waits for it for a cycle.
            return (
                number <= self._last_handled
                or (events.done and (events.rewarded or not self._wants_reward()))
                or number < self._cycles - 1
            )

        for number, events in self._inbox.take(ready):
            if events.done:
                self._brain.done(number)
            for deviation in events.deviations:
                self._brain.feedback(deviation, number)
            if events.reward is not None and not self._brain.reward(events.reward, number):
                self.figures.add("rewards too late")
            self._last_handled = max(self._last_handled, number)

    def _observe(self, need: Need) -> list[Observation]:
        inputs = self._inputs
        now = -math.inf if self._lockstep else self.now()
        self._inbox.began(need.cycle)
        epoch = self._inbox.epoch
        samples = self._inbox.samples(need, now, lambda name: inputs[name].max_age)
        self._silent[:] = sorted(set(need.inputs) - {sample.id for sample in samples})
        newest = max((sample.stamp for sample in samples), default=-math.inf)
        self._observed = (epoch, newest)
        return samples

    def _seen(self) -> float:
        """Return the stamp that samples must be newer than: any will do in real time."""
        epoch, newest = self._observed
        return newest if self._lockstep and epoch == self._inbox.epoch else -math.inf

    def _switch_learning(self) -> None:
        if self._learn == self._brain.learning:
            return
        # What was earned before the switch is not learned from after it.
        self._deliver()
        self._inbox.ignore_before(self._cycles)
        self._brain.set_learning(self._learn)

    def _autosave(self) -> None:
        s = self.settings
        due = s.autosave and time.monotonic() - self._saved_at > s.autosave
        if due and s.save_file and self._unsaved and self._brain.learning:
            try:
                self._save()
            except BrainError as error:
                # What was learned is still in memory, and the robot must not stop for a full disk.
                self._saved_at = time.monotonic()
                self.report("autosave", error)

    def _save(self) -> None:
        begin = time.perf_counter()
        self._brain.save(Path(self.settings.save_file))
        self._unsaved = False
        self._saved_at = time.monotonic()
        self.figures.took("save", time.perf_counter() - begin)

    def _stopped_by_count(self) -> bool:
        return 0 < self.settings.stop_at_cycle <= self._cycles

    def _inputs_missing(self) -> list[str]:
        return self._inbox.missing(self._inputs, self._seen())

    # Status

    def _reset_rates(self) -> None:
        self._counted_from = time.monotonic()
        self._spikes_seen = 0.0
        self._cycles_timed = 0
        self._observed = (-1, -math.inf)
        self._silent: list[str] = []
        self._last_handled = -1

    def _tell(self, code: int, sentence: str, last: bool = False) -> None:
        """Set the status from the worker's thread; while the node stops only as a ``last`` word."""
        with self._telling:
            unchanged = (code, sentence) == (self._state, self._sentence)
            if unchanged or (self.stopping.is_set() and not last):
                return
            self._state, self._sentence = code, sentence
        self.call_soon(self._publish_status)

    def _troubles(self) -> list[str]:
        """Return what is wrong while it runs."""
        silent = [f"no fresh sample of {name}: it is silent" for name in self._silent]
        return [
            *(silent if self._state == BrainStatus.RUNNING else []),
            *self._brain.drive.complaints(),
        ]

    def _publish_status(self) -> None:
        brain, s = self._brain, BrainStatus()
        now = time.monotonic()
        elapsed = max(now - self._counted_from, 1e-9)
        simulated = self._cycles_timed * self._period
        s.header.stamp = to_time(self.now())
        s.code, s.run, s.cycle = self._state, brain.run, self._cycles
        s.message = "; ".join([self._sentence, *self._troubles()])
        s.learning = self._learn
        s.cycle_rate = self._cycles_timed / elapsed
        s.real_time_factor = simulated / elapsed
        s.cycle_latency_p50, s.cycle_latency_p99 = self._latency.p50, self._latency.p99
        if simulated:
            s.spikes_per_second = self._spikes_seen / simulated
            s.mean_rate = s.spikes_per_second / brain.size
        counts = Counter(self._inbox.counts)
        counts.update({f"{k} refused": v for k, v in brain.refused.items() if v})
        counts.update(self.figures.counts())
        s.counter, s.count = list(counts), [int(v) for v in counts.values()]
        self._status_topic.publish(s)
        if elapsed > 2.0:
            self._counted_from, self._spikes_seen, self._cycles_timed = now, 0.0, 0


def main() -> int:
    """Run the node."""
    return run(BrainNode)


if __name__ == "__main__":
    raise SystemExit(main())
