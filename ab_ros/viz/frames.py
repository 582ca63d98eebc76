"""Contact sheets of camera frames."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from ab_ros.errors import ConfigError
from ab_ros.viz.style import GRID, INK, MUTED, font

_GAP = 14
_MARGIN = 24
_SAME_FORM = 0.02  # what rounding may do to proportions


def contact_sheet(
    frames: Sequence[NDArray[np.uint8]],
    captions: Sequence[str] = (),
    *,
    columns: int = 4,
    width: int = 1600,
    title: str = "",
) -> Image.Image:
    """Arrange frames in rows, each with its caption below.

    Parameters
    ----------
    frames : uint8[H, W, 3] RGB each; the first one's proportions are the cells'.
    captions : one for each frame, or none at all; a second line is set smaller.
    columns : frames per row, >= 1.
    width : px of the whole picture.

    Raises
    ------
    ConfigError
        if there is no frame, a frame is not RGB, or captions and frames differ in number.
    """
    if not frames or (captions and len(captions) != len(frames)) or columns < 1:
        raise ConfigError(
            f"contact_sheet: needs at least one frame and one column, and as many captions as"
            f" frames, not {len(frames)} frames, {columns} columns and {len(captions)} captions"
        )
    for frame in frames:
        check_frame("contact_sheet", frame)
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    cell_width = (width - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    cell_height = round(cell_width * frames[0].shape[0] / frames[0].shape[1])
    large = max(13, round(cell_width / 20))
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    caption_height = round(lines * large * 1.4) + (8 if lines else 0)
    header = round(large * 2.6) if title else 0
    height = 2 * _MARGIN + header + rows * (cell_height + caption_height) + (rows - 1) * _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_MARGIN, _MARGIN - 4), title, INK, font(round(large * 1.25), bold=True))
    for index, frame in enumerate(frames):
        row, column = divmod(index, columns)
        left = _MARGIN + column * (cell_width + _GAP)
        above = _MARGIN + header + row * (cell_height + caption_height + _GAP)
        sheet.paste(rounded(frame, (cell_width, cell_height)), (left, above))
        if captions:
            first, *rest = captions[index].split("\n")
            below = above + cell_height + 7
            draw.text((left, below), first, INK, font(large, bold=True))
            for number, line in enumerate(rest, start=1):
                draw.text(
                    (left, below + number * large * 1.35), line, MUTED, font(round(large * 0.9))
                )
    return sheet


def check_frame(where: str, frame: NDArray[np.uint8]) -> None:
    """Raise a ConfigError unless a frame is uint8[H, W, 3]."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ConfigError(
            f"{where}: a frame must be uint8[H, W, 3], not {frame.dtype}{list(frame.shape)}"
        )


def rounded(frame: NDArray[np.uint8], size: tuple[int, int], radius: int = 8) -> Image.Image:
    """Return a frame at a size in px, with rounded corners on white.

    A frame of other proportions is fitted in, with bands.
    """
    image = Image.fromarray(frame)
    if abs(image.width * size[1] / (image.height * size[0]) - 1.0) > _SAME_FORM:
        image = ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=GRID)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    card = Image.new("RGB", size, "white")
    card.paste(image, (0, 0), _mask(size, radius))
    return card


@functools.lru_cache(maxsize=8)
def _mask(size: tuple[int, int], radius: int) -> Image.Image:
    width, height = size[0] * 4, size[1] * 4
    mask = Image.new("L", (width, height), 0)
    box = (0, 0, width - 1, height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius * 4, fill=255)
    return mask.resize(size, Image.Resampling.LANCZOS)
