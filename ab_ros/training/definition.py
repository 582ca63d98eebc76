"""What a trained brain is defined by: its simulator's schemas, its neurons, its lessons."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ab_ros.config import Source, load_yaml, parse, setting
from ab_ros.errors import ConfigError, one_of, shown
from ab_ros.training.schema import Field, Schema

METHODS = ("direct", "prediction_error")
STARTS = ("new", "latest")


@dataclass(frozen=True)
class SimulatorSettings:
    """The simulator that a brain is for; types are as ``Float32{-1:1}`` or ``Int8{0, 1}``."""

    action: dict[str, str] = setting(doc="Types of what the brain does, by name; all bounded.")
    state: dict[str, str] = setting(doc="Types of what the brain senses, by name; all bounded.")
    name: str = setting("simulator", doc="Name that the program gives its Simulator.")
    config: dict[str, str] = setting(dict, doc="Types of what a lesson sets, by name.")

    def __post_init__(self) -> None:
        if not self.action or not self.state:
            raise ConfigError("action and state: need at least one field each")
        schemas = (self.config_schema, self.action_schema, self.state_schema)
        for schema in schemas[1:]:
            for field in schema:
                if field.span is None:
                    raise ConfigError(
                        f"{schema.name}.{field.name}: {field.type} has no bounds, and neurons have"
                        f" a range: write {field.type}{{low:high}}"
                    )

    @property
    def config_schema(self) -> Schema:
        """What a lesson sets."""
        return Schema("config", self.config)

    @property
    def action_schema(self) -> Schema:
        """What the brain does."""
        return Schema("action", self.action)

    @property
    def state_schema(self) -> Schema:
        """What the brain senses; values beyond a float's bounds count as the bound."""
        return Schema("state", self.state, strict=False)


@dataclass(frozen=True)
class NeuronSettings:
    """The brain: a file, or neurons that follow from the schemas."""

    file: str = setting(
        "",
        doc="Brain file, or definition of a layered brain, to begin with; empty: neurons that"
        " follow from the schemas. In a training's file its path is taken from the folder of that."
        " Its input 'state' gets all fields in [-1, 1], one named as a"
        " field that field alone.",
    )
    cycles: int = setting(1, doc="Cycles for each step of an episode.", ge=1, le=1000)
    gamma: int = setting(20, doc="Timesteps per cycle.", ge=1, le=10_000)
    dt: float = setting(0.001, doc="Duration of a timestep.", unit="s", gt=0, le=1)
    encoder: str = setting("population", doc="Encoder of the state, by name.")
    options: dict[str, Any] = setting(dict, doc="Settings of the encoder, but its range.")
    size: int = setting(24, doc="Neurons for each alternative or direction.", ge=1, le=10_000)
    neuron: str = setting("FS", doc="Neuron type.", one_of=("RS", "FS", "IB", "CH", "LTS"))
    noise: float = setting(2.0, doc="Sigma of each neuron's noise current.", ge=0, le=1000)
    common_noise: float = setting(
        0.5,
        doc="Sigma of the noise current that the neurons of an alternative share.",
        ge=0,
        le=1000,
    )
    weight: float | None = setting(
        None,
        doc="Mean of the first weights; by default 3.2, shared by the state's fields.",
        ge=0,
        le=1000,
    )
    spread: float = setting(0.1, doc="They are uniform within weight ± spread.", ge=0, le=1000)
    rivalry: float = setting(
        0.0, doc="Weight by which alternatives inhibit each other.", ge=0, le=1000
    )
    synapse: dict[str, Any] = setting(
        dict,
        doc="Settings of the synapses that learn; by default w_max is 3 and lr 0.0025 times the"
        " mean weight.",
    )
    full_count: float = setting(
        20.0,
        doc="Spikes of balance between both directions, per step, that mean a number's bound.",
        gt=0,
        le=1e6,
    )


@dataclass(frozen=True)
class RewardSettings:
    """How a simulator's reward becomes the brain's, r in [0, 1] with 0.5 neutral.

    The reward of a step is first made x = (reward + offset) / scale, to which a terminal state adds
    ``terminal``.  ``direct`` gives r = (1 + m) / 2 with m = x, clipped to [-1, 1].
    ``prediction_error`` gives m = δ / (gain · rms of δ), clipped, where δ = x + discount · V(after)
    − V(before) is the error of a learned prediction V of what will come.

    ``shaping`` adds F = discount · Φ(after) − Φ(before) to x, where the potential Φ(s) is minus the
    sum of weight · s² over the fields named, each in [-1, 1], plus ``potential``; Φ is 0
    after a terminal state.  It tells early what leads where, and leaves the best policy what it is
    (A. Y. Ng, D. Harada and S. Russell, "Policy invariance under reward transformations", ICML,
    1999).
    """

    method: str = setting("direct", doc="What teaches.", one_of=METHODS)
    offset: float = setting(0.0, doc="Added to every reward.")
    scale: float = setting(1.0, doc="Reward that counts as 1.", gt=0)
    terminal: float = setting(0.0, doc="Added in a terminal state, in parts of the scale.")
    fading: int = setting(
        0,
        doc="Episodes after which m gets weaker, as fading / episode, so that weights settle; 0:"
        " never.",
        ge=0,
    )
    shaping: dict[str, float] = setting(
        dict, doc="Weights of the state's fields in the potential, by name."
    )
    potential: str = setting(
        "", doc="Function module:name of (state) whose value is added to the potential."
    )
    discount: float = setting(0.98, doc="Worth of a reward one step later.", ge=0, lt=1)
    trace: float = setting(0.8, doc="Decay of the prediction's trace per step.", ge=0, le=1)
    rate: float = setting(0.2, doc="Learning rate of the prediction.", gt=0, le=1)
    cells: int = setting(
        400, doc="Tuning curves that the prediction is read from.", ge=1, le=100_000
    )
    gain: float = setting(1.0, doc="Errors in their usual size that teach in full.", gt=0, le=1000)


