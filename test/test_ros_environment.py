"""A robot behind the motor node as an environment: what it does, what it refuses, how it stops."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.msg import MotorStatus, SpikeRaster
from live_robot import LIMIT, Robot, start
from ros_process import PATIENCE, NodeProcess, Peer

from ab_ros.errors import ChannelError, ConfigError, OrderNotExecutableError, WorldError
from ab_ros.motion import Code
from ab_ros.nodes.ros_environment import InterruptedOrderError, NotNowError, RosEnvironment

pytestmark = pytest.mark.ros

CFG: dict[str, Any] = {
    "motors": {
        "a": {"lower": -1.0, "upper": 1.0, "unit": "rad"},
        "b": {"lower": -1.0, "upper": 1.0, "mode": "delta"},
        "w": {"lower": -3.0, "upper": 3.0, "mode": "velocity", "fixed": 0.0},
    },
    "sensors": {
        "a": {"joint": "a", "lower": -1.0, "upper": 1.0},
        "b": {"joint": "b"},
        "probe": {"topic": "probe", "type": "std_msgs/msg/Float64", "field": "data"},
    },
    "populations": {"A": 4},
    "duration": 0.6,
    "gamma": 40,
}


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("robot")
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def robot(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with start(tmp_path_factory.mktemp("motor"), "/live"):
        robot = Robot(peer, "/live")
        yield robot
        robot.close()


@pytest.fixture
def environment(robot: Robot, peer: Peer) -> Iterator[RosEnvironment]:
    with RosEnvironment({**CFG, "namespace": "/live", "timeout": PATIENCE}, peer.context) as made:
        yield made
    # The next one must not hear of this one's publishers any more.
    topic = "/live/spikes"
    robot.until(lambda: peer.node.count_publishers(topic) == 0, "the end of the environment")


def stands(robot: Robot) -> bool:
    """Whether the last that the arm was told is to stand; other topics may be ahead of it."""
    return list(robot.arm.last.points[-1].velocities) == [0.0, 0.0]


def test_robot_goes_where_it_is_told(robot: Robot, environment: RosEnvironment) -> None:
    meta: dict[str, Any] = {}
    feedback = environment.execute({"a": 0.3, "b": -0.2}, meta)
    assert feedback["m_signal"] == {"a": 0.3, "b": -0.2, "w": 0.0}
    assert feedback["s_signal"]["a"] == pytest.approx(0.3, abs=1e-3)
    assert feedback["s_signal"]["b"] == pytest.approx(-0.2, abs=1e-3)
    assert feedback["s_signal"]["probe"] == pytest.approx(3.0, abs=1e-2)
    assert meta["cycles"] >= 3
    # A target is where it goes, a delta is by how much.
    feedback = environment.execute({"a": 0.1, "b": 0.3})
    assert feedback["s_signal"]["a"] == pytest.approx(0.1, abs=1e-3)
    assert feedback["s_signal"]["b"] == pytest.approx(0.1, abs=1e-3)
    before = len(robot.arm.heard)
    assert environment.reset(1)["a"] == pytest.approx(0.1, abs=1e-3)
    assert len(robot.arm.heard) == before, "a reset moves nothing"
    environment.execute({"a": 0.0, "b": -0.1})


def test_unsafe_orders_are_limited_by_the_safety_stage(
    robot: Robot, environment: RosEnvironment
) -> None:
    feedback = environment.execute({"a": 50.0, "b": 0.0, "w": 40.0})
    executed = feedback["m_signal"]
    assert executed["a"] <= LIMIT
    assert executed["a"] == pytest.approx(LIMIT, abs=0.05)
    assert executed["b"] == 0.0
    assert executed["w"] == pytest.approx(1.0)
    assert feedback["s_signal"]["a"] == pytest.approx(executed["a"], abs=1e-3)
    assert np.abs(robot.commanded).max() <= LIMIT
    assert max(map(abs, robot.wheel.values)) <= 1.0 + 1e-9
    robot.until(lambda: robot.wheel.value == 0.0, "wheels that stand")
    environment.execute({"a": 0.0, "b": 0.0})


def test_what_is_not_finite_reaches_nobody(robot: Robot, environment: RosEnvironment) -> None:
    environment.execute({"a": 0.0, "b": 0.0})
    before = robot.commanded
    with pytest.raises(ChannelError, match="'a' must be finite, not nan"):
        environment.execute({"a": math.nan, "b": 0.0})
    # Where a fault of this environment let one through, the motor node would refuse the cycle.
    number = environment._link.send(np.full((40, 3), math.nan))
    answer = environment._link.answer(number, PATIENCE)
    assert (answer.executed, answer.code) == (False, Code.NON_FINITE)
    assert np.isfinite(robot.commanded).all()
    assert np.abs(robot.commanded[len(before) :]).max(initial=0.0) < 1e-3


def test_velocity_of_each_cycle_is_told(robot: Robot, environment: RosEnvironment) -> None:
    meta: dict[str, Any] = {}
    feedback = environment.execute({"a": 0.0, "b": 0.0, "w": 0.5}, meta)
    assert feedback["m_signal"]["w"] == 0.5
    assert meta["speeds"]["w"] == pytest.approx([0.5, 0.5, 0.5])
    robot.until(lambda: robot.wheel.value == 0.0, "wheels that stand")


def test_order_that_was_broken_off_goes_on_to_its_goal(
    robot: Robot, environment: RosEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.execute({"a": 0.0, "b": 0.0})
    begin = environment.execute({"a": 0.0, "b": 0.1})["s_signal"]["b"]
    link = environment._link
    play, played = link.play, []

    def lost(deltas: np.ndarray, due: float = -math.inf) -> Any:
        played.append(play(deltas, due))
        if len(played) == 2:
            raise NotNowError("a cycle was lost")
        return played[-1]

    monkeypatch.setattr(link, "play", lost)
    with pytest.raises(NotNowError, match="a cycle was lost"):
        environment.execute({"a": 0.1, "b": 0.2})
    feedback = environment.execute({"a": 0.1, "b": 0.2})
    assert feedback["m_signal"]["b"] == 0.2
    assert feedback["s_signal"]["b"] == pytest.approx(begin + 0.2, abs=1e-3)
    # The same order anew is another one.
    feedback = environment.execute({"a": 0.1, "b": -0.2})
    feedback = environment.execute({"a": 0.0, "b": -0.2})
    assert feedback["s_signal"]["b"] == pytest.approx(begin - 0.2, abs=1e-3)


def test_execution_can_be_interrupted(robot: Robot, environment: RosEnvironment) -> None:
    environment.execute({"a": 0.0, "b": 0.0})
    way = len(robot.arm.heard)

    def interrupt() -> None:
        robot.until(lambda: len(robot.arm.heard) > way + 1, "a robot on its way")
        environment.interrupt()

    person = threading.Thread(target=interrupt)
    person.start()
    try:
        with pytest.raises(InterruptedOrderError, match="was interrupted"):
            environment.execute({"a": 0.4, "b": 0.0, "w": 0.5})
    finally:
        person.join()
    robot.until(lambda: robot.wheel.value == 0.0, "wheels that stand")
    robot.until(lambda: stands(robot), "an arm that stands")


def test_the_robots_clock_sets_the_pace(tmp_path: Path) -> None:
    peer = Peer("simulated_robot")
    with start(tmp_path, "/simulated", True, "-p", "use_sim_time:=true"):
        robot = Robot(peer, "/simulated", rate=3.0)
        cfg = {**CFG, "namespace": "/simulated", "timeout": PATIENCE, "use_sim_time": True}
        try:
            with RosEnvironment(cfg, peer.context) as environment:
                for rate, goal in ((3.0, 0.3), (0.5, 0.1)):
                    robot.set_rate(rate)
                    begin = robot.now()
                    moved = environment.execute({"a": goal, "b": 0.0, "w": 0.5})
                    assert robot.now() - begin >= CFG["duration"]
                    assert moved["m_signal"] == {"a": goal, "b": 0.0, "w": 0.5}
                    assert moved["s_signal"]["a"] == pytest.approx(goal, abs=1e-3)
        finally:
            robot.close()
            peer.close()


SIMULATED = """
/**:
  ros__parameters:
    use_sim_time: true
    pacing: lockstep
/**/sim:
  ros__parameters:
    use_sim_time: false
    motion: still
    tone: false
    world: {image_width: 16, image_height: 16}
    commands: {arm: {topic: arm/cmd}}
