"""The launch files, with ROS 2's own launch: what they start, and with what."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ros_process import NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")
pytest.importorskip(
    "launch_ros", reason="launch_ros has no wheel on PyPI: this runs with a sourced ROS 2"
)

from ament_index_python.packages import get_package_prefix
from launch.launch_context import LaunchContext
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import Node
from sensor_msgs.msg import JointState

from ab_ros.config import nest
from ab_ros.errors import ConfigError
from ab_ros.nodes import launching, qos

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parent.parent
BRAIN = ["brain", "critic", "motor"]
STARTED = {
    "demo": [*BRAIN, "sim"],
    "mujoco": [*BRAIN, "sim"],
    "remote": BRAIN,
    "robot": [*BRAIN, "target"],
    "training": ["episodes", "motor", "sim"],
}
RUN = """
import os, pathlib, sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

file, *given = sys.argv[1:]
os.chdir(pathlib.Path(__file__).parent)  # where brains are saved
service = LaunchService()
arguments = [tuple(text.split(":=", 1)) for text in given]
source = AnyLaunchDescriptionSource(file)
description = IncludeLaunchDescription(source, launch_arguments=arguments)
service.include_launch_description(LaunchDescription([description]))
sys.exit(service.run())
"""


def path_of(name: str) -> Path:
    return ROOT / "launch" / f"{name}.launch.py"


def nodes_of(name: str, **given: str) -> list[Node]:
    """Return the nodes that a launch file would start."""
    context = LaunchContext()
    context.launch_configurations.update(given)
    left = list(get_launch_description_from_python_launch_file(str(path_of(name))).entities)
    found = []
    while left:
        entity = left.pop(0)
        if isinstance(entity, Node):
            found.append(entity)
        else:
            left[:0] = entity.visit(context) or []
    return found


def by_name(nodes: list[Node]) -> dict[str, Node]:
    return {node.node_executable: node for node in nodes}


def make_prefix(prefix: Path, packages: Iterable[str]) -> Path:
    """Make a folder that ament takes for one with these packages."""
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    for package in packages:
        (index / package).touch()
        (prefix / "share" / package).mkdir()
        (prefix / "lib" / package).mkdir(parents=True)
    return prefix


def make_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def with_prefix(prefix: Path) -> str:
    return f"{prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    script = tmp_path / "run_launch_file.py"
    script.write_text(RUN)
    return script


# --- What is started, and with what ------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(STARTED))
def test_a_launch_file_starts_its_nodes(name: str) -> None:
    assert sorted(by_name(nodes_of(name))) == sorted(STARTED[name])


@dataclass(frozen=True)
class Command:
    """How a node was started: its arguments, and the parameters beside its parameter file."""

    arguments: list[str]
    parameters: dict[str, Any]


NODE = """#!{python} -S
import json, pathlib, signal, sys
files = [pathlib.Path(word) for word in sys.argv if "/launch_params_" in word]
told = [sys.argv[0].rpartition("/")[2], sys.argv[1:], [file.read_text() for file in files]]
print("command " + json.dumps(told), flush=True)
signal.pause()
"""


@pytest.fixture
def commands(run: Path, tmp_path: Path) -> Callable[..., dict[str, Command]]:
    """Launch a file with stand-ins for our nodes, which tell how they were started."""
    prefix = make_prefix(tmp_path / "nodes", ["ab_ros"])
    for folder in ("config", "launch"):
        (prefix / "share" / "ab_ros" / folder).symlink_to(ROOT / folder)
    for node in (*launching.NODES, "sim", "target", "episodes"):
        make_program(prefix / "lib" / "ab_ros" / node, NODE.format(python=sys.executable))

    def launched(name: str, *given: str) -> dict[str, Command]:
        surroundings = {"AMENT_PREFIX_PATH": with_prefix(prefix)}
        with NodeProcess(run, str(path_of(name)), *given, env=surroundings) as process:
            for node in STARTED[name]:
                process.wait_for(f'command ["{node}"')
            process.signal(signal.SIGINT)
            process.end()
        found = {}
        for line in process.lines:
            if "command [" in line:
                node, arguments, files = json.loads(line.partition("command ")[2])
                values: dict[str, Any] = {}
                for text in files:
                    for block in yaml.safe_load(text).values():
                        values.update(block["ros__parameters"])
                found[node] = Command(arguments, values)
        return found

    return launched


def test_arguments_become_parameters_of_the_right_nodes(
    commands: Callable[..., dict[str, Command]],
) -> None:
    found = commands("demo", "seed:=7", "pacing:=realtime", "brain:=old.db")
    assert found["sim"].parameters == {"seed": 7, "pacing": "realtime"}
    assert found["brain"].parameters == {"seed": 7, "pacing": "realtime", "file": "old.db"}
    assert found["motor"].parameters == {"pacing": "realtime"}
    assert found["critic"].parameters == {"pacing": "realtime"}


def test_what_is_not_given_is_left_to_the_file(
    commands: Callable[..., dict[str, Command]],
) -> None:
    found = commands("demo")
    assert [command.parameters for command in found.values()] == [{}] * len(STARTED["demo"])
    for command in found.values():
        assert command.arguments[-1].endswith("config/demo.yaml")


def test_a_remote_brain_is_told_where_its_service_is(
    commands: Callable[..., dict[str, Command]],
) -> None:
    found = commands("remote", "url:=http://desk:8642", "project:=arm", "use_sim_time:=true")
    service = {"url": "http://desk:8642", "project": "arm"}
    assert nest(found["brain"].parameters) == {"remote": service, "use_sim_time": True}
    assert found["motor"].parameters == {"use_sim_time": True}


def test_a_training_is_told_its_file(commands: Callable[..., dict[str, Command]]) -> None:
    found = commands("training", "training:=mine.yaml", "use_sim_time:=true")
    assert found["episodes"].parameters == {"training": "mine.yaml", "use_sim_time": True}
    assert found["motor"].parameters == {"use_sim_time": True}


def test_a_training_starts_only_what_its_file_has_a_part_for(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**/episodes: {ros__parameters: {training: mine.yaml}}")
    assert sorted(by_name(nodes_of("training", config=str(file)))) == ["episodes"]


def test_namespace_and_log_level_reach_every_node(
    commands: Callable[..., dict[str, Command]],
) -> None:
    for node, command in commands("robot", "namespace:=left/arm", "log_level:=debug").items():
        assert f"left.arm.{node}:=debug" in command.arguments
        assert "__ns:=/left/arm" in command.arguments


def test_the_target_node_is_started_for_a_file_that_has_a_part_for_it(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**/motor: {ros__parameters: {pacing: realtime}}")
    assert sorted(by_name(nodes_of("robot", config=str(file)))) == BRAIN


def test_a_robots_own_file_gets_a_simulation_that_stands_in(
    commands: Callable[..., dict[str, Command]],
) -> None:
    own = str(ROOT / "config" / "template.yaml")
    found = commands("mujoco", f"config:={own}")
    assert own in found["motor"].arguments
    assert own not in found["sim"].arguments
    assert found["sim"].arguments[-1].endswith("config/mujoco.yaml")


def test_the_car_has_a_file_of_its_own(commands: Callable[..., dict[str, Command]]) -> None:
    for command in commands("mujoco", "robot:=car").values():
        assert command.arguments[-1].endswith("config/diff_drive.yaml")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("robot", {"config": "none.yaml"}, "config:=none.yaml: there is no such file"),
        ("demo", {"seed": "two"}, "seed:=two: must be an integer"),
        ("robot", {"urdf": "none.urdf"}, "urdf:=none.urdf: there is no such file"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        nodes_of(name, **given)


@pytest.mark.parametrize("name", [*sorted(STARTED), "gazebo"])
def test_every_argument_is_explained(name: str) -> None:
    description = get_launch_description_from_python_launch_file(str(path_of(name)))
    arguments = description.get_launch_arguments()
    assert {"config", "namespace", "log_level"} <= {argument.name for argument in arguments}
    for argument in arguments:
        sentence = argument.description.partition(" Valid choices")[0]
        assert sentence.endswith("."), argument.name


def test_missing_packages_are_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    monkeypatch.setattr(launching, "_installed", lambda package: package == "here")
    wanted = {"here": "here", "ros_gz_sim": "ros-gz", "ros_gz_bridge": "ros-gz"}
    with pytest.raises(ConfigError) as refused:
        launching.need(wanted)
    assert str(refused.value) == (
        "not installed: ros_gz_sim, ros_gz_bridge; with a sourced ROS 2: apt install"
        " ros-kilted-ros-gz"
    )


# --- Real launches -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("launch_test")
    yield peer
    peer.close()


def test_the_template_moves_the_simulated_arm(peer: Peer, run: Path) -> None:
    states: list[JointState] = []
    peer.node.create_subscription(JointState, "/launched/joint_states", states.append, qos.COMMAND)
    template = ROOT / "config" / "template.yaml"
    given = [f"config:={template}", "namespace:=launched"]
    with NodeProcess(run, str(path_of("mujoco")), *given) as launched:

        def moved() -> bool:
            joints = [dict(zip(s.name, s.position, strict=True)) for s in states[:1] + states[-1:]]
            return len(joints) == 2 and all(
                abs(joints[1][name] - joints[0][name]) > 0.01
                for name in ("base_yaw", "wrist_pitch")
            )

        peer.until(lambda: states, "the simulation")
        peer.until(moved, "the arm to move")
        launched.signal(signal.SIGINT)
        code = launched.end()
    assert code == 0, launched.errors
    assert not [line for line in launched.errors if "Traceback" in line]


def test_a_node_that_refuses_its_configuration_ends_the_launch(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    text = (ROOT / "config" / "template.yaml").read_text()
    file.write_text(text.replace("channel: base_yaw", "channel: base_jaw"))
    with NodeProcess(run, str(path_of("robot")), f"config:={file}", "namespace:=bad") as launched:
        launched.end()
    said = "\n".join([*launched.lines, *launched.errors])
    assert "no group has channel 'base_jaw'" in said
    assert "the motor node cannot use its configuration" in said


STAND_INS = {
    # What Gazebo's packages bring, each saying that it was started and with what.
    "ros_gz_sim": {"create": "exit $CREATE"},
    "ros_gz_bridge": {"parameter_bridge": "exec sleep 600"},
    "controller_manager": {"spawner": "exit 0"},
    "robot_state_publisher": {"robot_state_publisher": "exec sleep 600"},
    "gz_ros2_control": {},
    "joint_state_broadcaster": {},
}
GZ_SIM = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("gz_args"),
        DeclareLaunchArgument("on_exit_shutdown"),
        ExecuteProcess(cmd=["echo", "started gz", LaunchConfiguration("gz_args")], output="screen"),
    ])
"""


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A prefix with packages that stand in for Gazebo's."""
    prefix = make_prefix(tmp_path / "gazebo", STAND_INS)
    for package, executables in STAND_INS.items():
        for name, ends in executables.items():
            script = f'#!/bin/sh\necho "started {name} $@"\n{ends}\n'
            make_program(prefix / "lib" / package / name, script)
    launch_file = prefix / "share" / "ros_gz_sim" / "launch" / "gz_sim.launch.py"
    launch_file.parent.mkdir()
    launch_file.write_text(GZ_SIM)
    return prefix


