"""Parameter files of motor nodes, with a group of every command interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEP = 0.002
"""What a spike asks for, per timestep."""

GROUPS = """
      arm: {channels: [a, b], topic: arm/cmd, period: 0.02}
      forward: {channels: [c], topic: forward/cmd, interface: position, period: 0.02}
      hand: {channels: [g], topic: hand/cmd, interface: gripper, period: 0.02}
      js: {channels: [j], topic: js/cmd, interface: joint_state, period: 0.02}
      grip: {channels: [p], topic: grip/cmd, interface: gripper_action, max_effort: 5.0}
      pinch: {channels: [q], topic: pinch/cmd, interface: gripper_command}
      wheel: {channels: [w], topic: wheel/cmd, interface: velocity, period: 0.02}
      jog: {channels: [k], topic: jog/cmd, interface: joint_jog, period: 0.02}
      push: {channels: [e], topic: push/cmd, interface: effort, period: 0.02}
      base: {channels: [linear_x], topic: cmd_vel, interface: twist, period: 0.02}
      turn: {channels: [angular_z], topic: cmd_vel_stamped, interface: twist_stamped, period: 0.02}
"""
PATIENT = "    state_timeout: 1.0\n    max_cycle_age: 10.0\n"
"""For robots that are played by the test's own process, which may be held up for a moment."""
CHANNELS = ("a", "b", "c", "g", "j", "p", "q", "w", "k", "e", "linear_x", "angular_z")
MOVED = ("a", "c", "g", "j", "p", "q", "w", "k", "e", "linear_x", "angular_z")


def mapping(*channels: str) -> str:
    return "".join(
        f"      m{index}: {{population: A, channel: {name}, per_step_max: {STEP}}}\n"
        for index, name in enumerate(channels)
    )


def limits(*channels: str) -> str:
    lines = ""
    for name in channels:
        wheel = name in ("w", "k", "linear_x", "angular_z")
        own = "acceleration: 4.0" if wheel else "lower: -90.0, upper: 90.0, acceleration: 20.0"
        own += ", effort: 0.5" if name == "e" else ""
        lines += f"      {name}: {{velocity: 2.0, {own}}}\n"
    return lines


def parameters(
    folder: Path,
    *,
    groups: str = GROUPS,
    moved: Sequence[str] = MOVED,
    limited: Sequence[str] = CHANNELS,
    more: str = "",
    name: str = "motor.yaml",
) -> Path:
    path = folder / name
    text = f"/**:\n  ros__parameters:\n    mapping:\n{mapping(*moved)}    groups:{groups}"
    if limited:
        text += f"    limits:\n{limits(*limited)}"
    path.write_text(text + more)
    return path


ARM_ONLY: dict[str, Any] = {
    "groups": "\n      arm: {channels: [a, b], topic: arm/cmd, period: 0.02}\n",
    "moved": ("a", "b"),
    "limited": ("a", "b"),
}
