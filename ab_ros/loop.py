"""The loop in one process, in lockstep: observe, run a cycle, act, learn.

The same brain, motor stage and critic that the ROS nodes host, without topics between them: for
training sweeps, benchmarks and tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ab_ros.brains.port import Brain
from ab_ros.learning.critic import Critic, Moment, Snapshot
from ab_ros.motion.stage import Answer, Command, MotorStage
from ab_ros.values import Cycle, Deviation, Need, Observation, Reward


class World(Protocol):
    """What a robot, or its simulation, is to the loop."""

    @property
    def time(self) -> float:
        """Robot time, s."""

    def sense(self, need: Need) -> Iterable[Observation]:
        """Return a sample for each input that the brain needs."""

    def snapshot(self) -> Snapshot:
        """Return joints and target as they are now."""

    def execute(self, commands: Sequence[Command], duration: float) -> None:
        """Follow the commands for ``duration`` s."""


@dataclass(frozen=True)
class Step:
    """What happened in one turn of the loop."""

    cycle: Cycle
    answer: Answer
    before: Snapshot
    after: Snapshot
    reward: Reward | None
    deviations: tuple[Deviation, ...]


class Loop:
    """Brain, motor stage, critic and world, in lockstep.

    The brain's rewards are those of the cycle that has just been executed, so credit falls where
    it belongs.

    Attributes
    ----------
    on : whether the critic's rewards and deviations reach the brain.
    """

    def __init__(
        self, brain: Brain, motor: MotorStage, critic: Critic | None, world: World
    ) -> None:
        self.brain, self.motor, self.critic, self.world = brain, motor, critic, world
        self.on = True
        contract = brain.open()
        motor.activate(world.time, world.time)
        motor.begin_run(brain.run, contract)
        self.look()

    def look(self) -> None:
        """Look at the world anew: something else than the loop has changed it."""
        self._before = self.world.snapshot()
        self._measure(self._before)

    def step(self) -> Step:
        """Turn once: T·dt of robot time."""
        before = self._before
        cycle = self.brain.run_cycle(self.world.sense, 0.0)
        answer = self.motor.execute(cycle, self.world.time, self.world.time)
        self.world.execute(answer.commands, cycle.timesteps * cycle.dt)
        after = self._before = self.world.snapshot()
        self._measure(after)
        self.brain.done(cycle.number)
        reward: Reward | None = None
        deviations: tuple[Deviation, ...] = ()
        if self.critic is not None and self.on:
            moment = Moment(cycle, answer.executed, before, after, self.critic.settings.options)
            reward, deviations = self.critic.judge(moment)
            for deviation in deviations:
                self.brain.feedback(deviation, cycle.number)
            if reward is not None:
                self.brain.reward(reward, cycle.number)
        return Step(cycle, answer, before, after, reward, deviations)

    def close(self) -> None:
        """Stop the motor stage and the brain."""
        self.motor.deactivate(self.world.time, self.world.time)
        self.brain.close()

    def _measure(self, snapshot: Snapshot) -> None:
        names = tuple(snapshot.joints)
        positions = tuple(snapshot.joints.values())
        self.motor.measure(names, positions, None, snapshot.stamp, self.world.time, self.world.time)
