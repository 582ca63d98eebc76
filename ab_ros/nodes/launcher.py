"""Starts nodes in processes of their own where ``ros2 launch`` is not needed, and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ab_ros.errors import AbRosError

_END_TIMEOUT = 12.0


class NodeError(AbRosError):
    """A node that ended, or did not do what it was asked."""


class NodeProcesses:
    """A group of node processes with their logs; ended together, in reverse order of starting.

    Parameters
    ----------
    logs : folder of the log files, one per node.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._files: list[IO[bytes]] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self, node: str, files: Sequence[Path], parameters: Mapping[str, Any] | None = None
    ) -> None:
        """Start ``ab_ros.nodes.<node>`` with parameter files and overrides."""
        command = [sys.executable, "-m", f"ab_ros.nodes.{node}", "--ros-args"]
        for file in files:
            command += ["--params-file", str(file)]
        for name, value in (parameters or {}).items():
            command += ["-p", f"{name}:={_text(value)}"]
        log = open(self._logs / f"{node}.log", "ab")  # noqa: SIM115 (closed in end)
        self._files.append(log)
        # A group of its own: Ctrl-C reaches the demo, which then ends the nodes in order.
        self._processes[node] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )

    def check(self) -> None:
        """Raise a NodeError with the last lines of its log if a node has ended."""
        for node, process in self._processes.items():
            code = process.poll()
            if code is not None:
                log = self._logs / f"{node}.log"
                tail = log.read_text(errors="replace").strip().splitlines()[-6:]
                said = "\n  ".join(tail) or "(it said nothing)"
                raise NodeError(
                    f"node {node} ended with exit code {code}; its log {log} ends with\n  {said}"
                )

    def end(self) -> None:
        """End all nodes: SIGINT, so that each stops its part first; SIGKILL for those that hang."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _END_TIMEOUT
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()
        for file in self._files:
            file.close()
        self._files.clear()

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not value:
        return "''"
    return str(value)
