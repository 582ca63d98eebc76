"""What a client tells about a cycle, each thing taken once however often it is sent."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ab_ros.brains.local import LocalBrain
from ab_ros.errors import ProtocolError
from ab_ros.protocol.formats import decode_deviation, decode_raster
from ab_ros.protocol.messages import Chunk, CycleExecuted, RewardGiven, SetLearning
from ab_ros.values import Reward

_DEPTH = 4096  # cycles back that are remembered
_MOST = 8192  # lessons that wait at once

Apply = Callable[[LocalBrain], None]


@dataclass(frozen=True)
class Lesson:
    """Something for the brain, in the order in which it came.

    ``executed`` tells that the commands of the cycle were executed, or refused.
    """

    cycle: int
    apply: Apply
    executed: bool = False


class Lessons:
    """A bounded, lossless queue of lessons; what was taken of a cycle is not taken again.

    Parameters
    ----------
    brain : that they are for.

    Attributes
    ----------
    counts : what was repeated or came too late, by name.
    newest : number of the newest cycle that began; -1 before the first.
    """

    def __init__(self, brain: LocalBrain) -> None:
        self._contract = brain.contract
        self._queue: deque[Lesson] = deque()
        self._taken: dict[tuple[str, str], set[int]] = {}
        self.counts: Counter[str] = Counter()
        self.newest = -1

    def __len__(self) -> int:
        return len(self._queue)

    def pop(self) -> Lesson:
        """Remove and return the oldest lesson."""
        return self._queue.popleft()

    def executed(self, message: CycleExecuted) -> None:
        """Take a mark that the commands of a cycle were executed, or refused."""
        cycle = message.cycle
        if self._is_first(message.event, cycle):
            self._put(Lesson(cycle, lambda brain: brain.done(cycle), executed=True))

    def reward(self, message: RewardGiven) -> None:
        """Take a reward; layers that the contract lacks are left out."""
        cycle, given = message.cycle, message.reward
        layers = self._contract.stdp3_layers
        unknown = set(given.by_layer) - set(layers)
        reward = Reward(
            given.overall, {layer: given.by_layer.get(layer, given.overall) for layer in layers}
        )

        def apply(brain: LocalBrain) -> None:
            if not brain.reward(reward, cycle):
                self.counts["rewards too late"] += 1

        if self._is_first(message.event, cycle):
            self.counts["rewards of unknown layers"] += len(unknown)
            self._put(Lesson(cycle, apply))

    def feedback(self, chunk: Chunk) -> None:
        """Take a deviation or a raster of a feedback.

        Raises
        ------
        ProtocolError
            for another format, or data that does not fit the contract.
        """
        name, given = chunk.input, chunk.meta.get("cycle")
        timesteps = self._contract.feedback_timesteps
        known = isinstance(given, int) and not isinstance(given, bool)
        cycle: int = given if known and given is not None else self.newest
        lesson: Lesson
        if chunk.format == "deviation_f32":
            deviation = decode_deviation(chunk, timesteps)
            lesson = Lesson(cycle, lambda brain: brain.feedback(deviation, cycle))
        elif chunk.format == "raster_f32":
            raster = decode_raster(chunk, timesteps, self._contract.feedback_port(name).n)
            spikes = np.sign(raster).astype(np.int8)
            lesson = Lesson(cycle, lambda brain: brain.feedback_raster(name, spikes, cycle))
        else:
            raise ProtocolError(
                f"io:chunk of {name!r}: a feedback is deviation_f32 or raster_f32, not"
                f" {chunk.format!r}"
            )
        # A client may name the cycle that it answers, which is the one to come.
        if not known or self._is_first("feedback", cycle, name, to_come=1):
            self._put(lesson)

    def learning(self, message: SetLearning) -> None:
        """Take a switch of learning; every one counts."""
        on = message.learning
        self._put(Lesson(self.newest, lambda brain: brain.set_learning(on)))

    def _is_first(self, event: str, cycle: int, item: str = "", to_come: int = 0) -> bool:
        if not 0 <= cycle <= self.newest + to_come:
            self.counts[f"{event} of a cycle to come"] += 1
            raise ProtocolError(
                f"{event}: cycle {cycle} has not been run; the newest is {self.newest}"
            )
        taken = self._taken.setdefault((event, item), set())
        if cycle in taken:
            self.counts[f"{event} repeated"] += 1
            return False
        if cycle <= self.newest - _DEPTH:
            self.counts[f"{event} too late"] += 1
            raise ProtocolError(f"{event}: cycle {cycle} lies too far back")
        if len(self._queue) >= _MOST:
            self.counts["lessons refused"] += 1
            raise ProtocolError(f"{event}: {_MOST} wait already")
        taken.add(cycle)
        if len(taken) > 2 * _DEPTH:
            taken.difference_update([old for old in taken if old <= self.newest - _DEPTH])
        return True

    def _put(self, lesson: Lesson) -> None:
        if len(self._queue) >= _MOST:
            self.counts["lessons refused"] += 1
            raise ProtocolError(f"{_MOST} messages wait already")
        self._queue.append(lesson)
