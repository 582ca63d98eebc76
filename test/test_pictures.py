"""Images of every encoding come out as the colours and depths that they were taken as."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.codec.compressed_pictures import MOST_PIXELS, jpeg_size, png_size, read_compressed
from ab_ros.codec.pictures import ENCODINGS, read_pixels
from ab_ros.errors import ObservationError

quick = settings(max_examples=60, deadline=None)

# One pixel of red 10, green 20 and blue 30.
COLOURS = {
    "rgb8": bytes([10, 20, 30]),
    "bgr8": bytes([30, 20, 10]),
    "8UC3": bytes([30, 20, 10]),
    "rgba8": bytes([10, 20, 30, 99]),
    "bgra8": bytes([30, 20, 10, 99]),
    "8UC4": bytes([30, 20, 10, 99]),
}
# Red, green and blue, or Y, U and V, at the four places of a 2 x 2 square.
MOSAICS = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}
# ITU-R BT.601, 8 bits: black, white, grey, and the bars of red, green and blue at full level.
BARS = {
    (16, 128, 128): (0, 0, 0),
    (235, 128, 128): (255, 255, 255),
    (126, 128, 128): (128, 128, 128),
    (81, 90, 240): (255, 0, 0),
    (145, 54, 34): (0, 255, 0),
    (41, 240, 110): (0, 0, 255),
}


@pytest.mark.parametrize("encoding", COLOURS)
@pytest.mark.parametrize("padding", [0, 3])
def test_eight_bit_colours_are_put_in_order(encoding: str, padding: int) -> None:
    pixel = COLOURS[encoding]
    dark = bytes(len(pixel))
    rows = (dark + pixel + dark + bytes(padding)) + (pixel + dark + dark + bytes(padding))
    format, image = read_pixels(rows, encoding, 3, 2, 3 * len(pixel) + padding)
    assert format == "rgb8" and image.dtype == np.uint8
    none, one = [0, 0, 0], [10, 20, 30]
    assert image.tolist() == [[none, one, none], [one, none, none]]


@pytest.mark.parametrize("encoding", ["rgb16", "bgr16", "rgba16", "bgra16"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_sixteen_bit_colours_give_their_high_bytes(encoding: str, big_endian: bool) -> None:
    values = [0x0AFF, 0x1400, 0x1E7F]
    values = values if encoding.startswith("rgb") else values[::-1]
    values += [0xFFFF] * ("a" in encoding)
    data = struct.pack((">" if big_endian else "<") + f"{len(values)}H", *values)
    step = len(data) + 4
    rows = (data + b"\x63" * 4) * 2
    format, image = read_pixels(rows, encoding, 1, 2, step, big_endian)
    assert (format, image.tolist()) == ("rgb8", [[[10, 20, 30]], [[10, 20, 30]]])


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_is_as_it_is(encoding: str) -> None:
    format, image = read_pixels(bytes([1, 2, 99, 3, 4, 99]), encoding, 2, 2, 3)
    assert (format, image.tolist()) == ("mono8", [[1, 2], [3, 4]])


@pytest.mark.parametrize("big_endian", [False, True])
def test_wide_grey_gives_its_high_byte(big_endian: bool) -> None:
    data = struct.pack(">3H" if big_endian else "<3H", 0x01FF, 0xFF00, 0x80)
    format, image = read_pixels(data, "mono16", 3, 1, 6, big_endian)
    assert (format, image.tolist()) == ("mono8", [[1, 255, 0]])


@pytest.mark.parametrize("big_endian", [False, True])
def test_millimetres_become_metres(big_endian: bool) -> None:
    data = struct.pack(">4Hxx" if big_endian else "<4Hxx", 0, 1, 1500, 65535)
    format, depth = read_pixels(data, "16UC1", 4, 1, 10, big_endian)
    assert format == "depth32" and depth.dtype == np.float32
    np.testing.assert_allclose(depth, [[np.nan, 0.001, 1.5, 65.535]], rtol=1e-6)


@pytest.mark.parametrize("big_endian", [False, True])
def test_metres_stay_and_what_did_not_return_is_nan(big_endian: bool) -> None:
    values = [0.0, 0.25, 1e3, np.nan, np.inf, -np.inf, -1.0]
    data = struct.pack(">7f" if big_endian else "<7f", *values)
    format, depth = read_pixels(data, "32FC1", 7, 1, 28, big_endian)
    none = np.nan
    assert format == "depth32"
    np.testing.assert_array_equal(depth, [[none, 0.25, 1e3, none, none, none, none]])


@pytest.mark.parametrize("name", MOSAICS)
@pytest.mark.parametrize("wide", [False, True])
def test_a_mosaic_of_one_colour_is_that_colour(name: str, wide: bool) -> None:
    levels = {"R": 200, "G": 100, "B": 50}
    a, b, c, d = (levels[letter] for letter in MOSAICS[name])
    mosaic = np.tile(np.array([[a, b], [c, d]]), (3, 4))
    kind = ">u2" if wide else "u1"
    data = ((mosaic << 8) + 99 if wide else mosaic).astype(kind).tobytes()
    step = 16 if wide else 8
    format, image = read_pixels(data, f"bayer_{name}{16 if wide else 8}", 8, 6, step, True)
    assert format == "rgb8"
    assert image.shape == (6, 8, 3)
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]]


def test_a_mosaic_too_small_to_interpolate_is_refused() -> None:
    with pytest.raises(ObservationError, match="eye: a mosaic must have at least 3x3 pixels"):
        read_pixels(bytes(8), "bayer_rggb8", 2, 4, 2, where="eye")


def yuv_bytes(encoding: str, y: int, u: int, v: int, step: int) -> bytes:
    """Return 4 x 2 pixels of one colour; rows are filled up with 77."""

    def rows(row: list[int], count: int, step: int = step) -> bytes:
        return bytes(row + [77] * (step - len(row))) * count

    if encoding in ("uyvy", "yuv422"):
        return rows([u, y, v, y] * 2, 2)
    if encoding in ("yuyv", "yuv422_yuy2"):
        return rows([y, u, y, v] * 2, 2)
    if encoding == "nv24":
        return rows([y] * 4, 2) + rows([u, v] * 4, 2, 2 * step)
    pair = [u, v] if encoding == "nv12" else [v, u]
    return rows([y] * 4, 2) + rows(pair * 2, 1)


YUV = {"uyvy": 8, "yuv422": 8, "yuyv": 8, "yuv422_yuy2": 8, "nv12": 4, "nv21": 4, "nv24": 4}


@pytest.mark.parametrize("encoding", YUV)
@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("bar", BARS)
def test_colour_bars_of_video_have_their_colours(
    encoding: str, padding: int, bar: tuple[int, int, int]
) -> None:
    step = YUV[encoding] + padding
    format, image = read_pixels(yuv_bytes(encoding, *bar, step), encoding, 4, 2, step)
    assert format == "rgb8"
    assert image.shape == (2, 4, 3)
    assert np.abs(image.astype(int) - BARS[bar]).max() <= 2


@pytest.mark.parametrize("encoding", YUV)
def test_brightness_of_video_is_each_pixels_own(encoding: str) -> None:
    data = bytearray(yuv_bytes(encoding, 16, 128, 128, YUV[encoding]))
    place = {"uyvy": 1 + 2, "yuv422": 1 + 2, "yuyv": 2, "yuv422_yuy2": 2}.get(encoding, 1)
    data[place] = 235  # the second pixel of the first row
    _, image = read_pixels(bytes(data), encoding, 4, 2, YUV[encoding])
    assert image[:, :, 0].tolist() == [[0, 255, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("encoding", "step"), [("nv12", 6), ("nv21", 6), ("nv24", 12)])
def test_a_step_that_counts_all_planes_is_understood(encoding: str, step: int) -> None:
    data = yuv_bytes(encoding, 81, 90, 240, 4)
    _, image = read_pixels(data, encoding, 4, 2, step)
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 2


def test_every_encoding_is_tried_above() -> None:
    mosaics = {f"bayer_{name}{bits}" for name in MOSAICS for bits in (8, 16)}
    wide = {"rgb16", "bgr16", "rgba16", "bgra16", "mono16", "16UC1", "32FC1"}
    assert set(ENCODINGS) == {*COLOURS, *wide, *mosaics, *YUV, "mono8", "8UC1"}


@pytest.mark.parametrize(
    ("size", "encoding", "form", "words"),
    [
        (12, "rgb9", (2, 2, 6), "eye: encoding 'rgb9' is not read; one of: rgb8, bgr8"),
        (12, "", (2, 2, 6), "encoding '' is not read"),
        (11, "rgb8", (2, 2, 6), "11 bytes and step 6 for 2 rows of 2 rgb8 pixels"),
        (12, "rgb8", (3, 2, 6), "a step of at least 9 bytes"),
        (0, "mono8", (0, 2, 0), "there must be rows"),
        (0, "mono8", (2, 0, 2), "there must be rows"),
        (6, "uyvy", (3, 1, 6), "the width must be even, not 3"),
        (9, "nv21", (3, 2, 3), "width and height must be even, not 3x2"),
        (12, "nv12", (4, 3, 4), "width and height must be even, not 4x3"),
        (13, "nv12", (4, 2, 4), "13 bytes and step 4 for 2 rows of 4 nv12 pixels; .* and 3 x step"),
        (12, "nv12", (4, 2, 3), "a step of at least 4 bytes"),
        (0, "nv24", (4, 0, 4), "there must be rows"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(
    size: int, encoding: str, form: tuple[int, int, int], words: str
) -> None:
    width, height, step = form
    with pytest.raises(ObservationError, match=words):
        read_pixels(bytes(size), encoding, width, height, step, where="eye")


@quick
@given(
    st.sampled_from(ENCODINGS),
    st.binary(max_size=200),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 30),
    st.booleans(),
    st.booleans(),
)
def test_whatever_comes_is_an_image_or_refused(
    encoding: str, data: bytes, width: int, height: int, step: int, big: bool, fit: bool
) -> None:
    if fit:
        data = (data + bytes(step * height))[: step * height]
    try:
        format, image = read_pixels(data, encoding, width, height, step, big)
    except ObservationError:
        return
    assert image.shape == ((height, width, 3) if format == "rgb8" else (height, width))
    assert image.dtype == (np.float32 if format == "depth32" else np.uint8)
    assert not image.flags.writeable


def png(image: np.ndarray) -> bytes:
    """Return a PNG written by hand: grey uint8 or uint16 [H, W], or uint8[H, W, 3 or 4]."""
    height, width = image.shape[:2]
    colour = {1: 0, 3: 2, 4: 6}[image.shape[2] if image.ndim == 3 else 1]
    table = image.astype(">u2" if image.dtype == np.uint16 else "u1")
    lines = b"".join(b"\0" + row.tobytes() for row in table)

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8 * image.dtype.itemsize, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(red: int, green: int, blue: int) -> bytes:
    image = np.full((16, 24, 3), (blue, green, red), np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@pytest.mark.parametrize("format", ["", "jpeg", "jpg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg"])
def test_a_jpeg_has_its_colours(format: str) -> None:
    kind, image = read_compressed(jpeg(200, 100, 50), format)
    assert kind == "rgb8" and image.shape == (16, 24, 3) and not image.flags.writeable
    assert np.abs(image.astype(int) - [200, 100, 50]).max() <= 3


def test_a_jpeg_that_was_stored_as_rgb_is_put_right() -> None:
    _, image = read_compressed(jpeg(200, 100, 50), "rgb8; jpeg compressed rgb8")
    assert np.abs(image.astype(int) - [50, 100, 200]).max() <= 3


def test_a_grey_jpeg_is_grey() -> None:
    data = cv2.imencode(".jpg", np.full((8, 8), 90, np.uint8))[1].tobytes()
    kind, image = read_compressed(data, "mono8; jpeg compressed ")
    assert kind == "mono8" and image.shape == (8, 8)
    assert np.abs(image.astype(int) - 90).max() <= 2


def test_the_orientation_of_a_phone_is_not_a_robots() -> None:
    plain = jpeg(1, 2, 3)
    exif = b"Exif\0\0" + b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    assert read_compressed(turned)[1].shape == (16, 24, 3)


@pytest.mark.parametrize("format", ["png", "", "bgr8; png compressed bgr8"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_is_read_exactly(format: str, channels: int) -> None:
    pixels = np.arange(2 * 5 * channels, dtype=np.uint8).reshape(2, 5, channels)
    kind, image = read_compressed(png(pixels), format)
    assert kind == "rgb8"
    np.testing.assert_array_equal(image, pixels[:, :, :3])


def test_a_png_of_depths_is_in_metres_and_one_of_grey_is_not() -> None:
    data = png(np.array([[0, 1500], [65535, 256]], np.uint16))
    kind, depth = read_compressed(data, "16UC1; png compressed ")
    assert kind == "depth32"
    np.testing.assert_allclose(depth, [[np.nan, 1.5], [65.535, 0.256]], rtol=1e-6)
    for format in ("mono16; png compressed ", "png"):
        kind, grey = read_compressed(data, format)
        assert (kind, grey.tolist()) == ("mono8", [[0, 5], [255, 1]])


def test_a_png_of_a_mosaic_is_interpolated() -> None:
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (2, 2))
    kind, image = read_compressed(png(mosaic), "bayer_rggb8; png compressed ")
    assert kind == "rgb8"
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]]


@pytest.mark.parametrize(
    "format", ["16UC1; compressedDepth", "32FC1; compressedDepth png", "32FC1; compressed_depth"]
)
def test_compressed_depth_is_refused_with_what_to_do(format: str) -> None:
    with pytest.raises(
        ObservationError, match=r"compressed_depth_image_transport .* give the topic"
    ):
        read_compressed(bytes(12) + png(np.ones((2, 2), np.uint16)), format)


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\1gB", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF" * 9]
)
def test_other_codecs_are_refused(data: bytes) -> None:
    with pytest.raises(ObservationError, match=r"eye: .* 'h264' have no header of a JPEG or PNG"):
        read_compressed(data, "h264", "eye")


def test_a_damaged_image_is_refused() -> None:
    for data in (png(np.ones((4, 4), np.uint8))[:40], jpeg(1, 2, 3)[:200]):
        with pytest.raises(ObservationError, match="cannot be read to the end"):
            read_compressed(data)


def test_a_file_that_claims_to_be_huge_is_not_decompressed() -> None:
    small = png(np.ones((1, 1), np.uint8))
    huge = small[:16] + struct.pack(">II", 2**16, 2**16) + small[24:]
    assert png_size(huge) == (2**16, 2**16)
    whole = jpeg(1, 2, 3)
    place = whole.index(b"\xff\xc0") + 5
    long = whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :]
    assert jpeg_size(long) == (65535, 65535)
    for data in (huge, long):
        with pytest.raises(ObservationError, match=f"has more than {MOST_PIXELS} pixels"):
            read_compressed(data)


@quick
@given(st.binary(max_size=60), st.integers(0, 400), st.text(max_size=20), st.booleans())
def test_garbage_in_a_file_is_an_image_or_refused(
    noise: bytes, place: int, format: str, of_jpeg: bool
) -> None:
    whole = jpeg(9, 8, 7) if of_jpeg else png(np.ones((5, 5, 3), np.uint8))
    data = whole[:place] + noise + whole[place + len(noise) :]
    try:
        _, image = read_compressed(data, format)
    except ObservationError:
        return
    assert image.size <= 3 * MOST_PIXELS
