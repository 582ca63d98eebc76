"""What commands report: tables on the screen, figures in JSON."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ab_ros.engine.atomic import replaced
from ab_ros.errors import AbRosError, ConfigError

_NUMBER = re.compile(r"[+-]?[\d.]+°?|-?")


def columns(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Return lines of names and what they are, aligned, below a title."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; but for the first, columns of numbers are aligned to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    right = [
        k > 0 and all(_NUMBER.fullmatch(row[k]) is not None for row in rows)
        for k in range(len(head))
    ]
    return "\n".join(
        "  "
        + "  ".join(
            f"{text:>{width}}" if number else f"{text:<{width}}"
            for text, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [head, *rows]
    )


def check_picture(option: str, path: Path | None) -> None:
    """Refuse a picture's file of another form, before anything is done.

    Raises
    ------
    ConfigError
        if it does not end in .png.
    """
    if path is not None and path.suffix != ".png":
        raise ConfigError(f"{option} {path}: pictures are PNG files; name one that ends in .png")


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON, atomically.

    Raises
    ------
    AbRosError
        if the file cannot be written.
    ValueError
        if a figure is not finite.
    """
    text = json.dumps(figures, indent=2, allow_nan=False) + "\n"
    try:
        with replaced(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AbRosError(f"{path}: cannot be written: {error.strerror}") from None


def check_folder(folder: Path, option: str) -> None:
    """Make a folder if need be, and refuse one that nothing can be written to.

    Raises
    ------
    AbRosError
        naming the option that asks for it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AbRosError(f"{option} {folder}: cannot be written: {error.strerror}") from None
