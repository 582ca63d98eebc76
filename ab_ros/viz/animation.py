"""A short animation: the robot from outside, what its eye sees, and how far off it is."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ab_ros.errors import ConfigError
from ab_ros.viz.frames import check_frame, rounded
from ab_ros.viz.saving import write_bytes
from ab_ros.viz.style import BLUE, GREEN, GRID, INK, MUTED, VERMILION, font

_MARGIN = 12
_GAP = 10
_HEADER = 40
_TRANSPARENT = 127
_SMALLEST_SCALE = 0.4
# The colour cube has this many cells to a side; a pixel's cell is the sum of its channels' parts.
_LEVELS = 64
_BLUE = (np.arange(256, dtype=np.int32) * (_LEVELS - 1) + 127) // 255
_GREEN = _BLUE * _LEVELS
_RED = _GREEN * _LEVELS


@dataclass(frozen=True)
class AnimationFrame:
    """One picture of an animation.

    Parameters
    ----------
    overview : uint8[H, W, 3], the robot from outside.
    eye : uint8[h, w, 3], what its camera sees.
    phase : the part of the story that it belongs to, such as ``learned``.
    error : deg; NaN where there is none to show.
    """

    overview: NDArray[np.uint8]
    eye: NDArray[np.uint8]
    phase: str
    error: float = math.nan


def write_animation(
    path: Path,
    frames: Sequence[AnimationFrame],
    *,
    fps: float = 12.5,
    max_bytes: int = 3_000_000,
    good: float = 6.0,
) -> Path:
    """Write frames as a GIF that loops.

    The phases stand above, in the order in which they first occur, the present one filled; the
    error's course of the present phase is drawn below the eye.

    Parameters
    ----------
    frames : at least one; all overviews of one size, all eyes of one size.
    fps : frames per second; GIF knows steps of 10 ms.
    max_bytes : a larger file is made again with half the frames, then smaller, until it fits.
    good : deg; errors up to here are drawn green, beyond twice this red.

    Raises
    ------
    ConfigError
        if there is no frame, sizes differ, or even the smallest version is too large.
    """
    if not frames:
        raise ConfigError("write_animation: needs at least one frame")
    for frame in frames:
        check_frame("write_animation", frame.overview)
        check_frame("write_animation", frame.eye)
        if (frame.overview.shape, frame.eye.shape) != (
            frames[0].overview.shape,
            frames[0].eye.shape,
        ):
            raise ConfigError("write_animation: all frames must have the same sizes")
    pictures = _Composer(frames, good).compose()
    scale, every = 1.0, 1
    while True:
        content = _encode(pictures[::every], 1000.0 * every / fps, scale)
        if len(content) <= max_bytes:
            return write_bytes(path, content)
        # Half the frames keep a motion readable down to about 6 per second.
        if every == 1 and fps > 9:
            every = 2
        else:
            scale *= 0.85
        if scale < _SMALLEST_SCALE:
            raise ConfigError(
                f"write_animation: {len(frames)} frames do not fit into {max_bytes} bytes;"
                " give fewer frames or a higher max_bytes"
            )


class _Composer:
    def __init__(self, frames: Sequence[AnimationFrame], good: float) -> None:
        self.frames = frames
        self.good = good
        self.phases = list(dict.fromkeys(frame.phase for frame in frames))
        height, width = frames[0].overview.shape[:2]
        self.view = (width, height)
        self.side = round(width * 0.66)
        eye_height, eye_width = frames[0].eye.shape[:2]
        self.eye = (self.side, round(self.side * eye_height / eye_width))
        self.eye_left = _MARGIN + width + _GAP
        self.size = (self.eye_left + self.side + _MARGIN, _HEADER + height + _MARGIN)
        finite = [frame.error for frame in frames if math.isfinite(frame.error)]
        self.highest = max([*finite, 2.5 * good])
        self.longest = max(sum(f.phase == phase for f in frames) for phase in self.phases)

    def compose(self) -> list[Image.Image]:
        pictures: list[Image.Image] = []
        course: list[float] = []
        phase = ""
        for frame in self.frames:
            if frame.phase != phase:
                phase, course = frame.phase, []
            course.append(frame.error)
            picture = Image.new("RGB", self.size, "white")
            picture.paste(rounded(frame.overview, self.view), (_MARGIN, _HEADER))
            picture.paste(rounded(frame.eye, self.eye), (self.eye_left, _HEADER))
            draw = ImageDraw.Draw(picture)
            self._draw_phases(draw, phase)
            self._draw_error(draw, course)
            pictures.append(picture)
        return pictures

    def _draw_phases(self, draw: ImageDraw.ImageDraw, now: str) -> None:
        width = (self.size[0] - 2 * _MARGIN - (len(self.phases) - 1) * 8) / len(self.phases)
        for index, phase in enumerate(self.phases):
            left = _MARGIN + index * (width + 8)
            box = (left, 8, left + width, _HEADER - 8)
            present = phase == now
            draw.rounded_rectangle(box, 12, fill=BLUE if present else "#eef2f5")
            draw.text(
                (left + width / 2, _HEADER / 2),
                phase,
                "white" if present else MUTED,
                font(13, bold=present),
                anchor="mm",
            )

    def _draw_error(self, draw: ImageDraw.ImageDraw, course: Sequence[float]) -> None:
        left, right = self.eye_left, self.eye_left + self.side
        top, bottom = _HEADER + self.eye[1] + 10, self.size[1] - _MARGIN
        if bottom - top < 40 or not math.isfinite(self.frames[0].error):
            return
        draw.text((left, top), "error", MUTED, font(12))
        recent = [value for value in course[-6:] if math.isfinite(value)]
        if recent:
            mean = sum(recent) / len(recent)
            colour = self._colour(mean)
            draw.text((right, top - 3), f"{mean:.0f}°", colour, font(17, bold=True), anchor="ra")
        graph = top + 22
        draw.line((left, bottom, right, bottom), GRID, 1)
        points = [
            (
                left + (right - left) * index / max(self.longest - 1, 1),
                bottom - (bottom - graph) * min(value / self.highest, 1.0),
            )
            for index, value in enumerate(course)
            if math.isfinite(value)
        ]
        if len(points) > 1:
            draw.line(points, INK, 2, joint="curve")

    def _colour(self, error: float) -> str:
        if error <= self.good:
            return GREEN
        return VERMILION if error > 2 * self.good else INK


def _encode(pictures: Sequence[Image.Image], milliseconds: float, scale: float) -> bytes:
    if scale < 1.0:
        size = (round(pictures[0].width * scale), round(pictures[0].height * scale))
        pictures = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    palette = _palette(pictures)
    nearest = _nearest(palette)
    previous: NDArray[np.uint8] | None = None
    frames = []
    for picture in pictures:
        # Without dithering, what stands still keeps its colour and costs nothing.
        pixels = np.asarray(picture)
        indexed = nearest[_RED[pixels[..., 0]] + _GREEN[pixels[..., 1]] + _BLUE[pixels[..., 2]]]
        drawn = indexed
        if previous is not None:
            drawn = np.where(indexed == previous, np.uint8(_TRANSPARENT), indexed)
        previous = indexed
        frame = Image.fromarray(drawn.astype(np.uint8))
        frame.putpalette(palette.tobytes())
        frames.append(frame)
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=max(20, round(milliseconds / 10) * 10),
        loop=0,
        disposal=1,
        transparency=_TRANSPARENT,
        optimize=False,
    )
    return buffer.getvalue()


def _palette(pictures: Sequence[Image.Image]) -> NDArray[np.uint8]:
    """Return one palette for all frames, uint8[128, 3]; its last entry stands for 'unchanged'.

    Vivid colours get a third of the entries: they are few pixels, but the ones that matter.
    """
    sample = pictures[:: max(1, len(pictures) // 12)]
    pixels = np.concatenate([np.asarray(picture).reshape(-1, 3) for picture in sample])
    spread = pixels.max(axis=1).astype(np.int16) - pixels.min(axis=1)
    vivid = spread > 90
    few = _TRANSPARENT // 3
    palette = np.full((_TRANSPARENT + 1, 3), 255, np.uint8)
    used = 1
    for part, count in ((pixels[vivid], few), (pixels[~vivid], _TRANSPARENT - few - 1)):
        if len(part):
            quantized = Image.fromarray(part[None]).quantize(count, Image.Quantize.MEDIANCUT)
            found = np.array(quantized.getpalette(), np.uint8).reshape(-1, 3)[:count]
            palette[used : used + len(found)] = found
            used += len(found)
    return palette


def _nearest(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the palette's nearest entry for each cell of the colour cube, uint8[64 ** 3].

    Pillow's own mapping takes neighbours that are merely near, which greys the white.
    """
    level = np.linspace(0, 255, _LEVELS)
    distance = (level[:, None] - palette[:_TRANSPARENT].T[:, None, :].astype(float)) ** 2
    table = np.empty((_LEVELS,) * 3, np.uint8)
    red, green, blue = distance
    for index in range(_LEVELS):
        table[index] = np.argmin(red[index] + green[:, None] + blue[None], axis=2)
    return table.ravel()
