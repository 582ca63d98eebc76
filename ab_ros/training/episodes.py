"""The loop of episodes: one state machine, whoever drives it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from ab_ros.errors import AbRosError
from ab_ros.training.curriculum import EpisodePlan
from ab_ros.training.events import (
    EpisodeFinishEvent,
    EpisodeStartEvent,
    Event,
    FinishedEvent,
    SimulateEvent,
    UnknownEvent,
)
from ab_ros.training.logger import Logger
from ab_ros.training.mind import Mind
from ab_ros.training.recording import Recording
from ab_ros.training.schema import Message, Schema
from ab_ros.training.signals import SignalRecorder


class EpisodeError(AbRosError):
    """A simulator that did not answer an event, or not as its schemas say."""


class Session(Protocol):
    """What decides how episodes follow each other: a training, or a prediction."""

    max_steps: int
    """Steps after which an episode is ended; 0: never."""

    learning: bool
    """Whether it is a training: a prediction needs no reward."""

    def plan(self) -> EpisodePlan | None:
        """Return what the next episode is to be; None if there is none."""

    def may_step(self) -> bool:
        """Whether there may be another step."""

    def finish(self, reward: float, steps: int, success: bool | None) -> None:
        """Take note of a finished episode."""

    def rewind(self) -> Mind:
        """Forget what happened since the last finished episode; return the mind of then."""

    def close(self, finished: bool) -> None:
        """End the session, at its end or before."""


class Judged(Protocol):
    """What the loop asks a simulator besides its answers."""

    truncated: bool

    def episode_succeeded(self) -> bool | None:
        """Whether the episode was a success; None if the simulator cannot say."""


class _Stage(Enum):
    START = 1
    STEP = 2
    FINISH = 3
    FINISHED = 4


class EpisodeLoop:
    """Drives a mind through episodes, event by event.

    Each call of :meth:`next_event` takes the answer to the event before, and returns the next:
    start, then steps until one is terminal, then finish; and finished at the end of the session.
    A session may end in the middle of an episode, which then has no finish.

    Parameters
    ----------
    simulator : says whether an episode succeeded, and whether it was cut short.
    schemas : of config, action and state.
    mind : that acts.
    session : that plans.
    recording : that every step is told to.

    Attributes
    ----------
    plan : the present episode's, or None before the first.
    reward, steps : of the present or last episode so far.
    signals : that every step is told to as arrays, or None.
    paused : while it is set, :meth:`next_event` returns only
        :class:`~ab_ros.training.events.UnknownEvent`.
    """

    def __init__(
        self,
        simulator: Judged,
        schemas: Mapping[str, Schema],
        mind: Mind,
        session: Session,
        recording: Recording,
    ) -> None:
        self._simulator, self._mind, self._session = simulator, mind, session
        self._action, self._state = schemas["action"], schemas["state"]
        self.recording = recording
        self.signals: SignalRecorder | None = None
        self.plan: EpisodePlan | None = None
        self.reward = 0.0
        self.steps = self.all_steps = 0
        self._finished = 0
        self.paused = False
        self._stage = _Stage.START
        self._event: Event | None = None
        self._now = Message()
        self._begin = self._episode_begin = time.perf_counter()

    @property
    def episodes(self) -> int:
        """Episodes that have ended: the one that is told to be finished is among them."""
        return self._finished + isinstance(self._event, EpisodeFinishEvent)

    @property
    def seconds(self) -> float:
        """Time since the loop was made."""
        return time.perf_counter() - self._begin

    @property
    def episode_seconds(self) -> float:
        """Time since the present episode began."""
        return time.perf_counter() - self._episode_begin

    def next_event(self) -> Event:
        """Take the answer to the last event, and return the next one.

        Raises
        ------
        EpisodeError
            if the last event was not answered.
        SchemaError
            if a state does not fit its schema.
        """
        if self.paused and self._stage is not _Stage.FINISHED:
            return UnknownEvent("paused")
        self._take_answer()
        event = self._event = self._make_event()
        return event

    def settle(self) -> None:
        """Take note of an episode that has ended, and was told to be finished."""
        if isinstance(self._event, EpisodeFinishEvent):
            self._take_answer()

    def begin_again(self) -> None:
        """Give up the present episode, if there is one, and begin it anew."""
        begun = self._stage in (_Stage.STEP, _Stage.FINISH) or self._event is not None
        if begun and self._stage is not _Stage.FINISHED:
            self._event = None
            self._mind = self._session.rewind()
            self._stage = _Stage.START
            self.reward, self.steps = 0.0, 0

    def end(self) -> None:
        """End the session, wherever it is; it may be called twice."""
        over = False
        try:
            if isinstance(self._event, EpisodeFinishEvent) or (
                isinstance(self._event, SimulateEvent) and self._event.state is not None
            ):
                self._take_answer()
            over = self._finished > 0 and self._stage is _Stage.START and not self._goes_on()
        except AbRosError as error:
            # An answer that does not fit was refused already, or is of an episode that is given up.
            Logger().episode("the last answer is not taken: %s", error)
        finally:
            self._event = None
            if self._stage is not _Stage.FINISHED:
                self._stage = _Stage.FINISHED
                self._session.close(over)

    def _take_answer(self) -> None:
        event, self._event = self._event, None
        try:
            if isinstance(event, SimulateEvent):
                step = self._read_step(event)
            elif isinstance(event, EpisodeStartEvent):
                assert self.plan is not None
                if event.initial_state is None:
                    raise EpisodeError(
                        "EpisodeStartEvent.initial_state was not set: assign the simulator's state"
                        " (or return it from episode_start)"
                    )
                self._now = self._state.read(event.initial_state)
                self._mind.begin(self._now, self.plan.seed, self.plan.number)
                self._stage = _Stage.STEP
            elif isinstance(event, EpisodeFinishEvent):
                success = self._simulator.episode_succeeded()
        except AbRosError:
            self._event = event  # It can be answered anew.
            raise
        # What comes of an answer happens once, even if a file cannot be written.
        if isinstance(event, SimulateEvent):
            self._take_step(event.action, *step)
        elif isinstance(event, EpisodeFinishEvent):
            self._finish(success)

    def _read_step(self, event: SimulateEvent) -> tuple[Message, float, bool]:
        plan = self.plan
        assert plan is not None
        if event.state is None:
            raise EpisodeError(
                "SimulateEvent.state was not set: assign the state after the step (or return"
                " (state, reward, terminal) from simulate)"
            )
        after = self._state.read(event.state)
        terminal = bool(event.terminal)
        reward = _number(event.reward, None if self._session.learning else 0.0)
        if plan.reward is not None:
            reward = _number(plan.reward(self._now, event.action, after, reward, terminal))
        if not math.isfinite(reward):
            raise EpisodeError(f"reward: must be finite, not {reward}")
        return after, reward, terminal

    def _take_step(self, action: Message, after: Message, reward: float, terminal: bool) -> None:
        plan = self.plan
        assert plan is not None
        cut = self._simulator.truncated
        self.steps += 1
        self.all_steps += 1
        self.reward += reward
        self._mind.learn(reward, after, terminal and not cut)
        self._now = after
        limit = self._session.max_steps
        if terminal or cut or (limit and self.steps >= limit):
            self._stage = _Stage.FINISH
        if self.signals is not None:
            self.signals.step(action, after, reward, terminal, self._mind.rasters)
        if self.recording.enabled:
            last = self._stage is _Stage.FINISH
            self.recording.step(plan, action, after, reward, terminal, self, last)

    def _finish(self, success: bool | None) -> None:
        self._finished += 1
        self._stage = _Stage.START
        number = self.plan.number if self.plan is not None else 0
        Logger().episode("%d ends: %d steps, reward %g", number, self.steps, self.reward)
        try:
            self.recording.finish()
            if self.signals is not None:
                self.signals.finish(number)
        finally:
            self._session.finish(self.reward, self.steps, success)

    def _goes_on(self) -> EpisodePlan | None:
        return self._session.plan() if self._session.may_step() else None

    def _make_event(self) -> Event:
        if self._stage is _Stage.START:
            plan = self._goes_on()
            if plan is not None:
                self.plan = plan
                self.reward, self.steps = 0.0, 0
                self._episode_begin = time.perf_counter()
                self._simulator.truncated = False
                Logger().episode(
                    "%d begins: objective %r, %s, seed %d",
                    plan.number,
                    plan.objective,
                    dict(plan.properties),
                    plan.seed,
                )
                if self.signals is not None:
                    self.signals.drop()
                return EpisodeStartEvent(plan.properties)
        elif self._stage is _Stage.STEP:
            if self._session.may_step():
                return SimulateEvent(self._mind.act(self._now))
        elif self._stage is _Stage.FINISH:
            return EpisodeFinishEvent()
        if self._stage is not _Stage.FINISHED:
            self._stage = _Stage.FINISHED
            self._session.close(True)
        return FinishedEvent()


def _number(reward: object, missing: float | None = None) -> float:
    try:
        return float(missing if reward is None else reward)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise EpisodeError(f"reward: must be a number, not {reward!r}") from None
