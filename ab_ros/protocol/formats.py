"""Samples and feedback as the bytes of an ``io:chunk``, and back.

======================= ============================================ ===============================
format                  data                                         meta
======================= ============================================ ===============================
``jpeg``                a JPEG image                                 ``width``, ``height``
``pcm16``               little-endian int16, channels interleaved    ``sampleRate``, ``channels``
``rawtick_f32x3``       float32 [position, previous, velocity], 12   ``rawTick``, ``prevRawTick``,
                        bytes for each joint                         ``velTickPerS``; ``lo``, ``hi``
                                                                     if known; ``names`` (ours)
``values_f32`` (ours)   float32 of any number                        ``N``
``deviation_f32``       float32[T] of deviations                     ``T``, ``N``
``raster_f32``          float32[T, N] of a feedback's raster         ``T``, ``N``
======================= ============================================ ===============================

All numbers are little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ab_ros.codec.audio import waveform
from ab_ros.codec.compressed_pictures import MOST_PIXELS, jpeg_size
from ab_ros.codec.images import pixels
from ab_ros.errors import ObservationError, ProtocolError, one_of
from ab_ros.protocol.messages import Chunk
from ab_ros.values import Deviation, Observation, read_only

SAMPLE_FORMATS = ("jpeg", "pcm16", "rawtick_f32x3", "values_f32")
FEEDBACK_FORMATS = ("deviation_f32", "raster_f32")
_FLOAT = np.dtype("<f4")
_MOST_CHANNELS = 64
_RATES = (1000, 384_000)


@dataclass(frozen=True)
class Payload:
    """What goes into a chunk: format, meta and bytes."""

    format: str
    meta: Mapping[str, Any]
    data: bytes


def encode_image(observation: Observation, quality: int = 85) -> Payload:
    """Return a camera image as JPEG; one that is JPEG already goes as it is.

    Parameters
    ----------
    observation : format ``rgb8``, ``bgr8``, ``mono8`` or ``jpeg`` (bytes).
    quality : of the JPEG, 1 to 100.

    Raises
    ------
    ObservationError
        if it is no image.
    """
    if observation.format == "jpeg":
        if isinstance(observation.data, np.ndarray) and observation.data.dtype != np.uint8:
            raise ObservationError(f"input {observation.id!r}: a JPEG must be bytes")
        data = bytes(observation.data)
        size = jpeg_size(data)
        if size is None:
            raise ObservationError(f"input {observation.id!r}: has no header of a JPEG")
        return Payload("jpeg", {"width": size[0], "height": size[1]}, data)
    image = pixels(observation)
    image = np.ascontiguousarray(image)
    if observation.format == "rgb8":
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    done, buffer = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ObservationError(f"input {observation.id!r}: the image cannot be made a JPEG")
    meta = {"width": int(image.shape[1]), "height": int(image.shape[0])}
    return Payload("jpeg", meta, buffer.tobytes())


def encode_sound(observation: Observation) -> Payload:
    """Return a sound as 16-bit PCM; float sound is clipped to [-1, 1] and mixed to one channel.

    Raises
    ------
    ObservationError
        if it is no sound, or its sample rate is not known.
    """
    rate = observation.meta.get("rate", observation.meta.get("sampleRate"))
    if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
        raise ObservationError(f"input {observation.id!r}: sound must have a sample rate")
    data = observation.data
    sound = waveform(observation)  # which checks everything
    if observation.format == "pcm16" and isinstance(data, bytes):
        channels = observation.meta.get("channels", 1)
        return Payload("pcm16", {"sampleRate": rate, "channels": channels}, data)
    if observation.format != "float32" and isinstance(data, np.ndarray) and data.dtype == np.int16:
        channels = int(data.shape[1]) if data.ndim == 2 else observation.meta.get("channels", 1)
        bytes_ = data.astype("<i2", copy=False).tobytes()
        return Payload("pcm16", {"sampleRate": rate, "channels": channels}, bytes_)
    whole = np.rint(np.clip(sound, -1.0, 1.0) * 32767.0).astype("<i2")
    return Payload("pcm16", {"sampleRate": rate, "channels": 1}, whole.tobytes())


def encode_joints(
    observation: Observation,
    previous: Mapping[str, float] | None = None,
    joints: tuple[str, ...] = (),
    bounds: tuple[float, float] | None = None,
) -> Payload:
    """Return joint states as ``[position, previous, velocity]`` for each joint.

    Parameters
    ----------
    observation : format ``joint_state``: float64[3, J], names in ``meta["names"]``.
    previous : positions by joint that were sent last; a joint without one has not moved.
    joints : those that are sent, in this order; empty: all.
    bounds : lower and upper end of the positions, if known.

    Raises
    ------
    ObservationError
        if it is no joint state, lacks a joint, or a position is not finite.
    """
    where = f"input {observation.id!r}"
    names = tuple(observation.meta.get("names", ()))
    table = np.asarray(observation.data) if not isinstance(observation.data, bytes) else None
    if table is None or table.dtype.kind not in "iuf" or table.shape[1:] != (len(names),):
        table = np.zeros((0, 0))
    if not table.size:
        raise ObservationError(f"{where}: must be joint states with names")
    missing = [joint for joint in joints if joint not in names]
    if missing:
        raise ObservationError(
            f"{where}: joint states lack {', '.join(missing)}; they have {one_of(names)}"
        )
    chosen = joints or names
    columns = [names.index(joint) for joint in chosen]
    position = _float32(table[0, columns])
    if not np.isfinite(position).all():
        raise ObservationError(f"{where}: joint positions must be finite")
    known = previous or {}
    before = _float32([known.get(n, p) for n, p in zip(chosen, position, strict=True)])
    before = np.where(np.isfinite(before), before, position)
    velocity = _float32(table[1, columns] if table.shape[0] > 1 else np.zeros(len(chosen)))
    velocity = np.nan_to_num(velocity, nan=0.0, posinf=0.0, neginf=0.0)
    triples = np.stack([position, before, velocity], axis=1)
    meta: dict[str, Any] = {}
    if len(chosen) == 1:
        keys = ("rawTick", "prevRawTick", "velTickPerS")
        meta.update(zip(keys, (float(x) for x in triples[0]), strict=True))
    if bounds is not None and np.isfinite(bounds).all():
        meta.update(lo=bounds[0], hi=bounds[1])
    return Payload("rawtick_f32x3", {**meta, "names": list(chosen)}, triples.tobytes())


def encode_values(observation: Observation) -> Payload:
    """Return plain numbers as float32.

    Raises
    ------
    ObservationError
        if they are not an array of finite numbers.
    """
    data = observation.data
    if isinstance(data, bytes) or np.asarray(data).dtype.kind not in "iuf":
        raise ObservationError(f"input {observation.id!r}: must be an array of numbers")
    values = _float32(data).reshape(-1)
    if not np.isfinite(values).all():
        raise ObservationError(f"input {observation.id!r}: values must be finite")
    return Payload("values_f32", {"N": int(values.size)}, values.tobytes())


def encode_deviation(deviation: Deviation, size: int) -> Payload:
    """Return a deviation of a feedback of ``size`` neurons."""
    values = deviation.values.astype(_FLOAT)
    return Payload("deviation_f32", {"T": int(values.size), "N": size}, values.tobytes())


def encode_raster(raster: NDArray[Any]) -> Payload:
    """Return a feedback's raster [T, N]."""
    timesteps, size = raster.shape
    data = np.ascontiguousarray(raster, _FLOAT).tobytes()
    return Payload("raster_f32", {"T": int(timesteps), "N": int(size)}, data)


