"""A session of the published client, as it was recorded, replayed frame by frame."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import pytest
from server_rig import PATIENCE, brain_file, serving

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.engine.database import read_brain_file

SESSION = json.loads((Path(__file__).parent / "data/client_session.json").read_text())
LAYERS = {"W_STDP3_OutV1_to_V1": "V1", "W_STDP3_OutL1_to_L1": "L1"}


def wiring() -> dict[str, Any]:
    """A brain with the inputs, the feedback and the layers that the client spoke of."""
    population = {"neuron": "FS", "size": 6, "noise": 6.0, "bias": 8.0, "output": True}
    return {
        "gamma": 100,
        "feedback_timesteps": 4,
        "inputs": {
            "cam_rgb": {
                "kind": "Image",
                "topic": "cam",
                "encoder": "saliency",
                "options": {"width": 4, "height": 3},
            },
            "mic": {"kind": "Audio", "topic": "mic", "encoder": "spectrum"},
            "arm": {
                "kind": "Proprioception",
                "topic": "joint_states",
                "encoder": "joint_population",
                "options": {"joints": ["pan"]},
            },
        },
        "populations": {"V1": population, "L1": population},
        "projections": {
            population: {
                # Both are active by themselves, so that there is something to reward.
                "source": "L1" if population == "V1" else "V1",
                "target": population,
                "synapse": "reward_plastic",
                "layer": layer,
                "weight": 2.0,
                "options": {"lr": 0.5, "w_min": 0.0, "w_max": 5.0},
            }
            for layer, population in LAYERS.items()
        },
        # Four values are all that the recorded raster has.
        "feedback": {"fbV1": {"size": 1, "output": "V1"}},
    }


class Replay:
    """Sends the recorded frames; the run's id and the server's address are put into them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.run = ""
        self.updates: list[Any] = []
        self.newest_need = -1
        self.counts: dict[str, int] = {}

    async def play(self) -> None:
        async with aiohttp.ClientSession() as session, httpx.AsyncClient() as http:
            place = f"{self.url}/socket.io/?transport=websocket&EIO=4"
            ws = None
            for entry in SESSION:
                if entry["kind"] == "http":
                    await self._call(http, entry)
                elif entry["kind"] == "raw_frame":
                    if ws is None:
                        ws = await session.ws_connect(place, headers=self._upgrade())
                        assert await self._read(ws) == "0"
                    await self._send(ws, entry["data"])

    def _upgrade(self) -> dict[str, str]:
        recorded = next(e["headers"] for e in SESSION if e["kind"] == "ns_connect")
        assert recorded["Origin"] == f"http://{recorded['Host']}"
        keys = {name: recorded[name] for name in ("x-api-key", "Authorization")}
        return {**keys, "Origin": self.url}

    async def _call(self, http: httpx.AsyncClient, entry: dict[str, Any]) -> None:
        headers = {
            name: value
            for name, value in entry["headers"].items()
            if name not in ("Host", "Content-Length")
        }
        answer = await http.request(
            entry["method"],
            self.url + entry["path"],
            headers=headers,
            content=entry["body"].replace("run-1", self.run),
        )
        assert answer.status_code == 200, (entry["path"], answer.text)
        data = answer.json()
        if entry["path"].endswith("/start"):
            self.run = data["runId"]
            assert [item["id"] for item in data["io"]["inputs"]] == ["arm", "cam_rgb", "mic"]
        elif entry["path"].endswith("/io/state"):
            assert data["runId"] == self.run
            self.counts = data["counts"]
        elif entry["path"].endswith("/contract"):
            assert sorted(data["io"]["stdp3"]["layers"]) == sorted(LAYERS)

    async def _send(self, ws: aiohttp.ClientWebSocketResponse, frame: Any) -> None:
        if isinstance(frame, dict):
            await ws.send_bytes(bytes.fromhex(frame["hex"]))
            return
        # The client did what follows when it had read that need or that update.
        while '"io:chunk"' in frame and self.newest_need < 1:
            await self._read(ws)
        while ('"fbV1"' in frame or '"learn:reward"' in frame) and len(self.updates) < 2:
            await self._read(ws)
        await ws.send_str("4" + frame.replace("run-1", self.run))
        if frame.startswith("0/ab"):
            assert await self._read(ws) == "40/ab"

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> str:
        """Read a frame as the client does; return what kind it is."""
        text = await ws.receive_str(timeout=PATIENCE)
        if text == "2":
            await ws.send_str("3")
        if not text.startswith("42/ab,"):
            return text.partition("{")[0].rstrip(",")
        event, payload = json.loads(text[6:])
        if event == "io:need":
            self.newest_need = payload["cycle"]
        else:
            assert event == "cycle:update"
            self.updates.append(payload)
        return event


@pytest.mark.parametrize("rows", ["tuple", "object"])
def test_the_published_client_can_run_against_the_server(tmp_path: Path, rows: str) -> None:
    brain = brain_file(tmp_path, **wiring())
    environment = {"AB_ROS_KEY": "K-123"}
    with serving(tmp_path, environment, brain=brain, rows=rows, hold=60.0) as server:
        replay = Replay(server.url)
        asyncio.run(asyncio.wait_for(replay.play(), 2 * PATIENCE))
        counts = server.counts()
        path = server.store.path("proj1")
    assert counts == {}
    # What it called a JPEG is none; nothing else was refused.
    refused = {name: count for name, count in replay.counts.items() if "refused" in name}
    assert set(refused) == {"cam_rgb refused"}
    assert refused["cam_rgb refused"] + replay.counts.get("cam_rgb dropped", 0) == 2
    for update in replay.updates:
        for row in update["outputs"]:
            t, id, bits = row if rows == "tuple" else (row["t"], row["id"], row["bits"])
            assert 0 <= t < 100 and id in ("V1", "L1") and len(bits) == 6 and set(bits) == {0, 1}
    # Feedback and rewards were taken: the one is the new baseline, the others have taught.
    _, arrays = read_brain_file(path)
    assert arrays["feedback.fbV1"].reshape(-1).tolist() == [0, 1, -1, 1]
    before, after = EmbeddedBrain.load(brain).network, EmbeddedBrain.load(path).network
    for population in LAYERS.values():
        assert not np.array_equal(before.weights(population), after.weights(population))
