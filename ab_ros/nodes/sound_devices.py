"""Microphones of this computer, through PortAudio (the Python package sounddevice)."""

from __future__ import annotations

import importlib
from typing import Any

from ab_ros.errors import ConfigError


def sounddevice() -> Any:
    """Return the module.

    Raises
    ------
    ConfigError
        if it, or PortAudio itself, is not installed.
    """
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise ConfigError(
            f"a microphone needs the Python package sounddevice ({error}): pip install sounddevice"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"a microphone needs the library PortAudio ({error}): apt install libportaudio2"
        ) from None


def microphones() -> list[tuple[int, str, int, float]]:
    """Return (number, name, channels, usual sample rate in Hz) of each device that records.

    Raises
    ------
    ConfigError
        as :func:`sounddevice`.
    """
    return [
        (
            number,
            str(device["name"]),
            int(device["max_input_channels"]),
            float(device["default_samplerate"]),
        )
        for number, device in enumerate(sounddevice().query_devices())
        if device["max_input_channels"] > 0
    ]


def find_microphone(wanted: str) -> int | None:
    """Return the number of a device that records; None for the computer's usual one.

    Parameters
    ----------
    wanted : its number, its name, or a part of its name that no other has; empty: the usual one.

    Raises
    ------
    ConfigError
        if there is none, or more than one; the sentence names those that there are.
    """
    known = microphones()
    if not known:
        raise ConfigError("device: this computer has no microphone that PortAudio knows")
    if not wanted:
        return None
    exact = [n for n, name, *_ in known if wanted in (str(n), name)]
    found = exact or [n for n, name, *_ in known if wanted.lower() in name.lower()]
    if len(found) != 1:
        names = "; ".join(f"{n}: {name}" for n, name, *_ in known)
        how = "more than one device has" if found else "no device has"
        raise ConfigError(f"device: {how} the number or name {wanted!r}; there are {names}")
    return found[0]


def device_table() -> str:
    """Return the microphones as a table for people, or why there is none."""
    try:
        known = microphones()
    except ConfigError as error:
        return f"  ({error})"
    rows = [
        f"  {number:>3}  {name}  ({channels} channels, {rate:g} Hz)"
        for number, name, channels, rate in known
    ]
    return "\n".join(rows or ["  (none that PortAudio knows)"])