def decode_sample(chunk: Chunk, kind: str, names: tuple[str, ...] = ()) -> Observation:
    """Return the sample of a chunk, in the formats that encoders read.

    Parameters
    ----------
    chunk : what came.
    kind : of the input, by the contract.
    names : joints of a ``rawtick_f32x3`` that does not name them.

    Raises
    ------
    ProtocolError
        for a format that is not known, or data that does not fit it.
    """
    decode = _DECODERS.get(chunk.format)
    if decode is None:
        raise ProtocolError(
            f"io:chunk of {chunk.input!r}: format {chunk.format!r} is not read;"
            f" {one_of(SAMPLE_FORMATS)}"
        )
    format, data, meta = decode(chunk, names)
    return Observation(chunk.input, kind, chunk.t, format, data, meta)


def decode_deviation(chunk: Chunk, timesteps: int) -> Deviation:
    """Return the deviation of a chunk; finite values are clamped to [-1, 1].

    Raises
    ------
    ProtocolError
        if it does not have ``timesteps`` finite values.
    """
    values = _floats(chunk, timesteps, f"{timesteps} deviations")
    return Deviation(chunk.input, read_only(np.clip(values, -1.0, 1.0)))


def decode_raster(chunk: Chunk, timesteps: int, size: int) -> NDArray[np.float32]:
    """Return the feedback raster of a chunk, float32[timesteps, size].

    Raises
    ------
    ProtocolError
        if it has another form, or values that are not finite.
    """
    what = f"{timesteps} timesteps of {size} neurons"
    return read_only(_floats(chunk, timesteps * size, what).reshape(timesteps, size))


