"""The parameter files that come with ab_ros: each is right, and its brain moves its robot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.cli import main
from ab_ros.cli.checks.everything import Given, check_config
from ab_ros.config import load_yaml, node_parameters, parse
from ab_ros.learning.critic import Critic, CriticSettings, Snapshot
from ab_ros.loop import Loop
from ab_ros.motion.groups import Command
from ab_ros.motion.limits import limits_from_urdf, resolve_limits
from ab_ros.motion.settings import MotorSettings, Quantity
from ab_ros.motion.stage import MotorStage
from ab_ros.nodes.remarks import Level, Remarks
from ab_ros.values import Need, Observation

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "config"
ARM = ROOT / "ab_ros" / "environments" / "models" / "arm.urdf"
# The remote brain is known when its service answers; mujoco.yaml is a part of a file.
WHOLE = ("arm", "demo", "diff_drive", "episodes", "hand", "template")
MOVED = ("arm", "hand", "template")


def settings_of(name: str, node: str) -> dict[str, Any]:
    values, _ = node_parameters(*load_yaml(CONFIGS / f"{name}.yaml"), node)
    return values


def test_every_file_is_looked_at() -> None:
    files = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert files == {*WHOLE, "remote", "mujoco"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_has_no_errors(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rclpy", reason="the settings of some nodes need ROS 2")
    monkeypatch.chdir(ROOT)  # what files name is found from there
    code = main(["check", str(CONFIGS / f"{name}.yaml")])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "\n0 errors" in said


def test_the_template_gives_no_cause_for_any_remark(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rclpy", reason="the settings of some nodes need ROS 2")
    assert main(["check", str(CONFIGS / "template.yaml"), "--urdf", str(ARM)]) == 0
    assert "\n0 errors, 0 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ("direct: true", "direct: false", "motor.direct", "commands channels, not by spikes"),
        ("population: none", "population: other", "episodes.training", "lacks 'other'"),
        ("base_yaw", "base_jaw", "episodes.training", "no such channel; one of: base_jaw"),
        ("pacing: lockstep", "pacing: realtime", "episodes.training", "is 'lockstep' there, but"),
        (
            "/**/episodes:",
            "/**/brain:\n  ros__parameters: {}\n/**/episodes:",
            "episodes",
            "a brain",
        ),
    ],
)
def test_a_training_is_held_against_the_motor_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, key: str, says: str
) -> None:
    pytest.importorskip("rclpy", reason="the settings of some nodes need ROS 2")
    monkeypatch.chdir(ROOT)
    text = (CONFIGS / "episodes.yaml").read_text()
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace(old, new))
    remarks = Remarks()
    check_config(Given(path), remarks)
    found = [r for r in remarks if r.level is Level.ERROR and r.key == key and says in r.text]
    assert found, [r.text for r in remarks]


def test_the_arm_fits_its_controllers(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rclpy", reason="the settings of some nodes need ROS 2")
    controllers = CONFIGS / "gazebo" / "controllers.yaml"
    options = ["--urdf", str(ARM), "--controllers", str(controllers)]
    assert main(["check", str(CONFIGS / "arm.yaml"), *options]) == 0
    said = capsys.readouterr().out
    assert "fits arm_controller" in said
    assert "fits gripper_controller" in said


def test_the_hand_is_a_robot_of_many_joints() -> None:
    motor = parse(MotorSettings, settings_of("hand", "motor"))
    assert len(motor.channels) >= 12
    interfaces = {group.interface for group in motor.groups.values()}
    assert interfaces == {"position", "effort", "joint_trajectory"}
    movers: dict[str, set[str]] = {}
    for entry in motor.mapping.values():
        movers.setdefault(entry.channel, set()).add(entry.population)
    assert movers.keys() == set(motor.channels)
    assert any(len(populations) > 1 for populations in movers.values())


@dataclass
class Puppet:
    """A robot that is where it is commanded to be, and whose efforts turn joints slowly."""

    inputs: dict[str, Any]
    efforts: frozenset[str]
    joints: dict[str, float]
    time: float = 100.0
    commanded: dict[str, list[float]] = field(default_factory=dict)

    def sense(self, need: Need) -> Iterable[Observation]:
        for name in need.inputs:
            kind = self.inputs[name].kind
            if kind == "Image":
                image = np.full((120, 160, 3), 90, np.uint8)
                image[40:60, 20:40] = (220, 20, 20)
                yield Observation(name, kind, self.time, "rgb8", image)
            elif kind == "Proprioception":
                table = np.zeros((3, len(self.joints)))
                table[0] = list(self.joints.values())
                names = {"names": tuple(self.joints)}
                yield Observation(name, kind, self.time, "joint_state", table, names)
            else:
                values = np.linspace(0.5, 2.0, 4)
                yield Observation(name, kind, self.time, "float64", values)

    def snapshot(self) -> Snapshot:
        azimuth = 0.2 + self.joints.get("base_yaw", 0.0)
        target = (math.sin(azimuth), 0.1, math.cos(azimuth))
        return Snapshot(self.time, dict(self.joints), target)

    def execute(self, commands: Sequence[Command], duration: float) -> None:
        for command in commands:
            for name, values in zip(command.names, command.values.T, strict=True):
                self.commanded.setdefault(name, []).extend(values.tolist())
                within = command.times <= duration + 1e-9
                if name in self.efforts:
                    self.joints[name] += 0.5 * float(values[within].mean()) * duration
                else:
                    self.joints[name] = float(values[within][-1])
        self.time += duration


@pytest.mark.parametrize("name", MOVED)
def test_its_brain_moves_every_joint_that_it_maps_within_its_limits(name: str) -> None:
    architecture = parse(ArchitectureSettings, settings_of(name, "brain")["architecture"])
    motor = parse(MotorSettings, settings_of(name, "motor"))
    critic = parse(CriticSettings, settings_of(name, "critic")["critic"])
    urdf = limits_from_urdf(ARM.read_text(encoding="utf-8"))
    limits = resolve_limits(motor.channels, motor.limits, urdf)
    efforts = frozenset(
        channel
        for group in motor.groups.values()
        if group.quantity is Quantity.EFFORT
        for channel in group.channels
    )
    middle = {
        channel: 0.5 * (limits[channel].lower + limits[channel].upper) for channel in motor.channels
    }
    robot = Puppet(dict(architecture.inputs), efforts, middle)
    brain = EmbeddedBrain(architecture, seed=1)
    loop = Loop(brain, MotorStage(motor, limits), Critic(critic, brain.contract), robot)
    rewards = []
    for _ in range(50):
        step = loop.step()
        assert step.answer.executed, step.answer.reason
        assert step.reward is not None
        rewards.append(step.reward.overall)
    loop.close()
    moved = {entry.channel for entry in motor.mapping.values()}
    assert moved == {c for c, values in robot.commanded.items() if np.ptp(values) > 0.0}
    for channel, values in robot.commanded.items():
        if channel in efforts:
            assert np.abs(values).max() <= limits[channel].effort
        else:
            assert limits[channel].lower <= min(values)
            assert max(values) <= limits[channel].upper
    assert np.ptp(rewards) > 0.0  # what it does makes a difference