@dataclass(frozen=True)
class LessonSettings:
    """One lesson; the curriculum is a list of them."""

    objective: str = setting("", doc="Name that the simulator sees as objective_name.")
    config: dict[str, Any] = setting(
        dict, doc="What it sets, by name: a value, or [low, high] to draw from in each episode."
    )
    reward: str = setting(
        "",
        doc="Function module:name of (state, action, after, reward, terminal) that gives this"
        " lesson's reward; empty: the simulator's own.",
    )
    success_reward: float | None = setting(
        None, doc="Reward of an episode from which on it is a success."
    )
    episodes: int = setting(0, doc="It ends after so many episodes; 0: no such end.", ge=0)
    until_success: float = setting(
        0.0, doc="It ends once this share of the last episodes succeeded; 0: no.", ge=0, le=1
    )
    until_reward: float | None = setting(
        None, doc="It ends once the last episodes' mean reward reaches this."
    )
    over: int = setting(20, doc="How many episodes 'the last' are.", ge=1, le=100_000)

    def __post_init__(self) -> None:
        if self.until_success and self.success_reward is None:
            raise ConfigError("until_success: needs success_reward")

    @property
    def ends(self) -> bool:
        """Whether it ever ends by itself."""
        return bool(self.episodes or self.until_success or self.until_reward is not None)


@dataclass(frozen=True)
class TrainingSettings:
    """How long a training is, and what it begins with."""

    episodes: int = setting(100, doc="Episodes in all.", ge=1, le=10_000_000)
    iterations: int = setting(0, doc="Steps in all; 0: no such end.", ge=0)
    max_steps: int = setting(
        0, doc="Steps after which an episode is ended, without a terminal state; 0: never.", ge=0
    )
    seed: int = setting(0, doc="Of everything that is random.", ge=0, le=2**31)
    start: str = setting(
        "new", doc="Whether to begin with a new brain or the latest version.", one_of=STARTS
    )
    learning: bool = setting(True, doc="Whether the brain learns; off, it is a control.")


@dataclass(frozen=True)
class BrainDefinition:
    """A brain to be trained."""

    simulator: SimulatorSettings = setting(doc="The simulator it is for.")
    description: str = setting("", doc="For people.")
    neurons: NeuronSettings = setting(NeuronSettings, doc="What it is made of.")
    reward: RewardSettings = setting(RewardSettings, doc="How rewards teach it.")
    training: TrainingSettings = setting(TrainingSettings, doc="How long, from what.")
    lessons: tuple[LessonSettings, ...] = setting((), doc="The curriculum, in order.")

    def __post_init__(self) -> None:
        for name, weight in self.reward.shaping.items():
            if name not in self.simulator.state:
                raise ConfigError(
                    f"reward.shaping: the state has no field {name!r};"
                    f" {one_of(self.simulator.state)}"
                )
            if not math.isfinite(weight):
                raise ConfigError(f"reward.shaping.{name}: must be finite, not {weight}")
        schema = self.simulator.config_schema
        for k, lesson in enumerate(self.curriculum):
            where = f"lessons[{k}]"
            missing = [name for name in schema.fields if name not in lesson.config]
            if missing:
                raise ConfigError(f"{where}.config: lacks {missing[0]!r} of the simulator's config")
            for name, given in lesson.config.items():
                if name not in schema.fields:
                    raise ConfigError(
                        f"{where}.config: the simulator's config has no {name!r};"
                        f" {one_of(schema.fields)}"
                    )
                _check_range(f"{where}.config.{name}", schema.fields[name], given)
            if k + 1 < len(self.curriculum) and not lesson.ends:
                raise ConfigError(
                    f"{where}: never ends, so that the next never begins: set episodes,"
                    f" until_success or until_reward"
                )

    @property
    def curriculum(self) -> tuple[LessonSettings, ...]:
        """The lessons; one without a name where none was given."""
        return self.lessons or (LessonSettings(),)


def _check_range(where: str, field: Field, given: Any) -> None:
    both = given if isinstance(given, (list, tuple)) else [given]
    try:
        read = [field.read(value, True) for value in both]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    if isinstance(given, (list, tuple)) and (len(read) != 2 or not read[0] < read[1]):
        raise ConfigError(f"{where}: must be a value, or [low, high] with low below high")


def load_definition(
    path: Path, other: tuple[str, ...] = ()
) -> tuple[BrainDefinition, Mapping[str, Any], Source]:
    """Read a brain's definition from a YAML file.

    Parameters
    ----------
    path : of the file.
    other : keys at the top level that are not the definition's own.

    Returns
    -------
    tuple
        the definition, the values of the other keys, and where they stand.

    Raises
    ------
    ConfigError
        naming file, line and key, for what does not fit.
    """
    data, source = load_yaml(path)
    rest = {key: data.pop(key) for key in other if key in data}
    return parse(BrainDefinition, data, source), rest, source


def function_at(path: str, what: str) -> Any:
    """Return the function at ``module:name``; None for an empty path.

    Parameters
    ----------
    path : of the function.
    what : it is, for messages.

    Raises
    ------
    ConfigError
        if there is none.
    """
    if not path:
        return None
    module, _, name = path.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{what}: {shown(path)} cannot be found: {error}") from None
    if not callable(found):
        raise ConfigError(f"{what}: {shown(path)} is no function")
    return found
