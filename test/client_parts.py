"""What the tests of the client share: a scripted connection, and a contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ab_ros.client.robot_loop import RobotLoop
from ab_ros.client.run import Run
from ab_ros.contract import Contract
from ab_ros.errors import BrainError

CONTRACT = Contract.from_dict(
    {
        "constants": {"gamma": 8, "feedbackT": 4},
        "io": {
            "inputs": [{"id": "cam_rgb", "kind": "Image"}, {"id": "mic", "kind": "Audio"}],
            "outputs": [
                {"id": "V1", "n": 4},
                {"id": "L1", "n": 4},
                {"id": "P1", "n": 2},
            ],
            "feedback": [{"id": "fbV1", "n": 2, "fromOutput": "V1"}],
            "stdp3": {"layers": ["a", "b"]},
        },
    }
)
PATIENCE = 30.0


class ScriptedConnection:
    """A connection without a network: records what is sent, says what the test says."""

    def __init__(self, extensions: tuple[str, ...] = ("hold",)) -> None:
        self.run = "run-1"
        self.contract = CONTRACT
        self.dt: float | None = 0.001
        self.extensions = frozenset(extensions)
        self.stuck: set[str] = set()
        self.down = 0.0
        self.error: BrainError | None = None
        self.closed = 0
        self._changed = threading.Condition()
        self._sent: list[tuple[str, dict[str, Any]]] = []

    def post(self, message: Any, *, mailbox: str = "", counts: bool = False) -> None:
        with self._changed:
            self._sent.append((message.event, message.to_wire()))
            self._changed.notify_all()

    def has_left(self, mailbox: str) -> bool:
        return mailbox not in self.stuck

    def waits(self, mailbox: str) -> bool:
        return False

    def lost_for(self) -> float:
        return self.down

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def counts(self) -> Mapping[str, int]:
        return {}

    def close(self) -> None:
        self.closed += 1

    def sent(self, *events: str) -> list[dict[str, Any]]:
        """Payloads that were sent, of some events or all."""
        with self._changed:
            return [payload for event, payload in self._sent if not events or event in events]

    def order(self) -> list[str]:
        """Events in the order in which they were sent, but for the robot's states."""
        with self._changed:
            return [event for event, _ in self._sent if event != "robot:state"]

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until ``ready()``, which may ask what was sent."""
        with self._changed:
            assert self._changed.wait_for(ready, PATIENCE), f"sent: {self.order()}"


def need(cycle: int, *items: tuple[str, str], deadline_ms: float | None = None) -> dict[str, Any]:
    """An ``io:need``."""
    needs = [{"id": id, "kind": kind} for id, kind in items]
    return {"runId": "run-1", "cycle": cycle, "needs": needs, "deadlineMs": deadline_ms}


def update(cycle: int, *rows: Any, run: str = "run-1", **more: Any) -> dict[str, Any]:
    """A ``cycle:update``."""
    return {"runId": run, "cycle": cycle, "outputs": list(rows), **more}


def scripted(*extensions: str) -> tuple[ScriptedConnection, Run]:
    """A connection, and a run over it."""
    connection = ScriptedConnection(extensions or ("hold",))
    run = Run(connection)
    run.joined()
    return connection, run


class Robot:
    """A robot with two joints; runs its loop in a thread of its own."""

    def __init__(self, run: Run, **settings: Any) -> None:
        self.run = run
        self.state: Any = {"q": [0.1, 0.2], "dq": [0.0, 0.0], "grip": {"pos": 0.0}, "dt": 0.02}
        self.commands: list[dict[str, Any]] = []
        self.fails: set[int] = set()
        self.error: Exception | None = None
        self.moved = threading.Condition()
        settings.setdefault("max_age", 60.0)
        self.loop = RobotLoop(run, state_provider=self.read, command_executor=self.move, **settings)
        self.thread = threading.Thread(target=self._run)

    def read(self) -> Any:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def move(self, command: dict[str, Any]) -> None:
        if command["cycle"] in self.fails:
            raise RuntimeError("a motor is off")
        with self.moved:
            self.commands.append(command)
            self.moved.notify_all()

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until ``ready()``, which may ask what was commanded."""
        with self.moved:
            assert self.moved.wait_for(ready, PATIENCE), f"{self.error}, {self.loop.counts()}"

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        except Exception as error:
            self.error = error

    def start(self) -> Robot:
        self.thread.start()
        return self

    def stop(self) -> None:
        self.loop.stop()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
