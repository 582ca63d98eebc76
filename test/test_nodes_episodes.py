"""The episodes node: trainings in its process and with a robot; what pauses, ends and resumes."""

from __future__ import annotations

import csv
import itertools
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import EpisodeStatus, MotorStatus
from diagnostic_msgs.msg import DiagnosticArray
from episode_worlds import FILE
from lifecycle_msgs.msg import Transition
from live_robot import Robot, start
from motor_robot import Topic
from ros_process import PATIENCE, NodeProcess, Peer
from std_srvs.srv import Empty, Trigger

from ab_ros.cli import main
from ab_ros.config import overlay, parse
from ab_ros.engine.network import Network
from ab_ros.errors import ConfigError
from ab_ros.nodes.episodes import EpisodesNode, EpisodesSettings
from ab_ros.nodes.robot_reset import MotorWatch
from ab_ros.training import Config
from ab_ros.training.training_file import TrainingFile

pytestmark = pytest.mark.ros

IDLE, RUNNING, PAUSED = EpisodeStatus.IDLE, EpisodeStatus.RUNNING, EpisodeStatus.PAUSED
FINISHED, FAILED = EpisodeStatus.FINISHED, EpisodeStatus.FAILED
SLOW = {"environment": {"cfg": {"seconds": 0.03}}}
_spaces = itertools.count()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("teacher")
    yield peer
    peer.close()


