"""Uncompressed sound as bytes: the sample formats that drivers and WAV files have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ObservationError, one_of
from ab_ros.values import read_only

# Name, as GStreamer calls it, without the byte order: bytes of a sample, its type (of 24 bits:
# of its upper byte), and full scale; unsigned ones are centred first.
_TYPES: Mapping[str, tuple[str, float]] = {
    "U8": ("u1", 128.0),
    "S8": ("i1", 128.0),
    "S16": ("i2", 32768.0),
    "S24": ("", 8388608.0),
    "S32": ("i4", 2147483648.0),
    "F32": ("f4", 1.0),
    "F64": ("f8", 1.0),
}
FORMATS = tuple(
    f"{name}{order}" for name in _TYPES for order in (("",) if name[1:] == "8" else ("LE", "BE"))
)
"""Sample formats that are read: ``S16LE`` is signed, of 16 bits, little-endian."""


def sample_bytes(format: str) -> int:
    """Return the bytes of one sample.

    Raises
    ------
    ObservationError
        for a format that is not read.
    """
    if format not in FORMATS:
        raise ObservationError(f"sample format {format!r} is not read; {one_of(FORMATS)}")
    return int("".join(letter for letter in format if letter.isdigit())) // 8


def decode_pcm(data: bytes | NDArray[np.uint8], format: str, channels: int) -> NDArray[Any]:
    """Return uncompressed sound as it is for 16 bits, int16[n, channels], else float32 in [-1, 1].

    Parameters
    ----------
    data : samples, channels interleaved.
    format : one of :data:`FORMATS`.
    channels : at least 1.

    Raises
    ------
    ObservationError
        for a format that is not read, or data that are no whole samples of all channels.
    """
    size = sample_bytes(format) * max(channels, 1)
    raw = np.frombuffer(data, np.uint8)
    if channels < 1 or raw.size % size:
        raise ObservationError(
            f"{raw.size} bytes are no whole number of {format} samples of {channels} channels"
        )
    name, order = (format[:-2], format[-2:]) if format[-2:] in ("LE", "BE") else (format, "LE")
    kind, full = _TYPES[name]
    mark = "<" if order == "LE" else ">"
    if name == "S24":
        triples = raw.reshape(-1, 3)[:, :: 1 if order == "LE" else -1]
        wide = np.zeros((len(triples), 4), np.uint8)
        wide[:, 1:] = triples
        samples = wide.view("<i4").reshape(-1) >> 8
    else:
        samples = raw.view(f"{mark}{kind}")
    if name == "S16":
        return read_only(samples.astype(np.int16).reshape(-1, channels))
    values = samples.astype(np.float64)
    if name == "U8":
        values -= 128.0
    with np.errstate(over="ignore"):  # infinite then, and refused where it is heard
        return read_only((values / full).astype(np.float32).reshape(-1, channels))
