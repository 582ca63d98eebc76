"""From an architecture's settings to a network of the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.brains.architecture import ArchitectureSettings, ProjectionSettings
from ab_ros.config import Source
from ab_ros.engine.network import Network
from ab_ros.engine.synapses import SYNAPSE_TYPES, Synapse
from ab_ros.errors import ConfigError, EngineError, one_of


def build_network(
    architecture: ArchitectureSettings,
    input_sizes: Mapping[str, int],
    seed: int,
    source: Source | None = None,
) -> Network:
    """Build the network of an architecture; weights are drawn from ``seed``.

    ``input_sizes`` is {input: neurons of its encoder}.

    Raises
    ------
    ConfigError
        for a projection that cannot be wired, naming file and key.
    """
    source = source or Source()
    network = Network(seed=seed)
    size = {name: feedback.size for name, feedback in architecture.feedback.items()}
    size.update(input_sizes)
    for name in (*architecture.inputs, *architecture.feedback):
        network.add_source(name, size[name])
    for name, population in architecture.populations.items():
        size[name] = population.size
        network.add_neurons(
            name,
            population.size,
            population.neuron,
            noise=population.noise,
            bias=population.bias,
            common_noise=population.common_noise,
            common_groups=population.parts,
        )
    for index, (name, projection) in enumerate(architecture.projections.items()):
        where = ("projections", name)
        sizes = size[projection.source], size[projection.target]
        try:
            connected = _pairs(projection, *sizes)
            rng = np.random.default_rng([seed, index])
            low, high = projection.weight - projection.spread, projection.weight + projection.spread
            weight = rng.uniform(low, high, sizes)
            connected &= rng.random(sizes) < projection.probability
            if not connected.any():
                raise ConfigError("connects no pair of neurons")
            network.connect(
                name,
                projection.source,
                projection.target,
                _synapse(projection),
                weight=np.where(connected, weight, np.nan),
                delay=projection.delay,
                layer=projection.layer or None,
            )
        except (ConfigError, EngineError) as error:
            raise ConfigError(f"{source.at(where)}: {error}") from None
    try:
        return network.build()
    except EngineError as error:
        raise ConfigError(f"{source.at(('projections',))}: {error}") from None


def _synapse(projection: ProjectionSettings) -> Synapse:
    kind: Any = SYNAPSE_TYPES[projection.synapse]
    allowed = [field.name for field in dataclasses.fields(kind)]
    for key in projection.options:
        if key not in allowed:
            raise ConfigError(
                f"options.{key}: is not a setting of a {projection.synapse} synapse;"
                f" {one_of(allowed)}"
            )
    synapse: Synapse = kind(**projection.options)
    return synapse


def _pairs(projection: ProjectionSettings, pre: int, post: int) -> NDArray[np.bool_]:
    """Return which pairs are connected, bool[pre, post]."""
    pairs = np.zeros((pre, post), bool)
    half_pre, half_post = pre // 2, post // 2
    if projection.pattern == "all_to_all":
        pairs[:] = True
    elif projection.pattern == "one_to_one":
        if pre != post:
            raise ConfigError(f"pattern one_to_one: sizes differ ({pre} and {post})")
        np.fill_diagonal(pairs, True)
    else:
        pairs[:half_pre, half_post:] = True
        pairs[half_pre:, :half_post] = True
    if projection.target_part == "first_half":
        pairs[:, half_post:] = False
    elif projection.target_part == "second_half":
        pairs[:, :half_post] = False
    return pairs
