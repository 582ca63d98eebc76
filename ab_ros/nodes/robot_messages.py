"""Conversions between the values of ab_ros and the standard messages of robots.

A sensor sample that cannot be used raises an ObservationError.
"""

from __future__ import annotations

import array
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ab_ros.errors import ContractError, ObservationError, one_of
from ab_ros.msg import AudioChunk
from ab_ros.nodes.messages import packed, seconds, to_duration, to_time
from ab_ros.values import Observation, read_only

_IMAGE_CHANNELS: Mapping[str, int] = {"rgb8": 3, "bgr8": 3, "mono8": 1}


def read_image(message: Image, id: str) -> Observation:
    """Return an image as the sample of input ``id``.

    Its format is ``rgb8`` (uint8[H, W, 3]; bgr8 is converted) or ``mono8`` (uint8[H, W]).  The data
    may share the message's memory.

    Raises
    ------
    ObservationError
        for an encoding that is not read, an empty image, or data whose size does not fit.
    """
    channels = _IMAGE_CHANNELS.get(message.encoding)
    if channels is None:
        raise ObservationError(
            f"image for {id!r}: encoding {message.encoding!r} is not read;"
            f" {one_of(_IMAGE_CHANNELS)}"
        )
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * channels
    data = np.frombuffer(message.data, np.uint8)
    if not height or not width or step < row or data.size != step * height:
        raise ObservationError(
            f"image for {id!r}: {data.size} bytes and step {step} for {height} rows of {width}"
            f" {message.encoding} pixels; there must be rows, a step of at least {row} bytes,"
            f" and step x height bytes"
        )
    pixels = data.reshape(height, step)[:, :row]
    if channels == 3:
        pixels = pixels.reshape(height, width, 3)
    kind = "rgb8" if message.encoding == "bgr8" else message.encoding
    if message.encoding == "bgr8":
        pixels = pixels[:, :, ::-1]
    return Observation(
        id=id,
        kind="Image",
        stamp=seconds(message.header.stamp),
        format=kind,
        data=read_only(pixels),
        meta={"frame_id": message.header.frame_id},
    )


def read_audio(message: AudioChunk, id: str) -> Observation:
    """Return a chunk of sound as the sample of input ``id``: int16[n] or int16[n, channels].

    Raises
    ------
    ObservationError
        for a chunk without a sample rate or channels, or with a part of a sample of all channels.
    """
    channels = int(message.channels)
    data = np.array(message.data, np.int16)
    if not message.sample_rate or not channels or data.size % channels:
        raise ObservationError(
            f"sound for {id!r}: {data.size} samples of {channels} channels at"
            f" {message.sample_rate} Hz; there must be a rate, and whole samples of at least one"
            f" channel"
        )
    return Observation(
        id=id,
        kind="Audio",
        stamp=seconds(message.header.stamp),
        format="int16",
        data=read_only(data if channels == 1 else data.reshape(-1, channels)),
        meta={"rate": int(message.sample_rate)},
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
