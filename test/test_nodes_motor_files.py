"""What a motor node says of its parameter file and of the limits that it waits for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from motor_files import ARM_ONLY, PATIENT, parameters
from motor_rig import T, motor, rigged
from ros_process import NodeProcess, Peer
from std_msgs.msg import String

from ab_ros.contract import Contract
from ab_ros.motion import Code, State
from ab_ros.nodes import qos

pytestmark = pytest.mark.ros


URDF = """<robot name="r">{}</robot>"""
JOINT = """<joint name="{}" type="revolute"><limit lower="-1" upper="1" velocity="{}" effort="1"/>
</joint>"""


def test_limits_that_the_file_lacks_are_waited_for(motor_peer: Peer, tmp_path: Path) -> None:
    path = parameters(tmp_path, groups=ARM_ONLY["groups"], moved=("a", "b"), limited=())
    description = motor_peer.node.create_publisher(
        String, "/waits/robot_description", qos.own(qos.LATCHED)
    )
    with rigged(motor_peer, path, "-r", "__ns:=/waits", namespace="/waits") as rig:
        rig.process.wait_for("waits for robot_description: groups.arm: channel 'a' has no velocity")
        rig.reaches(State.INACTIVE, Code.NOT_ACTIVE)
        rig.begin("limits")
        rig.feeling = True
        refused = rig.ask()
        assert (refused.executed, refused.code) == (False, Code.NOT_ACTIVE)
        assert "channel 'a' has no velocity limit" in refused.reason
        # A halt comes before there is anything to halt, and is not forgotten.
        assert rig.trigger("halt").success
        description.publish(String(data="<robot"))
        rig.process.wait_for("robot_description: is not XML")
        description.publish(String(data=URDF.format(JOINT.format("a", 2))))
        rig.process.wait_for("lacks it, too: groups.arm: channel 'b' has no velocity limit")
        description.publish(String(data=URDF.format(JOINT.format("a", 2) + JOINT.format("b", 2))))
        rig.reaches(State.HOLDING, Code.HALTED)
        assert rig.trigger("resume").success
        rig.reaches(State.ACTIVE)
        rig.beating = True
        rig.executed(2)
        # A description that allows more, or lacks what is needed, changes nothing.
        wider = (JOINT.format(name, 9).replace('upper="1"', 'upper="4"') for name in "ab")
        description.publish(String(data=URDF.format("".join(wider))))
        rig.process.wait_for("robot_description widens the limits of a, b: the narrower ones hold")
        description.publish(String(data=URDF.format("")))
        rig.peer.until(lambda: "a: position" in rig.status.last.limited, "the URDF's limit")
        rig.beating = False
        rig.reaches(State.HOLDING)
        assert max(rig.status.last.commanded) <= 1.0
        assert max(max(p.positions) for _, m in rig.arm.heard for p in m.points) <= 1.0
    motor_peer.node.destroy_publisher(description)


def test_limits_of_the_description_can_be_set_while_it_runs_and_then_win(
    motor_peer: Peer, tmp_path: Path
) -> None:
    path = parameters(
        tmp_path, groups=ARM_ONLY["groups"], moved=("a", "b"), limited=(), more=PATIENT
    )
    description = motor_peer.node.create_publisher(
        String, "/tuned/robot_description", qos.own(qos.LATCHED)
    )
    with rigged(motor_peer, path, "-r", "__ns:=/tuned", namespace="/tuned") as rig:

        def takes(**changes: float) -> None:
            result = rig.peer.set_parameters("/tuned/motor", **changes)
            assert result.successful, result.reason

        rig.process.wait_for("waits for robot_description")
        takes(limits__b__velocity=0.25)  # before there is a stage
        both = JOINT.format("a", 2.5) + JOINT.format("b", 2.5)
        description.publish(String(data=URDF.format(both)))
        rig.begin("tuned")
        rig.feeling = True
        rig.reaches(State.ACTIVE)
        rig.known()
        # Cycle by cycle: it must not have gone beyond the bound that is yet to come.
        assert rig.answer(*rig.send()).executed
        rig.peer.until(lambda: "b: velocity" in rig.status.last.limited, "the early limit")
        assert "a: velocity" not in rig.status.last.limited
        takes(limits__a__velocity=0.25)
        assert rig.answer(*rig.send()).executed
        rig.peer.until(lambda: "a: velocity" in rig.status.last.limited, "the live limit")
        # What no description has, and the file did not, can be set as well.
        for name in ("acceleration", "jerk", "step", "effort", "effort_rate", "margin"):
            takes(**{f"limits__a__{name}": {"jerk": 900.0, "margin": 0.125}.get(name, 20.0)})
        takes(limits__a__upper=0.5, limits__a__following_error=0.25)
        refused = rig.peer.set_parameters("/tuned/motor", limits__a__lower=0.75)
        assert "lower must be less than upper, not 0.75 and 0.5" in refused.reason
        description.publish(String(data=URDF.format(both.replace("2.5", "9"))))
        rig.beating = True
        rig.peer.until(lambda: "a: position" in rig.status.last.limited, "the live bound")
        rig.beating = False
        rig.reaches(State.HOLDING)
        assert max(p.positions[0] for _, m in rig.arm.heard for p in m.points) <= 0.375 + 1e-9
    motor_peer.node.destroy_publisher(description)


def test_a_joint_that_follows_another_is_warned_of(motor_peer: Peer, tmp_path: Path) -> None:
    path = parameters(tmp_path, **ARM_ONLY)
    description = motor_peer.node.create_publisher(
        String, "/mimics/robot_description", qos.own(qos.LATCHED)
    )
    follows = JOINT.format("b", 2).replace("</joint>", '<mimic joint="a"/></joint>')
    description.publish(String(data=URDF.format(JOINT.format("a", 2) + follows)))
    with motor(path, "-r", "__ns:=/mimics") as process:
        process.wait_for(
            "groups.arm: 'b' follows 'a' (robot_description: <mimic>) and cannot be moved by"
            " itself: command that one"
        )
        assert not any("'a' follows" in line for line in [*process.lines, *process.errors])
    motor_peer.node.destroy_publisher(description)


WRONG: dict[str, tuple[str, str, list[str]]] = {
    "unknown scheme": (
        "channel: a, per_step_max: 0.002", "channel: a, scheme: bipolar",
        ["mapping.m0", "'bipolar'", "one of: bipolarSplit, addition, booleanThreshold"],
    ),
    "clamp without zero": (
        "channel: a, per_step_max: 0.002", "channel: a, clamp: [0.1, 0.2]",
        ["mapping.m0", "clamp [0.1, 0.2] excludes 0"],
    ),
    "wrong key": ("per_step_max: 0.002", "per_step: 0.002", ["per_step", "mean 'per_step_max'"]),
    "wrong type": ("velocity: 2.0", "velocity: fast", ["limits.a.velocity", "'fast'"]),
    "wrong value": ("velocity: 2.0", "velocity: -2.0", ["limits.a.velocity", "-2.0"]),
    "no such interface": (
        "topic: arm/cmd", "topic: arm/cmd, interface: wings",
        ["groups.arm.interface", "'wings'", "one of: joint_trajectory"],
    ),
    "not a twist": (
        "topic: arm/cmd", "topic: arm/cmd, interface: twist",
        ["groups.arm.channels", "'a' is not a part of a twist", "linear_x"],
    ),
    "two grippers": (
        "topic: arm/cmd", "topic: arm/cmd, interface: gripper", ["groups.arm.channels", "has one"],
    ),
    "inverted limits": ("lower: -90.0", "lower: 95.0", ["limits", "'a'", "lower must be less"]),
    "no group": ("channel: a,", "channel: z,", ["mapping.m0.channel", "'z'", "one of: a, b"]),
}  # fmt: skip


def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        nodes = {}
        for what, (before, after, _) in WRONG.items():
            path = parameters(tmp_path, **ARM_ONLY, name=f"{what.replace(' ', '_')}.yaml")
            text = path.read_text()
            assert before in text
            path.write_text(text.replace(before, after, 1))
            nodes[what] = path, stack.enter_context(motor(path))
        for what, (path, node) in nodes.items():
            assert node.end() == 2, what
            said = [line for line in node.errors if line.startswith("motor: ")]
            assert len(said) == 1, (what, node.errors)
            assert f"motor: {path}:" in said[0], said
            assert all(word in said[0] for word in WRONG[what][2]), (what, said)


@pytest.mark.parametrize(
    ("topic", "says"),
    [("joint_states", "own topic 'joint_states'"), ("/arm/cmd", "the topic of group 'arm'")],
)
def test_a_command_topic_that_is_taken_is_refused(tmp_path: Path, topic: str, says: str) -> None:
    groups = ARM_ONLY["groups"].replace("[a, b]", "[a]")
    groups += f"      js: {{channels: [b], topic: {topic}, interface: joint_state}}\n"
    path = parameters(tmp_path, groups=groups, moved=("a", "b"), limited=("a", "b"))
    with motor(path) as node:
        assert node.end() == 2
        assert any("groups.js.topic" in line and says in line for line in node.errors)


def test_a_mapping_that_the_brain_does_not_fit_ends_the_node(
    motor_peer: Peer, tmp_path: Path
) -> None:
    with rigged(
        motor_peer, parameters(tmp_path, **ARM_ONLY), "-r", "__ns:=/misfit", namespace="/misfit"
    ) as rig:
        outputs = [{"id": "B", "n": 4}, {"id": "C", "n": 4}]
        other = Contract.from_dict({"constants": {"gamma": T}, "io": {"outputs": outputs}})
        rig.publish_contract(other, "misfit")
        assert rig.process.end() == 2
        said = [line for line in rig.process.errors if "does not fit" in line]
        assert len(said) == 1
        assert "'A' to 'a'" in said[0]
        assert "one of: B, C" in said[0]


WITHOUT = """
import sys

