"""The simulated robot's controller: interpolates commands, holds the last, refuses bad ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ab_ros.environments.arm import ArmWorld
from ab_ros.environments.arm_robot import ArmRobot
from ab_ros.environments.follower import TrajectoryFollower
from ab_ros.environments.robot import target_direction
from ab_ros.errors import WorldError

NAN, INF = float("nan"), float("inf")


def at(follower: TrajectoryFollower, *times: float) -> list[list[float]]:
    return follower.sample(np.array(times)).tolist()


def test_it_interpolates_and_holds_the_last_point() -> None:
    follower = TrajectoryFollower()
    follower.follow("arm", ["yaw"], [0.0, 0.1, 0.2], [[0.0], [1.0], [3.0]], now=5.0)
    assert follower.names == ("yaw",)
    assert at(follower, 5.05, 5.15, 9.0) == [[pytest.approx(0.5)], [pytest.approx(2.0)], [3.0]]


def test_a_new_command_starts_from_where_the_old_one_is() -> None:
    follower = TrajectoryFollower()
    follower.follow("arm", ["yaw"], [0.0, 1.0], [[0.0], [1.0]], now=0.0)
    follower.follow("arm", ["yaw"], [0.5], [[0.0]], now=0.5)
    assert at(follower, 0.5, 0.75, 1.0) == [[0.5], [0.25], [0.0]]


def test_topics_play_side_by_side() -> None:
    follower = TrajectoryFollower()
    follower.follow("arm", ["yaw", "pitch"], [0.0], [[1.0, 2.0]], now=0.0)
    follower.follow("gripper", ["finger"], [0.0], [[0.02]], now=0.0)
    assert follower.names == ("yaw", "pitch", "finger")
    assert at(follower, 1.0) == [[1.0, 2.0, 0.02]]
    with pytest.raises(WorldError, match="'yaw' is already commanded by arm"):
        follower.follow("other", ["yaw"], [0.0], [[0.0]], now=0.0)
    follower.clear()
    assert follower.names == () and follower.sample(np.zeros(3)).shape == (3, 0)


@pytest.mark.parametrize(
    ("times", "points", "says"),
    [
        ([], np.empty((0, 1)), "0 times"),
        ([0.1], [[0.0, 1.0]], r"must have positions \[1, 1\]"),
        ([0.1], [0.0], "must have positions"),
        ([0.1, 0.1], [[0.0], [0.1]], "must ascend"),
        ([-0.1], [[0.0]], "must ascend from 0"),
        ([NAN], [[0.0]], "must be finite"),
        ([0.1], [[INF]], "must be finite"),
    ],
)
def test_a_command_that_cannot_be_followed_is_refused_and_the_old_one_goes_on(
    times: object, points: object, says: str
) -> None:
    follower = TrajectoryFollower()
    follower.follow("arm", ["yaw"], [0.0, 1.0], [[0.0], [1.0]], now=0.0)
    with pytest.raises(WorldError, match=says):
        follower.follow("arm", ["yaw"], times, points, now=0.2)  # type: ignore[arg-type]
    assert at(follower, 0.5) == [[0.5]]


@pytest.fixture
def robot() -> Iterator[ArmRobot]:
    with ArmWorld(seed=1) as world:
        yield ArmRobot(world, {})


@pytest.mark.parametrize(
    ("names", "positions", "says"),
    [
        (["elbowx"], [0.1], "joint 'elbowx' cannot be commanded; one of: base_yaw"),
        (["base_yaw", "base_yaw"], [0.1, 0.1], "named twice"),
        (["base_yaw"], [99.0], "base_yaw is commanded to 99, beyond its limits"),
        (["base_yaw"], [NAN], "finite"),
        (["base_yaw"], [INF], "beyond its limits"),
    ],
)
def test_a_simulated_robot_does_not_move_on_a_bad_command(
    robot: ArmRobot, names: list[str], positions: list[float], says: str
) -> None:
    robot.follow("arm", ["base_yaw"], [0.02], [[0.1]])
    robot.pass_time(0.5)
    with pytest.raises(WorldError, match=says):
        robot.follow("arm", names, [0.02], [positions])
    robot.pass_time(0.5)
    joints = robot.snapshot().joints
    assert joints["base_yaw"] == pytest.approx(0.1, abs=0.01)
    assert robot.time == pytest.approx(1.0)


@pytest.mark.parametrize("duration", [0.0, 0.04, 0.0375, 0.0005, 0.0012])
def test_exactly_the_duration_passes(robot: ArmRobot, duration: float) -> None:
    for _ in range(3):
        robot.execute([], duration)
    assert robot.time == pytest.approx(3 * duration, abs=1e-9)
    robot.follow("arm", ["base_yaw"], [0.01], [[0.01]])
    before = robot.time
    robot.execute([], duration)
    assert robot.time - before == pytest.approx(duration, abs=1e-9)


def test_the_direction_of_the_target_in_the_optical_frame() -> None:
    assert target_direction(0.0, 0.0) == pytest.approx((0.0, 0.0, 1.0))
    right, down, forward = target_direction(0.3, 0.2) or (0.0, 0.0, 0.0)
    assert right > 0 > down and forward > 0
    assert right**2 + down**2 + forward**2 == pytest.approx(1.0)
    assert target_direction(NAN, 0.0) is None
