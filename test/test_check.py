"""``ab_ros check``: each kind of broken configuration gives its one line, and a good one none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from ab_ros.cli import main
from ab_ros.cli.check import listing, summary
from ab_ros.cli.checks.everything import Checked, Given, check_config
from ab_ros.errors import ConfigError
from ab_ros.learning.scaffold import sync_policies
from ab_ros.nodes.remarks import Level, Remark, Remarks

needs_ros = pytest.mark.skipif(
    find_spec("rclpy") is None, reason="the settings of this node need ROS 2"
)

ROBOT = """\
/**/brain:
  ros__parameters:
    save_file: ""
    architecture:
      gamma: 20
      feedback_timesteps: 20
      inputs:
        camera:
          {kind: Image, topic: camera/image, encoder: saliency, options: {width: 8, height: 6}}
        joints:
          kind: Proprioception
          topic: joint_states
          encoder: joint_population
          options: {joints: [yaw], lower: -1.0, upper: 1.0, cells: 4}
      populations:
        pan: {neuron: FS, size: 8, noise: 6.0, parts: 2, output: true}
        tilt: {neuron: FS, size: 8, noise: 6.0, parts: 2, output: true}
      projections:
        camera_pan: {source: camera, target: pan, synapse: reward_plastic, layer: pan, weight: 2.0}

/**/motor:
  ros__parameters:
    mapping:
      pan: {population: pan, channel: yaw, per_step_max: 0.001}
      tilt: {population: tilt, channel: pitch, per_step_max: 0.001}
    limits:
      yaw: {acceleration: 20.0}
      pitch: {lower: -0.5, upper: 0.5, velocity: 1.0, acceleration: 10.0}
    groups:
      arm: {topic: arm_controller/joint_trajectory, channels: [yaw, pitch]}
    following_error: 0.3

/**/critic:
  ros__parameters:
    target: ""
    critic: {reward_policy: POLICY, deviation_enabled: false}
"""
POLICY = """\
def compute_reward(summary, *, stdp_layers):
    return 0.5, dict.fromkeys(stdp_layers, 0.5)
"""
URDF = """\
<robot name="arm">
  <link name="base"/><link name="a"/><link name="b"/><link name="c"/><link name="d"/>
  <joint name="yaw" type="revolute"><parent link="base"/><child link="a"/>
    <limit lower="-2" upper="2" velocity="3" effort="10"/></joint>
  <joint name="pitch" type="revolute"><parent link="a"/><child link="b"/>
    <limit lower="-1" upper="1" velocity="3" effort="10"/></joint>
  <joint name="finger" type="prismatic"><parent link="b"/><child link="c"/>
    <limit lower="0" upper="0.04" velocity="0.5" effort="10"/><mimic joint="pitch"/></joint>
  <joint name="mount" type="fixed"><parent link="b"/><child link="d"/></joint>
</robot>
"""
CONTROLLERS = """\
controller_manager:
  ros__parameters:
    update_rate: 100
    joint_state_broadcaster: {type: joint_state_broadcaster/JointStateBroadcaster}
    arm_controller: {type: joint_trajectory_controller/JointTrajectoryController}
arm_controller:
  ros__parameters:
    joints: [pitch, yaw]
    command_interfaces: [position]
    state_interfaces: [position, velocity]
"""


class Robot:
    """The files of one robot, which a test may break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "reward.py"
        self.policy.write_text(POLICY)
        self.config = folder / "robot.yaml"
        self.config.write_text(ROBOT.replace("POLICY", str(self.policy)))
        self.urdf = folder / "arm.urdf"
        self.urdf.write_text(URDF)
        self.controllers = folder / "controllers.yaml"
        self.controllers.write_text(CONTROLLERS)

    def change(self, file: Path, old: str, new: str) -> None:
        text = file.read_text()
        assert old in text, f"{old!r} is not in {file.name}"
        file.write_text(text.replace(old, new, 1))

    def check(self, brain: Path | None = None, urdf: bool = True) -> tuple[Checked, Remarks]:
        remarks = Remarks()
        given = Given(self.config, brain, self.urdf if urdf else None, self.controllers)
        return check_config(given, remarks), remarks


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return Robot(tmp_path)


def bad(remarks: Remarks) -> list[Remark]:
    """What is not as it must be; without ROS, a node's settings may be partly unknown."""
    return [r for r in remarks if r.level is not Level.OK and "needs ROS 2" not in r.text]


