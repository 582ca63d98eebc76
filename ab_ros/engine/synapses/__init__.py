"""Synapse types, one module each: parameters with bounds, and the rule that they follow."""

from __future__ import annotations

from ab_ros.engine.synapses.depressing import Depressing
from ab_ros.engine.synapses.developmental import Developmental
from ab_ros.engine.synapses.facilitating import Facilitating
from ab_ros.engine.synapses.fixed import Fixed
from ab_ros.engine.synapses.gap_junction import GapJunction
from ab_ros.engine.synapses.gated import Gated
from ab_ros.engine.synapses.plastic import Plastic
from ab_ros.engine.synapses.reward_plastic import RewardPlastic
from ab_ros.engine.synapses.rule import Synapse
from ab_ros.errors import EngineError, one_of

SYNAPSE_TYPES: dict[str, type[Synapse]] = {
    cls.type_name: cls
    for cls in (
        Fixed,
        Plastic,
        RewardPlastic,
        Facilitating,
        Depressing,
        GapJunction,
        Gated,
        Developmental,
    )
}
"""Synapse types by the name that recipes use."""


def synapse_parameters(synapse: str | Synapse, where: str = "synapse") -> Synapse:
    """Return the default parameters of a type's name, or ``synapse`` itself.

    Raises
    ------
    EngineError
        if the name is not a synapse type's.
    """
    if isinstance(synapse, Synapse):
        return synapse
    if synapse not in SYNAPSE_TYPES:
        raise EngineError(f"{where}: unknown synapse type {synapse!r}; {one_of(SYNAPSE_TYPES)}")
    return SYNAPSE_TYPES[synapse]()


__all__ = [
    "SYNAPSE_TYPES",
    "Depressing",
    "Developmental",
    "Facilitating",
    "Fixed",
    "GapJunction",
    "Gated",
    "Plastic",
    "RewardPlastic",
    "Synapse",
    "synapse_parameters",
]
