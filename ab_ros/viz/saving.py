"""Write pictures so that a reader never meets half a file."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ab_ros.errors import ConfigError


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file at once: into a temporary file beside it, then renamed over it.

    Raises
    ------
    ConfigError
        if the folder cannot be made or written.
    """
    path = Path(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes private files; a picture is for everybody that the umask allows.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def save(picture: Figure | Image.Image, path: Path) -> Path:
    """Save a figure or image as PNG, atomically, and return its path."""
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png", dpi=picture.dpi)
    else:
        picture.save(buffer, format="PNG", optimize=True)
    return write_bytes(path, buffer.getvalue())
