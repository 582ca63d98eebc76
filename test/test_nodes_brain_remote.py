"""The brain node with a brain elsewhere: behind a server that comes, goes and comes back."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_process import PATIENCE, NodeProcess, Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")
pytest.importorskip("uvicorn", reason="needs ab_ros[server]")

from ab_ros.msg import BrainStatus, CycleDone, MotorStatus
from brain_rig import PERIOD, YAML, World
from rcl_interfaces.srv import GetParameters, ListParameters
from std_srvs.srv import SetBool

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import load_yaml, node_parameters, parse
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError
from ab_ros.motion import MotorSettings, resolve_limits
from ab_ros.motion.settings import check_limits
from ab_ros.nodes import qos
from ab_ros.nodes.brain_inputs import Feed, join
from ab_ros.nodes.brain_settings import BrainSettings, check_wiring
from ab_ros.nodes.critic import CriticNodeSettings
from ab_ros.nodes.messages import read_brain_contract, read_spike_raster
from ab_ros.server import BrainServer, ServerSettings

pytestmark = pytest.mark.ros

KEY = "a-key-that-nobody-shall-see-0123"
REMOTE = """
/**:
  ros__parameters:
    pacing: lockstep
    backend: remote
    remote: {{url: "{url}", project: robot, link_timeout: 1.0, backoff_most: 0.5}}
    inputs:
      camera: {{kind: Image}}
      joints: {{kind: Proprioception, topic: joint_states}}
"""
MOTOR = """
/**:
  ros__parameters:
    mapping: {pan: {population: pan, channel: yaw, per_step_max: 0.0001}}
    groups: {arm: {channels: [yaw], topic: arm/cmd}}
    limits: {yaw: {lower: -1.0, upper: 1.0, velocity: 2.0}}
    following_error: 0.0
    drift_tolerance: 10.0
"""


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("remote_test")
    yield peer
    peer.close()


@pytest.fixture
def world(peer: Peer) -> Iterator[World]:
    world = World(peer)
    yield world
    world.close()


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A brain file of the same brain that the tests of the embedded one use."""
    folder = tmp_path_factory.mktemp("remote")
    (folder / "brain.yaml").write_text(YAML)
    parameters, _ = node_parameters(*load_yaml(folder / "brain.yaml"), "brain")
    architecture = parse(ArchitectureSettings, parameters["architecture"])
    EmbeddedBrain(architecture, seed=1).save(folder / "brain.db")
    return folder / "brain.db"


def parameters(folder: Path, url: str, text: str = REMOTE) -> Path:
    path = folder / "remote.yaml"
    path.write_text(text.format(url=url))
    return path


class Service:
    """``ab_ros serve`` in a process of its own; it can be killed, and come back at its address."""

    def __init__(self, brain: Path, folder: Path) -> None:
        self._command = [sys.executable, "-m", "ab_ros.cli", "serve", str(brain), "--autosave", "1"]
        self._command += ["--dir", str(folder / "served"), "--port"]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.url = ""
        self.start("0")

    def start(self, port: str = "") -> None:
        path = os.pathsep.join(part for part in sys.path if part)
        port = port or self.url.rpartition(":")[2]
        self._process = process = subprocess.Popen(
            [*self._command, port],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r" on (http://\S+)", line)
            if found:
                self.url = found.group(1)
                break
        self._reader = threading.Thread(target=process.stdout.read, daemon=True)
        self._reader.start()

    def end(self, number: int) -> None:
        assert self._process is not None and self._reader is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def service(brain: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(brain, tmp_path)
    yield service
    service.end(signal.SIGKILL)


@pytest.fixture
def place() -> Iterator[socket.socket]:
    """A socket that keeps a port for a server that is not there yet: nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held


def test_it_waits_for_its_service_and_then_runs_learns_and_saves_without_showing_the_key(
    world: World, brain: Path, place: socket.socket, tmp_path: Path
) -> None:
    peer, name = world.peer, world.name
    port = place.getsockname()[1]
    yaml = parameters(tmp_path, f"http://127.0.0.1:{port}")
    settings = ServerSettings(brain, tmp_path / "served", port=port)
    secret = {"AB_ROS_KEY": KEY}
    arguments = ("wait_for_reward:=true", "answer_timeout:=60.0")
    with world.brain(yaml, *arguments, env=secret) as node:
        world.until_state(
            BrainStatus.WAITING, f"waits for its brain: start at http://127.0.0.1:{port}"
        )
        assert world.contracts == []
        refused = world.call("save")
        assert not refused.success and "not open" in refused.message
        place.close()
        with BrainServer(settings, secret) as server:
            world.until(lambda: world.contracts, "the contract")
            contract = read_brain_contract(world.contracts[0])
            assert [(port.id, port.n) for port in contract.outputs] == [("pan", 8)]
            assert world.contracts[0].remote
            world.until_heard()
            world.until_state(BrainStatus.WAITING, "waits for a new sample of camera, joints")
            world.look(1.0)
            world.until_cycles(1)
            first = read_spike_raster(world.spikes[0], contract)
            assert (first.run, first.number, first.timesteps) == (world.contracts[0].run, 0, 20)
            # In lockstep a run is to repeat itself, wherever the brain is.
            assert first.stamp == first.observed == 1.0
            # The next cycle waits for new samples, for the answer and for the reward.
            world.look(1.02)
            world.done(0)
            world.until(lambda: len(world.spikes) == 1 and world.status.cycle == 1, "the status")
            world.deviation(0, [1.0] * 20)
            world.reward(0, 1.0, deviations=1)
            world.until_cycles(2)
            for cycle in range(1, 5):
                world.done(cycle, executed=cycle != 2)
                world.reward(cycle, 1.0)
                world.look(1.02 + 0.02 * cycle)
                world.until_cycles(cycle + 2)
            assert [message.cycle for message in world.spikes] == list(range(6))
            assert world.status.learning
            assert [c for c in world.status.counter if "refused" in c] == ["~/save refused"]

            saved = world.call("save")
            assert saved.success and "by its service" in saved.message
            learned = EmbeddedBrain.load(server.store.path("robot"))
            untrained = EmbeddedBrain.load(brain)
            weights = [b.network.weights("camera_pan") for b in (learned, untrained)]
            assert not (weights[0] == weights[1]).all()

            request = SetBool.Request(data=False)
            assert peer.call(SetBool, f"{name}/set_learning", request).success
            world.until(lambda: not world.status.learning, "learning off")
            world.done(5)
            world.reward(5, 0.5)
            world.look(2.0)
            world.until_cycles(7)
            assert not server.runs.find(world.contracts[0].run)._brain.learning

            known = peer.ask(ListParameters, f"{name}/list_parameters", ListParameters.Request())
            names = list(known.result.names)
            assert "remote.url" in names and "remote.key_variable" in names
            asked = GetParameters.Request(names=names)
            values = peer.ask(GetParameters, f"{name}/get_parameters", asked).values
            assert KEY not in repr(values) and "AB_ROS_KEY" in repr(values)

            node.signal(signal.SIGINT)
            assert node.end() == 0
            world.until(lambda: len(server.runs) == 0, "the end of the run")
        assert KEY not in "".join([*node.lines, *node.errors, *(text for _, text in world.said)])


def test_a_wrong_key_ends_the_node_with_a_sentence(
    world: World, brain: Path, tmp_path: Path
) -> None:
    settings = ServerSettings(brain, tmp_path / "served", port=0)
    with BrainServer(settings, {"AB_ROS_KEY": KEY}) as server:
        yaml = parameters(tmp_path, server.url)
        with world.brain(yaml, env={"AB_ROS_KEY": "another"}) as node:
            node.wait_for("the key is refused")
            assert node.end() == 1
        assert "another" not in "".join(node.errors)


@contextlib.contextmanager
def robot(world: World, folder: Path) -> Iterator[list[MotorStatus]]:
    """A motor node, and sensors that look at the clock; yields what the motor node says."""
    (folder / "motor.yaml").write_text(MOTOR)
    node = world.peer.node
    arguments = ["--ros-args", "-r", f"__ns:={world.space}"]
    arguments += ["--params-file", str(folder / "motor.yaml")]
    said: list[MotorStatus] = []
    listening = node.create_subscription(
        MotorStatus, f"{world.space}/motor/status", said.append, qos.STATUS
    )
    timer = node.create_timer(0.02, lambda: world.look(node.get_clock().now().nanoseconds * 1e-9))
    try:
        with NodeProcess(Path("-m"), "ab_ros.nodes.motor", *arguments):
            yield said
    finally:
        node.destroy_timer(timer)
        node.destroy_subscription(listening)


def test_a_robot_holds_when_its_service_is_killed_and_goes_on_when_it_is_back(
    world: World, service: Service, tmp_path: Path
) -> None:
    yaml = parameters(tmp_path, service.url)

    def executed() -> list[CycleDone]:
        return [answer for answer in world.answers if answer.executed]

    with robot(world, tmp_path) as motor, world.brain(yaml, "pacing:=realtime") as node:
        world.until(lambda: motor, "the motor node")
        world.until(lambda: world.said, "the brain node")
        world.until(lambda: len(executed()) > 20 and len(world.spikes) > 20, "cycles")
        first = world.contracts[-1].run
        stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in world.spikes]
        # Gated by a motor node, in real time: no faster than the robot moves.  The first cycle
        # may be up to two periods late before they are counted anew.
        assert stamps[20] - stamps[0] >= 18 * PERIOD
        service.end(signal.SIGKILL)

        def holds() -> bool:
            if not motor:
                return False
            last = motor[-1]
            return (last.state, last.code) == (MotorStatus.HOLDING, MotorStatus.STALE_SPIKES)

        world.until(holds, "the robot to hold")
        assert re.search(r"no fresh cycle for 0\.\d+ s", motor[-1].message)
        world.until_state(BrainStatus.WAITING, "waits for its brain; link to http://127.0.0.1")
        world.until_state(BrainStatus.WAITING, "lost")
        before = len(executed())
        world.spikes.clear()
        service.start()
        world.until(lambda: world.contracts[-1].run != first, "a new run")
        world.until(lambda: len(executed()) > before + 10, "cycles of the new run")
        assert {message.run for message in world.spikes} == {world.contracts[-1].run}
        assert world.spikes[0].cycle == 0
        assert world.contracts[-1].sha256 == world.contracts[0].sha256
        world.until_state(BrainStatus.RUNNING, "runs")
        world.until(lambda: motor[-1].state == MotorStatus.ACTIVE, "the motor node")
        assert not any(m.code == MotorStatus.FOLLOWING_ERROR for m in motor)
        # A brain that is waited for does not keep the node from ending.
        service.end(signal.SIGKILL)
        world.until_state(BrainStatus.WAITING, "waits for its brain")
        node.signal(signal.SIGINT)
        assert node.end() == 0


def test_without_a_motor_node_a_gated_brain_is_answered_all_the_same(
    world: World, brain: Path, tmp_path: Path
) -> None:
    settings = ServerSettings(brain, tmp_path / "served", port=0)
    with BrainServer(settings, {}) as server:
        yaml = parameters(tmp_path, server.url)
        with world.brain(yaml, "pacing:=realtime", "answer_timeout:=0.2"):
            now = world.peer.node.get_clock().now
            world.until_heard()

            def cycles() -> bool:
                world.look(now().nanoseconds * 1e-9)
                return len(world.spikes) >= 4

            world.until(cycles, "cycles")
            assert [m.cycle for m in world.spikes[:4]] == [0, 1, 2, 3]
            world.until(lambda: len(world.answers) >= 3, "answers of the brain's own")
            assert "did not answer" in world.answers[0].reason
            world.until(
                lambda: any("goes on without an answer" in sentence for _, sentence in world.said),
                "word of it",
            )


def test_a_brain_that_runs_freely_sets_the_pace(world: World, brain: Path, tmp_path: Path) -> None:
    settings = ServerSettings(brain, tmp_path / "served", port=0)
    with BrainServer(settings, {}) as server:
        yaml = parameters(tmp_path, server.url)
        with world.brain(yaml, "pacing:=realtime", "remote.pacing:=free"):
            now = world.peer.node.get_clock().now
            world.until_heard()

            def cycles() -> bool:
                world.look(now().nanoseconds * 1e-9)
                return len(world.spikes) >= 10

            world.until(cycles, "cycles")
            numbers = [message.cycle for message in world.spikes]
            assert numbers == sorted(set(numbers))
            assert world.answers == []  # nobody is waited for
            assert world.call("save").success
            assert world.call("pause").success
            world.until_state(BrainStatus.PAUSED)
            count = len(world.spikes)
            assert world.call("resume").success
            world.until(lambda: len(world.spikes) > count, "cycles after a pause")


def test_inputs_that_do_not_fit_the_brain_are_told_and_do_not_stop_it(
    world: World, brain: Path, tmp_path: Path
) -> None:
    text = REMOTE.replace("camera: {{kind: Image}}", "eye: {{kind: Image, topic: camera}}")
    text = text.replace("joints: {{kind: Proprioception,", "ear: {{kind: Audio,")
    settings = ServerSettings(brain, tmp_path / "served", port=0)
    with BrainServer(settings, {}) as server:
        yaml = parameters(tmp_path, server.url, text.replace("topic: joint_states", "topic: sound"))
        with world.brain(yaml):
            # The eye serves the brain's camera, being of its kind; nothing is its joints.
            world.until_state(BrainStatus.WAITING, "waits for a new sample of eye")
            world.until_state(
                BrainStatus.WAITING, "nothing in 'inputs' feeds the brain's input 'joints'"
            )
            assert "inputs.ear: the brain has no such input" in world.status.message
            world.until(world._camera.get_subscription_count, "the brain's camera")
            for cycle in range(3):
                world.look(1.0 + cycle)
                world.until_cycles(cycle + 1)
                world.done(cycle)


CONTRACT = Contract.from_dict(
    {
        "io": {
            "inputs": [
                {"id": "left", "kind": "Image"},
                {"id": "right", "kind": "Image"},
                {"id": "arm", "kind": "Proprioception"},
                {"id": "raw"},
            ]
        }
    }
)


def test_inputs_are_fed_by_id_then_by_kind() -> None:
    def feeds(**kinds: str) -> dict[str, Feed]:
        return {name: Feed(name, kind, 0.5) for name, kind in kinds.items()}

    joining = join(CONTRACT, feeds(right="Image", eye="Image", raw="Audio", legs="Proprioception"))
    assert joining.feed_of == {"left": "eye", "right": "right", "arm": "legs", "raw": "raw"}
    assert joining.troubles == ()
    # A feed that has an input of its own serves no other.
    joining = join(CONTRACT, feeds(right="Image", arm="Audio", nose="Audio"))
    assert joining.feed_of == {"right": "right", "arm": "arm"}
    assert [re.sub(r";.*", "", trouble) for trouble in joining.troubles] == [
        "nothing in 'inputs' feeds the brain's input 'left' of the kind 'Image'",
        "inputs.arm.kind is 'Audio', but the brain's input is of the kind 'Proprioception'",
        "nothing in 'inputs' feeds the brain's input 'raw'",
        "inputs.nose: the brain has no such input",
    ]


SERVICE: dict[str, Any] = {"url": "http://127.0.0.1:8642", "project": "robot"}
CAMERA: dict[str, Any] = {"camera": {"kind": "Image"}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"remote": None}, "remote: is missing: give the service's 'url' and the 'project'"),
        ({"file": "brain.db"}, "file: is for an embedded brain"),
        ({"inputs": {}}, "inputs: a remote brain needs them by id"),
        ({"inputs": {"camera": {}}}, "inputs.camera.kind: a remote brain is not known before"),
        ({"pacing": "lockstep", "remote": {**SERVICE, "pacing": "free"}}, "must be 'gated'"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], says: str) -> None:
    data = {"backend": "remote", "remote": SERVICE, "inputs": CAMERA}
    check_wiring(parse(BrainSettings, data))
    changed = {name: value for name, value in {**data, **changes}.items() if value is not None}
    with pytest.raises(ConfigError, match=re.escape(says)):
        check_wiring(parse(BrainSettings, changed))


def test_the_shipped_file_of_a_robot_is_right(root: Path) -> None:
    data, source = load_yaml(root / "config" / "remote.yaml")
    brain, where = node_parameters(data, source, "brain")
    settings = parse(BrainSettings, brain, where)
    check_wiring(settings)
    assert settings.remote is not None and settings.remote.gated
    motor = parse(MotorSettings, *node_parameters(data, source, "motor"))
    check_limits(motor, resolve_limits(motor.channels, motor.limits))
    assert not motor.direct
    parse(CriticNodeSettings, *node_parameters(data, source, "critic"))


def test_a_robots_file_changes_by_its_backend_alone() -> None:
    architecture = {
        "inputs": {"camera": {"kind": "Image", "topic": "camera", "encoder": "saliency"}},
        "populations": {"pan": {"size": 8, "output": True}},
    }
    data = {"architecture": architecture, "remote": SERVICE}
    for backend in ("embedded", "remote"):
        check_wiring(parse(BrainSettings, {**data, "backend": backend}))
