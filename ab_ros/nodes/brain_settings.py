"""The brain node's settings: which brain, at which pace, and where it is kept."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.remote.settings import RemoteSettings
from ab_ros.config import parse, setting
from ab_ros.errors import ConfigError
from ab_ros.nodes.brain_inputs import SensorSettings, check_feeds, feeds_of_file, feeds_of_settings


@dataclass(frozen=True)
class ServiceSettings(RemoteSettings):
    """A remote brain of a robot on ROS."""

    state_topic: str = setting(
        "",
        doc="Topic of the joint states that are sent as the robot's state; empty: that of the first"
        " input of the kind Proprioception.",
    )
    fresh: bool = setting(
        False,
        doc="Begin with the brain as the service's own file has it, not with what the project has"
        " learned; once, when the node is configured.",
    )
    seed: int | None = setting(
        None, doc="Begin with a dynamic state of this seed; once, as fresh.", ge=0
    )


@dataclass(frozen=True)
class BrainSettings:
    """The brain node."""

    architecture: ArchitectureSettings | None = setting(
        None, doc="How a new embedded brain is wired; a brain file brings its own wiring."
    )
    inputs: dict[str, SensorSettings] = setting(
        dict, doc="Where the inputs of a brain file, or of a remote brain, come from, by input."
    )
    backend: str = setting(
        "embedded",
        doc="embedded: the brain is in this node; remote: a service has it, as 'remote' says.",
        one_of=("embedded", "remote"),
    )
    remote: ServiceSettings | None = setting(
        None, doc="Where the service of a remote brain is, and how it is spoken with."
    )
    pacing: str = setting(
        "realtime",
        doc="realtime: a cycle every T·dt; lockstep: as fast as the robot's simulation goes.",
        one_of=("realtime", "lockstep"),
    )
    dt: float = setting(
        0.001,
        doc="Duration of a timestep; of a remote brain, where its service does not say.",
        unit="s",
        gt=0,
        le=1,
    )
    seed: int = setting(1, doc="Seed of weights, noise and phases of an embedded brain.", ge=0)
    file: str = setting(
        "",
        doc="Brain file to go on from, of a spiking or a layered brain, or the JSON definition of a"
        " layered one; empty: a new brain.",
    )
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
        doc="In lockstep, and with a gated remote brain: how long cycle_done and reward are awaited"
        " before it goes on without.",
        unit="s",
        gt=0,
        le=60,
        live=True,
    )
    stop_at_cycle: int = setting(
        0, doc="Pause before this cycle of the run; 0: never.", ge=0, live=True
    )
    not_before: float = setting(
        0.0,
        doc="In lockstep: the next cycle waits for samples of this robot time or later, such as a"
        " simulation shows after it was reset; 0: for any that are new.",
        unit="s",
        ge=0,
        live=True,
    )


def check_wiring(settings: BrainSettings) -> None:
    """Refuse settings without a wiring, with one that cannot be built, or without a service.

    Raises
    ------
    ConfigError
        which says what is missing or wrong.
    """
    if settings.backend == "remote":
        _check_remote(settings)
    elif settings.architecture is not None:
        _try_to_wire(settings.architecture.to_json())
        if settings.inputs:
            raise ConfigError("inputs: are for a brain file; give them in 'architecture'")
        where = "architecture.inputs"
        feeds = feeds_of_file(settings.architecture.inputs, {}, where=where)
        check_feeds(feeds, settings.pacing == "lockstep", where)
    elif not settings.file:
        raise ConfigError(
            "architecture: is missing: give it, or in 'file' the path of a brain file"
        )


def _check_remote(settings: BrainSettings) -> None:
    if settings.remote is None:
        raise ConfigError("remote: is missing: give the service's 'url' and the 'project' there")
    if settings.file:
        raise ConfigError("file: is for an embedded brain; a service keeps its brains itself")
    if settings.pacing == "lockstep" and settings.remote.pacing != "gated":
        raise ConfigError(
            f"remote.pacing: must be 'gated' in lockstep, not {settings.remote.pacing!r}"
        )
    inputs = settings.architecture.inputs if settings.architecture is not None else {}
    feeds = feeds_of_settings(settings.inputs, inputs)
    check_feeds(feeds, settings.pacing == "lockstep")


@functools.lru_cache(maxsize=1)
def _try_to_wire(architecture: str) -> None:
    """Build the brain of an architecture (JSON) once: live changes of other settings are many."""
    try:
        EmbeddedBrain(parse(ArchitectureSettings, json.loads(architecture)))
    except ConfigError as error:
        raise ConfigError(f"architecture.{error}") from None
