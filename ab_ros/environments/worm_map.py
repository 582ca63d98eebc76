"""Which neurons of a brain move a worm's segments, and which feel its senses.

A map file (YAML or JSON) names ports of a brain: ``body`` rows lay the instances of a component
along the segments, ``sensors`` rows give all neurons of a port the current of one sensor.  The map
that ships with ab_ros, ``worm_map.yaml``, goes by the names that its recipes use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import Source, load_yaml, parse, setting
from ab_ros.engine.brain import Brain
from ab_ros.engine.brain_file import BODY_MAP, SENSOR_MAP
from ab_ros.engine.plan import Plan
from ab_ros.environments.senses import KINDS, PLACES, RESPONSES, SIDES
from ab_ros.environments.worm import SEGMENTS
from ab_ros.errors import ConfigError, EngineError

Row = TypeVar("Row")
STANDARD_MAP = Path(__file__).with_name("worm_map.yaml")


@dataclass(frozen=True)
class BodyRow:
    """Neurons that contract muscles.

    Instance i of n of the component is laid on segment ``first + i·(stop − first) // n``.
    """

    ports: str = setting(doc="Neurons, as component.terminal or component.node.")
    side: str = setting(doc="Side of the muscles.", one_of=("dorsal", "ventral"))
    effect: str = setting(
        "excitatory", doc="Whether they contract or relax.", one_of=("excitatory", "inhibitory")
    )
    segments: tuple[int, ...] = setting(
        (0, SEGMENTS), doc="First segment, and one past the last.", ge=0, le=SEGMENTS
    )

    def __post_init__(self) -> None:
        if len(self.segments) != 2 or self.segments[0] >= self.segments[1]:
            raise ConfigError(
                f"segments: must be [first, stop] with 0 <= first < stop <= {SEGMENTS}"
                f" (got {list(self.segments)})"
            )


@dataclass(frozen=True)
class SensorRow:
    """Neurons that get the current of a sensor."""

    ports: str = setting(doc="Neurons, as component.terminal or component.node.")
    kind: str = setting(doc="What is sensed.", one_of=KINDS)
    place: str = setting(doc="Where.", one_of=PLACES)
    response: str = setting("tonic", doc="To what.", one_of=RESPONSES)
    side: str = setting("bilateral", doc="On which side.", one_of=SIDES)


@dataclass(frozen=True)
class WormMap:
    """The rows of a map file, and where it was read."""

    body: tuple[BodyRow, ...]
    sensors: tuple[SensorRow, ...]
    file: str


def load_worm_map(path: Path = STANDARD_MAP) -> WormMap:
    """Read a map file.

    Raises
    ------
    ConfigError
        naming file, line and row, for anything that does not fit.
    """
    data, source = load_yaml(path)
    for key in data:
        if key not in ("body", "sensors"):
            raise ConfigError(f"{source.at((str(key),))}: unknown key; one of: body, sensors")
    return WormMap(
        _rows(BodyRow, data, "body", source), _rows(SensorRow, data, "sensors", source), str(path)
    )


def _rows(cls: type[Row], data: Mapping[str, Any], key: str, source: Source) -> tuple[Row, ...]:
    given = data.get(key)
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{source.at((key,))}: must be a list of rows (got {given!r})")
    where = source.at((key,))
    return tuple(parse(cls, row, Source(f"{where}[{n}]")) for n, row in enumerate(given))


def prepare(brain: Brain, worm_map: WormMap | None = None) -> None:
    """Set the body map and the sensor map of a brain; rows that match nothing are skipped.

    Raises
    ------
    ConfigError
        if no row of the body, or none of the sensors, matches the brain.
    """
    worm_map = worm_map or load_worm_map()
    body = [part for row in worm_map.body for part in _body_part(brain.plan, row)]
    sensors = [part for row in worm_map.sensors for part in _sensor_part(brain.plan, row)]
    for name, parts, rows in (
        ("body", body, worm_map.body),
        ("sensors", sensors, worm_map.sensors),
    ):
        if not parts:
            ports = ", ".join(dict.fromkeys(row.ports for row in rows))
            raise ConfigError(
                f"{worm_map.file}: {name}: brain {brain.plan.name!r} has none of these ports:"
                f" {ports}. Its components: {', '.join(b.name for b in brain.plan.blocks)}"
            )
    brain.set_maps(np.concatenate(body), np.concatenate(sensors))


def _neurons(plan: Plan, ports: str) -> NDArray[np.int64]:
    try:
        return plan.neurons_of(ports)
    except EngineError:
        return np.empty(0, np.int64)


def _body_part(plan: Plan, row: BodyRow) -> list[NDArray[np.void]]:
    neurons = _neurons(plan, row.ports)
    if not neurons.size:
        return []
    first, stop = row.segments
    _, order = np.unique(plan.instance[neurons], return_inverse=True)
    part = np.empty(neurons.size, BODY_MAP)
    part["neuron"] = neurons
    part["segment"] = first + order * (stop - first) // (int(order.max()) + 1)
    part["side"], part["effect"] = row.side, row.effect
    return [part]


def _sensor_part(plan: Plan, row: SensorRow) -> list[NDArray[np.void]]:
    neurons = _neurons(plan, row.ports)
    if not neurons.size:
        return []
    part = np.empty(neurons.size, SENSOR_MAP)
    part["neuron"] = neurons
    for name in ("kind", "place", "response", "side"):
        part[name] = getattr(row, name)
    return [part]
