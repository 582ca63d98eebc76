"""Values survive the way into ROS messages, over the wire and back; bad messages are refused."""

from __future__ import annotations

import array
import base64
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState

from ab_ros.contract import Contract
from ab_ros.errors import ContractError, ObservationError, PolicyError
from ab_ros.nodes.messages import (
    actuator_deltas,
    brain_contract,
    deviation_message,
    nanoseconds,
    nanoseconds_to_time,
    read_actuator_deltas,
    read_brain_contract,
    read_deviation,
    read_reward,
    read_spike_raster,
    reward_message,
    seconds,
    spike_raster,
    to_time,
)
from ab_ros.nodes.robot_messages import (
    forward_compressed_image,
    image,
    joint_state_message,
    joint_trajectory,
    read_compressed_image,
    read_image,
    read_joint_state,
)
from ab_ros.nodes.robot_messages import joint_state as make_joint_state
from ab_ros.protocol.formats import encode_image
from ab_ros.values import ChannelDeltas, Cycle, Deviation, Reward

pytestmark = pytest.mark.ros

quick = settings(max_examples=30, deadline=None)
names = st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text and text.isprintable())
stamps = st.integers(0, 2**31 - 1).map(float)


def over_the_wire(message: Any) -> Any:
    return deserialize_message(serialize_message(message), type(message))


@quick
@given(
    st.integers(1, 20).flatmap(
        lambda rows: arrays.arrays(np.float64, (rows, 2), elements=st.floats(width=64))
    )
)
def test_a_cycle_of_commands_returns_as_it_was(values: np.ndarray) -> None:
    deltas = ChannelDeltas(("pan", "tilt"), values)
    cycle = Cycle("run", 3, {}, 1e-3, 1.5, 1.25, deltas=deltas)
    back = read_spike_raster(over_the_wire(spike_raster(cycle)))
    assert back.deltas is not None and back.deltas.names == deltas.names
    np.testing.assert_array_equal(back.deltas.values, values)
    assert (back.timesteps, back.rasters) == (len(values), {})


@st.composite
def cycles(draw: Any) -> Cycle:
    timesteps = draw(st.integers(1, 40))
    sizes = draw(st.dictionaries(names, st.integers(0, 20), min_size=1, max_size=4))
    rasters = {
        name: draw(arrays.arrays(np.uint8, (timesteps, size), elements=st.integers(0, 1)))
        for name, size in sizes.items()
    }
    return Cycle(
        run=draw(names),
        number=draw(st.integers(0, 2**64 - 1)),
        rasters=rasters,
        dt=draw(st.floats(1e-6, 1.0)),
        stamp=draw(stamps),
        observed=draw(stamps),
    )


@quick
@given(cycles())
def test_a_cycle_returns_as_it_was(cycle: Cycle) -> None:
    back = read_spike_raster(over_the_wire(spike_raster(cycle)))
    assert list(back.rasters) == list(cycle.rasters)
    for name, raster in cycle.rasters.items():
        assert back.rasters[name].dtype == np.uint8
        assert not back.rasters[name].flags.writeable
        np.testing.assert_array_equal(back.rasters[name], raster)
    assert (back.run, back.number, back.dt) == (cycle.run, cycle.number, cycle.dt)
    assert (back.stamp, back.observed) == (cycle.stamp, cycle.observed)


def test_events_are_ordered_by_timestep_then_neuron() -> None:
    raster = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    message = spike_raster(Cycle("run", 0, {"motor": raster}, 1e-3, 0.0, 0.0))
    (population,) = message.populations
    assert list(population.t) == [0, 0, 1]
    assert list(population.neuron) == [1, 2, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.populations[0].t.append(4), "5 timesteps but 4 neurons"),
        (lambda m: m.populations[0].t.__setitem__(0, 9), "timestep 9; must be below 2"),
        (lambda m: m.populations[0].neuron.__setitem__(0, 9), "neuron 9; must be below 2"),
        (lambda m: setattr(m, "dt", float("nan")), "dt must be greater than 0"),
        (lambda m: setattr(m, "channel", ["a"]), "0 values for 2 timesteps and 1 channels"),
        (lambda m: setattr(m, "delta", array.array("d", [1.0])), "1 values for 2 timesteps and 0"),
        (lambda m: m.populations.append(m.populations[0]), "comes twice"),
        (lambda m: setattr(m.populations[0], "size", 2**32 - 1), "at most"),
    ],
)
def test_a_wrong_raster_is_refused(change: Any, words: str) -> None:
    message = spike_raster(Cycle("r", 7, {"motor": np.ones((2, 2), np.uint8)}, 1e-3, 0.0, 0.0))
    change(message)
    with pytest.raises(ContractError, match=words):
        read_spike_raster(message)


