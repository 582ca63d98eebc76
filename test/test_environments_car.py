"""The simulated car: drives as told, stops when it is not, knows its way, sees what is there."""

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.environments.car import CAR_URDF, CarSettings, CarWorld
from ab_ros.environments.car_robot import CarRobot
from ab_ros.environments.floor_motion import FloorMotion, FloorMotionSettings, Pose
from ab_ros.environments.rendering import choose_backend
from ab_ros.errors import ConfigError, WorldError
from ab_ros.motion import limits_from_urdf

SMALL = {"renderer": "rays", "image_width": 64, "image_height": 48}


@pytest.fixture(scope="module")
def shared() -> Iterator[CarWorld]:
    with CarWorld(CarSettings(renderer="rays"), seed=1) as world:
        yield world


@pytest.fixture
def world(shared: CarWorld) -> CarWorld:
    shared.mirror = False
    shared.set_motion("still", 0)
    shared.reset()
    return shared


def go(world: CarWorld, linear: float, angular: float, seconds: float) -> None:
    """Drive at a speed, told every 20 ms."""
    for _ in range(round(seconds / 0.02)):
        world.drive(linear, angular)
        world.advance(0.02)


# Driving


def test_it_drives_ahead_and_turns_left_at_the_speeds_it_is_told(world: CarWorld) -> None:
    go(world, 0.4, 0.0, 0.5)
    start = world.pose()
    go(world, 0.4, 0.0, 1.0)
    assert world.pose().x - start.x == pytest.approx(0.4, rel=0.03)
    assert abs(world.pose().y) < 0.005 and abs(world.pose().heading) < 0.005
    go(world, 0.0, 0.0, 0.5)
    go(world, 0.0, 1.0, 0.5)
    start = world.pose()
    go(world, 0.0, 1.0, 1.0)
    assert world.pose().heading - start.heading == pytest.approx(1.0, rel=0.06)
    assert math.hypot(world.pose().x - start.x, world.pose().y - start.y) < 0.01


def test_wheels_tell_speeds_and_way(world: CarWorld) -> None:
    for linear, angular in ((0.5, 0.0), (0.3, 0.8), (-0.4, -0.5)):
        go(world, linear, angular, 1.5)
        odometry = world.odometry()
        assert odometry.linear == pytest.approx(linear, abs=0.03)
        assert odometry.angular == pytest.approx(angular, abs=0.08)
    said, true = world.odometry().pose, world.pose()
    assert math.hypot(said.x - true.x, said.y - true.y) < 0.1
    assert math.remainder(said.heading - true.heading, 2 * math.pi) == pytest.approx(0, abs=0.1)
    assert world.joint_names == ("left_wheel_joint", "right_wheel_joint")
    state = world.joint_state()
    # Forward is positive on both sides: the last arc is backward to the right.
    assert state.velocity[0] > state.velocity[1] and np.all(state.velocity < 0)


def test_what_wheels_are_too_slow_for_is_slowed_down_along_the_same_arc(world: CarWorld) -> None:
    before = world.limited
    world.drive(10.0, 20.0)
    assert world.limited == before + 1
    left, right = world.data.ctrl * world.radius
    assert max(abs(left), abs(right)) == pytest.approx(25 * world.radius)
    assert (right - left) / world.separation / ((right + left) / 2) == pytest.approx(2.0)


def test_it_stops_when_commands_fail_to_come(world: CarWorld) -> None:
    go(world, 0.6, 0.5, 1.0)
    world.advance(0.4)
    assert world.odometry().linear == pytest.approx(0.6, abs=0.03)
    world.advance(0.6)
    assert world.odometry().linear == pytest.approx(0.0, abs=0.01)
    rest = world.pose()
    world.advance(5.0)
    assert math.hypot(world.pose().x - rest.x, world.pose().y - rest.y) < 0.005
    # A command moves it again.
    go(world, 0.6, 0.0, 0.3)
    assert world.odometry().linear == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("speeds", [(math.nan, 0.0), (0.0, math.inf)])
