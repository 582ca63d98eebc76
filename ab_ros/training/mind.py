"""What makes a brain act in episodes: states become cycles, cycles actions, rewards lessons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.files import load_brain
from ab_ros.brains.local import LocalBrain
from ab_ros.brains.port import Brain
from ab_ros.config import Source
from ab_ros.errors import ConfigError, ObservationError, one_of
from ab_ros.training.actions import ActionDecoder
from ab_ros.training.anatomy import STATE, architecture_for, as_neurons
from ab_ros.training.definition import BrainDefinition, function_at
from ab_ros.training.schema import Message
from ab_ros.training.teaching import make_teacher
from ab_ros.values import Need, Observation, Reward

KINDS = ("Scalar", "Vector")
"""Kinds of inputs that states can be given to."""

_TIMEOUT = 10.0
"""Seconds that a brain elsewhere gets for a cycle."""


class Mind:
    """A brain in episodes.

    Parameters
    ----------
    brain : any brain behind the port; it is opened.
    definition : of schemas and rewards.
    seed : of choices among equals.

    Attributes
    ----------
    brain : as given.
    teacher : turns rewards into the brain's.
    step_time : s, what a step takes in the brain's time.
    missed : rewards that came too late for the brain.
    rasters : outputs of the last cycle.

    Raises
    ------
    ConfigError
        if the brain's inputs or outputs do not fit the schemas, or an input cannot read the state.
    """

    def __init__(self, brain: Brain, definition: BrainDefinition, seed: int = 0) -> None:
        self.brain = brain
        self.definition = definition
        contract = brain.open()
        simulator = definition.simulator
        self._cycles = definition.neurons.cycles
        self._random = np.random.default_rng(seed)
        self._decoder = ActionDecoder(
            simulator.action_schema, contract, definition.neurons.full_count, self._random
        )
        self._fields = tuple(simulator.state)
        spans = [(field.name, *(field.span or (0.0, 1.0))) for field in simulator.state_schema]
        self._ranges = [(name, low, 2.0 / (high - low)) for name, low, high in spans]
        self._seen: Message | None = None
        self._shares = np.empty(0)
        self._layers = frozenset(contract.stdp3_layers)
        self._inputs = {port.id: port.kind for port in contract.inputs}
        self._check_inputs()
        self._potential = function_at(definition.reward.potential, "reward.potential")
        self.teacher = make_teacher(definition.reward, self._fields)
        self.step_time = self._cycles * contract.gamma * brain.dt
        self._strength = 1.0
        self._steps = 0
        self._cycle = 0
        self.missed = 0
        self.rasters: Mapping[str, NDArray[np.uint8]] = {}

    @property
    def refused(self) -> int:
        """Samples of states that an encoder refused, such as beyond its range."""
        return sum(self.brain.refused.values()) if isinstance(self.brain, LocalBrain) else 0

    def begin(self, state: Message, seed: int, episode: int = 1) -> None:
        """Begin an episode, which counts from 1: the brain forgets all but what it has learned."""
        fading = self.definition.reward.fading
        self._strength = min(1.0, fading / episode) if fading else 1.0
        self.brain.reset(seed)
        self._random.bit_generator.state = np.random.PCG64(seed).state
        self._steps = 0
        if self.brain.learning:
            self.teacher.begin(self.normalised(state), self._potential_of(state))

    def act(self, state: Message) -> Message:
        """Run the cycles of a step, and return what the brain does in a state."""
        decoder = self._decoder
        observations = self._observe(state)
        decoder.begin()
        for _ in range(self._cycles):
            cycle = self.brain.run_cycle(lambda need: _wanted(observations, need), _TIMEOUT)
            self._cycle = cycle.number
            self.rasters = cycle.rasters
            decoder.take(cycle.rasters)
            self.brain.done(cycle.number)
        self._steps += 1
        return decoder.action()

    def learn(self, reward: float, after: Message, terminal: bool) -> None:
        """Reward the step that :meth:`act` has done.

        A layer of the brain that is named as an alternative of the action, or as ``<field>_up`` or
        ``<field>_down``, learns from the reward if that was done, and from the opposite if not; all
        others learn from the reward.  The reward names the step's last cycle: its
        eligibility holds that of the cycles before it, as far as it has not decayed.
        """
        if not self.brain.learning:
            return
        potential = self._potential_of(after)
        modulation = self.teacher.judge(reward, self.normalised(after), terminal, potential)
        modulation *= self._strength
        by_layer = {
            layer: 0.5 + 0.5 * m
            for layer, m in self._decoder.credit(modulation).items()
            if layer in self._layers
        }
        lesson = Reward(0.5 + 0.5 * modulation, by_layer)
        self.missed += not self.brain.reward(lesson, self._cycle)

    def normalised(self, state: Message) -> NDArray[np.float64]:
        """Return a state's fields, float64[fields], -1 at the lower, 1 at the upper bound."""
        # A state is looked at twice: as what a step led to, and as what the next begins with.  Of a
        # handful of numbers Python makes less work than whole arrays do.
        if state is not self._seen:
            shares = [
                min(max((state[name] - low) * unit - 1.0, -1.0), 1.0)
                for name, low, unit in self._ranges
            ]
            self._seen, self._shares = state, np.array(shares, np.float64)
        return self._shares

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned outside the brain."""
        return {f"teacher.{name}": array for name, array in self.teacher.state().items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`state` returned."""
        prefix = "teacher."
        self.teacher.restore(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )

    def close(self) -> None:
        """End the brain's run."""
        self.brain.close()

    def _check_inputs(self) -> None:
        """Refuse a brain that would be blind: it would be trained without anybody noticing."""
        middle = Message({name: low + 1.0 / unit for name, low, unit in self._ranges})
        for name, kind in self._inputs.items():
            if name != STATE and name not in self._fields:
                raise ConfigError(
                    f"the brain's input {name!r} is neither {STATE!r} (all fields) nor one of the"
                    f" state's fields ({', '.join(self._fields)})"
                )
            if kind not in KINDS:
                raise ConfigError(
                    f"the brain's input {name!r} reads samples of the kind {kind!r}, and a state is"
                    f" numbers: {one_of(KINDS)}"
                )
            if not isinstance(self.brain, LocalBrain):
                continue
            sample = self._sample(name, middle, 0.0)
            encoder, gamma = self.brain.encoders[name], self.brain.contract.gamma
            try:
                encoder.encode(sample, gamma, self.brain.dt)  # Each episode begins with a reset.
            except ObservationError as error:
                raise ConfigError(
                    f"the brain's input {name!r} refuses the state, {len(sample.data)} values that"
                    f" are the middle of the fields' ranges: {error}"
                ) from None

    def _potential_of(self, state: Message) -> float:
        return float(self._potential(state)) if self._potential is not None else 0.0

    def _observe(self, state: Message) -> dict[str, Observation]:
        stamp = self._steps * self.step_time
        return {name: self._sample(name, state, stamp) for name in self._inputs}

    def _sample(self, name: str, state: Message, stamp: float) -> Observation:
        data = self.normalised(state) if name == STATE else np.array([float(state[name])])
        return Observation(name, self._inputs[name], stamp, "float64", data)


def make_brain(
    definition: BrainDefinition, file: Path | None, seed: int, source: Source | None = None
) -> Brain:
    """Return the brain of a definition, or one that was trained.

    Parameters
    ----------
    definition : of the brain.
    file : that a training has written; None: a new brain.
    seed : of a new brain's weights.
    source : where the definition's neurons were read, for messages.

    Raises
    ------
    ConfigError
        if the definition's neurons do not fit.
    BrainFileError
        if the file cannot be read.
    """
    neurons = definition.neurons
    if file is None and not neurons.file:
        try:
            architecture = architecture_for(definition.simulator, neurons, source)
            return EmbeddedBrain(architecture, dt=neurons.dt, seed=seed)
        except ConfigError as error:
            raise ConfigError(as_neurons(str(error))) from None
    return load_brain(
        file or Path(neurons.file), dt=None if neurons.file else neurons.dt, seed=seed
    )


def _wanted(observations: Mapping[str, Observation], need: Need) -> Iterable[Observation]:
    return [observations[name] for name in need.inputs if name in observations]
