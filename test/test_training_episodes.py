"""Episodes: the document's simulator, driven by both of its loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_parts import MySimulator, ThreeSteps, by_events, by_plain_events, by_run, made

from ab_ros.errors import AbRosError, BrainFileError, ConfigError
from ab_ros.training import (
    EpisodeError,
    EpisodeFinishEvent,
    EpisodeStartEvent,
    FinishedEvent,
    Predictor,
    SchemaError,
    SimulateEvent,
    Simulator,
    UnknownEvent,
    VersionedBrain,
    read_record,
)

Drive = Callable[[Simulator], None]
both_loops = pytest.mark.parametrize("drive", [by_run, by_events])


@both_loops
def test_the_documents_simulator_trains(tmp_path: Path, drive: Drive) -> None:
    brain = made(tmp_path)
    sim = MySimulator(brain)
    drive(sim)
    assert sim.episode_count == 3
    assert sim.objectives == ["be_fast"] * 3
    assert all(1 <= angle <= 9 for angle in sim.parameters)
    assert sim.log.count("start") == sim.log.count("finish") == 3
    assert (brain.latest_version, brain.version, brain.status) == (1, 2, "trained")
    assert brain.summary_of()["episodes"] == 3
    assert sim.episode_rate > 0 and sim.iteration_rate > sim.episode_rate


@both_loops
def test_the_state_machines_script_holds(tmp_path: Path, drive: Drive) -> None:
    sim = ThreeSteps(made(tmp_path, {"training": {"iterations": 4}}))
    drive(sim)
    steps = ["simulate"] * 3
    assert sim.log == ["start", *steps, "finish", "start", "simulate"]
    assert sim.get_next_event() == FinishedEvent()


@both_loops
def test_both_loops_do_the_same_to_the_bit(tmp_path: Path, drive: Drive) -> None:
    sim = MySimulator(made(tmp_path / "a"))
    drive(sim)
    again = MySimulator(made(tmp_path / "b"))
    by_run(again)
    assert sim.finished_rewards == again.finished_rewards
    assert weights(sim.brain) == weights(again.brain)


def weights(brain: VersionedBrain, version: int = 0) -> list[bytes]:
    from ab_ros.brains.embedded import EmbeddedBrain

    network = EmbeddedBrain.load(brain.file_of(version)).network
    return [network.edges(name)[2].tobytes() for name in network.projections]


def test_training_changes_weights_and_a_control_does_not(tmp_path: Path) -> None:
    brain = made(tmp_path / "a")
    by_run(MySimulator(brain))
    control = made(tmp_path / "b", {"training": {"learning": False}})
    by_run(MySimulator(control))
    longer = made(tmp_path / "c", {"training": {"learning": False, "episodes": 1}})
    by_run(MySimulator(longer))
    assert weights(control) == weights(longer) != weights(brain)


def test_properties_count_as_the_document_says(tmp_path: Path) -> None:
    sim = ThreeSteps(made(tmp_path))
    assert (sim.episode_count, sim.iteration_count, sim.objective_name) == (0, 0, "")
    assert sim.name == "my_simulator" and sim.predict is False
    sim.run()  # start
    sim.run()  # the first step; its reward counts once the next event is asked for
    sim.run()
    assert (sim.iteration_count, sim.episode_reward) == (1, 0.5)
    sim.close()


class Counting(ThreeSteps):
    """Prints what the document's episode_finish prints."""

    def episode_finish(self) -> None:
        self.log.append(f"Episode: {self.episode_count} reward: {self.episode_reward}")


@both_loops
def test_episodes_count_from_one_when_they_finish(tmp_path: Path, drive: Drive) -> None:
    sim = Counting(made(tmp_path))
    drive(sim)
    said = [line for line in sim.log if line.startswith("Episode")]
    assert said == [f"Episode: {k} reward: 1.5" for k in (1, 2, 3)]
    assert sim.episode_count == 3


@pytest.mark.parametrize("episodes", [1, 3])
def test_a_loop_may_stop_at_a_count_of_episodes(tmp_path: Path, episodes: int) -> None:
    whole = made(tmp_path / "whole")
    by_run(ThreeSteps(whole))
    brain = made(tmp_path)
    with ThreeSteps(brain) as sim:
        while sim.run() and sim.episode_count < episodes:
            continue
        assert len(sim.session.results.reward) == episodes
    assert brain.status == ("trained" if episodes == 3 else "broken off")
    if episodes < 3:
        sim = ThreeSteps(made(tmp_path, resume=True))
        by_run(sim)
        assert sim.episode_count == 3 - episodes
    brain.update()
    assert weights(brain) == weights(whole)


def test_an_own_loop_may_stop_when_an_episode_finishes(tmp_path: Path) -> None:
    brain = made(tmp_path)
    sim = ThreeSteps(brain)
    while not isinstance(event := sim.get_next_event(), EpisodeFinishEvent):
        if isinstance(event, EpisodeStartEvent):
            event.initial_state = sim.episode_start(event.initial_properties)
        elif isinstance(event, SimulateEvent):
            event.state, event.reward, event.terminal = sim.simulate(event.action)
    assert sim.episode_count == 1
    sim.close()
    with ThreeSteps(made(tmp_path, resume=True)) as again:
        assert len(again.session.results.reward) == 1


