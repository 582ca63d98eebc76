"""The whole loop of the demo in one process: brain, motor stage, critic and simulated arm."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_ros.environments.tracking import TrackingTask
from ab_ros.errors import ConfigError
from ab_ros.loop import Step
from ab_ros.values import Cycle

SMALL = {"image_width": 80, "image_height": 60}


@pytest.fixture
def config(root: Path) -> Path:
    return root / "config" / "demo.yaml"


def task(config: Path, seed: int = 3, **critic: Any) -> TrackingTask:
    changes: dict[str, Any] = {"sim": {"world": SMALL}}
    if critic:
        changes["critic"] = {"critic": critic}
    return TrackingTask(config, seed, changes)


def weights(world: TrackingTask) -> dict[str, np.ndarray]:
    state = world.brain.network.state()
    return {name: np.array(array) for name, array in state.items() if name.endswith("/weights")}


def lived(config: Path, seed: int) -> tuple[np.ndarray, list[np.ndarray], dict[str, np.ndarray]]:
    world = task(config, seed)
    rasters: list[np.ndarray] = []
    run_cycle = world.brain.run_cycle

    def recorded(*arguments: Any) -> Cycle:
        cycle = run_cycle(*arguments)
        rasters.extend(np.array(raster) for raster in cycle.rasters.values())
        return cycle

    world.brain.run_cycle = recorded  # type: ignore[method-assign]
    learning = world.run(1.2, "jumps", 1, learning=True)
    probe = world.run(0.4, "sines", 2)
    learned = {name: np.array(array) for name, array in world.brain.network.state().items()}
    world.close()
    return np.append(learning.errors, probe.errors), rasters, learned


def test_the_same_seed_gives_the_same_numbers_to_the_bit(config: Path) -> None:
    (errors, rasters, state), (errors2, rasters2, state2) = lived(config, 3), lived(config, 3)
    assert np.array_equal(errors, errors2)
    assert all(np.array_equal(a, b) for a, b in zip(rasters, rasters2, strict=True))
    assert state.keys() == state2.keys()
    for name, array in state.items():
        assert np.array_equal(array, state2[name], equal_nan=array.dtype.kind == "f"), name
    others, _, _ = lived(config, 4)
    assert not np.array_equal(errors, others)


def test_each_step_rewards_the_cycle_that_it_has_just_executed(config: Path) -> None:
    world = task(config)
    world.brain.set_learning(True)
    credited: list[int] = []
    reward = world.brain.reward

    def noted(value: Any, cycle: int) -> bool:
        credited.append(cycle)
        return reward(value, cycle)

    world.brain.reward = noted  # type: ignore[method-assign]
    steps = [world.loop.step() for _ in range(5)]
    assert credited == [step.cycle.number for step in steps] == [0, 1, 2, 3, 4]
    for before, after in pairwise(steps):
        assert before.after is after.before
    for step in steps:
        assert step.answer.executed and step.answer.cycle == step.cycle.number
        assert step.after.stamp - step.before.stamp == pytest.approx(world.period)
        assert step.reward is not None and set(step.reward.by_layer) == {"pan", "tilt", "grip"}
    world.close()


def test_a_reward_away_from_neutral_changes_weights_and_only_while_it_learns(config: Path) -> None:
    world = task(config)
    start = weights(world)
    world.run(0.6, "sines", 1)
    frozen = weights(world)
    assert start and all(np.array_equal(start[name], frozen[name]) for name in start)
    world.run(0.6, "jumps", 1, learning=True)
    learned = weights(world)
    assert any(not np.array_equal(start[name], learned[name]) for name in start)
    world.close()


def test_cycles_that_the_motor_stage_refuses_are_answered_and_time_goes_on(config: Path) -> None:
    world = task(config)
    world.run(0.2, "jumps", 1)
    world.run(0.2, "sines", 1, still=True)
    pose = world.loop.world.snapshot().joints
    begin = world.world.time
    stretch = world.run(0.4, "sines", 1, still=True)
    assert stretch.refused == stretch.errors.size == 10
    assert world.world.time - begin == pytest.approx(0.4)
    after = world.loop.world.snapshot().joints
    assert after["base_yaw"] == pytest.approx(pose["base_yaw"], abs=1e-3)
    step: Step = world.loop.step()
    assert not step.answer.executed and step.answer.reason
    assert step.reward is not None and step.reward.overall == 0.5
    assert world.run(0.2, "sines", 1).refused == 0
    world.close()


def test_feedback_reaches_the_brain_and_the_critic_can_be_switched_off(config: Path) -> None:
    world = task(config, deviation_enabled=True)
    step = world.loop.step()
    assert {d.feedback for d in step.deviations} == {"fb_left", "fb_right", "fb_down", "fb_up"}
    world.loop.on = False
    step = world.loop.step()
    assert step.reward is None and step.deviations == ()
    world.close()


def test_a_failing_policy_does_not_stop_the_loop(config: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.py"
    policy.write_text("def compute_reward(summary, *, stdp_layers):\n    return 1 / 0, {}\n")
    world = task(config, reward_policy=str(policy))
    step = world.loop.step()
    assert step.answer.executed and step.reward is None
    assert world.critic.failures == 1
    assert f"{policy}:2" in world.critic.last_failure
    world.close()


def test_a_wrong_key_is_told_with_file_and_line(config: Path, tmp_path: Path) -> None:
    text = config.read_text()
    line = next(k for k, row in enumerate(text.splitlines(), 1) if "gamma:" in row)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("gamma:", "gama:"))
    with pytest.raises(ConfigError, match=rf"wrong.yaml:{line}.*gama"):
        TrackingTask(wrong, 1)


def test_the_gripper_s_closing_half_is_heard_only_while_a_tone_is_remembered(config: Path) -> None:
    # A population that decides nothing, but fires all the time.
    eager = {"populations": {"grip": {"bias": 12.0}}}
    changes = {"sim": {"world": SMALL}, "brain": {"architecture": eager}}
    world = TrackingTask(config, 3, changes)
    half = 24

    def said(seconds: float) -> np.ndarray:
        """Return spikes by cycle: of grip and tone_grip, closing and opening."""
        rows = []
        for _ in range(round(seconds / world.period)):
            rasters = world.loop.step().cycle.rasters
            parts = [rasters[name] for name in ("grip", "tone_grip")]
            rows.append([int(p.sum()) for r in parts for p in (r[:, :half], r[:, half:])])
        return np.array(rows)

    world.world.set_motion("still", 1)  # the ball appears now, with a tone of 0.2 s
    closing, opening, closes, opens = said(1.2)[2:].T
    assert closing.sum() > 200 and opening.sum() > 200
    assert abs(closes.sum() - closing.sum()) < 0.1 * closing.sum()
    assert abs(opens.sum() - opening.sum()) < 0.1 * opening.sum()
    closing, opening, closes, opens = said(1.2)[5:].T
    assert closing.sum() > 200 and not closes.any()
    assert abs(opens.sum() - opening.sum()) < 0.1 * opening.sum()
    # A ball that appears without a tone opens nothing, and noise is none.
    world.world.microphone.muted = True
    world.world.set_motion("jumps", 1)
    closing, _, closes, _ = said(2.0).T
    assert closing.sum() > 200 and not closes.any()
    world.close()


def test_a_hand_that_was_taken_home_is_open_and_the_loop_goes_on(config: Path) -> None:
    world = task(config)
    world.run(0.4, "jumps", 1)
    world.home()
    assert world.loop.world.snapshot().joints["gripper_left"] == pytest.approx(0.03, abs=1e-3)
    stretch = world.run(0.4, "sines", 1)
    assert not stretch.refused and not stretch.measures["closed"].any()
    world.close()