sys.modules["control_msgs"] = None  # as where it is not installed
from ab_ros.nodes.motor import main

raise SystemExit(main())
"""
NEEDS = {
    "joint_jog": "control_msgs/msg/JointJog",
    "gripper_action": "control_msgs/action/ParallelGripperCommand",
    "gripper_command": "control_msgs/action/GripperCommand",
}


def test_messages_that_are_not_installed_are_missed_only_where_they_are_needed(
    motor_peer: Peer, tmp_path: Path
) -> None:
    script = tmp_path / "without.py"
    script.write_text(WITHOUT)
    groups = "\n      x: {{channels: [a], topic: x/cmd, interface: {}}}\n"

    def start(interface: str) -> NodeProcess:
        path = parameters(
            tmp_path,
            groups=groups.format(interface),
            moved=("a",),
            limited=("a",),
            name=f"{interface}.yaml",
        )
        space = f"__ns:=/without_{interface}"
        return NodeProcess(script, "--ros-args", "--params-file", str(path), "-r", space)

    with contextlib.ExitStack() as stack:
        nodes = {name: stack.enter_context(start(name)) for name in (*NEEDS, "velocity")}
        for interface, needs in NEEDS.items():
            assert nodes[interface].end() == 2
            said = "\n".join(nodes[interface].errors)
            assert f"groups.x.interface: {interface!r} needs {needs}" in said
            assert "control_msgs is not installed: install it (apt install ros-" in said
        motor_peer.until(
            lambda: motor_peer.node.count_publishers("/without_velocity/x/cmd"), "the other node"
        )