/**/motor:
  ros__parameters:
    direct: true
    mapping: {none: {population: none, channel: base_yaw, per_step_max: 0.001}}
    groups: {arm: {topic: arm/cmd, channels: [base_yaw, wrist_pitch], period: 0.01}}
    limits:
      base_yaw: {lower: -0.6, upper: 0.6, velocity: 4.0, acceleration: 100.0}
      wrist_pitch: {lower: -0.5, upper: 0.5, velocity: 4.0, acceleration: 100.0}
"""
LOCKSTEP = {
    "motors": {
        "base_yaw": {"lower": -0.6, "upper": 0.6, "mode": "delta"},
        "wrist_pitch": {"lower": -0.5, "upper": 0.5},
    },
    "sensors": {
        "yaw": {"joint": "base_yaw"},
        "pitch": {"joint": "wrist_pitch"},
        "ball": {
            "topic": "target/direction",
            "type": "geometry_msgs/msg/Vector3Stamped",
            "field": "vector.x",
        },
    },
    "populations": {"none": 2},
    "namespace": "/lockstep",
    "duration": 0.2,
    "pacing": "lockstep",
    "timeout": PATIENCE,
}


def test_simulation_in_lockstep_gives_the_same_each_time(tmp_path: Path, peer: Peer) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(SIMULATED)
    orders = [(0.2, 0.1), (0.2, 0.3), (0.5, -0.3), (-0.3, 0.0)]
    up = NodeProcess(
        Path("-m"), "ab_ros.cli", "up", str(path), "--ros-args", "-r", "__ns:=/lockstep"
    )
    with up, RosEnvironment(LOCKSTEP, peer.context) as environment:
        up.wait_for("simulated 0.0 s")
        runs = []
        for _ in range(2):
            environment.reset()
            felt = []
            for yaw, pitch in orders:
                feedback = environment.execute({"base_yaw": yaw, "wrist_pitch": pitch})
                felt.append((feedback["m_signal"], feedback["s_signal"]))
            runs.append(felt)
            # Back to where it began, so that the second run begins there, too.
            environment.execute({"base_yaw": -felt[-1][1]["yaw"], "wrist_pitch": 0.0})
        for (order, (executed, sensed)), (again, seen) in zip(
            zip(orders, runs[0], strict=True), runs[1], strict=True
        ):
            assert executed == pytest.approx(again, abs=1e-6)
            assert sensed == pytest.approx(seen, abs=1e-4)
            assert sensed["pitch"] == pytest.approx(order[1], abs=2e-3)
        assert [sensed["yaw"] for _, sensed in runs[0]] == pytest.approx(
            [0.2, 0.4, 0.6, 0.3], abs=2e-3
        )
        assert runs[0][0][1]["ball"] > 0.1, "the ball is seen further right"


def test_lockstep_without_a_simulation_says_so(peer: Peer) -> None:
    cfg = {**LOCKSTEP, "namespace": "/nothing", "timeout": 0.5}
    says = pytest.raises(OrderNotExecutableError, match="no joint state has come within")
    with RosEnvironment(cfg, peer.context) as environment, says:
        environment.execute({"base_yaw": 0.0, "wrist_pitch": 0.0})


def test_halted_robot_executes_nothing(robot: Robot, environment: RosEnvironment) -> None:
    environment.execute({"a": 0.0, "b": 0.0})
    robot.call("halt")
    with pytest.raises(OrderNotExecutableError, match="halted by ~/halt"):
        environment.execute({"a": 0.3, "b": 0.0})
    assert environment.reset()["a"] == pytest.approx(0.0, abs=1e-3)
    robot.call("resume")
    moved = environment.execute({"a": 0.2, "b": 0.0})
    assert moved["s_signal"]["a"] == pytest.approx(0.2, abs=1e-3)


def test_robot_that_is_halted_on_its_way_stops_there(
    robot: Robot, environment: RosEnvironment
) -> None:
    environment.execute({"a": 0.0, "b": 0.0})
    way = len(robot.arm.heard)

    def halt() -> None:
        robot.until(lambda: len(robot.arm.heard) > way + 1, "a robot on its way")
        robot.call("halt")

    person = threading.Thread(target=halt)
    person.start()
    try:
        with pytest.raises(OrderNotExecutableError, match="halted by ~/halt"):
            environment.execute({"a": 0.4, "b": 0.0, "w": 0.5})
    finally:
        person.join()
    robot.until(lambda: robot.wheel.value == 0.0, "wheels that stand")
    robot.until(lambda: stands(robot), "an arm that stands")
    robot.call("resume")
    environment.execute({"a": 0.0, "b": 0.0})


def test_robot_holds_when_the_environment_ends(
    robot: Robot, peer: Peer, environment: RosEnvironment
) -> None:
    environment.execute({"a": 0.0, "b": 0.0})
    begin = environment._link.rest()[0]  # an arm that was this near to 0 is not moved
    deltas = np.zeros((40, 3))
    deltas[:] = (0.001, 0.0, 0.005)  # the wheel at its fastest
    environment._link.answer(environment._link.send(deltas), PATIENCE)
    robot.until(lambda: (robot.wheel.value or 0.0) > 0.0, "wheels that turn")
    environment.close()  # in the middle of it, and without a word
    began = len(robot.status.heard)
    robot.until(
        lambda: any(
            (m.state, m.code) == (MotorStatus.HOLDING, MotorStatus.STALE_SPIKES)
            for _, m in robot.status.heard[began:]
        ),
        "a motor node that holds",
    )
    robot.until(lambda: robot.wheel.value == 0.0, "wheels that stand")
    robot.until(lambda: stands(robot), "an arm that stands")
    last = robot.arm.last.points[-1]
    assert last.positions[0] == pytest.approx(begin + 40 * 0.001, abs=1e-6)
    with pytest.raises(WorldError, match="is closed"):
        environment.execute({"a": 0.0, "b": 0.0})
    with pytest.raises(WorldError, match="is closed"):
        environment.reset()


def test_no_second_brain_speaks_to_the_motor_node(
    robot: Robot, peer: Peer, environment: RosEnvironment
) -> None:
    brain = peer.node.create_publisher(SpikeRaster, "/live/spikes", 10)
    try:
        robot.until(lambda: environment._link.node.count_publishers("/live/spikes") == 2, "both")
        with pytest.raises(OrderNotExecutableError, match="1 other brain sends cycles"):
            environment.execute({"a": 0.0, "b": 0.0})
    finally:
        peer.node.destroy_publisher(brain)


def test_sensor_that_says_nothing_is_named(robot: Robot, peer: Peer) -> None:
    sensors = {"a": {"joint": "a"}, "gone": {"joint": "z"}}
    cfg = {**CFG, "sensors": sensors, "namespace": "/live", "timeout": 1.0}
    says = "'gone': nothing usable came on /live/joint_states"
    with RosEnvironment(cfg, peer.context) as robots, pytest.raises(WorldError, match=says):
        robots.reset()
    robot.until(lambda: peer.node.count_publishers("/live/spikes") == 0, "its end")


def test_motor_node_must_allow_direct_commands(tmp_path: Path) -> None:
    peer = Peer("other_robot")
    with start(tmp_path, "/spikes_only", direct=False):
        robot = Robot(peer, "/spikes_only")
        cfg = {**CFG, "namespace": "/spikes_only", "timeout": PATIENCE}
        try:
            says = pytest.raises(OrderNotExecutableError, match="set 'direct: true' among")
            with RosEnvironment(cfg, peer.context) as environment, says:
                environment.execute({"a": 0.0, "b": 0.0})
            assert not robot.arm.heard
        finally:
            robot.close()
            peer.close()


def test_motor_node_that_is_not_there(peer: Peer) -> None:
    cfg = {**CFG, "namespace": "/nobody", "timeout": 0.5}
    says = pytest.raises(OrderNotExecutableError, match=r"not ready after 0\.5 s; it does not ans")
    with RosEnvironment(cfg, peer.context) as environment, says:
        environment.execute({"a": 0.0, "b": 0.0})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"motors": {}}, "at least one channel each"),
        ({"populations": {"A": 0}}, "populations.A: 0 is not allowed"),
        ({"motors": {"a": {"lower": 0, "upper": 1, "mode": "force"}}}, "motors.a.mode: 'force'"),
        ({"sensors": {"s": {}}}, "sensors.s: field: must have either"),
        ({"sensors": {"s": {"joint": "a", "field": "b"}}}, "must have either"),
        ({"sensors": {"s": {"joint": "a", "type": "std_msgs/msg/Float64"}}}, "JointState"),
        ({"sensors": {"s": {"field": "a b"}}}, "'a b' must be a name"),
        ({"sensors": {"s": {"field": "data", "type": "std_msgs/msg/Floot"}}}, "sensors.s.type"),
    ],
)
def test_settings_that_are_not_allowed(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RosEnvironment({**CFG, **changes})