def test_versions_are_kept_and_the_latest_predicts(tmp_path: Path) -> None:
    brain = made(tmp_path)
    by_run(MySimulator(brain))
    by_run(MySimulator(made(tmp_path, {"training": {"seed": 6}})))
    brain.update()
    assert brain.versions == (1, 2)
    assert weights(brain, 1) != weights(brain, 2)
    config = brain.config
    config.predict = True
    assert brain.version == 2
    config.brain_version = 1
    assert brain.version == 1
    config.brain_version = 9
    with pytest.raises(BrainFileError, match="no version 9; one of: 1, 2"):
        Predictor(brain)


@both_loops
def test_prediction_learns_nothing_and_ends(tmp_path: Path, drive: Drive) -> None:
    brain = made(tmp_path)
    by_run(MySimulator(brain))
    before = brain.file_of().read_bytes()
    brain.config.predict, brain.config.episodes = True, 2
    sim = MySimulator(brain)
    drive(sim)
    assert sim.episode_count == 2 and sim.objective_name == ""
    assert brain.latest_version == 1 and brain.file_of().read_bytes() == before


@pytest.mark.parametrize("drive", [by_run, by_plain_events])
def test_prediction_needs_no_reward(tmp_path: Path, drive: Drive) -> None:
    class Unrewarded(ThreeSteps):
        def simulate(self, action: Any) -> Any:
            state, reward, terminal = super().simulate(action)
            # reward is only needed during training
            return state, None if self.predict else reward, terminal

    by_run(Unrewarded(made(tmp_path)))
    record = tmp_path / "steps.json"
    sim = Unrewarded(made(tmp_path, predict=True, episodes=2, record_file=str(record)))
    drive(sim)
    assert sim.session.results.reward.tolist() == [0.0, 0.0]
    assert [line["reward"] for line in read_record(record)] == [0.0] * 6


def test_a_training_may_begin_with_the_latest_version(tmp_path: Path) -> None:
    by_run(MySimulator(made(tmp_path)))
    frozen = {"training": {"start": "latest", "learning": False, "episodes": 1}}
    brain = made(tmp_path, frozen)
    by_run(MySimulator(brain))
    assert weights(brain, 1) == weights(brain, 2)


def test_max_steps_ends_episodes_that_never_end(tmp_path: Path) -> None:
    class Endless(MySimulator):
        def simulate(self, action: Any) -> tuple[dict[str, float], float, bool]:
            return {"angle": 1.0, "velocity": 1.0}, 0.0, False

    sim = Endless(made(tmp_path, {"training": {"max_steps": 4, "episodes": 2}}))
    by_run(sim)
    assert sim.session.results.steps.tolist() == [4, 4]


def test_a_pause_gives_events_without_an_answer(tmp_path: Path) -> None:
    sim = ThreeSteps(made(tmp_path))
    sim.run()
    sim.paused = True
    assert isinstance(sim.get_next_event(), UnknownEvent)
    assert sim.run() and sim.log == ["start"]
    sim.paused = False
    by_run(sim)
    assert sim.episode_count == 3


# What goes wrong


def test_an_episode_that_was_given_up_leaves_no_trace(tmp_path: Path) -> None:
    whole = MySimulator(made(tmp_path / "a", record_file=str(tmp_path / "a.csv")))
    by_run(whole)
    given_up = MySimulator(made(tmp_path / "b", record_file=str(tmp_path / "b.csv")))
    for number, steps in ((0, 0), (2, 0), (2, 2), (3, 1)):
        while given_up.episode_number < number or given_up.iteration_count < steps:
            given_up.run()
        given_up.begin_again()
        assert (given_up.iteration_count, given_up.episode_reward) == (0, 0.0)
    by_run(given_up)
    given_up.begin_again()
    assert given_up.get_next_event() == FinishedEvent()
    assert given_up.episode_count == 3
    assert given_up.finished_rewards == whole.finished_rewards
    assert weights(given_up.brain) == weights(whole.brain)
    steps = [
        [[line.split(",")[k] for k in (1, 2, 3, 4)] for line in path.read_text().splitlines()]
        for path in (tmp_path / "a.csv", tmp_path / "b.csv")
    ]
    assert steps[0] == steps[1]


def test_an_event_that_could_not_be_answered_is_handled_again(tmp_path: Path) -> None:
    class Hiccups(MySimulator):
        due = 0

        def simulate(self, action: Any) -> tuple[dict[str, float], float, bool]:
            self.due += 1
            if self.due % 2:
                raise AbRosError("not now")
            return super().simulate(action)

    whole = MySimulator(made(tmp_path / "a"))
    by_run(whole)
    sim = Hiccups(made(tmp_path / "b"))
    going = True
    while going:
        event = sim.get_next_event()
        try:
            going = sim.handle(event)
        except AbRosError:
            going = sim.handle(event)
    assert sim.due == 2 * sim.log.count("simulate")
    assert sim.finished_rewards == whole.finished_rewards
    assert weights(sim.brain) == weights(whole.brain)


