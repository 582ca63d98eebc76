"""The worm: no force is left over, waves carry it, limits hold, and both backends agree."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_ros.environments import worm as module
from ab_ros.environments.worm import JOINTS, SEGMENTS, Worm, WormSettings, sine_cosine
from ab_ros.errors import WorldError

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed"
)
ALONG = (np.arange(SEGMENTS) + 0.5) / SEGMENTS
ZERO = np.zeros(SEGMENTS)
Muscles = tuple[np.ndarray, np.ndarray]


def wave(
    time: float, *, backwards: bool = True, amplitude: float = 0.3, bias: float = 0.0
) -> Muscles:
    """An undulation of 1.5 Hz and one wavelength that runs from head to tail, or forwards."""
    sign = -1.0 if backwards else 1.0
    pull = bias + amplitude * np.sin(2 * np.pi * (1.5 * time + sign * ALONG))
    return np.maximum(pull, 0.0), np.maximum(-pull, 0.0)


def moved(worm: Worm, muscles: Callable[[float], Muscles], seconds: float) -> np.ndarray:
    """Let the worm move, and return by how much its centre did."""
    before = worm.centre
    for tick in range(round(seconds / worm.settings.dt)):
        worm.step(*muscles(tick * worm.settings.dt))
    return worm.centre - before


def segments(worm: Worm) -> tuple[np.ndarray, np.ndarray]:
    """Centres and unwrapped directions of the segments."""
    points = worm.points
    along = points[:-1] - points[1:]
    return (points[:-1] + points[1:]) / 2, np.unwrap(np.arctan2(along[:, 1], along[:, 0]))


def test_drag_leaves_no_force_and_no_torque() -> None:
    """The law of drag, applied to how the outline has moved, from outside."""
    worm = Worm(WormSettings(dt=1e-4))
    random = np.random.default_rng(1)
    for tick in range(2000):
        if tick % 200 == 0:
            dorsal, ventral = random.random((2, SEGMENTS))
        before = segments(worm)
        worm.step(dorsal, ventral)
    after = segments(worm)
    dt, length = worm.settings.dt, 1.0 / SEGMENTS
    velocity = (after[0] - before[0]) / dt
    spin = (after[1] - before[1] + np.pi) % (2 * np.pi) - np.pi
    centre, angle = (after[0] + before[0]) / 2, before[1] + spin / 2
    along = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    across = np.stack((-along[:, 1], along[:, 0]), axis=1)
    force = -length * (
        150.0 * (velocity * along).sum(1)[:, None] * along
        + 6000.0 * (velocity * across).sum(1)[:, None] * across
    )
    torque = centre[:, 0] * force[:, 1] - centre[:, 1] * force[:, 0]
    torque -= 6000.0 * length**3 / 12 * spin / dt
    assert np.abs(force).sum() > 1.0
    assert np.all(np.abs(force.sum(axis=0)) < 1e-4 * np.abs(force).sum())
    assert abs(torque.sum()) < 1e-4 * np.abs(torque).sum()


def test_there_is_no_inertia() -> None:
    worm = Worm()
    moved(worm, wave, 1.0)
    assert np.linalg.norm(moved(worm, lambda _: (ZERO, ZERO), 3.0)) > 0
    assert np.linalg.norm(moved(worm, lambda _: (ZERO, ZERO), 1.0)) < 1e-6


def test_a_stroke_that_retraces_itself_leads_nowhere() -> None:
    """The scallop theorem (Purcell, Life at low Reynolds number, 1977)."""
    worm = Worm()
    worm.place((3.0, 4.0), 1.0)
    pattern = np.random.default_rng(2).uniform(0.0, 0.6, SEGMENTS)
    start, pose = worm.centre, worm.pose.copy()
    for tick in range(6000):
        stroke = 0.5 + 0.5 * math.sin(0.002 * math.pi * tick) if tick < 4000 else 0.0
        worm.step(stroke * pattern, ZERO)
        if tick == 2400:
            assert np.abs(worm.joints).max() > 0.5
    assert np.allclose(worm.joints, 0.0, atol=1e-6)
    assert np.allclose(worm.centre, start, atol=1e-3)
    assert np.allclose(worm.pose, pose, atol=2e-3)


def test_a_wave_carries_the_worm_against_its_own_direction() -> None:
    forwards, backwards = Worm(), Worm()
    there = moved(forwards, lambda t: wave(t), 4.0)
    back = moved(backwards, lambda t: wave(t, backwards=False), 4.0)
    assert np.linalg.norm(there) > 2.0
    assert there[0] > 0.9 * np.linalg.norm(there)
    assert back[0] < -0.9 * np.linalg.norm(back)


def test_without_anisotropy_a_wave_hardly_carries() -> None:
    same = Worm(WormSettings(drag_along=6000.0))
    moved(same, wave, 2.0)
    normal = Worm()
    moved(normal, wave, 2.0)
    assert np.linalg.norm(moved(same, lambda t: wave(t), 2.0)) < 0.05 * np.linalg.norm(
        moved(normal, lambda t: wave(t), 2.0)
    )


def turned(bias: float, seconds: float = 4.0) -> float:
    """By how much the way of the worm turns to the left, rad."""
    worm = Worm()
    way = np.array([moved(worm, lambda t: wave(t, bias=bias), 2.0 / 3.0) for _ in range(6)])
    angle = np.unwrap(np.arctan2(way[:, 1], way[:, 0]))
    return float(angle[-1] - angle[1])


def test_more_muscle_on_one_side_turns_to_that_side() -> None:
    assert abs(turned(0.0)) < 1e-3
    left = turned(0.01)
    assert left > 0.5
    assert turned(-0.01) == pytest.approx(-left, rel=0.01)


def test_equal_muscles_on_both_sides_do_nothing() -> None:
    worm = Worm()
    both = np.random.default_rng(3).random(SEGMENTS)
    assert np.allclose(moved(worm, lambda _: (both, both), 0.5), 0.0)
    assert not worm.joints.any()


def test_mirrored_muscles_make_a_mirrored_worm() -> None:
    one, other = Worm(), Worm()
    moved(one, lambda t: wave(t, bias=0.02), 1.0)
    moved(other, lambda t: wave(t, bias=0.02)[::-1], 1.0)
    assert np.allclose(one.points * (1, -1), other.points, atol=1e-9)
    assert np.allclose(one.proprioception, -other.proprioception)


activation = st.lists(st.floats(-5.0, 5.0), min_size=SEGMENTS, max_size=SEGMENTS)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(activation, activation), min_size=1, max_size=4), st.floats(-3.2, 3.2))
def test_limits_hold(strokes: list[tuple[list[float], list[float]]], heading: float) -> None:
    worm = Worm(radius=1.2)
    worm.place((0.4, 0.3), heading)
    limit = worm.settings.limit
    for dorsal, ventral in strokes:
        for _ in range(150):
            before = worm.joints.copy()
            worm.step(dorsal, ventral)
            assert np.all(np.abs(worm.joints) <= limit)
            # What stands at its limit does not spin.
            stuck = (np.abs(before) == limit) & (worm.joints == before)
            assert not worm.speed[stuck].any()
            assert np.all(np.abs(worm.proprioception) <= 1.0)
            assert np.all((worm.muscle >= 0.0) & (worm.muscle <= 1.0))
            assert np.all(np.isfinite(worm.points))
            assert worm.depth < 0.02


def test_a_worm_bent_to_its_limit_comes_to_rest() -> None:
    worm = Worm()
    moved(worm, lambda _: (ZERO + 1.0, ZERO), 1.0)
    assert np.all(worm.joints == worm.settings.limit)
    before = worm.pose.copy()
    worm.step(ZERO + 1.0, ZERO)
    assert np.array_equal(worm.pose, before)
    assert not worm.speed.any()


def test_the_wall_stops_it_and_lets_it_slide() -> None:
    worm = Worm(radius=3.0)
    worm.place((1.5, 1.0), 0.2)
    for tick in range(12000):
        worm.step(*wave(tick * 0.001))
        assert np.hypot(*worm.centre) < 3.0
        assert worm.depth < 0.01
    assert np.hypot(*worm.head) > 2.5
    assert np.linalg.norm(worm.centre - (1.5, 1.0)) > 1.0


def test_segments_feel_themselves_and_what_goes_before() -> None:
    worm = Worm()
    moved(worm, wave, 0.8)
    bend = np.convolve(np.pad(worm.joints, 1, mode="edge"), (0.5, 0.5), "valid") / (np.pi / 3)
    felt = worm.proprioception
    assert felt[0] == pytest.approx(bend[0])
    assert felt[1] == pytest.approx(0.3 * bend[1] + 0.7 * bend[0])
    for i in (3, 10, 23):
        assert felt[i] == pytest.approx(0.3 * bend[i] + 0.7 * bend[i - 3 : i].mean())


def test_muscles_follow_with_their_time_constant() -> None:
    worm = Worm()
    moved(worm, lambda _: (ZERO + 1.0, ZERO), 0.1)
    assert np.allclose(worm.muscle[0], 1 - math.exp(-1))


@needs_numba
@pytest.mark.parametrize("radius", [math.inf, 2.0])
def test_both_backends_give_the_same_bits(radius: float) -> None:
    worms = Worm(radius=radius, backend="numba"), Worm(radius=radius, backend="numpy")
    random = np.random.default_rng(4)
    touched = False
    for worm in worms:
        worm.place((1.4, 0.1), 0.0)
    for tick in range(2500):
        dorsal, ventral = wave(tick * 0.001)
        dorsal = dorsal + random.normal(0.0, 0.1, SEGMENTS)
        for worm in worms:
            worm.step(dorsal, ventral)
        touched = touched or worms[0].depth > 0
        assert worms[0].depth == worms[1].depth
        for (name, one), other in zip(
            worms[0].state().items(), worms[1].state().values(), strict=True
        ):
            assert one.tobytes() == other.tobytes(), (tick, name)
        assert worms[0].points.tobytes() == worms[1].points.tobytes()
    assert touched == math.isfinite(radius)


def test_a_saved_worm_goes_on_the_same() -> None:
    worm, twin = Worm(), Worm()
    moved(worm, wave, 0.5)
    twin.restore(worm.state())
    assert np.array_equal(twin.points, worm.points)
    for w in (worm, twin):
        moved(w, lambda t: wave(t + 0.5), 0.5)
    assert twin.pose.tobytes() == worm.pose.tobytes()
    with pytest.raises(WorldError, match=r"'joints' must have the form \[23\]"):
        twin.restore({**worm.state(), "joints": np.zeros(5)})


@given(st.floats(-1e3, 1e3))
def test_sine_and_cosine_are_right(angle: float) -> None:
    sine, cosine = sine_cosine(np.array([angle]))
    assert sine[0] == pytest.approx(math.sin(angle), abs=1e-12)
    assert cosine[0] == pytest.approx(math.cos(angle), abs=1e-12)


def test_bad_input_is_refused_and_changes_nothing() -> None:
    worm = Worm()
    bad = ZERO.copy()
    bad[7] = np.nan
    before = worm.state()
    with pytest.raises(WorldError, match="ventral activation of segment 7 must be finite, not nan"):
        worm.step(ZERO, bad)
    with pytest.raises(
        WorldError, match=r"dorsal activation must have the form \[24\], not \[23\]"
    ):
        worm.step(np.zeros(JOINTS), ZERO)
    assert all(np.array_equal(worm.state()[name], array) for name, array in before.items())
    with pytest.raises(WorldError, match="no half body length to the wall"):
        Worm(radius=30.0).place((29.9, 0.0), 0.0)
    with pytest.raises(WorldError, match="unknown 'gpu'; one of: auto, numpy, numba"):
        Worm(backend="gpu")  # type: ignore[arg-type]


def test_numba_that_is_broken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("numba needs another NumPy")

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(module.importlib, "import_module", broken)
    with pytest.warns(RuntimeWarning, match="passed over"):
        worm = Worm()
    worm.step(ZERO, ZERO)
    with pytest.raises(WorldError, match="another NumPy"):
        Worm(backend="numba")