def _float32(values: ArrayLike) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # infinite then, and treated as such
        return np.asarray(np.asarray(values).astype(_FLOAT))


def _floats(chunk: Chunk, count: int, what: str) -> NDArray[np.float32]:
    where = f"io:chunk of {chunk.input!r}"
    if len(chunk.data) != count * _FLOAT.itemsize:
        raise ProtocolError(
            f"{where}: {len(chunk.data)} bytes, but {what} have {count * _FLOAT.itemsize}"
        )
    values = np.frombuffer(chunk.data, _FLOAT)
    if not np.isfinite(values).all():
        raise ProtocolError(f"{where}: values must be finite")
    return values.astype(np.float32)


Decoded = tuple[str, NDArray[Any], Mapping[str, Any]]


def _decode_image(chunk: Chunk, names: tuple[str, ...]) -> Decoded:
    size = jpeg_size(chunk.data)
    if size is None:
        raise ProtocolError(f"io:chunk of {chunk.input!r}: has no header of a JPEG")
    if size[0] * size[1] > MOST_PIXELS:
        raise ProtocolError(
            f"io:chunk of {chunk.input!r}: an image of {size[0]}x{size[1]} has more than"
            f" {MOST_PIXELS} pixels"
        )
    try:
        image = cv2.imdecode(np.frombuffer(chunk.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise ProtocolError(f"io:chunk of {chunk.input!r}: is no JPEG image that can be read")
    return "bgr8", read_only(np.asarray(image, np.uint8)), {}


def _decode_sound(chunk: Chunk, names: tuple[str, ...]) -> Decoded:
    where = f"io:chunk of {chunk.input!r}"
    rate, channels = chunk.meta.get("sampleRate", 16000), chunk.meta.get("channels", 1)
    for name, value, (lowest, highest) in (
        ("sampleRate", rate, _RATES),
        ("channels", channels, (1, _MOST_CHANNELS)),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ProtocolError(f"{where}: {name} must be {lowest} to {highest}, not {value!r}")
    if not chunk.data or len(chunk.data) % (2 * channels):
        raise ProtocolError(
            f"{where}: {len(chunk.data)} bytes are no whole number of samples of {channels}"
            f" channels of 16 bits"
        )
    samples = np.frombuffer(chunk.data, "<i2").astype(np.int16)
    shaped = samples if channels == 1 else samples.reshape(-1, channels)
    return "int16", read_only(shaped), {"rate": rate}


def _decode_joints(chunk: Chunk, names: tuple[str, ...]) -> Decoded:
    where = f"io:chunk of {chunk.input!r}"
    given = chunk.meta.get("names")
    if isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given):
        names = tuple(given)
    names = names or (chunk.input,)
    if len(chunk.data) != 12 * len(names):
        raise ProtocolError(
            f"{where}: {len(chunk.data)} bytes, but {len(names)} joints ({', '.join(names)}) have"
            f" 12 each"
        )
    triples = np.frombuffer(chunk.data, _FLOAT).reshape(-1, 3).astype(np.float64)
    if not np.isfinite(triples).all():
        raise ProtocolError(f"{where}: values must be finite")
    effort = np.full(len(names), np.nan)
    table = np.stack([triples[:, 0], triples[:, 2], effort])
    return "joint_state", read_only(table), {"names": names}


def _decode_values(chunk: Chunk, names: tuple[str, ...]) -> Decoded:
    values = _floats(chunk, len(chunk.data) // 4, "whole float32 values")
    return "numbers", read_only(values.astype(np.float64)), {}


_DECODERS = {
    "jpeg": _decode_image,
    "pcm16": _decode_sound,
    "rawtick_f32x3": _decode_joints,
    "values_f32": _decode_values,
}
