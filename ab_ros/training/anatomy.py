"""The architecture of a brain that follows from a simulator's schemas."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.config import Source, parse
from ab_ros.errors import ConfigError
from ab_ros.training.definition import NeuronSettings, SimulatorSettings

STATE = "state"
"""The input that gets all fields of the state."""

_SYNAPSE = {
    "w_min": 0.0,
    "tau_trace": 10.0,
    "tau_eligible": 25.0,
}
_DRIVE = 3.2  # with _OPTIONS, a mean current at which FS neurons answer to more and to less
_OPTIONS = {"cells": 10, "max_rate": 400.0, "width": 1.0}


def architecture_for(
    simulator: SimulatorSettings, neurons: NeuronSettings, source: Source | None = None
) -> ArchitectureSettings:
    """Return an architecture that senses the state and does the action.

    The state, each field from -1 at its lowest to 1 at its highest value, is encoded by one
    population.  An action's field with alternatives has a population for each of them, all of which
    may inhibit each other; another one has a population of two opponent halves, for up and down.
    Synapses from the state to each of these learn from the reward.  Each alternative and each
    direction has an STDP3 layer of its own, so that a reward teaches what was done, and what was
    not done the opposite.

    Raises
    ------
    ConfigError
        naming the setting, for what does not fit.
    """
    where = source or Source()
    for key in ("values", "lower", "upper"):
        if key in neurons.options:
            raise ConfigError(
                f"{where.at(('options', key))}: follows from the schema of the state, and cannot be"
                f" set"
            )
    options: dict[str, Any] = {"values": len(simulator.state), "lower": -1.0, "upper": 1.0}
    if neurons.encoder == "population":
        options.update(_OPTIONS)
    options.update(neurons.options)
    population: dict[str, Any] = {
        "neuron": neurons.neuron,
        "noise": neurons.noise,
        "common_noise": neurons.common_noise,
        "output": True,
    }
    weight = neurons.weight
    if weight is None:
        weight = _DRIVE / len(simulator.state)
    derived = {"lr": 0.0025 * weight, "w_max": 3.0 * weight}
    synapse = {**_SYNAPSE, **derived, **neurons.synapse}
    populations: dict[str, Any] = {}
    projections: dict[str, Any] = {}
    for field in simulator.action_schema:
        names = outputs_of(field.name, len(field.alternatives))
        for name in names:
            halves = len(names) == 1
            populations[name] = {
                **population,
                "size": neurons.size * (2 if halves else 1),
                "parts": 2 if halves else 1,
            }
            for part, layer in zip(("first_half", "second_half"), halves_of(name), strict=True):
                projections[f"{STATE}_{layer if halves else name}"] = {
                    "source": STATE,
                    "target": name,
                    "target_part": part if halves else "all",
                    "layer": layer if halves else name,
                    "synapse": "reward_plastic",
                    "weight": weight,
                    "spread": neurons.spread,
                    "options": synapse,
                }
        if not neurons.rivalry:
            continue
        rivals = {"weight": -neurons.rivalry}
        if len(names) == 1:
            projections[f"{names[0]}_rivals"] = {
                **rivals,
                "source": names[0],
                "target": names[0],
                "pattern": "opponent_halves",
            }
        for one, other in permutations(names, 2):
            projections[f"{one}_{other}"] = {**rivals, "source": one, "target": other}
    return parse(
        ArchitectureSettings,
        {
            "gamma": neurons.gamma,
            "feedback_timesteps": neurons.gamma,
            "inputs": {
                STATE: {
                    "kind": "Vector",
                    "topic": STATE,
                    "encoder": neurons.encoder,
                    "options": options,
                }
            },
            "populations": populations,
            "projections": projections,
        },
        source,
    )


_PLACES = (
    (r"inputs\.state\.", "neurons."),
    (r"projections\.\w+: options\.", "neurons.synapse."),
    (r"projections\.\w+: RewardPlastic\.", "neurons.synapse."),
    (r"projections\.\w+: projection '\w+': weights", "neurons.weight: they"),
)
"""What an architecture's errors begin with, and what that is in a definition."""


def as_neurons(sentence: str) -> str:
    """Return what is wrong with an architecture as what is wrong with a definition's neurons."""
    for pattern, place in _PLACES:
        match = re.match(pattern, sentence)
        if match is not None:
            return f"{place}{sentence[match.end() :]}"
    return f"neurons: {sentence}"


def outputs_of(field: str, alternatives: int) -> tuple[str, ...]:
    """Return the names of an action field's populations: one for each alternative, or one for all.

    A field with a single alternative has one, as a field without any.
    """
    if alternatives < 2:
        return (field,)
    return tuple(f"{field}_{k}" for k in range(alternatives))


def halves_of(output: str) -> tuple[str, str]:
    """Return the names of the layers of an output's halves, the one for up first."""
    return f"{output}_up", f"{output}_down"
