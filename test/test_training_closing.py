"""Closing: whatever went wrong, a simulator can be closed, and the brain be trained by another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_parts import VALLEY, MySimulator, Valley, by_plain_events, by_run, made

from ab_ros.config import parse
from ab_ros.errors import AbRosError, RecordError
from ab_ros.training import Config, FinishedEvent, Simulator, VersionedBrain
from ab_ros.training.environment_simulator import EnvironmentSimulator, WorldSettings


class Answering(MySimulator):
    """Answers what it is told to."""

    angle_after: float = 1.0
    reward: Any = 0.0

    def simulate(self, action: Any) -> Any:
        return {"angle": self.angle_after, "velocity": 1.0}, self.reward, False


def not_a_number(state: Any, action: Any, after: Any, reward: float, terminal: bool) -> float:
    return float("nan")


def failing(state: Any, action: Any, after: Any, reward: float, terminal: bool) -> float:
    raise ZeroDivisionError


def can_be_trained(brain: VersionedBrain) -> bool:
    by_run(MySimulator(brain))
    return brain.latest_version == 1


@pytest.mark.parametrize(
    ("angle", "reward", "says"),
    [
        (1.0, float("nan"), "reward: must be finite, not nan"),
        (1.0, "x", "reward: must be a number, not 'x'"),
        (1.0, None, "reward: must be a number, not None"),
        (float("inf"), 0.0, "state.angle: must be finite"),
    ],
)
@pytest.mark.parametrize("drive", [by_run, by_plain_events])
def test_a_bad_answer_is_told_once(
    tmp_path: Path, drive: Callable[[Simulator], None], angle: float, reward: Any, says: str
) -> None:
    brain = made(tmp_path)
    sim = Answering(brain)
    sim.angle_after, sim.reward = angle, reward
    with pytest.raises(AbRosError, match=says):
        drive(sim)
    sim.close()
    sim.close()
    assert brain.status == "new"
    assert sim.get_next_event() == FinishedEvent()
    assert can_be_trained(brain)


def test_a_bad_answer_that_was_not_taken_yet_is_given_up(tmp_path: Path) -> None:
    brain = made(tmp_path)
    sim = Answering(brain)
    sim.reward = None
    assert sim.run() and sim.run()
    sim.close()
    assert can_be_trained(brain)


def test_a_lesson_that_fails_does_not_keep_a_training_open(tmp_path: Path) -> None:
    reward = "test_training_closing:failing"
    brain = made(tmp_path, {"lessons": [{"config": {"start_angle": 1}, "reward": reward}]})
    sim = MySimulator(brain)
    assert sim.run() and sim.run()
    with pytest.raises(ZeroDivisionError):
        sim.close()  # Nobody was told before.
    sim.close()
    assert brain.status == "new"


def test_an_environment_is_closed_after_a_bad_answer(tmp_path: Path) -> None:
    class Closing(Valley):
        closed = 0

        def close(self) -> None:
            super().close()
            self.closed += 1

    config = Config()
    config.url, config.brain = str(tmp_path / "brains"), "valley"
    definition = {key: VALLEY[key] for key in ("simulator", "neurons", "training")}
    lessons = [{"reward": "test_training_closing:not_a_number"}]
    brain = VersionedBrain.create(config, {**definition, "lessons": lessons})
    environment = Closing({})
    world = parse(WorldSettings, VALLEY["environment"])
    sim = EnvironmentSimulator(brain, "", environment, world)
    with pytest.raises(AbRosError, match="reward: must be finite"):
        by_run(sim)
    sim.close()
    assert environment.closed == 1 and brain.status == "new"


def test_what_goes_wrong_before_the_first_episode_leaves_the_brain_free(tmp_path: Path) -> None:
    (tmp_path / "record.csv").mkdir()
    brain = made(tmp_path, record_file=str(tmp_path / "record.csv"))
    sim = MySimulator(brain)
    with pytest.raises(RecordError, match="cannot be read"):
        sim.run()
    sim.close()
    brain.config.record_file = None
    assert can_be_trained(brain)


# One at a time

HOLDING = """
import sys
sys.path.insert(0, {test!r})
from pathlib import Path
from training_parts import MySimulator, made
sim = MySimulator(made(Path(sys.argv[1])))
sim.run()
print("trains", flush=True)
sys.stdin.read()
"""


def test_another_simulator_of_this_process_is_named(tmp_path: Path) -> None:
    brain = made(tmp_path)
    sim = MySimulator(brain)
    sim.run()
    assert brain.status == "training"
    with pytest.raises(AbRosError, match=r"another simulator of this process: close\(\)"):
        MySimulator(made(tmp_path)).run()
    sim.close()
    assert brain.status == "new"


def test_another_program_is_named_by_its_process(tmp_path: Path) -> None:
    made(tmp_path)
    code = HOLDING.format(test=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "trains\n"
        with pytest.raises(AbRosError, match=rf"another program \(process {other.pid}\)"):
            MySimulator(made(tmp_path)).run()
        other.kill()
    assert can_be_trained(made(tmp_path, restart=True))


def test_a_with_statement_closes_whatever_a_callback_raises(tmp_path: Path) -> None:
    class Failing(MySimulator):
        def simulate(self, action: Any) -> Any:
            raise ZeroDivisionError

    brain = made(tmp_path)
    with pytest.raises(ZeroDivisionError), Failing(brain) as sim:
        by_run(sim)
    assert brain.status == "new"
    with MySimulator(brain) as sim:
        by_run(sim)
    assert brain.status == "trained"
