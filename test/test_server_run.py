"""A run of a served brain, without sockets: what it asks, when it runs, what it learns, saves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_service import eventually
from server_rig import PATIENCE, architecture, chunk

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.errors import ProtocolError
from ab_ros.protocol.messages import (
    Chunk,
    CycleExecuted,
    NeedReceived,
    RewardGiven,
    RobotState,
    SetLearning,
)
from ab_ros.server.options import StartOptions
from ab_ros.server.run import Run, RunSettings
from ab_ros.values import Cycle, Deviation, Observation, Reward


class Watched(EmbeddedBrain):
    """A brain that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(architecture(), seed=3)
        self.seen: list[dict[str, Observation]] = []
        self.heard: list[tuple[str, Any, int]] = []

    def run_cycle(self, observe: Any, timeout: float = 0.0) -> Cycle:
        observations = {o.id: o for o in observe(None)}
        self.seen.append(observations)
        return super().run_cycle(lambda need: observations.values(), timeout)

    def done(self, cycle: int) -> None:
        self.heard.append(("done", None, cycle))

    def feedback(self, deviation: Any, cycle: int) -> None:
        self.heard.append(("feedback", deviation.values.tolist(), cycle))
        super().feedback(deviation, cycle)

    def feedback_raster(self, feedback: str, raster: Any, cycle: int) -> None:
        self.heard.append(("raster", raster.tolist(), cycle))
        super().feedback_raster(feedback, raster, cycle)

    def reward(self, reward: Reward, cycle: int) -> bool:
        self.heard.append(("reward", reward, cycle))
        return super().reward(reward, cycle)


class Robot:
    """The client of a run."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.backlog = 0

    def send(self, event: str, payload: Any) -> None:
        self.events.put((event, payload))

    def unsent(self) -> int:
        return self.backlog

    def expect(self, event: str, cycle: int) -> Any:
        name, payload = self.events.get(timeout=PATIENCE)
        assert (name, payload["cycle"]) == (event, cycle)
        return payload


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def passes(self, seconds: float, run: Run) -> None:
        """Let time pass after all that the run was told until now."""
        run.save().result(PATIENCE)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the runs of a test."""
    clock = Clock()
    monkeypatch.setattr("ab_ros.server.run.time", clock)
    return clock


@contextmanager
def running(tmp_path: Path, brain: EmbeddedBrain | None = None, **changes: Any) -> Iterator[Run]:
    options = {k: changes.pop(k) for k in ("gated", "deadline", "learning") if k in changes}
    run = Run(
        "p",
        brain or Watched(),
        tmp_path / "p.db",
        StartOptions(**{"gated": True, **options}),
        RunSettings(**{"linger": 60.0, **changes}),
    )
    run.begin()
    try:
        yield run
    finally:
        run.stop()
        assert run.wait(PATIENCE)


def give(run: Run, cycle: int, *inputs: str, **changes: Any) -> None:
    for input in inputs or ("cam", "joints"):
        run.take(Chunk.from_wire(chunk(run.id, cycle, input, **changes)))


def reward(run: Run, cycle: int, value: float, **layers: float) -> None:
    run.take(RewardGiven(run.id, cycle, Reward(value, layers)))


def one_cycle(run: Run, robot: Robot, cycle: int) -> Any:
    robot.expect("io:need", cycle)
    give(run, cycle)
    return robot.expect("cycle:update", cycle)