def test_a_simulator_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is for the simulator 'my_simulator'"):
        MySimulator(made(tmp_path), "other")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"angle": 1.0}, r"state: field 'velocity' \(Float32\) is missing; there are angle"),
        ({"angle": 1.0, "velocity": float("nan")}, "state.velocity: must be finite"),
        ({"angle": "x", "velocity": 0.0}, "state.angle: must be a number within 0 to 10"),
        ({"angle": 1.0, "velocity": 0.0, "angel": 1}, "no field 'angel'; did you mean 'angle'"),
        (None, "initial_state was not set"),
    ],
)
def test_states_that_do_not_fit_are_refused(tmp_path: Path, state: Any, says: str) -> None:
    sim = MySimulator(made(tmp_path))
    event = sim.get_next_event()
    assert isinstance(event, EpisodeStartEvent)
    event.initial_state = state
    with pytest.raises((SchemaError, EpisodeError), match=says):
        sim.get_next_event()
    event.initial_state = {"angle": 1, "velocity": np.float64(2)}  # It can be answered anew.
    assert isinstance(sim.get_next_event(), SimulateEvent)
    with pytest.raises(EpisodeError, match=r"SimulateEvent\.state was not set"):
        sim.get_next_event()
    sim.close()


def test_what_simulate_returns_is_checked(tmp_path: Path) -> None:
    class Wrong(MySimulator):
        def simulate(self, action: Any) -> Any:
            return {"angle": 1.0, "velocity": 1.0}

    sim = Wrong(made(tmp_path))
    with pytest.raises(AbRosError, match=r"must return \(state, reward, terminal\)"):
        by_run(sim)
    sim.close()


def test_callbacks_that_are_not_overridden_say_so(tmp_path: Path) -> None:
    sim = Simulator(made(tmp_path))
    with pytest.raises(NotImplementedError, match=r"Simulator\.episode_start"):
        sim.run()
    sim.close()


# Predictors


def test_a_predictor_answers_for_the_state_that_it_is_given(tmp_path: Path) -> None:
    quiet = {"noise": 0.0, "common_noise": 0.0, "weight": 2.0, "spread": 1.9, "size": 2}
    brain = made(tmp_path, {"neurons": quiet, "training": {"learning": False}})
    by_run(MySimulator(brain))
    states = [{"angle": float(a), "velocity": v} for a in range(0, 10, 2) for v in (-2.5, 2.5)]
    with Predictor(brain, "my_simulator") as predictor:
        answers = [predictor.get_action(state) for state in states]
        backwards = [predictor.get_action(state) for state in reversed(states)]
        assert predictor.predict
    assert answers == backwards[::-1]
    assert {answer.delta for answer in answers} == {0, 1}, "all states look the same"
    assert weights(brain) == weights(brain)


def test_a_predictor_without_a_context_manager(tmp_path: Path) -> None:
    brain = made(tmp_path)
    by_run(MySimulator(brain))
    predictor = Predictor(brain, "my_simulator")
    action = predictor.get_action({"angle": 1, "velocity": 0})
    assert action.delta in (0, 1)
    predictor.close()
    predictor.close()


def test_a_predictor_of_an_untrained_brain_says_so(tmp_path: Path) -> None:
    with pytest.raises(BrainFileError, match="train it first"):
        Predictor(made(tmp_path))


# Lessons


def louder(state: Any, action: Any, after: Any, reward: float, terminal: bool) -> float:
    return 10.0


def test_lessons_follow_each_other_with_rewards_of_their_own(tmp_path: Path) -> None:
    lessons = [
        {"objective": "first", "config": {"start_angle": 3}, "episodes": 2},
        {
            "objective": "second",
            "config": {"start_angle": 7},
            "reward": "test_training_episodes:louder",
            "success_reward": 30.0,
            "until_success": 1.0,
            "over": 3,
        },
    ]
    sim = ThreeSteps(made(tmp_path, {"lessons": lessons, "training": {"episodes": 100}}))
    by_run(sim)
    assert sim.objectives == ["first"] * 2 + ["second"] * 3
    assert sim.parameters == [3, 3, 7, 7, 7]
    assert sim.finished_rewards == [1.5, 1.5, 30.0, 30.0, 30.0]
    assert sim.session.results.success.tolist() == [-1, -1, 1, 1, 1]


def test_a_lesson_that_never_ends_cannot_be_followed(tmp_path: Path) -> None:
    lesson = {"config": {"start_angle": 1}}
    with pytest.raises(ConfigError, match=r"lessons\[0\]: never ends"):
        made(tmp_path, {"lessons": [lesson, lesson]})