def test_speeds_that_are_not_finite_are_refused(
    world: CarWorld, speeds: tuple[float, float]
) -> None:
    world.drive(0.2, 0.0)
    before = world.data.ctrl.copy()
    with pytest.raises(WorldError, match="finite"):
        world.drive(*speeds)
    assert np.array_equal(world.data.ctrl, before)


def test_a_twist_that_two_wheels_cannot_follow_is_refused(world: CarWorld) -> None:
    robot = CarRobot(world, {})
    robot.follow("cmd_vel", {"linear_x": 0.2, "linear_y": 0.0, "angular_z": 0.1})
    with pytest.raises(WorldError, match=r"cmd_vel: linear_y is 0.1.*one of: linear_x, angular_z"):
        robot.follow("cmd_vel", {"linear_x": 0.2, "linear_y": 0.1})
    with pytest.raises(WorldError, match="linear_x must be finite"):
        robot.follow("cmd_vel", {"linear_x": math.nan})


# Time


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 0.05), max_size=10))
def test_time_in_pieces_is_time_as_a_whole(pieces: list[float]) -> None:
    one, other = (CarWorld(CarSettings(renderer="rays"), seed=2) for _ in range(2))
    nanoseconds = [round(piece * 1e9) for piece in pieces]
    for world in (one, other):
        world.set_motion("still", 0)
        world.drive(0.5, 0.7)
    for piece in nanoseconds:
        one.advance(piece / 1e9)
    other.advance(sum(nanoseconds) / 1e9)
    assert one.time == other.time
    assert (one.pose(), one.odometry()) == (other.pose(), other.odometry())


def test_the_same_seed_gives_the_same_numbers() -> None:
    def run(seed: int) -> tuple[Pose, bytes]:
        with CarWorld(parse(CarSettings, SMALL), seed) as car:
            for speed in np.random.default_rng(0).normal(0, 0.5, (40, 2)):
                car.drive(*speed)
                car.advance(0.04)
            return car.pose(), car.render().tobytes()

    assert run(1) == run(1)
    assert run(1)[1] != run(2)[1]


def test_reset_brings_it_back_and_the_clock_goes_on(world: CarWorld) -> None:
    start = world.pose()
    go(world, 0.5, 0.5, 1.0)
    before = world.time
    world.reset(4)
    assert world.pose() == start and world.odometry().pose == Pose(0.0, 0.0, 0.0)
    assert world.motion.seed == 4 and world.time == before
    world.advance(1.0)
    assert world.pose().x == pytest.approx(start.x, abs=1e-3)


# The ball


def test_the_ball_at_the_distance_to_keep_is_in_the_middle(world: CarWorld) -> None:
    assert world.distance_to_keep == pytest.approx(1.0, abs=0.01)
    assert np.degrees(world.bearing()) == pytest.approx((0, 0), abs=0.2)
    assert world.target() == pytest.approx((0.0, 1.0), abs=0.01)
    go(world, 0.4, 0.0, 1.0)
    assert world.bearing()[1] < -0.1 and world.target()[1] < 0.7
    world.reset()
    go(world, 0.0, 1.0, 0.4)
    # It has turned left: the ball is to the right.
    assert world.bearing()[0] > 0.2 and world.target()[0] > 0.2


@pytest.mark.parametrize("backend", sorted({"rays", choose_backend()}))
def test_the_ball_appears_where_its_bearing_says(backend: str) -> None:
    with CarWorld(CarSettings(renderer=backend), seed=1) as car:
        for seed in range(4):
            car.set_motion("jumps", seed)
            image, info = car.render().astype(int), car.camera_info()
            red = np.clip(image[..., 0] - image[..., 1:].max(axis=-1), 0, None)
            column = (red.sum(axis=0) @ np.arange(info.width)) / red.sum()
            row = (red.sum(axis=1) @ np.arange(info.height)) / red.sum()
            azimuth, elevation = car.bearing()
            assert column == pytest.approx(info.cx + info.fx * math.tan(azimuth), abs=4)
            tilt = math.tan(elevation) / math.cos(azimuth)
            assert row == pytest.approx(info.cy - info.fy * tilt, abs=4)


