"""The brain behind HTTP and Socket.IO: a link that holds, and the Brain port over it."""

from ab_ros.brains.remote.brain import RemoteBrain
from ab_ros.brains.remote.link import Link
from ab_ros.brains.remote.membership import LinkEvent, LinkState
from ab_ros.brains.remote.settings import JointInputSettings, RemoteSettings

__all__ = [
    "JointInputSettings",
    "Link",
    "LinkEvent",
    "LinkState",
    "RemoteBrain",
    "RemoteSettings",
]
