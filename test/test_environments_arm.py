"""The simulated arm: exact time, fast servos, true bearings, correct pictures."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.config import parse
from ab_ros.environments import rendering
from ab_ros.environments.arm import ARM_URDF, ArmSettings, ArmWorld
from ab_ros.environments.rendering import choose_backend
from ab_ros.errors import ConfigError, WorldError

EYES = ("base_yaw", "wrist_pitch")


@pytest.fixture(scope="module")
def shared() -> Iterator[ArmWorld]:
    with ArmWorld(ArmSettings(renderer="rays"), seed=1) as world:
        yield world


@pytest.fixture
def world(shared: ArmWorld) -> ArmWorld:
    shared.mirror = False
    shared.set_motion("still", 0)
    shared.reset()
    return shared


def backends() -> list[str]:
    """Return the back ends that one process can use: rays, and the OpenGL that auto takes."""
    return ["rays", *(name for name in [choose_backend()] if name != "rays")]


def redness(image: np.ndarray) -> np.ndarray:
    colour = image.astype(int)
    return np.clip(colour[..., 0] - colour[..., 1:].max(axis=-1), 0, None)


def ball_column(image: np.ndarray) -> float:
    weight = redness(image).sum(axis=0)
    return float((weight * (np.arange(len(weight)) + 0.5)).sum() / weight.sum())


# Time


def test_time_is_exactly_what_was_asked_for(world: ArmWorld) -> None:
    start = world.time
    for _ in range(30):
        world.advance(1 / 30)
    world.play(EYES, np.zeros((40, 2)), 0.001)
    world.play(EYES, np.zeros((3, 2)), 0.0007)
    assert world.time - start == pytest.approx(1.0 + 0.04 + 0.0021, abs=1e-7)
    assert world.data.time == pytest.approx(world.time - start, abs=world.settings.timestep)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 0.05), max_size=10))
def test_time_in_pieces_is_time_as_a_whole(pieces: list[float]) -> None:
    one, other = (ArmWorld(ArmSettings(renderer="rays"), seed=2) for _ in range(2))
    nanoseconds = [round(piece * 1e9) for piece in pieces]
    for world in (one, other):
        world.set_targets(EYES, (0.3, -0.2))
    for piece in nanoseconds:
        one.advance(piece / 1e9)
    other.advance(sum(nanoseconds) / 1e9)
    assert one.time == other.time
    assert np.array_equal(one.joint_state().position, other.joint_state().position)


def test_the_same_seed_gives_the_same_numbers() -> None:
    def run(seed: int) -> tuple[bytes, bytes, bytes]:
        points = np.cumsum(np.random.default_rng(0).normal(0, 0.01, (200, 2)), axis=0)
        with ArmWorld(ArmSettings(renderer="rays", image_width=64, image_height=48), seed) as arm:
            for cycle in points.reshape(5, 40, 2):
                arm.play(EYES, cycle, 0.001)
            state = arm.joint_state()
            return state.position.tobytes(), state.velocity.tobytes(), arm.render().tobytes()

    assert run(1) == run(1)
    assert run(1)[2] != run(2)[2]


def test_reset_brings_the_arm_home_and_the_clock_goes_on(world: ArmWorld) -> None:
    home = world.joint_state().position
    world.set_targets(EYES, (0.5, 0.3))
    world.advance(0.3)
    before = world.time
    world.reset(4)
    assert np.array_equal(world.joint_state().position, home)
    assert world.motion.seed == 4
    assert world.time == before
    world.advance(0.2)
    assert np.allclose(world.joint_state().position, home, atol=1e-4)


# Servos


@pytest.mark.parametrize("joint", ["base_yaw", "shoulder_pitch", "elbow_pitch", "wrist_pitch"])
def test_a_small_step_settles_within_40_ms_without_overshoot(world: ArmWorld, joint: str) -> None:
    index = world.joint_names.index(joint)
    positions = []
    world.set_targets([joint], [math.radians(5)])
    for _ in range(50):
        world.advance(0.002)
        positions.append(np.degrees(world.joint_state().position[:4]))
    moved = np.array(positions)
    assert np.all(np.abs(moved[20:, index] - 5) < 0.1)
    assert moved[:, index].max() < 5.1
    assert np.abs(np.delete(moved, index, axis=1)).max() < 1.0


def test_a_ramp_of_120_degrees_per_second_is_followed_closely(world: ArmWorld) -> None:
    ramp = np.radians(120 * np.arange(1, 251) / 1000)
    world.play(EYES, np.stack((ramp, -ramp), axis=1), 0.001)
    state = world.joint_state()
    at = [world.joint_names.index(name) for name in EYES]
    assert np.degrees(state.position[at]) == pytest.approx((30, -30), abs=2)
    assert np.degrees(state.velocity[at]) == pytest.approx((120, -120), abs=2)


def test_both_fingers_close_together(world: ArmWorld) -> None:
    assert world.joint_state().position[4:] == pytest.approx((0.03, 0.03), abs=1e-4)
    world.set_targets(["gripper_left"], [0.0])
    world.advance(0.2)
    assert world.joint_state().position[4:] == pytest.approx((0, 0), abs=5e-4)


def test_set_points_beyond_the_limits_are_brought_back_and_counted(world: ArmWorld) -> None:
    before = world.clipped
    world.play(["wrist_pitch"], [[5.0], [-5.0], [0.1]], 0.001)
    assert world.clipped == before + 2
    world.set_targets(["wrist_pitch"], [9.0])
    world.advance(1.0)
    position = world.joint_state().position[world.joint_names.index("wrist_pitch")]
    assert position <= world.limits["wrist_pitch"][1] + 0.01


@pytest.mark.parametrize(
    ("names", "points", "message"),
    [
        (["elbow"], [[0.0]], "'elbow' is not known; one of: base_yaw"),
        (["gripper_right"], [[0.0]], "mimics another"),
        (["base_yaw", "base_yaw"], [[0.0, 0.0]], "twice"),
        (["base_yaw"], [[math.nan]], "'base_yaw' must be finite"),
        (["base_yaw"], [[0.0, 1.0]], r"form \[P >= 1, 1\]"),
        (["base_yaw"], np.zeros((0, 1)), r"form \[P >= 1, 1\]"),
    ],
)
def test_bad_set_points_are_refused_as_a_whole(
    world: ArmWorld, names: list[str], points: object, message: str
) -> None:
    before = world.time, world.data.ctrl.copy()
    with pytest.raises(WorldError, match=message):
        world.play(names, points, 0.001)  # type: ignore[arg-type]
    assert world.time == before[0]
    assert np.array_equal(world.data.ctrl, before[1])


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_time_does_not_go_back_or_stand_on_nonsense(world: ArmWorld, seconds: float) -> None:
    with pytest.raises(WorldError, match="finite"):
        world.advance(seconds)
    with pytest.raises(WorldError, match="finite"):
        world.play(["base_yaw"], [[0.0]], seconds)


# The ball


def test_pan_and_tilt_move_the_bearing_one_to_one(world: ArmWorld) -> None:
    assert world.bearing() == pytest.approx((0, 0), abs=1e-4)
    for joint, axis in (("base_yaw", 0), ("wrist_pitch", 1)):
        world.reset()
        world.set_targets([joint], [0.2])
        world.advance(0.5)
        bearing = world.bearing()
        assert bearing[axis] == pytest.approx(0.2, rel=0.05)
        assert bearing[1 - axis] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("backend", backends())
def test_the_ball_appears_where_its_bearing_says(backend: str) -> None:
    with ArmWorld(ArmSettings(renderer=backend), seed=1) as arm:
        arm.set_motion("still", 0)
        for yaw, pitch in ((0.0, 0.0), (0.3, 0.1), (-0.3, -0.2)):
            arm.set_targets(EYES, (yaw, pitch))
            arm.advance(0.5)
            image, info = arm.render(), arm.camera_info()
            azimuth, elevation = arm.bearing()
            column = info.cx + info.fx * math.tan(azimuth)
            row = info.cy - info.fy * math.tan(elevation) / math.cos(azimuth)
            red = redness(image)
            rows = (red.sum(axis=1) * (np.arange(240) + 0.5)).sum() / red.sum()
            assert image.shape == (240, 320, 3)
            assert image.dtype == np.uint8
            assert ball_column(image) == pytest.approx(column, abs=1.5)
            assert rows == pytest.approx(row, abs=1.5)
            assert arm.visible
            # At least 8 px wide, and nothing else is red.
            assert 8 <= np.count_nonzero(red.max(axis=0) > 60) <= 24


@pytest.mark.parametrize("backend", backends())
def test_without_the_ball_nothing_is_red(backend: str) -> None:
    with ArmWorld(ArmSettings(renderer=backend), seed=1) as arm:
        arm.set_motion("hidden", 0)
        assert redness(arm.render()).max() == 0
        assert redness(arm.render("overview")).max() == 0
        assert not arm.visible
        assert all(math.isnan(angle) for angle in arm.bearing())


def test_back_ends_draw_the_same_picture() -> None:
    images = []
    for backend in backends():
        with ArmWorld(ArmSettings(renderer=backend), seed=1) as arm:
            images.append(arm.render().astype(float))
    for image in images[1:]:
        assert np.abs(image - images[0]).mean() < 12


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_each_opengl_draws_in_a_process_of_its_own(backend: str, tmp_path: Path) -> None:
    if rendering.probe(backend):
        pytest.skip(f"{backend} does not work here: {rendering.probe(backend)}")
    script = (
        "import numpy; from ab_ros.environments.arm import ArmSettings, ArmWorld\n"
        f"with ArmWorld(ArmSettings(renderer={backend!r}), seed=1) as arm:\n"
        f"    numpy.save({str(tmp_path / 'drawn.npy')!r}, arm.render())"
    )
    chosen = ("MUJOCO_GL", "PYOPENGL_PLATFORM")
    environment = {k: v for k, v in os.environ.items() if k not in chosen}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    picture = np.load(tmp_path / "drawn.npy")
    with ArmWorld(ArmSettings(renderer="rays"), seed=1) as arm:
        assert np.abs(picture.astype(float) - arm.render()).mean() < 12


def test_a_second_opengl_in_one_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_in_use", {"gl": "osmesa"})
    with (
        ArmWorld(ArmSettings(renderer="rays"), seed=1) as arm,
        pytest.raises(WorldError, match="draws with osmesa already"),
    ):
        rendering.make_renderer(arm.model, "egl")


def test_mirroring_turns_the_image_and_not_the_world(world: ArmWorld) -> None:
    world.set_targets(EYES, (0.3, 0.0))
    world.advance(0.3)
    plain, bearing = world.render(), world.bearing()
    world.mirror = True
    assert np.array_equal(world.render(), plain[:, ::-1])
    assert world.bearing() == bearing


def test_the_ball_can_be_seen_from_the_whole_range_of_the_paths(world: ArmWorld) -> None:
    for mode in ("jumps", "sines"):
        world.set_motion(mode, 3)
        seen = []
        for _ in range(200):
            world.advance(0.05)
            seen.append(world.visible)
        assert np.mean(seen) == 1.0


def test_the_overview_shows_the_ball(world: ArmWorld) -> None:
    assert redness(world.render("overview")).max() > 100


# What can go wrong


def test_a_closed_world_and_an_unknown_camera_say_so() -> None:
    arm = ArmWorld(ArmSettings(renderer="rays"), seed=1)
    with pytest.raises(WorldError, match="one of: eye, overview"):
        arm.render("nose")
    arm.close()
    arm.close()
    with pytest.raises(WorldError, match="closed"):
        arm.render()


def test_unstable_physics_is_reported_and_a_reset_mends_it(world: ArmWorld) -> None:
    world.data.qvel[0] = math.inf
    with pytest.raises(WorldError, match=r"physics became unstable .* reset the world"):
        world.advance(0.01)
    world.reset()
    world.advance(0.01)
    assert np.isfinite(world.joint_state().position).all()


@pytest.mark.parametrize("backend", [name for name in backends() if name != "rays"])
def test_an_opengl_picture_from_a_second_thread_is_refused(backend: str) -> None:
    with ArmWorld(ArmSettings(renderer=backend), seed=1) as arm, ThreadPoolExecutor(1) as pool:
        arm.render()
        with pytest.raises(WorldError, match="by the thread that made it"):
            pool.submit(arm.render).result()
        arm.render()


def test_two_worlds_do_not_draw_into_each_other() -> None:
    with ArmWorld(seed=1) as one, ArmWorld(seed=1) as other:
        other.set_motion("hidden", 0)
        for _ in range(2):
            assert redness(one.render()).max() > 60
            assert redness(other.render()).max() == 0


def test_bad_urdf_files_say_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"urdf: .*none.urdf cannot be read: No such file"):
        ArmWorld(ArmSettings(urdf=str(tmp_path / "none.urdf"), renderer="rays"))
    text = ARM_URDF.read_text()
    for content, message in (
        ("not xml", "is not XML"),
        ("<world/>", "must hold a <robot>"),
        ("<robot name='r'><link name='a'/></robot>", "has no link 'camera_optical_frame'"),
        (text.replace('link="turret"', 'link="nowhere"'), "cannot be used"),
    ):
        file = tmp_path / "bad.urdf"
        file.write_text(content)
        with pytest.raises(ConfigError, match=re.escape(str(file)) + ".*" + message):
            ArmWorld(ArmSettings(urdf=str(file), renderer="rays"))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"product must be at most 0.6"):
        parse(ArmSettings, {"bandwidth": 400.0, "timestep": 0.004})
    with pytest.raises(ConfigError, match=r"renderer.*one of: auto, egl, osmesa, rays"):
        parse(ArmSettings, {"renderer": "vulkan"})
    with pytest.raises(ConfigError, match=r"motion\.jump_azimuth"):
        parse(ArmSettings, {"motion": {"jump_azimuth": 90.0}})


def test_mujoco_gl_chooses_the_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    assert choose_backend() == "rays"
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    with pytest.raises(ConfigError, match="MUJOCO_GL: 'vulkan' is not known"):
        choose_backend()


def test_without_a_gl_library_rays_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "_probed", {"egl": "no libEGL", "osmesa": "no libOSMesa"})
    assert choose_backend() == "rays"
    with pytest.raises(WorldError, match=r"no libEGL.*install libegl1.*or choose rays"):
        choose_backend("egl")


def test_a_named_but_missing_library_does_not_break_the_import() -> None:
    code = (
        "from ab_ros.environments.arm import ArmWorld, ArmSettings\n"
        "print(len(ArmWorld(ArmSettings(renderer='rays')).render()))"
    )
    environment = dict(os.environ, MUJOCO_GL="osmesa")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "240"), done.stderr
