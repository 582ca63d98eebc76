"""Encoders by the name that a configuration calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ab_ros.codec.encoder import Encoder
from ab_ros.codec.images import SaliencyEncoder, SaliencySettings
from ab_ros.codec.joints import JointPopulationEncoder, JointPopulationSettings
from ab_ros.config import Source, parse
from ab_ros.errors import ConfigError, one_of

ENCODERS: Mapping[str, tuple[type[Any], Callable[[Any, int], Encoder]]] = {
    "saliency": (SaliencySettings, SaliencyEncoder),
    "joint_population": (JointPopulationSettings, JointPopulationEncoder),
}


def make_encoder(
    name: str,
    options: Mapping[str, Any],
    seed: int = 0,
    source: Source | None = None,
    path: tuple[str, ...] = (),
) -> Encoder:
    """Build the encoder called ``name``.

    Raises
    ------
    ConfigError
        if there is no encoder of that name, or an option is not one of its settings.
    """
    source = source or Source()
    if name not in ENCODERS:
        where = source.at((*path, "encoder"))
        raise ConfigError(f"{where}: unknown encoder {name!r}; {one_of(ENCODERS)}")
    settings, build = ENCODERS[name]
    return build(parse(settings, options, source, (*path, "options")), seed)
