"""Camera and depth images from the bytes of a driver, whatever its encoding.

===================================================== =========== ==================================
encodings                                             read as     how
===================================================== =========== ==================================
``rgb8`` ``bgr8`` ``rgba8`` ``bgra8`` ``8UC3`` (bgr)  ``rgb8``    in the order red, green, blue
``8UC4`` (bgra)
``rgb16`` ``bgr16`` ``rgba16`` ``bgra16``             ``rgb8``    the high bytes
``bayer_rggb8`` …                                     ``rgb8``    interpolated
``bayer_rggb16`` …                                    ``rgb8``    the high bytes, interpolated
``uyvy`` or ``yuv422``, ``yuyv`` or ``yuv422_yuy2``,  ``rgb8``    ITU-R BT.601, Y from 16 to 235
``nv12``, ``nv21``, ``nv24``
``mono8`` ``8UC1``                                    ``mono8``   as it is
``mono16``                                            ``mono8``   the high bytes
``16UC1``                                             ``depth32`` from mm; 0 is no return
``32FC1``                                             ``depth32`` in m
===================================================== =========== ==================================

``rgb8`` is uint8[H, W, 3], ``mono8`` uint8[H, W], and ``depth32`` float32[H, W] in m, > 0, NaN
where nothing came back: what is 0, negative, infinite or NaN in a depth image (ROS REP 118).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ObservationError, one_of
from ab_ros.values import read_only

Picture = tuple[str, NDArray[Any]]
"""A format and its array."""

# Bytes are seen as uint8[H, W, bytes of a pixel]; the flag is whether the high byte comes first.
_Convert = Callable[[NDArray[np.uint8], bool], Picture]


@dataclass(frozen=True)
class _Encoding:
    """Bytes of a pixel, what makes a picture of them, and whether columns come in pairs."""

    bytes: int
    convert: _Convert
    paired: bool = False


@dataclass(frozen=True)
class _Planes:
    """A plane of Y, then one in which U and V alternate.

    The second one has one sample for ``shared`` x ``shared`` pixels; ``first`` says whether U or V
    comes first in it.
    """

    shared: int
    first: str


def read_pixels(
    data: Any,
    encoding: str,
    width: int,
    height: int,
    step: int,
    big_endian: bool = False,
    where: str = "image",
) -> Picture:
    """Return the format and the array of an image; see the module for both.

    Parameters
    ----------
    data : bytes, or another buffer of bytes; the array may share its memory.
    encoding : as ``sensor_msgs/Image`` names it.
    width, height : pixels, > 0.
    step : bytes from one row to the next, at least those of a row.  Of the formats in planes it is
        that of Y; a step that counts the bytes of all planes is understood, too.
    big_endian : whether numbers of more than one byte have the high one first.
    where : what the image is, for messages.

    Returns
    -------
    tuple
        ``rgb8``, ``mono8`` or ``depth32``, and the read-only array.

    Raises
    ------
    ObservationError
        for an encoding that is not read, an empty image, a width or height that the encoding cannot
        have, or data whose size does not fit.
    """
    raw = np.frombuffer(data, np.uint8)
    if encoding in _PLANES:
        format, array = _read_planes(raw, encoding, width, height, step, where)
        return format, read_only(array)
    known = _ENCODINGS.get(encoding)
    if known is None:
        raise ObservationError(
            f"{where}: encoding {encoding!r} is not read; {one_of((*_ENCODINGS, *_PLANES))}"
        )
    row = width * known.bytes
    if height < 1 or width < 1 or step < row or raw.size != step * height:
        raise ObservationError(
            f"{where}: {raw.size} bytes and step {step} for {height} rows of {width} {encoding}"
            f" pixels; there must be rows, a step of at least {row} bytes, and step x height bytes"
        )
    if known.paired and width % 2:
        raise ObservationError(
            f"{where}: {encoding} has colours for pairs of pixels, so the width must be even, not"
            f" {width}"
        )
    if is_mosaic(encoding):
        check_mosaic(width, height, where)
    pixels = raw.reshape(height, step)[:, :row].reshape(height, width, known.bytes)
    format, array = known.convert(pixels, bool(big_endian))
    return format, read_only(array)


def from_bgr(image: NDArray[np.uint8]) -> Picture:
    """Return uint8[H, W, 3] in the order blue, green, red as a picture."""
    return "rgb8", _converted(image, cv2.COLOR_BGR2RGB)


def from_mosaic(image: NDArray[np.uint8], encoding: str) -> Picture:
    """Return the mosaic uint8[H, W] of a sensor, in an encoding ``bayer_…``, as a picture.

    Rows and columns at the edge get the colours of their neighbours.
    """
    return "rgb8", _converted(np.ascontiguousarray(image), _MOSAICS[encoding.rstrip("168")])


def from_millimetres(depth: NDArray[np.uint16]) -> Picture:
    """Return depths uint16[H, W] in mm as a picture; 0 is no return."""
    metres = depth.astype(np.float32) * np.float32(1e-3)
    metres[depth == 0] = np.nan
    return "depth32", metres


def high_bytes(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the high byte of each value."""
    return np.asarray(values >> 8, np.uint8)


