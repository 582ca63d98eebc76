"""What a recipe says, as checked, immutable values; :mod:`.reader` makes them of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ab_ros.engine.blocks.component import Component, Terminal
from ab_ros.engine.synapses import SYNAPSE_TYPES, Synapse


@dataclass(frozen=True)
class Entry:
    """Instances of one component.

    Parameters
    ----------
    name : unique in the recipe.
    component : the circuit.
    count : instances.
    layer : of all instances.
    extent : width and depth of the area over which they spread; None takes the layer's.
    center : middle of that area.
    """

    name: str
    component: Component
    count: int
    layer: int = 0
    extent: tuple[float, float] | None = None
    center: tuple[float, float] = (0.0, 0.0)

    @property
    def type(self) -> str:
        """Name of the component."""
        return self.component.name


@dataclass(frozen=True)
class Port:
    """A terminal of one or more entries of the same component.

    ``instances`` are the chosen ones, start to stop, counted through all entries; None means all.
    """

    entries: tuple[Entry, ...]
    terminal: Terminal
    instances: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        """Number of instances."""
        if self.instances is not None:
            return self.instances[1] - self.instances[0]
        return sum(entry.count for entry in self.entries)


@dataclass(frozen=True)
class Projection:
    """Synapses from the neurons of one terminal to those of another.

    ``where`` is the place in the recipe, for messages; for all else see the schema.
    """

    name: str
    where: str
    source: Port
    target: Port
    synapse: Synapse
    weight: float = 8.0
    weight_spread: float = 0.0
    probability: float = 0.8
    delay: int = 1
    pattern: Literal["random", "one_to_one", "shift"] = "random"
    offset: int = 0
    layer: str | None = None
    modulator: Port | None = None


@dataclass(frozen=True)
class Wiring:
    """Crosswiring by proximity; for the parameters see the schema."""

    where: str
    enabled: bool = True
    max_distance: float = 20.0
    probability: float = 0.3
    weight_scale: float = 1.0
    inhibition_fraction: float = 0.3
    type_aware_inhibition: bool = True
    protected_triggers: bool = True
    auto_timers: bool = False
    timer_ticks: int = 500
    timer_weight: float = 30.0
    excluded_inputs: tuple[str, ...] = ()
    excitatory: Synapse = field(default_factory=SYNAPSE_TYPES["fixed"])
    inhibitory: Synapse = field(default_factory=SYNAPSE_TYPES["fixed"])
    layer: str | None = None


@dataclass(frozen=True)
class Line:
    """What comes from outside: an input, or a feedback if ``output`` says what it is about."""

    id: str
    where: str
    target: Port
    size: int | None
    weight: float
    probability: float
    kind: str = ""
    encoder: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""
    pattern: Literal["random", "one_to_one"] = "random"


@dataclass(frozen=True)
class Interface:
    """What joins the brain to a robot; inputs, outputs and feedback are sorted by id."""

    gamma: int = 64
    feedback_timesteps: int = 16
    inputs: tuple[Line, ...] = ()
    outputs: Mapping[str, tuple[Port, ...]] = field(default_factory=dict)
    feedback: tuple[Line, ...] = ()
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A brain's description, checked; :func:`~.compiler.compile_recipe` makes a plan of it.

    Parameters
    ----------
    name, description, seed, layer_spacing, instance_spacing : see the schema.
    entries, projections : in the order of the recipe.
    wiring : None if there is no crosswiring.
    io : None if the recipe has none.
    text : the document as canonical JSON: keys sorted, no spaces.
    file : where it was read from, for messages.
    """

    name: str
    description: str
    seed: int
    layer_spacing: float
    instance_spacing: float
    entries: tuple[Entry, ...]
    projections: tuple[Projection, ...]
    wiring: Wiring | None
    io: Interface | None
    text: str
    file: str = ""