class Teacher:
    """Starts and stops one episodes node, and hears what it says."""

    def __init__(self, peer: Peer, folder: Path, namespace: str = "") -> None:
        self.peer, self.folder = peer, folder
        self.space = namespace or f"/episodes_{next(_spaces)}"
        self.name = f"{self.space}/episodes"
        self.health: list[tuple[bytes, str]] = []
        self._subscription = peer.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._diagnose, 10
        )
        self.until: Callable[[Callable[[], Any], str], Any] = peer.until
        self._clients = {
            name: peer.node.create_client(Trigger, f"{self.name}/{name}")
            for name in ("start", "stop")
        }
        # Made last: a node that is heard on it knows the clients, and can answer them.
        self.status = Topic(peer, EpisodeStatus, f"{self.name}/status")

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == self.name:
                self.health.append((status.level, status.message))

    def node(self, changes: dict[str, Any] | None = None, *assignments: str) -> NodeProcess:
        """Start the node for the walk in its process, or what it is changed to."""
        path = self.folder / "training.yaml"
        whole = "brain" in (changes or {})
        path.write_text(yaml.safe_dump(changes if whole else overlay(FILE, changes or {})))
        given = {"training": path, "brains": self.folder / "brains", "out": self.folder / "out"}
        texts = [*(f"{key}:={value}" for key, value in given.items()), *assignments]
        parameters = [part for text in texts for part in ("-p", text)]
        self.process = NodeProcess(
            Path("-m"),
            "ab_ros.nodes.episodes",
            *("--ros-args", "-r", f"__ns:={self.space}", "-r", "__node:=episodes", *parameters),
        )
        return self.process

    def call(self, name: str) -> Trigger.Response:
        client = self._clients[name]
        self.until(client.service_is_ready, name)
        self.until(lambda: self.status.heard, "the status")
        future = client.call_async(Trigger.Request())
        self.until(future.done, f"an answer of {name}")
        return future.result()

    def awaits(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for what the node says, as long as it runs."""

        def met() -> Any:
            value = condition()
            assert value or self.process.process.poll() is None, "\n".join(self.process.errors)
            return value

        try:
            return self.until(met, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.status.last}") from None

    def says(self, code: int, words: str = "", begin: int | None = None) -> EpisodeStatus:
        """Wait for a status that comes from now on, or from a place in what was heard."""
        first = len(self.status.heard) if begin is None else begin

        def found() -> EpisodeStatus | None:
            heard = self.status.heard[first:]
            return next((m for _, m in heard if m.code == code and words in m.message), None)

        return self.awaits(found, f"code {code}, {words!r}")

    def in_episode(self, number: int, step: int = 1) -> EpisodeStatus:
        """Wait until it is in an episode, or a later one."""
        first = len(self.status.heard)

        def there() -> EpisodeStatus | None:
            heard = [m for _, m in self.status.heard[first:] if m.code == RUNNING]
            far = (m for m in heard if (m.episode, m.step) >= (number, step))
            return next((m for m in far if m.step >= step), None)

        return self.awaits(there, f"episode {number}")

    def goes_on_after(self, status: EpisodeStatus, begin: int) -> None:
        """Wait for a later step than that of a status, from a place in what was heard."""
        place = status.episode, status.step
        self.awaits(
            lambda: any((m.episode, m.step) > place for _, m in self.status.heard[begin:]),
            f"steps after {place}",
        )

    def checkpoint(self) -> dict[str, Any]:
        """Return the notes of the newest checkpoint."""
        path = self.folder / "brains" / "walker" / "training" / "checkpoint.json"
        notes: dict[str, Any] = json.loads(path.read_text())["notes"]
        return notes

    def summary(self, version: int = 1) -> dict[str, Any]:
        path = self.folder / "brains" / "walker" / "versions" / f"{version}.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def weights(self, version: int = 1) -> list[bytes]:
        return weights(self.folder / "brains" / "walker" / "versions" / f"{version}.brain")

    def close(self) -> None:
        self.peer.node.destroy_subscription(self._subscription)
        for client in self._clients.values():
            self.peer.node.destroy_client(client)


def weights(path: Path) -> list[bytes]:
    from ab_ros.brains.embedded import EmbeddedBrain

    network: Network = EmbeddedBrain.load(path).network
    return [network.edges(name)[2].tobytes() for name in network.projections]


@pytest.fixture
def teacher(peer: Peer, tmp_path: Path) -> Iterator[Teacher]:
    teacher = Teacher(peer, tmp_path)
    yield teacher
    teacher.close()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], float]:
    """What the same training comes to by ``ab_ros train``: weights, and the mean reward."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "training.yaml"
    path.write_text(yaml.safe_dump(FILE))
    assert main(["train", str(path), "--brains", str(folder), "--out", str(folder / "out")]) == 0
    version = folder / "walker" / "versions" / "1.json"
    return weights(version.with_suffix(".brain")), json.loads(version.read_text())["mean_reward"]


# In the node's own process


def test_it_does_what_the_command_does_and_stops_and_resumes(
    teacher: Teacher, uninterrupted: tuple[list[bytes], float]
) -> None:
    with teacher.node(SLOW) as node:
        teacher.says(IDLE, "waits for ~/start")
        assert teacher.call("start").success
        assert teacher.call("start").message == "goes on already"
        told = teacher.in_episode(3)
        assert told.episodes == 24
        assert f"episode {told.episode} of 24, step {told.step}: reward" in told.message
        for number in (6, 9):
            begin = len(teacher.status.heard)
            assert "is done again after ~/start" in teacher.call("stop").message
            stopped = teacher.says(IDLE, "~/start goes on after", begin)
            assert stopped.episode < 24
            assert teacher.call("stop").message == "stands already"
            assert teacher.call("start").success
            teacher.in_episode(number)
        done = teacher.says(FINISHED, "version 1 is there: 24 episodes")
        assert done.episode == 24
        assert teacher.weights() == uninterrupted[0]
        assert teacher.summary()["mean_reward"] == uninterrupted[1]
        assert {path.name for path in (teacher.folder / "out").iterdir()} == {
            "summary.json",
            "learning_curve.png",
        }
        node.signal(signal.SIGINT)
        assert node.end() == 0


def test_a_kill_loses_one_episode_at_most(
    teacher: Teacher, uninterrupted: tuple[list[bytes], float]
) -> None:
    with teacher.node(SLOW, "start:=true") as node:
        reached = teacher.in_episode(4).episode
        node.signal(signal.SIGKILL)
        node.end()
    assert teacher.checkpoint()["episodes"] >= reached - 1
    # A killed node is listed for a while; this one would give way to it.
    again = Teacher(teacher.peer, teacher.folder)
    with again.node({}, "start:=true"):
        again.says(FINISHED)
        assert min(m.episode for _, m in again.status.heard if m.episode) >= reached
    again.close()
    assert teacher.weights() == uninterrupted[0]


def test_services_drive_every_transition(teacher: Teacher) -> None:
    peer, name = teacher.peer, teacher.name
    with teacher.node(SLOW, "autostart:=false", "start:=true") as node:
        assert peer.state(name) == "unconfigured"
        assert peer.transition(name, Transition.TRANSITION_CONFIGURE)
        teacher.says(IDLE, "not active")
        assert teacher.call("start").message == "the node is not active"
        assert peer.transition(name, Transition.TRANSITION_ACTIVATE)
        teacher.in_episode(2)
        assert peer.transition(name, Transition.TRANSITION_DEACTIVATE)
        stopped = teacher.says(IDLE, "not active; stopped").episode
        assert peer.transition(name, Transition.TRANSITION_ACTIVATE)
        assert teacher.in_episode(stopped).episode >= stopped
        assert peer.transition(name, Transition.TRANSITION_DEACTIVATE)
        assert peer.transition(name, Transition.TRANSITION_CLEANUP)
        assert peer.state(name) == "unconfigured"
        assert peer.transition(name, Transition.TRANSITION_CONFIGURE)
        assert peer.transition(name, Transition.TRANSITION_ACTIVATE)
        assert teacher.in_episode(stopped).episode >= stopped
        assert peer.transition(name, Transition.TRANSITION_ACTIVE_SHUTDOWN)
        node.signal(signal.SIGTERM)
        assert node.end() == 0
    assert teacher.checkpoint()["episodes"] >= stopped - 1


def test_restart_begins_anew(teacher: Teacher) -> None:
    path = teacher.folder / "broken_off.yaml"
    path.write_text(yaml.safe_dump(FILE))
    config = Config()
    config.url = str(teacher.folder / "brains")
    simulator = TrainingFile.read(path).simulator(config)
    while simulator.episode_count < 2:
        simulator.run()
    simulator.close()
    changed = {"training": {"episodes": 3}, "neurons": {"size": 8}}
    with teacher.node(changed, "start:=true") as node:
        failed = teacher.says(FAILED, "was defined anew since its training was broken off")
        assert "here that is 'unfinished: restart'" in failed.message
        teacher.until(lambda: teacher.health and teacher.health[-1][0] == b"\x02", "its health")
        node.signal(signal.SIGINT)
        assert node.end() == 0
    with teacher.node(changed, "start:=true", "unfinished:=restart"):
        teacher.says(FINISHED, "version 1 is there: 3 episodes")


# The reset service


class Resetting:
    """A reset service in a thread of its own, which may refuse, or take its time."""

    def __init__(self, namespace: str, kind: type[Any] = Trigger, answers: bool = True) -> None:
        self.peer = Peer("resetter")
        self.calls = 0
        self.refuses = ""
        self.may_answer = threading.Event()
        if answers:
            self.may_answer.set()
        self.peer.node.create_service(kind, f"{namespace}/reset", self._reset)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _reset(self, _: Any, response: Any) -> Any:
        self.calls += 1
        self.may_answer.wait()
        if hasattr(response, "success"):
            response.success, response.message = not self.refuses, self.refuses
        return response

    def _spin(self) -> None:
        while not self._end.is_set():
            self.peer.executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self.may_answer.set()
        self._end.set()
        self._thread.join()
        self.peer.close()


def test_the_robot_is_reset_before_each_episode(teacher: Teacher) -> None:
    service = "reset.service:=reset"
    short = overlay(SLOW, {"training": {"episodes": 4}})
    with teacher.node(short, "start:=true", service, "reset.timeout:=3.0"):
        missing = teacher.says(PAUSED, f"the reset service {teacher.space}/reset (std_srvs/srv/Tr")
        assert (missing.step, missing.message[-12:]) == (0, "is not there")
        teacher.until(lambda: teacher.health and teacher.health[-1][0] == b"\x01", "its health")
        resetting = Resetting(teacher.space, answers=False)
        try:
            teacher.says(PAUSED, "has not answered for 3 s")
            resetting.refuses = "the gripper is stuck"
            resetting.may_answer.set()
            teacher.says(FAILED, "refuses: the gripper is stuck")
            resetting.refuses, before = "", resetting.calls
            begin = len(teacher.status.heard)
            assert teacher.call("start").success
            done = teacher.says(FINISHED, begin=begin)
            assert resetting.calls - before == 4
            assert done.episode == 4
        finally:
            resetting.close()
    assert teacher.summary()["episodes"] == 4


def test_predictions_learn_nothing_and_a_reset_may_be_empty(teacher: Teacher) -> None:
    path = teacher.folder / "trained.yaml"
    path.write_text(yaml.safe_dump(FILE))
    brains = teacher.folder / "brains"
    given = ["--brains", str(brains), "--out", str(teacher.folder), "--episodes", "2"]
    assert main(["train", str(path), *given]) == 0
    before = teacher.weights()
    resetting = Resetting(teacher.space, Empty)
    kind = ("reset.service:=reset", "reset.type:=std_srvs/srv/Empty", "reset.settle:=0.01")
    try:
        with teacher.node({}, "predict:=0", "episodes:=3", *kind):
            # Else its first answer might get lost, and the node would ask again.
            service = f"{teacher.space}/reset"
            teacher.until(lambda: resetting.peer.node.count_clients(service), "its client")
            teacher.says(IDLE, "waits for ~/start")
            assert teacher.call("start").success
            assert teacher.says(FINISHED, "predicted 3 episodes").episodes == 3
    finally:
        resetting.close()
    assert resetting.calls == 3
    assert teacher.weights() == before
    assert not (brains / "walker" / "versions" / "2.brain").exists()


# With a robot behind the motor node

ROBOT = {
    "environment": {
        "classname": "ab_ros.nodes.ros_environment.RosEnvironment",
        "cfg": {
            "motors": {
                "a": {"lower": -0.3, "upper": 0.3},
                "b": {"lower": -0.1, "upper": 0.1, "mode": "delta", "fixed": 0.0},
                "w": {"lower": -1.0, "upper": 1.0, "mode": "velocity", "fixed": 0.0},
            },
            "sensors": {
                "a": {"topic": "probe", "type": "std_msgs/msg/Float64", "field": "data"},
            },
            "populations": {"A": 4},
            "duration": 0.2,
            "gamma": 20,
            "timeout": 1.0,
        },
        "channels": {"step": "a"},
    },
    "simulator": {"action": {"step": "Float32{-0.3:0.3}"}, "state": {"a": "Float32{-4:4}"}},
    "training": {"episodes": 5, "max_steps": 3},
    "lessons": [{"objective": "walk", "reward": "episode_worlds:probed"}],
}


def robot_file() -> dict[str, Any]:
    made = overlay(FILE, ROBOT)
    made["simulator"]["action"], made["simulator"]["state"] = (
        ROBOT["simulator"]["action"],
        ROBOT["simulator"]["state"],
    )
    return made


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with start(tmp_path_factory.mktemp("motor"), "/taught"):
        robot = Robot(Peer("taught"), "/taught")  # which only the robot's thread spins
        yield robot
        robot.close()
        robot.peer.close()


@pytest.fixture
def robots_teacher(robot: Robot, tmp_path: Path) -> Iterator[Teacher]:
    teacher = Teacher(robot.peer, tmp_path, "/taught")
    teacher.until = robot.until
    yield teacher
    teacher.close()


def steps_of(path: Path) -> list[tuple[int, int]]:
    """Return episode and step of each line of a record."""
    with open(path, encoding="utf-8") as file:
        return [
            (int(line["statistics.episode"]), int(line["statistics.iteration_count"]))
            for line in csv.DictReader(file)
        ]


def test_episodes_pause_while_the_motor_node_holds(robot: Robot, robots_teacher: Teacher) -> None:
    teacher, record = robots_teacher, robots_teacher.folder / "steps.csv"
    resetting = Resetting("/taught")
    given = ("start:=true", "reset.service:=reset", f"record:={record}")
    steps = 8  # of which it is paused in one of the first
    training = overlay(robot_file(), {"training": {"max_steps": steps}})
    try:
        with teacher.node(training, *given) as node:
            teacher.in_episode(1)
            # What clears itself: the step that was broken is executed again.
            robot.feeling = False
            teacher.says(PAUSED, "the motor node holds: no fresh joint state")
            # Said when the step that was under way has been broken.
            node.wait_for("no fresh joint state")
            paused = teacher.says(PAUSED)
            before = len(teacher.status.heard)
            teacher.until(lambda: len(teacher.status.heard) > before + 3, "more of it")
            last = teacher.status.last
            assert (last.episode, last.step) == (paused.episode, paused.step)
            resetting.may_answer.clear()  # it would not go on if it were reset before
            begin = len(teacher.status.heard)
            robot.feeling = True
            teacher.goes_on_after(paused, begin)
            resetting.may_answer.set()
            # What a person sees to: the episode is begun anew.
            teacher.in_episode(2)
            resets = resetting.calls
            robot.call("halt")
            teacher.says(PAUSED, "halted by ~/halt")
            halted_in = teacher.says(PAUSED, "halted by ~/halt").episode
            way = len(robot.arm.heard)
            before = len(teacher.status.heard)
            teacher.until(lambda: len(teacher.status.heard) > before + 3, "more of it")
            assert len(robot.arm.heard) == way, "nothing moves"
            robot.call("resume")
            assert teacher.says(RUNNING).episode in (halted_in, halted_in + 1)
            teacher.says(FINISHED, "version 1 is there: 5 episodes")
            assert resetting.calls >= resets + 1
            node.signal(signal.SIGINT)
            assert node.end() == 0
    finally:
        robot.feeling = True
        resetting.close()
    assert steps_of(record) == [
        (episode, step) for episode in (1, 2, 3, 4, 5) for step in range(1, steps + 1)
    ]
    assert teacher.summary()["steps"] == 5 * steps


def test_the_robot_is_held_when_episodes_end(robot: Robot, robots_teacher: Teacher) -> None:
    teacher = robots_teacher
    long = overlay(robot_file(), {"environment": {"cfg": {"duration": 5.0, "timeout": 30.0}}})
    with teacher.node(long, "start:=true") as node:
        teacher.says(RUNNING, "episode 1")
        way = len(robot.arm.heard)
        teacher.until(lambda: len(robot.arm.heard) > way + 2, "a robot on its way")
        begin = len(teacher.status.heard)
        assert teacher.call("stop").success
        teacher.says(IDLE, "~/start goes on after 0 of 5 episodes", begin)
        robot.until(lambda: held(robot), "a robot that is held")
        robot.until(lambda: stands(robot), "an arm that stands")
        assert teacher.call("start").success
        way = len(robot.arm.heard)
        teacher.until(lambda: len(robot.arm.heard) > way + 2, "a robot on its way")
        node.signal(signal.SIGTERM)
        assert node.end() == 0
        robot.until(lambda: held(robot), "a robot that is held")
        robot.until(lambda: stands(robot), "an arm that stands")


def test_what_the_motor_node_says_pauses_or_not() -> None:
    watch = MotorWatch("/motor/status", PATIENCE)
    trouble = watch.trouble()
    assert trouble is not None and trouble.passing
    assert "nothing is heard on /motor/status" in trouble.sentence

    def after(state: int, code: int) -> bool | None:
        watch.hear(MotorStatus(state=state, code=code, message="so it is"))
        found = watch.trouble()
        assert found is None or found.sentence == "the motor node holds: so it is"
        return None if found is None else found.passing

    assert after(MotorStatus.ACTIVE, MotorStatus.OK) is None
    assert after(MotorStatus.ACTIVE, MotorStatus.DRIFT) is None
    assert after(MotorStatus.HOLDING, MotorStatus.STALE_SPIKES) is None
    assert after(MotorStatus.INACTIVE, MotorStatus.NOT_ACTIVE) is True
    assert after(MotorStatus.SEEDING, MotorStatus.NO_STATE) is True
    assert after(MotorStatus.HOLDING, MotorStatus.STALE_STATE) is True
    for code in (MotorStatus.HALTED, MotorStatus.FOLLOWING_ERROR, MotorStatus.DEADMAN):
        assert after(MotorStatus.HOLDING, code) is False


def held(robot: Robot) -> bool:
    status = robot.status.last
    return (status.state, status.code) == (MotorStatus.HOLDING, MotorStatus.STALE_SPIKES)


def stands(robot: Robot) -> bool:
    return list(robot.arm.last.points[-1].velocities) == [0.0, 0.0]


# Settings


def test_a_wrong_training_is_refused_with_its_line(teacher: Teacher) -> None:
    with teacher.node({"training": {"episodes": -1}}) as node:
        assert node.end() == 2
        assert "training.yaml" in node.errors[-1] and "training.episodes: -1" in node.errors[-1]


@pytest.mark.parametrize(
    ("changes", "settings", "says"),
    [
        ({}, {"training": "nowhere.yaml"}, "training: nowhere.yaml"),
        ({"environment": {"classname": "no.World"}}, {}, "'no.World' cannot be found"),
        ({"environment": {"classname": "pathlib.Path"}}, {}, "neither an Environment nor a Sim"),
        ({"environment": {"cfg": {"gamma": 0}}}, {}, "gamma: 0 is not allowed"),
        ({"environment": {"cfg": {"motrs": {}}}}, {}, "motrs: unknown key"),
        ({}, {"reset": {"service": "/"}}, "reset.service: '/' is no name of a service"),
        ({}, {"reset": {"type": "std_srvs/srv/SetBool"}}, "reset.type: 'std_srvs/srv/SetBool'"),
        ({}, {"unfinished": "maybe"}, "unfinished: 'maybe'"),
        ({}, {"predict": -2}, "predict: -2"),
    ],
)
def test_settings_that_are_not_allowed(
    tmp_path: Path, changes: dict[str, Any], settings: dict[str, Any], says: str
) -> None:
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(overlay(robot_file(), changes)))
    node: Any = object.__new__(EpisodesNode)
    with pytest.raises(ConfigError) as error:
        node.check(parse(EpisodesSettings, {"training": str(path), **settings}))
    assert says in str(error.value)


def test_the_shipped_arm_is_trained(teacher: Teacher) -> None:
    root = Path(__file__).resolve().parent.parent
    folder, text = teacher.folder, (root / "config" / "episodes.yaml").read_text()
    more = f"episodes: 2\n    brains: {folder / 'brains'}\n    out: {folder / 'out'}"
    config = folder / "episodes.yaml"
    config.write_text(text.replace("start: true", f"start: true\n    {more}"))
    space = ("--ros-args", "-r", f"__ns:={teacher.space}")
    teacher.process = NodeProcess(Path("-m"), "ab_ros.cli", "up", str(config), *space)
    with teacher.process as nodes:
        teacher.says(RUNNING)  # several processes are up; then the training
        assert teacher.says(FINISHED, "version 1 is there: 2 episodes").episodes == 2
        nodes.signal(signal.SIGINT)
        assert nodes.end() == 0
    assert (folder / "brains" / "robot" / "versions" / "1.brain").exists()
    assert (folder / "out" / "learning_curve.png").exists()
