"""Which messages the brain node takes its samples from, by its settings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import AudioChunk
from sensor_msgs.msg import CompressedImage, Image, JointState

from ab_ros.brains.architecture import ArchitectureSettings, InputSettings
from ab_ros.codec.image_view import ImageView
from ab_ros.config import parse
from ab_ros.errors import ConfigError
from ab_ros.nodes.brain_inputs import (
    Feed,
    SensorSettings,
    check_feeds,
    feeds_of_file,
    feeds_of_settings,
)
from ab_ros.nodes.brain_settings import BrainSettings, check_wiring
from ab_ros.nodes.robot_messages import forward_compressed_image, read_compressed_image, read_image

pytestmark = pytest.mark.ros

SERVICE = {"url": "http://127.0.0.1:8642", "project": "robot"}

EYE = {"eye": InputSettings(kind="Image", topic="image", encoder="saliency", max_age=0.2)}


def sensors(**given: Any) -> dict[str, SensorSettings]:
    return {name: parse(SensorSettings, options) for name, options in given.items()}


def test_each_kind_has_its_usual_message() -> None:
    for kind, message in (
        ("Image", Image),
        ("Proprioception", JointState),
        ("Audio", AudioChunk),
    ):
        (feed,) = feeds_of_settings(sensors(a={"kind": kind}), {}).values()
        assert feed.message_type is message


def test_an_input_may_be_fed_by_compressed_images() -> None:
    given = sensors(eye={"kind": "Image", "message": "CompressedImage", "max_age": 0.4})
    assert feeds_of_settings(given, {})["eye"].reader() == (CompressedImage, read_compressed_image)
    given = sensors(eye={"message": "CompressedImage", "topic": "image/compressed"})
    for feeds in (feeds_of_file(EYE, given), feeds_of_settings(given, EYE)):
        assert feeds["eye"] == Feed("image/compressed", "Image", 0.2, "CompressedImage")
        assert feeds["eye"].reader() == (CompressedImage, read_compressed_image)
        assert feeds["eye"].reader(remote=True) == (CompressedImage, forward_compressed_image)
    assert feeds_of_file(EYE, {})["eye"] == Feed("image", "Image", 0.2)
    assert feeds_of_file(EYE, {})["eye"].reader() == (Image, read_image)


def test_a_message_of_another_kind_is_refused() -> None:
    words = (
        "inputs.eye.message: 'JointState' does not carry samples of the kind 'Image'; one of: Image"
    )
    given = sensors(eye={"message": "JointState"})
    with pytest.raises(ConfigError, match=words):
        feeds_of_file(EYE, given)
    with pytest.raises(ConfigError, match=words):
        feeds_of_settings(given, EYE)
    with pytest.raises(ConfigError, match="message: 'Theora' does not carry samples"):
        feeds_of_file(EYE, sensors(eye={"message": "Theora"}))


IMU = {"message": "sensor_msgs/msg/Imu", "fields": ["angular_velocity.z"]}
SCAN = {"message": "sensor_msgs/msg/LaserScan", "fields": ["ranges[*]"]}


def wired(kind: str, encoder: str = "rate", values: int = 1, **given: Any) -> InputSettings:
    options = {"values": values} if encoder == "rate" else {}
    data = {"kind": kind, "topic": "topic", "encoder": encoder, "options": options, **given}
    return parse(InputSettings, data)


def feed_of(kind: str, *args: Any, **given: Any) -> Feed:
    return feeds_of_file({"in": wired(kind, *args, **given)}, {})["in"]


def test_numbers_of_a_message_are_looked_up_when_the_brain_is_set_up() -> None:
    feed = feed_of("Scalar", **IMU)
    assert feed.reader()[0].__name__ == "Imu"
    assert feed.numbers is not None and feed.numbers.size == 1
    varying = feed_of("Vector", "rate", 8, **SCAN)
    assert varying.numbers is not None and varying.numbers.size == 8
    (remote,) = feeds_of_settings(sensors(scan={"kind": "Vector", **SCAN}), {}).values()
    assert remote.numbers is not None and remote.numbers.size == 0, "as the first sample has"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"message": "radar_msgs/msg/RadarScan"},
            "architecture.inputs.in.message: 'radar_msgs/msg/RadarScan' needs the ROS package"
            " 'radar_msgs', which has no messages here: install it",
        ),
        ({"message": "sensor_msgs/msg/Imuu"}, "has no message 'Imuu'; did you mean 'Imu'? It has"),
        ({"message": "Imu"}, "in.message: 'Imu' is no name of a message; must be <package>/msg/"),
        ({"message": ""}, "in.message: is missing"),
        ({"fields": []}, "in.fields: is missing: samples of the kind 'Scalar' are numbers"),
        ({"fields": ["angular_velocity.w"]}, "(geometry_msgs/Vector3) has no 'w'; one of: x, y, z"),
        ({"fields": ["orientation_covariance[9]"]}, "orientation_covariance has 9 items"),
        ({"fields": ["header.frame_id"]}, "in.fields: field 'header.frame_id': is no number"),
        (
            {"fields": ["angular_velocity.z", "orientation_covariance"]},
            "fields: lead to 10 numbers (angular_velocity.z 1, orientation_covariance 9), but its"
            " encoder takes 1: set its option 'values'",
        ),
        ({"size": 2}, "in.size: is 2, but its encoder takes 1"),
        ({"non_finite": "range_max"}, "sensor_msgs/msg/Imu has no range_min and range_max"),
    ],
)
def test_numbers_that_cannot_come_are_refused(changes: dict[str, Any], words: str) -> None:
    item = wired("Scalar", **{**IMU, **changes})
    with pytest.raises(ConfigError, match=re.escape(words)):
        feeds_of_file({"in": item}, {}, where="architecture.inputs")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "Scalar", "view": {"x": 1}}, "view: is for inputs of the kind Image, not Scalar"),
        (
            {"kind": "Image", "fields": ["a"]},
            "fields: is for inputs of the kind Vector or Scalar, not Im",
        ),
        ({"kind": "Image", "sound": {"rate": 8000}}, "sound: is for inputs of the kind Audio, not"),
        ({"kind": "Audio", "sound": {"rate": 800}}, "inputs.in.sound.rate: 800 is not allowed"),
        ({"kind": "Image", "history": 5}, "history: is for inputs with a delay"),
        ({"kind": "Scalar", **IMU, "non_finite": "replace"}, "replacement: is required"),
        (
            {"kind": "Image", "max_rate": -1},
            "inputs.in.max_rate: -1.0 is not allowed; must be >= 0",
        ),
        ({"kind": "Image", "align": "near"}, "'near' is not allowed; must be one of: , latest"),
        ({"kind": "Image", "view": {"near": 5.0}}, "view: near: must be below far"),
        ({"kind": "Vector", "fields": ["a b"]}, "field 'a b': 'a b' must be a name"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], words: str) -> None:
    data = {"inputs": {"in": given}, "backend": "remote", "remote": SERVICE}
    with pytest.raises(ConfigError, match=re.escape(words)):
        check_wiring(parse(BrainSettings, data))


def test_settings_are_laid_over_those_of_the_file_one_by_one() -> None:
    eye = wired("Image", "saliency", view={"x": 4}, max_age=0.2, max_rate=10.0, delay=0.1)
    given = sensors(eye={"topic": "cam", "max_rate": 0, "align": "drop", "view": {"width": 8}})
    for feeds in (feeds_of_file({"eye": eye}, given), feeds_of_settings(given, {"eye": eye})):
        feed = feeds["eye"]
        assert (feed.topic, feed.max_age, feed.max_rate) == ("cam", 0.2, 0.0)
        assert (feed.alignment.align, feed.alignment.delay) == ("drop", 0.1)
        assert feed.view == ImageView(width=8)
    with pytest.raises(ConfigError, match=r"inputs\.eye\.fields: is for inputs of the kind"):
        feeds_of_file({"eye": eye}, sensors(eye={"fields": ["a"]}))


def test_sound_is_heard_at_the_rate_of_its_encoder_if_nothing_else_is_said() -> None:
    ear = parse(
        InputSettings,
        {"kind": "Audio", "topic": "audio", "encoder": "spectrum", "options": {"rate": 8000}},
    )
    for more, rate, size in (
        ({}, 8000, 4000),
        ({"sound": {"seconds": 0.1}}, 8000, 800),
        ({"sound": {"rate": 44100}}, 44100, 22050),
    ):
        given = sensors(ear=more)
        for feeds in (feeds_of_file({"ear": ear}, given), feeds_of_settings(given, {"ear": ear})):
            window = feeds["ear"].window()
            assert (window.rate, window.size) == (rate, size)
    (feed,) = feeds_of_settings(sensors(ear={"kind": "Audio"}), {}).values()
    assert feed.window().rate == 16000


def test_an_image_that_is_viewed_is_read_for_a_brain_elsewhere_too() -> None:
    camera = {"kind": "Image", "message": "sensor_msgs/msg/CompressedImage"}
    (feed,) = feeds_of_settings(sensors(eye={**camera, "view": {"channel": "grey"}}), {}).values()
    assert feed.reader(remote=True)[1] is not forward_compressed_image
    (feed,) = feeds_of_settings(sensors(eye=camera), {}).values()
    assert feed.reader(remote=True) == (CompressedImage, forward_compressed_image)


def test_a_rate_in_lockstep_needs_stamps() -> None:
    level = {"kind": "Scalar", "message": "std_msgs/msg/Float64", "fields": ["data"]}
    feeds = feeds_of_settings(sensors(level={**level, "max_rate": 5.0}), {})
    check_feeds(feeds, lockstep=False)
    with pytest.raises(ConfigError, match=r"level\.max_rate: cannot be kept in lockstep"):
        check_feeds(feeds, lockstep=True)


def test_a_rate_that_leaves_samples_too_old_is_refused() -> None:
    camera = {"kind": "Image", "max_rate": 1.0}
    with pytest.raises(ConfigError, match=r"too old before the next one comes: max_age is 0\.5 s"):
        check_feeds(feeds_of_settings(sensors(eye=camera), {}), lockstep=False)
    for more in ({"max_age": 1.5}, {"align": "drop"}):
        check_feeds(feeds_of_settings(sensors(eye={**camera, **more}), {}), lockstep=False)
    check_feeds(feeds_of_settings(sensors(eye=camera), {}), lockstep=True)


def test_the_joints_that_are_needed_are_those_of_the_encoder() -> None:
    body = parse(
        InputSettings,
        {
            "kind": "Proprioception",
            "topic": "joint_states",
            "encoder": "rate",
            "options": {"joints": ["yaw", "grip"], "quantity": "effort"},
        },
    )
    feed = feeds_of_file({"body": body}, {})["body"]
    assert (feed.joints, feed.quantity) == (("yaw", "grip"), "effort")


def test_an_architecture_says_the_same_of_its_inputs_again_and_again() -> None:
    data = {
        "inputs": {
            "eye": {
                "kind": "Image",
                "topic": "image",
                "encoder": "saliency",
                "view": {"resize_width": 8},
                "align": "asof",
            },
            "scan": {
                "kind": "Vector",
                "topic": "scan",
                "encoder": "rate",
                "options": {"values": 8},
                **SCAN,
            },
        },
        "populations": {"pan": {"size": 8, "output": True}},
    }
    made = parse(ArchitectureSettings, data)
    assert parse(ArchitectureSettings, json.loads(made.to_json())) == made
    check_wiring(parse(BrainSettings, {"architecture": data}))
