"""Samples and feedback as bytes and back: round trips, what is refused, and garbage."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ab_ros.codec.audio import waveform
from ab_ros.errors import ObservationError, ProtocolError
from ab_ros.protocol.formats import (
    SAMPLE_FORMATS,
    Payload,
    decode_deviation,
    decode_raster,
    decode_sample,
    encode_deviation,
    encode_image,
    encode_joints,
    encode_raster,
    encode_sound,
    encode_values,
)
from ab_ros.protocol.messages import Chunk
from ab_ros.values import Deviation, Observation


def observed(format: str, data: Any, **meta: Any) -> Observation:
    return Observation("in", "Kind", 1.5, format, data, meta)


def sent(payload: Payload, input: str = "in") -> Chunk:
    """Return the chunk that arrives: its meta has been JSON in between."""
    meta = json.loads(json.dumps(dict(payload.meta), allow_nan=False))
    return Chunk("r", input, "Kind", 1, 1.5, payload.format, meta, payload.data)


def chunk(format: str, data: bytes, **meta: Any) -> Chunk:
    return Chunk("r", "in", "Kind", 1, 1.5, format, meta, data)


def picture(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return an RGB image: red on the left, blue on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 250
    image[:, width // 2 :, 2] = 250
    return image


@pytest.mark.parametrize("format", ["rgb8", "bgr8"])
def test_a_camera_image_keeps_its_colours(format: str) -> None:
    image = picture() if format == "rgb8" else picture()[:, :, ::-1]
    payload = encode_image(observed(format, image), quality=95)
    assert payload.meta == {"width": 64, "height": 48}
    back = decode_sample(sent(payload), "Image")
    assert (back.id, back.kind, back.stamp, back.format) == ("in", "Image", 1.5, "bgr8")
    assert isinstance(back.data, np.ndarray) and back.data.shape == (48, 64, 3)
    error = np.abs(back.data[:, :, ::-1].astype(int) - picture().astype(int))
    assert np.median(error) <= 4
    with pytest.raises(ValueError, match="read-only"):
        back.data[0, 0, 0] = 1


def test_a_grey_image_and_a_finished_jpeg_go_as_they_are() -> None:
    grey = np.full((10, 20), 90, np.uint8)
    payload = encode_image(observed("mono8", grey))
    back = decode_sample(sent(payload), "Image").data
    assert isinstance(back, np.ndarray) and np.abs(back.astype(int) - 90).max() <= 3
    again = encode_image(observed("jpeg", payload.data))
    assert again == payload
    assert encode_image(observed("jpeg", np.frombuffer(payload.data, np.uint8))) == payload
    assert len(encode_image(observed("rgb8", picture()), 10).data) < len(
        encode_image(observed("rgb8", picture()), 95).data
    )


@pytest.mark.parametrize(
    "observation",
    [
        observed("jpeg", b""),
        observed("jpeg", b"\xff\xd8\xff\xe0JPEG\x01"),
        observed("jpeg", np.zeros(4)),
        observed("rgb8", b"123"),
        observed("rgb8", np.zeros((4, 4), np.uint8)),
        observed("depth", np.zeros((4, 4, 3), np.uint8)),
    ],
)
def test_what_is_no_image_is_refused_as_an_observation(observation: Observation) -> None:
    with pytest.raises(ObservationError, match="'in'"):
        encode_image(observation)


def header(width: int, height: int, before: bytes = b"") -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + before + frame + b"\xff\xd9"


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xff\xff\xff",  # filled up
        b"\xff\xd0",  # a marker that has no length: what follows is no length either
        b"\xff\x01\xff\xd7\xff",
        b"\xff\xe0\x00\x04ab",
    ],
)
def test_an_image_that_would_fill_the_memory_is_refused_before_it_is_decoded(
    before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    # A small frame where a naive reader would look next does not hide the large one.
    data = header(65000, 65000, before) + b"\0" * 70_000
    for place in (0xFFC0 + 4, 0xFFC0 + 6, 0xFFC0 + 8):
        data = data[:place] + header(8, 8)[2:] + data[place:]
    with pytest.raises(ProtocolError, match="65000x65000 has more than 16777216 pixels"):
        decode_sample(chunk("jpeg", data), "Image")


def test_a_jpeg_that_is_cut_short_or_broken_is_refused_or_read() -> None:
    whole = encode_image(observed("rgb8", picture())).data
    for end in (0, 1, 2, 3, 20, 100, 160):
        with pytest.raises(ProtocolError, match="JPEG"):
            decode_sample(chunk("jpeg", whole[:end]), "Image")
    for data in (header(0, 5), header(5, 0), header(8, 8), b"\xff\xd8" + b"\xff" * 50):
        with pytest.raises(ProtocolError, match="JPEG"):
            decode_sample(chunk("jpeg", data), "Image")


int16 = hnp.arrays(np.int16, st.integers(2, 40), elements=st.integers(-32768, 32767))


@given(int16, st.sampled_from([8000, 16000, 48000]), st.sampled_from([1, 2]))
def test_sound_of_integers_comes_back_exactly(
    samples: NDArray[np.int16], rate: int, channels: int
) -> None:
    samples = samples[: samples.size // channels * channels].reshape(-1, channels)
    shapes: list[Observation] = [
        observed("int16", samples, rate=rate),
        observed("int16", samples.reshape(-1), rate=rate, channels=channels),
        observed("pcm16", samples.astype("<i2").tobytes(), rate=rate, channels=channels),
        observed("pcm16", samples.astype("<i2").tobytes(), sampleRate=rate, channels=channels),
    ]
    for observation in shapes:
        payload = encode_sound(observation)
        assert payload.meta == {"sampleRate": rate, "channels": channels}
        back = decode_sample(sent(payload), "Audio")
        assert (back.format, back.meta["rate"]) == ("int16", rate)
        np.testing.assert_array_equal(np.asarray(back.data).reshape(-1, channels), samples)
        np.testing.assert_array_equal(waveform(back), waveform(observation))


@given(hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-2, 2, width=32)))
def test_sound_of_floats_comes_back_clipped(samples: NDArray[np.float32]) -> None:
    back = decode_sample(sent(encode_sound(observed("float32", samples, rate=16000))), "Audio")
    np.testing.assert_allclose(waveform(back), np.clip(samples, -1, 1), atol=2 / 32768)


@pytest.mark.parametrize(
    ("observation", "says"),
    [
        (observed("int16", np.zeros(4, np.int16)), "sample rate"),
        (observed("int16", np.zeros(4, np.int16), rate=True), "sample rate"),
        (observed("int16", np.zeros(0, np.int16), rate=16000), "no sound"),
        (observed("int16", np.zeros(3, np.int16), rate=16000, channels=2), "3 samples"),
        (observed("int16", np.zeros(4, np.int16), rate=16000, channels=0), "channels"),
        (observed("pcm16", b"123", rate=16000), "3 bytes"),
        (observed("float32", np.array([np.nan], np.float32), rate=16000), "finite"),
        (observed("mp3", b"12", rate=16000), "not known"),
    ],
)
def test_what_is_no_sound_is_refused(observation: Observation, says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        encode_sound(observation)


def test_joint_states_go_as_position_previous_velocity() -> None:
    table = np.array([[0.5, -1.0], [0.1, np.nan], [np.nan, np.nan]])
    state = observed("joint_state", table, names=("a", "b"))
    payload = encode_joints(state, {"a": 0.25}, bounds=(-2.0, 2.0))
    assert payload.meta == {"lo": -2.0, "hi": 2.0, "names": ["a", "b"]}
    triples = np.frombuffer(payload.data, "<f4").reshape(2, 3)
    np.testing.assert_allclose(triples, [[0.5, 0.25, 0.1], [-1.0, -1.0, 0.0]])
    back = decode_sample(sent(payload), "Proprioception")
    assert back.format == "joint_state" and tuple(back.meta["names"]) == ("a", "b")
    np.testing.assert_allclose(np.asarray(back.data)[:2], [[0.5, -1.0], [0.1, 0.0]], atol=1e-6)
    assert np.isnan(np.asarray(back.data)[2]).all()

    one = encode_joints(state, joints=("b",))
    assert len(one.data) == 12
    assert one.meta["rawTick"] == one.meta["prevRawTick"] == -1.0
    assert one.meta["velTickPerS"] == 0.0
    # A client that does not say which joint it is: the contract's, else the input's name.
    plain = chunk("rawtick_f32x3", one.data, rawTick=-1.0)
    assert decode_sample(plain, "Proprioception", ("b",)).meta["names"] == ("b",)
    assert decode_sample(plain, "Proprioception").meta["names"] == ("in",)


@given(
    hnp.arrays(np.float64, (3, 2), elements=st.floats()),
    st.dictionaries(st.sampled_from("ab"), st.floats()),
    st.none() | st.tuples(st.floats(), st.floats()),
)
def test_joint_states_that_are_sent_can_be_read(
    table: NDArray[np.float64], previous: dict[str, float], bounds: tuple[float, float] | None
) -> None:
    state = observed("joint_state", table, names=("a", "b"))
    try:
        payload = encode_joints(state, previous, bounds=bounds)
    except ObservationError:
        with np.errstate(over="ignore"):
            assert not np.isfinite(table[0].astype(np.float32)).all()
        return
    back = decode_sample(sent(payload), "Proprioception")
    np.testing.assert_allclose(np.asarray(back.data)[0], table[0], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    ("observation", "says"),
    [
        (observed("joint_state", b"12"), "must be joint states"),
        (observed("joint_state", np.zeros((3, 2)), names=("a",)), "must be joint states"),
        (observed("joint_state", np.zeros((0, 1)), names=("a",)), "must be joint states"),
        (observed("joint_state", np.zeros((3, 0)), names=()), "must be joint states"),
        (observed("joint_state", np.zeros(3), names=("a", "b", "c")), "must be joint states"),
        (observed("joint_state", np.array([["x"]]), names=("a",)), "must be joint states"),
        (observed("joint_state", np.zeros((3, 1)), names=("b",)), "lack a; they have one of: b"),
    ],
)
def test_what_are_no_joint_states_is_refused(observation: Observation, says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        encode_joints(observation, joints=("a",))


@given(hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32)))
def test_values_come_back_or_are_refused(values: NDArray[np.float32]) -> None:
    if np.isfinite(values).all():
        back = decode_sample(sent(encode_values(observed("numbers", values))), "Vector")
        np.testing.assert_array_equal(np.asarray(back.data), values.astype(np.float64))
        assert back.format == "numbers"
    else:
        with pytest.raises(ObservationError, match="finite"):
            encode_values(observed("numbers", values))
    for wrong in (b"12", np.array(["a"]), np.array([1e300])):
        with pytest.raises(ObservationError):
            encode_values(observed("numbers", wrong))


@given(hnp.arrays(np.float32, 8, elements=st.floats(-1, 1, width=32)))
def test_feedback_comes_back(values: NDArray[np.float32]) -> None:
    payload = encode_deviation(Deviation("fb", values), 50)
    assert payload.meta == {"T": 8, "N": 50}
    back = decode_deviation(sent(payload, "fb"), 8)
    assert back.feedback == "fb"
    np.testing.assert_array_equal(back.values, values)
    raster = values.reshape(2, 4)
    payload = encode_raster(raster)
    assert payload.meta == {"T": 2, "N": 4}
    np.testing.assert_array_equal(decode_raster(sent(payload), 2, 4), raster)


def test_feedback_of_the_wrong_form_is_refused_and_of_the_wrong_size_clamped() -> None:
    data = struct.pack("<2f", -7.0, 0.5)
    assert decode_deviation(chunk("deviation_f32", data), 2).values.tolist() == [-1.0, 0.5]
    with pytest.raises(ProtocolError, match="8 bytes, but 3 deviations have 12"):
        decode_deviation(chunk("deviation_f32", data), 3)
    with pytest.raises(ProtocolError, match="2 timesteps of 4 neurons have 32"):
        decode_raster(chunk("raster_f32", data), 2, 4)
    for value in (math.nan, math.inf):
        with pytest.raises(ProtocolError, match="finite"):
            decode_deviation(chunk("deviation_f32", struct.pack("<f", value)), 1)


def test_recorded_feedback_is_read() -> None:
    # As the published client sent it: T·N values, negative ones inhibit.
    data = bytes.fromhex("000000000000803f000080bf00002040")
    assert decode_raster(chunk("raster_f32", data), 2, 2).tolist() == [[0.0, 1.0], [-1.0, 2.5]]


@given(
    st.sampled_from([*SAMPLE_FORMATS, "png", ""]),
    st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: header(8, 8) + tail),
    st.dictionaries(
        st.sampled_from(["sampleRate", "channels", "names", "N", "width"]),
        st.integers(-2, 20000) | st.none() | st.text(max_size=2) | st.lists(st.text(max_size=2)),
    ),
)
def test_garbage_gives_a_sample_or_a_protocol_error(
    format: str, data: bytes, meta: dict[str, Any]
) -> None:
    try:
        sample = decode_sample(chunk(format, data, **meta), "Kind")
    except ProtocolError:
        return
    assert isinstance(sample.data, np.ndarray) and not sample.data.flags.writeable
