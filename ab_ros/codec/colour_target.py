"""Where something of a colour is, seen from the camera: a target for tasks, without a simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.images import colour_saliency
from ab_ros.errors import ConfigError
from ab_ros.values import Observation


@dataclass(frozen=True)
class Lens:
    """A pinhole camera with distortion, as in sensor_msgs/CameraInfo.

    Parameters
    ----------
    matrix : the 3x3 intrinsic matrix K, row by row, in px.
    distortion : coefficients of ``plumb_bob`` or ``rational_polynomial``; none: no distortion.

    Raises
    ------
    ConfigError
        if K has no focal length: the camera is not calibrated.
    """

    matrix: tuple[float, ...]
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.matrix) != 9 or not all(map(math.isfinite, (*self.matrix, *self.distortion))):
            raise ConfigError(f"the intrinsic matrix must be 9 numbers, not {list(self.matrix)}")
        if not (self.matrix[0] > 0.0 and self.matrix[4] > 0.0):
            raise ConfigError("the intrinsic matrix has no focal length: calibrate the camera")

    @classmethod
    def of_view(cls, width: int, height: int, horizontal: float) -> Lens:
        """Return the lens of a view of ``horizontal`` rad, in the middle of the image."""
        focal = width / 2 / math.tan(horizontal / 2)
        return cls((focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0))

    def ray(self, column: float, row: float) -> tuple[float, float, float]:
        """Return the unit vector to a pixel in the optical frame: x right, y down, z forward."""
        matrix = np.array(self.matrix, np.float64).reshape(3, 3)
        point = np.array([[[column, row]]], np.float64)
        x, y = cv2.undistortPoints(point, matrix, np.array(self.distortion, np.float64)).reshape(2)
        length = math.sqrt(float(x * x + y * y + 1.0))
        return float(x) / length, float(y) / length, 1.0 / length


def find_colour(
    observation: Observation, colour: str, threshold: float, least: float
) -> tuple[float, float] | None:
    """Return the centre of what is of a colour, (column, row) in px; None if there is too little.

    Pixels count by their colour opponency, as :func:`ab_ros.codec.images.saliency` has it.

    Parameters
    ----------
    threshold : opponency below which a pixel does not count, 0 to 1.
    least : share of the image's pixels that must count.

    Raises
    ------
    ObservationError
        if the observation is no image that can be read.
    """
    strength: NDArray[np.float32] = colour_saliency(observation, colour)
    strength[strength < threshold] = 0.0
    if np.count_nonzero(strength) < max(1.0, least * strength.size):
        return None
    columns, rows = strength.sum(axis=0, dtype=np.float64), strength.sum(axis=1, dtype=np.float64)
    total = float(columns.sum())
    return (
        float(columns @ np.arange(columns.size)) / total,
        float(rows @ np.arange(rows.size)) / total,
    )
