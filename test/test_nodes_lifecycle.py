"""Nodes in processes of their own: life cycle, parameters, signals and exit codes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from ros_process import PATIENCE, NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters
from rclpy.duration import Duration
from rclpy.parameter import parameter_value_to_python
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros

SCRIPT = Path(__file__).with_name("tiny_node.py")


def tiny(*arguments: str, **env: str) -> NodeProcess:
    return NodeProcess(SCRIPT, *arguments, env=env)


def with_parameters(*assignments: str, name: str = "tiny") -> NodeProcess:
    parameters = (part for text in assignments for part in ("-p", text))
    return tiny("--ros-args", "-r", f"__node:={name}", *parameters)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


def value_of(peer: Peer, node: str, name: str) -> Any:
    request = GetParameters.Request(names=[name])
    answer = peer.ask(GetParameters, f"{node}/get_parameters", request)
    return parameter_value_to_python(answer.values[0])


def write(folder: Path, text: str, node: str = "tiny") -> str:
    path = folder / "robot.yaml"
    path.write_text(f"{node}:\n  ros__parameters:\n{text}")
    return str(path)


def test_it_starts_itself_and_stops_first_on_a_signal() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with tiny() as node:
            node.wait_for("start")
            node.wait_for("called in MainThread")
            node.signal(number)
            assert node.end() == 0
            hooks = [line for line in node.lines if not line.startswith("called")]
            assert hooks == ["setup", "start", "stop", "teardown"]
            assert node.errors == []


def test_a_second_signal_does_not_disturb_stopping() -> None:
    with with_parameters("trouble:=slow_stop") as node:
        node.wait_for("start")
        node.signal(signal.SIGINT)
        node.wait_for("stopping")
        node.signal(signal.SIGINT)
        node.signal(signal.SIGTERM)
        assert node.process.stdin is not None
        node.process.stdin.close()
        assert node.end() == 0
        assert node.lines[-2:] == ["stop", "teardown"]


class Echo:
    """Talks to the node's topics ``value`` and ``echo``."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._heard: list[float] = []
        self._publisher = peer.node.create_publisher(Float64, "value", 10)
        self._subscription = peer.node.create_subscription(
            Float64, "echo", lambda message: self._heard.append(message.data), 10
        )

    def send(self, value: float) -> None:
        self._peer.until(self._publisher.get_subscription_count, "the subscription")
        self._publisher.publish(Float64(data=value))

    def until_received(self) -> None:
        """Wait until all that was sent has come, not to be taken after a later request."""
        assert self._publisher.wait_for_all_acked(Duration(seconds=PATIENCE))

    def exchange(self, value: float) -> None:
        """Send a value again and again until it comes back: both ends then know of each other.

        What was sent in vain has been taken, too, when a last value has come back.
        """

        def returned() -> bool:
            self.send(value)
            return value in self._heard

        self._peer.until(returned, "the echo")
        last = value + 0.25
        self.send(last)
        self._peer.until(lambda: last in self._heard, "the last echo")
        self._heard.remove(last)

    def expect(self, *values: float) -> None:
        """Wait until exactly these values were heard, repetitions apart."""
        self._peer.until(lambda: tuple(v for v, _ in groupby(self._heard)) == values, str(values))

    def close(self) -> None:
        self._peer.node.destroy_subscription(self._subscription)
        self._peer.node.destroy_publisher(self._publisher)


@pytest.fixture
def echo(peer: Peer) -> Iterator[Echo]:
    echo = Echo(peer)
    yield echo
    echo.close()


def test_a_last_command_published_while_stopping_arrives(echo: Echo) -> None:
    with tiny() as node:
        echo.exchange(5.0)
        node.signal(signal.SIGINT)
        echo.expect(5.0, -1.0)
        assert node.end() == 0