def check_mosaic(width: int, height: int, where: str) -> None:
    """Refuse a mosaic that is too small to be interpolated, with an ObservationError."""
    if min(width, height) < 3:
        raise ObservationError(
            f"{where}: a mosaic must have at least 3x3 pixels, not {width}x{height}"
        )


def is_mosaic(encoding: str) -> bool:
    """Whether an encoding is one of a sensor's mosaic."""
    return encoding in _ENCODINGS and encoding.startswith("bayer_")


def _converted(image: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _high(pixels: NDArray[np.uint8], big_endian: bool) -> NDArray[np.uint8]:
    """Return the high bytes of uint8[H, W, 2C] as uint8[H, W, C]."""
    return np.ascontiguousarray(pixels[:, :, 0 if big_endian else 1 :: 2])


def _as_it_is(pixels: NDArray[np.uint8], big_endian: bool) -> Picture:
    return ("rgb8", pixels) if pixels.shape[2] == 3 else ("mono8", pixels[:, :, 0])


def _by(code: int, *, wide: bool = False) -> _Convert:
    """Return a conversion to rgb8 by OpenCV; of the high bytes if the values are wide."""

    def convert(pixels: NDArray[np.uint8], big_endian: bool) -> Picture:
        return "rgb8", _converted(_high(pixels, big_endian) if wide else pixels, code)

    return convert


def _of_high(pixels: NDArray[np.uint8], big_endian: bool) -> Picture:
    return _as_it_is(_high(pixels, big_endian), big_endian)


def _demosaiced(encoding: str) -> _Convert:
    def convert(pixels: NDArray[np.uint8], big_endian: bool) -> Picture:
        flat = _high(pixels, big_endian) if pixels.shape[2] == 2 else pixels
        return from_mosaic(flat[:, :, 0], encoding)

    return convert


def _numbers(pixels: NDArray[np.uint8], kind: str, big_endian: bool) -> NDArray[Any]:
    order = ">" if big_endian else "<"
    return np.ascontiguousarray(pixels).view(np.dtype(order + kind))[:, :, 0]


def _millimetres(pixels: NDArray[np.uint8], big_endian: bool) -> Picture:
    return from_millimetres(_numbers(pixels, "u2", big_endian))


def _metres(pixels: NDArray[np.uint8], big_endian: bool) -> Picture:
    metres = _numbers(pixels, "f4", big_endian).astype(np.float32, copy=False)
    returned = (metres > 0) & (metres < np.inf)
    return "depth32", np.where(returned, metres, np.float32(np.nan))


def _read_planes(
    raw: NDArray[np.uint8], encoding: str, width: int, height: int, step: int, where: str
) -> Picture:
    planes = _PLANES[encoding]
    # Rows of as many bytes as Y's: nv12 and nv21 have half as many of U and V, nv24 twice as many.
    rows = 3 * height if planes.shared == 1 else height + height // 2
    if width % planes.shared or height % planes.shared:
        raise ObservationError(
            f"{where}: {encoding} has colours for squares of 2x2 pixels, so width and height must"
            f" be even, not {width}x{height}"
        )
    if height > 0 and raw.size == width * rows and step * height == raw.size:
        step = width  # it counted all planes
    if height < 1 or width < 1 or step < width or raw.size != step * rows:
        raise ObservationError(
            f"{where}: {raw.size} bytes and step {step} for {height} rows of {width} {encoding}"
            f" pixels; there must be rows, a step of at least {width} bytes, and {rows} x step"
            f" bytes"
        )
    if planes.shared == 2:
        table = np.ascontiguousarray(raw.reshape(rows, step)[:, :width])
        nv12 = planes.first == "u"
        code = cv2.COLOR_YUV2RGB_NV12 if nv12 else cv2.COLOR_YUV2RGB_NV21
        return "rgb8", _converted(table, code)
    luma = raw[: step * height].reshape(height, step, 1)[:, :width]
    colour = raw[step * height :].reshape(height, step, 2)[:, :width]
    yuv = np.concatenate((luma, colour), axis=2)
    return "rgb8", np.asarray(cv2.transform(yuv, _BT601), np.uint8)


# By rows: R, G and B of Y, U, V and 1.
_LUMA = 255.0 / 219.0
_BT601 = np.array(
    [
        [_LUMA, 0.0, 1.596, -16.0 * _LUMA - 128.0 * 1.596],
        [_LUMA, -0.391, -0.813, -16.0 * _LUMA + 128.0 * (0.391 + 0.813)],
        [_LUMA, 2.018, 0.0, -16.0 * _LUMA - 128.0 * 2.018],
    ]
)

# OpenCV names a mosaic by the second and third pixel of its second row, others by the first four.
_MOSAICS = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}