def test_a_raster_must_fit_the_contract() -> None:
    contract = Contract.from_dict({"io": {"outputs": [{"id": "motor", "n": 3}]}})
    for name, words in (("motor", "2 neurons; the contract says 3"), ("leg", "no output")):
        cycle = Cycle("r", 7, {name: np.ones((2, 2), np.uint8)}, 1e-3, 0.0, 0.0)
        with pytest.raises(ContractError, match=words):
            read_spike_raster(spike_raster(cycle), contract)


@quick
@given(
    st.floats(0.0, 1.0),
    st.dictionaries(names, st.floats(0.0, 1.0), max_size=4),
    names,
    st.integers(0, 2**64 - 1),
)
def test_a_reward_returns_as_it_was(
    overall: float, layers: dict[str, float], run: str, cycle: int
) -> None:
    reward = Reward(overall, layers)
    message = over_the_wire(reward_message(reward, run, cycle, 1.5))
    assert read_reward(message) == reward
    assert (message.run, message.cycle, seconds(message.header.stamp)) == (run, cycle, 1.5)


def test_a_wrong_reward_is_refused() -> None:
    message = reward_message(Reward(0.5, {"a": 0.5}), "r", 0, 0.0)
    message.layer_reward.append(0.1)
    with pytest.raises(ContractError, match="1 layers"):
        read_reward(message)
    message.layer_reward = array.array("d", [1.5])
    with pytest.raises(PolicyError, match=r"'a'.*within \[0, 1\]"):
        read_reward(message)


@quick
@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-1, 1, width=32)))
def test_a_deviation_returns_as_it_was(values: np.ndarray) -> None:
    message = over_the_wire(deviation_message(Deviation("pan", values), "r", 3, 0.25))
    back = read_deviation(message)
    assert back.feedback == "pan"
    np.testing.assert_array_equal(back.values, values)
    assert back.values.dtype == np.float32


def test_a_deviation_must_fit_the_contract() -> None:
    contract = Contract.from_dict(
        {"constants": {"feedbackT": 4}, "io": {"feedback": [{"id": "a"}]}}
    )
    good = deviation_message(Deviation("a", np.zeros(4, np.float32)), "r", 0, 0.0)
    assert read_deviation(good, contract).values.size == 4
    for name, size in (("a", 3), ("b", 4)):
        bad = deviation_message(Deviation(name, np.zeros(size, np.float32)), "r", 0, 0.0)
        with pytest.raises(ContractError):
            read_deviation(bad, contract)


def test_a_contract_returns_with_its_digest() -> None:
    contract = Contract.from_dict(
        {"io": {"inputs": [{"id": "eye", "kind": "Image"}], "outputs": [{"id": "µ", "n": 3}]}}
    )
    message = over_the_wire(brain_contract(contract, "run"))
    assert read_brain_contract(message).sha256 == contract.sha256 and not message.remote
    assert over_the_wire(brain_contract(contract, "run", remote=True)).remote
    message.sha256 = "0" * 64
    with pytest.raises(ContractError, match="SHA-256"):
        read_brain_contract(message)


@quick
@given(
    st.integers(0, 20).flatmap(
        lambda rows: arrays.arrays(np.float64, (rows, 2), elements=st.floats(-10, 10))
    )
)
def test_deltas_return_as_they_were(values: np.ndarray) -> None:
    deltas = ChannelDeltas(("pan", "tilt"), values)
    back = read_actuator_deltas(over_the_wire(actuator_deltas(deltas, "r", 1, 1e-3, 0.0)))
    assert back.names == deltas.names
    np.testing.assert_array_equal(back.values, values)


@quick
@given(st.integers(-(2**31) * 10**9, (2**31) * 10**9 - 1))
def test_time_is_exact_to_the_nanosecond(stamp: int) -> None:
    assert nanoseconds(nanoseconds_to_time(stamp)) == stamp


