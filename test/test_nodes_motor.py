"""The motor node as a robot, a brain and an operator see it, over DDS.

Cycles last 0.2 s here, so that being busy for a moment does not look like a node that is late.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ab_ros.msg import PopulationSpikes
from motor_rig import BRAIN, CONTRACT, CYCLE, DT, NEURONS, Rig, T, motor
from ros_process import NodeProcess, Peer
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from ab_ros.contract import Contract
from ab_ros.motion import Code, Command, GroupSettings, Quantity, State
from ab_ros.nodes import qos
from ab_ros.nodes.command_outputs import finish_playing, make_output
from ab_ros.nodes.messages import packed, seconds, to_time

pytestmark = pytest.mark.ros

STEP = 0.002  # what a spike asks for, per timestep
JITTER = 1.0  # s; how late a busy computer may be in publishing, stopping and hearing of it

GROUPS = """
      arm: {channels: [a, b], topic: arm/cmd, period: 0.02}
      forward: {channels: [c], topic: forward/cmd, interface: position, period: 0.02}
      hand: {channels: [g], topic: hand/cmd, interface: gripper, period: 0.02}
      js: {channels: [j], topic: js/cmd, interface: joint_state, period: 0.02}
      wheel: {channels: [w], topic: wheel/cmd, interface: velocity, period: 0.02}
      base: {channels: [linear_x], topic: cmd_vel, interface: twist, period: 0.02}
      turn: {channels: [angular_z], topic: cmd_vel_stamped, interface: twist_stamped, period: 0.02}
"""
CHANNELS = ("a", "b", "c", "g", "j", "w", "linear_x", "angular_z")
MOVED = ("a", "c", "g", "j", "w", "linear_x", "angular_z")


def mapping(*channels: str) -> str:
    return "".join(
        f"      m{index}: {{population: A, channel: {name}, per_step_max: {STEP}}}\n"
        for index, name in enumerate(channels)
    )


def limits(*channels: str) -> str:
    lines = ""
    for name in channels:
        wheel = name in ("w", "linear_x", "angular_z")
        own = "acceleration: 4.0" if wheel else "lower: -90.0, upper: 90.0, acceleration: 20.0"
        lines += f"      {name}: {{velocity: 2.0, {own}}}\n"
    return lines


def parameters(
    folder: Path,
    *,
    groups: str = GROUPS,
    moved: Sequence[str] = MOVED,
    limited: Sequence[str] = CHANNELS,
    more: str = "",
    name: str = "motor.yaml",
) -> Path:
    path = folder / name
    text = f"/**:\n  ros__parameters:\n    mapping:\n{mapping(*moved)}    groups:{groups}"
    if limited:
        text += f"    limits:\n{limits(*limited)}"
    path.write_text(text + more)
    return path


ARM_ONLY: dict[str, Any] = {
    "groups": "\n      arm: {channels: [a, b], topic: arm/cmd, period: 0.02}\n",
    "moved": ("a", "b"),
    "limited": ("a", "b"),
}


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("robot_and_brain")
    yield peer
    peer.close()


@contextlib.contextmanager
def rigged(peer: Peer, path: Path, *arguments: str, **options: Any) -> Iterator[Rig]:
    with motor(path, *arguments) as process:
        rig = Rig(peer, process, **options)
        try:
            rig.subscribed()
            yield rig
        finally:
            rig.close()


@pytest.fixture(scope="module")
def moving(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One motor node with a group of every interface; the tests below share it."""
    path = parameters(tmp_path_factory.mktemp("motor"))
    with rigged(peer, path) as rig:
        yield rig