_ENCODINGS: Mapping[str, _Encoding] = {
    "rgb8": _Encoding(3, _as_it_is),
    "bgr8": _Encoding(3, _by(cv2.COLOR_BGR2RGB)),
    "rgba8": _Encoding(4, _by(cv2.COLOR_RGBA2RGB)),
    "bgra8": _Encoding(4, _by(cv2.COLOR_BGRA2RGB)),
    "mono8": _Encoding(1, _as_it_is),
    "mono16": _Encoding(2, _of_high),
    "8UC1": _Encoding(1, _as_it_is),
    "8UC3": _Encoding(3, _by(cv2.COLOR_BGR2RGB)),
    "8UC4": _Encoding(4, _by(cv2.COLOR_BGRA2RGB)),
    "16UC1": _Encoding(2, _millimetres),
    "32FC1": _Encoding(4, _metres),
    "rgb16": _Encoding(6, _of_high),
    "bgr16": _Encoding(6, _by(cv2.COLOR_BGR2RGB, wide=True)),
    "rgba16": _Encoding(8, _by(cv2.COLOR_RGBA2RGB, wide=True)),
    "bgra16": _Encoding(8, _by(cv2.COLOR_BGRA2RGB, wide=True)),
    **{f"{name}8": _Encoding(1, _demosaiced(name)) for name in _MOSAICS},
    **{f"{name}16": _Encoding(2, _demosaiced(name)) for name in _MOSAICS},
    "uyvy": _Encoding(2, _by(cv2.COLOR_YUV2RGB_UYVY), paired=True),
    "yuv422": _Encoding(2, _by(cv2.COLOR_YUV2RGB_UYVY), paired=True),
    "yuyv": _Encoding(2, _by(cv2.COLOR_YUV2RGB_YUYV), paired=True),
    "yuv422_yuy2": _Encoding(2, _by(cv2.COLOR_YUV2RGB_YUYV), paired=True),
}

_PLANES: Mapping[str, _Planes] = {
    "nv12": _Planes(2, "u"),
    "nv21": _Planes(2, "v"),
    "nv24": _Planes(1, "u"),
}

ENCODINGS: tuple[str, ...] = (*_ENCODINGS, *_PLANES)
"""All encodings that are read."""