def test_a_good_robot_has_nothing_to_mend(robot: Robot) -> None:
    _, remarks = robot.check()
    assert bad(remarks) == []
    assert any("2 of 2 outputs move 2 channels" in r.text for r in remarks)
    assert any("fits arm_controller" in r.text for r in remarks)


@dataclass(frozen=True)
class Case:
    """A change that breaks a file, and the one line that must come of it."""

    old: str
    new: str
    key: str
    text: str
    level: Level = Level.ERROR
    file: str = "config"
    ros: bool = False


CASES = {
    # Settings
    "unknown setting": Case(
        "following_error: 0.3", "folowing_error: 0.3", "motor.folowing_error",
        "did you mean 'following_error'",
    ),
    "missing setting": Case(
        "{topic: arm_controller/joint_trajectory, channels", "{channels",
        "motor.groups.arm.topic", "is required but missing",
    ),
    "wrong type": Case(
        "following_error: 0.3", "following_error: much", "motor.following_error",
        "must be a number, not 'much'",
    ),
    "out of bounds": Case(
        "following_error: 0.3", "following_error: -1.0", "motor.following_error",
        "must be >= 0",
    ),
    "a rule of several settings": Case(
        "channel: pitch, per", "channel: roll, per", "motor.mapping.tilt.channel",
        "no group has channel 'roll'; one of: yaw, pitch",
    ),
    "interface unknown": Case(
        "{topic: arm_controller/joint_trajectory,",
        "{interface: telepathy, topic: arm_controller/joint_trajectory,",
        "motor.groups.arm.interface", "'telepathy' is not allowed",
    ),
    "use_sim_time as text": Case(
        "    following_error: 0.3", "    following_error: 0.3\n    use_sim_time: 'yes'",
        "motor.use_sim_time", "must be true or false",
    ),
    "brain's settings": Case(
        'save_file: ""', 'save_file: ""\n    pacing: quickly', "brain.pacing",
        "'quickly' is not allowed", ros=True,
    ),
    "critic's settings": Case(
        'target: ""', 'target: ""\n    judge_timeout: 0', "critic.judge_timeout", "must be > 0",
        ros=True,
    ),
    "what the node itself refuses": Case(
        'save_file: ""', "save_file: /nowhere/brain.db", "brain.save_file", "cannot be written",
        ros=True,
    ),
    "nearly a node": Case(
        "/**/critic:", "/**/critik:", "/**/critik", "did you mean 'critic'", Level.WARNING
    ),
    # Brain
    "encoder unknown": Case(
        "encoder: saliency", "encoder: salience", "brain.architecture.inputs.camera.encoder",
        "unknown encoder 'salience'",
    ),
    "encoder of another kind": Case(
        "kind: Image, topic: camera/image, encoder: saliency",
        "kind: Audio, topic: camera/image, encoder: saliency",
        "brain.architecture.inputs.camera.encoder", "'saliency' reads Image, not 'Audio'",
    ),
    "encoder's option": Case(
        "options: {width: 8, height: 6}", "options: {width: 8, heigth: 6}",
        "brain.architecture.inputs.camera.options.heigth", "did you mean 'height'",
    ),
    "no such target": Case(
        "target: pan, synapse", "target: pa, synapse",
        "brain.architecture.projections.camera_pan.target", "'pa' is not a population",
    ),
    "wiring that cannot be built": Case(
        "synapse: reward_plastic, layer: pan, weight: 2.0}",
        "synapse: reward_plastic, layer: pan, weight: 2.0, options: {lr: -1.0}}",
        "brain.architecture.projections.camera_pan", "lr",
    ),
    "remote brain without a service": Case(
        'save_file: ""',
        'save_file: ""\n    backend: remote',
        "brain.remote",
        "is missing: give the service's 'url'",
        ros=True,
    ),
    # Mapping
    "mapping to no output": Case(
        "{population: tilt, channel", "{population: tild, channel",
        "motor.mapping.tilt.population", "no output 'tild'",
    ),
    # Limits and joints
    "no such joint": Case(
        "joints: [yaw], lower", "joints: [yaww], lower",
        "brain.architecture.inputs.joints.options.joints", "no moving joint 'yaww'",
    ),
    "limits wider than the robot's": Case(
        "{lower: -0.5, upper: 0.5", "{lower: -0.5, upper: 1.5", "motor.limits.pitch.upper",
        "1.5 is wider than the robot's own limit, 1", Level.WARNING,
    ),
    "velocity beyond the robot's": Case(
        "velocity: 1.0, acc", "velocity: 9.0, acc", "motor.limits.pitch.velocity",
        "9 is wider than the robot's own limit, 3", Level.WARNING,
    ),
    "limits inverted": Case(
        "{lower: -0.5, upper: 0.5", "{lower: 0.5, upper: -0.5", "motor.limits.pitch",
        "lower must be less than upper",
    ),
    "cannot brake": Case(
        "acceleration: 10.0", "acceleration: 0.01", "motor.groups.arm", "to brake from",
    ),
    "endless and bounded": Case(
        "pitch: {lower: -0.5, upper: 0.5, ", "pitch: {continuous: true, ",
        "motor.limits.pitch.continuous", "the robot's joint is bounded", Level.WARNING,
    ),
    # Times
    "spike_timeout within a cycle": Case(
        "following_error: 0.3", "following_error: 0.3\n    spike_timeout: 0.02",
        "motor.spike_timeout", "not longer than a cycle, 0.02 s",
    ),
    "state_timeout within a cycle": Case(
        "following_error: 0.3", "following_error: 0.3\n    state_timeout: 0.02",
        "motor.state_timeout", "not longer than a cycle",
    ),
    "goes on for long": Case(
        "following_error: 0.3", "following_error: 0.3\n    spike_timeout: 5.0",
        "motor.spike_timeout", "would go on for 5 s", Level.WARNING,
    ),
    "joint states that ceased": Case(
        "following_error: 0.3", "following_error: 0.3\n    state_timeout: 5.0",
        "motor.state_timeout", "would move on unseen for 5 s; a cycle is 0.02 s; give 1 or less",
        Level.WARNING,
    ),
    "clock that stands still": Case(
        "following_error: 0.3", "following_error: 0.3\n    steady_timeout: 6.0",
        "motor.steady_timeout", "clock that stands still it would go on for 6 s", Level.WARNING,
    ),
    "cycles that are old": Case(
        "following_error: 0.3", "following_error: 0.3\n    max_cycle_age: 7.0",
        "motor.max_cycle_age", "by what the brain saw 7 s ago", Level.WARNING,
    ),
    "clock that leaps": Case(
        "following_error: 0.3", "following_error: 0.3\n    clock_leap: 8.0",
        "motor.clock_leap", "leaps by up to 8 s would not stop it", Level.WARNING,
    ),
    "deadman switch that is heard of late": Case(
        "following_error: 0.3", "following_error: 0.3\n    deadman_timeout: 2.5",
        "motor.deadman_timeout", "would stop the robot after 2.5 s only", Level.WARNING,
    ),
    "blocked joint": Case(
        "following_error: 0.3", "following_error: 0.3\n    following_time: 3.0",
        "motor.following_time", "would be pushed for 3 s", Level.WARNING,
    ),
    "no jump is doubted": Case(
        "following_error: 0.3", "following_error: 0.3\n    state_jump: 0.0",
        "motor.state_jump", "that jumps, however far, would be believed", Level.WARNING,
    ),
    "large jumps are not doubted": Case(
        "following_error: 0.3", "following_error: 0.3\n    state_jump: 2.0",
        "motor.state_jump", "that jumps by up to 2 (rad or m) would be believed", Level.WARNING,
    ),
    "command that is far after a pause": Case(
        "following_error: 0.3", "following_error: 0.3\n    drift_tolerance: 4.0",
        "motor.drift_tolerance", "to a command 4 (rad or m) away", Level.WARNING,
    ),
    **{
        f"{name} that protects nobody": Case(
            "following_error: 0.3", f"{name}: 1.0e+9", f"motor.{name}",
            f"1000000000.0 is not allowed; must be {low} 0 and <= {high:g} {unit}",
        )
        for name, low, high, unit in (
            ("spike_timeout", ">=", 60, "s"), ("state_timeout", ">=", 60, "s"),
            ("steady_timeout", ">", 60, "s"), ("max_cycle_age", ">=", 60, "s"),
            ("clock_leap", ">", 60, "s"), ("deadman_timeout", ">=", 10, "s"),
            ("following_time", ">=", 10, "s"), ("following_error", ">=", 10, "rad or m"),
            ("drift_tolerance", ">", 10, "rad or m"),
        )
    },
    "no acceleration limit": Case(
        "velocity: 1.0, acceleration: 10.0}", "velocity: 1.0}", "motor.limits.pitch.acceleration",
        "'pitch' has no acceleration limit, which no URDF has: from standing it goes to its full"
        " speed, 1 per s", Level.WARNING,
    ),
    "following error that is never noticed": Case(
        "following_error: 0.3", "following_error: 5.0", "motor.following_error",
        "as much as 'yaw' can move at all", Level.WARNING,
    ),
    "following error within a cycle": Case(
        "following_error: 0.3", "following_error: 0.01", "motor.following_error",
        "less than 'yaw' may move in a cycle", Level.WARNING,
    ),
    "following error off for one": Case(
        "acceleration: 10.0}", "acceleration: 10.0, following_error: 0.0}",
        "motor.limits.pitch.following_error", "is not noticed", Level.WARNING,
    ),
    # Together
    "other clocks": Case(
        "    following_error: 0.3", "    following_error: 0.3\n    use_sim_time: true",
        "motor.use_sim_time", "is true, but brain has false",
    ),
    "other pacing": Case(
        "    following_error: 0.3", "    following_error: 0.3\n    pacing: lockstep",
        "motor.pacing", "is 'lockstep', but brain has 'realtime'", ros=True,
    ),
    # Policies
    "no such policy": Case(
        "reward.py,", "rewards.py,", "critic.critic.reward_policy", "there is no such policy file"
    ),
    "policy without the function": Case(
        "def compute_reward", "def reward", "critic.critic.reward_policy",
        "has no function compute_reward()", file="policy",
    ),
    "policy that fails": Case(
        "return 0.5,", "return 1 / 0,", "critic.critic.reward_policy", "division by zero",
        file="policy",
    ),
    "policy that returns nonsense": Case(
        "return 0.5,", "return float('nan'),", "critic.critic.reward_policy", "nan", file="policy"
    ),
    "reward of a layer that is not there": Case(
        "dict.fromkeys(stdp_layers, 0.5)", "{'pan': 0.5, 'roll': 0.5}",
        "critic.critic.reward_policy", "rewards layer 'roll'", file="policy",
    ),
    "options of the ready-made policies": Case(
        "reward_policy: POLICY, deviation_enabled: false",
        "reward_policy: ab_ros.learning.tasks, deviation_enabled: false, options: {termss: {a: 1}}",
        "critic.critic.options.termss", "did you mean 'terms'",
    ),
    # Controllers
    "controller without a joint": Case(
        "joints: [pitch, yaw]", "joints: [pitch]", "arm_controller.joints",
        "['pitch'] lack ['yaw'] of the group 'arm'", file="controllers",
    ),
    "controller with more joints": Case(
        "joints: [pitch, yaw]", "joints: [pitch, yaw, roll]", "arm_controller.joints",
        "['roll'] are not in the group 'arm'", file="controllers",
    ),
    "controller without interfaces": Case(
        "    command_interfaces: [position]\n", "", "arm_controller.command_interfaces",
        "is missing: the controller does not start", file="controllers",
    ),
    "trajectories may end in motion": Case(
        "    command_interfaces",
        "    allow_nonzero_velocity_at_trajectory_end: true\n    command_interfaces",
        "arm_controller.allow_nonzero_velocity_at_trajectory_end", "write false",
        Level.WARNING, "controllers",
    ),
    "controller of another interface": Case(
        "joint_trajectory_controller/JointTrajectoryController",
        "diff_drive_controller/DiffDriveController", "motor.groups.arm.interface",
        "takes twist or twist_stamped", file="controllers",
    ),
    "controller manager too slow": Case(
        "update_rate: 100", "update_rate: 10", "controller_manager",
        "give more than 20 Hz", file="controllers",
    ),
    "nobody tells joint states": Case(
        "    joint_state_broadcaster: {type: joint_state_broadcaster/JointStateBroadcaster}\n", "",
        "controller_manager", "joint_state_broadcaster", Level.WARNING, "controllers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_broken_robot_has_the_one_line_that_says_why(robot: Robot, case: Case) -> None:
    if case.ros and find_spec("rclpy") is None:
        pytest.skip("the settings of this node need ROS 2")
    old, new = (text.replace("POLICY", str(robot.policy)) for text in (case.old, case.new))
    robot.change(getattr(robot, case.file), old, new)
    _, remarks = robot.check()
    found = [(r.level, r.key) for r in bad(remarks) if re.search(re.escape(case.text), r.text)]
    assert found == [(case.level, case.key)], listing(remarks, colour=False)
    others = [r for r in bad(remarks) if not re.search(re.escape(case.text), r.text)]
    consequences = (
        "the rest is not checked",
        "mapping, policies and times are not held against",
        "no entry has the output",  # of a mapping that is wrong
        "this file has no critic",
        "'lockstep' needs a simulation",
        "what the brain of a service takes",
    )
    assert [r for r in others if not r.text.startswith(consequences)] == []


def test_a_position_of_a_twist_is_an_error_at_its_line(robot: Robot) -> None:
    robot.change(
        robot.config,
        "    following_error: 0.3",
        "      base: {topic: cmd_vel, interface: twist, channels: [linear_x]}\n"
        "    limits.linear_x: {upper: 0.5, velocity: 1.0, acceleration: 1.0}\n"
        "    following_error: 0.3",
    )
    _, remarks = robot.check()
    (remark,) = [r for r in remarks if r.level is Level.ERROR]
    assert remark.key == "motor.limits.linear_x.upper"
    assert remark.text.endswith("its speed is limited by limits.linear_x.velocity")
    line = robot.config.read_text().splitlines()[int(remark.where.rpartition(":")[2]) - 1]
    assert line.startswith("    limits.linear_x: {upper: 0.5")


def test_each_line_has_its_file_and_line(robot: Robot) -> None:
    robot.change(robot.config, "per_step_max: 0.001}\n    limits", "per_step_mxa: 1}\n    limits")
    line = next(
        k for k, text in enumerate(robot.config.read_text().splitlines(), 1) if "mxa" in text
    )
    _, remarks = robot.check()
    (remark,) = [r for r in remarks if r.level is Level.ERROR]
    assert remark.where == f"{robot.config}:{line}"
    assert remark.key == "motor.mapping.tilt.per_step_mxa"


def test_all_errors_of_all_nodes_are_told_at_once(robot: Robot) -> None:
    robot.change(robot.config, "following_error: 0.3", "folowing_error: 0.3")
    robot.change(robot.config, "velocity: 1.0", "velocity: fast")
    robot.change(robot.config, "cells: 4", "cell: 4")
    robot.change(robot.config, "encoder: saliency", "encoder: salience")
    _, remarks = robot.check()
    assert {r.key for r in remarks if r.level is Level.ERROR} == {
        "motor.folowing_error",
        "motor.limits.pitch.velocity",
        "brain.architecture.inputs.joints.options.cell",
        "brain.architecture.inputs.camera.encoder",
    }


def test_limits_come_from_the_urdf_and_without_one_it_says_so(robot: Robot) -> None:
    _, remarks = robot.check(urdf=False)
    (remark,) = bad(remarks)
    assert remark.level is Level.WARNING
    assert "channel 'yaw' has no velocity limit" in remark.text
    assert "--urdf" in remark.text
    robot.change(robot.urdf, 'velocity="3" effort="10"/></joint>', 'effort="10"/></joint>')
    _, remarks = robot.check()
    (remark,) = bad(remarks)
    assert remark.level is Level.ERROR
    assert "channel 'yaw' has no velocity limit" in remark.text


@pytest.mark.parametrize(
    ("joint", "said"),
    [
        ("finger", "follows 'pitch'"),
        ("mount", "is fixed"),
        ("elbow", "the robot has no joint 'elbow'"),
    ],
)
def test_a_channel_that_is_no_joint_of_its_own_is_an_error(
    robot: Robot, joint: str, said: str
) -> None:
    text = robot.config.read_text().replace("pitch", joint)
    robot.config.write_text(text)
    robot.controllers.write_text(CONTROLLERS.replace("pitch", joint))
    _, remarks = robot.check()
    assert any(said in r.text and r.level is Level.ERROR for r in remarks)


def test_an_output_that_moves_nothing_is_told(robot: Robot) -> None:
    robot.change(robot.config, "      tilt: {population: tilt", "      tilt: {population: pan")
    _, remarks = robot.check()
    (remark,) = bad(remarks)
    assert remark.level is Level.WARNING
    assert "no entry has the output 'tilt'" in remark.text


# ---------------------------------------------------------------------------- command interfaces

BASE = """\
/**/motor:
  ros__parameters:
    mapping:
      go: {population: pan, channel: linear_x, per_step_max: 0.001}
    limits:
      linear_x: {velocity: 0.5, acceleration: 1.0}
    groups:
      base: {interface: INTERFACE, topic: base_controller/TOPIC, channels: [linear_x]}
"""
DIFF_DRIVE = """\
controller_manager:
  ros__parameters:
    joint_state_broadcaster: {type: joint_state_broadcaster/JointStateBroadcaster}
    base_controller: {type: diff_drive_controller/DiffDriveController}
base_controller:
  ros__parameters:
    cmd_vel_timeout: TIMEOUT
"""


def wheels(folder: Path, interface: str, controllers: str | None) -> list[Remark]:
    """Check a robot on wheels; return what is told of groups and controllers."""
    config = folder / "base.yaml"
    config.write_text(BASE.replace("INTERFACE", interface).replace("TOPIC", "cmd_vel"))
    file = None
    if controllers is not None:
        file = folder / "controllers.yaml"
        file.write_text(controllers)
    remarks = Remarks()
    check_config(Given(config, controllers=file), remarks)
    return [r for r in remarks if "base" in r.key]


def test_wheels_that_would_go_on_after_the_motor_node_are_warned_of(tmp_path: Path) -> None:
    (remark,) = wheels(tmp_path, "twist_stamped", None)
    assert remark.level is Level.WARNING
    assert "cmd_vel_timeout" in remark.text
    (remark,) = wheels(tmp_path, "velocity", None)
    assert remark.level is Level.WARNING
    assert "have no timeout" in remark.text


@pytest.mark.parametrize(
    ("timeout", "level", "said"),
    [
        ("0.5", Level.OK, "stops by itself 0.5 s after"),
        ("0.0", Level.ERROR, "may drive on"),
        ("-1.0", Level.ERROR, "may drive on"),
        ("5.0", Level.WARNING, "drives on for 5 s"),
    ],
)
def test_the_timeout_of_a_base_is_read(
    tmp_path: Path, timeout: str, level: Level, said: str
) -> None:
    remarks = wheels(tmp_path, "twist_stamped", DIFF_DRIVE.replace("TIMEOUT", timeout))
    (remark,) = [r for r in remarks if "cmd_vel_timeout" in r.key]
    assert (remark.level, said in remark.text) == (level, True)
    assert remark.where == f"{tmp_path / 'controllers.yaml'}:7"


def test_a_base_takes_stamped_twists_or_plain_ones(tmp_path: Path) -> None:
    plain = DIFF_DRIVE.replace("TIMEOUT", "0.5\n    use_stamped_vel: false")
    assert any("takes 'twist'" in r.text for r in wheels(tmp_path, "twist_stamped", plain))
    assert not any(r.level is Level.ERROR for r in wheels(tmp_path, "twist", plain))


FORWARD = """\
controller_manager:
  ros__parameters:
    joint_state_broadcaster: {type: joint_state_broadcaster/JointStateBroadcaster}
    arm_controller: {type: forward_command_controller/ForwardCommandController}
arm_controller:
  ros__parameters:
    joints: [yaw, pitch]
    interface_name: position
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[yaw, pitch]", "[pitch, yaw]", "another order"),
        ("[yaw, pitch]", "[yaw]", "other joints"),
        ("    joints: [yaw, pitch]\n", "", "is missing"),
        ("    interface_name: position\n", "", "is missing"),
        ("interface_name: position", "interface_name: velocity", "takes velocity"),
    ],
)
def test_numbers_without_names_must_reach_the_joints_that_they_are_for(
    robot: Robot, old: str, new: str, said: str
) -> None:
    robot.change(
        robot.config, "{topic: arm_controller/joint_tr", "{interface: position, topic: arm_controll"
    )
    robot.change(robot.config, "arm_controllajectory", "arm_controller/commands")
    robot.controllers.write_text(FORWARD)
    _, remarks = robot.check()
    assert bad(remarks) == []
    robot.change(robot.controllers, old, new)
    _, remarks = robot.check()
    assert any(said in r.text and r.level is Level.ERROR for r in remarks)


# ------------------------------------------------------------------------------ brains elsewhere


REMOTE = """\
    backend: remote
    remote: {url: "http://127.0.0.1:8642", project: arm}
    inputs:
      camera: {kind: Image, topic: camera/image}
      joints: {kind: Proprioception, topic: joint_states}
"""


def served(robot: Robot, settings: str = REMOTE) -> None:
    """Let the robot's brain be elsewhere."""
    head, rest = robot.config.read_text().split("    architecture:\n")
    robot.config.write_text(f"{head}{settings}\n{rest[rest.index('/**/motor') :]}")


@needs_ros
def test_a_remote_brain_is_known_by_its_policies(robot: Robot) -> None:
    known, _ = robot.check()
    assert known.brain.contract is not None
    sync_policies(known.brain.contract, robot.folder / "policies")
    served(robot)
    _, remarks = robot.check()
    assert bad(remarks) == []
    robot.change(robot.config, "{population: tilt", "{population: tild")
    _, remarks = robot.check()
    assert any("no output 'tild'" in r.text and "_contract.json" in r.text for r in remarks)


@needs_ros
def test_a_remote_brain_that_is_not_known_is_told(robot: Robot) -> None:
    served(robot)
    _, remarks = robot.check()
    (remark,) = bad(remarks)
    assert remark.level is Level.WARNING
    assert "--brain" in remark.text


@needs_ros
def test_inputs_of_a_remote_brain_are_compared_with_its_file(robot: Robot, tmp_path: Path) -> None:
    from ab_ros.brains.embedded import EmbeddedBrain

    checked, _ = robot.check()
    node = checked.config.node("brain")
    assert node is not None
    file = tmp_path / "brain.db"
    EmbeddedBrain(node.settings.architecture).save(file)
    served(robot, REMOTE.replace("joints:", "arm:").replace("kind: Image", "kind: Audio"))
    _, remarks = robot.check(brain=file)
    (remark,) = bad(remarks)
    assert remark.key == "brain.inputs.camera.kind"
    assert remark.text.startswith("is 'Audio', but the brain's input is of the kind 'Image'")
    assert str(file) in remark.text


@needs_ros
def test_policies_of_another_brain_are_an_error(robot: Robot) -> None:
    known, _ = robot.check()
    assert known.brain.contract is not None
    folder = robot.folder / "policies"
    sync_policies(known.brain.contract, folder)
    robot.change(robot.config, f"reward_policy: {robot.policy}", f"policies: {folder}")
    _, remarks = robot.check()
    assert [r for r in bad(remarks) if r.level is Level.ERROR] == []
    robot.change(robot.config, "gamma: 20", "gamma: 30")
    _, remarks = robot.check()
    (remark,) = [r for r in bad(remarks) if r.level is Level.ERROR]
    assert remark.key == "critic.critic.policies"
    assert "constant gamma: was 20, is 30" in remark.text


# -------------------------------------------------------------------------------- as a command


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "config").glob("*.yaml")))
def test_all_configurations_that_ship_pass(path: Path) -> None:
    remarks = Remarks()
    check_config(Given(path), remarks)
    # What a robot needs besides need not be on this computer.
    wrong = [r for r in remarks if r.level is Level.ERROR and "is not installed" not in r.text]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("a: [", "is not valid YAML"),
        ("/**/arm:\n  ros__parameters: {}\n", "names no node of ab_ros"),
        ("/**/motor:\n  ros__parameters:\n    a: [1, 2.0]\n", "mixes integers and decimals"),
        (
            "/a/motor:\n  ros__parameters: {x: 1}\n/b/motor:\n  ros__parameters: {x: 1}\n",
            "several namespaces",
        ),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    file = tmp_path / "robot.yaml"
    if text is not None:
        file.write_text(text)
    assert main(["check", str(file)]) == 2
    assert said in capsys.readouterr().err


