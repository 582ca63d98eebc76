"""Pictures: readable files of the promised size, written at once, and clear refusals."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from ab_ros.errors import ConfigError
from ab_ros.viz import (
    AnimationFrame,
    Phase,
    Probe,
    TaskCurves,
    contact_sheet,
    learning_curve,
    learning_tasks,
    save,
    spike_raster,
    write_animation,
    write_bytes,
)

RANDOM = np.random.default_rng(0)


def spikes(timesteps: int, neurons: int) -> np.ndarray:
    return (RANDOM.random((timesteps, neurons)) < 0.03).astype(np.uint8)


def picture(width: int, height: int, colour: tuple[int, int, int]) -> np.ndarray:
    frame = np.full((height, width, 3), 180, np.uint8)
    frame[height // 3 : height // 2, width // 3 : width // 2] = colour
    return frame


def story(frames: int, noise: bool = False) -> list[AnimationFrame]:
    made = []
    for index in range(frames):
        overview = picture(120, 90, (220, 20, 20))
        eye = np.roll(picture(64, 48, (220, 20, 20)), index, axis=1)
        if noise:
            overview = RANDOM.integers(0, 255, overview.shape, np.uint8)
        phase = "before" if index < frames // 2 else "learned"
        made.append(AnimationFrame(overview, eye, phase, float(index)))
    return made


def open_png(path: Path) -> Image.Image:
    image = Image.open(path)
    image.load()
    assert image.format == "PNG"
    return image


def test_a_raster_shows_every_population(tmp_path: Path) -> None:
    figure = spike_raster(
        {
            "retina": spikes(400, 192),
            "pan": spikes(400, 12),
            "silent": np.zeros((400, 4), np.uint8),
        },
        0.001,
        cycle_timesteps=40,
    )
    labels = [axes.get_ylabel().split("\n")[0] for axes in figure.axes]
    assert {"retina", "pan", "silent"} <= set(labels)
    assert "0.0 Hz" in [text.get_text() for axes in figure.axes for text in axes.texts]
    assert open_png(save(figure, tmp_path / "raster.png")).width == 1600


def test_a_raster_needs_populations_of_one_length() -> None:
    with pytest.raises(ConfigError, match="same T"):
        spike_raster({"a": spikes(10, 2), "b": spikes(11, 2)}, 0.001)
    with pytest.raises(ConfigError, match="same T"):
        spike_raster({}, 0.001)
    with pytest.raises(ConfigError, match="greater than 0"):
        spike_raster({"a": spikes(10, 2)}, 0.0)


def test_a_learning_curve_names_its_probes_and_controls(tmp_path: Path) -> None:
    time = np.arange(0, 40, 0.04)
    error = np.abs(14 * np.exp(-time / 10) * RANDOM.normal(1, 0.3, len(time)))
    error[100:120] = math.nan
    figure = learning_curve(
        time,
        error,
        still=14.0,
        phases=[Phase("learning", 0, 30, learning=True), Phase("learned", 30, 40)],
        probes=[Probe("learned", 39, 3.1)],
        controls={"no learning": 14.2},
        control_curves={"no learning": (time, np.full(len(time), 14.2))},
    )
    left, right = figure.axes
    assert "learned\n3.1°" in [text.get_text() for text in left.texts]
    assert [label.get_text() for label in right.get_yticklabels()] == [
        "held still",
        "learned",
        "no learning",
    ]
    open_png(save(figure, tmp_path / "learning.png"))


@pytest.mark.parametrize("samples", [1, 3])
def test_a_learning_curve_can_be_very_short(tmp_path: Path, samples: int) -> None:
    figure = learning_curve(np.arange(samples) * 0.04, np.full(samples, 5.0), still=14.0)
    open_png(save(figure, tmp_path / "short.png"))
    unknown = learning_curve(np.arange(samples) * 0.04, np.full(samples, np.nan), still=14.0)
    open_png(save(unknown, tmp_path / "unknown.png"))


def test_a_learning_curve_refuses_unequal_lists() -> None:
    with pytest.raises(ConfigError, match="one length"):
        learning_curve([0.0, 1.0], [1.0], still=14.0)


def test_the_running_rms_does_not_mix_phases() -> None:
    time = np.arange(0, 20, 0.1)
    error = np.where(time < 10, 30.0, 2.0)
    phases = [Phase("a", 0, 10), Phase("b", 10, 20)]
    figure = learning_curve(time, error, still=14.0, phases=phases)
    curve = figure.axes[0].lines[-1].get_ydata()
    values = np.asarray(curve, float)
    assert np.nanmax(values[time >= 10]) == pytest.approx(2.0)
    assert np.nanmin(values[time < 10]) == pytest.approx(30.0)


def test_a_contact_sheet_holds_its_frames(tmp_path: Path) -> None:
    frames = [picture(64, 48, (10 * index, 0, 200)) for index in range(5)]
    sheet = contact_sheet(frames, [f"frame {index}\nlater" for index in range(5)], columns=3)
    assert sheet.width == 1600
    assert open_png(save(sheet, tmp_path / "frames.png")).size == sheet.size
    assert contact_sheet(frames[:1], width=300).width == 300


def test_a_frame_of_other_proportions_is_not_stretched() -> None:
    wide = np.zeros((50, 100, 3), np.uint8)
    wide[20:30, 45:55] = (255, 0, 0)
    sheet = np.asarray(contact_sheet([picture(60, 60, (0, 0, 9)), wide], width=1000)).astype(int)
    red = (sheet[..., 0] - sheet[..., 1:].max(axis=-1)) > 120
    height, width = (np.ptp(where) + 1 for where in np.nonzero(red))
    assert width == pytest.approx(height, abs=2) and width > 30


@pytest.mark.parametrize(
    ("frames", "captions"),
    [
        ([], []),
        ([picture(8, 8, (0, 0, 0))], ["a", "b"]),
        ([np.zeros((8, 8), np.uint8)], []),
        ([np.zeros((8, 8, 3))], []),
    ],
)
def test_a_contact_sheet_refuses_what_is_no_picture(
    frames: list[np.ndarray], captions: list[str]
) -> None:
    with pytest.raises(ConfigError, match="contact_sheet"):
        contact_sheet(frames, captions)


def test_an_animation_plays_all_frames_and_keeps_its_colours(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "demo.gif", story(12), fps=10)
    with Image.open(path) as animation:
        assert animation.n_frames == 12  # type: ignore[attr-defined]
        assert animation.info["duration"] == 100
        for index in (0, 11):
            animation.seek(index)
            pixels = np.asarray(animation.convert("RGB")).astype(int)
            # The picture's red square, and the white around it.
            assert np.abs(pixels - (220, 20, 20)).sum(axis=2).min() < 30
            assert np.abs(pixels[0, 0] - 255).max() <= 1


def test_an_animation_that_is_too_large_is_made_smaller(tmp_path: Path) -> None:
    full = write_animation(tmp_path / "full.gif", story(8, noise=True)).stat().st_size
    path = write_animation(tmp_path / "small.gif", story(8, noise=True), max_bytes=full // 3)
    assert path.stat().st_size <= full // 3
    with pytest.raises(ConfigError, match="do not fit into 1000 bytes"):
        write_animation(tmp_path / "none.gif", story(8, noise=True), max_bytes=1000)
    assert not (tmp_path / "none.gif").exists()


def test_an_animation_refuses_frames_of_different_sizes(tmp_path: Path) -> None:
    odd = AnimationFrame(picture(10, 10, (0, 0, 0)), picture(10, 10, (0, 0, 0)), "before")
    with pytest.raises(ConfigError, match="same sizes"):
        write_animation(tmp_path / "a.gif", [*story(2), odd])
    with pytest.raises(ConfigError, match="at least one frame"):
        write_animation(tmp_path / "a.gif", [])


def test_saving_makes_folders_and_leaves_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.bin"
    write_bytes(path, b"first")
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file.a\.png: cannot be written"):
        write_bytes(tmp_path / "file" / "a.png", b"")


def test_pictures_leave_the_users_matplotlib_settings_alone() -> None:
    before = dict(mpl.rcParams)
    spike_raster({"a": spikes(50, 3)}, 0.001)
    assert dict(mpl.rcParams) == before


def test_tasks_are_drawn_beside_what_does_not_learn(tmp_path: Path) -> None:
    one = TaskCurves([[0.0, 2.0, 4.0], [2.0, 4.0]], {"no learning": [0.5, 1.5], "rule": [9.0]})
    figure = learning_tasks({"one": one, "other": TaskCurves([[1.0]], {})}, window=1)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "one: 2 seeds"
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
    assert lines["no learning"].tolist() == [1.0, 1.0]
    assert lines["rule"].tolist() == [9.0, 9.0]
    assert lines["one seed, learning"].tolist() == [0.0, 2.0, 4.0]
    # As long as both trainings went on.
    assert lines["mean, learning"].tolist() == [1.0, 3.0]
    assert save(figure, tmp_path / "tasks.png").stat().st_size > 5000
    for tasks in ({}, {"one": TaskCurves([], {})}, {"one": TaskCurves([[1.0], []], {})}):
        with pytest.raises(ConfigError, match="needs tasks, with an episode of each seed"):
            learning_tasks(tasks)
