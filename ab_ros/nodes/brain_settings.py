"""The brain node's settings, and where the samples of a brain's inputs come from."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import Image, JointState

from ab_ros.brains.architecture import ArchitectureSettings, InputSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import parse, setting
from ab_ros.errors import ConfigError, one_of
from ab_ros.msg import AudioChunk
from ab_ros.nodes.robot_messages import read_audio, read_image, read_joint_state
from ab_ros.values import Observation

READERS: Mapping[str, tuple[type[Any], Callable[[Any, str], Observation]]] = {
    "Image": (Image, read_image),
    "Proprioception": (JointState, read_joint_state),
    "Audio": (AudioChunk, read_audio),
}
"""By kind of sample: the message of its topic, and what reads it."""


@dataclass(frozen=True)
class SensorSettings:
    """Where the samples of an input of a brain file come from."""

    topic: str = setting("", doc="Topic; empty: what the file says, or the input's own name.")
    max_age: float = setting(
        0.5, doc="Older samples are not shown to the brain.", unit="s", gt=0, le=60
    )


@dataclass(frozen=True)
class BrainSettings:
    """The brain node."""

    architecture: ArchitectureSettings | None = setting(
        None, doc="How a new embedded brain is wired; a brain file brings its own wiring."
    )
    inputs: dict[str, SensorSettings] = setting(
        dict, doc="Where the inputs of a brain file come from, by input."
    )
    backend: str = setting("embedded", doc="Which brain.", one_of=("embedded",))
    pacing: str = setting(
        "realtime",
        doc="realtime: a cycle every T·dt; lockstep: as fast as the robot's simulation goes.",
        one_of=("realtime", "lockstep"),
    )
    dt: float = setting(0.001, doc="Duration of a timestep.", unit="s", gt=0, le=1)
    seed: int = setting(1, doc="Seed of weights, noise and phases.", ge=0)
    file: str = setting("", doc="Brain file to go on from; empty: a new brain.")
    save_file: str = setting(
        "brain.db",
        doc="Where ~/save, autosave and the end of a run save the brain; empty: nowhere.",
        live=True,
    )
    autosave: float = setting(
        60.0,
        doc="Time between automatic saves while it learns; 0: none.",
        unit="s",
        ge=0,
        live=True,
    )
    learning: bool = setting(True, doc="Whether rewards change synapses.", live=True)
    wait_for_reward: bool = setting(
        False, doc="In lockstep: whether a critic's reward is awaited.", live=True
    )
    answer_timeout: float = setting(
        2.0,
        doc="In lockstep: how long cycle_done and reward are awaited before it goes on without.",
        unit="s",
        gt=0,
        le=60,
        live=True,
    )
    stop_at_cycle: int = setting(
        0, doc="Pause before this cycle of the run; 0: never.", ge=0, live=True
    )


def check_wiring(settings: BrainSettings) -> None:
    """Refuse settings without a wiring, or with one that cannot be built.

    Raises
    ------
    ConfigError
        which says what is missing or wrong.
    """
    if settings.architecture is not None:
        _try_to_wire(settings.architecture.to_json())
        if settings.inputs:
            raise ConfigError("inputs: are for a brain file; give them in 'architecture'")
    elif not settings.file:
        raise ConfigError(
            "architecture: is missing: give it, or in 'file' the path of a brain file"
        )


def wired_inputs(
    inputs: Mapping[str, InputSettings], settings: BrainSettings
) -> dict[str, InputSettings]:
    """Return a brain's inputs, with the topics and ages of the settings.

    Raises
    ------
    ConfigError
        for an input that the brain does not have, or one whose samples no topic carries.
    """
    wired = dict(inputs)
    for name, given in settings.inputs.items():
        if name not in wired:
            raise ConfigError(
                f"inputs.{name}: the brain in {settings.file} has no such input;"
                f" {one_of(wired or ['(none)'])}"
            )
        topic = given.topic or wired[name].topic
        wired[name] = dataclasses.replace(wired[name], topic=topic, max_age=given.max_age)
    for name, item in wired.items():
        if item.kind not in READERS:
            raise ConfigError(
                f"inputs.{name}: no topic carries samples of the kind {item.kind!r};"
                f" {one_of(READERS)}"
            )
    return wired


@functools.lru_cache(maxsize=1)
def _try_to_wire(architecture: str) -> None:
    """Build the brain of an architecture (JSON) once: live changes of other settings are many."""
    try:
        EmbeddedBrain(parse(ArchitectureSettings, json.loads(architecture)))
    except ConfigError as error:
        raise ConfigError(f"architecture.{error}") from None
