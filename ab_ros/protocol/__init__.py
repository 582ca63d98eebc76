"""The 0.1 protocol between a robot and a brain elsewhere: addresses, keys, messages, formats."""

from ab_ros.protocol.endpoint import CALLS, NAMESPACE, SOCKET_PATH, Endpoint, Realtime, origin_of
from ab_ros.protocol.keys import Key, read_key
from ab_ros.protocol.messages import (
    EXTENSIONS,
    Chunk,
    CycleExecuted,
    CycleUpdate,
    Join,
    Message,
    NeedAsked,
    NeedItem,
    NeedReceived,
    RewardGiven,
    RobotState,
    RunState,
    Save,
    SetLearning,
    Started,
    contract_to_wire,
)

__all__ = [
    "CALLS",
    "EXTENSIONS",
    "NAMESPACE",
    "SOCKET_PATH",
    "Chunk",
    "CycleExecuted",
    "CycleUpdate",
    "Endpoint",
    "Join",
    "Key",
    "Message",
    "NeedAsked",
    "NeedItem",
    "NeedReceived",
    "Realtime",
    "RewardGiven",
    "RobotState",
    "RunState",
    "Save",
    "SetLearning",
    "Started",
    "contract_to_wire",
    "origin_of",
    "read_key",
]
