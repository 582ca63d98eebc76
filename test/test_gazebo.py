"""The files for Gazebo against each other: Gazebo itself does not run here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from ab_ros.config import load_yaml, node_parameters, parse
from ab_ros.environments.gazebo import extended_urdf
from ab_ros.errors import ConfigError
from ab_ros.motion.limits import limits_from_urdf
from ab_ros.motion.settings import MotorSettings

ROOT = Path(__file__).resolve().parent.parent
GAZEBO = ROOT / "config" / "gazebo"
ARM = ROOT / "ab_ros" / "environments" / "models" / "arm.urdf"
VALUES = {"controllers": "/some where/a--b&c.yaml", "namespace": "/left"}
# What ros_gz_bridge takes in an entry of its file.
BRIDGE_KEYS = {
    *("topic_name", "ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name"),
    *("direction", "lazy", "subscriber_queue", "publisher_queue"),
}
BRIDGED = {
    "rosgraph_msgs/msg/Clock": "gz.msgs.Clock",
    "sensor_msgs/msg/Image": "gz.msgs.Image",
    "sensor_msgs/msg/CameraInfo": "gz.msgs.CameraInfo",
    "geometry_msgs/msg/Twist": "gz.msgs.Twist",
}
# By interface of the motor node: which controllers of ros2_control take it, and on which topic or
# action below their name.
CONTROLLERS = {
    "joint_trajectory": (
        "joint_trajectory_controller/JointTrajectoryController",
        "joint_trajectory",
    ),
    "gripper_action": ("parallel_gripper_action_controller/GripperActionController", "gripper_cmd"),
}


@pytest.fixture(scope="module")
def robot() -> ElementTree.Element:
    """The arm as Gazebo gets it."""
    return ElementTree.fromstring(extended_urdf(ARM, GAZEBO / "arm.xml", VALUES))


@pytest.fixture(scope="module")
def world() -> ElementTree.Element:
    found = ElementTree.parse(GAZEBO / "world.sdf").getroot().find("world")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def bridge() -> list[dict[str, str]]:
    entries: list[dict[str, str]] = yaml.safe_load((GAZEBO / "bridge.yaml").read_text())
    return entries


def controller(name: str) -> dict[str, Any]:
    values, _ = node_parameters(*load_yaml(GAZEBO / "controllers.yaml"), name)
    return values


def arm(node: str) -> dict[str, Any]:
    values, _ = node_parameters(*load_yaml(ROOT / "config" / "arm.yaml"), node)
    return values


def text(element: ElementTree.Element | None) -> str:
    assert element is not None
    return (element.text or "").strip()


# --- The arm -----------------------------------------------------------------------------------


def test_the_arm_stays_what_it_is(robot: ElementTree.Element) -> None:
    plain = ElementTree.parse(ARM).getroot()
    described = ElementTree.tostring(robot, encoding="unicode")
    assert limits_from_urdf(described) == limits_from_urdf(ARM.read_text())
    own = {(part.tag, part.get("name")) for part in plain}
    added = {(part.tag, part.get("name")) for part in robot} - own
    assert {name for tag, name in added if tag in ("link", "joint")} == {"world", "world_mount"}


def test_the_simulator_of_the_demo_takes_it_too(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    from ab_ros.environments.arm import ArmSettings, ArmWorld

    path = tmp_path / "arm.urdf"
    path.write_text(extended_urdf(ARM, GAZEBO / "arm.xml", VALUES))
    plain, extended = ArmWorld(ArmSettings()), ArmWorld(ArmSettings(urdf=str(path)))
    assert extended.joint_names == plain.joint_names
    for world in (plain, extended):
        world.set_targets(["base_yaw", "wrist_pitch"], [0.3, -0.2])
        world.advance(0.3)
    assert np.array_equal(extended.joint_state().position, plain.joint_state().position)
    for world in (plain, extended):
        world.close()


def test_ros2_control_has_every_joint(robot: ElementTree.Element) -> None:
    system = robot.find("ros2_control")
    assert system is not None
    assert system.get("type") == "system"
    assert text(system.find("hardware/plugin")) == "gz_ros2_control/GazeboSimSystem"
    joints = {joint.get("name"): joint for joint in robot.iterfind("joint")}
    moving = {name for name, joint in joints.items() if joint.get("type") != "fixed"}
    assert {joint.get("name") for joint in system.iterfind("joint")} == moving
    for joint in system.iterfind("joint"):
        mimics = joints[joint.get("name")].find("mimic") is not None
        commands = [part.get("name") for part in joint.iterfind("command_interface")]
        # gz_ros2_control moves a joint that mimics another by itself.
        assert commands == ([] if mimics else ["position"])
        states = {part.get("name") for part in joint.iterfind("state_interface")}
        assert {"position", "velocity"} <= states


def test_its_plugin_reads_the_controllers_and_keeps_to_the_namespace(
    robot: ElementTree.Element,
) -> None:
    plugin = robot.find("gazebo/plugin")
    assert plugin is not None
    # So it is called in Jazzy's gz_ros2_control (1.2) and in Kilted's (2.0).
    assert plugin.get("filename") == "gz_ros2_control-system"
    assert plugin.get("name") == "gz_ros2_control::GazeboSimROS2ControlPlugin"
    assert text(plugin.find("parameters")) == VALUES["controllers"]
    assert text(plugin.find("ros/namespace")) == "/left"
    # Beyond 1 it would swing, beyond 2 it would not end to.
    assert 0.0 < float(text(plugin.find("position_proportional_gain"))) < 1.0


def test_the_gripper_begins_as_in_the_demo(robot: ElementTree.Element) -> None:
    from ab_ros.environments.arm import ArmSettings

    path = "ros2_control/joint[@name='gripper_left']/state_interface/param[@name='initial_value']"
    assert float(text(robot.find(path))) == ArmSettings().gripper_opening


def test_the_camera_is_that_of_the_demo(robot: ElementTree.Element) -> None:
    from ab_ros.environments.arm import ArmSettings

    settings = ArmSettings()
    camera = robot.find("gazebo/sensor[@type='camera']/camera")
    assert camera is not None
    field = float(text(camera.find("horizontal_fov")))
    assert math.degrees(field) == pytest.approx(settings.horizontal_fov, abs=0.1)
    size = [int(text(camera.find(f"image/{side}"))) for side in ("width", "height")]
    assert size == [settings.image_width, settings.image_height]
    assert robot.find(f"link[@name='{text(camera.find('optical_frame_id'))}']") is not None


# --- Controllers -------------------------------------------------------------------------------


def test_controllers_listen_where_the_motor_node_speaks(robot: ElementTree.Element) -> None:
    manager = controller("controller_manager")
    motor = parse(MotorSettings, arm("motor"))
    for name, group in motor.groups.items():
        kind, below = CONTROLLERS[group.interface]
        own, _, end = group.topic.partition("/")
        assert (manager[own]["type"], end) == (kind, below), name
        given = controller(own)
        joints = given["joints"] if "joints" in given else [given["joint"]]
        assert joints == list(group.channels)
        for joint in joints:
            path = f"ros2_control/joint[@name='{joint}']/command_interface[@name='position']"
            assert robot.find(path) is not None
    named = {name for name, own in manager.items() if isinstance(own, dict)}
    own = {group.topic.partition("/")[0] for group in motor.groups.values()}
    assert named == {*own, "joint_state_broadcaster"}


def test_controllers_and_physics_go_in_step(world: ElementTree.Element) -> None:
    step = float(text(world.find("physics/max_step_size")))
    assert controller("controller_manager")["update_rate"] * step == pytest.approx(1.0)


# --- Bridge and world --------------------------------------------------------------------------


def test_the_bridge_brings_what_the_nodes_want(
    robot: ElementTree.Element, bridge: list[dict[str, str]]
) -> None:
    for entry in bridge:
        assert entry.keys() <= BRIDGE_KEYS
        assert BRIDGED[entry["ros_type_name"]] == entry["gz_type_name"]
    to_ros = {e["ros_topic_name"]: e for e in bridge if e["direction"] == "GZ_TO_ROS"}
    inputs = arm("brain")["architecture"]["inputs"]
    target = arm("target")
    assert inputs["camera"]["topic"] == target["image"]
    assert {target["image"], target["camera_info"], "/clock"} == to_ros.keys()
    # ros2_control brings these by itself.
    assert inputs["joints"]["topic"] == "joint_states"
    sensor = robot.find("gazebo/sensor")
    assert sensor is not None
    assert to_ros[target["image"]]["gz_topic_name"] == text(sensor.find("topic"))
    assert to_ros[target["camera_info"]]["gz_topic_name"] == text(
        sensor.find("camera/camera_info_topic")
    )


def test_the_ball_can_be_told_how_to_move(
    world: ElementTree.Element, bridge: list[dict[str, str]]
) -> None:
    (entry,) = (e for e in bridge if e["direction"] == "ROS_TO_GZ")
    topic = text(world.find("model[@name='ball']/plugin/topic"))
    assert (entry["gz_topic_name"], entry["ros_type_name"]) == (topic, "geometry_msgs/msg/Twist")


def test_the_world_has_the_systems_that_its_parts_need(world: ElementTree.Element) -> None:
    systems = {plugin.get("name"): plugin.get("filename") for plugin in world.iterfind("plugin")}
    assert systems == {
        f"gz::sim::systems::{name}": f"gz-sim-{file}-system"
        for name, file in {
            "Physics": "physics",
            "UserCommands": "user-commands",  # to put the robot there
            "SceneBroadcaster": "scene-broadcaster",  # to show it
            "Sensors": "sensors",  # to see
        }.items()
    }


def test_the_ball_goes_round_where_the_arm_can_look(world: ElementTree.Element) -> None:
    """Its path, as its plugin moves it: by velocities in its own frame, step by step."""
    pytest.importorskip("mujoco")
    from ab_ros.environments.arm import ArmWorld

    ball = world.find("model[@name='ball']")
    assert ball is not None
    place = np.array([float(part) for part in text(ball.find("pose")).split()[:3]])
    ahead = np.array([float(v) for v in text(ball.find("plugin/initial_linear")).split()])
    turning = np.array([float(v) for v in text(ball.find("plugin/initial_angular")).split()])
    assert turning[1] == turning[2] == 0.0  # it rolls about its x, which is that of the world
    arm_world = ArmWorld()
    eye = np.array(arm_world.data.cam_xpos[arm_world._eye])
    arm_world.close()
    step, angle, seen = 0.002, 0.0, []
    for _ in range(round(2 * 2 * math.pi / turning[0] / step)):
        roll = np.array(
            [
                [1.0, 0.0, 0.0],
                [0.0, math.cos(angle), -math.sin(angle)],
                [0.0, math.sin(angle), math.cos(angle)],
            ]
        )
        place = place + roll @ ahead * step
        angle += turning[0] * step
        x, y, z = place - eye
        seen.append((math.atan2(-y, x), math.atan2(z, math.hypot(x, y))))
    azimuth, elevation = np.array(seen).T
    limits = parse(MotorSettings, arm("motor")).limits
    for angles, joint in ((azimuth, "base_yaw"), (elevation, "wrist_pitch")):
        reach = limits[joint].upper
        assert reach is not None
        assert -reach < angles.min() < -0.2
        assert 0.2 < angles.max() < reach


# --- Errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        ("<robot><link name='hand'/></robot>", "link 'hand' is in .*arm.urdf, too"),
        ("<robot><gazebo reference='tail'/></robot>", "tail.*: no such link or joint"),
        ("<robot><ros2_control><joint name='knee'/></ros2_control></robot>", "no joint 'knee'"),
        (
            "<robot><gazebo><x>${home}</x></gazebo></robot>",
            r"<x>: only \$\{controllers\}, \$\{namespace\} can be filled in",
        ),
        ("<sdf/>", "must have <robot> at the top, not <sdf>"),
        ("<robot>", "is not XML"),
    ],
)
def test_an_extension_that_does_not_fit_is_refused(
    extension: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "extension.xml"
    path.write_text(extension)
    with pytest.raises(ConfigError, match=said):
        extended_urdf(ARM, path, VALUES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.xml: cannot be read"):
        extended_urdf(ARM, tmp_path / "none.xml", VALUES)
