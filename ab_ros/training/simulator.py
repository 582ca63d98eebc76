"""Simulators and predictors: what a program is written with."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.training.definition import BrainDefinition
from ab_ros.training.episodes import EpisodeLoop
from ab_ros.training.events import (
    EpisodeFinishEvent,
    EpisodeStartEvent,
    Event,
    FinishedEvent,
    SimulateEvent,
)
from ab_ros.training.mind import Mind, make_brain
from ab_ros.training.recording import Recording
from ab_ros.training.schema import Message, Schema
from ab_ros.training.sessions import PredictionSession, TrainingSession
from ab_ros.training.signals import SignalRecorder, check_format
from ab_ros.training.versions import VersionedBrain

Self = TypeVar("Self", bound="Simulator")
Step = tuple[Mapping[str, Any], "float | None", bool]


class Simulator(ABC):
    """What a brain is trained with: a world that goes on step by step.

    A subclass overrides :meth:`episode_start` and :meth:`simulate`, and :meth:`episode_finish`
    where it wants to.  A program drives it by :meth:`run`, or answers the events of
    :meth:`get_next_event` itself.  In a ``with`` statement it is closed whatever happens: until
    then nobody else can train the brain.

    Parameters
    ----------
    brain : to be trained or predicted with, as its config says.
    name : of the simulator, as in the brain's definition; by default that.

    Attributes
    ----------
    brain : as given.
    name : of the simulator.
    truncated : to be set by :meth:`simulate` where an episode ends without a terminal state, such
        as at a time limit of its own.

    Raises
    ------
    ConfigError
        if the brain's definition is for a simulator of another name.

    Examples
    --------
    ::

        class MySimulator(Simulator):
            def episode_start(self, parameters=None):
                ...
                return state

            def simulate(self, action):
                ...
                return state, reward, terminal


        config = Config(sys.argv)
        with MySimulator(VersionedBrain(config), "my_simulator") as simulator:
            while simulator.run():
                continue
    """

    def __init__(self, brain: VersionedBrain, name: str = "") -> None:
        definition = brain.definition
        _check_name(brain, definition, name)
        self.brain = brain
        self.name = definition.simulator.name
        self._made_for = definition.simulator
        self.truncated = False
        self._schemas = schemas_of(definition)
        self._recording = Recording(self._schemas, self.name)
        self._signal_format = "npz"
        self._session: TrainingSession | PredictionSession | None = None
        self._loop: EpisodeLoop | None = None

    # To be overridden

    def episode_start(self, parameters: Message) -> Mapping[str, Any]:
        """Begin an episode, and return the state.

        Parameters
        ----------
        parameters : what the lesson sets, by the definition's config; empty when predicting.
        """
        raise NotImplementedError(f"{type(self).__name__}.episode_start: has to be overridden")

    def simulate(self, action: Message) -> Step:
        """Go one step on, and return (state, reward, terminal).

        Parameters
        ----------
        action : what the brain does, by the definition's action.

        Returns
        -------
        state : after the step, by the definition's state.
        reward : finite; None counts as 0 when predicting, where nothing learns.
        terminal : whether the episode ends.
        """
        raise NotImplementedError(f"{type(self).__name__}.simulate: has to be overridden")

    def episode_finish(self) -> None:
        """Do what is to be done after an episode, which :attr:`episode_count` counts already.

        What :meth:`record_append` adds here is in the line of the episode's last step.
        """

    def episode_succeeded(self) -> bool | None:
        """Return whether the episode was a success; None leaves it to the lesson's reward."""
        return None

    # The loop

    def run(self) -> bool:
        """Handle one event by the methods above; return False at the end."""
        return self.handle(self.get_next_event())

    def handle(self, event: Event) -> bool:
        """Answer an event by the methods above; return False at the end.

        One of these that raises leaves the event without an answer: it can be handled again.
        """
        if isinstance(event, EpisodeStartEvent):
            event.initial_state = self.episode_start(event.initial_properties)
        elif isinstance(event, SimulateEvent):
            answer = self.simulate(event.action)
            try:
                event.state, event.reward, event.terminal = answer
            except (TypeError, ValueError):
                raise AbRosError(
                    f"{type(self).__name__}.simulate: must return (state, reward, terminal), not"
                    f" {answer!r}"
                ) from None
        elif isinstance(event, EpisodeFinishEvent):
            self.episode_finish()
            self._started().settle()
        elif isinstance(event, FinishedEvent):
            self.close()
            return False
        return True

    def get_next_event(self) -> Event:
        """Take the answer to the last event, and return the next: for programs with own loops."""
        return self._started().next_event()

    def begin_again(self) -> None:
        """Give up the present episode, and begin it anew: nothing of it has taught the brain.

        The brain is what it was before the episode, which keeps its number and its seed.
        """
        self._started().begin_again()

    def close(self) -> None:
        """End training or prediction; a training that is not at its end can be resumed."""
        try:
            if self._loop is not None:
                self._loop.end()
        finally:
            self._recording.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is known

    @property
    def predict(self) -> bool:
        """Whether the brain predicts, and does not learn."""
        return self.brain.config.predict

    @property
    def objective_name(self) -> str:
        """The present lesson's objective; empty when predicting, and before the first episode."""
        plan = self._loop.plan if self._loop is not None else None
        return plan.objective if plan is not None else ""

    @property
    def episode_seed(self) -> int:
        """Seed of the present episode: a simulator that draws from it can be reproduced."""
        plan = self._loop.plan if self._loop is not None else None
        return plan.seed if plan is not None else 0

    @property
    def episode_number(self) -> int:
        """Number of the present or last episode in its training, from 1; 0 before the first."""
        plan = self._loop.plan if self._loop is not None else None
        return plan.number if plan is not None else 0

    @property
    def episode_reward(self) -> float:
        """Sum of the rewards of this episode so far."""
        return self._loop.reward if self._loop is not None else 0.0

    @property
    def episode_count(self) -> int:
        """Episodes that have ended since the simulator was made, in episode_finish its own too."""
        return self._loop.episodes if self._loop is not None else 0

    @property
    def episode_rate(self) -> float:
        """Episodes per second."""
        return self._loop.episodes / max(self._loop.seconds, 1e-9) if self._loop else 0.0

    @property
    def iteration_count(self) -> int:
        """Steps of this episode so far."""
        return self._loop.steps if self._loop is not None else 0

    @property
    def iteration_rate(self) -> float:
        """Steps per second."""
        return self._loop.all_steps / max(self._loop.seconds, 1e-9) if self._loop else 0.0

    @property
    def session(self) -> TrainingSession | PredictionSession:
        """The training or prediction; it begins when it is first asked for."""
        self._started()
        assert self._session is not None
        return self._session

    @property
    def paused(self) -> bool:
        """Whether episodes are held; then there are only events without an answer."""
        return self._loop is not None and self._loop.paused

    @paused.setter
    def paused(self, on: bool) -> None:
        self._started().paused = on

    # Records

    @property
    def record_file(self) -> str | None:
        """File that steps are recorded to; a new one closes the old at once.

        It is the config's as it is when training or prediction begins, unless it is set here.
        """
        return self._configured().file

    @record_file.setter
    def record_file(self, name: str | None) -> None:
        self._recording.file = name if name is None else str(name)

    @property
    def signal_folder(self) -> Path | None:
        """Folder that gets a file of every episode's signals, or None."""
        signals = self._started().signals
        return signals.folder if signals is not None else None

    @signal_folder.setter
    def signal_folder(self, folder: str | Path | None) -> None:
        loop = self._started()
        if folder is None:
            loop.signals = None
            return
        step_time = self.session.mind.step_time
        loop.signals = SignalRecorder(Path(folder), self._signal_format, step_time)

    @property
    def signal_format(self) -> str:
        """What is written to the signals' folder: ``npz`` or ``mcap``; a new one begins anew."""
        return self._signal_format

    @signal_format.setter
    def signal_format(self, kind: str) -> None:
        check_format(kind)
        self._signal_format = kind
        if self._loop is not None and self._loop.signals is not None:
            self.signal_folder = self._loop.signals.folder

    def enable_keys(self, keys: Iterable[str], prefix: str | None = None) -> None:
        """Add keys to the lines of the record, as ``<prefix>.<key>`` where there is a prefix."""
        self._configured().enable_keys(keys, prefix)

    def record_append(self, obj: Mapping[str, Any], prefix: str | None = None) -> None:
        """Add values to the record's line of this step; keys not enabled are passed over."""
        self._configured().append(obj, prefix)

    def _configured(self) -> Recording:
        if self._loop is None:
            config = self.brain.config
            self._recording.configure(config.record_file, config.record_enabled, self.predict)
        return self._recording

    def _started(self) -> EpisodeLoop:
        if self._loop is None:
            if self.brain.definition.simulator != self._made_for:
                raise ConfigError(
                    f"{type(self).__name__}: was made for another action or state than the brain"
                    f" has now: make it after config and brain are as they shall be"
                )
            session = (PredictionSession if self.predict else TrainingSession)(self.brain)
            try:
                recording = self._configured()
                session.attach(recording)
                self._loop = EpisodeLoop(self, self._schemas, session.mind, session, recording)
            except BaseException:
                session.close(False)
                raise
            self._session = session
        return self._loop


