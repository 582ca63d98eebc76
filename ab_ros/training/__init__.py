"""Episodes: brains are trained with simulators, asked for actions, and recorded; without ROS.

>>> from ab_ros.training import Config, Predictor, Simulator, VersionedBrain
"""

from ab_ros.training.config import Config
from ab_ros.training.definition import BrainDefinition, load_definition
from ab_ros.training.episodes import EpisodeError
from ab_ros.training.events import (
    EpisodeFinishEvent,
    EpisodeStartEvent,
    Event,
    FinishedEvent,
    SimulateEvent,
    UnknownEvent,
)
from ab_ros.training.logger import Logger
from ab_ros.training.records import RecordWriter, read_record
from ab_ros.training.schema import Message, Schema, SchemaError
from ab_ros.training.simulator import Predictor, Simulator
from ab_ros.training.versions import VersionedBrain

__all__ = [
    "BrainDefinition",
    "Config",
    "EpisodeError",
    "EpisodeFinishEvent",
    "EpisodeStartEvent",
    "Event",
    "FinishedEvent",
    "Logger",
    "Message",
    "Predictor",
    "RecordWriter",
    "Schema",
    "SchemaError",
    "SimulateEvent",
    "Simulator",
    "UnknownEvent",
    "VersionedBrain",
    "load_definition",
    "read_record",
]
