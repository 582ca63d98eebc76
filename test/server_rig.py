"""What the tests of the server share: a tiny brain, a server of it, and a bare client."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import cv2
import httpx
import numpy as np
import socketio

from ab_ros.brains.architecture import ArchitectureSettings
from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.config import parse
from ab_ros.server import BrainServer, ServerSettings

PATIENCE = 20.0
T = TypeVar("T")


def architecture(**changes: Any) -> ArchitectureSettings:
    """A brain with an input of each kind that the protocol has a format for."""
    data: dict[str, Any] = {
        "gamma": 10,
        "feedback_timesteps": 4,
        "inputs": {
            "cam": {
                "kind": "Image",
                "topic": "cam",
                "encoder": "saliency",
                "options": {"width": 4, "height": 3, "total_rate": 2500.0},
            },
            "joints": {
                "kind": "Proprioception",
                "topic": "joint_states",
                "encoder": "joint_population",
                "options": {"joints": ["pan", "tilt"], "cells": 4},
            },
        },
        "populations": {
            "out": {"neuron": "FS", "size": 6, "noise": 6.0, "bias": 6.0, "output": True},
        },
        "projections": {
            "see": {
                "source": "cam",
                "target": "out",
                "synapse": "reward_plastic",
                "layer": "out",
                "weight": 2.0,
                "spread": 0.5,
                "options": {"lr": 0.1, "w_min": 0.0, "w_max": 5.0},
            },
            "feel": {"source": "joints", "target": "out", "weight": 3.0},
            "lesson": {"source": "fb", "target": "out", "weight": 5.0},
        },
        "feedback": {"fb": {"size": 2, "output": "out"}},
    }
    data.update(changes)
    return parse(ArchitectureSettings, data)


def brain_file(folder: Path, name: str = "brain.db", **changes: Any) -> Path:
    """Write a tiny brain; return its file."""
    brain = EmbeddedBrain(architecture(**changes), seed=3)
    path = folder / name
    brain.save(path)
    return path


def serving(
    folder: Path, environment: dict[str, str] | None = None, **settings: Any
) -> BrainServer:
    """Return a server of the tiny brain, which is not started yet."""
    brain = settings.pop("brain", None) or brain_file(folder)
    defaults: dict[str, Any] = {"directory": folder / "served", "port": 0, "linger": 60.0}
    return BrainServer(ServerSettings(brain=brain, **{**defaults, **settings}), environment or {})


def jpeg(x: int = 20) -> bytes:
    """A picture of a red square at column x."""
    image = np.full((30, 40, 3), 90, np.uint8)
    image[10:20, x : x + 8] = (20, 20, 220)
    return cv2.imencode(".jpg", image)[1].tobytes()


def chunk(run: str, cycle: int, input: str = "cam", seq: int | None = None, **changes: Any) -> Any:
    """A chunk of an input, as a client sends it."""
    forms: dict[str, tuple[str, bytes]] = {
        "cam": ("jpeg", jpeg()),
        "joints": ("rawtick_f32x3", np.zeros(6, "<f4").tobytes()),
        "fb": ("deviation_f32", np.full(4, 0.5, "<f4").tobytes()),
    }
    format, data = forms.get(input, ("jpeg", b""))
    whole = {
        "runId": run,
        "inputId": input,
        "kind": None,
        "seq": cycle + 1 if seq is None else seq,
        "t": 100.0 + cycle,
        "format": format,
        "meta": {"cycle": cycle},
        "data": data,
    }
    return {**whole, **changes}


class BareClient:
    """A Socket.IO client that does nothing by itself, and remembers what it was sent."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._headers = {"x-api-key": key, "Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=f"{url}/api/robot", headers=self._headers, timeout=30)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._io = socketio.AsyncClient(reconnection=False)
        self._io.on("*", self._heard, namespace="/ab")
        self._io.on("disconnect", self._gone, namespace="/ab")

    def __enter__(self) -> BareClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _heard(self, event: str, payload: Any) -> None:
        self.events.put((event, payload))

    async def _gone(self, *reason: Any) -> None:
        self.events.put(("disconnect", None))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the client's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def start(self, project: str = "p", **options: Any) -> str:
        """Start a run; return its id."""
        answer = self.http.post(f"/{project}/start", json=options)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["runId"])

    def connect(self, **options: Any) -> None:
        """Connect to the namespace."""
        whole = {"transports": ["websocket"], "namespaces": ["/ab"], "headers": self._headers}
        self.wait(self._io.connect(self.url, **{**whole, **options}))

    def call(self, event: str, payload: Any) -> Any:
        """Send an event; return its acknowledgement."""
        return self.wait(self._io.call(event, payload, namespace="/ab", timeout=PATIENCE))

    def emit(self, event: str, payload: Any, times: int = 1) -> None:
        """Send an event, again and again without a pause."""

        async def all_at_once() -> None:
            for _ in range(times):
                await self._io.emit(event, payload, namespace="/ab")

        self.wait(all_at_once())

    def expect(self, event: str, **fields: Any) -> Any:
        """Wait for an event with these fields; return its payload."""
        while True:
            name, payload = self.events.get(timeout=PATIENCE)
            if name == event and all(payload[key] == value for key, value in fields.items()):
                return payload

    def joined(self, project: str = "p", **options: Any) -> str:
        """Start a run, connect and join it; return its id."""
        run = self.start(project, **options)
        self.connect()
        assert self.call("run:join", {"runId": run}) == {"ok": True}
        return run

    def answer(self, run: str, cycle: int) -> None:
        """Send a sample of each input."""
        for input in ("cam", "joints"):
            self.emit("io:chunk", chunk(run, cycle, input))

    def disconnect(self) -> None:
        """Leave."""
        self.wait(self._io.disconnect())

    def close(self) -> None:
        """Leave, and end the client's thread."""
        self.wait(self._io.disconnect())
        self.http.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
