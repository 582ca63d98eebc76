"""Messages of real publishers become the samples that a brain sees: one subscriber, no brain."""

from __future__ import annotations

import array
import itertools
import math
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from ros_process import Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import AudioChunk
from geometry_msgs.msg import Twist, WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from sensor_msgs.msg import (
    BatteryState,
    CompressedImage,
    Image,
    Imu,
    JointState,
    LaserScan,
    MultiDOFJointState,
)
from std_msgs.msg import Float64, Float64MultiArray

from ab_ros.brains.inbox import Inbox
from ab_ros.codec.pictures import ENCODINGS
from ab_ros.config import parse
from ab_ros.nodes import qos
from ab_ros.nodes.brain_inputs import (
    Feed,
    SensorSettings,
    alignments_of,
    feeds_of_settings,
)
from ab_ros.nodes.brain_intake import Intakes
from ab_ros.nodes.gated import GatedNode
from ab_ros.nodes.message_types import has_stamp, stamp_of_raw
from ab_ros.nodes.messages import to_time
from ab_ros.nodes.robot_messages import image, joint_state
from ab_ros.values import Need, Observation

pytestmark = pytest.mark.ros

RED = (255, 0, 0)
_names = itertools.count()


class Rig:
    """A node that takes inputs in, publishers in another process's place, and a brain's eyes."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.publishers: list[Any] = []
        self.lockstep = False
        self.cycle = 0

    def feed(self, *, lockstep: bool = False, joints: Any = None, **inputs: Any) -> None:
        """Begin with other inputs."""
        self.close()
        self.node = GatedNode(f"intake_{next(_names)}", context=self.peer.context)
        self.peer.executor.add_node(self.node)
        given = {name: parse(SensorSettings, options) for name, options in inputs.items()}
        self.feeds: dict[str, Feed] = feeds_of_settings(given, {}, joints)
        self.lockstep, self.cycle, self.stamp = lockstep, 0, 1.0
        self.inbox = Inbox(alignments=alignments_of(self.feeds, lockstep))
        self.intakes = Intakes(self.feeds, self.inbox, self.node, lockstep=lockstep)
        self.node._open_gate()

    def publisher(self, kind: type[Any], topic: str) -> Any:
        made = self.peer.node.create_publisher(kind, topic, qos.LOCKSTEP)
        self.publishers.append(made)
        self.peer.until(made.get_subscription_count, f"a subscription of {topic}")
        return made

    def see(self, now: float = 1.0) -> dict[str, Observation]:
        """Return what a cycle sees."""
        self.cycle += 1
        need = Need(self.cycle, tuple(self.feeds))
        now = -math.inf if self.lockstep else now
        ages = {name: feed.max_age for name, feed in self.feeds.items()}
        return {s.id: s for s in self.inbox.samples(need, now, ages.__getitem__)}

    def show(self, publisher: Any, message: Any, id: str) -> Observation:
        """Publish a message and return the sample that becomes of it."""
        self.stamp += 0.5
        message.header.stamp = to_time(self.stamp)
        publisher.publish(message)

        def shown() -> Observation | None:
            sample = self.see(self.stamp).get(id)
            return sample if sample and sample.stamp == pytest.approx(self.stamp) else None

        return self.peer.until(shown, f"a sample of {id}; {self.counts()}")

    def counts(self) -> dict[str, int]:
        return {**self.inbox.counts, **self.node.figures.counts()}

    def until_count(self, name: str, count: int) -> None:
        self.peer.until(lambda: self.counts().get(name) == count, f"{name} {count}")

    def until_came(self, topic: str, count: int) -> None:
        self.peer.until(lambda: self.node.figures.rate(topic).count == count, f"{count} of {topic}")

    def close(self) -> None:
        for publisher in self.publishers:
            self.peer.node.destroy_publisher(publisher)
        self.publishers.clear()
        if hasattr(self, "node"):
            self.node._destroy_entities()
            self.peer.executor.remove_node(self.node)
            self.node.destroy_node()
            del self.node


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("intake_test")
    yield peer
    peer.close()


@pytest.fixture
def rig(peer: Peer) -> Iterator[Rig]:
    rig = Rig(peer)
    yield rig
    rig.close()


# Images: a field of red, grey or depth in every encoding.


def red(encoding: str, width: int, height: int) -> tuple[bytes, int]:
    """Return the bytes of a red field, and the step."""
    if encoding.startswith("bayer"):
        wide = encoding.endswith("16")
        order = encoding[6:10]
        rows = [[255 if c == "r" else 0 for c in order[2 * k : 2 * k + 2]] for k in (0, 1)]
        mosaic = np.tile(np.array(rows, np.uint8), (height // 2, width // 2))
        return (mosaic.astype("<u2") << 8 if wide else mosaic).tobytes(), width * (1 + wide)
    y, u, v = 81, 90, 240
    if encoding in ("nv12", "nv21", "nv24"):
        pair = [v, u] if encoding == "nv21" else [u, v]
        pixels = width * height
        colours = bytes(pair) * (pixels if encoding == "nv24" else pixels // 4)
        return bytes([y]) * pixels + colours, width
    if encoding.startswith(("yuv", "uyvy", "yuyv")):
        pair = [y, u, y, v] if "yuy" in encoding else [u, y, v, y]
        return bytes(pair) * (width * height // 2), 2 * width
    names = {"8UC3": "bgr8", "8UC4": "bgra8"}.get(encoding, encoding)
    wide = names.endswith("16")
    values = {"r": 255, "g": 0, "b": 0, "a": 77}
    pixel = np.array([values[c] << 8 * wide for c in names.rstrip("168")], "<u2" if wide else "u1")
    return pixel.tobytes() * (width * height), pixel.nbytes * width


def plain(encoding: str, width: int, height: int) -> tuple[bytes, int, Any]:
    """Return the bytes of a field of grey 90, or of a depth of 1.5 m, with its step and value."""
    kind, value, read = {
        "mono8": ("u1", 90, 90),
        "8UC1": ("u1", 90, 90),
        "mono16": ("<u2", 90 << 8, 90),
        "16UC1": ("<u2", 1500, 1.5),
        "32FC1": ("<f4", 1.5, 1.5),
    }[encoding]
    pixel = np.array(value, kind)
    return pixel.tobytes() * (width * height), pixel.nbytes * width, read


@pytest.fixture(scope="module")
def camera(peer: Peer) -> Iterator[tuple[Rig, Any]]:
    rig = Rig(peer)
    rig.feed(eye={"kind": "Image", "topic": "intake/camera"})
    yield rig, rig.publisher(Image, "intake/camera")
    rig.close()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_image_of_every_encoding(camera: tuple[Rig, Any], encoding: str) -> None:
    rig, publisher = camera
    wanted: Any = RED
    if encoding in ("mono8", "8UC1", "mono16", "16UC1", "32FC1"):
        data, step, wanted = plain(encoding, 16, 8)
    else:
        data, step = red(encoding, 16, 8)
    message = Image(width=16, height=8, encoding=encoding, step=step, data=array.array("B", data))
    sample = rig.show(publisher, message, "eye")
    pixels = np.asarray(sample.data)
    assert pixels.shape[:2] == (8, 16)
    assert np.abs(pixels.reshape(8 * 16, -1) - np.array(wanted, float)).max() <= 2
    depth = encoding in ("16UC1", "32FC1")
    assert sample.format == ("depth32" if depth else "mono8" if pixels.ndim == 2 else "rgb8")


# Left half red, right half blue.
HALVES = np.zeros((48, 64, 3), np.uint8)
HALVES[:, :32, 0] = 250
HALVES[:, 32:, 2] = 100


def test_inputs_share_a_camera_and_see_different_parts_of_it(rig: Rig) -> None:
    topic = {"kind": "Image", "topic": "intake/wide"}
    rig.feed(
        left={**topic, "view": {"width": 32, "resize_width": 8, "resize_height": 6}},
        right={**topic, "view": {"x": 32, "channel": "blue"}},
        whole={**topic, "view": {"resize_height": 12, "channel": "grey"}},
    )
    rig.show(rig.publisher(Image, "intake/wide"), image(HALVES, 0.0), "whole")
    shown = rig.see(rig.stamp)
    left, right, whole = (np.asarray(shown[name].data) for name in ("left", "right", "whole"))
    assert left.shape == (6, 8, 3) and (left == (250, 0, 0)).all()
    assert right.shape == (48, 32) and (right == 100).all()
    assert whole.shape == (12, 16) and whole[0, 0] > whole[0, -1] > 0
    # One subscription: the topic's rate is its own, not three times that.
    assert rig.node.figures.rate("intake/wide").count == 1


def test_a_view_that_does_not_fit_refuses_the_image(rig: Rig) -> None:
    topic = {"kind": "Image", "topic": "intake/small"}
    rig.feed(eye={**topic, "view": {"x": 60, "width": 8}})
    message = image(HALVES, 1.0)
    rig.publisher(Image, "intake/small").publish(message)
    rig.until_count("intake/small refused", 1)
    assert rig.see() == {}


def test_compressed_images_are_read_and_viewed(rig: Rig) -> None:
    topic = {"kind": "Image", "topic": "intake/jpeg", "message": "CompressedImage"}
    rig.feed(
        eye={**topic, "view": {"width": 32, "channel": "red"}},
        depth={**topic, "topic": "intake/png", "view": {"channel": "depth", "near": 1, "far": 2}},
    )
    jpeg = cv2.imencode(".jpg", HALVES[:, :, ::-1])[1].tobytes()
    sample = rig.show(
        rig.publisher(CompressedImage, "intake/jpeg"),
        CompressedImage(format="jpeg", data=array.array("B", jpeg)),
        "eye",
    )
    assert np.asarray(sample.data).shape == (48, 32)
    assert np.asarray(sample.data)[:, :28].mean() == pytest.approx(250, abs=6)
    depth = np.full((4, 6), 1250, np.uint16)
    png = cv2.imencode(".png", depth)[1].tobytes()
    sample = rig.show(
        rig.publisher(CompressedImage, "intake/png"),
        CompressedImage(format="16UC1; png compressed", data=array.array("B", png)),
        "depth",
    )
    assert sample.format == "mono8" and np.asarray(sample.data).tolist() == [[191] * 6] * 4


def test_images_are_read_as_often_as_they_are_looked_at(rig: Rig) -> None:
    rig.feed(
        eye={"kind": "Image", "topic": "intake/fast"},
        slow={"kind": "Image", "topic": "intake/fast", "max_rate": 10.0},
    )
    publisher = rig.publisher(Image, "intake/fast")
    for k in range(60):
        publisher.publish(image(HALVES, 1.0 + k / 30.0))
        rig.until_came("intake/fast", k + 1)
        if k % 20 == 19:
            assert rig.see(1.0 + k / 30.0)["eye"].stamp == pytest.approx(1.0 + k / 30.0)
    # The first is read at once, and what three cycles looked at: of 60 that were sent.
    assert rig.node.figures.latency("eye decode").count == 4
    assert rig.node.figures.latency("slow decode").count == 4
    counts = rig.counts()
    assert counts["eye dropped"] == 57
    assert counts["slow throttled"] == 40 and counts["slow dropped"] == 17


# Joint states


def test_joint_states_of_two_publishers_are_put_together(rig: Rig) -> None:
    rig.feed(
        body={"kind": "Proprioception", "topic": "intake/joints", "max_age": 0.5},
        joints={"body": ("yaw", "pitch", "grip")},
    )
    arm, hand = (rig.publisher(JointState, "intake/joints") for _ in range(2))

    def until(stamp: float) -> dict[str, float]:
        def told() -> Observation | None:
            sample = rig.see(stamp).get("body")
            return sample if sample and sample.stamp == pytest.approx(stamp) else None

        sample = rig.peer.until(told, "joints")
        return dict(zip(sample.meta["names"], np.asarray(sample.data)[0].tolist(), strict=True))

    arm.publish(joint_state(["yaw", "pitch"], [0.1, 0.2], 1.0))
    until(1.0)
    assert rig.intakes.complaints() == ["body: no fresh state of grip"]
    hand.publish(joint_state(["grip", "thumb"], [0.03, 0.01], 1.1, velocity=[1.0, 2.0]))
    assert until(1.1) == {"yaw": 0.1, "pitch": 0.2, "grip": 0.03, "thumb": 0.01}
    assert rig.intakes.complaints() == []
    arm.publish(joint_state(["pitch", "yaw"], [0.4, 0.3], 1.2))
    assert until(1.2) == {"yaw": 0.3, "pitch": 0.4, "grip": 0.03, "thumb": 0.01}
    hand.publish(joint_state(["grip"], [0.04], 1.9))
    old = until(1.9)
    assert old["grip"] == 0.04 and math.isnan(old["yaw"]) and math.isnan(old["thumb"])
    rig.intakes.tell_figures()
    assert rig.node.figures.snapshot()["body missing joints"] == 2
    assert rig.counts().get("body dropped", 0) == 0


@pytest.mark.parametrize("first", ["yaw", "grip"])
def test_in_lockstep_all_joints_are_awaited_whoever_comes_first(rig: Rig, first: str) -> None:
    body = {"kind": "Proprioception", "topic": "intake/awaited", "max_rate": 25.0}
    rig.feed(lockstep=True, body=body, joints={"body": ("yaw", "grip")})
    publishers = {name: rig.publisher(JointState, "intake/awaited") for name in ("yaw", "grip")}
    order = sorted(publishers, key=lambda name: name != first)
    shown = []
    for cycle in range(5):
        stamp, seen = 1.0 + 0.02 * cycle, rig.inbox.looked_at
        for k, name in enumerate(order):
            assert rig.inbox.missing(["body"], seen) == ["body"]
            publishers[name].publish(joint_state([name], [cycle + (name == "grip") / 2], stamp))
            rig.until_came("intake/awaited", 2 * cycle + k + 1)
        assert rig.inbox.fresh(["body"], seen)
        (sample,) = rig.see().values()
        values = dict(zip(sample.meta["names"], np.asarray(sample.data)[0].tolist(), strict=True))
        shown.append((values["yaw"], values["grip"]))
    # Every other cycle is beyond the rate; it goes on with what it saw before.
    assert shown == [(0, 0.5), (0, 0.5), (2, 2.5), (2, 2.5), (4, 4.5)]


# Sound


def ramp(first: int, size: int) -> np.ndarray:
    return np.arange(first, first + size, dtype=np.int16)


def expect_ramp(sample: Observation, last: int, size: int) -> None:
    """Check that a window ends with a ramp of so many samples."""
    heard = np.rint(np.asarray(sample.data)[-size:] * 32768.0).astype(int)
    assert heard.tolist() == list(range(last - size + 1, last + 1))


@pytest.mark.parametrize("options", [{}, {"max_rate": 10.0}, {"align": "drop"}, {"delay": 0.1}])
def test_sound_is_whole_however_few_of_its_chunks_are_shown(
    rig: Rig, options: dict[str, Any]
) -> None:
    ear = {"kind": "Audio", "topic": "intake/ear", "sound": {"seconds": 0.5, "rate": 1000}}
    rig.feed(ear={**ear, **options})
    mouth = rig.publisher(AudioChunk, "intake/ear")
    for chunk in range(50):
        data = array.array("h", ramp(20 * chunk, 20).tobytes())
        message = AudioChunk(sample_rate=1000, channels=1, data=data)
        message.header.stamp = to_time(1.0 + 0.02 * chunk)
        mouth.publish(message)
    rig.until_came("intake/ear", 50)
    sample = rig.see(2.0)["ear"]
    end = round((sample.stamp - 1.0) * 1000)
    late = 100 * (options != {} and "align" not in options)
    assert 1000 - late - 1 <= end <= 1000
    expect_ramp(sample, end - 1, 500)
    counts = rig.intakes.counts
    assert not [name for name in counts if name.startswith("ear sound")]
    assert (counts["ear throttled"] > 0) == ("max_rate" in options)
    # What is in a newer window has not been lost.
    assert counts["ear dropped"] == 0 or "delay" in options
    assert ("ear" in rig.see(2.0)) == ("align" not in options)


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("latched", [True, False])
def test_bytes_of_a_driver_are_read_by_the_info_beside_them(
    rig: Rig, stamped: bool, latched: bool
) -> None:
    reason = "needs the audio_common_msgs of ros-drivers"
    messages = pytest.importorskip("audio_common_msgs.msg", reason=reason)
    if not hasattr(messages, "AudioDataStamped"):
        pytest.skip(reason)
    kind = messages.AudioDataStamped if stamped else messages.AudioData
    sound = {"seconds": 0.1, "rate": 1000}
    topic = f"intake/driver_{stamped}_{latched}".lower()
    rig.feed(
        ear={
            "kind": "Audio",
            "topic": f"{topic}/audio",
            "message": f"audio_common_msgs/msg/{kind.__name__}",
            "sound": sound,
            "max_age": 30.0,  # however late a busy computer is
        }
    )
    mouth = rig.publisher(kind, f"{topic}/audio")
    stamp = rig.node.now()

    def say(first: int) -> None:
        data = array.array("B", ramp(first, 20).astype("<i2").tobytes())
        message = kind(data=data) if not stamped else kind(audio=messages.AudioData(data=data))
        if stamped:
            message.header.stamp = to_time(stamp + first / 1000)
        mouth.publish(message)

    say(0)
    rig.until_count(f"{topic}/audio refused", 1)
    assert "ear" not in rig.see(rig.node.now())
    info = messages.AudioInfo(
        channels=1, sample_rate=1000, sample_format="S16LE", coding_format="WAVE"
    )
    profile = qos.LATCHED if latched else qos.COMMAND
    teller = rig.peer.node.create_publisher(messages.AudioInfo, f"{topic}/audio_info", profile)
    rig.publishers.append(teller)
    rig.peer.until(teller.get_subscription_count, "a subscription of the info")
    teller.publish(info)
    said = itertools.count(1)

    def heard() -> Observation | None:
        say(20 * next(said))
        return rig.see(rig.node.now()).get("ear")

    sample = rig.peer.until(heard, "sound")
    assert sample.kind == "Audio" and sample.meta == {"rate": 1000}
    last = round(float(sample.data[-1]) * 32768.0)
    assert last % 20 == 19
    expect_ramp(sample, last, 20)
    if stamped:
        assert sample.stamp == pytest.approx(stamp + (last + 1) / 1000, abs=1e-6)
    else:
        assert abs(rig.node.now() - sample.stamp) < 20.0


# Any other message


def imu() -> Imu:
    made = Imu()
    made.angular_velocity.z, made.linear_acceleration.x = 0.5, 9.5
    return made


def odometry() -> Odometry:
    made = Odometry()
    made.twist.twist.linear.x, made.twist.twist.angular.z = 0.25, -0.5
    made.pose.covariance[35] = 2.0
    return made


def wrench() -> WrenchStamped:
    made = WrenchStamped()
    made.wrench.force.z = -7.5
    return made


def battery() -> BatteryState:
    return BatteryState(voltage=24.5, present=True)


def turning() -> Twist:
    made = Twist()
    made.angular.z = -0.25
    return made


NUMBERS = {
    "imu": (imu, ["angular_velocity.z", "linear_acceleration.x"], [0.5, 9.5]),
    "odometry": (
        odometry,
        ["twist.twist.linear.x", "twist.twist.angular.z", "pose.covariance[34:]"],
        [0.25, -0.5, 0.0, 2.0],
    ),
    "wrench": (wrench, ["wrench.force.z"], [-7.5]),
    "battery": (
        lambda: BatteryState(voltage=24.5, present=True),
        ["voltage", "present"],
        [24.5, 1],
    ),
    "scan": (
        lambda: LaserScan(ranges=[1.0, math.inf, 2.5, -math.inf], range_min=0.25, range_max=8.0),
        ["ranges[*]"],
        [1.0, 8.0, 2.5, 0.25],
    ),
    "wheels": (
        lambda: MultiDOFJointState(joint_names=["base"], twist=[turning()]),
        ["twist[0].angular.z"],
        [-0.25],
    ),
}


def test_numbers_of_any_message_need_no_code(rig: Rig) -> None:
    rig.feed(
        **{
            name: {
                "kind": "Scalar" if len(values) == 1 else "Vector",
                "topic": f"intake/{name}",
                "message": f"{type(make()).__module__.split('.')[0]}/msg/{type(make()).__name__}",
                "fields": fields,
            }
            for name, (make, fields, values) in NUMBERS.items()
        }
    )
    for name, (make, _, values) in NUMBERS.items():
        sample = rig.show(rig.publisher(type(make()), f"intake/{name}"), make(), name)
        assert np.asarray(sample.data).tolist() == pytest.approx(values), name
        assert sample.kind == ("Scalar" if len(values) == 1 else "Vector")


def test_numbers_that_are_unusable_are_refused_and_counted(rig: Rig) -> None:
    scan = {"kind": "Vector", "message": "sensor_msgs/msg/LaserScan", "fields": ["ranges"]}
    rig.feed(
        scan={**scan, "topic": "intake/torn"},
        patched={
            **scan,
            "topic": "intake/torn",
            "non_finite": "range_max",
            "replacement": -1.0,
        },
    )
    publisher = rig.publisher(LaserScan, "intake/torn")
    nan = LaserScan(ranges=[1.0, math.nan], range_max=8.0)
    sample = rig.show(publisher, nan, "patched")
    assert np.asarray(sample.data).tolist() == [1.0, -1.0]
    assert rig.counts()["intake/torn refused"] == 1 and "scan" not in rig.see(rig.stamp)
    rig.show(publisher, LaserScan(ranges=[1.0, 2.0], range_max=8.0), "scan")
    # A sample of another size: the last good one stays until it is too old.
    longer = LaserScan(ranges=[1.0, 2.0, 3.0], range_max=8.0)
    longer.header.stamp = to_time(rig.stamp + 0.1)
    publisher.publish(longer)
    rig.peer.until(
        lambda: rig.see(rig.stamp + 0.1) and rig.counts()["intake/torn refused"] == 3, ""
    )
    assert np.asarray(rig.see(rig.stamp + 0.1)["scan"].data).tolist() == [1.0, 2.0]


def test_a_message_without_a_stamp_is_dated_by_its_receipt(rig: Rig) -> None:
    rig.feed(
        force={
            "kind": "Vector",
            "topic": "intake/force",
            "message": "std_msgs/msg/Float64MultiArray",
            "fields": ["data[0:2]"],
            "max_age": 30.0,  # however late a busy computer is
        }
    )
    before = rig.node.now()
    rig.publisher(Float64MultiArray, "intake/force").publish(
        Float64MultiArray(data=[1.0, 2.0, 3.0])
    )
    sample = rig.peer.until(lambda: rig.see(rig.node.now()).get("force"), "the force")
    assert np.asarray(sample.data).tolist() == [1.0, 2.0]
    assert before <= sample.stamp <= rig.node.now()


def test_in_lockstep_it_is_of_the_cycle_that_it_comes_for(rig: Rig) -> None:
    level = {"kind": "Scalar", "message": "std_msgs/msg/Float64", "fields": ["data"]}
    body = {"kind": "Proprioception", "topic": "intake/stepped"}
    rig.feed(lockstep=True, level={**level, "topic": "intake/level"}, body=body)
    plain_, joints = (
        rig.publisher(Float64, "intake/level"),
        rig.publisher(JointState, "intake/stepped"),
    )
    for cycle in range(3):
        seen = rig.inbox.looked_at
        plain_.publish(Float64(data=float(cycle)))
        rig.peer.until(lambda seen=seen: rig.inbox.fresh(["level"], seen), "the level")
        joints.publish(joint_state(["yaw"], [0.0], 5.0 + 0.02 * cycle))
        rig.peer.until(lambda seen=seen: rig.inbox.fresh(["level", "body"], seen), "both")
        shown = rig.see()
        assert shown["level"].stamp == shown["body"].stamp == pytest.approx(5.0 + 0.02 * cycle)
        assert np.asarray(shown["level"].data).tolist() == [cycle]


# Which sample of which moment


def test_asof_delay_and_drop(rig: Rig) -> None:
    body = {"kind": "Proprioception", "topic": "intake/moving"}
    rig.feed(
        eye={"kind": "Image", "topic": "intake/eye", "align": "drop"},
        body={**body, "align": "asof"},
        late={**body, "delay": 0.2},
    )
    eye, joints = rig.publisher(Image, "intake/eye"), rig.publisher(JointState, "intake/moving")
    for k in range(40):
        joints.publish(joint_state(["yaw"], [k / 100], 1.0 + k / 100))
        rig.until_came("intake/moving", k + 1)
    eye.publish(image(HALVES, 1.301))
    rig.until_came("intake/eye", 1)
    shown = rig.see(1.395)
    yaw = {name: np.asarray(shown[name].data)[0, 0] for name in ("body", "late")}
    assert yaw == {"body": pytest.approx(0.30), "late": pytest.approx(0.19)}
    assert shown["eye"].stamp == pytest.approx(1.301)
    assert "eye" not in rig.see(1.396)


@pytest.mark.parametrize("little", [True, False])
def test_the_stamp_of_a_message_is_read_off_its_bytes(little: bool) -> None:
    message = imu()
    message.header.stamp = to_time(1234.5)
    raw = serialize_message(message)
    order = "<" if little else ">"
    raw = bytes([0, int(little), 0, 0]) + struct.pack(order + "iI", 1234, 500_000_000) + raw[12:]
    assert stamp_of_raw(raw, Imu) == 1234.5
    assert has_stamp(Imu) and not has_stamp(Float64)


def test_a_stamp_that_does_not_come_first_is_found() -> None:
    from ab_ros.msg import Reward

    fields = list(Reward.get_fields_and_field_types())
    message = Reward(run="a run of some length")
    message.header.stamp = to_time(7.25)
    assert stamp_of_raw(serialize_message(message), Reward) == 7.25, fields
    odd = SimpleNamespace(
        get_fields_and_field_types=lambda: {"data": "double", "stamp": "builtin_interfaces/Time"}
    )
    assert has_stamp(odd)  # type: ignore[arg-type]
