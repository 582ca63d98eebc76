"""Encoders by the name that a configuration calls them, and the kinds of samples they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, cast

from ab_ros.codec.audio import SpectrumEncoder
from ab_ros.codec.bits import CyclicEncoder, ScalarEncoder
from ab_ros.codec.change import ChangeEncoder, ImageChangeEncoder
from ab_ros.codec.encoder import Encoder
from ab_ros.codec.images import SaliencyEncoder
from ab_ros.codec.joints import JointPopulationEncoder
from ab_ros.codec.latency import LatencyEncoder
from ab_ros.codec.nef import NefEncoder
from ab_ros.codec.numbers import PopulationEncoder, ScalarRateEncoder
from ab_ros.codec.plugins import blaming, load_plugin, plugin_names
from ab_ros.codec.readings import NumberSettings
from ab_ros.config import Source, parse
from ab_ros.errors import ConfigError, one_of

ENCODERS: Mapping[str, type[Encoder]] = {
    "saliency": SaliencyEncoder,
    "joint_population": JointPopulationEncoder,
    "spectrum": SpectrumEncoder,
    "rate": ScalarRateEncoder,
    "population": PopulationEncoder,
    "latency": LatencyEncoder,
    "change": ChangeEncoder,
    "image_change": ImageChangeEncoder,
    "scalar": ScalarEncoder,
    "cyclic": CyclicEncoder,
    "nef": NefEncoder,
}
"""Encoders that come with ab_ros; a plug-in cannot take their names, so that a brain file means the
same everywhere."""

KINDS = tuple(dict.fromkeys(kind for encoder in ENCODERS.values() for kind in encoder.kinds))
"""Kinds of samples that they read."""


def find_encoder(name: str, where: str = "encoder") -> type[Encoder]:
    """Return the encoder class of a name, of ours or of a plug-in.

    Parameters
    ----------
    name : one of :data:`ENCODERS`, or of the plug-ins (:mod:`ab_ros.codec.plugins`).
    where : it was chosen, for messages.

    Raises
    ------
    ConfigError
        if there is no encoder of that name, or it is a plug-in that cannot be used.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    try:
        encoder = load_plugin(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error.__cause__
    if encoder is None:
        known = dict.fromkeys((*ENCODERS, *plugin_names()))
        raise ConfigError(f"{where}: unknown encoder {name!r}; {one_of(known)}")
    return encoder


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
    name : one of :data:`ENCODERS`, or of the plug-ins (:mod:`ab_ros.codec.plugins`).
    options : its settings.
    seed : of the phases of its trains.
    source, path : where the choice was read, for messages.
    kind : of the samples it will get; empty if that is not known.

    Raises
    ------
    ConfigError
        if there is no encoder of that name, it does not read samples of that kind, or an option is
        not one of its settings; or if a plug-in fails.
    """
    source = source or Source()
    where = source.at((*path, "encoder"))
    encoder = find_encoder(name, where)
    if kind and kind not in encoder.kinds:
        fit = [other for other, it in ENCODERS.items() if kind in it.kinds]
        raise ConfigError(
            f"{where}: {name!r} reads {' or '.join(encoder.kinds)}, not {kind!r}; {one_of(fit)}"
            if fit
            else f"{where}: no encoder reads samples of the kind {kind!r}; {one_of(KINDS)}"
        )
    at = (*path, "options")
    with nullcontext() if name in ENCODERS else blaming(name, where):
        settings = parse(encoder.settings_type, options, source, at)
        if isinstance(settings, NumberSettings):
            _check_joints(settings, kind, source.at((*at, "joints")))
        made = cast(Callable[[Any, int], Encoder], encoder)(settings, seed)
        if not isinstance(made.size, int) or made.size < 1:
            raise ValueError(f"size must be an integer of at least 1, not {made.size!r}")
    return made


def _check_joints(settings: NumberSettings, kind: str, where: str) -> None:
    if kind == "Proprioception" and not settings.joints:
        raise ConfigError(f"{where}: must name the joints whose states are encoded")
    if kind not in ("", "Proprioception") and settings.joints:
        raise ConfigError(f"{where}: samples of the kind {kind!r} have no joints")
