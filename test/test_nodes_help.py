"""``--help`` of every node: what it does, its topics and services, its parameters."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.config import describe
from ab_ros.nodes.composed import node_class
from ab_ros.nodes.node_help import help_of, made_by

ROOT = Path(__file__).resolve().parent.parent
(LISTED,) = re.findall(r"foreach\(node ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())
NODES = LISTED.split()
KNOWN = {
    "motor": "publishes cycle_done, takes spikes, takes joint_states, serves ~/halt",
    "brain": "publishes spikes, takes reward, takes cycle_done, serves ~/save",
    "critic": "publishes reward, takes spikes, serves ~/reload",
    "sim": "publishes camera/image_raw, takes cycle_done, serves ~/reset",
    "stepper": "asks <service> (/world/default/control), takes cycle_done",
    "target": "publishes <target> (target/direction), takes <image> (camera/image_raw)",
    "audio_capture": "publishes audio",
    "audio_file": "publishes audio",
}


@pytest.mark.parametrize("name", NODES)
def test_a_node_says_how_to_use_it_and_does_not_start(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"ab_ros.nodes.{name}")
    for option in ("--help", "-h"):
        monkeypatch.setattr("sys.argv", [name, option])
        assert module.main() == 0
        said = capsys.readouterr().out
        assert said.startswith(f"usage: ros2 run ab_ros {name} ")
        assert module.__doc__.splitlines()[0].replace("``", "'") in said
        assert describe(node_class(name).settings_class) in said
        assert f"  /**/{name}:\n    ros__parameters:\n" in said
        assert f"ros2 run ab_ros {name} --ros-args -p " in said


@pytest.mark.parametrize("name", KNOWN)
def test_topics_and_services_are_listed_with_their_kinds(name: str) -> None:
    made = {f"{item.verb} {item.name}": item for item in made_by(node_class(name))}
    assert made.keys() >= set(KNOWN[name].split(", "))
    assert all(re.fullmatch(r"\w+/(msg|srv)/\w+|", item.kind) for item in made.values())
    said = help_of(node_class(name))
    assert all(item.name in said and item.kind in said for item in made.values())


def test_a_topic_that_hangs_on_a_parameter_says_so() -> None:
    made = {item.name: item for item in made_by(node_class("motor"))}
    assert made["deadman"].sometimes and not made["joint_states"].sometimes
    (line,) = (
        x for x in help_of(node_class("motor")).splitlines() if x.startswith("  takes      d")
    )
    assert line.endswith("std_msgs/msg/Bool  (if its parameters ask for it)")


def test_the_help_says_that_a_halt_does_not_outlast_the_process() -> None:
    assert "a motor node that is started anew is not halted" in help_of(node_class("motor"))
