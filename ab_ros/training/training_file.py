"""Files of trainings: a brain's definition, its name, and the world that it is trained on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ab_ros.config import Source, overlay, parse, setting
from ab_ros.errors import ConfigError
from ab_ros.training.config import Config
from ab_ros.training.definition import (
    BrainDefinition,
    LessonSettings,
    NeuronSettings,
    RewardSettings,
    SimulatorSettings,
    TrainingSettings,
    function_at,
    load_definition,
)
from ab_ros.training.environment_simulator import WorldSettings, make_simulator, world_class
from ab_ros.training.environment_variant import Make, plainly
from ab_ros.training.lookup import beside
from ab_ros.training.simulator import Simulator
from ab_ros.training.versions import VersionedBrain

CONTROL = "-control"
"""Ends the name of the brain that a training without learning makes."""


_KEYS = ("environment", *(item.name for item in dataclasses.fields(BrainDefinition)))
_BESIDE_FILE = ("file", "cycles", "full_count")
"""Settings of neurons that count where the brain is of a file."""


@dataclass(frozen=True)
class TrainingFileSettings:
    """All that a training's file may say; its parts are read apart."""

    environment: WorldSettings = setting(doc="What the brain is trained on.")
    simulator: SimulatorSettings = setting(doc="As in a BrainDefinition.")
    brain: str = setting("", doc="Its name; empty: as --brain or the settings say.")
    description: str = setting("", doc="For people.")
    neurons: NeuronSettings = setting(NeuronSettings, doc="As in a BrainDefinition.")
    reward: RewardSettings = setting(RewardSettings, doc="As in a BrainDefinition.")
    training: TrainingSettings = setting(TrainingSettings, doc="As in a BrainDefinition.")
    lessons: tuple[LessonSettings, ...] = setting((), doc="As in a BrainDefinition.")


@dataclass(frozen=True)
class TrainingFile:
    """A training, as a file describes it.

    Attributes
    ----------
    brain : its name.
    definition : what it is made of.
    world : what it is trained on.
    source : where the world stands, for messages.
    whole : the file, for messages.
    folder : of the file; what it names may be in modules there.
    """

    brain: str
    definition: BrainDefinition
    world: WorldSettings
    source: Source
    whole: Source
    folder: Path

    @classmethod
    def read(
        cls,
        path: Path,
        changes: Mapping[str, Any] | None = None,
        brain: str | None = None,
        default_brain: str | None = None,
    ) -> TrainingFile:
        """Read a training from a YAML file.

        Parameters
        ----------
        path : of the file.
        changes : that go over its definition, nested.
        brain : name of the brain instead of the file's.
        default_brain : its name where the file has none.

        Raises
        ------
        ConfigError
            naming file, line and key, for what does not fit, or cannot be found.
        """
        definition, rest, source = load_definition(path, ("brain", "environment"))
        if "environment" not in rest:
            raise ConfigError(f"{path}: environment: is required but missing")
        world = parse(WorldSettings, rest["environment"], source, ("environment",))
        name = brain or rest.get("brain", default_brain)
        if name is None:
            raise ConfigError(f"{path}: brain: is required but missing, and nothing else names it")
        if not isinstance(name, str):
            raise ConfigError(f"{source.at(('brain',))}: must be a name, not {name!r}")
        definition = _with_file(definition, path.parent, source)
        if changes:
            whole = overlay(dataclasses.asdict(definition), changes)
            definition = parse(BrainDefinition, whole)
        if not definition.training.learning:
            name += CONTROL
        below, folder = source.within("environment"), path.parent
        with beside(folder):
            _find_all(definition, world, source)
        return cls(name, definition, world, below, source, folder)

    def simulator(self, config: Config, make: Make = plainly) -> Simulator:
        """Define the brain, and return a simulator for it.

        Parameters
        ----------
        config : says where brains are, and whether to predict or resume; the brain's name is set.
        make : makes an Environment of its class and configuration; by default that is all it gets.
        """
        config.brain = self.brain
        brain = VersionedBrain.create(config, self.definition)
        with beside(self.folder), self.placing():
            return make_simulator(brain, self.world, self.source, make)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Tell of errors in what the file says where it stands there."""
        try:
            yield
        except ConfigError as error:
            if re.match(r"\w*", str(error))[0] not in _KEYS:  # type: ignore[index]
                raise
            raise self.whole.placed(error) from None


def _with_file(definition: BrainDefinition, folder: Path, source: Source) -> BrainDefinition:
    """Return a definition whose neurons' file, if there is one, is found from any folder."""
    neurons = definition.neurons
    if not neurons.file:
        return definition
    for item in dataclasses.fields(neurons):
        place = ("neurons", item.name)
        if item.name not in _BESIDE_FILE and place in source.lines:
            raise ConfigError(
                f"{source.at(place)}: has no effect beside neurons.file, which says what the brain"
                f" is made of: leave it out"
            )
    file = str(folder.resolve() / neurons.file)
    return dataclasses.replace(definition, neurons=dataclasses.replace(neurons, file=file))


def _find_all(definition: BrainDefinition, world: WorldSettings, source: Source) -> None:
    """Look up the class and the functions that are named, before anything is begun."""
    world_class(world, source.within("environment"))
    named: dict[tuple[str, ...], str] = {
        ("environment", "terminal"): world.terminal,
        ("reward", "potential"): definition.reward.potential,
    }
    for k, lesson in enumerate(definition.lessons):
        named["lessons", f"[{k}]", "reward"] = lesson.reward
    for path, function in named.items():
        function_at(function, source.at(path))