def test_services_drive_every_transition(peer: Peer, echo: Echo) -> None:
    with with_parameters("autostart:=false", name="driven") as node:
        assert peer.state("driven") == "unconfigured"
        assert peer.transition("driven", Transition.TRANSITION_CONFIGURE)
        assert peer.state("driven") == "inactive"
        echo.send(1.0)  # ignored: the node is not active
        echo.until_received()
        answer = peer.call(Trigger, "driven/ask", Trigger.Request())
        assert (answer.success, answer.message) == (False, "nothing to answer")
        for value in (2.0, 3.0):
            assert peer.transition("driven", Transition.TRANSITION_ACTIVATE)
            assert peer.state("driven") == "active"
            echo.exchange(value)
            assert peer.transition("driven", Transition.TRANSITION_DEACTIVATE)
        echo.expect(2.0, -1.0, 3.0, -1.0)

        assert peer.transition("driven", Transition.TRANSITION_CLEANUP)
        assert peer.state("driven") == "unconfigured"
        assert not peer.transition("driven", Transition.TRANSITION_ACTIVATE)
        assert peer.transition("driven", Transition.TRANSITION_CONFIGURE)
        assert peer.transition("driven", Transition.TRANSITION_ACTIVATE)
        echo.exchange(4.0)
        assert peer.transition("driven", Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert peer.state("driven") == "finalized"
        node.signal(signal.SIGTERM)
        assert node.end() == 0
        assert node.lines[-2:] == ["stop", "teardown"]


def test_a_refused_message_is_counted_and_told(peer: Peer, echo: Echo) -> None:
    reports: list[dict[str, str]] = []

    def read(message: DiagnosticArray) -> None:
        for status in message.status:
            assert status.name == "/tiny: loop"
            reports.append({pair.key: pair.value for pair in status.values})

    subscription = peer.node.create_subscription(DiagnosticArray, "/diagnostics", read, 10)
    with tiny() as node:
        echo.exchange(5.0)
        echo.send(1000.0)
        node.wait_for("value: value 1000.0 is too large")
        peer.until(lambda: reports and reports[-1].get("value refused") == "1", "the count")
        assert "value rate (Hz)" in reports[-1]
    peer.node.destroy_subscription(subscription)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("    joints:\n      elbow:\n        gian: 2\n", 5, ["joints.elbow.gian", "mean 'gain'"]),
        ("    count: 11\n", 3, ["count", "11", ">= 0 and <= 10"]),
        ("    count: three\n", 3, ["count", "an integer", "'three'"]),
        ("    mode: medium\n", 3, ["mode", "'medium'", "one of: slow, fast"]),
        ("    joints: {elbow: {limits: [1.0]}}\n", 3, ["joints.elbow.limits", "2 items"]),
        ("    weights: [1, 2.5]\n", 3, ["weights", "[1.0, 2.5]"]),
        ("    count: 3\n    count: 4\n", 4, ["count", "twice"]),
        ("    autostart: maybe\n", 3, ["autostart", "true or false", "'maybe'"]),
        ("    low: 2.0\n", 3, ["low: must be below high"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    path = write(tmp_path, text)
    with tiny("--ros-args", "--params-file", path) as node:
        assert node.end() == 2
        said = [error for error in node.errors if error.startswith("tiny: ")]
        assert len(said) == 1
        assert f"{path}:{line}: " in said[0]
        assert all(word in said[0] for word in words), said[0]
        assert not any("Traceback" in error for error in node.errors)
        assert node.lines == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ros-args", "-p", "speed:=3"), ["command line", "speed", "unknown key"]),
        (("--ros-args", "--params-file", "/nowhere.yaml"), ["/nowhere.yaml", "cannot be read"]),
        (("--ros-args", "--nonsense"), ["nonsense"]),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], words: list[str]) -> None:
    with tiny(*arguments) as node:
        assert node.end() == 2
        assert all(word in node.errors[-1] for word in words), node.errors
        assert not any("Traceback" in error for error in node.errors)


def test_an_impossible_domain_is_refused() -> None:
    with tiny(ROS_DOMAIN_ID="300") as node:
        assert node.end() == 2
        assert node.errors == [
            "tiny: ROS_DOMAIN_ID: '300' is not allowed; must be an integer from 0 to 232"
        ]


@pytest.mark.parametrize(
    ("trouble", "code", "hooks", "words"),
    [
        ("setup", 2, ["setup", "teardown"], "tiny cannot be set up: wrong brain"),
        ("start", 1, ["setup", "stop", "teardown"], "a defect"),
        ("worker", 1, ["setup", "start", "stop", "teardown"], "worker broke"),
    ],
)
def test_a_failing_node_cleans_up_and_says_why(
    trouble: str, code: int, hooks: list[str], words: str
) -> None:
    with with_parameters(f"trouble:={trouble}") as node:
        assert node.end() == code
        assert node.lines == hooks
        assert any(words in error for error in node.errors)


def test_a_failure_to_stop_is_not_hidden() -> None:
    with with_parameters("trouble:=stop") as node:
        node.wait_for("start")
        node.signal(signal.SIGINT)
        assert node.end() == 1
        assert node.lines[-1] == "teardown"
        assert any("cannot stop" in error for error in node.errors)


def test_parameters_are_declared_described_and_live(tmp_path: Path, peer: Peer) -> None:
    path = write(
        tmp_path,
        "    mode: fast\n    names: []\n    low: -1\n    high: 2\n    file: ~\n"
        "    joints:\n      elbow: {gain: 2}\n      wrist.limits: [-1, 2]\n",
        "/**",
    )
    with tiny("--ros-args", "--params-file", path, "-r", "__node:=tuned") as node:
        node.wait_for("start")
        listed = peer.ask(ListParameters, "tuned/list_parameters", ListParameters.Request())
        names = set(listed.result.names)
        assert {"joints.elbow.gain", "joints.elbow.limits", "joints.wrist.gain", "file"} <= names
        assert value_of(peer, "tuned", "joints.elbow.gain") == 2.0
        assert list(value_of(peer, "tuned", "joints.wrist.limits")) == [-1.0, 2.0]
        assert list(value_of(peer, "tuned", "names")) == []
        assert value_of(peer, "tuned", "mode") == "fast"
        assert value_of(peer, "tuned", "file") is None

        request = DescribeParameters.Request(names=["joints.elbow.gain", "mode"])
        gain, mode = peer.ask(DescribeParameters, "tuned/describe_parameters", request).descriptors
        assert gain.description == "How fast it follows. (1/s)"
        assert not gain.read_only
        assert gain.floating_point_range[0].to_value == 5.0
        assert mode.read_only
        assert mode.additional_constraints == "one of: slow, fast"

        assert peer.set_parameters("tuned", count=5).successful
        node.wait_for("reconfigure 3 5")
        assert peer.set_parameters("tuned", joints__wrist__gain=3, weights=[1, 2]).successful
        assert peer.set_parameters("tuned", weights=[], ceiling=4).successful
        assert list(value_of(peer, "tuned", "weights")) == []
        for nothing in ("null", "~", None):
            unset = peer.set_parameters("tuned", ceiling=nothing)
            assert not unset.successful
            assert unset.reason == "ceiling: a running node cannot unset it"
        assert value_of(peer, "tuned", "ceiling") == 4.0

        together = peer.set_parameters("tuned", low=5.0, high=4.0)
        assert not together.successful
        assert "low: must be below high" in together.reason
        assert peer.set_parameters("tuned", low=5.0, high=6.0).successful
        assert not peer.set_parameters("tuned", count=11).successful
        assert not peer.set_parameters("tuned", high=float("nan")).successful
        fixed = peer.set_parameters("tuned", mode="slow")
        assert "read-only" in fixed.reason
        assert value_of(peer, "tuned", "count") == 5
        node.signal(signal.SIGINT)
        assert node.end() == 0


def test_a_file_for_other_nodes_is_mentioned(tmp_path: Path) -> None:
    with tiny("--ros-args", "--params-file", write(tmp_path, "    a: 1\n", "tinny")) as node:
        node.wait_for("has no parameters for /tiny; it names one of: tinny")


def test_quality_of_service_can_be_overridden(peer: Peer) -> None:
    with with_parameters(
        "qos_overrides./value.subscription.reliability:=best_effort", name="eager"
    ) as node:
        node.wait_for("start")
        name = "qos_overrides./value.subscription.reliability"
        assert value_of(peer, "eager", name) == "best_effort"
    with with_parameters("qos_overrides./value.subscription.reliability:=perfect") as node:
        assert node.end() == 2
        assert any("qos_overrides./value" in error for error in node.errors)


def test_incompatible_quality_of_service_is_told(peer: Peer) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    with tiny() as node:
        node.wait_for("start")
        publisher = peer.node.create_publisher(
            Float64, "value", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        node.wait_for("/value: a publisher has an incompatible reliability")
        peer.node.destroy_publisher(publisher)


def test_a_second_node_of_one_name_waits_for_the_first_to_go(peer: Peer) -> None:
    with tiny("unique") as first:
        first.wait_for("start")
        with tiny("patient") as second:
            second.wait_for(
                "another node named /tiny is running, and this one does not become active"
            )
            first.wait_for("another node named /tiny is running, which came later")
            assert "start" not in second.lines
            first.signal(signal.SIGINT)
            assert first.end() == 0
            second.wait_for("start")
            second.signal(signal.SIGINT)
            assert second.end() == 0


def hooks_of(node: NodeProcess) -> list[str]:
    return [line for line in node.lines if not line.startswith("called")]


@pytest.mark.parametrize("attempt", range(5))
def test_of_two_nodes_that_are_started_together_one_goes_on(peer: Peer, attempt: int) -> None:
    name = ("--ros-args", "-r", f"__node:=tiny_{attempt}", "--", "unique")
    with tiny(*name) as one, tiny(*name) as other:
        nodes = (one, other)
        first_says, second_says = "which came later", "this one does not become active beside it"

        def said(node: NodeProcess, words: str) -> bool:
            return any(words in line for line in node.errors)

        def who_says(words: str) -> list[NodeProcess]:
            return [node for node in nodes if said(node, words)]

        peer.until(lambda: len(who_says(first_says)) == 1, "one that knows that it came first")
        (first,) = who_says(first_says)
        second = other if first is one else one
        peer.until(lambda: said(second, second_says), "one that gives way")
        peer.until(lambda: hooks_of(first)[-1] == "start", "one that is active")
        peer.until(lambda: hooks_of(second)[-1] in ("setup", "stop"), "one that is not")
        assert not said(second, first_says)


def test_a_backward_clock_is_noticed(peer: Peer) -> None:
    from rosgraph_msgs.msg import Clock

    publisher = peer.node.create_publisher(Clock, "/clock", 10)
    with with_parameters("use_sim_time:=true") as node:
        node.wait_for("start")
        peer.until(lambda: publisher.get_subscription_count(), "the clock's subscription")

        def tick(sec: int) -> bool:
            message = Clock()
            message.clock.sec = sec
            publisher.publish(message)
            return any("jump back" in line for line in node.lines)

        peer.until(lambda: tick(100) or tick(50), "the jump")
    peer.node.destroy_publisher(publisher)
