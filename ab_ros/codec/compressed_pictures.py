"""Camera and depth images from JPEG and PNG."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from ab_ros.codec.pictures import (
    Picture,
    check_mosaic,
    from_bgr,
    from_millimetres,
    from_mosaic,
    high_bytes,
    is_mosaic,
)
from ab_ros.errors import ObservationError, shown
from ab_ros.values import read_only

MOST_PIXELS = 1 << 24
"""Pixels of the largest image that is decompressed: a few bytes can claim to be any number."""

_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_STANDS_ALONE = {0x01, *range(0xD0, 0xD8)}
_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


def read_compressed(data: bytes, format: str = "", where: str = "image") -> Picture:
    """Return the format and the array of a JPEG or PNG image, as ``read_pixels`` does.

    Which of the two it is, its own first bytes say; the text tells what the image was before::

        jpeg    png    rgb8; jpeg compressed bgr8    16UC1; png compressed    (nothing)

    Where that was ``16UC1``, a PNG of 16 bits has depths in mm; other images of 16 bits give their
    high bytes.  Where it was ``bayer_…``, a grey image is the sensor's mosaic.  ``compressed rgb8``
    says that red and blue stand in each other's place, as image_transport understands it.
    Transparency and the orientation in a JPEG's EXIF data are ignored.

    Parameters
    ----------
    data : the file's bytes.
    format : as in ``sensor_msgs/CompressedImage``.
    where : what the image is, for messages.

    Raises
    ------
    ObservationError
        if it is neither, is damaged, or has more than ``MOST_PIXELS`` pixels.
    """
    original, _, rest = (part.strip() for part in format.partition(";"))
    if "compresseddepth" in format.replace("_", "").lower():
        raise ObservationError(
            f"{where}: format {shown(format)} of compressed_depth_image_transport is not read; give"
            f" the topic of the raw depth image (sensor_msgs/Image, 16UC1 or 32FC1), or let"
            f" image_transport's 'republish' make one of it"
        )
    size = jpeg_size(data) or png_size(data)
    if size is None:
        raise ObservationError(
            f"{where}: {len(data)} bytes of the format {shown(format)} have no header of a JPEG or"
            f" PNG image, which are what is read; set the camera driver's or image_transport's"
            f" format to one of them"
        )
    if size[0] * size[1] > MOST_PIXELS:
        raise ObservationError(
            f"{where}: an image of {size[0]}x{size[1]} has more than {MOST_PIXELS} pixels"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED)
    except cv2.error:
        image = None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise ObservationError(
            f"{where}: {len(data)} bytes begin as an image of {size[0]}x{size[1]}, but cannot be"
            f" read to the end"
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    wide = image.dtype == np.uint16
    if image.ndim == 2 and wide and original == "16UC1":
        kind, array = from_millimetres(np.asarray(image, np.uint16))
        return kind, read_only(array)
    pixels = high_bytes(np.asarray(image, np.uint16)) if wide else np.asarray(image, np.uint8)
    if pixels.ndim == 2 and is_mosaic(original):
        check_mosaic(pixels.shape[1], pixels.shape[0], where)
        kind, array = from_mosaic(pixels, original)
    elif pixels.ndim == 2:
        kind, array = "mono8", pixels
    elif rest.partition("compressed")[2].strip().startswith("rgb"):
        kind, array = "rgb8", pixels
    else:
        kind, array = from_bgr(pixels)
    return kind, read_only(array)


def is_plain_jpeg(data: bytes, format: str = "") -> bool:
    """Whether an image is a JPEG that any reader sees as it is meant: nothing swapped, no mosaic.

    Parameters
    ----------
    data, format : as :func:`read_compressed` takes them.
    """
    original, _, rest = (part.strip() for part in format.partition(";"))
    swapped = rest.partition("compressed")[2].strip().startswith("rgb")
    return jpeg_size(data) is not None and not swapped and not is_mosaic(original)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from a JPEG's header, before anything is decoded; None: no JPEG.

    Walks the segments as decoders do, so that it sees the size that they would see.
    """
    place = 2
    if data[:2] != b"\xff\xd8":
        return None
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return (width, height) if width and height else None
        if marker == 0xFF:  # fills up
            place += 1
        elif marker in _STANDS_ALONE:
            place += 2
        else:
            place += 2 + max(2, struct.unpack(">H", data[place + 2 : place + 4])[0])
    return None


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from a PNG's header, before anything is decoded; None: no PNG."""
    if data[:8] != _PNG or data[12:16] != b"IHDR" or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return (width, height) if width and height else None
