"""Encoders by the name that a configuration calls them, and the kinds of samples they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.codec.audio import SpectrumEncoder, SpectrumSettings
from ab_ros.codec.encoder import Encoder
from ab_ros.codec.images import SaliencyEncoder, SaliencySettings
from ab_ros.codec.joints import JointPopulationEncoder, JointPopulationSettings
from ab_ros.codec.numbers import (
    PopulationEncoder,
    PopulationSettings,
    RateSettings,
    ScalarRateEncoder,
)
from ab_ros.config import Source, parse
from ab_ros.errors import ConfigError, one_of


@dataclass(frozen=True)
class EncoderType:
    """An encoder: its settings, how it is made, and the kinds of samples that it reads."""

    settings: type[Any]
    build: Callable[[Any, int], Encoder]
    kinds: tuple[str, ...]


_NUMBERS = ("Scalar", "Vector")
ENCODERS: Mapping[str, EncoderType] = {
    "saliency": EncoderType(SaliencySettings, SaliencyEncoder, ("Image",)),
    "joint_population": EncoderType(
        JointPopulationSettings, JointPopulationEncoder, ("Proprioception",)
    ),
    "spectrum": EncoderType(SpectrumSettings, SpectrumEncoder, ("Audio",)),
    "rate": EncoderType(RateSettings, ScalarRateEncoder, _NUMBERS),
    "population": EncoderType(PopulationSettings, PopulationEncoder, _NUMBERS),
}


def make_encoder(
    name: str,
    options: Mapping[str, Any],
    seed: int = 0,
    source: Source | None = None,
    path: tuple[str, ...] = (),
    kind: str = "",
) -> Encoder:
    """Build the encoder called ``name``.

    Parameters
    ----------
    name : one of :data:`ENCODERS`.
    options : its settings.
    seed : of the phases of its trains.
    source, path : where the choice was read, for messages.
    kind : of the samples it will get; empty if that is not known.

    Raises
    ------
    ConfigError
        if there is no encoder of that name, it does not read samples of that kind, or an option is
        not one of its settings.
    """
    source = source or Source()
    where = source.at((*path, "encoder"))
    if name not in ENCODERS:
        raise ConfigError(f"{where}: unknown encoder {name!r}; {one_of(ENCODERS)}")
    encoder = ENCODERS[name]
    if kind and kind not in encoder.kinds:
        fit = [other for other, it in ENCODERS.items() if kind in it.kinds]
        raise ConfigError(
            f"{where}: {name!r} reads {' or '.join(encoder.kinds)}, not {kind!r}; {one_of(fit)}"
            if fit
            else f"{where}: no encoder reads samples of the kind {kind!r}; {one_of(KINDS)}"
        )
    return encoder.build(parse(encoder.settings, options, source, (*path, "options")), seed)


KINDS = tuple(dict.fromkeys(kind for encoder in ENCODERS.values() for kind in encoder.kinds))
"""Kinds of samples that encoders read."""
