"""What every brain in this process promises behind the Brain port, whatever its neurons are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from local_brains import SUBJECTS, Subject, run, same, seeing

from ab_ros.brains.files import load_brain
from ab_ros.errors import BrainError, BrainFileError, ContractError, PolicyError
from ab_ros.values import Deviation, Observation, Reward


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param
    return made


def test_its_contract_says_what_it_takes_and_gives(subject: Subject) -> None:
    brain = subject.make()
    contract = brain.open()
    assert contract == brain.contract
    assert contract.gamma == 20 and contract.feedback_timesteps == 20
    assert [(port.id, port.kind) for port in contract.inputs] == [("camera", "Image")]
    assert contract.output("pan").n == 8
    assert contract.stdp3_layers == ("pan",)
    assert contract.feedback_port("fb").n == 4
    assert contract.feedback_port("fb").item["fromOutput"] == "pan"
    assert brain.size == 8


def test_cycles_count_from_0_in_each_run_and_say_what_they_saw(subject: Subject) -> None:
    brain = subject.make()
    brain.open()
    runs = {brain.run}
    cycles = [brain.run_cycle(seeing(), 0.0) for _ in range(3)]
    assert [cycle.number for cycle in cycles] == [0, 1, 2]
    assert [cycle.observed for cycle in cycles] == [0.0, 0.02, 0.04]
    assert {cycle.run for cycle in cycles} == runs
    assert all(set(np.unique(cycle.rasters["pan"])) <= {0, 1} for cycle in cycles)
    assert cycles[0].telemetry.keys() >= {"rate.pan", "spikes", "compute_time"}
    brain.close()
    assert brain.run == ""
    brain.open()
    runs.add(brain.run)
    assert len(runs) == 2 and brain.run_cycle(seeing(), 0.0).number == 0


def test_a_seed_repeats_a_learning_run_to_the_bit_and_another_does_not(subject: Subject) -> None:
    assert same(run(subject.opened(1), 30), run(subject.opened(1), 30))
    assert not same(run(subject.opened(1), 30), run(subject.opened(2), 30))


def test_a_saved_brain_goes_on_as_if_it_had_not_been_interrupted(
    subject: Subject, tmp_path: Path
) -> None:
    brain = subject.opened()
    run(brain, 20)
    brain.save(tmp_path / "brain.db")
    loaded = subject.load(tmp_path / "brain.db")
    loaded.open()
    # The cycle number belongs to the run, not to the brain: rewards are scripted by it.
    loaded._number = brain._number
    assert same(run(brain, 20), run(loaded, 20))
    assert np.array_equal(subject.weights(brain), subject.weights(loaded))
    assert loaded.wiring == brain.wiring


def test_a_file_is_loaded_as_the_brain_that_it_holds(subject: Subject, tmp_path: Path) -> None:
    brain = subject.opened()
    brain.save(tmp_path / "brain.db")
    loaded = load_brain(tmp_path / "brain.db")
    assert type(loaded) is type(brain) and loaded.contract == brain.contract


def test_rewards_change_weights_only_while_learning_is_on(subject: Subject) -> None:
    brain = subject.opened()
    brain.set_learning(False)
    assert not brain.learning
    before = subject.weights(brain)
    run(brain, 10)
    assert np.array_equal(subject.weights(brain), before)
    brain.set_learning(True)
    run(brain, 10)
    assert not np.array_equal(subject.weights(brain), before)


def test_reset_forgets_the_moment_but_not_what_was_learned(subject: Subject) -> None:
    brain = subject.opened()
    run(brain, 20)
    learned = subject.weights(brain)
    brain.reset(seed=5)
    assert np.array_equal(subject.weights(brain), learned)
    brain.set_learning(False)
    first = run(brain, 6)  # a whole number of turns of the scripted feedback
    brain.reset(seed=5)
    assert same(first, run(brain, 6))
    brain.reset(seed=6)
    assert not same(first, run(brain, 6))


def test_a_late_reward_still_credits_its_cycle_but_not_for_ever(subject: Subject) -> None:
    brain = subject.opened()
    cycles = [brain.run_cycle(seeing(), 0.0) for _ in range(4)]
    before = subject.weights(brain)
    assert brain.reward(Reward(1.0), cycles[0].number)
    assert not np.array_equal(subject.weights(brain), before)
    for _ in range(50):
        brain.run_cycle(seeing(), 0.0)
    learned = subject.weights(brain)
    assert not brain.reward(Reward(1.0), cycles[0].number)
    assert np.array_equal(subject.weights(brain), learned)


def test_feedback_drives_its_neurons_in_the_next_cycle_only(subject: Subject) -> None:
    def spikes(deviation: float) -> list[int]:
        brain = subject.opened()
        brain.set_learning(False)
        counts = []
        for _ in range(6):
            brain.feedback(Deviation("fb", np.full(20, deviation, np.float32)), 0)
            counts.append(int(brain.run_cycle(seeing(), 0.0).rasters["pan"][:, :4].sum()))
        brain.run_cycle(seeing(), 0.0)
        silent = brain.run_cycle(seeing(), 0.0)
        return [*counts, int(silent.rasters["pan"][:, :4].sum())]

    *driven, after = spikes(1.0)
    *quiet, still = spikes(0.0)
    assert sum(driven) > 2 * sum(quiet)
    # A little of it is left in neurons that remember.
    assert after < sum(driven) / 6 and abs(after - still) <= 4


def test_a_feedback_raster_is_played_as_it_is_and_the_next_deviation_changes_it(
    subject: Subject,
) -> None:
    by_raster, by_deviation = subject.opened(), subject.opened()
    for brain in (by_raster, by_deviation):
        brain.run_cycle(seeing(), 0.0)
    by_deviation.feedback(Deviation("fb", np.ones(20, np.float32)), 0)
    by_raster.feedback_raster("fb", np.ones((20, 4), np.int8), 0)
    assert same(run(by_raster, 6), run(by_deviation, 6))
    with pytest.raises(PolicyError, match=r"must have the form \[20, 4\], not \[4, 20\]"):
        by_raster.feedback_raster("fb", np.ones((4, 20), np.int8), 0)
    with pytest.raises(ContractError, match="no feedback 'other'"):
        by_raster.feedback_raster("other", np.ones((20, 4), np.int8), 0)


def test_negative_entries_of_a_feedback_raster_inhibit(subject: Subject, tmp_path: Path) -> None:
    def spikes(value: int) -> int:
        total = 0
        brain = subject.opened()
        brain.set_learning(False)
        for cycle in range(10):
            brain.run_cycle(seeing(), 0.0)
            brain.feedback_raster("fb", np.full((20, 4), value, np.int8), cycle)
            brain.save(tmp_path / "brain.db")
            brain = subject.load(tmp_path / "brain.db")
            brain.set_learning(False)
            brain.open()
            total += int(brain.run_cycle(seeing(), 0.0).rasters["pan"][:, :4].sum())
        return total

    assert spikes(1) > spikes(0) > spikes(-1)


def test_an_unfit_sample_is_refused_counted_and_the_brain_goes_on(subject: Subject) -> None:
    brain = subject.opened()
    bad = Observation("camera", "Image", 0.0, "rgb8", np.zeros((60, 80), np.uint8))
    cycle = brain.run_cycle(lambda need: [bad], 0.0)
    assert cycle.rasters["pan"].shape == (20, 8)
    assert brain.counts() == {"camera refused": 1} and "must have the form" in brain.last_refusal
    fresh = subject.opened()
    assert fresh.counts() == {} and fresh.last_refusal == ""


def test_a_brain_that_is_not_open_says_so(subject: Subject) -> None:
    with pytest.raises(BrainError, match=r"call open\(\) first"):
        subject.make().run_cycle(seeing(), 0.0)


def test_a_deviation_for_an_unknown_feedback_names_the_known_ones(subject: Subject) -> None:
    with pytest.raises(ContractError, match="no feedback 'fx'; one of: fb"):
        subject.opened().feedback(Deviation("fx", np.zeros(20, np.float32)), 0)


def test_truncated_and_foreign_brain_files_are_refused(subject: Subject, tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    subject.opened().save(file)
    whole = file.read_bytes()
    for size in (0, 10, 100, len(whole) // 2, len(whole) - 4096):
        file.write_bytes(whole[:size])
        for load in (subject.load, load_brain):
            with pytest.raises(BrainFileError, match=r"brain\.db"):
                load(file)
    file.unlink()
    with pytest.raises(BrainFileError, match="no such brain file"):
        subject.load(file)
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE t (x)")
    with pytest.raises(BrainFileError, match="not a brain file of ab_ros"):
        subject.load(file)


def test_saving_over_a_brain_leaves_no_half_file(subject: Subject, tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    brain = subject.opened()
    brain.save(file)
    brain.save(file)
    assert [path.name for path in tmp_path.iterdir()] == ["brain.db"]
    with pytest.raises(BrainFileError, match="cannot be written"):
        brain.save(Path("/proc/nowhere/brain.db"))


def test_a_brain_of_another_kind_is_refused(subject: Subject, tmp_path: Path) -> None:
    for other in SUBJECTS:
        if other is not subject:
            other.opened().save(tmp_path / "brain.db")
            with pytest.raises(BrainFileError, match=r"not an embedded|not a layered"):
                subject.load(tmp_path / "brain.db")