@quick
@given(st.floats(0.0, 2**31 - 2))
def test_a_stamp_is_rounded_to_the_nearest_nanosecond(stamp: float) -> None:
    message = to_time(stamp)
    assert abs(seconds(message) - stamp) <= 0.5e-9 + np.spacing(stamp)
    assert nanoseconds(to_time(seconds(message))) - nanoseconds(message) in range(-240, 241)


def test_a_stamp_that_does_not_fit_is_refused() -> None:
    for stamp in (float("nan"), float("inf"), 1e12):
        with pytest.raises(ContractError, match="stamp"):
            to_time(stamp)
    assert nanoseconds(to_time(0.9999999999)) == 10**9


@quick
@given(
    st.sampled_from(["rgb8", "bgr8", "mono8"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_an_image_is_read_whatever_its_step(
    encoding: str, height: int, width: int, padding: int
) -> None:
    channels = 1 if encoding == "mono8" else 3
    pixels = np.arange(height * width * channels, dtype=np.uint8).reshape(height, width, channels)
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)), constant_values=99)
    message = Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        data=array.array("B", rows.tobytes()),
    )
    seen = read_image(over_the_wire(message), "eye")
    expected = pixels[:, :, ::-1] if encoding == "bgr8" else pixels
    expected = expected[:, :, 0] if channels == 1 else expected
    assert seen.format == ("mono8" if channels == 1 else "rgb8")
    np.testing.assert_array_equal(seen.data, expected)


def test_an_image_message_is_read_as_it_was_made() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    seen = read_image(over_the_wire(image(pixels, 3.5, "camera")), "eye")
    np.testing.assert_array_equal(seen.data, pixels)
    assert (seen.id, seen.stamp, seen.meta["frame_id"]) == ("eye", 3.5, "camera")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "h264"}, "image for 'eye': encoding 'h264' is not read; one of: rgb8, bgr8"),
        ({"height": 3}, "24 bytes and step 12 for 3 rows of 4 rgb8"),
        ({"step": 11}, "a step of at least 12"),
        ({"height": 0, "step": 0, "data": array.array("B")}, "there must be rows"),
    ],
)
def test_a_wrong_image_is_refused(changes: dict[str, Any], words: str) -> None:
    message = image(np.zeros((2, 4, 3), np.uint8), 0.0)
    for field, value in changes.items():
        setattr(message, field, value)
    with pytest.raises(ObservationError, match=words):
        read_image(message, "eye")


@pytest.mark.parametrize(
    ("encoding", "big_endian", "row", "format", "expected"),
    [
        ("bgra8", 0, bytes([30, 20, 10, 255, 3, 2, 1, 0]), "rgb8", [[10, 20, 30], [1, 2, 3]]),
        ("mono16", 1, struct.pack(">2H", 0x1234, 0xFF00), "mono8", [0x12, 0xFF]),
        ("16UC1", 0, struct.pack("<2H", 250, 0), "depth32", [0.25, np.nan]),
        ("32FC1", 1, struct.pack(">2f", 0.5, np.inf), "depth32", [0.5, np.nan]),
        ("yuv422_yuy2", 0, bytes([16, 128, 235, 128]), "rgb8", [[0, 0, 0], [255, 255, 255]]),
    ],
)
def test_images_of_other_encodings_are_read(
    encoding: str, big_endian: int, row: bytes, format: str, expected: list[Any]
) -> None:
    message = Image(height=2, width=2, encoding=encoding, is_bigendian=big_endian)
    message.step = len(row) + 5
    message.data = array.array("B", (row + bytes(5)) * 2)
    message.header.frame_id = "eye_link"
    seen = read_image(over_the_wire(message), "eye")
    assert (seen.format, seen.meta["frame_id"]) == (format, "eye_link")
    np.testing.assert_allclose(seen.data, [expected, expected])


# A PNG of 2 x 1 pixels, red 255 and 0, green 0 and 128, blue 0 and 7.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8DA0MAOAAcIAYcyl1whAAAAAElFTk"
    "SuQmCC"
)


