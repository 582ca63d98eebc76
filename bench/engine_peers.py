"""Other simulators on the engine benchmark's network, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from engine_network import WARM_UP

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".bench"
PYTHON = HOME / "venv" / "bin" / "python"
PEERS = Path(__file__).parent / "peers"
# NumPy: Brian2 2.9 needs a method of arrays that later ones have dropped.
PACKAGES = ("brian2==2.9.0", "numpy<2.3", "cython", "setuptools")
NEST = "nest-simulator==3.10.0"
# Of Brian2, by what learns: precision, and where the traces of STDP are kept.
FORMULATIONS = {
    "fixed": ("float64", "float32"),
    "stdp": ("float64-neuron", "float32-neuron", "float64-synapse"),
    "three": ("float64", "float32"),
}

# Processor time in seconds, and spikes.
Measured = tuple[float, float]


def install() -> dict[str, str]:
    """Install the peers into a virtual environment of their own; return their versions."""
    if not PYTHON.exists():
        print(f"installing the peers into {HOME / 'venv'} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(HOME / "venv")], check=True, env=_env())
    for package in (PACKAGES, (NEST,)):
        done = _run([str(PYTHON), "-m", "pip", "install", "-q", *package])
        if done.returncode and package is PACKAGES:
            raise SystemExit(f"Brian2 cannot be installed:\n{done.stderr}")
    shown = _run([str(PYTHON), "-m", "pip", "list", "--format", "json"])
    versions = {entry["name"].lower(): entry["version"] for entry in json.loads(shown.stdout)}
    return {
        n: versions[n] for n in ("brian2", "nest-simulator", "numpy", "cython") if n in versions
    }


class Peer(ABC):
    """A simulator that has built a network and can be measured again and again."""

    @abstractmethod
    def measure(self) -> Measured:
        """Run the agreed number of ticks."""

    def close(self) -> None:
        """End its process."""


class Worker(Peer):
    """A peer that stays: it runs when it gets a line, and answers with one."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(PYTHON), str(PEERS / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_env(),
        )
        self._answer()

    def measure(self) -> Measured:
        """See :meth:`Peer.measure`."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        spent, spikes = self._answer()
        return spent, spikes

    def close(self) -> None:
        """See :meth:`Peer.close`."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended")
        return json.loads(line)


class Standalone(Peer):
    """Brian2 as C++ standalone: a program that is compiled once, and measures itself."""

    def __init__(self, network: Path, learning: str, formulation: str, ticks: int) -> None:
        self._directory = HOME / f"brian2-{learning}-{formulation}"
        script = [str(PYTHON), str(PEERS / "brian2_peer.py"), str(network), learning, formulation]
        done = _run([*script, str(ticks), "--directory", str(self._directory)])
        if done.returncode:
            raise RuntimeError(done.stderr)

    def measure(self) -> Measured:
        """See :meth:`Peer.measure`."""
        done = _run([str(self._directory / "main")], self._directory)
        if done.returncode:
            raise RuntimeError(done.stderr)
        words = [line.split() for line in done.stdout.splitlines()]
        at = {words[k][0] + str(k): float(words[k][1]) for k in range(len(words)) if words[k]}
        begin, before, end, after = list(at.values())[-4:]
        return end - begin, after - before


def cython(network: Path, learning: str, ticks: int) -> Peer:
    """Return Brian2 with Cython, in its default precision."""
    return Worker("brian2_peer.py", str(network), learning, FORMULATIONS[learning][0], str(ticks))


def nest(network: Path, learning: str, ticks: int) -> Peer:
    """Return NEST."""
    return Worker("nest_peer.py", str(network), learning, str(ticks))


def _env() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _run(command: list[str], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, env=_env(), capture_output=True, text=True, check=False
    )


__all__ = ["FORMULATIONS", "HOME", "WARM_UP", "Peer", "Standalone", "cython", "install", "nest"]
