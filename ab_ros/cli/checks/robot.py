"""A robot's description (URDF), as far as limits and joints need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ab_ros.errors import ConfigError
from ab_ros.motion.limits import JointLimits, limits_from_urdf, mimics_from_urdf


@dataclass(frozen=True)
class Robot:
    """The joints of a URDF.

    Parameters
    ----------
    origin : where the URDF is from, for messages.
    limits : of its moving joints.
    kinds : type of each joint, moving or not.
    mimics : joints that follow another one, and which.
    """

    origin: str
    limits: Mapping[str, JointLimits]
    kinds: Mapping[str, str]
    mimics: Mapping[str, str]


def read_robot(xml: str, origin: str) -> Robot:
    """Read a URDF.

    Raises
    ------
    ConfigError
        as :func:`~ab_ros.motion.limits.limits_from_urdf`.
    """
    limits = limits_from_urdf(xml)
    joints = ElementTree.fromstring(xml).findall("joint")
    kinds = {joint.get("name", ""): joint.get("type", "") for joint in joints}
    return Robot(origin, limits, kinds, mimics_from_urdf(xml))


def load_robot(path: Path) -> Robot:
    """Read a URDF file.

    Raises
    ------
    ConfigError
        if it cannot be read, or is no URDF.
    """
    try:
        xml = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if "xacro:" in xml:
        raise ConfigError(f"{path}: is xacro, not URDF: run 'xacro {path} > robot.urdf' first")
    try:
        return read_robot(xml, str(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).removeprefix('robot_description: ')}") from None
