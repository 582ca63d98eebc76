"""The brain node: sensors in, cycles of a brain, spikes out; rewards and feedback back in.

Sensors come on the topic of each of the ``inputs``.  A new brain needs an ``architecture``, one
that was saved its ``file``, one of a service ``backend: remote``.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from threading import Lock
from typing import Any

from rclpy.parameter import Parameter
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_srvs.srv import SetBool, Trigger

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.files import load_brain
from ab_ros.brains.inbox import Inbox
from ab_ros.brains.local import LocalBrain
from ab_ros.brains.port import Brain
from ab_ros.contract import Contract
from ab_ros.errors import AbRosError, BrainError, ConfigError
from ab_ros.msg import (
    BrainContract,
    BrainStatus,
    CycleDone,
    Deviation,
    Reward,
    SpikeRaster,
)
from ab_ros.nodes import qos
from ab_ros.nodes.brain_inputs import (
    Feed,
    alignments_of,
    check_feeds,
    feeds_of_file,
    feeds_of_settings,
)
from ab_ros.nodes.brain_intake import BodyState, Intakes
from ab_ros.nodes.brain_loop import BrainLoop
from ab_ros.nodes.brain_settings import BrainSettings, check_wiring
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
from ab_ros.values import Cycle


class BrainNode(AbNode[BrainSettings]):
    """Hosts one brain.

    A worker thread owns the brain and runs its loop (:mod:`ab_ros.nodes.brain_loop`); topics,
    services and the status are here.
    """

    node_name = "brain"
    settings_class = BrainSettings
    unique = True
    worker_timeout = 8.0
    """A remote brain that does not answer is given up in that time, a run saved; s."""

    def check(self, settings: BrainSettings) -> None:
        """Refuse a brain that cannot be wired, and a place where nothing can be saved."""
        check_wiring(settings)
        folder = Path(settings.save_file).absolute().parent
        here = settings.backend == "embedded" and settings.save_file
        if here and not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise ConfigError(
                f"save_file: {settings.save_file!r} cannot be written: {folder} is no folder, or"
                f" not writable; give another path, or '' to save nowhere"
            )

    def setup(self) -> None:
        """Build or load the brain; make its topics."""
        s = self.settings
        self._lockstep = s.pacing == "lockstep"
        self._remote = s.backend == "remote"
        try:
            brain, feeds = self._make_remote() if self._remote else self._make_embedded()
            check_feeds(feeds, self._lockstep)
        except ConfigError as error:
            raise self.located(error) from error
        self._inbox = Inbox(alignments=alignments_of(feeds, self._lockstep))
        self._telling = Lock()  # of state and sentence, against the worker's thread
        self._state, self._sentence = BrainStatus.INACTIVE, "not active"
        self._said_for_motor: tuple[int, str] = (-1, "")
        self._loop = BrainLoop(brain, self._inbox, feeds, self)
        self._spikes = self.advertise(
            SpikeRaster, "spikes", qos.LOCKSTEP if self._lockstep else qos.REWARD
        )
        self._contract = self.advertise(BrainContract, "contract", qos.LATCHED, always=True)
        self._answers = self.advertise(CycleDone, "cycle_done", qos.REWARD)
        self._status_topic = self.advertise(BrainStatus, "~/status", qos.STATUS, always=True)
        self._intakes = Intakes(
            feeds,
            self._inbox,
            self,
            lockstep=self._lockstep,
            remote=self._remote,
            body=self._body_of(brain, feeds),
        )
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

    def start(self) -> None:
        """Let the brain be opened, and run."""
        self._loop.prepare()
        self._intakes.reset()
        self._state, self._sentence = BrainStatus.WAITING, "starts"
        self.work(self._loop.run, "brain")

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
            self._loop.learn = new.learning
        self._loop.stop_at = new.stop_at_cycle
        self._inbox.wake()

    def health(self) -> Health:
        """Tell what the brain does, and what is wrong with its drive, its inputs or its link."""
        self._intakes.tell_figures()
        if self._state == BrainStatus.FAILED:
            return Level.ERROR, self._sentence
        waits = self._state == BrainStatus.WAITING
        if waits and (self._loop.missing() or self._loop.contract is None):
            return Level.WARN, self._sentence
        complaints = self._troubles()
        return (Level.WARN, complaints[0]) if complaints else (Level.OK, self._sentence)

    # The brain and its inputs

    def _make_embedded(self) -> tuple[Brain, dict[str, Feed]]:
        s = self.settings
        brain: LocalBrain
        if s.file:
            brain = load_brain(Path(s.file), dt=s.dt, seed=s.seed)
            if s.architecture is not None and brain.wiring != s.architecture.to_json():
                raise ConfigError(
                    f"file: the brain in {s.file} is wired differently from 'architecture': give"
                    f" its architecture, or no file"
                )
            if brain.dt != s.dt:
                raise ConfigError(
                    f"dt: {s.dt:g} s is not that of the brain in {s.file}, {brain.dt:g} s"
                )
            self.get_logger().info(f"goes on from {s.file}")
        else:
            assert s.architecture is not None
            brain = EmbeddedBrain(s.architecture, dt=s.dt, seed=s.seed)
        where = "inputs" if s.file else "architecture.inputs"
        return brain, feeds_of_file(brain.inputs, s.inputs, s.file, where)

    def _make_remote(self) -> tuple[Brain, dict[str, Feed]]:
        from ab_ros.brains.remote import RemoteBrain

        s = self.settings
        assert s.remote is not None
        inputs = s.architecture.inputs if s.architecture is not None else {}
        brain = RemoteBrain(
            s.remote,
            dt=s.dt,
            seed=s.remote.seed,
            learning=s.learning,
            fresh=s.remote.fresh,
            clock=self.now,
            patience=0.0,  # the loop tries again, and says so
        )
        joints = {name: item.joints for name, item in s.remote.inputs.items()}
        return brain, feeds_of_settings(s.inputs, inputs, joints)

    def _body_of(self, brain: Brain, feeds: dict[str, Feed]) -> BodyState | None:
        """Return the joint states that a brain elsewhere is told, if there are any."""
        if self.settings.remote is None or not self._remote:
            return None
        bodies = (feed.topic for feed in feeds.values() if feed.kind == "Proprioception")
        topic = self.settings.remote.state_topic or next(bodies, "")
        return BodyState(topic, brain.state) if topic else None

    # What comes in, in the executor's thread

    def _cycle_done(self, message: CycleDone) -> None:
        if not message.executed and (message.cycle, message.reason) == self._said_for_motor:
            return  # this node's own
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
            deviation = read_deviation(message, self._loop.contract)
        except AbRosError:
            self._inbox.deviation(message.run, message.cycle, None)
            raise
        self._inbox.deviation(message.run, message.cycle, deviation)

    def _clock_jumped(self, jump: float) -> None:
        self.figures.add("clock went back" if jump < 0 else "clock was changed")
        self._intakes.reset()

    def _pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._loop.paused = True
        self._inbox.wake()
        response.success, response.message = True, "pauses before the next cycle"
        return response

    def _resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._loop.paused = False
        self._inbox.wake()
        response.success, response.message = True, "goes on"
        if self._loop.stopped_by_count:
            response.success = False
            response.message = (
                f"stays paused: stop_at_cycle is {self.settings.stop_at_cycle}, and"
                f" {self._loop.cycles} cycles have run"
            )
        return response

    def _set_learning(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        result = self.set_parameters([Parameter("learning", value=request.data)])[0]
        response.success = result.successful
        said = "learns" if request.data else "does not learn"
        response.message = said if result.successful else result.reason
        return response

    def _save_service(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not (self._remote or self.settings.save_file):
            raise BrainError("save_file is empty: set it to the path of a brain file")
        self._loop.requests.ask(self._loop.save)
        where = "by its service" if self._remote else f"to {self.settings.save_file}"
        response.success, response.message = True, f"saved {where}"
        return response

    # What the loop says, in the worker's thread

    def begun(self, contract: Contract, run: str) -> None:
        """Publish the contract of a run that begins."""
        self._contract.publish(brain_contract(contract, run, self._remote))

    def spoke(self, cycle: Cycle) -> None:
        """Publish a cycle's spikes."""
        self._spikes.publish(spike_raster(cycle))

    def answer_for_motor(self, cycle: int, reason: str) -> None:
        """Free a gated brain and a simulation in lockstep from a motor node that is gone."""
        message = CycleDone(
            run=self._loop.brain.run,
            cycle=cycle,
            executed=False,
            code=1,
            reason=reason,
            duration=self._loop.period,
            latency=math.nan,
        )
        message.header.stamp = to_time(self.now())
        self._said_for_motor = (cycle, reason)
        self._answers.publish(message)

    def deaf(self) -> list[str]:
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

    def tell(self, code: int, sentence: str, last: bool = False) -> None:
        """Set the status from the worker's thread; while the node stops only as a ``last`` word."""
        with self._telling:
            unchanged = (code, sentence) == (self._state, self._sentence)
            if unchanged or (self.stopping.is_set() and not last):
                return
            self._state, self._sentence = code, sentence
        self.call_soon(self._publish_status)

    # Status

    def _troubles(self) -> list[str]:
        """Return what is wrong, while it runs."""
        running = self._state == BrainStatus.RUNNING
        return [*self._intakes.complaints(), *self._loop.troubles(running)]

    def _publish_status(self) -> None:
        loop, s = self._loop, BrainStatus()
        now = time.monotonic()
        elapsed = max(now - loop.counted_from, 1e-9)
        simulated = loop.cycles_timed * loop.period
        s.header.stamp = to_time(self.now())
        s.code, s.run, s.cycle = self._state, loop.brain.run, loop.cycles
        s.message = "; ".join([self._sentence, *self._troubles()])
        s.learning = loop.learn
        s.cycle_rate = loop.cycles_timed / elapsed
        s.real_time_factor = simulated / elapsed
        s.cycle_latency_p50, s.cycle_latency_p99 = loop.latency.p50, loop.latency.p99
        if simulated:
            s.spikes_per_second = loop.spikes_seen / simulated
            s.mean_rate = s.spikes_per_second / loop.brain.size if loop.brain.size else 0.0
        counts = self._intakes.counts
        counts.update(loop.brain.counts())
        counts.update(self.figures.counts())
        s.counter, s.count = list(counts), [int(v) for v in counts.values()]
        self._status_topic.publish(s)
        if elapsed > 2.0:
            loop.forget_rates()


def main() -> int:
    """Run the node."""
    return run(BrainNode)


if __name__ == "__main__":
    raise SystemExit(main())
