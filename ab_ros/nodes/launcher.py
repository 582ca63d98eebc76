"""Starts nodes in processes of their own where ``ros2 launch`` is not needed, and ends them."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ab_ros.errors import AbRosError, ConfigError
from ab_ros.nodes.lifecycle import EXIT_BAD_CONFIGURATION

_END_TIMEOUT = 12.0
_INSIST = 2.0  # s between two requests to stop
_PR_SET_PDEATHSIG = 1


class NodeError(AbRosError):
    """A node that ended, or did not do what it was asked."""


class NodeProcesses:
    """A group of processes, mostly nodes, with their logs; all are ended together.

    Parameters
    ----------
    logs : folder of the log files, one per node; what was said before is kept in them.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._files: list[IO[bytes]] = []
        self._programs: set[str] = set()
        self._begun: dict[str, int] = {}  # where in its log each one's words begin
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
        self._start(node, command)

    def start_program(self, name: str, command: Sequence[str]) -> None:
        """Start a program that serves the nodes: it is ended after them, by one SIGINT."""
        self._programs.add(name)
        self._start(name, command)

    def _start(self, name: str, command: Sequence[str]) -> None:
        path = self._logs / f"{name}.log"
        self._begun[name] = path.stat().st_size if path.exists() else 0
        log = open(path, "ab")  # noqa: SIM115 (closed in end)
        self._files.append(log)
        # A group of its own: Ctrl-C reaches the demo, which then ends the nodes in order.
        self._processes[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_stop_with_parent(),
        )

    def said(self, name: str) -> str:
        """Return what a node, or a program, has said since it was started."""
        with open(self._logs / f"{name}.log", "rb") as stream:
            stream.seek(self._begun[name])
            return stream.read().decode(errors="replace")

    def check(self) -> None:
        """Look whether a node has ended.

        Raises
        ------
        ConfigError
            if it refused its configuration, with what it said about it.
        NodeError
            otherwise, with the last lines of its log.
        """
        ended = {n: p.returncode for n, p in self._processes.items() if p.poll() is not None}
        # A node that was killed or refused its configuration is the cause, not who then gave up.
        for node, code in sorted(ended.items(), key=lambda item: item[1] in (0, 1)):
            log = self._logs / f"{node}.log"
            tail = self.said(node).strip().splitlines()[-6:]
            if code == EXIT_BAD_CONFIGURATION and tail:
                raise ConfigError(tail[-1])
            how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
            said = "\n  ".join(tail) or "(it said nothing)"
            raise NodeError(f"node {node} {how}; its log {log} ends with\n  {said}")

    def end(self) -> None:
        """End all: nodes by SIGINT, so that each stops its part first, then what served them.

        Those that hang are killed.
        """
        for programs in (False, True):
            deadline = time.monotonic() + _END_TIMEOUT
            alive = [
                p for name, p in self._processes.items() if (name in self._programs) is programs
            ]
            while alive and time.monotonic() < deadline:
                for process in reversed(alive):
                    process.send_signal(signal.SIGINT)
                # Once more if need be: a node that is still importing may miss the first one, and
                # one that is already stopping takes no notice.
                again = deadline if programs else time.monotonic() + _INSIST
                while alive and time.monotonic() < again:
                    time.sleep(0.02)
                    alive = [process for process in alive if process.poll() is None]
            for process in alive:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()
        self._programs.clear()
        for file in self._files:
            file.close()
        self._files.clear()

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _text(value: Any) -> str:
    """Return a value as YAML, as the command line takes parameters; JSON is YAML."""
    return json.dumps(value)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stop_with_parent() -> Callable[[], None] | None:
    """Return what makes a child stop, robot first, when this process is killed; Linux.

    By SIGTERM, which ends a node that is still importing; a SIGINT may be lost in an import.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
