"""The plan of a layered brain: its layers as they were described, with every name found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.architecture import InputSettings
from ab_ros.brains.local import contract_of
from ab_ros.config import setting
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, one_of
from ab_ros.layered.computation import Computation
from ab_ros.layered.learning import Learning
from ab_ros.layered.neuron import MAIN, Connection, Layer, Neurons, check_seed, groups_of
from ab_ros.layered.sensor import Feedback, Sensor
from ab_ros.layered.source import LARGEST, Emitter, Shape, merge

Sensors = Sensor | Sequence[Sensor] | Mapping[str, Sensor] | None


@dataclass(frozen=True)
class CycleSettings:
    """How a layered brain runs in cycles."""

    gamma: int = setting(1, doc="Ticks per cycle; a tick is a timestep.", ge=1, le=10_000)
    feedback_timesteps: int = setting(1, doc="Timesteps of a deviation.", ge=1, le=10_000)
    baseline_cycles: float = setting(
        0.0, doc="Time constant of the running reward baseline; 0: none.", ge=0, le=100_000
    )
    history: int = setting(
        16, doc="Cycles whose activity is kept, so that late rewards can credit it.", ge=1, le=4096
    )


@dataclass(frozen=True)
class InputPlan:
    """A named input of a group.

    Parameters
    ----------
    name : such as ``MAIN``.
    pieces : emitters by name, and which of their bits are read; None is all.
    size : bits in all.
    seed : of its weights; None: from the brain's seed and the names of group and input.
    weights : that were given or drawn already; None: none.
    """

    name: str
    pieces: tuple[tuple[str, NDArray[np.intp] | None], ...]
    size: int
    seed: int | None = None
    weights: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class GroupPlan:
    """A group of neurons; see :class:`~ab_ros.layered.neuron.Neurons`."""

    name: str
    shape: Shape
    inputs: tuple[InputPlan, ...]
    computation: Computation
    learning: Learning | None
    layer: str = ""
    output: bool = False

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Plan:
    """A whole layered brain, without its state."""

    name: str
    description: str
    seed: int
    cycle: CycleSettings
    sensors: Mapping[str, Sensor]
    feedback: Mapping[str, Feedback]
    layers: tuple[tuple[GroupPlan, ...], ...]
    names: Mapping[int, str]
    """Of the groups and sensors that it was made of, by the identity of the object."""

    @property
    def groups(self) -> Iterator[GroupPlan]:
        """All groups, in the order in which they compute."""
        return (group for layer in self.layers for group in layer)

    @property
    def outputs(self) -> dict[str, int]:
        """Sizes of the outputs, by name."""
        return {group.name: group.size for group in self.groups if group.output}

    @property
    def reward_layers(self) -> tuple[str, ...]:
        """Reward layers, in the order in which they first appear."""
        return tuple(dict.fromkeys(group.layer for group in self.groups if group.layer))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(group.size for group in self.groups)

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(i.size * group.size for group in self.groups for i in group.inputs)

    def inputs(self) -> dict[str, InputSettings]:
        """Return the settings of the inputs, by name."""
        return {name: sensor.settings(name) for name, sensor in self.sensors.items()}

    def contract(self, inputs: Mapping[str, InputSettings]) -> Contract:
        """Return the contract that the ports imply."""
        return contract_of(
            self.cycle.gamma,
            self.cycle.feedback_timesteps,
            inputs,
            self.outputs,
            self.feedback,
            self.reward_layers,
        )


def make_plan(
    neurons: Layer,
    sensor: Sensors = None,
    computation: Computation | None = None,
    learning: Learning | None = None,
    *,
    feedback: Iterable[Feedback] = (),
    seed: int = 0,
    name: str = "layered",
    description: str = "",
    cycle: CycleSettings | None = None,
) -> Plan:
    """Return the plan of a brain; see :class:`~ab_ros.layered.brain.LayeredBrain`.

    Raises
    ------
    ConfigError
        for names that stand twice, a group without an input or a computation, or an input that
        reads what the brain does not have.
    """
    layers = [groups_of(layer) for layer in _layers(neurons)]
    if not layers:
        raise ConfigError("a brain needs at least one layer of neurons (got none)")
    sensors = _sensors(sensor)
    lessons = {each.name: each for each in feedback}
    names = _names(layers, sensors, lessons)
    everything = [*sensors.values(), *lessons.values(), *(g for layer in layers for g in layer)]
    known = {id(each): each for each in everything}
    unread = [s for s in sensors.values() if not any(s in _read(g) for ly in layers for g in ly)]
    any_output = any(group.output for layer in layers for group in layer)
    planned = []
    for k, layer in enumerate(layers):
        row = []
        for group in layer:
            where = f"group {names[id(group)]!r}"
            connections = dict(group.connections)
            if k == 0 and unread and MAIN not in connections:
                connections = {MAIN: Connection(merge(unread)), **connections}
            rule = group.computation or computation
            if rule is None:
                raise ConfigError(f"{where}: has no computation; give it one, or the brain")
            if not connections:
                raise ConfigError(
                    f"{where}: reads nothing; connect an input, as in n.input = other"
                )
            inputs = tuple(
                _input(each, connection, names, known, where)
                for each, connection in connections.items()
            )
            output = group.output or (not any_output and k == len(layers) - 1)
            learned = group.learning or learning
            if group.layer and learned is None:
                raise ConfigError(f"{where}: has a reward layer, but no learning")
            row.append(
                GroupPlan(names[id(group)], group.shape, inputs, rule, learned, group.layer, output)
            )
        planned.append(tuple(row))
    groups = {group.name for row in planned for group in row if group.output}
    for lesson in lessons.values():
        if lesson.output not in groups:
            raise ConfigError(
                f"feedback {lesson.name!r}: output: {lesson.output!r} is not an output;"
                f" {one_of(sorted(groups))}"
            )
    cycle = cycle or CycleSettings()
    plan = Plan(name, description, check_seed(seed), cycle, sensors, lessons, tuple(planned), names)
    if plan.weights > 16 * LARGEST:
        raise ConfigError(
            f"the brain has {plan.weights} weights; at most {16 * LARGEST} are possible"
        )
    return plan


def _layers(neurons: Layer) -> list[Layer]:
    return [neurons] if isinstance(neurons, Neurons) else list(neurons)


def _sensors(given: Sensors) -> dict[str, Sensor]:
    if given is None:
        return {}
    if isinstance(given, Sensor):
        return {given.name or "sensor": given}
    if isinstance(given, Mapping):
        return dict(given)
    several = list(given)
    found: dict[str, Sensor] = {}
    for k, sensor in enumerate(several):
        name = sensor.name or ("sensor" if len(several) == 1 else f"sensor{k}")
        if name in found:
            raise ConfigError(f"two sensors are named {name!r}")
        found[name] = sensor
    return found


def _names(
    layers: list[list[Neurons]],
    sensors: Mapping[str, Sensor],
    lessons: Mapping[str, Feedback],
) -> dict[int, str]:
    names: dict[int, str] = {id(each): name for name, each in (*sensors.items(), *lessons.items())}
    taken = [*sensors, *lessons]
    for k, layer in enumerate(layers):
        for j, group in enumerate(layer):
            if id(group) in names:
                raise ConfigError(f"group {names[id(group)]!r} stands in two places")
            place = f"layer{k}" if len(layer) == 1 else f"layer{k}_{j}"
            names[id(group)] = group.name or place
            taken.append(names[id(group)])
    twice = [name for name in taken if taken.count(name) > 1]
    if twice:
        raise ConfigError(f"two of the groups, sensors and feedbacks are named {twice[0]!r}")
    return names


def _read(group: Neurons) -> list[Emitter]:
    return [p.emitter for c in group.connections.values() for p in c.source.pieces]


def _input(
    name: str,
    connection: Connection,
    names: Mapping[int, str],
    known: Mapping[int, Emitter],
    where: str,
) -> InputPlan:
    pieces: list[tuple[str, NDArray[np.intp] | None]] = []
    for piece in connection.source.pieces:
        if id(piece.emitter) not in known:
            raise ConfigError(
                f"{where}: input {name!r} reads {piece.emitter!r}, which the brain does not have;"
                f" {one_of(names.values())}"
            )
        pieces.append((names[id(piece.emitter)], piece.indices))
    return InputPlan(
        name, tuple(pieces), connection.source.size, connection.seed, connection.weights
    )
