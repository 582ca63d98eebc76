"""What the catalogue shows of every shipped component: one stimulus each.

An entry is ``name: Stimulus(ticks, pulses, shows)``.  Choose it so that one glance at the raster
tells what the component does: some silence first, then the inputs one after another, with time to
see what stays when they end; 300 to 900 ticks.  ``Pulse("terminal", current, start, stop)`` is a
constant current into an input terminal; with ``period=20`` it is a spike train of that weight.
``shows`` is the line under the picture.  ``potentials=("node",)`` adds a membrane potential where
spikes alone do not tell.

    "working_memory_cell": Stimulus(
        600,
        (Pulse("set_in", 15, 50, 60), Pulse("clear_in", 15, 400, 410)),
        "ten ticks of set_in start the ring; it goes on until clear_in stops it",
    ),
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ab_ros.engine.blocks.stimulus import Pulse, Stimulus

_COMPONENTS: dict[str, Stimulus] = {}

_SUB_COMPONENTS: dict[str, Stimulus] = {}

DEMONSTRATIONS: Mapping[str, Stimulus] = MappingProxyType({**_COMPONENTS, **_SUB_COMPONENTS})
"""Stimuli by the name of the component."""

__all__ = ["DEMONSTRATIONS", "Pulse", "Stimulus"]
