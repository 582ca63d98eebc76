"""Serving an embedded brain over the 0.1 protocol: runs, their clients, and what they learned."""

from ab_ros.server.serving import BrainServer
from ab_ros.server.settings import ServerSettings

__all__ = ["BrainServer", "ServerSettings"]