def test_it_asks_for_what_the_contract_lists_and_answers_with_spikes(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        robot = Robot()
        run.join(robot)
        need = robot.expect("io:need", 0)
        assert need["needs"] == [
            {"id": "cam", "kind": "Image"},
            {"id": "joints", "kind": "Proprioception"},
            {"id": "fb", "kind": "Feedback", "fromOutput": "out"},
        ]
        assert need["deadlineMs"] is None
        give(run, 0, "cam", seq=5)
        give(run, 0, "joints", seq=9)
        update = robot.expect("cycle:update", 0)
        assert update["received"] == {"cam": 5, "joints": 9}
        assert update["observed"] == 100.0
        assert all(row[1] == "out" and len(row[2]) == 6 for row in update["outputs"])
        assert update["telemetry"]["rate.out"] >= 0.0
        assert robot.expect("io:need", 1)
        assert run.state().cycle == 1


def test_a_gated_run_does_what_the_same_brain_does_here(tmp_path: Path) -> None:
    here = EmbeddedBrain(architecture(), seed=3)
    here.open()
    there = Watched()
    with running(tmp_path, there) as run:
        robot = Robot()
        run.join(robot)
        for cycle in range(8):
            update = one_cycle(run, robot, cycle)
            run.take(CycleExecuted(run.id, cycle))
            give(run, cycle, "fb")
            reward(run, cycle, cycle / 8)
            raster = np.zeros((10, 6), np.uint8)
            for t, _, bits in update["outputs"]:
                raster[t] = bits
            seen = list(there.seen[cycle].values())
            assert np.array_equal(
                here.run_cycle(lambda need, seen=seen: seen).rasters["out"], raster
            )
            here.feedback(Deviation("fb", np.full(4, 0.5, np.float32)), cycle)
            here.reward(Reward(cycle / 8), cycle)
    loaded = EmbeddedBrain.load(tmp_path / "p.db")
    assert np.array_equal(loaded.network.weights("see"), here.network.weights("see"))
    assert [what for what, _, _ in there.heard[:3]] == ["done", "feedback", "reward"]


def test_a_gated_cycle_waits_for_the_robot_and_for_every_input(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        robot.expect("io:need", 1)
        give(run, 1)
        assert len(brain.seen) == 1
        run.take(CycleExecuted(run.id, 0))
        robot.expect("cycle:update", 1)
        robot.expect("io:need", 2)
        run.take(CycleExecuted(run.id, 1))
        give(run, 2, "cam")
        assert len(brain.seen) == 2
        give(run, 2, "joints")
        robot.expect("cycle:update", 2)


def test_words_stand_for_samples(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain, hold=1e-9) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        assert set(brain.seen[0]) == {"cam", "joints"}
        for cycle, (cam, joints) in enumerate([("same", "none"), ("same", "same")], start=1):
            robot.expect("io:need", cycle)
            run.take(CycleExecuted(run.id, cycle - 1))
            run.take(NeedReceived(run.id, cycle, "cam", "Image", 0.0, cam))
            run.take(NeedReceived(run.id, cycle, "joints", "Proprioception", 0.0, joints))
            robot.expect("cycle:update", cycle)
        # The same picture still holds; what was silenced has nothing that could hold.
        assert brain.seen[1]["cam"] is brain.seen[0]["cam"]
        assert set(brain.seen[1]) == set(brain.seen[2]) == {"cam"}


def test_a_word_for_another_cycle_answers_nothing_and_is_counted(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        run.take(NeedReceived(run.id, 0, "cam", "Image", 0.0, "same"))
        assert run.counts() == {"needs answered late": 1}


def test_without_a_word_a_sample_holds_for_a_while_only(tmp_path: Path, clock: Clock) -> None:
    brain = Watched()
    with running(tmp_path, brain, hold=0.01, deadline=0.02) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        robot.expect("io:need", 1)
        run.take(CycleExecuted(run.id, 0))
        clock.passes(0.03, run)
        robot.expect("cycle:update", 1)
        assert brain.seen[1] == {}
        assert run.counts() == {"cam too old": 1, "joints too old": 1, "deadlines missed": 1}


def test_a_need_whose_deadline_passed_while_the_robot_moved_is_sent_again(
    tmp_path: Path, clock: Clock
) -> None:
    brain = Watched()
    with running(tmp_path, brain, deadline=0.2) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        robot.expect("io:need", 1)
        clock.passes(0.25, run)  # the robot takes longer than the deadline
        run.take(CycleExecuted(run.id, 0))
        assert robot.expect("io:need", 1)["deadlineMs"] == 200.0
        assert len(brain.seen) == 1
        give(run, 1)
        robot.expect("cycle:update", 1)
        assert run.counts() == {}


def test_a_sample_for_an_older_cycle_is_kept_but_answers_no_newer_need(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        robot.expect("io:need", 1)
        run.take(CycleExecuted(run.id, 0))
        give(run, 0, seq=7)
        assert len(brain.seen) == 1
        run.take(NeedReceived(run.id, 1, "cam", "", 0.0, "same"))
        run.take(NeedReceived(run.id, 1, "joints", "", 0.0, "same"))
        assert robot.expect("cycle:update", 1)["received"] == {"cam": 7, "joints": 7}


def test_older_and_repeated_samples_do_not_replace_newer_ones(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        robot.expect("io:need", 0)
        give(run, 0, "cam", seq=3, t=30.0)
        give(run, 0, "cam", seq=2, t=20.0)
        give(run, 0, "cam", seq=3, t=99.0)
        give(run, 0, "joints")
        robot.expect("cycle:update", 0)
        assert brain.seen[0]["cam"].stamp == 30.0
        assert run.counts() == {"cam out of order": 1}


def test_a_client_that_counts_from_1_again_is_not_ignored(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        robot.expect("io:need", 0)
        give(run, 0, "cam", seq=900, t=30.0)
        give(run, 0, "cam", seq=1, t=31.0)
        give(run, 0, "joints")
        assert robot.expect("cycle:update", 0)["received"]["cam"] == 1
        assert brain.seen[0]["cam"].stamp == 31.0


def test_robot_states_feed_proprioception_that_has_no_chunk(tmp_path: Path, clock: Clock) -> None:
    brain = Watched()
    with running(tmp_path, brain, deadline=0.01) as run:
        robot = Robot()
        run.join(robot)
        run.take(RobotState(run.id, (0.5, -0.5, 9.0), (1.0, 2.0, 3.0), t=55.0))
        give(run, 0, "cam")
        robot.expect("io:need", 0)
        clock.passes(0.02, run)
        robot.expect("cycle:update", 0)
        joints = brain.seen[0]["joints"]
        assert joints.meta["names"] == ("pan", "tilt") and joints.stamp == 55.0
        assert np.array_equal(np.asarray(joints.data)[:2], [[0.5, -0.5], [1.0, 2.0]])
        run.take(RobotState(run.id, (0.1, 0.2, 0.3), (), names=("tilt", "other", "pan"), t=56.0))
        run.take(CycleExecuted(run.id, 0))
        robot.expect("io:need", 1)
        clock.passes(0.02, run)
        robot.expect("cycle:update", 1)
        assert brain.seen[1]["joints"].meta["names"] == ("tilt", "other", "pan")
        run.take(RobotState(run.id, (0.1,), ()))
        run.take(CycleExecuted(run.id, 1))
        robot.expect("io:need", 2)
        clock.passes(0.02, run)
        robot.expect("cycle:update", 2)
        assert "joints" not in brain.seen[2]
        assert "1 positions without names" in run.last_refusal
        assert run.counts()["joints refused"] == 1


def test_a_sample_that_cannot_be_read_is_counted_and_the_cycle_goes_on(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        robot.expect("io:need", 0)
        give(run, 0, "cam", data=bytes.fromhex("ffd8ffe04a50454701"))
        give(run, 0, "joints", data=b"\0" * 12)
        update = robot.expect("cycle:update", 0)
        assert brain.seen[0] == {}
        assert run.counts() == {"cam refused": 1, "joints refused": 1}
        assert update["telemetry"]["refused.cam refused"] == 1.0
        assert "received" in update and update["received"]["cam"] == 1


def test_what_is_told_twice_is_taken_once(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        for _ in range(3):
            run.take(CycleExecuted(run.id, 0))
            give(run, 0, "fb")
            reward(run, 0, 1.0)
        robot.expect("io:need", 1)
        give(run, 1)
        robot.expect("cycle:update", 1)
        assert [what for what, _, _ in brain.heard] == ["done", "feedback", "reward"]
        counts = run.counts()
        assert counts["learn:reward repeated"] == counts["feedback repeated"] == 2
        assert counts["robot:cycle_done repeated"] == 2


def test_rewards_are_completed_from_the_contract_and_none_for_a_cycle_to_come(
    tmp_path: Path,
) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        robot.expect("io:need", 0)
        with pytest.raises(ProtocolError, match="cycle 0 has not been run"):
            reward(run, 0, 1.0)
        give(run, 0)
        robot.expect("cycle:update", 0)
        reward(run, 0, 0.25, W_elsewhere=1.0)
        run.take(CycleExecuted(run.id, 0))
        one_cycle(run, robot, 1)
        assert brain.heard[0] == ("reward", Reward(0.25, {"out": 0.25}), 0)
        assert run.counts()["rewards of unknown layers"] == 1


def test_a_raster_is_taken_as_it_is_and_feedback_of_the_wrong_size_is_refused(
    tmp_path: Path,
) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        raster = np.array([[0, 1], [-1, 2.5], [0.5, 0], [0, 0]], "<f4")
        give(run, 1, "fb", format="raster_f32", data=raster.tobytes())
        for changes in (
            {"format": "raster_f32", "data": b"\0" * 12},
            {"format": "deviation_f32", "data": np.full(4, np.nan, "<f4").tobytes()},
            {"format": "jpeg"},
        ):
            with pytest.raises(ProtocolError):
                give(run, 0, "fb", **changes)
        with pytest.raises(ProtocolError, match="unknown input 'nose'; one of: cam, joints, fb"):
            give(run, 0, "nose")
        run.take(CycleExecuted(run.id, 0))
        one_cycle(run, robot, 1)
        assert brain.heard[0] == ("raster", [[0, 1], [-1, 1], [1, 0], [0, 0]], 1)
        assert run.counts()["io:chunk refused"] == 4


def test_who_comes_back_gets_the_update_that_it_did_not_answer(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain) as run:
        first, second, third = Robot(), Robot(), Robot()
        run.join(first)
        update = one_cycle(run, first, 0)
        first.expect("io:need", 1)
        run.leave(first)
        run.join(second)
        assert second.expect("cycle:update", 0) == update
        second.expect("io:need", 1)
        run.take(CycleExecuted(run.id, 0))
        assert run.join(third) is second
        third.expect("io:need", 1)
        run.leave(second)  # the one whose place was taken is noticed to be gone only now
        assert run.joined
        give(run, 1)
        third.expect("cycle:update", 1)
        assert first.events.empty() and second.events.empty()


@pytest.mark.parametrize("gated", [True, False])
def test_a_run_stands_still_while_its_client_is_gone(tmp_path: Path, gated: bool) -> None:
    brain = Watched()
    with running(tmp_path, brain, gated=gated) as run:
        robot = Robot()
        run.join(robot)
        give(run, 0)
        robot.expect("io:need", 0)
        robot.expect("cycle:update", 0)
        run.leave(robot)
        run.save().result(PATIENCE)  # after this, nothing that had begun goes on
        cycles = len(brain.seen)
        run.take(CycleExecuted(run.id, 0))
        give(run, cycles)
        run.save().result(PATIENCE)
        assert len(brain.seen) == cycles


def test_a_free_run_goes_on_without_being_answered(tmp_path: Path) -> None:
    with running(tmp_path, gated=False) as run:
        robot = Robot()
        run.join(robot)
        for cycle in range(5):
            need = robot.expect("io:need", cycle)
            assert 1.0 <= need["deadlineMs"] <= 10.0
            robot.expect("cycle:update", cycle)


def test_a_free_run_sends_less_over_a_link_that_takes_little(tmp_path: Path) -> None:
    with running(tmp_path, gated=False) as run:
        robot = Robot()
        robot.backlog = 1000
        run.join(robot)
        robot.expect("io:need", 0)
        assert eventually(lambda: bool(run.counts()))
        assert run.counts()["cycles held back"] > 0
        robot.backlog = 0
        robot.expect("cycle:update", 0)


def test_a_run_ends_when_its_client_does_not_come_back_and_is_saved(tmp_path: Path) -> None:
    with running(tmp_path, linger=0.01) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        reward(run, 0, 1.0)
        run.leave(robot)
        assert run.wait(PATIENCE)
        assert (tmp_path / "p.db").exists()
        with pytest.raises(ProtocolError, match="has ended"):
            give(run, 1)
        with pytest.raises(ProtocolError, match="has ended"):
            run.save().result(PATIENCE)


def test_it_saves_by_itself_from_time_to_time(tmp_path: Path) -> None:
    with running(tmp_path, autosave=0.01) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        assert eventually((tmp_path / "p.db").exists)
        assert EmbeddedBrain.load(tmp_path / "p.db").network.ticks == 10


def test_a_save_that_fails_is_told_and_counted_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "p.db").mkdir()
    with running(tmp_path) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        with pytest.raises(Exception, match="cannot be written"):
            run.save().result(PATIENCE)
        assert run.counts() == {"saves failed": 1}
        run.take(CycleExecuted(run.id, 0))
        one_cycle(run, robot, 1)


def test_who_does_not_wait_for_a_save_any_more_does_no_harm(tmp_path: Path) -> None:
    saving, go_on = threading.Event(), threading.Event()

    class Slow(Watched):
        def save(self, path: Path) -> None:
            saving.set()
            assert go_on.wait(PATIENCE)
            super().save(path)

    with running(tmp_path, Slow()) as run:
        robot = Robot()
        run.join(robot)
        robot.expect("io:need", 0)
        first = run.save()
        assert saving.wait(PATIENCE)
        second = run.save()
        assert not first.cancel() and second.cancel()
        go_on.set()
        first.result(PATIENCE)
        give(run, 0)
        robot.expect("cycle:update", 0)


def test_learning_is_switched_in_order(tmp_path: Path) -> None:
    brain = Watched()
    with running(tmp_path, brain, learning=False) as run:
        robot = Robot()
        run.join(robot)
        one_cycle(run, robot, 0)
        assert not brain.learning
        run.take(SetLearning(run.id, True))
        run.take(CycleExecuted(run.id, 0))
        one_cycle(run, robot, 1)
        assert brain.learning


def test_a_brain_that_fails_ends_its_run_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    class Broken(Watched):
        def run_cycle(self, observe: Any, timeout: float = 0.0) -> Cycle:
            raise RuntimeError("a defect")

    with running(tmp_path, Broken()) as run:
        run.join(Robot())
        give(run, 0)
        assert run.wait(PATIENCE)
        assert not (tmp_path / "p.db").exists()
