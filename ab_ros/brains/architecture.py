"""How an embedded brain is wired, as settings: inputs, populations, projections, feedback."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ab_ros.brains.intake import KINDS, IntakeSettings, check_intake
from ab_ros.codec.sound_window import RATE, SoundSettings, SoundWindow
from ab_ros.config import setting
from ab_ros.engine import SYNAPSE_TYPES
from ab_ros.errors import ConfigError, one_of

NEURON_TYPES = ("RS", "FS", "IB", "CH", "LTS")
PATTERNS = ("all_to_all", "one_to_one", "opponent_halves")
PARTS = ("all", "first_half", "second_half")


@dataclass(frozen=True, kw_only=True)
class InputSettings(IntakeSettings):
    """One sensor input of the brain."""

    kind: str = setting(doc="What it is; decides the message type of the topic.", one_of=KINDS)
    topic: str = setting(doc="Topic that it comes from.")
    max_age: float = setting(
        0.5, doc="Older samples are not shown to the brain.", unit="s", gt=0, le=60
    )
    encoder: str = setting(doc="Encoder that turns it into spikes, by name.")
    options: dict[str, Any] = setting(dict, doc="Settings of the encoder.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_intake(self)

    @property
    def sound_rate(self) -> int:
        """Sample rate of sound for the encoder, Hz."""
        rate = self.options.get("rate", RATE)
        return rate if isinstance(rate, int) else RATE  # what is wrong, the encoder says

    def sound_window(self) -> SoundWindow:
        """Return a window for the input's sound."""
        return (self.sound or SoundSettings()).window(self.sound_rate)


@dataclass(frozen=True)
class PopulationSettings:
    """A population of Izhikevich neurons."""

    size: int = setting(doc="Neurons.", ge=1, le=1_000_000)
    neuron: str = setting("RS", doc="Neuron type.", one_of=NEURON_TYPES)
    noise: float = setting(0.0, doc="Sigma of each neuron's own noise current.", ge=0, le=1000)
    common_noise: float = setting(
        0.0, doc="Sigma of the noise current that a part's neurons share.", ge=0, le=1000
    )
    parts: int = setting(1, doc="Equal parts for common_noise.", ge=1, le=1_000_000)
    bias: float = setting(0.0, doc="Constant current.", ge=-1000, le=1000)
    output: bool = setting(False, doc="Whether its spikes leave the brain.")
    min_rate: float = setting(
        0.0, doc="Mean rate below which the drive is raised; 0: no check.", unit="Hz", ge=0, le=1000
    )
    max_rate: float = setting(
        1000.0, doc="Mean rate above which the drive is lowered.", unit="Hz", gt=0, le=1000
    )

    def __post_init__(self) -> None:
        if self.size % self.parts:
            raise ConfigError(f"parts: must divide size ({self.parts} does not divide {self.size})")
        if self.min_rate >= self.max_rate:
            raise ConfigError(f"min_rate: must be below max_rate ({self.min_rate})")


@dataclass(frozen=True)
class ProjectionSettings:
    """Synapses from an input, feedback or population to a population."""

    source: str = setting(doc="Input, feedback or population that it comes from.")
    target: str = setting(doc="Population that it goes to.")
    weight: float = setting(doc="Mean initial weight.", ge=-1000, le=1000)
    synapse: str = setting("fixed", doc="Synapse type.", one_of=tuple(SYNAPSE_TYPES))
    pattern: str = setting(
        "all_to_all",
        doc="Which pairs are connected; opponent_halves joins each half to the other.",
        one_of=PATTERNS,
    )
    target_part: str = setting("all", doc="Part of the target that is reached.", one_of=PARTS)
    spread: float = setting(
        0.0, doc="Initial weights are uniform within weight ± spread.", ge=0, le=1000
    )
    probability: float = setting(1.0, doc="Share of the pairs that is connected.", gt=0, le=1)
    delay: int = setting(1, doc="Delay.", unit="timesteps", ge=1, le=10_000)
    layer: str = setting("", doc="STDP3 layer whose reward it learns from (reward_plastic).")
    options: dict[str, Any] = setting(dict, doc="Settings of the synapse type.")

    def __post_init__(self) -> None:
        if (self.synapse == "reward_plastic") != bool(self.layer):
            raise ConfigError(
                f"layer: is required for a reward_plastic synapse and for no other"
                f" (synapse is {self.synapse!r}, layer is {self.layer!r})"
            )


@dataclass(frozen=True)
class FeedbackSettings:
    """One feedback of the brain, fed by deviations."""

    size: int = setting(doc="Neurons.", ge=1, le=100_000)
    output: str = setting(doc="Output population that it is about.")


@dataclass(frozen=True)
class ArchitectureSettings:
    """A whole embedded brain."""

    gamma: int = setting(64, doc="Timesteps per cycle.", ge=1, le=10_000)
    feedback_timesteps: int = setting(128, doc="Timesteps of a deviation.", ge=1, le=10_000)
    baseline_cycles: float = setting(
        0.0, doc="Time constant of the running reward baseline; 0: none.", ge=0, le=100_000
    )
    inputs: dict[str, InputSettings] = setting(dict, doc="Inputs by id.")
    populations: dict[str, PopulationSettings] = setting(dict, doc="Populations by id.")
    projections: dict[str, ProjectionSettings] = setting(dict, doc="Projections by name.")
    feedback: dict[str, FeedbackSettings] = setting(dict, doc="Feedback by id.")

    def __post_init__(self) -> None:
        # ROS hands parameters over in an order of its own; seeds are drawn in this one.
        for part in ("inputs", "populations", "projections", "feedback"):
            object.__setattr__(self, part, dict(sorted(getattr(self, part).items())))
        names = [*self.inputs, *self.populations, *self.feedback]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigError(
                f"an input, a population and a feedback share the name {min(twice)!r}"
            )
        if not any(population.output for population in self.populations.values()):
            raise ConfigError("populations: at least one needs output: true")
        for name, projection in self.projections.items():
            if projection.source not in names:
                raise ConfigError(
                    f"projections.{name}.source: {projection.source!r} is not known;"
                    f" {one_of(names)}"
                )
            if projection.target not in self.populations:
                raise ConfigError(
                    f"projections.{name}.target: {projection.target!r} is not a population;"
                    f" {one_of(self.populations)}"
                )
        for name, feedback in self.feedback.items():
            if feedback.output not in self.outputs:
                raise ConfigError(
                    f"feedback.{name}.output: {feedback.output!r} is not an output;"
                    f" {one_of(self.outputs)}"
                )

    def to_json(self) -> str:
        """Return the settings as JSON text; equal architectures give equal texts."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Ids of the output populations."""
        return tuple(name for name, p in self.populations.items() if p.output)

    @property
    def layers(self) -> tuple[str, ...]:
        """STDP3 layers, in order of first appearance."""
        return tuple(dict.fromkeys(p.layer for p in self.projections.values() if p.layer))
