"""A robot's URDF for Gazebo: with what only Gazebo needs, from a file of its own."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from ab_ros.errors import ConfigError


def extended_urdf(urdf: Path, extension: Path, values: Mapping[str, str]) -> str:
    """Return a URDF to whose ``<robot>`` the parts of another file are added.

    So one URDF serves all simulators: what a simulator needs besides stands beside it.

    Parameters
    ----------
    urdf : the robot.
    extension : XML with a ``<robot>`` at the top: links, joints, ``<ros2_control>``, ``<gazebo>``.
    values : what takes the place of ``${name}`` in the extension.

    Raises
    ------
    ConfigError
        if a file cannot be read, is not of this form, or has a ``${name}`` of no value, or if both
        have a link or a joint of the same name, or one is about a link or joint that neither has.
    """
    robot = _robot(_read(urdf), urdf)
    added = _robot(_read(extension), extension)
    _fill_in(added, values, extension)
    for kind in ("link", "joint"):
        named = {part.get("name") for part in robot.iterfind(kind)}
        for part in added.iterfind(kind):
            if part.get("name") in named:
                raise ConfigError(
                    f"{extension}: {kind} {part.get('name')!r} is in {urdf}, too; a name may stand"
                    f" only once"
                )
    robot.extend(list(added))
    _check_references(robot, extension)
    return ElementTree.tostring(robot, encoding="unicode")


def _fill_in(robot: ElementTree.Element, values: Mapping[str, str], extension: Path) -> None:
    for part in robot.iter():
        try:
            part.text = string.Template(part.text or "").substitute(values)
        except (KeyError, ValueError) as error:
            known = ", ".join("${" + name + "}" for name in values)
            raise ConfigError(
                f"{extension}: <{part.tag}>: only {known} can be filled in ({error})"
            ) from None


def _check_references(robot: ElementTree.Element, extension: Path) -> None:
    names = {part.get("name") for kind in ("link", "joint") for part in robot.iterfind(kind)}
    joints = {part.get("name") for part in robot.iterfind("joint")}
    for part in robot.iterfind("gazebo"):
        reference = part.get("reference")
        if reference is not None and reference not in names:
            raise ConfigError(
                f"{extension}: <gazebo reference={reference!r}>: no such link or joint"
            )
    for part in robot.iterfind("ros2_control/joint"):
        if part.get("name") not in joints:
            raise ConfigError(f"{extension}: <ros2_control>: no joint {part.get('name')!r}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _robot(text: str, path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ConfigError(f"{path}: is not XML: {error}") from None
    if root.tag != "robot":
        raise ConfigError(f"{path}: must have <robot> at the top, not <{root.tag}>")
    return root
