"""A robot whose brain is behind a thin link, and how old what the brain sees is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fault_proxy import FaultProxy, Link
from remote_rig import Robot, remote, wait_until
from server_rig import serving

from ab_ros.brains.embedded import EmbeddedBrain
from ab_ros.brains.remote.realtime import Connection
from ab_ros.protocol import Chunk
from ab_ros.server.samples import Samples
from ab_ros.values import Need, Observation


class Camera:
    """A VGA camera at 30 Hz: gives the newest frame, stamped when it was taken."""

    period = 1 / 30

    def __init__(self) -> None:
        self.begin = time.time()
        self.watch: Callable[[float], None] = lambda stamp: None
        noise = np.random.default_rng(0).integers(0, 255, (15, 20, 3), np.uint8)
        scene = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
        self.frame: bytes = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()

    @property
    def taken(self) -> int:
        """Frames until now."""
        return int((time.time() - self.begin) / self.period)

    def look(self) -> Observation:
        """Return the newest frame."""
        stamp = self.begin + self.taken * self.period
        self.watch(stamp)
        return Observation("cam", "Image", stamp, "jpeg", self.frame)


@dataclass(frozen=True)
class Seen:
    """What came of it.

    Parameters
    ----------
    ages : s, of each frame when a cycle first saw it.
    bound : s, that they shall stay below: two frame periods, the link's delay, and the time that
        one frame takes to pass.
    taken, sent : frames of the camera, and those that went over the link.
    under_way : most frames at once on their way.
    waited : frames that were there, and waited, while the one before was still on its way.
    counts : of the remote brain.
    """

    ages: tuple[float, ...]
    bound: float
    taken: int
    sent: int
    under_way: int
    waited: int
    counts: Mapping[str, int]


def look_through(
    folder: Path, pacing: str, frames: int, bandwidth: float = 2e6 / 8, delay: float = 0.2
) -> Seen:
    """Run a robot until a number of frames went over the link.

    Parameters
    ----------
    folder : for the brain's files.
    pacing : ``gated`` or ``free``.
    frames : to be sent.
    bandwidth : bytes/s.
    delay : s, one way.
    """
    camera = Camera()
    ages: dict[float, float] = {}
    sent: list[int] = []
    arrived: list[int] = []
    under_way = [0]
    looks: dict[float, int] = {}  # frames that had arrived when a frame was looked at
    waited: list[float] = []
    run_cycle, emit, put = EmbeddedBrain.run_cycle, Connection.emit, Samples.put

    def ran(brain: EmbeddedBrain, observe: Any, timeout: float = 0.0) -> Any:
        for observation in observe(Need(0, ())):
            if observation.id == "cam":
                ages.setdefault(observation.stamp, time.time() - observation.stamp)
        return run_cycle(brain, observe, timeout)

    def came(samples: Samples, chunk: Chunk, now: float) -> None:
        if chunk.input == "cam":
            arrived.append(chunk.seq)
        put(samples, chunk, now)

    async def leaves(connection: Connection, event: str, payload: Any, answer: Any = None) -> bool:
        if event == "io:chunk" and payload["inputId"] == "cam":
            if looks[payload["t"]] < len(sent):
                waited.append(payload["t"])
            sent.append(payload["seq"])
            under_way.append(len(sent) - len(arrived))
        return await emit(connection, event, payload, answer)

    def looked(stamp: float) -> None:
        looks[stamp] = len(arrived)

    camera.watch = looked
    link = Link(bandwidth, delay)
    with (
        serving(folder) as server,
        FaultProxy(server.port, link, link) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(EmbeddedBrain, "run_cycle", ran)
        patch.setattr(Samples, "put", came)
        patch.setattr(Connection, "emit", leaves)
        robot = Robot(remote(proxy.url, pacing=pacing, link_timeout=2.0))
        robot.look = camera.look
        with robot:
            robot.go(1)
            ages.clear()
            before, begin = len(sent), camera.taken
            wait_until(
                lambda: robot.tries() and len(sent) >= before + frames, "frames are sent", 120.0
            )
            taken = camera.taken - begin
    return Seen(
        tuple(ages.values()),
        2 * camera.period + delay + len(camera.frame) / bandwidth,
        taken,
        len(sent) - before,
        max(under_way),
        len(waited),
        robot.brain.counts(),
    )
