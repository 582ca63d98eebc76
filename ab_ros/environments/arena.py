"""A round dish with food: concentration and gradient anywhere in it, and the distance to its wall.

All lengths are in body lengths of the animal that lives there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.config import setting
from ab_ros.errors import WorldError


@dataclass(frozen=True)
class Peak:
    """A food source whose scent falls off as a Gaussian."""

    x: float = setting(15.0, doc="Where the food lies.", unit="body lengths")
    y: float = setting(0.0, doc="Where the food lies.", unit="body lengths")
    height: float = setting(1.0, doc="Concentration at the food.", gt=0, le=1e6)
    sigma: float = setting(12.0, doc="Width of the scent.", unit="body lengths", gt=0, le=1e6)

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            if not math.isfinite(getattr(self, name)):
                raise WorldError(f"Peak.{name}: must be finite, not {getattr(self, name)}")
        for name in ("height", "sigma"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise WorldError(f"Peak.{name}: must be finite and greater than 0, not {value}")


@dataclass(frozen=True)
class ArenaSettings:
    """A round arena and its food."""

    radius: float = setting(
        30.0, doc="Radius of the wall around the origin.", unit="body lengths", gt=0, le=1e6
    )
    peaks: tuple[Peak, ...] = setting(lambda: (Peak(),), doc="The food sources.")

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise WorldError(
                f"ArenaSettings.radius: must be finite and greater than 0, not {self.radius}"
            )
        if not self.peaks:
            raise WorldError("ArenaSettings.peaks: must name at least one food source")
        for index, peak in enumerate(self.peaks):
            distance = math.hypot(peak.x, peak.y)
            if distance >= self.radius:
                raise WorldError(
                    f"ArenaSettings.peaks[{index}]: ({peak.x:g}, {peak.y:g}) lies {distance:g} from"
                    f" the centre, but must lie inside the wall at {self.radius:g}"
                )


class Arena:
    """The concentration field C(p) = Σ height · exp(−|p − food|² / 2σ²) inside a round wall.

    Parameters
    ----------
    settings : radius and food sources.

    Attributes
    ----------
    food : float64[peaks, 2], body lengths.
    """

    def __init__(self, settings: ArenaSettings | None = None) -> None:
        self.settings = settings or ArenaSettings()
        self.radius = self.settings.radius
        peaks = self.settings.peaks
        self.food = np.array([(peak.x, peak.y) for peak in peaks])
        self._height = np.array([peak.height for peak in peaks])
        self._exponent = np.array([-0.5 / peak.sigma**2 for peak in peaks])

    def concentration(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return C, float64[…], at points float[…, 2]."""
        return self.sample(points)[0]

    def gradient(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return ∇C, float64[…, 2] per body length, at points float[…, 2]."""
        return self.sample(points)[1]

    def sample(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return C, float64[…], and ∇C, float64[…, 2], at points float[…, 2].

        Raises
        ------
        WorldError
            if the points do not have two coordinates each.
        """
        offset = _points(points)[..., None, :] - self.food
        squared = offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1]
        parts = self._height * np.exp(self._exponent * squared)
        gradient = ((2.0 * self._exponent * parts)[..., None] * offset).sum(axis=-2)
        return np.asarray(parts.sum(axis=-1)), gradient

    def food_distance(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the distance to the nearest food, float64[…], from points float[…, 2]."""
        offset = _points(points)[..., None, :] - self.food
        return np.asarray(np.hypot(offset[..., 0], offset[..., 1]).min(axis=-1))

    def wall_distance(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the distance to the wall, float64[…]; negative beyond it."""
        where = _points(points)
        return np.asarray(self.radius - np.hypot(where[..., 0], where[..., 1]))


def _points(points: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(points, np.float64)
    if array.ndim < 1 or array.shape[-1] != 2:
        raise WorldError(f"arena: points must have the form […, 2], not {list(array.shape)}")
    return array