def test_its_exit_code_tells_whether_there_are_errors(
    robot: Robot, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", str(robot.config), "--urdf", str(robot.urdf)]
    assert main(arguments) == 0
    assert "0 errors" in capsys.readouterr().out
    robot.change(robot.config, "following_error", "folowing_error")
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("error")
    assert lines[-1].startswith("1 error, ")


def test_json_has_the_same(robot: Robot, capsys: pytest.CaptureFixture[str]) -> None:
    robot.change(robot.config, "following_error", "folowing_error")
    assert main(["check", str(robot.config), "--urdf", str(robot.urdf), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["errors"] == 1
    (error,) = [r for r in told["remarks"] if r["level"] == "error"]
    assert error["key"] == "motor.folowing_error"
    assert re.fullmatch(r".*robot\.yaml:\d+", error["where"])


def test_ros_arguments_are_for_the_graph(robot: Robot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(robot.config), "--ros-args", "-r", "__ns:=/a"]) == 2
    assert "--graph" in capsys.readouterr().err


def test_a_xacro_is_told_from_a_urdf(robot: Robot, capsys: pytest.CaptureFixture[str]) -> None:
    robot.urdf.write_text('<robot xmlns:xacro="http://ros.org/wiki/xacro"><xacro:arm/></robot>')
    assert main(["check", str(robot.config), "--urdf", str(robot.urdf)]) == 2
    assert "run 'xacro" in capsys.readouterr().err


def test_lines_are_aligned_and_the_worst_come_first() -> None:
    remarks = Remarks()
    remarks.ok("fine", "a.yaml:1", "brain")
    remarks.error("broken", "long.yaml:100", "motor.groups")
    assert listing(remarks, colour=False).splitlines() == [
        "error    long.yaml:100  motor.groups: broken",
        "ok       a.yaml:1       brain: fine",
    ]
    assert "\033[" in listing(remarks, colour=True)
    assert summary(remarks, colour=False) == "1 error, 0 warnings, 1 ok"


def test_numbers_as_ros_reads_them(robot: Robot) -> None:
    robot.change(robot.config, "following_error: 0.3", "following_error: 3e-1")
    checked, remarks = robot.check()
    assert bad(remarks) == []
    node = checked.config.node("motor")
    assert node is not None
    assert node.settings.following_error == 0.3


def test_settings_for_all_nodes_and_in_a_namespace(robot: Robot) -> None:
    text = robot.config.read_text().replace("/**/motor:", "/arm/motor:")
    robot.config.write_text(text + "\n/**:\n  ros__parameters: {use_sim_time: true}\n")
    checked, _ = robot.check()
    assert {node.name for node in checked.config.nodes.values()} == {
        "/arm/brain",
        "/arm/motor",
        "/arm/critic",
    }
    assert all(node.use_sim_time for node in checked.config.nodes.values())


def test_keys_may_be_written_with_dots(robot: Robot) -> None:
    robot.change(
        robot.config,
        "      pitch: {lower: -0.5, upper: 0.5, velocity: 1.0, acceleration: 10.0}",
        "      pitch.lower: -0.5\n      pitch.upper: 0.5\n      pitch.velocty: 1.0",
    )
    _, remarks = robot.check()
    (remark,) = [r for r in remarks if r.level is Level.ERROR]
    assert remark.key == "motor.limits.pitch.velocty"
    line = robot.config.read_text().splitlines()[int(remark.where.rsplit(":", 1)[1]) - 1]
    assert "velocty" in line


def test_controllers_without_a_manager_cannot_be_used(robot: Robot) -> None:
    robot.controllers.write_text("a: {ros__parameters: {b: 1}}\n")
    with pytest.raises(ConfigError, match="has no controller_manager"):
        robot.check()


NO_ROS = """\
import sys
for name in ("rclpy", "ab_ros.msg", "sensor_msgs", "geometry_msgs", "std_msgs", "std_srvs",
             "rcl_interfaces", "rosgraph_msgs", "trajectory_msgs", "diagnostic_msgs"):
    sys.modules[name] = None
from ab_ros.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def test_it_works_without_ros(robot: Robot, root: Path) -> None:
    def check(code: int) -> str:
        command = [sys.executable, "-c", NO_ROS, "check", str(robot.config)]
        done = subprocess.run(
            [*command, "--urdf", str(robot.urdf)], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    said = check(0)
    assert "2 of 2 outputs move 2 channels" in said
    assert "compute_reward: 0.5; pan 0.5" in said
    robot.change(robot.config, "encoder: saliency", "encoder: salience")
    robot.change(robot.config, "following_error", "folowing_error")
    said = check(1)
    assert "unknown encoder 'salience'" in said
    assert "did you mean 'following_error'" in said


@needs_ros
def test_a_layered_brain_is_checked_by_what_its_file_holds(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(
        f"""\
/**/brain:
  ros__parameters: {{file: {root / "config" / "layered.json"}, dt: 0.02, save_file: ""}}
/**/motor:
  ros__parameters:
    mapping: {{turn: {{population: turns, channel: base_yaw, per_step_max: 0.01}}}}
    limits: {{base_yaw: {{lower: -1.6, upper: 1.6, velocity: 2.0, acceleration: 20.0}}}}
    groups: {{arm: {{topic: arm/joint_trajectory, channels: [base_yaw]}}}}
"""
    )
    remarks = Remarks()
    check_config(Given(file), remarks)
    wrong = [remark for remark in remarks if remark.level is Level.ERROR]
    assert [remark.key for remark in wrong] == ["motor.mapping.turn.population"]
    assert "no output 'turns'" in wrong[0].text
    assert any("1 inputs, 1 outputs" in remark.text for remark in remarks)
