"""Conversions between the values of ab_ros and the standard messages of robots.

A sensor sample that cannot be used raises an ObservationError.
"""

from __future__ import annotations

import array
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ab_ros.codec.compressed_pictures import is_plain_jpeg, read_compressed
from ab_ros.codec.pictures import read_pixels
from ab_ros.errors import ContractError, ObservationError
from ab_ros.nodes.messages import packed, seconds, to_duration, to_time
from ab_ros.values import Observation, read_only


def read_image(message: Image, id: str) -> Observation:
    """Return an image as the sample of input ``id``.

    Its format is ``rgb8`` (uint8[H, W, 3]), ``mono8`` (uint8[H, W]) or ``depth32`` (float32[H, W],
    m); :mod:`ab_ros.codec.pictures` says which encodings are read, and how.  The data may share the
    message's memory.

    Raises
    ------
    ObservationError
        for an encoding that is not read, an empty image, or data whose size does not fit.
    """
    format, pixels = read_pixels(
        message.data,
        message.encoding,
        int(message.width),
        int(message.height),
        int(message.step),
        bool(message.is_bigendian),
        f"image for {id!r}",
    )
    return _image_sample(message, id, format, pixels)


def read_compressed_image(message: CompressedImage, id: str) -> Observation:
    """Return a JPEG or PNG image as the sample of input ``id``, as :func:`read_image` does.

    Raises
    ------
    ObservationError
        if it is neither, is damaged, or is too large.
    """
    data = bytes(message.data)
    format, pixels = read_compressed(data, message.format, f"image for {id!r}")
    return _image_sample(message, id, format, pixels)


def forward_compressed_image(message: CompressedImage, id: str) -> Observation:
    """Return a JPEG as it is, for a brain elsewhere: format ``jpeg``, bytes; a PNG is read.

    Raises
    ------
    ObservationError
        as :func:`read_compressed_image`; a JPEG's data is looked at where it is read.
    """
    data = bytes(message.data)
    if not is_plain_jpeg(data, message.format):
        return read_compressed_image(message, id)
    return _image_sample(message, id, "jpeg", data)


def _image_sample(
    message: Image | CompressedImage, id: str, format: str, pixels: NDArray[Any] | bytes
) -> Observation:
    return Observation(
        id=id,
        kind="Image",
        stamp=seconds(message.header.stamp),
        format=format,
        data=pixels,
        meta={"frame_id": message.header.frame_id},
    )


def image(pixels: NDArray[np.uint8], stamp: float, frame_id: str = "") -> Image:
    """Return an image message of uint8[H, W, 3] (rgb8) or uint8[H, W] (mono8) pixels."""
    height, width = pixels.shape[:2]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels, np.uint8).tobytes())
    result = Image(
        height=height,
        width=width,
        encoding="rgb8" if pixels.ndim == 3 else "mono8",
        is_bigendian=0,
        step=len(data) // height if height else 0,
        data=data,
    )
    result.header.stamp = to_time(stamp)
    result.header.frame_id = frame_id
    return result


def read_joint_state(
    message: JointState, id: str, joints: Collection[str] | None = None
) -> Observation:
    """Return joint states as the sample of input ``id``: float64[3, J], names in ``meta["names"]``.

    Rows are position, velocity and effort; NaN stands where a row is not given.

    Parameters
    ----------
    joints : the joints of interest; others in the message are left out and not judged.

    Raises
    ------
    ObservationError
        if names repeat, lists differ in length, none of the joints is there, a position is not
        finite, or a velocity or effort is infinite (a NaN there means that it is not known).
    """
    names = list(message.name)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ObservationError(f"joint state for {id!r}: joints come twice: {', '.join(twice)}")
    table = np.full((3, len(names)), np.nan)
    for row, field in enumerate(("position", "velocity", "effort")):
        values = np.asarray(getattr(message, field), np.float64)
        if values.size == len(names):
            table[row] = values
        elif values.size:
            raise ObservationError(
                f"joint state for {id!r}: {values.size} of {field} for {len(names)} joints"
            )
    if joints is not None:
        keep = [index for index, name in enumerate(names) if name in joints]
        names, table = [names[index] for index in keep], table[:, keep]
    if not names:
        wanted = f" of {', '.join(sorted(joints))}" if joints else ""
        raise ObservationError(f"joint state for {id!r}: has none{wanted}")
    bad = np.isinf(table)
    bad[0] |= np.isnan(table[0]) & bool(len(message.position))
    if bad.any():
        row, column = (int(index) for index in np.argwhere(bad)[0])
        field = ("position", "velocity", "effort")[row]
        raise ObservationError(
            f"joint state for {id!r}: {field} of {names[column]!r} must be finite,"
            f" not {table[row, column]}"
        )
    return Observation(
        id=id,
        kind="Proprioception",
        stamp=seconds(message.header.stamp),
        format="joint_state",
        data=read_only(table),
        meta={"names": tuple(names)},
    )


def joint_state(
    names: Sequence[str],
    position: ArrayLike,
    stamp: float,
    velocity: ArrayLike | None = None,
    effort: ArrayLike | None = None,
) -> JointState:
    """Return a joint state message; positions in rad or m, velocities in rad/s or m/s."""
    result = JointState(name=list(names), position=packed(position, "d"))
    if velocity is not None:
        result.velocity = packed(velocity, "d")
    if effort is not None:
        result.effort = packed(effort, "d")
    result.header.stamp = to_time(stamp)
    return result


def joint_state_message(observation: Observation) -> JointState:
    """Return the message of an observation that :func:`read_joint_state` made."""
    table = np.asarray(observation.data)
    rows = [None if np.isnan(row).all() else row for row in table]
    return joint_state(
        observation.meta["names"],
        () if rows[0] is None else rows[0],
        observation.stamp,
        rows[1],
        rows[2],
    )


def joint_trajectory(
    names: Sequence[str],
    positions: NDArray[np.float64],
    dt: float,
    start: float,
    velocities: NDArray[np.float64] | None = None,
) -> JointTrajectory:
    """Return a trajectory of P points, ``dt`` s apart, the first of them ``dt`` after ``start``.

    Parameters
    ----------
    names : the C joints.
    positions : float64[P, C], rad or m; finite.
    dt : s, > 0: controllers shall ramp to the first point, not step.
    start : s on the ROS clock; 0 means "now" to a controller.
    velocities : float64[P, C], rad/s or m/s, if given.

    Raises
    ------
    ContractError
        if the forms do not fit, a value is not finite, or dt is not > 0.
    """
    for what, table in (("positions", positions), ("velocities", velocities)):
        if table is None:
            continue
        if table.ndim != 2 or table.shape[1] != len(names) or not table.shape[0]:
            raise ContractError(
                f"trajectory: {what} must have the form [P, {len(names)}], not {list(table.shape)}"
            )
        if not np.isfinite(table).all() or (
            velocities is not None and table.shape != positions.shape
        ):
            raise ContractError(f"trajectory: {what} must be finite and as many as the positions")
    if not (math.isfinite(dt) and dt > 0.0):
        raise ContractError(f"trajectory: dt must be greater than 0 s, not {dt}")
    result = JointTrajectory(joint_names=list(names))
    result.header.stamp = to_time(start)
    result.points = [
        JointTrajectoryPoint(
            positions=packed(row, "d"),
            velocities=packed(() if velocities is None else velocities[index], "d"),
            time_from_start=to_duration((index + 1) * dt),
        )
        for index, row in enumerate(positions)
    ]
    return result