def test_every_jump_leads_into_view_wherever_it_drives(world: CarWorld) -> None:
    world.set_motion("jumps", 7)
    random = np.random.default_rng(3)
    period = world.settings.motion.jump_period
    for jump in range(30):
        assert world.visible, jump
        azimuth, distance = world.target()
        assert abs(math.degrees(azimuth)) < 46 and 0.4 < distance < 2.5
        go(world, *random.uniform(-1, 1, 2), period)


def test_a_hidden_ball_has_no_place(world: CarWorld) -> None:
    world.set_motion("hidden", 0)
    assert all(math.isnan(value) for value in (*world.bearing(), *world.target()))
    assert not world.visible
    image = world.render().astype(int)
    assert not np.any(image[..., 0] > image[..., 1:].max(axis=-1) + 5)


@given(seed=st.integers(0, 10_000), x=st.floats(-9, 9), heading=st.floats(-3, 3))
def test_a_walk_begins_ahead_and_is_as_fast_as_the_settings_say(
    seed: int, x: float, heading: float
) -> None:
    chosen = FloorMotionSettings()
    motion = FloorMotion(chosen, "sines", seed, keep=1.0)
    pose = Pose(x, 1.0, heading)
    motion.stand(pose, 0.0)
    places = np.array([motion.place(time) for time in np.arange(0, 20, 0.02)])
    assert places[0] == pytest.approx(pose.ahead(1.0, 0.0))
    speeds = np.hypot(*np.diff(places, axis=0).T) / 0.02
    assert math.sqrt((speeds**2).mean()) == pytest.approx(0.35 * chosen.walk, rel=0.02)
    assert speeds.max() <= 0.66 * chosen.walk


@given(seed=st.integers(0, 1000), angle=st.floats(-3, 3), heading=st.floats(-3, 3))
def test_far_from_its_start_jumps_lead_it_back(seed: int, angle: float, heading: float) -> None:
    chosen = FloorMotionSettings(jump_drift=0.0)
    motion = FloorMotion(chosen, "jumps", seed, keep=1.0)
    far = Pose(9 * math.cos(angle), 9 * math.sin(angle), heading)
    motion.stand(far, 0.0)
    x, y = motion.place(0.0)
    distance = math.hypot(x - far.x, y - far.y)
    assert chosen.nearest - 1e-9 <= distance <= chosen.farthest + 1e-9
    outward = math.cos(angle - heading) > 0
    assert distance <= 1 + 1e-9 if outward else distance >= 1 - 1e-9


# The robot's description


def test_the_urdf_is_of_primitives_and_has_the_standard_frames() -> None:
    robot = ElementTree.parse(CAR_URDF).getroot()
    links = {link.get("name") for link in robot.iterfind("link")}
    assert links >= {"base_footprint", "base_link", "camera_link", "camera_optical_frame"}
    shapes = {shape.tag for geometry in robot.iter("geometry") for shape in geometry}
    assert shapes <= {"box", "cylinder", "sphere"}
    limits = limits_from_urdf(CAR_URDF.read_text(encoding="utf-8"))
    assert {name: (limit.continuous, limit.velocity) for name, limit in limits.items()} == {
        "left_wheel_joint": (True, 25.0),
        "right_wheel_joint": (True, 25.0),
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("left_wheel_joint", "wheel_1"), "left_wheel: .* has no joint 'left_wheel_joint'"),
        (('rpy="0 0.4061 0"', 'rpy="0 0 0"'), "the camera must .* look down"),
        (("camera_optical_frame", "lens"), "no link 'camera_optical_frame'"),
    ],
)
def test_urdfs_that_lack_something_are_refused(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = tmp_path / "car.urdf"
    path.write_text(CAR_URDF.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        CarWorld(CarSettings(urdf=str(path), renderer="rays"))


def test_wheels_may_be_said_to_be_other_than_they_are() -> None:
    with CarWorld(CarSettings(renderer="rays", wheel_separation=0.4, wheel_radius=0.08)) as car:
        car.drive(0.4, 0.0)
        assert car.data.ctrl == pytest.approx((5.0, 5.0))
        car.drive(0.0, 1.0)
        assert car.data.ctrl == pytest.approx((-2.5, 2.5))