@pytest.fixture
def rig(moving: Rig, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The shared node, executing cycles of a run of its own for each test."""
    moving.bad.clear()
    moving.neuron = 0
    moving.begin(request.node.name)
    moving.feeling = True
    moving.ready()
    moving.beating = True
    moving.executed(2)
    yield moving
    moving.beating = False


def rest(rig: Rig) -> None:
    """Wait until nothing moves because no spikes come."""
    rig.beating = False
    rig.reaches(State.HOLDING, Code.STALE_SPIKES)
    rig.listen(3 * CYCLE)


def picture(rig: Rig) -> list[Any]:
    """What has been commanded, for "nothing moves": positions, and velocities that hold."""
    return [rig.where(), *(values.value for values in rig.velocities)]


# ------------------------------------------------------------------------------------- moving


def test_every_cycle_has_one_answer_and_every_interface_its_commands(rig: Rig) -> None:
    rig.executed(3)
    rest(rig)
    for run, number in rig.sent:
        assert len(rig.answers(run, number)) == 1, (run, number)
    done = rig.done.last
    assert done.commands == 7
    assert done.duration == pytest.approx(CYCLE)
    assert 0.0 <= done.latency < 10.0
    for _, message in rig.arm.heard:
        assert message.joint_names == ["a", "b"]
        times = [seconds(point.time_from_start) for point in message.points]
        assert times[0] == pytest.approx(0.02)
        assert np.all(np.diff(times) > 0.0)
        assert list(message.points[-1].velocities) == [0.0, 0.0]
        assert all(len(point.positions) == 2 for point in message.points)
    at = rig.where()
    assert at["b"] == 0.0
    assert at["a"] > 3 * STEP * T
    # Played point by point, they end where the trajectory does.
    for name in ("c", "g", "j"):
        assert at[name] == pytest.approx(at["a"], abs=2 * STEP * T)
    for values in (rig.forward, rig.state_command):
        steps = np.diff(values.values)
        assert np.all(steps >= -1e-12)
        assert len(values.heard) > len(rig.done.heard)
    assert list(rig.state_command.last.name) == ["j"]
    for values in rig.velocities:
        assert max(values.values) == pytest.approx(STEP / DT)
        assert values.value == 0.0
        # It speeds up and ramps down rather than jumping.
        assert any(0.0 < value < STEP / DT * 0.99 for value in values.values)
    assert rig.stamped.last.header.stamp.sec > 0


def test_spikes_of_the_other_half_move_back(rig: Rig) -> None:
    before = rig.where()["a"]
    rig.neuron = 2
    rig.peer.until(lambda: rig.where()["a"] < before - STEP * T, "moving back")


# ------------------------------------------------------------------------------------ stopping


def stopped(rig: Rig, since: float) -> None:
    """Check that the robot stands within two cycles of a moment, by what it was commanded."""
    rig.peer.until(lambda: rig.status.last.state == State.HOLDING, "a stop")
    rig.listen(0.4)
    ends = {"arm": rig.arm.moved_until()}
    ends |= {f"position {i}": values.moved_until() for i, values in enumerate(rig.positions)}
    ends |= {f"velocity {i}": values.moved_until(True) for i, values in enumerate(rig.velocities)}
    for name, end in ends.items():
        assert end - since < 2 * CYCLE + JITTER, (name, end - since)
    before = picture(rig)
    rig.listen(CYCLE)
    assert picture(rig) == before


def test_the_robot_stops_when_spikes_stop_and_goes_on_with_the_next(rig: Rig) -> None:
    rig.beating = False
    stopped(rig, max(rig.sent.values()))
    assert rig.status.last.code == Code.STALE_SPIKES
    assert "no fresh cycle" in rig.status.last.message
    rig.beating = True
    rig.executed(2)
    assert rig.reaches(State.ACTIVE).code in (Code.OK, Code.DRIFT)


def test_the_robot_stops_when_joint_states_stop_and_goes_on_with_the_next(rig: Rig) -> None:
    rig.feeling = False
    stopped(rig, rig.last_state)
    assert rig.status.last.code == Code.STALE_STATE
    assert "joint state of a, b" in rig.status.last.message
    refused = rig.answer(*rig.send())
    assert not refused.executed
    assert refused.code == Code.STALE_STATE
    rig.feeling = True
    rig.executed(2)


def test_the_robot_stops_when_the_brain_is_killed(rig: Rig) -> None:
    rig.beating = False
    with NodeProcess(BRAIN, "killed") as brain:
        rig.peer.until(lambda: rig.done.last.run == "killed" and rig.done.last.executed, "cycles")
        rig.executed(2)
        brain.process.kill()
        brain.process.wait(10.0)
        # A cycle that it sent last may still be on its way.
        since = time.monotonic()
        stopped(rig, since)
    assert rig.status.last.code == Code.STALE_SPIKES
    rig.begin("next brain")
    rig.beating = True
    rig.executed(1)


def test_a_joint_state_that_is_not_finite_holds_the_robot_until_the_next(rig: Rig) -> None:
    rig.bad["b"] = math.nan
    since = time.monotonic()
    status = rig.reaches(State.HOLDING, Code.NON_FINITE)
    assert "position of 'b' is nan" in status.message
    stopped(rig, since)
    assert all(math.isfinite(value) for value in status.commanded)
    rig.process.wait_for("joint_states: position of 'b' is nan")
    rig.bad["b"] = math.inf
    rig.listen(0.2)
    assert rig.status.last.state == State.HOLDING
    rig.bad.clear()
    rig.executed(2)
    assert rig.status.last.state == State.ACTIVE


def test_a_halt_stays_until_resume(rig: Rig) -> None:
    halted = rig.trigger("halt")
    since = time.monotonic()
    assert halted.success
    stopped(rig, since)
    refused = rig.answer(*rig.send())
    assert (refused.executed, refused.code) == (False, Code.HALTED)
    # Neither a new run nor a gap in the joint states lets go of it.
    rig.feeling = False
    rig.listen(0.6)
    rig.feeling = True
    rig.begin("after the halt")
    assert rig.answer(*rig.send()).code == Code.HALTED
    assert rig.trigger("resume").success
    rig.executed(2)
    again = rig.trigger("resume")
    assert not again.success
    assert "nothing to resume from" in again.message


# ------------------------------------------------------------------------------------ refusing


def population(name: str = "A", size: int = NEURONS, t: Any = (), neuron: Any = ()) -> Any:
    return [PopulationSpikes(id=name, size=size, t=packed(t, "H"), neuron=packed(neuron, "I"))]


REFUSED: dict[str, tuple[dict[str, Any], Code, str]] = {
    "another run": ({"run": "another"}, Code.WRONG_RUN, "the run is"),
    "a repeated cycle": ({"number": 0}, Code.WRONG_RUN, "comes after cycle"),
    "a late timestep": ({"populations": population(t=[T], neuron=[0])}, Code.BAD_FRAME, "below 40"),
    "no such neuron": (
        {"populations": population(t=[0], neuron=[NEURONS])}, Code.BAD_FRAME, "below 4",
    ),
    "uneven lists": (
        {"populations": population(t=[0, 1], neuron=[0])}, Code.BAD_FRAME, "but 1 neurons",
    ),
    "no such population": (
        {"populations": [*population(), *population("Z")]}, Code.BAD_FRAME, "'Z'; one of: A",
    ),
    "twice": ({"populations": [*population(), *population()]}, Code.BAD_FRAME, "comes twice"),
    "none at all": ({"populations": []}, Code.BAD_FRAME, "timesteps"),
    "another size": ({"populations": population(size=5)}, Code.BAD_FRAME, "[T, 4]"),
    "an absurd size": ({"populations": population(size=2**32 - 1)}, Code.BAD_FRAME, "at most"),
    "another length": ({"timesteps": T + 1}, Code.BAD_FRAME, "the contract says 40"),
    "dt of NaN": ({"dt": math.nan}, Code.BAD_FRAME, "dt must be greater than 0"),
    "dt of 0": ({"dt": 0.0}, Code.BAD_FRAME, "dt must be greater than 0"),
    "dt of infinity": ({"dt": math.inf}, Code.BAD_FRAME, "dt must be"),
    "dt too long": ({"dt": 1e300}, Code.BAD_FRAME, "dt within"),
    "long ago": ({"stamp": 5.0}, Code.LATE_CYCLE, "s ago"),
    "ahead": ({"stamp": 2e9}, Code.LATE_CYCLE, "ahead of the clock"),
}  # fmt: skip


def test_wrong_spikes_are_refused_with_a_reason_and_move_nothing(rig: Rig) -> None:
    rest(rig)
    before = picture(rig)
    refused = rig.status.last.cycles_refused
    for what, (changes, code, says) in REFUSED.items():
        run, number = rig.send(**changes)
        heard = 2 if what == "a repeated cycle" else 1
        rig.peer.until(lambda n=heard, c=(run, number): len(rig.answers(*c)) >= n, what)
        answer = rig.answers(run, number)[-1]
        assert (answer.executed, answer.code, answer.commands) == (False, code, 0), what
        assert says in answer.reason, (what, answer.reason)
        assert math.isfinite(answer.duration), what
    # What was refused is answered for: a corrected cycle of its number comes too late.
    rig.send(number=rig.number - 1)
    rig.peer.until(lambda: rig.done.last.code == Code.WRONG_RUN, "the refusal")
    rig.peer.until(
        lambda: rig.status.last.cycles_refused == refused + len(REFUSED) + 1, "the count"
    )
    rig.listen(CYCLE)
    assert picture(rig) == before


def test_a_run_that_is_announced_again_does_not_let_its_cycles_through_twice(rig: Rig) -> None:
    rest(rig)
    before = picture(rig)
    rig.publish_contract(CONTRACT, rig.run)
    rig.listen(0.3)
    number = rig.number - 1
    rig.send(number=number)
    rig.peer.until(lambda: len(rig.answers(rig.run, number)) == 2, "the refusal")
    assert rig.answers(rig.run, number)[1].code == Code.WRONG_RUN
    assert picture(rig) == before


def test_a_later_run_that_the_mapping_does_not_fit_is_refused(rig: Rig) -> None:
    rest(rig)
    other = Contract.from_dict(
        {"constants": {"gamma": T}, "io": {"outputs": [{"id": "B", "n": 4}]}}
    )
    rig.publish_contract(other, "other brain")
    rig.process.wait_for("no output population 'A'; one of: B")
    answer = rig.answer(*rig.send(run="other brain", number=0))
    assert not answer.executed
    assert "no output population 'A'" in answer.reason


# -------------------------------------------------------------------------------------- tuning


def test_a_gain_and_a_limit_hold_from_the_next_cycle_on(rig: Rig) -> None:
    assert rig.peer.set_parameters("motor", mapping__m4__gain=0.5).successful
    rig.executed(2)
    rig.peer.until(lambda: rig.wheel.value == pytest.approx(0.5 * STEP / DT), "half the speed")
    assert rig.peer.set_parameters("motor", limits__w__velocity=0.125).successful
    rig.executed(2)
    rig.peer.until(lambda: rig.wheel.value == pytest.approx(0.125), "the limit")
    rig.peer.until(lambda: "w: velocity" in rig.status.last.limited, "its report")
    assert rig.peer.set_parameters(
        "motor", mapping__m4__gain=1.0, limits__w__velocity=2.0
    ).successful
    rig.peer.until(lambda: rig.wheel.value == pytest.approx(STEP / DT), "the old speed")


def test_contradictory_changes_are_rejected_with_a_reason(rig: Rig) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"limits__a__lower": 91.0}, "lower must be less than upper"),
        ({"limits__a__velocity": -1.0}, "limits.a.velocity"),
        ({"limits__a__velocity": math.nan}, "limits.a.velocity"),
        ({"limits__a__acceleration": 1e-3}, "to brake from its velocity"),
        ({"limits__a__margin": 100.0}, "leaves nothing"),
        ({"mapping__m0__clamp": [0.1, 0.2]}, "excludes 0"),
        ({"mapping__m0__scheme": "bipolar"}, "one of: bipolarSplit"),
        ({"pacing": "lockstep"}, "read-only"),
    ]
    for changes, says in cases:
        result = rig.peer.set_parameters("motor", **changes)
        assert not result.successful, changes
        assert says in result.reason, result.reason
    rig.executed(1)


# ------------------------------------------------------------------------------------- process


def test_a_second_motor_node_of_one_name_does_not_become_active(rig: Rig, tmp_path: Path) -> None:
    topics = len(rig.peer.node.get_publishers_info_by_topic("/arm/cmd"))
    with motor(parameters(tmp_path)) as second:
        second.wait_for("another node named /motor is running, and does not become active")
        # On a busy computer it may learn of the first one late; it then stops, and stays so.
        rig.listen(0.7)
        before = set(rig.sent)
        rig.executed(3)
        rig.listen(0.1)
        for run, number in sorted(set(rig.sent) - before)[1:-1]:
            assert len(rig.answers(run, number)) == 1
        second.signal(signal.SIGTERM)
        assert second.end() == 0
    assert topics == 1


def test_on_a_signal_the_robot_is_stopped_first(peer: Peer, tmp_path: Path) -> None:
    # One wheel needs 0.8 s to stop, the others 0.1 s: all of them reach zero.
    text = parameters(tmp_path).read_text()
    slow = "w: {velocity: 2.0, acceleration: 0.5}"
    text = text.replace("w: {velocity: 2.0, acceleration: 4.0}", slow)
    assert slow in text
    (tmp_path / "slow.yaml").write_text(text)
    signals = {"/terminated": signal.SIGTERM, "/interrupted": signal.SIGINT}
    with contextlib.ExitStack() as stack:
        rigs = {}
        for name in signals:
            node = rigged(peer, tmp_path / "slow.yaml", "-r", f"__ns:={name}", namespace=name)
            rigs[name] = stack.enter_context(node)
        for rig in rigs.values():
            rig.begin("signal")
            rig.feeling = True
            rig.ready()
            rig.beating = True
        heard = {}
        for name, rig in rigs.items():
            peer.until(lambda r=rig: (r.wheel.value or 0.0) > 0.3, "moving")
            heard[name] = len(rig.wheel.heard)
            rig.process.signal(signals[name])
        for rig in rigs.values():
            peer.until(lambda r=rig: r.process.process.poll() is not None, "the end")
            assert rig.process.end() == 0
            assert not any("Traceback" in line for line in rig.process.errors)
            rig.beating = False
        rig.listen(0.3)
        pictures = [picture(rig) for rig in rigs.values()]
        for name, rig in rigs.items():
            assert [values.value for values in rig.velocities] == [0.0, 0.0, 0.0]
            # Ramped down, not thrown down.
            assert len(rig.wheel.heard) > heard[name] + 3
        rig.listen(CYCLE)
        assert [picture(rig) for rig in rigs.values()] == pictures


# ----------------------------------------------------------------------- limits and wrong files

URDF = """<robot name="r">{}</robot>"""
JOINT = """<joint name="{}" type="revolute"><limit lower="-1" upper="1" velocity="{}" effort="1"/>
</joint>"""


def test_limits_that_the_file_lacks_are_waited_for(peer: Peer, tmp_path: Path) -> None:
    path = parameters(tmp_path, groups=ARM_ONLY["groups"], moved=("a", "b"), limited=())
    description = peer.node.create_publisher(
        String, "/waits/robot_description", qos.own(qos.LATCHED)
    )
    with rigged(peer, path, "-r", "__ns:=/waits", namespace="/waits") as rig:
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
        # A description without what is needed changes nothing.
        description.publish(String(data=URDF.format("")))
        rig.process.wait_for("channel 'a' has no velocity limit; give limits.a.velocity")
        rig.peer.until(lambda: "a: position" in rig.status.last.limited, "the URDF's limit")
        rig.beating = False
        rig.reaches(State.HOLDING)
        assert max(rig.status.last.commanded) <= 1.0
        assert max(max(p.positions) for _, m in rig.arm.heard for p in m.points) <= 1.0
    peer.node.destroy_publisher(description)


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
    "not here": (
        "topic: arm/cmd", "topic: arm/cmd, interface: joint_jog",
        ["groups.arm.interface", "'joint_jog' is not available"],
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


def test_a_mapping_that_the_brain_does_not_fit_ends_the_node(peer: Peer, tmp_path: Path) -> None:
    with rigged(
        peer, parameters(tmp_path, **ARM_ONLY), "-r", "__ns:=/misfit", namespace="/misfit"
    ) as rig:
        outputs = [{"id": "B", "n": 4}, {"id": "C", "n": 4}]
        other = Contract.from_dict({"constants": {"gamma": T}, "io": {"outputs": outputs}})
        rig.publish_contract(other, "misfit")
        assert rig.process.end() == 2
        said = [line for line in rig.process.errors if "does not fit" in line]
        assert len(said) == 1
        assert "'A' to 'a'" in said[0]
        assert "one of: B, C" in said[0]


# --------------------------------------------------------------------------------- other clocks


@contextlib.contextmanager
def ticking(peer: Peer, clock: Callable[[], float]) -> Iterator[None]:
    """Publish a robot's clock."""
    publisher = peer.node.create_publisher(Clock, "/clock", 10)
    timer = peer.node.create_timer(0.01, lambda: publisher.publish(Clock(clock=to_time(clock()))))
    try:
        yield
    finally:
        peer.node.destroy_timer(timer)
        peer.node.destroy_publisher(publisher)


def test_a_clock_that_goes_back_throws_away_what_still_plays(peer: Peer, tmp_path: Path) -> None:
    begun, offset = time.monotonic(), [1000.0]

    def clock() -> float:
        return time.monotonic() - begun + offset[0]

    path = parameters(
        tmp_path,
        # Slow enough to be moving for long after a cycle.
        more="    following_error: 0.0\n    max_cycle_age: 5.0\n    spike_timeout: 30.0\n"
        "    steady_timeout: 30.0\n",
    )
    arguments = ("-r", "__ns:=/timed", "-p", "use_sim_time:=true")
    with (
        ticking(peer, clock),
        rigged(peer, path, *arguments, namespace="/timed", clock=clock) as rig,
    ):
        rig.begin("timed")
        rig.feeling = True
        rig.ready()
        rig.known()
        assert rig.forward.value is None
        # A cycle of 4 s.
        assert rig.answer(*rig.send(dt=0.1)).executed
        rig.peer.until(lambda: (rig.forward.value or 0.0) > 0.0, "the first points")
        rig.feeling = False
        offset[0] = 100.0
        status = rig.reaches(State.HOLDING, Code.CLOCK_JUMP)
        assert "went back" in status.message
        rig.peer.until(lambda: rig.wheel.value == 0.0, "the wheels' stop")
        at = picture(rig)[0]
        rig.listen(2 * CYCLE)
        assert picture(rig)[0]["c"] == at["c"] < STEP * T / 2
        assert picture(rig)[0]["j"] == at["j"]
        assert all(values.value == 0.0 for values in rig.velocities)
        # The robot was reset together with its clock; it is not driven back.
        rig.feel(c=0.0, j=0.0)
        rig.reaches(State.ACTIVE)
        assert picture(rig)[0]["c"] == at["c"]
        assert rig.answer(*rig.send()).executed
        rig.listen(CYCLE)
        assert 0.0 < rig.where()["c"] <= STEP * T * 1.001


def test_in_lockstep_a_cycle_waits_for_its_joint_state_but_not_for_ever(
    peer: Peer, tmp_path: Path
) -> None:
    path = parameters(tmp_path, more="    pacing: lockstep\n    steady_timeout: 0.5\n")
    now = [0.0]
    arguments = ("-r", "__ns:=/steps", "-p", "use_sim_time:=true")
    with rigged(peer, path, *arguments, namespace="/steps", clock=lambda: now[0]) as rig:
        rig.begin("steps")
        now[0] = 1.0
        rig.peer.until(lambda: rig.status.last.state == State.SEEDING, "an active node")
        rig.feel()
        rig.peer.until(lambda: rig.status.last.state != State.SEEDING, "a seed")
        rig.known()
        assert rig.answer(*rig.send()).executed
        rig.peer.until(lambda: rig.hand.heard and rig.wheel.heard, "commands")
        # In lockstep the end of the cycle is commanded at once.
        for values in (rig.forward, rig.state_command):
            rig.peer.until(lambda v=values: (v.value or 0.0) > 0.9 * STEP * T, "the end")
        now[0] += CYCLE
        waits = rig.send()
        rig.listen(0.1)
        assert not rig.answers(*waits)
        rig.feel()
        assert rig.answer(*waits).executed
        now[0] += CYCLE
        never = rig.answer(*rig.send())
        assert (never.executed, never.code) == (False, Code.STALE_STATE)
        assert "the joint state that the brain saw had not come" in never.reason
        # Two cycles at once: the first one is refused, each has its answer.
        first, second = rig.send(), rig.send()
        assert not rig.answer(*first).executed
        rig.feel()
        assert rig.answer(*second).executed
        # A node that ends answers for what it leaves.
        now[0] += CYCLE
        left = rig.send()
        rig.listen(0.1)
        rig.process.signal(signal.SIGINT)
        assert rig.answer(*left).code == Code.NOT_ACTIVE
        assert rig.process.end() == 0
        rig.listen(0.2)
        assert all(len(rig.answers(*cycle)) == 1 for cycle in rig.sent)
        # Those of executed cycles, and the stop at the end.
        assert len(rig.arm.heard) <= sum(m.executed for _, m in rig.done.heard) + 1


# ------------------------------------------------------------------- playing, without processes


class Stage:
    """Stands for the node: two clocks that the test moves, and what is published."""

    def __init__(self) -> None:
        self.steady, self.robot = 50.0, 1000.0
        self.published: list[float] = []
        self.broken = False

    def advertise(self, *_: object) -> Any:
        return self

    def every(self, *_: object, **__: object) -> None:
        pass

    def publish(self, message: Any) -> None:
        if self.broken:
            raise RuntimeError("the network is gone")
        self.published.append(float(message.data[0]))

    def steady_now(self) -> float:
        return self.steady

    def now(self) -> float:
        return self.robot

    def wait(self, steady: float, robot: float | None = None) -> None:
        self.steady += steady
        self.robot += steady if robot is None else robot


def command(values: Sequence[float], interface: str, stop: bool = False) -> Command:
    points = np.array(values)[:, None]
    return Command(
        "x", "x/cmd", interface, Quantity(interface), ("x",), 0.01 * np.arange(1, len(values) + 1),
        points, None, points[0], points[0], len(values), stop,
    )  # fmt: skip


def output(node: Stage, interface: str = "position") -> Any:
    settings = GroupSettings(channels=("x",), topic="x/cmd", interface=interface)
    return make_output(node, "x", settings, lockstep=False)


def test_points_are_played_in_their_time() -> None:
    node = Stage()
    out = output(node)
    out.send(command([1.0, 2.0, 3.0], "position"))
    out.play()
    assert node.published == []
    for _ in range(5):
        node.wait(0.0101)
        out.play()
    assert node.published == [1.0, 2.0, 3.0]
    assert not out.playing


def test_a_robot_whose_clock_is_slow_is_not_driven_faster() -> None:
    node = Stage()
    out = output(node)
    out.send(command([1.0, 2.0, 3.0], "position"))
    for _ in range(4):
        node.wait(0.0101, robot=0.0051)
        out.play()
    assert node.published == [1.0, 2.0]
    node.wait(1.0, robot=-5.0)
    out.play()
    assert node.published == [1.0, 2.0]


def test_a_stop_is_played_even_if_the_robots_clock_stands_still() -> None:
    node = Stage()
    out = output(node, "velocity")
    out.send(command([0.5, 0.0], "velocity", stop=True))
    for _ in range(3):
        node.wait(0.0101, robot=0.0)
        out.play()
    assert node.published == [0.5, 0.0]


def test_what_was_discarded_never_plays() -> None:
    node = Stage()
    out = output(node)
    out.send(command([1.0, 2.0], "position"))
    out.discard()
    node.wait(1.0)
    out.play()
    assert node.published == []
    assert not out.playing


def test_stops_are_finished_together_and_a_long_one_is_cut_short() -> None:
    short, long, still = Stage(), Stage(), Stage()
    outs = [output(short, "velocity"), output(long, "velocity"), output(still)]
    outs[0].send(command([0.5, 0.0], "velocity", stop=True))
    outs[1].send(command(np.linspace(1.0, 0.0, 1000).tolist(), "velocity", stop=True))
    outs[2].send(command(np.linspace(1.0, 0.0, 1000).tolist(), "position", stop=True))
    nodes = (short, long, still)

    def steady() -> float:
        for node in nodes:
            node.wait(0.005)
        return short.steady

    finish_playing(outs, steady, lambda *_: pytest.fail("all can publish"))
    assert short.published[-1] == long.published[-1] == 0.0
    # A position stays where it is rather than jumping to its end.
    assert still.published[-1] > 0.3
    assert not any(out.playing for out in outs)


def test_an_output_that_cannot_publish_does_not_keep_others_from_stopping() -> None:
    broken, good = Stage(), Stage()
    outs = [output(broken, "velocity"), output(good, "velocity")]
    for out in outs:
        out.send(command([0.5, 0.0], "velocity", stop=True))
    broken.broken = True
    failed = []

    def steady() -> float:
        broken.wait(0.005)
        good.wait(0.005)
        return good.steady

    finish_playing(outs, steady, lambda out, error: failed.append((out, str(error))))
    assert good.published == [0.5, 0.0]
    assert failed == [(outs[0], "the network is gone")]
