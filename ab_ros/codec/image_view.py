"""What of an image an encoder gets to see: a region, at a size, of one channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ab_ros.config import setting
from ab_ros.errors import ConfigError, ObservationError, one_of
from ab_ros.values import Observation, read_only

_COLOURS = ("red", "green", "blue")
_TO_RGB = {"bgr8": cv2.COLOR_BGR2RGB, "mono8": cv2.COLOR_GRAY2RGB}
_TO_GREY = {"rgb8": cv2.COLOR_RGB2GRAY, "bgr8": cv2.COLOR_BGR2GRAY}
_LARGEST = 4096  # pixels of a side, of what is resized
_FORMATS = ("rgb8", "bgr8", "mono8", "depth32")


@dataclass(frozen=True)
class ImageView:
    """Region, size and channel of an image, applied in this order."""

    x: int = setting(0, doc="First column of the region.", unit="pixels", ge=0, le=65535)
    y: int = setting(0, doc="First row of the region.", unit="pixels", ge=0, le=65535)
    width: int = setting(
        0, doc="Columns of the region; 0: to the right edge.", unit="pixels", ge=0, le=65535
    )
    height: int = setting(
        0, doc="Rows of the region; 0: to the lower edge.", unit="pixels", ge=0, le=65535
    )
    resize_width: int = setting(
        0,
        doc="Columns of the result; 0: as resize_height asks for, or those of the region.",
        unit="pixels",
        ge=0,
        le=_LARGEST,
    )
    resize_height: int = setting(
        0,
        doc="Rows of the result; 0: as resize_width asks for, or those of the region.",
        unit="pixels",
        ge=0,
        le=_LARGEST,
    )
    channel: str = setting(
        "",
        doc="rgb; grey (luminance), red, green or blue as a grey image; depth: a depth image as a"
        " grey one, white at near and black from far on and where nothing came back; empty: as it"
        " is.",
        one_of=("", "rgb", "grey", *_COLOURS, "depth"),
    )
    near: float = setting(0.2, doc="Depth that is white.", unit="m", ge=0, le=1000)
    far: float = setting(5.0, doc="Depth from which on it is black.", unit="m", gt=0, le=1000)

    def __post_init__(self) -> None:
        if self.near >= self.far:
            raise ConfigError(f"near: must be below far ({self.near:g} is not below {self.far:g})")

    @property
    def whole(self) -> bool:
        """Whether it leaves images as they are."""
        sizes = (self.x, self.y, self.width, self.height, self.resize_width, self.resize_height)
        return not any(sizes) and not self.channel


def apply_view(observation: Observation, view: ImageView) -> Observation:
    """Return what a view shows of an image; the other parts of the observation stay.

    Parameters
    ----------
    observation : format ``rgb8`` or ``bgr8`` (uint8[H, W, 3]), ``mono8`` (uint8[H, W]), or
        ``depth32`` (float32[H, W] in m, NaN where nothing came back).
    view : what is seen of it.

    Returns
    -------
    Observation
        Of the channel ``rgb`` in the format ``rgb8``, of the others in ``mono8``.  Colours and
        greys are averaged where an image shrinks and interpolated where it grows; of depths the
        nearest pixel's is taken, for a mean of two things at two depths is where nothing is.

    Raises
    ------
    ObservationError
        if it is no such image, the region reaches over its edge, or it has no such channel.
    """
    where = f"input {observation.id!r}"
    image, format = observation.data, observation.format
    kind = np.float32 if format == "depth32" else np.uint8
    form = 3 if format in ("rgb8", "bgr8") else 2
    if format not in _FORMATS or not isinstance(image, np.ndarray) or image.dtype != kind:
        raise ObservationError(
            f"{where}: a view needs pixels in one of the formats {', '.join(_FORMATS)}, not"
            f" {format!r}"
        )
    if image.ndim != form or 0 in image.shape or image.shape[2:] not in ((), (3,)):
        raise ObservationError(f"{where}: {list(image.shape)} is not the form of a {format} image")
    image = _resized(_region(image, view, where), view, format == "depth32", where)
    format, image = _channel(image, format, view, where)
    return replace(observation, format=format, data=read_only(image))


def _region(image: NDArray[Any], view: ImageView, where: str) -> NDArray[Any]:
    rows, columns = image.shape[:2]
    right, lower = view.x + view.width, view.y + view.height
    if view.x >= columns or view.y >= rows or right > columns or lower > rows:
        raise ObservationError(
            f"{where}: a region of {view.width or 'all'} columns from x = {view.x} and"
            f" {view.height or 'all'} rows from y = {view.y} is not within an image of"
            f" {columns}x{rows}"
        )
    return image[view.y : lower if view.height else rows, view.x : right if view.width else columns]


def _resized(image: NDArray[Any], view: ImageView, depths: bool, where: str) -> NDArray[Any]:
    rows, columns = image.shape[:2]
    width, height = view.resize_width, view.resize_height
    if not width and not height:
        return image
    width = width or max(1, round(columns * height / rows))
    height = height or max(1, round(rows * width / columns))
    if (width, height) == (columns, rows):
        return image
    if max(width, height) > _LARGEST:
        raise ObservationError(
            f"{where}: {columns}x{rows} pixels would become {width}x{height}; at most"
            f" {_LARGEST}x{_LARGEST} are made"
        )
    how = cv2.INTER_AREA if width <= columns and height <= rows else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST if depths else how)
    )


def _channel(
    image: NDArray[Any], format: str, view: ImageView, where: str
) -> tuple[str, NDArray[Any]]:
    channel = view.channel
    if not channel:
        return format, image
    few = {"mono8": ("rgb", "grey"), "depth32": ("depth",)}
    has = few.get(format, ("rgb", "grey", *_COLOURS))
    if channel not in has:
        raise ObservationError(
            f"{where}: a {format} image has no channel {channel!r} for a view; {one_of(has)}"
        )
    if channel in ("rgb", "grey"):
        wanted, codes = ("rgb8", _TO_RGB) if channel == "rgb" else ("mono8", _TO_GREY)
        return wanted, np.asarray(cv2.cvtColor(image, codes[format])) if format in codes else image
    if channel in _COLOURS:
        place = _COLOURS.index(channel)
        return "mono8", image[:, :, 2 - place if format == "bgr8" else place]
    share = (np.float32(view.far) - image) / np.float32(view.far - view.near)
    grey = np.rint(255.0 * np.clip(np.nan_to_num(share, nan=0.0), 0.0, 1.0))
    return "mono8", grey.astype(np.uint8)
