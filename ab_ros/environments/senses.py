"""What a worm in an arena senses: a current for every kind of sensor, by its name."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.environments.arena import Arena
from ab_ros.environments.worm import Worm
from ab_ros.errors import WorldError, one_of

KINDS = ("chemical", "mechanical", "thermal")
PLACES = ("head", "body", "tail")
RESPONSES = ("ON", "OFF", "tonic")
SIDES = ("left", "right", "bilateral")
SHAPE = (len(KINDS), len(PLACES), len(RESPONSES), len(SIDES))


@dataclass(frozen=True)
class Sensor:
    """The name of a sensor: what it senses, where, to which change, and on which side."""

    kind: str
    place: str
    response: str = "tonic"
    side: str = "bilateral"

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED:
            value = getattr(self, name)
            if value not in allowed:
                raise WorldError(f"Sensor.{name}: unknown {value!r}; {one_of(allowed)}")

    @property
    def index(self) -> int:
        """Its place among the currents of :meth:`SensoryDrive.currents`."""
        index = 0
        for name, allowed in _ALLOWED:
            index = index * len(allowed) + allowed.index(getattr(self, name))
        return index


_ALLOWED = (("kind", KINDS), ("place", PLACES), ("response", RESPONSES), ("side", SIDES))

SENSORS = tuple(Sensor(*names) for names in itertools.product(KINDS, PLACES, RESPONSES, SIDES))
"""All sensors, in the order of their currents."""


@dataclass(frozen=True)
class SensorySettings:
    """How concentration, touch and rest become currents."""

    tonic: float = setting(
        2.5, doc="Current of chemical and thermal sensors at rest.", ge=0, le=1000
    )
    gain: float = setting(10.0, doc="Current per unit of concentration.", ge=0, le=1e6)
    adaptation: float = setting(
        100.0,
        doc="Current of ON (+) and OFF (-) sensors per unit of concentration above what they are"
        " adapted to.",
        ge=0,
        le=1e6,
    )
    adaptation_time: float = setting(
        1.0, doc="Time in which sensors adapt.", unit="s", gt=0, le=1000
    )
    lateral: float = setting(
        100.0,
        doc="Current of left (+) and right (-) sensors per unit of concentration and body length,"
        " across the body.",
        ge=0,
        le=1e6,
    )
    touch: float = setting(15.0, doc="Current of mechanical sensors at the wall.", ge=0, le=1000)
    touch_range: float = setting(
        1.0, doc="Distance from the wall at which touch begins.", unit="body lengths", gt=0, le=10
    )


class SensoryDrive:
    """Currents of all sensors of a worm, tick by tick.

    - *chemical*: ``tonic + gain·C``; ON sensors add ``adaptation·(C − C̄)`` and OFF sensors
      subtract it, where C̄ follows C with ``adaptation_time``; left sensors add ``lateral·∂C`` and
      right ones subtract it, where ∂C is the slope of C towards the worm's left.
    - *mechanical*: ``touch·p`` where p rises from 0 at ``touch_range`` to 1 at the wall; ON sensors
      adapt to p, OFF sensors feel its end; sensors of one side feel the wall on their side only,
      by the cosine of its direction to the sensor's.
    - *thermal*: ``tonic``; the arena has one temperature.

    The head's sensors sit at its tip, the body's in the middle, the tail's at its tip.  No current
    is below 0.

    Parameters
    ----------
    arena : where the worm is.
    settings : gains and time constants.
    dt : s, length of a tick.
    blind : feel nothing of the arena: chemical and thermal sensors have their tonic current, and
        mechanical ones none.  This is the control without sensors.
    """

    def __init__(
        self,
        arena: Arena,
        settings: SensorySettings | None = None,
        *,
        dt: float = 0.001,
        blind: bool = False,
    ) -> None:
        self.arena = arena
        self.settings = s = settings or SensorySettings()
        self.blind = blind
        self._rate = -math.expm1(-dt / s.adaptation_time)
        self._adapted: NDArray[np.float64] | None = None
        self._currents = np.zeros(SHAPE)
        self._currents[0] = self._currents[2] = s.tonic
        self._change = np.array((1.0, -1.0, 0.0))[:, None]
        self._left = np.array((1.0, -1.0, 0.0))
        self.concentration = 0.0
        """C at the head's tip at the last tick."""

    def reset(self) -> None:
        """Forget what the sensors are adapted to."""
        self._adapted = None

    def currents(self, worm: Worm) -> NDArray[np.float64]:
        """Return the currents of this tick, float64[81], in the order of :data:`SENSORS`.

        The array is overwritten by the next call.
        """
        s = self.settings
        where = worm.sensor_points
        left = worm.sensor_normals
        concentration, gradient = self.arena.sample(where)
        self.concentration = float(concentration[0])
        if self.blind:
            return self._currents.reshape(-1)
        across = (gradient * left).sum(axis=1)
        from_centre = np.hypot(where[:, 0], where[:, 1])
        pressure = np.clip(1.0 - (self.arena.radius - from_centre) / s.touch_range, 0.0, 1.0)
        felt = np.stack((concentration, pressure))
        if self._adapted is None:
            self._adapted = felt.copy()
        self._adapted += self._rate * (felt - self._adapted)
        change = felt - self._adapted
        chemical, mechanical, _ = self._currents
        np.add(
            (s.tonic + s.gain * concentration)[:, None, None]
            + (s.adaptation * change[0])[:, None, None] * self._change,
            (s.lateral * across)[:, None, None] * self._left,
            out=chemical,
        )
        np.maximum(chemical, 0.0, out=chemical)
        if felt[1].any() or change[1].any():
            facing = (where * left).sum(axis=1) / np.maximum(from_centre, 1e-9)
            by_side = np.maximum(facing[:, None] * self._left, 0.0)
            by_side[:, 2] = 1.0
            mechanical[:, 0] = (s.touch * np.maximum(change[1], 0.0))[:, None] * by_side
            mechanical[:, 1] = (s.touch * np.maximum(-change[1], 0.0))[:, None] * by_side
            mechanical[:, 2] = (s.touch * pressure)[:, None] * by_side
        else:
            mechanical[:] = 0.0
        return self._currents.reshape(-1)

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what has to be saved for the next currents to come out the same."""
        return {} if self._adapted is None else {"adapted": self._adapted.copy()}

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Take back what :meth:`state` returned."""
        self._adapted = np.array(state["adapted"], np.float64) if "adapted" in state else None
