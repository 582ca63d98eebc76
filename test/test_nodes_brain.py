"""The brain node in a process of its own; the test plays sensors, motor node and critic."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ros_process import Peer

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("ab_ros.msg", reason="needs the built messages")

from ab_ros.msg import BrainStatus
from brain_rig import PERIOD, YAML, World
from lifecycle_msgs.msg import Transition
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool

from ab_ros.nodes import qos
from ab_ros.nodes.messages import read_brain_contract, read_spike_raster, seconds, to_time
from ab_ros.nodes.robot_messages import image

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer("brain_test")
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("brain") / "brain.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture
def world(peer: Peer) -> Iterator[World]:
    world = World(peer)
    yield world
    world.close()


def test_in_lockstep_a_cycle_waits_for_sensors_answer_and_reward(world: World, yaml: Path) -> None:
    with world.brain(yaml, "wait_for_reward:=true", "answer_timeout:=60.0"):
        world.until(lambda: world.contracts, "the contract")
        contract = read_brain_contract(world.contracts[0])  # checks the digest
        assert [(port.id, port.n) for port in contract.outputs] == [("pan", 8)]
        run = world.contracts[0].run
        world.until_heard()
        world.until_state(BrainStatus.WAITING, "waits for a new sample of camera, joints")
        world.look(1.0)
        world.until_cycles(1)
        cycle = read_spike_raster(world.spikes[0], contract)
        assert (cycle.run, cycle.number, cycle.timesteps) == (run, 0, 20)
        assert cycle.observed == cycle.stamp == pytest.approx(1.0)

        # Of another run, repeated, unusable: all refused and counted, and none moves the loop on.
        world.look(1.02)
        world.done(0, run="another")
        world.done(7)
        world.reward(0, 0.5, run="another")
        world.reward(9, 0.5)
        world.deviation(0, [0.5] * 19)
        world.deviation(0, [0.5] * 20, feedback="nobody")
        world.deviation(0, [math.nan] * 20)
        world.until_count(
            cycle_done_of_another_run=1,
            cycle_done_of_a_cycle_to_come=1,
            reward_of_another_run=1,
            reward_of_a_cycle_to_come=1,
            deviation_refused=3,
        )
        assert len(world.spikes) == 1

        # The reward may come first; the cycle waits for all that it announces.
        world.reward(0, 0.8, deviations=4)
        world.done(0)
        world.done(0)
        world.until_count(cycle_done_repeated=1)
        assert len(world.spikes) == 1
        world.deviation(0, [1.0] * 20)
        world.until_cycles(2)
        # Sensors that it has seen already are not new.
        world.done(1)
        world.reward(1, math.nan)
        world.look(1.02)
        world.until_count(reward_refused=1)
        world.until_state(BrainStatus.WAITING, "waits for a new sample")
        assert len(world.spikes) == 2
        world.reward(1, 1.5)
        world.reward(1, 0.7)
        world.reward(0, 0.7)
        world.until_count(reward_refused=2, reward_repeated=3)
        # A refused reward is a reward that has come.
        world.look(1.04)
        world.until_cycles(3)


def test_it_learns_from_rewards_alone_and_goes_on_from_a_saved_brain(
    world: World, yaml: Path, tmp_path: Path
) -> None:
    file = tmp_path / "brain.db"
    with world.brain(yaml, f"save_file:={file}", "autosave:=0.0") as node:
        world.until(lambda: world.contracts, "the contract")
        world.until_heard()
        for cycle in range(5):
            world.look(1.0 + 0.02 * cycle)
            world.until_cycles(cycle + 1)
            world.reward(cycle, 1.0)
            world.done(cycle)
        assert not file.exists()
        node.signal(signal.SIGTERM)
        assert node.end() == 0
        assert file.exists()
        world.until_state(BrainStatus.INACTIVE)

    before, written = file.read_bytes(), file.stat().st_mtime_ns
    other = World(world.peer)
    with other.brain(yaml, f"file:={file}", f"save_file:={file}", "learning:=false") as node:
        other.until(lambda: other.contracts, "the contract")
        assert other.contracts[0].run != world.contracts[0].run
        assert other.contracts[0].sha256 == world.contracts[0].sha256
        other.until_heard()
        other.look(2.0)
        other.until_cycles(1)
        node.signal(signal.SIGINT)
        assert node.end() == 0
        assert any("goes on from" in line for line in node.errors + node.lines)
    other.close()
    # Nothing was learned, so nothing was written.
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, written)

    changed = tmp_path / "changed.yaml"
    changed.write_text(YAML.replace("size: 8", "size: 10"))
    for bad, says in ((changed, "wired differently"), (yaml, "is not that of the brain")):
        with world.brain(bad, f"file:={file}", "dt:=0.002" if bad is yaml else "seed:=2") as node:
            node.wait_for(says)
            assert node.end() == 2


def test_without_a_motor_node_it_says_so_and_goes_on(world: World, yaml: Path) -> None:
    with world.brain(yaml, "answer_timeout:=60.0"):
        world.until(lambda: world.contracts, "the contract")
        world.until_heard()
        # It does not begin before it is heard; only then it may be impatient.
        world.until_state(BrainStatus.WAITING, "waits for a new sample of camera, joints")
        world.set(answer_timeout=0.3)
        for cycle in range(3):
            world.look(1.0 + cycle)
            world.until_cycles(cycle + 1)
            world.until(lambda n=cycle: len(world.answers) > n, "an answer of the brain's own")
        answer = world.answers[0]
        assert (answer.run, answer.cycle, answer.executed) == (world.contracts[0].run, 0, False)
        assert answer.duration == pytest.approx(PERIOD) and "did not answer" in answer.reason
        world.until(
            lambda: any("goes on without an answer" in sentence for _, sentence in world.said),
            "word of it",
        )
        # An answer that comes late is not an error, and the next one counts as ever.
        world.done(1)
        world.set(answer_timeout=60.0)
        world.look(5.0)
        world.until_cycles(4)
        world.done(3)
        world.look(6.0)
        world.until_cycles(5)


def test_what_was_shown_before_a_moment_is_not_seen_after_it(world: World, yaml: Path) -> None:
    with world.brain(yaml, "stop_at_cycle:=1", "learning:=false"):
        world.until(lambda: world.contracts, "the contract")
        world.until_heard()
        world.look(1.0)
        world.until_cycles(1)
        world.done(0)
        world.until_state(BrainStatus.PAUSED, "before cycle 1")
        # The next samples have come; then the scene is changed.
        world.look(1.02)
        changed = 1.020002
        world.set(stop_at_cycle=2, not_before=changed)
        world.until_state(BrainStatus.WAITING, "waits for a new sample of camera, joints")
        world.look(changed)
        world.until_cycles(2)
        assert seconds(world.spikes[-1].observed) == pytest.approx(changed, abs=1e-9)


def test_in_real_time_services_steer_it_and_bad_samples_do_not_stop_it(
    world: World, yaml: Path, tmp_path: Path
) -> None:
    file = tmp_path / "brain.db"
    peer = world.peer

    def now() -> float:
        return peer.node.get_clock().now().nanoseconds * 1e-9

    # However late a busy computer looks at an image, it is not too old.
    patient = tmp_path / "patient.yaml"
    patient.write_text(yaml.read_text().replace("topic: camera,", "topic: camera, max_age: 3.0,"))
    with world.brain(patient, "pacing:=realtime", "stop_at_cycle:=5") as node:
        world.until(lambda: world.contracts, "the contract")
        world.until_heard()

        def paused() -> bool:
            world.look(now())  # again and again, as a camera does: one image may be lost
            return world.status.code == BrainStatus.PAUSED

        world.until(paused, "the pause")
        world.until_state(BrainStatus.PAUSED, "paused before cycle 5")
        assert world.status.cycle == 5
        world.until_cycles(5)
        stamps = [message.header.stamp for message in world.spikes]
        times = np.array([stamp.sec + 1e-9 * stamp.nanosec for stamp in stamps])
        # One period each; the first may be up to two late before they are counted anew.
        assert times[-1] - times[0] >= 2 * PERIOD
        refused = world.call("resume")
        assert not refused.success and "stop_at_cycle is 5" in refused.message

        refused = world.call("save")
        assert not refused.success and "save_file is empty" in refused.message
        wrong = peer.set_parameters(world.name, save_file=str(tmp_path / "nowhere" / "brain.db"))
        assert not wrong.successful and "save_file" in wrong.reason
        world.set(save_file=str(file))
        assert world.call("save").success and file.exists()

        assert world.call("pause").success
        world.set(stop_at_cycle=0)
        world.until_state(BrainStatus.PAUSED, "by ~/pause")
        assert world.call("resume").success

        # A wrong size, a wrong encoding, no number: refused and counted, and the cycles go on.
        torn = image(np.zeros((24, 32, 3), np.uint8), now())
        torn.height = 25
        world.look(now(), camera=torn, yaw=math.nan)
        # One after the other: in real time only the newest sample is kept.
        world.until_count(camera_refused=1, **{"joint_states refused": 1})
        unknown = image(np.zeros((24, 32, 3), np.uint8), now())
        unknown.encoding = "h264"
        world.look(now(), camera=unknown)
        world.until_count(camera_refused=2)
        small = image(np.zeros((2, 2, 3), np.uint8), now())
        world.look(now(), camera=small)
        world.until(lambda: "observation refused" in world.status.counter, "a refusal")
        seen = len(world.spikes)
        world.until(lambda: len(world.spikes) > seen + 5, "cycles after bad samples")

        # Sensors that fell silent are told.
        world.until(lambda: "no fresh sample of camera" in world.status.message, "silence")

        def learning(on: bool) -> None:
            answer = peer.call(SetBool, f"{world.name}/set_learning", SetBool.Request(data=on))
            assert answer.success
            world.until(lambda: world.status.learning is on, f"learning {on}")

        learning(False)
        learning(True)
        world.set(learning=False)
        world.until(lambda: not world.status.learning, "learning off by parameter")
        learning(True)

        written = file.stat().st_mtime_ns
        world.set(autosave=0.05)
        world.until(lambda: file.stat().st_mtime_ns != written, "an autosave")
        # A disk that cannot be written to is told, and does not stop the robot.
        world.set(save_file=str(tmp_path / "gone.db"), autosave=0.0)
        seen = len(world.spikes)
        world.until(lambda: len(world.spikes) > seen + 1, "cycles that are not saved yet")
        node.signal(signal.SIGINT)
        assert node.end() == 0
    assert (tmp_path / "gone.db").exists()


def test_the_life_cycle_can_be_driven_again_and_again(world: World, yaml: Path) -> None:
    peer, name = world.peer, world.name
    with world.brain(yaml, "autostart:=false"):
        assert peer.state(name) == "unconfigured"
        world.set(stop_at_cycle=2)  # nothing to apply it to yet
        assert peer.transition(name, Transition.TRANSITION_CONFIGURE)
        stamp = 1.0
        for again in (True, True, False):
            world.spikes.clear()
            runs = len(world.contracts)
            assert peer.transition(name, Transition.TRANSITION_ACTIVATE)
            world.until(lambda runs=runs: len(world.contracts) > runs, "a contract")
            world.until_heard()
            # Samples from before do not count.
            assert world.spikes == []
            for cycle in range(2):
                stamp += 1.0
                world.look(stamp)
                world.until_cycles(cycle + 1)
                world.done(cycle)
            world.until_state(BrainStatus.PAUSED, "paused before cycle 2")
            stamp += 1.0
            world.look(stamp)
            assert peer.transition(name, Transition.TRANSITION_DEACTIVATE)
            world.until_state(BrainStatus.INACTIVE)
            if not again:
                break
            assert peer.transition(name, Transition.TRANSITION_CLEANUP)
            world.until_unheard()
            assert peer.transition(name, Transition.TRANSITION_CONFIGURE)
        assert len({contract.run for contract in world.contracts}) == 3
        assert peer.transition(name, Transition.TRANSITION_ACTIVATE)
        world.until_state(BrainStatus.WAITING)
        assert world.status.cycle == 0


def test_a_clock_that_goes_back_does_not_stop_the_loop(world: World, yaml: Path) -> None:
    clock = world.peer.node.create_publisher(Clock, "/clock", qos.COMMAND)
    with world.brain(yaml, "use_sim_time:=true"):
        world.until(lambda: world.contracts, "the contract")
        world.until_heard()

        def reads(time: float) -> bool:
            # Word of the clock may be lost: it is sent without being acknowledged.
            clock.publish(Clock(clock=to_time(time)))
            return bool(world.status.header.stamp == to_time(time))

        world.until(lambda: reads(100.0), "the time")
        world.look(100.0)
        world.until_cycles(1)
        world.done(0)
        world.until(lambda: reads(3.0), "the time")
        world.until_count(clock_went_back=1)
        world.look(3.0)
        world.until_cycles(2)
        assert world.spikes[1].observed == to_time(3.0)
    world.peer.node.destroy_publisher(clock)
