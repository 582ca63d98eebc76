"""Encoding what a robot observes as the payloads of chunks and of ``robot:state``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ab_ros.brains.remote.settings import JointInputSettings, RemoteSettings
from ab_ros.errors import ObservationError, one_of
from ab_ros.protocol import RobotState
from ab_ros.protocol.formats import (
    Payload,
    encode_image,
    encode_joints,
    encode_sound,
    encode_values,
)
from ab_ros.values import Observation

_IMAGES = ("rgb8", "bgr8", "mono8", "jpeg")
_SOUNDS = ("pcm16", "int16", "float32")


class SampleEncoder:
    """Encodes observations by their format; remembers the joint positions that it sent last."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._positions: dict[str, dict[str, float]] = {}

    def reset(self) -> None:
        """Forget the positions that were sent."""
        self._positions.clear()

    def encode(self, name: str, observation: Observation) -> Payload:
        """Return the payload of an input's chunk.

        Parameters
        ----------
        name : of the input.
        observation : the sample.

        Raises
        ------
        ObservationError
            if it cannot be encoded, or is larger than allowed.
        """
        payload = self._encode(name, observation)
        largest = self._settings.largest_payload
        if len(payload.data) > largest:
            raise ObservationError(
                f"input {name!r}: a chunk of {len(payload.data)} bytes is larger than"
                f" largest_payload, {largest}"
            )
        return payload

    def _encode(self, name: str, observation: Observation) -> Payload:
        if observation.format == "joint_state":
            return self._encode_joints(name, observation)
        if observation.format in _IMAGES:
            return encode_image(observation, self._settings.jpeg_quality)
        if observation.kind == "Audio" and observation.format in _SOUNDS:
            return encode_sound(observation)
        return encode_values(observation)

    def _encode_joints(self, name: str, observation: Observation) -> Payload:
        wanted = self._settings.inputs.get(name, JointInputSettings())
        previous = self._positions.setdefault(name, {})
        payload = encode_joints(observation, previous, wanted.joints, wanted.bounds)
        triples = np.frombuffer(payload.data, "<f4").reshape(-1, 3)
        previous.update(zip(payload.meta["names"], map(float, triples[:, 0]), strict=True))
        return payload


def robot_state(
    run: str, observation: Observation, settings: RemoteSettings, extended: bool
) -> RobotState:
    """Return a joint state as ``robot:state``.

    Parameters
    ----------
    run : id.
    observation : format ``joint_state``.
    settings : joints and gripper, rate.
    extended : whether names and time go along, which the 0.1 protocol does not have.

    Raises
    ------
    ObservationError
        if it is no joint state, lacks a joint, or a position is not finite.
    """
    names = tuple(observation.meta.get("names", ()))
    table = observation.data
    if isinstance(table, bytes) or table.ndim != 2 or table.shape[1] != len(names) or not names:
        raise ObservationError("robot state: must be joint states with names")
    column: Mapping[str, int] = {name: index for index, name in enumerate(names)}
    chosen = settings.state_joints or tuple(name for name in names if name != settings.gripper)
    missing = [n for n in (*chosen, settings.gripper) if n and n not in column]
    if missing:
        raise ObservationError(
            f"robot state: joint states lack {', '.join(missing)}; they have {one_of(names)}"
        )
    columns = [column[name] for name in chosen]
    grip = float(table[0, column[settings.gripper]]) if settings.gripper else None
    position = np.asarray(table[0, columns], np.float64)
    velocity = table[1, columns] if table.shape[0] > 1 else np.zeros(len(columns))
    velocity = np.nan_to_num(np.asarray(velocity, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if not np.isfinite(position).all() or (grip is not None and not np.isfinite(grip)):
        raise ObservationError("robot state: joint positions must be finite")
    return RobotState(
        run,
        tuple(position.tolist()),
        tuple(velocity.tolist()),
        grip,
        1.0 / settings.state_rate,
        chosen if extended else (),
        observation.stamp if extended else None,
    )
