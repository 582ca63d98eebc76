"""Sensors of a layered brain, which encode samples into bits, and feedback, its teacher."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.brains.architecture import InputSettings
from ab_ros.codec.encoder import Encoder
from ab_ros.codec.readings import QUANTITIES, NumberSettings
from ab_ros.codec.registry import ENCODERS, make_encoder
from ab_ros.config import Source, parse
from ab_ros.errors import ConfigError, ObservationError, one_of
from ab_ros.layered.neuron import check_name
from ab_ros.layered.numerical import BLOCK_ENCODERS, block_encoder
from ab_ros.layered.source import LARGEST, Emitter, shape_of
from ab_ros.values import Observation


class Sensor(Emitter):
    """Turns samples into bits, which neurons read as they read other neurons.

    Parameters
    ----------
    encoder : a :class:`~ab_ros.layered.numerical.SimpleEncoder` or
        :class:`~ab_ros.layered.numerical.CyclicEncoder`, or any encoder of :mod:`ab_ros.codec`: the
        spikes of a timestep are the bits of a tick.  Every brain has a copy of its own.
    name : of the brain's input; empty: ``sensor``.
    kind : of its samples; empty: what the encoder reads.
    topic : that its samples come from on ROS; empty: the name.
    max_age : s; older samples are not shown to the brain.
    """

    def __init__(
        self,
        encoder: Encoder,
        name: str = "",
        *,
        kind: str = "",
        topic: str = "",
        max_age: float = 0.5,
    ) -> None:
        super().__init__((encoder.size,), name and check_name("name", name))
        self.encoder = encoder
        self.kind = kind or _kind_of(encoder)
        if self.kind not in encoder.kinds:
            raise ConfigError(f"kind: the encoder reads no {kind!r}; {one_of(encoder.kinds)}")
        self.topic, self.max_age = topic, max_age
        self._chosen: tuple[str, dict[str, Any]] | None = None
        self._given: InputSettings | None = None

    @classmethod
    def of_settings(
        cls, name: str, data: Mapping[str, Any], source: Source, path: tuple[str, ...]
    ) -> Sensor:
        """Make a sensor from a definition's mapping of :class:`InputSettings`.

        Raises
        ------
        ConfigError
            with the key, for what does not fit.
        """
        given = {"topic": name, **data}
        settings = parse(InputSettings, given, source, path)
        at = (*path, "options")
        if settings.encoder in BLOCK_ENCODERS:
            encoder_class = BLOCK_ENCODERS[settings.encoder]
            options = parse(encoder_class.settings_type, settings.options, source, at)
            _check_kind(settings, options, source, path)
            encoder: Encoder = block_encoder(settings.encoder, options)
        else:
            encoder = make_encoder(
                settings.encoder, settings.options, 0, source, path, settings.kind
            )
        sensor = cls(
            encoder, name, kind=settings.kind, topic=settings.topic, max_age=settings.max_age
        )
        sensor._chosen = settings.encoder, dict(settings.options)
        sensor._given = settings
        return sensor

    def settings(self, name: str) -> InputSettings:
        """Return the sensor as the settings of an input."""
        encoder, options = self._chosen or _chosen_of(self.encoder) or ("(unnamed)", {})
        own: dict[str, Any] = {
            "kind": self.kind,
            "topic": self.topic or name,
            "encoder": encoder,
            "options": options,
            "max_age": self.max_age,
        }
        return InputSettings(**own) if self._given is None else replace(self._given, **own)

    def check_named(self) -> None:
        """Refuse an encoder that no name stands for: what has one cannot be saved.

        Raises
        ------
        ConfigError
            which says which encoders have names.
        """
        if not (self._chosen or _chosen_of(self.encoder)):
            raise ConfigError(
                f"the encoder {type(self.encoder).__name__} cannot be saved: it has no name that a"
                f" definition could call it; {one_of((*BLOCK_ENCODERS, *ENCODERS))}"
            )

    def encode(self, value: ArrayLike) -> NDArray[np.bool_]:
        """Return the bits of a value, or of an array that is one sample, bool[size].

        Raises
        ------
        ObservationError
            if the encoder refuses it.
        """
        return np.asarray(self.encoder.encode(self.sample(value), 1, 1.0)[0] > 0)

    def sample(self, value: Any, name: str = "", stamp: float = 0.0) -> Observation:
        """Return a value as the sample of an input; one that is an observation stays as it is."""
        if isinstance(value, Observation):
            return value
        name = name or self.name
        settings = getattr(self.encoder, "settings", None)
        if isinstance(settings, NumberSettings) and settings.joints:
            numbers = np.asarray(value, np.float64).reshape(-1)
            if numbers.size != len(settings.joints):
                raise ObservationError(
                    f"input {name!r}: needs a value for each of the joints"
                    f" {', '.join(settings.joints)} (got {numbers.size})"
                )
            states = np.full((3, numbers.size), np.nan)
            states[QUANTITIES.index(settings.quantity)] = numbers
            names = {"names": settings.joints}
            return Observation(name, self.kind, stamp, "joint_state", states, names)
        return Observation(name, self.kind, stamp, "numbers", np.asarray(value))


class Feedback(Emitter):
    """Bits that deviations set (:mod:`ab_ros.learning.feedback`): a teacher's voice.

    Parameters
    ----------
    size : bits.
    name : of the brain's feedback.
    output : group that it is about.
    """

    def __init__(self, size: int, name: str, output: str) -> None:
        super().__init__(shape_of(size, f"feedback {name!r}: size"), check_name("name", name))
        if size > min(100_000, LARGEST):
            raise ConfigError(f"feedback {name!r}: size must be at most 100000 (got {size})")
        self.output = check_name("output", output)


def _kind_of(encoder: Encoder) -> str:
    settings = getattr(encoder, "settings", None)
    if not isinstance(settings, NumberSettings):
        return encoder.kinds[0]
    if settings.joints:
        return "Proprioception"
    return "Scalar" if settings.count == 1 else "Vector"


def _check_kind(
    settings: InputSettings, options: NumberSettings, source: Source, path: tuple[str, ...]
) -> None:
    allowed = ("Proprioception",) if options.joints else ("Scalar", "Vector")
    if settings.kind not in allowed:
        raise ConfigError(
            f"{source.at((*path, 'kind'))}: {settings.encoder!r}"
            f" {'with' if options.joints else 'without'} joints reads {' or '.join(allowed)}, not"
            f" {settings.kind!r}"
        )


def _chosen_of(encoder: Encoder) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the options by which an encoder can be made again, if it has a name."""
    settings: Any = getattr(encoder, "settings", None)
    for registry in (BLOCK_ENCODERS, ENCODERS):
        for name, encoder_class in registry.items():
            if type(encoder) is encoder_class and dataclasses.is_dataclass(settings):
                # Through JSON, so that tuples are lists, as in a definition that was read.
                return name, json.loads(json.dumps(dataclasses.asdict(settings)))  # type: ignore[arg-type]
    return None