def gazebo(stand_ins: Path, run: Path, create: int, *given: str) -> NodeProcess:
    surroundings = {"AMENT_PREFIX_PATH": with_prefix(stand_ins), "CREATE": str(create)}
    return NodeProcess(run, str(path_of("gazebo")), *given, env=surroundings)


def test_gazebo_gets_its_robot_then_controllers_then_a_brain(stand_ins: Path, run: Path) -> None:
    with gazebo(stand_ins, run, 0, "namespace:=gz", "headless:=true") as launched:
        launched.wait_for("process started with pid")
        for step in ("started create", "started spawner joint_state_broadcaster"):
            launched.wait_for(step)
        launched.wait_for("started spawner arm_controller gripper_controller")
        for node in ("brain", "motor", "critic", "target"):
            launched.wait_for(f"[{node}-")
        launched.signal(signal.SIGINT)
        launched.end()
    said = "\n".join([*launched.lines, *launched.errors])
    order = [
        said.index(text)
        for text in (
            "started create",
            "started spawner joint_state_broadcaster",
            "started spawner arm_controller",
            "[brain-",
        )
    ]
    assert order == sorted(order)
    assert re.search(r"started gz -r -s .*/world\.sdf", said)
    assert "started robot_state_publisher" in said
    assert "started parameter_bridge" in said


def test_a_robot_that_cannot_be_put_into_gazebo_ends_the_launch(stand_ins: Path, run: Path) -> None:
    with gazebo(stand_ins, run, 1) as launched:
        launched.end()
    said = "\n".join([*launched.lines, *launched.errors])
    assert "putting the robot into Gazebo failed (exit code 1)" in said
    assert "started spawner" not in said


def test_without_gazebo_it_says_what_is_missing(run: Path) -> None:
    if launching._installed("ros_gz_sim"):
        pytest.skip("Gazebo is installed")
    launched = subprocess.run(
        [sys.executable, str(run), str(path_of("gazebo"))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = launched.stdout + launched.stderr
    assert launched.returncode == 1
    assert "not installed: ros_gz_sim, ros_gz_bridge" in said
    assert "apt install" in said


def test_launch_files_are_installed_with_what_they_need() -> None:
    share = Path(get_package_prefix("ab_ros")) / "share" / "ab_ros"
    for folder in ("launch", "config"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (share / path.relative_to(ROOT)).is_file()
