"""Lessons that set how an environment is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ab_ros.cli import main
from ab_ros.config import overlay
from ab_ros.environments.pushing import ObjectPushing2D
from ab_ros.errors import ConfigError
from ab_ros.training import Config, read_record
from ab_ros.training.environment_simulator import EnvironmentSimulator
from ab_ros.training.training_file import TrainingFile

FAR_OFF = "test_training_lessons:far_off"
PUSHING: dict[str, Any] = {
    "brain": "pusher",
    "environment": {
        "classname": "ab_ros.environments.pushing.ObjectPushing2D",
        "cfg": {"dim": 2, "points": 20, "lengths": [1.0, 1.0], "object_x": 1.0, "object_y": 0.5},
        "channels": {"shoulder": "j0", "elbow": "j1", "x": "object_x", "y": "object_y"},
        "settings": {"place": "object_x", "forearm": "lengths.1"},
    },
    "simulator": {
        "config": {"place": "Float64", "forearm": "Float64", "points": "Int16"},
        "action": {"shoulder": "Float32{-90:90}", "elbow": "Float32{-90:90}"},
        "state": {"x": "Float32{-2:2}", "y": "Float32{-2:2}"},
    },
    "neurons": {"size": 4, "gamma": 10, "full_count": 4.0},
    "training": {"episodes": 5, "max_steps": 2},
    "lessons": [
        {
            "objective": "near",
            "config": {"place": 0.9, "forearm": 1.0, "points": 20},
            "reward": FAR_OFF,
            "episodes": 2,
        },
        {
            "objective": "anywhere",
            "config": {"place": [0.5, 1.5], "forearm": 1.5, "points": [20, 30]},
            "reward": FAR_OFF,
        },
    ],
}


def far_off(state: Any, action: Any, after: Any, reward: float, terminal: bool) -> float:
    return float(after.x)


def written(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    path = folder / "pusher.yaml"
    path.write_text(yaml.safe_dump(overlay(PUSHING, changes or {}), sort_keys=False))
    return path


def simulator(folder: Path, changes: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    config = Config()
    config.url = str(folder / "brains")
    for key, value in settings.items():
        setattr(config, key, value)
    return TrainingFile.read(written(folder, changes)).simulator(config)


def worlds_of(sim: EnvironmentSimulator) -> list[ObjectPushing2D]:
    """Drive a simulator, and return the environment of each episode."""
    worlds = []
    while sim.run():
        if sim.iteration_count == 0 and len(worlds) == sim.episode_count:
            worlds.append(sim.environment)
    return worlds  # type: ignore[return-value]


def test_a_lesson_sets_how_the_environment_is(tmp_path: Path) -> None:
    record = tmp_path / "steps.json"
    sim = simulator(tmp_path, record_file=str(record))
    worlds = worlds_of(sim)
    assert len(worlds) == 5 and worlds[0] is worlds[1]  # Nothing has changed between these two.
    assert [world.cfg.object_x for world in worlds[:2]] == [0.9, 0.9]
    assert [world.cfg.lengths for world in worlds[1:3]] == [(1.0, 1.0), (1.0, 1.5)]
    drawn = [world.cfg.object_x for world in worlds[2:]]
    assert len(set(drawn)) == 3 and all(0.5 <= place <= 1.5 for place in drawn)
    assert all(world.cfg.object_y == 0.5 and 20 <= world.cfg.points <= 30 for world in worlds)
    told = {row["statistics.episode"]: row["config.place"] for row in read_record(record)}
    assert list(told.values()) == [0.9, 0.9, *drawn]
    (tmp_path / "again").mkdir()
    again = simulator(tmp_path / "again")
    assert [world.cfg.object_x for world in worlds_of(again)] == [0.9, 0.9, *drawn]


def test_a_prediction_is_in_the_environment_of_the_file(tmp_path: Path) -> None:
    worlds_of(simulator(tmp_path))
    worlds = worlds_of(simulator(tmp_path, predict=True, episodes=2))
    assert [(world.cfg.object_x, world.cfg.lengths) for world in worlds] == [(1.0, (1.0, 1.0))] * 2


def test_a_lessons_environment_is_closed_when_another_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Any] = []
    monkeypatch.setattr(ObjectPushing2D, "close", lambda self: closed.append(self))
    sim = simulator(tmp_path)
    worlds = worlds_of(sim)
    # The first of all, which the file makes, is not a lesson's.
    assert closed[1:] == list(dict.fromkeys(worlds))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"environment": {"settings": {"place": "object_z"}}},
            "lessons[0].config: ObjectPushing2D: object_z: unknown key; did you mean 'object",
        ),
        (
            {"environment": {"settings": {"place": "lengths.2"}}},
            "settings: 'lengths.2': cfg has no '2' there",
        ),
        (
            {"environment": {"settings": {"place": "world.x"}}},
            "settings: 'world.x': cfg has no 'world' there",
        ),
        (
            {"environment": {"settings": {"size": "dim"}}},
            "settings: the simulator's config has no 'size'; one of: place, forearm, points",
        ),
        (
            {"lessons": [{"config": {"place": [0.5, 9.0], "forearm": 1.0, "points": 20}}]},
            "lessons[0].config: ObjectPushing2D: object_x, object_y: the disc must lie on the",
        ),
        (
            {"lessons": [{"config": {"place": 0.5, "forearm": 1.0}}]},
            "lessons[0].config: lacks 'points' of the simulator's config",
        ),
    ],
)
def test_lessons_that_do_not_fit_say_what_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], says: str
) -> None:
    path = written(tmp_path, changes)
    assert main(["train", str(path), "--brains", str(tmp_path / "brains")]) == 2
    assert says in capsys.readouterr().err


def test_a_lesson_that_changes_the_channels_is_refused(tmp_path: Path) -> None:
    changes = {
        "environment": {"cfg": {"lengths": []}, "settings": {"forearm": "dim"}},
        "simulator": {"config": {"forearm": "Int8"}},
        "lessons": [{"config": {"place": 1.0, "forearm": 3, "points": 20}, "reward": FAR_OFF}],
    }
    sim = simulator(tmp_path, changes)
    with pytest.raises(ConfigError, match="changes the channels of ObjectPushing2D from j0, j1 to"):
        worlds_of(sim)
    sim.close()


def test_an_environment_that_cannot_be_made_says_of_which_lesson(tmp_path: Path) -> None:
    changes = {
        "environment": {"cfg": {"start": [0.0, 0.0]}},
        "lessons": [{"config": {"place": 2.0, "forearm": 1.0, "points": 20}, "reward": FAR_OFF}],
    }
    sim = simulator(tmp_path, overlay(changes, {"environment": {"cfg": {"object_y": 0.1}}}))
    with pytest.raises(ConfigError, match=r"lesson with .*2\.0.*: start: the tip would be at"):
        worlds_of(sim)
    sim.close()


def test_the_documented_lessons_run(root: Path, tmp_path: Path) -> None:
    text = (root / "docs" / "training.md").read_text()
    block = text.split("<!-- lessons: begin -->")[1].split("<!-- lessons: end -->")[0]
    told = yaml.safe_load(block.strip().removeprefix("```yaml").removesuffix("```"))
    shipped = yaml.safe_load((root / "config" / "train" / "worm.yaml").read_text())
    short = {"environment": {"cfg": {"ticks": 5}}, "training": {"episodes": 7, "max_steps": 1}}
    path = tmp_path / "worm.yaml"
    # Quick lessons: any reward is a success.
    document = overlay(overlay(shipped, told), short)
    document["lessons"][0]["success_reward"] = -1000.0
    path.write_text(yaml.safe_dump(document))
    config = Config()
    config.url = str(tmp_path / "brains")
    distances = [
        world.cfg.start_distance for world in worlds_of(TrainingFile.read(path).simulator(config))
    ]
    assert distances[:5] == [10.0] * 5 and len(set(distances[5:])) == 2
    assert all(15.0 <= distance <= 25.0 for distance in distances[5:])
