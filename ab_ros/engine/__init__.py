"""The spiking engine: neurons, synapses and the network that ticks them; it knows no robots."""

from ab_ros.engine.brain import Brain
from ab_ros.engine.network import Network
from ab_ros.engine.neurons import PRESETS, NeuronParameters
from ab_ros.engine.plan import Plan
from ab_ros.engine.record import Record, read_record
from ab_ros.engine.recorder import Recorder
from ab_ros.engine.synapses import (
    SYNAPSE_TYPES,
    Depressing,
    Developmental,
    Facilitating,
    Fixed,
    GapJunction,
    Gated,
    Plastic,
    RewardPlastic,
    Synapse,
)
from ab_ros.engine.wiring import Edges

__all__ = [
    "PRESETS",
    "SYNAPSE_TYPES",
    "Brain",
    "Depressing",
    "Developmental",
    "Edges",
    "Facilitating",
    "Fixed",
    "GapJunction",
    "Gated",
    "Network",
    "NeuronParameters",
    "Plan",
    "Plastic",
    "Record",
    "Recorder",
    "RewardPlastic",
    "Synapse",
    "read_record",
]
