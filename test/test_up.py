"""``ab_ros up``: all nodes of a configuration in one process, seen moving, and stopped."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from ab_ros.cli import main
from ab_ros.cli.checks.config_file import read_config
from ab_ros.nodes import qos
from ab_ros.nodes.composed import prepare_brain, stopping_order
from ab_ros.nodes.remarks import Remarks

pytestmark = pytest.mark.ros

UP = Path(__file__).with_name("up_process.py")
MOVED = 0.02  # rad
LINE = re.compile(r"\d\d:\d\d:\d\d  (\w+) +(\w+)")


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture(scope="module", autouse=True)
def compiled(root: Path) -> None:
    """Compile what the demo's brain needs, once on a computer: no test has to wait for that."""
    brain = read_config(root / "config" / "demo.yaml", Remarks()).node("brain")
    assert brain is not None
    prepare_brain(brain.settings)


class Arm:
    """What is seen of the demo's arm in a namespace."""

    def __init__(self, peer: Peer, space: str) -> None:
        self._peer = peer
        self.positions: list[float] = []
        self.commands: list[JointTrajectory] = []
        self._made = [
            peer.node.create_subscription(
                JointState,
                f"{space}/joint_states",
                lambda m: self.positions.append(m.position[m.name.index("base_yaw")]),
                qos.COMMAND,
            ),
            peer.node.create_subscription(
                JointTrajectory, f"{space}/arm/joint_trajectory", self.commands.append, qos.COMMAND
            ),
        ]

    def moves(self) -> bool:
        return bool(self.positions) and max(self.positions) - min(self.positions) > MOVED

    def close(self) -> None:
        for made in self._made:
            self._peer.node.destroy_subscription(made)


@pytest.fixture
def arm(peer: Peer, request: pytest.FixtureRequest) -> Iterator[Arm]:
    arm = Arm(peer, "/up")
    yield arm
    arm.close()


def up(config: Path | str, *options: str, space: str = "/up", **env: str) -> NodeProcess:
    remap = ["--ros-args", "-r", f"__ns:={space}"] if space else []
    return NodeProcess(UP, "up", str(config), *options, *remap, env=env)


def states(node: NodeProcess) -> list[tuple[str, str]]:
    """Return the nodes and states of the status lines."""
    return [found.groups() for line in node.lines if (found := LINE.match(line))]


def ended(node: NodeProcess) -> list[str]:
    return [name for name, state in states(node) if state == "finalized"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_moves_and_is_stopped_robot_first(
    peer: Peer, arm: Arm, root: Path, number: int
) -> None:
    with up(root / "config" / "demo.yaml") as node:
        peer.until(lambda: arm.positions, "the simulation")
        peer.until(lambda: arm.moves() and arm.commands, "the arm to move")
        for kind in ("motor", "brain", "critic", "sim"):
            node.wait_for(f"{kind:<8}active")
        node.signal(number)
        assert node.end() == 0
        assert ended(node) == ["motor", "brain", "critic", "sim"]
        last = arm.commands[-1].points[-1]
        assert not any(last.velocities)  # it was told to come to rest


def test_a_node_that_fails_ends_all_robot_first(peer: Peer, arm: Arm, root: Path) -> None:
    with up(root / "config" / "demo.yaml", AB_ROS_TEST_FAIL="critic") as node:
        assert node.end() == 1
        assert ended(node) == ["motor", "brain", "critic", "sim"]
        assert any("critic]" in line and "failed" in line for line in node.errors)
        assert any("a defect on purpose" in line for line in node.errors)


def test_a_wrong_setting_is_told_in_one_line_and_nothing_runs(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    text = (root / "config" / "demo.yaml").read_text()
    config.write_text(text.replace("following_error: 0.3", "folowing_error: 0.3"))
    with up(config) as node:
        assert node.end() == 2
    assert [line for line in node.errors if line.startswith("motor:")] == node.errors
    assert re.match(rf"motor: {config}:\d+: folowing_error: unknown key", node.errors[0])
    assert states(node) == []


def test_only_what_is_asked_for_runs_in_the_namespace_of_the_file(
    peer: Peer, root: Path, tmp_path: Path
) -> None:
    config = tmp_path / "robot.yaml"
    text = (root / "config" / "demo.yaml").read_text()
    config.write_text(text.replace("/**/", "/robot/"))
    with up(config, "--only", "motor", "--quiet", space="") as node:
        peer.until(
            lambda: ("motor", "/robot") in peer.node.get_node_names_and_namespaces(), "the node"
        )
        node.signal(signal.SIGINT)
        assert node.end() == 0
    assert node.lines == []
    spaces = [space for _, space in peer.node.get_node_names_and_namespaces()]
    assert spaces.count("/robot") <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "moter"], "--only: 'moter' is not in the file; one of: brain, motor, critic"),
        (["--only", "sim", "--no-sim"], "no node is left to run"),
        (["--ros-args", "-r", "__node:=x"], "would give all nodes one name"),
    ],
)
def test_wrong_use_is_told(
    root: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["up", str(root / "config" / "demo.yaml"), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_simulator_that_the_file_does_not_have(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", str(root / "config" / "remote.yaml"), "--sim"]) == 2
    assert "has no node 'sim'" in capsys.readouterr().err


def test_other_commands_take_no_ros_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["settings", "motor", "--ros-args"])
    assert "takes none" in capsys.readouterr().err


def test_whoever_moves_the_robot_is_stopped_first() -> None:
    assert stopping_order(["sim", "brain", "critic", "motor"]) == [
        "motor",
        "brain",
        "critic",
        "sim",
    ]
    assert stopping_order(["critic", "sim"]) == ["critic", "sim"]
