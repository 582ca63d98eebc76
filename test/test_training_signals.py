"""Signals of episodes: what their files hold, in either format."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_training_worlds import trained, written
from training_parts import ThreeSteps, by_run, made

from ab_ros.errors import RecordError


def topics_of(path: Path) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Return the messages of every topic with their times, ns, by MCAP's own reader."""
    from mcap.reader import make_reader

    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None and schema.encoding == "jsonschema"
            assert channel.message_encoding == "json" and message.publish_time == message.log_time
            values = json.loads(message.data)
            kinds = json.loads(schema.data)["properties"]
            assert list(kinds) == list(values)
            found.setdefault(channel.topic, []).append((message.log_time, values))
    return found


def test_mcap_and_npz_tell_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mcap")
    written(tmp_path)
    for kind in ("npz", "mcap"):
        places = ["--signals", str(tmp_path / kind), "--signals-format", kind]
        assert trained(tmp_path, *places) == 0
    names = [f"episode_00000{k}" for k in (1, 2, 3, 4)]
    for kind in ("npz", "mcap"):
        assert sorted(p.name for p in (tmp_path / kind).iterdir()) == [f"{n}.{kind}" for n in names]
    for name in names:
        topics = topics_of(tmp_path / "mcap" / f"{name}.mcap")
        assert set(topics) == {"/state", "/action", "/reward", "/spikes"}
        # A step is a cycle of ten timesteps of 1 ms; the file tells of what it led to.
        for messages in topics.values():
            assert [stamp for stamp, _ in messages] == [10_000_000 * k for k in range(1, 6)]
        told = {topic: [values for _, values in messages] for topic, messages in topics.items()}
        with np.load(tmp_path / "npz" / f"{name}.npz") as file:
            assert [m["place"] for m in told["/state"]] == file["state.place"].tolist()
            assert [m["shove"] for m in told["/action"]] == file["action.shove"].tolist()
            assert [m["reward"] for m in told["/reward"]] == file["reward"].tolist()
            assert [m["terminal"] for m in told["/reward"]] == file["terminal"].tolist()
            spikes = file["spikes.shove"]
        assert [m["shove"]["counts"] for m in told["/spikes"]] == spikes.tolist()
        assert [m["shove"]["total"] for m in told["/spikes"]] == spikes.sum(axis=1).tolist()


def test_an_mcap_file_says_which_episode_it_is_of(tmp_path: Path) -> None:
    pytest.importorskip("mcap")
    from mcap.reader import make_reader

    sim = ThreeSteps(made(tmp_path, {"neurons": {"cycles": 2, "dt": 0.002}}))
    sim.signal_folder = tmp_path / "signals"
    sim.signal_format = "mcap"
    by_run(sim)
    with (tmp_path / "signals" / "episode_000002.mcap").open("rb") as file:
        (told,) = make_reader(file).iter_metadata()
        assert told.name == "episode"
        assert told.metadata == {"episode": "2", "steps": "3", "step_time": "0.04"}
    topics = topics_of(tmp_path / "signals" / "episode_000002.mcap")
    assert [stamp for stamp, _ in topics["/state"]] == [40_000_000, 80_000_000, 120_000_000]
    assert isinstance(topics["/action"][0][1]["delta"], int)


def test_without_the_library_an_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mcap", None)
    written(tmp_path)
    signals = tmp_path / "signals"
    assert trained(tmp_path, "--signals", str(signals), "--signals-format", "mcap") == 1
    assert "pip install 'ab_ros[mcap]'" in capsys.readouterr().err
    assert not signals.exists() and not (tmp_path / "brains").exists()
    sim = ThreeSteps(made(tmp_path))
    with pytest.raises(RecordError, match="need the library mcap"):
        sim.signal_format = "mcap"
    assert sim.signal_format == "npz"


def test_other_formats_are_refused(tmp_path: Path) -> None:
    sim = ThreeSteps(made(tmp_path))
    with pytest.raises(RecordError, match=r"no format 'bag'; one of: npz, mcap"):
        sim.signal_format = "bag"


def test_halves_that_a_kill_has_left_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()
    (folder / ".episode_000002.npz.abc123").write_bytes(b"half")
    sim = ThreeSteps(made(tmp_path))
    sim.signal_folder = folder
    by_run(sim)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"episode_00000{k}.npz" for k in (1, 2, 3)
    ]
