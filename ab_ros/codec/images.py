"""Encoders of camera images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.encoder import RateEncoder
from ab_ros.codec.trains import code_setting
from ab_ros.config import setting
from ab_ros.errors import ObservationError, one_of
from ab_ros.values import Observation

_CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0)}


@dataclass(frozen=True)
class SaliencySettings:
    """Colour saliency on a grid of ON cells."""

    width: int = setting(16, doc="Columns of the grid of cells.", ge=1, le=512)
    height: int = setting(12, doc="Rows of the grid of cells.", ge=1, le=512)
    colour: str = setting(
        "red", doc="Colour that stands out.", one_of=("red", "green", "blue", "bright")
    )
    blur: float = setting(0.6, doc="Gaussian blur on the grid, sigma.", unit="cells", ge=0.0, le=10)
    threshold: float = setting(
        0.02, doc="Image is empty when no cell is more salient (0 to 1).", ge=0.0, le=1.0
    )
    total_rate: float = setting(
        2800.0, doc="Rate of all cells together when something is seen.", unit="Hz", gt=0, le=1e6
    )
    max_rate: float = setting(400.0, doc="Highest rate of one cell.", unit="Hz", gt=0, le=1000)
    code: str = code_setting()


def pixels(observation: Observation) -> NDArray[np.uint8]:
    """Return the image of an observation as uint8[H, W, C], checked.

    Raises
    ------
    ObservationError
        if the format is unknown or the array does not have that form.
    """
    image = observation.data
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise ObservationError(f"input {observation.id!r}: an image must be an array of uint8")
    if observation.format == "mono8" and image.ndim == 2:
        return image[:, :, None]
    if observation.format not in _CHANNELS and observation.format != "mono8":
        raise ObservationError(
            f"input {observation.id!r}: image format {observation.format!r} is not known;"
            f" {one_of((*_CHANNELS, 'mono8'))}"
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ObservationError(
            f"input {observation.id!r}: a {observation.format} image must have the form [H, W, 3],"
            f" not {list(image.shape)}"
        )
    return image


def saliency(image: NDArray[np.uint8], order: tuple[int, ...], colour: str) -> NDArray[np.float32]:
    """Return how much each pixel stands out, float32[H, W] in [0, 1].

    A colour's saliency is its channel minus the larger of the other two, at least 0 (colour
    opponency: Itti, Koch & Niebur, A model of saliency-based visual attention, 1998).
    """
    if image.shape[2] == 1 or colour == "bright":
        return (image.max(axis=2) / np.float32(255)).astype(np.float32)
    planes = [image[:, :, channel] for channel in order]
    mine = planes.pop(("red", "green", "blue").index(colour))
    return cv2.subtract(mine, cv2.max(planes[0], planes[1])).astype(np.float32) / np.float32(255)


def colour_saliency(observation: Observation, colour: str) -> NDArray[np.float32]:
    """Return the :func:`saliency` of an image's pixels, float32[H, W].

    Raises
    ------
    ObservationError
        as :func:`pixels`.
    """
    return saliency(pixels(observation), _CHANNELS.get(observation.format, (0, 1, 2)), colour)


def brightness(observation: Observation, width: int, height: int) -> NDArray[np.float32]:
    """Return how bright an image is on a grid of cells, float32[height, width] in [0, 1].

    Colours count by the weights of ITU-R BT.601: 0.299 red, 0.587 green, 0.114 blue.

    Raises
    ------
    ObservationError
        if the image cannot be read, or is smaller than the grid.
    """
    image = pixels(observation)
    _check_grid(observation, image, width, height)
    if image.shape[2] == 1:
        grey = image[:, :, 0]
    elif observation.format == "bgr8":
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[assignment]
    else:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    # As floats, or the mean of a cell would be rounded to one of 256 levels.
    small = cv2.resize(grey.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _check_grid(
    observation: Observation, image: NDArray[np.uint8], width: int, height: int
) -> None:
    if image.shape[0] < height or image.shape[1] < width:
        raise ObservationError(
            f"input {observation.id!r}: an image of {image.shape[1]}x{image.shape[0]} is"
            f" smaller than the encoder's grid of {width}x{height}"
        )


class SaliencyEncoder(RateEncoder):
    """Where a colour stands out in the image, as the rates of ON cells on a grid.

    The saliency is a pixel's colour opponency (L. Itti, C. Koch and E. Niebur, "A model of
    saliency-based visual attention for rapid scene analysis", IEEE PAMI 20, 1998).  It is averaged
    to ``width`` × ``height`` cells, blurred, and its *sum* is normalised: a near or a far object
    gives as many spikes.
    """

    settings_type = SaliencySettings
    kinds = ("Image",)

    def __init__(self, settings: SaliencySettings, seed: int = 0) -> None:
        self.settings = settings
        super().__init__(settings.width * settings.height, seed, settings.code)

    def rates(self, observation: Observation) -> NDArray[np.float64]:
        """Return the cells' rates, float64[size] in Hz, row by row from the upper left."""
        s = self.settings
        image = pixels(observation)
        _check_grid(observation, image, s.width, s.height)
        # On the small image first: averaging commutes with all but the opponency's cut at 0, and
        # the grid needs no more than a few pixels per cell.
        across, down = 4 * s.width, 4 * s.height
        if image.shape[1] > 2 * across and image.shape[0] > 2 * down:
            image = cv2.resize(image, (2 * across, 2 * down), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            image = image if image.ndim == 3 else image[:, :, None]
        order = _CHANNELS.get(observation.format, (0, 1, 2))
        grid = cv2.resize(
            saliency(image, order, s.colour), (s.width, s.height), interpolation=cv2.INTER_AREA
        )
        if float(grid.max()) <= s.threshold:
            return np.zeros(self.size)
        if s.blur > 0:
            grid = cv2.GaussianBlur(grid, (0, 0), s.blur, borderType=cv2.BORDER_CONSTANT)
        flat = grid.reshape(-1).astype(np.float64)
        return np.asarray(np.minimum(flat * (s.total_rate / flat.sum()), s.max_rate))
