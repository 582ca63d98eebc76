"""A layered brain behind ``ab_ros serve``: the server does not ask which kind of brain it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from remote_rig import Robot, remote
from server_rig import serving

from ab_ros.brains.files import load_brain
from ab_ros.cli import main
from ab_ros.layered import LayeredBrain

DEFINITION: dict[str, Any] = {
    "seed": 3,
    "dt": 0.01,
    "feedback_timesteps": 4,
    "sensors": {
        "cam": {"kind": "Image", "encoder": "saliency", "options": {"width": 4, "height": 3}},
        "joints": {
            "kind": "Proprioception",
            "encoder": "simple_bits",
            "options": {"joints": ["pan", "tilt"], "lower": -1, "upper": 1, "length": 10},
        },
    },
    "feedback": {"fb": {"size": 2, "output": "out"}},
    "computation": {"type": "sparse", "count": 2, "noise": 0.5},
    "learning": {"type": "hebbian"},
    "layers": [{"name": "out", "shape": 6, "layer": "out", "inputs": {"lesson": "fb"}}],
}


def test_a_definition_is_served_taught_and_saved_for_each_project(
    tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "brain.json"
    file.write_text(json.dumps(DEFINITION))
    born = LayeredBrain.load(file)
    with serving(tmp_path, brain=file) as server, Robot(remote(server.url)) as robot:
        assert robot.brain.contract == born.contract
        robot.go(30)
        robot.brain.close()
        assert robot.brain.counts().get("cam refused", 0) == 0
        assert robot.newest is not None and robot.newest.rasters["out"].shape == (1, 6)
    saved = tmp_path / "served" / "p.db"
    learned = load_brain(saved)
    assert isinstance(learned, LayeredBrain)
    assert not np.array_equal(learned.weights("out"), born.weights("out"))
    assert learned.network.tick_count >= 30
    # The next run goes on with what was learned.
    with serving(tmp_path, brain=file) as server, Robot(remote(server.url)) as robot:
        robot.go(3)
        robot.brain.close()
    assert load_brain(saved).network.tick_count > learned.network.tick_count
    # And policies are kept in step with it as with any brain.
    folder = tmp_path / "policies"
    assert main(["policies", "sync", "--brain", str(file), "--dir", str(folder)]) == 0
    assert "out" in "".join(path.read_text() for path in folder.glob("*") if path.is_file())