def test_a_compressed_image_is_read_as_a_raw_one_is() -> None:
    message = CompressedImage(format="rgb8; png compressed bgr8", data=array.array("B", PNG))
    message.header.stamp = to_time(2.5)
    message.header.frame_id = "eye_link"
    seen = read_compressed_image(over_the_wire(message), "eye")
    assert (seen.id, seen.kind, seen.stamp, seen.format) == ("eye", "Image", 2.5, "rgb8")
    assert seen.meta["frame_id"] == "eye_link"
    assert np.asarray(seen.data).tolist() == [[[255, 0, 0], [0, 128, 7]]]
    for data, format in ((PNG[:30], "png"), (b"", ""), (PNG, "16UC1; compressedDepth png")):
        message = CompressedImage(format=format, data=array.array("B", data))
        with pytest.raises(ObservationError, match="image for 'eye': "):
            read_compressed_image(message, "eye")


def test_a_jpeg_goes_to_a_brain_elsewhere_as_it_is() -> None:
    pixels = np.full((16, 16, 3), (0, 0, 250), np.uint8)  # red, in OpenCV's order
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    for format in ("jpeg", "bgr8; jpeg compressed bgr8", ""):
        message = CompressedImage(format=format, data=array.array("B", data))
        message.header.stamp = to_time(2.5)
        seen = forward_compressed_image(over_the_wire(message), "eye")
        assert (seen.format, seen.data, seen.stamp) == ("jpeg", data, 2.5)
        assert encode_image(seen).data == data
    swapped = CompressedImage(format="rgb8; jpeg compressed rgb8", data=array.array("B", data))
    seen = forward_compressed_image(over_the_wire(swapped), "eye")
    assert seen.format == "rgb8" and np.asarray(seen.data)[8, 8, 2] > 200
    png = CompressedImage(format="png", data=array.array("B", PNG))
    assert forward_compressed_image(over_the_wire(png), "eye").format == "rgb8"
    with pytest.raises(ObservationError, match="image for 'eye': "):
        forward_compressed_image(CompressedImage(data=array.array("B", data[:3])), "eye")


@quick
@given(
    arrays.arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3)), st.booleans(), st.booleans()
)
def test_joint_states_return_as_they_were(
    table: np.ndarray, with_velocity: bool, with_effort: bool
) -> None:
    message = make_joint_state(
        ("a", "b", "c", "d"),
        table[0],
        2.5,
        table[1] if with_velocity else None,
        table[2] if with_effort else None,
    )
    seen = read_joint_state(over_the_wire(message), "body")
    np.testing.assert_array_equal(seen.data[0], table[0])
    assert np.isnan(seen.data[1]).all() != with_velocity
    assert seen.meta["names"] == ("a", "b", "c", "d")
    assert joint_state_message(seen) == message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ["a", "a"], "position": [0.0, 0.0]}, "come twice: a"),
        ({"name": ["a", "b"], "position": [0.0]}, "1 of position for 2 joints"),
        ({"name": [], "position": []}, "has none"),
        ({"name": ["a"], "position": [float("nan")]}, "position of 'a' must be finite, not nan"),
        ({"name": ["a"], "position": [0.0], "velocity": [float("inf")]}, "velocity of 'a'"),
    ],
)
def test_a_wrong_joint_state_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ObservationError, match=words):
        read_joint_state(JointState(**fields), "body")


def test_only_the_joints_of_interest_are_judged() -> None:
    message = JointState(name=["wheel", "pan"], position=[float("nan"), 0.5])
    seen = read_joint_state(message, "body", joints={"pan", "tilt"})
    assert seen.meta["names"] == ("pan",)
    assert seen.data[0].tolist() == [0.5]
    with pytest.raises(ObservationError, match="has none of tilt"):
        read_joint_state(message, "body", joints={"tilt"})


def test_a_trajectory_begins_one_period_ahead() -> None:
    positions = np.arange(6.0).reshape(3, 2)
    message = joint_trajectory(("pan", "tilt"), positions, 0.01, 5.0)
    assert seconds(message.header.stamp) == 5.0
    assert [nanoseconds(p.time_from_start) for p in message.points] == [10**7, 2 * 10**7, 3 * 10**7]
    assert [list(p.positions) for p in message.points] == positions.tolist()


@pytest.mark.parametrize(
    ("positions", "dt"),
    [
        (np.zeros((0, 2)), 0.01),
        (np.zeros((3, 1)), 0.01),
        (np.full((1, 2), np.nan), 0.01),
        (np.zeros((1, 2)), 0.0),
    ],
)
def test_a_wrong_trajectory_is_refused(positions: np.ndarray, dt: float) -> None:
    with pytest.raises(ContractError, match="trajectory"):
        joint_trajectory(("pan", "tilt"), positions, dt, 0.0)
