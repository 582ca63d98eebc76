"""Building blocks: components and sub-components as JSON files, and the code that reads them."""

from ab_ros.engine.blocks.component import (
    Component,
    Node,
    Path,
    Terminal,
    component_names,
    component_of,
    load_component,
)
from ab_ros.engine.blocks.stimulus import (
    Pulse,
    Response,
    Stimulus,
    nodes_into,
    probing,
    respond,
)
from ab_ros.engine.blocks.trial import component_network

__all__ = [
    "Component",
    "Node",
    "Path",
    "Pulse",
    "Response",
    "Stimulus",
    "Terminal",
    "component_names",
    "component_network",
    "component_of",
    "load_component",
    "nodes_into",
    "probing",
    "respond",
]
