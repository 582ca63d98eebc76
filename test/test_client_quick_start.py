"""The document's quick start against a served brain, with only the imports changed."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from client_parts import PATIENCE
from client_rig import FRAME, SOUND, served

# fmt: off
QUICK_START = """
from ab_ros.client import ABClient

client = ABClient(URL, api_key="my_secret")
# start a run for project 'project_id' -- you'll find it in your project.
run = client.start("rproject_id")

from ab_ros.client import InputStreamer

streamer = InputStreamer(run)

# provider function returning the latest JPEG image from your camera
def get_camera_frame():
    # user code here
    img_bytes = FRAME  # bytes of JPEG
    return {
        'format': 'jpeg',
        'meta': {'width': 640, 'height': 480},
        'data': img_bytes,
    }

streamer.register_input('cam_rgb', 'Image', get_camera_frame)

# provider function returning audio as raw PCM
def get_audio_chunk():
    pcm = SOUND  # bytes of 16-bit PCM
    return {
        'format': 'pcm16',
        'meta': {'sampleRate': 16000, 'channels': 1},
        'data': pcm,
    }

streamer.register_kind('Audio', get_audio_chunk)
streamer.start()

from ab_ros.client import RobotLoop
from ab_ros.client.plugins.decoder import MappingDecoder, MappingEntry

# define how each output population drives a joint
mapping = [
    MappingEntry(
        node_id="V1",
        channel="joint:0",
        scheme="bipolarSplit",
        per_step_max=0.004,
        gain=0.5,
    ),
    MappingEntry(
        node_id="L1",
        channel="joint:1",
        scheme="bipolarSplit",
        per_step_max=0.004,
        gain=0.5,
    ),
    MappingEntry(
        node_id="P1",
        channel="gripper",
        scheme="addition",
        per_step_max=0.001,
        gain=1.0,
    ),
]
decoder = MappingDecoder(mapping)

run.set_decoder(decoder)

from ab_ros.client.plugins.deviation import DefaultDeviation
from ab_ros.client.plugins.reward import DefaultReward

# attach default zero deviation policy
run.set_deviation(DefaultDeviation(run))

# attach a simple reward policy; this one returns a constant reward
run.set_reward(DefaultReward(run))

# callback returning the current robot state
def get_state():
    return {
        'q': [0.0, 0.0],   # joint positions
        'dq': [0.0, 0.0],  # joint velocities
        'grip': {'pos': 0.0},
        'dt': 0.02,
    }

# callback applying the decoded command to your robot
def apply_command(cmd):
    dq = cmd['dq']
    dg = cmd['dg']
    # send dq and dg to your motors / gripper here
    move(dq, dg)

loop = RobotLoop(run, state_provider=get_state, command_executor=apply_command)
loop.run_forever()
"""
# fmt: on


def test_the_example_of_our_own_page_runs(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "client.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    assert len(page.splitlines()) <= 60
    moves: list[tuple[list[float], float]] = []
    names: dict[str, Any] = {}

    def move(dq: list[float], dg: float) -> None:
        moves.append((dq, dg))
        if len(moves) == 10:
            names["loop"].stop()

    arm = SimpleNamespace(positions=lambda: [0.0], velocities=lambda: [0.0], move=move)
    camera, microphone = SimpleNamespace(jpeg=lambda: FRAME), SimpleNamespace(pcm=lambda: SOUND)
    names.update(arm=arm, camera=camera, microphone=microphone)
    with served(tmp_path) as server:
        code = code.replace("http://127.0.0.1:8642", server.url)
        thread = threading.Thread(target=exec, args=(code, names))
        thread.start()
        thread.join(2 * PATIENCE)
        assert not thread.is_alive() and len(moves) >= 10
        assert names["run"].closed


def test_the_documents_quick_start_runs(tmp_path: Path) -> None:
    moves: list[tuple[list[float], float]] = []
    names: dict[str, Any] = {}

    def move(dq: list[float], dg: float) -> None:
        moves.append((dq, dg))
        if len(moves) == 30:
            names["loop"].stop()

    with served(tmp_path, environment={"AB_ROS_KEY": "my_secret"}) as server:
        names.update(URL=server.url, FRAME=FRAME, SOUND=SOUND, move=move)
        thread = threading.Thread(target=exec, args=(QUICK_START, names))
        thread.start()
        thread.join(2 * PATIENCE)
        assert not thread.is_alive()
        run, streamer, loop = names["run"], names["streamer"], names["loop"]
        assert all(len(dq) == 2 for dq, _ in moves)
        assert any(dg > 0.0 for _, dg in moves) and any(dq != [0.0, 0.0] for dq, _ in moves)
        assert streamer.counts()["cam_rgb sent"] > 0 and streamer.counts()["mic sent"] > 0
        assert loop.counts()["cycle executed"] > 0
        assert not run.counts().keys() & {"deviation failed", "reward failed"}
        names["client"].close()
    assert "ab_ros link" not in [thread.name for thread in threading.enumerate()]
