"""WAV files: uncompressed sound of any width, read where it is needed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.codec.pcm import decode_pcm, sample_bytes
from ab_ros.errors import ConfigError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KNOWN = {
    (_PCM, 8): "U8",
    (_PCM, 16): "S16LE",
    (_PCM, 24): "S24LE",
    (_PCM, 32): "S32LE",
    (_FLOAT, 32): "F32LE",
    (_FLOAT, 64): "F64LE",
}


class WavFile:
    """A WAV file of PCM or floating-point samples.

    It is read as IBM and Microsoft's "Multimedia Programming Interface and Data Specifications 1.0"
    (1991) has it, with the extensible format of later files.  Samples stay in the file until they
    are asked for.

    Parameters
    ----------
    path : of the file.

    Attributes
    ----------
    rate : samples per second and channel.
    channels : at least 1.
    frames : samples per channel.

    Raises
    ------
    ConfigError
        with the path, for a file that cannot be read, is no WAV, is compressed, or has no sound.
    """

    def __init__(self, path: Path) -> None:
        try:
            with open(path, "rb") as file:
                header, parts = self._scan(file, path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        if header is None or len(header) < 16:
            raise ConfigError(f"{path}: has no complete 'fmt ' chunk, so it is no WAV file")
        kind, self.channels, self.rate, _, _, bits = struct.unpack_from("<HHIIHH", header)
        if kind == _EXTENSIBLE and len(header) >= 26:
            (kind,) = struct.unpack_from("<H", header, 24)
        self._format = _KNOWN.get((kind, bits), "")
        if not self._format:
            raise ConfigError(
                f"{path}: its samples (format {kind}, {bits} bits) are not read: they must be PCM"
                f" of 8, 16, 24 or 32 bits, or floating-point; convert it, as by"
                f" 'ffmpeg -i {path.name} -c:a pcm_s16le new.wav'"
            )
        if not self.channels or not self.rate:
            raise ConfigError(f"{path}: has {self.channels} channels at {self.rate} Hz")
        self._frame = sample_bytes(self._format) * self.channels
        self.frames = parts[1] // self._frame if parts else 0
        if not parts or not self.frames:
            raise ConfigError(f"{path}: there is no sound in it")
        shape = (self.frames * self._frame,)
        self._data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r", parts[0], shape)

    @property
    def seconds(self) -> float:
        """Its length, s."""
        return self.frames / self.rate

    def read(self, first: int, count: int) -> NDArray[Any]:
        """Return up to ``count`` samples per channel from ``first`` on.

        They are int16[n, channels] if the file's have 16 bits, else float32[n, channels] in
        [-1, 1].
        """
        begin, end = (min(max(k, 0), self.frames) for k in (first, first + count))
        data = self._data[begin * self._frame : end * self._frame]
        return decode_pcm(data, self._format, self.channels)

    @staticmethod
    def _scan(file: Any, path: Path) -> tuple[bytes | None, tuple[int, int] | None]:
        """Return the chunk 'fmt ', and offset and bytes of the chunk 'data'."""
        size = file.seek(0, 2)
        file.seek(0)
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise ConfigError(f"{path}: is no WAV file: it does not begin with RIFF and WAVE")
        header: bytes | None = None
        while len(head := file.read(8)) == 8:
            name, length = head[:4], struct.unpack("<I", head[4:])[0]
            here = file.tell()
            if name == b"data":
                # One that was cut short, or written as a stream, ends where the file does.
                return header, (here, min(length, size - here))
            if name == b"fmt ":
                header = file.read(min(length, 64))
            file.seek(here + length + length % 2)
        return header, None
