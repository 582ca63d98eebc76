"""What an embedded brain is made of: its ports and its network, wherever the wiring comes from."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.architecture import (
    ArchitectureSettings,
    FeedbackSettings,
    InputSettings,
    PopulationSettings,
)
from ab_ros.brains.local import contract_of
from ab_ros.brains.wiring import build_network
from ab_ros.codec.encoder import Encoder
from ab_ros.codec.registry import make_encoder
from ab_ros.config import Source, parse
from ab_ros.contract import Contract
from ab_ros.engine.brain import Brain as EngineBrain
from ab_ros.engine.brain_file import FORMAT as RECIPE_FORMAT
from ab_ros.engine.brain_file import Attached
from ab_ros.engine.database import read_brain_file, write_brain_file
from ab_ros.engine.network import Network
from ab_ros.engine.plan import NEURONS
from ab_ros.engine.recipes import Recipe, load_recipe
from ab_ros.engine.synapses import RewardPlastic
from ab_ros.errors import BrainFileError, ConfigError

_FORMAT = "embedded-1"
_KEPT = "cycles"

Fired = Mapping[str, NDArray[np.uint8]]
Texts = Mapping[str, str]
Arrays = Mapping[str, NDArray[Any]]


class Anatomy(ABC):
    """The ports, the network and the file of an embedded brain.

    Attributes
    ----------
    gamma, feedback_timesteps : of the contract.
    baseline_cycles : time constant of the running reward baseline; 0 for none.
    inputs : by id, in the order in which encoders draw their seeds.
    outputs : sizes by id.
    feedback : by id.
    layers : STDP3 layers; an empty name stands for reward-modulated synapses without a layer, which
        the global reward teaches.
    encoders : by input.
    network : what is ticked; it has a spike source for each input and feedback.
    regulated : populations whose rates are kept in a range.
    size : neurons.
    wiring : the architecture or recipe as JSON text; equal ones have equal texts.
    """

    gamma: int
    feedback_timesteps: int
    baseline_cycles: float
    inputs: Mapping[str, InputSettings]
    outputs: Mapping[str, int]
    feedback: Mapping[str, FeedbackSettings]
    layers: tuple[str, ...]
    encoders: Mapping[str, Encoder]
    network: Network
    regulated: Mapping[str, PopulationSettings]
    size: int
    wiring: str

    @abstractmethod
    def rasters(self, fired: Fired) -> dict[str, NDArray[np.uint8]]:
        """Return the outputs' rasters, uint8[T, n], of what the network's groups fired."""

    @abstractmethod
    def watched(self, fired: Fired) -> Mapping[str, NDArray[np.uint8]]:
        """Return the populations whose rates people want to know."""

    @abstractmethod
    def save(self, path: Path, texts: Texts, arrays: Arrays) -> None:
        """Write the brain's file: wiring, the network's state, and what else was given."""

    def contract(self) -> Contract:
        """Return the contract that the ports imply."""
        return contract_of(
            self.gamma,
            self.feedback_timesteps,
            self.inputs,
            self.outputs,
            self.feedback,
            self.layers,
        )


class ArchitectureAnatomy(Anatomy):
    """A brain that is wired by settings; its weights are drawn from ``seed``."""

    def __init__(
        self, architecture: ArchitectureSettings, seed: int, source: Source | None = None
    ) -> None:
        a = architecture
        self.wiring = a.to_json()
        self.gamma, self.feedback_timesteps = a.gamma, a.feedback_timesteps
        self.baseline_cycles = a.baseline_cycles
        self.inputs, self.feedback, self.layers = a.inputs, a.feedback, a.layers
        self.outputs = {name: a.populations[name].size for name in a.outputs}
        self.encoders = _encoders(a.inputs, seed, source)
        sizes = {name: encoder.size for name, encoder in self.encoders.items()}
        self.network = build_network(a, sizes, seed, source)
        self.regulated = a.populations
        self.size = sum(population.size for population in a.populations.values())

    def rasters(self, fired: Fired) -> dict[str, NDArray[np.uint8]]:
        """Return the rasters of the populations that are outputs."""
        return {name: fired[name] for name in self.outputs}

    def watched(self, fired: Fired) -> Mapping[str, NDArray[np.uint8]]:
        """Return all populations."""
        return fired

    def save(self, path: Path, texts: Texts, arrays: Arrays) -> None:
        """Write the architecture, the network's state, and what else was given."""
        state = {f"network.{name}": array for name, array in self.network.state().items()}
        own = {"format": _FORMAT, "architecture": self.wiring}
        write_brain_file(path, {**own, **texts}, {**state, **arrays})