class Predictor(Simulator):
    """Tells what a trained brain does in a state.

    It learns nothing, and answers for the state that it is asked about, whatever it was asked
    before: the brain is at rest when the state appears, sees it for one step, and acts in the next.
    The same state gives the same action.

    Parameters
    ----------
    brain, name : see :class:`Simulator`; the version is as the config says.

    Attributes
    ----------
    brain : that given, with the version in use as its ``version``, whatever is trained since.

    Raises
    ------
    BrainFileError
        if the brain has no such version.

    Examples
    --------
    ::

        with Predictor(brain, "my_simulator") as predictor:
            action = predictor.get_action({"angle": 0.1, "velocity": 0.0})
    """

    def __init__(self, brain: VersionedBrain, name: str = "") -> None:
        brain = brain.pinned()
        super().__init__(brain, name)
        definition = brain.definition
        self._seed = definition.training.seed
        runner = make_brain(definition, brain.file_of(brain.version), self._seed)
        runner.set_learning(False)
        self._mind = Mind(runner, definition)

    @property
    def predict(self) -> bool:
        """Return True."""
        return True

    def get_action(self, state: Mapping[str, Any]) -> Message:
        """Return what the brain does in a state.

        Raises
        ------
        SchemaError
            if the state does not fit its schema.
        """
        read = self._schemas["state"].read(state)
        self._mind.begin(read, self._seed)
        self._mind.act(read)
        return self._mind.act(read)

    def close(self) -> None:
        """End the brain's run; it may be called twice."""
        try:
            self._mind.close()
        finally:
            super().close()


def schemas_of(definition: BrainDefinition) -> dict[str, Schema]:
    """Return the schemas of a definition's simulator: config, action and state."""
    simulator = definition.simulator
    return {
        "config": simulator.config_schema,
        "action": simulator.action_schema,
        "state": simulator.state_schema,
    }


def _check_name(brain: VersionedBrain, definition: BrainDefinition, name: str) -> None:
    wanted = definition.simulator.name
    if name and name != wanted:
        raise ConfigError(
            f"simulator {name!r}: brain {brain.name!r} is for the simulator {wanted!r}, as"
            f" simulator.name of its definition says"
        )