class RecipeAnatomy(Anatomy):
    """A brain that was built from a recipe; its section ``io`` says what joins it to a robot.

    Raises
    ------
    ConfigError
        if the recipe has no section ``io``, or one without outputs; or if an encoder is not known
        or makes another number of spike trains than the brain has.
    """

    def __init__(self, brain: EngineBrain, seed: int, where: str = "") -> None:
        plan = brain.plan
        where = where or f"recipe {plan.name!r}"
        if not plan.io or not plan.outputs:
            what = "a section 'io'" if not plan.io else "io.outputs"
            raise ConfigError(
                f"{where}: the recipe {plan.name!r} does not say what joins the brain to a robot:"
                f' add {what}, such as "io": {{"outputs": {{"move": "motor.out"}}}}, to it and'
                f" build the brain anew"
            )
        io = json.loads(plan.io)
        source, path = Source(where), ("io", "inputs")
        self.brain, self.network, self.wiring = brain, brain.network, plan.recipe
        self.gamma = int(io.get("gamma", 64))
        self.feedback_timesteps = int(io.get("feedback_timesteps", 16))
        self.baseline_cycles = float(io.get("baseline_cycles", 0.0))
        self.inputs = {
            name: parse(
                InputSettings,
                {
                    # The brain knows no topics: by default an input's is called as it is.
                    "topic": name,
                    **{key: item[key] for key in ("kind", "encoder", "options") if key in item},
                },
                source,
                (*path, name),
            )
            for name, item in sorted(io.get("inputs", {}).items())
        }
        self.feedback = {
            name: FeedbackSettings(item["size"], item["output"])
            for name, item in sorted(io.get("feedback", {}).items())
        }
        self.outputs = {name: int(neurons.size) for name, neurons in sorted(plan.outputs.items())}
        unlayered = any(
            isinstance(p.synapse, RewardPlastic) and p.layer is None for p in plan.projections
        )
        self.layers = (*plan.layers, *([""] * unlayered))
        self.encoders = _encoders(self.inputs, seed, source, path)
        sizes = {line.name: line.size for line in plan.sources}
        for name, encoder in self.encoders.items():
            if encoder.size != sizes[name]:
                raise ConfigError(
                    f"{source.at((*path, name, 'size'))}: the brain has {sizes[name]} spike"
                    f" trains, but its encoder {self.inputs[name].encoder!r} makes {encoder.size}"
                )
        self.regulated = {}
        self.size = brain.size

    def rasters(self, fired: Fired) -> dict[str, NDArray[np.uint8]]:
        """Return the rasters of the outputs' neurons, in the order of the recipe's ports."""
        outputs = self.brain.plan.outputs
        return {name: fired[NEURONS][:, outputs[name]] for name in self.outputs}

    def watched(self, fired: Fired) -> Mapping[str, NDArray[np.uint8]]:
        """Return the outputs, and all neurons."""
        return {**self.rasters(fired), **fired}

    def save(self, path: Path, texts: Texts, arrays: Arrays) -> None:
        """Write a file that is the brain's own, with what was given attached."""
        given: dict[str, Attached] = {**texts, **arrays}
        kept = {f"{_KEPT}.{name}": value for name, value in given.items()}
        others = {k: v for k, v in self.brain.attached.items() if not k.startswith(f"{_KEPT}.")}
        self.brain.attached = {**others, **kept}
        self.brain.save(path)


def build_from_recipe(recipe: str | Path, seed: int | None = None) -> EngineBrain:
    """Build a brain from a recipe whose inputs have as many spike trains as their encoders make.

    Parameters
    ----------
    recipe : name of a shipped recipe, or path of a file.
    seed : of the compilation and the noise; None takes the recipe's.

    Raises
    ------
    ConfigError
        for a recipe, encoder or option that does not fit.
    """
    read = load_recipe(recipe)
    return EngineBrain.build(read, seed, input_sizes=encoder_sizes(read))


def encoder_sizes(recipe: Recipe) -> dict[str, int]:
    """Return the number of spike trains that the encoders of a recipe's inputs make.

    Raises
    ------
    ConfigError
        for an encoder or a setting of it that there is not, or one that does not read samples of
        the input's kind.
    """
    source = Source(recipe.file)
    sizes = {}
    for line in recipe.io.inputs if recipe.io else ():
        path = ("io", "inputs", line.id)
        encoder = make_encoder(line.encoder, line.options, 0, source, path, line.kind)
        sizes[line.id] = encoder.size
    return sizes


def load_anatomy(
    path: Path, seed: int | None = None
) -> tuple[Anatomy, dict[str, str], dict[str, NDArray[Any]]]:
    """Read a brain file of either kind: its anatomy, and the texts and arrays saved beside it.

    ``seed`` is used for a brain that was never run in cycles; None takes that of its network.

    Raises
    ------
    BrainFileError
        if the file cannot be read, or holds no brain.
    ConfigError
        if the brain's recipe does not say what joins it to a robot.
    """
    content = texts, arrays = read_brain_file(path)
    if texts.get("format") == RECIPE_FORMAT:
        brain = EngineBrain.load(path, content=content)
        prefix = f"{_KEPT}."
        held = {
            name.removeprefix(prefix): value
            for name, value in brain.attached.items()
            if name.startswith(prefix)
        }
        saved = {name: value for name, value in held.items() if isinstance(value, str)}
        rest = {name: value for name, value in held.items() if not isinstance(value, str)}
        seed = int(saved.get("seed", brain.network.seed if seed is None else seed))
        return RecipeAnatomy(brain, seed, str(path)), saved, rest
    if texts.get("format") != _FORMAT:
        raise BrainFileError(
            f"{path}: holds {texts.get('format')!r}, not an embedded brain ({_FORMAT!r} or"
            f" {RECIPE_FORMAT!r})"
        )
    settings = parse(ArchitectureSettings, json.loads(texts["architecture"]), Source(str(path)))
    anatomy = ArchitectureAnatomy(settings, int(texts["seed"]))
    state = {
        name.removeprefix("network."): array
        for name, array in arrays.items()
        if name.startswith("network.")
    }
    anatomy.network.restore(state)
    return anatomy, texts, arrays


def _encoders(
    inputs: Mapping[str, InputSettings],
    seed: int,
    source: Source | None,
    path: tuple[str, ...] = ("inputs",),
) -> dict[str, Encoder]:
    return {
        name: make_encoder(i.encoder, i.options, seed + 1 + k, source, (*path, name), i.kind)
        for k, (name, i) in enumerate(inputs.items())
    }
